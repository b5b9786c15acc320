"""What stored pictures and numbers may differ in from fresh ones, and what not."""
import base64
import copy
import io
import re
from importlib.metadata import version

import made_lessons
import matplotlib as mpl
import nbformat
import numpy as np
import pytest
from matplotlib import ft2font
from matplotlib import pyplot as plt
from PIL import Image

import lab
from tools import likeness, refresh, untouched
from xorlab import look


def drawn(colours=("blue", "red"), label="epoch", moved=0.0, **settings):
    """Return the pixels of a figure as lessons have them, with two curves."""
    with plt.style.context(look.STYLE), mpl.rc_context(settings):
        figure, axes = plt.subplots(figsize=(5.3, 3.6))
        x = np.linspace(0, 1, 200)
        for power, colour in enumerate(colours, start=2):
            if colour:
                axes.plot(x, x ** power + moved, color=colour)
        axes.set(title="Two losses", xlabel=label, ylabel="loss", ylim=(-0.1, 1.1))
        stream = io.BytesIO()
        figure.savefig(stream)
        plt.close(figure)
    return likeness.pixels(base64.b64encode(stream.getvalue()).decode())


def encoded(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, "png")
    return base64.b64encode(stream.getvalue()).decode()


@pytest.fixture(scope="module")
def figure():
    return drawn()


CHANGES = {
    "mirrored": lambda figure: figure[:, ::-1],
    "upside down": lambda figure: figure[::-1],
    "blank": lambda figure: np.full_like(figure, 255),
    "colours exchanged": lambda figure: drawn(("red", "blue")),
    "a curve dropped": lambda figure: drawn(("blue", None)),
    "a label lost": lambda figure: drawn(label=""),
    "another label": lambda figure: drawn(label="batch"),
    "curves moved": lambda figure: drawn(moved=0.05),
    "another size": lambda figure: figure[:, 1:],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_another_picture_is_not_alike(figure, change):
    assert not likeness.alike(encoded(figure), encoded(change(figure)))


def test_a_picture_with_other_last_bits_is_alike(figure):
    noise = np.random.default_rng(0).integers(-3, 4, figure.shape)
    assert likeness.alike(encoded(figure), encoded(np.clip(figure + noise, 0, 255)))
    assert likeness.alike(encoded(figure), encoded(drawn(moved=0.0004)))      # a fifth of a pixel


@pytest.mark.parametrize("change", ["mirrored", "upside down", "blank"])
def test_letters_that_another_freetype_draws_are_no_other_picture_but_a_mirror_is(figure, monkeypatch, change):
    other = drawn(**{"text.hinting": "none"})
    assert not likeness.alike(encoded(figure), encoded(other))
    monkeypatch.setattr(ft2font, "__freetype_version__", "2.6.1")
    assert likeness.alike(encoded(figure), encoded(other))
    assert not likeness.alike(encoded(figure), encoded(CHANGES[change](other)))


def test_the_pinned_matplotlib_draws_the_letters_of_stored_pictures():
    pinned, = re.findall(r"(?m)^matplotlib==(\S+)", (lab.HERE / "constraints.txt").read_text(encoding="utf-8"))
    assert version("matplotlib") != pinned or ft2font.__freetype_version__ == likeness.FREETYPE, "refresh all lessons"


@pytest.mark.parametrize(("shown", "stored"), [
    ("~81 %", "~82 %"), ("~0.0164 ", "~0.0163"), ("~3 of 450", "~5 of 450"), ("~9e-16", "~2e-16"), ("~0e+00", "~6e-08"),
    ("~1,530 and ~15,420", "~1,500 and ~15,000"), ("~-21 to ~17", "~-21 to ~17"), ("no number", "none"),
])
def test_numbers_of_live_training_that_are_near(shown, stored):
    assert likeness.near(shown, stored) and likeness.near(stored, shown)


@pytest.mark.parametrize(("shown", "stored"), [
    ("~81 %", "~18 %"), ("~81 %", "~94 %"), ("~0.0164", "~0.0146"), ("~3 of 450", "~8 of 450"), ("~6e-05", "~6e-04"),
    ("~1,530 and ~15,420", "~15,420 and ~1,530"), ("~-21", "~21"), ("~1 ~2", "~1"), ("~12", "12"), ("~96.9%", "~69.9%"),
])
def test_numbers_of_live_training_that_are_not(shown, stored):
    assert not likeness.near(shown, stored) and not likeness.near(stored, shown)


@pytest.mark.parametrize(("words", "others", "same"), [
    ("from 0.272 to 7.5e-06, above 0.5 on 55% of it.", "from 0.271 to 7.6e-06, above 0.5 on 56% of it.", True),
    ("2 of 4 corners right", "3 of 4 corners right", False), ("65,536 inputs", "65,535 inputs", False),
    ("from 0.272 to 0.13", "from 0.272 to 0.31", False), ("rises to 0.5", "falls to 0.5", False),
    ("0.5", "0.5, 1.0", False), ("on 55%", "on 55", False), ("on 5.5", "on five", False),
    (None, None, True), (None, "words", False),
])
def test_descriptions_are_the_same_word_for_word_and_count_for_count(words, others, same):
    assert likeness.alike_words(words, others) == likeness.alike_words(others, words) == same


def stored_lesson(**data):
    """Return a lesson whose last cell but one stores this."""
    lesson = made_lessons.lesson()
    lesson["cells"][-2]["outputs"] = [{"output_type": "display_data", "data": data, "metadata": {}}]
    return lesson


@pytest.mark.parametrize(("shown", "stored", "same"), [
    ("~96.9%", "~96.8%", True), ("~96.9%", "~69.9%", False), ("96.9%", "96.8%", False),
])
def test_the_second_pass_sees_a_wrong_number_after_a_tilde(shown, stored, same):
    lesson = stored_lesson(**{"text/plain": stored})
    ran = nbformat.from_dict(stored_lesson(**{"text/plain": shown}))
    assert (untouched.differing(ran, lesson) == []) is same


@pytest.mark.parametrize(("change", "same"), [(None, True), ("mirrored", False), ("blank", False)])
def test_the_second_pass_sees_another_picture(figure, change, same):
    stored = CHANGES[change](figure) if change else drawn(moved=0.0004)
    lesson = stored_lesson(**{"image/png": encoded(stored), "text/plain": "<Figure>"})
    ran = nbformat.from_dict(stored_lesson(**{"image/png": encoded(figure), "text/plain": "<Figure>"}))
    assert (untouched.differing(ran, lesson) == []) is same


def test_a_refresh_replaces_a_picture_that_is_only_alike(figure):
    cells = [nbformat.from_dict(stored_lesson(**{"image/png": encoded(picture)})).cells[-2]
             for picture in (figure, drawn(moved=0.0004))]
    assert not refresh.equal_outputs(*copy.deepcopy(cells), refresh.NbvalComparison())


@pytest.mark.parametrize(("level", "same"), [(0.2, True), (0.3, False)])
def test_a_refresh_keeps_what_is_at_most_a_quarter_of_a_level_apart(figure, level, same):
    other = figure.copy()
    count = round(level ** 2 * figure.size)                 # so many values one level apart have this rms
    other.reshape(-1)[:count] -= 1
    assert refresh.look_the_same(encoded(figure), encoded(other)) is same
