"""The exercises of lesson 00: one guess and one answer, so that a student has met the calls."""
from xorlab.exercises.exercise import Exercise, Wrong
from xorlab.exercises.judging import number

ALL, DIFFERENT, BY_HAND = 65_536, 69, 48_642        # inputs; on which the answers differ; those of the second network


# 00.1, one file on two programs

def _inputs(guess):
    """Return a guess as a number of inputs, or raise Wrong."""
    asked = f"a number of inputs, from 0 to {ALL:,}"
    value = number(guess, asked)
    if not 0 <= value <= ALL:
        raise Wrong(f"This wants {asked}, and got {value:g}.")
    return value


def judge_different(guess):
    if DIFFERENT / 2 <= guess <= 2 * DIFFERENT:
        return f"{DIFFERENT} of {ALL:,}, or about one in {ALL / DIFFERENT:.0f}."
    if guess == 0:
        raise Wrong(f"It's {DIFFERENT}. The file is the same, but the two programs don't round in the same way.")
    if guess < DIFFERENT:
        raise Wrong(f"It's {DIFFERENT}, a few more: a difference is rare, and it isn't an accident.")
    if guess >= BY_HAND / 2:
        raise Wrong(f"It's {DIFFERENT}. For the network after this one you'd be right: {BY_HAND:,}.")
    raise Wrong(f"It's {DIFFERENT}, fewer than that: on most inputs both programs round to the same code.")


# 00.2, how many inputs there are

def judge_inputs(answer):
    value = number(answer, "a number of inputs")
    if value == 256:
        return "16 codes for one input, and each of them with all 16 of the other: 256."
    if value == 32:
        raise Wrong("16 + 16 counts the codes of both inputs. But each code of one comes with every code of the other.")
    if value == 16:
        raise Wrong("16 is right for one input. With two, each code of one comes with every code of the other.")
    if value in (8, 64):
        raise Wrong("Four bits aren't 8 codes: each bit doubles the number, so 2, 4, 8, 16.")
    if value == ALL / 2:
        raise Wrong(f"Half of the bits isn't half of {ALL:,}: each bit doubles the number of codes.")
    raise Wrong(f"It isn't {value:,.10g}. How many codes do four bits make, and how many pairs of them are there?")


EXERCISES = (
    Exercise(
        "00.1", "predict", 1, 0, "one file, two programs", "guess", "guess = ...\n", "guess = 69\n", judge_different,
        hints=("It's the same file, and neither program has a bug.", "More than 0, and less than one in a hundred.",
               "Fewer than a hundred."),
        wrong=(("guess = 0\n", "don't round in the same way"), ("guess = 10\n", "a few more"),
               ("guess = 1000\n", "fewer than that"), ("guess = 40_000\n", "For the network after this one")),
        probe=lambda guess: [guess], read=_inputs),
    Exercise(
        "00.2", "find", 1, 1, "how many inputs there are", "inputs", "inputs = ...\n", "inputs = 16 * 16\n",
        judge_inputs,
        hints=("One bit makes 2 codes, two bits make 4. How many do four bits make?",
               "Eight bits make 256 codes, and two inputs 256 * 256. Four bits make 16 codes.",
               "16 codes for one input, and 16 of the other for each of them: `16 * 16`."),
        wrong=(("inputs = 16 + 16\n", "counts the codes of both"), ("inputs = 16\n", "right for one input"),
               ("inputs = 8 * 8\n", "each bit doubles the number, so 2, 4, 8, 16"),
               ("inputs = 65_536 // 2\n", "isn't half of 65,536"), ("inputs = 100\n", "It isn't 100.")),
        probe=lambda answer: [float(answer)]),
)
