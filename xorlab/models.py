"""The nets: a small multilayer perceptron, and trained ones committed as readable text."""
import inspect
import json
import re
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import nn

from xorlab import arguments, files

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU, "tanh": nn.Tanh}
REFERENCES = Path(__file__).parent / "references"
MOST_WEIGHTS = 10_000_000       # of an MLP: beyond them a slip costs the computer's memory
SEEDS = (-(2**63), 2**64 - 1)   # that PyTorch's generator takes


class MLP(nn.Module):
    """A multilayer perceptron with two inputs and one sigmoid output, a probability.

    hidden : units of the hidden layer, or a tuple with the units of each (all > 0); () for no hidden layer.
    activation : "sigmoid", "relu" or "tanh", between the layers.
    seed : initial weights as after torch.manual_seed(seed), leaving the global generator alone;
        None draws them from the global generator.
    Attributes: `hidden`, a Linear (a Sequential when there are several), and `output`, a Linear.
    Raises ValueError for another width or activation.
    """

    def __init__(self, hidden=3, activation="sigmoid", *, seed=None):
        super().__init__()
        widths = hidden if isinstance(hidden, tuple) else (hidden,)
        if not all(arguments.is_whole(width, 1) for width in widths):
            raise ValueError("hidden must be a positive whole number or a tuple of them, got "
                             f"{arguments.shown(hidden)}")
        widths = tuple(map(int, widths))
        size = sum(before * after + after for before, after in zip((2, *widths), (*widths, 1), strict=True))
        if size > MOST_WEIGHTS:
            raise ValueError(f"a net may have up to {MOST_WEIGHTS:,} weights and biases, got hidden="
                             f"{arguments.shown(hidden)}; take fewer units")
        arguments.one_of("activation", activation, ACTIVATIONS)
        self.widths, self.activation = widths, activation
        with seeded(seed):
            self.hidden = _hidden_layers(widths, activation)
            self.output = nn.Linear((2, *widths)[-1], 1)
        self.squash = ACTIVATIONS[activation]() if widths else nn.Identity()

    def forward(self, x):
        """Map float32 (n, 2) to probabilities (n, 1)."""
        return torch.sigmoid(self.output(self.hidden_activations(x)))

    def hidden_activations(self, x):
        """Return what the last hidden layer passes on: (n, 2) -> (n, units)."""
        return self.squash(self.hidden(x))

    def chain(self):
        """Return the modules in the order they run, the last sigmoid included."""
        hidden = [self.hidden] if isinstance(self.hidden, nn.Linear) else list(self.hidden)
        return [*hidden, *([self.squash] if self.widths else []), self.output, nn.Sigmoid()]

    @property
    def name(self):
        """The net in short, e.g. sigmoid-2-3-1."""
        return "-".join([self.activation, "2", *map(str, self.widths), "1"])


@contextmanager
def seeded(seed):
    """Let the block draw as after torch.manual_seed(seed), then put the global generator back where it was."""
    if seed is None:
        yield
        return
    seed = checked_seed(seed)
    state = torch.random.get_rng_state()
    torch.default_generator.manual_seed(seed)       # manual_seed would also seed every kind of GPU: 0.4 ms a net
    try:
        yield
    finally:
        torch.random.set_rng_state(state)


def checked_seed(seed) -> int:
    """Return a seed of PyTorch's generator as an int.  Raises ValueError for anything but a whole number in 64 bits."""
    seed = arguments.whole("seed", seed)
    if not SEEDS[0] <= seed <= SEEDS[1]:
        raise ValueError(f"seed must fit into 64 bits, got {arguments.shown(seed)}")
    return seed


def checked_module(model, what: str = "the model") -> nn.Module:
    """Return a PyTorch module.  Raises TypeError for anything else."""
    return arguments.instance(what, model, nn.Module, "a PyTorch module, such as models.MLP()")


def set_mode(model: nn.Module, training: bool) -> None:
    """Put a module and its parts into training or eval mode, also where its own `train(...)` means something else."""
    training = arguments.switch("training", training)
    if has_own_train(checked_module(model)):
        for part in model.modules():
            part.training = training
    else:
        model.train(training)


def has_own_train(model: nn.Module) -> bool:
    """Is a `train` in the module not PyTorch's switch but, say, a student's loop, which eval() would run?"""
    own = [type(part).train for part in checked_module(model).modules() if type(part).train is not nn.Module.train]
    return not all("mode" in inspect.signature(train).parameters for train in own)


def _hidden_layers(widths, activation):
    if not widths:
        return nn.Sequential()                  # passes its input on
    layers = [nn.Linear(2, widths[0])]
    for before, after in zip(widths, widths[1:], strict=False):
        layers += [ACTIVATIONS[activation](), nn.Linear(before, after)]
    return layers[0] if len(layers) == 1 else nn.Sequential(*layers)


def by_hand(units: Sequence[Sequence[float]]) -> MLP:
    """Return a sigmoid MLP of numbers chosen by hand, in eval mode.

    units : for each hidden unit (w1, w2, b), its two weights and its bias; last, for the output, one weight per hidden
        unit and its bias. Two hidden units take nine numbers.
    Raises ValueError for anything else.

    >>> by_hand([(20, 20, -10), (20, 20, -30), (20, -20, -10)]).name
    'sigmoid-2-2-1'
    """
    try:
        *hidden, output = (arguments.float32("units", unit) for unit in units)
        fits = (len(hidden) > 0 and all(unit.shape == (3,) for unit in hidden) and output.shape == (len(hidden) + 1,)
                and all(np.isfinite(unit).all() for unit in (*hidden, output)))
    except (TypeError, ValueError):             # a word, or rows of several lengths
        fits = False
    if not fits:
        raise ValueError("a net by hand needs finite numbers, (w1, w2, b) for each hidden unit and last (v1, ..., c), "
                         f"one weight per hidden unit and a bias, for the output; got {arguments.shown(units)}")
    net, table = MLP(len(hidden), seed=0), np.stack(hidden)     # the seed's numbers are all replaced
    net.load_state_dict({name: torch.tensor(values) for name, values in (
        ("hidden.weight", table[:, :2]), ("hidden.bias", table[:, 2]),
        ("output.weight", output[None, :-1]), ("output.bias", output[-1:]))})
    return net.eval()


def layers_of(model):
    """Return [(Linear, activation), ...] of a net that can be quantized, in the order they run.

    model : an MLP with sigmoid or ReLU, or a Linear or Sequential of Linear, each perhaps followed by ReLU or Sigmoid.
    activation : "relu", "sigmoid" or None.  Raises ValueError for another net.
    """
    kinds = {nn.ReLU: "relu", nn.Sigmoid: "sigmoid"}
    checked_module(model, "a net to quantize")
    layers = []
    for module in model.chain() if isinstance(model, MLP) else model if isinstance(model, nn.Sequential) else [model]:
        if isinstance(module, nn.Linear):
            layers.append((module, None))
        elif type(module) in kinds and layers and layers[-1][1] is None:
            layers[-1] = (layers[-1][0], kinds[type(module)])
        else:
            raise ValueError("a net to quantize must be a chain of Linear layers, each perhaps followed "
                             f"by ReLU or Sigmoid; got {type(module).__name__}")
    if not layers:
        raise ValueError("a net to quantize needs at least one Linear layer, got none")
    return layers


def reference_names():
    """Return the names of the committed nets, in alphabetical order."""
    return sorted(path.parent.name for path in REFERENCES.glob("*/net.json"))


def reference(name="sigmoid-2-3-1"):
    """Return a committed net with its trained weights, in eval mode.

    name : "sigmoid-2-3-1", "relu-2-4-1" (both trained) or "textbook-2-4-1" (an exact solution by hand).
    Raises ValueError for another name.
    """
    return load(reference_file(name, "net.json"))


def reference_file(name, file):
    """Return the path of a file committed with a reference net.

    file : "net.json", "model.onnx", "float32.tflite", "int8.tflite"; for sigmoid-2-3-1 also the other variants of
        export.VARIANTS, e.g. "float16.tflite", and "int8-middle.tflite", calibrated on points between 0.3 and 0.7
        only, to show what that does.
    Raises ValueError for an unknown name or file, naming those there are.
    """
    if not isinstance(name, str) or name not in reference_names():
        raise ValueError(f"no reference net {arguments.shown(name)}; there are {', '.join(reference_names())}")
    there = {path.name for path in (REFERENCES / name).iterdir()}
    path = REFERENCES / name / (file if isinstance(file, str) and file in there else "")
    if not path.is_file():
        raise ValueError(f"reference net {name} has no file {arguments.shown(file)}; there are "
                         f"{', '.join(sorted(there))}")
    return path


def recorded_training(name):
    """Return the settings a reference net was trained with, as a dict; empty for a net made by hand."""
    return json.loads(reference_file(name, "net.json").read_text())["training"]


def save(model, path, training=None):
    """Write an MLP as readable text (JSON), each weight with the digits that give its float32 back exactly.

    training : settings to record with it, e.g. {"seed": 1, "optimizer": "adam"}.
    Raises TypeError for another module.
    """
    if not isinstance(model, MLP):
        raise TypeError(f"save writes an MLP, got {type(model).__name__}; keep a module of your own with "
                        "torch.save(model.state_dict(), path), or as ONNX with export.to_onnx(model, path)")
    if not all(torch.isfinite(value).all() for value in model.state_dict().values()):
        raise ValueError("the net has weights that are NaN or infinite, which JSON has no number for; train it again "
                         "from another start")
    files.checked_path("path", path)
    try:
        training = json.loads(json.dumps({} if training is None else training, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise TypeError(f"training must be settings that JSON can hold, such as {{'seed': 1}}, got "
                        f"{arguments.shown(training)}: {error}") from None
    if not isinstance(training, dict):
        raise TypeError(f"training must be a dict of settings, such as {{'seed': 1}}, got {arguments.shown(training)}")
    net = {
        "hidden": list(model.widths),
        "activation": model.activation,
        "training": training,
        "weights": {key: _shortest(value.numpy()) for key, value in model.state_dict().items()},
    }
    with files.replacing(path) as made:
        made.write_text(_one_row_a_line(json.dumps(net, indent=1)) + "\n")


def load(path):
    """Read an MLP that `save` wrote, in eval mode.  Raises FileNotFoundError or ValueError, naming the path."""
    try:
        return _net_of(files.read_json(path, "net"))
    except ValueError as error:
        said = str(error).removeprefix(f"{path} is not a net: ")
        raise ValueError(f"{path} is not a net written by models.save: {said}") from None


def _net_of(given):
    """Return the MLP that a net's JSON describes, whose numbers the text holds: it takes no memory for others.

    Raises ValueError, in one sentence.
    """
    weights = given.get("weights") if isinstance(given, dict) else None
    if not isinstance(weights, dict) or not isinstance(given.get("hidden"), list) or "activation" not in given:
        raise ValueError("it must be an object with hidden, a list, activation and weights, an object")
    tables = {key: _table(key, rows) for key, rows in weights.items()}
    widths, numbers = tuple(given["hidden"]), sum(table.size for table in tables.values())
    if not all(type(width) is int and 0 < width <= numbers for width in widths) or len(widths) > numbers:
        raise ValueError(f"the units of its hidden layers, {_cut(widths)}, do not fit its {numbers:,} numbers")
    if not isinstance(given["activation"], str) or given["activation"] not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {_cut(given['activation'])}")
    with torch.device("meta"):                          # shapes without memory
        shapes = {key: tuple(value.shape) for key, value in MLP(widths, given["activation"]).state_dict().items()}
    _check_fit({key: table.shape for key, table in tables.items()}, shapes)
    model = MLP(widths, given["activation"])
    model.load_state_dict({key: torch.from_numpy(table) for key, table in tables.items()})
    return model.eval()


def _table(key, rows):
    """Return the float32 array of nested lists of numbers."""
    try:
        table = np.asarray(rows)
    except ValueError:                                  # rows of several lengths
        raise ValueError(f"{key} has rows of several lengths") from None
    if table.dtype.kind not in "iuf":
        raise ValueError(f"{key} must be lists of numbers")
    with np.errstate(over="ignore"):
        table = table.astype(np.float32)
    if not np.isfinite(table).all():
        raise ValueError(f"{key} holds a number that is not finite, or too large for float32")
    return table


def _check_fit(there, needed):
    for key in [*needed, *there]:
        if there.get(key) != needed.get(key):
            raise ValueError(f"{_cut(key)} has {f'shape {there[key]}' if key in there else 'no numbers'}, and this net "
                             f"{f'needs {needed[key]}' if key in needed else 'has no such part'}")


def _cut(value):
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def load_weights(model: nn.Module, path) -> nn.Module:
    """Give a module the weights of a .pth file, a state_dict that torch.save wrote, and return it in eval mode.

    They are read as data: no code that the file might hold is run.
    Raises FileNotFoundError; ValueError, in one sentence, for another file, weights that do not fit, or a number that
    is not finite. The module keeps its weights then.
    """
    path = files.existing_file(path, "weights")
    with files.reading(path, "a file of weights that PyTorch reads as data"):
        weights = torch.load(path, map_location="cpu", weights_only=True)
    return take_weights(model, weights, path)


def take_weights(model: nn.Module, weights: dict, path) -> nn.Module:
    """Give a module weights by the names of its state_dict, checked, and return it in eval mode.

    path : what an error calls them.  Raises ValueError, in one sentence, for what does not fit.
    """
    needed = model.state_dict()
    if not isinstance(weights, dict) or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise ValueError(f"{path} holds no state_dict, which is a tensor for each name; write one with "
                         "torch.save(model.state_dict(), path)")
    try:
        _check_fit(*({key: tuple(value.shape) for key, value in one.items()} for one in (weights, needed)))
        for key, value in weights.items():
            if value.dtype != needed[key].dtype or value.layout != torch.strided:
                raise ValueError(f"{key} is {value.dtype}, and this net needs {needed[key].dtype}")
            if value.is_floating_point() and not torch.isfinite(value).all():
                raise ValueError(f"{key} holds a number that is not finite")
    except ValueError as error:
        raise ValueError(f"{path} holds weights of another net: {error}") from None
    model.load_state_dict(weights)
    return model.eval()


def _shortest(array):
    """Nest an array as lists of the shortest decimals that read back as the same float32."""
    if array.ndim:
        return [_shortest(row) for row in array]
    return float(str(array))


def _one_row_a_line(text):
    """Join the numbers of each innermost list, which json.dumps puts on a line each."""
    return re.sub(r"\[\s*([^\[\]]*?)\s*\]", lambda row: "[" + re.sub(r",\s+", ", ", row[1]) + "]", text)
