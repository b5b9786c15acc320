"""float32 functions as this computer's C library has them: runtimes fill their tables with those.

C asks no library for the nearest float32, and libraries differ in the last bit: glibc's tanhf before 2.41 misses it now
and then. So what LiteRT makes of TANH depends on the C library that it runs on, and here as there.
"""
import ctypes
import os
from functools import cache

import numpy as np


def tanh(x: np.ndarray) -> np.ndarray:
    """Return C's tanhf of float32 numbers, one at a time: for tables."""
    return _called("tanhf", x)


def exp(x: np.ndarray) -> np.ndarray:
    """Return C's expf of float32 numbers, one at a time: for tables."""
    return _called("expf", x)


def _called(name, x):
    x = np.asarray(x, np.float32)
    return np.fromiter(map(_function(name), x.reshape(-1).tolist()), np.float32, x.size).reshape(x.shape)


@cache
def _function(name):
    library = ctypes.CDLL("ucrtbase" if os.name == "nt" else None)      # None: what Python itself is linked to
    return ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_float)((name, library))
