import time

import numpy as np
import pytest

from xorlab import compare, data, models, predictors


def constant(value):
    return lambda x: np.full(len(x), value, np.float32)


def test_errors_are_absolute_before_they_are_averaged():
    x = data.corners()[0]

    def zigzag(points):
        return np.array([0.5, -0.5, 0.25, 0.0], np.float32)

    report = compare.errors(constant(0), zigzag, x, tolerance=0.25)
    assert (report.max_abs, report.mean_abs, report.mean_signed) == (0.5, 0.3125, 0.0625)
    assert (report.not_close, report.passed, report.max_relative) == (0.5, False, 0)
    assert compare.errors(constant(0), zigzag, x, tolerance=0.5).passed


def test_relative_errors_are_relative_to_the_reference():
    def half(points):
        return np.array([0.5, 1, 1, 0], np.float32)

    def whole(points):
        return np.array([1, 1, 2, 3], np.float32)

    x = data.corners()[0]
    assert compare.errors(half, whole, x).max_relative == 1.0
    assert compare.errors(whole, half, x).max_relative == 1.0
    assert compare.errors(constant(2), constant(3), x).max_relative == 0.5


def test_errors_against_a_plain_loop_over_classes():
    rng = np.random.default_rng(4)
    x, expected, given = rng.random((50, 3)), *rng.normal(size=(2, 50, 4)).astype(np.float32)
    report = compare.errors(lambda _: expected, lambda _: given, x, tolerance=1.5)
    pairs = [(float(a), float(b)) for a, b in zip(expected.ravel(), given.ravel(), strict=True)]
    sizes = [abs(b - a) for a, b in pairs]
    assert (report.outputs, report.points) == (200, 50)
    assert report.max_abs == max(sizes) and report.mean_abs == pytest.approx(sum(sizes) / 200)
    assert report.mean_signed == pytest.approx(sum(b - a for a, b in pairs) / 200)
    assert report.max_relative == pytest.approx(max(abs(b - a) / abs(a) for a, b in pairs))
    assert report.not_close == sum(size > 1.5 for size in sizes) / 200 > 0 and not report.passed
    largest = [[max(range(4), key=row.__getitem__) for row in rows.tolist()] for rows in (expected, given)]
    assert report.other_class == sum(a != b for a, b in zip(*largest, strict=True)) > 10


def test_other_classes_of_one_probability_are_counted_at_a_half():
    x = data.corners()[0]
    report = compare.errors(data.xor, lambda points: np.array([0.6, 0.6, 0.5, 0.1], np.float32), x)
    assert report.other_class == 2


def test_errors_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"shape \(4,\) and .* in \(4, 2\)"):
        compare.errors(data.xor, lambda points: points, data.corners()[0])


def test_agreement_counts_every_input_against_a_plain_loop():
    a, b = (predictors.from_tflite(models.reference_file("textbook-2-4-1", "int8.tflite"), runtime)
            for runtime in ("xnnpack", "builtin"))
    q = data.int8_inputs()[::1009]
    pairs = [(int(s), int(t)) for s, t in zip(a.codes(q), b.codes(q), strict=True)]
    report = compare.agreement(a, b, q)
    assert report.inputs == len(q)
    assert report.differing == sum(s != t for s, t in pairs) > 0
    assert report.largest_step == max(abs(s - t) for s, t in pairs)
    assert report.other_class == sum((s > 0) != (t > 0) for s, t in pairs)     # code 0 is 0.5, class 0
    assert compare.agreement(a, b).inputs == 65536 and compare.agreement(a, a).differing == 0


def test_the_largest_step_has_no_sign():
    line = predictors.Affine(1 / 256, -128)

    def always(code):
        return predictors.QuantizedPredictor(lambda q: np.full(len(q), code, np.int8), str(code), (2,), line, line)

    low, high = always(-128), always(127)
    assert compare.agreement(low, high).largest_step == compare.agreement(high, low).largest_step == 255


def test_agreement_counts_inputs_where_each_has_a_code_for_every_class():
    line = predictors.Affine(0.5, 3)
    codes = np.int8([[1, 5, 2], [1, 5, 2], [7, 0, 0], [9, 9, 1]])
    other = codes.copy()
    other[1] = [1, 2, 5]
    other[2] = [7, 1, 1]
    a, b = (predictors.QuantizedPredictor(lambda q, out=out: out, "p", (1,), line, line) for out in (codes, other))
    report = compare.agreement(a, b, np.zeros((4, 1), np.int8))
    assert (report.inputs, report.differing, report.largest_step, report.other_class) == (4, 2, 3, 1)


def test_agreement_wants_two_quantized_predictors_of_one_scale():
    a = predictors.from_tflite(models.reference_file("relu-2-4-1", "int8.tflite"))
    with pytest.raises(TypeError, match="no codes"):
        compare.agreement(a, constant(0))
    other = predictors.QuantizedPredictor(a.codes, "other", (2,), a.input, predictors.Affine(0.5, 0))
    with pytest.raises(ValueError, match="different scales"):
        compare.agreement(a, other)


def test_corners_right_counts_classes():
    assert compare.classes([0.49, 0.5, 0.51]).tolist() == [0, 0, 1]
    assert compare.corners_right(data.xor) == 4
    assert compare.corners_right(constant(0.5)) == 2 == compare.corners_right(constant(0.51))
    assert compare.corners_right(lambda x: np.maximum(x[:, 0], x[:, 1])) == 3


def test_sizes_are_bytes(tmp_path):
    (tmp_path / "a").write_bytes(bytes(2140))
    assert compare.sizes([tmp_path / "a"]) == {"a": 2140}
    with pytest.raises(FileNotFoundError, match="missing"):
        compare.sizes([tmp_path / "missing"])


def test_times_count_only_calls_after_the_warm_up():
    calls = []

    def slow_at_first(seconds):
        calls.append(seconds)
        time.sleep(0.05 if len(calls) <= 2 else seconds)

    timing = compare.times(slow_at_first, 0.002, repeats=5, warmup=2)
    assert len(calls) == 7
    assert 0.002 <= timing.low <= timing.median <= timing.high < 0.05
    assert timing.per(10).median == pytest.approx(timing.median / 10)


@pytest.mark.parametrize("value, text", [(2.5, "2.5 s"), (0.0123, "12.3 ms"), (4.2e-5, "42 us"), (1e-9, "1 ns")])
def test_times_carry_the_unit_that_suits_them(value, text):
    assert compare.seconds(value) == text


def test_a_negative_tolerance_is_refused():
    with pytest.raises(ValueError, match="tolerance"):
        compare.errors(constant(0), constant(0), data.corners()[0], tolerance=-1)


def test_reports_show_as_text_and_as_a_table():
    report = compare.errors(data.xor, constant(0.25), data.corners()[0])
    assert "fail" in str(report) and str(report) == repr(report)
    assert report._repr_html_().startswith("<table>") and "100.00%" in report._repr_html_()
