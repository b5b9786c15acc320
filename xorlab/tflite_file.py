"""What stands in a TFLite file: its operators and tensors, read from the flatbuffer without running anything."""
import math
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from xorlab import files, tflite_format
from xorlab.arguments import shown
from xorlab.streams import printable


@dataclass(frozen=True)
class Tensor:
    """A tensor of a TFLite file.

    name : as in the file, or "number 7" where the file gives the tensor with the index 7 no name.
    shape : () where the file gives none.  signature : the shape as it was declared, -1 where any length goes.
    scales : float32 (k,), empty where it is not quantized; k > 1 means a scale for each channel.
    zero_points : int64 (k,).  data : its constant content as an array, or None for an activation; bytes, uint8 (n,),
    where NumPy has no such type.  axis : along which several scales go.
    variable : whether it keeps its content from one call to the next.  buffer : which of the file's it has.
    """
    name: str
    dtype: str
    shape: tuple
    scales: np.ndarray
    zero_points: np.ndarray
    data: np.ndarray | None = field(repr=False)
    signature: tuple = ()
    variable: bool = False
    buffer: int = 0
    axis: int = 0


@dataclass(frozen=True)
class Operator:
    """An operator: its name, e.g. FULLY_CONNECTED, fused activation ("NONE" if none) and tensor indices.

    An input that the operator may go without, such as a bias, has the index -1 where it is left out.
    A custom operator has its maker's name behind that, e.g. CUSTOM SignalWindow.
    options : {name as in the format's schema, e.g. strideH: value}, a padding by its name, e.g. SAME.
    """
    name: str
    activation: str
    inputs: tuple
    outputs: tuple
    options: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Graph:
    """The main graph of a TFLite file: its operators in order, its tensors, and the tensors that go in and come out.

    ends : {tensor index: the name that the file's signature gives an input or output}.
    others : the Graphs beside it, which operators such as WHILE run.  signatures : (name, which graph it runs).
    metadata : the buffers that hold metadata.
    """
    operators: tuple
    tensors: tuple
    inputs: tuple
    outputs: tuple
    ends: dict
    others: tuple = ()
    signatures: tuple = ()
    metadata: frozenset = frozenset()

    @property
    def state(self):
        """The names of the tensors that keep their content from one call to the next."""
        return tuple(tensor.name for graph in (self, *self.others) for tensor in graph.tensors if tensor.variable)

    @property
    def resources(self):
        """The names of the operators that keep something outside the tensors, where no runtime clears it."""
        return tuple(sorted({op.name for graph in (self, *self.others) for op in graph.operators} & RESOURCES))


NUMPY_TYPES = {"FLOAT32": np.float32, "INT8": np.int8, "UINT8": np.uint8, "INT16": np.int16, "INT32": np.int32,
               "INT64": np.int64, "FLOAT16": np.float16, "BOOL": np.bool_, "FLOAT64": np.float64,
               "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64, "COMPLEX64": np.complex64,
               "COMPLEX128": np.complex128}
BITS = {"INT4": 4, "UINT4": 4, "INT2": 2, "BFLOAT16": 16, "FLOAT8_E4M3FN": 8, "FLOAT8_E5M2": 8}    # not NumPy's
RESOURCES = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"}


def read(path):
    """Read a TFLite file and return its main Graph.

    Raises FileNotFoundError, or ValueError in one sentence if the file is damaged or contradicts itself.
    """
    return content_and_graph(path)[1]


def content_and_graph(path):
    """Return (the bytes of a TFLite file, its main Graph); see read."""
    content = files.existing_file(path, "TFLite").read_bytes()
    return content, graph_of(content, path)


def graph_of(content, path):
    """Return the main Graph of the bytes of a TFLite file; `path` is what an error calls it."""
    try:
        tflite_format.walk(content)                     # the reader that follows has no eye for damage
        return _graph(unpacked(content), content)
    except tflite_format.Damaged as error:
        raise ValueError(f"{printable(path)} is not a sound TFLite file: {error}") from None


def unpacked(content):
    """Return the object form of a sound file's bytes, the schema's ModelT, to change and to pack again."""
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


def packed(model) -> bytes:
    """Return the bytes of a TFLite file from its object form."""
    import flatbuffers

    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _graph(model, content):
    buffers = [_content(buffer, content, i) for i, buffer in enumerate(model.buffers or ())]
    codes = [_operator_name(code) for code in model.operatorCodes or ()]
    main, *others = [_subgraph(graph, buffers, codes) for graph in model.subgraphs or ()] or [None]
    if main is None:
        raise tflite_format.Damaged("it holds no graph")
    ends = {}
    signatures = model.signatureDefs or ()
    for signature in signatures:
        if signature.subgraphIndex == 0:
            for end in (*(signature.inputs or ()), *(signature.outputs or ())):
                ends.setdefault(end.tensorIndex, _text(end.name))
    metadata = frozenset(item.buffer for item in model.metadata or ())
    return Graph(*main, ends, tuple(Graph(*graph, {}) for graph in others),
                 tuple((_text(signature.signatureKey), signature.subgraphIndex) for signature in signatures), metadata)


def _subgraph(graph, buffers, codes):
    """Return (operators, tensors, inputs, outputs) of a subgraph whose indices all lead somewhere."""
    tensors = tuple(_tensor(tensor, i, buffers) for i, tensor in enumerate(_listed(graph.tensors)))
    operators = tuple(_operator(op, codes, len(tensors)) for op in _listed(graph.operators))
    return operators, tensors, *(_indices(ends, len(tensors), 0, f"the graph's {what}")
                                 for ends, what in ((graph.inputs, "inputs"), (graph.outputs, "outputs")))


def _tensor(tensor, index, buffers):
    name = _text(tensor.name) or f"number {index}"
    dtype = _members("TensorType").get(tensor.type)
    if dtype is None:
        raise tflite_format.Damaged(f"tensor {name} has the type {tensor.type}, which the format does not know")
    shape, signature = (tuple(map(int, _listed(lengths))) for lengths in (tensor.shape, tensor.shapeSignature))
    if any(length < 0 for length in shape) or math.prod(shape) >= 2**60:
        raise tflite_format.Damaged(f"tensor {name} has the shape {shown(shape)}")
    if any(length < -1 for length in signature):        # -1: any length goes
        raise tflite_format.Damaged(f"tensor {name} was declared with the shape {shown(signature)}")
    quantization = tensor.quantization
    scales, zero_points = (np.asarray(_listed(values), kind) for values, kind in (
        (quantization and quantization.scale, np.float32), (quantization and quantization.zeroPoint, np.int64)))
    if len(scales) and len(scales) != len(zero_points):
        raise tflite_format.Damaged(f"tensor {name} has {len(scales)} scales and {len(zero_points)} zero points")
    if tensor.buffer >= max(len(buffers), 1):
        raise tflite_format.Damaged(f"tensor {name} has its content in buffer {tensor.buffer}, and there are "
                                    f"{len(buffers)}")
    content = buffers[tensor.buffer] if buffers else b""
    if content and tensor.isVariable:                   # TFLite Micro would clear it, LiteRT refuses the file
        raise tflite_format.Damaged(f"tensor {name} keeps state and has constant content")
    data = _array(content, dtype, shape, name, tensor.sparsity is not None) if content else None
    return Tensor(name, dtype, shape, scales, zero_points[: len(scales)], data, signature or shape,
                  bool(tensor.isVariable), tensor.buffer, int(quantization.quantizedDimension if quantization else 0))


def _array(content, dtype, shape, name, sparse):
    """Return a tensor's constant content as an array, as raw bytes where it has no plain shape of a NumPy type."""
    raw = np.frombuffer(content, np.uint8)
    bits = BITS.get(dtype) or 8 * np.dtype(NUMPY_TYPES.get(dtype, np.void)).itemsize
    if sparse or not bits:
        return raw
    needed = -(-math.prod(shape) * bits // 8)
    if needed != len(content):
        raise tflite_format.Damaged(f"tensor {name} of {dtype} and shape {shown(shape)} needs {needed:,} bytes, "
                                    f"its buffer has {len(content):,}")
    return raw if dtype in BITS else np.frombuffer(content, NUMPY_TYPES[dtype]).reshape(shape)


def _content(buffer, content, index):
    """Return what a buffer holds, from inside the flatbuffer or, in a large file, from behind it."""
    if buffer.offset > 1:
        if buffer.offset + buffer.size > len(content):
            raise tflite_format.Damaged(f"buffer {index} lies beyond the end of the file")
        return content[buffer.offset : buffer.offset + buffer.size]
    return b"" if buffer.data is None else np.asarray(buffer.data, np.uint8).tobytes()


def _operator(operator, codes, tensors):
    if operator.opcodeIndex >= len(codes):
        raise tflite_format.Damaged(f"an operator has the code {operator.opcodeIndex}, and there are {len(codes)}")
    name = codes[operator.opcodeIndex]
    fused = getattr(operator.builtinOptions, "fusedActivationFunction", 0)
    inputs, outputs, _ = (_indices(ends, tensors, -1, f"the ends of operator {name}")
                          for ends in (operator.inputs, operator.outputs, operator.intermediates))
    return Operator(name, _members("ActivationFunctionType").get(fused) or f"number {fused}", inputs, outputs,
                    _options(operator.builtinOptions))


def _options(table):
    """Return what an operator's table of options holds, without its fused activation."""
    options = {name: value for name, value in vars(table).items() if name != "fusedActivationFunction"} if table else {}
    if "padding" in options:
        options["padding"] = _members("Padding").get(options["padding"]) or f"number {options['padding']}"
    return options


def _operator_name(code):
    # the format moved its operator numbers to a wider field and left the old one behind
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    name = _members("BuiltinOperator").get(number) or f"number {number}"
    return f"CUSTOM {_text(code.customCode)}" if name == "CUSTOM" else name


def _indices(ends, tensors, lowest, what):
    ends = tuple(map(int, _listed(ends)))
    wrong = [i for i in ends if not lowest <= i < tensors]
    if wrong:
        raise tflite_format.Damaged(f"{what} lead to tensor {wrong[0]}, and there are {tensors}")
    return ends


@cache
def _members(enum):
    """Return {number: name} of one of the format's enumerations."""
    from ai_edge_litert import schema_py_generated as schema

    return {value: name for name, value in vars(getattr(schema, enum)).items() if isinstance(value, int)}


def _listed(values):
    return () if values is None else values


def _text(name):
    """Return a name as text of one line, in which what cannot be printed is escaped."""
    return printable(name.decode(errors="replace") if isinstance(name, bytes) else name or "")
