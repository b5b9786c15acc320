"""Copies of version 0.1.0's lessons go on working: every name they use is still there, and lesson 08 runs."""
import ast
import dataclasses
import importlib
import inspect
import textwrap
from pathlib import Path

import pytest
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
LINES = [line for line in (HERE / "names_of_0_1.txt").read_text().splitlines() if line and line[0] != "#"]


def found(name):
    """Return what a dotted name stands for; a part of it may be a module that is not imported yet."""
    first, *parts = name.split(".")
    thing, at = importlib.import_module(first), first
    for part in parts:
        at += f".{part}"
        thing = getattr(thing, part) if hasattr(thing, part) else importlib.import_module(at)
    return thing


@pytest.mark.parametrize("name", [line for line in LINES if ":" not in line])
def test_a_name_that_lessons_of_0_1_import_resolves(name):
    assert found(name) is not None


@pytest.mark.parametrize("line", [line for line in LINES if ":" in line], ids=lambda line: line.partition(":")[0])
def test_an_object_has_what_lessons_of_0_1_ask_of_it(line):
    name, members = line.split(": ")
    there = members_of(found(name))
    assert set(members.split()) <= there, set(members.split()) - there


def members_of(kind):
    """Return the names of a class's methods and fields, and of what its own code sets on `self`."""
    names = set(dir(kind))
    names |= {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    for base in kind.__mro__:
        if base.__module__.startswith("xorlab"):
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
            names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(
                node.ctx, ast.Store)}
    return names


def test_lesson_08_of_0_1_runs_as_it_was(tmp_path, monkeypatch, capsys):
    """Its code cells, checked by their own assertions; where a cell ends in a value, it is shown."""
    pytest.importorskip("ziglang", reason="no C compiler here")
    monkeypatch.chdir(tmp_path)
    shown, names = [], {}
    for cell in (HERE / "lesson_08_of_0_1.txt").read_text().split("# %%\n"):
        tree = ast.parse(cell)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "<cell>", "exec"), names)
        if last is not None:
            shown.append(eval(compile(ast.Expression(last.value), "<cell>", "eval"), names))
    plt.close("all")
    explained = next(str(value) for value in shown if str(value).startswith("rule tflm"))
    assert explained.endswith("output: codes -32 stand for 0.3750")
    assert "48,642 of 65,536 inputs differ" in capsys.readouterr().out
