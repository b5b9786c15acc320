"""Damaged files for every reader, each in a process of its own that is watched: `python3 lab.py trust damage`."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.trust.part import ROOT, Part

SECONDS, BYTES = 10, 2**30              # that a damaged file may cost
ROOM = 2**30                            # of addresses that a reader may take beyond what reading sound files took
HANGS = 120                             # seconds without a file done, after which the process is ended
TOLD = 3                                # files that a row's sentence names

PROMISE = """\
Whoever opens a damaged file is told so: every reader answers as the file now says, or refuses in one sentence that
names the file, without a traceback, a crash, a wait of 10 seconds or a gigabyte of memory. Tried are changed bits,
bytes, numbers and lengths, exchanged tables, files cut off, spliced or of another format, text in other encodings, and
in JSON an odd value in the place of each. It ends where a damaged file is still a sound one: the answers are then those
of another model, and no reader can know what stood there. TFLite files that are not ours run in a process of their
own, with limits of memory (on Linux) and time. PyTorch, ONNX Runtime, Keras and the converters read in your process,
and of them is promised what was tried here."""


def names() -> list[str]:
    from tools.trust.readers import READERS

    return list(READERS)


def run(names: list[str]) -> Iterator[dict]:
    """Yield a row for each reader; as many read at a time as there are processors."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(_row, names)


def _row(name):
    from tools.trust.readers import READERS

    reader, lines, broken = READERS[name], [], []
    with tempfile.TemporaryDirectory() as folder:
        while len(lines) < reader.tries:
            told, death = _watched(name, len(lines), reader.tries, Path(folder) / "told")
            lines += told
            if death:
                lines.append({"kind": "broken", "seconds": 0, "peak": 0})
                broken.append(f"file {len(lines) - 1} {death}")
    broken += [f"file {number}: {line['sentence']}" for number, line in enumerate(lines) if line.get("sentence")]
    counts = Counter(line["kind"] for line in lines)
    slowest, peak = (max(line[what] for line in lines) for what in ("seconds", "peak"))
    if not (counts["refused"] and counts["read"]):
        broken.append(f"all or none refused: {dict(counts)}")
    broken += [f"file {number} took {line['seconds']:.1f} s" for number, line in enumerate(lines)
               if line["seconds"] > SECONDS]
    if peak > BYTES:
        broken.append(f"{peak:,} bytes of memory were taken")
    problem = f"{len(broken)} went wrong: " + "; ".join(broken[:TOLD]) if broken else ""
    return {"name": name, "problem": problem, "files": len(lines), "refused": counts["refused"], "read": counts["read"],
            "slowest_s": round(slowest, 2), "peak_MB": round(peak / 1e6), "why_fewer": reader.reason}


def _watched(name, start, end, told):
    """Read files from `start` on in a process until all are done or it dies.

    Return (what it told of each, how it died or "").
    """
    told.write_text("")
    command = [sys.executable, "-W", "ignore", "-m", "tools.trust.damage", name, str(start), str(end), str(told)]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as words:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=words)
        done, since = 0, time.monotonic()
        while process.poll() is None:
            time.sleep(0.2)
            if told.stat().st_size != done:
                done, since = told.stat().st_size, time.monotonic()
            elif time.monotonic() - since > HANGS:
                process.kill()
        words.seek(0)
        said = [line for line in words.read().splitlines() if line.strip()]
    lines = [json.loads(line) for line in told.read_text(encoding="utf-8").splitlines()]
    if not process.returncode:
        return lines, ""
    if not lines and start == 0:
        raise ChildProcessError(f"{name} reads no sound file: {said[-1] if said else process.returncode}")
    return lines, f"ended the process ({process.returncode}{': ' + said[-1][:200] if said else ''})"


# --- the process that reads

def read_damaged(name: str, start: int, end: int, told: Path) -> None:
    """Read the damaged files of these numbers and tell of each, on a line of JSON, what came of it."""
    from tools.trust.readers import READERS

    reader = READERS[name]
    with tempfile.TemporaryDirectory() as place, open(told, "a", encoding="utf-8", buffering=1) as lines:
        folder = Path(place)
        _read_sound(reader, folder)
        _limit_memory()
        for number in range(start, end):
            path = reader.put(number, folder)
            (kind, sentence), seconds = _timed(reader, path)
            if seconds > SECONDS:                       # perhaps the computer was busy with something else
                empty(folder)
                (kind, sentence), again = _timed(reader, reader.put(number, folder))
                seconds = min(seconds, again)
            line = {"kind": kind, "seconds": seconds, "peak": _peak()}
            lines.write(json.dumps(line | ({"sentence": sentence} if kind == "broken" else {})) + "\n")
            empty(folder)


def _timed(reader, path):
    from tools.trust.readers import outcome

    began = time.perf_counter()
    return outcome(reader.read, path), time.perf_counter() - began


def _read_sound(reader, folder):
    """Read every sound file once, so that what a first time takes is no file's.  Raises ValueError if none is read."""
    from tools.trust.readers import outcome

    came = []
    for content in reader.sound():
        path = folder / reader.name
        path.write_bytes(content)
        came.append(outcome(reader.read, path))
        empty(folder)
    if "read" not in dict(came) or "broken" in dict(came):
        raise ValueError(f"of sound files came {came[:3]}")


def empty(folder: Path) -> None:
    """Remove all that a folder holds."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _limit_memory():
    if sys.platform == "linux":
        import resource

        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + ROOM, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _peak():
    """Return the most bytes that this process or one of those that it started has had in memory."""
    try:
        import resource
    except ImportError:                 # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def figures(rows: list[dict]) -> str:
    """Return one sentence with the figures of all readers."""
    slowest, largest = (max(rows, key=lambda row: row[what]) for what in ("slowest_s", "peak_MB"))
    fewer = {}
    for row in rows:
        if row["why_fewer"]:
            fewer.setdefault((row["files"], row["why_fewer"]), []).append(row["name"])
    told = "".join(f" {files:,} each, for {why}: {', '.join(names)}." for (files, why), names in fewer.items())
    others = sorted({row["files"] for row in rows if not row["why_fewer"]})
    each = f" {others[0]:,} for each other reader." if len(others) == 1 else ""
    files, refused, read = (sum(row[what] for row in rows) for what in ("files", "refused", "read"))
    return (f"{files:,} damaged files for {len(rows)} readers: {refused:,} refused, {read:,} read; the slowest took "
            f"{slowest['slowest_s']} s ({slowest['name']}), the most memory of a process was {largest['peak_MB']:,} MB "
            f"({largest['name']}).{told}{each}")


PART = Part("damage", "Damaged files", PROMISE, names, run, figures)

if __name__ == "__main__":
    read_damaged(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
