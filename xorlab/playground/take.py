"""What a playground gives to take away, as files: `.pth`, `.onnx`, `.tflite` and C."""
import io
import tempfile
import zipfile
from pathlib import Path

from xorlab.playground import state as states


def file(kind: str, state: dict) -> tuple[str, bytes, str]:
    """Return (name, content, a sentence about it) of a network as a file.

    kind : a name in KINDS.  Raises ValueError for another kind, or a network that has no such form.
    """
    if kind not in KINDS:
        raise ValueError(f"a file to take away must be one of {', '.join(KINDS)}, got {kind!r}")
    return KINDS[kind](state)


def _pth(state):
    import torch

    stream = io.BytesIO()
    torch.save(states.net(state).state_dict(), stream)
    widths = tuple(state["hidden"])
    return "xor.pth", stream.getvalue(), (
        f'The weights in float32, for models.MLP({widths}, "{state["activation"]}"): '
        'load_state_dict(torch.load("xor.pth", weights_only=True)).')


def _onnx(state):
    from xorlab import export

    with tempfile.TemporaryDirectory() as folder:
        content = export.to_onnx(states.net(state), Path(folder) / "xor.onnx").read_bytes()
    return "xor.onnx", content, 'The network in float32, opset 17: "input" (n, 2) to "output" (n, 1).'


def _tflite(state):
    from xorlab.integer.write import content_of

    graph = states.graph(state)
    weights = "" if state["bits"] == 8 else f" with weights of {state['bits']} bits"
    return "xor.tflite", content_of(graph), (
        f"The int8 network{weights}, codes in and codes out: {graph.inputs[0].affine} at its input.")


def _c(state):
    from xorlab import codegen

    net = states.integers(state).under("tflm")
    stream = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(stream, "w") as archive:
        for path in codegen.write_c(net, folder):
            archive.write(path, path.name)
    return "xor_net.zip", stream.getvalue(), (
        "C99 without floats: xor_net.h and xor_net.c, equal to TFLite Micro on every input.")


KINDS = {"pth": _pth, "onnx": _onnx, "tflite": _tflite, "c": _c}
