"""Random operators that look at one number at a time, or at one row: operator and shapes of what goes into it.

Each function takes (rng, style) and returns (operator, shapes of a call). Styles: "random"; "ties", powers of two and
zero points at the ends, whose products are often exactly halves; "nearly", scales whose ratio is a small fraction, so
that products are nearly halves and a last bit decides.
"""
import math

import hunting
import numpy as np

from xorlab.integer.affine import SIGMOID_CODES, Affine
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

STYLES = ("random", "ties", "nearly")
ACTIVATIONS = ("NONE", "NONE", "RELU", "RELU6")


def worth(rng, style, low=-3.0, high=3.0) -> float:
    """Return a factor: how many output steps an input step is worth."""
    if style == "nearly":
        return (2 * rng.integers(0, 12) + 1) / (2 * rng.integers(1, 12))
    exponent = rng.uniform(low, high)
    return float(2.0 ** (np.rint(exponent) if style == "ties" else exponent))


def line(rng, style, scale=None) -> Affine:
    """Return a line, with a scale of its own or, rounded to float32, the one that is given."""
    if scale is None:
        scale = worth(rng, "ties" if style == "ties" else "random", -9, -1)
    ends = style == "ties" or rng.random() < 0.2
    return Affine(float(np.float32(scale)), int(rng.choice([-128, 127, 0]) if ends else rng.integers(-128, 128)))


def shape(rng, axes=None) -> tuple:
    """Return a small shape, (batch, ...)."""
    return tuple(int(n) for n in rng.choice([1, 2, 3, 5, 8, 17, 21], rng.integers(2, 5) if axes is None else axes))


def shapes(rng) -> tuple:
    """Return two shapes: equal, or broadcast along any axes, perhaps of unequal ranks."""
    whole = shape(rng)
    if rng.random() < 0.4:
        return whole, whole
    first, second = ([1 if rng.random() < 0.4 else n for n in whole] for _ in range(2))
    if rng.random() < 0.5:
        first = list(whole)
    elif rng.random() < 0.4:
        second = second[rng.integers(1, len(second)) :]
    pair = tuple(first), tuple(second)
    return pair[:: rng.choice([1, -1])]


def _sum(kind):
    def made(rng, style):
        first = line(rng, style)
        other = line(rng, style, first.scale * worth(rng, style, -4, 4))
        far = 2.0 ** rng.integers(6, 12) if rng.random() < 0.1 else 1       # sums beyond 16 bits, XNNPACK's limits
        output = line(rng, style, max(first.scale, other.scale) / worth(rng, style, -1.5, 1.5) / far)
        return kind(first, other, output, str(rng.choice(ACTIVATIONS))), shapes(rng)
    return made


add, sub = _sum(Add), _sum(Sub)


def mul(rng, style):
    first, other = line(rng, style), line(rng, style)
    share = worth(rng, style, -1, 1) / 2 ** max(0, rng.integers(-6, 14))        # a third reach beyond 16 bits
    output = line(rng, style, np.float64(first.scale) * other.scale / share)
    return Mul(first, other, output, str(rng.choice(ACTIVATIONS))), shapes(rng)


def _between(rng, style, far=9):
    """Return two lines whose scales have a ratio near 1, or one of ten up to 2**far, around what XNNPACK takes."""
    source, reach = line(rng, style), far if rng.random() < 0.1 else 3
    return source, line(rng, style, source.scale / worth(rng, style, -reach, reach))


def relu(rng, style):
    return Relu(*_between(rng, style), *rng.choice([[np.inf], [6.0]])), (shape(rng),)


def leaky_relu(rng, style):
    source, target = _between(rng, style)
    alpha = float(np.float32(rng.choice([0.2, 0.01, 0.125, -0.5, 1.5, rng.uniform(-1, 1)])))
    return LeakyRelu(source, target, alpha), (shape(rng),)


def logistic(rng, style):
    op = next(hunting.logistics(rng)) if style == "nearly" else Logistic(line(rng, style))
    return op, (shape(rng),)


def tanh(rng, style):
    scale = math.atanh((rng.integers(0, 127) + 0.5) / 128) / rng.integers(1, 128) if style == "nearly" else None
    return Tanh(line(rng, style, scale), Affine(1 / 128, 0)), (shape(rng),)


def hard_swish(rng, style):
    source, target = _between(rng, style, far=6)            # no runtime takes 128 or more
    if style == "nearly":               # a factor that is nearly a half when it is rounded to 16 bits
        ratio = (rng.integers(2**14, 2**15) + 0.5) / 2.0 ** rng.integers(12, 17)
        target = line(rng, style, source.scale / ratio)
    return HardSwish(source, target), (shape(rng),)


def requantize(rng, style):
    return Quantize(*_between(rng, style)), (shape(rng),)


def quantize(rng, style):
    return Quantize(None, line(rng, style)), (shape(rng),)


def dequantize(rng, style):
    return Dequantize(line(rng, style)), (shape(rng),)


def softmax(rng, style):
    beta = float(rng.choice([1.0, 1.0, 0.5, np.float32(1.3)]))
    return Softmax(line(rng, style), SIGMOID_CODES, beta), (shape(rng),)


def numbers(rng, op, shapes, calls) -> list:
    """Return what goes into an operator, arrays (calls, *shape): codes int8, or float32 that reach beyond the codes.

    A fourth of the floats lie at halves between two codes, or a last bit beside them.
    """
    if op.input is not None:
        return [rng.integers(-128, 128, (calls, *one)).astype(np.int8) for one in shapes]
    size, scale = (calls, *shapes[0]), np.float32(op.output.scale)
    x = (rng.integers(-140, 140, size) - np.float32(op.output.zero_point) + np.float32(0.5)) * scale
    x = np.where(rng.random(size) < 0.5, x, np.nextafter(x, x + rng.choice([-1, 1], size).astype(np.float32)))
    return [np.where(rng.random(size) < 0.5, x, rng.uniform(-140, 140, size) * scale).astype(np.float32)]


MAKERS = {"ADD": add, "SUB": sub, "MUL": mul, "RELU": relu, "LEAKY_RELU": leaky_relu, "LOGISTIC": logistic,
          "TANH": tanh, "HARD_SWISH": hard_swish, "REQUANTIZE": requantize, "QUANTIZE": quantize,
          "DEQUANTIZE": dequantize, "SOFTMAX": softmax}
