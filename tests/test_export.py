"""Tests of the conversions, with the real converters: the one file of tests that loads TensorFlow."""
import sys

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from xorlab import cli, compare, data, export, models, predictors, tflite_file, training, zoo
from xorlab.fixed_point import quantize_multiplier
from xorlab.integer import IntegerMLP
from xorlab.qat import rounded
from xorlab.rules import RULES, Layer


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
    """Assert that a file holds a FakeQuantized net's codes, and scales to float32's last digits."""
    for stored, expected in zip(IntegerMLP.from_tflite(file).steps, net.integers().steps, strict=True):
        assert type(stored) is type(expected)
        assert stored.output.zero_point == expected.output.zero_point
        assert stored.output.scale == pytest.approx(expected.output.scale, rel=1e-6)
        if isinstance(stored, Layer):
            assert stored.weight_scales == pytest.approx(expected.weight_scales, rel=1e-6)
            assert np.array_equal(stored.weights, expected.weights)
            assert np.array_equal(stored.biases, expected.biases)
            assert stored.lowest == expected.lowest


def test_a_qat_file_holds_the_learned_weights_biases_and_scales(qat):
    net, path = qat
    layers = [step for step in IntegerMLP.from_tflite(path).steps if isinstance(step, Layer)]
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
        if isinstance(step, Layer):
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
            raise RuntimeError("cannot be exported")

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
        "float32.tflite", "int8.tflite", "model.onnx", "model.pth", "surfaces.png"]
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
    assert cli.main(["demo", *arguments]) == 1
    error = capsys.readouterr().err
    assert says in error and len(error.splitlines()) == 1
