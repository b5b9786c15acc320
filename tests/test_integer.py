import importlib.util
import math
import os
import subprocess
import sys
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from hypothesis import given
from hypothesis import strategies as st
from random_nets import random_net

import xorlab
from xorlab import data, integer, models, predictors
from xorlab.integer import Affine, IntegerMLP, round_half_away

# which rule each runtime follows, here, on x86-64 with AVX2
FOLLOWS = {"tflm": "tflm", "builtin": "ruy", "reference": "reference", "xnnpack": "xnnpack"}
if importlib.util.find_spec("tflite_micro") is None:
    del FOLLOWS["tflm"]
FILES = [(name, "int8.tflite") for name in models.reference_names()] + [("sigmoid-2-3-1", "int8-middle.tflite")]


@given(st.floats(-1e6, 1e6, width=32))
def test_rounding_sends_ties_away_from_zero_like_decimal_arithmetic(x):
    assert round_half_away(x) == int(Decimal(x).quantize(Decimal(1), ROUND_HALF_UP))


@pytest.mark.parametrize("x", [-25.5, -2.5, -0.5, 0.5, 1.5, 2.5, 0.49999999999999994, np.float32(8388609.0)])
def test_rounding_at_ties_and_where_adding_a_half_would_go_wrong(x):
    assert round_half_away(x) == math.copysign(int(Decimal(float(abs(x))).quantize(Decimal(1), ROUND_HALF_UP)), x)


@given(st.integers(-128, 127), st.integers(-128, 127), st.floats(2**-10, 4, width=32))
def test_every_code_survives_dequantizing_and_quantizing(code, zero_point, scale):
    line = Affine(scale, zero_point)
    assert line.quantize(line.dequantize(np.int8(code))) == code


def test_affine_agrees_with_arithmetic_done_by_hand():
    line = Affine(0.25, -3)
    assert line.dequantize(np.array([-3, 1, 127], np.int8)).tolist() == [0.0, 1.0, 32.5]
    assert line.quantize([0.125, -0.125, 1e9, -1e9]).tolist() == [-2, -4, 127, -128]
    assert Affine(0.25, 128, np.uint8).quantize([-100.0, 0.0]).tolist() == [0, 128]


@pytest.mark.parametrize("scale, zero_point, says", [
    (0.0, 0, "scale"), (-1.0, 0, "scale"), (math.nan, 0, "scale"), (math.inf, 0, "scale"), (1.0, 128, "-128..127")])
def test_impossible_parameters_are_refused(scale, zero_point, says):
    with pytest.raises(ValueError, match=says):
        Affine(scale, zero_point)


@given(st.floats(2**-40, 2**10))
def test_a_quantized_multiplier_is_the_nearest_31_bit_fraction(scale):
    multiplier, shift = integer.quantize_multiplier(scale)
    if scale < 2**-32:
        assert (multiplier, shift) == (0, 0)
    elif multiplier:
        assert 2**30 <= multiplier < 2**31
        assert abs(Fraction(multiplier, 2**31) * Fraction(2) ** shift - Fraction(scale)) <= Fraction(2) ** (shift - 32)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_scale_is_refused(scale):
    with pytest.raises(ValueError, match="finite and positive"):
        integer.quantize_multiplier(scale)


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1))
def test_the_high_multiply_rounds_the_exact_product(a, b):
    exact = min((Fraction(a * b, 2**31) + Fraction(1, 2)).__floor__(), 2**31 - 1)
    assert integer.doubling_high_multiply(a, b) == exact


@given(st.integers(-(2**31), 2**31 - 1), st.integers(0, 31))
def test_dividing_by_a_power_of_two_sends_ties_away_from_zero(x, exponent):
    exact = Decimal(x) / Decimal(2**exponent)
    assert integer.divide_by_power_of_two(np.int64(x), exponent) == int(exact.quantize(Decimal(1), ROUND_HALF_UP))


def test_the_fixed_point_logistic_is_the_logistic_function():
    x = np.linspace(-(2**31) + 1, 2**31 - 1, 10_001).astype(np.int64)
    exact = 1 / (1 + np.exp(-x / 2**27))
    np.testing.assert_allclose(integer.fixed_point_logistic(x) / 2**31, exact, atol=2e-7)


@pytest.mark.parametrize("name, file", FILES)
@pytest.mark.parametrize("runtime", FOLLOWS)
def test_every_runtime_rule_matches_its_runtime_on_all_inputs(runtime, name, file):
    path = models.reference_file(name, file)
    q = data.int8_inputs()
    net = IntegerMLP.from_tflite(path, FOLLOWS[runtime])
    differing = int((net.codes(q) != predictors.from_tflite(path, runtime).codes(q)).sum())
    assert differing == 0, (
        f"{runtime} no longer follows the rule {FOLLOWS[runtime]!r} on {name}: {differing:,} of 65,536 inputs differ; "
        "this processor takes another path (see the rule 'single'), or a new version of it changed its rounding")


def test_the_rules_are_told_apart_by_the_reference_nets():
    q = data.int8_inputs()
    path = models.reference_file("textbook-2-4-1", "int8.tflite")
    answers = {rule: IntegerMLP.from_tflite(path, rule).codes(q).tobytes() for rule in integer.RULES}
    assert len(set(answers.values())) == 4 and answers["single"] == answers["reference"]


@pytest.mark.parametrize("name", models.reference_names())
def test_litert_off_avx2_follows_the_single_rule(name, tmp_path):
    path, q = models.reference_file(name, "int8.tflite"), data.int8_inputs()
    code = (f"import numpy as np; from xorlab import data, predictors; "
            f"np.save({str(tmp_path / 'codes.npy')!r}, "
            f"predictors.from_tflite({str(path)!r}, 'builtin').codes(data.int8_inputs()))")
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ, RUY_PATHS="1"))
    assert np.array_equal(np.load(tmp_path / "codes.npy"), IntegerMLP.from_tflite(path, "single").codes(q))


@pytest.mark.parametrize("kernels, rule", [("BUILTIN_REF", "reference"), ("BUILTIN_WITHOUT_DEFAULT_DELEGATES", "ruy")])
@pytest.mark.parametrize("name", models.reference_names())
def test_every_tensor_on_the_way_is_the_runtimes(name, kernels, rule):
    path = models.reference_file(name, "int8.tflite")
    q = data.int8_inputs()
    with xorlab.quiet():
        interpreter = Interpreter(str(path), num_threads=1, experimental_preserve_all_tensors=True,
                                  experimental_op_resolver_type=OpResolverType[kernels])
        interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], q.shape)
        interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], q)
    interpreter.invoke()
    steps = IntegerMLP.from_tflite(path, rule).trace(q)
    made = [op["outputs"][0] for op in interpreter._get_ops_details() if op["op_name"] != "RESHAPE"]
    assert len(steps) == len(made)
    for step, index in zip(steps, made, strict=True):
        assert np.array_equal(step.codes, interpreter.get_tensor(index)), step.name


def test_every_rule_matches_its_runtime_on_random_models(pytestconfig, tmp_path):
    rng = np.random.default_rng(0)
    q = data.int8_inputs()
    path = tmp_path / "random.tflite"
    varied = 0
    for i in range(pytestconfig.getoption("models")):
        described, content = random_net(rng)
        path.write_bytes(content)
        for runtime, rule in FOLLOWS.items():
            expected = predictors.from_tflite(path, runtime).codes(q)
            differing = int((IntegerMLP.from_tflite(path, rule).codes(q) != expected).sum())
            assert differing == 0, f"model {i} ({described}): {rule} differs from {runtime} on {differing:,} inputs"
        varied += len(np.unique(expected)) > 20
    assert varied > 0.4 * pytestconfig.getoption("models"), "too many random models answer nearly the same to all"


@pytest.mark.skipif("tflm" not in FOLLOWS, reason="no TFLite Micro here")
def test_tflite_micro_multiplies_a_layers_scales_in_float64(tmp_path, monkeypatch):
    """A model in a hundred can tell float64 from float32 here, on one input of 65,536; this is one."""
    rng = np.random.default_rng(0)
    for _ in range(107):
        _, content = random_net(rng)
    path, q = tmp_path / "telling.tflite", data.int8_inputs()
    path.write_bytes(content)
    net, expected = IntegerMLP.from_tflite(path, "tflm"), predictors.from_tflite(path, "tflm").codes(q)
    assert (net.codes(q) == expected).all()
    monkeypatch.setattr(integer.Layer, "scales", integer.Layer.scales_through_float32)
    assert (net.codes(q) != expected).sum() == 1


def test_an_integer_net_is_a_predictor_like_its_runtime():
    path = models.reference_file("relu-2-4-1", "int8.tflite")
    p, runtime = predictors.from_integer(IntegerMLP.from_tflite(path)), predictors.from_tflite(path, "reference")
    assert (p.input, p.output) == (runtime.input, runtime.output) and p.name == "integers, tflm"
    assert np.abs(p(data.grid(21)) - runtime(data.grid(21))).max() < 0.05


@pytest.mark.parametrize("file, says", [("float32.tflite", "int8 files only"), ("model.onnx", "not a sound TFLite")])
def test_what_is_no_int8_chain_is_refused_in_one_sentence(file, says):
    with pytest.raises(ValueError, match=says) as error:
        IntegerMLP.from_tflite(models.reference_file("relu-2-4-1", file))
    assert "\n" not in str(error.value)


def test_a_net_that_branches_is_refused(tmp_path):
    content = models.reference_file("relu-2-4-1", "int8.tflite").read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    graph = model.subgraphs[0]
    graph.operators[-1].inputs = graph.inputs               # the last sigmoid looks past the layers, at the input
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    (tmp_path / "branch.tflite").write_bytes(builder.Output())
    with pytest.raises(ValueError, match="branch.tflite is not a chain of operators at LOGISTIC"):
        IntegerMLP.from_tflite(tmp_path / "branch.tflite")


def test_damaged_files_unknown_rules_and_wrong_codes_are_refused(tmp_path):
    path = models.reference_file("relu-2-4-1", "int8.tflite")
    (tmp_path / "half.tflite").write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="half.tflite is not a sound TFLite file"):
        IntegerMLP.from_tflite(tmp_path / "half.tflite")
    with pytest.raises(FileNotFoundError, match="gone.tflite"):
        IntegerMLP.from_tflite(tmp_path / "gone.tflite")
    with pytest.raises(ValueError, match="begins with a layer"):
        IntegerMLP(IntegerMLP.from_tflite(path).steps[-1:])
    with pytest.raises(ValueError, match="tflm, ruy, single, reference, xnnpack"):
        IntegerMLP.from_tflite(path, "gpu")
    for q in (np.zeros((4, 2)), np.zeros((4, 3), np.int8), np.zeros(2, np.int8)):
        with pytest.raises(ValueError, match=r"int8 of shape \(n, 2\)"):
            IntegerMLP.from_tflite(path).codes(q)
