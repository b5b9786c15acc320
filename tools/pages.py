"""What the slides and the site share: reading a lesson, turning its cells into HTML, an index."""
import base64
import json
import re
import secrets
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import nbformat
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from nbformat.v4 import new_notebook
from pygments.formatters import HtmlFormatter
from traitlets.config import Config

import lab
from tools import harmless, playgrounds
from xorlab import editions, files, look

DOCS = lab.HERE / "docs"
FILM, STILL = DOCS / "surfaces.png", DOCS / "surfaces-still.png"       # made by tools/pictures.py
TEMPLATES = Path(__file__).resolve().parent / "templates"
INLINE = secrets.token_hex(8)       # what a template's mark for a file says, and no lesson's text can
# A widget needs a kernel, so what a page shows of an output is what comes first here.
SHOWN_KINDS = ["text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/latex", "text/plain"]


@dataclass(frozen=True)
class Lesson:
    """A stored lesson and what an index says of it."""

    path: Path

    @property
    def notebook(self):
        """As it stands in its file; a copy for whoever asks, because slides and pages write into theirs."""
        return nbformat.from_dict(self._stored)

    @property
    def _stored(self):
        return _read(self.path, _state(self.path))

    @property
    def number(self):
        return self.path.name[:2]

    @property
    def file(self):
        return self.path.stem + ".html"

    @property
    def head(self):
        """The text of the first cell."""
        cells = self._stored.cells
        return cells[0].source if cells else ""

    @property
    def title(self):
        """What the first cell begins with.  Raises lab.Problem if that is no title."""
        found = re.match(r"# (.+)", self.head)
        if found is None:
            raise lab.Problem(f"{self.path.name} does not begin with a title, # and its words")
        return found.group(1)

    @property
    def minutes(self):
        found = re.search(r"About (\d+) minutes", self.head)
        return int(found.group(1)) if found else None


@lru_cache(maxsize=32)
def _read(path, _state):
    return read(path)


def _state(path):
    """Return what is other numbers once a file has changed, or None where there is none to read."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def read(path):
    """Return the notebook in a file, as nbformat has it.

    Raises lab.Problem, in one sentence, for one that is damaged, is not of format 4, or holds a picture or a playground
    that cannot be shown.
    """
    try:
        given = editions.read(path)
        ids = [json.dumps(cell.get("id")) for cell in given["cells"]]
        if len(set(ids)) < len(ids):                    # nbformat would give one of them another
            raise lab.Problem(f"{path.name}: two cells have one id, or none")
        with files.reading(path.name, "a notebook of format 4"):
            nbformat.validate(given, version=4)
    except (ValueError, OSError) as problem:
        raise lab.Problem(str(problem)) from None
    notebook = nbformat.v4.to_notebook(given)
    for number, cell in enumerate(notebook.cells):
        if "id" not in cell:
            raise lab.Problem(f"{path.name}: cell {number} has no id; save it with a JupyterLab of today")
        cell.metadata.pop("deck", None)                 # slides write there
        for output in cell.get("outputs", []):
            try:
                playgrounds.check(output)
            except ValueError as problem:
                raise lab.Problem(f"{path.name}: cell {cell.id} shows {problem}") from None
    return notebook


def lessons(numbers):
    """Return the lessons with these numbers, or all.

    Raises lab.Problem where there is no such lesson, and for one that is a link to a file elsewhere.
    """
    paths = [lab.lesson(number) for number in numbers] or lab.lessons()
    for path in paths:
        if not path.resolve().is_relative_to(path.parent.resolve()):
            raise lab.Problem(f"{path.name} is a link to {path.resolve()}; a page is made of lessons that stand in "
                              f"{path.parent.name}/ themselves")
    return [Lesson(path) for path in paths]


def exporter(template, **settings):
    """Return nbconvert's exporter with a template of this project."""
    return HTMLExporter(
        template_name=template, extra_template_basedirs=[str(TEMPLATES)], extra_template_paths=[str(TEMPLATES)],
        exclude_input_prompt=True, exclude_output_prompt=True,
        config=Config({"NbConvertBase": {"display_data_priority": SHOWN_KINDS}}),
        **{"exclude_anchor_links": True, **settings},
    )


def render(exporter, notebook, shape, **facts):
    """Return a notebook as HTML; `facts` are what the template reads as `resources.NAME`.

    Links between lessons become links between pages, and playgrounds, of this shape, come alive where
    playgrounds.with_module has put in the module.
    Raises lab.Problem for what would make the page load or run anything of the lesson's: see tools/harmless.py.
    """
    playgrounds.revive(notebook, shape)
    formulas = any("$" in cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    html, empty = (exporter.from_notebook_node(one, resources=dict(facts, formulas=formulas, inline=INLINE))[0]
                   for one in (notebook, new_notebook()))
    harmless.check(html, empty, facts["lesson"].path.name if "lesson" in facts else facts["title"])
    return re.sub(r'(href="\d\d-[\w-]+)\.ipynb\b', r"\1.html", html)


def with_files_inside(html):
    """Replace each mark `/*inline INLINE NAME*/` by the file of that name under templates/."""
    def content(mark):
        return (TEMPLATES / mark.group(1)).read_text(encoding="utf-8")

    return re.sub(rf"/\*inline {INLINE} ([\w./-]+)\*/", content, html)


def styles(*names):
    """Return style sheets of templates/ as one, with the colours of highlighted code."""
    sheets = [HtmlFormatter(style="xcode").get_style_defs(".highlight")]
    return "\n".join(sheets + [(TEMPLATES / name).read_text(encoding="utf-8") for name in names])


def page_styles():
    """Return the style sheet of pages and indexes, with the colours of xorlab.look for light and dark."""
    sides = (re.findall(r"(--[\w-]+): (#\w+);", look.css(side)) for side in look.SIDES)
    colours = " ".join(f"{name}: light-dark({light}, {dark});" for (name, light), (_, dark) in zip(*sides, strict=True))
    sheets = [(TEMPLATES / name).read_text(encoding="utf-8") for name in ("site.css", "playground/playground.css")]
    return "\n".join([f":root {{ {colours} }}", *sheets])


def road(number, width, size, kind=""):
    """Return a lesson's road as SVG whose colours are the variables of `page_styles`."""
    names = {colour: name for name, colour in re.findall(r"(--[\w-]+): (#\w+);", look.css("light"))}
    svg = look.road(number, width=width, size=size).replace('class="road"', f'class="road {kind}"')
    return re.sub(r'"(#[0-9a-f]{6})"', lambda found: f'"var({names[found.group(1)]})"', svg)


def index(heading, note, entries, **extras):
    """Return an index page; each entry has a file and a title, and may have minutes and a pdf.

    An entry whose file begins with a lesson's number also gets that lesson's road and picture, and what it shows.
    extras : what the template shows beside them, `film` and `script`.
    """
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    return environment.get_template("index.html.j2").render(
        heading=heading, note=note, entries=[card(entry) for entry in entries], story=story(), css=page_styles(),
        **extras)


def card(entry):
    """Return what an index shows of an entry, a dict or a Lesson."""
    facts = entry if isinstance(entry, dict) else {"file": entry.file, "title": entry.title, "minutes": entry.minutes}
    number = facts["file"][:2]
    if number not in look.STOPS:
        return facts
    return {**facts, "road": Markup(road(number, 350, 13)), "shows": shows(number), "picture": thumbnail(number)}


def story():
    """Return what the README begins with: {"claim": text, "told": HTML}."""
    claim, told = re.search(r"(?s)<!-- story -->\n\*\*(.+?)\*\*\n(.*?)<!-- end of story -->", readme()).groups()
    return {"claim": claim, "told": Markup(markdown2html(told))}


def shows(number):
    """Return what a lesson shows, as README's map of the lessons says it."""
    return re.search(rf"\[{number} [^\]]*\]\(notebooks/[^)]*\) \| \d+ \| (.*?) \|", readme()).group(1)


def readme():
    return (lab.HERE / "README.md").read_text(encoding="utf-8")


def thumbnail(number):
    """Return a lesson's small picture as a data URI; `python -m tools.pictures` makes it."""
    content = (DOCS / "lessons" / f"{number}.png").read_bytes()
    return "data:image/png;base64," + base64.b64encode(content).decode()
