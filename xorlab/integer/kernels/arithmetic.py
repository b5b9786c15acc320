"""ADD, SUB and MUL: two codes decide, so a table of all 65,536 pairs holds every answer.

LiteRT's built-in kernels have two tables, one for the vectors of the processor and one for what is left; where which
counts depends on how the two shapes are broadcast.
"""
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from xorlab.integer.affine import CODES
from xorlab.integer.fixed_point import quantize_multiplier
from xorlab.integer.kernels.places import in_vectors
from xorlab.integer.kernels.scaling import AWAY, EVEN, highest_even, to_codes, twice_away
from xorlab.integer.operators import Add, Mul, Sub
from xorlab.integer.unchecked import doubling_high_multiply

HEADROOM = 20                       # bits by which an addend is shifted up before it is scaled
AT_ONCE = 2**15                     # pairs that are looked up
# which axes LiteRT takes together, from the innermost outwards, by the lengths a and b that the operands have there
FIVE_GROUPS = (operator.eq, lambda a, b: a == 1, operator.eq, lambda a, b: b == 1, operator.eq)
_table = lru_cache(maxsize=64)      # tables that were made last are kept, 64 KiB each


@dataclass(frozen=True)
class PairKernel:
    """table(op) : the output code of each pair of input codes, int8 (256, 256), both from -128 up."""
    table: Callable

    def __call__(self, op: Add | Sub | Mul, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return _looked_up(self.table(op), _pairs(x, y))


@dataclass(frozen=True)
class VectorPairKernel:
    """body, tail(op) : tables as in PairKernel.  block : how many codes a vector holds.

    scalar, scalar_block : table and vector of a loop in which one operand stays the same.
    """
    tail: Callable
    body: Callable
    block: int
    scalar: Callable
    scalar_block: int

    def __call__(self, op: Add | Mul, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        run, alone = innermost_run(x.shape[1:], y.shape[1:])
        body, block = (self.scalar, self.scalar_block) if alone else (self.body, self.block)
        tables = [lambda pairs, table=table: _looked_up(table(op), pairs) for table in (body, self.tail)]
        return in_vectors(_pairs(x, y), block, *tables, run=run)


@dataclass(frozen=True)
class Either:
    """What XNNPACK takes it computes with its own kernel; the rest goes to LiteRT's built-in one."""
    takes: Callable
    own: Callable
    other: Callable

    def __call__(self, op, *x: np.ndarray) -> np.ndarray:
        return (self.own if self.takes(op) else self.other)(op, *x)


def _pairs(x, y):
    """Return the places of pairs of codes in a flat table, uint16, of (calls, ...) and (calls, ...) that are broadcast.

    Without its sign a code is one from 0 up, but for its highest bit.
    """
    axes = max(x.ndim, y.ndim)
    x, y = (codes.reshape(len(codes), *(1,) * (axes - codes.ndim), *codes.shape[1:]).view(np.uint8) ^ np.uint8(128)
            for codes in (x, y))
    return x.astype(np.uint16) * np.uint16(256) + y


def _looked_up(table, pairs):
    """Return the entries of a table of pairs, int8, at their places, some at a time: NumPy makes 8 bytes of each."""
    table, places, out = table.reshape(-1), pairs.reshape(-1), np.empty(pairs.shape, np.int8)
    flat = out.reshape(-1)
    for start in range(0, len(places), AT_ONCE):
        block = slice(start, start + AT_ONCE)
        table.take(places[block].astype(np.intp), out=flat[block], mode="clip")     # no place is looked at twice
    return out


def innermost_run(first: tuple, second: tuple) -> tuple[int | None, bool]:
    """Return (how many numbers in a row LiteRT's innermost loop covers, whether one operand stays the same in it).

    first, second : shapes of one call. The run is None where the two are equal: all of it. It is 1 for shapes that
    do not fall into at most five groups of axes, of which only every other one is broadcast.
    Source: ProcessBroadcastShapes and BinaryBroadcastFiveFold of TensorFlow Lite.
    """
    axes = max(len(first), len(second))
    a, b = ((1,) * (axes - len(shape)) + tuple(shape) for shape in (first, second))
    if a == b:
        return None, False
    pairs = list(zip(a, b, strict=True))
    inner = next(pair for pair in reversed(pairs) if pair[0] != pair[1])
    if inner[1] == 1:                                           # the one that is broadcast innermost comes first
        pairs = [pair[::-1] for pair in pairs]
    groups = []
    for fits in FIVE_GROUPS:
        length = 1
        while pairs and fits(*pairs[-1]):
            length *= max(pairs.pop())
        groups.append(length)
    if pairs:
        return 1, False
    return (groups[0], False) if groups[0] > 1 else (groups[1], True)


def _centred(op):
    """Return the codes less their zero points as a column and as a row, int64 (256, 1) and (1, 256)."""
    codes = CODES.astype(np.int64)
    return (codes - op.input.zero_point)[:, None], (codes - op.other.zero_point)[None, :]


def _sum_of(op, first, second):
    """Return the sum, or the difference, of scaled codes in whole output steps."""
    _, multiplier, shift = _addition(op)
    return twice_away(first - second if isinstance(op, Sub) else first + second, multiplier, shift)


def _addition(op):
    """Return [(multiplier, shift) of the first addend and of the second], and multiplier and shift of the sum."""
    first, second, out = (np.float64(line.scale) for line in (op.input, op.other, op.output))
    twice = 2 * max(first, second)
    factor = twice / (2**HEADROOM * out)
    if factor >= 1:
        raise ValueError(f"{op.name} from scales {first:g} and {second:g} to {out:g}: an input scale of 2^19 output "
                         "scales or more ends TensorFlow Lite's built-in kernels; take a larger output scale")
    return [quantize_multiplier(first / twice), quantize_multiplier(second / twice)], *quantize_multiplier(factor)


@_table
def sum_in_turn(op: Add | Sub) -> np.ndarray:
    """Every addend is rounded after its product, then the sum: TFLite Micro, LiteRT's reference kernels."""
    factors, *_ = _addition(op)
    return to_codes(_sum_of(op, *(twice_away(c << HEADROOM, *factor)
                                  for c, factor in zip(_centred(op), factors, strict=True))), op)


@_table
def sum_in_vectors(op: Add) -> np.ndarray:
    """An addend is shifted up by less instead of divided: LiteRT's built-in kernel, 16 codes at a time."""
    def scaled(c, multiplier, shift):
        up = HEADROOM + shift
        return doubling_high_multiply(c << up if up >= 0 else c >> -up, multiplier)
    return _narrowed_sum(op, scaled)


@_table
def sum_with_a_scalar(op: Add) -> np.ndarray:
    """An addend's division cuts: LiteRT's built-in kernel, 8 codes at a time, where one operand stays the same."""
    def scaled(c, multiplier, shift):
        return doubling_high_multiply(c << HEADROOM, multiplier) >> -shift
    return _narrowed_sum(op, scaled)


def _narrowed_sum(op, scaled):
    factors, *_ = _addition(op)
    steps = _sum_of(op, *(scaled(c, *factor) for c, factor in zip(_centred(op), factors, strict=True)))
    return _saturated(op, steps.astype(np.int16))


def _saturated(op, steps):
    """Return codes of steps int16; the zero point is added in 16 bits, which wrap around."""
    return to_codes((steps + np.int16(op.output.zero_point)).astype(np.int64) - op.output.zero_point, op)


def _ratios(op):
    """Return what a step of each input is worth in output steps, in float32."""
    return [np.float32(line.scale) / np.float32(op.output.scale) for line in (op.input, op.other)]


def xnnpack_adds(op: Add | Sub) -> bool:
    """Tell whether XNNPACK takes an addition: within a range of scales."""
    return all(1 / 1024 <= ratio < 256 for ratio in _ratios(op))


@_table
def xnnpack_sum(op: Add | Sub) -> np.ndarray:
    """Source: xnn_init_qs8_add_minmax_params of XNNPACK."""
    ratios = _ratios(op)
    shift = HEADROOM - (math.frexp(max(ratios))[1] - 1)
    first, second = (int(np.rint(ratio * 2.0**shift)) for ratio in ratios)
    a, b = _centred(op)
    steps = (a * first + b * (-second if isinstance(op, Sub) else second) + (1 << (shift - 1))) >> shift
    return to_codes(steps, op, highest_even)


def product_factor(op: Mul) -> np.float64:
    """Return what a product's unit is worth in output steps."""
    return np.float64(op.input.scale) * np.float64(op.other.scale) / np.float64(op.output.scale)


def product_factor_in_float32(op: Mul) -> np.float32:
    """Return `product_factor` with every step rounded to float32."""
    return np.float32(op.input.scale) * np.float32(op.other.scale) / np.float32(op.output.scale)


def _product(op):
    first, second = _centred(op)
    return first * second


def _product_away(op, factor):
    """Return products of codes in whole output steps.  Raises ValueError where they do not stay within 32 bits."""
    product, left = _product(op), max(0, math.frexp(factor)[1])
    if np.abs(product).max() * 2.0**left >= 2**31:
        raise ValueError(f"MUL from scales {op.input.scale:g} and {op.other.scale:g} to {op.output.scale:g}: a product "
                         f"of codes is worth {factor:g} output steps, and runtimes wrap around beyond 32 bits; take a "
                         "larger output scale")
    return AWAY.steps(product, [factor])


@_table
def tflm_product(op: Mul) -> np.ndarray:
    return to_codes(_product_away(op, product_factor(op)), op)


@_table
def litert_product(op: Mul) -> np.ndarray:
    return to_codes(_product_away(op, product_factor_in_float32(op)), op)


@_table
def product_in_vectors(op: Mul) -> np.ndarray:
    """LiteRT's built-in kernel, 16 codes at a time: the product saturates at 16 bits."""
    steps = _product_away(op, product_factor_in_float32(op))
    return _saturated(op, np.clip(steps, -(2**15), 2**15 - 1).astype(np.int16))


def xnnpack_multiplies(op: Mul) -> bool:
    """Tell whether XNNPACK takes a multiplication: within a range of scales."""
    return 2**-16 <= product_factor_in_float32(op) < 256


@_table
def xnnpack_product(op: Mul) -> np.ndarray:
    return to_codes(EVEN.steps(_product(op), product_factor_in_float32(op)), op, highest_even)


LITERT_ADD = VectorPairKernel(sum_in_turn, sum_in_vectors, 16, sum_with_a_scalar, 8)
LITERT_MUL = VectorPairKernel(litert_product, product_in_vectors, 16, product_in_vectors, 16)
SUM, TFLM_MUL, REFERENCE_MUL = map(PairKernel, (sum_in_turn, tflm_product, litert_product))
XNNPACK_ADD = Either(xnnpack_adds, PairKernel(xnnpack_sum), LITERT_ADD)
XNNPACK_SUB = Either(xnnpack_adds, PairKernel(xnnpack_sum), SUM)
XNNPACK_MUL = Either(xnnpack_multiplies, PairKernel(xnnpack_product), LITERT_MUL)
