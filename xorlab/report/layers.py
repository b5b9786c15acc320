"""Where an int8 net loses what its float model knew: error, clipped values and codes used, layer by layer, on data.

A float tensor is a layer's partner if the data say so, never because of its name: it has the layer's shape without axes
of length 1, correlates with it by CORRELATED or more, is at most GAIN times as large or as small, and of all ways to
give layers different partners in the order of both models, theirs agrees best (the sum of the concordance
coefficients, which fall with another slope or offset too; Lin 1989).
"""
import json
import math
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from xorlab import export, files, ports, runtimes
from xorlab.predictors import onnx_session
from xorlab.report.asked import SAMPLES, File, inputs_of, real_range
from xorlab.report.html import Section, Shown, shape_words, shortened
from xorlab.report.inner import Inner, made_by_operators, pieces
from xorlab.report.why import NAME, affordable
from xorlab.streams import printable, progress, quiet
from xorlab.tables import Table

CORRELATED, GAIN = 0.9, 4
MOST_SETTINGS = 16 << 20             # bytes, of what says which layers a .keras file has
FLOATS_OF_ONNX = ("tensor(float)", "tensor(double)", "tensor(float16)")
NO_LENGTHS = ("seed", "shared_object_id")
LONGEST = 2**20                     # of an axis in a .keras file whose weights do not show that it is as long
TWICE = 10 * math.log10(4)          # dB that are lost where the error is twice as large
CARRIERS = ("DEQUANTIZE", "EXPAND_DIMS", "QUANTIZE", "RESHAPE", "SQUEEZE")    # give the numbers that they take
ENDING_BELOW_1 = ("LOGISTIC", "SOFTMAX")
BOUNDED_BELOW = ("RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1")
NO_MATCH = "no float tensor matches"


@dataclass(frozen=True)
class Layer:
    """A tensor of the int8 file beside the float tensor that it stands for.

    operator : the place in the file of the operator that makes it, called `kind`; -1 for the file's input.
    partner : the float tensor's name; None if none matches, and then all further fields but `line` and `codes` are too.
    sqnr : signal-to-quantization-noise ratio in dB, 10 log10(sum of float^2 / sum of (int8 - float)^2); inf if exact.
    lost : by how much it is lower than that of the operator's worst input, in dB; an input that is exact counts as one
        rounded at random, scale^2 / 12.  None where nothing precedes.
    clipped : the share of values that have the last code at an end, and whose float value is beyond that end by more
        than half a step; what a ReLU cuts off is not clipped.  clipped_noise : their share of the squared error.
    error : mean of (int8 - float).  data : (least, largest) float value.
    line : (least, largest) real number that its codes stand for, None for a tensor of floats.
    codes : how many of all its `of_codes` codes occur, 0 for floats.
    through : operators right before it that no float tensor matches; what they lose is in what it loses.
    """
    operator: int
    kind: str
    name: str
    shape: tuple
    partner: str | None
    sqnr: float | None
    lost: float | None
    clipped: float | None
    clipped_noise: float | None
    error: float | None
    data: tuple | None
    line: tuple | None
    codes: int
    of_codes: int
    through: tuple = ()

    def __str__(self):
        return self.kind if self.operator < 0 else f"{self.operator} {self.kind}"

    @property
    def used(self) -> float | None:
        """What share of the range of the codes the data take up; None without both."""
        if self.line is None or self.data is None:
            return None
        (low, high), (least, most) = self.line, self.data
        return max(0.0, min(most, high) - max(least, low)) / (high - low)


@dataclass(frozen=True, repr=False)
class Layers(Shown):
    """What each layer of an int8 file loses of its float model's numbers; it shows itself.

    file, model : their names.  inputs : in words, which were run.  layers : a Layer for the input and each tensor that
    operators make.  outputs : those of the last ones.  notes : sentences about what was not as usual.
    """
    file: str
    model: str
    inputs: str
    layers: tuple[Layer, ...]
    outputs: tuple[Layer, ...]
    notes: tuple[str, ...]

    @property
    def worst(self) -> Layer | None:
        """The Layer whose operator loses most; None if none loses anything."""
        losing = [one for one in self.layers if one.lost is not None and one.lost > 0]
        return max(losing, key=lambda one: one.lost, default=None)

    def title(self) -> str:
        if self.worst is None:
            return f"{self.file}: no operator loses anything against {self.model}"
        return f"{self.file}: most is lost in operator {self.worst.operator}, {self.worst.kind}"

    def sections(self) -> list[Section]:
        return [Section("", (f"Asked with {self.inputs}.", *self._sentences())), Section("Error", (self.errors(),)),
                Section("Ranges", (self.ranges(),)), *([Section("Notes", self.notes)] if self.notes else [])]

    def errors(self) -> Table:
        """Return a Table of what every layer loses."""
        rows = tuple((str(one), _or_dash(one.sqnr, _level), _or_dash(one.lost, "{:.1f}".format),
                      _or_dash(one.clipped, _percent), _or_dash(one.error, "{:.3g}".format),
                      NO_MATCH if one.partner is None else one.partner) for one in self.layers)
        return Table(("operator", "SQNR, dB", "lost, dB", "clipped", "mean error", "against float tensor"), rows, (
            "SQNR: 10 log10(sum of float^2 / sum of (int8 - float)^2). Lost: against the operator's worst input.",
            "What is lost before hides what is lost after it: mend the worst, then ask again."),
            (0, 5))

    def ranges(self) -> Table:
        """Return a Table of what the codes of every layer can say, beside the data."""
        rows = tuple((str(one), shape_words(one.shape), _or_dash(one.line, _span), _or_dash(one.data, _span),
                      _or_dash(one.used, _percent), f"{one.codes:,} of {one.of_codes:,}" if one.of_codes else "-")
                     for one in self.layers)
        return Table(("operator", "makes", "codes reach from, to", "data from, to", "range used", "codes used"), rows)

    def _sentences(self):
        worst = self.worst
        if worst:
            yield (f"Most is lost in operator {worst}, tensor {shortened(worst.name, NAME)}: {worst.lost:.1f} dB, from "
                   f"{worst.sqnr + worst.lost:.1f} dB of what comes into it to {worst.sqnr:.1f} dB.")
            if worst.through:
                yield (f"What operator {', '.join(map(str, worst.through))} before it loses is part of that, for "
                       f"{NO_MATCH} there.")
            if worst.line is not None:
                yield _cause(worst)
            for one in sorted(self.layers, key=lambda one: -(one.lost or 0)):
                if one is not worst and (one.lost or 0) > TWICE and _unfit(one):
                    yield f"Operator {one} loses {one.lost:.1f} dB. {_cause(one)}"
        for one in self.outputs:
            yield f"Output {shortened(one.name, NAME)} has {_level(one.sqnr)}{' dB' * math.isfinite(one.sqnr)}."


def layers(path, float_model, inputs=None, *, samples: int | None = None, seed: int | None = None,
           runtime: str = "reference") -> Layers:
    """Return what each layer of a quantized .tflite file loses of the numbers that its float model has there.

    float_model : path of a .tflite, .onnx or .keras file.  An ONNX net whose input is the file's with channels first
        is given such, and its tensors of four axes are compared with channels last.
    inputs : real numbers, (n, ...): an array, or the path of X.npy or X.npz.  None draws `samples` inputs by `seed`:
        codes as asked.inputs_of draws them, each moved at random by half a step at most.
    runtime : which of runtimes.RUNTIMES runs the quantized file, and a float .tflite.
    Raises FileNotFoundError; ValueError, in one sentence, for files that cannot be read or run, inputs that do not fit,
    and a float model that has no tensor for the file's output.

    >>> from xorlab import models
    >>> file, model = (models.reference_file("relu-2-4-1", name) for name in ("int8.tflite", "model.onnx"))
    >>> made = layers(file, model, samples=200)
    >>> made.worst.kind, made.outputs[0].partner
    ('FULLY_CONNECTED', 'output')
    """
    runtimes.require(runtime)
    file, float_model = File.read(path), Path(files.checked_path("the float model", float_model))
    if len(file.inputs) != 1:
        raise ValueError(f"{file.path} has {len(file.inputs)} inputs, and layers can be compared for one")
    given, real, entries = _both_inputs(file, inputs, samples, seed)
    model = _opened(float_model, file, runtime)
    inner = Inner(file, runtime)
    tally = _Tally(file)
    for piece in progress(list(pieces(file.graph, len(real))), "layers"):
        floats = [("its input", real[piece]), *model.run(real[piece])]
        tally.add({file.graph.inputs[0]: entries[piece], **inner.run([entries[piece]])}, floats)
    partners = tally.partners()
    _check_outputs(file, model.path, tally, partners)
    made = _levels(file, tally, partners)
    notes = list(inner.notes)
    if any(one.kind in ENDING_BELOW_1 and one.clipped and one.line[1] == 255 / 256 for one in made.values()):
        notes.append(f"The codes of {' and '.join(ENDING_BELOW_1)} end at 255/256, whatever the data: the format fixes "
                     "it, and what is clipped there is off by 1/256 at most.")
    return Layers(file.path.name, model.path.name, given, tuple(made.values()),
                  tuple(made[i] for i in file.graph.outputs), tuple(notes))


def _both_inputs(file, given, samples, seed):
    """Return (which they are in words, real numbers (calls, ...), what the file is given for them)."""
    port = file.inputs[0]
    if port.problem or (port.dtype.kind != "f" and not port.affine):
        raise ValueError(f"{file.path}: input {port} {port.problem or 'has no scale to quantize real numbers by'}")
    encode = port.affine.quantize if port.affine else np.asarray
    if given is not None:
        with np.errstate(over="ignore"):            # beyond float32: infinite, which is refused below
            made = inputs_of(_taking_floats(file), given, samples=samples, seed=seed)
        real = made.arrays[0]
        if not np.isfinite(real).all():
            raise ValueError(f"input {port} of {file.path} got {real[~np.isfinite(real)][0]}; give finite numbers")
        return made.words, real, encode(real)
    made = inputs_of(file, samples=samples, seed=seed)
    most = affordable(file.graph)
    if samples is None and (made.every or len(made) > most):
        made = inputs_of(file, samples=min(SAMPLES, most), seed=seed)
    if not port.affine:
        return made.words, made.arrays[0], made.arrays[0]
    moved = np.random.default_rng([0 if seed is None else seed, 1]).uniform(-0.5, 0.5, made.arrays[0].shape)
    real = port.affine.dequantize(made.arrays[0]) + np.float32(port.affine.scale * moved)
    return f"{made.words}, each code moved at random by half a step at most", np.float32(real), encode(real)


def _taking_floats(file):
    """Return the file as if its input took real numbers, by which real inputs are checked."""
    tensors = list(file.graph.tensors)
    at = file.graph.inputs[0]
    tensors[at] = replace(tensors[at], dtype="FLOAT32", scales=np.float32([]), zero_points=np.int64([]))
    return replace(file, graph=replace(file.graph, tensors=tuple(tensors)))


# the float model

def _opened(path, quantized, runtime):
    kinds = {".tflite": _FloatTflite, ".onnx": _Onnx, ".keras": _Keras}
    if path.suffix.lower() not in kinds:
        raise ValueError(f"the float model must be a {', '.join(list(kinds)[:-1])} or .keras file, "
                         f"got {printable(path)}")
    return kinds[path.suffix.lower()](files.existing_file(path, path.suffix[1:]), quantized, runtime)


def _refuse_shape(path, takes, quantized):
    raise ValueError(f"{path} takes inputs of shape {tuple('any' if n is None else n for n in takes)} and the "
                     f"quantized file {quantized.path} {quantized.inputs[0].made}; give the model that it was made "
                     "from")


class _FloatTflite:
    def __init__(self, path, quantized, runtime):
        file = File.read(path)
        self.path, (entry, *others) = path, file.inputs or [None]
        if entry is None or others or entry.dtype is None or entry.dtype.kind != "f":
            raise ValueError(f"{path} is no float model: its input {entry} must be one of real numbers")
        if entry.made != quantized.inputs[0].made:
            _refuse_shape(path, entry.made, quantized)
        self._tensors, self._inner, self._dtype = file.graph.tensors, Inner(file, runtime), entry.dtype

    def run(self, x):
        made = self._inner.run([x.astype(self._dtype, copy=False)])
        return [(self._tensors[i].name, numbers) for i, numbers in made.items() if numbers.dtype.kind == "f"]


class _Onnx:
    def __init__(self, path, quantized, _):
        import onnx

        self.path = path
        export.check_alone(path)
        with files.reading(path, "a model that ONNX Runtime can run"):
            model = onnx.load(path, load_external_data=False)
            there = {end.name for end in model.graph.output}
            model.graph.output.extend(onnx.ValueInfoProto(name=name) for node in model.graph.node
                                      for name in node.output if name and name not in there)
            made = [name for node in model.graph.node for name in node.output if name]
            content = model.SerializeToString()
        self._session = onnx_session(content, path)
        with files.reading(path, "a model that ONNX Runtime can run"):      # a name may be no text
            kinds = {end.name: end.type for end in self._session.get_outputs()}
            entries = [(end.name, end.type, end.shape) for end in self._session.get_inputs()]
        self._names = [name for name in made if kinds.get(name) in FLOATS_OF_ONNX]
        if len(entries) != 1:
            raise ValueError(f"{path} has {len(entries)} inputs, and layers can be compared for one")
        ((self._entry, kind, takes),) = entries
        if kind != "tensor(float)":
            raise ValueError(f"{path}: input {self._entry} takes {kind}, and must take tensor(float)")
        takes = tuple(n if isinstance(n, int) else None for n in takes)
        shape = quantized.inputs[0].made
        self._turned = not _fits(takes, shape) and len(shape) == 4 and _fits(takes, [shape[i] for i in (0, 3, 1, 2)])
        if not self._turned and not _fits(takes, shape):
            _refuse_shape(path, takes, quantized)

    def run(self, x):
        if self._turned:
            x = np.ascontiguousarray(x.transpose(0, 1, 4, 2, 3))
        with files.reading(self.path, "a model that ONNX Runtime can run"):
            calls = [self._session.run(self._names, {self._entry: call}) for call in x]
        made = [np.stack(one) for one in zip(*calls, strict=True)]
        return [(name, one.transpose(0, 1, 3, 4, 2) if self._turned and one.ndim == 5 else one)
                for name, one in zip(self._names, made, strict=True)]


class _Keras:
    def __init__(self, path, quantized, _):
        refusal = None
        with quiet():               # which prints what it held back if an error leaves it
            import keras

            try:
                with files.reading(path, "a model that Keras can run"):
                    _check_keras(path)
                    model = keras.models.load_model(path, compile=False, safe_mode=True)
                    ends = [(layer.name, end) for layer in model.layers
                            if not isinstance(layer, keras.layers.InputLayer)
                            for end in keras.tree.flatten(layer.output) if "float" in end.dtype]
                    takes = [tuple(one.shape) for one in model.inputs]
                    self._model = keras.Model(model.inputs, [end for _, end in ends])
            except ValueError as error:
                refusal = error
        if refusal:
            raise refusal
        if len(takes) != 1:
            raise ValueError(f"{path} has {len(takes)} inputs, and layers can be compared for one")
        if not _fits(takes[0], quantized.inputs[0].made):
            _refuse_shape(path, takes[0], quantized)
        self.path, self._names = path, [name for name, _ in ends]

    def run(self, x):
        with quiet(), files.reading(self.path, "a model that Keras can run"):
            made = self._model.predict_on_batch(x.reshape(-1, *x.shape[2:]))
        made = made if isinstance(made, list) else [made]
        return [(name, np.asarray(one).reshape(*x.shape[:2], *one.shape[1:]))
                for name, one in zip(self._names, made, strict=True)]


def _check_keras(path):
    """Raise ValueError for a .keras file that is more than layers and weights, whatever Keras is told to let pass.

    So is one whose layers are larger than its weights: Keras makes them before it looks.
    """
    with zipfile.ZipFile(path) as archive:
        sizes = {member.filename: member.file_size for member in archive.infolist()}
        if sum(sizes.values()) > max(files.MOST_UNPACKED, 2 * path.stat().st_size):
            raise ValueError(f"it claims to hold more than {files.MOST_UNPACKED:,} bytes")
        if sizes["config.json"] > MOST_SETTINGS:
            raise ValueError("its config.json is too large")
        given = [("", json.loads(archive.read("config.json")))]
    most = max(LONGEST, sizes.get("model.weights.h5", 0) // 4)
    while given:
        key, value = given.pop()
        if isinstance(value, dict):
            if value.get("class_name") in ("Lambda", "__lambda__"):
                raise ValueError("it has a Lambda layer, which is a program and not weights; use Keras' own layers")
            given += value.items()
        elif isinstance(value, list):
            given += [(key, one) for one in value]
        elif isinstance(value, int | float) and key not in NO_LENGTHS and not abs(value) <= most:
            raise ValueError(f"its {key} is {value:g}, and its weights are {sizes.get('model.weights.h5', 0):,} bytes")


def _fits(takes, shape):
    return len(takes) == len(shape) and all(n in (None, m) for n, m in zip(takes, shape, strict=True))


# layers beside float tensors

class _Sums:
    """Sums over the numbers q of a layer and f of a float tensor, which come in pieces."""

    def __init__(self):
        self.sums, self.least, self.most = np.zeros(9), math.inf, -math.inf

    def add(self, f, q, beyond):
        error = q - f
        self.sums += (f.size, f.sum(), q.sum(), f @ f, q @ q, f @ q, error @ error, beyond.sum(),
                      error[beyond] @ error[beyond])
        self.least, self.most = min(self.least, f.min()), max(self.most, f.max())

    def agreement(self) -> tuple[float, float, float]:
        """Return (correlation, concordance, how many times as large the larger one's spread is)."""
        n, f, q, ff, qq, fq, ee, *_ = self.sums
        spread_f, spread_q = ff / n - (f / n) ** 2, qq / n - (q / n) ** 2
        if spread_f <= 1e-12 * ff / n or spread_q <= 1e-12 * qq / n:            # one is constant
            return (1.0, 1.0, 1.0) if ee <= 1e-12 * ff else (0.0, 0.0, math.inf)
        both = fq / n - f / n * q / n
        ratio = math.sqrt(spread_f / spread_q)
        return (both / math.sqrt(spread_f * spread_q), 2 * both / (spread_f + spread_q + ((f - q) / n) ** 2),
                max(ratio, 1 / ratio))


class _Tally:
    """Adds up every layer of a file beside every float tensor that may be its partner."""

    def __init__(self, file):
        graph = file.graph
        self.graph, self.entry = graph, graph.inputs[0]
        self.maker = {i: (number, op) for number, op in enumerate(graph.operators) for i in op.outputs}
        self.ports = {i: port for i in (self.entry, *made_by_operators(graph))
                      if (port := ports.of_tensor(graph.tensors[i])).affine or port.dtype.kind == "f"}
        self.sums, self.names, self.seen = {}, [], {}

    def carries(self, i):
        return i in self.maker and self.maker[i][1].name in CARRIERS

    def root(self, i):
        """Return the tensor that a layer has its numbers from, in another shape or by another line."""
        while self.carries(i):
            i = self.maker[i][1].inputs[0]
        return i

    def add(self, made, floats):
        """made : {tensor: (calls, ...)}.  floats : (name, (calls, ...)) of the model's input and then its tensors."""
        self.names = [name for name, _ in floats]
        wide = [np.asarray(f, np.float64).ravel() for _, f in floats]
        for i, port in self.ports.items():
            if i not in made:
                continue
            codes, q = made[i].ravel(), np.asarray(port.decode(made[i]), np.float64).ravel()
            if port.affine:
                self.seen.setdefault(i, set()).update(np.unique(codes).tolist())
            for j, (_, f) in enumerate(floats):
                if self._may_be(i, made[i], j, f):
                    beyond = self._beyond(i, codes, wide[j])
                    self.sums.setdefault((i, j), _Sums()).add(wide[j], q, beyond)

    def _may_be(self, i, a, j, f):
        if (self.root(i) == self.entry) != (j == 0):
            return False
        return a.size == f.size and (self.carries(i) or _long(a.shape[1:]) == _long(f.shape[1:]))

    def _beyond(self, i, codes, f):
        affine = self.ports[i].affine
        if not affine:
            return np.zeros(f.shape, bool)
        (low, high), limits, half = real_range(affine), np.iinfo(affine.dtype), affine.scale / 2
        number, op = self.maker.get(self.root(i), (-1, None))
        relu = op is not None and {op.activation, op.name} & set(BOUNDED_BELOW)
        below = (codes == limits.min) & (f < low - half)
        return (codes == limits.max) & (f > high + half) | (below & (not relu))

    def score(self, i, j):
        """Return how well a float tensor agrees with a layer, None if too little."""
        if (i, j) not in self.sums:
            return None
        correlation, concordance, ratio = self.sums[i, j].agreement()
        return concordance if correlation >= CORRELATED and ratio <= GAIN else None

    def partners(self) -> dict[int, int]:
        """Return {tensor: the place of its float tensor} in the order of both, those that carry another's included."""
        rows = [i for i in self.ports if i != self.entry and not self.carries(i)]
        scores = [[self.score(i, j) for j in range(1, len(self.names))] for i in rows]
        best = np.zeros((len(rows) + 1, len(self.names)))
        for a, row in enumerate(scores, 1):
            for b, one in enumerate(row, 1):
                best[a, b] = max(best[a - 1, b], best[a, b - 1], -1 if one is None else best[a - 1, b - 1] + one)
        found, a, b = {self.entry: 0}, len(rows), len(self.names) - 1
        while a and b:
            if best[a, b] == best[a, b - 1]:
                b -= 1
            elif best[a, b] == best[a - 1, b]:
                a -= 1
            else:
                found[rows[a - 1]] = b
                a, b = a - 1, b - 1
        return {i: found[self.root(i)] for i in self.ports
                if self.root(i) in found and (i, found[self.root(i)]) in self.sums}


def _long(shape):
    return [n for n in shape if n != 1]


def _check_outputs(file, model, tally, partners):
    for i in file.graph.outputs:
        name = file.graph.tensors[i].name
        if i not in tally.ports:
            raise ValueError(f"output {name} of {file.path} holds {file.graph.tensors[i].dtype} without a scale, which "
                             "stands for no real numbers to be compared")
        if i not in partners:
            root = tally.root(i)
            best = max((one.agreement()[0] for (a, _), one in tally.sums.items() if a == root), default=None)
            reason = "none has its shape" if best is None else f"the best correlation is {best:.2f}"
            raise ValueError(f"output {name} of {file.path} matches no tensor of {model} on these inputs ({reason}); "
                             "give the float model that the file was made from, and inputs as it was trained on")


def _levels(file, tally, partners):
    """Return {tensor: its Layer}, the input first."""
    found, level, unmatched = {}, {}, {}
    for i, port in tally.ports.items():
        number, op = tally.maker.get(i, (-1, None))
        coming = [level[k] for k in (op.inputs if op else ()) if level.get(k) is not None]
        comes, line = min(coming, default=None), port.affine and real_range(port.affine)
        limits = np.iinfo(port.dtype) if port.affine else None
        what = (number, op.name if op else "input", port.name, port.made)
        codes = (line, len(tally.seen.get(i, ())), limits.max - limits.min + 1 if limits else 0)
        through = tuple(sorted({k for before in (op.inputs if op else ()) for k in unmatched.get(before, ())}))
        level[i] = comes
        if i not in partners:
            unmatched[i] = (*through, number)
            found[i] = Layer(*what, None, *[None] * 6, *codes, through)
            continue
        one = tally.sums[i, partners[i]]
        n, f, q, ff, _, _, ee, beyond, beyond_ee = one.sums
        sqnr = decibels(ff, ee)
        if ff and (ee or port.affine):
            level[i] = decibels(ff, ee or n * port.affine.scale**2 / 12)
        lost = None if comes is None or not ff else comes - level[i] if ee else 0.0
        found[i] = Layer(*what, tally.names[partners[i]], sqnr, lost, beyond / n if port.affine else None,
                         beyond_ee / ee if ee else 0.0, (q - f) / n, (float(one.least), float(one.most)), *codes,
                         through)
    return found


def decibels(signal: float, noise: float) -> float:
    """Return the ratio of two sums of squares in dB; inf without noise, -inf without signal only.

    >>> decibels(100, 1), decibels(1, 0), decibels(0, 1)
    (20.0, inf, -inf)
    """
    return math.inf if not noise else 10 * math.log10(signal / noise) if signal else -math.inf


def _unfit(one):
    """Return whether a layer's range is to blame: too narrow, or much too wide."""
    return one.line is not None and (one.clipped_noise > 0.5 or one.used < 0.5)


def _cause(one):
    """Say what the ranges have to do with a layer's error."""
    share = f"{_percent(one.clipped_noise)} of its squared error"
    if one.clipped_noise > 0.5:
        return (f"Its range is too narrow for these data: {_percent(one.clipped)} of the values are clipped and make "
                f"{share}; the codes reach {_reach(one.line)}, the data {_reach(one.data)}.")
    if one.used < 0.5:
        return (f"Its scale is coarse for these data: they take up {_percent(one.used)} of the range of its codes, of "
                f"which {one.codes:,} of {one.of_codes:,} occur; the codes reach {_reach(one.line)}, the data "
                f"{_reach(one.data)}.")
    return (f"Its range fits these data: the codes reach {_reach(one.line)}, the data {_reach(one.data)}, and clipped "
            f"values make {share}. The rest is rounding, of its weights and of what comes in too.")


def _reach(span):
    return f"from {span[0]:.4g} to {span[1]:.4g}"


def _span(span):
    return f"{span[0]:.4g}, {span[1]:.4g}"


def _level(sqnr):
    return f"{sqnr:.1f}" if math.isfinite(sqnr) else "no error" if sqnr > 0 else "no signal"


def _percent(share):
    return f"{100 * share:.3g} %"


def _or_dash(value, words):
    return "-" if value is None else words(value)
