"""Settings for every test, and through inheritance for every kernel that runs a lesson.

They are here and not in tests/: pytest does not load tests/conftest.py when it checks notebooks/.
"""
import os
from pathlib import Path

import pytest

import lab

ROOT = Path(__file__).resolve().parent

for name, value in lab.CHECK_SETTINGS.items():
    os.environ.setdefault(name, value)
os.environ.update(lab.private_settings())


def pytest_addoption(parser):
    parser.addoption("--models", type=int, default=40,
                     help="random int8 models, and graphs, on which every rule must equal its runtime (default: 40)")
    parser.addoption("--files", help="a folder of .tflite files on which every rule must equal its runtime, or which "
                                     "IntegerGraph must refuse by an operator's name")
    parser.addoption("--tries", type=int, default=300,
                     help="damaged TFLite files that every reader is given (default: 300)")
    parser.addoption("--all", action="store_true", help="let nbgrader grade every lesson, not 02 alone")


def pytest_configure(config):
    if config.option.nbval_sanitize_with is None:
        config.option.nbval_sanitize_with = str(ROOT / "tests" / "nbval_sanitize.cfg")
    # pytest heeds testpaths only in the root; without a path, every folder of the checkout means everything.
    if config.args_source is pytest.Config.ArgsSource.INVOCATION_DIR:
        folders = [ROOT / folder for folder in config.getini("testpaths")]
        config.args[:] = [str(folder) for folder in folders if folder.exists()]


def pytest_collect_file(file_path, parent):
    """Set a lesson's untouched student's edition beside its cells, in one file: so one process runs both."""
    return Untouched.from_parent(parent, path=file_path) if file_path in lab.lessons() else None


class Untouched(pytest.File):
    def collect(self):
        yield UntouchedLesson.from_parent(self, name="untouched")


class UntouchedLesson(pytest.Item):
    """See tools/untouched.py."""

    def runtest(self):
        from tools import untouched  # here: it imports nbval, nbclient and Pillow

        assert untouched.problems(self.path) == []

    def reportinfo(self):
        return self.path, None, f"{self.path.stem}, untouched"
