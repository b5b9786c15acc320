"""Whole int8 graphs: every tensor as each runtime computes it; what goes in and comes out; what is refused.

Any folder of files: python -m pytest tests/test_graphs.py --files FOLDER
"""
import random
import re
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import random_operators_elementwise as elementwise
import tosa
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from graph_files import FOLLOWS, alone, answers, differing, made_by
from random_graphs import random_graph

import xorlab
from xorlab import export, models, tflite_file
from xorlab.integer import IntegerGraph
from xorlab.integer.affine import Affine
from xorlab.integer.graph import End, Node
from xorlab.integer.operators import Add, AveragePool2D, Conv2D, FullyConnected, Mean, Mul, Quantize, Sub
from xorlab.integer.read import READERS
from xorlab.integer.write import content_of
from xorlab.report import asked
from xorlab.runtimes import LITERT_KERNELS

EVERY_INPUT = 300                   # random inputs of each file
OPERATORS = sorted((Path(models.reference_file("relu-2-4-1", "int8.tflite")).parents[1] / "operators").glob("*.tflite"))


def pytest_generate_tests(metafunc):
    if "foreign" in metafunc.fixturenames:
        folder = metafunc.config.getoption("files")
        none = [pytest.param(None, id="none", marks=pytest.mark.skip(reason="no folder of files: --files names one"))]
        metafunc.parametrize("foreign", sorted(Path(folder).rglob("*.tflite")) if folder else none,
                             ids=lambda path: path.name)


def numbers(rng, graph, n) -> list[np.ndarray]:
    """Return n random samples for each input of a graph: codes, or float32 for the QUANTIZE that takes them."""
    made = []
    for end in graph.inputs:
        if end.affine:
            made.append(rng.integers(-128, 128, (n, *end.shape[1:])).astype(np.int8))
            continue
        (op,) = {node.operator for node in graph.nodes if end.tensor in node.inputs}
        made += [x[:, 0] for x in elementwise.numbers(rng, op, ((1, *end.shape[1:]),), n)]
    return made


# random graphs

def test_every_tensor_of_random_graphs_is_the_runtimes_own(pytestconfig):
    count, lively, names = pytestconfig.getoption("models"), [], set()
    for seed in range(count):
        graph, x = random_graph(np.random.default_rng(seed))
        names |= {node.operator.name for node in graph.nodes}
        samples = [one.reshape(-1, *one.shape[2:]) for one in x]
        for runtime, rule in FOLLOWS.items():
            assert differing(graph, x, runtime)[0] == 0, f"graph {seed} ({graph}): {rule} differs from {runtime}"
            # fused by a delegate, and by way of calls and samples, the outputs are the same
            out = graph.under(rule).codes(samples)
            for ours, theirs in zip(out if isinstance(out, tuple) else (out,),
                                    answers(content_of(graph), runtime, x), strict=True):
                assert np.array_equal(ours.reshape(theirs.shape), theirs), f"graph {seed}: outputs of {runtime}"
        lively += [len(np.unique(made)) > 20 or made.size < 80 for made in made_by(graph, x)]
    assert np.mean(lively) > 0.8, "too many tensors hold nearly nothing but one code"
    assert names >= set(READERS) or count < 40


def test_another_runtimes_rule_is_seen_to_be_wrong_on_random_graphs():
    graphs = [random_graph(np.random.default_rng(seed)) for seed in range(8)]
    for runtime, rule in FOLLOWS.items():
        for other in set(FOLLOWS.values()) - {rule}:
            assert any(differing(graph, x, runtime, other)[0] for graph, x in graphs), (runtime, other)


# files of the converter

def lesson_12():
    import keras
    from keras import layers

    return keras.Sequential([
        keras.Input((8, 8, 1)), layers.Conv2D(32, 3, activation="relu", padding="same"), layers.MaxPooling2D(),
        layers.Conv2D(64, 3, activation="relu", padding="same"), layers.MaxPooling2D(), layers.Flatten(),
        layers.Dense(64, activation="relu"), layers.Dense(10)])


def residual():
    import keras
    from keras import layers

    x = entry = keras.Input((11, 12, 3))
    x = layers.ZeroPadding2D(((0, 1), (0, 0)))(x)
    x = layers.ReLU(6.0)(layers.Conv2D(8, 3, strides=2)(x))
    y = layers.LeakyReLU(0.1)(layers.DepthwiseConv2D(3, padding="same")(x))
    x = layers.Add()([x, layers.Conv2D(8, 1)(y)])
    x = layers.Concatenate()([x, layers.Activation("hard_silu")(layers.SeparableConv2D(4, 3, padding="same")(x))])
    x = layers.Multiply()([x, layers.Conv2D(12, 1, activation="sigmoid")(
        layers.GlobalAveragePooling2D(keepdims=True)(x))])
    x = layers.AveragePooling2D(2)(x)
    return keras.Model(entry, layers.Dense(5, activation="softmax")(layers.Flatten()(x)))


@pytest.fixture(scope="module", params=[lesson_12, residual], ids=lambda make: make.__name__)
def converted(request, tmp_path_factory):
    """Return (the path of an int8 file, 30 inputs of it)."""
    import keras

    folder = tmp_path_factory.mktemp("converted")
    with xorlab.quiet():
        keras.utils.set_random_seed(0)
        net = request.param()
        net.export(folder / "saved", verbose=False)
    x = np.random.default_rng(0).random((60, *net.input_shape[1:]), dtype=np.float32)
    path = export.to_tflite(folder / "saved", folder / "net.tflite", "int8", x)
    return path, IntegerGraph.from_tflite(path).inputs[0].affine.quantize(x[:30])


def test_a_converted_net_is_its_runtimes_tensor_by_tensor(converted):
    path, q = converted
    for runtime, batch in (("reference", 1), ("builtin", 1), ("builtin", 30)):
        with xorlab.quiet():
            interpreter = Interpreter(str(path), num_threads=1, experimental_preserve_all_tensors=True,
                                      experimental_op_resolver_type=OpResolverType[LITERT_KERNELS[runtime]])
            entry = interpreter.get_input_details()[0]["index"]
            interpreter.resize_tensor_input(entry, (batch, *q.shape[1:]))
            interpreter.allocate_tensors()
        graph = IntegerGraph.from_tflite(path, FOLLOWS[runtime])
        steps, varied = graph.trace(q, batch=batch), 0
        for start in range(0, len(q), batch):
            interpreter.set_tensor(entry, q[start : start + batch])
            interpreter.invoke()
            for node, step in zip(graph.nodes, steps, strict=True):
                theirs, ours = interpreter.get_tensor(node.output), step.codes[start : start + batch]
                assert np.array_equal(ours.reshape(theirs.shape), theirs), (runtime, batch, step.name)
                varied += len(np.unique(theirs)) > min(4, theirs.size // 4)
        assert varied > 0.8 * len(graph.nodes) * len(q) / batch


@pytest.mark.parametrize("runtime", FOLLOWS)
def test_a_converted_nets_outputs_are_each_runtimes(converted, runtime):
    path, q = converted
    graph = IntegerGraph.from_tflite(path, FOLLOWS[runtime])
    for batch in (1,) if runtime == "tflm" else (1, 7):
        calls = [q[start : start + batch] for start in range(0, len(q), batch)]
        theirs = np.concatenate([answers(path.read_bytes(), runtime, [call[None]])[0][0] for call in calls])
        ours = graph.codes(q, batch=batch)
        assert np.array_equal(ours, theirs.reshape(ours.shape)) and len(np.unique(theirs)) > 8


@pytest.mark.skipif(not tosa.PYTHON, reason=tosa.MISSING)
def test_the_rule_tflm_is_arms_reference_model_on_a_converted_net(converted):
    path, q = converted
    (theirs,) = tosa.outputs(path.read_bytes(), q)
    ours = IntegerGraph.from_tflite(path, "tflm").codes(q)
    assert np.array_equal(ours, theirs.reshape(ours.shape))


def test_every_file_of_a_folder_follows_its_rules_or_is_refused_by_name(foreign, capsys):
    graph = tflite_file.read(foreign)
    try:
        ours = IntegerGraph.from_tflite(foreign)
    except ValueError as error:
        with capsys.disabled():
            print(f"\n{error}")
        assert str(foreign) in str(error) and any(op.name in str(error) for op in graph.operators)
        return
    x, ran = numbers(np.random.default_rng(0), ours, EVERY_INPUT * ours.inputs[0].shape[0]), []
    for runtime, rule in FOLLOWS.items():
        calls = tuple(one.reshape(-1, *end.shape) for one, end in zip(x, ours.inputs, strict=True))
        answer = asked.ask(asked.File.read(foreign), runtime, calls)
        if answer.outputs is None:
            with capsys.disabled():
                print(f"\n{answer.reason}")
            continue
        made = ours.under(rule).codes(x)
        for a, b in zip(made if isinstance(made, tuple) else (made,), answer.outputs, strict=True):
            differ = int((a.reshape(b.shape) != b).sum())
            assert differ == 0, f"{rule} differs from {runtime} in {differ:,} of {b.size:,} codes"
        ran.append(f"{runtime} {sum(out.size for out in answer.outputs):,}")
    with capsys.disabled():
        print(f"\n{foreign.name}: {', '.join(ran)} codes equal")
    assert ran


# what goes in and comes out

LINE = Affine(0.5, -3)


def meeting() -> IntegerGraph:
    """Return a graph of two inputs, (2, 3) and (2, 1) in a call of two, and three outputs."""
    lines = LINE, Affine(0.25, 7), Affine(1.0, 0)
    ends = [End(i, name, shape, line) for i, name, shape, line in (
        (0, "wide", (2, 3), lines[0]), (1, "narrow", (2, 1), lines[1]))]
    nodes = [Node(kind(lines[0], lines[1], lines[2]), (0, 1), 2 + i, name, (2, 3))
             for i, (kind, name) in enumerate(((Add, "sum"), (Sub, "rest"), (Mul, "product")))]
    return IntegerGraph(tuple(nodes), tuple(ends), tuple(End(2 + i, f"out {i}", (2, 3), lines[2]) for i in range(3)))


def test_calls_whose_output_has_no_row_for_each_sample_cannot_end_in_a_shorter_one():
    layer = FullyConnected(np.ones((3, 4), int), np.zeros(3, int), np.float32([0.1]), LINE, LINE)
    graph, q = alone(layer, (1, 2, 2, 2)), np.zeros((6, 2, 2, 2), np.int8)
    assert [graph.codes(q, batch=n).shape for n in (None, 3)] == [(6, 2, 3), (2, 6, 3)]
    with pytest.raises(ValueError, match="a batch that divides the number of samples"):
        graph.codes(q, batch=4)


def test_inputs_go_by_order_or_name_and_several_outputs_are_a_tuple():
    graph, rng = meeting(), np.random.default_rng(0)
    wide, narrow = rng.integers(-128, 128, (6, 3)).astype(np.int8), rng.integers(-128, 128, (6, 1)).astype(np.int8)
    made = graph.codes([wide, narrow])
    assert isinstance(made, tuple) and [out.shape for out in made] == [(6, 3)] * 3
    for same in ((wide, narrow), {"narrow": narrow, "wide": wide}):
        assert all(np.array_equal(a, b) for a, b in zip(graph.codes(same), made, strict=True))
    for out, step, sign in zip(made[:2], graph.trace([wide, narrow]), (1, -1), strict=False):
        real = LINE.dequantize(wide) + sign * Affine(0.25, 7).dequantize(narrow)
        assert np.abs(np.clip(real, -128, 127) - out).max() <= 1 and np.array_equal(step.codes, out)


def test_a_call_has_the_files_batch_or_what_is_asked_for_and_the_last_may_have_fewer():
    """The built-in QUANTIZE rounds ties in the last 16ths of a call another way, so answers tell calls apart."""
    op = Quantize(Affine(1.0, 0), Affine(4.0, 0))
    graph = alone(op, (1, 5)).under("ruy")
    q = np.random.default_rng(0).integers(-128, 128, (11, 5)).astype(np.int8)
    content, made = content_of(graph, free=True), {}
    for batch in (1, 4, 7, 11, 30):
        calls = [q[start : start + batch] for start in range(0, 11, batch)]
        theirs = np.concatenate([answers(content, "builtin", [call[None]])[0][0] for call in calls])
        assert np.array_equal(graph.codes(q, batch=batch), theirs)
        made[batch] = theirs.tobytes()
    assert graph.codes(q).tobytes() == made[1] and len(set(made.values())) == 4
    assert alone(op, (4, 5)).under("ruy").codes(q).tobytes() == made[4][:40] + alone(op, (4, 5)).under("ruy").codes(
        np.concatenate([q[8:], q[-1:]]))[:3].tobytes()          # as the file was made: a full call, the rest dropped


@pytest.mark.parametrize("q, batch, says", [
    (np.zeros((4, 3), np.int8), None, "2 inputs, wide (2, 3) and narrow (2, 1); got 4 arrays"),
    ([np.zeros((4, 3), np.int8)], None, "got 1 arrays"),
    ({"wide": np.zeros((4, 3), np.int8)}, None, "the inputs are wide, narrow; got wide"),
    ([np.zeros((4, 3)), np.zeros((4, 1), np.int8)], None, "input wide takes int8 of shape (n, 3), got float64"),
    ([np.zeros((4, 2), np.int8), np.zeros((4, 1), np.int8)], None, "of shape (4, 2)"),
    ([np.zeros((0, 3), np.int8), np.zeros((0, 1), np.int8)], None, "of shape (0, 3)"),
    ([np.zeros((4, 3), np.int8), np.zeros((6, 1), np.int8)], None, "samples for equally many calls"),
    ([np.zeros((4, 3), np.int8), np.zeros((4, 1), np.int8)], 0, "batch must be a whole number from 1"),
    ([np.zeros((4, 3), np.int8), np.zeros((4, 1), np.int8)], 1.5, "batch must be a whole number from 1"),
    ([np.zeros((4, 3), np.int8), np.zeros((4, 1), np.int8)], True, "batch must be a whole number from 1")])
def test_what_a_graph_cannot_take_is_refused_in_a_sentence(q, batch, says):
    for call in (meeting().codes, meeting().trace):
        with pytest.raises(ValueError, match=re.escape(says)) as error:
            call(q, batch=batch)
        assert "\n" not in str(error.value)


def test_where_an_operator_has_no_answer_the_file_and_the_tensor_are_named():
    path = models.reference_file("relu-2-4-1", "int8.tflite")
    graph = IntegerGraph.from_tflite(path)
    dense = next(node for node in graph.nodes if isinstance(node.operator, FullyConnected))
    heavy = replace(dense.operator, biases=np.full_like(dense.operator.biases, 2**31 - 1))
    graph = replace(graph, nodes=[replace(node, operator=heavy) if node is dense else node for node in graph.nodes])
    for call in (graph.codes, graph.trace):
        with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: tensor {re.escape(dense.name)}: .* 32 bits"):
            call(np.full((1, 2), 127, np.int8))


def test_thousands_of_pictures_need_the_memory_of_a_few():
    rng, line = np.random.default_rng(0), Affine(0.02, 0)
    conv = Conv2D(rng.integers(-50, 51, (16, 3, 3, 3)), rng.integers(-99, 99, 16), np.float32([0.02]), line, line,
                  padding="SAME")
    shapes = (1, 48, 48, 3), (1, 48, 48, 16), (1, 24, 24, 16), (1, 16)
    ops = conv, AveragePool2D((2, 2), line, line, stride=(2, 2)), Mean((1, 2), False, line, line)
    graph = IntegerGraph(
        tuple(Node(op, (i,), i + 1, f"t{i}", shape) for i, (op, shape) in enumerate(zip(ops, shapes[1:], strict=True))),
        (End(0, "x", shapes[0], line),), (End(3, "y", shapes[3], line),))
    q = rng.integers(-128, 128, (2000, *shapes[0][1:])).astype(np.int8)
    tracemalloc.start()
    made = graph.codes(q)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert made.shape == (2000, 16) and peak < 40e6         # of the first tensor alone there are 74e6 codes
    assert np.array_equal(made[-3:], graph.codes(q[-3:]))


# damaged files

OPTIONS = {"keepDims", "keepNumDims", "alpha", "beta", "newShape", "padding", "fusedActivationFunction",
           "weightsFormat", "strideH", "strideW", "filterHeight", "filterWidth", "dilationHFactor", "dilationWFactor",
           "axis", "depthMultiplier"}


def odd(rng):
    return rng.choice([0, -1, 1, 3, 1000, 2**31 - 1, -(2**31)])


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Return a file that is sound to look at, and one thing in it is not: an index, a shape, an option, a scale."""
    model = tflite_file.unpacked(content)
    graph = model.subgraphs[0]
    op, tensor = rng.choice(graph.operators), rng.choice(graph.tensors)
    kind = rng.randrange(9)
    options = sorted(set(vars(op.builtinOptions)) & OPTIONS) if op.builtinOptions is not None else []
    if kind == 0 and options:
        name = rng.choice(options)
        setattr(op.builtinOptions, name, {
            "keepDims": rng.choice([False, True]), "keepNumDims": rng.choice([False, True]),
            "alpha": (real := rng.choice([float("nan"), float("inf"), 0.0, -1.0, 1e30])), "beta": real,
            "newShape": np.int32([odd(rng), odd(rng)]), "padding": (few := rng.choice([0, 1, 2, 3, 4, 100])),
            "fusedActivationFunction": few, "weightsFormat": few}.get(name, odd(rng)))
    elif kind == 1:
        op.builtinOptions, op.builtinOptionsType = None, 0
    elif kind == 2:
        where, name = rng.choice([op, graph]), rng.choice(["inputs", "outputs"])
        ends = np.array(getattr(where, name))
        ends[rng.randrange(len(ends))] = rng.choice([-1, 0, len(graph.tensors) - 1, 99, -7])
        setattr(where, name, ends)
    elif kind == 3:
        setattr(rng.choice([op, graph]), rng.choice(["inputs", "outputs"]), np.int32([]))
    elif kind == 4 and len(tensor.shape):
        tensor.shape = np.array(tensor.shape)
        tensor.shape[rng.randrange(len(tensor.shape))] = odd(rng)
    elif kind == 5:
        tensor.shape = np.int32(rng.choice([[], [0], [1], [2, 2], [1] * 5, [-1, 2]]))
    elif kind == 6 and tensor.quantization is not None and tensor.quantization.scale is not None:
        scales = rng.choice([[], [0.0], [-1.0], [float("nan")], [float("inf")], [1e-38], [1e38], [1.0, 1.0]])
        tensor.quantization.scale = np.float32(scales)
        tensor.quantization.zeroPoint = np.int64([rng.choice([0, 127, 128, 2**40])] * rng.choice([0, 1, len(scales)]))
    elif kind == 7:
        tensor.type = rng.choice([0, 2, 3, 7, 9])
    elif tensor.buffer:                                     # weights, biases, axes, margins, a shape
        values = rng.choice([np.int32([odd(rng)] * 4), np.int32([])])
        model.buffers[tensor.buffer].data = np.frombuffer(values.tobytes(), np.uint8)
    return tflite_file.packed(model)


def test_a_damaged_operator_never_ends_in_anything_but_a_sentence(pytestconfig, tmp_path):
    rng, path, read, ran = random.Random(0), tmp_path / "damaged.tflite", 0, 0
    contents = [file.read_bytes() for file in OPERATORS]
    tries = pytestconfig.getoption("tries")
    for _ in range(tries):
        path.write_bytes(damaged(rng.choice(contents), rng))
        try:
            graph = IntegerGraph.from_tflite(path)
            read += 1
            if sum(np.prod(one.shape, dtype=float) for one in (*graph.inputs, *graph.nodes)) > 1e6:
                continue
            x = numbers(np.random.default_rng(0), graph, graph.inputs[0].shape[0])
            graph.under(rng.choice(list(FOLLOWS.values()))).codes(x)
            ran += 1
        except ValueError as error:
            assert "\n" not in str(error), error
    assert 0.1 * tries < ran <= read < 0.8 * tries
