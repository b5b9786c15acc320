"""Training: one net at a time, in plain PyTorch."""
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from xorlab import data
from xorlab.streams import progress

# `momentum` is plain SGD with the usual 0.9; each name maps to (optimizer class, options besides lr).
OPTIMIZERS = {
    "sgd": (torch.optim.SGD, {}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
}
LOSSES = {"mse": nn.functional.mse_loss, "bce": nn.functional.binary_cross_entropy}
SOLVED = 0.01       # an MSE below this puts every corner within sqrt(4 * 0.01) = 0.2 of its label


@dataclass(frozen=True)
class History:
    """What a training run did.

    losses : float32 (epochs,), the loss on all the data before each epoch's step (of each epoch's
        mini-batches on average, where there are several).
    final_loss : the loss after the last step.
    """
    losses: np.ndarray
    final_loss: float
    optimizer: str
    lr: float
    loss: str

    def __str__(self):
        return (f"{self.optimizer} at rate {self.lr:g}, {len(self.losses):,} epochs: "
                f"{self.loss} from {self.losses[0]:.3f} to {self.final_loss:.2g}")


def fit(model, x, y, *, optimizer="adam", lr=0.1, epochs=10_000, seed=0, loss="mse", batch_size=None,
        watch=None):
    """Train a model in place and return its History.

    model : a module from (n, 2) to probabilities (n, 1), left in eval mode.
    x : (n, 2) points.  y : (n,) labels.
    optimizer : a name in OPTIMIZERS.  lr : its learning rate (> 0).  epochs : passes over the data (> 0).
    loss : "mse" or "bce".  batch_size : points a step; None means all of them (full batch).
    seed : orders the mini-batches; it has no effect on full batches or initial weights.
    watch : a function called as watch(epoch, model) before each epoch's steps, e.g. to keep frames of a film.
    Raises ValueError for settings outside these, and FloatingPointError if the loss becomes NaN.
    """
    _check_settings(optimizer, lr, epochs, loss, batch_size)
    x = torch.from_numpy(data.points(x, columns=2))
    y = torch.from_numpy(data.labels(y, len(x)))[:, None]
    kind, options = OPTIMIZERS[optimizer]
    stepper = kind(model.parameters(), lr=lr, **options)
    measure = LOSSES[loss]
    order = torch.Generator().manual_seed(seed)
    losses = np.empty(epochs, np.float32)
    model.train()
    for epoch in progress(epochs, f"{optimizer}, epochs"):
        if watch is not None:
            watch(epoch, model)
        try:
            losses[epoch] = _one_epoch(model, x, y, stepper, measure, batch_size, order)
        except FloatingPointError as error:
            raise FloatingPointError(
                f"{error} in epoch {epoch:,} of {optimizer} at rate {lr:g}; try a lower rate") from None
    model.eval()
    with torch.no_grad():
        final_loss = measure(model(x), y).item()
    return History(losses, final_loss, optimizer, lr, loss)


def _one_epoch(model, x, y, stepper, measure, batch_size, order):
    """Take one step a mini-batch; return the mean loss over the points before their steps."""
    if batch_size is None or batch_size >= len(x):
        batches = [slice(None)]
    else:
        batches = torch.randperm(len(x), generator=order).split(batch_size)
    total = 0.0
    for batch in batches:
        stepper.zero_grad()
        outputs = model(x[batch])
        _check_outputs(outputs, y[batch])
        value = measure(outputs, y[batch])
        value.backward()
        stepper.step()
        total += value.item() * len(outputs)
    return total / len(x)


def _check_outputs(outputs, y):
    if outputs.shape != y.shape:          # PyTorch would broadcast (n,) against (n, 1) to (n, n)
        raise ValueError(f"the model must return shape {tuple(y.shape)}, got {tuple(outputs.shape)}")
    if not outputs.isfinite().all():      # here, because the BCE loss stops at NaN with a riddle
        raise FloatingPointError("the model's output became NaN or infinite")


def _check_settings(optimizer, lr, epochs, loss, batch_size):
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {optimizer!r}")
    if loss not in LOSSES:
        raise ValueError(f"loss must be one of {', '.join(LOSSES)}, got {loss!r}")
    if not (np.isfinite(lr) and lr > 0):
        raise ValueError(f"lr must be a positive number, got {lr}")
    for name, count in (("epochs", epochs), ("batch_size", 1 if batch_size is None else batch_size)):
        if not (isinstance(count, (int, np.integer)) and count > 0):
            raise ValueError(f"{name} must be a positive whole number, got {count!r}")
