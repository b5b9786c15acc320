"""Every lesson again where something around it is changed: it must show what is stored."""
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from numpy._core._multiarray_umath import __cpu_dispatch__ as NUMPY_FEATURES  # their names change with NumPy's version

import lab
from tools.trust.part import ROOT, Part
from xorlab.tables import Table

NUMPY_AVX512 = [name for name in NUMPY_FEATURES if name.startswith(("AVX512", "X86_V4"))]
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && cd "$0" && exec "$@"'
ITS_OWN = {".git", ".venv", ".venv-tosa", ".lab", "work", "build", "slides", "html", "course"}     # of this checkout


@dataclass(frozen=True)
class Condition:
    """One thing that is changed around a lesson.

    name : what it is, as a table says it.
    proof : an expression over the names of proofs.py, true in a kernel where it is in force, and false elsewhere.
    variables : of the environment; None takes one away, and {beside} is an empty folder beside the checkout.
    wrapper : a command that runs another one in the changed place; {checkout} is the checkout.
    folder : the name of the folder that the checkout stands in.
    possible : an expression as proof, true where the computer can have that at all.
    """
    name: str
    proof: str
    variables: dict = field(default_factory=dict)
    wrapper: tuple = ()
    folder: str = ""
    possible: str = "True"


def threads(count):
    # MKL takes no more threads than the computer has cores unless told to
    return Condition(
        f"{count} thread{'s' if count > 1 else ''}", f"torch_threads() == tensorflow_threads() == {count}",
        {"OMP_NUM_THREADS": str(count), "MKL_DYNAMIC": "FALSE", "TF_NUM_INTRAOP_THREADS": str(count),
         "TF_NUM_INTEROP_THREADS": str(count)}, possible="sys.platform == 'linux'")


def numpy_without(name, features):
    return Condition(f"NumPy without {name}", f"not numpy_takes() & {set(features)}",
                     {"NPY_DISABLE_CPU_FEATURES": " ".join(features)}, possible=f"ON_X86 and {bool(features)}")


def onednn(isa, said):
    # left to itself, TensorFlow takes oneDNN on some CPUs only
    return Condition(f"TensorFlow with oneDNN, held to {said}", f"tensorflow_takes_onednn() and onednn() == '{said}'",
                     {"TF_ENABLE_ONEDNN_OPTS": "1", "ONEDNN_MAX_CPU_ISA": isa}, possible="ON_LINUX_X86")


# A run of all lessons has several of them at once, of kinds that cannot hide each other: no two work on the same code,
# or on the same place. Letters beyond ASCII in a path, and a locale without any, would meet, so they are apart.
RUNS = {
    "elsewhere": (
        Condition("a path with spaces and letters beyond ASCII", "not str(here()).isascii() and ' ' in str(here())",
                  folder="XOR Übung 練習"),
        Condition("umask 077", "new_files_are_mine_alone()",
                  wrapper=("sh", "-c", 'umask 077; exec "$0" "$@"'), possible="os.name == 'posix'"),
        Condition("another time zone", "minutes_from_greenwich() == 345", {"TZ": "NPT-5:45"},
                  possible="os.name == 'posix'"),
        Condition("hashes of strings that nothing makes random", "not sys.flags.hash_randomization",
                  {"PYTHONHASHSEED": "0"}),
        Condition("TensorFlow without oneDNN", "not tensorflow_takes_onednn()", {"TF_ENABLE_ONEDNN_OPTS": "0"},
                  possible="ON_LINUX_X86"),
        threads(1),
    ),
    "lowest": (
        Condition("PyTorch's code for any CPU", "torch_path() == 'DEFAULT'", {"ATEN_CPU_CAPABILITY": "default"},
                  possible="ON_X86"),
        Condition("MKL's code for any CPU", "mkl() == COMPATIBLE", {"MKL_CBWR": "COMPATIBLE"},
                  possible="mkl() is not None"),
        numpy_without("AVX2 and AVX-512", NUMPY_FEATURES),
        onednn("SSE41", "Intel SSE4.1"),
    ),
    "avx2": (
        Condition("PyTorch's code for AVX2", "torch_path() == 'AVX2'", {"ATEN_CPU_CAPABILITY": "avx2"},
                  possible="ON_X86"),
        Condition("MKL held to AVX2", "mkl() == AVX2", {"MKL_CBWR": "AVX2"},
                  possible="ON_INTEL and mkl() is not None"),
        numpy_without("AVX-512", NUMPY_AVX512),
        onednn("AVX2", "Intel AVX2"),
        threads(2),
    ),
    "shut": (
        Condition("a checkout that nothing can be written to", "not can_write(here()) and not can_write(Path.cwd())",
                  {"XORLAB_BUILD": "{beside}", "ZIG_GLOBAL_CACHE_DIR": None, "ZIG_LOCAL_CACHE_DIR": None},
                  ("unshare", "-rm", "sh", "-c", READ_ONLY, "{checkout}"), possible="sys.platform == 'linux'"),
        Condition("no network interface, not even the computer's own", "not has_network()",
                  wrapper=("unshare", "-rn"), possible="sys.platform == 'linux'"),
        Condition("locale C, and no UTF-8 unless asked for", "code_of_bytes() == 'ascii'",
                  {"LC_ALL": "C", "PYTHONUTF8": "0"}, possible="os.name == 'posix'"),
        threads(4),
    ),
}
CHANGES = "changes"
UNTOUCHED = "untouched"
# Not tried: there training takes other code, and ends at other numbers; what the lessons expect of them holds.
ELSEWHERE = {"lowest-03", "lowest-09"}
TOUCHED = {name for run in RUNS.values() for condition in run for name in condition.variables}


class Place:
    """A copy of this checkout in a folder of its own, with conditions around it."""

    def __init__(self, conditions: tuple[Condition, ...], folder: Path):
        named = next((condition.folder for condition in conditions if condition.folder), "xorlab")
        self.checkout, beside = folder / named, folder / "beside"
        shutil.copytree(ROOT, self.checkout, ignore=not_copied)
        beside.mkdir()
        # through a link, so that the packages are loaded from a path such as the checkout's
        environment = self.checkout / ".venv"
        self.python = Path(sys.executable)
        if os.name == "posix" and self.python.is_relative_to(sys.prefix):
            environment.symlink_to(sys.prefix, target_is_directory=True)
            self.python = environment / self.python.relative_to(sys.prefix)
        names = {"checkout": self.checkout, "beside": beside}
        self.variables = untouched() | {"PYTHONPATH": str(self.checkout)}
        for name, value in [pair for condition in conditions for pair in condition.variables.items()]:
            self.variables.pop(name, None)
            if value is not None:
                self.variables[name] = value.format(**names)
        self.wrapper = [part for condition in conditions for part in filled(condition.wrapper, **names)]

    def run(self, *command: str, text: str = "") -> subprocess.CompletedProcess:
        return subprocess.run([*self.wrapper, *command], input=text, capture_output=True, encoding="utf-8",
                              cwd=self.checkout, env=self.variables)

    def rerun(self, *lesson: str, text: str = "") -> str:
        """Run a lesson, or code, as rerun.py does; return its last line.  Raises RuntimeError if it fails."""
        done = self.run(str(self.python), "-m", "tools.trust.rerun", *lesson, text=text)
        if done.returncode:
            raise RuntimeError((done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1])
        return done.stdout.strip().splitlines()[-1]


def not_copied(folder: str, names: list[str]) -> set[str]:
    caches = {name for name in names if name.endswith(("cache", "__pycache__")) or name == ".ipynb_checkpoints"}
    return caches | (ITS_OWN & set(names) if Path(folder) == ROOT else {"build"} & set(names))


def untouched() -> dict[str, str]:
    """Return the environment of the checks, without what conditions set; the C compiler's cache is this checkout's."""
    variables = {name: value for name, value in os.environ.items() if name not in TOUCHED or name.startswith("ZIG_")}
    for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"):
        variables.setdefault(name, str(ROOT / "build" / "zig"))
    return variables | lab.CHECK_SETTINGS


@contextlib.contextmanager
def placed(conditions: tuple[Condition, ...]) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="xorlab-", ignore_cleanup_errors=True) as folder:
        yield Place(conditions, Path(folder))


def in_force(place: Place, conditions: tuple[Condition, ...]) -> dict[str, bool | None]:
    """Return for each condition, by name: is it in force in a kernel of this place, or None where it can't be?"""
    questions = {condition.name: (condition.possible, condition.proof) for condition in conditions}
    code = f"from tools.trust import proofs\nprint(proofs.told({ascii(questions)}))"
    return json.loads(place.rerun(text=code))


def without_impossible(conditions: tuple[Condition, ...]) -> tuple[tuple[Condition, ...], dict[str, str]]:
    """Return the conditions whose wrappers run here, and {name: reason} of the others."""
    reasons = {condition.name: why_not(condition.wrapper) for condition in conditions if condition.wrapper}
    left_out = {name: reason for name, reason in reasons.items() if reason}
    return tuple(condition for condition in conditions if condition.name not in left_out), left_out


def why_not(wrapper: tuple[str, ...]) -> str:
    """Return why a wrapper runs nothing here, or ""."""
    with tempfile.TemporaryDirectory() as folder:
        command = filled(wrapper, checkout=folder)
        try:
            done = subprocess.run([*command, sys.executable, "-c", ""], capture_output=True, encoding="utf-8")
        except OSError as error:
            return str(error)
    return done.returncode and (done.stderr.strip() or f"exit status {done.returncode}") or ""


def filled(wrapper: tuple[str, ...], **names) -> list[str]:
    return [part.format(**names) if part.startswith("{") else part for part in wrapper]


def tried(run: str, lessons: list[str]) -> Iterator[dict]:
    """Run lessons with the conditions of a run; yield a row for each."""
    conditions, left_out, problem = had(RUNS[run])
    with placed(conditions) as place:
        for lesson in lessons:
            found = {"cells": 0, "differ": [problem]} if problem else outcome(place, lesson)
            said = "; ".join(found["differ"][:2])
            if found["differ"] and not problem:
                said += f" ({len(found['differ'])} in all; {guilty(conditions, lesson)})"
            yield {"name": f"{run}-{lesson}", "problem": said, "cells": found["cells"],
                   "changed": [condition.name for condition in conditions], "left out": left_out}


def had(conditions: tuple[Condition, ...]) -> tuple[tuple[Condition, ...], dict[str, str], str]:
    """Return the conditions that this computer can have, {name: reason} of the others, and what is not in force."""
    conditions, left_out = without_impossible(conditions)
    with placed(conditions) as place:
        try:
            force = in_force(place, conditions)
        except RuntimeError as error:
            return conditions, left_out, f"no kernel ran: {error}"
    left_out |= {name: "this computer can't" for name, answer in force.items() if answer is None}
    missing = [f"{name}: not in force, so nothing was tried" for name, answer in force.items() if answer is False]
    kept = tuple(condition for condition in conditions if condition.name not in left_out)
    return kept, left_out, "; ".join(missing)


def outcome(place: Place, lesson: str) -> dict:
    try:
        return json.loads(place.rerun(lesson))
    except RuntimeError as error:
        return {"cells": 0, "differ": [f"no kernel ran: {error}"]}


def guilty(conditions: tuple[Condition, ...], lesson: str) -> str:
    """Return which condition alone makes a lesson differ, as words."""
    for alone in ((), *((condition,) for condition in conditions)):
        with placed(alone) as place:
            if outcome(place, lesson)["differ"]:
                return f"so it does with {alone[0].name} alone" if alone else "so it does with nothing changed"
    return "no change alone does that"


def changed(lessons: list[str]) -> Iterator[dict]:
    """Run lessons with the changes that a student would try; yield a row for each lesson."""
    with placed(()) as place:
        for lesson in lessons:
            done = place.run(str(place.python), "-m", "tools.tinker", lesson)
            variants = [line for line in done.stdout.splitlines() if line.startswith(f"{lesson}, ")]
            wrong = [line for line in variants if not line.endswith(": runs")]
            if done.returncode and not wrong:
                wrong = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
            yield {"name": f"{CHANGES}-{lesson}", "problem": "; ".join(wrong), "variants": len(variants)}


def unanswered(lessons: list[str]) -> Iterator[dict]:
    """Run students' editions of lessons as nobody has answered them; yield a row for each."""
    with placed(()) as place:
        for lesson in lessons:
            done = place.run(str(place.python), "-m", "tools.untouched", lesson)
            wrong = done.stdout.splitlines()
            if done.returncode and not wrong:
                wrong = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
            yield {"name": f"{UNTOUCHED}-{lesson}", "problem": "; ".join(wrong)[:400]}


def names() -> list[str]:
    lessons = [path.name[:2] for path in lab.lessons()]
    every = [f"{run}-{lesson}" for run in (*RUNS, CHANGES, UNTOUCHED) for lesson in lessons]
    return [name for name in every if name not in ELSEWHERE]


def run(chosen: list[str]) -> Iterator[dict]:
    """Run trials and yield their rows; a table of them is printed at the end."""
    rows, special = [], {CHANGES: changed, UNTOUCHED: unanswered}
    for name, group in itertools.groupby((trial.split("-") for trial in chosen), key=lambda parts: parts[0]):
        lessons = [lesson for _, lesson in group]
        for row in special[name](lessons) if name in special else tried(name, lessons):
            rows.append(row)
            yield row
    print(table(rows))


def table(rows: list[dict]) -> Table:
    """Return a table of rows: lessons down, runs across."""
    held = {tuple(row["name"].split("-")): "differs" if row["problem"] else "held" for row in rows}
    runs, lessons = (list(dict.fromkeys(part)) for part in zip(*held, strict=True))
    body = tuple((lesson, *(held.get((name, lesson), "-") for name in runs)) for lesson in lessons)
    notes = [f"{name}: {', '.join(condition.name for condition in RUNS[name])}." for name in runs if name in RUNS]
    return Table(("lesson", *runs), body, tuple(notes), left=tuple(range(len(runs) + 1)))


def figures(rows: list[dict]) -> str:
    again = [row for row in rows if "cells" in row]
    conditions = {name for row in again for name in row["changed"]}
    left_out = {name: reason for row in again for name, reason in row["left out"].items()}
    alone = sum(row["name"].startswith(UNTOUCHED) for row in rows)
    said = (f"{len(again)} runs of lessons, {sum(row['cells'] for row in again):,} cells compared under "
            f"{len(conditions)} conditions, {sum(row.get('variants', 0) for row in rows)} changed lessons, and {alone} "
            "lessons without an answer: "
            f"{sum(bool(row['problem']) for row in rows)} problems.")
    return said + "".join(f" Left out: {name} ({reason})." for name, reason in left_out.items())


def told(conditions) -> str:
    return "; ".join(condition.name for condition in conditions)


PROMISE = f"""\
Run a lesson and you see what is stored in it, on an x86-64 CPU with AVX2 and with the versions in `constraints.txt`.
Texts and tables are the same in the eyes of the check that CI makes, which passes over durations and addresses in
memory. A number after `~` comes from live training: it's near the stored one, and the lesson itself holds its range.
Pictures look the same, and are described the same, but for the last bits of such training (`tools/likeness.py` says
how far either may be off).
All of that holds on a computer that isn't set up like ours, too. A run goes through all lessons with these changes:

{chr(10).join(f"- *{name}:* {told(conditions)}." for name, conditions in RUNS.items())}

Each change is first asked for in a lesson's kernel: one that isn't in force is a problem, and one that a computer can't
have is left out by name. Some are what a computer does anyway, such as AVX2 where there is no AVX-512. If a lesson
differs, it runs again with each change alone, to name the one to blame. The lessons also run with what a student would
try (`tools/tinker.py`), and none of that ends in an error without a sentence of ours. And each runs by itself as a
student has it who answers nothing, where the checks run it once for both (`tools/untouched.py`).

Where it ends: with PyTorch's code for any CPU, lessons 03 and 09 show a number after `~` that is farther off (one of
5e-06, say); what they expect of their numbers holds there too. Not tried: ARM, GPUs, and Windows or macOS, where the
checks run without these changes."""

PART = Part("outputs", "The same outputs", PROMISE, names, run, figures)
