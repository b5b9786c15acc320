"""Lessons made for tests: the least that has tasks, and checks that need nothing but Python."""
import copy

KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
# A check as the package's: it says a word, and raises only while nbgrader grades.
CHECK = '''\
import os

def check(exercise, answer):
    try:
        value = answer(3) if callable(answer) else answer
    except Exception:
        value = None
    word = "not tried yet" if value in (None, ...) else "right" if value == 9 else "wrong"
    print(f"{word} ({exercise})")
    if os.environ.get("NBGRADER_EXECUTION") == "autograde" and word != "right":
        raise ValueError(word)

guesses = {}

def predict(exercise, guess=...):
    if guess is not ...:
        guesses[exercise] = guess
        print(f"your guess {guess} is noted")
    else:
        print("your guess holds" if exercise in guesses else f"not tried yet ({exercise})")
'''
FIND = "nine = ...            # a number\n### BEGIN SOLUTION\nnine = 9\n### END SOLUTION"
WRITE = "def square(x):\n    ### BEGIN SOLUTION\n    return x * x\n    ### END SOLUTION"
PREDICT = 'guess = ...\n### BEGIN SOLUTION\nguess = 27\n### END SOLUTION\npredict("01.3", guess)'
WRONG = {"task-01-1": "nine = 8", "task-01-2": "def square(x):\n    return x + x"}
SOLVED = {"task-01-1": "nine = 9", "task-01-2": "def square(x):\n    return x * x"}


def task(number, text):
    """A task cell, as a student's notebook and nbgrader know it."""
    return _code(f"task-01-{number}", text, "task", {"grade": False, "locked": False, "solution": True})


def check(number, name):
    """The check cell of a task, worth two points, with the output that it is stored with."""
    cell = _code(f"check-01-{number}", f'check("01.{number}", {name})', "check",
                 {"grade": True, "locked": True, "solution": False, "points": 2})
    cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": [f"right (01.{number})\n"]}]
    return cell


def _code(name, text, tag, nbgrader):
    nbgrader = dict(nbgrader, grade_id=name, schema_version=3, task=False)
    return {"cell_type": "code", "id": name, "source": text, "outputs": [], "execution_count": None,
            "metadata": {"tags": [tag], "nbgrader": nbgrader, "slideshow": {"slide_type": "skip"}}}


def lesson():
    """A lesson that asks for a number, a function and a guess, and stores what its solutions give."""
    slide, notes = {"slideshow": {"slide_type": "slide"}}, {"slideshow": {"slide_type": "notes"}}
    cells = [
        {"cell_type": "markdown", "id": "title", "metadata": dict(slide, slide={"number": "9"}), "source": "# Squares"},
        {"cell_type": "code", "id": "imports", "metadata": slide, "source": CHECK, "outputs": []},
        {"cell_type": "markdown", "id": "note", "metadata": notes, "source": "They find 9."},
        task(1, FIND), check(1, "nine"), task(2, WRITE), check(2, "square"), task(3, PREDICT),
        {"cell_type": "code", "id": "later", "metadata": slide, "source": "print(3 ** 3)",
         "outputs": [{"output_type": "stream", "name": "stdout", "text": "27\n"}]},
        {"cell_type": "code", "id": "compare-01-3", "source": 'predict("01.3")',
         "metadata": {"tags": ["compare"], "slideshow": {"slide_type": "skip"}},
         "outputs": [{"output_type": "stream", "name": "stdout", "text": "your guess holds\n"}]},
    ]
    cells[-3]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "your guess 27 is noted\n"}]
    for count, cell in enumerate((cell for cell in cells if cell["cell_type"] == "code"), start=1):
        cell["execution_count"] = count
    return {"cells": copy.deepcopy(cells), "metadata": {"kernelspec": KERNELSPEC}, "nbformat": 4, "nbformat_minor": 5}
