"""A study of transfer: features learned on ImageNet against untrained, plain and own ones, from a few pictures each.

The results are committed; `python benchmarks/transfer.py --write` makes them again.
"""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from xorlab import arguments, files, photos, predictors
from xorlab.tables import Table, Tabular

RESULTS = Path(__file__).parent / "references" / "transfer.json"
PICTURES = {"textures": photos.textures, "faces": photos.faces}
PLAIN = {"pixels": photos.pixels, "histogram": photos.histogram, "local patterns": photos.local_patterns}
KINDS = (*PLAIN, "untrained", "untrained, normalized", "from scratch", "ImageNet")
PER_CLASS = (1, 2, 5, 20)
DEPTHS = (1, 2, 3, 5, 8, 11, 16)        # blocks kept, each tried with 5 pictures per class
RUNS, SCRATCH_RUNS = 20, 10             # a run: one draw of pictures, and one seed of random weights
STRENGTHS = (0.001, 0.01, 0.1, 1, 10, 100)      # of logistic regression: each kind gets the one that suits it best


@dataclass(frozen=True, eq=False)
class Result:
    """How many test pictures heads get right that learned from a few pictures each.

    pictures : a name in PICTURES.  kind : of the features, a name in KINDS; or "ImageNet, int8", the same
        heads and features in a file.
    per_class : pictures of each class to learn from.  blocks : of the network, 0 where there is none.
    C : the best strength of logistic regression, None for what is trained from scratch.
    shares : float64 (runs,), right in each run.  same_class : float64 (runs,), for int8 the share of the test pictures
    that get the class float gives them; None for the others.
    """
    pictures: str
    kind: str
    per_class: int
    blocks: int
    C: float | None
    shares: np.ndarray
    same_class: np.ndarray | None = None


class Study(Tabular):
    """A list of Results, to be asked for single ones, leads and a table."""

    def __init__(self, results: list[Result]):
        self.results = results

    def of(self, pictures: str, kind: str, per_class: int = 5, blocks: int = photos.BLOCKS) -> Result:
        """Return one Result; `blocks` does not count for kinds without a network.  Raises ValueError if it
        is not here.
        """
        for name, value in (("pictures", pictures), ("kind", kind)):
            arguments.text(name, value)
        per_class, blocks = arguments.whole("per_class", per_class, 1), arguments.whole("blocks", blocks, 0)
        for result in self.results:
            if (result.pictures, result.kind, result.per_class) == (pictures, kind, per_class) and (
                    result.blocks in (0, blocks)):
                return result
        raise ValueError(f"the study has no {kind!r} on {pictures!r} with {per_class} per class and {blocks} blocks; "
                         f"kinds are {', '.join(KINDS)}")

    def lead(self, pictures: str, kind: str, per_class: int = 5) -> tuple[float, float, float]:
        """Return by how much ImageNet's features lead this kind: photos.lead over the runs that both have."""
        first, second = (self.of(pictures, name, per_class).shares for name in ("ImageNet", kind))
        runs = min(len(first), len(second))
        return photos.lead(first[:runs], second[:runs])

    def table(self) -> Table:
        """Return the mean shares right of every kind, and with 5 per class the lead of ImageNet's features in points.
        """
        tried = [name for name in PICTURES if any(result.pictures == name for result in self.results)]
        rows = []
        for pictures in tried:
            for kind in KINDS:
                means = (f"{self.of(pictures, kind, n).shares.mean():.1%}" for n in PER_CLASS)
                ahead = "-" if kind == "ImageNet" else "{:.1f} ({:.1f} to {:.1f})".format(
                    *(100 * value for value in self.lead(pictures, kind)))
                rows.append((pictures, kind, *means, ahead))
        return Table(("pictures", "features", *(f"{n} per class" for n in PER_CLASS), "ImageNet leads at 5, points"),
                     tuple(rows), left=(0, 1))


def run(pictures: str, runs: int = RUNS, scratch_runs: int = SCRATCH_RUNS, *, per_class: tuple = PER_CLASS,
        depths: tuple = DEPTHS, kinds: tuple = KINDS) -> Study:
    """Measure a set of pictures and return its Study.

    pictures : a name in PICTURES.  runs, scratch_runs : how many draws and seeds; run i has seed i.
    per_class, depths, kinds : what to try.  The whole takes half an hour on one core.
    """
    if pictures not in PICTURES:
        raise ValueError(f"pictures must be one of {', '.join(PICTURES)}, got {pictures!r}")
    images, results = PICTURES[pictures](), []
    depths = tuple(sorted({*depths, photos.BLOCKS}))
    for kind in kinds:
        if kind == "from scratch":
            results += [Result(pictures, kind, n, photos.BLOCKS, None, _from_scratch(images, n, scratch_runs))
                        for n in per_class]
            continue
        found = _features(kind, images, runs, depths)
        for blocks in found:
            tried = per_class if blocks in (0, photos.BLOCKS) else (5,)
            results += [Result(pictures, kind, n, blocks, *_best(found[blocks], images, n)) for n in tried]
    measured = Study(results)
    if "ImageNet" in kinds and 5 in per_class:
        results.append(_in_int8(pictures, images, runs, measured.of(pictures, "ImageNet").C))
    return measured


def _features(kind, images, runs, depths):
    """Return {blocks: a list of (train, test) features, one pair a run}; without a network blocks is 0."""
    both = images.train_x, images.test_x
    if kind in PLAIN:
        return {0: [tuple(map(PLAIN[kind], both))] * runs}
    if kind == "ImageNet":
        pair = [by_depth(photos.backbone(blocks=max(depths)), x, depths) for x in both]
        return {blocks: [tuple(found[blocks] for found in pair)] * runs for blocks in depths}
    nets = (photos.backbone("random", seed, blocks=max(depths)) for seed in range(runs))
    if kind == "untrained, normalized":
        nets = (photos.normalized(net, images.train_x[::4]) for net in nets)
    pairs = [[by_depth(net, x, depths) for x in both] for net in nets]
    return {blocks: [tuple(found[blocks] for found in pair) for pair in pairs] for blocks in depths}


def by_depth(net, x: np.ndarray, depths: tuple) -> dict[int, np.ndarray]:
    """Return {blocks: features (n, channels)}: what photos.features gives a backbone of so many blocks, in one pass.

    net : a backbone of at least as many blocks as the largest of `depths`.
    """
    depths = [arguments.whole("a depth", blocks, 1, 16) for blocks in arguments.several("depths", depths, "numbers")]
    photos.checked_backbone(net)
    if max(depths, default=0) > len(net) - 3 and not (max(depths) == 16 and len(net) == 22):
        raise ValueError(f"this backbone has {len(net) - 3} blocks, got depths {arguments.shown(depths)}")
    found = {}

    def keep(blocks):
        return lambda part, given, maps: found.setdefault(blocks, []).append(maps.mean((2, 3)).numpy())

    last = {blocks: net[2 + blocks] if blocks < 16 else net[-1] for blocks in depths}
    hooks = [part.register_forward_hook(keep(blocks)) for blocks, part in last.items()]
    photos.features(net, x)
    for hook in hooks:
        hook.remove()
    return {blocks: np.concatenate(found[blocks]) for blocks in depths}


def _best(pairs, images, per_class):
    """Return the C of STRENGTHS whose heads get most right on average, and their shares (runs,)."""
    def shares(C):
        return np.concatenate([photos.few_shot(train, images.train_y, test, images.test_y, per_class, 1, seed, C)
                               for seed, (train, test) in enumerate(pairs)])

    return max(((C, shares(C)) for C in STRENGTHS), key=lambda found: found[1].mean())


def _from_scratch(images, per_class, runs):
    shares = []
    for seed in range(runs):
        few = photos.few_of_each(images.train_y, per_class, seed)
        net, head = photos.from_scratch(images.train_x[few], images.train_y[few], seed)
        shares.append(np.mean(head(photos.features(net, images.test_x)).argmax(axis=1) == images.test_y))
    return np.array(shares)


def _in_int8(pictures, images, runs, C, per_class=5):
    """Convert ImageNet's features with the head of each run to int8, calibrated on the pictures it learned from."""
    net = photos.backbone()
    train, test = (photos.features(net, x) for x in (images.train_x, images.test_x))
    large, shares, same = photos.enlarged(images.test_x), [], []
    for seed in range(runs):
        few = photos.few_of_each(images.train_y, per_class, seed)
        head = photos.head(train[few], images.train_y[few], C)
        with TemporaryDirectory(ignore_cleanup_errors=True) as folder:      # Windows keeps a file that is in use
            calibration = photos.enlarged(images.train_x[few])
            path = photos.to_tflite(net, head, Path(folder) / "net.tflite", "int8", calibration)
            classes = predictors.from_tflite(path)(large).argmax(axis=1)
        shares.append(np.mean(classes == images.test_y))
        same.append(np.mean(classes == head(test).argmax(axis=1)))
    return Result(pictures, "ImageNet, int8", per_class, photos.BLOCKS, C, np.array(shares), np.array(same))


def study() -> Study:
    """Return the committed Study of both sets of pictures; a test measures a part of it again.

    Its untrained networks were tried with strengths from 0.01 up; with 5 blocks their best ones
    lie above that, but for one face of each kind, where all strengths do alike.
    """
    arrays = ("shares", "same_class")
    return Study([Result(**{name: np.array(value) if name in arrays else value for name, value in row.items()})
                  for row in files.read_rows(RESULTS, "study")])


def write(measured: Study) -> None:
    """Store a Study as the committed one, in the place of what it had of the same pictures."""
    new = {result.pictures for result in measured.results}
    kept = [result for result in study().results if result.pictures not in new] if RESULTS.exists() else []
    results = sorted(kept + measured.results, key=lambda result: list(PICTURES).index(result.pictures))
    files.write_rows(RESULTS, map(_as_row, results))


def _as_row(result):
    return {name: [round(float(number), 4) for number in value] if isinstance(value, np.ndarray) else value
            for name, value in vars(result).items() if value is not None or name == "C"}
