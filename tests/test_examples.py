"""The example files: what tools/examples.py makes of their weights, and of their settings; and what lesson 13 says."""
import numpy as np
import pytest

from tools import examples
from xorlab import data, ports, report, tflite_file
from xorlab.exercises import lesson_13
from xorlab.report.asked import File
from xorlab.report.examples import EXAMPLES
from xorlab.report.layers import decibels

NETS = list(examples.SEED)
PICTURES = data.images("digits")
WAVE = np.linspace(0, 2 * np.pi, 10_001, dtype=np.float32)[:, None]


@pytest.mark.parametrize("name", NETS)
def test_the_committed_files_are_what_the_converter_makes_of_the_committed_weights(name, tmp_path):
    for path in examples.write(name, examples.kept(name), tmp_path):
        made, kept = (tflite_file.content_and_graph(folder / path.name)[1] for folder in (tmp_path, EXAMPLES))
        assert [op.name for op in made.operators] == [op.name for op in kept.operators]
        for ours, theirs in zip(made.tensors, kept.tensors, strict=True):
            assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
            for part in ("data", "scales", "zero_points"):
                assert np.array_equal(getattr(ours, part), getattr(theirs, part)), (path.name, ours.name, part)


@pytest.mark.parametrize("name", NETS)
def test_the_committed_nets_are_what_their_settings_train_to(name):
    """Not to the last digit: another processor adds in another order, and what is learned then differs a little."""
    kept = examples.net(name)
    kept.set_weights(examples.kept(name).get_weights())
    x = WAVE if name == "sine" else PICTURES.test_x
    ours, theirs = (net(x).numpy() for net in (examples.trained(name), kept))
    if name == "sine":
        assert np.abs(ours - theirs).max() < 0.1 and np.abs(theirs - np.sin(x)).max() < 0.07
    else:
        ours, theirs = (scores.argmax(axis=1) for scores in (ours, theirs))
        assert np.mean(ours == theirs) > 0.9 and np.mean(theirs == PICTURES.test_y) > 0.85


def test_every_example_is_listed_with_its_net_and_nothing_else_lies_there():
    assert sorted(path.name for path in EXAMPLES.iterdir()) == sorted(examples.FILES)
    assert all(report.example(file.removesuffix(".tflite")).name == file for file in examples.FILES)


@pytest.mark.parametrize("wrong", ["cosine", "sine.tflite", "../operators/add", 3, None])
def test_an_unknown_example_gets_a_sentence(wrong):
    with pytest.raises(ValueError, match="an example must be one of keywords, .*, sine-half, got"):
        report.example(wrong)


# tensors

def test_tensors_are_those_that_why_compares_and_end_in_the_outputs():
    sine = report.example("sine")
    sides = [report.tensors(sine, runtime) for runtime in ("reference", "builtin")]
    told = report.why(sine, ("reference", "builtin")).stages
    assert [int((a != b).sum()) for a, b in zip(*sides, strict=True)] == [stage.differing for stage in told]
    answers = report.compare(sine, among=("reference", "builtin")).answers
    assert all(np.array_equal(side[-1].ravel(), answers[name][0].ravel())
               for side, name in zip(sides, answers, strict=True))


def test_tensors_takes_inputs_as_compare_does_and_refuses_as_it_does(tmp_path):
    residual = report.example("residual")
    made = report.tensors(residual, "reference", PICTURES.test_x[:5], quantize=True)
    assert len(made) == 9 and {len(codes) for codes in made} == {5}
    with pytest.raises(ValueError, match="takes int8 codes, got real numbers"):
        report.tensors(residual, "reference", PICTURES.test_x[:5])
    with pytest.raises(ValueError, match="runtime must be one of"):
        report.tensors(residual, "onnx")
    with pytest.raises(FileNotFoundError):
        report.tensors(tmp_path / "none.tflite", "reference")


def test_by_hand_is_the_part_of_why_that_works_out_and_needs_a_difference():
    found = report.why(report.example("sine"), ("reference", "builtin"))
    shown = str(found.by_hand())
    assert shown.startswith("Worked out where it differs most") and all(
        line in str(found) for line in shown.splitlines())
    assert "<pre" in found.by_hand()._repr_html_()
    with pytest.raises(ValueError, match="agree in every number, so there is nothing to work out"):
        report.why(report.example("sine"), ("reference", "xnnpack")).by_hand()


# what the lesson and its exercises say

def test_the_exercises_know_on_how_many_inputs_the_answers_differ():
    pytest.importorskip("tflite_micro", reason="TFLite Micro's wheel is for Linux x86-64 only")
    sine = report.example("sine")
    sides = [report.tensors(sine, runtime) for runtime in ("tflm", "reference")]
    assert (sides[0][-1] != sides[1][-1]).sum() == lesson_13.DIFFERING
    places = [lesson_13._first(*([np.ascontiguousarray(x) for x in side] for side in sides), i) for i in range(256)]
    assert [places.count(operator) for operator in (-1, 0, 1, 2)] == [234, 6, 13, 3]
    for codes, side in zip(lesson_13._pairs()[0], sides, strict=True):         # what the check takes for the runtimes
        assert all(np.array_equal(a.ravel(), b.ravel()) for a, b in zip(codes, side, strict=True))


def test_the_exercises_know_the_operator_in_which_the_residual_net_parts_first():
    found = report.why(report.example("residual"), ("reference", "builtin"), PICTURES.test_x, quantize=True)
    assert found.first.operator == lesson_13.FIRST
    operators = File.read(report.example("residual")).graph.operators
    assert [op.activation for op in operators].index("NONE") == lesson_13.FIRST


def test_the_exercises_know_what_the_half_file_cuts_off():
    made = report.layers(report.example("sine-half"), report.example("sine-float"), WAVE)
    share, wave = lesson_13._cut()
    assert made.layers[0].clipped == pytest.approx(share, abs=0.001) and made.layers[0].clipped_noise > 0.99
    assert made.layers[0].data[1] == pytest.approx(wave, abs=1e-5)


def test_the_levels_that_a_hint_names_are_those_of_the_sine_net():
    x, sine = np.random.default_rng(1).uniform(0, 2 * np.pi, (1_000, 1, 1)).astype(np.float32), report.example("sine")
    floats = report.tensors(report.example("sine-float"), "reference", x)
    codes = report.tensors(sine, "reference", x, quantize=True)
    graph = File.read(sine).graph
    lines = [ports.of_tensor(graph.tensors[op.outputs[0]]).affine for op in graph.operators]
    levels = [decibels((f.astype(float) ** 2).sum(), ((line.dequantize(q) - f) ** 2).sum())
              for f, q, line in zip(floats, codes, lines, strict=True)]
    assert all(f"{level:.1f}" in lesson_13.BY_ID["13.4"].hints[1] for level in levels)
