
import io
import os
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

import lab
from xorlab import compare, data, look, models, plots, predictors, tflite_bytes, training
from xorlab.integer import IntegerMLP
from xorlab.integer.affine import Affine
from xorlab.integer.operators import FullyConnected
from xorlab.plots import paper
from xorlab.plots.lines import spread

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def series_style():
    with plt.style.context(look.STYLE):
        yield


@pytest.fixture(autouse=True)
def labelled_figures(series_style):
    """Close what a test drew; whatever of it is shown must have a title and labels, or names for ticks."""
    plt.close("all")            # of other files' tests, on the same worker
    yield
    axes = [ax for number in plt.get_fignums() for ax in plt.figure(number).axes
            if ax.axison and ax.has_data() and ax.get_label() != "<colorbar>"]
    named = {ax: any(c.isalpha() or c == "%" for tick in ax.get_yticklabels() for c in tick.get_text()) for ax in axes}
    window = {ax for ax in axes if ax.get_label() == "<window>"}            # the map beside it has them
    unlabelled = [ax for ax in axes if not (title_of(ax) and ax.get_xlabel() and (ax.get_ylabel() or named[ax]))]
    plt.close("all")
    assert [ax for ax in unlabelled if ax not in window] == []


def title_of(ax):
    return ax.get_title(loc="left")


def texts(ax):
    return [text.get_text() for text in ax.texts]


def steep_in_the_first(x):
    return x[:, 0] ** 2


def test_the_first_input_runs_along_x_and_the_origin_is_lower_left():
    ax = plots.surface(steep_in_the_first, side=5)
    z = np.asarray(ax.images[0].get_array())
    assert np.allclose(z, np.tile(np.linspace(0, 1, 5) ** 2, (5, 1)))
    assert ax.images[0].origin == "lower" and ax.get_xlabel() == "first input"


def test_a_surface_has_fixed_limits_a_title_and_a_contour_where_there_is_one():
    ax = plots.surface(steep_in_the_first)
    assert ax.images[0].get_clim() == (0, 1) and title_of(ax) == "steep_in_the_first"
    (contour,) = [c for c in ax.collections if isinstance(c, matplotlib.contour.QuadContourSet)]
    assert np.allclose(contour.get_paths()[0].vertices[:, 0], 0.5**0.5, atol=1e-3)
    flat = plots.surface(lambda x: np.full(len(x), 0.2), title="flat")
    assert not [c for c in flat.collections if isinstance(c, matplotlib.contour.QuadContourSet)]


def test_a_difference_is_first_minus_second_on_a_symmetric_scale():
    ax = plots.difference(steep_in_the_first, data.xor, side=3)
    expected = np.array([[0, 0.25, 1], [0, 0.25, 1], [0, 0.25, 1]]) - [[0, 0, 1], [0, 0, 1], [1, 1, 0]]
    assert np.allclose(ax.images[0].get_array(), expected)
    assert ax.images[0].get_clim() == (-1, 1)


def test_alt_texts_are_computed_from_the_data():
    ax = plots.surface(data.xor)
    assert "from 0.00 to 1.00" in ax.figure.alt_text and "4 of 4 corners" in ax.figure.alt_text
    assert "3 of 4 corners" in plots.regions(steep_in_the_first, side=3).figure.alt_text.replace("2 of", "3 of")
    history = training.fit(models.MLP(seed=1), *data.corners(), epochs=5)
    assert "5 epochs" in plots.losses(history).figure.alt_text
    assert "2 points labelled 0 and 2 labelled 1" in plots.points(*data.corners()).figure.alt_text


def test_a_figure_of_several_axes_collects_every_description():
    figure, axes = plt.subplots(1, 2)
    plots.surface(data.xor, axes[0])
    plots.difference(data.xor, data.xor, axes[1])
    assert figure.alt_text.count("unit square") == 2


def test_a_frame_is_a_surface_computed_before():
    z = plots.values(steep_in_the_first, 5)
    assert z.shape == (5, 5) and np.allclose(z[:, 2], np.linspace(0, 1, 5) ** 2)
    ax = plots.frame(z, title="epoch 3")
    assert np.allclose(ax.images[0].get_array(), np.tile(np.linspace(0, 1, 5) ** 2, (5, 1)))
    assert "epoch 3" in ax.figure.alt_text and "2 of 4 corners" in ax.figure.alt_text


def test_a_disagreement_map_shows_every_input_at_its_place():
    line = predictors.Affine(1 / 256, -128)

    def always(codes):
        return predictors.QuantizedPredictor(lambda q: codes(q).astype(np.int8), "p", (2,), line, line)

    a = always(lambda q: np.where((q[:, 0] == 100) & (q[:, 1] == -128), 7, 0))
    other = always(lambda q: np.where(q[:, 0] < 28, 7, 0))              # on 156 of 256 columns
    picture = plots.disagreement(other, always(lambda q: np.zeros(len(q)))).images[0]
    assert np.asarray(picture.get_array())[:, :156].tolist() == [[7] * 156] * 256
    assert np.count_nonzero(picture.get_array()) == 156 * 256 and picture.get_clim() == (-7, 7)
    ax = plots.disagreement(a, always(lambda q: np.zeros(len(q))))      # one input only: a marker
    (marks,) = [marks for marks in ax.collections if len(marks.get_offsets())]
    assert marks.get_offsets().tolist() == [[100, -128]] and "1 of 65,536" in ax.figure.alt_text


def sums(sample, shift=0, dtype=np.int8, name=None):
    """Return a quantized predictor that answers with half the mean of its codes, plus a shift, in codes."""
    line, limits = Affine(1 / 256, 0, dtype), np.iinfo(dtype)

    def run(q):
        mean = q.reshape(len(q), -1).mean(axis=1)
        return np.clip(np.floor(mean / 2) + shift, limits.min, limits.max).astype(dtype)

    return predictors.QuantizedPredictor(run, name or f"shifted by {shift}", sample, line, line)


def test_a_disagreement_of_one_input_is_a_curve_over_all_its_codes():
    a, b = sums((1,)), predictors.QuantizedPredictor(
        lambda q: np.where(q[:, 0] == 5, 9, np.floor(q[:, 0] / 2)).astype(np.int8), "b", (1,), sums((1,)).input,
        sums((1,)).output)
    ax = plots.disagreement(b, a)
    codes, steps = ax.lines[0].get_data()
    assert codes.tolist() == list(range(-128, 128)) and np.flatnonzero(steps).tolist() == [5 + 128]
    assert steps[5 + 128] == 9 - 2 and "1 of 256 inputs differ, by at most 7" in ax.figure.alt_text
    assert ax.get_xlabel() == "input, code" and ax.get_ylim()[1] > 7


@pytest.mark.parametrize("dtype, first, which", [(np.int8, -128, ""), (np.uint8, 0, ""),
                                                 (np.int16, -32768, " at every 257th code")])
def test_a_disagreement_has_the_codes_of_its_type(dtype, first, which):
    ax = plots.disagreement(sums((2,), 2, dtype), sums((2,), 0, dtype))
    picture = ax.images[0]
    step = 257 if dtype == np.int16 else 1
    assert picture.get_extent()[0] == first - step / 2 and ax.get_xticks()[0] == first
    assert np.asarray(picture.get_array()).shape == (256, 256) and picture.get_array().max() == 2
    assert f"65,536 of 65,536 inputs{which} differ, by at most 2" in ax.figure.alt_text
    assert ("every 257th" in ax.figure.alt_text) == bool(which)


def test_a_slice_varies_two_inputs_and_keeps_the_others():
    asked = []

    def run(q):
        asked.append(q.copy())
        return q[:, 1].copy()

    line = Affine(1 / 256, 0)
    p = predictors.QuantizedPredictor(run, "p", (4,), line, line)
    ax = plots.disagreement(p, p, inputs=(3, 1), at=np.int8([7, 0, -9, 0]))
    (q, _) = asked
    assert (q[:, 0] == 7).all() and (q[:, 2] == -9).all() and np.array_equal(q[:, [3, 1]], data.int8_inputs())
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("input 3, code", "input 1, code")
    assert "0 of 65,536 inputs of a slice differ" in ax.figure.alt_text and "inputs 3 and 1" in title_of(ax)
    surface = plots.surface(lambda x: x[:, 0, 1] + x[:, 1, 0] / 10, inputs=(1, 2), at=np.zeros((2, 2)), side=3)
    np.testing.assert_allclose(surface.images[0].get_array(), [[0, .5, 1], [.05, .55, 1.05], [.1, .6, 1.1]], atol=1e-6)


@pytest.mark.parametrize("draw", [
    lambda p, **where: plots.disagreement(p, p, **where), lambda p, **where: plots.code_difference(p, p, **where),
    plots.surface])
def test_a_net_of_more_inputs_needs_a_slice_and_says_so(draw):
    p = sums((4,), name="four")
    with pytest.raises(ValueError, match=r"four takes 4 inputs.*inputs=\(0, 1\)"):
        draw(p)
    for inputs in ((0,), (0, 0), (0, 4), (-1, 0), (0.0, 1), 3):
        with pytest.raises(ValueError, match="two different whole numbers from 0 to 3"):
            draw(p, inputs=inputs, at=np.zeros(4, np.int8))
    with pytest.raises(ValueError, match=r"one input of four, numbers of shape \(4,\); got .* \(3,\)"):
        draw(p, inputs=(0, 1), at=np.zeros(3, np.int8))
    for half in ({"inputs": (0, 1)}, {"at": np.zeros(4, np.int8)}):
        with pytest.raises(ValueError, match="needs both"):
            draw(p, **half)


def test_codes_given_for_a_slice_must_be_codes():
    p = sums((3,))
    with pytest.raises(ValueError, match="int8 codes; got numbers from 0 to 200"):
        plots.disagreement(p, p, inputs=(0, 1), at=[0, 0, 200])
    with pytest.raises(ValueError, match="int8 codes; got numbers from 0 to 0.5"):
        plots.disagreement(p, p, inputs=(0, 1), at=[0, 0, 0.5])


def test_codes_of_different_scales_are_not_drawn():
    a = sums((2,))
    other = predictors.QuantizedPredictor(a.codes, "other", (2,), a.input, Affine(0.5, 0))
    with pytest.raises(ValueError, match="different scales"):
        plots.disagreement(a, other)
    with pytest.raises(TypeError, match="no codes to compare"):
        plots.disagreement(a, data.xor)


def test_origins_of_one_input_stand_at_their_operators():
    line = Affine(1.0, 0)
    net = IntegerMLP((FullyConnected(np.array([[1]]), np.array([0]), np.float32([0.5]), line, line),))
    ax = plots.origins(net.under("tflm"), net.under("xnnpack"))
    codes, first = ax.lines[0].get_data()
    assert np.array_equal(first, compare.origins(net.under("tflm"), net.under("xnnpack"))) and len(codes) == 256
    assert "Map of all 256 inputs" in ax.figure.alt_text
    wide = IntegerMLP((FullyConnected(np.array([[1, 1, 1]]), np.array([0]), np.float32([0.5]), line, line),))
    ax = plots.origins(wide.under("tflm"), wide.under("xnnpack"), inputs=(0, 2), at=np.zeros(3, np.int8))
    assert "Map of 65,536 inputs of a slice" in ax.figure.alt_text


def test_where_few_inputs_part_each_has_a_marker_of_its_operators_form():
    net = IntegerMLP.from_tflite(models.reference_file("sigmoid-2-3-1", "int8.tflite"))
    first = compare.origins(net, net.under("reference")).reshape(256, 256)
    for ax in (None, plots.canvas(530, 560)[1]):
        ax = plots.origins(net, net.under("reference"), ax)
        drawn = [{(int(x) + 128, int(y) + 128) for x, y in marks.get_offsets()} for marks in ax.collections
                 if len(marks.get_offsets())]
        assert drawn == [set(map(tuple, np.argwhere(first == i).tolist())) for i in (0, 2)]
        assert len({marks.get_paths()[0].vertices.tobytes() for marks in ax.collections
                    if len(marks.get_offsets())}) == 2


def test_a_code_difference_is_taken_on_every_input_code():
    p = predictors.from_tflite(models.reference_file("sigmoid-2-3-1", "int8.tflite"), name="int8")
    original = predictors.from_torch(models.reference())
    ax = plots.code_difference(p, original)
    report = compare.errors(original, p, p.input.dequantize(data.int8_inputs()))
    drawn = np.asarray(ax.images[0].get_array())
    assert drawn.shape == (256, 256) and np.abs(drawn).max() == pytest.approx(report.max_abs)
    assert drawn.mean() == pytest.approx(report.mean_signed) and f"{report.mean_abs:.4f}" in ax.figure.alt_text
    q = np.int8([[100, -20]])
    assert drawn[-20 + 128, 100 + 128] == p.output.dequantize(p.codes(q))[0] - original(p.input.dequantize(q))[0]
    assert "on all 65,536 inputs, int8 minus PyTorch" in ax.figure.alt_text
    with pytest.raises(TypeError, match="no input codes"):
        plots.code_difference(original, p)


def test_a_smaller_reach_shows_small_differences_and_says_what_is_beyond():
    ax = plots.difference(steep_in_the_first, lambda x: 0 * x[:, 0], side=5, reach=0.25)
    assert ax.images[0].get_clim() == (-0.25, 0.25)
    assert "Beyond the scale's ends, 0.25 either way, on 40% of it" in ax.figure.alt_text        # 9/16 and 1 of five
    assert ax.images[0].colorbar.extend == "max"
    assert plots.difference(steep_in_the_first, data.xor, side=5).images[0].colorbar.extend == "neither"
    for reach in (0, -1, np.nan, [1]):
        with pytest.raises(ValueError, match="reach must be a number above 0"):
            plots.difference(data.xor, data.xor, side=5, reach=reach)
    curve = plots.code_difference(sums((1,), 3), sums((1,)), reach=0.1)
    assert curve.get_ylim() == pytest.approx((-0.105, 0.105))


def test_outputs_beyond_the_colours_are_said():
    ax = plots.surface(lambda x: 2 * x[:, 0] - 0.25, side=5, title="steep")
    assert title_of(ax) == "steep" and texts(ax) == ["outputs -0.25 to 1.75"]
    assert "on 60% of it" in ax.figure.alt_text and "from -0.25 to 1.75" in ax.figure.alt_text    # -0.25, 1.25, 1.75
    assert ax.images[0].colorbar.extend == "both"
    assert texts(plots.frame(np.full((3, 3), 1.5), title="t")) == ["outputs 1.5 to 1.5"]
    for inside in (data.xor, lambda x: 1.0001 * x[:, 0]):
        ax = plots.surface(inside, title="inside")
        assert title_of(ax) == "inside" and texts(ax) == [] and "Beyond" not in ax.figure.alt_text
        assert ax.images[0].colorbar.extend == "neither"


def test_two_classes_are_drawn_as_the_probability_of_class_1():
    def logits(x):
        return np.stack([3 - 4 * data.xor(x), 2 * data.xor(x)], 1)

    def probabilities(x):
        both = np.exp(logits(x))
        return both / both.sum(1, keepdims=True)

    drawn = [plots.surface(p, side=11) for p in (logits, probabilities)]
    np.testing.assert_allclose(*(np.asarray(ax.images[0].get_array()) for ax in drawn), atol=1e-6)
    assert [ax.images[0].colorbar.ax.get_ylabel() for ax in drawn] == [
        "softmax of the two outputs, class 1", "probability of class 1"]
    assert all("4 of 4 corners" in ax.figure.alt_text for ax in drawn)
    assert "4 of 4 corners" in plots.regions(logits).figure.alt_text
    ax = plots.boundary(logits, plots.points(*data.corners()))
    assert [text.get_text() for text in ax.get_legend().get_texts()][-1] == "logits"
    with pytest.raises(ValueError, match=r"returned shape \(25, 3\) .* two classes"):
        plots.surface(lambda x: np.zeros((len(x), 3)), side=5)


def test_a_plateau_of_ties_is_said_and_solves_no_corner():
    ax = plots.surface(predictors.from_tflite(models.reference_file("sigmoid-2-3-1", "int8-middle.tflite")))
    assert "above 0.5 on 91% of it, exactly 0.5 on 9%, 2 of 4 corners right" in ax.figure.alt_text
    assert "exactly" not in plots.surface(lambda x: x[:, 0]).figure.alt_text            # a line of ties


def test_a_tie_has_no_region():
    ax = plots.regions(lambda x: x[:, 0], side=5)
    picture = ax.images[0].get_array()
    assert np.ma.getmaskarray(picture)[:, 2].all() and np.ma.getmaskarray(picture).sum() == 5
    assert "1 on 40% of it, a tie on 20%, 2 of 4 corners" in ax.figure.alt_text
    assert "tie" not in plots.regions(data.xor).figure.alt_text


def test_regions_mark_and_count_the_corners_by_the_labels_they_are_given():
    def is_or(x):
        return (x.sum(axis=1) > 0.5).astype(np.float32)

    ax = plots.regions(is_or, labels=[0, 1, 1, 1])
    assert [len(marks.get_offsets()) for marks in ax.collections] == [1, 3] and "4 of 4" in ax.figure.alt_text
    assert plots.regions(lambda x: x[:, 0] > 0.25, side=3).images[0].get_array().tolist() == [[0, 1, 1]] * 3
    ax = plots.regions(is_or)
    assert [len(marks.get_offsets()) for marks in ax.collections] == [2, 2] and "3 of 4" in ax.figure.alt_text


def test_a_response_is_the_output_at_every_code_of_a_one_input_net():
    a, b = sums((1,)), sums((1,), 9)
    ax = plots.response(a, b)
    assert [line.get_label() for line in ax.lines] == ["shifted by 0", "shifted by 9"]
    x, y = ax.lines[1].get_data()
    assert np.array_equal(x, np.arange(-128, 128) / 256)
    assert np.array_equal(y, np.minimum(np.floor(np.arange(-128, 128) / 2) + 9, 127) / 256)
    assert ax.child_axes[0].get_ylabel() == "output code" and "on 256 codes" in ax.figure.alt_text
    mixed = plots.response(a, lambda x: x[:, 0] / 2, span=(0, 0.25))
    assert mixed.child_axes == [] and mixed.lines[1].get_xdata().max() == 0.25 == mixed.lines[0].get_xdata().max()


@pytest.mark.parametrize("call, says", [
    (lambda: plots.response(), "at least one predictor"), (lambda: plots.response(sums((2,))), "takes 2 inputs"),
    (lambda: plots.response(sums((1,)), span=(3, 4)), "no input code"), (lambda: plots.surface(sums((1,))), "response"),
    (lambda: plots.response(data.xor, span=(1, 0)), "the lower first"),
    (lambda: plots.surface(data.xor, span=(0, 0)), "the lower first"),
    (lambda: plots.frame(np.zeros((3, 4))), r"\(side, side\), got \(3, 4\)"),
    (lambda: plots.surface(data.xor, side=2.5), "whole number of points a side"),
    (lambda: plots.regions(sums((3,))), "takes 3 inputs"),
    (lambda: plots.regions(data.xor, labels=[0, 1]), "labels must be 4 numbers"),
])
def test_what_cannot_be_drawn_gets_a_sentence(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_another_span_has_its_own_ticks_and_no_corners():
    ax = plots.surface(lambda x: x[:, 0] / 6, side=4, span=(0, 6))
    assert ax.get_xticks().tolist() == [0, 3, 6] and ax.images[0].get_extent() == [-1, 7, -1, 7]
    np.testing.assert_allclose(ax.images[0].get_array()[0], [0, 1 / 3, 2 / 3, 1], atol=1e-6)
    assert "a square of two inputs, 0 to 6" in ax.figure.alt_text and "corners" not in ax.figure.alt_text
    assert plots.surface(lambda x: x[:, 0], side=4).images[0].get_extent() != ax.images[0].get_extent()


def test_points_with_other_labels_are_named_by_them():
    x, y = data.corners()
    assert "2 points labelled -1 and 2 labelled 1" in plots.points(x, 2 * y - 1).figure.alt_text
    ax = plots.points(x, [0, 255, 128, 0])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["0", "128 to 255"]


def test_shares_and_survival_and_final_losses_draw_what_the_race_found():
    race = training.race(["adam", "sgd"], starts=30, epochs=300)
    adam, sgd = race.entries
    ax = plots.shares(race.entries)
    assert [bar.get_width() for bar in ax.patches] == [adam.share, sgd.share]
    assert {tuple(line.get_xdata()) for line in ax.lines} == {adam.interval, sgd.interval}
    ax = plots.survival(race.entries)
    epochs, left = ax.lines[0].get_data()
    assert left[-1] == pytest.approx(1 - adam.share) and left[0] == 1
    for epoch in (80, 150, 300):
        assert left[epochs <= epoch][-1] == pytest.approx(np.mean(adam.epochs_to_solve > epoch))
    ax = plots.final_losses(adam)
    assert sum(bar.get_height() for bar in ax.patches) == 30
    assert f"{adam.solved.sum()} of 30" in ax.figure.alt_text


def test_points_are_drawn_where_they_are_by_label():
    x, y = data.noisy(40, seed=1)
    blue, red = plots.points(x, y).collections
    assert np.array_equal(blue.get_offsets(), x[y == 0]) and np.array_equal(red.get_offsets(), x[y == 1])


def test_a_boundary_is_where_the_output_is_one_half():
    ax = plots.points(*data.corners())
    plots.boundary(steep_in_the_first, ax, color="black", linestyle="--")
    (contour,) = [c for c in ax.collections if isinstance(c, matplotlib.contour.QuadContourSet)]
    assert np.allclose(contour.get_paths()[0].vertices[:, 0], 0.5**0.5, atol=1e-3)
    plots.boundary(lambda x: np.full(len(x), 0.2), ax, label="flat")
    assert [text.get_text() for text in ax.get_legend().get_texts()][2:] == [
        "steep_in_the_first", "flat: none in the square"]


def test_a_confusion_matrix_counts_as_scikit_learn_does():
    from sklearn.metrics import confusion_matrix

    rng = np.random.default_rng(5)
    labels = rng.integers(0, 4, 90)
    predicted = np.where(rng.random(90) < 0.7, labels, rng.integers(0, 4, 90))
    ax = plots.confusion(labels, predicted, names="abcd")
    counts = confusion_matrix(labels, predicted)
    assert np.array_equal(ax.images[0].get_array(), counts) and not np.array_equal(counts, counts.T)
    written = {tuple(map(int, text.get_position())): text for text in ax.texts}
    for (row, column), count in np.ndenumerate(counts):
        text = written[column, row]
        assert text.get_text() == str(count)
        shade = np.mean(ax.images[0].cmap(ax.images[0].norm(count))[:3])       # dark letters on pale and back
        assert abs(shade - (1 if text.get_color() == look.PAPER[0] else 0.1)) > 0.35
    assert f"{np.trace(counts)} of 90 right" in ax.figure.alt_text
    assert ax.get_ylabel() == "true class"


def test_a_class_that_was_never_right_keeps_its_row():
    assert plots.confusion([2, 0], [0, 0]).images[0].get_array().tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 0]]
    with pytest.raises(ValueError, match="whole numbers of one shape"):
        plots.confusion([0, 1], [0.2, 0.9])
    with pytest.raises(ValueError, match="whole numbers of one shape"):
        plots.confusion([0, 1], [0, 1, 1])
    with pytest.raises(ValueError, match=r"between 0 and 1, .* got \[0 2 0 1\]"):
        plots.confusion([0, 2], [0, 1], names="ab")
    with pytest.raises(ValueError, match="between 0 and 1"):
        plots.confusion([0, -1], [0, 1])
    with pytest.raises(ValueError, match="there must be some"):
        plots.confusion(np.array([], int), np.array([], int))


def test_a_picture_is_ink_on_paper_and_wants_its_channels():
    ax = plots.picture(np.eye(4)[..., None], title="a line")
    assert np.array_equal(np.squeeze(ax.images[0].get_array()), np.eye(4)) and "a line" in ax.figure.alt_text
    assert ax.images[0].cmap(1.0)[:3] == (0, 0, 0) and ax.images[0].get_clim() == (0, 1)
    assert ax.images[0].origin == "upper" and ax.yaxis_inverted()       # its first row is the top one
    assert plots.picture(np.zeros((4, 4, 3))).images[0].get_array().shape == (4, 4, 3)
    with pytest.raises(ValueError, match=r"got \(8, 8\)"):
        plots.picture(np.zeros((8, 8)))


def test_curves_draw_training_and_validation_from_epoch_one():
    ax = plots.curves({"loss": [3, 2, 1], "val_loss": [4, 3, 3]}, "loss")
    assert [(line.get_label(), *line.get_ydata()) for line in ax.lines] == [
        ("training", 3, 2, 1), ("validation", 4, 3, 3)]
    assert ax.lines[0].get_xdata().tolist() == [1, 2, 3] and "over 3 epochs" in ax.figure.alt_text
    with pytest.raises(ValueError, match="holds loss; got 'accuracy'"):
        plots.curves({"loss": [1]}, "accuracy")


def test_the_whole_surface_is_one_batch():
    calls = []

    def counted(x):
        calls.append(len(x))
        return data.xor(x)

    plots.surface(counted)
    assert calls == [101 * 101]


def test_a_bare_module_is_told_how_to_become_a_predictor():
    with pytest.raises(TypeError, match="from_torch"):
        plots.surface(models.MLP(seed=0))
    plots.surface(predictors.from_torch(models.MLP(seed=0)))


def test_the_kernel_sends_the_alt_text_with_the_picture():
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    try:
        ax = plots.surface(data.xor)
        content, metadata = shell.display_formatter.format(ax.figure)
        assert metadata["image/png"]["alt"] == ax.figure.alt_text and content["image/png"]
    finally:
        InteractiveShell.clear_instance()


def test_stacked_bars_have_the_lengths_of_the_accounts_parts():
    accounts = [tflite_bytes.account(models.reference_file("sigmoid-2-3-1", f"{variant}.tflite"))
                for variant in ("float32", "int8")]
    ax = plots.byte_parts(accounts)
    drawn = {bars.get_label(): [bar.get_width() for bar in bars] for bars in ax.containers}
    assert drawn == {purpose: [account.parts[purpose] for account in accounts]
                     for purpose in tflite_bytes.PURPOSES if any(account.parts[purpose] for account in accounts)}
    ends = [max(bars[row].get_x() + bars[row].get_width() for bars in ax.containers) for row in (0, 1)]
    assert ends == [2332, 2752] and "int8 2,752 bytes" in ax.figure.alt_text


def test_two_files_or_pairs_of_one_name_keep_a_row_each():
    accounts = [tflite_bytes.account(models.reference_file(name, "int8.tflite"))
                for name in ("sigmoid-2-3-1", "relu-2-4-1")]
    assert accounts[0].name == accounts[1].name
    ax = plots.byte_parts(accounts)
    tops = {row: max(bars[row].get_x() + bars[row].get_width() for bars in ax.containers) for row in (0, 1)}
    assert tops == {row: account.total for row, account in enumerate(accounts)}
    assert len({bar.get_y() for bar in ax.containers[0]}) == 2
    report = compare.errors(data.xor, data.xor, data.corners()[0])
    ax = plots.error_sizes([report, report])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["xor vs xor (no error)"] * 2
    assert [marks.get_offsets()[:, 1].tolist() for marks in ax.collections[1:]] == [[0, 1], [0, 1]]


def test_error_sizes_stand_where_the_reports_say():
    reports = [compare.errors(data.xor, lambda x, shift=shift: data.xor(x) + shift * x[:, 0], data.corners()[0])
               for shift in (0.25, 0.5)]
    ax = plots.error_sizes(reports)
    mean, largest = (marks.get_offsets()[:, 0] for marks in ax.collections[1:])
    assert list(mean) == [0.125, 0.25] and list(largest) == [0.25, 0.5] and ax.get_xscale() == "log"


# What is stored

def stored(figure):
    """Return the pixels of a figure as a lesson stores it, (height, width, 3), and its width on a page."""
    content, width = paper.png(figure)
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")), width


def test_a_canvas_has_the_pixels_of_a_page_and_is_stored_twice_as_fine():
    figure, axes = plots.canvas(530, 300, columns=2, sharey=True)
    pixels, width = stored(figure)
    assert width == 530 and pixels.shape == (600, 1060, 3) and len(axes) == 2
    figure, axes = plots.canvas(400, 300, 0, exact=True)
    pixels, width = stored(figure)
    assert width == 400 and pixels.shape == (300, 400, 3) and axes is None
    for wrong in ((1001, 300), (0, 300), (500, 0)):
        with pytest.raises(ValueError, match="up to 1000 pixels wide"):
            plots.canvas(*wrong)


def test_a_palette_keeps_the_colours_that_have_a_meaning():
    shades = np.stack(np.meshgrid(*[np.arange(0, 256, 6)] * 2, [0, 90, 200]), axis=-1).reshape(43, -1, 3)
    named = np.array([[int(c[i: i + 2], 16) for i in (1, 3, 5)] for c in look.named()], np.uint8)
    pixels = shades.astype(np.uint8).copy()
    pixels[0, : len(named)] = named                                     # one pixel each, among thousands of others
    made = paper.with_palette(Image.fromarray(pixels))
    assert made.mode == "P" and len(np.unique(np.asarray(made))) <= 256
    assert np.array_equal(np.asarray(made.convert("RGB"))[0, : len(named)], named)
    far = np.asarray(made.convert("RGB")).astype(int) - pixels
    assert np.abs(far).mean() < 12
    shown, palette = np.asarray(made.convert("RGB")).astype(int), np.reshape(made.getpalette(), (-1, 3))
    least = np.abs(((pixels[1, :, None].astype(int) - palette) ** 2).sum(axis=2)).min(axis=1)
    assert np.array_equal(((pixels[1] - shown[1]) ** 2).sum(axis=1), least)         # no colour of it is nearer
    few = Image.fromarray(pixels[:2, :90])
    assert np.array_equal(np.asarray(paper.with_palette(few).convert("RGB")), np.asarray(few))     # nothing to cut


def test_a_picture_says_its_width_and_whether_it_may_be_scaled():
    assert paper.shown(plots.surface(data.xor).figure)[1] == {
        "alt": plt.gcf().alt_text, "width": 530}
    dense = plots.disagreement(sums((2,), 2), sums((2,)))
    assert paper.shown(dense.figure)[1] == {"alt": dense.figure.alt_text, "width": 1000, "pixelated": True}


def looked_up(codes):
    """Return a predictor that answers with codes (256, 256), by the codes of the first and of the second input."""
    line = Affine(1 / 256, 0)
    return predictors.QuantizedPredictor(lambda q: codes[tuple(q.T.astype(int) + 128)].astype(np.int8), "p", (2,), line,
                                         line)


def test_a_dense_map_has_two_whole_pixels_a_code_and_twelve_in_its_window():
    rng = np.random.default_rng(4)
    wanted = rng.integers(-3, 4, (256, 256))                            # [first input, second input]
    ax = plots.disagreement(looked_up(wanted), looked_up(0 * wanted))
    pixels, _ = stored(ax.figure)
    reach = np.abs(wanted).max()
    colours = (paper.DIFFERENCE((wanted + reach) / (2 * reach))[..., :3] * 255).round().astype(int)
    x, top = 80, 574 - 564
    drawn = pixels[top: top + 512, x: x + 512].astype(int)
    codes = drawn.reshape(256, 2, 256, 2, 3).transpose(2, 0, 1, 3, 4)[:, ::-1]      # [column, row from below, 2, 2]
    window = ax.patches[0]
    column, row = (int(corner + 128.5) for corner in window.get_xy())
    inside = np.ones((256, 256), bool)
    inside[column - 1: column + 31, row - 1: row + 31] = False         # the window's frame lies over codes
    inside[column - 1:, :] = False                                      # and so do the lines that lead out of it
    assert np.abs(codes[inside] - colours[inside][:, None, None]).max() <= 2       # a palette of 256
    zoomed = ax.figure.axes[1].images[0].get_array()
    assert np.array_equal(zoomed, wanted[column: column + 30, row: row + 30].T)
    left, high = 628, 574 - 518
    shown = pixels[high: high + 360, left: left + 360].reshape(30, 12, 30, 12, 3)[1:-1, :, 1:-1]    # without its frame
    assert (shown == shown[:, :1, :, :1]).all()


def test_a_sparse_map_has_a_marker_by_sign_and_size_and_counts_in_words():
    def of(steps):
        codes = np.zeros((256, 256), int)
        for (i, j), step in steps.items():
            codes[i + 128, j + 128] = step
        return looked_up(codes)

    steps = {(100, -50): 9, (-128, 127): -2, (0, 3): 1}
    ax = plots.disagreement(of(steps), of({}), title="tflm minus reference")
    up, down = [marks for marks in ax.collections if len(marks.get_offsets())]
    assert sorted(up.get_offsets().tolist()) == [[0, 3], [100, -50]] and down.get_offsets().tolist() == [[-128, 127]]
    sizes = dict(zip(map(tuple, up.get_offsets().tolist()), up.get_sizes(), strict=True))
    assert sizes[100, -50] > sizes[0, 3]
    key = ax.figure.axes[1]
    assert title_of(key) == "3 of 65,536 inputs"
    assert {"2: tflm answers higher", "1: tflm answers lower"} <= set(texts(key))
    _, half = plots.canvas(530, 500)
    assert texts(plots.disagreement(of(steps), of({}), half)) == ["3 of 65,536 differ: 2 higher, 1 lower"]
    assert title_of(plots.disagreement(of({}), of({})).figure.axes[1]) == "None of 65,536 inputs"
    few, many = ({(i % 256 - 128, i // 256 - 128): 1 for i in range(n)} for n in (655, 656))    # up to 1 %
    assert len(plots.disagreement(of(few), of({})).collections) and not plots.disagreement(of(many), of({})).collections


def test_names_stand_beside_the_ends_of_their_curves_and_none_over_another():
    wanted = ["sgd", "momentum", "rmsprop", "adam", "adamw", training.Optimizer("sgd", 1.0)]
    entries = training.race(wanted, starts=20, epochs=30).entries + training.race("sgd", starts=9, epochs=90).entries
    ax = plots.survival(entries)                                        # hardly any is solved: all end near 100 %
    figure = ax.figure
    figure.draw_without_rendering()
    boxes = [matplotlib.text.Text.get_window_extent(text) for text in ax.texts]         # without their leaders
    assert sorted(texts(ax)) == sorted(
        f"{entry.label}: {100 * (1 - entry.share):.0f} %" for entry in entries) and ax.get_legend() is None
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1:])
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
    colours = {text.get_text(): text.get_color() for text in ax.texts}
    assert colours["sgd, rate 0.1: 100 %"] == look.OPTIMIZERS["sgd"][0]
    more = plots.survival(entries + entries[:1])
    assert texts(more) == [] and len(more.get_legend().get_texts()) == 8          # too many names: a legend


def test_no_name_stands_over_a_curve_that_goes_on_further():
    ax = plots.canvas(1000, 380)[1]
    long = np.linspace(1, 0, 100)
    plots.draw(ax, range(100), long, "sgd, rate 0.1")
    plots.draw(ax, range(40), long[:40] - 0.1, "adam, rate 0.1", number="66 %")     # its name would lie on sgd's curve
    ax.set(title="Two curves", xlabel="epoch", ylabel="share")
    ax.figure.draw_without_rendering()
    boxes = [matplotlib.text.Text.get_window_extent(text) for text in ax.texts]         # without their leaders
    curves = [line.get_path().transformed(line.get_transform()) for line in ax.lines]
    assert len(boxes) == 2 and not any(curve.intersects_bbox(box, filled=False) for box in boxes for curve in curves)
    assert all(box.x1 <= ax.figure.bbox.x1 for box in boxes)


@pytest.mark.parametrize(("solved", "starts"), [(0, 128), (12, 16), (403, 500), (128, 128)])
def test_an_interval_is_drawn_where_the_share_seen_lies_in_the_band(solved, starts):
    """Against the band's own edges, drawn for 1,001 true shares."""
    ax = plots.interval(solved, starts)
    band, _ = ax.collections
    vertices = band.get_paths()[0].vertices
    seen, fits = solved / starts, []
    for p in np.unique(vertices[:, 0]):
        heights = vertices[vertices[:, 0] == p, 1]
        if heights.min() - 1e-12 <= seen <= heights.max() + 1e-12:
            fits.append(p)
    (low, high), (height, _) = ax.lines[-1].get_data()
    assert height == seen and abs(low - min(fits)) < 2e-3 and abs(high - max(fits)) < 2e-3
    assert texts(ax) == [f"fits {100 * low:.1f} % to {100 * high:.1f} %"] and title_of(ax).startswith(f"{solved} of")


@pytest.mark.parametrize("seed", range(20))
def test_places_keep_their_distance_and_move_as_little_as_can_be(seed):
    rng = np.random.default_rng(seed)
    wanted, gap = np.sort(rng.uniform(0, 100, 6)), 10
    made = spread(wanted, gap, 0, 100)
    assert (np.diff(made) >= gap - 1e-9).all() and made[0] >= 0 and made[-1] <= 100 + 1e-9
    tries = np.sort(rng.uniform(0, 100, (20_000, 6)), axis=1)
    tries = tries[(np.diff(tries) >= gap).all(axis=1)]
    assert len(tries) and ((tries - wanted) ** 2).sum(axis=1).min() >= ((made - wanted) ** 2).sum() - 1e-9


def test_places_that_are_far_apart_stay():
    assert spread([5, 30, 90], 10, 0, 100).tolist() == [5, 30, 90]
    assert spread([50, 50, 50], 10, 0, 100).tolist() == [40, 50, 60] and spread([0, 0], 10, 4, 100).tolist() == [4, 14]


def test_a_row_of_surfaces_shares_a_bar_and_differences_a_scale():
    axes = plots.surfaces([data.xor, np.full((5, 5), 0.5), (steep_in_the_first, data.xor), (data.xor, data.xor)],
                          ["a", "b", "c", "d"], facts=True)
    assert [title_of(ax) for ax in axes] == ["a", "b", "c", "d"]
    bars = [ax.images[0].colorbar for ax in axes]
    assert [bar is not None for bar in bars] == [False, True, False, True]
    assert [ax.images[0].get_clim() for ax in axes] == [(0, 1), (0, 1), (-1, 1), (-1, 1)]
    assert texts(axes[0]) == ["4 of 4 corners right"] and texts(axes[2]) == ["from -1.00 to 1.00"]
    assert [bool(ax.get_ylabel()) for ax in axes] == [True, False, False, False]
    assert axes[0].figure.alt_text.count("unit square") == 4
    for ax in axes[1:]:
        ax.set_ylabel("second input")                                   # for the check that all axes are labelled


def test_a_film_has_rows_and_a_bar_a_row():
    frames = [np.full((3, 3), level) for level in (0, 0.3, 1.5, 0.4, 0.2)]
    axes = plots.surfaces(frames, list("abcde"), columns=3)
    assert len(axes) == 5 and len(axes[0].figure.axes) == 5
    assert [ax.images[0].colorbar.extend if ax.images[0].colorbar else None for ax in axes] == [
        None, None, "max", None, "neither"]
    plt.close("all")                                                    # inner panels leave their labels out


@pytest.mark.parametrize("call, says", [
    (lambda: plots.surfaces([]), "at least one panel"), (lambda: plots.surfaces([np.zeros((3, 4))]), "got \\(3, 4\\)"),
    (lambda: plots.surfaces([data.xor], ["a", "b"]), "1 panels need as many titles and facts, got 2 and 1"),
])
def test_surfaces_that_cannot_be_drawn_get_a_sentence(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_bars_and_tables_say_their_numbers():
    ax = plots.bars({"a": 1076, "b": 20}, title="Flash", xlabel="bytes")
    assert [bar.get_width() for bar in ax.patches] == [1076, 20] and texts(ax) == ["1,076", "20"]
    ax.set_ylabel("net")
    ax = plots.table([[0, 100], [50, 60]], "ab", "cd", title="t", xlabel="x", ylabel="y", form="{:.0f} %", most=100)
    assert texts(ax) == ["0 %", "100 %", "50 %", "60 %"]
    assert [text.get_color() == look.PAPER[0] for text in ax.texts] == [False, True, False, True]


def test_a_row_of_pictures_has_a_line_each_and_one_sentence():
    axes = plots.pictures(np.zeros((3, 4, 4, 1)), ["7", "8", "9\nnot 8"], says="Three digits.")
    assert [texts(ax) for ax in axes] == [["7"], ["8"], ["9\nnot 8"]] and axes[0].figure.alt_text == "Three digits."
    axes[0].figure.draw_without_rendering()
    assert all(ax.texts[0].get_window_extent().y1 < axes[0].figure.bbox.y1 for ax in axes)         # none is cut off


def test_dots_show_every_run_and_the_mean_of_a_row():
    groups = {"pixels": np.array([0.5, 0.7]), "ImageNet": np.array([0.8, 0.8, 1.1])}       # its median is 0.8
    ax = plots.dots(groups, title="Draws", xlabel="share right", beside={"pixels": "30 (20 to 40)"}, heading="lead")
    for row, values in enumerate(groups.values()):
        assert list(ax.lines[2 * row].get_xdata()) == list(values)
        assert list(np.ravel(ax.lines[2 * row + 1].get_xdata())) == [values.mean()]
    assert texts(ax) == ["30 (20 to 40)", "", "lead"]
    assert ax.figure.alt_text == (
        "Draws, share right, mean of the dots: pixels 0.6; ImageNet 0.9. lead: pixels 30 (20 to 40).")


def test_plots_load_pytorch_only_for_what_is_of_nets():
    code = ("import sys; from xorlab import data, plots; plots.use(); plots.surface(data.xor); "
            "print('torch' in sys.modules); from xorlab.plots import network; "
            "print('torch' in sys.modules, plots.units.__name__, hasattr(plots, 'nothing'), 'units' in dir(plots))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=lab.HERE,
                          env=dict(os.environ, MPLBACKEND="agg"))
    assert done.stdout.split() == ["False", "True", "units", "False", "True"], done.stderr
