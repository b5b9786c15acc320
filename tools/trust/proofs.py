"""What a kernel finds around it: outputs.py asks it whether what it changed is in force there."""
import codecs
import ctypes
import errno
import functools
import json
import locale
import os
import platform
import re
import socket
import sys
import tempfile
import time
from pathlib import Path

import xorlab

ON_X86 = platform.machine() in ("x86_64", "AMD64")
ON_LINUX_X86 = ON_X86 and sys.platform == "linux"
ON_INTEL = ON_LINUX_X86 and "GenuineIntel" in Path("/proc/cpuinfo").read_text()     # MKL has one path for all others
COMPATIBLE, AVX2 = 3, 10        # MKL_CBWR_..., in mkl_types.h


def told(questions: dict[str, tuple[str, str]]) -> str:
    """Return as JSON, for {name: (expression: can that be here?, expression: is it?)}, True, False, or None for not."""
    return json.dumps({name: bool(eval(proof)) if eval(possible) else None
                       for name, (possible, proof) in questions.items()})


def numpy_takes() -> set[str]:
    """Return the CPU features that NumPy has faster code for, and takes it."""
    from numpy._core import _multiarray_umath as numpy

    return {name for name in numpy.__cpu_dispatch__ if numpy.__cpu_features__[name]}


def torch_path() -> str:
    import torch

    return torch.backends.cpu.get_cpu_capability()


def torch_threads() -> int:
    import torch

    return torch.get_num_threads()


def mkl() -> int | None:
    """Return the branch of MKL that PyTorch is held to, or None where PyTorch has no MKL."""
    import torch

    if not torch.backends.mkl.is_available():
        return None
    name = {"linux": "libtorch_cpu.so", "darwin": "libtorch_cpu.dylib", "win32": "torch_cpu.dll"}[sys.platform]
    branch = getattr(ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / name)), "mkl_serv_cbwr_get", None)
    return branch and branch(1)         # MKL_CBWR_BRANCH


@functools.cache
def tensorflow_said() -> str:
    """Let TensorFlow work, and return what oneDNN inside it says of itself."""
    with tempfile.TemporaryFile("w+") as said:
        os.environ["ONEDNN_VERBOSE"] = "1"
        out, errors = os.dup(1), os.dup(2)
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        try:
            import tensorflow

            tensorflow.matmul(tensorflow.zeros((64, 64)), tensorflow.zeros((64, 64)))
        finally:
            os.dup2(out, 1)
            os.dup2(errors, 2)
            del os.environ["ONEDNN_VERBOSE"]
        said.seek(0)
        return said.read()


def onednn() -> str:
    """Return the instructions that oneDNN inside TensorFlow takes, e.g. "Intel AVX2", "" where there is no oneDNN."""
    found = re.search(r"info,cpu,isa:(.*)", tensorflow_said())
    return found[1].strip() if found else ""


def tensorflow_takes_onednn() -> bool:
    tensorflow_said()
    import tensorflow

    library = ctypes.CDLL(str(Path(tensorflow.__file__).parent / "libtensorflow_framework.so.2"))
    takes = library._ZN10tensorflow12IsMKLEnabledEv         # tensorflow::IsMKLEnabled(), which no Python name reaches
    takes.restype = ctypes.c_bool
    return takes()


def tensorflow_threads() -> int:
    """Return how many threads TensorFlow has for operators side by side."""
    tensorflow_said()
    return sum(task.read_text() == "tf_Compute\n" for task in Path("/proc/self/task").glob("*/comm"))


def code_of_bytes() -> str:
    """Return the encoding of a file that is opened without one, e.g. "utf-8"."""
    return codecs.lookup(locale.getencoding() if not sys.flags.utf8_mode else "utf-8").name


def new_files_are_mine_alone() -> bool:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask == 0o077


def can_write(folder: Path) -> bool:
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def here() -> Path:
    """Return the checkout that the package is imported from, and whose lessons this kernel stands in."""
    checkout = Path(xorlab.__file__).parent.parent
    if checkout != Path.cwd().parent:
        raise ValueError(f"the kernel stands in {Path.cwd()}, but its package is of {checkout}")
    return checkout


def has_network() -> bool:
    """Does anything answer at this computer's own address, be it with a refusal?"""
    with socket.socket() as asking:
        asking.settimeout(5)
        return asking.connect_ex(("127.0.0.1", 9)) not in (errno.ENETUNREACH, errno.EADDRNOTAVAIL)


def minutes_from_greenwich() -> int:
    return -time.timezone // 60
