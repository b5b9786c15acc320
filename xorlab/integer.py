"""Integer arithmetic: how a real number becomes an int8 code and comes back."""
from dataclasses import dataclass

import numpy as np


def round_half_away(x):
    """Round to the nearest whole number, ties away from zero, as C's `round` does.

    NumPy's and Python's own `round` send ties to the even neighbour instead: 0.5 -> 0, 2.5 -> 2.
    x : a float or an array of floats.  Returns floats of the same shape.
    """
    x = np.asarray(x)
    whole = np.trunc(x)
    return whole + np.copysign(np.abs(x - whole) >= 0.5, x)      # x - whole is exact; x + 0.5 would not be


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
