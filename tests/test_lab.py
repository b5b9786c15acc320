"""lab.py without the network and without building an environment: only its calls to pip and venv are faked."""
import ast
import base64
import hashlib
import http.server
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from tools.trust import kills_setup
from xorlab import arriving, installed, installing, processes

ROOT = Path(__file__).resolve().parent.parent


def notebook(text, output="seen", solution="9"):
    """The JSON of a lesson that says a text and has one task with its check."""
    task = f"nine = ...\n### BEGIN SOLUTION\nnine = {solution}\n### END SOLUTION"
    cells = [
        {"cell_type": "markdown", "id": "title", "metadata": {}, "source": text},
        {"cell_type": "code", "id": "task-01-1", "metadata": {"tags": ["task"]}, "source": task,
         "execution_count": 1, "outputs": [{"output_type": "stream", "name": "stdout", "text": output}]},
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def said(path):
    """The text of a lesson that `notebook` made."""
    return "".join(json.loads(path.read_text())["cells"][0]["source"])


@pytest.fixture
def lab(tmp_path):
    """lab.py of a small checkout of its own, with two lessons."""
    for name in ("lab.py", "pyproject.toml", "lock.txt", "constraints-tosa.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "notebooks").mkdir()
    for name in ("01-one.ipynb", "02-two.ipynb"):
        (tmp_path / "notebooks" / name).write_text(notebook(f"first {name}"))
    spec = importlib.util.spec_from_file_location("lab_under_test", tmp_path / "lab.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def put(site, name, version, content):
    """Write a package as pip does: its files, and RECORD with the size and digest of each."""
    info = f"{name}-{version}.dist-info"
    content = dict(content, **{f"{info}/METADATA": f"Name: {name}"})
    rows = [f"{info}/RECORD,,"]
    for path, text in content.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(text)}")
    (site / info / "RECORD").write_text("\n".join(rows) + "\n")


NUMPY = {"numpy/__init__.py": "version = 1", "numpy/core/module.py": "a = 1", "numpy/core/fast.so": "0" * 99,
         "numpy/data/table.csv": "1,2", "numpy.pth": "numpy"}
LOCK = """\
## first: opens the lessons
numpy==1.0 \\
    --hash=sha256:aa
## rest: comes later
scipy==3.0 ; sys_platform != 'nowhere' \\
    --hash=sha256:bb \\
    --hash=sha256:cc
## test: for the checks
pytest==4.0 \\
    --hash=sha256:dd
## cuda: for some builds of torch
nvidia-nccl==5.0 \\
    --hash=sha256:ee
## torch: from any index
torch==2.0
"""


@pytest.fixture
def calls(lab, monkeypatch):
    """What lab.py has pip and venv do, recorded; everything succeeds: a Python that starts, its pip, packages."""
    recorded = []
    (lab.HERE / "lock.txt").write_text(LOCK)
    monkeypatch.setenv("XORLAB_INSTALLER", "pip")
    monkeypatch.setattr(installing, "answers", lambda url: False)

    def run(venv, python, module, *arguments):
        recorded.append([module, *arguments])
        if "-r" in arguments:
            recorded[-1].append(Path(arguments[-1]).read_text())
        if module == "venv":
            shutil.rmtree(venv.folder, ignore_errors=True)
            (venv.folder / "bin").mkdir(parents=True)
            (venv.folder / "bin" / "python").symlink_to(sys.executable)
            (venv.folder / "pyvenv.cfg").write_text("")
        site = installed.site_packages(venv.folder)
        if module in ("venv", "ensurepip"):
            put(site, "pip", "1.0", {"pip/__init__.py": ""})
        return pip(site, arguments) if module == "pip" else 0

    monkeypatch.setattr(installing.Venv, "run", run)
    return recorded


def pip(site, arguments):
    """Install what pip's arguments name, as pip does: an earlier version goes first, by its list of files."""
    asked = [*arguments, *(Path(arguments[-1]).read_text().split() if "-r" in arguments else [])]
    for name, version in (word.replace("-", "_").split("==") for word in asked if word.count("==") == 1):
        for old in sorted(site.glob(f"{name}-*"))[:1]:
            if not (old / "RECORD").is_file():
                return 1
            shutil.rmtree(old)
        put(site, name, version, NUMPY if name == "numpy" else {f"{name}/__init__.py": ""})
    return 0


def pip_calls(calls):
    """Those that install by the lock; torch and the project itself have calls of their own."""
    return [command for command in calls if "pip" in command and "-r" in command]


def venv_calls(calls):
    return [command for command in calls if "venv" in command]


def test_lab_parses_on_python_3_6():
    assert ast.parse((ROOT / "lab.py").read_text(), feature_version=(3, 6)).body


def test_lab_needs_the_standard_library_only():
    tree = ast.parse((ROOT / "lab.py").read_text())
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    imported |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert imported <= sys.stdlib_module_names | {"xorlab"}


def test_what_lab_needs_of_the_package_needs_nothing_installed():
    """-S: this Python finds no installed package."""
    modules = "sys, xorlab.doctor, xorlab.editions, xorlab.installing, xorlab.news, xorlab.processes"
    code = f"import {modules}; print(sorted({{n.partition('.')[0] for n in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, env={"PYTHONDONTWRITEBYTECODE": "1"},
                            capture_output=True, text=True, check=True).stdout
    assert set(ast.literal_eval(loaded)) <= sys.stdlib_module_names | {"xorlab", "__main__"}


@pytest.mark.parametrize("version", [(3, 6), (3, 10), (3, 14)])
def test_another_python_gets_one_sentence_that_says_what_to_install(lab, version, monkeypatch, capsys):
    monkeypatch.setattr(lab.sys, "version_info", (*version, 0))
    assert lab.main([]) == 1
    sentence = capsys.readouterr().err
    assert sentence.count("\n") == 1
    assert f"this is Python {version[0]}.{version[1]}" in sentence and "3.11, 3.12, 3.13" in sentence


def test_the_pythons_are_those_of_pyproject(lab):
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert wanted == f">=3.{lab.OLDEST[1]},<3.{lab.NEWEST[1] + 1}"


def test_an_unknown_command_gets_one_sentence_with_the_commands(lab, capsys):
    assert lab.main(["tset"]) == 1
    sentence = capsys.readouterr().err
    assert sentence.count("\n") == 1 and "'tset'" in sentence
    assert "test, demo, bench, slides, html, refresh, lessons, reset" in sentence


@pytest.mark.parametrize("arguments", [["--torch-index"], ["--torch-index", "test"]])
def test_torch_index_without_a_url_gets_a_sentence(lab, arguments, capsys):
    assert lab.main(arguments) == 1
    assert "--torch-index needs the URL" in capsys.readouterr().err


def test_an_unknown_lesson_and_benchmark_get_a_sentence(lab, capsys):
    assert lab.main(["reset", "77"]) == 1
    assert "'77'; there are: 01, 02" in capsys.readouterr().err
    assert lab.main(["bench", "nothing"]) == 1
    assert "no benchmark 'nothing'" in capsys.readouterr().err


def test_of_several_benchmarks_the_worst_status_counts(lab, monkeypatch):
    (lab.HERE / "benchmarks").mkdir()
    for name in ("one", "two", "three"):
        (lab.HERE / "benchmarks" / f"{name}.py").touch()
    statuses = iter([0, 3, 0])
    monkeypatch.setattr(lab, "set_up", lambda *_: "python-of-venv")
    monkeypatch.setattr(lab, "run", lambda command, variables: next(statuses))
    assert lab.main(["bench"]) == 3


def test_a_file_is_replaced_and_not_written_over(lab, tmp_path):
    path, earlier = tmp_path / "record.json", tmp_path / "earlier.json"
    path.write_bytes(b"old")
    earlier.hardlink_to(path)                   # as for whoever reads it at that moment
    installing.write_json(path, "new")
    assert path.read_bytes() == b'"new"' and earlier.read_bytes() == b"old"


@pytest.mark.parametrize(("command", "module"), [
    ("slides", "tools.slides"), ("html", "tools.site"), ("refresh", "tools.refresh"),
])
def test_a_tool_runs_with_its_arguments_in_the_environment(lab, monkeypatch, command, module):
    monkeypatch.setattr(lab, "set_up", lambda *_: "python-of-venv")
    monkeypatch.setattr(lab, "run", lambda command, variables: [*command, variables["TORCH_HOME"]])
    assert lab.main([command, "02"]) == ["python-of-venv", "-m", module, "02", str(lab.PRIVATE / "torch")]


def test_lessons_are_copied_once_and_never_overwritten(lab):
    assert lab.copy_lessons() == []
    mine = lab.WORK / "01-one.ipynb"
    assert said(mine) == "first 01-one.ipynb"
    mine.write_text("my answers")
    assert lab.copy_lessons() == []
    (lab.NOTEBOOKS / "01-one.ipynb").write_text(notebook("second edition"))
    (lab.NOTEBOOKS / "03-three.ipynb").write_text(notebook("new"))
    notices = lab.copy_lessons()
    assert mine.read_text() == "my answers"
    assert said(lab.WORK / "03-three.ipynb") == "new"
    assert len(notices) == 1 and "01-one" in notices[0] and "reset 01" in notices[0]


def test_where_others_set_up_the_lessons_are_only_copied(lab, calls, capsys):
    assert lab.main(["lessons"]) == 0
    assert said(lab.WORK / "02-two.ipynb") == "first 02-two.ipynb"
    assert calls == [] and "work/" in capsys.readouterr().out
    (lab.NOTEBOOKS / "01-one.ipynb").write_text(notebook("second edition"))
    assert lab.main(["lessons"]) == 0
    assert "reset 01" in capsys.readouterr().out
    assert lab.main(["lessons", "elsewhere"]) == 1
    assert "takes nothing after it, got 'elsewhere'" in capsys.readouterr().err


def test_work_has_the_students_edition(lab):
    lab.copy_lessons()
    text = (lab.WORK / "01-one.ipynb").read_text()
    assert "nine = ..." in text and "nine = 9" not in text and "seen" not in text


def test_a_new_picture_or_solution_sends_no_notice(lab):
    lab.copy_lessons()
    (lab.NOTEBOOKS / "01-one.ipynb").write_text(notebook("first 01-one.ipynb", output="seen better", solution="18 / 2"))
    assert lab.copy_lessons() == []


def as_0_1_0_left_it(lab):
    """Make work/ what version 0.1.0 made: whole lessons, and the digests of their files."""
    lab.WORK.mkdir()
    sources = {}
    for source in lab.lessons():
        shutil.copy(source, lab.WORK)
        sources[source.name] = installing.digest(source)
    installing.write_json(lab.WORK / ".sources.json", sources)


def without_tasks(text, output):
    """The JSON of a lesson as those of 0.1.0: with a picture, and no task."""
    lesson = json.loads(notebook(text, output))
    lesson["cells"][1].update(metadata={}, source="print('seen')")
    return json.dumps(lesson)


def test_a_copy_of_0_1_0_gets_no_notice_until_the_lesson_says_something_else(lab):
    source, copy = lab.NOTEBOOKS / "01-one.ipynb", lab.WORK / "01-one.ipynb"
    source.write_text(without_tasks("one", "a picture"))
    as_0_1_0_left_it(lab)
    assert lab.copy_lessons() == []                                     # told by the file's digest
    copy.write_text("my answers")
    source.write_text(without_tasks("one", "a better picture"))
    assert lab.copy_lessons() == []                                     # the edition's digest was recorded
    source.write_text(without_tasks("one and a half", "a better picture"))
    assert len(lab.copy_lessons()) == 1
    assert copy.read_text() == "my answers"


def test_a_copy_of_0_1_0_that_was_only_run_gets_no_notice_for_a_new_picture(lab):
    source, copy = lab.NOTEBOOKS / "01-one.ipynb", lab.WORK / "01-one.ipynb"
    source.write_text(without_tasks("one", "a picture"))
    as_0_1_0_left_it(lab)
    copy.write_text(without_tasks("one", "what a student's run gave"))
    source.write_text(without_tasks("one", "a better picture"))
    assert lab.copy_lessons() == []
    source.write_text(notebook("one"))
    assert len(lab.copy_lessons()) == 1                                 # it has a task now


@pytest.mark.parametrize("copy", ["", "{}", "[1]", '{"cells": [{"cell_type": "code"}]}', '{"cells": [7]}'])
def test_a_copy_of_0_1_0_may_be_anything(lab, copy):
    as_0_1_0_left_it(lab)
    (lab.WORK / "01-one.ipynb").write_text(copy)
    (lab.NOTEBOOKS / "01-one.ipynb").write_text(notebook("second edition"))
    assert len(lab.copy_lessons()) == 1
    assert (lab.WORK / "01-one.ipynb").read_text() == copy


def test_reset_brings_the_lesson_and_keeps_every_old_copy(lab, capsys):
    lab.copy_lessons()
    mine = lab.WORK / "02-two.ipynb"
    for attempt in ("first try", "second try"):
        mine.write_text(attempt)
        assert lab.main(["reset", "2"]) == 0
        assert said(mine) == "first 02-two.ipynb"
    assert (lab.WORK / "02-two.old-1.ipynb").read_text() == "first try"
    assert (lab.WORK / "02-two.old-2.ipynb").read_text() == "second try"
    assert "02-two.old-2.ipynb" in capsys.readouterr().out


def test_reset_ends_the_notice_of_a_newer_version(lab):
    lab.copy_lessons()
    (lab.NOTEBOOKS / "01-one.ipynb").write_text(notebook("second edition"))
    assert len(lab.copy_lessons()) == 1
    lab.main(["reset", "01"])
    assert lab.copy_lessons() == []


@pytest.mark.parametrize(("content", "sentence"), [
    ("<<<<<<< ours", "02-two.ipynb is not a notebook"),
    ("[]", "02-two.ipynb is not a notebook"),
    (notebook("two").replace("### END", "### The end"), "02-two.ipynb: cell task-01-1 has '### The end SOLUTION'"),
])
def test_a_lesson_without_an_edition_gets_one_sentence_and_takes_no_copy_away(lab, capsys, content, sentence):
    lab.copy_lessons()
    (lab.NOTEBOOKS / "02-two.ipynb").write_text(content)
    assert lab.main(["reset", "02"]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and sentence in told
    assert said(lab.WORK / "02-two.ipynb") == "first 02-two.ipynb"


def test_editions_are_written_and_what_is_not_theirs_stays_with_a_sentence(lab, capsys):
    assert lab.main(["editions", "course"]) == 0
    course = lab.HERE / "course"
    assert "nine = 9" not in (course / "student" / "01-one.ipynb").read_text()
    assert "nine = 9" in (course / "solutions" / "01-one.ipynb").read_text()
    assert "BEGIN SOLUTION" in (course / "nbgrader" / "source" / "lesson-01" / "01-one.ipynb").read_text()
    assert str(course) in capsys.readouterr().out
    config, mine = course / "nbgrader" / "nbgrader_config.py", course / "student" / "02-two.ipynb"
    config.write_text("c.CourseDirectory.course_id = 'mine'")
    mine.write_text("mine")
    for source in lab.lessons():
        source.write_text(notebook("second edition"))
    assert lab.main(["editions", "course"]) == 0
    told = capsys.readouterr().out
    assert "nbgrader/nbgrader_config.py is not as" in told and "student/02-two.ipynb is not as" in told
    assert told.count("not as this command wrote it") == 2
    assert config.read_text().endswith("'mine'") and mine.read_text() == "mine"
    assert said(course / "student" / "01-one.ipynb") == "second edition"
    mine.unlink()
    lab.main(["editions", "course"])
    assert said(mine) == "second edition"


def test_editions_say_which_of_their_files_no_lesson_has_any_more(lab, capsys):
    lab.main(["editions", "course"])
    (lab.NOTEBOOKS / "02-two.ipynb").unlink()
    capsys.readouterr()
    lab.main(["editions", "course"])
    told = capsys.readouterr().out
    assert told.count("is of no lesson any more") == 3 and (lab.HERE / "course/student/02-two.ipynb").exists()


@pytest.mark.parametrize(("arguments", "sentence"), [
    ([], "needs one folder"), (["--help"], "needs one folder"), (["a", "b"], "needs one folder"),
    (["lab.py"], "cannot write"), (["."], "a folder of its own"), (["notebooks"], "a folder of its own"),
    (["work/../work"], "a folder of its own"),
])
def test_editions_without_a_folder_to_write_get_one_sentence(lab, arguments, sentence, capsys):
    assert lab.main(["editions", *arguments]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and sentence in told


def test_lab_finds_the_package_where_python_leaves_its_folder_out(tmp_path):
    done = subprocess.run([sys.executable, "-P", str(ROOT / "lab.py"), "editions", str(tmp_path)],
                          env=dict(os.environ, PYTHONPATH=""), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and (tmp_path / "student").is_dir(), done.stderr


def test_the_first_set_up_builds_and_installs_by_the_lock(lab, calls):
    lab.set_up(None)
    assert len(venv_calls(calls)) == 1 and len(pip_calls(calls)) == 1
    assert installing.read_json(lab.VENV / "xorlab-setup.json")["complete"]


def test_a_second_set_up_calls_neither_pip_nor_venv(lab, calls):
    lab.set_up(None)
    calls.clear()
    lab.set_up(None)
    assert calls == []


@pytest.mark.parametrize("name", ["pyproject.toml", "lock.txt"])
def test_changed_packages_are_installed_into_the_same_environment(lab, calls, name):
    lab.set_up(None)
    calls.clear()
    with (lab.HERE / name).open("a") as file:
        file.write("# changed\n")
    lab.set_up(None)
    assert len(pip_calls(calls)) == 1 and venv_calls(calls) == []


def _killed_in_an_earlier_version(lab):
    record = lab.VENV / "xorlab-setup.json"
    record.write_text(json.dumps(dict(installing.read_json(record), complete=False)))


def _by_hand(lab):
    (lab.VENV / "xorlab-setup.json").unlink()


def _damaged_record(lab):
    (lab.VENV / "xorlab-setup.json").write_text('{"complete": tr')


def _dangling_python(lab):
    python = lab.VENV / "bin" / "python"
    python.unlink()
    python.symlink_to(lab.HERE / "nowhere")


def _lost_settings(lab):
    (lab.VENV / "pyvenv.cfg").unlink()


def _moved(lab):
    record = lab.VENV / "xorlab-setup.json"
    record.write_text(json.dumps(dict(installing.read_json(record), place="/elsewhere")))


def _other_python(lab):
    record = lab.VENV / "xorlab-setup.json"
    record.write_text(json.dumps(dict(installing.read_json(record), python="3.10")))


def _nested_record(lab):
    (lab.VENV / "xorlab-setup.json").write_text("[" * 100_000)


@pytest.mark.parametrize("damage", [_killed_in_an_earlier_version, _by_hand, _damaged_record, _nested_record,
                                    _dangling_python, _lost_settings, _moved, _other_python])
def test_an_environment_that_cannot_be_trusted_is_built_anew_with_a_sentence(lab, calls, damage, capsys):
    lab.set_up(None)
    calls.clear()
    capsys.readouterr()
    damage(lab)
    lab.set_up(None)
    assert len(venv_calls(calls)) == 1 and len(pip_calls(calls)) == 1
    assert "anew" in capsys.readouterr().out
    assert installing.read_json(lab.VENV / "xorlab-setup.json")["complete"]


def test_a_killed_update_goes_on_by_pip_and_then_every_file_is_looked_at(lab, calls, monkeypatch, capsys):
    lab.set_up(None)
    changed_lock(lab)
    with monkeypatch.context() as patch:
        patch.setattr(installing.Lessons, "install", killed)
        assert lab.main(["test"]) == 130
    (site_of(lab) / "numpy/data/table.csv").write_text("")              # as the kill left it; pip would not notice
    calls.clear()
    monkeypatch.setattr(installing.Lessons, "install", lambda *_: True)
    capsys.readouterr()
    lab.set_up(None)
    assert venv_calls(calls) == [] and len(calls) == 1 and "--force-reinstall" in calls[0]
    assert "numpy has a damaged numpy/data/table.csv" in capsys.readouterr().out
    calls.clear()
    lab.set_up(None)
    assert calls == []


def test_a_killed_update_that_is_taken_back_leaves_nothing_of_it(lab, calls, monkeypatch, capsys):
    lab.set_up(None)
    before = (lab.HERE / "lock.txt").read_text()
    changed_lock(lab)
    with monkeypatch.context() as patch:
        patch.setattr(installing.Lessons, "install", killed)
        assert lab.main(["test"]) == 130
    (lab.HERE / "lock.txt").write_text(before)
    calls.clear()
    lab.set_up(None)
    assert venv_calls(calls) == [] and len(pip_calls(calls)) == 1


def test_a_killed_first_installation_goes_on_by_pip(lab, calls, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(installing.Lessons, "install", killed)
        assert lab.main(["test"]) == 130
    calls.clear()
    lab.set_up(None)
    assert venv_calls(calls) == [] and len(pip_calls(calls)) == 1


def changed_lock(lab):
    with (lab.HERE / "lock.txt").open("a") as file:
        file.write("# changed\n")


def killed(*_arguments):
    raise KeyboardInterrupt


def test_a_failed_update_keeps_the_earlier_installation_and_the_downloads(lab, calls, monkeypatch, capsys):
    lab.set_up(None)
    changed_lock(lab)
    (lab.PRIVATE / "pip-cache").mkdir(parents=True)
    monkeypatch.setattr(installing.Venv, "run", lambda *_arguments: 1)
    assert lab.main(["test"]) == 1
    assert "the installation did not finish" in capsys.readouterr().err
    assert installing.read_json(lab.VENV / "xorlab-setup.json")["complete"]
    assert (lab.PRIVATE / "pip-cache").exists()


def test_downloads_are_deleted_after_a_success(lab, calls):
    (lab.PRIVATE / "pip-cache").mkdir(parents=True)
    lab.set_up(None)
    assert not (lab.PRIVATE / "pip-cache").exists()


def test_torch_index_is_for_torch_alone_and_remembered(lab, calls):
    lab.set_up("https://index.example/cpu")
    torch, others, itself = calls[1:]
    assert torch[-3:] == ["--index-url", "https://index.example/cpu", "torch==2.0"] and "--no-deps" in torch
    assert "--index-url" not in others + itself and "--require-hashes" in others
    assert installing.read_json(lab.VENV / "xorlab-setup.json")["torch_index"] == "https://index.example/cpu"


def needed(lab):
    """{section of the lock: was it installed?} by the record."""
    sections = installing.read_json(lab.VENV / "xorlab-setup.json")["sections"]
    return {name: bool(digest) for name, digest in sections.items()}


def there(lab):
    """The packages in .venv."""
    return sorted(installed.packages(site_of(lab)))


@pytest.fixture
def opened(lab, monkeypatch):
    """Start lab.py as a student does and wait, in JupyterLab's place, for the rest; return what was there before it."""
    before = []

    def run(command, variables):
        for thread in threading.enumerate():
            if thread.name == "the rest":
                thread.join(60)
        return 0

    def rest_meanwhile(venv):
        before.append(there(lab))
        return begin(venv)

    def start():
        assert lab.main(["--no-browser"]) == 0
        return before.pop()

    begin = installing.Lessons.rest_meanwhile
    monkeypatch.setattr(lab, "run", run)
    monkeypatch.setattr(installing.Lessons, "rest_meanwhile", rest_meanwhile)
    return start


def test_a_student_gets_what_opens_the_lessons_then_the_rest_and_never_what_checks_need(lab, calls, opened, capsys):
    assert opened() == ["numpy", "pip", "torch"]
    assert there(lab) == ["numpy", "pip", "scipy", "torch"] and needed(lab) == {"first": True, "rest": True}
    told = capsys.readouterr().out
    assert "arrive meanwhile: about 1 min left" in told and "Every package is here" in told
    assert not (lab.VENV / "xorlab-arriving.json").exists()
    calls.clear()
    opened()
    assert calls == []


def test_what_later_lessons_import_is_compiled_before_they_do(lab, calls, opened, monkeypatch, capfd):
    """A cell would wait for it: on two processors the first import takes 10 seconds, each later one 4."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setattr(installing, "LATER", "colour")
    (lab.HERE / "colour.py").write_text("RED = 1\n")
    opened()
    assert list(lab.HERE.glob("__pycache__/colour*.pyc"))
    capfd.readouterr()
    monkeypatch.setattr(installing, "LATER", "nothing_of_that_name")
    lab.lessons_venv()._compiled()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("command", "more"), [
    (["demo"], False), (["bench", "race"], False), (["bench", "conversion"], True), (["test"], True),
    (["slides"], True), (["refresh"], True), (["tinker"], True), (["trust"], True), (["mutants"], True),
    (["html"], True)], ids=str)
def test_what_the_checks_need_comes_with_the_first_command_that_needs_it(lab, calls, monkeypatch, command, more):
    (lab.HERE / "benchmarks").mkdir()
    for name in ("race", "conversion"):
        (lab.HERE / "benchmarks" / f"{name}.py").touch()
    monkeypatch.setattr(lab, "run", lambda *_: 0)
    lab.main(command)
    assert needed(lab) == {"first": True, "rest": True, **({"test": True} if more else {})}
    assert (site_of(lab) / "pytest").exists() == more


def test_what_was_added_is_no_new_environment_and_stays(lab, calls, opened, monkeypatch):
    opened()
    calls.clear()
    lab.set_up_for_checks(None)
    assert len(calls) == 1 and calls[0][-1].split()[0] == "pytest==4.0"
    assert needed(lab) == {"first": True, "rest": True, "test": True}
    calls.clear()
    opened()
    assert calls == [] and needed(lab)["test"]


def test_a_rest_that_was_killed_keeps_nobody_from_the_lessons_and_the_next_start_goes_on(lab, calls, opened):
    lab.lessons_venv().built(("first",))
    record = lab.VENV / "xorlab-setup.json"
    record.write_text(json.dumps(dict(installing.read_json(record), sections={
        **installing.read_json(record)["sections"], "rest": None})))       # as it is while the rest is installed
    calls.clear()
    lab.lessons_venv().built(("first",))
    assert calls == []
    opened()
    assert len(calls) == 1 and needed(lab) == {"first": True, "rest": True}


def test_a_rest_that_cannot_come_is_said_and_tried_again(lab, calls, opened, monkeypatch, capsys):
    lab.lessons_venv().built(("first",))
    working = installing.Venv.run
    monkeypatch.setattr(installing.Venv, "run", lambda *_: 1)
    opened()
    told = capsys.readouterr().out
    assert "could not be installed" in told and ".lab/setup.log" in told.replace(os.sep, "/")
    assert arriving.minutes_left(lab.VENV) == 0
    monkeypatch.setattr(installing.Venv, "run", working)
    opened()
    assert needed(lab)["rest"] and arriving.minutes_left(lab.VENV) is None


def test_an_environment_of_version_0_1_is_completed_and_not_built_anew(lab, calls):
    lab.set_up_for_checks(None)
    record = lab.VENV / "xorlab-setup.json"
    old = {name: value for name, value in installing.read_json(record).items() if name != "sections"}
    record.write_text(json.dumps(dict(old, packages="of its lists")))
    calls.clear()
    lab.lessons_venv().built(("first",))
    assert venv_calls(calls) == [] and needed(lab) == dict.fromkeys(("first", "rest", "test"), True)


ON_LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere pip's torch is for the CPU")


@ON_LINUX
def test_torch_is_the_build_for_the_cpu_where_its_index_answers(lab, calls, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(installing, "answers", lambda url: asked.append(url) or True)
    lab.set_up(None)
    assert calls[1][-3:] == ["--index-url", "https://download.pytorch.org/whl/cpu", "torch==2.0"]
    assert asked == ["https://download.pytorch.org/whl/cpu/torch/"] and "does not answer" not in capsys.readouterr().out


@ON_LINUX
def test_where_that_index_does_not_answer_torch_comes_from_where_pip_looks_and_a_sentence_says_so(lab, calls, capsys):
    lab.set_up(None)
    assert "--index-url" not in calls[1] and calls[1][-1] == "torch==2.0"
    assert capsys.readouterr().out.count("does not answer: torch comes from where pip is set to look") == 1


@ON_LINUX
def test_cuda_asks_no_index_is_remembered_and_its_switch_is_a_new_environment(lab, calls, monkeypatch):
    monkeypatch.setattr(installing, "answers", lambda url: True)
    monkeypatch.setattr(lab, "run", lambda *_: 0)
    lab.main(["demo"])
    calls.clear()
    lab.main(["demo", "--cuda"])
    assert len(venv_calls(calls)) == 1 and "--index-url" not in calls[1]
    calls.clear()
    lab.main(["demo"])
    assert calls == []
    lab.main(["demo", "--torch-index", "https://download.pytorch.org/whl/cpu"])
    assert len(venv_calls(calls)) == 1


def test_cuda_beside_an_index_and_off_linux_gets_one_sentence(lab, calls, monkeypatch, capsys):
    monkeypatch.setattr(lab.sys, "platform", "linux")
    assert lab.main(["--cuda", "--torch-index", "https://index.example/cpu"]) == 1
    monkeypatch.setattr(lab.sys, "platform", "win32")
    assert lab.main(["--cuda"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2 and "give one of them" in told[0] and "whl/cu130" in told[1] and calls == []


@pytest.mark.parametrize(("asks", "comes"), [
    ("Requires-Dist: nvidia-nccl==5.0; platform_system == 'Linux'", ["by the lock"]),
    ("Requires-Dist: nvidia_nccl==5; platform_system == 'Linux'", ["by the lock"]),
    ("Requires-Dist: numpy>=1", []),
    ("Requires-Dist: numpy>=1\nRequires-Dist: optuna==9; extra == 'opt'", []),
    ("Requires-Dist: nvidia-nccl==4.0", ["by the lock", "nvidia-nccl==4.0"]),
    ("Requires-Dist: nvidia-blas==4.0; platform_system == 'Linux'", ["nvidia-blas==4.0; platform_system == 'Linux'"]),
])
def test_what_comes_beside_torch_is_what_the_torch_that_came_asks_for(lab, calls, monkeypatch, asks, comes):
    working = installing.Venv.run

    def run(venv, python, module, *arguments):
        status = working(venv, python, module, *arguments)
        if "torch==2.0" in arguments:
            (site_of(lab) / "torch-2.0.dist-info" / "METADATA").write_text(f"Name: torch\n{asks}\n\n")
        return status

    monkeypatch.setattr(installing.Venv, "run", run)
    lab.set_up(None)
    by_lock = ["by the lock" for call in pip_calls(calls) if "--hash=sha256:ee" in call[-1]]
    assert by_lock + [call[-1] for call in calls if call[-1].startswith("nvidia")] == comes


def test_a_remembered_torch_index_needs_no_second_mention(lab, calls):
    lab.set_up("https://index.example/cpu")
    calls.clear()
    lab.set_up(None)
    assert calls == []


@pytest.mark.parametrize("arguments", [["--with", "tosca"], ["--with"], ["--with=", "tests"]])
def test_an_unknown_name_after_with_gets_one_sentence_and_builds_nothing(lab, calls, arguments, capsys):
    assert lab.main(["test", *arguments]) == 1
    sentence = capsys.readouterr().err
    assert sentence.count("\n") == 1 and "--with takes tosa" in sentence and "got '" in sentence
    assert calls == []


def test_with_tosa_says_so_where_its_converter_has_no_package(lab, calls, monkeypatch, capsys):
    monkeypatch.setattr(lab.sys, "platform", "darwin")
    assert lab.main(["test", "--with", "tosa"]) == 1
    assert "needs Linux or Windows" in capsys.readouterr().err
    assert calls == []


def test_tosa_is_installed_once_into_an_environment_of_its_own(lab, calls):
    (lab.HERE / "constraints-tosa.txt").write_text("numpy==1.0")
    python = lab.set_up_tosa()
    folder = lab.HERE / ".venv-tosa"
    assert Path(python).is_relative_to(folder) and not lab.VENV.exists()
    assert [command[-1] for command in calls] == [str(folder), "tosa-converter-for-tflite"]
    assert "constraints-tosa.txt" in calls[1]
    assert lab.set_up_tosa() == python and len(calls) == 2
    changed_lock(lab)
    lab.set_up_tosa()
    assert len(calls) == 2
    (lab.HERE / "constraints-tosa.txt").write_text("numpy==1.0 # changed")
    lab.set_up_tosa()
    assert len(calls) == 3 and "venv" not in calls[2]


@pytest.mark.parametrize("arguments", [["--with", "tosa"], ["--with=tosa"], []])
def test_only_with_tosa_the_tests_are_told_where_its_python_is(lab, monkeypatch, arguments):
    monkeypatch.delenv("XORLAB_TOSA_PYTHON", raising=False)
    monkeypatch.setattr(lab, "set_up", lambda *_: "python-of-venv")
    monkeypatch.setattr(lab, "set_up_tosa", lambda: "python-of-tosa")
    runs = []
    monkeypatch.setattr(lab, "run", lambda command, variables: runs.append((command, variables)) or 0)
    assert lab.main(["test", *arguments, "-x"]) == 0
    (command, variables), = runs
    assert command[0] == "python-of-venv" and command[-1] == "-x" and not any("tosa" in part for part in command)
    assert variables.get("XORLAB_TOSA_PYTHON") == ("python-of-tosa" if arguments else None)


def test_a_python_that_does_not_start_is_seen(lab, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    python = tmp_path / "bare" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    assert installing.starts(str(python))
    assert not installing.starts(str(tmp_path / "bare" / "bin" / "missing"))
    (tmp_path / "bare" / "pyvenv.cfg").unlink()
    assert not installing.starts(str(python))


# What a student's disk, editor or pip may do to an installed package: (what is done in site-packages, what is said).

def _folder_gone(site):
    shutil.rmtree(site / "numpy")


def _package_gone(site):
    shutil.rmtree(site / "numpy")
    shutil.rmtree(site / "numpy-1.0.dist-info")


def _list_gone(site):
    (site / "numpy-1.0.dist-info" / "RECORD").unlink()


def _list_damaged(site):
    (site / "numpy-1.0.dist-info" / "RECORD").write_text("numpy/__init__.py,sha256=")


def _data_gone(site):
    (site / "numpy/data/table.csv").unlink()


def _path_file_gone(site):
    (site / "numpy.pth").unlink()


def _module_changed_in_place(site):
    later(site / "numpy/core/module.py", "a = 2")       # as long as before


def _library_cut(site):
    (site / "numpy/core/fast.so").write_text("0")


def _data_replaced(site):
    (site / "numpy/data/new").write_text("1,3")
    (site / "numpy/data/new").replace(site / "numpy/data/table.csv")


def _another_version(site):
    shutil.rmtree(site / "numpy-1.0.dist-info")
    put(site, "numpy", "1.1", NUMPY)


def _two_versions(site):
    put(site, "numpy", "1.1", NUMPY)


def _pip_damaged(site):
    (site / "pip/__init__.py").unlink()


def later(path, text):
    """Write a file as somebody does a second later: the time of a file is not always finer than that."""
    before = path.stat().st_mtime
    path.write_text(text)
    os.utime(path, (before + 1, before + 1))


@pytest.mark.parametrize(("damage", "said"), [
    (_folder_gone, "numpy lacks numpy/"), (_package_gone, "numpy is missing"), (_list_gone, "numpy has lost its list"),
    (_list_damaged, "numpy has lost its list"), (_data_gone, "numpy lacks numpy/data/table.csv"),
    (_path_file_gone, "numpy lacks numpy.pth"),
    (_module_changed_in_place, "numpy has a damaged numpy/core/module.py"),
    (_library_cut, "numpy has a damaged numpy/core/fast.so"),
    (_data_replaced, "numpy has a damaged numpy/data/table.csv"),
    (_another_version, "numpy is 1.1 here, and the lessons need 1.0"),
    (_two_versions, "numpy is 1.0 and 1.1 here"), (_pip_damaged, "pip lacks pip/__init__.py"),
])
def test_a_package_that_is_missing_or_damaged_is_noticed_and_only_that_is_installed_again(
        lab, calls, damage, said, capsys):
    lab.set_up(None)
    calls.clear()
    capsys.readouterr()
    damage(site_of(lab))
    lab.set_up(None)
    told = capsys.readouterr().out
    assert said in told and told.count("\n") == 1
    assert [call[0] for call in calls] == (["ensurepip"] if "pip " in said else ["pip"])
    assert "pip " in said or {"--no-deps", "--force-reinstall", "--require-hashes"} <= {*calls[0]}
    calls.clear()
    lab.set_up(None)
    assert calls == []


def test_what_a_student_adds_or_only_touches_is_left_alone(lab, calls, capsys):
    lab.set_up(None)
    site, listed = site_of(lab), lab.VENV / "xorlab-files.json"
    put(site, "mine", "1.0", {"mine/__init__.py": "", "numpy/data/of_mine.csv": ""})
    later(site / "numpy/core/module.py", NUMPY["numpy/core/module.py"])
    shutil.rmtree(site / "pip-1.0.dist-info")
    put(site, "pip", "2.0", {"pip/__init__.py": "newer"})
    before = listed.read_text()
    calls.clear()
    capsys.readouterr()
    lab.set_up(None)
    assert calls == [] and capsys.readouterr().out == ""
    assert listed.read_text() != before         # so that the next start does not read those files again
    (site / "mine/__init__.py").unlink()
    before = listed.read_text()
    lab.set_up(None)
    assert calls == [] and listed.read_text() == before


def test_what_pip_cannot_put_right_is_said_and_tried_again_at_the_next_start(lab, calls, monkeypatch, capsys):
    lab.set_up(None)
    _another_version(site_of(lab))
    working = installing.Venv.run
    monkeypatch.setattr(installing.Venv, "run", lambda *_arguments: 1)
    for _ in range(2):
        capsys.readouterr()
        lab.set_up(None)                        # the lessons open all the same
        assert "Not put right" in capsys.readouterr().out
    calls.clear()
    monkeypatch.setattr(installing.Venv, "run", working)
    lab.set_up(None)
    lab.set_up(None)
    assert len(calls) == 1


def test_a_pip_that_is_gone_comes_back_before_it_is_needed(lab, calls):
    lab.set_up(None)
    shutil.rmtree(site_of(lab) / "pip")
    changed_lock(lab)
    calls.clear()
    lab.set_up(None)
    assert [call[0] for call in calls] == ["ensurepip", "pip", "pip"]


def test_torch_is_repaired_from_the_index_it_came_from(lab, calls):
    lab.set_up("https://index.example/cpu")
    calls.clear()
    shutil.rmtree(site_of(lab) / "torch")
    lab.set_up(None)
    assert calls[0][-3:] == ["--index-url", "https://index.example/cpu", "torch==2.0"]


@pytest.mark.parametrize("content", ["", "{", '{"numpy-1.0.dist-info": 7}', "[]"])
def test_without_a_list_of_what_pip_left_pip_looks_itself(lab, calls, content):
    lab.set_up(None)
    (lab.VENV / "xorlab-files.json").write_text(content)
    calls.clear()
    lab.set_up(None)
    assert len(pip_calls(calls)) == 1 and venv_calls(calls) == []


def test_what_a_killed_pip_and_a_killed_lab_left_is_removed(lab, calls):
    lab.set_up(None)
    left = [site_of(lab) / "~umpy", lab.PRIVATE / "pip-cache" / "tmp", lab.VENV / ".xorlab-killed"]
    for folder in left:
        folder.mkdir(parents=True)
    (lab.VENV / ".xorlab-killed" / "xorlab-setup.json").write_text("{")      # half written
    shutil.rmtree(site_of(lab) / "numpy")
    lab.set_up(None)
    assert not any(folder.exists() for folder in left) and not list(lab.VENV.glob(".xorlab-*"))


def site_of(lab):
    return installed.site_packages(lab.VENV)


def python(code, **options):
    """Start a Python that runs code; a line of its standard input is all that it may wait for."""
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True,
                            env=dict(os.environ, PYTHONPATH=str(ROOT)), **options)


HOLDER = """
    import functools, pathlib, sys
    from xorlab import processes
    say = functools.partial(print, flush=True)
    with processes.alone(pathlib.Path({path!r}), "setting up", say):
        say("in")
        sys.stdin.readline()
"""


def test_the_second_of_two_waits_says_for_whom_and_goes_on(tmp_path):
    path = str(tmp_path / "setup.lock")
    with python(HOLDER.format(path=path), stdin=subprocess.PIPE) as first:
        assert first.stdout.readline() == "in\n"
        with python(HOLDER.format(path=path)) as second:
            said = second.stdout.readline()
            first.communicate("go on\n")
            assert second.communicate()[0] == "in\n"
    assert f"process {first.pid}, setting up since " in said and "waits" in said


def test_the_lock_of_a_killed_process_holds_nobody(tmp_path):
    path = str(tmp_path / "setup.lock")
    with python(HOLDER.format(path=path), stdin=subprocess.PIPE) as first:
        assert first.stdout.readline() == "in\n"
        first.kill()
    with python(HOLDER.format(path=path)) as second:
        assert second.communicate()[0] == "in\n"


def test_where_there_are_no_locks_nobody_waits(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    ran = []
    with processes.alone(tmp_path / "file" / "no.lock", "testing", print):
        ran.append("without a file")

    def refused(lock):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(processes, "take_lock", refused)
    with processes.alone(tmp_path / "a.lock", "testing", print):
        ran.append("without a lock")
    assert ran == ["without a file", "without a lock"]


RUNNER = """
    import os, pathlib, signal, sys
    from xorlab import processes
    signal.signal(signal.SIGINT, signal.default_int_handler)    # a shell ignores it for what runs in the background
    with processes.alone(pathlib.Path({path!r}), "setting up", print):
        what, *arguments = ["slow"] if {module} else [sys.executable, "slow.py"]
        arguments.append("an argument")
        print(processes.run_to_its_end(sys.executable, what, arguments, {folder!r}, dict(os.environ)))
"""
SLOW = """
import subprocess, sys, time
print(__name__, *sys.argv[1:], flush=True)
below = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(below.pid, flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("put back", flush=True)
    below.kill()
    sys.exit(3)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals, and locks that are inherited, are another matter there")
@pytest.mark.parametrize("module", [True, False], ids=["a module", "a program"])
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_what_lab_starts_ends_with_it_and_holds_its_lock_until_then(tmp_path, stop, module):
    (tmp_path / "slow.py").write_text(SLOW)
    path = str(tmp_path / "setup.lock")
    with python(RUNNER.format(path=path, folder=str(tmp_path), module=module), stderr=subprocess.DEVNULL) as first:
        assert first.stdout.readline() == "__main__ an argument\n"
        below = psutil.Process(int(first.stdout.readline()))
        child = below.parent()
        first.send_signal(stop)
        ending = first.stdout.read()            # until all that could write to it have ended
    assert ending == ("put back\n" if stop == signal.SIGINT else "")
    assert has_ended(child) and has_ended(below)
    with python(HOLDER.format(path=path)) as second:
        assert second.communicate()[0] == "in\n"


def has_ended(process):
    """Has it, in a moment at the most?  (Where nobody asks for its status it stays as a zombie.)"""
    for _ in range(100):
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(os.name == "nt", reason="locks are not inherited there")
def test_what_lab_starts_has_its_lock_too(tmp_path):
    path = tmp_path / "setup.lock"
    (tmp_path / "slow.py").write_text(
        f"import os\nfrom contextlib import suppress\nfiles = []\nfor number in range(3, 30):\n"
        f"    with suppress(OSError): files.append(os.fstat(number).st_ino)\n"
        f"print(os.stat({str(path)!r}).st_ino in files, flush=True)")
    with python(RUNNER.format(path=str(path), folder=str(tmp_path), module=True)) as first:
        assert first.stdout.read() == "True\n0\n"


def test_a_module_that_this_python_lacks_gets_one_sentence(tmp_path, capfd):
    assert processes.run_to_its_end(sys.executable, "no_such_module", [], tmp_path, dict(os.environ)) == 1
    assert capfd.readouterr().err == "This Python has no module no_such_module\n"


def test_jupyter_is_bound_to_this_machine_and_keeps_its_token(lab):
    lab.copy_lessons()
    command = lab.jupyter_command("python", lab.WORK, ["--port=9000"])
    assert "--ServerApp.ip=127.0.0.1" in command
    assert not any("token" in part or "password" in part for part in command)
    assert "--LabApp.default_url=/lab/tree/01-one.ipynb" in command
    assert command[-1] == "--port=9000"


def test_root_is_allowed_only_to_root(lab, monkeypatch):
    for user, allowed in ((0, True), (1000, False)):
        monkeypatch.setattr(lab.os, "geteuid", lambda user=user: user, raising=False)
        assert ("--allow-root" in lab.jupyter_command("python", lab.WORK, [])) is allowed


def test_without_a_screen_no_browser_is_started(lab, monkeypatch):
    monkeypatch.setattr(lab.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    assert "--no-browser" in lab.jupyter_command("python", lab.WORK, [])
    monkeypatch.setenv("DISPLAY", ":0")
    assert "--no-browser" not in lab.jupyter_command("python", lab.WORK, [])


def test_everything_private_lies_in_the_checkout(lab):
    settings = lab.private_settings()
    assert settings.pop("ORT_DISABLE_TELEMETRY") == "1"
    assert all(Path(folder).is_relative_to(lab.HERE) for folder in settings.values())


def test_edit_opens_the_sources_and_copies_nothing(lab, monkeypatch):
    commands = []
    whole = SimpleNamespace(built=lambda *_: "python", rest_meanwhile=lambda: None)
    monkeypatch.setattr(lab, "lessons_venv", lambda: whole)
    monkeypatch.setattr(lab, "run", lambda command, variables: commands.append(command) or 0)
    assert lab.main(["--edit", "--no-browser"]) == 0
    assert f"--ServerApp.root_dir={lab.NOTEBOOKS}" in commands[0]
    assert "--edit" not in commands[0] and "--no-browser" in commands[0]
    assert not lab.WORK.exists()


def test_the_exit_status_of_the_checks_is_passed_on(lab, monkeypatch):
    monkeypatch.setattr(lab, "set_up", lambda *_: sys.executable)
    (lab.HERE / "pytest.py").write_text("import sys\nsys.exit(int(sys.argv[-1]))")      # found before the real one
    assert [lab.main(["test", status]) for status in "015"] == [0, 1, 5]


# What may be wrong around lab.py: each gets one sentence, by a real process.

def run_lab(folder, *arguments, limit=None, **options):
    """Run lab.py of a checkout; limit: bytes a file may have, as where the disk is full.  Returns what ended."""
    options.setdefault("env", dict(os.environ, PYTHONPATH=str(ROOT)))
    if limit is not None:
        import resource
        options["preexec_fn"] = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    options.setdefault("stdout", subprocess.PIPE)
    return subprocess.run([sys.executable, "lab.py", *arguments], cwd=folder, stderr=subprocess.PIPE, text=True,
                          **options)


def one_sentence(done, status=1):
    """What lab.py said at its end, where that is one sentence and no traceback."""
    assert done.returncode == status, done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("lab.py: "), done.stderr
    return done.stderr


COMMANDS = [["lessons"], ["reset", "01"], ["editions", "course"], ["--no-browser"], ["test"], ["slides"]]


@pytest.mark.skipif(os.name == "nt", reason="no such limits there")
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_full_disk_gets_one_sentence_and_takes_nothing_away(lab, arguments):
    lab.WORK.mkdir()
    (lab.WORK / "02-two.ipynb").write_text("my answers")
    if arguments[0] in ("--no-browser", "test", "slides"):      # they stop before they would build
        shutil.rmtree(lab.NOTEBOOKS)
        (lab.VENV / "bin").mkdir(parents=True)
        (lab.VENV / "bin" / "python").symlink_to(sys.executable)
        (lab.VENV / "pyvenv.cfg").write_text("")
        record = {"python": "{}.{}".format(*sys.version_info[:2]), "place": str(lab.HERE), "complete": True}
        installing.write_json(lab.VENV / installing.RECORD, dict(record, torch_index=None, packages=None))
    told = one_sentence(run_lab(lab.HERE, *arguments, limit=0))
    assert "File too large" in told or "cannot write" in told
    assert (lab.WORK / "02-two.ipynb").read_text() == "my answers"
    assert not list(lab.HERE.glob("**/.xorlab-*"))


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_file_where_a_folder_is_needed_gets_one_sentence(lab, arguments):
    for name in ("work", "course", ".lab"):
        (lab.HERE / name).write_text("a file")
    assert str(lab.HERE) in one_sentence(run_lab(lab.HERE, *arguments)).replace("work", str(lab.WORK))


@pytest.mark.parametrize("name", ["pyproject.toml", "lock.txt"])
def test_a_missing_list_of_packages_gets_one_sentence(lab, name):
    (lab.HERE / name).unlink()
    assert f"{name} is missing" in one_sentence(run_lab(lab.HERE, "test"))


def test_a_list_of_packages_that_is_no_text_gets_one_sentence(lab, calls, capsys):
    (lab.HERE / "lock.txt").write_bytes(b"numpy==1.0\n\xff\xfe")
    assert lab.main(["test"]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "lock.txt" in told


@pytest.mark.skipif(os.name == "nt", reason="streams are closed otherwise there")
@pytest.mark.parametrize("command", ["--help | true", "lessons >&-", "lessons >&- 2>&- <&-", "nothing 2>&-"])
def test_closed_streams_give_no_traceback(lab, command):
    line = f"exec 3>said; {{ '{sys.executable}' lab.py {command}; }} 2>&3"
    subprocess.run(["sh", "-c", line], cwd=lab.HERE, env=dict(os.environ, PYTHONPATH=str(ROOT)))
    said = (lab.HERE / "said").read_text()
    assert not any(word in said for word in ("Traceback", "Exception", "Broken pipe"))
    assert "lessons" not in command or (lab.WORK / "01-one.ipynb").exists()


@pytest.mark.skipif(os.name == "nt", reason="no such locales there")
def test_a_terminal_of_ascii_and_a_folder_that_is_not_are_no_trouble(lab, tmp_path):
    folder = tmp_path / "a check-out, \u00fcn\u00efcode"
    folder.mkdir()
    for name in ("lab.py", "pyproject.toml", "lock.txt", "notebooks"):
        (tmp_path / name).rename(folder / name)
    malformed = notebook("\u00e9").replace("END", "END \u00e9")
    (folder / "notebooks" / "01-one.ipynb").write_text(malformed, encoding="utf-8")
    ascii_only = dict(os.environ, PYTHONPATH=str(ROOT), LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    ascii_only.pop("HOME", None)
    assert "01-one.ipynb" in one_sentence(run_lab(folder, "lessons", env=ascii_only))
    code = "import lab; from xorlab import installing; print(ascii(installing.place(lab.HERE)))"
    places = {subprocess.run([sys.executable, "-c", code], cwd=folder, env=dict(ascii_only, PYTHONUTF8=mode),
                             capture_output=True, text=True).stdout for mode in "01"}
    assert len(places) == 1 and places != {""}          # or every change of locale would build .venv anew


def test_a_start_says_what_is_new_once_and_before_the_newer_lessons(lab, capsys):
    (lab.HERE / "CHANGELOG.md").write_text("## 0.1.0\n\nIn short: Lessons.\n")
    lab.prepare("python", [])
    assert capsys.readouterr().out == ""
    (lab.HERE / "CHANGELOG.md").write_text("## 0.2.0\n\nIn short: A doctor.\n\n## 0.1.0\n\nIn short: Lessons.\n")
    (lab.NOTEBOOKS / "01-one.ipynb").write_text(notebook("second edition"))
    lab.prepare("python", [])
    told = capsys.readouterr().out.splitlines()
    assert told[:2] == ["This is XOR Lab 0.2.0; it was 0.1.0.", "- A doctor."] and "reset 01" in told[-1]
    lab.prepare("python", [])
    assert capsys.readouterr().out.splitlines() == told[-1:]


# Real packages by a real pip and a real uv, from the wheels in a folder.

def test_both_installers_open_the_first_part_bring_the_rest_change_nothing_and_compare_digests(tmp_path):
    kills_setup.checkout(tmp_path)
    opens_and_completes(tmp_path, "pip")
    if not installing.uv_for({"PATH": os.environ["PATH"]}):
        pytest.skip("no uv here")
    for name, folders in installed.packages(kills_setup.packages(tmp_path)).items():
        for folder in [name, *folders] if name != "pip" else []:
            shutil.rmtree(kills_setup.packages(tmp_path) / folder, ignore_errors=True)
    record = tmp_path / ".venv" / "xorlab-setup.json"
    record.write_text(json.dumps(dict(installing.read_json(record), sections={})))
    opens_and_completes(tmp_path, "uv")


def opens_and_completes(checkout, installer):
    """Start lab.py there: what was installed when it opened is the same when all is there, and digests count."""
    status, said = kills_setup.lab(checkout, installer)
    assert kills_setup.whole(checkout, (status, said)) == ""
    assert ("Resolved" in said) == (installer == "uv")
    first = dict(ast.literal_eval(said.split("opened 1.0 1.0 False ")[1].splitlines()[0]))
    packages = installed.packages(kills_setup.packages(checkout)).items()
    assert {name: installed.version(*folders) for name, folders in packages} == {**first, "blue": "1.0"}
    lock = (checkout / "lock.txt").read_text()
    kills_setup.constrain(checkout, {**kills_setup.CONSTRAINTS, "red": "2.0"})
    changed = (checkout / "lock.txt").read_text()
    digest = changed.split("red==2.0 \\\n    --hash=sha256:")[1][:64]
    (checkout / "lock.txt").write_text(changed.replace(digest, digest[::-1]))
    status, said = kills_setup.lab(checkout, installer)
    assert status == 1 and "did not finish" in said and "hash" in said.lower()
    (checkout / "lock.txt").write_text(lock)
    status, said = kills_setup.lab(checkout, installer)
    assert status == 0 and "opened 1.0 1.0 True" in said and "nstalling" not in said


@pytest.mark.parametrize(("said", "choice", "comes"), [
    ("uv 0.13.9 (x86_64)", "", "uv"), ("uv 0.5.0", "", "uv"), ("uv 0.4.30", "", None), ("cargo 1.9", "", None),
    ("uv 0.13.9", "pip", None), ("uv 0.13.9", "uv", "uv"), ("uv 0.4.30", "uv", "there is none of version 0.5"),
    ("uv 0.13.9", "conda", "may be pip or uv, got 'conda'")])
@pytest.mark.skipif(os.name == "nt", reason="no such scripts there")
def test_uv_is_taken_where_it_is_new_enough_and_nothing_else_is_chosen(tmp_path, said, choice, comes):
    program = tmp_path / "uv"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)
    variables = {"PATH": str(tmp_path), "XORLAB_INSTALLER": choice}
    if comes in (None, "uv"):
        assert installing.uv_for(variables) == (comes and str(program))
    else:
        with pytest.raises(installing.Refused, match=re.escape(comes)):
            installing.uv_for(variables)


def test_where_uv_fails_pip_tries(lab, calls, monkeypatch, capsys):
    monkeypatch.setattr(installing, "uv_for", lambda variables: "/bin/uv")
    working = installing.Venv.run
    monkeypatch.setattr(installing.Venv, "run", lambda venv, python, module, *arguments: (
        calls.append([module]) or 2 if module == "/bin/uv" else working(venv, python, module, *arguments)))
    lab.set_up(None)
    assert [call[0] for call in calls] == ["venv", "pip", "/bin/uv", "pip", "/bin/uv", "pip"]
    assert capsys.readouterr().out.count("pip tries") == 2


def test_an_index_answers_or_not_and_a_name_that_nobody_looks_up_costs_seconds(monkeypatch):
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert installing.answers(f"http://127.0.0.1:{server.server_port}/")
    assert not installing.answers(f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setattr(installing, "ANSWERS", 0.1)
    answering = threading.Event()

    def slow(*_, **__):
        answering.wait(30)
        raise OSError

    monkeypatch.setattr(installing.urllib.request, "urlopen", slow)
    assert not installing.answers("http://slow.example/")
    answering.set()
