"""Processes that write into one folder: one at a time, and none goes on alone.  Standard library only, for lab.py."""
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from xorlab.files import take_lock

# The other end of its standard input is its parent's, and the kernel closes that when the parent ends, however it ends.
# The group is its own: what it has started ends with it.
ENDS_WITH_PARENT = """
import importlib.util, os, runpy, signal, subprocess, sys, threading
program = None
def end_with_parent():
    while os.read(0, 1):
        pass
    if hasattr(os, "getpgrp"):
        os.kill(0, signal.SIGKILL)
    if program:
        program.kill()
    os._exit(1)
threading.Thread(target=end_with_parent, daemon=True).start()
module, sys.argv = sys.argv[1], sys.argv[1:]
if os.path.isabs(module):
    program = subprocess.Popen(sys.argv, stdin=subprocess.DEVNULL)
    while program.returncode is None:
        try:
            program.wait()
        except KeyboardInterrupt:
            pass
    sys.exit(program.returncode)
if importlib.util.find_spec(module) is None:
    sys.exit("This Python has no module " + module)
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
_held = []      # descriptors that this process holds locks by


def run_to_its_end(python: str, module: str, arguments, folder: Path, variables: dict[str, str], output=None) -> int:
    """Run a module of a Python in a folder and return its exit status; it ends with this process, whatever ends that.

    module : its name, or the absolute path of a program that needs no Python.
    output : a file for all that it prints, or None for where this process prints.
    Ctrl-C goes on to it, once, so that it can end in its own order; then KeyboardInterrupt is raised here.
    Where a child can inherit a lock (not on Windows) it holds those of `alone` too, as long as it lives.
    """
    its_own = {} if os.name == "nt" else {"pass_fds": _held, "process_group": 0}
    process = subprocess.Popen([python, "-c", ENDS_WITH_PARENT, module, *arguments], cwd=folder, env=variables,
                               stdin=subprocess.PIPE, stdout=output, stderr=output, **its_own)
    try:
        return process.wait()
    except KeyboardInterrupt:
        if os.name != "nt":                         # there Ctrl-C has reached it already
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
        process.wait()
        raise
    finally:
        process.stdin.close()
        process.wait()


@contextlib.contextmanager
def alone(path: Path, doing: str, say: Callable[[str], None]) -> Iterator[None]:
    """Let one process at a time into the block; another waits, and says for whom.

    path : a file for the lock. The kernel holds it for this process and for those that inherit it: it ends with them,
        and a file that is left behind locks nothing.
    doing : what the one that waits is told, e.g. "setting up".
    Where there are no locks (in some folders of a network, in a read-only one) nobody waits.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        yield
        return
    try:
        if _got_in_turn(lock, path, say):
            _held.append(lock)
            _sign(lock, f"process {os.getpid()}, {doing} since {time.strftime('%H:%M:%S')}")
        yield
    finally:
        if lock in _held:
            _held.remove(lock)
        os.close(lock)


def _got_in_turn(lock, path, say):
    """Wait for a lock and return True; return False where there is none to be had."""
    tries = 0
    while True:
        try:
            take_lock(lock)
            return True
        except (BlockingIOError, PermissionError):  # another holds it
            tries += 1
        except OSError:
            return False
        if tries == 3:                              # what takes a moment need not be told
            say(f"Another lab.py is at work here ({_signed(path)}); this one waits for it.")
        time.sleep(0.1)


def _sign(lock, text):
    with contextlib.suppress(OSError):              # a full disk is told where something is lost by it
        os.lseek(lock, 0, os.SEEK_SET)
        os.ftruncate(lock, 0)
        os.write(lock, text.encode())


def _signed(path):
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace") or "it has not said which"
    return "it cannot be read which"
