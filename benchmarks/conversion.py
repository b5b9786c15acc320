"""ONNX to int8 TFLite: ours against the source lesson's way, onnx2tf with its simplifier (needs onnxsim)."""
import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path

from _measure import report, side_by_side

import xorlab
from xorlab import export, models
from xorlab.streams import ended

with xorlab.quiet():                # TensorFlow's log lines
    import onnx2tf

# onnx2tf starts the simplifier by name; without the environment activated it would silently go without
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
ONNX = models.reference_file("sigmoid-2-3-1", "model.onnx")


def ours():
    with tempfile.TemporaryDirectory() as folder:
        saved = export.to_saved_model(ONNX, Path(folder) / "saved")
        export.to_tflite(saved, Path(folder) / "int8.tflite")


def source_lesson():
    with tempfile.TemporaryDirectory() as folder, xorlab.quiet(), contextlib.redirect_stdout(io.StringIO()):
        onnx2tf.convert(input_onnx_file_path=str(ONNX), output_folder_path=f"{folder}/saved")
        export.to_tflite(f"{folder}/saved", Path(folder) / "int8.tflite")


def main():
    ways = {"ours": ours, "onnx2tf with its simplifier": source_lesson}
    report("ONNX to int8 TFLite, TensorFlow already loaded", side_by_side(ways, rounds=3), unit="s")


if __name__ == "__main__":
    sys.exit(ended(main))
