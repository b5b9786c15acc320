"""What an argument must be: each function returns it as it is meant, or says in one sentence what was given.

NumPy's whole and real numbers count as Python's; True and False are no numbers.
"""
import math
import numbers
import os
from collections.abc import Iterable

import numpy as np

LONGEST = 60                    # letters of a value that a sentence shows


def shown(value: object) -> str:
    """Return a value as a sentence shows it: short, on one line.

    >>> shown(0.5), shown(np.zeros((2, 3))), shown("a\\nb")
    ('0.5', 'an array of float64 of shape (2, 3)', "'a\\\\nb'")
    """
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} of shape {value.shape}"
    if not isinstance(value, str | bytes | int | float | complex | np.generic | list | tuple | dict | set | os.PathLike
                      | None | type(...)):
        return f"{type(value).__name__} {getattr(value, '__name__', '')}".rstrip()
    try:
        text = " ".join(repr(value).splitlines())
    except ValueError:                                  # more digits than Python writes
        return f"a whole number of {value.bit_length():,} bits"
    except RecursionError:                              # lists in lists in lists
        return f"a {type(value).__name__} too deep to show"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def is_whole(value: object, least: int | None = None, most: int | None = None) -> bool:
    """Is this a whole number from `least` to `most`, Python's or NumPy's?  True and False are none.

    >>> is_whole(np.int64(3), 1), is_whole(3.0), is_whole(True)
    (True, False, False)
    """
    return (isinstance(value, int | np.integer) and not isinstance(value, bool)
            and (least is None or value >= least) and (most is None or value <= most))


def whole(name: str, value: object, least: int | None = None, most: int | None = None) -> int:
    """Return a whole number from `least` to `most` as an int.  Raises ValueError for anything else.

    >>> whole("epochs", np.int64(3), 1)
    3
    """
    if not is_whole(value, least, most):
        kind = "a positive whole number" if least == 1 else "a whole number"
        span = (f" of {least:,} or more" if least not in (None, 1) and most is None else
                f" from {least:,} to {most:,}" if least not in (None, 1) and most is not None else
                f" up to {most:,}" if most is not None and is_whole(value) and value > most else "")
        raise ValueError(f"{name} must be {kind}{span}, got {shown(value)}")
    return int(value)


def real(name: str, value: object, *, least: float | None = None, above: float | None = None,
         most: float | None = None, below: float | None = None, what: str = "a number") -> float:
    """Return a finite real number between bounds as a float.  Raises ValueError for anything else.

    >>> real("lr", np.float32(0.5), above=0)
    0.5
    """
    number = math.nan
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:                           # a whole number of more than 308 digits
            number = math.inf
    good = math.isfinite(number) and (least is None or number >= least) and (above is None or number > above)
    if not (good and (most is None or number <= most) and (below is None or number < below)):
        spans = [f"of {least:g} or more" if least is not None else "", f"above {above:g}" if above is not None else "",
                 f"up to {most:g}" if most is not None else "", f"below {below:g}" if below is not None else ""]
        span = " and ".join(filter(None, spans)) or "that is finite"
        raise ValueError(f"{name} must be {what} {span}, got {shown(value)}")
    return number


def text(name: str, value: object) -> str:
    """Return a text.  Raises TypeError for anything else."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a text in quotes, got {shown(value)}")
    return value


def switch(name: str, value: object) -> bool:
    """Return True or False.  Raises TypeError for anything else."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def one_of(name: str, value: object, known: Iterable[str]) -> str:
    """Return one of some names.  Raises ValueError for anything else."""
    known = list(known)
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {shown(value)}")
    return value


def instance(name: str, value: object, kinds: type | tuple, what: str) -> object:
    """Return an object of these classes.  what : what it must be, and where it comes from.  Raises TypeError."""
    if not isinstance(value, kinds):
        raise TypeError(f"{name} must be {what}, got {shown(value)}")
    return value


def several(name: str, value: object, what: str, kinds: type | tuple = object) -> list:
    """Return a list of what an iterable holds, each of these classes.  Raises TypeError for what holds anything else.

    A text is none, nor what a mapping holds.
    """
    if not isinstance(value, Iterable) or isinstance(value, str | bytes | dict) or (
            isinstance(value, np.ndarray) and not value.ndim):
        raise TypeError(f"{name} must be a list of {what}, got {shown(value)}")
    made = list(value)
    for one in made:
        if not isinstance(one, kinds):
            raise TypeError(f"{name} must be a list of {what}, got {shown(one)} in it")
    return made


def having(name: str, value: object, parts: Iterable[str], what: str) -> object:
    """Return an object, and no class, that has these attributes.  what : what it must be.  Raises TypeError.

    For what would be slow to import only to ask whether a value is one of it.
    """
    if isinstance(value, type) or not all(hasattr(value, part) for part in parts):
        raise TypeError(f"{name} must be {what}, got {shown(value)}")
    return value


def axes(ax: object) -> object:
    """Return matplotlib's axes, or None for a figure of their own.  Raises TypeError for anything else."""
    what = "matplotlib's axes, or None for a figure of their own"
    return ax if ax is None else having("ax", ax, ["transAxes"], what)


def named(name: str, value: object, what: str) -> dict:
    """Return a dict of texts to what `what` says; raise TypeError for anything else."""
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise TypeError(f"{name} must be a dict from names to {what}, got {shown(value)}")
    return value


def plain(name: str, value: object) -> np.ndarray:
    """Return what NumPy makes of a value, of no subclass.  Raises TypeError for other things, ValueError for masks."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.getmaskarray(value).any():
        raise ValueError(f"{name} must have no masked numbers, got {np.ma.count_masked(value):,}; fill or remove them")
    try:
        made = np.asarray(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:    # rows of several lengths, foreign objects
        raise TypeError(f"{name} must be an array of numbers, got {shown(value)}: "
                        f"{(str(error).splitlines() or [''])[0]}") from None
    return made.astype(made.dtype.newbyteorder("="), copy=False)            # big-endian numbers are numbers too


def numbers_in(name: str, value: object, *, kinds: str = "fiub", finite: bool = True) -> np.ndarray:
    """Return an array of numbers, of no subclass.  Raises TypeError for other things, ValueError for NaN and infinity.

    kinds : NumPy's letters: f real, i and u whole numbers, b bool.
    """
    made = plain(name, value)
    if made.dtype.kind not in kinds:
        what = "whole numbers" if "f" not in kinds else "numbers"
        foreign = made.dtype.kind == "O" and not isinstance(value, np.ndarray)
        given = shown(value) if foreign else f"an array of {made.dtype}"
        raise TypeError(f"{name} must be {what}, got {given}; convert it, e.g. with "
                        f"astype({'int' if 'f' not in kinds else 'float'!r})")
    if finite and made.dtype.kind in "fc" and not np.isfinite(made).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity; remove those rows first")
    return made


def float32(name: str, value: object, *, kinds: str = "fiub") -> np.ndarray:
    """Return an array of finite numbers as float32.  Raises as numbers_in, and ValueError beyond float32's range."""
    made = numbers_in(name, value, kinds=kinds)
    largest = np.finfo(np.float32).max
    if made.dtype.kind in "fiu" and made.dtype.itemsize > 4 and made.size and np.abs(made).max() > largest:
        raise ValueError(f"{name} must fit into float32, up to {largest:.2g} in size, got {np.abs(made).max():.3g}")
    return made.astype(np.float32, copy=False)
