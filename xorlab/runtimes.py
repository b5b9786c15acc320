"""The interpreters that run TFLite files in this process, all four behind one class.

They are native code: a file that they were not made for can end the process. `sandbox.opened` decides whether a file
runs here or in a helper process.
"""
import importlib.util
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xorlab import arguments

LITERT_KERNELS = {                                  # runtime -> LiteRT's name for that set of kernels
    "xnnpack": "AUTO",                              # LiteRT's default: hand over to XNNPACK
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference": "BUILTIN_REF",
}
RUNTIMES = (*LITERT_KERNELS, "tflm")


@dataclass(frozen=True)
class Plan:
    """How a file is run.

    runtime : a name in RUNTIMES.  inputs, outputs : tensor indices, in the file's order.
    kinds : (dtype, shape) of each input as the file was made, for a trial run.
    taken : positions of the outputs that a run returns.  names : what errors call them.
    batch : how many samples one call takes; None if any number goes.
    reset : whether the file keeps state, which is cleared before each call.
    whole : whether each row of an array (n, *shape as the file was made) is all that one call takes of an input, so
        that inputs and outputs need no axis of samples; batch is 1 then.
    """
    runtime: str
    inputs: tuple
    outputs: tuple
    kinds: tuple
    taken: tuple
    names: tuple
    batch: int | None
    reset: bool = False
    whole: bool = False


class Model:
    """A file opened in this process.

    arena : bytes of memory for TFLite Micro, which plans within them.
    Raises ValueError or RuntimeError, in the runtime's own words, some of which it writes to native stderr.
    """

    def __init__(self, content: bytes, plan: Plan, arena: int | None = None):
        self.plan = plan
        self._interpreter = (_Micro if plan.runtime == "tflm" else _LiteRT)(content, plan, arena)
        self._one_at_a_time = threading.Lock()      # an interpreter has one set of tensors

    def run(self, *inputs: np.ndarray) -> list[np.ndarray]:
        """Run n samples, one array (n, ...) for each input of the file; return one for each output that is taken.

        Raises ValueError or RuntimeError in the runtime's own words, or if an output has not a row for each sample.
        """
        with self._one_at_a_time:
            if self.plan.whole:
                return in_calls(self._interpreter.call, inputs, self.plan.names)
            return in_groups(self._interpreter.call, self.plan.batch, inputs, self.plan.names)

    def try_once(self):
        """Run zeros, of the shape that the file was made for; see run."""
        calls = (1,) if self.plan.whole else ()
        self.run(*[np.zeros((*calls, *shape), dtype) for dtype, shape in self.plan.kinds])

    def report(self):
        """Let TFLite Micro write to native stderr how it spent its arena."""
        self._interpreter.report()


def in_groups(call: Callable, batch: int | None, inputs: tuple, names: tuple) -> list[np.ndarray]:
    """Run n samples through `call`, which takes arrays and returns a list of them, `batch` samples at a time.

    batch : None if any number goes.  names : of the outputs, for errors.
    A last group that is too small is filled up with its last sample, whose extra answers are dropped.
    Where a call takes one sample, all that comes out belongs to it, with or without an axis for the batch.
    Raises ValueError if an output has not a row for each sample.
    """
    n = len(inputs[0])
    if not n:
        raise ValueError("there must be at least one sample, got none")
    if batch is None:
        return _rows(call(*inputs), n, names)
    made = []                       # whole arrays: to collect thousands of small ones takes longer than a small net
    for start in range(0, n, batch):
        group = [x[start : start + batch] for x in inputs]
        missing = batch - len(group[0])
        if missing:
            group = [np.concatenate([x, np.repeat(x[-1:], missing, axis=0)]) for x in group]
        out = call(*group)
        if not made:
            made = [np.empty((n, *(one.shape if batch == 1 and one.shape[:1] != (1,) else _row(one, batch, name))),
                             one.dtype) for one, name in zip(out, names, strict=True)]
        for whole, part in zip(made, out, strict=True):
            whole[start : start + batch] = part if batch == 1 else part[: n - start]
    return made


def in_calls(call: Callable, inputs: tuple, names: tuple) -> list[np.ndarray]:
    """Run n calls, one row of each array (n, ...) a call; return an array (n, ...) for each output.

    Raises ValueError if an output does not have the same shape after every call.
    """
    made = []
    for i in range(len(inputs[0])):
        out = call(*[x[i] for x in inputs])
        if not made:
            made = [np.empty((len(inputs[0]), *one.shape), one.dtype) for one in out]
        for whole, part, name in zip(made, out, names, strict=True):
            if part.shape != whole.shape[1:]:
                raise ValueError(f"output {name} came out with shape {whole.shape[1:]} and with shape {part.shape}")
            whole[i] = part
    return made


def _rows(outputs, n, names):
    for out, name in zip(outputs, names, strict=True):
        _row(out, n, name)
    return outputs


def _row(out, n, name):
    """Return the shape of one sample's answer in an output of n samples."""
    if out.shape[:1] != (n,):
        raise ValueError(f"output {name} came out with shape {out.shape} for {n} samples; "
                         "it must have a row for each")
    return out.shape[1:]


class _LiteRT:
    def __init__(self, content, plan, _):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self._plan = plan
        self._interpreter = Interpreter(model_content=content, num_threads=1,
                                        experimental_op_resolver_type=OpResolverType[LITERT_KERNELS[plan.runtime]])
        self._interpreter.allocate_tensors()
        self._allocated = None          # kept here: asking the interpreter takes longer than a small net

    def call(self, *inputs):
        shapes = [x.shape for x in inputs]
        if shapes != self._allocated and self._plan.batch is None:
            self._allocated = None
            for index, shape in zip(self._plan.inputs, shapes, strict=True):
                self._interpreter.resize_tensor_input(index, shape)
            self._interpreter.allocate_tensors()
            self._allocated = shapes
        if self._plan.reset:
            self._interpreter.reset_all_variables()
        for index, x in zip(self._plan.inputs, inputs, strict=True):
            self._interpreter.set_tensor(index, x)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(self._plan.outputs[i]) for i in self._plan.taken]


class _Micro:
    """TFLite Micro plans its memory for the batch that the file names."""

    def __init__(self, content, plan, arena):
        from tflite_micro.python.tflite_micro import runtime

        model = runtime.Interpreter.from_bytes(content, arena_size=arena)
        self.report, self._reset = model.print_allocations, model.reset if plan.reset else None
        # looked up once: a small net takes less time than its call
        self._set, self._invoke, self._get, self._taken = model.set_input, model.invoke, model.get_output, plan.taken

    def call(self, *inputs):
        if self._reset:
            self._reset()
        for position, x in enumerate(inputs):
            self._set(x, position)
        self._invoke()
        return [self._get(i) for i in self._taken]


def require(runtime: str):
    """Raise ValueError for a runtime that is not known, ImportError for one that this computer cannot have."""
    arguments.one_of("runtime", runtime, RUNTIMES)
    if runtime == "tflm" and importlib.util.find_spec("tflite_micro") is None:
        raise ImportError("TFLite Micro's Python package exists for Linux x86-64 only; "
                          "use another runtime here: " + ", ".join(LITERT_KERNELS))
