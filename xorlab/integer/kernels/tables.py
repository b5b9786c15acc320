"""Operators that look at one code at a time: each of the 256 input codes has its output code."""
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xorlab.integer.affine import CODES
from xorlab.integer.fixed_point import (
    divide_by_power_of_two,
    doubling_high_multiply,
    fixed_point_logistic,
    quantize_multiplier,
    round_half_away,
)
from xorlab.integer.kernels.scaling import AWAY, highest_away
from xorlab.integer.operators import Unary


@dataclass(frozen=True)
class TableKernel:
    """table(op) : the output code of each of the 256 input codes, from -128 up."""
    table: Callable

    def __call__(self, op: Unary, x: np.ndarray) -> np.ndarray:
        return self.table(op).astype(np.int8)[x.astype(np.int64) + 128]


def _float32_sigmoid(op):
    """Return 1 / (1 + exp(-x)) in float32 for each of the 256 codes' x, exp rounded as C's expf rounds it."""
    x = np.float32(op.input.scale) * (CODES - op.input.zero_point).astype(np.float32)
    with np.errstate(over="ignore"):                # beyond float32 it is infinity, and the sigmoid 0, as in C
        exp = np.exp(-x.astype(np.float64)).astype(np.float32)      # NumPy's float32 exp differs between processors
    return np.float32(1) / (np.float32(1) + exp)


def litert_logistic(op):
    return np.clip(round_half_away(_float32_sigmoid(op) * np.float32(256)) - 128, -128, 127)


def tinymind_logistic(op):
    steps = np.float32(op.output.zero_point) + _float32_sigmoid(op) / np.float32(op.output.scale)
    return np.clip(round_half_away(steps), -128, 127)           # the zero point is added before it rounds


def xnnpack_logistic(op):
    x = np.float64(np.float32(op.input.scale)) * (CODES - op.input.zero_point)
    sigmoid = np.exp(x) / (1 + np.exp(x))
    return np.clip(np.rint(np.float32(sigmoid) * 256 - 128), -128, 127)


def tflm_logistic(op):
    """Source: TFLite Micro's Logistic for int8, on gemmlowp's fixed-point exponential and reciprocal."""
    multiplier, shift = quantize_multiplier(np.float64(np.float32(op.input.scale)) * 2**27)
    radius = (15 * 2**27) >> shift if shift >= 0 else (15 * 2**27) << -shift
    centred = CODES.astype(np.int64) - op.input.zero_point
    inside = np.abs(centred) < radius
    x = doubling_high_multiply(np.where(inside, centred, 0) << max(shift, 0), multiplier)
    out = divide_by_power_of_two(fixed_point_logistic(x), 23)
    out = np.where(inside, np.minimum(out, 255), np.where(centred > 0, 255, 0))
    return out - 128


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
    return np.clip(CODES, op.input.zero_point, highest_away(op.input, op.ceiling))
