"""An int8 net as integer arithmetic in NumPy: read from a TFLite file or made from a PyTorch net."""
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from xorlab import arguments
from xorlab.integer import explain, quantize
from xorlab.integer.explain.parts import Explanation
from xorlab.integer.fixed_point import quantize_multiplier
from xorlab.integer.graph import IntegerGraph, Step, checked_batch
from xorlab.integer.operators import Dequantize, FullyConnected, Logistic, Quantize, Relu, Reshape
from xorlab.integer.rules import RULES

CHAINS = "chains from one input to one output, of FULLY_CONNECTED, RELU, RELU6, LOGISTIC and RESHAPE"
CHAINS_ONLY = f"IntegerMLP runs {CHAINS}; integer.IntegerGraph runs any graph"
CODE_OF_CHAINS = (f"C code is written for {CHAINS}; TFLite Micro runs other graphs on a device, from their file as an "
                  "array: codegen.write_tflite_array")
STEPS = FullyConnected | Relu | Logistic


@dataclass(frozen=True, repr=False)
class IntegerMLP:
    """An int8 net as integer arithmetic in NumPy, under one runtime's rule.

    steps : FullyConnected, Logistic and Relu operators in order.  rule : a name in rules.RULES.
    float_ends : whether the file that the net was read from takes float32, and whether it gives float32; the net
        itself is what lies between, codes in and codes out.
    """
    steps: tuple
    rule: str = "tflm"
    float_ends: tuple = (False, False)

    def __post_init__(self):
        arguments.one_of("rule", self.rule, RULES)
        arguments.several("steps", self.steps, "operators", STEPS)
        if not isinstance(self.steps, tuple) or not isinstance(self.float_ends, tuple) or (
                [type(end) for end in self.float_ends] != [bool, bool]):
            raise TypeError("steps must be a tuple of operators and float_ends two of True and False, got "
                            f"{arguments.shown(self.steps)} and {arguments.shown(self.float_ends)}")
        if not self.steps or not isinstance(self.steps[0], FullyConnected):
            raise ValueError("an IntegerMLP begins with a layer; this net has none, or something else before it")

    @classmethod
    def from_tflite(cls, path, rule="tflm"):
        """Read an int8 TFLite file: a chain of FULLY_CONNECTED, RELU, RELU6, LOGISTIC and RESHAPE operators.

        A layer may have none, RELU or RELU6 fused, and no bias: its biases are 0 then. A sample of any shape is a row
        of codes here, in the order of memory.
        A file may take float32 and begin with QUANTIZE, or end with DEQUANTIZE and give float32. The net is then what
        lies between: `input` and `output` are the affine maps of the codes that QUANTIZE makes and DEQUANTIZE takes,
        and `float_ends` tells. How a runtime rounds at these two ends is no part of the net: TFLite Micro and LiteRT's
        reference kernels quantize as `input.quantize` does, the others may take the neighbour of a code at a tie.
        Raises FileNotFoundError, or ValueError if the file is damaged, not int8 between its ends, or holds anything
        else.
        """
        return cls._from_graph(IntegerGraph.from_tflite(path, rule), path, CHAINS_ONLY)

    @classmethod
    def from_graph(cls, graph: IntegerGraph) -> "IntegerMLP":
        """Return the chain that an IntegerGraph is, under its rule; see from_tflite for its ends.

        Raises ValueError for a graph that is no chain of dense layers.
        """
        arguments.instance("graph", graph, IntegerGraph, "an IntegerGraph")
        return cls._from_graph(graph, "the graph", CHAINS_ONLY)

    @classmethod
    def _from_graph(cls, graph, called, instead):
        steps, at = [], graph.inputs[0].tensor
        if (len(graph.inputs), len(graph.outputs)) != (1, 1):
            raise ValueError(f"{called} has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; {instead}")
        for node in graph.nodes:
            op = node.operator
            if node.inputs != (at,):
                raise ValueError(f"{called} is not a chain of operators at {op.name}; {instead}")
            enters, leaves = isinstance(op, Quantize) and op.input is None and not steps, isinstance(op, Dequantize)
            if isinstance(op, Reshape):
                if op.input != op.output:           # every runtime copies the codes, which then mean other numbers
                    raise ValueError(f"{called}: RESHAPE into tensor {node.name} changes the scale of the codes; "
                                     f"{instead}")
            elif isinstance(op, STEPS):
                steps.append(op)
            elif not (enters or leaves):
                raise ValueError(f"{called}: {op.name} into tensor {node.name} is no step of a chain; {instead}")
            at = node.output
        if graph.outputs[0].tensor != at:
            raise ValueError(f"{called} does not give the end of its chain; {instead}")
        _check_rows(graph, called, instead)
        return cls(tuple(steps), graph.rule, tuple(end.affine is None for end in (*graph.inputs, *graph.outputs)))

    @classmethod
    def from_torch(cls, model, calibration=None, rule="tflm", *, weight_bits=8, granularity="per_tensor"):
        """Quantize a PyTorch net without TensorFlow: int8 weights, int32 biases, ranges by calibration.

        model : a net as models.layers_of takes it; a layer without a bias has biases of 0.
        calibration : float32 (n, inputs) from which each tensor's range is learned; None means the 9 x 9 grid over
            [0, 1]^2, corners included.
        weight_bits : 2 to 8.  granularity : of weight scales, "per_tensor" or "per_channel", one for each unit.
        Raises ValueError for another model, or calibration that does not fit it. Another model can come by way of a
        file: export.to_onnx, to_saved_model and to_tflite, then IntegerMLP.from_tflite.
        Source: Jacob et al. 2018 (arXiv:1712.05877); the recipe of TinyMind's XOR example.
        """
        return cls(quantize.of_torch(model, calibration, weight_bits, granularity), rule)

    @classmethod
    def from_qat(cls, net, rule="tflm") -> "IntegerMLP":
        """Return a net trained by training.fit_qat as integers; see IntegerGraph.from_qat."""
        return cls(quantize.of_qat(net), rule)

    def __repr__(self):
        kinds = [f"{step.name} {len(step.weights)}" if isinstance(step, FullyConnected) else step.name
                 for step in self.steps]
        return f"<IntegerMLP {self.width} -> {' -> '.join(kinds)}, rule {self.rule}>"

    def under(self, rule):
        """Return the same net under another rule."""
        return replace(self, rule=rule)

    @property
    def width(self):
        """How many codes one input has."""
        return self.steps[0].weights.shape[1]

    @property
    def outputs(self):
        """How many codes one output has."""
        return [step for step in self.steps if isinstance(step, FullyConnected)][-1].weights.shape[0]

    @property
    def input(self):
        """The `Affine` of the input codes."""
        return self.steps[0].input

    @property
    def output(self):
        """The `Affine` of the output codes."""
        return self.steps[-1].output

    def codes(self, q, batch=1):
        """Return output codes int8 (n,), or (n, units) where there are several, of input codes int8 (n, inputs).

        batch : how many samples a call of the runtime has, the last call perhaps fewer. 1 is one sample at a time, as
            on a device. Only the rule "single" asks: its runtime rounds a wide layer of one sample another way.
        """
        out = self._traced(q, batch, sums=False)[-1].codes
        return out[:, 0] if out.shape[1] == 1 else out

    def codes_by(self, requantize: Callable, q: np.ndarray) -> np.ndarray:
        """Return output codes as `codes` does, with a function of yours in the place of the rule's rounding.

        requantize : from a unit's sums, int64 (n,), its multiplier and shift, the output's zero point and its lowest
            code to the unit's codes (n,), clamped.  Tables are the rule's.
        Raises ValueError where it returns anything else, or codes that are no int8.
        """
        if not callable(requantize):
            raise TypeError(f"requantize must be a function of a unit's sums, got {arguments.shown(requantize)}")
        x = self.checked(q)
        for step in self.steps:
            kernel = RULES[self.rule].kernel(step)
            if isinstance(step, FullyConnected):
                sums = kernel.accumulate(step, x[:, None])[:, 0]
                made = [_unit_codes(requantize, step, unit, factor) for unit, factor in zip(
                    sums.T, np.broadcast_to(step.scales(), sums.shape[1]), strict=True)]
                x = np.stack(made, axis=1)
            else:
                x = kernel(step, x)
        return x[:, 0] if x.shape[1] == 1 else x

    def trace(self, q, batch=1):
        """Run input codes int8 (n, inputs) and return a Step for every operator.  batch : as for `codes`."""
        return self._traced(q, batch, sums=True)

    def _traced(self, q, batch, sums):
        q, batch = self.checked(q), checked_batch(batch)
        whole = len(q) - len(q) % batch
        parts = [self._run(part, size, sums)
                 for part, size in ((q[:whole], batch), (q[whole:], len(q) - whole)) if len(part)]
        if len(parts) == 1:
            return parts[0]
        return [Step(a.name, *(None if x is None else np.concatenate([x, y]) for x, y in (
            (a.codes, b.codes), (a.accumulators, b.accumulators)))) for a, b in zip(*parts, strict=True)]

    def _run(self, q, batch, sums):
        made, x = [], q.reshape(-1, batch, q.shape[1])              # (calls, batch, features)
        for step in self.steps:
            kernel, acc = RULES[self.rule].kernel(step), None
            if sums and isinstance(step, FullyConnected):
                acc = kernel.accumulate(step, x)
                x, acc = kernel.requantize(step, acc), acc.reshape(len(q), -1)
            else:
                x = kernel(step, x)
            made.append(Step(step.name, x.reshape(len(q), -1), acc))
        return made

    def checked(self, q):
        """Return input codes as an array.  Raises ValueError unless they are int8 (n, inputs)."""
        q = arguments.numbers_in("codes", q, finite=False)
        if q.dtype != np.int8 or q.ndim != 2 or q.shape[1] != self.width or not len(q):
            raise ValueError(f"codes must be int8 of shape (n, {self.width}), got {q.dtype} of shape {q.shape}")
        return q

    def explain(self, q) -> Explanation:
        """Return one input's arithmetic, operator by operator, as it is done by hand; it shows itself.

        q : the codes of one input, int8 (inputs,) or (1, inputs).
        """
        q = arguments.numbers_in("codes", q, finite=False).reshape(1, -1)
        return explain.of_chain(self, q, self.trace(q))


def _unit_codes(requantize, layer, sums, factor):
    made = requantize(sums, *quantize_multiplier(factor), layer.output.zero_point, layer.lowest)
    codes = arguments.plain("what requantize returns", made)
    if codes.shape != sums.shape or codes.dtype.kind not in "iu":
        raise ValueError(f"requantize must return whole numbers of shape {sums.shape}, a code for each sum; got "
                         f"{codes.dtype} of shape {codes.shape}")
    if codes.min() < -128 or codes.max() > 127:
        raise ValueError(f"requantize must clamp its codes to -128..127; got {codes.min()} to {codes.max()}")
    return np.minimum(codes, RULES["tflm"].clamp(layer)[1]).astype(np.int8)         # a RELU6 ends below 127


def chain_of(net) -> IntegerMLP:
    """Return the chain that C code is made of: an IntegerMLP itself, or that which an IntegerGraph is.

    Raises TypeError for anything else, ValueError for a graph that is no chain of dense layers.
    """
    if isinstance(net, IntegerGraph):
        return IntegerMLP._from_graph(net, "the graph", CODE_OF_CHAINS)
    if isinstance(net, IntegerMLP):
        return net
    raise TypeError(f"net must be an IntegerMLP or an IntegerGraph, got {type(net).__name__}; make one with "
                    "from_torch, from_qat or from_tflite of either")


def _check_rows(graph, called, instead):
    """Raise ValueError unless every layer takes as many rows as there are samples: a RESHAPE may cut them anew."""
    samples, shapes = graph.inputs[0].shape[0], {graph.inputs[0].tensor: graph.inputs[0].shape}
    for node in graph.nodes:
        shapes[node.output] = node.shape
        if isinstance(node.operator, FullyConnected) and math.prod(node.shape[:-1]) != samples:
            raise ValueError(f"{called}: FULLY_CONNECTED takes tensor of shape {shapes[node.inputs[0]]} beside weights "
                             f"{node.operator.weights.shape}, which is no row for each sample; {instead}")
