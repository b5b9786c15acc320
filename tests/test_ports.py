"""The ends of a model: each kind is answered rightly or refused by name, on every runtime."""
import importlib.util
from dataclasses import replace

import made_files
import numpy as np
import onnx
import pytest

from xorlab import data, models, ports, predictors, tflite_file
from xorlab.runtimes import RUNTIMES

ON_TFLM = importlib.util.find_spec("tflite_micro") is not None
HERE = [r if r != "tflm" or ON_TFLM else pytest.param(r, marks=pytest.mark.skip(reason="no TFLite Micro here"))
        for r in RUNTIMES]
FLOAT_ENDS = models.reference_file("sigmoid-2-3-1", "float_fallback.tflite")
X = np.float32([[1, -2], [3, 4], [-5, 6], [0.5, 1], [2, 2], [-1, 8]])


@pytest.fixture
def saved(tmp_path):
    """A function that saves a made file, or an object of one, and returns its path."""
    def save(made, name="made.tflite"):
        path = tmp_path / name
        path.write_bytes(made.content() if isinstance(made, made_files.Maker) else tflite_file.packed(made))
        return path

    return save


# --- several inputs and outputs

def two_outputs():
    made = made_files.dense([[1, 2], [3, 4]])
    z = made.tensor(name="Identity:1", free=True)
    made.operator("RELU", [1], [z])
    return made.ends([0], [z, 1]).signature({"x": 0}, {"positive": z, "any": 1})


@pytest.mark.parametrize("runtime", HERE)
def test_a_file_with_two_outputs_answers_with_the_one_that_is_chosen(saved, runtime):
    path = saved(two_outputs())
    expected = X @ np.float32([[1, 3], [2, 4]])
    assert np.array_equal(predictors.from_tflite(path, runtime, output="any")(X), expected)
    for name in ("positive", "Identity:1"):             # as the signature calls it, and as the tensor is called
        assert np.array_equal(predictors.from_tflite(path, runtime, output=name)(X), np.maximum(expected, 0))
    with pytest.raises(ValueError, match=r"has 2 outputs: positive \(tensor Identity:1\), any \(tensor y\); choose "
                                         "one, e.g. output='positive'"):
        predictors.from_tflite(path, runtime)
    with pytest.raises(ValueError, match="none is called 'xor'"):
        predictors.from_tflite(path, runtime, output="xor")


@pytest.mark.parametrize("runtime", HERE)
def test_a_file_with_two_inputs_is_refused_by_their_names(saved, runtime):
    made = made_files.Maker()
    a, b, c = (made.tensor(name=name) for name in "abc")
    made.operator("ADD", [a, b], [c], "AddOptions")
    with pytest.raises(ValueError, match="made.tflite has 2 inputs: a, b; a predictor has one; join them"):
        predictors.from_tflite(saved(made.ends([a, b], [c])), runtime)
    with pytest.raises(ValueError, match="made.tflite has no inputs; a predictor has one"):
        predictors.from_tflite(saved(made.ends([], [c])), runtime)


# --- kinds of ends

def with_ends_cut(entry, exit_):
    """The float_fallback file, of float ends around int8, with the int8 tensors behind one or both as its ends."""
    model = tflite_file.unpacked(FLOAT_ENDS.read_bytes())
    graph = model.subgraphs[0]
    names = [op.name for op in tflite_file.read(FLOAT_ENDS).operators]
    first, last = names.index("QUANTIZE"), len(names) - 1
    assert names[last] == "DEQUANTIZE"
    drop = [graph.operators[at] for at, cut in ((first, entry), (last, exit_)) if cut]
    if entry:
        graph.inputs = graph.operators[first].outputs
    if exit_:
        graph.outputs = graph.operators[last].inputs
    graph.operators = [op for op in graph.operators if not any(op is one for one in drop)]
    model.signatureDefs = None
    return model


@pytest.mark.parametrize("runtime", HERE)
@pytest.mark.parametrize("cut", [(True, False), (False, True), (True, True)])
def test_one_integer_end_gives_the_answers_of_the_whole_file(saved, runtime, cut):
    whole = predictors.from_tflite(FLOAT_ENDS, runtime)
    part = predictors.from_tflite(saved(with_ends_cut(*cut)), runtime)
    x = data.dense(200, seed=5)[0]
    assert np.ptp(whole(x)) > 0.5, "the answers must differ"
    assert np.array_equal(part(x), whole(x))
    assert isinstance(part, predictors.QuantizedPredictor) == (cut == (True, True))


@pytest.mark.parametrize("runtime", HERE)
def test_the_number_of_a_class_is_a_number_and_ids_must_be_whole(saved, runtime):
    made = made_files.Maker()
    x, axis = made.tensor(shape=(1, 3), name="x"), made.tensor("int32", data=[1])
    made.operator("ARG_MAX", [x, axis], [made.tensor("int32", (1,), name="best")], "ArgMaxOptions", outputType=2)
    p = predictors.from_tflite(saved(made.ends([x], [2])), runtime)
    scores = np.float32([[1, 3, 2], [0, -1, -2], [5, 6, 7]])
    assert p(scores).tolist() == [1, 0, 2] and not hasattr(p, "codes")

    made = made_files.Maker()
    ids, out = made.tensor("int32", (1, 2), name="ids"), made.tensor(name="out")
    made.operator("CAST", [ids], [out], "CastOptions", inDataType=2, outDataType=0)
    p = predictors.from_tflite(saved(made.ends([ids], [out])), runtime)
    assert p([[7, -2], [40_000, 0]]).tolist() == [[7, -2], [40_000, 0]]
    with pytest.raises(ValueError, match="input ids has no scale and takes whole numbers .*got 0.5"):
        p([[7, 0.5]])
    with pytest.raises(ValueError, match="got 3e[+]09"):
        p([[7, 3e9]])


@pytest.mark.parametrize("runtime", ["reference", *(["tflm"] if ON_TFLM else [])])
@pytest.mark.parametrize("change, says", [
    (lambda t: setattr(t, "type", 5), "input x holds STRING, and a predictor takes and gives numbers"),
    (lambda t: setattr(t, "shape", np.int32([2])), r"input x has shape \(2,\), without an axis for samples"),
    (lambda t: setattr(t.quantization, "scale", np.float32([0])), "input x stands for no real numbers: scale must be"),
    (lambda t: setattr(t.quantization, "zeroPoint", np.int64([300])), "input x stands for no real numbers: zero_point"),
    (lambda t: (setattr(t.quantization, "scale", np.float32([1, 2])),
                setattr(t.quantization, "zeroPoint", np.int64([0, 0]))), "input x has 2 scales, and an end has one"),
    (lambda t: setattr(t, "type", 4), "input x has a scale and holds int64"),
    (lambda t: setattr(t, "shape", np.int32([0, 2])), "input x was made for a batch of 0 samples")])
def test_ends_that_mean_no_real_numbers_are_refused_by_name(saved, runtime, change, says):
    made = made_files.Maker()
    x, y = (made.tensor("int8", name=name, scale=0.5) for name in "xy")
    made.operator("RELU", [x], [y])
    change(made.graph.tensors[0])
    with pytest.raises(ValueError, match=f"made.tflite: {says}"):
        predictors.from_tflite(saved(made.ends([x], [y])), runtime)


# --- batches

@pytest.mark.parametrize("runtime", HERE)
def test_a_file_for_four_samples_runs_in_fours_the_last_filled_up(saved, runtime):
    made = made_files.Maker()
    x, axis = made.tensor(shape=(4, 2), name="x"), made.tensor("int32", data=[0])
    total, y = made.tensor(shape=(1, 2)), made.tensor(shape=(4, 2), name="y")
    made.operator("SUM", [x, axis], [total], "ReducerOptions", keepDims=True)
    made.operator("ADD", [x, total], [y], "AddOptions")
    p = predictors.from_tflite(saved(made.ends([x], [y])), runtime)
    groups = X[:4], X[[4, 5, 5, 5]]                     # six samples: every answer depends on its group
    expected = np.concatenate([group + group.sum(0) for group in groups])[:6]
    np.testing.assert_allclose(p(X), expected, rtol=1e-6)


@pytest.mark.parametrize("runtime", HERE)
def test_a_file_for_one_sample_is_never_given_more(saved, runtime):
    """A RESHAPE to (1, 2) would refuse, or mix, a larger batch."""
    made = made_files.Maker()
    x, y, shape = made.tensor(name="x"), made.tensor(shape=(2,), name="y"), made.tensor("int32", data=[2])
    made.operator("RESHAPE", [x, shape], [y], "ReshapeOptions", newShape=[2])
    assert np.array_equal(predictors.from_tflite(saved(made.ends([x], [y])), runtime)(X), X)


@pytest.mark.parametrize("runtime", HERE)
def test_an_output_without_a_row_for_each_sample_is_refused_by_name(saved, runtime):
    made = made_files.Maker()
    x, axis, y = made.tensor(shape=(4, 2), name="x"), made.tensor("int32", data=[0]), made.tensor(shape=(2,), name="y")
    made.operator("SUM", [x, axis], [y], "ReducerOptions")
    with pytest.raises(ValueError, match=r"input x takes 4 samples and output y has shape \(2,\)"):
        predictors.from_tflite(saved(made.ends([x], [y])), runtime)
    wide = made_files.relu((1, 3, 3, 2))
    with pytest.raises(ValueError, match=r"output y has shape \(1, 3, 3, 2\); a predictor answers with a number, or a"):
        predictors.from_tflite(saved(wide), runtime)
    wide.graph.tensors[1].shape = np.int32([1, 2])      # the file may be wrong about it: LiteRT finds out by running
    with pytest.raises(ValueError, match="output y came out with shape|operator RELU makes tensor y of shape"):
        predictors.from_tflite(saved(wide), runtime)(np.ones((1, 3, 3, 2)))


@pytest.mark.parametrize("runtime", HERE)
def test_an_input_of_any_length_takes_any_where_the_runtime_can(saved, runtime):
    made = made_files.Maker()
    x, axis, y = made.tensor(shape=(1, 1, 1), name="x"), made.tensor("int32", data=[1]), made.tensor(shape=(1, 1))
    made.operator("SUM", [x, axis], [y], "ReducerOptions")
    made.graph.tensors[x].shapeSignature = np.int32([-1, -1, 1])
    p = predictors.from_tflite(saved(made.ends([x], [y])), runtime)
    if runtime == "tflm":                               # it plans for the one length in the file
        with pytest.raises(ValueError, match=r"takes inputs of shape \(n, 1, 1\), got \(2, 3, 1\)"):
            p(X.reshape(2, 3, 2)[:, :, :1])
    else:
        assert p(X.reshape(2, 3, 2)[:, :, :1]).tolist() == [-1, 1.5]
        with pytest.raises(ValueError, match=r"takes inputs of shape \(n, any, 1\), got \(2, 3, 2\)"):
            p(X.reshape(2, 3, 2))


# --- state

@pytest.mark.parametrize("runtime", HERE)
def test_state_is_cleared_before_each_sample(saved, runtime):
    p = predictors.from_tflite(saved(made_files.remembering()), runtime)
    expected = X @ np.float32([1, 2])
    for x, answers in ((X, expected), (X[::-1], expected[::-1]), (X[:1], expected[:1])):
        assert np.array_equal(p(x), answers)
    assert tflite_file.read(saved(made_files.remembering())).state == ("memory",)


def test_a_custom_operator_may_keep_state_and_is_cleared():
    graph = tflite_file.read(models.reference_file("relu-2-4-1", "int8.tflite"))
    first, *others = graph.operators
    custom = replace(graph, operators=(replace(first, name="CUSTOM SignalWindow"), *others))
    resets = [[ports.plan_of(one, "reference", "net")[2].reset, ports.plan_of_calls(one, "reference", "net").reset]
              for one in (graph, custom, replace(graph, others=(custom,)))]
    assert resets == [[False] * 2, [True] * 2, [True] * 2]


@pytest.mark.parametrize("runtime", HERE)
def test_state_that_no_runtime_clears_and_several_programs_are_refused(saved, runtime):
    made = made_files.relu((1, 2))
    made.operator("VAR_HANDLE", [], [made.tensor("int32", (1,))], "VarHandleOptions")
    with pytest.raises(ValueError, match=r"keeps state outside its tensors \(operator VAR_HANDLE\)"):
        predictors.from_tflite(saved(made), runtime)
    made = made_files.relu((1, 2)).signature({"x": 0}, {"y": 1}, "encode").signature({"x": 0}, {"y": 1}, "decode", 1)
    made.another_graph()
    made.ends([made.tensor(name="x")], [made.tensor(name="y")])
    made.operator("RELU", [0], [1])
    with pytest.raises(ValueError, match=r"holds 2 programs \(encode, decode\), and a predictor runs one"):
        predictors.from_tflite(saved(made), runtime)


# --- a runtime's own words

@pytest.mark.skipif(not ON_TFLM, reason="no TFLite Micro here")
def test_tflite_micros_own_words_are_quoted_with_the_operator(saved):
    with pytest.raises(ValueError, match=r"is not a model that TFLite Micro can run: .*dequantize_common.cc:\d+ "
                                         r"input->type == .* was not true.; Node DEQUANTIZE \(number 0\) failed"):
        predictors.from_tflite(models.reference_file("sigmoid-2-3-1", "float16.tflite"), "tflm")
    made = made_files.relu((1, 2))
    made.model.operatorCodes[0].builtinCode = 158
    with pytest.raises(ValueError, match="TFLite Micro can run: Didn't find op for builtin opcode 'SIGN'"):
        predictors.from_tflite(saved(made), "tflm")


def test_litert_own_words_are_quoted(saved):
    made = made_files.dense([[1, 2], [3, 4]])
    made.graph.tensors[1].type = 2                      # an int32 output of floats
    for runtime in predictors.LITERT_KERNELS:
        with pytest.raises(ValueError, match=rf"made.tflite is not a model that LiteRT \({runtime}\) can run: \S"):
            predictors.from_tflite(saved(made), runtime)


@pytest.mark.skipif(not ON_TFLM, reason="no TFLite Micro here")
def test_what_litert_refuses_still_runs_on_tflite_micro(saved):
    """A custom operator of TFLite Micro's own: the sum of squares of pairs."""
    made = made_files.Maker()
    x, flat, y = made.tensor("int16", (1, 4), name="x"), made.tensor("int16", (4,)), made.tensor("uint32", (2,))
    made.operator("RESHAPE", [x, made.tensor("int32", data=[4])], [flat])
    op = made.operator("CUSTOM", [flat], [y])
    made.model.operatorCodes[1].customCode = "SignalEnergy"
    op.customOptions = np.frombuffer(made_files.flexible_map(start_index=0, end_index=2), np.uint8)
    path = saved(made.ends([x], [y]))
    assert predictors.from_tflite(path, "tflm")([[3, 4, -5, 12], [1, 1, 0, 2]]).tolist() == [[25, 169], [2, 4]]
    for runtime in predictors.LITERT_KERNELS:
        with pytest.raises(ValueError, match="can run: Encountered unresolved custom op: SignalEnergy"):
            predictors.from_tflite(path, runtime)


@pytest.mark.skipif(not ON_TFLM, reason="no TFLite Micro here")
def test_tflite_micro_is_given_more_memory_until_it_has_enough(saved):
    wide = made_files.Maker()                           # 2 x 4 MB of tensors in a file of a few hundred bytes
    x, axis, y = wide.tensor(shape=(1, 1 << 20), name="x"), wide.tensor("int32", data=[1]), wide.tensor(shape=(1,))
    middle = wide.tensor(shape=(1, 1 << 20))
    wide.operator("RELU", [x], [middle])
    wide.operator("SUM", [middle, axis], [y], "ReducerOptions")
    path = saved(wide.ends([x], [y]))
    p = predictors.from_tflite(path, "tflm")
    assert p(np.ones((1, 1 << 20))) == 1 << 20
    assert 8 << 20 < ports.arena_of(path) < 9 << 20


# --- ONNX and Keras

def onnx_file(tmp_path, text, name="made.onnx"):
    onnx.save(onnx.helper.make_model(onnx.parser.parse_graph(text), ir_version=8,
                                     opset_imports=[onnx.helper.make_opsetid("", 17)]), tmp_path / name)
    return tmp_path / name


def test_an_onnx_file_with_two_outputs_answers_with_the_one_that_is_chosen(tmp_path):
    path = onnx_file(tmp_path, "two (float[N, 2] a) => (float[N, 2] b, float[N, 2] c) { b = Neg(a) c = Abs(a) }")
    assert np.array_equal(predictors.from_onnx(path, output="c")(X), abs(X))
    with pytest.raises(ValueError, match="made.onnx has 2 outputs: b, c; choose one, e.g. output='b'"):
        predictors.from_onnx(path)


def test_onnx_integers_fixed_batches_and_free_lengths(tmp_path):
    ids = onnx_file(tmp_path, "ids (int64[N, 2] a) => (int64[N, 2] b) { b = Abs(a) }")
    assert predictors.from_onnx(ids)([[7, -2]]).tolist() == [[7, 2]]
    with pytest.raises(ValueError, match="input a has no scale and takes whole numbers"):
        predictors.from_onnx(ids)(X)
    four = onnx_file(tmp_path, "four (float[4, 2] a) => (float[4, 2] b) { b = Neg(a) }")
    assert np.array_equal(predictors.from_onnx(four)(X), -X)
    double = onnx_file(tmp_path, "double (double[N, 2] a) => (double[N, 2] b) { b = Neg(a) }")
    assert np.array_equal(predictors.from_onnx(double)(X), -X)
    free = onnx_file(tmp_path, "free (float[N, K] a) => (float[N] b) <int64[1] axes = {1}> "
                               "{ b = ReduceSum <keepdims = 0> (a, axes) }")
    assert np.array_equal(predictors.from_onnx(free)(X), X.sum(1))
    text = onnx_file(tmp_path, "text (string[N, 2] a) => (string[N, 2] b) { b = Identity(a) }")
    with pytest.raises(ValueError, match=r"input a is a tensor\(string\), and a predictor takes"):
        predictors.from_onnx(text)


def test_onnx_runtimes_own_words_are_quoted(tmp_path):
    path = onnx_file(tmp_path, "f (float[N, K] a) => (float[N, 2] b) <float[3, 2] w = {1,2,3,4,5,6}> "
                               "{ b = MatMul(a, w) }")
    assert predictors.from_onnx(path)(np.ones((2, 3))).tolist() == [[9, 12], [9, 12]]
    with pytest.raises(ValueError, match=r"made.onnx cannot run inputs of shape \(6, 2\): .*MatMul"):
        predictors.from_onnx(path)(X)


class KerasLike:
    """What a Keras model shows of itself, and its answers (x, 2 x); Keras itself takes seconds to load."""
    built = True
    output_names = ["xor", "and"]

    def __init__(self, batch=None, dtype="float32"):
        self.inputs = [KerasTensor("x", (batch, 2), dtype)]
        self.outputs = [KerasTensor("keras_tensor_1", (batch, 2)), KerasTensor("keras_tensor_2", (batch, 2))]

    def __call__(self, x, training):
        assert not training and self.inputs[0].shape[0] in (None, len(x)) and x.dtype == self.inputs[0].dtype
        return [x, 2 * x]


class KerasLikeWithDicts(KerasLike):
    """Its output_names are in the order of their keys, as Keras's are, which is not the order of the answers."""
    output_names = ["second", "first"]

    def __init__(self):
        self.input = {"points": KerasTensor("x", (None, 2))}
        self.output = dict(zip(("xor", "and"), KerasLike().outputs, strict=True))

    def __call__(self, x, training):
        return {"xor": x["points"], "and": 2 * x["points"]}


class KerasTensor:
    def __init__(self, name, shape, dtype="float32"):
        self.name, self.shape, self.dtype = name, shape, dtype


def test_a_keras_model_answers_with_the_output_that_is_chosen_in_batches_of_its_own():
    assert np.array_equal(predictors.from_keras(KerasLike(), output="and")(X), 2 * X)
    assert np.array_equal(predictors.from_keras(KerasLike(batch=4), output="xor")(X), X)
    with pytest.raises(ValueError, match=r"Keras has 2 outputs: xor \(tensor keras_tensor_1\), and .*; choose one"):
        predictors.from_keras(KerasLike())
    with pytest.raises(ValueError, match="input x has no scale and takes whole numbers"):
        predictors.from_keras(KerasLike(dtype="int32"), output="xor")(X)
    assert np.array_equal(predictors.from_keras(KerasLikeWithDicts(), output="and")(X), 2 * X)


def test_what_is_no_built_keras_model_is_said():
    model = KerasLike()
    model.built = False
    with pytest.raises(ValueError, match=r"Keras is not built yet; give it an input layer"):
        predictors.from_keras(model)
    with pytest.raises(TypeError, match="must be a Keras model, got str; load a saved one"):
        predictors.from_keras("net.keras")
