"""TensorFlow and triton in one process: whichever is asked for first, triton is loaded first or not at all."""
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(code, *folders):
    """Run code in a fresh Python that finds the project and these folders; return what it prints."""
    path = f"import sys; sys.path[:0] = {[*map(str, folders), str(ROOT)]}; "
    done = subprocess.run([sys.executable, "-c", path + code], capture_output=True, text=True)
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr}"
    return done.stdout.split()


@pytest.fixture
def stand_ins(tmp_path):
    """A triton that ends the process if TensorFlow was loaded before it, as the real one does, and a TensorFlow."""
    (tmp_path / "triton").mkdir()
    (tmp_path / "triton" / "__init__.py").write_text(
        "import os, sys\nif 'tensorflow' in sys.modules: os._exit(139)\nprint('triton')\n")
    (tmp_path / "tensorflow.py").write_text("print('tensorflow')\n")
    return tmp_path


ASK = "\ntry: import triton\nexcept ImportError: print('refused')"        # as PyTorch asks for it


def test_the_stand_ins_end_the_process_where_nothing_guards_it(stand_ins):
    with pytest.raises(AssertionError, match="ended with 139"):
        run("import tensorflow" + ASK, stand_ins)


@pytest.mark.parametrize("order, loaded", [
    ("import xorlab, tensorflow", ["triton", "tensorflow"]),
    ("import xorlab, triton, tensorflow", ["triton", "tensorflow"]),
    ("import triton, tensorflow, xorlab", ["triton", "tensorflow"]),
    ("import tensorflow, xorlab", ["tensorflow", "refused"]),
    ("from xorlab import data; import tensorflow", ["triton", "tensorflow"]),
])
def test_no_order_of_imports_loads_triton_after_tensorflow(stand_ins, order, loaded):
    assert run(order + ASK, stand_ins) == loaded


def test_a_triton_that_cannot_be_loaded_is_not_tried_again(stand_ins):
    (stand_ins / "triton" / "__init__.py").write_text("print('tried')\nraise OSError('no driver')")
    assert run("import xorlab, tensorflow" + ASK, stand_ins) == ["tried", "tensorflow", "refused"]


def test_importing_xorlab_alone_loads_no_triton(stand_ins):
    assert run("import xorlab, xorlab.streams, xorlab.files", stand_ins) == []


@pytest.mark.skipif(bool(importlib.util.find_spec("triton")), reason="there is triton here")
def test_without_triton_nothing_is_changed(tmp_path):
    (tmp_path / "tensorflow.py").write_text("")
    assert run("import xorlab, tensorflow; print('triton' in sys.modules)", tmp_path) == ["False"]


@pytest.mark.skipif(not importlib.util.find_spec("triton"), reason="there is no triton here")
@pytest.mark.parametrize("order", ["import tensorflow, xorlab", "from xorlab import training; import keras"])
def test_an_optimizer_after_the_real_tensorflow_does_not_end_the_process(order):
    code = "; import torch; torch.optim.Adam([torch.zeros(1, requires_grad=True)]); print('alive')"
    assert run(order + code) == ["alive"]


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")), ids=lambda path: path.stem[:2])
def test_a_lesson_imports_xorlab_before_tensorflow(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    ours = re.search(r"^\s*(?:import|from) xorlab\b", code, re.M)
    theirs = re.search(r"^\s*(?:import|from) (?:tensorflow|keras|keras_tuner|tf_keras|onnx2tf)\b", code, re.M)
    assert ours and (not theirs or ours.start() < theirs.start())
