"""An int8 net as integer arithmetic in NumPy: read from a TFLite file or made from a PyTorch net."""
from dataclasses import dataclass, replace

import numpy as np

from xorlab import data, tflite_file
from xorlab.fixed_point import round_half_away
from xorlab.rules import RULES, SIGMOID_CODES, Affine, Layer, Logistic, Relu

NAMES = {Layer: "FULLY_CONNECTED", Logistic: "LOGISTIC", Relu: "RELU"}
SHOWN = 4                                   # products that `explain` writes out before it says "and so on"


@dataclass(frozen=True)
class Step:
    """What one operator made of a batch: codes int8 (n, units), and a layer's accumulators int64 (n, units)."""
    name: str
    codes: np.ndarray
    accumulators: np.ndarray | None = None


@dataclass(frozen=True, repr=False)
class IntegerMLP:
    """An int8 net as integer arithmetic in NumPy, under one runtime's rule.

    steps : Layer, Logistic and Relu operators in order.  rule : a name in rules.RULES.
    """
    steps: tuple
    rule: str = "tflm"

    def __post_init__(self):
        if self.rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}, got {self.rule!r}")
        if not self.steps or not isinstance(self.steps[0], Layer):
            raise ValueError("an IntegerMLP begins with a layer; this net has none, or something else before it")

    @classmethod
    def from_tflite(cls, path, rule="tflm"):
        """Read an int8 TFLite file: a chain of FULLY_CONNECTED (none or RELU fused), RELU, LOGISTIC and RESHAPE.

        Raises FileNotFoundError, or ValueError if the file is damaged, not int8 throughout, or holds anything else.
        """
        graph = tflite_file.read(path)
        steps = []
        at = graph.inputs[0]
        for operator in graph.operators:
            if operator.inputs[0] != at or len(operator.outputs) != 1:
                raise ValueError(f"{path} is not a chain of operators at {operator.name}; IntegerMLP runs chains only")
            steps.append(_step(operator, graph.tensors, path))
            at = operator.outputs[0]
        if (len(graph.inputs), graph.outputs) != (1, (at,)):
            raise ValueError(f"{path} has inputs or outputs besides the ends of its chain; IntegerMLP runs chains only")
        return cls(tuple(filter(None, steps)), rule)

    @classmethod
    def from_torch(cls, model, calibration=None, rule="tflm"):
        """Quantize a PyTorch net without TensorFlow: per-tensor int8 weights, int32 biases, ranges by calibration.

        model : a net as models.layers_of takes it.
        calibration : float32 (n, inputs) from which each tensor's range is learned; None means the 9 x 9 grid over
            [0, 1]^2, corners included.
        Raises ValueError for another model, or calibration that does not fit it.
        Source: Jacob et al. 2018 (arXiv:1712.05877); the recipe of TinyMind's XOR example.
        """
        from xorlab.models import layers_of

        layers = layers_of(model)
        if not all(np.isfinite(p.detach().numpy()).all() for p in model.parameters()):
            raise ValueError("the net has weights that are NaN or infinite; train it again from another start")
        if calibration is None:
            calibration = data.grid(data.CALIBRATION_SIDE)
        calibration = data.points(calibration, layers[0][0].in_features)
        return cls(tuple(_quantized(layers, calibration)), rule)

    def __repr__(self):
        kinds = [f"{NAMES[type(step)]} {len(step.weights)}" if isinstance(step, Layer) else NAMES[type(step)]
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
        return [step for step in self.steps if isinstance(step, Layer)][-1].weights.shape[0]

    @property
    def input(self):
        """The `Affine` of the input codes."""
        return self.steps[0].input

    @property
    def output(self):
        """The `Affine` of the output codes."""
        return self.steps[-1].output

    def codes(self, q):
        """Return output codes int8 (n,), or (n, units) where there are several, of input codes int8 (n, inputs)."""
        out = self.trace(q)[-1].codes
        return out[:, 0] if out.shape[1] == 1 else out

    def trace(self, q):
        """Run input codes int8 (n, inputs) and return a Step for every operator."""
        q = self.checked(q)
        rule = RULES[self.rule]
        made = []
        for step in self.steps:
            acc = None
            if isinstance(step, Layer):
                acc = step.accumulate(q)
                q = rule.requantize(acc, step)
            else:
                q = rule.table(step)[q.astype(np.int64) + 128]
            made.append(Step(NAMES[type(step)], q, acc))
        return made

    def checked(self, q):
        """Return input codes as an array.  Raises ValueError unless they are int8 (n, inputs)."""
        q = np.asarray(q)
        if q.dtype != np.int8 or q.ndim != 2 or q.shape[1] != self.width:
            raise ValueError(f"codes must be int8 of shape (n, {self.width}), got {q.dtype} of shape {q.shape}")
        return q

    def explain(self, q):
        """Print one input's arithmetic, operator by operator, as it is done by hand.

        q : the codes of one input, int8 (inputs,) or (1, inputs).
        """
        q = np.asarray(q).reshape(1, -1)
        made = self.trace(q)
        print(f"rule {self.rule} ({RULES[self.rule].runs_on})")
        print(f"input: codes {_codes(q)} stand for {_reals(self.input, q)}")
        for step, result in zip(self.steps, made, strict=True):
            print(f"{result.name}: in, {step.input}; out, {step.output}")
            if isinstance(step, Layer):
                for unit in range(len(step.weights)):
                    _explain_unit(step, unit, q[0], int(result.accumulators[0, unit]), result.codes[0, unit],
                                  RULES[self.rule])
            else:
                print(f"  codes {_codes(q)} look up {_codes(result.codes)} in the table of 256")
            q = result.codes
        print(f"output: codes {_codes(q)} stand for {_reals(self.output, q)}")


def _explain_unit(layer, unit, codes, acc, code, rule):
    products = [f"{w}*({q}{-layer.input.zero_point:+d})"
                for w, q in zip(layer.weights[unit, :SHOWN], codes[:SHOWN], strict=True)]
    products += ["..."] if len(codes) > SHOWN else []
    print(f"  unit {unit}: {' + '.join(products)} + {layer.biases[unit]} = {acc}".replace("+ -", "- "))
    scale = np.broadcast_to(rule.scales(layer), len(layer.weights))[unit : unit + 1]
    steps = int(rule.steps(np.array([acc]), scale)[0])
    print(f"    {rule.working(acc, scale[0])} -> {steps}")
    moved = steps + layer.output.zero_point
    clamped = "" if moved == code else f", clamped to {layer.lowest}..127"
    print(f"    {steps} {layer.output.zero_point:+d} = {moved}{clamped}: code {code}")


def _codes(q):
    return ", ".join(str(code) for code in q[0])


def _reals(line, q):
    return ", ".join(f"{x:.4f}" for x in line.dequantize(q[0]))


def _step(operator, tensors, path):
    """Turn an operator of a TFLite file into a step; None for a RESHAPE, which moves nothing here."""
    entry, exit_ = tensors[operator.inputs[0]], tensors[operator.outputs[0]]
    if operator.name == "RESHAPE":
        return None
    for tensor in (entry, exit_):
        if tensor.dtype != "INT8" or len(tensor.scales) != 1:
            raise ValueError(f"{path}: tensor {tensor.name} is {tensor.dtype} with {len(tensor.scales)} scales; "
                             "IntegerMLP runs int8 files only (export variant int8)")
    source, target = (Affine(float(t.scales[0]), int(t.zero_points[0])) for t in (entry, exit_))
    if operator.name == "LOGISTIC":
        return Logistic(source, target)
    if operator.name == "RELU":
        return Relu(source, target)
    if operator.name != "FULLY_CONNECTED" or operator.activation not in ("NONE", "RELU"):
        raise ValueError(f"{path}: operator {operator.name} with activation {operator.activation} is not supported; "
                         "IntegerMLP knows FULLY_CONNECTED (with NONE or RELU), RELU, LOGISTIC and RESHAPE")
    weights, biases = (tensors[i] for i in operator.inputs[1:3])
    if weights.dtype != "INT8" or weights.zero_points.any():
        raise ValueError(f"{path}: weights {weights.name} are {weights.dtype} with zero points {weights.zero_points}; "
                         "IntegerMLP wants symmetric int8 weights")
    lowest = target.zero_point if operator.activation == "RELU" else -128
    return Layer(weights.data.astype(np.int64), biases.data.astype(np.int64), weights.scales, source, target, lowest)


def _quantized(layers, x):
    """Yield the net's steps, with each tensor's range as the float net shows it on the points x."""
    import torch

    values = torch.from_numpy(x)
    line = _line(values)
    with torch.no_grad():
        for linear, activation in layers:
            values = linear(values)
            if activation == "relu":
                values = values.relu()
            layer = _quantized_layer(linear, line, _line(values), activation == "relu")
            line = layer.output
            yield layer
            if activation == "sigmoid":
                values = values.sigmoid()
                yield Logistic(line, SIGMOID_CODES)
                line = SIGMOID_CODES


def _quantized_layer(linear, source, target, relu):
    weights, biases = (p.detach().double().numpy() for p in (linear.weight, linear.bias))
    scale = float(np.abs(weights).max()) / 127 or 1.0           # a layer of zeros still needs a scale
    scales = np.float32([scale])
    limit = 2**31 - 1
    codes = round_half_away(biases / (source.scale * scale))
    if np.abs(codes).max() > limit:
        raise ValueError(f"a bias of {biases[np.abs(codes).argmax()]:g} does not fit into 32 bits at the scale "
                         f"{source.scale * scale:.3g} of its layer; scale the inputs or the weights")
    return Layer(round_half_away(weights / scale).astype(np.int64), codes.astype(np.int64), scales, source, target,
                 target.zero_point if relu else -128)


def _line(values):
    return Affine.of_range(float(values.min()), float(values.max()))
