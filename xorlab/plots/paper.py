"""What figures are drawn on: the style, a canvas measured in a page's pixels, and the picture that is stored."""
import base64
import io
import sys

import numpy as np
from matplotlib import colormaps, colors
from matplotlib import pyplot as plt
from PIL import Image

from xorlab import arguments, files, look
from xorlab.predictors import name_of

PAGE, HALF = 1000, 530          # pixels on a page: its width, and that of a figure that stands beside another
PAGE_DPI, STORED_DPI = 100, 200
TALLEST, MOST_PANELS = 20_000, 100      # pixels; axes in a row or a column
COLOURS = 256                   # of a stored picture: a palette makes it a third as large
NAMED = [int(colour[1:], 16) for colour in look.named()]


def use() -> None:
    """Draw everything that follows in the style of the series, `look.STYLE`.

    >>> from xorlab import plots
    >>> plots.use()
    """
    plt.style.use(look.STYLE)


def canvas(width: float = PAGE, height: float = 400, rows: int = 1, columns: int = 1, *, exact=False, **options):
    """Return (figure, axes), a figure of this many pixels on a page, and its axes as `pyplot.subplots` gives them.

    width, height : in pixels; 1000 is a page's width, 530 half of it.  rows, columns : 0 rows make no axes (None).
    exact : whether axes stay where they are put, and a page shows each pixel as it is drawn, never scaled.
    options : of `Figure.subplots`, e.g. sharey=True.

    >>> figure, (left, right) = plots.canvas(1000, 380, columns=2, sharey=True)
    """
    width, height = (arguments.real(name, size) for name, size in (("width", width), ("height", height)))
    if not (1 <= width <= PAGE and 1 <= height <= TALLEST):
        raise ValueError(f"a figure has a height, up to {TALLEST:,} pixels, and is up to {PAGE} pixels wide, a page's "
                         f"width; got {width:g} x {height:g}")
    rows, columns = arguments.whole("rows", rows, 0, MOST_PANELS), arguments.whole("columns", columns, 1, MOST_PANELS)
    exact = arguments.switch("exact", exact)
    figure = plt.figure(figsize=(width / PAGE_DPI, height / PAGE_DPI), layout="none" if exact else "constrained")
    figure.exact = exact
    return figure, figure.subplots(rows, columns, **options) if rows else None


def checked(ax):
    """Return axes to draw into.  Raises TypeError for anything else, None included."""
    if ax is None:
        raise TypeError("ax must be matplotlib's axes, such as plots.canvas()[1], got None")
    return arguments.axes(ax)


def literal(words: str) -> str:
    """Return words as matplotlib draws them letter by letter: between two $ it would set them as a formula.

    >>> print(literal("costs $5 or $6"))
    costs \\$5 or \\$6
    """
    return words.replace(r"\$", "$").replace("$", r"\$")


def label_of(predictor) -> str:
    """Return the name of a predictor as it is drawn."""
    return literal(name_of(predictor))


def wanted(ax, **words) -> list:
    """Check axes, or None, and texts to draw, or None; return the texts as they are drawn."""
    arguments.axes(ax)
    return [text if text is None else literal(arguments.text(name, text)) for name, text in words.items()]


def form_of(form, value) -> str:
    """Write a number by a format such as "{:,}".  Raises ValueError for what is none."""
    try:
        return literal(arguments.text("form", form).format(value))
    except (KeyError, IndexError, ValueError, AttributeError):
        raise ValueError('form must be a format of one number, such as "{:,}", got '
                         f"{arguments.shown(form)}") from None


def describe(ax, sentence: str) -> None:
    """Add a sentence to the alt text of the figure that `ax` belongs to, and have IPython send it with the picture.

    For figures drawn by hand; the functions of this package describe their own.
    """
    figure, sentence = checked(ax).figure, arguments.text("sentence", sentence).replace(r"\$", "$")
    figure.alt_text = " ".join([*filter(None, [getattr(figure, "alt_text", "")]), sentence])
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:
        # here, not at import: the inline backend registers its own printer when the first figure is made
        shell.display_formatter.formatters["image/png"].for_type(type(figure), shown)


def shown(figure):
    """Return (base64 PNG, metadata) of a figure, for IPython: its alt text, and its width on a page in pixels."""
    content, width = png(figure)
    said = {"alt": getattr(figure, "alt_text", None), "width": width, "pixelated": getattr(figure, "exact", False)}
    return base64.b64encode(content).decode(), {key: value for key, value in said.items() if value}


def save(figure, path) -> None:
    """Write a figure to a file as it is stored in a lesson: a PNG of at most 256 colours.  Raises OSError."""
    arguments.having("figure", figure, ["savefig", "get_layout_engine"],
                     "matplotlib's figure, such as plots.canvas()[0]")
    with files.replacing(path) as made:
        made.write_bytes(png(figure)[0])


def png(figure) -> tuple[bytes, int]:
    """Return a figure as a PNG of at most 256 colours, and its width on a page in pixels."""
    dpi = PAGE_DPI if getattr(figure, "exact", False) else STORED_DPI
    # without a layout of its own a figure cuts off what its axes' labels need
    fit = "tight" if figure.get_layout_engine() is None and not getattr(figure, "exact", False) else None
    drawn, content = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi, bbox_inches=fit, pil_kwargs={"compress_level": 0})
    picture = with_palette(Image.open(drawn).convert("RGB"))
    picture.save(content, "PNG", optimize=True, dpi=(dpi, dpi))
    return content.getvalue(), round(picture.width * PAGE_DPI / dpi)


def with_palette(picture):
    """Return a picture with at most 256 colours: those that have a meaning as they are, for the others the nearest.

    A median cut alone would move marks and lines, which fill few pixels, by up to a fifth of the way to black.
    """
    pixels = np.asarray(picture).astype(np.uint32)
    packed = pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
    found, place = np.unique(packed, return_inverse=True)
    palette = unpacked(found)
    if len(found) > COLOURS:
        kept = unpacked(np.intersect1d(found, NAMED))
        cut = picture.quantize(COLOURS - len(kept), dither=Image.Dither.NONE).getpalette()
        palette = np.vstack([kept, np.reshape(cut, (-1, 3))])
        place = nearest(unpacked(found), palette)[place]
    made = Image.fromarray(place.reshape(packed.shape).astype(np.uint8), mode="P")
    made.putpalette(palette.astype(np.uint8).tobytes())
    return made


def nearest(colours, palette):
    """Return for each colour (n, 3) the place of the nearest of a palette (m, 3), the first of those as near."""
    colours, palette = colours.astype(np.float32), palette.astype(np.float32)       # sums up to 2**24 are exact in it
    return ((palette**2).sum(axis=1) - 2 * colours @ palette.T).argmin(axis=1)


def unpacked(numbers):
    return np.stack([numbers >> 16 & 255, numbers >> 8 & 255, numbers & 255], axis=-1)


def fact(ax, sentence: str) -> None:
    """Say in a quiet line under the title what a panel shows, e.g. "3 of 4 corners right"."""
    sentence, points = literal(arguments.text("sentence", sentence)), plt.rcParams["axes.titlepad"]
    checked(ax)
    note = ax.annotate(sentence, (0, 1), xycoords="axes fraction", xytext=(0, 0.7 * points), va="bottom",
                       textcoords="offset points", color=look.QUIET[0], annotation_clip=False)
    # the title makes room for as many lines, and as with it, no width makes the axes smaller
    words = {where: ax.get_title(loc=where) for where in ("left", "center", "right")}
    note.set_in_layout(not any(words.values()))
    for where, title in words.items():
        if title:
            height = 1.25 * plt.rcParams["font.size"] * (1 + sentence.count("\n"))
            ax.set_title(title, loc=where, pad=points + height)


def attend(ax, x, y) -> None:
    """Draw a yellow ring around the one place of a figure that matters.

    x, y : numbers, or as many of each; of empty arrays it draws none.
    """
    x, y = (arguments.numbers_in(name, given, kinds="fiu") for name, given in (("x", x), ("y", y)))
    if x.shape != y.shape:
        raise ValueError(f"x and y must be as many numbers, got shapes {x.shape} and {y.shape}")
    checked(ax).scatter(x, y, s=620, facecolor="none", edgecolor=look.ATTEND, linewidth=4.5, clip_on=False, zorder=4)


def bar_beside(image, ax, label: str, *, ticks=None, extend: str = "neither"):
    """Put a colour bar at the right of `ax`, as tall as it is.  ticks : None means the ends and 0."""
    place = ax.inset_axes([1.05, 0, 20 / max(ax.bbox.width, 200), 1], label="<colorbar>")
    ticks = [image.norm.vmin, 0, image.norm.vmax] if ticks is None else ticks
    bar = ax.figure.colorbar(image, cax=place, label=label, ticks=ticks, format="{x:.2g}", extend=extend)
    bar.outline.set_visible(False)
    return bar


def colour_map(name: str, low: float, high: float):
    """Return one of matplotlib's maps without its ends, e.g. colour_map(*look.OUTPUT)."""
    return colors.ListedColormap(colormaps[name](np.linspace(low, high, 256)), f"{name} without ends")


OUTPUT, DIFFERENCE, COUNT = (colour_map(*wanted) for wanted in (look.OUTPUT, look.DIFFERENCE, look.COUNT))
