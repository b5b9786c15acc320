"""Names of version 0.1 for what `xorlab.integer` holds now; they go with version 0.3."""
from xorlab.integer.affine import CODES, GRANULARITIES, SIGMOID_CODES, Affine
from xorlab.integer.kernels.scaling import in_32_bits
from xorlab.integer.operators import FullyConnected as Layer
from xorlab.integer.operators import Logistic, Relu
from xorlab.integer.rules import RULES, Rule

__all__ = ["CODES", "GRANULARITIES", "RULES", "SIGMOID_CODES", "Affine", "Layer", "Logistic", "Relu", "Rule",
           "in_32_bits"]
