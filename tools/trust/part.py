"""One part of the trials of trust, and what the last full run of it found."""
import datetime
import json
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from xorlab import files

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "docs" / "trust"


@dataclass(frozen=True)
class Part:
    """What is promised, how it is tried, and how the page tells it.

    name : what `lab.py trust NAME` runs; its record is docs/trust/NAME.json.
    title, promise : the heading and the paragraph of docs/trust.md.
    names : returns the names of all trials.
    run : takes names, yields a row for each trial: {"name", "problem", ...}; problem is "" if the promise held, else
        one sentence. Other keys are figures of the part's own.
    figures : takes rows, returns one sentence with the figures.
    """
    name: str
    title: str
    promise: str
    names: Callable[[], list[str]]
    run: Callable[[list[str]], Iterator[dict]]
    figures: Callable[[list[dict]], str]

    @property
    def record(self) -> Path:
        return RECORDS / f"{self.name}.json"

    def read(self) -> dict:
        """Return the record of the last full run: date, system, seconds, rows."""
        return json.loads(files.existing_file(self.record, "record").read_text(encoding="utf-8"))

    def try_all(self, names: list[str]) -> list[dict]:
        """Run trials by name, print a line for each, and return their rows; a run of all of them is kept."""
        started, rows = time.monotonic(), []
        for row in self.run(names):
            print(f"{row['name']}: {row['problem'] or 'held'}", flush=True)
            rows.append(row)
        print(self.figures(rows))
        if [row["name"] for row in rows] == self.names():
            self._keep(rows, round(time.monotonic() - started))
        return rows

    def _keep(self, rows, seconds):
        system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
        head = {"date": datetime.date.today().isoformat(), "system": system, "seconds": seconds}
        with files.replacing(self.record) as made:
            made.write_text(json.dumps(dict(head, rows=rows), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
