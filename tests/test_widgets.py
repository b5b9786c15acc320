import io

import numpy as np
import pytest
from PIL import Image

from xorlab import widgets
from xorlab.plots.paper import OUTPUT

FRAMES = [np.full((5, 5), 0.5), np.repeat(np.linspace(0, 1, 5)[:, None], 5, axis=1)]


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def test_a_frame_has_the_colours_and_the_orientation_of_a_plotted_surface():
    z = np.zeros((5, 5))
    z[4, 0] = 1                                 # first input 1, second input 0: lower right
    picture = pixels(widgets.png(z))
    assert picture.shape == (20, 20, 3)
    colour = {value: np.rint(np.array(OUTPUT(float(value))[:3]) * 255) for value in (0.0, 1.0)}
    assert (picture[-1, -1] == colour[1.0]).all()
    assert (picture[0, 0] == colour[0.0]).all() and (picture[-1, 0] == colour[0.0]).all()


def test_a_frame_has_a_black_line_where_the_output_crosses_one_half():
    picture = pixels(widgets.png(FRAMES[1]))    # 0, 0.25, 0.5 | 0.75, 1 along the first input
    black = (picture == 0).all(axis=2)
    assert black[:, 11:13].all() and black.sum() == 2 * 20


def test_moving_the_slider_changes_picture_and_caption():
    film = widgets.Film(FRAMES, ["epoch 0", "epoch 7"])
    assert (film.picture.value, film.caption.value) == (widgets.png(FRAMES[0]), "epoch 0")
    film.slider.value = 1
    assert (film.picture.value, film.caption.value) == (widgets.png(FRAMES[1]), "epoch 7")
    assert film.slider.max == film.play.max == 1


def test_a_caption_says_where_outputs_go_beyond_the_colours():
    film = widgets.Film([*FRAMES, FRAMES[1] * 2], ["a", "b", "c"])
    film.slider.value = 2
    assert film.caption.value == "c (outputs 0 to 2, colours 0 to 1)"


def test_a_film_shows_itself_without_bytes_or_addresses():
    assert repr(widgets.Film(FRAMES, ["a", "b"])) == "Film(2 frames)"


@pytest.mark.parametrize("frames, labels", [([], []), (FRAMES, ["one"])])
def test_a_film_wants_one_label_a_frame(frames, labels):
    with pytest.raises(ValueError, match="one label a frame"):
        widgets.Film(frames, labels)
