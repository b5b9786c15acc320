"""A graph as a TFLite file: for runtimes to be asked what they make of it."""
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from xorlab import arguments, tflite_file
from xorlab.integer.affine import Affine
from xorlab.integer.graph import IntegerGraph
from xorlab.integer.operators import Concatenation, DepthwiseConv2D, Operator, Weighted

# what the format calls the kinds of options; an operator without them is not here
KINDS = {"FULLY_CONNECTED": "FullyConnectedOptions", "CONV_2D": "Conv2DOptions",
         "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions", "AVERAGE_POOL_2D": "Pool2DOptions",
         "MAX_POOL_2D": "Pool2DOptions", "MEAN": "ReducerOptions", "ADD": "AddOptions", "SUB": "SubOptions",
         "MUL": "MulOptions", "PAD": "PadOptions", "RESHAPE": "ReshapeOptions", "CONCATENATION": "ConcatenationOptions",
         "QUANTIZE": "QuantizeOptions", "DEQUANTIZE": "DequantizeOptions", "LEAKY_RELU": "LeakyReluOptions",
         "HARD_SWISH": "HardSwishOptions", "SOFTMAX": "SoftmaxOptions"}
VERSIONS = {"FULLY_CONNECTED": 4, "CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "RESHAPE": 1, "HARD_SWISH": 1}   # 2 elsewhere
CONSTANTS = {"MEAN": "axes", "PAD": "margins", "RESHAPE": "target"}     # inputs that say how an operator works


def content_of(graph, *, bias: str = "tensor", free: bool = False, expose: bool = False) -> bytes:
    """Return the content of a TFLite file of an IntegerGraph; its rule is no part of it.

    bias : what an operator has whose biases are all zero: a "tensor", a third input of "-1", or "none".
    free : whether any number of samples goes.  expose : whether every node's tensor is an output, in order.
    """
    arguments.instance("graph", graph, IntegerGraph, "an IntegerGraph")
    arguments.one_of("bias", bias, ("tensor", "-1", "none"))
    free, expose = arguments.switch("free", free), arguments.switch("expose", expose)
    file, where = _File(), {}
    for end in graph.inputs:
        where[end.tensor] = file.computed(end.shape, end.affine, end.name, free)
    for node in graph.nodes:
        op = node.operator
        for i, line in zip(node.inputs, lines_of(op), strict=True):
            if i not in where:
                where[i] = file.constant(graph.constants[i][0], line.scale, line.zero_point)
        operands = [where[i] for i in node.inputs] + _more_operands(file, op, bias)
        where[node.output] = file.computed(node.shape, op.output, node.name, free)
        file.operator(op.name, operands, where[node.output], _options(op))
    outputs = [node.output for node in graph.nodes] if expose else [end.tensor for end in graph.outputs]
    return file.content([where[end.tensor] for end in graph.inputs], [where[i] for i in outputs])


def lines_of(op: Operator) -> tuple:
    """Return the Affine of each tensor that an operator takes."""
    if isinstance(op, Concatenation):
        return op.inputs
    return (op.input, op.other) if hasattr(op, "other") else (op.input,)


def _more_operands(file, op, bias):
    """Return the tensors of weights and biases, or of the constant that says how an operator works."""
    if isinstance(op, Weighted):
        depthwise = isinstance(op, DepthwiseConv2D)
        weights = op.weights.astype(np.int8)
        made = [file.constant(weights[None] if depthwise else weights, op.weight_scales, axis=3 if depthwise else 0)]
        if bias == "tensor" or op.biases.any():
            scales = np.float32(op.input.scale) * op.weight_scales if op.described else None
            return [*made, file.constant(op.biases.astype(np.int32), scales)]
        return [*made, -1] if bias == "-1" else made
    return [file.constant(np.int32(getattr(op, CONSTANTS[op.name])))] if op.name in CONSTANTS else []


def _options(op):
    """Return an operator's options under the format's names."""
    options = {}
    if hasattr(op, "activation"):
        options["fusedActivationFunction"] = getattr(schema.ActivationFunctionType, op.activation)
    if hasattr(op, "padding"):
        options |= {"padding": getattr(schema.Padding, op.padding), "strideH": op.stride[0], "strideW": op.stride[1]}
    if hasattr(op, "window"):
        options |= {"filterHeight": op.window[0], "filterWidth": op.window[1]}
    elif hasattr(op, "padding"):
        options |= {"dilationHFactor": op.dilation[0], "dilationWFactor": op.dilation[1]}
    names = {"multiplier": "depthMultiplier", "keep_dims": "keepNumDims" if isinstance(op, Weighted) else "keepDims",
             "axis": "axis", "alpha": "alpha", "beta": "beta"}
    return options | {theirs: getattr(op, ours) for ours, theirs in names.items() if hasattr(op, ours)}


class _File:
    """Collects tensors and operators."""

    def __init__(self):
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.operatorCodes, self.model.buffers = 3, [], [schema.BufferT()]
        self.model.subgraphs, self.graph.tensors, self.graph.operators = [self.graph], [], []

    def computed(self, shape: tuple, line: Affine | None, name: str, free: bool) -> int:
        """Add a tensor that is computed, int8 or, without a line, float32; return its index."""
        kind = "FLOAT32" if line is None else "INT8"
        tensor = self._tensor(kind, shape, name, *(() if line is None else (line.scale, line.zero_point)))
        if free:
            tensor.shapeSignature = np.int32([-1, *shape[1:]])
        return len(self.graph.tensors) - 1

    def constant(self, values: np.ndarray, scale=None, zero_point: int = 0, axis: int = 0) -> int:
        """Add a constant tensor and return its index."""
        tensor = self._tensor(values.dtype.name.upper(), values.shape, "constant", scale, zero_point)
        self.model.buffers.append(schema.BufferT())
        self.model.buffers[-1].data = np.frombuffer(values.tobytes(), np.uint8)
        tensor.buffer = len(self.model.buffers) - 1
        if scale is not None and np.size(scale) > 1:
            tensor.quantization.quantizedDimension = axis
        return len(self.graph.tensors) - 1

    def _tensor(self, kind, shape, name, scale=None, zero_point=0):
        tensor = schema.TensorT()
        tensor.type, tensor.shape, tensor.name = getattr(schema.TensorType, kind), np.int32(shape), name
        if scale is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.atleast_1d(np.float32(scale))
            tensor.quantization.zeroPoint = np.full(np.size(scale), zero_point, np.int64)
        self.graph.tensors.append(tensor)
        return tensor

    def operator(self, name: str, inputs: list, output: int, options: dict):
        code, op = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), VERSIONS.get(name, 2)
        op.opcodeIndex, op.inputs, op.outputs = len(self.model.operatorCodes), np.int32(inputs), np.int32([output])
        self.model.operatorCodes.append(code)
        if name in KINDS:
            op.builtinOptionsType = getattr(schema.BuiltinOptions, KINDS[name])
            op.builtinOptions = getattr(schema, f"{KINDS[name]}T")()
            vars(op.builtinOptions).update(options)
        self.graph.operators.append(op)

    def content(self, inputs: list, outputs: list) -> bytes:
        self.graph.inputs, self.graph.outputs = np.int32(inputs), np.int32(outputs)
        return tflite_file.packed(self.model)
