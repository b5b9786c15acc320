"""Graphs of one operator, and what a runtime makes of a graph, call by call."""
import importlib.util

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

import xorlab
from xorlab.integer import IntegerGraph
from xorlab.integer.graph import End, Node
from xorlab.integer.operators import Operator
from xorlab.integer.write import content_of, lines_of
from xorlab.runtimes import LITERT_KERNELS

FOLLOWS = {"tflm": "tflm", "reference": "reference", "builtin": "ruy", "xnnpack": "xnnpack"}
if importlib.util.find_spec("tflite_micro") is None:
    del FOLLOWS["tflm"]


def alone(op: Operator, *shapes: tuple, constants: dict | None = None) -> IntegerGraph:
    """Return a graph of one operator.

    shapes : of what goes into it in a call, (batch, ...).  constants : {position: codes} of inputs that are constants.
    """
    constants = {i: np.asarray(codes, np.int8)[None] for i, codes in (constants or {}).items()}
    ends = tuple(End(i, f"x{i}", shape, line) for i, (shape, line) in enumerate(zip(shapes, lines_of(op), strict=True))
                 if i not in constants)
    made = op.shape(*shapes)
    node = Node(op, tuple(range(len(shapes))), len(shapes), "y", made)
    return IntegerGraph((node,), ends, (End(len(shapes), "y", made, op.output),), constants=constants)


def made_by(graph: IntegerGraph, arrays: list, rule: str | None = None) -> list[np.ndarray]:
    """Return what every node of a graph makes, (calls, ...) each.

    arrays : (calls, *shape of a call) for each input.
    """
    fed = {end.tensor: x for end, x in zip(graph.inputs, arrays, strict=True)}
    tensors = (graph if rule is None else graph.under(rule))._run(fed)[0]
    return [tensors[node.output] for node in graph.nodes]


def differing(graph: IntegerGraph, arrays: list, runtime: str, rule: str | None = None, **parts) -> tuple[int, int]:
    """Return (codes that differ, codes) between a runtime and a rule, its own by default, over every node's tensor."""
    theirs = answers(content_of(graph, expose=True, **parts), runtime, arrays)
    ours = made_by(graph, arrays, rule or FOLLOWS[runtime])
    return sum(int((a != b.reshape(a.shape)).sum()) for a, b in zip(ours, theirs, strict=True)), sum(
        a.size for a in ours)


def answers(content: bytes, runtime: str, arrays: list, threads: int = 1) -> list[np.ndarray]:
    """Run a file in this process and return each of its outputs, (calls, ...).

    arrays : (calls, *shape of a call) for each input; LiteRT's are resized if the file has another shape.
    """
    with xorlab.quiet():
        run = (_micro if runtime == "tflm" else _litert)(content, runtime, arrays, threads)
        return [np.stack(out) for out in zip(*(run(call) for call in zip(*arrays, strict=True)), strict=True)]


def _micro(content, _, arrays, __):
    from ai_edge_litert import schema_py_generated as schema
    from tflite_micro.python.tflite_micro import runtime as micro

    model = micro.Interpreter.from_bytes(content, arena_size=max(10 * len(content), 4 << 20))
    outputs = schema.Model.GetRootAs(content, 0).Subgraphs(0).OutputsLength()

    def run(call):
        for i, x in enumerate(call):
            model.set_input(x, i)
        model.invoke()
        return [model.get_output(i) for i in range(outputs)]
    return run


def _litert(content, runtime, arrays, threads):
    model = Interpreter(model_content=content, num_threads=threads,
                        experimental_op_resolver_type=OpResolverType[LITERT_KERNELS[runtime]])
    inputs, outputs = ([end["index"] for end in ends] for ends in (
        model.get_input_details(), model.get_output_details()))
    for detail, x in zip(model.get_input_details(), arrays, strict=True):
        if tuple(detail["shape"]) != x.shape[1:]:
            model.resize_tensor_input(detail["index"], x.shape[1:])
    model.allocate_tensors()

    def run(call):
        for i, x in zip(inputs, call, strict=True):
            model.set_tensor(i, x)
        model.invoke()
        return [model.get_tensor(i) for i in outputs]
    return run
