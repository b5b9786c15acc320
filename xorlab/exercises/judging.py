"""How a student's answer is run: on copies, in silence, and with its errors told as the student's own."""
import copy
import io
import linecache
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout

import numpy as np

from xorlab.exercises.exercise import Exercise, Wrong

DEEPEST = 3000          # calls within calls, as IPython has it


def is_stub(answer: object, exercise: Exercise, depth: int = 3) -> bool:
    """Has nobody answered yet: is it, or does it hold, `...` or None, or is it the function of the stub?

    depth : how far down to look, for a list may hold itself.
    """
    if answer is ... or answer is None:
        return True
    if isinstance(answer, (dict, list, tuple)):
        parts = answer.values() if isinstance(answer, dict) else answer
        return depth > 0 and any(is_stub(part, exercise, depth - 1) for part in parts)
    code = getattr(answer, "__code__", None)
    stub = code and getattr(defined(exercise.stub, exercise.name), "__code__", None)
    return bool(stub) and (code.co_code, code.co_consts) == (stub.co_code, stub.co_consts)


def defined(source: str, name: str) -> object:
    """Run the source of an answer and return what it calls by a name.  NumPy is there as np, as in the lessons."""
    space = {"np": np, "__name__": "answer"}
    exec(compile(source, "<answer>", "exec"), space)
    return space[name]


def run(function: Callable, *arguments: object) -> object:
    """Call a student's function on copies of the arguments and return what it returns.

    Raises Wrong with the student's own error and line, where it raises, and where it changes what it was given.
    """
    if not callable(function):
        raise Wrong(f"This wants a function, and got {short(function)}. Run the cell that defines it, and give its "
                    "name without brackets.")
    copies = copied(arguments)
    try:
        with recursion_limited(), redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
            result = function(*copies)
    except (Exception, SystemExit) as error:
        raise Wrong(told(error, function)) from None
    for number_, (given, after) in enumerate(zip(arguments, copies, strict=True), 1):
        if given is not after and not _same(given, after):
            raise Wrong(f"Your function changes argument {number_}, which isn't its own. Work on a copy of it.")
    return result


@contextmanager
def recursion_limited() -> Iterator[None]:
    """Let endless recursion end in Python's error: onnx2tf, say, lifts the limit, and then it fills the memory."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(min(before, DEEPEST))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def _same(given, after):
    if isinstance(given, dict):
        return given.keys() == after.keys() and all(_same(given[key], after[key]) for key in given)
    if isinstance(given, list) and isinstance(after, list):             # perhaps of arrays, which have no one ==
        return len(given) == len(after) and all(map(_same, given, after))
    if isinstance(given, set):
        return given == after
    # a tensor may want a gradient, and is no array then
    given, after = (np.asarray(value.detach() if hasattr(value, "detach") else value) for value in (given, after))
    return given.shape == after.shape and np.array_equal(given, after, equal_nan=given.dtype.kind == "f")


def returned(function: Callable, *arguments: object, ends: str = "`return` and a value") -> object:
    """Return what a student's function returns.  Raises what `run` raises, and Wrong where that is nothing.

    ends : how the function should end, as the sentence says it.
    """
    value = run(function, *arguments)
    if value is None or value is ...:
        raise Wrong(f"Your function returns nothing. Does it end in {ends}?")
    return value


def result(function: Callable, *arguments: object) -> float:
    """Return the number that a student's function returns.  Raises what `returned` and `number` raise."""
    return number(returned(function, *arguments), "a number from your function")


def copied(arguments: Sequence) -> list:
    """Return arrays, lists and tensors as copies; functions, networks and optimizers stay what they are."""
    def copy_of(argument):
        if isinstance(argument, (np.ndarray, list, dict, set)):
            return copy.deepcopy(argument)
        return argument.clone() if hasattr(argument, "clone") else argument

    return [copy_of(argument) for argument in arguments]


def told(error: BaseException, function: Callable) -> str:
    """Return the sentence on an error of the student's, with the line of their code that it came from."""
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    words = str(error).splitlines() or ["no further word"]
    what = f"{type(error).__name__}: {words[0].removesuffix('.')}."
    if not frames:
        return f"Your function can't be called the way the task does it. Python says {what}"
    line = (frames[-1].line or linecache.getline(file, frames[-1].lineno)).strip()
    where = f"line {frames[-1].lineno} of your cell" + (f", `{line}`" if line else "")
    return f"Your code stopped in {where}. Python says {what}"


def number(value: object, asked: str = "a number") -> float:
    """Return a student's finite number as a float.  Raises Wrong, with what was asked for, where it is none."""
    if isinstance(value, (str, bytes, bool, np.bool_, list, tuple)) or value is None:
        raise Wrong(f"This wants {asked}, and got {short(value)}.")
    try:
        made = np.asarray(value.detach() if hasattr(value, "detach") else value, dtype=float)
    except Exception:                   # an object of the student's own may raise anything
        raise Wrong(f"This wants {asked}, and got {short(value)}.") from None
    if made.size != 1 or not np.isfinite(made).all():
        raise Wrong(f"This wants {asked}, and got {short(value)}.")
    return float(made.ravel()[0])


def array(value: object, asked: str, *, kinds: str = "iuf", finite: bool = False) -> np.ndarray:
    """Return a student's numbers as an array.  Raises Wrong, with what was asked for, where they are none.

    kinds : of NumPy's types that will do, "iuf" for whole and real numbers.  finite : whether NaN and infinity won't.
    """
    try:
        made = np.asarray(value.detach() if hasattr(value, "detach") else value)
        fits = made.dtype.kind in kinds and (not finite or np.isfinite(made).all())
    except Exception:                   # rows of unequal length; or an object of the student's own
        fits = False
    if not fits:
        raise Wrong(f"This wants {asked}, and got {short(value)}.")
    return made


def pair(value: object, asked: str) -> tuple:
    """Return the two parts of a student's answer.  Raises Wrong, with what was asked for, where it hasn't two."""
    try:
        parts = tuple(value) if hasattr(value, "__len__") and not isinstance(value, (str, bytes, dict, set)) else ()
    except Exception:                   # an object of the student's own
        parts = ()
    if len(parts) != 2:
        raise Wrong(f"This wants {asked}, and got {short(value)}.")
    return parts


def cause(exercise: Exercise, outcome: Callable[[object], Sequence[float]], found: Sequence[float]) -> str | None:
    """Return the sentence of the wrong answer that comes to the same numbers as the student's, or None.

    outcome : from an answer to the numbers that it comes to on the cases of the check.  found : the student's.
    """
    for source, sentence in exercise.wrong:
        try:
            known = outcome(defined(source, exercise.name))
        except Wrong:
            continue
        if np.shape(known) == np.shape(found) and np.allclose(known, found, rtol=1e-4, atol=1e-9, equal_nan=True):
            return sentence
    return None


def diagnosed(exercise: Exercise, outcome: Callable[[object], Sequence[float]], found: Sequence[float],
              shown: str) -> Wrong:
    """Return the Wrong of a student's numbers: the likely cause where `cause` knows one, then a case that shows it."""
    why = cause(exercise, outcome, found)
    return Wrong(f"{why} {shown}" if why else shown)


def short(value: object, length: int = 60) -> str:
    """Return a value as a few words of a sentence."""
    if callable(value):
        return f"a {'class' if isinstance(value, type) else 'function'}"
    if type(value).__name__ == "module":
        return "a module"
    try:
        text = " ".join(repr(value).split())
    except Exception:                   # it is the student's own class
        text = " at 0x"
    if " at 0x" in text:
        return f"an object of type {type(value).__name__}"
    return text if len(text) <= length else text[: length - 3] + "..."
