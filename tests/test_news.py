"""What lab.py says after an update: once, in a few lines, from CHANGELOG.md."""
import doctest
import errno
import json
import tomllib
from pathlib import Path

import pytest

import xorlab
from xorlab import files, news

ROOT = Path(__file__).resolve().parent.parent
OLD = "# Changelog\n\n## 0.1.0\n\nIn short: Lessons.\n\n- detail\n"
SHORT = "In short: A playground.\nNew `xorlab why x.y`. All of it."
NEW = OLD.replace("## ", f"## 0.2.0 (unreleased)\n\n{SHORT}\n\n- detail\n\n## ")


@pytest.fixture
def start(tmp_path):
    """One start of lab.py after the changelog became another."""
    def start(changelog, used_before=True):
        (tmp_path / "CHANGELOG.md").write_text(changelog, encoding="utf-8")
        return news.told(tmp_path / "CHANGELOG.md", tmp_path / ".lab" / "news.json", used_before)
    return start


def test_every_version_says_in_short_what_it_brings():
    known = news.versions((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    for sentences in known.values():
        assert 1 <= len(sentences) <= 3 and all(len(sentence) <= 120 for sentence in sentences), sentences


def test_the_newest_version_of_the_changelog_is_this_one():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    known = news.versions((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert next(iter(known)) == version == xorlab.__version__


def test_the_first_start_is_told_nothing_and_neither_is_the_second(start):
    assert start(NEW, used_before=False) == [] and start(NEW) == []


def test_an_update_is_told_once(start):
    start(OLD, used_before=False)
    assert start(NEW) == ["This is XOR Lab 0.2.0; it was 0.1.0.", "- A playground.", "- New `xorlab why x.y`.",
                          "- All of it.", "All of it is told in CHANGELOG.md."]
    assert start(NEW) == []


def test_whoever_used_0_1_0_which_left_no_record_is_told(start):
    assert start(NEW)[0] == "This is XOR Lab 0.2.0; it was 0.1.0."


def test_versions_that_were_skipped_are_named(start):
    start(OLD)
    told = start(NEW.replace("## 0.2.0", "## 0.3.0\n\nIn short: More.\n\n## 0.2.0"))
    assert told == ["This is XOR Lab 0.3.0; it was 0.1.0.", "- More.",
                    "All of it is told in CHANGELOG.md. What came between, 0.2.0, is there too."]


def test_of_the_same_version_only_what_was_not_told_yet_is_told(start):
    start(NEW)
    assert start(NEW.replace("- detail", "- another detail")) == []
    assert start(NEW.replace("All of it.", "And a doctor."))[:2] == ["XOR Lab 0.2.0 has news:", "- And a doctor."]
    assert start(NEW.replace(" All of it.", "")) == []          # a sentence less is no news


@pytest.mark.parametrize("record", ["", "[", "7", '{"version": 7, "told": 8}', '{"told": [[]]}', "\0\0"])
def test_a_damaged_record_ends_no_start(start, tmp_path, record):
    (tmp_path / ".lab").mkdir()
    (tmp_path / ".lab" / "news.json").write_text(record)
    assert start(NEW)[1] == "- A playground."
    assert json.loads((tmp_path / ".lab" / "news.json").read_text())["version"] == "0.2.0" and start(NEW) == []


@pytest.mark.parametrize("changelog", ["", "# Changelog\n", "## Unreleased\n"])
def test_a_changelog_without_versions_is_told_nothing_of(start, changelog):
    assert start(changelog) == []


def test_no_changelog_and_no_text_end_no_start(tmp_path):
    path = tmp_path / "CHANGELOG.md"
    assert news.told(path, tmp_path / "news.json", True) == []
    path.write_bytes(b"## 1\xff\n")
    assert news.told(path, tmp_path / "news.json", True) == []


def test_where_nothing_can_be_written_a_start_goes_on(start, monkeypatch):
    def refuse(path):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(files, "replacing", refuse)
    assert start(NEW)[1] == "- A playground."


def test_the_examples_hold():
    assert doctest.testmod(news).failed == 0
