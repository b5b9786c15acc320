"""Export: a PyTorch net to ONNX, to a TensorFlow SavedModel, to TFLite.

PyTorch, ONNX and TensorFlow are each imported inside the function that needs them, so that a lesson
which only exports to ONNX never waits for TensorFlow.
"""
import contextlib
import io
import shutil
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from xorlab import data, files
from xorlab.streams import quiet

CALIBRATION_SIDE = 9        # 9 x 9 points of [0, 1]^2: enough to see each layer's range, corners included


def to_onnx(model, path):
    """Write a PyTorch model as ONNX (opset 17) with input "input", output "output" and a free batch axis.

    model : a module from float32 (n, 2).  path : the file to write; kept as it was if the export fails.
    Returns the path.
    """
    import torch

    training = model.training
    model.eval()
    try:
        with files.replacing(path) as made, warnings.catch_warnings():
            # the TorchScript exporter is the one that writes opset 17 itself; PyTorch wants it replaced
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.onnx.export(
                model, (torch.zeros(1, 2),), made, dynamo=False, opset_version=17,
                input_names=["input"], output_names=["output"],
                dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}},
            )
    finally:
        model.train(training)
    return Path(path)


def to_saved_model(onnx_path, directory):
    """Convert an ONNX file to a TensorFlow SavedModel with onnx2tf.

    directory : the folder to write; replaced whole, and kept as it was if the conversion fails.
    onnx2tf also leaves its own float32 and float16 `.tflite` files there.
    Raises FileNotFoundError, or ValueError if the file is not a sound ONNX model.  Returns the directory.
    """
    check_onnx(onnx_path)
    _check_not_foreign(directory)
    with quiet(), _without_chatter(), files.replacing(directory) as made, TemporaryDirectory() as temporary:
        import onnx2tf

        # of a copy, because onnx2tf writes inferred shapes back into the file it is given;
        # without its simplifier, which is three subprocesses and takes ten times as long for the same result
        onnx2tf.convert(
            input_onnx_file_path=shutil.copy(onnx_path, temporary), output_folder_path=str(made),
            not_use_onnxsim=True, non_verbose=True,
        )
    return Path(directory)


def to_tflite(saved_model, path, variant="int8", calibration=None):
    """Convert a SavedModel to a TFLite file.

    saved_model : the SavedModel's folder.  path : the file to write; kept as it was if the conversion fails.
    variant : a name in VARIANTS.
    calibration : float32 (n, ...) inputs from which the variants with integer activations learn each tensor's
        range; None means the 9 x 9 grid over [0, 1]^2.
    Raises ValueError for an unknown variant, calibration that is no batch of points, or a damaged SavedModel;
    FileNotFoundError if there is none.  Returns the path.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, got {variant!r}")
    calibration = data.grid(CALIBRATION_SIDE) if calibration is None else data.points(calibration)
    if not (Path(saved_model) / "saved_model.pb").is_file():
        raise FileNotFoundError(f"no SavedModel in {saved_model}; make one with to_saved_model")
    with quiet(), _without_chatter(), files.replacing(path) as made:
        import tensorflow as tf

        try:
            converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
        except OSError:
            raise ValueError(f"the SavedModel in {saved_model} is damaged; make it again with to_saved_model") from None
        VARIANTS[variant](converter, calibration)
        made.write_bytes(converter.convert())
    return Path(path)


def _float32(converter, calibration):
    """Weights and activations as they are."""


def _int8(converter, calibration):
    """Everything in int8, the input and output too."""
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([np.ascontiguousarray(point)[None]] for point in calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8


VARIANTS = {"float32": _float32, "int8": _int8}


def check_onnx(path):
    """Raise FileNotFoundError or ValueError, in one sentence, unless `path` holds a sound ONNX model."""
    import onnx
    from google.protobuf.message import DecodeError

    path = files.existing_file(path, "ONNX")
    try:
        onnx.checker.check_model(onnx.load(path))
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise ValueError(
            f"{path} is not a sound ONNX model ({str(error).splitlines()[0]}); export it again with to_onnx") from None


def _check_not_foreign(directory):
    """Refuse to replace a folder that holds anything but a SavedModel: a slip of the path must not delete work."""
    directory = Path(directory)
    if directory.is_file():
        raise FileExistsError(f"{directory} is a file; name a folder for the SavedModel")
    if directory.is_dir() and any(directory.iterdir()) and not (directory / "saved_model.pb").is_file():
        raise FileExistsError(f"{directory} holds other files; name an empty or a new folder for the SavedModel")


def _without_chatter():
    """Hold back what the converters print to stdout."""
    return contextlib.redirect_stdout(io.StringIO())
