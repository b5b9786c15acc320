"""Odd arguments: what to put in the place of one argument of a good call, and how to judge what comes of it."""
import contextlib
import dataclasses
import hashlib
import importlib
import inspect
import io
import itertools
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tools.tinker import is_ours

SECONDS = 10

# {name: function that makes the value}; of all kinds, for what is odd for one argument is good for another
ODD = {
    "None": lambda: None,
    "True": lambda: True,
    "0": lambda: 0,
    "-1": lambda: -1,
    "3": lambda: 3,
    "10**9": lambda: 10**9,
    "2**62": lambda: 2**62,
    "10**400": lambda: 10**400,
    "0.5": lambda: 0.5,
    "-0.5": lambda: -0.5,
    "1e39": lambda: 1e39,
    "NaN": lambda: float("nan"),
    "infinity": lambda: float("inf"),
    "np.float64(NaN)": lambda: np.float64("nan"),
    "1j": lambda: 1j,
    "np.int64(3)": lambda: np.int64(3),
    "np.uint8(200)": lambda: np.uint8(200),
    "np.float32(0.5)": lambda: np.float32(0.5),
    "np.bool_": lambda: np.bool_(True),
    "an empty text": lambda: "",
    "a word": lambda: "odd",
    "a word as bytes": lambda: b"odd",
    "a name with $": lambda: "costs $5 or $6_2$",
    "a name with < and &": lambda: "<b>&amp;</b>",
    "a name with /* and */": lambda: "net /*inline*/ */ //",
    "a name with a newline": lambda: "one\ntwo",
    "a name with quotes": lambda: "it's \"odd\" \\n {x} %s",
    "a name in other letters": lambda: "größe 大きさ",
    "a long name": lambda: "x" * 10_000,
    "a path": lambda: Path("not there.odd"),
    "a folder": lambda: Path("a folder"),
    "[]": lambda: [],
    "()": lambda: (),
    "{}": lambda: {},
    "a mixed list": lambda: [1, "two"],
    "a ragged list": lambda: [[1, 2], [3]],
    "a pair with NaN": lambda: (0.5, float("nan")),
    "a generator": lambda: (i for i in range(3)),
    "an empty array": lambda: np.zeros((0, 2), np.float32),
    "an array of 0 dimensions": lambda: np.array(0.5),
    "an array of words": lambda: np.array([["a", "b"]]),
    "an array of objects": lambda: np.array([[None, 1]], dtype=object),
    "a complex array": lambda: np.array([[1j, 0]]),
    "an array with NaN": lambda: np.array([[0.5, np.nan]]),
    "an array with infinity": lambda: np.array([[0.5, np.inf]], np.float32),
    "an array beyond float32": lambda: np.array([[0.5, 1e300]]),
    "an int8 array": lambda: np.array([[1, -2]], np.int8),
    "an array of dates": lambda: np.array([["2026-01-01", "2026-01-02"]], "datetime64[D]"),
    "a function": lambda: lambda *given, **named: None,
    "an object": lambda: object(),
    "a module": lambda: np,
}
# what no argument takes that a person means, unless calls.txt says so; a callable may stand for a predictor
NEVER = ("NaN", "np.float64(NaN)", "1j", "an object", "a module", "a pair with NaN", "an array with NaN",
         "a complex array", "an array of objects", "an array of dates", "a word as bytes")
# beyond these, what an argument of a kind must refuse; None where it is not the default
REFUSED = {
    "whole": ("True", "np.bool_", "0.5", "infinity", "np.float32(0.5)", "an empty text", "a word", "a path", "[]",
              "()", "{}", "a mixed list", "a generator", "an empty array", "an array of words", "a function", "-0.5"),
    "number": ("True", "np.bool_", "infinity", "10**400", "an empty text", "a word", "a path", "[]", "()", "{}",
               "a mixed list", "a generator", "an empty array", "an array of words", "a function"),
    "text": ("True", "0", "3", "0.5", "[]", "()", "{}", "a mixed list", "an empty array", "an int8 array", "a function",
             "a generator"),
    "path": ("True", "0", "3", "0.5", "[]", "()", "{}", "a mixed list", "an empty array", "an int8 array", "a function",
             "a generator", "an empty text"),
    "array": ("0", "a word", "a name with $", "{}", "a mixed list", "a ragged list", "an array of words", "a function",
              "a path", "an array of 0 dimensions", "a generator"),
    "switch": ("0.5", "3", "a word", "a mixed list", "an int8 array", "a function"),
    "thing": (),
}


def kind_of(value: object) -> str:
    """Return what kind of argument a good value shows."""
    if isinstance(value, bool):
        return "switch"
    for kinds, name in ((int, "whole"), (float, "number"), (str, "text"), (Path, "path"), (np.ndarray, "array")):
        if isinstance(value, kinds):
            return name
    return "thing"


def same(value: object) -> dict[str, Callable]:
    """Return {name: maker} of values that are this one in other clothes, and must give the same answer."""
    kind = kind_of(value)
    if kind == "whole":
        types = [np.int64, np.int32, *([np.uint8] if 0 <= value < 256 else [])]
        return {kind.__name__: lambda kind=kind: kind(value) for kind in types if abs(value) < 2**31}
    if kind == "number":
        return {"np.float64": lambda: np.float64(value),
                **({"np.float32": lambda: np.float32(value)} if float(np.float32(value)) == value else {})}
    if kind == "switch":
        return {"np.bool_": lambda: np.bool_(value)}
    if kind == "path":
        return {"str": lambda: str(value)}
    if kind != "array":
        return {}
    clothes = {"read-only": lambda: _read_only(value), "big-endian": lambda: value.astype(value.dtype.newbyteorder()),
               "every second": lambda: _every_second(value), "in Fortran's order": lambda: np.asfortranarray(value),
               "masked, nothing masked": lambda: np.ma.array(value)}
    if value.ndim == 2:
        clothes["np.matrix"] = lambda: np.matrix(value)
    if value.dtype.kind == "f":
        clothes["float64"] = lambda: value.astype(np.float64)
    if value.dtype == np.float32 and value.size < 1000:
        clothes["a list"] = value.tolist
    return clothes


def _read_only(value):
    made = value.copy()
    made.flags.writeable = False
    return made


def _every_second(value):
    return np.repeat(value, 2, axis=-1)[..., ::2] if value.ndim else value


class Ran(BaseException):
    """A call took longer than SECONDS of its processor; no Exception, or the package might blame a file for it."""


@contextlib.contextmanager
def _in_time():
    if not hasattr(signal, "SIGPROF"):
        yield
        return

    def stop(*_):
        raise Ran

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def outcome(call: Callable, draw: bool = True) -> tuple[str, object]:
    """Make a call; return ("answered", value), ("refused", sentence) or ("broke", what happened).

    draw : whether to draw a picture that it returns, which takes longer than to make it.
    """
    try:
        with _in_time(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", RuntimeWarning)           # of NumPy: overflow, NaN turned into a code
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            value = call()
            if inspect.isgenerator(value):
                value = list(value)
            if isinstance(value, contextlib.AbstractContextManager) and type(value).__module__ == "contextlib":
                with value:             # which says what is wrong when it is entered
                    pass
            if draw:
                _draw(value)
        return "answered", value
    except Ran:
        return "broke", f"ran for more than {SECONDS} s"
    except Exception as error:
        if is_ours(error):
            return "refused", str(error)
        return "broke", f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:150]}"


def _draw(value):
    """Draw what a plot returned, for text is read when it is drawn; raise if a $ of ours starts a formula."""
    figure = getattr(np.ravel(value)[0] if isinstance(value, np.ndarray) and value.size else value, "figure", None)
    if "matplotlib" not in sys.modules or figure is None:
        return
    from matplotlib import cbook
    from matplotlib.text import Text

    figure.draw_without_rendering()
    for text in figure.findobj(Text):
        words = text.get_text()
        if text.get_parse_math() and cbook.is_math_text(words) and r"\mathdefault" not in words:
            raise SyntaxError(f"{words[:60]!r} is drawn as a formula")


def digest(value: object) -> object:
    """Return what tells two answers apart, whatever clothes they came in."""
    if isinstance(value, np.ma.MaskedArray | np.matrix):
        return "a subclass of arrays", type(value).__name__
    if isinstance(value, np.ndarray | np.generic):
        value = np.asarray(value)
        return value.shape, value.dtype.newbyteorder("="), hashlib.sha256(np.ascontiguousarray(
            value, value.dtype.newbyteorder("="))).hexdigest() if value.dtype != object else repr(value)
    if isinstance(value, Path):
        return _file(value)
    if isinstance(value, dict):
        return {str(key): digest(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [digest(part) for part in value]
    if hasattr(value, "median"):
        return value.name, value.repeats            # a Timing takes another time each time
    if hasattr(value, "state_dict"):
        return {name: digest(part.numpy() if hasattr(part, "numpy") else repr(part))
                for name, part in value.state_dict().items()}
    if hasattr(value, "alt_text") or hasattr(getattr(value, "figure", None), "alt_text"):
        return getattr(value, "alt_text", None) or value.figure.alt_text
    if dataclasses.is_dataclass(value):
        return {field.name: digest(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if callable(value) and hasattr(value, "name"):
        return value.name
    return repr(value) if isinstance(value, str | bytes | int | float | type(None)) else type(value).__name__


def _file(path):
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return [_file(inner) for inner in sorted(path.rglob("*")) if inner.is_file()] if path.is_dir() else str(path)


def resolve(dotted: str) -> object:
    """Return what a dotted name below xorlab is."""
    found, name = importlib.import_module("xorlab"), "xorlab"
    for part in dotted.split("."):
        name += f".{part}"
        if not hasattr(found, part):
            importlib.import_module(name)
        found = getattr(found, part)                # report.compare is the function, and a module too
    return found


class Names(dict):
    """The names that calls.txt may use: modules of xorlab, np, and the good things that GOOD makes, each made once."""

    def __init__(self, folder: Path):
        fresh = itertools.count()

        def path(name):
            """Return a path in a folder of its own, which is there."""
            made = folder / f"{next(fresh)}"
            made.mkdir()
            return made / name

        super().__init__(np=np, Path=Path, PATH=path)

    def __missing__(self, name):
        if name in GOOD:
            self[name] = GOOD[name](self)
            return self[name]
        if hasattr(__builtins__, name) or (isinstance(__builtins__, dict) and name in __builtins__):
            raise KeyError(name)
        try:
            self[name] = importlib.import_module(f"xorlab.{name}")
        except ImportError:
            raise KeyError(name) from None
        return self[name]


def _firmware(names):
    return names["firmware"].build(names["MLP"])


def _dynamic(names):
    return names["compare"].errors(names["P"], names["Q"], names["G"])


GOOD = {
    "X": lambda n: n["data"].corners()[0],
    "Y": lambda n: n["data"].corners()[1],
    "G": lambda n: n["data"].grid(9),
    "CODES": lambda n: n["data"].int8_inputs()[::257].copy(),
    "NET": lambda n: n["models"].reference(),
    "RELU": lambda n: n["models"].reference("relu-2-4-1"),
    "INT8": lambda n: n["models"].reference_file("relu-2-4-1", "int8.tflite"),
    "FLOAT": lambda n: n["models"].reference_file("relu-2-4-1", "float32.tflite"),
    "ONNX": lambda n: n["models"].reference_file("relu-2-4-1", "model.onnx"),
    "MLP": lambda n: importlib.import_module("xorlab.integer").IntegerMLP.from_torch(n["RELU"]),
    "GRAPH": lambda n: importlib.import_module("xorlab.integer").IntegerGraph.from_tflite(n["INT8"]),
    "P": lambda n: n["predictors"].from_torch(n["RELU"]),
    "Q": lambda n: n["predictors"].from_tflite(n["INT8"], "reference"),
    "R": lambda n: n["predictors"].from_integer(n["GRAPH"]),
    "QAT": lambda n: n["qat"].rounded(n["NET"], n["G"]),
    "STAGE": lambda n: n["QAT"].stages()[0],
    "LINE": lambda n: importlib.import_module("xorlab.integer.affine").Affine(0.5, 3),
    "LAYER": lambda n: n["MLP"].steps[0],
    "RULE": lambda n: importlib.import_module("xorlab.integer.rules").RULES["tflm"],
    "HISTORY": lambda n: n["training"].fit(n["models"].MLP(seed=1), n["X"], n["Y"], epochs=5),
    "RACE": lambda n: n["training"].race(["sgd", "adam"], starts=8, epochs=20),
    "ENTRY": lambda n: n["RACE"].entries[1],
    "ADAM": lambda n: n["optimizers"].Optimizer("adam"),
    "REPORT": lambda n: n["compare"].errors(n["P"], n["Q"], n["G"]),
    "ACCOUNT": lambda n: n["tflite_bytes"].account(n["INT8"]),
    "TIMING": lambda n: n["compare"].times(len, "ab", repeats=3, warmup=1, name="len"),
    "TABLE": lambda n: n["tables"].Table(("a", "b"), (("1", "2"),)),
    "FIRMWARE": _firmware,
    "SOURCE": lambda n: n["codegen"].write_c(n["MLP"], n["PATH"]("c"))[1],
    "FEW": lambda n: n["fewbits"].study()[0],
    "STUDY": lambda n: n["transfer"].study(),
    "PICTURES": lambda n: n["data"].images("digits").test_x[:4],
    "BACKBONE": lambda n: n["photos"].backbone("random", blocks=1),
    "HEAD": lambda n: n["photos"].Head(np.float32(np.ones((2, 16))), np.float32(np.zeros(2))),
    "COMPARISON": lambda n: importlib.import_module("xorlab.report").compare(n["INT8"]),
    "WHY": lambda n: importlib.import_module("xorlab.report").why(n["INT8"]),
    "IMAGE": lambda n: n["plots"].surface(n["P"]).images[0],
    "PLAYGROUND": lambda n: importlib.import_module("xorlab.playground").Playground(),
    "SUBJECT": lambda n: n["trials"].Subject(n["RELU"], n["G"], n["G"], n["X"], n["Y"]),
    "KERAS": lambda n: _keras(),
    "SKLEARN": lambda n: _sklearn(n),
    "FUNCTION": lambda n: _tf_function(),
    "SAVED": lambda n: n["export"].to_saved_model(n["ONNX"], n["PATH"]("saved")),
    "UNIT": lambda n: n["firmware"].of_unit("v = input[0];"),
    "DATASET": lambda n: n["data"].images("digits"),
    "STATE": lambda n: importlib.import_module("xorlab.playground.state").complete({}),
}


def _keras():
    import keras

    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation="sigmoid")])


def _tf_function():
    import tensorflow as tf

    weights = tf.constant([[1.0], [2.0]])

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32)])
    def sums(x):
        return x @ weights

    return sums


def _sklearn(names):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(names["X"], names["Y"])
