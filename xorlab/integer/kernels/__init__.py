"""Kernels: the arithmetic of one operator, as one runtime does it.

A kernel is called with an operator and what goes into it, and returns what comes out: `kernel(op, *x)`. Arrays have an
axis of calls before the shape that a call has: codes int8 (calls, batch, features), a constant (1, features). Where an
answer depends on the place in a tensor, it is the place in that of one call.
"""
