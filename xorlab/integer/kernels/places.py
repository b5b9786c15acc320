"""Where in a tensor a number goes through a vector of the processor: built-in kernels round differently there."""
import math
from collections.abc import Callable

import numpy as np


def in_vectors(x: np.ndarray, block: int, body: Callable, tail: Callable, run: int | None = None) -> np.ndarray:
    """Return body(x) where a whole vector of `block` numbers fits into a run, tail(x) for what is left of it.

    x : (calls, ...).  run : how many numbers in a row a loop covers; None for all of a call's.
    """
    size = math.prod(x.shape[1:])
    run = run or size
    runs, vectors = x.reshape(len(x), size // run, run), run - run % block
    parts = [body(runs[..., :vectors])] * (vectors > 0) + [tail(runs[..., vectors:])] * (vectors < run)
    return (parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)).reshape(x.shape)
