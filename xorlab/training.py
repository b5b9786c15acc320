"""Training: one net in plain PyTorch, or a race of thousands of starts."""
import math
import os
import re
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache

import joblib
import numpy as np
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from xorlab import arguments, data, files, models
from xorlab.optimizers import Optimizer, as_optimizer, checked_rate
from xorlab.population import LANES, Population, batches, train
from xorlab.qat import rounded
from xorlab.races import SOLVED, Entry, Race
from xorlab.streams import progress, say

LOSSES = {"mse": nn.functional.mse_loss, "bce": nn.functional.binary_cross_entropy,
          "cross_entropy": nn.functional.cross_entropy}
RACED = ("mse", "bce")      # losses of a net with one output
MOST_EPOCHS, MOST_STARTS = 100_000_000, 1_000_000      # more would fill the computer's memory with what is written down
BLOCK = 4096        # starts trained side by side in one process: more no longer fit into a core's cache
MERGED = 0.05       # two corners whose hidden activations all differ by less look alike to the output layer
FLAT = 0.05         # a unit with less than this share of its activation's steepest slope is called flat
SLOPES = {          # slope at activation a, as a share of the steepest
    "sigmoid": lambda a: 4 * a * (1 - a),
    "tanh": lambda a: 1 - a**2,
    "relu": lambda a: (a > 0).astype(np.float32),
}

__all__ = ["SOLVED", "History", "Optimizer", "Race", "fit", "fit_qat", "fit_qat_many", "race", "replay"]


@dataclass(frozen=True)
class History:
    """What a training run did.

    losses : float32 (epochs,), the loss on all the data before each epoch's step (of each epoch's
        mini-batches on average, where there are several).
    final_loss : the loss after the last step.
    """
    losses: np.ndarray
    final_loss: float
    optimizer: Optimizer
    loss: str

    def __str__(self):
        return (f"{self.optimizer.label}, {len(self.losses):,} epochs: "
                f"{self.loss} from {self.losses[0]:.3f} to {self.final_loss:.2g}")


def fit(model, x, y, *, optimizer="adam", lr=None, epochs=10_000, seed=0, loss="mse", batch_size=None, watch=None):
    """Train a model in place and return its History.

    model : a module from points to probabilities (n, 1), or for "cross_entropy" to scores (n, classes); left in eval
        mode.
    x : (n, ...) points; (n, 2) for an MLP.  y : (n,) labels; for "cross_entropy" class numbers 0, 1, 2, ...
    optimizer : a name in optimizers.OPTIMIZERS, trained at rate `lr` (> 0; None means 0.1), or an Optimizer, which has
        its own rate.
    epochs : passes over the data (> 0).  loss : "mse", "bce", or "cross_entropy" (which applies softmax itself).
    batch_size : points a step; None means all of them (full batch).
    seed : orders the mini-batches; it has no effect on full batches or initial weights.
    watch : a function called as watch(epoch, model) before each epoch's steps, e.g. to keep frames of a film.
    Prints a sentence about labels or outputs that are allowed but seldom meant.
    Raises ValueError for settings outside these, and FloatingPointError if the loss becomes NaN.

    >>> net = models.MLP(3, seed=1)
    >>> print(fit(net, *data.corners(), epochs=400))
    adam, rate 0.1, 400 epochs: mse from 0.255 to 0.00026
    """
    optimizer = as_optimizer(optimizer, lr)
    models.checked_module(model)
    epochs, batch_size, seed = _settings(LOSSES, epochs, loss, batch_size, seed)
    if watch is not None and not callable(watch):
        raise TypeError(f"watch must be a function of the epoch and the model, got {arguments.shown(watch)}")
    x = torch.from_numpy(data.points(x, columns=2 if isinstance(model, models.MLP) else None))
    y = torch.from_numpy(_targets(y, len(x), loss))
    say(_notes(_first_outputs(model, x), y, loss))
    stepper = optimizer.make(_trained_parameters(model))
    order = torch.Generator().manual_seed(seed)
    losses = np.empty(epochs, np.float32)
    models.set_mode(model, training=True)
    for epoch in progress(range(epochs), optimizer.label):
        if watch is not None:
            watch(epoch, model)
        try:
            losses[epoch] = _one_epoch(model, x, y, stepper, loss, batches(len(x), batch_size, order))
        except FloatingPointError as error:
            raise FloatingPointError(f"{error} in epoch {epoch:,} of {optimizer.label}; try a lower rate") from None
    models.set_mode(model, training=False)
    with torch.no_grad():
        final_loss = _measured(loss, model(x), y).item()
    return History(losses, final_loss, optimizer, loss)


def _targets(y, n, loss):
    """Check labels; return what the loss compares outputs with: float32 (n, 1), or class numbers int64 (n,)."""
    y = arguments.numbers_in("labels", y, kinds="fiubUSOcmM", finite=False)
    if y.ndim == 2 and y.shape[1] > 1:
        raise ValueError(f"labels must be one number a point, of shape ({n},), got shape {y.shape}; where each row "
                         'marks a class (one-hot), give y.argmax(axis=1) and loss="cross_entropy"')
    y = data.labels(y, n)
    if loss == "cross_entropy":
        wrong = y[(y < 0) | (y != np.floor(y))]
        if len(wrong):
            raise ValueError(f'loss="cross_entropy" needs labels that are class numbers 0, 1, 2, ..., got {wrong[0]:g}')
        return y.astype(np.int64)
    if loss == "bce" and data.label_notes(y):
        raise ValueError(f'loss="bce" needs labels from 0 to 1. {data.label_notes(y)[0]}')
    return y[:, None]


def _first_outputs(model, x):
    """Return the untrained model's outputs, in eval mode, so that a model which cannot take x is told before work."""
    models.set_mode(model, training=False)
    try:
        return model(x)
    except (RuntimeError, NotImplementedError) as error:
        reason = files.first_line(error)
        raise ValueError(f"the model cannot take points of shape {tuple(x.shape)} in float32: {reason}") from error


def _notes(outputs, y, loss):
    """Check that a model's outputs suit the loss; return sentences about what is allowed but seldom meant."""
    _check_shape(outputs, y)
    last = outputs.grad_fn.name().removesuffix("Backward0").lower() if outputs.grad_fn else ""
    if loss == "cross_entropy":
        if y.max() >= outputs.shape[1]:
            raise ValueError(f"the model gives {outputs.shape[1]} scores, for classes 0 to {outputs.shape[1] - 1}, "
                             f"but there is a label {y.max()}")
        if last in ("softmax", "sigmoid"):
            return [f"The model ends in a {last}, and cross_entropy applies softmax itself: leave the model's own out, "
                    "or the loss cannot come near 0."]
    elif last == "sigmoid":
        return data.label_notes(y.numpy())
    return []


def _trained_parameters(model):
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError(f"{type(model).__name__} has no weights to train: none, or all with requires_grad=False")
    return parameters


def fit_qat(model, x, *, weight_bits=8, granularity="per_channel", epochs=300, lr=0.02):
    """Train a rounding copy of a float net to answer as the float net does; return (FakeQuantized, History).

    model : a trained net, as qat.FakeQuantized takes it; left as it is.
    x : float32 (n, inputs), the points on which the two shall agree: many, for between them nothing is promised.
    weight_bits : 2 to 8.  granularity : "per_channel" for a weight scale per unit, "per_tensor" for one per layer.
    epochs : steps on all points (> 0).  lr : Adam's rate at the start; it falls to 0 along a cosine.
    The loss is the mean squared difference of outputs. Training starts from qat.rounded; what is returned has the
    smallest loss that was met, so on x it is never worse than that.
    Raises ValueError for settings outside these, and FloatingPointError if the loss becomes NaN.
    """
    return fit_qat_many([model], x, weight_bits=weight_bits, granularity=granularity, epochs=epochs, lr=lr)[0]


def fit_qat_many(originals, x, *, weight_bits=8, granularity="per_channel", epochs=300, lr=0.02):
    """Train rounding copies of several float nets of one shape side by side: [(FakeQuantized, History), ...].

    Each is trained as by fit_qat, whose arguments and errors these are; only the last digits of its sums differ, for
    PyTorch adds in another order. Twenty small nets take about twice as long as one.
    """
    optimizer, epochs = as_optimizer("adam", checked_rate(lr)), arguments.whole("epochs", epochs, 1, MOST_EPOCHS)
    originals = arguments.several("originals", originals, "PyTorch modules", nn.Module)
    nets = [rounded(model, x, weight_bits, granularity=granularity) for model in originals]
    if len({(net.activations, *(weights.shape for weights in net.weights)) for net in nets}) != 1:
        raise ValueError("the nets to train side by side must be one or more of one shape, got "
                         f"{len(nets)} of {len({tuple(w.shape for w in net.weights) for net in nets})} shapes")
    x = torch.from_numpy(data.points(x))
    with torch.no_grad():
        wanted = torch.stack([model(x) for model in originals])
    learned, fixed = stack_module_state(nets)
    if len(nets) == 1:                                      # without vmap's overhead, which doubles its time
        def answers():
            return functional_call(nets[0], {name: value[0] for name, value in (learned | fixed).items()}, x)[None]
    else:
        def answers():
            return vmap(lambda *state: functional_call(nets[0], state, x))(learned, fixed)
    losses, best = _imitate(answers, wanted, learned, optimizer, epochs, f"{weight_bits}-bit weights")
    for i, net in enumerate(nets):
        net.load_state_dict({name: value[i] for name, value in (best | fixed).items()})
    return [(net, History(curve[:-1], float(curve.min()), optimizer, "mse"))
            for net, curve in zip(nets, losses.T, strict=True)]


def _imitate(answers, wanted, learned, optimizer, epochs, label):
    """Bring answers() closer to `wanted`, both (nets, n, outputs); return (losses before each step and after the last,
    {name: the values with each net's smallest loss}).

    learned : {name: tensor with one more axis in front, the net}, which answers() reads and the optimizer changes.
    """
    stepper = optimizer.make(learned.values())
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(stepper, epochs)
    losses = np.empty((epochs + 1, len(wanted)), np.float32)
    smallest = torch.full((len(wanted),), math.inf)
    best = {name: value.detach().clone() for name, value in learned.items()}
    for epoch in progress(range(epochs + 1), label):
        outputs = answers()
        _check_outputs(outputs, wanted)
        loss = (outputs - wanted).square().mean(dim=(1, 2))
        losses[epoch] = loss.detach().numpy()
        better = loss.detach() < smallest
        smallest = torch.where(better, loss.detach(), smallest)
        for name, value in learned.items():
            best[name][better] = value.detach()[better]
        if epoch < epochs:
            stepper.zero_grad()
            loss.sum().backward()
            stepper.step()
            falling.step()
    return losses, best


def _one_epoch(model, x, y, stepper, loss, index_batches):
    """Take one step a mini-batch; return the mean loss over the points before their steps."""
    total = 0.0
    for batch in index_batches:
        points, targets = (x, y) if batch is None else (x[batch], y[batch])
        stepper.zero_grad()
        outputs = model(points)
        _check_outputs(outputs, targets)
        value = _measured(loss, outputs, targets)
        value.backward()
        stepper.step()
        total += value.item() * len(outputs)
    return total / len(x)


def _measured(loss, outputs, targets):
    """Return the loss; for "bce", where outputs are no probabilities, a sentence in place of PyTorch's riddle."""
    try:
        return LOSSES[loss](outputs, targets)
    except RuntimeError:
        low, high = outputs.min().item(), outputs.max().item()
        if loss != "bce" or 0 <= low <= high <= 1:
            raise
        raise ValueError(f'loss="bce" needs probabilities, but the model\'s outputs go from {low:.2g} to {high:.2g}; '
                         "end it with nn.Sigmoid()") from None


def _check_outputs(outputs, y):
    _check_shape(outputs, y)
    if not outputs.isfinite().all():      # here, because the BCE loss stops at NaN with a riddle
        raise FloatingPointError("the model's output became NaN or infinite")


def _check_shape(outputs, y):
    """Compare the shape of outputs with their targets': numbers of the same shape, or int64 (n,) class numbers."""
    shape = tuple(outputs.shape)
    if y.dtype == torch.int64:
        if len(shape) != 2 or len(outputs) != len(y) or shape[1] < 2:
            raise ValueError(f'for loss="cross_entropy" the model must return a score for each class, shape '
                             f"({len(y)}, classes), got {shape}")
    elif shape != tuple(y.shape):         # PyTorch would broadcast (n,) against (n, 1) to (n, n)
        hint = '; scores of classes need loss="cross_entropy"' if len(shape) == 2 and shape[1] > y.shape[1] else ""
        raise ValueError(f"the model must return shape {tuple(y.shape)}, got {shape}{hint}")


def race(optimizers, x=None, y=None, *, starts=1000, epochs=10_000, hidden=3, activation="sigmoid", seed=0,
         loss="mse", batch_size=None, threshold=SOLVED, device="cpu"):
    """Train many starts of one net with each of several optimizers and return a Race.

    optimizers : a name, an Optimizer, or a list of them; a bare name gets rate 0.1.
    x, y : (n, 2) points and (n,) labels; None means the four corners.
    starts : how many (> 0): the nets MLP(hidden, activation, seed=s) for s = seed, seed + 1, ...
    hidden, activation : the net, as in models.MLP.  epochs, loss, batch_size : as in `fit`; mini-batches come in
        the order of `seed`, the same for every start.
    threshold : loss below which a start counts as solved, if all points are in the right class too.
    device : "cpu" or "cuda".
    A start's numbers do not depend on how many run beside it or in how many processes. Runs in this process, or on
    whatever joblib.parallel_config names, e.g. backend="loky", n_jobs=4, or backend="dask". Interrupting it
    (Ctrl-C, the stop button) returns what was reached.
    Raises ValueError for settings outside these.
    """
    one = isinstance(optimizers, str | Optimizer) or not isinstance(optimizers, Iterable)
    given = [optimizers] if one else arguments.several("optimizers", optimizers, "names or Optimizers")
    optimizers = list(map(as_optimizer, given))
    epochs, batch_size, seed = _settings(RACED, epochs, loss, batch_size, seed)
    starts = arguments.whole("starts", starts, 1, MOST_STARTS)
    if seed + starts > models.SEEDS[1]:
        raise ValueError(f"the seeds of all starts must fit into 64 bits, got seed {seed} and {starts:,} starts")
    x, y = _check_race(optimizers, x, y, hidden, activation, loss, threshold, device)
    hidden, threshold = tuple(map(int, hidden)) if isinstance(hidden, tuple) else int(hidden), float(threshold)
    settings = {"x": x, "y": y, "epochs": epochs, "hidden": hidden, "activation": activation, "seed": seed,
                "loss": loss, "batch_size": batch_size, "threshold": threshold, "device": device}
    workers = joblib.effective_n_jobs(None)
    size = min(BLOCK, LANES * math.ceil(starts / workers / LANES))
    blocks = [range(first, min(first + size, seed + starts)) for first in range(seed, seed + starts, size)]
    tasks = [(optimizer, block) for optimizer in optimizers for block in blocks]
    finished, interrupted = _run(tasks, settings, workers)
    by_label = {label: [entry for entry in finished if entry.label == label]
                for label in dict.fromkeys(entry.label for entry in finished)}
    return Race(tuple(map(_merge, by_label.values())), settings, interrupted)


def replay(race_, label, seed):
    """Train one start of a race again, as a normal net: return (MLP, History)."""
    settings = arguments.instance("race_", race_, Race, "what training.race returns").settings
    arguments.one_of("label", label, [entry.label for entry in race_.entries])
    seed = models.checked_seed(seed)
    model = models.MLP(settings["hidden"], settings["activation"], seed=seed)
    entry = race_[label]
    history = fit(model, settings["x"], settings["y"], optimizer=entry.optimizer, epochs=entry.epochs,
                  seed=settings["seed"], loss=settings["loss"], batch_size=settings["batch_size"])
    return model, history


def _run(tasks, settings, workers):
    """Train every (optimizer, seeds) task; return (entries in order, whether it was interrupted)."""
    if workers == 1:
        results = (_train_block(*task, settings, progress) for task in tasks)
    else:
        jobs = (joblib.delayed(_train_in_worker)(os.getpid(), *task, settings) for task in tasks)
        results = joblib.Parallel(return_as="generator")(jobs)
    finished = []
    try:
        for _, entry in zip(progress(range(len(tasks)), "race"), results, strict=True):
            finished.append(entry)
            if entry.epochs < settings["epochs"]:
                return finished, True
    except KeyboardInterrupt:
        return finished, True
    return finished, False


def _train_in_worker(boss, optimizer, seeds, settings):
    """Do `_train_block` in a worker process, whose output nobody watches, of the process `boss`."""
    if os.getppid() == boss:            # and not on a cluster, whose workers have other parents
        _end_with(boss)
    return _train_block(optimizer, seeds, settings, lambda steps, label: steps)


@cache
def _end_with(boss):
    """End this process soon after its parent, `boss`: a killed one cannot, and a worker would stay for minutes."""
    def watch():
        while os.getppid() == boss:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _train_block(optimizer, seeds, settings, steps):
    """Train the starts with these seeds side by side and return their Entry."""
    population = Population(settings["hidden"], settings["activation"], seeds, settings["x"], settings["y"],
                            settings["loss"], settings["device"])
    done, seen, curve = train(population, optimizer, epochs=settings["epochs"], batch_size=settings["batch_size"],
                              seed=settings["seed"], steps=steps(range(settings["epochs"]), optimizer.label))
    outputs = population.host(population.outputs()[0])
    all_right = ((outputs > 0.5) == (settings["y"][:, None] > 0.5)).all(axis=0)
    corner_outputs, merged, flat_units = _at_the_corners(population, settings["activation"])
    return Entry(optimizer, np.array(seeds), done, curve[-1], all_right, seen, curve, corner_outputs, merged,
                 flat_units, settings["threshold"])


def _at_the_corners(population, activation):
    """Return the corners' outputs, whether corners of different labels look alike, and the number of flat units."""
    x, y = data.corners()
    outputs, hidden = population.outputs(x)
    outputs, a = population.host(outputs), population.host(hidden)              # (4, starts), (units, 4, starts)
    apart = np.abs(a[:, :, None] - a[:, None, :]).max(axis=0)                   # (4, 4, starts)
    merged = (apart[y[:, None] != y] < MERGED).any(axis=0)
    flat_units = (SLOPES[activation](a) < FLAT).all(axis=1).sum(axis=0)
    return outputs, np.broadcast_to(merged, outputs.shape[1:]), np.broadcast_to(flat_units, outputs.shape[1:])


def _merge(entries):
    """Join the entries of one optimizer's blocks; beside whole blocks, one that was interrupted is left out."""
    whole = [entry for entry in entries if entry.epochs == entries[0].epochs]
    along = {name: np.concatenate([getattr(entry, name) for entry in whole], axis=-1)
             for name in ("seeds", "losses", "all_right", "curve", "corner_outputs", "merged", "flat_units")}
    return replace(whole[0], **along)


def _check_race(optimizers, x, y, hidden, activation, loss, threshold, device):
    """Check a race's settings before any work; return the data as float32 arrays."""
    if not optimizers:
        raise ValueError("a race needs at least one optimizer, got none")
    labels = [optimizer.label for optimizer in optimizers]
    if len(set(labels)) < len(labels):
        raise ValueError(f"every optimizer needs a label of its own, got {', '.join(labels)}; set label=...")
    arguments.real("threshold", threshold, above=0, what="a loss")
    models.MLP(hidden, activation, seed=0)                  # says what is wrong with the net
    if not isinstance(device, str) or not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise ValueError(f"device must be cpu or cuda, got {arguments.shown(device)}")
    if device != "cpu" and not torch.cuda.is_available():
        raise ValueError('device="cuda" needs a GPU that PyTorch can use, and there is none here; leave it out')
    if (x is None) != (y is None):
        raise ValueError("give both x and y, or neither for the four corners")
    x, y = data.corners() if x is None else (x, y)
    x = data.points(x, columns=2)
    y = _targets(y, len(x), loss)[:, 0]
    say(data.label_notes(y))                                # an MLP ends in a sigmoid
    return x, y


def _settings(losses, epochs, loss, batch_size, seed):
    """Check the settings of a training; return epochs, batch_size and seed as ints."""
    arguments.one_of("loss", loss, losses)
    epochs = arguments.whole("epochs", epochs, 1, MOST_EPOCHS)
    batch_size = None if batch_size is None else arguments.whole("batch_size", batch_size, 1)
    return epochs, batch_size, models.checked_seed(seed)
