"""One output of one operator, worked out as each of two runtimes does it, from inputs that they have in common."""
from dataclasses import dataclass, replace

import numpy as np

from xorlab import conformance
from xorlab.integer import explain, operators, read
from xorlab.integer.graph import Node
from xorlab.integer.rules import RULES
from xorlab.integer.write import lines_of
from xorlab.report.apart import Stage, steps
from xorlab.report.asked import File
from xorlab.report.html import shape_words
from xorlab.tables import Table

FEW = 4                             # numbers of an operand that are all shown


@dataclass(frozen=True, eq=False)
class Side:
    """What one runtime does at the output that is worked out.

    value : what it has there.  way : in words, how the rule it follows rounds; "" where no rule is known.
    working : the lines from what goes in to the rule's value.  table : what goes in, where each is told in
    another way.
    checked : a sentence that says whether the runtime has what its rule gives.
    """
    runtime: str
    value: int | float
    way: str = ""
    working: tuple = ()
    table: Table | None = None
    checked: str = ""


@dataclass(frozen=True, eq=False)
class Worst:
    """The output in which two runtimes are furthest apart behind an operator.

    input : which, from 0.  where : the index into what the operator makes of it, without an axis of one sample.
    table : what goes into it.  scales : lines that say what the codes mean.  sides : a Side for each runtime.
    """
    input: int
    where: tuple
    table: Table | None
    scales: tuple
    sides: tuple


def worked(file: File, stage: Stage, worst: tuple, arrays: tuple, inner: dict, pair: tuple) -> Worst:
    """Return how the worst output of an operator comes about on both runtimes.

    worst : (input, place in a call).  arrays : the inputs, (calls, ...) each.  inner : {runtime: its Inner}.
    Up to this operator the runtimes agree, so what goes into it is the same.
    """
    call, place = worst
    one = [x[call : call + 1] for x in arrays]
    shown = [{i: x[0] for i, x in inner[runtime].run(one).items()} for runtime in pair]
    ours = shown[0][stage.tensor]
    made = [tensors[stage.tensor].reshape(ours.shape) for tensors in shown]
    tensors = {i: x for i, x in shown[0].items() if i in shown[1]} | {
        i: x[0] for i, x in zip(file.graph.inputs, one, strict=True)}
    where = place[1:] if len(place) > 1 and ours.shape[0] == 1 else place
    node = _node(file, stage)
    x = None if node is None else [tensors.get(i, file.graph.tensors[i].data) for i in node.inputs]
    if x is None or any(each is None for each in x):
        sides = tuple(Side(runtime, codes[place].item()) for runtime, codes in zip(pair, made, strict=True))
        return Worst(call, where, _operands(file, stage, tensors, place), (), sides)
    sides = tuple(_side(runtime, node, x, codes, place, where) for runtime, codes in zip(pair, made, strict=True))
    tables = {str(side.table) for side in sides}
    if len(tables) > 1:                                 # e.g. of exponentials, which a runtime computes its own way
        return Worst(call, where, None, _scales(node, place), sides)
    return Worst(call, where, sides[0].table, _scales(node, place), tuple(replace(side, table=None) for side in sides))


def _node(file, stage):
    """Return the Node that makes a tensor, None for an operator that IntegerGraph does not know."""
    op = file.graph.operators[stage.operator]
    if op.name not in read.READERS:
        return None
    try:
        operator = read.read(op, file.graph, stage.operator, file.path)
    except ValueError:
        return None
    return Node(operator, read.fed(operator, op.inputs), stage.tensor, stage.name, stage.shape)


def _side(runtime, node, x, made, place, where):
    """Return a Side of an operator that IntegerGraph knows.  x : what goes into it.  made : what the runtime made."""
    rule, value = conformance.EXPECTED[runtime], made[place].item()
    way = _way(node.operator, rule)
    try:
        told = explain.of_node(node, rule, x, place, where)
        by_rule = RULES[rule].kernel(node.operator)(node.operator, *(each[None] for each in x))[0]
    except (ValueError, RuntimeError) as error:
        return Side(runtime, value, way, checked=f"{runtime} has {value} here; how is not told: {error}.")
    wrong = int((steps(by_rule.reshape(made.shape), made) > 0).sum())
    return Side(runtime, value, way, told.working, told.inputs, _checked(runtime, told.code, value, wrong, made))


def _checked(runtime, told, value, wrong, made):
    what = "codes" if made.dtype.kind in "iu" else "numbers"
    if told != value:
        return (f"But {runtime} has {value} here, and {wrong:,} of {made.size:,} {what} of this input are not the "
                f"rule's: these lines are not what {runtime} does. `xorlab rules` tells what it follows.")
    if wrong:
        return (f"{runtime} has {value} here too, but {wrong:,} of the {made.size:,} {what} of this input are not the "
                "rule's. `xorlab rules` tells what it follows.")
    return f"{runtime} has {value} here too, and all {made.size:,} {what} of this input as the rule gives them."


def _way(op, rule):
    """Return in words how a rule does an operator; see conformance.WORDS."""
    row = op.name if not isinstance(op, operators.Quantize) else f"QUANTIZE {'FLOAT32' if op.input is None else 'INT8'}"
    return conformance.WORDS[row][conformance.way_of(row, rule)]


def _scales(node, place):
    """Return lines that say what the codes mean that an operator takes and makes."""
    op, lines = node.operator, lines_of(node.operator)
    names = ["input"] if len(lines) == 1 else ["first", "second"] if len(lines) == 2 else [
        f"input {i}" for i in range(len(lines))]
    said = [f"{name}: {line or 'real numbers'}" for name, line in zip(names, lines, strict=True)]
    if isinstance(op, operators.Weighted):
        scale = float(np.broadcast_to(op.weight_scales, op.units)[place[-1]])
        said.append(f"weights of unit {place[-1]}: real = {scale:.9g} * weight")
    said.append(f"output: {op.output or 'real numbers'}")
    if isinstance(op, operators.Weighted):
        said.append(f"factor: {op.input.scale:.9g} * {scale:.9g} / {op.output.scale:.9g} = "
                    f"{op.input.scale * scale / op.output.scale:.9g}")
    return tuple(said)


def _operands(file, stage, tensors, place) -> Table:
    """Return the Table of an operator's inputs; of one that has the output's shape, with the number at its place."""
    rows = []
    for i in file.graph.operators[stage.operator].inputs:
        if i >= 0:
            tensor = file.graph.tensors[i]
            held = tensors.get(i, tensor.data)
            rows.append((tensor.name, tensor.dtype + ", constant" * (tensor.data is not None),
                         shape_words(tensor.shape), _line(tensor), _held(held, place, stage.shape)))
    return Table(("input", "type", "shape", "scale, zero point", "at that place, or all"), tuple(rows))


def _held(held, place, shape):
    """Return what an operand holds at a place; all of it, or its range, where it has another shape."""
    if held is None:
        return "not shown"
    if held.shape == shape:
        return str(held[place].item())
    return ", ".join(map(str, held.ravel().tolist())) if held.size <= FEW else f"{held.min()} to {held.max()}"


def _line(tensor):
    if len(tensor.scales) == 1:
        return f"{tensor.scales[0]:.9g}, {tensor.zero_points[0]}"
    return f"{len(tensor.scales)} scales" if len(tensor.scales) else "none"
