"""Operators that look at one code at a time: each of the 256 input codes has its output code."""
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xorlab.integer.affine import CODES
from xorlab.integer.fixed_point import quantize_multiplier
from xorlab.integer.kernels import libm
from xorlab.integer.kernels.places import in_vectors
from xorlab.integer.kernels.scaling import AWAY, UP, highest_away
from xorlab.integer.operators import Unary
from xorlab.integer.unchecked import (
    divide_by_power_of_two,
    doubling_high_multiply,
    fixed_point_logistic,
    fixed_point_tanh,
    round_half_away,
)


@dataclass(frozen=True)
class TableKernel:
    """table(op) : the output code of each of the 256 input codes, from -128 up."""
    table: Callable

    def __call__(self, op: Unary, x: np.ndarray) -> np.ndarray:
        return looked_up(self.table(op), x)


@dataclass(frozen=True)
class VectorTableKernel:
    """body, tail(op) : tables as in TableKernel, where 16 codes fill a vector of the processor and for what is left."""
    body: Callable
    tail: Callable

    def __call__(self, op: Unary, x: np.ndarray) -> np.ndarray:
        parts = [lambda codes, table=table: looked_up(table(op), codes) for table in (self.body, self.tail)]
        return in_vectors(x, 16, *parts)


def looked_up(table: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the entry of a table (256,) for each code int8 of x, as int8."""
    return table.astype(np.int8)[x.astype(np.intp) + 128]


def _float32_sigmoid(op):
    """Return 1 / (1 + exp(-x)) in float32 for each of the 256 codes' x; beyond float32 exp is infinity."""
    return np.float32(1) / (np.float32(1) + libm.exp(-op.input.dequantize(CODES)))


def litert_logistic(op):
    return np.clip(round_half_away(_float32_sigmoid(op) * np.float32(256)) - 128, -128, 127)


def tinymind_logistic(op):
    steps = np.float32(op.output.zero_point) + _float32_sigmoid(op) / np.float32(op.output.scale)
    return np.clip(round_half_away(steps), -128, 127)           # the zero point is added before it rounds


def xnnpack_logistic(op):
    exp = np.exp(np.minimum(op.input.dequantize(CODES).astype(np.float64), 700))       # beyond it exp is infinite
    return np.clip(np.rint((exp / (1 + exp)).astype(np.float32) * 256 - 128), -128, 127)


def tflm_logistic(op):
    """Source: TFLite Micro's Logistic for int8, on gemmlowp's fixed-point exponential and reciprocal."""
    return _in_fixed_point(op, lambda x: np.minimum(divide_by_power_of_two(fixed_point_logistic(x), 23), 255) - 128)


def tflm_tanh(op):
    """Source: TFLite Micro's Tanh for int8; it takes for granted that the output's codes are 1/128 apart around 0."""
    return _in_fixed_point(op, lambda x: np.clip(divide_by_power_of_two(fixed_point_tanh(x), 24), -128, 127))


def _in_fixed_point(op, codes):
    """Return the table of a function of Q4.27 numbers; -128 and 127 where the input is beyond them."""
    multiplier, shift = quantize_multiplier(np.float64(np.float32(op.input.scale)) * 2**27)
    if shift < 0:
        raise ValueError(f"{op.name} of codes {op.input.scale:g} apart: TFLite Micro shifts by a negative number, "
                         f"for which C has no answer; the input's scale must be {2**-28:g} or more")
    centred = _centred(op)
    inside = np.abs(centred) < (15 * 2**27) >> shift
    x = doubling_high_multiply(np.where(inside, centred, 0) << shift, multiplier)
    return np.where(inside, codes(x), np.where(centred > 0, 127, -128))


def litert_tanh(op):
    return np.clip(round_half_away(_tanh_in_steps(op)) + op.output.zero_point, -128, 127)


def xnnpack_tanh(op):
    return np.clip(np.rint(_tanh_in_steps(op) + np.float32(op.output.zero_point)), -128, 127)


def _tanh_in_steps(op):
    """Return tanh of each of the 256 codes' x in output steps, float32."""
    return libm.tanh(op.input.dequantize(CODES)) * (np.float32(1) / np.float32(op.output.scale))


def _scaled_relu(op, factor):
    steps = AWAY.steps(CODES - op.input.zero_point, [factor])
    lowest = op.output.zero_point
    return np.clip(steps + lowest, lowest, highest_away(op.output, op.ceiling))


def litert_relu(op):
    return _scaled_relu(op, np.float64(np.float32(op.input.scale) / np.float32(op.output.scale)))


def tflm_relu(op):
    if op.ceiling == math.inf:
        return _scaled_relu(op, np.float64(op.input.scale) / np.float64(op.output.scale))
    # TFLite Micro's RELU6 cuts the input's codes and never looks at the output's scale
    if op.ceiling / op.input.scale >= 2**31:
        raise ValueError(f"RELU6 of codes {op.input.scale:g} apart: the steps up to 6 do not fit into TFLite Micro's "
                         "32 bits; take a larger input scale")
    return np.clip(CODES, op.input.zero_point, highest_away(op.input, op.ceiling))


def _centred(op):
    """Return the 256 codes less the input's zero point, int64."""
    return CODES.astype(np.int64) - op.input.zero_point


def _in_range(op, steps):
    return np.clip(steps + op.output.zero_point, -128, 127)


def _ratio(op):
    """Return what an input step is worth in output steps."""
    return np.float64(op.input.scale) / np.float64(op.output.scale)


def _ratio_in_float32(op):
    return np.float32(op.input.scale) / np.float32(op.output.scale)


def requantize_away(op):
    return _in_range(op, AWAY.steps(_centred(op), [_ratio(op)]))


def requantize_up(op):
    return _in_range(op, UP.steps(_centred(op), [_ratio(op)]))


def xnnpack_requantize(op):
    return _in_range(op, _in_256ths(_centred(op), _ratio_in_float32(op)))


def xnnpack_requantizes(op) -> bool:
    """Tell whether XNNPACK takes codes to codes on another line: within a range of scales."""
    return 1 / 256 <= _ratio_in_float32(op) <= 128


def _in_256ths(centred, ratio):
    """Return centred codes times a ratio that was rounded to 256ths, ties up."""
    return (centred * int(np.rint(np.float32(256) * ratio)) + 128) >> 8


def tflm_leaky_relu(op):
    alpha = np.float64(np.float32(op.alpha))
    return _leaky_relu(op, _ratio(op), np.float64(op.input.scale) * alpha / np.float64(op.output.scale))


def litert_leaky_relu(op):
    return _leaky_relu(op, _ratio_in_float32(op),
                       np.float32(op.input.scale) * np.float32(op.alpha) / np.float32(op.output.scale))


def _leaky_relu(op, factor, slope):
    centred = _centred(op)
    above = AWAY.steps(np.maximum(centred, 0), [factor])
    below = np.sign(slope) * AWAY.steps(np.minimum(centred, 0), [abs(slope)]) if slope else 0
    return _in_range(op, np.where(centred >= 0, above, below))


def xnnpack_leaky_relu(op):
    """XNNPACK takes a range of scales; the rest goes to LiteRT's built-in kernel."""
    factor = _ratio_in_float32(op)
    slope = factor * np.float32(op.alpha)
    if not (1 / 256 <= factor <= 128 and -127.99609375 <= slope <= 128 and abs(slope) >= 1 / 256):
        return litert_leaky_relu(op)
    centred = _centred(op)
    return _in_range(op, np.where(centred >= 0, _in_256ths(centred, factor), _in_256ths(centred, slope)))


def tflm_hard_swish(op):
    hires, out = np.float64(op.input.scale) / 128, np.float64(op.output.scale)
    return _hard_swish(op, hires / out, hires / np.float64(np.float32(3 / 32768)))


def litert_hard_swish(op):
    hires = np.float32(op.input.scale) / np.float32(128)
    return _hard_swish(op, hires / np.float32(op.output.scale), hires / np.float32(3 / 32768))


def _hard_swish(op, to_output, to_share):
    """Source: HardSwish of TensorFlow Lite's reference kernels, in 16 bits.

    to_output, to_share : factors that bring an input code, times 128, to output steps and to 32768ths of 3.
    """
    (output, right), (share, left) = _in_16_bits(to_output), _in_16_bits(to_share)
    if right > 0:
        raise ValueError(f"HARD_SWISH from scale {op.input.scale:g} to {op.output.scale:g}: the input's scale must be "
                         "below 128 times the output's, no runtime takes another; take a larger output scale")
    hires = _centred(op) << 7
    value = _high_product(hires, output)
    reluish = hires
    if left > 0:
        reluish = _saturating(_high_product(_saturating(reluish << (left - 1)), share) << 1)
    else:
        reluish = _divided(_high_product(reluish, share), -left)
    product = ((reluish + 2**15) >> 1) * value
    steps = np.sign(product) * (np.abs(product) >> 15)          # cut towards zero
    return _in_range(op, _divided(steps, -right))


def _in_16_bits(factor):
    """Return (multiplier, shift) of a factor, the multiplier in Q0.15."""
    multiplier, shift = quantize_multiplier(factor)
    return min((multiplier + 2**15) >> 16, 2**15 - 1), shift


def _high_product(a, multiplier):
    """Return a * multiplier / 2**15 rounded, ties up, as gemmlowp does in 16 bits."""
    return (a * multiplier + 2**14) >> 15


def _divided(x, exponent):
    """Return x / 2**exponent rounded, ties away from zero, as gemmlowp does in 16 bits: from 2**16 on never to 0."""
    return divide_by_power_of_two(x, exponent) if exponent < 16 else np.where(x < 0, -1, 1)


def _saturating(x):
    return np.clip(x, -(2**15), 2**15 - 1)
