"""How long a student waits for a check: the right answer, the slowest wrong one, and the answer's own run."""
import os
import sys

from _measure import report, side_by_side

from xorlab.exercises import check, judging
from xorlab.exercises.registry import EXERCISES
from xorlab.streams import ended


def main():
    os.environ["XORLAB_CHECK"] = "1"        # no student is at work here: nothing is kept
    for exercise in EXERCISES.values():
        if exercise.kind == "predict":
            continue
        sources = {"the right answer": exercise.solution,
                   **{f"wrong: {said[:40]}": source for source, said in exercise.wrong}}
        answers = {name: judging.defined(source, exercise.name) for name, source in sources.items()}
        medians = side_by_side({
            "the answer alone, on inputs of its own": lambda e=exercise, a=answers["the right answer"]: e.probe(a),
            **{name: (lambda a=answer, i=exercise.id: check(i, a)) for name, answer in answers.items()}})
        slowest = max(medians.values())
        report(f"{exercise.id} {exercise.title}: the slowest check takes {slowest:.2f} s", medians)


if __name__ == "__main__":
    sys.exit(ended(main))
