"""What changed since the last start?  Standard library only: lab.py says it before the lessons open.

CHANGELOG.md is the one source: each version's section begins with a paragraph "In short: ...", of at most three
sentences, and these are told once.
"""
import contextlib
import json
import re
from pathlib import Path

from xorlab import files

IN_SHORT = "In short: "
FIRST = "0.1.0"         # the version that left no record


def versions(changelog: str) -> dict[str, list[str]]:
    """Return {version: the sentences of its paragraph "In short"} of a changelog, the newest first.

    >>> versions("# Changelog\\n\\n## 0.2.0 (unreleased)\\n\\nIn short: one. Two.\\n\\n- more\\n")
    {'0.2.0': ['one.', 'Two.']}
    """
    parts = re.split(r"(?m)^## (\d[\w.]*).*$", changelog)[1:]
    return {version: _sentences(text) for version, text in zip(parts[::2], parts[1::2], strict=True)}


def _sentences(section):
    paragraph = section.strip().split("\n\n")[0]
    if not paragraph.startswith(IN_SHORT):
        return []
    return re.split(r"(?<=[.?!]) (?=[^a-z])", " ".join(paragraph.removeprefix(IN_SHORT).split()))


def told(changelog: Path, record: Path, used_before: bool) -> list[str]:
    """Return what to say at this start, and write into `record` that it was said: nothing where nothing changed.

    used_before : are there lessons of an earlier start?  Without them and without a record this is the first start,
    which is told nothing.  Where the changelog cannot be read, or the record not be written, a start goes on all the
    same.
    """
    try:
        known = versions(changelog.read_text(encoding="utf-8"))
        version = next(iter(known))
    except (OSError, ValueError, StopIteration):
        return []
    now = {"version": version, "told": known[version]}
    before = files.read_record(record)
    if before == now:
        return []
    with contextlib.suppress(OSError), files.replacing(record) as made:
        made.write_text(json.dumps(now, indent=1), encoding="utf-8")
    if not before and not used_before:
        return []
    return _lines(before, version, known)


def _lines(before, version, known):
    """Return the lines for those who had an earlier version, or earlier sentences of this one."""
    earlier = before.get("version", FIRST)
    heard = before.get("told") if isinstance(before.get("told"), list) else []
    new = [f"- {sentence}" for sentence in known[version] if sentence not in heard]
    if earlier == version and not new:
        return []
    between = list(known)[1:list(known).index(earlier)] if earlier in known else []
    also = f" What came between, {', '.join(between)}, is there too." if between else ""
    head = f"XOR Lab {version} has news:" if earlier == version else f"This is XOR Lab {version}; it was {earlier}."
    return [head, *new, f"All of it is told in CHANGELOG.md.{also}"]
