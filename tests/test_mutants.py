"""The list of mutants is whole: each breaks one place that is there, and names tests that are there.

That these tests notice is what `python3 lab.py mutants` tries; it takes minutes. Here it is tried on two, whose answers
are known.
"""
import ast
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from queue import SimpleQueue

import pytest

from tools.trust import mutants
from tools.trust.part import ROOT

EVERY = mutants.mutants()
LARGE = 120             # lines, from which on a module of the package must have a mutant


@cache
def content(path):
    return (ROOT / path).read_text(encoding="utf-8")


@cache
def names_in(path):
    """Return the names of the tests in a file, those in a class apart."""
    return {node.name for node in ast.parse(content(path)).body
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def problem(mutant):
    """Return what keeps a mutant from being one, or ""."""
    try:
        broken = mutant.broken(content(mutant.path))
    except ValueError as error:
        return str(error)
    if broken == content(mutant.path):
        return f"{mutant.name} breaks nothing"
    if mutant.path.endswith(".py"):
        ast.parse(broken)
    if not mutant.checks:
        return f"{mutant.name} has no checks"
    wrong = [check for check in mutant.checks if not is_there(check)]
    return f"{mutant.name}: there is no {wrong[0]}" if wrong else ""


def is_there(check):
    path, _, test = check.partition("::")
    if not (path.startswith(("tests/", "notebooks/")) and (ROOT / path).is_file()):
        return False
    return not test or path.endswith(".py") and test.partition("[")[0] in names_in(path)


def test_every_mutant_changes_one_text_that_is_there_once_and_names_tests_that_are_there():
    assert list(filter(None, map(problem, EVERY.values()))) == []


def test_there_are_a_hundred_mutants_and_no_two_break_the_same():
    assert len(EVERY) >= 100
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in EVERY.values()}) == len(EVERY)


def test_every_large_module_of_the_package_and_the_tools_is_broken_somewhere():
    broken = {mutant.path for mutant in EVERY.values()}
    modules = [path.relative_to(ROOT).as_posix() for folder in ("xorlab", "tools") for path in
               (ROOT / folder).rglob("*.py") if path.parent.name != "trust"]
    assert [path for path in modules if content(path).count("\n") > LARGE and path not in broken] == []
    assert {"lab.py", "README.md", "pyproject.toml"} <= broken
    assert any("#" in mutant.file for mutant in EVERY.values())


@pytest.mark.parametrize("change, sentence", [
    ({"old": "no such text"}, "holds it 0 times"), ({"old": "def "}, "must hold its old text once"),
    ({"new": "def corners():"}, "breaks nothing"), ({"checks": ()}, "has no checks"),
    ({"checks": ("tests/test_data.py::test_nothing",)}, "there is no tests/test_data.py::test_nothing"),
    ({"checks": ("xorlab/data.py",)}, "there is no xorlab/data.py"),
    ({"file": "notebooks/01-xor-dataset.ipynb#no-such-cell"}, "has no cell 'no-such-cell'"),
])
def test_a_mutant_that_is_none_is_told(change, sentence):
    good = {"name": "x", "file": "xorlab/data.py", "old": "def corners():", "new": "def corner():",
            "checks": ("tests/test_data.py",)}
    assert problem(mutants.Mutant(**good)) == ""
    assert sentence in problem(mutants.Mutant(**(good | change)))


def test_a_cell_of_a_lesson_is_broken_in_its_own_lines_and_nowhere_else():
    path = "notebooks/01-xor-dataset.ipynb"
    mutant = mutants.Mutant("x", f"{path}#cell-04", "for point, label", "for label, point", ("tests/test_prose.py",))
    before, after = content(path).splitlines(), mutant.broken(content(path)).splitlines()
    changed = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    assert len(changed) == 1 and "for label, point" in changed[0][1]


@pytest.mark.parametrize("line, sentence", [
    ("a\tb\tc", "needs 5 columns"), ("{0}\n{0}", "the name 'x' is taken")])
def test_a_line_of_the_list_that_is_no_mutant_is_told(tmp_path, monkeypatch, line, sentence):
    monkeypatch.setattr(mutants, "LIST", tmp_path / "mutants.tsv")
    mutants.LIST.write_text("# comment\n\n" + line.format("x\tf\to\tn\tc"), encoding="utf-8")
    with pytest.raises(ValueError, match=sentence):
        mutants.mutants()


class Copy:
    """Stands in for a copy of the project in which pytest gave these answers."""

    def __init__(self, *answers):
        self.answers = iter(answers)

    def broken_by(self, mutant):
        return nullcontext()

    def run(self, checks, *options, limit=0):
        return next(self.answers)


@pytest.mark.parametrize("answer, unbroken, says", [
    ((1, ["t::a", "t::b"], ""), (), ""), ((0, [], "1 passed"), (), "survived: t::a"),
    ((0, [], "1 skipped"), (), "its checks were skipped: 1 skipped"),
    ((1, ["t::a"], ""), ("t::a",), "t::a fails on the unbroken project too"), ((None, [], ""), (), "longer than"),
    ((2, [], "interrupted"), (), "status 2): interrupted"), ((4, [], "no such test"), (), "status 4): no such test"),
    ((5, [], "none"), (), "status 5): none"), ((1, [], "odd"), (), "status 1): odd"),
])
def test_only_a_test_that_fails_on_the_broken_project_and_not_else_notices(answer, unbroken, says):
    mutant = mutants.Mutant("x", "f", "a", "b", ("t::a",))
    copies = SimpleQueue()
    copies.put(Copy(answer))
    row = mutants._row(copies, mutant, set(unbroken))
    assert says in row["problem"] and bool(says) == bool(row["problem"])
    assert row["noticed"] == (answer[1][:1] or [""])[0]


def test_checks_that_cannot_run_on_the_unbroken_project_stop_the_run():
    copies = SimpleQueue()
    copies.put(Copy((4, [], "no such test")))
    with pytest.raises(RuntimeError, match="do not run on the unbroken project .pytest's status 4.: no such test"):
        mutants._unbroken(copies, ["t::a"])


def test_a_copy_is_what_runs_and_is_whole_again_afterwards(tmp_path, monkeypatch):
    small = tmp_path / "small"
    bare = content("tools/trust/starts.py").replace("HEAVY = (", "HEAVY = (\"pytest\",)\nX = (")
    for path, text in (("xorlab/__init__.py", ""), ("xorlab/one.py", "ONE = 1\n"),
                       ("tests/test_one.py", "from xorlab.one import ONE\n\n\ndef test_one():\n    assert ONE == 1\n"),
                       ("tools/trust/starts.py", bare)):
        (small / path).parent.mkdir(parents=True, exist_ok=True)
        (small / path).write_text(text, encoding="utf-8")
    monkeypatch.setattr(mutants, "ROOT", small)
    mutant = mutants.Mutant("x", "xorlab/one.py", "1", "2", ("tests/test_one.py",))
    with mutants.Copy(tmp_path) as copy:
        with copy.broken_by(mutant):
            assert copy.run(mutant.checks)[:2] == (1, ["tests/test_one.py::test_one"])
        assert copy.run(mutant.checks)[:2] == (0, [])
    assert (small / "xorlab/one.py").read_text() == "ONE = 1\n"
    assert Path(copy.folder) != small
