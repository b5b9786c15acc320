"""Integer arithmetic: how a real number becomes an int8 code, and how a net computes with codes.

Runtimes agree on the sum of a layer and differ in how they bring it back to 8 bits. Each way is a rule here, named
for the runtime that follows it; which runtime follows which is tested on all inputs.
"""
import math
from dataclasses import dataclass

import numpy as np

from xorlab import tflite_file


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


def quantize_multiplier(scale):
    """Split a positive real scale into a Q0.31 multiplier and a power-of-two shift.

    scale : the real factor, e.g. input_scale * weight_scale / output_scale (> 0).
    Returns (multiplier, shift) with scale ~ multiplier / 2**31 * 2**shift and 2**30 <= multiplier < 2**31; a scale
    too small to matter gives (0, 0).
    Raises ValueError if scale is not finite and positive.
    Source: Jacob et al. 2018 (arXiv:1712.05877), section 2.2.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be finite and positive, got {scale}")
    mantissa, shift = math.frexp(scale)                 # 0.5 <= mantissa < 1
    multiplier = int(round_half_away(mantissa * 2**31))
    if multiplier == 2**31:                             # rounding carried into the next power of two
        multiplier, shift = 2**30, shift + 1
    return (multiplier, shift) if shift >= -31 else (0, 0)


def doubling_high_multiply(a, b):
    """Return a * b / 2**31 rounded to the nearest whole number: gemmlowp's saturating rounding doubling high multiply.

    a, b : int64 arrays or ints holding int32 values.  Returns int64.  Half a unit is rounded up.
    """
    product = np.asarray(a, np.int64) * np.asarray(b, np.int64)
    # gemmlowp adds 2**30 or, below zero, 1 - 2**30 and cuts towards zero; that is this shift
    return np.minimum((product + 2**30) >> 31, 2**31 - 1)       # only (-2**31)**2 does not fit into 32 bits


def divide_by_power_of_two(x, exponent):
    """Return x / 2**exponent rounded to the nearest whole number, ties away from zero (gemmlowp)."""
    remainder = x & ((1 << exponent) - 1)
    threshold = (((1 << exponent) - 1) >> 1) + (x < 0)
    return (x >> exponent) + (remainder > threshold)


@dataclass(frozen=True)
class Layer:
    """A fully connected layer in integers: codes in, accumulator, codes out.

    weights : int64 (out, in), symmetric (zero point 0).  biases : int64 (out,), at scale input * weight.
    weight_scales : float32, one for the layer or one for each unit.  lowest : smallest output code, the zero point
    where a ReLU is fused.
    """
    weights: np.ndarray
    biases: np.ndarray
    weight_scales: np.ndarray
    input: Affine
    output: Affine
    lowest: int

    def accumulate(self, codes):
        """Return the int32 accumulators of input codes (n, in) as int64 (n, out)."""
        return (codes.astype(np.int64) - self.input.zero_point) @ self.weights.T + self.biases

    def scales(self):
        """Return what an accumulator's unit is worth in output steps, float64, one for the layer or for each unit."""
        return np.float64(self.input.scale) * np.float64(self.weight_scales) / np.float64(self.output.scale)

    def scales_through_float32(self):
        """Return `scales` as LiteRT's built-in kernels prepare them: one for a whole layer is multiplied in float32."""
        if len(self.weight_scales) > 1:
            return self.scales()
        return np.float64(np.float32(self.input.scale) * self.weight_scales) / np.float64(self.output.scale)


@dataclass(frozen=True)
class Logistic:
    """A sigmoid on codes: each of the 256 input codes has its output code."""
    input: Affine
    output: Affine


def _requantize(acc, layer, scales, round_shift):
    """Multiply in integers and hand (product, right shift) to `round_shift`; return output codes, clamped."""
    pairs = [quantize_multiplier(scale) for scale in scales]
    multiplier, shift = (np.array(column, np.int64) for column in zip(*pairs, strict=True))
    return np.clip(round_shift(acc, multiplier, shift) + layer.output.zero_point, layer.lowest, 127)


def _round_twice_away(acc, multiplier, shift):
    product = doubling_high_multiply(acc << np.maximum(shift, 0), multiplier)
    return divide_by_power_of_two(product, np.maximum(-shift, 0))


def _round_twice_up(acc, multiplier, shift):
    right = np.maximum(-shift, 0)
    return (doubling_high_multiply(acc << np.maximum(shift, 0), multiplier) + ((1 << right) >> 1)) >> right


def _round_once(acc, multiplier, shift):
    return (acc * multiplier + (1 << (30 - shift))) >> (31 - shift)


def _tflm_requantize(acc, layer):
    return _requantize(acc, layer, layer.scales(), _round_twice_away)


def _ruy_requantize(acc, layer):
    return _requantize(acc, layer, layer.scales_through_float32(), _round_twice_up)


def _single_requantize(acc, layer):
    return _requantize(acc, layer, layer.scales_through_float32(), _round_once)


def _reference_requantize(acc, layer):
    steps = round_half_away(acc * layer.scales())
    return np.clip(steps + layer.output.zero_point, layer.lowest, 127)


def _xnnpack_requantize(acc, layer):
    scales = np.float32(layer.input.scale) * layer.weight_scales / np.float32(layer.output.scale)
    zero_point = layer.output.zero_point
    steps = np.clip(acc.astype(np.float32) * scales, layer.lowest - zero_point, 127 - zero_point)
    return np.rint(steps) + zero_point                  # NumPy's rint sends ties to the even neighbour


CODES = np.arange(-128, 128)


def _litert_logistic(logistic):
    x = np.float32(logistic.input.scale) * (CODES - logistic.input.zero_point).astype(np.float32)
    sigmoid = np.float32(1) / (np.float32(1) + np.exp(-x))
    return np.clip(round_half_away(sigmoid * np.float32(256)) - 128, -128, 127)


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


def fixed_point_logistic(x):
    """Return the logistic function of Q4.27 numbers as Q0.31: int64 arrays holding int32 values.  Source: gemmlowp."""
    below_one = _reciprocal_of_one_plus(_exp_of_negative(-np.abs(x)))
    return np.where(x == 0, 2**30, np.where(x > 0, below_one, 2**31 - 1 - below_one))


def _exp_of_negative(x):
    """exp of Q4.27 numbers <= 0 as Q0.31: a polynomial on the last quarter, then a table of exp(-2**k)."""
    quarter = 1 << 25
    last = (x & (quarter - 1)) - quarter
    result = _exp_near_zero(last << 4)
    remainder = last - x
    for k, constant in zip(range(-2, 4), (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401), strict=True):
        result = np.where(remainder & (1 << (27 + k)), doubling_high_multiply(result, constant), result)
    return np.where(x == 0, 2**31 - 1, result)


def _exp_near_zero(x):
    """exp of Q0.31 numbers in [-1/4, 0): Taylor's polynomial around -1/8."""
    at_an_eighth, third = 1895147668, 715827883
    x = x + 2**28
    x2 = doubling_high_multiply(x, x)
    x3, x4 = doubling_high_multiply(x2, x), doubling_high_multiply(x2, x2)
    rest = divide_by_power_of_two(doubling_high_multiply(divide_by_power_of_two(x4, 2) + x3, third) + x2, 1)
    return at_an_eighth + doubling_high_multiply(at_an_eighth, x + rest)


def _reciprocal_of_one_plus(x):
    """1 / (1 + x) for Q0.31 numbers in [0, 1]: three Newton steps from a line."""
    half = (x + 2**31 - 1 + 1) >> 1                     # rounding half sum of x and one
    y = 1515870810 + doubling_high_multiply(half, -1010580540)          # 48/17 - 32/17 * half, in Q2.29
    for _ in range(3):
        y = y + (doubling_high_multiply(y, 2**29 - doubling_high_multiply(half, y)) << 2)
    return np.minimum(y << 1, 2**31 - 1)


# rule -> (how an accumulator becomes an output code, how a sigmoid's 256 codes are found)
RULES = {
    "tflm": (_tflm_requantize, _tflm_logistic),                     # TFLite Micro, CMSIS-NN
    "ruy": (_ruy_requantize, _litert_logistic),                     # LiteRT's built-in kernels on x86 with AVX2
    "single": (_single_requantize, _litert_logistic),               # LiteRT's built-in kernels elsewhere
    "reference": (_reference_requantize, _litert_logistic),         # LiteRT's reference kernels
    "xnnpack": (_xnnpack_requantize, _xnnpack_logistic),            # LiteRT's default
}


@dataclass(frozen=True)
class Step:
    """What one operator made of a batch: codes int8 (n, units), and a layer's accumulators int64 (n, units)."""
    name: str
    codes: np.ndarray
    accumulators: np.ndarray | None = None


@dataclass(frozen=True)
class IntegerMLP:
    """An int8 net as integer arithmetic in NumPy, under one runtime's rule.

    steps : Layer and Logistic operators in order.  rule : a name in RULES.
    """
    steps: tuple
    rule: str = "tflm"

    def __post_init__(self):
        if self.rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}, got {self.rule!r}")
        if not self.steps or not isinstance(self.steps[0], Layer):
            raise ValueError("an IntegerMLP begins with a layer; this net has none, or something else before it")

    @property
    def width(self):
        """How many codes one input has."""
        return self.steps[0].weights.shape[1]

    @classmethod
    def from_tflite(cls, path, rule="tflm"):
        """Read an int8 TFLite file: a chain of FULLY_CONNECTED (none or RELU fused), LOGISTIC and flattening RESHAPE.

        Raises FileNotFoundError, or ValueError if the file is damaged, not int8 throughout, or holds anything else.
        """
        graph = tflite_file.read(path)
        steps = []
        at = graph.inputs[0]
        for operator in graph.operators:
            if operator.inputs[0] != at or len(operator.outputs) != 1:
                raise ValueError(f"{path} is not a chain of operators at {operator.name}; IntegerMLP runs chains only")
            steps.append(_step(operator, graph.tensors, path))
            at = operator.outputs[0]
        if (len(graph.inputs), graph.outputs) != (1, (at,)):
            raise ValueError(f"{path} has inputs or outputs besides the ends of its chain; IntegerMLP runs chains only")
        return cls(tuple(filter(None, steps)), rule)

    @property
    def input(self):
        """The `Affine` of the input codes."""
        return self.steps[0].input

    @property
    def output(self):
        """The `Affine` of the output codes."""
        return self.steps[-1].output

    def codes(self, q):
        """Return output codes int8 (n,), or (n, units) where there are several, of input codes int8 (n, inputs)."""
        out = self.trace(q)[-1].codes
        return out[:, 0] if out.shape[1] == 1 else out

    def trace(self, q):
        """Run input codes int8 (n, inputs) and return a Step for every operator."""
        q = np.asarray(q)
        if q.dtype != np.int8 or q.ndim != 2 or q.shape[1] != self.width:
            raise ValueError(f"codes must be int8 of shape (n, {self.width}), got {q.dtype} of shape {q.shape}")
        requantize, table = RULES[self.rule]
        made = []
        for step in self.steps:
            if isinstance(step, Layer):
                acc = step.accumulate(q)
                q = requantize(acc, step).astype(np.int8)
                made.append(Step("FULLY_CONNECTED", q, acc))
            else:
                q = table(step).astype(np.int8)[q.astype(np.int64) + 128]
                made.append(Step("LOGISTIC", q))
        return made


def _step(operator, tensors, path):
    """Turn an operator of a TFLite file into a Layer or Logistic; None for a RESHAPE, which moves nothing here."""
    entry, exit_ = tensors[operator.inputs[0]], tensors[operator.outputs[0]]
    if operator.name == "RESHAPE":
        return None
    for tensor in (entry, exit_):
        if tensor.dtype != "INT8" or len(tensor.scales) != 1:
            raise ValueError(f"{path}: tensor {tensor.name} is {tensor.dtype} with {len(tensor.scales)} scales; "
                             "IntegerMLP runs int8 files only (export variant int8)")
    source, target = (Affine(float(t.scales[0]), int(t.zero_points[0])) for t in (entry, exit_))
    if operator.name == "LOGISTIC":
        return Logistic(source, target)
    if operator.name != "FULLY_CONNECTED" or operator.activation not in ("NONE", "RELU"):
        raise ValueError(f"{path}: operator {operator.name} with activation {operator.activation} is not supported; "
                         "IntegerMLP knows FULLY_CONNECTED (with NONE or RELU), LOGISTIC and RESHAPE")
    weights, biases = (tensors[i] for i in operator.inputs[1:3])
    if weights.dtype != "INT8" or weights.zero_points.any():
        raise ValueError(f"{path}: weights {weights.name} are {weights.dtype} with zero points {weights.zero_points}; "
                         "IntegerMLP wants symmetric int8 weights")
    lowest = target.zero_point if operator.activation == "RELU" else -128
    return Layer(weights.data.astype(np.int64), biases.data.astype(np.int64), weights.scales, source, target, lowest)
