"""The lessons as a plain site that needs neither Jupyter nor a network: `python3 lab.py html`.

A page shows what a student may see: no teaching notes, and of an exercise its stub, not its solution.
"""
import html
import json
import re
import shutil
import sys

from PIL import Image

import lab
from tools import pages, playgrounds, roads
from tools.playgrounds import VIEW as WIDGET
from xorlab import editions, look
from xorlab.files import replacing_folder
from xorlab.streams import ended

SITE = lab.HERE / "html"
FORMULAS = pages.TEMPLATES / "vendor" / "mathjax"
TAG = r'<(?:[^>"]|"[^"]*")*>'       # an attribute may hold a >


def main(arguments):
    """Write the site and say where it is; return 1 if anything else was asked for, or it cannot be made."""
    if arguments:
        print(f"html: it writes every lesson and takes no arguments, got {' '.join(arguments)}", file=sys.stderr)
        return 1
    try:
        lessons = pages.lessons([])
        write(SITE, lessons)
    except lab.Problem as problem:
        print(f"html: {problem}", file=sys.stderr)
        return 1
    print(f"{len(lessons)} lessons: open {SITE.relative_to(lab.HERE)}/index.html in a browser")
    print(f"The playground, one file to hand to a class: {SITE.relative_to(lab.HERE)}/{playgrounds.ALONE}")
    return 0


def write(folder, lessons):
    """Write a page a lesson, an index, and the files that they share, in the place of what this wrote there before.

    Raises OSError, in one sentence, if the folder holds anything else.
    """
    with replacing_folder(folder) as site:
        sections, exporter = [], pages.exporter("page", exclude_anchor_links=False)
        for lesson in lessons:
            text = page(exporter, lesson, lessons)
            (site / lesson.file).write_text(text, encoding="utf-8")
            sections += sections_of(lesson, text)
        (site / "search.js").write_text(f"const SECTIONS = {json.dumps(sections, ensure_ascii=False)};\n",
                                        encoding="utf-8")
        note = "To run them, and for what is behind them, start python3 lab.py."
        (site / "index.html").write_text(
            pages.index("The lessons", note, lessons, film=film(), script="site.js", playground=playgrounds.ALONE),
            encoding="utf-8")
        (site / playgrounds.ALONE).write_text(playgrounds.page(pages.page_styles()), encoding="utf-8")
        (site / "site.css").write_text(pages.page_styles(), encoding="utf-8")
        for file in (pages.TEMPLATES / "site.js", FORMULAS / "tex-svg.js", pages.FILM, pages.STILL):
            shutil.copyfile(file, site / file.name)
        shutil.copyfile(FORMULAS / "LICENSE", site / "tex-svg.LICENSE")


def page(exporter, lesson, lessons):
    """Return a lesson's page, as one of these lessons.  Raises lab.Problem where it makes none."""
    at = [other.path for other in lessons].index(lesson.path)
    number = lesson.number
    facts = {
        "title": lesson.title, "lesson": lesson, "lessons": lessons,
        "before": lessons[at - 1] if at else None, "after": lessons[at + 1] if at + 1 < len(lessons) else None,
        "road": pages.road(number, 1000, 15, "wide") + pages.road(number, 350, 13, "narrow"),
        "here": f"light-dark({', '.join(look.colour_of_lesson(number, side) for side in look.SIDES)})",
    }
    try:
        shown = for_a_student(lesson.notebook)
    except editions.Malformed as problem:
        raise lab.Problem(f"{lesson.path.name}: {problem}") from None
    text = pages.render(exporter, shown, "full", **facts)
    text = re.sub(r'<a class="anchor-link" href="#[^"]*">[^<]*</a>', "", text)
    text = re.sub(r"(?s)(<table.*?</table>)", r'<div class="scroll">\1</div>', text)
    contents = "\n".join(f'<li><a href="#{anchor}">{re.sub(TAG, "", heading)}</a></li>'
                         for level, anchor, heading in headings(text) if level == "2")
    return playgrounds.with_module(text.replace("<!-- contents -->", contents))


def headings(text):
    """Return [(level, anchor, heading)] of a page's headings of the first two levels."""
    return re.findall(r'(?s)<h([12]) id="([^"]*)">(.*?)</h\1>', text)


def sections_of(lesson, text):
    """Return what the search looks through: [[file, lesson, anchor, heading, text]] of a page, answers left out."""
    main = re.search(r"(?s)<main.*?>(.*)</main>", text).group(1)
    told = re.sub(r"(?s)<details.*?</details>|<svg.*?</svg>|<script.*?</script>|\$\$.*?\$\$", "", main)
    pieces = re.split(r'(?s)<h[12] id="([^"]*)">(.*?)</h[12]>', told)
    return [[lesson.file, lesson.title, anchor, plain(heading), plain(body)]
            for anchor, heading, body in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True)]


def plain(text):
    return " ".join(html.unescape(re.sub(TAG, " ", text)).split())


def for_a_student(notebook):
    """Return the notebook as a page shows it: a student's edition, with the outputs of all but tasks and checks."""
    asked = {cell["id"]: editions.source(cell) for cell in editions.student(notebook)["cells"]}
    notebook.cells = [cell for cell in notebook.cells if cell.id in asked and not editions.is_note(cell)]
    for cell in notebook.cells:
        cell.source = asked[cell.id]
        if editions.is_students(cell):
            cell.outputs = []
    # the page draws the road itself, in its own colours and at a phone's width
    notebook.cells[0] = roads.without(notebook.cells[0])
    return without_controls(notebook)


def without_controls(notebook):
    """Return the notebook with a sentence in the place of each widget, which would need a kernel."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if WIDGET in output.get("data", {}) and not playgrounds.is_one(output):
                output.data = {"text/html": "<p><em>Here is a control that moves in JupyterLab.</em></p>"}
    return notebook


def film():
    """Return what the index shows of the film of the surfaces; its alt text is README's."""
    width, height = Image.open(pages.FILM).size
    alt = re.search(rf"!\[([^\]]*)\]\(docs/{pages.FILM.name}\)", pages.readme()).group(1)
    return {"file": pages.FILM.name, "still": pages.STILL.name, "width": width, "height": height, "alt": alt}


if __name__ == "__main__":
    sys.exit(ended(main, sys.argv[1:]))
