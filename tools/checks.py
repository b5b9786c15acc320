"""What `python3 lab.py test` checks, counted: `python -m tools.checks` writes tests/checks.json.

A check that is left out, or a range that is widened, changes a line there, for a reviewer to see. conftest.py stops a
run of everything that lacks something of it, and tests/test_guards.py holds it to what there is.
"""
import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import lab
from tools import chromium
from xorlab import installing
from xorlab.files import replacing
from xorlab.streams import ended

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "tests" / "checks.json"
TIMES = ROOT / "tests" / "seconds.json"     # of files, as python3 lab.py test --note-seconds [FILE ...] notes them
QUICK = 45          # seconds of tests, two cores' together, that --quick runs
ABOUT = re.compile(r"~-?\d")
NEEDS = {"--nbval": "nbval", "--nbval-current-env": "nbval_current_env"}
SECONDS = 180       # at most, for a cell of a lesson
CPU_PATH = {"ATEN_CPU_CAPABILITY": "avx2"}      # of a lesson's kernel: there it promises its numbers


def lacks(*modules: str) -> Callable[[], bool]:
    """Return a question: is one of these packages missing?"""
    return lambda: any(importlib.util.find_spec(module) is None for module in modules)


def _gpu():
    import torch  # here: only a test of races skips for it, and has torch by then

    return torch.cuda.is_available()


# Why a test may be skipped, and when that is so. Any other skip fails, in conftest.py.
SKIPS: dict[str, Callable[[], bool]] = {
    "no Chromium or Chrome on this machine": lambda: chromium.find() is None,
    "no TFLite Micro here": lacks("tflite_micro"),
    "TFLite Micro's wheel is for Linux x86-64 only": lacks("tflite_micro"),
    "TFLite Micro's package is for Linux": lacks("tflite_micro"),
    "it has no package for this system": lacks("tflite_micro"),
    "the page shows TFLite Micro too": lacks("tflite_micro"),
    "no C compiler here": lacks("ziglang"),
    "no uv here": lambda: installing.uv_for({"PATH": os.environ.get("PATH", "")}) is None,
    "elsewhere pip's torch is for the CPU": lambda: not sys.platform.startswith("linux"),
    "no emulator here": lacks("unicorn"),
    "Playwright brings the Node that runs the playground's JavaScript": lacks("playwright"),
    "no TOSA reference model here; python3 lab.py test --with tosa installs it and runs this":
        lambda: not os.environ.get("XORLAB_TOSA_PYTHON"),
    "lesson 02 stands for all; --all grades every lesson, and whole": lambda: True,
    "no folder of files: --files names one": lambda: True,
    "there is triton here": lambda: not lacks("triton")(),
    "there is no triton here": lacks("triton"),
    "there is a GPU here": _gpu,
    "no GPU here": lambda: not _gpu(),
    "users share no temporary folder here": lambda: not hasattr(os, "getuid"),
    "no fork here": lambda: not hasattr(os, "fork"),
    "only Linux limits what a process may map": lambda: sys.platform != "linux",
    "needs /proc": lambda: not os.path.isdir("/proc/self/fd"),
}


def may_skip(reason: str) -> bool:
    """Is this a reason for which a test is skipped on this machine?"""
    if missing := re.match(r"could not import '(\w+)", reason):
        return lacks(missing[1])()
    return reason in SKIPS and SKIPS[reason]()


def lax(options) -> list[str]:
    """Return what makes a run (its parsed options) hold lessons to less than all of their outputs and expectations."""
    found = [f"{name} is not set" for name, key in NEEDS.items() if not getattr(options, key, False)]
    if getattr(options, "nbval_lax", False):
        found.append("--nbval-lax is set")
    if getattr(options, "nbval_cell_timeout", 0) > SECONDS:
        found.append(f"--nbval-cell-timeout is over {SECONDS}")
    if getattr(options, "nbval_sanitize_with", None) != str(ROOT / "tests" / "nbval_sanitize.cfg"):
        found.append("--nbval-sanitize-with is not tests/nbval_sanitize.cfg")
    if os.environ.get("XORLAB_CHECK") != "1":
        found.append("XORLAB_CHECK is not 1")
    return found


def absent(ids: Iterable[str], record: dict) -> list[str]:
    """Return what a run of everything should have collected, by the record, and did not, of these ids."""
    ids = [identifier.replace("\\", "/") for identifier in ids]
    files = Counter(identifier.split("::")[0] for identifier in ids)
    lessons = [(f"notebooks/{name}", counts["cells"]) for name, counts in record["lessons"].items()]
    # some are made for each runtime that there is
    tests = [(f"tests/{name}", 1 if lacks("tflite_micro")() else counts["collected"])
             for name, counts in record["tests"].items()]
    lessons += [(f"notebooks/{path.name}", 1) for path in lab.lessons() if path.name not in record["lessons"]]
    return [f"{name} has {files[name]} checks, not {least}" for name, least in [*lessons, *tests]
            if files[name] < least]


def read() -> dict:
    """Return the record."""
    return json.loads(RECORD.read_text(encoding="utf-8"))


def seconds() -> dict[str, float]:
    """Return how long the tests of each file take, e.g. {"tests/test_data.py": 1.5}."""
    return json.loads(TIMES.read_text(encoding="utf-8"))


def quick(times: dict[str, float]) -> list[str]:
    """Return the files of tests, no lessons, that take least and together at most QUICK seconds."""
    chosen, left = [], QUICK
    for name in sorted((name for name in times if name.startswith("tests/")), key=times.get):
        left -= times[name]
        if left >= 0:
            chosen.append(name)
    return chosen


def note(times: dict[str, float]) -> None:
    """Write how long the tests of some files take beside what is known of the others that there still are."""
    known = {name: time for name, time in (seconds() | times).items() if (ROOT / name).exists()}
    with replacing(TIMES) as made:
        made.write_text(json.dumps(known, indent=0, sort_keys=True) + "\n", encoding="utf-8")


def counted() -> dict:
    """Return what there is now, as in the record, without the numbers of collected checks."""
    return {"tests": {path.name: tests_of(path) for path in sorted((ROOT / "tests").glob("test_*.py"))},
            "lessons": {path.name: lesson_of(path) for path in lab.lessons()},
            "expectations": [line for path in lab.lessons() for line in expectations(path)]}


def tests_of(path: Path) -> dict[str, int]:
    """Return how many tests and assertions stand in a Python file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {"tests": sum(name.startswith("test_") for name in names), "assertions": sum(map(asserts, ast.walk(tree)))}


def asserts(node: ast.AST) -> bool:
    """Is this node of a test an assertion: assert, or a call of pytest.raises, pytest.fail or assert_... of NumPy?"""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        of_pytest = isinstance(node.func.value, ast.Name) and node.func.value.id == "pytest"
        return of_pytest and node.func.attr in ("raises", "fail") or node.func.attr.startswith("assert_")
    return isinstance(node, ast.Assert)


def lesson_of(path: Path) -> dict:
    """Return how many cells and pictures of a lesson are checked, how many numbers are marked by ~, and what is not.

    measured : the ids of the cells whose pictures are not compared.
    """
    code = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in code for output in cell["outputs"]]
    texts = [text for output in outputs for text in (output.get("text"), output.get("data", {}).get("text/plain"))]
    return {"cells": len(code),
            "pictures": sum("image/png" in output.get("data", {}) for output in outputs),
            "about": sum(len(ABOUT.findall("".join(text or ""))) for text in texts),
            "measured": [cell["id"] for cell in code if "measured" in cell["metadata"].get("tags", [])]}


def expectations(path: Path) -> Iterator[str]:
    """Yield a line for each expectation of a lesson: its cell, what is demanded, and what the text says."""
    from IPython.core.inputtransformer2 import TransformerManager  # here: conftest.py imports this module

    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and "expect" in source:
            code = TransformerManager().transform_cell(source)
            for call in calls_of_expect(ast.parse(code)):
                words = (" ".join(ast.get_source_segment(code, argument).split()) for argument in call.args)
                yield f"{path.name[:2]} {cell['id']}: " + " | ".join(words)


def calls_of_expect(tree: ast.AST) -> list[ast.Call]:
    """Return the calls of `expect` in some code, in their order."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return sorted((call for call in calls if call.func.id == "expect"), key=lambda call: call.lineno)


def collected() -> Counter:
    """Return how many checks pytest finds in each file of tests/."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "tests"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(f"pytest could not collect the checks; the record stays as it was:\n{run.stdout}{run.stderr}")
    return Counter(line.split("::")[0].removeprefix("tests/") for line in run.stdout.splitlines() if "::" in line)


def text(record: dict) -> str:
    """Return a record as JSON with a line for each file and expectation, so that a diff shows what changed."""
    parts = []
    for key, entries in record.items():
        if isinstance(entries, dict):
            lines, (first, last) = [f'"{name}": {json.dumps(entry)}' for name, entry in entries.items()], "{}"
        else:
            lines, (first, last) = [json.dumps(entry, ensure_ascii=False) for entry in entries], "[]"
        parts.append(f'"{key}": {first}\n  ' + ",\n  ".join(lines) + f"\n {last}")
    return "{\n " + ",\n ".join(parts) + "\n}\n"


def main() -> None:
    """Write the record."""
    record, found = counted(), collected()
    for name, counts in record["tests"].items():
        counts["collected"] = found[name]
    with replacing(RECORD) as made:
        made.write_bytes(text(record).encode("utf-8"))


if __name__ == "__main__":
    sys.exit(ended(main))
