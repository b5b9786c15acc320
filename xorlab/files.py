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
    path = Path(path)
    workspace = _workspace_beside(path)
    try:
        made = workspace / path.name
        yield made
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


def make_folder(path):
    """Make a folder and its parents unless it is there.  Raises OSError, in one sentence, if that fails."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from None


def _cannot_write(path, error):
    return type(error)(f"cannot write {path}: {error.strerror or error}; choose a folder you may write to")


def building(lesson: str) -> Path:
    """Return the folder for what a lesson writes, made: build/NN here, or NN in the folder that XORLAB_BUILD names.

    lesson : its two digits, e.g. "04".
    Raises OSError, in one sentence, if that folder cannot be written to.

    >>> building("04")                                      # doctest: +SKIP
    PosixPath('build/04')
    """
    folder = Path(os.environ.get("XORLAB_BUILD") or "build").expanduser() / lesson
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()          # it may stand there already, and be read-only
    except OSError as error:
        raise type(error)(f"cannot write into {folder}: {error.strerror or error}; name a folder that you may write to "
                          "in the environment variable XORLAB_BUILD, and restart the kernel") from None
    return folder


def existing_file(path, kind):
    """Return `path` as a Path, or raise FileNotFoundError that names the `kind` of file expected there."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no {kind} file at {path}; check the path, or export the model first")
    return path


def read_rows(path, kind):
    """Return the rows of a JSON list in a file.  kind, and what is raised: as for existing_file."""
    return json.loads(existing_file(path, kind).read_text(encoding="utf-8"))


def write_rows(path, rows):
    """Write rows as a JSON list, one a line, so that a change of one shows as one; whole or not at all."""
    with replacing(path) as made:
        made.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n", encoding="utf-8")
