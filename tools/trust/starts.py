"""Run pytest many times in one folder and load the heavy packages once: each run is a fork of a process that has them.

Run as a script by mutants.py, in the folder, with nothing of XOR Lab loaded. Reads a line of JSON for each run on
stdin, {"arguments", "log", "limit"}, and answers with its exit status, or null if it ran longer than limit seconds.
"""
import contextlib
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import time

FORKS = sys.platform.startswith("linux")        # elsewhere every run starts from nothing, and costs seconds more
# TensorFlow is not among them: it starts threads, which no fork survives.
HEAVY = ("pytest", "nbval.plugin", "nbclient", "hypothesis", "numpy", "scipy.stats", "matplotlib.pyplot", "PIL.Image",
         "sklearn.datasets", "sklearn.neural_network", "torch", "torch.onnx", "onnx", "onnxruntime",
         "ai_edge_litert.interpreter", "anyio.pytest_plugin", "xdist.plugin", "xdist.looponfail")


def main():
    if FORKS:
        for name in HEAVY:
            importlib.import_module(name)
        gc.freeze()             # or each run would look for garbage among all that is loaded
    assert not {"xorlab", "tools", "lab", "conftest"} & set(sys.modules), "a run must load these anew"
    for line in sys.stdin:
        asked = json.loads(line)
        with open(asked["log"], "wb") as log:
            status = (forked if FORKS else started)(asked["arguments"], log, asked["limit"])
        print(json.dumps(status), flush=True)


def forked(arguments, log, limit):
    child = os.fork()
    if not child:
        os.setsid()
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        status = 3
        try:
            status = sys.modules["pytest"].main(arguments)
        finally:
            sys.stdout.flush()
            os._exit(status)
    until = time.monotonic() + limit
    ended, status = os.waitpid(child, os.WNOHANG)
    while not ended and time.monotonic() < until:
        time.sleep(0.02)
        ended, status = os.waitpid(child, os.WNOHANG)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)        # kernels and servers that a test left behind, too
    if not ended:
        os.waitpid(child, 0)
        return None
    return os.waitstatus_to_exitcode(status)


def started(arguments, log, limit):
    command = [sys.executable, "-m", "pytest", *arguments]
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=limit).returncode
    except subprocess.TimeoutExpired:
        return None


if __name__ == "__main__":
    sys.path.pop(0)                             # the folder of this script: its names are not for tests
    sys.path.insert(0, os.getcwd())
    main()
