import importlib.util
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from random_nets import tflite_of

from xorlab import data, models, predictors
from xorlab.integer import IntegerGraph, IntegerMLP
from xorlab.predictors import RUNTIMES

ON_TFLM = importlib.util.find_spec("tflite_micro") is not None
HERE = [r if r != "tflm" or ON_TFLM else pytest.param(r, marks=pytest.mark.skip(reason="no TFLite Micro here"))
        for r in RUNTIMES]


def reference(runtime="xnnpack", name="relu-2-4-1", file="int8.tflite"):
    return predictors.from_tflite(models.reference_file(name, file), runtime)


def test_pytorch_predictors_run_in_eval_mode_and_restore_the_mode():
    model = torch.nn.Sequential(models.MLP(seed=0), torch.nn.Dropout(0.9)).train()
    x = data.grid(5)
    assert np.array_equal(predictors.from_torch(model)(x), model[0](torch.from_numpy(x)).detach().numpy()[:, 0])
    assert model.training


@pytest.mark.parametrize("runtime", HERE)
def test_codes_are_dequantized_answers_on_every_runtime(runtime):
    p = reference(runtime)
    q = data.int8_inputs()[::251]
    x = (q.astype(np.float64) - p.input.zero_point) * p.input.scale
    codes = p.codes(q)
    assert codes.dtype == np.int8 and codes.shape == (len(q),)
    np.testing.assert_allclose(p(x), (codes.astype(float) - p.output.zero_point) * p.output.scale, atol=1e-7)


@pytest.mark.parametrize("runtime", HERE)
@pytest.mark.parametrize("file", ["int8.tflite", "float32.tflite"])
def test_a_batch_gives_what_single_calls_give(runtime, file):
    p = reference(runtime, file=file)
    x = data.dense(20, seed=2)[0]
    one_by_one = np.concatenate([p(point[None]) for point in x])
    np.testing.assert_allclose(p(x), one_by_one, atol=0 if file == "int8.tflite" else 1e-6)


@pytest.mark.parametrize("runtime", HERE)
def test_the_two_inputs_are_not_swapped(runtime):
    model = models.reference("relu-2-4-1")
    x = data.grid(11)
    expected = model(torch.from_numpy(x)).detach().numpy()[:, 0]
    assert np.abs(expected - expected.reshape(11, 11).T.ravel()).max() > 0.1, "the net must tell its inputs apart"
    for p in (reference(runtime), reference(runtime, file="float32.tflite"),
              predictors.from_onnx(models.reference_file("relu-2-4-1", "model.onnx"))):
        assert np.abs(p(x) - expected).max() < 0.05


def test_the_runtimes_are_not_one_and_the_same():
    q = data.int8_inputs()
    answers = [reference(runtime, "textbook-2-4-1").codes(q) for runtime in ("xnnpack", "builtin", "reference")]
    assert all((answers[i] != answers[j]).any() for i, j in ((0, 1), (0, 2), (1, 2)))


@pytest.mark.parametrize("runtime", HERE)
def test_missing_truncated_and_foreign_tflite_files_are_named(runtime, tmp_path):
    whole = models.reference_file("relu-2-4-1", "int8.tflite").read_bytes()
    with pytest.raises(FileNotFoundError, match="no TFLite file at .*gone"):
        predictors.from_tflite(tmp_path / "gone.tflite", runtime)
    onnx_file = models.reference_file("relu-2-4-1", "model.onnx").read_bytes()
    for content in (b"", b"text" * 99, whole[:-1], whole[: len(whole) // 2], bytes(500), onnx_file):
        (tmp_path / "bad.tflite").write_bytes(content)
        with pytest.raises(ValueError, match="bad.tflite is not a sound TFLite file"):
            predictors.from_tflite(tmp_path / "bad.tflite", runtime)


def test_missing_truncated_and_foreign_onnx_files_are_named(tmp_path):
    whole = models.reference_file("relu-2-4-1", "model.onnx").read_bytes()
    with pytest.raises(FileNotFoundError, match="no ONNX file at .*gone"):
        predictors.from_onnx(tmp_path / "gone.onnx")
    for content in (b"", b"text" * 99, whole[: len(whole) // 2]):
        (tmp_path / "bad.onnx").write_bytes(content)
        with pytest.raises(ValueError, match="bad.onnx is not a model"):
            predictors.from_onnx(tmp_path / "bad.onnx")


def test_an_unknown_runtime_names_the_known_ones():
    with pytest.raises(ValueError, match="xnnpack, builtin, reference, tflm, got 'gpu'"):
        predictors.from_tflite("net.tflite", "gpu")


@pytest.mark.parametrize("kind", ["torch", "onnx", "float", *HERE])
@pytest.mark.parametrize("x, says", [
    (np.zeros((4, 3)), "(4, 3)"), (np.zeros(2), "(2,)"), (np.zeros((2, 2, 2)), "(2, 2"), ([["0", "1"]], "numbers"),
    ([[np.nan, 0]], "NaN"), (np.zeros((0, 2)), "at least one")])
def test_bad_points_get_one_sentence_from_every_predictor(kind, x, says):
    p = {"torch": lambda: predictors.from_torch(models.reference("relu-2-4-1")),
         "onnx": lambda: predictors.from_onnx(models.reference_file("relu-2-4-1", "model.onnx")),
         "float": lambda: reference(file="float32.tflite")}.get(kind, lambda: reference(kind))()
    with pytest.raises((ValueError, TypeError)) as error:
        p(x)
    assert says in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("q", [np.zeros((4, 2)), np.zeros((4, 2), np.uint8), np.zeros(2, np.int8),
                               np.zeros((4, 3), np.int8)])
def test_codes_take_only_the_models_own_dtype_and_shape(q):
    with pytest.raises(ValueError, match="int8 on xnnpack takes"):
        reference().codes(q)


def test_a_fitted_logistic_regression_answers_with_the_logistic_of_its_weights():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = data.dense(200, seed=4)[0]
    y = x[:, 0] > 0.3 * x[:, 1] + 0.4
    estimator = LogisticRegression().fit(x, y)
    expected = 1 / (1 + np.exp(-(x @ estimator.coef_[0] + estimator.intercept_[0])))
    assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(predictors.from_sklearn(estimator)(x), expected, atol=1e-6)
    scaled = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y)
    z = (x - x.mean(axis=0, dtype=float)) / x.std(axis=0, dtype=float) @ scaled[1].coef_[0] + scaled[1].intercept_[0]
    np.testing.assert_allclose(predictors.from_sklearn(scaled)(x), 1 / (1 + np.exp(-z)), atol=1e-5)


def test_a_classifier_of_three_answers_a_row_and_a_regressor_a_number():
    from sklearn.linear_model import LinearRegression
    from sklearn.neighbors import KNeighborsClassifier

    x = np.float32([[0], [1], [2], [3]])
    nearest = predictors.from_sklearn(KNeighborsClassifier(1).fit(x, ["b", "a", "c", "a"]))
    assert nearest(x).tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0]]
    line = predictors.from_sklearn(LinearRegression().fit(x, 3 - 2 * x[:, 0]), "line")
    np.testing.assert_allclose(line([[10.0], [-1.0]]), [-17, 5], atol=1e-5)
    assert line.name == "line"
    with pytest.raises(ValueError, match=r"\(n, 1\), got \(4, 2\)"):
        line(np.zeros((4, 2)))


def test_what_scikit_learn_cannot_predict_with_is_said():
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    x = [[0.0], [1.0]]
    with pytest.raises(ValueError, match="not fitted yet"):
        predictors.from_sklearn(LogisticRegression())
    with pytest.raises(TypeError, match="LinearSVC gives no probabilities"):
        predictors.from_sklearn(LinearSVC().fit(x, [0, 1]))
    for wrong in (StandardScaler().fit(x), LogisticRegression, 3):
        with pytest.raises(TypeError, match="classifier or regressor"):
            predictors.from_sklearn(wrong)


def test_two_inputs_models_only(tmp_path):
    graph = onnx.parser.parse_graph("two (float[N, 2] a, float[N, 2] b) => (float[N, 2] c) { c = Add(a, b) }")
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8),
              tmp_path / "two.onnx")
    with pytest.raises(ValueError, match="two.onnx has 2 inputs"):
        predictors.from_onnx(tmp_path / "two.onnx")


def test_a_students_function_is_a_predictor_and_what_is_not_one_is_said():
    x = data.grid(3)

    def product(points):
        return points[:, 0] * points[:, 1]

    assert predictors.answers(product, x).tolist() == [0, 0, 0, 0, 0.25, 0.5, 0, 0.5, 1]
    assert predictors.name_of(product) == "product"
    with pytest.raises(TypeError, match="from_torch"):
        predictors.answers(models.MLP(seed=0), x)
    assert np.array_equal(predictors.answers(lambda points: points, x), x)          # two classes
    with pytest.raises(ValueError, match=r"returned shape \(9, 2\) for 9 points; it must return \(9,\) here"):
        predictors.single_answers(lambda points: points, x)
    for wrong in (lambda points: points[1:], lambda points: points[None], lambda points: 0.5):
        with pytest.raises(ValueError, match="returned shape .* for 9 points; it must return"):
            predictors.answers(wrong, x)
    with pytest.raises(ValueError, match="NaN"):
        predictors.answers(lambda points: np.full(len(points), np.nan), x)
    with pytest.raises(TypeError, match="cannot be called"):
        predictors.answers(3, x)


def test_answers_that_are_no_array_of_numbers_are_said():
    x = data.grid(3)
    assert predictors.answers(lambda points: points[:, :1], x).shape == (9,)        # a column
    for wrong in (lambda points: ["a"] * 9, lambda points: [[1], [2, 3]], lambda points: None):
        with pytest.raises((TypeError, ValueError), match="<lambda> (must return an array of numbers|returned shape)"):
            predictors.answers(wrong, x)
    parameter = torch.nn.Parameter(torch.zeros(9))
    with pytest.raises(TypeError, match="must return an array of numbers, got Parameter"):
        predictors.answers(lambda points: parameter, x)


def test_codes_given_as_points_are_said_and_points_are_not(capsys):
    p = reference("xnnpack")
    p(data.int8_inputs()[:5])
    assert "int8 and taken as the numbers -128 to -124" in capsys.readouterr().out
    p(data.grid(3)), p(np.int8([[0, 1]])), p.codes(data.int8_inputs()[:5])
    assert capsys.readouterr().out == ""


def test_opening_and_running_a_model_is_quiet(capfd):
    reference("xnnpack")(data.grid(3))
    assert capfd.readouterr() == ("", "")


def test_a_graph_is_a_predictor_like_its_runtime(tmp_path):
    """With codes at both ends, and with float32 at one or both."""
    steps = IntegerMLP.from_tflite(models.reference_file("relu-2-4-1", "int8.tflite")).steps
    x, path = data.grid(21), tmp_path / "net.tflite"
    for ends in ((False, False), (True, True), (True, False), (False, True)):
        path.write_bytes(tflite_of(steps, float_ends=ends))
        graph, runtime = IntegerGraph.from_tflite(path), predictors.from_tflite(path, "reference")
        p = predictors.from_integer(graph)
        assert type(p) is type(runtime) and p.name == "integers, tflm" and p.sample == runtime.sample
        if ends == (False, False):
            assert (p.input, p.output) == (runtime.input, runtime.output)
            assert np.array_equal(predictors.from_integer(graph.under("reference"))(x), runtime(x))
    several = replace(graph, outputs=graph.outputs * 2)
    with pytest.raises(ValueError, match="has 1 inputs and 2 outputs; a predictor has one of each"):
        predictors.from_integer(several)
