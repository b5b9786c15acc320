"""XOR Lab: one small problem, all the way from four points to a microcontroller.

The lessons in `notebooks/` call these modules; each imports only modules before it in this list:
streams, files, installed, processes, arriving, installing, news, arguments, tables, look, editions, data,
tflite_format, tflite_file, tflite_bytes, runtimes, sandbox, models, integer, ports, codegen, compiler, firmware,
optimizers, population, races, qat, training, zoo, export, photos, predictors, transfer, compare, cifar, conformance,
trials, fewbits, plots, report, exercises, playground, widgets, environment, doctor, cli.
Importing `xorlab` itself loads none that needs more than Python, so it costs milliseconds.
"""
import importlib.util
import os
import sys

from xorlab import arriving
from xorlab.streams import expect, quiet

# ONNX Runtime reports to its maker and keeps a device id in the home folder, unless told not to before its import
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.2.0"
__all__ = ["expect", "quiet"]


class _TritonFirst:
    """Looks on at imports: before TensorFlow is loaded, triton is, where there is one.

    PyTorch's packages for Linux with a GPU bring triton, and PyTorch loads it with the first optimizer. Loaded after
    TensorFlow, it ends the process (tensorflow issue 124205).
    """

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "tensorflow" and "triton" not in sys.modules and importlib.util.find_spec("triton"):
            try:
                import triton  # noqa: F401
            except Exception:
                _go_without_triton()        # or PyTorch would try it again, after TensorFlow
        return None                         # the finders behind this one find TensorFlow


def _go_without_triton():
    """Let PyTorch take triton for not installed: it then does everything but compile for a GPU."""
    sys.modules["triton"] = None


if "tensorflow" in sys.modules and "triton" not in sys.modules:
    _go_without_triton()                    # too late to load it
else:
    sys.meta_path.insert(0, _TritonFirst)

sys.meta_path.insert(0, arriving.First)     # an import of what lab.py is still installing says so
