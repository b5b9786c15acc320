"""Do the checks bite?  `python3 lab.py mutants [NAME ...]` breaks a copy of the project, one line at a time.

mutants.tsv holds the mutants, one a line: name, file, old text, new text, checks. A file of a lesson may name a cell
(notebooks/05-int8-checks.ipynb#cell-id): the texts are then of its source. ⏎ in a text is a line break. The checks are
tests by their pytest names, or whole files of tests, with a space between two. At least one of them must fail.
"""
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.trust.part import ROOT, Part

LIST = Path(__file__).with_name("mutants.tsv")
COLUMNS = ("name", "file", "old", "new", "checks")
LEFT_OUT = (".git", "work", "build", "__pycache__", ".*_cache", ".hypothesis", ".ipynb_checkpoints")
LEFT_OUT_ABOVE = (".venv*", ".lab", "course", "slides", "html")     # of the checkout itself: templates have slides too
JOBS = int(os.environ.get("XORLAB_JOBS", "2"))      # copies that are broken side by side
LIMIT = 300                                         # seconds for the checks of one mutant
PASSED, FAILED = 0, 1                               # of pytest's statuses; the others mean that it did not test
PROMISE = """\
That a check fails when what it guards breaks. Each line of [mutants.tsv](../tools/trust/mutants.tsv) breaks one place
of the package, of lab.py, of the tools or of the lessons as a slip would: a sign, a `<` for `<=`, a rounding, a missing
clamp, an argument that is ignored. The project is copied, broken there, and the tests named in that line run on the
copy: one of them must fail, and on the unbroken copy none may. It is a promise to whoever changes XOR Lab, and it ends
at these places: that other slips are noticed too is likely, not shown."""


@dataclass(frozen=True)
class Mutant:
    """A text of a file, what to put in its place, and the tests that should notice."""
    name: str
    file: str
    old: str
    new: str
    checks: tuple

    @property
    def path(self):
        return self.file.partition("#")[0]

    def broken(self, content: str) -> str:
        """Return the file's content with the new text.  Raises ValueError unless the old one is in it exactly once."""
        cell = self.file.partition("#")[2]
        if not cell:
            return self._replaced(content)
        lesson = json.loads(content)
        found = [one for one in lesson["cells"] if one["id"] == cell]
        if not found:
            raise ValueError(f"{self.name}: {self.path} has no cell {cell!r}")
        found[0]["source"] = self._replaced("".join(found[0]["source"])).splitlines(keepends=True)
        return json.dumps(lesson, indent=1, ensure_ascii=False) + "\n"

    def _replaced(self, text):
        if (times := text.count(self.old)) != 1:
            raise ValueError(f"{self.name}: {self.file} must hold its old text once, and holds it {times} times")
        return text.replace(self.old, self.new)


def mutants() -> dict[str, Mutant]:
    """Return {name: Mutant} of mutants.tsv.  Raises ValueError for a line that is none, or a name given twice."""
    made = {}
    for number, line in enumerate(LIST.read_text(encoding="utf-8").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        values = line.replace("⏎", "\n").split("\t")
        if len(values) != len(COLUMNS):
            raise ValueError(f"{LIST.name}, line {number}: needs {len(COLUMNS)} columns with a tab between two "
                             f"({', '.join(COLUMNS)}), got {len(values)}")
        if values[0] in made:
            raise ValueError(f"{LIST.name}, line {number}: the name {values[0]!r} is taken")
        made[values[0]] = Mutant(*values[:4], checks=tuple(_checks(values[4])))
    return made


def _checks(text):
    """Split at spaces, but not within the brackets of a test's case."""
    return re.findall(r"(?:\[[^\]]*\]|\S)+", text)


def _left_out(folder, names):
    above = LEFT_OUT_ABOVE if Path(folder) == ROOT else ()
    return shutil.ignore_patterns(*LEFT_OUT, *above)(folder, names)


class Copy:
    """A copy of the project, in which pytest runs."""

    def __init__(self, folder: Path):
        self.folder = folder / "xor-lab"
        shutil.copytree(ROOT, self.folder, ignore=_left_out)
        self.log = folder / "log"
        self.process = None

    def __enter__(self):
        # The copy comes first on the path, also for what a test starts; no .pyc of a broken file outlives it.
        variables = dict(os.environ, PYTHONPATH=str(self.folder), PYTHONDONTWRITEBYTECODE="1")
        self._prove_that_it_is_imported(variables)
        self.process = subprocess.Popen([sys.executable, str(self.folder / "tools" / "trust" / "starts.py")],
                                        cwd=self.folder, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def _prove_that_it_is_imported(self, variables):
        """Break the package's first line and see that a Python that starts elsewhere fails: or all would survive."""
        with self._with("xorlab/__init__.py", "raise SystemExit(77)\n"):
            status = subprocess.call([sys.executable, "-c", "import xorlab"], cwd=self.folder.parent, env=variables)
        if status != 77:
            raise RuntimeError(f"the copy in {self.folder} is not what Python imports (status {status})")

    @contextmanager
    def _with(self, name, content):
        path = self.folder / name
        before = path.read_bytes()
        path.write_bytes(content.encode())
        try:
            yield
        finally:
            path.write_bytes(before)

    @contextmanager
    def broken_by(self, mutant: Mutant):
        with self._with(mutant.path, mutant.broken((self.folder / mutant.path).read_text(encoding="utf-8"))):
            yield

    def run(self, checks, *options, limit=LIMIT):
        """Run checks; return (pytest's status or None after the limit, names of the tests that failed, last lines)."""
        # plain assertions: nobody reads their values here, and to rewrite a file of tests takes longer than most tests
        arguments = ["-q", "-rfE", "--assert=plain", "--hypothesis-seed=0", "-p", "no:cacheprovider", *options, *checks]
        asked = {"arguments": arguments, "log": str(self.log), "limit": limit}
        self.process.stdin.write(json.dumps(asked).encode() + b"\n")
        self.process.stdin.flush()
        status = json.loads(self.process.stdout.readline())
        told = self.log.read_text(encoding="utf-8", errors="replace")
        lines = told.replace(f"{self.folder}{os.sep}", "").splitlines()         # a test's name may hold a path
        failed = [found[1] for line in lines if (found := re.match(r"(?:FAILED|ERROR) (.+?)(?: - .*)?$", line))]
        return status, failed, " ".join(" ".join(lines[-3:]).split())


def run(names):
    """Yield a row for each mutant: whether one of its checks failed when it was planted, and on its own did not."""
    planted = [mutants()[name] for name in names]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xorlab-mutants-")))
        copies, jobs = queue.SimpleQueue(), min(JOBS, len(planted))
        for number in range(jobs):
            (folder / str(number)).mkdir()
            copies.put(stack.enter_context(Copy(folder / str(number))))
        workers = stack.enter_context(ThreadPoolExecutor(jobs))
        of_file = {}                # a process each: all of them in a single fork once ended it in native code
        for check in dict.fromkeys(check for mutant in planted for check in mutant.checks):
            of_file.setdefault(check.partition("::")[0], []).append(check)
        unbroken = {test for failed in workers.map(lambda checks: _unbroken(copies, checks), of_file.values())
                    for test in failed}
        yield from workers.map(lambda mutant: _row(copies, mutant, unbroken), planted)


@contextmanager
def _taken(copies):
    copy = copies.get()
    try:
        yield copy
    finally:
        copies.put(copy)


def _unbroken(copies, checks):
    """Return the tests that fail on the unbroken copy: they notice nothing."""
    with _taken(copies) as copy:
        status, failed, last = copy.run(checks, limit=LIMIT * len(checks))
    if status not in (PASSED, FAILED):
        raise RuntimeError(f"the checks do not run on the unbroken project (pytest's status {status}): {last}")
    return failed


def _row(copies, mutant, unbroken):
    with _taken(copies) as copy:
        started = time.monotonic()
        with copy.broken_by(mutant):
            status, failed, last = copy.run(mutant.checks, "-x")
        seconds = time.monotonic() - started
    noticed = failed[0] if failed else ""
    if status is None:
        problem = f"its checks ran longer than {LIMIT} s"
    elif status == PASSED and " passed" not in last:
        problem = f"its checks were skipped: {last}"
    elif status == PASSED:
        problem = f"survived: {' '.join(mutant.checks)}"
    elif status != FAILED or not noticed:
        problem = f"its checks did not run (pytest's status {status}): {last}"
    elif noticed in unbroken:
        problem = f"{noticed} fails on the unbroken project too, so it notices nothing"
    else:
        problem = ""
    return {"name": mutant.name, "problem": problem, "file": mutant.file, "noticed": noticed,
            "seconds": round(seconds, 1)}


def figures(rows):
    noticed = sum(not row["problem"] for row in rows)
    files = len({row["file"].partition("#")[0] for row in rows})
    return f"{noticed} of {len(rows)} planted mutants, in {files} files, were noticed."


PART = Part("mutants", "The checks bite", PROMISE, lambda: list(mutants()), run, figures)
