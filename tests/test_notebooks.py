"""The guard of the lessons: what nbval cannot see, e.g. that a notebook without outputs passes whatever it prints."""
import ast
import copy
import json
import re
import symtable
import textwrap
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import made_lessons
import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import refresh
from xorlab import editions
from xorlab.exercises.registry import EXERCISES

LESSONS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))
SLIDE_TYPES = {"slide", "subslide", "fragment", "skip", "notes", "-"}
MACHINE_PATH = re.compile(r"/home/|/root/|/tmp/|/Users/|\b[A-Za-z]:\\")
ABSOLUTE_LINK = re.compile(r"""\]\(\s*<?/|\b(src|href)\s*=\s*["']/|\bfile:/""")
COLUMNS = 94            # of code, as wide as a page
ABOUT = re.compile(r"~-?\d")
SHOWS = {"print", "display", "show"}
PLOTTING = {"plot", "scatter", "imshow", "contour", "contourf", "subplots", "figure", "hist", "bar"}
PLOTTING_MODULES = {"plots", "plt"}
TASK = {"grade": False, "locked": False, "schema_version": 3, "solution": True, "task": False}      # and its grade_id
CHECK = {"grade": True, "locked": True, "schema_version": 3, "solution": False, "task": False}      # and its points


def problems(path, exercises=EXERCISES):
    """Return a sentence for everything that a stored lesson must not be; its tasks are those of `exercises`, by id."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    notebook = nbformat.from_dict(raw)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [
        *wrong_counts(code),
        *unheld_numbers(code),
        *(sentence for cell in code for sentence in wrong_outputs(cell)),
        *(sentence for cell in notebook.cells for sentence in wrong_cell(cell)),
        *repeated_ids(notebook),
        *unclean_metadata(notebook),
        *wrong_tasks(notebook, exercises),
        *missing_tasks(notebook, path.name[:2], exercises),
        *answers_used_later(code),
    ]


def wrong_counts(code):
    counts = [cell.execution_count for cell in code]
    if counts != list(range(1, len(code) + 1)):
        yield f"execution counts are {counts}, not 1..{len(code)}: run it from top to bottom"


def unheld_numbers(code):
    """The checks do not compare a number marked by ~; an expectation in its cell or the next must hold it."""
    for cell, following in zip(code, [*code[1:], None], strict=True):
        held = any(re.search(r"\bexpect\(|\bassert ", source(near)) for near in (cell, following) if near)
        if not held and any(ABOUT.search(text) for text in shown_texts(cell)):
            yield f"a number marked by ~ without an expectation: {source(cell)[:60]!r}"


def wrong_outputs(cell):
    if must_show(source(cell)) and not cell.outputs:
        yield f"a cell that prints or draws has no stored output: {source(cell)[:60]!r}"
    for output in cell.outputs:
        if output.output_type == "error":
            yield f"a stored error: {output.ename}"
        if output.output_type == "stream" and output.name == "stderr":
            yield f"stored stderr: {joined(output.text)[:60]!r}"


def wrong_cell(cell):
    if not cell.get("id"):
        yield f"a cell without an id: {source(cell)[:60]!r}"
    if cell.metadata.get("slideshow", {}).get("slide_type") not in SLIDE_TYPES:
        yield f"a cell without a slide tag: {source(cell)[:60]!r}"
    for text in [source(cell), *shown_texts(cell)]:
        if found := MACHINE_PATH.search(text):
            yield f"a path of one machine: {text[found.start():][:60]!r}"
    if cell.cell_type == "markdown" and (found := ABSOLUTE_LINK.search(source(cell))):
        yield f"a link that works only on one machine or site: {source(cell)[found.start():][:60]!r}"
    if cell.cell_type == "code" and (long := [line for line in source(cell).splitlines() if len(line) > COLUMNS]):
        yield f"a line of code that is cut off on a page, after {COLUMNS} columns: {long[0]!r}"


def repeated_ids(notebook):
    ids = [cell.get("id") for cell in notebook.cells]
    if len(set(ids)) < len(ids):
        yield "two cells have the same id"


def unclean_metadata(notebook):
    if refresh.clean(notebook) != notebook:
        yield "metadata of one machine: python3 lab.py refresh cleans it"


def wrong_tasks(notebook, exercises):
    """Yield what keeps a cell from being the task, or the check of the task before it, that its tag says it is."""
    for before, cell, after in zip([None, *notebook.cells], notebook.cells, [*notebook.cells[1:], None], strict=False):
        kinds = {"task", "check"} & set(cell.metadata.get("tags", []))
        name = f"cell {cell.get('id')}"
        if not kinds:
            if "nbgrader" in cell.metadata:
                yield f"{name} has nbgrader's metadata and is tagged neither task nor check"
            if "SOLUTION" in source(cell):
                yield f"{name} has a region and no tag task"
            continue
        kind = min(kinds)
        known = {f"{kind}-{key.replace('.', '-')}": key for key in exercises}
        if cell.cell_type != "code" or len(kinds) > 1 or cell.get("id") not in known:
            yield f"{name} is tagged {' and '.join(kinds)} and is not code with the id of an exercise, {kind}-NN-N"
            continue
        exercise = exercises[known[cell.id]]
        if kind == "task":
            yield from wrong_task(cell, after, known[cell.id], exercise, notebook.cells)
        else:
            yield from wrong_check(before, cell, known[cell.id], exercise)


def is_comparison(cell, key):
    """Does a cell compare a guess with the output, and store that the lesson's own holds?"""
    return (cell.get("id") == f"compare-{key.replace('.', '-')}" and cell.metadata.get("tags") == ["compare"]
            and source(cell) == f'predict("{key}")' and outputs_text(cell).startswith("your guess holds"))


def wrong_task(cell, after, key, exercise, cells):
    if cell.metadata.get("nbgrader") != dict(TASK, grade_id=cell.id):
        yield f"cell {cell.id} needs nbgrader's metadata of a task"
    try:
        stub, region = source(editions.student({"cells": [cell], "metadata": {}})["cells"][0]), editions.solution(cell)
    except editions.Malformed as problem:
        yield str(problem)
        return
    if region.strip() != solution_lines(exercise):
        yield f"the region of {cell.id} is not the solution of exercise {key}: {solution_lines(exercise)!r}"
    if exercise.kind == "predict":
        if not any(is_comparison(later, key) for later in cells):
            yield f'{cell.id} has no cell compare-... after the output, tagged compare, that says predict("{key}")'
        call = ast.parse(stub).body[-1]
        text = outputs_text(cell)
        if "noted" not in text:
            yield f"{cell.id} does not store that its guess is noted, but {text[:60]!r}"
    else:
        call = ast.parse(source(after) if after and after.cell_type == "code" else "").body[:1]
        call = call[0] if call and after.get("id") == cell.id.replace("task", "check") else None
    verb = "predict" if exercise.kind == "predict" else "check"
    answer = judged(call, verb, key)
    if answer is None:
        where = "ends in" if verb == "predict" else "is followed by a cell with"
        yield f'{cell.id} {where} no {verb}("{key}", the answer\'s name)'
    elif answer not in bound(stub):
        yield f"{cell.id} gives {answer} its value in the region only; say {answer} = ... before it"


def wrong_check(before, cell, key, exercise):
    if cell.metadata.get("nbgrader") != dict(CHECK, grade_id=cell.id, points=exercise.points) or not exercise.points:
        yield f"cell {cell.id} needs nbgrader's metadata of a check with {exercise.points} points"
    if before is None or before.get("id") != cell.id.replace("check", "task"):
        yield f"{cell.id} does not follow its task"
    if len(source(cell).splitlines()) != 1:
        yield f"{cell.id} has more than its one line"
    if not outputs_text(cell).startswith("right"):
        yield f"{cell.id} does not store that its answer is right, but {outputs_text(cell)[:60]!r}"


def solution_lines(exercise):
    """Return what a solution has and its stub has not, moved to the left margin: the region of its task cell."""
    asked = exercise.stub.splitlines()
    return textwrap.dedent("\n".join(line for line in exercise.solution.splitlines() if line not in asked)).strip()


def judged(statement, verb, key):
    """Return the name that a statement `verb("key", name)` hands over, or None for any other statement."""
    call = getattr(statement, "value", None)
    if isinstance(call, ast.Call) and ast.unparse(call.func) == verb and len(call.args) == 2 and not call.keywords:
        exercise, answer = call.args
        if isinstance(exercise, ast.Constant) and exercise.value == key and isinstance(answer, ast.Name):
            return answer.id
    return None


def outputs_text(cell):
    """Return what a cell's first output says as plain text."""
    first = cell.outputs[0] if cell.outputs else {}
    return joined(first.get("text", first.get("data", {}).get("text/plain", "")))


def missing_tasks(notebook, lesson, exercises):
    ids = {cell.get("id") for cell in notebook.cells}
    for key in exercises:
        if key.startswith(lesson + ".") and f"task-{key.replace('.', '-')}" not in ids:
            yield f"exercise {key} has no task cell"


def answers_used_later(code):
    """Yield each use of a name that a student gives its value: it may be unset, or wrong."""
    students = {}                       # name: its task
    for cell in code:
        task = cell.get("id") if "task" in cell.metadata.get("tags", []) else None
        checked = cell.get("id", "").replace("check", "task")
        for statement in ast.parse(TransformerManager().transform_cell(source(cell))).body:
            text = ast.unparse(statement)
            for name in used(text) & set(students):
                if students[name] not in (task, checked):
                    yield f"cell {cell.get('id')} uses {name}, which a student sets in {students[name]}"
            for name in bound(text):
                students.pop(name, None)
                if task:
                    students[name] = task


def bound(text):
    """Return the names that some code gives a value in the notebook, not inside its functions."""
    tree = ast.parse(text)
    inside, every = Counter(names(targets(tree, ast.comprehension))), Counter(
        name.id for name in ast.walk(tree) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store))
    return {symbol.get_name() for symbol in symtable.symtable(text, "cell", "exec").get_symbols()
            if symbol.is_assigned() or symbol.is_imported()
            } - {name for name in inside if inside[name] == every[name]}        # Python 3.12 counts them as the cell's


def used(text):
    """Return the names of the notebook that some code reads, in its functions too."""
    loops = names(targets(ast.parse(text), ast.For, ast.withitem, ast.comprehension))
    return set(global_names(symtable.symtable(text, "cell", "exec"))).difference(loops)


def targets(tree, *kinds):
    """Yield what loops, `with` and comprehensions give values to."""
    for node in ast.walk(tree):
        if isinstance(node, kinds):
            yield getattr(node, "target", None) or node.optional_vars or ast.Pass()


def names(nodes):
    return [name.id for node in nodes for name in ast.walk(node) if isinstance(name, ast.Name)]


def global_names(table):
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (table.get_type() == "module" or symbol.is_global()):
            yield symbol.get_name()
    for inner in table.get_children():
        yield from global_names(inner)


def shown_texts(cell):
    for output in cell.get("outputs", []):
        yield joined(output.get("text", ""))
        yield joined(output.get("traceback", ""))
        for kind, data in output.get("data", {}).items():
            if not kind.startswith("image/") or kind == "image/svg+xml":       # base64 may spell anything
                yield joined(data) if isinstance(data, (str, list)) else json.dumps(data)


def source(cell):
    return joined(cell.source)


def joined(text):
    return "".join(text) if isinstance(text, list) else text


def must_show(code):
    """Does this cell surely print or draw: outside definitions, or by a bare name as its last line?"""
    body = ast.parse(TransformerManager().transform_cell(code)).body
    if body and isinstance(body[-1], ast.Expr) and not code.rstrip().endswith(";"):
        if not isinstance(body[-1].value, (ast.Call, ast.Constant, ast.Await)):
            return True
        if isinstance(body[-1].value, ast.Constant) and body[-1].value.value not in (None, ...):
            return True
    return any(shows(node) for node in executed(body))


def executed(nodes):
    """Yield the syntax nodes that run with the cell: not the insides of functions, lambdas and classes."""
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        yield node
        yield from executed(ast.iter_child_nodes(node))


def shows(node):
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Name):
        return node.func.id in SHOWS
    if not isinstance(node.func, ast.Attribute):
        return False
    module = node.func.value.id if isinstance(node.func.value, ast.Name) else None
    return (
        node.func.attr in ("show", "display")
        or (module in PLOTTING_MODULES and node.func.attr in PLOTTING)
        or (module == "plots" and node.func.attr != "use")
    )


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_lesson_is_stored_as_it_ran(path):
    assert problems(path) == []


def good():
    """A notebook that the guard has nothing against."""
    tag = {"slideshow": {"slide_type": "slide"}}
    printed = new_output("stream", name="stdout", text="hello\n")
    cells = [
        new_markdown_cell("# Title\n[next](02-next.ipynb)", id="title", metadata=tag),
        new_code_cell("print('hello')", id="one", metadata=tag, execution_count=1, outputs=[printed]),
        new_code_cell("x = 1", id="two", metadata=tag, execution_count=2),
    ]
    return new_notebook(cells=cells, metadata={"kernelspec": refresh.KERNELSPEC})


def _stripped(notebook):
    notebook.cells[1].outputs = []


def _never_run(notebook):
    notebook.cells[1].update(outputs=[], execution_count=None)


def _out_of_order(notebook):
    notebook.cells[1].execution_count, notebook.cells[2].execution_count = 2, 1


def _run_twice(notebook):
    notebook.cells[2].execution_count = 7


def _stderr(notebook):
    notebook.cells[1].outputs.append(new_output("stream", name="stderr", text="a warning"))


def _error(notebook):
    notebook.cells[2].outputs = [new_output("error", ename="ValueError", evalue="no", traceback=["no"])]


def _path_printed(notebook):
    notebook.cells[1].outputs[0].text = "saved to /home/someone/xor.pth\n"


def _windows_path_printed(notebook):
    notebook.cells[1].outputs[0].text = "saved to C:\\Users\\someone\\xor.pth\n"


def _path_in_code(notebook):
    notebook.cells[2].source = "x = '/tmp/xor.pth'"


def _path_in_html(notebook):
    notebook.cells[2].outputs = [new_output("execute_result", {"text/html": "<b>/root/x</b>"}, execution_count=2)]


def _absolute_link(notebook):
    notebook.cells[0].source = "# Title\n[next](/lab/tree/02-next.ipynb)"


def _long_line(notebook):
    notebook.cells[1].source += "  # " + "x" * COLUMNS


def _untagged(notebook):
    notebook.cells[0].metadata = {}


def _no_id(notebook):
    del notebook.cells[0]["id"]


def _same_id(notebook):
    notebook.cells[0]["id"] = "one"


def _python_version(notebook):
    notebook.metadata["language_info"] = {"name": "python", "version": "3.11.7"}


def _about(notebook):
    notebook.cells[1].outputs[0].text = "~97 % right\n"


def _timing(notebook):
    notebook.cells[1].metadata["execution"] = {"iopub.status.busy": "2020-01-01"}


def _other_kernel(notebook):
    notebook.metadata["kernelspec"]["name"] = "my-environment"


@pytest.mark.parametrize(("spoil", "sentence"), [
    (_stripped, "no stored output"), (_never_run, "no stored output"), (_never_run, "execution counts"),
    (_out_of_order, "execution counts"), (_run_twice, "execution counts"),
    (_stderr, "stored stderr"), (_error, "a stored error"),
    (_path_printed, "path of one machine"), (_windows_path_printed, "path of one machine"),
    (_path_in_code, "path of one machine"), (_path_in_html, "path of one machine"),
    (_absolute_link, "link that works only"), (_long_line, "is cut off on a page"), (_untagged, "without a slide tag"),
    (_no_id, "without an id"), (_same_id, "same id"),
    (_about, "without an expectation"),
    (_python_version, "metadata"), (_timing, "metadata"), (_other_kernel, "metadata"),
])
def test_a_spoiled_lesson_is_refused(tmp_path, spoil, sentence):
    notebook = copy.deepcopy(good())
    spoil(notebook)
    path = tmp_path / "99-spoiled.ipynb"
    path.write_text(json.dumps(notebook))
    assert any(sentence in problem for problem in problems(path)), problems(path)


def exercise(kind, stub, solution, points=2):
    return SimpleNamespace(kind=kind, stub=stub, solution=solution, points=points)


ASKED = {
    "01.1": exercise("find", "nine = ...", "nine = ...\nnine = 9"),
    "01.2": exercise("write", "def square(x):\n    ...", "def square(x):\n    return x * x"),
    "01.3": exercise("predict", 'guess = ...\npredict("01.3", guess)', 'guess = 27\npredict("01.3", guess)', points=0),
}


def asking():
    """A lesson with tasks that the guard has nothing against: cells 3 to 8 are tasks with their checks."""
    return nbformat.from_dict(made_lessons.lesson())


def problems_of(notebook, folder, exercises=ASKED):
    path = folder / "01-made.ipynb"
    path.write_text(json.dumps(notebook))
    return problems(path, exercises)


def _no_metadata(cells):
    del cells[3].metadata["nbgrader"]


def _graded_task(cells):
    cells[3].metadata.nbgrader.grade = True


def _other_grade_id(cells):
    cells[4].metadata.nbgrader.grade_id = "check-01-2"


def _other_points(cells):
    cells[4].metadata.nbgrader.points = 3


def _unlocked_check(cells):
    cells[4].metadata.nbgrader.locked = False


def _stray_metadata(cells):
    cells[8].metadata.nbgrader = cells[3].metadata.nbgrader


def _untagged_task(cells):
    cells[3].metadata.tags = []


def _unknown_exercise(cells):
    cells[3].id = "task-01-7"


def _no_check(cells):
    cells[4].update(source="print(nine)", id="other")
    cells[4].metadata = {"slideshow": {"slide_type": "skip"}}


def _check_of_another(cells):
    cells[4].source = 'check("01.2", nine)'


def _check_elsewhere(cells):
    cells.insert(6, cells.pop(4))


def _longer_check(cells):
    cells[4].source += "\nprint(1)"


def _wrong_stored(cells):
    cells[4].outputs[0].text = "wrong (01.1): it is 8\n"


def _nothing_stored(cells):
    cells[4].outputs = []


def _other_solution(cells):
    cells[3].source = cells[3].source.replace("nine = 9", "nine = 3 * 3")


def _unended(cells):
    cells[3].source = cells[3].source.replace("### END SOLUTION", "")


def _no_region(cells):
    cells[3].source = "nine = 9"


def _named_inside(cells):
    cells[3].source = cells[3].source.replace("nine = ...            # a number\n", "")


def _no_guess(cells):
    cells[7].source = cells[7].source.replace('predict("01.3", guess)', "guess")


def _no_comparison(cells):
    cells[9].source = "print(3)"


def _used_later(cells):
    cells[8].source = "print(3 ** 3, square(3))"


def _used_in_a_function(cells):
    cells[8].source = "def later():\n    return nine\nprint(3 ** 3)"


def _used_in_another_check(cells):
    cells[6].source = 'check("01.2", nine)'


@pytest.mark.parametrize(("spoil", "sentence"), [
    (_no_metadata, "task-01-1 needs nbgrader's metadata"), (_graded_task, "task-01-1 needs nbgrader's metadata"),
    (_other_grade_id, "check-01-1 needs nbgrader's metadata"), (_other_points, "a check with 2 points"),
    (_unlocked_check, "check-01-1 needs nbgrader's metadata"), (_stray_metadata, "later has nbgrader's metadata"),
    (_untagged_task, "tagged neither task nor check"), (_untagged_task, "has a region and no tag task"),
    (_unknown_exercise, "not code with the id of an exercise"), (_unknown_exercise, "01.1 has no task cell"),
    (_no_check, 'is followed by a cell with no check("01.1"'), (_no_check, "other uses nine"),
    (_check_of_another, 'is followed by a cell with no check("01.1"'), (_check_elsewhere, "does not follow its task"),
    (_longer_check, "more than its one line"), (_wrong_stored, "does not store that its answer is right, but 'wrong"),
    (_nothing_stored, "does not store that its answer is right, but ''"),
    (_other_solution, "is not the solution of exercise 01.1"), (_unended, "task-01-1 has ### BEGIN SOLUTION and no"),
    (_no_region, "no region"), (_named_inside, "gives nine its value in the region only"),
    (_no_guess, 'ends in no predict("01.3"'), (_no_comparison, "has no cell compare-"),
    (_used_later, "later uses square, which a student sets in task-01-2"),
    (_used_in_a_function, "later uses nine"), (_used_in_another_check, "check-01-2 uses nine"),
])
def test_a_spoiled_task_is_refused(tmp_path, spoil, sentence):
    notebook = asking()
    spoil(notebook.cells)
    told = problems_of(notebook, tmp_path)
    assert any(sentence in problem for problem in told), told


@pytest.mark.parametrize("later", [
    "print(3 ** 3)", "nine = 27\nprint(nine)", "for nine in (27,):\n    print(nine)", "print((lambda nine: nine)(27))",
    "def of(square):\n    return square(3)\nprint(27)", "print([guess for guess in (27,)])",
])
def test_good_tasks_are_accepted_and_their_names_may_be_given_anew(tmp_path, later):
    notebook = asking()
    notebook.cells[8].source = later
    assert problems_of(notebook, tmp_path) == []


def test_a_good_lesson_is_accepted(tmp_path):
    path = tmp_path / "99-good.ipynb"
    nbformat.write(good(), path)
    assert problems(path) == []


def test_a_number_marked_by_a_tilde_is_left_to_the_expectation_after_it(tmp_path):
    notebook = good()
    _about(notebook)
    notebook.cells[2].source = "expect(right > 0.95, 'More than 95 % are right.')"
    nbformat.write(notebook, tmp_path / "99-good.ipynb")
    assert problems(tmp_path / "99-good.ipynb") == []
    comparison = refresh.NbvalComparison()
    assert [comparison.sanitize(text) for text in ("right  ~97.3%", "~-6e-06 of ~1,450", "97.3 of 450")] == [
        "rightABOUT%", "ABOUT ofABOUT", "97.3 of 450"]


@pytest.mark.parametrize("code", [
    "print(1)", "for x in y:\n    print(x)", "plt.show()", "plots.surface(p)", "ax = plots.surface(p)", "report",
    "x[0]", "a == b", "display(x)", "fig, ax = plt.subplots()", "%matplotlib inline\nprint(1)", "'text'",
])
def test_cells_that_must_show_something(code):
    assert must_show(code)


@pytest.mark.parametrize("code", [
    "x = 1", "def f():\n    print(1)", "class A:\n    x = print", "f = lambda: print(1)", "check(x)", "report;",
    "import torch", "assert x == 1", "plots.use()", "plt.close(fig)", "%matplotlib inline", "", "# only a comment",
])
def test_cells_that_need_not_show_anything(code):
    assert not must_show(code)


# (lesson, question): why its answer is no code
THOUGHT = {}


def asserting(notebook):
    """Return the code cells with an `assert`: to a student who changes something it is an error without a sentence."""
    return [cell.id for cell in notebook.cells if cell.cell_type == "code"
            and any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(
                TransformerManager().transform_cell(source(cell)))))]


def unanswered(notebook):
    """Return the numbers of the questions under "Try it" that no code answers.

    An answer in code is a cell tagged `answer`, folded, not on the slides, that begins with its question's number,
    e.g. `# 2. Seed 0 with eight units`.
    """
    asked = [cell for cell in notebook.cells if cell.cell_type == "markdown" and "## Try it" in source(cell)]
    questions = set(re.findall(r"(?m)^(\d+)\. ", "\n".join(map(source, asked))))
    answers = [cell for cell in notebook.cells if "answer" in cell.metadata.get("tags", [])]
    assert all(cell.metadata.get("jupyter") == {"source_hidden": True, "outputs_hidden": True} and
               cell.metadata["slideshow"]["slide_type"] == "skip" for cell in answers), "an answer is not folded"
    return sorted(questions - {number for cell in answers
                               for number in re.findall(r"(?m)^# (\d+)\. ", source(cell))})


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_expects_and_does_not_assert(path):
    assert asserting(nbformat.read(path, 4)) == []


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_no_sentence_or_statement_stands_twice_in_a_cell(path):
    for cell in nbformat.read(path, 4).cells:
        said = [re.sub(r"^\d+\. ", "", line) for line in cell.source.splitlines() if not line.startswith(" ")]
        assert [line for line in set(said) if len(line) > 25 and said.count(line) > 1] == [], cell.id


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_question_has_an_answer_in_code_that_runs(path):
    lesson = path.name[:2]
    missing = [number for number in unanswered(nbformat.read(path, 4)) if (lesson, number) not in THOUGHT]
    assert missing == []


def test_only_lessons_of_conversion_and_keras_load_tensorflow():
    needs = re.compile(r"\btensorflow\b|\bonnx2tf\.|export\.to_(saved_model|tflite)|\bkeras\b")
    loads = [path.name[:2] for path in LESSONS
             if any(needs.search(source(cell)) for cell in nbformat.read(path, 4).cells if cell.cell_type == "code")]
    assert loads == ["02", "04", "07", "09", "11", "12"]
