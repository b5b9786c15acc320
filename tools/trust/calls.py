"""Odd arguments for every public function: each is answered rightly or refused in one sentence of ours."""
import ast
import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import xorlab
from tools.trust import odd
from tools.trust.part import ROOT, Part

TABLE = Path(__file__).with_suffix(".txt")
COMMAND = "the command xorlab"
PATIENCE = 120              # seconds without a word from a child, whose own limit is odd.SECONDS of its processor
WORKERS = 4                 # modules at a time; their children wait for imports and compilers
MEMORY = 2**30              # bytes that one call may take

# modules that lessons and users do not call themselves, and who stands before them
INNER = {
    "integer.kernels": "one operator's arithmetic: integer.rules calls it with codes that IntegerGraph has checked",
    "integer.explain": "what IntegerGraph.explain tells, of codes that it has checked",
    "integer.chain": "IntegerMLP, tried as integer.IntegerMLP",
    "integer.graph": "IntegerGraph, tried as integer.IntegerGraph",
    "integer.operators": "what a file says of its operators: integer.read makes them, and damaged files try that",
    "integer.quantize": "IntegerGraph.from_torch and from_qat",
    "integer.read": "IntegerGraph.from_tflite, which damaged files try",
    "integer.unchecked": "what fixed_point and the kernels compute, once the numbers are known to fit",
    "integer.rules": "the table of rules; IntegerGraph calls them",
    "exercises": "answers of students, of every kind, in tests/test_exercises.py",
    "playground": "Playground, tried here; states from pages and files are tried as damaged files",
    "report.apart": "report.why", "report.asked": "report.compare", "report.compare": "tried as report.compare",
    "report.examples": "tried as report.example", "report.html": "what a report shows itself with",
    "report.inner": "tried as report.tensors", "report.inspect": "tried as report.inspect",
    "report.layers": "tried as report.layers", "report.why": "tried as report.why", "report.worked": "report.why",
    "plots.bars": "tried as plots", "plots.codes": "tried as plots", "plots.lines": "tried as plots",
    "plots.nets": "tried as plots", "plots.paper": "tried as plots", "plots.rulers": "tried as plots",
    "plots.squares": "tried as plots",
    "installed": "what lab.py asks of its own .venv, in tests/test_lab.py", "processes": "lab.py's turns and children",
    "installing": "lab.py's set-up, in tests/test_lab.py", "arriving": "what is on its way, in tests/test_arriving.py",
    "arguments": "what the others check their arguments with",
    "fixed_point": "a name of version 0.1", "rules": "a name of version 0.1",
    "tflite_format": "how a .tflite file lies in memory; damaged files try it",
    "population": "training.race, with settings that it has checked",
    "runtimes": "predictors.from_tflite", "sandbox": "predictors.from_tflite", "ports": "predictors.from_tflite",
    "files": "every function that writes, with its path", "editions": "the commands that make copies of lessons",
    "environment": "has no arguments", "cli": "tried as the command",
    "doctor": "lab.py's look at a computer, in tests/test_doctor.py", "news": "lab.py's news, in tests/test_news.py",
}
OUTER = ("playground",)         # though what lies below it is inner
# names of the other modules that get no odd arguments, and why
LEFT = {
    "export.check_alone": "predictors.from_onnx, with a file that is there",
    "integer.affine.few": "words of a sentence",
    "models.load_weights": "damaged files try it", "models.take_weights": "with what load_weights returns",
    "predictors.onnx_session": "predictors.from_onnx, with a file that is there",
    "streams.ended": "around every command; tests/test_files.py", "streams.printable": "takes whatever has a text",
    "data.CodeInputs": "made by data.code_inputs", "data.Images": "made by data.images",
    "training.History": "made by training.fit",
    "races.Entry": "made by training.race", "races.Race": "made by training.race",
    "compare.ErrorReport": "made by compare.errors", "compare.Agreement": "made by compare.agreement",
    "compare.ErrorSources": "made by compare.error_sources", "compare.Timing": "made by compare.times",
    "qat.Stage": "made by FakeQuantized.stages", "zoo.MadeDigits": "made by zoo.made_digits",
    "trials.Subject": "made by trials.train", "trials.Trial": "made by trials.run",
    "fewbits.FewBits": "made by fewbits.run", "fewbits.write": "replaces the committed study",
    "transfer.Result": "made by transfer.run", "transfer.Study": "made by transfer.run",
    "transfer.run": "takes minutes", "transfer.write": "replaces the committed study",
    "photos.Head": "made by photos.head", "zoo.keep": "replaces a committed file",
    "cifar.Trained": "made by cifar.road", "cifar.Road": "made by cifar.road", "cifar.road": "needs a download",
    "export.Variant": "a row of export.VARIANTS",
    "tflite_bytes.ByteAccount": "made by tflite_bytes.account",
    "tflite_file.Tensor": "made by tflite_file.read", "tflite_file.Operator": "made by tflite_file.read",
    "tflite_file.Graph": "made by tflite_file.read", "tflite_file.content_and_graph": "tflite_file.read",
    "tflite_file.graph_of": "bytes of a file; damaged files try it", "tflite_file.unpacked": "bytes of a file",
    "tflite_file.packed": "a model that tflite_file.unpacked made",
    "codegen.Scaling": "made by codegen.exact_scaling", "codegen.Scaling.steps": "sums that codegen makes",
    "codegen.Sums": "made by codegen", "codegen.Sums.of": "sums that codegen makes",
    "firmware.Target": "a row of firmware.TARGETS", "firmware.Extremes": "made by Firmware.extremes",
    "firmware.Firmware": "made by firmware.build",
    "conformance.Report": "made by conformance.report", "conformance.Report.followed": "a name of its own table",
    "integer.write.lines_of": "an operator of a graph", "streams.say": "sentences of ours",
    "streams.progress": "an iterable of ours",
    "report.Comparison": "made by report.compare", "report.Inspection": "made by report.inspect",
    "report.Layers": "made by report.layers", "report.Why": "made by report.why",
    "models.MLP.forward": "PyTorch calls it, with tensors", "models.MLP.hidden_activations": "takes tensors",
    "qat.FakeQuantized.forward": "PyTorch calls it, with tensors",
    "integer.IntegerGraph": "made by from_tflite", "integer.IntegerGraph.one_call": "what `checked` returns",
    "playground.Playground.set_state": "what the page sends; damaged states try it",
}


@dataclass(frozen=True)
class Call:
    """A line of calls.txt.

    name : dotted, below xorlab.  subject : the expression of a method's object, or None.
    arguments : {name: expression}; one without a name has its place.
    may : {argument: names of odd values that it takes}.
    slow : whether a good call takes seconds; then only what must be refused is tried.
    """
    name: str
    subject: str | None
    arguments: dict
    may: dict = field(default_factory=dict)
    slow: bool = False

    @property
    def module(self):
        return module_of(self.name)


def module_of(name: str) -> str:
    """Return the module, below xorlab, that a dotted name begins with."""
    outer = (module for module in sorted(modules(), key=len, reverse=True) if not _of(INNER, module) or module in OUTER)
    return next(module for module in outer if f"{name}.".startswith(f"{module}."))


@cache
def modules() -> tuple[str, ...]:
    """Return all modules below xorlab."""
    return tuple(found.name.removeprefix("xorlab.") for found in pkgutil.walk_packages(xorlab.__path__, "xorlab."))


def public() -> dict[str, object]:
    """Return {dotted name: what it is} of all public functions, classes and methods with arguments."""
    found = {}
    for module in modules():
        if _of(INNER, module) and module not in OUTER:
            continue
        place = importlib.import_module(f"xorlab.{module}")
        told = getattr(place, "__all__", None)
        for key in told or [key for key, value in vars(place).items()
                            if getattr(value, "__module__", None) == place.__name__ and key[0] != "_"]:
            value = getattr(place, key)
            if not callable(value) or not value.__module__.startswith(place.__name__):
                continue                                        # of a module before it
            found[f"{module}.{key}"] = value
            if inspect.isclass(value):
                found |= {f"{module}.{key}.{name}": getattr(value, name) for name, part in vars(value).items()
                          if name[0] != "_" and (inspect.isfunction(part) or isinstance(part, classmethod))}
    return {name: value for name, value in found.items() if arguments_of(value, name)}


def _of(names, module):
    return any(f"{module}.".startswith(f"{name}.") for name in names)


def arguments_of(value: object, name: str) -> list[str]:
    """Return the names of a callable's arguments, a method's object and those without names left out."""
    try:
        given = list(inspect.signature(value).parameters.values())
    except ValueError:
        return []
    is_method = inspect.isfunction(value) and "." in value.__qualname__ and not isinstance(
        inspect.getattr_static(odd.resolve(name.rpartition(".")[0]), name.rpartition(".")[2]), staticmethod)
    return [one.name for one in given[is_method:] if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]


@cache
def calls() -> tuple[Call, ...]:
    """Read calls.txt."""
    made = []
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line.startswith("    may "):
            argument, _, names = line.removeprefix("    may ").partition(": ")
            made[-1].may[argument] = tuple(names.split(", "))
        elif line == "    slow":
            made[-1] = replace(made[-1], slow=True)
        elif line and not line.startswith("#"):
            made.append(_read(line))
    return tuple(made)


def _read(line):
    call = ast.parse(line, mode="eval").body
    name, places = ast.unparse(call.func), [ast.unparse(one) for one in call.args]
    owner = name.rpartition(".")[0].rpartition(".")[2]
    is_method = bool(places) and owner[:1].isupper()
    subject = places.pop(0) if is_method else None
    named = {key.arg: ast.unparse(key.value) for key in call.keywords}
    return Call(name, subject, {**dict(enumerate(places)), **named})


def tries(call: Call, names: odd.Names) -> Iterator[tuple]:
    """Yield (argument, odd value's name, its maker, what must come of it: "same", "refused" or "") of a call."""
    for argument, expression in call.arguments.items():
        good = eval(expression, names)                  # of a file of ours
        kind, default = odd.kind_of(good), _default(call, argument)
        for name, make in odd.same(good).items():
            allowed = call.may.get(argument, ())
            if not call.slow and name not in allowed and "all" not in allowed:
                yield argument, name, make, "same"
        for name, make in odd.ODD.items():
            must = name in odd.NEVER or name in odd.REFUSED[kind]
            if kind == "thing" and callable(good) and name in ("a function", "an object", "a module"):
                must = name != "a function"
            allowed = name in call.may.get(argument, ()) or "all" in call.may.get(argument, ())
            must = must or name == "None" and kind != "thing" and default is not None
            if must and not allowed or not call.slow:
                yield argument, name, make, "refused" if must and not allowed else ""


def _default(call, argument):
    """Return an argument's default; None where it takes any."""
    parameters = inspect.signature(odd.resolve(call.name)).parameters
    return parameters[argument].default if argument in parameters else None


def run_one(call: Call, names: odd.Names, argument=None, make=None, draw=False) -> tuple[str, object]:
    """Make a call with one argument replaced, or the good one; return odd.outcome."""
    values = {key: make() if key == argument and make else eval(text, names) for key, text in call.arguments.items()}
    places = [values.pop(key) for key in list(values) if isinstance(key, int)]
    function = odd.resolve(call.name)
    if call.subject:
        places.insert(0, eval(call.subject, names))
    return odd.outcome(lambda: function(*places, **values), draw)


def judged(call: Call, names: odd.Names, argument, make, must, good) -> tuple[str, str]:
    """Make an odd call; return (what came of it, "" or what is wrong with it).  good : digest of the good answer."""
    value = make()
    what, value = run_one(call, names, argument, make, draw=isinstance(value, str | Path))
    if what == "broke":
        return what, str(value)
    if what == "refused":
        return what, f"is refused: {value}" if must == "same" else ""
    if must == "refused":
        return what, f"is taken, as if it were good: {str(value)[:80]!r}"
    if must == "same" and odd.digest(value) != good:
        return what, "gives another answer"
    return what, ""


# In a child, which may be killed


def child(module: str, start: int) -> None:
    """Make the odd calls of a module from number `start` on; print a line of JSON before and after each."""
    import matplotlib

    matplotlib.use("Agg")
    number = -1
    with tempfile.TemporaryDirectory() as folder:
        _enter(folder)
        if module == COMMAND:
            from tools.trust import odd_commands
            odd_commands.child(start, _say)
            return
        names = odd.Names(Path(folder))
        for call in (call for call in calls() if call.module == module):
            total = sum(1 for _ in tries(call, names))
            if number + total < start:
                number += total
                continue
            _say(begin=call.name)
            what, value = ("answered", None) if call.slow else run_one(call, names)
            good = odd.digest(value)
            if what != "answered":
                _say(number=-1, call=call.name, what="broke", wrong=f"the good call: {value}")
            _say(begin=call.name)
            for argument, name, make, must in tries(call, names):
                number += 1
                if number < start:
                    continue
                _say(begin=f"{call.name}({argument}={name})", number=number)
                what, wrong = judged(call, names, argument, make, must, good)
                _say(number=number, call=f"{call.name}({argument}={name})", what=what, wrong=wrong)
                if "matplotlib.pyplot" in sys.modules:
                    sys.modules["matplotlib.pyplot"].close("all")
    _say(end=True)


def _enter(folder):
    import os

    os.chdir(folder)
    Path("a folder").mkdir()


def _say(**what):
    print(json.dumps(what), flush=True, file=sys.__stdout__)


# In the parent


def run(names: list[str]) -> Iterator[dict]:
    """Yield a row for each module: calls tried, answered, refused."""
    with ThreadPoolExecutor(WORKERS) as pool:
        yield from pool.map(_row, names)


def _row(name):
    found = list(_of_module(name))
    counts, wrong = Counter(one["what"] for one in found), [one for one in found if one["wrong"]]
    first = f"{wrong[0]['call']} {wrong[0]['wrong']}" if wrong else ""
    problem = f"{len(wrong)} of {len(found)} calls, the first {first}" if wrong else ""
    for one in wrong:
        print(f"    {one['call']} {one['wrong']}")
    return {"name": name, "problem": problem, "calls": len(found), "answered": counts["answered"],
           "refused": counts["refused"]}


def _of_module(name):
    """Yield what came of each odd call of a module, in as many children as it takes."""
    start = 0
    while start is not None:
        heard, at = [], None
        for said in _heard(name, start, heard):
            if "wrong" in said:
                yield said
            at = said.get("number", at) if "begin" in said else at
            if said.get("end"):
                return
        last = heard[-1] if heard else {}
        yield {"what": "broke", "call": last.get("begin", name), "wrong": last.get("killed") or "ended the process"}
        start = None if at is None or at < start else at + 1


def _heard(name, start, heard):
    """Yield what a child says; end it when it is silent for too long or takes too much memory."""
    import psutil

    with tempfile.TemporaryFile("w+") as errors, subprocess.Popen(
            [sys.executable, "-m", "tools.trust.calls", name, str(start)], stdout=subprocess.PIPE, stderr=errors,
            text=True, cwd=ROOT) as running:
        state, process = {"heard": time.monotonic(), "base": None, "killed": None}, psutil.Process(running.pid)

        def watch():
            while running.poll() is None:
                time.sleep(0.05)
                with_children = 0
                try:
                    with_children = process.memory_info().rss
                except psutil.Error:
                    return
                state["base"] = state["base"] or with_children
                if state.get("calling") and with_children > state["base"] + MEMORY:
                    state["killed"] = "took more than 1 GB"
                elif state.get("calling") and time.monotonic() - state["heard"] > PATIENCE:
                    state["killed"] = f"ran for more than {PATIENCE} s and could not be stopped"
                if state["killed"]:
                    running.kill()
                    return

        threading.Thread(target=watch, daemon=True).start()
        for line in running.stdout:
            said = json.loads(line)
            state.update(heard=time.monotonic(), calling="number" in said and "begin" in said)
            if state["calling"] is False:
                state["base"] = None
            heard.append(said)
            yield said
        if state["killed"] and heard:
            heard[-1]["killed"] = state["killed"]
        elif running.wait() and heard:
            errors.seek(0)
            heard[-1]["killed"] = f"ended the process: {(errors.read().splitlines() or [''])[-1][:200]}"


def names() -> list[str]:
    """Return the modules that are tried, and the command."""
    return [*dict.fromkeys(call.module for call in calls()), COMMAND]


def figures(rows: list[dict]) -> str:
    """Return the figures in one sentence."""
    tried, answered, refused = (sum(row[key] for row in rows) for key in ("calls", "answered", "refused"))
    return f"{tried:,} odd calls of {len(rows)} modules: {answered:,} answered, {refused:,} refused."


PROMISE = """\
Call anything with anything: you get a right answer or one sentence that says what you gave, what is allowed and what to
do."""

PART = Part("calls", "Odd arguments", PROMISE, names, run, figures)

if __name__ == "__main__":
    child(sys.argv[1], int(sys.argv[2]))
