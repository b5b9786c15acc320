"""The byte account against the file's size, the object reader's contents, and files that are spoiled on purpose."""
import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from random_nets import random_net

from xorlab import export, models, tflite_bytes

FILES = sorted(models.REFERENCES.glob("*/*.tflite"))


def object_model(content):
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


def packed(model):
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def counted(model):
    """Count what vectors and strings must hold (their length first) through the object reader, not the bytes."""
    (graph,) = model.subgraphs
    vectors = {"shapes": 0, "names": len(model.description) + 5 + (len(graph.name) + 5 if graph.name else 0)}
    for tensor in graph.tensors:
        vectors["names"] += len(tensor.name) + 5                        # length, characters, a zero byte
        vectors["shapes"] += sum(4 + 4 * len(shape) for shape in (tensor.shape, tensor.shapeSignature)
                                 if shape is not None)
    return vectors


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_account_adds_up_to_the_size_of_every_committed_file(path):
    account = tflite_bytes.account(path)
    assert account.total == path.stat().st_size
    assert tuple(account.parts) == tflite_bytes.PURPOSES


def test_the_account_adds_up_for_fifty_random_nets(tmp_path):
    rng = np.random.default_rng(5)
    path = tmp_path / "net.tflite"
    for _ in range(50):
        description, content = random_net(rng)
        path.write_bytes(content)
        account = tflite_bytes.account(path)
        graph = object_model(content).subgraphs[0]
        layers = [[graph.tensors[i] for i in op.inputs[1:3]] for op in graph.operators if len(op.inputs) == 3]
        assert account.total == len(content), description
        assert account.parts["weights"] == sum(4 + np.prod(weights.shape) for weights, _ in layers), description
        assert account.parts["biases"] == sum(4 + 4 * np.prod(biases.shape) for _, biases in layers), description


@pytest.mark.parametrize("variant, weight, bias", [
    ("float32", 4, 4), ("dynamic_range", 4, 4), ("float16", 2, 2), ("int8", 1, 4), ("int16x8", 1, 8)])
def test_weights_and_biases_take_what_their_types_take(variant, weight, bias):
    parts = tflite_bytes.account(models.reference_file("sigmoid-2-3-1", f"{variant}.tflite")).parts
    assert (parts["weights"], parts["biases"]) == (9 * weight + 8, 4 * bias + 8)        # two vectors, two lengths


@pytest.mark.parametrize("variant", export.VARIANTS)
def test_names_and_shapes_take_what_they_spell(variant):
    path = models.reference_file("sigmoid-2-3-1", f"{variant}.tflite")
    model = object_model(path.read_bytes())
    expected = counted(model)
    reshapes = [op for op in model.subgraphs[0].operators if len(op.inputs) == 2]
    constants = {model.subgraphs[0].tensors[op.inputs[1]].buffer for op in reshapes}
    expected["shapes"] += sum(4 + len(model.buffers[i].data) for i in constants)
    account = tflite_bytes.account(path)
    assert {purpose: account.parts[purpose] for purpose in expected} == expected


def test_a_tensor_name_longer_by_one_letter_is_one_byte_more(tmp_path):
    model = object_model(models.reference_file("relu-2-4-1", "int8.tflite").read_bytes())
    names = []
    for _ in range(2):
        (tmp_path / "net.tflite").write_bytes(packed(model))
        names.append(tflite_bytes.account(tmp_path / "net.tflite").parts["names"])
        model.subgraphs[0].tensors[0].name += b"x"
    assert names[1] == names[0] + 1


@pytest.mark.parametrize("spoil, says", [
    (lambda content: content + bytes(16), "nothing points to the .* too many for padding"),
    (lambda content: content + b"\1", "nothing points to bytes 2752 to 2752, and they are not zero")])
def test_bytes_that_nothing_points_to_are_refused(tmp_path, spoil, says):
    (tmp_path / "net.tflite").write_bytes(spoil(models.reference_file("sigmoid-2-3-1", "int8.tflite").read_bytes()))
    with pytest.raises(ValueError, match=f"net.tflite: {says}"):
        tflite_bytes.account(tmp_path / "net.tflite")


def test_a_byte_with_two_purposes_is_refused(tmp_path):
    content = bytearray(models.reference_file("sigmoid-2-3-1", "int8.tflite").read_bytes())
    graph = schema.Model.GetRootAs(content, 0).Subgraphs(0)
    # let the second tensor's pointer to its name lead to the first tensor's name
    first, second = (graph.Tensors(i)._tab for i in (0, 1))
    name = 4 + 2 * 3                                                    # fourth field of a tensor
    target = first.Indirect(first.Pos + first.Offset(name))
    pointer = second.Pos + second.Offset(name)
    if target < pointer:                                                # pointers lead forward only
        first, second = second, first
        target, pointer = (first.Indirect(first.Pos + first.Offset(name)), second.Pos + second.Offset(name))
    content[pointer : pointer + 4] = (target - pointer).to_bytes(4, "little")
    (tmp_path / "net.tflite").write_bytes(content)
    with pytest.raises(ValueError, match="bytes from .* are for names and for names"):
        tflite_bytes.account(tmp_path / "net.tflite")


def test_a_part_of_the_format_that_is_not_known_is_named(tmp_path):
    model = object_model(models.reference_file("sigmoid-2-3-1", "float32.tflite").read_bytes())
    model.subgraphs[0].tensors[0].sparsity = schema.SparsityParametersT()
    (tmp_path / "net.tflite").write_bytes(packed(model))
    with pytest.raises(ValueError, match="it uses Tensor.Sparsity, which this account does not know"):
        tflite_bytes.account(tmp_path / "net.tflite")


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no TFLite file at .*gone"):
        tflite_bytes.account(tmp_path / "gone.tflite")
    whole = models.reference_file("sigmoid-2-3-1", "int8.tflite").read_bytes()
    for content in (b"", whole[:1000], bytes(2000)):
        (tmp_path / "bad.tflite").write_bytes(content)
        with pytest.raises(ValueError, match="bad.tflite is not a sound TFLite file"):
            tflite_bytes.account(tmp_path / "bad.tflite")


def test_a_table_of_accounts_has_a_column_for_each_and_ends_in_the_sizes():
    accounts = [tflite_bytes.account(models.reference_file("sigmoid-2-3-1", f"{variant}.tflite"))
                for variant in ("float32", "int8")]
    table = tflite_bytes.table(accounts)
    assert table.header == ("bytes for", "float32", "int8")
    assert table.rows[-1] == ("whole file", "2,332", "2,752")
    assert str(accounts[1]).splitlines()[-1].split() == ["whole", "file", "2,752"]
