"""Lesson 12, pictures: a convolution, a pooling, the picture a network doubts, a map in whole numbers, transfer."""
import functools

import numpy as np

from xorlab.exercises.exercise import Exercise, Wrong
from xorlab.exercises.judging import array, diagnosed, number, returned, run


def _shaped(value, shape, what):
    """Return a student's array of this shape as floats, or raise Wrong with what was asked for."""
    asked = f"{what}, {' x '.join(map(str, shape))} numbers"
    made = array(value, asked)
    if made.shape != shape:
        got = " x ".join(map(str, made.shape)) or "a single number"
        raise Wrong(f"This wants {asked}; you return {got}.")
    return made.astype(float)


# 12.1, a convolution

@functools.cache
def _views():
    """Return pairs of a picture and 3x3 weights, no two of which are equal."""
    from xorlab import data

    rng = np.random.default_rng(1)
    pictures = (data.photograph()[20:84, 60:124], rng.random((5, 9), np.float32), rng.random((3, 3), np.float32))
    return [(picture, rng.normal(size=(3, 3)).astype(np.float32)) for picture in pictures]


def _filtered(convolve):
    maps = []
    for picture, weights in _views():
        height, width = picture.shape
        made = array(returned(convolve, picture, weights), f"a map, {height - 2} x {width - 2} numbers")
        if made.shape == picture.shape:
            raise Wrong(f"No padding: in {height}x{width} pixels, 3x3 weights fit at {height - 2}x{width - 2} places. "
                        f"You return {height}x{width}.")
        maps.append(_shaped(made, (height - 2, width - 2), "a map"))
    return maps


def _in_a_row(arrays):
    return np.concatenate([array.ravel() for array in arrays])


def _hold(found, expected, identity, outcome, what):
    """Raise the Wrong of the first of a student's arrays that leaves the expected one.

    outcome : from an answer to such arrays.  what : of a place, for the sentence.
    """
    for got, true in zip(found, expected, strict=True):
        apart = ~np.isclose(got, true, rtol=1e-4, atol=1e-4)
        if apart.any():
            at = np.unravel_index(apart.argmax(), apart.shape)
            shown = f"At [{', '.join(map(str, at))}] {what} {true[at]:.4f}; yours is {got[at]:.4f}."
            raise diagnosed(BY_ID[identity], lambda answer: _in_a_row(outcome(answer)), _in_a_row(found), shown)


def judge_convolve(convolve):
    places = ((np.lib.stride_tricks.sliding_window_view(x.astype(float), (3, 3)), weights) for x, weights in _views())
    expected = [np.einsum("hwij,ij->hw", *pair) for pair in places]
    _hold(_filtered(convolve), expected, "12.1", _filtered, "the nine products add up to")
    return "On three pictures; the photograph's 64x64 pixels give 62x62 numbers, 34,596 products in all."


CONVOLVE = "def convolve(x, k):\n"
SIDES = "    h, w = x.shape\n"
SHIFTED = "    return sum({} * x[i:h - 2 + i, j:w - 2 + j] for i in range(3) for j in range(3))\n"


# 12.2, a pooling

@functools.cache
def _maps():
    """Return maps of even and of odd sides, below 0 too."""
    rng = np.random.default_rng(2)
    return [rng.normal(size=shape).astype(np.float32) for shape in ((8, 8, 3), (13, 13, 2), (4, 7, 1))]


def _halved(pooled):
    return [_shaped(returned(pooled, maps), (len(maps) // 2, maps.shape[1] // 2, maps.shape[2]),
                   f"maps of half the size from {' x '.join(map(str, maps.shape))}") for maps in _maps()]


def _blocks(maps):
    """Return the largest number of each 2x2 block, block by block."""
    largest = np.empty((len(maps) // 2, maps.shape[1] // 2, maps.shape[2]))
    for i, j in np.ndindex(largest.shape[:2]):
        largest[i, j] = maps[2 * i:2 * i + 2, 2 * j:2 * j + 2].max(axis=0).max(axis=0)
    return largest


def judge_pooled(pooled):
    _hold(_halved(pooled), map(_blocks, _maps()), "12.2", _halved, "the largest of the block is")
    return "On maps of 8x8, 13x13 and 4x7 numbers. Of four numbers one is kept, and each map stays a map."


POOLED = "def pooled(maps):\n"
EVEN = "    h, w, n = maps.shape\n"
BLOCKS = "    blocks = maps[:h // 2 * 2, :w // 2 * 2].reshape(h // 2, 2, w // 2, 2, n)\n"


# 12.3, the picture that a network doubts

@functools.cache
def _scores():
    """Return scores of 30 pictures and ten classes, many times."""
    rng = np.random.default_rng(3)
    return [rng.normal(scale=scale, size=(30, 10)).astype(np.float32) for scale in np.geomspace(0.5, 20, 40)]


def _picked(most_doubted):
    picked = []
    for scores in _scores():
        i = number(returned(most_doubted, scores), "the number of a picture from your function")
        if i not in range(len(scores)):
            raise Wrong(f"This wants the number of a picture, a whole one from 0 to {len(scores) - 1} here; you return "
                        f"{i:.3g}.")
        picked.append(i)
    return picked


def judge_most_doubted(most_doubted):
    found = _picked(most_doubted)
    for scores, got in zip(_scores(), found, strict=True):
        leads = [one - two for two, one in (sorted(map(float, row))[-2:] for row in scores)]
        least = min(range(len(leads)), key=leads.__getitem__)
        if got != least:
            shown = (f"Picture {least} has the smallest lead, {leads[least]:.3f}; you return picture {int(got)}, whose "
                     f"best score leads by {leads[int(got)]:.3f}.")
            raise diagnosed(BY_ID["12.3"], _picked, found, shown)
    return "On 40 sets of 30 pictures. A lead in scores needs no softmax."


DOUBTED = "def most_doubted(scores):\n"
SORTED = "    top = np.sort(scores, axis=1)\n"


# 12.4, a map in whole numbers

@functools.cache
def _quantized():
    """Return codes (8, 8), weights (32, 3, 3), biases (32,) and a zero point, as files hold them."""
    rng = np.random.default_rng(4)
    return [(rng.integers(-128, 128, (8, 8), np.int8), rng.integers(-127, 128, (32, 3, 3), np.int8),
             rng.integers(-9000, 9000, 32, np.int32), zero_point) for zero_point in (-128, 0, 17)]


def _sums(sums):
    return [_shaped(returned(sums, *case), (8, 8, 32), "sums") for case in _quantized()]


def _sum_at(q, weights, bias, zero_point, i, j):
    """Return one sum by Python's own whole numbers; outside of the picture is paper."""
    total = int(bias)
    for r, s in np.ndindex(3, 3):
        if 0 <= i + r - 1 < 8 and 0 <= j + s - 1 < 8:
            total += (int(q[i + r - 1, j + s - 1]) - zero_point) * int(weights[r, s])
    return total


@functools.cache
def _expected_sums():
    return [np.array([_sum_at(q, w[k], b[k], zx, i, j) for i, j, k in np.ndindex(8, 8, 32)]).reshape(8, 8, 32)
            for q, w, b, zx in _quantized()]


def judge_sums(sums):
    found = _sums(sums)
    for (*_, zero_point), expected, got in zip(_quantized(), _expected_sums(), found, strict=True):
        apart = got != expected
        if apart.any():
            at = np.unravel_index(apart.argmax(), apart.shape)
            shown = (f"With zero point {zero_point}, {apart.sum():,} of 2,048 sums are off: at "
                     f"[{', '.join(map(str, at))}] it's {expected[at]:,}, and yours is {got[at]:,.10g}.")
            raise diagnosed(BY_ID["12.4"], lambda f: _in_a_row(_sums(f)), _in_a_row(found), shown)
    return "Of three zero points, each of 2,048 sums to the last digit. Nothing is rounded before the sum is whole."


SUMS = "def sums(q, w, b, zx):\n"
PAPER = "    p = np.pad(q.astype(int) - zx, 1)\n"
PRODUCTS = ("    products = [p[i:i + 8, j:j + 8, None] * w[:, i, j] for i in range(3) for j in range(3)]\n")
ADDED = "    return b + sum(products)\n"


# 12.5, faces by an untrained network

def _per_cent(guess):
    share = number(guess, "a share in per cent, such as 50")
    if not 0 <= share <= 100:
        raise Wrong(f"A share is from 0 to 100 per cent, got {share:g}.")
    if 0 < share < 1:
        raise Wrong(f"This wants per cent: for {share:g} give {100 * share:g}.")
    return share


@functools.cache
def _faces():
    """Return the mean shares of faces right, in per cent: {features: share}, from the committed study."""
    from xorlab import transfer

    study = transfer.study()
    return {kind: 100 * study.of("faces", kind).shares.mean() for kind in ("pixels", "untrained", "ImageNet")}


def judge_untrained(guess):
    pixels, untrained, imagenet = _faces().values()
    if abs(guess - untrained) <= 4:
        return (f"{untrained:.0f} %, as a mean of 20 draws. ImageNet's photographs add {imagenet - untrained:.0f} "
                "points.")
    it_is = f"It's {untrained:.0f} %."
    if guess < 40:
        raise Wrong(f"{it_is} Of two kinds, 50 % is what guessing gets.")
    if guess < 60:
        raise Wrong(f"{it_is} That's guessing. But random filters keep what is in the picture, and the head learns.")
    if guess < untrained:
        raise Wrong(f"{it_is} Bare pixels alone get {pixels:.0f} %, and random filters lose little of them.")
    raise Wrong(f"{it_is} Then ImageNet's photographs would add hardly anything. They add {imagenet - untrained:.0f} "
                "points here.")


EXERCISES = (
    Exercise(
        "12.1", "write", 4, 3, "a convolution", "convolve", CONVOLVE + "    ...\n",
        CONVOLVE + SIDES + SHIFTED.format("k[i, j]"), judge_convolve,
        hints=("One weight at a time: which part of the picture does `k[0, 0]` meet, over all places? And `k[2, 2]`?",
               "64x64 pixels make 62x62 numbers. With a 1 in the middle of `k` and 0 elsewhere, the map is "
               "`x[1:-1, 1:-1]`.",
               "`k[i, j]` meets `x[i:h - 2 + i, j:w - 2 + j]`. Add up nine of those products."),
        wrong=((CONVOLVE + SIDES + SHIFTED.format("k[2 - i, 2 - j]"),
                "You flip the weights, as mathematics does. Networks don't."),
               (CONVOLVE + SIDES + SHIFTED.format("k[j, i]"), "Rows and columns of the weights are swapped."),
               (CONVOLVE + "    x = np.pad(x, 1)\n" + SIDES + SHIFTED.format("k[i, j]"), "No padding"),
               (CONVOLVE + SIDES + SHIFTED.format("k[i, j] / 9"),
                "That's a mean. The products are added up, and nothing is divided.")),
        probe=lambda f: [np.round(run(f, x, k), 3).tolist() for x, k in (
            (np.arange(30.0).reshape(5, 6) ** 1.5, np.arange(9.0).reshape(3, 3) ** 2 - 7),
            (np.cos(np.arange(28.0)).reshape(7, 4), np.array([[1.0, -2, 0.5], [3, 0.2, 5], [-1, 7, 2]])))]),
    Exercise(
        "12.2", "write", 4, 2, "a pooling", "pooled", POOLED + "    ...\n",
        POOLED + EVEN + BLOCKS + "    return blocks.max(axis=(1, 3))\n", judge_pooled,
        hints=("`maps[::2, ::2]` is the upper left number of each block. Where are the other three?",
               "13x13 numbers make 6x6: the last row and column have no partner and go.",
               "Cut to even sides, `reshape(h // 2, 2, w // 2, 2, n)`, and `.max(axis=(1, 3))`."),
        wrong=((POOLED + EVEN + BLOCKS + "    return blocks.mean(axis=(1, 3))\n",
                "That's mean pooling. Max pooling keeps the largest."),
               (POOLED + EVEN + BLOCKS.replace("(h // 2, 2, w // 2, 2, n)", "(h // 2, w // 2, 2, 2, n)")
                + "    return blocks.max(axis=(2, 3))\n",
                "Those four aren't neighbours: two of one row, two of the row below."),
               (POOLED + EVEN + "    return maps[:h // 2 * 2:2, :w // 2 * 2:2]\n",
                "You keep the upper left of each block, not the largest."),
               (POOLED + EVEN + BLOCKS + "    return blocks.max(axis=(1, 3, 4))\n", "you return 4 x 4."),
               (POOLED + "    return np.maximum(np.maximum(maps[:-1, :-1], maps[1:, :-1]), "
                "np.maximum(maps[:-1, 1:], maps[1:, 1:]))\n", "you return 7 x 7 x 3.")),
        probe=lambda f: [np.round(run(f, x), 4).tolist() for x in (
            np.sin(np.arange(96.0)).reshape(6, 8, 2), np.cos(3 * np.arange(75.0)).reshape(5, 5, 3))]),
    Exercise(
        "12.3", "write", 3, 2, "the picture it doubts most", "most_doubted", DOUBTED + "    ...\n",
        DOUBTED + SORTED + "    return (top[:, -1] - top[:, -2]).argmin()\n", judge_most_doubted,
        hints=("Sort each row. Where do the best and the second best score stand then?",
               "With the scores 9, 8.9 and 1 the lead is 0.1. It's the smallest lead of all pictures that you want.",
               "`top = np.sort(scores, axis=1)`, then the place of the smallest `top[:, -1] - top[:, -2]`: `argmin`."),
        wrong=((DOUBTED + "    return scores.max(axis=1).argmin()\n",
                "A low best score isn't doubt: the second may be far below it."),
               (DOUBTED + "    p = np.exp(scores - scores.max(axis=1, keepdims=True))\n"
                "    return (p.max(axis=1) / p.sum(axis=1)).argmin()\n",
                "The lowest probability may be low because a third class takes its share."),
               (DOUBTED + SORTED + "    return (top[:, -1] - top[:, -2]).argmax()\n",
                "That's the picture it is surest of."),
               (DOUBTED + SORTED + "    return (top[:, -1] - top[:, 0]).argmin()\n",
                "That's the lead over the worst class. Doubt is between the best two."),
               (DOUBTED + SORTED + "    return (top[:, -1] - top[:, -2]).min()\n", "number of a picture")),
        probe=lambda f: [float(run(f, s)) for s in (np.sin(np.arange(1.0, 61) ** 2).reshape(12, 5) * 9,
                                                    np.cos(np.arange(1.0, 81) ** 1.7).reshape(20, 4))]),
    Exercise(
        "12.4", "write", 5, 4, "a map in whole numbers", "sums", SUMS + "    ...\n", SUMS + PAPER + PRODUCTS + ADDED,
        judge_sums,
        hints=("Outside the picture is paper. Which code is that, and what is left of it once `zx` is subtracted?",
               "With codes that all equal `zx`, every sum is its bias.",
               "`p = np.pad(q.astype(int) - zx, 1)`. Then nine parts `p[i:i + 8, j:j + 8, None]`, each times "
               "`w[:, i, j]`, and the bias."),
        wrong=((SUMS + "    p = np.pad(q.astype(int), 1) - zx\n" + PRODUCTS + ADDED,
                "You pad with code 0, but paper is the code `zx`: subtract first, or pad with `zx`."),
               (SUMS + "    p = np.pad(q.astype(int), 1)\n" + PRODUCTS + ADDED, "Subtract the zero point."),
               (SUMS + PAPER.replace(", 1)", ", 1, mode='edge')") + PRODUCTS + ADDED,
                "Outside is paper, not the nearest pixel."),
               (SUMS + PAPER.replace(".astype(int)", "") + PRODUCTS + ADDED,
                "int8 has no room: 127 + 128 wraps round to -1."),
               (SUMS + PAPER + PRODUCTS + "    return sum(products)\n", "The bias is missing.")),
        probe=lambda f: [run(f, np.int8(np.arange(64).reshape(8, 8) * 5 % 256 - 128),
                             np.int8(np.arange(18).reshape(2, 3, 3) ** 2 % 99 - 40), np.int32([5, -700]), zx).tolist()
                         for zx in (-128, -3, 40)]),
    Exercise(
        "12.5", "predict", 1, 0, "faces by an untrained network", "guess", "guess = ...\n", "guess = 90\n",
        judge_untrained,
        hints=("Is anything of the picture lost in random filters?", "Bare pixels get 87 %.",
               "It lies between the bare pixels and ImageNet: about 90."),
        wrong=(("guess = 50\n", "That's guessing."), ("guess = 75\n", "Bare pixels alone get"),
               ("guess = 97\n", "add hardly anything"), ("guess = 10\n", "50 % is what guessing gets"),
               ("guess = 0.9\n", "This wants per cent")),
        probe=lambda guess: [guess], read=_per_cent),
)
BY_ID = {exercise.id: exercise for exercise in EXERCISES}
