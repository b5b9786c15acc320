"""tools/trust/outputs.py: what it changes is in force where a lesson runs, and a lesson that differs is found."""
import json
import os
import sys

import pytest
from nbformat.v4 import new_code_cell, new_output

from tools import refresh
from tools.trust import outputs, proofs, rerun

CONDITIONS = [condition for run in outputs.RUNS.values() for condition in run]
# TensorFlow takes seconds to load, so the command alone asks what it says
CHEAP = [condition for condition in CONDITIONS if "tensorflow" not in condition.proof]
PATHS = [condition for condition in CHEAP if condition.folder]
# of those that set the same variables, the first
TOGETHER = list({tuple(condition.variables) or condition.name: condition for condition in reversed(CHEAP)
                 if not condition.folder}.values())


def asked(place, conditions, before=""):
    """Return {condition: is it in force?} as a Python says that was started in a place."""
    questions = {condition.name: (condition.possible, condition.proof) for condition in conditions}
    code = f"""\
import os
os.chdir("notebooks")
from tools.trust import proofs
{before}
print(proofs.told({questions!a}))
"""
    done = place.run(str(place.python), "-c", code)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_every_change_is_in_force_in_a_lessons_kernel():
    conditions, left_out = outputs.without_impossible(tuple(TOGETHER))
    with outputs.placed(conditions) as place:
        force = outputs.in_force(place, conditions)
    assert False not in force.values(), force
    if sys.platform == "linux" and "X86_V3" in proofs.numpy_takes():
        assert None not in force.values(), force
        assert set(left_out) <= {name for name in force if "unshare" in left_out.get(name, "")}


def test_no_change_is_in_force_where_nothing_was_changed(monkeypatch):
    monkeypatch.chdir(outputs.ROOT / "notebooks")
    unchanged = [condition for condition in [*TOGETHER, *PATHS] if not set(condition.variables) & set(os.environ)]
    if proofs.new_files_are_mine_alone():           # whoever runs this may want that
        unchanged = [condition for condition in unchanged if condition.name != "umask 077"]
    assert len(unchanged) > 5
    for condition in unchanged:
        assert not eval(f"({condition.possible}) and ({condition.proof})", vars(proofs)), condition.name


def test_a_checkout_may_stand_in_any_folder():
    with outputs.placed(tuple(PATHS)) as place:
        assert json.loads(asked(place, PATHS)[-1]) == dict.fromkeys([condition.name for condition in PATHS], True)


READ_ONLY = next(condition for condition in CONDITIONS if "XORLAB_BUILD" in condition.variables)


def test_lessons_that_cannot_be_written_to_say_so_in_a_sentence_and_go_on():
    conditions, left_out = outputs.without_impossible((READ_ONLY,))
    if left_out:
        pytest.skip(left_out[READ_ONLY.name])
    student = """
os.environ.pop("XORLAB_CHECK")
os.chdir("../docs")
from xorlab import compiler, exercises, files
print(files.building("02").is_relative_to(os.environ["XORLAB_BUILD"]))
print(compiler._environment()["ZIG_GLOBAL_CACHE_DIR"].startswith(os.environ.pop("XORLAB_BUILD")))
print(proofs.can_write(os.path.dirname(compiler._environment()["ZIG_GLOBAL_CACHE_DIR"])))
for lesson in ("02", "04"):
    try:
        files.building(lesson)
    except OSError as error:
        print(error)
for said in (exercises.check("02.2", lambda loss, w, h=0.001: loss(w)), exercises.predict("02.3", 0),
             exercises.hint("02.2")):
    print(said.word, said.sentence)
os.chdir("../notebooks")
"""
    with outputs.placed(conditions) as place:
        (place.checkout / "docs" / "build" / "02").mkdir(parents=True)         # as it was left before
        said = asked(place, conditions, student)
    assert said[:3] == ["True"] * 3
    for lesson, line in zip(("02", "04"), said[3:5], strict=True):
        assert line == (f"cannot write into build/{lesson}: Read-only file system; name a folder that you may write to "
                        "in the environment variable XORLAB_BUILD, and restart the kernel")
    for line, word in zip(said[5:7], ("wrong", "noted"), strict=True):
        assert line.startswith(word) and line.count("Your progress wasn't kept: cannot write ") == 1
    assert said[7].startswith("hint 1 of 3") and "progress" not in said[7]


def told(*texts):
    return new_code_cell("", id="cell-1", outputs=[new_output("stream", text=text) for text in texts])


@pytest.mark.parametrize(("shown", "stored", "sentence"), [
    (["a\nb\n"], ["a\nc\n"], "shows 'b', stored is 'c'"), (["a\n"], ["a\nc\n"], "shows '', stored is 'c'"),
    (["3 ms\n~4\nb"], ["5 ms\n~6\nc"], "shows 'b', stored is 'c'"),
])
def test_a_difference_is_told_as_what_is_shown_and_what_is_stored(shown, stored, sentence):
    assert rerun.difference(told(*shown), told(*stored), refresh.NbvalComparison()) == sentence


@pytest.fixture
def cheap(monkeypatch):
    """Let a run be of two changes, all in force; return what lessons then show otherwise, by their environment."""
    changes = [outputs.Condition(name, "True", {f"XORLAB_{name}": "1"}) for name in ("ONE", "OTHER")]
    monkeypatch.setattr(outputs, "RUNS", {"both": tuple(changes)})
    monkeypatch.setattr(outputs.shutil, "copytree", lambda source, folder, ignore: os.mkdir(folder))
    monkeypatch.setattr(outputs, "in_force", lambda place, conditions: {name: True for name in ("ONE", "OTHER")})
    differs = {}
    monkeypatch.setattr(outputs, "outcome", lambda place, lesson: {"cells": 3, "differ": [
        sentence for name, sentence in differs.items() if name in place.variables]})
    return differs


def test_the_change_that_makes_a_lesson_differ_is_named(cheap):
    assert [row["problem"] for row in outputs.tried("both", ["02"])] == [""]
    cheap["XORLAB_OTHER"] = "cell-1 shows 'b', stored is 'c'"
    [row] = outputs.tried("both", ["02"])
    assert row["name"] == "both-02" and row["changed"] == ["ONE", "OTHER"]
    assert row["problem"] == "cell-1 shows 'b', stored is 'c' (1 in all; so it does with OTHER alone)"
    cheap["PATH"] = "cell-2 shows another picture"
    assert "so it does with nothing changed" in next(outputs.tried("both", ["02"]))["problem"]


def test_a_change_that_is_not_in_force_is_a_problem_and_one_that_cannot_be_is_left_out(cheap, monkeypatch):
    monkeypatch.setattr(outputs, "in_force", lambda place, conditions: {"ONE": False, "OTHER": None})
    [row] = outputs.tried("both", ["02"])
    assert row["problem"] == "ONE: not in force, so nothing was tried" and row["cells"] == 0
    assert row["left out"] == {"OTHER": "this computer can't"} and row["changed"] == ["ONE"]


def test_lessons_write_only_where_building_says():
    sources = [cell.source for path in outputs.lab.lessons() for cell in refresh.nbformat.read(path, 4).cells
               if cell.cell_type == "code"]
    assert sum("building(" in source for source in sources) >= 8
    assert [source for source in sources if 'Path("build' in source or 'mkdir("build' in source] == []


def test_two_changes_of_a_run_set_nothing_twice():
    for run, conditions in outputs.RUNS.items():
        names = [name for condition in conditions for name in condition.variables]
        assert len(names) == len(set(names)), f"two changes of {run} set one variable"
        assert sum(bool(condition.folder) for condition in conditions) < 2
    assert len({condition.name for condition in CONDITIONS}) == len(CONDITIONS)
    assert not any(set(one) & set("- ") for one in outputs.RUNS), "lab.py trust outputs RUN-NN"
    runs = (*outputs.RUNS, "changes", "untouched")
    every = {f"{run}-{path.name[:2]}" for run in runs for path in outputs.lab.lessons()}
    assert sorted(outputs.names()) == sorted(every - outputs.ELSEWHERE) and every > outputs.ELSEWHERE
