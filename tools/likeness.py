"""Is what a lesson shows now what is stored, but for what differs between computers?

Last bits of live training move a curve by part of a pixel and a number by its last digit. Matplotlib's packages bring
their own letters, DejaVu Sans drawn by a FreeType; where another one draws them, other widths move whole axes.
"""
import base64
import io
import re
from decimal import Decimal

import numpy as np
from matplotlib import ft2font
from PIL import Image

ABOUT = re.compile(r"~(-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)")
NUMBER = re.compile(r"(-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?%?)")
MEASURE = re.compile(r"[.e%]")      # in a number that is no count
NEAR = 0.1              # of the larger of two numbers
UNITS = 2               # or of the last digit that is shown: small counts
NOISE = Decimal("1e-5")     # below it, numbers in lessons are what rounding leaves
FREETYPE = "2.14.3"     # that of stored pictures
BLOCK = 8               # pixels: a letter of the smallest text is two to three blocks wide

# How far a block may have moved, in blocks; how far its colour may be off, in levels of 255; how many may be farther.
# Measured over the pictures of lessons 01, 02, 03, 05 and 06: where all of PyTorch's kernels are others
# (ATEN_CPU_CAPABILITY=default), one picture has 27 such blocks by the first rule and no other more than 1; a lost
# label of an axis makes 19 or more. Letters without hinting make at most 200 by the second, a mirror 284 or more.
SAME_LETTERS = 0, 24, 8
OTHER_LETTERS = 2, 32, 240


def near(texts: str, others: str) -> bool:
    """Are the numbers marked by ~ in two texts about the same, each with its own?"""
    numbers, other_numbers = ABOUT.findall(texts), ABOUT.findall(others)
    return len(numbers) == len(other_numbers) and all(map(_near, numbers, other_numbers))


def alike_words(words: str | None, others: str | None) -> bool:
    """Do two descriptions of a picture say the same: word for word and count for count, and measures about the same?"""
    parts, other_parts = NUMBER.split(words or ""), NUMBER.split(others or "")
    return len(parts) == len(other_parts) and all(
        one == other or MEASURE.search(one) and MEASURE.search(other) and NUMBER.fullmatch(one)
        and NUMBER.fullmatch(other) and _near(one, other) for one, other in zip(parts, other_parts, strict=True))


def _near(number, other):
    a, b = (Decimal(text.replace(",", "").rstrip("%")) for text in (number, other))
    largest = max(abs(a), abs(b))
    unit = Decimal(1).scaleb(max(a.as_tuple().exponent, b.as_tuple().exponent))
    return largest <= NOISE or abs(a - b) <= max(largest * Decimal(NEAR), UNITS * unit)


def alike(data: str, other: str) -> bool:
    """Do two pictures (base64) show the same: every part of each is in the other, near its place and in its colour?"""
    if data == other:
        return True
    first, second = pixels(data), pixels(other)
    if first.shape != second.shape:
        return False
    reach, level, most = SAME_LETTERS if ft2font.__freetype_version__ == FREETYPE else OTHER_LETTERS
    first, second = blocks(first), blocks(second)
    return all((distances(a, b, reach) > level).sum() <= most for a, b in ((first, second), (second, first)))


def pixels(data: str) -> np.ndarray:
    """Return a base64 picture as float32 levels (height, width, 4)."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"), dtype=np.float32)


def blocks(picture: np.ndarray) -> np.ndarray:
    """Return the mean colours (rows, columns, 3) of a picture's blocks; those cut by its edge are filled up with it."""
    height, width, _ = picture.shape
    whole = np.pad(picture[..., :3], ((0, -height % BLOCK), (0, -width % BLOCK), (0, 0)), mode="edge")
    return whole.reshape(len(whole) // BLOCK, BLOCK, -1, BLOCK, 3).mean((1, 3))


def distances(blocks: np.ndarray, others: np.ndarray, reach: int) -> np.ndarray:
    """Return for each block how far its colour, in the worst channel, is from the nearest one of others around it."""
    padded = np.pad(others, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    rows, columns, _ = blocks.shape
    steps = range(2 * reach + 1)
    return np.min([np.abs(blocks - padded[down:down + rows, right:right + columns]).max(-1)
                   for down in steps for right in steps], axis=0)
