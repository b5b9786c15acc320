"""ADD, SUB and MUL: both operands' way, and what becomes of their sum or product."""
import math
from collections.abc import Callable

import numpy as np

from xorlab.integer.explain.parts import Output, Told, less, of_sample, table_of
from xorlab.integer.explain.scaled import WORKED, cut, cut_in_16_bits, high_product, joined
from xorlab.integer.fixed_point import quantize_multiplier
from xorlab.integer.kernels import arithmetic
from xorlab.integer.kernels.arithmetic import Either, VectorPairKernel, innermost_run
from xorlab.integer.kernels.scaling import AWAY, EVEN, highest_away, highest_even
from xorlab.integer.operators import Sub

HEADROOM = 20                       # bits


def pair(out: Output) -> Told:
    op, rows, centred = out.op, [], []
    for name, x, line in zip(("first", "second"), out.x, (op.input, op.other), strict=True):
        place = _broadcast(out.place, x.shape)
        code = int(x[place])
        centred.append(code - line.zero_point)
        rows.append((f"{name}, {of_sample(place)}", code, less(code, line.zero_point),
                     f"{float(line.dequantize(code)):.6g}"))
    lines, made = ENTRIES[_table(out)](op, *centred)
    return Told(table_of(("input", "code", "less its zero point", "number"), rows), lines, made)


def _broadcast(place, shape):
    """Return the place in an operand that is broadcast to the output."""
    return tuple(at if length > 1 else 0 for at, length in zip(place[len(place) - len(shape) :], shape, strict=True))


def _table(out: Output) -> Callable:
    """Return the function that makes the table which holds the output's code."""
    kernel = out.kernel
    if isinstance(kernel, Either):
        kernel = kernel.own if kernel.takes(out.op) else kernel.other
    if not isinstance(kernel, VectorPairKernel):
        return kernel.table
    run, alone = innermost_run(*(x.shape for x in out.x))
    body, block = (kernel.scalar, kernel.scalar_block) if alone else (kernel.body, kernel.block)
    return body if out.in_vector(block, run) else kernel.tail


# --- from two codes less their zero points to a code: (operator, first, second) -> (lines, code)

def _sum(scaled: Callable, in_16_bits: bool) -> Callable:
    """scaled(c, factor) : an operand's way, in words, and what comes out."""
    def told(op, first, second):
        twice = 2 * max(op.input.scale, op.other.scale)
        (a_line, a), (b_line, b) = scaled(first, op.input.scale / twice), scaled(second, op.other.scale / twice)
        sign, total = ("-", a - b) if isinstance(op, Sub) else ("+", a + b)
        line, steps = WORKED[AWAY](total, twice / (2**HEADROOM * op.output.scale))
        last, code = _last(op, steps, in_16_bits)
        return [f"first: {a_line}", f"second: {b_line}", f"{joined(a, sign, b)} = {total}", line,
                last], code
    return told


def _last(op, steps, in_16_bits):
    limits = op.output.zero_point, op.lowest, highest_away(op.output, op.ceiling)
    return cut_in_16_bits(_wrapped(steps), *limits) if in_16_bits else cut(steps, *limits)


def _wrapped(x):
    return (x + 2**15) % 2**16 - 2**15


def _in_turn(c, factor):
    line, made = WORKED[AWAY](c << HEADROOM, factor)
    return f"{c} * 2^{HEADROOM} = {c << HEADROOM}; {line}", made


def _in_vectors(c, factor):
    multiplier, shift = quantize_multiplier(factor)
    up = HEADROOM + shift
    shifted = c << up if up >= 0 else c >> -up
    made = high_product(shifted, multiplier)
    product = f"{shifted} * {multiplier} / 2^31 = {shifted * multiplier / 2**31:.5f}"
    return f"{c} * 2^{up} = {shifted}; {product} -> {made}", made


def _with_a_scalar(c, factor):
    multiplier, shift = quantize_multiplier(factor)
    product = high_product(c << HEADROOM, multiplier)
    made = product >> -shift
    return (f"{c} * 2^{HEADROOM} = {c << HEADROOM}; {c << HEADROOM} * {multiplier} / 2^31 -> {product}, / 2^{-shift}, "
            f"rounded down -> {made}"), made


def _xnnpack_sum(op, first, second):
    ratios = [np.float32(line.scale) / np.float32(op.output.scale) for line in (op.input, op.other)]
    shift = HEADROOM - (math.frexp(max(ratios))[1] - 1)
    a, b = (round(float(ratio * 2.0**shift)) for ratio in ratios)
    sign, total = ("-", first * a - second * b) if isinstance(op, Sub) else ("+", first * a + second * b)
    steps = (total + (1 << (shift - 1))) >> shift
    last, code = cut(steps, op.output.zero_point, op.lowest, highest_even(op.output, op.ceiling))
    return [f"{joined(f'{first} * {a}', sign, f'{second} * {b}')} = {total}",
            f"{total} / 2^{shift} = {total / 2**shift:.5f}, ties up -> {steps}", last], code


def _product(factor: Callable, rounding, last: Callable) -> Callable:
    def told(op, first, second):
        line, steps = WORKED[rounding](first * second, factor(op))
        lines, code = last(op, steps)
        return [f"{first} * {second} = {first * second}", line, *lines], code
    return told


def _ends(highest: Callable) -> Callable:
    def last(op, steps):
        line, code = cut(steps, op.output.zero_point, op.lowest, highest(op.output, op.ceiling))
        return [line], code
    return last


def _saturates(op, steps):
    kept = min(max(steps, -(2**15)), 2**15 - 1)
    line, code = _last(op, kept, in_16_bits=True)
    return [line] if kept == steps else [f"cut to 16 bits: {kept}", line], code


ENTRIES = {
    arithmetic.sum_in_turn: _sum(_in_turn, in_16_bits=False),
    arithmetic.sum_in_vectors: _sum(_in_vectors, in_16_bits=True),
    arithmetic.sum_with_a_scalar: _sum(_with_a_scalar, in_16_bits=True),
    arithmetic.xnnpack_sum: _xnnpack_sum,
    arithmetic.tflm_product: _product(arithmetic.product_factor, AWAY, _ends(highest_away)),
    arithmetic.litert_product: _product(arithmetic.product_factor_in_float32, AWAY, _ends(highest_away)),
    arithmetic.product_in_vectors: _product(arithmetic.product_factor_in_float32, AWAY, _saturates),
    arithmetic.xnnpack_product: _product(arithmetic.product_factor_in_float32, EVEN, _ends(highest_even)),
}
