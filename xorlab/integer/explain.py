"""One output's arithmetic, told as it is done by hand, and checked against the kernel that does it."""
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import numpy as np

from xorlab.integer.fixed_point import quantize_multiplier, round_half_away
from xorlab.integer.kernels.scaling import AWAY, EVEN, ONCE, REAL, UP
from xorlab.integer.operators import DepthwiseConv2D, FullyConnected, Operator, Unary, Weighted
from xorlab.integer.rules import RULES, Rule
from xorlab.tables import Table

SHOWN = 4                           # products of a layer that a chain's text writes out before it says "and so on"
ROWS = 36                           # inputs that a table shows before it adds the others up: 3 x 3 of 4 channels


@dataclass(frozen=True, repr=False, eq=False)
class Explanation:
    """How one output comes about, or all outputs of a chain; it shows itself.

    title : which output.  inputs : the Table of what goes in; None for a chain.  working : the lines from there to the
    code.  code : the output, a number; of a chain with several outputs a tuple.
    accumulator : a weighted operator's sum; None elsewhere.
    """
    title: str
    inputs: Table | None
    working: tuple
    code: int | float | tuple
    accumulator: int | None = None

    def __str__(self):
        inputs = [] if self.inputs is None else [str(self.inputs)]
        return "\n".join([self.title, *inputs, *self.working])

    __repr__ = __str__

    def _repr_html_(self):
        inputs = "" if self.inputs is None else self.inputs._repr_html_()
        title, working = escape(self.title), escape("\n".join(self.working))
        return f"<p>{title}</p>{inputs}<pre>{working}</pre>"


# --- multiplying by a real factor and rounding, in Python's whole numbers: (what is done, what comes out)

def _twice(tell: str, second: Callable) -> Callable:
    def worked(acc, factor):
        multiplier, shift = quantize_multiplier(factor)
        left, right = max(shift, 0), max(-shift, 0)
        product = ((acc << left) * multiplier + 2**30) >> 31
        shifted = f"{acc}" if left == 0 else f"{acc} * 2^{left}"
        steps = second(product, right)
        return (f"{shifted} * {multiplier} / 2^31 = {(acc << left) * multiplier / 2**31:.5f} -> {product}, "
                f"/ 2^{right} = {product / 2**right:.5f}, ties {tell} -> {steps}"), steps
    return worked


def _divided_away(x: int, power: int) -> int:
    """Return x / 2**power, ties away from zero."""
    size = (abs(x) + (1 << power >> 1)) >> power
    return -size if x < 0 else size


def _divided_up(x: int, power: int) -> int:
    """Return x / 2**power, ties up."""
    return (x + (1 << power >> 1)) >> power


def _once(acc, factor):
    multiplier, shift = quantize_multiplier(factor)
    steps = _divided_up(acc * multiplier, 31 - shift)
    product = acc * multiplier / 2.0 ** (31 - shift)
    return f"{acc} * {multiplier} / 2^{31 - shift} = {product:.5f}, ties up -> {steps}", steps


def _in_float64(acc, factor):
    product = acc * float(factor)
    steps = int(round_half_away(product))
    return f"{acc} * {factor:.9g} = {product:.5f}, ties away from zero -> {steps}", steps


def _in_float32(acc, factor):
    product = np.float32(acc) * np.float32(factor)
    steps = round(float(product))                               # Python's round sends ties to the even neighbour
    return f"{acc} * {factor:.9g} = {product:.5f}, ties to even -> {steps}", steps


WORKED = {AWAY: _twice("away from zero", _divided_away), UP: _twice("up", _divided_up), ONCE: _once,
          REAL: _in_float64, EVEN: _in_float32}


def _to_code(steps: int, zero_point: int, lowest: int, highest: int) -> tuple[str, int]:
    """Return the last line, and the code, of whole output steps."""
    moved = steps + zero_point
    code = min(max(moved, lowest), highest)
    clamped = "" if moved == code else f", clamped to {lowest}..{highest}"
    return f"{steps} {zero_point:+d} = {moved}{clamped}: code {code}", code


def _requantized(op: Weighted, rule: Rule, acc: int, unit: int, shape: tuple) -> tuple[list, int]:
    """Return (lines, code) from a unit's sum on.  shape : of the operator's output in a call."""
    kernel = rule.kernel(op)
    factor = np.broadcast_to(kernel.factors(op), op.units)[unit]
    rounding, = (rounding for units, rounding in kernel.roundings(op, shape) if unit in range(op.units)[units])
    scaled, steps = WORKED[rounding](acc, factor)
    last, code = _to_code(steps, op.output.zero_point, *rule.clamp(op))
    return [scaled, last], code


# --- one output of one operator

@dataclass(frozen=True)
class _Output:
    """What a teller is given. A teller returns (Table of inputs, lines, what they arrive at, accumulator or None).

    op, kernel : of the node.  rule : the Rule.  x : what goes in, an array for each input, as one call has it.
    place : of the output in what the call makes.  shape : of that.
    """
    op: Operator
    kernel: Callable
    rule: Rule
    x: list
    place: tuple
    shape: tuple


def of_output(graph, q, node: int | str | None = None, where: int | tuple | None = None) -> Explanation:
    """Return the arithmetic of one output of one operator of an IntegerGraph; see IntegerGraph.explain."""
    node = _node(graph, node)
    tensors, sums, samples = graph.one_call(_one_sample(graph, q))
    made = tensors[node.output][0]
    lead = (0,) if made.shape[:1] == (samples,) else ()         # an operator may have no axis of samples left
    where = _where(made.shape[len(lead) :], where)
    rule = RULES[graph.rule]
    out = _Output(node.operator, rule.kernel(node.operator), rule, [tensors[i][0] for i in node.inputs], lead + where,
                  made.shape)
    inputs, lines, code, acc = next(tell for kind, tell in TELLERS.items() if isinstance(out.op, kind))(out)
    _agree(out.op, code, made[out.place].item())
    if acc is not None:
        _agree(out.op, acc, sums[node.output][0][out.place].item())
    title = f"{out.op.name} into tensor {node.name}, output {_index(where)}, rule {graph.rule} ({rule.runs_on})"
    line = out.op.output
    meaning = [] if line is None else [f"{line}: code {code} stands for {float(line.dequantize(code)):.6g}"]
    return Explanation(title, inputs, (*lines, *meaning), code, acc)


def _node(graph, node):
    """Return a node by its place or its tensor's name; the last by default."""
    names = [each.name for each in graph.nodes]
    if node is None:
        return graph.nodes[-1]
    if isinstance(node, str) and node in names:
        return graph.nodes[names.index(node)]
    if isinstance(node, int | np.integer) and -len(names) <= node < len(names):
        return graph.nodes[node]
    raise ValueError(f"node must be a place from 0 to {len(names) - 1} or the name of a tensor that an operator makes "
                     f"({', '.join(names[:8])}{', ...' if len(names) > 8 else ''}), got {node!r}")


def _one_sample(graph, q):
    """Return input codes as `IntegerGraph.checked` does, of one sample with or without its axis."""
    if len(graph.inputs) == 1 and not isinstance(q, list | tuple | dict) and np.shape(q) == graph.inputs[0].shape[1:]:
        q = np.asarray(q)[None]
    arrays = graph.checked(q)
    if len(arrays[0]) > 1 and len({end.shape[0] for end in graph.inputs}) == 1:
        raise ValueError(f"one sample is explained at a time, got {len(arrays[0])}; take q[:1]")
    return arrays


def _where(shape, where):
    """Return an index into a sample's tensor, its first output by default."""
    if where is None:
        return (0,) * len(shape)
    index = tuple(int(i) for i in where) if isinstance(where, tuple | list) else (int(where),)
    if len(index) != len(shape) or not all(0 <= i < length for i, length in zip(index, shape, strict=True)):
        raise ValueError(f"where must be an index into the output of one sample, of shape {shape}, got {where!r}")
    return index


def _index(place):
    return str(place[0]) if len(place) == 1 else f"({', '.join(map(str, place))})"


def _weighted(out):
    op = out.op
    unit = out.place[-1]
    zero_point, bias = op.input.zero_point, int(op.biases[unit])
    rows, total = [], 0
    for place, code, weight in _terms(out):
        total += weight * (code - zero_point)
        rows.append((place, code, code - zero_point, weight, weight * (code - zero_point)))
    acc = total + bias
    lines, code = _requantized(op, out.rule, acc, unit, out.shape)
    table = _rows(("input", "code", f"code {-zero_point:+d}", "weight", "product"), rows, {4: total})
    return table, [f"the products add up to {total}, with the bias {bias:+d} to {acc}", *lines], code, acc


def _terms(out):
    """Return [(place in the sample, code, weight)] of what a weighted operator's output sums; "outside" is padding."""
    op, x, unit = out.op, out.x[0], out.place[-1]
    if isinstance(op, FullyConnected):
        row = int(np.ravel_multi_index(out.place[:-1], out.shape[:-1]))
        codes, weights = x.reshape(-1, op.weights.shape[1])[row], op.weights[unit]
        return [(str(i), code, weight) for i, (code, weight) in enumerate(zip(codes.tolist(), weights.tolist(),
                                                                             strict=True))]
    if isinstance(op, DepthwiseConv2D):
        channels, weights = [unit // op.multiplier], op.weights[..., unit, None]
    else:
        group = unit // (op.units // (x.shape[3] // op.weights.shape[3]))
        channels = [group * op.weights.shape[3] + c for c in range(op.weights.shape[3])]
        weights = op.weights[unit]
    return [(place, op.input.zero_point if outside else int(x[out.place[0], row, column, channel]),
             int(weights[i, j, c]))
            for i, j, row, column, outside in _window(op, x.shape, out.place)
            for c, channel in enumerate(channels)
            for place in ["outside" if outside else _index((row, column, channel))]]


def _window(op, shape, place):
    """Yield (row, column in the window, row, column in the picture, whether they lie outside) for each tap."""
    (top, _), (left, _) = op.margins(shape)
    for i in range(op.reach()[0]):
        for j in range(op.reach()[1]):
            row = place[1] * op.stride[0] + i * op.dilation[0] - top
            column = place[2] * op.stride[1] + j * op.dilation[1] - left
            yield i, j, row, column, not (0 <= row < shape[1] and 0 <= column < shape[2])


def _rows(header, rows, totals):
    """Return a Table of as many rows as one can read, those left added up in one.  totals : {column: of all rows}."""
    shown = [tuple(map(str, row)) for row in rows[:ROWS]]
    left = rows[ROWS:]
    if left:
        shown.append((f"{len(left)} more", *(str(sum(row[i] for row in left)) if i in totals else ""
                                             for i in range(1, len(header)))))
    return Table(header, tuple(shown))


def _unary(out):
    op, code = out.op, int(out.x[0][out.place])
    table = out.rule.table(op)
    made = int(table[code + 128])
    inputs = Table(("input", "code", "number"), ((_index(out.place[1:]), str(code), _real(op.input, code)),))
    return inputs, [f"code {code} looks up {made} in the table of 256"], made, None


def _real(line, code):
    return f"{float(line.dequantize(code)):.6g}"


TELLERS = {Weighted: _weighted, Unary: _unary}


# --- a chain of dense layers

def of_chain(net, q, made: list) -> Explanation:
    """Return an IntegerMLP's arithmetic for one input, operator by operator.

    q : its codes, int8 (1, inputs).  made : the net's trace of it.
    """
    rule = RULES[net.rule]
    lines = [f"input: codes {_codes(q)} stand for {_reals(net.input, q)}"]
    for step, result in zip(net.steps, made, strict=True):
        lines.append(f"{result.name}: in, {step.input}; out, {step.output}")
        if isinstance(step, FullyConnected):
            for unit in range(step.units):
                lines += _of_unit(step, unit, q[0], result, rule)
        else:
            looked_up = rule.table(step)[q.astype(int) + 128]
            _agree(step, looked_up.tolist(), result.codes.tolist())
            lines.append(f"  codes {_codes(q)} look up {_codes(looked_up)} in the table of 256")
        q = result.codes
    lines.append(f"output: codes {_codes(q)} stand for {_reals(net.output, q)}")
    codes = tuple(q[0].tolist())
    return Explanation(f"rule {net.rule} ({rule.runs_on})", None, tuple(lines), codes if len(codes) > 1 else codes[0])


def _of_unit(layer, unit, codes, made, rule):
    """Return the lines of a dense layer's unit."""
    terms = list(zip(layer.weights[unit].tolist(), codes.tolist(), strict=True))
    products = [f"{w}*({q}{-layer.input.zero_point:+d})" for w, q in terms[:SHOWN]]
    products += ["..."] if len(terms) > SHOWN else []
    bias = int(layer.biases[unit])
    acc = sum(w * (q - layer.input.zero_point) for w, q in terms) + bias
    lines, code = _requantized(layer, rule, acc, unit, (1, layer.units))
    _agree(layer, (acc, code), (int(made.accumulators[0, unit]), int(made.codes[0, unit])))
    summed = f"unit {unit}: {' + '.join(products)} + {bias} = {acc}".replace("+ -", "- ")
    return [f"  {summed}", *(f"    {line}" for line in lines)]


def _agree(op, told, computed):
    """Raise RuntimeError unless what is told is what the kernel computed."""
    if told != computed:
        raise RuntimeError(f"the explanation of {op.name} arrives at {told}, but its kernel at {computed}; this is a "
                           "mistake in xorlab.integer, not in the net")


def _codes(q):
    return ", ".join(str(code) for code in q[0])


def _reals(line, q):
    return ", ".join(f"{x:.4f}" for x in line.dequantize(q[0]))
