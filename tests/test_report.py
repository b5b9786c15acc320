"""`xorlab inspect` and `xorlab compare`: any file on any runtime, against the runtimes themselves."""
import doctest
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations

import graph_files
import made_files
import numpy as np
import pytest

from xorlab import cli, conformance, models, ports, predictors, report, tflite_file
from xorlab import compare as comparing
from xorlab.integer import IntegerGraph, operators
from xorlab.integer.affine import SIGMOID_CODES, Affine
from xorlab.integer.write import content_of
from xorlab.report import asked
from xorlab.report.html import Section, Shown
from xorlab.tables import Table

LINE = Affine(0.05, 3)
INSTALLED = list(graph_files.FOLLOWS)


def saved(folder, content, name="net.tflite"):
    (folder / name).write_bytes(content)
    return folder / name


def adding(folder, shape=(1, 2, 3)):
    """Save a file with two int8 inputs, x0 and x1, added to y."""
    add = operators.Add(input=LINE, other=Affine(0.031, -7), output=Affine(0.07, 1), activation="NONE")
    return saved(folder, content_of(graph_files.alone(add, shape, shape)))


def mixed(folder):
    """Save a file with two inputs of other types and shapes, and two outputs, one without an axis of samples."""
    made = made_files.Maker()
    x, y = made.tensor("int8", (1, 3), name="codes", scale=0.1), made.tensor("float32", (5,), name="numbers")
    a, b = made.tensor("float32", (1, 3), name="real"), made.tensor("float32", (5,), name="positive")
    made.operator("DEQUANTIZE", [x], [a])
    made.operator("RELU", [y], [b])
    return saved(folder, made.ends([x, y], [a, b]).signature({"first": x, "second": y}, {"out": a}).content())


@pytest.mark.parametrize("runtime", INSTALLED)
@pytest.mark.parametrize("make", [adding, mixed])
def test_every_output_is_what_the_runtime_gives_call_by_call(tmp_path, make, runtime):
    file = asked.File.read(make(tmp_path))
    inputs = asked.inputs_of(file, samples=9)
    made = asked.ask(file, runtime, inputs.arrays)
    expected = graph_files.answers(file.content, runtime, inputs.arrays)
    assert made.reason == "" and len(made.outputs) == len(file.outputs) == len(expected)
    for port, ours, theirs in zip(file.outputs, made.outputs, expected, strict=True):
        assert ours.shape == (9, *port.made) and ours.dtype == port.dtype and np.array_equal(ours, theirs)


def test_a_file_with_state_starts_every_call_with_it_cleared(tmp_path):
    """A call's answer is the same whatever ran before it."""
    file = asked.File.read(saved(tmp_path, made_files.remembering().content()))
    x = np.float32([[[1, 2]], [[3, 4]], [[1, 2]]])
    for runtime in INSTALLED:
        assert asked.ask(file, runtime, (x,)).outputs[0].ravel().tolist() == [5, 11, 5]


def test_all_inputs_are_all_and_differ_where_there_are_few(tmp_path):
    file = asked.File.read(adding(tmp_path, (1, 1)))
    inputs = asked.inputs_of(file)
    assert inputs.every and inputs.words == "all 65,536 inputs" and [x.shape for x in inputs.arrays] == [
        (65536, 1, 1)] * 2
    pairs = np.concatenate([x.reshape(-1, 1) for x in inputs.arrays], axis=1)
    assert len(np.unique(pairs, axis=0)) == 65536 and pairs.min() == -128 and pairs.max() == 127


def test_a_sample_is_seeded_and_half_of_it_lies_around_the_middle(tmp_path):
    file = asked.File.read(adding(tmp_path))
    one, same, other = (asked.inputs_of(file, samples=2000, seed=seed) for seed in (1, 1, 2))
    for x, y, z in zip(one.arrays, same.arrays, other.arrays, strict=True):
        assert np.array_equal(x, y) and not np.array_equal(x, z)
        uniform, normal = np.float64(x[:1000]), np.float64(x[1000:])
        assert abs(uniform.std() - 73.9) < 2 and abs(normal.std() - 42.5) < 2 and abs(normal.mean() + 0.5) < 3
    assert not np.array_equal(*one.arrays)
    assert one.words == ("a sample of 2,000 inputs, seed 1: x0, x1 half uniform, half normal around the middle of its "
                         "range")


def test_a_float_input_that_is_quantized_first_is_drawn_from_its_range(tmp_path):
    graph = graph_files.alone(operators.Quantize(input=None, output=LINE), (1, 4))
    (x,) = asked.inputs_of(asked.File.read(saved(tmp_path, content_of(graph)))).arrays
    low, high = asked.real_range(LINE)
    assert (low, high) == (pytest.approx(-6.55), pytest.approx(6.2))
    assert x.dtype == np.float32 and low <= x[:500].min() < low + 0.1 and high - 0.1 < x[:500].max() <= high
    assert abs(x[500:].std() - (high - low) / 6) < 0.2


def test_a_first_operator_that_makes_nothing_tells_no_range(tmp_path):
    model = tflite_file.unpacked(content_of(graph_files.alone(operators.Quantize(input=None, output=LINE), (1, 4))))
    model.subgraphs[0].operators[0].outputs = []
    inputs = asked.inputs_of(asked.File.read(saved(tmp_path, tflite_file.packed(model))))
    assert inputs.words.endswith("x0 normal around 0, for nothing says its range")


def test_an_input_of_whole_numbers_without_a_scale_is_not_guessed(tmp_path):
    made = made_files.Maker()
    x, y = made.tensor("int32", (1, 2), name="ids"), made.tensor(shape=(1, 2), name="y")
    made.operator("CAST", [x], [y])
    file = asked.File.read(saved(tmp_path, made.ends([x], [y]).content()))
    with pytest.raises(ValueError, match="input ids holds int32 without a scale, and nothing says which numbers"):
        asked.inputs_of(file)
    (given,) = asked.inputs_of(file, np.int32([[1, 2], [3, 4]])).arrays
    assert asked.ask(file, "reference", (given,)).outputs[0].tolist() == [[[1, 2]], [[3, 4]]]


def test_given_inputs_are_taken_as_they_are_by_tensor_or_signature_name(tmp_path):
    file, x, y = asked.File.read(mixed(tmp_path)), np.int8([[1, 2, 3], [4, 5, 6]]), np.ones((2, 5))
    np.savez(tmp_path / "x.npz", codes=x, second=y)
    inputs = asked.inputs_of(file, tmp_path / "x.npz")
    assert inputs.words == "2 given inputs"
    assert [(one.dtype.name, one.shape) for one in inputs.arrays] == [("int8", (2, 1, 3)), ("float32", (2, 5))]
    assert np.array_equal(inputs.arrays[0][:, 0], x)
    real = asked.inputs_of(file, {"first": np.float64([[0.1, 0.24, 90]]), "numbers": y[:1]}, quantize=True)
    assert real.arrays[0].tolist() == [[[1, 2, 127]]] and real.words == "1 given input; first quantized by its scale"


def test_rows_become_calls_of_as_many_samples_as_the_file_was_made_for(tmp_path):
    file, x = asked.File.read(saved(tmp_path, made_files.relu((4, 2)).content())), np.float32(np.arange(16) - 7)
    for rows in (x.reshape(8, 2), x.reshape(2, 4, 2)):
        inputs = asked.inputs_of(file, rows)
        assert np.array_equal(inputs.arrays[0], x.reshape(2, 4, 2))
    for runtime in INSTALLED:
        assert np.array_equal(asked.ask(file, runtime, inputs.arrays).outputs[0], np.maximum(x, 0).reshape(2, 4, 2))
    with pytest.raises(ValueError, match=r"takes shape \(n, 4, 2\) or \(n, 2\), n a multiple of 4, got \(6, 2\)"):
        asked.inputs_of(file, x[:12].reshape(6, 2))


X, Y = np.zeros((2, 3), np.int8), np.zeros((2, 5), np.float32)


@pytest.mark.parametrize("given, says", [
    (X, "has 2 inputs, first (tensor codes), second (tensor numbers); give an X.npz with an array for each name"),
    ({"first": X}, "input second (tensor numbers) of .* needs one array, and none is given for it; there are first"),
    ({"first": X, "codes": X, "second": Y}, "two are given for it"),
    ({"first": X, "second": Y, "third": Y}, "has no input third; its inputs are first"),
    ({"first": X.astype(float), "second": Y}, r"takes int8 codes, got real numbers \(float64\); say that they are to"),
    ({"first": X.astype(int), "second": Y}, r"takes int8, got int64; convert it, e.g. with astype\('int8'\)"),
    ({"first": X, "second": Y.astype(int)}, "takes float32, got int64"),
    ({"first": X[:, :2], "second": Y}, r"takes shape \(n, 3\), got \(2, 2\)"),
    ({"first": X[:0], "second": Y}, r"takes shape \(n, 3\), got \(0, 3\)"),
    ({"first": X[:1], "second": Y}, "every input needs as many calls as the others, got 1 of first, 2 of second"),
    ({"first": X, "second": Y.ravel()[:7]}, r"takes shape \(n, 5\), got \(7,\)"),
    ({"first": X, "second": Y.ravel()}, r"takes shape \(n, 5\), got \(10,\)"),
    ("gone.npy", "no file with inputs at gone.npy"),
    (__file__, "is not a file of inputs that NumPy can read without running code"),
])
def test_inputs_that_do_not_fit_get_one_sentence(tmp_path, given, says):
    file = asked.File.read(mixed(tmp_path))
    with pytest.raises((ValueError, OSError), match=says.replace("(tensor ", r"\(tensor ").replace("s)", r"s\)")) as e:
        asked.inputs_of(file, given)
    assert len(str(e.value).splitlines()) == 1


@pytest.mark.parametrize("settings, says", [
    ({"samples": 10**9}, "1,000,000,000 samples of 18 numbers each, inputs and outputs, are too many to keep; draw"),
    ({"samples": 0}, "samples must be a whole number from 1, got 0"), ({"seed": -1, "samples": 1}, "seed must be"),
    ({"given": X, "samples": 3}, "are not drawn"), ({"given": X, "seed": 3}, "are not drawn"),
    ({"given": {name: np.zeros((1, 2, 3), np.int8) for name in ("x0", "x1")}, "quantize": True}, "none of the inputs"),
    ({"quantize": True}, "only inputs that are given are quantized")])
def test_settings_that_would_be_ignored_are_refused(tmp_path, settings, says):
    with pytest.raises(ValueError, match=says):
        asked.inputs_of(asked.File.read(adding(tmp_path)), **settings)


@pytest.mark.parametrize("shape, says", [((0, 2), r"input x has shape \(0, 2\)"), (None, "has no input")])
def test_a_file_that_takes_nothing_is_refused(tmp_path, shape, says):
    made = made_files.relu(shape or (1, 2))
    if shape is None:
        made.graph.inputs = np.int32([])
    file = asked.File.read(saved(tmp_path, made.content()))
    for runtime in INSTALLED:
        assert re.search(says, asked.ask(file, runtime).reason)
    with pytest.raises(ValueError, match=says):
        asked.inputs_of(file)


def test_a_runtime_that_cannot_run_a_file_says_why_in_one_sentence(tmp_path):
    file = asked.File.read(saved(tmp_path, made_files.depthwise_without_bias().content()))
    answers = {runtime: asked.ask(file, runtime) for runtime in INSTALLED}
    crashed = [answer for answer in answers.values() if answer.outputs is None]
    assert crashed and all("crashes" in answer.reason and len(answer.reason.splitlines()) == 1 for answer in crashed)
    assert [answer for answer in answers.values() if answer.outputs]
    with pytest.raises(ValueError, match="runtime must be one of"):
        asked.ask(file, "gpu")


def test_a_reference_net_gives_the_same_codes_as_its_predictor():
    path = models.reference_file("relu-2-4-1", "int8.tflite")
    file = asked.File.read(path)
    (x,) = (inputs := asked.inputs_of(file)).arrays
    (out,) = asked.ask(file, "builtin", inputs.arrays).outputs
    assert np.array_equal(out.ravel(), predictors.from_tflite(path, "builtin").codes(x[:, 0]))


# --- inspect

def test_inspect_tells_of_a_reference_net_what_stands_in_it_and_who_runs_it():
    path = models.reference_file("relu-2-4-1", "int8.tflite")
    made, graph = report.inspect(path), IntegerGraph.from_tflite(path)
    assert made.parameters == 2 * 4 + 4 + 4 + 1 and made.size == made.account.total == path.stat().st_size
    assert made.runtimes == {runtime: "" if runtime in INSTALLED else made.runtimes[runtime]
                             for runtime in predictors.RUNTIMES}
    assert made.uncomputed == "" and (made.arena is None) == ("tflm" not in INSTALLED)
    (entry,) = made.inputs
    low, high = graph.inputs[0].affine.dequantize([-128, 127])
    assert asked.real_range(entry.affine) == (pytest.approx(low), pytest.approx(high))
    rows = made.operators().rows
    assert [row[1] for row in rows] == ["RESHAPE", "FULLY_CONNECTED", "RESHAPE", "FULLY_CONNECTED", "LOGISTIC"]
    assert rows[1] == ("1", "FULLY_CONNECTED", "1x2", "4x2, 4", "1x4", "int8", "RELU")


def test_inspect_is_text_of_100_columns_whatever_the_names():
    made = report.inspect(models.reference_file("sigmoid-2-3-1", "int8.tflite"))
    text = str(replace(made, inputs=tuple(replace(port, name="n" * 300) for port in made.inputs),
                       uncomputed="a reason of many words " * 20))
    assert max(map(len, text.splitlines())) <= 100
    assert "nnn..." in text and "n" * 300 in replace(made, inputs=tuple(
        replace(port, name="n" * 300) for port in made.inputs)).page()


def test_inspect_gives_each_runtimes_own_reason(tmp_path):
    path = saved(tmp_path, with_a_custom_operator().content())
    made = report.inspect(path)
    assert made.runtimes["xnnpack"] == ("it is not a model that LiteRT (xnnpack) can run: Encountered unresolved "
                                        "custom op: Ours.")
    assert all(made.runtimes.values()) and made.arena is None
    assert made.uncomputed.startswith("operator 0, CUSTOM Ours into tensor y is not supported")
    assert str(path) not in str(made) and "from_tflite" not in str(made)


def with_a_custom_operator(name="y"):
    made = made_files.Maker()
    x, y = made.tensor(name="x"), made.tensor(name=name)
    made.operator("CUSTOM", [x], [y])
    made.model.operatorCodes[0].customCode = "Ours"
    return made.ends([x], [y])


def test_inspect_names_state_and_a_crash(tmp_path):
    kept = report.inspect(saved(tmp_path, made_files.remembering().content()))
    assert "Kept from one call to the next, and cleared before each one here: tensor memory." in str(kept)
    assert "SVDF" in str(kept) and not any(kept.runtimes[runtime] for runtime in INSTALLED)
    crashing = report.inspect(saved(tmp_path, made_files.depthwise_without_bias().content()))
    assert "it crashes LiteRT" in crashing.runtimes["builtin"] and "no: it crashes" in str(crashing)


def test_options_are_said_in_the_formats_words(tmp_path):
    pool = operators.AveragePool2D(window=(3, 2), stride=(2, 1), padding="SAME", input=LINE, output=LINE,
                                   activation="RELU6")
    made = report.inspect(saved(tmp_path, content_of(graph_files.alone(pool, (1, 8, 8, 4)))))
    assert made.operators().rows == (("0", "AVERAGE_POOL_2D", "1x8x8x4", "-", "1x4x8x4", "int8",
                                      "RELU6, stride 2x1, window 3x2, SAME"),)

    made = made_files.Maker()
    x, y = made.tensor(shape=(1, 1, 2, 1), name="x"), made.tensor(shape=(1, 2), name="y")
    made.operator("SQUEEZE", [x], [y], "SqueezeOptions", squeezeDims=[1, 3])
    (row,) = report.inspect(saved(tmp_path, made.ends([x], [y]).content())).operators().rows
    assert row[1:] == ("SQUEEZE", "1x1x2x1", "-", "1x2", "float32", "squeezeDims 1 3")


# --- compare

def test_compare_counts_what_the_runtimes_answer_otherwise(tmp_path):
    path = conformance.file_of("MUL")
    made = report.compare(path, samples=40, seed=5)
    file = asked.File.read(path)
    arrays = asked.inputs_of(file, samples=40, seed=5).arrays
    theirs = {runtime: [out.astype(int) for out in graph_files.answers(file.content, runtime, arrays)]
              for runtime in INSTALLED}
    assert not made.agree and [(pair.output, {pair.a, pair.b}) for pair in made.pairs] == [
        (port.name, set(pair)) for port in file.outputs for pair in combinations(made.answers, 2)]
    assert set(made.answers) == set(INSTALLED)
    anywhere = np.zeros(40, bool)
    for pair in made.pairs:
        output = [port.name for port in file.outputs].index(pair.output)
        steps = np.abs(theirs[pair.a][output] - theirs[pair.b][output])
        by_input = steps.reshape(40, -1).max(axis=1)
        assert (pair.differing, pair.numbers, pair.largest_step) == (
            (by_input > 0).sum(), (steps > 0).sum(), steps.max())
        assert by_input[pair.worst] == steps.max() and not (by_input[: pair.worst] == steps.max()).any()
        anywhere |= by_input > 0
    assert made.differing == anywhere.sum()
    together = {runtime: number for number, group in enumerate(made.alike()) for runtime in group}
    apart = {frozenset((pair.a, pair.b)) for pair in made.pairs if pair.differing}
    for a, b in combinations(INSTALLED, 2):
        assert (together[a] != together[b]) == (frozenset((a, b)) in apart)
    first, second = made.matrix().rows[0][0], made.matrix().header[2]
    assert made.matrix().rows[0][2] == f"{made.pairs[0].differing:,}" and (first, second) == (
        made.pairs[0].a, made.pairs[0].b)


def test_compare_counts_as_agreement_does():
    path = models.reference_file("relu-2-4-1", "int8.tflite")
    made = report.compare(path, among=("builtin", "reference"))
    expected = comparing.agreement(*(predictors.from_tflite(path, runtime) for runtime in ("builtin", "reference")))
    (pair,) = made.pairs
    assert (pair.differing, pair.largest_step, pair.other_class, pair.by_tie) == (
        expected.differing, expected.largest_step, expected.other_class, expected.by_tie)
    assert made.inputs.words == "all 65,536 inputs" and pair.differing > 0


def answers_of(folder, *answers, line=None, shape=(1, 3)):
    """Return a Comparison of runtimes that gave these answers, without running any."""
    port = ports.Port("y", "y", answers[0].dtype, shape, line, made=shape)
    path = models.reference_file("relu-2-4-1", "int8.tflite")
    made = report.compare(path, samples=len(answers[0]), among=("builtin", "reference"))
    names = ("xnnpack", "builtin", "reference")[: len(answers)]
    pair_of = sys.modules["xorlab.report.compare"].pair_of
    pairs = tuple(pair_of(port, *pair, *(answers[names.index(name)] for name in pair))
                  for pair in combinations(names, 2))
    return replace(made, outputs=(port,), answers={name: (x,) for name, x in zip(names, answers, strict=True)},
                   pairs=pairs)


def test_a_class_is_the_place_of_the_largest_and_ties_are_told(tmp_path):
    one, other = np.int8([[[4, 4, 0]], [[5, 1, 2]], [[0, 0, 9]]]), np.int8([[[3, 4, 0]], [[1, 5, 2]], [[0, 0, 8]]])
    made = answers_of(tmp_path, one, other)
    (pair,) = made.pairs
    assert (pair.differing, pair.numbers, pair.largest_step, pair.worst, pair.other_class, pair.by_tie) == (
        3, 4, 4, 1, 2, 1)
    assert "2 (1 tied)" in str(made) and "the place of the largest of 3 numbers" in str(made)


def test_one_number_names_a_class_only_as_a_probability(tmp_path):
    one, other = (np.int8(codes).reshape(-1, 1, 1) for codes in ([10, -10], [-10, -10]))
    (pair,) = answers_of(tmp_path, one, other, line=SIGMOID_CODES, shape=(1, 1)).pairs
    assert pair.other_class == 1
    (pair,) = answers_of(tmp_path, one, other, line=LINE, shape=(1, 1)).pairs
    assert pair.other_class is None


def test_floats_are_compared_as_they_are_and_nan_is_nan(tmp_path):
    one, other = np.float32([[1, np.nan]]), np.float32([[1, np.nan]])
    assert answers_of(tmp_path, one, other, shape=(2,)).agree
    other = np.float32([[np.nextafter(np.float32(1), np.float32(2)), np.nan]])
    (pair,) = answers_of(tmp_path, one, other, shape=(2,)).pairs
    assert pair.differing == 1 and pair.largest_step == pytest.approx(1.19e-7, rel=0.01)
    other = np.float32([[1, 2]])
    (pair,) = answers_of(tmp_path, one, other, shape=(2,)).pairs
    assert pair.differing == 1 and pair.largest_step == np.inf


def test_compare_shows_every_output_and_who_is_left_out(tmp_path):
    made = report.compare(mixed(tmp_path))
    assert made.agree and "Output out (tensor real)\nAll answer alike." in str(made)
    assert "Output positive\nAll answer alike." in str(made)
    crashing = saved(tmp_path, made_files.depthwise_without_bias().content(), "crash.tflite")
    try:
        made = report.compare(crashing)
    except ValueError as error:             # where only one runtime is left
        assert "two are needed to compare" in str(error) and "crashes" in str(error)
    else:
        assert made.left_out and "left out: it crashes LiteRT" in str(made)


def test_answers_that_never_change_are_said_not_to_tell_much(tmp_path):
    same = np.zeros((4, 1, 3), np.int8)
    assert "every input gets one and the same answer" in str(answers_of(tmp_path, same, same))


# --- the commands

def exit_and_words(capsys, *arguments):
    status = cli.main([str(argument) for argument in arguments])
    words = capsys.readouterr()
    return status, words.out, words.err


def test_the_exit_status_of_compare_is_the_verdict(capsys, tmp_path):
    same = models.reference_file("relu-2-4-1", "int8.tflite")
    status, out, err = exit_and_words(capsys, "compare", same, "--runtimes", "xnnpack,reference")
    assert (status, err) == (0, "") and "all 2 runtimes answer alike on 65,536 inputs" in out
    status, out, _ = exit_and_words(capsys, "compare", conformance.file_of("MUL"), "--samples", "20", "--seed", "1",
                                    "--html", tmp_path / "out.html")
    assert status == 1 and "do not answer alike on" in out and f"Wrote {tmp_path / 'out.html'}" in out
    assert "a sample of 20 inputs, seed 1" in (tmp_path / "out.html").read_text(encoding="utf-8")
    np.save(tmp_path / "x.npy", np.int8([[1, 2]]))
    status, out, _ = exit_and_words(capsys, "compare", same, "--inputs", tmp_path / "x.npy", "--runtimes",
                                    "reference,xnnpack")
    assert status == 0 and "1 given input" in out


def test_inspect_prints_and_writes_a_page(capsys, tmp_path):
    path, page = models.reference_file("relu-2-4-1", "int8.tflite"), tmp_path / "new" / "out.html"
    status, out, err = exit_and_words(capsys, "inspect", path, "--html", page)
    assert (status, err) == (0, "") and out.startswith(f"int8.tflite: {path.stat().st_size:,} bytes") and page.is_file()


def bad_input(name, folder):
    """Return (arguments, what the sentence says) of a command with bad input."""
    good = models.reference_file("relu-2-4-1", "int8.tflite")
    np.save(folder / "wide.npy", np.zeros((4, 3), np.int8))
    np.save(folder / "real.npy", np.zeros((4, 2)))
    np.savez(folder / "named.npz", other=np.zeros((4, 2), np.int8))
    text = saved(folder, b"not a model at all", "notes.tflite")
    custom = saved(folder, with_a_custom_operator().content(), "custom.tflite")
    return {
        "no file": (["inspect", folder / "gone.tflite"], "no TFLite file at"),
        "no file to compare": (["compare", folder / "gone.tflite"], "no TFLite file at"),
        "a folder": (["inspect", folder], "no TFLite file at"),
        "not a model": (["inspect", text], "is not a sound TFLite file"),
        "not a model to compare": (["compare", text], "is not a sound TFLite file"),
        "no runtime": (["compare", custom], "runs on none of xnnpack, builtin, reference, tflm, and two are needed"),
        "shape": (["compare", good, "--inputs", folder / "wide.npy"], "takes shape (n, 2), got (4, 3)"),
        "type": (["compare", good, "--inputs", folder / "real.npy"], "takes int8 codes, got real numbers"),
        "name": (["compare", good, "--inputs", folder / "named.npz"], "needs one array, and none is given"),
        "no inputs": (["compare", good, "--inputs", folder / "gone.npy"], "no file with inputs at"),
        "no arrays": (["compare", good, "--inputs", text], "is not a file of inputs"),
        "several inputs": (["compare", adding(folder), "--inputs", folder / "wide.npy"], "give an X.npz with an array"),
        "runtime": (["compare", good, "--runtimes", "xnnpack,gpu"], "runtimes must be of xnnpack, builtin"),
        "one runtime": (["compare", good, "--runtimes", "xnnpack"], "two different runtimes or more"),
        "samples": (["compare", good, "--samples", "0"], "samples must be a whole number from 1"),
        "page": (["inspect", good, "--html", __file__ + "/out.html"], "cannot write"),
    }[name]


@pytest.mark.parametrize("name", ["no file", "no file to compare", "a folder", "not a model", "not a model to compare",
                                  "no runtime", "shape", "type", "name", "no inputs", "no arrays", "several inputs",
                                  "runtime", "one runtime", "samples", "page"])
def test_bad_input_gets_one_sentence_and_exit_status_2(name, capsys, tmp_path):
    arguments, says = bad_input(name, tmp_path)
    status, _, err = exit_and_words(capsys, *arguments)
    assert status == 2 and says in err and err.startswith("xorlab: ") and len(err.splitlines()) == 1


# --- pages

class Reader(HTMLParser):
    """Collects the tags of a page, and what is not closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_titles_sentences_and_tables_are_escaped_on_a_page_and_in_a_notebook():
    class Made(Shown):
        def title(self):
            return "<x-title>"

        def sections(self):
            table = Table(("<x-head>",), (("<x-cell>",),), ("<x-note>",))
            return [Section("<x-part>", ("<x-sentence>", {"<x-key>": "<x-value>"}, table))]

    for text, titles in ((Made().page(), 2), (Made()._repr_html_(), 1)):
        assert "<x-" not in text and text.count("&lt;x-") == titles + 7


def test_a_page_loads_nothing_and_runs_nothing_whatever_a_file_calls_its_tensors(tmp_path):
    name = "<script>alert(1)</script>"
    made = made_files.relu()
    for tensor in made.graph.tensors:
        tensor.name = name
    path = saved(tmp_path, made.content(), "a<b>&.tflite")
    for result in (report.inspect(path), report.compare(path, samples=2),
                   report.inspect(saved(tmp_path, with_a_custom_operator(name).content()))):
        for text in (result.page(), result._repr_html_()):
            read = Reader(text)
            assert not read.open and {tag for tag, _ in read.tags} <= {
                "html", "head", "meta", "title", "style", "body", "h1", "h2", "h4", "div", "p", "b", "table", "thead",
                "tbody", "tr", "th", "td"}
            assert not any(key in attrs for _, attrs in read.tags for key in ("src", "href", "onload"))
        assert "prefers-color-scheme: dark" in result.page() and "http" not in result.page()
    assert "&lt;script&gt;" in report.inspect(path).page()


def test_a_name_of_several_lines_does_not_break_the_text(tmp_path):
    made = made_files.relu()
    made.graph.tensors[0].name = "two\nlines\x1b[31m"
    text = str(report.inspect(saved(tmp_path, made.content())))
    assert r"two\nlines\x1b[31m" in text and "\x1b" not in text


@pytest.mark.parametrize("module", ["xorlab.tflite_bytes", *(f"xorlab.report.{name}" for name in (
    "asked", "html", "inspect", "compare"))])
def test_examples_in_docstrings_run(module):
    done = doctest.testmod(sys.modules[module])
    assert done.attempted and not done.failed
