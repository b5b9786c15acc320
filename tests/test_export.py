"""Tests of the conversions, with the real converters: the one file of tests that loads TensorFlow."""
import numpy as np
import onnx
import pytest
from torch import nn

from xorlab import cli, compare, data, export, models, predictors


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


def test_calibration_sets_the_input_range(converted, tmp_path):
    half = data.grid(9) / 2
    export.to_tflite(converted[1] / "saved", tmp_path / "half.tflite", calibration=half)
    assert predictors.from_tflite(tmp_path / "half.tflite").input.scale == pytest.approx(0.5 / 255)


@pytest.mark.parametrize("name", models.reference_names())
def test_a_fresh_export_gives_the_committed_codes_on_all_inputs(name, tmp_path):
    export.to_onnx(models.reference(name), tmp_path / "net.onnx")
    export.to_saved_model(tmp_path / "net.onnx", tmp_path / "saved")
    export.to_tflite(tmp_path / "saved", tmp_path / "int8.tflite")
    fresh = predictors.from_tflite(tmp_path / "int8.tflite")
    kept = predictors.from_tflite(models.reference_file(name, "int8.tflite"))
    assert compare.agreement(fresh, kept).differing == 0


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
    with pytest.raises(ValueError, match="damaged"):
        export.to_tflite(saved, tflite)
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
    with pytest.raises(ValueError, match="variant must be one of float32, int8, got 'int4'"):
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
