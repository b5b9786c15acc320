"""One part of the trials of trust, and what the last run of each trial found."""
import datetime
import json
import platform
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

    def rows(self) -> list[dict]:
        """Return the rows of the trials there are, each of its last run on this kind of system, in their order."""
        known = {row["name"]: row for row in self.read()["rows"]} if self.record.exists() else {}
        return [known[name] for name in self.names() if name in known]

    def read(self) -> dict:
        """Return the record: the system that trials ran on, and a row for each with the date of its last run."""
        return files.read_json(self.record, "record")

    def try_all(self, names: list[str]) -> list[dict]:
        """Run trials by name, print a line for each, keep each row in the record, and return them."""
        found = []
        for row in self.run(names):
            print(f"{row['name']}: {row['problem'] or 'held'}", flush=True)
            found.append(row)
            self._keep({**row, "date": datetime.date.today().isoformat()})
        print(self.figures(found))
        return found

    def rest(self) -> list[str]:
        """Return the names of the trials that have not run yet, or whose promise did not hold."""
        held = {row["name"] for row in self.rows() if not row["problem"]}
        return [name for name in self.names() if name not in held]

    def _keep(self, row):
        system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
        same = self.record.exists() and self.read()["system"] == system
        known = {**{one["name"]: one for one in self.rows() if same}, row["name"]: row}
        rows = [known[name] for name in self.names() if name in known]
        with files.replacing(self.record) as made:
            lines = ",\n  ".join(json.dumps(one, ensure_ascii=False) for one in rows)
            made.write_text(f'{{"system": {json.dumps(system)},\n "rows": [\n  {lines}\n]}}\n', encoding="utf-8")
