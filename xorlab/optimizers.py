"""Optimizers by name: PyTorch's own, with the options each is usually given.

PyTorch is imported where one is made: plots import this module, and most draw without it.
"""
from dataclasses import dataclass, field

from xorlab import arguments

MOST = 3e38                     # about float32's largest number
NUMBERS = ("momentum", "dampening", "alpha", "weight_decay", "eps", "lr_decay", "initial_accumulator_value")
SWITCHES = ("nesterov", "amsgrad", "centered", "maximize", "capturable", "differentiable")
# name -> (the name of PyTorch's class, its usual options besides lr)
OPTIMIZERS = {
    "sgd": ("SGD", {}),
    "momentum": ("SGD", {"momentum": 0.9}),
    "nesterov": ("SGD", {"momentum": 0.9, "nesterov": True}),
    "rmsprop": ("RMSprop", {}),
    "adagrad": ("Adagrad", {}),
    "adam": ("Adam", {}),
    "adamw": ("AdamW", {}),
}
FUSED = ("SGD", "Adagrad", "Adam", "AdamW")     # one kernel a step


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
        lr = checked_rate(lr)
        if label is not None:
            arguments.text("label", label)
        options = {key: _option(key, value) for key, value in options.items()}
        extra = "".join(f", {key} {value}" for key, value in options.items())
        for key, value in (("name", name), ("lr", lr), ("options", options),
                           ("label", label or f"{name}, rate {lr:g}{extra}")):
            object.__setattr__(self, key, value)
        import torch

        try:
            self.make([torch.zeros(1, requires_grad=True)])
        except ValueError as error:                     # PyTorch's own bounds, e.g. Nesterov without momentum
            raise ValueError(f"{name} does not take these options: {str(error).splitlines()[0]}") from None
        except TypeError:
            raise ValueError(f"{name} does not take all of the options {', '.join(options)}; "
                             f"see torch.optim.{OPTIMIZERS[name][0]}") from None

    def make(self, parameters, fused=False):
        """Make PyTorch's optimizer for these parameters; fused asks for its one-kernel form where there is one.

        The other form takes a call for all parameters at once: the same numbers as with one call for each, sooner.
        """
        import torch

        kind, usual = OPTIMIZERS[self.name]
        fused = arguments.switch("fused", fused)
        parameters = arguments.several("parameters", parameters, "tensors, such as model.parameters()", torch.Tensor)
        if not parameters:
            raise ValueError("an optimizer needs at least one parameter to train, got none")
        form = {"fused" if fused else "foreach": True} if kind in FUSED else {}
        if self.options.get("differentiable"):          # has neither
            form = {}
        return getattr(torch.optim, kind)(parameters, lr=self.lr, **{**usual, **self.options, **form})


def checked_rate(lr) -> float:
    """Return a learning rate as a float.  Raises ValueError unless it is a positive number that float32 can hold."""
    try:
        return arguments.real("lr", lr, above=0, most=MOST, what="a positive number")
    except ValueError:
        raise ValueError(f"lr must be a positive number, got {arguments.shown(lr)}") from None


def _option(name, value):
    """Return an option as PyTorch takes it.  Raises ValueError for a number that is NaN, infinite or below 0."""
    if name == "betas":
        betas = arguments.several(name, value, "two numbers")
        if len(betas) != 2:
            raise ValueError(f"betas must be two numbers, got {arguments.shown(value)}")
        return tuple(arguments.real("betas", beta, least=0, below=1) for beta in betas)
    if name in SWITCHES:
        return arguments.switch(name, value)
    if name in NUMBERS:
        return arguments.real(name, value, least=0, most=MOST)
    return value                                        # PyTorch knows the others, or does not


def as_optimizer(given, lr=None):
    """Return an Optimizer for a name and a rate (None means 0.1), or the Optimizer itself, which has its own rate."""
    if not isinstance(given, Optimizer):
        return Optimizer(given, 0.1 if lr is None else lr)
    if lr is not None:
        raise ValueError(f"{given.label} has its own rate, {given.lr:g}, and lr={arguments.shown(lr)} was given too; "
                         "leave lr out or set it in the Optimizer")
    return given
