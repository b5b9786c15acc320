"""Comparison: how far apart two predictors are, how often they agree, what they weigh and how long they take."""
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xorlab import data, files
from xorlab.predictors import QuantizedPredictor, answers, name_of, single_answers
from xorlab.tables import Table, Tabular


@dataclass(frozen=True, repr=False)
class ErrorReport(Tabular):
    """How far a candidate's outputs lie from a reference's, in units of the output.

    outputs : how many were compared; a point with several classes has one for each.
    max_abs, mean_abs : largest and mean |candidate - reference|.  mean_signed : mean of candidate - reference, which
        tells a shift from a scatter: errors of both signs cancel in it.
    max_relative : largest |candidate - reference| / |reference|, over outputs where the reference is not 0.
    not_close : share of outputs with |candidate - reference| > tolerance.  passed : that share is 0.
    points, other_class : points compared, and those with another class.
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

    def table(self):
        header = ("pair", "outputs", "max error", "mean error", "signed mean", "max relative",
                  f"off by > {self.tolerance:g}", "other class", "verdict")
        return Table(header, ((
            self.pair, f"{self.outputs:,}", f"{self.max_abs:.2g}", f"{self.mean_abs:.2g}", f"{self.mean_signed:.2g}",
            f"{self.max_relative:.2g}", f"{self.not_close:.2%}", f"{self.other_class:,}",
            "pass" if self.passed else "fail"),))


def errors(reference, candidate, x, tolerance=0.01):
    """Compare two predictors on the points x and return an ErrorReport.

    x : (n, ...) points.  tolerance : largest |difference| that counts as close, in units of the output (>= 0).
    Both may answer (n,) or (n, classes). Raises ValueError if they do not answer in the same shape.
    """
    check_tolerance(tolerance)
    x = data.points(x)
    expected, given = (answers(predictor, x).astype(np.float64) for predictor in (reference, candidate))
    if expected.shape != given.shape:
        raise ValueError(f"{name_of(reference)} answers in shape {expected.shape} and {name_of(candidate)} in "
                         f"{given.shape}; only outputs of one shape can be compared")
    error = np.abs(given - expected)
    known = expected != 0
    relative = error[known] / np.abs(expected[known])
    not_close = float(np.mean(error > tolerance))
    return ErrorReport(
        f"{name_of(candidate)} vs {name_of(reference)}", error.size, tolerance, max_abs=float(error.max()),
        mean_abs=float(error.mean()), mean_signed=float(np.mean(given - expected)),
        max_relative=float(relative.max(initial=0)), not_close=not_close, passed=not_close == 0, points=len(x),
        other_class=int((classes(given) != classes(expected)).sum()))


def check_tolerance(tolerance):
    """Raise ValueError unless the tolerance is a number of 0 or more."""
    if not (np.isfinite(tolerance) and tolerance >= 0):
        raise ValueError(f"tolerance must be a number of 0 or more, got {tolerance}")


@dataclass(frozen=True, repr=False)
class Agreement(Tabular):
    """On how many inputs two quantized predictors answer with the same code.

    inputs : inputs compared.  differing : those with another output code.
    largest_step : largest difference in codes.  other_class : inputs on which the class differs.
    """
    pair: str
    inputs: int
    differing: int
    largest_step: int
    other_class: int

    def table(self):
        return Table(("pair", "inputs", "other code", "largest step", "other class"), ((
            self.pair, f"{self.inputs:,}", f"{self.differing:,}", str(self.largest_step), f"{self.other_class:,}"),))


def agreement(a, b, q=None):
    """Compare the output codes of two quantized predictors and return an Agreement.

    q : input codes (n, ...); None means every input there is, for two int8 inputs 65,536.
    Raises TypeError unless both are quantized, ValueError if their codes do not mean the same numbers.
    """
    for p in (a, b):
        if not isinstance(p, QuantizedPredictor):
            raise TypeError(f"{name_of(p)} has no codes to compare; use errors() for float predictors")
    if (a.input, a.output) != (b.input, b.output):
        raise ValueError(f"the codes of {a.name} and {b.name} have different scales; compare them with errors()")
    q = data.int8_inputs() if q is None else q
    first, second = a.codes(q).astype(np.int64), b.codes(q).astype(np.int64)
    other_class = classes(a.output.dequantize(first)) != classes(b.output.dequantize(second))
    other_code = (first != second).reshape(len(q), -1).any(axis=1)      # an input may have a code for each class
    return Agreement(f"{a.name} vs {b.name}", len(q), int(other_code.sum()),
                     int(np.abs(first - second).max()), int(other_class.sum()))


def origins(a, b, q=None):
    """Return for each input the operator at which two IntegerMLPs of one net part, int (n,); -1 where they never do.

    a, b : the same net under two rules.  q : input codes; None means every input there is.
    Raises ValueError if the nets do not have the same operators.
    """
    if [type(step) for step in a.steps] != [type(step) for step in b.steps]:
        raise ValueError("origins compares one net under two rules; these two nets have different operators")
    q = data.int8_inputs() if q is None else q
    part = [(x.codes != y.codes).any(1) for x, y in zip(a.trace(q), b.trace(q), strict=True)]
    return np.where(np.any(part, axis=0), np.argmax(part, axis=0), -1)


def classes(outputs):
    """Return the class of each answer, int (n,).

    outputs : (n,) probabilities, class 1 where one exceeds 0.5, else 0; or (n, classes), the class with the largest.
    """
    outputs = np.asarray(outputs)
    return outputs.argmax(axis=1) if outputs.ndim == 2 else (outputs > 0.5).astype(int)


def corners_right(predictor):
    """Return how many of the four corners the predictor puts into the right class: 0 to 4."""
    x, y = data.corners()
    return int((classes(single_answers(predictor, x)) == y).sum())


def sizes(paths):
    """Return the exact size of each file in bytes, as a dict from file name to int."""
    return {Path(path).name: files.existing_file(path, "model").stat().st_size for path in paths}


@dataclass(frozen=True, repr=False)
class Timing(Tabular):
    """Seconds a call takes: the median of many, with the quartiles as the spread."""
    name: str
    median: float
    low: float
    high: float
    repeats: int

    def per(self, n):
        """Return the time per inference of a call that makes n of them."""
        return Timing(self.name, self.median / n, self.low / n, self.high / n, self.repeats)

    def table(self):
        return Table(("timed", "median", "middle half", "calls"), ((
            self.name, seconds(self.median), f"{seconds(self.low)} to {seconds(self.high)}", str(self.repeats)),))


def times(call, argument, *, repeats=200, warmup=20, name=None):
    """Time call(argument) as it is used, Python's overhead included, and return a Timing.

    The first `warmup` calls are not counted: they fill caches and allocate memory. To time an int8 model rather
    than the quantization around it, pass p.codes with inputs quantized beforehand.
    """
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
    for unit, size in (("s", 1), ("ms", 1e-3), ("us", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"
