"""Try what XOR Lab promises: `python3 lab.py trust [PART] [NAME ...] [--rest]`: all parts, one, or some of its trials.

--rest leaves out the trials that held when they last ran.
"""
import sys

from tools.trust import page
from tools.trust.parts import PARTS
from xorlab.streams import ended


def main(arguments):
    """Run all parts, one, or some trials of one; return 1 if a promise did not hold."""
    name, *trials = [argument for argument in arguments if argument != "--rest"] or [None]
    if name is not None and name not in PARTS:
        print(f"trust: there is no part {name!r}; there are: {', '.join(PARTS)}", file=sys.stderr)
        return 1
    unknown = [trial for trial in trials if trial not in PARTS[name].names()]
    if unknown:
        names = ", ".join(PARTS[name].names())
        print(f"trust: {name} has no trial {unknown[0]!r}; there are: {names}", file=sys.stderr)
        return 1
    rows = []
    for part in [PARTS[name]] if name else PARTS.values():
        rows += part.try_all(trials or (part.rest() if "--rest" in arguments else part.names()))
        page.write()
    return int(any(row["problem"] for row in rows))


if __name__ == "__main__":
    sys.exit(ended(main, sys.argv[1:]))
