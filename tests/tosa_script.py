"""Run by tests/tosa.py with the Python of another environment: net.tflite and inputs.npz to outputs.npz."""
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import tosa_reference_model
from tosa_converter_for_tflite import tflite_flatbuffer_to_tosa_mlir


def main(folder):
    tflite_flatbuffer_to_tosa_mlir(str(folder / "net.tflite"), str(folder / "net.mlirbc"))
    # the converter speaks MLIR and the model flatbuffers; on Windows the tool's name ends in .exe
    translate = shutil.which("tosa-opt", path=sysconfig.get_path("scripts"))
    subprocess.run([translate, "net.mlirbc", "--tosa-serialize", "--tosa-flatbuffer-filename=net.tosa", "-o",
                    "rest.mlir"], cwd=folder, check=True)
    graph = (folder / "net.tosa").read_bytes()
    with np.load(folder / "inputs.npz") as inputs:
        calls = [answers(graph, call) for call in zip(*inputs.values(), strict=True)]
    np.savez(folder / "outputs.npz", *map(np.stack, zip(*calls, strict=True)))


def answers(graph, inputs):
    """Return the outputs of one call.  Raises RuntimeError if TOSA does not define them."""
    outputs, status = tosa_reference_model.run(graph, list(inputs))
    if status != tosa_reference_model.GraphStatus.TOSA_VALID:
        raise RuntimeError(f"the reference model says {status.name}")
    return outputs


if __name__ == "__main__":
    main(Path(sys.argv[1]))
