"""The reader of TFLite files: what a file may leave out, and what contradicts itself."""
import made_files
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from xorlab import models, tflite_file


@pytest.fixture
def saved(tmp_path):
    def save(made):
        path = tmp_path / "made.tflite"
        path.write_bytes(made.content())
        return path

    return save


def test_a_file_reads_as_what_was_put_into_it(saved):
    made = made_files.dense([[1, 2], [3, 4]], [5, 6], name=None).signature({"points": 0}, {"sums": 1})
    graph = tflite_file.read(saved(made))
    assert [(op.name, op.activation, op.inputs, op.outputs) for op in graph.operators] == [
        ("FULLY_CONNECTED", "NONE", (0, 2, 3), (1,))]
    assert [tensor.name for tensor in graph.tensors] == ["number 0", "y", "w", "b"]
    assert graph.tensors[0].shape == (1, 2) and graph.tensors[0].signature == (-1, 2)
    assert graph.tensors[2].data.tolist() == [[1, 2], [3, 4]] and graph.tensors[0].data is None
    assert (graph.inputs, graph.outputs, graph.ends, graph.signatures) == (
        (0,), (1,), {0: "points", 1: "sums"}, (("serving_default", 0),))
    assert graph.state == graph.resources == graph.others == ()


def test_a_bias_left_out_has_the_index_minus_one(saved):
    assert tflite_file.read(saved(made_files.dense([[1, 2]], left_out=True))).operators[0].inputs == (0, 2, -1)
    assert tflite_file.read(saved(made_files.dense([[1, 2]]))).operators[0].inputs == (0, 2)


@pytest.mark.parametrize("number, former, name", [
    (150, 127, "GELU"), (9, 9, "FULLY_CONNECTED"), (0, 9, "FULLY_CONNECTED"), (0, 0, "ADD")])
def test_an_operator_has_its_number_in_the_wider_field_or_in_that_of_old_files(number, former, name):
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode = number, former
    assert tflite_file._operator_name(code) == name


def test_a_custom_operator_keeps_its_name_and_cannot_pass_for_another(saved):
    made = made_files.dense([[1, 2]])
    made.operator("CUSTOM", [1], [made.tensor()])
    made.model.operatorCodes[-1].customCode = "LOGISTIC"
    assert tflite_file.read(saved(made)).operators[-1].name == "CUSTOM LOGISTIC"


def test_content_of_types_that_numpy_lacks_is_given_as_bytes(saved):
    made = made_files.dense([[1, 2]])
    packed = made.tensor("int8", data=[0x21, 0x43])
    made.graph.tensors[packed].type, made.graph.tensors[packed].shape = 17, np.int32([3])     # three of 4 bits
    assert tflite_file.read(saved(made)).tensors[packed].data.tolist() == [0x21, 0x43]


def test_further_graphs_are_read_beside_the_main_one(saved):
    graph = tflite_file.read(saved(made_files.endless()))
    assert [op.name for op in graph.operators] == ["WHILE"]
    assert [[op.name for op in other.operators] for other in graph.others] == [["GATHER", "RESHAPE", "EQUAL"], ["RELU"]]


@pytest.mark.parametrize("spoil, says", [
    (lambda m: setattr(m.model, "subgraphs", []), "it holds no graph"),
    (lambda m: setattr(m.graph, "inputs", np.int32([9])), "the graph's inputs lead to tensor 9, and there are 4"),
    (lambda m: setattr(m.graph, "outputs", np.int32([-1])), "the graph's outputs lead to tensor -1"),
    (lambda m: setattr(m.graph.operators[0], "inputs", np.int32([0, 2, 4])),
     "the ends of operator FULLY_CONNECTED lead to tensor 4"),
    (lambda m: setattr(m.graph.operators[0], "opcodeIndex", 7), "an operator has the code 7, and there are 1"),
    (lambda m: setattr(m.graph.tensors[2], "buffer", 9), "tensor w has its content in buffer 9, and there are 3"),
    (lambda m: setattr(m.graph.tensors[2], "isVariable", True), "tensor w keeps state and has constant content"),
    (lambda m: setattr(m.graph.tensors[2], "type", 99), "tensor w has the type 99, which the format does not know"),
    (lambda m: setattr(m.graph.tensors[2], "shape", np.int32([2, 3])),
     r"tensor w of FLOAT32 and shape \(2, 3\) needs 24 bytes, its buffer has 16"),
    (lambda m: setattr(m.graph.tensors[2], "shape", np.int32([-1, 2])), r"tensor w has the shape \(-1, 2\)"),
    (lambda m: setattr(m.graph.tensors[2], "shape", np.full(3000, 2**30, np.int32)),
     r"tensor w has the shape \((1073741824, ){4}[0-9]+\.\.\.$"),
    (lambda m: setattr(m.graph.tensors[0], "shapeSignature", np.int32([-7, 2])),
     r"tensor x was declared with the shape \(-7, 2\)")])
def test_what_contradicts_itself_is_refused_by_name(saved, spoil, says):
    made = made_files.dense([[1, 2], [3, 4]], [5, 6])
    spoil(made)
    with pytest.raises(ValueError, match=f"made.tflite is not a sound TFLite file: {says}"):
        tflite_file.read(saved(made))


def test_scales_without_zero_points_are_refused_and_zero_points_without_scales_mean_nothing(saved):
    made = made_files.Maker()
    x, y = (made.tensor("int8", name=name, scale=0.5, zero_point=3) for name in "xy")
    made.graph.tensors[x].quantization.scale = None
    made.operator("RELU", [x], [y])
    tensor = tflite_file.read(saved(made.ends([x], [y]))).tensors[x]
    assert len(tensor.scales) == len(tensor.zero_points) == 0
    made.graph.tensors[y].quantization.zeroPoint = np.int64([1, 2])
    with pytest.raises(ValueError, match="tensor y has 1 scales and 2 zero points"):
        tflite_file.read(saved(made))


def test_reading_needs_no_runtime(monkeypatch):
    """A file that every runtime here refuses can be looked at all the same."""
    from ai_edge_litert import interpreter

    monkeypatch.setattr(interpreter, "Interpreter", None)
    assert len(tflite_file.read(models.reference_file("relu-2-4-1", "int8.tflite")).operators) == 5
