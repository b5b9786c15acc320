"""Operators that look at windows or move codes: every runtime gives the codes of its rule, and no other candidate's.

A candidate is another way to do the same: another rule's kernel, or one with a part exchanged. Chance seldom finds
where two of them part, so models are computed on which they do, and then runtimes are asked.
"""
import itertools
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cached_property, partial

import hunting
import numpy as np
import pytest
from graph_files import FOLLOWS, alone, answers, made_by
from random_operators import STYLES, WINDOWS_AND_MOVES, codes

from xorlab import tflite_file
from xorlab.integer import IntegerGraph
from xorlab.integer.affine import Affine
from xorlab.integer.fixed_point import round_half_away
from xorlab.integer.kernels import moves, pools
from xorlab.integer.kernels.scaling import AWAY, ONCE, REAL, UP, highest_away, highest_even
from xorlab.integer.kernels.weighted import WeightedKernel, everywhere
from xorlab.integer.operators import (
    AveragePool2D,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    MaxPool2D,
    Mean,
    Operator,
    Pad,
    Reshape,
    Weighted,
)
from xorlab.integer.rules import RULES
from xorlab.integer.write import content_of

CLASSES = {kind.name: kind for kind in (
    FullyConnected, Conv2D, DepthwiseConv2D, AveragePool2D, MaxPool2D, Mean, Pad, Reshape, Concatenation)}
HIGHEST = {"cut away": highest_away, "cut even": highest_even}


def kernel(rule, kind):
    return RULES[rule].kernels[kind]


def of_weighted(kind, **more):
    """Return {name: kernel}: the roundings of every rule and more, with the factors and the cut of every rule."""
    roundings = {kernel(name, kind).roundings: f"rounded as {name}" for name in RULES}
    roundings |= {everywhere(rounding): f"rounded {name}" for name, rounding in more.items()}
    factors = {kernel(name, kind).factors: f"factors of {name}" for name in RULES}
    return {", ".join((roundings[r], factors[f], cut)): WeightedKernel(f, r, highest)
            for r, f, (cut, highest) in itertools.product(roundings, factors, HIGHEST.items())}


def average(op, x, centred=False, whole=False, highest=highest_away):
    """centred : ties go away from the zero point, not from code 0.  whole : what is outside counts, as code 0."""
    zero = op.input.zero_point if centred else 0
    sums, inside = (pools._over_windows(np.add, op, part, 0) for part in (
        x.astype(np.int32) - zero, np.ones((1, 1, *x.shape[2:4], 1), np.int32)))
    made = round_half_away(sums / (np.prod(op.window) if whole else inside)) + zero
    return np.clip(made, op.lowest, highest(op.output, op.ceiling)).astype(np.int8)


def zeros_outside(op, x):
    made = pools._over_windows(np.maximum, op, x, op.input.zero_point)
    return np.clip(made, op.lowest, highest_away(op.output, op.ceiling)).astype(np.int8)


def cut_max(op, x, highest):
    made = pools.max_pool(replace(op, activation="NONE"), x)
    return np.clip(made, op.lowest, highest(op.output, op.ceiling))


class AllInVectors(pools.BuiltinMean):
    def in_vectors(self, channels):
        return np.ones(channels, bool)


class NoneInVectors(pools.BuiltinMean):
    def in_vectors(self, channels):
        return np.zeros(channels, bool)


class VectorsOf8(pools.BuiltinMean):
    def in_vectors(self, channels):
        return np.arange(channels) < channels - channels % 8


class DividedLast(pools.BuiltinMean):
    def factor(self, op, n):
        return np.float32(op.input.scale) / np.float32(op.output.scale) / np.float32(n)


def flat_mean(op, x, rounding):
    """A mean whose factor is divided by the number of codes in float64."""
    sums, n = pools._sums(op, x)
    factor = np.float64(op.input.scale) / np.float64(op.output.scale) / n
    steps = rounding.steps(sums - n * op.input.zero_point, [factor])
    return np.clip(steps + op.output.zero_point, -128, 127).astype(np.int8)


def filled(op, x, code):
    return np.pad(x, ((0, 0), *op.margins), constant_values=code)


def transposed(op, x):
    return x.swapaxes(1, -1).reshape(len(x), *op.shape(x.shape[1:]))


def last_first(op, *x):
    return moves.concatenation(op, *x[::-1])


CANDIDATES = {
    FullyConnected: of_weighted(FullyConnected),
    Conv2D: of_weighted(Conv2D, real=REAL),
    DepthwiseConv2D: of_weighted(DepthwiseConv2D, up=UP, once=ONCE, real=REAL),
    AveragePool2D: {"centred": partial(average, centred=True), "whole window": partial(average, whole=True),
                    "cut even": partial(average, highest=highest_even)},
    MaxPool2D: {"of tflm": kernel("tflm", MaxPool2D), "of xnnpack": kernel("xnnpack", MaxPool2D),
                "cut even": partial(cut_max, highest=highest_even), "zeros outside": zeros_outside},
    Mean: {"of tflm": kernel("tflm", Mean), "of ruy": kernel("ruy", Mean), "of xnnpack": kernel("xnnpack", Mean),
           "of 2 threads": pools.BuiltinMean(2), "all in vectors": AllInVectors(), "none in vectors": NoneInVectors(),
           "vectors of 8": VectorsOf8(), "divided last": DividedLast(),
           "flat, away": partial(flat_mean, rounding=AWAY), "flat, up": partial(flat_mean, rounding=UP),
           "flat, real": partial(flat_mean, rounding=REAL)},
    Pad: {"with code 0": partial(filled, code=0), "with code -128": partial(filled, code=-128)},
    Reshape: {"transposed": transposed},
    Concatenation: {"last first": last_first},
}


@dataclass(frozen=True)
class Question:
    """An operator, and codes (calls, *shape of a call) to feed it."""
    op: Operator
    arrays: list

    @property
    def graph(self):
        return alone(self.op, *(x.shape[1:] for x in self.arrays))

    @cached_property
    def content(self):
        return content_of(self.graph)

    @cached_property
    def sums(self):
        return kernel("tflm", type(self.op)).accumulate(self.op, *self.arrays)

    def answer(self, kernel):
        """Return what a kernel makes of it."""
        weighted = isinstance(self.op, Weighted)
        return kernel.requantize(self.op, self.sums) if weighted else kernel(self.op, *self.arrays)

    def asked(self, runtime, **how):
        """Return what a runtime makes of it."""
        return answers(self.content, runtime, self.arrays, **how)[0].reshape(-1, *self.graph.nodes[0].shape)


def question(rng, name, style, calls=3, **how):
    op, shapes = WINDOWS_AND_MOVES[name](rng, style, **how)
    return Question(op, codes(rng, calls, *shapes))


def others(rule, kind):
    """Return {name: kernel} of the candidates that are not the rule's own."""
    return {name: made for name, made in CANDIDATES[kind].items() if made != kernel(rule, kind)}


def hunted(rng, name, each):
    """Return questions on which each rule parts from each other candidate, `each` times."""
    kind = CLASSES[name]
    rules = {f"rule {rule}": kernel(rule, kind) for rule in FOLLOWS.values()}
    pairs = [(f"rule {rule}", other) for rule in FOLLOWS.values() for other in others(rule, kind)]
    calls = 20 if kind is Mean else 3                   # few sums are nearly ties of a factor's last bit
    questions = (question(rng, name, "ties", calls) for _ in itertools.count())
    return hunting.hunted(questions, rules | CANDIDATES[kind], each, lambda made, it: it.answer(made), pairs)


@pytest.mark.parametrize("name", CLASSES)
def test_every_runtime_follows_its_rule_where_any_candidate_parts_from_it(name, pytestconfig):
    """Random models, models with many ties, and models on which a candidate parts from the rule."""
    rng, kind = np.random.default_rng(0), CLASSES[name]
    questions = hunted(rng, name, 2)
    questions += [question(rng, name, style) for style in STYLES for _ in range(pytestconfig.getoption("models"))]
    for runtime, rule in FOLLOWS.items():
        left = others(rule, kind)
        for it in questions:
            theirs = it.asked(runtime)
            differ = int((it.answer(kernel(rule, kind)) != theirs).sum())
            assert not differ, f"{differ} of {theirs.size} codes of {runtime} differ: {it.op}"
            left = {candidate: made for candidate, made in left.items() if (it.answer(made) == theirs).all()}
        assert not left, f"{runtime} never refuted {', '.join(left)}"


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_only_the_built_in_mean_depends_on_the_number_of_threads(threads):
    rng, differ = np.random.default_rng(threads), 0
    for channels in (15, 16, 17, 31, 32, 33, 48, 57, 100):
        it = question(rng, "MEAN", "ties", shape=(2, 2, 4, channels))
        it = replace(it, op=replace(it.op, axes=(1, 2), keep_dims=True))
        theirs = it.asked("builtin", threads=threads)
        assert (it.answer(pools.BuiltinMean(threads)) == theirs).all(), (channels, it.op)
        differ += int((it.answer(pools.BuiltinMean()) != theirs).sum())
    assert differ, "one thread would have answered the same"
    for name, kind in CLASSES.items():
        for runtime in ("reference", "builtin", "xnnpack"):
            it = question(rng, name, "ties")
            if (runtime, name) != ("builtin", "MEAN"):
                assert (it.answer(kernel(FOLLOWS[runtime], kind)) == it.asked(runtime, threads=threads)).all(), it.op


@pytest.mark.parametrize("kind", [FullyConnected, Conv2D, DepthwiseConv2D], ids=lambda kind: kind.name)
def test_xnnpack_leaves_what_has_biases_without_a_scale_to_the_built_in_kernels(kind, tmp_path):
    rng, told, file = np.random.default_rng(0), 0, tmp_path / "file.tflite"
    for style in STYLES * 20:
        it = question(rng, kind.name, style, calls=6)
        if it.op.units == 1:        # runtimes refuse a layer's one weight scale beside biases without any
            continue
        scales = np.resize(it.op.weight_scales, it.op.units)
        op = replace(it.op, biases=it.op.biases + 1, weight_scales=scales, described=False)
        graph = alone(op, *(x.shape[1:] for x in it.arrays))
        file.write_bytes(content_of(graph))
        assert IntegerGraph.from_tflite(file).nodes[0].operator.described is False
        for runtime, rule in FOLLOWS.items():
            (theirs,), (ours,) = answers(content_of(graph), runtime, it.arrays), made_by(graph, it.arrays, rule)
            assert np.array_equal(ours.reshape(theirs.shape), theirs), (runtime, op)
        told += int((kernel("xnnpack", kind)(op, *it.arrays).reshape(theirs.shape) != theirs).sum())
    assert told > 0                                     # else it would not matter who computes


@pytest.mark.parametrize("kind, axis", [(Conv2D, 3), (DepthwiseConv2D, 1)], ids=["CONV_2D", "DEPTHWISE_CONV_2D"])
def test_xnnpack_leaves_weight_scales_along_another_axis_to_the_built_in_kernels(kind, axis, tmp_path):
    rng, line, file = np.random.default_rng(0), Affine(0.05, -3), tmp_path / "file.tflite"
    shape = (6, 3, 3, 6) if kind is Conv2D else (6, 3, 6)
    op = kind(rng.integers(-127, 128, shape), rng.integers(-999, 999, 6), np.float32(rng.uniform(0.001, 0.01, 6)),
              line, Affine(0.4, 5), padding="SAME")
    x = codes(rng, 100, (1, 9, 8, 6))
    model = tflite_file.unpacked(content_of(alone(op, (1, 9, 8, 6))))
    model.subgraphs[0].tensors[model.subgraphs[0].operators[0].inputs[1]].quantization.quantizedDimension = axis
    file.write_bytes(tflite_file.packed(model))
    graph = IntegerGraph.from_tflite(file)
    for runtime, rule in FOLLOWS.items():
        (theirs,), (ours,) = answers(file.read_bytes(), runtime, x), made_by(graph, x, rule)
        assert np.array_equal(ours, theirs), runtime
    assert (kernel("xnnpack", kind)(op, *x) != theirs).any()        # the last asked is XNNPACK


def test_the_scales_of_units_are_written_along_the_units_axis():
    weights, line = np.ones((1, 1, 2), np.int64), Affine(1.0, 0)
    op = DepthwiseConv2D(weights, np.zeros(2, np.int64), np.float32([1, 2]), line, line)
    file = tflite_file.graph_of(content_of(alone(op, (1, 3, 3, 2))), "made")
    assert file.tensors[file.operators[0].inputs[1]].axis == 3


@pytest.mark.parametrize("name", CLASSES)
def test_the_built_in_kernels_answer_alike_in_calls_of_any_size(name, tmp_path):
    """Only under single does a call's size matter, and only to products of matrices; see the next test."""
    rng, file = np.random.default_rng(1), tmp_path / "file.tflite"
    for style in STYLES * 4:
        it = question(rng, name, style, calls=6)
        one = Question(it.op, [x[:, :1] for x in it.arrays])
        if name == "RESHAPE":                               # its target names the samples of a call
            one = replace(one, op=replace(it.op, target=(-1, *one.op.shape(it.arrays[0].shape[1:])[1:])))
        file.write_bytes(content_of(one.graph, free=True))
        net = IntegerGraph.from_tflite(file, "ruy")
        rows = [x[:, 0] for x in one.arrays]
        made = {}
        for n in (1, 3):
            made[n] = net.codes(rows, batch=n).ravel()
            theirs = answers(file.read_bytes(), "builtin", [x.reshape(-1, n, *x.shape[1:]) for x in rows])[0]
            assert (made[n] == theirs.ravel()).all(), (n, it.op)
        assert (made[1] == made[3]).all()


def test_a_product_of_matrices_on_ruys_portable_path_depends_on_the_size_of_the_call(tmp_path):
    """RUY_PATHS=1 is read when a process starts. One output pixel is one column, which ruy is not given."""
    rng = np.random.default_rng(2)
    wide = partial(question, rng, "CONV_2D", "ties", calls=12)
    questions = [wide(shape=(1, 3, 3, 4), units=6) for _ in range(60)]          # some see all at once, most do not
    questions += [wide(shape=(1, 1, 1, 40), units=5) for _ in range(30)]
    questions += [wide(shape=(1, 1, 1, 7), units=5) for _ in range(20)]
    questions += [wide(shape=(1, 1, 1, 40), units=3) for _ in range(20)]
    questions += [question(rng, "FULLY_CONNECTED", "ties", calls=12, shape=(1, 30), units=units)
                  for units in (3, 4, 5) for _ in range(20)]
    questions += [question(rng, name, "ties", calls=12) for name in CLASSES for _ in range(5)]
    asked = [(content_of(it.graph, free=True), [x.reshape(-1, n * x.shape[1], *x.shape[2:]) for x in it.arrays])
             for it in questions for n in ((1, 4) if isinstance(it.op, Conv2D | FullyConnected) else (1,))]
    (tmp_path / "asked").write_bytes(pickle.dumps(asked))
    code = """
import pickle
from pathlib import Path
from graph_files import answers
asked = pickle.loads(Path("asked").read_bytes())
Path("answered").write_bytes(pickle.dumps([answers(content, "builtin", arrays)[0] for content, arrays in asked]))
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=os.environ | {
        "RUY_PATHS": "1", "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])})
    answered = iter(pickle.loads((tmp_path / "answered").read_bytes()))
    parted = dict.fromkeys(("another rule", "calls of another size"), 0)
    for it in questions:
        sizes = (1, 4) if isinstance(it.op, Conv2D | FullyConnected) else (1,)
        arrays = {n: [x.reshape(-1, n * x.shape[1], *x.shape[2:]) for x in it.arrays] for n in sizes}
        for n in sizes:
            theirs = next(answered)
            made = {rule: kernel(rule, type(it.op))(it.op, *arrays[n]) for rule in ("single", "ruy")}
            assert (made["single"] == theirs).all(), (n, it.op)
            parted["another rule"] += int((made["ruy"] != theirs).sum())
            other = kernel("single", type(it.op))(it.op, *arrays[sizes[-1] if n == 1 else 1])
            parted["calls of another size"] += int((other.reshape(theirs.shape) != theirs).sum())
    assert min(parted.values()) > 20, parted


@pytest.mark.parametrize("shape, axes, neighbours", [
    ((1, 20_000), (1,), True), ((1, 70, 6, 36), (1, 2, 3), True), ((1, 9000, 1), (1,), False),
    ((1, 3000, 1, 4), (1, 3), False), ((1, 100, 90, 2), (1, 2), False)])
def test_means_over_many_neighbours_that_xnnpack_adds_in_16_bits_are_refused(shape, axes, neighbours):
    """On a processor with AVX2 the sums of these codes wrap around in XNNPACK; sums of codes of both signs do not."""
    rng = np.random.default_rng(7)
    op = Mean(axes, True, Affine(0.5, 3), Affine(0.02, -3))
    mixed, flat = Question(op, codes(rng, 1, shape)), Question(op, [np.full((1, *shape), 127, np.int8)])
    for it in [mixed] if neighbours else [mixed, flat]:
        for runtime, rule in FOLLOWS.items():
            assert (it.answer(kernel(rule, Mean)) == it.asked(runtime)).all(), runtime
    if neighbours:
        with pytest.raises(ValueError, match="AVX2 XNNPACK adds them in 16 bits, which wrap around"):
            flat.answer(kernel("xnnpack", Mean))


def test_xnnpack_leaves_a_max_pool_with_a_stride_beyond_its_window():
    """It cuts at 6 / 4 + 1 = 2.5, rounded to 2; the built-in kernels, which have what it leaves, to 1 + 2."""
    rng, line, seen = np.random.default_rng(9), Affine(4.0, 1), set()
    for *window, down, across in itertools.product((1, 2), (1, 2), (1, 2, 3), (1, 2, 3)):
        it = Question(MaxPool2D(tuple(window), line, line, "RELU6", stride=(down, across)),
                      codes(rng, 2, (1, 5, 5, 3)))
        theirs = it.asked("xnnpack")
        assert (it.answer(kernel("xnnpack", MaxPool2D)) == theirs).all(), it.op
        seen.add(int(theirs.max()))
    assert seen == {2, 3}


SOURCE, TARGET = Affine(0.5, -3), Affine(0.25, 4)


@pytest.mark.parametrize("op, refusing", [
    (AveragePool2D((2, 2), SOURCE, TARGET), {"tflm"}),
    (MaxPool2D((2, 2), SOURCE, TARGET), {"tflm", "xnnpack"}),
    (Pad(((0, 0), (1, 1), (0, 2), (0, 0)), SOURCE, TARGET), {"xnnpack"}),
    (Reshape((1, -1), SOURCE, TARGET), set()),
], ids=lambda it: getattr(it, "name", ""))
def test_between_unequal_lines_codes_are_copied_or_the_file_is_refused(op, refusing):
    it = Question(op, codes(np.random.default_rng(3), 4, (1, 4, 3, 5)))
    for runtime, rule in FOLLOWS.items():
        if runtime in refusing:
            with pytest.raises((RuntimeError, ValueError)):
                it.asked(runtime)
        else:
            assert (it.answer(kernel(rule, type(op))) == it.asked(runtime)).all(), runtime


@pytest.mark.parametrize("part, value, taking, says", [
    ("output", TARGET, set(), "no runtime brings codes of"),
    ("activation", "RELU", {"xnnpack"}, "no runtime fuses RELU"),       # and XNNPACK ignores it
])
def test_a_concatenation_that_computes_is_refused_as_runtimes_refuse_it(part, value, taking, says):
    op = Concatenation(3, (SOURCE, SOURCE), SOURCE)
    with pytest.raises(ValueError, match=says):
        replace(op, **{part: value})
    it = Question(op, codes(np.random.default_rng(8), 2, (1, 2, 3, 4), (1, 2, 3, 2)))
    expected = it.answer(moves.concatenation)
    object.__setattr__(op, part, value)                 # runtimes are given what we refuse
    for runtime in FOLLOWS:
        if runtime in taking:
            assert (it.asked(runtime) == expected).all()
        else:
            with pytest.raises(RuntimeError):
                it.asked(runtime)


@pytest.mark.parametrize("bias, running", [("none", {"tflm"}), ("-1", {"tflm"}), ("tensor", set(FOLLOWS))])
def test_a_convolution_without_a_bias_is_tflite_micros_alone(bias, running):
    op, shapes = WINDOWS_AND_MOVES["CONV_2D"](np.random.default_rng(4), "random")
    it = Question(replace(op, biases=np.zeros_like(op.biases)), codes(np.random.default_rng(5), 4, *shapes))
    content = content_of(it.graph, bias=bias)
    for runtime, rule in FOLLOWS.items():
        if runtime in running:
            theirs = answers(content, runtime, it.arrays)[0]
            assert (it.answer(kernel(rule, Conv2D)) == theirs.reshape(-1, *it.graph.nodes[0].shape)).all()
        else:
            with pytest.raises(RuntimeError):
                answers(content, runtime, it.arrays)


@pytest.mark.parametrize("bias", ["none", "-1"])
@pytest.mark.parametrize("runtime", FOLLOWS)
def test_a_dense_layer_goes_without_a_bias(runtime, bias):
    rng = np.random.default_rng(6)
    for style in STYLES * 5:
        it = question(rng, "FULLY_CONNECTED", style)
        it = replace(it, op=replace(it.op, biases=np.zeros_like(it.op.biases)))
        theirs = answers(content_of(it.graph, bias=bias), runtime, it.arrays)[0]
        ours = it.answer(kernel(FOLLOWS[runtime], FullyConnected))
        assert (ours == theirs.reshape(ours.shape)).all()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("weights, kind", [((2, 2, 2, 5), Conv2D), ((2, 2, 5), DepthwiseConv2D)])
def test_sums_of_windows_beyond_32_bits_are_refused_and_not_answered(kind, weights, rule):
    biases = np.array([0] * kind.unit_axis + [1, 2**31 - 1000])[: 2 if kind is Conv2D else 5]
    biases = np.resize(biases, weights[kind.unit_axis])
    op = kind(np.full(weights, 100), biases, np.float32([2**-24]), Affine(0.5, -128), Affine(0.5, 0))
    few, many = (np.full((1, 1, 3, 3, 5), code, np.int8) for code in (-128, 127))
    assert kernel(rule, kind)(op, few).shape == (1, *op.shape((1, 3, 3, 5)))
    with pytest.raises(ValueError, match="beyond 32 bits runtimes wrap around"):
        kernel(rule, kind)(op, many)


def test_tinymind_has_tflite_micros_kernels():
    assert all(kernel("tinymind", kind) == kernel("tflm", kind) for kind in CLASSES.values())
