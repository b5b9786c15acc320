"""Quantization-aware training: a net whose weights and activations are rounded while it learns.

A `FakeQuantized` net computes in float32 with numbers that have been rounded to codes and back, so that what it
answers is what an integer runtime will answer. Rounding has no useful gradient; backwards it is passed through as if
it were not there (the straight-through estimator).
"""
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from xorlab import arguments, data
from xorlab.integer import IntegerMLP
from xorlab.integer.affine import GRANULARITIES, SIGMOID_CODES, Affine
from xorlab.models import layers_of

BITS = range(2, 9)
CANDIDATES = np.linspace(0.3, 1, 71)        # shares of the largest weight that are tried as the largest code
LARGEST_BIAS = 2.0 ** 30                    # in codes: half of what 32 bits hold, so that scales may still learn


@dataclass(frozen=True)
class Stage:
    """One layer of a FakeQuantized net as it stands: NumPy arrays and Affine maps.

    weights : float32 (out, in), each row multiples of its weight scale.  biases : float32 (out,), multiples of input
    scale times weight scale.  weight_scales : float32, one for the layer or one for each unit.
    activation : "relu", "sigmoid" or None.  output : codes of the layer's output, after a ReLU but before a sigmoid.
    """
    weights: np.ndarray
    biases: np.ndarray
    weight_scales: np.ndarray
    activation: str | None
    output: Affine

    @property
    def codes(self):
        """The weights' codes, int64 (out, in)."""
        return np.rint(self.weights / self.weight_scales[:, None]).astype(np.int64)

    @property
    def weight_scale(self):
        """The first unit's weight scale: a name of version 0.1, whose layers had one, that goes with version 0.3."""
        return float(self.weight_scales[0])


class FakeQuantized(nn.Module):
    """A copy of a float net that rounds as an int8 net does, with weight scales and ranges that can be learned.

    model : models.MLP or a Sequential of Linear, each perhaps followed by ReLU or Sigmoid; left as it is.
    x : float32 (n, inputs), the points whose ranges the net starts from, as a converter's representative data.
    weight_bits : 2 to 8; weights get the codes -(2**(bits-1) - 1) to 2**(bits-1) - 1, activations always 8 bits.
    granularity : "per_channel" gives each unit its own weight scale, "per_tensor" each layer one, as in
        export.to_tflite.  scales : what weight scales start from, a name in SCALES.
    Untrained it is the net after post-training quantization; `rounded` chooses `scales` for you.
    Raises ValueError for another kind of net, number of bits, granularity or name.
    Sources: Jacob et al. 2018 (arXiv:1712.05877); learned scales as in Esser et al. 2020 (arXiv:1902.08153).
    """

    def __init__(self, model, x, weight_bits=8, *, granularity="per_channel", scales="least_squares"):
        super().__init__()
        weight_bits = arguments.whole("weight_bits", weight_bits, BITS[0], BITS[-1])
        arguments.one_of("granularity", granularity, GRANULARITIES)
        arguments.one_of("scales", scales, SCALES)
        layers = layers_of(model)
        if any(linear.bias is None for linear, _ in layers):
            raise ValueError("quantization-aware training learns a bias for every layer, and this net has a Linear "
                             "without one; make it with bias=True, its bias may start at 0")
        x = torch.from_numpy(data.points(x, columns=layers[0][0].in_features))
        self.largest = 2 ** (weight_bits - 1) - 1
        self.activations = tuple(activation for _, activation in layers)
        self.weights = nn.ParameterList(linear.weight.detach().clone() for linear, _ in layers)
        self.biases = nn.ParameterList(linear.bias.detach().clone() for linear, _ in layers)
        self.register_buffer("ranges", torch.tensor(_ranges(layers, x)))
        self.log_stretch = nn.Parameter(torch.zeros(len(layers), 2))
        self.input = _as_affine(*_line(*_widened(x.min().item(), x.max().item())))
        # logarithms, so that a training step changes every scale by a share of itself
        self.log_scales = nn.ParameterList(
            torch.tensor(np.log(_first_scales(linear, step, self.largest, granularity, SCALES[scales])))
            for (linear, _), step in zip(layers, self._input_steps(), strict=True))

    def forward(self, x):
        """Map float32 (n, inputs) to (n, outputs), every number on the way rounded to its codes."""
        return self._run(x)[0]

    @property
    def output(self):
        """The Affine of the output codes."""
        return SIGMOID_CODES if self.activations[-1] == "sigmoid" else self.stages()[-1].output

    def codes(self, q):
        """Return the simulated output codes int8 (n, outputs), or (n,) if there is one, of input codes (n, inputs)."""
        q, width = arguments.numbers_in("codes", q, kinds="iu"), self.weights[0].shape[1]
        if q.ndim != 2 or q.shape[1] != width or not len(q):
            raise ValueError(f"codes must be whole numbers of shape (n, {width}), got {q.dtype} of shape {q.shape}")
        with torch.no_grad():
            real = self(torch.from_numpy(self.input.dequantize(q))).numpy()
        codes = self.output.quantize(real)
        return codes[:, 0] if codes.shape[1] == 1 else codes

    def stages(self):
        """Return the layers as they stand, a list of Stage."""
        with torch.no_grad():
            layers = self._run(torch.zeros(1, self.weights[0].shape[1]))[1]
        return [Stage(weights.numpy(), biases.numpy(), scales.numpy(), activation, _as_affine(*line))
                for weights, biases, scales, activation, line in layers]

    def integers(self, rule="tflm"):
        """Return the net as it stands as an integer.IntegerMLP: the arithmetic of its int8 file, without TensorFlow."""
        return IntegerMLP.from_qat(self, rule)

    def _run(self, x):
        """Return (outputs, what a Stage is made of for each layer)."""
        x, step = _fake_quantize(x, self.input), self.input.scale
        layers = []
        for weights, biases, log_scales, activation, line in zip(
                self.weights, self.biases, self.log_scales, self.activations, self._lines(), strict=True):
            scales = log_scales.exp()
            rows = scales[:, None]
            weights = _rounded(weights / rows).clamp(-self.largest, self.largest) * rows
            biases = _rounded(biases / (step * scales)) * (step * scales)
            x = nn.functional.linear(x, weights, biases)
            if activation == "relu":
                x = x.relu()
            x, step = _to_codes_and_back(x, *line), line[0]
            layers.append((weights, biases, scales, activation, line))
            if activation == "sigmoid":
                x, step = _fake_quantize(x.sigmoid(), SIGMOID_CODES), SIGMOID_CODES.scale
        return x, layers

    def _lines(self):
        """Return (scale, zero point) of each layer's output; a range that starts at 0 still does after learning."""
        return [_line(low, high) for low, high in self.ranges * self.log_stretch.exp()]

    def _input_steps(self):
        """Return the real step between the codes that go into each layer."""
        steps = [SIGMOID_CODES.scale if activation == "sigmoid" else line[0].item()
                 for line, activation in zip(self._lines(), self.activations, strict=True)]
        return [self.input.scale, *steps[:-1]]


def rounded(model, x, weight_bits=8, *, granularity="per_channel"):
    """Return a net after the best plain rounding, post-training quantization (PTQ): FakeQuantized, not trained.

    Of the ways in SCALES to choose weight scales it takes the one whose outputs on the points x have the smaller mean
    squared difference from the float net's. Arguments and errors are FakeQuantized's.

    >>> from xorlab import data, models
    >>> net = rounded(models.reference(), data.grid(9), weight_bits=2)
    >>> net.stages()[0].codes.tolist()                  # 2 bits: three codes
    [[-1, -1], [-1, -1], [-1, -1]]
    >>> net.integers()                                  # the same as whole numbers
    <IntegerMLP 2 -> FULLY_CONNECTED 3 -> LOGISTIC -> FULLY_CONNECTED 1 -> LOGISTIC, rule tflm>
    """
    made = [FakeQuantized(model, x, weight_bits, granularity=granularity, scales=scales) for scales in SCALES]
    x = torch.from_numpy(data.points(x))
    with torch.no_grad():
        wanted = model(x)
        return min(made, key=lambda net: nn.functional.mse_loss(net(x), wanted).item()).eval()


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
    """Widen a range to hold 0, and one without any width, of a layer that answers 0 everywhere, to hold 1."""
    low, high = min(low, 0.0), max(high, 0.0)
    return low, high if high > low else 1.0


def _first_scales(linear, step, largest, granularity, choose):
    """Return the weight scales that a layer starts from, float32: one, or one for each unit.

    step : of the layer's input codes, in which, times a weight scale, a bias must fit into 32 bits.
    """
    weights, biases = (parameter.detach().numpy() for parameter in (linear.weight, linear.bias))
    if granularity == "per_tensor":
        weights, biases = weights.reshape(1, -1), biases.reshape(1, -1)
    least = np.maximum(np.abs(biases.reshape(len(weights), -1)).max(axis=1) / (step * LARGEST_BIAS), 1e-9)
    return np.maximum([choose(row, largest) for row in weights], least).astype(np.float32)


def _scale_of_largest(weights, largest):
    """Return the weight scale at which the largest weight gets the largest code: nothing is cut off."""
    return float(np.abs(weights).max() / largest)


def _scale_of_least_squares(weights, largest):
    """Return the weight scale that loses least: the smallest sum of squared rounding errors among CANDIDATES."""
    candidates = np.maximum(np.abs(weights).max(), 1e-9) * CANDIDATES[::-1, None] / largest
    lost = np.square(np.clip(np.rint(weights / candidates), -largest, largest) * candidates - weights).sum(axis=1)
    return float(candidates[lost.argmin(), 0])


SCALES = {"largest": _scale_of_largest, "least_squares": _scale_of_least_squares}


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
