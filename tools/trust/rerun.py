"""Run a lesson of this checkout and print what it shows otherwise than is stored: python -m tools.trust.rerun NN.

tools/trust/outputs.py starts it where it has changed something around it. Without a lesson it runs the code that it is
given on its standard input, in such a kernel too, and prints what that prints.
"""
import base64
import copy
import hashlib
import itertools
import json
import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from traitlets.config import Config

import lab
from tools import likeness, refresh

LETTERS = 90        # of an output, in a sentence


def main(arguments):
    if arguments:
        print(json.dumps(outcome(lab.lesson(arguments[0]))))
    else:
        notebook = new_notebook(cells=[new_code_cell(sys.stdin.read())])
        print(run(notebook, lab.NOTEBOOKS / "code.ipynb").cells[0].outputs[0].text)


def run(notebook, path):
    """Run a notebook as refresh.py does, but talk to its kernel by files where there are such sockets, not by ports.

    So it runs where there is no network, not even one inside the computer.
    """
    if os.name != "posix":
        return refresh.run(notebook, path)
    with tempfile.TemporaryDirectory() as folder:
        return refresh.run(notebook, path, config=Config({"KernelManager": {"transport": "ipc", "ip": f"{folder}/k"}}))


def outcome(path: Path) -> dict:
    """Return how many cells of a lesson were compared, and a line for each that shows something else than stored."""
    stored = nbformat.read(path, as_version=4)
    try:
        ran = run(copy.deepcopy(stored), path)
    except refresh.LessonFailed as problem:
        return {"cells": 0, "differ": [" ".join(str(problem).split())[:400]]}
    comparison = refresh.NbvalComparison()
    cells = [pair for pair in zip(ran.cells, stored.cells, strict=True) if pair[0].cell_type == "code"]
    return {"cells": len(cells), "differ": [
        f"{old.id} {difference(new, old, comparison)}" for new, old in cells
        if not refresh.equal_outputs(new, old, comparison, likeness.alike, likeness.alike_words)
    ]}


def difference(new, old, comparison) -> str:
    """Say in one line where a cell's outputs part from the stored ones; its pictures are kept to be looked at."""
    for shown, kept in itertools.zip_longest(lines(new), lines(old), fillvalue=""):
        if comparison.sanitize(shown) != comparison.sanitize(kept):
            return f"shows {short(shown)}, stored is {short(kept)}"
    for one, other in itertools.zip_longest(*map(refresh.pictures, (new.outputs, old.outputs)), fillvalue=("", "", "")):
        if not likeness.alike_words(one[2], other[2]):
            return f"describes its picture as {short(one[2])}, stored is {short(other[2])}"
        if not likeness.alike(one[1], other[1]):
            return f"shows another picture: {kept_picture(one[1])}"
    if not likeness.near(*map(refresh.said, (new, old))):
        return "shows a number after ~ that is far from the stored one"
    return "shows outputs of another kind"


def lines(cell):
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    texts += [output.data["text/html"] for output in cell.outputs if "text/html" in output.get("data", {})]
    return [line for text in texts for line in text.splitlines()]


def short(text):
    text = str(text).strip()
    return repr(text if len(text) <= LETTERS else text[:LETTERS] + "...")


def kept_picture(data):
    """Write a picture among the temporary files; return its path."""
    path = Path(tempfile.gettempdir()) / f"xorlab-{hashlib.sha256(data.encode()).hexdigest()[:12]}.png"
    path.write_bytes(base64.b64decode(data))
    return path


if __name__ == "__main__":
    main(sys.argv[1:])
