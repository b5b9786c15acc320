"""Files and folders written whole or not at all."""
import io
import json
import math
import os
import shutil
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path

DEEPEST = 100       # lists and objects in one another: what copies and writes them goes in by itself
MOST_UNPACKED = 2**29       # bytes that a small ZIP file may hold


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


def existing_file(path, kind):
    """Return `path` as a Path, or raise FileNotFoundError that names the `kind` of file expected there."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no {kind} file at {path}; check the path, or export the model first")
    return path


def content_of(path, kind: str) -> bytes:
    """Return what a file holds.  kind, and what is raised where it is not there: as for existing_file.

    Raises OSError, in one sentence, if it cannot be read.
    """
    path = existing_file(path, kind)
    try:
        return path.read_bytes()
    except OSError as error:
        raise type(error)(f"cannot read {path}: {error.strerror or error}; see to its rights, or copy it") from None


def read_json(path, kind: str):
    """Return the value of the JSON in a file.

    What it returns can be copied and written again: no NaN or infinity, no half of a character, DEEPEST lists deep.
    Raises as content_of does; ValueError, in one sentence, for anything else than such JSON in UTF-8.
    """
    content = content_of(path, kind)
    try:
        value = json.loads(content.decode("utf-8"), parse_constant=_refuse_constant)
        _check_depth_and_text(value)
    except RecursionError:
        raise ValueError(f"{path} is not a {kind}: its JSON is nested too deep") from None
    except ValueError as error:
        raise ValueError(f"{path} is not a {kind}: its JSON is damaged ({error})") from None
    return value


def _refuse_constant(word):
    raise ValueError(f"{word} is no number of JSON")


def _check_depth_and_text(value):
    level, depth = [value], 0
    while level:
        if depth > DEEPEST:
            raise RecursionError
        for text in (text for one in level for text in (one if isinstance(one, dict) else [one])
                     if isinstance(text, str) and not text.isascii()):
            text.encode("utf-8")                # a lone half of a surrogate pair could not be written again
        level = [inner for one in level if isinstance(one, dict | list)
                 for inner in (one.values() if isinstance(one, dict) else one)]
        depth += 1


@contextmanager
def reading(path, what: str):
    """Turn whatever a library raises over the content of a file into one ValueError that names the file.

    Parsers of foreign formats raise what their parts raise, so this is for their calls alone: what is ours stays out.
    what : what the file should have been, e.g. "a model that ONNX Runtime can run".
    """
    try:
        yield
    except ImportError:
        raise
    except Exception as error:
        raise ValueError(f"{path} is not {what}: {first_line(error)}") from None


def read_arrays(path, kind: str):
    """Return the array of an .npy file, or the dict of arrays of an .npz file; numbers and truth values only.

    Nothing of the file is run, and no memory is taken for what it only claims to hold.
    Raises as content_of does; ValueError, in one sentence, for any other content.
    """
    import numpy as np  # here: editions needs this module before NumPy is installed

    content = content_of(path, kind)
    with reading(path, f"a file of {kind} that NumPy can read without running code"):
        if not zipfile.is_zipfile(io.BytesIO(content)):
            return _array(io.BytesIO(content), len(content), np)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > max(MOST_UNPACKED, 2 * len(content)):
                raise ValueError(f"it claims to hold more than {MOST_UNPACKED:,} bytes")
            return {member.filename.removesuffix(".npy"): _array(archive.open(member), member.file_size, np)
                    for member in members}


def _array(stream, size, np):
    """Return the array of an .npy stream of `size` bytes."""
    version, headers = np.lib.format.read_magic(stream), np.lib.format
    shape, in_columns, dtype = {(1, 0): headers.read_array_header_1_0, (2, 0): headers.read_array_header_2_0}[version](
        stream)
    if dtype.kind not in "biuf":
        raise ValueError(f"it holds {dtype.name[:60]}, and no numbers")
    needed = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or needed > size:
        raise ValueError(f"its header speaks of shape {shape} of {dtype}, {needed:,} bytes, and it has {size:,}")
    content = stream.read(needed)
    if len(content) < needed:
        raise ValueError(f"it ends before its {needed:,} bytes of numbers")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if in_columns else "C").copy()


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, shortened; its kind where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__


def read_rows(path, kind):
    """Return the rows of a JSON list of objects in a file.  kind, and what is raised: as for read_json."""
    rows = read_json(path, kind)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path} is not a {kind}: it must be a list of objects")
    return rows


def write_rows(path, rows):
    """Write rows as a JSON list, one a line, so that a change of one shows as one; whole or not at all."""
    with replacing(path) as made:
        made.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n", encoding="utf-8")
