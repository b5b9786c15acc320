"""The exercises of lesson 05, checking the int8 network."""
import functools
import math

import numpy as np

from xorlab.exercises.exercise import Exercise, Wrong
from xorlab.exercises.judging import array, diagnosed, number, pair, returned, run, short
from xorlab.exercises.lesson_02 import counts_of_corners

# 05.1, to a code and back

LINES = ((1 / 255, -128), (4 / 255, 63), (1 / 256, -128))       # scale, zero point


def _reals(scale, zero_point, count=350):
    """Return real numbers around the range of a line's codes, none of them near a tie between two codes."""
    first = -128 - zero_point
    steps = np.linspace(first - 200, first + 455, count)
    fraction = steps % 1
    return scale * np.where(np.abs(fraction - 0.5) < 0.02, steps + 0.2, steps)


def _code(real, scale, zero_point):
    return min(max(math.floor(real / scale + 0.5) + zero_point, -128), 127)


def _pair_of_arrays(function, x, scale, zero_point):
    """Return what a student's function returns, two arrays as long as x, or raise Wrong."""
    made = returned(function, x, scale, zero_point, ends="`return codes, reals`")
    parts = pair(made, "two arrays, `return codes, reals`")
    asked = f"as many codes and reals as `x` has numbers ({len(x)})"
    arrays = [array(part, asked) for part in parts]
    if any(part.shape != x.shape for part in arrays):
        raise Wrong(f"This wants {asked}; yours are {' and '.join(str(part.size) for part in arrays)}.")
    return arrays


def _there_and_back(function):
    """Return all codes, then all real numbers, of a student's function on LINES."""
    pairs = [_pair_of_arrays(function, _reals(*line), *line) for line in LINES]
    return np.concatenate([np.concatenate([pair[part] for pair in pairs]).astype(float) for part in (0, 1)])


def judge_there_and_back(function):
    found = _there_and_back(function)
    count = len(found) // 2
    cases = [(real, *line) for line in LINES for real in _reals(*line)]
    for i, (real, scale, zero_point) in enumerate(cases):
        code = _code(real, scale, zero_point)
        back = (code - zero_point) * scale
        got_code, got_back = found[i], found[count + i]
        if got_code == code and abs(got_back - back) <= 1e-5 * abs(back) + 1e-9:
            continue
        where = f"With scale {scale:.6f} and zero point {zero_point}, {real:.4f}"
        shown = (f"{where} is code {code}; yours is {got_code:g}." if got_code != code else
                 f"{where} is code {code}, which means {back:.4f}; yours means {got_back:.4f}.")
        raise diagnosed(BY_ID["05.1"], _there_and_back, found, shown)
    kind = _pair_of_arrays(function, _reals(*LINES[0]), *LINES[0])[0].dtype
    if kind != np.int8:
        raise Wrong(f"The codes are right, but they're {kind} and a file holds int8. End with `.astype(np.int8)`.")
    half = LINES[0][0] / 2
    return f"On {count:,} numbers. Inside the range you lose at most half a step, {half:.4f}; outside, whatever is cut."


ROUND_TRIP = "def there_and_back(x, scale, zero_point):\n"
STEPS = "    steps = np.round(x / scale) + zero_point\n"
CODES = "    codes = np.clip(steps, -128, 127).astype(np.int8)\n"
BACK = "    return codes, (codes.astype(int) - zero_point) * scale\n"


# 05.2, a line for a range

RANGES = ((0, 1, 1 / 255, -128), (2, 6, 6 / 255, -128), (-3, 1, 4 / 255, 63), (-6, -2, 6 / 255, 127),
          (-5.1, 3.3, 8.4 / 255, 27), (-1, 0.5, 1.5 / 255, 42))      # low, high, and by hand: scale, zero point


def _lines(line):
    found = []
    for low, high, _, _ in RANGES:
        made = returned(line, low, high, ends="`return scale, zero_point`")
        found += [number(value, "two numbers, a scale and a zero point")
                  for value in pair(made, "two numbers, `return scale, zero_point`")]
    return found


def judge_line(line):
    found = _lines(line)
    for i, (low, high, scale, zero_point) in enumerate(RANGES):
        got = found[2 * i: 2 * i + 2]
        if abs(got[0] - scale) > 1e-6 * scale or got[1] != zero_point:
            shown = (f"From {low} to {high} the scale is {scale:.5f} and the zero point {zero_point}; you return "
                     f"{got[0]:.5f} and {got[1]:.5g}.")
            raise diagnosed(BY_ID["05.2"], _lines, found, shown)
    return "Of six ranges, with 0 inside, at an end and outside. 2 to 6 becomes 0 to 6: scale 0.02353, zero point -128."


LINE = "def line(low, high):\n"
WIDER = "    low, high = min(low, 0), max(high, 0)\n"
SCALE = "    scale = (high - low) / 255\n"
ZERO = "    return scale, round(-128 - low / scale)\n"


# 05.3, a tie at 0.5

def judge_tie(guess):
    if guess == (3, 2):
        return "3 with `>` and 2 with `>=`: (0, 0) answers exactly 0.5, and the comparison decides."
    if guess == (2, 3):
        raise Wrong("It's (3, 2). Turned round: `>=` makes 0.5 class 1, and (0, 0) should be 0.")
    if guess[0] == guess[1]:
        raise Wrong("It's (3, 2). The two can't be equal: (0, 0) answers exactly 0.5, and the comparison decides.")
    if guess[0] == 4:
        raise Wrong("It's (3, 2). (1, 1) answers 0.88: class 1, and wrong both times.")
    raise Wrong("It's (3, 2): (0, 1) and (1, 0) are right, (1, 1) is wrong, and (0, 0) is right with `>` only.")


# 05.4, a test for a net whose input is cut

# the range that a net's input was calibrated on, and does it miss an input that the problem has?
CALIBRATED = ((0, 0.7, True), (0, 0.9, True), (0, 0.95, True), (-1, 0.5, True), (0, 1, False), (0, 1.5, False),
              (-1, 1, False))


@functools.cache
def _calibrated():
    """Return predictors of the reference net, int8, each with another range of its input."""
    from xorlab import data, models, predictors
    from xorlab.integer import IntegerMLP

    grids = [(low + (high - low) * data.grid(9)).astype(np.float32) for low, high, _ in CALIBRATED]
    return [predictors.from_integer(IntegerMLP.from_torch(models.reference(), points)) for points in grids]


def _verdicts(misses):
    found = []
    for p in _calibrated():
        said = returned(misses, p, ends="`return` and a comparison")
        if not isinstance(said, (bool, np.bool_)):
            raise Wrong(f"This wants True or False from your function, and got {short(said)}.")
        found.append(float(said))
    return found


def judge_misses(misses):
    found = _verdicts(misses)
    for said, (low, high, cut) in zip(found, CALIBRATED, strict=True):
        if bool(said) != cut:
            shown = (f"A net calibrated from {low} to {high} reads 1 as {high}, and you let it pass." if cut else
                     f"A net calibrated from {low} to {high} misses nothing, and you refuse it.")
            raise diagnosed(BY_ID["05.4"], _verdicts, found, shown)
    return "Seven nets: you find the four that can't read a 1, and let the other three pass."


MISSES = "def misses(p):\n"
LIMITS = "    limits = np.array([0, 1])\n"
AND_BACK = "    back = p.input.dequantize(p.input.quantize(limits))\n"
APART = "    return np.abs(back - limits).max() > p.input.scale\n"
MISSED = "    return np.abs({} - limits).max() > p.input.scale\n"


# 05.5, clip or round

BITS = (8, 4, 2)
ALLOWED = 1.05      # of the least squared error


def _weights():
    return np.append(np.random.default_rng(0).normal(size=1000), 8)


def _squared_error(limit, bits):
    """Return what rounding to the codes of some bits loses, if the largest code means `limit`."""
    largest, weights = 2 ** (bits - 1) - 1, _weights()
    nearest = limit / largest * np.arange(-largest, largest + 1)        # all that the codes can mean
    return float(np.mean(np.abs(weights[:, None] - nearest).min(axis=1) ** 2))


@functools.cache
def _least(bits):
    """Return the least squared error of all limits from 0.02 to 8."""
    return min(_squared_error(limit, bits) for limit in np.linspace(0.02, 8, 400))


def _limits(answer):
    """Return {bits: limit} as floats, or raise Wrong."""
    if not isinstance(answer, dict) or set(answer) != set(BITS):
        raise Wrong(f"This wants a limit for 8, for 4 and for 2 bits, `{{8: ..., 4: ..., 2: ...}}`, and got "
                    f"{short(answer)}.")
    limits = {bits: number(answer[bits], f"a number as the limit at {bits} bits") for bits in BITS}
    for bits, limit in limits.items():
        if not 0 < limit <= 1e6:
            raise Wrong(f"The limit at {bits} bits must be above 0, and no weight is above 8; got {limit:g}.")
    return limits


def judge_limits(answer):
    limits = _limits(answer)
    for bits, limit in limits.items():
        best, lost = _least(bits), _squared_error(limit, bits)
        if lost <= ALLOWED * best:
            continue
        shown = f"At {bits} bits the limit {limit:g} loses {lost:.2g}; the best loses {best:.2g}."
        zero = float(np.mean(np.abs(_weights()) < limit / (2 ** (bits - 1) - 1) / 2))
        if bits == 8 and limit < 8:
            raise Wrong(f"{shown} There are codes enough for the outlier: cutting it off costs more than rounding.")
        if zero > 0.4 and _squared_error(0.9 * limit, bits) < lost:
            raise Wrong(f"{shown} {zero:.0%} of the weights become 0: take a smaller limit.")
        way = "smaller" if _squared_error(0.95 * limit, bits) < lost else "larger"
        raise Wrong(f"{shown} Try a {way} limit.")
    return ("Fewer bits, tighter limits: " + ", ".join(f"{_squared_error(limits[bits], bits):.2g} at {bits} bits"
                                                       for bits in BITS) + " is within 5 % of the best.")


def _limits_source(at_8, at_4, at_2):
    return f"limits = {{8: {at_8}, 4: {at_4}, 2: {at_2}}}\n"


EXERCISES = (
    Exercise(
        "05.1", "write", 4, 3, "to a code and back", "there_and_back", ROUND_TRIP + "    ...\n",
        ROUND_TRIP + STEPS + CODES + BACK, judge_there_and_back,
        hints=("To a code: divide, round, shift, clip. Back: unshift, multiply.",
               "On the first line 0, 0.25, 0.65, 1 and 1.2 become -128, -64, 38, 127 and 127.",
               "`np.clip(np.round(x / scale) + zero_point, -128, 127).astype(np.int8)`; then "
               "`(codes.astype(int) - zero_point) * scale`, because 127 + 128 doesn't fit into int8."),
        wrong=((ROUND_TRIP + STEPS + CODES + "    return codes, (codes - zero_point) * scale\n",
                "int8 minus int8 stays int8, and 127 + 128 wraps round to -1."),
               (ROUND_TRIP + STEPS + "    codes = steps.astype(np.int8)\n" + BACK,
                "You don't clip, and int8 has no room beyond its codes."),
               (ROUND_TRIP + "    steps = x / scale + zero_point\n" + CODES + BACK,
                "You don't round: a cast cuts off what is behind the point."),
               (ROUND_TRIP + STEPS.replace("+ zero_point", "- zero_point") + CODES + BACK,
                "The shift is turned: 0 must become the zero point."),
               (ROUND_TRIP + STEPS + CODES + "    return codes, codes * scale\n",
                "On the way back you don't subtract the zero point.")),
        probe=lambda f: [np.round(part, 9).tolist() for scale, zero in ((0.01, -128), (0.5, 3)) for part in
                         run(f, scale * np.array([-300.3, -140.2, -1.4, 0, 0.7, 99.6, 254.7, 700]), scale, zero)]),
    Exercise(
        "05.2", "write", 4, 2, "a line for a range", "line", LINE + "    ...\n", LINE + WIDER + SCALE + ZERO,
        judge_line,
        hints=("Which code does `low` get, once 0 is inside?",
               "From 2 to 6: 0.02353 and -128. From -3 to 1: 0.01569 and 63.",
               "Widen: `min(low, 0)`, `max(high, 0)`. The scale is the range over 255 steps, the zero point "
               "`round(-128 - low / scale)`."),
        wrong=((LINE + SCALE + ZERO, "You don't widen: 0 then has no code where the range leaves it out."),
               (LINE + WIDER + SCALE.replace("255", "256") + ZERO, "256 codes have 255 steps between them."),
               (LINE + WIDER + SCALE + "    return scale, round(-low / scale)\n",
                "That starts at 0, as uint8 does. int8 starts at -128."),
               (LINE + WIDER + SCALE + "    return scale, -128 - low / scale\n",
                "A zero point is a code, so round it to a whole number."),
               (LINE + WIDER + SCALE + "    return scale, round(-128 + low / scale)\n",
                "The sign is turned: a lower `low` moves 0 to higher codes.")),
        probe=lambda f: [f"{value:.9g}" for low, high in ((0, 2), (1, 3), (-0.7, 2), (-4, -1), (-2, 0.25))
                         for value in run(f, low, high)]),
    Exercise(
        "05.3", "predict", 1, 0, "a tie at 0.5", "guess", "guess = ...\n", "guess = (3, 2)\n", judge_tie,
        hints=("Is 0.5 above 0.5?", "The two counts differ by one.",
               "(0, 1) and (1, 0) are right, (1, 1) is wrong; (0, 0) is class 0 with `>` and 1 with `>=`."),
        wrong=(("guess = (2, 3)\n", "Turned round"), ("guess = (3, 3)\n", "the comparison decides"),
               ("guess = (4, 3)\n", "(1, 1) answers 0.88"), ("guess = (2, 1)\n", "right with `>` only")),
        probe=lambda guess: [guess], read=lambda guess: counts_of_corners(guess, (4, 1))),
    Exercise(
        "05.4", "write", 4, 3, "a test for a cut-off input", "misses", MISSES + "    ...\n",
        MISSES + LIMITS + AND_BACK + APART, judge_misses,
        hints=("Send a limit of the data in and back. What may come back?",
               "`int8-middle.tflite` reads 1.0 as 0.7. A net from 0 to 1.5 reads it as 0.99999.",
               "`p.input.quantize`, then `p.input.dequantize`, of 0 and 1. Whatever moves by more than "
               "`p.input.scale` was cut off."),
        wrong=((MISSES + "    from xorlab import compare\n    return compare.corners_right(p) < 4\n",
                "Four right corners prove nothing: from 0 to 0.9 they are all right, and the surface is off by 0.68."),
               (MISSES + "    return abs(p.input.scale - 1 / 255) > 1e-6\n",
                "Another scale is no fault: from -1 to 1 nothing is missed."),
               (MISSES + LIMITS + MISSED.format("p.input.quantize(limits)"),
                "You compare codes with real numbers, so you refuse every net: compare what the codes mean."),
               (MISSES + LIMITS + AND_BACK + "    return (back != limits).any()\n",
                "Rounding isn't cutting: allow half a step, and something for float32.")),
        probe=lambda misses: [bool(run(misses, p)) for p in _calibrated()]),
    Exercise(
        "05.5", "find", 3, 2, "clip or round", "limits", "limits = {8: ..., 4: ..., 2: ...}\n",
        _limits_source(8, 3.3, 1.2), judge_limits,
        hints=("There are two errors, beyond the limit and between the codes. Which one grows with fewer bits?",
               "The least squared errors are 0.0003, 0.041 and 0.24.",
               "Try `squared_error(limit, bits)` for limits from 8 down. At 8 bits keep the outlier; at 2 bits go down "
               "almost to 1."),
        wrong=((_limits_source(8, 8, 1.2), "44% of the weights become 0"),
               (_limits_source(2.55, 3.3, 1.2), "codes enough for the outlier"),
               (_limits_source(8, 3.3, 3.3), "91% of the weights become 0"),
               (_limits_source(8, 2, 1.2), "Try a larger limit")),
        probe=lambda limits: sorted(limits.items())),
)
BY_ID = {exercise.id: exercise for exercise in EXERCISES}
