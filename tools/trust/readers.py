"""Every reader of files, with what it reads, how that is damaged, and how a damaged file is tried on it.

The law: a reader answers as the file now says, or refuses in one sentence of ours that names the file.
"""
import atexit
import base64
import io
import json
import linecache
import math
import re
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

import lab
from tools.trust import damaging
from xorlab import files, installing, models, predictors, runtimes, tflite_bytes, tflite_file
from xorlab.integer import IntegerGraph, IntegerMLP
from xorlab.models import REFERENCES, reference_file, reference_names
from xorlab.report.examples import example

OURS = (lab.HERE / "xorlab", lab.HERE / "tools", lab.HERE / "lab.py")
LONGEST = 2_000                         # characters of a sentence
Q = np.array([[-128, -128], [-128, 127], [127, -128], [127, 127], [0, 5]], np.int8)


@dataclass(frozen=True)
class Aside:
    """What a reader returns that refuses with this sentence, and without an error or, of what it read, with one."""
    sentence: str
    error: Exception | None = None


@dataclass(frozen=True)
class Reader:
    """A reader of files.

    read : takes the path of a file and reads it.  name : of the file.  sources : returns sound contents.
    kinds : of damage, from `damaging`.  tries : damaged files in a full run.  reason : why not 10,000.
    of_json : whether each value of the first source is replaced by each odd one in turn, too.
    in_ci : files in a run of the tests, 0 for none: 300 where one takes less than 10 ms.
    """
    read: Callable[[Path], object]
    name: str
    sources: Callable[[], list[bytes]]
    kinds: tuple
    tries: int = 10_000
    reason: str = ""
    of_json: bool = False
    in_ci: int = 300

    @cache                                                              # noqa: B019, readers live as long as the module
    def sound(self) -> list[bytes]:
        return self.sources()

    def content(self, number: int) -> bytes | None:
        """Return the damaged file of a number, the same whenever it is asked for; None for a folder."""
        if self.of_json and number % 2:
            return damaging.systematic(self.sound()[0], number // 2)
        return damaging.damaged(self.sound(), self.kinds, np.random.default_rng(number))

    def put(self, number: int, folder: Path) -> Path:
        """Write the damaged file of a number into an empty folder and return its path."""
        path, content = folder / self.name, self.content(number)
        path.mkdir() if content is damaging.FOLDER else path.write_bytes(content)
        return path


def outcome(read: Callable[[Path], object], path: Path) -> tuple[str, str]:
    """Return ("read", ""), ("refused", the sentence), or ("broken", what went against the law)."""
    try:
        made = read(path)
    except Exception as error:
        return _judged(error, path)
    if isinstance(made, Aside):
        return _judged(made.error, path, made.sentence) if made.error else _judged_sentence(made.sentence, path)
    return "read", ""


def _judged(error, path, said=""):
    trace = error.__traceback__
    while trace.tb_next:
        trace = trace.tb_next
    file, line = Path(trace.tb_frame.f_code.co_filename), trace.tb_lineno
    where = f"{file.name}:{line}: {type(error).__name__}: {str(error)[:200]!r}"
    raised = linecache.getline(str(file), line).strip()
    if not isinstance(error, ValueError | OSError | lab.Problem) or isinstance(error, UnicodeError) or not any(
            place == file or place in file.parents for place in OURS) or not raised.startswith("raise"):
        return "broken", where
    return _judged_sentence(said or str(error), path, where)


def _judged_sentence(said, path, where="a sentence"):
    if path.name not in said:
        return "broken", f"{where} does not name the file"
    if len(said.splitlines()) != 1 or len(said) > LONGEST:
        return "broken", f"{where} is no one sentence"
    return "refused", said


# --- sound files

@cache
def _tflite():
    return [path.read_bytes() for name in reference_names() for path in sorted((REFERENCES / name).glob("*.tflite"))]


@cache
def _operators():
    return [path.read_bytes() for path in sorted((REFERENCES / "operators").glob("*.tflite"))]


def _int8_nets():
    return [reference_file(name, "int8.tflite").read_bytes() for name in reference_names()]


def _float_nets():
    return [reference_file("sigmoid-2-3-1", "float32.tflite").read_bytes()]


def _any_tflite():
    return [*_tflite() * 2, *_operators(), *(example(name).read_bytes() for name in ("sine", "keywords"))]


@cache
def _onnx():
    """Return ONNX files: the reference nets, and a convolution."""
    import torch

    from xorlab import export

    with tempfile.TemporaryDirectory() as folder:
        net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3, stride=2), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
                                  torch.nn.Flatten(), torch.nn.Linear(8, 3), torch.nn.Softmax(1))
        made = export.to_onnx(net, Path(folder) / "net.onnx", (1, 10, 10)).read_bytes()
    return [*(reference_file(name, "model.onnx").read_bytes() for name in reference_names()), made]


def _pth():
    import torch

    made = []
    for legacy in (False, True):
        stream = io.BytesIO()
        torch.save(models.reference().state_dict(), stream, _use_new_zipfile_serialization=not legacy)
        made.append(stream.getvalue())
    return made


def _arrays():
    def saved(save, *args, **kwargs):
        stream = io.BytesIO()
        save(stream, *args, **kwargs)
        return stream.getvalue()

    return [saved(np.save, Q), saved(np.save, Q.astype(np.float32)), saved(np.savez, input=Q),
            saved(np.savez_compressed, **{"serving_default_input:0": Q})]


def _weights():
    return [(REFERENCES / "dense4-seed-3.npz").read_bytes()]


def _nets():
    return [reference_file(name, "net.json").read_bytes() for name in reference_names()]


@cache
def _lessons():
    """Return short lessons: of stored ones the head, and cells of every kind that readers look at."""
    return [_short(path) for path in (lab.lesson("02"), lab.lesson("00"))]


def _short(path, most=4_000):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    kept, seen = [], set()
    wanted = set(re.findall(r'"picture": "([\w-]+)"', path.read_text(encoding="utf-8")))
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output["data"]["image/png"] = _blank("".join(output["data"]["image/png"]))
        kinds = {cell["cell_type"], *cell["metadata"].get("tags", []),
                 *(kind for output in cell.get("outputs", [])
                   for kind in (output["output_type"], *output.get("data", {}))),
                 cell["metadata"].get("slideshow", {}).get("slide_type")}
        if not kept or cell["id"] in wanted or not kinds <= seen and len(json.dumps(cell)) < most:
            kept.append(cell)
            seen |= kinds
    return json.dumps(dict(notebook, cells=kept), indent=1, ensure_ascii=False).encode()


def _blank(png):
    """Return a base64 PNG of the same size with nothing on it."""
    stream = io.BytesIO()
    Image.new("P", Image.open(io.BytesIO(base64.b64decode(png))).size).save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()


def _progress():
    return [json.dumps({"02-1": "right", "05-1": "tried", "05-2": "done"}).encode()]


@cache
def _states():
    from xorlab.playground import state as states

    net = models.MLP(2, seed=0)
    changed = {"data": {"name": "moons", "count": 40, "seed": 3}, "other": "ruy", "rate": 0.5}
    own = {"hidden": [2], "start": "given", "weights": states.weights_of(net),
           "data": states.own_points([[0, 0.5], [1, 0.25]], [0, 1])}
    return [json.dumps(state, indent=1).encode() for state in (
        states.complete(own), states.preset("lesson 05"), states.complete(changed), own)]


def _csv():
    rows = [(0.25, 0.5, 1), (0, 1, 0), (1, 1, 1)]
    plain = "".join(f"{a}, {b}, {c}\n" for a, b, c in rows)
    return [plain.encode(), f"x1,x2,label\n{plain}".encode(), b"x1;x2;label\n0,25;0,5;1\n0;1;0\n", b"0.5\t0.25\t1\n"]


def _studies():
    return [b"\n".join((REFERENCES / name).read_bytes().splitlines()[:3]).rstrip(b",") + b"\n]\n"
            for name in ("few-bits.json", "transfer.json")]


def _plans():
    head, first, *_ = (lab.HERE / "docs" / "plans.toml").read_bytes().split(b"[[plan]]")
    return [head + b"[[plan]]" + first]


@cache
def _keras():
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, "sigmoid"), keras.layers.Dense(1, "sigmoid")])
    model.set_weights([value.numpy().T for value in models.reference("sigmoid-2-3-1").state_dict().values()])
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "net.keras")
        return [(Path(folder) / "net.keras").read_bytes()]


# --- what reads them

def _run(predictor, path):
    """Ask a predictor with a few inputs of its own shape, if that is small."""
    shape = predictor.sample
    if shape is not None and None not in shape and math.prod(shape) < 10**6:
        try:
            predictor(np.zeros((2, *shape), np.float32))
        except ValueError as error:
            return Aside(f"{path.name}: {error}", error)        # it was read, and calls itself by its name
    return predictor


def _on(runtime):
    return lambda path: _run(predictors.from_tflite(path, runtime), path)


def _account(path):
    account = tflite_bytes.account(path)
    if account.total != path.stat().st_size:
        raise AssertionError(f"{account.total} bytes of {path.stat().st_size} are accounted for")


def _codes(path):
    """Compute with the integers of a file."""
    graph = IntegerGraph.from_tflite(path)
    if sum(math.prod(end.shape) for end in graph.inputs) < 10**6:
        graph.codes([np.zeros(end.shape, end.dtype) for end in graph.inputs])


def _code(path):
    """Write C of a file's net, and the file as a C array."""
    from xorlab import codegen

    codegen.write_tflite_array(path, path.with_name("array.c"))
    net = IntegerMLP.from_tflite(path)
    try:
        codegen.write_c(net, path.with_name("c"))
    except ValueError as error:
        return Aside(f"{path.name}: {error}", error)        # it was read: the net is refused, not its file
    return net


def _arena(path):
    from xorlab import firmware

    firmware.tflite_micro_arena(path)


def _inspect(path):
    from xorlab import report

    str(report.inspect(path))


def _compare(path):
    from xorlab import report

    str(report.compare(path, samples=8))


def _why(path):
    from xorlab import report

    str(report.why(path, samples=8))


def _layers(path):
    from xorlab import report

    str(report.layers(path, reference_file("sigmoid-2-3-1", "float32.tflite"), samples=8))


def _layers_of(path):
    from xorlab import report

    str(report.layers(reference_file("sigmoid-2-3-1", "int8.tflite"), path, samples=8))


def _tensors(path):
    from xorlab.report import inner

    inner.tensors(path, "reference", [np.zeros((2, *port.made), port.dtype) for port in _ports(path)][0])


def _ports(path):
    from xorlab.report.asked import File

    return [port for port in File.read(path).inputs if port.dtype is not None and math.prod(port.made) < 10**6] or [
        predictors.ports.Port("x", "x", np.dtype(np.float32), (1, 2), made=(1, 2))]


def _onnx_run(path):
    return _run(predictors.from_onnx(path), path)


def _check_onnx(path):
    from xorlab import export

    export.check_onnx(path)


def _convert_onnx(path):
    from xorlab import export

    export.to_saved_model(path, path.with_name("saved"))


def _convert_saved_model(path):
    """Convert the SavedModel that a damaged saved_model.pb makes of a sound one."""
    import shutil

    from xorlab import export

    folder = path.with_name(f"{path.name}-model")
    shutil.copytree(_saved_model(), folder)
    (folder / "saved_model.pb").unlink()
    path.rename(folder / "saved_model.pb")
    try:
        export.to_tflite(folder, path.with_name("made.tflite"), "float32")
    finally:
        (folder / "saved_model.pb").rename(path)


def _saved_models():
    return [(_saved_model() / "saved_model.pb").read_bytes()]


@cache
def _saved_model():
    from xorlab import export

    folder = Path(tempfile.mkdtemp()) / "saved"
    return export.to_saved_model(reference_file("relu-2-4-1", "model.onnx"), folder)


def _pth_read(path):
    models.load_weights(models.MLP(3), path)


def _weights_read(path):
    from xorlab import zoo

    zoo._read(_dense(), path)


@cache
def _dense():
    from xorlab import zoo

    return zoo.trained("dense4", seed=3)


def _inputs(path):
    from xorlab.report.asked import inputs_of

    content = path.read_bytes() if path.is_file() else b""
    inputs_of(_file(), path, quantize=b"<f4" in content)


@cache
def _file():
    from xorlab.report.asked import File

    return File.read(reference_file("sigmoid-2-3-1", "int8.tflite"))


def _load(path):
    models.load(path)(models.torch.zeros(1, 2))


def _editions(path):
    from xorlab import editions

    for edition in (editions.student, editions.solved, editions.handout, editions.digest):
        editions.made(edition, path)


def _copies(path):
    """Lay out copies of a damaged lesson, and of a sound one where the student's and the record are damaged."""
    from xorlab import editions

    folder = path.with_name("work")
    folder.mkdir()
    sound = path.with_name("sound")
    sound.mkdir()
    (sound / "02-sound.ipynb").write_bytes(_lessons()[0])
    for name in (editions.SOURCES, "02-sound.ipynb"):
        if path.is_file():
            (folder / name).write_bytes(path.read_bytes())
    editions.lay_out(sound, folder)
    if path.is_file():                      # of a folder lab.py tells what the system says
        installing.read_json(path)
    editions.lay(path, path.with_name("out"))


def _slides(path):
    from tools import pages, slides

    slides.deck(slides.shown(pages.Lesson(path)))


def _page(path):
    from tools import pages, site

    lesson = pages.Lesson(path)
    site.page(_exporter(), lesson, [lesson])


@cache
def _exporter():
    from tools import pages

    return pages.exporter("page")


def _notebook(path):
    from tools import pages

    lesson = pages.Lesson(path)
    return lesson.notebook, lesson.title, lesson.minutes


def _record(path):
    from xorlab.exercises import record

    states, sentence = record.states(path.parent)
    if sentence:
        return Aside(sentence)
    return states


def _state(path):
    from xorlab.playground import state as states

    try:
        state = states.complete(files.read_json(path, "state"))
        states.net(state), states.codes(state), states.points(state)
    except ValueError as error:
        if path.name in str(error):
            raise
        return Aside(f"{path.name}: {error}")


def _points(path):
    from xorlab.playground import state as states

    states.complete({"data": states.read_csv(path)})


# what a page reads, one file a line
NODE = """
import { complete, makePoints, readCsv } from "%s";
import fs from "node:fs";
import readline from "node:readline";
for await (const line of readline.createInterface({ input: process.stdin })) {
  const [what, path] = JSON.parse(line);
  let answer = ["read", ""];
  try {
    const text = fs.readFileSync(path, "utf8");
    if (what === "csv") {
      complete({ data: { points: readCsv(text) } });
    } else {
      let given;
      try { given = JSON.parse(text); } catch { throw new Error("it is no JSON"); }     // as the page's address does
      makePoints(complete(given).data);
    }
  } catch (error) {
    answer = [error.name === "Error" ? "refused" : "broken", `${error.name}: ${error.message}`];
  }
  fs.writeSync(1, JSON.stringify(answer) + "\\n");
}
"""


@cache
def _node():
    """Return a process of Node, the one that Playwright brings along, that reads files with the playground's module."""
    from playwright._impl._driver import compute_driver_executable

    module = (lab.HERE / "xorlab" / "playground" / "points.js").as_uri()
    process = subprocess.Popen([compute_driver_executable()[0], "--input-type=module", "-e", NODE % module],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    atexit.register(process.kill)
    return process


def _in_page(what):
    def read(path):
        if path.is_dir():
            return Aside(f"{path.name} is a folder")            # a browser offers files only
        process = _node()
        process.stdin.write(json.dumps([what, str(path)]) + "\n")
        process.stdin.flush()
        kind, said = json.loads(process.stdout.readline())
        if kind == "broken":
            raise RuntimeError(said)
        return Aside(f"{path.name}: {said}") if kind == "refused" else None
    return read


def _rows(path):
    files.read_rows(path, "study")


def _plan(path):
    from tools import plans

    plans.read(path)


def _model_proto(content):
    import onnx

    return onnx.ModelProto.FromString(content)


# --- all of them

TABLES, HELPER = damaging.TFLITE, "runtimes are asked in a process of its own, several times for each"
CONVERTER, PAGE = "a converter runs each time", "a page is laid out each time"
PROTO = (*damaging.BYTES, *[damaging.message(_model_proto)] * 20)
TWICE = (*damaging.BYTES, *[damaging.member(damaging.BYTES)] * 10)

READERS = {
    "tflite_file.read": Reader(tflite_file.read, "02-damaged.tflite", _any_tflite, TABLES),
    "tflite_bytes.account": Reader(_account, "02-damaged.tflite", _any_tflite, TABLES),
    "IntegerGraph.from_tflite": Reader(IntegerGraph.from_tflite, "02-damaged.tflite", _any_tflite, TABLES),
    "IntegerGraph.codes": Reader(_codes, "02-damaged.tflite", _operators, TABLES),
    "IntegerMLP.from_tflite": Reader(IntegerMLP.from_tflite, "02-damaged.tflite", _tflite, TABLES),
    **{f"predictors.from_tflite, {runtime}": Reader(_on(runtime), "02-damaged.tflite", _any_tflite, TABLES, in_ci=100)
       for runtime in runtimes.RUNTIMES},
    "codegen": Reader(_code, "02-damaged.tflite", _int8_nets, TABLES, in_ci=60),
    "firmware.tflite_micro_arena": Reader(_arena, "02-damaged.tflite", _int8_nets, TABLES, 1000, HELPER, in_ci=25),
    "report.inspect": Reader(_inspect, "02-damaged.tflite", _any_tflite, TABLES, 1000, HELPER, in_ci=25),
    "report.compare": Reader(_compare, "02-damaged.tflite", _any_tflite, TABLES, 1000, HELPER, in_ci=25),
    "report.why": Reader(_why, "02-damaged.tflite", _any_tflite, TABLES, 1000, HELPER, in_ci=25),
    "report.layers": Reader(_layers, "02-damaged.tflite", lambda: _int8_nets()[1:2], TABLES, 1000, HELPER, in_ci=25),
    "report.layers --float X.tflite": Reader(_layers_of, "02-damaged.tflite", _float_nets, TABLES, 1000, HELPER,
                                             in_ci=25),
    "report.tensors": Reader(_tensors, "02-damaged.tflite", _any_tflite, TABLES, 1000, HELPER, in_ci=25),
    "predictors.from_onnx": Reader(_onnx_run, "02-damaged.onnx", _onnx, PROTO),
    "report.layers --float X.onnx": Reader(_layers_of, "02-damaged.onnx", _onnx, PROTO, in_ci=60),
    "export.check_onnx": Reader(_check_onnx, "02-damaged.onnx", _onnx, PROTO),
    "export.to_saved_model": Reader(_convert_onnx, "02-damaged.onnx", _onnx, PROTO, 40, CONVERTER, in_ci=0),
    "export.to_tflite": Reader(_convert_saved_model, "02-damaged.pb", _saved_models, damaging.BYTES, 40, CONVERTER,
                               in_ci=0),
    "report.layers --float X.keras": Reader(_layers_of, "02-damaged.keras", _keras, TWICE, 300,
                                            "Keras builds a model each time", in_ci=0),
    "models.load_weights": Reader(_pth_read, "02-damaged.pth", _pth, TWICE),
    "zoo's weights": Reader(_weights_read, "02-damaged.npz", _weights, TWICE),
    "--inputs": Reader(_inputs, "02-damaged.npy", _arrays, TWICE),
    "models.load": Reader(_load, "02-damaged.json", _nets, damaging.JSON, of_json=True),
    "editions": Reader(_editions, "02-damaged.ipynb", _lessons, damaging.JSON, of_json=True),
    "lab.py's copies": Reader(_copies, "02-damaged.ipynb", _lessons, damaging.JSON, of_json=True),
    "tools.pages": Reader(_notebook, "02-damaged.ipynb", _lessons, damaging.JSON, of_json=True),
    "slides": Reader(_slides, "02-damaged.ipynb", _lessons, damaging.JSON, of_json=True, in_ci=100),
    "the site": Reader(_page, "02-damaged.ipynb", _lessons, damaging.JSON, 1000, PAGE, True, 10),
    "progress": Reader(_record, "xorlab-progress.json", _progress, damaging.JSON, of_json=True),
    "playground state": Reader(_state, "02-damaged.json", _states, damaging.JSON, of_json=True),
    "playground points": Reader(_points, "02-damaged.csv", _csv, damaging.TEXT),
    "playground state in a page": Reader(_in_page("state"), "02-damaged.json", _states, damaging.JSON, of_json=True),
    "playground points in a page": Reader(_in_page("csv"), "02-damaged.csv", _csv, damaging.TEXT),
    "studies": Reader(_rows, "02-damaged.json", _studies, damaging.JSON, of_json=True),
    "plans.toml": Reader(_plan, "02-damaged.toml", _plans, damaging.TEXT),
}
