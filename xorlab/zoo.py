"""A small zoo of nets that read handwritten digits: dense1 to dense4, named for their number of layers."""
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from xorlab import arguments, data, files, training
from xorlab.models import REFERENCES, seeded, take_weights

HIDDEN = {"dense1": (), "dense2": (32,), "dense3": (32, 32), "dense4": (32, 32, 32)}
EPOCHS, RATE, BATCH = 40, 0.003, 64
MOST_MADE = 250_000             # of digits; each takes about a kB while it is made
PAPER, NOISE = 0.0, 0.2         # of made digits: what comes in where one moves out; standard deviation
MOVES = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right]


def net(name, *, seed=0):
    """Return an untrained net of the zoo: a Sequential from float32 (n, 64) to scores (n, 10), ReLU between layers.

    name : "dense1" to "dense4".  seed : of the initial weights.  Raises ValueError for another name.
    """
    arguments.one_of("a net of the zoo", name, HIDDEN)
    widths = (64, *HIDDEN[name], 10)
    with seeded(seed):
        layers = [part for i, o in zip(widths, widths[1:], strict=False) for part in (nn.Linear(i, o), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def trained(name, *, seed=0):
    """Return a net of the zoo after training on the digits' training part, in eval mode.

    seed : of the initial weights and of the order of mini-batches.
    dense4 with seed 3, whose error report lesson 09 shows, is read from a file that `keep` wrote; a test trains it
    again. Every other net is trained now.
    """
    untrained, kept = net(name, seed=seed), _file_of(name, seed)
    return _read(untrained, kept) if kept.is_file() else train(name, seed=seed)


def train(name, *, seed=0):
    """Train a net of the zoo on the digits' training part and return it, as `trained`, but never from a file."""
    model = net(name, seed=seed)
    x, y, _, _ = digits()
    training.fit(model, x, y, lr=RATE, epochs=EPOCHS, batch_size=BATCH, seed=seed, loss="cross_entropy")
    return model


def keep(name, *, seed=0):
    """Train a net of the zoo and write its weights to where `trained` finds them; return the path."""
    weights = {key: value.numpy() for key, value in train(name, seed=seed).state_dict().items()}
    with files.replacing(_file_of(name, seed)) as made, open(made, "wb") as file:   # a name would get .npz added
        np.savez(file, **weights)
    return _file_of(name, seed)


def _file_of(name, seed):
    return REFERENCES / f"{name}-seed-{seed}.npz"


def _read(model, path):
    weights = files.read_arrays(path, "weights")
    if not isinstance(weights, dict):
        raise ValueError(f"{path} holds one array, and weights are an array for each name")
    with files.reading(path, "a file of weights"):      # of types that PyTorch has
        tensors = {key: torch.from_numpy(value) for key, value in weights.items()}
    return take_weights(model, tensors, path)


def digits():
    """Return the digits as rows of pixels: (train x float32 (n, 64), train y int64 (n,), test x, test y)."""
    pictures = data.images("digits")
    flat = [np.ascontiguousarray(x.reshape(len(x), -1)) for x in (pictures.train_x, pictures.test_x)]
    return flat[0], pictures.train_y, flat[1], pictures.test_y


@dataclass(frozen=True, eq=False)
class MadeDigits:
    """Digits made of the test pictures, which no net was trained on.

    x : float32 (n, 64) in 0..1.  y : int64 (n,).  noisy : bool (n,), whether it has noise, or else was moved.
    """
    x: np.ndarray
    y: np.ndarray
    noisy: np.ndarray


def made_digits(count, *, seed=0):
    """Make digits of the test pictures and return them as MadeDigits: moved and noisy ones in turn.

    A moved one is shifted by one pixel along its rows, its columns or both; what leaves is lost, paper comes in. A
    noisy one has NOISE, a normal standard deviation, on every pixel, cut off at 0 and 1. Each is made of a random
    test picture.
    count : how many (> 0).  seed : int.  The first m of any count are the m that `made_digits(m)` makes.
    """
    count, seed = arguments.whole("the number of made digits", count, 1, MOST_MADE), data.checked_seed(seed)
    _, _, x, y = digits()
    pictures = x.reshape(-1, 8, 8)
    # a generator for each purpose, so that a longer draw begins with the shorter one
    which, way, noise = (np.random.default_rng((seed, purpose)) for purpose in range(3))
    source, noisy = which.integers(0, len(x), count), np.arange(count) % 2 == 1
    made = pictures[source]
    moves = way.integers(0, len(MOVES), count)
    for move, (down, right) in enumerate(MOVES):
        rows = ~noisy & (moves == move)
        made[rows] = _moved(made[rows], down, right)
    scatter = noise.normal(scale=NOISE, size=(np.count_nonzero(noisy), 8, 8))
    made[noisy] = np.clip(made[noisy] + scatter, 0, 1)
    return MadeDigits(made.reshape(count, -1), y[source], noisy)


def _moved(pictures, down, right):
    """Shift pictures (n, 8, 8) by a pixel or none each way: of paper all round, cut out the part one further up."""
    wide = np.pad(pictures, ((0, 0), (1, 1), (1, 1)), constant_values=PAPER)
    return wide[:, 1 - down: 9 - down, 1 - right: 9 - right]
