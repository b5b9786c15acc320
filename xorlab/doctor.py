"""Can the lessons run on this computer, and if not, why?  `python3 lab.py doctor` prints what this finds.

Standard library only: it has to answer before anything is installed, and when everything is broken. So each look is
held on its own: one that fails is a line of the table, and no error. What is printed can be pasted into a question:
no name of a user, of a computer or of a folder stands in it.
"""
import contextlib
import ctypes
import importlib.util
import os
import platform
import re
import shutil
import socket
import ssl
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from xorlab import arriving, files, installed, installing
from xorlab.environment import has_avx2, processor_warning

OK, NOTE, WRONG = "ok", "note", "wrong"
SECONDS = 5             # for the package index to answer
LOADING = 120           # seconds at most for a part to load
PORT = 8888             # where Jupyter begins to look for a free one
LONGEST = 175           # characters of the longest path that pip writes below site-packages (TensorFlow's headers)
WINDOWS = 260           # characters of a path there, unless it is told to allow more
LEAST_MEMORY = 2        # GB: a lesson takes up to 1.1 (lesson 09), and the system and a browser the rest
BLANK = 0.5             # GB of disk for what lessons write, once all is installed
AGAIN = "python3 lab.py installs what is missing"
MODULES = {"ai-edge-litert": "ai_edge_litert.interpreter", "tflite-micro": "tflite_micro.python.tflite_micro.runtime"}
# What most often is installed and does not load: a library of the system is missing, a file of theirs is damaged.
LOADED = ["numpy", "matplotlib", "torch", "tensorflow", "onnx", "onnxruntime", "ai-edge-litert", "tflite-micro",
          "unicorn", "jupyterlab"]
PLATFORMS = {("linux", "x86_64"): "Linux x86-64", ("linux", "aarch64"): "Linux arm64",
             ("darwin", "arm64"): "macOS arm64", ("darwin", "x86_64"): "macOS x86-64",
             ("win32", "amd64"): "Windows x86-64", ("win32", "arm64"): "Windows arm64"}


@dataclass(frozen=True)
class Row:
    """What one look found.

    state : OK; NOTE, what the lessons can do without, or slower; WRONG, what they cannot.  do : what helps, or "".
    """
    what: str
    found: str
    state: str = OK
    do: str = ""


@dataclass(frozen=True)
class Place:
    """Where to look: the checkout, its environment, and the folder for what is private to it.

    online : ask the package index, too.
    """
    here: Path
    venv: Path
    private: Path
    online: bool = False
    cache: dict = field(default_factory=dict, compare=False)

    def once(self, look: Callable):
        """Return what a look at this place returns; each is done once."""
        if look not in self.cache:
            self.cache[look] = look(self)
        return self.cache[look]

    @property
    def python(self) -> Path:
        return self.venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


# What is looked at: each function takes a Place and returns a Row.

def _python(place):
    bits, kind = 64 if sys.maxsize > 2**32 else 32, platform.python_implementation()
    found = f"{platform.python_version()} ({kind}, {bits} bits)"
    if kind != "CPython" or bits != 64:
        return Row("Python", found, WRONG, "most parts have packages for CPython of 64 bits only: install one from "
                                           "python.org or your system's packages, and start lab.py with it")
    if not place.venv.is_dir() and any(importlib.util.find_spec(name) is None for name in ("venv", "ensurepip")):
        package = "python{}.{}-venv".format(*sys.version_info[:2])
        return Row("Python", f"{found}, and it can make no environments", WRONG,
                   f"install the rest of it: on Debian and Ubuntu sudo apt install {package}")
    return Row("Python", found)


def _system(place):
    release = {"darwin": platform.mac_ver()[0], "win32": platform.win32_ver()[1]}.get(
        sys.platform, " ".join(platform.libc_ver()))
    avx2 = {True: "AVX2", False: "no AVX2"}.get(has_avx2(), "")
    count = f"{os.cpu_count()} processors"
    found = ", ".join(filter(None, [f"{platform.system()} {platform.machine()}", release.strip(), count, avx2]))
    if sys.platform == "linux" and not release.strip():
        return Row("system", found, WRONG, "there is no glibc here (Alpine, say), and torch and TensorFlow need one: "
                                           "use another Linux, or a container of one")
    warning = processor_warning()
    return Row("system", found, NOTE if warning else OK, warning)


def _wheels(place):
    """Are there packages of everything for this system?  By what `python -m tools.pythons --resolve` recorded."""
    name = PLATFORMS.get((sys.platform, platform.machine().lower()))
    resolved = [row for row in files.read_record(place.here / "docs" / "pythons.json").get("resolved", ())
                if row["platform"] == name and row["python"] == "{}.{}".format(*sys.version_info[:2])]
    left_out = [requirement for requirement in requirements(place.here) if not requirement.applies]
    named = ", ".join(f"{one.name} ({one.use})" for one in left_out)
    if not resolved:
        return Row("wheels", f"not known for {name or platform.machine()} and this Python", NOTE,
                   "if pip finds no package of a part, use Linux x86-64 or arm64, macOS arm64 or Windows x86-64")
    lacks = resolved[0]["lacks"]
    if lacks:
        return Row("wheels", f"none for {name} of {', '.join(lacks)}", WRONG,
                   f"the lessons cannot be installed on {name}; Colab runs them: docs/colab.md")
    if left_out:
        return Row("wheels", f"for all parts but {', '.join(one.name for one in left_out)}", NOTE,
                   f"left out here: {named}. Its column is missing in tables, and its tests are skipped")
    return Row("wheels", "for all parts")


def _disk(place):
    free = shutil.disk_usage(place.here).free / 1e9
    whole = _whole(place)
    needed = BLANK if whole else files.read_record(place.here / "docs" / "figures.json").get("first start", {}).get(
        "values", {}).get("disk", 5)
    found = f"{free:.1f} GB free, {'lessons write' if whole else 'the set-up needs'} up to {needed:g}"
    return Row("disk", found, *(() if free >= needed else (WRONG, f"make room: {needed - free:.1f} GB more")))


def _memory(place):
    total, available = memory()
    if total is None:
        return Row("memory", "not told by this system", NOTE)
    found = f"{total:.1f} GB" + ("" if available is None else f", {available:.1f} free")
    if total < LEAST_MEMORY:
        return Row("memory", found, NOTE, f"less than {LEAST_MEMORY} GB: open one lesson at a time, and shut down the "
                                          "kernel of the last one")
    return Row("memory", found)


def _folder(place):
    length, spaces = len(str(place.here)), " and spaces" * (" " in str(place.here))
    found = f"its path has {length} characters{spaces}"
    for folder in (place.here, place.private, place.here / "work"):
        if folder.exists():
            try:
                tempfile.TemporaryFile(dir=folder).close()
            except OSError as error:
                name = "this folder" if folder == place.here else folder.name
                return Row("folder", f"{name} cannot be written to ({error.strerror or error})", WRONG,
                           "copy XOR Lab to where you may write, or let it belong to you")
    site = len(os.path.join("", ".venv", "Lib", "site-packages", ""))
    if os.name == "nt" and length + 1 + site + LONGEST >= WINDOWS and not _long_paths():
        return Row("folder", found, NOTE, f"Windows allows {WINDOWS} characters, and packages need up to "
                                          f"{site + LONGEST}: move this folder to a shorter path, C:\\xor-lab say")
    return Row("folder", f"can be written to; {found}")


def _port(place):
    taken = None
    for number in (PORT, 0):
        with socket.socket() as trial:
            if os.name != "nt":             # there it would let two programs have one port
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", number))
            except OSError as error:
                taken = error
            else:
                return Row("port", f"{PORT} is free" if number else f"{PORT} is taken; Jupyter takes the next free one")
    return Row("port", f"none can be had on 127.0.0.1 ({taken.strerror or taken})", WRONG,
               "Jupyter needs one: look into the settings of a firewall or a container")


def _venv(place):
    """Is everything there that was installed, and as it was?"""
    if minutes := arriving.minutes_left(place.venv):
        return Row(".venv", f"the first lessons can run; the rest arrives, about {minutes} min left", NOTE,
                   "a cell that comes too early says so: run it again then")
    if _being_set_up(place.private / "setup.lock"):
        return Row(".venv", "another lab.py is setting it up at this moment", WRONG, "wait for it, and ask again")
    site = place.once(_site)
    if site is None:
        return Row(".venv", "none yet", WRONG, "python3 lab.py makes it")
    if isinstance(site, str):
        return Row(".venv", site, WRONG, "python3 lab.py builds it anew")
    wrong = place.once(_problems)
    name = ".venv" if place.venv.is_dir() else "parts"
    if wrong:
        first = ", ".join(f"{part} {problem}" for part, problem in list(wrong.items())[:3])
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        return Row(name, f"{first}{more}", WRONG, AGAIN if place.venv.is_dir() else "install it again")
    return Row(name, f"{len(installed.packages(site))} packages, none missing or damaged")


def _whole(place):
    """Is nothing to be installed?"""
    with contextlib.suppress(Exception):        # its own row says what
        return place.once(_venv).state == OK
    return False


def _versions(place):
    """Which versions are not those that are known to work together?"""
    if not isinstance(place.once(_site), Path):
        return Row("versions", "none installed")
    others = place.once(_strangers)
    if not others:
        return Row("versions", "as in constraints.txt")
    state = WRONG if place.venv.is_dir() else NOTE
    return Row("versions", ", ".join(others[:4]) + (f", and {len(others) - 4} more" if len(others) > 4 else ""), state,
               "python3 lab.py brings those of constraints.txt" if state == WRONG else
               "other versions may give other numbers than the lessons show: constraints.txt has those that were tried")


def _loads(place):
    """Does each part that is installed load?  Each in a process of its own: one that crashes says so, too."""
    site = place.once(_site)
    if not isinstance(site, Path):
        return Row("loading", "nothing to load")
    here = installed.packages(site)
    names = [name for name in LOADED if name in here]
    python = str(place.python if place.venv.is_dir() else sys.executable)
    failed = {name: why for name in names if (why := _why_not_loaded(python, MODULES.get(name, name), place))}
    if not failed:
        return Row("loading", f"{len(names)} parts load")
    told = "; ".join(f"{name}: {why}" for name, why in failed.items())
    return Row("loading", told, WRONG, "what they say names what is missing; on Windows it often is Microsoft's Visual "
               "C++ Redistributable. If it is a file of theirs, delete the folder .venv, and start python3 lab.py")


def _slides(place):
    find = _chromium(place.here)
    if find is None:
        return Row("slides", "tools/chromium.py is missing", NOTE, "git checkout tools brings it back")
    if find() is None:
        return Row("slides", "no Chromium, Chrome or Edge", NOTE, "slides come as HTML only, no PDF, and tests that "
                   "need a browser are skipped: install Chromium or Chrome to have them")
    return Row("slides", "a browser is here to print them as PDF")


def _git(place):
    git = shutil.which("git")
    if git is None:
        return Row("git", "not found", NOTE, "only updates need it (git pull): git-scm.com has it")
    told = subprocess.run([git, "--version"], capture_output=True, text=True, errors="replace", timeout=SECONDS).stdout
    return Row("git", (re.findall(r"\d[\d.]*\d", told) or ["found"])[0])


def _network(place):
    """Does the package index answer?  Asked where something is to be installed, and with --online."""
    if not place.online and _whole(place):
        return Row("network", "not asked, since nothing is to be installed (--online asks)")
    address, name = index()
    problem = answer(address)
    if problem is None:
        return Row("network", f"{name} answers")
    return Row("network", f"{name}: {problem}", WRONG if not _whole(place) else NOTE,
               "only the set-up needs it: try another network, or ask who runs this one about a proxy (HTTPS_PROXY)")


CHECKS = {"Python": _python, "system": _system, "wheels": _wheels, "disk": _disk, "memory": _memory, "folder": _folder,
          "port": _port, ".venv": _venv, "versions": _versions, "loading": _loads, "slides": _slides, "git": _git,
          "network": _network}
SPARED = {"memory", "slides", "git", "network", "wheels"}       # the lessons run without an answer


def rows(place: Place) -> Iterator[Row]:
    """Yield what each look finds; one that fails is a row, too."""
    for name, look in CHECKS.items():
        try:
            yield place.once(look)
        except Exception as error:
            said = f"{type(error).__name__}: {files.first_line(error)}"
            yield Row(name, f"could not be looked at ({said})", NOTE if name in SPARED else WRONG)


def report(place: Place, found: Iterable[Row]) -> str:
    """Return the table, and what to do about each thing in it, without names of folders and users."""
    found = list(found)
    version = re.search(r'(?m)^version = "([^"\n]*)"', _text(place.here / "pyproject.toml"))
    lines = [f"XOR Lab {version[1] if version else '(no version)'}, {time.strftime('%Y-%m-%d')}", ""]
    lines += [f"{row.state:5}  {row.what:8}  {row.found}" for row in found]
    advice = [f"- {row.what}: {row.do}" for state in (WRONG, NOTE) for row in found if row.state == state and row.do]
    lines += ["", "The lessons can run." if runs(found) else "The lessons cannot run yet.", *advice]
    return without_names("\n".join(lines), place.here)


def runs(found: Iterable[Row]) -> bool:
    """Can the lessons run?"""
    return all(row.state != WRONG for row in found)


def without_names(text: str, here: Path) -> str:
    """Return a text with no folder's and no user's name, and in ASCII, so that it can be pasted anywhere."""
    homes = [os.path.expanduser("~"), os.environ.get("HOME", ""), os.environ.get("USERPROFILE", "")]
    for folder, sign in [(str(here), "."), *((home, "~") for home in homes)]:
        if len(folder) > 3:             # no "/", which stands in many a path
            text = text.replace(folder, sign)
    text = re.sub(r"(?i)(/home/|/users/|[a-z]:\\users\\)[^/\\\s'\",:;)]+", r"\1...", text)
    return text.encode("ascii", "backslashreplace").decode()


# What the looks ask for

@dataclass(frozen=True)
class Requirement:
    """A line of pyproject.toml's dependencies: its name, what the lessons need it for, is it meant for this system?"""
    name: str
    use: str
    applies: bool


def requirements(here: Path) -> list[Requirement]:
    """Return what the lessons need."""
    block = re.search(r"(?ms)^dependencies = \[\n(.*?)^\]", _text(here / "pyproject.toml"))
    lines = re.findall(r'(?m)^\s*"([\w.-]+)[^";]*(;[^"]*)?",\s*#\s*(.*)$', block[1] if block else "")
    return [Requirement(name.lower(), use.split(";")[0], _applies(marker)) for name, marker, use in lines]


def _applies(marker):
    """Is a marker of pyproject.toml true here?  They are comparisons for equality, joined by and."""
    values = {"sys_platform": sys.platform, "platform_machine": platform.machine()}
    return all(values[name] == value for name, value in re.findall(r"(\w+) == '([^']*)'", marker))


def _site(place):
    """Return the folder of the lessons' packages, a sentence where it is no use, or None where there is none."""
    if not place.venv.is_dir():
        own = Path(sysconfig.get_path("purelib"))           # conda, a container: what this Python has
        return own if {"torch", "jupyterlab"} <= set(installed.packages(own)) else None
    record = files.read_record(place.venv / installing.RECORD)
    if not (place.venv / "pyvenv.cfg").is_file() or not record:
        return "it is not a finished installation"
    if record.get("place") not in (None, installing.place(place.here)):
        return "this folder was moved or copied since it was made"
    try:
        told = subprocess.run([place.python, "-I", "-S", "-c", "import sys; print(*sys.version_info[:2], sep='.')"],
                              capture_output=True, text=True, errors="replace", timeout=LOADING).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        told = ""
    mine = "{}.{}".format(*sys.version_info[:2])
    if told != mine:
        return f"it has Python {told}, and this is {mine}" if told else "the Python in it does not start"
    return installed.site_packages(place.venv)


def _problems(place):
    """Return {package: what is wrong with it} of what should be installed."""
    site, here = place.once(_site), place.here
    missing = {one.name: f"is missing ({one.use})" for one in requirements(here)
               if one.applies and one.name not in installed.packages(site)}
    known = files.read_record(place.venv / installing.FILES)
    if "xorlab" not in installed.packages(site):
        missing["xorlab"] = "is missing"
    if known and all(isinstance(stamps, dict) for stamps in known.values()):
        missing = {**installed.changes(site, known)[0], **missing}
    return {**installed.damaged(site, {*_pins(here), "pip", "xorlab"}), **missing}


def _strangers(place):
    """Return a few words for each package in another version than constraints.txt has."""
    here = installed.packages(place.once(_site))
    wanted = {name: line.partition("==")[2] for name, line in _pins(place.here).items()}
    found = {name: installed.version(folders[-1]) for name, folders in here.items() if name in wanted}
    return [f"{name} {version}, not {wanted[name]}" for name, version in found.items()
            if version.partition("+")[0] != wanted[name]]


def _pins(here):
    """Return the lines of constraints.txt by package."""
    try:
        return installed.pins(here / "constraints.txt")
    except (OSError, ValueError):
        raise OSError("constraints.txt cannot be read; git checkout constraints.txt brings it back") from None


def _why_not_loaded(python, module, place):
    """Return why a module of a Python does not load, or "" where it does."""
    code = f"import xorlab, importlib; importlib.import_module({module!r})"
    variables = dict(os.environ, PYTHONIOENCODING="utf-8:backslashreplace", TF_CPP_MIN_LOG_LEVEL="3",
                     MPLCONFIGDIR=str(place.private / "matplotlib"), PYTHONDONTWRITEBYTECODE="1")
    try:
        done = subprocess.run([python, "-c", code], cwd=place.here, env=variables, capture_output=True, text=True,
                              encoding="utf-8", errors="replace", timeout=LOADING)
    except subprocess.TimeoutExpired:
        return f"does not load within {LOADING} seconds"
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    if done.returncode == 0:
        return ""
    return said[-1][:200] if said and done.returncode == 1 else f"ends its process (status {done.returncode})"


def memory() -> tuple[float | None, float | None]:
    """Return how many GB of memory there are, and are free; None for what the system does not tell."""
    if os.name == "nt":
        return _memory_of_windows()
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):          # a container's, which may have less than the computer
            total = min(total, int(Path(limit).read_text()) / 1e9)
    available = re.search(r"MemAvailable:\s+(\d+) kB", _text(Path("/proc/meminfo")))
    return total, min(total, int(available[1]) * 1024 / 1e9) if available else None


def _memory_of_windows():
    class Status(ctypes.Structure):     # MEMORYSTATUSEX of sysinfoapi.h
        _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong),
                    *((name, ctypes.c_ulonglong) for name in ("total", "free", "b", "c", "d", "e", "f"))]

    status = Status(length=ctypes.sizeof(Status))
    if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None, None
    return status.total / 1e9, status.free / 1e9


def _long_paths():
    """Does this Windows allow longer paths?"""
    import winreg  # here: only Windows has it

    with contextlib.suppress(OSError), winreg.OpenKey(
            winreg.HKEY_LOCAL_MACHINE, r"SYSTEM\CurrentControlSet\Control\FileSystem") as key:
        return winreg.QueryValueEx(key, "LongPathsEnabled")[0] == 1
    return False


def _being_set_up(path):
    """Does another process hold the lock of the set-up?"""
    try:
        with open(path, "r+b") as lock:
            files.take_lock(lock.fileno())
    except (BlockingIOError, PermissionError):
        return os.access(path, os.W_OK)         # and not only a file that may not be opened
    except OSError:
        return False
    return False


def index() -> tuple[str, str]:
    """Return the address of the package index that pip and uv would ask, and a name for it that can be pasted."""
    for name in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        if os.environ.get(name):
            return os.environ[name], "the package index of your settings"
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        told = subprocess.run([sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True,
                              text=True, errors="replace", timeout=SECONDS).stdout.strip()
        if told:
            return told, "the package index of your settings"
    return "https://pypi.org/simple/", "pypi.org"


def answer(address: str) -> str | None:
    """Return why a package index does not answer, or None where it does; within SECONDS, whatever the network does."""
    found = [f"no answer within {SECONDS} seconds"]

    def ask():
        parts = urllib.parse.urlsplit(address)
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()      # no password goes anywhere
        try:
            with urllib.request.urlopen(bare.rstrip("/") + "/pip/", timeout=SECONDS):
                found[0] = None
        except urllib.error.HTTPError:
            found[0] = None                     # it refuses, and it is there
        except urllib.error.URLError as error:
            unknown = isinstance(error.reason, ssl.SSLCertVerificationError)
            found[0] = ("its certificate is not known to this Python" if unknown else
                        getattr(error.reason, "strerror", None) or str(error.reason))
        except Exception as error:
            found[0] = type(error).__name__

    asking = threading.Thread(target=ask, daemon=True)      # the search for an address has no timeout of its own
    asking.start()
    asking.join(SECONDS)
    return found[0]


def _chromium(here):
    """Return tools.chromium's find, or None where there is none."""
    path = here / "tools" / "chromium.py"
    if not path.is_file():
        return None
    spec = importlib.util.spec_from_file_location("xorlab_doctor_chromium", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.find


def _text(path):
    """Return a file's text, "" where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def main(place: Place) -> int:
    """Print what is found, and return 0 if the lessons can run, 1 if not."""
    print("This takes some seconds: each part is loaded once.", file=sys.stderr, flush=True)
    found = list(rows(place))
    print(report(place, found))
    return 0 if runs(found) else 1
