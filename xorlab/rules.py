"""Rules: what one operator of an int8 net makes of codes, as each runtime computes it.

Runtimes agree on the sum of a layer and differ in how they bring it back to 8 bits, and in how they make the tables
of a sigmoid or a ReLU. Each way is a Rule here, named for the runtime that follows it; which runtime follows which is
tested on all inputs of the reference nets, and on scales computed to tell every two rules apart.
"""
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xorlab.fixed_point import (
    divide_by_power_of_two,
    doubling_high_multiply,
    fixed_point_logistic,
    quantize_multiplier,
    round_half_away,
)


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


GRANULARITIES = ("per_channel", "per_tensor")        # of weight scales: one for each unit, or one for the layer
CODES = np.arange(-128, 128)
SIGMOID_CODES = Affine(1 / 256, -128)       # the format fixes a sigmoid's output: 0 to 255/256


@dataclass(frozen=True)
class Layer:
    """A fully connected layer in integers: codes in, accumulator, codes out.

    weights : int64 (out, in), symmetric (zero point 0).  biases : int64 (out,), at scale input * weight.
    weight_scales : float32, one for the layer or one for each unit.  lowest : smallest output code, the zero point
    where a ReLU is fused.  ceiling : real number at which the output is cut, 6 where a ReLU6 is fused.
    """
    weights: np.ndarray
    biases: np.ndarray
    weight_scales: np.ndarray
    input: Affine
    output: Affine
    lowest: int = -128
    ceiling: float = math.inf

    def __post_init__(self):
        scales = self.weight_scales
        if not (np.isfinite(scales).all() and (scales > 0).all() and len(scales) in (1, len(self.weights))):
            raise ValueError("weight scales must be finite and positive, one for the layer or one for each of its "
                             f"{len(self.weights)} units; got {scales.tolist()}")

    def accumulate(self, codes):
        """Return the int32 accumulators of input codes (n, in) as int64 (n, out).

        Raises ValueError for a sum that does not fit into 32 bits: runtimes have no answer in common there.
        """
        return in_32_bits((codes.astype(np.int64) - self.input.zero_point) @ self.weights.T + self.biases)

    def scales(self):
        """Return what an accumulator's unit is worth in output steps, float64, one for the layer or for each unit."""
        return np.float64(self.input.scale) * np.float64(self.weight_scales) / np.float64(self.output.scale)

    def scales_through_float32(self):
        """Return `scales` as LiteRT's built-in kernels prepare them: one for a whole layer is multiplied in float32."""
        if len(self.weight_scales) > 1:
            return self.scales()
        return np.float64(np.float32(self.input.scale) * self.weight_scales) / np.float64(self.output.scale)

    def scales_in_float32(self):
        """Return `scales` as XNNPACK prepares them: all of it in float32."""
        return np.float32(self.input.scale) * self.weight_scales / np.float32(self.output.scale)


@dataclass(frozen=True)
class Logistic:
    """A sigmoid on codes: each of the 256 input codes has its output code."""
    input: Affine
    output: Affine

    def __post_init__(self):
        if self.output != SIGMOID_CODES:
            raise ValueError(f"a sigmoid's output codes are {SIGMOID_CODES}, the format fixes them; got {self.output}")


@dataclass(frozen=True)
class Relu:
    """A ReLU that is an operator of its own: codes go to the output's scale, none below the code of 0.

    ceiling : real number at which the output is cut: 6 for a ReLU6.
    """
    input: Affine
    output: Affine
    ceiling: float = math.inf


def in_32_bits(sums):
    """Return sums as they are.  Raises ValueError if one does not fit into 32 bits, where runtimes wrap around."""
    low, high = np.min(sums, initial=0), np.max(sums, initial=0)
    if low < -(2**31) or high >= 2**31:
        raise ValueError(f"a layer's sums, before or after they are scaled up, reach from {low:,.0f} to {high:,.0f}; "
                         "beyond 32 bits runtimes wrap around, each in its way; take smaller weights, biases or scales")
    return sums


def _high_product(acc, multiplier, shift):
    left = np.maximum(shift, 0)
    if np.any(left):
        in_32_bits(acc * 2.0**left)
    return doubling_high_multiply(acc << left, multiplier)


def _round_twice_away(acc, multiplier, shift):
    return divide_by_power_of_two(_high_product(acc, multiplier, shift), np.maximum(-shift, 0))


def _round_twice_up(acc, multiplier, shift):
    right = np.maximum(-shift, 0)
    return (_high_product(acc, multiplier, shift) + ((1 << right) >> 1)) >> right


def _round_once(acc, multiplier, shift):
    return (acc * multiplier + (1 << (30 - shift))) >> (31 - shift)


def _in_integers(round_product):
    """Return a function (acc, scales) -> steps that multiplies in integers and lets `round_product` divide."""
    def steps(acc, scales):
        pairs = [quantize_multiplier(scale) for scale in scales]
        multiplier, shift = (np.array(column, np.int64) for column in zip(*pairs, strict=True))
        return round_product(acc, multiplier, shift)
    return steps


def _in_float64(acc, scales):
    return round_half_away(in_32_bits(acc * scales))


def _in_float32(acc, scales):
    return np.rint(acc.astype(np.float32) * scales)             # NumPy's rint sends ties to the even neighbour


def _float32_sigmoid(logistic):
    """Return 1 / (1 + exp(-x)) in float32 for each of the 256 codes' x, exp rounded as C's expf rounds it."""
    x = np.float32(logistic.input.scale) * (CODES - logistic.input.zero_point).astype(np.float32)
    with np.errstate(over="ignore"):                # beyond float32 it is infinity, and the sigmoid 0, as in C
        exp = np.exp(-x.astype(np.float64)).astype(np.float32)      # NumPy's float32 exp differs between processors
    return np.float32(1) / (np.float32(1) + exp)


def _litert_logistic(logistic):
    return np.clip(round_half_away(_float32_sigmoid(logistic) * np.float32(256)) - 128, -128, 127)


def _tinymind_logistic(logistic):
    steps = np.float32(logistic.output.zero_point) + _float32_sigmoid(logistic) / np.float32(logistic.output.scale)
    return np.clip(round_half_away(steps), -128, 127)           # the zero point is added before it rounds


def _xnnpack_logistic(logistic):
    x = np.float64(np.float32(logistic.input.scale)) * (CODES - logistic.input.zero_point)
    sigmoid = np.exp(x) / (1 + np.exp(x))
    return np.clip(np.rint(np.float32(sigmoid) * 256 - 128), -128, 127)


def _tflm_logistic(logistic):
    """Source: TFLite Micro's Logistic for int8, on gemmlowp's fixed-point exponential and reciprocal."""
    multiplier, shift = quantize_multiplier(np.float64(np.float32(logistic.input.scale)) * 2**27)
    radius = (15 * 2**27) >> shift if shift >= 0 else (15 * 2**27) << -shift
    centred = CODES.astype(np.int64) - logistic.input.zero_point
    inside = np.abs(centred) < radius
    x = doubling_high_multiply(np.where(inside, centred, 0) << max(shift, 0), multiplier)
    out = divide_by_power_of_two(fixed_point_logistic(x), 23)
    out = np.where(inside, np.minimum(out, 255), np.where(centred > 0, 255, 0))
    return out - 128


def _highest_away(line, ceiling):
    """Return the largest code of an output on `line` that is cut at the real number `ceiling`."""
    return 127 if ceiling == math.inf else min(127, line.zero_point + int(round_half_away(_in_steps(line, ceiling))))


def _highest_even(line, ceiling):
    """Return the same as XNNPACK rounds it: after adding the zero point in float32, ties to the even neighbour."""
    return int(np.rint(np.clip(_in_steps(line, ceiling) + np.float32(line.zero_point), -128, 127)))


def _in_steps(line, real):
    return np.float32(real) / np.float32(line.scale)


def _scaled_relu(relu, scale):
    steps = _in_integers(_round_twice_away)(CODES - relu.input.zero_point, [scale])
    lowest = relu.output.zero_point
    return np.clip(steps + lowest, lowest, _highest_away(relu.output, relu.ceiling))


def _litert_relu(relu):
    return _scaled_relu(relu, np.float64(np.float32(relu.input.scale) / np.float32(relu.output.scale)))


def _tflm_relu(relu):
    if relu.ceiling == math.inf:
        return _scaled_relu(relu, np.float64(relu.input.scale) / np.float64(relu.output.scale))
    # TFLite Micro's RELU6 cuts the input's codes and never looks at the output's scale
    return np.clip(CODES, relu.input.zero_point, _highest_away(relu.input, relu.ceiling))


def _working_twice(ties):
    def working(acc, scale):
        multiplier, shift = quantize_multiplier(scale)
        product = int(_high_product(acc, multiplier, shift))
        left, right = max(shift, 0), max(-shift, 0)
        shifted = f"{acc}" if left == 0 else f"{acc} * 2^{left}"
        return (f"{shifted} * {multiplier} / 2^31 = {(acc << left) * multiplier / 2**31:.5f} -> {product}, "
                f"/ 2^{right} = {product / 2**right:.5f}, ties {ties}")
    return working


def _working_once(acc, scale):
    multiplier, shift = quantize_multiplier(scale)
    return f"{acc} * {multiplier} / 2^{31 - shift} = {acc * multiplier / 2.0 ** (31 - shift):.5f}, ties up"


def _working_in_floats(ties):
    def working(acc, scale):
        return f"{acc} * {scale:.9g} = {float(acc * scale):.5f}, ties {ties}"
    return working


@dataclass(frozen=True)
class Rule:
    """How one runtime computes.

    scales(layer) : the factors from accumulators to output steps.  steps(acc, scales) : that product, rounded.
    logistic(logistic), relu(relu) : their 256 codes.  highest(line, ceiling) : the largest code of a cut output.
    working(acc, scale) : one product in words, up to its last rounding.
    runs_on : who computes so.  in_integers : whether it needs no float while it runs.
    alone : name of the rule that a wide layer follows instead where its runtime is called with one sample.
    """
    scales: Callable
    steps: Callable
    logistic: Callable
    relu: Callable
    working: Callable
    runs_on: str
    in_integers: bool = True
    highest: Callable = _highest_away
    alone: str | None = None

    def of_layer(self, layer, batch):
        """Return the rule that a layer follows in a call with `batch` samples: this one, but for a wide layer.

        LiteRT's built-in kernels hand a product with one column, so a layer with one sample, from 4 units and 8
        inputs on, not to the library ruy but to matrix-vector code of their own.
        Source: cpu_backend_gemm.h and cpu_backend_gemm_custom_gemv.h of TensorFlow Lite.
        """
        units, inputs = layer.weights.shape
        return RULES[self.alone] if self.alone and batch == 1 and units >= 4 and inputs >= 8 else self

    def clamp(self, layer):
        """Return the lowest and the highest output code of a layer."""
        return layer.lowest, self.highest(layer.output, layer.ceiling)

    def requantize(self, acc, layer):
        """Return the int8 output codes (n, out) of a layer's accumulators (n, out)."""
        steps = self.steps(acc, self.scales(layer))
        return np.clip(steps + layer.output.zero_point, *self.clamp(layer)).astype(np.int8)

    def table(self, operator):
        """Return the int8 output code of each of the 256 input codes of a Logistic or Relu."""
        codes = self.relu(operator) if isinstance(operator, Relu) else self.logistic(operator)
        return codes.astype(np.int8)


RULES = {
    "tflm": Rule(
        Layer.scales, _in_integers(_round_twice_away), _tflm_logistic, _tflm_relu, _working_twice("away from zero"),
        "TFLite Micro, CMSIS-NN"),
    "ruy": Rule(
        Layer.scales_through_float32, _in_integers(_round_twice_up), _litert_logistic, _litert_relu,
        _working_twice("up"), "LiteRT's built-in kernels on x86 with AVX2"),
    "single": Rule(
        Layer.scales_through_float32, _in_integers(_round_once), _litert_logistic, _litert_relu, _working_once,
        "LiteRT's built-in kernels on ruy's portable path", alone="ruy"),
    "reference": Rule(
        Layer.scales, _in_float64, _litert_logistic, _litert_relu, _working_in_floats("away from zero"),
        "LiteRT's reference kernels", in_integers=False),
    "xnnpack": Rule(
        Layer.scales_in_float32, _in_float32, _xnnpack_logistic, _litert_relu, _working_in_floats("to even"),
        "LiteRT's default, XNNPACK", in_integers=False, highest=_highest_even),
    "tinymind": Rule(
        Layer.scales, _in_integers(_round_twice_away), _tinymind_logistic, _tflm_relu,
        _working_twice("away from zero"), "TinyMind: TFLite Micro's layers, its own table for the sigmoid"),
}
