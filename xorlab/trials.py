"""A trial: one net through quantization and conversion, and what each step costs, compared in pairs."""
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xorlab import compare, data, export, models, predictors, qat, training, zoo
from xorlab.tables import Table, Tabular

MODELS = ("xor", *zoo.HIDDEN)
CONVERTERS = "8-bit PTQ in TFLite"


@dataclass(frozen=True)
class Subject:
    """A trained net with its data.

    x : points to calibrate and train on.  points : points on which outputs are compared.
    test_x, test_y : points and classes for the accuracy.
    """
    model: object
    x: np.ndarray
    points: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


@dataclass(frozen=True, repr=False)
class Trial(Tabular):
    """The pairs of forms of one net, compared on its points.

    reports : an ErrorReport for each pair.  accuracy : {form: share of test points in the right class}.
    """
    model: str
    seed: int
    reports: tuple
    accuracy: dict

    @property
    def passed(self):
        """Whether every pair is within the tolerance on every output."""
        return all(report.passed for report in self.reports)

    def table(self):
        header = ("model", "pair", "verdict", "tolerance", "seed", "outputs", "max error", "max relative error",
                  "mean error", "not close")
        return Table(header, tuple(
            (self.model, r.pair, "pass" if r.passed else "fail", f"{r.tolerance:g}", str(self.seed), f"{r.outputs:,}",
             f"{r.max_abs:.2g}", f"{r.max_relative:.2g}", f"{r.mean_abs:.2g}", f"{r.not_close:.2%}")
            for r in self.reports))


def run(name, *, quantize=True, tolerance=0.01, seed=0, weight_bits=8, granularity="per_channel"):
    """Train a net, make its other forms, compare them in pairs, and return a Trial.

    name : a name in MODELS.  seed : of the net's initial weights.  tolerance : as in compare.errors.
    quantize : whether to compare the float32 file only, or the quantized forms, as `forms` makes them.
    weight_bits : of every form but the converter's own, 2 to 8.  granularity : of all, a name in rules.GRANULARITIES.
    """
    compare.check_tolerance(tolerance)          # before the training, so that a slip costs no time
    subject = train(name, seed)
    made = forms(subject, weight_bits, granularity) if quantize else float_forms(subject)
    pairs = [(a, b) for a, b in PAIRS if a in made and b in made]
    reports = tuple(compare.errors(made[a], made[b], subject.points, tolerance) for a, b in pairs)
    accuracy = {form: float(np.mean(compare.classes(p(subject.test_x)) == subject.test_y)) for form, p in made.items()}
    return Trial(name, seed, reports, accuracy)


# (reference, candidate): what a conversion costs, what the converter's rounding costs, what plain rounding and what
# training with rounding cost at one number of bits and one granularity, and what only the integer arithmetic costs
PAIRS = (("baseline", "TFLite float32"), ("baseline", CONVERTERS), ("baseline", "PTQ"), ("baseline", "QAT"),
         ("baseline", "QAT in TFLite"), ("QAT", "QAT in TFLite"))


def train(name, seed=0):
    """Return the Subject of a name in MODELS: XOR with 8 hidden units, or a net of the zoo on digits."""
    if name not in MODELS:
        raise ValueError(f"the model must be one of {', '.join(MODELS)}, got {name!r}")
    if name == "xor":
        model = models.MLP(8, seed=seed)
        training.fit(model, *data.corners(), epochs=2000)
        return Subject(model, data.grid(33), data.grid(256), *data.corners())
    x, _, test_x, test_y = zoo.digits()
    return Subject(zoo.trained(name, seed=seed), x, test_x, test_x, test_y)


def float_forms(subject):
    """Return {"baseline", "TFLite float32"} of a trained net as predictors."""
    with tempfile.TemporaryDirectory() as folder:
        path = export.to_tflite(_saved_model(subject, Path(folder)), Path(folder) / "float32.tflite", "float32")
        return {"baseline": predictors.from_torch(subject.model, "baseline"),
                "TFLite float32": predictors.from_tflite(path, name="TFLite float32")}


def forms(subject, weight_bits=8, granularity="per_channel"):
    """Return {"baseline", "8-bit PTQ in TFLite", "PTQ", "QAT", "QAT in TFLite"} of a trained net as predictors.

    The first PTQ (post-training quantization) is the converter's own, whose weights always have 8 bits. "PTQ" is
    plain rounding, qat.rounded, and "QAT" what training makes of that: both simulated in PyTorch, with weight_bits.
    """
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
    return {"epochs": 100, "lr": 0.02 if weight_bits < 8 else 0.002}


def _saved_model(subject, folder):
    onnx = export.to_onnx(subject.model, folder / "net.onnx", subject.x.shape[1:])
    return export.to_saved_model(onnx, folder / "saved_model")
