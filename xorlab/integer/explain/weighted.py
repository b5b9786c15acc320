"""A weighted sum: its patch of inputs, its products, and the way from the sum to a code."""
import numpy as np

from xorlab.integer.explain.parts import Output, Told, index_text, table_of
from xorlab.integer.explain.scaled import WORKED, cut
from xorlab.integer.explain.windows import taps
from xorlab.integer.operators import DepthwiseConv2D, FullyConnected


def weighted(out: Output) -> Told:
    op, unit, zero_point = out.op, out.place[-1], out.op.input.zero_point
    rows = [(place, code, code - zero_point, weight, weight * (code - zero_point))
            for place, code, weight in _terms(out)]
    total, bias = sum(row[-1] for row in rows), int(op.biases[unit])
    lines, code = requantized(op, out.kernel, total + bias, unit, out.shape)
    table = table_of(("input", "code", f"code {-zero_point:+d}", "weight", "product"), rows, summed=(4,))
    products = "1 product comes to" if len(rows) == 1 else f"{len(rows)} products add up to"
    return Told(table, [f"{products} {total}, with the bias {bias:+d} to {total + bias}", *lines], code, total + bias)


def requantized(op, kernel, acc: int, unit: int, shape: tuple) -> tuple[list, int]:
    """Return (lines, code) from a unit's sum on.  shape : of the operator's output in a call."""
    factor = np.broadcast_to(kernel.factors(op), op.units)[unit]
    (rounding,) = (rounding for units, rounding in kernel.roundings(op, shape) if unit in range(op.units)[units])
    scaled, steps = WORKED[rounding](acc, factor)
    last, code = cut(steps, op.output.zero_point, op.lowest, kernel.highest(op.output, op.ceiling))
    return [scaled, last], code


def _terms(out):
    """Return [(place in the sample, code, weight)] of what an output sums."""
    op, x, unit = out.op, out.x[0], out.place[-1]
    if isinstance(op, FullyConnected):
        row = int(np.ravel_multi_index(out.place[:-1], out.shape[:-1]))
        codes = x.reshape(-1, op.weights.shape[1])[row]
        return [(str(i), int(code), int(weight)) for i, (code, weight) in enumerate(zip(codes, op.weights[unit],
                                                                                       strict=True))]
    if isinstance(op, DepthwiseConv2D):
        channels, weights = [unit // op.multiplier], op.weights[..., unit, None]
    else:
        size = op.weights.shape[3]
        first = unit // (op.units // op.groups) * size
        channels, weights = range(first, first + size), op.weights[unit]
    return [("outside", op.input.zero_point, int(weight)) if seen is None else
            (index_text((*seen, channel)), int(x[(out.place[0], *seen, channel)]), int(weight))
            for tap, seen in taps(op, x.shape, out.place) for channel, weight in zip(channels, weights[tap],
                                                                                     strict=True)]
