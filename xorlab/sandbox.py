"""Where a TFLite file runs: bytes that this process made run in it, all others in one helper process.

LiteRT and TFLite Micro are native code, and some files end the process that runs them: when they are opened, at the
first input, or at one input in a thousand. So a foreign file never runs here. It is opened, tried once and run in a
helper that lives as long as this process, takes tenths of a second to start and of a millisecond a call, and starts
anew after a crash. What is promised: whatever a foreign file does, this process lives, and the caller gets its
answers or one sentence with the reason. There is a limit of time for each call and, on Linux, one of memory for the
helper.
"""
import atexit
import faulthandler
import json
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections import deque
from dataclasses import asdict
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np

from xorlab.runtimes import LITERT_KERNELS, Model, Plan
from xorlab.streams import quiet

SECONDS = 30                        # for opening a file, and for running it beyond what its trial would suggest
WORK, WORK_A_BYTE = 4, 1e-5         # seconds of the processor for opening a file: for any, and more for a large one
MEMORY, MEMORY_A_BYTE = 3 << 28, 8  # bytes that the helper may map for any file, and more for each byte that it is sent
LEAST_ARENA, MOST_ARENA = 1 << 20, 1 << 29      # what TFLite Micro is given first, and at last
NAMES = {**{runtime: f"LiteRT ({runtime})" for runtime in LITERT_KERNELS}, "tflm": "TFLite Micro"}
# TFLite Micro says so when its arena is too small
WANT_OF_ARENA = re.compile(r"missing: \d+|[Ff]ailed to allocate|Unable to allocate|Arena size is too small")

_ours = set()                       # digests of what this process made


def vouch(content: bytes):
    """Remember that this process itself made the content of a TFLite file, so that it may run here."""
    _ours.add(sha256(content).digest())


def vouched(content: bytes) -> bool:
    """Tell whether this process made these bytes, or they are a reference net's."""
    return sha256(content).digest() in _ours | _reference_digests()


@cache
def _reference_digests():
    folder = Path(__file__).parent / "references"
    return frozenset(sha256(path.read_bytes()).digest() for path in folder.glob("*/*.tflite"))


def opened(content: bytes, plan: Plan, path) -> "Session":
    """Open a TFLite file on a runtime and return its Session, after a trial run if it is foreign.

    content : the file's bytes, which tflite_file has read.  path : what an error calls the file.
    Raises ValueError, in one sentence with the runtime's own first line, if the runtime refuses the file, crashes on
    it, or takes too long.
    """
    return (Session if vouched(content) else _Guest)(content, plan, path)


class Session:
    """A file opened on a runtime in this process."""

    def __init__(self, content, plan, path):
        self.content, self.plan, self.path = content, plan, path
        self.arena = None
        refused = self._open()
        while refused and plan.runtime == "tflm" and WANT_OF_ARENA.search(refused) and self.arena < MOST_ARENA:
            refused = self._open(8 * self.arena)
        if refused:
            raise ValueError(f"{path} is not a model that {NAMES[plan.runtime]} can run: {_quoted(refused)}")

    def _open(self, arena=None):
        """Try to open the file; return what the runtime said if it refused."""
        self.arena = arena or max(10 * len(self.content), LEAST_ARENA)
        with quiet() as heard:
            try:
                self._model = Model(self.content, self.plan, self.arena)
            except (ValueError, RuntimeError, MemoryError) as error:
                return _words(error, heard())

    def run(self, *inputs: np.ndarray) -> list:
        """Run n samples, an array (n, ...) for each input of the file; return one for each output that is taken.

        Raises ValueError in one sentence if the runtime cannot.
        """
        try:
            return self._model.run(*inputs)
        except (ValueError, RuntimeError) as error:
            raise self._stopped(_words(error, "")) from None

    def _stopped(self, words):
        return ValueError(f"{self.path} cannot run these inputs on {NAMES[self.plan.runtime]}: {_quoted(words)}")


class _Guest(Session):
    """A file opened in the helper process; opened again in the next one if that has died."""

    def __init__(self, *args):
        self._key, self._host = f"{id(self)}-{time.monotonic_ns()}", None
        weakref.finalize(self, _dropped.append, self._key)
        super().__init__(*args)

    def _open(self, arena=None):
        self.arena = arena or max(10 * len(self.content), LEAST_ARENA)
        return self._ask(self._opening())

    def _opening(self, report=False):
        def ask(helper):
            answer, _, heard = helper.request(
                {"do": "open", "key": self._key, "plan": asdict(self.plan), "arena": self.arena, "report": report,
                 "work": WORK + WORK_A_BYTE * len(self.content)}, [np.frombuffer(self.content, np.uint8)], SECONDS)
            if "error" in answer:
                return _words(answer["error"], heard)
            self._host, self._seconds, self.heard = helper.process, answer["seconds"], heard
        return ask

    def run(self, *inputs):
        def ask(helper):
            refused = self._host is not helper.process and self._opening()(helper)
            if refused:
                return {"error": refused}, [], ""
            calls = -(-len(inputs[0]) // (self.plan.batch or 1))
            return helper.request({"do": "run", "key": self._key}, inputs, SECONDS + 20 * self._seconds * calls)

        answer, arrays, heard = self._ask(ask)
        if "error" in answer:
            raise self._stopped(_words(answer["error"], heard))
        return arrays

    def _ask(self, ask):
        try:
            return _helper.talk(ask, self._key)
        except _Died as death:
            raise ValueError(f"{self.path} {death.how} {NAMES[self.plan.runtime]}{death.words}; it ran in a process "
                             "of its own, so nothing else is lost: take another runtime, or another file") from None


def micro_arena(content: bytes, plan: Plan, path) -> int:
    """Return the least arena in bytes, a multiple of 16, with which TFLite Micro opens a file on this computer.

    What it reports to have used at last is less for some files: it needs more while it prepares.
    Raises ValueError if it refuses the file.
    """
    guest = _Guest(content, plan, path)
    guest._ask(guest._opening(report=True))
    reported = int(re.search(r"Arena allocation total (\d+) bytes", guest.heard)[1])
    least = -(-reported // 16) * 16

    def works(arena):
        try:
            return not guest._open(arena)
        except ValueError:                              # it may crash where it lacks memory
            return False

    too_small, enough = least - 16, guest.arena
    step = 0
    while least + step < enough:
        if works(least + step):
            enough = least + step
        else:
            too_small, step = least + step, max(16, 2 * step)
    while enough - too_small > 16:
        middle = (enough + too_small) // 32 * 16
        too_small, enough = (too_small, middle) if works(middle) else (middle, enough)
    return enough


def _words(error, heard):
    """Return what a runtime said: the error's text, or what TFLite Micro wrote to native stderr instead."""
    text = _text(error)
    return heard.strip() or text if text.startswith("TFLM") else text


def _text(error):
    return str(error).strip() or f"it gives no reason ({type(error).__name__})"


def _quoted(words):
    """Return the first line of a runtime's words, and the one that names the operator if that is another."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    node = [line for line in lines[1:] if line.startswith("Node ")]
    return "; ".join([*lines[:1], *node[:1]])


# --- the helper process

_dropped = deque()                  # keys of models that nobody needs any more; a finalizer may only append


class _Died(Exception):
    def __init__(self, how, words, late=False):
        super().__init__(how, words)
        self.how, self.words, self.late = how, words, late


class _Helper:
    """One process that runs foreign files, started when it is needed."""

    CODE = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from xorlab.sandbox import serve; serve()"

    def __init__(self):
        self.process = None
        self._lock = threading.Lock()

    def talk(self, ask, key):
        """Call ask(self) on behalf of the model `key`, with a helper that lives, while no other thread does.

        A crash may come late, from memory that another file spoiled: then ask once more in a helper of its own.
        """
        with self._lock:
            self._start_unless_alive()
            try:
                return ask(self)
            except _Died as death:
                if death.late or not self._keys - {key}:
                    raise
            self._start_unless_alive()
            return ask(self)

    def _start_unless_alive(self):
        if self.process is not None and self.process.poll() is None:
            return
        self.stop()
        self._keys = set()
        self._words = tempfile.TemporaryFile(buffering=0)     # noqa: SIM115, as long as the process
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.CODE, json.dumps(sys.path)], bufsize=0, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self._words, env={**os.environ, **threads},
            start_new_session=True)                     # an interrupt from the keyboard is not for the helper

    def request(self, header, arrays, seconds):
        """Send a request and return (answer, arrays, native stderr).  Raises _Died if the helper does not answer."""
        self._keys.add(header["key"])
        drop = [_dropped.popleft() for _ in range(len(_dropped))]
        try:
            self._words.seek(0)                         # the helper, idle now, writes from here
            self._words.truncate()
            _send(self.process.stdin, {**header, "drop": drop, "seconds": seconds}, arrays)
            answer, arrays = _receive(self.process.stdout)
            return answer, arrays, self._heard()
        except (OSError, ValueError, EOFError):         # a broken pipe, nonsense, or nothing
            code = self._ended()
            heard = self._heard()
            self.stop()
            raise self._death(code, heard, seconds) from None
        except BaseException:                           # interrupted: what comes next would answer this request
            self.stop()
            raise

    def _ended(self):
        try:
            return self.process.wait(5)
        except subprocess.TimeoutExpired:
            return None

    def _heard(self):
        self._words.seek(0)
        return self._words.read().decode(errors="replace")

    @staticmethod
    def _death(code, heard, seconds):
        if "Timeout (" in heard:
            return _Died(f"takes more than {seconds:.0f} s on", "", late=True)
        if hasattr(signal, "SIGPROF") and code == -signal.SIGPROF:
            return _Died("takes more time to open than a file of its size may on", "", late=True)
        lines = [line.strip() for line in heard.splitlines() if line.strip() and not line.startswith("INFO")]
        try:
            kind = signal.Signals(-code).name
        except (ValueError, TypeError):
            kind = f"exit status {code}"
        return _Died("crashes", f" ({kind}{': ' + lines[0] if lines else ''})")

    def stop(self):
        """End the helper, if there is one, and wait for it."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, self._words):
                stream.close()


_helper = _Helper()
atexit.register(lambda: _helper.stop())


def _after_fork():
    # a forked child must not talk into its parent's pipes
    global _helper
    _helper.process, _helper = None, _Helper()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def serve():
    """Answer requests from stdin on stdout until it ends: the helper's side."""
    requests, answers = os.fdopen(os.dup(0), "rb", 0), os.fdopen(os.dup(1), "wb", 0)
    os.dup2(2, 1)                   # what native code prints must not come between answers
    limit, models, sizes = _Limit(), {}, {}
    while True:
        limit.lift()
        try:
            header, arrays = _receive(requests)
        except EOFError:
            return
        for key in header["drop"]:
            models.pop(key, None)
            sizes.pop(key, None)
        sent = sum(array.nbytes for array in arrays)
        if header["do"] == "open":
            sizes[header["key"]] = sent
        # ends the process from a thread of C, so that an endless loop of native code ends too
        faulthandler.dump_traceback_later(header["seconds"], exit=True)
        limit.set(sent + sum(sizes.values()), header.get("work", 0))
        try:
            answer, made = {"open": _open, "run": _run}[header["do"]](models, header, arrays)
        except Exception as error:
            answer, made = {"error": _text(error)}, []
        limit.lift()
        faulthandler.cancel_dump_traceback_later()
        sys.stderr.flush()
        _send(answers, answer, made)


def _open(models, header, arrays):
    models.pop(header["key"], None)
    model = Model(arrays[0].tobytes(), Plan(**header["plan"]), header["arena"])
    started = time.perf_counter()
    model.try_once()
    if header["report"]:
        model.report()
    models[header["key"]] = model
    return {"seconds": time.perf_counter() - started}, []


def _run(models, header, arrays):
    return {}, models[header["key"]].run(*arrays)


class _Limit:
    """Limits of memory, on Linux, and of the processor's time, not on Windows, while the helper works on a file."""

    def __init__(self):
        try:
            import resource
        except ImportError:
            self._resource = None
            return
        self._resource = resource
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if sys.platform == "linux":
            from ai_edge_litert import interpreter  # noqa: F401, what the libraries map is no file's
            self._mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()

    def set(self, sent: int, work: float):
        """Allow memory for `sent` bytes of files and inputs, and `work` seconds, then the process ends; 0 is any."""
        if self._resource is None:
            return
        if sys.platform == "linux":
            self._memory(self._mapped + MEMORY + MEMORY_A_BYTE * sent)
        signal.setitimer(signal.ITIMER_PROF, work)

    def lift(self):
        if self._resource is None:
            return
        signal.setitimer(signal.ITIMER_PROF, 0)
        if sys.platform == "linux":
            self._memory(self._resource.getrlimit(self._resource.RLIMIT_AS)[1])

    def _memory(self, most):
        hard = self._resource.getrlimit(self._resource.RLIMIT_AS)[1]
        if hard != self._resource.RLIM_INFINITY:
            most = hard if most == self._resource.RLIM_INFINITY else min(most, hard)
        self._resource.setrlimit(self._resource.RLIMIT_AS, (most, hard))


def _send(stream, header, arrays):
    arrays = [np.ascontiguousarray(array) for array in arrays]
    text = json.dumps({**header, "arrays": [(array.dtype.str, array.shape) for array in arrays]}).encode()
    _write(stream, struct.pack("<I", len(text)) + text)
    for array in arrays:
        _write(stream, array.tobytes())


def _write(stream, content):
    content = memoryview(content)
    while content:
        content = content[stream.write(content) :]


def _receive(stream):
    header = json.loads(_read(stream, struct.unpack("<I", _read(stream, 4))[0]))
    arrays = []
    for kind, shape in header.pop("arrays"):
        empty = np.empty(shape, kind)
        arrays.append(np.frombuffer(_read(stream, empty.nbytes), kind).reshape(shape))
    return header, arrays


def _read(stream, size):
    content = bytearray(size)
    at, rest = 0, memoryview(content)
    while at < size:
        got = stream.readinto(rest[at:])
        if not got:
            raise EOFError
        at += got
    return content
