"""Operators that look at one number at a time, or at one row: every runtime follows its rule, code for code."""
import itertools
import re
from dataclasses import replace

import hunting
import numpy as np
import pytest
import random_operators_elementwise as made
from graph_files import FOLLOWS, alone, answers, made_by

from xorlab.integer.affine import CODES, Affine
from xorlab.integer.fixed_point import fixed_point_exp, fixed_point_tanh, quantize_multiplier, round_half_away
from xorlab.integer.kernels import arithmetic, ends, libm, tables
from xorlab.integer.kernels.arithmetic import PairKernel
from xorlab.integer.kernels.places import in_vectors
from xorlab.integer.kernels.scaling import twice_away
from xorlab.integer.kernels.tables import TableKernel
from xorlab.integer.operators import (
    Add,
    Dequantize,
    HardSwish,
    LeakyRelu,
    Logistic,
    Mul,
    Quantize,
    Relu,
    Softmax,
    Sub,
    Tanh,
)
from xorlab.integer.rules import RULES
from xorlab.integer.write import content_of

EVERY = CODES.astype(np.int8)
FIRST, SECOND = np.repeat(EVERY, 256), np.tile(EVERY, 256)


def filled(codes, *shape):
    """Return codes as often as needed to fill calls of a shape."""
    calls = -(-len(codes) // np.prod(shape))
    return np.resize(codes, (calls, *shape))


def pairs():
    """Return [arrays of two operands], each one call or few, that together hold all pairs of codes several times.

    All in one row; all outside vectors, since the shapes are broadcast in more groups than loops know, and so some of
    an innermost axis that would fit; all beside an operand that stays the same; then shuffled into rows of odd length,
    of two operands and beside one.
    """
    rng = np.random.default_rng(0)
    mixed = rng.permutation(2**16)
    some = [np.resize(FIRST[mixed], shape) for shape in ((1, 8, 1, 16, 32), (1, 1, 16, 1, 32))]
    rows = [np.resize(codes[mixed], (1, 1214, 2, 27)) for codes in (FIRST, SECOND)]
    beside = [np.repeat(EVERY, 10)[None, :, None], np.stack([rng.permutation(np.resize(EVERY, 270)) for _ in EVERY])]
    beside[1] = beside[1].reshape(1, 2560, 27)
    return [[FIRST[None, None], SECOND[None, None]],
            [EVERY.reshape(1, 16, 1, 16, 1), EVERY.reshape(1, 1, 16, 1, 16)], some,
            [EVERY.reshape(1, 256, 1), EVERY.reshape(1, 1, 256)],
            [rows[0][:, :, :1], rows[1]], beside, beside[::-1]]


def singles(values):
    """Return [arrays of one operand]: all values in one row, then in rows of odd length, the last without a vector."""
    return [[filled(values, 1, length)] for length in (len(values), 27, 15, 7)]


def halves(op):
    """Return float32 numbers between any two codes of a line, then a last bit lower, then higher, then far outside."""
    x = ((np.arange(-140, 140) - op.output.zero_point + 0.5) * op.output.scale).astype(np.float32)
    return np.concatenate([x, np.nextafter(x, np.float32(-np.inf)), np.nextafter(x, np.float32(np.inf)), x * 1000])


def rows():
    """Return [arrays of rows of codes]."""
    rng = np.random.default_rng(0)
    return [[rng.integers(-128, 128, (500, 1, 3)).astype(np.int8)],
            [rng.integers(-128, 20, (9, 2, 301)).astype(np.int8)], [EVERY.reshape(1, 64, 4)]]


PAIRS, SINGLES, ROWS = pairs(), singles(EVERY), rows()
ODD = slice(-3, -1)                 # among the questions those that have vectors and what is left of them


def questions(op) -> list:
    """Return the inputs that an operator is asked of: [[array (calls, *shape) for each operand]]."""
    if isinstance(op, Softmax):
        return ROWS
    if op.input is None:
        return singles(halves(op))
    return PAIRS if hasattr(op, "other") else SINGLES


def asked(kernel, op, places=slice(None)):
    """Return all that a kernel answers to the questions, or to those at some places, in one row."""
    return np.concatenate([kernel(op, *x).reshape(-1) for x in questions(op)[places]])


def told(runtime, op):
    """Return the same of a runtime."""
    return np.concatenate([answers(content_of(alone(op, *(one.shape[1:] for one in x))), runtime, x)[0].reshape(-1)
                           for x in questions(op)])


def same(a, b):
    """Tell where answers are the same, bit for bit: a float zero has a sign."""
    bits = f"u{a.itemsize}"
    return a.view(bits) == b.view(bits)


@pytest.mark.parametrize("function, bits, exact", [
    (fixed_point_exp, 4, np.exp), (fixed_point_exp, 5, np.exp), (fixed_point_tanh, 4, np.tanh)])
def test_the_fixed_point_functions_are_the_functions(function, bits, exact):
    x = -np.random.default_rng(0).integers(0, 2**31, 10_000) >> np.arange(10_000) % 32
    made = function(x, bits) if function is fixed_point_exp else function(x)
    np.testing.assert_allclose(made / 2**31, exact(x / 2 ** (31 - bits)), rtol=0, atol=4e-7)


@pytest.mark.parametrize("style", made.STYLES)
@pytest.mark.parametrize("name", made.MAKERS)
def test_every_runtime_follows_its_rule_on_random_operators(name, style, pytestconfig):
    rng = np.random.default_rng([made.STYLES.index(style), list(made.MAKERS).index(name)])
    count = pytestconfig.getoption("models")
    for _ in range(count if style != "nearly" else count // 4):       # those that tell are hunted below
        op, shapes = made.MAKERS[name](rng, style)
        x = made.numbers(rng, op, shapes, 3)
        constants = {1: x[1][0]} if len(x) == 2 and rng.random() < 0.3 else {}
        graph, fed = alone(op, *shapes, constants=constants), x[: len(x) - len(constants)]
        content = content_of(graph)
        for runtime, rule in FOLLOWS.items():
            ours, theirs = made_by(graph, fed, rule)[0], answers(content, runtime, fed)[0]
            differing = int((~same(ours, theirs.reshape(ours.shape))).sum())
            assert differing == 0, f"{runtime}: {differing} of {ours.size} codes differ on {op} of {shapes}"


def rule_kernels(kind, *rules):
    return {rule: RULES[rule].kernels[kind] for rule in rules}


def signed_leaky_relu(op):
    """LiteRT's LEAKY_RELU, were a negative alpha in the multiplier while it rounds, not outside."""
    centred, slope = CODES.astype(np.int64) - op.input.zero_point, op.input.scale * op.alpha / op.output.scale
    multiplier, shift = quantize_multiplier(abs(slope))
    below = twice_away(centred, int(np.sign(slope)) * multiplier, shift) + op.output.zero_point
    return np.where(centred >= 0, tables.litert_leaky_relu(op), np.clip(below, -128, 127))


def quantize_with_a_tail_in_float32(op, x):
    return in_vectors(x, 8, lambda body: ends.quantize_even(op, body), lambda tail: ends.quantize(op, tail))


def softmax_with_sums_in_pairs(op, x):
    below = x.max(axis=-1, keepdims=True).astype(np.float32) - x
    exps = libm.exp(-np.float32(op.input.scale) * np.float32(op.beta) * below)
    shares = exps * (np.float32(1) / (exps.sum(axis=-1, keepdims=True) * np.float32(op.output.scale)))
    return np.clip(round_half_away(shares) - 128, -128, 127).astype(np.int8)


def logistic_of_float64(op):
    """XNNPACK's LOGISTIC, were x not rounded to float32."""
    x = np.minimum(op.input.scale * (CODES - op.input.zero_point), 700)
    return np.clip(np.rint((np.exp(x) / (1 + np.exp(x))).astype(np.float32) * 256 - 128), -128, 127)


# {operator: {name: kernel}}: the rules' kernels, and what a runtime might do instead
CANDIDATES = {
    "ADD": rule_kernels(Add, "tflm", "ruy", "xnnpack") | {
        "all in vectors": PairKernel(arithmetic.sum_in_vectors),
        "all as beside a scalar": PairKernel(arithmetic.sum_with_a_scalar),
        "scalars as in vectors": replace(arithmetic.LITERT_ADD, scalar=arithmetic.sum_in_vectors),
        "vectors of 8": replace(arithmetic.LITERT_ADD, block=8),
        "scalars in vectors of 16": replace(arithmetic.LITERT_ADD, scalar_block=16)},
    "SUB": rule_kernels(Sub, "tflm", "xnnpack") | {"in vectors": arithmetic.LITERT_ADD},
    "MUL": rule_kernels(Mul, "tflm", "reference", "ruy", "xnnpack") | {
        "all in vectors": PairKernel(arithmetic.product_in_vectors),
        "vectors of 8": replace(arithmetic.LITERT_MUL, block=8),
        "scalars in vectors of 8": replace(arithmetic.LITERT_MUL, scalar_block=8)},
    "RELU": rule_kernels(Relu, "tflm", "reference"),
    "LEAKY_RELU": rule_kernels(LeakyRelu, "tflm", "reference", "xnnpack") | {"signed": TableKernel(signed_leaky_relu)},
    "LOGISTIC": rule_kernels(Logistic, "tflm", "reference", "xnnpack", "tinymind") | {
        "x in float64": TableKernel(logistic_of_float64)},
    "TANH": rule_kernels(Tanh, "tflm", "reference", "xnnpack"),
    "HARD_SWISH": rule_kernels(HardSwish, "tflm", "reference"),
    "REQUANTIZE": rule_kernels(Quantize, "tflm", "ruy", "xnnpack") | {"up": TableKernel(tables.requantize_up)},
    "QUANTIZE": rule_kernels(Quantize, "tflm", "ruy", "xnnpack") | {
        "tail in float32": quantize_with_a_tail_in_float32},
    "DEQUANTIZE": rule_kernels(Dequantize, "tflm", "ruy"),
    "SOFTMAX": rule_kernels(Softmax, "tflm", "ruy") | {"sums in pairs": softmax_with_sums_in_pairs},
}


def operators(name):
    """Yield random operators, of the styles in turn; the first ones are nearly ties."""
    rng = np.random.default_rng(0)
    for style in itertools.cycle(reversed(made.STYLES)):
        yield made.MAKERS[name](rng, style)[0]


@pytest.mark.parametrize("name", made.MAKERS)
def test_every_runtime_follows_its_rule_where_any_two_kernels_part(name):
    """On all codes or pairs of codes of operators that tell each kernel from each other one."""
    kernels = CANDIDATES[name]
    hunted = hunting.hunted(operators(name), kernels, each=1, answer=lambda kernel, op: asked(kernel, op, ODD))
    differing = {}
    for op, (runtime, rule) in itertools.product(hunted, FOLLOWS.items()):
        expected = told(runtime, op)
        for candidate, kernel in (kernels | {"its rule": RULES[rule].kernel(op)}).items():
            wrong = int((~same(asked(kernel, op), expected)).sum())
            differing[runtime, candidate] = differing.get((runtime, candidate), 0) + wrong
    assert not any(differing[runtime, "its rule"] for runtime in FOLLOWS), f"{differing} on {hunted}"
    # what a runtime does not follow is seen to be wrong: this check can fail
    unrefuted = [(runtime, candidate) for (runtime, candidate), wrong in differing.items() if not wrong]
    own = [(runtime, candidate) for runtime, rule in FOLLOWS.items() for candidate, kernel in
           (kernels | {"its rule": None}).items() if kernel in (None, RULES[rule].kernel(hunted[0]))]
    assert unrefuted == own


def at(scale, zero_point=3):
    return Affine(float(np.float32(scale)), zero_point)


EXTREMES = [
    Add(at(2**-33, -128), at(1), at(1, 100)), Add(at(200, 127), at(190), at(1, -100)), Sub(at(300), at(1), at(1)),
    Mul(at(1, -128), at(1), at(1 / 300, 100)), Mul(at(1), at(1), at(2**33)), Logistic(at(7.7, -128)),
    LeakyRelu(at(300), at(1), -0.3), LeakyRelu(at(1), at(1), 0.0), LeakyRelu(at(1), at(1), -200.0),
    HardSwish(at(1e-3), at(1)), HardSwish(at(127), at(1)), Quantize(at(2**20), at(1)), Quantize(at(2**-20), at(1)),
    Softmax(at(1000)), Softmax(at(2**-25.9))]


@pytest.mark.parametrize("op", EXTREMES, ids=lambda op: op.name)
def test_rules_hold_at_the_ends_of_the_range_of_scales(op):
    for runtime, rule in FOLLOWS.items():
        assert same(asked(RULES[rule].kernel(op), op), told(runtime, op)).all(), runtime


BEYOND = [
    ("ruy", Add(at(2**19), at(1), at(1)), None, "ends TensorFlow Lite's built-in kernels; take a larger output scale"),
    ("xnnpack", Mul(at(1, -128), at(1, -128), at(2**-16)), None, "wrap around beyond 32 bits"),
    ("xnnpack", HardSwish(at(128), at(1)), None, "below 128 times the output's"),
    ("tflm", Tanh(at(2**-29), at(1 / 128)), None, "must be 3.72529e-09 or more"),
    ("tflm", Relu(at(2**-30), at(1), 6.0), None, "take a larger input scale"),
    ("tflm", Softmax(at(2**-26)), None, "end the process unless the product is above 1.49012e-08"),
    ("reference", Softmax(at(0.1)), [np.zeros((1, 1, 512), np.int8)], "add up to 512; from 512 on"),
    ("xnnpack", Quantize(None, at(0.5)), [np.float32([[[1, np.nan]]])], "a code of nan: at scale 0.5"),
    ("tflm", Quantize(None, at(0.5)), [np.float32([[[1, -2e9]]])], "finite numbers below 1.07e+09 in size")]


@pytest.mark.parametrize("rule, op, x, sentence", BEYOND, ids=lambda part: getattr(part, "name", ""))
def test_what_runtimes_have_no_answer_to_is_refused_in_a_sentence(rule, op, x, sentence):
    kernel = RULES[rule].kernel(op)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        kernel(op, *x) if x else asked(kernel, op)
