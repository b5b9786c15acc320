"""int8 nets as integer arithmetic in NumPy: what a runtime computes, code for code.

unchecked : the arithmetic of fixed_point and of the kernels, on numbers that are known to fit.
fixed_point : real factors as integers.
affine : what codes mean.
operators : the parts of a graph, as data.
kernels : one operator's arithmetic.
rules : which kernel a runtime has for each.
read : from a TFLite file's operators.
quantize : a trained net's operators, without a file.
explain : one output's arithmetic, as it is done by hand.
graph : a whole graph that runs.
write : a graph as a file.
chain : a net of dense layers, which C code and firmware are made of.
"""
from xorlab.integer.chain import IntegerMLP
from xorlab.integer.graph import IntegerGraph

__all__ = ["IntegerGraph", "IntegerMLP"]
