"""Few bits: what plain rounding (PTQ) and training with rounding (QAT) cost, over populations of nets."""
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from xorlab import arguments, compare, data, files, models, predictors, training, trials, zoo
from xorlab.integer.affine import GRANULARITIES
from xorlab.optimizers import Optimizer
from xorlab.population import Population, train
from xorlab.qat import rounded
from xorlab.tables import Table, Tabular

BITS = (8, 4, 3, 2)
WAYS = tuple((way, granularity) for granularity in GRANULARITIES for way in ("PTQ", "QAT"))
RESULTS = Path(__file__).parent / "references" / "few-bits.json"
TRIED = 64              # starts of an XOR net that are trained to find enough that learned it
STEPS = 2000


@dataclass(frozen=True, repr=False)
class FewBits(Tabular):
    """Many trained nets of one shape with weights of few bits, each rounded and trained, with both granularities.

    net : the shape, a name in SHAPES.  weight_bits : of every weight.
    errors : {(way, granularity): float64 (nets,)}, each net's mean |output - float net's| over the points compared.
        way : "PTQ", qat.rounded, or "QAT", training.fit_qat_many.  granularity : a name in affine.GRANULARITIES.
    other_class : the same for the share of points that get another class than the float net gives them.
    """
    net: str
    weight_bits: int
    errors: dict
    other_class: dict

    def gain(self, before=("PTQ", "per_channel"), after=("QAT", "per_channel")):
        """Return by what factor the mean error falls from one way to another: (low, median, high) over the nets.

        Low and high are the 95 % interval of the median.  Raises ValueError for a way that is none of WAYS.
        """
        before, after = (self._of(self.errors, way) for way in (before, after))
        return median_interval(before / after)

    def classes_gained(self, before=("PTQ", "per_channel"), after=("QAT", "per_channel")):
        """Return what share of the points gets its class back from one way to another, as `gain` does."""
        before, after = (self._of(self.other_class, way) for way in (before, after))
        return median_interval(before - after)

    def _of(self, measure, way):
        if not isinstance(way, tuple) or way not in list(measure):
            raise ValueError(f"a way must be one of {', '.join(map(str, measure))}, got {arguments.shown(way)}")
        return measure[way]

    def table(self):
        ways = [way for way in WAYS if way in self.errors]
        pairs = [pair for pair in COMPARED if set(pair) <= set(ways)]
        ratios = (f"{_words(before)} / {_words(after)}" for before, after in pairs)
        header = ("net", "bits", *map(_words, ways), *ratios)
        medians = (f"{np.median(self.errors[way]):.2g}" for way in ways)
        gains = ("{1:.1f} ({0:.1f} to {2:.1f})".format(*self.gain(*pair)) for pair in pairs)
        return Table(header, ((self.net, str(self.weight_bits), *medians, *gains),))


PER = {"per_channel": "per unit", "per_tensor": "per layer"}


def _words(way):
    return f"{way[0]} {PER[way[1]]}"


# like with like twice; then plain rounding with its finer scales against training without them
COMPARED = ((("PTQ", "per_channel"), ("QAT", "per_channel")), (("PTQ", "per_tensor"), ("QAT", "per_tensor")),
            (("PTQ", "per_channel"), ("QAT", "per_tensor")))


def median_interval(values):
    """Return (low, median, high): the median of a sample, and a 95 % interval of the population's median.

    values : at least 6 numbers.  Low and high are the k-th smallest and the k-th largest of them, k as large as an
    error of 5 % allows: each value lies below the population's median with chance 1/2, whatever the distribution.

    >>> median_interval(range(1, 21))               # from the 6th to the 15th of 20
    (6.0, 10.5, 15.0)
    """
    values = list(values) if isinstance(values, range) else values
    values = arguments.numbers_in("values", values).astype(np.float64)
    if values.ndim != 1:
        raise ValueError(f"values must have shape (n,), got {values.shape}")
    values = np.sort(values)
    n = len(values)
    if n < 6:
        raise ValueError(f"a 95 % interval of a median needs at least 6 values, got {n}")
    missed = np.cumsum([math.comb(n, i) for i in range(n)]) / 2.0 ** n       # chance that fewer than i + 1 lie below
    k = int(np.searchsorted(missed, 0.025, side="right"))
    return float(values[k - 1]), float(np.median(values)), float(values[-k])


def nets(shape, count=20):
    """Return `count` trained nets of a shape in SHAPES: of the starts 0, 1, ... the first ones that learn the task.

    A net of the zoo learns from every start; of the XOR nets a start counts that training.race would call solved.
    Raises ValueError for another shape, or if too few starts learn.
    """
    _check_shape(shape)
    return SHAPES[shape][0](arguments.whole("count", count, 1, TRIED))


def _check_shape(shape):
    arguments.one_of("the shape", shape, SHAPES)


def _trained_xor(hidden, activation, rate, count):
    x, y = data.corners()
    population = Population(hidden, activation, range(TRIED), x, y)
    train(population, Optimizer("adam", rate), epochs=STEPS, batch_size=None, seed=0, steps=range(STEPS))
    solved = np.flatnonzero(population.losses() < training.SOLVED)
    if len(solved) < count:
        raise ValueError(f"of {TRIED} starts {len(solved)} learn XOR, fewer than the {count} wanted; take fewer")
    return [_as_model(models.MLP(hidden, activation, seed=0), population.theta[:, i]) for i in solved[:count]]


def _as_model(model, theta):
    torch.nn.utils.vector_to_parameters(theta.clone(), model.parameters())
    return model.eval()


def _trained_digits(name, count):
    return [zoo.trained(name, seed=seed) for seed in range(count)]


def _square():
    return data.grid(17), data.grid(256)            # the second: a point for each pair of int8 codes


def _pictures():
    x, _, test_x, _ = zoo.digits()
    return x, test_x


# shape -> (function from a count to that many trained nets, function that returns (points to train on, to compare on))
SHAPES = {
    "sigmoid-2-3-1": (partial(_trained_xor, 3, "sigmoid", 0.1), _square),
    "relu-2-8-1": (partial(_trained_xor, 8, "relu", 0.02), _square),
    "relu-2-8-8-1": (partial(_trained_xor, (8, 8), "relu", 0.02), _square),
    "dense1": (partial(_trained_digits, "dense1"), _pictures),
    "dense4": (partial(_trained_digits, "dense4"), _pictures),
}


def run(shape, weight_bits, trained=None, *, epochs=None, granularities=GRANULARITIES):
    """Round and train many nets of a shape in SHAPES and return a FewBits.

    trained : the nets, at least 6; None makes them as `nets` does.  weight_bits : 2 to 8.
    epochs : of QAT; None for the study's own.  granularities : the names in affine.GRANULARITIES to try.
    """
    _check_shape(shape)
    granularities = arguments.several("granularities", granularities, "names", str)
    for name in granularities:
        arguments.one_of("a granularity", name, GRANULARITIES)
    if trained is not None:
        trained = arguments.several("trained", trained, "PyTorch modules", torch.nn.Module)
    if epochs is not None:
        arguments.whole("epochs", epochs, 1, training.MOST_EPOCHS)
    x, compared = SHAPES[shape][1]()
    trained = nets(shape) if trained is None else trained
    how = trials.qat_settings(weight_bits) if shape in zoo.HIDDEN else {"epochs": 300, "lr": 0.02}
    how |= {} if epochs is None else {"epochs": epochs}
    expected = [predictors.from_torch(model)(compared) for model in trained]
    errors, other_class = {}, {}
    for granularity in granularities:
        settings = {"weight_bits": weight_bits, "granularity": granularity}
        copies = {"PTQ": [rounded(model, x, **settings) for model in trained],
                  "QAT": [copy for copy, _ in training.fit_qat_many(trained, x, **settings, **how)]}
        for way, made in copies.items():
            pairs = [(predictors.from_torch(copy)(compared), e) for copy, e in zip(made, expected, strict=True)]
            errors[way, granularity] = np.array([np.abs(a - e, dtype=np.float64).mean() for a, e in pairs])
            other_class[way, granularity] = np.array(
                [(compare.classes(a) != compare.classes(e)).mean() for a, e in pairs])
    return FewBits(shape, weight_bits, errors, other_class)


def study():
    """Return the committed FewBits of every shape in SHAPES at 8, 4, 3 and 2 bits, 20 nets each.

    They are what `python benchmarks/quantization.py --write` measured; a test measures some of them again.
    """
    return [FewBits(row["net"], row["weight_bits"], *({tuple(way.split()): np.array(values) for way, values
                                                       in row[measure].items()} for measure in MEASURES))
            for row in files.read_rows(RESULTS, "study")]


MEASURES = ("errors", "other_class")


def write(results):
    """Store a list of FewBits as the committed study."""
    rows = [{"net": r.net, "weight_bits": r.weight_bits,
             **{measure: {" ".join(way): [float(f"{value:.4g}") for value in values]
                          for way, values in getattr(r, measure).items()} for measure in MEASURES}} for r in results]
    files.write_rows(RESULTS, rows)
