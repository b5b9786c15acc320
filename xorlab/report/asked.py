"""Any .tflite file asked on any of the four runtimes: all its inputs and outputs, in the types that it has.

A call is what the file was made for, mostly one sample. State is cleared before each call. What a runtime says of a
file that it cannot run is an answer too.
"""
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from xorlab import arguments, data, files, ports, runtimes, sandbox, tflite_file
from xorlab.integer.affine import Affine
from xorlab.ports import Port
from xorlab.report.html import counted
from xorlab.streams import printable
from xorlab.tflite_file import Graph

SAMPLES = 1_000                     # calls that are drawn, if nobody says how many
MOST_NUMBERS, LEAST_SAMPLES = 2**20, 64         # fewer calls where they are large
ALLOWED = 2**25                     # numbers of a draw and of what a runtime makes of it; more would not fit everywhere


@dataclass(frozen=True, eq=False)
class File:
    """A .tflite file as it was read.  path : what errors call it.  content : its bytes."""
    path: Path
    content: bytes
    graph: Graph

    @classmethod
    def read(cls, path) -> "File":
        """Read a file.  Raises FileNotFoundError, or ValueError in one sentence if it is damaged.

        >>> from xorlab import models
        >>> file = File.read(models.reference_file("relu-2-4-1", "int8.tflite"))
        >>> [port.made for port in (*file.inputs, *file.outputs)]
        [(1, 2), (1, 1)]
        """
        return cls(Path(files.checked_path("the TFLite file", path)), *tflite_file.content_and_graph(path))

    @cached_property
    def inputs(self) -> list[Port]:
        return self._ports(self.graph.inputs)

    @cached_property
    def outputs(self) -> list[Port]:
        return self._ports(self.graph.outputs)

    def _ports(self, ends):
        # not ports.of_graph, for which an input without an axis of samples is a problem
        return [ports.of_tensor(self.graph.tensors[i], self.graph.ends.get(i)) for i in ends]


@dataclass(frozen=True, eq=False)
class Answer:
    """What a runtime made of a file.

    outputs : an array (calls, ...) for each output, None if it cannot run the file.  reason : why not, in a sentence.
    """
    runtime: str
    outputs: tuple | None
    reason: str = ""


def session_of(file: File, runtime: str) -> sandbox.Session:
    """Open a file on a runtime: `run(*arrays)` takes (calls, *shape of a call) and gives such, for all ends.

    Raises ImportError where TFLite Micro cannot be installed, ValueError in one sentence for an unknown runtime or a
    file that it cannot run.
    """
    runtimes.require(runtime)
    return sandbox.opened(file.content, ports.plan_of_calls(file.graph, runtime, file.path), file.path)


def ask(file: File, runtime: str, arrays: tuple | None = None) -> Answer:
    """Run a file on a runtime and return the Answer.

    arrays : (calls, *shape of a call) for each input, as Inputs has them; None asks with zeros whether it runs.
    Raises ValueError for a runtime that is not known.

    >>> from xorlab import models
    >>> file = File.read(models.reference_file("relu-2-4-1", "int8.tflite"))
    >>> ask(file, "reference", inputs_of(file).arrays).outputs[0].shape
    (65536, 1, 1)
    """
    try:
        session = session_of(file, runtime)             # first: it looks whether there is room for its inputs
        arrays = arrays or tuple(np.zeros((1, *port.made), port.dtype) for port in file.inputs)
        return Answer(runtime, tuple(session.run(*arrays)))
    except (ValueError, ImportError) as error:
        if runtime not in runtimes.RUNTIMES:
            raise
        return Answer(runtime, None, str(error))


@dataclass(frozen=True, eq=False)
class Inputs:
    """Inputs of a file.

    arrays : (calls, *shape of a call) for each input, in the file's order.  words : which they are.
    every : whether these are all there are.
    """
    arrays: tuple
    words: str
    every: bool = False

    def __len__(self):
        return len(self.arrays[0])


def inputs_of(file: File, given=None, *, samples: int | None = None, seed: int | None = None,
              quantize: bool = False) -> Inputs:
    """Return inputs of a file: those given; or all where there are at most 65,536; or a seeded sample.

    given : a path of X.npy, or of X.npz keyed by the inputs' names; or the array, or a dict of them.
    samples : how many calls to draw; None draws 1,000, fewer where they are large, or takes all.  seed : of the draw,
        0 by default.
        Half of a sample are uniform codes. Where the range of the real numbers is known, the other half are normal
        around its middle, with a sixth of it as standard deviation; else they are uniform too. A float input with an
        unknown range gets normal numbers around 0.
    quantize : whether real numbers given for an input of codes become codes by its scale.
    Raises FileNotFoundError; ValueError, in one sentence, for arrays of another type, shape or count, and for an input
    that nothing can be drawn for.

    >>> from xorlab import models
    >>> file = File.read(models.reference_file("relu-2-4-1", "int8.tflite"))
    >>> inputs_of(file).words
    'all 65,536 inputs'
    >>> inputs_of(file, samples=100, seed=3).words
    'a sample of 100 inputs, seed 3: input half uniform, half normal around the middle of its range'
    """
    quantize = arguments.switch("quantize", quantize)
    wrong = [port for port in file.inputs if port.dtype is None or 0 in port.made]
    if wrong or not file.inputs:
        raise ValueError(f"{file.path}: input {wrong[0]} {wrong[0].problem or f'has shape {wrong[0].made}'}" if wrong
                         else f"{file.path} has no input")
    if given is not None:
        if samples is not None or seed is not None:
            raise ValueError("inputs that are given are not drawn; leave samples and seed out, or the inputs")
        try:
            return _given(file, given, quantize)
        except ValueError as error:
            if not isinstance(given, str | Path) or str(given) in str(error):
                raise
            raise ValueError(f"{given}: {error}") from None
    if quantize:
        raise ValueError("only inputs that are given are quantized; leave quantize out")
    if samples is None:
        every = _every(file)
        if every:
            return Inputs(every, f"all {len(every[0]):,} inputs", True)
    return _drawn(file, samples, 0 if seed is None else seed)


def _size(port):
    return math.prod(port.made)


def _every(file):
    """Return arrays of every input there is, None if there are too many."""
    inputs = file.inputs
    dtypes, sizes = {port.dtype for port in inputs}, [_size(port) for port in inputs]
    (dtype, *others) = dtypes
    if others or dtype.kind not in "iu" or dtype.itemsize * sum(sizes) > 2:
        return None                                     # more than 16 bits are more than 65,536 inputs
    if 2 ** (8 * dtype.itemsize * sum(sizes)) * _numbers(file) > ALLOWED:
        return None
    codes = data.code_inputs((sum(sizes),), dtype).codes
    parts = np.split(codes, np.cumsum(sizes)[:-1], axis=1)
    return tuple(np.ascontiguousarray(part).reshape(-1, *port.made) for part, port in zip(parts, inputs, strict=True))


def _numbers(file):
    """Return how many numbers a call takes and makes."""
    return sum(map(_size, (*file.inputs, *file.outputs)))


def _drawn(file, samples, seed):
    for what, number, least in (("samples", samples, 1), ("seed", seed, 0)):
        if number is not None and not arguments.is_whole(number, least):
            raise ValueError(f"{what} must be a whole number from {least}, got {arguments.shown(number)}")
    samples, seed = samples and int(samples), int(seed)         # NumPy's would stand in sentences and shapes
    numbers = _numbers(file)
    count = samples or max(min(SAMPLES, MOST_NUMBERS // sum(map(_size, file.inputs))), LEAST_SAMPLES)
    if numbers > ALLOWED:
        raise ValueError(f"{file.path}: its inputs and outputs are {numbers:,} numbers a call; at most {ALLOWED:,} "
                         "can be kept")
    if count * numbers > ALLOWED:
        raise ValueError(f"{file.path}: {count:,} samples of {numbers:,} numbers each, inputs and outputs, are too "
                         f"many to keep; draw at most {ALLOWED // numbers:,}")
    arrays, kinds = [], {}
    for position, port in enumerate(file.inputs):
        rng = np.random.default_rng([seed, position])
        drawn, kind = _drawn_for(port, _range(file.graph, position), count, rng, file.path)
        arrays.append(drawn)
        kinds.setdefault(kind, []).append(port.name)
    words = "; ".join(f"{', '.join(names)} {kind}" for kind, names in kinds.items())
    return Inputs(tuple(arrays), f"a sample of {counted(count, 'input')}, seed {seed}: {words}")


def _range(graph: Graph, position: int) -> tuple | None:
    """Return the real numbers between which a float input is quantized by the file's first operator, if it is."""
    index = graph.inputs[position]
    takers = [op for op in graph.operators if index in op.inputs]
    if not takers or any(op.name != "QUANTIZE" or not op.outputs for op in takers):
        return None
    port = ports.of_tensor(graph.tensors[takers[0].outputs[0]])
    return real_range(port.affine) if port.affine else None


def real_range(affine: Affine) -> tuple[float, float]:
    """Return the real numbers that the lowest and the highest code stand for.

    >>> real_range(Affine(0.5, -128))
    (0.0, 127.5)
    """
    limits = np.iinfo(affine.dtype)
    return tuple(float(np.float32(affine.scale)) * (code - affine.zero_point) for code in (limits.min, limits.max))


def _drawn_for(port, span, count, rng, path):
    """Return (array (count, ...), what it holds) for one input.  span : of a float input, None if it is not known."""
    shape, kind = (count, *port.made), port.dtype.kind
    if kind == "b":
        return rng.integers(0, 2, shape).astype(bool), "uniform"
    if kind in "iu" and (port.affine or port.dtype.itemsize <= 2):
        limits = np.iinfo(port.dtype)
        codes = rng.integers(limits.min, limits.max, shape, port.dtype, endpoint=True)
        if not port.affine:
            return codes, "uniform"
        middle = _normal((limits.min, limits.max), (count // 2, *port.made), rng)
        codes[count - count // 2 :] = np.clip(np.rint(middle), limits.min, limits.max).astype(port.dtype)
        return codes, "half uniform, half normal around the middle of its range"
    if kind == "f" and span:
        numbers = rng.uniform(*span, shape)
        numbers[count - count // 2 :] = _normal(span, (count // 2, *port.made), rng)
        low, high = span
        return numbers.astype(port.dtype), f"half uniform from {low:.4g} to {high:.4g}, half normal around the middle"
    if kind == "f":
        return rng.standard_normal(shape).astype(port.dtype), "normal around 0, for nothing says its range"
    raise ValueError(f"{path}: input {port} holds {port.dtype} without a scale, and nothing says which numbers it may "
                     "be given; give them, as X.npy or X.npz")


def _normal(span, shape, rng):
    low, high = map(float, span)
    return rng.normal((low + high) / 2, (high - low) / 6, shape)


def _given(file, given, quantize):
    """Return the Inputs of arrays, or of files with them, checked."""
    named = given if isinstance(given, dict) else _loaded(given) if isinstance(given, str | Path) else (
        arguments.numbers_in("inputs", given, kinds="fiubc", finite=False))
    arrays = named if isinstance(named, dict) else {None: named}
    if None in arrays and len(file.inputs) > 1:
        raise ValueError(f"{file.path} has {len(file.inputs)} inputs, {_names(file.inputs)}; give an X.npz with an "
                         "array for each name")
    found = [_found(port, arrays, file) for port in file.inputs]
    unknown = [key for key in arrays if key is not None and not any(key in (p.name, p.tensor) for p in file.inputs)]
    if unknown:
        raise ValueError(f"{file.path} has no input {unknown[0]}; its inputs are {_names(file.inputs)}")
    made = [_checked(port, x, file, quantize) for port, x in zip(file.inputs, found, strict=True)]
    if len({len(x) for x in made}) > 1:
        raise ValueError("every input needs as many calls as the others, got " + ", ".join(
            f"{len(x):,} of {port.name}" for x, port in zip(made, file.inputs, strict=True)))
    coded = [port.name for port, x in zip(file.inputs, found, strict=True)
             if np.asarray(x).dtype.kind == "f" and port.dtype.kind != "f"]
    if quantize and not coded:
        raise ValueError("none of the inputs that are given are real numbers to be quantized; leave quantize out")
    words = f"; {', '.join(coded)} quantized by its scale" if coded else ""
    return Inputs(tuple(made), f"{counted(len(made[0]), 'given input')}{words}")


def _names(inputs):
    return ", ".join(map(str, inputs))


def _found(port, arrays, file):
    if None in arrays:
        return arrays[None]
    keys = [key for key in dict.fromkeys((port.name, port.tensor)) if key in arrays]
    if len(keys) != 1:
        what = "none is" if not keys else "two are"
        raise ValueError(f"input {port} of {file.path} needs one array, and {what} given for it; there are "
                         f"{', '.join(map(str, arrays)) or 'none at all'}")
    return arrays[keys[0]]


def _loaded(path):
    """Return the array of an .npy file, or the dict of arrays of an .npz file."""
    if not files.is_file(path):
        raise FileNotFoundError(f"no file with inputs at {printable(path)}; make one with numpy.save "
                                "or numpy.savez")
    try:
        return files.read_arrays(path, "inputs")
    except ValueError as error:
        raise ValueError(f"{error}; make one with numpy.save or numpy.savez") from None


def _checked(port, x, file, quantize):
    """Return an array as (calls, *shape of a call) in the input's type."""
    x, where = arguments.numbers_in("inputs", x, kinds="fiubc", finite=False), f"input {port} of {file.path}"
    if x.dtype.kind == "f" and port.dtype.kind in "iu":
        if not quantize:
            raise ValueError(f"{where} takes {port.dtype} codes, got real numbers ({x.dtype}); say that they are to be "
                             "quantized by its scale (--quantize), or give codes")
        if not port.affine:
            raise ValueError(f"{where} has no scale to quantize real numbers by; give {port.dtype}")
        if not np.isfinite(x).all():
            raise ValueError(f"{where} got NaN or infinity, which has no code")
        encode = port.affine.quantize
    elif x.dtype != port.dtype and not (x.dtype.kind == port.dtype.kind == "f"):
        raise ValueError(f"{where} takes {port.dtype}, got {x.dtype}; convert it, e.g. with "
                         f"astype('{port.dtype}'), if the numbers mean the same")
    else:
        def encode(x):
            return x.astype(port.dtype, copy=False)
    return encode(_in_calls(port, x, where))


def _in_calls(port, x, where):
    """Return x as (calls, *shape); the first of several axes may hold the samples of all calls in one row."""
    shape, samples = port.made, port.made[0] if len(port.made) > 1 else 0
    if len(x) if x.ndim else 0:
        if x.shape[1:] == shape:
            return x
        if samples and x.shape[1:] == shape[1:] and not len(x) % samples:
            return x.reshape(-1, *shape)
    calls = "" if samples == 1 else f"({', '.join(map(str, ('n', *shape)))}{',' * (not shape)})"
    rows = f"({', '.join(map(str, ('n', *shape[1:])))}{',' * (len(shape) == 1)})" if samples else ""
    each = f", n a multiple of {samples}" if samples > 1 else ""
    raise ValueError(f"{where} takes shape {' or '.join(filter(None, (calls, rows)))}{each}, got {x.shape}")
