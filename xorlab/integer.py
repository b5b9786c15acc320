"""An int8 net as integer arithmetic in NumPy: read from a TFLite file or made from a PyTorch net."""
import math
from dataclasses import dataclass, replace

import numpy as np

from xorlab import data, tflite_file
from xorlab.fixed_point import round_half_away
from xorlab.rules import RULES, SIGMOID_CODES, Affine, Layer, Logistic, Relu

KNOWN = ("FULLY_CONNECTED (with NONE, RELU or RELU6), RELU, RELU6, LOGISTIC and RESHAPE, between a QUANTIZE from "
         "float32 at the start and a DEQUANTIZE at the end")
ELSEWHERE = "predictors.from_tflite runs such a file on a runtime"
CEILINGS = {"NONE": math.inf, "RELU": math.inf, "RELU6": 6.0}
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
    float_ends : whether the file that the net was read from takes float32, and whether it gives float32; the net
        itself is what lies between, codes in and codes out.
    """
    steps: tuple
    rule: str = "tflm"
    float_ends: tuple = (False, False)

    def __post_init__(self):
        if self.rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}, got {self.rule!r}")
        if not self.steps or not isinstance(self.steps[0], Layer):
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
        graph = tflite_file.read(path)
        if (len(graph.inputs), len(graph.outputs)) != (1, 1):
            raise ValueError(f"{path} has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; IntegerMLP runs "
                             f"chains from one input to one output only; {ELSEWHERE}")
        tensors, steps, at = graph.tensors, [], graph.inputs[0]
        for operator in graph.operators:
            if operator.inputs[:1] != (at,) or len(operator.outputs) != 1:
                raise ValueError(f"{path} is not a chain of operators at {operator.name}; IntegerMLP runs chains only")
            types = tuple(tensors[i].dtype for i in (at, *operator.outputs))
            enters = (operator.name, types) == ("QUANTIZE", ("FLOAT32", "INT8")) and not steps
            leaves = (operator.name, types) == ("DEQUANTIZE", ("INT8", "FLOAT32"))
            if operator.name == "RESHAPE":
                _check_same_codes(operator, tensors, path)
            elif not (enters or leaves):
                steps.append(_step(operator, tensors, path))
            at = operator.outputs[0]
        if graph.outputs != (at,):
            raise ValueError(f"{path} does not give the end of its chain; IntegerMLP runs whole chains only")
        _check_rows(graph, path)
        return cls(tuple(steps), rule, tuple(tensors[i].dtype == "FLOAT32" for i in (graph.inputs[0], at)))

    @classmethod
    def from_torch(cls, model, calibration=None, rule="tflm"):
        """Quantize a PyTorch net without TensorFlow: per-tensor int8 weights, int32 biases, ranges by calibration.

        model : a net as models.layers_of takes it; a layer without a bias has biases of 0.
        calibration : float32 (n, inputs) from which each tensor's range is learned; None means the 9 x 9 grid over
            [0, 1]^2, corners included.
        Raises ValueError for another model, or calibration that does not fit it. Another model can come by way of a
        file: export.to_onnx, to_saved_model and to_tflite, then IntegerMLP.from_tflite.
        Source: Jacob et al. 2018 (arXiv:1712.05877); the recipe of TinyMind's XOR example.
        """
        from xorlab.models import layers_of

        try:
            layers = layers_of(model)
        except ValueError as error:
            raise ValueError(f"{error}; or convert the net with xorlab.export and read its int8 file with "
                             "IntegerMLP.from_tflite") from None
        if not all(np.isfinite(p.detach().numpy()).all() for p in model.parameters()):
            raise ValueError("the net has weights that are NaN or infinite; train it again from another start")
        if calibration is None:
            calibration = data.grid(data.CALIBRATION_SIDE)
        calibration = data.points(calibration, layers[0][0].in_features)
        return cls(tuple(_quantized(layers, calibration)), rule)

    def __repr__(self):
        kinds = [f"{_name(step)} {len(step.weights)}" if isinstance(step, Layer) else _name(step)
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

    def codes(self, q, batch=1):
        """Return output codes int8 (n,), or (n, units) where there are several, of input codes int8 (n, inputs).

        batch : how many samples a call of the runtime has, the last call perhaps fewer. 1 is one sample at a time, as
            on a device. Only the rule "single" asks: its runtime rounds a wide layer of one sample another way.
        """
        out = self.trace(q, batch)[-1].codes
        return out[:, 0] if out.shape[1] == 1 else out

    def trace(self, q, batch=1):
        """Run input codes int8 (n, inputs) and return a Step for every operator.  batch : as for `codes`."""
        q = self.checked(q)
        if not isinstance(batch, int | np.integer) or batch < 1:
            raise ValueError(f"batch must be a whole number from 1, the samples of one call, got {batch!r}")
        if batch > 1 and len(q) % batch == 1:           # the last call has one sample
            calls = self._run(q[:-1], batch), self._run(q[-1:], 1)
            return [Step(a.name, *(None if x is None else np.concatenate([x, y]) for x, y in (
                (a.codes, b.codes), (a.accumulators, b.accumulators)))) for a, b in zip(*calls, strict=True)]
        return self._run(q, batch)

    def _run(self, q, batch):
        made = []
        for step in self.steps:
            acc, rule = None, RULES[self.rule]
            if isinstance(step, Layer):
                acc = step.accumulate(q)
                q = rule.of_layer(step, batch).requantize(acc, step)
            else:
                q = rule.table(step)[q.astype(np.int64) + 128]
            made.append(Step(_name(step), q, acc))
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
                                  RULES[self.rule].of_layer(step, 1))
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
    lowest, highest = rule.clamp(layer)
    clamped = "" if moved == code else f", clamped to {lowest}..{highest}"
    print(f"    {steps} {layer.output.zero_point:+d} = {moved}{clamped}: code {code}")


def _codes(q):
    return ", ".join(str(code) for code in q[0])


def _reals(line, q):
    return ", ".join(f"{x:.4f}" for x in line.dequantize(q[0]))


def _name(step):
    """Return what TFLite calls an operator."""
    if isinstance(step, Relu):
        return "RELU" if step.ceiling == math.inf else "RELU6"
    return "FULLY_CONNECTED" if isinstance(step, Layer) else "LOGISTIC"


def _step(operator, tensors, path):
    """Turn an operator of a TFLite file into a step."""
    if operator.name not in ("FULLY_CONNECTED", "RELU", "RELU6", "LOGISTIC"):
        into = " to ".join(f"{tensors[i].dtype} {_called(tensors, i)}" for i in (operator.inputs[0], *operator.outputs))
        raise ValueError(f"{path}: operator {operator.name} ({into}) is not supported; IntegerMLP knows {KNOWN}; "
                         f"{ELSEWHERE}")
    source, target = (_line(tensors, i, path) for i in (operator.inputs[0], *operator.outputs))
    try:
        if operator.name == "LOGISTIC":
            return Logistic(source, target)
        if operator.name == "FULLY_CONNECTED":
            return _layer(operator, tensors, source, target)
        return Relu(source, target, CEILINGS[operator.name])
    except ValueError as error:
        raise ValueError(f"{path}: {operator.name} into {_called(tensors, operator.outputs[0])}: {error}") from None


def _layer(operator, tensors, source, target):
    if operator.activation not in CEILINGS:
        raise ValueError(f"the fused activation {operator.activation} is not supported; IntegerMLP knows "
                         f"{', '.join(CEILINGS)}; {ELSEWHERE}")
    indices = [i for i in operator.inputs[1:] if i >= 0]            # a bias left out is no input, or an input of -1
    weights, biases = tensors[indices[0]], [tensors[i] for i in indices[1:]]
    if weights.dtype != "INT8" or weights.zero_points.any() or weights.data is None or weights.data.ndim != 2:
        raise ValueError(f"weights {_called(tensors, indices[0])} are {weights.dtype} of shape {weights.shape} with "
                         f"zero points {weights.zero_points}{'' if weights.data is not None else ', computed'}; "
                         "IntegerMLP wants constant symmetric int8 weights (units, inputs)")
    numbers = np.zeros(len(weights.data), np.int64)
    for tensor in biases:
        if tensor.dtype != "INT32" or tensor.data is None or tensor.data.shape != numbers.shape:
            raise ValueError(f"biases {_called(tensors, indices[1])} are {tensor.dtype} of shape {tensor.shape}; "
                             f"IntegerMLP wants {len(numbers)} constant int32 biases")
        numbers = tensor.data.astype(np.int64)
    lowest = -128 if operator.activation == "NONE" else target.zero_point
    return Layer(weights.data.astype(np.int64), numbers, weights.scales, source, target, lowest,
                 CEILINGS[operator.activation])


def _check_same_codes(reshape, tensors, path):
    """Raise ValueError for a RESHAPE whose codes mean other numbers afterwards: runtimes copy them all the same."""
    before, after = (tensors[i] for i in (reshape.inputs[0], *reshape.outputs))
    if not all(np.array_equal(*pair) for pair in (
            (before.scales, after.scales), (before.zero_points, after.zero_points), (before.dtype, after.dtype))):
        raise ValueError(f"{path}: RESHAPE into {_called(tensors, reshape.outputs[0])} changes the scale or the type "
                         "of the codes, which no runtime follows; convert the net anew")


def _check_rows(graph, path):
    """Raise ValueError unless every tensor holds one row for each sample, as the layers take and make them."""
    samples = (graph.tensors[graph.inputs[0]].shape or (1,))[0]
    for operator in graph.operators:
        if operator.name == "FULLY_CONNECTED":
            shape = graph.tensors[operator.inputs[1]].shape
            for i, codes in ((operator.inputs[0], shape[1]), (operator.outputs[0], shape[0])):
                if math.prod(graph.tensors[i].shape) != samples * codes:
                    raise ValueError(
                        f"{path}: {_called(graph.tensors, i)} has the shape {graph.tensors[i].shape} beside "
                        f"weights {shape}; IntegerMLP runs layers over whole samples, {codes} codes each; {ELSEWHERE}")


def _line(tensors, index, path):
    """Return the Affine of an int8 tensor."""
    tensor = tensors[index]
    if tensor.dtype != "INT8" or len(tensor.scales) != 1:
        raise ValueError(f"{path}: {_called(tensors, index)} is {tensor.dtype} with {len(tensor.scales)} scales; "
                         "IntegerMLP runs int8 files only, perhaps with QUANTIZE and DEQUANTIZE at their ends (export "
                         "variant int8)")
    try:
        return Affine(float(tensor.scales[0]), int(tensor.zero_points[0]))
    except ValueError as error:
        raise ValueError(f"{path}: {_called(tensors, index)}: {error}") from None


def _called(tensors, index):
    """Return what a message calls a tensor: its name, or its place where it has none."""
    return f"tensor {tensors[index].name or f'number {index}'}"


def _quantized(layers, x):
    """Yield the net's steps, with each tensor's range as the float net shows it on the points x."""
    import torch

    values = torch.from_numpy(x)
    line = _range(values)
    with torch.no_grad():
        for linear, activation in layers:
            values = linear(values)
            if activation == "relu":
                values = values.relu()
            layer = _quantized_layer(linear, line, _range(values), activation == "relu")
            line = layer.output
            yield layer
            if activation == "sigmoid":
                values = values.sigmoid()
                yield Logistic(line, SIGMOID_CODES)
                line = SIGMOID_CODES


def _quantized_layer(linear, source, target, relu):
    weights = linear.weight.detach().double().numpy()
    biases = np.zeros(len(weights)) if linear.bias is None else linear.bias.detach().double().numpy()
    scale = float(np.abs(weights).max()) / 127 or 1.0           # a layer of zeros still needs a scale
    scales = np.float32([scale])
    limit = 2**31 - 1
    codes = round_half_away(biases / (source.scale * scale))
    if np.abs(codes).max() > limit:
        raise ValueError(f"a bias of {biases[np.abs(codes).argmax()]:g} does not fit into 32 bits at the scale "
                         f"{source.scale * scale:.3g} of its layer; scale the inputs or the weights")
    return Layer(round_half_away(weights / scale).astype(np.int64), codes.astype(np.int64), scales, source, target,
                 target.zero_point if relu else -128)


def _range(values):
    return Affine.of_range(float(values.min()), float(values.max()))
