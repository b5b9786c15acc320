import math
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xorlab.integer import Affine, round_half_away


@given(st.floats(-1e6, 1e6, width=32))
def test_rounding_sends_ties_away_from_zero_like_decimal_arithmetic(x):
    assert round_half_away(x) == int(Decimal(x).quantize(Decimal(1), ROUND_HALF_UP))


@pytest.mark.parametrize("x", [-25.5, -2.5, -0.5, 0.5, 1.5, 2.5, 0.49999999999999994, np.float32(8388609.0)])
def test_rounding_at_ties_and_where_adding_a_half_would_go_wrong(x):
    assert round_half_away(x) == math.copysign(int(Decimal(float(abs(x))).quantize(Decimal(1), ROUND_HALF_UP)), x)


@given(st.integers(-128, 127), st.integers(-128, 127), st.floats(2**-10, 4, width=32))
def test_every_code_survives_dequantizing_and_quantizing(code, zero_point, scale):
    line = Affine(scale, zero_point)
    assert line.quantize(line.dequantize(np.int8(code))) == code


def test_affine_agrees_with_arithmetic_done_by_hand():
    line = Affine(0.25, -3)
    assert line.dequantize(np.array([-3, 1, 127], np.int8)).tolist() == [0.0, 1.0, 32.5]
    assert line.quantize([0.125, -0.125, 1e9, -1e9]).tolist() == [-2, -4, 127, -128]
    assert Affine(0.25, 128, np.uint8).quantize([-100.0, 0.0]).tolist() == [0, 128]


@pytest.mark.parametrize("scale, zero_point, says", [
    (0.0, 0, "scale"), (-1.0, 0, "scale"), (math.nan, 0, "scale"), (math.inf, 0, "scale"), (1.0, 128, "-128..127")])
def test_impossible_parameters_are_refused(scale, zero_point, says):
    with pytest.raises(ValueError, match=says):
        Affine(scale, zero_point)
