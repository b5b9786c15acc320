"""The exercises of lesson 08, which reproduces a runtime in integers."""
import functools
import math
from fractions import Fraction

import numpy as np

from xorlab.exercises.exercise import Exercise, Wrong
from xorlab.exercises.judging import array, diagnosed, number, pair, returned, short

UNIT, BIAS = (-127, -126), 46838        # unit 0 of sigmoid-2-3-1: its weights' codes and its bias
FIRST_LAYER = (np.array([UNIT, (-127, -122), (-127, -117)]), np.array([BIAS, 13250, 12205]), -128)
MULTIPLIER, SHIFT = 1235464491, -8      # and what scales its sums


def _whole(value, asked, shape, named):
    """Return an array of whole numbers of this shape as int64, or raise Wrong with what was asked for."""
    made = array(value, asked, finite=True)
    if made.shape != shape:
        raise Wrong(f"This wants {asked}: {named} the shape {shape}, and yours has {made.shape}.")
    off = made[(made != np.round(made)) | (np.abs(made) > 2**53)]
    if len(off):
        raise Wrong(f"This wants whole numbers, and yours has {off[0]:g}.")
    return made.astype(np.int64)


# 08.1 and 08.2, a layer's sums

@functools.cache
def _layers():
    """Return layers as (q, weights, biases, zero point): one with as many units as inputs comes first."""
    rng = np.random.default_rng(8)

    def codes(*shape):
        return rng.integers(-128, 128, shape)

    q = np.arange(-128, 128, dtype=np.int8)
    every = np.stack(np.meshgrid(q, q, indexing="ij"), axis=-1).reshape(-1, 2)
    return ((codes(60, 3).astype(np.int8), codes(3, 3), 100 * codes(3), -128), (every, *FIRST_LAYER),
            (codes(40, 64).astype(np.int8), codes(5, 64), 1000 * codes(5), 17))


def _true_sums(q, w, b, zx):
    return np.stack([bias + sum(int(weight) * (q[:, i].astype(np.int64) - zx) for i, weight in enumerate(row))
                     for row, bias in zip(w, b, strict=True)], axis=1)


def _sums(accumulate, layers):
    found = []
    for q, w, b, zx in layers:
        value = returned(accumulate, q, w, b, zx, ends="`return` and the sums")
        asked = "the sums, whole numbers, a row for each input"
        found.append(_whole(value, asked, (len(q), len(w)), f"for {len(q):,} inputs and {len(w)} units").ravel())
    return np.concatenate(found)


def judge_accumulate(accumulate):
    for layers in (_layers()[:1], _layers()):       # where `@ w` fits, it hears why it is wrong
        found, at = _sums(accumulate, layers), 0
        for q, w, b, zx in layers:
            true = _true_sums(q, w, b, zx)
            mine = found[at: at + true.size].reshape(true.shape)
            at += true.size
            if (mine != true).any():
                row, unit = np.argwhere(mine != true)[0]
                shown = (f"For the codes {short(q[row].tolist())}, zero point {zx}, weights {short(w[unit].tolist())} "
                         f"and bias {b[unit]} the sum is {true[row, unit]}; yours is {mine[row, unit]}.")
                raise diagnosed(BY_ID["08.1"], lambda answer, layers=layers: _sums(answer, layers), found, shown)
    return "On all 65,536 inputs and on a layer of 64 inputs. The input [1, 119] makes -667, -33267 and -33077."


ACCUMULATE = "def accumulate(q, w, b, zx):\n    {}\n"
SUM = "return (q.astype(np.int64) - zx) @ w.T + b"


def _biases(fold_bias, layers):
    found = []
    for _, w, b, zx in layers:
        value = returned(fold_bias, w, b, zx, ends="`return` and the new biases")
        found.append(_whole(value, "the new biases, a whole number for each unit", (len(w),), f"for {len(w)} units"))
    return np.concatenate(found)


def judge_fold_bias(fold_bias):
    for layers in (_layers()[:1], _layers()):
        found = _biases(fold_bias, layers)
        rows = [(row, int(bias), zx) for _, w, b, zx in layers for row, bias in zip(w.tolist(), b, strict=True)]
        for got, (row, bias, zx) in zip(found, rows, strict=True):
            folded = bias - sum(weight * zx for weight in row)
            if got != folded:
                shown = (f"With the weights {short(row)}, bias {bias} and zero point {zx} it's {folded}; yours is "
                         f"{got}.")
                raise diagnosed(BY_ID["08.2"], lambda answer, layers=layers: _biases(answer, layers), found, shown)
    return "46838 becomes 14454, and nothing is subtracted from a code any more: `q @ w.T` plus this is the same sum."


FOLD = "def fold_bias(w, b, zx):\n    return {}\n"


# 08.3, a factor as an integer and a shift

CARRY, TIE = 1 - 2**-40, 0.5 + 2**-32


@functools.cache
def _factors():
    drawn = np.exp(np.random.default_rng(83).uniform(math.log(1e-5), math.log(4), 250))
    return (MULTIPLIER / 2 ** (31 - SHIFT), *map(float, drawn), 0.5, 1.0, 3.0, CARRY, 2 * CARRY, TIE, TIE / 8)


def _true_multiplier(factor):
    """Return (multiplier, shift) by exact fractions."""
    exact, shift = Fraction(factor), 0
    while exact >= 1:
        exact, shift = exact / 2, shift + 1
    while exact < Fraction(1, 2):
        exact, shift = exact * 2, shift - 1
    multiplier = math.floor(exact * 2**31 + Fraction(1, 2))
    return (multiplier, shift) if multiplier < 2**31 else (multiplier // 2, shift + 1)


@functools.cache
def _true_multipliers():
    return tuple(map(_true_multiplier, _factors()))


def _off(function):
    """Return by how much a student's multipliers and shifts are off, one after the other."""
    off = []
    for factor, true in zip(_factors(), _true_multipliers(), strict=True):
        made = returned(function, factor, ends="`return multiplier, shift`")
        found = [number(value, "two whole numbers, multiplier and shift")
                 for value in pair(made, "two numbers, `return multiplier, shift`")]
        if any(value != int(value) for value in found):
            raise Wrong(f"Multiplier and shift must be whole numbers: for M = {factor:.6g} you return {short(made)}.")
        off += [found[0] - true[0], found[1] - true[1]]
    return np.array(off)


def judge_multiplier(function):
    off = _off(function).reshape(-1, 2)
    wrong = np.flatnonzero(off.any(axis=1))
    if len(wrong):
        factor, true = _factors()[wrong[0]], _true_multipliers()[wrong[0]]
        name = {CARRY: "1 - 2^-40", TIE: "0.5 + 2^-32"}.get(factor, f"{factor:.6g}")
        shown = (f"For M = {name} it's {true[0]} and {true[1]}; yours is {true[0] + off[wrong[0], 0]:.0f} and "
                 f"{true[1] + off[wrong[0], 1]:.0f}. That happens on {len(wrong)} of {len(off)} factors.")
        raise diagnosed(BY_ID["08.3"], _off, off.ravel(), shown)
    return f"On {len(off)} factors. The first unit's becomes {MULTIPLIER} / 2^31 * 2^{SHIFT}."


SPLIT = ("def quantize_multiplier(M):\n    mantissa, shift = np.frexp(M)\n    multiplier = {}\n"
         "{}    return multiplier, {}\n")
NEAREST = "int(np.floor(mantissa * 2**31 + 0.5))"
CARRIED = "    if multiplier == 2**31:\n        return 2**30, shift + 1\n"


# 08.4 and 08.6, back to 8 bits

# multiplier, shift, output zero point, lowest code: units of the three reference nets, and made ones
SCALINGS = ((MULTIPLIER, SHIFT, 22, -128), (2105550328, -7, 0, -128), (1188051782, -8, -128, -128),
            (1082196480, -5, -3, -128), (1500000001, -1, 5, 5), (1610612736, -12, -40, -40), (1073741824, -3, 90, -128))


@functools.cache
def _cases():
    """Return (sums, multiplier, shift, zero point, lowest code): sums beside ties and between them, and far beyond."""
    cases, far = [], np.linspace(-(1 << 24), 1 << 24, 101).astype(int)
    for multiplier, shift, zo, low in SCALINGS:
        factor = Fraction(multiplier, 2 ** (31 - shift))
        ties = np.array([round((step + Fraction(1, 2)) / factor) for step in range(-135 - zo, 135 - zo)])
        cases.append((np.unique([*(ties - 1), *ties, *(ties + 1), *far]), multiplier, shift, zo, low))
    return tuple(cases)


def _codes(requantize):
    found = []
    for case in _cases():
        value = returned(requantize, *case, ends="`return` and the codes")
        found.append(_whole(value, "the codes, a whole number for each sum", case[0].shape, "the sums have"))
    return np.concatenate(found)


def _once(acc, multiplier, shift):
    """Return the nearest whole number of steps, ties up, by Python's own integers."""
    whole = 1 << (31 - shift)
    return (2 * acc * multiplier + whole) // (2 * whole)


def _twice(acc, multiplier, shift):
    """Return the steps as TFLite Micro rounds them, by Python's own integers."""
    first = _once(acc, multiplier, 0)
    size = (2 * abs(first) + (1 << -shift)) // (2 << -shift)
    return size if first >= 0 else -size


def _judge_codes(identity, requantize, steps):
    found, at = _codes(requantize), 0
    for sums, multiplier, shift, zo, low in _cases():
        for acc in sums.tolist():
            true = min(max(steps(acc, multiplier, shift) + zo, low), 127)
            if found[at] != true:
                shown = (f"The sum {acc} with multiplier {multiplier}, shift {shift}, zero point {zo} and lowest code "
                         f"{low} makes code {true}; yours is {found[at]}.")
                raise diagnosed(BY_ID[identity], _codes, found, shown)
            at += 1
    return at


def judge_requantize(requantize):
    count = _judge_codes("08.4", requantize, _once)
    return f"On {count:,} sums, most of them beside a tie: each goes to its nearest code."


def judge_requantize_twice(requantize):
    count = _judge_codes("08.6", requantize, _twice)
    return f"On {count:,} sums, most of them beside a tie. You've reproduced TFLite Micro."


ONCE = "def requantize(acc, multiplier, shift, zo, low):\n    steps = {}\n    return {}\n"
ROUNDED = "(acc * multiplier + (1 << (30 - shift))) >> (31 - shift)"
CLAMPED = "np.clip(steps + zo, low, 127)"
TWICE = ("def requantize_twice(acc, multiplier, shift, zo, low):\n    first = (acc * multiplier{}) >> 31\n"
         "    half = 1 << -shift >> 1\n    steps = {}\n    return np.clip(steps + zo, low, 127)\n")
HALF_UP, AWAY = " + (1 << 30)", "np.sign(first) * ((np.abs(first) + half) >> -shift)"


# 08.5, two more sums

def _reached(acc):
    """Does an input make this sum in unit 0?"""
    return any((BIAS - acc + UNIT[0] * i) % -UNIT[1] == 0 and 0 <= (BIAS - acc + UNIT[0] * i) // -UNIT[1] <= 255
               for i in range(256))


def judge_sums(answer):
    asked = "two sums, one above 0 and one below, e.g. (700, -700)"
    above, below = (number(value, asked) for value in pair(answer, asked))
    for acc, says, right_side in ((above, "first sum must be above 0", above > 0),
                                  (below, "second sum must be below 0", below < 0)):
        if acc != int(acc):
            raise Wrong(f"A sum is a whole number, and {acc:g} is none.")
        if not right_side:
            raise Wrong(f"The {says}; yours is {acc:.0f}.")
    if below == -667:
        raise Wrong("-667 is the lesson's own. Find another one below 0.")
    for acc in (int(above), int(below)):
        if not -17677 <= acc <= BIAS:
            raise Wrong(f"Inputs reach sums from -17677 to 46838; {acc} is beyond.")
        if not _reached(acc):
            raise Wrong(f"No input makes the sum {acc}: take another one.")
        once, twice = _once(acc, MULTIPLIER, SHIFT), _twice(acc, MULTIPLIER, SHIFT)
        if once == twice:
            first = _once(acc, MULTIPLIER, 0)
            raise Wrong(f"Rounded once or twice, {acc} makes {once}: the first rounding lands on {first}, " + (
                f"or {(abs(first) - 128) % 256} beyond a tie. Which remainder is a tie?" if abs(first) % 256 != 128 else
                f"a tie, but {acc} M is {acc * MULTIPLIER / 2**39:.4f}, which goes that way anyway."))
    return ("97 of the 48,766 sums that unit 0 can reach are like that, on 137 inputs. Many lie 445 apart: that's "
            "1 / M, one step of the output.")


SUMS = "sums = ({}, {})\n"

EXERCISES = (
    Exercise(
        "08.1", "write", 4, 3, "the sums of a layer", "accumulate", ACCUMULATE.format("..."), ACCUMULATE.format(SUM),
        judge_accumulate,
        hints=("What is `np.int8([1]) - (-128)`? An int8 has no room for 129.",
               "The input [1, 119] must make -667 in unit 0: -127 * 129 - 126 * 247 + 46838.",
               "`(q.astype(np.int64) - zx) @ w.T + b`: `w` has a row per unit, so it's turned for the product."),
        wrong=((ACCUMULATE.format("return (q - zx) @ w.T + b"),
                "int8 wraps round: 1 + 128 becomes -127, and 49,152 of the 65,536 inputs get wrong sums."),
               (ACCUMULATE.format("return q.astype(np.int64) @ w.T + b"),
                "You leave out the zero point: it's the code that stands for 0."),
               (ACCUMULATE.format("return (q.astype(np.int64) + zx) @ w.T + b"), "The zero point is subtracted."),
               (ACCUMULATE.format("return (q.astype(np.int64) - zx) @ w + b"),
                "Weights lie as (units, inputs): a row is a unit."),
               (ACCUMULATE.format("return (q.astype(np.int64) - zx) @ w.T"), "You leave out the biases.")),
        probe=lambda f: [f(q, w, b, zx).tolist() for q, w, b, zx in (
            (np.int8([[1, 119], [-128, 127]]), *FIRST_LAYER), (np.int8([[5, -9]]), np.array([[3, -4]]), [7], 2))]),
    Exercise(
        "08.2", "write", 3, 2, "fold the zero point", "fold_bias", "def fold_bias(w, b, zx):\n    ...\n",
        FOLD.format("b - zx * w.sum(axis=1)"), judge_fold_bias,
        hints=("Multiply the bracket out: w (q - z) is w q - w z. Which part doesn't depend on the input?",
               "46838 becomes 46838 - 128 * 253, or 14454.",
               "`b - zx * w.sum(axis=1)`: the sum of a row, times the zero point."),
        wrong=((FOLD.format("b + zx * w.sum(axis=1)"), "Its sign is wrong: minus, for the bracket holds a minus."),
               (FOLD.format("b - zx * w.sum(axis=0)"), "Sum over the inputs, so that there's one number per unit."),
               (FOLD.format("b - zx"), "Each weight multiplies the zero point."),
               (FOLD.format("-zx * w.sum(axis=1)"), "The old bias is still needed.")),
        probe=lambda f: [np.asarray(f(w, b, zx)).tolist() for w, b, zx in (
            FIRST_LAYER, (np.array([[3, -4, 9], [5, 6, 7]]), np.array([7, -20]), 2))]),
    Exercise(
        "08.3", "write", 5, 3, "an integer and a shift", "quantize_multiplier",
        "def quantize_multiplier(M):\n    ...\n", SPLIT.format(NEAREST, CARRIED, "shift"), judge_multiplier,
        hints=("`np.frexp(M)` gives a fraction from 1/2 up to 1, and the power of two. What's left is to round.",
               "The lesson's M must become 1235464491 and -8; 1 - 2^-40 must become 2^30 and 1.",
               "Round with `int(np.floor(mantissa * 2**31 + 0.5))`. Where that makes 2^31, return `2**30, shift + 1`."),
        wrong=((SPLIT.format("int(mantissa * 2**31)", CARRIED, "shift"),
                "You cut off what is behind the point: then half of the multipliers are one too small."),
               (SPLIT.format("round(mantissa * 2**31)", CARRIED, "shift"),
                "0.5 + 2^-32 is a tie, and Python's `round` sends it to the even number."),
               (SPLIT.format(NEAREST, "", "shift"), "A fraction near 1 rounds up to 2^31, which has one bit too many."),
               (SPLIT.format(NEAREST, CARRIED.replace("shift + 1", "-shift - 1"), "-shift"),
                "The shift's sign is turned: a small M has a negative one.")),
        probe=lambda f: [tuple(map(int, f(factor))) for factor in (0.0022472968, 0.3, 1.5, CARRY, TIE, 3e-5)]),
    Exercise(
        "08.4", "write", 5, 3, "multiply, shift, round, clamp", "requantize",
        "def requantize(acc, multiplier, shift, zo, low):\n    ...\n", ONCE.format(ROUNDED, CLAMPED), judge_requantize,
        hints=("`>>` rounds down. What do you add before it, so that it rounds to the nearest number?",
               "-667 with 1235464491 and -8 is -1.499 steps, so -1, and with the zero point 22 the code is 21.",
               "Half of 2^(31 - shift) is `1 << (30 - shift)`. Then `np.clip(steps + zo, low, 127)`."),
        wrong=((ONCE.format("(acc * multiplier) >> (31 - shift)", CLAMPED),
                "A bare shift rounds down: in the network 14,246 answers would differ."),
               (ONCE.format("((acc.astype(np.int32) * np.int32(multiplier)).astype(np.int64) + (1 << (30 - shift)))"
                            " >> (31 - shift)", CLAMPED), "This product needs 64 bits: in 32 it wraps round."),
               (ONCE.format(ROUNDED, "np.clip(steps, low, 127) + zo"), "The zero point comes before the clamp."),
               (ONCE.format(ROUNDED.replace("30", "31"), CLAMPED),
                "You add a whole step before the shift: add half of one."),
               (ONCE.format(ROUNDED, "np.clip(steps, low, 127)"), "The zero point is missing."),
               (ONCE.format(ROUNDED, "steps + zo"), "You don't clamp, and codes end at 127.")),
        probe=lambda f: [np.asarray(f(sums, *rest)).tolist() for sums, *rest in _cases()]),
    Exercise(
        "08.5", "find", 5, 2, "sums that rounding twice moves", "sums", "sums = ...\n",
        SUMS.format(667, -222), judge_sums,
        hints=("On what must the first rounding land, so that the second sees a tie?",
               "On 128 plus a multiple of 256. -667 lands on -384, or -(256 + 128).",
               "Many lie 445, or 1 / M, apart. Start from -667 and go up in such steps; 667 is one, too."),
        wrong=((SUMS.format(667, -667), "-667 is the lesson's own"), (SUMS.format(666, -222), "or 255 beyond a tie"),
               (SUMS.format(48000, -222), "Inputs reach sums from -17677 to 46838"),
               (SUMS.format(-222, 667), "first sum must be above 0")),
        probe=lambda sums: list(sums)),
    Exercise(
        "08.6", "write", 5, 3, "round twice", "requantize_twice",
        "def requantize_twice(acc, multiplier, shift, zo, low):\n    ...\n", TWICE.format(HALF_UP, AWAY),
        judge_requantize_twice,
        hints=("Two shifts, and each rounds. Below 0, how does a tie get away from 0?",
               "-384 / 256 is -1.5 and must become -2; -385 / 256 becomes -2, too, and -383 / 256 becomes -1.",
               "First `(acc * multiplier + (1 << 30)) >> 31`. Then round the size, `np.abs`, and put `np.sign` back."),
        wrong=((TWICE.format(HALF_UP, "(first + half) >> -shift"),
                "Your second tie goes up, as in LiteRT on x86: 61 answers would differ. Below 0 it goes down."),
               (TWICE.format("", AWAY), "You cut off the first time: 66 answers would differ. Both steps round."),
               (ONCE.format(ROUNDED, CLAMPED).replace("requantize", "requantize_twice"),
                "That rounds once, as in 08.4: 69 answers would differ."),
               (TWICE.format(HALF_UP, "(np.abs(first) + half) >> -shift"), "The sign is lost: put it back.")),
        probe=lambda f: [np.asarray(f(sums, *rest)).tolist() for sums, *rest in _cases()]),
)
BY_ID = {exercise.id: exercise for exercise in EXERCISES}
