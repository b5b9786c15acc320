"""Controls for JupyterLab. Where no kernel runs, a lesson shows a static figure beside them."""
import io

import ipywidgets
import numpy as np
from PIL import Image

from xorlab import arguments
from xorlab.plots.paper import OUTPUT
from xorlab.plots.squares import beyond_colours

BLACK = 255             # in the palette: levels 0..254 from blue to red, then black for the 0.5 contour
COLOUR_TABLE = np.vstack([OUTPUT(np.linspace(0, 1, BLACK))[:, :3], [0, 0, 0]])
PALETTE = (COLOUR_TABLE * 255).round().astype(np.uint8)
SHOWN_PIXELS = 360
MOST_SIDE = 2048


class Film(ipywidgets.VBox):
    """A sequence of surfaces with a slider and a play button.

    frames : list of (side, side) outputs in 0..1, first axis = first input, as `plots.values` returns them.
    labels : one text a frame, e.g. "epoch 10".
    The slider takes the mouse and the arrow keys. Frames are drawn once, beforehand, without pyplot: a callback may
    run in another thread while a cell draws.
    Raises ValueError unless there is at least one frame and as many labels.
    """

    def __init__(self, frames, labels):
        frames = [_checked(z) for z in arguments.several("frames", frames, "outputs (side, side)")]
        labels = arguments.several("labels", labels, "texts", str)
        if not frames or len(frames) != len(labels):
            raise ValueError(f"a film needs one label a frame, got {len(frames)} frames and {len(labels)} labels")
        self._pictures = [png(z) for z in frames]
        self._labels = [f"{label} {beyond_colours(z)}".rstrip() for label, z in zip(labels, frames, strict=True)]
        last = len(frames) - 1
        self.slider = ipywidgets.IntSlider(description="frame", max=last, readout=False, layout={"width": "300px"})
        self.play = ipywidgets.Play(max=last, interval=400)
        ipywidgets.jslink((self.play, "value"), (self.slider, "value"))
        self.picture = ipywidgets.Image(format="png", width=SHOWN_PIXELS, height=SHOWN_PIXELS)
        self.caption = ipywidgets.Label()
        self._show(0)
        self.slider.observe(lambda change: self._show(change["new"]), "value")
        super().__init__([ipywidgets.HBox([self.play, self.slider, self.caption]), self.picture])

    def _show(self, i):
        self.picture.value = self._pictures[i]
        self.caption.value = self._labels[i]

    def __repr__(self):
        return f"Film({len(self._pictures)} frames)"        # ipywidgets' own repr spells out picture bytes


def _checked(z):
    """Return outputs to draw as an array.  Raises ValueError unless they are (side, side), 2 to MOST_SIDE a side."""
    z = arguments.numbers_in("outputs", z)
    if z.ndim != 2 or z.shape[0] != z.shape[1] or not 2 <= len(z) <= MOST_SIDE:
        raise ValueError(f"outputs to draw must have shape (side, side), 2 to {MOST_SIDE:,} a side, got {z.shape}")
    return z.astype(np.float64)


def png(z):
    """Encode outputs in 0..1 as a PNG with the lessons' colours and contour; origin lower left, 4 pixels a point."""
    z = _checked(z).T[::-1].repeat(4, axis=0).repeat(4, axis=1)       # rows of a picture run down along y
    levels = np.clip(np.rint(z * (BLACK - 1)), 0, BLACK - 1).astype(np.uint8)
    above = z > 0.5
    for edge, one, other in ((above[1:] != above[:-1], levels[1:], levels[:-1]),
                             (above[:, 1:] != above[:, :-1], levels[:, 1:], levels[:, :-1])):
        one[edge] = other[edge] = BLACK                                 # views of levels: both sides turn black
    image = Image.fromarray(levels, mode="P")
    image.putpalette(PALETTE.tobytes())
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()
