"""What a student calls: check, predict, hint, solution, progress.  None raises, save `check` where work is graded."""
import functools
import os
from collections.abc import Callable
from pathlib import Path

from xorlab.exercises import judging, record
from xorlab.exercises.exercise import Exercise, Verdict, Wrong
from xorlab.exercises.registry import EXERCISES
from xorlab.tables import Table

_guesses: dict[str, object] = {}        # of this session
_hints_given: dict[str, int] = {}
ADVICE = 'For help, type `hint("{}")` in a cell of your own.'
USES = {"check": 'check("02.2", slope)', "predict": 'predict("02.3", guess)', "hint": 'hint("02.2")',
        "solution": 'solution("02.2")', "progress": "progress()"}


class NotRight(AssertionError):
    """Raised by `check` where nbgrader grades, for that is how it takes points away."""


def _in_sentences(call: Callable) -> Callable:
    """Let a call that makes no sense end in a sentence and not in an error, for a student's sake."""
    @functools.wraps(call)
    def spoken(*arguments, **options):
        try:
            return call(*arguments, **options)
        except NotRight:
            raise
        except Exception as error:
            said = Verdict(call.__name__, "not understood", f"it is called like this: `{USES[call.__name__]}`. Python "
                                                            f"says {type(error).__name__}: {error}.")
            if os.environ.get("NBGRADER_EXECUTION") == "autograde" and call.__name__ == "check":
                raise NotRight(str(said)) from None
            return said

    return spoken


@_in_sentences
def check(identity: str, answer: object = ...) -> Verdict:
    """Judge an answer to an exercise and say: right; wrong, and why; or not tried yet.

    identity : of the exercise, e.g. "02.2".  answer : the student's function or values; functions are run, on copies.
    Never raises, unless the environment says NBGRADER_EXECUTION=autograde: then NotRight, unless the answer is right.

    >>> check("02.2", lambda loss, w, h=0.001: (loss(w + h) - loss(w - h)) / (2 * h)).word
    'right'
    """
    verdict = _verdict(identity, answer)
    if verdict.word in ("right", "wrong"):
        verdict = _with(verdict, _noted(identity, "right" if verdict.is_right else "tried"))
    if os.environ.get("NBGRADER_EXECUTION") == "autograde" and not verdict.is_right:
        raise NotRight(str(verdict))
    return verdict


def _verdict(identity, answer):
    exercise = _exercise(identity)
    if isinstance(exercise, Verdict):
        return exercise
    if exercise.kind == "predict":
        return Verdict(exercise.id, "no check here", f'this one takes a guess: `predict("{exercise.id}", guess)`.')
    if judging.is_stub(answer, exercise):
        advice = ADVICE.format(exercise.id)
        return Verdict(exercise.id, "not tried yet", f"put your answer in the place of `...`. {advice}")
    try:
        return Verdict(exercise.id, "right", exercise.judge(answer))
    except Wrong as wrong:
        return Verdict(exercise.id, "wrong", f"{wrong} {ADVICE.format(exercise.id)}")
    except Exception as error:          # an answer so odd that the check itself stumbles: no student is to blame
        return Verdict(exercise.id, "wrong", f"This answer can't be judged: {judging.short(answer)}. Python says "
                                             f"{type(error).__name__}: {error}. {ADVICE.format(exercise.id)}")


@_in_sentences
def predict(identity: str, guess: object = ...) -> Verdict:
    """Take a guess before an output is seen; called again without one, compare that guess with the output.

    Guesses count as done, not as right or wrong.

    >>> predict("02.3", 0.0164).word
    'noted'
    """
    exercise = _exercise(identity)
    if isinstance(exercise, Verdict):
        return exercise
    if exercise.kind != "predict":
        return Verdict(exercise.id, "no guess here", f'this one is checked: `check("{exercise.id}", {exercise.name})`.')
    if judging.is_stub(guess, exercise):
        if guess is ... and exercise.id in _guesses:
            return _compared(exercise, _guesses[exercise.id])
        return Verdict(exercise.id, "not tried yet", "put your guess in the place of `...`, then look at the output.")
    try:
        _guesses[exercise.id] = exercise.read(guess)
    except Wrong as wrong:
        return Verdict(exercise.id, "not noted", str(wrong))
    verdict = Verdict(exercise.id, "noted", f"your guess is {judging.short(guess)}. Now look at the output. "
                                            f'Then `predict("{exercise.id}")` compares the two.')
    return _with(verdict, _noted(exercise.id, "done"))


def _compared(exercise, guess):
    try:
        return Verdict(exercise.id, "your guess holds", exercise.judge(guess))
    except Wrong as wrong:
        return Verdict(exercise.id, "your guess and the output differ", str(wrong))


@_in_sentences
def hint(identity: str) -> Verdict:
    """Give the next hint: a nudge, then what must come out, then the way.

    >>> hint("02.2").word
    'hint 1 of 3'
    """
    exercise = _exercise(identity)
    if isinstance(exercise, Verdict):
        return exercise
    given = min(_hints_given.get(exercise.id, 0) + 1, len(exercise.hints))
    last = given == len(exercise.hints)
    _hints_given[exercise.id] = given
    after = f' That was the last one; `solution("{exercise.id}")` shows one way to do it.' if last else ""
    return Verdict(exercise.id, f"hint {given} of {len(exercise.hints)}", exercise.hints[given - 1] + after)


@_in_sentences
def solution(identity: str) -> None:
    """Print one way to do an exercise."""
    exercise = _exercise(identity)
    print(exercise if isinstance(exercise, Verdict) else exercise.solution.rstrip())


@_in_sentences
def progress(folder: str | Path = ".") -> Table | Verdict:
    """Return a table of the exercises and how far a student has come, by the file beside the notebook.

    In notebooks/ and where lessons are checked nothing is kept, and a sentence says so.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return Verdict("progress", "no such folder", f"there is no folder {folder}; give the one your lessons are in.")
    if not record.is_kept(folder):
        return Verdict("progress", "not kept here",
                       "in your own copy of the lesson, a table of what you've done stands here.")
    states, sentence = record.states(folder)
    words = {None: "-", "done": "guessed"}
    rows = tuple((exercise.id, exercise.title, f"{exercise.minutes} min",
                  words.get(states.get(identity), states.get(identity)))
                 for identity, exercise in EXERCISES.items())
    count = sum(states.get(identity) in ("right", "done") for identity in EXERCISES)
    notes = (f"{count} of {len(EXERCISES)} done.", *([sentence] if sentence else ()))
    return Table(("exercise", "what", "time", "so far"), rows, notes, left=(0, 1, 3))


def _exercise(identity) -> Exercise | Verdict:
    """Return the exercise, or the verdict that there is no such one."""
    if isinstance(identity, str) and identity in EXERCISES:
        return EXERCISES[identity]
    if callable(identity):
        return Verdict("no exercise", "not understood", f'the exercise comes first: `{USES["check"]}`.')
    if f"0{identity}" in EXERCISES or f"{identity}" in EXERCISES:
        meant = next(known for known in EXERCISES if known in (f"0{identity}", f"{identity}"))
        return Verdict(judging.short(identity), "no such exercise",
                       f'you may mean "{meant}", with quotes and both digits.')
    lesson = str(identity).split(".")[0]
    same = [known for known in EXERCISES if known.startswith(lesson + ".")] or list(EXERCISES)
    return Verdict(judging.short(identity), "no such exercise", f"there are {', '.join(same)}.")


def _noted(identity, state):
    return record.note(identity, state, Path.cwd())


def _with(verdict, sentence):
    return Verdict(verdict.id, verdict.word, f"{verdict.sentence} {sentence}") if sentence else verdict
