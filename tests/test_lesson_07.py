"""What lesson 07's exercises say of the converter's files: by the converter, and by the runtimes."""
import doctest

import numpy as np
import pytest

from xorlab import data, export, models, predictors, tflite_bytes, tflite_file
from xorlab.exercises import lesson_07
from xorlab.integer import affine


@pytest.fixture
def written(tmp_path):
    """Write an untrained net of these widths straight from TensorFlow, as the lesson does."""
    tf = pytest.importorskip("tensorflow")

    def write(widths, variant, granularity="per_channel", activation=tf.sigmoid):
        weights = [p.detach().numpy() for p in models.MLP(widths, seed=0).parameters()]

        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32)])
        def net(points):
            for w, b in zip(weights[::2], weights[1::2], strict=True):
                points = activation(tf.matmul(points, w, transpose_b=True) + b)
            return points

        path = tmp_path / f"{widths[0]}-{variant}.tflite"
        return export.function_to_tflite(net, path, variant, granularity=granularity)

    return write


@pytest.mark.parametrize(("net", "layers", "granularity"), [("one layer", 1, "per_tensor"),
                                                            ("two layers", 2, "per_channel")])
def test_int8_is_smaller_from_the_width_on_that_the_exercise_asks_for(written, net, layers, granularity):
    first = lesson_07.WIDTHS[net]

    def saved(units):
        widths = (units,) * layers
        return written(widths, "float32").stat().st_size - written(widths, "int8", granularity).stat().st_size

    assert saved(first - 1) <= 0 < saved(first)


def test_a_unit_adds_to_a_default_int8_file_what_the_exercise_counts(written):
    narrow, wide = (written((units,), "int8") for units in (256, 512))
    grown = {part: (tflite_bytes.account(wide).parts[part] - tflite_bytes.account(narrow).parts[part]) / 256
             for part in ("weights", "biases", "quantization")}
    unit = lesson_07._unit_bytes()
    assert grown == {"weights": unit["weights"], "biases": unit["biases"],
                     "quantization": unit["scales"] + unit["zero points"]}
    scales, zero_points = (sum(getattr(tensor, part).nbytes for tensor in tflite_file.read(wide).tensors)
                           for part in ("scales", "zero_points"))
    assert (unit["scales"], unit["zero points"]) == (8, 16) and zero_points == 2 * scales


@pytest.mark.parametrize("runtime", predictors.LITERT_KERNELS)
def test_litert_rounds_what_meets_a_quantized_matrix_as_the_exercise_asks(written, runtime):
    """With both signs, which a tanh gives and a sigmoid does not."""
    import tensorflow as tf

    path = written((40, 40), "dynamic_range", activation=tf.tanh)
    graph = tflite_file.read(path)
    x = data.grid(33).astype(np.float64)

    def computed(rounding):
        values = x
        for op in graph.operators:
            if op.name != "FULLY_CONNECTED":
                continue
            w, b = (graph.tensors[i] for i in op.inputs[1:])
            quantized = w.dtype == "INT8"
            matrix = w.data * np.float64(w.scales)[:, None] if quantized else w.data
            values = np.tanh((rounding(values) if quantized else values) @ np.float64(matrix).T + b.data)
        return values[:, 0]

    answers = predictors.from_tflite(path, runtime)(data.grid(33))
    near = np.abs(computed(lambda h: affine.rounded(h, axis=1)) - answers).mean()
    assert 100 * near < 1e-5 < np.abs(computed(lambda h: h) - answers).mean()


def test_the_package_and_the_check_round_on_the_fly_alike():
    rows = lesson_07._hidden()
    ours = affine.rounded(rows, axis=1)
    assert np.allclose(ours, [lesson_07._row_on_the_fly(row) for row in rows.tolist()], rtol=1e-12, atol=0)
    assert np.array_equal(affine.rounded(rows[3]), affine.rounded(rows[3:4], axis=1)[0])
    assert not affine.rounded(np.zeros((2, 3)), axis=1).any()


def test_examples_of_affine_lines_hold():
    assert doctest.testmod(affine).failed == 0
