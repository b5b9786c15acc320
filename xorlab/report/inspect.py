"""What stands in a .tflite file, and which runtimes run it."""
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xorlab import ports, runtimes, tflite_bytes
from xorlab.integer import IntegerGraph
from xorlab.integer.read import ELSEWHERE
from xorlab.ports import Port
from xorlab.report.asked import File, ask, real_range
from xorlab.report.html import Section, Shown, counted, shape_words
from xorlab.tables import Table
from xorlab.tflite_bytes import ByteAccount
from xorlab.tflite_file import Graph, Operator

PAIRS = {"stride": ("strideH", "strideW"), "window": ("filterHeight", "filterWidth"),
         "dilation": ("dilationHFactor", "dilationWFactor")}
# said in other columns, or for the machine only
UNSAID = {"quantizedBiasType", "quantSpec", "potScaleInt16", "newShape", "depthMultiplier", "inDataType", "outDataType"}


@dataclass(frozen=True, repr=False)
class Inspection(Shown):
    """What stands in a .tflite file, and which runtimes run it.

    path : the file.  size : in bytes.  graph : its operators and tensors.  inputs, outputs : its ends.
    parameters : numbers in its weights and biases.
    account : what its bytes are for; None if `unaccounted` says why that cannot be told.
    arena : bytes that TFLite Micro needs at least; None if it does not run the file here.
    uncomputed : why the integer graph cannot compute it; "" if it can.
    runtimes : {runtime: why it cannot run the file, "" if it can}.
    """
    path: Path
    size: int
    graph: Graph
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    parameters: int
    account: ByteAccount | None
    unaccounted: str
    arena: int | None
    uncomputed: str
    runtimes: dict[str, str]

    def title(self) -> str:
        return f"{self.path.name}: {self.size:,} bytes"

    def sections(self) -> list[Section]:
        return [Section("", (self._sums(),)),
                Section("Ends", (self.ends(),)),
                Section("Operators", (self.operators(),)),
                *([Section("State", (self._state(),))] if self.graph.state or self.graph.resources else []),
                Section("Bytes", (self.account.table() if self.account else self.unaccounted,)),
                Section("Runs on", (self._computed_by(),))]

    def ends(self) -> Table:
        """Return a Table of the inputs and outputs: type, scale, zero point and range in real numbers."""
        sides = ("in", self.graph.inputs, self.inputs), ("out", self.graph.outputs, self.outputs)
        rows = [_end_row(what, port, self.graph.tensors[i].dtype.lower()) for what, indices, side in sides
                for i, port in zip(indices, side, strict=True)]
        return Table(("end", "name", "shape", "type", "scale", "zero point", "real numbers"), tuple(rows), left=(0, 1))

    def operators(self) -> Table:
        """Return a Table of the main graph's operators: what they take, their constants, what they make, options."""
        rows = [_operator_row(number, op, self.graph) for number, op in enumerate(self.graph.operators)]
        notes = [f"Not shown: {counted(len(self.graph.others), 'graph')} that operators such as WHILE run."
                 ] if self.graph.others else []
        return Table(("#", "operator", "takes", "constants", "makes", "type", "options"), tuple(rows), tuple(notes),
                     left=(1, 2, 3, 4, 5, 6))

    def _sums(self):
        arena = ("not known, for TFLite Micro does not run it here" if self.arena is None else
                 f"{self.arena:,} bytes, the least with which TFLite Micro opens it on this computer")
        return {"parameters": f"{self.parameters:,}", "operators": f"{len(self.graph.operators):,}", "arena": arena}

    def _state(self):
        kept = [*(f"tensor {name}" for name in self.graph.state), *(f"operator {op}" for op in self.graph.resources)]
        return f"Kept from one call to the next, and cleared before each one here: {', '.join(kept)}."

    def _computed_by(self):
        return {name: f"no: {reason}" if reason else "yes"
                for name, reason in {**self.runtimes, "integer graph": self.uncomputed}.items()}


def inspect(path) -> Inspection:
    """Read a .tflite file, try it on every runtime, and return the Inspection.

    The trial is one call with zeros, in a process of its own for a file that this one did not make.
    Raises FileNotFoundError, or ValueError in one sentence if the file is damaged.

    >>> from xorlab import models
    >>> made = inspect(models.reference_file("relu-2-4-1", "int8.tflite"))
    >>> made.parameters, made.runtimes["xnnpack"]
    (17, '')
    """
    file = File.read(path)
    account, unaccounted = _or_reason(tflite_bytes.account, file)
    reasons = {runtime: without(file, ask(file, runtime).reason) for runtime in runtimes.RUNTIMES}
    arena = None if reasons["tflm"] else _or_reason(ports.arena_of, file)[0]
    return Inspection(
        file.path, len(file.content), file.graph, tuple(file.inputs), tuple(file.outputs),
        tflite_bytes.parameters(file.graph), account, unaccounted, arena,
        _or_reason(IntegerGraph.from_tflite, file)[1], reasons)


def _or_reason(of_path, file):
    """Return (what a function makes of the file, ""), or (None, why it cannot)."""
    try:
        return of_path(file.path), ""
    except ValueError as error:
        return None, without(file, str(error))


def without(file: File, sentence: str) -> str:
    """Return a sentence that calls the file "it", where a report has said which file it is."""
    if sentence.startswith(f"{file.path} "):
        sentence = f"it {sentence.removeprefix(f'{file.path} ')}"
    return sentence.removeprefix(f"{file.path}: ").removesuffix(f"; {ELSEWHERE}")


def _end_row(what, port, kind):
    if port.affine is None:
        return what, str(port), shape_words(port.made), kind, "-", "-", "-"
    low, high = real_range(port.affine)
    return (what, str(port), shape_words(port.made), kind, f"{port.affine.scale:.9g}", f"{port.affine.zero_point}",
            f"{low:.4g} to {high:.4g}")


def _operator_row(number, op, graph):
    taken = [graph.tensors[i] for i in op.inputs if i >= 0]
    made = [graph.tensors[i] for i in op.outputs if i >= 0]
    fed = [tensor for tensor in taken if tensor.data is None and not tensor.variable]
    constants = [tensor for tensor in taken if tensor.data is not None]
    before, after = (list(dict.fromkeys(tensor.dtype.lower() for tensor in side)) for side in (fed, made))
    kinds = ", ".join(after) if before == after or not before else f"{', '.join(before)} > {', '.join(after)}"
    cells = op.name, *map(_shapes, (fed, constants, made)), kinds, options_of(op) or "-"
    return str(number), *cells


def _shapes(tensors):
    """Return the shapes of tensors as text, one that comes several times once."""
    counts = Counter(shape_words(tensor.shape) for tensor in tensors)
    return ", ".join(shape if count == 1 else f"{count} of {shape}" for shape, count in counts.items()) or "-"


def options_of(op: Operator) -> str:
    """Return what an operator is told beside its tensors: its activation, padding, strides; what is as usual unsaid.

    >>> options_of(Operator("MAX_POOL_2D", "RELU", (0,), (1,), {"strideH": 2, "strideW": 1, "padding": "SAME"}))
    'RELU, stride 2x1, SAME'
    """
    said = [] if op.activation == "NONE" else [op.activation]
    options = dict(op.options)
    for word, (down, across) in PAIRS.items():
        pair = options.pop(down, None), options.pop(across, None)
        if None not in pair and (word != "dilation" or pair != (1, 1)):
            said.append(f"{word} {pair[0]}x{pair[1]}")
    for name, value in options.items():
        value = value.tolist() if isinstance(value, np.ndarray) else value
        if name == "padding":
            said.append(value)
        elif name == "axis" or (name not in UNSAID and value):
            said.append(name if value is True else f"{name} {_words_of(value)}")
    return ", ".join(said)


def _words_of(value):
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return f"{value:g}" if isinstance(value, float) else f"{value}"
