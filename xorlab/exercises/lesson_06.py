"""The exercises of lesson 06, decision surfaces and difference maps."""
import numpy as np

from xorlab.exercises.exercise import Exercise, Wrong
from xorlab.exercises.judging import array, diagnosed, number, returned, run, short

# 06.1, the table of a surface

SURFACES = ((lambda x1, x2: x1 + 10 * x2, 3), (lambda x1, x2: x1 + 10 * x2, 5), (lambda x1, x2: (x1 - x2) ** 2, 4),
            (lambda x1, x2: 3 * x1 * x1 - x2, 2))


def _tables(table):
    """Return a student's tables of SURFACES, one after the other, as one list of numbers."""
    found = []
    for output, n in SURFACES:
        value = returned(table, output, n, ends="`return` and the rows")
        found.append(array(value, f"{n} rows of {n} numbers for n = {n}", finite=True).astype(float))
        if found[-1].shape != (n, n):
            raise Wrong(f"A picture has n rows of n numbers: for n = {n} this wants the shape ({n}, {n}), and yours is "
                        f"{found[-1].shape}.")
    return np.concatenate([rows.ravel() for rows in found])


def judge_table(table):
    found = _tables(table)
    true = [[output(column / (n - 1), row / (n - 1)) for column in range(n)]
            for output, n in SURFACES for row in range(n)]
    if not np.allclose(found, np.concatenate(true), rtol=0, atol=1e-6):
        off = np.abs(found - np.concatenate(true)) > 1e-6
        if off[:9].any():
            row = int(off[:9].argmax()) // 3
            shown = (f"For x1 + 10 x2 and n = 3, row {row} is {_listed(true[row])}; "
                     f"yours is {_listed(found[3 * row: 3 * row + 3])}.")
        else:
            shown = "x1 + 10 x2 comes out right for n = 3, but not every surface does. Do you use `output` and `n`?"
        raise diagnosed(BY_ID["06.1"], _tables, found, shown)
    return "Row 0 is x2 = 0, and x1 runs along each row: x1 + 10 x2 begins with 0, 0.5, 1."


def _listed(numbers):
    return ", ".join(f"{value:g}" for value in numbers)


TABLE = "def table(output, n):\n    steps = np.linspace({})\n    return {}\n"
ROWS = "[[output(x1, x2) for x1 in steps] for x2 in steps]"


# 06.2, which way the classes change

CHANGED = 281


def judge_changed(guess):
    if guess <= 20:
        return "None. All 281 go from 1 to 0: near its line int8 answers too low, by 0.011 on average."
    told = "It's 0: all 281 go from 1 to 0."
    if guess == CHANGED:
        raise Wrong("It's the other way round: all 281 go, but from 1 to 0.")
    if 100 <= guess <= 180:
        raise Wrong(f"{told} Fair rounding would split them about evenly. This one leans: near its line int8 answers "
                    "too low.")
    if guess <= 40:
        raise Wrong(f"{told} With `>= 0.5` in the place of `> 0.5` it's 21: 68 answers are exactly 0.5.")
    raise Wrong(f"{told} Near its line int8 answers too low, by 0.011 on average.")


def _count(guess):
    value = number(guess, f"a count of inputs, from 0 to {CHANGED}")
    if value != int(value) or not 0 <= value <= CHANGED:
        raise Wrong(f"A count of inputs is a whole number from 0 to {CHANGED} here, got {short(guess)}.")
    return int(value)


# 06.3, the experiment

def _experiments():
    """Yield (name, predictor, line, points), none of them near a tie of its line."""
    from xorlab.integer.affine import Affine

    points = np.float32(np.random.default_rng(6).uniform(0, 1, (400, 2)))
    for line in (Affine(1 / 255, -128), Affine(0.03, 10), Affine(0.004, -100)):     # the last one cuts off at 0.908
        steps = points / np.float32(line.scale)
        away = np.abs(steps - np.floor(steps) - 0.5).min(axis=1) > 0.01
        for name, predictor in (("x1 - 2 x2", lambda x: x.astype(np.float64) @ (1, -2)),
                                ("a wave", lambda x: np.sin(9 * x[:, 0].astype(np.float64)) * x[:, 1])):
            yield name, predictor, line, points[away]


def _costs(cost):
    """Return what a student's function answers in all experiments, as one list of numbers."""
    found = []
    for _, predictor, line, points in _experiments():
        value = returned(cost, predictor, line, points, ends="`return` and the errors")
        if callable(value):
            raise Wrong("This wants the errors themselves, one number per point, and got a function. Call it with `x`.")
        errors = array(value, "an array of errors, one number per point", finite=True).astype(float)
        if errors.shape != (len(points),):
            raise Wrong(f"This wants one error per point, an array of shape (n,): for {len(points)} points yours has "
                        f"the shape {errors.shape}.")
        found.append(errors)
    return np.concatenate(found)


def judge_cost(cost):
    found, true = _costs(cost), []
    for _, predictor, line, points in _experiments():
        rounded = [[line.scale * (min(max(round(float(v) / line.scale) + line.zero_point, -128), 127)
                                  - line.zero_point) for v in point] for point in points]
        true.append(predictor(np.array(rounded)) - predictor(points))
    ends = np.cumsum([len(errors) for errors in true])[:-1]
    for (name, _, line, _), mine, errors in zip(_experiments(), np.split(found, ends), true, strict=True):
        if not np.allclose(mine, errors, rtol=0, atol=2e-6):
            shown = (f"For {name} with codes {line.scale:.4f} apart your errors go from {mine.min():.4f} to "
                     f"{mine.max():.4f}, and should go from {errors.min():.4f} to {errors.max():.4f}.")
            raise diagnosed(BY_ID["06.3"], _costs, found, shown)
    return "There and back, then predict; and from that the exact answer."


COST = "def cost(predictor, line, x):\n    return {}\n"


# 06.4, which rounding is worst

WORST = {"input": 0.036, "weights": 0.024, "sums": 0.058, "hidden outputs": 0.022, "output": 0.004}
WHY_WORST = {
    "input": "The input makes 0.036. Its step is 1/255; a hidden sum's is 0.113, and so much larger.",
    "weights": "The weights make 0.024: with 127 codes on each side they lose little.",
    "hidden outputs": "The hidden outputs make 0.022. Their step is 1/256; look at what comes before the sigmoid.",
    "output": "The output makes 0.004, half a step and the cap: nothing comes after it that could enlarge an error.",
}


def judge_worst(guess):
    if guess == "sums":
        return "The hidden sums, 0.058: their codes lie 0.113 apart, the widest steps of all."
    raise Wrong(f"It's the hidden sums, 0.058. {WHY_WORST[guess]}")


def _part(guess):
    asked = f"one of {', '.join(repr(part) for part in WORST)}"
    if not isinstance(guess, str):
        raise Wrong(f"This wants {asked}, and got {short(guess)}.")
    known = guess.strip().lower()
    known = {"inputs": "input", "outputs": "output", "weight": "weights", "hidden sums": "sums"}.get(known, known)
    if known not in WORST:
        raise Wrong(f"This wants {asked}, and got {short(guess)}.")
    return known


# 06.5, the cap

def _caps(cap):
    """Return a student's answers for all answers from 0 to 1 in steps of 1/1000, and at the cap's neighbours."""
    answers = _all_answers()
    value = returned(cap, answers, ends="`return` and the answers")
    found = array(value, "an array of answers", finite=True).astype(float)
    if found.shape != answers.shape:
        raise Wrong(f"This wants as many answers as it was given: {answers.shape} went in, and {found.shape} came out.")
    return found


def _all_answers():
    return np.concatenate([np.arange(1001) / 1000, [254 / 256, 254.5 / 256, 255 / 256, 255.5 / 256]])


def judge_cap(cap):
    found, answers = _caps(cap), _all_answers()
    true = np.array([value if value < 255 / 256 else 255 / 256 for value in answers])
    if not np.allclose(found, true, rtol=0, atol=1e-6):
        place = int(np.abs(found - true).argmax())
        shown = f"{answers[place]:.4f} becomes {found[place]:.4f}, and should be {true[place]:.4f}."
        raise diagnosed(BY_ID["06.5"], _caps, found, shown)
    return "Answers up to 255/256 stay, and those above become 255/256."


CAP = "def cap(answers):\n    return {}\n"


EXERCISES = (
    Exercise(
        "06.1", "write", 4, 2, "the table of a surface", "table", "def table(output, n):\n    ...\n",
        TABLE.format("0, 1, n", ROWS), judge_table,
        hints=("Which of the two inputs stays the same along one row of the picture?",
               "For x1 + 10 x2 and n = 3 the rows are 0, 0.5, 1, then 5, 5.5, 6, then 10, 10.5, 11.",
               "`steps = np.linspace(0, 1, n)`; one row for each x2 in steps, and in it one number for each x1."),
        wrong=((TABLE.format("0, 1, n", "[[output(x1, x2) for x2 in steps] for x1 in steps]"),
                "XOR would look right, but here x1 runs upwards."),
               (TABLE.format("0, 1, n", "[[output(x1, x2) for x1 in steps] for x2 in steps[::-1]]"),
                "It's upside down: row 0 must be x2 = 0."),
               (TABLE.format("0, 1, n", "[output(x1, x2) for x2 in steps for x1 in steps]"),
                "A picture has n rows of n numbers"),
               (TABLE.format("0, 1, n, endpoint=False", ROWS), "You stop short of 1: n points have n - 1 steps "
                                                               "between them.")),
        probe=lambda table: np.round([run(table, lambda x1, x2: 7 * x1 * x1 - 3 * x2, n) for n in (4,)], 6).tolist()),
    Exercise(
        "06.2", "predict", 1, 0, "which way the classes change", "guess", "guess = ...\n", "guess = 0\n", judge_changed,
        hints=("Is int8 too high or too low, near the line?",
               "The mean error has a sign. Where PyTorch answers 0.4 to 0.6 it's -0.011.",
               "An answer that is too low can leave class 1, and enter class 0."),
        wrong=(("guess = 140\n", "Fair rounding would split them"), ("guess = 281\n", "but from 1 to 0"),
               ("guess = 21\n", "With `>= 0.5`"), ("guess = 60\n", "by 0.011 on average")),
        probe=lambda guess: [guess], read=_count),
    Exercise(
        "06.3", "write", 4, 3, "the input rounded, alone", "cost", "def cost(predictor, line, x):\n    ...\n",
        COST.format("predictor(line.dequantize(line.quantize(x))) - predictor(x)"), judge_cost,
        hints=("`line.quantize(x)` makes codes. What turns codes into numbers again?",
               "On points that are codes already, every error is 0.",
               "There and back, `line.dequantize(line.quantize(x))`, then predict, then subtract `predictor(x)`."),
        wrong=((COST.format("predictor(line.quantize(x)) - predictor(x)"),
                "Your network gets codes up to 127 in the place of numbers."),
               (COST.format("line.dequantize(line.quantize(predictor(x))) - predictor(x)"),
                "That rounds the output, the other end."),
               (COST.format("predictor(line.dequantize(line.quantize(x)))"),
                "That's the answer with a rounded input; subtract the exact answer."),
               (COST.format("predictor(x) - predictor(line.dequantize(line.quantize(x)))"),
                "The sign is turned: rounded minus exact."),
               (COST.format("np.abs(predictor(line.dequantize(line.quantize(x))) - predictor(x))"),
                "Keep the sign: it tells too low from too high.")),
        probe=lambda cost: [np.round(run(cost, predictor, line, points), 4).tolist()
                            for _, predictor, line, points in _experiments()]),
    Exercise(
        "06.4", "predict", 1, 0, "which rounding is worst", "guess", "guess = ...\n", 'guess = "sums"\n',
        judge_worst,
        hints=("Which of the five has the widest steps between its codes?",
               "The input's and the outputs' steps are about 1/256. Sums have a range of their own.",
               "It's in the middle of the network, before a sigmoid."),
        wrong=(('guess = "input"\n', "0.036"), ('guess = "output"\n', "nothing comes after it"),
               ('guess = "weights"\n', "127 codes"), ('guess = "hidden outputs"\n', "before the sigmoid")),
        probe=lambda guess: [guess], read=_part),
    Exercise(
        "06.5", "write", 2, 1, "capped at the largest answer", "cap", "def cap(answers):\n    ...\n",
        CAP.format("np.minimum(answers, 255 / 256)"), judge_cap,
        hints=("What can an int8 sigmoid answer at most?", "1 becomes 0.99609375, and 0.5 stays 0.5.",
               "`np.minimum(answers, ...)` takes the smaller of the two, number by number."),
        wrong=((CAP.format("answers * 255 / 256"), "You lowered every answer, not only those above the cap."),
               (CAP.format("np.minimum(answers, 127 / 128)"), "int8 reaches 255/256, not only 127/128."),
               (CAP.format("np.maximum(answers, 255 / 256)"), "That raises the low answers"),
               (CAP.format("answers[answers < 255 / 256]"), "as many answers as it was given")),
        probe=lambda cap: np.round(run(cap, np.linspace(0, 1.1, 4001)), 6).tolist()),
)
BY_ID = {exercise.id: exercise for exercise in EXERCISES}
