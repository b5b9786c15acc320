import doctest
import math
import time

import numpy as np
import pytest

from xorlab import compare, data, models, predictors
from xorlab.integer import IntegerMLP
from xorlab.integer.affine import Affine
from xorlab.integer.operators import FullyConnected
from xorlab.tables import stacked


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
    assert compare.corners_right(constant(0.49)) == 2 == compare.corners_right(constant(0.51))
    assert compare.corners_right(lambda x: np.maximum(x[:, 0], x[:, 1])) == 3


def test_a_tie_is_not_a_class():
    assert compare.ties([0.49, 0.5, 0.51]).tolist() == [False, True, False]
    assert compare.classes([0.49, 0.5, 0.51]).tolist() == [0, 0, 1]
    assert compare.ties([[1, 3, 3], [3, 3, 4], [2, 2, 2]]).tolist() == [True, False, True]
    assert compare.corners_right(constant(0.5)) == 0
    assert compare.corners_right(lambda x: np.stack([1 - data.xor(x), data.xor(x) * x[:, 0]], 1)) == 3   # (0, 1): 0, 0
    middle = predictors.from_tflite(models.reference_file("sigmoid-2-3-1", "int8-middle.tflite"))
    assert middle(data.corners()[0])[0] == 0.5 and compare.corners_right(middle) == 2


@pytest.mark.parametrize("name, file", [("sigmoid-2-3-1", "int8"), ("sigmoid-2-3-1", "int8-middle"),
                                        ("relu-2-4-1", "int8"), ("textbook-2-4-1", "int8")])
def test_other_classes_can_be_told_with_and_without_ties(name, file):
    p, original = predictors.from_tflite(models.reference_file(name, f"{file}.tflite")), models.reference(name)
    original = predictors.from_torch(original)
    q = data.int8_inputs()
    code, float_ = p.codes(q).astype(int), original(p.input.dequantize(q))
    low, tie, high = code < 0, code == 0, code > 0                  # code 0 is 128/256
    report = compare.errors(original, p, p.input.dequantize(q))
    strict = ((low & (float_ > 0.5)) | (high & (float_ < 0.5))).sum()
    assert not (float_ == 0.5).any() and report.ties == tie.sum() > 0
    assert report.other_class - report.by_tie == strict
    assert report.by_tie == (tie & (float_ > 0.5)).sum()            # a tie counts as class 0 among other_class
    assert f"On {tie.sum():,} inputs an answer is exactly 0.5" in str(report)
    if (name, file) == ("sigmoid-2-3-1", "int8"):
        assert (report.other_class, strict, strict + (tie & (float_ < 0.5)).sum()) == (281, 234, 255)


def test_agreement_counts_ties_of_either():
    a, b = (predictors.from_tflite(models.reference_file("textbook-2-4-1", "int8.tflite"), kernels)
            for kernels in ("xnnpack", "reference"))
    codes = [p.codes(data.int8_inputs()) for p in (a, b)]
    report = compare.agreement(a, b)
    assert report.ties == len(np.union1d(*(np.flatnonzero(c == 0) for c in codes)))
    crossing = [i for i in range(65536) if {int(np.sign(c[i])) for c in codes} == {-1, 1}]
    with_tie = [i for i in range(65536) if {int(np.sign(c[i])) for c in codes} == {0, 1}]
    assert (report.other_class, report.by_tie) == (len(crossing) + len(with_tie), len(with_tie))
    assert report.table().notes[0].startswith(f"On {report.ties:,} inputs an answer is exactly 0.5")


def affine_net(sample, slope=1, dtype=np.int8):
    """Return a quantized predictor whose output code is the clamped sum of its input codes times a slope."""
    line, limits = predictors.Affine(1 / 256, 0, dtype), np.iinfo(dtype)

    def run(q):
        return np.clip(slope * q.reshape(len(q), -1).sum(1, dtype=int), limits.min, limits.max).astype(dtype)

    return predictors.QuantizedPredictor(run, f"slope {slope}", sample, line, line)


@pytest.mark.parametrize("sample, dtype, inputs, choice", [
    ((1,), np.int8, 256, "all 256"), ((2,), np.uint8, 65536, "all 65,536"), ((1,), np.int16, 65536, "all 65,536"),
    ((3,), np.int8, 65536, "a sample of 65,536 of 256^3"),
    ((4, 5, 1), np.uint8, 52428, "a sample of 52,428 of 256^20")])
def test_agreement_takes_every_input_or_says_that_it_is_a_sample(sample, dtype, inputs, choice):
    a, b = (affine_net(sample, slope, dtype) for slope in (1, -1))
    report = compare.agreement(a, b)
    assert (report.inputs, report.choice) == (inputs, choice) and choice in str(report)
    given = compare.agreement(a, b, np.ones((3, *sample), dtype))
    assert (given.inputs, given.choice) == (3, "3 given")


def test_agreement_of_one_input_counts_all_256_against_a_plain_loop():
    a, b = affine_net((1,)), affine_net((1,), -1)
    report = compare.agreement(a, b)
    pairs = [(code, min(-code, 127)) for code in range(-128, 128)]
    assert report.differing == sum(x != y for x, y in pairs) == 255
    assert report.largest_step == max(abs(x - y) for x, y in pairs) == 255


def test_no_inputs_and_inputs_of_other_shapes_are_refused():
    a = affine_net((1,))
    with pytest.raises(ValueError, match="at least one input"):
        compare.agreement(a, a, np.zeros((0, 1), np.int8))
    with pytest.raises(ValueError, match=r"slope 1 takes inputs of shape \(1,\) and slope 2 of \(2,\)"):
        compare.agreement(a, affine_net((2,), 2))


def integer_net(inputs, weights=None, scale=1.0):
    """Return an IntegerMLP of one layer; with a scale of 0.5 its rules part where sums are odd."""
    line = Affine(1.0, 0)
    weights = np.ones((1, inputs), np.int64) if weights is None else weights
    biases = np.zeros(len(weights), np.int64)
    return IntegerMLP((FullyConnected(weights, biases, np.float32([0.5]), line, Affine(scale, 0)),))


@pytest.mark.parametrize("inputs, n", [(1, 256), (2, 65536), (5, 65536)])
def test_origins_are_found_for_any_number_of_inputs(inputs, n):
    net = integer_net(inputs)
    first = compare.origins(net.under("tflm"), net.under("xnnpack"))
    q = data.code_inputs((inputs,)).codes
    sums = q.sum(1, dtype=int)
    assert len(first) == n and set(first) == {-1, 0}
    assert not (first[sums % 2 == 0] == 0).any()                # half an odd number is a tie; an even one is none


def test_origins_wants_one_net():
    with pytest.raises(ValueError, match="different scales"):
        compare.origins(integer_net(2), integer_net(2, scale=2.0))


def test_a_column_of_answers_is_one_answer_a_point():
    x = data.corners()[0]
    assert compare.classes(data.xor(x)[:, None]).tolist() == [0, 1, 1, 0]
    assert compare.corners_right(lambda x: data.xor(x)[:, None]) == 4
    assert compare.errors(data.xor, lambda x: data.xor(x)[:, None], x).max_abs == 0
    with pytest.raises(ValueError, match=r"shape \(n,\) or \(n, classes\), got \(1, 2, 2\)"):
        compare.classes(np.zeros((1, 2, 2)))


def test_xor_with_two_outputs_has_corners_and_a_probability():
    def logits(x):
        return np.stack([3 - 4 * data.xor(x), 2 * data.xor(x)], 1)

    assert compare.corners_right(logits) == 4
    z, meaning = compare.probability_of_one(logits(data.corners()[0]))
    both = np.exp(logits(data.corners()[0]))
    np.testing.assert_allclose(z, both[:, 1] / both.sum(1), rtol=1e-6)
    assert meaning == "softmax of the two outputs, class 1"
    with pytest.raises(ValueError, match=r"returned shape \(4, 3\) .* two classes"):
        compare.corners_right(lambda x: np.zeros((4, 3)))


def test_probabilities_stay_as_they_are_also_those_of_int8():
    p = np.linspace(0, 1, 997)
    pair = np.stack([1 - p, p], 1)
    for outputs in (pair, np.clip(np.floor(pair * 256 + 0.5), 0, 255) / 256):       # as an int8 softmax rounds
        z, meaning = compare.probability_of_one(outputs)
        assert meaning == "probability of class 1" and np.array_equal(z, outputs[:, 1])
    assert compare.probability_of_one(p)[1] == "output"


def test_answers_that_use_few_codes_or_inputs_that_are_cut_off_are_said():
    x = data.grid(33)

    def smooth(x):
        return x.mean(axis=1)

    def quantized(run, scale):
        line = predictors.Affine(1 / 256, -128)
        return predictors.QuantizedPredictor(run, "q", (2,), predictors.Affine(scale, -128), line)

    def three(q):
        return np.int8([-128, 0, 127])[np.arange(len(q)) % 3]

    (note, *_) = compare.errors(smooth, quantized(three, 1 / 255), x).notes
    assert note == "The outputs of q use 3 of 256 codes on these points, where the reference would use 65."
    assert not any("codes" in note for note in compare.errors(data.xor, quantized(three, 1 / 255), x).notes)
    (note, *_) = compare.errors(smooth, quantized(three, 0.5 / 255), x).notes
    share = np.mean([number > 0.5 + 1 / 1020 for number in x.ravel().tolist()])
    assert "from 0 to 0.5" in note and f"{share:.0%} of the numbers" in note
    half = np.full((50, 2), 0.5)
    for count, said in ((1, False), (2, True)):         # of 100 numbers: one may be cut off in silence
        half[:1, :count] = 2
        notes = compare.errors(quantized(three, 1 / 255), smooth, half).notes
        assert any(f"{count}% of the numbers" in note for note in notes) == said
    notes = compare.errors(quantized(three, 1 / 255), smooth, np.int8([[-128, 127]])).notes
    assert "int8 and taken as the numbers -128 to 127" in notes[0]


def test_a_good_net_on_its_own_points_has_no_note_but_ties():
    p = predictors.from_tflite(models.reference_file("sigmoid-2-3-1", "int8.tflite"))
    report = compare.errors(predictors.from_torch(models.reference()), p, data.corners()[0])
    assert report.notes == () and report.ties == 0


def by_hand(x, net, rounded):
    """Run sigmoid-2-3-1 point by point in plain Python, with one tensor rounded to codes; return the outputs."""
    def to_code(line, value):
        steps = np.float32(value) / np.float32(line.scale)
        code = int(np.floor(abs(float(steps)) + 0.5)) * (1 if steps >= 0 else -1) + line.zero_point
        return line.scale * (min(max(code, -128), 127) - line.zero_point)

    weights = {name: value.double().tolist() for name, value in models.reference().state_dict().items()}
    lines = dict(zip(("inputs", "sums of layer 1", "outputs of layer 1", "sums of layer 2", "outputs of layer 2"),
                     [net.input, *(step.output for step in net.steps)], strict=True))
    made = []
    for point in x.tolist():
        values, layers = point, [("hidden", 1), ("output", 2)]
        if rounded == "inputs":
            values = [to_code(lines["inputs"], value) for value in values]
        for name, i in layers:
            values = [sum(w * v for w, v in zip(row, values, strict=True)) + bias
                      for row, bias in zip(weights[f"{name}.weight"], weights[f"{name}.bias"], strict=True)]
            if rounded == f"sums of layer {i}":
                values = [to_code(lines[rounded], value) for value in values]
            values = [1 / (1 + math.exp(-value)) for value in values]
            if rounded == f"outputs of layer {i}":
                values = [to_code(lines[rounded], value) for value in values]
        made.append(values[0])
    return np.array(made)


def test_each_source_of_error_is_what_rounding_it_alone_does():
    net = IntegerMLP.from_tflite(models.reference_file("sigmoid-2-3-1", "int8.tflite"))
    x = data.dense(300, seed=2)[0]
    sources = compare.error_sources(models.reference(), net, x)
    exact = by_hand(x, net, None)
    for name in ("inputs", "sums of layer 1", "outputs of layer 1", "sums of layer 2", "outputs of layer 2"):
        np.testing.assert_allclose(sources.errors[name], by_hand(x, net, name) - exact, atol=1e-6, err_msg=name)
    original, p = predictors.from_torch(models.reference()), predictors.from_integer(net)
    np.testing.assert_allclose(sources.errors["the int8 network"], p(x) - original(x), atol=1e-6)
    assert list(sources.errors)[1] == "weights and biases" and "all of these" in str(sources)


@pytest.mark.parametrize("name", models.reference_names())
def test_all_sources_together_make_the_networks_error_but_for_how_it_rounds(name):
    net = IntegerMLP.from_tflite(models.reference_file(name, "int8.tflite"))
    q = net.input.dequantize(data.int8_inputs())
    errors = compare.error_sources(models.reference(name), net, q).errors
    assert not errors["inputs"].any()                           # the points are codes
    together, real = (np.abs(errors[part]).mean() for part in ("all of these", "the int8 network"))
    assert together == pytest.approx(real, rel=0.05)
    assert all(np.abs(errors[part]).max() > 0.001 for part in errors if part != "inputs")


def test_the_largest_source_of_the_lessons_net_is_the_hidden_sums():
    net = IntegerMLP.from_tflite(models.reference_file("sigmoid-2-3-1", "int8.tflite"))
    largest = {part: np.abs(e).max() for part, e in compare.error_sources(models.reference(), net).errors.items()}
    assert [round(largest[part], 3) for part in ("inputs", "sums of layer 1", "outputs of layer 2")] == [
        0.036, 0.058, 0.004]


def test_error_sources_wants_a_net_and_its_own_int8_form():
    net = IntegerMLP.from_tflite(models.reference_file("relu-2-4-1", "int8.tflite"))
    for other in (models.reference("sigmoid-2-3-1"), models.MLP(4, "relu", seed=0)):
        with pytest.raises(ValueError, match="its own int8 form"):
            compare.error_sources(other, net)


def test_files_of_one_name_keep_their_folders(tmp_path):
    paths = []
    for i, folder in enumerate("ab"):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / "int8.tflite")
        paths[-1].write_bytes(bytes(10 + i))
    assert compare.sizes(paths) == {str(paths[0]): 10, str(paths[1]): 11}
    assert compare.sizes(str(paths[0])) == compare.sizes(paths[0]) == {"int8.tflite": 10}


@pytest.mark.parametrize("arguments, says", [
    ({"repeats": 0}, "repeats .* got 0"), ({"repeats": 2.5}, "repeats .* got 2.5"),
    ({"warmup": -1}, "warmup .* got -1")])
def test_impossible_counts_of_calls_are_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        compare.times(len, [1], **arguments)
    with pytest.raises(TypeError, match="function to call, got int"):
        compare.times(3, 1)
    with pytest.raises(ValueError, match="at least one inference, got 0"):
        compare.times(len, [1], repeats=2, warmup=0).per(0)


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


@pytest.mark.parametrize("tolerance", [-1, np.nan, np.inf, "0.1", None, [0.1]])
def test_a_tolerance_that_is_no_number_of_0_or_more_is_refused(tolerance):
    with pytest.raises(ValueError, match="tolerance"):
        compare.errors(constant(0), constant(0), data.corners()[0], tolerance=tolerance)


def test_reports_show_as_text_and_as_a_table():
    report = compare.errors(data.xor, constant(0.25), data.corners()[0])
    assert "fail" in str(report) and str(report) == repr(report)
    assert report._repr_html_().startswith("<table>") and "100.00%" in report._repr_html_()


def test_notes_stand_below_a_table_once():
    report = compare.errors(data.xor, constant(0.5), data.corners()[0])
    note = "On 4 inputs an answer is exactly 0.5, a tie and no class; 2 of the 2 with another class are among them."
    assert report.notes == (note,) and str(report).endswith(f"\n{note}") and f"<p>{note}</p>" in report._repr_html_()
    assert str(stacked([report, report])).count(note) == 1


def test_the_examples_in_the_docstrings_are_true():
    done = doctest.testmod(compare)
    assert done.attempted >= 3 and not done.failed
