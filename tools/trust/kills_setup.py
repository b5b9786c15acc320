"""kill -9 of lab.py at moments of a set-up: a small checkout, a real environment, a real pip or uv, no network.

Only lab.py's own process is killed, as a student's task manager would. Then nothing may go on writing, and the same
command, given again, must end with everything in its place: each file of each package, each lesson, and what the
student had written.
"""
import atexit
import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import psutil

from tools.trust.part import ROOT
from xorlab import installed

MINE = "what a student wrote"
WHOLE = "whole"
LESSONS = 40
LIMIT = 600             # seconds that a set-up of so little may take on a busy machine
PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "xorlab"
version = "0.1.0"
dependencies = ["red", "green", "jupyterlab", "blue"]
[project.optional-dependencies]
test = []
"""
BACKEND = """\
import shutil
def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "xorlab-0.1.0-py3-none-any.whl"
    shutil.copy("wheels/" + name, folder)
    return name
"""
CONSTRAINTS = {"green": "1.0", "jupyterlab": "1.0", "red": "1.0", "blue": "1.0"}
LATER = ("blue",)       # packages that arrive while JupyterLab is open
# What is in the place of JupyterLab: it ends when everything is there, or when its lab.py was killed.
OPENED = """\
import os, sys, time
from importlib import metadata
import green, red
now = {d.name: d.version for d in metadata.distributions()}
print('opened', red.version, green.version, 'blue' in now, sorted(now.items()), flush=True)
def parent():
    try:
        return 'lab.py' in open(f'/proc/{os.getppid()}/cmdline').read()
    except OSError:
        return os.getppid()
before, record = parent(), os.path.join(sys.prefix, 'xorlab-setup.json')
while '"rest": "' not in open(record).read() and parent() and parent() == before:
    time.sleep(0.02)
"""


def trials() -> dict[str, Callable[[], str]]:
    """Return functions by name; each kills one set-up and returns "", or one sentence of what went wrong."""
    first = {
        "while the environment is made": lambda f: (f / ".venv/pyvenv.cfg").exists(),
        "while pip itself is written": lambda f: site(f, "pip/*") and not site(f, "pip-*.dist-info/RECORD"),
        "when pip is there and the record is not": lambda f: site(f, "pip-*.dist-info/RECORD"),
        "between the record and pip": unfinished,
        "while pip writes the first package": lambda f: site(f, "green/*") or site(f, "red/*"),
        "between two packages": lambda f: site(f, "*een-1*/RECORD") or site(f, "red-1*/RECORD"),
        "when pip has written all": lambda f: site(f, "xorlab-*/RECORD"),
        "between the record and the rest": lambda f: '"rest": null' in text(f / ".venv" / "xorlab-setup.json"),
        "while the rest is written": lambda f: site(f, "blue/module_10.py") and not site(f, "blue-1*/RECORD"),
        "when the rest is written": lambda f: site(f, "blue-1*/RECORD"),
        "when what pip wrote is listed": lambda f: (f / ".venv" / "xorlab-files.json").exists(),
    }
    later = {
        "while the old version is taken away": (newer, lambda f: site(f, "~ed*") or not site(f, "red/__init__.py")),
        "while the new version is written": (newer, lambda f: site(f, "red/module_10.py")
                                             and not site(f, "red-1*/RECORD")),
        "between the record and the update": (newer, unfinished),
        "before a missing package is repaired": (lacking, after(0.5)),
        "while a missing package is repaired": (lacking, lambda f: site(f, "green/module_10.py")),
        "while lessons are copied": (fewer, lambda f: len(list((f / "work").glob("[0-9]*"))) > 3),
        "when there is nothing to do": (unchanged, after(0.08)),
        "while it waits for another": (waiting, lambda f: "waits" in text(f / "log")),
    }
    moments = {f"set-up, {name}": partial(killed, moment) for name, moment in first.items()}
    moments |= {f"set-up, after {tenths} tenths of its time": partial(killed, None, share=tenths / 10)
                for tenths in (1, 3, 5, 7, 9)}
    moments |= {f"set-up done before, {name}": partial(killed, moment, change)
                for name, (change, moment) in later.items()}
    return moments


def killed(moment, change=None, share=None) -> str:
    """Kill a set-up at a moment, or after a share of the time of a whole one; return what is wrong after the next."""
    folder, seconds, problem = prepared()
    if problem:
        return f"before anything was killed: {problem}"
    shutil.rmtree(folder, ignore_errors=True)
    if change:
        shutil.copytree(folder.with_name(WHOLE), folder, symlinks=True)
        end_of_change = change(folder)
    else:
        checkout(folder)
        end_of_change = None
    with begun(folder) as process:
        came = come(moment or after(share * seconds), folder, process)
        process.kill()
    problem = (end_of_change or nothing_goes_on)(folder)
    if not came:
        return f"the moment never came; lab.py said: {text(folder / 'log')[-300:]!r}"
    return problem or whole(folder, lab(folder), quiet=change is unchanged)


@cache
def prepared():
    """Set up once, and keep that as WHOLE; return (the folder of all trials, the seconds it took, what was wrong)."""
    folder = Path(tempfile.mkdtemp()).resolve() / "a check-out, ünïcode"
    atexit.register(shutil.rmtree, folder.parent, ignore_errors=True)
    checkout(folder)
    began = time.monotonic()
    problem = whole(folder, lab(folder))
    seconds = time.monotonic() - began
    folder.rename(folder.with_name(WHOLE))
    return folder, seconds, problem


def begun(folder, installer="pip"):
    """Start lab.py in a checkout, its output in the file `log`, with the wheels there as its only index."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "PYTHON"))}
    variables.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=(folder / "wheels").as_uri(), XORLAB_INSTALLER=installer,
                     UV_CONFIG_FILE=str(folder / "uv.toml"))
    log = (folder / "log").open("w")
    return subprocess.Popen([sys.executable, "lab.py", "--no-browser"], cwd=folder, env=variables, stdout=log,
                            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)


def lab(folder, installer="pip"):
    """Run lab.py to its end; return its exit status and what it said."""
    with begun(folder, installer) as process:
        try:
            process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.returncode, text(folder / "log")


def come(moment, folder, process):
    """Wait for a moment; return whether it came while the process lived."""
    while process.poll() is None:
        if moment(folder):
            return True
        time.sleep(0.001)
    return False


def after(seconds):
    """Return the moment so long after it is first asked for."""
    begin = []

    def moment(_folder):
        begin.append(time.monotonic())
        return begin[-1] - begin[0] >= seconds

    return moment


def nothing_goes_on(folder):
    """Return which process is at work in a checkout although its lab.py is dead; what ends in a moment may."""
    for _ in range(50):
        alive = [process.info for process in psutil.process_iter(["pid", "cmdline"])
                 if any(str(folder) in word for word in process.info["cmdline"] or ())]
        if not alive:
            return ""
        time.sleep(0.1)
    return f"process {alive[0]['pid']} went on: {' '.join(alive[0]['cmdline'])[-200:]}"


def whole(folder, done, quiet=False):
    """Return what is not in its place in a checkout where lab.py ended; quiet: it had nothing to do."""
    status, said = done
    red = re.search(r"^red==(\S+)", text(folder / "lock.txt"), re.M).group(1)
    if status != 0 or f"opened {red} 1.0" not in said:
        return f"lab.py ended with {status}, and said: {said.strip()[-300:]!r}"
    if quiet and "nstalling" in said + text(folder / "log"):
        return f"it set up again what was whole: {said.strip()[-300:]!r}"
    for name, version in dict(CONSTRAINTS, red=red).items():
        for path, content in files_of(name, version).items():
            there = packages(folder) / path
            if not there.is_file() or there.read_bytes() != content:
                return f"{path} is not as in the wheel"
    for number in range(LESSONS):
        if not text(folder / "work" / f"{number:02}-lesson.ipynb"):
            return f"lesson {number:02} is not in work/"
    if text(folder / "work" / "00-lesson.ipynb") != MINE:
        return "what the student wrote is lost"
    left = [*folder.glob(".venv/.xorlab-*"), *packages(folder).glob("~*"), *folder.glob(".lab/pip-cache"),
            *folder.glob(".venv/xorlab-arriving*")]
    return f"{left[0].name} was left" if left else ""


def checkout(folder):
    """Make a checkout with lab.py, what it needs of the package, lessons, and wheels of four small packages."""
    (folder / "wheels").mkdir(parents=True)
    (folder / "notebooks").mkdir()
    shutil.copy(ROOT / "lab.py", folder)
    shutil.copytree(ROOT / "xorlab", folder / "xorlab", ignore=lambda _, names: [n for n in names if n[-3:] != ".py"])
    (folder / "work").mkdir()
    (folder / "work" / "00-lesson.ipynb").write_text(MINE)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "backend.py").write_text(BACKEND)
    (folder / "constraints-tosa.txt").write_text("")
    wheels = json.dumps(str(folder / "wheels"), ensure_ascii=False)         # a text of JSON is one of TOML
    (folder / "uv.toml").write_text(f"no-index = true\nfind-links = [{wheels}]\n", encoding="utf-8")
    for number in range(LESSONS):
        (folder / "notebooks" / f"{number:02}-lesson.ipynb").write_text(LESSON)
    for name, version in (*CONSTRAINTS.items(), ("red", "2.0")):
        write_wheel(folder, name, version, files_of(name, version))
    write_wheel(folder, "xorlab", "0.1.0", {"xorlab.pth": os.fsencode(folder) + b"\n"}, CONSTRAINTS)
    constrain(folder, CONSTRAINTS)


LESSON = '{"cells": [{"cell_type": "markdown", "id": "a", "metadata": {}, "source": "A lesson"}], "metadata": {}}'


def constrain(folder, versions):
    """Write the lock for these versions, with the digests of their wheels."""
    sections = {"first": "", "rest": ""}
    for name, version in versions.items():
        digest = hashlib.sha256(wheel_of(folder, name, version).read_bytes()).hexdigest()
        sections["rest" if name in LATER else "first"] += f"{name}=={version} \\\n    --hash=sha256:{digest}\n"
    text = "".join(f"## {name}: packages\n{lines}" for name, lines in sections.items())
    (folder / "lock.txt").write_text(text)


def wheel_of(folder, name, version):
    return folder / "wheels" / f"{name}-{version}-py3-none-any.whl"


def files_of(name, version):
    """Return {path: content} of a package of its own many modules, so that pip writes it for a while."""
    if name == "jupyterlab":
        return {"jupyterlab/__init__.py": b"", "jupyterlab/__main__.py": OPENED.encode()}
    modules = {f"{name}/module_{number}.py": f"value = {number}  # {version}\n".encode() * 50 for number in range(300)}
    return dict(modules, **{f"{name}/__init__.py": f"version = '{version}'\n".encode()})


def write_wheel(folder, name, version, content, requires=()):
    info = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", "Provides-Extra: test",
             *(f"Requires-Dist: {other}" for other in requires)]
    content = dict(content, **{
        f"{info}/METADATA": "\n".join(lines).encode() + b"\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: xorlab\nRoot-Is-Purelib: true\nTag: py3-none-any\n"})
    digests = {path: base64.urlsafe_b64encode(hashlib.sha256(of).digest()).rstrip(b"=").decode()
               for path, of in content.items()}
    rows = [f"{path},sha256={digests[path]},{len(of)}" for path, of in content.items()] + [f"{info}/RECORD,,"]
    with zipfile.ZipFile(wheel_of(folder, name, version), "w") as wheel:
        for path, of in content.items():
            wheel.writestr(path, of)
        wheel.writestr(f"{info}/RECORD", "\n".join(rows) + "\n")


# What is changed in a checkout that was set up, before the set-up that is killed; `waiting` returns what ends that.

def newer(folder):
    constrain(folder, dict(CONSTRAINTS, red="2.0"))


def lacking(folder):
    shutil.rmtree(packages(folder) / "green")


def fewer(folder):
    for number in range(1, LESSONS):
        (folder / "work" / f"{number:02}-lesson.ipynb").unlink()


def unchanged(_folder):
    pass


def waiting(folder):
    """Let another process hold the lock; return what ends that."""
    code = ("import pathlib, time; from xorlab.processes import alone\n"
            "with alone(pathlib.Path('.lab/setup.lock'), 'testing', print): print('held', flush=True); time.sleep(600)")
    other = subprocess.Popen([sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE)
    other.stdout.readline()
    lacking(folder)             # or there would be no need of the lock

    def ended(folder):
        other.kill()
        other.communicate()
        return nothing_goes_on(folder)

    return ended


def unfinished(folder):
    return '"first": null' in text(folder / ".venv" / "xorlab-setup.json")


def packages(folder):
    return installed.site_packages(folder / ".venv")


def site(folder, pattern):
    return next(packages(folder).glob(pattern), None) is not None


def text(path):
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


if __name__ == "__main__":
    for name, trial in trials().items():
        if all(word in name for word in sys.argv[1:]):
            began = time.monotonic()
            print(f"{name}: {trial() or 'held'} ({time.monotonic() - began:.0f} s)", flush=True)
