"""Whoever weakens the checks, by accident or to get green, is noticed."""
import ast
import configparser
import json
import os
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import tosa
from IPython.core.inputtransformer2 import TransformerManager
from jupyter_client.connect import LocalPortCache
from nbval import kernel
from nbval import plugin as nbval

import lab
import xorlab
from tools import checks, refresh

TESTS = sorted(Path(__file__).parent.glob("*.py"))
LESSONS = lab.lessons()
HOOKS = {"addoption", "configure", "collection_finish", "xdist_node_collection_finished", "runtest_setup",
         "collection_modifyitems", "terminal_summary", "runtest_call", "runtest_makereport", "make_collect_report",
         "unconfigure"}
TAGS = re.compile(r"task|check|compare|answer|measured|output-only|code-only|output-slide|layout-(title|claim|code|"
                  r"question|answer|recap)")
SWALLOW = {"AssertionError", "Exception", "BaseException"}
RULES = {       # of tests/nbval_sanitize.cfg: what is left out of the comparison, and what stands for it
    r"[ \t]*\b\d[\d,]*(\.\d+)?(e[+-]?\d+)? ?(ns|us|\u00b5s|\u03bcs|ms|s)\b": "DURATION",
    r"at 0x[0-9a-fA-F]+": "at ADDRESS",
    r"[ \t]*~-?\d[\d,]*(\.\d+)?(e[+-]?\d+)?": "ABOUT",
    r"(?m)^dense4[ ,:].*(fail|pass|QAT).*$": "REPORT",
}


# What pytest is told

def test_pytest_has_the_settings_that_the_lessons_need_and_no_other():
    settings = tomllib.loads((lab.HERE / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]
    assert settings == {"ini_options": {
        "testpaths": ["tests", "notebooks"],
        "addopts": f"--nbval --nbval-current-env --nbval-cell-timeout={checks.SECONDS}",
        "norecursedirs": ["work", "build", ".*"],
    }}
    assert checks.SECONDS == refresh.CELL_SECONDS == 180


def test_this_run_has_them(pytestconfig):
    assert pytestconfig.inipath == lab.HERE / "pyproject.toml"
    assert pytestconfig.getini("testpaths") == ["tests", "notebooks"]
    assert checks.lax(pytestconfig.option) == []


def test_no_other_file_tells_pytest_anything():
    names = ["pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini", "setup.cfg", "sitecustomize.py"]
    assert [name for name in names if (lab.HERE / name).exists()] == []
    found = {path.relative_to(lab.HERE).as_posix() for folder in (".", "tests", "notebooks", "tools")
             for path in (lab.HERE / folder).glob("conftest.py")}
    assert found == {"conftest.py"}


@pytest.mark.parametrize(("change", "sentence"), [
    ({"nbval": False}, "--nbval is not set"), ({"nbval_lax": True}, "--nbval-lax is set"),
    ({"nbval_current_env": False}, "--nbval-current-env is not set"),
    ({"nbval_cell_timeout": 900}, "timeout is over 180"), ({"nbval_sanitize_with": "other.cfg"}, "is not tests/nbval"),
])
def test_a_run_that_compares_less_is_seen(pytestconfig, change, sentence):
    found, = checks.lax(SimpleNamespace(**{**vars(pytestconfig.option), **change}))
    assert sentence in found


def test_a_run_in_which_expectations_only_print_is_seen(pytestconfig, monkeypatch):
    monkeypatch.setenv("XORLAB_CHECK", "0")
    assert checks.lax(pytestconfig.option) == ["XORLAB_CHECK is not 1"]


def test_what_is_left_out_of_the_comparison_of_outputs_is_what_is_written_here():
    rules = configparser.RawConfigParser()
    rules.read(lab.HERE / "tests" / "nbval_sanitize.cfg", encoding="ascii")
    assert {rules[name]["regex"]: rules[name]["replace"] for name in rules.sections()} == RULES


# Who runs the checks

def test_lab_py_runs_all_of_pytest_and_adds_nothing_but_workers(monkeypatch):
    monkeypatch.setattr(lab, "set_up", lambda *_: "python-of-venv")
    runs = []
    monkeypatch.setattr(lab, "run", lambda command, variables: runs.append((command, variables)) or 0)
    assert lab.main(["test"]) == lab.main(["test", "-x"]) == 0
    (command, variables), (longer, _) = runs
    assert command[:4] + command[5:] == ["python-of-venv", "-m", "pytest", "-n", "--dist", "loadfile",
                                          "--no-loadscope-reorder"]
    assert 1 <= int(command[4]) <= 4 and longer == [*command, "-x"]
    assert {name for name in set(variables) - set(os.environ) if "PYTEST" in name} == set()


def test_ci_runs_lab_py_test_whole_and_stops_where_it_fails():
    script = (lab.HERE / ".ci" / "run").read_text(encoding="utf-8")
    lines = [line for line in script.splitlines() if line and not line.startswith("#")]
    assert lines[0] == "set -euo pipefail" and lines[-1] == "python3 lab.py test"
    assert "lab.py" not in "".join(lines[:-1]) and "PYTEST" not in script and "XORLAB" not in script


# What conftest.py adds

@pytest.fixture
def conftest(pytestconfig):
    """The conftest.py that this run has loaded."""
    plugins = pytestconfig.pluginmanager.get_plugins()
    found, = (plugin for plugin in plugins if getattr(plugin, "__file__", None) == str(lab.HERE / "conftest.py"))
    return found


def test_conftest_has_the_hooks_that_guard_and_none_that_could_take_checks_away(conftest, pytestconfig):
    assert {name.removeprefix("pytest_") for name in vars(conftest) if name.startswith("pytest_")} == HOOKS
    for name in HOOKS:
        hook = getattr(pytestconfig.hook, f"pytest_{name}", None)
        assert hook is None or conftest in [implementation.plugin for implementation in hook.get_hookimpls()]
    source = (lab.HERE / "conftest.py").read_text(encoding="utf-8")
    assert "collect_ignore" not in source and "pytest_plugins" not in source and "ini_options" not in source


def test_a_kernel_whose_port_another_program_took_is_started_once_more(conftest, monkeypatch):
    with socket.socket() as others:
        others.bind(("127.0.0.1", 0))
        free, asked = LocalPortCache.find_available_port, []

        def first_taken(cache, ip):
            asked.append(ip)
            return others.getsockname()[1] if len(asked) == 1 else free(cache, ip)

        monkeypatch.setattr(LocalPortCache, "find_available_port", first_taken)
        manager, client = conftest.once_more(kernel.start_new_kernel)(kernel_name=kernel.CURRENT_ENV_KERNEL_NAME)
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    assert len(asked) == 10                     # five ports for each of two starts


def test_a_kernel_that_dies_twice_is_not_started_again(conftest):
    starts = []

    def start(**options):
        starts.append(options)
        raise RuntimeError("Kernel died")

    with pytest.raises(RuntimeError, match="Kernel died"):
        conftest.once_more(start)(cwd="here")
    assert starts == [{"cwd": "here"}] * 2


def run_of(conftest, arguments, ids=(), **options):
    """Give conftest.py a run with these arguments that has collected these checks; return: of everything?"""
    paths = [argument for argument in arguments if not argument.startswith("-")]
    source = pytest.Config.ArgsSource.ARGS if paths else pytest.Config.ArgsSource.TESTPATHS
    config = SimpleNamespace(args_source=source, stash={}, option=SimpleNamespace(**options),
                             invocation_params=SimpleNamespace(args=arguments))
    config.stash[conftest.EVERYTHING] = conftest.is_everything(config)
    items = [SimpleNamespace(nodeid=identifier) for identifier in ids]
    try:
        conftest.pytest_collection_finish(SimpleNamespace(config=config, items=items))
    except pytest.exit.Exception as stopped:        # or it would stop this run too
        raise AssertionError(str(stopped)) from None
    return config.stash[conftest.EVERYTHING]


def all_ids():
    record = checks.read()
    return [f"{folder}/{name}::{number}" for folder, key, count in (("tests", "tests", "collected"),
                                                                    ("notebooks", "lessons", "cells"))
            for name, counts in record[key].items() for number in range(counts[count])]


@pytest.mark.parametrize("arguments", [[], ["-n2", "-q", "-x"], ["--models=3"]])
def test_a_run_of_everything_needs_every_check(conftest, pytestconfig, arguments):
    options = vars(pytestconfig.option)
    assert run_of(conftest, arguments, all_ids(), **options) is True
    with pytest.raises(AssertionError, match="checks, not"):
        run_of(conftest, arguments, all_ids()[1:], **options)
    with pytest.raises(AssertionError, match="13-your-own-model.ipynb has [0-9]+ checks, not"):
        run_of(conftest, arguments, all_ids()[:-1], **options)
    with pytest.raises(AssertionError, match="--nbval-lax is set"):
        run_of(conftest, arguments, all_ids(), **{**options, "nbval_lax": True})


@pytest.mark.parametrize("argument", ["tests", "-k=integer", "--deselect=x", "--lf", "--collect-only", "--quick"])
def test_a_person_may_ask_for_a_part(conftest, argument):
    assert run_of(conftest, [argument]) is False


def test_a_quick_run_has_the_files_that_take_least(monkeypatch):
    monkeypatch.setattr(checks, "QUICK", 10)
    assert checks.quick({"tests/a": 4.5, "tests/b": 5.5, "tests/c": 0.1, "tests/d": 5.4, "notebooks/e": 0}) == [
        "tests/c", "tests/a", "tests/d"]


@pytest.mark.parametrize("worker", [{}, {"workerinput": {}}])
def test_a_quick_run_is_one_in_each_of_its_processes_and_takes_no_path(conftest, worker):
    config = SimpleNamespace(option=SimpleNamespace(nbval_sanitize_with="", quick=True, note_seconds=False), stash={},
                             args_source=pytest.Config.ArgsSource.TESTPATHS, args=["tests", "notebooks"], **worker,
                             invocation_params=SimpleNamespace(args=["--quick"]))
    conftest.pytest_configure(config)
    assert config.args == [str(lab.HERE / name) for name in checks.quick(checks.seconds())]
    assert config.stash[conftest.EVERYTHING] is False
    config.args_source = pytest.Config.ArgsSource.ARGS
    with pytest.raises(pytest.UsageError, match="--quick chooses files by itself"):
        conftest.pytest_configure(config)


def test_seconds_are_of_files_that_there_are():
    assert [name for name in checks.seconds() if not (lab.HERE / name).is_file()] == []
    assert len(checks.quick(checks.seconds())) > 15


def test_seconds_are_noted_beside_those_of_other_files(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "TIMES", tmp_path / "seconds.json")
    checks.TIMES.write_text('{"tests/test_gone.py": 1, "tests/test_data.py": 2, "tests/test_guards.py": 3}')
    checks.note({"tests/test_data.py": 4})
    assert checks.seconds() == {"tests/test_data.py": 4, "tests/test_guards.py": 3}


def test_files_that_take_longest_come_first_and_new_ones_before_them(conftest, monkeypatch):
    monkeypatch.setattr(checks, "seconds", lambda: {"a": 1, "b": 5})
    items = [SimpleNamespace(nodeid=name) for name in ("a::1", "a::2", "b::1", "new::1", "b::2")]
    conftest.pytest_collection_modifyitems(items)
    assert [item.nodeid for item in items] == ["new::1", "b::1", "b::2", "a::1", "a::2"]


def test_under_xdist_the_ids_are_looked_at_where_they_come_together(conftest, pytestconfig):
    config = SimpleNamespace(stash={conftest.EVERYTHING: True}, option=pytestconfig.option)
    with pytest.raises(pytest.exit.Exception, match="checks, not"):
        conftest.pytest_xdist_node_collection_finished(SimpleNamespace(config=config), all_ids()[1:])


def report(**parts):
    return SimpleNamespace(nodeid="test_x.py::test_x", outcome="skipped", longrepr=None, **parts)


def reported(conftest, made):
    """Return a report as conftest.py hands it on, from a test and from a file."""
    for hook in (conftest.pytest_runtest_makereport(None, None), conftest.pytest_make_collect_report(None)):
        next(hook)
        with pytest.raises(StopIteration) as end:
            hook.send(made)
        yield end.value.value.outcome


@pytest.mark.parametrize("reason", ["later", "", "unconditional skip", "no GPU", "could not import 'json'"])
def test_a_skip_for_any_other_reason_is_a_failure(conftest, reason):
    made = report(skipped=True)
    made.longrepr = ("test_x.py", 1, f"Skipped: {reason}")
    assert list(reported(conftest, made)) == ["failed", "failed"]


def test_a_skip_for_a_reason_that_does_not_hold_here_is_a_failure(monkeypatch, conftest):
    made = report(skipped=True)
    made.longrepr = ("test_x.py", 1, f"Skipped: {tosa.MISSING}")
    monkeypatch.delenv("XORLAB_TOSA_PYTHON", raising=False)
    assert list(reported(conftest, made)) == ["skipped", "skipped"]
    monkeypatch.setenv("XORLAB_TOSA_PYTHON", sys.executable)
    assert list(reported(conftest, made)) == ["failed", "failed"]


@pytest.mark.parametrize("holds", [True, False])
def test_a_failure_that_is_expected_fails_a_run_whether_it_comes_or_not(tmp_path, holds):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_x.py").write_text(f"import pytest\n@pytest.mark.xfail\ndef test_x(): assert {holds}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "conftest", "-p", "no:cacheprovider", "test_x.py"]
    done = subprocess.run(command, cwd=tmp_path, env=dict(os.environ, PYTHONPATH=str(lab.HERE)), capture_output=True,
                          text=True)
    assert done.returncode == 1 and "1 failed" in done.stdout, done.stdout


def test_a_cell_after_one_that_timed_out_is_what_nbval_makes_of_it(conftest):
    made = report(skipped=True, wasxfail="xfail: Previous cell timed out, expected cell to fail")
    assert list(reported(conftest, made)) == ["skipped", "skipped"]
    assert made.wasxfail            # without it pytest takes it for a skip, and looks for a reason that it has not


def test_every_reason_to_skip_is_one_that_a_test_has():
    said = "\n".join(path.read_text(encoding="utf-8") for path in TESTS if path != Path(__file__))
    assert [reason for reason in checks.SKIPS if reason not in said] == []


# What tests and lessons hold

def test_there_are_the_checks_that_are_on_record():
    """After a change that is meant: python -m tools.checks, and read the diff of tests/checks.json."""
    record, now = checks.read(), checks.counted()
    collected = {name: counts.pop("collected") for name, counts in record["tests"].items()}
    for key in ("tests", "lessons"):
        assert {name: now[key].get(name) for name in {*record[key], *now[key]} if now[key].get(name)
                != record[key].get(name)} == {}, "python -m tools.checks"
    gone, new = (set(a["expectations"]) - set(b["expectations"]) for a, b in ((record, now), (now, record)))
    assert (sorted(gone), sorted(new)) == ([], []), "python -m tools.checks"
    assert record["expectations"] == now["expectations"]
    assert all(collected[name] >= counts["tests"] for name, counts in record["tests"].items())


def test_a_record_is_read_as_it_is_written():
    record = {"tests": {"test_x.py": {"tests": 1}}, "expectations": ["00 a: 1 < 2 | \"\u00b5\""]}
    assert json.loads(checks.text(record)) == record and checks.text(record).count("\n") == 8


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def called(function):
    """Return the names of the functions that a function calls by their bare name."""
    return {node.func.id for node in ast.walk(function)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


def asserting(tree, elsewhere=()):
    """Return the names of a file's functions that assert something, or call one that does, also one from elsewhere."""
    names = set(elsewhere) | {function.name for function in functions(tree) if holds_assertion(function.body)}
    while more := {function.name for function in functions(tree) if called(function) & names} - names:
        names |= more
    return names


def empty_tests(tree, elsewhere=()):
    """Return the tests of a file that assert nothing, in themselves or in a helper."""
    names = asserting(tree, elsewhere)
    return [function.name for function in functions(tree)
            if function.name.startswith("test_") and function.name not in names]


def idle(tree):
    """Yield what in the code of tests cannot fail, or is never come to."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert) and always(node.test):
            yield ast.unparse(node)
        if isinstance(node, (ast.If, ast.IfExp, ast.While)) and isinstance(node.test, ast.Constant) and not (
                isinstance(node, ast.While) and node.test.value):
            yield f"if {node.test.value}"
        if isinstance(node, ast.Try) and any(map(swallows, node.handlers)) and holds_assertion(node.body):
            yield "an assertion in a try that swallows it"
        if isinstance(node, ast.With) and holds_assertion(node.body) and any(
                "suppress(" in ast.unparse(item) and SWALLOW & names_in(item) for item in node.items):
            yield "an assertion whose failure is suppressed"
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and any(
                isinstance(statement, (ast.Return, ast.Raise)) for statement in node.body):
            yield f"{node.name} ends early"


def holds_assertion(statements):
    return any(checks.asserts(node) for statement in statements for node in ast.walk(statement))


def swallows(handler):
    return handler.type is None or bool(SWALLOW & names_in(handler.type))


def names_in(node):
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def always(condition):
    """Is this condition true whatever the code under test does?"""
    text = ast.unparse(condition)
    if isinstance(condition, ast.BoolOp):
        return (any if isinstance(condition.op, ast.Or) else all)(map(always, condition.values))
    if isinstance(condition, ast.UnaryOp) and isinstance(condition.op, ast.Not):
        return is_constant(condition.operand)
    if isinstance(condition, ast.Compare) and len(condition.ops) == 1:
        left, right = condition.left, condition.comparators[0]
        same = ast.unparse(left) == ast.unparse(right) and not any(isinstance(n, ast.Call) for n in ast.walk(left))
        if same and isinstance(condition.ops[0], (ast.Eq, ast.Is, ast.LtE, ast.GtE)):
            return True
    return is_constant(condition) or bool(re.fullmatch(r"len\(.*\) (>= 0|> -1)|isinstance\(.*, object\)", text))


def is_constant(node):
    """Does an expression not depend on anything? A tuple, a text and a function are true whatever is in them."""
    if isinstance(node, (ast.Tuple, ast.List)) and node.elts or isinstance(node, (ast.JoinedStr, ast.Lambda)):
        return True
    return not any(isinstance(part, (ast.Name, ast.Call)) for part in ast.walk(node))


TREES = {path.name: ast.parse(path.read_text(encoding="utf-8")) for path in TESTS}
HELPERS = set().union(*(asserting(tree) for name, tree in TREES.items() if not name.startswith("test_")))


@pytest.mark.parametrize("name", TREES)
def test_every_test_can_fail(name):
    assert empty_tests(TREES[name], HELPERS) == []
    assert list(idle(TREES[name])) == []


@pytest.mark.parametrize("body", ["pass", "x = 1 + 1", "print(7)", "lab.run(1)", "lab.holds(1)"])
def test_a_test_that_asserts_nothing_is_found(body):
    assert empty_tests(ast.parse(f"def test_x():\n    {body}"), {"holds"}) == ["test_x"]


@pytest.mark.parametrize("body", [
    "assert x", "with pytest.raises(ValueError):\n        f()", "holds(7)", "np.testing.assert_array_equal(a, b)",
])
def test_a_test_that_asserts_is_not(body):
    assert empty_tests(ast.parse(f"def test_x():\n    {body}"), {"holds"}) == []


def test_a_helper_asserts_if_what_it_calls_does():
    tree = ast.parse("def a():\n    assert x\ndef b():\n    a()\ndef c():\n    d()")
    assert asserting(tree) == {"a", "b"}


@pytest.mark.parametrize("code", [
    "assert True", "assert 1", "assert 'text'", "assert (x == 1, 'sentence')", "assert not False", "assert x == x",
    "assert x or True", "assert True and 1", "assert len(x) >= 0", "assert isinstance(x, object)", "assert 1 < 2",
    "assert x.y <= x.y", "if False:\n    assert x", "while 0:\n    assert x",
    "try:\n    assert x\nexcept AssertionError:\n    pass", "try:\n    assert x\nexcept:\n    pass",
    "with suppress(ValueError, AssertionError):\n    assert x", "def test_x():\n    return\n    assert x",
])
def test_an_assertion_that_cannot_fail_is_found(code):
    assert len(list(idle(ast.parse(code)))) == 1


@pytest.mark.parametrize("code", [
    "assert x", "assert f(x) == f(x)", "assert x or y", "assert not x", "assert len(x) > 0", "assert x != x",
    "while True:\n    break", "try:\n    f()\nexcept ValueError:\n    assert x",
    "with raises(AssertionError):\n    f()",
])
def test_one_that_can_is_not(code):
    assert list(idle(ast.parse(code))) == []


def unchecked(cell):
    """Yield what keeps a lesson's cell from being checked."""
    source = "".join(cell["source"])
    yield from (f"tag {tag}" for tag in cell["metadata"].get("tags", []) if not TAGS.fullmatch(tag))
    if cell["cell_type"] == "raw":
        yield "raw, so it is neither run nor read"
    if cell["cell_type"] != "code":
        return
    yield from (marker for marker in nbval.comment_markers if marker in source)
    yield from (name for name in ("XORLAB_CHECK", "%%", "get_ipython", "os._exit") if name in source)
    tree = ast.parse(TransformerManager().transform_cell(source))
    yield from (ast.unparse(call) for call in checks.calls_of_expect(tree)
                if len(call.args) != 2 or always(call.args[0]))
    yield from (f"{name} for expect" for name in set(expect_made_of(tree)) - {"from xorlab import expect"})


def expect_made_of(tree):
    """Yield what gives `expect` its meaning in a cell."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            module = getattr(node, "module", "")
            yield from (f"from {module} import {alias.name}" for alias in node.names
                        if "expect" in (alias.name, alias.asname))
        if isinstance(node, ast.Name) and node.id == "expect" and isinstance(node.ctx, ast.Store):
            yield "a value"
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == "expect":
            yield "a definition"


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_cell_of_a_lesson_is_checked(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert [(cell["id"], found) for cell in cells for found in unchecked(cell)] == []


def cell(source, *tags, kind="code"):
    return {"cell_type": kind, "source": [source], "metadata": {"tags": list(tags)}}


@pytest.mark.parametrize("made", [
    *(cell("print(1)", tag) for tag in nbval.metadata_tags), cell("print(1)", "remove-cell"),
    *(cell(f"# {marker}\nprint(1)") for marker in nbval.comment_markers), cell("print(1)", kind="raw"),
    cell("%%capture\nprint(1)"),
    cell("expect(True, 'It is.')"), cell("expect(x or True, 'It is.')"), cell("expect('x < 1')"),
    cell("import os; os.environ['XORLAB_CHECK'] = '0'"), cell("from os import path as expect"),
    cell("expect = print"), cell("def expect(condition, sentence):\n    pass"),
], ids=str)
def test_a_cell_that_is_not_checked_is_found(made):
    assert len(list(unchecked(made))) == 1


def test_a_cell_that_is_checked_is_not():
    made = cell("from xorlab import expect\nexpect(x < 1, 'It is small.')", "answer", "layout-claim")
    assert list(unchecked(made)) == []


def test_an_expectation_that_fails_stops_a_kernel_of_the_checks():
    code = "import xorlab; xorlab.expect(1 > 2, 'One is more.')"
    done = subprocess.run([sys.executable, "-c", code], cwd=lab.HERE, capture_output=True, text=True)
    assert done.returncode == 1 and "AssertionError: One is more." in done.stderr
    assert xorlab.expect is xorlab.streams.expect
