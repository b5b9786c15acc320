"""Try what XOR Lab promises: `python3 lab.py trust [PART] [NAME ...]`, all parts, one, or some trials of one."""
import sys

from tools.trust import page
from tools.trust.parts import PARTS
from xorlab.streams import ended


def main(arguments):
    """Run all parts, one, or some trials of one; return 1 if a promise did not hold."""
    name, trials = (arguments[0] if arguments else None), arguments[1:]
    if name is not None and name not in PARTS:
        print(f"trust: there is no part {name!r}; there are: {', '.join(PARTS)}", file=sys.stderr)
        return 1
    unknown = [trial for trial in trials if trial not in PARTS[name].names()]
    if unknown:
        names = ", ".join(PARTS[name].names())
        print(f"trust: {name} has no trial {unknown[0]!r}; there are: {names}", file=sys.stderr)
        return 1
    chosen = [PARTS[name]] if name else PARTS.values()
    rows = [row for part in chosen for row in part.try_all(trials or part.names())]
    if not trials:
        page.write()
    return int(any(row["problem"] for row in rows))


if __name__ == "__main__":
    sys.exit(ended(main, sys.argv[1:]))
