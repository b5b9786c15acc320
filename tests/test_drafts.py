"""Drafts of lessons run, so that they do not rot before they are lessons."""
from pathlib import Path

import nbformat
import pytest
from test_notebooks import problems

DRAFTS = sorted((Path(__file__).resolve().parent.parent / "docs" / "drafts").glob("*.ipynb"))


@pytest.mark.parametrize("path", DRAFTS, ids=lambda path: path.stem)
def test_draft_is_stored_as_it_ran(path):
    assert problems(path) == []


@pytest.mark.parametrize("path", DRAFTS, ids=lambda path: path.stem)
def test_draft_runs_in_plain_python(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    names = {"__name__": path.stem}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, f"{path.name}, {cell.id}", "exec"), names)      # its expectations hold or raise
