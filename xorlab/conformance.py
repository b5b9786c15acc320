"""Which rule each installed runtime follows, found by running it: on all inputs of every reference net, and operator by
operator on committed files whose scales tell the rules apart.

One sample a call, one thread. The reference nets are small: none of their layers is wide enough for the rule single to
ask how many samples a call has.
"""
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from xorlab import arguments, data, ports, predictors, runtimes, sandbox, tflite_file
from xorlab.integer import IntegerGraph, IntegerMLP
from xorlab.integer.rules import RULES
from xorlab.tables import Table, Tabular

EXPECTED = {"tflm": "tflm", "reference": "reference", "builtin": "ruy", "xnnpack": "xnnpack"}   # x86-64 with AVX2
REFERENCES = Path(__file__).parent / "references"       # as models has it, whose import takes seconds
FILES = [(path.parent.name, path.name) for path in sorted(REFERENCES.glob("*-*/int8*.tflite"))]
PROBES = REFERENCES / "operators"               # a file for each operator: some of it, side by side
ASKED = ("tflm", "reference", "ruy", "single", "xnnpack")       # no runtime here follows tinymind
NETS = "reference nets"
MOST_CALLS = 100_000
CALLS = 64                          # of each probe

_TWICE = "rounded twice, ties away from zero"
_UP = "rounded twice, ties up"
_ONCE = "rounded once, ties up"
_EVEN = "one product in float32, ties to the even neighbour"
_EVEN_SUM = f"{_EVEN}; where a file gives biases no scale, or weight scales another axis than the units', as ruy"
_COPIED = "codes are copied"
_256THS = "the factor is a whole number of 256ths; rounded once, ties up; outside XNNPACK's range of factors as ruy"
# what each way of an operator does, under the name of the first rule that has it
WORDS = {
    "FULLY_CONNECTED": {
        "tflm": f"{_TWICE}; factor in float64",
        "reference": "one product in float64, ties away from zero",
        "ruy": f"{_UP}; where a layer has one factor, it goes through float32",
        "single": f"{_ONCE}; one sample a call, from 4 units and 8 inputs on, as ruy",
        "xnnpack": _EVEN_SUM},
    "CONV_2D": {
        "tflm": f"{_TWICE}; factor in float64",
        "ruy": f"{_UP}; in groups as tflm",
        "single": f"{_ONCE}; in groups as tflm; with one output pixel a call, from 4 units and depth 8 on, as ruy",
        "xnnpack": _EVEN_SUM},
    "DEPTHWISE_CONV_2D": {
        "tflm": f"{_TWICE}; factor in float64",
        "ruy": f"{_UP} in whole vectors of 8 channels; the channels that remain as tflm",
        "xnnpack": _EVEN_SUM},
    "AVERAGE_POOL_2D": {"tflm": "the sum of the codes inside the picture over their number, ties away from code 0"},
    "MAX_POOL_2D": {
        "tflm": "the largest code; the 6 of a fused RELU6 is rounded away from zero",
        "xnnpack": "the largest code; the 6 of a fused RELU6 is rounded to the even neighbour"},
    "MEAN": {
        "tflm": "the multiplier is divided by the number of codes; then rounded twice, ties away from zero",
        "ruy": "over height and width, axes kept: factor in float32, ties up in whole vectors of 16 channels, away "
               "from zero in those that remain; else as tflm",
        "xnnpack": "all in float32, ties to the even neighbour"},
    "ADD": {
        "tflm": "each addend is shifted up by 20 bits and rounded twice, ties away from zero, then the sum",
        "ruy": "in whole vectors of 16 codes an addend is shifted up by less instead of divided, in vectors of 8, "
               "where one operand stays the same, its division cuts; what remains as tflm",
        "xnnpack": "factors are whole numbers of up to 21 bits; rounded once, ties up; outside its range as ruy"},
    "SUB": {
        "tflm": "as ADD",
        "xnnpack": "as ADD; outside its range as tflm"},
    "MUL": {
        "tflm": f"{_TWICE}; factor in float64",
        "reference": f"{_TWICE}; factor in float32",
        "ruy": "as reference; in whole vectors of 16 codes the product saturates at 16 bits before the zero point",
        "xnnpack": f"{_EVEN}; outside its range as ruy"},
    "PAD": {"tflm": "the output's zero point around the codes"},
    "RESHAPE": {"tflm": _COPIED},
    "CONCATENATION": {"tflm": _COPIED},
    "QUANTIZE FLOAT32": {
        "tflm": "a division in float32, ties away from zero",
        "ruy": "in whole vectors of 8 numbers as xnnpack; what remains in float64, ties away from zero",
        "xnnpack": "a product with the reciprocal in float32, ties to the even neighbour"},
    "QUANTIZE INT8": {
        "tflm": f"{_TWICE}; factor in float64",
        "ruy": f"{_UP} in whole vectors of 16 codes; what remains as tflm",
        "xnnpack": _256THS},
    "DEQUANTIZE": {
        "tflm": "the zero point is subtracted, then the product is taken",
        "ruy": "in whole vectors of 8 codes the product is taken, then the scaled zero point subtracted"},
    "RELU": {
        "tflm": f"{_TWICE}; factor in float64; then cut",
        "reference": f"{_TWICE}; factor in float32; then cut"},
    "RELU6": {
        "tflm": "the input's codes are cut; nobody looks at the output's scale",
        "reference": f"{_TWICE}; factor in float32; then cut"},
    "LEAKY_RELU": {
        "tflm": f"{_TWICE}; both factors in float64",
        "reference": f"{_TWICE}; both factors in float32",
        "xnnpack": _256THS},
    "LOGISTIC": {
        "tflm": "in fixed point: gemmlowp's exponential and reciprocal",
        "reference": "a table made in float32, with the C library's expf; ties away from zero",
        "xnnpack": "a table made in float64 of numbers in float32; then float32, ties to the even neighbour"},
    "TANH": {
        "tflm": "in fixed point: gemmlowp's exponential and reciprocal",
        "reference": "a table of the C library's tanhf; ties away from zero",
        "xnnpack": "a table of the C library's tanhf; the zero point is added in float32, ties to the even neighbour"},
    "HARD_SWISH": {
        "tflm": "in 16 bits; factors made in float64",
        "reference": "in 16 bits; factors made in float32"},
    "SOFTMAX": {
        "tflm": "in fixed point: gemmlowp's exponential and reciprocal",
        "ruy": "a table of the C library's expf, added up in order in float32; ties away from zero"},
}


@dataclass(frozen=True, repr=False)
class Report(Tabular):
    """What each runtime does.

    differing : {operator, or NETS: {runtime: {way: codes answered otherwise}}}, None for a runtime that refuses the
    file; a way is called after the first rule that has it.  codes : {operator: how many were compared}.
    """
    differing: dict
    codes: dict

    def followed(self, row: str, runtime: str) -> list[str]:
        """Return the ways that gave every code as the runtime did."""
        counts = self.differing[row][runtime]
        return [] if counts is None else [way for way, count in counts.items() if count == 0]

    def changed(self) -> list[str]:
        """Return a sentence for every operator in which a runtime does not follow the rule it is known for."""
        return [self._sentence(row, runtime) for row, runtimes in self.differing.items() for runtime in runtimes
                if way_of(row, EXPECTED[runtime]) not in self.followed(row, runtime)]

    def _sentence(self, row, runtime):
        expected, counts = way_of(row, EXPECTED[runtime]), self.differing[row][runtime]
        known = f"{runtime} is known for the rule {expected} in {row}"
        if counts is None:
            return f"{known}, but it refuses the file; this version of it takes less"
        followed = self.followed(row, runtime)
        why = "; that is ruy's portable path, as RUY_PATHS=1 forces it" if (
            runtime == "builtin" and "single" in followed) else "; this version of it rounds another way"
        return (f"{known}, but {counts[expected]:,} of {self.codes[row]:,} codes differ; it follows "
                f"{' or '.join(followed) or 'none that is known here'}{why}")

    def table(self) -> Table:
        asked = list(next(iter(self.differing.values())))
        rows = tuple((row, *(self._cell(row, runtime) for runtime in asked), f"{self.codes[row]:,}")
                     for row in self.differing)
        return Table(("follows", *asked, "codes"), rows, (
            "One sample a call, one thread.",
            "A way is called after the first rule that has it; no code differs from it.",))

    def _cell(self, row, runtime):
        return " or ".join(self.followed(row, runtime)) or (
            "refuses" if self.differing[row][runtime] is None else "-")


def ways(row: str) -> dict[str, list[str]]:
    """Return {way: the rules that have it} of an operator, each way called after its first rule."""
    arguments.one_of("row", row, (NETS, *WORDS))
    found = {}
    for rule in RULES if row == NETS else ASKED:
        found.setdefault(way_of(row, rule), []).append(rule)
    return found


def way_of(row: str, rule: str) -> str:
    """Return the first rule that does an operator as this one does."""
    arguments.one_of("row", row, (NETS, *WORDS))
    arguments.one_of("rule", rule, RULES)
    if row == NETS:
        return rule
    kind = type(probe(row).nodes[0].operator)
    return next(first for first in ASKED if RULES[first].kernels[kind] == RULES[rule].kernels[kind])


def probe(row: str) -> IntegerGraph:
    """Return the graph of an operator's file."""
    return _probe(arguments.one_of("row", row, WORDS))


@cache
def _probe(row):
    return IntegerGraph.from_tflite(file_of(row))


def file_of(row: str) -> Path:
    """Return where an operator's file is: "QUANTIZE INT8" has quantize-int8.tflite."""
    row = arguments.one_of("row", row, WORDS)
    return PROBES / f"{row.lower().replace(' ', '-')}.tflite"


def inputs(graph: IntegerGraph, calls: int = CALLS) -> list[np.ndarray]:
    """Return seeded inputs of a graph, (calls, ...) each: codes, or numbers at codes and halfway between them."""
    arguments.instance("graph", graph, IntegerGraph, "an IntegerGraph")
    made, calls = [], arguments.whole("calls", calls, 1, MOST_CALLS)
    for end in graph.inputs:
        node = next(node for node in graph.nodes if end.tensor in node.inputs)
        # so that an operator gets the same alone and beside others
        rng, size = np.random.default_rng([node.inputs.index(end.tensor), *end.shape]), (calls, *end.shape[1:])
        if end.affine is None:
            steps = rng.integers(-280, 280, size) / 2 - node.operator.output.zero_point
            made.append(steps.astype(np.float32) * np.float32(node.operator.output.scale))
        else:
            made.append(rng.integers(-128, 128, size).astype(np.int8))
    return made


def report() -> Report:
    """Run every installed runtime and every rule on all inputs of the reference nets, and on the operators' files."""
    differing, codes = {}, {}
    q = data.int8_inputs()
    paths = [REFERENCES / name / file for name, file in FILES]
    answers = {rule: [IntegerMLP.from_tflite(path, rule).codes(q) for path in paths] for rule in RULES}
    asked = [runtime for runtime in EXPECTED if _installed(runtime)]
    differing[NETS] = {runtime: _counts(answers, [predictors.from_tflite(path, runtime).codes(q) for path in paths])
                       for runtime in asked}
    codes[NETS] = len(q) * len(paths)
    for row in WORDS:
        graph = probe(row)
        x = inputs(graph)
        answers = {way: outputs(graph.under(way), x) for way in ways(row)}
        differing[row] = {runtime: _counts(answers, _asked(row, runtime, x)) for runtime in asked}
        codes[row] = sum(made.size for made in answers[ASKED[0]])
    return Report(differing, codes)


def _installed(runtime):
    try:
        runtimes.require(runtime)
    except ImportError:             # TFLite Micro is for Linux only
        return False
    return True


def outputs(graph: IntegerGraph, x: list) -> list[np.ndarray]:
    """Return what a graph makes of inputs, one sample a call, an array for each output."""
    made = arguments.instance("graph", graph, IntegerGraph, "an IntegerGraph").codes(x)
    return list(made) if isinstance(made, tuple) else [made]


def _asked(row, runtime, x):
    """Return a runtime's outputs of an operator's file, or None if it refuses it."""
    path = file_of(row)
    content, graph = tflite_file.content_and_graph(path)
    try:
        session = sandbox.opened(content, ports.plan_of_calls(graph, runtime, path), path)
        return session.run(*(one[:, None] for one in x))            # a call has one sample
    except ValueError:
        return None


def _counts(answers, made):
    """Return {way: how many codes differ from what a runtime made}."""
    return None if made is None else {
        way: sum(int((a.ravel() != b.ravel()).sum()) for a, b in zip(codes, made, strict=True))
        for way, codes in answers.items()}
