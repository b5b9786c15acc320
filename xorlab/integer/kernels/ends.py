"""QUANTIZE and DEQUANTIZE: where float32 numbers become codes, and codes numbers."""
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xorlab.integer.kernels.places import in_vectors
from xorlab.integer.operators import Dequantize, Quantize
from xorlab.integer.unchecked import round_half_away

STEPS_LIMIT = 2**31 - 256           # with a zero point added, a whole number of steps below it fits into 32 bits


@dataclass(frozen=True)
class QuantizeKernel:
    """of_floats(op, x) : codes of float32 x.  of_codes : kernel for codes of another line."""
    of_floats: Callable
    of_codes: Callable

    def __call__(self, op: Quantize, x: np.ndarray) -> np.ndarray:
        return self.of_floats(op, x) if op.input is None else self.of_codes(op, x)


def quantize(op: Quantize, x: np.ndarray) -> np.ndarray:
    """Divide, round ties away from zero: TFLite Micro, LiteRT's reference kernels."""
    _check(op, x)
    return op.output.quantize(x)


def quantize_even(op: Quantize, x: np.ndarray) -> np.ndarray:
    """Multiply by the reciprocal, round ties to the even neighbour: XNNPACK."""
    _check(op, x)
    steps = np.rint(x * (np.float32(1) / np.float32(op.output.scale)))
    return np.clip(steps.astype(np.float64) + op.output.zero_point, -128, 127).astype(np.int8)


def quantize_in_vectors(op: Quantize, x: np.ndarray) -> np.ndarray:
    """As XNNPACK 8 numbers at a time; what is left in float64, ties away from zero: LiteRT's built-in kernel."""
    def tail(left):
        steps = round_half_away(left.astype(np.float64) / op.output.scale)
        return np.clip(steps + op.output.zero_point, -128, 127).astype(np.int8)
    _check(op, x)
    return in_vectors(x, 8, lambda body: quantize_even(op, body), tail)


def _check(op, x):
    """Raise ValueError for numbers of which runtimes make different codes: they have no rule in common there."""
    with np.errstate(over="ignore"):
        fits = np.abs(x / np.float32(op.output.scale)) < STEPS_LIMIT    # false for NaN
    if not fits.all():
        raise ValueError(f"QUANTIZE cannot make a code of {x[~fits].flat[0]}: at scale {op.output.scale:.9g} that is "
                         "no number of steps within 32 bits, and runtimes differ there; give finite numbers below "
                         f"{STEPS_LIMIT * op.output.scale:.3g} in size")


def dequantize(op: Dequantize, x: np.ndarray) -> np.ndarray:
    """Subtract the zero point, then multiply: TFLite Micro, LiteRT's reference kernels, XNNPACK."""
    return op.input.dequantize(x)


def dequantize_in_vectors(op: Dequantize, x: np.ndarray) -> np.ndarray:
    """Multiply, then subtract, 8 codes at a time: LiteRT's built-in kernel."""
    scale = np.float32(op.input.scale)
    return in_vectors(x, 8, lambda body: body.astype(np.float32) * scale + np.float32(-op.input.zero_point) * scale,
                      lambda tail: dequantize(op, tail))
