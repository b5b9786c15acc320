"""docs/trust.md, made of the parts and of the records of their last runs."""
from tools.trust.part import ROOT
from tools.trust.parts import PARTS
from xorlab import files

PAGE = ROOT / "docs" / "trust.md"
HEAD = """\
# What you can rely on

`python3 lab.py trust` tries all of this again, which takes hours, and rewrites this page. `python3 lab.py trust NAME`
tries one part, and with `--rest` what of it has not run yet. Each trial keeps the date of its last run.
"""


def page() -> str:
    """Return the page."""
    return "\n".join([HEAD, *map(_section, PARTS.values())])


def _section(part):
    rows, names = part.rows(), part.names()
    told = "No trial ran yet."
    if rows:
        dates = sorted({row["date"] for row in rows})
        when = " to ".join(dict.fromkeys([dates[0], dates[-1]]))
        ran = f"{len(rows)} of {len(names)}" if len(rows) < len(names) else f"All {len(names)}"
        told = f"{ran} trials ran ({when}, {part.read()['system']}). {part.figures(rows)}"
    failed = [f"- {row['name']}: {row['problem']}" for row in rows if row["problem"]]
    command = f"\n`python3 lab.py trust {part.name}`\n"
    return "\n".join([f"## {part.title}\n", part.promise, command, told, *failed, ""])


def write() -> None:
    """Write the page, whole or not at all."""
    with files.replacing(PAGE) as made:
        made.write_text(page(), encoding="utf-8")
