"""Lessons as nobody has answered them: what the checks see of that, in nbval's kernel and in one of its own."""
import base64
import copy
import io
import json
import os
import subprocess
import sys
from xml.etree import ElementTree

import made_lessons
import nbformat
import numpy as np
import pytest
from PIL import Image

import lab
from tools import refresh, untouched
from tools.untouched import differing, run_untouched, unasked
from xorlab.exercises import check, predict
from xorlab.exercises.registry import EXERCISES


def cell(source, *tags, text=None, **data):
    """A code cell that has shown a text on stdout, or data of these kinds."""
    outputs = [{"output_type": "stream", "name": "stdout", "text": text}] if text else []
    outputs += [{"output_type": "display_data", "data": data, "metadata": {}}] if data else []
    return {"cell_type": "code", "source": source, "metadata": {"tags": list(tags)}, "outputs": outputs,
            "execution_count": 1}


def says(source, verdict, *tags):
    return cell(source, *tags, **{"text/plain": repr(verdict), "text/html": verdict._repr_html_()})


def region(stub, solution, after=""):
    return f"{stub}\n### BEGIN SOLUTION\n{solution}\n### END SOLUTION{after}"


def encoded(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return base64.b64encode(file.getvalue()).decode()


WEDGE = np.where(np.arange(40)[:, None] > np.arange(60), 255, 0).astype(np.uint8)
DRAW = f"display(Image(base64.b64decode('{encoded(WEDGE)}')))"
DRAWN, MIRRORED = ({"text/plain": "<IPython.core.display.Image object>", "image/png": encoded(pixels)}
                   for pixels in (WEDGE, WEDGE[:, ::-1]))
BIAS = EXERCISES["04.3"].solution.removeprefix(EXERCISES["04.3"].stub).strip()
RIGHT, NOTED, HOLDS = check("04.3", eval(BIAS.removeprefix("bias = "))), predict("00.1", 69), predict("00.1")

START = cell("""\
import base64, os, random, sys
from functools import cached_property
from IPython.display import Image
from xorlab.exercises import check, predict
class Square:
    @cached_property
    def area(self): return 9
shared, square, n = [1], Square(), 7
random.seed(1)""")
FAITHFUL = [
    START, cell(region("bias = ...", BIAS), "task"), says('check("04.3", bias)', RIGHT, "check"),
    says(region("guess = ...", "guess = 69", '\npredict("00.1", guess)'), NOTED, "task"),
    says('predict("00.1")', HOLDS, "compare"),
    cell("print(bias, guess)", text="Ellipsis Ellipsis\n"),
    cell(region("n = ...", "n = random.random() + square.area"), "task"),
    cell("print(random.random(), n)", text="0.13436424411240122 Ellipsis\n"),
    cell("n = 5", "lesson"),
    cell(region("m = ...", "m = n\nprint(m)"), "task", text="5\n"),
    cell(region("m = m", "m = m + 1\nprint(m)"), "task", text="6\n"),
    cell(region("", DRAW), "task", **DRAWN), cell(DRAW, **DRAWN), cell("print('~96.9%')", text="~96.8%\n"),
    cell("print(os.environ['ATEN_CPU_CAPABILITY'])", text="avx2\n"),
]
BROKEN = {
    "stopped with TypeError": cell(region("n = ...", "n = 3", "\nn + 1"), "task", **{"text/plain": "4"}),
    "wrote to stderr: 7": cell(region("n = 7", "n = 3", "\nif n == 7: print(n, file=sys.stderr)"), "task"),
    "right (04.3)": says(f'check("04.3", {BIAS.removeprefix("bias = ")})', RIGHT, "check"),
    "the solved cell changes shared": cell(region("n = ...", "shared.append(n)"), "task"),
    "unsupported operand": cell("print(n + 1)", text="4\n"),
    "another than is stored": cell(DRAW, **MIRRORED),
    " another than is stored": cell(region("", DRAW), "task", **MIRRORED),
    "  another than is stored": cell("print('~96.9%')", text="~69.9%\n"),
    "Cell outputs differ": cell(region("n = ...", "print(n)"), "task", text="8\n"),
}


@pytest.fixture(scope="module")
def failures(tmp_path_factory):
    """{name of a notebook: what pytest says of each of its cells, "" where it passes}, of one run of pytest."""
    folder = tmp_path_factory.mktemp("lessons")
    for name, cells in {"faithful": FAITHFUL, "broken": [START, *BROKEN.values()]}.items():
        cells = [dict(copy.deepcopy(made), id=f"{name}-{number}") for number, made in enumerate(cells)]
        (folder / f"{name}.ipynb").write_text(json.dumps({
            "cells": cells, "metadata": {"kernelspec": made_lessons.KERNELSPEC}, "nbformat": 4, "nbformat_minor": 5}))
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-c", "pyproject.toml", "--color=no",
               "-p", "no:cacheprovider", f"--rootdir={lab.HERE}", f"--junitxml={folder / 'said.xml'}", str(folder)]
    done = subprocess.run(command, cwd=lab.HERE, capture_output=True, text=True)
    assert (folder / "said.xml").exists(), done.stdout + done.stderr
    said = {"faithful": [], "broken": []}
    for case in ElementTree.parse(folder / "said.xml").iter("testcase"):
        said["faithful" if "faithful" in case.get("classname") else "broken"].append(
            "\n".join(part.text or "" for part in case if part.tag in ("failure", "error", "skipped")))
    return said


def test_a_lesson_passes_whose_cells_show_what_is_stored_with_answers_and_without(failures):
    assert failures["faithful"] == [""] * len(FAITHFUL)
    assert "ATEN_CPU_CAPABILITY" not in os.environ


@pytest.mark.parametrize("words", BROKEN)
def test_each_thing_that_an_untouched_or_a_solved_cell_shows_otherwise_is_seen(failures, words):
    assert words.strip() in failures["broken"][1 + list(BROKEN).index(words)]


def test_nothing_else_is_said_of_a_broken_lesson(failures):
    assert failures["broken"][0] == "" and all(failures["broken"][1:])
    assert len(failures["broken"]) == 1 + len(BROKEN)


def test_what_cannot_be_put_aside_is_no_silence(monkeypatch):
    error = nbformat.v4.new_output("error", ename="ModuleNotFoundError", evalue="No module named 'tools'")
    monkeypatch.setattr(untouched, "said", lambda *_: [error])
    with pytest.raises(RuntimeError, match="aside.py stopped with ModuleNotFoundError: No module named 'tools'"):
        untouched.aside(None, untouched.END, 1)


def test_whatever_an_untouched_lesson_shows_otherwise_is_seen(tmp_path):
    lesson = made_lessons.lesson()
    lesson["cells"][-2]["outputs"][0]["text"] = "28\n"
    ran = run_untouched(lesson, tmp_path)
    assert differing(ran, lesson) == [("later", ["27\n"], ["28\n"])]
    assert unasked(ran.cells) == []
    ran.cells[3].outputs[0].text = "right (01.1)\n"
    assert [name for name, _ in unasked(ran.cells)] == ["check-01-1"]


def test_an_untouched_lesson_that_needs_an_answer_fails(tmp_path):
    lesson = made_lessons.lesson()
    lesson["cells"][-2]["source"] = "print(3 * nine)\nnine + 1"
    with pytest.raises(refresh.LessonFailed, match="stopped with TypeError"):
        run_untouched(lesson, tmp_path)
