"""README's numbers: each is a figure that is read again here, or recorded with its date, or says why it is none."""
import doctest
import os
import subprocess
import sys
import textwrap
from importlib import metadata
from pathlib import Path

import pytest
from test_lab import put

import lab
from tools import figures, pages
from xorlab import installed

TEXT = figures.README.read_text(encoding="utf-8")
RECORD = figures.record()
VALUES = {name: row["values"] for name, row in RECORD.items()}


def test_every_number_of_the_readme_is_a_figure_a_lesson_or_says_why_it_is_none():
    assert figures.unexplained(TEXT, VALUES) == []


@pytest.mark.parametrize(("old", "new"), [
    ("has 65,536 possible inputs", "has 65,535 possible inputs"), ("on 69 of them", "on 96 of them"),
    ("on 48,642 of one", "on 48,624 of one"), ("solves 81 %", "solves 18 %"), ("100, 68 and 87", "100, 86 and 87"),
    ("about 1,700 times", "about 7,100 times"), ("| 45 |", "| 54 |"), ("2, 6 and 12 hours", "2, 6 and 21 hours"),
    ("3.11, 3.12 or 3.13", "3.11, 3.12 or 3.14"), ("The network learns", "In 12 seconds the network learns"),
    ("2-4-1 network takes", "2-5-1 network takes"),
])
def test_a_number_that_is_changed_or_comes_along_is_found(old, new):
    assert old in TEXT
    assert figures.unexplained(TEXT.replace(old, new), VALUES) != []


@pytest.mark.parametrize("name", [name for name, figure in figures.FIGURES.items() if figure.read])
def test_what_can_be_read_at_once_still_holds(name):
    """Where this fails, `python -m tools.figures` brings the record and README.md up to date."""
    assert VALUES[name] == figures.FIGURES[name].read()


def test_the_readme_is_as_the_command_writes_it():
    assert figures.with_values(TEXT, VALUES) == TEXT


def test_every_figure_in_the_readme_is_recorded_with_its_date_machine_and_command():
    said = {name for name, figure in figures.FIGURES.items() if figure.sentences}
    assert said <= set(RECORD) <= set(figures.FIGURES)
    for name, row in RECORD.items():
        assert row["command"] == figures.FIGURES[name].command and row["machine"]
        assert row["date"].count("-") == 2


def test_nothing_is_explained_that_the_readme_does_not_say():
    assert [words for words in figures.PLAIN if words not in TEXT] == []


def test_the_lessons_that_the_readme_names_are_there():
    numbers = {number for part in figures.lessons_named(TEXT) for number in part}
    assert numbers and numbers <= {lesson.number for lesson in pages.lessons([])}
    assert figures.lessons_named("In lesson 27, lessons 03 to 29") == [["27"], ["03", "29"]]


def test_new_values_are_written_where_they_stand_and_an_absent_sentence_is_said():
    changed = figures.with_values(TEXT, {"starts": {"starts": 5000, "adam": 80.5, "sgd": 95}})
    assert "Of 5,000 starts Adam at rate 0.1 solves 80.5 %, and plain SGD at rate 1 solves 95 %" in changed
    with pytest.raises(lab.Problem, match="has no 'takes at most"):
        figures.with_values("", {"instructions": VALUES["instructions"]})


def test_what_did_not_change_keeps_its_date_unless_it_was_measured():
    row = {"values": {"n": 1}, "date": "2001-01-01", "machine": "m", "command": "c"}
    old = {"starts": row, "race": row}
    now = figures.renewed(old, {"starts": {"n": 1}, "race": {"n": 1}})
    assert now["starts"]["date"] == "2001-01-01" and now["race"]["date"] > "2026"
    assert figures.renewed(old, {"starts": {"n": 2}})["starts"]["date"] > "2026"


def test_a_cell_that_shows_something_else_is_named():
    with pytest.raises(lab.Problem, match="cell hook-code of lesson 00 shows 'elephants' 0 times, not once"):
        figures.in_lesson("00", "hook-code", "elephants")


def test_the_benchmarks_row_is_found():
    printed = "plain loop, one start   3   1\nour training, 1,000 starts  622,403  1,646\nrace(), 1,000 starts  5  1\n"
    assert figures.in_benchmark(printed) == {"starts": 1000, "times": 1600}
    with pytest.raises(lab.Problem, match="printed no row"):
        figures.in_benchmark("Traceback")


# What takes long, on something small

@pytest.fixture
def venv(tmp_path):
    """An environment of a few packages, each of a size: torch needs sympy, XOR Lab's extra needs pytest."""
    site = installed.site_packages(tmp_path / "venv")
    site.mkdir(parents=True)
    needs = {"torch": ("2.0+cpu", 4e6, ["sympy"]), "sympy": ("1.0", 3e5, ["gone; sys_platform == 'nowhere'"]),
             "gone": ("1.0", 7e6, []), "tensorflow": ("2.0", 2e6, []), "pytest": ("8.0", 1e6, ["xorlab"]),
             "xorlab": ("1.0", 0, []), "scikit_learn": ("1.0", 6e5, [])}
    for name, (version, size, requires) in needs.items():
        put(site, name, version, {f"{name}/data.bin": "x" * int(size)})
        info = site / f"{name}-{version}.dist-info" / "METADATA"
        info.write_text("".join(["Metadata-Version: 2.1\n", f"Name: {name}\n", f"Version: {version}\n",
                                 *(f"Requires-Dist: {line}\n" for line in requires)]))
    return tmp_path / "venv"


def test_the_size_of_a_set_is_that_of_what_it_leads_to(venv, monkeypatch):
    monkeypatch.setattr(figures, "round", lambda number, digits: round(number * 1000, digits), raising=False)   # in MB
    name, found = figures.sizes(venv)
    assert name == "sizes, CPU"
    assert found == pytest.approx({"thin": 4.3, "student": 6.9, "checks": 7.9}, abs=0.1)


def test_the_build_of_torch_names_the_figure(venv):
    site = installed.site_packages(venv)
    put(site, "nvidia_cudnn", "1.0", {})
    (site / "nvidia_cudnn-1.0.dist-info" / "METADATA").write_text("Name: nvidia-cudnn\nVersion: 1.0\n")
    (site / "torch-2.0+cpu.dist-info").rename(site / "torch-2.0.dist-info")
    (site / "torch-2.0.dist-info" / "METADATA").write_text("Name: torch\nVersion: 2.0\n")
    assert figures.sizes(venv)[0] == "sizes, CUDA"


def test_an_environment_without_the_lessons_gets_a_sentence(tmp_path):
    with pytest.raises(lab.Problem, match="has no XOR Lab and torch in it"):
        figures.sizes(tmp_path)


def test_a_closure_is_what_the_real_metadata_leads_to():
    here = {one.name.lower().replace("_", "-"): one for one in metadata.distributions()}
    assert {"packaging", "iniconfig", "pluggy"} <= figures.closure(here, ["pytest"])
    assert "torch" not in figures.closure(here, ["pytest"]) and "sympy" in figures.closure(here, ["torch"])
    assert figures.closure(here, ["pytest; sys_platform == 'nowhere'"]) == set()


def test_a_set_up_is_watched_until_it_ends(tmp_path):
    script = tmp_path / "lab.py"
    script.write_text(textwrap.dedent("""
        import os, pathlib, sys, time
        assert "VIRTUAL_ENV" not in os.environ and sys.argv[1:] in (["--version"], ["demo"])
        assert os.environ["XORLAB_INSTALLER"] == "pip"
        pathlib.Path(sys.argv[1]).write_bytes(os.urandom(200_000_000))
        os.fsync(os.open(sys.argv[1], os.O_RDWR))
        time.sleep(0.3)
    """))
    start = [sys.executable, script]
    opened, whole, peak = figures.watched([[*start, "--version"], [*start, "demo"]], tmp_path, XORLAB_INSTALLER="pip")
    for name in ("--version", "demo"):
        (tmp_path / name).unlink()
    assert peak >= 0.3 and opened <= whole
    script.write_text("raise SystemExit(3)")
    with pytest.raises(lab.Problem, match="ended with 3"):
        figures.watched([[sys.executable, script]], tmp_path)


def test_the_command_says_which_options_it_has():
    done = subprocess.run([sys.executable, "-m", "tools.figures", "--help"], cwd=lab.HERE, capture_output=True,
                          text=True, env=dict(os.environ, PYTHONPATH=str(Path(lab.HERE))))
    assert done.returncode == 0 and {"--sizes", "--first-start", "--race"} <= set(done.stdout.replace("[", " ").split())


def test_the_examples_hold():
    assert doctest.testmod(figures).failed == 0
