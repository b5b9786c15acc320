"""The pictures of the README and of the indexes: `python -m tools.pictures`.

docs/surfaces.png        a film, as APNG: the network of lesson 05 as it trains, in PyTorch and in int8, side by side
docs/surfaces-still.png  its last frame, for those who want nothing to move
docs/lessons/NN.png      a window onto a stored figure of each lesson
Run it when a lesson's figures have changed; a test tells when.
"""
import base64
import copy
import hashlib
import io
import sys
from dataclasses import dataclass

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont, ImageOps, PngImagePlugin

import lab
from tools import pages
from xorlab import data, look, models, predictors, training
from xorlab.files import make_folder, replacing
from xorlab.integer import IntegerMLP
from xorlab.plots import paper, squares
from xorlab.streams import ended

NET = "sigmoid-2-3-1"
EPOCHS = [0, *map(int, np.geomspace(12, 1_200, 18)), 3_000]      # of the film, before its end
SHOWN_MS, END_MS = 130, 4_000
REACH = 0.04                    # the difference at which the colours of the third map end
SIDE, EDGE, GAP, TOP, FOOT = 256, 6, 20, 92, 56         # pixels: one a code, never scaled
SHADES = 90                     # of each of the two maps: with text and lines, 256 colours

# {lesson: (cell whose first figure it is, the part of its width that is shown)}: whole panels, where there are several
WINDOWS = {
    "00": ("cell-09b", 0, 1), "01": ("cell-22", 0, 0.3), "02": ("cell-15", 0, 1), "03": ("cell-04", 0, 1),
    "04": ("cell-33", 0, 0.54), "05": ("cell-27a", 0, 1), "06": ("cell-14", 0.51, 1), "07": ("cell-37", 0, 0.5),
    "08": ("cell-31", 0, 1), "09": ("cell-14", 0.31, 1), "10": ("cell-29", 0, 0.635), "11": ("cell-21", 0, 1),
    "12": ("feature-maps", 0, 0.58), "13": ("seven-map", 0, 1),
}
SIZE = (480, 320)               # pixels; shown at half of it
WHITE = 250                     # and above, of 255


@dataclass(frozen=True)
class Moment:
    """A network while it trains, on all of its int8 inputs.

    floats, int8 : (256, 256) outputs, first axis = first input.
    """
    epoch: int
    floats: np.ndarray
    int8: np.ndarray

    @classmethod
    def of(cls, epoch, model):
        q = data.int8_inputs()
        integers = IntegerMLP.from_torch(model)         # calibrated on the 9 x 9 grid
        points = integers.input.dequantize(q)
        outputs = (predictors.from_torch(model)(points), integers.output.dequantize(integers.codes(q)).ravel())
        return cls(epoch, *(output.reshape(SIDE, SIDE) for output in outputs))

    @property
    def difference(self):
        return self.int8 - self.floats


def main(arguments):
    """Make the pictures named, film or lessons, or both; return 1 for another name."""
    makers = {"film": write_film, "lessons": write_lessons}
    if unknown := set(arguments) - set(makers):
        print(f"pictures: it makes film and lessons, got {' '.join(sorted(unknown))}", file=sys.stderr)
        return 1
    try:
        for name in arguments or makers:
            for path in makers[name]():
                print(f"{path.relative_to(lab.HERE)}: {path.stat().st_size / 1000:.0f} kB")
    except LookupError as missing:
        print(f"pictures: {missing}", file=sys.stderr)
        return 1
    return 0


def moments(epochs, settings=None):
    """Train the network as its record says and return a Moment before each of these epochs, and one after the last."""
    settings = dict(settings or models.recorded_training(NET))
    model, kept = models.MLP(3, seed=settings["seed"]), []

    def watch(epoch, model):
        if epoch in epochs:
            still = copy.deepcopy(model)
            models.set_mode(still, training=False)
            kept.append(Moment.of(epoch, still))

    training.fit(model, *data.corners(), watch=watch, **settings)
    return [*kept, Moment.of(settings["epochs"], model)]


def write_film():
    """Write the film and its last frame; return their paths."""
    frames = [drawn(moment).quantize(palette=palette(), dither=Image.Dither.NONE) for moment in moments(EPOCHS)]
    last = frames[-1]
    with replacing(pages.STILL) as path:
        last.save(path, "PNG", optimize=True)
    with replacing(pages.FILM) as path:
        # a viewer that shows no films shows the end
        last.save(path, "PNG", save_all=True, default_image=True, append_images=frames, loop=0, optimize=True,
                  duration=[SHOWN_MS] * (len(frames) - 1) + [END_MS])
    return [pages.FILM, pages.STILL]


def drawn(moment):
    """Return a frame of the film: three maps, what each is, and what its colours mean."""
    frame = Image.new("RGB", (2 * EDGE + 3 * SIDE + 2 * GAP, TOP + SIDE + FOOT), look.PAPER[0])
    draw = ImageDraw.Draw(frame)
    draw.text((EDGE, 4), f"epoch {moment.epoch:,}", look.INK[0], font(17, "bold"))
    output, difference = (paper.OUTPUT, 0, 1), (paper.DIFFERENCE, -REACH, REACH)
    largest = np.abs(moment.difference).max()
    panels = [*((name, squares.corners_right(z), outlined(z, *output), output, ("0", "output", "1"))
                for name, z in (("PyTorch", moment.floats), ("int8", moment.int8))),
              ("int8 minus PyTorch", f"{largest:.2f} at most", coloured(moment.difference, *difference), difference,
               (f"-{REACH}, lower", "", f"higher, {REACH}"))]
    for i, (name, fact, picture, (colours, low, high), key) in enumerate(panels):
        left = EDGE + i * (SIDE + GAP)
        draw.text((left, 40), name, look.INK[0], font(15, "bold"))
        draw.text((left, 63), fact, look.QUIET[0], font(14))
        bar = np.linspace(low, high, SIDE)[:, None].repeat(10, axis=1)
        frame.paste(Image.fromarray(picture), (left, TOP))
        frame.paste(Image.fromarray(coloured(bar, colours, low, high)), (left, TOP + SIDE + 12))
        for word, x, anchor in zip(key, (left, left + SIDE / 2, left + SIDE - 1), ("la", "ma", "ra"), strict=True):
            draw.text((x, TOP + SIDE + 28), word, look.QUIET[0], font(13), anchor=anchor)
    return frame


def coloured(z, colours, low, high):
    """Return (height, width, 3) bytes of a map of (width, height) numbers, its origin at the lower left."""
    shades = np.clip((z.T[::-1] - low) / (high - low), 0, 1) * (SHADES - 1)
    return (colours(np.rint(shades) / (SHADES - 1))[..., :3] * 255).round().astype(np.uint8)


def outlined(z, colours, low, high):
    """Return `coloured`, with the line between the classes."""
    picture, above = coloured(z, colours, low, high), z.T[::-1] > 0.5
    edge = np.zeros_like(above)
    edge[1:] |= above[1:] != above[:-1]
    edge[:, 1:] |= above[:, 1:] != above[:, :-1]
    picture[edge] = 0
    return picture


def palette():
    """Return an image with the palette of the film: all shades of both maps, and greys for its text."""
    scale = np.linspace(0, 1, SHADES)[:, None]
    shades = np.concatenate([coloured(scale, colours, 0, 1).reshape(-1, 3)
                             for colours in (paper.OUTPUT, paper.DIFFERENCE)])
    greys = np.linspace(0, 255, 256 - len(shades))[:, None].repeat(3, axis=1).round().astype(np.uint8)
    made = Image.new("P", (1, 1))
    made.putpalette(np.concatenate([shades, greys]).tobytes())
    return made


def font(size, weight="normal"):
    """Return a font that comes with matplotlib: the same picture on every computer."""
    wanted = font_manager.FontProperties(family="DejaVu Sans", weight=weight)
    return ImageFont.truetype(font_manager.findfont(wanted), size)


def write_lessons():
    """Write a window onto a figure of each lesson and yield its path."""
    make_folder(pages.DOCS / "lessons")
    for lesson in pages.lessons([]):
        figure = figure_of(lesson)
        facts = PngImagePlugin.PngInfo()
        facts.add_text("source", digest(figure))
        target = pages.DOCS / "lessons" / f"{lesson.number}.png"
        with replacing(target) as path:
            window(figure, *WINDOWS[lesson.number][1:]).save(path, "PNG", optimize=True, pnginfo=facts)
        yield target


def figure_of(lesson):
    """Return the stored PNG that a lesson's small picture shows.  Raises LookupError if the lesson has none there."""
    wanted = WINDOWS[lesson.number][0]
    for cell in lesson.notebook.cells:
        for output in cell.get("outputs", []):
            if cell.id == wanted and "image/png" in output.get("data", {}):
                return base64.b64decode(output.data["image/png"])
    raise LookupError(f"lesson {lesson.number} has no figure in {wanted}; name another cell in tools/pictures.py")


def digest(figure):
    return hashlib.sha256(figure).hexdigest()[:16]


def window(figure, begin, end):
    """Return the part of a figure between two places along it (0 to 1), without its white edges, on a card of SIZE.

    It is cut where a column is white, if one is near: figures of other widths and labels are cut well too.
    """
    picture = Image.open(io.BytesIO(figure)).convert("RGB")
    left, right = (white_column(picture, place) for place in (begin, end))
    part = picture.crop((left, 0, right, picture.height))
    part = part.crop(Image.eval(part.convert("L"), lambda shade: 255 * (shade < WHITE)).getbbox())
    part = ImageOps.contain(part, SIZE, Image.Resampling.LANCZOS)
    card = Image.new("RGB", SIZE, look.PAPER[0])
    card.paste(part, ((SIZE[0] - part.width) // 2, (SIZE[1] - part.height) // 2))
    return card.quantize(64, dither=Image.Dither.NONE)


def white_column(picture, place):
    """Return the white column nearest to a place along a picture (0 to 1)."""
    at = round(place * picture.width)
    if at in (0, picture.width):
        return at
    white = np.flatnonzero((np.asarray(picture.convert("L")) >= WHITE).all(axis=0))
    near = white[np.abs(white - at) <= 0.05 * picture.width]
    return int(near[np.abs(near - at).argmin()]) if len(near) else at


if __name__ == "__main__":
    sys.exit(ended(main, sys.argv[1:]))
