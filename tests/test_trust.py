"""The page of trust is what its records say, and the records are of the trials that there are now."""
import pytest

from tools.trust import page
from tools.trust.parts import PARTS


def test_the_page_says_what_the_records_say():
    assert page.PAGE.read_text(encoding="utf-8") == page.page(), "python3 lab.py trust NAME rewrites it"


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_the_last_full_run_was_of_the_trials_that_there_are_now_and_all_held(part):
    rows = part.read()["rows"]
    assert [row["name"] for row in rows] == part.names()
    assert [row for row in rows if row["problem"]] == []
