"""Settings for every test, and through inheritance for every kernel that runs a lesson.

They are here and not in tests/: pytest does not load tests/conftest.py when it checks notebooks/.
"""
import gc
import os
import re
from pathlib import Path
from unittest import mock

import pytest

import lab
from tools import checks

ROOT = Path(__file__).resolve().parent

for name, value in lab.CHECK_SETTINGS.items():
    os.environ.setdefault(name, value)
os.environ.update(lab.private_settings())
# A full collection finds little in a process of tests, and while frameworks are imported takes a fifth of the time
gc.set_threshold(700, 10, 1_000)

# An argument of the person at the terminal that asks for a part of the checks, and not for all.
PART = re.compile(r"-[kmco]|--(deselect|ignore|last-failed|lf|stepwise|sw|co|collect-only|override-ini|pyargs|quick)\b")


WEAKER = ("these checks are weaker than their record, tests/checks.json, which python -m tools.checks writes where "
                "that is meant")
EVERYTHING = pytest.StashKey[bool]()


def pytest_addoption(parser):
    parser.addoption("--models", type=int, default=40,
                     help="random int8 models, and graphs, on which every rule must equal its runtime (default: 40)")
    parser.addoption("--files", help="a folder of .tflite files on which every rule must equal its runtime, or which "
                                     "IntegerGraph must refuse by an operator's name")
    parser.addoption("--tries", type=int, default=300,
                     help="damaged TFLite files that every reader is given (default: 300)")
    parser.addoption("--quick", action="store_true", help="run only the files of tests that take least, in a minute or "
                                                          "less; the last line says what is left out")
    parser.addoption("--note-seconds", action="store_true", help="note how long each file takes, in tests/seconds.json")
    parser.addoption("--all", action="store_true", help="let nbgrader grade every lesson, not 02 alone")


def pytest_configure(config):
    if config.option.nbval_sanitize_with is None:
        config.option.nbval_sanitize_with = str(ROOT / "tests" / "nbval_sanitize.cfg")
    config.stash[EVERYTHING] = is_everything(config)
    # pytest heeds testpaths only in the root; without a path, every folder of the checkout means everything.
    if config.args_source is pytest.Config.ArgsSource.INVOCATION_DIR:
        folders = [ROOT / folder for folder in config.getini("testpaths")]
        config.args[:] = [str(folder) for folder in folders if folder.exists()]
    if config.option.quick:         # a worker of xdist is given the person's arguments, and chooses for itself
        if config.args_source is pytest.Config.ArgsSource.ARGS:
            raise pytest.UsageError("--quick chooses files by itself; leave out either --quick or what comes with it")
        config.args[:] = [str(ROOT / name) for name in checks.quick(checks.seconds())]
    if config.option.note_seconds and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Seconds())


class Seconds:
    """Notes how long each file takes."""

    def __init__(self):
        self.times = {}

    def pytest_runtest_logreport(self, report):
        name = report.nodeid.split("::")[0]
        self.times[name] = self.times.get(name, 0) + report.duration

    def pytest_sessionfinish(self, session):
        checks.note({name: round(time, 1) for name, time in self.times.items()})


def pytest_unconfigure():
    """Collect once what is left. pytest, which wants to warn of it, would do so five times in each process."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter, config):
    if config.option.quick:
        files = [f"tests/{path.name}" for path in sorted((ROOT / "tests").glob("test_*.py"))]
        left = sorted({*files} - {*checks.quick(checks.seconds())})
        names = ", ".join(name.removeprefix("tests/test_").removesuffix(".py") for name in left)
        terminalreporter.write_line(f"--quick left out every lesson and {len(left)} of {len(files)} files of tests: "
                                    f"{names}. python3 lab.py test runs all.")


def pytest_collection_modifyitems(items):
    """Begin with the files that take longest, and with new ones: at the end the last one would keep one core alone."""
    times = checks.seconds()
    items.sort(key=lambda item: -times.get(item.nodeid.split("::")[0], 1e9))


def is_everything(config):
    """Did the person at the terminal ask for all checks? A file of settings that takes some away is no person."""
    paths = config.args_source is pytest.Config.ArgsSource.ARGS
    return not (paths or hasattr(config, "workerinput") or any(map(PART.match, config.invocation_params.args)))


def pytest_collection_finish(session):
    stop_if_weakened(session.config, [item.nodeid for item in session.items])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node, ids):
    stop_if_weakened(node.config, ids)


def stop_if_weakened(config, ids):
    """Stop a run of everything that compares, or has collected, less than tests/checks.json says."""
    if config.stash[EVERYTHING] and (found := checks.lax(config.option) + checks.absent(ids, checks.read())):
        more = f"; and {len(found) - 5} more" * (len(found) > 5)
        pytest.exit(f"{WEAKER}: {'; '.join(found[:5])}{more}", returncode=1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    """Let a lesson's kernel, which starts here, compute as lessons promise their numbers."""
    if not is_cell(item):
        return (yield)              # patch.dict would take back what a test's fixtures set
    from nbval import kernel  # here: other tests do without it

    starting = mock.patch.object(kernel, "start_new_kernel", once_more(kernel.start_new_kernel))
    with mock.patch.dict(os.environ, checks.CPU_PATH), starting:
        return (yield)


def once_more(start):
    """Return nbval's start of a kernel, tried again where the kernel died before it answered.

    It is given free ports, and another program may take one before it does: that failed one of seven whole runs.
    """
    def started(**options):
        try:
            return start(**options)
        except RuntimeError:
            return start(**options)
    return started


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Check what nbval does not: a cell that students answer, untouched; pictures, and numbers after ~, in any."""
    if not is_cell(item):
        return (yield)
    from tools import untouched  # here: it imports nbval, nbclient and Pillow

    with untouched.beside(item):
        return (yield)


def is_cell(item):
    return hasattr(item, "cell")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    return unskipped((yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(collector):
    return unskipped((yield))


def unskipped(report):
    """Make a failure of a skip for a reason that tools/checks.py does not list for this machine, and of any xfail."""
    reason = getattr(report, "wasxfail", None)
    if reason is None and report.skipped:
        reason = report.longrepr[2].removeprefix("Skipped: ")       # (path, line, words)
        if checks.may_skip(reason):
            return report
    if reason is not None and not reason.endswith("Previous cell timed out, expected cell to fail"):     # nbval's
        report.outcome = "failed"
        vars(report).pop("wasxfail", None)      # with it, pytest would not count a failure
        report.longrepr = f"{report.nodeid} is not run, and SKIPS in tools/checks.py has no such reason: {reason!r}"
    return report
