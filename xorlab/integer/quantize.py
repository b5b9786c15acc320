"""From a trained net to the operators of its int8 form, without TensorFlow."""
from typing import Protocol

import numpy as np

from xorlab import arguments, data
from xorlab.integer.affine import GRANULARITIES, SIGMOID_CODES, Affine
from xorlab.integer.operators import FullyConnected, Logistic
from xorlab.integer.unchecked import round_half_away

TRAINED = "a net that training.fit_qat or qat.rounded returned"


class FakeQuantized(Protocol):
    """What is asked of a net trained with fake quantization, which qat.FakeQuantized has.

    input : the Affine of its input codes.  stages() : its layers as they stand, each with `codes` (of its weights),
    `biases`, `weight_scales`, `activation` and `output`; see qat.Stage.
    """
    input: Affine

    def stages(self) -> list:
        ...


def of_qat(net: FakeQuantized) -> tuple:
    """Return the operators of a net trained with fake quantization: those of export.qat_to_tflite's file."""
    arguments.having("net", net, ("stages", "input"), TRAINED)
    steps, line = [], net.input
    for stage in net.stages():
        biases = np.rint(stage.biases / (np.float64(line.scale) * stage.weight_scales)).astype(np.int64)
        fused = "RELU" if stage.activation == "relu" else "NONE"
        steps.append(FullyConnected(stage.codes, biases, stage.weight_scales, line, stage.output, fused))
        line = stage.output
        if stage.activation == "sigmoid":
            steps.append(Logistic(line))
            line = SIGMOID_CODES
    return tuple(steps)


def of_torch(model, calibration=None, weight_bits=8, granularity="per_tensor") -> tuple:
    """Return the operators of a PyTorch net: int8 weights, int32 biases, ranges by calibration.

    model : a net as models.layers_of takes it; a layer without a bias has biases of 0.
    calibration : float32 (n, inputs) from which each tensor's range is learned; None means the 9 x 9 grid over
        [0, 1]^2, corners included.
    weight_bits : 2 to 8; weights get the codes -(2**(bits-1) - 1) to 2**(bits-1) - 1, the largest one the last.
    granularity : "per_tensor" gives each layer one weight scale, "per_channel" each unit its own.
    Raises ValueError for another model, number of bits or granularity, or calibration that does not fit the model.
    Source: Jacob et al. 2018 (arXiv:1712.05877); the recipe of TinyMind's XOR example.
    """
    from xorlab.models import layers_of

    weight_bits = arguments.whole("weight_bits", weight_bits, 2, 8)
    arguments.one_of("granularity", granularity, GRANULARITIES)
    try:
        layers = layers_of(model)
    except ValueError as error:
        raise ValueError(f"{error}; or convert the net with xorlab.export and read its int8 file with "
                         "IntegerMLP.from_tflite") from None
    if not all(np.isfinite(p.detach().numpy()).all() for p in model.parameters()):
        raise ValueError("the net has weights that are NaN or infinite; train it again from another start")
    if calibration is None:
        calibration = data.grid(data.CALIBRATION_SIDE)
    largest, axis = 2 ** (weight_bits - 1) - 1, 1 if granularity == "per_channel" else None
    return tuple(_quantized(layers, data.points(calibration, layers[0][0].in_features), largest, axis))


def _quantized(layers, x, largest, axis):
    """Yield the net's operators, with each tensor's range as the float net shows it on the points x."""
    line = _range(x)
    for linear, activation in layers:
        x = _sums(linear, x)
        if activation == "relu":
            x = np.maximum(x, 0)
        layer = _quantized_layer(linear, line, _range(x), activation == "relu", largest, axis)
        line = layer.output
        yield layer
        if activation == "sigmoid":
            x = _sigmoid(x)
            yield Logistic(line)
            line = SIGMOID_CODES


@np.errstate(over="ignore", invalid="ignore")           # what is not finite has no range, which _range says
def _sums(linear, x):
    """Return a layer's sums (n, units) of points float32 (n, inputs), added one input after another.

    The order in which PyTorch adds depends on the computer, and a last digit of a range moves codes.
    """
    sums = np.zeros((len(x), linear.out_features), np.float32)
    for column, weights in zip(x.T, linear.weight.detach().numpy().T, strict=True):
        sums += column[:, None] * weights
    return sums if linear.bias is None else sums + linear.bias.detach().numpy()


@np.errstate(over="ignore")                             # beyond float32 exp is infinity, and the sigmoid 0
def _sigmoid(x):
    """Return the sigmoid of float32 numbers; exp is rounded from float64, for float32 libraries differ in it too."""
    return 1 / (1 + np.exp(-x.astype(np.float64)).astype(np.float32))


def _quantized_layer(linear, source, target, relu, largest, axis):
    """Return the operator of a Linear.  axis : along which weights share a scale, None for all of them."""
    weights = linear.weight.detach().double().numpy()
    biases = np.zeros(len(weights)) if linear.bias is None else linear.bias.detach().double().numpy()
    scales = np.abs(weights).max(axis=axis, keepdims=True) / largest
    scales[scales == 0] = 1.0                           # weights of zero still need a scale
    codes = round_half_away(biases / (source.scale * scales[:, 0]))
    if np.abs(codes).max() > 2**31 - 1:
        worst = np.abs(codes).argmax()
        raise ValueError(f"a bias of {biases[worst]:g} does not fit into 32 bits at the scale "
                         f"{source.scale * scales[worst % len(scales), 0]:.3g} of its layer; scale the inputs or the "
                         "weights")
    return FullyConnected(round_half_away(weights / scales).astype(np.int64), codes.astype(np.int64),
                          np.float32(scales[:, 0]), source, target, "RELU" if relu else "NONE")


def _range(values):
    return Affine.of_range(float(values.min()), float(values.max()))
