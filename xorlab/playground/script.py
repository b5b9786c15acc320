"""A playground as a Python script that needs PyTorch alone and trains on; away.js writes the same text."""
from decimal import Decimal

import numpy as np

from xorlab.optimizers import OPTIMIZERS
from xorlab.playground import clouds
from xorlab.playground import state as states

MODULES = {"sigmoid": "nn.Sigmoid()", "tanh": "nn.Tanh()", "relu": "nn.ReLU()"}
LOSSES = {"mse": "nn.functional.mse_loss", "bce": "nn.functional.binary_cross_entropy"}


def text(state: dict) -> str:
    """Return a script with a state's points, weights and settings, exact in 64 bits.

    The optimizer begins anew in it, as in a playground that takes over a state.
    """
    x, y, held_x, held_y = clouds.points(state["data"])
    widths = [2, *state["hidden"], 1]
    activations = [MODULES[state["activation"]]] * len(state["hidden"]) + ["nn.Sigmoid()"]
    layers = [f"    nn.Linear({inputs}, {units}), {module},"
              for inputs, units, module in zip(widths, widths[1:], activations, strict=False)]
    weights = [f"    ({_nested(w)}, {_listed(b)})," for w, b in states.layers(state)]
    optimizer, usual = OPTIMIZERS[state["optimizer"]]
    options = "".join(f", {name}={value}" for name, value in usual.items())
    all_at_once = not 0 < state["batch"] < len(y)
    preset = f", {state['preset']}" if state["preset"] else ""
    return "\n".join([
        f'"""The playground of XOR Lab{preset}, at epoch {state["epoch"]}.',
        "",
        "The same points, weights and settings, in 64 bits.",
        f"Its int8 form there: weights of {state['bits']} bits, one scale per {state['per']}, rule {state['rule']}.",
        '"""',
        "import torch",
        "from torch import nn",
        "",
        "torch.set_default_dtype(torch.float64)",
        "",
        *_points("points", x, y, "x1, x2 and the label of each"),
        *(_points("held_back", held_x, held_y, "for validation") if len(held_y) else []),
        "net = nn.Sequential(",
        *layers,
        ")",
        "weights = [             # of each layer: a row per unit, and the biases",
        *weights,
        "]",
        "with torch.no_grad():",
        "    for linear, (w, b) in zip(net[::2], weights):",
        "        linear.weight.copy_(torch.tensor(w))",
        "        linear.bias.copy_(torch.tensor(b))",
        f"optimizer = torch.optim.{optimizer}(",
        f"    net.parameters(), lr={number(state['rate'])}, weight_decay={number(state['weight_decay'])}{options})",
        f"order = torch.Generator().manual_seed({state['seed']})         # of the mini-batches",
        "",
        "",
        "def loss_on(rows):",
        f"    return {LOSSES[state['loss']]}(net(rows[:, :2]), rows[:, 2:])",
        "",
        "",
        "def batches():",
        "    return [points]     # all of them in one step" if all_at_once else
        f"    return [points[i] for i in torch.randperm(len(points), generator=order).split({state['batch']})]",
        "",
        "",
        "def train(epochs):",
        "    for _ in range(epochs):",
        "        for rows in batches():",
        "            optimizer.zero_grad()",
        "            loss_on(rows).backward()",
        "            optimizer.step()",
        "",
        "",
        'if __name__ == "__main__":',
        '    print(f"loss {loss_on(points).item():.6g}")',
        "    train(1000)",
        '    print(f"loss {loss_on(points).item():.6g} after 1,000 epochs more")',
        *(['    print(f"loss {loss_on(held_back).item():.6g} on the points held back")'] if len(held_y) else []),
        "",
    ])


def number(value: float) -> str:
    """Return the shortest decimal that reads back as a float, written as JavaScript writes it.

    >>> number(1.0), number(1e-07), number(0.1), number(1e+16)
    ('1', '1e-7', '0.1', '10000000000000000')
    """
    sign, digits, exponent = Decimal(repr(float(value))).normalize().as_tuple()
    digits, minus = "".join(map(str, digits)), "-" * sign
    if digits == "0":
        return "0"
    point = len(digits) + exponent              # where the decimal point stands, from the first digit on
    if -6 < point <= 0:
        return f"{minus}0.{'0' * -point}{digits}"
    if 0 < point <= 21:
        return minus + digits[:point].ljust(point, "0") + ("." + digits[point:] if digits[point:] else "")
    return f"{minus}{digits[0]}{'.' * (len(digits) > 1)}{digits[1:]}e{point - 1:+d}"


def _listed(values):
    return "[" + ", ".join(number(value) + ".0" * _is_whole(value) for value in values) + "]"


def _is_whole(value):
    return number(value).lstrip("-").isdigit()          # torch.tensor would make a list of them one of integers


def _nested(rows):
    return "[" + ", ".join(_listed(row) for row in rows) + "]"


def _points(name, x, y, meaning):
    rows = np.column_stack([x, y])
    return [f"{name} = torch.tensor([     # {meaning}", *(f"    {_listed(row)}," for row in rows), "])"]
