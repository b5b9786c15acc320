"""lab.py doctor: whatever is broken, it answers with a table that can be pasted, and never with an error."""
import errno
import getpass
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from test_lab import NUMPY, put

import lab
from xorlab import arriving, doctor, installed, installing

ROOT = Path(__file__).resolve().parent.parent
LISTS = ("pyproject.toml", "constraints.txt", "lab.py", "tools/chromium.py", "docs/pythons.json", "docs/figures.json")


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """An environment without packages."""
    folder = tmp_path_factory.mktemp("bare") / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return folder


@pytest.fixture
def here(tmp_path, bare, monkeypatch):
    """A small checkout that needs NumPy and XOR Lab only, with an environment that has them."""
    here = tmp_path / "Mia Example" / "xor lab"
    here.mkdir(parents=True)
    shutil.copytree(bare, here / ".venv", symlinks=True)
    monkeypatch.setattr(doctor.sysconfig, "get_path", lambda name: str(tmp_path))       # this Python has no packages
    monkeypatch.setattr(doctor, "index", lambda: ("https://index.example", "an index"))
    (here / "pyproject.toml").write_text('version = "7.8.9"\ndependencies = [\n    "numpy",  # arrays everywhere\n]\n')
    (here / "constraints.txt").write_text("numpy==1.0\n")
    record = {"place": str(here), "complete": True}
    (here / ".venv" / installing.RECORD).write_text(json.dumps(record))
    put(site(here), "numpy", "1.0", NUMPY)
    put(site(here), "xorlab", "7.8.9", {"xorlab.pth": str(here)})
    (here / "xorlab").mkdir()
    (here / "xorlab" / "__init__.py").write_text("")
    return here


def site(here):
    return installed.site_packages(here / ".venv")


def place(here, **options):
    return doctor.Place(here, here / ".venv", here / ".lab", **options)


def found(here, **options):
    """What the doctor finds, by name of the row."""
    return {row.what: row for row in doctor.rows(place(here, **options))}


def test_where_all_is_whole_the_lessons_can_run(here):
    rows = found(here)
    assert doctor.runs(rows.values()), rows
    assert rows[".venv"].found == "2 packages, none missing or damaged" and rows["loading"].found == "1 parts load"
    assert rows["versions"].found == "as in constraints.txt"


def _no_environment(here):
    shutil.rmtree(here / ".venv")


def _a_file(here):
    shutil.rmtree(here / ".venv")
    (here / ".venv").write_text("")


def _empty(here):
    shutil.rmtree(here / ".venv")
    (here / ".venv").mkdir()


def _no_python(here):
    place(here).python.unlink()


def _python_fails(here):
    place(here).python.unlink()
    place(here).python.write_text("not a program")
    place(here).python.chmod(0o755)


def _no_settings(here):
    (here / ".venv" / "pyvenv.cfg").unlink()


def _no_packages(here):
    shutil.rmtree(site(here))


def _moved(here):
    (here / ".venv" / installing.RECORD).write_text('{"place": "/elsewhere"}')


def _deep_record(here):
    (here / ".venv" / installing.RECORD).write_text("[" * 100_000)


def _package_gone(here):
    shutil.rmtree(site(here) / "numpy")


def _no_list_of_files(here):
    (site(here) / "numpy-1.0.dist-info" / "RECORD").unlink()


def _binary_list_of_files(here):
    (site(here) / "numpy-1.0.dist-info" / "RECORD").write_bytes(b"\0\xff,,\n")


def _never_installed(here):
    shutil.rmtree(site(here) / "numpy")
    shutil.rmtree(site(here) / "numpy-1.0.dist-info")


def _another_version(here):
    (here / "constraints.txt").write_text("numpy==2.0\n")


def _binary_constraints(here):
    (here / "constraints.txt").write_bytes(b"\xff\xfe\0")


def _no_constraints(here):
    (here / "constraints.txt").unlink()


def _does_not_load(here):
    for name, text in dict(NUMPY, **{"numpy/__init__.py": "import libgone"}).items():
        (site(here) / name).write_text(text)
    shutil.rmtree(site(here) / "numpy-1.0.dist-info")
    put(site(here), "numpy", "1.0", dict(NUMPY, **{"numpy/__init__.py": "import libgone"}))


def _crashes(here):
    shutil.rmtree(site(here) / "numpy-1.0.dist-info")
    put(site(here), "numpy", "1.0", dict(NUMPY, **{"numpy/__init__.py": "import os; os.abort()"}))


BREAKS = {      # what is broken: (the row that says so, some of its words)
    _no_environment: (".venv", "none yet"), _a_file: (".venv", "none yet"),
    _empty: (".venv", "not a finished installation"), _no_python: (".venv", "does not start"),
    _python_fails: (".venv", "does not start"), _no_settings: (".venv", "not a finished installation"),
    _no_packages: (".venv", "numpy is missing (arrays everywhere)"), _moved: (".venv", "moved or copied"),
    _deep_record: (".venv", "not a finished installation"), _package_gone: (".venv", "numpy lacks"),
    _no_list_of_files: (".venv", "lost its list of files"), _binary_list_of_files: (".venv", "lost its list of files"),
    _never_installed: (".venv", "numpy is missing"), _another_version: ("versions", "numpy 1.0, not 2.0"),
    _binary_constraints: (".venv", "constraints.txt cannot be read"),
    _no_constraints: (".venv", "constraints.txt cannot be read"),
    _does_not_load: ("loading", "No module named 'libgone'"), _crashes: ("loading", "numpy: ends its process"),
}


@pytest.mark.parametrize("break_it", BREAKS, ids=lambda function: function.__name__.strip("_"))
def test_whatever_is_broken_is_named_and_the_lessons_cannot_run(here, monkeypatch, break_it):
    monkeypatch.setattr(doctor, "answer", lambda address: None)
    break_it(here)
    rows, (what, words) = found(here), BREAKS[break_it]
    assert rows[what].state == doctor.WRONG and words in rows[what].found
    assert not doctor.runs(rows.values()) and list(rows) == list(doctor.CHECKS)


def test_every_look_is_held_on_its_own(here, monkeypatch):
    def fails(place):
        raise RuntimeError("the reason\nand more")

    monkeypatch.setattr(doctor, "CHECKS", {name: fails for name in doctor.CHECKS})
    rows = found(here)
    assert list(rows) == list(doctor.CHECKS)
    assert all("could not be looked at (RuntimeError: the reason)" in row.found for row in rows.values())
    assert {name for name, row in rows.items() if row.state == doctor.NOTE} == doctor.SPARED


@pytest.mark.parametrize("folder", ["", "work"])
def test_a_folder_that_cannot_be_written_to_is_named(here, monkeypatch, folder):
    def refuse(dir):
        if dir == here / folder:
            raise OSError(errno.EROFS, "Read-only file system", str(dir))
        return (dir / "trial").open("w")

    (here / "work").mkdir()
    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    row = found(here)["folder"]
    assert row.state == doctor.WRONG and f"{folder or 'this folder'} cannot be written to (Read-only" in row.found


def test_a_full_disk_is_told_only_where_something_is_to_be_installed(here, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**10, 9 * 10**9, 10**9))
    monkeypatch.setattr(doctor, "answer", lambda address: None)
    assert found(here)["disk"].state == doctor.OK
    _no_environment(here)
    row = found(here)["disk"]
    assert row.state == doctor.WRONG and row.found.startswith("1.0 GB free") and "GB more" in row.do


def test_a_taken_port_is_told_and_not_wrong(here, monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setattr(doctor, "PORT", other.getsockname()[1])
        assert found(here)["port"] == doctor.Row("port", f"{doctor.PORT} is taken; Jupyter takes the next free one")

    class NoSockets(socket.socket):
        def bind(self, address):
            raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(doctor.socket, "socket", NoSockets)
    row = found(here)["port"]
    assert row.state == doctor.WRONG and "Operation not permitted" in row.found


def test_a_set_up_that_is_at_work_is_told(here):
    with lab.package("processes").alone(here / ".lab" / "setup.lock", "setting up", print):
        assert "setting it up at this moment" in found(here)[".venv"].found
    assert found(here)[".venv"].state == doctor.OK


def test_what_still_arrives_is_told_and_no_mistake(here):
    note = arriving.Note(here / ".venv")
    note.write(100)
    with lab.package("processes").alone(here / ".lab" / "setup.lock", "setting up", print):
        row = found(here)[".venv"]
    assert row.state == doctor.NOTE and "about 2 min left" in row.found
    note.give_up()
    assert found(here)[".venv"].state == doctor.OK


def test_the_index_is_asked_only_where_something_is_to_be_installed_or_when_told(here, monkeypatch):
    asked = []
    monkeypatch.setattr(doctor, "answer", asked.append)
    found(here)
    assert asked == []
    found(here, online=True)
    _never_installed(here)
    found(here)
    assert len(asked) == 2


def test_no_network_is_wrong_only_where_something_is_to_be_installed(here, monkeypatch):
    monkeypatch.setattr(doctor, "answer", lambda address: "no route")
    assert found(here, online=True)["network"].state == doctor.NOTE
    _never_installed(here)
    assert found(here)["network"].state == doctor.WRONG


def test_an_index_that_never_answers_costs_its_seconds_and_no_more(monkeypatch):
    monkeypatch.setattr(doctor, "SECONDS", 0.3)
    monkeypatch.setattr(doctor.urllib.request, "urlopen", lambda *_, **__: time.sleep(2))
    began = time.monotonic()
    assert doctor.answer("https://index.example/simple") == "no answer within 0.3 seconds"
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize(("error", "says"), [
    (doctor.urllib.error.HTTPError("u", 403, "Forbidden", {}, None), None),
    (doctor.urllib.error.URLError(socket.gaierror(-2, "Name or service not known")), "Name or service not known"),
    (doctor.urllib.error.URLError(ssl.SSLCertVerificationError("self-signed")), "not known to this Python"),
    (ValueError("what"), "ValueError"),
])
def test_how_an_index_refuses_is_told_apart(monkeypatch, error, says):
    asked = []

    def refuse(address, timeout):
        asked.append(address)
        raise error

    monkeypatch.setattr(doctor.urllib.request, "urlopen", refuse)
    told = doctor.answer("https://mia:secret@index.example/simple/")
    assert asked == ["https://index.example/simple/pip/"] and (told is None if says is None else says in told)


def test_a_python_with_packages_of_its_own_needs_no_environment(here, monkeypatch):
    """As with conda: what is looked at is what it has."""
    for name in ("torch", "jupyterlab"):
        put(site(here), name, "1.0", {f"{name}/__init__.py": ""})
    (here / ".venv").rename(here / "elsewhere")
    monkeypatch.setattr(doctor.sysconfig, "get_path",
                        lambda name: str(installed.site_packages(here / "elsewhere")))
    monkeypatch.setattr(doctor.sys, "executable", str(here / "elsewhere" / "bin" / "python"))
    rows = found(here)
    assert rows["parts"].state == doctor.OK and rows["loading"].found == "3 parts load"
    (here / "constraints.txt").write_text("numpy==2.0\n")
    assert found(here)["versions"].state == doctor.NOTE      # conda may have others
    assert doctor.runs(found(here).values())


def test_an_index_of_ones_own_is_not_named(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://mia:secret@packages.example/simple")
    assert doctor.index() == ("https://mia:secret@packages.example/simple", "the package index of your settings")


def test_what_is_printed_has_no_name_of_a_user_and_only_ascii(here, monkeypatch):
    monkeypatch.setenv("HOME", str(here.parent))
    said = f"{here}/a in {here.parent}/b, /Users/mia/c, C:\\Users\\mia\\d and /home/mia: 3 \u00b5s"
    report = doctor.report(place(here), [doctor.Row(".venv", said)])
    assert "./a in ~/b, /Users/.../c, C:\\Users\\...\\d and /home/...: 3 \\xb5s" in report
    assert "mia" not in report.lower() and report.startswith("XOR Lab 7.8.9, ")


@pytest.mark.parametrize("settings", [{"LC_ALL": "C", "PYTHONUTF8": "0"}, {"LC_ALL": "nowhere"}, {"HOME": ""}, {}])
def test_as_a_student_calls_it(tmp_path, settings):
    """A checkout in a folder with letters of its own, nothing installed, and a Python that finds no packages."""
    here = tmp_path / "b\u00fccher"
    for name in filter(lambda name: (ROOT / name).exists(), LISTS):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, here / name)
    shutil.copytree(ROOT / "xorlab", here / "xorlab", ignore=lambda folder, names: {
        name for name in names if (Path(folder) / name).is_dir()})
    variables = {"PATH": os.environ["PATH"], "PIP_INDEX_URL": "http://127.0.0.1:9/", **settings}
    done = subprocess.run([sys.executable, "-I", "-S", here / "lab.py", "doctor"], cwd=tmp_path, env=variables,
                          capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr, done.stderr
    assert "wrong  .venv     none yet" in done.stdout and "python3 lab.py makes it" in done.stdout
    assert "could not be looked at" not in done.stdout and str(tmp_path) not in done.stdout
    assert getpass.getuser() not in done.stdout.replace("root", "") and done.stdout.isascii()


def test_a_damaged_module_gets_one_sentence(tmp_path, capsys, monkeypatch):
    for content in (b"def (", b"\0", b"import libgone"):
        monkeypatch.delitem(sys.modules, "xorlab.doctor_damaged", raising=False)
        (tmp_path / "doctor_damaged.py").write_bytes(content)
        monkeypatch.setattr(sys.modules["xorlab"], "__path__", [str(tmp_path)])
        with pytest.raises(lab.Problem, match="git checkout xorlab"):
            lab.package("doctor_damaged")


def test_doctor_takes_one_option(capsys):
    assert lab.main(["doctor", "--offline"]) == 1
    assert "takes --online and nothing else, got '--offline'" in capsys.readouterr().err


def test_the_requirements_are_those_of_pyproject():
    """By the packaging library's reading of names and markers."""
    lines = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    wanted = [(one.name, one.marker is None or one.marker.evaluate()) for one in map(Requirement, lines)]
    assert [(one.name, one.applies) for one in doctor.requirements(ROOT)] == wanted
    assert all(one.use for one in doctor.requirements(ROOT))


@pytest.mark.parametrize(("system", "machine", "applies"), [("linux", "x86_64", True), ("linux", "aarch64", False),
                                                            ("darwin", "x86_64", False)])
def test_what_is_not_for_this_system_is_left_out_and_said(monkeypatch, system, machine, applies):
    monkeypatch.setattr(doctor.sys, "platform", system)
    monkeypatch.setattr(doctor.platform, "machine", lambda: machine)
    assert {one.name: one.applies for one in doctor.requirements(ROOT)}["tflite-micro"] == applies


def test_the_parts_that_are_loaded_are_parts_that_the_lessons_need():
    assert set(doctor.LOADED) <= {one.name for one in doctor.requirements(ROOT)}
    assert set(doctor.MODULES) <= set(doctor.LOADED)


def test_memory_is_what_the_system_says():
    import psutil

    total, available = doctor.memory()
    assert total <= psutil.virtual_memory().total / 1e9 + 0.01 and 0 < available <= total
