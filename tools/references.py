"""Make reference nets' exports again, after weights or a converter changed: python tools/references.py NAME ...

To train the weights anew as well, add --train; a net made by hand has no settings to train with. The kept net of the
zoo, dense4 with seed 3, has weights only: python -c "from xorlab import zoo; zoo.keep('dense4', seed=3)"
"""
import sys
import tempfile
from pathlib import Path

from xorlab import data, export, models, training
from xorlab.streams import ended

# lesson 07 compares every variant of the first net; of the others lessons need two
VARIANTS = {"sigmoid-2-3-1": tuple(export.VARIANTS)}
# further int8 files by net: name and calibration points. Lesson 05 takes this one apart.
EXTRA = {"sigmoid-2-3-1": [("int8-middle.tflite", 0.3 + 0.4 * data.grid(data.CALIBRATION_SIDE))]}


def train(name):
    """Train a reference net from its recorded settings and write its weights."""
    settings = models.recorded_training(name)
    if not settings:
        raise SystemExit(f"{name} was made by hand; there is nothing to train")
    kept = models.reference(name)
    model = models.MLP(kept.widths, kept.activation, seed=settings["seed"])
    x, y = data.corners()
    print(training.fit(model, x, y, **{key: value for key, value in settings.items() if key != "seed"}))
    models.save(model, models.reference_file(name, "net.json"), settings)


def write_exports(name):
    """Write a reference net's ONNX and TFLite files beside its weights."""
    folder = models.REFERENCES / name
    export.to_onnx(models.reference(name), folder / "model.onnx")
    with tempfile.TemporaryDirectory() as temporary:
        saved_model = export.to_saved_model(folder / "model.onnx", Path(temporary) / "saved_model")
        for variant in VARIANTS.get(name, ("float32", "int8")):
            export.to_tflite(saved_model, folder / f"{variant}.tflite", variant)
        for file, calibration in EXTRA.get(name, []):
            export.to_tflite(saved_model, folder / file, "int8", calibration)


def main(arguments):
    """Write the files of the nets named, and with --train their weights before."""
    names = [argument for argument in arguments if argument != "--train"]
    if not names or not set(names) <= set(models.reference_names()):
        raise SystemExit(f"name reference nets of {', '.join(models.reference_names())}")
    for name in names:
        if "--train" in arguments:
            train(name)
        write_exports(name)


if __name__ == "__main__":
    sys.exit(ended(main, sys.argv[1:]))
