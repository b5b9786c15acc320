"""Operators that look at one code: the code looked up, and how its entry in the table comes about."""
import math
from collections.abc import Callable

import numpy as np

from xorlab.integer.explain.parts import Output, Told, of_sample, table_of
from xorlab.integer.explain.scaled import WORKED, cut, divided_away, divided_up, high_product, kept, rounded_away
from xorlab.integer.fixed_point import fixed_point_logistic, fixed_point_tanh, quantize_multiplier
from xorlab.integer.kernels import libm, tables
from xorlab.integer.kernels.arithmetic import Either
from xorlab.integer.kernels.ends import QuantizeKernel
from xorlab.integer.kernels.scaling import AWAY, UP, highest_away
from xorlab.integer.kernels.tables import VectorTableKernel


def unary(out: Output) -> Told:
    op, code = out.op, int(out.x[0][out.place])
    lines, made = ENTRIES[_table(out)](op, code - op.input.zero_point)
    inputs = table_of(("input", "code", f"code {-op.input.zero_point:+d}", "number"), [(
        of_sample(out.place), code, code - op.input.zero_point, f"{float(op.input.dequantize(code)):.6g}")])
    return Told(inputs, [f"code {code} looks up its entry in the table of 256, which was made so:", *lines], made)


def _table(out: Output) -> Callable:
    """Return the function that makes the table which holds the output's code."""
    kernel = out.kernel.of_codes if isinstance(out.kernel, QuantizeKernel) else out.kernel
    if isinstance(kernel, Either):
        kernel = kernel.own if kernel.takes(out.op) else kernel.other
    if isinstance(kernel, VectorTableKernel):
        return kernel.body if out.in_vector(16) else kernel.tail
    return kernel.table


# --- how an entry comes about: (operator, code less its zero point) -> (lines, code)

def _ratio(op):
    return op.input.scale / op.output.scale


def _ratio_in_float32(op):
    return np.float32(op.input.scale) / np.float32(op.output.scale)


def _rescaled(rounding, ratio, lowest=lambda op: -128, highest=lambda op: 127) -> Callable:
    def told(op, c):
        scaled, steps = WORKED[rounding](c, ratio(op))
        last, code = cut(steps, op.output.zero_point, lowest(op), highest(op))
        return [scaled, last], code
    return told


def _relu(ratio) -> Callable:
    return _rescaled(AWAY, ratio, lambda op: op.output.zero_point, lambda op: highest_away(op.output, op.ceiling))


def _tflm_relu(op, c):
    if op.ceiling == math.inf:
        return _relu(_ratio)(op, c)
    last, code = cut(c, op.input.zero_point, op.input.zero_point, highest_away(op.input, op.ceiling))
    return ["the code is cut as it is; the output's scale is not looked at", last], code


def _in_256ths(op, c, ratio):
    share = round(float(np.float32(256) * ratio))
    steps = divided_up(c * share, 8)
    last, code = cut(steps, op.output.zero_point)
    return [f"{c} * {share} / 2^8 = {c * share / 256:.5f}, ties up -> {steps}", last], code


def _xnnpack_requantize(op, c):
    return _in_256ths(op, c, _ratio_in_float32(op))


def _leaky_relu(ratio, slope) -> Callable:
    def told(op, c):
        if c >= 0:
            return _rescaled(AWAY, ratio)(op, c)
        below = float(slope(op))
        scaled, steps = WORKED[AWAY](c, abs(below)) if below else ("the slope is 0 -> 0", 0)
        turned = [f"the slope is below 0: {-steps}"] if below < 0 else []
        last, code = cut(-steps if below < 0 else steps, op.output.zero_point)
        return [f"below 0 the slope {op.alpha:g} counts", scaled, *turned, last], code
    return told


def _slope(op):
    return op.input.scale * float(np.float32(op.alpha)) / op.output.scale


def _slope_in_float32(op):
    return np.float32(op.input.scale) * np.float32(op.alpha) / np.float32(op.output.scale)


_litert_leaky_relu = _leaky_relu(_ratio_in_float32, _slope_in_float32)


def _xnnpack_leaky_relu(op, c):
    ratio = _ratio_in_float32(op)
    slope = ratio * np.float32(op.alpha)
    if not (1 / 256 <= ratio <= 128 and -127.99609375 <= slope <= 128 and abs(slope) >= 1 / 256):
        return _litert_leaky_relu(op, c)                # XNNPACK leaves it to the built-in kernel
    return _in_256ths(op, c, ratio if c >= 0 else slope)


def _sigmoid(op, c):
    """Return (x, its sigmoid), float32."""
    x = np.float32(op.input.scale) * np.float32(c)
    return x, np.float32(1) / (np.float32(1) + libm.exp(-x)[()])


def _litert_logistic(op, c):
    x, sigmoid = _sigmoid(op, c)
    steps = rounded_away(sigmoid * np.float32(256))
    last, code = cut(steps, -128)
    return [f"sigmoid({x:.6g}) = {sigmoid:.8f}, * 256 = {sigmoid * 256:.5f}, ties away from zero -> {steps}",
            last], code


def _tinymind_logistic(op, c):
    x, sigmoid = _sigmoid(op, c)
    real = np.float32(op.output.zero_point) + sigmoid / np.float32(op.output.scale)
    steps = rounded_away(real)
    last, code = kept(steps)
    return [f"sigmoid({x:.6g}) = {sigmoid:.8f}, {op.output.zero_point} + it / {op.output.scale:.9g} = {real:.5f}, ties "
            f"away from zero -> {steps}", last], code


def _xnnpack_logistic(op, c):
    x = min(op.input.scale * c, 700.0)              # beyond it exp is infinite
    sigmoid = np.float32(np.exp(x) / (1 + np.exp(x)))
    real = sigmoid * np.float32(256) - np.float32(128)
    steps = round(float(real))
    last, code = kept(steps)
    return [f"sigmoid({x:.6g}) = {sigmoid:.8f}, * 256 - 128 = {real:.5f}, ties to even -> {steps}", last], code


def _in_fixed_point(name, function, power, zero_point) -> Callable:
    """power : of 2, by which the function's 31 fraction bits are divided.  zero_point : taken for granted."""
    def told(op, c):
        multiplier, shift = quantize_multiplier(op.input.scale * 2**27)
        radius = (15 << 27) >> shift
        if abs(c) >= radius:
            code = 127 if c > 0 else -128
            return [f"{c} is {radius} or more from 0, where the {name} is at its end: code {code}"], code
        x = high_product(c << shift, multiplier)
        value = int(function(np.int64(x)))
        steps = divided_away(value, power)
        last, code = cut(steps, zero_point)
        return [f"{c} * 2^{shift} * {multiplier} / 2^31 -> {x}, which stands for {x} / 2^27 = {x / 2**27:.6g}",
                f"its {name} in whole numbers: {value} / 2^31 = {value / 2**31:.8f}",
                f"{value} / 2^{power} = {value / 2**power:.5f}, ties away from zero -> {steps}", last], code
    return told


def _tanh(op, c):
    """Return (how tanh comes out in output steps, that), float32."""
    x = np.float32(op.input.scale) * np.float32(c)
    tanh = libm.tanh(x)[()]
    steps = tanh * (np.float32(1) / np.float32(op.output.scale))
    return f"tanh({x:.6g}) = {tanh:.8f}, in output steps {steps:.5f}", steps


def _litert_tanh(op, c):
    line, real = _tanh(op, c)
    steps = rounded_away(real)
    last, code = cut(steps, op.output.zero_point)
    return [f"{line}, ties away from zero -> {steps}", last], code


def _xnnpack_tanh(op, c):
    line, real = _tanh(op, c)
    moved = real + np.float32(op.output.zero_point)
    steps = round(float(moved))
    last, code = kept(steps)
    return [f"{line}, {op.output.zero_point:+d} = {moved:.5f}, ties to even -> {steps}", last], code


def _hard_swish(to_output, to_share) -> Callable:
    """In 16 bits: the input times 128, scaled to output steps, times its share of 3 cut to -1..1, plus 1, halved."""
    def told(op, c):
        (output, right), (share, left) = _in_16_bits(to_output(op)), _in_16_bits(to_share(op))
        hires = c << 7
        value = divided_up(hires * output, 15)
        if left > 0:
            reluish = _saturated(divided_up(_saturated(hires << (left - 1)) * share, 15) << 1)
        else:
            reluish = divided_away(divided_up(hires * share, 15), -left)
        half = (reluish + 2**15) >> 1
        product = abs(half * value) >> 15
        product = -product if half * value < 0 else product
        steps = divided_away(product, -right)
        last, code = cut(steps, op.output.zero_point)
        return [f"in 16 bits, {c} * 2^7 = {hires}; times {output} / 2^15 it is {value}, output steps * 2^{-right}",
                f"as a share of 3, in 2^15ths and cut there, it is {reluish}; with 1, halved: {half}",
                f"{half} * {value} / 2^15 = {half * value / 2**15:.5f}, cut -> {product}, "
                f"/ 2^{-right} = {product / 2**-right:.5f}, ties away from zero -> {steps}", last], code
    return told


def _in_16_bits(factor):
    """Return (multiplier, shift) of a factor, the multiplier with 15 bits behind the point."""
    multiplier, shift = quantize_multiplier(float(factor))
    return min(divided_up(multiplier, 16), 2**15 - 1), shift


def _saturated(x):
    return min(max(x, -(2**15)), 2**15 - 1)


OF_THREE = np.float32(3 / 32768)

ENTRIES = {
    tables.tflm_relu: _tflm_relu, tables.litert_relu: _relu(_ratio_in_float32),
    tables.requantize_away: _rescaled(AWAY, _ratio), tables.requantize_up: _rescaled(UP, _ratio),
    tables.xnnpack_requantize: _xnnpack_requantize,
    tables.tflm_leaky_relu: _leaky_relu(_ratio, _slope), tables.litert_leaky_relu: _litert_leaky_relu,
    tables.xnnpack_leaky_relu: _xnnpack_leaky_relu,
    tables.tflm_logistic: _in_fixed_point("sigmoid", fixed_point_logistic, 23, -128),
    tables.litert_logistic: _litert_logistic, tables.xnnpack_logistic: _xnnpack_logistic,
    tables.tinymind_logistic: _tinymind_logistic,
    tables.tflm_tanh: _in_fixed_point("tanh", fixed_point_tanh, 24, 0), tables.litert_tanh: _litert_tanh,
    tables.xnnpack_tanh: _xnnpack_tanh,
    tables.tflm_hard_swish: _hard_swish(lambda op: op.input.scale / 128 / op.output.scale,
                                        lambda op: op.input.scale / 128 / float(OF_THREE)),
    tables.litert_hard_swish: _hard_swish(
        lambda op: np.float32(op.input.scale) / np.float32(128) / np.float32(op.output.scale),
        lambda op: np.float32(op.input.scale) / np.float32(128) / OF_THREE),
}
