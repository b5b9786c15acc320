"""Tests of the small things everything stands on: quiet output, whole files, tables, a light import."""
import logging
import os
import subprocess
import sys

import pytest

import lab
import xorlab
from xorlab import files
from xorlab.tables import Table, Tabular, stacked


def test_quiet_holds_native_stderr_back(capfd):
    with xorlab.quiet():
        os.write(2, b"native noise\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_quiet_replays_what_it_held_if_the_block_raises(capfd):
    with pytest.raises(KeyError), xorlab.quiet():
        os.write(2, b"the reason\n")
        raise KeyError
    assert "the reason" in capfd.readouterr().err


def test_quiet_drops_log_records_below_errors_and_only_inside(caplog):
    log = logging.getLogger("a framework")
    with xorlab.quiet():
        log.warning("inside")
        log.error("an error")
    log.warning("after")
    assert caplog.messages == ["an error", "after"]


def test_quiet_leaves_no_descriptor_open():
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else pytest.skip("needs /proc")
    for _ in range(5):
        with xorlab.quiet():
            pass
    assert len(os.listdir("/proc/self/fd")) == before


def test_importing_xorlab_loads_no_framework():
    code = ("import sys, xorlab; "
            "print([m for m in ('numpy', 'torch', 'tensorflow', 'matplotlib', 'onnx', 'tqdm') if m in sys.modules])")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_a_lesson_writes_into_build_here_or_into_the_folder_that_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XORLAB_BUILD", raising=False)
    assert str(files.building("02")) == os.path.join("build", "02") and (tmp_path / "build" / "02").is_dir()
    monkeypatch.setenv("XORLAB_BUILD", str(tmp_path / "else"))
    assert files.building("02") == tmp_path / "else" / "02" and (tmp_path / "else" / "02").is_dir()
    assert list(files.building("02").iterdir()) == []
    (tmp_path / "else" / "04").write_text("in the way")
    with pytest.raises(OSError, match="cannot write into .*04: .*name a folder .* variable XORLAB_BUILD") as refused:
        files.building("04")
    assert len(str(refused.value).splitlines()) == 1


def test_a_table_aligns_columns_and_escapes_html():
    table = Table(("name", "n"), (("a<b", "1"), ("long name", "12,345")))
    assert str(table).splitlines() == [
        "name            n", "-----------------", "a<b             1", "long name  12,345"]
    assert "a&lt;b" in table._repr_html_() and table._repr_html_().count("<tr>") == 3
    everywhere = Table(("<h", "n"), (("<c", "1"),), ("<n",))._repr_html_()
    assert [text in everywhere for text in ("&lt;h", "&lt;c", "&lt;n")] == [True] * 3
    with pytest.raises(ValueError, match="needs 2 cells"):
        Table(("a", "b"), (("1",),))


def test_a_table_of_times_has_the_same_lines_on_a_faster_computer():
    fast, slow = (str(Table(("calls", "int8"), (("all", took),))) for took in ("9 us", "1.23 ms"))
    assert len({len(line) for line in (fast + "\n" + slow).splitlines()}) == 1


def test_results_are_stacked_under_one_header_only():
    class Result(Tabular):
        def __init__(self, *columns):
            self.columns = columns

        def table(self):
            return Table(self.columns, (tuple(map(str.upper, self.columns)),))

    assert stacked([Result("a", "b"), Result("a", "b")]) == Table(("a", "b"), (("A", "B"), ("A", "B")))
    with pytest.raises(ValueError, match="got 2 headers"):
        stacked([Result("a", "b"), Result("a", "c")])


def test_an_expectation_that_holds_says_nothing(monkeypatch, capsys):
    for checked in ("0", "1"):
        monkeypatch.setenv("XORLAB_CHECK", checked)
        xorlab.expect(1 > 0, "One is more than nothing.")
    assert capsys.readouterr().out == ""


def test_an_expectation_that_fails_stops_a_check_and_only_tells_a_student(monkeypatch, capsys):
    monkeypatch.setenv("XORLAB_CHECK", "1")
    with pytest.raises(AssertionError, match="One is less."):
        xorlab.expect(1 < 0, "One is less.")
    monkeypatch.delenv("XORLAB_CHECK")
    xorlab.expect(1 < 0, "One is less.")
    assert capsys.readouterr().out == "Not so here, though the lesson's text says it: One is less.\n"


def test_lessons_are_checked_with_expectations_that_stop():
    assert lab.CHECK_SETTINGS["XORLAB_CHECK"] == "1"
