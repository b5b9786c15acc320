"""One lock for every system and Python: `python -m tools.lock` writes lock.txt, and constraints.txt of it.

lock.txt names every package that pyproject.toml asks for, and what those ask for, in one exact version with the
digests of its files: for Linux, macOS and Windows, on Python 3.11 to 3.13. uv finds the versions and asks the package
index for the digests. A version in constraints.txt stays. For another one, change or delete its line there first; a
new dependency is added to pyproject.toml, then this is run.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from xorlab.files import replacing
from xorlab.installing import LOCK, read_lock
from xorlab.streams import ended

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = "constraints.txt"
SECTIONS = {
    "first": "what opens the lessons, and builds xorlab's own entry",
    "rest": "what lessons need later; it arrives while JupyterLab is open",
    "test": "what the checks and tools need",
    "cuda": "what PyTorch's builds for CUDA ask for; left out where the torch that came is another",
    "torch": "taken first, from whatever index has the build that is wanted; so its digest is nobody's",
}
HEAD = """\
# Every package in its exact version, with the digests of its files. Written by `python -m tools.lock`; lab.py installs
# from it section by section. torch alone is exempt from the digests: its builds for CPU and CUDA are different files.
"""
ABOVE = """\
# Exact versions known to work together, from lock.txt (python -m tools.lock), for pip alone, conda and Binder: without
# the local labels (+cpu and the like) that would name one build, and without what PyTorch's builds for CUDA name.
"""


def uv() -> str:
    """Return the path of uv.  Raises FileNotFoundError, in one sentence, where there is none."""
    beside = Path(sys.executable).with_name("uv.exe" if os.name == "nt" else "uv")
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if not found:
        raise FileNotFoundError("there is no uv here: python3 lab.py test installs it, or pip install uv")
    return found


def compiled(requirements: list[str], constraints: str) -> dict[str, str]:
    """Return {package: its lines, with digests} of all that requirements come to, on any system.

    constraints : lines of `name==version` that are kept.
    Raises RuntimeError with uv's own words where no versions fit together.
    """
    with tempfile.TemporaryDirectory() as folder:
        wanted, kept = Path(folder, "wanted.in"), Path(folder, "kept.txt")
        wanted.write_text("\n".join(requirements), encoding="utf-8")
        kept.write_text(constraints, encoding="utf-8")
        command = [uv(), "pip", "compile", "--universal", "--python-version", "3.11", "--generate-hashes",
                   "--no-header", "--no-annotate", "--no-emit-index-url", "--constraints", str(kept), str(wanted)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"uv finds no versions that fit together: {done.stderr}")
    return next(iter(read_lock("## all: \n" + done.stdout).values()))


def locked(pyproject: str, constraints: str) -> dict[str, dict[str, str]]:
    """Return {section: {package: its lines}} for what the text of pyproject.toml asks for.  Raises: as compiled."""
    settings = tomllib.loads(pyproject)
    asked, test = settings["project"]["dependencies"], settings["project"]["optional-dependencies"]["test"]
    first = [line for line in asked if name_of(line) in settings["tool"]["xorlab"]["first"]]
    first += settings["build-system"]["requires"]
    everything = compiled(asked + first + test, constraints)
    versions = "\n".join(map(version_of, everything.values()))
    without_torch = compiled([line for line in first if name_of(line) != "torch"], versions)
    with_torch, students = compiled(first, versions), compiled(asked + first, versions)

    def section(name):
        if name == "torch":
            return "torch"
        if name in with_torch:
            gpu = "sys_platform == 'linux'" in everything[name] and name not in without_torch
            return "cuda" if gpu else "first"
        return "rest" if name in students else "test"

    return {wanted: {name: lines for name, lines in everything.items() if section(name) == wanted}
            for wanted in SECTIONS}


def name_of(requirement: str) -> str:
    """Return the package that a requirement names.

    >>> name_of("hatchling >=1.27,<2")
    'hatchling'
    """
    return re.match(r"[\w.-]+", requirement).group()


def version_of(entry: str) -> str:
    """Return `package==version` of a package's lines in lock.txt."""
    return re.split("[ ;]", entry)[0]


def kept(constraints: str, lock: str) -> str:
    """Return the versions that stay: those of constraints.txt, and for the same torch what its builds for CUDA name."""
    before = read_lock(lock)
    torch = [version_of(text) for text in before.get("torch", {}).values()]
    same = set(torch) & set(constraints.splitlines())
    return constraints + "".join(f"{version_of(text)}\n" for text in before.get("cuda", {}).values() if same)


def lock_text(sections: dict[str, dict[str, str]]) -> str:
    """Return the text of lock.txt."""
    parts = [HEAD]
    for section, about in SECTIONS.items():
        entries = sections[section]
        lines = map(version_of, entries.values()) if section == "torch" else entries.values()
        parts.append("\n".join([f"## {section}: {about}", *lines]) + "\n")
    return "\n".join(parts)


def constraints_text(lock: str) -> str:
    """Return the text of constraints.txt that goes with the text of lock.txt."""
    sections = read_lock(lock)
    lines = [version_of(text) for name in sections if name != "cuda" for text in sections[name].values()]
    return ABOVE + "\n".join(sorted(lines)) + "\n"


def main() -> None:
    """Write both lists."""
    constraints = (ROOT / CONSTRAINTS).read_text(encoding="utf-8")
    before = (ROOT / LOCK).read_text(encoding="utf-8") if (ROOT / LOCK).is_file() else ""
    lock = lock_text(locked((ROOT / "pyproject.toml").read_text(encoding="utf-8"), kept(constraints, before)))
    for name, text in ((LOCK, lock), (CONSTRAINTS, constraints_text(lock))):
        with replacing(ROOT / name) as made:
            made.write_bytes(text.encode())


if __name__ == "__main__":
    sys.exit(ended(main))
