"""Random int8 graphs: any DAG of the operators, with branches that meet again, constants, and float32 ends.

An operator is kept only if its codes stay lively on random inputs; elsewhere a graph of ten operators says nothing.
"""
from dataclasses import dataclass, replace

import numpy as np
import random_operators
import random_operators_elementwise as elementwise
from random_operators import any_of

from xorlab.integer import IntegerGraph
from xorlab.integer.affine import SIGMOID_CODES, Affine
from xorlab.integer.graph import End, Node
from xorlab.integer.operators import (
    Add,
    Concatenation,
    Dequantize,
    HardSwish,
    LeakyRelu,
    Logistic,
    Mul,
    Operator,
    Quantize,
    Relu,
    Softmax,
    Sub,
    Tanh,
)
from xorlab.integer.rules import RULES
from xorlab.integer.write import lines_of

CALLS = 4                           # of random inputs that the codes are looked at with, and runtimes are asked about
LIVELY = 8                          # different codes, or as many as there are places and input codes for
TRIES = 300


@dataclass(frozen=True, eq=False)
class Tensor:
    """index : of the tensor.  line : its Affine, None for float32.  values : what it holds, (calls, *shape)."""
    index: int
    line: Affine | None
    values: np.ndarray

    @property
    def shape(self):
        return self.values.shape[1:]


class Builder:
    """A graph that grows."""

    def __init__(self, rng, batch: int):
        self.rng, self.batch = rng, batch
        self.style = any_of(rng, "random", "random", "ties")
        self.tensors, self.nodes, self.inputs, self.constants, self.used = [], [], [], {}, set()

    def picture(self) -> tuple:
        return (self.batch, *map(int, self.rng.integers(2, 8, 2)), int(self.rng.choice([1, 2, 3, 8, 17])))

    def add_input(self, shape: tuple):
        """Add an input of codes, or of float32 that a QUANTIZE takes."""
        line, size = self.line(), (CALLS, *shape)
        floats = self.rng.random() < 0.25
        values = self.rng.integers(-128, 128, size).astype(np.int8)
        if floats:
            values = elementwise.numbers(self.rng, Quantize(None, line), (shape,), CALLS)[0]
        entry = self._tensor(None if floats else line, values)
        self.inputs.append(End(entry.index, f"x{entry.index}", shape, entry.line))
        if floats:
            self.try_to_add(Quantize(None, line), entry)

    def line(self) -> Affine:
        """Return a line with 0 well inside of its codes, or at their end."""
        zero_point = any_of(self.rng, -128, 0, int(self.rng.integers(-60, 60)), int(self.rng.integers(-60, 60)))
        return replace(random_operators.line(self.rng, self.style), zero_point=zero_point)

    def like(self, scale: float) -> Affine:
        """Return a line with about this scale."""
        scale *= 2.0 ** any_of(self.rng, 0, self.rng.uniform(-1, 1))
        return replace(self.line(), scale=float(np.float32(scale)))

    def _tensor(self, line, values):
        self.tensors.append(Tensor(len(self.tensors), line, values))
        return self.tensors[-1]

    def constant(self, shape: tuple, line: Affine) -> Tensor:
        """Add a constant that a call may take: one number, one for each channel, or a whole tensor."""
        shape = any_of(self.rng, (1,) * len(shape), shape[-1:], (1, *shape[1:]))
        made = self._tensor(line, self.rng.integers(-128, 128, (1, *shape)).astype(np.int8))
        self.constants[made.index] = made.values
        return made

    def try_to_add(self, op: Operator, *tensors: Tensor) -> bool:
        """Add an operator, unless its codes are dull, a sample's are not its own, or it takes another line."""
        if lines_of(op) != tuple(tensor.line for tensor in tensors):
            return False
        shape = op.shape(*(tensor.shape for tensor in tensors))
        values = RULES["reference"].kernel(op)(op, *(tensor.values for tensor in tensors))
        if shape[0] != self.batch or values[0].size > 4000:
            return False
        fewest = min(LIVELY, *(len(np.unique(tensor.values)) // 2 for tensor in tensors), values.size // 4)
        if op.output is not None and len(np.unique(values)) < fewest:
            return False
        made = self._tensor(op.output, values)
        self.used |= {tensor.index for tensor in tensors}
        self.nodes.append(Node(op, tuple(tensor.index for tensor in tensors), made.index, f"t{made.index}", shape))
        return True

    def codes(self) -> list[Tensor]:
        """Return the tensors of codes that operators or inputs made."""
        return [tensor for tensor in self.tensors if tensor.line is not None and tensor.index not in self.constants]

    def grow(self):
        """Add an operator to a tensor, mostly one that nothing takes yet."""
        for _ in range(TRIES):
            fresh = [tensor for tensor in self.codes() if tensor.index not in self.used]
            x = any_of(self.rng, *(fresh if fresh and self.rng.random() < 0.7 else self.codes()))
            makers = [self.dense, self.unary, self.unary, self.pair, self.pair, self.moved, self.joined, self.averaged]
            if len(x.shape) == 4:
                makers += [self.convolved] * 4 + [self.pooled] * 2
            if any_of(self.rng, *makers)(x):
                return
        raise AssertionError("no operator found whose codes are lively")

    def _from(self, maker, x, **more):
        op, _ = maker(self.rng, self.style, shape=x.shape, source=x.line, **more)
        return self.try_to_add(op, x)

    def dense(self, x):
        return self._from(random_operators.fully_connected, x)

    def convolved(self, x):
        return self._from(any_of(self.rng, random_operators.conv_2d, random_operators.depthwise_conv_2d), x)

    def pooled(self, x):
        return self._from(any_of(self.rng, random_operators.max_pool_2d, random_operators.average_pool_2d), x)

    def moved(self, x):
        return self._from(any_of(self.rng, random_operators.pad, random_operators.reshape), x)

    def averaged(self, x):
        return len(x.shape) > 1 and self._from(random_operators.mean, x)

    def unary(self, x):
        near, alpha = self.like(x.line.scale), float(np.float32(self.rng.choice([0.2, 0.01, 0.125, -0.5])))
        ops = [Relu(x.line, near), Relu(x.line, near, 6.0), LeakyRelu(x.line, near, alpha), Logistic(x.line),
               Tanh(x.line, Affine(1 / 128, 0)), HardSwish(x.line, near), Quantize(x.line, near),
               Softmax(x.line, SIGMOID_CODES)]
        return self.try_to_add(any_of(self.rng, *ops), x)

    def pair(self, x):
        """Two branches meet, or a constant comes in."""
        others = [other for other in self.codes() if other.shape == x.shape and other.index != x.index]
        if others and self.rng.random() < 0.8:
            other = any_of(self.rng, *others)
        elif self.rng.random() < 0.5:
            other = self.constant(x.shape, self.like(x.line.scale))
        else:
            other = x
        kind, activation = any_of(self.rng, Add, Add, Sub, Mul), any_of(self.rng, *random_operators.ACTIVATIONS)
        product = x.line.scale * other.line.scale * 60
        output = self.like(product if kind is Mul else 1.5 * max(x.line.scale, other.line.scale))
        if kind is not Mul and not 1 / 64 < x.line.scale / other.line.scale < 64:
            return False                                        # the smaller one would not be seen in the sum
        operands = (x, other) if self.rng.random() < 0.7 else (other, x)
        return self.try_to_add(kind(operands[0].line, operands[1].line, output, activation), *operands)

    def joined(self, x):
        """Tensors side by side; those on another line are brought to this one first."""
        if len(x.shape) < 2:
            return False
        axis = int(self.rng.integers(1, len(x.shape)))
        fits = [other for other in self.codes() if len(other.shape) == len(x.shape) and all(
            i == axis or a == b for i, (a, b) in enumerate(zip(x.shape, other.shape, strict=True)))]
        others = [any_of(self.rng, *fits) for _ in range(int(self.rng.integers(1, 3)))]
        parts = [x]
        for other in others:
            if other.line != x.line:
                if not self.try_to_add(Quantize(other.line, x.line), other):
                    return False
                other = self.tensors[-1]
            parts.append(other)
        return self.try_to_add(Concatenation(axis, tuple(part.line for part in parts), x.line), *parts)

    def finished(self) -> IntegerGraph:
        """Return the graph; what nothing takes is an output, now and then as float32, and sometimes one more."""
        ends = [tensor for tensor in self.codes() if tensor.index not in self.used]
        for position, tensor in enumerate(ends):
            if self.rng.random() < 0.25 and self.try_to_add(Dequantize(tensor.line), tensor):
                ends[position] = self.tensors[-1]
        made = {node.output for node in self.nodes}
        more = [tensor for tensor in self.codes() if tensor.index in made and tensor.index in self.used]
        if more and self.rng.random() < 0.3:
            ends.append(any_of(self.rng, *more))
        outputs = tuple(End(tensor.index, f"t{tensor.index}", tensor.shape, tensor.line)
                        for tensor in dict.fromkeys(ends) if tensor.index in made)
        used = {i: codes for i, codes in self.constants.items() if any(i in node.inputs for node in self.nodes)}
        return IntegerGraph(tuple(self.nodes), tuple(self.inputs), outputs, constants=used)


def random_graph(rng) -> tuple[IntegerGraph, list[np.ndarray]]:
    """Return (graph of 3 to 12 operators and a few more at its ends, inputs (calls, *shape of a call))."""
    builder = Builder(rng, batch=int(rng.choice([1, 1, 2, 3])))
    shape = builder.picture() if rng.random() < 0.8 else (builder.batch, int(rng.integers(4, 20)))
    for _ in range(any_of(rng, 1, 1, 1, 2, 3)):
        builder.add_input(shape if rng.random() < 0.6 else builder.picture())
    for _ in range(int(rng.integers(3, 13))):
        builder.grow()
    graph = builder.finished()
    return graph, [builder.tensors[end.tensor].values for end in graph.inputs]
