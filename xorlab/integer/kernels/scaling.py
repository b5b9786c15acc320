"""How a sum comes back to 8 bits: by which factor it is multiplied, and how the product is rounded."""
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xorlab.integer.fixed_point import doubling_high_multiply, quantize_multiplier, round_half_away

FLOAT_EXACT = 2**21                 # a sum below it, times a 31-bit multiplier, plus a half, is exact in float64


@dataclass(frozen=True)
class Rounding:
    """A way to multiply sums by real factors and round.

    steps(acc, factors) : whole numbers (..., units), those of acc (..., units), integers in any dtype, times factors
    (1,) or (units,).  working(acc, factor) : one product in words, up to its last rounding.
    """
    name: str
    steps: Callable
    working: Callable

    def __repr__(self):
        return f"<rounding {self.name}>"


def in_32_bits(sums: np.ndarray) -> np.ndarray:
    """Return sums as they are.  Raises ValueError if one does not fit into 32 bits, where runtimes wrap around."""
    low, high = np.min(sums, initial=0), np.max(sums, initial=0)
    if low < -(2**31) or high >= 2**31:
        raise ValueError(f"a layer's sums, before or after they are scaled up, reach from {low:,.0f} to {high:,.0f}; "
                         "beyond 32 bits runtimes wrap around, each in its way; take smaller weights, biases or scales")
    return sums


def multipliers(factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (multipliers, shifts), int64 (k,), of real factors (k,); see fixed_point.quantize_multiplier."""
    pairs = [quantize_multiplier(float(factor)) for factor in np.atleast_1d(factors)]
    return tuple(np.array(column, np.int64) for column in zip(*pairs, strict=True))


def high_product(acc, multiplier, shift):
    """Return acc * multiplier * 2**(shift - 31) rounded, ties up, but for the right shift that may follow."""
    left = np.maximum(shift, 0)
    acc = np.asarray(acc).astype(np.int64)
    if np.any(left):
        in_32_bits(acc * 2.0**left)
    return doubling_high_multiply(acc << left, multiplier)


def twice_away(acc, multiplier, shift):
    """Return acc * multiplier * 2**(shift - 31), rounded in the product, ties up, and after it, ties away from 0."""
    right = np.maximum(-shift, 0)
    product = high_product(acc, multiplier, shift)
    return (product + ((1 << right) >> 1) + ((product < 0) & (right > 0)) * np.int64(-1)) >> right


def twice_up(acc, multiplier, shift):
    """Return acc * multiplier * 2**(shift - 31), rounded in the product and after it, ties up both times."""
    right = np.maximum(-shift, 0)
    return (high_product(acc, multiplier, shift) + ((1 << right) >> 1)) >> right


def once(acc, multiplier, shift):
    """Return acc * multiplier * 2**(shift - 31) rounded once, ties up."""
    return (np.asarray(acc).astype(np.int64) * multiplier + (1 << (30 - shift))) >> (31 - shift)


def _in_integers(rounded):
    def steps(acc, factors):
        return rounded(acc, *multipliers(factors))
    return steps


def _in_float64(acc, factors):
    return round_half_away(in_32_bits(acc * np.float64(factors)))


def _in_float32(acc, factors):
    return np.rint(np.asarray(acc).astype(np.float32) * factors)        # NumPy's rint sends ties to the even neighbour


def _working_twice(ties):
    def working(acc, factor):
        multiplier, shift = quantize_multiplier(factor)
        product = int(high_product(acc, np.int64(multiplier), np.int64(shift)))
        left, right = max(shift, 0), max(-shift, 0)
        shifted = f"{acc}" if left == 0 else f"{acc} * 2^{left}"
        return (f"{shifted} * {multiplier} / 2^31 = {(acc << left) * multiplier / 2**31:.5f} -> {product}, "
                f"/ 2^{right} = {product / 2**right:.5f}, ties {ties}")
    return working


def _working_once(acc, factor):
    multiplier, shift = quantize_multiplier(factor)
    return f"{acc} * {multiplier} / 2^{31 - shift} = {acc * multiplier / 2.0 ** (31 - shift):.5f}, ties up"


def _working_in_floats(ties):
    def working(acc, factor):
        return f"{acc} * {factor:.9g} = {float(acc * factor):.5f}, ties {ties}"
    return working


AWAY = Rounding("twice, ties away from zero", _in_integers(twice_away), _working_twice("away from zero"))
UP = Rounding("twice, ties up", _in_integers(twice_up), _working_twice("up"))
ONCE = Rounding("once, ties up", _in_integers(once), _working_once)
REAL = Rounding("in float64, ties away from zero", _in_float64, _working_in_floats("away from zero"))
EVEN = Rounding("in float32, ties to even", _in_float32, _working_in_floats("to even"))


def highest_away(line, ceiling: float) -> int:
    """Return the largest code of an output on `line` that is cut at the real number `ceiling`."""
    return 127 if ceiling == math.inf else min(127, line.zero_point + int(round_half_away(_in_steps(line, ceiling))))


def highest_even(line, ceiling: float) -> int:
    """Return the same as XNNPACK rounds it: after adding the zero point in float32, ties to the even neighbour."""
    return int(np.rint(np.clip(_in_steps(line, ceiling) + np.float32(line.zero_point), -128, 127)))


def _in_steps(line, real):
    return np.float32(real) / np.float32(line.scale)


def to_codes(steps, op, highest: Callable = highest_away) -> np.ndarray:
    """Return int8 codes of whole output steps: the zero point added, cut as the operator's activation says."""
    return np.clip(steps + op.output.zero_point, op.lowest, highest(op.output, op.ceiling)).astype(np.int8)
