"""The byte account against the file's size, the object reader's contents, and files that are spoiled on purpose."""
import struct

import made_files
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from random_nets import random_net

from xorlab import export, models, tflite_bytes, tflite_file, tflite_format
from xorlab.report.examples import example

FILES = sorted(models.REFERENCES.glob("*/*.tflite"))


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
        graph = tflite_file.unpacked(content).subgraphs[0]
        layers = [[graph.tensors[i] for i in op.inputs[1:3]] for op in graph.operators if len(op.inputs) == 3]
        assert account.total == len(content), description
        assert account.parts["weights"] == sum(4 + np.prod(weights.shape) for weights, _ in layers), description
        assert account.parts["biases"] == sum(4 + 4 * np.prod(biases.shape) for _, biases in layers), description


@pytest.mark.parametrize("variant, weight, bias", [
    ("float32", 4, 4), ("dynamic_range", 4, 4), ("float16", 2, 2), ("int8", 1, 4), ("int16x8", 1, 8)])
def test_weights_and_biases_take_what_their_types_take(variant, weight, bias):
    parts = tflite_bytes.account(models.reference_file("sigmoid-2-3-1", f"{variant}.tflite")).parts
    assert (parts["weights"], parts["biases"]) == (9 * weight + 8, 4 * bias + 8)        # two vectors, two lengths


def test_of_a_net_with_depthwise_layers_weights_are_told_from_biases():
    graph = tflite_file.read(example("keywords"))
    assert "DEPTHWISE_CONV_2D" in {op.name for op in graph.operators}
    parts = tflite_bytes.account(example("keywords")).parts
    weighted = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    for purpose, position in (("weights", 1), ("biases", 2)):
        held = [graph.tensors[op.inputs[position]] for op in graph.operators if op.name in weighted]
        assert parts[purpose] == sum(tensor.data.nbytes + 4 for tensor in held)         # and the length of each


@pytest.mark.parametrize("variant", export.VARIANTS)
def test_names_and_shapes_take_what_they_spell(variant):
    path = models.reference_file("sigmoid-2-3-1", f"{variant}.tflite")
    model = tflite_file.unpacked(path.read_bytes())
    expected = counted(model)
    reshapes = [op for op in model.subgraphs[0].operators if len(op.inputs) == 2]
    constants = {model.subgraphs[0].tensors[op.inputs[1]].buffer for op in reshapes}
    expected["shapes"] += sum(4 + len(model.buffers[i].data) for i in constants)
    account = tflite_bytes.account(path)
    assert {purpose: account.parts[purpose] for purpose in expected} == expected


def test_a_tensor_name_longer_by_one_letter_is_one_byte_more(tmp_path):
    model = tflite_file.unpacked(models.reference_file("relu-2-4-1", "int8.tflite").read_bytes())
    names = []
    for _ in range(2):
        (tmp_path / "net.tflite").write_bytes(tflite_file.packed(model))
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


def with_second_name_at(content, shift):
    """Let the tensor behind lead to the name of the tensor before it, `shift` bytes into it."""
    content = bytearray(content)
    graph = schema.Model.GetRootAs(content, 0).Subgraphs(0)
    places = []
    for tensor in (graph.Tensors(0)._tab, graph.Tensors(1)._tab):
        pointer = tensor.Pos + tensor.Offset(4 + 2 * 3)                 # the fourth field of a tensor
        places.append((pointer, tensor.Indirect(pointer)))
    (pointer, _), (_, target) = places if places[1][1] > places[0][0] else places[::-1]
    own = pointer + struct.unpack_from("<I", content, pointer)[0]
    length = struct.unpack_from("<I", content, own)[0]
    content[own : own + 4 + length] = bytes(4 + length)                 # the name that it had: as if never written
    struct.pack_into("<I", content, pointer, target + shift - pointer)
    return bytes(content)


def test_a_name_that_two_tensors_share_counts_once(tmp_path):
    model = tflite_file.unpacked(models.reference_file("sigmoid-2-3-1", "int8.tflite").read_bytes())
    model.subgraphs[0].tensors[0].name = model.subgraphs[0].tensors[1].name = b"seven"          # 5 + 5 bytes
    shared = with_second_name_at(tflite_file.packed(model), 0)
    (tmp_path / "net.tflite").write_bytes(shared)
    before = tflite_bytes.account(saved(tmp_path, tflite_file.packed(model)))
    after = tflite_bytes.account(tmp_path / "net.tflite")
    # its own ten bytes and their padding lie there unused: too few to be noticed
    assert after.parts["names"] == before.parts["names"] - 10 and after.total == before.total


def saved(folder, content):
    (folder / "saved.tflite").write_bytes(content)
    return folder / "saved.tflite"


def test_parts_that_overlap_are_refused(tmp_path):
    content = models.reference_file("sigmoid-2-3-1", "int8.tflite").read_bytes()
    model = tflite_file.unpacked(content)
    # a name whose fifth byte on reads as a string of its own: length 1, "x", zero
    model.subgraphs[0].tensors[0].name = model.subgraphs[0].tensors[1].name = "\1\0\0\0x\0\0\0"
    path = saved(tmp_path, with_second_name_at(tflite_file.packed(model), 4))
    with pytest.raises(ValueError, match="saved.tflite: bytes from .* are for names and for names"):
        tflite_bytes.account(path)


def test_a_part_of_the_format_that_is_not_known_is_named(tmp_path):
    """A table longer by one field than the format's: a later version may have it."""
    made = made_files.dense([[1, 2]])

    class Later(schema.MetadataT):
        def Pack(self, builder):
            builder.StartObject(3)
            builder.PrependInt32Slot(2, 7, 0)
            return builder.EndObject()

    made.model.metadata = [Later()]
    path = saved(tmp_path, made.content())
    tflite_file.read(path)
    with pytest.raises(ValueError, match="saved.tflite: a Metadata table has a field in place 2 that the format"):
        tflite_bytes.account(path)


# --- parts that a file may have or leave out

class OldSignature(schema.SignatureDefT):
    """As converters of 2021 wrote it, with a tag that the format has dropped since."""
    def Pack(self, builder):
        tag = builder.CreateString("serve")
        builder.StartObject(5)
        builder.PrependUOffsetTRelativeSlot(3, tag, 0)
        return builder.EndObject()


class OldResize(schema.ResizeBilinearOptionsT):
    """As converters of 2018 wrote it, with the new size as options."""
    def Pack(self, builder):
        builder.StartObject(4)
        builder.PrependInt32Slot(0, 8, 0)
        builder.PrependInt32Slot(1, 8, 0)
        return builder.EndObject()


def with_custom_options():
    made = made_files.dense([[1, 2]])
    op = made.operator("CUSTOM", [1], [made.tensor()])
    made.model.operatorCodes[-1].customCode = "Mine"
    op.customOptions, op.mutatingVariableInputs = np.arange(11, dtype=np.uint8), [True]
    return made


def with_old_parts():
    made = made_files.dense([[1, 2]])
    made.model.signatureDefs = [OldSignature()]
    made.operator("RESIZE_BILINEAR", [1, 1], [made.tensor()])
    made.graph.operators[-1].builtinOptions, made.graph.operators[-1].builtinOptionsType = OldResize(), 15
    return made


def with_a_sparse_tensor():
    made = made_files.dense([[1, 2]])
    sparsity = made.graph.tensors[2].sparsity = schema.SparsityParametersT()
    sparsity.traversalOrder, sparsity.blockMap = np.int32([0, 1]), np.int32([])
    one = schema.DimensionMetadataT()
    one.format, one.denseSize, one.arraySegmentsType, one.arrayIndicesType = 1, 2, 1, 3
    one.arraySegments, one.arrayIndices = schema.Int32VectorT(), schema.Uint8VectorT()
    one.arraySegments.values, one.arrayIndices.values = np.int32([0, 1]), np.uint8([1])
    sparsity.dimMetadata = [one]
    return made


def with_quantization_details():
    made = made_files.dense([[1, 2]])
    quantization = made.graph.tensors[2].quantization = schema.QuantizationParametersT()
    quantization.min, quantization.max = np.float32([0]), np.float32([])
    quantization.detailsType, quantization.details = 1, schema.CustomQuantizationT()
    quantization.details.custom = np.uint8([1, 2, 3])
    return made


def without_much():
    """No names, no options, no bias, empty lists, content that is empty."""
    made = made_files.dense([[1, 2]], left_out=True, name=None)
    for tensor in made.graph.tensors:
        tensor.name = None
    made.graph.operators[0].builtinOptionsType, made.graph.operators[0].builtinOptions = 0, None
    made.model.description, made.model.metadata, made.model.signatureDefs = None, [], []
    made.model.buffers[0].data = np.uint8([])
    made.graph.tensors[made.tensor()].shape = np.int32([])
    return made


def with_two_graphs():
    made = made_files.dense([[1, 2]])
    made.another_graph()
    made.operator("FULLY_CONNECTED", [made.tensor(), made.tensor(data=[[5, 6]])], [made.tensor()])
    return made.ends([0], [2])


PARTS = [with_custom_options, with_old_parts, with_a_sparse_tensor, with_quantization_details, without_much,
         with_two_graphs]


@pytest.mark.parametrize("make", PARTS)
def test_optional_parts_are_read_and_accounted_for_to_the_byte(tmp_path, make):
    path = saved(tmp_path, make().content())
    assert tflite_bytes.account(path).total == path.stat().st_size
    graph = tflite_file.read(path)
    assert graph.operators[0].name == "FULLY_CONNECTED" and graph.tensors[2].data is not None


def test_what_optional_parts_are_for(tmp_path):
    def parts(make):
        return tflite_bytes.account(saved(tmp_path, make().content())).parts

    def plain():
        return made_files.dense([[1, 2]])

    # 4 bytes of length and the items of each vector; 4 bytes and a field for each table
    assert parts(with_two_graphs)["weights"] == parts(plain)["weights"] + 4 + 8
    assert parts(without_much)["names"] == 0
    assert parts(with_quantization_details)["quantization"] == (4 + 4 + 4 + 1 + 4) + (4 + 4) + 4 + (4 + 4) + (4 + 3)
    assert parts(with_a_sparse_tensor)["weights"] > parts(plain)["weights"] + 40


def test_content_behind_the_flatbuffer_is_read_and_accounted_for(tmp_path):
    """Large files keep their weights behind the flatbuffer, each at a multiple of 16."""
    made = made_files.dense([[1, 2], [3, 4]])
    weights = made.graph.tensors[2].buffer
    content = made.model.buffers[weights].data.tobytes()
    buffer = made.model.buffers[weights]
    buffer.data, buffer.offset, buffer.size = None, 1 << 20, len(content)
    buffer.offset = -(-len(made.content()) // 16) * 16                  # the place takes as many bytes whatever it is
    path = saved(tmp_path, made.content().ljust(buffer.offset, b"\0") + content)
    assert tflite_file.read(path).tensors[2].data.tolist() == [[1, 2], [3, 4]]
    account = tflite_bytes.account(path)
    assert (account.total, account.parts["weights"]) == (path.stat().st_size, 16)
    saved(tmp_path, path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="saved.tflite is not a sound TFLite file: buffer 1 lies beyond the end"):
        tflite_bytes.account(path)


def test_empty_buffer_tables_shared_as_one_are_accounted_for(tmp_path):
    """As older converters write them: two places of the list of buffers lead to one table."""
    content = bytearray(models.reference_file("sigmoid-2-3-1", "int8.tflite").read_bytes())
    model = schema.Model.GetRootAs(content, 0)
    at = model._tab.Vector(model._tab.Offset(12))
    first, second = [at + 4 * i for i in range(model.BuffersLength()) if model.Buffers(i).DataIsNone()][:2]
    tables = [place + struct.unpack_from("<I", content, place)[0] for place in (first, second)]
    for place in (first, second):
        struct.pack_into("<I", content, place, max(tables) - place)
    struct.pack_into("<I", content, min(tables), 0)                     # the other as if never written
    path = saved(tmp_path, content)
    before = tflite_bytes.account(models.reference_file("sigmoid-2-3-1", "int8.tflite")).parts
    after = tflite_bytes.account(path).parts
    assert sum(after.values()) == len(content)
    assert before["structure"] - after["structure"] == after["padding"] - before["padding"] == 4


def test_every_pointer_of_the_installed_format_is_followed_as_what_it_is():
    """What the schema's own readers do with a field tells whether it is a table, several, a string or a union."""
    for kind in [kind for kind, value in vars(schema).items() if hasattr(value, "GetRootAs")]:
        for field in tflite_format.fields_of(kind).values():
            reader = getattr(getattr(schema, kind), field.name, None)
            if field.size or reader is None:                            # a number, or a field of old files
                continue
            calls, key = reader.__code__.co_names, (kind, field.name)
            followed = ("tables" if key in tflite_format.TABLE_LISTS else "table" if key in tflite_format.TABLES else
                        "union" if key in tflite_format.UNIONS else "numbers" if field.item else "string")
            expected = ("string" if "String" in calls else "union" if "Union" in calls else
                        "numbers" if "Get" in calls else "tables" if "Vector" in calls else "table")
            assert followed == expected, key


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
