"""What the slides and the site share: reading a lesson, turning its cells into HTML, an index."""
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
from jinja2 import Environment, FileSystemLoader
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter
from traitlets.config import Config

import lab

TEMPLATES = Path(__file__).resolve().parent / "templates"
# A widget needs a kernel, so what a page shows of an output is what comes first here.
SHOWN_KINDS = ["text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/latex", "text/plain"]


@dataclass(frozen=True)
class Lesson:
    """A stored lesson and what an index says of it."""

    path: Path

    @property
    def notebook(self):
        return nbformat.read(self.path, as_version=4)

    @property
    def file(self):
        return self.path.stem + ".html"

    @property
    def title(self):
        return re.match(r"# (.+)", self.notebook.cells[0].source).group(1)

    @property
    def minutes(self):
        found = re.search(r"About (\d+) minutes", self.notebook.cells[0].source)
        return int(found.group(1)) if found else None


def lessons(numbers):
    """Return the lessons with these numbers, or all.  Raises lab.Problem where there is no such lesson."""
    return [Lesson(path) for path in [lab.lesson(number) for number in numbers] or lab.lessons()]


def exporter(template):
    """Return nbconvert's exporter with a template of this project."""
    return HTMLExporter(
        template_name=template, extra_template_basedirs=[str(TEMPLATES)], extra_template_paths=[str(TEMPLATES)],
        exclude_anchor_links=True, exclude_input_prompt=True, exclude_output_prompt=True,
        config=Config({"NbConvertBase": {"display_data_priority": SHOWN_KINDS}}),
    )


def render(exporter, notebook, **facts):
    """Return a notebook as HTML; `facts` are what the template reads as `resources.NAME`.

    Links between lessons become links between pages.
    """
    formulas = any("$" in cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    html, _ = exporter.from_notebook_node(notebook, resources=dict(facts, formulas=formulas))
    return re.sub(r'(href="\d\d-[\w-]+)\.ipynb\b', r"\1.html", html)


def with_files_inside(html):
    """Replace each mark `/*inline NAME*/` by the file of that name under templates/."""
    def content(mark):
        return (TEMPLATES / mark.group(1)).read_text(encoding="utf-8")

    return re.sub(r"/\*inline ([\w./-]+)\*/", content, html)


def styles(*names):
    """Return style sheets of templates/ as one, with the colours of highlighted code."""
    sheets = [HtmlFormatter(style="xcode").get_style_defs(".highlight")]
    return "\n".join(sheets + [(TEMPLATES / name).read_text(encoding="utf-8") for name in names])


def index(heading, note, entries):
    """Return an index page; each entry has a file and a title, and may have minutes and a pdf."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    return environment.get_template("index.html.j2").render(
        heading=heading, note=note, entries=entries, css=styles("lesson.css", "site.css"))
