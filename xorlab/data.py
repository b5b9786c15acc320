"""XOR as data: the four corners, the grids that are drawn, and noisy and dense versions; and small pictures."""
import math
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from xorlab import arguments, files
from xorlab.streams import quiet

CALIBRATION_SIDE = 9        # 9 x 9 points of [0, 1]^2: enough to see each layer's range, corners included
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MOST_POINTS, MOST_SIDE = 10_000_000, 2048   # that can be made: beyond them a slip costs the computer's memory
MOST_NUMBERS = 2**26                        # of a draw of codes
MOST_SEED = 2**64 - 1                       # a seed has 64 bits
FEW_CODES = 32              # fewer of the 256 codes than these are a sign of a wrong unit or calibration


def corners():
    """Return XOR itself: x float32 (4, 2) in the order 00 01 10 11, and its labels y float32 (4,)."""
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
    return x, xor(x)


def xor(x):
    """Label points by the quadrant they lie in: 1 where exactly one coordinate exceeds 0.5.

    x : (n, 2) points.  Returns float32 (n,) of 0 and 1.
    """
    right, upper = (points(x, columns=2) > 0.5).T
    return (right != upper).astype(np.float32)


def noisy(n=200, noise=0.1, *, seed=0):
    """Scatter n points around the four corners in turn.

    n : number of points (> 0).  noise : standard deviation of the scatter (>= 0).  seed : int.
    Returns x float32 (n, 2) and y float32 (n,), each point labelled by the corner it came from, so with
    much noise some lie in another corner's quadrant.
    """
    n, seed = arguments.whole("n", n, 1, MOST_POINTS), checked_seed(seed)
    noise = arguments.real("noise", noise, least=0, most=1e30, what="a standard deviation")
    x, y = corners()
    which = np.arange(n) % 4
    scatter = np.random.default_rng(seed).normal(scale=noise, size=(n, 2))
    return (x[which] + scatter).astype(np.float32), y[which]


def dense(n=1000, *, seed=0):
    """Draw n uniform points in the unit square, labelled by quadrant.

    n : number of points (> 0).  seed : int.  Returns x float32 (n, 2) and y float32 (n,).
    """
    n, seed = arguments.whole("n", n, 1, MOST_POINTS), checked_seed(seed)
    x = np.random.default_rng(seed).random((n, 2), dtype=np.float32)
    return x, xor(x)


def grid(n=101):
    """Return n x n evenly spaced points of [0, 1]^2: float32 (n*n, 2), row = n*i + j for x0 = i/(n-1), x1 = j/(n-1)."""
    if not arguments.is_whole(n, 2, MOST_SIDE):
        raise ValueError(f"a grid needs a whole number of points a side, at least 2 and at most {MOST_SIDE:,}, got "
                         f"{arguments.shown(n)}")
    steps = np.linspace(0, 1, n, dtype=np.float32)
    return np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)


def int8_inputs():
    """Return every input a two-input int8 model can receive: int8 (65536, 2), row = 256*(q0 + 128) + (q1 + 128)."""
    return code_inputs().codes


@dataclass(frozen=True, eq=False)
class CodeInputs:
    """Inputs of a quantized model: every one there is, or a sample of them.

    codes : (n, ...) in the model's dtype.  every : whether these are all its inputs.
    words : which they are, e.g. "all 65,536" or "a sample of 65,536 of 256^3".
    """
    codes: np.ndarray
    every: bool
    words: str


def code_inputs(sample=(2,), dtype=np.int8, *, count=None, seed=0) -> CodeInputs:
    """Return every input a quantized model can receive where there are at most 65,536, else a seeded sample.

    sample : the shape of one input, as `predictor.sample`.  dtype : int8, uint8, int16 or uint16.
    count : how many to draw where they are a sample; None means 65,536, fewer where an input has more than 16 codes
        (a million codes in all, but at least 256 inputs).  seed : int, of the uniform draw.
    Raises ValueError for another dtype, a shape without a size, or a count that is no positive whole number.

    >>> [code_inputs(shape).words for shape in ((1,), (2,), (3,), (49, 10))]
    ['all 256', 'all 65,536', 'a sample of 65,536 of 256^3', 'a sample of 2,139 of 256^490']
    """
    try:
        dtype = np.dtype(dtype)
    except (TypeError, ValueError):
        raise TypeError(f"dtype must be int8, uint8, int16 or uint16, got {arguments.shown(dtype)}") from None
    shape, seed = tuple(arguments.several("sample", sample, "lengths, the shape of one input")), checked_seed(seed)
    if dtype.kind not in "iu" or dtype.itemsize > 2:
        raise ValueError(f"only codes of 8 or 16 bits can be listed or drawn, got {dtype}; choose input codes yourself")
    if not shape or not all(arguments.is_whole(length, 1) for length in shape):
        raise ValueError(f"the shape of one input must be positive whole numbers, got {arguments.shown(shape)}; "
                         "choose input codes yourself")
    limits, size = np.iinfo(dtype), math.prod(map(int, shape))
    if size > MOST_NUMBERS // 256:
        raise ValueError(f"an input may have up to {MOST_NUMBERS // 256:,} codes here, got {arguments.shown(shape)}; "
                         "choose input codes yourself")
    if count is not None:
        count = arguments.whole("count", count, 1, MOST_NUMBERS // size)
    levels = limits.max - limits.min + 1
    if size * dtype.itemsize <= 2:                      # at most 16 bits an input: 65,536
        one = np.arange(limits.min, limits.max + 1).astype(dtype)
        codes = np.stack(np.meshgrid(*[one] * size, indexing="ij"), axis=-1).reshape(-1, *shape)
        return CodeInputs(codes, True, f"all {len(codes):,}")
    count = count or max(min(65536, 2**20 // size), 256)
    codes = np.random.default_rng(seed).integers(limits.min, limits.max, (count, *shape), dtype, endpoint=True)
    return CodeInputs(codes, False, f"a sample of {count:,} of {levels}^{size}")


@dataclass(frozen=True, eq=False)
class Images:
    """Pictures with labels, split into a part to train on and a part that is only for scoring.

    train_x, test_x : float32 (n, height, width, channels) in 0..1.  train_y, test_y : int64 (n,), 0 to classes - 1.
    names : a word for each class.
    """
    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    names: tuple = ()

    @property
    def classes(self):
        return int(self.train_y.max()) + 1

    def __repr__(self):
        height, width, channels = self.train_x.shape[1:]
        return (f"<Images {height}x{width}x{channels}, {self.classes} classes: {len(self.train_x):,} to train, "
                f"{len(self.test_x):,} to test>")


def images(name="digits"):
    """Return a set of pictures as Images, always with the same split.

    name : "digits", 1,797 handwritten digits of 8x8 pixels that scikit-learn brings along; or "cifar10", 60,000
        colour photographs of 32x32 pixels in ten classes, which Keras downloads (170 MB) the first time.
    Raises ValueError for another name, ConnectionError if the download fails.
    """
    return IMAGES[arguments.one_of("pictures", name, IMAGES)]()


def _digits():
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    x = (digits.images / 16).astype(np.float32)[..., None]         # its pixels are counts from 0 to 16
    y = digits.target.astype(np.int64)
    train_x, test_x, train_y, test_y = train_test_split(x, y, test_size=0.25, stratify=y, random_state=0)
    return Images(train_x, train_y, test_x, test_y, tuple("0123456789"))


def _cifar10():
    with quiet():
        from keras.datasets import cifar10

    with downloading("CIFAR-10"):
        (train_x, train_y), (test_x, test_y) = cifar10.load_data()
    scaled = [np.float32(x / np.float32(255)) for x in (train_x, test_x)]
    return Images(scaled[0], train_y.astype(np.int64).ravel(), scaled[1], test_y.astype(np.int64).ravel(),
                  CIFAR10)


IMAGES = {"digits": _digits, "cifar10": _cifar10}


def photograph():
    """Return a real photograph as greys: float32 (176, 176) from 0 (black) to 1 (white), a pagoda before the sky.

    A part of china.jpg, which scikit-learn brings along, at half its size.
    """
    from sklearn.datasets import load_sample_image

    grey = load_sample_image("china.jpg").mean(axis=2)[16:368, 40:392] / 255
    return grey.reshape(176, 2, 176, 2).mean(axis=(1, 3)).astype(np.float32)


@contextmanager
def downloading(what):
    """Turn the failure of a block in which Keras downloads `what` into a ConnectionError of one sentence."""
    arguments.text("what", what)
    try:
        yield
    except Exception as error:          # Keras raises a bare Exception where a download fails
        reason = files.first_line(error)
        raise ConnectionError(f"{what} could not be downloaded ({reason}); it needs a network the first time, "
                              'data.images("digits") needs none') from None


def points(x, columns=None):
    """Check a batch of points and return it as a float32 array.

    x : numbers of shape (n, columns), or (n, ...) where `columns` is None.
    Raises TypeError if x is not numeric, ValueError if its shape is wrong, it is empty, or it
    holds NaN or infinity, or numbers beyond float32.
    """
    x = arguments.numbers_in("points", x, finite=False)
    columns = columns if columns is None else arguments.whole("columns", columns, 1)
    if x.ndim < 2 or (columns is not None and x.shape[1:] != (columns,)):
        wanted = "(n, ...)" if columns is None else f"(n, {columns})"
        raise ValueError(f"points must have shape {wanted}, got {x.shape}; one point is a batch of 1: x[None]")
    if not len(x):
        raise ValueError("points must hold at least one point, got none")
    return arguments.float32("points", x)


def labels(y, n):
    """Check n labels or targets and return them as float32 (n,); a column (n, 1) is accepted."""
    n, y = arguments.whole("the number of points", n, 0), arguments.plain("labels", y)
    if y.dtype.kind not in "fiub" or y.shape not in ((n,), (n, 1)):
        raise ValueError(f"labels must be {n} numbers, one a point, of shape ({n},); got {y.dtype} of shape {y.shape}")
    return arguments.float32("labels", y).reshape(n).copy()


def checked_seed(seed):
    """Return the seed of a draw as an int.  Raises ValueError unless it is a whole number of 0 or more in 64 bits."""
    return arguments.whole("seed", seed, 0, MOST_SEED)


def label_notes(y) -> list[str]:
    """Return a sentence if labels lie outside 0..1, where a sigmoid's outputs end; else nothing.

    y : numbers of any shape.  It is no error: a network without a sigmoid at its end can learn such targets.

    >>> label_notes([-1, 1, 1, -1])
    ['The labels go from -1 to 1, 2 of 4 outside 0..1, where a sigmoid ends; (y + 1) / 2 brings them there.']
    """
    y = arguments.numbers_in("labels", y).astype(np.float64)
    outside = np.count_nonzero((y < 0) | (y > 1))
    if not outside:
        return []
    low, high = y.min(), y.max()
    shift, width = ("y", high) if low >= 0 else (f"(y {-low:+g})".replace("+", "+ "), high - low)
    remedy = f"; {shift} / {width:g} brings them there" if width > 0 else ""
    return [f"The labels go from {low:g} to {high:g}, {outside:,} of {y.size:,} outside 0..1, "
            f"where a sigmoid ends{remedy}."]


def point_notes(x) -> list[str]:
    """Return a sentence if points are typed as 8-bit integers outside 0..1: codes or greys taken for numbers.

    x : as `points` takes it, before its type is changed.

    >>> point_notes(np.uint8([[0, 255], [255, 0]]))
    ['The points are uint8 and taken as the numbers 0 to 255; codes become points by p.input.dequantize(q).']
    """
    x = arguments.numbers_in("points", x, finite=False)
    if x.dtype not in (np.int8, np.uint8) or (x.min(initial=0) >= 0 and x.max(initial=0) <= 1):
        return []
    return [f"The points are {x.dtype} and taken as the numbers {x.min()} to {x.max()}; "
            "codes become points by p.input.dequantize(q)."]


def calibration_notes(calibration, typical=None) -> list[str]:
    """Return a sentence for each way in which calibration points cannot show the ranges of the data; else nothing.

    calibration : numbers (n, ...), as the network's inputs.  typical : points (m, ...) as the network will meet them,
        e.g. those it was trained on; None where they are not known.
    Raises what `points` raises, and ValueError if the two have different shapes.

    >>> calibration_notes(np.zeros((1, 2)))
    ['The calibration points are all the same, so no range has a width; calibrate on points like the data.']
    """
    notes = point_notes(calibration)
    seen = points(calibration)
    low, high = float(seen.min()), float(seen.max())
    if (seen == seen[0]).all():
        notes.append("The calibration points are all the same, so no range has a width; "
                     "calibrate on points like the data.")
    if typical is None:
        data_low, data_high, name = 0.0, 1.0, "numbers from 0 to 1"
    else:
        typical = points(typical)
        if typical.shape[1:] != seen.shape[1:]:
            raise ValueError(f"calibration and typical points must have one shape, got {seen.shape} and "
                             f"{typical.shape}")
        data_low, data_high = float(typical.min()), float(typical.max())
        name = f"the data from {data_low:g} to {data_high:g}"
    first, last = min(low, 0.0), max(high, 0.0)         # 0 always has a code
    step = (last - first) / 255
    share = np.floor(max(min(data_high, last) - max(data_low, first), 0.0) / step) + 1 if step else 1
    if share < FEW_CODES and high > low:
        notes.append(f"The calibration points go from {low:g} to {high:g}: {name} can use {share:.0f} of 256 codes.")
    if typical is None:
        return notes
    if max(first - data_low, data_high - last) > FEW_CODES / 2 * step:
        cut = np.mean((typical < first) | (typical > last))
        notes.append(f"The calibration points go from {low:g} to {high:g}, {name}: {cut:.0%} of the data's numbers "
                     "lie outside and are cut off.")
    still = (seen == seen[0]).all(axis=0) & (typical != typical[0]).any(axis=0)
    if 2 * still.sum() >= still.size and high > low:
        notes.append(f"{still.sum():,} of {still.size:,} inputs never change in the calibration points, "
                     "but they do in the data.")
    return notes
