"""The ends of a model: what goes in, what comes out, and how real numbers become what the runtime takes.

One check for every runtime: several inputs or outputs, an integer end with a scale or without, a float end, a fixed
batch, and state are each handled rightly or refused in a sentence that names them.
"""
import math
from dataclasses import dataclass

import numpy as np

from xorlab import arguments, runtimes, sandbox, tflite_file
from xorlab.integer.affine import Affine
from xorlab.runtimes import Plan
from xorlab.streams import printable

# operators that give as many numbers as they take
AS_MANY = {"ABS", "CAST", "DEQUANTIZE", "ELU", "EXP", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "LOG_SOFTMAX", "NEG",
           "QUANTIZE", "RELU", "RELU6", "RELU_N1_TO_1", "RESHAPE", "SOFTMAX", "SQRT", "SQUARE", "TANH"}
LARGEST = 2**27                 # bytes of a tensor of one call
QUANTIZED = ("int8", "uint8", "int16", "uint16", "int32")       # types whose codes may stand for real numbers


@dataclass(frozen=True)
class Port:
    """One end of a model.

    name : what its file or model calls it.  tensor : the tensor's own name, where a signature gave the first.
    dtype : of the runtime's arrays, None if NumPy has no such type.
    shape : with the axis of samples first, None where any length goes; () if the model does not say.
    affine : the line between real numbers and codes; None where a number is itself, float or integer.
    problem : why a predictor cannot have such an end; "" if it can.
    made : the shape that the file was made for, without None.
    """
    name: str
    tensor: str
    dtype: np.dtype | None
    shape: tuple
    affine: Affine | None = None
    problem: str = ""
    made: tuple = ()

    def __str__(self):
        tensor = f" (tensor {self.tensor})" if self.tensor != self.name else ""
        return printable(f"{self.name}{tensor}")

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Turn real numbers, float32 (n, ...), into what the runtime takes.

        Raises ValueError where it takes whole numbers, such as the ids of words, and x holds others.
        """
        if self.affine:
            return self.affine.quantize(x)
        if self.dtype.kind == "f":
            return x.astype(self.dtype, copy=False)
        low, high = (0, 1) if self.dtype.kind == "b" else (np.iinfo(self.dtype).min, np.iinfo(self.dtype).max)
        wrong = (x != np.rint(x)) | (x < low) | (x > high)
        if wrong.any():
            raise ValueError(f"input {self} has no scale and takes whole numbers from {low} to {high} ({self.dtype}), "
                             f"got {x[wrong][0]:g}")
        return x.astype(self.dtype)

    def decode(self, values: np.ndarray) -> np.ndarray:
        """Turn what the runtime gave into real numbers, float32 of the same shape."""
        return self.affine.dequantize(values) if self.affine else values.astype(np.float32, copy=False)


def of_graph(graph: tflite_file.Graph) -> tuple[list[Port], list[Port]]:
    """Return (the inputs, the outputs) of a TFLite file, whether a predictor can have them or not."""
    return tuple([of_tensor(graph.tensors[i], graph.ends.get(i), least) for i in ends]
                 for ends, least in ((graph.inputs, 2), (graph.outputs, 0)))


def of_tensor(tensor: tflite_file.Tensor, name: str | None = None, least_axes: int = 0) -> Port:
    """Return the Port of a tensor.  name : what a signature calls it.  least_axes : that a predictor needs."""
    kind = tflite_file.NUMPY_TYPES.get(tensor.dtype)
    dtype = None if kind is None else np.dtype(kind)
    declared = tensor.signature if len(tensor.signature) == len(tensor.shape) else tensor.shape
    affine, problem = None, ""
    if dtype is None or dtype.kind not in "fiub":
        problem = f"holds {tensor.dtype}, and a predictor takes and gives numbers"
    elif len(tensor.shape) < least_axes:
        problem = f"has shape {tensor.shape}, without an axis for samples"
    elif dtype.kind in "iu" and len(tensor.scales) > 1:
        problem = f"has {len(tensor.scales)} scales, and an end has one"
    elif dtype.kind in "iu" and len(tensor.scales):
        try:
            affine = Affine(float(tensor.scales[0]), int(tensor.zero_points[0]), dtype)
        except ValueError as error:
            problem = f"stands for no real numbers: {error}"
        if dtype.name not in QUANTIZED:
            affine, problem = None, f"has a scale and holds {dtype}; codes are {', '.join(QUANTIZED)}"
    shape = tuple(None if length == -1 else length for length in declared)
    return Port(name or tensor.name, tensor.name, dtype, shape, affine, problem, tensor.shape)


def plan_of(graph: tflite_file.Graph, runtime: str, path, output: str | None = None) -> tuple[Port, Port, Plan]:
    """Return (input, output, Plan) of a TFLite file for a predictor on a runtime.

    output : the name of the one that it answers with, where the file has several.
    Raises ValueError, in one sentence that names the tensor, for what a predictor cannot have.
    """
    _check_alone(graph, path)
    check_room(graph, path)
    inputs, outputs = of_graph(graph)
    taken = chosen(outputs, "output", path, output)
    entry, exit_ = inputs[chosen(inputs, "input", path)], outputs[taken]
    fixed = runtime == "tflm" or entry.shape[0] is not None or graph.state
    batch = entry.made[0] if fixed else None
    if batch == 0:
        raise ValueError(f"{path}: input {entry} was made for a batch of 0 samples")
    if runtime == "tflm":
        _check_sizes(graph, path)
    if batch and batch > 1 and exit_.made[:1] != (batch,):
        raise ValueError(f"{path}: input {entry} takes {batch} samples and output {exit_} has shape {exit_.made}; "
                         f"a predictor needs a row for each; convert the model for batches of any size")
    if len([length for length in exit_.made[1:] if length != 1]) > 1:
        raise ValueError(f"{path}: output {exit_} has shape {exit_.made}; a predictor answers with a number, or a row "
                         "of numbers, for each sample")
    plan = Plan(runtime, graph.inputs, graph.outputs, _kinds(inputs, path), (taken,), (str(exit_),), batch,
                _keeps_state(graph))
    return entry, exit_, plan


def plan_of_calls(graph: tflite_file.Graph, runtime: str, path) -> Plan:
    """Return the Plan that gives a file's inputs to a runtime as they are, a call at a time, and takes all outputs.

    Raises ValueError, in one sentence, for a file that holds several programs, keeps state where nobody clears it, has
    no input or output, or one that NumPy has no type for.
    """
    _check_alone(graph, path)
    check_room(graph, path)
    inputs, outputs = of_graph(graph)
    for ends, what in ((inputs, "input"), (outputs, "output")):
        if not ends:
            raise ValueError(f"{path} has no {what}")
        wrong = [port for port in ends if port.dtype is None or 0 in port.made]
        if wrong:
            raise ValueError(f"{path}: {what} {wrong[0]} "
                             f"{wrong[0].problem if wrong[0].dtype is None else f'has shape {wrong[0].made}'}")
    if runtime == "tflm":
        _check_sizes(graph, path)
    return Plan(runtime, graph.inputs, graph.outputs, _kinds(inputs, path), tuple(range(len(outputs))),
                tuple(map(str, outputs)), 1, _keeps_state(graph), whole=True)


def _check_alone(graph, path):
    """Refuse a file that is not one program, or whose state no runtime clears."""
    programs = {name: at for name, at in graph.signatures}
    if len(set(programs.values())) > 1:
        raise ValueError(f"{path} holds {len(programs)} programs ({', '.join(programs)}), and a predictor runs one; "
                         "convert the one you mean into a file of its own")
    if graph.resources:
        raise ValueError(f"{path} keeps state outside its tensors (operator {graph.resources[0]}), which no runtime "
                         "clears between samples; convert it with its state as an input and an output")


def check_room(graph: tflite_file.Graph, path):
    """Raise ValueError, in one sentence, where a file speaks of a computed tensor that has more than LARGEST bytes.

    A file of a few bytes can say so, and whoever believes it asks for the memory.
    """
    for tensor in graph.tensors:
        size = np.dtype(tflite_file.NUMPY_TYPES.get(tensor.dtype, np.uint8)).itemsize
        if tensor.data is None and math.prod(tensor.shape) * size > LARGEST:
            raise ValueError(f"{path}: tensor {tensor.name} of {tensor.dtype} and shape {tensor.shape} needs "
                             f"{math.prod(tensor.shape) * size:,} bytes; up to {LARGEST:,} are allowed")


def _keeps_state(graph):
    custom = any(op.name.startswith("CUSTOM") for one in (graph, *graph.others) for op in one.operators)
    return bool(graph.state) or custom


def _check_sizes(graph, path):
    """Refuse shapes that contradict an operator: TFLite Micro believes them and reads beyond its tensors.

    LiteRT works its shapes out itself.
    """
    for op in graph.operators:
        if op.name in AS_MANY and op.inputs and op.outputs:
            before, after = (graph.tensors[ends[0]] for ends in (op.inputs, op.outputs))
            if math.prod(before.shape) != math.prod(after.shape):
                raise ValueError(f"{path}: operator {op.name} makes tensor {after.name} of shape {after.shape} from "
                                 f"{before.name} of shape {before.shape}; it gives as many numbers as it takes")


def chosen(ports: list[Port], what: str, path, name: str | None = None) -> int:
    """Return the position of the one end that a predictor has: the one called `name`, or the only one there is.

    what : "input" or "output".  Raises ValueError that names all there are.
    """
    if name is not None:
        arguments.text(what, name)
    named = [i for i, port in enumerate(ports) if name is None or name in (port.name, port.tensor)]
    if len(named) != 1:
        there = f"{path} has {len(ports) or 'no'} {what}{'' if len(ports) == 1 else 's'}"
        names = ": " + ", ".join(map(str, ports)) if ports else ""
        if not ports:
            advice = "a predictor has one"
        elif what == "input":
            advice = "a predictor has one; join them into one before you convert the model"
        elif name is None:
            advice = f"choose one, e.g. output={ports[0].name!r}"
        else:
            advice = f"{'none' if not named else 'more than one'} is called {arguments.shown(name)}"
        raise ValueError(f"{there}{names}; {advice}")
    port = ports[named[0]]
    if port.problem:
        raise ValueError(f"{path}: {what} {port} {port.problem}")
    return named[0]


def arena_of(path) -> int:
    """Return the least arena in bytes with which TFLite Micro opens a file here; see firmware.tflite_micro_arena."""
    runtimes.require("tflm")
    content, graph = tflite_file.content_and_graph(path)
    check_room(graph, path)
    kinds = _kinds(of_graph(graph)[0], path)
    return sandbox.micro_arena(content, Plan("tflm", graph.inputs, graph.outputs, kinds, (), (), None), path)


def _kinds(inputs, path):
    for port in inputs:
        if port.dtype is None:
            raise ValueError(f"{path}: input {port} {port.problem}")
    return tuple((port.dtype.str, port.made) for port in inputs)
