"""The numbers in README.md: where each comes from, read or measured again, and written where it stands.

    python -m tools.figures                 read what lessons, tests and plans say today, and write README.md
    python -m tools.figures --sizes [VENV]  also how large an environment is (default .venv), part by part
    python -m tools.figures --first-start   also how long a first start takes, and how much disk: a clone sets itself up
    python -m tools.figures --race          also how much faster a race is than the plain loop

docs/figures.json keeps every value with its date, the computer it is of, and the command that makes it. A test holds
README.md to it: every number there is one of these, or stands in PLAIN with the reason why it is none.
"""
import argparse
import ast
import contextlib
import csv
import datetime
import json
import math
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

import lab
from tools import checks, lock, pages
from xorlab import files, installed
from xorlab.streams import ended

README, RECORD = lab.HERE / "README.md", lab.HERE / "docs" / "figures.json"
NUMBER = r"\d[\d,_]*(?:\.\d+)?"
LESSONS = r"\b[Ll]essons? \d\d(?: (?:to|and) \d\d)?\b"


@dataclass(frozen=True)
class Figure:
    """One or more numbers of README.md.

    sentences : the words that they stand in, with {name} in the place of each; without any they are only recorded.
    read : returns {name: the number as README shows it}; None for what takes long, which `option` measures.
    command : what a reader would run to see them.
    """
    sentences: tuple[str, ...]
    command: str
    read: Callable[[], dict] | None = None
    option: str = ""


# What lessons show

def shown(cells) -> str:
    """Return all that the outputs of cells say, alternative texts of figures included."""
    texts = []
    for cell in cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            texts += [output.get("text", ""), data.get("text/plain", ""), alt_text(output) or "",
                      re.sub("<[^>]*>", " ", data.get("text/html", ""))]
    return "\n".join(texts)


def alt_text(output) -> str | None:
    """Return what stands for an output's picture."""
    return output.get("metadata", {}).get("image/png", {}).get("alt")


def value(number: str) -> float:
    """Return the number that is written, e.g. of 48,642."""
    return float(number.replace(",", "").replace("_", ""))


def in_lesson(number: str, cell: str, pattern: str) -> dict:
    """Return the named groups of the one match of a pattern in what a cell of a lesson shows."""
    lesson, = pages.lessons([number])
    text = shown(one for one in lesson.notebook.cells if one.id == cell)
    found = list(re.finditer(pattern, text, re.M))
    if len(found) != 1:
        raise lab.Problem(f"cell {cell} of lesson {number} shows {pattern!r} {len(found)} times, not once")
    return {name: _number(text) for name, text in found[0].groupdict().items()}


def _number(text):
    return int(value(text)) if value(text).is_integer() else value(text)


# What is read

def _inputs():
    return {"inputs": 256**2}           # the codes of two int8 inputs


def _disagreements():
    return {**in_lesson("00", "hook-code", rf"on (?P<few>{NUMBER}) of 65,536"),
            **in_lesson("00", "hand-code", rf"on (?P<many>{NUMBER}) of 65,536")}


def _instructions():
    rows = {"m0": "cortex-m0plus", "m4": "cortex-m4", "riscv": "rv32imc"}
    return {name: in_lesson("10", "cell-28", rf"^relu-2-4-1 +{target} .* (?P<n>{NUMBER})$")["n"]
            for name, target in rows.items()}


def _starts():
    adam = in_lesson("03", "cell-17", rf"^adam, rate 0.1 +~(?P<adam>{NUMBER})% of (?P<starts>{NUMBER}) starts")
    return {**adam, **in_lesson("03", "cell-17", rf"^sgd, rate 1 +~(?P<sgd>{NUMBER})% of {adam['starts']} starts")}


def _random_nets():
    names = _functions("test_playground_engine.py")
    found, = {int(number) for name in names for number in re.findall(r"test_(\d+)_random_nets", name)}
    return {"nets": found}


def _functions(name):
    tree = ast.parse((lab.HERE / "tests" / name).read_text(encoding="utf-8"))
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


def _random_models():
    """Return the default of pytest's option --models."""
    found, = re.findall(r'addoption\("--models", type=int, default=(\d+)', _text("conftest.py"))
    return {"models": int(found)}


def _plans():
    hours = [plan["hours"] for plan in tomllib.loads(_text("docs/plans.toml"))["plan"]]
    return dict(zip(("short", "middle", "long"), hours, strict=True))


def _pythons():
    wanted = tomllib.loads(_text("pyproject.toml"))["project"]["requires-python"]
    oldest, beyond = map(int, re.fullmatch(r">=3\.(\d+),<3\.(\d+)", wanted).groups())
    first, *middle, last = [f"3.{minor}" for minor in range(oldest, beyond)]
    return {"oldest": first, "middle": ", ".join(middle), "newest": last}


def _checks():
    """Return how many checks a run of everything makes, rounded down to hundreds: tests, and cells of lessons."""
    record = checks.read()
    cells = sum(counts["cells"] for counts in record["lessons"].values())
    return {"checks": (sum(counts["collected"] for counts in record["tests"].values()) + cells) // 100 * 100}


def _download():
    """Return the GB that pip downloads on Linux x86-64, where torch comes from PyPI."""
    rows = json.loads(_text("docs/pythons.json"))["resolved"]
    return {"download": max(row["download_GB"] for row in rows if row["platform"] == "Linux x86-64")}


def _minutes(lesson):
    return lambda: {"minutes": lesson.minutes}


def _text(name):
    return (lab.HERE / name).read_text(encoding="utf-8")


# What takes long

def sizes(venv: Path) -> tuple[str, dict]:
    """Return the figure, and how many GB an environment takes: the thin set, the student's, and with the test extra.

    Only what pip installed counts, by each package's list of files: on disk, in blocks. The figure is named after the
    build of torch.
    """
    site = installed.site_packages(venv)
    here = {installed.normal(one.name): one for one in metadata.distributions(path=[str(site)])}
    if "xorlab" not in here or "torch" not in here:
        raise lab.Problem(f"{venv.name} has no XOR Lab and torch in it: set it up first, with python3 lab.py")
    settings = tomllib.loads(_text("pyproject.toml"))
    project = settings["project"]
    student = closure(here, project["dependencies"])
    every = closure(here, [*project["dependencies"], *project["optional-dependencies"]["test"]])
    amount = {name: _bytes(site, one) for name, one in here.items()}
    build = "CPU" if "+cpu" in here["torch"].version or not any(name.startswith("nvidia-") for name in here) else "CUDA"
    found = {"thin": closure(here, settings["tool"]["xorlab"]["first"]), "student": student, "checks": every}
    return f"sizes, {build}", {name: round(sum(map(amount.get, names)) / 1e9, 1) for name, names in found.items()}


def closure(here: dict, lines) -> set[str]:
    """Return the names of the installed packages that requirements lead to.  here : {name: its distribution}."""
    found, rest = set(), [(line, "") for line in lines]
    while rest:
        line, extra = rest.pop()
        wanted = Requirement(line)
        name = installed.normal(wanted.name)
        if wanted.marker and not wanted.marker.evaluate({"extra": extra}):
            continue
        for extra in {"", *wanted.extras}:
            if (name, extra) not in found and name in here:
                found.add((name, extra))
                rest += [(one, extra) for one in here[name].requires or ()]
    return {name for name, _ in found}


def _bytes(site, distribution):
    """Return how much disk a package's files take."""
    total = 0
    with contextlib.suppress(OSError):
        for path, *_ in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
            with contextlib.suppress(OSError):
                status = os.stat(site / path)
                total += getattr(status, "st_blocks", math.ceil(status.st_size / 512)) * 512
    return total


def first_start() -> dict:
    """Return what clones of this checkout take to set themselves up, one by uv and one by pip.

    seconds of each, until JupyterLab can open on the first lesson and until all is there; GB of disk at the worst
    moment of both: `peak`, and `disk`, rounded up. Whatever else is written meanwhile on that disk counts too, so let
    it be quiet.
    """
    found = {"peak": 0.0}
    for installer in ("uv", "pip"):
        with tempfile.TemporaryDirectory(prefix="xorlab-start-") as folder:
            clone = Path(folder) / "xor-lab"
            subprocess.run(["git", "clone", "--quiet", lab.HERE, clone], check=True)
            start = [getattr(sys, "_base_executable", sys.executable), clone / "lab.py"]
            path = os.pathsep.join([str(Path(lock.uv()).parent), os.environ["PATH"]])
            opened, whole, peak = watched([[*start, "--version"], [*start, "demo", "--help"]], clone,
                                          XORLAB_INSTALLER=installer, PATH=path)
        found |= {f"{installer}_open": opened, f"{installer}_whole": whole, "peak": max(found["peak"], peak)}
    return {**found, "disk": math.ceil(found["peak"])}


def watched(commands: list[list], folder: Path, **settings: str) -> list:
    """Run the parts of a set-up; return the seconds after each, and GB of disk at the worst moment.

    settings : of the environment of the commands.
    Raises lab.Problem where a command fails.
    """
    # of this environment nothing should help the new one
    variables = {name: text for name, text in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    free, began, seconds = [shutil.disk_usage(folder).free], time.monotonic(), []
    for command in commands:
        process = subprocess.Popen(command, cwd=folder, env={**variables, **settings})
        while process.poll() is None:
            free.append(shutil.disk_usage(folder).free)
            time.sleep(0.1)
        if process.returncode:
            raise lab.Problem(f"the clone did not set itself up (its lab.py ended with {process.returncode}, and says "
                              "why)")
        seconds.append(round(time.monotonic() - began))
    return [*seconds, round((free[0] - min(free)) / 1e9, 1)]


def faster() -> dict:
    """Return how many times as fast as the plain loop a race trains, in two digits, as the benchmark prints it."""
    run = subprocess.run([sys.executable, lab.HERE / "benchmarks" / "race.py"], capture_output=True, text=True,
                         env=dict(os.environ, PYTHONPATH=str(lab.HERE)))
    return in_benchmark(run.stdout)


def in_benchmark(text: str) -> dict:
    """Return the starts and the ratio of the row of `our training` in what benchmarks/race.py prints."""
    found = re.search(rf"our training, (1,000) starts +{NUMBER} +({NUMBER})", text)
    if found is None:
        raise lab.Problem("benchmarks/race.py printed no row of our training with 1,000 starts")
    return {"starts": int(value(found[1])), "times": two_digits(value(found[2]))}


def two_digits(number: float) -> int:
    """Return a number rounded to its first two digits.

    >>> two_digits(1686.2)
    1700
    """
    unit = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return round(number / unit) * unit


FIGURES = {
    "inputs": Figure(("has {inputs} possible inputs", "on all {inputs} inputs. Right, what rounding changes",
                      "at all {inputs} inputs while the network trains", "only 256 x 256 = {inputs} of them",
                      "all {inputs} inputs on every runtime"), "256 * 256", _inputs),
    "disagreements": Figure(("they disagree on {few} of them.", "they disagree on {many}. Nothing is broken",
                             "differ on {few} inputs of the network of lesson 05, and on {many} of one whose weights"),
                            "lesson 00, at its start", _disagreements),
    "instructions": Figure(("takes at most {m0}, {m4} and {riscv} instructions",), "lesson 10, the table of nets",
                           _instructions),
    "starts": Figure(("Of {starts} starts Adam at rate 0.1 solves {adam} %, and plain SGD at rate 1 solves {sgd} %",),
                     "lesson 03, the race of six", _starts),
    "random nets": Figure(("on {nets} random networks too",), "pytest tests/test_playground_engine.py", _random_nets),
    "random models": Figure(("and of {models} random models",), "pytest tests/test_integer.py", _random_models),
    "plans": Figure(("plans for {short}, {middle} and {long} hours",), "docs/plans.toml", _plans),
    "pythons": Figure(("You need Python {oldest}, {middle} or {newest},",), "pyproject.toml", _pythons),
    "checks": Figure(("runs more than {checks} checks:",), "python3 lab.py test", _checks),
    **{f"minutes of {lesson.number}": Figure((f"](notebooks/{lesson.path.name}) | {{minutes}} |",),
                                             f"lesson {lesson.number}, its first lines", _minutes(lesson))
       for lesson in pages.lessons([])},
    "race": Figure(("here {starts} at once on one core about {times} times as fast as the plain loop",),
                   "python3 lab.py bench race", option="race"),
    "sizes, CPU": Figure(("the first lessons can run ({thin} GB)", "({student} GB in all, {checks} with the"),
                         "python -m tools.figures --sizes", option="sizes"),
    "sizes, CUDA": Figure(("takes PyTorch with CUDA, {student} GB in all",), "python -m tools.figures --sizes",
                          option="sizes"),
    "first start": Figure(("about {disk} GB of disk", "on a fast line after {uv_open} seconds with uv and {pip_open} "
                           "with pip"), "python -m tools.figures --first-start", option="first_start"),
    "download": Figure(("come with CUDA, {download} GB to download in all",), "python -m tools.pythons --resolve",
                       _download),
}

# Numbers of README.md that nobody measures: why each stands there.
PLAIN = {
    "256 x 256": "two int8 codes",
    "2-4-1": "a network's shape",
    "this is Python 3.x": "what lab.py says",
    "at rate 0.1 solves": "a setting of lesson 03",
    "at rate 1 solves": "the same",
    "(4 bits and fewer), and where not (8 bits)": "settings of lesson 09, whose answers it expects",
    "| 1 minute |": "a reader's time",
    "| 10 minutes, once installed |": "the same",
    "MIT licence, the text of the lessons under CC BY 4.0": "a licence's name",
    "Apache 2.0": "the same",
}


def record() -> dict:
    """Return docs/figures.json: {figure: {"values", "date", "machine", "command"}}."""
    return files.read_json(RECORD, "record of figures")


def machine() -> str:
    """Return this computer in a few words."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}"


def renewed(before: dict, values: dict) -> dict:
    """Return a record with new values; what did not change keeps its date."""
    now = dict(before)
    for name, found in values.items():
        if before.get(name, {}).get("values") != found or FIGURES[name].option:
            now[name] = {"values": found, "date": datetime.date.today().isoformat(), "machine": machine(),
                         "command": FIGURES[name].command}
    return {name: now[name] for name in FIGURES if name in now}


def pattern(sentence: str, values: dict | None = None) -> str:
    """Return a regular expression for a sentence: with numbers in its places, or with these values."""
    parts = re.split(r"\{(\w+)\}", sentence)
    places = (re.escape(written(values[name])) if values else rf"{NUMBER}(?:, {NUMBER})*" for name in parts[1::2])
    return "".join(re.escape(words) + place for words, place in zip(parts[::2], [*places, ""], strict=True))


def written(value) -> str:
    """Return a value as README shows it."""
    return value if isinstance(value, str) else f"{value:,}"


def with_values(text: str, values: dict[str, dict]) -> str:
    """Return README's text with these values in their places.  Raises lab.Problem for a sentence that is not there."""
    for name, found in values.items():
        for sentence in FIGURES[name].sentences:
            words = re.sub(r"\{(\w+)\}", lambda place, found=found: written(found[place[1]]), sentence)
            text, count = re.subn(pattern(sentence), lambda _, words=words: words, text)
            if count == 0:
                raise lab.Problem(f"README.md has no {sentence!r} for the figure {name!r}: change tools/figures.py too")
    return text


def unexplained(text: str, values: dict[str, dict]) -> list[str]:
    """Return the numbers of a text that are no figure with its value, no lesson, and not in PLAIN."""
    text = re.sub(r"(?s)<!-- pythons -->.*?<!-- end of pythons -->|<!--.*?-->|```.*?```|`[^`\n]*`", " ", text)
    for name, found in values.items():
        for sentence in FIGURES[name].sentences:
            text = re.sub(pattern(sentence, found), " ", text)
    for words in PLAIN:
        text = text.replace(words, " ")
    text = re.sub(r"\[\d\d (?=\w)", " ", re.sub(LESSONS, " ", text))         # titles, which another test holds
    text = re.sub(r"\]\([^)]*\)|<[^>]*>", " ", text)
    return re.findall(rf"(?<![\w.-])(?:{NUMBER})(?!\w)[^\n]{{0,30}}", text)


def lessons_named(text: str) -> list[list[str]]:
    """Return the numbers of the lessons that a text names: of "lessons 00 to 02" both."""
    return [re.findall(r"\d\d", words) for words in re.findall(LESSONS, text)]


def read_now() -> dict[str, dict]:
    """Return the values of the figures that cost nothing to read."""
    return {name: figure.read() for name, figure in FIGURES.items() if figure.read}


def measured(options: argparse.Namespace) -> Iterator[tuple[str, dict]]:
    """Yield (figure, values) of what the options ask for."""
    if options.sizes:
        yield sizes(Path(options.sizes).resolve())
    if options.first_start:
        yield "first start", first_start()
    if options.race:
        yield "race", faster()


def main(arguments=None) -> None:
    """Renew the record, and write README.md."""
    parser = argparse.ArgumentParser(prog="python -m tools.figures", description="The numbers in README.md.")
    parser.add_argument("--sizes", nargs="?", const=lab.VENV, metavar="VENV", help="how large an environment is")
    parser.add_argument("--first-start", action="store_true", help="how long a first start takes, and how much disk")
    parser.add_argument("--race", action="store_true", help="how much faster a race is than the plain loop")
    options = parser.parse_args(arguments)
    now = renewed(record() if RECORD.exists() else {}, {**read_now(), **dict(measured(options))})
    text = with_values(README.read_text(encoding="utf-8"), {name: row["values"] for name, row in now.items()})
    with files.replacing(RECORD) as made:
        rows = ",\n".join(f" {json.dumps(name)}: {json.dumps(row)}" for name, row in now.items())
        made.write_text(f"{{\n{rows}\n}}\n", encoding="utf-8")
    with files.replacing(README) as made:
        made.write_text(text, encoding="utf-8")
    for line in unexplained(text, {name: row["values"] for name, row in now.items()}):
        print(f"README.md has a number that is in no record: {line}")


if __name__ == "__main__":
    sys.exit(ended(main, errors=(lab.Problem, OSError, ValueError)))
