"""On which inputs the runtimes answer a .tflite file otherwise."""
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from xorlab import arguments, runtimes
from xorlab import compare as comparing
from xorlab.integer.affine import Affine
from xorlab.ports import Port
from xorlab.report.apart import steps
from xorlab.report.asked import File, Inputs, ask, inputs_of
from xorlab.report.html import Section, Shown, counted
from xorlab.report.inspect import without
from xorlab.streams import progress
from xorlab.tables import Table


@dataclass(frozen=True)
class Pair:
    """How two runtimes' answers in one output differ.

    differing : inputs on which they do.  numbers : of all the output's numbers, those that differ.
    largest_step : the largest difference, in codes; of floats, in their unit.  worst : the first input that has it.
    other_class : samples with another class, of which by_tie are ties; None where the output names no class.
    """
    output: str
    a: str
    b: str
    differing: int
    numbers: int
    largest_step: float
    worst: int
    other_class: int | None
    by_tie: int = 0


@dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """On which inputs the runtimes answer a .tflite file otherwise.

    path : the file.  inputs : those that were run.  outputs : the file's.
    answers : {runtime: an array (inputs, ...) for each output}.  left_out : {runtime: why it could not run the file}.
    pairs : a Pair for each output and each two of the runtimes.  stateful : whether the file keeps state.
    """
    path: Path
    inputs: Inputs
    outputs: tuple[Port, ...]
    answers: dict[str, tuple]
    left_out: dict[str, str]
    pairs: tuple[Pair, ...]
    stateful: bool = False

    @property
    def differing(self) -> int:
        """On how many inputs not all runtimes give the same answers."""
        first, *others = self.answers.values()
        any_other = np.zeros(len(self.inputs), bool)
        for other in others:
            for x, y in zip(first, other, strict=True):
                any_other |= comparing.answered_otherwise(x, y)
        return int(any_other.sum())

    @property
    def agree(self) -> bool:
        """Whether all runtimes give the same answers on every input."""
        return not any(pair.differing for pair in self.pairs)

    def alike(self) -> list[list[str]]:
        """Return the runtimes in groups; within one, no answer differs."""
        apart = {frozenset((pair.a, pair.b)) for pair in self.pairs if pair.differing}
        groups = []
        for runtime in self.answers:
            group = next((group for group in groups if frozenset((group[0], runtime)) not in apart), None)
            if group is None:
                groups.append([runtime])
            else:
                group.append(runtime)
        return groups

    def title(self) -> str:
        n, runtimes_ = counted(len(self.inputs), "input"), f"{len(self.answers)} runtimes"
        if self.agree:
            return f"{self.path.name}: all {runtimes_} answer alike on {n}"
        return f"{self.path.name}: the {runtimes_} do not answer alike on {self.differing:,} of {n}"

    def sections(self) -> list[Section]:
        words = {"inputs": f"{self.inputs.words}; one call each"}
        if not self.agree:
            words["alike"] = "; ".join(" = ".join(group) for group in self.alike())
            words["why"] = f"xorlab why {self.path.name} names the operator where they part"
        words |= {runtime: f"left out: {reason}" for runtime, reason in self.left_out.items()}
        if self.stateful:
            words["state"] = "cleared before each call, so what builds up over calls is not seen"
        if len(self.inputs) > 1 and self._all_the_same():
            words["note"] = "every input gets one and the same answer; other inputs may tell more"
        return [Section("", (words,)), *(Section(f"Output {port}" if len(self.outputs) > 1 else "", self._tables(i))
                                         for i, port in enumerate(self.outputs))]

    def _tables(self, output):
        return (self.matrix(output), self.table(output)) if self._of(output, differing=True) else ("All answer alike.",)

    def _all_the_same(self):
        return all((x == x[:1]).all() for made in self.answers.values() for x in made)

    def _of(self, output, differing=False):
        each = len(self.pairs) // len(self.outputs)
        return [pair for pair in self.pairs[output * each : (output + 1) * each] if pair.differing or not differing]

    def matrix(self, output: int = 0) -> Table:
        """Return a Table, runtime by runtime, of how many inputs are answered otherwise.  output : its position."""
        output = arguments.whole("output", output, 0, len(self.outputs) - 1)
        counts = {frozenset((pair.a, pair.b)): f"{pair.differing:,}" for pair in self._of(output)}
        names = list(self.answers)
        return Table(("inputs answered otherwise", *names), tuple(
            (a, *(counts.get(frozenset((a, b)), "-") for b in names)) for a in names))

    def table(self, output: int = 0) -> Table:
        """Return a Table of the pairs that differ in an output.  output : its position."""
        output = arguments.whole("output", output, 0, len(self.outputs) - 1)
        pairs = self._of(output, differing=True)
        port, numbers = self.outputs[output], next(iter(self.answers.values()))[output]
        floats = port.dtype.kind in "fc"
        rows = [(f"{pair.a}, {pair.b}", f"{pair.differing:,}", f"{pair.numbers:,}",
                 f"{pair.largest_step:.3g}" if floats else f"{pair.largest_step:,}", f"{pair.worst:,}",
                 _class_cell(pair)) for pair in pairs]
        header = ("pair", "inputs", f"numbers of {numbers.size:,}", "largest difference" if floats else "largest step",
                  "at input", "other class")
        notes = _class_notes(pairs, class_rows(numbers, port.affine))
        kept = len(header) if notes else -1             # no class, no column
        return Table(header[:kept], tuple(row[:kept] for row in rows), (*notes, "Inputs count from 0."))


def compare(path, inputs=None, *, samples: int | None = None, seed: int | None = None, quantize: bool = False,
            among: tuple | None = None) -> Comparison:
    """Run a .tflite file on several runtimes, on the same inputs, and return the Comparison.

    inputs, samples, seed, quantize : which inputs; see asked.inputs_of.  among : names of the runtimes; None means all.
    A runtime that cannot run the file is left out, and the Comparison says why.
    Raises FileNotFoundError; ValueError in one sentence for a damaged file, inputs that do not fit, a runtime that is
    not known, or fewer than two runtimes that run the file.

    >>> from xorlab import models
    >>> made = compare(models.reference_file("relu-2-4-1", "int8.tflite"), among=("xnnpack", "reference"))
    >>> made.agree, made.inputs.words
    (True, 'all 65,536 inputs')
    """
    names = _checked_names(runtimes.RUNTIMES if among is None else tuple(arguments.several(
        "among", among, "names of runtimes", str)))
    file = File.read(path)
    given = inputs_of(file, inputs, samples=samples, seed=seed, quantize=quantize)
    asked = [ask(file, runtime, given.arrays) for runtime in progress(names, "runtimes")]
    answers = {one.runtime: one.outputs for one in asked if one.outputs is not None}
    left_out = {one.runtime: without(file, one.reason) for one in asked if one.outputs is None}
    if len(answers) < 2:
        reasons = "; ".join(f"{runtime}: {reason.rstrip('.')}" for runtime, reason in left_out.items())
        raise ValueError(f"{path} runs on {' and '.join(answers) or 'none'} of {', '.join(names)}, and two are needed "
                         f"to compare; {reasons}")
    _check_shapes(file, answers)
    pairs = tuple(pair_of(port, a, b, answers[a][i], answers[b][i]) for i, port in enumerate(file.outputs)
                  for a, b in combinations(answers, 2))
    return Comparison(file.path, given, tuple(file.outputs), answers, left_out, pairs,
                      bool(file.graph.state))


def _check_shapes(file, answers):
    for i, port in enumerate(file.outputs):
        kinds = {runtime: f"{made[i].dtype} of shape {made[i].shape[1:]}" for runtime, made in answers.items()}
        if len(set(kinds.values())) > 1:
            raise ValueError(f"{file.path}: output {port} has no one shape to compare: " + ", ".join(
                f"{kind} on {runtime}" for runtime, kind in kinds.items()))


def _checked_names(names):
    for runtime in names:
        if runtime not in runtimes.RUNTIMES:
            raise ValueError(f"runtimes must be of {', '.join(runtimes.RUNTIMES)}, got {runtime!r}")
    if len(set(names)) != len(names) or len(names) < 2:
        raise ValueError(f"two different runtimes or more are needed to compare, got {', '.join(names) or 'none'}")
    return names


def pair_of(port: Port, a: str, b: str, first: np.ndarray, second: np.ndarray) -> Pair:
    """Return how the answers of runtimes a and b in one output differ, arrays (calls, ...)."""
    other, size = comparing.answered_otherwise(first, second), steps(first, second)
    classes = None
    rows = [class_rows(x, port.affine) for x in (first, second)]
    if not any(row is None for row in rows):
        classes = comparing.other_classes(*rows)
    by_input = size.reshape(len(size), -1).max(axis=1, initial=0)
    return Pair(str(port), a, b, int(other.sum()), int((size != 0).sum()), by_input.max().item(),
                int(by_input.argmax()),
                classes and classes["other_class"], classes["by_tie"] if classes else 0)


def class_rows(values: np.ndarray, affine: Affine | None) -> np.ndarray | None:
    """Return an output (calls, ...) as compare.classes takes it, (n, classes) or (n,); None if it names no class.

    A row of several numbers names the largest. One number alone names a class if it is a probability: codes that mean
    0 to 1 at most, or floats of which all do.

    >>> class_rows(np.zeros((5, 1, 12), np.int8), None).shape
    (5, 12)
    >>> class_rows(np.zeros((5, 1, 1), np.int8), Affine(0.01, 0)) is None
    True
    """
    lengths = [length for length in values.shape[2:] if length != 1] if values.ndim > 2 else list(values.shape[1:])
    if len(lengths) > 1 or values.dtype.kind not in "iuf":
        return None
    if lengths and lengths[0] > 1:
        return values.reshape(-1, lengths[0])
    numbers = (affine.dequantize(values) if affine else values).ravel()
    limits = affine.dequantize([np.iinfo(affine.dtype).min, np.iinfo(affine.dtype).max]) if affine else numbers
    if (values.dtype.kind != "f" and not affine) or not (limits.min(initial=0) >= 0 and limits.max(initial=0) <= 1):
        return None
    return numbers


def _class_cell(pair):
    if pair.other_class is None:
        return "-"
    return f"{pair.other_class:,}{f' ({pair.by_tie:,} tied)' if pair.by_tie else ''}"


def _class_notes(pairs, rows):
    """Return what a class is, and a tie, where a table shows them.  rows : answers as class_rows gives them."""
    if all(pair.other_class is None for pair in pairs) or rows is None:
        return []
    tied = any(pair.by_tie for pair in pairs)
    if rows.ndim == 1:
        return ["The class is the side of 0.5." + " Tied: one of the two answers is 0.5." * tied]
    return [f"The class is the place of the largest of {rows.shape[1]:,} numbers."
            + " Tied: one of the two answers has two that are largest." * tied]
