"""A playground's points, number for number those of points.js: corners, clouds drawn from a seed, or one's own."""
import math

import numpy as np

SQUARE = ((0, 0), (0, 1), (1, 0), (1, 1))
CORNERS = {"corners": (0, 1, 1, 0), "and": (0, 0, 0, 1), "or": (0, 1, 1, 1)}        # labels
LONGEST = 26        # numbers drawn for a point, at most


def points(of: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return x, y to train on and x, y held back for validation, of the `data` of a state.

    x : float64 (n, 2).  y : float64 (n,).  A cloud's last points are held back, as many as its share says.
    """
    rows, kept = of["points"], len(of["points"])
    if of["name"] in CORNERS:
        rows, kept = [(*corner, label) for corner, label in zip(SQUARE, CORNERS[of["name"]], strict=True)], 4
    elif of["name"] in CLOUDS:
        draws = _Draws(of["seed"], of["count"])
        rows = [CLOUDS[of["name"]](i, draws, of["noise"]) for i in range(of["count"])]
        rows = [(_in_square(x1), _in_square(x2), label) for x1, x2, label in rows]
        kept = of["count"] - math.floor(of["count"] * of["validation"])
    table = np.array(rows, np.float64).reshape(-1, 3)
    return table[:kept, :2], table[:kept, 2], table[kept:, :2], table[kept:, 2]


class _Draws:
    """Numbers of a Mersenne Twister, as points.js draws them."""

    def __init__(self, seed, count):
        bits = np.random.RandomState(seed).randint(0, 2**32, LONGEST * count, dtype=np.uint32)
        self.numbers = iter((bits / 2**32).tolist())

    def uniform(self):
        return next(self.numbers)

    def normal(self):
        """Nearly normal: twelve uniform draws less 6, added one by one, so that all last digits agree."""
        total = -6.0
        for _ in range(12):
            total += self.uniform()
        return total


def _in_square(x):
    """Bring a number outside 0..1 back as by a mirror at each end, and round it to six decimals."""
    x = abs(x)
    if x > 1:
        x = max(0.0, 2 - x)
    return math.floor(x * 1e6 + 0.5) / 1e6


def _noisy(i, draws, noise):
    x1, x2 = SQUARE[i % 4]
    return x1 + noise * draws.normal(), x2 + noise * draws.normal(), int(x1 != x2)


def _circle(i, draws, noise):
    """A disc, and a ring around it."""
    label, angle, u = i % 2, 2 * math.pi * draws.uniform(), draws.uniform()
    return _around(0.22 * math.sqrt(u) if label else 0.32 + 0.13 * u, angle, label, draws, noise / 4)


def _moons(i, draws, noise):
    """Two half circles, each with an end in the other's bay."""
    label, angle = i % 2, math.pi * draws.uniform()
    x1 = (0.62 if label else 0.38) + 0.26 * math.cos(angle)
    x2 = (0.58 if label else 0.42) + (-1 if label else 1) * 0.26 * math.sin(angle)
    return x1 + noise / 4 * draws.normal(), x2 + noise / 4 * draws.normal(), label


def _spiral(i, draws, noise):
    """Two arms of one and a quarter turns."""
    label, along = i % 2, draws.uniform()
    return _around(0.04 + 0.42 * along, 2.5 * math.pi * along + math.pi * label, label, draws, noise / 6)


def _around(radius, angle, label, draws, noise):
    return (0.5 + radius * math.cos(angle) + noise * draws.normal(),
            0.5 + radius * math.sin(angle) + noise * draws.normal(), label)


CLOUDS = {"noisy": _noisy, "circle": _circle, "moons": _moons, "spiral": _spiral}
