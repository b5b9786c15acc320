"""A whole int8 graph as integer arithmetic in NumPy, under one runtime's rule."""
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from xorlab import arguments, tflite_file
from xorlab.integer import explain, quantize, read
from xorlab.integer.affine import Affine
from xorlab.integer.explain.parts import Explanation
from xorlab.integer.operators import Operator, Weighted
from xorlab.integer.rules import RULES
from xorlab.streams import printable

NUMBERS_AT_ONCE = 2**18             # of the largest tensor, in one go: more would leave the processor's cache


@dataclass(frozen=True)
class End:
    """An input or output of a graph.

    tensor : its index.  name : as the file's signature calls it, or the tensor.  shape : of one call in the file, the
    axis of samples first.  affine : what its codes mean; None where it holds float32.
    """
    tensor: int
    name: str
    shape: tuple
    affine: Affine | None

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.float32) if self.affine is None else self.affine.dtype


@dataclass(frozen=True)
class Node:
    """An operator in its place.

    inputs : indices of the tensors it takes.  output : of the one it makes, called `name`, with `shape` in the file.
    """
    operator: Operator
    inputs: tuple
    output: int
    name: str
    shape: tuple


@dataclass(frozen=True)
class Step:
    """What one operator made of n samples: codes int8 (n, ...), and a weighted sum's accumulators int64 (n, ...)."""
    name: str
    codes: np.ndarray
    accumulators: np.ndarray | None = None


@dataclass(frozen=True, repr=False)
class IntegerGraph:
    """An int8 graph as integer arithmetic in NumPy, under one runtime's rule.

    nodes : in the file's order.  inputs, outputs : Ends.  constants : {tensor: codes (1, ...)} that nodes take.
    rule : a name in rules.RULES. It says how a runtime computes, not whether it takes the file.
    source : the file that it was read from, for sentences about it.
    """
    nodes: tuple
    inputs: tuple
    outputs: tuple
    rule: str = "tflm"
    constants: Mapping = field(default_factory=dict)
    source: str = field(default="", compare=False)

    def __post_init__(self):
        arguments.one_of("rule", self.rule, RULES)

    @classmethod
    def from_tflite(cls, path, rule: str = "tflm") -> "IntegerGraph":
        """Read an int8 TFLite file: any graph, without loops, of the operators in read.KNOWN.

        Raises FileNotFoundError; ValueError, in one sentence that names the operator and its place, if the file is
        damaged or holds anything else.

        >>> from xorlab import data, models
        >>> net = IntegerGraph.from_tflite(models.reference_file("relu-2-4-1", "int8.tflite"), rule="reference")
        >>> net.codes(data.int8_inputs()).shape
        (65536,)
        """
        graph = tflite_file.read(path)
        read.check_known(graph, path)
        nodes, made, constants = [], set(graph.inputs), {}
        for number, op in enumerate(graph.operators):
            if read.makes_shape(op, graph):
                continue
            operator = read.read(op, graph, number, path)
            fed = read.fed(operator, op.inputs)
            for i in fed:
                tensor = graph.tensors[i]
                if tensor.data is not None:
                    constants[i] = tensor.data[None]
                elif i not in made:
                    raise ValueError(f"{path}: operator {number}, {op.name}, takes {read.called(tensor)}, which "
                                     "nothing before it makes")
            nodes.append(Node(operator, fed, op.outputs[0], graph.tensors[op.outputs[0]].name,
                              graph.tensors[op.outputs[0]].shape))
            made.add(op.outputs[0])
        missing = [read.called(graph.tensors[i]) for i in graph.outputs if i not in made]
        if missing or not nodes:
            raise ValueError(f"{path} gives {missing[0]}, which no operator makes" if missing else
                             f"{path} holds no operator to compute")
        ends = [tuple(_end(i, graph, path) for i in side) for side in (graph.inputs, graph.outputs)]
        return cls(tuple(nodes), *ends, rule, constants, printable(path))

    @classmethod
    def from_torch(cls, model, calibration=None, rule: str = "tflm", *, weight_bits: int = 8,
                   granularity: str = "per_tensor") -> "IntegerGraph":
        """Quantize a PyTorch net without TensorFlow; see IntegerMLP.from_torch."""
        return cls._of_chain(quantize.of_torch(model, calibration, weight_bits, granularity), rule)

    @classmethod
    def from_qat(cls, net, rule: str = "tflm") -> "IntegerGraph":
        """Return a net trained by training.fit_qat as integers: the graph of export.qat_to_tflite's file.

        net : a qat.FakeQuantized, as it stands.  On its way to the codes a runtime rounds now and then another way
        than the simulation that was trained: compare.agreement(predictors.from_qat(net), predictors.from_integer(this))
        counts on how many inputs that shows.

        >>> from xorlab import data, models, qat
        >>> IntegerGraph.from_qat(qat.rounded(models.reference(), data.grid(9)))
        <IntegerGraph x (1, 2) -> 4 operators -> y (1, 1), rule tflm>
        """
        return cls._of_chain(quantize.of_qat(net), rule)

    @classmethod
    def _of_chain(cls, steps, rule):
        """Return the graph in which each operator takes what the one before it made."""
        shape = (1, steps[0].weights.shape[1])
        entry, nodes = End(0, "x", shape, steps[0].input), []
        for i, step in enumerate(steps):
            shape = step.shape(shape)
            name = "y" if step is steps[-1] else f"{step.name.lower()}_{i}"
            nodes.append(Node(step, (i,), i + 1, name, shape))
        return cls(tuple(nodes), (entry,), (End(len(steps), "y", shape, steps[-1].output),), rule)

    def __repr__(self):
        return (f"<IntegerGraph {_ends(self.inputs)} -> {len(self.nodes)} operators -> {_ends(self.outputs)}, rule "
                f"{self.rule}>")

    def under(self, rule: str) -> "IntegerGraph":
        """Return the same graph under another rule."""
        return replace(self, rule=rule)

    def codes(self, q, batch: int | None = None):
        """Return output codes, int8 (n,) or (n, ...), of input codes int8 (n, ...); float32 where an end holds that.

        q : one array, or where the graph has several inputs a sequence of them in the file's order, or a dict by name.
        batch : how many samples a call of the runtime has, the last one perhaps fewer. None is as the file was made,
            which is one sample at a time, as on a device, unless it says otherwise. Some answers depend on it: the
            built-in kernels round differently at some places of a tensor.
        Returns an array; where the graph has several outputs a tuple of them.
        """
        made = [[_rows(piece.tensors[end.tensor], piece) for end in self.outputs]
                for piece in self._pieces(q, batch, sums=False)]
        rows = tuple(_row_each(_joined(parts)) for parts in zip(*made, strict=True))
        return rows[0] if len(rows) == 1 else rows

    def trace(self, q, batch: int | None = None) -> list[Step]:
        """Run the graph as `codes` does and return a Step for every node."""
        pieces = list(self._pieces(q, batch, sums=True))

        def whole(kept, tensor):
            parts = [_rows(getattr(piece, kept)[tensor], piece) for piece in pieces if tensor in getattr(piece, kept)]
            return _joined(parts) if parts else None

        return [Step(node.operator.name, whole("tensors", node.output), whole("sums", node.output))
                for node in self.nodes]

    def explain(self, q, node: int | str | None = None, where: int | tuple | None = None) -> Explanation:
        """Return how one output of one operator comes about: what goes in, the sum, the roundings, the clamp.

        q : the codes of one sample, int8 (...) or (1, ...), or one such array for each input, as for `codes`.
        node : the operator, by its place or by the name of the tensor that it makes; None is the last.
        where : the output, an index into what it makes of a sample; None is the first.
        The arithmetic told is checked against the operator's kernel.  Raises ValueError for what is not there.

        >>> from xorlab import models
        >>> net = IntegerGraph.from_tflite(models.reference_file("relu-2-4-1", "int8.tflite"))
        >>> one = net.explain(np.int8([127, -128]), node=1, where=0)
        >>> one.accumulator, one.code
        (54465, 27)
        >>> print(one.working[1])
        54465 * 1559786742 / 2^31 = 39559.68884 -> 39560, / 2^8 = 154.53125, ties away from zero -> 155
        """
        return explain.of_output(self, q, node, where)

    def one_call(self, arrays: list) -> tuple:
        """Return ({tensor: what it holds}, {tensor: sums}, samples) of one call, arrays (1, ...) as runtimes have them.

        arrays : as `checked` returns them, of samples for one call.
        """
        piece = next(self._pieces(arrays, None, sums=True))
        return piece.tensors, piece.sums, piece.samples

    def checked(self, q) -> list[np.ndarray]:
        """Return input codes as a list of arrays, one for each input.

        Raises ValueError unless they are of the ends' types and shapes, (n, ...), with samples for equally many calls.
        """
        if isinstance(q, Mapping):
            if set(q) != {end.name for end in self.inputs}:
                raise ValueError(f"the inputs are {', '.join(end.name for end in self.inputs)}; got "
                                 f"{', '.join(map(str, q)) or 'none'}")
            q = [q[end.name] for end in self.inputs]
        given = [q] if len(self.inputs) == 1 and not isinstance(q, list | tuple) else arguments.several(
            "codes", q, "arrays, one for each input")
        arrays = [arguments.numbers_in("codes", one, finite=False) for one in given]
        if len(arrays) != len(self.inputs):
            raise ValueError(f"the graph has {len(self.inputs)} inputs, {_ends(self.inputs)}; got {len(arrays)} arrays")
        for x, end in zip(arrays, self.inputs, strict=True):
            if x.dtype != end.dtype or x.shape[1:] != end.shape[1:] or not len(x):
                shape = ", ".join(map(str, ("n", *end.shape[1:])))
                raise ValueError(f"input {end.name} takes {end.dtype} of shape ({shape}), got {x.dtype} of shape "
                                 f"{x.shape}")
        if len({len(x) / end.shape[0] for x, end in zip(arrays, self.inputs, strict=True)}) > 1:
            raise ValueError(f"inputs must have samples for equally many calls, got {[len(x) for x in arrays]} for "
                             f"{_ends(self.inputs)}")
        return arrays

    def _pieces(self, q, batch, sums):
        """Yield what runs of some calls at a time leave, each a _Piece; the last call may have fewer samples."""
        rows, sizes = self.checked(q), [end.shape[0] for end in self.inputs]
        if batch is not None:
            batch = checked_batch(batch)
            if len(set(sizes)) > 1:
                raise ValueError(f"{_ends(self.inputs)} differ in samples; leave batch out")
            sizes = [batch] * len(sizes)
        calls, left = divmod(len(rows[0]), sizes[0])
        if left and batch is None:              # a runtime is given the last sample once more until its call is full
            rows = [np.concatenate([x, np.repeat(x[-1:], size - left, axis=0)])
                    for x, size in zip(rows, sizes, strict=True)]
            yield from self._of_calls(rows, sizes, calls + 1, sums, dropped=sizes[0] - left)
            return
        yield from self._of_calls(rows, sizes, calls, sums)
        if left:
            yield from self._of_calls([x[calls * sizes[0] :] for x in rows], [left] * len(rows), 1, sums)

    def _of_calls(self, rows, sizes, calls, sums, dropped=0):
        at_once = max(1, NUMBERS_AT_ONCE // self._most_numbers(sizes[0]))
        for start in range(0, calls, at_once):
            end = min(start + at_once, calls)
            fed = {port.tensor: x[start * size : end * size].reshape(end - start, size, *x.shape[1:])
                   for port, x, size in zip(self.inputs, rows, sizes, strict=True)}
            yield _Piece(*self._run(fed, sums), sizes[0], dropped if end == calls else 0)

    def _most_numbers(self, batch):
        """Return about how many numbers the largest tensor of a call holds."""
        return max(math.prod(end.shape[1:]) for end in (*self.inputs, *self.nodes)) * batch

    def _run(self, fed, sums=False):
        """Return ({tensor: what it holds}, {tensor: sums, if they are wanted}), arrays (calls, ...).

        Raises ValueError, which names the file and the place, where an operator has no answer under this rule.
        """
        tensors, accumulators, rule = {**self.constants, **fed}, {}, RULES[self.rule]
        for node in self.nodes:
            x = [tensors[i] for i in node.inputs]
            try:
                kernel = rule.kernel(node.operator)
                if sums and isinstance(node.operator, Weighted):
                    accumulators[node.output] = kernel.accumulate(node.operator, *x)
                    tensors[node.output] = kernel.requantize(node.operator, accumulators[node.output])
                else:
                    tensors[node.output] = kernel(node.operator, *x)
            except ValueError as error:
                raise ValueError(f"{self.source + ': ' * bool(self.source)}tensor {node.name}: {error}") from None
        return tensors, accumulators


def checked_batch(batch) -> int:
    """Return how many samples a call has.  Raises ValueError for no whole number from 1."""
    if not arguments.is_whole(batch, 1):
        raise ValueError(f"batch must be a whole number from 1, the samples of one call, got {arguments.shown(batch)}")
    return int(batch)


@dataclass(frozen=True)
class _Piece:
    """What a run of some calls left.  samples : of a call.  dropped : of the last samples, which only filled it up."""
    tensors: Mapping
    sums: Mapping
    samples: int
    dropped: int


def _rows(x, piece):
    """Return what calls made, (calls, ...), as a row for each sample; as one for each call if they have none."""
    if x.shape[1:2] != (piece.samples,):
        return x
    x = x.reshape(-1, *x.shape[2:])
    return x[: len(x) - piece.dropped]


def _joined(parts):
    """Return what several calls made as one array."""
    if len({part.shape[1:] for part in parts}) > 1:         # it has no row for each sample, and the last call had fewer
        raise ValueError("a call makes a tensor without a row for each sample, and the last call has fewer samples; "
                         "take a batch that divides the number of samples")
    return np.concatenate(parts)


def _row_each(out):
    """Return (n,) for outputs of one number each, (n, k) where all but one axis behind the first have length 1."""
    lengths = [length for length in out.shape[1:] if length != 1]
    return out.reshape(len(out), *lengths) if len(lengths) < 2 else out


def _end(index, graph, path):
    tensor = graph.tensors[index]
    try:
        affine = None if tensor.dtype == "FLOAT32" else read.line_of(tensor)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; {read.ELSEWHERE}") from None
    if not tensor.shape or 0 in tensor.shape:
        raise ValueError(f"{path}: {read.called(tensor)} has shape {tensor.shape}, without an axis for samples; "
                         f"{read.ELSEWHERE}")
    return End(index, graph.ends.get(index, tensor.name), tensor.shape, affine)


def _ends(ends):
    return " and ".join(f"{end.name} {end.shape}" for end in ends)
