"""Predictors: every form of a net, from PyTorch to TFLite Micro, as one thing.

A predictor is a callable from float32 (n, ...) inputs to float32 (n,) outputs, or (n, classes), with a `name`.
A predictor over a quantized model also has `codes(q)`, `input` and `output`. A student's own function from
points to outputs is a predictor too: `compare` and `plots` take any callable.
"""
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from xorlab import arguments, data, export, files, ports, runtimes, sandbox, tflite_file
from xorlab.integer import IntegerGraph, IntegerMLP
from xorlab.integer.affine import Affine
from xorlab.integer.chain import chain_of
from xorlab.integer.quantize import TRAINED
from xorlab.streams import say

LITERT_KERNELS, RUNTIMES = runtimes.LITERT_KERNELS, runtimes.RUNTIMES       # this module's names for those who call it


class Predictor:
    """A model over real numbers: p(x: float32 (n, ...)) -> float32 (n,), or (n, classes).

    run : function from a float32 batch to an array (n,), (n, 1) or (n, classes).  name : what tables call it.
    sample : the shape of one input, e.g. (2,), None in it where any length goes; None if the model does not say.
    """

    def __init__(self, run: Callable, name: str, sample: tuple | None = None):
        if not callable(run):
            raise TypeError(f"run must be a function from points to outputs, got {arguments.shown(run)}")
        self._run, self.name, self.sample = run, arguments.text("name", name), _checked_sample(sample)

    def __call__(self, x) -> np.ndarray:
        say(data.point_notes(x))            # codes belong into codes(q)
        x = data.points(x)
        self._check_shape(x)
        return _one_row_each(self._run(x), len(x)).astype(np.float32, copy=False)

    def _check_shape(self, x):
        # needed: the converter's RESHAPE lets TFLite take (4, 3) for a two-input model and answer 6 times
        if self.sample is None:
            return
        given = x.shape[1:]
        if given == self.sample:
            return
        if len(given) != len(self.sample) or any(
                length not in (None, there) for length, there in zip(self.sample, given, strict=True)):
            shape = ", ".join(["n", *("any" if length is None else str(length) for length in self.sample)])
            raise ValueError(f"{self.name} takes inputs of shape ({shape}), got {x.shape}")

    def __repr__(self):
        return f"<{type(self).__name__} {self.name}>"


class QuantizedPredictor(Predictor):
    """A model whose input and output are both integer codes with a scale.

    codes(q) takes and returns codes in the model's own dtypes; input and output are the `Affine` maps
    between codes and real numbers. Calling the predictor quantizes, runs and dequantizes.
    """

    def __init__(self, run_codes: Callable, name: str, sample: tuple | None, input: Affine, output: Affine):
        super().__init__(self._through_codes, name, sample)
        for what, line in (("input", input), ("output", output)):
            arguments.instance(what, line, Affine, "an integer.affine.Affine, the line between codes and numbers")
        if not callable(run_codes):
            raise TypeError(f"run_codes must be a function from codes to codes, got {arguments.shown(run_codes)}")
        self._run_codes, self.input, self.output = run_codes, input, output

    def _through_codes(self, x):
        return self.output.dequantize(self.codes(self.input.quantize(x)))

    def codes(self, q):
        """Run the model on integer codes (n, ...) of its input dtype; return its output codes (n,) or (n, classes)."""
        q = arguments.numbers_in("codes", q, finite=False)
        if q.dtype != self.input.dtype or q.ndim < 2 or not q.size:
            raise ValueError(f"{self.name} takes {self.input.dtype} codes of shape (n, ...), "
                             f"got {q.dtype} of shape {q.shape}; quantize points with .input.quantize(x)")
        self._check_shape(q)
        return _one_row_each(self._run_codes(q), len(q))


def _checked_sample(sample):
    if sample is None:
        return None
    lengths = tuple(arguments.several("sample", sample, "lengths, the shape of one input"))
    if not all(length is None or arguments.is_whole(length, 0) for length in lengths):
        raise ValueError(f"sample must be the shape of one input, such as (2,), got {arguments.shown(sample)}")
    return lengths


def from_torch(model, name="PyTorch"):
    """Make a predictor of a PyTorch module, run in eval mode without gradients."""
    import torch

    from xorlab.models import checked_module, set_mode

    checked_module(model)
    arguments.text("name", name)

    def run(x):
        training = model.training
        set_mode(model, training=False)
        try:
            with torch.no_grad():
                return model(torch.from_numpy(x)).numpy()
        except (RuntimeError, NotImplementedError) as error:
            raise ValueError(f"{name} cannot take inputs of shape {x.shape}: {files.first_line(error)}") from None
        finally:
            set_mode(model, training)

    return Predictor(run, name)


def from_keras(model, name="Keras", *, output: str | None = None) -> Predictor:
    """Make a predictor of a built Keras model with one input.

    output : the name of the output that it answers with, where the model has several.
    A model with a fixed batch, such as 4, runs so many inputs at a time.
    Raises TypeError for what is no Keras model; ValueError for one that is not built, has several inputs, or several
    outputs of which none is chosen.
    """
    arguments.text("name", name)
    if isinstance(model, type) or not (callable(model) and hasattr(model, "built")):
        raise TypeError(f"{name} must be a Keras model, got {type(model).__name__}; load a saved one with "
                        "keras.models.load_model(path)")
    if not model.built:
        raise ValueError(f"{name} is not built yet; give it an input layer, keras.Input((2,)), or call "
                         "model.build((None, 2))")
    entries, exits = (_keras_ports(model, what) for what in ("input", "output"))
    if not (entries and exits):                     # a subclass of Model does not say what its ends are
        if output is not None:
            raise ValueError(f"{name} does not name its outputs; leave output out")
        return Predictor(lambda x: np.asarray(model(x, training=False)), name)
    entry, taken = entries[ports.chosen(entries, "input", name)], ports.chosen(exits, "output", name, output)

    keyed = isinstance(_keras_ends(model, "input"), dict)

    def call(x):
        made = model({entry.name: x} if keyed else x, training=False)
        if isinstance(made, dict):
            made = made[exits[taken].name]
        elif isinstance(made, list | tuple):
            made = made[taken]
        return [np.asarray(made)]

    return _over_reals(call, name, entry, exits[taken])


def _keras_ports(model, what):
    """Return the Ports of a Keras model's "input" or "output", by their keys if it has a dict of them.

    [] if it does not say.  Elsewhere an output is called as its layer is: a tensor's own name means nothing.
    """
    ends = _keras_ends(model, what)
    if isinstance(ends, dict):
        named = ends.items()
    else:
        named = zip(getattr(model, f"{what}_names", None) or [tensor.name for tensor in ends], ends, strict=True)
    return [ports.Port(name, tensor.name, _keras_type(tensor), tuple(tensor.shape)) for name, tensor in named]


def _keras_ends(model, what):
    """Return the tensors of one side of a Keras model: a dict if it was made with one, else a list."""
    try:
        ends = getattr(model, what)
        if isinstance(ends, dict):
            return ends
    except (AttributeError, ValueError):            # a Sequential says it in the plural only
        pass
    return getattr(model, f"{what}s", None) or []


def _keras_type(tensor):
    kind = getattr(tensor.dtype, "name", tensor.dtype)              # Keras 2 gives TensorFlow's type, Keras 3 a name
    return np.dtype("float32" if kind == "bfloat16" else kind)      # NumPy has no bfloat16; Keras turns one into it


def from_sklearn(estimator, name="scikit-learn"):
    """Make a predictor of a fitted scikit-learn estimator or pipeline.

    A classifier answers with probabilities: of its second class where it has two, else (n, classes) in the order of
    `estimator.classes_`. A regressor answers with its prediction.
    Raises TypeError for what is neither, or a classifier without probabilities; ValueError if it is not fitted.
    """
    from sklearn.base import BaseEstimator, is_classifier, is_regressor
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    arguments.text("name", name)
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


ONNX_TYPES = {"float": "float32", "double": "float64"}          # where NumPy has another name


def from_onnx(path, name="ONNX Runtime", *, output: str | None = None) -> Predictor:
    """Make a predictor of an ONNX file with one input, run by ONNX Runtime on the CPU.

    output : the name of the output that it answers with, where the file has several.
    A file with a fixed batch runs so many inputs at a time; an input of integers takes whole numbers.
    Raises FileNotFoundError; ValueError, in ONNX Runtime's own words, if it cannot run the file, or if that has
    several inputs, or several outputs of which none is chosen.
    """
    arguments.text("name", name)
    content = files.content_of(path, "ONNX")
    export.check_alone(Path(path))
    session = onnx_session(content, path)
    with files.reading(path, "a model that ONNX Runtime can run"):      # a name may be no text
        entries, exits = ([_onnx_port(end) for end in ends] for ends in (session.get_inputs(), session.get_outputs()))
    entry, exit_ = entries[ports.chosen(entries, "input", path)], exits[ports.chosen(exits, "output", path, output)]

    def call(x):
        try:
            return session.run([exit_.name], {entry.name: x})
        except Exception as error:
            raise ValueError(f"{path} cannot run inputs of shape {x.shape}: {files.first_line(error)}") from None

    return _over_reals(call, name, entry, exit_)


def onnx_session(content: bytes, path):
    """Return ONNX Runtime's session of a model, on one thread of the CPU.  path : what an error calls it.

    Raises ValueError, in ONNX Runtime's own words, if it refuses the model.
    """
    import onnxruntime

    one_thread = onnxruntime.SessionOptions()
    one_thread.intra_op_num_threads = 1             # nets this small only wait for a second thread
    one_thread.log_severity_level = 4               # what it has to say comes with the error
    with files.reading(path, "a model that ONNX Runtime can run"):
        return onnxruntime.InferenceSession(content, one_thread, providers=["CPUExecutionProvider"],
                                            enable_fallback=0)      # to the same provider, after a page of words


def _onnx_port(end):
    kind = end.type.removeprefix("tensor(").removesuffix(")")
    try:
        dtype = np.dtype(ONNX_TYPES.get(kind, kind))
    except TypeError:
        dtype = None
    problem = "" if dtype is not None and dtype.kind in "fiub" else (
        f"is a {end.type}, and a predictor takes and gives tensors of numbers")
    shape = tuple(length if isinstance(length, int) else None for length in end.shape or ())
    return ports.Port(end.name, end.name, dtype, shape, problem=problem)


def _over_reals(call, name, entry, exit_):
    """Make a Predictor of a function from an array to a list of one, between two Ports."""
    batch = entry.shape[0] if entry.shape else None

    def run(x):
        (out,) = runtimes.in_groups(call, batch, [entry.encode(x)], [str(exit_)])
        # only where the shape of inputs is known: else an axis too many could come from the inputs
        return exit_.decode(_rows(out, exit_, name) if entry.shape else out)

    return Predictor(run, name, entry.shape[1:] or None)


def from_tflite(path, runtime="xnnpack", name=None, *, output: str | None = None) -> Predictor:
    """Make a predictor of a TFLite file with one input, on a chosen runtime.

    runtime : "xnnpack" (LiteRT's default), "builtin" or "reference" (LiteRT's other two sets of kernels), or
        "tflm" (TFLite Micro, Linux x86-64 only), which runs one sample at a time.
    output : the name of the output that it answers with, where the file has several.

    Returns a QuantizedPredictor, which has `codes`, if both ends are integers with a scale. Any other file gives a
    Predictor over real numbers: an integer end with a scale is quantized or dequantized, one without (the ids of
    words, the number of a class) takes and gives whole numbers.
    A file for batches of one size runs in such batches, for its answers may depend on it. A file that keeps state
    (variable tensors) starts each batch of its own size, mostly one sample, with that state cleared.
    Bytes that this process did not make run in a helper process (see sandbox), so that no file can end this one.

    Raises FileNotFoundError; ImportError where TFLite Micro cannot be installed; ValueError for an unknown runtime, a
    damaged file, ends that a predictor cannot have, and a file that the runtime refuses, with its own reason.

    >>> from xorlab import models
    >>> from_tflite(models.reference_file("relu-2-4-1", "int8.tflite"), "reference")
    <QuantizedPredictor int8 on reference>
    """
    runtimes.require(runtime)
    if name is not None:
        arguments.text("name", name)
    content, graph = tflite_file.content_and_graph(path)
    entry, exit_, plan = ports.plan_of(graph, runtime, path, output)
    session = sandbox.opened(content, plan, path)
    name = name or f"{Path(path).stem} on {runtime}"
    sample = (entry.made if runtime == "tflm" else entry.shape)[1:]

    def run(values):
        return _rows(session.run(values)[0], exit_, path)

    if entry.affine and exit_.affine:
        return QuantizedPredictor(run, name, sample, entry.affine, exit_.affine)
    return Predictor(lambda x: exit_.decode(run(entry.encode(x))), name, sample)


def from_integer(net, name=None):
    """Make a predictor of an IntegerMLP or an IntegerGraph: its arithmetic in NumPy, under its rule.

    An IntegerMLP runs one sample a call, a graph as its file was made; see their method `codes`.
    Of an IntegerMLP from a file with float32 ends it is the int8 core; see IntegerMLP.from_tflite. A graph with a
    float32 end gives a Predictor over real numbers. Raises ValueError for one with several inputs or outputs.
    """
    if not isinstance(net, IntegerMLP | IntegerGraph):
        chain_of(net)                           # says what it must be
    name = f"integers, {net.rule}" if name is None else arguments.text("name", name)
    if isinstance(net, IntegerMLP):
        return QuantizedPredictor(net.codes, name, (net.width,), net.input, net.output)
    if (len(net.inputs), len(net.outputs)) != (1, 1):
        raise ValueError(f"{net!r} has {len(net.inputs)} inputs and {len(net.outputs)} outputs; a predictor has one of "
                         "each; ask its own method codes, which takes and gives several")
    (entry,), (exit_,) = net.inputs, net.outputs
    if entry.affine and exit_.affine:
        return QuantizedPredictor(net.codes, name, entry.shape[1:], entry.affine, exit_.affine)

    def run(x):
        made = net.codes(entry.affine.quantize(x) if entry.affine else x)
        return exit_.affine.dequantize(made) if exit_.affine else made

    return Predictor(run, name, entry.shape[1:])


def checked_qat(net):
    """Return a net trained with fake quantization.  Raises TypeError for anything else."""
    return arguments.having("net", net, ("stages", "codes", "input", "output"), TRAINED)


def from_qat(net, name="simulation") -> QuantizedPredictor:
    """Make a predictor of a qat.FakeQuantized net: the float32 simulation of its integers, for their codes."""
    checked_qat(net)
    return QuantizedPredictor(net.codes, name, (net.stages()[0].weights.shape[1],), net.input, net.output)


def from_c(net, name=None):
    """Make a predictor of a net as generated C (codegen.write_c), compiled for this machine.

    net : an IntegerMLP, or an IntegerGraph that is a chain of dense layers.
    Raises ValueError for another graph, or a rule that C cannot follow; ImportError where the compiler is missing.
    """
    from xorlab import codegen, compiler

    net = chain_of(net)
    if name is not None:
        arguments.text("name", name)
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:      # Windows keeps a loaded library's file
        source = codegen.write_c(net, folder)[1]
        run = compiler.load(source, source.stem, net.width, net.outputs)
    return QuantizedPredictor(run, name or f"C, {net.rule}", (net.width,), net.input, net.output)


def from_firmware(firmware, name=None):
    """Make a predictor of a Firmware: its machine code in the emulator, a whole batch in one call."""
    arguments.having("firmware", firmware, ("net", "target", "run"), "what firmware.build returns")
    if name is not None:
        arguments.text("name", name)
    net = firmware.net
    return QuantizedPredictor(firmware.run, name or f"{firmware.target}, emulated", (net.width,), net.input, net.output)


def answers(predictor, x):
    """Return predictor(x), checked: float32 (n,) or (n, classes), finite; a column (n, 1) becomes (n,).

    For code that takes a student's own function. Raises TypeError or ValueError that says what a predictor is.
    """
    name, x = name_of(predictor), arguments.numbers_in("points", x, finite=False)
    if not x.ndim:
        raise ValueError("points must have shape (n, ...), got one number alone")
    if not isinstance(predictor, Predictor) and hasattr(predictor, "state_dict"):
        raise TypeError(f"{name} is a PyTorch module; wrap it first: predictors.from_torch(model)")
    if not callable(predictor):
        raise TypeError(f"{name} cannot be called; a predictor is a function from points (n, 2) to outputs (n,)")
    given = predictor(x)
    try:
        out = np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError, RuntimeError) as error:      # ragged rows, text, a tensor that wants its gradient
        raise TypeError(f"{name} must return an array of numbers, got {type(given).__name__}: "
                        f"{files.first_line(error)}") from None
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
    for name in (getattr(predictor, "name", None), getattr(predictor, "__name__", None)):
        if isinstance(name, str) and name:
            return name
    return type(predictor).__name__


def _one_row_each(out, n):
    """Drop a trailing axis of length 1 and check that there is one row for each of n inputs."""
    out = arguments.numbers_in("what the model returns", out, finite=False)
    if out.ndim == 2 and out.shape[1] == 1:
        out = out[:, 0]
    if out.ndim not in (1, 2) or len(out) != n:
        raise ValueError(f"the model returned shape {out.shape} for {n} inputs; expected ({n},) or ({n}, classes)")
    return out


def _rows(out, port, path):
    """Drop the axes of length 1 that convolutions leave behind the first: (n, 1, 1, 10) is (n, 10).

    Raises ValueError if more than a row of numbers is left for each sample.
    """
    if out.ndim <= 2:
        return out
    lengths = [length for length in out.shape[1:] if length != 1]
    if len(lengths) > 1:
        raise ValueError(f"{path}: output {port} came out with shape {out.shape}; a predictor answers with a number, "
                         "or a row of numbers, for each sample")
    return out.reshape(len(out), *lengths)
