"""SOFTMAX: shares along the last axis, from a table of exponentials."""
import numpy as np

from xorlab.integer.fixed_point import quantize_multiplier
from xorlab.integer.kernels import libm
from xorlab.integer.operators import Softmax
from xorlab.integer.unchecked import (
    divide_by_power_of_two,
    doubling_high_multiply,
    fixed_point_exp,
    fixed_point_reciprocal,
    round_half_away,
)

BELOW = np.arange(256)              # by how many codes a number can be below the largest


def _below(x):
    """Return by how many codes each number is below the largest of its row: (calls, ...)."""
    codes = x.astype(np.intp)
    return codes.max(axis=-1, keepdims=True) - codes


def fixed_point_softmax(op: Softmax, x: np.ndarray) -> np.ndarray:
    """TFLite Micro, LiteRT's reference kernels.  Source: Softmax of TensorFlow Lite's reference kernels, gemmlowp.

    Raises ValueError where these end the process: exponentials that add up to 512 or more; no scale to speak of.
    """
    scale = np.float64(op.input.scale) * np.float64(np.float32(op.beta)) * 2**26
    if not scale > 1:
        raise ValueError(f"SOFTMAX of codes {op.input.scale:g} apart, times beta {op.beta:g}: TensorFlow Lite's "
                         f"reference kernels and TFLite Micro end the process unless the product is above {2**-26:g}")
    multiplier, shift = quantize_multiplier(min(scale, 2**31 - 1.0))
    lowest = (31 << 26) >> shift
    counts = lowest >= BELOW
    exps = np.where(counts, fixed_point_exp(doubling_high_multiply(
        np.where(counts, -BELOW, 0).astype(np.int64) << shift, multiplier), 5), 0)      # Q0.31
    below = _below(x)
    sums = divide_by_power_of_two(exps, 12)[below].sum(axis=-1, keepdims=True)          # Q12.19
    if (sums >= 512 << 19).any():
        raise ValueError(f"SOFTMAX: exponentials of a row add up to {sums.max() / 2**19:g}; from 512 on TensorFlow "
                         "Lite's reference kernels and TFLite Micro end the process; the rule ruy or xnnpack has an "
                         "answer")
    bits = np.frexp(sums.astype(np.float64))[1].astype(np.int64)                        # sum < 2**bits, bits from 20
    reciprocal = fixed_point_reciprocal((sums << (32 - bits)) - 2**31)
    shares = divide_by_power_of_two(doubling_high_multiply(reciprocal, exps[below]), bits + 3)
    return np.where(counts[below], np.minimum(shares - 128, 127), -128).astype(np.int8)


def float_softmax(op: Softmax, x: np.ndarray) -> np.ndarray:
    """LiteRT's built-in kernel: float32, the exponentials added in their order."""
    scale = -np.float32(op.input.scale) * np.float32(op.beta)
    exps = libm.exp(scale * BELOW.astype(np.float32))[_below(x)]
    sums = np.add.accumulate(exps, axis=-1)[..., -1:]                   # np.sum would add in pairs
    shares = exps * (np.float32(1) / (sums * np.float32(op.output.scale)))
    return np.clip(round_half_away(shares) - 128, -128, 127).astype(np.int8)
