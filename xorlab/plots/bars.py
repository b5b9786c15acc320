"""Bars, dots, tables and pictures: how much, how often, and what the network sees."""
import numpy as np
from matplotlib import colors
from matplotlib import pyplot as plt

from xorlab import arguments, look, tflite_bytes
from xorlab.compare import ErrorReport
from xorlab.plots.lines import curve_axes
from xorlab.plots.paper import COUNT, HALF, PAGE, canvas, describe, fact, form_of, literal, wanted
from xorlab.races import Entry, wilson


def bars(values, ax=None, *, title, xlabel, form="{:,}", colour=look.BAR):
    """Draw one bar a name, its number at its end, and return the axes.

    values : {name: number}.  form : how the numbers are written.  colour : of all bars.

    >>> ax = plots.bars({"relu-2-4-1": 1076, "sigmoid-2-3-1": 1352}, title="Flash", xlabel="bytes")
    """
    title, xlabel = wanted(ax, title=title, xlabel=xlabel)
    for name, value in _some("values", arguments.named("values", values, "numbers")).items():
        arguments.real(f"the bar {arguments.shown(name)}", value)
    values = {literal(name): value for name, value in values.items()}
    _check_colour(colour)
    ax = _row_axes(ax, len(values))
    drawn = ax.barh(range(len(values)), list(values.values()), color=colour)      # by number: names may be equal
    ax.bar_label(drawn, [form_of(form, value) for value in values.values()], padding=4)
    ax.set_yticks(range(len(values)), list(values))
    ax.set(title=title, xlabel=xlabel, xlim=(0, 1.18 * max(values.values())), ylim=(len(values) - 0.5, -0.5))
    ax.xaxis.set_major_formatter("{x:,.6g}")
    describe(ax, f"{title}, {xlabel}: " + "; ".join(f"{name} {form_of(form, v)}" for name, v in values.items()) + ".")
    return ax


def shares(entries, ax=None, *, title="Share of starts solved"):
    """Draw the share of starts that each entry of a race solved, with its 95 % interval; return the axes.

    >>> ax = plots.shares(training.race(["sgd", "adam"], starts=100, epochs=800).entries)
    """
    title, = wanted(ax, title=title)
    entries = _entries(entries)
    labels, solved = [literal(entry.label) for entry in entries], [entry.share for entry in entries]
    ax = _row_axes(ax, len(entries))
    ax.barh(labels, solved, color=[look.OPTIMIZERS[entry.optimizer.name][0] for entry in entries], height=0.7)
    for row, entry in enumerate(entries):
        # white below, or the line would drown in its bar
        ax.plot(entry.interval, [row, row], color=look.PAPER[0], linewidth=5, solid_capstyle="butt")
        ax.plot(entry.interval, [row, row], color=look.INK[0], linewidth=2)
        ax.text(1.02, row, f"{100 * entry.share:.0f} %", va="center", weight="bold")
    ax.set(title=title, xlabel="share of starts solved, with 95 % interval", xlim=(0, 1))
    ax.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    ax.invert_yaxis()
    describe(ax, f"{title}: " + "; ".join(f"{label} {share:.0%}" for label, share in zip(labels, solved, strict=True)))
    return ax


def interval(solved, starts, ax=None, *, title=None):
    """Draw for which true shares a race would show what it showed, and so the 95 % interval; return the axes.

    solved, starts : counts, 0 <= solved <= starts.
    The band is the middle 95 % of what so many starts show, for each true share (Wilson's normal approximation). The
    line is what was seen; where it lies in the band, the share fits.

    >>> ax = plots.interval(0, 128)
    """
    title, = wanted(ax, title=title)
    starts = arguments.whole("starts", starts, 1)
    solved = arguments.whole("solved", solved, 0, starts)
    ax = canvas(HALF, 430)[1] if ax is None else ax
    low, high = wilson(solved, starts)
    p, seen = np.linspace(0, 1, 1_001), solved / starts
    reach = 1.96 * np.sqrt(p * (1 - p) / starts)
    ax.fill_between(p, np.maximum(p - reach, 0), np.minimum(p + reach, 1), color=look.LINE[0], linewidth=0)
    ax.axhline(seen, color=look.QUIET[0], linewidth=1.5)
    ax.fill_between([low, high], 0, seen, color=look.ATTEND_WASH, zorder=0.5)
    ax.plot([low, high], [seen, seen], color=look.INK[0], linewidth=5, solid_capstyle="butt", clip_on=False)
    ax.set(title=f"{solved:,} of {starts:,} solved" if title is None else title, xlim=(0, 1), ylim=(0, 1),
           xlabel="true share", ylabel="share seen", xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    fact(ax, f"fits {100 * low:.1f} % to {100 * high:.1f} %")
    describe(ax, f"Band of the shares that a race of {starts:,} starts shows, by the true share. {solved:,} solved fit "
                 f"true shares from {low:.1%} to {high:.1%}.")
    return ax


def dots(groups, ax=None, *, title, xlabel, beside=None, heading=""):
    """Draw a row of dots for each group, one dot a run, with a line at their mean; return the axes.

    groups : {name: numbers (runs,)}.  beside : {name: words}, at the right of a row, under `heading`; a group may
        have none.

    >>> ax = plots.dots({"pixels": a, "ImageNet": b}, title="Ten draws", xlabel="share right")
    """
    title, xlabel, heading = wanted(ax, title=title, xlabel=xlabel, heading=heading)
    beside = {literal(name): literal(arguments.text("beside", words)) for name, words in arguments.named(
        "beside", {} if beside is None else beside, "words").items()}
    groups = {literal(name): _row(name, values) for name, values in _some(
        "groups", arguments.named("groups", groups, "numbers")).items()}
    ax = _row_axes(ax, len(groups) + bool(heading) / 2)
    for row, (name, values) in enumerate(groups.items()):
        ax.plot(values, [row] * len(values), "o", color=look.BAR, markersize=7, alpha=0.6, markeredgewidth=0)
        ax.plot(np.mean(values), row, "|", color=look.INK[0], markersize=20, markeredgewidth=2)
        ax.text(1.02, row, beside.get(name, ""), transform=ax.get_yaxis_transform(), va="center")
    if heading:
        ax.text(1.02, -0.7, heading, transform=ax.get_yaxis_transform(), va="center", color=look.QUIET[0])
    ax.set(title=title, xlabel=xlabel, ylim=(-0.6, len(groups) - 0.4))
    ax.set_yticks(range(len(groups)), list(groups))
    ax.invert_yaxis()
    means = "; ".join(f"{name} {np.mean(values):.3g}" for name, values in groups.items())
    words = "; ".join(f"{name} {text}" for name, text in beside.items())
    describe(ax, f"{title}, {xlabel}, mean of the dots: {means}." + (f" {heading}: {words}." if words else ""))
    return ax


def final_losses(entry, ax=None, *, title=None):
    """Draw the histogram of the final losses of one optimizer's starts and return the axes."""
    title, = wanted(ax, title=title)
    arguments.instance("entry", entry, Entry, "an entry of what training.race returns")
    title = title or literal(f"Final losses, {entry.label}")
    ax = curve_axes(ax)
    finite = entry.losses[~entry.diverged]
    ax.hist(finite, bins=np.linspace(0, max(0.3, finite.max(initial=0)), 61),
            color=look.OPTIMIZERS[entry.optimizer.name][0])
    ax.set(title=title, xlabel="loss", ylabel="starts")
    left = entry.losses[~entry.solved & ~entry.diverged]
    where = f"; the others lie between {left.min():.3f} and {left.max():.3f}" if len(left) else ""
    describe(ax, f"{title}: {entry.solved.sum():,} of {len(entry.seeds):,} starts solved, "
                 f"{entry.diverged.sum():,} diverged{where}.")
    return ax


def byte_parts(accounts, ax=None, *, title="What the bytes of each file are for"):
    """Draw byte accounts as stacked bars, one a file, and return the axes.

    >>> ax = plots.byte_parts([tflite_bytes.account(path) for path in files])
    """
    title, = wanted(ax, title=title)
    accounts = _some("accounts", arguments.several(
        "accounts", accounts, "what tflite_bytes.account returns", tflite_bytes.ByteAccount))
    ax = _row_axes(ax, max(len(accounts), 5))                       # the key needs room
    rows, left = range(len(accounts)), np.zeros(len(accounts))      # by number: two files may have one name
    for purpose, colour in zip(tflite_bytes.PURPOSES, look.PARTS, strict=True):
        widths = np.array([account.parts[purpose] for account in accounts])
        if widths.any():
            ax.barh(rows, widths, left=left, color=colour, edgecolor=look.PAPER[0], linewidth=0.5, label=purpose)
        left += widths
    for row, account in enumerate(accounts):
        ax.text(account.total, row, f" {account.total:,}", va="center")
    ax.set_yticks(rows, [literal(account.name) for account in accounts])
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set(title=title, xlabel="bytes", xlim=(0, 1.12 * left.max()))
    ax.invert_yaxis()
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    describe(ax, f"{title}: " + "; ".join(
        f"{account.name} {account.total:,} bytes, of them weights and biases "
        f"{account.parts['weights'] + account.parts['biases']}, quantization {account.parts['quantization']}"
        for account in accounts) + ".")
    return ax


def error_sizes(reports, ax=None, *, title="Errors over all points", names=None):
    """Draw the largest and the mean error of several ErrorReports on a logarithmic scale and return the axes.

    names : of the rows; None means the reports' pairs. Colours are those of the forms that they tell.
    """
    title, = wanted(ax, title=title)
    reports = _some("reports", arguments.several("reports", reports, "what compare.errors returns", ErrorReport))
    if names is not None:
        names = _labels("names", names, len(reports))
    ax = _row_axes(ax, len(reports))
    rows = range(len(reports))
    names = [literal(report.pair) for report in reports] if names is None else names
    mean, largest = ([getattr(report, part) for report in reports] for part in ("mean_abs", "max_abs"))
    colours = [look.FORMS[look.form(name)][0] if look.form(name) else look.BAR for name in names]
    ax.hlines(rows, mean, largest, color=look.LINE[0], linewidth=3, zorder=1)
    ax.scatter(mean, rows, s=70, facecolor=look.PAPER[0], edgecolor=colours, linewidth=2)
    ax.scatter(largest, rows, s=70, color=colours, linewidth=2)
    # a logarithmic scale has no place for 0, so the name says it
    ax.set_yticks(rows, [f"{name}{'' if size else ' (no error)'}" for name, size in zip(names, largest, strict=True)])
    ax.set(title=title, xlabel="size of the error, in units of the output", xscale="log" if any(mean) else "linear")
    if any(mean):                       # whole powers of ten: between them there are no labels
        ax.set_xlim(10 ** np.floor(np.log10(min(filter(None, mean)))), 10 ** np.ceil(np.log10(max(largest))))
        ax.xaxis.set_minor_formatter("")
    ax.set_ylim(len(reports) - 0.5, -0.5)
    fact(ax, "open: the mean, filled: the largest")
    ax.grid(axis="x")
    describe(ax, f"{title}, mean and largest: " + "; ".join(
        f"{report.pair} {report.mean_abs:.1g} and {report.max_abs:.1g}" for report in reports) + ".")
    return ax


def confusion(labels, predicted, ax=None, *, names=None, title="Confusion matrix"):
    """Draw how often each class was taken for which, as a table of counts shaded by count; return the axes.

    labels, predicted : whole numbers (n,) of 0 to classes - 1.  names : what the classes are called; None means
        their numbers.
    Rows are the true classes, columns the predicted ones, so the diagonal counts what is right.
    """
    title, = wanted(ax, title=title)
    labels, predicted = (arguments.numbers_in(name, given, finite=False) for name, given in (
        ("labels", labels), ("predicted", predicted)))
    if labels.shape != predicted.shape or labels.ndim != 1 or {labels.dtype.kind, predicted.dtype.kind} - set("iu"):
        raise ValueError(f"labels and predicted classes must be whole numbers of one shape (n,), "
                         f"got {labels.dtype} {labels.shape} and {predicted.dtype} {predicted.shape}")
    taken = np.concatenate([labels, predicted])
    if names is not None:
        names = _labels("names", names)
    elif taken.max(initial=-1) >= MOST_CLASSES:
        raise ValueError(f"a confusion matrix has up to {MOST_CLASSES} classes, got a class {taken.max()}")
    names = range(taken.max(initial=-1) + 1) if names is None else names
    if not len(taken) or taken.min() < 0 or taken.max() >= len(names):
        raise ValueError(f"classes must lie between 0 and {len(names) - 1}, and there must be some; got "
                         f"{taken if len(taken) <= 10 else f'{taken.min()} to {taken.max()}'}")
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (labels, predicted), 1)
    ax = table(counts, names, names, canvas(HALF, 480)[1] if ax is None else ax, title=title,
               xlabel="predicted class", ylabel="true class")
    wrong = counts - np.diag(np.diag(counts))
    most = np.unravel_index(wrong.argmax(), wrong.shape)
    worst = f"; most often {names[most[0]]} taken for {names[most[1]]}, {wrong.max()} times" if wrong.any() else ""
    describe(ax, f"{title}: {np.trace(counts):,} of {counts.sum():,} right{worst}.")
    return ax


def table(values, rows, columns, ax=None, *, title, xlabel, ylabel, form="{}", most=None):
    """Draw numbers as a table in which larger ones are darker and return the axes.

    values : (rows, columns), from 0.  rows, columns : their names.  form : how the numbers are written.
    most : the number of the darkest shade; None means the largest.

    >>> ax = plots.table(shares, names, rates, title="Solved", xlabel="rate", ylabel="optimizer", form="{:.0%}")
    """
    title, xlabel, ylabel = wanted(ax, title=title, xlabel=xlabel, ylabel=ylabel)
    values = arguments.numbers_in("values", values)
    rows, columns = _labels("rows", rows), _labels("columns", columns)
    if values.shape != (len(rows), len(columns)) or not 0 < values.size <= MOST_CELLS:
        raise ValueError(f"values must have a row for each of {len(rows)} names and a column for each of "
                         f"{len(columns)}, up to {MOST_CELLS:,} cells; got shape {values.shape}")
    if most is not None:
        arguments.real("most", most, above=0)
    if ax is None:
        _, ax = canvas(height=110 + 60 * len(values))
    ax.imshow(values, cmap=COUNT, vmin=0, vmax=most, aspect="equal" if len(rows) == len(columns) else "auto",
              origin="upper")
    for (row, column), value in np.ndenumerate(values):
        # dark on pale and white on dark, by half the darkest shade
        ax.text(column, row, form_of(form, value), ha="center", va="center",
                color=look.PAPER[0] if value > (values.max() if most is None else most) / 2 else look.INK[0])
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    return ax


def picture(image, ax=None, *, title=""):
    """Draw one picture of (height, width, 1) greys or (height, width, 3) colours in 0..1 and return the axes."""
    title = wanted(ax, title=title)[0] or ""
    image = arguments.numbers_in("image", image)
    if image.ndim != 3 or image.shape[2] not in (1, 3) or not image.size:
        raise ValueError(f"a picture has shape (height, width, 1) or (height, width, 3), got {image.shape}")
    if ax is None:
        _, ax = canvas(230, 250)
    ax.imshow(image, cmap="gray_r", vmin=0, vmax=1, origin="upper", interpolation="nearest")        # ink on paper
    if title:
        fact(ax, title)                 # quiet: it names the picture, which itself is the thing to see
    ax.set_axis_off()                   # pixels have no unit
    ax.set_anchor("S")                  # what room is left stays above, for the title
    ax.add_patch(plt.Rectangle((0, 0), 1, 1, transform=ax.transAxes, fill=False, color=look.BAR, clip_on=False))
    describe(ax, f"Picture of {image.shape[0]}x{image.shape[1]} pixels: {' '.join(title.split())}.")
    return ax


def pictures(images, titles=None, *, says=None):
    """Draw pictures in a row, each as `picture` does, and return their axes, (n,).

    titles : one each.  says : a sentence for the whole row, in the place of one for each picture.
    """
    images = _some("images", arguments.several("images", images, "pictures"))
    titles = [""] * len(images) if titles is None else _labels("titles", titles, len(images))
    if says is not None:
        arguments.text("says", says)
    lines = max(title.count("\n") + bool(title) for title in titles)
    figure, axes = canvas(PAGE, PAGE / len(images) + 21 * lines + 10 * bool(lines), columns=len(images), squeeze=False)
    for ax, image, title in zip(axes[0], images, titles, strict=True):
        picture(image, ax, title=title)
    if says:
        figure.alt_text = says
    return axes[0]


MOST_CELLS, MOST_CLASSES = 10_000, 100


def _some(name, values):
    """Return values of which there are some.  Raises ValueError for none."""
    if not len(values):
        raise ValueError(f"{name} must hold at least one to draw, got none")
    return values


def _entries(entries):
    return _some("entries", arguments.several("entries", entries, "entries of what training.race returns", Entry))


def _labels(name, given, count=None):
    """Return names as they are drawn.  Raises ValueError for another count; whole numbers are names too."""
    given = list(given) if isinstance(given, str) else given
    given = arguments.several(name, given, "texts", str | int | np.integer | float)
    if count is not None and len(given) != count:
        raise ValueError(f"{name} must be {count}, one for each that is drawn, got {len(given)}")
    return [literal(str(one)) for one in given]


def _row(name, values):
    """Return the numbers of a group of dots, float64 (runs,)."""
    values = arguments.numbers_in(f"the group {arguments.shown(name)}", values)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"the group {arguments.shown(name)} must hold numbers (runs,), at least one, got shape "
                         f"{values.shape}")
    return values


def _check_colour(colour):
    if not isinstance(colour, str | tuple) or not colors.is_color_like(colour):
        raise ValueError(f'colour must be one of matplotlib\'s, such as look.INK, got {arguments.shown(colour)}')


def _row_axes(ax, rows):
    return canvas(height=40 * rows + 110)[1] if ax is None else ax
