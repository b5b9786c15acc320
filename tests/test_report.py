"""`xorlab inspect` and `xorlab compare`: any file on any runtime, against the runtimes themselves."""
import graph_files
import made_files
import numpy as np
import pytest

from xorlab import models
from xorlab.integer import operators
from xorlab.integer.affine import Affine
from xorlab.integer.write import content_of
from xorlab.report import asked

LINE = Affine(0.05, 3)
INSTALLED = list(graph_files.FOLLOWS)


def saved(folder, content, name="net.tflite"):
    (folder / name).write_bytes(content)
    return folder / name


def adding(folder, shape=(1, 2, 3)):
    """Save a file with two int8 inputs, x0 and x1, added to y."""
    add = operators.Add(input=LINE, other=Affine(0.031, -7), output=Affine(0.07, 1), activation="NONE")
    return saved(folder, content_of(graph_files.alone(add, shape, shape)))


def mixed(folder):
    """Save a file with two inputs of other types and shapes, and two outputs, one without an axis of samples."""
    made = made_files.Maker()
    x, y = made.tensor("int8", (1, 3), name="codes", scale=0.1), made.tensor("float32", (5,), name="numbers")
    a, b = made.tensor("float32", (1, 3), name="real"), made.tensor("float32", (5,), name="positive")
    made.operator("DEQUANTIZE", [x], [a])
    made.operator("RELU", [y], [b])
    return saved(folder, made.ends([x, y], [a, b]).signature({"first": x, "second": y}, {"out": a}).content())


@pytest.mark.parametrize("runtime", INSTALLED)
@pytest.mark.parametrize("make", [adding, mixed])
def test_every_output_is_what_the_runtime_gives_call_by_call(tmp_path, make, runtime):
    file = asked.File.read(make(tmp_path))
    inputs = asked.inputs_of(file, samples=9)
    made = asked.ask(file, runtime, inputs.arrays)
    expected = graph_files.answers(file.content, runtime, inputs.arrays)
    assert made.reason == "" and len(made.outputs) == len(file.outputs) == len(expected)
    for port, ours, theirs in zip(file.outputs, made.outputs, expected, strict=True):
        assert ours.shape == (9, *port.made) and ours.dtype == port.dtype and np.array_equal(ours, theirs)


def test_a_file_with_state_starts_every_call_with_it_cleared(tmp_path):
    """A call's answer is the same whatever ran before it."""
    file = asked.File.read(saved(tmp_path, made_files.remembering().content()))
    x = np.float32([[[1, 2]], [[3, 4]], [[1, 2]]])
    for runtime in INSTALLED:
        assert asked.ask(file, runtime, (x,)).outputs[0].ravel().tolist() == [5, 11, 5]


def test_all_inputs_are_all_and_differ_where_there_are_few(tmp_path):
    file = asked.File.read(adding(tmp_path, (1, 1)))
    inputs = asked.inputs_of(file)
    assert inputs.every and inputs.words == "all 65,536 inputs" and [x.shape for x in inputs.arrays] == [
        (65536, 1, 1)] * 2
    pairs = np.concatenate([x.reshape(-1, 1) for x in inputs.arrays], axis=1)
    assert len(np.unique(pairs, axis=0)) == 65536 and pairs.min() == -128 and pairs.max() == 127


def test_a_sample_is_seeded_and_half_of_it_lies_around_the_middle(tmp_path):
    file = asked.File.read(adding(tmp_path))
    one, same, other = (asked.inputs_of(file, samples=2000, seed=seed) for seed in (1, 1, 2))
    for x, y, z in zip(one.arrays, same.arrays, other.arrays, strict=True):
        assert np.array_equal(x, y) and not np.array_equal(x, z)
        uniform, normal = np.float64(x[:1000]), np.float64(x[1000:])
        assert abs(uniform.std() - 73.9) < 2 and abs(normal.std() - 42.5) < 2 and abs(normal.mean() + 0.5) < 3
    assert not np.array_equal(*one.arrays)
    assert one.words == ("a sample of 2,000 inputs, seed 1: x0, x1 half uniform, half normal around the middle of its "
                         "range")


def test_a_float_input_that_is_quantized_first_is_drawn_from_its_range(tmp_path):
    graph = graph_files.alone(operators.Quantize(input=None, output=LINE), (1, 4))
    (x,) = asked.inputs_of(asked.File.read(saved(tmp_path, content_of(graph)))).arrays
    low, high = asked.real_range(LINE)
    assert (low, high) == (pytest.approx(-6.55), pytest.approx(6.2))
    assert x.dtype == np.float32 and low <= x[:500].min() < low + 0.1 and high - 0.1 < x[:500].max() <= high
    assert abs(x[500:].std() - (high - low) / 6) < 0.2


def test_an_input_of_whole_numbers_without_a_scale_is_not_guessed(tmp_path):
    made = made_files.Maker()
    x, y = made.tensor("int32", (1, 2), name="ids"), made.tensor(shape=(1, 2), name="y")
    made.operator("CAST", [x], [y])
    file = asked.File.read(saved(tmp_path, made.ends([x], [y]).content()))
    with pytest.raises(ValueError, match="input ids holds int32 without a scale, and nothing says which numbers"):
        asked.inputs_of(file)
    (given,) = asked.inputs_of(file, np.int32([[1, 2], [3, 4]])).arrays
    assert asked.ask(file, "reference", (given,)).outputs[0].tolist() == [[[1, 2]], [[3, 4]]]


def test_given_inputs_are_taken_as_they_are_by_tensor_or_signature_name(tmp_path):
    file, x, y = asked.File.read(mixed(tmp_path)), np.int8([[1, 2, 3], [4, 5, 6]]), np.ones((2, 5))
    np.savez(tmp_path / "x.npz", codes=x, second=y)
    inputs = asked.inputs_of(file, tmp_path / "x.npz")
    assert inputs.words == "2 given inputs"
    assert [(one.dtype.name, one.shape) for one in inputs.arrays] == [("int8", (2, 1, 3)), ("float32", (2, 5))]
    assert np.array_equal(inputs.arrays[0][:, 0], x)
    real = asked.inputs_of(file, {"first": np.float64([[0.1, 0.24, 90]]), "numbers": y[:1]}, quantize=True)
    assert real.arrays[0].tolist() == [[[1, 2, 127]]] and real.words == "1 given input; first quantized by its scale"


X, Y = np.zeros((2, 3), np.int8), np.zeros((2, 5), np.float32)


@pytest.mark.parametrize("given, says", [
    (X, "has 2 inputs, first (tensor codes), second (tensor numbers); give an X.npz with an array for each name"),
    ({"first": X}, "input second (tensor numbers) of .* needs one array, and none is given for it; there are first"),
    ({"first": X, "codes": X, "second": Y}, "two are given for it"),
    ({"first": X, "second": Y, "third": Y}, "has no input third; its inputs are first"),
    ({"first": X.astype(float), "second": Y}, r"takes int8 codes, got real numbers \(float64\); say that they are to"),
    ({"first": X.astype(int), "second": Y}, r"takes int8, got int64; convert it, e.g. with astype\('int8'\)"),
    ({"first": X, "second": Y.astype(int)}, "takes float32, got int64"),
    ({"first": X[:, :2], "second": Y}, r"takes shape \(n, 3\), got \(2, 2\)"),
    ({"first": X[:0], "second": Y}, r"takes shape \(n, 3\), got \(0, 3\)"),
    ({"first": X[:1], "second": Y}, "every input needs as many calls as the others, got 1 of first, 2 of second"),
    ({"first": X, "second": Y.ravel()[:7]}, r"takes shape \(n, 5\), got \(7,\)"),
    ({"first": X, "second": Y.ravel()}, r"takes shape \(n, 5\), got \(10,\)"),
    ("gone.npy", "no file with inputs at gone.npy"),
    (__file__, "holds no arrays that NumPy can read without running code"),
])
def test_inputs_that_do_not_fit_get_one_sentence(tmp_path, given, says):
    file = asked.File.read(mixed(tmp_path))
    with pytest.raises((ValueError, OSError), match=says.replace("(tensor ", r"\(tensor ").replace("s)", r"s\)")) as e:
        asked.inputs_of(file, given)
    assert len(str(e.value).splitlines()) == 1


@pytest.mark.parametrize("settings, says", [
    ({"samples": 0}, "samples must be a whole number from 1, got 0"), ({"seed": -1, "samples": 1}, "seed must be"),
    ({"given": X, "samples": 3}, "are not drawn"), ({"quantize": True}, "only inputs that are given are quantized")])
def test_settings_that_would_be_ignored_are_refused(tmp_path, settings, says):
    with pytest.raises(ValueError, match=says):
        asked.inputs_of(asked.File.read(adding(tmp_path)), **settings)


def test_a_runtime_that_cannot_run_a_file_says_why_in_one_sentence(tmp_path):
    file = asked.File.read(saved(tmp_path, made_files.depthwise_without_bias().content()))
    answers = {runtime: asked.ask(file, runtime) for runtime in INSTALLED}
    crashed = [answer for answer in answers.values() if answer.outputs is None]
    assert crashed and all("crashes" in answer.reason and len(answer.reason.splitlines()) == 1 for answer in crashed)
    assert [answer for answer in answers.values() if answer.outputs]
    with pytest.raises(ValueError, match="runtime must be one of"):
        asked.ask(file, "gpu")


def test_a_reference_net_gives_the_same_codes_as_its_predictor():
    from xorlab import predictors

    path = models.reference_file("relu-2-4-1", "int8.tflite")
    file = asked.File.read(path)
    (x,) = (inputs := asked.inputs_of(file)).arrays
    (out,) = asked.ask(file, "builtin", inputs.arrays).outputs
    assert np.array_equal(out.ravel(), predictors.from_tflite(path, "builtin").codes(x[:, 0]))
