"""Makes the environment that the lessons run in, completes it and repairs it.  Standard library only, for lab.py.

What goes in stands in lock.txt (tools/lock.py), in sections: `first` opens the lessons, `rest` is needed later, `test`
is for checks and tools. uv installs it where there is one, else pip: the same files, whose digests both compare. torch
alone comes by pip, before the rest and from an index of its own: pip's settings may name a place for it, and uv does
not read them. The environment variable XORLAB_INSTALLER, pip or uv, chooses.
"""
import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from xorlab import arriving, installed, processes
from xorlab.files import replacing

LOCK = "lock.txt"
RECORD = "xorlab-setup.json"        # in an environment, what it was made for
FILES = "xorlab-files.json"         # and what pip left in it: see xorlab.installed
FIRST, LESSONS, CHECKS = ("first",), ("first", "rest"), ("first", "rest", "test")     # sections of lock.txt
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CUDA = "cuda"                       # in the place of an index: torch from where pip is set to look
ANSWERS = 5                         # seconds that an index may take to answer
OLDEST_UV = (0, 5)
RATIO = {"pip": 1.2, "uv": 0.4}     # the time of `rest` over that of `first`; torch comes by pip either way
GUESS = 180                         # seconds that the rest takes where `first` was not timed
LATER = "tensorflow, keras, onnx2tf, sklearn.neural_network"      # what takes long to import for the first time


class Refused(OSError):
    """A sentence for the person at the terminal."""


@dataclass(frozen=True)
class Checkout:
    """Where lab.py is at work.

    here, private : the checkout, and its folder for what nobody looks at.
    variables : function from a Python to the environment variables for all that is started.
    say : prints a sentence.
    """
    here: Path
    private: Path
    variables: Callable[[str], dict[str, str]]
    say: Callable[[str], None]


class Venv:
    """An environment in a checkout.  A subclass says what goes in: sections, lists, watched, install, reinstall."""

    sections: tuple[str, ...]       # what can be installed, each once
    lists: tuple[str, ...]          # the files that say what

    def __init__(self, checkout: Checkout, name: str):
        self.checkout, self.folder = checkout, checkout.here / name
        self.python = str(self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
        self.site = installed.site_packages(self.folder)
        self.say, self.output = checkout.say, None          # None: what is started prints where lab.py does

    def built(self, sections: tuple[str, ...], torch_index: str | None = None) -> str:
        """Make the environment hold these sections, and what it held before, as far as it does not; return its Python.

        torch_index : the URL of a package index for torch, CUDA, or None for the one it came from before.
        Raises Refused where that fails.
        """
        if self._state(sections, torch_index)[-1] == {}:
            return self.python      # nothing is written: what is whole can be used where writing is not allowed
        with processes.alone(self.checkout.private / "setup.lock", "setting up", self.say):
            before, wanted, reason, wrong = self._state(sections, torch_index)
            if wrong == {}:
                return self.python  # another lab.py has done it meanwhile
            if reason:
                self.say(reason)
                self._build()
                before = dict(wanted, sections={})
            if wrong is None:
                wrong = self._completed(before, wanted)
            if not wrong or self._repaired(wrong, wanted):
                self._remember(wanted)
        return self.python

    def has(self, section: str) -> bool:
        """Was this section installed at some time?"""
        return bool(self._recorded().get("sections", {}).get(section))

    def _state(self, sections, torch_index):
        """Return (record, the one there should be, why to build anew, {package: what is wrong} or None if unknown)."""
        before = self._recorded()
        index = torch_index or before.get("torch_index")
        wanted = {"python": "{}.{}".format(*sys.version_info[:2]), "place": place(self.checkout.here),
                  "torch_index": index if isinstance(index, str) else None, "complete": True}
        reason = self._reason_to_build(before, wanted)
        had = {} if reason else before["sections"]
        now = digest(*(self.checkout.here / name for name in self.lists))
        # what was begun and not finished (None) waits for who needs it
        wanted["sections"] = {name: now if name in sections or had.get(name) else None
                              for name in self.sections if name in sections or name in had}
        return before, wanted, reason, self._changed() if before == wanted and not reason else None

    def _recorded(self):
        """Return the record, one of version 0.1 in today's shape."""
        record = read_json(self.folder / RECORD)
        if "packages" in record:
            record["sections"] = dict.fromkeys(self.sections, record.pop("packages"))
            record.setdefault("torch_index", None)
        return record if isinstance(record.get("sections"), dict) else {}

    def _reason_to_build(self, before, wanted):
        """Return why an environment must be built from nothing, or None where what is there can be used."""
        name = self.folder.name
        if not self.folder.exists():
            return f"Setting up: a Python environment in {name}, some minutes, only this once."
        if not before.get("complete"):
            return f"The {name} here is not a finished installation (interrupted, or made by hand): building anew."
        if before.get("place") != wanted["place"]:
            return f"This folder was moved or copied since {name} was made: building {name} anew."
        if before.get("python") != wanted["python"]:
            return f"{name} has Python {before.get('python')}, and this is {wanted['python']}: building it anew."
        if before.get("torch_index") != wanted["torch_index"]:
            return f"torch is to come from another index: building {name} anew."
        if not starts(self.python):
            return f"The Python in {name} no longer starts: building {name} anew."
        return None

    def _build(self):
        # Started from inside .venv, lab.py must not build with the very Python that --clear removes.
        python = getattr(sys, "_base_executable", sys.executable)
        if self.folder.is_symlink() or self.folder.is_file():
            self.folder.unlink()
        if self.run(python, "venv", "--clear", str(self.folder)) != 0:
            room = shutil.disk_usage(self.checkout.here).free // 2**20
            why = "for the reason above" if room > 100 else f"and the disk has {room} MB left"  # venv does not say that
            raise Refused(f"no environment could be made in {self.folder.name}, {why}; put that right and start again")

    def _changed(self):
        """Return {package: what is wrong with it}, or None where nothing tells what pip left."""
        known = read_json(self.folder / FILES)
        if not known or not all(isinstance(stamps, dict) for stamps in known.values()):
            return None
        wrong, now = installed.changes(self.site, known)
        if now is not known:
            with suppress(OSError):         # only so that the next start need not look as closely
                write_json(self.folder / FILES, now)
        return wrong

    def _completed(self, before, wanted):
        """Install what the record lacks; return {package: what is wrong with it} then."""
        now = wanted["sections"]
        missing = [name for name in now if now[name] and now[name] != before["sections"].get(name)]
        missing = missing or [name for name in now if now[name]]
        # A pip that is killed half-way leaves this record: the next start lets pip go on, and looks at every file.
        write_json(self.folder / RECORD, dict(wanted, sections={**now, **dict.fromkeys(missing)}))
        if not (self.site / "pip" / "__init__.py").is_file():
            self._renewed_pip()
        if not self.install(missing, wanted):
            # pip gives up (no network, say) before it changes anything: an earlier installation is still whole.
            write_json(self.folder / RECORD, before)
            raise Refused("the installation did not finish (the reason is above; often it is the network): give the "
                          "same command again, and it goes on with what is already downloaded")
        return installed.damaged(self.site, self.watched(wanted))

    def _remember(self, wanted):
        """Remove what pip left over; write down what it left in an environment, and what that was made for."""
        installed.sweep(self.site)
        write_json(self.folder / FILES, installed.seen(self.site, self.watched(wanted)))
        shutil.rmtree(self.checkout.private / "pip-cache", ignore_errors=True)
        write_json(self.folder / RECORD, wanted)        # last: after it nobody looks for what a kill left undone

    def _repaired(self, wrong, wanted):
        """Let what something is wrong with be installed again; say what, and return whether all is right now."""
        for name, what in wrong.items():
            self.say(f"{name} {what}: installing it again.")
        installed.prepare_repair(self.site, wrong)
        done = "pip" not in wrong or self._renewed_pip()
        done &= self.reinstall([name for name in wrong if name != "pip"], wanted)
        done = done and not installed.damaged(self.site, wrong)
        if not done:
            self.say(f"Not put right (the reason is above; often it is the network): {', '.join(sorted(wrong))}. What "
                     "needs that may fail; the next start tries again.")
        return done

    def _renewed_pip(self):
        """Put the pip into the environment that this Python brings along; return whether that succeeded."""
        installed.prepare_repair(self.site, ["pip"])
        return self.run(self.python, "ensurepip", "--default-pip") == 0

    def pip(self, *arguments: str) -> bool:
        """Let pip install something; return whether it succeeded."""
        quiet = ["--quiet"] if self.output else []
        # Python compiles a module at its first import; all of them would take a minute, and 366 MB
        return self.run(self.python, "pip", "--disable-pip-version-check", "--no-input", *quiet, "install",
                        "--no-compile", *arguments) == 0

    def run(self, python: str, module: str, *arguments: str) -> int:
        """Run a module of a Python, or a program, and return its exit status; it ends with lab.py however that ends."""
        cache = self.checkout.private / "pip-cache"
        shutil.rmtree(cache / "tmp", ignore_errors=True)    # a pip that was killed leaves gigabytes there
        (cache / "tmp").mkdir(parents=True)
        variables = dict(
            self.checkout.variables(python),
            RUSTUP_HOME=str(cache / "rustup"),              # pip asks rustc for its version, and it writes there
            TMPDIR=str(cache / "tmp"),
            UV_CACHE_DIR=str(cache / "uv"),
            UV_PYTHON_DOWNLOADS="never",
            PYTHONUTF8="1",                                 # a folder may have any letters, in every locale
        )
        return processes.run_to_its_end(python, module, arguments, self.checkout.here, variables, self.output)


class Lessons(Venv):
    """What the lessons, the checks and the tools run in."""

    sections, lists = CHECKS, ("pyproject.toml", LOCK)

    def __init__(self, checkout: Checkout, name: str):
        super().__init__(checkout, name)
        self.note, self.seconds = arriving.Note(self.folder), None

    def watched(self, wanted) -> set[str]:
        """Return the packages that are looked after: those that were installed, and not what a student adds."""
        lock, whole = self.lock(), [name for name, now in wanted["sections"].items() if now]
        return {"pip", "xorlab"}.union(*(lock.get(name, ()) for name in [*whole, "cuda", "torch"]))

    def lock(self) -> dict[str, dict[str, str]]:
        """Return {section: {package: its lines}} of lock.txt.  Raises Refused where that is damaged."""
        try:
            return read_lock((self.checkout.here / LOCK).read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            raise Refused(f"{LOCK} is damaged: bring it back, e.g. git checkout {LOCK}") from None

    def install(self, missing, wanted) -> bool:
        """Install sections and the package itself; return whether that succeeded."""
        what = {"first": "what opens the lessons", "rest": "what later lessons need", "test": "what checks need"}
        self.say(f"Installing {', '.join(what[name] for name in missing)} into {self.folder.name}.")
        began, lock = time.monotonic(), self.lock()
        entries = {name: text for section in missing for name, text in lock.get(section, {}).items()}
        done = "first" not in missing or self._torch(wanted)
        done = done and self._locked(dict(entries, **self._cuda(missing))) and self._what_torch_lacks(missing)
        done = done and ("first" not in missing or self._itself())
        self.seconds = time.monotonic() - began if missing == ["first"] else None
        return done

    def reinstall(self, names, wanted) -> bool:
        """Install packages again; return whether that succeeded."""
        lines = {name: text for section in self.lock().values() for name, text in section.items()}
        others = {name: lines[name] for name in names if name in lines and name != "torch"}
        done = "torch" not in names or self._torch(wanted, again=True)
        done &= not others or self._locked(others, again=True)
        return done and ("xorlab" not in names or self._itself(again=True))

    def _torch(self, wanted, again=False):
        """Install torch alone, in its exact version; it is the one package whose digest is not compared."""
        [line] = self.lock().get("torch", {}).values() or [None]
        if line is None:
            return True
        version = line.partition("==")[2]
        folders = installed.packages(self.site).get("torch", [])
        if [installed.version(folder).partition("+")[0] for folder in folders] == [version] and not again:
            return True
        index = wanted["torch_index"]
        if index is None and sys.platform.startswith("linux"):
            index = CPU_INDEX if answers(CPU_INDEX + "/torch/") else None
            if index is None:
                self.say(f"{CPU_INDEX} does not answer: torch comes from where pip is set to look, perhaps with CUDA.")
        place = ["--index-url", index] if index not in (None, CUDA) else []
        return self.pip("--no-deps", *(["--force-reinstall"] if again else []), *place, line)

    def _cuda(self, missing):
        """Return {package: its lines} of what the torch that came asks for beside what every torch does."""
        cuda = self.lock().get("cuda", {}) if "first" in missing else {}
        return cuda if set(cuda).intersection(asked_by_torch(self.site)) else {}

    def _what_torch_lacks(self, missing):
        """Let pip install what a torch of another index asks for in versions of its own: no list can know them."""
        asked = asked_by_torch(self.site) if "first" in missing else {}
        found = {name: [same(installed.version(folder)) for folder in folders]
                 for name, folders in installed.packages(self.site).items()}
        lacking = [line for name, line in asked.items() if not_met(line, found.get(name, []))]
        return not lacking or self.pip(*lacking)

    def _locked(self, entries, again=False):
        """Install packages by their lines of lock.txt, with uv or pip; both compare the digests."""
        if not entries:
            return True
        file = self.checkout.private / "pip-cache" / "wanted.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(entries.values()) + "\n", encoding="utf-8")
        return self._by_uv_or_pip(["--no-deps", "--require-hashes", "-r", str(file)], again)

    def _itself(self, again=False):
        """Install this project, as it lies here; what builds its entry is there already."""
        return self._by_uv_or_pip(["--no-deps", "--no-build-isolation", "-e", "."], again)

    def _by_uv_or_pip(self, arguments, again):
        uv = uv_for(os.environ)
        if uv:
            quiet = ["--quiet"] if self.output else []
            command = ["pip", "install", *quiet, "--python", self.python, *(["--reinstall"] if again else [])]
            if self.run(self.python, uv, *command, *arguments) == 0:
                return True
            self.say("uv did not manage that; pip tries.")
        return self.pip(*(["--force-reinstall"] if again else []), *arguments)

    def _remember(self, wanted):
        if wanted["sections"].get("rest"):
            self.note.remove()
        super()._remember(wanted)

    def rest_meanwhile(self) -> threading.Thread | None:
        """Install what is still missing for the lessons, beside whatever this process does; return who does it.

        It ends with this process: what a pip or uv has done by then is not lost.
        """
        if self.has("rest"):
            self.note.remove()          # a killed one may have left it
            return None
        worker = threading.Thread(target=self._rest, name="the rest", daemon=True)
        worker.start()
        return worker

    def _rest(self):
        seconds = self.seconds * RATIO["uv" if uv_for(os.environ) else "pip"] if self.seconds else GUESS
        end, done = time.monotonic() + seconds, threading.Event()
        self.note.write(seconds)
        threading.Thread(target=self._tell, args=(end, done), daemon=True).start()
        log, say = self.checkout.private / "setup.log", self.say
        try:
            with log.open("w", encoding="utf-8") as self.output:
                self.say = lambda sentence: print(sentence, file=self.output, flush=True)
                self.built(LESSONS)
            if not self.has("rest"):
                raise Refused("something could not be put right")
            say("Every package is here now.")
        except OSError:
            self.note.give_up()
            say(f"Some packages could not be installed; {log.relative_to(self.checkout.here)} says why (often it is "
                "the network). What is here is enough for the first lessons; the next start of lab.py goes on.")
        finally:
            done.set()
        if self.has("rest"):
            self._compiled()

    def _compiled(self):
        """Import once what later lessons do: Python compiles it then, and no cell has to wait for that."""
        variables = self.checkout.variables(self.python)
        processes.run_to_its_end(self.python, "timeit", ["-n1", "-r1", f"import {LATER}"], self.checkout.here,
                                 variables, subprocess.DEVNULL)

    def _tell(self, end, done):
        """Say how long it takes, every minute, and show every few seconds that somebody is at work."""
        say, spoken = self.checkout.say, None
        while not done.is_set():
            minutes = max(1, math.ceil((end - time.monotonic()) / 60))
            if minutes != spoken:
                say(f"The packages of later lessons arrive meanwhile: about {minutes} min left.")
            spoken = minutes
            self.note.touch()
            done.wait(5)


class Tosa(Venv):
    """Arm's TOSA reference model and its converter, which ask for another NumPy than the lessons."""

    sections, lists = ("tosa",), ("constraints-tosa.txt",)

    def watched(self, wanted) -> set[str]:
        """Return the packages that are looked after."""
        return {"pip", *self.pins()}

    def pins(self):
        return installed.pins(self.checkout.here / self.lists[0])

    def install(self, missing, wanted) -> bool:
        """Install what runs TOSA graphs and what makes them of TFLite files; return whether that succeeded."""
        self.say(f"Installing Arm's TOSA reference model into {self.folder.name}.")
        return self.pip("-c", self.lists[0], "tosa-tools", "tosa-converter-for-tflite")

    def reinstall(self, names, wanted) -> bool:
        """Install packages again; return whether that succeeded."""
        lines = self.pins()
        again = [lines[name] for name in names if name in lines]
        return not again or self.pip("--no-deps", "--force-reinstall", *again)


def read_lock(text: str) -> dict[str, dict[str, str]]:
    """Return {section: {package: its lines}} of the text of lock.txt."""
    sections, entries, entry = {}, {}, None
    for line in text.splitlines():
        if line.startswith("## "):
            entries = sections.setdefault(line[3:].partition(":")[0], {})
        elif line.startswith(" ") and entry:
            entries[entry] += "\n" + line
        elif "==" in line and not line.startswith("#"):
            entry = installed.normal(line.partition("==")[0])
            entries[entry] = line
    return sections


def asked_by_torch(site: Path) -> dict[str, str]:
    """Return {package: the requirement} of what the installed torch asks for on this system, extras left out."""
    asked = {}
    for folder in installed.packages(site).get("torch", []):
        with suppress(OSError):
            for line in (site / folder / "METADATA").read_text(encoding="utf-8", errors="replace").splitlines():
                name, _, wanted = line.partition(": ")
                if name == "Requires-Dist" and "extra ==" not in wanted:
                    asked[installed.normal(re.match(r"[\w.-]*", wanted).group())] = wanted
    return asked


def not_met(requirement: str, versions: list[str]) -> bool:
    """Does a requirement ask for an exact version that is not there?  versions : as `same` makes them.

    >>> not_met('nvidia-nccl-cu13==2.29.7; platform_system == "Linux"', ["2.29.7"])
    False
    """
    exact = re.search(r"==\s*([\w.]+)", requirement.partition(";")[0])
    return bool(exact) and same(exact.group(1)) not in versions


def same(version: str) -> str:
    """Return one writing for versions that are equal: 13.0.3 is 13.0.3.0, and what stands after + names a build."""
    return re.sub(r"(\.0)+$", "", version.partition("+")[0])


def uv_for(variables) -> str | None:
    """Return the path of the uv to install with, None where it is to be pip.

    variables : the environment; XORLAB_INSTALLER chooses, else it is uv where one is new enough.
    Raises Refused, in one sentence, for another choice, and where uv is chosen and not there.
    """
    choice = variables.get("XORLAB_INSTALLER", "")
    if choice not in ("", "pip", "uv"):
        raise Refused(f"XORLAB_INSTALLER may be pip or uv, got {choice!r}")
    path = None if choice == "pip" else shutil.which("uv", path=variables.get("PATH"))
    if path and version_of_uv(path) >= OLDEST_UV:
        return os.path.abspath(path)
    if choice == "uv":
        raise Refused("XORLAB_INSTALLER is uv, and there is none of version {}.{} or newer on the PATH: install it, or "
                      "leave the choice to lab.py".format(*OLDEST_UV))
    return None


def version_of_uv(path: str) -> tuple[int, ...]:
    """Return the version of a uv, () where it says none."""
    with suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20).stdout
        if found := re.match(r"uv (\d+)\.(\d+)", said):
            return tuple(map(int, found.groups()))
    return ()


def answers(url: str) -> bool:
    """Does a server answer within a few seconds?  Looking up its name may take longer than any timeout."""
    said = []

    def ask():
        with suppress(OSError, ValueError), urllib.request.urlopen(url, timeout=ANSWERS) as answer:
            said.append(answer.status == 200)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(ANSWERS)
    return said == [True]


def starts(python: str) -> bool:
    """Is there a Python that starts, and an environment that it is of?  (What it imports is asked elsewhere.)"""
    if not (Path(python).parent.parent / "pyvenv.cfg").is_file():
        return False
    try:
        return subprocess.call([python, "-I", "-S", "-c", ""], stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def place(folder: Path) -> str:
    """Return a folder's name in a form that is the same in every locale."""
    return os.fsencode(str(folder)).decode("utf-8", "surrogateescape")


def digest(*paths: Path) -> str:
    """Return a digest of what files of the checkout hold.  Raises Refused, in one sentence, where one is missing."""
    try:
        return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()
    except FileNotFoundError as error:
        name = Path(error.filename).name
        raise Refused(f"{name} is missing, and XOR Lab needs it: bring it back, e.g. git checkout {name}") from None


def read_json(path: Path) -> dict:
    """Return what the file holds, or {} where it is missing or damaged.  Raises OSError where it may not be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as made:
        made.write_bytes(json.dumps(content, indent=1).encode())
