"""The exercises of lesson 01, XOR as data, and what any lesson's exercises say of two inputs."""
import itertools

import numpy as np

from xorlab.exercises.exercise import Exercise, Wrong
from xorlab.exercises.judging import array, cause, diagnosed, number, returned, short

CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
LABELS = (0, 1, 1, 0)
TABLES = {"0000": "0 everywhere", "0001": "*and*", "0110": "*xor*", "0111": "*or*", "1000": "*nor*", "1001": "*equal*",
          "1110": "*nand*", "1111": "1 everywhere"}


# 01.1, a line for and, one for nand

WANTED = {"or": (0, 1, 1, 1), "and": (0, 0, 0, 1), "nand": (1, 1, 1, 0)}


def _sums(name, three):
    """Return a line's four sums, or raise Wrong where it isn't three numbers."""
    if isinstance(three, (str, dict)) or not hasattr(three, "__len__") or len(three) != 3:
        raise Wrong(f"*{name}* wants three numbers, `(w1, w2, b)`, and got {short(three)}.")
    w1, w2, b = (number(value, f"three numbers for *{name}*, `(w1, w2, b)`") for value in three)
    return [w1 * x1 + w2 * x2 + b for x1, x2 in CORNERS]


def _lines(answer):
    if not isinstance(answer, dict) or set(answer) != set(WANTED):
        raise Wrong("This wants a line for each name, `{\"or\": (w1, w2, b), \"and\": ..., \"nand\": ...}`, and got "
                    f"{short(answer)}.")
    return {name: _sums(name, answer[name]) for name in WANTED}


def judge_lines(answer):
    for name, sums in _lines(answer).items():
        found = tuple(int(s > 0) for s in sums)
        if found == WANTED[name]:
            continue
        ties = [i for i in range(4) if found[i] != WANTED[name][i] and sums[i] == 0]
        if ties:
            raise Wrong(f"At {CORNERS[ties[0]]} the sum of your *{name}* is exactly 0, and 0 isn't above 0.")
        if len(set(found)) == 1:
            raise Wrong(f"No sum of your *{name}* is {'at most' if found[0] else 'above'} 0, so it says {found[0]} "
                        "everywhere. Look at the bias.")
        known = TABLES.get("".join(map(str, found)))
        raise Wrong(f"At (0, 0), (0, 1), (1, 0) and (1, 1) your *{name}* says {_spaced(found)}"
                    f"{f': that is {known}' if known else ''}. It should say {_spaced(WANTED[name])}.")
    return "Three lines by hand: " + ", ".join(f"*{name}* {_spaced(table)}" for name, table in WANTED.items()) + "."


def _spaced(bits):
    return " ".join(map(str, bits))


def _line_answers(**lines):
    given = {"or": (1, 1, -0.5), "and": (1, 1, -1.5), "nand": (-1, -1, 1.5), **{name.strip("_"): line for name, line in
                                                                               lines.items()}}
    return "lines = {" + ", ".join(f'"{name}": {line}' for name, line in given.items()) + "}\n"


# 01.2, which rows contradict each other

ROWS = {"xor": (CORNERS, LABELS), "three": (((0, 0), (1, 0), (2, 0)), (0, 1, 0))}
EACH_SIDE = "two lists of rows for each, such as `([0, 1], [2])`"


def _side(name, rows):
    """Return the rows of one side as whole numbers, or raise Wrong."""
    count = len(ROWS[name][0])
    if isinstance(rows, (str, dict)) or not hasattr(rows, "__len__"):
        raise Wrong(f"This wants {EACH_SIDE}, and got {short(rows)}.")
    numbers = [number(row, EACH_SIDE) for row in rows]
    if not 0 < len(numbers) <= 1000:
        raise Wrong(f"Each side of {name!r} needs at least one row, and got {short(rows)}.")
    if any(row not in range(count) for row in numbers):
        raise Wrong(f"The rows of {name!r} are numbered 0 to {count - 1}, and you name {short(rows)}.")
    return [int(row) for row in numbers]


def _sides(answer):
    """Return {name: ([rows], [rows])}, or raise Wrong."""
    if not isinstance(answer, dict) or set(answer) != set(ROWS):
        raise Wrong('This wants `{"xor": ([rows], [rows]), "three": ([rows], [rows])}`, and got '
                    f"{short(answer)}.")
    sides = {}
    for name, pair in answer.items():
        if isinstance(pair, (str, dict)) or not hasattr(pair, "__len__") or len(pair) != 2:
            raise Wrong(f"This wants {EACH_SIDE}, and got {short(pair)} for {name!r}.")
        sides[name] = tuple(_side(name, rows) for rows in pair)
    return sides


def _total(name, rows):
    """Return how often w1, w2 and b stand in the sum of these rows."""
    points = ROWS[name][0]
    return sum(points[row][0] for row in rows), sum(points[row][1] for row in rows), len(rows)


def _in_words(total):
    """Return e.g. "w1 + 2 b" for (1, 0, 2)."""
    return " + ".join(name if n == 1 else f"{n} {name}" for n, name in zip(total, ("w1", "w2", "b"), strict=True) if n)


def judge_sides(answer):
    sides = _sides(answer)
    for name in ROWS:
        labels = ROWS[name][1]
        said = [{labels[row] for row in rows} for rows in sides[name]]
        for rows, found in zip(sides[name], said, strict=True):
            if len(found) > 1:
                raise Wrong(f"{name!r}: rows {_listed(rows)} mix the labels. One sum is above 0 and another isn't, so "
                            "nothing follows for their total.")
        if said[0] == said[1]:
            raise Wrong(f"{name!r}: all your rows have the label {min(said[0])}. Totals on the same side of 0 don't "
                        "contradict each other.")
        first, second = (_total(name, rows) for rows in sides[name])
        if first != second:
            twice = " A row may count twice." if name == "three" else ""
            raise Wrong(f"{name!r}: your totals are {_in_words(first)} and {_in_words(second)}. They must be the same, "
                        f"or nothing contradicts.{twice}")
    both = [_in_words(_total(name, sides[name][0])) for name in ROWS]
    return f"{both[0]} for XOR and {both[1]} for the three points: above 0, and not above 0."


def _listed(rows):
    return ", ".join(map(str, rows[:6])) + (", ..." if len(rows) > 6 else "")


def _rows(xor="([0, 3], [1, 2])", three="([0, 2], [1, 1])"):
    return f'sides = {{"xor": {xor}, "three": {three}}}\n'


# 01.3, what least squares answers

def judge_fitted(guess):
    if abs(guess - 0.5) <= 0.01:
        return "0.5, and so at every corner: that costs 0.25 four times, and no other line costs less."
    if abs(guess - 1) <= 0.05:
        raise Wrong("It's 0.5. A line that answers 1 at (0, 1) has one corner exact, and the other three pay: 4/3 "
                    "instead of 1, all squares together.")
    if abs(guess - 0.75) <= 0.01:
        raise Wrong("It's 0.5. 0.75 is the share of corners that the best line gets right, not an output.")
    if abs(guess) <= 0.05:
        raise Wrong("It's 0.5. An answer of 0 at (0, 1) alone costs 1, as much as 0.5 costs at all four corners.")
    raise Wrong("It's 0.5, as at every corner: lift (0, 1) and (1, 0), and (0, 0) or (1, 1) rises as well.")


# 01.4, one update of the perceptron

def _cases():
    """Return (w, row, label), the weights in quarters: sums of exactly 0 are among them, and every result is exact."""
    draw = np.random.default_rng(1)
    return [(draw.integers(-6, 7, 3) / 4, np.array([*draw.integers(0, 2, 2), 1.0]), int(draw.integers(0, 2)))
            for _ in range(100)]


def _updated(update, w, row, label):
    """Return the weights (3,) that a student's update makes, or raise Wrong."""
    made = returned(update, w, row, label, ends="`return` and the new weights")
    made = array(made, "the three new weights from your function", kinds="biuf").astype(float)
    if made.shape != (3,):
        raise Wrong(f"This wants the three new weights from your function, and got shape {made.shape}.")
    return made


def _all_updates(update):
    return np.ravel([_updated(update, *case) for case in _cases()])


def _right_update(w, row, label):
    said = 1 if sum(a * b for a, b in zip(w, row, strict=True)) > 0 else 0
    step = {(0, 0): 0, (1, 1): 0, (1, 0): 1, (0, 1): -1}[label, said]
    return [a + step * b for a, b in zip(w, row, strict=True)]


def judge_update(update):
    found = _all_updates(update)
    for made, (w, row, label) in zip(found.reshape(-1, 3), _cases(), strict=True):
        expected = _right_update(w, row, label)
        if not np.array_equal(made, expected):
            why = cause(BY_ID["01.4"], _all_updates, found)
            shown = (f"From {_numbers(w)}, the point {_numbers(row)} with label {label} should lead to "
                     f"{_numbers(expected)}; you get {_numbers(made)}.")
            raise Wrong(f"{why} It finds {tables_found(update)} of the 16 tables. {shown}" if why else shown)
    return f"It finds {tables_found(update)} of the 16 tables of two inputs."


def _numbers(values):
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"


def tables_found(update, rounds=10):
    """Return for how many of the 16 tables a student's update arrives at a line; 5 rounds are enough for the right."""
    rows, found = [np.array([*corner, 1.0]) for corner in CORNERS], 0
    for labels in itertools.product((0, 1), repeat=4):
        w = np.zeros(3)
        for _ in range(rounds):
            for row, label in zip(rows, labels, strict=True):
                w = _updated(update, w, row, label)
        found += all((row @ w > 0) == label for row, label in zip(rows, labels, strict=True))
    return found


UPDATE = "def update(w, row, label):\n    return {}\n"


# 01.5, one more column

def _column(function, points):
    """Return a student's column of these points, float (n,), or raise Wrong."""
    made = returned(function, points, ends="`return` and a column")
    made = array(made, "a column of numbers from your function", kinds="biuf").astype(float)
    if made.shape not in ((len(points),), (len(points), 1)):
        raise Wrong(f"This wants one number per point: {len(points)} points, and your column has shape {made.shape}.")
    if not np.isfinite(made).all():
        raise Wrong(f"Your column isn't a number at every corner: {_numbers(made.ravel())}.")
    return made.ravel()


def _at_corners(column):
    return _column(column, np.array(CORNERS, dtype=float))


def judge_column(column):
    c = _at_corners(column)
    if not np.allclose(_column(column, np.array(CORNERS[::-1], dtype=float)), c[::-1]):
        raise Wrong("Give your function the corners in another order, and a point gets another number. Compute each "
                    "number from its own point.")
    bend = c[0] - c[1] - c[2] + c[3]
    if abs(bend) <= 1e-6 * max(1, np.abs(c).max()):
        shown = (f"At the four corners your column is {_numbers(c)}. (0, 0) and (1, 1) together have "
                 f"{c[0] + c[3]:.4g}, and so have (0, 1) and (1, 0): the totals of the four rows still agree.")
        raise diagnosed(BY_ID["01.5"], _at_corners, c, shown)
    return (f"At the four corners your column is {_numbers(c)}. (0, 0) and (1, 1) together have {c[0] + c[3]:.4g}, the "
            f"other two {c[1] + c[2]:.4g}, so the four rows no longer contradict each other.")


COLUMN = "def column(points):\n    return {}\n"


EXERCISES = (
    Exercise(
        "01.1", "find", 2, 2, "a line for and, one for nand", "lines",
        'lines = {"or": (1, 1, -0.5), "and": ..., "nand": ...}\n', _line_answers(), judge_lines,
        hints=("For *and*, which three of the four sums must not be above 0? Write them down: b, w2 + b, w1 + b, "
               "w1 + w2 + b.",
               "The edge of *and* runs through (1, 0.5) and (0.5, 1): there the sum is 0. *Nand* has the same edge.",
               "*And* has the weights of *or*, and a bias between -2 and -1. For *nand* turn all three signs round."),
        wrong=((_line_answers(and_=(1, 1, -0.5)), "your *and* says 0 1 1 1: that is *or*."),
               (_line_answers(and_=(1, 1, -2)), "At (1, 1) the sum of your *and* is exactly 0"),
               (_line_answers(nand=(-1, -1, -1.5)), "No sum of your *nand* is above 0"),
               (_line_answers(nand=(1, 1, -1.5)), "your *nand* says 0 0 0 1: that is *and*.")),
        probe=lambda answer: [[s > 0 for s in sums] for sums in _lines(answer).values()]),
    Exercise(
        "01.2", "find", 2, 2, "rows that contradict each other", "sides",
        'sides = {"xor": ..., "three": ...}\n', _rows(), judge_sides,
        hints=("Keep equal labels together: rows labelled 0 in one list, rows labelled 1 in the other.",
               "Both totals of XOR come to w1 + w2 + 2 b. For the three points, row 1 counts twice.",
               "XOR: rows 0 and 3 against rows 1 and 2. Three points: rows 0 and 2 against row 1, twice."),
        wrong=((_rows(xor="([0, 1], [2, 3])"), "rows 0, 1 mix the labels"),
               (_rows(xor="([0], [1])"), "your totals are b and w2 + b"),
               (_rows(xor="([0], [3])"), "all your rows have the label 0"),
               (_rows(three="([0, 2], [1])"), "2 w1 + 2 b and w1 + b. They must be the same, or nothing contradicts. "
                                              "A row may count twice.")),
        probe=lambda answer: {name: sorted(sorted(rows) for rows in pair) for name, pair in _sides(answer).items()}),
    Exercise(
        "01.3", "predict", 1, 0, "what the fitted line answers", "guess", "guess = ...\n", "guess = 0.5\n",
        judge_fitted,
        hints=("Start from 0.5 everywhere, and lift (0, 1) and (1, 0). Where does (1, 1) go?",
               "A line can't lift two opposite corners without the other two: their sums are the same.",
               "The same at all four corners, and the mean of the labels."),
        wrong=(("guess = 1\n", "the other three pay"), ("guess = 0.75\n", "share of corners"),
               ("guess = 0\n", "as much as 0.5 costs at all four"), ("guess = 0.9\n", "as at every corner")),
        probe=lambda guess: [guess], read=lambda guess: number(guess, "a number, the line's answer at (0, 1)")),
    Exercise(
        "01.4", "write", 4, 3, "the perceptron's update", "update",
        UPDATE.replace("return {}", "..."), UPDATE.format("w + (label - (row @ w > 0)) * row"), judge_update,
        hints=("What does the line say for this row, 0 or 1? And what is label minus that, when it's right?",
               "From (0, 0, 0), the row (1, 1, 1) with label 1 leads to (1, 1, 1). With label 0 nothing changes.",
               "Add `(label - said) * row` to `w`, where `said = row @ w > 0`."),
        wrong=((UPDATE.format("w + label * row"), "It moves even when it's right, and never back."),
               (UPDATE.format("w - (label - (row @ w > 0)) * row"), "It moves away from the right answer."),
               (UPDATE.format("w + (label - row @ w) * row"),
                "It corrects right answers too: compare the label with the class, not with the sum."),
               (UPDATE.format("w + (label - (row @ w >= 0)) * row"),
                "A sum of exactly 0 isn't above 0: its class is 0.")),
        probe=lambda update: [_updated(update, np.array([a, b, c], float), np.array([d, e, 1.0]), label).tolist()
                              for a, b, c in ((0, 0, 0), (1, -1, 2), (2, 1, -3), (0.5, 0, 0), (-2, 1, 1))
                              for d, e in CORNERS for label in (0, 1)]),
    Exercise(
        "01.5", "write", 4, 3, "one more column", "column",
        COLUMN.replace("return {}", "..."), COLUMN.format("points[:, 0] * points[:, 1]"), judge_column,
        hints=("What must (0, 0) and (1, 1) together have that (0, 1) and (1, 0) together don't?",
               "With the right one, XOR is x1 + x2 minus twice your column.",
               "Something that is 1 at (1, 1) only: the product of the two inputs."),
        wrong=((COLUMN.format("((points - 0.5) ** 2).sum(axis=1)"),
                "All corners are equally far from the middle, so this column is a constant, like the bias."),
               (COLUMN.format("(points ** 2).sum(axis=1)"),
                "At the corners x² is x, so this column is x1 + x2, which the line has already."),
               (COLUMN.format("points[:, 0] - points[:, 1]"),
                "A difference of two columns adds nothing: the line makes it by itself."),
               (COLUMN.format("points[:, 0]"), "This column is x1, which the line has already.")),
        probe=lambda column: np.round(_column(column, np.array([[0.5, 0.2], [0, 1], [1, 0], [0.3, 0.9], [2, 3]])),
                                      9).tolist()),
)
BY_ID = {exercise.id: exercise for exercise in EXERCISES}
