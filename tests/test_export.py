"""Tests of the conversions, with the real converters: the one file of tests that loads TensorFlow."""
import gc
import re
import sys

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from xorlab import cli, compare, conformance, data, export, models, predictors, sandbox, tflite_file, training, zoo
from xorlab.integer import IntegerGraph, IntegerMLP
from xorlab.integer.fixed_point import quantize_multiplier
from xorlab.integer.operators import FullyConnected
from xorlab.integer.rules import RULES
from xorlab.qat import rounded


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """Every form of a net that is not symmetric in its inputs, exported afresh."""
    folder = tmp_path_factory.mktemp("converted")
    model = models.MLP(5, "tanh", seed=3)
    export.to_onnx(model, folder / "net.onnx")
    export.to_saved_model(folder / "net.onnx", folder / "saved")
    for variant in export.VARIANTS:
        export.to_tflite(folder / "saved", folder / f"{variant}.tflite", variant)
    return model, folder


def test_onnx_has_the_promised_names_opset_and_free_batch(converted):
    model = onnx.load(converted[1] / "net.onnx")
    (entry,), (exit_,) = model.graph.input, model.graph.output
    assert (model.opset_import[0].version, entry.name, exit_.name) == (17, "input", "output")
    for port in (entry, exit_):
        batch = port.type.tensor_type.shape.dim[0]
        assert batch.dim_param and not batch.dim_value


def test_converting_leaves_the_onnx_file_as_it_was(tmp_path):
    before = export.to_onnx(models.MLP(seed=0), tmp_path / "net.onnx").read_bytes()
    export.to_saved_model(tmp_path / "net.onnx", tmp_path / "saved")
    assert (tmp_path / "net.onnx").read_bytes() == before


def test_exporting_leaves_the_models_mode_alone(tmp_path):
    model = models.MLP(seed=0).train()
    export.to_onnx(model, tmp_path / "net.onnx")
    assert model.training


@pytest.mark.parametrize("form", ["net.onnx", "float32.tflite"])
def test_float_forms_equal_pytorch_on_the_whole_grid(converted, form):
    model, folder = converted
    p = predictors.from_onnx(folder / form) if form.endswith("onnx") else predictors.from_tflite(folder / form)
    np.testing.assert_allclose(p(data.grid()), predictors.from_torch(model)(data.grid()), atol=2e-6)


def test_what_this_process_converts_may_run_in_it(converted):
    content = (converted[1] / "int8.tflite").read_bytes()
    assert sandbox.vouched(content) and not sandbox.vouched(content + b"\0")


def test_int8_is_int8_at_both_ends_and_calibrated_to_the_unit_square(converted):
    p = predictors.from_tflite(converted[1] / "int8.tflite")
    assert (p.input.dtype, p.output.dtype) == (np.int8, np.int8)
    assert p.input.scale == pytest.approx(1 / 255) and p.input.zero_point == -128
    assert (p.output.scale, p.output.zero_point) == (1 / 256, -128)      # fixed by the format for a sigmoid
    assert compare.errors(predictors.from_torch(converted[0]), p, data.grid()).max_abs < 0.02


# what the format and the converter's guide say of each variant: ports, weights, biases, activations between layers
TYPES = {
    "float32": ("float32", "FLOAT32", "FLOAT32", "FLOAT32"),
    "dynamic_range": ("float32", "FLOAT32", "FLOAT32", "FLOAT32"),      # no matrix here has 1,024 weights
    "float_fallback": ("float32", "INT8", "INT32", "INT8"),
    "float16": ("float32", "FLOAT16", "FLOAT16", "FLOAT32"),
    "int8": ("int8", "INT8", "INT32", "INT8"),
    "uint8": ("uint8", "INT8", "INT32", "INT8"),
    "int16x8": ("int16", "INT8", "INT64", "INT16"),
}


def made_of(path):
    """Return the types of the stored weights and biases and of what the first layer gives."""
    graph = tflite_file.read(path)
    kept = [tensor for tensor in graph.tensors if tensor.data is not None and tensor.dtype + tensor.name != "INT32"]
    layer = next(op for op in graph.operators if op.name == "FULLY_CONNECTED")
    weights = {tensor.dtype for tensor in kept if tensor.data.ndim == 2}
    biases = {tensor.dtype for tensor in kept if tensor.data.ndim == 1 and tensor.data.size in (5, 1)}
    return *map("".join, (weights, biases)), graph.tensors[layer.outputs[0]].dtype


def test_there_are_seven_variants():
    assert list(export.VARIANTS) == list(TYPES)


@pytest.mark.parametrize("variant", TYPES)
def test_each_variant_holds_the_types_its_name_says(converted, variant):
    path = converted[1] / f"{variant}.tflite"
    p = predictors.from_tflite(path)
    ports, *inside = TYPES[variant]
    assert made_of(path) == tuple(inside)
    if ports == "float32":
        assert not isinstance(p, predictors.QuantizedPredictor)
    else:
        assert (p.input.dtype, p.output.dtype) == (ports, ports)


# largest error that 8-bit weights and activations, half-precision weights, or none of them make of this net
WITHIN = {"float32": 2e-6, "dynamic_range": 2e-6, "float16": 2e-3, "int16x8": 1e-2}


@pytest.mark.parametrize("variant", TYPES)
@pytest.mark.parametrize("runtime", predictors.LITERT_KERNELS)
def test_each_variant_answers_a_whole_batch_on_every_litert_kernel(converted, variant, runtime):
    p = predictors.from_tflite(converted[1] / f"{variant}.tflite", runtime)
    report = compare.errors(predictors.from_torch(converted[0]), p, data.grid())
    assert report.max_abs < WITHIN.get(variant, 0.03)
    assert variant in ("float32", "dynamic_range") or report.max_abs > 1e-5, "nothing was quantized"


@pytest.mark.skipif(sys.platform != "linux", reason="TFLite Micro's package is for Linux")
@pytest.mark.parametrize("variant", TYPES)
def test_tflite_micro_takes_every_variant_but_float16(converted, variant, capfd):
    path = converted[1] / f"{variant}.tflite"
    if variant == "float16":
        with pytest.raises(ValueError, match="float16.tflite is not a model that TFLite Micro can run"):
            predictors.from_tflite(path, "tflm")
        assert capfd.readouterr() == ("", "")
    else:
        x = data.grid(11)
        error = np.abs(predictors.from_tflite(path, "tflm")(x) - predictors.from_torch(converted[0])(x))
        assert error.max() < WITHIN.get(variant, 0.03)


def test_uint8_codes_are_int8_codes_moved_by_128(converted):
    signed, unsigned = (predictors.from_tflite(converted[1] / f"{variant}.tflite") for variant in ("int8", "uint8"))
    assert unsigned.input.scale == signed.input.scale
    assert unsigned.input.zero_point == signed.input.zero_point + 128
    q = data.int8_inputs()
    moved = (q.astype(int) + 128).astype(np.uint8)
    assert np.array_equal(unsigned.codes(moved).astype(int), signed.codes(q).astype(int) + 128)


def test_int16_activations_are_symmetric(converted):
    p = predictors.from_tflite(converted[1] / "int16x8.tflite")
    assert p.input.zero_point == p.output.zero_point == 0
    assert p.input.scale == pytest.approx(1 / 32767) and p.output.scale == 1 / 32768


def test_dynamic_range_quantizes_matrices_from_1024_weights_on(tmp_path):
    dtypes = {}
    for width, variant in ((31, "dynamic_range"), (32, "dynamic_range"), (32, "float32")):   # 961 and 1,024 weights
        export.to_onnx(models.MLP((width, width), seed=0), tmp_path / f"{width}.onnx")
        export.to_saved_model(tmp_path / f"{width}.onnx", tmp_path / "saved")
        path = export.to_tflite(tmp_path / "saved", tmp_path / f"{width}.tflite", variant)
        (square,) = [t for t in tflite_file.read(path).tensors if t.shape == (width, width)]
        dtypes[width, variant] = square.dtype
    assert list(dtypes.values()) == ["FLOAT32", "INT8", "FLOAT32"]


def test_dynamic_range_quantizes_the_inputs_of_a_large_matrix_row_by_row_as_they_come(tmp_path):
    """Rounded weights alone do not explain its answers; rounding each row of activations to 255 steps as well does."""
    net = models.MLP((32, 32), "tanh", seed=1)
    path = export.torch_to_tflite(net, tmp_path / "net.tflite", "dynamic_range")
    (square,) = [t for t in tflite_file.read(path).tensors if t.shape == (32, 32)]
    weights = square.data * np.float64(square.scales)[:, None]
    first, _, second = net.hidden

    def answers(row_steps):
        a = torch.tanh(first(torch.from_numpy(data.grid(21)))).detach().numpy().astype(np.float64)
        low, high = np.minimum(a.min(1), 0)[:, None], np.maximum(a.max(1), 0)[:, None]
        if row_steps:
            scale = (high - low) / row_steps
            zero = np.rint(-128 - low / scale)
            a = (np.clip(np.rint(a / scale) + zero, -128, 127) - zero) * scale
        hidden = torch.tanh(torch.from_numpy(a @ weights.T) + second.bias)
        return torch.sigmoid(hidden @ net.output.weight.double().T + net.output.bias).detach().numpy()[:, 0]

    file = predictors.from_tflite(path)(data.grid(21))
    unexplained = [np.abs(answers(row_steps) - file).mean() for row_steps in (255, 0)]
    assert unexplained[0] < 2e-6 and unexplained[1] > 1e-4


def test_granularity_says_how_many_scales_a_layers_weights_have(converted, tmp_path):
    export.to_tflite(converted[1] / "saved", tmp_path / "int8.tflite", granularity="per_tensor")
    for path, scales in ((tmp_path / "int8.tflite", {1}), (converted[1] / "int8.tflite", {1, 5})):
        assert {len(t.scales) for t in tflite_file.read(path).tensors if t.shape in ((5, 2), (1, 5))
                and t.data is not None} == scales
    with pytest.raises(ValueError, match="granularity must be one of per_channel, per_tensor, got 'both'"):
        export.to_tflite(converted[1] / "saved", tmp_path / "no.tflite", granularity="both")


def test_a_model_of_other_inputs_wants_calibration_that_fits(tmp_path):
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
    export.to_onnx(model, tmp_path / "net.onnx", sample=(6,))
    saved = export.to_saved_model(tmp_path / "net.onnx", tmp_path / "saved")
    x = np.random.default_rng(0).random((200, 6), dtype=np.float32)
    export.to_tflite(saved, tmp_path / "float32.tflite", "float32")
    export.to_tflite(saved, tmp_path / "int8.tflite", "int8", x)
    original = predictors.from_torch(model)
    for file, tolerance in (("float32.tflite", 1e-6), ("int8.tflite", 0.03)):
        report = compare.errors(original, predictors.from_tflite(tmp_path / file), x, tolerance)
        assert report.passed and (report.outputs, report.points) == (600, 200)
    with pytest.raises(ValueError, match=r"inputs of shape \(n, 6\); give calibration"):
        export.to_tflite(saved, tmp_path / "int8.tflite")
    for other in (data.grid(9), x[:, :, None]):
        with pytest.raises(ValueError, match=r"shape of the model's inputs, \(n, 6\), got \("):
            export.to_tflite(saved, tmp_path / "int8.tflite", calibration=other)


def test_a_function_becomes_the_same_net_without_the_road_through_onnx(converted, tmp_path):
    import tensorflow as tf

    weights = {key: value.numpy() for key, value in converted[0].state_dict().items()}

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32)])
    def net(x):
        hidden = tf.tanh(x @ weights["hidden.weight"].T + weights["hidden.bias"])
        return tf.sigmoid(hidden @ weights["output.weight"].T + weights["output.bias"])

    x = data.grid()
    for variant, tolerance in (("float32", 1e-6), ("int8", 1 / 255)):       # a rounding may fall to the other side
        short = predictors.from_tflite(export.function_to_tflite(net, tmp_path / f"{variant}.tflite", variant))
        long = predictors.from_tflite(converted[1] / f"{variant}.tflite")
        assert np.abs(short(x) - long(x)).max() <= tolerance
    with pytest.raises(ValueError, match="variant must be one of"):
        export.function_to_tflite(net, tmp_path / "no.tflite", "int4")


def test_calibration_sets_the_input_range(converted, tmp_path):
    half = data.grid(9) / 2
    export.to_tflite(converted[1] / "saved", tmp_path / "half.tflite", calibration=half)
    assert predictors.from_tflite(tmp_path / "half.tflite").input.scale == pytest.approx(0.5 / 255)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """The SavedModel of each reference net, exported afresh."""
    folders = {name: tmp_path_factory.mktemp(name) for name in models.reference_names()}
    for name, folder in folders.items():
        export.to_onnx(models.reference(name), folder / "net.onnx")
        export.to_saved_model(folder / "net.onnx", folder / "saved")
    return folders


@pytest.mark.parametrize(("name", "variant"), [
    (path.parent.name, path.stem) for path in sorted(models.REFERENCES.glob("*/*.tflite"))
    if path.stem in export.VARIANTS])
def test_a_fresh_export_answers_as_the_committed_file_on_all_inputs(name, variant, fresh):
    made = export.to_tflite(fresh[name] / "saved", fresh[name] / f"{variant}.tflite", variant)
    ours, kept = (predictors.from_tflite(path) for path in (made, models.reference_file(name, f"{variant}.tflite")))
    if variant in ("int8", "uint8"):
        assert compare.agreement(ours, kept, data.int8_inputs().view(ours.input.dtype)).differing == 0
    else:
        x = data.grid(256)
        assert np.array_equal(ours(x), kept(x))


def test_every_variant_of_the_first_reference_net_is_committed():
    for variant in export.VARIANTS:
        assert models.reference_file("sigmoid-2-3-1", f"{variant}.tflite").stat().st_size > 2000




@pytest.fixture(scope="module", ids="-".join, params=[
    ("sigmoid-2-3-1", "8", "per_channel"), ("sigmoid-2-3-1", "4", "per_tensor"), ("relu-2-4-1", "8", "per_tensor"),
    ("relu-2-4-1", "4", "per_channel")])
def qat(request, tmp_path_factory):
    """A net trained with fake quantization, and its int8 file."""
    name, bits, granularity = request.param
    net, _ = training.fit_qat(models.reference(name), data.grid(17), weight_bits=int(bits),
                              granularity=granularity, epochs=60)
    return net, export.qat_to_tflite(net, tmp_path_factory.mktemp("qat") / "int8.tflite")


def same_net(file, net):
    """Assert that a file holds a FakeQuantized net's codes, zero points and scales, to the last bit."""
    for stored, expected in zip(IntegerMLP.from_tflite(file).steps, net.integers().steps, strict=True):
        assert type(stored) is type(expected)
        assert (stored.input, stored.output) == (expected.input, expected.output)
        if isinstance(stored, FullyConnected):
            assert stored.lowest == expected.lowest
            for part in ("weights", "biases", "weight_scales"):
                assert np.array_equal(getattr(stored, part), getattr(expected, part)), part


def test_a_qat_file_holds_the_learned_weights_biases_and_scales(qat):
    net, path = qat
    layers = [step for step in IntegerMLP.from_tflite(path).steps if isinstance(step, FullyConnected)]
    assert predictors.from_tflite(path).input == net.input
    assert max(np.abs(layer.weights).max() for layer in layers) <= net.largest
    assert [len(layer.weight_scales) for layer in layers] == [len(stage.weight_scales) for stage in net.stages()]
    same_net(path, net)


@pytest.mark.parametrize("widths", [(2, 2, 2, 2, 2, 2, 2), (2, 1, 2, 1, 2)])
def test_layers_with_equal_weights_keep_their_own_codes(widths, tmp_path):
    """The converter stores equal numbers once; what stands in for the weights must not be equal by chance."""
    parts = []
    for number, (width, next_width) in enumerate(zip(widths, widths[1:], strict=False)):
        layer = nn.Linear(width, next_width)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([[7.0, 1.0], [2.0, 7.0 - number]])[:next_width, :width])
            layer.bias.fill_(9.0)
        parts += [layer, nn.ReLU()]
    for bits, granularity in ((8, "per_channel"), (4, "per_channel"), (4, "per_tensor")):
        net = rounded(nn.Sequential(*parts[:-1]), data.grid(9), bits, granularity=granularity)
        same_net(export.qat_to_tflite(net, tmp_path / "net.tflite"), net)


def test_a_scale_whose_last_bit_the_converter_changes_is_the_nets_in_the_file(tmp_path):
    """One in thirty scales is another float32 once it has been the ends of a range."""
    net = rounded(models.MLP(4, "relu", seed=29), data.grid(9))
    line = net.integers().steps[1].output
    low, high = (np.float32(line.scale * (code - line.zero_point)) for code in (-128, 127))
    assert np.float32((float(high) - float(low)) / 255) != np.float32(line.scale)
    same_net(export.qat_to_tflite(net, tmp_path / "net.tflite"), net)


@pytest.mark.parametrize("runtime, rule", conformance.EXPECTED.items())
def test_the_integers_of_a_qat_net_are_what_its_file_answers_on_every_input(qat, runtime, rule):
    net, path = qat
    if runtime == "tflm" and sys.platform != "linux":
        pytest.skip("TFLite Micro's package is for Linux")
    graph = IntegerGraph.from_qat(net, rule)
    q, theirs = data.int8_inputs(), predictors.from_tflite(path, runtime).codes(data.int8_inputs())
    assert (graph.codes(q) == theirs).all() and (net.integers(rule).codes(q) == theirs).all()
    # and on how many inputs these differ from the simulation is what a comparison counts
    counted = compare.agreement(predictors.from_qat(net), predictors.from_integer(graph))
    assert counted.inputs == len(q) and counted.differing == (net.codes(q) != theirs).sum()
    assert counted.differing <= 0.005 * len(q) if rule in ("reference", "xnnpack") else counted.differing > 0


def may_round_otherwise(path, q, rule):
    """Say for each input whether rounding can explain another code than exact arithmetic's, under a runtime's rule.

    It can where the exact sum of a unit, in output steps, lies so close to a tie that the rule may take the other
    side: within float32's precision, or, where a rule rounds twice, within half a unit of its first rounding. And it
    can where the rule has another entry in its sigmoid table.
    """
    net = IntegerMLP.from_tflite(path, "reference")
    twice = rule in ("tflm", "ruy")
    may, codes = np.zeros(len(q), bool), q
    for step, made in zip(net.steps, net.trace(q), strict=True):
        if isinstance(step, FullyConnected):
            exact = made.accumulators * step.scales()
            right = np.array([-quantize_multiplier(scale)[1] for scale in step.scales()])
            slack = 1e-4 + (2.0 ** -(right + 1) if twice else 0)
            may |= (np.abs(exact - np.floor(exact) - 0.5) <= slack).any(axis=1)
        else:
            tables = [RULES[name].table(step).astype(int) for name in ("reference", "xnnpack", "tflm")]
            uncertain = np.ptp(tables, axis=0) > 0
            may |= uncertain[codes.astype(int) + 128].any(axis=1)
        codes = made.codes
    return may


@pytest.mark.parametrize("runtime", ["xnnpack", "reference"])
def test_the_simulation_equals_tflite_and_rounding_explains_the_rest(qat, runtime):
    net, path = qat
    q = data.int8_inputs()
    differ = predictors.from_tflite(path, runtime).codes(q) != net.codes(q)
    may = may_round_otherwise(path, q, runtime)
    assert differ.mean() <= 0.005
    assert not (differ & ~may).any()
    assert may.mean() < 0.02, "rounding would excuse too much"


@pytest.mark.skipif(sys.platform != "linux", reason="TFLite Micro's package is for Linux")
def test_double_rounding_explains_what_tflite_micro_makes_of_a_qat_file(qat):
    net, path = qat
    q = data.int8_inputs()
    codes = predictors.from_tflite(path, "tflm").codes(q)
    differ = codes != net.codes(q)
    may = may_round_otherwise(path, q, "tflm")
    assert np.array_equal(codes, IntegerMLP.from_tflite(path, "tflm").codes(q))
    assert differ.any() and not (differ & ~may).any()
    # with few bits an accumulator's unit is worth so much that the first rounding leaves 3 bits: ties are common
    assert net.largest < 127 or may.mean() < 0.25


def test_a_qat_file_of_the_zoo_answers_as_its_simulation(tmp_path):
    x, _, test_x, _ = zoo.digits()
    net, _ = training.fit_qat(zoo.trained("dense2", seed=3), x, weight_bits=3, epochs=40)
    p = predictors.from_tflite(export.qat_to_tflite(net, tmp_path / "int8.tflite"))
    q = p.input.quantize(test_x)
    assert p.codes(q).shape == (len(test_x), 10) and (p.codes(q) != net.codes(q)).mean() <= 0.005


def test_a_failed_export_leaves_the_earlier_files_as_they_were(tmp_path):
    class Odd(nn.Module):
        def forward(self, x):
            if torch.onnx.is_in_onnx_export():
                raise RuntimeError("cannot be exported")
            return x

    path = tmp_path / "net.onnx"
    path.write_text("earlier")
    with pytest.raises(RuntimeError, match="cannot be exported"):
        export.to_onnx(Odd(), path)
    assert path.read_text() == "earlier"
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "saved_model.pb").write_text("not a SavedModel")
    tflite = tmp_path / "net.tflite"
    tflite.write_text("earlier")
    for variant in ("int8", "float32"):
        with pytest.raises(ValueError, match="damaged"):
            export.to_tflite(saved, tflite, variant)
    assert tflite.read_text() == "earlier" and sorted(p.name for p in tmp_path.iterdir()) == [
        "net.onnx", "net.tflite", "saved"]


@pytest.mark.parametrize("net, sample, hint", [
    (nn.Linear(3, 1), (2,), "sample=(3,)"),
    (nn.Sequential(nn.Conv2d(3, 4, 2), nn.Flatten(), nn.LazyLinear(2)), (1, 8, 8), "sample=(3, height, width)"),
    (nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 2)), (2,), "sample=(3, height, width)"),
    (models.MLP().double(), (2,), ""),
])
def test_a_model_of_other_inputs_is_told_to_name_their_shape(tmp_path, net, sample, hint):
    with pytest.raises(ValueError, match=r"does not take inputs of shape \(1, ") as error:
        export.to_onnx(net, tmp_path / "net.onnx", sample)
    assert hint in str(error.value) and ("give the shape" in str(error.value)) == bool(hint)
    assert list(tmp_path.iterdir()) == []


def test_what_onnx_has_no_operator_for_is_said_in_one_line(tmp_path):
    class Bessel(nn.Module):
        def forward(self, x):
            return torch.special.bessel_j0(x)

    with pytest.raises(ValueError, match="cannot be written as ONNX: .*special_bessel_j0.* not supported") as error:
        export.to_onnx(Bessel(), tmp_path / "net.onnx")
    assert "\n" not in str(error.value)
    with pytest.raises(TypeError, match="PyTorch module, got str"):
        export.to_onnx("net.pth", tmp_path / "net.onnx")


def test_a_module_whose_train_means_something_else_is_exported_in_eval_mode(tmp_path):
    class Net(nn.Sequential):
        def train(self, expected, points):
            raise AssertionError("the student's own loop was run")

    net = Net(nn.Linear(2, 3), nn.Dropout(0.9), nn.Linear(3, 1))
    p = predictors.from_onnx(export.to_onnx(net, tmp_path / "net.onnx"))
    expected = net[2](net[0](torch.from_numpy(data.grid(5)))).detach()[:, 0]
    np.testing.assert_allclose(p(data.grid(5)), expected, atol=1e-6)
    assert net.training and net[1].training


def test_an_operator_that_tflite_lacks_is_named_in_one_sentence(tmp_path, capfd):
    gelu = nn.Sequential(nn.Linear(2, 4), nn.GELU(), nn.Linear(4, 1), nn.Sigmoid())
    path = tmp_path / "net.tflite"
    path.write_text("earlier")
    with pytest.raises(ValueError, match=r'says "TF Select ops: Erf"; build .*GELU\(approximate="tanh"\)') as error:
        export.torch_to_tflite(gelu, path, "float32")
    gelu[1].approximate = "tanh"                                            # as the sentence advises

    class Acos(nn.Module):
        def forward(self, x):
            return torch.acos(x)

    with pytest.raises(ValueError, match='says "Custom ops: Acos"; build the model without it') as other:   # in onnx2tf
        export.torch_to_tflite(Acos(), path, "float32")
    assert "\n" not in str(error.value) + str(other.value) and path.read_text() == "earlier"
    file = export.to_onnx(Acos(), tmp_path / "acos.onnx")
    with pytest.raises(ValueError, match=f"^{re.escape(str(file))}: TFLite has no operator .* ops: Acos"):
        export.to_saved_model(file, tmp_path / "saved")
    assert sys.getrecursionlimit() < 100_000        # which onnx2tf lifts when it is imported
    p = predictors.from_tflite(export.torch_to_tflite(gelu, path, "float32"))
    np.testing.assert_allclose(p(data.grid(9)), predictors.from_torch(gelu)(data.grid(9)), atol=1e-5)
    assert capfd.readouterr() == ("", "")


def test_a_converter_that_ends_the_process_or_says_little_becomes_a_sentence():
    def leave():
        print("\nERROR: no such layer")
        raise SystemExit(1)

    def fail():
        raise RuntimeError('<unknown>:0: error: loc(fused["a:", "b"]): tensor is odd\n  at line 3')

    for convert, says in ((leave, "ERROR: no such layer"), (fail, "tensor is odd"), (lambda: {}["a"], "KeyError('a')")):
        with pytest.raises(ValueError) as error:
            export._attempted(convert)
        assert str(error.value) == f"the converter refuses this model; it says: {says}"


def picture_net(sample):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(sample[0], 4, 2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3)).eval()
    net(torch.zeros(1, *sample))
    return net


@pytest.mark.parametrize("sample", [(1, 8, 8), (3, 3, 3)])
def test_channels_that_onnx2tf_moved_are_said_even_where_every_length_is_the_same(tmp_path, sample, capsys):
    net, x = picture_net(sample), np.random.default_rng(1).random((30, *sample), dtype=np.float32)
    saved = export.to_saved_model(export.to_onnx(net, tmp_path / "net.onnx", sample), tmp_path / "saved")
    said = capsys.readouterr().out
    c, h, w = sample
    assert said.startswith("onnx2tf moved the channels last") and said.count("\n") == 1
    assert f"takes inputs (n, {h}, {w}, channels={c}) where" in said
    assert f"takes (n, channels={c}, {h}, {w}); x.transpose(0, 2, 3, 1) moves them" in said
    wanted = predictors.from_torch(net)(x)
    p = predictors.from_tflite(export.to_tflite(saved, tmp_path / "net.tflite", "float32"))
    np.testing.assert_allclose(p(x.transpose(0, 2, 3, 1)), wanted, atol=1e-6)
    if sample[0] == sample[1]:
        assert np.abs(p(x) - wanted).max() > 0.1
        int8 = export.torch_to_tflite(net, tmp_path / "int8.tflite", "int8", x, sample)     # x as PyTorch has it
        assert capsys.readouterr().out.startswith("onnx2tf moved the channels last: " + str(int8))
        assert np.abs(predictors.from_tflite(int8)(x.transpose(0, 2, 3, 1)) - wanted).max() < 0.02
    else:
        with pytest.raises(ValueError, match=r"\(n, 8, 8, 1\), got \(30, 1, 8, 8\); .* x.transpose\(0, 2, 3, 1\)"):
            export.to_tflite(saved, tmp_path / "net.tflite", "int8", x)


def test_a_saved_model_that_answers_otherwise_than_its_onnx_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_difference", lambda wanted, got: 0.01)
    with pytest.raises(ValueError, match="does not answer as .*model.onnx: .* off by 0.01"):
        export.to_saved_model(models.reference_file("relu-2-4-1", "model.onnx"), tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


def test_one_step_from_pytorch_gives_the_file_of_the_three(converted, tmp_path, capfd):
    model, folder = converted
    path = export.torch_to_tflite(model, tmp_path / "int8.tflite")
    short, long = (predictors.from_tflite(file).codes(data.int8_inputs()) for file in (path, folder / path.name))
    assert np.array_equal(short, long) and list(tmp_path.iterdir()) == [path]
    assert capfd.readouterr() == ("", "")
    with pytest.raises(ValueError, match=r"model's inputs, \(n, 2\), got \(4, 3\)"):
        export.torch_to_tflite(model, tmp_path / "no.tflite", calibration=np.zeros((4, 3)))
    with pytest.raises(ValueError, match="variant must be one of"):
        export.torch_to_tflite(model, tmp_path / "no.tflite", "int4")


@pytest.fixture(scope="module")
def keras_net():
    import keras

    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(1, "sigmoid")])


def test_a_keras_model_becomes_the_file_that_its_saved_model_becomes(keras_net, tmp_path, capfd):
    keras_net.export(tmp_path / "saved", verbose=False)
    capfd.readouterr()
    q = data.int8_inputs()
    short, long = (predictors.from_tflite(export.to_tflite(given, tmp_path / f"{i}.tflite"))
                   for i, given in enumerate((keras_net, tmp_path / "saved")))
    assert np.array_equal(short.codes(q), long.codes(q)) and (short.input, short.output) == (long.input, long.output)
    assert capfd.readouterr() == ("", "")


def test_what_is_no_saved_model_is_told_the_way(keras_net, tmp_path):
    import keras

    keras_net.save(tmp_path / "net.keras")
    with pytest.raises(ValueError, match=r"load it .*: to_tflite\(keras.models.load_model\(.*\), ...\)") as error:
        export.to_tflite(tmp_path / "net.keras", tmp_path / "net.tflite")
    loaded = eval(str(error.value).split("to_tflite(")[1].split(", ...")[0])                # what the sentence advises
    assert export.to_tflite(loaded, tmp_path / "net.tflite").is_file()
    with pytest.raises(ValueError, match=r"no weights yet.*begin it with keras.Input\(shape\)"):
        export.to_tflite(keras.Sequential([keras.layers.Dense(1)]), tmp_path / "no.tflite")
    with pytest.raises(TypeError, match="got MLP; a PyTorch module goes through torch_to_tflite"):
        export.to_tflite(models.reference(), tmp_path / "no.tflite")
    with pytest.raises(ValueError, match=r"@tf.function\(input_signature="):
        export.function_to_tflite(lambda x: x, tmp_path / "no.tflite")


@pytest.mark.parametrize("calibration, says", [
    (data.grid(9) * 255, "can use 2 of 256 codes"), (np.zeros((1, 2)), "all the same"),
    (None, ""), (data.grid(9) * 0.4 + 0.3, "")])
def test_calibration_that_cannot_show_ranges_gets_a_sentence(converted, tmp_path, calibration, says, capsys):
    export.to_tflite(converted[1] / "saved", tmp_path / "int8.tflite", calibration=calibration)
    said = capsys.readouterr().out
    assert says in said and said.count("\n") == bool(says)


def test_a_model_in_other_units_may_be_calibrated_in_them(tmp_path, capsys):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32)])
    def price(metres):
        return metres @ tf.constant([[4.2]])

    metres = np.arange(40, 201, dtype=np.float32)[:, None]
    export.function_to_tflite(price, tmp_path / "int8.tflite", "int8", metres)
    assert capsys.readouterr().out == ""
    export.function_to_tflite(price, tmp_path / "int8.tflite", "int8", metres[:1])
    assert "all the same" in capsys.readouterr().out


def test_a_slip_of_the_path_does_not_delete_a_folder(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="holds other files"):
        export.to_saved_model(models.reference_file("relu-2-4-1", "model.onnx"), tmp_path)
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x07" * 50])
def test_unsound_onnx_files_are_named(tmp_path, content):
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(ValueError, match="bad.onnx is not a sound ONNX model"):
        export.to_saved_model(tmp_path / "bad.onnx", tmp_path / "saved")


def test_a_truncated_onnx_file_is_named(tmp_path):
    whole = models.reference_file("relu-2-4-1", "model.onnx").read_bytes()
    (tmp_path / "bad.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="bad.onnx is not a sound ONNX model"):
        export.to_saved_model(tmp_path / "bad.onnx", tmp_path / "saved")


def test_missing_files_and_unknown_variants_are_named(converted, tmp_path):
    with pytest.raises(FileNotFoundError, match="no ONNX file at .*gone.onnx"):
        export.to_saved_model(tmp_path / "gone.onnx", tmp_path / "saved")
    with pytest.raises(FileNotFoundError, match="no SavedModel in .*gone"):
        export.to_tflite(tmp_path / "gone", tmp_path / "net.tflite")
    with pytest.raises(ValueError, match="variant must be one of float32, dynamic_range, .*int16x8, got 'int4'"):
        export.to_tflite(converted[1] / "saved", tmp_path / "net.tflite", "int4")
    with pytest.raises(ValueError, match="finite"):
        export.to_tflite(converted[1] / "saved", tmp_path / "net.tflite", calibration=[[np.nan, 0]])
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot write"):
        export.to_onnx(converted[0], tmp_path / "file" / "net.onnx")


def test_conversion_is_quiet(converted, tmp_path, capfd):
    export.to_saved_model(converted[1] / "net.onnx", tmp_path / "saved")
    export.to_tflite(tmp_path / "saved", tmp_path / "int8.tflite")
    assert capfd.readouterr() == ("", "")


def test_a_collection_that_the_converter_demands_looks_at_no_older_objects(converted, tmp_path, monkeypatch):
    collect, seen = gc.collect, []
    monkeypatch.setattr(gc, "collect", lambda *given: seen.append(len(gc.get_objects())) or collect(*given))
    gc.unfreeze()
    export.to_tflite(converted[1] / "saved", tmp_path / "int8.tflite")
    assert gc.get_freeze_count() == 0
    assert seen and max(seen) < 0.2 * len(gc.get_objects())
    mine = [[]]
    gc.freeze()                                     # somebody's own objects, which stay where they are
    try:
        export.to_tflite(converted[1] / "saved", tmp_path / "int8.tflite")
        assert gc.get_freeze_count() > 0 and not any(one is mine for one in gc.get_objects())
    finally:
        gc.unfreeze()


def test_a_keras_model_is_a_predictor():
    import tensorflow as tf

    model = tf.keras.Sequential([tf.keras.Input((2,)), tf.keras.layers.Dense(3, activation="sigmoid")])
    p = predictors.from_keras(model)
    kernel, bias = model.get_weights()
    x = data.grid(5)
    np.testing.assert_allclose(p(x), 1 / (1 + np.exp(-(x @ kernel + bias))), atol=1e-6)
    with pytest.raises(ValueError, match=r"\(n, 2\), got \(4, 3\)"):
        p(np.zeros((4, 3)))


def test_the_demo_writes_every_form_and_tells_the_truth(tmp_path, capsys):
    assert cli.main(["demo", "--out", str(tmp_path), "--epochs", "1000", "--activation", "tanh", "--hidden", "8"]) == 0
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == [
        ".xorlab.json", "float32.tflite", "int8.tflite", "model.onnx", "model.pth", "surfaces.png"]
    text = capsys.readouterr().out
    rows = {line[:24].strip(): line.split() for line in text.splitlines() if line.endswith((" us", " ms"))}
    assert len(rows) == 7
    assert f"{(tmp_path / 'int8.tflite').stat().st_size:,}" in rows["TFLite int8, xnnpack"]
    assert rows["TFLite int8, tflm"].count("65,536") == 1


def test_the_demo_takes_a_reference_net(tmp_path, capsys):
    assert cli.main(["demo", "--out", str(tmp_path), "--reference", "textbook-2-4-1"]) == 0
    text = capsys.readouterr().out
    assert "Reference net textbook-2-4-1" in text
    tflm, reference = (predictors.from_tflite(tmp_path / "int8.tflite", runtime) for runtime in ("tflm", "reference"))
    same = (tflm.codes(data.int8_inputs()) == reference.codes(data.int8_inputs())).sum()
    (row,) = [line for line in text.splitlines() if line.startswith("TFLite int8, reference")]
    assert f" {same:,} " in row and same < 65536


def test_the_demo_reports_a_net_that_did_not_learn(tmp_path, capsys):
    assert cli.main(["demo", "--out", str(tmp_path), "--seed", "0", "--epochs", "1500"]) == 1
    text = capsys.readouterr().out
    assert "did not learn XOR" in text and "--seed 1" in text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments, says", [
    (["--activation", "step"], "sigmoid, relu, tanh"), (["--hidden", "0"], "positive"), (["--epochs", "-1"], "epochs"),
    (["--reference", "xor"], "there are relu-2-4-1"), (["--out", __file__], "cannot write")])
def test_bad_arguments_of_the_demo_get_one_sentence(tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["demo", *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error and len(error.splitlines()) == 1


def test_the_same_net_gives_the_same_file_however_many_were_converted_before(tmp_path):
    """Layers are numbered through the process, and their names are part of a file."""
    export.to_onnx(models.reference("sigmoid-2-3-1"), tmp_path / "net.onnx")
    made = []
    for turn in ("first", "second"):
        export.to_saved_model(tmp_path / "net.onnx", tmp_path / turn)
        made.append(export.to_tflite(tmp_path / turn, tmp_path / f"{turn}.tflite", "float16").read_bytes())
    assert made[0] == made[1]
