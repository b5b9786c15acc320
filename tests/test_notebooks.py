"""The guard of the lessons: what nbval cannot see, e.g. that a notebook without outputs passes whatever it prints."""
import ast
import copy
import json
import re
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import refresh

LESSONS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))
SLIDE_TYPES = {"slide", "subslide", "fragment", "skip", "notes", "-"}
MACHINE_PATH = re.compile(r"/home/|/root/|/tmp/|/Users/|\b[A-Za-z]:\\")
ABSOLUTE_LINK = re.compile(r"""\]\(\s*<?/|\b(src|href)\s*=\s*["']/|\bfile:/""")
ABOUT = re.compile(r"~-?\d")
SHOWS = {"print", "display", "show"}
PLOTTING = {"plot", "scatter", "imshow", "contour", "contourf", "subplots", "figure", "hist", "bar"}
PLOTTING_MODULES = {"plots", "plt"}


def problems(path):
    """Return a sentence for everything that a stored lesson must not be."""
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


def repeated_ids(notebook):
    ids = [cell.get("id") for cell in notebook.cells]
    if len(set(ids)) < len(ids):
        yield "two cells have the same id"


def unclean_metadata(notebook):
    if refresh.clean(notebook) != notebook:
        yield "metadata of one machine: python3 lab.py refresh cleans it"


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
        or module == "plots"
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
    (_absolute_link, "link that works only"), (_untagged, "without a slide tag"),
    (_no_id, "without an id"), (_same_id, "same id"),
    (_about, "without an expectation"),
    (_python_version, "metadata"), (_timing, "metadata"), (_other_kernel, "metadata"),
])
def test_a_spoiled_lesson_is_refused(tmp_path, spoil, sentence):
    notebook = copy.deepcopy(good())
    spoil(notebook)
    path = tmp_path / "01-spoiled.ipynb"
    path.write_text(json.dumps(notebook))
    assert any(sentence in problem for problem in problems(path)), problems(path)


def test_a_good_lesson_is_accepted(tmp_path):
    path = tmp_path / "01-good.ipynb"
    nbformat.write(good(), path)
    assert problems(path) == []


def test_a_number_marked_by_a_tilde_is_left_to_the_expectation_after_it(tmp_path):
    notebook = good()
    _about(notebook)
    notebook.cells[2].source = "expect(right > 0.95, 'More than 95 % are right.')"
    nbformat.write(notebook, tmp_path / "01-good.ipynb")
    assert problems(tmp_path / "01-good.ipynb") == []
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
    "import torch", "assert x == 1", "plt.close(fig)", "%matplotlib inline", "", "# only a comment",
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
def test_every_question_has_an_answer_in_code_that_runs(path):
    lesson = path.name[:2]
    missing = [number for number in unanswered(nbformat.read(path, 4)) if (lesson, number) not in THOUGHT]
    assert missing == []


def test_only_lessons_of_conversion_and_keras_load_tensorflow():
    needs = re.compile(r"\btensorflow\b|\bonnx2tf\.|export\.to_(saved_model|tflite)|\bkeras\b")
    loads = [path.name[:2] for path in LESSONS
             if any(needs.search(source(cell)) for cell in nbformat.read(path, 4).cells if cell.cell_type == "code")]
    assert loads == ["02", "04", "07", "09", "11", "12"]
