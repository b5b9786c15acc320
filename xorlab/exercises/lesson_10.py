"""The exercises of lesson 10, on the microcontroller."""
import functools
import re

import numpy as np

from xorlab.exercises.exercise import Exercise, Wrong
from xorlab.exercises.judging import array, diagnosed, number, pair, returned, run, short

NAME = "relu-2-4-1"
FLASH = {"cortex-m0plus": 500, "cortex-m4": 484, "rv32imc": 562}       # bytes
COUNTS = {"cortex-m0plus": (98, 100), "cortex-m4": (66, 68), "rv32imc": (85, 87)}     # fewest and most instructions
ON_THE_DIAGONAL = 99            # the most of the Cortex-M0+ where both codes are equal


@functools.cache
def _net():
    from xorlab import models
    from xorlab.integer import IntegerMLP

    return IntegerMLP.from_torch(models.reference(NAME))


# 10.1, how far a sum can go

def _layers():
    """Yield (weights int8, constants int32) of the net's first layer, then of layers of random numbers."""
    layer = _net().steps[0]
    yield layer.weights, (layer.biases - layer.input.zero_point * layer.weights.astype(int).sum(1)).astype(np.int32)
    rng = np.random.default_rng(0)
    for units, inputs in ((3, 3), (2, 5), (5, 8), (4, 1)):
        yield (rng.integers(-127, 128, (units, inputs), dtype=np.int8),
               rng.integers(-9000, 9000, units, dtype=np.int32))


def _two_rows(function, weights, constants):
    """Return what a student's function returns, the smallest and the largest sum of each unit, or raise Wrong."""
    made = returned(function, weights, constants, ends="`return smallest, largest`")
    asked = f"two arrays, `return smallest, largest`, with a number for each of the {len(constants)} units"
    ends = [array(part, asked, finite=True) for part in pair(made, asked)]
    if any(part.shape != (len(constants),) for part in ends):
        raise Wrong(f"This wants {asked}; yours have the shapes {' and '.join(str(part.shape) for part in ends)}.")
    return [part.astype(float) for part in ends]


def _reached(function):
    return np.concatenate([np.concatenate(_two_rows(function, *layer)) for layer in _layers()])


def judge_reach(function):
    found, at = _reached(function), 0
    for weights, constants in _layers():
        products = [[(int(w) * -128, int(w) * 127) for w in row] for row in weights]
        for end, name in ((min, "smallest"), (max, "largest")):
            for unit, (row, constant) in enumerate(zip(products, constants.tolist(), strict=True)):
                expected, got = constant + sum(map(end, row)), found[at]
                if got != expected:
                    shown = (f"With the weights {weights[unit].tolist()} and the constant {constant} the {name} sum is "
                             f"{expected:,}; yours is {got:,.10g}.")
                    raise diagnosed(BY_ID["10.1"], _reached, found, shown)
                at += 1
    return "For five layers, up to eight inputs wide: 256^8 inputs, and you tried none of them."


REACH = "def reach(w, b):\n"
PARTS = "    up, down = np.maximum(w, 0).sum(axis=1), np.minimum(w, 0).sum(axis=1)\n"
ENDS = "    return b - 128 * up + 127 * down, b + 127 * up - 128 * down\n"


# 10.2, which units lose their ReLU

def _units(answer):
    """Return a sorted list of units, or raise Wrong."""
    count = len(_net().steps[0].weights)
    asked = f"a list of units from 0 to {count - 1}, e.g. [1, 3]"
    if isinstance(answer, (str, bytes, dict)) or not hasattr(answer, "__iter__"):
        raise Wrong(f"This wants {asked}, and got {short(answer)}.")
    units = [number(unit, asked) for unit in answer]
    if any(unit not in range(count) for unit in units):
        raise Wrong(f"This wants {asked}, and got {short(answer)}.")
    if len(set(units)) < len(units):
        raise Wrong(f"You name a unit twice: {short(answer)}.")
    return sorted(int(unit) for unit in units)


def judge_units(answer):
    from xorlab import data

    units = _units(answer)
    lowest = _net().trace(data.int8_inputs())[0].accumulators.min(axis=0).tolist()
    for unit, low in enumerate(lowest):
        if low >= 0 and unit not in units:
            turned = " You name the one that keeps its ReLU." if [lowest[u] < 0 for u in units] == [True] else ""
            raise Wrong(f"Unit {unit} is missing: its sum never falls below {low:,}.{turned}")
    for unit in units:
        if lowest[unit] < 0:
            raise Wrong(f"Unit {unit} needs its ReLU: its sum falls to {lowest[unit]:,}.")
    return "Their sums never fall below 8,511, 122 and 78. Unit 1's falls to -32,389, so it alone needs its `if`."


# 10.3, bytes of flash

def _positive(asked):
    def read(guess):
        value = number(guess, asked)
        if value <= 0:
            raise Wrong(f"This wants {asked} above 0, and got {short(guess)}.")
        return value
    return read


def judge_flash(guess):
    says = f"It's {FLASH['cortex-m4']} bytes on the Cortex-M4."
    if 350 <= guess <= 700:
        return f"{says} More than half of that is the sigmoid's table."
    if guess < 256:
        raise Wrong(f"{says} The table alone takes 256.")
    if guess < 350:
        raise Wrong(f"{says} The code needs more than you left it: some 70 instructions of 2 or 4 bytes.")
    if guess < 2000:
        raise Wrong(f"{says} Weights and biases take no bytes beside the code, and no library comes with it.")
    raise Wrong(f"{says} Even the `.tflite` file takes less than 3,000, and it describes every tensor.")


# 10.4, one unit in C

UNIT = "unit_0"
FIRST = "int32_t acc = 49 * input[0] + 5 * input[1] + 15423;"
SECOND = "int64_t y = ((int64_t)acc * 2023254066 + (1 << 30)) >> 31;"
THIRD = "v = (y + 64) >> 7;"
REFUSED = re.compile(r"your_C:(\d+):\d+: error: (.+?)(?: \[-W[^]]*\])?$")


@functools.lru_cache(maxsize=64)
def _compiled(code):
    """Return (what a student's C makes of every input, its instructions), or a sentence on why it makes nothing."""
    from xorlab import firmware

    try:
        made = firmware.of_unit(code)
    except (ValueError, ImportError) as error:
        refused = REFUSED.search(str(error))
        if not refused:
            return f"This C can't be taken: {error}."
        lines = code.lstrip("\n").splitlines()
        line = lines[int(refused[1]) - 1].strip() if int(refused[1]) <= len(lines) else ""
        at = f"line {refused[1]} of your C" + (f", `{line}`" if line and "`" not in line else "")
        return f"The compiler refuses {at}. It says: {refused[2].removesuffix('.')}."
    return firmware.unit_values(made), made.extremes().most


def _values(code):
    if not isinstance(code, str):
        raise Wrong(f"This wants your C as a text in quotes, and got {short(code)}.")
    made = _compiled(code)
    if isinstance(made, str):
        raise Wrong(made)
    return made


def _in_32_bits(x):
    return (x + 2**31) % 2**32 - 2**31


def _slips(q):
    """Return {sentence: what C with that slip makes of the codes (n, 2)}."""
    acc = 49 * q[:, 0] + 5 * q[:, 1] + 15423
    product, half = acc * 2023254066, 1 << 30
    first = (product + half) >> 31
    return {
        "The product needs 64 bits. Cast `acc` before you multiply: `(int64_t)acc * 2023254066`.":
            (_in_32_bits(product + half) >> 31) + 64 >> 7,
        "You round once, and TFLite Micro rounds twice: after 31 bits, and after the other 7.":
            (product + (1 << 37)) >> 38,
        "You don't round. A shift cuts off, so add half before it, both times.": product >> 38,
        "You round the first time only. The second shift wants its half, too: 64.": first >> 7,
        "The sum lacks its constant, 15423.":
            (((product - 15423 * 2023254066 + half) >> 31) + 64) >> 7,
    }


def judge_unit(code):
    from xorlab import data, firmware

    found, instructions = _values(code)
    if "30872" in code:
        raise Wrong("That's `write_c`'s own line. Write TFLite Micro's two steps, with the multiplier 2023254066.")
    q = data.int8_inputs().astype(np.int64)
    expected = _net().trace(data.int8_inputs())[0].codes[:, 0].astype(int) - _net().steps[0].output.zero_point
    differing = np.flatnonzero(found != expected)
    if not len(differing):
        return (f"All {len(q):,} inputs, compiled for RISC-V and emulated. One run takes {instructions} "
                "instructions.")
    if (found == firmware.UNSET).all():
        raise Wrong("Your C never sets `v`. End with `v = ...;`.")
    first = differing[0]
    shown = (f"{len(differing):,} of {len(q):,} inputs differ: for the codes {q[first].tolist()} `v` is "
             f"{expected[first]}, and yours is {found[first]}.")
    why = next((f"{slip} " for slip, made in _slips(q).items() if np.array_equal(made, found)), "")
    raise Wrong(why + shown)


def _c(*lines):
    return f'{UNIT} = """\n' + "\n".join(lines) + '\n"""\n'


# 10.5, instructions of one answer

def judge_instructions(guess):
    says = f"It's {COUNTS['cortex-m4'][1]} at most."
    if 40 <= guess <= 120:
        return f"{says} Twelve products and five scalings, and nothing is called."
    if guess > 1000:
        raise Wrong(f"{says} Perhaps in an interpreter, or with floats in software.")
    if guess > 120:
        raise Wrong(f"{says} Plain C, with loops and a function, takes 203.")
    if guess < 24:
        raise Wrong(f"{says} Twelve products and five scalings need more.")
    raise Wrong(f"{says} A product and its addition are one instruction, but a scaling takes about five.")


# 10.6, the worst input

def _codes(answer):
    asked = "two codes from -128 to 127, e.g. np.int8([3, -7])"
    codes = [number(code, asked) for code in pair(answer, asked)]
    if any(code not in range(-128, 128) for code in codes):
        raise Wrong(f"This wants {asked}, and got {short(answer)}.")
    return tuple(int(code) for code in codes)


@functools.cache
def _chip():
    from xorlab import firmware

    return firmware.build(_net(), "cortex-m0plus")


def judge_worst(answer):
    codes = _codes(answer)
    count = int(_chip().instructions(np.int8([codes]))[0])
    says = f"{list(codes)} takes {count}"
    if count == COUNTS["cortex-m0plus"][1]:
        return (f"{says}, and no other of the 65,536 does. It's RISC-V's worst, too, with {COUNTS['rv32imc'][1]}. "
                f"On the Cortex-M4 it's among the cheapest, with {COUNTS['cortex-m4'][0]}.")
    if count == ON_THE_DIAGONAL and codes[0] == codes[1]:
        raise Wrong(f"{says}, the most on the diagonal. Leave the diagonal for one more.")
    if count == ON_THE_DIAGONAL:
        raise Wrong(f"{says}: off the diagonal, and no more than on it. One of the two questions costs its extra "
                    "instruction; you want both.")
    raise Wrong(f"{says}, the fewest there are. Neither of the two questions costs its extra instruction.")


EXERCISES = (
    Exercise(
        "10.1", "write", 4, 3, "how far a sum can go", "reach", REACH + "    ...\n", REACH + PARTS + ENDS, judge_reach,
        hints=("Each product is smallest at one end of the codes. Which end, for a weight above 0? And below 0?",
               "For the weights 49 and 5 and the constant 15423 the sums go from 8,511 to 22,281; for -127, 127 and "
               "-4, from -32,389 to 32,381.",
               "Add up the weights above 0 and those below 0, each with `.sum(axis=1)`. The smallest sum has -128 at "
               "the first and 127 at the second."),
        wrong=((REACH + "    w = w.sum(axis=1)\n    return b - 128 * w, b + 127 * w\n",
                "A weight below 0 wants the other end: its smallest product is with 127."),
               (REACH + PARTS + "    return b - 127 * up + 127 * down, b + 127 * up - 127 * down\n",
                "Codes go down to -128."),
               (REACH + PARTS + "    return -128 * up + 127 * down, 127 * up - 128 * down\n",
                "The constant belongs to the sum."),
               (REACH + "    ends = w * -128, w * 127\n"
                "    return b + np.minimum(*ends).sum(axis=1), b + np.maximum(*ends).sum(axis=1)\n",
                "int8 times 127 stays int8 and wraps round. Add the weights up first, or take `w.astype(int)`."),
               (REACH + PARTS.replace("axis=1", "axis=0") + ENDS, "could not be broadcast")),
        probe=lambda f: [np.asarray(part).tolist() for part in
                         run(f, np.int8([[3, -4], [-100, 90], [5, 7]]), np.int32([10, -20, 30]))]),
    Exercise(
        "10.2", "find", 2, 2, "which ReLUs do nothing", "units", "units = ...\n", "units = [0, 2, 3]\n", judge_units,
        hints=("A ReLU changes a sum below 0, and nothing else.", "There are three. Unit 3's smallest sum is 78.",
               "Call `reach(w, b)` and look at the smallest sums: which are at least 0?"),
        wrong=(("units = [1]\n", "You name the one that keeps its ReLU."),
               ("units = [0]\n", "Unit 2 is missing: its sum never falls below 122."),
               ("units = []\n", "Unit 0 is missing: its sum never falls below 8,511."),
               ("units = [0, 1, 2, 3]\n", "Unit 1 needs its ReLU: its sum falls to -32,389."),
               ("units = [0, 2]\n", "Unit 3 is missing")),
        probe=lambda units: sorted(units)),
    Exercise(
        "10.3", "predict", 1, 0, "bytes of flash", "guess", "guess = ...\n", "guess = 500\n", judge_flash,
        hints=("The sigmoid's table has 256 bytes.", "It's less than 1,000.",
               "The table, and some 70 instructions of 2 or 4 bytes: about 500."),
        wrong=(("guess = 52\n", "The table alone takes 256."), ("guess = 300\n", "more than you left it"),
               ("guess = 1500\n", "no library comes with it"), ("guess = 20000\n", "Even the `.tflite` file")),
        probe=lambda guess: [guess], read=_positive("a number of bytes")),
    Exercise(
        "10.4", "write", 5, 3, "one unit in C", UNIT, f"{UNIT} = ...\n", _c(FIRST, SECOND, THIRD), judge_unit,
        hints=("TFLite Micro rounds twice: after 31 bits, and after the other 7. Half of 2^31 is `1 << 30`.",
               "For the codes [-128, -128] the sum is 8,511, after the first shift 8,019, and `v` is 63.",
               "Three lines: the sum into `int32_t acc`; `int64_t y`, from `(int64_t)acc` times the multiplier plus "
               "`(1 << 30)`, shifted by 31; `v` from `y + 64`, shifted by 7."),
        wrong=((_c(FIRST, SECOND.replace("(int64_t)", ""), THIRD), "The product needs 64 bits."),
               (_c(FIRST, "v = ((int64_t)acc * 2023254066 + (1LL << 37)) >> 38;"), "You round once"),
               (_c(FIRST, "v = ((int64_t)acc * 2023254066) >> 38;"), "You don't round."),
               (_c(FIRST, SECOND, "v = y >> 7;"), "You round the first time only."),
               (_c(FIRST.replace(" + 15423", ""), SECOND, THIRD), "The sum lacks its constant"),
               (_c(FIRST, SECOND), "never sets `v`"),
               (_c(FIRST, SECOND, THIRD[:-1]),
                "The compiler refuses line 3 of your C, `v = (y + 64) >> 7`. It says: expected ';'"),
               (_c(FIRST, "v = acc * 0.00736f;"), "the code calls floating-point routines"),
               (_c("while (input[0] == 5);", FIRST, SECOND, THIRD), "does it hold an endless loop?"),
               (_c("v = *(int *)16;"), "the code broke off"),
               (_c("int32_t acc = 49 * input[0] + 5 * input[1];",
                   "v = (acc * 30872 + 478258688 + (acc * 13 >> 5)) >> 22;"), "That's `write_c`'s own line.")),
        probe=lambda code: _values(code)[0].tolist()),
    Exercise(
        "10.5", "predict", 1, 0, "instructions of an answer", "guess", "guess = ...\n", "guess = 70\n",
        judge_instructions,
        hints=("It makes 12 products and 5 scalings.", "Fewer than 100.",
               "Three instructions for the sum of a hidden unit, five for its scaling, and that four times; then "
               "the last unit and the table."),
        wrong=(("guess = 5000\n", "Perhaps in an interpreter"), ("guess = 500\n", "Plain C"),
               ("guess = 12\n", "need more"), ("guess = 30\n", "a scaling takes about five")),
        probe=lambda guess: [guess], read=_positive("a number of instructions")),
    Exercise(
        "10.6", "find", 4, 2, "the worst input", "worst", "worst = ...\n", "worst = np.int8([-128, 127])\n",
        judge_worst,
        hints=("Two questions in the C decide: is the last sum below 0, and does its code lie at an end?",
               "You want 100. Of the points of the square, which has the largest answer?",
               "Corners are extreme. There are four: try each."),
        wrong=(("worst = np.int8([127, 127])\n", "[127, 127] takes 99, the most on the diagonal"),
               ("worst = np.int8([127, -128])\n", "[127, -128] takes 99: off the diagonal"),
               ("worst = np.int8([-128, -128])\n", "[-128, -128] takes 98, the fewest"),
               ("worst = [0, 300]\n", "two codes from -128 to 127")),
        probe=lambda worst: np.asarray(worst).tolist()),
)
BY_ID = {exercise.id: exercise for exercise in EXERCISES}
