"""The engine computes in floats wherever that is exact: here it meets the integers that define it, to the edges."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xorlab.integer.affine import Affine
from xorlab.integer.fixed_point import divide_by_power_of_two, doubling_high_multiply, quantize_multiplier
from xorlab.integer.kernels import weighted
from xorlab.integer.kernels.scaling import AWAY, FLOAT64_EXACT, ONCE, UP, multipliers
from xorlab.integer.operators import Conv2D, DepthwiseConv2D, FullyConnected
from xorlab.integer.rules import RULES

INPUT, OUTPUT = Affine(0.5, -3), Affine(0.25, 5)


def product(acc, multiplier, shift):
    return doubling_high_multiply(acc << max(shift, 0), multiplier)


DEFINED = {
    AWAY: lambda acc, multiplier, shift: divide_by_power_of_two(product(acc, multiplier, shift), max(-shift, 0)),
    UP: lambda acc, multiplier, shift: (product(acc, multiplier, shift) + ((1 << max(-shift, 0)) >> 1)) >> max(-shift,
                                                                                                               0),
    ONCE: lambda acc, multiplier, shift: (acc * multiplier + (1 << (30 - shift))) >> (31 - shift)}
EDGES = [0, 1, 2, 3, 5, 2**16, FLOAT64_EXACT - 2, FLOAT64_EXACT - 1, FLOAT64_EXACT, FLOAT64_EXACT + 1, 2**24 - 1, 2**24,
         2**24 + 1, 2**30 + 1, 2**31 - 2, 2**31 - 1]


def check(rounding, acc, factor, dtype=np.int64):
    multiplier, shift = quantize_multiplier(factor)
    acc = np.array(acc, np.int64)
    acc = acc[np.abs(acc) << max(shift, 0) < 2**31]         # beyond, it refuses
    made = rounding.steps(acc.astype(dtype), [factor])
    assert (made == DEFINED[rounding](acc, multiplier, shift)).all()
    assert not len(acc) or (made.dtype == np.float64) == (np.abs(acc).max() < FLOAT64_EXACT)


@pytest.mark.parametrize("rounding", DEFINED, ids=repr)
@settings(max_examples=60)
@given(st.lists(st.integers(-FLOAT64_EXACT + 1, FLOAT64_EXACT - 1), min_size=1), st.integers(2**30, 2**31 - 1),
       st.integers(-31, 12))
def test_in_floats_every_rounding_is_what_it_is_in_integers(rounding, acc, multiplier, shift):
    check(rounding, acc, multiplier * 2.0 ** (shift - 31))


@pytest.mark.parametrize("rounding", DEFINED, ids=repr)
@pytest.mark.parametrize("shift", [*range(-31, 11), 20, 30])
def test_roundings_keep_ties_and_the_edges_of_what_floats_hold(rounding, shift):
    """Powers of two make every second sum a tie, of the first rounding or the second; both signs."""
    ties = [(2 * odd + 1) << max(-shift - more, 0) for odd in range(8) for more in (0, 1, 2)]
    for multiplier in (2**30, 2**30 + 1, 3 * 2**29, 2**31 - 1):
        factor = multiplier * 2.0 ** (shift - 31)
        for acc in (np.arange(-300, 301), ties, np.negative(ties), EDGES, np.negative(EDGES)):
            check(rounding, acc, factor)
        for acc in (EDGES[:8], np.negative(EDGES[:8])):     # the last that go in floats, alone
            check(rounding, acc, factor, np.float32)


@pytest.mark.parametrize("rounding", DEFINED, ids=repr)
def test_a_factor_too_small_to_matter_gives_0(rounding):
    assert quantize_multiplier(2.0**-40) == (0, 0)
    assert not rounding.steps(np.array(EDGES), [2.0**-40]).any()
    assert not rounding.steps(np.array([-FLOAT64_EXACT + 1, 0, 5]), [2.0**-40]).any()


@pytest.mark.parametrize("rounding", [AWAY, UP], ids=repr)
def test_a_sum_that_leaves_32_bits_as_it_is_scaled_up_is_refused(rounding):
    assert rounding.steps(np.array([2**20 - 1]), [1024.0]).tolist() == [(2**20 - 1) * 1024]
    with pytest.raises(ValueError, match="32 bits"):
        rounding.steps(np.array([2**20]), [1024.0])         # 1024 is 2**11 / 2: shifted by 11


def test_each_unit_keeps_its_factor_in_blocks_of_any_length():
    rng = np.random.default_rng(0)
    factors = np.ldexp(rng.integers(2**30, 2**31, 7) / 2**31, rng.integers(-20, 4, 7))
    acc = rng.integers(-(2**18), 2**18, (50, 7))
    for rounding, defined in DEFINED.items():
        expected = np.column_stack([defined(acc[:, unit], *(int(x[unit]) for x in multipliers(factors)))
                                    for unit in range(7)])
        steps = rounding.prepared(factors, (16, 7))
        assert (np.concatenate([steps(acc[i : i + 16]).copy() for i in range(0, 50, 16)]) == expected).all()


def layer(weights, biases, **more):
    return FullyConnected(np.array(weights), np.array(biases), np.float32([0.001]), INPUT, OUTPUT, **more)


@pytest.mark.parametrize("bias, kind", [(0, np.float32), (1, np.float64)])
def test_sums_go_in_float32_just_as_long_as_it_holds_them(bias, kind):
    """The zero point adds 3 times the weights to the bias; 128 + 3 times their sum is the most that can come."""
    most = 2**24 - 1
    weights = np.full(1009, 127)
    op = layer([weights], [most - 131 * weights.sum() + bias])
    assert op.in_floats.dtype == kind
    x = np.stack([weights * 0 + 127, weights * 0 - 128]).astype(np.int8)[None]
    kernel = RULES["tflm"].kernel(op)
    assert (kernel.accumulate(op, x) == (x.astype(np.int64) + 3) @ op.weights.T + op.biases).all()


@pytest.mark.parametrize("bias, fits", [(2**31 - 1 - 130 * 127, True), (2**31 - 130 * 127, False),
                                        (-(2**31) + 125 * 127, True), (-(2**31) + 125 * 127 - 1, False)])
def test_sums_reach_as_far_as_32_bits_and_no_further(bias, fits):
    op = layer([[127]], [bias])
    kernel, x = RULES["tflm"].kernel(op), np.int8([[[127 if bias > 0 else -128]]])
    if fits:
        assert abs(kernel.accumulate(op, x).item()) >= 2**31 - 1
        kernel(op, x)
    else:
        for call in (kernel.accumulate, kernel):
            with pytest.raises(ValueError, match="32 bits"):
                call(op, x)


def summed(op, x):
    """Return the sums of a convolution of (n, h, w, c) as they are defined: window by window, int64."""
    (top, bottom), (left, right) = op.margins(x.shape)
    c = np.pad(x.astype(np.int64) - op.input.zero_point, ((0, 0), (top, bottom), (left, right), (0, 0)))
    tall, wide = op.extent(x.shape)
    sums = np.zeros((len(x), tall, wide, op.units), np.int64)
    for place in np.ndindex(tall, wide):
        rows, columns = (start * stride + np.arange(reach) * dilation for start, stride, reach, dilation in zip(
            place, op.stride, op.reach(), op.dilation, strict=True))
        window = c[:, rows][:, :, columns]
        for unit in range(op.units):
            if isinstance(op, DepthwiseConv2D):
                seen = (window[..., unit // op.multiplier] * op.weights[..., unit]).reshape(len(x), -1)
            else:
                size = op.weights.shape[3]
                first = unit // (op.units // op.groups) * size
                seen = (window[..., first : first + size] * op.weights[unit]).reshape(len(x), -1)
            sums[:, *place, unit] = seen.sum(axis=1) + op.biases[unit]
    return sums


@pytest.mark.parametrize("seed", range(40))
def test_convolutions_sum_up_what_each_window_sees(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    monkeypatch.setattr(weighted, "NUMBERS_AT_ONCE", int(2 ** rng.integers(4, 17)))
    monkeypatch.setattr(weighted, "SUMS_AT_ONCE", int(2 ** rng.integers(2, 15)))
    reach, stride, dilation = (tuple(map(int, rng.integers(1, 4, 2))) for _ in range(3))
    groups, size, each = (int(rng.integers(1, most)) for most in (4, 4, 4))
    how = {"stride": stride, "dilation": dilation, "padding": str(rng.choice(["SAME", "VALID"]))}
    channels, units, largest = groups * size, groups * each, int(rng.choice([4, 127]))
    if seed % 2:
        units = channels * each
        kind, shape, how = DepthwiseConv2D, (*reach, units), how | {"multiplier": each}
    else:
        kind, shape, how = Conv2D, (units, *reach, size), how | {"groups": groups}
    op = kind(rng.integers(-largest, largest + 1, shape), rng.integers(-(2**25), 2**25, units) * (seed % 3 == 0),
              np.float32(rng.uniform(0.001, 0.1, units)), INPUT, OUTPUT, **how)
    x = rng.integers(-128, 128, (3, 2, *rng.integers(7, 10, 2), channels)).astype(np.int8)
    sums = RULES["tflm"].kernel(op).accumulate(op, x)
    expected = summed(op, x.reshape(-1, *x.shape[2:]))
    assert sums.dtype == np.int64 and (sums == expected.reshape(sums.shape)).all()
    for rule in ("tflm", "ruy", "xnnpack"):
        kernel = RULES[rule].kernel(op)
        assert (kernel(op, x) == kernel.requantize(op, sums)).all()
