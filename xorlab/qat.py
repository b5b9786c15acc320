"""Quantization-aware training: a net whose weights and activations are rounded while it learns.

A `FakeQuantized` net computes in float32 with numbers that have been rounded to codes and back, so that what it
answers is what an integer runtime will answer. Rounding has no useful gradient; backwards it is passed through as if
it were not there (the straight-through estimator).
"""
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from xorlab import data
from xorlab.models import layers_of
from xorlab.rules import SIGMOID_CODES, Affine

BITS = range(2, 9)
CANDIDATES = np.linspace(0.3, 1, 71)        # shares of the largest weight that are tried as the largest code


@dataclass(frozen=True)
class Stage:
    """One layer of a FakeQuantized net as it stands: NumPy arrays and Affine maps.

    weights : float32 (out, in), multiples of weight_scale.  biases : float32 (out,), multiples of input scale times
    weight_scale.  activation : "relu", "sigmoid" or None.  output : codes of the layer's output, after a ReLU but
    before a sigmoid.
    """
    weights: np.ndarray
    biases: np.ndarray
    weight_scale: float
    activation: str | None
    output: Affine


class FakeQuantized(nn.Module):
    """A copy of a float net that rounds as an int8 net does, with weight scales and ranges that can be learned.

    model : models.MLP or a Sequential of Linear, each perhaps followed by ReLU or Sigmoid; left as it is.
    x : float32 (n, inputs), the points whose ranges the net starts from, as a converter's representative data.
    weight_bits : 2 to 8; weights get the codes -(2**(bits-1) - 1) to 2**(bits-1) - 1, activations always 8 bits.
    Untrained it is the net after post-training quantization, with one scale a layer.
    Raises ValueError for another kind of net or number of bits.
    Sources: Jacob et al. 2018 (arXiv:1712.05877); learned scales as in Esser et al. 2020 (arXiv:1902.08153).
    """

    def __init__(self, model, x, weight_bits=8):
        super().__init__()
        if weight_bits not in BITS:
            raise ValueError(f"weight_bits must be a whole number from {BITS[0]} to {BITS[-1]}, got {weight_bits!r}")
        layers = layers_of(model)
        if any(linear.bias is None for linear, _ in layers):
            raise ValueError("quantization-aware training learns a bias for every layer, and this net has a Linear "
                             "without one; make it with bias=True, its bias may start at 0")
        x = torch.from_numpy(data.points(x, columns=layers[0][0].in_features))
        self.largest = 2 ** (weight_bits - 1) - 1
        self.activations = tuple(activation for _, activation in layers)
        self.weights = nn.ParameterList(linear.weight.detach().clone() for linear, _ in layers)
        self.biases = nn.ParameterList(linear.bias.detach().clone() for linear, _ in layers)
        # logarithms, so that a training step changes every scale by a share of itself
        self.log_scales = nn.ParameterList(
            torch.tensor(math.log(_best_scale(linear.weight.detach().numpy(), self.largest))) for linear, _ in layers)
        self.register_buffer("ranges", torch.tensor(_ranges(layers, x)))
        self.log_stretch = nn.Parameter(torch.zeros(len(layers), 2))
        self.input = _as_affine(*_line(*_widened(x.min().item(), x.max().item())))

    def forward(self, x):
        """Map float32 (n, inputs) to (n, outputs), every number on the way rounded to its codes."""
        return self._run(x)[0]

    @property
    def output(self):
        """The Affine of the output codes."""
        return SIGMOID_CODES if self.activations[-1] == "sigmoid" else self.stages()[-1].output

    def codes(self, q):
        """Return the simulated output codes int8 (n, outputs), or (n,) if there is one, of input codes (n, inputs)."""
        with torch.no_grad():
            real = self(torch.from_numpy(self.input.dequantize(q))).numpy()
        codes = self.output.quantize(real)
        return codes[:, 0] if codes.shape[1] == 1 else codes

    def stages(self):
        """Return the layers as they stand, a list of Stage."""
        with torch.no_grad():
            layers = self._run(torch.zeros(1, self.weights[0].shape[1]))[1]
        return [Stage(weights.numpy(), biases.numpy(), scale.item(), activation, _as_affine(*line))
                for weights, biases, scale, activation, line in layers]

    def _run(self, x):
        """Return (outputs, what a Stage is made of for each layer)."""
        x, step = _fake_quantize(x, self.input), self.input.scale
        layers = []
        for weights, biases, log_scale, activation, line in zip(
                self.weights, self.biases, self.log_scales, self.activations, self._lines(), strict=True):
            scale = log_scale.exp()
            weights = _rounded(weights / scale).clamp(-self.largest, self.largest) * scale
            biases = _rounded(biases / (step * scale)) * (step * scale)
            x = nn.functional.linear(x, weights, biases)
            if activation == "relu":
                x = x.relu()
            x, step = _to_codes_and_back(x, *line), line[0]
            layers.append((weights, biases, scale, activation, line))
            if activation == "sigmoid":
                x, step = _fake_quantize(x.sigmoid(), SIGMOID_CODES), SIGMOID_CODES.scale
        return x, layers

    def _lines(self):
        """Return (scale, zero point) of each layer's output; a range that starts at 0 still does after learning."""
        return [_line(low, high) for low, high in self.ranges * self.log_stretch.exp()]


def _ranges(layers, x):
    """Return (lowest, highest) output of each layer on the points x, widened to hold 0."""
    ranges = []
    with torch.no_grad():
        for linear, activation in layers:
            x = linear(x)
            if activation == "relu":
                x = x.relu()
            ranges.append(_widened(x.min().item(), x.max().item()))
            if activation == "sigmoid":
                x = x.sigmoid()
    return ranges


def _widened(low, high):
    """Widen a range to hold 0, and to more than a point."""
    return min(low, 0.0), max(high, 0.0, min(low, 0.0) + 1e-6)


def _best_scale(weights, largest):
    """Return the weight scale that loses least: the smallest sum of squared rounding errors among CANDIDATES."""
    candidates = np.maximum(np.abs(weights).max(), 1e-9) * CANDIDATES / largest

    def lost(scale):
        return np.square(np.clip(np.rint(weights / scale), -largest, largest) * scale - weights).sum()

    return float(min(candidates[::-1], key=lost))


def _line(low, high):
    """Return (scale, zero point) of 256 codes over a range that holds 0; tensors or numbers."""
    scale = (high - low) / 255
    return scale, _rounded(torch.as_tensor(-128 - low / scale))


def _as_affine(scale, zero_point):
    return Affine(float(np.float32(scale)), int(zero_point))           # float32, as a file stores it


def _rounded(x):
    """Round, and let the gradient through."""
    return x + (x.round() - x).detach()


def _to_codes_and_back(x, scale, zero_point):
    return ((_rounded(x / scale) + zero_point).clamp(-128, 127) - zero_point) * scale


def _fake_quantize(x, line):
    return _to_codes_and_back(x, line.scale, line.zero_point)
