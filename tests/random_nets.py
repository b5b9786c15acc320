"""Random int8 TFLite files: the committed ones with other widths, weights, scales and zero points."""
import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from xorlab import models


def random_net(rng):
    """Return (description, content of a TFLite file): a 2-H-1 net with everything random that can be."""
    template = rng.choice(["sigmoid-2-3-1", "relu-2-4-1"])
    width, per_channel, powers_of_two = int(rng.integers(1, 17)), bool(rng.random() < 0.5), bool(rng.random() < 0.4)
    content = models.reference_file(template, "int8.tflite").read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    graph = model.subgraphs[0]
    first, second = [op for op in graph.operators if len(op.inputs) == 3]

    def scale(low, high):
        exponent = rng.uniform(np.log2(low), np.log2(high))
        return np.float32(2.0 ** (np.rint(exponent) if powers_of_two else exponent))

    def zero_point():
        return int(rng.choice([-128, 127, 0, rng.integers(-128, 128)]))

    def quantize(tensor, scales, zero_point):
        tensor.quantization.scale = np.atleast_1d(np.float32(scales))
        tensor.quantization.zeroPoint = np.full(len(tensor.quantization.scale), zero_point, np.int64)

    def fill(tensor, values):
        tensor.shape = np.array(values.shape, np.int32)
        model.buffers[tensor.buffer].data = np.frombuffer(values.tobytes(), np.uint8)

    def layer(operator, shape, input_scale, output_scale, per_channel):
        """Fill a layer with random weights and biases whose sums spread over the output's codes."""
        weights, biases = (graph.tensors[i] for i in operator.inputs[1:3])
        # a sum of weights times codes is about 5,000 * sqrt(inputs) in size: let it be worth 10 to 300 output codes
        usual = 5e3 * np.sqrt(shape[1])
        worth = [scale(10 / usual, 300 / usual) for _ in range(shape[0] if per_channel else 1)]
        weight_scales = np.float32([w * output_scale / input_scale for w in worth])
        fill(weights, rng.integers(-127, 128, shape).astype(np.int8))
        fill(biases, rng.integers(-10_000, 10_000, shape[0]).astype(np.int32))
        quantize(weights, weight_scales, 0)
        quantize(biases, np.float32(input_scale) * weight_scales, 0)

    input_scale, input_zero_point = scale(0.002, 0.02), zero_point()
    for index in {graph.inputs[0], first.inputs[0]}:
        quantize(graph.tensors[index], input_scale, input_zero_point)
    hidden_scale = scale(0.008, 0.12)
    hidden_zero_point = -128 if template.startswith("relu") and rng.random() < 0.5 else zero_point()
    layer(first, (width, 2), input_scale, hidden_scale, per_channel)
    # the tensors between the two layers: the first layer's output, perhaps a sigmoid's, and their reshaped twins
    scale_now, zero_point_now = hidden_scale, hidden_zero_point
    at = graph.operators.index(first)
    quantize(graph.tensors[first.outputs[0]], scale_now, zero_point_now)
    graph.tensors[first.outputs[0]].shape = np.array([1, width], np.int32)
    for op in graph.operators[at + 1 : graph.operators.index(second)]:
        if len(op.inputs) == 1:
            scale_now, zero_point_now = np.float32(1 / 256), -128       # the format fixes a sigmoid's output
        else:
            shape = graph.tensors[op.inputs[1]]
            model.buffers[shape.buffer].data = np.frombuffer(np.array([-1, width], np.int32).tobytes(), np.uint8)
        graph.tensors[op.outputs[0]].shape = np.array([1, width], np.int32)
        quantize(graph.tensors[op.outputs[0]], scale_now, zero_point_now)
    logit_scale = scale(0.008, 0.12)
    layer(second, (1, width), scale_now, logit_scale, per_channel=False)
    quantize(graph.tensors[second.outputs[0]], logit_scale, zero_point())
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    kind = "per channel" if per_channel else "per tensor"
    return f"{template}, {width} units, {kind}{', powers of two' if powers_of_two else ''}", bytes(builder.Output())


def with_relu_of_its_own(rng):
    """Return a random file whose hidden sigmoid is a RELU operator, two times in 3 with another output scale."""
    while True:
        described, content = random_net(rng)
        if described.startswith("sigmoid"):
            break
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    graph = model.subgraphs[0]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RELU
    model.operatorCodes.append(code)
    operators = graph.operators
    first, second = [op for op in operators if len(op.inputs) == 3]
    relu = operators[operators.index(first) + 1]
    relu.opcodeIndex = len(model.operatorCodes) - 1
    before = graph.tensors[relu.inputs[0]].quantization
    scale, zero_point = before.scale, before.zeroPoint
    if rng.random() < 2 / 3:
        scale, zero_point = scale * np.float32(2 ** rng.uniform(-1.5, 1.5)), rng.integers(-128, 128, 1)
    for tensor in {relu.outputs[0], second.inputs[0]}:
        graph.tensors[tensor].quantization.scale, graph.tensors[tensor].quantization.zeroPoint = scale, zero_point
    weights, biases = (graph.tensors[i].quantization for i in second.inputs[1:3])
    biases.scale = np.float32(scale) * np.float32(weights.scale)
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
