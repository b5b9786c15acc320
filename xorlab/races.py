"""What a race of many starts found: shares with intervals, epochs to solve, plateaus."""
from dataclasses import dataclass

import numpy as np

from xorlab import arguments, data
from xorlab.optimizers import Optimizer
from xorlab.tables import Table, Tabular

SOLVED = 0.01       # an MSE below this puts every corner within sqrt(4 * 0.01) = 0.2 of its label
MISSED = 0.2        # a corner whose output is farther than this from its label is missed
MOST_TRIALS = 2**53 # whole numbers that float64 tells apart
GAP = 0.01          # losses farther apart than this belong to different plateaus
PLATEAUS = ("loss", "starts", "corners missed", "corners look alike", "flat units, mean")
CORNERS = ("00", "01", "10", "11")


@dataclass(frozen=True, repr=False)
class Entry:
    """One optimizer's starts. Arrays have one number a start, in the order of `seeds`.

    epochs : epochs done, fewer than asked for if the race was interrupted.
    losses : final losses on the training data.  all_right : whether every training point has the right class.
    seen, curve : epochs (k,) at which losses were written down, and those losses (k, starts).
    corner_outputs : (4, starts) outputs at the corners 00 01 10 11.
    merged : whether the hidden layer gives two corners of different labels (nearly) the same activations.
    flat_units : hidden units of the last layer whose activation has (nearly) no slope at any corner.
    """
    optimizer: Optimizer
    seeds: np.ndarray
    epochs: int
    losses: np.ndarray
    all_right: np.ndarray
    seen: np.ndarray
    curve: np.ndarray
    corner_outputs: np.ndarray
    merged: np.ndarray
    flat_units: np.ndarray
    threshold: float

    @property
    def label(self):
        return self.optimizer.label

    @property
    def solved(self):
        """Which starts are solved: every point in the right class and a loss below the threshold."""
        return self.all_right & (self.losses < self.threshold)

    @property
    def share(self):
        """Share of starts solved."""
        return float(self.solved.mean())

    @property
    def interval(self):
        """The 95 % Wilson interval of the share, (low, high)."""
        return wilson(int(self.solved.sum()), len(self.seeds))

    @property
    def diverged(self):
        """Which starts have a loss that is NaN or infinite."""
        return ~np.isfinite(self.losses)

    @property
    def epochs_to_solve(self):
        """Epoch from which on the loss stays below the threshold, to the resolution of `seen`; inf if unsolved."""
        above = ~(self.curve < self.threshold)                      # NaN counts as above
        last_above = len(above) - 1 - above[::-1].argmax(axis=0)
        first_below = np.where(above.any(axis=0), last_above + 1, 0)
        epochs = self.seen[np.minimum(first_below, len(self.seen) - 1)].astype(float)
        return np.where(self.solved, epochs, np.inf)

    @property
    def best(self):
        """Seed of the start with the smallest final loss, diverged ones last."""
        return int(self.seeds[np.argmin(np.where(self.diverged, np.inf, self.losses))])

    @property
    def worst(self):
        """Seed of the start with the largest final loss; a diverged one, if there is any."""
        return int(self.seeds[np.argmax(self.losses)])         # which takes NaN for the largest

    def plateaus(self):
        """Group the starts that are not solved by their final loss and return a Table that names the groups."""
        left = np.flatnonzero(~self.solved & ~self.diverged)
        left = left[np.argsort(self.losses[left])]
        cuts = np.flatnonzero(np.diff(self.losses[left]) > GAP) + 1
        rows = [self._plateau(group) for group in np.split(left, cuts) if len(group)]
        if self.diverged.any():
            rows.append(("NaN or infinite", f"{self.diverged.sum():,}", "-", "-", "-"))
        return Table(PLATEAUS, tuple(rows))

    def _plateau(self, group):
        y = data.corners()[1][:, None]
        missed = np.abs(self.corner_outputs[:, group] - y) > MISSED
        patterns, counts = np.unique(missed, axis=1, return_counts=True)
        named = ["+".join(np.array(CORNERS)[p]) or "none" for p in patterns.T[np.argsort(-counts)]]
        return (f"{self.losses[group].mean():.3f}", f"{len(group):,}", ", ".join(named[:4]),
                f"{self.merged[group].mean():.0%}", f"{self.flat_units[group].mean():.1f}")


@dataclass(frozen=True, repr=False)
class Race(Tabular):
    """The entries of a race, in the order given, and the settings that all of them share.

    settings : keyword arguments of training.race besides the optimizers.  interrupted : stopped early by hand.
    """
    entries: tuple
    settings: dict
    interrupted: bool = False

    def __getitem__(self, label):
        """Return the entry with this label."""
        for entry in self.entries:
            if isinstance(label, str) and entry.label == label:
                return entry
        raise KeyError(f"no entry {arguments.shown(label)}; there are "
                       f"{', '.join(entry.label for entry in self.entries)}")

    def table(self):
        header = ("optimizer", "starts", "epochs", "solved", "95 % interval", "epochs to solve", "diverged")
        return Table(header, tuple(map(_row, self.entries)))

    def plateaus(self):
        """Return every entry's `plateaus()` in one Table, the optimizer before each row."""
        rows = ((entry.label, *row) for entry in self.entries for row in entry.plateaus().rows)
        return Table(("optimizer", *PLATEAUS), tuple(rows))


def _row(entry):
    low, high = entry.interval
    if entry.solved.any():
        early, middle, late = np.percentile(entry.epochs_to_solve[entry.solved], [25, 50, 75])
        needed = f"{middle:,.0f} ({early:,.0f} to {late:,.0f})"
    else:
        needed = "-"
    return (entry.label, f"{len(entry.seeds):,}", f"{entry.epochs:,}", f"{entry.share:.1%}",
            f"{low:.1%} to {high:.1%}", needed, f"{entry.diverged.sum():,}")


def wilson(successes, n, z=1.96):
    """Return the Wilson score interval (low, high) of a share: the shares that would make what was seen likely.

    successes : 0..n.  n : trials (> 0).  z : 1.96 for 95 %.  Source: E. B. Wilson, JASA 22 (1927), 209-212.
    """
    successes, n = arguments.whole("successes", successes, 0), arguments.whole("n", n, 1, MOST_TRIALS)
    z = arguments.real("z", z, least=0, most=1e6)
    if successes > n:
        raise ValueError(f"need 0 <= successes <= n and n > 0, got {successes} of {n}")
    p = successes / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))
