"""Plots: decision surfaces, differences, points and loss curves.

Every function takes `ax=None`, draws, and returns the axes; none shows the figure. Each also writes down what the
picture shows, computed from the data: in a notebook that text becomes the image's alt text.
"""
import sys

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import ListedColormap

from xorlab import compare, data, tflite_bytes
from xorlab.predictors import name_of, single_answers

SIDE = 101              # points along each side of a drawn surface
COLOURS = "RdBu_r"      # blue 0, white 0.5, red 1; told apart with every common colour blindness
PALE_BLUE = "#7fb3d5"   # bars
SURFACE_SIZE = (4.6, 4.0)
CODE_PLANE = {"origin": "lower", "interpolation": "nearest", "extent": (-128.5, 127.5, -128.5, 127.5)}
# Okabe and Ito's palette and three greys, for parts of a whole in the order of tflite_bytes.PURPOSES
PART_COLOURS = ("#D55E00", "#E69F00", "#0072B2", "#56B4E9", "#009E73", "#CC79A7", "#F0E442", "#000000", "#8c8c8c",
                "#dddddd")


def surface(predictor, ax=None, *, side=SIDE, title=None):
    """Draw a predictor's output over the unit square, with the 0.5 contour, and return the axes.

    predictor : a callable from float32 (n, 2) to (n,) in 0..1.  The first input runs along x, the second along y.
    """
    title = title or name_of(predictor)
    ax = frame(values(predictor, side), ax, title=title)
    ax.figure.colorbar(ax.images[0], ax=ax, label="output", ticks=[0, 0.25, 0.5, 0.75, 1], shrink=0.85)
    return ax


def frame(z, ax=None, *, title=""):
    """Draw outputs that were computed before, as one frame of a film: `surface` without the colour bar.

    z : (side, side) outputs in 0..1 at evenly spaced points of the unit square, first axis = first input, as
        `values` returns them.
    """
    ax = _square_axes(ax, title)
    _heatmap(ax, z, 0, 1)
    if z.min() < 0.5 < z.max():
        ax.contour(*_ticks(len(z)), z.T, levels=[0.5], colors="black", linewidths=1.5)
    _mark_corners(ax)
    corners = z[[0, 0, -1, -1], [0, -1, 0, -1]]
    right = int((compare.classes(corners) == data.corners()[1]).sum())
    describe(ax, f"Surface over the unit square, {title}: output from {z.min():.2f} to {z.max():.2f}, "
                 f"above 0.5 on {_share(z > 0.5)} of it, {right} of 4 corners right.")
    return ax


def difference(a, b, ax=None, *, side=SIDE, title=None):
    """Draw output of `a` minus output of `b` over the unit square and return the axes.

    The colour scale is symmetric about 0 and reaches the largest difference.
    """
    z = values(a, side) - values(b, side)
    reach = float(np.abs(z).max()) or 1e-9              # two equal predictors give a white square
    title = title or f"{name_of(a)} minus {name_of(b)}"
    ax = _square_axes(ax, title)
    image = _heatmap(ax, z, -reach, reach)
    ax.figure.colorbar(image, ax=ax, label="difference of outputs", shrink=0.85)
    _mark_corners(ax)
    describe(ax, f"Difference over the unit square, {title}: from {z.min():.3f} to {z.max():.3f}, "
                 f"{np.abs(z).mean():.4f} on average in size.")
    return ax


def disagreement(a, b, ax=None, *, title=None):
    """Draw, for every one of the 65,536 inputs, how many codes lie between two int8 predictors; return the axes."""
    steps = (a.codes(data.int8_inputs()).astype(int) - b.codes(data.int8_inputs())).reshape(256, 256)
    title = title or f"{a.name} minus {b.name}"
    reach = max(np.abs(steps).max(), 1)
    ax = _code_axes(ax, title)
    image = ax.imshow(steps.T, cmap=COLOURS, vmin=-reach, vmax=reach, **CODE_PLANE)
    ax.figure.colorbar(image, ax=ax, label="difference of output codes", shrink=0.85)
    describe(ax, f"Differences of output codes, {title}: {np.count_nonzero(steps):,} of 65,536 inputs differ, "
                 f"by at most {np.abs(steps).max()}.")
    return ax


def origins(a, b, ax=None, *, title=None):
    """Draw, for every one of the 65,536 inputs, at which operator two IntegerMLPs first differ; return the axes."""
    first = compare.origins(a, b).reshape(256, 256)
    title = title or f"where {a.rule} and {b.rule} part"
    ax = _code_axes(ax, title)
    colours = ListedColormap(["white", *plt.get_cmap("viridis_r")(np.linspace(0.15, 1, len(a.steps)))])
    ax.imshow(first.T, cmap=colours, vmin=-1, vmax=len(a.steps) - 1, **CODE_PLANE)
    counts = [np.count_nonzero(first == i) for i in range(len(a.steps))]
    kinds = [f"operator {i}, {type(step).__name__.lower()}: {n:,}"
             for i, (step, n) in enumerate(zip(a.steps, counts, strict=True), 1)]
    for i, kind in enumerate(kinds):
        ax.scatter([], [], marker="s", s=60, color=colours(i + 1), label=kind)
    ax.legend(title="first differ at", loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    describe(ax, f"Map of all 65,536 inputs, {title}; first at " + "; ".join(kinds) + ".")
    return ax


def points(x, y, ax=None, *, title="XOR"):
    """Draw labelled points and return the axes: blue circles for 0, red crosses for 1.

    x : (n, 2) points.  y : (n,) labels of 0 and 1.
    """
    x = data.points(x, columns=2)
    y = data.labels(y, len(x))
    ax = _square_axes(ax, title)
    blue, red = plt.get_cmap(COLOURS)([0.08, 0.92])
    size = 90 if len(x) <= 16 else 14
    ax.scatter(*x[y <= 0.5].T, s=size, color=blue, marker="o", label="0")
    ax.scatter(*x[y > 0.5].T, s=size, color=red, marker="x", linewidths=2 if size > 50 else 1, label="1")
    ax.margins(0.12)
    ax.legend(title="label", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    describe(ax, f"{title}: {int((y <= 0.5).sum())} points labelled 0 and {int((y > 0.5).sum())} labelled 1.")
    return ax


def regions(predictor, ax=None, *, side=SIDE, title=None):
    """Shade the two classes a predictor makes of the unit square and return the axes."""
    z = compare.classes(values(predictor, side).ravel()).reshape(side, side)
    title = title or name_of(predictor)
    ax = _square_axes(ax, title)
    pale = ListedColormap(plt.get_cmap(COLOURS)([0.35, 0.65]))
    ax.imshow(z.T, cmap=pale, vmin=0, vmax=1, origin="lower", extent=_extent(side), interpolation="nearest")
    _mark_corners(ax)
    describe(ax, f"Classes over the unit square, {title}: 1 on {_share(z == 1)} of it, "
                 f"{compare.corners_right(predictor)} of 4 corners right.")
    return ax


def boundary(predictor, ax, *, color="black", linestyle="-", linewidth=1.5, label=None, side=SIDE):
    """Draw the line where a predictor's output is 0.5 into axes that show points of the unit square; return the axes.

    Where the output never crosses 0.5, the legend says so.
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
    names, left = [account.name for account in accounts], np.zeros(len(accounts))
    for purpose, colour in zip(tflite_bytes.PURPOSES, PART_COLOURS, strict=True):
        widths = np.array([account.parts[purpose] for account in accounts])
        if widths.any():
            ax.barh(names, widths, left=left, color=colour, edgecolor="white", linewidth=0.5, label=purpose)
        left += widths
    for row, account in enumerate(accounts):
        ax.text(account.total, row, f" {account.total:,}", va="center")
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
    names = [report.pair for report in reports]
    ax.hlines(names, [report.mean_abs for report in reports], [report.max_abs for report in reports], color="#8c8c8c")
    ax.plot([report.mean_abs for report in reports], names, "o", color="#0072B2", label="mean error")
    ax.plot([report.max_abs for report in reports], names, "D", color="#D55E00", label="largest error")
    ax.set(title=title, xlabel="size of the error, in units of the output", xscale="log")
    ax.grid(axis="x", alpha=0.3)
    ax.invert_yaxis()
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    describe(ax, f"{title}, mean and largest: " + "; ".join(
        f"{report.pair} {report.mean_abs:.1g} and {report.max_abs:.1g}" for report in reports) + ".")
    return ax


def values(predictor, side=SIDE):
    """Evaluate a predictor on the unit square in one batch: float32 (side, side), first axis = first input."""
    return single_answers(predictor, data.grid(side)).reshape(side, side)


def _ticks(side):
    steps = np.linspace(0, 1, side)
    return steps, steps


def _extent(side):
    half = 0.5 / (side - 1)             # each cell is centred on its grid point
    return (-half, 1 + half, -half, 1 + half)


def _heatmap(ax, z, low, high):
    # z.T, because the rows of a picture run along y
    return ax.imshow(z.T, cmap=COLOURS, vmin=low, vmax=high, origin="lower", extent=_extent(len(z)),
                     interpolation="nearest")


def _square_axes(ax, title):
    if ax is None:
        ax = plt.figure(figsize=SURFACE_SIZE, layout="constrained").subplots()
    ax.set(title=title, xlabel="first input", ylabel="second input", aspect="equal",
           xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    return ax


def _code_axes(ax, title):
    if ax is None:
        ax = plt.figure(figsize=(7.4, 6.2), layout="constrained").subplots()      # two pixels a code
    ticks = [-128, -64, 0, 64, 127]
    ax.set(title=title, xlabel="first input, code", ylabel="second input, code", xticks=ticks, yticks=ticks)
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
