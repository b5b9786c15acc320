"""Export: a PyTorch net to ONNX, to a TensorFlow SavedModel, to TFLite.

PyTorch, ONNX and TensorFlow are each imported inside the function that needs them, so that a lesson
which only exports to ONNX never waits for TensorFlow.
"""
import contextlib
import gc
import io
import os
import re
import shutil
import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from xorlab import arguments, data, files, sandbox
from xorlab.integer.affine import GRANULARITIES, SIGMOID_CODES
from xorlab.integer.operators import FullyConnected
from xorlab.integer.quantize import TRAINED
from xorlab.streams import quiet, say


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
    "dynamic_range": Variant("large matrices in int8, their inputs quantized on the fly"),
    "float_fallback": Variant("int8 where an operator can, float32 elsewhere and at both ends", calibrated=True),
    "float16": Variant("weights stored in float16, computed in float32", weights="float16"),
    "int8": Variant("everything in int8", calibrated=True, operators="TFLITE_BUILTINS_INT8", ports="int8"),
    "uint8": Variant("everything in int8, uint8 at both ends", calibrated=True, operators="TFLITE_BUILTINS_INT8",
                     ports="uint8"),
    "int16x8": Variant("activations in int16, weights in int8", calibrated=True, ports="int16",
                       operators="EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"),
}
PARTS = {"saved_model.pb", "fingerprint.pb", "keras_metadata.pb", "assets", "variables", "variables/variables.index",
         "variables/variables.data-00000-of-00001"}       # of a SavedModel, whoever wrote it
MOST_NUMBERS = 2**26    # of one input
SAME = 1e-3             # a larger difference, as a share of the largest output, is not float32's rounding


def to_onnx(model, path, sample=(2,)):
    """Write a PyTorch model as ONNX (opset 17) with input "input", output "output" and a free batch axis.

    model : a module from float32 (n, *sample).  path : the file to write; kept as it was if the export fails.
    sample : the shape of one input.
    Raises TypeError for what is no module, ValueError where the model does not take such inputs or ONNX has no
    operator for a part of it.  Returns the path.
    """
    import torch

    from xorlab.models import has_own_train, set_mode

    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"to_onnx takes a PyTorch module, got {type(model).__name__}")
    files.checked_path("path", path)
    one = torch.zeros(1, *_checked_sample(sample))
    kind = torch.onnx.TrainingMode
    mode = kind.PRESERVE if has_own_train(model) else kind.EVAL         # whose switch would call it
    training = model.training
    set_mode(model, training=False)
    try:
        _check_takes(model, one)
        with files.replacing(path) as made, warnings.catch_warnings():
            # the TorchScript exporter is the one that writes opset 17 itself; PyTorch wants it replaced
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.filterwarnings("ignore", "It is recommended that constant folding be turned off")
            torch.onnx.export(
                model, (one,), made, dynamo=False, opset_version=17, training=mode,
                input_names=["input"], output_names=["output"],
                dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}},
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise ValueError(f"this model cannot be written as ONNX: {str(error).splitlines()[0]}") from None
    finally:
        set_mode(model, training)
    return Path(path)


def _checked_sample(sample):
    """Return the shape of one input as a tuple of ints."""
    shape = arguments.several("sample", sample, "lengths, the shape of one input, such as (2,)")
    made = tuple(arguments.whole("a length of sample", length, 1, MOST_NUMBERS) for length in shape)
    if np.prod(made, dtype=float) > MOST_NUMBERS:
        raise ValueError(f"one input may have up to {MOST_NUMBERS:,} numbers, got sample={arguments.shown(sample)}")
    return made


def _check_takes(model, one):
    """Run a module on one input; raise ValueError, naming the likely `sample`, where it refuses the shape."""
    import torch

    try:
        with torch.no_grad():
            model(one)
    except (RuntimeError, ValueError, NotImplementedError) as error:
        first = next((part for part in model.modules() if isinstance(part, torch.nn.Linear | torch.nn.Conv2d)), None)
        hint = ""
        if isinstance(first, torch.nn.Linear) and first.in_features != one.shape[-1]:
            hint = f"; give the shape of one input, sample=({first.in_features},)"
        elif isinstance(first, torch.nn.Conv2d) and (one.ndim != 4 or first.in_channels != one.shape[1]):
            hint = f"; give the shape of one input, sample=({first.in_channels}, height, width)"
        reason = files.first_line(error)
        raise ValueError(f"the model does not take inputs of shape {tuple(one.shape)}: {reason}{hint}") from error


def to_saved_model(onnx_path, directory):
    """Convert an ONNX file to a TensorFlow SavedModel with onnx2tf.

    directory : the folder to write; a SavedModel there is replaced whole, and kept as it was if the conversion fails.
    onnx2tf also leaves its own float32 and float16 `.tflite` files there. It moves the channels of pictures last,
    from (n, channels, height, width) to (n, height, width, channels): both ends are run on a random input, and a
    sentence is printed where that happened.
    Raises FileNotFoundError, FileExistsError if the folder holds anything else, or ValueError if the file is not a
    sound ONNX model, onnx2tf cannot convert it, or the SavedModel does not answer as the file does.  Returns the
    directory.
    """
    try:
        moved = _convert_onnx(onnx_path, directory)
    except _Refused as error:
        raise ValueError(f"{onnx_path}: {error}") from None
    say(_moved_note(directory, onnx_path, moved))
    return Path(directory)


def _convert_onnx(onnx_path, directory):
    """Write the SavedModel; return the shape of one input of the ONNX file if its channels were moved, else None."""
    check_onnx(onnx_path)
    files.checked_path("directory", directory)

    def convert():
        import onnx2tf
        import tf_keras

        # layers are numbered through the process: names, and so files, would be longer from the second net on
        tf_keras.backend.reset_uids()
        with TemporaryDirectory() as temporary:
            # of a copy, because onnx2tf writes inferred shapes back into the file it is given;
            # without its simplifier, which is three subprocesses and takes ten times as long for the same result
            net = onnx2tf.convert(
                input_onnx_file_path=shutil.copy(onnx_path, temporary), output_folder_path=str(made),
                not_use_onnxsim=True, non_verbose=True,
            )
        return _differences(onnx_path, net)

    known = PARTS | {f"{Path(onnx_path).stem}_{kind}.tflite" for kind in ("float32", "float16")}
    with files.replacing_folder(directory, known) as made:
        sample, by_layout = _attempted(convert)
        if by_layout and min(by_layout.values()) > SAME:
            raise ValueError(f"onnx2tf made a SavedModel that does not answer as {onnx_path}: on a random input it is "
                             f"off by {min(by_layout.values()):.2g} of the largest output")
    return sample if by_layout and min(by_layout, key=by_layout.get) == "moved" else None


def _differences(onnx_path, net):
    """Run an ONNX file and onnx2tf's Keras model on one random input, with channels as they were and moved last.

    Returns (the shape of one input, {"kept" and "moved": the largest difference of outputs, where the shape fits});
    the dict is empty for several inputs, whole numbers or a free length.
    """
    import onnxruntime
    import tensorflow as tf

    session = onnxruntime.InferenceSession(str(onnx_path), providers=["CPUExecutionProvider"])
    port, *others = session.get_inputs()
    batch, *sample = port.shape
    if others or port.type != "tensor(float)" or not all(isinstance(length, int) for length in sample):
        return tuple(sample), {}
    shape = (batch if isinstance(batch, int) else 1, *sample)
    x = np.random.default_rng(0).random(shape, dtype=np.float32)
    wanted = session.run(None, {port.name: x})
    found = {}
    for layout, given in (("kept", x), ("moved", _channels_last(x))):      # the first counts where both are as near
        if given.shape[1:] == tuple(net.input_shape[1:]):
            answers = zip(wanted, tf.nest.flatten(net(given)), strict=True)
            found[layout] = max(_difference(ours, theirs.numpy()) for ours, theirs in answers)
    return tuple(sample), found


def _difference(wanted, got):
    """Return the largest difference as a share of the largest output; outputs may have their channels last too."""
    fitting = [ours.reshape(got.shape) for ours in (wanted, _channels_last(wanted)) if ours.size == got.size]
    return min((np.abs(ours - got).max() for ours in fitting), default=np.inf) / max(1.0, np.abs(wanted).max())


def _channels_last(x):
    return np.moveaxis(x, 1, -1) if x.ndim > 2 else x


def _moved_note(what, source, sample):
    """Return the sentence about moved channels; nothing where `sample`, the shape of one input before, is None."""
    if sample is None:
        return []
    channels, *others = (f"channels={sample[0]}", *sample[1:])
    order = (0, *range(2, len(sample) + 1), 1)
    return [f"onnx2tf moved the channels last: {what} takes inputs {_batch((*others, channels))} where {source} takes "
            f"{_batch((channels, *others))}; x.transpose{order} moves them."]


def _batch(sample):
    """Write the shape of a batch of such inputs, -1 in it for any length: (n, 2)."""
    return f"(n, {', '.join('any' if length == -1 else str(length) for length in sample)})"


def to_tflite(saved_model, path, variant="int8", calibration=None, *, granularity="per_channel"):
    """Convert a SavedModel with one input, or a Keras model, to a TFLite file.

    saved_model : the SavedModel's folder, or a built Keras model.  path : the file to write; kept as it was if the
        conversion fails.
    variant : a name in VARIANTS.
    calibration : float32 (n, ...) inputs from which the variants with integer activations learn each tensor's
        range; None means the 9 x 9 grid over [0, 1]^2, for a model of such points only. What cannot show ranges, e.g.
        points that are all the same, gets a printed sentence.
    granularity : "per_channel" gives each unit of a quantized layer its own weight scale, as the converter does by
        itself; "per_tensor" gives the layer one.
    Raises ValueError for an unknown variant or granularity, calibration that is missing or does not fit the model, a
    damaged SavedModel, or what the converter refuses, with its reason; FileNotFoundError if there is none; TypeError
    for another model.  Returns the path.
    """
    try:
        return _saved_to_tflite(saved_model, path, variant, calibration, granularity)
    except _Refused as error:
        named = f"{saved_model}: " if isinstance(saved_model, str | os.PathLike) else ""
        raise ValueError(f"{named}{error}") from None


def _saved_to_tflite(saved_model, path, variant, calibration, granularity):
    settings = _settings(variant, granularity)
    files.checked_path("path", path)
    if calibration is not None:
        data.points(calibration)                # before TensorFlow is loaded, so that a slip costs no time
    with _folder_of(saved_model) as folder:
        points = _calibration(_sample_shape(folder), calibration) if settings.calibrated else None
        with files.replacing(path) as made:
            try:
                content = _tflite(lambda tf: tf.lite.TFLiteConverter.from_saved_model(str(folder)), settings, points,
                                  granularity)
            except OSError:
                raise _damaged(saved_model) from None
            made.write_bytes(content)
    return Path(path)


@contextlib.contextmanager
def _folder_of(model):
    """Yield the folder of a SavedModel: the one given, or a temporary one to which a Keras model is exported."""
    if isinstance(model, str | os.PathLike):
        if Path(model).suffix in (".keras", ".h5"):
            raise ValueError(f"{model} is a Keras file; load it and give the model: "
                             f"to_tflite(keras.models.load_model({str(model)!r}), ...)")
        if not (Path(model) / "saved_model.pb").is_file():
            raise FileNotFoundError(f"no SavedModel in {model}; make one with to_saved_model")
        yield Path(model)
        return
    if not any(base.__module__.split(".")[0] == "keras" for base in type(model).__mro__):
        raise TypeError(f"to_tflite takes the folder of a SavedModel or a Keras model, got {type(model).__name__}; "
                        "a PyTorch module goes through torch_to_tflite")
    if not model.built:
        raise ValueError("the Keras model has no weights yet, for it does not know its inputs; begin it with "
                         "keras.Input(shape) or call it once on data")
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:      # Windows keeps files that TensorFlow holds
        _attempted(lambda: model.export(folder, verbose=False))
        yield Path(folder)


def torch_to_tflite(model, path, variant="int8", calibration=None, sample=(2,), *, granularity="per_channel"):
    """Convert a PyTorch model to a TFLite file in one step: to_onnx, to_saved_model and to_tflite, and no file else.

    model, sample : as in to_onnx.  calibration : inputs (n, *sample), as the model takes them.  path, variant,
    granularity, what is returned and raised: as in to_tflite. Pictures go into the file with their channels last,
    which a printed sentence says.

    >>> torch_to_tflite(models.reference(), "build/xor.tflite")         # doctest: +SKIP
    PosixPath('build/xor.tflite')
    """
    _settings(variant, granularity)
    files.checked_path("path", path)
    sample = _checked_sample(sample)
    if calibration is not None and data.points(calibration).shape[1:] != sample:
        raise ValueError(f"calibration must have the shape of the model's inputs, {_batch(sample)}, "
                         f"got {np.shape(calibration)}")
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        folder = Path(folder)
        moved = _convert_onnx(to_onnx(model, folder / "net.onnx", sample), folder / "saved")
        if moved and calibration is not None:
            calibration = _channels_last(np.asarray(calibration))
        _saved_to_tflite(folder / "saved", path, variant, calibration, granularity)
    say(_moved_note(path, "the model", moved))
    return Path(path)


def function_to_tflite(function, path, variant="int8", calibration=None, *, granularity="per_channel"):
    """Convert a tf.function with an input_signature of one tensor (n, ...) to a TFLite file.

    Shorter than the road through ONNX where the net is written in TensorFlow. Arguments after the first, errors and
    what is returned: as in to_tflite. `variant` may also be a Variant of your own.
    """
    settings = variant if isinstance(variant, Variant) else _settings(variant, granularity)
    arguments.one_of("granularity", granularity, GRANULARITIES)
    files.checked_path("path", path)
    if calibration is not None:
        data.points(calibration)
    if isinstance(function, type) or len(getattr(function, "input_signature", None) or ()) != 1:
        raise ValueError("the function must say its one input: "
                         "@tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32)])")
    (entry,) = function.input_signature
    sample = tuple(-1 if length is None else length for length in entry.shape[1:])
    points = _calibration(sample, calibration) if settings.calibrated else None
    with files.replacing(path) as made, warnings.catch_warnings():
        # it misses ranges for the inputs that only its older converter took
        warnings.filterwarnings("ignore", message="Statistics for quantized inputs were expected")
        made.write_bytes(_tflite(lambda tf: tf.lite.TFLiteConverter.from_concrete_functions(
            [function.get_concrete_function()], function), settings, points, granularity))
    return Path(path)


def qat_to_tflite(net, path):
    """Convert a qat.FakeQuantized net to an int8 TFLite file with the scales and zero points that it learned.

    The net is written in TensorFlow with fake-quantization operators, which the converter turns into the scales and
    zero points of their tensors; weights, biases and all scales, whose last digits it changes, are put into the
    converted file. Weights of fewer than 8 bits stand in it as int8 codes of a smaller range. IntegerGraph.from_qat is
    the same net without a file.
    Returns the path.  Raises ValueError for a net so narrow and deep that the converter stores two layers as one.
    """
    arguments.having("net", net, ("stages", "integers", "input"), TRAINED)
    files.checked_path("path", path)
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
        content = _with_codes(made.read_bytes(), net.integers())
        sandbox.vouch(content)
        made.write_bytes(content)
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
    """Return a TFLite file's bytes with the weights, biases and scales of an IntegerMLP in its dense layers.

    The biases too: where all of a layer's are equal as real numbers, the converter gives them one code, whatever their
    units' scales. And the scales of what goes in and out, which it finds from the ends of a range: they are off by some
    last digits of float32, enough to move a sum across a tie.
    """
    from ai_edge_litert import schema_py_generated as schema

    content = bytearray(content)                                    # what the views below write into
    model = schema.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    used = [graph.Tensors(i).Buffer() for i in range(graph.TensorsLength())]
    operators = [graph.Operators(i) for i in range(graph.OperatorsLength())]

    def scales_of(index):
        return graph.Tensors(index).Quantization().ScaleAsNumpy()

    dense = [op for op in operators if op.InputsLength() > 1]
    for op, layer in zip(dense, [step for step in integers.steps if isinstance(step, FullyConnected)], strict=True):
        for index, line in ((op.Inputs(0), layer.input), (op.Outputs(0), layer.output)):
            scales_of(index)[:] = line.scale
        for index, codes, scales in (
                (op.Inputs(1), layer.weights.astype(np.int8), layer.weight_scales),
                (op.Inputs(2), layer.biases.astype("<i4"), np.float32(layer.input.scale) * layer.weight_scales)):
            if index == -1 and not codes.any():                     # the converter leaves out biases that are all 0
                continue
            numbers = model.Buffers(used[index]).DataAsNumpy().view(codes.dtype)
            stored = scales_of(index)
            shared = used.count(used[index]) > 1 and not np.array_equal(numbers, codes.ravel())
            if shared or len(stored) != len(scales):
                raise ValueError("the converter stored numbers of several layers of this net once, so they cannot get "
                                 "codes of their own; take fewer layers, or more units in each")
            numbers[:], stored[:] = codes.ravel(), scales
    return bytes(content)


def _settings(variant, granularity):
    """Return the Variant of a name, after checking both names."""
    arguments.one_of("granularity", granularity, GRANULARITIES)
    return VARIANTS[arguments.one_of("variant", variant, VARIANTS)]


def _tflite(make_converter, variant, points, granularity):
    """Return a TFLite file's bytes, which may run in this process; make_converter(tensorflow) makes the converter."""
    def convert():
        import tensorflow as tf

        converter = make_converter(tf)
        _set_up(converter, variant, points, granularity)
        with _older_objects_spared():
            return converter.convert()

    content = _attempted(convert)
    sandbox.vouch(content)
    return content


@contextlib.contextmanager
def _older_objects_spared():
    """Let the garbage collector look at nothing but what the block makes.

    The converter demands a full collection. With PyTorch and TensorFlow loaded that takes 0.35 s, and what the
    converter wants to be rid of is its own.
    """
    if gc.get_freeze_count():           # somebody else keeps objects from the collector, and `unfreeze` gives back all
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class _Refused(ValueError):
    """A model that a converter refuses, in one sentence that calls it "this model"."""


def _attempted(convert):
    """Return convert(), with all that converters print held back; their refusal becomes one sentence.

    An OSError or ImportError stays what it is: it is not about the model.
    """
    said, failure, deepest = io.StringIO(), None, sys.getrecursionlimit()
    with quiet(), contextlib.redirect_stdout(said):
        try:
            return convert()
        except (Exception, SystemExit) as error:            # onnx2tf ends the process where it gives up
            failure = error                                 # raised outside, or `quiet` would replay a screen of MLIR
        finally:
            sys.setrecursionlimit(deepest)                  # onnx2tf lifts it, and an endless recursion then crashes
    if isinstance(failure, OSError | ImportError):
        raise failure
    text = said.getvalue() if isinstance(failure, SystemExit) else str(failure)
    raise _Refused(_reason(f"{failure!r}" if isinstance(failure, KeyError) else text))


def _reason(text):
    """Return a sentence with the line of a converter's message that says why it refuses the model."""
    lacking = re.search(r"(TF Select|Custom) ops: (.+)", text)
    if lacking:
        advice = ', e.g. nn.GELU(approximate="tanh") in place of nn.GELU()' if "Erf" in lacking[2] else ""
        return (f"TFLite has no operator for a part of this model; the converter says \"{lacking[0].strip()}\"; "
                f"build the model without it{advice}")
    lines = [re.sub(r"^.*<unknown>:0: error: (loc\(.*\): )?", "", line).strip() for line in text.splitlines()]
    first = next(filter(None, lines), "nothing")
    return f"the converter refuses this model; it says: {first[:300]}"


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
    if given is None and sample != (2,):
        raise ValueError(f"the model takes inputs of shape {_batch(sample)}; give calibration, a batch of typical "
                         "inputs: only points of the unit square have a default")
    points = data.grid(data.CALIBRATION_SIDE) if given is None else data.points(given)
    if not _fits(points, sample):
        turned = points.ndim > 2 and _fits(_channels_last(points), sample)
        order = (0, *range(2, points.ndim), 1)
        hint = f"; onnx2tf moves channels last, and so does x.transpose{order}" if turned else ""
        raise ValueError(f"calibration must have the shape of the model's inputs, {_batch(sample)}, "
                         f"got {points.shape}{hint}")
    if given is not None:
        # a model of points in the unit square is known; of another, only what its own calibration says of itself
        say(data.calibration_notes(given, None if sample == (2,) else given))
    return points


def _fits(points, sample):
    return points.ndim == len(sample) + 1 and all(
        length in (-1, there) for length, there in zip(sample, points.shape[1:], strict=True))


def _sample_shape(saved_model):
    """Return the shape of one input of a SavedModel, -1 where any length goes, from its signature."""
    from google.protobuf.message import DecodeError

    with quiet():
        from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    content = files.content_of(Path(saved_model) / "saved_model.pb", "SavedModel")
    try:
        model = SavedModel.FromString(content)
        (port,) = model.meta_graphs[0].signature_def["serving_default"].inputs.values()
    except (DecodeError, IndexError):
        raise _damaged(saved_model) from None
    except ValueError:
        raise ValueError(f"the SavedModel in {saved_model} has not one input, but none or several") from None
    return tuple(axis.size for axis in port.tensor_shape.dim)[1:]


def _damaged(saved_model):
    return ValueError(f"the SavedModel in {saved_model} is damaged; make it again with to_saved_model")


def check_alone(path):
    """Raise ValueError, in one sentence, if an ONNX file keeps weights in other files, which it names itself.

    What is no ONNX file at all passes: whoever runs it says so.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError:
        return
    others = {entry.value for tensor in _tensors(model) if tensor.data_location == onnx.TensorProto.EXTERNAL
              for entry in tensor.external_data if entry.key == "location"}
    if others:
        raise ValueError(f"{path} keeps weights in another file ({', '.join(map(repr, sorted(others)))}), and only the "
                         "file that is named is read; save it whole, with onnx.save(onnx.load(path), path)")


def _tensors(message):
    """Yield every tensor of a message of ONNX, however deep: weights stand in graphs, nodes and functions."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type:
            for one in [value] if hasattr(value, "ListFields") else value:
                yield from _tensors(one)


def check_onnx(path):
    """Raise FileNotFoundError or ValueError, in one sentence, unless `path` holds a sound ONNX model."""
    import onnx

    path = files.existing_file(path, "ONNX")
    check_alone(path)
    try:
        with files.reading(path, "a sound ONNX model"):
            onnx.checker.check_model(onnx.load(path))
    except ValueError as error:
        raise ValueError(f"{error}; export it again with to_onnx") from None
