"""What `pip install xorlab` brings where there is no checkout: the package, its data, the student's editions."""
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from xorlab import editions

ROOT = Path(__file__).resolve().parent.parent
BUILT_BY_OTHERS = {"__pycache__", ".ipynb_checkpoints"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True,
                   capture_output=True)
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel):
    """The wheel's files in a folder of their own."""
    folder = wheel.parent / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def files_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*")
            if path.is_file() and BUILT_BY_OTHERS.isdisjoint(path.parts)}


def test_the_wheel_holds_the_package_and_its_data_and_besides_them_only_lessons(installed):
    ours, packed = files_in(ROOT / "xorlab"), files_in(installed / "xorlab")
    lessons = {f"lessons/{path.name}" for path in editions.lessons(ROOT / "notebooks")}
    assert len(lessons) == 14 and packed.keys() - ours.keys() == lessons
    assert {name: content for name, content in packed.items() if name in ours} == ours


def test_its_lessons_are_the_students_editions(installed):
    for path in editions.lessons(ROOT / "notebooks"):
        assert editions.read(installed / "xorlab" / "lessons" / path.name) == editions.made(editions.student, path)


def lessons_command(path, folder):
    code = f"import sys; from xorlab import cli; sys.exit(cli.main(['lessons', {str(folder)!r}]))"
    return subprocess.run([sys.executable, "-c", code], cwd=folder.parent, env=dict(os.environ, PYTHONPATH=str(path)),
                          capture_output=True, text=True)


def test_xorlab_lessons_copies_the_same_from_a_wheel_as_from_a_checkout_and_overwrites_nothing(installed, tmp_path):
    for path, name in ((installed, "of-wheel"), (ROOT, "of-checkout")):
        done = lessons_command(path, tmp_path / name)
        assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("14 lessons are in ")
    assert files_in(tmp_path / "of-wheel") == files_in(tmp_path / "of-checkout")

    first = editions.lessons(tmp_path / "of-wheel")[0]
    first.write_text("mine")
    assert lessons_command(installed, tmp_path / "of-wheel").returncode == 0
    assert first.read_text() == "mine"


def test_a_newer_lesson_in_a_wheel_is_told_and_not_copied(installed, tmp_path):
    lessons_command(installed, tmp_path / "mine")
    [lesson, *_] = editions.lessons(installed / "xorlab" / "lessons")
    before = lesson.read_bytes()
    lesson.write_bytes(before.replace(b"XOR", b"XNOR"))
    try:
        done = lessons_command(installed, tmp_path / "mine")
    finally:
        lesson.write_bytes(before)
    assert done.stdout.startswith(f"There is a newer version of {lesson.stem}: move your copy away")
    assert (tmp_path / "mine" / lesson.name).read_bytes() == before
