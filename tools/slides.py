"""The lessons as slides, and the instructor's plans: `python3 lab.py slides [NN ...]`.

A deck is made of its lesson's own cells, by their slide tags:

    slide, subslide    begin a slide; one that begins without a heading of its own repeats the last one
    fragment           appears with the next key press
    -                  stays with the cell before
    notes              the speaker's, on the slide before
    skip               is not on the slides

and by cell tags: `output-slide` puts a cell's output on a slide of its own, `output-only` leaves its code out;
`layout-NAME` on the cell that begins a slide gives it one of the layouts of tools/layouts.py, with a headline of its
own and nothing that appears later.
"""
import base64
import re
import struct
import sys
from itertools import chain

from nbformat import from_dict
from nbformat.v4 import new_markdown_cell, new_notebook

import lab
from tools import chromium, layouts, pages, plans, playgrounds
from xorlab import editions, look
from xorlab.files import make_folder, replacing
from xorlab.streams import ended

SLIDES = lab.HERE / "slides"
BEGINS = ("slide", "subslide")
NEVER_SHOWN = editions.STUDENTS | {"answer"}       # what students write, and what gives it away
# A figure stands beside its code where it has room there at its own size, and below it would not.
GAP = 50                            # pixels, as in slides.css
COLUMN_WIDTH = 10.9                 # pixels of a character of code
BESIDE_LINES = 4                    # lines of code, at least


def main(numbers):
    """Write decks of the lessons with these numbers, or of all and of the plans; return 1 if one cannot be made."""
    decks = []
    try:
        for deck in chain(write(SLIDES, pages.lessons(numbers)), [] if numbers else write_plans(SLIDES)):
            decks.append(deck)
            print(deck.relative_to(lab.HERE), flush=True)
    except lab.Problem as problem:
        print(f"slides: {problem}", file=sys.stderr)
        return 1
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
    for lesson in lessons:
        yield write_deck(folder / lesson.file, shown(lesson), lesson.title)


def write_plans(folder):
    """Write a deck for each of the instructor's plans into a folder and yield its path."""
    make_folder(folder)
    for plan in plans.read():
        yield write_deck(folder / plan.file, plans.slides(plan, shown), plan.title)


def write_deck(path, slides, title):
    """Write slides as a self-contained HTML file and return its path."""
    exporter = pages.exporter("slides")
    css = f":root {{ {look.css('light')} }} .question {{ {look.css('dark')} }}\n"
    css += pages.styles("lesson.css", "slides.css", "playground/playground.css")
    html = pages.render(exporter, deck(slides), "small", title=title, css=css, night=look.PAPER[1])
    with replacing(path) as new:
        new.write_text(playgrounds.with_module(pages.with_files_inside(html)), encoding="utf-8")
    return path


def write_index(folder):
    """Write an index of the decks that the folder holds."""
    decks = [(folder / lesson.file, lesson.title, lesson.minutes) for lesson in pages.lessons([])]
    decks += [(folder / plan.file, plan.title, 60 * plan.hours) for plan in plans.read()]
    entries = [{"file": deck.name, "title": title, "minutes": minutes,
                "pdf": deck.with_suffix(".pdf").name if deck.with_suffix(".pdf").exists() else None}
               for deck, title, minutes in decks if deck.exists()]
    note = "Right arrow: on. Left arrow: back. S: the speaker's notes. Escape: overview."
    with replacing(folder / "index.html") as path:
        path.write_text(pages.index("slides", note, entries), encoding="utf-8")


def deck(slides):
    """Return a notebook of the cells of slides in order, each with the number of its page."""
    for page, slide in enumerate(slides, 1):
        slide[-1].metadata["deck"]["page"] = page
    cells = [cell for slide in slides for cell in slide]
    for number, cell in enumerate(cells):
        cell["id"] = f"shown-{number}"      # a slide may show parts of one cell apart, and two lessons have equal ids
    return new_notebook(cells=cells)


def shown(lesson):
    """Return the slides of a lesson, each a list of cells with the marks that the template reads in `metadata.deck`.

    Raises lab.Problem, in one sentence that names the file, for a lesson that is damaged or has a slide that cannot be.
    """
    try:
        return _shown(lesson)
    except layouts.Unclear as problem:
        raise lab.Problem(f"{lesson.path.name}: {problem}") from None


def _shown(lesson):
    heading, found = "", []
    for slide in slides(lesson.notebook.cells):
        begins = slide[0].id
        if layouts.name(slide[0]) is None:
            if not slide[0].source.startswith(("# ", "## ")):
                slide.insert(0, new_markdown_cell(heading, metadata={"deck": {"again": True}}))
            heading = last_heading(slide) or heading
            marked = plain(slide)
        else:
            heading = layouts.own_heading(slide[0]) and f"## {layouts.own_heading(slide[0])}" or heading
            marked = laid_out(slide, lesson)
        marked[0].metadata["deck"].update(opens_slide=True, id=begins, here=look.colour_of_lesson(lesson.number))
        marked[-1].metadata["deck"].update(closes_slide=True, lesson=lesson.title)
        found.append(marked)
    return found


def slides(cells):
    """Return lists of the cells of one slide each, the speaker's notes last."""
    found = []
    for cell in cells:
        if slide_type(cell) == "skip" or NEVER_SHOWN & set(cell.metadata.get("tags", [])):
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
    metadata = {**cell.metadata, "slideshow": {"slide_type": kind}, "transient": {"remove_source": True}}
    return from_dict({**cell, "source": "", "metadata": metadata})


def laid_out(slide, lesson):
    """Return the cells of a slide that has a layout."""
    cells, name, note = [], layouts.name(slide[0]), layouts.said(slide[0]).get("note")
    for group, members in layouts.groups([cell for cell in slide if not is_notes(cell)], lesson):
        for cell in members:
            cell.metadata.setdefault("deck", {})
        members[0].metadata["deck"]["opens_group"] = group
        members[-1].metadata["deck"]["closes_group"] = True
        cells += members
    cells[0].metadata["deck"]["layout"] = name
    cells += [unfolded(cell) for cell in slide if is_notes(cell)]
    if note:
        cells.append(new_markdown_cell(note, metadata={"deck": {"notes": True}}))
    return cells


def plain(slide):
    """Return the cells of a slide without a layout."""
    fragments = []
    for cell in slide:
        cell.metadata["deck"] = dict(cell.metadata.get("deck", {}), beside=is_beside(cell))
        if is_notes(cell):
            unfolded(cell)
        elif slide_type(cell) == "fragment" or not fragments:
            fragments.append([cell])
        else:
            fragments[-1].append(cell)
    for fragment in fragments[1:]:
        fragment[0].metadata["deck"]["opens_fragment"] = True
        fragment[-1].metadata["deck"]["closes_fragment"] = True
    slide[0].metadata["deck"]["layout"] = "plain opening" if slide[0].source.startswith("# ") else "plain"
    return slide


def unfolded(cell):
    """Return the speaker's notes, folded in the lesson, open for the speaker."""
    cell.metadata["deck"] = {"notes": True}
    cell.source = re.sub(r"<summary>(.*?)</summary>", r"**\1**", re.sub("</?details>", "", cell.source))
    return cell


def is_beside(cell):
    """Does this code leave room for its figure at its side?"""
    lines = cell.source.splitlines()
    widths = [output.metadata.get("image/png", {}).get("width") or picture_size(output.data["image/png"])[0]
              for output in cell.get("outputs", []) if layouts.is_picture(output)]
    if len(widths) != 1 or len(lines) < BESIDE_LINES:
        return False
    return max(map(len, lines)) * COLUMN_WIDTH + GAP + widths[0] <= layouts.FRAME_WIDTH


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
    sys.exit(ended(main, sys.argv[1:]))
