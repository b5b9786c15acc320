"""Small TFLite files made from nothing, one operator after the other, for what no converter here writes."""
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from xorlab.tflite_file import packed

TYPES = {np.dtype(kind): getattr(schema.TensorType, name) for kind, name in (
    ("float32", "FLOAT32"), ("float64", "FLOAT64"), ("int8", "INT8"), ("uint8", "UINT8"), ("int16", "INT16"),
    ("int32", "INT32"), ("int64", "INT64"), ("bool", "BOOL"), ("uint32", "UINT32"))}


def flexible_map(**numbers):
    """Return a FlexBuffer of a map of small whole numbers, as custom operators keep their options."""
    from flatbuffers import flexbuffers

    return bytes(flexbuffers.Dumps(numbers))


class Maker:
    """Collects tensors and operators; `model` is the object, `content()` the file."""

    def __init__(self):
        self.model = schema.ModelT()
        self.model.version, self.model.operatorCodes, self.model.buffers = 3, [], [schema.BufferT()]
        self.model.subgraphs = [schema.SubGraphT()]
        self.graph = self.model.subgraphs[0]
        self.graph.tensors, self.graph.operators, self.graph.inputs, self.graph.outputs = [], [], [], []

    def tensor(self, dtype="float32", shape=(1, 2), *, name=None, scale=None, zero_point=0, data=None, free=False,
               variable=False):
        """Add a tensor and return its index.  data : makes it a constant.  free : any number of samples."""
        tensor = schema.TensorT()
        if data is not None:
            data = np.asarray(data, dtype)
            shape = data.shape
            self.model.buffers.append(schema.BufferT())
            self.model.buffers[-1].data = np.frombuffer(data.tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers) - 1
        tensor.type, tensor.shape, tensor.name = TYPES[np.dtype(dtype)], np.array(shape, np.int32), name
        tensor.isVariable = variable
        if free:
            tensor.shapeSignature = np.array([-1, *shape[1:]], np.int32)
        if scale is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.atleast_1d(np.float32(scale))
            tensor.quantization.zeroPoint = np.full(len(tensor.quantization.scale), zero_point, np.int64)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, name, inputs, outputs, options=None, **settings):
        """Add an operator.  options : the kind of its table, with the settings in it."""
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = 1
        self.model.operatorCodes.append(code)
        op = schema.OperatorT()
        op.opcodeIndex = len(self.model.operatorCodes) - 1
        op.inputs, op.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        if options:
            op.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            op.builtinOptions = getattr(schema, f"{options}T")()
            for key, value in settings.items():
                setattr(op.builtinOptions, key, value)
        self.graph.operators.append(op)
        return op

    def ends(self, inputs, outputs):
        """Name the graph's ends and return the maker."""
        self.graph.inputs, self.graph.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        return self

    def another_graph(self):
        """Begin a further graph, to which all that follows belongs."""
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs.append(self.graph)

    def signature(self, inputs, outputs, key="serving_default", graph=0):
        """Add a signature, two dicts {name: tensor index}."""
        signature = schema.SignatureDefT()
        for ends, field in ((inputs, "inputs"), (outputs, "outputs")):
            maps = []
            for name, index in ends.items():
                one = schema.TensorMapT()
                one.name, one.tensorIndex = name, index
                maps.append(one)
            setattr(signature, field, maps)
        signature.signatureKey, signature.subgraphIndex = key, graph
        self.model.signatureDefs = [*(self.model.signatureDefs or []), signature]
        return self

    def content(self):
        return packed(self.model)


def dense(weights, biases=None, *, name="x", left_out=False):
    """A float layer (n, inputs) -> (n, units) for any batch; without biases its operator has two inputs, or a -1."""
    weights = np.float32(weights)
    made = Maker()
    x = made.tensor(shape=(1, weights.shape[1]), name=name, free=True)
    y = made.tensor(shape=(1, len(weights)), name="y", free=True)
    w = made.tensor(data=weights, name="w")
    bias = [made.tensor(data=biases, name="b")] if biases is not None else [-1] if left_out else []
    made.operator("FULLY_CONNECTED", [x, w, *bias], [y], "FullyConnectedOptions")
    return made.ends([x], [y])


def relu(shape=(4, 2)):
    """A float RELU for one batch size."""
    made = Maker()
    x, y = made.tensor(shape=shape, name="x"), made.tensor(shape=shape, name="y")
    made.operator("RELU", [x], [y])
    return made.ends([x], [y])


def endless():
    """A WHILE whose condition, x = x, always holds."""
    made = Maker()
    x, y = made.tensor(name="x"), made.tensor(name="y")
    made.operator("WHILE", [x], [y], "WhileOptions", condSubgraphIndex=1, bodySubgraphIndex=2)
    made.ends([x], [y])
    made.another_graph()
    x, one, yes = made.tensor(), made.tensor(data=[0], dtype="int32"), made.tensor("bool", (1,))
    first = made.tensor(shape=(1,))
    made.operator("GATHER", [x, one], [made.tensor(shape=(1, 1))], "GatherOptions", axis=1)
    made.operator("RESHAPE", [len(made.graph.tensors) - 1, made.tensor(data=[1], dtype="int32")], [first])
    made.operator("EQUAL", [first, first], [yes], "EqualOptions")
    made.ends([x], [yes])
    made.another_graph()
    x, y = made.tensor(), made.tensor()
    made.operator("RELU", [x], [y])
    made.ends([x], [y])
    return made


def depthwise_without_bias():
    """An int8 DEPTHWISE_CONV_2D without a bias, on which two of LiteRT's runtimes crash."""
    made = Maker()
    x = made.tensor("int8", (1, 4, 4, 8), name="x", scale=0.1)
    w = made.tensor("int8", name="w", data=np.ones((1, 2, 2, 8)), scale=0.1)
    y = made.tensor("int8", (1, 3, 3, 8), name="y", scale=0.1)
    z = made.tensor("int8", (1, 72), name="z", scale=0.1)
    made.operator("DEPTHWISE_CONV_2D", [x, w], [y], "DepthwiseConv2DOptions", padding=1, strideW=1, strideH=1,
                  depthMultiplier=1)
    made.operator("RESHAPE", [y, made.tensor("int32", data=[1, 72])], [z], "ReshapeOptions", newShape=[1, 72])
    return made.ends([x], [z])


def remembering():
    """A float SVDF: y = 10 * (what x0 + 2 x1 was one call before) + (what it is now), plus 0."""
    made = Maker()
    x, y = made.tensor(name="x"), made.tensor(shape=(1, 1), name="y")
    feature, times = made.tensor(data=[[1, 2]]), made.tensor(data=[[10, 1]])
    state = made.tensor(shape=(1, 2), name="memory", variable=True)
    made.operator("SVDF", [x, feature, times, made.tensor(data=[0]), state], [y], "SVDFOptions", rank=1)
    return made.ends([x], [y])
