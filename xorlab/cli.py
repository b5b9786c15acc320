"""The `xorlab` command: the whole road without a notebook."""
import argparse
import io
import sys
from pathlib import Path

from xorlab.streams import ended, printable, quiet


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line in one line, without the usage, which `--help` shows."""

    def error(self, message):
        self.exit(2, f"xorlab: {' '.join(message.splitlines())}; {self.prog} --help shows what there is\n")


def main(arguments=None):
    """Run the command line and return its exit status: 0 all well, 1 a negative verdict, 2 bad input."""
    parser = _Parser(prog="xorlab", description="XOR, from four points to an int8 decision surface.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_demo(commands)
    _add_errors(commands)
    rules = commands.add_parser("rules", help="which rounding rule each installed runtime follows, on all inputs")
    rules.set_defaults(run=_rules)
    _add_inspect(commands)
    _add_compare(commands)
    _add_why(commands)
    _add_layers(commands)
    _add_progress(commands)
    lessons = commands.add_parser("lessons", help="copy the lessons, as students get them, into a folder of yours")
    lessons.add_argument("folder", metavar="DIR", type=Path, help="where to; what stands there already stays as it is")
    lessons.set_defaults(run=_lessons)
    options = parser.parse_args(arguments)
    refused = (OSError, ValueError, TypeError, ImportError)
    return ended(lambda: _outcome(options), name="xorlab", errors=refused, status=2)


def _outcome(options):
    try:
        return options.run(options)
    except FloatingPointError as error:         # a training that runs away is an outcome
        print(f"xorlab: {printable(error)}", file=sys.stderr)
        return 1


def _add_demo(commands):
    demo = commands.add_parser("demo", help="train, export, convert, run everywhere, compare, draw")
    demo.add_argument("--out", type=Path, default=Path("build/demo"), help="folder to write (default: %(default)s)")
    demo.add_argument("--reference", metavar="NAME", help="take this committed net instead of training one")
    demo.add_argument("--seed", type=int, default=1, help="of the initial weights (default: %(default)s)")
    demo.add_argument("--hidden", type=int, default=3, help="hidden units (default: %(default)s)")
    demo.add_argument("--activation", default="sigmoid", help="sigmoid, relu or tanh (default: %(default)s)")
    demo.add_argument("--epochs", type=int, default=10_000, help="training steps (default: %(default)s)")
    demo.set_defaults(run=_demo)


def _add_errors(commands):
    errors = commands.add_parser(
        "errors", help="train a net, quantize it, and compare its forms in pairs",
        description="Exit status 0 if every output of every pair is within the tolerance, 1 if not, 2 for bad input.")
    which = errors.add_mutually_exclusive_group(required=True)
    which.add_argument("--model", help="xor, dense1, dense2, dense3 or dense4")
    which.add_argument("--all", action="store_true", help="every model, as it is and quantized, in one table")
    errors.add_argument("--quantize", action="store_true", help="compare the quantized forms, not the float32 file")
    errors.add_argument("--weight-bits", type=int, default=8,
                        help="of plain rounding (PTQ) and of training with rounding (QAT) (default: 8)")
    errors.add_argument("--granularity", default="per_channel",
                        help="of weight scales: per_channel, one per unit, or per_tensor, one per layer "
                             "(default: %(default)s)")
    errors.add_argument("--tolerance", type=float, default=0.01, help="largest error that passes (default: 0.01)")
    errors.add_argument("--outputs", type=int, metavar="N",
                        help="compare N outputs, up to 1,000,000, on points made from the seed: for dense1 to dense4 "
                             "N / 10 digits, test pictures shifted by a pixel or with noise in turn; for xor N random "
                             "points of the square (default: the 450 test pictures, or a grid of 65,536 points)")
    errors.add_argument("--seed", type=int, default=0,
                        help="of the initial weights and of what --outputs makes (default: 0)")
    errors.set_defaults(run=_errors)


def _add_inspect(commands):
    inspect = commands.add_parser("inspect", help="what stands in a .tflite file, and which runtimes run it")
    inspect.add_argument("file", metavar="FILE", help="a .tflite file")
    _add_html(inspect)
    inspect.set_defaults(run=_inspect)


def _add_compare(commands):
    compare = commands.add_parser(
        "compare", help="on which inputs the runtimes answer a .tflite file otherwise",
        description="Runs all inputs where there are at most 65,536, else a seeded sample, or yours. Exit status 0 if "
                    "all runtimes answer alike, 1 if not, 2 for bad input.")
    compare.add_argument("file", metavar="FILE", help="a .tflite file")
    _add_inputs(compare)
    compare.add_argument("--runtimes", metavar="A,B,...", help="which of xnnpack, builtin, reference, tflm "
                                                               "(default: all)")
    _add_html(compare)
    compare.set_defaults(run=_compare)


def _add_why(commands):
    why = commands.add_parser(
        "why", help="where two runtimes part on a .tflite file, and by which arithmetic",
        description="Compares every tensor, operator by operator, works out an output of the first one that differs "
                    "under both runtimes' rules, and tells how the difference goes on. Runs all inputs where there are "
                    "at most 65,536, else a seeded sample, smaller for a large net, or yours. Exit status 0 if all "
                    "tensors agree, 1 if not, 2 for bad input.")
    why.add_argument("file", metavar="FILE", help="a .tflite file")
    _add_inputs(why)
    why.add_argument("--between", nargs=2, metavar=("A", "B"),
                     help="two of xnnpack, builtin, reference, tflm (default: the two that differ on most inputs)")
    _add_html(why)
    why.add_argument("--json", action="store_true", help="print it as JSON")
    why.set_defaults(run=_why)


def _add_layers(commands):
    layers = commands.add_parser(
        "layers", help="in which layer a quantized .tflite file loses most of what its float model knew",
        description="Runs both on the same real numbers, and tells of every layer how far its error is below its "
                    "signal, how much is clipped, and how its range fits the data. Exit status 0, 2 for bad input.")
    layers.add_argument("file", metavar="FILE", help="a quantized .tflite file")
    layers.add_argument("--float", required=True, metavar="MODEL", dest="model",
                        help="the model that it was made from, .tflite, .onnx or .keras")
    layers.add_argument("--inputs", metavar="X", help="X.npy of real numbers, one row for each sample: your data")
    _add_draw(layers)
    _add_html(layers)
    layers.set_defaults(run=_layers)


def _add_progress(commands):
    progress = commands.add_parser("progress", help="which exercises of the lessons are done, in your own copies")
    progress.add_argument("folder", metavar="FOLDER", type=Path, nargs="?", default=None,
                          help="where your lessons are (default: this folder, or work in it)")
    progress.set_defaults(run=_progress)


def _add_inputs(command):
    command.add_argument("--inputs", metavar="X", help="X.npy, or X.npz with an array for each input's name; one row "
                                                       "for each sample")
    command.add_argument("--quantize", action="store_true",
                         help="the inputs are real numbers, and become codes by each input's scale")
    _add_draw(command)


def _add_draw(command):
    command.add_argument("--samples", type=int, metavar="N", help="how many inputs to draw (default: 1,000, fewer "
                                                                  "where they are large)")
    command.add_argument("--seed", type=int, metavar="S", help="of the draw (default: 0)")


def _add_html(command):
    command.add_argument("--html", type=Path, metavar="OUT.html", help="write it as one HTML file too")


def _inspect(options):
    from xorlab import report

    _show(report.inspect(options.file), options.html)
    return 0


def _compare(options):
    from xorlab import report

    made = report.compare(options.file, options.inputs, samples=options.samples, seed=options.seed,
                          quantize=options.quantize,
                          among=None if options.runtimes is None else tuple(options.runtimes.split(",")))
    _show(made, options.html)
    return 0 if made.agree else 1


def _why(options):
    import json

    from xorlab import report

    found = report.why(options.file, options.between, options.inputs, samples=options.samples, seed=options.seed,
                       quantize=options.quantize)
    if options.json:
        print(json.dumps(found.to_dict(), indent=1))
        if options.html:
            found.save_page(options.html)
    else:
        _show(found, options.html)
    return 0 if found.agree else 1


def _layers(options):
    from xorlab import report

    _show(report.layers(options.file, options.model, options.inputs, samples=options.samples, seed=options.seed),
          options.html)
    return 0


def _show(made, page):
    """Print a report; write it as an HTML file too if that is asked for."""
    print(made)
    if page:
        print(f"\nWrote {made.save_page(page)}")


def _errors(options):
    from xorlab import tables, trials

    wanted = ([(name, quantize) for name in trials.MODELS for quantize in (False, True)] if options.all
              else [(options.model, options.quantize)])
    for name, _ in wanted:
        trials.check_outputs(name, options.outputs, options.seed)         # of all nets, before the first is trained
    done = [trials.run(name, quantize=quantize, tolerance=options.tolerance, seed=options.seed,
                       weight_bits=options.weight_bits, granularity=options.granularity, outputs=options.outputs)
            for name, quantize in wanted]
    print(tables.stacked(done))
    print("\n".join(sentence for trial in done for sentence in trial.sentences()))
    return 0 if all(trial.passed for trial in done) else 1


def _demo(options):
    from xorlab import compare, files, predictors

    files.check_folder(options.out)             # before the training, so that a bad path costs no time
    model = _net(options)
    original = predictors.from_torch(model, name=f"{model.name} in PyTorch")
    right = compare.corners_right(original)
    if right < 4:
        print(f"This start did not learn XOR: {right} of 4 corners right after {options.epochs:,} epochs. "
              f"Some starts get stuck; try another seed, e.g. --seed {options.seed + 1}, or --hidden 8.")
        return 1
    with files.replacing_folder(options.out) as made:
        with quiet():
            rows = _rows(original, _export(model, made))
        print(_table(rows))
        print(_footnotes())
        _draw(rows, made / "surfaces.png")
    written = sorted(path.name for path in options.out.glob("[!.]*") if path.is_file())
    print(f"Wrote {', '.join(written)} to {options.out}")
    return 0


def _rules(options):
    from xorlab import conformance

    report = conformance.report()
    print(report)
    for sentence in report.changed():
        print(f"Changed: {sentence}.")
    return 1 if report.changed() else 0


def _net(options):
    """Train a net as the options say, or load the reference net they name, and say which."""
    from xorlab import data, models, training

    if options.reference:
        model = models.reference(options.reference)
        print(f"Reference net {options.reference}")
        return model
    model = models.MLP(options.hidden, options.activation, seed=options.seed)
    print(f"Training {model.name} from seed {options.seed} ...", flush=True)
    print(training.fit(model, *data.corners(), epochs=options.epochs))
    return model


def _export(model, out):
    """Write every form of the model into `out`; return {form: path}."""
    import torch

    from xorlab import export

    paths = {form: out / file for form, file in (
        ("pth", "model.pth"), ("onnx", "model.onnx"), ("float32", "float32.tflite"), ("int8", "int8.tflite"))}
    weights = io.BytesIO()                          # PyTorch's own file would end otherwise where a disk is full
    torch.save(model.state_dict(), weights)
    paths["pth"].write_bytes(weights.getvalue())
    export.to_onnx(model, paths["onnx"])
    saved_model = export.to_saved_model(paths["onnx"], out / "saved_model")
    for variant in ("float32", "int8"):
        export.to_tflite(saved_model, paths[variant], variant)
    return paths


def _rows(original, paths):
    """Return (predictor, file it runs from) for every form and runtime, PyTorch first."""
    from xorlab import predictors

    rows = [(original, paths["pth"]), (predictors.from_onnx(paths["onnx"], "ONNX Runtime"), paths["onnx"]),
            (predictors.from_tflite(paths["float32"], name="TFLite float32, xnnpack"), paths["float32"])]
    for runtime in predictors.RUNTIMES:
        try:
            rows.append((predictors.from_tflite(paths["int8"], runtime, f"TFLite int8, {runtime}"), paths["int8"]))
        except ImportError as error:
            print(f"Left out: {error}")
    return rows


def _table(rows):
    """Compare every row with the first, PyTorch, and the int8 rows with the last one."""
    from xorlab import compare, data
    from xorlab.predictors import QuantizedPredictor
    from xorlab.tables import Table

    original, last = rows[0][0], rows[-1][0]
    q = data.int8_inputs()
    x = last.input.dequantize(q)
    expected = compare.classes(original(x))
    cells = []
    for predictor, path in rows:
        report = compare.errors(original, predictor, data.grid())
        quantized = isinstance(predictor, QuantizedPredictor)
        same_code = f"{len(q) - compare.agreement(predictor, last).differing:,}" if quantized else "-"
        one = (predictor.codes, q[:1]) if quantized else (predictor, x[:1])
        cells.append((
            predictor.name, f"{path.stat().st_size:,}", f"{report.max_abs:.2g}", f"{report.mean_abs:.2g}",
            f"{compare.corners_right(predictor)}", f"{(compare.classes(predictor(x)) == expected).sum():,}",
            same_code, compare.seconds(compare.times(*one).median)))
    header = ("form, runtime", "file, bytes", "max error", "mean error", "corners of 4", "same class",
              "same code", "time, one input")
    return Table(header, tuple(cells))


def _footnotes():
    return """\
errors: |output - PyTorch's| over a grid of 101 x 101 points; TFLite int8 after dequantizing
same class, same code: of all 65,536 int8 inputs; class as PyTorch's, code as the last row's
time: median of 200 calls after 20 to warm up, one input a call, Python's overhead included"""


def _draw(rows, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    from xorlab import plots

    plots.use()
    original, last = rows[0][0], rows[-1][0]
    axes = plots.surfaces([original, last, (last, original)], ["PyTorch", "int8", "int8 minus PyTorch"], facts=True)
    plots.save(axes[0].figure, path)
    plt.close(axes[0].figure)


def _lessons(options):
    from xorlab import editions

    for lesson in editions.hand_out(options.folder):
        print(f"There is a newer version of {lesson.stem}: move your copy away, and the same command writes it.")
    count = len(editions.lessons(options.folder))
    print(f"{count} lessons are in {options.folder}: jupyter lab {options.folder} opens them.")
    return 0


def _progress(options):
    from xorlab import exercises
    from xorlab.exercises import record

    folder = options.folder
    if folder is None:
        folder = next((place for place in (Path("."), Path("work")) if (place / record.NAME).is_file()), Path("."))
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}; give the one that your lessons are in")
    print(exercises.progress(folder))
    return 0
