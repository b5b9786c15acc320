"""What a student sees who runs a lesson and answers nothing: no error, "not tried yet", all else as it is stored.

conftest.py makes a check of it beside each lesson's cells.
"""
import json
import os
import tempfile
from pathlib import Path
from unittest import mock

import nbformat

from tools import likeness, refresh
from xorlab import editions

CPU_PATH = {"ATEN_CPU_CAPABILITY": "avx2"}      # on which lessons promise their numbers


def problems(path):
    """Run a lesson's untouched student's edition; return what it shows otherwise than promised, in a list."""
    lesson = editions.read(path)
    # the kernel inherits the environment
    with mock.patch.dict(os.environ, CPU_PATH), tempfile.TemporaryDirectory() as folder:
        try:
            ran = run_untouched(lesson, Path(folder))
        except refresh.LessonFailed as problem:
            return [str(problem)]
    return unasked(ran) + differing(ran, lesson)


def run_untouched(lesson, folder):
    """Run the student's edition of a lesson in a folder.  Raises refresh.LessonFailed on an error or on stderr."""
    (folder / "lesson.ipynb").write_text(json.dumps(editions.student(lesson)), encoding="utf-8")
    return refresh.run(nbformat.read(folder / "lesson.ipynb", 4), folder / "lesson.ipynb")


def differing(ran, lesson):
    """Return the cells, neither task nor check, that show something else than is stored: (id, shown, stored)."""
    stored = {cell["id"]: cell for cell in nbformat.reads(json.dumps(lesson), 4).cells}
    comparison = refresh.NbvalComparison()
    return [
        (cell.id, shown(cell), shown(stored[cell.id])) for cell in ran.cells
        if cell.cell_type == "code" and not editions.is_students(cell)
        and not refresh.equal_outputs(cell, stored[cell.id], comparison, likeness.alike)
    ]


def same_pictures(outputs, stored):
    """Do outputs of a cell show the pictures that are stored?"""
    return refresh.equal_pictures(refresh.pictures(outputs), refresh.pictures(stored), likeness.alike)


def shown(cell):
    """Return the texts and the kinds of pictures that a cell shows."""
    return [output.get("text") or output.data.get("text/plain") or sorted(output.data) for output in cell.outputs]


def unasked(ran):
    """Return what checks and predictions say to no answer, where that isn't "not tried yet"."""
    asks = [cell for cell in ran.cells if editions.is_students(cell)
            and ("check" in cell.metadata.tags or "predict(" in cell.source)]
    return [(cell.id, shown(cell)) for cell in asks
            if not any(str(text).startswith("not tried yet") for text in shown(cell))]
