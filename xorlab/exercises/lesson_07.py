"""The exercises of lesson 07, every TFLite variant."""
import functools
import math

import numpy as np

from xorlab.exercises.exercise import Exercise, Wrong
from xorlab.exercises.judging import array, diagnosed, number, result, returned, run, short
from xorlab.integer.affine import Affine

REFERENCE = "sigmoid-2-3-1"

# 07.1, the smallest file

SMALLEST = ("float32", "float16", "int8", "uint8", "int16x8")


def _variant(guess):
    if not isinstance(guess, str) or guess not in SMALLEST:
        raise Wrong(f"This wants one of {', '.join(SMALLEST)}, in quotes, and got {short(guess)}.")
    return guess


@functools.cache
def _accounts():
    """Return {variant: the bytes of its file, by what they are for}."""
    from xorlab import models, tflite_bytes

    return {name: tflite_bytes.account(models.reference_file(REFERENCE, f"{name}.tflite")) for name in SMALLEST}


def judge_smallest(guess):
    accounts = _accounts()
    sizes = {name: account.total for name, account in accounts.items()}
    smallest = min(sizes, key=sizes.get)
    if guess == smallest:
        return f"float32, with {sizes[smallest]:,} bytes; int8 has {sizes['int8']:,}. 13 numbers are 52 bytes at most."
    more = {part: accounts["int8"].parts[part] - accounts["float32"].parts[part]
            for part in ("weights", "quantization")}
    why = {"int8": f"It saves {-more['weights']} bytes of weights and pays {more['quantization']} for scales.",
           "float16": "Its numbers are half as large, but it needs operators that widen them.",
           "uint8": "It's int8, with operators at both ends that turn one kind of code into the other.",
           "int16x8": "Its weights are int8's, and its biases take 64 bits each."}
    raise Wrong(f"It's {smallest}: {sizes[smallest]:,} bytes, and {guess} has {sizes[guess]:,}. {why[guess]}")


# 07.2, an honest mean error

SEEDS = 7


def _answers(seed):
    """Return (codes, their line, the floats they stand for), as far apart as rounding puts them."""
    random = np.random.default_rng(seed)
    expected = random.normal(random.uniform(-1, 1), random.uniform(0.1, 2), 100)
    line = Affine.of_range(expected.min(), expected.max())
    return line.quantize(expected + random.normal(0, 3 * line.scale, 100)), line, expected


def _honest(function):
    return [result(function, *_answers(seed)) for seed in range(SEEDS)]


def judge_honest(function):
    found = _honest(function)
    for seed, got in enumerate(found):
        codes, line, expected = _answers(seed)
        wanted = sum(abs(line.scale * (int(code) - line.zero_point) - real)
                     for code, real in zip(codes, expected, strict=True)) / len(codes)
        if abs(got - wanted) > 0.01 * wanted:
            shown = f"On the line {line} the errors are {wanted:.3g} in size on average; you return {got:.3g}."
            raise diagnosed(BY_ID["07.2"], _honest, found, shown)
    return f"On {SEEDS} lines. First real numbers, then differences, then sizes, and the mean last."


HONEST = "def honest_error(codes, line, expected):\n"
REAL = "    real = line.dequantize(codes)\n"
MEAN = "    return np.abs(real - expected).mean()\n"


# 07.3, where 31 bytes go

PARTS = ("weights", "biases", "scales", "zero points")


def _bytes(answer):
    if not isinstance(answer, dict) or set(answer) != set(PARTS):
        raise Wrong("This wants the bytes of the four parts, `{\"weights\": ..., \"biases\": ..., \"scales\": ..., "
                    f"\"zero points\": ...}}`, and got {short(answer)}.")
    return {part: number(answer[part], f"a number of bytes for the {part}") for part in PARTS}


def _unit_bytes():
    """Return what one more hidden unit of a 2-H-1 net adds to a default int8 file, part by part."""
    weights = 2 + 1                     # two inputs, and one weight of the output layer
    quantized = 2                       # the unit's row of weights and its bias have scales of their own
    return {"weights": weights * np.int8().nbytes, "biases": np.int32().nbytes,
            "scales": quantized * np.float32().nbytes, "zero points": quantized * np.int64().nbytes}


def judge_bytes(answer):
    found, wanted = _bytes(answer), _unit_bytes()
    if found == wanted:
        return "7 bytes of numbers, and 24 that say what they mean."
    missed = [part for part in PARTS if found[part] != wanted[part]]
    total = sum(found.values())
    shown = (f"Your parts add up to {total:g} bytes, not to {sum(wanted.values())}." if total != sum(wanted.values())
             else f"31 bytes in all, but not in these parts: look at the {missed[0]} again.")
    raise diagnosed(BY_ID["07.3"], lambda given: [_bytes(given)[part] for part in PARTS],
                    [found[part] for part in PARTS], shown)


def _bytes_source(weights, biases, scales, zero_points):
    return (f'unit = {{"weights": {weights}, "biases": {biases}, "scales": {scales}, '
            f'"zero points": {zero_points}}}\n')


# 07.4, from which width int8 is smaller; tests convert both nets at these widths and one below

WIDTHS = {"one layer": 37, "two layers": 20}


def _widths(answer):
    if not isinstance(answer, dict) or set(answer) != set(WIDTHS):
        raise Wrong(f"This wants two widths, `{{\"one layer\": ..., \"two layers\": ...}}`, and got {short(answer)}.")
    found = {net: number(answer[net], f"a width for {net}") for net in WIDTHS}
    for net, width in found.items():
        if width not in range(1, 10_000):
            raise Wrong(f"A width is a whole number of units from 1 on; for {net} you give {width:g}.")
    return found


def judge_widths(answer):
    found = _widths(answer)
    for net, first in WIDTHS.items():
        if found[net] == first:
            continue
        shown = (f"With {net}, int8 isn't smaller yet at {found[net]:g} units." if found[net] < first else
                 f"With {net}, int8 is smaller at {found[net]:g} units, but not for the first time.")
        raise diagnosed(BY_ID["07.4"], lambda given: list(_widths(given).values()), list(found.values()), shown)
    return "One layer, per tensor, from 37 units on; two layers, per channel, from 20."


def _widths_source(one, two):
    return f'widths = {{"one layer": {one}, "two layers": {two}}}\n'


# 07.5, what dynamic range computes

def _hidden():
    """Return hidden values, a row for each input: of all sizes, of both signs, of one only."""
    random = np.random.default_rng(5)
    h = random.normal(size=(40, 24)) * 10.0 ** random.uniform(-2, 2, (40, 1))
    h[:15] = np.abs(h[:15])
    h[10:15] += h[10:15].max(axis=1, keepdims=True)         # far above 0
    h[35:] = -np.abs(h[35:])
    return h


def _on_the_fly(function):
    h = _hidden()
    made = returned(function, h)
    found = array(made, "an array as large as `h`", kinds="biuf").astype(float)
    if found.shape != h.shape:
        raise Wrong(f"Your array must be as large as `h`, {h.shape}; it's {found.shape}.")
    return found


def _row_on_the_fly(row):
    """Return a row of reals by way of 256 codes, number by number."""
    low, high = min(0.0, *row), max(0.0, *row)
    scale = (high - low) / 255
    zero_point = math.floor(-128 - low / scale + 0.5)
    return [scale * (min(max(math.floor(value / scale + 0.5) + zero_point, -128), 127) - zero_point) for value in row]


def judge_on_the_fly(function):
    found = _on_the_fly(function)
    for row, got in zip(_hidden().tolist(), found, strict=True):
        wanted = np.array(_row_on_the_fly(row))
        off = np.where(np.isfinite(got), np.abs(got - wanted), np.inf)
        if off.max() > 1e-5 * np.ptp([0, *row]):
            at = int(off.argmax())
            shown = (f"In a row from {min(row):.3g} to {max(row):.3g}, {row[at]:.5g} becomes {wanted[at]:.5g}; yours "
                     f"is {got[at]:.5g}.")
            raise diagnosed(BY_ID["07.5"], lambda answer: _on_the_fly(answer).ravel(), found.ravel(), shown)
    return f"On {len(found)} rows, each with a range of its own."


FLY = "def on_the_fly(h):\n"
LOW = "    low = np.minimum(h.min(axis=1, keepdims=True), 0)\n"
HIGH = "    high = np.maximum(h.max(axis=1, keepdims=True), 0)\n"
LINE = "    scale = (high - low) / 255\n    zero = np.rint(-128 - low / scale)\n"
BACK = "    codes = np.clip(np.rint(h / scale) + zero, -128, 127)\n    return (codes - zero) * scale\n"


# 07.6, two points to calibrate on

def _two(answer):
    """Return a float32 array (2, 2), or raise Wrong."""
    asked = "two points, `[(x0, x1), (x0, x1)]`"
    points = array(answer, asked, kinds="biuf").astype(np.float32)
    if points.shape != (2, 2):
        raise Wrong(f"This wants {asked}, and got {short(answer)}.")
    if not ((points >= 0) & (points <= 1)).all():
        raise Wrong(f"The network's inputs lie between 0 and 1, so calibrate there; got {short(answer)}.")
    return points


def _calibrated(points):
    """Return the reference net as the converter quantizes it after these points, and its largest error."""
    from xorlab import compare, data, models, predictors
    from xorlab.integer import IntegerMLP

    model = models.reference(REFERENCE)
    net = IntegerMLP.from_torch(model, points, "xnnpack", granularity="per_channel")
    report = compare.errors(predictors.from_torch(model), predictors.from_integer(net), data.grid(256))
    return net, report.max_abs


@functools.cache
def _of_grid():
    from xorlab import data

    return _calibrated(data.grid(9))


def judge_two(answer):
    points = _two(answer)
    net, error = _calibrated(points)
    whole, limit = _of_grid()
    if error < limit:
        return f"The largest error is {error:.3f}, and the 81 points' is {limit:.3f}."
    shown = f"The largest error is {error:.2f}, and it must be below the 81 points' {limit:.3f}."
    if points.max() < 0.998:
        raise Wrong(f"{shown} The input's range is learned too: yours ends at {points.max():.2f}.")
    ends = [float(net.steps[-2].output.dequantize(code)) for code in (-128, 127)]
    if ends[0] > -1:
        raise Wrong(f"{shown} No answer near 0 was seen: the output's sums begin at {ends[0]:.1f}, which is an answer "
                    "of 0.5.")
    if ends[1] < 1:
        raise Wrong(f"{shown} No answer near 1 was seen: the output's sums end at {ends[1]:.1f}, which is an answer of "
                    "0.5.")
    seen, wanted = (float(one.steps[0].output.dequantize(127)) for one in (net, whole))
    raise Wrong(f"{shown} The hidden sums reach {wanted:.1f}, and yours are cut off at {seen:.1f}." if seen < wanted - 1
                else f"{shown} You're close: try points further apart.")


EXERCISES = (
    Exercise(
        "07.1", "predict", 1, 0, "the smallest file", "guess", "guess = ...\n", 'guess = "float32"\n', judge_smallest,
        hints=("How many bytes are 13 numbers?", "Two of the five are larger than int8's file, and one is smaller.",
               "As float32 the numbers are 52 bytes of more than 2,000. What else must an int8 file say?"),
        wrong=(('guess = "int8"\n', "It saves 27 bytes of weights and pays 356 for scales."),
               ('guess = "float16"\n', "it needs operators that widen them"),
               ('guess = "uint8"\n', "operators at both ends"),
               ('guess = "int16x8"\n', "its biases take 64 bits each")),
        probe=lambda guess: [guess], read=_variant),
    Exercise(
        "07.2", "write", 4, 2, "an honest mean error", "honest_error", HONEST + "    ...\n", HONEST + REAL + MEAN,
        judge_honest,
        hints=("Which unit stands on each side of your minus?", "For the network above it's 0.0009.",
               "`line.dequantize(codes)` gives real numbers. Subtract, take `np.abs`, then the mean."),
        wrong=((HONEST + "    return np.abs(codes - expected).mean()\n", "You subtract real numbers from codes."),
               (HONEST + "    return np.mean(codes - expected)\n", "That's the slip itself: codes minus real numbers."),
               (HONEST + REAL + "    return (real - expected).mean()\n",
                "Errors up and down cancel: take their sizes first."),
               (HONEST + REAL + "    return abs((real - expected).mean())\n",
                "You take the size of the mean. Take the mean of the sizes."),
               (HONEST + REAL + "    return np.abs(real - expected).max()\n",
                "That's the largest error, not the mean."),
               (HONEST + REAL + "    return np.sqrt(((real - expected) ** 2).mean())\n",
                "That's the root of the mean square, which large errors pull up.")),
        probe=lambda f: [round(float(run(f, *_answers(seed))), 9) for seed in (0, 1)]),
    Exercise(
        "07.3", "find", 4, 2, "where 31 bytes go", "unit",
        _bytes_source("...", "...", "...", "..."), _bytes_source(3, 4, 8, 16), judge_bytes,
        hints=("What gets a scale of its own, per channel? There are two such things in a unit.",
               "7 bytes of numbers, and 24 around them.",
               "Three int8 weights and an int32 bias. The weights and the bias have a scale each, 4 bytes, and a zero "
               "point each, 8 bytes."),
        wrong=((_bytes_source(3, 1, 8, 16), "A bias stays int32: it's a sum of many products."),
               (_bytes_source(3, 4, 4, 8), "The bias has a scale and a zero point of its own."),
               (_bytes_source(3, 4, 8, 2), "A zero point is small, but the file stores it in 8 bytes."),
               (_bytes_source(12, 4, 8, 16), "An int8 weight takes 1 byte."),
               (_bytes_source(2, 4, 8, 16), "You miss the weight with which the output layer reads the unit."),
               (_bytes_source(3, 4, 16, 8), "A scale is a float32 of 4 bytes, and a zero point takes 8.")),
        probe=lambda unit: sorted(unit.items())),
    Exercise(
        "07.4", "find", 5, 3, "when int8 is smaller", "widths",
        _widths_source("...", "..."), _widths_source(37, 20), judge_widths,
        hints=("Halve: is int8 smaller at 40 units? Then look at 20 or at 60.",
               "At 36 units one layer's two files have equally many bytes. Two layers cross between 16 and 24.",
               "`sizes(mlp(36))` and `sizes(mlp(37))` differ in who is smaller; so do `mlp(19, 19)` and "
               "`mlp(20, 20)`."),
        wrong=((_widths_source(34, 20), "9 bytes per unit make up for 304 bytes after 34 units, but you start at 3."),
               (_widths_source(36, 20), "Equal isn't smaller: both files have 2,008 bytes."),
               (_widths_source(48, 20), "You stopped halving too early: 40 units are enough too."),
               (_widths_source(37, 24), "You stopped halving too early: 22 units are enough too."),
               (_widths_source(37, 16), "At 16 units int8 is still 276 bytes larger.")),
        probe=lambda widths: sorted(widths.items())),
    Exercise(
        "07.5", "write", 5, 3, "what dynamic range computes", "on_the_fly", FLY + "    ...\n",
        FLY + LOW + HIGH + LINE + BACK, judge_on_the_fly,
        hints=("Where can a range come from, if nobody calibrates?",
               "A row of 0, 20 and 51 comes back unchanged; in a row of 0, 20 and 500, 20 becomes 19.608.",
               "05.2's line with `axis=1, keepdims=True`: `low`, `high`, a scale and a zero point per row. Then to "
               "codes and back."),
        wrong=((FLY + "    return h\n", "The runtime rounds activations too."),
               (FLY + "    scale = np.abs(h).max(axis=1, keepdims=True) / 127\n    return np.rint(h / scale) * scale\n",
                "That's a range around 0. Activations have a zero point, and use all 256 codes."),
               (FLY + "    low, high = min(h.min(), 0), max(h.max(), 0)\n" + LINE + BACK,
                "That's one range for all rows. Each input, a row of `h`, gets its own."),
               (FLY + LOW.replace("axis=1", "axis=0") + HIGH.replace("axis=1", "axis=0") + LINE + BACK,
                "That's a range per unit, over all inputs. Each input, a row of `h`, gets its own."),
               (FLY + "    low, high = h.min(axis=1, keepdims=True), h.max(axis=1, keepdims=True)\n" + LINE + BACK,
                "You don't widen the range until it holds 0, so 0 has no code in some rows.")),
        probe=lambda f: np.round(np.asarray(run(f, _hidden()[::5]), float), 9).tolist()),
    Exercise(
        "07.6", "find", 5, 3, "two points to calibrate on", "two", "two = [(..., ...), (..., ...)]\n",
        "two = [(0, 0), (1, 0)]\n", judge_two,
        hints=("Three ranges are learned: the input's, the hidden sums', the output sum's. What must each have seen?",
               "The input must have seen a 1. The output must have seen an answer near 0 and one near 1.",
               "Take one corner of each class. (0, 0) or (1, 1) for class 0? The hidden sums are largest at (0, 0)."),
        wrong=(("two = [(0, 0), (1, 1)]\n", "No answer near 1 was seen"),
               ("two = [(0, 1), (1, 0)]\n", "No answer near 0 was seen"),
               ("two = [(0.3, 0.3), (0.7, 0.7)]\n", "The input's range is learned too: yours ends at 0.70."),
               ("two = [(0, 1), (1, 1)]\n", "The hidden sums reach 11.9, and yours are cut off at 3.7.")),
        probe=lambda two: _calibrated(_two(two))[1] < _of_grid()[1]),
)
BY_ID = {exercise.id: exercise for exercise in EXERCISES}
