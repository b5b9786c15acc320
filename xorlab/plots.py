"""Plots: decision surfaces, differences, points and loss curves.

Every function takes `ax=None`, draws, and returns the axes; none shows the figure. Each also writes down what the
picture shows, computed from the data: in a notebook that text becomes the image's alt text.
"""
import sys
from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import ListedColormap

from xorlab import compare, data, tflite_bytes
from xorlab.predictors import QuantizedPredictor, answers, name_of, single_answers

SIDE = 101              # points along each side of a drawn surface
COLOURS = "RdBu_r"      # blue 0, white 0.5, red 1; told apart with every common colour blindness
PALE_BLUE = "#7fb3d5"   # bars
SURFACE_SIZE = (4.6, 4.0)
SHADE = 1 / 512         # half a shade of 256: outputs this far beyond 0 or 1 look the same as there
RESPONSE_POINTS = 1001  # along the curve of a float predictor
# Okabe and Ito's palette and three greys, for parts of a whole in the order of tflite_bytes.PURPOSES
PART_COLOURS = ("#D55E00", "#E69F00", "#0072B2", "#56B4E9", "#009E73", "#CC79A7", "#F0E442", "#000000", "#8c8c8c",
                "#dddddd")


def surface(predictor, ax=None, *, side=SIDE, title=None, inputs=None, at=None, span=(0, 1)):
    """Draw a predictor's output over a square, with the 0.5 contour, and return the axes.

    predictor : a callable from float32 (n, 2) to (n,) in 0..1, or to (n, 2), two classes: probabilities give the
        second column, others go through a softmax, and the colour bar says so.
    The first input runs along x, the second along y.
    inputs, at : for a network with more inputs, the two to draw, counted from 0 through all numbers of one input, and
        one input (of the network's shape) that gives the others their values.  span : where both axes begin and end.
    Raises ValueError for a network of other inputs without `inputs` and `at`.
    """
    z, meaning = _plane_of_answers(predictor, side, inputs, at, span)
    title = title or _slice_title(name_of(predictor), inputs)
    ax = _surface(z, ax, title, span, inputs, meaning)
    ax.figure.colorbar(ax.images[0], ax=ax, label=meaning, ticks=[0, 0.25, 0.5, 0.75, 1], shrink=0.85,
                       extend=_extend(z, 0, 1, SHADE))
    return ax


def frame(z, ax=None, *, title=""):
    """Draw outputs that were computed before, as one frame of a film: `surface` without the colour bar.

    z : (side, side) outputs in 0..1 at evenly spaced points of the unit square, first axis = first input, as
        `values` returns them.
    """
    z = np.asarray(z)
    if z.ndim != 2 or len(set(z.shape)) != 1 or len(z) < 2:
        raise ValueError(f"outputs to draw must have shape (side, side), got {z.shape}")
    return _surface(z, ax, title)


def _surface(z, ax, title, span=(0, 1), inputs=None, meaning="output"):
    """Draw outputs over a square: colours from 0 to 1, the contour at 0.5, and XOR's corners where it is XOR's square.

    Where outputs go beyond the colours, the title says so.
    """
    low, high = z.min(), z.max()
    ax = _square_axes(ax, "\n".join(filter(None, [title, beyond_colours(z)])), span, inputs)
    _heatmap(ax, z, 0, 1, span)
    if low < 0.5 < high:
        ax.contour(*_ticks(len(z), span), z.T, levels=[0.5], colors="black", linewidths=1.5)
    where, right = f"a square of two inputs, {span[0]:g} to {span[1]:g}", ""
    if inputs is None and tuple(span) == (0, 1):
        _mark_corners(ax)
        corners = z[[0, 0, -1, -1], [0, -1, 0, -1]]
        where = "the unit square"
        right = f", {int(compare.right(corners, data.corners()[1]).sum())} of 4 corners right"
    beyond = np.mean((z < -SHADE) | (z > 1 + SHADE))
    clipped = f" Beyond the colours' ends, 0 and 1, on {_share(beyond)} of it." if beyond else ""
    tied = z == 0.5
    ties = f", exactly 0.5 on {_share(tied)}" if tied.mean() > 0.05 else ""         # a plateau; a line is less
    describe(ax, f"Surface over {where}, {title}: {meaning} from {low:.2f} to {high:.2f}, "
                 f"above 0.5 on {_share(z > 0.5)} of it{ties}{right}.{clipped}")
    return ax


def beyond_colours(z):
    """Return what to say of outputs that the colours from 0 to 1 cannot tell apart; "" where there are none."""
    low, high = np.min(z), np.max(z)
    if low >= -SHADE and high <= 1 + SHADE:
        return ""
    return f"(outputs {low:.2g} to {high:.2g}, colours 0 to 1)"


def difference(a, b, ax=None, *, side=SIDE, title=None, reach=None, inputs=None, at=None, span=(0, 1)):
    """Draw output of `a` minus output of `b` over a square and return the axes.

    reach : the difference at which the colours end, on both sides of 0; None means the largest there is. A smaller
        one shows where small differences lie.
    inputs, at, span : as for `surface`.  Two classes count as for `surface`.
    """
    (first, meaning), (second, other) = (_plane_of_answers(p, side, inputs, at, span) for p in (a, b))
    z = first - second
    title = title or _slice_title(f"{name_of(a)} minus {name_of(b)}", inputs)
    ax = _square_axes(ax, title, span, inputs)
    reach = _reach(z, reach)
    label = "difference of outputs" if meaning == other == "output" else "difference, class 1"
    image = _heatmap(ax, z, -reach, reach, span)
    ax.figure.colorbar(image, ax=ax, label=label, shrink=0.85, extend=_extend(z, -reach, reach))
    where = f"a square of two inputs, {span[0]:g} to {span[1]:g}"
    if inputs is None and tuple(span) == (0, 1):
        _mark_corners(ax)
        where = "the unit square"
    describe(ax, f"Difference over {where}, {title}: from {z.min():.3f} to {z.max():.3f}, "
                 f"{np.abs(z).mean():.4f} on average in size.{_clipped(z, reach)}")
    return ax


def code_difference(a, b, ax=None, *, title=None, reach=None, inputs=None, at=None):
    """Draw output of `a` minus output of `b` on the input codes of `a` and return the axes: a map, or a curve.

    a : a quantized predictor.  b : any predictor; it gets the numbers that the codes of `a` stand for.
    With one input or two of 8 bits these are all inputs, where `difference` draws a grid of points between codes.
    reach : as for `difference`.  inputs, at : as for `disagreement`.
    Raises TypeError unless `a` is quantized.
    """
    if not isinstance(a, QuantizedPredictor):
        raise TypeError(f"{name_of(a)} has no input codes to draw; use difference() for float predictors")
    plane = _code_plane(a, a.sample, a.input.dtype, inputs, at)
    first, meaning = _of_class_one(a.output.dequantize(a.codes(plane.q)), a)
    second, other = _of_class_one(answers(b, a.input.dequantize(plane.q)), b)
    z = first - second
    title = title or _slice_title(f"{a.name} minus {name_of(b)}", inputs)
    label = "difference of outputs" if meaning == other == "output" else "difference, class 1"
    ax = _signed(plane, z, ax, title, _reach(z, reach), label)
    describe(ax, f"Differences of outputs on {plane.words}, {title}: from {z.min():.3f} to {z.max():.3f}, "
                 f"{np.abs(z).mean():.4f} on average in size.{_clipped(z, _reach(z, reach))}")
    return ax


def disagreement(a, b, ax=None, *, title=None, inputs=None, at=None):
    """Draw how many codes lie between the outputs of two quantized predictors and return the axes.

    With two inputs of 8 bits, a map of all 65,536 of them; with one, a curve of all 256. Of several classes, the
    difference that is largest in size.
    inputs, at : for a network with more inputs, the two to draw, counted from 0 through all numbers of one input, and
        the codes of one input (of the network's shape) that give the others theirs. Two inputs of 16 bits are drawn
        at every 257th code.
    Raises what compare.check_codes raises, and ValueError for more inputs without `inputs` and `at`.
    """
    compare.check_codes(a, b)
    plane = _code_plane(a, a.sample, a.input.dtype, inputs, at)
    steps = (a.codes(plane.q).astype(int) - b.codes(plane.q)).reshape(len(plane.q), -1)
    steps = np.take_along_axis(steps, np.abs(steps).argmax(axis=1)[:, None], axis=1)[:, 0]
    title = title or _slice_title(f"{a.name} minus {b.name}", inputs)
    ax = _signed(plane, steps, ax, title, max(np.abs(steps).max(), 1), "difference of output codes")
    describe(ax, f"Differences of output codes, {title}: {np.count_nonzero(steps):,} of {plane.count} differ, "
                 f"by at most {np.abs(steps).max()}.")
    return ax


def origins(a, b, ax=None, *, title=None, inputs=None, at=None):
    """Draw at which operator two IntegerMLPs of one net first differ and return the axes.

    With two inputs a map of all 65,536 of them, with one a row of dots for all 256.
    inputs, at : as for `disagreement`.
    """
    plane = _code_plane(a, (a.width,), a.input.dtype, inputs, at)
    first = compare.origins(a, b, plane.q)
    title = title or _slice_title(f"where {a.rule} and {b.rule} part", inputs)
    counts = [np.count_nonzero(first == i) for i in range(len(a.steps))]
    kinds = [f"operator {i}, {step.name}: {n:,}"
             for i, (step, n) in enumerate(zip(a.steps, counts, strict=True), 1)]
    ax = _code_axes(ax, title, plane)
    if len(plane.labels) == 1:
        ax.plot(plane.codes, first, ".")
        ax.set_yticks(range(-1, len(kinds)), ["nowhere", *kinds])
    else:
        colours = ListedColormap(["white", *plt.get_cmap("viridis_r")(np.linspace(0.15, 1, len(a.steps)))])
        ax.imshow(plane.picture(first), cmap=colours, vmin=-1, vmax=len(a.steps) - 1, **plane.place)
        for i, kind in enumerate(kinds):
            ax.scatter([], [], marker="s", s=60, color=colours(i + 1), label=kind)
        ax.legend(title="first differ at", loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    describe(ax, f"Map of {plane.words}, {title}; first at " + "; ".join(kinds) + ".")
    return ax


def response(*predictors, ax=None, title="Output against the input", span=None):
    """Draw the outputs of predictors with one input against it and return the axes.

    predictors : one answer a point each. A quantized one is drawn at every input code, as steps; if all of them
        have the same output codes, the right axis counts in them.
    span : where the input begins and ends; None means the range of the first quantized predictor's codes, or 0 to 1
        where there is none.
    Raises ValueError for a predictor of more inputs, or none at all.
    """
    if not predictors:
        raise ValueError("response needs at least one predictor to draw, got none")
    for p in predictors:
        if _size(p) not in (1, None):
            raise ValueError(f"{name_of(p)} takes {_size(p)} inputs; a curve needs exactly one. See plots.surface")
    quantized = [p for p in predictors if isinstance(p, QuantizedPredictor)]
    if span is None:
        span = _code_reals(quantized[0])[[0, -1]] if quantized else (0, 1)
    low, high = _checked_span(span)
    ax, said = _curve_axes(ax), []
    for p in predictors:
        x = _code_reals(p) if p in quantized else np.linspace(low, high, RESPONSE_POINTS, dtype=np.float32)
        x = x[(x >= low) & (x <= high)]
        if not len(x):
            raise ValueError(f"no input code of {p.name} lies from {low:g} to {high:g}; choose another span")
        y = single_answers(p, x.reshape(-1, *(getattr(p, "sample", None) or (1,))))
        ax.plot(x, y, label=name_of(p), drawstyle="steps-mid" if p in quantized else "default", linewidth=1.2)
        said.append(f"{name_of(p)} from {y.min():.3g} to {y.max():.3g}"
                    + (f" on {len(x):,} codes" if p in quantized else ""))
    ax.set(title=title, xlabel="input", ylabel="output")
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    lines = {p.output for p in quantized}
    if len(lines) == 1 and len(quantized) == len(predictors):
        (line,) = lines
        ax.secondary_yaxis("right", functions=(lambda real: real / line.scale + line.zero_point,
                                               lambda code: line.scale * (code - line.zero_point))
                           ).set_ylabel("output code")
    describe(ax, f"{title}, input {low:.3g} to {high:.3g}: {'; '.join(said)}.")
    return ax


def points(x, y, ax=None, *, title="XOR"):
    """Draw labelled points and return the axes: blue circles for 0, red crosses for 1.

    x : (n, 2) points.  y : (n,) labels of 0 and 1; of others, those up to 0.5 are circles, and the legend names them.
    """
    x = data.points(x, columns=2)
    y = data.labels(y, len(x))
    ax = _square_axes(ax, title)
    blue, red = plt.get_cmap(COLOURS)([0.08, 0.92])
    size = 90 if len(x) <= 16 else 14
    zero, one = _label_names(y)
    ax.scatter(*x[y <= 0.5].T, s=size, color=blue, marker="o", label=zero)
    ax.scatter(*x[y > 0.5].T, s=size, color=red, marker="x", linewidths=2 if size > 50 else 1, label=one)
    ax.margins(0.12)
    ax.legend(title="label", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    describe(ax, f"{title}: {int((y <= 0.5).sum())} points labelled {zero} and {int((y > 0.5).sum())} labelled {one}.")
    return ax


def _label_names(y):
    """Name the labels up to 0.5 and those above it: 0 and 1, but what they are if they are others."""
    names = []
    for side, usual in ((y[y <= 0.5], 0), (y[y > 0.5], 1)):
        low, high = side.min(initial=np.inf), side.max(initial=-np.inf)
        names.append(f"{usual}" if not len(side) else f"{low:g}" if low == high else f"{low:g} to {high:g}")
    return names


def regions(predictor, ax=None, *, side=SIDE, title=None):
    """Shade the two classes a predictor makes of the unit square and return the axes; a tie, no class, stays white.

    predictor : from (n, 2) to (n,), or (n, 2) for two classes.
    """
    outputs = compare.two_classes(predictor, _square(predictor, side))
    tied = compare.ties(outputs).reshape(side, side)
    z = compare.classes(outputs).reshape(side, side)
    title = title or name_of(predictor)
    ax = _square_axes(ax, title)
    pale = ListedColormap(plt.get_cmap(COLOURS)([0.35, 0.65]))
    ax.imshow(np.ma.masked_array(z, tied).T, cmap=pale, vmin=0, vmax=1, origin="lower", extent=_extent(side),
              interpolation="nearest")
    _mark_corners(ax)
    ties = f", a tie on {_share(tied)}" if tied.any() else ""
    describe(ax, f"Classes over the unit square, {title}: 1 on {_share((z == 1) & ~tied)} of it{ties}, "
                 f"{compare.corners_right(predictor)} of 4 corners right.")
    return ax


def boundary(predictor, ax, *, color="black", linestyle="-", linewidth=1.5, label=None, side=SIDE):
    """Draw the line where a predictor's output is 0.5 into axes that show points of the unit square; return the axes.

    Of two classes, the line where they are equal. Where the output never crosses 0.5, the legend says so.
    """
    z = values(predictor, side)
    label = label or name_of(predictor)
    crosses = z.min() < 0.5 < z.max()
    if crosses:
        ax.contour(*_ticks(side), z.T, levels=[0.5], colors=color, linestyles=linestyle, linewidths=linewidth)
    label += "" if crosses else ": none in the square"
    # a contour has no entry in the legend, an empty line has
    ax.plot([], [], color=color, linestyle=linestyle, linewidth=linewidth, label=label)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    describe(ax, f"Boundary of {label}, {_share(z > 0.5)} of the square above 0.5.")
    return ax


def confusion(labels, predicted, ax=None, *, names=None, title="Confusion matrix"):
    """Draw how often each class was taken for which, as a table of counts shaded by count; return the axes.

    labels, predicted : whole numbers (n,) of 0 to classes - 1.  names : what the classes are called; None means
        their numbers.
    Rows are the true classes, columns the predicted ones, so the diagonal counts what is right.
    """
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    if labels.shape != predicted.shape or labels.ndim != 1 or {labels.dtype.kind, predicted.dtype.kind} - set("iu"):
        raise ValueError(f"labels and predicted classes must be whole numbers of one shape (n,), "
                         f"got {labels.dtype} {labels.shape} and {predicted.dtype} {predicted.shape}")
    taken = np.concatenate([labels, predicted])
    names = range(taken.max(initial=-1) + 1) if names is None else names
    if not len(taken) or taken.min() < 0 or taken.max() >= len(names):
        raise ValueError(f"classes must lie between 0 and {len(names) - 1}, and there must be some; got {taken}")
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (labels, predicted), 1)
    if ax is None:
        ax = plt.figure(figsize=(4.9, 4.3), layout="constrained").subplots()
    ax.imshow(counts, cmap="Blues", vmin=0)
    for (row, column), count in np.ndenumerate(counts):
        # dark on pale and white on dark, by half the darkest shade
        ax.text(column, row, count, ha="center", va="center", color="white" if count > counts.max() / 2 else "black")
    ticks = range(len(names))
    ax.set(title=title, xlabel="predicted class", ylabel="true class")
    ax.set_xticks(ticks, names)
    ax.set_yticks(ticks, names)
    wrong = counts - np.diag(np.diag(counts))
    most = np.unravel_index(wrong.argmax(), wrong.shape)
    worst = f"; most often {names[most[0]]} taken for {names[most[1]]}, {wrong.max()} times" if wrong.any() else ""
    describe(ax, f"{title}: {np.trace(counts):,} of {counts.sum():,} right{worst}.")
    return ax


def picture(image, ax=None, *, title=""):
    """Draw one picture of (height, width, 1) greys or (height, width, 3) colours in 0..1 and return the axes."""
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] not in (1, 3):
        raise ValueError(f"a picture has shape (height, width, 1) or (height, width, 3), got {image.shape}")
    if ax is None:
        ax = plt.figure(figsize=(2.2, 2.4), layout="constrained").subplots()
    ax.imshow(image, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")        # ink on paper
    ax.set_title(title)
    ax.set_axis_off()                   # pixels have no unit
    ax.add_patch(plt.Rectangle((0, 0), 1, 1, transform=ax.transAxes, fill=False, color="0.5", clip_on=False))
    describe(ax, f"Picture of {image.shape[0]}x{image.shape[1]} pixels: {' '.join(title.split())}.")
    return ax


def curves(history, quantity, ax=None, *, title=None):
    """Draw what Keras recorded of a quantity, in training and in validation, against the epoch; return the axes.

    history : the dict `History.history` of a Keras fit.  quantity : one of its keys, e.g. "loss".
    """
    if quantity not in history:
        raise ValueError(f"the history holds {', '.join(history)}; got {quantity!r}")
    ax = _curve_axes(ax)
    title = title or f"{quantity} while training".capitalize()
    ends = []
    for key, label, style in ((quantity, "training", "-"), (f"val_{quantity}", "validation", "--")):
        if key in history:
            ax.plot(range(1, len(history[key]) + 1), history[key], style, label=label)
            ends.append(f"{label} from {history[key][0]:.2f} to {history[key][-1]:.2f}")
    ax.set(title=title, xlabel="epoch", ylabel=quantity)
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    describe(ax, f"{title} over {len(history[quantity])} epochs: {', '.join(ends)}.")
    return ax


def losses(history, ax=None, *, label=None, title="Loss while training"):
    """Draw a training history's loss against the epoch, on a logarithmic scale, and return the axes."""
    ax = _curve_axes(ax)
    label = label or history.optimizer.label
    ax.semilogy(history.losses, label=label)
    ax.set(title=title, xlabel="epoch", ylabel=f"loss ({history.loss})")
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    describe(ax, f"Loss of {label} over {len(history.losses):,} epochs: from {history.losses[0]:.3f} to "
                 f"{history.final_loss:.2g}.")
    return ax


def describe(ax, sentence):
    """Add a sentence to the alt text of the figure that `ax` belongs to, and have IPython send it with the picture.

    For figures drawn by hand; the functions of this module describe their own.
    """
    figure = ax.figure
    figure.alt_text = " ".join([*filter(None, [getattr(figure, "alt_text", "")]), sentence])
    shell = _ipython()
    if shell is not None:
        # here, not at import: the inline backend registers its own printer when the first figure is made
        shell.display_formatter.formatters["image/png"].for_type(type(figure), _png_and_alt)


def shares(entries, ax=None, *, title="Share of starts solved"):
    """Draw the share of starts that each entry of a race solved, with its 95 % interval; return the axes."""
    labels, solved = [entry.label for entry in entries], [entry.share for entry in entries]
    if ax is None:
        ax = plt.figure(figsize=(8, 0.45 * len(labels) + 1.2), layout="constrained").subplots()
    ax.barh(labels, solved, color=PALE_BLUE)
    for row, entry in enumerate(entries):
        ax.plot(entry.interval, [row, row], color="black", linewidth=2)
        ax.text(1.02, row, f"{entry.share:.0%}", va="center")
    ax.set(title=title, xlabel="share of starts solved, with 95 % interval", xlim=(0, 1))
    ax.invert_yaxis()
    describe(ax, f"{title}: " + "; ".join(f"{label} {share:.0%}" for label, share in zip(labels, solved, strict=True)))
    return ax


def survival(entries, ax=None, *, title="Starts not yet solved"):
    """Draw, against the epoch, the share of starts that each entry of a race has not solved; return the axes."""
    ax = _curve_axes(ax)
    for entry in entries:
        done = np.sort(entry.epochs_to_solve[entry.solved])
        left = 1 - np.arange(len(done) + 1) / len(entry.seeds)
        ax.step(np.concatenate([[1], np.maximum(done, 1), [entry.epochs]]), np.append(left, left[-1]), where="post",
                label=entry.label)
    ax.set(title=title, xlabel="epoch", ylabel="share not solved", xscale="log", ylim=(0, 1.02))
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    left = "; ".join(f"{entry.label} {1 - entry.share:.0%}" for entry in entries)
    describe(ax, f"{title}, at the end: {left}.")
    return ax


def final_losses(entry, ax=None, *, title=None):
    """Draw the histogram of the final losses of one optimizer's starts and return the axes."""
    title = title or f"Final losses, {entry.label}"
    ax = _curve_axes(ax)
    finite = entry.losses[~entry.diverged]
    ax.hist(finite, bins=np.linspace(0, max(0.3, finite.max(initial=0)), 61), color=PALE_BLUE)
    ax.set(title=title, xlabel="loss", ylabel="starts")
    left = entry.losses[~entry.solved & ~entry.diverged]
    where = f"; the others lie between {left.min():.3f} and {left.max():.3f}" if len(left) else ""
    describe(ax, f"{title}: {entry.solved.sum():,} of {len(entry.seeds):,} starts solved, "
                 f"{entry.diverged.sum():,} diverged{where}.")
    return ax


def byte_parts(accounts, ax=None, *, title="What the bytes of each file are for"):
    """Draw byte accounts as stacked bars, one a file, and return the axes."""
    if ax is None:
        ax = plt.figure(figsize=(9.5, 0.5 * len(accounts) + 1.6), layout="constrained").subplots()
    rows, left = range(len(accounts)), np.zeros(len(accounts))      # by number: two files may have one name
    for purpose, colour in zip(tflite_bytes.PURPOSES, PART_COLOURS, strict=True):
        widths = np.array([account.parts[purpose] for account in accounts])
        if widths.any():
            ax.barh(rows, widths, left=left, color=colour, edgecolor="white", linewidth=0.5, label=purpose)
        left += widths
    for row, account in enumerate(accounts):
        ax.text(account.total, row, f" {account.total:,}", va="center")
    ax.set_yticks(rows, [account.name for account in accounts])
    ax.set(title=title, xlabel="bytes", xlim=(0, 1.12 * left.max()))
    ax.invert_yaxis()
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    describe(ax, f"{title}: " + "; ".join(
        f"{account.name} {account.total:,} bytes, of them weights and biases "
        f"{account.parts['weights'] + account.parts['biases']}, quantization {account.parts['quantization']}"
        for account in accounts) + ".")
    return ax


def error_sizes(reports, ax=None, *, title="Errors over all points"):
    """Draw the largest and the mean error of several ErrorReports on a logarithmic scale and return the axes."""
    if ax is None:
        ax = plt.figure(figsize=(8, 0.42 * len(reports) + 1.4), layout="constrained").subplots()
    rows = range(len(reports))
    # a logarithmic scale has no place for 0, so the name says it
    names = [report.pair + ("" if report.max_abs else " (no error)") for report in reports]
    mean, largest = ([getattr(report, part) for report in reports] for part in ("mean_abs", "max_abs"))
    ax.hlines(rows, mean, largest, color="#8c8c8c")
    ax.plot(mean, rows, "o", color="#0072B2", label="mean error")
    ax.plot(largest, rows, "D", color="#D55E00", label="largest error")
    ax.set_yticks(rows, names)
    ax.set(title=title, xlabel="size of the error, in units of the output", xscale="log" if any(mean) else "linear")
    ax.grid(axis="x", alpha=0.3)
    ax.invert_yaxis()
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    describe(ax, f"{title}, mean and largest: " + "; ".join(
        f"{report.pair} {report.mean_abs:.1g} and {report.max_abs:.1g}" for report in reports) + ".")
    return ax


def values(predictor, side=SIDE):
    """Evaluate a predictor on the unit square in one batch: (side, side), first axis = first input.

    Two classes give the probability of class 1, as for `surface`.
    """
    return _plane_of_answers(predictor, side)[0]


def _plane_of_answers(predictor, side, inputs=None, at=None, span=(0, 1)):
    """Return what a predictor answers on a square, (side, side), and what to call it."""
    z, meaning = _of_class_one(answers(predictor, _square(predictor, side, inputs, at, span)), predictor)
    return z.reshape(side, side), meaning


def _of_class_one(outputs, predictor):
    try:
        return compare.probability_of_one(outputs)
    except ValueError:
        raise ValueError(f"{name_of(predictor)} returned shape {outputs.shape} for {len(outputs)} points; a picture "
                         f"needs ({len(outputs)},), or ({len(outputs)}, 2) for two classes") from None


def _square(predictor, side, inputs=None, at=None, span=(0, 1)):
    """Return the points of a square, (side * side, 2), or with the shape of `at` where two inputs are chosen."""
    low, high = _checked_span(span)
    grid = data.grid(side)
    grid = grid if (low, high) == (0, 1) else (low + (high - low) * grid).astype(np.float32)
    size = _size(predictor)
    if inputs is None and at is None:
        if size not in (2, None):
            how = ("plots.response draws its curve" if size == 1 else
                   "plots.surface draws a slice of two, with inputs=(0, 1) and at=, a point that gives the others")
            raise ValueError(f"{name_of(predictor)} takes {size} {'input' if size == 1 else 'inputs'}; {how}")
        return grid.reshape(-1, *(predictor.sample if size else (2,)))
    return _with_others(grid, name_of(predictor), getattr(predictor, "sample", None), inputs, at, np.float32)


def _size(predictor):
    """Return how many numbers one input of a predictor has; None where it does not say."""
    sample = getattr(predictor, "sample", None)
    return int(np.prod(sample)) if sample and all(isinstance(n, (int, np.integer)) for n in sample) else None


def _with_others(pairs, name, sample, inputs, at, dtype):
    """Return inputs (n, *shape of `at`) in which two numbers are those of pairs (n, 2) and the others those of `at`."""
    if inputs is None or at is None:
        raise ValueError("a slice needs both inputs=(i, j), the two to draw, and at=, one input for the others")
    at = np.asarray(at)
    if at.dtype.kind not in "fiu" or not np.isfinite(at).all() or (sample is not None and at.shape != tuple(sample)):
        raise ValueError(f"at must be one input of {name}, numbers of shape {sample or '(inputs,)'}; "
                         f"got {at.dtype} of shape {at.shape}")
    chosen = list(inputs) if np.ndim(inputs) == 1 else []
    if len(set(chosen)) != 2 or len(chosen) != 2 or not all(
            isinstance(i, (int, np.integer)) and 0 <= i < at.size for i in chosen):
        raise ValueError(f"inputs must be two different whole numbers from 0 to {at.size - 1}, got {inputs}")
    with np.errstate(invalid="ignore"):                 # a number that is no code is refused below
        fixed = at.astype(dtype)
    if np.dtype(dtype).kind in "iu" and (at != fixed).any():
        raise ValueError(f"at must be {dtype} codes; got numbers from {at.min():g} to {at.max():g}. Quantize points "
                         "with .input.quantize(x)")
    made = np.tile(fixed.ravel(), (len(pairs), 1))
    made[:, chosen] = pairs
    return made.reshape(-1, *at.shape)


def _checked_span(span):
    if np.shape(span) != (2,) or not np.isfinite(span).all() or not span[0] < span[1]:
        raise ValueError(f"span must be two numbers, the lower first, got {span}")
    return span


def _slice_title(title, inputs):
    return title if inputs is None else f"{title}, inputs {inputs[0]} and {inputs[1]}"


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
    q = _with_others(pairs, name, sample, inputs, at, dtype)
    return CodePlane(q, codes, tuple(f"input {i}, code" for i in inputs), False, f" of a slice{which}")


def _code_reals(predictor):
    """Return the numbers that the input codes of a predictor stand for, in order."""
    return predictor.input.dequantize(data.code_inputs((1,), predictor.input.dtype).codes.ravel())


def _signed(plane, z, ax, title, reach, label):
    """Draw a signed value of each input, as a map or a curve, on a scale symmetric about 0 that ends at `reach`."""
    ax = _code_axes(ax, title, plane)
    if len(plane.labels) == 1:
        ax.plot(plane.codes, z, drawstyle="steps-mid", linewidth=1.2)
        ax.set(ylabel=label, ylim=(-1.05 * reach, 1.05 * reach))
        ax.grid(alpha=0.3)
        return ax
    image = ax.imshow(plane.picture(z), cmap=COLOURS, vmin=-reach, vmax=reach, **plane.place)
    ax.figure.colorbar(image, ax=ax, label=label, shrink=0.85, extend=_extend(z, -reach, reach))
    return ax


def _reach(z, reach):
    """Return where a signed scale ends: as asked, or at the largest size."""
    if reach is not None and not (np.isscalar(reach) and np.isfinite(reach) and reach > 0):
        raise ValueError(f"reach must be a number above 0, got {reach}")
    return reach or float(np.abs(z).max()) or 1e-9              # two equal predictors give a white square


def _clipped(z, reach):
    beyond = np.abs(z) > reach
    return f" Beyond the scale's ends, {reach:g} either way, on {_share(beyond)} of it." if beyond.any() else ""


def _extend(z, low, high, slack=0.0):
    """Return which ends of a colour bar need an arrow, because values go on beyond them."""
    return {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[
        bool(z.min() < low - slack), bool(z.max() > high + slack)]


def _ticks(side, span=(0, 1)):
    steps = np.linspace(*span, side)
    return steps, steps


def _extent(side, span=(0, 1)):
    low, high = span
    half = (high - low) / 2 / (side - 1)            # each cell is centred on its grid point
    return (low - half, high + half, low - half, high + half)


def _heatmap(ax, z, low, high, span=(0, 1)):
    # z.T, because the rows of a picture run along y
    return ax.imshow(z.T, cmap=COLOURS, vmin=low, vmax=high, origin="lower", extent=_extent(len(z), span),
                     interpolation="nearest")


def _square_axes(ax, title, span=(0, 1), inputs=None):
    if ax is None:
        ax = plt.figure(figsize=SURFACE_SIZE, layout="constrained").subplots()
    across, up = ("first input", "second input") if inputs is None else (f"input {i}" for i in inputs)
    ticks = [span[0], (span[0] + span[1]) / 2, span[1]]
    ax.set(title=title, xlabel=across, ylabel=up, aspect="equal", xticks=ticks, yticks=ticks)
    return ax


def _code_axes(ax, title, plane):
    if len(plane.labels) == 1:
        ax = _curve_axes(ax)
        ax.set(title=title, xlabel=plane.labels[0])
        return ax
    if ax is None:
        ax = plt.figure(figsize=(7.4, 6.2), layout="constrained").subplots()      # two pixels a code
    ticks = [plane.codes[i] for i in (0, 64, 128, 192, -1)]
    ax.set(title=title, xlabel=plane.labels[0], ylabel=plane.labels[1], xticks=ticks, yticks=ticks)
    return ax


def _curve_axes(ax):
    return plt.figure(figsize=(7, 3.4), layout="constrained").subplots() if ax is None else ax


def _mark_corners(ax):
    """Mark XOR's corners by the class they should have: circle 0, cross 1."""
    x, y = data.corners()
    ax.scatter(*x[y == 0].T, s=60, facecolor="white", edgecolor="black", marker="o", clip_on=False, zorder=3)
    ax.scatter(*x[y == 1].T, s=75, facecolor="black", edgecolor="white", marker="X", clip_on=False, zorder=3)


def _share(mask):
    return f"{np.mean(mask):.0%}"


def _png_and_alt(figure):
    from IPython.core.pylabtools import print_figure

    alt = getattr(figure, "alt_text", None)
    png = print_figure(figure, fmt="png", base64=True)
    return (png, {"alt": alt}) if alt else png


def _ipython():
    return sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
