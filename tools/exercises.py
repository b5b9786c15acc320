"""The table of exercises in docs/instructors.md: `python -m tools.exercises` writes it anew."""
import sys

import lab
from xorlab.exercises.registry import EXERCISES
from xorlab.files import replacing
from xorlab.streams import ended

PAGE = lab.HERE / "docs" / "instructors.md"
BEGIN, END = "<!-- exercises: python -m tools.exercises -->", "<!-- end of exercises -->"


def table() -> str:
    """Return the exercises as a table in Markdown, and what they come to."""
    lines = ["| exercise | what | kind | minutes | points |", "|---|---|---|---|---|"]
    lines += [f"| {e.id} | {e.title} | {e.kind} | {e.minutes} | {e.points or '-'} |" for e in EXERCISES.values()]
    every = EXERCISES.values()
    lines += ["", f"Together {len(every)} exercises, {sum(e.minutes for e in every)} minutes, "
                  f"{sum(e.points for e in every)} points. A prediction is noted and not graded."]
    return "\n".join(lines)


def with_table(page: str) -> str:
    """Return the page with the table between its marks.  Raises ValueError for a page without them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE.name} must hold the marks {BEGIN} and {END}, in this order")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main():
    with replacing(PAGE) as made:
        made.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(ended(main))
