"""Is what pip installed into an environment still there, as it was?  Standard library only: lab.py asks at each start.

pip leaves beside each package a folder `NAME-VERSION.dist-info`, and in it RECORD: each file's path, digest and size.
To look at 80,000 files takes too long for a start. So a list of what the system says of some (time and size) is kept
after an installation, and only a package with a difference in it is compared with its RECORD:

- each folder of a package: a file that went, came or was replaced there changes the folder's time;
- each Python module, each library, each file of a megabyte or more: these are seen too where they change in place.

Not watched: headers for C++ and packages' own tests. Not seen: a small file that is no module, changed in place.
"""
import base64
import csv
import hashlib
import os
import re
import shutil
import sys
from pathlib import Path

INFO, RECORD = ".dist-info", "RECORD"
LARGE = 1_000_000       # bytes
CODE = (".py", ".so", ".pyd", ".dll", ".dylib")
UNWATCHED = re.compile(r"^(tensorflow|torch)/include/|/tests?/")


def site_packages(venv: Path) -> Path:
    """Return where an environment made by this Python keeps its packages."""
    if os.name == "nt":
        return venv / "Lib" / "site-packages"
    return venv / "lib" / "python{}.{}".format(*sys.version_info[:2]) / "site-packages"


def pins(constraints: Path) -> dict[str, str]:
    """Return {package: its line} of a list of `name==version` lines.  Raises OSError; ValueError if it is no text."""
    lines = [line.partition("#")[0].strip() for line in constraints.read_text(encoding="utf-8").splitlines()]
    return {normal(line.partition("==")[0]): line for line in lines if "==" in line}


def normal(name):
    """Return a package's name as names are compared: `Jinja2` and `jinja2` are one.  Source: PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def packages(site: Path) -> dict[str, list[str]]:
    """Return the .dist-info folders in a site-packages folder by package; where all is well there is one for each."""
    found = {}
    for folder in sorted(os.listdir(site)) if site.is_dir() else []:
        if folder.endswith(INFO):
            found.setdefault(normal(folder.split("-")[0]), []).append(folder)
    return found


def version(folder: str) -> str:
    """Return the version in the name of a .dist-info folder.

    >>> version("torch-2.9.0+cpu.dist-info")
    '2.9.0+cpu'
    """
    return folder[:-len(INFO)].partition("-")[2]


def seen(site: Path, names) -> dict[str, dict]:
    """Return {.dist-info folder: {path: stamp}} of those of these packages that are installed."""
    return {folders[-1]: _stamps(site, folders[-1]) for name, folders in packages(site).items() if name in names}


def changes(site: Path, known: dict[str, dict]) -> tuple[dict[str, str], dict[str, dict]]:
    """Return ({package: what is wrong with it}, what is known now) for what `seen` returned once.

    A file that was touched, or written anew with the same content, is not wrong; what is known now has its new stamp.
    Where nothing was touched, that is `known` itself.
    """
    found, wrong, now = packages(site), {}, known
    for folder, stamps in known.items():
        name = normal(folder.split("-")[0])
        here = found.get(name, [])
        newer_pip = name == "pip" and len(here) == 1 and here != [folder]      # welcome: no lesson needs another
        differing = _differing(os.path.join(site, ""), stamps) if here == [folder] else set()
        if not here:
            wrong[name] = "is missing"
        elif here != [folder] and not newer_pip:
            wrong[name] = f"is {' and '.join(map(version, here))} here, and the lessons need {version(folder)}"
        elif differing or newer_pip:
            problem = _damage(site, here[0], differing)
            if problem:
                wrong[name] = problem
            else:
                now = {**{other: of for other, of in now.items() if other != folder}, here[0]: _stamps(site, here[0])}
    return wrong, now


def damaged(site: Path, names) -> dict[str, str]:
    """Return {package: what is wrong with it} of those of these packages that are installed, by every file's size."""
    wrong = {name: f"is here as {' and as '.join(map(version, folders))}" if len(folders) > 1
             else _damage(site, folders[0], set()) for name, folders in packages(site).items() if name in names}
    return {name: problem for name, problem in wrong.items() if problem}


def _differing(base, stamps):
    """Return the paths below `base` (it ends in a separator) whose stamp is another one now."""
    return {path for path, stamp in stamps.items() if _stamp(base + path) != stamp}


def _stamp(path):
    """Return one number that changes with a file's time and with its size, -1 where there is no file."""
    try:
        status = os.stat(path)
    except OSError:
        return -1
    return status.st_mtime_ns + status.st_size


def _listed(site, folder):
    """Return (path, digest, size) of each file in RECORD that has a digest.  Raises OSError, ValueError, csv.Error."""
    with open(os.path.join(site, folder, RECORD), newline="", encoding="utf-8") as file:
        return [(path, digest, int(size)) for path, digest, size in csv.reader(file) if digest]


def _stamps(site, folder):
    """Return {path: stamp} of what is watched of a package."""
    record = f"{folder}/{RECORD}"
    files = [(path, size) for path, _, size in _listed(site, folder) if not UNWATCHED.search(path)]
    # "." and what lies outside are everybody's: a package that a student adds changes their times
    folders = {path.rpartition("/")[0] for path, _ in files if "/" in path and not path.startswith("..")}
    alone = {path for path, size in files
             if path.endswith(CODE) or ".so." in path or size >= LARGE or path.startswith("..") or "/" not in path}
    return {path: _stamp(os.path.join(site, path)) for path in sorted(folders | alone | {record})}


def _damage(site, folder, differing):
    """Compare a package with its RECORD: sizes, and the digests of what differs; return what is wrong first, or ""."""
    try:
        listed = _listed(site, folder)
    except (OSError, ValueError, csv.Error):
        return "has lost its list of files (RECORD)"
    for path, digest, size in listed:
        file = os.path.join(site, path)
        if not os.path.isfile(file):
            return f"lacks {path}"
        if os.path.getsize(file) != size:
            return f"has a damaged {path}"
        if not differing.isdisjoint((path, path.rpartition("/")[0])) and _digest(file, digest) != digest:
            return f"has a damaged {path}"
    return ""


def _digest(file, like):
    """Return a file's digest as RECORD writes it, of the same kind as another."""
    algorithm = like.partition("=")[0]
    with open(file, "rb") as content:
        digest = hashlib.file_digest(content, algorithm).digest()
    return f"{algorithm}={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def prepare_repair(site: Path, names) -> None:
    """Take away what keeps pip from installing these packages again.

    pip cannot uninstall by a .dist-info folder without RECORD, nor by two; nor mend itself, so all of it goes.
    """
    for name, folders in packages(site).items():
        if name in names and (name == "pip" or len(folders) > 1 or not (site / folders[0] / RECORD).is_file()):
            for folder in folders:
                shutil.rmtree(site / folder)
    if "pip" in names:
        shutil.rmtree(site / "pip", ignore_errors=True)


def sweep(site: Path) -> None:
    """Remove what a pip that was killed left: it moves files aside into folders whose names begin with ~."""
    for path in site.glob("~*"):
        shutil.rmtree(path, ignore_errors=True)
