"""Pools and means, and operators that only move codes."""
import itertools
import math

import numpy as np

from xorlab.integer.explain.parts import Output, Told, of_sample, table_of
from xorlab.integer.explain.scaled import cut, kept, twice
from xorlab.integer.fixed_point import quantize_multiplier
from xorlab.integer.kernels import pools
from xorlab.integer.kernels.scaling import AWAY, UP, highest_away, highest_even


def taps(op, shape: tuple, place: tuple):
    """Yield ((row, column) in the window, (row, column) in the picture, None where that is outside) for each tap."""
    margins = op.margins(shape)
    tops = [at * stride - before for at, stride, (before, _) in zip(place[1:3], op.stride, margins, strict=True)]
    for tap in itertools.product(*map(range, op.reach())):
        seen = tuple(top + i * dilation for top, i, dilation in zip(tops, tap, op.dilation, strict=True))
        yield tap, seen if all(0 <= i < size for i, size in zip(seen, shape[1:3], strict=True)) else None


def _codes_of(x, places):
    """Return (the Table of some codes of a call, those codes)."""
    codes = [int(x[place]) for place in places]
    return table_of(("input", "code"), list(zip(map(of_sample, places), codes, strict=True)), summed=(1,)), codes


def _in_window(out):
    """Return (Table, codes) of what a pool's window sees of the picture."""
    x, (sample, *_, channel) = out.x[0], out.place
    return _codes_of(x, [(sample, *seen, channel) for _, seen in taps(out.op, x.shape, out.place) if seen])


def average_pool(out: Output) -> Told:
    table, codes = _in_window(out)
    total, n = sum(codes), len(codes)
    size = (abs(total) + n // 2) // n
    average = -size if total < 0 else size
    last, code = kept(average, out.op.lowest, highest_away(out.op.output, out.op.ceiling))
    return Told(table, [f"{n} codes inside the picture add up to {total}",
                        f"{total} / {n} = {total / n:.5f}, ties away from zero -> {average}", last], code)


def max_pool(out: Output) -> Told:
    op, (table, codes) = out.op, _in_window(out)
    taken = out.kernel is pools.xnnpack_max_pool and all(
        stride <= window for stride, window in zip(op.stride, op.window, strict=True))
    highest = (highest_even if taken else highest_away)(op.output, op.ceiling)
    last, code = kept(max(codes), op.lowest, highest)
    return Told(table, [f"the largest of {len(codes)} codes inside the picture is {max(codes)}", last], code)


def mean(out: Output) -> Told:
    op, x = out.op, out.x[0]
    kept = iter(out.place)
    fixed = [(next(kept) if op.keep_dims else None) if axis in op.axes else next(kept) for axis in range(x.ndim)]
    places = list(itertools.product(*(range(length) if axis in op.axes else [fixed[axis]]
                                      for axis, length in enumerate(x.shape))))
    table, codes = _codes_of(x, places)
    lines, code = _mean_of(out, sum(codes), len(codes))
    return Told(table, [f"{len(codes)} codes add up to {sum(codes)}", *lines], code)


def _mean_of(out, total, n):
    if out.kernel is pools.xnnpack_mean:
        return _mean_in_float32(out.op, total, n)
    if isinstance(out.kernel, pools.BuiltinMean) and out.op.keep_dims and len(out.x[0].shape) == 4 and set(
            out.op.axes) == {1, 2}:
        rounding = UP if out.kernel.in_vectors(out.shape[-1])[out.place[-1]] else AWAY
        return _mean_with_bias(out.op, total, n, rounding)
    return _mean_by_multiplier(out.op, total, n)


def _mean_by_multiplier(op, total, n):
    """The multiplier is divided by the number of codes, as whole numbers."""
    multiplier, shift = quantize_multiplier(op.input.scale / op.output.scale)
    room = min(n.bit_length() - 1, 32, 31 + shift)
    smaller, centred = (multiplier << room) // n, total - n * op.input.zero_point
    scaled, steps = twice(AWAY, centred, smaller, shift - room)
    last, code = cut(steps, op.output.zero_point)
    return [f"less {n} zero points of {op.input.zero_point}: {centred}",
            f"the multiplier of the scales and of 1/{n}: {multiplier} * 2^{room} / {n}, cut, is {smaller}", scaled,
            last], code


def _mean_with_bias(op, total, n, rounding):
    """The zero points are one number, rounded by itself."""
    before, after = np.float32(op.input.scale), np.float32(op.output.scale)
    zero = np.float32(op.input.zero_point) * before / after
    away = math.trunc(float(zero + np.float32(0.5 if zero > 0 else -0.5)))
    bias = op.output.zero_point - away
    scaled, steps = twice(rounding, total, *quantize_multiplier(float(before / (np.float32(n) * after))))
    last, code = cut(steps, bias)
    return [scaled, f"zero points: {op.output.zero_point} less {zero:.5f}, rounded to {away}, is {bias}", last], code


def _mean_in_float32(op, total, n):
    factor = np.float32(op.input.scale) / np.float32(op.output.scale) * (np.float32(1) / np.float32(n))
    zero = np.float32(op.output.zero_point) - np.float32(n * op.input.zero_point) * factor
    real = np.float32(total) * factor + zero
    steps = round(float(real))
    last, code = kept(steps)
    return [f"{total} * {factor:.9g} {zero:+.9g} = {real:.5f}, ties to even -> {steps}", last], code


def pad(out: Output) -> Told:
    place = tuple(at - before for at, (before, _) in zip(out.place, out.op.margins, strict=True))
    if not all(0 <= at < length for at, length in zip(place, out.x[0].shape, strict=True)):
        code = out.op.output.zero_point
        return Told(table_of(("input", "code"), [("outside", code)]), [f"outside there is 0: code {code}"], code)
    return _copied(out.x[0], place)


def reshape(out: Output) -> Told:
    flat = np.ravel_multi_index(out.place, out.shape)
    return _copied(out.x[0], tuple(map(int, np.unravel_index(flat, out.x[0].shape))))


def concatenation(out: Output) -> Told:
    axis, place = out.op.axis, list(out.place)
    for number, x in enumerate(out.x):
        if place[axis] < x.shape[axis]:
            return _copied(x, tuple(place), f"of input {number} ")
        place[axis] -= x.shape[axis]
    raise IndexError(out.place)


def _copied(x, place, which=""):
    value = x[place].item()
    what = "number" if isinstance(value, float) else "code"
    return Told(table_of(("input", what), [(of_sample(place), value)]),
                [f"{what} {value} {which}is copied"], value)
