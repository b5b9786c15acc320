"""A sum times a real factor, rounded, in Python's whole numbers: (what is done, in words; what comes out)."""
from collections.abc import Callable

import numpy as np

from xorlab.integer.fixed_point import quantize_multiplier, round_half_away
from xorlab.integer.kernels.scaling import AWAY, EVEN, ONCE, REAL, UP


def divided_away(x: int, power: int) -> int:
    """Return x / 2**power, ties away from zero."""
    size = divided_up(abs(x), power)
    return -size if x < 0 else size


def divided_up(x: int, power: int) -> int:
    """Return x / 2**power, ties up."""
    return (x + (1 << power >> 1)) >> power


DIVIDED = {AWAY: (divided_away, "away from zero"), UP: (divided_up, "up")}


def high_product(a: int, b: int) -> int:
    """Return a * b / 2**31, ties up."""
    return divided_up(a * b, 31)


def twice(rounding, acc: int, multiplier: int, shift: int) -> tuple[str, int]:
    """Return how acc * multiplier * 2**(shift - 31) is rounded in its product and after it, and the result."""
    divided, ties = DIVIDED[rounding]
    left, right = max(shift, 0), max(-shift, 0)
    product = high_product(acc << left, multiplier)
    shifted = f"{acc}" if left == 0 else f"{acc} * 2^{left}"
    steps = divided(product, right)
    return (f"{shifted} * {multiplier} / 2^31 = {(acc << left) * multiplier / 2**31:.5f} -> {product}, "
            f"/ 2^{right} = {product / 2**right:.5f}, ties {ties} -> {steps}"), steps


def _twice(rounding) -> Callable:
    return lambda acc, factor: twice(rounding, acc, *quantize_multiplier(float(factor)))


def _once(acc, factor):
    multiplier, shift = quantize_multiplier(float(factor))
    steps = divided_up(acc * multiplier, 31 - shift)
    product = acc * multiplier / 2.0 ** (31 - shift)
    return f"{acc} * {multiplier} / 2^{31 - shift} = {product:.5f}, ties up -> {steps}", steps


def _in_float64(acc, factor):
    product = acc * float(factor)
    steps = int(round_half_away(product))
    return f"{acc} * {factor:.9g} = {product:.5f}, ties away from zero -> {steps}", steps


def _in_float32(acc, factor):
    product = np.float32(acc) * np.float32(factor)
    steps = round(float(product))                               # Python's round sends ties to the even neighbour
    return f"{acc} * {factor:.9g} = {product:.5f}, ties to even -> {steps}", steps


WORKED = {AWAY: _twice(AWAY), UP: _twice(UP), ONCE: _once, REAL: _in_float64, EVEN: _in_float32}


def cut(steps: int, zero_point: int, lowest: int = -128, highest: int = 127) -> tuple[str, int]:
    """Return the last line, and the code, of whole output steps."""
    moved = steps + zero_point
    return _clamped(f"{steps} {zero_point:+d} = {moved}", moved, lowest, highest)


def kept(code: int, lowest: int = -128, highest: int = 127) -> tuple[str, int]:
    """Return the last line, and the code, of a whole number that holds the zero point already."""
    return _clamped(f"{code}", code, lowest, highest)


def cut_in_16_bits(steps: int, zero_point: int, lowest: int, highest: int) -> tuple[str, int]:
    """Return the same where the sum is one of 16 bits, which wraps around."""
    moved = steps + zero_point
    wrapped = (moved + 2**15) % 2**16 - 2**15
    around = "" if wrapped == moved else f", in 16 bits {wrapped}"
    return _clamped(f"{steps} {zero_point:+d} = {moved}{around}", wrapped, lowest, highest)


def _clamped(line, moved, lowest, highest):
    code = min(max(moved, lowest), highest)
    clamped = "" if moved == code else f", clamped to {lowest}..{highest}"
    return f"{line}{clamped}: code {code}", code


def joined(a, sign: str, b) -> str:
    """Return a sum or difference as text: "3 - 4" where -4 is added."""
    return f"{a} {sign} {b}".replace("+ -", "- ").replace("- -", "+ ")


def rounded_away(x: float) -> int:
    """Return x rounded, ties away from zero."""
    return int(round_half_away(x))
