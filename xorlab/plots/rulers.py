"""Codes on a line: where a real number goes when it is quantized, many weights at once, and a layer's scales."""
import numpy as np

from xorlab import arguments, look
from xorlab.integer.affine import Affine
from xorlab.plots.paper import PAGE, canvas, describe, fact


def ruler(affine, real, ax=None):
    """Draw a real number on a line, the codes around it, and the code that it gets; return the axes.

    affine : the line between real numbers and codes, e.g. `input` of a quantized predictor.
    real : a number, at most 2 steps beyond the range of the codes.
    Raises ValueError for one further out: its way would leave the picture.

    >>> ax = plots.ruler(int8.input, 0.5)
    """
    arguments.axes(ax)
    arguments.instance("affine", affine, Affine, "the line between numbers and codes, such as `input` of a predictor")
    real = arguments.real("real", real, least=-3e38, most=3e38)
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


def weight_codes(weights, limits, *, height=320):
    """Draw how many weights each code gets, a panel for each number of bits; return the axes.

    weights : an array.  limits : {bits: limit}, 2 to 8 bits and the real number that the largest code means. Codes go
        from -(2**(bits - 1) - 1) to 2**(bits - 1) - 1; a weight beyond the limit gets the last one.
    Raises ValueError for other bits and for a limit that is not above 0.

    >>> axes = plots.weight_codes(w, {8: 8, 4: 3.3})
    """
    arguments.float32("weights", weights)               # what a layer can hold
    weights = np.asarray(weights, float).ravel()
    if not isinstance(limits, dict) or not limits or not weights.size:
        raise ValueError("weight_codes draws some weights, with limits {bits: limit}; got "
                         f"{weights.size} weights and {arguments.shown(limits)}")
    for bits, limit in limits.items():
        if not arguments.is_whole(bits, 2, 8) or not isinstance(limit, (int, float, np.number)) or isinstance(
                limit, bool) or not 0 < limit < np.inf:
            raise ValueError("weight_codes draws limits above 0 for 2 to 8 bits, {bits: limit}; got "
                             f"{{{arguments.shown(bits)}: {arguments.shown(limit)}}}")
    figure, axes = canvas(PAGE, height, 1, len(limits), squeeze=False)
    far = weights[np.abs(weights).argmax()]
    reach = 1.08 * np.abs(weights).max()
    for ax, (bits, limit) in zip(axes[0], limits.items(), strict=True):
        largest = 2 ** (bits - 1) - 1
        step = limit / largest
        codes = np.clip(np.rint(weights / step), -largest, largest)
        counts = np.array([np.sum(codes == code) for code in range(-largest, largest + 1)])
        zero, lost = np.mean(codes == 0), np.mean((codes * step - weights) ** 2)
        wide = step if bits >= 7 else min(0.8 * step, 0.05 * reach)
        ax.bar(np.arange(-largest, largest + 1) * step, counts, width=wide, color=look.FORMS["int8"][0])
        lands = np.clip(np.rint(far / step), -largest, largest) * step
        left, top = min(-reach / 2, 1.08 * step * codes.min()), counts.max()
        ax.annotate(f"{far:.3g} becomes {lands:.3g}", (lands, 0.02 * top), (reach if far > 0 else left, 1.08 * top),
                    ha="right" if far > 0 else "left", va="bottom",        # above every bar
                    arrowprops={"arrowstyle": "-|>", "color": look.INK[0]})
        ax.set(title=f"{bits} bits, limit {limit:g}", xlabel="weight", ylim=(0, 1.3 * top), xlim=(left, reach))
        fact(ax, f"{100 * zero:.3g} % become 0; error {lost:.2g}")
        describe(ax, f"Histogram of {len(weights):,} weights on {2 * largest + 1} codes, {bits} bits, limit {limit:g}: "
                     f"{100 * zero:.3g} % become 0, the largest, {far:.3g}, becomes {lands:.3g}; mean squared error "
                     f"{lost:.2g}.")
    axes[0, 0].set_ylabel("weights")
    return axes[0]


def weight_scales(weights, bits=3, *, height=330):
    """Draw what a layer's weights become with one scale per layer, and with one per unit; return the two axes.

    weights : (units, inputs), a row for each unit.  bits : 2 to 5, few enough to tell the codes apart.
    Raises ValueError for other bits, and for weights that are no such table or have a unit of zeros.

    >>> axes = plots.weight_scales(net.hidden.weight.detach().numpy())
    """
    arguments.float32("weights", weights)
    weights = np.asarray(weights, float)
    fits = weights.ndim == 2 and len(weights) and np.abs(weights).max(axis=1, initial=0).all()
    if not fits or not arguments.is_whole(bits, 2, 5):
        raise ValueError("weight_scales draws 2 to 5 bits and weights (units, inputs), no unit all 0; got "
                         f"{arguments.shown(bits)} bits and the shape {weights.shape}")
    largest = 2 ** (int(bits) - 1) - 1
    per_unit = np.abs(weights).max(axis=1, keepdims=True) / largest
    per_layer = np.full_like(per_unit, per_unit.max())
    reach, units = 1.08 * np.abs(weights).max(), len(weights)
    _, axes = canvas(PAGE, height, 1, 2)
    for ax, name, scales in zip(axes, ("Per tensor", "Per channel"), (per_layer, per_unit), strict=True):
        rounded = np.rint(weights / scales) * scales
        for row, (before, after, scale) in enumerate(zip(weights, rounded, scales[:, 0], strict=True)):
            ax.hlines(row, -largest * scale, largest * scale, color=look.LINE[0], linewidth=1.5)
            ax.plot(np.arange(-largest, largest + 1) * scale, [row] * (2 * largest + 1), "|", color=look.INK[0],
                    markersize=15, markeredgewidth=2)
            for weight, code in zip(before, after, strict=True):
                ax.plot([weight, weight, code], [row - 0.36, row - 0.26, row], color=look.FORMS["int8"][0], linewidth=2)
                ax.plot(weight, row - 0.36, "o", markersize=9, color=look.FORMS["int8"][0])
        lost = np.abs(rounded - weights).mean()
        ax.set(title=f"{name}: {'one scale' if name == 'Per tensor' else f'{units} scales'}", xlabel="weight",
               xlim=(-reach, reach), ylim=(units - 0.5, -0.7), yticks=range(units),
               yticklabels=[f"unit {row + 1}" for row in range(units)])
        ax.grid(False)
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        fact(ax, f"rounding moves a weight by {lost:.2f} on average")
        describe(ax, f"{name}, {units} units, {2 * largest + 1} codes each: from code to code "
                     f"{', '.join(f'{scale:.2f}' for scale in scales[:, 0])}; rounding moves a weight by {lost:.2f} on "
                     "average.")
    return axes
