"""A small zoo of nets that read handwritten digits: dense1 to dense4, named for their number of layers."""
import numpy as np
from torch import nn

from xorlab import data, training
from xorlab.models import seeded

HIDDEN = {"dense1": (), "dense2": (32,), "dense3": (32, 32), "dense4": (32, 32, 32)}
EPOCHS, RATE, BATCH = 40, 0.003, 64


def net(name, *, seed=0):
    """Return an untrained net of the zoo: a Sequential from float32 (n, 64) to scores (n, 10), ReLU between layers.

    name : "dense1" to "dense4".  seed : of the initial weights.  Raises ValueError for another name.
    """
    if name not in HIDDEN:
        raise ValueError(f"a net of the zoo must be one of {', '.join(HIDDEN)}, got {name!r}")
    widths = (64, *HIDDEN[name], 10)
    with seeded(seed):
        layers = [part for i, o in zip(widths, widths[1:], strict=False) for part in (nn.Linear(i, o), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def trained(name, *, seed=0):
    """Return a net of the zoo after training on the digits' training part, in eval mode.

    seed : of the initial weights and of the order of mini-batches.
    """
    model = net(name, seed=seed)
    x, y, _, _ = digits()
    training.fit(model, x, y, lr=RATE, epochs=EPOCHS, batch_size=BATCH, seed=seed, loss="cross_entropy")
    return model


def digits():
    """Return the digits as rows of pixels: (train x float32 (n, 64), train y int64 (n,), test x, test y)."""
    pictures = data.images("digits")
    flat = [np.ascontiguousarray(x.reshape(len(x), -1)) for x in (pictures.train_x, pictures.test_x)]
    return flat[0], pictures.train_y, flat[1], pictures.test_y
