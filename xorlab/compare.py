"""Comparison: how far apart two predictors are, how often they agree, what they weigh and how long they take."""
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xorlab import arguments, data, files
from xorlab.integer import IntegerMLP
from xorlab.integer.operators import FullyConnected, Logistic, Relu
from xorlab.predictors import QuantizedPredictor, answers, name_of
from xorlab.tables import Table, Tabular

MOST_CALLS = 10_000_000         # that are timed: beyond them a slip costs a day


@dataclass(frozen=True, repr=False)
class ErrorReport(Tabular):
    """How far a candidate's outputs lie from a reference's, in units of the output.

    outputs : how many were compared; a point with several classes has one for each.
    max_abs, mean_abs : largest and mean |candidate - reference|.  mean_signed : mean of candidate - reference, which
        tells a shift from a scatter: errors of both signs cancel in it.
    max_relative : largest |candidate - reference| / |reference|, over outputs where the reference is not 0.
    not_close : share of outputs with |candidate - reference| > tolerance.  passed : that share is 0.
    points, other_class : points compared, and those with another class as `classes` gives it.
    ties : points at which one of the two answers is a tie, which is no class.  by_tie : how many of other_class are
        such points, so other_class - by_tie is the number of points that both put into a class, and not into the same.
    notes : sentences on what a reader should know of these points; they stand below the table.
    """
    pair: str
    outputs: int
    tolerance: float
    max_abs: float
    mean_abs: float
    mean_signed: float
    max_relative: float
    not_close: float
    passed: bool
    points: int
    other_class: int
    ties: int = 0
    by_tie: int = 0
    notes: tuple = ()

    def table(self):
        header = ("pair", "outputs", "max error", "mean error", "signed mean", "max relative",
                  f"off by > {self.tolerance:g}", "other class", "verdict")
        return Table(header, ((
            self.pair, f"{self.outputs:,}", f"{self.max_abs:.2g}", f"{self.mean_abs:.2g}", f"{self.mean_signed:.2g}",
            f"{self.max_relative:.2g}", f"{self.not_close:.2%}", f"{self.other_class:,}",
            "pass" if self.passed else "fail"),), self.notes)


def errors(reference, candidate, x, tolerance=0.01):
    """Compare two predictors on the points x and return an ErrorReport.

    x : (n, ...) points.  tolerance : largest |difference| that counts as close, in units of the output (>= 0).
    Both may answer (n,) or (n, classes). Raises ValueError if they do not answer in the same shape.
    """
    tolerance = check_tolerance(tolerance)
    quantized = [p for p in (reference, candidate) if isinstance(p, QuantizedPredictor)]
    notes = data.point_notes(x) if quantized else []
    x = data.points(x)
    expected, given = (answers(predictor, x).astype(np.float64) for predictor in (reference, candidate))
    _same_shape(reference, candidate, expected, given)
    error = np.abs(given - expected)
    known = expected != 0
    relative = error[known] / np.abs(expected[known])
    not_close = float(np.mean(error > tolerance))
    counts = other_classes(expected, given)
    for p in quantized:
        notes += _cut_off(p, x)
    if candidate in quantized:
        notes += _few_codes(candidate, given, expected)
    return ErrorReport(
        f"{name_of(candidate)} vs {name_of(reference)}", error.size, tolerance, max_abs=float(error.max()),
        mean_abs=float(error.mean()), mean_signed=float(np.mean(given - expected)),
        max_relative=float(relative.max(initial=0)), not_close=not_close, passed=not_close == 0, points=len(x),
        **counts, notes=(*notes, *tie_notes(expected.ndim, **counts)))


def check_tolerance(tolerance):
    """Return a tolerance as a float.  Raises ValueError unless it is a number of 0 or more."""
    return arguments.real("tolerance", tolerance, least=0)


def _same_shape(a, b, first, second):
    if first.shape != second.shape:
        raise ValueError(f"{name_of(a)} answers in shape {first.shape} and {name_of(b)} in {second.shape}; "
                         "only outputs of one shape can be compared")


def other_classes(first, second) -> dict[str, int]:
    """Count the points on which two sets of answers differ in the class, and what ties have to do with it.

    first, second : as `classes` takes them.  Returns other_class, ties and by_tie as an ErrorReport has them.
    """
    # a runtime may answer NaN; report.compare shows where
    first, second = _one_row_each(first, finite=False), _one_row_each(second, finite=False)
    if first.shape != second.shape:
        raise ValueError(f"two sets of answers must have one shape, got {first.shape} and {second.shape}")
    other, tied = _classes(first) != _classes(second), _ties(first) | _ties(second)
    return {"other_class": int(other.sum()), "ties": int(tied.sum()), "by_tie": int((other & tied).sum())}


def tie_notes(dimensions: int, other_class: int, ties: int, by_tie: int) -> list[str]:
    """Return a sentence on ties, where some classes differ.  dimensions : 1 for answers of one number, else 2."""
    dimensions = arguments.whole("dimensions", dimensions, 1, 2)
    other_class, ties, by_tie = (arguments.whole(name, count, 0) for name, count in (
        ("other_class", other_class), ("ties", ties), ("by_tie", by_tie)))
    if not (ties and other_class):
        return []
    tie = "is exactly 0.5" if dimensions == 1 else "has two equal largest values"
    return [f"On {ties:,} {'input' if ties == 1 else 'inputs'} an answer {tie}, a tie and no class; "
            f"{by_tie:,} of the {other_class:,} with another class are among them."]


def _cut_off(p, x):
    """Say how many of the numbers in x lie beyond the range of p's input codes, if more than one in a hundred does."""
    limits = np.iinfo(p.input.dtype)
    low, high = p.input.dequantize([limits.min, limits.max])
    beyond = np.mean((x < low - p.input.scale / 2) | (x > high + p.input.scale / 2))
    if beyond <= 0.01:
        return []
    return [f"{p.name} takes inputs from {low:.3g} to {high:.3g}: {beyond:.0%} of the numbers in these points lie "
            "outside and are cut off."]


def _few_codes(p, given, expected):
    """Say how many output codes p uses, if they are few and would be four times as many had it answered as expected."""
    limits = np.iinfo(p.output.dtype)
    used, wanted = len(np.unique(given)), len(np.unique(p.output.quantize(expected)))
    if used >= data.FEW_CODES or wanted < 4 * used:
        return []
    return [f"The outputs of {p.name} use {used} of {limits.max - limits.min + 1:,} codes on these points, "
            f"where the reference would use {wanted:,}."]


@dataclass(frozen=True, repr=False)
class Agreement(Tabular):
    """On how many inputs two quantized predictors answer with the same code.

    inputs : inputs compared.  choice : which they are: "all 65,536", "a sample of 2,139 of 256^490" or "450 given".
    differing : those with another output code.  largest_step : largest difference in codes.
    other_class : inputs on which the class differs, as `classes` gives it.  ties, by_tie : as in ErrorReport.
    """
    pair: str
    inputs: int
    differing: int
    largest_step: int
    other_class: int
    choice: str = ""
    ties: int = 0
    by_tie: int = 0
    notes: tuple = ()

    def table(self):
        return Table(("pair", "inputs", "other code", "largest step", "other class"), ((
            self.pair, self.choice or f"{self.inputs:,}", f"{self.differing:,}", f"{self.largest_step:,}",
            f"{self.other_class:,}"),), self.notes)


def agreement(a, b, q=None):
    """Compare the output codes of two quantized predictors and return an Agreement.

    q : input codes (n, ...); None means every input there is where there are at most 65,536, as with one or two of
        8 bits, else a seeded sample: see data.code_inputs.  The result says which.
    Raises TypeError unless both are quantized, ValueError if their codes do not mean the same numbers.
    """
    check_codes(a, b)
    q, choice = _inputs(q, a.sample, a.input.dtype)
    first, second = a.codes(q).astype(np.int64), b.codes(q).astype(np.int64)
    _same_shape(a, b, first, second)
    counts = other_classes(a.output.dequantize(first), b.output.dequantize(second))
    return Agreement(f"{a.name} vs {b.name}", len(q), int(answered_otherwise(first, second).sum()),
                     int(np.abs(first - second).max()), choice=choice, **counts,
                     notes=tuple(tie_notes(first.ndim, **counts)))


def answered_otherwise(first, second) -> np.ndarray:
    """Return on which inputs any number of two answers (n, ...) differs, bool (n,).  NaN is the same as NaN.

    >>> answered_otherwise(np.int8([[1, 2], [3, 4]]), np.int8([[1, 2], [3, 5]]))
    array([False,  True])
    """
    first, second = (arguments.numbers_in("answers", given, kinds="fiubc", finite=False) for given in (first, second))
    if first.shape != second.shape or not first.ndim:
        raise ValueError(f"two answers must have one shape (n, ...), got {first.shape} and {second.shape}")
    other = (first != second) & ((first == first) | (second == second))
    return other.reshape(len(other), -1).any(axis=1)


def check_codes(a, b):
    """Raise TypeError unless a and b are quantized predictors, ValueError unless their codes mean the same numbers."""
    for p in (a, b):
        if not isinstance(p, QuantizedPredictor):
            raise TypeError(f"{name_of(p)} has no codes to compare; use errors() for float predictors")
    if (a.input, a.output) != (b.input, b.output):
        raise ValueError(f"the codes of {a.name} and {b.name} have different scales; compare them with errors()")
    if a.sample != b.sample:
        raise ValueError(f"{a.name} takes inputs of shape {a.sample} and {b.name} of {b.sample}; "
                         "only codes of one shape can be compared")


def _inputs(q, sample, dtype):
    """Return input codes and which they are: those given, or all, or a sample."""
    if q is None:
        inputs = data.code_inputs(sample, dtype)
        return inputs.codes, inputs.words
    q = arguments.numbers_in("codes", q, kinds="iu")
    if not q.size:
        raise ValueError(f"there must be at least one input to compare, got codes of shape {q.shape}")
    return q, f"{len(q):,} given" if q.ndim else ""


def origins(a, b, q=None):
    """Return for each input the operator at which two IntegerMLPs of one net part, int (n,); -1 where they never do.

    a, b : the same net under two rules.  q : input codes; None means those that `agreement` takes then.
    Raises ValueError if the nets do not have the same operators with the same scales.
    """
    for net in (a, b):
        arguments.instance("a net", net, IntegerMLP, "an IntegerMLP")
    if [type(step) for step in a.steps] != [type(step) for step in b.steps]:
        raise ValueError("origins compares one net under two rules; these two nets have different operators")
    if a.input != b.input or any(x.output != y.output for x, y in zip(a.steps, b.steps, strict=True)):
        raise ValueError("origins compares one net under two rules; these two nets have different scales")
    q, _ = _inputs(q, (a.width,), a.input.dtype)
    part = [(x.codes != y.codes).any(1) for x, y in zip(a.trace(q), b.trace(q), strict=True)]
    return np.where(np.any(part, axis=0), np.argmax(part, axis=0), -1)


@dataclass(frozen=True, repr=False)
class ErrorSources(Tabular):
    """What each rounding of an int8 net does to the output by itself, in units of the output.

    errors : {source: float64 (outputs,)}, output with this rounding alone minus output with none.  The sources in
        order: "inputs", "weights and biases", then the sums and the outputs of each layer, and at the end "all of
        these" and "the int8 network", which differ in how the network's own arithmetic rounds.
    """
    errors: dict

    def table(self):
        return Table(("rounded", "max error", "mean error", "signed mean"), tuple(
            (source, f"{np.abs(error).max():.2g}", f"{np.abs(error).mean():.2g}", f"{error.mean():.2g}")
            for source, error in self.errors.items()))


def error_sources(model, net, x=None) -> ErrorSources:
    """Round one part of a float net at a time, as its int8 form does, and return what each does to the output.

    To round is also to cut off at the ends of the 256 codes.
    model : a net as models.layers_of takes it.  net : its IntegerMLP.
    x : points (n, inputs); None means the grid of 101 x 101, whose points lie between the input codes too. On points
        that are codes, as data.int8_inputs() dequantized, rounding the inputs does nothing.
    Everything but the part is computed in float64. The parts do not add up: a later layer bends what an earlier one
    did, and errors of both signs cancel.
    Raises ValueError if the net is not this model, rounded.
    """
    from xorlab.models import layers_of

    arguments.instance("net", net, IntegerMLP, "the IntegerMLP of the model")
    x = data.points(data.grid() if x is None else x, net.width)
    layers = [(linear.weight.detach().double().numpy(), linear.bias.detach().double().numpy(), activation)
              for linear, activation in layers_of(model)]
    rounded = _rounded_layers(layers, net)
    names = ["inputs", *_tensor_names(net.steps)]
    lines = [net.input, *(step.output for step in net.steps)]

    def output(layers, parts=()):
        return _forward(x, layers, net.steps, {i: lines[i] for i in parts})

    exact, everything = output(layers), range(len(lines))
    found = {"inputs": output(layers, [0]), "weights and biases": output(rounded),
             **{names[i]: output(layers, [i]) for i in everything if i},
             "all of these": output(rounded, everything),
             "the int8 network": net.output.dequantize(net.trace(net.input.quantize(x))[-1].codes)}
    return ErrorSources({source: (values - exact).ravel() for source, values in found.items()})


def _rounded_layers(layers, net):
    """Return the layers with the weights and biases that the codes of an IntegerMLP stand for."""
    kept = [step for step in net.steps if isinstance(step, FullyConnected)]
    rounded = []
    for (weights, _, activation), step in zip(layers, kept, strict=False):
        scales = np.broadcast_to(step.weight_scales, len(step.weights)).astype(np.float64)
        real = step.weights * scales[:, None]
        if real.shape != weights.shape or (np.abs(real - weights) > scales[:, None]).any():
            break
        rounded.append((real, step.biases * scales * step.input.scale, activation))
    if not len(layers) == len(kept) == len(rounded):
        raise ValueError("error_sources takes a net and its own int8 form; the weights of these two are not the same, "
                         "rounded")
    return rounded


def _tensor_names(steps):
    """Name what each operator puts out: a layer's sums where an operator of its own follows, else its outputs."""
    names, layer = [], 0
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        layer += isinstance(step, FullyConnected)
        sums = isinstance(step, FullyConnected) and isinstance(after, (Logistic, Relu))
        names.append(f"{'sums' if sums else 'outputs'} of layer {layer}")
    return names


def _forward(x, layers, steps, lines):
    """Return the output of a float net, float64 (n, units), with some tensors rounded.

    steps : the operators of its int8 form.  lines : {tensor: the Affine that rounds it}, 0 for the input, i for what
    step i - 1 puts out.
    """
    def passed(i, values):
        return lines[i].dequantize(lines[i].quantize(values)).astype(np.float64) if i in lines else values

    values, remaining = passed(0, np.asarray(x, np.float64)), iter(layers)
    for i, (step, after) in enumerate(zip(steps, [*steps[1:], None], strict=True), 1):
        if isinstance(step, FullyConnected):
            weights, biases, activation = next(remaining)
            values = values @ weights.T + biases
            if activation == "relu" and not isinstance(after, Relu):        # fused
                values = np.maximum(values, 0)
        else:
            values = (1 + np.tanh(values / 2)) / 2 if isinstance(step, Logistic) else np.maximum(values, 0)
        values = passed(i, values)
    return values


def classes(outputs):
    """Return the class of each answer, int (n,).

    outputs : (n,) or (n, 1) probabilities, class 1 where one exceeds 0.5, else 0; or (n, classes), the class with the
        largest. A tie has no class: here it counts as 0, or as the first of the largest; `ties` tells which are.
    """
    return _classes(_one_row_each(outputs))


def _classes(outputs):
    return outputs.argmax(axis=1) if outputs.ndim == 2 else (outputs > 0.5).astype(int)


def ties(outputs):
    """Return which answers name no class, bool (n,): exactly 0.5, or two of several outputs equal and the largest.

    >>> ties([0.49, 0.5, 0.51])
    array([False,  True, False])
    """
    return _ties(_one_row_each(outputs))


def _ties(outputs):
    if outputs.ndim == 1:
        return outputs == 0.5
    return (outputs == outputs.max(axis=1, keepdims=True)).sum(axis=1) > 1


def _one_row_each(outputs, finite=True):
    outputs = arguments.numbers_in("answers", outputs, finite=finite)
    if outputs.ndim not in (1, 2) or (outputs.ndim == 2 and not outputs.shape[1]):
        raise ValueError(f"answers must have shape (n,) or (n, classes), got {outputs.shape}")
    return outputs[:, 0] if outputs.ndim == 2 and outputs.shape[1] == 1 else outputs


def right(outputs, labels):
    """Return which answers name the class of their label, bool (n,); a tie names none."""
    outputs, labels = _one_row_each(outputs), arguments.numbers_in("labels", labels)
    if labels.shape != (len(outputs),):
        raise ValueError(f"labels must have shape ({len(outputs)},), one a point, got {labels.shape}")
    return (classes(outputs) == labels) & ~ties(outputs)


def corners_right(predictor):
    """Return how many of the four corners the predictor puts into the right class: 0 to 4. A tie is no class.

    The predictor may answer with one probability a point or with two classes.
    """
    x, y = data.corners()
    return int(right(two_classes(predictor, x), y).sum())


def two_classes(predictor, x):
    """Return `answers(predictor, x)` of a predictor for two classes: float32 (n,) or (n, 2)."""
    x = data.points(x)
    out = answers(predictor, x)
    if out.ndim == 2 and out.shape[1] != 2:
        raise ValueError(f"{name_of(predictor)} returned shape {out.shape} for {len(x)} points; it must return "
                         f"({len(x)},) or ({len(x)}, 2) here, for the two classes of XOR")
    return out


def probability_of_one(outputs):
    """Return what answers of two classes say for class 1, (n,), and what to call it.

    outputs : (n,), returned as they are, "output"; or (n, 2). Those that are probabilities, from 0 to 1 with a sum
        of 1, give their second column; others are taken as logits and go through a softmax.
    Raises ValueError for another shape.

    >>> probability_of_one([[0.25, 0.75]])
    (array([0.75]), 'probability of class 1')
    >>> probability_of_one([[2.0, 2.0]])
    (array([0.5]), 'softmax of the two outputs, class 1')
    """
    outputs = _one_row_each(outputs)
    if outputs.ndim == 1:
        return outputs, "output"
    if outputs.shape[1] != 2 or not len(outputs):
        raise ValueError(f"only two classes have one probability of class 1, got outputs of shape {outputs.shape}")
    # int8 probabilities are multiples of 1/256 up to 255/256, so a pair may miss a sum of 1 by 1/256
    if outputs.min() >= 0 and outputs.max() <= 1 and np.abs(outputs.sum(axis=1) - 1).max() < 1.5 / 256:
        return outputs[:, 1], "probability of class 1"
    zero, one = outputs.astype(np.float64).T
    return (1 + np.tanh((one - zero) / 2)) / 2, "softmax of the two outputs, class 1"


def sizes(paths):
    """Return the exact size of each file in bytes, as a dict from file name to int; one file alone will do.

    Files of the same name in several folders keep their folders.
    """
    paths = [paths] if isinstance(paths, (str, Path)) else arguments.several("paths", paths, "paths", (str, Path))
    paths = [Path(files.checked_path("paths", path)) for path in paths]
    same = Counter(path.name for path in paths)
    return {path.name if same[path.name] == 1 else str(path): files.existing_file(path, "model").stat().st_size
            for path in paths}


@dataclass(frozen=True, repr=False)
class Timing(Tabular):
    """Seconds a call takes: the median of many, with the quartiles as the spread."""
    name: str
    median: float
    low: float
    high: float
    repeats: int

    def per(self, n):
        """Return the time per inference of a call that makes n (> 0) of them."""
        if not arguments.is_whole(n, 1, 2**53):
            raise ValueError(f"a call makes at least one inference, got {arguments.shown(n)}")
        return Timing(self.name, self.median / n, self.low / n, self.high / n, self.repeats)

    def table(self):
        return Table(("timed", "median", "middle half", "calls"), ((
            self.name, seconds(self.median), f"{seconds(self.low)} to {seconds(self.high)}", str(self.repeats)),))


def times(call, argument, *, repeats=200, warmup=20, name=None):
    """Time call(argument) as it is used, Python's overhead included, and return a Timing.

    The first `warmup` calls are not counted: they fill caches and allocate memory. To time an int8 model rather
    than the quantization around it, pass p.codes with inputs quantized beforehand.
    repeats : calls that are counted (> 0).  warmup : calls before them (>= 0).
    """
    repeats = arguments.whole("repeats", repeats, 1, MOST_CALLS)
    warmup = arguments.whole("warmup", warmup, 0, MOST_CALLS)
    if name is not None:
        arguments.text("name", name)
    if not callable(call):
        raise TypeError(f"times needs a function to call, got {type(call).__name__}")
    for _ in range(warmup):
        call(argument)
    took = np.empty(repeats)
    for i in range(repeats):
        start = time.perf_counter_ns()
        call(argument)
        took[i] = time.perf_counter_ns() - start
    low, median, high = np.percentile(took, [25, 50, 75]) * 1e-9
    return Timing(name or name_of(getattr(call, "__self__", call)), median, low, high, repeats)


def seconds(value):
    """Write a time with the unit that suits it: 1.5e-05 -> "15.0 us"."""
    value = arguments.real("a time", value, least=0)
    for unit, size in (("s", 1), ("ms", 1e-3), ("us", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"
