"""The lessons as a plain site that needs neither Jupyter nor a network: `python3 lab.py html`."""
import sys

import lab
from tools import pages
from xorlab.files import replacing

SITE = lab.HERE / "html"
STYLES = ("lesson.css", "site.css")
FORMULAS = pages.TEMPLATES / "vendor" / "mathjax"
WIDGET = "application/vnd.jupyter.widget-view+json"


def main(arguments):
    """Write the site and say where it is; return 1 if anything else was asked for."""
    if arguments:
        print(f"html: it writes every lesson and takes no arguments, got {' '.join(arguments)}", file=sys.stderr)
        return 1
    lessons = pages.lessons([])
    write(SITE, lessons)
    print(f"{len(lessons)} lessons: open {SITE.relative_to(lab.HERE)}/index.html in a browser")
    return 0


def write(folder, lessons):
    """Write a page a lesson, an index, and the files that they share, in the place of what the folder held."""
    exporter = pages.exporter("page")
    with replacing(folder) as site:
        site.mkdir()
        for before, lesson, after in zip([None, *lessons], lessons, [*lessons[1:], None], strict=False):
            html = pages.render(exporter, without_controls(lesson.notebook), title=lesson.title,
                                before=before, after=after)
            (site / lesson.file).write_text(html, encoding="utf-8")
        note = "To run them, and for what is behind them, start python3 lab.py."
        (site / "index.html").write_text(pages.index("lessons", note, lessons), encoding="utf-8")
        (site / "site.css").write_text(pages.styles(*STYLES), encoding="utf-8")
        (site / "tex-svg.js").write_bytes((FORMULAS / "tex-svg.js").read_bytes())
        (site / "tex-svg.LICENSE").write_bytes((FORMULAS / "LICENSE").read_bytes())


def without_controls(notebook):
    """Return the notebook with a sentence in the place of each widget, which would need a kernel."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if WIDGET in output.get("data", {}):
                output.data = {"text/html": "<p><em>Here is a control that moves in JupyterLab.</em></p>"}
    return notebook


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
