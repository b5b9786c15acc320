"""TFLite files run by Arm's TOSA reference model, which shares no kernel with TFLite's runtimes.

It lives in an environment of its own: `python3 lab.py test --with tosa` makes it and names its Python in the variable
XORLAB_TOSA_PYTHON. There Arm's converter, which reads files with TensorFlow's own code, prepares factors and tables
and writes TOSA operators; the reference model computes them.

Its int8 layers, sums, pools and softmax came out as TFLite Micro's: two roundings, factors made in float64. These do
not (tosa-converter-for-tflite 2026.2.0):
- LOGISTIC is a table of the exactly rounded function, as in the rule `reference`; TFLite Micro computes in fixed
  point, which is a code away on a few inputs of some scales.
- The 6 of a fused RELU6 is divided by the scale in float64, in TFLite Micro in float32.
- RELU and RELU6 operators rescale with one rounding; RELU6 heeds the scale of its output, TFLite Micro's does not.
"""
import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from made_files import TYPES

from xorlab.tflite_file import packed, unpacked

PYTHON = os.environ.get("XORLAB_TOSA_PYTHON")
MISSING = "no TOSA reference model here; python3 lab.py test --with tosa installs it and runs this"
SCRIPT = Path(__file__).with_name("tosa_script.py")


def outputs(content: bytes, *inputs: np.ndarray) -> list[np.ndarray]:
    """Run n samples, one array (n, ...) for each input of a file; return an array (n, ...) for each of its outputs.

    A file that was made for any number of samples runs all in one call, another one as many as it was made for.
    Raises ValueError if the inputs do not fit the file, or RuntimeError with what the other environment says.
    """
    content, batch = _for_one_call(content, inputs)
    with TemporaryDirectory() as folder:
        (Path(folder) / "net.tflite").write_bytes(content)
        np.savez(Path(folder) / "inputs.npz", *[x.reshape(-1, batch, *x.shape[1:]) for x in inputs])
        # -I: the script must not find this file where the other environment has a package `tosa`
        done = subprocess.run([PYTHON, "-I", str(SCRIPT), folder], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the TOSA reference model did not run this file: {done.stderr[-2000:].strip()}")
        with np.load(Path(folder) / "outputs.npz") as made:
            return [out.reshape(-1, *out.shape[2:]) for out in made.values()]


def _for_one_call(content, inputs):
    """Return the file with the number of samples that one call takes written into it, and that number."""
    model = unpacked(content)
    graph = model.subgraphs[0]
    free = [tensor for tensor in graph.tensors if tensor.shapeSignature is not None
            and list(tensor.shapeSignature) == [-1, *tensor.shape[1:]]]
    for tensor in free:
        tensor.shape, tensor.shapeSignature = np.array([len(inputs[0]), *tensor.shape[1:]], np.int32), None
    # the reference model itself compares sizes in bytes only
    for tensor, x in zip([graph.tensors[i] for i in graph.inputs], inputs, strict=True):
        batch, *sample = map(int, tensor.shape)
        if TYPES[x.dtype] != tensor.type or list(x.shape[1:]) != sample or len(x) % batch or len(x) != len(inputs[0]):
            raise ValueError(f"the input takes (n, {', '.join(map(str, sample))}) of its own dtype, n the same for "
                             f"all inputs and a multiple of {batch}, got {x.dtype} {x.shape}")
    return packed(model) if free else content, batch
