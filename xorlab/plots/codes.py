"""Maps of all input codes of a quantized predictor, and curves of those with one input.

Few inputs differ: each gets a marker, for a pixel would be too small to see. Many differ: every code gets two whole
pixels, a window of 30 x 30 codes gets twelve, and the picture is never scaled.
"""
from dataclasses import dataclass
from textwrap import wrap

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import ListedColormap

from xorlab import arguments, compare, data, look
from xorlab.integer import IntegerMLP
from xorlab.plots.lines import curve_axes, draw
from xorlab.plots.paper import (
    COUNT,
    DIFFERENCE,
    HALF,
    OUTPUT,
    bar_beside,
    canvas,
    describe,
    fact,
    label_of,
    literal,
    wanted,
)
from xorlab.plots.squares import (
    checked_span,
    clipped,
    difference_label,
    ends_of,
    of_class_one,
    reach_of,
    size_of,
    slice_title,
    with_others,
)
from xorlab.predictors import QuantizedPredictor, answers, name_of, single_answers

RESPONSE_POINTS = 1001  # along the curve of a float predictor
SPARSE = 0.01           # share of the inputs, up to which each that differs gets a marker
SPARSE_ORIGINS = 0.02   # the same, where inputs part inside a network
MAP, WINDOW, ZOOM = 512, 30, 12     # pixels of a dense map's side; codes of its window's side, and pixels of each


def code_difference(a, b, ax=None, *, title=None, reach=None, inputs=None, at=None):
    """Draw output of `a` minus output of `b` on the input codes of `a` and return the axes: a map, or a curve.

    a : a quantized predictor.  b : any predictor; it gets the numbers that the codes of `a` stand for.
    With one input or two of 8 bits these are all inputs, where `difference` draws a grid of points between codes.
    reach : as for `difference`.  inputs, at : as for `disagreement`.
    Raises TypeError unless `a` is quantized.

    >>> ax = plots.code_difference(int8, pytorch)
    """
    title, = wanted(ax, title=title)
    if not isinstance(a, QuantizedPredictor):
        raise TypeError(f"{name_of(a)} has no input codes to draw; use difference() for float predictors")
    plane = _code_plane(a, a.sample, a.input.dtype, inputs, at)
    first, meaning = of_class_one(a.output.dequantize(a.codes(plane.q)), a)
    second, other = of_class_one(answers(b, a.input.dequantize(plane.q)), b)
    z = first - second
    title = title or slice_title(literal(f"{a.name} minus {name_of(b)}"), inputs)
    ax = _signed(plane, z, ax, title, reach_of(z, reach), difference_label(meaning, other),
                 f"On average {np.abs(z).mean():.4f} in size.")
    describe(ax, f"Differences of outputs on {plane.words}, {title}: from {z.min():.3f} to {z.max():.3f}, "
                 f"{np.abs(z).mean():.4f} on average in size.{clipped(z, reach_of(z, reach))}")
    return ax


def disagreement(a, b, ax=None, *, title=None, inputs=None, at=None):
    """Draw how many codes lie between the outputs of two quantized predictors and return the axes.

    With two inputs of 8 bits, a map of all 65,536 of them; with one, a curve of all 256. Of several classes, the
    difference that is largest in size. If at most 1 % differ, each is a marker, its direction the sign, its area the
    size, over a's pale surface, and without `ax` there is a key in words beside the map. If more do, the map without
    `ax` has two whole pixels a code, and beside it a window in which single codes can be seen.
    inputs, at : for a network with more inputs, the two to draw, counted from 0 through all numbers of one input, and
        the codes of one input (of the network's shape) that give the others theirs. Two inputs of 16 bits are drawn
        at every 257th code.
    Raises what compare.check_codes raises, and ValueError for more inputs without `inputs` and `at`.

    >>> ax = plots.disagreement(tflm, reference, title="tflm minus reference")
    """
    title, = wanted(ax, title=title)
    compare.check_codes(a, b)
    plane = _code_plane(a, a.sample, a.input.dtype, inputs, at)
    first = a.codes(plane.q)
    steps = (first.astype(int) - b.codes(plane.q)).reshape(len(plane.q), -1)
    steps = np.take_along_axis(steps, np.abs(steps).argmax(axis=1)[:, None], axis=1)[:, 0]
    title = title or slice_title(literal(f"{a.name} minus {b.name}"), inputs)
    differing, largest = np.count_nonzero(steps), np.abs(steps).max()
    if len(plane.labels) == 2 and differing <= SPARSE * len(steps):
        ax = _sparse(plane, steps, first, a, ax, title)
    else:
        ax = _signed(plane, steps, ax, title, max(largest, 1), "difference of output codes",
                     f"{differing:,} of {plane.count} differ.")
    describe(ax, f"Differences of output codes, {title}: {differing:,} of {plane.count} differ, by at most {largest}.")
    return ax


def _sparse(plane, steps, codes, a, ax, title):
    """Draw a marker for each input that differs, over the pale surface of `a`; in a figure of its own, beside a key."""
    ax, key = _with_key(ax, 520)
    _code_axes(ax, title, plane)
    outputs = np.squeeze(a.output.dequantize(codes).reshape(len(codes), -1))
    if outputs.ndim == 1:                               # of several classes there is no one surface
        z = plane.picture(outputs)
        ax.imshow(z, cmap=OUTPUT, vmin=-0.9, vmax=1.9, alpha=0.55, **plane.place)
        if z.min() < 0.5 < z.max():
            ax.contour(plane.codes, plane.codes, z, levels=[0.5], colors=look.QUIET[0], linewidths=1.2)
    sizes = plane.picture(steps)
    for sign, (marker, colour) in SIGNS.items():
        where = sign * sizes > 0
        _mark(ax, plane, where, s=_area(sizes[where]), marker=marker, color=colour, linewidth=0.9)
    higher, lower = np.count_nonzero(steps > 0), np.count_nonzero(steps < 0)
    if key is None:
        fact(ax, f"{higher + lower} of {len(steps):,} differ: {higher} higher, {lower} lower")
    else:
        _key(key, plane, np.abs(steps[steps != 0]), higher, lower, title, outputs.ndim == 1)
    return ax


def _with_key(ax, height):
    """Return axes for a map of markers and for the key beside it, which is None where the map's are given."""
    return (ax, None) if ax is not None else canvas(height=height, columns=2, width_ratios=[1, 0.92])[1]


def _mark(ax, plane, where, **style):
    """Draw a marker on each input of a plane's picture that is true in `where`, on a map as large as the plane."""
    row, column = np.nonzero(where)
    ax.scatter(plane.codes[column], plane.codes[row], edgecolor=look.PAPER[0], zorder=3, clip_on=False, **style)
    ax.set(xlim=plane.place["extent"][:2], ylim=plane.place["extent"][2:], aspect="equal")


SIGNS = {1: ("^", look.HIGHER), -1: ("v", look.LOWER)}


def _area(steps):
    """Return the area of markers, in square points, for differences of this many codes."""
    return 34 + 7 * np.minimum(np.abs(steps), 30)


def _key(ax, plane, sizes, higher, lower, title, shaded):
    """Write what a sparse map shows, in words and counts."""
    ax.set_axis_off()
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.set_title(f"{higher + lower or 'None'} of {plane.count}")
    words = "get another code. Each has its marker:\na pixel would be too small to see." if higher + lower else (
        "gets another code.")
    ax.text(0, 0.97, words, va="top", linespacing=1.5)
    first = title.split(" minus ")[0] if " minus " in title else "the first"
    rows = [(sign, f"{count}: {first} answers {word}")
            for sign, count, word in ((1, higher, "higher"), (-1, lower, "lower")) if count]
    for y, (sign, text) in zip((0.75, 0.66), rows, strict=False):
        marker, colour = SIGNS[sign]
        ax.scatter(0.03, y, s=130, marker=marker, color=colour, clip_on=False)
        ax.text(0.09, y, text, va="center")
    shown = sorted({int(n) for n in (sizes.min(), np.median(sizes), sizes.max())}) if len(sizes) else []
    for i, size in enumerate(shown):
        ax.scatter(0.03 + 0.32 * i, 0.54, s=_area(size), marker="^", color=look.QUIET[0], clip_on=False)
        ax.text(0.09 + 0.32 * i, 0.54, f"{size:,} step{'s' * (size > 1)}", va="center")
    if shaded:
        ax.text(0, 0.4, "Shaded: the network's output, red near 1,\nblue near 0. Grey line: where it is 0.5.",
                va="top", color=look.QUIET[0], linespacing=1.5)


def _signed(plane, z, ax, title, reach, label, words):
    """Draw a signed value of each input, as a map or a curve, on a scale symmetric about 0 that ends at `reach`."""
    if len(plane.labels) == 1:
        ax = _code_axes(ax, title, plane)
        ax.plot(plane.codes, z, drawstyle="steps-mid", linewidth=1.2, color=look.INK[0])
        ax.set(ylabel=label, ylim=(-1.05 * reach, 1.05 * reach))
        ax.grid(axis="y")
        return ax
    style = {"cmap": DIFFERENCE, "vmin": -reach, "vmax": reach}
    if ax is None:
        ax, beside = _dense(plane, plane.picture(z), title, style)
        beside.text(0, 1.5, words, va="bottom", transform=beside.transAxes)
        bar = ax.figure.colorbar(ax.images[0], cax=beside, orientation="horizontal",
                                 ticks=[-reach, 0, reach], format="{x:.2g}", extend=ends_of(z, -reach, reach))
        bar.set_label(f"{label}\npurple lower, green higher")
        for tick, place in zip(beside.get_xticklabels(), ("left", "center", "right"), strict=True):
            tick.set_ha(place)                          # or the last would leave the figure
        bar.outline.set_visible(False)
        return ax
    _code_axes(ax, title, plane)
    image = ax.imshow(plane.picture(z), **style, **plane.place)
    bar_beside(image, ax, label, extend=ends_of(z, -reach, reach))
    return ax


def _dense(plane, picture, title, style):
    """Draw a map whose every code is two whole pixels, and the window; return the map's axes and a strip for its key.

    Everything sits on whole pixels and the figure is shown as it is, so that no code is ever resampled.
    """
    width, height, right, top = 1000, 574, 628, 564                     # as high as a slide has room for
    figure, _ = canvas(width, height, rows=0, exact=True)

    def axes(x, y, w, h, **options):                    # in pixels, from the lower left
        return figure.add_axes((x / width, y / height, w / width, h / height), **options)

    ax = _code_axes(axes(80, top - MAP, MAP, MAP), "", plane)
    lines = wrap(title, 34)                             # above the window, as wide as it, there is room for two
    ax.set_title("\n".join(lines), loc="left", x=(right - 80) / MAP, y=1 - 18 * len(lines) / MAP, pad=0)
    ax.imshow(picture, **style, **plane.place)
    ax.spines[["left", "bottom"]].set_position(("outward", 2))          # a line on the edge would cover codes
    (row, column), step = _busiest(picture), plane.codes[1] - plane.codes[0]
    x, y, side = plane.codes[column] - step / 2, plane.codes[row] - step / 2, WINDOW * step
    ax.add_patch(plt.Rectangle((x, y), side, side, fill=False, color=look.INK[0], linewidth=2))
    low, high = top - 46 - ZOOM * WINDOW, top - 46
    window = axes(right, low, ZOOM * WINDOW, ZOOM * WINDOW, label="<window>")
    window.imshow(picture[row: row + WINDOW, column: column + WINDOW], **style, origin="lower",
                  extent=(x, x + side, y, y + side), interpolation="nearest")
    ends = plane.codes[column], plane.codes[column + WINDOW - 1]
    window.set(xticks=ends, yticks=[])
    if len(lines) < 2:
        window.set_title(f"the window, {ZOOM} pixels a code", color=look.QUIET[0], weight="normal", pad=5)
    for spine in window.spines.values():
        spine.set(visible=True, color=look.INK[0], linewidth=2)
    for end, place in ((0, low), (side, high)):         # the window opens: its corners lead to the large one's
        ax.annotate("", xy=(right / width, place / height), xycoords="figure fraction", xytext=(x + side, y + end),
                    textcoords="data",
                    arrowprops={"arrowstyle": "-", "color": look.INK[0], "linewidth": 1, "shrinkA": 0, "shrinkB": 0})
    return ax, axes(right, 80, ZOOM * WINDOW, 16, label="<colorbar>")


def _busiest(picture):
    """Return (row, column) of the window with the most different values, of equals the one nearest to the middle."""
    starts = range(0, len(picture) - WINDOW + 1, 8)
    middle = (len(picture) - WINDOW) / 2
    shades = np.rint(16 * picture / (np.abs(picture).max() or 1))          # numbers that differ little look the same

    def busy(place):
        row, column = place
        part = shades[row: row + WINDOW, column: column + WINDOW]
        return len(np.unique(part)), -abs(row - middle) - abs(column - middle)

    return max(((row, column) for row in starts for column in starts), key=busy)


def origins(a, b, ax=None, *, title=None, inputs=None, at=None):
    """Draw at which operator two IntegerMLPs of one net first differ and return the axes.

    With two inputs a map of all 65,536 of them, with one a row of dots for all 256. The later, the darker. If at most
    2 % differ, each has a marker, of one form an operator.
    inputs, at : as for `disagreement`.

    >>> ax = plots.origins(net, net.under("reference"))
    """
    title, = wanted(ax, title=title)
    for net in (a, b):
        arguments.instance("a net", net, IntegerMLP, "an IntegerMLP")
    plane = _code_plane(a, (a.width,), a.input.dtype, inputs, at)
    first = compare.origins(a, b, plane.q)
    title = title or slice_title(f"where {a.rule} and {b.rule} part", inputs)
    counts = [np.count_nonzero(first == i) for i in range(len(a.steps))]
    kinds = [f"operator {i}, {step.name}: {n:,}"
             for i, (step, n) in enumerate(zip(a.steps, counts, strict=True), 1)]
    if len(plane.labels) == 1:
        ax = _code_axes(ax, title, plane)
        ax.plot(plane.codes, first, ".", color=look.INK[0])
        ax.set_yticks(range(-1, len(kinds)), ["nowhere", *kinds])
    elif sum(counts) <= SPARSE_ORIGINS * len(first):
        ax = _sparse_origins(plane, first, kinds, ax, title)
    else:
        shades = COUNT(np.linspace(0.45, 1, len(kinds)))
        style = {"cmap": ListedColormap([look.PAPER[0], *shades]), "vmin": -1, "vmax": len(kinds) - 1}
        if ax is None:
            ax, key = _dense(plane, plane.picture(first), title, style)
            key.set_axis_off()
        else:
            _code_axes(ax, title, plane)
            key = ax
            ax.imshow(plane.picture(first), **style, **plane.place)
        for shade, kind in zip(shades, kinds, strict=True):
            key.scatter([], [], marker="s", s=90, color=shade, label=kind)
        place = {"loc": "upper left", "bbox_to_anchor": (-0.02, 3.2), "borderaxespad": 0} if key is not ax else {
            "loc": "upper left", "bbox_to_anchor": (1, 1)}
        key.legend(title="first differ at", alignment="left", handletextpad=0.2, **place)
    describe(ax, f"Map of {plane.words}, {title}; first at " + "; ".join(kinds) + ".")
    return ax


def _sparse_origins(plane, first, kinds, ax, title):
    """Draw a marker for each input that differs, its form and shade the operator's; in its own figure, beside a key."""
    ax, key = _with_key(ax, 490)
    if key:
        key.set_axis_off()
    _code_axes(ax, title, plane)
    shades = COUNT(np.linspace(0.5, 1, len(kinds)))
    where = plane.picture(first)
    for i, kind in enumerate(kinds):
        style = {"marker": "osD^vP"[i % 6], "color": shades[i], "linewidth": 0.5}
        _mark(ax, plane, where == i, s=26, **style)
        (key or ax).scatter([], [], s=90, label=kind, edgecolor=look.PAPER[0], **style)
    (key or ax).legend(title="first differ at", alignment="left", handletextpad=0.2, borderaxespad=0,
                       loc="upper left", bbox_to_anchor=(0, 1) if key else (1.02, 1))
    return ax


def response(*predictors, ax=None, title="Output against the input", span=None):
    """Draw the outputs of predictors with one input against it and return the axes.

    predictors : one answer a point each. A quantized one is drawn at every input code, as steps; if all of them
        have the same output codes, the right axis counts in them.
    span : where the input begins and ends; None means the range of the first quantized predictor's codes, or 0 to 1
        where there is none.
    Raises ValueError for a predictor of more inputs, or none at all.
    """
    title, = wanted(ax, title=title)
    if not predictors:
        raise ValueError("response needs at least one predictor to draw, got none")
    for p in predictors:
        if size_of(p) not in (1, None):
            raise ValueError(f"{name_of(p)} takes {size_of(p)} inputs; a curve needs exactly one. See plots.surface")
    quantized = [p for p in predictors if isinstance(p, QuantizedPredictor)]
    if span is None:
        span = _code_reals(quantized[0])[[0, -1]] if quantized else (0, 1)
    low, high = checked_span(span)
    ax, said = curve_axes(ax), []
    for p in predictors:
        x = _code_reals(p) if p in quantized else np.linspace(low, high, RESPONSE_POINTS, dtype=np.float32)
        x = x[(x >= low) & (x <= high)]
        if not len(x):
            raise ValueError(f"no input code of {p.name} lies from {low:g} to {high:g}; choose another span")
        y = single_answers(p, x.reshape(-1, *(getattr(p, "sample", None) or (1,))))
        draw(ax, x, y, name_of(p), named=False,
             drawstyle="steps-mid" if p in quantized else "default", linewidth=1.6)
        said.append(f"{label_of(p)} from {y.min():.3g} to {y.max():.3g}"
                    + (f" on {len(x):,} codes" if p in quantized else ""))
    ax.set(title=title, xlabel="input", ylabel="output")
    ax.legend()                                         # where names would stand, there is the axis of codes
    lines = {p.output for p in quantized}
    if len(lines) == 1 and len(quantized) == len(predictors):
        (line,) = lines
        ax.secondary_yaxis("right", functions=(lambda real: real / line.scale + line.zero_point,
                                               lambda code: line.scale * (code - line.zero_point))
                           ).set_ylabel("output code")
    describe(ax, f"{title}, input {low:.3g} to {high:.3g}: {'; '.join(said)}.")
    return ax


@dataclass(frozen=True, eq=False)
class CodePlane:
    """Input codes to draw over one axis or two.

    q : (n, ...) codes; over two axes n = len(codes)**2, the first input slowest.  codes : what each axis shows.
    labels : one an axis.  every : whether these are all inputs.  which : if not, what they are.
    """
    q: np.ndarray
    codes: np.ndarray
    labels: tuple
    every: bool
    which: str = ""

    @property
    def count(self):
        """How many inputs they are, in words, e.g. "65,536 inputs"."""
        return f"{len(self.q):,} inputs{self.which}"

    @property
    def words(self):
        """Which inputs they are, in words, e.g. "all 65,536 inputs"."""
        return f"all {self.count}" if self.every else self.count

    def picture(self, z):
        """Arrange values of the inputs as rows along y."""
        return z.reshape(len(self.codes), -1).T

    @property
    def place(self):
        """How imshow puts each code in its place."""
        half = (int(self.codes[1]) - int(self.codes[0])) / 2
        ends = (self.codes[0] - half, self.codes[-1] + half)
        return {"origin": "lower", "interpolation": "nearest", "extent": (*ends, *ends)}


def _code_plane(predictor, sample, dtype, inputs, at):
    """Return the codes to draw of a quantized predictor: all where there are one or two inputs, else a slice."""
    size, name = int(np.prod(sample)), getattr(predictor, "name", None) or "the net"
    if size == 1 and inputs is None and at is None:
        q = data.code_inputs(sample, dtype).codes
        return CodePlane(q, q.ravel().astype(int), ("input, code",), every=True)
    one = np.asarray(data.code_inputs((1,), dtype).codes.ravel())
    thinned = one[::257] if len(one) > 256 else one             # 16 bits: 256 codes from end to end
    pairs = np.stack(np.meshgrid(thinned, thinned, indexing="ij"), axis=-1).reshape(-1, 2)
    codes, every = thinned.astype(int), len(one) == len(thinned)
    which = "" if every else " at every 257th code"
    if size == 2 and inputs is None and at is None:
        labels = ("first input, code", "second input, code")
        return CodePlane(pairs.reshape(-1, *sample), codes, labels, every, which)
    if inputs is None and at is None:
        raise ValueError(f"{name} takes {size} inputs; choose the two to draw and one input's codes for the others: "
                         "inputs=(0, 1), at=codes")
    q = with_others(pairs, name, sample, inputs, at, dtype)
    return CodePlane(q, codes, tuple(f"input {i}, code" for i in inputs), False, f" of a slice{which}")


def _code_reals(predictor):
    """Return the numbers that the input codes of a predictor stand for, in order."""
    return predictor.input.dequantize(data.code_inputs((1,), predictor.input.dtype).codes.ravel())


def _code_axes(ax, title, plane):
    if len(plane.labels) == 1:
        ax = curve_axes(ax)
        ax.set(title=title, xlabel=plane.labels[0])
        return ax
    if ax is None:
        _, ax = canvas(HALF, 500)
    ticks = [plane.codes[i] for i in (0, 64, 128, 192, -1)]
    ax.set(title=title, xlabel=plane.labels[0], ylabel=plane.labels[1], xticks=ticks, yticks=ticks)
    return ax
