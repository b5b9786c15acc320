"""Export: a PyTorch net to ONNX, to a TensorFlow SavedModel, to TFLite.

PyTorch, ONNX and TensorFlow are each imported inside the function that needs them, so that a lesson
which only exports to ONNX never waits for TensorFlow.
"""
import contextlib
import io
import shutil
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from xorlab import data, files
from xorlab.rules import GRANULARITIES, SIGMOID_CODES, Layer
from xorlab.streams import quiet


@dataclass(frozen=True)
class Variant:
    """How TFLiteConverter is set to make one kind of file.

    about : what the file computes with.  optimize : whether weights may be quantized.  calibrated : whether
    activations are, so that the converter must see representative inputs.
    operators : a name in tf.lite.OpsSet.  ports : dtype of the input and the output.
    weights : "float16" to store weights as that, or None to let the converter choose.
    """
    about: str
    optimize: bool = True
    calibrated: bool = False
    operators: str = "TFLITE_BUILTINS"
    ports: str = "float32"
    weights: str | None = None


VARIANTS = {
    "float32": Variant("everything in float32", optimize=False),
    "dynamic_range": Variant("weights of large matrices in int8, activations in float32"),
    "float_fallback": Variant("int8 where an operator can, float32 elsewhere and at both ends", calibrated=True),
    "float16": Variant("weights stored in float16, computed in float32", weights="float16"),
    "int8": Variant("everything in int8", calibrated=True, operators="TFLITE_BUILTINS_INT8", ports="int8"),
    "uint8": Variant("everything in int8, uint8 at both ends", calibrated=True, operators="TFLITE_BUILTINS_INT8",
                     ports="uint8"),
    "int16x8": Variant("activations in int16, weights in int8", calibrated=True, ports="int16",
                       operators="EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"),
}


def to_onnx(model, path, sample=(2,)):
    """Write a PyTorch model as ONNX (opset 17) with input "input", output "output" and a free batch axis.

    model : a module from float32 (n, *sample).  path : the file to write; kept as it was if the export fails.
    sample : the shape of one input.
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
                model, (torch.zeros(1, *sample),), made, dynamo=False, opset_version=17,
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


def to_tflite(saved_model, path, variant="int8", calibration=None, *, granularity="per_channel"):
    """Convert a SavedModel with one input to a TFLite file.

    saved_model : the SavedModel's folder.  path : the file to write; kept as it was if the conversion fails.
    variant : a name in VARIANTS.
    calibration : float32 (n, ...) inputs from which the variants with integer activations learn each tensor's
        range; None means the 9 x 9 grid over [0, 1]^2, for a model of such points only.
    granularity : "per_channel" gives each unit of a quantized layer its own weight scale, as the converter does by
        itself; "per_tensor" gives the layer one.
    Raises ValueError for an unknown variant or granularity, calibration that is missing or does not fit the model,
    or a damaged SavedModel; FileNotFoundError if there is none.  Returns the path.
    """
    settings = _settings(variant, granularity)
    if not (Path(saved_model) / "saved_model.pb").is_file():
        raise FileNotFoundError(f"no SavedModel in {saved_model}; make one with to_saved_model")
    points = _calibration(_sample_shape(saved_model), calibration) if settings.calibrated else None
    with quiet(), _without_chatter(), files.replacing(path) as made:
        import tensorflow as tf

        try:
            converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
        except OSError:
            raise _damaged(saved_model) from None
        _set_up(converter, settings, points, granularity)
        made.write_bytes(converter.convert())
    return Path(path)


def function_to_tflite(function, path, variant="int8", calibration=None, *, granularity="per_channel"):
    """Convert a tf.function with an input_signature of one tensor (n, ...) to a TFLite file.

    Shorter than the road through ONNX where the net is written in TensorFlow. Arguments after the first, errors and
    what is returned: as in to_tflite. `variant` may also be a Variant of your own.
    """
    settings = variant if isinstance(variant, Variant) else _settings(variant, granularity)
    (entry,) = function.input_signature
    sample = tuple(-1 if length is None else length for length in entry.shape[1:])
    points = _calibration(sample, calibration) if settings.calibrated else None
    with quiet(), _without_chatter(), files.replacing(path) as made:
        import tensorflow as tf

        converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], function)
        _set_up(converter, settings, points, granularity)
        with warnings.catch_warnings():
            # it misses ranges for the inputs that only its older converter took
            warnings.filterwarnings("ignore", message="Statistics for quantized inputs were expected")
            made.write_bytes(converter.convert())
    return Path(path)


def qat_to_tflite(net, path):
    """Convert a qat.FakeQuantized net to an int8 TFLite file with the scales and zero points that it learned.

    The net is written in TensorFlow with fake-quantization operators, which the converter turns into the scales and
    zero points of their tensors; weights, biases and their scales are put into the converted file. Weights of fewer
    than 8 bits stand in it as int8 codes of a smaller range.
    Returns the path.  Raises ValueError for a net so narrow and deep that the converter stores two layers as one.
    """
    with quiet():
        import tensorflow as tf

    stages = net.stages()

    def rounded(x, line):
        low, high = (float(line.scale * (code - line.zero_point)) for code in (-128, 127))
        return tf.quantization.fake_quant_with_min_max_args(x, low, high)

    def weights(stage, number):
        numbers = tf.constant(_stand_in(stage, number))
        if len(stage.weight_scales) > 1:
            return numbers
        widest = 127 * float(stage.weight_scales[0])
        return tf.quantization.fake_quant_with_min_max_args(numbers, -widest, widest, narrow_range=True)

    @tf.function(input_signature=[tf.TensorSpec([None, stages[0].weights.shape[1]], tf.float32)])
    def chain(x):
        x = rounded(x, net.input)
        for number, stage in enumerate(stages):
            x = tf.matmul(x, weights(stage, number), transpose_b=True) + stage.biases
            if stage.activation == "relu":
                x = tf.nn.relu(x)
            x = rounded(x, stage.output)
            if stage.activation == "sigmoid":
                x = rounded(tf.sigmoid(x), SIGMOID_CODES)
        return x

    # not the int8-only set of operators: the converter takes that one with representative data only
    settings = replace(VARIANTS["int8"], calibrated=False, operators="TFLITE_BUILTINS")
    with files.replacing(path) as made:
        function_to_tflite(chain, made, settings)
        made.write_bytes(_with_codes(made.read_bytes(), net.integers()))
    return Path(path)


def _stand_in(stage, number):
    """Return weights float32 (out, in) from which the converter makes a stage's weight scales, one or one per unit.

    For a dense layer it knows no fake quantization with a scale per unit. Left to itself it gives each unit the scale
    at which the largest weight has code 127; so one weight of each unit is 127 steps here. The others differ from
    stage to stage, because the converter makes one of equal weights, and then loses their fake quantization.
    """
    codes = np.full(stage.weights.shape, number % 127, np.float32)
    codes[:, 0] = [-127 if number >> row & 1 else 127 for row in range(len(codes))]
    return codes * stage.weight_scales[:, None]


def _with_codes(content, integers):
    """Return a TFLite file's bytes with the weights, biases and their scales of an IntegerMLP in its dense layers.

    The biases too: where all of a layer's are equal as real numbers, the converter gives them one code, whatever their
    units' scales.
    """
    from ai_edge_litert import schema_py_generated as schema

    content = bytearray(content)                                    # what the views below write into
    model = schema.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    used = [graph.Tensors(i).Buffer() for i in range(graph.TensorsLength())]
    operators = [graph.Operators(i) for i in range(graph.OperatorsLength())]
    dense = [op for op in operators if op.InputsLength() > 1]
    for op, layer in zip(dense, [step for step in integers.steps if isinstance(step, Layer)], strict=True):
        for index, codes, scales in (
                (op.Inputs(1), layer.weights.astype(np.int8), layer.weight_scales),
                (op.Inputs(2), layer.biases.astype("<i4"), np.float32(layer.input.scale) * layer.weight_scales)):
            if index == -1 and not codes.any():                     # the converter leaves out biases that are all 0
                continue
            numbers = model.Buffers(used[index]).DataAsNumpy().view(codes.dtype)
            stored = graph.Tensors(index).Quantization().ScaleAsNumpy()
            shared = used.count(used[index]) > 1 and not np.array_equal(numbers, codes.ravel())
            if shared or len(stored) != len(scales):
                raise ValueError("the converter stored numbers of several layers of this net once, so they cannot get "
                                 "codes of their own; take fewer layers, or more units in each")
            numbers[:], stored[:] = codes.ravel(), scales
    return bytes(content)


def _settings(variant, granularity):
    """Return the Variant of a name, after checking both names."""
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, got {variant!r}")
    if granularity not in GRANULARITIES:
        raise ValueError(f"granularity must be one of {', '.join(GRANULARITIES)}, got {granularity!r}")
    return VARIANTS[variant]


def _set_up(converter, variant, points, granularity):
    """Set a converter as the variant says; `points` are the calibration, None where it needs none."""
    import tensorflow as tf

    converter._experimental_disable_per_channel = granularity == "per_tensor"       # it has no public switch for this
    converter.optimizations = [tf.lite.Optimize.DEFAULT] if variant.optimize else []
    converter.target_spec.supported_ops = [getattr(tf.lite.OpsSet, variant.operators)]
    converter.inference_input_type = converter.inference_output_type = getattr(tf, variant.ports)
    if variant.weights:
        converter.target_spec.supported_types = [getattr(tf, variant.weights)]
    if variant.calibrated:
        converter.representative_dataset = lambda: ([np.ascontiguousarray(point)[None]] for point in points)


def _calibration(sample, given):
    """Return the points a converter shall see, checked against the shape of one input; -1 in it is any length."""
    shape = f"(n, {', '.join('any' if length == -1 else str(length) for length in sample)})"
    if given is None and sample != (2,):
        raise ValueError(f"the model takes inputs of shape {shape}; give calibration, a batch of typical inputs: "
                         "only points of the unit square have a default")
    points = data.grid(data.CALIBRATION_SIDE) if given is None else data.points(given)
    if points.ndim != len(sample) + 1 or any(
            length not in (-1, there) for length, there in zip(sample, points.shape[1:], strict=True)):
        raise ValueError(f"calibration must have the shape of the model's inputs, {shape}, got {points.shape}")
    return points


def _sample_shape(saved_model):
    """Return the shape of one input of a SavedModel, -1 where any length goes, from its signature."""
    from google.protobuf.message import DecodeError

    with quiet():
        from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    try:
        model = SavedModel.FromString((Path(saved_model) / "saved_model.pb").read_bytes())
        (port,) = model.meta_graphs[0].signature_def["serving_default"].inputs.values()
    except (DecodeError, IndexError):
        raise _damaged(saved_model) from None
    except ValueError:
        raise ValueError(f"the SavedModel in {saved_model} has not one input, but none or several") from None
    return tuple(axis.size for axis in port.tensor_shape.dim)[1:]


def _damaged(saved_model):
    return ValueError(f"the SavedModel in {saved_model} is damaged; make it again with to_saved_model")


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
