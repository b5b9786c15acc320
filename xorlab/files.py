"""Files and folders written whole or not at all."""
import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path):
    """Yield a temporary path beside `path`; rename it into place if the block succeeds.

    Works for a file or a folder: whichever the block made at the temporary path. If the block raises,
    what stood at `path` before is untouched and nothing is left behind.
    Raises OSError, in one sentence, if the folder of `path` cannot be made or written to.
    """
    path = Path(checked_path("path", path))
    workspace = _workspace_beside(path)
    try:
        made = workspace / path.name
        yield made
        if path.is_dir() and not made.is_dir():
            raise IsADirectoryError(f"cannot write {in_one_line(path)}: it is a folder; choose the name of a file")
        if made.is_dir() and path.exists():
            path.rename(workspace / "replaced")          # a folder cannot be renamed over a full one
        os.replace(made, path)
    finally:
        shutil.rmtree(workspace, ignore_errors=True)


def _workspace_beside(path):
    """Make a temporary folder in the folder of `path`: the same file system, so that renaming is atomic."""
    make_folder(path.parent)
    try:
        return Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise _cannot_write(path, error) from None


def checked_path(name, value):
    """Return a path, a text or a pathlib.Path.  Raises TypeError for anything else, ValueError for an empty text."""
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise TypeError(f"{name} must be a path, a text or a pathlib.Path, got {type(value).__name__}")
    if not os.fspath(value) or "\0" in os.fspath(value):
        raise ValueError(f"{name} must name a file or a folder, got {os.fspath(value)!r:.60}")
    return value


def in_one_line(path):
    """Return a path as a sentence shows it: a name may hold line breaks."""
    return " ".join(str(path).splitlines())


def make_folder(path):
    """Make a folder and its parents unless it is there.  Raises OSError, in one sentence, if that fails."""
    try:
        Path(checked_path("the folder", path)).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from None


def _cannot_write(path, error):
    return type(error)(f"cannot write {in_one_line(path)}: {error.strerror or error}; choose a folder you may write to")


def existing_file(path, kind):
    """Return `path` as a Path, or raise FileNotFoundError that names the `kind` of file expected there."""
    path = Path(checked_path(f"the {kind} file", path))
    try:
        there = path.is_file()
    except OSError:                                     # a name longer than a file can have
        there = False
    if not there:
        raise FileNotFoundError(f"no {kind} file at {in_one_line(path)}; check the path, or export the model first")
    return path


def read_rows(path, kind):
    """Return the rows of a JSON list in a file.  kind, and what is raised: as for existing_file."""
    return json.loads(existing_file(path, kind).read_text(encoding="utf-8"))


def write_rows(path, rows):
    """Write rows as a JSON list, one a line, so that a change of one shows as one; whole or not at all."""
    with replacing(path) as made:
        made.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n", encoding="utf-8")
