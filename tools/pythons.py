"""The checks on every Python of this computer, and what installs where nothing runs: docs/pythons.md.

    python -m tools.pythons [--only 3.12] [pytest arguments]
                                    for each Python from 3.11 to 3.13 that is found (on PATH, in pyenv, by Windows'
                                    py), let lab.py of a clone of the last commit set up and run the checks
    python -m tools.pythons --here [pytest arguments]      run them in the environment that this runs in
    python -m tools.pythons --resolve                      ask uv which packages other systems would get

docs/pythons.json keeps a row for each Python and each system, with the date of its last run; the page and the
paragraph in README.md are made of it. Clones, with environments of some GB, stay in .lab/pythons for the next run.
"""
import argparse
import contextlib
import datetime
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import lab
from tools import lock
from xorlab import doctor, files
from xorlab.streams import ended

README = lab.HERE / "README.md"
PAGE, RECORD = lab.HERE / "docs" / "pythons.md", lab.HERE / "docs" / "pythons.json"
PLACE = lab.PRIVATE / "pythons"
MINORS = range(lab.OLDEST[1], lab.NEWEST[1] + 1)
BLOCK = re.compile(r"(?s)(<!-- pythons -->\n).*?(<!-- end of pythons -->)")
# Systems as doctor names them, and as uv does.
TARGETS = {"Linux x86-64": "x86_64-unknown-linux-gnu", "Linux arm64": "aarch64-unknown-linux-gnu",
           "macOS arm64": "aarch64-apple-darwin", "Windows x86-64": "x86_64-pc-windows-msvc",
           "macOS x86-64": "x86_64-apple-darwin", "Windows arm64": "aarch64-pc-windows-msvc"}
MACOS = "14.0"      # the oldest that torch's wheels are for
ASK = "import sys; print(sys.version.split()[0], getattr(sys, '_base_executable', sys.executable), sep='\\n')"


# Pythons that are here

def pythons() -> dict[str, str]:
    """Return {version: executable} of the supported Pythons on this computer, the oldest first."""
    found = {}
    for candidate in candidates():
        with contextlib.suppress(OSError, subprocess.TimeoutExpired, ValueError):
            told = subprocess.run([candidate, "-I", "-c", ASK], capture_output=True, text=True, timeout=30).stdout
            version, executable = told.splitlines()
            if version.startswith(tuple(f"3.{minor}." for minor in MINORS)):
                found.setdefault(version, executable)
    return dict(sorted(found.items(), key=lambda item: _key(item[0])))


def candidates() -> Iterator[str]:
    """Yield what may be a Python: on PATH, in pyenv's folder, and where Windows' py knows of one."""
    for minor in MINORS:
        yield from filter(None, [shutil.which(f"python3.{minor}")])
    yield from filter(None, map(shutil.which, ("python3", "python")))
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    yield from map(str, sorted(pyenv.glob("3.*/bin/python")))
    if launcher := shutil.which("py"):
        listed = subprocess.run([launcher, "-0p"], capture_output=True, text=True).stdout
        yield from re.findall(r"(?m)\s(\S+python\.exe)\s*$", listed)


def _key(version):
    return [int(number) for number in re.findall(r"\d+", version)]


# A run

def run_on(version: str, executable: str, arguments: list[str]) -> dict:
    """Let lab.py of a clone set itself up with a Python and run the checks; return the row."""
    place = doctor.Place(PLACE / version, PLACE / version / ".venv", PLACE / version / ".lab")
    clone(place.here)
    return checked(version, [executable, "lab.py", "test"], place.here, str(place.python), arguments)


def refuse_changes() -> None:
    """Raise lab.Problem where a clone of the last commit would lack something of this checkout."""
    if changed := _git(lab.HERE, "status", "--porcelain"):
        raise lab.Problem(f"what runs is the last commit, and {changed.split()[1]} is not in it: commit first")


def clone(folder: Path) -> None:
    """Make a folder a clone of this checkout's last commit, whatever it was."""
    folder.mkdir(parents=True, exist_ok=True)
    _git(folder, "init", "--quiet")
    _git(folder, "fetch", "--quiet", str(lab.HERE), "HEAD")
    _git(folder, "checkout", "--quiet", "--force", "--detach", "FETCH_HEAD")


def _git(folder, *arguments):
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise lab.Problem(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


def checked(version: str, command: list[str], folder: Path, python: str, arguments: list[str]) -> dict:
    """Run the checks of a checkout by a command that passes arguments to pytest; return the row."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="xorlab-pythons-") as place:
        report = Path(place) / "report.xml"
        status = subprocess.call([*command, "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *arguments],
                                 cwd=folder, env=lab.environment(python))
        seconds = round(time.monotonic() - began)
        if not report.is_file():
            return row(version, arguments, why=f"it ended with {status} before pytest could report")
        counts = counted(report)
    if status not in (0, 1):
        return row(version, arguments, why=f"pytest ended with {status}", **counts)
    if folder != lab.HERE and (left := _git(folder, "status", "--porcelain")):
        return row(version, arguments, why=f"the checks left {left.split()[1]} in the checkout", **counts)
    return row(version, arguments, torch=build_of_torch(python), seconds=seconds, **counts)


def counted(report: Path) -> dict[str, int]:
    """Return how many checks passed, failed and were skipped, by pytest's report in JUnit's form."""
    suites = list(ElementTree.parse(report).iter("testsuite"))
    total, failed, errors, skipped = (sum(int(suite.get(name, 0)) for suite in suites)
                                      for name in ("tests", "failures", "errors", "skipped"))
    return {"passed": total - failed - errors - skipped, "failed": failed + errors, "skipped": skipped}


def build_of_torch(python: str) -> str:
    """Return the version of a Python's torch with its build, "none" without one."""
    ask = "from importlib.metadata import version; print(version('torch'))"
    found = subprocess.run([python, "-c", ask], capture_output=True, text=True).stdout.strip()
    asked = "import torch; print('CPU' if torch.version.cuda is None else 'CUDA ' + torch.version.cuda)"
    build = subprocess.run([python, "-c", asked], capture_output=True, text=True).stdout.strip() if found else ""
    return f"{found.partition('+')[0]}, {build}" if build else "none"


def row(version, arguments=(), **found) -> dict:
    """Return the row of a Python: what ran, when and where."""
    return {"python": version, "system": f"{platform.system()} {platform.machine()}",
            "checks": " ".join(arguments) or "all", **found, "date": datetime.date.today().isoformat()}


# What other systems would get

def resolve(uv: list[str]) -> Iterator[dict]:
    """Yield a row for each system and Python: how many packages it gets, how large they are, or what has no wheel."""
    lines = tomllib.loads((lab.HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    for target in TARGETS:
        for minor in MINORS:
            packages, error = compiled(uv, lines, target, minor)
            lacks = [] if packages else without_wheels(uv, lines, error, target, minor)
            yield {"platform": target, "python": f"3.{minor}", "packages": len(packages), "lacks": lacks,
                   "download_GB": round(sum(packages.values()) / 1e9, 1), "date": datetime.date.today().isoformat()}


def compiled(uv: list[str], lines: list[str], target: str, minor: int) -> tuple[dict[str, int], str]:
    """Return ({package: bytes to download}, "") for what a system would get of requirements, or ({}, what uv says)."""
    with tempfile.TemporaryDirectory(prefix="xorlab-resolve-") as folder:
        source, made = Path(folder) / "requirements.in", Path(folder) / "pylock.toml"
        source.write_text("\n".join(lines), encoding="utf-8")
        command = [*uv, "pip", "compile", str(source), "--constraints", "constraints.txt", "--only-binary", ":all:",
                   "--python-platform", TARGETS[target], "--python-version", f"3.{minor}", "--format", "pylock.toml",
                   "--quiet", "--output-file", str(made)]
        done = subprocess.run(command, cwd=lab.HERE, env=dict(os.environ, MACOSX_DEPLOYMENT_TARGET=MACOS),
                              capture_output=True, text=True)
        if done.returncode:
            return {}, done.stderr
        return sizes(tomllib.loads(made.read_text(encoding="utf-8"))), ""


def without_wheels(uv: list[str], lines: list[str], error: str, target: str, minor: int) -> list[str]:
    """Return the packages that have no wheel for a system: uv names one, and is asked again without it.

    As far as uv names them: a package that another one brings cannot be left out.
    Raises lab.Problem where already the first error is about something else.
    """
    lacks = []
    while error:
        name = without_wheel(error)
        if name is None and not lacks:
            raise lab.Problem(f"uv could not resolve {target}, Python 3.{minor}: {' '.join(error.split())[:300]}")
        if name in (None, *lacks):
            break
        lacks.append(name)
        rest = [line for line in lines if re.match(r"[\w.-]+", line)[0] not in lacks]
        error = compiled(uv, rest, target, minor)[1]
    return lacks


def without_wheel(error: str) -> str | None:
    """Return the package of which uv says that it has no wheel, or None where it says something else."""
    found = re.search(r"Because (?:only )?([\w.-]+)==\S+ has no wheels with a matching", " ".join(error.split()))
    return found and found[1]


def sizes(lock: dict) -> dict[str, int]:
    """Return {package: the bytes of its wheel} of a lock; where several would do, of the largest."""
    return {one["name"]: max((wheel.get("size", 0) for wheel in one.get("wheels", ())), default=0)
            for one in lock["packages"] if one.get("wheels")}


def find_uv() -> list[str]:
    """Return the command that is uv.  Raises lab.Problem where there is none."""
    try:
        return [lock.uv()]
    except FileNotFoundError as problem:
        raise lab.Problem(str(problem)) from None


# The record, the page and the paragraph

def read() -> dict:
    """Return the record: {"runs": rows of Pythons, "resolved": rows of systems}."""
    return {"runs": [], "resolved": [], **(files.read_json(RECORD, "record of Pythons") if RECORD.exists() else {})}


def keep(rows: list[dict], kind: str) -> None:
    """Put rows in the place of those of the same Python and system, and write the page and README's paragraph."""
    known = read()
    named = {_name(one): one for one in [*known[kind], *rows]}
    known[kind] = sorted(named.values(), key=lambda one: (*_order(one), _key(one["python"])))
    parts = [f' "{name}": [\n  ' + ",\n  ".join(map(json.dumps, known[name])) + "\n ]" if known[name] else
             f' "{name}": []' for name in known]
    with files.replacing(RECORD) as made:
        made.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
    with files.replacing(PAGE) as made:
        made.write_text(page(known), encoding="utf-8")
    text = README.read_text(encoding="utf-8")
    with files.replacing(README) as made:
        made.write_text(BLOCK.sub(lambda block: block[1] + paragraph(known) + "\n" + block[2], text), encoding="utf-8")


def _name(one):
    return one.get("platform", one.get("system")), one["python"], one.get("checks", "")


def _order(one):
    return (list(TARGETS).index(one["platform"]), "") if "platform" in one else (one["checks"] != "all", one["system"])


def page(known: dict) -> str:
    """Return docs/pythons.md."""
    runs = [f"| {one['python']} | {one['system']} | {one['checks']} | {one.get('torch', '')} | {_result(one)} | "
            f"{one['date']} |" for one in known["runs"]]
    runs = ["| Python | system | checks | PyTorch | passed | failed | skipped | seconds | date |",
            "|---|---|---|---|---|---|---|---|---|", *runs] if runs else ["None was recorded yet."]
    resolved = [f"| {one['platform']} | {one['python']} | {_installs(one)} | {one['date']} |"
                for one in known["resolved"]]
    return "\n".join([
        "# Which Pythons and systems", "",
        "`python -m tools.pythons` makes this page and the paragraph in README. Each row keeps the date of its last "
        "run.", "",
        "## What ran", "",
        "`python -m tools.pythons` runs the checks on every Python that it finds; with arguments, those that pytest "
        "then runs.", "", *runs, "",
        "## What was only resolved", "",
        "`python -m tools.pythons --resolve`: uv found wheels of everything that the lessons need, in the versions of "
        f"`constraints.txt`, for these systems (macOS from {MACOS} on). Nothing was installed or run there.", "",
        "| system | Python | packages | to download | date |", "|---|---|---|---|---|", *resolved, ""])


def _result(one):
    if one.get("why"):
        return f"not run: {one['why']} | | |"
    return " | ".join(f"{one[name]:,}" for name in ("passed", "failed", "skipped", "seconds"))


def _installs(one):
    if one["lacks"]:
        return f"no wheels of {', '.join(one['lacks'])} |"
    return f"{one['packages']} | {one['download_GB']} GB"


def paragraph(known: dict) -> str:
    """Return the paragraph in README: what ran whole, and what was only resolved."""
    whole = [one for one in known["runs"] if one["checks"] == "all" and not one.get("why")]
    clean = [one for one in whole if not one["failed"]]
    parts = [f"All checks passed on {_listed(clean)}." if clean else ""]
    parts += [f"On {_listed([one])} {one['failed']} of {one['passed'] + one['failed']:,} failed."
              for one in whole if one["failed"]]
    installs = [name for name in TARGETS if any(one["platform"] == name for one in known["resolved"])
                and not any(one["lacks"] for one in known["resolved"] if one["platform"] == name)]
    ran = {"Linux x86-64"} | {doctor.PLATFORMS.get(tuple(one["system"].lower().split())) for one in whole}
    only = [f"{name} ({MACOS.partition('.')[0]} and later)" if name.startswith("macOS") else name
            for name in installs if name not in ran]
    cannot = [name for name in TARGETS if any(one["lacks"] for one in known["resolved"] if one["platform"] == name)]
    if only:
        parts.append(f"For {_and(only)} every package exists, but nothing ran there yet.")
    if cannot:
        parts.append(f"{_and(cannot)} cannot install: some packages have no wheels for them.")
    return " ".join([*filter(None, parts), "[Dates and figures](docs/pythons.md)."])


def _listed(rows):
    found = {}
    for one in rows:
        found.setdefault(one["system"].replace("_", "-"), []).append(f"{one['python']} (PyTorch {one['torch']})")
    return _and([f"{system} with Python {_and(pythons)}" for system, pythons in found.items()])


def _and(names):
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def main(arguments=None) -> int:
    """Do what is asked for and return the exit status: 1 where a check failed or a Python could not be tried."""
    parser = argparse.ArgumentParser(prog="python -m tools.pythons", description="The checks on every Python here.")
    parser.add_argument("--only", metavar="VERSION", help="Pythons whose version begins so, e.g. 3.12")
    parser.add_argument("--here", action="store_true", help="the environment that this runs in")
    parser.add_argument("--resolve", action="store_true", help="which packages other systems would get")
    options, others = parser.parse_known_args(arguments)
    if options.resolve:
        for one in resolve(find_uv()):
            print(json.dumps(one), flush=True)
            keep([one], "resolved")
        return 0
    found = {platform.python_version(): sys.executable} if options.here else {
        version: path for version, path in pythons().items() if not options.only or _begins(version, options.only)}
    if not found:
        raise lab.Problem(f"no Python {options.only or 'from 3.11 to 3.13'} was found on PATH, nor in pyenv")
    if not options.here:
        refuse_changes()        # once: each row that is kept changes README.md
    rows = []
    for version, path in found.items():
        print(f"Python {version}", flush=True)
        rows.append(checked(version, [path, "-m", "pytest", *(others or lab.side_by_side())], lab.HERE, path, others)
                    if options.here else run_on(version, path, others))
        print(json.dumps(rows[-1]), flush=True)
        keep(rows[-1:], "runs")
    return int(any(one.get("why") or one["failed"] for one in rows))


def _begins(version, wanted):
    return version == wanted or version.startswith(wanted.rstrip(".") + ".")


if __name__ == "__main__":
    sys.exit(ended(main, errors=(lab.Problem, OSError, ValueError)))
