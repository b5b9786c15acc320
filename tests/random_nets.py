"""int8 TFLite files made from nothing: of given operators, or of random ones with parts left out and shared."""
import math

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from xorlab.integer.affine import SIGMOID_CODES, Affine
from xorlab.integer.operators import FullyConnected, Logistic, Relu
from xorlab.tflite_file import packed

VERSIONS = {"FULLY_CONNECTED": 4, "LOGISTIC": 2, "RELU": 2, "RELU6": 2, "RESHAPE": 1, "QUANTIZE": 1, "DEQUANTIZE": 2}
PLAIN = {"reshapes": "input", "bias": "tensor", "names": True, "share": False, "float_ends": (False, False),
         "signature": True}


def tflite_of(steps, **parts):
    """Return the content of a TFLite file that runs FullyConnected, Logistic and Relu operators in order.

    parts : what differs from PLAIN. reshapes : None, or a RESHAPE before each layer with its shape as an "input" or as
        an "option".  bias : what a layer has whose biases are all zero: a "tensor", a third input of "-1", or "none".
        names : of tensors.  share : one buffer for equal contents.  float_ends : QUANTIZE first, DEQUANTIZE last.
    """
    file = _File(**PLAIN | parts)
    width = steps[0].weights.shape[1] if isinstance(steps[0], FullyConnected) else 1
    file.begin(steps[0].input, width)
    for step in steps:
        if isinstance(step, FullyConnected):
            width = len(step.weights)
            file.layer(step)
        else:
            name = "LOGISTIC" if isinstance(step, Logistic) else "RELU" if step.ceiling == math.inf else "RELU6"
            file.append(name, step.output, width)
    return file.end(steps[-1].output, width)


class _File:
    """A chain of operators that grows: `at` is the tensor at its end."""

    def __init__(self, reshapes, bias, names, share, float_ends, signature):
        self.reshapes, self.bias, self.names, self.share = reshapes, bias, names, share
        self.float_ends, self.signature = float_ends, signature
        self.graph, self.model = schema.SubGraphT(), schema.ModelT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.version, self.model.operatorCodes, self.model.buffers = 3, [], [schema.BufferT()]

    def begin(self, line, width):
        self.at = self.tensor((1, width), None if self.float_ends[0] else line)
        self.graph.inputs = [self.at]
        if self.float_ends[0]:
            self.append("QUANTIZE", line, width)
        self.line, self.width = line, width

    def end(self, line, width):
        if self.float_ends[1]:
            self.append("DEQUANTIZE", None, width)
        self.graph.outputs = [self.at]
        if self.signature:
            self.model.description = b"random net"
            self.model.signatureDefs = [_signature(self.graph)]
        self.model.subgraphs = [self.graph]
        return packed(self.model)

    def layer(self, layer):
        units, inputs = layer.weights.shape
        if self.reshapes:
            self.reshape(inputs)
        weights = self.constant(layer.weights.astype(np.int8), layer.weight_scales)
        operands = [self.at, weights]
        if self.bias == "tensor" or layer.biases.any():
            scales = np.float32(layer.input.scale) * layer.weight_scales
            operands.append(self.constant(layer.biases.astype(np.int32), scales))
        elif self.bias == "-1":
            operands.append(-1)
        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = getattr(schema.ActivationFunctionType, layer.activation)
        self.append("FULLY_CONNECTED", layer.output, units, operands, options)

    def reshape(self, width):
        options, operands = None, [self.at]
        if self.reshapes == "input":
            operands.append(self.constant(np.array([-1, width], np.int32)))
        else:
            options = schema.ReshapeOptionsT()
            options.newShape = np.array([-1, width], np.int32)
        self.append("RESHAPE", self.line, width, operands, options)

    def append(self, name, line, width, operands=None, options=None):
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs = self.code(name), operands or [self.at]
        self.at = self.tensor((1, width), line)
        operator.outputs = [self.at]
        if options is not None:
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
        self.graph.operators.append(operator)
        self.line, self.width = line, width

    def code(self, name):
        number = getattr(schema.BuiltinOperator, name)
        known = [code.builtinCode for code in self.model.operatorCodes]
        if number not in known:
            code = schema.OperatorCodeT()
            code.builtinCode, code.deprecatedBuiltinCode, code.version = number, number, VERSIONS[name]
            self.model.operatorCodes.append(code)
            return len(known)
        return known.index(number)

    def constant(self, values, scales=None):
        content = np.frombuffer(values.tobytes(), np.uint8)
        held = [i for i, buffer in enumerate(self.model.buffers)
                if self.share and buffer.data is not None and np.array_equal(buffer.data, content)]
        if not held:
            self.model.buffers.append(schema.BufferT())
            self.model.buffers[-1].data = content
            held = [len(self.model.buffers) - 1]
        kind = schema.TensorType.INT8 if values.dtype == np.int8 else schema.TensorType.INT32
        zero_points = None if scales is None else np.zeros(len(scales), np.int64)
        return self.add(kind, values.shape, scales, zero_points, held[0])

    def tensor(self, shape, line):
        """Add a tensor that is computed: int8 on a line, or float32 for None."""
        signature = np.array([-1, *shape[1:]], np.int32)
        if line is None:
            return self.add(schema.TensorType.FLOAT32, shape, signature=signature)
        scale, zero_point = np.float32([line.scale]), np.array([line.zero_point], np.int64)
        return self.add(schema.TensorType.INT8, shape, scale, zero_point, signature=signature)

    def add(self, kind, shape, scales=None, zero_points=None, buffer=0, signature=None):
        tensor = schema.TensorT()
        tensor.type, tensor.shape, tensor.buffer = kind, np.array(shape, np.int32), buffer
        tensor.shapeSignature = signature
        if self.names:
            tensor.name = f"tensor{len(self.graph.tensors)}".encode()
        if scales is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = scales, zero_points
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1


def _signature(graph):
    signature = schema.SignatureDefT()
    signature.signatureKey = b"serving_default"
    for name, index in (("inputs", graph.inputs[0]), ("outputs", graph.outputs[0])):
        port = schema.TensorMapT()
        port.name, port.tensorIndex = name[:-1].encode(), index
        setattr(signature, name, [port])
    return signature


def random_steps(rng):
    """Return (description, operators) of a 2-H-1 net with everything random that can be."""
    width, per_channel, powers_of_two = int(rng.integers(1, 17)), bool(rng.random() < 0.5), bool(rng.random() < 0.4)

    def scale(low, high):
        exponent = rng.uniform(np.log2(low), np.log2(high))
        return np.float32(2.0 ** (np.rint(exponent) if powers_of_two else exponent))

    def line(low, high):
        return Affine(float(scale(low, high)), int(rng.choice([-128, 127, 0, rng.integers(-128, 128)])))

    def layer(shape, source, target, channels, relu=False):
        """Return a layer of random weights whose sums spread over the output's codes; without biases one time in 3."""
        # a sum of weights times codes is about 5,000 * sqrt(inputs) in size: let it be worth 10 to 300 output codes
        usual = 5e3 * np.sqrt(shape[1])
        worth = [scale(10 / usual, 300 / usual) for _ in range(channels)]
        scales = np.float32([w * np.float32(target.scale) / np.float32(source.scale) for w in worth])
        biases = rng.integers(-10_000, 10_000, shape[0]) * (rng.random() < 2 / 3)
        return FullyConnected(rng.integers(-127, 128, shape), biases, scales, source, target,
                              "RELU" if relu else "NONE")

    hidden = str(rng.choice(["sigmoid", "fused relu", "relu", "relu6"]))
    source, middle, logits = line(0.002, 0.02), line(0.008, 0.12), line(0.008, 0.12)
    steps = [layer((width, 2), source, middle, width if per_channel else 1, hidden == "fused relu")]
    if hidden == "sigmoid":
        middle = SIGMOID_CODES
        steps.append(Logistic(steps[-1].output, middle))
    elif hidden in ("relu", "relu6"):
        if hidden == "relu" and rng.random() < 2 / 3:           # another output scale
            middle = line(middle.scale / 3, middle.scale * 3)
        steps.append(Relu(steps[-1].output, middle, 6.0 if hidden == "relu6" else math.inf))
    steps.append(layer((1, width), middle, logits, 1))
    if rng.random() < 0.5:
        steps.append(Logistic(logits, SIGMOID_CODES))
    kind = "per channel" if per_channel else "per tensor"
    return f"{hidden}, {width} units, {kind}{', powers of two' if powers_of_two else ''}", steps


def random_net(rng):
    """Return (description, content of a TFLite file) of a random net with int8 ends and no part left out."""
    described, steps = random_steps(rng)
    return described, tflite_of(steps)


def random_file(rng):
    """Return (description, content) of a random net whose optional parts are left out or shared at random."""
    described, steps = random_steps(rng)
    parts = {"reshapes": rng.choice([None, "input", "option"]), "bias": str(rng.choice(["tensor", "-1", "none"])),
             "names": bool(rng.random() < 0.5), "share": bool(rng.random() < 0.5),
             "signature": bool(rng.random() < 0.5), "float_ends": (bool(rng.random() < 0.3),) * 2}
    changed = ", ".join(f"{part} {value}" for part, value in parts.items() if value != PLAIN[part])
    return f"{described}; {changed or 'nothing left out'}", tflite_of(steps, **parts)
