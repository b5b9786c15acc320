"""QUANTIZE and DEQUANTIZE where float32 meets codes, and SOFTMAX, whose output takes a whole row."""
import numpy as np

from xorlab.integer.explain.parts import Output, Told, less, of_sample, table_of
from xorlab.integer.explain.scaled import cut, divided_away, high_product, rounded_away
from xorlab.integer.explain.tables import unary
from xorlab.integer.fixed_point import fixed_point_exp, fixed_point_reciprocal, quantize_multiplier
from xorlab.integer.kernels import ends, libm, softmax


def quantize(out: Output) -> Told:
    if out.op.input is not None:
        return unary(out)
    x, scale = out.x[0][out.place], np.float32(out.op.output.scale)
    way = out.kernel.of_floats
    if way is ends.quantize_in_vectors:
        way = ends.quantize_even if out.in_vector(8) else None
    if way is ends.quantize_even:
        factor = np.float32(1) / scale
        steps = round(float(x * factor))
        line = f"{x:.9g} * {factor:.9g} = {x * factor:.6f}, ties to even -> {steps}"
    else:
        real = x / scale if way is ends.quantize else float(x) / float(scale)       # the built-in kernel's tail
        steps = rounded_away(real)
        line = f"{x:.9g} / {scale:.9g} = {real:.6f}, ties away from zero -> {steps}"
    last, code = cut(steps, out.op.output.zero_point)
    return Told(table_of(("input", "number"), [(of_sample(out.place), f"{x:.9g}")]), [line, last], code)


def dequantize(out: Output) -> Told:
    code, line = int(out.x[0][out.place]), out.op.input
    scale, zero_point = np.float32(line.scale), line.zero_point
    if out.kernel is ends.dequantize_in_vectors and out.in_vector(8):
        made = np.float32(code) * scale + np.float32(-zero_point) * scale
        told = f"{code} * {scale:.9g} {-zero_point:+d} * {scale:.9g} = {made:.9g}"
    else:
        made = scale * np.float32(code - zero_point)
        told = f"{less(code, zero_point)}; {code - zero_point} * {scale:.9g} = {made:.9g}"
    return Told(table_of(("input", "code"), [(of_sample(out.place), code)]), [told], float(made))


def shares(out: Output) -> Told:
    row = out.x[0][out.place[:-1]]
    below = (int(row.max()) - row.astype(int)).tolist()
    exps, lines, code = (_in_float32 if out.kernel is softmax.float_softmax else _in_fixed_point)(
        out.op, below, out.place[-1])
    rows = [(of_sample((*out.place[:-1], i)), int(q), down, exp) for i, (q, down, exp) in enumerate(zip(
        row, below, exps, strict=True))]
    return Told(table_of(("input", "code", "below the largest", "exponential"), rows), lines, code)


def _in_float32(op, below, at):
    scale = -np.float32(op.input.scale) * np.float32(op.beta)
    exps = libm.exp(scale * np.float32(below))
    total = np.float32(0)
    for exp in exps:                                            # in their order: each addition rounds
        total = total + exp
    share = exps[at] * (np.float32(1) / (total * np.float32(op.output.scale)))
    steps = rounded_away(share)
    last, code = cut(steps, op.output.zero_point)
    return [f"{exp:.7g}" for exp in exps], [
        f"the exponentials, exp({scale:.9g} * steps below), add up to {total:.9g}",
        f"{exps[at]:.9g} / ({total:.9g} * {op.output.scale:.9g}) = {share:.5f}, ties away from zero -> {steps}",
        last], code


def _in_fixed_point(op, below, at):
    multiplier, shift = quantize_multiplier(min(op.input.scale * float(np.float32(op.beta)) * 2**26, 2**31 - 1.0))
    lowest = (31 << 26) >> shift
    exps = [int(fixed_point_exp(np.int64(high_product(-down << shift, multiplier)), 5)) if down <= lowest else 0
            for down in below]                                  # 31 bits behind the point
    total = sum(divided_away(exp, 12) for exp in exps)          # 19 bits
    told = [f"{exp / 2**31:.7f}" for exp in exps]
    if below[at] > lowest:
        return told, [f"{below[at]} is more than {lowest} below the largest, where nothing is left: code -128"], -128
    bits = total.bit_length()
    reciprocal = int(fixed_point_reciprocal(np.int64((total << (32 - bits)) - 2**31)))
    product = high_product(reciprocal, exps[at])
    steps = divided_away(product, bits + 3)
    last, code = cut(steps, op.output.zero_point)
    return told, [
        f"the exponentials add up to {total} / 2^19 = {total / 2**19:.7f}",
        f"2^{bits - 20} divided by that, in whole numbers: {reciprocal} / 2^31 = {reciprocal / 2**31:.8f}",
        f"{reciprocal} * {exps[at]} / 2^31 -> {product}",
        f"{product} / 2^{bits + 3} = {product / 2 ** (bits + 3):.5f}, ties away from zero -> {steps}", last], code
