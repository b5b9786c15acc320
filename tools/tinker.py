"""Lessons with the changes that a student would try: `python3 lab.py tinker [NN ...]`.

"Change things", the first lesson says. So each change here (another seed, width, activation or net) is made in a
lesson's own cells, and those run: they may draw other pictures and print other numbers, and may end in a sentence of
this project, but in no bare assertion and in no error of Python's or a framework's.
"""
import linecache
import os
import sys
import tempfile
import traceback
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager
from IPython.display import display

import lab
from tools import pages

PACKAGE = lab.HERE / "xorlab"
SENTENCES = (ValueError, TypeError, OSError, ImportError, FloatingPointError)       # what xorlab raises by itself


@dataclass(frozen=True)
class Change:
    """What a student might try in a lesson.

    name : what is changed, in a few words.  replace : {text in the lesson's code: text instead of it}.
    skip : ids of the code cells that the change does not concern and that take long; nothing run needs them.
    """
    name: str
    replace: dict
    skip: tuple = field(default=())


# Cells that a change in another part of their lesson doesn't concern: fitting houses, and transfer, which takes longest
HOUSES = ("cell-04", "cell-06", "cell-09", "cell-10", "compile-again", "cell-13", "cell-14", "cell-18", "cell-21",
          "cell-23", "cell-24", "cell-28", "cell-29", "cell-30", "lstsq-code", "cell-64", "answer-1", "answer-4")
TRANSFER = ("cell-39", "cell-40", "cell-41", "cell-43", "centred-leads", "cell-46", "cell-47", "anywhere-leads",
            "answer-4")

# {lesson: its changes}; the first of each runs with every check, all of them with the command
CHANGES = {
    "00": (
        Change("a ReLU net", {'name = "sigmoid-2-3-1"': 'name = "relu-2-4-1"'}),
        Change("the textbook's net", {'name = "sigmoid-2-3-1"': 'name = "textbook-2-4-1"'}),
    ),

    "01": (),

    "02": (),

    "03": (),

    "04": (),

    "05": (),

    "06": (),

    "07": (),

    "08": (),

    "09": (),

    "10": (),

    "11": (
        Change("one hidden unit", {"Dense(8, activation=": "Dense(1, activation="}, skip=(
            *HOUSES, "cell-36", "cell-38", "cell-41", "cell-51", "cell-52", "cell-54", "cell-56", "cell-58", "cell-62",
            "answer-2", "answer-3")),
        Change("two ReLU units, converted", {'Dense(8, activation="tanh"': 'Dense(2, activation="relu"'}, skip=HOUSES),
        Change("another town", {"SCATTER = 2.5, 150, 20": "SCATTER = -1.0, 900, 60"}, skip=(
            "cell-28", "cell-29", "cell-30", "lstsq-code")),
        Change("clouds further apart", {"[0.62, 0.59]": "[0.9, 0.9]"}, skip=HOUSES),
    ),

    "12": (
        Change("two and four filters", {"filters=(32, 64)": "filters=(2, 4)", "epochs=15": "epochs=3"}, skip=(
            "cell-25", "cell-26", "cell-27", "timing", "cell-31", "cell-32", "cell-33", "cell-36", *TRANSFER,
            "cell-51", "answer-2", "answer-3")),
        Change("one filter each, converted", {"filters=(32, 64)": "filters=(1, 1)"}, skip=(*TRANSFER, "cell-51")),
        Change("another start and another digit", {
            "set_random_seed(0)": "set_random_seed(3)", "test_y == 4": "test_y == 8", "rng(7)": "rng(8)"},
               skip=TRANSFER),
        Change("two runs of one filter", {"epochs=15": "epochs=1", "STEPS = 10, (8, 16), 200": "STEPS = 2, (1, 1), 5"}),
    ),
}


def main(numbers):
    """Run every change of the lessons with these numbers, or of all; return 1 if one went wrong."""
    try:
        lessons = pages.lessons(numbers)
    except lab.Problem as problem:
        print(f"tinker: {problem}", file=sys.stderr)
        return 1
    failed = False
    for lesson in lessons:
        for change in CHANGES[lesson.path.name[:2]]:
            problem = run(lesson.notebook, change)
            failed = failed or problem is not None
            print(f"{lesson.path.name[:2]}, {change.name}: {problem or 'runs'}", flush=True)
    return int(failed)


def run(notebook, change):
    """Run a lesson's code with a change; return what went wrong as text, or None.

    A cell that ends in a sentence of this project ends the run: the student reads it and goes back.
    """
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.id not in change.skip]
    sources = changed([cell.source for cell in cells], change.replace)
    names = {"__name__": "__main__", "display": display}
    with _as_a_student():
        for cell, source in zip(cells, sources, strict=True):
            try:
                exec(compile(TransformerManager().transform_cell(source), f"<cell {cell.id}>", "exec"), names)
            except Exception as error:
                if is_ours(error):
                    return None
                return f"cell {cell.id} stopped with {type(error).__name__}: {str(error).splitlines()[:1]}\n" + "".join(
                    traceback.format_tb(error.__traceback__)[-3:])
    return None


def changed(sources, replacements):
    """Return the sources with every replacement made.  Raises ValueError if one has nothing to replace."""
    for old, new in replacements.items():
        if not any(old in source for source in sources):
            raise ValueError(f"no cell that is run holds {old!r}; the lesson has changed, so change this too")
        sources = [source.replace(old, new) for source in sources]
    return sources


def is_ours(error):
    """Was this error raised by a `raise` of the package, with a message of one line?"""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    raised = linecache.getline(frame.filename, frame.lineno).strip().startswith("raise ")
    return (isinstance(error, SENTENCES) and raised and Path(frame.filename).is_relative_to(PACKAGE)
            and len(str(error).splitlines()) == 1)


@contextmanager
def _as_a_student():
    """Run the block in an empty folder, where nothing is checked and no figure or print is seen."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    before, here = os.environ.pop("XORLAB_CHECK", None), Path.cwd()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, redirect_stdout(StringIO()):
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(here)
            plt.close("all")
            if before is not None:
                os.environ["XORLAB_CHECK"] = before


if __name__ == "__main__":
    os.environ.setdefault("TQDM_DISABLE", "1")
    sys.exit(main(sys.argv[1:]))
