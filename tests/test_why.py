"""Why two runtimes differ: the operator that is blamed is the first that parts, and the arithmetic told is theirs."""
import doctest
import html
import importlib
import itertools
import json
import re

import numpy as np
import pytest
from graph_files import FOLLOWS, alone, answers
from made_files import Maker
from matplotlib import pyplot as plt
from random_graphs import random_graph

from xorlab import cli, conformance, models
from xorlab.integer.affine import Affine
from xorlab.integer.operators import FullyConnected, MaxPool2D
from xorlab.integer.write import content_of
from xorlab.report import why
from xorlab.report.asked import File
from xorlab.report.inner import Inner, rewritten
from xorlab.tflite_file import packed, unpacked

inner = importlib.import_module("xorlab.report.inner")
whys = importlib.import_module("xorlab.report.why")         # the package's own name for it is the function
MICRO = pytest.mark.skipif("tflm" not in FOLLOWS, reason="TFLite Micro's wheel is for Linux x86-64 only")
SIDES = ("reference", "xnnpack")
CALLS = 12


def saved(path, content):
    path.write_bytes(content)
    return path


def random_file(seed, folder):
    """Return (path, its graph, inputs (calls, *shape of a call)) of a random graph that takes codes."""
    rng = np.random.default_rng(seed)
    graph, _ = random_graph(rng)
    x = [rng.integers(-128, 128, (CALLS, *end.shape)).astype(np.int8) if end.affine else
         rng.normal(0, 2, (CALLS, *end.shape)).astype(np.float32) for end in graph.inputs]
    return saved(folder / f"{seed}.tflite", content_of(graph)), graph, x


def named(graph, x):
    return {end.name: each for end, each in zip(graph.inputs, x, strict=True)}


def dense():
    """A layer whose factor is a quarter, so that rules part at ties, as a graph."""
    weights = np.random.default_rng(1).integers(-2, 3, (6, 8))
    op = FullyConnected(weights, np.zeros(6, np.int64), np.float32([0.5]), Affine(1 / 16, 3), Affine(1 / 8, -7))
    return alone(op, (1, 8))


# the operator that is blamed

@pytest.mark.parametrize("seed", range(8))
def test_every_tensor_is_compared_and_the_first_that_parts_is_blamed(seed, tmp_path):
    """Of random graphs; the counts come from a file whose tensors are outputs by another hand, run in this process."""
    path, graph, x = random_file(seed, tmp_path)
    a, b = SIDES if "tflm" not in FOLLOWS or seed % 2 else ("tflm", "builtin")
    found = why(path, (a, b), named(graph, x))
    ours, theirs = (answers(content_of(graph, expose=True), runtime, x) for runtime in (a, b))
    apart = [one != other for one, other in zip(ours, theirs, strict=True)]
    assert [stage.name for stage in found.stages] == [node.name for node in graph.nodes]
    assert [(stage.differing, stage.compared) for stage in found.stages] == [(one.sum(), one.size) for one in apart]
    assert [stage.inputs for stage in found.stages] == [one.reshape(CALLS, -1).any(axis=1).sum() for one in apart]
    parted = [i for i, one in enumerate(apart) if one.any()]
    assert found.agree == (not parted)
    if parted:
        first, step = parted[0], np.abs(ours[parted[0]].astype(float) - theirs[parted[0]])
        assert found.first == found.stages[first]
        if graph.nodes[first].operator.output is not None:
            assert found.first.step == step.max()
        assert found.worst.input == np.flatnonzero(step == step.max())[0] // step[0].size
        place = np.unravel_index(step.argmax(), step.shape)
        assert [side.value for side in found.worst.sides] == [ours[first][place], theirs[first][place]]


def test_the_arithmetic_told_is_that_of_both_runtimes(tmp_path):
    """Both arrive at their runtime's code, by lines that differ, from one patch; of many random graphs."""
    kinds = set()
    for seed in range(20, 40):
        path, graph, x = random_file(seed, tmp_path)
        found = why(path, SIDES, named(graph, x))
        if found.first:
            kinds.add(found.first.kind)
            one, other = found.worst.sides
            assert one.working != other.working and one.value != other.value
            for side in (one, other):
                assert "as the rule gives them" in side.checked
                said = [line for line in side.working if "stands for" not in line][-1]
                assert f"{side.value:.9g}" in said and side.way in " ".join(str(found).split())
    assert len(kinds) > 3


def test_without_names_the_two_that_differ_on_most_inputs_are_taken(tmp_path):
    path, graph, x = random_file(12, tmp_path)
    content = path.read_bytes()
    made = {runtime: answers(content, runtime, x) for runtime in FOLLOWS}
    counts = {pair: np.any([(one != other).reshape(CALLS, -1).any(axis=1) for one, other in zip(
        made[pair[0]], made[pair[1]], strict=True)], axis=0).sum() for pair in itertools.combinations(FOLLOWS, 2)}
    assert max(counts.values()) > min(counts.values()) > 0
    found = why(path, inputs=named(graph, x))
    assert counts[found.between] == max(counts.values())


def test_inputs_in_pieces_are_counted_as_in_one(tmp_path, monkeypatch):
    path, graph, x = random_file(13, tmp_path)
    whole = why(path, SIDES, named(graph, x))
    assert 0 < whole.worst.input < CALLS - 1
    monkeypatch.setattr(inner, "BYTES_AT_ONCE", 1)
    assert str(why(path, SIDES, named(graph, x))) == str(whole)


def test_a_rule_that_a_runtime_does_not_follow_is_not_told_as_its_own(tmp_path, monkeypatch):
    path = saved(tmp_path / "one.tflite", content_of(dense()))
    assert all("as the rule gives them" in side.checked for side in why(path, SIDES).worst.sides)
    monkeypatch.setitem(conformance.EXPECTED, "xnnpack", "reference")
    right, wrong = why(path, SIDES).worst.sides
    assert "as the rule gives them" in right.checked
    assert wrong.checked.startswith(f"But xnnpack has {wrong.value} here") and "xorlab rules" in wrong.checked


# operators that the integer graph does not know

def test_an_unknown_operator_is_told_by_its_inputs_and_both_answers(tmp_path):
    made = Maker()
    x, t, w, y = (made.tensor(shape=(1, 64), name=name) for name in "xtwy")
    half = made.tensor(data=[[0.5]], name="half")
    made.operator("ABS", [x], [t], "AbsOptions")
    made.operator("TANH", [t], [w])
    made.operator("MUL", [w, half], [y], "MulOptions")
    path = saved(tmp_path / "floats.tflite", made.ends([x], [y]).content())
    x = np.random.default_rng(0).normal(0, 2, (30, 1, 64)).astype(np.float32)
    found = why(path, SIDES, x)
    (ours,), (theirs,) = (answers(rewritten(path.read_bytes(), [w]), runtime, [x]) for runtime in SIDES)
    apart = np.abs(ours.astype(np.float64) - theirs)
    assert found.first.kind == "TANH" and found.first.differing == (apart > 0).sum() > 0
    assert found.first.step == apart.max() and found.stages[0].differing == 0
    place = np.unravel_index(apart.argmax(), apart.shape)
    assert (found.worst.input, 0, *found.worst.where) == place
    assert [(side.value, side.working) for side in found.worst.sides] == [(ours[place], ()), (theirs[place], ())]
    assert found.worst.table.rows == (("t", "FLOAT32", "1x64", "none", str(abs(x[place]).item())),)


def test_runtimes_that_agree_in_every_tensor_are_said_to(tmp_path, capsys):
    line = Affine(0.1, 0)
    graph = alone(MaxPool2D(window=(2, 2), stride=(2, 2), padding="VALID", input=line, output=line), (1, 6, 6, 3))
    path = saved(tmp_path / "pool.tflite", content_of(graph))
    found = why(path)
    assert "No number differs" in found.plot().figure.alt_text
    plt.close()
    assert found.agree and found.first is None and found.worst is None and found.between == tuple(
        runtime for runtime in conformance.EXPECTED if runtime in FOLLOWS)
    assert "agree in every number" in str(found)
    assert cli.main(["why", str(path), "--samples", "20"]) == 0 and "agree in every number" in capsys.readouterr().out


# tensors inside

@pytest.mark.parametrize("test, options, said_at_once, reason", [
    ("GREATER", "GreaterOptions", True, "Invalid tensor size."),                # of 0 it picks nothing
    ("GREATER_EQUAL", "GreaterEqualOptions", False, "output places came out with shape")])
def test_tensors_come_from_cut_files_where_a_runtime_refuses_the_file_that_shows_them_all(
        test, options, said_at_once, reason, tmp_path):
    """WHERE makes another number of places each time, so that its tensor is not to be had; most others still are."""
    made = Maker()
    x, t, picked, z = (made.tensor(shape=shape, name=name) for name, shape in (
        ("x", (4,)), ("t", (4,)), ("picked", (0,)), ("z", ())))
    yes, places = made.tensor("bool", (4,)), made.tensor("int64", (0, 1), name="places")
    nought, axis = made.tensor(data=[0.0]), made.tensor("int32", data=[0])
    made.operator("NEG", [x], [t], "NegOptions")
    made.operator(test, [t, nought], [yes], options)
    made.operator("WHERE", [yes], [places], "WhereOptions")
    made.operator("GATHER_ND", [t, places], [picked], "GatherNdOptions")
    made.operator("SUM", [picked, axis], [z], "ReducerOptions")
    file = File.read(saved(tmp_path / "picked.tflite", made.ends([x], [z]).content()))
    given = np.float32([[1.5, -2.25, 3, -4], [-9.75, 0, -1, -2]])
    opened = Inner(file, "reference")
    assert bool(opened.notes) == said_at_once
    got = opened.run([given])
    assert list(got) == [t, yes, z]
    np.testing.assert_array_equal(got[t], -given)
    np.testing.assert_array_equal(got[z].ravel(), np.maximum(-given, 0).sum(axis=1))
    first, second = opened.notes
    assert f"every tensor is an output ({reason}" in first
    assert "does not show 2 of 5 tensors" in second and second.endswith(": places, picked.")
    found = why(file.path, ("reference", "builtin"), given)
    assert found.agree and [stage.tensor for stage in found.stages] == [t, yes, z] and len(found.notes) == 4


@MICRO
def test_a_plan_of_memory_in_the_file_does_not_let_tensors_overwrite_each_other(tmp_path):
    """TFLite Micro obeys it: here the third tensor lies where the first was, which nothing needs any more."""
    line, made = Affine(0.1, 0), Maker()
    x, *tensors = (made.tensor("int8", (1, 16), name=name, scale=line.scale) for name in "xabc")
    for before, after in zip([x, *tensors], tensors, strict=False):
        made.operator("LEAKY_RELU", [before], [after], "LeakyReluOptions", alpha=0.5)
    made.ends([x], tensors[-1:])
    model = made.model
    plan = np.int32([1, 0, 4, -1, 0, 64, 0])                            # version, graph, tensors, where each lies
    model.buffers.append(type(model.buffers[0])())
    model.buffers[-1].data = np.frombuffer(plan.tobytes(), np.uint8)
    from ai_edge_litert import schema_py_generated as schema
    model.metadata = [schema.MetadataT()]
    model.metadata[0].name, model.metadata[0].buffer = b"OfflineMemoryAllocation", len(model.buffers) - 1
    file = File.read(saved(tmp_path / "planned.tflite", packed(model)))
    given = np.random.default_rng(0).integers(-128, 128, (5, 1, 16)).astype(np.int8)
    got, expected = (Inner(file, runtime).run([given]) for runtime in ("tflm", "reference"))
    assert (expected[tensors[0]] != expected[tensors[2]]).any()
    for i in tensors:
        np.testing.assert_array_equal(got[i], expected[i])


def test_where_no_tensor_is_to_be_had_the_outputs_are_still_compared(tmp_path, monkeypatch):
    path = saved(tmp_path / "one.tflite", content_of(dense()))
    whole = why(path, SIDES, samples=60)

    def refuses(*_):
        raise ValueError("not that one")
    monkeypatch.setattr(Inner, "run", refuses)
    found = why(path, SIDES, samples=60)
    assert found.endings == whole.endings and found.stages == () and not found.agree
    assert sum("shows no tensor inside: not that one" in note for note in found.notes) == 2
    assert "answer otherwise" in found.title() and "differs on" in str(found)


def test_a_file_that_answers_otherwise_once_its_tensors_show_is_owned_up_to(tmp_path, monkeypatch):
    path = saved(tmp_path / "one.tflite", content_of(dense()))
    assert why(path, SIDES).notes == ()

    def other(content, outputs, operators=None):
        model = unpacked(rewritten(content, outputs, operators))
        model.buffers[1].data = -np.asarray(model.buffers[1].data).view(np.int8)
        return packed(model)
    monkeypatch.setattr(inner, "rewritten", other)
    notes = why(path, SIDES).notes
    assert len(notes) == 2 and all("otherwise where every tensor is an output" in note for note in notes)


# how it is shown

def test_json_says_all_that_the_text_says(tmp_path, capsys):
    path = saved(tmp_path / "one.tflite", content_of(dense()))
    assert cli.main(["why", str(path), "--between", *SIDES, "--samples", "60", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    found = why(path, SIDES, samples=60)
    assert said["agree"] is False and said["first"] == 0 and said["count"] == 60 and said["between"] == list(SIDES)
    assert said["stages"][0]["differing"] == found.first.differing
    assert [side["value"] for side in said["worst"]["sides"]] == [side.value for side in found.worst.sides]
    assert tuple(said["worst"]["sides"][0]["working"]) == found.worst.sides[0].working


def test_the_text_fits_100_columns_and_holds_what_one_needs_to_redo_it(tmp_path):
    graph = dense()
    path, op = saved(tmp_path / "one.tflite", content_of(graph)), graph.nodes[0].operator
    found = why(path, SIDES, samples=60)
    text = str(found)
    assert max(map(len, text.splitlines())) <= 100
    (unit,), codes = found.worst.where, np.int64([row[1] for row in found.worst.table.rows])
    accumulator = int(op.weights[unit] @ (codes - op.input.zero_point) + op.biases[unit])
    assert f"to {accumulator}\n" in text
    factor = float(re.search(r"factor: .* = (.*)", text)[1])
    real = accumulator * factor + op.output.zero_point
    assert {side.value for side in found.worst.sides} == {np.floor(real), np.ceil(real)} and abs(real % 1 - 0.5) < 1e-3


def test_the_page_escapes_names_and_loads_nothing(tmp_path, capsys):
    model = unpacked(content_of(dense()))
    for tensor in model.subgraphs[0].tensors:
        tensor.name = b"<script>alert('" + (tensor.name or b"") + b"')</script>"
    path, page = saved(tmp_path / "evil.tflite", packed(model)), tmp_path / "why.html"
    assert cli.main(["why", str(path), "--samples", "60", "--html", str(page)]) == 1
    written = page.read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(" in written and "<script" not in written and "http://" not in written
    assert re.search('<img [^>]*alt="[^"]+% of the numbers differ[^"]*" src="data:image/svg', written)
    (working, *_) = why(path, samples=60).worst.sides
    assert all(html.escape(line) in written for line in working.working)


def test_the_curve_shows_the_share_behind_every_operator(tmp_path):
    path, graph, x = random_file(7, tmp_path)
    found = why(path, SIDES, named(graph, x))
    ax = found.plot()
    drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_allclose(drawn["numbers that differ"], [100 * stage.share for stage in found.stages])
    assert len(found.growth().rows) == len(found.stages) - found.stages.index(found.first)
    assert f"operator {found.first.operator}" in ax.figure.alt_text
    plt.close(ax.figure)


def test_a_large_net_is_asked_with_fewer_inputs_and_says_so(tmp_path, monkeypatch):
    path = saved(tmp_path / "one.tflite", content_of(dense()))
    monkeypatch.setattr(whys, "PRODUCTS", 20 * 48)            # 20 times the products of its weights
    found = why(path, SIDES)
    assert found.count == 20 and "a sample of 20 inputs" in str(found)
    assert why(path, SIDES, samples=30).count == 30


# what is refused

@pytest.mark.parametrize("arguments, said", [
    (["nowhere.tflite"], "no TFLite file at nowhere.tflite"),
    ([__file__], "is not a sound TFLite file"),
    (["NET", "--between", "reference", "numpy"], "runtime must be one of"),
    (["NET", "--between", "reference", "reference"], "two different runtimes"),
    (["NET", "--inputs", "nowhere.npy"], "nowhere.npy"),
    (["NET", "--samples", "0"], "samples must be a whole number from 1"),
    (["NET", "--html", f"{__file__}/why.html", "--samples", "5"], "cannot write"),
])
def test_bad_input_is_one_sentence_and_status_2(arguments, said, capsys):
    net = str(models.reference_file("relu-2-4-1", "int8.tflite"))
    assert cli.main(["why", *(net if word == "NET" else word for word in arguments)]) == 2
    shown = capsys.readouterr().err
    assert said in shown and shown.count("\n") == 1 and "Traceback" not in shown


@pytest.mark.parametrize("name", ["inner", "apart", "worked", "why"])
def test_the_examples_in_docstrings_are_right(name):
    done = doctest.testmod(importlib.import_module(f"xorlab.report.{name}"))
    assert done.failed == 0 and (done.attempted or name == "worked")
