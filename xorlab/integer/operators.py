"""The operators of an int8 graph, as data: what a file says of them, and the shape of what they make.

How a runtime computes one is no part of it; that is its kernel, which a rule names. Shapes are those of one call, the
axis of samples included: (batch, features), (batch, height, width, channels).
"""
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np

from xorlab.integer.affine import SIGMOID_CODES, Affine, few

CEILINGS = {"NONE": math.inf, "RELU": math.inf, "RELU6": 6.0}           # fused activation -> where it cuts the output
PADDINGS = ("SAME", "VALID")
LARGEST_CODE, LARGEST_INPUT = 128, 255      # without its sign: of a code, and of a code minus its zero point
LONGEST_STEP = 1024                         # of a window: what padding adds around it has to fit into memory
FLOAT32_EXACT = 2**24                       # whole numbers up to it, without their sign, are float32 numbers


class Operator:
    """What every operator has.

    input, output : the Affine of the codes that it takes and makes; None where those are float32.
    """
    name: ClassVar[str]                 # what TFLite calls it

    def shape(self, *shapes: tuple) -> tuple:
        """Return the shape of the output, of the shapes of what goes in.  Raises ValueError if they do not fit."""
        return shapes[0]


class _Fused:
    """An operator whose output may be cut by an activation fused into it: NONE, RELU or RELU6."""

    def __post_init__(self):
        if self.activation not in CEILINGS:
            raise ValueError(f"the fused activation must be one of {', '.join(CEILINGS)}, got {self.activation}")

    @property
    def lowest(self) -> int:
        """The smallest output code: that of 0 where a ReLU is fused."""
        return -128 if self.activation == "NONE" else max(-128, self.output.zero_point)

    @property
    def ceiling(self) -> float:
        """The real number at which the output is cut: 6 where a RELU6 is fused."""
        return CEILINGS[self.activation]


@dataclass(frozen=True)
class Weighted(_Fused, Operator):
    """A sum of products of codes and constant weights, brought back to 8 bits.

    weights : int64, symmetric (zero point 0).  biases : int64 (units,), at scale input * weight.
    weight_scales : float32, one for the operator or one for each unit.  activation : fused NONE, RELU or RELU6.
    described : whether a file gives its biases, if it has any, a scale, and says that weight scales go by unit;
        XNNPACK leaves the operator to others if not.
    """
    weights: np.ndarray
    biases: np.ndarray
    weight_scales: np.ndarray
    input: Affine
    output: Affine
    activation: str = "NONE"
    described: bool = field(default=True, kw_only=True)
    unit_axis: ClassVar[int] = 0        # of the weights

    def __post_init__(self):
        super().__post_init__()
        scales = self.weight_scales
        if not (np.isfinite(scales).all() and (scales > 0).all() and len(scales) in (1, self.units)):
            raise ValueError("weight scales must be finite and positive, one for the layer or one for each of its "
                             f"{self.units} units; got {few(scales)}")

    @property
    def units(self) -> int:
        """How many output channels it has."""
        return self.weights.shape[self.unit_axis]

    @cached_property
    def largest_sum(self) -> int:
        """What no sum exceeds, without its sign, whatever the codes."""
        return int((np.abs(self._by_unit()).sum(axis=1) * LARGEST_INPUT + np.abs(self.biases)).max(initial=0))

    @cached_property
    def in_floats(self) -> np.ndarray:
        """The weights (units, depth + 1) in the smaller float type in which every sum of theirs is exact.

        They go with codes as they are: what the input's zero point takes off is the same for all inputs, so the last
        column, the biases, holds it. All the parts of a sum are whole, so it is exact in any order as long as the
        weights of a unit, without their signs, times 128, and its bias add up to less than 2**24, or in float64 2**53.
        """
        weights = self._by_unit()
        biases = self.biases - self.input.zero_point * weights.sum(axis=1)
        largest = (np.abs(weights).sum(axis=1) * LARGEST_CODE + np.abs(biases)).max(initial=0)
        return np.column_stack([weights, biases]).astype(np.float32 if largest < FLOAT32_EXACT else np.float64)

    def _by_unit(self):
        return np.moveaxis(self.weights, self.unit_axis, 0).reshape(self.units, -1)

    def scales(self) -> np.ndarray:
        """Return what a sum's unit is worth in output steps, float64, one for the operator or for each unit."""
        return np.float64(self.input.scale) * self.weight_scales.astype(np.float64) / np.float64(self.output.scale)

    def scales_in_float32(self) -> np.ndarray:
        """Return `scales` as XNNPACK prepares them: all of it in float32."""
        return np.float32(self.input.scale) * self.weight_scales / np.float32(self.output.scale)


@dataclass(frozen=True)
class FullyConnected(Weighted):
    """A dense layer.  weights : int64 (units, inputs).  keep_dims : whether leading axes stay as they are."""
    keep_dims: bool = field(default=False, kw_only=True)
    name = "FULLY_CONNECTED"

    def scales_through_float32(self) -> np.ndarray:
        """Return `scales` as LiteRT's built-in kernels prepare them: one for a whole layer is multiplied in float32."""
        if len(self.weight_scales) > 1:
            return self.scales()
        return (np.float32(self.input.scale) * self.weight_scales).astype(np.float64) / np.float64(self.output.scale)

    def shape(self, *shapes):
        (shape,) = shapes
        inputs = self.weights.shape[1]
        if self.keep_dims:
            if shape[-1:] != (inputs,):
                raise ValueError(f"weights {self.weights.shape} do not fit an input of shape {shape}")
            return (*shape[:-1], self.units)
        if math.prod(shape) % inputs:
            raise ValueError(f"weights {self.weights.shape} do not fit an input of shape {shape}")
        return math.prod(shape) // inputs, self.units


@dataclass(frozen=True)
class _Window(Operator):
    """An operator that looks at a window of a picture at a time.

    stride, dilation : (down, across).  padding : SAME or VALID.
    """
    stride: tuple = field(default=(1, 1), kw_only=True)
    padding: str = field(default="VALID", kw_only=True)
    dilation: ClassVar[tuple] = (1, 1)

    def reach(self) -> tuple:
        """Return (height, width) of the window."""
        raise NotImplementedError

    def margins(self, shape: tuple) -> tuple:
        """Return ((before, after), (before, after)): what SAME padding adds down and across a (n, h, w, c) input."""
        return tuple(margin for _, margin in self._spread(shape))

    def extent(self, shape: tuple) -> tuple:
        """Return (height, width) of the output of a (n, h, w, c) input."""
        return tuple(size for size, _ in self._spread(shape))

    def _spread(self, shape):
        if len(shape) != 4:
            raise ValueError(f"it takes pictures (n, height, width, channels), got shape {shape}")
        if self.padding not in PADDINGS:
            raise ValueError(f"padding must be one of {', '.join(PADDINGS)}, got {self.padding}")
        for called, pair in (("window", self.reach()), ("stride", self.stride), ("dilation", self.dilation)):
            if not all(1 <= length <= LONGEST_STEP for length in pair):
                raise ValueError(f"its {called} must lie in 1..{LONGEST_STEP} down and across, got {pair}")
        made = [spread(size, window, stride, dilation, self.padding) for size, window, stride, dilation in zip(
            shape[1:3], self.reach(), self.stride, self.dilation, strict=True)]
        if min(size for size, _ in made) < 1:
            raise ValueError(f"a window of {self.reach()} does not fit into an input of shape {shape}")
        return made


def spread(size: int, window: int, stride: int, dilation: int, padding: str) -> tuple[int, tuple[int, int]]:
    """Return (how often a window fits along an axis, (what padding adds before, after)).

    Source: ComputePaddingWithOffset and ComputeOutSize of TensorFlow Lite.
    """
    reach = (window - 1) * dilation + 1
    if padding == "VALID":
        return (size + stride - reach) // stride, (0, 0)
    fits = -(-size // stride)
    total = max((fits - 1) * stride + reach - size, 0)
    return fits, (total // 2, total - total // 2)


@dataclass(frozen=True)
class Conv2D(Weighted, _Window):
    """A convolution.

    weights : int64 (units, height, width, channels of a group).  groups : into how many the input's channels fall.
    """
    dilation: tuple = field(default=(1, 1), kw_only=True)
    groups: int = field(default=1, kw_only=True)
    name = "CONV_2D"

    def reach(self):
        return self.weights.shape[1:3]

    def shape(self, *shapes):
        (shape,) = shapes
        extent = self.extent(shape)
        if shape[3] != self.weights.shape[3] * self.groups or self.units % self.groups:
            raise ValueError(f"weights {self.weights.shape} in {self.groups} groups do not fit an input of shape "
                             f"{shape}")
        return (shape[0], *extent, self.units)


@dataclass(frozen=True)
class DepthwiseConv2D(Weighted, _Window):
    """A convolution of each channel with filters of its own.

    weights : int64 (height, width, units).  multiplier : units for each channel of the input; unit u reads channel
    u // multiplier.
    """
    dilation: tuple = field(default=(1, 1), kw_only=True)
    multiplier: int = field(default=1, kw_only=True)
    unit_axis = 2
    name = "DEPTHWISE_CONV_2D"

    def reach(self):
        return self.weights.shape[:2]

    def shape(self, *shapes):
        (shape,) = shapes
        extent = self.extent(shape)
        if shape[3] * self.multiplier != self.units:
            raise ValueError(f"weights {self.weights.shape} and multiplier {self.multiplier} do not fit an input of "
                             f"shape {shape}")
        return (shape[0], *extent, self.units)


@dataclass(frozen=True)
class _Pool(_Fused, _Window):
    """window : (height, width).  What lies outside the picture takes no part."""
    window: tuple
    input: Affine
    output: Affine
    activation: str = "NONE"

    def reach(self):
        return self.window

    def shape(self, *shapes):
        (shape,) = shapes
        extent = self.extent(shape)
        return (shape[0], *extent, shape[3])


@dataclass(frozen=True)
class AveragePool2D(_Pool):
    """The average of each window, channel by channel."""
    name = "AVERAGE_POOL_2D"


@dataclass(frozen=True)
class MaxPool2D(_Pool):
    """The largest code of each window, channel by channel."""
    name = "MAX_POOL_2D"


@dataclass(frozen=True)
class Mean(Operator):
    """The mean over axes.  axes : counted in a call's shape, from 0.  keep_dims : whether they stay, of length 1."""
    axes: tuple
    keep_dims: bool
    input: Affine
    output: Affine
    name = "MEAN"

    def shape(self, *shapes):
        (shape,) = shapes
        if not all(0 <= axis < len(shape) for axis in self.axes):
            raise ValueError(f"it takes the mean over axes {self.axes} of an input of shape {shape}")
        return tuple(1 if i in self.axes else length for i, length in enumerate(shape)
                     if self.keep_dims or i not in self.axes)


@dataclass(frozen=True)
class _Binary(_Fused, Operator):
    """Two tensors, one code of each at a time; a shorter one is broadcast."""
    input: Affine
    other: Affine
    output: Affine
    activation: str = "NONE"

    def shape(self, *shapes):
        try:
            return np.broadcast_shapes(*shapes)
        except ValueError:
            raise ValueError(f"inputs of shape {' and '.join(map(str, shapes))} do not go together") from None


@dataclass(frozen=True)
class Add(_Binary):
    name = "ADD"


@dataclass(frozen=True)
class Sub(_Binary):
    name = "SUB"


@dataclass(frozen=True)
class Mul(_Binary):
    name = "MUL"


@dataclass(frozen=True)
class Pad(Operator):
    """Zeros around a tensor.  margins : (before, after) for each axis of a call's shape."""
    margins: tuple
    input: Affine
    output: Affine
    name = "PAD"

    def shape(self, *shapes):
        (shape,) = shapes
        if len(shape) != len(self.margins):
            raise ValueError(f"it pads {len(self.margins)} axes of an input of shape {shape}")
        return tuple(length + before + after for length, (before, after) in zip(shape, self.margins, strict=True))


@dataclass(frozen=True)
class Reshape(Operator):
    """The same codes in another shape.  target : of a call, -1 once for the length that remains."""
    target: tuple
    input: Affine
    output: Affine
    name = "RESHAPE"

    def shape(self, *shapes):
        (shape,) = shapes
        known = math.prod(length for length in self.target if length != -1)
        free = self.target.count(-1)
        fits = math.prod(shape) % known == 0 if free and known else math.prod(shape) == known
        if free > 1 or min(self.target, default=1) < -1 or not fits:
            raise ValueError(f"a tensor of shape {shape} cannot become one of shape {self.target}")
        return tuple(math.prod(shape) // known if length == -1 else length for length in self.target)


@dataclass(frozen=True)
class Concatenation(_Fused, Operator):
    """Tensors side by side, all on the output's line.

    axis : in a call's shape, not negative.  inputs : an Affine for each.
    """
    axis: int
    inputs: tuple
    output: Affine
    activation: str = "NONE"
    name = "CONCATENATION"

    def __post_init__(self):
        super().__post_init__()
        if self.activation != "NONE":                   # XNNPACK ignores it, and the others refuse the file
            raise ValueError(f"no runtime fuses {self.activation} into a CONCATENATION; give it an operator of its own")
        others = [line for line in self.inputs if line != self.output]
        if others:
            raise ValueError(f"no runtime brings codes of {others[0]} to {self.output} in a CONCATENATION; QUANTIZE "
                             "them before it")

    def shape(self, *shapes):
        rests = {(len(shape), shape[: self.axis], shape[self.axis + 1 :]) for shape in shapes}
        if len(rests) > 1 or not 0 <= self.axis < len(shapes[0]):
            raise ValueError(f"inputs of shape {' and '.join(map(str, shapes))} cannot stand side by side along axis "
                             f"{self.axis}")
        return tuple(sum(shape[i] for shape in shapes) if i == self.axis else length
                     for i, length in enumerate(shapes[0]))


@dataclass(frozen=True)
class Quantize(Operator):
    """Codes of float32 numbers, or of codes on another line.  input : None for float32."""
    input: Affine | None
    output: Affine
    name = "QUANTIZE"


@dataclass(frozen=True)
class Dequantize(Operator):
    """float32 numbers of codes."""
    input: Affine
    output: None = None
    name = "DEQUANTIZE"


@dataclass(frozen=True)
class Unary(Operator):
    """One code at a time: each of the 256 input codes has its output code."""
    input: Affine
    output: Affine


@dataclass(frozen=True)
class Relu(Unary):
    """A ReLU that is an operator of its own.  ceiling : real number at which the output is cut: 6 for a RELU6."""
    ceiling: float = math.inf

    @property
    def name(self) -> str:
        return "RELU" if self.ceiling == math.inf else "RELU6"


@dataclass(frozen=True)
class LeakyRelu(Unary):
    """A ReLU with a slope below 0.  alpha : float32, that slope."""
    alpha: float
    name = "LEAKY_RELU"


class _OfUnitRange(Operator):
    def __post_init__(self):
        if self.output != SIGMOID_CODES:
            raise ValueError(f"a {self.called}'s output codes are {SIGMOID_CODES}, the format fixes them; got "
                             f"{self.output}")


@dataclass(frozen=True)
class Logistic(_OfUnitRange, Unary):
    """A sigmoid."""
    output: Affine = SIGMOID_CODES
    name = "LOGISTIC"
    called: ClassVar[str] = "sigmoid"


@dataclass(frozen=True)
class Tanh(Unary):
    """A hyperbolic tangent."""
    name = "TANH"


@dataclass(frozen=True)
class HardSwish(Unary):
    """x * min(max(x + 3, 0), 6) / 6."""
    name = "HARD_SWISH"


@dataclass(frozen=True)
class Softmax(_OfUnitRange):
    """Shares that add up to 1, along the last axis.  beta : what the inputs are multiplied by."""
    input: Affine
    output: Affine = SIGMOID_CODES
    beta: float = 1.0
    name = "SOFTMAX"
    called: ClassVar[str] = "softmax"
