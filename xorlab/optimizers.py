"""Optimizers by name: PyTorch's own, with the options each is usually given."""
from dataclasses import dataclass, field

import numpy as np
import torch

# name -> (PyTorch's class, its usual options besides lr)
OPTIMIZERS = {
    "sgd": (torch.optim.SGD, {}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "adagrad": (torch.optim.Adagrad, {}),
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
}
FUSED = (torch.optim.SGD, torch.optim.Adagrad, torch.optim.Adam, torch.optim.AdamW)    # one kernel a step


@dataclass(frozen=True, init=False)
class Optimizer:
    """An optimizer, its learning rate, and further options of PyTorch's class, e.g. weight_decay=0.01.

    name : a name in OPTIMIZERS.  lr : learning rate (> 0).  label : what tables and plots call it.
    Raises ValueError for another name or rate, or an option that PyTorch's class does not take.
    """
    name: str
    lr: float
    label: str
    options: dict = field(hash=False)

    def __init__(self, name, lr=0.1, label=None, **options):
        if not isinstance(name, str) or name not in OPTIMIZERS:
            given = repr(name) if isinstance(name, str) else getattr(name, "__name__", type(name).__name__)
            raise ValueError(f"optimizer must be an Optimizer or one of {', '.join(OPTIMIZERS)}, got {given}")
        if isinstance(lr, bool) or not isinstance(lr, (int, float, np.number)) or not (np.isfinite(lr) and lr > 0):
            raise ValueError(f"lr must be a positive number, got {lr!r}")
        extra = "".join(f", {key} {value}" for key, value in options.items())
        for key, value in (("name", name), ("lr", float(lr)), ("options", options),
                           ("label", label or f"{name}, rate {lr:g}{extra}")):
            object.__setattr__(self, key, value)
        try:
            self.make([torch.zeros(1, requires_grad=True)])
        except TypeError:
            raise ValueError(f"{name} does not take all of the options {', '.join(options)}; "
                             f"see torch.optim.{OPTIMIZERS[name][0].__name__}") from None

    def make(self, parameters, fused=False):
        """Make PyTorch's optimizer for these parameters; fused asks for its one-kernel form where there is one."""
        kind, usual = OPTIMIZERS[self.name]
        form = {"fused": True} if fused and kind in FUSED else {}
        return kind(parameters, lr=self.lr, **{**usual, **self.options, **form})


def as_optimizer(given, lr=None):
    """Return an Optimizer for a name and a rate (None means 0.1), or the Optimizer itself, which has its own rate."""
    if not isinstance(given, Optimizer):
        return Optimizer(given, 0.1 if lr is None else lr)
    if lr is not None:
        raise ValueError(f"{given.label} has its own rate, {given.lr:g}, and lr={lr!r} was given too; "
                         "leave lr out or set it in the Optimizer")
    return given
