"""What an exercise is, and what is said to an answer."""
import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

from xorlab import look

KINDS = ("predict", "write", "find")
EMPHASIS = re.compile(r"(?<![*\w`])[*]([^\s*](?:[^*`]*[^\s*`])?)[*](?![*\w`])")      # *word*, and no product


class Wrong(Exception):
    """An answer that is not right; the message is what the student reads."""


@dataclass(frozen=True)
class Exercise:
    """One exercise of a lesson.

    id : lesson and number, e.g. "02.2".  kind : "predict" (before an output), "write" (a function), "find" (values).
    minutes, points : for a student, and for grading (0 for a prediction).  title : a few words.
    name : what the task cell calls the answer.  stub, solution : the source of the answer there, for students and as
        solved; what else the cell does with it stays in the lesson.
    judge : takes a student's answer and returns a sentence on why it is right, or raises Wrong with the sentence on
        what is wrong. It computes what is expected by its own lines, and never calls the solution.
    hints : a nudge, what must come out, the way.
    wrong : plausible wrong answers, (source of the task cell, what the sentence must hold).
    probe : takes an answer and returns numbers (or words) that tell any two answers apart, on valid inputs of its own.
    read : takes a guess and returns it as `judge` wants it, or raises Wrong; for predictions.
    """
    id: str
    kind: str
    minutes: int
    points: int
    title: str
    name: str
    stub: str
    solution: str
    judge: Callable[[object], str]
    hints: tuple[str, str, str]
    wrong: tuple[tuple[str, str], ...]
    probe: Callable[[object], object]
    read: Callable[[object], object] = staticmethod(lambda guess: guess)

    @property
    def lesson(self) -> str:
        """The number of its lesson, e.g. "02"."""
        return self.id.split(".")[0]


@dataclass(frozen=True)
class Verdict:
    """What is said to an answer: a word or two, and a sentence.

    The sentence may have `code` and *emphasis* as in Markdown.
    """
    id: str
    word: str
    sentence: str

    @property
    def is_right(self) -> bool:
        return self.word == "right"

    def __str__(self):
        return f"{self.word} ({self.id}): {self._plain()}"

    __repr__ = __str__

    def _plain(self):
        return EMPHASIS.sub(r"\1", self.sentence)

    def _repr_html_(self):
        text = re.sub(r"`(.+?)`", r"<code>\1</code>", escape(self.sentence, quote=False))
        text = EMPHASIS.sub(r"<em>\1</em>", text).replace("\n", "<br>")
        edge = look.VERDICTS.get(self.word, look.NO_VERDICT)
        return (f'<div style="border-left: 5px solid {edge}; padding: 0.2em 0.8em">'
                f"<b>{self.word}</b> ({self.id}): {text}</div>")
