"""What lesson 04's exercises say of the files that ship: by the files themselves, and by the runtimes."""
from dataclasses import replace

import numpy as np
import pytest

from xorlab import compare, data, models, predictors, tflite_file
from xorlab.exercises import judging, lesson_04
from xorlab.exercises.exercise import Wrong
from xorlab.integer import IntegerMLP

SAID = {"sigmoid-2-3-1": (lesson_04.CORNERS, lesson_04.CHANGED), "relu-2-4-1": (3, 64648)}      # corners, codes
EACH = pytest.mark.parametrize("name", SAID)


def first_scale_only(name):
    """Return a net that ships, and the same with its first unit's scale for the whole layer."""
    whole = IntegerMLP.from_tflite(models.reference_file(name, "int8.tflite"))
    layer, *rest = whole.steps
    return whole, replace(whole, steps=(replace(layer, weight_scales=layer.weight_scales[:1]), *rest))


def file_with_first_scales(name, folder):
    """Write the net's file with the first of several scales alone, which is all that an old TFLite Micro took of it."""
    content = tflite_file.unpacked(models.reference_file(name, "int8.tflite").read_bytes())
    for tensor in content.subgraphs[0].tensors:
        line = tensor.quantization
        if line is not None and line.scale is not None and len(line.scale) > 1:
            line.scale, line.zeroPoint = line.scale[:1], line.zeroPoint[:1]
    path = folder / "first.tflite"
    path.write_bytes(tflite_file.packed(content))
    return path


@EACH
def test_the_first_scale_alone_changes_as_many_codes_as_the_lesson_says(name):
    whole, first = map(predictors.from_integer, first_scale_only(name))
    assert (compare.corners_right(first), compare.agreement(whole, first).differing) == SAID[name]


@EACH
def test_tflite_micro_gives_these_codes_to_a_file_of_first_scales(name, tmp_path):
    pytest.importorskip("tflite_micro", reason="it has no package for this system")
    micro = predictors.from_tflite(file_with_first_scales(name, tmp_path), "tflm")
    q = data.int8_inputs()
    assert np.array_equal(micro.codes(q).ravel(), first_scale_only(name)[1].codes(q).ravel())


def test_the_bias_and_the_scales_of_the_exercises_are_those_of_the_file():
    graph = tflite_file.read(models.reference_file(lesson_04.REFERENCE, "int8.tflite"))
    layer = next(operator for operator in graph.operators if operator.name == "FULLY_CONNECTED")
    weights, biases = (graph.tensors[index] for index in layer.inputs[1:])
    assert biases.data[0] == lesson_04.BIAS and int(biases.data[0]).bit_length() + 1 == lesson_04.BITS
    assert f"The hidden layer's scales are {', '.join(f'{scale:.5f}' for scale in weights.scales)}" in (
        lesson_04.judge_scales(lambda array: np.abs(array).max(axis=1) / 127))


def test_a_runtime_that_is_off_by_little_is_wrong():
    run = judging.defined(lesson_04.BY_ID["04.1"].solution, "run")
    assert "like PyTorch" in lesson_04.judge_run(run)
    with pytest.raises(Wrong, match="off by up to 0.00"):
        lesson_04.judge_run(lambda weights, x: run(weights, x) + 1e-4)
