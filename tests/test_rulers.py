"""plots.ruler, weight_codes and weight_scales: the codes that numbers get, as pictures say it."""
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.text import Text

from xorlab import look, plots
from xorlab.integer.affine import Affine

INPUT = Affine.of_range(0.0, 1.0)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.mark.parametrize(("real", "words", "lit"), [
    (0.5, "0.5 has no code: it becomes code -1", "0.4980\ncode -1"),
    (0.2, "0.2 has a code: -77", "0.2000\ncode -77"),
    (1.005, "1.005 has no code: it becomes code 127", "1.0000\ncode 127"),
])
def test_a_ruler_lights_the_code_that_a_number_gets_among_its_neighbours(real, words, lit):
    ax = plots.ruler(INPUT, real)
    said = {text.get_text(): text.get_color() for text in ax.texts}
    assert said[lit] == look.FORMS["int8"][0] and words in said and words in ax.figure.alt_text
    codes = [int(text.split("code ")[1]) for text in said if "\ncode " in text]
    assert codes == list(range(codes[0], codes[0] + 4)) and codes[0] >= -128 and codes[-1] <= 127


def test_a_number_far_beyond_the_codes_gets_a_sentence():
    with pytest.raises(ValueError, match="got 1.2, which becomes 1"):
        plots.ruler(INPUT, 1.2)


def drawn(ax):
    """Return {real number: weights} of a panel's bars."""
    return {round(bar.get_x() + bar.get_width() / 2, 6): bar.get_height() for bar in ax.patches if bar.get_height()}


def test_weights_stand_on_the_nearest_code_and_beyond_the_limit_on_the_last():
    weights = np.array([0.0, 0.2, -0.6, 0.9, 5.0])
    tight, wide = plots.weight_codes(weights, {2: 1, 3: 6})
    assert drawn(tight) == {-1: 1, 0: 2, 1: 2}                   # 3 codes, 1 apart
    assert drawn(wide) == {0: 4, 4: 1}                          # 7 codes, 2 apart: 5 is a tie, to the even one
    lost = np.mean((np.array([0, 0, -1, 1, 1]) - weights) ** 2)
    said = " ".join(text.get_text() for text in tight.texts)
    assert "5 becomes 1" in said and "40 % become 0" in said and f"error {lost:.2g}" in said
    assert "5 weights on 3 codes" in tight.figure.alt_text and "5 weights on 7 codes" in tight.figure.alt_text


@pytest.mark.parametrize("far", [8.0, -8.0])
def test_the_largest_weight_is_named_above_every_bar_and_on_its_side(far):
    weights = np.append(np.random.default_rng(0).normal(size=300), far)
    for ax in plots.weight_codes(weights, {8: 8, 2: 1}):
        ax.figure.draw_without_rendering()
        words = next(text for text in ax.texts if "becomes" in text.get_text())
        low, high = ax.transData.inverted().transform(Text.get_window_extent(words).get_points())   # without its arrow
        assert low[1] > max(bar.get_height() for bar in ax.patches)
        assert high[1] < ax.get_ylim()[1] and np.sign(low[0] + high[0]) == np.sign(far)


@pytest.mark.parametrize("limits", [{1: 1}, {9: 1}, {8: 0}, {8: -1}, {8: float("nan")}, {4: "3"}])
def test_limits_that_are_none_get_a_sentence(limits):
    with pytest.raises(ValueError, match="limits above 0 for 2 to 8 bits"):
        plots.weight_codes(np.ones(3), limits)


def test_a_unit_rounds_on_its_own_steps_per_channel_and_on_the_largest_ones_per_tensor():
    axes = plots.weight_scales(np.array([[4.0, -4.0], [0.5, 0.9]]), bits=2)        # the codes -1, 0 and 1
    ticks = [[line.get_xdata().tolist() for line in ax.lines if line.get_marker() == "|"] for ax in axes]
    assert ticks == [[[-4, 0, 4], [-4, 0, 4]], [[-4, 0, 4], [-0.9, 0, 0.9]]]
    paths = [[line.get_xdata()[-1] for line in ax.lines if len(line.get_xdata()) == 3 and line.get_marker() == "None"]
             for ax in axes]
    assert paths == [[4, -4, 0, 0], [4, -4, 0.9, 0.9]]
    said = axes[0].figure.alt_text
    assert "Per tensor, 2 units, 3 codes each: from code to code 4.00, 4.00; rounding moves a weight by 0.35" in said
    assert "Per channel, 2 units, 3 codes each: from code to code 4.00, 0.90; rounding moves a weight by 0.10" in said


@pytest.mark.parametrize(("weights", "bits"), [([[1, 2]], 8), ([[1, 2]], 1), ([1, 2], 3), ([[1], [0]], 3), ([[]], 3)])
def test_a_layer_that_cannot_be_drawn_gets_a_sentence(weights, bits):
    with pytest.raises(ValueError, match="2 to 5 bits and weights"):
        plots.weight_scales(np.array(weights), bits)
