"""What is kept of a student's work: one small file beside the notebook.

The file is JSON: {exercise id: "tried", "done" (a guess was made) or "right"}. Deleting it loses nothing else.
"""
import hashlib
import json
import os
from contextlib import contextmanager
from pathlib import Path

from xorlab import files

NAME = "xorlab-progress.json"
STATES = ("tried", "done", "right")         # a later one is never replaced by an earlier one


def is_kept(folder: Path) -> bool:
    """Is a student at work here?  Not in notebooks/, and not where lessons are checked, refreshed or graded."""
    if os.environ.get("XORLAB_CHECK") == "1" or os.environ.get("NBGRADER_EXECUTION"):
        return False
    folder = folder.resolve()
    return not (folder.name == "notebooks" and (folder.parent / "lab.py").is_file())


def note(identity: str, state: str, folder: Path) -> str:
    """Keep that an exercise has come to a state; return a sentence where that failed or an old file was damaged."""
    if not is_kept(folder):
        return ""
    try:
        with _alone(folder):
            files.sweep(folder)
            states, sentence = _read(folder / NAME)
            before = states.get(identity)
            if before is None or before in STATES and STATES.index(state) > STATES.index(before):
                states[identity] = state
                with files.replacing(folder / NAME) as made:
                    made.write_text(json.dumps(dict(sorted(states.items())), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        return f"Your progress wasn't kept: {error}."
    return sentence


def states(folder: Path) -> tuple[dict[str, str], str]:
    """Return {exercise id: state} of a folder, and a sentence where its file was damaged and has been set aside."""
    try:
        with _alone(folder):
            return _read(folder / NAME)
    except OSError:                     # no place for the lock; what another kernel writes is whole anyway
        return _read(folder / NAME)


def _read(path):
    if not path.exists() and not path.is_symlink():
        return {}, ""
    try:
        content = files.read_json(path, "record")
    except (OSError, ValueError):
        content = None
    if isinstance(content, dict) and all(isinstance(state, str) for state in content.values()):
        return content, ""              # a later version may know more states
    aside = next(name for name in (path.with_name(f"xorlab-progress.damaged-{n}.json") for n in range(1, 10_000))
                 if not name.exists())
    try:
        path.rename(aside)
    except OSError as error:
        return {}, f"The file {path.name} is damaged and cannot be set aside: {error.strerror}."
    return {}, f"The file {path.name} was damaged; it is kept as {aside.name}, and a new one begins."


@contextmanager
def _alone(folder):
    """Hold other kernels back while this one reads and writes the file of a folder.

    By the operating system's lock, which it takes away from a kernel that dies, on a file that stands elsewhere: the
    student's folder holds nothing of it.
    """
    place = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    with open(files.own_folder("the lock of your progress") / f"progress-{place}.lock", "ab") as lock:
        files.take_lock(lock.fileno(), wait=True)
        yield                           # closing the file gives the lock back
