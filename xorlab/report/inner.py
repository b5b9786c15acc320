"""Every tensor of a file as a runtime has it, whatever its operators are.

A runtime shows a file's outputs only, and what it leaves of other tensors may be overwritten or never have existed. So
the file is rewritten: every tensor that an operator makes becomes an output. A runtime that refuses that file is given
files that end behind one operator each. All of them are foreign, and run in the helper process.
"""
import math
import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from xorlab import runtimes, sandbox, tflite_file
from xorlab.ports import plan_of_calls
from xorlab.report.asked import File, inputs_of

BYTES_AT_ONCE = 1 << 23             # of all tensors together: more calls than these hold go in pieces
FIRST = 4                           # names that a sentence lists before it says how many there are


class Inner:
    """A file opened on a runtime so that every tensor that an operator makes can be had.

    Raises ValueError, in the runtime's own words, if none can.

    >>> from xorlab import models
    >>> inner = Inner(File.read(models.reference_file("textbook-2-4-1", "int8.tflite")), "reference")
    >>> [made.shape for made in inner.run([np.int8([[[127, -128]]])]).values()]
    [(1, 1, 2), (1, 1, 4), (1, 1, 4), (1, 1, 1), (1, 1, 1)]
    """

    def __init__(self, file: File, runtime: str):
        self._file, self._name, self._plan = file, sandbox.NAMES[runtime], plan_of_calls(file.graph, runtime, file.path)
        self._wanted, self._refusal, self._missing = made_by_operators(file.graph), "", {}
        if not self._wanted:
            raise ValueError(f"{file.path} has no operator that makes numbers")
        try:
            self._sessions = {tuple(self._wanted): self._opened(self._wanted)}
        except ValueError as refusal:
            self._cut(refusal)

    def _opened(self, tensors, operators=None):
        names = tuple(self._file.graph.tensors[i].name for i in tensors)
        plan = replace(self._plan, outputs=tuple(tensors), taken=tuple(range(len(tensors))), names=names)
        return sandbox.opened(rewritten(self._file.content, tensors, operators), plan, self._file.path)

    def _cut(self, refusal):
        """Open a file for each operator instead of the one that was refused."""
        self._sessions, self._refusal = {}, self._reason(refusal)
        for number, op in enumerate(self._file.graph.operators):
            tensors = tuple(i for i in op.outputs if i in self._wanted)
            try:
                if tensors:
                    self._sessions[tensors] = self._opened(tensors, number + 1)
            except ValueError as error:
                self._missing |= dict.fromkeys(tensors, self._reason(error))
        if not self._sessions:
            raise refusal

    def _reason(self, refusal):
        """Return what a sandbox's refusal says behind the names of the file and the runtime."""
        return re.sub(rf"^.*{re.escape(self._name)}( can run)?: ", "", str(refusal))

    @property
    def notes(self) -> list[str]:
        """Sentences about what it took, none where the runtime takes the file in which every tensor is an output."""
        notes = [] if not self._refusal else [
            f"{self._name} refuses the file in which every tensor is an output ({self._refusal}), so each tensor comes "
            "from a file that ends behind the operator that makes it."]
        if self._missing:
            names = [self._file.graph.tensors[i].name for i in self._missing]
            notes.append(f"{self._name} does not show {len(names)} of {len(self._wanted)} tensors "
                         f"({next(iter(self._missing.values()))}): {', '.join(names[:FIRST])}"
                         f"{', ...' if len(names) > FIRST else ''}.")
        return notes

    def run(self, arrays: list) -> dict[int, np.ndarray]:
        """Return {tensor: what it holds, (calls, ...)} of n calls, an array (calls, *shape of a call) for each input.

        Tensors are in the order in which operators make them; those that the runtime does not show are left out.
        Raises ValueError in the runtime's own words if it shows none.
        """
        made = {}
        for tensors, session in list(self._sessions.items()):
            try:
                made |= zip(tensors, session.run(*arrays), strict=True)
            except ValueError as error:
                if not self._refusal:
                    self._cut(error)
                    return self.run(arrays)
                del self._sessions[tensors]
                self._missing |= dict.fromkeys(tensors, self._reason(error))
                if not self._sessions:
                    raise
        return {i: made[i] for i in self._wanted if i in made}


def tensors(path, runtime: str, inputs=None, *, quantize: bool = False) -> list[np.ndarray]:
    """Return what every operator of a .tflite file makes on a runtime: arrays (calls, ...), in the file's order.

    runtime : of runtimes.RUNTIMES.  inputs, quantize : as for asked.inputs_of; None takes all inputs or draws some.
    Raises FileNotFoundError; ImportError where TFLite Micro cannot be installed; ValueError, in one sentence, for a
    damaged file, inputs that do not fit, and a runtime that does not show every tensor.

    >>> from xorlab.report.examples import example
    >>> [made.shape for made in tensors(example("sine"), "reference")]
    [(256, 1, 16), (256, 1, 16), (256, 1, 1)]
    """
    runtimes.require(runtime)
    file = File.read(path)
    given, inner = inputs_of(file, inputs, quantize=quantize), Inner(file, runtime)
    runs = [inner.run([x[piece] for x in given.arrays]) for piece in pieces(file.graph, len(given))]
    if len(runs[0]) < len(made_by_operators(file.graph)):
        raise ValueError(f"{path}: " + " ".join(inner.notes))
    return [np.concatenate([run[i] for run in runs]) for i in runs[0]]


def pieces(graph: tflite_file.Graph, calls: int) -> Iterator[slice]:
    """Yield slices of n calls, each of as many as may be in memory at a time."""
    a_call = sum(math.prod(graph.tensors[i].shape) * np.dtype(tflite_file.NUMPY_TYPES[graph.tensors[i].dtype]).itemsize
                 for i in made_by_operators(graph))
    at_once = max(1, BYTES_AT_ONCE // max(1, a_call))
    return (slice(start, min(start + at_once, calls)) for start in range(0, calls, at_once))


def made_by_operators(graph: tflite_file.Graph) -> list[int]:
    """Return the indices of the tensors of numbers that operators make, in that order, those of state left out."""
    return list(dict.fromkeys(
        i for op in graph.operators for i in op.outputs
        if i >= 0 and graph.tensors[i].dtype in tflite_file.NUMPY_TYPES and not graph.tensors[i].variable))


def rewritten(content: bytes, outputs: list, operators: int | None = None) -> bytes:
    """Return a TFLite file with other outputs, without signatures.

    outputs : tensor indices.  operators : how many to keep, from the first on; None keeps all.
    """
    model = tflite_file.unpacked(content)
    _bring_inside(model, content)
    graph = model.subgraphs[0]
    graph.outputs, graph.operators = np.int32(outputs), graph.operators[:operators]
    model.signatureDefs = None
    # a plan of TFLite Micro's memory made before knows nothing of the further outputs, and lets tensors overwrite them
    model.metadata = [item for item in model.metadata or () if item.name != b"OfflineMemoryAllocation"]
    return tflite_file.packed(model)


def _bring_inside(model, content):
    """Put what a large file keeps behind its flatbuffer, by its place in the file, into the objects themselves."""
    for buffer in model.buffers or ():
        if buffer.offset > 1:
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    for graph in model.subgraphs:
        for op in graph.operators or ():
            if op.largeCustomOptionsOffset > 1:
                op.customOptions = np.frombuffer(content, np.uint8, op.largeCustomOptionsSize,
                                                 op.largeCustomOptionsOffset)
                op.largeCustomOptionsOffset = op.largeCustomOptionsSize = 0

