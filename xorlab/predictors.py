"""Predictors: every form of a net, from PyTorch to TFLite Micro, as one thing.

A predictor is a callable from float32 (n, ...) inputs to float32 (n,) outputs, or (n, classes), with a `name`.
A predictor over a quantized model also has `codes(q)`, `input` and `output`. A student's own function from
points to outputs is a predictor too: `compare` and `plots` take any callable.
"""
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from xorlab import data, files
from xorlab.rules import Affine
from xorlab.streams import quiet, say

LITERT_KERNELS = {                                  # runtime -> LiteRT's name for that set of kernels
    "xnnpack": "AUTO",                              # LiteRT's default: hand over to XNNPACK
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference": "BUILTIN_REF",
}
RUNTIMES = (*LITERT_KERNELS, "tflm")


class Predictor:
    """A float model: p(x: float32 (n, ...)) -> float32 (n,), or (n, classes).

    run : function from a float32 batch to an array (n,), (n, 1) or (n, classes).  name : what tables call it.
    sample : the shape of one input, e.g. (2,); None if the model does not say.
    """

    def __init__(self, run, name, sample=None):
        self._run, self.name, self.sample = run, name, sample

    def __call__(self, x):
        say(data.point_notes(x))            # codes belong into codes(q)
        x = data.points(x)
        self._check_shape(x)
        return _one_row_each(self._run(x), len(x)).astype(np.float32, copy=False)

    def _check_shape(self, x):
        # needed: the converter's RESHAPE lets TFLite take (4, 3) for a two-input model and answer 6 times
        if self.sample is not None and x.shape[1:] != self.sample:
            raise ValueError(f"{self.name} takes inputs of shape {('n', *self.sample)}, got {x.shape}".replace("'", ""))

    def __repr__(self):
        return f"<{type(self).__name__} {self.name}>"


class QuantizedPredictor(Predictor):
    """A model whose inputs and outputs are integer codes.

    codes(q) takes and returns codes in the model's own dtypes; input and output are the `Affine` maps
    between codes and real numbers. Calling the predictor quantizes, runs and dequantizes.
    """

    def __init__(self, run_codes, name, sample, input, output):
        super().__init__(lambda x: self.output.dequantize(self.codes(self.input.quantize(x))), name, sample)
        self._run_codes, self.input, self.output = run_codes, input, output

    def codes(self, q):
        """Run the model on integer codes (n, ...) of its input dtype; return its output codes (n,) or (n, classes)."""
        q = np.asarray(q)
        if q.dtype != self.input.dtype or q.ndim < 2:
            raise ValueError(f"{self.name} takes {self.input.dtype} codes of shape (n, ...), "
                             f"got {q.dtype} of shape {q.shape}; quantize points with .input.quantize(x)")
        self._check_shape(q)
        return _one_row_each(self._run_codes(q), len(q))


def from_torch(model, name="PyTorch"):
    """Make a predictor of a PyTorch module, run in eval mode without gradients."""
    import torch

    from xorlab.models import set_mode

    def run(x):
        training = model.training
        set_mode(model, training=False)
        try:
            with torch.no_grad():
                return model(torch.from_numpy(x)).numpy()
        except RuntimeError as error:
            raise ValueError(f"{name} cannot take inputs of shape {x.shape}: {_first_line(error)}") from None
        finally:
            set_mode(model, training)

    return Predictor(run, name)


def from_keras(model, name="Keras"):
    """Make a predictor of a Keras model."""
    return Predictor(lambda x: np.asarray(model(x, training=False)), name, tuple(model.input_shape[1:]))


def from_sklearn(estimator, name="scikit-learn"):
    """Make a predictor of a fitted scikit-learn estimator or pipeline.

    A classifier answers with probabilities: of its second class where it has two, else (n, classes) in the order of
    `estimator.classes_`. A regressor answers with its prediction.
    Raises TypeError for what is neither, or a classifier without probabilities; ValueError if it is not fitted.
    """
    from sklearn.base import BaseEstimator, is_classifier, is_regressor
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    if not (isinstance(estimator, BaseEstimator) and (is_classifier(estimator) or is_regressor(estimator))):
        raise TypeError(f"{name} must be a scikit-learn classifier or regressor, got {type(estimator).__name__}")
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        raise ValueError(f"{name} is not fitted yet; call fit(x, y) first") from None
    features = getattr(estimator, "n_features_in_", None)           # a pipeline may not know
    sample = None if features is None else (features,)
    if is_regressor(estimator):
        return Predictor(estimator.predict, name, sample)
    if not hasattr(estimator, "predict_proba"):
        raise TypeError(f"{type(estimator).__name__} gives no probabilities; use one with predict_proba, "
                        "such as LogisticRegression")
    two = len(estimator.classes_) == 2
    return Predictor(lambda x: estimator.predict_proba(x)[:, 1 if two else slice(None)], name, sample)


def from_onnx(path, name="ONNX Runtime"):
    """Make a predictor of an ONNX file with one input, run by ONNX Runtime on the CPU.

    Raises FileNotFoundError, or ValueError if the file is not a sound ONNX model.
    """
    import onnxruntime

    path = files.existing_file(path, "ONNX")
    one_thread = onnxruntime.SessionOptions()
    one_thread.intra_op_num_threads = 1             # nets this small only wait for a second thread
    try:
        session = onnxruntime.InferenceSession(path.read_bytes(), one_thread, providers=["CPUExecutionProvider"])
    except Exception as error:                      # ONNX Runtime has no public base class for its errors
        raise ValueError(f"{path} is not a model that ONNX Runtime can run: {_first_line(error)}") from None
    ports = session.get_inputs()
    if len(ports) != 1:
        raise ValueError(f"{path} has {len(ports)} inputs; a predictor has one")
    return Predictor(lambda x: session.run(None, {ports[0].name: x})[0], name, tuple(ports[0].shape[1:]))


def from_tflite(path, runtime="xnnpack", name=None):
    """Make a predictor of a TFLite file with one input and one output, on a chosen runtime.

    runtime : "xnnpack" (LiteRT's default), "builtin" or "reference" (LiteRT's other two sets of kernels), or
        "tflm" (TFLite Micro, Linux x86-64 only), which runs one sample at a time.
    Returns a QuantizedPredictor if the model's input and output are integers, else a Predictor.
    Raises ValueError for an unknown runtime or a damaged file, FileNotFoundError if there is none, and
    ImportError where TFLite Micro cannot be installed.
    """
    if runtime not in RUNTIMES:
        raise ValueError(f"runtime must be one of {', '.join(RUNTIMES)}, got {runtime!r}")
    path = files.existing_file(path, "TFLite")
    content = path.read_bytes()
    try:
        # LiteRT verifies the flatbuffer and TFLite Micro does not, so LiteRT opens every file first
        litert = _litert_interpreter(content, LITERT_KERNELS.get(runtime, "BUILTIN_REF"))
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{path} is not a TFLite model that LiteRT can run: {_first_line(error)}") from None
    entry, exit_ = litert.get_input_details()[0], litert.get_output_details()[0]
    run = _tflm_batch(content, path) if runtime == "tflm" else _litert_batch(litert, entry["index"], exit_["index"])
    name = name or f"{Path(path).stem} on {runtime}"
    sample = tuple(map(int, entry["shape"][1:]))
    if all(np.issubdtype(port["dtype"], np.integer) for port in (entry, exit_)):
        return QuantizedPredictor(run, name, sample, _affine(entry), _affine(exit_))
    return Predictor(run, name, sample)


def from_integer(net, name=None):
    """Make a predictor of an IntegerMLP: its arithmetic in NumPy, under its rule, one sample a call.

    Of a net from a file with float32 ends it is the int8 core; see IntegerMLP.from_tflite.
    """
    return QuantizedPredictor(net.codes, name or f"integers, {net.rule}", (net.width,), net.input, net.output)


def from_c(net, name=None):
    """Make a predictor of an IntegerMLP as generated C (codegen.write_c), compiled for this machine.

    Raises ValueError for a net whose rule C cannot follow, ImportError where the compiler is missing.
    """
    from xorlab import codegen, compiler

    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:      # Windows keeps a loaded library's file
        source = codegen.write_c(net, folder)[1]
        run = compiler.load(source, source.stem, net.width, net.outputs)
    return QuantizedPredictor(run, name or f"C, {net.rule}", (net.width,), net.input, net.output)


def from_firmware(firmware, name=None):
    """Make a predictor of a Firmware: its machine code in the emulator, a whole batch in one call."""
    net = firmware.net
    return QuantizedPredictor(firmware.run, name or f"{firmware.target}, emulated", (net.width,), net.input, net.output)


def answers(predictor, x):
    """Return predictor(x), checked: float32 (n,) or (n, classes), finite; a column (n, 1) becomes (n,).

    For code that takes a student's own function. Raises TypeError or ValueError that says what a predictor is.
    """
    name = name_of(predictor)
    if not isinstance(predictor, Predictor) and hasattr(predictor, "state_dict"):
        raise TypeError(f"{name} is a PyTorch module; wrap it first: predictors.from_torch(model)")
    if not callable(predictor):
        raise TypeError(f"{name} cannot be called; a predictor is a function from points (n, 2) to outputs (n,)")
    given = predictor(x)
    try:
        out = np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError, RuntimeError) as error:      # ragged rows, text, a tensor that wants its gradient
        raise TypeError(f"{name} must return an array of numbers, got {type(given).__name__}: "
                        f"{_first_line(error)}") from None
    if out.ndim not in (1, 2) or len(out) != len(x) or not out.size:
        raise ValueError(f"{name} returned shape {out.shape} for {len(x)} points; it must return ({len(x)},), "
                         f"or ({len(x)}, classes)")
    if out.ndim == 2 and out.shape[1] == 1:         # or its classes would be the largest of one: always 0
        out = out[:, 0]
    if not np.isfinite(out).all():
        raise ValueError(f"{name} returned NaN or infinity; its weights or formula overflow somewhere")
    return out


def single_answers(predictor, x):
    """Return `answers(predictor, x)` of a predictor with one output a point: float32 (n,)."""
    out = answers(predictor, x)
    if out.ndim != 1:
        raise ValueError(f"{name_of(predictor)} returned shape {out.shape} for {len(x)} points; "
                         f"it must return ({len(x)},) here, one answer a point")
    return out


def name_of(predictor):
    """Return the name of a predictor, or of a plain function used as one."""
    return getattr(predictor, "name", None) or getattr(predictor, "__name__", type(predictor).__name__)


def _litert_interpreter(content, kernels):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    with quiet():
        interpreter = Interpreter(
            model_content=content, num_threads=1, experimental_op_resolver_type=OpResolverType[kernels])
        interpreter.allocate_tensors()
    return interpreter


def _litert_batch(interpreter, entry, exit_):
    """Run a whole batch in one call, by resizing the input tensor when the batch size changes."""
    allocated = None                # kept here: asking the interpreter takes longer than a small net

    def run(x):
        nonlocal allocated
        if x.shape != allocated:
            with quiet():
                interpreter.resize_tensor_input(entry, x.shape)
                interpreter.allocate_tensors()
            allocated = x.shape
        interpreter.set_tensor(entry, x)
        interpreter.invoke()
        return interpreter.get_tensor(exit_)

    return run


def _tflm_batch(content, path):
    """Run samples one by one: TFLite Micro plans its memory for a single sample."""
    try:
        from tflite_micro.python.tflite_micro import runtime
    except ImportError:
        raise ImportError("TFLite Micro's Python package exists for Linux x86-64 only; "
                          "use another runtime here: " + ", ".join(LITERT_KERNELS)) from None
    refusal = None
    with quiet():
        try:
            interpreter = runtime.Interpreter.from_bytes(content)
        except RuntimeError as error:       # raised after the block, which would replay TFLite Micro's own lines
            refusal = _first_line(error)
    if refusal:
        raise ValueError(f"{path} is not a model that TFLite Micro can run: {refusal}; it lacks an operator or takes "
                         "it in other types only, as with float16 weights")

    def run(x):
        def one(sample):
            interpreter.set_input(sample, 0)
            interpreter.invoke()
            return interpreter.get_output(0)[0]

        return np.array([one(x[i : i + 1]) for i in range(len(x))])

    return run


def _affine(port):
    scale, zero_point = port["quantization"]
    return Affine(float(scale), int(zero_point), port["dtype"])


def _one_row_each(out, n):
    """Drop a trailing axis of length 1 and check that there is one row for each of n inputs."""
    out = np.asarray(out)
    if out.ndim == 2 and out.shape[1] == 1:
        out = out[:, 0]
    if out.ndim not in (1, 2) or len(out) != n:
        raise ValueError(f"the model returned shape {out.shape} for {n} inputs; expected ({n},) or ({n}, classes)")
    return out


def _first_line(error):
    return str(error).strip().splitlines()[0]
