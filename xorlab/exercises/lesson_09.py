"""The exercises of lesson 09, quantization-aware training."""
import functools
import statistics

import numpy as np

from xorlab.exercises.exercise import Exercise, Wrong
from xorlab.exercises.judging import array, diagnosed, number, pair, returned, run, short

# 09.1, a scale for each unit

MATRICES = 100


@functools.cache
def _matrices():
    """Return (weights, bits) of MATRICES layers, of 2 to 8 bits; in some rows the largest weight is negative."""
    rng = np.random.default_rng(0)
    shapes = rng.integers(2, 7, (MATRICES, 2))
    return [(rng.normal(scale=rng.uniform(0.2, 5), size=tuple(shape)), 2 + i % 7) for i, shape in enumerate(shapes)]


def _scales(unit_scales):
    found = []
    for weights, bits in _matrices():
        asked = (f"one scale per unit, {len(weights)} numbers for a layer of {len(weights)} units with "
                 f"{weights.shape[1]} inputs")
        made = array(returned(unit_scales, weights, bits, ends="`return scales`"), asked)
        if made.size not in {1, *weights.shape}:
            raise Wrong(f"This wants {asked}, and got {short(made.tolist())}.")
        found.append(made.ravel().astype(float))
    return np.concatenate(found)


def judge_unit_scales(unit_scales):
    found, at = _scales(unit_scales), 0
    for weights, bits in _matrices():
        codes = sum(1 for code in range(-128, 128) if 0 < code < 2 ** (bits - 1))        # above 0
        expected = [max(abs(weight) for weight in row) / codes for row in weights.tolist()]
        got = np.asarray(run(unit_scales, weights, bits)).ravel()
        if len(got) != len(expected) or np.abs(got - expected).max() > 1e-6 * max(expected):
            shown = (f"A layer of {len(expected)} units with {weights.shape[1]} inputs, at {bits} bits: its first "
                     f"unit's scale is {expected[0]:.4f}; yours begins with {got[0]:.4f} and has {len(got)} in all.")
            raise diagnosed(BY_ID["09.1"], _scales, found, shown)
        at += len(got)
    return f"{at} units of {MATRICES} layers, 2 to 8 bits: the largest weight of each gets the largest code."


SCALES = "def unit_scales(w, bits):\n"
OF_ROWS = "    return np.abs(w).max(axis=1) / (2 ** (bits - 1) - 1)\n"


# 09.2, a straight-through estimator

FOUR = (0.31, -0.08, 0.52, 1.9)
NOTHING = float("nan")          # the gradient where nothing leads back to the weights


@functools.cache
def _tensors():
    """Return (weights, scale, largest code), without ties, and without weights just beyond the largest code."""
    rng = np.random.default_rng(1)
    cases = [(np.array(FOUR), 0.1, 7)]
    for scale, largest in ((0.05, 127), (0.4, 3), (1.5, 1)):
        codes = rng.integers(-2 * largest - 2, 2 * largest + 3, 40)
        offset = rng.uniform(-0.45, 0.45, 40)
        outward = np.abs(codes) == largest
        cases.append((scale * (codes + np.where(outward, -np.sign(codes) * np.abs(offset), offset)), scale, largest))
    return cases


def _rounded_with_gradients(fake_quantize):
    """Return the values, then the gradients, that a student's function gives on the tensors."""
    import torch

    values, gradients = [], []
    for weights, scale, largest in _tensors():
        w = torch.tensor(weights, dtype=torch.float64, requires_grad=True)
        made = returned(fake_quantize, w, scale, largest, ends="`return` and a tensor")
        if not isinstance(made, torch.Tensor) or made.shape != w.shape or not made.is_floating_point():
            raise Wrong(f"This wants a tensor of real numbers as long as `w` ({len(w)}), and got {short(made)}.")
        values.append(made.detach().numpy())
        if made.requires_grad:
            made.sum().backward()
        gradients.append(np.full(len(w), NOTHING) if w.grad is None else w.grad.numpy())
    return np.concatenate(values + gradients).astype(float)


def judge_fake_quantize(fake_quantize):
    found = _rounded_with_gradients(fake_quantize)
    cases = [(weight, scale, largest) for weights, scale, largest in _tensors() for weight in weights.tolist()]
    for i, (weight, scale, largest) in enumerate(cases):
        nearest = min(range(-largest, largest + 1), key=lambda code: abs(code * scale - weight))
        cut = abs(weight) > (largest + 0.5) * scale
        value, gradient = found[i], found[len(cases) + i]
        if abs(value - nearest * scale) <= 1e-6 and abs(gradient - (not cut)) <= 1e-6:
            continue
        where = f"With scale {scale:g} and largest code {largest}, {weight:.3g}"
        if abs(value - nearest * scale) > 1e-6:
            shown = f"{where} becomes {nearest * scale:.3g}; yours becomes {value:.3g}."
        elif np.isnan(gradient):
            shown = f"{where} has the right value, but no gradient comes back."
        else:
            shown = f"{where} {'is cut off: gradient 0' if cut else 'has gradient 1'}; yours has {gradient:.3g}."
        raise diagnosed(BY_ID["09.2"], _rounded_with_gradients, found, shown)
    return (f"{len(cases)} weights. On {', '.join(map(str, FOUR))} the gradients are 1, 1, 1, 0: 1.9 is cut off, so "
            "a small step of it changes nothing.")


FAKE = "def fake_quantize(w, scale, largest):\n"
STEPS = "    s = w / scale\n"
STRAIGHT = "    s = s + (s.round() - s).detach()\n"
BACK = "    return s.clamp(-largest, largest) * scale\n"


# 09.3, two ways to round to 2 bits

GUESSES = ("A", "B", "equal", "neither")
ERRORS = {"A": 0.18, "B": 0.010}            # mean over all inputs
B_CHANGES = 685                             # classes of 65,536


def _guess(guess):
    if guess not in GUESSES:
        raise Wrong(f'This wants "A", "B", "equal" or "neither", and got {short(guess)}.')
    return guess


def judge_way(guess):
    figures = f"A's mean error is {ERRORS['A']:.2f}, B's {ERRORS['B']:.3f}"
    if guess == "B":
        return f"{figures}. It's the answers that count, not the weights."
    if guess == "A":
        raise Wrong(f"It's B: {figures}. A loses less in the weights, and eighteen times more in the answers.")
    if guess == "equal":
        raise Wrong(f"It's B: {figures}. The units work together, and A breaks their balance.")
    raise Wrong(f"It's B: {figures}. B chooses a different class on only {B_CHANGES} of 65,536 inputs.")


# 09.4, the best opponent

@functools.cache
def _contests():
    """Return (nets, points, wanted): three roundings of two reference nets to 2 bits, then made-up answers."""
    from xorlab import data, models, predictors
    from xorlab.qat import FakeQuantized

    x, contests = data.grid(17), []
    for name in ("sigmoid-2-3-1", "relu-2-4-1"):
        net = models.reference(name)
        made = {"one per layer": FakeQuantized(net, x, 2, granularity="per_tensor", scales="largest"),
                "largest weight": FakeQuantized(net, x, 2, scales="largest"),
                "least squares": FakeQuantized(net, x, 2, scales="least_squares")}
        ways = {way: predictors.from_torch(copy) for way, copy in made.items()}
        # functions, because a student's function is given copies, and a copy of a function is itself
        contests.append(({way: lambda x, p=p: p(x) for way, p in ways.items()}, x, predictors.from_torch(net)(x)))
    points, sign = x[:20], np.where(np.arange(20) % 2, 1.0, -1.0)
    wanted = 0.3 + 0.2 * sign
    answers = {"up and down": wanted + 0.3 * sign, "a little low": wanted - 0.1,
               "once far off": wanted + 1.2 * (np.arange(20) == 7)}
    contests.append(({way: lambda _, there=there: there for way, there in answers.items()}, points, wanted))
    return contests


def _choices(best_plain):
    """Return which of its nets a student's function names in each contest, as numbers."""
    found = []
    for nets, x, wanted in _contests():
        name = returned(best_plain, nets, x, wanted, ends="`return` and a name")
        if not isinstance(name, str) or name not in nets:
            raise Wrong(f"This wants one of the names, {', '.join(map(repr, nets))}, and got {short(name)}.")
        found.append(float(list(nets).index(name)))
    return found


def judge_best_plain(best_plain):
    found = _choices(best_plain)
    for (nets, x, wanted), choice in zip(_contests(), found, strict=True):
        mean = {name: statistics.fmean(abs(a - b) for a, b in zip(net(x).tolist(), wanted.tolist(), strict=True))
                for name, net in nets.items()}
        best, given = sorted(mean, key=mean.get)[0], list(nets)[int(choice)]
        if given != best:
            shown = f"Of {', '.join(f'{name} ({error:.3f})' for name, error in mean.items())} you name {given}."
            raise diagnosed(BY_ID["09.4"], _choices, found, shown)
    return "On `sigmoid-2-3-1` the largest weight wins, on `relu-2-4-1` least squares: neither is best everywhere."


OPPONENT = "def best_plain(nets, x, wanted):\n"
MEANS = "    return min(nets, key=lambda name: np.abs(nets[name](x) - wanted).mean())\n"


# 09.5, an interval of the mean gain

T_OF_20 = 2.09          # Student's t for 20 pairs and 95 %


@functools.cache
def _pairs():
    """Return (plain, qat) in percent: the committed study's at 2 bits, then random ones."""
    from xorlab import fewbits

    study = {(few.net, few.weight_bits): few.other_class for few in fewbits.study()}
    ways = [(way, "per_channel") for way in ("PTQ", "QAT")]
    real = [tuple(100 * study[net, 2][way] for way in ways) for net in ("dense4", "dense1", "sigmoid-2-3-1")]
    rng = np.random.default_rng(2)
    return real + [(rng.uniform(0, 30, 20), rng.uniform(0, 10, 20)) for _ in range(5)]


def _intervals(gain):
    found = []
    for plain, qat in _pairs():
        made = returned(gain, plain, qat, ends="`return low, high`")
        found += [number(value, "two numbers, the ends of an interval")
                  for value in pair(made, "two numbers, `return low, high`")]
    return found


def judge_gain(gain):
    found = _intervals(gain)
    for i, (plain, qat) in enumerate(_pairs()):
        differences = [a - b for a, b in zip(plain.tolist(), qat.tolist(), strict=True)]
        mean = statistics.fmean(differences)
        half = T_OF_20 * statistics.stdev(differences) / len(differences) ** 0.5
        low, high = found[2 * i: 2 * i + 2]
        if max(abs(low - (mean - half)), abs(high - (mean + half))) > 1e-6:
            where = "dense4 at 2 bits" if i == 0 else "Another twenty pairs"
            shown = (f"{where}: the mean gain is {mean:.1f} points, give or take {half:.1f}; yours goes from "
                     f"{low:.1f} to {high:.1f}.")
            raise diagnosed(BY_ID["09.5"], _intervals, found, shown)
    return (f"dense4 at 2 bits gains {found[0]:.1f} to {found[1]:.1f} points, dense1 {found[2]:.1f} to {found[3]:.1f}, "
            f"sigmoid-2-3-1 {found[4]:.1f} to {found[5]:.1f}.")


GAIN = "def gain(plain, qat):\n"
PAIRS = "    d = plain - qat\n"
HALF = "    half = 2.09 * d.std(ddof=1) / len(d) ** 0.5\n"
ENDS = "    return d.mean() - half, d.mean() + half\n"


EXERCISES = (
    Exercise(
        "09.1", "write", 3, 2, "a scale for each unit", "unit_scales", SCALES + "    ...\n", SCALES + OF_ROWS,
        judge_unit_scales,
        hints=("How many codes lie above 0? At 3 bits they go from -3 to 3.",
               "The three units below have 8.23, 10.89 and 8.75 at 2 bits.",
               "`np.abs(w).max(axis=1)` has each unit's largest weight; the largest code is `2 ** (bits - 1) - 1`."),
        wrong=((SCALES + OF_ROWS.replace("axis=1", "axis=0"), "A unit is a row of `w`, and you take columns."),
               (SCALES + OF_ROWS.replace("axis=1", ""), "That's one scale for the whole layer."),
               (SCALES + "    return np.abs(w).max(axis=1) / 2 ** (bits - 1)\n",
                "The largest code is one less: 2 bits reach to 1, 8 bits to 127."),
               (SCALES + OF_ROWS.replace("np.abs(w)", "w"), "A weight may be large and negative: take sizes first.")),
        probe=lambda f: [np.round(np.ravel(run(f, np.array([[0.3, -2, 1], [4, 0.5, 3.5]]) * k, bits)), 9).tolist()
                         for k, bits in ((1, 2), (-1, 5), (0.1, 8))]),
    Exercise(
        "09.2", "write", 5, 3, "a straight-through estimator", "fake_quantize", FAKE + "    ...\n",
        FAKE + STEPS + STRAIGHT + BACK, judge_fake_quantize,
        hints=("Write the rounded number as the number plus its rounding error. Which of the two should learn?",
               "With scale 0.1 and largest code 7 the four weights become 0.3, -0.1, 0.5 and 0.7, with gradients 1, 1, "
               "1, 0.",
               "`s + (s.round() - s).detach()` is `s.round()` going forward and `s` going back. Then `clamp`, outside "
               "the `detach`, then times the scale."),
        wrong=((FAKE + STEPS + "    return s.round().clamp(-largest, largest) * scale\n",
                "No gradient but 0: a staircase is flat between its steps."),
               (FAKE + STEPS + STRAIGHT + "    return s.clamp(-largest, largest).detach() * scale\n",
                "You detach everything, so nothing leads back to `w`."),
               (FAKE + STEPS + "    made = s.round().clamp(-largest, largest) * scale\n"
                "    return w + (made - w).detach()\n",
                "The clamp is inside your `detach`, so a weight that is cut off still gets gradient 1."),
               (FAKE + STEPS + STRAIGHT + "    return s.clamp(-largest, largest)\n",
                "Those are codes. Multiply by the scale to get back to real numbers."),
               (FAKE + STEPS + STRAIGHT + "    return s * scale\n",
                "You don't cut off: there are no codes beyond the largest.")),
        probe=lambda fake_quantize: _probe_fake(fake_quantize)),
    Exercise(
        "09.3", "predict", 1, 0, "two ways to round to 2 bits", "guess", "guess = ...\n", 'guess = "B"\n', judge_way,
        hints=("Two of the hidden units are almost alike. What do they do together?",
               "Only one of the two keeps the sum of their weights.",
               "Two units of about -9.1 and -8.0 weigh -17 together. B makes one of them -16 and drops the other; A "
               "makes both -11."),
        wrong=(('guess = "A"\n', "A loses less in the weights"), ('guess = "equal"\n', "A breaks their balance"),
               ('guess = "neither"\n', "on only 685 of 65,536")),
        probe=lambda guess: [guess], read=_guess),
    Exercise(
        "09.4", "write", 4, 3, "the best opponent", "best_plain", OPPONENT + "    ...\n", OPPONENT + MEANS,
        judge_best_plain,
        hints=("`min` takes a `key`: a function from a name to the number that should be small.",
               'On `sigmoid-2-3-1` it is "largest weight", on `relu-2-4-1` "least squares".',
               "The error of one net is `np.abs(nets[name](x) - wanted).mean()`. Sizes first, then the mean."),
        wrong=((OPPONENT + MEANS.replace("min(", "max("), "That's the straw man: you name the worst."),
               (OPPONENT + "    return min(nets, key=lambda name: abs((nets[name](x) - wanted).mean()))\n",
                "Errors up and down cancel in your mean: take their sizes first."),
               (OPPONENT + MEANS.replace(".mean()", ".max()"),
                "That's the largest error, and one bad point decides it. The task asks for the mean."),
               (OPPONENT + "    return list(nets)[1]\n",
                "One way for every network: on `relu-2-4-1` least squares does better.")),
        probe=lambda f: [run(f, *contest) for contest in _contests()]),
    Exercise(
        "09.5", "write", 5, 3, "an interval of the mean gain", "gain", GAIN + "    ...\n", GAIN + PAIRS + HALF + ENDS,
        judge_gain,
        hints=("Each network was rounded both ways. Subtract first, network by network.",
               "dense4 at 2 bits: 17.0 to 24.7 points.",
               "`d = plain - qat`; the half width is `2.09 * d.std(ddof=1) / len(d) ** 0.5`, on both sides of "
               "`d.mean()`."),
        wrong=((GAIN + PAIRS + HALF.replace(" / len(d) ** 0.5", "") + ENDS,
                "That's the spread of single networks. Their mean is surer, by the root of 20."),
               (GAIN + PAIRS + "    spread = (plain.var(ddof=1) + qat.var(ddof=1)) ** 0.5\n"
                "    half = 2.09 * spread / len(d) ** 0.5\n" + ENDS,
                "You forget that they are pairs: each network was rounded both ways. Subtract first."),
               (GAIN + "    best = plain.min() - qat.min()\n    return best, best\n",
                "Two lucky networks prove nothing: use all twenty."),
               (GAIN + "    d = qat - plain\n" + HALF + ENDS,
                "Your sign is turned: a gain means that fewer digits are read differently."),
               (GAIN + PAIRS + HALF.replace("ddof=1", "") + ENDS,
                "`std` alone divides by 20; a sample's spread divides by 19, `ddof=1`.")),
        probe=lambda f: [f"{value:.9g}" for plain, qat in _pairs() for value in run(f, plain, qat)]),
)
BY_ID = {exercise.id: exercise for exercise in EXERCISES}


def _probe_fake(fake_quantize):
    """Return values and gradients on weights of the probe's own, rounded."""
    import torch

    w = torch.tensor([0.3, -0.7, 2.2, 5.2, -6.1, 30.0, -44.0], requires_grad=True)
    found = []
    for scale, largest in ((0.5, 7), (2.0, 3)):
        w.grad = None
        made = run(fake_quantize, w, scale, largest)
        made.sum().backward()
        found.append([np.round(part.detach().numpy(), 5).tolist() for part in (made, w.grad)])
    return found
