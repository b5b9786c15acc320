"""Files and folders written whole or not at all, and read with a sentence for what they should not hold.

The rule for all that writes: a file takes the place of the file of its name, as the caller asked. A folder takes the
place of an empty one, or of one that holds only what was written there in this way (`replacing_folder`). Whatever else
stands in a folder stays, or makes the writing refuse before anything is done.

A killed process may leave a hidden folder `.xorlab-...` beside what it wrote. The next write into that folder removes
it, once no living process holds its lock. What a power cut leaves is the file system's affair: nothing here waits for
the disk.
"""
import errno
import hashlib
import io
import json
import math
import os
import re
import shutil
import stat
import sys
import tempfile
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from xorlab.streams import printable

WORKSPACE = ".xorlab-"                  # how the name of a hidden folder begins that a write makes, and removes
LOCK, EARLIER = "lock", "earlier"       # in it: held while its process lives; an earlier folder moved aside
WRITTEN = ".xorlab.json"                # in a folder written whole: the digest of each file as it was written
SYSTEMS = {".DS_Store", "Thumbs.db", "desktop.ini"}     # what file managers leave, which is nobody's work
NO_ROOM = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
DEEPEST = 100               # lists and objects in one another: what copies and writes them goes in by itself
MOST_UNPACKED = 2**29       # bytes that a small ZIP file may hold


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path near `path`; what the block makes there, a file or a folder, then takes its place.

    Whatever fails, and when, the earlier file or folder is whole, or the new one is: also after Ctrl-C and after the
    end of the process. If the block raises it is the earlier one, and nothing else is left. A link is replaced, and
    what it leads to stays. On Linux and macOS `path` is there at every moment. Where a folder cannot change places
    with another in one step (Windows, some network drives) a process that is killed between two renames leaves the
    earlier one aside, and the next write into the same folder puts it back.
    Raises OSError, in one sentence, if the folder of `path` cannot be made or written to, or is full.
    """
    path = Path(checked_path("path", path))
    make_folder(path.parent)
    sweep(path.parent)
    with _workspace(path) as workspace:
        made = workspace / path.name
        try:
            yield made
            _put(made, path, workspace / EARLIER)
        except OSError as error:
            # the system's own words, not a sentence of the block's
            if error.errno in {*NO_ROOM, errno.EIO, errno.EROFS} or _names(error, workspace):
                raise _cannot_write(path, error) from None
            if error.errno is None and str(made) in str(error):         # of a write in what the block makes
                raise type(error)(str(error).replace(str(made), str(path))) from None
            raise


@contextmanager
def replacing_folder(path: str | os.PathLike, known: Collection[str] = ()) -> Iterator[Path]:
    """Yield a new folder that takes the place of the one at `path` as `replacing` says, but never of others' work.

    known : names in the folder that may be replaced although nothing tells who wrote them.
    Raises FileExistsError, before and after the block, if there is a file at `path`, or a folder that holds anything
    but what an earlier call wrote.
    """
    check_folder(path, known)
    with replacing(path) as made:
        made.mkdir()
        yield made
        digests = {name: _digest(file) for name, file in _held_by(made)}
        (made / WRITTEN).write_text(json.dumps(digests, indent=1) + "\n", encoding="utf-8")
        _check_ours(Path(path), known)          # the block may have taken minutes


def check_folder(path: str | os.PathLike, known: Collection[str] = ()) -> None:
    """Raise OSError, in one sentence, unless `replacing_folder` may write here: for before long work."""
    path = Path(path)
    try:
        _check_ours(path, known)
    except OSError as error:
        if error.errno is None:                 # a sentence of ours
            raise
        raise _cannot_write(path, error) from None
    make_folder(path.parent)
    with _workspace(path):
        pass


def is_whole(folder: str | os.PathLike) -> bool:
    """Is a folder just as `replacing_folder` has written it?"""
    return (Path(folder) / WRITTEN).is_file() and next(_foreign(Path(folder), ()), None) is None


def _check_ours(path, known):
    if path.resolve() in (Path.cwd(), *Path.cwd().parents):
        raise FileExistsError(f"cannot write {printable(path)}: this runs in it; name a folder of its own")
    if path.is_file():
        raise FileExistsError(f"cannot write {printable(path)}: it is a file; name a new or an empty folder")
    foreign = next(_foreign(path, known), None)
    if foreign is not None:
        raise FileExistsError(f"{printable(path)} holds other files ({printable(foreign)}) than were written there; "
                              "name a new or an empty folder, or remove them")


def _foreign(folder, known):
    """Yield the names in a folder that are not, or not any more, as its record says."""
    recorded = read_record(folder / WRITTEN)
    for name, file in _held_by(folder):
        if name not in known and not (name in recorded and recorded[name] == _digest(file)):
            yield name


def _held_by(folder):
    """Yield (name with slashes, path) of all files, folders and links in a folder but for its record."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name != WRITTEN and path.name not in SYSTEMS:
            yield name, path


def _digest(path):
    if path.is_symlink():
        return f"link to {os.readlink(path)}"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"


def sweep(folder: str | os.PathLike) -> None:
    """Remove what killed processes left hidden in a folder, after putting back an earlier folder that was aside."""
    for workspace in Path(folder).glob(WORKSPACE + "*"):
        with suppress(OSError):                 # another's, or on a disk that is read-only: not in anybody's way
            if _is_mine(workspace):
                lock = open(workspace / LOCK, "ab")                     # noqa: SIM115, closed in the end
                if _locks(lock):
                    _end(workspace, lock)
                lock.close()


def _is_mine(workspace):
    """Is this a real folder, and this user's?  Where many may write it could be anybody's."""
    found = workspace.lstat()
    return stat.S_ISDIR(found.st_mode) and (not hasattr(os, "getuid") or found.st_uid == os.getuid())


@contextmanager
def _workspace(path):
    """Yield a new hidden folder in the folder of `path`: the same file system, so that a rename is one step."""
    try:
        workspace, lock = _locked_workspace(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from None
    try:
        yield workspace
    finally:
        _end(workspace, lock)


def _locked_workspace(folder):
    """Return a new hidden folder and the open file that says, by the system's lock on it, that this process lives."""
    for _ in range(3):
        workspace = Path(tempfile.mkdtemp(prefix=WORKSPACE, dir=folder))
        try:
            lock = open(workspace / LOCK, "wb")                         # noqa: SIM115, as long as the write takes
        except FileNotFoundError:               # another process may sweep it away before it is locked
            continue
        except OSError:
            shutil.rmtree(workspace, ignore_errors=True)
            raise
        if _locks(lock) and (workspace / LOCK).exists():
            break
    return workspace, lock          # without its lock on a file system that has none: then nobody sweeps there


def take_lock(file: int, wait: bool = False) -> None:
    """Lock an open file (its descriptor) for this process; the system gives the lock back where the process ends.

    wait : for another process that has it.  Raises BlockingIOError or PermissionError where another has it and `wait`
    is false; another OSError where the file system has no locks.
    """
    if os.name == "nt":
        import msvcrt

        os.lseek(file, 1_000_000, os.SEEK_SET)      # behind the text: what is locked cannot be read by others
        msvcrt.locking(file, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


def _locks(file):
    """Lock an open file unless another process has; return whether it did."""
    try:
        take_lock(file.fileno())
    except OSError:
        return False
    return True


def _end(workspace, lock):
    """Put back what stands aside in a workspace, and remove it unless that fails."""
    try:
        if _put_back(workspace):
            if os.name == "nt":
                lock.close()        # or its file could not be removed; elsewhere the lock lasts as long as the folder
            shutil.rmtree(workspace, ignore_errors=True)
    finally:
        lock.close()


def _put(made, path, aside):
    """Rename what was made into its place; an earlier folder goes where it was made, or aside."""
    if not (made.is_dir() and os.path.lexists(path)):
        if path.is_dir() and not path.is_symlink():
            raise IsADirectoryError(f"cannot write {printable(path)}: it is a folder; choose the name of a file")
        os.replace(made, path)
    elif path.is_file():
        raise FileExistsError(f"cannot write {path}: it is a file; name a new or an empty folder")
    elif not _changed_places(made, path):
        aside.mkdir()
        os.rename(path, aside / path.name)
        try:
            os.rename(made, path)
        except OSError as error:
            if _put_back(aside.parent):
                raise
            raise type(error)(f"cannot write {path}: {error.strerror}; what stood there is in {aside}, and the next "
                              "write into this folder puts it back") from None


def _put_back(workspace):
    """Rename a folder that stands aside to where it was, unless something is there; return whether none is left over.

    In the end of the process that moved it, or by the next one's sweep.
    """
    for earlier in (workspace / EARLIER).glob("*"):
        place = workspace.parent / earlier.name
        if not os.path.lexists(place):
            try:
                os.rename(earlier, place)
            except OSError:
                return False
    return True


def _changed_places(one, other):
    """Let two paths change places in one step; return False where the system or the file system cannot do that."""
    names = os.fsencode(one), os.fsencode(other)
    try:
        import ctypes  # not above: some Pythons are built without it

        c = ctypes.CDLL(None) if sys.platform in ("linux", "darwin") else None
        if sys.platform == "linux":
            here, exchange = -100, 2            # AT_FDCWD, RENAME_EXCHANGE of <linux/fs.h>
            return c.renameat2(here, names[0], here, names[1], exchange) == 0
        return c is not None and c.renamex_np(*names, 2) == 0           # RENAME_SWAP of <sys/stdio.h>
    except (ImportError, AttributeError, OSError):      # or an old C library
        return False


def checked_path(name, value):
    """Return a path, a text or a pathlib.Path.  Raises TypeError for anything else, ValueError for an empty text."""
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise TypeError(f"{name} must be a path, a text or a pathlib.Path, got {type(value).__name__}")
    if not os.fspath(value) or "\0" in os.fspath(value):
        raise ValueError(f"{name} must name a file or a folder, got {os.fspath(value)!r:.60}")
    return value


def make_folder(path: str | os.PathLike) -> None:
    """Make a folder and its parents unless it is there.  Raises OSError, in one sentence, if that fails."""
    try:
        Path(checked_path("the folder", path)).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from None


def _names(error, workspace):
    return any(str(name).startswith(str(workspace)) for name in (error.filename, error.filename2) if name)


def _cannot_write(path, error):
    do = "make room, or choose another folder" if error.errno in NO_ROOM else "choose a folder you may write to"
    return type(error)(f"cannot write {printable(path)}: {error.strerror or error}; {do}")


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


def is_file(path: str | os.PathLike) -> bool:
    """Is there a file?  Not where no file can have such a name: one too long, or with a NUL in it."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def existing_file(path, kind):
    """Return `path` as a Path, or raise FileNotFoundError that names the `kind` of file expected there."""
    path = Path(checked_path(f"the {kind} file", path))
    if not is_file(path):
        raise FileNotFoundError(f"no {kind} file at {printable(path)}; check the path, or export the model first")
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


def read_record(path) -> dict:
    """Return the object of the JSON in a file, or {} where it is missing, damaged or something else."""
    try:
        content = read_json(path, "record")
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


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
    said = re.sub(r"\x1b\[[0-9;]*m", "", str(error))             # PyTorch prints some of its words in bold
    lines = [line.strip() for line in said.splitlines() if line.strip()]
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
