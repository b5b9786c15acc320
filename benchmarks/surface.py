"""A 101 x 101 surface through TFLite: one batch against one call a sample, and against the bare runtime."""
import sys

import numpy as np
from _measure import report, side_by_side
from ai_edge_litert.interpreter import Interpreter

import xorlab
from xorlab import data, models, predictors
from xorlab.streams import ended

POINTS = data.grid(101)


def bare_batch(path, x):
    """The limit: the runtime alone, already resized, with nothing around it."""
    interpreter = Interpreter(str(path), num_threads=1)
    entry, exit_ = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    interpreter.resize_tensor_input(entry, x.shape)
    interpreter.allocate_tensors()

    def run():
        interpreter.set_tensor(entry, x)
        interpreter.invoke()
        return interpreter.get_tensor(exit_)

    return run


def bare_loop(path, x):
    """What the source lessons do: one set, invoke, get a sample."""
    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    entry, exit_ = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run():
        out = []
        for sample in x:
            interpreter.set_tensor(entry, sample[None])
            interpreter.invoke()
            out.append(interpreter.get_tensor(exit_)[0, 0])
        return np.array(out)

    return run


def main():
    for file in ("float32.tflite", "int8.tflite"):
        path = models.reference_file("sigmoid-2-3-1", file)
        p = predictors.from_tflite(path)
        x = p.input.quantize(POINTS) if file.startswith("int8") else POINTS
        ours = (lambda p=p, x=x: p.codes(x)) if file.startswith("int8") else (lambda p=p, x=x: p(x))
        with xorlab.quiet():
            ways = {"ours, one batch": ours, "bare runtime, one batch": bare_batch(path, x),
                    "bare runtime, one call a sample": bare_loop(path, x)}
        report(f"{len(POINTS):,} points through {file} on LiteRT with XNNPACK", side_by_side(ways))


if __name__ == "__main__":
    sys.exit(ended(main))
