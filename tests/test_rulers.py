"""plots.ruler: the code that a number gets, as a picture says it."""
import pytest
from matplotlib import pyplot as plt

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
