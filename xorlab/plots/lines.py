"""Curves, each in the look of what it stands for, with its name and the number to remember beside its end."""
import numpy as np
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, MaxNLocator
from matplotlib.transforms import offset_copy

from xorlab import arguments, look
from xorlab.plots.paper import canvas, checked, describe, form_of, literal, wanted
from xorlab.races import Entry

MOST_NAMED = 7                  # curves with names beside them; more get a legend
GREYS = (look.INK[0], "0.45", "0.62", "0.75")           # of curves that stand for no optimizer and no form
ROW = 1.45                      # height of a name, in sizes of its letters


def draw(ax, x, y, name, *, number="", optimizer=None, named=True, **options):
    """Draw one curve into axes, in the look of its name, with name and number beside its end; return the line.

    x, y : (n,).  name : of an optimizer or a form, as in look, or any other, which gets a grey and a line style that
        the axes do not show yet.  number : what to remember of it, e.g. "19 %".
    optimizer : a key of look.OPTIMIZERS, for a name that does not begin with it.
    named : whether to write the name; False leaves it to a legend.  options : of `Axes.plot`.

    >>> line = plots.draw(ax, epochs, losses, "adam, rate 0.1", number="0.002")
    """
    x, y = _curve(name, x, y)
    number, name = literal(arguments.text("number", number)), arguments.text("name", name)
    if optimizer is not None:
        arguments.one_of("optimizer", optimizer, look.OPTIMIZERS)
    named = arguments.switch("named", named)
    checked(ax)
    optimizer, form = optimizer or look.optimizer(name), look.form(name)
    ends = ax.__dict__.setdefault("named_ends", [])
    colour, style, ink = _look_of(optimizer, form, [kind for *_, kind in ends])
    line, = ax.plot(x, y, **{"color": colour, "linestyle": style, "label": literal(name), **options})
    if len(line.get_xdata()):
        line.set(marker=line.get_marker() if line.get_marker() != "None" else "o")
        if "marker" not in options:
            line.set_markevery([-1])
    ends.append((line, ": ".join(filter(None, [literal(name), number])), line.get_color() if ink is None else ink,
                 optimizer or form))
    ax.grid(axis="y")
    if named:
        _name(ax)
    return line


def _curve(name, x, y):
    """Return a curve's x and y (n,): numbers, or for x names.  Raises TypeError or ValueError for others."""
    names = isinstance(x, list | tuple) and all(isinstance(one, str) for one in x) and len(x)
    x, y = (np.array(given) if axis == "x" and names else
            arguments.numbers_in(f"{axis} of {arguments.shown(name)}", given, finite=False)
            for axis, given in (("x", x), ("y", y)))
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"x and y of {arguments.shown(name)} must be as many numbers, got shapes {x.shape} and "
                         f"{y.shape}")
    return x, y


def _look_of(optimizer, form, before):
    """Return (colour, line style, colour of its name or None for the same) of one more curve after those before."""
    again = before.count(optimizer or form) if optimizer or form else len(before)
    if optimizer:
        colour, _, style = look.OPTIMIZERS[optimizer]
        styles = [style, *(other for other in look.LINES if other != style)]    # two rates of one: another line
        return colour, styles[again % len(styles)], None
    if form:
        return look.FORMS[form][0], look.LINES[again % len(look.LINES)], look.INK[0]
    return GREYS[again % len(GREYS)], look.LINES[again % len(look.LINES)], look.INK[0]


def _name(ax):
    """Write the names beside the ends of all curves of `ax`, none over another."""
    for text in ax.__dict__.pop("names_written", []):
        text.remove()
    ends = [end for end in ax.named_ends if len(end[0].get_xdata())]
    last = [line.get_xydata()[-1] for line, *_ in ends]
    if len(ends) > MOST_NAMED:
        ax.legend()
        return
    ax.figure.draw_without_rendering()                      # the layout decides how far apart the ends are
    row = ROW * ax.xaxis.label.get_size() * ax.figure.dpi / 72
    places = ax.transData.transform(last)
    places[:, 1] = np.clip(places[:, 1], ax.bbox.y0, ax.bbox.y1)
    order = np.lexsort(places.T)                            # all in one pile: curves may end in several columns
    heights = np.empty(len(ends))
    heights[order] = spread(places[order, 1], row, ax.bbox.y0 + row / 4, ax.bbox.y1)
    ax.names_written = _written(ax, ends, last, heights, places)
    if np.ptp(places[:, 0]) > 1 and _cover_a_curve(ax, ends):
        for text in ax.names_written:
            text.remove()
        ax.names_written = _written(ax, ends, last, heights, places, at_edge=True)


def _written(ax, ends, last, heights, places, at_edge=False):
    """Write names at these heights, beside the ends at `last` (data) and `places` (pixels); return the annotations.

    at_edge : all of them right of the axes instead, each joined to its end by a line.
    """
    pixel = ax.figure.dpi / 72
    moved = at_edge or np.abs(heights - places[:, 1]).max() > ROW * ax.xaxis.label.get_size() * pixel / 4
    leader = {"arrowstyle": "-", "linewidth": 0.9, "relpos": (0, 0.5), "shrinkA": 0, "shrinkB": 3}
    written = []
    for (line, words, ink, _), end, y, place in zip(ends, last, heights, places, strict=True):
        # the layout will still move the right edge, and the ends with it
        where = {"xytext": (1, (y - ax.bbox.y0) / ax.bbox.height),
                 "textcoords": offset_copy(ax.transAxes, ax.figure, x=26, units="points")} if at_edge else {
            "xytext": (26 if moved else 9, (y - place[1]) / pixel), "textcoords": "offset points"}
        written.append(ax.annotate(
            words, end, **where, color=ink, weight="bold", va="center",
            bbox={"facecolor": look.PAPER[0], "edgecolor": "none", "pad": 1, "alpha": 0.85}, annotation_clip=False,
            arrowprops=leader | {"color": line.get_color()} if moved else None))
    return written


def _cover_a_curve(ax, ends):
    """Does any name stand over a curve, now that the layout has made room for all?"""
    ax.figure.draw_without_rendering()
    boxes = [Text.get_window_extent(name) for name in ax.names_written]             # without their leaders
    paths = [line.get_path().transformed(line.get_transform()) for line, *_ in ends]
    return any(path.intersects_bbox(box, filled=False) for box in boxes for path in paths)


def spread(wanted, gap, low, high):
    """Return places, in ascending order, as near to the wanted ones as can be, at least `gap` apart, from low to high.

    wanted : (n,), ascending. Too many for the room keep their distance and go on above it.
    """
    free = np.asarray(wanted, float) - gap * np.arange(len(wanted))         # now they need only not descend
    blocks = []
    for place in free:
        blocks.append([place])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    level = np.concatenate([[np.mean(block)] * len(block) for block in blocks])
    return np.clip(level, low, max(low, high - gap * (len(level) - 1))) + gap * np.arange(len(level))


def lines(curves, ax=None, *, title, xlabel, ylabel, number=None, log="", **options):
    """Draw several curves, each with its name beside its end, and return the axes.

    curves : {name: (x, y)}.  number : how to write the last y as the number to remember, e.g. "{:.2f}"; None leaves
        it out.  log : which axes are logarithmic, "x", "y" or "xy".
    options : of `Axes.plot`, for all of them, e.g. marker="o".

    >>> ax = plots.lines({"PTQ": (bits, a), "QAT": (bits, b)}, title="Mean error", xlabel="bits", ylabel="error")
    """
    title, xlabel, ylabel = wanted(ax, title=title, xlabel=xlabel, ylabel=ylabel)
    arguments.one_of("log", log, ("", "x", "y", "xy"))
    curves = {name: _pair(name, given) for name, given in arguments.named("curves", curves, "pairs (x, y)").items()}
    if not curves:
        raise ValueError("curves must hold at least one to draw, got none")
    ax = curve_axes(ax)
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel, **{f"{axis}scale": "log" for axis in log})
    for i, (name, (x, y)) in enumerate(curves.items(), 1):
        last = form_of(number, y[-1]) if number is not None and len(y) else ""
        draw(ax, x, y, name, number=last, named=i == len(curves), **options)
    if ax.get_yscale() == "linear":
        ax.yaxis.set_major_formatter("{x:,.6g}")
    ends = "; ".join(f"{literal(name)} from {y[0]:.3g} to {y[-1]:.3g}" for name, (x, y) in curves.items() if len(x))
    describe(ax, f"{title}, by {xlabel}: {ends}.")
    return ax


def _pair(name, given):
    pair = arguments.several(f"the curve {arguments.shown(name)}", given, "two, x and y")
    if len(pair) != 2:
        raise ValueError(f"the curve {arguments.shown(name)} must be a pair (x, y), got {arguments.shown(given)}")
    return _curve(name, *pair)


def losses(history, ax=None, *, label=None, title="Loss while training"):
    """Draw a training history's loss against the epoch, on a logarithmic scale, and return the axes.

    >>> ax = plots.losses(training.fit(net, *data.corners()))
    """
    title, label = wanted(ax, title=title, label=label)
    from xorlab.training import History  # here: it needs PyTorch, and other curves do not

    arguments.instance("history", history, History, "what training.fit returns")
    ax = curve_axes(ax)
    label = label or literal(history.optimizer.label)
    ax.set(title=title, xlabel="epoch", ylabel=f"loss ({history.loss})", yscale="log")
    draw(ax, range(len(history.losses)), history.losses, label, number=f"{history.final_loss:.2g}",
         optimizer=history.optimizer.name)
    describe(ax, f"Loss of {label} over {len(history.losses):,} epochs: from {history.losses[0]:.3f} to "
                 f"{history.final_loss:.2g}.")
    return ax


def curves(history, quantity, ax=None, *, title=None):
    """Draw what Keras recorded of a quantity, in training and in validation, against the epoch; return the axes.

    history : the dict `History.history` of a Keras fit.  quantity : one of its keys, e.g. "loss".

    >>> ax = plots.curves(net.fit(x, y, validation_split=0.15).history, "accuracy")
    """
    title, = wanted(ax, title=title)
    if not isinstance(history, dict) or not history:
        raise TypeError(f"history must be the dict `History.history` of a Keras fit, got {arguments.shown(history)}")
    if not isinstance(quantity, str) or quantity not in history:
        raise ValueError(f"the history holds {', '.join(map(str, history))}; got {arguments.shown(quantity)}")
    history = {key: arguments.numbers_in(key, values, finite=False) for key, values in history.items()
               if key in (quantity, f"val_{quantity}")}
    for key, values in history.items():
        if values.ndim != 1 or not len(values):
            raise ValueError(f"{key} must hold a number for each epoch, got shape {values.shape}")
    ax = curve_axes(ax)
    title = title or literal(f"{quantity} while training".capitalize())
    ax.set(title=title, xlabel="epoch", ylabel=literal(quantity))
    ends = []
    for key, label in ((quantity, "training"), (f"val_{quantity}", "validation")):
        if key in history:
            first, last = history[key][0], history[key][-1]
            draw(ax, range(1, len(history[key]) + 1), history[key], label, number=f"{last:.2f}")
            ends.append(f"{label} from {first:.2f} to {last:.2f}")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    describe(ax, f"{title} over {len(history[quantity])} epochs: {', '.join(ends)}.")
    return ax


def survival(entries, ax=None, *, title="Starts not yet solved"):
    """Draw, against the epoch, the share of starts that each entry of a race has not solved; return the axes.

    >>> ax = plots.survival(training.race(["sgd", "adam"], starts=100, epochs=3_000).entries)
    """
    title, = wanted(ax, title=title)
    entries = arguments.several("entries", entries, "entries of what training.race returns", Entry)
    if not entries:
        raise ValueError("entries must hold at least one to draw, got none")
    ax = curve_axes(ax)
    solved = [entry.epochs_to_solve[entry.solved] for entry in entries]
    first = min([done.min() for done in solved if len(done)], default=1)
    ax.set(title=title, xlabel="epoch", xscale="log", xlim=(max(1, 0.8 * first), max(e.epochs for e in entries)),
           ylim=(0, 1.02), yticks=[0, 0.25, 0.5, 0.75, 1])
    ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.minorticks_off()
    for entry, done in zip(entries, solved, strict=True):
        left = 1 - np.arange(len(done) + 1) / len(entry.seeds)
        draw(ax, np.concatenate([[1], np.maximum(np.sort(done), 1), [entry.epochs]]), np.append(left, left[-1]),
             entry.label, number=f"{100 * (1 - entry.share):.0f} %", optimizer=entry.optimizer.name,
             named=entry is entries[-1], drawstyle="steps-post")
    left = "; ".join(f"{literal(entry.label)} {1 - entry.share:.0%}" for entry in entries)
    describe(ax, f"{title}, at the end: {left}.")
    return ax


def curve_axes(ax):
    return canvas(height=380)[1] if arguments.axes(ax) is None else ax
