"""Exercises: what a lesson asks, what it says to each answer, and how far a student has come.

    check("02.2", slope)    judges an answer     predict("02.3", guess)    takes a guess, to be compared later
    hint("02.2")            one step of help     solution("02.2")          one way to do it
    progress()              what is done

None of them raises for a student. Modules: exercise (what one is), judging (how an answer is run), record (what is
kept), one a lesson, registry (all of them), desk (what the student calls).
"""
from xorlab.exercises.desk import check, hint, predict, progress, solution

__all__ = ["check", "hint", "predict", "progress", "solution"]
