"""Laws of every exercise, what is said to odd answers, and what is kept of a student's work."""
import ast
import copy
import json
import multiprocessing
import re
import subprocess
import sys
from pathlib import Path

import noting
import numpy as np
import pytest

import lab
from tools import exercises as table
from xorlab import compare, data, exercises, models, predictors
from xorlab.cli import main
from xorlab.exercises import desk, judging, lesson_00, record
from xorlab.exercises.exercise import KINDS, Verdict, Wrong
from xorlab.exercises.registry import EXERCISES
from xorlab.integer import IntegerMLP

EVERY = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
CHECKED = pytest.mark.parametrize("exercise", [e for e in EXERCISES.values() if e.kind != "predict"],
                                  ids=lambda e: e.id)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(desk, "_guesses", {})
    monkeypatch.setattr(desk, "_hints_given", {})


@pytest.fixture
def student(monkeypatch):
    """A student at work, of whom something is kept: not a check."""
    monkeypatch.delenv("XORLAB_CHECK", raising=False)


def verdict(exercise, source):
    """What a student reads who puts this source into the task cell."""
    answer = judging.defined(source, exercise.name)
    if exercise.kind != "predict":
        return exercises.check(exercise.id, answer)
    taken = exercises.predict(exercise.id, answer)
    return exercises.predict(exercise.id) if taken.word == "noted" else taken


# Laws

@EVERY
def test_the_solution_passes(exercise):
    assert verdict(exercise, exercise.solution).word == ("your guess holds" if exercise.kind == "predict" else "right")


@EVERY
def test_the_stub_runs_and_is_not_tried_yet(exercise):
    assert verdict(exercise, exercise.stub).word == "not tried yet"


@EVERY
def test_each_wrong_answer_gets_its_own_sentence(exercise):
    said = [verdict(exercise, source) for source, _ in exercise.wrong]
    assert len(said) >= 3 and not any(v.is_right or v.word in ("not tried yet", "your guess holds") for v in said)
    assert [v.sentence for v, (_, sentence) in zip(said, exercise.wrong, strict=True)
            if sentence not in v.sentence] == []
    assert len({v.sentence for v in said}) == len(said)


@EVERY
def test_an_exercise_is_whole(exercise):
    assert exercise.kind in KINDS and exercise.id.startswith(exercise.lesson + ".")
    assert (exercise.points == 0) == (exercise.kind == "predict") and 1 <= exercise.minutes <= 5
    assert len(set(exercise.hints)) == 3
    assert exercise.stub != exercise.solution and "SOLUTION" not in exercise.solution
    said = [*exercise.hints, *(verdict(exercise, source).sentence for source, _ in exercise.wrong)]
    assert [sentence for sentence in said if not sentence.endswith((".", "?", "`"))] == []


class Mutator(ast.NodeTransformer):
    """Makes the n-th of all small changes: to a constant, sign, comparison, operator, order, argument or line."""

    def __init__(self, n=None):
        self.n, self.count, self.parameters = n, 0, ()

    def change(self, node, *others):
        """Return one of the others, where it is its turn."""
        for other in others:
            if self.count == self.n:
                node = other
            self.count += 1
        return node

    def visit_Constant(self, node):
        value = node.value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            others = (value + 1, -value, 2 * value + 3, 0)
        elif isinstance(value, str):
            others = [word for word in ("stuck", "slow", "bug", "") if word != value]
            if ";" in value:            # lines of C: each number one larger, each sign turned
                others += [f"{value[:m.start()]}{int(m[0]) + 1}{value[m.end():]}"
                           for m in re.finditer(r"\b\d+\b", value)]
                others += [f"{value[:m.start()]} - {value[m.end():]}" for m in re.finditer(r" \+ ", value)]
        else:
            return node
        return self.change(node, *(ast.Constant(other) for other in others))

    def visit_UnaryOp(self, node):
        self.generic_visit(node)
        return self.change(node, node.operand)

    def visit_BinOp(self, node):
        self.generic_visit(node)
        others = [op for op in (ast.Add(), ast.Sub(), ast.Mult(), ast.Div()) if type(op) is not type(node.op)]
        return self.change(node, *(ast.BinOp(node.left, op, node.right) for op in others), node.left, node.right,
                           ast.BinOp(node.right, node.op, node.left))

    def visit_Compare(self, node):
        self.generic_visit(node)
        others = [op() for op in (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq) if op is not type(node.ops[0])]
        return self.change(node, *(ast.Compare(node.left, [op], node.comparators) for op in others))

    def visit_Tuple(self, node):
        self.generic_visit(node)
        return self.change(node, ast.Tuple(node.elts[::-1], node.ctx)) if isinstance(node.ctx, ast.Load) else node

    visit_List = visit_Tuple

    def visit_Name(self, node):
        others = [name for name in self.parameters if name != node.id] if node.id in self.parameters else []
        return self.change(node, *(ast.Name(name, node.ctx) for name in others))

    def visit_FunctionDef(self, node):
        self.parameters = [argument.arg for argument in node.args.args]
        self.generic_visit(node)
        for i in range(len(node.body)):
            left_out = node.body[:i] + node.body[i + 1:] or [ast.Pass()]
            node = self.change(node, ast.FunctionDef(**{**vars(node), "body": left_out}))
        for i in range(len(node.body)):
            twice = node.body[:i + 1] + node.body[i:]
            node = self.change(node, ast.FunctionDef(**{**vars(node), "body": twice}))
        for i in range(len(node.body) - 1):
            swapped = [*node.body[:i], node.body[i + 1], node.body[i], *node.body[i + 2:]]
            node = self.change(node, ast.FunctionDef(**{**vars(node), "body": swapped}))
        return node


def mutants(source):
    """Yield the source with each small change."""
    counter = Mutator()
    counter.visit(ast.parse(source))
    for n in range(counter.count):
        yield ast.unparse(ast.fix_missing_locations(Mutator(n).visit(ast.parse(source))))


def probed(exercise, source):
    """What an answer comes to on valid inputs; None where it cannot even run there."""
    try:
        return exercise.probe(judging.defined(source, exercise.name))
    except Exception:
        return None


@CHECKED
def test_no_small_change_of_a_solution_that_changes_an_output_passes(exercise):
    usual = probed(exercise, exercise.solution)
    assert usual is not None
    changed = [source for source in mutants(exercise.solution) if probed(exercise, source) != usual]
    assert len(changed) >= 10
    passed = []
    for source in changed:
        try:
            answer = judging.defined(source, exercise.name)
        except Exception:               # it does not even define its name
            continue
        if exercises.check(exercise.id, answer).is_right:
            passed.append(source)
    assert passed == []


@EVERY
def test_a_check_does_not_call_the_solution(exercise, monkeypatch):
    """A right answer is judged without a run of the solution's source."""
    answer = judging.defined(exercise.solution, exercise.name)

    def defined(source, name):
        assert source != exercise.solution
        return real(source, name)

    real = judging.defined
    monkeypatch.setattr(judging, "defined", defined)
    if exercise.kind != "predict":
        assert exercises.check(exercise.id, answer).is_right


class Stubborn:
    """It says that it has two parts, and is neither numbers nor parts."""
    def __array__(self, *arguments, **options):
        raise RuntimeError("no")

    def __len__(self):
        return 2

    def __getitem__(self, i):
        raise KeyError(i)


ODD = ("abc", "3", "", np, int, print, lambda: 3, lambda *a, **k: None, np.bool_(True), True, float("nan"), 1e999,
       [], [1, 2], [[1]] * 3, {}, {"A": 1}, object(), 10**400, np.zeros((2, 2)), b"x",
       [[1], [2, 3]], (np.zeros(3), np.zeros(2)), {1, 2}, 1j, Stubborn(), (Stubborn(), Stubborn()))


@EVERY
def test_an_odd_answer_gets_a_sentence_and_no_error(exercise):
    """So does a function that returns one."""
    returning = [lambda *arguments, odd=odd, **options: odd for odd in ODD] if "def " in exercise.stub else []
    for answer in (*ODD, *returning):
        said = (exercises.predict if exercise.kind == "predict" else exercises.check)(exercise.id, answer)
        assert isinstance(said, Verdict) and not said.is_right
        assert "can't be judged" not in said.sentence, said
        assert " object at 0x" not in said.sentence


@pytest.mark.parametrize(("net", "count"), [("sigmoid-2-3-1", lesson_00.DIFFERENT),
                                            ("textbook-2-4-1", lesson_00.BY_HAND)])
def test_the_first_exercise_knows_on_how_many_inputs_the_answers_differ(net, count):
    pair = [predictors.from_integer(IntegerMLP.from_tflite(models.reference_file(net, "int8.tflite"), rule))
            for rule in ("tflm", "reference")]
    assert compare.agreement(*pair).differing == count and len(data.int8_inputs()) == lesson_00.ALL


class Unspeakable:
    def __repr__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize("value", [True, np.True_, "1", [1], None, np.nan])
def test_what_is_no_number_is_not_taken_for_one(value):
    with pytest.raises(Wrong, match="This wants a number, and got"):
        judging.number(value)


def test_right_codes_of_another_type_are_told_from_int8():
    def answer(x, scale, zero_point):
        codes = np.clip(np.round(x / scale) + zero_point, -128, 127).astype(int)
        return codes, (codes - zero_point) * scale

    assert "The codes are right, but they're int64" in exercises.check("05.1", answer).sentence


def test_a_call_that_makes_no_sense_ends_in_a_sentence(capsys, monkeypatch):
    for call in (lambda: exercises.check(), lambda: exercises.check("02.1", 1, 2), lambda: exercises.check("02.1", a=1),
                 lambda: exercises.predict(), lambda: exercises.hint(1, 2),
                 lambda: exercises.solution(), lambda: exercises.progress(None),
                 lambda: exercises.check(print, "02.1")):
        assert call().word == "not understood"
    assert exercises.check(Unspeakable(), 1).word in ("no such exercise", "not understood")
    assert "an object of type Unspeakable" in exercises.check("02.2", Unspeakable()).sentence
    assert exercises.progress("nowhere").word == "no such folder"
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with pytest.raises(desk.NotRight):
        exercises.check("02.1", 1, 2)


def test_an_answer_that_holds_itself_ends_no_kernel():
    """Where a package has raised the recursion limit, endless recursion ends the process without an error."""
    code = ("import sys; sys.setrecursionlimit(10**8); from xorlab.exercises import check; a = []; a.append(a); "
            "d = {}; d['A'] = d; print(check('02.1', a)); print(check('02.5', d)); print(check('02.2', a))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=lab.HERE)
    assert done.returncode == 0 and done.stdout.count("wrong (02.") == 3, done.stderr


def test_an_answer_that_calls_itself_for_ever_is_told_so_whatever_the_limit_is():
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(2**31 - 1)                    # as onnx2tf does
    try:
        with pytest.raises(Wrong, match="stopped in line .* RecursionError"):
            judging.run(endless, 1)
        assert sys.getrecursionlimit() == 2**31 - 1     # and is somebody else's
    finally:
        sys.setrecursionlimit(before)


def endless(x):
    return endless(x)


def test_a_function_that_returns_nothing_or_changes_what_it_was_given_hears_so():
    def silent(loss, w, h=0.001):
        (loss(w + h) - loss(w)) / h

    def greedy(net, optimizer, loss_of, x, y):
        optimizer.zero_grad()
        loss_of(net(x), y).backward()
        optimizer.step()
        x.add_(1)

    assert "Does it end in `return`" in exercises.check("02.2", silent).sentence
    assert "changes argument 4" in exercises.check("02.4", greedy).sentence


# What the machinery says

def broken(loss, w, h=0.001):
    return los(w + h)       # noqa: F821


def test_an_error_of_the_students_is_shown_as_theirs_with_the_line():
    said = exercises.check("02.2", broken)
    assert said.word == "wrong" and "Your code stopped in line" in said.sentence
    assert "`return los(w + h)       # noqa: F821`" in said.sentence
    assert "NameError: name 'los' is not defined" in said.sentence


def test_a_function_that_ends_the_program_is_an_error_of_the_students():
    assert "SystemExit" in exercises.check("02.2", lambda loss, w, h=0.001: sys.exit("so there")).sentence


def test_what_a_function_prints_is_held_back(capsys):
    def loud(loss, w, h=0.001):
        print("here I am")
        return (loss(w + h) - loss(w)) / h

    assert exercises.check("02.2", loud).is_right
    assert capsys.readouterr().out == ""


def test_a_function_gets_copies():
    given, numbers = np.zeros(3), [1, 2]

    def greedy(array, values):
        array += 1
        values.clear()

    with pytest.raises(Wrong):
        judging.run(greedy, given, numbers)
    assert given.tolist() == [0, 0, 0] and numbers == [1, 2]


@pytest.mark.parametrize(("identity", "says"), [("02.9", "there are 02.1, 02.2"), ("7", f"there are {min(EXERCISES)}"),
                                                (2.1, 'you may mean "02.1"'), ("2.2", 'you may mean "02.2"'),
                                                (None, "there are")])
def test_an_unknown_exercise_gets_a_sentence_everywhere(identity, says, capsys):
    for call in (exercises.check, exercises.predict, exercises.hint):
        assert call(identity).word == "no such exercise" and says in str(call(identity))
    exercises.solution(identity)
    assert says in capsys.readouterr().out


def test_a_guess_is_not_checked_and_an_answer_is_not_guessed():
    assert 'predict("02.3", guess)' in str(exercises.check("02.3", 0))
    assert 'check("02.2", slope)' in str(exercises.predict("02.2", 0))


def test_a_guess_is_noted_first_and_compared_later():
    assert exercises.predict("02.6").word == "not tried yet"
    assert exercises.predict("02.6", (3, 3)).word == "noted"
    assert exercises.predict("02.6").sentence.startswith("It's (4, 3)")
    assert exercises.predict("02.6", "many").word == "not noted"


def test_hints_come_one_by_one_and_end(capsys):
    assert [exercises.hint("02.4").word for _ in range(4)] == [f"hint {n} of 3" for n in (1, 2, 3, 3)]
    assert 'solution("02.4")' in exercises.hint("02.4").sentence
    exercises.solution("02.5")
    assert capsys.readouterr().out == 'runs = {"A": "stuck", "B": "bug", "C": "slow"}\n'


def test_where_nbgrader_grades_only_a_right_answer_passes_in_silence(monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert exercises.check("02.5", {"A": "stuck", "B": "bug", "C": "slow"}).is_right
    for answer in (..., "abc", {"A": "slow", "B": "bug", "C": "slow"}):
        with pytest.raises(desk.NotRight):
            exercises.check("02.5", answer)
    with pytest.raises(desk.NotRight):
        exercises.check("02.99", 1)


def test_a_verdict_shows_itself_as_text_and_as_html():
    said = Verdict("02.1", "wrong", "It's *or*, 2 * 3 * 4 < `a*b*c`.")
    assert str(said) == "wrong (02.1): It's or, 2 * 3 * 4 < `a*b*c`."
    assert said._repr_html_().endswith("It's <em>or</em>, 2 * 3 * 4 &lt; <code>a*b*c</code>.</div>")


# What is kept

def kept(folder):
    return json.loads((Path(folder) / record.NAME).read_text())


def test_progress_is_kept_beside_the_notebook_and_never_falls_back(student, tmp_path):
    exercises.check("02.2", lambda loss, w, h=0.001: 1.0)
    exercises.predict("02.3", 0.0164)
    assert kept(tmp_path) == {"02.2": "tried", "02.3": "done"}
    exercises.check("02.2", judging.defined(EXERCISES["02.2"].solution, "slope"))
    exercises.check("02.2", lambda loss, w, h=0.001: 1.0)
    exercises.check("02.4", ...)
    assert kept(tmp_path) == {"02.2": "right", "02.3": "done"}
    table = str(exercises.progress())
    assert f"2 of {len(EXERCISES)} done." in table and "guessed" in table
    assert sorted(path.name for path in tmp_path.iterdir()) == [record.NAME]


@pytest.mark.parametrize("variables", [{"XORLAB_CHECK": "1"}, {"NBGRADER_EXECUTION": "validate"}])
def test_nothing_is_kept_where_lessons_are_checked_or_graded(student, variables, monkeypatch, tmp_path):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    exercises.check("02.2", lambda loss, w, h=0.001: 1.0)
    assert list(tmp_path.iterdir()) == []
    assert exercises.progress().word == "not kept here"


def test_nothing_is_kept_in_notebooks(student, monkeypatch):
    monkeypatch.chdir(lab.NOTEBOOKS)
    exercises.predict("02.3", 1)
    assert not (lab.NOTEBOOKS / record.NAME).exists()
    assert exercises.progress().word == "not kept here"


@pytest.mark.parametrize("content", ["", "[1]", '{"02.1": 1}', "{", "\x00\xff"])
def test_a_damaged_file_is_set_aside_with_a_sentence(student, tmp_path, content):
    (tmp_path / record.NAME).write_text(content, encoding="latin-1")
    said = exercises.predict("02.3", 0)
    assert "xorlab-progress.damaged-1.json" in said.sentence
    assert (tmp_path / "xorlab-progress.damaged-1.json").read_text(encoding="latin-1") == content
    assert kept(tmp_path) == {"02.3": "done"}


def test_deleting_the_file_loses_nothing_else(student, tmp_path):
    exercises.predict("02.3", 0)
    (tmp_path / record.NAME).unlink()
    assert exercises.predict("02.3").word == "your guess holds"
    assert f"0 of {len(EXERCISES)} done." in str(exercises.progress())


def test_a_folder_that_takes_no_file_costs_a_sentence_only(student, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError("cannot write here")

    monkeypatch.setattr(record.files, "replacing", refuse)
    assert "Your progress wasn't kept: cannot write here." in exercises.predict("02.3", 0).sentence


def test_what_a_later_version_wrote_stays(student, tmp_path):
    (tmp_path / record.NAME).write_text('{"02.1": "right", "02.3": "mastered", "13.9": "mastered"}')
    assert "damaged" not in exercises.predict("02.3", 0).sentence
    assert kept(tmp_path) == {"02.1": "right", "02.3": "mastered", "13.9": "mastered"}
    assert f"1 of {len(EXERCISES)} done." in str(exercises.progress())


def test_a_slow_kernel_is_waited_for_and_a_dead_one_is_not(student, tmp_path):
    context = multiprocessing.get_context("spawn")
    for kill in (False, True):
        held = context.Event()
        kernel = context.Process(target=noting.hold, args=(tmp_path, held))
        kernel.start()
        held.wait()
        if kill:
            kernel.kill()
        exercises.predict("02.3", 0)
        kernel.join()
        assert kept(tmp_path) == {"02.2": "right", "02.3": "done"}


def test_two_kernels_at_once_lose_nothing(student, tmp_path):
    context = multiprocessing.get_context("spawn")
    parts, together = [[f"{kernel:02}.{n}" for n in range(60)] for kernel in range(2)], context.Barrier(2)
    kernels = [context.Process(target=noting.note_many, args=(tmp_path, part, together)) for part in parts]
    for kernel in kernels:
        kernel.start()
    for kernel in kernels:
        kernel.join()
    assert [kernel.exitcode for kernel in kernels] == [0, 0]
    assert sorted(kept(tmp_path)) == sorted(sum(parts, []))


def test_the_command_shows_the_progress_of_a_folder(student, tmp_path, capsys, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    exercises.predict("02.3", 0)
    monkeypatch.chdir(tmp_path)
    assert main(["progress"]) == 0                  # it looks into work/ by itself
    assert f"1 of {len(EXERCISES)} done." in capsys.readouterr().out
    assert main(["progress", "nowhere"]) == 2
    assert capsys.readouterr().err == "xorlab: there is no folder nowhere; give the one that your lessons are in\n"


def test_the_page_for_instructors_lists_every_exercise():
    page = table.PAGE.read_text(encoding="utf-8")
    assert page == table.with_table(page), "python -m tools.exercises writes it anew"


def test_asking_for_exercises_loads_no_framework():
    code = "import sys, xorlab.exercises; print(sorted({'torch', 'tensorflow', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=lab.HERE)
    assert done.stdout == "[]\n", done.stderr


def test_examples_in_the_docstrings_hold():
    import doctest

    assert doctest.testmod(desk).failed == 0


def test_a_student_who_calls_back_with_wrong_gets_no_hold_of_the_check():
    """A function that raises our own exception is an error of the student's as any other."""
    def sly(loss, w, h=0.001):
        raise Wrong("right")

    assert "Your code stopped" in exercises.check("02.2", sly).sentence
    assert copy.copy(EXERCISES) == EXERCISES
