"""What stands in a TFLite file: its operators and tensors, read from the flatbuffer without running anything."""
from dataclasses import dataclass

import numpy as np

from xorlab import files


@dataclass(frozen=True)
class Tensor:
    """A tensor of a TFLite file.

    scales : float32 (k,), empty where it is not quantized; k > 1 means a scale for each channel.
    zero_points : int64 (k,).  data : its constant content as an array, or None for an activation.
    """
    name: str
    dtype: str
    shape: tuple
    scales: np.ndarray
    zero_points: np.ndarray
    data: np.ndarray | None


@dataclass(frozen=True)
class Operator:
    """An operator: its name, e.g. FULLY_CONNECTED, fused activation ("NONE" if none) and tensor indices."""
    name: str
    activation: str
    inputs: tuple
    outputs: tuple


@dataclass(frozen=True)
class Graph:
    """The one graph of a TFLite file: its operators in order, its tensors, and the tensors that go in and come out."""
    operators: tuple
    tensors: tuple
    inputs: tuple
    outputs: tuple


NUMPY_TYPES = {"FLOAT32": np.float32, "INT8": np.int8, "UINT8": np.uint8, "INT16": np.int16, "INT32": np.int32,
               "INT64": np.int64, "FLOAT16": np.float16, "BOOL": np.bool_}


def sound_content(path):
    """Return the bytes of a TFLite file after LiteRT has verified them.

    Raises FileNotFoundError, or ValueError in one sentence if the file is damaged.
    """
    from ai_edge_litert.interpreter import Interpreter

    content = files.existing_file(path, "TFLite").read_bytes()
    try:
        Interpreter(model_content=content)              # verifies the flatbuffer; the Python reader does not
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{path} is not a sound TFLite file: {str(error).splitlines()[0]}") from None
    return content


def read(path):
    """Read a TFLite file with one graph and return its Graph.

    Raises FileNotFoundError, or ValueError in one sentence if the file is damaged or holds several graphs.
    """
    from ai_edge_litert import schema_py_generated as schema

    content = sound_content(path)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    if len(model.subgraphs) != 1:
        raise ValueError(f"{path} holds {len(model.subgraphs)} graphs; expected one")
    graph = model.subgraphs[0]
    names = {kind: {value: name for name, value in vars(getattr(schema, kind)).items() if isinstance(value, int)}
             for kind in ("BuiltinOperator", "TensorType", "ActivationFunctionType")}
    tensors = tuple(_tensor(tensor, model.buffers[tensor.buffer].data, names["TensorType"]) for tensor in graph.tensors)
    operators = tuple(_operator(op, model.operatorCodes[op.opcodeIndex], names) for op in graph.operators)
    return Graph(operators, tensors, tuple(graph.inputs), tuple(graph.outputs))


def _tensor(tensor, content, types):
    dtype, shape = types[tensor.type], tuple(map(int, tensor.shape if tensor.shape is not None else ()))
    quantization = tensor.quantization
    scales, zero_points = (np.asarray([] if values is None else values, kind) for values, kind in (
        (quantization and quantization.scale, np.float32), (quantization and quantization.zeroPoint, np.int64)))
    data = None
    if content is not None and len(content):
        data = np.frombuffer(np.asarray(content, np.uint8).tobytes(), NUMPY_TYPES[dtype]).reshape(shape)
    return Tensor((tensor.name or b"").decode(), dtype, shape, scales, zero_points, data)


def _operator(operator, code, names):
    fused = getattr(operator.builtinOptions, "fusedActivationFunction", 0)
    # the format moved its operator numbers to a wider field and left the old one behind
    name = names["BuiltinOperator"][max(code.builtinCode, code.deprecatedBuiltinCode)]
    return Operator(name, names["ActivationFunctionType"][fused], tuple(map(int, operator.inputs)),
                    tuple(map(int, operator.outputs)))
