"""Whatever fails while something is written, and when, the earlier content is whole or the new one is."""
import errno
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from xorlab import cli, editions, export, files, models

ROOT = Path(__file__).resolve().parent.parent
CALLS = [(os, "replace"), (os, "rename"), (os, "mkdir"), (os, "unlink"), (os, "rmdir"), (tempfile, "mkdtemp"),
         (files, "open")]
# these raise nothing as they are called, but may be interrupted
QUIET = [(files, "_changed_places"), (files, "_put_back"), (files, "_locks"), (shutil, "rmtree")]


def one_step(one, other, real=files._changed_places):
    assert real(one, other) or pytest.skip("this system exchanges no folders in one step")
    return True


WAYS = {"file": None, "folder, exchanged": one_step, "folder, two renames": lambda one, other: False}


def write(path, text, way):
    with files.replacing(path) as made:
        if way == "file":
            made.write_text(text)
        else:
            made.mkdir()
            (made / "a.txt").write_text(text)
            (made / "b.txt").write_text(text)


def content(path):
    """Return what a file, or each file of a folder, holds."""
    return {path.read_text()} if path.is_file() else {file.read_text() for file in path.iterdir()}


def failing_at(monkeypatch, at, error):
    """Let the call number `at` of those to the system raise an error; return the list of calls made."""
    calls = []

    def failing(name, call):
        def called(*arguments, **options):
            calls.append(name)
            if len(calls) == at:
                raise error
            return call(*arguments, **options)
        return called

    for owner, name in [*CALLS, *(QUIET if isinstance(error, KeyboardInterrupt) else ())]:
        monkeypatch.setattr(owner, name, failing(name, getattr(owner, name, open)), raising=False)
    return calls


@pytest.mark.parametrize("error", [OSError(errno.EBUSY, "in use"), KeyboardInterrupt()], ids=["error", "Ctrl-C"])
@pytest.mark.parametrize("way", WAYS)
def test_whatever_fails_at_whichever_call_the_earlier_content_or_the_new_is_whole(tmp_path, monkeypatch, way, error):
    seen = []
    for at in range(1, 100):
        path = tmp_path / str(at) / "x"
        write(path, "earlier", way)
        with monkeypatch.context() as patch:
            if WAYS[way]:
                patch.setattr(files, "_changed_places", WAYS[way])
            calls = failing_at(patch, at, error)
            try:
                write(path, "new", way)
                raised = False
            except type(error):
                raised = True
        if len(calls) < at:
            break
        failed = calls[at - 1]
        seen.append(failed)
        hidden = [name for name in os.listdir(path.parent) if name != "x"]
        if failed not in ("rmtree", "unlink", "rmdir") and isinstance(error, OSError):
            assert not hidden, failed
        if not hidden or "two renames" not in way:
            assert content(path) in ({"earlier"}, {"new"}), failed
        files.sweep(path.parent)                # as the next write does
        assert os.listdir(path.parent) == ["x"] and content(path) in ({"earlier"}, {"new"}), failed
        if isinstance(error, OSError) and raised:
            assert content(path) == {"earlier"}, failed
    assert at < 99 and {"mkdtemp", "open", "unlink"} <= set(seen)
    assert {"file": "replace", "folder, two renames": "rename"}.get(way, "rmdir") in seen


def test_where_the_earlier_folder_cannot_even_be_put_back_a_sentence_says_where_it_is(tmp_path, monkeypatch):
    path = tmp_path / "saved"
    write(path, "earlier", "folder")

    def rename(source, target, real=os.rename):
        if Path(target) == path:
            raise PermissionError(errno.EACCES, "in use")
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(files, "_changed_places", lambda one, other: False)
        patch.setattr(os, "rename", rename)
        with pytest.raises(PermissionError, match="cannot write .*saved: in use; what stood there is in .*earlier"):
            write(path, "new", "folder")
    assert not path.exists()
    (tmp_path / "other.txt").write_text("")
    with files.replacing(tmp_path / "other.txt") as made:
        made.write_text("new")
    assert sorted(os.listdir(tmp_path)) == ["other.txt", "saved"] and content(path) == {"earlier"}


def test_a_process_killed_between_two_renames_loses_nothing_and_the_next_write_puts_it_back(tmp_path):
    write(tmp_path / "saved", "earlier", "folder")
    code = """if True:
        import os
        from xorlab import files
        files._changed_places = lambda one, other: False
        real, renamed = os.rename, []
        def rename(*paths):
            if renamed:
                os._exit(9)
            renamed.append(real(*paths))
        os.rename = rename
        with files.replacing("saved") as made:
            made.mkdir()"""
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
                          check=False).returncode == 9
    assert not (tmp_path / "saved").exists()
    files.sweep(tmp_path)
    assert os.listdir(tmp_path) == ["saved"] and content(tmp_path / "saved") == {"earlier"}


def test_what_a_living_process_is_writing_is_not_swept_away(tmp_path):
    with files.replacing(tmp_path / "slow") as slow:
        slow.write_text("slow")
        write(tmp_path / "quick", "quick", "file")
    assert content(tmp_path / "slow") == {"slow"} and sorted(os.listdir(tmp_path)) == ["quick", "slow"]


@pytest.mark.skipif(not hasattr(os, "symlink") or os.name == "nt", reason="needs links")
def test_only_a_real_folder_of_this_users_is_swept(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / ".xorlab-linked").symlink_to(tmp_path / "mine")
    files.sweep(tmp_path)
    assert (tmp_path / "mine" / "thesis.txt").exists() and os.listdir(tmp_path / "mine") == ["thesis.txt"]


@pytest.mark.parametrize(("code", "says"), [(errno.ENOSPC, "make room"), (errno.EROFS, "you may write to")])
def test_a_disk_that_takes_no_more_is_told_of_by_the_path_that_was_asked_for(tmp_path, code, says):
    with (pytest.raises(OSError, match=rf"cannot write .*net.bin: .*; .*{says}") as caught,
          files.replacing(tmp_path / "net.bin") as made):
        raise OSError(code, os.strerror(code), str(made))
    assert ".xorlab-" not in str(caught.value) and not os.listdir(tmp_path)


def test_a_failed_write_leaves_the_earlier_file_and_nothing_else(tmp_path):
    path = tmp_path / "model.bin"
    path.write_text("earlier")
    with pytest.raises(RuntimeError), files.replacing(path) as made:
        made.write_text("half")
        raise RuntimeError
    assert path.read_text() == "earlier" and os.listdir(tmp_path) == ["model.bin"]


def test_a_whole_write_replaces_files_and_full_folders(tmp_path):
    folder = tmp_path / "deep" / "saved"
    for text in ("first", "second"):
        with files.replacing(folder) as made:
            made.mkdir()
            (made / text).write_text(text)
    assert os.listdir(folder) == ["second"] and os.listdir(folder.parent) == ["saved"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot write .*choose a folder"), files.replacing(tmp_path / "file" / "x.onnx"):
        pytest.fail("the block must not run")


def test_a_write_in_a_folder_that_is_made_is_told_of_by_the_folders_own_path(tmp_path):
    with (pytest.raises(OSError, match="cannot write .*made/net.bin: No space") as caught,
          files.replacing_folder(tmp_path / "made") as made, files.replacing(made / "net.bin")):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert str(tmp_path / "made" / "net.bin") in str(caught.value)


def test_a_folder_holds_what_was_written_there_and_is_refused_once_it_holds_more(tmp_path):
    folder = tmp_path / "made"
    for text in ("first", "second"):
        with files.replacing_folder(folder) as made:
            (made / text).write_text(text)
    assert files.is_whole(folder) and {"second"} < set(os.listdir(folder)) and not (folder / "first").exists()
    (folder / ".DS_Store").write_text("")
    files.check_folder(folder)
    for name, spoil in {"second": lambda path: path.write_text("mine"), "mine": lambda path: path.mkdir(),
                        "link": lambda path: path.symlink_to(tmp_path)}.items():
        copy = tmp_path / f"copy-{name}"
        shutil.copytree(folder, copy)
        spoil(copy / name)
        with pytest.raises(FileExistsError, match=rf"holds other files \({name}\)"):
            files.check_folder(copy)


def test_a_file_that_comes_while_the_folder_is_made_is_kept(tmp_path):
    with pytest.raises(FileExistsError, match="mine.txt"), files.replacing_folder(tmp_path / "made"):
        (tmp_path / "made").mkdir()
        (tmp_path / "made" / "mine.txt").write_text("mine")
    assert os.listdir(tmp_path) == ["made"] and os.listdir(tmp_path / "made") == ["mine.txt"]


def to_saved_model(folder):
    export.to_saved_model(models.reference_file("relu-2-4-1", "model.onnx"), folder)


def demo(folder):
    if cli.main(["demo", "--reference", "relu-2-4-1", "--out", str(folder)]) == 2:
        raise FileExistsError


def esp32(folder):
    from xorlab import codegen
    from xorlab.integer import IntegerMLP

    codegen.write_esp32(IntegerMLP.from_torch(models.reference()), folder)


def site(folder):
    from tools import site

    site.write(folder, [])


def cifar(folder):
    from xorlab import cifar

    cifar.road(folder.parent)


@pytest.mark.parametrize("writer", [to_saved_model, demo, esp32, site, cifar], ids=lambda writer: writer.__name__)
def test_no_command_and_no_function_deletes_what_it_did_not_write(tmp_path, writer, capsys):
    for before in (lambda folder: folder.mkdir(), lambda folder: _as_written_before(folder)):
        folder = tmp_path / before.__code__.co_names[0] / "small"
        folder.parent.mkdir()
        before(folder)
        (folder / "mine.txt").write_text("years of work")
        held = sorted(folder.iterdir())
        with pytest.raises(FileExistsError):
            writer(folder)
        assert sorted(folder.iterdir()) == held and (folder / "mine.txt").read_text() == "years of work"
        assert os.listdir(folder.parent) == ["small"]


def _as_written_before(folder):
    with files.replacing_folder(folder) as made:
        (made / "saved_model.pb").write_text("")


def test_editions_leave_what_others_wrote_also_after_one_was_killed_half_way(tmp_path, monkeypatch):
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    for version in (1, 2):
        cell = {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": None,
                "source": f"print({version})"}
        (notebooks / "01-a.ipynb").write_text(str({"cells": [cell], "metadata": {}}).replace("'", '"').replace(
            "None", "null"))
        if version == 1:
            assert not editions.write_all(notebooks, tmp_path / "course")
    written = []

    def killed(path, content, real=editions._write):
        written.append(path)
        if len(written) == 4:
            raise KeyboardInterrupt
        real(path, content)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(editions, "_write", killed)
        editions.write_all(notebooks, tmp_path / "course")
    (notebooks / "01-a.ipynb").write_text((notebooks / "01-a.ipynb").read_text().replace("print(2)", "print(3)"))
    (tmp_path / "course" / "solutions" / "01-a.ipynb").write_text("mine")
    assert len(editions.write_all(notebooks, tmp_path / "course")) == 1, "solutions/ is somebody's, all else is not"
    assert "print(3)" in (tmp_path / "course" / "student" / "01-a.ipynb").read_text()
    assert (tmp_path / "course" / "solutions" / "01-a.ipynb").read_text() == "mine"


def test_only_one_module_removes_and_replaces_what_is_a_persons():
    sources = [path for part in ("xorlab", "tools", "benchmarks") for path in (ROOT / part).rglob("*.py")
               if "trust" not in path.parts]
    found = {path.name for path in sources
             if re.search(r"rmtree\(|os\.(replace|rename|remove|unlink)\(|\.unlink\(|shutil\.move", path.read_text())}
    # the others in .venv and .lab alone: of what pip left there, of downloads, of the note of what is on its way
    assert found == {"files.py", "installed.py", "installing.py", "arriving.py"}


def command(code, **options):
    """Run code in a process of its own, which imports `ended`; return how it ended."""
    return subprocess.run([sys.executable, "-c", f"import sys\nfrom xorlab.streams import ended\n{code}"], text=True,
                          stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, **options)


@pytest.mark.parametrize(("code", "status", "says"), [
    ("def run(): raise OSError(28, 'No space left on device')", 1, "No space left on device; mend"),
    ("def run(): open('nowhere.txt')", 1, "nowhere.txt: No such file"),
    ("def run(): import no_such_package.part", 1, "the package no_such_package is not installed"),
    ("def run(): raise KeyboardInterrupt", 130, "stopped"),
    ("def run(): return 3", 3, ""),
])
def test_what_a_person_can_put_right_ends_a_command_in_one_sentence(code, status, says):
    done = command(f"{code}\nsys.exit(ended(run, name='net'))", stdout=subprocess.DEVNULL)
    assert done.returncode == status and says in done.stderr and done.stderr.count("\n") == bool(says)
    assert done.stderr.startswith("net: ") or not says


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_an_output_that_takes_nothing_ends_a_command_in_at_most_one_sentence():
    code = "sys.exit(ended(lambda: print('x' * 100_000), name='net'))"
    with open("/dev/full", "w") as full:
        done = command(code, stdout=full)
    assert done.returncode == 1 and done.stderr == "net: No space left on device; mend that and try again\n"
    done = command(code, preexec_fn=lambda: os.close(1))
    assert done.returncode == 1 and done.stderr.startswith("net: the standard output is closed")
    reading, writing = os.pipe()
    os.close(reading)
    done = command(code, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_without_an_error_stream_nothing_is_held_back():
    code = "import os\nos.close(2)\nsys.stderr = None\nimport xorlab\nwith xorlab.quiet() as held: held()"
    assert command(code, stdout=subprocess.DEVNULL).returncode == 0


def test_every_command_ends_so():
    for path in [*(ROOT / "tools").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]:
        text = path.read_text(encoding="utf-8")
        if 'if __name__ == "__main__":' in text and "trust" not in path.parts:
            assert "sys.exit(ended(main" in text, path
