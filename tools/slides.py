"""The lessons as slides: `python3 lab.py slides [NN ...]`.

A deck is made of its lesson's own cells, by their slide tags:

    slide, subslide    begin a slide; one that begins without a heading of its own repeats the last one
    fragment           appears with the next key press
    -                  stays with the cell before
    notes              the speaker's, on the slide before
    skip               is not on the slides

and by two cell tags: `output-slide` puts a cell's output on a slide of its own, `output-only` leaves its code out.
"""
import base64
import re
import struct
import sys

from nbformat import from_dict
from nbformat.v4 import new_markdown_cell

import lab
from tools import chromium, pages
from xorlab.files import make_folder, replacing

SLIDES = lab.HERE / "slides"
BEGINS = ("slide", "subslide")
# A figure stands beside its code where it has room there at its own size, and below it would not.
FRAME_WIDTH, GAP = 1168, 50         # pixels, as in slides.css
COLUMN_WIDTH = 10.9                 # pixels of a character of code
BESIDE_LINES = 4                    # lines of code, at least


def main(numbers):
    """Write decks of the lessons with these numbers, or of all; return 1 if there is no such lesson."""
    try:
        lessons = pages.lessons(numbers)
    except lab.Problem as problem:
        print(f"slides: {problem}", file=sys.stderr)
        return 1
    decks = []
    for deck in write(SLIDES, lessons):
        decks.append(deck)
        print(deck.relative_to(lab.HERE), flush=True)
    print_pdfs(decks)
    write_index(SLIDES)
    print(f"Open {SLIDES.relative_to(lab.HERE)}/index.html in a browser; in a deck, S shows the speaker's notes.")
    return 0


def print_pdfs(decks):
    """Print decks as PDF beside them, or say why not."""
    if chromium.find() is None:
        print("There is no Chromium or Chrome here, so no deck is printed as PDF.")
        return
    try:
        with chromium.browser() as browser:
            for deck in decks:
                with replacing(deck.with_suffix(".pdf")) as pdf:
                    chromium.print_deck(browser, deck, pdf)
                print(deck.with_suffix(".pdf").relative_to(lab.HERE), flush=True)
    except OSError as error:
        print(f"No PDF: {error}")


def write(folder, lessons):
    """Write a self-contained HTML file a lesson into a folder and yield its path."""
    make_folder(folder)
    exporter, css = pages.exporter("slides"), pages.styles("lesson.css", "slides.css")
    for lesson in lessons:
        html = pages.render(exporter, deck(lesson.notebook), title=lesson.title, css=css)
        with replacing(folder / lesson.file) as path:
            path.write_text(pages.with_files_inside(html), encoding="utf-8")
        yield folder / lesson.file


def write_index(folder):
    """Write an index of the decks that the folder holds."""
    entries = []
    for lesson in pages.lessons([]):
        deck = folder / lesson.file
        pdf = deck.with_suffix(".pdf")
        if deck.exists():
            entries.append({"file": deck.name, "title": lesson.title, "minutes": lesson.minutes,
                            "pdf": pdf.name if pdf.exists() else None})
    note = "Right arrow: on. Left arrow: back. S: the speaker's notes. Escape: overview."
    with replacing(folder / "index.html") as path:
        path.write_text(pages.index("slides", note, entries), encoding="utf-8")


def deck(notebook):
    """Return the notebook with the cells to show, in order; `metadata.deck` says what each opens and closes."""
    heading, cells = "", []
    for slide in slides(notebook.cells):
        if not slide[0].source.startswith(("# ", "## ")):
            slide.insert(0, new_markdown_cell(heading, metadata={"deck": {"again": True}}))
        heading = last_heading(slide) or heading
        cells += marked(slide)
    notebook.cells = cells
    return notebook


def slides(cells):
    """Return lists of the cells of one slide each, the speaker's notes last."""
    found = []
    for cell in cells:
        if slide_type(cell) == "skip":
            continue
        for part in parts(cell):
            if slide_type(part) in BEGINS or not found:
                found.append([])
            found[-1].append(part)
    return [sorted(slide, key=is_notes) for slide in found]


def parts(cell):
    """Return what a deck shows of a cell: itself, or its code and its output apart."""
    tags = cell.metadata.get("tags", [])
    if "output-only" in tags:
        return [output_of(cell, slide_type(cell))]
    if "output-slide" in tags:
        return [from_dict({**cell, "outputs": []}), output_of(cell, "subslide")]
    return [cell]


def output_of(cell, kind):
    """Return a cell that shows another one's outputs only (`transient.remove_source` is nbconvert's way to say so)."""
    metadata = {"slideshow": {"slide_type": kind}, "transient": {"remove_source": True}}
    return from_dict({**cell, "id": cell.id + "-output", "source": "", "metadata": metadata})


def marked(slide):
    """Return the cells of a slide, with the marks that the template reads."""
    fragments = []
    for cell in slide:
        cell.metadata["deck"] = dict(cell.metadata.get("deck", {}), notes=is_notes(cell), beside=is_beside(cell))
        if is_notes(cell):
            # folded in the lesson, open for the speaker
            cell.source = re.sub(r"<summary>(.*?)</summary>", r"**\1**", re.sub("</?details>", "", cell.source))
        elif slide_type(cell) == "fragment" or not fragments:
            fragments.append([cell])
        else:
            fragments[-1].append(cell)
    for fragment in fragments[1:]:
        fragment[0].metadata["deck"]["opens_fragment"] = True
        fragment[-1].metadata["deck"]["closes_fragment"] = True
    slide[0].metadata["deck"].update(opens_slide=True, title=slide[0].source.startswith("# "))
    slide[-1].metadata["deck"]["closes_slide"] = True
    return slide


def is_beside(cell):
    """Does this code leave room for its figure at its side?"""
    lines = cell.source.splitlines()
    widths = [picture_size(output.data["image/png"])[0] for output in cell.get("outputs", [])
              if "image/png" in output.get("data", {})]
    if len(widths) != 1 or len(lines) < BESIDE_LINES:
        return False
    return max(map(len, lines)) * COLUMN_WIDTH + GAP + widths[0] <= FRAME_WIDTH


def picture_size(png):
    """Return (width, height) in pixels of a base64 PNG: the format has them in bytes 16 to 23."""
    return struct.unpack(">II", base64.b64decode(png[:32])[16:24])


def last_heading(slide):
    """Return the last heading on a slide as one of the second level, or None."""
    text = "\n".join(cell.source for cell in slide if cell.cell_type == "markdown")
    lines = re.sub("(?s)```.*?```", "", text).splitlines()
    return next(("## " + line.lstrip("# ") for line in reversed(lines) if line.startswith(("# ", "## "))), None)


def slide_type(cell):
    return cell.metadata.get("slideshow", {}).get("slide_type", "-")


def is_notes(cell):
    return slide_type(cell) == "notes"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
