"""Rules: which kernel each operator of an int8 graph takes, runtime by runtime.

Runtimes agree on the sum of a layer and differ in how they bring it back to 8 bits, in how they make the table of a
sigmoid, and in much else; and one runtime does not round alike in all its operators. So a rule maps an operator's class
to a kernel. Which runtime follows which is tested on all inputs of the reference nets, and for every operator on scales
computed to tell any two kernels apart.
"""
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from xorlab.integer.kernels import arithmetic, ends, moves, pools, softmax, tables
from xorlab.integer.kernels.arithmetic import Either
from xorlab.integer.kernels.ends import QuantizeKernel
from xorlab.integer.kernels.scaling import AWAY, EVEN, ONCE, REAL, UP, Rounding, highest_even
from xorlab.integer.kernels.tables import TableKernel, VectorTableKernel
from xorlab.integer.kernels.weighted import WeightedKernel, by_ruy, everywhere, in_blocks_of_8
from xorlab.integer.operators import (
    Add,
    AveragePool2D,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    Dequantize,
    FullyConnected,
    HardSwish,
    LeakyRelu,
    Logistic,
    MaxPool2D,
    Mean,
    Mul,
    Operator,
    Pad,
    Quantize,
    Relu,
    Reshape,
    Softmax,
    Sub,
    Tanh,
    Unary,
    Weighted,
)


@dataclass(frozen=True)
class Rule:
    """How one runtime computes.

    kernels : {operator class: its kernel}.  runs_on : who computes so.
    rounding : of a dense layer's sums, in a call of several samples.
    in_integers : whether a net of dense layers and tables needs no float while it runs.
    below : the kernels of the runtime that gets what this one does not take; None where it takes all.
    """
    kernels: Mapping
    runs_on: str
    rounding: Rounding
    in_integers: bool = True
    below: Mapping | None = None

    def kernel(self, op: Operator) -> Callable:
        """Return the kernel of an operator."""
        left = self.below is not None and isinstance(op, Weighted) and not op.described
        return (self.below if left else self.kernels)[type(op)]

    def scales(self, layer: FullyConnected) -> np.ndarray:
        """Return the factors from a dense layer's sums to output steps, one for the layer or for each unit."""
        return self.kernel(layer).factors(layer)

    def steps(self, acc: np.ndarray, scales: np.ndarray) -> np.ndarray:
        """Return a dense layer's sums times factors, rounded as in a call of several samples."""
        return self.rounding.steps(acc, scales)

    def clamp(self, layer: Weighted) -> tuple[int, int]:
        """Return the lowest and the highest output code of a layer."""
        return layer.lowest, self.kernel(layer).highest(layer.output, layer.ceiling)

    def requantize(self, acc: np.ndarray, layer: Weighted) -> np.ndarray:
        """Return the int8 output codes of a layer's sums, both (calls, ..., units)."""
        return self.kernel(layer).requantize(layer, acc)

    def table(self, op: Unary) -> np.ndarray:
        """Return the int8 output code of each of the 256 input codes of an operator such as a sigmoid."""
        return self.kernel(op).table(op).astype(np.int8)


# QUANTIZE of codes: LiteRT's built-in kernel, which XNNPACK leaves some to
REQUANTIZE = VectorTableKernel(tables.requantize_up, tables.requantize_away)

TFLM = {
    FullyConnected: WeightedKernel(Weighted.scales, everywhere(AWAY)),
    Conv2D: WeightedKernel(Weighted.scales, everywhere(AWAY)),
    DepthwiseConv2D: WeightedKernel(Weighted.scales, everywhere(AWAY)),
    AveragePool2D: pools.average_pool,
    MaxPool2D: pools.max_pool,
    Mean: pools.mean,
    Pad: moves.pad,
    Reshape: moves.reshape,
    Concatenation: moves.concatenation,
    Relu: TableKernel(tables.tflm_relu),
    Logistic: TableKernel(tables.tflm_logistic),
    LeakyRelu: TableKernel(tables.tflm_leaky_relu),
    Tanh: TableKernel(tables.tflm_tanh),
    HardSwish: TableKernel(tables.tflm_hard_swish),
    Add: arithmetic.SUM,
    Sub: arithmetic.SUM,
    Mul: arithmetic.TFLM_MUL,
    Quantize: QuantizeKernel(ends.quantize, TableKernel(tables.requantize_away)),
    Dequantize: ends.dequantize,
    Softmax: softmax.fixed_point_softmax,
}
REFERENCE = TFLM | {
    FullyConnected: WeightedKernel(Weighted.scales, everywhere(REAL)),
    Relu: TableKernel(tables.litert_relu),
    Logistic: TableKernel(tables.litert_logistic),
    LeakyRelu: TableKernel(tables.litert_leaky_relu),
    Tanh: TableKernel(tables.litert_tanh),
    HardSwish: TableKernel(tables.litert_hard_swish),
    Mul: arithmetic.REFERENCE_MUL,
}
RUY = REFERENCE | {
    FullyConnected: WeightedKernel(FullyConnected.scales_through_float32, by_ruy(UP)),
    Conv2D: WeightedKernel(Weighted.scales, by_ruy(UP)),
    DepthwiseConv2D: WeightedKernel(Weighted.scales, in_blocks_of_8),
    Mean: pools.BuiltinMean(),
    Add: arithmetic.LITERT_ADD,
    Mul: arithmetic.LITERT_MUL,
    Quantize: QuantizeKernel(ends.quantize_in_vectors, REQUANTIZE),
    Dequantize: ends.dequantize_in_vectors,
    Softmax: softmax.float_softmax,
}
SINGLE = RUY | {
    FullyConnected: WeightedKernel(FullyConnected.scales_through_float32, by_ruy(ONCE, alone=UP)),
    Conv2D: WeightedKernel(Weighted.scales, by_ruy(ONCE, alone=UP)),
}
XNNPACK = RUY | {
    FullyConnected: WeightedKernel(Weighted.scales_in_float32, everywhere(EVEN), highest_even),
    Conv2D: WeightedKernel(Weighted.scales_in_float32, everywhere(EVEN), highest_even),
    DepthwiseConv2D: WeightedKernel(Weighted.scales_in_float32, everywhere(EVEN), highest_even),
    MaxPool2D: pools.xnnpack_max_pool,
    Mean: pools.xnnpack_mean,
    Logistic: TableKernel(tables.xnnpack_logistic),
    LeakyRelu: TableKernel(tables.xnnpack_leaky_relu),
    Tanh: TableKernel(tables.xnnpack_tanh),
    Add: arithmetic.XNNPACK_ADD,
    Sub: arithmetic.XNNPACK_SUB,
    Mul: arithmetic.XNNPACK_MUL,
    Quantize: QuantizeKernel(ends.quantize_even, Either(
        tables.xnnpack_requantizes, TableKernel(tables.xnnpack_requantize), REQUANTIZE)),
    Dequantize: ends.dequantize,
}
TINYMIND = TFLM | {Logistic: TableKernel(tables.tinymind_logistic)}

RULES = {
    "tflm": Rule(TFLM, "TFLite Micro, CMSIS-NN", AWAY),
    "ruy": Rule(RUY, "LiteRT's built-in kernels on x86 with AVX2", UP),
    "single": Rule(SINGLE, "LiteRT's built-in kernels on ruy's portable path", ONCE),
    "reference": Rule(REFERENCE, "LiteRT's reference kernels", REAL, in_integers=False),
    "xnnpack": Rule(XNNPACK, "LiteRT's default, XNNPACK", EVEN, in_integers=False, below=RUY),
    "tinymind": Rule(TINYMIND, "TinyMind: TFLite Micro's layers, its own table for the sigmoid", AWAY),
}
