"""Affine maps: what integer codes mean as real numbers."""
from dataclasses import dataclass

import numpy as np

from xorlab.integer.fixed_point import round_half_away


@dataclass(frozen=True)
class Affine:
    """The line between real numbers and integer codes: real = scale * (code - zero_point).

    scale : real step between neighbouring codes (> 0).  zero_point : the code of real 0.
    dtype : the codes' integer type.
    """
    scale: float
    zero_point: int
    dtype: np.dtype = np.dtype(np.int8)

    def __post_init__(self):
        object.__setattr__(self, "dtype", np.dtype(self.dtype))
        limits = np.iinfo(self.dtype)
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale must be finite and positive, got {self.scale}")
        if not limits.min <= self.zero_point <= limits.max:
            raise ValueError(
                f"zero_point must lie in {limits.min}..{limits.max} for {self.dtype}, got {self.zero_point}")

    @classmethod
    def of_range(cls, low, high):
        """Return the int8 line whose 256 codes reach from real `low` to real `high`.

        The range is first widened to hold 0, so that 0 has a code of its own; a range of no width gets scale 1.
        The scale is a float32, as in a TFLite file; the zero point is found before that rounding.
        Source: Jacob et al. 2018 (arXiv:1712.05877), section 3; zero points as TFLite's converter rounds them.
        """
        if not (np.isfinite(low) and np.isfinite(high) and low <= high):
            raise ValueError(f"a range goes from a finite number up to another, got {low} to {high}")
        low, high = min(low, 0.0), max(high, 0.0)
        if low == high:
            return cls(1.0, -128)
        scale = (high - low) / 255
        return cls(float(np.float32(scale)), int(np.clip(round_half_away(-128 - low / scale), -128, 127)))

    def quantize(self, x):
        """Return the codes of real x: round_half_away(x / scale) + zero_point, clamped to the dtype's range.

        x : float array of any shape.  Returns an array of `dtype` of the same shape.
        Source: TensorFlow Lite's reference AffineQuantize, which divides in float32 as here.
        """
        steps = round_half_away(np.asarray(x, np.float32) / np.float32(self.scale))
        limits = np.iinfo(self.dtype)
        return np.clip(steps.astype(np.float64) + self.zero_point, limits.min, limits.max).astype(self.dtype)

    def dequantize(self, codes):
        """Return the real numbers that codes stand for: scale * (code - zero_point), as float32."""
        return np.float32(self.scale) * (np.asarray(codes, np.int64) - self.zero_point).astype(np.float32)

    def __str__(self):
        return f"real = {self.scale:.9g} * (code - {self.zero_point})".replace("- -", "+ ")


def few(numbers) -> str:
    """Return numbers in a sentence: as a list, only the first where they are many.

    >>> few(np.arange(1000))
    '[0, 1, 2, 3, 4, 5, 6, 7, ...]'
    """
    flat = np.asarray(numbers).ravel()
    return str(flat[:8].tolist()).replace("]", ", ...]" if len(flat) > 8 else "]")


GRANULARITIES = ("per_channel", "per_tensor")        # of weight scales: one for each unit, or one for the layer
CODES = np.arange(-128, 128)
SIGMOID_CODES = Affine(1 / 256, -128)       # the format fixes a sigmoid's output, and a softmax's: 0 to 255/256


def rounded(values, axis=None):
    """Return real numbers as int8 codes make them, on the line of their own range.

    values : float array.  axis : None for one range over all; 1 for one per row, as a dynamic-range file's runtime does
        with what meets a quantized matrix. Each range is widened to hold 0.
    Returns float64 of the same shape.  Source: TensorFlow Lite's AsymmetricQuantizeFloats.

    >>> rounded(np.array([[0, 0.2, 0.51], [0, 20, 51]]), axis=1)
    array([[ 0.  ,  0.2 ,  0.51],
           [ 0.  , 20.  , 51.  ]])
    """
    values = np.asarray(values, np.float64)
    low = np.minimum(values.min(axis, keepdims=True), 0)
    high = np.maximum(values.max(axis, keepdims=True), 0)
    scale = np.where(low == high, 1, (high - low) / 255)
    zero_point = np.clip(np.rint(-128 - low / scale), -128, 127)
    return (np.clip(np.rint(values / scale) + zero_point, -128, 127) - zero_point) * scale
