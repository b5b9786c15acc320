"""A trial: one net through quantization and conversion, and what each step costs, compared in pairs."""
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from xorlab import arguments, compare, data, export, models, predictors, qat, training, zoo
from xorlab.integer.affine import GRANULARITIES
from xorlab.tables import Table, Tabular

MODELS = ("xor", *zoo.HIDDEN)
CONVERTERS = "8-bit PTQ in TFLite"
MOST_OUTPUTS = 1_000_000


@dataclass(frozen=True)
class Subject:
    """A trained net with its data.

    x : points to calibrate and train on.  points : points on which outputs are compared.
    test_x, test_y : points and classes for the accuracy.
    words : which points are compared, as a sentence says it.
    made : {words of a kind of points: (points, classes)}, of made points with classes, for further accuracies.
    """
    model: object
    x: np.ndarray
    points: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    words: str = ""
    made: dict = field(default_factory=dict)


@dataclass(frozen=True, repr=False)
class Trial(Tabular):
    """The pairs of forms of one net, compared on its points.

    reports : an ErrorReport for each pair.  accuracy : {form: share of test points in the right class}.
    words : which points were compared.  made : {kind of made points: {form: share in the right class}}.
    """
    model: str
    seed: int
    reports: tuple
    accuracy: dict
    words: str = ""
    made: dict = field(default_factory=dict)

    @property
    def passed(self):
        """Whether every pair is within the tolerance on every output."""
        return all(report.passed for report in self.reports)

    def sentences(self):
        """Return what the table does not say: on which points, and how many of them are in the right class."""
        said = [f"{self.model}: compared on {self.words}."]
        for where, shares in (("", self.accuracy), *((f" on {kind}", shares) for kind, shares in self.made.items())):
            said.append(f"{self.model}, accuracy{where}: "
                        + ", ".join(f"{form} {share:.4f}" for form, share in shares.items()))
        return said

    def table(self):
        header = ("model", "pair", "verdict", "tolerance", "seed", "outputs", "max error", "max relative error",
                  "mean error", "not close")
        return Table(header, tuple(
            (self.model, r.pair, "pass" if r.passed else "fail", f"{r.tolerance:g}", str(self.seed), f"{r.outputs:,}",
             f"{r.max_abs:.2g}", f"{r.max_relative:.2g}", f"{r.mean_abs:.2g}", f"{100 * r.not_close:.4g}%")
            for r in self.reports))


def run(name, *, quantize=True, tolerance=0.01, seed=0, weight_bits=8, granularity="per_channel", outputs=None):
    """Train a net, make its other forms, compare them in pairs, and return a Trial.

    name : a name in MODELS.  seed : of the net's initial weights.  tolerance : as in compare.errors.
    quantize : whether to compare the float32 file only, or the quantized forms, as `forms` makes them.
    weight_bits : of every form but the converter's own, 2 to 8.  granularity : of all, a name in rules.GRANULARITIES.
    outputs : how many to compare, on points made for that, as in `train`.
    """
    compare.check_tolerance(tolerance)          # all before the training, so that a slip costs no time
    arguments.switch("quantize", quantize)
    _check_rounding(weight_bits, granularity)
    subject = train(name, seed, outputs=outputs)
    made = forms(subject, weight_bits, granularity) if quantize else float_forms(subject)
    pairs = [(a, b) for a, b in PAIRS if a in made and b in made]
    reports = tuple(compare.errors(made[a], made[b], subject.points, tolerance) for a, b in pairs)
    return Trial(name, seed, reports, _accuracy(made, subject.test_x, subject.test_y), subject.words,
                 {kind: _accuracy(made, *points) for kind, points in subject.made.items()})


def _check_rounding(weight_bits, granularity):
    arguments.whole("weight_bits", weight_bits, qat.BITS[0], qat.BITS[-1])
    arguments.one_of("granularity", granularity, GRANULARITIES)


def _accuracy(forms, x, y):
    return {form: float(np.mean(compare.classes(p(x)) == y)) for form, p in forms.items()}


# (reference, candidate): what a conversion costs, what the converter's rounding costs, what plain rounding and what
# training with rounding cost at one number of bits and one granularity, and what only the integer arithmetic costs
PAIRS = (("baseline", "TFLite float32"), ("baseline", CONVERTERS), ("baseline", "PTQ"), ("baseline", "QAT"),
         ("baseline", "QAT in TFLite"), ("QAT", "QAT in TFLite"))


def train(name, seed=0, *, outputs=None):
    """Return the Subject of a name in MODELS: XOR with 8 hidden units, or a net of the zoo on digits.

    seed : of the initial weights, and of the points made for `outputs`.
    outputs : how many outputs to compare. None compares what the data has: 65,536 points of the square, or the 450
        test pictures with 10 outputs each. A number compares points made from the seed: points drawn uniformly from
        the square, or digits as zoo.made_digits makes them, a tenth of the number.
    Raises ValueError for another name, and for a number that is not 1 to MOST_OUTPUTS times a point's outputs.
    """
    models.checked_seed(seed)
    check_outputs(name, outputs, seed)
    return (_on_xor if name == "xor" else _on_digits)(name, seed, outputs and outputs // _outputs_of_a_point(name))


def check_outputs(name, outputs, seed):
    """Raise ValueError unless a net of MODELS can be compared on so many outputs, made from a seed, or on None."""
    arguments.one_of("the model", name, MODELS)
    if outputs is None:
        return
    each = _outputs_of_a_point(name)
    if not arguments.is_whole(outputs, 1, MOST_OUTPUTS) or outputs % each:
        kind = f"a multiple of {each}, the outputs that {name} has for each picture," if each > 1 else "a whole number"
        raise ValueError(f"outputs must be {kind} from {each} to {MOST_OUTPUTS:,}, got {arguments.shown(outputs)}")
    if models.checked_seed(seed) < 0:
        raise ValueError(f"the seed of made points must be 0 or more, got {seed}")


def _outputs_of_a_point(name):
    return 1 if name == "xor" else 10


def _on_xor(_, seed, count):
    model = models.MLP(8, seed=seed)
    training.fit(model, *data.corners(), epochs=2000)
    points, words = data.grid(256), "65,536 outputs: a grid of 256 x 256 points of the square"
    if count:
        points, _ = data.dense(count, seed=seed)
        words = f"{count:,} outputs: points of the square, drawn at random (seed {seed})"
    return Subject(model, data.grid(33), points, *data.corners(), words)


def _on_digits(name, seed, count):
    x, _, test_x, test_y = zoo.digits()
    model, tests = zoo.trained(name, seed=seed), f"{len(test_x):,} test pictures"
    if count is None:
        return Subject(model, x, test_x, test_x, test_y, f"{10 * len(test_x):,} outputs: 10 for each of the {tests}")
    digits = zoo.made_digits(count, seed=seed)
    made = {}
    for kind, rows in (("shifted by a pixel", ~digits.noisy), (f"with noise of {zoo.NOISE:g}", digits.noisy)):
        if rows.any():
            made[f"{rows.sum():,} {kind}"] = digits.x[rows], digits.y[rows]
    words = (f"{10 * count:,} outputs: 10 for each of {count:,} digits made of the {tests} (seed {seed}), "
             + " and ".join(made))
    return Subject(model, x, digits.x, test_x, test_y, words, made)


def float_forms(subject):
    """Return {"baseline", "TFLite float32"} of a trained net as predictors."""
    arguments.instance("subject", subject, Subject, "what trials.train returns")
    with tempfile.TemporaryDirectory() as folder:
        path = export.to_tflite(_saved_model(subject, Path(folder)), Path(folder) / "float32.tflite", "float32")
        return {"baseline": predictors.from_torch(subject.model, "baseline"),
                "TFLite float32": predictors.from_tflite(path, name="TFLite float32")}


def forms(subject, weight_bits=8, granularity="per_channel"):
    """Return {"baseline", "8-bit PTQ in TFLite", "PTQ", "QAT", "QAT in TFLite"} of a trained net as predictors.

    The first PTQ (post-training quantization) is the converter's own, whose weights always have 8 bits. "PTQ" is
    plain rounding, qat.rounded, and "QAT" what training makes of that: both simulated in PyTorch, with weight_bits.
    """
    arguments.instance("subject", subject, Subject, "what trials.train returns")
    _check_rounding(weight_bits, granularity)
    plain = qat.rounded(subject.model, subject.x, weight_bits, granularity=granularity)
    net, _ = training.fit_qat(subject.model, subject.x, weight_bits=weight_bits, granularity=granularity,
                              **qat_settings(weight_bits))
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        eight = export.to_tflite(_saved_model(subject, folder), folder / "ptq.tflite", "int8", subject.x,
                                 granularity=granularity)
        trained = export.qat_to_tflite(net, folder / "qat.tflite")
        return {"baseline": predictors.from_torch(subject.model, "baseline"),
                CONVERTERS: predictors.from_tflite(eight, name=CONVERTERS),
                "PTQ": predictors.from_torch(plain, "PTQ"),
                "QAT": predictors.from_torch(net, "QAT"),
                "QAT in TFLite": predictors.from_tflite(trained, name="QAT in TFLite")}


def qat_settings(weight_bits):
    """Return the epochs and the rate for nets that read digits, as arguments of training.fit_qat.

    With 8 bits they need a lower rate: on dense4 the usual one gains nothing in that time.
    """
    weight_bits = arguments.whole("weight_bits", weight_bits, qat.BITS[0], qat.BITS[-1])
    return {"epochs": 100, "lr": 0.02 if weight_bits < 8 else 0.002}


def _saved_model(subject, folder):
    onnx = export.to_onnx(subject.model, folder / "net.onnx", subject.x.shape[1:])
    return export.to_saved_model(onnx, folder / "saved_model")
