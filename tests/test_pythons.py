"""tools.pythons: what it finds, runs in clones of a small checkout, and records; page and README say the same."""
import json
import platform
import subprocess
import sys
import textwrap

import pytest

import lab
from tools import pythons
from xorlab import doctor


@pytest.fixture
def record(tmp_path, monkeypatch):
    """A record, a page and a README of their own."""
    monkeypatch.setattr(pythons, "RECORD", tmp_path / "pythons.json")
    monkeypatch.setattr(pythons, "PAGE", tmp_path / "pythons.md")
    monkeypatch.setattr(pythons, "PLACE", tmp_path / "pythons")
    monkeypatch.setattr(pythons, "README", tmp_path / "README.md")
    pythons.README.write_text("Before.\n\n<!-- pythons -->\nold\n<!-- end of pythons -->\n\nAfter.\n")
    return tmp_path


def run_row(python="3.12.1", **found):
    return {"python": python, "system": "Linux x86_64", "checks": "all", "torch": "2.0, CPU", "passed": 1700,
            "failed": 0, "skipped": 3, "seconds": 300, "date": "2026-01-02", **found}


def resolved_row(platform, python="3.11", lacks=()):
    return {"platform": platform, "python": python, "packages": 0 if lacks else 150, "lacks": list(lacks),
            "download_GB": 0.7, "date": "2026-01-02"}


def test_the_page_and_the_paragraph_in_the_readme_are_as_recorded():
    """Where this fails, `python -m tools.pythons` has not written what the record says."""
    known = pythons.read()
    assert pythons.PAGE.read_text(encoding="utf-8") == pythons.page(known)
    block = pythons.BLOCK.search(pythons.README.read_text(encoding="utf-8"))
    assert block[0].splitlines()[1:-1] == [pythons.paragraph(known)]


def test_every_system_and_python_is_resolved():
    rows = {(row["platform"], row["python"]) for row in pythons.read()["resolved"]}
    assert rows == {(system, f"3.{minor}") for system in pythons.TARGETS for minor in pythons.MINORS}
    assert set(pythons.TARGETS) == set(doctor.PLATFORMS.values())


def test_this_python_is_found_and_only_supported_ones(monkeypatch):
    monkeypatch.setattr(pythons, "candidates", lambda: [sys.executable, "/nowhere/python3.12", sys.executable])
    assert list(pythons.pythons()) == [platform.python_version()]


def test_pythons_are_found_on_path_and_in_pyenv_once_each_in_order(tmp_path, monkeypatch):
    for folder, version in {"a": "3.13.0", "pyenv/versions/3.9.1/bin": "3.9.1", "pyenv/versions/3.11.10/bin": "3.11.10",
                            "pyenv/versions/3.11.2/bin": "3.11.2", "pyenv/versions/3.13.0/bin": "3.13.0"}.items():
        (tmp_path / folder).mkdir(parents=True)
        program = tmp_path / folder / ("python3.13" if folder == "a" else "python")
        program.write_text(f"#!/bin/sh\necho {version}\necho {program}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "a"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    found = pythons.pythons()
    assert list(found) == ["3.11.2", "3.11.10", "3.13.0"]
    assert found["3.13.0"] == str(tmp_path / "a" / "python3.13")


def test_a_small_suite_is_run_and_counted(tmp_path, monkeypatch):
    (tmp_path / "test_small.py").write_text(textwrap.dedent("""
        import os, pytest
        def test_passes(): assert os.environ["XORLAB_CHECK"] == "1"
        def test_fails(): assert False
        @pytest.mark.skip(reason="x")
        def test_skipped(): pass
        @pytest.fixture
        def broken(): raise ValueError
        def test_error(broken): pass
    """))
    monkeypatch.setattr(lab, "HERE", tmp_path)
    command = [sys.executable, "-m", "pytest"]
    row = pythons.checked("3.12.1", command, tmp_path, sys.executable, ["test_small.py"])
    assert (row["passed"], row["failed"], row["skipped"]) == (1, 2, 1) and row["checks"] == "test_small.py"
    assert row["torch"].split(", ")[1].startswith(("CPU", "CUDA")) and "why" not in row
    row = pythons.checked("3.12.1", command, tmp_path, sys.executable, ["nowhere.py"])
    assert row["why"] == "pytest ended with 4"


def git(folder, *arguments):
    subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e", *arguments], cwd=folder, check=True)


@pytest.fixture
def checkout(tmp_path, monkeypatch, record):
    """A checkout whose lab.py runs a small suite with the Python that starts it."""
    here = tmp_path / "here"
    here.mkdir()
    (here / ".gitignore").write_text("__pycache__/\n")
    (here / "lab.py").write_text("import subprocess, sys\nassert sys.argv[1] == 'test'\n"
                                 "sys.exit(subprocess.call([sys.executable, '-m', 'pytest', *sys.argv[2:]]))\n")
    (here / "test_small.py").write_text("def test_passes(): pass\n")
    (here / "README.md").write_text(pythons.README.read_text())
    for name in ("RECORD", "PAGE", "README"):
        monkeypatch.setattr(pythons, name, here / getattr(pythons, name).name)
    pythons.keep([], "runs")
    git(here, "init", "--quiet")
    git(here, "add", ".")
    git(here, "commit", "--quiet", "-m", "first")
    monkeypatch.setattr(lab, "HERE", here)
    monkeypatch.setattr(pythons, "build_of_torch", lambda python: "2.0, CPU")
    return here


def test_lab_of_a_clone_of_the_last_commit_runs_the_checks_of_every_python(checkout, monkeypatch):
    """Each row changes README.md in this checkout, and the next Python runs all the same."""
    monkeypatch.setattr(pythons, "pythons", lambda: dict.fromkeys(("3.11.7", "3.12.1"), sys.executable))
    assert pythons.main([]) == 0
    git(checkout, "commit", "--quiet", "-a", "-m", "the record")
    (checkout / "test_small.py").write_text("def test_passes(): pass\ndef test_fails(): assert False\n")
    with pytest.raises(lab.Problem, match="test_small.py is not in it: commit first"):
        pythons.main([])
    git(checkout, "commit", "--quiet", "-a", "-m", "second")
    assert pythons.main(["--only", "3.12"]) == 1
    rows = pythons.read()["runs"]
    assert [(row["python"], row["passed"], row["failed"], row["checks"]) for row in rows] == [
        ("3.11.7", 1, 0, "all"), ("3.12.1", 1, 1, "all")] and not any("why" in row for row in rows)


def test_checks_that_leave_something_in_the_checkout_or_never_begin_are_a_row_with_the_reason(checkout):
    (checkout / "test_small.py").write_text("def test_writes(): open('left.txt', 'w').close()\n")
    git(checkout, "commit", "--quiet", "-a", "-m", "second")
    assert pythons.run_on("3.12.1", sys.executable, [])["why"] == "the checks left left.txt in the checkout"
    (checkout / "lab.py").write_text("import sys\nsys.exit('no package for this Python')\n")
    git(checkout, "commit", "--quiet", "-a", "-m", "third")
    assert pythons.run_on("3.13.0", sys.executable, [])["why"] == "it ended with 1 before pytest could report"


def test_rows_keep_their_date_until_the_same_python_runs_again(record):
    pythons.keep([run_row("3.12.1"), run_row("3.11.7", failed=2)], "runs")
    pythons.keep([run_row("3.12.1", date="2026-03-04", passed=1800)], "runs")
    pythons.keep([run_row("3.12.1", checks="tests/test_files.py", date="2026-05-06")], "runs")
    rows = pythons.read()["runs"]
    assert [(row["python"], row["checks"], row["date"]) for row in rows] == [
        ("3.11.7", "all", "2026-01-02"), ("3.12.1", "all", "2026-03-04"),
        ("3.12.1", "tests/test_files.py", "2026-05-06")]
    assert "| 3.12.1 | Linux x86_64 | all | 2.0, CPU | 1,800 | 0 | 3 | 300 | 2026-03-04 |" in pythons.PAGE.read_text()
    json.loads(pythons.RECORD.read_text())


def test_the_readme_names_what_ran_whole_and_what_was_only_resolved(record):
    pythons.keep([run_row(), run_row("3.13.0", failed=1), run_row("3.11.7", checks="tests/test_files.py"),
                  run_row("3.11.2", why="it can make no environment")], "runs")
    pythons.keep([resolved_row("Linux x86-64"), resolved_row("macOS arm64"),
                  resolved_row("macOS x86-64", lacks=["torch"])], "resolved")
    text = pythons.README.read_text()
    assert text.startswith("Before.\n\n<!-- pythons -->\n") and text.endswith("<!-- end of pythons -->\n\nAfter.\n")
    assert "All checks passed on Linux x86-64 with Python 3.12.1 (PyTorch 2.0, CPU)." in text
    assert "On Linux x86-64 with Python 3.13.0 (PyTorch 2.0, CPU) 1 of 1,701 failed." in text
    assert "For macOS arm64 (14 and later) every package exists, but nothing ran there yet." in text
    assert "macOS x86-64 cannot install" in text and "3.11" not in text
    page = pythons.PAGE.read_text()
    assert "| 3.11.2 | Linux x86_64 | all | 2.0, CPU | not run: it can make no environment | | | | 2026-01-02 |" in page
    assert "no wheels of torch" in page


def test_a_run_is_recorded_for_the_python_that_is_asked_for(checkout, monkeypatch):
    monkeypatch.setattr(pythons, "pythons", lambda: {"3.12.1": "python", "3.11.7": "python", "3.1.2": "python"})
    monkeypatch.setattr(pythons, "run_on", lambda version, path, options: run_row(version))
    assert pythons.main(["--only", "3.1"]) == 0 and [row["python"] for row in pythons.read()["runs"]] == ["3.1.2"]
    with pytest.raises(lab.Problem, match="no Python 3.2 was found"):
        pythons.main(["--only", "3.2"])


def test_a_failed_check_is_the_exit_status_and_arguments_go_to_pytest(record, monkeypatch):
    seen = []
    monkeypatch.setattr(pythons, "checked",
                        lambda version, command, folder, path, arguments: seen.append(arguments) or run_row(failed=1))
    assert pythons.main(["--here", "tests/test_files.py", "-k", "sweep"]) == 1
    assert seen == [["tests/test_files.py", "-k", "sweep"]]


TORCH = """error: No solution found when resolving dependencies
  cause: Because torch==2.13.0 has no wheels with a matching platform tag (e.g., `win_arm64`) and xorlab
  depends on torch==2.13.0, we can conclude that your requirements are unsatisfiable."""


def test_what_has_no_wheel_is_left_out_one_by_one(monkeypatch):
    errors = iter([TORCH.replace("torch", "tensorflow"), TORCH.replace("torch", "tensorflow")])
    asked = []
    monkeypatch.setattr(pythons, "compiled", lambda uv, lines, *_: asked.append(lines) or ({}, next(errors)))
    found = pythons.without_wheels([], ["torch", "tensorflow>=2", "numpy"], TORCH, "Windows arm64", 11)
    assert found == ["torch", "tensorflow"] and asked == [["tensorflow>=2", "numpy"], ["numpy"]]
    with pytest.raises(lab.Problem, match="Python 3.11: error: no network"):
        pythons.without_wheels([], ["numpy"], "error: no network", "Windows arm64", 11)


def test_a_download_is_the_sum_of_one_wheel_each():
    lock = {"packages": [{"name": "a", "wheels": [{"size": 5}, {"size": 7}]}, {"name": "here", "directory": {}},
                         {"name": "b", "wheels": [{"url": "no size"}]}]}
    assert pythons.sizes(lock) == {"a": 7, "b": 0}


def test_without_uv_a_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(pythons.shutil, "which", lambda name: None)
    monkeypatch.setattr(pythons.sys, "executable", "nowhere/python")
    with pytest.raises(lab.Problem, match="pip install uv"):
        pythons.find_uv()
