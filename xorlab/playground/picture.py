"""A playground as a picture, for where nothing runs: float, int8 and their difference, at all 65,536 inputs."""
import base64

import numpy as np

from xorlab import compare, data, look
from xorlab.playground import clouds
from xorlab.playground import state as states

CODES = 256         # of one input
INPUTS = CODES**2


def png(state: dict) -> tuple[str, dict]:
    """Return (base64 PNG, {"alt": ..., "width": pixels on a page}) of a state, drawn in the style of the series.

    No figure is left open.
    """
    from matplotlib import pyplot as plt

    from xorlab.plots import paper

    with plt.style.context(look.STYLE):
        figure = _figure(state)
        content, width = paper.png(figure)
        plt.close(figure)           # or the notebook would show it once more, below
    return base64.b64encode(content).decode(), {"alt": figure.alt_text, "width": width}


def counts(state: dict) -> dict:
    """Return what a playground says in numbers.

    points, right, right_int8 : how many there are, those held back with them, and how many float and int8 get right.
    changed : how many of the 65,536 inputs int8 puts into another class.  These two are None without an int8 form.
    """
    x, y, held_x, held_y = clouds.points(state["data"])
    x, y, codes = np.concatenate([x, held_x]), np.concatenate([y, held_y]), states.codes(state)
    right = int(compare.right(states.outputs(state, x), y).sum())
    said = {"points": len(y), "right": right, "right_int8": None, "changed": None}
    if codes is not None:
        nearest = np.rint(np.clip(x, 0, 1) * (CODES - 1)).astype(int) @ [CODES, 1]
        said["right_int8"] = int(compare.right(_reals(codes)[nearest], y).sum())
        said["changed"] = int(((_surface(state) > 0.5) != (codes > 0)).sum())
    return said


def _reals(codes):
    return (codes + 128.0) / 256


def _surface(state):
    return states.outputs(state, (data.int8_inputs() + 128.0) / 255)


def _figure(state):
    from xorlab import plots
    from xorlab.plots.paper import DIFFERENCE, OUTPUT

    said, real, codes = counts(state), _surface(state), states.codes(state)
    figure, axes = plots.canvas(1000, 370, columns=3, sharey=True)
    figure.alt_text = _words(state, said)
    for ax, title in zip(axes, ("float", "int8", "int8 minus float"), strict=True):
        ax.set(title=title, xlabel="first input", aspect="equal", xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    axes[0].set_ylabel("second input")
    shown = _panel(axes[0], real, OUTPUT, 0, 1)
    plots.fact(axes[0], f"{said['right']} of {said['points']} points right")
    if codes is None:
        for ax in axes[1:]:
            ax.text(0.5, 0.5, "no int8 form\nis computed here", ha="center", va="center", color=look.QUIET[0])
        _bar(shown, axes[0], "output", [0, 0.5, 1])
        return figure
    shown = _panel(axes[1], _reals(codes), OUTPUT, 0, 1)
    plots.fact(axes[1], f"{said['right_int8']} of {said['points']} points right")
    _bar(shown, axes[1], "output", [0, 0.5, 1])
    apart = _reals(codes) - real
    reach = np.abs(apart).max() or 1e-9
    shown = _panel(axes[2], apart, DIFFERENCE, -reach, reach)
    plots.fact(axes[2], f"{said['changed']:,} of {INPUTS:,} inputs change class")
    _bar(shown, axes[2], "difference", [-reach, 0, reach])
    for ax in axes[:2]:
        _points(ax, *states.points(state))
    return figure


def _panel(ax, values, colours, low, high):
    z = values.reshape(CODES, CODES).T              # rows of a picture run along the second input
    if low == 0 and values.min() < 0.5 < values.max():
        ends = np.linspace(0, 1, CODES)
        ax.contour(ends, ends, z, levels=[0.5], colors=look.INK[0], linewidths=1.6)
    return ax.imshow(z, cmap=colours, vmin=low, vmax=high, origin="lower", extent=(0, 1, 0, 1),
                     interpolation="nearest")


def _bar(image, ax, label, ticks):
    from xorlab.plots.paper import bar_beside

    bar_beside(image, ax, label, ticks=ticks)


def _points(ax, x, y):
    """Mark the points by their label, circle 0 and cross 1: large where they are few, as other surfaces do."""
    size, (ink, paper) = (90 if len(y) <= 16 else 12), (look.INK[0], look.PAPER[0])
    for label, marker, face, edge in ((0, "o", paper, ink), (1, "X", ink, paper)):
        ax.scatter(*x[y == label].T, s=size, marker=marker, facecolor=face, edgecolor=edge, linewidth=0.014 * size,
                   clip_on=False, zorder=3)


def _words(state, said):
    """Return the picture's alt text."""
    kind = "-".join([state["activation"], "2", *map(str, state["hidden"]), "1"])
    begins = f"The playground, {state['preset']}: " if state["preset"] else "The playground: "
    text = f"{begins}surfaces of the network {kind} at epoch {state['epoch']:,}. "
    text += f"Float gets {said['right']} of {said['points']} points right"
    if said["changed"] is None:
        return text + "; no int8 form of it is computed here."
    return text + (f", int8 {said['right_int8']}; int8 puts {said['changed']:,} of {INPUTS:,} inputs into another "
                   "class.")
