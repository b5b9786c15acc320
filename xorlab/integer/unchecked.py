"""The arithmetic of fixed_point, and of every kernel, on numbers that are known to fit: nothing is checked here.

Each function has its namesake in fixed_point, which says what its numbers are, and refuses others.
"""
import numpy as np


def round_half_away(x):
    """Ties away from zero: of floats, NaN and infinity too."""
    x = np.asarray(x)
    whole = np.trunc(x)
    return whole + np.copysign(np.abs(x - whole) >= 0.5, x)      # x - whole is exact; x + 0.5 would not be


def doubling_high_multiply(a, b):
    product = np.asarray(a, np.int64) * np.asarray(b, np.int64)
    # gemmlowp adds 2**30 or, below zero, 1 - 2**30 and cuts towards zero; that is this shift
    return np.minimum((product + 2**30) >> 31, 2**31 - 1)       # only (-2**31)**2 does not fit into 32 bits


def divide_by_power_of_two(x, exponent):
    remainder = x & ((1 << exponent) - 1)
    threshold = (((1 << exponent) - 1) >> 1) + (x < 0)
    return (x >> exponent) + (remainder > threshold)


def fixed_point_logistic(x):
    below_one = fixed_point_reciprocal(fixed_point_exp(-np.abs(x), 4))
    return np.where(x == 0, 2**30, np.where(x > 0, below_one, 2**31 - 1 - below_one))


def fixed_point_tanh(x):
    inverse = _inverse_of_half_of_one_plus(fixed_point_exp(-np.abs(x), 5))      # Q4.27 read as Q5.26 is twice as much
    return np.sign(x) * np.minimum((inverse - 2**29) << 2, 2**31 - 1)


def fixed_point_exp(x, integer_bits):
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    last = (x & (quarter - 1)) - quarter
    result = _exp_near_zero(last << integer_bits)
    remainder = last - x
    constants = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
    for k, constant in zip(range(-2, integer_bits), constants, strict=False):
        result = np.where(remainder & (1 << (fraction_bits + k)), doubling_high_multiply(result, constant), result)
    return np.where(x == 0, 2**31 - 1, result)


def _exp_near_zero(x):
    """exp of Q0.31 numbers in [-1/4, 0): Taylor's polynomial around -1/8."""
    at_an_eighth, third = 1895147668, 715827883
    x = x + 2**28
    x2 = doubling_high_multiply(x, x)
    x3, x4 = doubling_high_multiply(x2, x), doubling_high_multiply(x2, x2)
    rest = divide_by_power_of_two(doubling_high_multiply(divide_by_power_of_two(x4, 2) + x3, third) + x2, 1)
    return at_an_eighth + doubling_high_multiply(at_an_eighth, x + rest)


def fixed_point_reciprocal(x):
    return np.minimum(_inverse_of_half_of_one_plus(x) << 1, 2**31 - 1)


def _inverse_of_half_of_one_plus(x):
    """2 / (1 + x) for Q0.31 numbers in [0, 1], in Q2.29: three Newton steps from a line."""
    half = (x + 2**31 - 1 + 1) >> 1                     # rounding half sum of x and one
    y = 1515870810 + doubling_high_multiply(half, -1010580540)          # 48/17 - 32/17 * half
    for _ in range(3):
        y = y + (doubling_high_multiply(y, 2**29 - doubling_high_multiply(half, y)) << 2)
    return y
