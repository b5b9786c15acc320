"""The page of trust is what its records say, and the records are of trials that there are now."""
import json

import pytest

from tools.trust import page
from tools.trust import part as part_module
from tools.trust.part import Part
from tools.trust.parts import PARTS


def test_the_page_says_what_the_records_say():
    assert page.PAGE.read_text(encoding="utf-8") == page.page(), "python3 lab.py trust NAME rewrites it"


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_the_record_is_of_trials_that_there_are_now_and_all_that_ran_held(part):
    rows = part.read()["rows"]
    assert rows and {row["name"] for row in rows} <= set(part.names())
    assert [row for row in rows if row["problem"]] == []
    assert part.rows() == rows


class Tried:
    """A part of three trials, the second of which fails as long as `broken` is set."""
    broken = True

    def __init__(self, folder, monkeypatch):
        monkeypatch.setattr(part_module, "RECORDS", folder)
        self.part = Part("made", "Made", "All hold.", lambda: ["one", "two", "three"], self.run,
                         lambda rows: f"{sum(not row['problem'] for row in rows)} held.")

    def run(self, names):
        yield from ({"name": name, "problem": "it broke" if self.broken and name == "two" else ""} for name in names)


def test_a_record_grows_trial_by_trial_and_the_rest_is_what_has_not_held(tmp_path, monkeypatch):
    tried = Tried(tmp_path, monkeypatch)
    assert tried.part.rows() == [] and tried.part.rest() == ["one", "two", "three"]
    tried.part.try_all(["three", "two"])
    assert [row["name"] for row in tried.part.rows()] == ["two", "three"] and tried.part.rest() == ["one", "two"]
    assert "2 of 3 trials ran" in page._section(tried.part) and "- two: it broke" in page._section(tried.part)
    tried.broken = False
    tried.part.try_all(tried.part.rest())
    assert tried.part.rest() == [] and "All 3 trials ran" in page._section(tried.part)
    assert "3 held." in page._section(tried.part) and "it broke" not in page._section(tried.part)


def test_rows_of_another_system_and_of_trials_that_are_gone_are_not_kept(tmp_path, monkeypatch):
    tried = Tried(tmp_path, monkeypatch)
    old = {"system": "VAX, Python 3.12", "rows": [{"name": "one", "problem": "", "date": "2001-01-01"}]}
    tried.part.record.write_text(json.dumps(old))
    tried.part.try_all(["three"])
    assert [row["name"] for row in tried.part.rows()] == ["three"]
    tried.part.record.write_text(tried.part.record.read_text().replace('"three"', '"gone"'))
    assert tried.part.rows() == []
