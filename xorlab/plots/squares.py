"""Outputs over a square of two inputs: surfaces, differences, classes, points."""
import numbers
from dataclasses import dataclass

import numpy as np
from matplotlib import colors
from matplotlib.colors import ListedColormap

from xorlab import arguments, compare, data, look
from xorlab.plots.paper import (
    DIFFERENCE,
    HALF,
    OUTPUT,
    PAGE,
    bar_beside,
    canvas,
    checked,
    describe,
    fact,
    label_of,
    literal,
    wanted,
)
from xorlab.predictors import answers, name_of

SIDE = 101              # points along each side of a drawn surface
FARTHEST = 1e30         # an end of a square: points are float32
MOST_PANELS, LEAST_EDGE = 200, 5        # of surfaces; pixels of one
SHADE = 1 / 512         # half a shade of 256: outputs this far beyond 0 or 1 look the same as there


def surface(predictor, ax=None, *, side=SIDE, title=None, inputs=None, at=None, span=(0, 1)):
    """Draw a predictor's output over a square, with the 0.5 contour, and return the axes.

    predictor : a callable from float32 (n, 2) to (n,) in 0..1, or to (n, 2), two classes: probabilities give the
        second column, others go through a softmax, and the colour bar says so.
    The first input runs along x, the second along y.
    inputs, at : for a network with more inputs, the two to draw, counted from 0 through all numbers of one input, and
        one input (of the network's shape) that gives the others their values.  span : where both axes begin and end.
    Raises ValueError for a network of other inputs without `inputs` and `at`.

    >>> ax = plots.surface(predictors.from_torch(net), title="PyTorch")
    """
    title, = wanted(ax, title=title)
    z, meaning = _plane_of_answers(predictor, side, inputs, at, span)
    ax = _surface(z, ax, title or slice_title(label_of(predictor), inputs), span, inputs, meaning)
    _output_bar(ax, meaning, z)
    return ax


def surfaces(panels, titles=None, *, facts=None, columns=None, side=SIDE, reach=None, width=None):
    """Draw surfaces in rows that share one scale and one bar; return their axes, an array as long as `panels`.

    panels : predictors; outputs computed before, (side, side) as `values` returns them; or pairs (a, b) of predictors,
        drawn as the difference a minus b, all on one scale of their own.
    titles : one a panel; None means the names of the predictors.  facts : a quiet line under each title; True
        computes it: the corners right of a surface over XOR's square, the ends of a difference.
    columns : panels in a row; None means up to four.  reach : as for `difference`.  width : in pixels on a page.
    Raises ValueError for no panels, or another number of titles or facts.

    >>> axes = plots.surfaces([pytorch, int8, (int8, pytorch)], facts=True)
    >>> axes = plots.surfaces(frames, [f"epoch {epoch}" for epoch in epochs], columns=6)
    """
    drawn = [_panel(panel, side) for panel in arguments.several("panels", panels, "predictors, outputs or pairs")]
    if not drawn:
        raise ValueError("surfaces needs at least one panel to draw, got none")
    if len(drawn) > MOST_PANELS:
        raise ValueError(f"surfaces draws up to {MOST_PANELS} panels, got {len(drawn)}")
    titles = [panel.title for panel in drawn] if titles is None else [
        literal(title) for title in arguments.several("titles", titles, "texts", str)]
    if facts is True:
        facts = [panel.fact for panel in drawn]
    else:
        facts = arguments.several("facts", facts, "texts", str) if facts is not None and facts is not False else [
            ""] * len(drawn)
    columns = 4 if columns is None else arguments.whole("columns", columns, 1)
    if not len(drawn) == len(titles) == len(facts):
        raise ValueError(f"{len(drawn)} panels need as many titles and facts, got {len(titles)} and {len(facts)}")
    columns = min(columns, len(drawn))
    if width is not None:
        width = arguments.real("width", width, above=0, most=PAGE)
    rows = -(-len(drawn) // columns)
    kinds = {panel.signed for panel in drawn}
    bars = 95 * len(kinds)
    edge = min((width or PAGE) - 70 - bars, columns * 330) / columns        # of a panel, with the gap to the next
    if edge < LEAST_EDGE:
        raise ValueError(f"{columns} panels in a row need a wider figure, got {width or PAGE:g} pixels; take fewer "
                         "columns")
    made, axes = canvas(width or min(PAGE, columns * edge + 70 + bars), rows * (edge + 20 + 20 * any(facts)) + 50,
                        rows, columns, squeeze=False)
    axes = axes.ravel()
    widest = reach_of(np.concatenate([panel.z.ravel() for panel in drawn if panel.signed] or [np.zeros(1)]), reach)
    for i, (panel, title, ax) in enumerate(zip(drawn, titles, axes, strict=False)):
        if panel.signed:
            _difference(panel.z, ax, title, widest)
        else:
            _surface(panel.z, ax, title, meaning=panel.meaning)
        if facts[i]:
            fact(ax, facts[i])
        _inner(ax, left=i % columns == 0, lowest=i + columns >= len(drawn))
        if (i + 1) % columns == 0 or i + 1 == len(drawn) or drawn[i + 1].signed != panel.signed:
            same = [other.z.ravel() for other in drawn[i - i % columns: i + 1] if other.signed == panel.signed]
            (_difference_bar if panel.signed else _output_bar)(ax, panel.meaning, np.concatenate(same))
    for ax in axes[len(drawn):]:
        ax.remove()
    return axes[: len(drawn)]


@dataclass(frozen=True, eq=False)
class _Panel:
    """What `surfaces` draws in one place: z (side, side), a difference or not, and what to say of it."""
    z: np.ndarray
    signed: bool
    meaning: str
    title: str = ""
    fact: str = ""


def _panel(given, side):
    if isinstance(given, tuple):
        if len(given) != 2:
            raise ValueError(f"a panel of a difference is a pair of predictors, got {arguments.shown(given)}")
        a, b = given
        z, meaning = _plane_of_differences(a, b, side)
        title = literal(f"{name_of(a)} minus {name_of(b)}")
        return _Panel(z, True, meaning, title, f"from {z.min():.2f} to {z.max():.2f}")
    z, meaning = _plane_of_answers(given, side) if callable(given) else (_outputs(given), "output")
    title = label_of(given) if callable(given) else ""
    return _Panel(z, False, meaning, title, corners_right(z))


def _inner(ax, left, lowest):
    """Leave out the labels of a panel that its neighbours have, and keep the numbers of neighbours apart."""
    ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"] if ax.bbox.width > 150 else ["0", "", "1"])
    ax.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    for label, place in zip(ax.get_xticklabels(), ("left", "center", "right"), strict=True):
        label.set_ha(place)
    if not left:
        ax.set_ylabel("")
        ax.tick_params(labelleft=False)
    if not lowest:
        ax.set_xlabel("")
        ax.tick_params(labelbottom=False)


def frame(z, ax=None, *, title=""):
    """Draw outputs that were computed before, as one frame of a film: `surface` without the colour bar.

    z : (side, side) outputs in 0..1 at evenly spaced points of the unit square, first axis = first input, as
        `values` returns them.
    """
    title, = wanted(ax, title=title)
    return _surface(_outputs(z), ax, title)


def _outputs(z):
    z = arguments.numbers_in("outputs", z)
    if z.ndim != 2 or len(set(z.shape)) != 1 or len(z) < 2:
        raise ValueError(f"outputs to draw must have shape (side, side), got {z.shape}")
    return z


def _surface(z, ax, title, span=(0, 1), inputs=None, meaning="output"):
    """Draw outputs over a square: colours from 0 to 1, the contour at 0.5, and XOR's corners where it is XOR's square.

    Where outputs go beyond the colours, a line under the title says so.
    """
    low, high = z.min(), z.max()
    ax = _square_axes(ax, title, span, inputs)
    ax.imshow(z.T, cmap=OUTPUT, vmin=0, vmax=1, **_place(len(z), span))         # rows of a picture run along y
    if low < 0.5 < high:
        ax.contour(*_ticks(len(z), span), z.T, levels=[0.5], colors=look.INK[0], linewidths=1.6)
    if beyond_colours(z):
        fact(ax, f"outputs {round(low, 2):g} to {round(high, 2):g}")            # the bar has the ends of the colours
    where, right = f"a square of two inputs, {span[0]:g} to {span[1]:g}", ""
    if inputs is None and tuple(span) == (0, 1):
        _mark_corners(ax)
        where, right = "the unit square", f", {corners_right(z)}"
    beyond = np.mean((z < -SHADE) | (z > 1 + SHADE))
    clipped = f" Beyond the colours' ends, 0 and 1, on {share_of(beyond)} of it." if beyond else ""
    tied = z == 0.5
    ties = f", exactly 0.5 on {share_of(tied)}" if tied.mean() > 0.05 else ""         # a plateau; a line is less
    describe(ax, f"Surface over {where}, {title}: {meaning} from {low:.2f} to {high:.2f}, "
                 f"above 0.5 on {share_of(z > 0.5)} of it{ties}{right}.{clipped}")
    return ax


def at_corners(z):
    """Return outputs over a square, (side, side), at the corners, in the order of data.corners: (4,)."""
    return z[[0, 0, -1, -1], [0, -1, 0, -1]]


def corners_right(z):
    """Say how many of XOR's corners are right, e.g. "4 of 4 corners right"."""
    return f"{int(compare.right(at_corners(z), data.corners()[1]).sum())} of 4 corners right"


def beyond_colours(z):
    """Return what to say of outputs that the colours from 0 to 1 cannot tell apart; "" where there are none."""
    low, high = np.min(z), np.max(z)
    if low >= -SHADE and high <= 1 + SHADE:
        return ""
    return f"(outputs {low:.2g} to {high:.2g}, colours 0 to 1)"


def difference(a, b, ax=None, *, side=SIDE, title=None, reach=None, inputs=None, at=None, span=(0, 1)):
    """Draw output of `a` minus output of `b` over a square and return the axes: purple where `a` is lower, green above.

    reach : the difference at which the colours end, on both sides of 0; None means the largest there is. A smaller
        one shows where small differences lie.
    inputs, at, span : as for `surface`.  Two classes count as for `surface`.

    >>> ax = plots.difference(int8, pytorch, reach=0.005)
    """
    title, = wanted(ax, title=title)
    z, meaning = _plane_of_differences(a, b, side, inputs, at, span)
    title = title or slice_title(literal(f"{name_of(a)} minus {name_of(b)}"), inputs)
    ax = _difference(z, ax, title, reach_of(z, reach), span, inputs)
    _difference_bar(ax, meaning, z)
    return ax


def _plane_of_differences(a, b, side, inputs=None, at=None, span=(0, 1)):
    """Return a's answers on a square minus b's, (side, side), and what to call it."""
    (first, meaning), (second, other) = (_plane_of_answers(p, side, inputs, at, span) for p in (a, b))
    return first - second, difference_label(meaning, other)


def difference_label(meaning, other):
    return "difference of outputs" if meaning == other == "output" else "difference, class 1"


def _difference(z, ax, title, reach, span=(0, 1), inputs=None):
    ax = _square_axes(ax, title, span, inputs)
    ax.imshow(z.T, cmap=DIFFERENCE, vmin=-reach, vmax=reach, **_place(len(z), span))
    where = f"a square of two inputs, {span[0]:g} to {span[1]:g}"
    if inputs is None and tuple(span) == (0, 1):
        _mark_corners(ax)
        where = "the unit square"
    describe(ax, f"Difference over {where}, {title}: from {z.min():.3f} to {z.max():.3f}, "
                 f"{np.abs(z).mean():.4f} on average in size.{clipped(z, reach)}")
    return ax


def _output_bar(ax, meaning, z):
    bar_beside(ax.images[0], ax, meaning, ticks=[0, 0.5, 1], extend=ends_of(z, 0, 1, SHADE))


def _difference_bar(ax, meaning, z):
    bar_beside(ax.images[0], ax, meaning, extend=ends_of(z, *ax.images[0].get_clim()))


def points(x, y, ax=None, *, title="XOR", legend=True):
    """Draw labelled points and return the axes: blue circles for 0, red crosses for 1.

    x : (n, 2) points.  y : (n,) labels of 0 and 1; of others, those up to 0.5 are circles, and the legend names them.
    legend : whether to draw it; one is enough for a row.
    """
    title, = wanted(ax, title=title)
    x, legend = data.points(x, columns=2), arguments.switch("legend", legend)
    y = data.labels(y, len(x))
    ax = _square_axes(ax, title)
    blue, red = look.CLASSES
    size = 90 if len(x) <= 16 else 14
    zero, one = _label_names(y)
    ax.scatter(*x[y <= 0.5].T, s=size, color=blue, marker="o", label=zero)
    ax.scatter(*x[y > 0.5].T, s=size, color=red, marker="x", linewidths=2 if size > 50 else 1, label=one)
    ax.margins(0.12)
    if legend:
        ax.legend(title="label", loc="center left", bbox_to_anchor=(1, 0.5))
    describe(ax, f"{title}: {int((y <= 0.5).sum())} points labelled {zero} and {int((y > 0.5).sum())} labelled {one}.")
    return ax


def _label_names(y):
    """Name the labels up to 0.5 and those above it: 0 and 1, but what they are if they are others."""
    names = []
    for side, usual in ((y[y <= 0.5], 0), (y[y > 0.5], 1)):
        low, high = side.min(initial=np.inf), side.max(initial=-np.inf)
        names.append(f"{usual}" if not len(side) else f"{low:g}" if low == high else f"{low:g} to {high:g}")
    return names


def regions(predictor, ax=None, *, side=SIDE, title=None, labels=None):
    """Shade the two classes a predictor makes of the unit square and return the axes; a tie, no class, stays white.

    predictor : from (n, 2) to (n,), or (n, 2) for two classes.
    labels : of the four corners, in the order of `data.corners`; None means XOR's.
    """
    title, = wanted(ax, title=title)
    x, xor = data.corners()
    labels = xor if labels is None else data.labels(labels, len(x))
    outputs = compare.two_classes(predictor, _square(predictor, side))
    tied = compare.ties(outputs).reshape(side, side)
    z = compare.classes(outputs).reshape(side, side)
    title = title or label_of(predictor)
    ax = _square_axes(ax, title, width=430)
    pale = ListedColormap(OUTPUT([0.35, 0.65]))
    ax.imshow(np.ma.masked_array(z, tied).T, cmap=pale, vmin=0, vmax=1, **_place(side))
    _mark_corners(ax, labels)
    right = int(compare.right(compare.two_classes(predictor, x), labels).sum())
    ties = f", a tie on {share_of(tied)}" if tied.any() else ""
    describe(ax, f"Classes over the unit square, {title}: 1 on {share_of((z == 1) & ~tied)} of it{ties}, "
                 f"{right} of 4 corners right.")
    return ax


def boundary(predictor, ax, *, color=look.INK[0], linestyle="-", linewidth=1.6, label=None, side=SIDE):
    """Draw the line where a predictor's output is 0.5 into axes that show points of the unit square; return the axes.

    Of two classes, the line where they are equal. Where the output never crosses 0.5, the legend says so.
    """
    label, = wanted(checked(ax), label=label)
    linewidth = arguments.real("linewidth", linewidth, above=0, most=1000)
    if not isinstance(color, str | tuple) or not colors.is_color_like(color):
        raise ValueError(f'color must be one of matplotlib\'s, such as look.INK, got {arguments.shown(color)}')
    if not _is_line(linestyle):
        raise ValueError(f'linestyle must be one of matplotlib\'s, such as "--", got {arguments.shown(linestyle)}')
    z = values(predictor, side)
    label = label or label_of(predictor)
    crosses = z.min() < 0.5 < z.max()
    if crosses:
        ax.contour(*_ticks(side), z.T, levels=[0.5], colors=color, linestyles=linestyle, linewidths=linewidth)
    label += "" if crosses else ": none in the square"
    # a contour has no entry in the legend, an empty line has
    ax.plot([], [], color=color, linestyle=linestyle, linewidth=linewidth, label=label)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    describe(ax, f"Boundary of {label}, {share_of(z > 0.5)} of the square above 0.5.")
    return ax


def _is_line(style):
    if isinstance(style, str):
        return bool(style) and style in ("-", "--", "-.", ":", "solid", "dashed", "dashdot", "dotted")
    try:
        offset, dashes = style
        return all(arguments.real("a dash", number, least=0) >= 0 for number in (offset, *dashes)) and len(dashes) > 1
    except (TypeError, ValueError):
        return False


def values(predictor, side=SIDE):
    """Evaluate a predictor on the unit square in one batch: (side, side), first axis = first input.

    Two classes give the probability of class 1, as for `surface`.
    """
    return _plane_of_answers(predictor, side)[0]


def _plane_of_answers(predictor, side, inputs=None, at=None, span=(0, 1)):
    """Return what a predictor answers on a square, (side, side), and what to call it."""
    z, meaning = of_class_one(answers(predictor, _square(predictor, side, inputs, at, span)), predictor)
    return z.reshape(side, side), meaning


def of_class_one(outputs, predictor):
    try:
        return compare.probability_of_one(outputs)
    except ValueError:
        raise ValueError(f"{name_of(predictor)} returned shape {outputs.shape} for {len(outputs)} points; a picture "
                         f"needs ({len(outputs)},), or ({len(outputs)}, 2) for two classes") from None


def _square(predictor, side, inputs=None, at=None, span=(0, 1)):
    """Return the points of a square, (side * side, 2), or with the shape of `at` where two inputs are chosen."""
    low, high = checked_span(span)
    grid = data.grid(side)
    grid = grid if (low, high) == (0, 1) else (low + (high - low) * grid).astype(np.float32)
    size = size_of(predictor)
    if inputs is None and at is None:
        if size not in (2, None):
            how = ("plots.response draws its curve" if size == 1 else
                   "plots.surface draws a slice of two, with inputs=(0, 1) and at=, a point that gives the others")
            raise ValueError(f"{name_of(predictor)} takes {size} {'input' if size == 1 else 'inputs'}; {how}")
        return grid.reshape(-1, *(predictor.sample if size else (2,)))
    return with_others(grid, name_of(predictor), getattr(predictor, "sample", None), inputs, at, np.float32)


def size_of(predictor):
    """Return how many numbers one input of a predictor has; None where it does not say."""
    sample = getattr(predictor, "sample", None)
    return int(np.prod(sample)) if sample and all(isinstance(n, (int, np.integer)) for n in sample) else None


def with_others(pairs, name, sample, inputs, at, dtype):
    """Return inputs (n, *shape of `at`) in which two numbers are those of pairs (n, 2) and the others those of `at`."""
    if inputs is None or at is None:
        raise ValueError("a slice needs both inputs=(i, j), the two to draw, and at=, one input for the others")
    at = arguments.numbers_in("at", at, kinds="fiu")
    if (sample is not None and at.shape != tuple(sample)):
        raise ValueError(f"at must be one input of {name}, numbers of shape {sample or '(inputs,)'}; "
                         f"got {at.dtype} of shape {at.shape}")
    chosen = list(inputs) if isinstance(inputs, tuple | list | range) or np.ndim(inputs) == 1 else []
    if len(chosen) != 2 or not all(arguments.is_whole(i, 0, at.size - 1) for i in chosen) or chosen[0] == chosen[1]:
        raise ValueError(f"inputs must be two different whole numbers from 0 to {at.size - 1}, got "
                         f"{arguments.shown(inputs)}")
    with np.errstate(invalid="ignore"):                 # a number that is no code is refused below
        fixed = at.astype(dtype)
    if np.dtype(dtype).kind in "iu" and (at != fixed).any():
        raise ValueError(f"at must be {dtype} codes; got numbers from {at.min():g} to {at.max():g}. Quantize points "
                         "with .input.quantize(x)")
    made = np.tile(fixed.ravel(), (len(pairs), 1))
    made[:, chosen] = pairs
    return made.reshape(-1, *at.shape)


def checked_span(span):
    ends = arguments.several("span", span, "two numbers")
    if len(ends) != 2 or not all(isinstance(end, numbers.Real) and not isinstance(end, bool) and abs(end) <= FARTHEST
                                 for end in ends) or not ends[0] < ends[1]:
        raise ValueError(f"span must be two numbers, the lower first, got {arguments.shown(span)}")
    return span


def slice_title(title, inputs):
    return title if inputs is None else f"{title}, inputs {inputs[0]} and {inputs[1]}"


def reach_of(z, reach):
    """Return where a signed scale ends: as asked, or at the largest size."""
    if reach is not None:
        reach = arguments.real("reach", reach, above=0, most=3e38)
    return reach or float(np.abs(z).max()) or 1e-9              # two equal predictors give a white square


def clipped(z, reach):
    beyond = np.abs(z) > reach
    return f" Beyond the scale's ends, {reach:g} either way, on {share_of(beyond)} of it." if beyond.any() else ""


def ends_of(z, low, high, slack=0.0):
    """Return which ends of a colour bar need an arrow, because values go on beyond them."""
    return {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[
        bool(z.min() < low - slack), bool(z.max() > high + slack)]


def _ticks(side, span=(0, 1)):
    steps = np.linspace(*span, side)
    return steps, steps


def _place(side, span=(0, 1)):
    """Return how imshow puts a square of points in its place."""
    low, high = span
    half = (high - low) / 2 / (side - 1)            # each cell is centred on its grid point
    return {"origin": "lower", "extent": (low - half, high + half, low - half, high + half),
            "interpolation": "nearest"}


def _square_axes(ax, title, span=(0, 1), inputs=None, width=HALF):
    if ax is None:
        _, ax = canvas(width, 430)
    across, up = ("first input", "second input") if inputs is None else (f"input {i}" for i in inputs)
    ticks = [span[0], (span[0] + span[1]) / 2, span[1]]
    ax.set(title=title, xlabel=across, ylabel=up, aspect="equal", xticks=ticks, yticks=ticks)
    return ax


def _mark_corners(ax, labels=None):
    """Mark the corners by the class they should have, of XOR where nothing else is said: circle 0, cross 1."""
    x, xor = data.corners()
    y = xor if labels is None else labels
    ink, paper = look.INK[0], look.PAPER[0]
    ax.scatter(*x[y == 0].T, s=80, facecolor=paper, edgecolor=ink, marker="o", linewidth=1.4, clip_on=False, zorder=3)
    ax.scatter(*x[y == 1].T, s=100, facecolor=ink, edgecolor=paper, marker="X", clip_on=False, zorder=3)


def share_of(mask):
    return f"{np.mean(mask):.0%}"
