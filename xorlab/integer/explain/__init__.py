"""One output's arithmetic, told as it is done by hand, and checked against the kernel that does it.

A teller works out one output of an operator in Python's whole numbers and says what it does. That it arrives at the
kernel's own answer is checked each time, so that the two cannot drift apart.
"""
from xorlab import arguments
from xorlab.integer import operators
from xorlab.integer.explain import arithmetic, ends, tables, weighted, windows
from xorlab.integer.explain.parts import Explanation, Output, disagreement, index_text
from xorlab.integer.operators import FullyConnected
from xorlab.integer.rules import RULES

SHOWN = 4                           # products of a layer that a chain's text writes out before it says "and so on"

TELLERS = {
    operators.Weighted: weighted.weighted, operators.AveragePool2D: windows.average_pool,
    operators.MaxPool2D: windows.max_pool, operators.Mean: windows.mean, operators.Pad: windows.pad,
    operators.Reshape: windows.reshape, operators.Concatenation: windows.concatenation,
    operators.Add: arithmetic.pair, operators.Sub: arithmetic.pair, operators.Mul: arithmetic.pair,
    operators.Unary: tables.unary, operators.Quantize: ends.quantize, operators.Dequantize: ends.dequantize,
    operators.Softmax: ends.shares,
}


def of_output(graph, q, node: int | str | None = None, where: int | tuple | None = None) -> Explanation:
    """Return the arithmetic of one output of one operator of an IntegerGraph; see IntegerGraph.explain."""
    node = _node(graph, node)
    tensors, _, samples = graph.one_call(_one_sample(graph, q))
    shape = tensors[node.output].shape[1:]
    lead = (0,) if shape[:1] == (samples,) else ()              # an operator may leave no axis of samples
    where = _where(shape[len(lead) :], where)
    return of_node(node, graph.rule, [tensors[i][0] for i in node.inputs], lead + where, where)


def of_node(node, rule: str, x: list, place: tuple, where: tuple) -> Explanation:
    """Return the arithmetic of one output of a graph's Node.

    x : what goes into it in a call, an array for each input.  place : of the output in what the call makes.
    where : what the title calls that place, an index into one sample.
    """
    op, runs_on, kernel = node.operator, RULES[rule].runs_on, RULES[rule].kernel(node.operator)
    calls = [one[None] for one in x]
    if isinstance(op, operators.Weighted):
        sums = kernel.accumulate(op, *calls)
        made, acc = kernel.requantize(op, sums)[0], sums[0][place].item()
    else:
        made, acc = kernel(op, *calls)[0], None
    teller = next(teller for kind, teller in TELLERS.items() if isinstance(op, kind))
    told = teller(Output(op, kernel, x, place, made.shape))
    if (told.value, told.accumulator) != (made[place].item(), acc):
        raise disagreement(op, (told.value, told.accumulator), (made[place].item(), acc))
    meaning = [] if op.output is None else [
        f"{op.output}: code {told.value} stands for {float(op.output.dequantize(told.value)):.6g}"]
    return Explanation(f"{op.name} into tensor {node.name}, output {index_text(where)}, rule {rule} ({runs_on})",
                       told.inputs, (*told.lines, *meaning), told.value, acc)


def _node(graph, node):
    """Return a node by its place or its tensor's name; the last by default."""
    names = [each.name for each in graph.nodes]
    if node is None:
        return graph.nodes[-1]
    if isinstance(node, str) and node in names:
        return graph.nodes[names.index(node)]
    if arguments.is_whole(node, -len(names), len(names) - 1):
        return graph.nodes[node]
    raise ValueError(f"node must be a place from 0 to {len(names) - 1} or the name of a tensor that an operator makes "
                     f"({', '.join(names[:8])}{', ...' if len(names) > 8 else ''}), got {arguments.shown(node)}")


def _one_sample(graph, q):
    """Return input codes as `IntegerGraph.checked` does, of one sample with or without its axis."""
    if len(graph.inputs) == 1 and not isinstance(q, list | tuple | dict) and (
            q := arguments.numbers_in("codes", q, finite=False)).shape == graph.inputs[0].shape[1:]:
        q = q[None]
    arrays = graph.checked(q)
    if len(arrays[0]) > 1 and len({end.shape[0] for end in graph.inputs}) == 1:
        raise ValueError(f"one sample is explained at a time, got {len(arrays[0])}; take q[:1]")
    return arrays


def _where(shape, where):
    """Return an index into a sample's tensor, its first output by default."""
    if where is None:
        return (0,) * len(shape)
    index = tuple(where) if isinstance(where, tuple | list) else (where,)
    if not all(map(arguments.is_whole, index)):
        raise ValueError(f"where must be a whole number or a tuple of them, got {arguments.shown(where)}")
    index = tuple(map(int, index))
    if len(index) != len(shape) or not all(0 <= i < length for i, length in zip(index, shape, strict=True)):
        raise ValueError(f"where must be an index into the output of one sample, of shape {shape}, got "
                         f"{arguments.shown(where)}")
    return index


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
            if (looked_up != result.codes).any():
                raise disagreement(step, _codes(looked_up), _codes(result.codes))
            lines.append(f"  codes {_codes(q)} look up {_codes(looked_up)} in the table of 256")
        q = result.codes
    lines.append(f"output: codes {_codes(q)} stand for {_reals(net.output, q)}")
    codes = tuple(q[0].tolist())
    return Explanation(f"rule {net.rule} ({rule.runs_on})", None, tuple(lines), codes if len(codes) > 1 else codes[0])


def _of_unit(layer, unit, codes, made, rule):
    """Return the lines of a dense layer's unit."""
    zero_point, bias = layer.input.zero_point, int(layer.biases[unit])
    terms = list(zip(layer.weights[unit].tolist(), codes.tolist(), strict=True))
    products = [f"{w}*({q}{-zero_point:+d})" for w, q in terms[:SHOWN]] + ["..."] * (len(terms) > SHOWN)
    acc = sum(w * (q - zero_point) for w, q in terms) + bias
    lines, code = weighted.requantized(layer, rule.kernel(layer), acc, unit, (1, layer.units))
    computed = int(made.accumulators[0, unit]), int(made.codes[0, unit])
    if (acc, code) != computed:
        raise disagreement(layer, (acc, code), computed)
    summed = f"unit {unit}: {' + '.join(products)} + {bias} = {acc}".replace("+ -", "- ")
    return [f"  {summed}", *(f"    {line}" for line in lines)]


def _codes(q):
    return ", ".join(str(code) for code in q[0])


def _reals(line, q):
    return ", ".join(f"{x:.4f}" for x in line.dequantize(q[0]))
