"""Scales at which two rules part: chance seldom meets them, a product that is nearly a tie does."""
import itertools
import math
from dataclasses import replace

import numpy as np

from xorlab import predictors
from xorlab.integer.affine import CODES, SIGMOID_CODES, Affine
from xorlab.integer.operators import FullyConnected, Logistic, Relu
from xorlab.integer.rules import RULES


def candidates():
    """Return {name: Rule}: every rule, and every rule's rounding with the factors as each other one prepares them."""
    rules = {name: RULES[name] for name in ("tflm", "ruy", "single", "reference", "xnnpack")}
    dense = {name: rule.kernels[FullyConnected] for name, rule in rules.items()}
    def mixed(name, other):
        kernel = replace(dense[name], factors=dense[other].factors)
        return replace(rules[name], kernels=rules[name].kernels | {FullyConnected: kernel})

    return rules | {f"{name} with the factors of {other}": mixed(name, other)
                    for name in rules for other in ("tflm", "ruy", "xnnpack")
                    if dense[name].factors != dense[other].factors}


def near_tie(rng):
    """Return (source, target, worth): two lines, and a factor between them whose products are nearly halves."""
    worth = (2 * rng.integers(0, 12) + 1) / (2 * rng.integers(1, 12))
    exponents = rng.uniform(-9, -1, 2)
    if rng.random() < 0.3:
        exponents = np.rint(exponents)                  # powers of two: exactly ties
    source, target = (Affine(float(np.float32(2**e)), int(rng.integers(-128, 128))) for e in exponents)
    return source, target, worth


def layers(rng):
    """Yield layers of 12 units and one input, nearly ties, with one scale or with one for each unit in turn."""
    for channels in itertools.cycle((1, 12)):
        source, target, worth = near_tie(rng)
        worth = worth * 2.0 ** -rng.integers(0, 3, channels)
        scales = (worth * target.scale / source.scale).astype(np.float32)
        yield FullyConnected(rng.integers(1, 6, (12, 1)), rng.integers(-300, 300, 12), scales, source, target)


def relu6_layers(rng):
    """Yield layers with a fused RELU6 whose 6 is nearly a tie."""
    for relu in relu6s(rng):
        yield FullyConnected(np.array([[3]]), np.array([9]), np.float32([1.0]), Affine(relu.output.scale, 0),
                             relu.output, "RELU6")


def relus(rng):
    """Yield RELU operators between two scales, nearly ties."""
    while True:
        source, target, worth = near_tie(rng)
        yield Relu(source, replace(target, scale=float(np.float32(source.scale / worth))))


def relu6s(rng):
    """Yield RELU6 operators whose 6 is nearly a tie of their output or input."""
    while True:
        tie = float(np.float32(6 / (rng.integers(20, 250) + 0.5)))
        lines = [Affine(scale, int(rng.integers(-128, 0))) for scale in (tie, float(np.float32(tie * 1.5)))]
        yield Relu(*rng.permutation(lines), 6.0)


def logistics(rng):
    """Yield sigmoids one of whose answers is nearly a tie of its codes."""
    while True:
        share = (rng.integers(129, 255) + 0.5) / 256
        scale = float(np.float32(math.log(share / (1 - share)) / rng.integers(1, 128)))
        yield Logistic(Affine(scale, int(rng.integers(-128, 1))), SIGMOID_CODES)


def answer(rule, step):
    """Return the codes that a rule makes of the 256 input codes: (256,), or (256, units) for a layer."""
    if isinstance(step, FullyConnected):
        return rule.kernel(step)(step, CODES.astype(np.int8)[None, :, None])[0]
    return rule.table(step)


def hunted(steps, rules, each=3, answer=answer, pairs=None):
    """Return steps on which two of the rules answer differently, until every pair has parted `each` times.

    rules : {name: Rule}, or whatever `answer(rule, step)` takes.  pairs : of names; all of them by default.
    Raises AssertionError if a pair does not part that often within 5,000 steps.
    """
    parted, found = dict.fromkeys(pairs or itertools.combinations(rules, 2), 0), []
    for step in itertools.islice(steps, 5000):
        left = [pair for pair, times in parted.items() if times < each]
        if not left:
            return found
        answers = {name: answer(rules[name], step) for name in set(itertools.chain(*left))}
        telling = [(a, b) for a, b in left if (answers[a] != answers[b]).any()]
        if telling:
            found.append(step)
        parted |= {pair: parted[pair] + 1 for pair in telling}
    raise AssertionError(f"never or seldom parted: {[pair for pair, times in parted.items() if times < each]}")


def ask(path, runtime, q, calls=None, net=None):
    """Return a runtime's codes int8 (n, units) of codes q int8 (n, inputs), in calls of `calls` samples or in one.

    net : the file's IntegerMLP where its ends may be float32; they are fed and read through its affine maps.
    """
    predictor, floats = predictors.from_tflite(path, runtime), net is not None and any(net.float_ends)
    run, x = (predictor, net.input.dequantize(q)) if floats else (predictor.codes, q)
    calls = calls or len(x)
    made = np.concatenate([run(x[i : i + calls]) for i in range(0, len(x), calls)])
    return (net.output.quantize(made) if floats else made).reshape(len(q), -1)
