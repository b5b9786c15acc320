"""From a trained net to the operators of its int8 form, without TensorFlow."""
from typing import Protocol

import numpy as np

from xorlab import data
from xorlab.integer.affine import SIGMOID_CODES, Affine
from xorlab.integer.fixed_point import round_half_away
from xorlab.integer.operators import FullyConnected, Logistic


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


def of_torch(model, calibration=None) -> tuple:
    """Return the operators of a PyTorch net: per-tensor int8 weights, int32 biases, ranges by calibration.

    model : a net as models.layers_of takes it; a layer without a bias has biases of 0.
    calibration : float32 (n, inputs) from which each tensor's range is learned; None means the 9 x 9 grid over
        [0, 1]^2, corners included.
    Raises ValueError for another model, or calibration that does not fit it.
    Source: Jacob et al. 2018 (arXiv:1712.05877); the recipe of TinyMind's XOR example.
    """
    from xorlab.models import layers_of

    try:
        layers = layers_of(model)
    except ValueError as error:
        raise ValueError(f"{error}; or convert the net with xorlab.export and read its int8 file with "
                         "IntegerMLP.from_tflite") from None
    if not all(np.isfinite(p.detach().numpy()).all() for p in model.parameters()):
        raise ValueError("the net has weights that are NaN or infinite; train it again from another start")
    if calibration is None:
        calibration = data.grid(data.CALIBRATION_SIDE)
    return tuple(_quantized(layers, data.points(calibration, layers[0][0].in_features)))


def _quantized(layers, x):
    """Yield the net's operators, with each tensor's range as the float net shows it on the points x."""
    import torch

    values = torch.from_numpy(x)
    line = _range(values)
    with torch.no_grad():
        for linear, activation in layers:
            values = linear(values)
            if activation == "relu":
                values = values.relu()
            layer = _quantized_layer(linear, line, _range(values), activation == "relu")
            line = layer.output
            yield layer
            if activation == "sigmoid":
                values = values.sigmoid()
                yield Logistic(line)
                line = SIGMOID_CODES


def _quantized_layer(linear, source, target, relu):
    weights = linear.weight.detach().double().numpy()
    biases = np.zeros(len(weights)) if linear.bias is None else linear.bias.detach().double().numpy()
    scale = float(np.abs(weights).max()) / 127 or 1.0           # a layer of zeros still needs a scale
    scales = np.float32([scale])
    limit = 2**31 - 1
    codes = round_half_away(biases / (source.scale * scale))
    if np.abs(codes).max() > limit:
        raise ValueError(f"a bias of {biases[np.abs(codes).argmax()]:g} does not fit into 32 bits at the scale "
                         f"{source.scale * scale:.3g} of its layer; scale the inputs or the weights")
    return FullyConnected(round_half_away(weights / scale).astype(np.int64), codes.astype(np.int64), scales, source,
                          target, "RELU" if relu else "NONE")


def _range(values):
    return Affine.of_range(float(values.min()), float(values.max()))
