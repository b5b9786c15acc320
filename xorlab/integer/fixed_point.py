"""Fixed point: real factors as integers, products that stay in 32 bits, and exp, logistic and tanh without floats.

Numbers are written as Qm.n: an integer that stands for itself divided by 2**n.
"""
import math
import numbers
from functools import lru_cache

import numpy as np

from xorlab import arguments
from xorlab.integer import unchecked

LARGEST = float(np.finfo(np.float64).max)


def round_half_away(x):
    """Round to the nearest whole number, ties away from zero, as C's `round` does.

    NumPy's and Python's own `round` send ties to the even neighbour instead: 0.5 -> 0, 2.5 -> 2.
    x : a float or an array of floats.  Returns floats of the same shape.
    """
    with np.errstate(invalid="ignore"):                         # infinity has no fraction
        return unchecked.round_half_away(arguments.numbers_in("x", x, kinds="fiu", finite=False))


def quantize_multiplier(scale):
    """Split a positive real scale into a Q0.31 multiplier and a power-of-two shift.

    scale : the real factor, e.g. input_scale * weight_scale / output_scale (> 0).
    Returns (multiplier, shift) with scale ~ multiplier / 2**31 * 2**shift and 2**30 <= multiplier < 2**31; a scale
    too small to matter gives (0, 0).
    Raises ValueError if scale is not finite and positive.
    Source: Jacob et al. 2018 (arXiv:1712.05877), section 2.2.
    """
    real = isinstance(scale, numbers.Real) and not isinstance(scale, bool)
    if not real or not 0 < (float(scale) if isinstance(scale, np.floating) else scale) <= LARGEST:
        raise ValueError(f"scale must be finite and positive, got {arguments.shown(scale)}")
    return _split(scale)


@lru_cache(maxsize=2**14)                   # a net asks for the same few factors again in each of its runs
def _split(scale):
    mantissa, shift = math.frexp(scale)                 # 0.5 <= mantissa < 1
    multiplier = int(unchecked.round_half_away(mantissa * 2**31))
    if multiplier == 2**31:                             # rounding carried into the next power of two
        multiplier, shift = 2**30, shift + 1
    return (multiplier, shift) if shift >= -31 else (0, 0)


def doubling_high_multiply(a, b):
    """Return a * b / 2**31 rounded to the nearest whole number: gemmlowp's saturating rounding doubling high multiply.

    a, b : int64 arrays or ints holding int32 values.  Returns int64.  Half a unit is rounded up.
    """
    a, b = _whole_numbers("a", a), _whole_numbers("b", b)
    if _largest(a) * _largest(b) >= 2**63:
        raise ValueError(f"a and b must hold 32-bit numbers, got up to {_largest(a)} and {_largest(b)} in size")
    return unchecked.doubling_high_multiply(a, b)


def _whole_numbers(name, value, bits=64):
    """Return whole numbers that fit into so many bits as int64."""
    value = arguments.numbers_in(name, value, kinds="iu")
    if _largest(value) >= 2 ** (bits - 1) and (bits < 64 or value.dtype.kind == "u"):
        raise ValueError(f"{name} must hold {bits}-bit numbers, got {_largest(value)} in size")
    return value.astype(np.int64)


def _largest(value):
    return max(-int(value.min(initial=0)), int(value.max(initial=0)))


def divide_by_power_of_two(x, exponent):
    """Return x / 2**exponent rounded to the nearest whole number, ties away from zero (gemmlowp).

    x : int64 array or int.  exponent : 0 to 62, one number or an array.
    """
    x, exponent = _whole_numbers("x", x), _whole_numbers("exponent", exponent)
    if exponent.min(initial=0) < 0 or exponent.max(initial=0) > 62:
        raise ValueError(f"exponent must be from 0 to 62, got {exponent.min()} to {exponent.max()}")
    return unchecked.divide_by_power_of_two(x, exponent)


def fixed_point_logistic(x):
    """Return the logistic function of Q4.27 numbers as Q0.31: int64 arrays holding int32 values.  Source: gemmlowp."""
    return unchecked.fixed_point_logistic(_whole_numbers("x", x, bits=32))


def fixed_point_tanh(x):
    """Return tanh of Q4.27 numbers as Q0.31: int64 arrays holding int32 values.  Source: gemmlowp."""
    return unchecked.fixed_point_tanh(_whole_numbers("x", x, bits=32))


def fixed_point_exp(x, integer_bits: int):
    """Return exp of numbers <= 0 as Q0.31: a polynomial on the last quarter, then a table of exp(-2**k).

    x : int64 array holding Qm.n numbers with m = integer_bits, 2 to 5, and n = 31 - m.  Source: gemmlowp.
    """
    x, integer_bits = _whole_numbers("x", x), arguments.whole("integer_bits", integer_bits, 2, 5)
    if x.max(initial=0) > 0 or _largest(x) > 2**31:
        raise ValueError(f"x must hold 32-bit numbers of 0 or less, got {x.min()} to {x.max()}")
    return unchecked.fixed_point_exp(x, integer_bits)


def fixed_point_reciprocal(x):
    """Return 1 / (1 + x) of Q0.31 numbers in [0, 1] as Q0.31: int64 arrays holding int32 values.  Source: gemmlowp."""
    x = _whole_numbers("x", x)
    if x.min(initial=0) < 0 or x.max(initial=0) > 2**31:
        raise ValueError(f"x must hold Q0.31 numbers from 0 to 1, got {x.min()} to {x.max()}")
    return unchecked.fixed_point_reciprocal(x)
