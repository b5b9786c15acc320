"""kill -9 in the middle of whatever writes: nothing earlier is lost, and the next run works.

A trial runs a job in a folder that holds what an earlier run wrote and a file of somebody's own. The job kills itself
before its n-th step in that folder (a file opened to be written, a rename, a folder made or removed), or is killed
from outside after some seconds. Then the folder is looked at, the job is run again, and the folder is looked at again.
"""
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tools.trust import kills_setup
from tools.trust.part import ROOT, Part
from xorlab import files

MARK = "XORLAB_TRIAL"           # in the environment of all that a trial starts
GONE = 20                       # seconds in which what a killed process started must have noticed
OWN = "mine.txt"
# Run as `python -c LAUNCHER n code`: runs the code in the folder that it is in, and kills itself before step n there.
LAUNCHER = '''
import os, signal, sys
wanted, code, here, steps = sys.argv[1], sys.argv[2], os.path.realpath("."), [""]
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT

def inside(path, at=-1):
    if not isinstance(path, (str, bytes, os.PathLike)):
        return False
    path = os.fsdecode(path)
    if isinstance(at, int) and at >= 0:
        path = os.path.join(os.readlink(f"/proc/self/fd/{at}"), path)
    return os.path.abspath(path).startswith(here + os.sep)

def watch(event, given):
    if event == "open":
        step = given[2] & WRITES and inside(given[0])
    elif event in ("os.mkdir", "os.rename"):
        step = inside(given[0]) or event == "os.rename" and inside(given[1])
    elif event in ("os.remove", "os.rmdir"):
        step = inside(*given[:2])
    else:
        step = event == "shutil.rmtree" and inside(given[0]) or event == "ctypes.dlsym" and given[1] == "renameat2"
    if step:
        steps.append(event)
        now = [str(len(steps) - 1)] + ["the exchange"] * (event == "ctypes.dlsym")
        if wanted in now + ["after the exchange"] * (steps[-2] == "ctypes.dlsym"):
            print("at step", event, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
sys.argv[1:] = []
try:
    exec(compile(code, "job", "exec"), {"__name__": "__main__"})
finally:
    print("steps", *steps, flush=True)
'''


@dataclass(frozen=True)
class Job:
    """What is run in a folder, and killed there.

    code : what runs; `{version}` in it is 1 for what an earlier run wrote, and 2 for what is killed and run again.
    steps : before which of its steps in the folder it is killed.
    seconds : after how long it is killed from outside, counted from when it prints "ready".
    whole : the folder that it writes whole, in bytes that may differ from run to run; all else is the same each time.
    records : files of JSON that it writes more than once.
    """
    code: str
    steps: Collection[int | str] = ()
    seconds: Collection[float] = ()
    whole: str = ""
    records: Collection[str] = ()


LESSONS = """\
import json, pathlib
lessons = pathlib.Path("../lessons")
lessons.mkdir(exist_ok=True)
for name in "01-a.ipynb", "02-b.ipynb":
    lines = ["answer = ...", "### BEGIN SOLUTION", "answer = {version}", "### END SOLUTION", "print({version})"]
    cell = dict(cell_type="code", id="a", metadata=dict(tags=["task"]), outputs=[], execution_count=None,
                source="\\n".join(lines))
    (lessons / name).write_text(json.dumps(dict(cells=[cell], metadata=dict(), nbformat=4, nbformat_minor=5)))
from xorlab import editions
"""
LESSON = """\
import pathlib, sys
import lab
from nbformat import v4, write
from tools import refresh
pathlib.Path("../number").write_text("{version}")
lab.NOTEBOOKS = pathlib.Path(".").resolve()
if not pathlib.Path("01-a.ipynb").exists():
    source = "import time; time.sleep(2); print(open('../number').read())"
    write(v4.new_notebook(cells=[v4.new_code_cell(source, id="a")]), "01-a.ipynb")
print("ready", flush=True)
sys.exit(refresh.main(["01"]))
"""
NET = """\
import pathlib
from xorlab import models
name = ("relu-2-4-1", "sigmoid-2-3-1")[{version} - 1]
net, onnx, int8 = models.reference(name), *(models.reference_file(name, f) for f in ("model.onnx", "int8.tflite"))
"""
EXPORT = NET + "from xorlab import export\n"
SAVED = """\
if not pathlib.Path("../saved").exists():
    export.to_saved_model(onnx, "../saved")
"""
RACE = """\
import joblib
from xorlab import files, training
with joblib.parallel_config(backend="loky", n_jobs=2):
    training.race(["sgd"], starts=200, epochs=10)       # starts the workers
    print("ready", flush=True)
    race = training.race(["adam"], starts=1000, epochs=1500)
files.write_rows("race.json", [entry.losses.tolist() for entry in race.entries])
"""
FOREIGN = """\
import time
from xorlab import predictors
foreign = pathlib.Path("../foreign.tflite")
foreign.write_bytes(int8.read_bytes() + bytes(16))      # not as this project wrote it, so a process of its own runs it
predict, end = predictors.from_tflite(foreign), time.monotonic() + 4
print("ready", flush=True)
while time.monotonic() < end:
    predict([[0.0, 1.0]])
"""
EXCHANGE, AFTER = "the exchange", "after the exchange"          # steps of a job that exchanges folders
JOBS = {
    "models.save": Job(NET + "models.save(net, 'net.json')", (1, 3, 4, 5)),
    "check": Job("from xorlab.exercises import record\n"
                 "assert not record.note('02.3', ('done', 'right')[{version} - 1], record.Path('.'))", range(1, 8)),
    "lessons": Job(LESSONS + "editions.lay_out(lessons, pathlib.Path('work{version}'))", range(1, 30, 3),
                   records=("work2/.sources.json",)),
    "editions": Job(LESSONS + "assert editions.write_all(lessons, pathlib.Path('.')) == []", range(1, 64, 3),
                    records=(".editions.json",)),
    "refresh": Job(LESSON, (4, 5), (1,)),
    "inspect --html": Job(NET + "from xorlab import report\nreport.inspect(int8).save_page('page.html')", (4, 5)),
    "slides": Job("import pathlib\nfrom tools import pages, slides\n"
                  "list(slides.write(pathlib.Path('slides'), pages.lessons(['00'])))", (4,)),
    "html": Job("import pathlib\nfrom tools import pages, site\n"
                "site.write(pathlib.Path('html'), pages.lessons(['0{version}']))", (EXCHANGE, AFTER), whole="html"),
    "to_onnx": Job(EXPORT + "export.to_onnx(net, 'net.onnx')", (4,)),
    "to_saved_model": Job(EXPORT + "export.to_saved_model(onnx, 'saved')", (EXCHANGE, AFTER), whole="saved"),
    "to_tflite": Job(EXPORT + SAVED + "export.to_tflite('../saved', 'net.tflite', ('float16', 'int8')[{version} - 1])",
                     (4,)),
    "demo": Job(NET + "from xorlab import cli\nassert cli.main(['demo', '--out', 'demo', '--reference', name]) == 0",
                (EXCHANGE,), whole="demo"),
    "race": Job(RACE, seconds=(0.5,)),
    "compare": Job(NET + FOREIGN, seconds=(1,)),
}


def names() -> list[str]:
    """Return the names of all trials: those of the jobs here, then those of set-ups."""
    return [*(moment for name in JOBS for moment in moments(name)), *kills_setup.trials()]


def moments(name: str) -> dict[str, tuple[int | str, float]]:
    """Return {name of a trial: (step before which it kills, or 0; seconds after which it kills)} of a job."""
    job = JOBS[name]
    return {**{f"{name}, step {step}" if isinstance(step, int) else f"{name}, {step}": (step, 0) for step in job.steps},
            **{f"{name}, after {seconds} s": (0, seconds) for seconds in job.seconds}}


def run(wanted: list[str]) -> Iterator[dict]:
    """Try the moments with these names; yield a row for each."""
    for name, job in JOBS.items():
        chosen = {moment: when for moment, when in moments(name).items() if moment in wanted}
        if chosen:
            with tempfile.TemporaryDirectory(prefix="xorlab-kills-") as place:
                try:
                    yield from tried(job, chosen, Path(place))
                except RuntimeError as error:           # it does not run at all
                    yield from ({"name": moment, "problem": str(error), "step": "", "seconds": 0} for moment in chosen)
    for name, trial in kills_setup.trials().items():
        if name in wanted:
            started, problem = time.monotonic(), trial()
            yield {"name": name, "problem": problem, "step": "", "seconds": round(time.monotonic() - started, 1)}


def tried(job: Job, chosen: dict[str, tuple[int, float]], place: Path) -> Iterator[dict]:
    """Run a job once to its end in a folder, then kill it at each moment; yield a row for each."""
    before, after = place / "before" / "here", place / "after" / "here"
    before.mkdir(parents=True)
    (before / OWN).write_text("mine")
    _to_its_end(job, 1, before)
    shutil.copytree(before.parent, after.parent)
    _to_its_end(job, 2, after)
    for number, (moment, when) in enumerate(chosen.items()):
        started, here = time.monotonic(), place / str(number) / "here"
        shutil.copytree(before.parent, here.parent)
        step, problem = _killed(job, here, *when)
        problem = problem or _harm(job, here, _digests(before), _digests(after)) or _again(job, here, _digests(after))
        yield {"name": moment, "problem": problem, "step": step, "seconds": round(time.monotonic() - started, 1)}


def _killed(job, here, step, seconds):
    """Run a job and kill it; return (the step that it was killed before, what went wrong)."""
    mark = uuid.uuid4().hex
    found, said = "", []
    with _started(job, 2, here, step, mark) as process:
        for line in process.stdout:
            said.append(line)
            if line.startswith("at step"):
                found = line.split()[2]
            elif line == "ready\n" and not step:
                time.sleep(seconds)
                process.kill()
            else:
                continue
            break               # and not at the end of the stream, which what the job started may hold open
    if process.returncode != -signal.SIGKILL:
        return found, f"it was not killed, and ended with {process.returncode}: {''.join(said)[-300:]!r}"
    left = _living(mark)
    return found, f"{len(left)} processes that it started live on: {left}" if left else ""


def _living(mark):
    """Return the command lines of the processes that still live after GONE seconds, of those that a trial started."""
    end, found = time.monotonic() + GONE, [None]
    while found and time.monotonic() < end:
        found = [" ".join(process.cmdline())[:80] for process in psutil.process_iter() if _is_of(process, mark)]
        time.sleep(0.1)
    return found


def _is_of(process, mark):
    try:
        return process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _started(job, version, here, step=0, mark=""):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), MARK: mark}
    return subprocess.Popen([sys.executable, "-c", LAUNCHER, str(step), job.code.format(version=version)], cwd=here,
                            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            start_new_session=True)


def _to_its_end(job, version, here):
    """Run a job and return what it printed.  Raises RuntimeError if it fails."""
    with _started(job, version, here) as process:
        said = process.communicate()[0]
    if process.returncode:
        raise RuntimeError(f"it ended with {process.returncode}: {said[-1000:]}")
    return said


def _again(job, here, wanted):
    """Run a job once more; return what is wrong then, in a sentence, or nothing."""
    try:
        _to_its_end(job, 2, here)
    except RuntimeError as error:
        return f"the next run failed: {error}"
    now = _digests(here)
    for name in sorted({*now, *wanted}):
        if now.get(name) != wanted.get(name) and not (_is_in(name, job.whole) and name in now and name in wanted):
            return f"after the next run {name} is {'left over' if name not in wanted else 'missing or another'}"
    return ""


def _harm(job, here, before, after):
    """Return what a killed job did that it must not, in a sentence, or nothing.  before, after : digests."""
    now = {name: digest for name, digest in _digests(here).items()
           if not any(part.startswith(files.WORKSPACE) for part in name.split("/"))}
    for name in {**before, **now}:
        if name in job.records:
            json.loads((here / name).read_bytes())          # and its content is for the next run to take
        elif name in before and name not in now and not _is_in(name, job.whole):
            return f"{name} is gone"
        elif now.get(name) not in (before.get(name), after.get(name)) and not _is_in(name, job.whole):
            return f"{name} is neither the earlier one nor the new one"
    earlier, there = ({name: digest for name, digest in digests.items() if _is_in(name, job.whole)}
                      for digests in (before, now))
    if there != earlier and not files.is_whole(here / job.whole):
        return f"{job.whole} is neither the earlier folder nor the new one"
    return ""


def _is_in(name, folder):
    return bool(folder) and name.split("/")[0] == folder


def _digests(folder):
    """Return {name with slashes: digest} of all files and folders in a folder, hidden ones too."""
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            for path in sorted(folder.rglob("*"))}


def figures(rows: list[dict]) -> str:
    """Return how many times what was killed, in a sentence."""
    jobs = list(dict.fromkeys(row["name"].split(", ")[0] for row in rows))
    failed = sum(bool(row["problem"]) for row in rows)
    return (f"{len(rows)} kills of {len(jobs)} commands and functions ({', '.join(jobs)}); "
            f"{f'{failed} left something behind that must not be' if failed else 'each left what was there whole'}.")


PROMISE = """\
A command or a function of the package that is killed in the middle (`kill -9`, a closed lid, a task manager) loses
nothing that was there before: each file, and each folder that is written whole, is the earlier one or the new one.
The next run works, leaves what an undisturbed run leaves, and removes what the killed one left hidden beside it, in
folders named `.xorlab-...`. Whatever a killed command had started, kernels and workers, ends by itself within
20 seconds. A trial kills a real process: before its n-th step in a folder (a file opened to be written, a rename, a
folder made or removed), or after some seconds of work. Temporary files elsewhere are the system's to clear, and a
power cut is not a kill: no write waits for the disk. Windows cannot exchange two folders in one step: there a folder
may be missing after a kill until the next write beside it, which puts it back; that road is tried by tests only."""
PART = Part("kills", "Killed in the middle", PROMISE, names, run, figures)
