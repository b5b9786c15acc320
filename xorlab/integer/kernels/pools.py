"""AVERAGE_POOL_2D, MAX_POOL_2D and MEAN: sums that are divided, or the largest code of a window."""
from dataclasses import dataclass

import numpy as np

from xorlab.integer.fixed_point import quantize_multiplier
from xorlab.integer.kernels.scaling import highest_away, highest_even, multipliers, twice_away, twice_up
from xorlab.integer.operators import AveragePool2D, MaxPool2D, Mean

LANES = 32                          # of 16 bits, in which XNNPACK adds neighbouring codes on processors with AVX2


def average_pool(op: AveragePool2D, x: np.ndarray) -> np.ndarray:
    """Return the average code of each window, ties away from code 0; it counts what lies inside the picture."""
    sums = _over_windows(np.add, op, x.astype(np.int32), 0)
    inside = _over_windows(np.add, op, np.ones((1, 1, *x.shape[2:4], 1), np.int32), 0)
    averages = np.trunc((sums + np.sign(sums) * (inside // 2)) / inside)         # float64 holds such quotients apart
    return _cut(op, averages, highest_away)


def max_pool(op: MaxPool2D, x: np.ndarray) -> np.ndarray:
    """Return the largest code of each window."""
    return _cut(op, _over_windows(np.maximum, op, x, -128), highest_away)


def xnnpack_max_pool(op: MaxPool2D, x: np.ndarray) -> np.ndarray:
    """Return the same, cut as XNNPACK cuts where it takes the operator; the built-in kernels have the rest."""
    beyond = any(stride > window for stride, window in zip(op.stride, op.window, strict=True))
    return _cut(op, _over_windows(np.maximum, op, x, -128), highest_away if beyond else highest_even)


def _over_windows(joined, op, x, outside):
    """Return (calls, n, *extent, c) of x (calls, n, h, w, c): `joined` over each window, rows first, then columns."""
    margins, extent = op.margins(x.shape[1:]), op.extent(x.shape[1:])
    for axis, window, stride, around, fits in zip((2, 3), op.window, op.stride, margins, extent, strict=True):
        x = np.pad(x, [around if i == axis else (0, 0) for i in range(x.ndim)], constant_values=outside)
        x = np.moveaxis(x, axis, 0)
        seen = [x[first : first + (fits - 1) * stride + 1 : stride] for first in range(window)]
        made = seen[0].copy()
        for more in seen[1:]:
            joined(made, more, out=made)
        x = np.moveaxis(made, 0, axis)
    return x


def _cut(op, codes, highest):
    return np.clip(codes, op.lowest, highest(op.output, op.ceiling)).astype(np.int8)


def mean(op: Mean, x: np.ndarray) -> np.ndarray:
    """Return means as TFLite Micro and the reference kernels take them: the multiplier is divided by their number.

    Source: QuantizedMeanOrSum of TensorFlow Lite's reference kernels and of TFLite Micro.
    """
    sums, n = _sums(op, x)
    multiplier, shift = quantize_multiplier(np.float64(op.input.scale) / np.float64(op.output.scale))
    room = min(n.bit_length() - 1, 32, 31 + shift)      # by how many bits the multiplier can be moved up before it
    steps = twice_away(sums - n * op.input.zero_point, np.int64((multiplier << room) // n), np.int64(shift - room))
    return _to_codes(op, steps + op.output.zero_point)


def xnnpack_mean(op: Mean, x: np.ndarray) -> np.ndarray:
    """Return means as XNNPACK takes them, in float32.

    Raises ValueError for sums that XNNPACK gets wrong on processors with AVX2, and there alone.
    """
    _check_lanes(op, x)
    sums, n = _sums(op, x)
    factor = np.float32(op.input.scale) / np.float32(op.output.scale) * (np.float32(1) / np.float32(n))
    zero = np.float32(op.output.zero_point) - np.float32(n * op.input.zero_point) * factor
    return _to_codes(op, np.rint(sums.astype(np.float32) * factor + zero))


def _check_lanes(op, x):
    """Raise ValueError if XNNPACK's sums wrap around on a processor with AVX2.

    Where the last axes are averaged, it adds neighbouring codes in 32 lanes of 16 bits, and empties them only after
    16,384 codes.
    """
    run, shape = 1, x.shape[1:]
    for axis in reversed(range(len(shape))):
        if axis not in op.axes:
            break
        run *= shape[axis]
    if run <= LANES * 256:                              # 256 codes of -128 still fit
        return
    rows = x.reshape(-1, run)
    for start in range(0, run, LANES * 512):
        block = rows[:, start : start + LANES * 512]
        block = block[:, : block.shape[1] // (2 * LANES) * 2 * LANES].reshape(len(rows), -1, LANES, 2)
        sums = block.sum(axis=(1, 3), dtype=np.int64)
        if sums.min(initial=0) < -(2**15) or sums.max(initial=0) >= 2**15:
            raise ValueError(f"a MEAN over {run:,} neighbouring codes that are mostly of one sign: on processors with "
                             "AVX2 XNNPACK adds them in 16 bits, which wrap around; average one axis after the other, "
                             "or take another rule")


@dataclass(frozen=True)
class BuiltinMean:
    """Means as LiteRT's built-in kernels take them.

    threads : that the interpreter has. Over the pictures of (n, h, w, c) with keep_dims, the kernel takes channels in
    vectors of 16, rounded ties up, and those that remain one by one, away from zero; each thread has a share of the
    channels and a remainder of its own.  Other means are the reference kernel's.
    Source: optimized/integer_ops/mean.h of TensorFlow Lite.
    """
    threads: int = 1

    def __call__(self, op: Mean, x: np.ndarray) -> np.ndarray:
        if not (op.keep_dims and x.ndim == 5 and set(op.axes) == {1, 2}):
            return mean(op, x)
        sums, n = _sums(op, x)
        before, after = np.float32(op.input.scale), np.float32(op.output.scale)
        zero = np.float32(op.input.zero_point) * before / after
        bias = op.output.zero_point - int(zero + np.float32(0.5 if zero > 0 else -0.5))
        factor = multipliers(self.factor(op, n))
        steps = np.where(self.in_vectors(x.shape[-1]), twice_up(sums, *factor), twice_away(sums, *factor))
        return _to_codes(op, steps + bias)

    def factor(self, op: Mean, n: int) -> np.float32:
        """Return what a sum of n codes is multiplied by."""
        return np.float32(op.input.scale) / (np.float32(n) * np.float32(op.output.scale))

    def in_vectors(self, channels: int) -> np.ndarray:
        """Return for each channel whether it is in a vector of 16: bool (channels,)."""
        parts, start, inside = max(1, min(self.threads, channels // 8)), 0, np.zeros(channels, bool)
        for left in range(parts, 0, -1):
            share = (channels - start) // left
            inside[start : start + share - share % 16] = True
            start += share
        return inside


def _sums(op, x):
    """Return (sums of codes int64 (calls, ...), how many codes each has)."""
    shape = op.shape(x.shape[1:])
    sums = x.sum(axis=tuple(axis + 1 for axis in op.axes), dtype=np.int64).reshape(len(x), *shape)
    return sums, x[:1].size // max(1, sums[:1].size)


def _to_codes(op, codes):
    return np.clip(codes, -128, 127).astype(np.int8)
