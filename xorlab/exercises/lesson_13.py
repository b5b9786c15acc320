"""The exercises of lesson 13, a model of your own."""
import functools
import math
from fractions import Fraction

import numpy as np

from xorlab.exercises.exercise import Exercise, Wrong
from xorlab.exercises.judging import array, diagnosed, number, result, returned, short

DIFFERING, INPUTS, TESTS = 15, 256, 7       # of the sine net, TFLite Micro and reference; what its test asks
FIRST = 2                                   # operator of the residual net in which reference and built-in part first

# 13.1, the chance to miss them all

CASES = ((DIFFERING, INPUTS, TESTS), (23, 256, 7), (3, 10, 2), (1, 9, 4), (0, 12, 5), (40, 50, 3), (4, 6, 3),
         (69, 65_536, 1_000))


def _chance(differ, total, tests):
    """Return the chance by drawing one test after the other, as a Fraction."""
    chance = Fraction(1)
    for drawn in range(tests):
        chance *= Fraction(max(total - differ - drawn, 0), total - drawn)
    return chance


def _chances(missed):
    return [result(missed, *case) for case in CASES]


def judge_missed(missed):
    found = _chances(missed)
    for (differ, total, tests), got in zip(CASES, found, strict=True):
        chance = float(_chance(differ, total, tests))
        if abs(got - chance) > 1e-9:
            shown = (f"With {differ} of {total:,} that differ, {tests:,} tests miss them all with a chance of "
                     f"{chance:.4g}; yours is {got:.4g}.")
            raise diagnosed(BY_ID["13.1"], _chances, found, shown)
    enough = next(tests for tests in range(INPUTS) if _chance(DIFFERING, INPUTS, tests) < Fraction(1, 20))
    return (f"{float(_chance(*CASES[0])):.3f} for {DIFFERING} of {INPUTS} and {TESTS} tests. It takes {enough} tests "
            "to bring it below 5 %.")


MISSED = "import math\n\n\ndef missed(differ, total, tests):\n"


# 13.2, where each input parts

@functools.cache
def _pairs():
    """Return pairs of lists of codes, one array for each operator: the sine net under two rules, and made-up ones."""
    from xorlab.integer import IntegerGraph
    from xorlab.report.examples import example

    q, net = np.arange(-128, 128).astype(np.int8)[:, None], IntegerGraph.from_tflite(example("sine"))
    pairs = [tuple([step.codes for step in net.under(rule).trace(q)] for rule in ("tflm", "reference"))]
    rng = np.random.default_rng(3)
    for shapes in (((4,), (2, 2, 3), (5,), (1,)), ((3,), (2,))):
        a = [rng.integers(-128, 128, (12, *shape)).astype(np.int8) for shape in shapes]
        b = [x.copy() for x in a]
        for operator, x in enumerate(b):
            for sample in np.flatnonzero(rng.random(12) < (0.1, 0.3, 0.3, 0.2)[operator]):
                x[sample].flat[rng.integers(x[sample].size)] ^= 1
        pairs.append((a, b))
    return pairs


def _first(a, b, sample):
    for operator, (x, y) in enumerate(zip(a, b, strict=True)):
        if x[sample].tobytes() != y[sample].tobytes():
            return operator
    return -1


def _places(first_apart):
    """Return what a student's function returns for every input of the pairs, as one list."""
    found = []
    for a, b in _pairs():
        made, asked = returned(first_apart, a, b), f"one whole number for each of {len(a[0])} inputs"
        places = array(made, asked, kinds="iu")
        if places.shape != (len(a[0]),):
            raise Wrong(f"This wants {asked}, and got {short(made)}"
                        + (f", of shape {places.shape}." if places.ndim else "."))
        found += places.tolist()
    return found


def judge_first_apart(first_apart):
    found = _places(first_apart)
    wanted = [_first(a, b, sample) for a, b in _pairs() for sample in range(len(a[0]))]
    for i, (operator, got) in enumerate(zip(wanted, found, strict=True)):
        if operator != got:
            where = f"Input {i} of the sine net" if i < INPUTS else "An input of a made-up net"
            shown = (f"{where} parts in operator {operator}; yours says {got}." if operator >= 0 else
                     f"{where} parts nowhere, which is -1; yours says {got}.")
            raise diagnosed(BY_ID["13.2"], _places, found, shown)
    counts = [wanted[:INPUTS].count(operator) for operator in range(-1, 3)]
    return (f"Of the sine net's {INPUTS} inputs, {counts[0]} part nowhere, {counts[1]} in operator 0, {counts[2]} in "
            f"operator 1 and {counts[3]} in operator 2.")


APART = "def first_apart(a, b):\n"
ROWS = "    d = np.array([(x != y).reshape(len(x), -1).any(axis=1) for x, y in zip(a, b)])\n"
PLACES = "    return np.where(d.any(axis=0), d.argmax(axis=0), -1)\n"


# 13.3, the operator of the residual net that parts first

def _operator(guess):
    value = number(guess, "the number of an operator, 0 to 8")
    if value not in range(9):
        raise Wrong(f"The residual net has the operators 0 to 8, got {short(guess)}.")
    return int(value)


def judge_first(guess):
    if guess == FIRST:
        return "The first one that has weights and no ReLU: its ties below 0 reach its codes."
    because = {
        0: "operator 0 has a ReLU, which cuts off whatever lies below 0, ties included",
        1: "operator 1 has a ReLU, too",
        3: "ADD only passes on what it gets. By then they have parted",
        6: "ADD only passes on what it gets. By then they have parted long ago",
        8: "the dense layer parts as well, but it's the last",
    }.get(guess, "by then they have parted")
    raise Wrong(f"It's {FIRST}: {because}.")


# 13.4, signal over noise

LINES = ((0.02464, -128), (0.00797508, 0), (1 / 256, -128), (0.5, 31))      # scale, zero point
SHAPES = ((300,), (40, 16), (20, 3, 3, 2), (500,))


@functools.cache
def _layers():
    """Return (real numbers, their codes, their line) of layers: some are calibrated too narrowly."""
    from xorlab.integer.affine import Affine

    rng, made = np.random.default_rng(1), []
    for (scale, zero), shape in zip(LINES, SHAPES, strict=True):
        affine = Affine(scale, zero)
        low, high = affine.dequantize([-128, 127])
        real = rng.uniform(low, 1.1 * high, shape).astype(np.float32)
        made.append((real, affine.quantize(real + rng.normal(0, scale, shape).astype(np.float32)), affine))
    return made


def _decibels(real, codes, affine):
    pairs = list(zip(real.ravel().tolist(), codes.ravel().tolist(), strict=True))
    noise = math.fsum((affine.scale * (code - affine.zero_point) - value) ** 2 for value, code in pairs)
    return 10 * (math.log10(math.fsum(value**2 for value, _ in pairs)) - math.log10(noise))


def _ratios(sqnr):
    return [result(sqnr, *layer) for layer in _layers()]


def judge_sqnr(sqnr):
    found, wanted = _ratios(sqnr), [_decibels(*layer) for layer in _layers()]
    for (scale, zero), got, expected in zip(LINES, found, wanted, strict=True):
        if abs(got - expected) > 0.01:
            shown = (f"On random numbers, with scale {scale:.5g} and zero point {zero}, it's {expected:.2f} dB; yours "
                     f"is {got:.4g}.")
            raise diagnosed(BY_ID["13.4"], _ratios, found, shown)
    return f"On {len(LINES)} layers of random numbers: {', '.join(f'{level:.1f}' for level in wanted)} dB."


SQNR = "def sqnr(real, codes, line):\n"
NOISE = "    noise = real - line.dequantize(codes)\n"
RATIO = "    return 10 * np.log10((real ** 2).sum() / (noise ** 2).sum())\n"


# 13.5, what to mend

TENSORS = ("input", 0, 1, 2)


@functools.cache
def _cut():
    """Return (the share of the wave that the half net's input can't read, where the wave ends)."""
    from xorlab.report.asked import File
    from xorlab.report.examples import example

    affine, wave = File.read(example("sine-half")).inputs[0].affine, 2 * math.pi
    return 1 - affine.scale * (127.5 - affine.zero_point) / wave, wave


KEYS = ("tensor", "share", "up to")


def _mending(mend):
    """Return a student's (tensor, share, up to), or raise Wrong."""
    asked = 'a tensor, a share and a number, e.g. {"tensor": 2, "share": 0.1, "up to": 1.0}'
    if not isinstance(mend, dict) or set(mend) != set(KEYS):
        raise Wrong(f"This wants {asked}, and got {short(mend)}.")
    tensor = mend["tensor"]
    if isinstance(tensor, bool) or not isinstance(tensor, (str, int)) or tensor not in TENSORS:
        raise Wrong(f'The tensor is "input", or 0, 1 or 2 for what that operator makes; got {short(tensor)}.')
    return tensor, *(number(mend[key], f'a number for "{key}"') for key in KEYS[1:])


def judge_mend(mend):
    tensor, share, end = _mending(mend)
    cut, wave = _cut()
    if tensor == 1:
        raise Wrong("Operator 1 resembles nothing any more, but it only works with what it gets. Walk back to where "
                    "the first values are cut off.")
    if tensor != "input":
        raise Wrong(f"The damage arrives in operator {tensor}; it starts earlier. Walk back to where the first values "
                    "are cut off.")
    if abs(share - cut) > 0.01:
        raise Wrong(f"The input it is, but the share cut off isn't {share:.3g}. What part of the wave lies beyond the "
                    "last code?")
    if abs(end - wave) > 0.02:
        raise Wrong(f"The input it is, and the share is right. But the wave doesn't end at {end:.4g}: how far do the "
                    "data reach?")
    return (f"The input's codes end in the middle of the wave, so {100 * cut:.0f} % of it is cut off. Calibrated up to "
            f"{wave:.2f}, the net is well.")


EXERCISES = (
    Exercise(
        "13.1", "write", 4, 2, "the chance to miss every difference", "missed", MISSED + "    ...\n",
        MISSED + "    return math.comb(total - differ, tests) / math.comb(total, tests)\n", judge_missed,
        hints=("In how many ways can you choose 7 of 256? And 7 of those that agree?",
               "0.652 for 15 of 256 and 7 tests.",
               "`math.comb(n, k)` counts the ways to choose k of n. Divide the ways that miss by all ways."),
        wrong=((MISSED + "    return 1 - tests * differ / total\n", "Chances don't add up like this."),
               (MISSED + "    return (1 - differ / total) ** tests\n",
                "That may ask the same input twice. A second test has one input fewer to choose from."),
               (MISSED + "    return 1 - math.comb(total - differ, tests) / math.comb(total, tests)\n",
                "That's the chance to notice."),
               (MISSED + "    return math.comb(differ, tests) / math.comb(total, tests)\n",
                "That's the chance that every test hits one.")),
        probe=lambda missed: [round(_chances(missed)[i], 9) for i in range(len(CASES))]),
    Exercise(
        "13.2", "write", 4, 3, "the operator in which each input parts", "first_apart", APART + "    ...\n",
        APART + ROWS + PLACES, judge_first_apart,
        hints=("For one operator: which inputs differ in any of its codes? That's a row of True and False.",
               "On the sine net: 234 times -1, 6 times 0, 13 times 1, 3 times 2.",
               "Stack the rows, `d[operator, input]`. `d.argmax(axis=0)` finds the first True, and `d.any(axis=0)` "
               "says whether there is one."),
        wrong=((APART + ROWS + "    return d.argmax(axis=0)\n", "`argmax` of no True is 0: equal inputs aren't "
                                                                 "operator 0's fault."),
               (APART + ROWS + "    last = len(d) - 1 - d[::-1].argmax(axis=0)\n"
                               "    return np.where(d.any(axis=0), last, -1)\n",
                "That's the last one, which may only inherit."),
               (APART + ROWS + "    return np.where(d[-1], d.argmax(axis=0), -1)\n",
                "You look at the output only: some part inside and meet again."),
               (APART + ROWS + "    return np.where(d.any(axis=0), d.sum(axis=0), -1)\n",
                "You count the operators that differ. Which one is the first?")),
        probe=_places),
    Exercise(
        "13.3", "predict", 1, 0, "the guilty operator of a residual net", "guess", "guess = ...\n", "guess = 2\n",
        judge_first,
        hints=("-1.5 becomes -2 or -1. Who ever sees what lies below 0?", "It isn't an ADD, and has no ReLU.",
               "Read the table: which is the first convolution without RELU among its options?"),
        wrong=(("guess = 3\n", "ADD only passes on"), ("guess = 0\n", "has a ReLU, which cuts off"),
               ("guess = 8\n", "it's the last"), ("guess = 1\n", "operator 1 has a ReLU"),
               ("guess = 5\n", "by then they have parted")),
        probe=lambda guess: [guess], read=_operator),
    Exercise(
        "13.4", "write", 4, 2, "signal over noise", "sqnr", SQNR + "    ...\n", SQNR + NOISE + RATIO, judge_sqnr,
        hints=("What do the codes mean? Only then can you subtract.",
               "In the table further down: 49.7, 43.6 and 35.6 for what the sine net's operators make.",
               "`line.dequantize(codes)` gives real numbers. Square, add up, divide signal by noise; then 10 times "
               "`np.log10`."),
        wrong=((SQNR + "    noise = real - codes\n" + RATIO, "Codes aren't real numbers: dequantize them first."),
               (SQNR + NOISE + RATIO.replace("10 *", "20 *"), "Squares are powers, and take a factor of 10."),
               (SQNR + NOISE + "    return 10 * np.log10((noise ** 2).sum() / (real ** 2).sum())\n",
                "It's upside down: signal over noise."),
               (SQNR + NOISE + RATIO.replace("np.log10", "np.log"), "Decibels take the logarithm to base 10."),
               (SQNR + NOISE + "    return 10 * np.log10(abs(real).sum() / abs(noise).sum())\n",
                "Square before you add up.")),
        probe=lambda sqnr: [round(value, 6) for value in _ratios(sqnr)]),
    Exercise(
        "13.5", "find", 2, 2, "the tensor to mend", "mend",
        'mend = {"tensor": ..., "share": ..., "up to": ...}\n',
        'mend = {"tensor": "input", "share": 0.5, "up to": 6.28}\n', judge_mend,
        hints=("Walk back from the output: where are values cut off first?",
               "Half of the wave is missing somewhere.",
               "Compare the two ranges of the first row: the codes end at 3.13, the data at 6.28."),
        wrong=(('mend = {"tensor": 2, "share": 0.5, "up to": 1.0}\n', "The damage arrives in operator 2"),
               ('mend = {"tensor": 1, "share": 0.05, "up to": 2.06}\n', "Operator 1 resembles nothing any more"),
               ('mend = {"tensor": "input", "share": 0.03, "up to": 6.28}\n', "the share cut off isn't 0.03"),
               ('mend = {"tensor": "input", "share": 0.5, "up to": 3.13}\n', "the wave doesn't end at 3.13")),
        probe=lambda mend: [mend["tensor"], mend["share"], mend["up to"]]),
)
BY_ID = {exercise.id: exercise for exercise in EXERCISES}
