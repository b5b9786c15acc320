"""Seconds per 1,000 inputs of int8 graphs: NumPy beside each runtime, in calls of 64 and of one.

First a net of lesson 12's layers, then each file of a folder: python3 lab.py bench graphs --files FOLDER
Every answer is compared before it is timed. Files of other makers are tried in a process of their own first, then run
in this one, without the time of the way there and back.
"""
import argparse
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from _measure import report, side_by_side

import xorlab
from xorlab import data, models, predictors, runtimes, sandbox, tflite_file
from xorlab.integer import IntegerGraph, IntegerMLP
from xorlab.integer.affine import Affine
from xorlab.integer.graph import End, Node
from xorlab.integer.operators import Conv2D, FullyConnected, MaxPool2D, Reshape
from xorlab.integer.write import content_of
from xorlab.streams import ended

FOLLOWS = {"reference": "reference", "builtin": "ruy", "xnnpack": "xnnpack", "tflm": "tflm"}
BATCH, INPUTS = 64, 256


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=Path, help="a folder of .tflite files")
    folder = parser.parse_args().files
    slowest = {}
    with TemporaryDirectory() as own:
        cnn = Path(own) / "cnn.tflite"
        cnn.write_bytes(content_of(lesson_12(), free=True))
        for path in (cnn, *(sorted(folder.rglob("*.tflite")) if folder else ())):
            try:
                slowest[path.stem] = _of_file(path)
            except ValueError as error:
                print(f"\n{error}")
    _sweep()
    print("\nNumPy's time in calls of 64, in times of LiteRT's reference kernels (below 1: NumPy is faster): "
          + ", ".join(f"{name} {ratio:.2f}" for name, ratio in slowest.items() if ratio))


def lesson_12() -> IntegerGraph:
    """Return a net of the layers of lesson 12's, with weights by chance."""
    rng = np.random.default_rng(0)

    def weighted(kind, shape, **more):
        products, line = np.prod(shape[1:]), Affine(0.05, -128)
        return kind(rng.integers(-90, 91, shape), rng.integers(-500, 500, shape[0]),
                    np.float32(rng.uniform(0.5, 2, shape[0]) / (50 * products**0.5)), line, line, "RELU", **more)

    line = Affine(0.05, -128)
    pool = MaxPool2D((2, 2), line, line, stride=(2, 2))
    ops = (weighted(Conv2D, (32, 3, 3, 1), padding="SAME"), pool,
           weighted(Conv2D, (64, 3, 3, 32), padding="SAME"), pool, Reshape((-1, 256), line, line),
           weighted(FullyConnected, (64, 256)), weighted(FullyConnected, (10, 64)))
    shapes, nodes = [(1, 8, 8, 1)], []
    for i, op in enumerate(ops):
        shapes.append(op.shape(shapes[-1]))
        nodes.append(Node(op, (i,), i + 1, f"t{i + 1}", shapes[-1]))
    return IntegerGraph(tuple(nodes), (End(0, "x", shapes[0], line),), (End(len(ops), "y", shapes[-1], line),))


def _of_file(path):
    """Print both tables of a file and return what times of the reference kernels' NumPy takes in calls of 64."""
    graph, file = IntegerGraph.from_tflite(path), tflite_file.read(path)
    rng = np.random.default_rng(0)
    x = [rng.integers(-128, 128, (INPUTS, *end.shape[1:])).astype(np.int8) if end.affine else
         rng.normal(size=(INPUTS, *end.shape[1:])).astype(np.float32) for end in graph.inputs]
    medians = {}
    for batch in (BATCH, 1):
        ways = {}
        for runtime, rule in FOLLOWS.items():
            ours = graph.under(rule)
            expected = ours.codes(x, batch=batch)
            theirs = _runner(path, file, graph, runtime, x, batch, expected)
            ways[f"NumPy, rule {rule}"] = lambda ours=ours, batch=batch: ours.codes(x, batch=batch)
            if theirs:
                ways[f"runtime {runtime}"] = theirs
        if batch == 1:
            ours = graph.under("reference")
            ways["NumPy, rule reference, asked for one at a time"] = lambda ours=ours: [
                ours.codes([one[i : i + 1] for one in x]) for i in range(INPUTS)]
        took = {name: seconds * 1000 / INPUTS for name, seconds in side_by_side(ways, rounds=3).items()}
        report(f"1,000 inputs of {path.name} in calls of {batch}", took, ours="NumPy, rule reference")
        medians[batch] = took
    of_64 = medians[BATCH]
    return of_64["NumPy, rule reference"] / of_64["runtime reference"] if "runtime reference" in of_64 else None


def _runner(path, file, graph, runtime, x, batch, expected):
    """Return a function that runs all inputs on a runtime; None if it cannot, or not in such calls."""
    ends = graph.outputs
    plan = runtimes.Plan(runtime, file.inputs, file.outputs, tuple((end.dtype.str, end.shape) for end in graph.inputs),
                         tuple(range(len(ends))), tuple(end.name for end in ends), 1)
    content = path.read_bytes()
    if runtime == "tflm" and batch > 1:
        return None                                     # it runs one at a time
    try:
        session = sandbox.opened(content, plan, path)   # a foreign file: is it safe to run here?
        with xorlab.quiet():
            model = runtimes.Model(content, replace(plan, batch=1 if batch == 1 else None), session.arena)
        calls = [[one[i : i + batch] for one in x] for i in range(0, INPUTS, batch)]

        def run():
            return [model.run(*call) for call in calls]
        made = run()
    except (ValueError, RuntimeError) as error:
        print(f"{path.name} does not run in calls of {batch} on {runtime}: {str(error).splitlines()[0]}")
        return None
    for position, ours in enumerate(expected if isinstance(expected, tuple) else (expected,)):
        theirs = np.concatenate([call[position] for call in made])
        assert np.array_equal(ours.reshape(theirs.shape), theirs), f"{path.name}: {runtime} differs"
    return run


def _sweep():
    q = data.int8_inputs()
    for name in models.reference_names():
        path = models.reference_file(name, "int8.tflite")
        ways = {}
        for runtime, rule in FOLLOWS.items():
            ways[f"NumPy, rule {rule}"] = IntegerMLP.from_tflite(path, rule).codes
            if runtime != "tflm":
                ways[f"runtime {runtime}"] = predictors.from_tflite(path, runtime).codes
        report(f"all 65,536 inputs of {name} in one call", side_by_side(
            {name: lambda codes=codes: codes(q) for name, codes in ways.items()}), ours="NumPy, rule reference")


if __name__ == "__main__":
    sys.exit(ended(main))
