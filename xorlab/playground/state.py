"""What a playground shows, as a plain JSON object, checked; and what this package makes of it.

A state has every key of START; `complete` fills in what a partial one leaves out. Its numbers are Python's floats and
a page's numbers, the same 64 bits, and survive JSON. `weights` is None as long as they are those of `start` and `seed`.
"""
import csv
import json
import numbers
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xorlab import arguments, data, files
from xorlab.playground import clouds
from xorlab.streams import printable

DATA = (*clouds.CORNERS, *clouds.CLOUDS, "own")
ACTIVATIONS = ("sigmoid", "tanh", "relu")
LOSSES = ("mse", "bce")
OPTIMIZERS = ("sgd", "momentum", "rmsprop", "adam", "adamw")
STARTS = ("seed", "zeros", "given")
PER = ("layer", "unit")
RULES = ("tflm", "ruy", "single", "reference", "xnnpack")
LAYERS, UNITS, BITS = 3, 8, (2, 8)              # at most so many hidden layers and units in each
COUNTS = (4, 2000)                              # of a cloud's points
LARGEST = 1.7e308                               # about the largest number of 64 bits
SEEDS = 2**32 - 1                               # PyTorch's generator looks at 32 bits

OF_START = {"hidden", "activation", "seed", "start"}        # what the first weights depend on

START = {
    "preset": None,
    "data": {"name": "corners", "noise": 0.1, "count": 200, "seed": 0, "validation": 0.25, "points": []},
    "hidden": [3], "activation": "sigmoid", "loss": "mse", "optimizer": "adam", "rate": 0.1, "batch": 0,
    "weight_decay": 0.0, "seed": 1, "start": "seed", "weights": None, "epoch": 0, "bits": 8, "per": "layer",
    "rule": "tflm", "other": None, "playing": False,
}
MIME = "application/vnd.xorlab.playground+json"     # a state in a stored notebook: pages and slides make it live
NAME = re.compile("[A-Za-z0-9 .-]{1,40}")
PRESETS = json.loads(Path(__file__).with_name("presets.json").read_text(encoding="utf-8"))


def complete(partial: dict) -> dict:
    """Return a whole state, with START's values for what a partial one leaves out.

    Widths, points and weights may be lists, tuples or arrays.
    Raises ValueError, in one sentence, for a key or a value that a playground does not know.

    >>> complete({"hidden": [2], "data": {"name": "or"}})["data"]["count"]
    200
    """
    _check_keys(partial, START, "a state")
    state = {**START, **partial}
    state["data"] = _data(state["data"])
    state["hidden"] = _hidden(state["hidden"])
    for key, known in (("activation", ACTIVATIONS), ("loss", LOSSES), ("optimizer", OPTIMIZERS), ("start", STARTS),
                       ("per", PER), ("rule", RULES)):
        _check_choice(key, state[key], known)
    # it stands in the script that a page gives away, and a state may come with an address from anywhere
    if not (state["preset"] is None or isinstance(state["preset"], str) and NAME.fullmatch(state["preset"])):
        raise ValueError(f"preset must be a preset's name or null, got {arguments.shown(state['preset'])}")
    if state["other"] is not None:
        _check_choice("other", state["other"], RULES)
    state["rate"] = _real("rate", state["rate"], above=0)
    state["weight_decay"] = _real("weight_decay", state["weight_decay"], least=0)
    for key, low, high in (("batch", 0, COUNTS[1]), ("seed", 0, SEEDS), ("epoch", 0, None), ("bits", *BITS)):
        state[key] = _whole(key, state[key], low, high)
    if not isinstance(state["playing"], bool):
        raise ValueError(f"playing must be true or false, got {arguments.shown(state['playing'])}")
    state["weights"] = _weights(state["weights"], state["hidden"])
    if state["start"] == "given" and state["weights"] is None:
        raise ValueError('start "given" needs weights; give them, or start from "seed" or "zeros"')
    return state


def preset(name: str, **changes) -> dict:
    """Return the state of a preset, with these keys changed as by `changed`.

    Raises ValueError for another name, or what `complete` raises.
    """
    if not isinstance(name, str) or name not in PRESETS:
        raise ValueError(f"there is no preset {arguments.shown(name)}; there are {', '.join(PRESETS)}")
    return changed(complete({**PRESETS[name]["state"], "preset": name}), **changes)


def changed(state: dict, **changes) -> dict:
    """Return a state with these keys changed; `data` may be a name.

    Where the start changes (hidden, activation, seed, start) the network goes back to it, unless weights are given.
    Raises what `complete` raises.
    """
    if isinstance(changes.get("data"), str):
        changes["data"] = {"name": changes["data"]}
    if isinstance(changes.get("data"), dict):
        changes["data"] = {**state["data"], **changes["data"]}
    new = {**state, **changes}
    if OF_START & set(changes) and "weights" not in changes:
        new.update(weights=None, epoch=0)
        if new["start"] == "given" and "start" not in changes:
            new["start"] = "seed"
    return complete(new)


def layers(state: dict) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (weights float64 (units, inputs), biases float64 (units,)) of each layer, the output's last."""
    if state["weights"] is not None:
        return [(np.array(layer["w"], np.float64), np.array(layer["b"], np.float64)) for layer in state["weights"]]
    if state["start"] == "zeros":
        widths = [2, *state["hidden"], 1]
        return [(np.zeros((units, inputs)), np.zeros(units))
                for inputs, units in zip(widths, widths[1:], strict=False)]
    net = _started(state)
    return [(linear.weight.detach().double().numpy(), linear.bias.detach().double().numpy())
            for linear in linears(net)]


def net(state: dict):
    """Return the network as a models.MLP in float32, in eval mode."""
    import torch

    made = _started(state)
    with torch.no_grad():
        for linear, (weights, biases) in zip(linears(made), layers(state), strict=True):
            linear.weight.copy_(torch.from_numpy(weights))
            linear.bias.copy_(torch.from_numpy(biases))
    return made.eval()


@np.errstate(over="ignore", invalid="ignore")           # a net may be far beyond use, and still be shown
def outputs(state: dict, x: np.ndarray) -> np.ndarray:
    """Return what the float network answers, in 64 bits, at points x (n, 2): float64 (n,)."""
    squash = {"sigmoid": _sigmoid, "tanh": np.tanh, "relu": lambda z: np.maximum(z, 0)}[state["activation"]]
    *hidden, (weights, biases) = layers(state)
    for inner, bias in hidden:
        x = squash(x @ inner.T + bias)
    return _sigmoid(x @ weights.T + biases)[:, 0]


def _sigmoid(z):
    return (1 + np.tanh(z / 2)) / 2


def integers(state: dict):
    """Return the network as an integer.IntegerMLP under the state's rule: IntegerMLP.from_torch's, as on a page.

    Raises ValueError, in one sentence, for a network without an int8 form.
    """
    from xorlab.integer import IntegerMLP

    return IntegerMLP.from_graph(graph(state))


def graph(state: dict):
    """Return the network as an integer.IntegerGraph; see `integers`."""
    from xorlab.integer import IntegerGraph

    return IntegerGraph.from_torch(net(state), rule=state["rule"], weight_bits=state["bits"],
                                   granularity={"layer": "per_tensor", "unit": "per_channel"}[state["per"]])


def codes(state: dict) -> np.ndarray | None:
    """Return the int8 answers at all 65,536 inputs, or None for a network without an int8 form."""
    try:
        return integers(state).codes(data.int8_inputs())
    except ValueError:
        return None


def points(state: dict) -> tuple[np.ndarray, np.ndarray]:
    """Return the points to learn, x float64 (n, 2), and their labels y float64 (n,)."""
    return clouds.points(state["data"])[:2]


def weights_of(model) -> list[dict]:
    """Return an MLP's weights as a state has them: [{"w": [[...], ...], "b": [...]}, ...]."""
    return [{"w": linear.weight.detach().double().tolist(), "b": linear.bias.detach().double().tolist()}
            for linear in linears(model)]


def linears(model):
    """Return the Linear layers of an MLP, the output's last."""
    from torch import nn

    return [module for module in model.chain() if isinstance(module, nn.Linear)]


def _started(state):
    from xorlab import models

    return models.MLP(tuple(state["hidden"]), state["activation"], seed=state["seed"])


def own_points(x, y) -> dict:
    """Return the `data` of a state whose points are x (n, 2), from 0 to 1, with labels y (n,) of 0 and 1.

    Raises ValueError, in one sentence, for others.
    """
    x, y = (arguments.numbers_in("points", given).astype(object) for given in (x, y))
    if x.ndim != 2 or x.shape[1] != 2 or y.shape not in ((len(x),), (len(x), 1)):
        raise ValueError(f"points need two inputs and a label each, x of shape (n, 2) and y of shape (n,); "
                         f"got {x.shape} and {y.shape}")
    return {"name": "own", "points": [[*row, label] for row, label in zip(x.tolist(), y.ravel().tolist(), strict=True)]}


def read_csv(path) -> dict:
    """Return the `data` of a state from a CSV file: x1, x2 and a label of 0 or 1 a row, perhaps below a line of names.

    Raises FileNotFoundError, or ValueError naming the line.
    """
    path = Path(files.checked_path("points", path))
    if not files.is_file(path):
        raise FileNotFoundError(f"there is no file {printable(path)}; points come from a CSV file or as (x, y)")
    text = files.content_of(path, "CSV").decode("utf-8-sig", errors="replace")
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        row = _cells(line)
        if not any(cell.strip() for cell in row) or number == 1 and not any(map(_is_number, row)):
            continue                            # an empty line, or the names of the columns
        try:
            point = [float(cell) for cell in row]
        except ValueError:
            raise ValueError(f"line {number} of {path} must hold three numbers, x1, x2 and a label; "
                             f"got {arguments.shown(','.join(row))}") from None
        if len(point) != 3:
            raise ValueError(f"line {number} of {path} must hold three numbers, x1, x2 and a label; "
                             f"got {len(point)}")
        try:
            rows.append(_point(point))
        except ValueError as error:
            raise ValueError(f"line {number} of {path}: {error}") from None
    if not rows:
        raise ValueError(f"{path} holds no points; each line needs x1, x2 and a label of 0 or 1")
    if len(rows) > COUNTS[1]:
        raise ValueError(f"{path} holds {len(rows):,} points; up to {COUNTS[1]:,} are allowed")
    return {"name": "own", "points": rows}


def _cells(line):
    try:
        return next(csv.reader([line]), [])
    except csv.Error:                           # a cell longer than csv takes, which is no number
        return [line]


def _is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True


# What a value must be

def _is_finite(given):
    if isinstance(given, np.floating):
        given = float(given)                    # whose comparison with a number beyond its range would warn
    return isinstance(given, numbers.Real) and not isinstance(given, bool) and -LARGEST <= given <= LARGEST


def _check_keys(given, known, what):
    if not isinstance(given, dict):
        raise ValueError(f"{what} must be a dict (in JSON, an object), got {type(given).__name__}")
    unknown = [key for key in given if key not in known]
    if unknown:
        raise ValueError(f"{what} has no {arguments.shown(unknown[0])}; it has {', '.join(known)}")


def _check_choice(key, given, known):
    arguments.one_of(key, given, known)


def _real(key, given, *, above=None, least=None, most=None):
    good = _is_finite(given)
    if not (good and (above is None or given > above) and (least is None or given >= least)
            and (most is None or given <= most)):
        span = ("a positive number" if above == 0 else f"a number from {least:g} to {most:g}" if most is not None
                else f"a number of {least:g} or more" if least is not None else "a finite number")
        raise ValueError(f"{key} must be {span}, got {arguments.shown(given)}")
    return float(given)


def _whole(key, given, low, high):
    good = _is_finite(given)
    if not (good and given == int(given) and low <= given and (high is None or given <= high)):
        span = f"from {low} to {high}" if high is not None else f"of {low} or more"
        raise ValueError(f"{key} must be a whole number {span}, got {arguments.shown(given)}")
    return int(given)


def _data(given):
    _check_keys(given, START["data"], "data")
    data = {**START["data"], **given}
    if data["points"] and "name" not in given:
        data["name"] = "own"
    _check_choice("data.name", data["name"], DATA)
    data["noise"] = _real("data.noise", data["noise"], least=0, most=0.5)
    data["count"] = _whole("data.count", data["count"], *COUNTS)
    data["seed"] = _whole("data.seed", data["seed"], 0, SEEDS)
    data["validation"] = _real("data.validation", data["validation"], least=0, most=0.9)
    data["points"] = [_point(point) for point in _listed("data.points", data["points"])]
    if len(data["points"]) > COUNTS[1]:
        raise ValueError(f"data.points may be up to {COUNTS[1]:,} points, got {len(data['points']):,}")
    return data


def _point(given):
    row = _listed("a point", given)
    if len(row) != 3:
        raise ValueError(f"a point must be [x1, x2, label], got {arguments.shown(given)}")
    x1, x2 = (_real("an input of a point", number, least=0, most=1) for number in row[:2])
    if isinstance(row[2], str) or row[2] not in (0, 1):
        raise ValueError(f"the label of a point must be 0 or 1, got {arguments.shown(row[2])}")
    return [x1, x2, int(row[2])]


def _hidden(given):
    widths = _listed("hidden", [given] if isinstance(given, numbers.Integral) else given)
    if len(widths) > LAYERS:
        raise ValueError(f"hidden may be up to {LAYERS} layers, got {len(widths)}")
    return [_whole("units of a hidden layer", width, 1, UNITS) for width in widths]


def _weights(given, hidden):
    if given is None:
        return None
    widths = [2, *hidden, 1]
    rows = _listed("weights", given)
    if len(rows) != len(widths) - 1:
        raise ValueError(f"weights must be of {len(widths) - 1} layers, hidden and output, got {len(rows)}")
    return [_layer(layer, i, units, inputs)
            for i, (layer, inputs, units) in enumerate(zip(rows, widths, widths[1:], strict=False), 1)]


def _layer(given, number, units, inputs):
    what = f"layer {number} of the weights"
    if not isinstance(given, dict) or set(given) != {"w", "b"}:
        raise ValueError(f"{what} must have w and b and nothing else, got {arguments.shown(given)}")
    w, b = [_listed(what, row) for row in _listed(what, given["w"])], _listed(what, given["b"])
    if len(w) != units or len(b) != units or any(len(row) != inputs for row in w):
        raise ValueError(f"{what} must have {units} rows of {inputs} weights, and {units} biases; "
                         f"got rows of {arguments.shown([len(row) for row in w])} and {len(b)}")
    return {"w": [[_real("a weight", number) for number in row] for row in w],
            "b": [_real("a bias", number) for number in b]}


def _listed(what, given):
    if isinstance(given, np.ndarray) and given.ndim:
        return given.tolist()
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
        raise ValueError(f"{what} must be a list, got {arguments.shown(given)}")
    return list(given)
