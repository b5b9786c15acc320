"""What a student sees who runs a lesson and answers nothing: no error, "not tried yet", all else as it is stored.

The checks run a lesson once for both: in the kernel where nbval runs it, a cell that students answer runs as they get
it, and then as it is solved, which is set aside (tools/aside.py). So every later cell runs as if nobody had answered.
`python -m tools.untouched [NN ...]` runs student's editions by themselves.
"""
import contextlib
import functools
import json
import os
import sys
import tempfile
from pathlib import Path
from unittest import mock

import nbformat
from nbformat.v4 import output_from_msg
from nbval.plugin import coalesce_streams

import lab
from tools import checks, likeness, refresh
from xorlab import editions
from xorlab.streams import ended

BEGIN, END = "__import__('tools.aside').aside.begin(globals(), {})", "__import__('tools.aside').aside.end(globals())"
OUTPUTS = {"stream", "display_data", "execute_result", "error"}


# In the kernel of a lesson's checks

@contextlib.contextmanager
def beside(item):
    """Check a cell untouched too, where students answer it, and the pictures and ~ numbers of any, around nbval's run.

    item : nbval's.  Raises AssertionError with all that is otherwise than promised.
    """
    kernel = item.parent.kernel
    if not kernel.is_alive() or item.parent.timed_out:      # nbval says so
        yield
        return
    found = []
    if editions.is_students(item.cell):
        seconds = item.config.option.nbval_cell_timeout
        found += wrong(as_handed_out(item.path)[item.cell.id], kernel, seconds)
        aside(kernel, BEGIN.format(editions.is_task(item.cell)), seconds)
        try:
            yield
        finally:
            changed = aside(kernel, END, seconds)
        found += [f"the solved cell changes {name}, which is the lesson's" for name in changed]
    else:
        yield
    if not refresh.equal_outputs(cell_with(item.cell, item.test_outputs), item.cell, comparison(), likeness.alike):
        found.append("a picture, or a number after ~, is another than is stored")
    assert found == [], "; ".join(map(str, found))     # nbval shows these words alone


def wrong(cell, kernel, seconds):
    """Run a student's cell as it is handed out; return what it shows otherwise than promised."""
    ran = cell_with(cell, said(kernel, "".join(cell["source"]), seconds))
    return refresh.loud("untouched", ran) + unasked([ran])


def aside(kernel, code, seconds):
    """Run code of ours in a kernel; return the words that it prints.  Raises RuntimeError where it fails."""
    ran = nbformat.from_dict({"outputs": said(kernel, code, seconds)})
    if found := refresh.loud("tools/aside.py", ran):
        raise RuntimeError(found[0])
    return refresh.said(ran).split()


def said(kernel, code, seconds):
    """Run code in a kernel of nbval's; return the outputs that it makes."""
    request = kernel.execute_cell_input(code, allow_stdin=False)
    kernel.await_reply(request, timeout=seconds)
    outputs = []
    while True:
        message = kernel.get_message("iopub", timeout=seconds)
        if message["parent_header"].get("msg_id") != request:
            continue
        if message["content"].get("execution_state") == "idle":
            return coalesce_streams(outputs)
        if message["msg_type"] in OUTPUTS:
            outputs.append(output_from_msg(message))


def cell_with(cell, outputs):
    return nbformat.from_dict({**cell, "source": "".join(cell["source"]), "outputs": outputs})


@functools.cache
def as_handed_out(path):
    """Return the cells of a lesson's student's edition, by id."""
    return {cell["id"]: cell for cell in editions.student(editions.read(path))["cells"]}


@functools.cache
def comparison():
    return refresh.NbvalComparison()


# By itself

def main(numbers):
    """Run the student's editions of the lessons with these numbers, or of all; return 1 if one shows something else."""
    found = [(path.name, problem) for path in [lab.lesson(number) for number in numbers] or lab.lessons()
             for problem in problems(path)]
    for name, problem in found:
        print(f"{name}: {problem}")
    return int(bool(found))


def problems(path):
    """Run a lesson's untouched student's edition; return what it shows otherwise than promised, in a list."""
    lesson = editions.read(path)
    # the kernel inherits the environment
    with mock.patch.dict(os.environ, checks.CPU_PATH), tempfile.TemporaryDirectory() as folder:
        try:
            ran = run_untouched(lesson, Path(folder))
        except refresh.LessonFailed as problem:
            return [str(problem)]
    return unasked(ran.cells) + differing(ran, lesson)


def run_untouched(lesson, folder):
    """Run the student's edition of a lesson in a folder.  Raises refresh.LessonFailed on an error or on stderr."""
    (folder / "lesson.ipynb").write_text(json.dumps(editions.student(lesson)), encoding="utf-8")
    return refresh.run(nbformat.read(folder / "lesson.ipynb", 4), folder / "lesson.ipynb")


def differing(ran, lesson):
    """Return the cells, neither task nor check, that show something else than is stored: (id, shown, stored)."""
    stored = {cell["id"]: cell for cell in nbformat.reads(json.dumps(lesson), 4).cells}
    return [
        (cell.id, shown(cell), shown(stored[cell.id])) for cell in ran.cells
        if cell.cell_type == "code" and not editions.is_students(cell)
        and not refresh.equal_outputs(cell, stored[cell.id], comparison(), likeness.alike)
    ]


def shown(cell):
    """Return the texts and the kinds of pictures that a cell shows."""
    return [output.get("text") or output.get("data", {}).get("text/plain") or sorted(output.get("data", {}))
            for output in cell.outputs]


def unasked(cells):
    """Return what checks and predictions say to no answer, where that isn't "not tried yet"."""
    asks = [cell for cell in cells if editions.is_students(cell)
            and ("check" in cell.metadata.tags or "predict(" in cell.source)]
    return [(cell.id, shown(cell)) for cell in asks
            if not any(str(text).startswith("not tried yet") for text in shown(cell))]


if __name__ == "__main__":
    sys.exit(ended(main, sys.argv[1:], errors=(lab.Problem, OSError, ImportError)))
