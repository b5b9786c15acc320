"""Random operators, one function for each kind: `conv_2d(rng, style)` returns (op, shapes of what goes in).

style : "random", or "ties", where products are halves or nearly so. Most functions can be told what goes in: `shape` of
a call, (n, ...), and `source`, the Affine of its codes; both are chosen where they are left out.
"""
from dataclasses import replace

import numpy as np
from hunting import near_tie

from xorlab.integer.affine import Affine
from xorlab.integer.operators import (
    AveragePool2D,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    MaxPool2D,
    Mean,
    Pad,
    Reshape,
    spread,
)

STYLES = ("random", "ties")
ACTIVATIONS = ("NONE", "NONE", "RELU", "RELU6")


def line(rng, style: str, activation: str = "NONE") -> Affine:
    """Return a random line; in style "ties" its scale is a power of two, or 6 is a tie of it where a RELU6 cuts."""
    exponent = rng.uniform(-9, -1)
    scale = 2.0 ** (np.rint(exponent) if style == "ties" else exponent)
    if activation == "RELU6" and style == "ties":
        scale = 6 / (rng.integers(3, 250) + 0.5)
    extreme = rng.random() < (0.5 if style == "ties" else 0.2)
    return Affine(float(np.float32(scale)), int(rng.choice((-128, 0, 127)) if extreme else rng.integers(-128, 128)))


def codes(rng, calls: int, *shapes: tuple) -> list[np.ndarray]:
    """Return codes int8 (calls, *shape) for each shape; those of the last of several calls are extreme."""
    made = [rng.integers(-128, 128, (calls, *shape)).astype(np.int8) for shape in shapes]
    for x in made if calls > 1 else ():
        x[-1] = np.where(x[-1] < rng.integers(-128, 128), -128, 127)
    return made


def any_of(rng, *choices):
    """Return one of several things."""
    return choices[rng.integers(len(choices))]


# operators that look at windows or move codes

def _weighted(rng, style, shape, depth, source):
    """Return what a Weighted has of its own.  shape : of weights whose units are first.  depth : products in a sum."""
    activation, units = any_of(rng, *ACTIVATIONS), shape[0]
    source, target = source or line(rng, style), line(rng, style, activation)
    largest = int(rng.integers(1, 9)) if style == "ties" else 127
    channels = any_of(rng, 1, units)
    # a factor with which sums spread over the codes
    worth = 60 / (0.6 * largest * 100 * depth**0.5) * 2 ** rng.uniform(-1.5, 1.5, channels)
    if style == "ties":
        worth = 2.0 ** np.rint(np.log2(worth)) * any_of(rng, 1, 1, 3, near_tie(rng)[2] / 2)
    if style == "ties" and rng.random() < 0.4:
        source, target = (replace(end, scale=float(np.float32(end.scale * rng.uniform(1, 2)))) for end in (
            source, target))
    weights = rng.integers(-largest, largest + 1, shape)
    biases = np.rint(rng.normal(0, 30 / worth.min(), units)).astype(np.int64) * any_of(rng, 0, 1)
    return {"weights": weights, "biases": biases, "weight_scales": np.float32(worth * target.scale / source.scale),
            "input": source, "output": target, "activation": activation}


def fully_connected(rng, style, shape=None, source=None, keep_dims=None, units=None):
    keep_dims = any_of(rng, False, True) if keep_dims is None else keep_dims
    any_rank = (2, int(rng.integers(1, 40))), (1, 9), (2, 3, 7), tuple(map(int, rng.integers(1, 5, 4)))
    shape = shape or any_of(rng, *any_rank)
    inputs = shape[-1] if keep_dims else any_of(rng, shape[-1], int(np.prod(shape[1:])))
    units = units or int(rng.integers(1, 14))
    return FullyConnected(**_weighted(rng, style, (units, inputs), inputs, source), keep_dims=keep_dims), (shape,)


def _picture(rng, channels):
    return (int(rng.integers(1, 3)), *map(int, rng.integers(1, 9, 2)), channels)


def _look(rng, shape):
    """Return (window, how it moves) for a picture of a shape; some see all of it at once."""
    padding = any_of(rng, "SAME", "VALID")
    if rng.random() < 0.15:
        return shape[1:3], {"padding": "VALID"}
    window, stride, dilation = (tuple(map(int, rng.integers(1, most, 2))) for most in (5, 4, 3))
    window = any_of(rng, window, window, (1, 1), (3, 3))
    stride, dilation = any_of(rng, (1, 1), stride), any_of(rng, (1, 1), dilation)
    fits = [spread(size, *steps, padding)[0] for size, *steps in zip(shape[1:3], window, stride, dilation, strict=True)]
    how = {"padding": padding, "stride": stride, "dilation": dilation}
    return (window, how) if min(fits) > 0 else (shape[1:3], {"padding": "VALID"})


def conv_2d(rng, style, shape=None, source=None, units=None):
    groups, few = any_of(rng, 1, 1, 1, 2, 3), int(rng.integers(1, 7))
    if shape and shape[3] % groups:
        groups = 1
    shape = shape or _picture(rng, groups * few)
    window, how = _look(rng, shape)
    units = units or groups * int(rng.integers(1, 7))
    if units % groups:
        groups = 1
    channels = shape[3] // groups
    weighted = _weighted(rng, style, (units, *window, channels), np.prod(window) * channels, source)
    return Conv2D(**weighted, **how, groups=groups), (shape,)


def depthwise_conv_2d(rng, style, shape=None, source=None):
    shape = shape or _picture(rng, int(rng.integers(1, 21)))
    multiplier = any_of(rng, 1, 1, 2, 3)
    window, how = _look(rng, shape)
    weighted = _weighted(rng, style, (shape[3] * multiplier, *window), np.prod(window), source)
    return DepthwiseConv2D(**weighted | {"weights": np.moveaxis(weighted["weights"], 0, 2)}, **how,
                           multiplier=multiplier), (shape,)


def _pool(rng, style, kind, shape, source):
    shape, activation = shape or _picture(rng, int(rng.integers(1, 21))), any_of(rng, *ACTIVATIONS)
    source = source or line(rng, style, activation)
    window, how = _look(rng, shape)
    if how.pop("dilation", (1, 1)) != (1, 1):               # a pool's window has no holes, so it fits all the better
        how["padding"] = "SAME"
    return kind(window, source, source, activation, **how), (shape,)


def average_pool_2d(rng, style, shape=None, source=None):
    return _pool(rng, style, AveragePool2D, shape, source)


def max_pool_2d(rng, style, shape=None, source=None):
    return _pool(rng, style, MaxPool2D, shape, source)


def mean(rng, style, shape=None, source=None):
    shape = shape or any_of(rng, *[_picture(rng, int(rng.integers(1, 40)))] * 3, (2, 9), (1, 4, 6))
    rank = len(shape)
    axes = any_of(rng, *[(1, 2)] * 3, *[(i,) for i in range(1, rank)], tuple(range(1, rank)), (rank - 1,))
    axes = axes if max(axes) < rank else (1,)
    source, target, worth = source or line(rng, style), line(rng, style), 2 ** rng.uniform(-2, 4)
    if style == "ties":
        worth = 2.0 ** np.rint(np.log2(worth)) * any_of(rng, 1, 1, near_tie(rng)[2])
    if style == "ties" and rng.random() < 0.4:
        source = replace(source, scale=float(np.float32(source.scale * rng.uniform(1, 2))))
    return Mean(axes, any_of(rng, True, True, False), source,
                replace(target, scale=float(np.float32(source.scale / worth)))), (shape,)


def pad(rng, style, shape=None, source=None):
    shape = shape or any_of(rng, _picture(rng, int(rng.integers(1, 7))), (2, 5), (1, 4, 3))
    source = source or line(rng, style)
    margins = [(0, 0), *(tuple(map(int, rng.integers(0, 3, 2))) for _ in shape[1:])]
    return Pad(tuple(margins), source, source), (shape,)


def reshape(rng, style, shape=None, source=None):
    shape = shape or any_of(rng, _picture(rng, int(rng.integers(1, 7))), (2, 5), (1, 4, 3))
    source, (n, *rest) = source or line(rng, style), shape
    target = any_of(rng, (n, -1), (n, int(np.prod(rest))), (n, *rest[::-1]), (n, 1, *rest), (-1, *rest[::-1]))
    return Reshape(tuple(target), source, source), (shape,)


def concatenation(rng, style, shape=None, source=None, others=None):
    """others : how many more go in, of shapes that fit."""
    shape = shape or any_of(rng, _picture(rng, int(rng.integers(1, 7))), (2, 5), (1, 4, 3))
    source, axis = source or line(rng, style), int(rng.integers(1, len(shape)))
    others = int(rng.integers(1, 4)) if others is None else others
    more = [tuple(int(rng.integers(1, 5)) if i == axis else length for i, length in enumerate(shape))
            for _ in range(others)]
    return Concatenation(axis, (source,) * (1 + others), source), (shape, *more)


WINDOWS_AND_MOVES = {kind.__name__.upper(): kind for kind in (
    fully_connected, conv_2d, depthwise_conv_2d, average_pool_2d, max_pool_2d, mean, pad, reshape, concatenation)}
