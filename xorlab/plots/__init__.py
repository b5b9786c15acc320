"""Plots: decision surfaces, differences, maps of all input codes, points, curves and bars.

Every function takes `ax=None`, draws, and returns the axes; none shows the figure. Each also writes down what the
picture shows, computed from the data: in a notebook that text becomes the image's alt text. Colours are those of
`look`, where one thing has one colour; `use` asks for the series' style. Modules import only those before them:

paper : the style, a canvas in a page's pixels, and the picture that is stored
squares : outputs over a square of two inputs
lines : curves, with their names beside them
codes : maps of all 65,536 input codes
bars : bars, tables and pictures
nets : a net from the inside
rulers : codes on a line, and weights on codes
"""
from xorlab.plots.bars import (
    bars,
    byte_parts,
    confusion,
    dots,
    error_sizes,
    final_losses,
    interval,
    picture,
    pictures,
    shares,
    table,
)
from xorlab.plots.codes import code_difference, disagreement, origins, response
from xorlab.plots.lines import curves, draw, lines, losses, survival
from xorlab.plots.paper import attend, canvas, describe, fact, save, use
from xorlab.plots.rulers import ruler, weight_codes, weight_scales
from xorlab.plots.squares import boundary, difference, frame, points, regions, surface, surfaces, values

__all__ = [
    "activations", "attend", "bars", "boundary", "byte_parts", "canvas", "code_difference", "confusion", "curves",
    "describe", "difference", "disagreement", "dots", "draw", "error_sizes", "fact", "final_losses", "frame",
    "interval", "lines", "loss_along", "losses", "network", "origins", "picture", "pictures", "points", "regions",
    "response", "ruler", "save", "shares", "surface", "surfaces", "survival", "table", "units", "use", "values",
    "weight_codes", "weight_scales",
]

OF_NETS = ["activations", "loss_along", "network", "units"]     # of `nets`, which needs PyTorch: loaded when asked for


def __getattr__(name):
    if name not in OF_NETS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from xorlab.plots import nets

    return getattr(nets, name)


def __dir__():
    return sorted({*globals(), *OF_NETS})


PALE_BLUE = "#7fb3d5"   # which copies of version 0.1.0's lessons ask for
