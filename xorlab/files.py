"""Files and folders written whole or not at all."""
import json
import os
import shutil
import stat
import tempfile
import zipfile
from contextlib import contextmanager, suppress
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


def own_folder(what, instead="remove it"):
    """Return a folder among the temporary ones that this user alone can write to.

    On a computer with several users anyone could have made a folder, or a link, of that name.
    what : is kept there.  instead : what else can be done.
    Raises PermissionError, in one sentence, if somebody has.
    """
    user = str(os.getuid()) if hasattr(os, "getuid") else ""        # elsewhere each user has a temporary folder
    folder = Path(tempfile.gettempdir()) / f"xorlab-{user}".rstrip("-")
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or (user and (found.st_uid != os.getuid() or found.st_mode & 0o022)):
        raise PermissionError(f"{folder} is not a folder that only you can write to, so {what} cannot be there; "
                              f"{instead}")
    return folder


def check_archive(path, most=1 << 30):
    """Raise ValueError, in one sentence, if what is packed in a zip file takes more than `most` bytes unpacked.

    Some kilobytes can hold gigabytes. Sizes are those that the archive declares, and zipfile unpacks no more.
    Raises zipfile.BadZipFile for what is no archive.
    """
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > most:
        raise ValueError(f"{path} unpacks to {size:,} bytes, and at most {most:,} are read; give a smaller one")
