"""Pictures of small nets from the inside: their numbers, what bends between the layers, the loss along one weight."""
from collections.abc import Callable, Sequence

import numpy as np
import torch
from matplotlib.patches import Rectangle
from torch import nn

from xorlab import arguments, data, look, models
from xorlab.plots import squares
from xorlab.plots.paper import OUTPUT, PAGE, canvas, describe, wanted

SIDE = 33               # points along each side of a unit's little surface
ROW = 106               # pixels of height for each unit of the tallest layer, as long as there is room
THIN = 24               # pixels of height for each at least
TALLEST = 900           # pixels that the units of a layer share, if they fit
UNIT = 54               # pixels: side of a little surface
NEAR = 0.66             # weights are written this far along their lines, where lines to one unit lie apart
FARTHEST = 1e15         # of a weight that is drawn, and its slope
THICK = 7               # points: width of the line of the largest weight
INK, QUIET, PAPER = look.INK[0], look.QUIET[0], look.PAPER[0]


def network(net: nn.Module, *, title: str | None = None):
    """Draw an MLP with its numbers and return the axes.

    Each line is a weight: thick ones are large, red pushes up, blue pushes down. Each unit shows its own output over
    the unit square and has its bias below it. Up to 8 units in a layer numbers are written, weights where lines leave
    room: out of at most three units, or into one.
    Raises TypeError for another module.
    """
    title, = wanted(None, title=title)
    if not isinstance(net, models.MLP):
        raise TypeError(f"network draws an MLP of xorlab.models, got {type(net).__name__}")
    lines = [module for module in net.chain() if isinstance(module, nn.Linear)]
    columns = _surfaces(net)
    tallest = max(map(len, columns))
    row = float(np.clip(TALLEST / tallest, THIN, ROW))
    side, written = min(UNIT, row - 4), row > 100
    height = row * max(tallest, 2.4) + 80
    ax = canvas(PAGE, height)[1]
    ax.set(xlim=(0, PAGE), ylim=(0, height - 45), aspect="equal", title=title or f"{net.name}: {_size(net)} numbers")
    ax.set_axis_off()
    ax.text(0, 4, "Thick lines are large weights. Red pushes up, blue pushes down. Each square: the unit's own output.",
            color=QUIET, va="bottom")
    places = _places(columns, row, height / 2 - 8)
    for line, left, right in zip(lines, places, places[1:], strict=False):
        _draw_weights(ax, line.weight.detach().numpy(), left, right, side, _digits(net) if written else None)
    for i, (column, spots) in enumerate(zip(columns, places, strict=True)):
        for j, (z, (x, y)) in enumerate(zip(column, spots, strict=True)):
            half = side / 2
            ax.imshow(z, cmap=OUTPUT, vmin=0, vmax=1, extent=(x - half, x + half, y - half, y + half), zorder=3,
                      origin="lower", aspect="equal")
            ax.add_patch(Rectangle((x - half, y - half), side, side, fill=False, color=look.LINE[0], zorder=3))
            if i == 0:
                ax.text(x - half - 10, y, ("first input", "second input")[j], ha="right", va="center")
            elif written:
                bias = lines[i - 1].bias[j].item()
                ax.text(x, y - half - 4, f"bias {_signed(bias, _digits(net))}", ha="center", va="top", zorder=4)
    ax.set(xlim=(0, PAGE), ylim=(0, height - 45))           # imshow moves them
    describe(ax, _in_words(net, lines))
    return ax


def _surfaces(net):
    """Return, for the inputs and each layer, the units' outputs over the square, scaled to 0..1: (units, y, x)."""
    x = torch.from_numpy(data.grid(SIDE))
    columns = [x]
    with torch.no_grad():
        for module in net.chain():
            x = module(x)
            if isinstance(module, nn.Sigmoid):
                columns.append(x)
            elif not isinstance(module, nn.Linear):         # tanh and ReLU: 0 is white, as 0.5 is for a sigmoid
                columns.append(0.5 + x / (2 * max(x.abs().max().item(), 1e-9)))
    return [column.numpy().T.reshape(-1, SIDE, SIDE).transpose(0, 2, 1) for column in columns]


def _places(columns, row, middle):
    """Return the centre of each unit, in pixels, layer by layer, the first unit at the top."""
    left, right = 165, PAGE - 70
    xs = np.linspace(left, right, len(columns))
    return [[(x, middle + row * ((len(column) - 1) / 2 - j)) for j in range(len(column))]
            for x, column in zip(xs, columns, strict=True)]


def _draw_weights(ax, weights, left, right, side, digits):
    """Draw the weights (right, left) between two layers; write them if there are digits for it, and room."""
    largest = max(np.abs(weights).max(), 1e-9)
    for (j, i), weight in np.ndenumerate(weights):
        (x0, y0), (x1, y1) = left[i], right[j]
        x0, x1 = x0 + side / 2, x1 - side / 2
        ax.plot([x0, x1], [y0, y1], color=look.CLASSES[int(weight > 0)], zorder=1, solid_capstyle="butt",
                linewidth=0.6 + THICK * abs(weight) / largest)
        if digits is not None and (len(left) <= 3 or len(right) == 1):
            ax.text(x0 + NEAR * (x1 - x0), y0 + NEAR * (y1 - y0), _signed(weight, digits), ha="center", va="center",
                    zorder=2, bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.5})


def _signed(number, digits):
    """Write a number with its sign, a real minus as on the axes; what rounds to 0 has none."""
    text = f"{number:+.{digits}f}".replace("-", "\N{MINUS SIGN}")
    return text if float(f"{number:.{digits}f}") else text[1:]


def _size(net):
    return sum(p.numel() for p in net.parameters())


def _digits(net):
    """Return how many decimals to write: two for the small numbers of a start, one for trained ones."""
    return 1 if max(p.abs().max().item() for p in net.parameters()) >= 2 else 2


def _in_words(net, lines):
    digits, said = _digits(net), []
    for i, line in enumerate(lines):
        name = "output" if line is lines[-1] else "unit" if len(lines) == 2 else f"layer {i + 1} unit"
        for j, (weights, bias) in enumerate(zip(line.weight.tolist(), line.bias.tolist(), strict=True), 1):
            number = "" if name == "output" else f" {j}"
            said.append(f"{name}{number}: weights {', '.join(f'{w:.{digits}f}' for w in weights)}, "
                        f"bias {bias:.{digits}f}")
    few = said if len(said) <= 9 else [*said[:8], f"and {len(said) - 8} units more"]
    return f"Drawing of the network {net.name} and its {_size(net):,} numbers. " + "; ".join(few) + "."


def units(net: nn.Module):
    """Draw what each unit of an MLP's last hidden layer answers over the square, then the output; return the axes.

    Under each title stand the answers at the four corners, in the order 00, 01, 10, 11.
    Raises TypeError for another module.
    """
    if not isinstance(net, models.MLP):
        raise TypeError(f"units draws an MLP of xorlab.models, got {type(net).__name__}")
    with torch.no_grad():
        hidden, output = (f(torch.from_numpy(data.grid(squares.SIDE))) for f in (net.hidden_activations, net))
    hidden = hidden if net.widths else hidden[:, :0]        # without a hidden layer these are the inputs
    panels = torch.cat([hidden, output], dim=1).numpy().T.reshape(-1, squares.SIDE, squares.SIDE)
    facts = ["corners " + " ".join(f"{answer:.1f}" for answer in squares.at_corners(z))
             if not squares.beyond_colours(z) else "" for z in panels]
    return squares.surfaces(panels, [*(f"unit {i + 1}" for i in range(len(panels) - 1)), "output"], facts=facts)


def activations(names: Sequence[str] = ("sigmoid", "tanh", "relu"), *, reach: float = 6):
    """Draw activations of models.ACTIVATIONS, each with its slope, side by side, and return the axes.

    reach : sums are drawn from -reach to reach.  Slopes are what PyTorch's backward computes.
    """
    names = arguments.several("names", names, "names", str)
    reach = arguments.real("reach", reach, above=0, most=1e6)
    unknown = [name for name in names if name not in models.ACTIVATIONS]
    if unknown or not names:
        raise ValueError(f"activations must be some of {', '.join(models.ACTIVATIONS)}, "
                         f"got {', '.join(unknown) or 'none'}")
    axes = canvas(PAGE, 350, columns=len(names), sharey=True, squeeze=False)[1]
    for ax, name in zip(axes[0], names, strict=True):
        # not torch.linspace: its middle, where relu bends, is 0 on some CPUs and 0.0000001 on others
        z = torch.tensor(np.arange(-300, 301) / 300 * reach, dtype=torch.float32, requires_grad=True)
        value = models.ACTIVATIONS[name]()(z)
        slope, = torch.autograd.grad(value.sum(), z)
        z, value, slope = (t.detach().numpy() for t in (z, value, slope))
        ax.plot(z, value, color=INK)
        ax.fill_between(z, slope, color=look.LINE[0], linewidth=0)
        ax.set_title(f"{name}\n", pad=7)
        ax.text(0, 1.045, f"its slope (grey) is {slope.max():.2f} at most", color=QUIET, transform=ax.transAxes)
        ax.set(xlabel="weighted sum", ylim=(-1.15, 1.4), xticks=[-5, 0, 5], yticks=[-1, -0.5, 0, 0.5, 1])
        ax.grid(axis="y")
        describe(ax, f"Curve of {name} for sums from {-reach:g} to {reach:g}: from {value.min():.2f} to "
                     f"{value.max():.2f}, its slope from {slope.min():.4f} to {slope.max():.2f}.")
    axes[0][0].set_ylabel("output")
    return axes[0]


def _checked_loss(loss):
    """Return a function of one weight that answers with a float.  Raises TypeError for what is none."""
    if not callable(loss):
        raise TypeError(f"loss must be a function of one weight, got {arguments.shown(loss)}")
    return lambda weight: arguments.real("what loss returns", loss(weight))


def loss_along(loss: Callable[[float], float], at: float, slope: float, rate: float, *, reach: float = 2):
    """Draw the loss against one weight, its slope where the weight is, and a step against it; return the axes.

    loss : from the weight to the loss.  at : where the weight is.  slope : of the loss there.
    rate : the step goes to at - rate * slope.  reach : how far to both sides to draw.
    """
    at, slope, rate = (arguments.real(name, value, least=-FARTHEST, most=FARTHEST) for name, value in (
        ("at", at), ("slope", slope), ("rate", rate)))
    reach = arguments.real("reach", reach, above=0, most=FARTHEST)
    loss = _checked_loss(loss)
    to = at - rate * slope
    w = np.linspace(min(at, to) - reach, max(at, to) + reach, 161)
    ax = canvas(PAGE, 380)[1]
    ax.plot(w, [loss(v) for v in w], color=INK)
    near = np.array([-0.3, 0.3]) * reach
    ax.plot(at + near, loss(at) + slope * near, color=QUIET, linewidth=1.4, linestyle=look.DASHED)
    ax.plot([at], [loss(at)], "o", color=INK, zorder=3)
    ax.plot([to], [loss(to)], "o", color=INK, markerfacecolor=look.ATTEND, markersize=10, zorder=3)
    ax.annotate("", (to, loss(to)), (at, loss(at)), zorder=4, arrowprops={
        "arrowstyle": "-|>", "color": INK, "linewidth": 1.8, "connectionstyle": "arc3,rad=0.5", "shrinkB": 6})
    ax.annotate(f"slope {slope:.4f}", (at + near[1], loss(at) + slope * near[1]), (6, 0), textcoords="offset points",
                color=QUIET, va="center")
    ax.annotate(f"after a step of {_signed(to - at, 2)}:\nloss {loss(at):.4f} becomes {loss(to):.4f}", (to, loss(to)),
                (0, -14), textcoords="offset points", ha="center", va="top", weight="bold", linespacing=1.3)
    low, high = ax.get_ylim()
    ax.set(title="The loss against one weight", xlabel="weight", ylabel="loss", ylim=(low - 0.3 * (high - low), high))
    ax.grid(axis="y")
    describe(ax, f"Curve of the loss against one weight from {w[0]:.1f} to {w[-1]:.1f}. At {at:.2f} its slope is "
                 f"{slope:.4f}; a step against it, to {to:.2f}, takes the loss from {loss(at):.4f} to {loss(to):.4f}.")
    return ax
