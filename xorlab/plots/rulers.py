"""Codes on a line: where a real number goes when it is quantized."""
import numpy as np

from xorlab import look
from xorlab.plots.paper import canvas, describe


def ruler(affine, real, ax=None):
    """Draw a real number on a line, the codes around it, and the code that it gets; return the axes.

    affine : the line between real numbers and codes, e.g. `input` of a quantized predictor.
    real : a number, at most 2 steps beyond the range of the codes.
    Raises ValueError for one further out: its way would leave the picture.

    >>> ax = plots.ruler(int8.input, 0.5)
    """
    code = int(affine.quantize(real))
    back = float(affine.dequantize(code))
    if not abs(back - real) <= 2 * affine.scale:
        raise ValueError(f"ruler draws numbers up to 2 steps of {affine.scale:.4g} from their code; got {real:g}, "
                         f"which becomes {back:g}")
    lowest, highest = np.iinfo(affine.dtype).min, np.iinfo(affine.dtype).max
    first = min(max(code - 1, lowest), highest - 3)
    codes = np.arange(first, first + 4)
    reals, step = affine.dequantize(codes).astype(float), affine.scale
    left, right = min(reals[0], real) - 0.45 * step, max(reals[-1], real) + 0.45 * step
    if ax is None:
        _, ax = canvas(height=175)
    ax.set_axis_off()
    ax.set(xlim=(left, right), ylim=(-1, 1))
    ax.axhline(0, color=look.INK[0], linewidth=2.4)
    for number, place in zip(codes, reals, strict=True):
        chosen = number == code
        colour, weight = (look.FORMS["int8"][0], "bold") if chosen else (look.QUIET[0], "normal")
        ax.plot([place, place], [-0.26, 0.26] if chosen else [-0.16, 0.16], color=colour if chosen else look.INK[0],
                linewidth=6 if chosen else 2.4, solid_capstyle="butt")
        ax.text(place, -0.4, f"{place:.4f}\ncode {number}", color=colour, weight=weight, ha="center", va="top",
                linespacing=1.4)
    if abs(back - real) < 1e-3 * step:          # the same number but for float32
        words = f"{real:g} has a code: {code}"
    else:
        words = f"{real:g} has no code: it becomes code {code}"
        ax.annotate("", xy=(back, 0.3), xytext=(real, 0.12),
                    arrowprops={"arrowstyle": "-|>", "color": look.INK[0], "linewidth": 2, "mutation_scale": 18,
                                "connectionstyle": f"arc3,rad={0.6 if back < real else -0.6}"})
    ax.plot(real, 0, "o", markersize=12, color=look.ATTEND, markeredgecolor=look.INK[0], markeredgewidth=2)
    ax.text(real + 0.06 * step, 0.78, words, weight="bold", ha="left" if real < (left + right) / 2 else "right",
            va="center", bbox={"facecolor": look.ATTEND_WASH, "edgecolor": "none", "boxstyle": "round,pad=0.45"})
    describe(ax, f"A line with the codes around {real:g}: {words}, {back:.4f}; one step is {step:.4f}.")
    return ax
