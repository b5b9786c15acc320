"""Names of version 0.1 for what `xorlab.integer.fixed_point` holds now; they go with version 0.3."""
from xorlab.integer.fixed_point import (
    divide_by_power_of_two,
    doubling_high_multiply,
    fixed_point_logistic,
    quantize_multiplier,
    round_half_away,
)

__all__ = ["divide_by_power_of_two", "doubling_high_multiply", "fixed_point_logistic", "quantize_multiplier",
           "round_half_away"]
