"""XOR Lab: one small problem, all the way from four points to a microcontroller.

The lessons in `notebooks/` call these modules; each imports only modules before it in this list:
streams, files, tables, data, tflite_file, tflite_bytes, models, fixed_point, rules, integer, codegen, compiler,
firmware, zoo, optimizers, population, races, qat, training, export, predictors, compare, conformance, trials,
fewbits, plots, widgets, environment, cli.
Importing `xorlab` itself loads none of them, so it costs milliseconds.
"""
import os

from xorlab.streams import expect, quiet

# ONNX Runtime reports to its maker and keeps a device id in the home folder, unless told not to before its import
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
__all__ = ["expect", "quiet"]
