"""Editions: nothing of a solution reaches a student, and the real nbgrader hands out, collects and grades."""
import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import made_lessons
import nbformat
import pytest

from xorlab import editions
from xorlab.exercises.registry import EXERCISES

LESSONS = editions.lessons(Path(__file__).resolve().parent.parent / "notebooks")
COURSE_SECONDS = 600


def tasks_of(notebook):
    return [cell for cell in notebook["cells"] if editions.is_task(cell)]


WITH_TASKS = [path for path in LESSONS if tasks_of(editions.read(path))]


def one_cell(text, **changes):
    cell = {"cell_type": "code", "id": "task-09-1", "metadata": {"tags": ["task"]}, "source": text, "outputs": [],
            "execution_count": 1}
    return {"cells": [dict(cell, **changes)], "metadata": {}}


def text_of(notebook, number=0):
    return editions.source(notebook["cells"][number])


REGION = "### BEGIN SOLUTION\n{}\n### END SOLUTION"
INDENTED = "    ### BEGIN SOLUTION\n    {}\n    ### END SOLUTION"


@pytest.mark.parametrize(("text", "stub", "solved"), [
    ("def f(x):\n" + INDENTED.format("return x"), "def f(x):\n    ...", "def f(x):\n    return x"),
    ("a = ...\n" + REGION.format("a = 1"), "a = ...", "a = 1"),
    ("a = ...  # one\n" + REGION.format("a = 1") + "\nshow(a)", "a = ...  # one\nshow(a)", "a = 1\nshow(a)"),
    ("a, b = ..., ...\n" + REGION.format("a, b = 1, 2"), "a, b = ..., ...", "a, b = 1, 2"),
    ("a = {'x': ...}\n" + REGION.format("a['x'] = 1"), "a = {'x': ...}", "a = {'x': ...}\na['x'] = 1"),
    ("a: int = ...\n" + REGION.format("a = 1"), "a: int = ...", "a: int = ...\na = 1"),
    ("a = [\n    ...,\n]\n\n" + REGION.format("a = [1]"), "a = [\n    ...,\n]\n", "a = [\n    ...,\n]\n\na = [1]"),
    ("def f():\n    h = ...\n" + INDENTED.format("h = 2") + "\n    return h", "def f():\n    h = ...\n    return h",
     "def f():\n    h = 2\n    return h"),
    ("a = 1\n" + REGION.format("b = 2"), "a = 1\n...", "a = 1\nb = 2"),
    ("a = ...\ndef f():\n" + INDENTED.format("pass"), "a = ...\ndef f():\n    ...", "a = ...\ndef f():\n    pass"),
    ("a = ...\n" + REGION.format("a = 1") + "\nb = ...\n" + REGION.format("b = 2"), "a = ...\nb = ...", "a = 1\nb = 2"),
])
@pytest.mark.parametrize("as_lines", [False, True])
def test_a_region_becomes_a_stub_that_parses_or_the_solution_alone(text, stub, solved, as_lines):
    notebook = one_cell(text.splitlines(keepends=True) if as_lines else text)
    assert text_of(editions.student(notebook)) == stub
    assert text_of(editions.solved(notebook)) == solved
    ast.parse(stub), ast.parse(solved)
    assert text_of(notebook) == text                                   # what was given is as it was


@pytest.mark.parametrize(("text", "sentence"), [
    ("### BEGIN SOLUTION\na = 1", "no ### END SOLUTION after it"),
    ("a = 1\n### END SOLUTION", "no ### BEGIN SOLUTION before it"),
    ("### BEGIN SOLUTION\n### BEGIN SOLUTION\na = 1\n### END SOLUTION", "in a region"),
    ("### BEGIN SOLUTION\n### END SOLUTION\n### END SOLUTION", "no ### BEGIN SOLUTION before it"),
    ("# Begin solution\na = 1\n# End solution", "'# Begin solution'; a marker stands alone on its line"),
    ("a = 1 ### BEGIN SOLUTION\n### END SOLUTION", "a marker stands alone on its line"),
    ("a = 1", "no region"),
])
@pytest.mark.parametrize("edition", [editions.student, editions.handout, editions.solved, editions.digest])
def test_a_malformed_region_is_refused_with_the_cells_id(edition, text, sentence):
    with pytest.raises(editions.Malformed, match="cell task-09-1 ") as refused:
        edition(one_cell(text))
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


def test_a_region_outside_code_is_refused():
    with pytest.raises(editions.Malformed, match="solutions stand in code"):
        editions.student(one_cell(REGION.format("a = 1"), cell_type="markdown"))


def test_a_students_edition_keeps_no_output_count_slide_or_note():
    edition = editions.student(made_lessons.lesson())
    text = json.dumps(edition)
    assert "They find 9" not in text and '"slide"' not in text
    assert all(cell["outputs"] == [] and cell["execution_count"] is None
               for cell in edition["cells"] if cell["cell_type"] == "code")
    assert edition["cells"][2]["metadata"]["nbgrader"]["grade_id"] == "task-01-1"     # so that it can be handed in


def test_notes_and_folded_answers_stay_where_no_task_has_an_answer():
    lesson = made_lessons.lesson()
    lesson["cells"] = [cell for cell in lesson["cells"] if "nbgrader" not in cell["metadata"]]
    lesson["cells"].append({"cell_type": "code", "id": "answer", "source": "print(1)", "outputs": [], "metadata": {
        "tags": ["answer"], "jupyter": {"source_hidden": True}, "slideshow": {"slide_type": "skip"}}})
    edition = editions.student(lesson)
    assert [cell["id"] for cell in edition["cells"]] == ["title", "imports", "note", "later", "compare-01-3", "answer"]
    assert edition["cells"][-1]["metadata"] == {"tags": ["answer"], "jupyter": {"source_hidden": True}}


def _output(lesson):
    lesson["cells"][-1]["outputs"] = []


def _solution(lesson):
    lesson["cells"][3]["source"] = lesson["cells"][3]["source"].replace("nine = 9", "nine = 3 * 3")


def _note(lesson):
    lesson["cells"][2]["source"] = "They find it."


def _slide(lesson):
    lesson["cells"][0]["metadata"] = {"slideshow": {"slide_type": "-"}, "slide": {"headline": "Nine"}}


def _text(lesson):
    lesson["cells"][0]["source"] = "# Square numbers"


def _stub(lesson):
    lesson["cells"][3]["source"] = lesson["cells"][3]["source"].replace("a number", "a whole number")


def _order(lesson):
    lesson["cells"].reverse()


@pytest.mark.parametrize(("change", "is_another"), [
    (_output, False), (_solution, False), (_note, False), (_slide, False), (_text, True), (_stub, True), (_order, True),
])
def test_the_digest_is_of_what_a_student_reads(change, is_another):
    lesson = made_lessons.lesson()
    change(lesson)
    assert (editions.digest(lesson) != editions.digest(made_lessons.lesson())) == is_another


# What a student could read

def bare(text):
    """Return a text without what may differ between two spellings of the same code."""
    return re.sub(r"\s", "", text).replace("'", '"')


def expected_values(cell):
    """Return what a task's solution is: its region, and each value of some length that it assigns.

    A prediction's value is one of the choices in its question, and what a function's lines assign is no answer alone.
    """
    texts, assigned = [editions.solution(cell)], []
    if not re.search(r"(?m)^def |^predict\(", editions.source(cell)):
        assigned = [node.value for node in ast.parse(texts[0]).body if isinstance(node, ast.Assign)]
    return [bare(text) for text in [*texts, *map(ast.unparse, assigned)] if len(bare(text)) >= 8]


def readable(notebook):
    """Return everything in a notebook, as one bare text."""
    return bare("\n".join(editions.source(cell) + json.dumps({**cell, "source": ""}) for cell in notebook["cells"])
                + json.dumps(notebook["metadata"]))


def leaks(lesson):
    text = readable(editions.student(lesson))
    return [cell["id"] for cell in tasks_of(lesson) if any(value in text for value in expected_values(cell))]


@pytest.mark.parametrize("path", WITH_TASKS, ids=lambda path: path.stem)
def test_no_students_edition_holds_a_solution(path):
    assert leaks(editions.read(path)) == []


@pytest.mark.parametrize("place", ["answer", "tags", "comment"])
def test_a_solution_elsewhere_in_a_lesson_is_seen(place):
    lesson = made_lessons.lesson()
    assert leaks(lesson) == []
    later = lesson["cells"][-1]
    if place == "tags":
        later["metadata"]["tags"] = ["return x * x"]
    else:
        later["source"] = {"answer": "def mine(x):\n    return x*x", "comment": "# return x * x"}[place]
    assert leaks(lesson) == ["task-01-2"]


# The real nbgrader

def nbgrader(folder, *arguments):
    """Run nbgrader in a course's folder, with a home and settings of its own."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    own = {name: str(home / name.lower()) for name in (
        "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
    done = subprocess.run([sys.executable, "-m", "nbgrader", *arguments], cwd=folder, capture_output=True, text=True,
                          env=dict(os.environ, HOME=str(home), USERPROFILE=str(home), **own), timeout=COURSE_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def course_of(lessons, folder):
    """Write the editions of some lessons, {file name: notebook}, hand all out, and return the course's folder."""
    notebooks = folder / "notebooks"
    notebooks.mkdir()
    for name, notebook in lessons.items():
        (notebooks / name).write_text(json.dumps(notebook), encoding="utf-8")
    assert editions.write_all(notebooks, folder / "editions") == []
    course = folder / "editions" / "nbgrader"
    nbgrader(course, "generate_assignment", "*")
    return course


def hand_in(course, name, student, notebook):
    """Submit a notebook as a student's."""
    path = course / "submitted" / student / assignment(name) / name
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(notebook), encoding="utf-8")


def assignment(name):
    return "lesson-" + name[:2]


def released(course, name):
    return editions.read(course / "release" / assignment(name) / name)


def with_answers(notebook, answers):
    """Return a student's notebook with task cells filled in, {id: source}."""
    cells = [dict(cell, source=answers.get(cell["metadata"].get("nbgrader", {}).get("grade_id"), cell["source"]))
             for cell in notebook["cells"]]
    return dict(notebook, cells=cells)


def scores(course, name):
    """Grade what was handed in; return {student: (points, of)}."""
    from nbgrader.api import Gradebook

    nbgrader(course, "autograde", assignment(name))
    with Gradebook(f"sqlite:///{(course / 'gradebook.db').as_posix()}") as gradebook:
        return {submission.student.id: (submission.score, submission.max_score)
                for submission in gradebook.assignment_submissions(assignment(name))}


def sources_without_spare_stubs(notebook):
    """The text of each cell; nbgrader leaves a `...` on a line of its own where a stub stands before it already."""
    return [re.sub(r"(?m)(^.*=.*\.\.\..*\n)\.\.\.$\n?", r"\1", editions.source(cell)).rstrip()
            for cell in notebook["cells"]]


def test_nbgrader_grades_what_it_handed_out_and_what_work_has(tmp_path):
    name = "01-squares.ipynb"
    course = course_of({name: made_lessons.lesson()}, tmp_path)
    own, theirs = editions.read(tmp_path / "editions" / "student" / name), released(course, name)
    half, forged = {"task-01-1": made_lessons.SOLVED["task-01-1"]}, {"check-01-2": "print('right')"}
    for student, notebook in {
        "untouched": theirs, "solved in work": with_answers(own, made_lessons.SOLVED),
        "wrong": with_answers(theirs, made_lessons.WRONG), "half": with_answers(own, half | forged),
    }.items():
        hand_in(course, name, student, notebook)
    assert scores(course, name) == {"untouched": (0, 4), "solved in work": (4, 4), "wrong": (0, 4), "half": (2, 4)}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """All lessons, handed out by nbgrader."""
    return course_of({path.name: editions.read(path) for path in LESSONS}, tmp_path_factory.mktemp("course"))


def test_nbgrader_hands_out_every_lesson_as_our_students_edition_says(course):
    """The stubs by another road: nbgrader's own."""
    for path in LESSONS:
        ours = editions.student(editions.read(path))
        theirs = released(course, path.name)
        assert sources_without_spare_stubs(theirs) == [editions.source(cell).rstrip() for cell in ours["cells"]], path
        nbformat.validate(nbformat.from_dict(ours))


def exercises_of(path):
    """Return {number of its cells, e.g. "02-1": exercise} for those of a lesson that are checked."""
    return {key.replace(".", "-"): exercise for key, exercise in EXERCISES.items()
            if key[:2] == path.name[:2] and exercise.kind != "predict"}


def short(notebook):
    """Return a notebook with only what grading needs: the code before the first task, tasks and checks."""
    cells = notebook["cells"]
    first = next(number for number, cell in enumerate(cells) if editions.is_task(cell))
    return dict(notebook, cells=[cell for number, cell in enumerate(cells) if cell["cell_type"] == "code" and (
        number < first or "nbgrader" in cell["metadata"])])


def errors(course, name, student):
    """Return what each cell that nbgrader graded as wrong says, without emphasis: {id: words}."""
    graded = editions.read(course / "autograded" / student / assignment(name) / name)
    return {cell["metadata"]["nbgrader"]["grade_id"]: output["evalue"].replace("*", "") for cell in graded["cells"]
            if "nbgrader" in cell["metadata"] for output in cell["outputs"] if output["output_type"] == "error"}


def test_lessons_have_tasks():
    assert "02" in [path.name[:2] for path in WITH_TASKS]


@pytest.mark.parametrize("path", WITH_TASKS, ids=lambda path: path.stem)
def test_nbgrader_gives_points_for_right_answers_only(path, course, request):
    every = request.config.getoption("--all")
    if path.name[:2] != "02" and not every:
        pytest.skip("lesson 02 stands for all; --all grades every lesson, and whole")
    exercises = exercises_of(path)
    untouched = released(course, path.name)
    answers = {f"task-{number}": exercise.wrong[0][0] for number, exercise in exercises.items()}
    for student, notebook in {"untouched": untouched, "solved": editions.solved(editions.read(path)),
                              "wrong": with_answers(untouched, answers)}.items():
        hand_in(course, path.name, student, notebook if every else short(notebook))
    points = sum(exercise.points for exercise in exercises.values())
    assert scores(course, path.name) == {"untouched": (0, points), "solved": (points, points), "wrong": (0, points)}
    assert points > 0 and errors(course, path.name, "solved") == {}
    said = {kind: errors(course, path.name, kind) for kind in ("untouched", "wrong")}
    for number, exercise in exercises.items():
        assert said["untouched"][f"check-{number}"].startswith("not tried yet")
        assert exercise.wrong[0][1].replace("*", "") in said["wrong"][f"check-{number}"]
