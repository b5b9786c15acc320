"""Tables that read well in a terminal and in a notebook."""
import re
from dataclasses import dataclass
from html import escape

from xorlab import arguments
from xorlab.streams import printable

TIME = re.compile(r"[\d.]+ (?:ns|us|ms|s)")
LONGEST_TIME = len("1.23 ms")


@dataclass(frozen=True)
class Table:
    """Rows under a header. Cells are text already; numbers are formatted by whoever knows their unit.

    header : column titles.  rows : tuples of as many cells.  notes : sentences that stand below it.
    left : which columns are set to the left, the first by default; the others are set to the right.
    """
    header: tuple
    rows: tuple
    notes: tuple = ()
    left: tuple = (0,)

    def __post_init__(self):
        for name, value in (("header", self.header), ("rows", self.rows), ("notes", self.notes), ("left", self.left)):
            arguments.instance(name, value, tuple | list, "a tuple")
        for row in self.rows:
            arguments.instance("a row", row, tuple | list, "a tuple of cells")
        arguments.several("notes", self.notes, "sentences", str)
        if not self.header:
            raise ValueError("a table needs at least one column, got none")
        for column in self.left:
            arguments.whole("a column set to the left", column, 0, len(self.header) - 1)
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"a row needs {len(self.header)} cells under {self.header}, got {len(row)}: {row}")

    def __str__(self):
        lines = [tuple(map(printable, line)) for line in (self.header, *self.rows)]
        widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
        text = ["  ".join(cell.ljust(w) if i in self.left else cell.rjust(w)
                          for i, (cell, w) in enumerate(zip(line, widths, strict=True))) for line in lines]
        if len(widths) - 1 in self.left:
            text = [line.rstrip() for line in text]
        return "\n".join([text[0], "-" * (sum(widths) + 2 * len(widths) - 2), *text[1:], *self.notes])

    __repr__ = __str__

    def _repr_html_(self):
        def row(cells, tag):
            sides = ["left" if i in self.left else "right" for i in range(len(cells))]
            return "".join(f'<{tag} style="text-align:{side}">{escape(str(cell))}</{tag}>'
                           for cell, side in zip(cells, sides, strict=True))

        body = "".join(f"<tr>{row(cells, 'td')}</tr>" for cells in self.rows)
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return f"<table><thead><tr>{row(self.header, 'th')}</tr></thead><tbody>{body}</tbody></table>{notes}"


def _width(cell):
    """Return how wide a cell is; a time as the longest one, so that a faster computer's table has the same lines."""
    return max(len(cell), LONGEST_TIME) if TIME.fullmatch(cell) else len(cell)


def stacked(results):
    """Return the Table with the rows of several results under each other; all must have the same header.

    A note that several have in common stands once.
    """
    results = arguments.several("results", results, "results that have a table")
    if not results or not all(isinstance(result, Tabular) or callable(getattr(result, "table", None)) and not
                              isinstance(result, type) for result in results):
        raise TypeError(f"results must be one or more that have a table, got {arguments.shown(results)}")
    tables = [result.table() for result in results]
    headers = {table.header for table in tables}
    if len(headers) != 1:
        raise ValueError(f"only results with one and the same header can be stacked, got {len(headers)} headers")
    return Table(tables[0].header, tuple(row for table in tables for row in table.rows),
                 tuple(dict.fromkeys(note for table in tables for note in table.notes)))


class Tabular:
    """A result that shows itself as the Table that its method `table()` returns."""

    def __str__(self):
        return str(self.table())

    __repr__ = __str__

    def _repr_html_(self):
        return self.table()._repr_html_()
