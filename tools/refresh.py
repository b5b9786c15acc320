"""Re-run lessons in place: `python3 lab.py refresh [NN ...]`.

A stored output that equals the new one, in the eyes of the check that CI makes (nbval), stays as it is, so
a refresh changes only what really changed. nbval does not look at pictures; here they must look the same too.
"""
import copy
import operator
import os
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbstripout import strip_output
from nbval.plugin import (
    IPyNbCell,
    coalesce_streams,
    find_comment_markers,
    find_metadata_tags,
    get_sanitize_patterns,
    nocolors,
)

import lab
from tools import likeness, pages, playgrounds
from tools.playgrounds import VIEW
from xorlab.files import replacing, sweep
from xorlab.streams import ended

SANITIZE = Path(__file__).resolve().parent.parent / "tests" / "nbval_sanitize.cfg"
CELL_SECONDS = 180
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
UNWANTED_METADATA = [
    "metadata.signature", "metadata.widgets", "metadata.language_info.version",
    "cell.metadata.collapsed", "cell.metadata.editable",
    "cell.metadata.execution", "cell.metadata.ExecuteTime",
    "cell.metadata.heading_collapsed", "cell.metadata.hidden", "cell.metadata.scrolled",
]
# In levels of 255, over the whole picture: far below one changed digit, far above a last bit's rounding.
SAME_PICTURE_RMS = 0.25


class LessonFailed(Exception):
    """A lesson that cannot be stored as it ran; the sentence says why."""


class NbvalComparison:
    """nbval's own comparison of a cell's outputs, without the pytest item that it lives in."""

    compare_outputs = IPyNbCell.compare_outputs
    sanitize = IPyNbCell.sanitize
    colors = nocolors
    # As in nbval's IPyNbFile, which makes this list only for a running pytest; a test compares the two.
    skip_compare = (
        "metadata", "traceback", "prompt_number", "output_type", "name", "execution_count",
        VIEW, "image/png", "image/jpeg",
    )

    def __init__(self):
        self.parent = self      # nbval's methods look for these attributes on the cell's parent
        self.sanitize_patterns = dict(get_sanitize_patterns(SANITIZE.read_text(encoding="ascii")))

    def format_output_compare(self, key, left, right):
        """nbval explains a difference here; a refresh only needs to know that there is one."""


def main(numbers):
    """Refresh the lessons with these numbers, or all; return 1 if one failed."""
    try:
        paths = [lab.lesson(number) for number in numbers] or lab.lessons()
    except lab.Problem as problem:
        print(f"refresh: {problem}", file=sys.stderr)
        return 1
    failed = False
    for path in paths:
        started = time.monotonic()
        try:
            outcome = "changed" if refresh(path) else "unchanged"
        except (LessonFailed, lab.Problem) as problem:
            failed, outcome = True, f"left as it was: {problem}"
        print(f"{path.name} {outcome} ({time.monotonic() - started:.1f} s)", flush=True)
    return int(failed)


def refresh(path):
    """Re-run one lesson and store it; return whether the file changed.

    Raises LessonFailed, and leaves the file as it was, on an error or on anything written to stderr; lab.Problem for a
    file that is no lesson.
    """
    sweep(path.parent)
    before, stored = path.read_bytes(), pages.read(path)
    new = run(copy.deepcopy(stored), path)
    comparison = NbvalComparison()
    count = 0
    for cell, old in zip(new.cells, stored.cells, strict=True):
        if cell.cell_type != "code":
            continue
        if equal_outputs(cell, old, comparison):
            cell.outputs = old.outputs
        count += 1
        number_cell(cell, count)
    text = nbformat.writes(clean(new)).rstrip("\n") + "\n"
    if text.encode() == before:
        return False
    with replacing(path) as made:
        made.write_bytes(text.encode())
    return True


def run(notebook, path, **settings):
    """Run a notebook in a fresh kernel, in its own folder; return it with the new outputs.

    settings : more for nbclient, e.g. how it talks to the kernel.
    """
    for name, value in lab.CHECK_SETTINGS.items():
        os.environ.setdefault(name, value)
    client = NotebookClient(
        notebook, timeout=CELL_SECONDS, kernel_name="python3", record_timing=False,
        store_widget_state=False, resources={"metadata": {"path": str(path.parent)}}, **settings,
    )
    try:
        client.execute()
    except CellTimeoutError:
        raise LessonFailed(f"a cell took more than {CELL_SECONDS} s, the limit of the checks") from None
    except DeadKernelError:
        raise LessonFailed("its kernel died") from None
    except CellExecutionError:
        pass        # its output says more, below
    for number, cell in enumerate(notebook.cells):
        if found := loud(f"cell {number}", cell):
            raise LessonFailed(found[0])
        if cell.cell_type == "code":
            cell.outputs = coalesce_streams(cell.outputs)
    return notebook


def loud(name, cell):
    """Return a sentence, about a cell by this name, for each error and each text on stderr among its outputs."""
    return [
        f"{name} stopped with {output.ename}: {output.evalue}" if output.output_type == "error"
        else f"{name} wrote to stderr: {output.text.strip()[:300]}"
        for output in cell.get("outputs", [])
        if output.output_type == "error" or output.get("name") == "stderr"
    ]


def look_the_same(data, other):
    """Compare two base64 pictures by their pixels: the same size, and at most SAME_PICTURE_RMS apart."""
    first, second = likeness.pixels(data), likeness.pixels(other)
    if first.shape != second.shape:
        return False
    return bool(np.sqrt(np.mean((first - second) ** 2)) <= SAME_PICTURE_RMS)


def equal_outputs(new, old, comparison, same_picture=look_the_same, same_words=operator.eq):
    """Would the checks take a cell's stored outputs for the new ones, and do the pictures look the same?

    same_picture, same_words : functions from two base64 pictures, and two descriptions, to whether they are the same.
    """
    options = dict(find_metadata_tags(old.metadata)) | dict(find_comment_markers(old.source))
    if options.get("check") is False:
        return bool(old.outputs) == bool(new.outputs)
    stored = coalesce_streams(copy.deepcopy(old.outputs))      # it changes what it is given
    if not comparison.compare_outputs(new.outputs, stored) or not likeness.near(said(new), said(old)):
        return False
    # a picture of measured times is another one each time
    return "measured" in old.metadata.get("tags", []) or equal_pictures(
        pictures(new.outputs), pictures(old.outputs), same_picture, same_words)


def said(cell):
    """Return what a cell shows in words."""
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs)


def pictures(outputs):
    """Return (kind, base64 data, alt text) of each picture among a cell's outputs."""
    return [
        (kind, data, output.metadata.get(kind, {}).get("alt"))
        for output in outputs if "data" in output
        for kind, data in sorted(output.data.items()) if kind in ("image/png", "image/jpeg")
    ]


def equal_pictures(new, old, same_picture=look_the_same, same_words=operator.eq):
    return len(new) == len(old) and all(
        kind == old_kind and same_words(alt, old_alt) and same_picture(data, old_data)
        for (kind, data, alt), (old_kind, old_data, old_alt) in zip(new, old, strict=True)
    )


def number_cell(cell, count):
    cell.execution_count = count
    for output in cell.outputs:
        if output.output_type == "execute_result":
            output.execution_count = count


def clean(notebook):
    """Return the notebook without the metadata that differs between machines; outputs, ids and tags stay."""
    notebook = strip_output(
        copy.deepcopy(notebook), keep_output=True, keep_count=True, keep_id=True, extra_keys=UNWANTED_METADATA
    )
    notebook.metadata["kernelspec"] = nbformat.from_dict(KERNELSPEC)
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        if playgrounds.is_one(output):          # its picture stands for it: the view names a model that is gone
            output["data"].pop(VIEW, None)
    return notebook


if __name__ == "__main__":
    sys.exit(ended(main, sys.argv[1:]))
