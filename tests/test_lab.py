"""lab.py without the network and without building an environment: only its calls to pip and venv are faked."""
import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

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
    for name in ("lab.py", "pyproject.toml", "constraints.txt", "constraints-tosa.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "notebooks").mkdir()
    for name in ("01-one.ipynb", "02-two.ipynb"):
        (tmp_path / "notebooks" / name).write_text(notebook(f"first {name}"))
    spec = importlib.util.spec_from_file_location("lab_under_test", tmp_path / "lab.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def calls(lab, monkeypatch):
    """The commands that lab.py runs, recorded; venv makes a Python that starts, and everything succeeds."""
    recorded = []

    def call(command, **_options):
        recorded.append(command[1:4])
        if "venv" in command:
            python = Path(command[-1]) / "bin" / "python"
            shutil.rmtree(command[-1], ignore_errors=True)
            python.parent.mkdir(parents=True)
            python.symlink_to(sys.executable)
        return 0

    monkeypatch.setattr(lab.subprocess, "call", call)
    monkeypatch.setattr(lab, "has_pip", lambda python: Path(python).exists())
    return recorded


def pip_calls(calls):
    return [command for command in calls if "pip" in command]


def venv_calls(calls):
    return [command for command in calls if "venv" in command]


def test_lab_parses_on_python_3_6():
    ast.parse((ROOT / "lab.py").read_text(), feature_version=(3, 6))


def test_lab_needs_the_standard_library_only():
    tree = ast.parse((ROOT / "lab.py").read_text())
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    imported |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert imported <= sys.stdlib_module_names | {"xorlab"}


def test_what_lab_needs_of_the_package_needs_nothing_installed():
    """-S: this Python finds no installed package."""
    code = "import sys, xorlab.editions; print(sorted({n.partition('.')[0] for n in sys.modules}))"
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
    monkeypatch.setattr(lab, "set_up", lambda torch_index: "python-of-venv")
    monkeypatch.setattr(lab, "run", lambda command, variables: next(statuses))
    assert lab.main(["bench"]) == 3


def test_a_file_is_replaced_and_not_written_over(lab, tmp_path):
    path, earlier = tmp_path / "record.json", tmp_path / "earlier.json"
    path.write_bytes(b"old")
    earlier.hardlink_to(path)                   # as for whoever reads it at that moment
    lab.replace_file(path, b"new")
    assert path.read_bytes() == b"new" and earlier.read_bytes() == b"old"


@pytest.mark.parametrize(("command", "module"), [
    ("slides", "tools.slides"), ("html", "tools.site"), ("refresh", "tools.refresh"),
])
def test_a_tool_runs_with_its_arguments_in_the_environment(lab, monkeypatch, command, module):
    monkeypatch.setattr(lab, "set_up", lambda torch_index: "python-of-venv")
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
        sources[source.name] = lab.digest(source)
    lab.write_json(lab.WORK / ".sources.json", sources)


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


def test_the_first_set_up_builds_and_installs_with_the_constraints(lab, calls):
    lab.set_up(None)
    assert len(venv_calls(calls)) == 1 and len(pip_calls(calls)) == 1
    assert lab.read_json(lab.VENV / "xorlab-setup.json")["complete"]


def test_a_second_set_up_calls_neither_pip_nor_venv(lab, calls):
    lab.set_up(None)
    calls.clear()
    lab.set_up(None)
    assert calls == []


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_packages_are_installed_into_the_same_environment(lab, calls, name):
    lab.set_up(None)
    calls.clear()
    with (lab.HERE / name).open("a") as file:
        file.write("# changed\n")
    lab.set_up(None)
    assert len(pip_calls(calls)) == 1 and venv_calls(calls) == []


def _killed_in_pip(lab):
    record = lab.VENV / "xorlab-setup.json"
    record.write_text(json.dumps(dict(lab.read_json(record), complete=False)))


def _by_hand(lab):
    (lab.VENV / "xorlab-setup.json").unlink()


def _damaged_record(lab):
    (lab.VENV / "xorlab-setup.json").write_text('{"complete": tr')


def _dangling_python(lab):
    python = lab.VENV / "bin" / "python"
    python.unlink()
    python.symlink_to(lab.HERE / "nowhere")


def _moved(lab):
    record = lab.VENV / "xorlab-setup.json"
    record.write_text(json.dumps(dict(lab.read_json(record), place="/elsewhere")))


def _other_python(lab):
    record = lab.VENV / "xorlab-setup.json"
    record.write_text(json.dumps(dict(lab.read_json(record), python="3.10")))


@pytest.mark.parametrize("damage", [_killed_in_pip, _by_hand, _damaged_record, _dangling_python, _moved, _other_python])
def test_an_environment_that_cannot_be_trusted_is_built_anew_with_a_sentence(lab, calls, damage, capsys):
    lab.set_up(None)
    calls.clear()
    capsys.readouterr()
    damage(lab)
    lab.set_up(None)
    assert len(venv_calls(calls)) == 1 and len(pip_calls(calls)) == 1
    assert "anew" in capsys.readouterr().out
    assert lab.read_json(lab.VENV / "xorlab-setup.json")["complete"]


def test_a_killed_installation_leaves_an_unfinished_record(lab, calls, monkeypatch):
    lab.set_up(None)
    (lab.HERE / "constraints.txt").write_text("# changed")

    def killed(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(lab, "install", killed)
    assert lab.main(["test"]) == 130
    assert not lab.read_json(lab.VENV / "xorlab-setup.json")["complete"]


def test_a_failed_update_keeps_the_earlier_installation_and_the_downloads(lab, calls, monkeypatch, capsys):
    lab.set_up(None)
    (lab.HERE / "constraints.txt").write_text("# changed")
    (lab.PRIVATE / "pip-cache").mkdir(parents=True)
    monkeypatch.setattr(lab.subprocess, "call", lambda command, **_options: 1)
    assert lab.main(["test"]) == 1
    assert "the installation did not finish" in capsys.readouterr().err
    assert lab.read_json(lab.VENV / "xorlab-setup.json")["complete"]
    assert (lab.PRIVATE / "pip-cache").exists()


def test_downloads_are_deleted_after_a_success(lab, calls):
    (lab.PRIVATE / "pip-cache").mkdir(parents=True)
    lab.set_up(None)
    assert not (lab.PRIVATE / "pip-cache").exists()


def test_torch_index_is_for_torch_alone_and_remembered(lab, monkeypatch):
    commands = []
    monkeypatch.setattr(lab.subprocess, "call", lambda command, **_options: commands.append(command) or 0)
    lab.install("python", "https://index.example/cpu")
    assert [("--index-url" in command, "--no-deps" in command) for command in commands] == [(True, True), (False,) * 2]
    assert commands[0][-1].startswith("torch==")
    assert commands[1][-1] == ".[test]"


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


def test_tosa_is_installed_once_into_an_environment_of_its_own(lab, monkeypatch):
    commands = []
    monkeypatch.setattr(lab, "has_pip", lambda python: True)
    monkeypatch.setattr(lab.subprocess, "call", lambda command, **_options: commands.append(command) or 0)
    python = lab.set_up_tosa()
    folder = lab.HERE / ".venv-tosa"
    assert Path(python).is_relative_to(folder) and not lab.VENV.exists()
    assert [command[-1] for command in commands] == [str(folder), "tosa-converter-for-tflite"]
    assert commands[1][0] == python and "constraints-tosa.txt" in commands[1]
    assert lab.set_up_tosa() == python and len(commands) == 2
    with (lab.HERE / "constraints.txt").open("a") as file:
        file.write("# changed\n")
    lab.set_up_tosa()
    assert len(commands) == 2
    (lab.HERE / "constraints-tosa.txt").write_text("# changed")
    lab.set_up_tosa()
    assert len(commands) == 3 and "venv" not in commands[2]


@pytest.mark.parametrize("arguments", [["--with", "tosa"], ["--with=tosa"], []])
def test_only_with_tosa_the_tests_are_told_where_its_python_is(lab, monkeypatch, arguments):
    monkeypatch.delenv("XORLAB_TOSA_PYTHON", raising=False)
    monkeypatch.setattr(lab, "set_up", lambda torch_index: "python-of-venv")
    monkeypatch.setattr(lab, "set_up_tosa", lambda: "python-of-tosa")
    runs = []
    monkeypatch.setattr(lab, "run", lambda command, variables: runs.append((command, variables)) or 0)
    assert lab.main(["test", *arguments, "-x"]) == 0
    (command, variables), = runs
    assert command[0] == "python-of-venv" and command[-1] == "-x" and not any("tosa" in part for part in command)
    assert variables.get("XORLAB_TOSA_PYTHON") == ("python-of-tosa" if arguments else None)


def test_has_pip_sees_a_python_without_pip(lab, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    folder = "Scripts" if sys.platform == "win32" else "bin"
    assert not lab.has_pip(str(tmp_path / "bare" / folder / "python"))
    assert not lab.has_pip(str(tmp_path / "missing"))
    assert lab.has_pip(sys.executable)


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
    monkeypatch.setattr(lab, "set_up", lambda torch_index: "python")
    monkeypatch.setattr(lab, "run", lambda command, variables: commands.append(command) or 0)
    assert lab.main(["--edit", "--no-browser"]) == 0
    assert f"--ServerApp.root_dir={lab.NOTEBOOKS}" in commands[0]
    assert "--edit" not in commands[0] and "--no-browser" in commands[0]
    assert not lab.WORK.exists()


def test_the_exit_status_of_the_checks_is_passed_on(lab, monkeypatch):
    monkeypatch.setattr(lab, "set_up", lambda torch_index: sys.executable)
    (lab.HERE / "test_failing.py").write_text("def test_it():\n    assert False\n")
    (lab.HERE / "pyproject.toml").write_text("")
    assert lab.main(["test", "-n0", "-q", "-p", "no:cacheprovider"]) == 1
    assert lab.main(["test", "-n0", "-q", "--collect-only", "--deselect", "test_failing.py"]) == 5
