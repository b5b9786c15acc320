"""How a report is shown: as text of 100 columns, in a notebook, and as one HTML file that needs no other."""
import textwrap
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

from xorlab import files
from xorlab.streams import printable
from xorlab.tables import Table

WIDTH = 100
STYLE = """
:root { color-scheme: light dark; --line: #d0d4da; --quiet: #5b6470; }
@media (prefers-color-scheme: dark) { :root { --line: #3b4048; --quiet: #a3abb6; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 1.6rem 0 .4rem; }
div.part { overflow-x: auto; }
div.part + div.part { margin-top: 1.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--quiet); font-weight: 600; }
"""


@dataclass(frozen=True)
class Section:
    """A part of a report under a title, "" for none.

    parts : sentences, Tables, dicts {what: a sentence on it}, and pictures, which have `_repr_html_` and, for readers
    of text, `__str__`.
    """
    title: str
    parts: tuple


class Shown:
    """A result that shows itself by what its methods `title()` and `sections()` return.

    In text, tables that are too wide have long words cut; in HTML they are whole.
    """

    def title(self) -> str:
        raise NotImplementedError

    def sections(self) -> list[Section]:
        raise NotImplementedError

    def __str__(self):
        blocks = [f"{section.title}\n" * bool(section.title) + "\n\n".join(map(_text, section.parts))
                  for section in self.sections()]
        return "\n\n".join([filled(self.title()), *blocks])

    __repr__ = __str__

    def _repr_html_(self):
        return f"<p><b>{escape(self.title())}</b></p>{_body(self.sections(), 'h4')}"

    def page(self) -> str:
        """Return one HTML document, for light and dark screens, that loads nothing."""
        title = escape(self.title())
        return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
                f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
                f"<style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n{_body(self.sections(), 'h2')}\n"
                "</body></html>\n")

    def save_page(self, path) -> Path:
        """Write the page to a file, whole or not at all.  Raises OSError in one sentence if that fails."""
        path = Path(path)
        with files.replacing(path) as made:
            made.write_text(self.page(), encoding="utf-8")
        return path


def fitted(table: Table, width: int = WIDTH) -> Table:
    """Return a table whose columns of words, those set to the left, are cut until its text has this width.

    >>> print(fitted(Table(("name", "n"), (("a_rather_long_name", "1"),)), 15))
    name          n
    ---------------
    a_rat...name  1
    """
    table = replace(table, rows=tuple(tuple(map(printable, row)) for row in table.rows))     # as they will be shown
    widths = [max(len(line[i]) for line in (table.header, *table.rows)) for i in range(len(table.header))]
    while sum(widths) + 2 * len(widths) - 2 > width:
        widest = max(table.left, key=lambda i: widths[i])
        if widths[widest] <= 8:                         # less says nothing
            break
        widths[widest] -= 1
    rows = tuple(tuple(shortened(cell, widths[i]) if i in table.left else cell for i, cell in enumerate(row))
                 for row in table.rows)
    return replace(table, rows=rows, notes=tuple(map(filled, table.notes)))


def filled(sentence: str, **indents) -> str:
    """Return a sentence in lines of at most 100 characters."""
    return textwrap.fill(printable(sentence), WIDTH, break_on_hyphens=False, **indents)


def shortened(text: str, most: int) -> str:
    """Return a text, its middle cut out if it has more characters than `most` (>= 5).

    >>> shortened("model/conv2d/BiasAdd;model/conv2d/Conv2D", 20)
    'model/con...d/Conv2D'
    """
    left = (most - 2) // 2
    return text if len(text) <= most else f"{text[:left]}...{text[len(text) - (most - 3 - left):]}"


def counted(number: int, word: str) -> str:
    """Return a number of things.

    >>> counted(1, "input"), counted(65536, "input")
    ('1 input', '65,536 inputs')
    """
    return f"{number:,} {word}{'s' * (number != 1)}"


def shape_words(shape: tuple) -> str:
    """Return a shape as text.

    >>> shape_words((1, 49, 10, 1)), shape_words(())
    ('1x49x10x1', 'scalar')
    """
    return "x".join(map(str, shape)) or "scalar"


def _text(part):
    if isinstance(part, dict):
        room = max(map(len, part), default=0) + 2
        return "\n".join(filled(words, initial_indent=name.ljust(room), subsequent_indent=" " * room)
                         for name, words in part.items())
    if isinstance(part, Table):
        return str(fitted(part))
    return filled(part) if isinstance(part, str) else str(part)


def _body(sections, heading):
    return "\n".join(
        (f"<{heading}>{escape(section.title)}</{heading}>" if section.title else "")
        + "".join(f'<div class="part">{_html(part)}</div>' for part in section.parts) for section in sections)


def _html(part):
    if isinstance(part, dict):
        return Table(("", ""), tuple(part.items()), left=(0, 1))._repr_html_()
    return f"<p>{escape(part)}</p>" if isinstance(part, str) else part._repr_html_()
