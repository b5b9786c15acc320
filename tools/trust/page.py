"""docs/trust.md, made of the parts and of the records of their last runs."""
from tools.trust.part import ROOT
from tools.trust.parts import PARTS
from xorlab import files

PAGE = ROOT / "docs" / "trust.md"
HEAD = """\
# What you can rely on

`python3 lab.py trust` tries all of this again and rewrites this page; `python3 lab.py trust NAME` tries one part.
"""


def page() -> str:
    """Return the page."""
    return "\n".join([HEAD, *map(_section, PARTS.values())])


def _section(part):
    record = part.read()
    failed = [f"- {row['name']}: {row['problem']}" for row in record["rows"] if row["problem"]]
    measured = f"{part.figures(record['rows'])} ({record['date']}, {record['system']}, {record['seconds']} s)"
    command = f"\n`python3 lab.py trust {part.name}`\n"
    return "\n".join([f"## {part.title}\n", part.promise, command, measured, *failed, ""])


def write() -> None:
    """Write the page, whole or not at all."""
    with files.replacing(PAGE) as made:
        made.write_text(page(), encoding="utf-8")
