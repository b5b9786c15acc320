"""From a TFLite file's operators to ours: every option looked at, every tensor checked, whatever is left refused."""
import math

import numpy as np

from xorlab import tflite_file
from xorlab.integer import operators
from xorlab.integer.affine import Affine, few
from xorlab.integer.operators import Operator

ELSEWHERE = "predictors.from_tflite runs such a file on a runtime"
SHAPE_MAKERS = {"SHAPE", "STRIDED_SLICE", "PACK"}       # of integers that only say how long axes are
MOST_NUMBERS = 2**26                                    # of a tensor of one call
SMALLEST_SCALE, LARGEST_SCALE = 2.0**-40, 2.0**40       # quotients of theirs stay far from where float32 ends


class Reader:
    """One operator of a file as it is read: its tensors and options, and sentences about them.

    op : the file's.  graph : its Graph.  path : what errors call the file.
    """

    def __init__(self, op: tflite_file.Operator, graph: tflite_file.Graph, path):
        self.op, self.graph, self.path = op, graph, path
        self.indices = tuple(i for i in op.inputs if i >= 0)        # what is left out has the index -1

    def tensor(self, position: int) -> tflite_file.Tensor:
        """Return the operator's input at a position."""
        if position >= len(self.indices):
            raise ValueError(f"it has {len(self.indices)} inputs, and needs {position + 1}")
        return self.graph.tensors[self.indices[position]]

    @property
    def target(self) -> tflite_file.Tensor:
        """The tensor that it makes."""
        return self.graph.tensors[self.op.outputs[0]]

    def line(self, position: int = 0) -> Affine:
        """Return the Affine of an int8 input."""
        return line_of(self.tensor(position))

    @property
    def output(self) -> Affine:
        """The Affine of the int8 output."""
        return line_of(self.target)

    def constant(self, position: int, dtype: str = "INT32") -> np.ndarray:
        """Return the constant content of an input."""
        tensor = self.tensor(position)
        if tensor.data is None or tensor.dtype != dtype:
            raise ValueError(f"{called(tensor)} is {tensor.dtype}{'' if tensor.data is not None else ', computed'}; "
                             f"a constant of {dtype} is needed there")
        return tensor.data

    def option(self, name: str):
        """Return an option, by its name in the format's schema."""
        if name not in self.op.options:
            raise ValueError(f"its option {name} is missing")
        return self.op.options[name]

    def real(self, name: str) -> float:
        """Return an option that is a finite float32."""
        number = float(np.float32(self.option(name)))
        if not math.isfinite(number):
            raise ValueError(f"its option {name} is {number}")
        return number

    def pair(self, down: str, across: str) -> tuple:
        """Return two options as (down, across)."""
        return int(self.option(down)), int(self.option(across))

    def steps(self) -> dict:
        """Return the options of every operator that looks through a window."""
        return {"stride": self.pair("strideH", "strideW"), "padding": self.option("padding")}

    def weighted(self, weights: np.ndarray, axis: int) -> dict:
        """Return what a Weighted has of its own, weights apart.  axis : of the units in the file's weights."""
        tensor, units = self.tensor(1), self.tensor(1).shape[axis]
        if tensor.zero_points.any() or not len(tensor.scales):
            raise ValueError(f"weights {called(tensor)} have zero points {few(tensor.zero_points)}; symmetric int8 "
                             "weights are needed")
        biases, described = np.zeros(units, np.int64), len(tensor.scales) == 1 or tensor.axis == axis
        if len(self.indices) > 2:
            biases, scales = self.constant(2).astype(np.int64), self.tensor(2).scales
            described &= len(scales) > 0 and bool((scales > 0).all())
            if biases.shape != (units,):
                raise ValueError(f"biases {called(self.tensor(2))} have shape {biases.shape} for {units} units")
        return {"weights": weights.astype(np.int64), "biases": biases, "weight_scales": tensor.scales,
                "input": self.line(), "output": self.output, "activation": self.op.activation,
                "described": described}


def called(tensor: tflite_file.Tensor) -> str:
    """Return what a message calls a tensor."""
    return f"tensor {tensor.name}"


def line_of(tensor: tflite_file.Tensor) -> Affine:
    """Return the Affine of an int8 tensor.  Raises ValueError for another."""
    if tensor.dtype != "INT8" or len(tensor.scales) != 1:
        raise ValueError(f"{called(tensor)} is {tensor.dtype} with {len(tensor.scales)} scales; int8 with one scale is "
                         "needed (export variant int8)")
    try:
        line = Affine(float(tensor.scales[0]), int(tensor.zero_points[0]))
    except ValueError as error:
        raise ValueError(f"{called(tensor)}: {error}") from None
    if not SMALLEST_SCALE <= line.scale <= LARGEST_SCALE:
        raise ValueError(f"{called(tensor)} has scale {line.scale:g}; one from {SMALLEST_SCALE:g} to "
                         f"{LARGEST_SCALE:g} is needed")
    return line


def axis_of(number: int, rank: int) -> int:
    """Return an axis, which a file may count from the last one back, as counted from 0."""
    if not -rank <= number < rank:
        raise ValueError(f"it names axis {number} of a tensor with {rank} axes")
    return int(number) % rank


def _fully_connected(r):
    weights = r.constant(1, "INT8")
    if weights.ndim != 2:
        raise ValueError(f"weights {called(r.tensor(1))} have shape {weights.shape}; (units, inputs) is needed")
    if r.op.options.get("weightsFormat"):
        raise ValueError("its weights are shuffled; weights in their plain order are needed")
    return operators.FullyConnected(**r.weighted(weights, 0), keep_dims=bool(r.op.options.get("keepNumDims")))


def _conv_2d(r):
    weights = r.constant(1, "INT8")
    if weights.ndim != 4:
        raise ValueError(f"weights {called(r.tensor(1))} have shape {weights.shape}; four axes are needed")
    channels = max(r.tensor(0).shape[-1:] or (1,))
    return operators.Conv2D(**r.weighted(weights, 0), **r.steps(),
                            dilation=r.pair("dilationHFactor", "dilationWFactor"),
                            groups=max(1, channels // max(1, weights.shape[3])))       # a file does not say it


def _depthwise(r):
    weights = r.constant(1, "INT8")
    if weights.ndim != 4 or weights.shape[0] != 1:
        raise ValueError(f"weights {called(r.tensor(1))} have shape {weights.shape}; (1, height, width, units) is "
                         "needed")
    # the option depthMultiplier may be missing or wrong in a file; every runtime divides the channels instead
    return operators.DepthwiseConv2D(**r.weighted(weights[0], 3), **r.steps(),
                                     dilation=r.pair("dilationHFactor", "dilationWFactor"),
                                     multiplier=weights.shape[3] // max(r.tensor(0).shape[-1:] or (1,)))


def _pool(kind):
    def read(r):
        return kind(window=r.pair("filterHeight", "filterWidth"), **r.steps(), input=r.line(), output=r.output,
                    activation=r.op.activation)
    return read


def _mean(r):
    rank = len(r.tensor(0).shape)
    axes = sorted({axis_of(axis, rank) for axis in r.constant(1).ravel()})
    return operators.Mean(axes=tuple(axes), keep_dims=bool(r.option("keepDims")), input=r.line(), output=r.output)


def _binary(kind):
    def read(r):
        return kind(input=r.line(0), other=r.line(1), output=r.output, activation=r.op.activation)
    return read


def _pad(r):
    margins = r.constant(1)
    if margins.shape != (len(r.tensor(0).shape), 2) or margins.min(initial=0) < 0:
        raise ValueError(f"its margins are {few(margins)}; a pair from 0 for each of the "
                         f"{len(r.tensor(0).shape)} axes is needed")
    return operators.Pad(margins=tuple(map(tuple, margins.tolist())), input=r.line(), output=r.output)


def _reshape(r):
    floats = r.tensor(0).dtype == r.target.dtype == "FLOAT32"
    before, after = (None, None) if floats else (r.line(), r.output)
    if len(r.indices) > 1 and r.tensor(1).data is not None:
        target = r.constant(1)
    elif len(r.indices) > 1:            # computed from the batch: the file says -1 for it
        target = r.target.signature
    else:
        target = r.op.options.get("newShape")
        target = r.target.shape if target is None else target
    return operators.Reshape(target=tuple(map(int, np.ravel(target))), input=before, output=after)


def _concatenation(r):
    axis = axis_of(r.option("axis"), len(r.target.shape))
    return operators.Concatenation(axis=axis, output=r.output, activation=r.op.activation,
                                   inputs=tuple(r.line(i) for i in range(len(r.indices))))


def _quantize(r):
    return operators.Quantize(input=None if r.tensor(0).dtype == "FLOAT32" else r.line(), output=r.output)


def _dequantize(r):
    if r.target.dtype != "FLOAT32":
        raise ValueError(f"{called(r.target)} is {r.target.dtype}; FLOAT32 is needed")
    return operators.Dequantize(input=r.line())


def _unary(kind, **more):
    def read(r):
        return kind(input=r.line(), output=r.output, **more)
    return read


def _leaky_relu(r):
    return operators.LeakyRelu(input=r.line(), output=r.output, alpha=r.real("alpha"))


def _softmax(r):
    return operators.Softmax(input=r.line(), output=r.output, beta=r.real("beta"))


READERS = {
    "FULLY_CONNECTED": _fully_connected, "CONV_2D": _conv_2d, "DEPTHWISE_CONV_2D": _depthwise,
    "AVERAGE_POOL_2D": _pool(operators.AveragePool2D), "MAX_POOL_2D": _pool(operators.MaxPool2D), "MEAN": _mean,
    "ADD": _binary(operators.Add), "SUB": _binary(operators.Sub), "MUL": _binary(operators.Mul),
    "PAD": _pad, "RESHAPE": _reshape, "CONCATENATION": _concatenation,
    "QUANTIZE": _quantize, "DEQUANTIZE": _dequantize,
    "RELU": _unary(operators.Relu), "RELU6": _unary(operators.Relu, ceiling=6.0), "LEAKY_RELU": _leaky_relu,
    "LOGISTIC": _unary(operators.Logistic), "TANH": _unary(operators.Tanh), "HARD_SWISH": _unary(operators.HardSwish),
    "SOFTMAX": _softmax,
}
KNOWN = ", ".join(READERS)


def read(op: tflite_file.Operator, graph: tflite_file.Graph, number: int, path) -> Operator:
    """Return an operator of a file as an Operator.  number : its place in the file.

    Raises ValueError, in one sentence with the operator's name and place, for what is not supported.
    """
    where = _place(op, graph, number, path)
    try:
        if len(op.outputs) != 1:
            raise ValueError(f"it has {len(op.outputs)} outputs, and needs 1")
        reader = Reader(op, graph, path)
        reader.tensor(0)
        for tensor in (graph.tensors[i] for i in (*reader.indices, *op.outputs)):
            if min(tensor.shape, default=1) < 1:
                raise ValueError(f"{called(tensor)} has shape {tensor.shape}, which holds no number")
            if math.prod(tensor.shape) > MOST_NUMBERS:
                raise ValueError(f"{called(tensor)} has shape {tensor.shape}; up to {MOST_NUMBERS:,} numbers are "
                                 "allowed")
        made = READERS[op.name](reader)
        _check_shape(made, reader)
        return made
    except ValueError as error:
        raise ValueError(f"{where}: {error}; {ELSEWHERE}") from None


def check_known(graph: tflite_file.Graph, path):
    """Raise ValueError that names the first operator of a graph which is not supported, and its place."""
    for number, op in enumerate(graph.operators):
        if op.name not in READERS and not makes_shape(op, graph):
            raise ValueError(f"{_place(op, graph, number, path)} is not supported; IntegerGraph knows {KNOWN}; "
                             f"{ELSEWHERE}")


def makes_shape(op: tflite_file.Operator, graph: tflite_file.Graph) -> bool:
    """Tell whether an operator only says how long an axis is; the file says it too, where RESHAPE looks it up."""
    return op.name in SHAPE_MAKERS and all(graph.tensors[i].dtype == "INT32" for i in op.outputs)


def _place(op, graph, number, path):
    into = f" into {called(graph.tensors[op.outputs[0]])}" if op.outputs and op.outputs[0] >= 0 else ""
    return f"{path}: operator {number}, {op.name}{into}"


def _check_shape(made, reader):
    """Raise ValueError unless the shapes that the file names are those that the operator makes."""
    shapes = [tensor.shape for tensor in (reader.graph.tensors[i] for i in fed(made, reader.indices))]
    shape = made.shape(*shapes)
    if shape != reader.target.shape:
        raise ValueError(f"{called(reader.target)} has shape {reader.target.shape} in the file, and the operator makes "
                         f"{shape} of {' and '.join(map(str, shapes))}")


def fed(made: Operator, indices: tuple) -> tuple:
    """Return those of a file operator's inputs that are codes or numbers to compute with, not weights or options."""
    if isinstance(made, operators.Concatenation):
        return indices
    return indices[: 2 if isinstance(made, operators.Add | operators.Sub | operators.Mul) else 1]
