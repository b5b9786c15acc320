"""How far two runtimes are apart, tensor by tensor, counted over as many inputs as come, some at a time."""
from dataclasses import dataclass

import numpy as np

from xorlab.report.asked import File
from xorlab.report.inner import made_by_operators


@dataclass(frozen=True)
class Stage:
    """How far two runtimes are apart in one tensor.

    operator : the place in the file of the operator that makes it, called `kind`.  tensor : its index, called `name`.
    dtype, shape : as the file has them.  compared : how many numbers.  differing : how many differ.  inputs : on how
    many inputs.  step : the largest difference, of codes or, in a float tensor, of numbers.
    """
    operator: int
    kind: str
    tensor: int
    name: str
    dtype: str
    shape: tuple
    compared: int
    differing: int
    inputs: int
    step: int | float

    @property
    def what(self) -> str:
        """What the tensor holds: codes, or numbers."""
        return "codes" if "INT" in self.dtype else "numbers"

    @property
    def share(self) -> float:
        return self.differing / self.compared if self.compared else 0.0


def steps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return how far numbers of one type are apart, of any shape; NaN is where NaN is, infinitely far from all else.

    >>> steps(np.int8([-128, 5]), np.int8([127, 5])).tolist()
    [255, 0]
    >>> steps(np.float32([1, np.nan, np.nan]), np.float32([3, np.nan, 0])).tolist()
    [2.0, 0.0, inf]
    """
    if a.dtype.kind in "iub":
        high, low = np.maximum(a, b), np.minimum(a, b)
        return (high.astype(np.int64) - low.astype(np.int64)).view(np.uint64)       # right for 64 bits too
    wide = np.complex128 if a.dtype.kind == "c" else np.float64
    same = (a == b) | ((a != a) & (b != b))
    with np.errstate(invalid="ignore"):
        size = np.abs(a.astype(wide) - b.astype(wide))
    return np.where(same, 0.0, np.where(np.isnan(size), np.inf, size))


class _Apart:
    """Counts how far two runtimes are apart in one tensor.

    worst : (input, place in a call) of the largest difference, the first of several.
    """

    def __init__(self):
        self.compared = self.differing = self.inputs = 0
        self.step, self.worst = 0, None

    def add(self, a, b, start):
        """Count the calls from number `start` on; return for each whether some number differs."""
        size = steps(a, b)
        apart = size > 0
        by_input = apart.reshape(len(apart), -1).any(axis=1)
        self.compared += a.size
        self.differing += int(apart.sum())
        self.inputs += int(by_input.sum())
        if apart.any() and size.max() > self.step:
            call, *place = map(int, np.unravel_index(size.argmax(), size.shape))
            self.step, self.worst = size.max().item(), (start + call, tuple(place))
        return by_input


class Tally:
    """Counts how far two runtimes are apart in every tensor.

    inputs : on how many inputs some tensor differs.  unlike : {tensor: both shapes} of those that cannot be compared.
    """

    def __init__(self):
        self._of, self.inputs, self.unlike = {}, 0, {}

    def add(self, ours: dict, theirs: dict, start: int):
        """Count {tensor: (calls, ...)} of both, the calls from number `start` on."""
        apart = []
        for i in ours.keys() & theirs.keys():
            a, b = ours[i], theirs[i]
            if a.size == b.size and a.dtype == b.dtype:
                apart.append(self._of.setdefault(i, _Apart()).add(a, b.reshape(a.shape), start))
            else:
                self.unlike[i] = (a.shape[1:], b.shape[1:])
        self.inputs += int(np.any(apart, axis=0).sum()) if apart else 0

    def stages(self, file: File) -> tuple[Stage, ...]:
        """Return a Stage for each tensor that was compared, in the file's order."""
        graph = file.graph
        makers = {i: (number, op.name) for number, op in enumerate(graph.operators) for i in op.outputs}
        return tuple(
            Stage(*makers[i], i, graph.tensors[i].name, graph.tensors[i].dtype, graph.tensors[i].shape, one.compared,
                  one.differing, one.inputs, one.step)
            for i in made_by_operators(graph) if (one := self._of.get(i)))

    def worst(self, tensor: int) -> tuple:
        """Return (input, place in a call) of the largest difference in a tensor, the first of several."""
        return self._of[tensor].worst
