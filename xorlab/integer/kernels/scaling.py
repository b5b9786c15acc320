"""How a sum comes back to 8 bits: by which factor it is multiplied, and how the product is rounded."""
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xorlab.integer.fixed_point import quantize_multiplier
from xorlab.integer.unchecked import doubling_high_multiply, round_half_away

FLOAT64_EXACT = 2**21               # sums below it are scaled in float64 without an error; see _in_integers


@dataclass(frozen=True)
class Rounding:
    """A way to multiply sums by real factors and round.

    prepared(factors, shape) : of factors (1,) or (units,) a function from sums of a shape (n, ..., units), or fewer
    rows than n, whole numbers in any dtype, to as many steps, whole numbers. It answers in an array of its own, which
    its next call writes over: fresh memory for every block takes longer than the arithmetic.
    """
    name: str
    prepared: Callable

    def __repr__(self):
        return f"<rounding {self.name}>"

    def steps(self, acc: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """Return sums (..., units) times factors (1,) or (units,), rounded: whole numbers."""
        acc, factors = np.asarray(acc), np.atleast_1d(factors)
        shape = np.broadcast_shapes(acc.shape, factors.shape)
        return self.prepared(factors, shape)(np.broadcast_to(acc, shape))


def laid_out(numbers: np.ndarray, shape: tuple) -> np.ndarray:
    """Return numbers (units,) written out to a shape (..., units): NumPy is slow where its inner loop is as short as a
    few units. One number stays one.
    """
    return np.broadcast_to(numbers, [1] * len(shape) if len(numbers) == 1 else shape).copy()


def in_32_bits(sums: np.ndarray) -> np.ndarray:
    """Return sums as they are.  Raises ValueError if one does not fit into 32 bits, where runtimes wrap around."""
    low, high = np.min(sums, initial=0), np.max(sums, initial=0)
    if low < -(2**31) or high >= 2**31:
        raise ValueError(f"a layer's sums, before or after they are scaled up, reach from {low:,.0f} to {high:,.0f}; "
                         "beyond 32 bits runtimes wrap around, each in its way; take smaller weights, biases or scales")
    return sums


def multipliers(factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (multipliers, shifts), int64 (k,), of real factors (k,); see fixed_point.quantize_multiplier."""
    # scales whose product is too small for a float give 0, which runtimes take for "nothing arrives"
    pairs = [quantize_multiplier(float(factor)) if factor else (0, 0) for factor in np.atleast_1d(factors)]
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


def _in_integers(plain, nudge):
    """Return a Rounding's `prepared` for what `plain` computes in int64, in float64 wherever that makes no difference.

    A sum a below 2**21 times a multiplier below 2**31 is below 2**52, so y = a * multiplier * 2**(shift - 31) is exact.
    `plain` rounds y * 2**right, ties up, then divides by 2**right and rounds again, where right = -shift. Two floors in
    a row are one: floor((floor(y * 2**right + 1/2) + 2**(right-1)) / 2**right) = floor(y + 1/2 + 2**-(right+1)).
    Up to right = 21 that sum is exact too, a whole number below 2**53 of 2**-(31+right); from 22 on |y| is below 1/2
    by so much that both come to 0.

    nudge(y, step, spare) : add to y, in its place, what a rounding does before that floor and its half; step is
    2**-(right+1), or 0 where nothing is shifted right, and spare an array like y to work in.
    """
    def prepared(factors, shape):
        multiplier, shift = multipliers(factors)
        scale = laid_out(multiplier * np.ldexp(1.0, shift - 31), shape)
        step = laid_out(np.where(shift < 0, np.ldexp(1.0, shift - 1), 0), shape)
        widest = 2.0 ** max(shift.max(initial=0), 0)
        work, spare = np.empty((2, *shape))

        def steps(acc):
            largest = max(acc.max(initial=0), -float(acc.min(initial=0)))
            if largest >= FLOAT64_EXACT or largest * widest >= 2**31:
                return plain(acc, multiplier, shift)
            y = np.multiply(acc, scale[: len(acc)], out=work[: len(acc)])
            nudge(y, step[: len(acc)], spare[: len(acc)])
            y += 0.5
            return np.floor(y, out=y)
        return steps
    return prepared


def _away(y, step, spare):
    y += np.copysign(step, y, out=spare)        # below zero `plain` takes one off before it divides: 2 * step


def _up(y, step, _):
    y += step


def _not(*_):
    pass


def _in_float64(factors, shape):
    factors = laid_out(np.asarray(factors, np.float64), shape)
    return lambda acc: round_half_away(in_32_bits(acc * factors[: len(acc)]))


def _in_float32(factors, shape):
    factors, work = laid_out(np.float32(factors), shape), np.empty(shape, np.float32)

    def steps(acc):
        # sums in whatever dtype are rounded to float32 first, as the runtime does
        y = np.multiply(acc, factors[: len(acc)], out=work[: len(acc)], dtype=np.float32, casting="same_kind")
        return np.rint(y, out=y)                # NumPy's rint sends ties to the even neighbour
    return steps


AWAY = Rounding("twice, ties away from zero", _in_integers(twice_away, _away))
UP = Rounding("twice, ties up", _in_integers(twice_up, _up))
ONCE = Rounding("once, ties up", _in_integers(once, _not))
REAL = Rounding("in float64, ties away from zero", _in_float64)
EVEN = Rounding("in float32, ties to even", _in_float32)


def highest_away(line, ceiling: float) -> int:
    """Return the largest code of an output on `line` that is cut at the real number `ceiling`."""
    return 127 if ceiling == math.inf else min(127, line.zero_point + int(round_half_away(_in_steps(line, ceiling))))


def highest_even(line, ceiling: float) -> int:
    """Return the same as XNNPACK rounds it: after adding the zero point in float32, ties to the even neighbour."""
    return int(np.rint(np.clip(_in_steps(line, ceiling) + np.float32(line.zero_point), -128, 127)))


def _in_steps(line, real):
    return np.float32(real) / np.float32(line.scale)


def to_codes(steps, op, highest: Callable = highest_away, out: np.ndarray | None = None) -> np.ndarray:
    """Return int8 codes of whole output steps: the zero point added, cut as the operator's activation says.

    out : an array like steps, perhaps they themselves, to work in.
    """
    zero_point = op.output.zero_point
    inside = np.clip(steps, op.lowest - zero_point, highest(op.output, op.ceiling) - zero_point, out=out)
    inside += zero_point
    return inside.astype(np.int8)
