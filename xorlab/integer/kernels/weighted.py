"""FULLY_CONNECTED, CONV_2D and DEPTHWISE_CONV_2D: a sum of products, then one way for all to bring it to 8 bits.

A sum is exact in whatever order and number format: products of codes and weights are below 2**15, so float32 holds
every partial sum as long as the weights of a unit add up, without their signs, to less than 2**24 / 255, and float64
holds all that 32 bits do.
"""
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xorlab.integer.kernels.scaling import AWAY, UP, Rounding, highest_away, in_32_bits, to_codes
from xorlab.integer.operators import Conv2D, DepthwiseConv2D, FullyConnected, Weighted

FLOAT32_EXACT, FLOAT64_EXACT = 2**24, 2**53
LARGEST_INPUT = 255                 # of a code minus its zero point


@dataclass(frozen=True)
class WeightedKernel:
    """factors(op) : from sums to output steps.  roundings(op, shape) : [(slice of units, Rounding)], where `shape` is
    the output's in a call.  highest(line, ceiling) : the largest code of a cut output.
    """
    factors: Callable
    roundings: Callable
    highest: Callable = highest_away

    def __call__(self, op: Weighted, x: np.ndarray) -> np.ndarray:
        return self.requantize(op, self.accumulate(op, x))

    def accumulate(self, op: Weighted, x: np.ndarray) -> np.ndarray:
        """Return the sums int64 (calls, ..., units) of codes int8 (calls, ...).

        Raises ValueError for a sum that does not fit into 32 bits: runtimes have no answer in common there.
        """
        sums = SUMS[type(op)](op, x).astype(np.int64) + op.biases
        return sums if largest_sum(op) < 2**31 else in_32_bits(sums)

    def requantize(self, op: Weighted, acc: np.ndarray) -> np.ndarray:
        """Return the output codes int8 of sums, both (calls, ..., units)."""
        return to_codes(self.steps(op, acc), op, self.highest)

    def steps(self, op: Weighted, acc: np.ndarray) -> np.ndarray:
        """Return sums in whole output steps, both (calls, ..., units)."""
        factors = np.broadcast_to(self.factors(op), op.units)
        parts = [rounding.steps(acc[..., units], factors[units])
                 for units, rounding in self.roundings(op, acc.shape[1:])]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)


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


def largest_sum(op: Weighted) -> int:
    """Return what no sum of the operator exceeds, whatever the codes."""
    return int((_magnitudes(op) * LARGEST_INPUT + np.abs(op.biases)).max(initial=0))


def _magnitudes(op):
    """Return the sum of the sizes of each unit's weights, int64 (units,)."""
    return np.abs(op.weights).sum(axis=tuple(i for i in range(op.weights.ndim) if i != op.unit_axis))


def _exact_type(op):
    """Return the smaller float type in which every partial sum of products of the operator is exact."""
    return np.float32 if _magnitudes(op).max(initial=0) * LARGEST_INPUT < FLOAT32_EXACT else np.float64


def _centred(op, x, kind):
    return x.astype(kind) - kind(op.input.zero_point)


def _dense_sums(op, x):
    kind = _exact_type(op)
    rows = _centred(op, x, kind).reshape(-1, op.weights.shape[1])
    return (rows @ op.weights.T.astype(kind)).reshape(len(x), *op.shape(x.shape[1:]))


def _padded(op, x):
    """Return x (calls, n, h, w, c) as pictures (calls * n, ...) with a margin of zeros as the padding says."""
    down, across = op.margins(x.shape[1:])
    return np.pad(x.reshape(-1, *x.shape[2:]), ((0, 0), down, across, (0, 0)))


def _taps(op, pictures, extent):
    """Yield (row, column, what the window's tap there sees (n, *extent, c)) for each tap of the window."""
    (down, across), (tall, wide) = op.stride, extent
    for row in range(op.reach()[0]):
        for column in range(op.reach()[1]):
            top, left = row * op.dilation[0], column * op.dilation[1]
            yield row, column, pictures[:, top : top + (tall - 1) * down + 1 : down,
                                        left : left + (wide - 1) * across + 1 : across]


def _convolution_sums(op, x):
    kind, extent = _exact_type(op), op.extent(x.shape[1:])
    pictures, groups = _padded(op, _centred(op, x, kind)), op.groups
    patches = np.stack([seen for *_, seen in _taps(op, pictures, extent)], axis=3)     # (n, h, w, taps, channels)
    patches = patches.reshape(*patches.shape[:4], groups, -1)
    weights = op.weights.reshape(groups, op.units // groups, -1).astype(kind)
    sums = [patches[..., group, :].reshape(-1, weights.shape[2]) @ weights[group].T for group in range(groups)]
    return np.concatenate(sums, axis=-1).reshape(len(x), *op.shape(x.shape[1:]))


def _depthwise_sums(op, x):
    kind, extent = _exact_type(op), op.extent(x.shape[1:])
    pictures, weights = _padded(op, _centred(op, x, kind)), op.weights.astype(kind)
    sums = np.zeros((len(pictures), *extent, op.units), kind)
    for row, column, seen in _taps(op, pictures, extent):
        sums += np.repeat(seen, op.multiplier, axis=-1) * weights[row, column]
    return sums.reshape(len(x), *op.shape(x.shape[1:]))


SUMS = {FullyConnected: _dense_sums, Conv2D: _convolution_sums, DepthwiseConv2D: _depthwise_sums}
