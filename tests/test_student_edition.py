"""The check of untouched lessons, which conftest.py sets beside each lesson's cells: what it sees."""
import subprocess
import sys

import made_lessons
import pytest

import lab
from tools import refresh
from tools.untouched import differing, run_untouched, unasked


def test_every_lesson_has_its_check_beside_its_cells():
    listed = subprocess.run([sys.executable, "-m", "pytest", "--collect-only", "-q", "notebooks"],
                            cwd=lab.HERE, capture_output=True, text=True).stdout.splitlines()
    assert [f"notebooks/{path.name}::untouched" for path in lab.lessons()] == [
        line for line in listed if line.endswith("::untouched")]


def test_whatever_an_untouched_lesson_shows_otherwise_is_seen(tmp_path):
    lesson = made_lessons.lesson()
    lesson["cells"][-2]["outputs"][0]["text"] = "28\n"
    ran = run_untouched(lesson, tmp_path)
    assert differing(ran, lesson) == [("later", ["27\n"], ["28\n"])]
    assert unasked(ran) == []
    ran.cells[3].outputs[0].text = "right (01.1)\n"
    assert [name for name, _ in unasked(ran)] == ["check-01-1"]


def test_an_untouched_lesson_that_needs_an_answer_fails(tmp_path):
    lesson = made_lessons.lesson()
    lesson["cells"][-2]["source"] = "print(3 * nine)\nnine + 1"
    with pytest.raises(refresh.LessonFailed, match="stopped with TypeError"):
        run_untouched(lesson, tmp_path)
