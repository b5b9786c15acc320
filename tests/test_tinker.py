"""Playing is never punished: lessons run with the changes that a student would try."""
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tools import pages, tinker
from tools.tinker import Change

LESSONS = {lesson.path.name[:2]: lesson for lesson in pages.lessons([])}
FIRST = [(number, changes[0]) for number, changes in tinker.CHANGES.items() if changes]


@pytest.mark.parametrize(("number", "change"), FIRST, ids=[number for number, _ in FIRST])
def test_a_lesson_runs_with_a_change_that_a_student_would_try(number, change):
    assert tinker.run(LESSONS[number].notebook, change) is None


@pytest.mark.parametrize("number", LESSONS)
def test_every_change_has_something_to_change(number):
    """Only the first of each lesson runs above; the others run by `lab.py tinker`, and must not wait for that."""
    for change in tinker.CHANGES[number]:
        cells, sources = tinker.played(LESSONS[number].notebook, change)
        assert [cell.source for cell in cells] != sources or not change.replace


def test_every_lesson_has_a_place_for_changes():
    assert list(tinker.CHANGES) == list(LESSONS)


def notebook(*sources):
    return new_notebook(cells=[new_code_cell(source, id=f"cell-{i}") for i, source in enumerate(sources)])


@pytest.mark.parametrize("source", [
    "assert seed == 1", "[][seed]", "import numpy; numpy.zeros(seed).reshape(7)", "raise ValueError('not ours')",
    "from xorlab import population; population.batches(None, seed, None)",
])
def test_a_change_that_ends_in_an_error_of_another_kind_is_found(source):
    problem = tinker.run(notebook("seed = 1", source), Change("seed", {"seed = 1": "seed = 2"}))
    assert problem is not None and "cell-1" in problem


@pytest.mark.parametrize("source", [
    "print(seed)", "from xorlab import data; data.grid(seed)",
    "from xorlab import expect; expect(seed == 2, 'The seed is 2.')",
])
def test_a_change_that_runs_or_ends_in_a_sentence_of_ours_is_not(source):
    assert tinker.run(notebook("seed = 2", source), Change("seed", {"seed = 2": "seed = 1"})) is None


def test_a_change_without_anything_to_change_is_refused():
    with pytest.raises(ValueError, match="no cell that is run holds"):
        tinker.run(notebook("seed = 1"), Change("seed", {"seed = 3": "seed = 2"}))


def test_a_student_writes_into_a_folder_of_the_runs_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tinker.run(notebook("open('mine', 'w').close()"), Change("nothing", {})) is None
    assert list(tmp_path.iterdir()) == []
