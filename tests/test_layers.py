"""`xorlab layers`: what an int8 file loses of its float model, against NumPy on tensors had by another road."""
import doctest
import importlib

import numpy as np
import onnx
import pytest
from graph_files import FOLLOWS, alone, answers
from made_files import Maker, dense
from onnx import helper, numpy_helper

from xorlab import cli, models, report
from xorlab.integer import IntegerGraph
from xorlab.integer.affine import Affine
from xorlab.integer.graph import End, Node
from xorlab.integer.operators import Conv2D, Dequantize, FullyConnected, Quantize
from xorlab.integer.write import content_of

module = importlib.import_module("xorlab.report.layers")       # the package's own name for it is the function
INPUT = Affine(1 / 32, 0)
UNIT = Affine(1.0, 0)


def saved(path, content):
    path.write_bytes(content)
    return path


def onnx_of(path, nodes, constants, shape):
    """Save a float ONNX net that makes y of x.  constants : {name: array}."""
    real = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", real, shape)],
        [helper.make_tensor_value_info("y", real, None)],
        [numpy_helper.from_array(np.float32(data), name) for name, data in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return saved(path, model.SerializeToString())


def one_layer(folder, output=UNIT, activation="NONE", nodes=("Identity",), entry=UNIT):
    """Save a layer that passes on its two numbers, as int8 and as float nodes; return both paths."""
    op = FullyConnected(np.eye(2, dtype=np.int64), np.zeros(2, np.int64), np.float32([1]), entry, output, activation)
    ends = ["x", *(f"t{i}" for i in range(len(nodes) - 1)), "y"]
    made = [helper.make_node(kind, [a], [b]) for kind, a, b in zip(nodes, ends[:-1], ends[1:], strict=True)]
    return (saved(folder / "int8.tflite", content_of(alone(op, (1, 2)))),
            onnx_of(folder / "float.onnx", made, {}, ["n", 2]))


def chain(folder, narrow=None, coarse=None, layers=4, width=8):
    """Save a net of dense layers whose only errors are its codes', as int8 and as float32 ONNX.

    Every range is that of the data, but for one that is 0.4 times and one that is 10 times as wide.
    Returns (int8 path, ONNX path, inputs (200, width), what each layer makes of them in floats, the int8 content).
    """
    rng = np.random.default_rng(5)
    x = rng.uniform(-3.9, 3.9, (200, width)).astype(np.float32)
    line, made, floats, nodes, constants = INPUT, x.astype(np.float64), [], [], {}
    for i in range(layers):
        weights = rng.integers(-90, 91, (width, width))
        made = made @ (weights.T * 0.01)
        reach = np.abs(made).max() * (0.4 if i == narrow else 10 if i == coarse else 1)
        after = Affine(float(np.float32(reach / 127)), 0)
        op = FullyConnected(weights, np.zeros(width, np.int64), np.float32([0.01]), line, after)
        nodes.append(Node(op, (i,), i + 1, f"layer {i}", (1, width)))
        floats.append(made)
        line, constants[f"w{i}"] = after, weights.T * 0.01
    graph = IntegerGraph(tuple(nodes), (End(0, "x", (1, width), INPUT),), (End(layers, "y", (1, width), line),))
    names = ["x", *(f"float {i}" for i in range(layers - 1)), "y"]
    matmuls = [helper.make_node("MatMul", [names[i], f"w{i}"], [names[i + 1]]) for i in range(layers)]
    content = content_of(graph, expose=True)
    return (saved(folder / "int8.tflite", content_of(graph)),
            onnx_of(folder / "float.onnx", matmuls, constants, ["n", width]), x, floats, (content, graph))


# the numbers

def test_by_hand(tmp_path):
    """1.2, -2, 130, 3 by codes of step 1 are 1, -2, 127, 3: errors -0.2, 0, -3, 0, and 130 is beyond 127.5."""
    paths = one_layer(tmp_path)
    made = report.layers(*paths, np.float32([[1.2, -2], [130, 3]]))
    for one in made.layers:                                 # the layer passes on what the input has
        assert one.sqnr == pytest.approx(32.7207, abs=1e-3)         # 10 log10(16914.44 / 9.04)
        assert one.clipped == 0.25 and one.clipped_noise == pytest.approx(9 / 9.04, abs=1e-5)
        assert one.error == pytest.approx(-0.8, abs=1e-6)
        assert one.codes == 4 and one.of_codes == 256
        assert one.line == (-128, 127) and one.data == (-2, 130)
    assert [one.lost for one in made.layers] == [None, 0] and made.worst is None
    coarser = report.layers(*one_layer(tmp_path, Affine(0.75, 0)), np.float32([[1.2, -2]])).layers[1]
    assert coarser.sqnr == pytest.approx(13.1245, abs=1e-3)         # 1 and -2 become 0.75 and -2.25: 5.44 / 0.265
    assert coarser.lost == pytest.approx(21.3354 - 13.1245, abs=1e-3)       # the input: 5.44 / 0.04
    assert coarser.error == pytest.approx(-0.35, abs=1e-6)


def test_an_input_without_error_counts_as_rounded_at_random(tmp_path):
    """5 / (2 / 12) = 30 before, and 5 / 0.125 = 40 behind, a layer of step 0.75 and numbers 1 and 2."""
    made = report.layers(*one_layer(tmp_path, Affine(0.75, 0)), np.float32([[1, 2]])).layers
    assert made[0].sqnr == np.inf
    assert made[1].sqnr == pytest.approx(10 * np.log10(40)) and made[1].lost == pytest.approx(10 * np.log10(30 / 40))


@pytest.mark.parametrize("nodes", [("Relu",), ("Identity",)])
def test_what_a_fused_relu_cuts_off_is_not_clipped(nodes, tmp_path):
    """Even where the float model has only what goes into the ReLU."""
    x = np.float32(np.r_[np.linspace(0, 120, 38), -4, -8].reshape(20, 2))
    relu = report.layers(*one_layer(tmp_path, Affine(1.0, -128), "RELU", nodes), x).layers[1]
    assert relu.clipped == 0 and relu.partner == "y"
    plain = report.layers(*one_layer(tmp_path, Affine(1.0, -128), "NONE", ("Identity",)), x).layers[1]
    assert plain.clipped == 2 / 40


@pytest.mark.parametrize("fault", [{}, {"narrow": 1}, {"coarse": 2}, {"coarse": 0, "narrow": 2}])
def test_every_layer_has_the_numbers_that_numpy_gives(fault, tmp_path):
    path, model, x, floats, (content, graph) = chain(tmp_path, **fault)
    found = report.layers(path, model, x)
    theirs = answers(content, "reference", [INPUT.quantize(x)[:, None]])
    before = 10 * np.log10((x**2.0).sum() / ((INPUT.dequantize(INPUT.quantize(x)) - x.astype(float)) ** 2).sum())
    assert found.layers[0].sqnr == pytest.approx(before, abs=1e-3)
    for one, node, f, codes in zip(found.layers[1:], graph.nodes, floats, theirs, strict=True):
        codes = codes.reshape(f.shape)
        error, line = node.operator.output.dequantize(codes) - f, node.operator.output
        assert one.sqnr == pytest.approx(10 * np.log10((f**2).sum() / (error**2).sum()), abs=1e-3)
        assert one.lost == pytest.approx(before - one.sqnr, abs=1e-6)
        assert one.error == pytest.approx(error.mean(), abs=1e-4)
        assert one.clipped == (((codes == 127) & (f > 127.5 * line.scale))
                               | ((codes == -128) & (f < -128.5 * line.scale))).mean()
        assert one.codes == len(np.unique(codes))
        assert one.data == pytest.approx((f.min(), f.max()), rel=1e-5)
        before = one.sqnr
    assert [one.partner for one in found.layers] == ["its input", "float 0", "float 1", "float 2", "y"]


def test_pieces_add_up_to_the_whole(tmp_path, monkeypatch):
    path, model, x, *_ = chain(tmp_path, narrow=1)
    whole = str(report.layers(path, model, x))
    monkeypatch.setattr(importlib.import_module("xorlab.report.inner"), "BYTES_AT_ONCE", 1)
    assert str(report.layers(path, model, x)) == whole


# the guilty layer, and its partner

@pytest.mark.parametrize("fault, words", [
    ({"narrow": 1}, ("in operator 1 FULLY_CONNECTED", "Its range is too narrow for these data")),
    ({"coarse": 2}, ("in operator 2 FULLY_CONNECTED", "Its scale is coarse for these data: they take up 9.46 %")),
    ({"coarse": 0, "narrow": 2}, ("in operator 0 FULLY_CONNECTED", "Its scale is coarse",
                                  "Operator 2 FULLY_CONNECTED loses", "Its range is too narrow"))])
def test_the_command_names_the_layer_at_fault(fault, words, tmp_path, capsys):
    path, model, x, *_ = chain(tmp_path, **fault)
    np.save(tmp_path / "x.npy", x)
    page = tmp_path / "out.html"
    assert cli.main(list(map(str, ("layers", path, "--float", model, "--inputs", tmp_path / "x.npy", "--html",
                                   page)))) == 0
    said = " ".join(capsys.readouterr().out.split())
    places = [said.index(one) for one in words]
    assert places == sorted(places) and words[0] in page.read_text("utf-8")


def test_a_net_without_a_fault_is_told_so(tmp_path):
    path, model, x, *_ = chain(tmp_path)
    assert "Its range fits these data" in str(report.layers(path, model, x))


@pytest.mark.parametrize("name", models.reference_names())
@pytest.mark.parametrize("form", ["float32.tflite", "model.onnx"])
def test_reference_nets_match_whole(name, form):
    made = report.layers(models.reference_file(name, "int8.tflite"), models.reference_file(name, form), samples=100)
    assert all(one.partner for one in made.layers) and len(made.layers) in (6, 7)
    for one, word in zip((one for one in made.layers if one.kind in ("FULLY_CONNECTED", "LOGISTIC")),
                         {"sigmoid": ("hidden", "squash", "output", "output")}.get(
                             name.split("-")[0], ("squash", "output", "output")), strict=True):
        assert form != "model.onnx" or word in one.partner
    assert made.outputs[0].sqnr > 30
    assert made.layers[0].sqnr < 70         # inputs that are drawn are no codes


def test_a_range_calibrated_on_other_data_is_found():
    made = report.layers(models.reference_file("sigmoid-2-3-1", "int8-middle.tflite"),
                         models.reference_file("sigmoid-2-3-1", "model.onnx"), samples=300)
    assert made.worst.kind == "FULLY_CONNECTED" and made.worst.clipped_noise > 0.9


def test_a_layer_that_the_float_model_lacks_has_no_partner(tmp_path):
    """Its loss is told with that of the next operator; the float model does both in one."""
    path, model, x, floats, _ = chain(tmp_path, coarse=1)
    both = np.linalg.lstsq(floats[0], floats[2], rcond=None)[0]
    nodes = [helper.make_node("MatMul", [a, w], [b]) for a, w, b in (
        ("x", "w0", "float 0"), ("float 0", "w", "float 2"), ("float 2", "w3", "y"))]
    there = {one.name: numpy_helper.to_array(one) for one in onnx.load(model).graph.initializer}
    fused = onnx_of(tmp_path / "fused.onnx", nodes, {"w0": there["w0"], "w": both, "w3": there["w3"]}, ["n", 8])
    found = report.layers(path, fused, x)
    assert [one.partner for one in found.layers] == ["its input", "float 0", None, "float 2", "y"]
    assert found.worst.operator == 2 and found.worst.through == (1,)
    said = " ".join(str(found).split())
    assert "no float tensor matches" in said and "What operator 1 before it loses is part of that" in said


@pytest.mark.parametrize("seed", range(4))
def test_a_sum_without_its_bias_is_no_partner(seed, tmp_path):
    """Of one unit both correlate in full; the bias tells them apart, whichever the float model makes first."""
    op = FullyConnected(np.int64([[1, 2]]), np.int64([40]), np.float32([1]), UNIT, Affine(2.0, 0))
    path = saved(tmp_path / "int8.tflite", content_of(alone(op, (1, 2))))
    nodes = [helper.make_node("MatMul", ["x", "w"], ["sum"]), helper.make_node("Add", ["sum", "b"], ["y"]),
             helper.make_node("Sub", ["y", "b"], ["again"])]
    model = onnx_of(tmp_path / "float.onnx", nodes, {"w": [[1], [2]], "b": [40]}, ["n", 2])
    made = report.layers(path, model, np.random.default_rng(seed).normal(0, 20, (50, 2)))
    assert made.outputs[0].partner == "y" and made.outputs[0].sqnr > 30


@pytest.mark.parametrize("weights, words", [
    ([[1, 1], [0, 0]], "the best correlation is 0.5"), ([[5, 0], [0, 5]], "the best correlation is 1.00"),
    ([[3, 0], [0, 3]], ""), (np.ones((2, 3)), "none has its shape")])
def test_a_partner_correlates_and_is_of_the_same_size(weights, words, tmp_path):
    path, _ = one_layer(tmp_path)
    model = onnx_of(tmp_path / "float.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": weights}, ["n", 2])
    x = np.random.default_rng(0).normal(0, 20, (500, 2))
    if words:
        with pytest.raises(ValueError, match=f"matches no tensor .*{words}"):
            report.layers(path, model, x)
    else:
        assert report.layers(path, model, x).outputs[0].partner == "y"


def test_a_file_of_float_ends_has_its_codes_compared_with_the_float_input(tmp_path):
    op = FullyConnected(np.eye(2, dtype=np.int64), np.zeros(2, np.int64), np.float32([1]), UNIT, Affine(0.75, 0))
    nodes = [Node(one, (i,), i + 1, f"t{i}", (1, 2)) for i, one in enumerate(
        (Quantize(None, UNIT), op, Dequantize(op.output, None)))]
    ends = [End(i, f"t{i}", (1, 2), None) for i in (0, 3)]
    path = saved(tmp_path / "ends.tflite", content_of(IntegerGraph(tuple(nodes), tuple(ends[:1]), tuple(ends[1:]))))
    made = report.layers(path, one_layer(tmp_path)[1], np.float32([[1.2, -2]]))
    assert [one.partner for one in made.layers] == ["its input", "its input", "y", "y"]
    assert [one.sqnr for one in made.layers] == pytest.approx([np.inf, 21.3354, 13.1245, 13.1245], abs=1e-3)
    assert [one.lost for one in made.layers] == [None, None, pytest.approx(8.2109, abs=1e-3), 0]
    assert "-" in made.ranges().rows[0] and str(made)
    assert report.layers(path, one_layer(tmp_path)[1], samples=50).worst.operator == 1


@pytest.mark.parametrize("channels_first", [True, False])
def test_an_onnx_net_with_channels_first_is_compared_with_channels_last(channels_first, tmp_path):
    rng = np.random.default_rng(2)
    weights = rng.integers(-50, 51, (4, 2, 3, 2))                   # units, height, width, channels
    op = Conv2D(weights, np.zeros(4, np.int64), np.float32([0.01]), INPUT, Affine(0.08, 0))
    path = saved(tmp_path / "int8.tflite", content_of(alone(op, (1, 5, 6, 2))))
    turned = [] if channels_first else [helper.make_node("Transpose", ["x"], ["turned"], perm=[0, 3, 1, 2]),
                                        helper.make_node("Transpose", ["z"], ["y"], perm=[0, 2, 3, 1])]
    conv = helper.make_node("Conv", ["x" if channels_first else "turned", "w"], ["y" if channels_first else "z"])
    model = onnx_of(tmp_path / "float.onnx", [*turned[:1], conv, *turned[1:]],
                    {"w": weights.transpose(0, 3, 1, 2) * 0.01}, ["n", 2, 5, 6] if channels_first else [1, 5, 6, 2])
    x = rng.uniform(-3.9, 3.9, (20, 5, 6, 2))
    made = report.layers(path, model, x)
    assert made.outputs[0].partner == "y" and made.outputs[0].sqnr > 30


def test_a_keras_model_has_the_numbers_of_its_onnx_twin(tmp_path):
    import keras

    path, model, x, *_ = chain(tmp_path, narrow=1)
    twin = keras.Sequential([keras.Input((8,)), *(keras.layers.Dense(8, use_bias=False) for _ in range(4))])
    twin.set_weights([numpy_helper.to_array(one) for one in onnx.load(model).graph.initializer])
    twin.save(tmp_path / "float.keras")
    ours, theirs = (report.layers(path, one, x).layers for one in (tmp_path / "float.keras", model))
    assert [one.sqnr for one in ours] == pytest.approx([one.sqnr for one in theirs], abs=1e-3)
    assert [one.partner for one in ours[1:]] == [layer.name for layer in twin.layers]


@pytest.mark.parametrize("runtime", FOLLOWS)
def test_any_runtime_may_be_asked(runtime, tmp_path):
    path, model, x, *_ = chain(tmp_path, narrow=1)
    assert report.layers(path, model, x, runtime=runtime).worst.operator == 1


def test_names_from_files_are_escaped(tmp_path):
    """The other output is -x, so the partner is the one with the name."""
    op = FullyConnected(np.eye(2, dtype=np.int64), np.zeros(2, np.int64), np.float32([1]), UNIT, UNIT)
    path = saved(tmp_path / "int8.tflite", content_of(alone(op, (1, 2))))
    nodes = [helper.make_node("Identity", ["x"], ["<script>"]), helper.make_node("Neg", ["x"], ["y"])]
    page = report.layers(path, onnx_of(tmp_path / "float.onnx", nodes, {}, ["n", 2]), samples=20).page()
    assert "<script>" not in page and "&lt;script&gt;" in page


# bad input

def files_of(folder):
    """Return {name: path} of files that are given where they must not be."""
    two = Maker()
    a, b, y = (two.tensor("int8", name=name, scale=0.1) for name in "aby")
    two.operator("ADD", [a, b], [y], "AddOptions")
    place = Maker()
    x, y = place.tensor("int8", (1, 8), name="x", scale=0.1), place.tensor("int32", (1,), name="place")
    place.operator("ARG_MAX", [x, place.tensor("int32", data=[1])], [y], "ArgMaxOptions", outputType=2)
    path, model, *_ = chain(folder)
    other = onnx_of(folder / "other.onnx", [helper.make_node("Sin", ["t"], ["y"]), helper.make_node(
        "Mul", ["x", "k"], ["t"])], {"k": [50]}, ["n", 8])
    there = {"int8": path, "onnx": model, "random": other,
             "two": saved(folder / "two.tflite", two.ends([a, b], [y]).content()),
             "place": saved(folder / "place.tflite", place.ends([x], [y]).content()),
             "wide": saved(folder / "wide.tflite", dense(np.eye(3)).content()),
             "bad_onnx": saved(folder / "bad.onnx", b"no model"), "bad_keras": saved(folder / "bad.keras", b"no model"),
             "pth": saved(folder / "net.pth", b""), "gone": folder / "gone.onnx"}
    for name, x in (("nan", [[np.nan] * 8]), ("codes", np.zeros((3, 8), np.int8)), ("shape", np.zeros((3, 5)))):
        np.save(folder / f"{name}.npy", x)
        there[name] = folder / f"{name}.npy"
    return there


@pytest.mark.parametrize("file, model, more, words", [
    ("int8", "random", (), "matches no tensor of"), ("int8", "int8", (), "is no float model"),
    ("two", "onnx", (), "has 2 inputs"), ("int8", "wide", (), "takes inputs of shape (1, 3)"),
    ("int8", "bad_onnx", (), "ONNX Runtime can run"), ("int8", "bad_keras", (), "Keras can run"),
    ("place", "onnx", (), "holds INT32 without a scale"),
    ("int8", "pth", (), "must be a .tflite, .onnx or .keras file"), ("int8", "gone", (), "gone.onnx"),
    ("gone", "onnx", (), "gone.onnx"), ("onnx", "onnx", (), "float.onnx"),
    ("int8", "onnx", ("--inputs", "nan"), "finite"), ("int8", "onnx", ("--inputs", "codes"), "takes float32, got int8"),
    ("int8", "onnx", ("--inputs", "shape"), "takes shape"), ("int8", "onnx", ("--samples", "0"), "samples"),
    ("int8", "onnx", ("--inputs", "nan", "--seed", "1"), "not drawn")])
def test_bad_input_is_one_sentence_and_status_2(file, model, more, words, tmp_path, capsys):
    there = files_of(tmp_path)
    arguments = ["layers", there[file], "--float", there[model], *(there.get(one, one) for one in more)]
    assert cli.main(list(map(str, arguments))) == 2
    said = capsys.readouterr()
    assert words in said.err and len(said.err.strip().splitlines()) == 1 and not said.out


def test_examples_in_docstrings_run():
    done = doctest.testmod(module)
    assert done.attempted and not done.failed
