"""The seven TFLite variants of one net: one input a call, and all 65,536 in one call, inputs quantized beforehand.

One input a call is mostly Python, and a little more of it for the variants with float inputs.
"""
import sys

import numpy as np
from _measure import report, side_by_side

from xorlab import data, export, models, predictors
from xorlab.predictors import QuantizedPredictor
from xorlab.streams import ended

NAME = "sigmoid-2-3-1"


def main():
    for title, x, calls in (("one input a call, 1,000 calls", data.grid(2)[1:2], 1_000),
                            ("65,536 inputs in one call", data.grid(256), 1)):
        ways = {}
        for variant in export.VARIANTS:
            p = predictors.from_tflite(models.reference_file(NAME, f"{variant}.tflite"))
            quantized = isinstance(p, QuantizedPredictor)
            ways[variant] = _repeated(p.codes if quantized else p, p.input.quantize(x) if quantized else x, calls)
        report(f"{NAME} on XNNPACK, {title}", side_by_side(ways), ours="float32")


def _repeated(call, x, times):
    x = np.ascontiguousarray(x)

    def run():
        for _ in range(times):
            call(x)
    return run


if __name__ == "__main__":
    sys.exit(ended(main))
