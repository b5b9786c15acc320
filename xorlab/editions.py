"""Editions of a lesson, made from the notebook that holds the solutions: the student's, the solved one, a course's.

Standard library only: `lab.py` makes copies before anything is installed.
A notebook is here the dict that its JSON holds. A region, in a code cell, is

    ### BEGIN SOLUTION
    nine = [(20, 20, -10), (20, 20, -30), (20, -20, -10)]
    ### END SOLUTION
"""
import ast
import copy
import hashlib
import json
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

from xorlab import files

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
STUB = "..."
LIKE_A_MARKER = re.compile(r"#.*\b(begin|end)\s+solution\b", re.IGNORECASE)
# What an edition for students keeps of a cell's metadata: nothing that could hold an expected value, as slides do.
KEPT_OF_A_CELL = ("jupyter", "nbgrader", "tags")
KEPT_OF_A_NOTEBOOK = ("kernelspec", "language_info")
STUDENTS = {"task", "check", "compare"}     # tags of cells whose output depends on a student
SOURCES = ".sources.json"       # in a folder of students' copies: the edition that each was made of
WRITTEN = ".editions.json"      # in a folder of editions: the digest of each file as it was written
CONFIG = """\
# nbgrader's settings for this course. Run nbgrader in this folder: it holds the gradebook and everybody's work.
from pathlib import Path

HERE = Path(__file__).resolve().parent

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "xorlab"
c.CourseDirectory.root = str(HERE)
c.CourseDirectory.db_url = "sqlite:///" + (HERE / "gradebook.db").as_posix()
c.ClearSolutions.code_stub = {"python": "..."}      # a stub that runs: an untouched lesson ends without an error
c.Execute.timeout = 180                             # seconds for a cell; lessons train networks
"""


class Malformed(ValueError):
    """A lesson that no edition can be made of; the sentence names the cell."""


def student(notebook: dict) -> dict:
    """Return the student's edition of a lesson: each region a stub that runs, no outputs, no counts.

    Teaching notes of a lesson with tasks say what its answers are, so they are left out; folded answers stay.
    Raises Malformed, with the cell's id, for a region that does not end, has no beginning or holds another, for one
    outside code, and for a task without a region, which would hand its solution out.

    >>> cell = {"cell_type": "code", "id": "task-02-1", "metadata": {"tags": ["task"]}, "source": [
    ...     "nine = ...\\n", "### BEGIN SOLUTION\\n", "nine = 9\\n", "### END SOLUTION"]}
    >>> student({"cells": [cell], "metadata": {}})["cells"][0]["source"]
    ['nine = ...']
    """
    edition = handout(notebook)
    for cell in edition["cells"]:
        _rewrite(cell, _stubbed)
    return edition


def handout(notebook: dict) -> dict:
    """Return a lesson as `student` does but with its regions: nbgrader's source, which makes stubs itself."""
    edition = copy.deepcopy(notebook)
    edition["metadata"] = _only(edition["metadata"], KEPT_OF_A_NOTEBOOK)
    with_tasks = any(is_task(cell) for cell in edition["cells"])
    edition["cells"] = [cell for cell in edition["cells"] if not (with_tasks and is_note(cell))]
    for cell in edition["cells"]:
        _regions(cell)                                  # whatever is malformed is refused here
        cell["metadata"] = _only(cell["metadata"], KEPT_OF_A_CELL)
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    return edition


def solved(notebook: dict) -> dict:
    """Return the solutions edition: a lesson as stored, without the lines that mark regions and the stubs before them.

    Raises Malformed as `student` does.
    """
    edition = copy.deepcopy(notebook)
    for cell in edition["cells"]:
        _rewrite(cell, _unmarked)
    return edition


def digest(notebook: dict, edition: Callable[[dict], dict] = student) -> str:
    """Return a digest of what a student's edition says: a new picture, output, note or solution leaves it as it is."""
    return _digest_of_text(edition(notebook))


def _digest_of_text(edition):
    return _sha256(json.dumps([(cell["cell_type"], source(cell)) for cell in edition["cells"]]).encode())


def is_task(cell: dict) -> bool:
    return "task" in cell["metadata"].get("tags", [])


def is_students(cell: dict) -> bool:
    """Does what a cell shows depend on what a student answers?"""
    return not STUDENTS.isdisjoint(cell["metadata"].get("tags", []))


def is_note(cell: dict) -> bool:
    return cell["metadata"].get("slideshow", {}).get("slide_type") == "notes"


def source(cell: dict) -> str:
    return "".join(cell["source"])                      # a string or a list of lines


def solution(cell: dict) -> str:
    """Return what stands in a task cell's regions, moved to the left margin.  Raises Malformed."""
    lines = source(cell).split("\n")
    return textwrap.dedent("\n".join(line for begin, end in _regions(cell) for line in lines[begin + 1:end]))


def _only(metadata, keys):
    return {key: value for key, value in metadata.items() if key in keys}


def _regions(cell):
    """Return (line of BEGIN, line of END) of each region of a cell.  Raises Malformed."""
    regions, begin = [], None
    for number, line in enumerate(source(cell).split("\n")):
        if not LIKE_A_MARKER.search(line):
            continue
        if cell["cell_type"] != "code":
            raise _malformed(cell, "speaks of a region, and is not code; solutions stand in code cells")
        if line.strip() not in (BEGIN, END):
            raise _malformed(cell, f"has {line.strip()!r}; a marker stands alone on its line, as {BEGIN} or {END}")
        if line.strip() == BEGIN:
            if begin is not None:
                raise _malformed(cell, f"has {BEGIN} in a region; end the first with {END}")
            begin = number
        elif begin is None:
            raise _malformed(cell, f"has {END} and no {BEGIN} before it")
        else:
            regions.append((begin, number))
            begin = None
    if begin is not None:
        raise _malformed(cell, f"has {BEGIN} and no {END} after it")
    if is_task(cell) and not regions:
        raise _malformed(cell, f"has the tag task and no region; write its solution between {BEGIN} and {END}")
    return regions


def _malformed(cell, what):
    return Malformed(f"cell {cell.get('id', '(without an id)')} {what}")


def _rewrite(cell, of_region):
    """Put for each region, last first, the lines that `of_region` makes of (lines before, indent, lines inside)."""
    regions = _regions(cell)
    if not regions:
        return
    lines = source(cell).split("\n")
    for begin, end in reversed(regions):
        indent = lines[begin][:len(lines[begin]) - len(lines[begin].lstrip())]
        lines[:end + 1] = of_region(lines[:begin], indent, lines[begin + 1:end])
    cell["source"] = "\n".join(lines).splitlines(keepends=True)


def _stubbed(before, indent, _inside):
    return before if _ends_in_stub(before) else [*before, indent + STUB]


def _unmarked(before, _indent, inside):
    """Keep the region's lines, and no stub `name = ...` that its first line sets anew."""
    if before and inside and _ends_in_stub(before) and _target(before[-1]) == _target(inside[0]):
        before = before[:-1]
    return [*before, *inside]


def _target(line):
    return line.partition("=")[0].rstrip()


def _ends_in_stub(lines):
    """Is the last statement of these lines an assignment of something that holds `...`?"""
    try:
        tree = ast.parse("\n".join(lines))
    except SyntaxError:                 # a header that waits for its body, a magic
        return False
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    last = max(statements, key=lambda node: (node.lineno, node.col_offset), default=None)
    return isinstance(last, (ast.Assign, ast.AnnAssign)) and last.value is not None and any(
        isinstance(node, ast.Constant) and node.value is ... for node in ast.walk(last.value))


def lessons(folder: Path) -> list[Path]:
    return sorted(Path(folder).glob("[0-9]*.ipynb"))


def read(path: Path) -> dict:
    """Return the notebook in a file.  Raises FileNotFoundError, or Malformed if there is none in it."""
    name = Path(path).name
    try:
        notebook = files.read_json(path, "notebook")
    except ValueError as error:
        raise Malformed(str(error).replace(str(path), name, 1)) from None
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise Malformed(f"{name} is not a notebook: it has no list of cells")
    if not isinstance(notebook.get("metadata"), dict):
        raise Malformed(f"{name} is not a notebook: it has no metadata")
    for number, cell in enumerate(notebook["cells"]):
        problem = _problem(cell)
        if problem:
            raise Malformed(f"{name} is not a notebook: cell {number} {problem}")
    return notebook


def _problem(cell):
    """Return what is wrong with the parts of a cell that editions look at, "" if nothing is."""
    if not isinstance(cell, dict):
        return "is no object"
    metadata, text = cell.get("metadata"), cell.get("source")
    if not isinstance(cell.get("cell_type"), str):
        return "has no type"
    if not isinstance(metadata, dict):
        return "has no metadata"
    if not _are_words(metadata.get("tags", [])):
        return "has tags that are no list of words"
    if not isinstance(metadata.get("slideshow", {}), dict):
        return "has a slideshow that is no object"
    if not (isinstance(text, str) or _are_words(text)):
        return "has a source that is no text"
    return ""


def _are_words(value):
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def made(edition, path: Path):
    """Return what `edition`, one of the functions above, makes of the lesson in a file; Malformed names the file."""
    notebook = read(path)
    try:
        return edition(notebook)
    except Malformed as problem:
        raise Malformed(f"{Path(path).name}: {problem}") from None


def hand_out(folder: Path) -> list[Path]:
    """Copy this installation's lessons into a folder as `lay_out` does; return what it returns.

    A checkout makes them of its notebooks/; a wheel holds them ready.
    """
    package = Path(__file__).resolve().parent
    if (package / "lessons").is_dir():
        return lay_out(package / "lessons", folder, as_it_is)
    return lay_out(package.parent / "notebooks", folder)


def lay_out(notebooks: Path, folder: Path, edition: Callable[[dict], dict] = student) -> list[Path]:
    """Copy into a folder each student's edition that it does not have yet, and overwrite nothing.

    edition : makes it of a notebook; `as_it_is` where `notebooks` holds student's editions, as a wheel does.
    Returns the lessons in `notebooks` whose edition says something else than the one that the folder's was made of.
    """
    newer = []
    for lesson in lessons(notebooks):
        if not (folder / lesson.name).exists():
            lay(lesson, folder, edition)
        elif is_newer(lesson, folder, edition):
            newer.append(lesson)
    return newer


def as_it_is(notebook: dict) -> dict:
    return notebook


def lay(lesson: Path, folder: Path, edition: Callable[[dict], dict] = student) -> None:
    """Write the student's edition of one lesson into a folder, and remember which it was."""
    made_of_it = made(edition, lesson)
    _remember(lesson, folder, _digest_of_text(made_of_it))      # first: a copy without a record would never be told of
    _write(folder / lesson.name, _as_file(made_of_it))


def is_newer(lesson: Path, folder: Path, edition: Callable[[dict], dict] = student) -> bool:
    """Has a lesson's edition changed since the folder's copy was made?  Where nothing is recorded: no.

    Version 0.1.0 copied whole lessons and recorded the whole file's digest. Such a copy counts as up to date if that
    file, or what the copy says, is still the lesson's; from then on the edition's digest is recorded.
    """
    recorded = files.read_record(folder / SOURCES).get(lesson.name)
    now = made(lambda notebook: digest(notebook, edition), lesson)
    if recorded in (None, now):
        return False
    if recorded != _sha256(lesson.read_bytes()) and not _says(folder / lesson.name, now):
        return True
    _remember(lesson, folder, now)
    return False


def _says(path, edition):
    try:
        return _digest_of_text(read(path)) == edition
    except (Malformed, KeyError, TypeError):        # a student's file may be anything
        return False


def _remember(lesson, folder, edition):
    record = dict(files.read_record(folder / SOURCES), **{lesson.name: edition})
    _write(folder / SOURCES, json.dumps(record, indent=1).encode())


def write_all(notebooks: Path, folder: Path) -> list[str]:
    """Write every edition of the lessons in `notebooks` into a folder, and nothing over what others wrote there.

    student/ and solutions/ have a notebook a lesson; nbgrader/ is a course of its own, an assignment a lesson.
    Returns a sentence for each file that stays as somebody made it, and for each that is of no lesson any more.
    """
    wanted = {"nbgrader/nbgrader_config.py": CONFIG.encode()}
    for lesson in lessons(notebooks):
        assignment = "lesson-" + lesson.name.split("-")[0]
        wanted[f"student/{lesson.name}"] = _as_file(made(student, lesson))
        wanted[f"solutions/{lesson.name}"] = _as_file(made(solved, lesson))
        wanted[f"nbgrader/source/{assignment}/{lesson.name}"] = _as_file(made(handout, lesson))
    known = files.read_record(folder / WRITTEN)
    written = {name: digests if isinstance(digests, list) else [digests] for name, digests in known.items()}
    stay = [name for name, content in wanted.items() if (folder / name).exists()
            and _sha256((folder / name).read_bytes()) not in (*written.get(name, ()), _sha256(content))]
    ours = {name: content for name, content in wanted.items() if name not in stay}
    # a command that is killed leaves files of both kinds: until all are written, either digest is this command's
    _note(folder, {**written, **{name: [*written.get(name, ()), _sha256(content)] for name, content in ours.items()}})
    for name, content in ours.items():
        _write(folder / name, content)
        written[name] = [_sha256(content)]
    _note(folder, {name: known for name, known in written.items() if (folder / name).exists()})
    others = [name for name in written if name not in wanted and (folder / name).exists()]
    return [*(f"{name} is not as this command wrote it, and stays; remove it, and it is written anew."
              for name in stay),
            *(f"{name} is of no lesson any more; remove it unless you need it." for name in others)]


def _note(folder, written):
    """Write which digests the files in a folder of editions have where nobody else has changed them."""
    record = {name: known[0] if len(known) == 1 else known for name, known in written.items()}
    _write(folder / WRITTEN, json.dumps(record, indent=1).encode())


def _as_file(notebook):
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode()


def _write(path, content):
    with files.replacing(path) as half:
        half.write_bytes(content)


def _sha256(content):
    return hashlib.sha256(content).hexdigest()
