"""FULLY_CONNECTED, CONV_2D and DEPTHWISE_CONV_2D: a sum of products, then one way for all to bring it to 8 bits.

A sum is exact in whatever order and number format holds all its parts; see Weighted.in_floats. A call is made in blocks
that stay in the processor's cache.
"""
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided

from xorlab.integer.kernels.scaling import AWAY, UP, Rounding, highest_away, in_32_bits, to_codes
from xorlab.integer.operators import Conv2D, DepthwiseConv2D, FullyConnected, Weighted

SUMS_AT_ONCE = 2**15                # brought to 8 bits, which takes 8 bytes for each several times over
NUMBERS_AT_ONCE = 2**17             # that a product of matrices, or a tap of a window, takes in


@dataclass(frozen=True)
class WeightedKernel:
    """factors(op) : from sums to output steps.  roundings(op, shape) : [(slice of units, Rounding)], where `shape` is
    the output's in a call.  highest(line, ceiling) : the largest code of a cut output.
    """
    factors: Callable
    roundings: Callable
    highest: Callable = highest_away

    def __call__(self, op: Weighted, x: np.ndarray) -> np.ndarray:
        """Return the output codes int8 (calls, ..., units) of codes int8 (calls, ...)."""
        out = np.empty((len(x), *op.shape(x.shape[1:])), np.int8)
        to_codes = self._to_codes(op, out.shape)
        for rows, sums in _blocks(op, x, out):
            to_codes(sums, rows)
        return out

    def accumulate(self, op: Weighted, x: np.ndarray) -> np.ndarray:
        """Return the sums int64 (calls, ..., units) of codes int8 (calls, ...).

        Raises ValueError, as a call does, for a sum that does not fit into 32 bits: runtimes have no answer in common
        there.
        """
        out = np.empty((len(x), *op.shape(x.shape[1:])), np.int64)
        for rows, sums in _blocks(op, x, out):
            rows[...] = sums
        return out

    def requantize(self, op: Weighted, acc: np.ndarray) -> np.ndarray:
        """Return the output codes int8 of sums, both (calls, ..., units)."""
        out = np.empty(acc.shape, np.int8)
        self._to_codes(op, acc.shape)(acc.reshape(-1, op.units), out.reshape(-1, op.units))
        return out

    def _to_codes(self, op, shape):
        """Return a function that writes codes of sums (n, units) into an array, for a tensor (calls, ..., units)."""
        factors, at_once = self.factors(op), max(1, min(SUMS_AT_ONCE, math.prod(shape)) // op.units)
        parts = [(units, rounding.prepared(factors if len(factors) == 1 else factors[units],
                                           (at_once, len(range(op.units)[units]))))
                 for units, rounding in self.roundings(op, shape[1:])]

        def write(sums, codes):
            for start in range(0, len(sums), at_once):
                block = slice(start, start + at_once)
                for units, to_steps in parts:
                    steps = to_steps(sums[block, units])
                    codes[block, units] = to_codes(steps, op, self.highest, out=steps)
        return write


def everywhere(rounding: Rounding) -> Callable:
    return lambda op, shape: [(slice(None), rounding)]


def by_ruy(rounding: Rounding, alone: Rounding | None = None) -> Callable:
    """Return how LiteRT's built-in kernels round a product of matrices that they hand to the library ruy.

    alone : what a product with one column takes, from 4 units and depth 8 on, if that differs: LiteRT hands it not to
    ruy but to matrix-vector code of its own.  A convolution in groups goes to a kernel without ruy.
    Source: cpu_backend_gemm.h, cpu_backend_gemm_custom_gemv.h and optimized_ops.h of TensorFlow Lite.
    """
    def roundings(op, shape):
        if isinstance(op, Conv2D) and op.groups > 1:
            return [(slice(None), AWAY)]
        units, depth = op.units, op.weights.size // op.units
        one_column = np.prod(shape[:-1]) == 1 and units >= 4 and depth >= 8
        return [(slice(None), alone if alone and one_column else rounding)]
    return roundings


def in_blocks_of_8(op: Weighted, shape: tuple) -> list:
    """Return how LiteRT's built-in kernel for DEPTHWISE_CONV_2D rounds: vectors of 8 channels, then one at a time."""
    vectors = op.units - op.units % 8
    parts = [(slice(vectors), UP), (slice(vectors, None), AWAY)]
    return [(units, rounding) for units, rounding in parts if len(range(op.units)[units])]


def _blocks(op, x, out):
    """Yield (rows of an array `out` (calls, ..., units), their sums (n, units)) of codes x until all rows are done."""
    rows, start = out.reshape(-1, op.units), 0
    for sums in SUMS[type(op)](op, x):
        yield rows[start : start + len(sums)], sums if op.largest_sum < 2**31 else in_32_bits(sums)
        start += len(sums)


def _in_parts(x, numbers):
    """Yield x in parts as long as is worth it where each row of x takes so many numbers."""
    at_once = max(1, NUMBERS_AT_ONCE // numbers)
    return (x[start : start + at_once] for start in range(0, len(x), at_once))


def _products(seen, weights):
    """Return the sums (n, units) of what units see, codes (groups, ..., depth) split in whatever way, times weights
    (groups, units of a group, depth + 1). A column of ones takes the last of them along, the biases.
    """
    groups, units, width = weights.shape
    columns = np.empty((groups, seen.size // (groups * (width - 1)), width), weights.dtype)
    columns[..., -1] = 1
    columns[..., :-1].reshape(seen.shape)[...] = seen           # a view: one axis split into several
    return np.moveaxis(columns @ weights.transpose(0, 2, 1), 0, 1).reshape(-1, groups * units)


def _dense_sums(op, x):
    for rows in _in_parts(x.reshape(-1, op.weights.shape[1]), sum(op.weights.shape)):
        yield _products(rows[None], op.in_floats[None])


def _padded(op, x):
    """Return x (calls, n, h, w, c) as pictures (calls * n, ...) with the margin of zero points that the padding says.
    """
    pictures, margins = x.reshape(-1, *x.shape[2:]), op.margins(x.shape[1:])
    if not any(map(any, margins)):
        return pictures
    (top, bottom), (left, right) = margins
    n, tall, wide, channels = pictures.shape
    padded = np.full((n, top + tall + bottom, left + wide + right, channels), op.input.zero_point, np.int8)
    padded[:, top : top + tall, left : left + wide] = pictures
    return padded


def _windows(op, pictures, extent):
    """Return what each window sees of pictures (n, h, w, ...): a view (n, *extent, *window, ...)."""
    n, down, across, *more = pictures.strides
    strides = (n, down * op.stride[0], across * op.stride[1], down * op.dilation[0], across * op.dilation[1], *more)
    return as_strided(pictures, (len(pictures), *extent, *op.reach(), *pictures.shape[3:]), strides, writeable=False)


def _convolution_sums(op, x):
    return _sums_in_groups(op, x, op.groups)


def _sums_in_groups(op, x, groups):
    extent, weights = op.extent(x.shape[1:]), op.in_floats.reshape(groups, op.units // groups, -1)
    for pictures in _in_parts(_padded(op, x), math.prod(extent) * weights.shape[2]):
        split = pictures.reshape(*pictures.shape[:3], groups, -1)
        yield _products(np.moveaxis(_windows(op, split, extent), 5, 0), weights)


def _depthwise_sums(op, x):
    if x.shape[-1] == 1:                        # every unit sees the one channel
        return _sums_in_groups(op, x, groups=1)
    return _sums_by_taps(op, x)


def _sums_by_taps(op, x):
    """Yield the sums of a depthwise convolution, all pictures seen through one place of the window at a time.

    NumPy is slow where its inner loop is as short as a few channels. So columns of pictures are sorted by what the
    stride across leaves of them: then a row that such a place sees is one stretch of memory.
    """
    (tall, wide), (down, across) = op.extent(x.shape[1:]), op.stride
    taps = np.repeat(op.in_floats[:, :-1].T.reshape(*op.reach(), 1, op.units), wide, axis=2)
    for pictures in _in_parts(_padded(op, x), tall * wide * op.units):
        if op.multiplier > 1:
            pictures = np.repeat(pictures, op.multiplier, axis=-1)
        n, height, width, _ = pictures.shape
        seen = np.empty((n, height, across, -(-width // across), op.units), taps.dtype)
        for rest in range(across):
            columns = pictures[:, :, rest::across]
            seen[:, :, rest, : columns.shape[2]] = columns
        sums = np.empty((n, tall, wide, op.units), taps.dtype)
        sums[...], product = op.in_floats[:, -1], np.empty_like(sums)
        for row, column in np.ndindex(*op.reach()):
            top, (left, rest) = row * op.dilation[0], divmod(column * op.dilation[1], across)
            part = seen[:, top : top + (tall - 1) * down + 1 : down, rest, left : left + wide]
            sums += np.multiply(part, taps[row, column], out=product)
        yield sums.reshape(-1, op.units)


SUMS = {FullyConnected: _dense_sums, Conv2D: _convolution_sums, DepthwiseConv2D: _depthwise_sums}
