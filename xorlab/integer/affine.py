"""Affine maps: what integer codes mean as real numbers."""
import numbers
from dataclasses import dataclass

import numpy as np

from xorlab import arguments
from xorlab.integer.unchecked import round_half_away

LARGEST = float(np.finfo(np.float32).max)
LARGEST_SCALE = LARGEST / 255           # with which every code stands for a float32 number


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
        try:
            object.__setattr__(self, "dtype", np.dtype(self.dtype))
            limits = np.iinfo(self.dtype)
        except (TypeError, ValueError):
            raise TypeError(f"dtype must be a type of whole numbers, such as int8, got {arguments.shown(self.dtype)}"
                            ) from None
        if not isinstance(self.scale, numbers.Real) or isinstance(self.scale, bool) or not (
                0 < self.scale <= LARGEST_SCALE):
            raise ValueError(f"scale must be finite and positive, got {arguments.shown(self.scale)}")
        zero = self.zero_point
        if not arguments.is_whole(zero, limits.min, limits.max):
            raise ValueError(f"zero_point must lie in {limits.min}..{limits.max} for {self.dtype}, got "
                             f"{arguments.shown(zero)}")
        object.__setattr__(self, "scale", float(self.scale))        # NumPy's would compute in their own types
        object.__setattr__(self, "zero_point", int(zero))

    @classmethod
    def of_range(cls, low, high):
        """Return the int8 line whose 256 codes reach from real `low` to real `high`.

        The range is first widened to hold 0, so that 0 has a code of its own; a range of no width gets scale 1.
        The scale is a float32, as in a TFLite file; the zero point is found before that rounding.
        Source: Jacob et al. 2018 (arXiv:1712.05877), section 3; zero points as TFLite's converter rounds them.
        """
        if not all(isinstance(end, numbers.Real) and not isinstance(end, bool) and -LARGEST <= end <= LARGEST
                   for end in (low, high)) or low > high:
            raise ValueError("a range goes from a finite number up to another, got "
                             f"{arguments.shown(low)} to {arguments.shown(high)}")
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
        with np.errstate(over="ignore", invalid="ignore"):      # a step beyond float32 is one beyond the codes
            steps = round_half_away(arguments.float32("real numbers", x) / np.float32(self.scale))
        limits = np.iinfo(self.dtype)
        return np.clip(steps.astype(np.float64) + self.zero_point, limits.min, limits.max).astype(self.dtype)

    def dequantize(self, codes):
        """Return the real numbers that codes stand for: scale * (code - zero_point), as float32."""
        codes = arguments.numbers_in("codes", codes, kinds="iu").astype(np.int64)
        return np.float32(self.scale) * (codes - self.zero_point).astype(np.float32)

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
    values = arguments.numbers_in("values", values).astype(np.float64)
    if not values.size:
        raise ValueError(f"there must be at least one value to round, got shape {values.shape}")
    if axis is not None and arguments.whole("axis", axis) not in range(-values.ndim, values.ndim):
        raise ValueError(f"axis must be None or one of the {values.ndim} axes, counted from 0, got {axis}")
    low = np.minimum(values.min(axis, keepdims=True), 0)
    high = np.maximum(values.max(axis, keepdims=True), 0)
    scale = np.where(low == high, 1, (high - low) / 255)
    zero_point = np.clip(np.rint(-128 - low / scale), -128, 127)
    return (np.clip(np.rint(values / scale) + zero_point, -128, 127) - zero_point) * scale
