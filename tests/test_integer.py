import html
import importlib.util
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import hunting
import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from hunting import ask
from hypothesis import example, given
from hypothesis import strategies as st
from random_nets import random_file, tflite_of
from torch import nn

import xorlab
from xorlab import compare, conformance, data, models, predictors
from xorlab.integer import IntegerGraph, IntegerMLP, fixed_point
from xorlab.integer.affine import SIGMOID_CODES, Affine
from xorlab.integer.fixed_point import round_half_away
from xorlab.integer.operators import FullyConnected, Logistic, Reshape
from xorlab.integer.rules import RULES
from xorlab.tflite_file import packed, unpacked

FOLLOWS = dict(conformance.EXPECTED)
if importlib.util.find_spec("tflite_micro") is None:
    del FOLLOWS["tflm"]


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
    assert Affine.of_range(-1.5, 253.5) == Affine(1.0, -127)            # -126.5 is rounded away from zero


@pytest.mark.parametrize("scale, zero_point, says", [
    (0.0, 0, "scale"), (-1.0, 0, "scale"), (math.nan, 0, "scale"), (math.inf, 0, "scale"), (1.0, 128, "-128..127")])
def test_impossible_parameters_are_refused(scale, zero_point, says):
    with pytest.raises(ValueError, match=says):
        Affine(scale, zero_point)


@given(st.floats(2**-40, 2**10))
@example(2.0**-32)                                      # the least that is not nothing
def test_a_quantized_multiplier_is_the_nearest_31_bit_fraction(scale):
    multiplier, shift = fixed_point.quantize_multiplier(scale)
    if scale < 2**-32:
        assert (multiplier, shift) == (0, 0)
    else:
        assert 2**30 <= multiplier < 2**31
        assert abs(Fraction(multiplier, 2**31) * Fraction(2) ** shift - Fraction(scale)) <= Fraction(2) ** (shift - 32)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_scale_is_refused(scale):
    with pytest.raises(ValueError, match="finite and positive"):
        fixed_point.quantize_multiplier(scale)


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1))
@example(-(2**31), -(2**31))                            # the one product that does not fit
def test_the_high_multiply_rounds_the_exact_product(a, b):
    exact = min((Fraction(a * b, 2**31) + Fraction(1, 2)).__floor__(), 2**31 - 1)
    assert fixed_point.doubling_high_multiply(a, b) == exact


@given(st.integers(-(2**31), 2**31 - 1), st.integers(0, 31))
@example(-1, 1)
@example(3, 1)
def test_dividing_by_a_power_of_two_sends_ties_away_from_zero(x, exponent):
    exact = Decimal(x) / Decimal(2**exponent)
    assert fixed_point.divide_by_power_of_two(np.int64(x), exponent) == int(exact.quantize(Decimal(1), ROUND_HALF_UP))


def test_the_fixed_point_logistic_is_the_logistic_function():
    x = np.linspace(-(2**31) + 1, 2**31 - 1, 10_001).astype(np.int64)
    exact = 1 / (1 + np.exp(-x / 2**27))
    np.testing.assert_allclose(fixed_point.fixed_point_logistic(x) / 2**31, exact, atol=2e-7)


@pytest.mark.parametrize("name, file", conformance.FILES)
@pytest.mark.parametrize("runtime", FOLLOWS)
def test_every_runtime_rule_matches_its_runtime_on_all_inputs(runtime, name, file):
    path = models.reference_file(name, file)
    q = data.int8_inputs()
    net = IntegerMLP.from_tflite(path, FOLLOWS[runtime])
    differing = int((net.codes(q) != predictors.from_tflite(path, runtime).codes(q)).sum())
    assert differing == 0, (
        f"{runtime} no longer follows the rule {FOLLOWS[runtime]!r} on {name}: {differing:,} of 65,536 inputs differ; "
        "see what `xorlab rules` says of it")


def test_the_rules_are_told_apart_by_the_reference_nets():
    q = data.int8_inputs()
    path = models.reference_file("textbook-2-4-1", "int8.tflite")
    answers = {rule: IntegerMLP.from_tflite(path, rule).codes(q).tobytes() for rule in RULES}
    assert len(set(answers.values())) == 4
    assert answers["single"] == answers["reference"] and answers["tflm"] == answers["tinymind"]


def named(*names):
    return {name: RULES[name] for name in names}


EVERY_CODE = np.arange(-128, 128, dtype=np.int8)[:, None]


@pytest.mark.parametrize("steps, rules, told_apart", [
    (hunting.layers, hunting.candidates(), 4 * 14), (hunting.relus, named("tflm", "ruy"), 4),
    (hunting.relu6s, named("tflm", "ruy"), 4), (hunting.relu6_layers, named("ruy", "xnnpack"), 4),
    (hunting.logistics, named("tflm", "ruy", "xnnpack", "tinymind"), 4 * 3)], ids=lambda p: getattr(p, "__name__", ""))
def test_every_runtime_follows_its_rule_where_any_two_rules_part(steps, rules, told_apart, tmp_path):
    """On all 256 codes of operators whose scales were computed to tell each rule from each other one."""
    path, q = tmp_path / "hunted.tflite", EVERY_CODE
    steps = hunting.hunted(steps(np.random.default_rng(0)), rules)
    differing = {}
    for step in steps:
        path.write_bytes(tflite_of([step]))
        for runtime, rule in FOLLOWS.items():
            expected = ask(path, runtime, q)
            for name, candidate in (named(rule) | rules).items():
                made = hunting.answer(candidate, step).reshape(expected.shape)
                differing[runtime, name] = differing.get((runtime, name), 0) + int((made != expected).sum())
    followed = {pair: count for pair, count in differing.items() if pair[1] == FOLLOWS[pair[0]]}
    assert set(followed.values()) == {0}, f"{followed} on {len(steps)} operators"
    # what a runtime does not follow is seen to be wrong: this check can fail
    refuted = [pair for pair, count in differing.items() if count]
    if len(FOLLOWS) == 4:
        assert len(refuted) == told_apart, {pair: count for pair, count in differing.items() if not count}


def wide_layers(rng):
    """Yield layers about the size at which LiteRT leaves ruy, worth 0.3 steps a sum: a fourth of the answers tell."""
    for shape in [(3, 8), (4, 7), (4, 8), (5, 9), (9, 31), (16, 16)]:
        for channels in (1, shape[0]):
            scales = np.float32(0.3 * rng.uniform(1, 1.1, channels))
            yield FullyConnected(rng.integers(-3, 4, shape), rng.integers(-50, 50, shape[0]), scales, Affine(1.0, 3),
                        Affine(1.0, -3))


def test_litert_on_ruys_portable_path_follows_the_single_rule_in_calls_of_any_size(tmp_path):
    """RUY_PATHS=1 is read when a process starts. A wide layer is ruy's own only in a call of several samples."""
    rng = np.random.default_rng(0)
    files = {}                                          # name: (codes, samples in a call)
    for name in models.reference_names():
        (tmp_path / name).write_bytes(models.reference_file(name, "int8.tflite").read_bytes())
        files[name] = data.int8_inputs(), (65_536,)
    hunted = hunting.hunted(hunting.layers(rng), named("ruy", "single"))
    for i, step in enumerate([*hunted, *wide_layers(rng)]):
        (tmp_path / f"layer{i}").write_bytes(tflite_of([step]))
        files[f"layer{i}"] = rng.integers(-128, 128, (41, step.weights.shape[1])).astype(np.int8), (1, 2, 41)
    for name, (q, _) in files.items():
        np.save(tmp_path / f"{name}.q.npy", q)
    (tmp_path / "calls.json").write_text(json.dumps({name: calls for name, (_, calls) in files.items()}))
    code = """
import json, sys, numpy as np
from pathlib import Path
from hunting import ask
for name, calls in json.loads(Path("calls.json").read_text()).items():
    for n in calls:
        np.save(f"{name}.{n}.npy", ask(name, "builtin", np.load(f"{name}.q.npy"), n))
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=os.environ | {
        "RUY_PATHS": "1", "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])})
    others = dict.fromkeys(("ruy", "single in calls of 1", "single in calls of 2"), 0)
    for name, (q, calls) in files.items():
        net = IntegerMLP.from_tflite(tmp_path / name, "single")
        for n in calls:
            expected = np.load(tmp_path / f"{name}.{n}.npy")
            assert (net.codes(q, batch=n).reshape(expected.shape) == expected).all(), (name, n, repr(net))
            for other, made in (("ruy", net.under("ruy").codes(q)), ("single in calls of 1", net.codes(q)),
                                ("single in calls of 2", net.codes(q, batch=2))):
                others[other] += int((made.reshape(expected.shape) != expected).sum())
    assert min(others.values()) > 100, others           # each is another answer


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


def test_every_rule_matches_its_runtime_on_random_files(pytestconfig, tmp_path):
    rng = np.random.default_rng(0)
    q = rng.choice(data.int8_inputs(), 8192, replace=False)
    path = tmp_path / "random.tflite"
    varied = 0
    for i in range(pytestconfig.getoption("models")):
        described, content = random_file(rng)
        path.write_bytes(content)
        for runtime, rule in FOLLOWS.items():
            net = IntegerMLP.from_tflite(path, rule)
            expected = ask(path, runtime, q, net=net)[:, 0]
            differing = int((net.codes(q) != expected).sum())
            assert differing == 0, f"model {i} ({described}): {rule} differs from {runtime} on {differing:,} inputs"
        varied += len(np.unique(expected)) > 20
    assert varied > 0.4 * pytestconfig.getoption("models"), "too many random models answer nearly the same to all"


def clamped(activation):
    """A net of one layer whose zero point is no end of the codes, so that an activation cuts within them."""
    layer = FullyConnected(np.array([[3], [-2]]), np.array([0, 9]), np.float32([0.1]), Affine(1.0, 0),
                           Affine(0.5, 5), activation)
    return IntegerMLP((layer,))


@pytest.mark.parametrize("rule", ["tflm", "ruy", "single"])
@pytest.mark.parametrize("name", [*models.reference_names(), "RELU", "RELU6"])
def test_a_rounding_of_ones_own_takes_the_rules_place(name, rule):
    """The rule's steps, handed in as a function, give the rule's codes."""
    def requantize(acc, multiplier, shift, zo, low):
        steps = RULES[rule].steps(acc[:, None], np.array([multiplier / 2**31 * 2.0**shift]))[:, 0]
        return np.clip(steps.astype(int) + zo, low, 127)

    net = clamped(name) if name.isupper() else IntegerMLP.from_tflite(models.reference_file(name, "int8.tflite"))
    q = np.arange(-128, 128, dtype=np.int8)[:, None] if name.isupper() else data.int8_inputs()[::7]
    assert (net.under(rule).codes_by(requantize, q) == net.under(rule).codes(q)).all()


@pytest.mark.parametrize("made, says", [
    (lambda acc, *_: None, "whole numbers of shape"), (lambda acc, *_: acc[:1], "whole numbers of shape"),
    (lambda acc, *_: acc / 3, "whole numbers of shape"), (lambda acc, *_: acc, "must clamp its codes to -128..127")])
def test_a_rounding_of_ones_own_that_makes_no_codes_is_refused(made, says):
    net = IntegerMLP.from_tflite(models.reference_file("sigmoid-2-3-1", "int8.tflite"))
    with pytest.raises(ValueError, match=says):
        net.codes_by(made, data.int8_inputs()[:99])


def test_an_integer_net_is_a_predictor_like_its_runtime():
    path = models.reference_file("relu-2-4-1", "int8.tflite")
    p, runtime = predictors.from_integer(IntegerMLP.from_tflite(path)), predictors.from_tflite(path, "reference")
    assert (p.input, p.output) == (runtime.input, runtime.output) and p.name == "integers, tflm"
    assert np.abs(p(data.grid(21)) - runtime(data.grid(21))).max() < 0.05
    assert repr(IntegerMLP.from_tflite(path)) == (
        "<IntegerMLP 2 -> FULLY_CONNECTED 4 -> FULLY_CONNECTED 1 -> LOGISTIC, rule tflm>")


@pytest.mark.parametrize("file, says", [
    ("float32.tflite", "is FLOAT32; a constant of INT8 is needed"), ("model.onnx", "not a sound TFLite")])
def test_what_is_no_int8_chain_is_refused_in_one_sentence(file, says):
    with pytest.raises(ValueError, match=says) as error:
        IntegerMLP.from_tflite(models.reference_file("relu-2-4-1", file))
    assert "\n" not in str(error.value)


def test_a_net_that_branches_is_refused(tmp_path):
    content = models.reference_file("relu-2-4-1", "int8.tflite").read_bytes()
    model = unpacked(content)
    graph = model.subgraphs[0]
    graph.operators[-1].inputs = graph.operators[-2].inputs     # the last sigmoid looks past its layer
    graph.tensors[graph.outputs[0]].shape = np.int32([1, 4])
    (tmp_path / "branch.tflite").write_bytes(packed(model))
    with pytest.raises(ValueError, match="branch.tflite is not a chain of operators at LOGISTIC"):
        IntegerMLP.from_tflite(tmp_path / "branch.tflite")


def test_a_graph_that_ends_before_its_chain_or_cuts_samples_anew_is_refused():
    graph = IntegerGraph.from_torch(models.reference("relu-2-4-1"))
    early = replace(graph, outputs=(replace(graph.outputs[0], tensor=graph.nodes[0].output),))
    with pytest.raises(ValueError, match="does not give the end of its chain"):
        IntegerMLP.from_graph(early)
    line, node = graph.inputs[0].affine, graph.nodes[0]
    entry = replace(graph.inputs[0], shape=(1, 4))
    cut = replace(node, operator=Reshape((2, 2), line, line), output=9, shape=(2, 2))
    dense = replace(node, inputs=(9,), output=10, shape=(2, 4))
    halves = replace(graph, inputs=(entry,), nodes=(cut, dense), outputs=(replace(graph.outputs[0], tensor=10),))
    with pytest.raises(ValueError, match="no row for each sample"):
        IntegerMLP.from_graph(halves)


def _shift_weights(tensors, op):
    quantization = tensors[op.inputs[1]].quantization
    quantization.zeroPoint = np.full_like(quantization.zeroPoint, 3)


def _shuffle_weights(tensors, op):
    op.builtinOptions.weightsFormat = schema.FullyConnectedOptionsWeightsFormat.SHUFFLED4x16INT8


def _scale_inputs(scale):
    return lambda tensors, op: setattr(tensors[op.inputs[0]].quantization, "scale", np.float32([scale]))


@pytest.mark.parametrize("edit, says", [
    (_shift_weights, "weights tensor .* have zero points .*3.*; symmetric int8 weights are needed"),
    (_shuffle_weights, "its weights are shuffled"),
    (_scale_inputs(2.0**41), "has scale 2.19902e.12; one from"), (_scale_inputs(2.0**-41), "one from 9.09495e-13 to"),
], ids=["zero points", "shuffled", "large", "small"])
def test_what_runtimes_would_read_otherwise_is_refused(tmp_path, edit, says):
    model = unpacked(models.reference_file("relu-2-4-1", "int8.tflite").read_bytes())
    graph = model.subgraphs[0]
    edit(graph.tensors, next(op for op in graph.operators if len(op.inputs) == 3))
    (tmp_path / "net.tflite").write_bytes(packed(model))
    with pytest.raises(ValueError, match=says):
        IntegerMLP.from_tflite(tmp_path / "net.tflite")


def test_damaged_files_unknown_rules_and_wrong_codes_are_refused(tmp_path):
    path = models.reference_file("relu-2-4-1", "int8.tflite")
    (tmp_path / "half.tflite").write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="half.tflite is not a sound TFLite file"):
        IntegerMLP.from_tflite(tmp_path / "half.tflite")
    with pytest.raises(FileNotFoundError, match="gone.tflite"):
        IntegerMLP.from_tflite(tmp_path / "gone.tflite")
    with pytest.raises(ValueError, match="begins with a layer"):
        IntegerMLP(IntegerMLP.from_tflite(path).steps[-1:])
    with pytest.raises(ValueError, match="tflm, ruy, single, reference, xnnpack, tinymind"):
        IntegerMLP.from_tflite(path, "gpu")
    for q in (np.zeros((4, 2)), np.zeros((4, 3), np.int8), np.zeros(2, np.int8)):
        with pytest.raises(ValueError, match=r"int8 of shape \(n, 2\)"):
            IntegerMLP.from_tflite(path).codes(q)


# --- what real files hold

def wide_net(rng, biases=True):
    """A 20-16-1 net as converters write it, and seeded codes for it."""
    lines = [Affine(float(np.float32(scale)), zero_point) for scale, zero_point in ((0.02, -5), (0.05, -128), (0.1, 9))]
    steps = [FullyConnected(rng.integers(-127, 128, shape), rng.integers(-9000, 9000, shape[0]) * biases,
                            np.float32(scales), source, target)
             for shape, scales, source, target in (
                 ((16, 20), rng.uniform(2e-3, 9e-3, 16), *lines[:2]), ((1, 16), [7e-3], *lines[1:]))]
    return [*steps, Logistic(lines[2], SIGMOID_CODES)], rng.integers(-128, 128, (200, 20)).astype(np.int8)


@pytest.mark.parametrize("bias", ["tensor", "-1", "none"])
def test_a_layer_without_a_bias_has_biases_of_zero(bias, tmp_path):
    steps, q = wide_net(np.random.default_rng(0), biases=False)
    path = tmp_path / "net.tflite"
    path.write_bytes(tflite_of(steps, bias=bias, names=False, share=True))
    for runtime, rule in FOLLOWS.items():
        net = IntegerMLP.from_tflite(path, rule)
        assert [step.biases.tolist() for step in net.steps[:2]] == [[0] * 16, [0]]
        assert (net.codes(q) == ask(path, runtime, q)[:, 0]).all(), runtime


@pytest.mark.parametrize("ends", [(True, True), (True, False), (False, True)])
def test_a_file_with_float_ends_is_its_int8_core(ends, tmp_path):
    steps, q = wide_net(np.random.default_rng(0))
    path = tmp_path / "net.tflite"
    path.write_bytes(tflite_of(steps, float_ends=ends))
    net, core = IntegerMLP.from_tflite(path), IntegerMLP(tuple(steps))
    assert net.float_ends == ends and (net.input, net.output) == (steps[0].input, SIGMOID_CODES)
    assert (net.codes(q) == core.codes(q)).all() and len(np.unique(net.codes(q))) > 20
    if ends == (True, True) and "tflm" in FOLLOWS:      # numbers that are not just codes: TFLite Micro's own QUANTIZE
        x = np.random.default_rng(1).uniform(-3, 3, q.shape).astype(np.float32)
        assert np.array_equal(predictors.from_integer(net)(x), predictors.from_tflite(path, "tflm")(x))


def test_how_runtimes_quantize_at_a_float_end_is_as_the_docstring_says(tmp_path):
    """Numbers within a float32 of a tie between two codes, through a core that changes no code."""
    line, path = Affine(float(np.float32(0.0123)), -7), tmp_path / "ends.tflite"
    path.write_bytes(tflite_of([FullyConnected(np.array([[1]]), np.array([0]), np.float32([1.0]), line, line)],
                               float_ends=(True, True)))
    ties = np.float32(line.scale) * np.arange(-120.5, 134).astype(np.float32)
    x = np.concatenate([ties, np.nextafter(ties, np.float32(9)), np.nextafter(ties, np.float32(-9))])[:, None]
    net = predictors.from_integer(IntegerMLP.from_tflite(path))
    steps = {runtime: np.rint((predictors.from_tflite(path, runtime)(x) - net(x)) / line.scale) for runtime in FOLLOWS}
    assert not any(steps[runtime].any() for runtime in {"tflm", "reference"} & set(FOLLOWS))
    for runtime in ("xnnpack", "builtin"):
        assert steps[runtime].any() and np.abs(steps[runtime]).max() == 1


def edited(steps, edit, **parts):
    """Return a file's content after `edit(graph, options of its first layer)` has changed its object form."""
    model = unpacked(tflite_of(steps, **{"reshapes": None} | parts))
    graph = model.subgraphs[0]
    edit(graph, next(op.builtinOptions for op in graph.operators if len(op.inputs) == 3))
    return packed(model)


def fuse(kind):
    return lambda graph, options: setattr(options, "fusedActivationFunction", getattr(
        schema.ActivationFunctionType, kind))


def reshape_to(shape):
    return lambda graph, options: setattr(graph.tensors[graph.inputs[0]], "shape", np.array(shape, np.int32))


def quantize(**values):
    return lambda graph, options: vars(graph.tensors[graph.outputs[0]].quantization).update(values)


def rescaled_by_reshape(graph, options):
    """The first RESHAPE's output gets another scale than its input."""
    graph.tensors[graph.operators[0].outputs[0]].quantization.scale = np.float32([0.5])


def retype(kind):
    return lambda graph, options: setattr(graph.tensors[graph.inputs[0]], "type", getattr(schema.TensorType, kind))


@pytest.mark.parametrize("edit, parts, says", [
    (fuse("RELU_N1_TO_1"), {}, "FULLY_CONNECTED into tensor tensor3.*got RELU_N1_TO_1.*from_tflite runs"),
    (reshape_to((1, 10, 2)), {}, None), (reshape_to((2, 20)), {}, "shape .1, 16. in the file, .* makes .2, 16."),
    (retype("UINT8"), {}, "tensor tensor0 is UINT8"), (retype("UINT8"), {"names": False}, "tensor number 0 is UINT8"),
    (retype("UINT8"), {"float_ends": (True, False)}, "operator 0, QUANTIZE into .*: tensor tensor0 is UINT8"),
    (quantize(scale=np.float32([1 / 128])), {}, "LOGISTIC into tensor .*the format fixes"),
    (quantize(scale=np.float32([0])), {}, "tensor tensor7: scale must be finite and positive"),
    (rescaled_by_reshape, {"reshapes": "option"}, "RESHAPE into tensor tensor1 changes the scale"),
    (quantize(scale=None, zeroPoint=None), {}, "with 0 scales")],
    ids=lambda part: part.__qualname__.partition(".")[0] if callable(part) else str(part))     # no addresses: for xdist
def test_what_a_file_says_is_followed_or_refused_by_name(edit, parts, says, tmp_path):
    steps, q = wide_net(np.random.default_rng(0))
    path = tmp_path / "edited.tflite"
    path.write_bytes(edited(steps, edit, **parts))
    if says is None:
        assert (IntegerMLP.from_tflite(path).codes(q) == IntegerMLP(tuple(steps)).codes(q)).all()
        return
    with pytest.raises(ValueError, match=says) as error:
        IntegerMLP.from_tflite(path)
    assert "\n" not in str(error.value) and str(error.value).startswith(str(path))


def test_a_wide_layer_under_single_knows_how_many_samples_a_call_has():
    rng = np.random.default_rng(0)
    net = IntegerMLP((list(wide_layers(rng))[-1],), "single")
    q = rng.integers(-128, 128, (200, 16)).astype(np.int8)
    alone, together = net.under("ruy").codes(q), np.vstack([net.codes(q[:2], batch=2), net.codes(q[2:], batch=198)])
    assert (alone != together).sum() > 100
    assert (net.codes(q) == alone).all() and (net.codes(q, batch=200) == together).all()
    assert (net.codes(q, batch=3) == together).all()                # 200 samples: the last call has two
    last = net.codes(q, batch=199)                                  # the last call has one
    assert (last[:-1] == together[:-1]).all() and (last[-1] == alone[-1]).all()
    assert (net.trace(q, batch=199)[0].codes == last).all()
    for batch in (0, -1, 1.5, None):
        with pytest.raises(ValueError, match="batch must be a whole number from 1"):
            net.codes(q, batch=batch)


def test_sums_beyond_32_bits_are_refused_and_not_answered():
    """TFLite Micro and LiteRT wrap around there: 2**30 sums worth 1.5 steps give -128."""
    for bias, scale, rules in ((2**31 - 1, 0.1, RULES), (2**30, 1.5, ("tflm", "ruy", "tinymind")),
                               (-(2**30) - 300, 1.5, ("tflm", "ruy")), (2**30, 3.0, ("tflm", "ruy", "reference"))):
        layer = FullyConnected(np.array([[1]]), np.array([bias]), np.float32([scale]), Affine(1, -128), Affine(1, 0))
        for rule in rules:
            with pytest.raises(ValueError, match="beyond 32 bits"):
                IntegerMLP((layer,), rule).codes(np.int8([[127]]))
    assert IntegerMLP((replace(layer, biases=np.array([2**29 - 300])),)).codes(np.int8([[127]])) == 127


# --- from PyTorch

def test_a_linear_layer_without_a_bias_is_one_with_a_bias_of_zero():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 4, bias=False), nn.ReLU(), nn.Linear(4, 1, bias=False))
    twin = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
    with torch.no_grad():
        for mine, its in ((twin[0], net[0]), (twin[2], net[2])):
            mine.weight.copy_(its.weight)
            mine.bias.zero_()
    q = data.int8_inputs()
    assert (IntegerMLP.from_torch(net).codes(q) == IntegerMLP.from_torch(twin).codes(q)).all()
    assert len(np.unique(IntegerMLP.from_torch(net).codes(q))) > 20


@pytest.mark.parametrize("bits, largest", [(8, 127), (4, 7), (2, 1)])
def test_the_largest_weight_of_a_layer_or_of_each_unit_gets_the_largest_code(bits, largest):
    model = models.reference()
    for granularity, axis in (("per_tensor", None), ("per_channel", 1)):
        net = IntegerMLP.from_torch(model, weight_bits=bits, granularity=granularity)
        dense = [step for step in net.steps if isinstance(step, FullyConnected)]
        for step, linear in zip(dense, (model.hidden, model.output), strict=True):
            assert (np.abs(step.weights).max(axis=axis) == largest).all()
            assert len(step.weight_scales) == (1 if axis is None else linear.out_features)
            assert np.abs(step.weights * step.weight_scales[:, None] - linear.weight.detach().numpy()).max() <= (
                0.5001 * step.weight_scales.max())


@pytest.mark.parametrize("granularity", ["per_tensor", "per_channel"])
def test_weights_of_zero_are_codes_of_zero(granularity):
    linear = torch.nn.Linear(2, 2)
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.copy_(torch.tensor([0.25, -0.5]))
    net = IntegerMLP.from_torch(linear, granularity=granularity)
    assert not net.steps[0].weights.any()
    answers = net.output.dequantize(net.codes(np.int8([[-128, 127], [5, 5]])))
    step = net.steps[0].input.scale                     # of the biases, for the weights have scale 1
    np.testing.assert_allclose(answers, [[0.25, -0.5]] * 2, atol=(step + net.output.scale) / 2)


@pytest.mark.parametrize("wrong, words", [({"weight_bits": 9}, "from 2 to 8, got 9"),
                                          ({"weight_bits": True}, "from 2 to 8, got True"),
                                          ({"granularity": "per_unit"}, "per_channel, per_tensor, got 'per_unit'")])
def test_other_bits_and_granularities_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        IntegerMLP.from_torch(models.reference(), **wrong)


def test_the_textbook_net_quantizes_to_the_published_constants():
    net = IntegerMLP.from_torch(models.reference("textbook-2-4-1"))
    first, second, logistic = net.steps
    lines = [first.input, first.output, second.output, logistic.output]
    assert [line.zero_point for line in lines] == [-128, -128, -1, -128]        # -1 is -0.5 rounded away from zero
    assert [line.scale for line in lines] == [float(np.float32(s)) for s in (1 / 255, 2 / 255, 4 / 255, 1 / 256)]
    assert first.weights.tolist() == [[127, 127]] * 4 and second.weights.tolist() == [[64, -127, 64, -127]]
    assert first.biases.tolist() == [0, -32385, 0, -32385] and second.biases.tolist() == [-8096]
    assert compare.corners_right(predictors.from_integer(net)) == 4


@pytest.mark.parametrize("name", ["relu-2-4-1", "sigmoid-2-3-1"])
def test_a_quantized_layer_is_the_float_layer_within_its_rounding(name):
    """From the same inputs: half an output step, half a weight step for each input, a little for the bias."""
    model = models.reference(name)
    net = IntegerMLP.from_torch(model)
    q = data.int8_inputs()
    linears = [module for module in model.chain() if isinstance(module, nn.Linear)]
    for step, made in zip(net.steps, net.trace(q), strict=True):
        if isinstance(step, FullyConnected):
            x = torch.from_numpy(step.input.dequantize(q))
            with torch.no_grad():
                real = linears.pop(0)(x).numpy()
            real = np.clip(real, *step.output.dequantize([step.lowest, 127]))
            error = np.abs(step.output.dequantize(made.codes) - real)
            inputs = np.abs(x.numpy()).sum(1, keepdims=True)
            assert (error <= 0.505 * step.output.scale + 0.505 * step.weight_scales[0] * inputs).all()
        q = made.codes
    assert linears == []


def test_a_range_is_widened_to_hold_zero_and_not_clipped():
    assert Affine.of_range(2.0, 6.0).dequantize(Affine.of_range(2.0, 6.0).quantize([6.0, 0.0])).tolist() == [6.0, 0.0]
    assert Affine.of_range(-3.0, -1.0) == Affine(float(np.float32(3 / 255)), 127)
    assert Affine.of_range(0.0, 0.0) == Affine(1.0, -128)
    for low, high in [(1.0, 0.0), (math.nan, 1.0), (0.0, math.inf)]:
        with pytest.raises(ValueError, match="range"):
            Affine.of_range(low, high)


def test_calibration_sets_the_ranges_and_a_sequential_is_read_like_an_mlp():
    model = models.reference("relu-2-4-1")
    twin = nn.Sequential(model.hidden, nn.ReLU(), model.output, nn.Sigmoid())
    q = data.int8_inputs()
    assert (IntegerMLP.from_torch(twin).codes(q) == IntegerMLP.from_torch(model).codes(q)).all()
    narrow = IntegerMLP.from_torch(model, data.grid(9) / 2)
    assert narrow.input == Affine.of_range(0.0, 0.5)
    assert narrow.steps[0].output.scale < IntegerMLP.from_torch(model).steps[0].output.scale


def test_without_calibration_the_9_by_9_grid_is_taken_with_all_that_lies_between_the_corners():
    peak = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))     # 0.5 at x1 = 0.5, and 0 at every corner
    with torch.no_grad():
        peak[0].weight.copy_(torch.tensor([[1.0, 0], [-1, 0]]))
        peak[0].bias.copy_(torch.tensor([-0.5, 0.5]))
        peak[2].weight.fill_(-1)
        peak[2].bias.fill_(0.5)
    assert IntegerMLP.from_torch(peak).output == IntegerMLP.from_torch(peak, data.grid(9)).output == (
        Affine.of_range(0, 0.5))


@pytest.mark.parametrize("model, error, says", [
    (lambda: models.MLP(3, "tanh"), ValueError, "got Tanh"),
    (lambda: nn.Sequential(nn.ReLU(), nn.Linear(2, 1)), ValueError, "got ReLU"),
    (lambda: nn.Sequential(nn.Linear(2, 1), nn.ReLU(), nn.Sigmoid()), ValueError, "got Sigmoid"),
    (lambda: nn.Bilinear(2, 2, 1), ValueError, "got Bilinear.*IntegerMLP.from_tflite"),
    (lambda: models, TypeError, "got module")])
def test_a_model_that_is_no_chain_is_refused(model, error, says):
    with pytest.raises(error, match=says):
        IntegerMLP.from_torch(model())


def test_weights_biases_and_calibration_that_cannot_be_quantized_are_refused():
    broken = models.MLP(3, seed=0)
    with torch.no_grad():
        broken.output.bias[0] = math.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        IntegerMLP.from_torch(broken)
    with torch.no_grad():
        broken.output.bias[0] = 1e9
    with pytest.raises(ValueError, match="does not fit into 32 bits"):
        IntegerMLP.from_torch(broken)
    one = nn.Linear(2, 1)                       # a step of its biases is 1 / 255 / 127: 66,311 has the code 2**31
    with torch.no_grad():
        one.weight.fill_(1)
        one.bias.fill_(66_310)
    assert 2**31 - 2**16 < IntegerMLP.from_torch(one).steps[0].biases[0] < 2**31
    with torch.no_grad():
        one.bias.fill_(66_312)
    with pytest.raises(ValueError, match="does not fit into 32 bits"):
        IntegerMLP.from_torch(one)
    with pytest.raises(ValueError, match=r"shape \(n, 2\)"):
        IntegerMLP.from_torch(models.reference(), np.zeros((5, 3), np.float32))
    for scales in ([0.0], [math.nan], [1.0, 1.0]):
        with pytest.raises(ValueError, match="weight scales"):
            FullyConnected(np.ones((3, 2), int), np.zeros(3, int), np.float32(scales), Affine(1, 0), Affine(1, 0))


# --- what a student reads

@pytest.mark.parametrize("rule", RULES)
def test_the_explanation_holds_every_accumulator_and_code_of_the_trace(rule):
    for name in models.reference_names():
        net = IntegerMLP.from_tflite(models.reference_file(name, "int8.tflite"), rule)
        q = np.int8([[100, -77]])
        explained = net.explain(q[0])
        text = str(explained)
        for step in net.trace(q):
            for unit in range(step.codes.shape[1]) if step.accumulators is not None else ():
                assert f"= {step.accumulators[0, unit]}\n" in text and f": code {step.codes[0, unit]}\n" in text
        assert f"output: codes {net.codes(q)[0]} stand for" in text and text.startswith(f"rule {rule} (")
        assert explained.code == net.codes(q)[0] and repr(explained) == text
        assert html.escape(text.split("\n", 1)[1]) in explained._repr_html_()


def test_the_explanation_shows_double_rounding():
    """510 sums are 1.49931 steps; the first rounding makes 1.5 of it, the second 2."""
    scale = np.float32(1.49931 / 510)
    layer = FullyConnected(np.array([[2, 0]]), np.zeros(1, int), np.array([scale]), Affine(1.0, -128), Affine(1.0, 0))
    for rule, code in (("tflm", 2), ("single", 1), ("reference", 1), ("xnnpack", 1)):
        assert f"= {code}: code {code}\n" in str(IntegerMLP((layer,), rule).explain(np.int8([127, 0]))), rule


def test_the_explanation_of_a_chain_is_the_text_of_version_0_1():
    net = IntegerMLP.from_tflite(models.reference_file("sigmoid-2-3-1", "int8.tflite"))
    lines = str(net.explain(np.int8([[1, 119]]))).split("\n")
    assert lines[:6] == [
        "rule tflm (TFLite Micro, CMSIS-NN)",
        "input: codes 1, 119 stand for 0.5059, 0.9686",
        "FULLY_CONNECTED: in, real = 0.00392156886 * (code + 128); out, real = 0.113039061 * (code - 22)",
        "  unit 0: -127*(1+128) - 126*(119+128) + 46838 = -667",
        "    -667 * 1235464491 / 2^31 = -383.73043 -> -384, / 2^8 = -1.50000, ties away from zero -> -2",
        "    -2 +22 = 20: code 20"]
    assert lines[-2:] == ["  codes -6 look up -32 in the table of 256", "output: codes -32 stand for 0.3750"]


def test_origins_name_the_operator_where_two_rules_part():
    path, q = models.reference_file("relu-2-4-1", "int8.tflite"), data.int8_inputs()
    a, b = IntegerMLP.from_tflite(path), IntegerMLP.from_tflite(path, "reference")
    first = compare.origins(a, b)
    traces = list(zip(a.trace(q), b.trace(q), strict=True))
    for i in np.flatnonzero(first >= 0)[::50]:
        parted = [(x.codes[i] != y.codes[i]).any() for x, y in traces]
        assert parted.index(True) == first[i]
    assert all((x.codes[first < 0] == y.codes[first < 0]).all() for x, y in traces)
    assert (first >= 0).sum() >= (a.codes(q) != b.codes(q)).sum() > 0
    with pytest.raises(ValueError, match="different operators"):
        compare.origins(a, IntegerMLP(a.steps[:-1]))
