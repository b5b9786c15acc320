"""PAD, RESHAPE and CONCATENATION: codes move, and no runtime computes anything on the way.

Where the lines of input and output differ, a runtime either refuses the file or copies the codes as they are.
"""
import numpy as np

from xorlab.integer.operators import Concatenation, Pad, Reshape


def pad(op: Pad, x: np.ndarray) -> np.ndarray:
    """Return x (calls, ...) with the code of 0 around it: the output's zero point."""
    return np.pad(x, ((0, 0), *op.margins), constant_values=op.output.zero_point)


def reshape(op: Reshape, x: np.ndarray) -> np.ndarray:
    """Return what x (calls, ...) holds in another shape; float32 goes too."""
    return x.reshape(len(x), *op.shape(x.shape[1:]))


def concatenation(op: Concatenation, *x: np.ndarray) -> np.ndarray:
    """Return arrays (calls, ...) side by side; one with a single call stands beside each call of the others."""
    calls = max(map(len, x))
    return np.concatenate([np.broadcast_to(part, (calls, *part.shape[1:])) for part in x], axis=op.axis + 1)
