"""What lab.py is still installing says so itself, wherever it is asked for."""
import importlib.util
import json
import os
import subprocess
import sys
import time
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from xorlab import arriving, environment, installed, installing

ROOT = Path(__file__).resolve().parent.parent
LOCK = installing.read_lock((ROOT / installing.LOCK).read_text())


@pytest.fixture
def note(tmp_path, monkeypatch):
    """The note of an environment that is taken for this Python's."""
    monkeypatch.setattr(arriving.sys, "prefix", str(tmp_path))
    return arriving.Note(tmp_path)


@pytest.mark.parametrize(("seconds", "says"), [
    (400, "about 7 minutes left. Try again then."), (119, "about 2 minutes left"), (59, "about 1 minute left"),
    (-500, "about 1 minute left")])
def test_the_minutes_that_are_left_are_said_and_never_none(note, seconds, says):
    note.write(seconds)
    with pytest.raises(ModuleNotFoundError) as told:
        arriving.ask("tensorflow")
    assert str(told.value).startswith("Still arriving: tensorflow, ") and says in str(told.value)
    note.remove()
    arriving.ask("tensorflow")
    assert arriving.minutes_left() is None


def _silent(note):
    os.utime(note.path, (time.time() - 1000,) * 2)


@pytest.mark.parametrize("ended", [
    _silent, arriving.Note.give_up, lambda note: note.path.write_text("{"), lambda note: note.path.write_text("[]"),
    lambda note: note.path.write_text(json.dumps({"until": "soon"})), lambda note: note.path.write_text("[" * 100_000),
    lambda note: note.path.write_text('{"until": 1e999}')])
def test_where_nobody_brings_the_rest_it_is_said_what_to_do(note, ended):
    note.write(400)
    ended(note)
    with pytest.raises(ModuleNotFoundError, match="run python3 lab.py again"):
        arriving.ask("sklearn")


IMPORTS = """
import sys
sys.prefix = {prefix!r}
import xorlab
for name in ("unicorn", "unicorn.x", "json", "no_such_module"):
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        print(f"{{name}}: {{error}}")
import importlib.util, importlib
print(importlib.util.find_spec("unicorn") is not None)
try:
    importlib.import_module("unicorn")
except ImportError as error:
    print(error)
"""


def test_an_import_of_what_is_half_there_says_so_a_question_does_not_and_all_else_is_as_ever(note):
    (note.path.parent / "unicorn").mkdir()
    (note.path.parent / "unicorn" / "__init__.py").write_text("from unicorn import not_written_yet")
    note.write(100)

    def lines():
        done = subprocess.run([sys.executable, "-c", IMPORTS.format(prefix=str(note.path.parent))], capture_output=True,
                              text=True, env=dict(os.environ, PYTHONPATH=f"{note.path.parent}{os.pathsep}{ROOT}"))
        return done.stdout.splitlines()

    sentence = "Still arriving: unicorn, about 2 minutes left. Try again then."
    assert lines() == [f"unicorn: {sentence}", f"unicorn.x: {sentence}",
                       "no_such_module: No module named 'no_such_module'", "True", sentence]
    note.remove()
    (note.path.parent / "unicorn" / "__init__.py").write_text("")
    assert lines()[:2] == ["unicorn.x: No module named 'unicorn.x'",
                           "no_such_module: No module named 'no_such_module'"]


FIRST_LESSONS = """
import sys
sys.prefix = {prefix!r}
import torch
from xorlab import compare, data, models, plots, playground, predictors, training
net = models.reference("sigmoid-2-3-1")
net(torch.ones(1, 2)).sum().backward()
torch.optim.Adam(net.parameters()).step()
predictors.from_tflite(models.reference_file("sigmoid-2-3-1", "int8.tflite"), "tflm" if {tflm} else "reference")
try:
    import tensorflow
except ModuleNotFoundError as error:
    print(error)
"""


def test_what_the_first_lessons_use_works_while_the_rest_arrives(note):
    """PyTorch, for one, looks for packages of the rest: none may be found and then refused."""
    note.write(100)
    os.utime(note.path, (time.time() + 3600,) * 2)          # on a busy machine this takes its time
    code = FIRST_LESSONS.format(prefix=str(note.path.parent), tflm=bool(importlib.util.find_spec("tflite_micro")))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.startswith("Still arriving: tensorflow, about "), done.stderr


def test_the_compiler_the_emulator_and_the_command_say_it_too(note, tmp_path):
    from xorlab import compiler, firmware, streams

    note.write(100)
    for ask in (lambda: compiler.compile_c([tmp_path / "x.c"], tmp_path / "x", []),
                lambda: firmware._check_target("cortex-m0plus")):
        with pytest.raises(ModuleNotFoundError, match="Still arriving: (ziglang|unicorn), about 2 minutes left"):
            ask()
    with pytest.raises(ModuleNotFoundError) as told:
        arriving.ask("tensorflow")
    assert streams._sentence(told.value) == str(told.value)     # not "is not installed"


def test_the_check_of_lesson_00_calls_nothing_missing_that_is_on_its_way(note, monkeypatch):
    def version(name):
        if name in ("tensorflow", "onnx2tf"):
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(metadata, "requires", lambda name: ["numpy", "tensorflow", "onnx2tf", "torch>=2"])
    monkeypatch.setattr(metadata, "version", version)
    assert environment.check().missing == ("tensorflow", "onnx2tf", "torch>=2 (here is 1.0)")
    note.write(100)
    check = environment.check()
    assert check.missing == ("torch>=2 (here is 1.0)",)
    monkeypatch.setattr(metadata, "requires", lambda name: ["numpy", "tensorflow", "onnx2tf"])
    assert str(environment.check()) == "Still arriving: tensorflow, onnx2tf, about 2 minutes left. Try again then."


def test_what_says_so_are_the_modules_of_the_packages_that_come_later_and_no_others():
    modules = {}
    for module, names in metadata.packages_distributions().items():
        for name in names:
            modules.setdefault(installed.normal(name), set()).add(module)
    direct = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    later = {installed.normal(line.split(";")[0].strip()) for line in direct} & set(LOCK["rest"])
    missed = {module for name in later for module in modules.get(name, ())
              if importlib.util.find_spec(module)} - arriving.MODULES
    assert {module for module in missed if module[0] != "_" and module not in ("examples", "tests")} == set()
    earlier = {module for section in ("first", "torch") for name in LOCK[section] for module in modules.get(name, ())}
    assert not earlier & arriving.MODULES
