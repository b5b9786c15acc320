"""The road at the head of each lesson, a picture in its first cell: `python -m tools.roads [NN ...]`.

JupyterLab shows an attachment only if it is a bitmap, pages and slides prefer the drawing, so both are attached. The
bitmap, which needs a Chromium to be made, has the drawing's digest in it: a test sees when one is older.
"""
import base64
import hashlib
import io
import re
import sys

import nbformat
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import lab
from tools import chromium, pages
from xorlab import look
from xorlab.files import replacing
from xorlab.streams import ended

FILE = "road.png"
PICTURE = re.compile(rf"!\[[^\]]*\]\(attachment:{re.escape(FILE)}\)\n*")
WIDTH, HEIGHT = 1000, 51


def main(numbers):
    """Put the road into the lessons with these numbers, or all; return 1 if that is not possible."""
    if chromium.find() is None:
        print("roads: drawing the road needs a Chromium or Chrome, and there is none here", file=sys.stderr)
        return 1
    try:
        lessons = pages.lessons(numbers)
        with chromium.browser() as browser:
            for lesson in lessons:
                print(lesson.path.name, "changed" if put(lesson, browser) else "unchanged", flush=True)
    except (lab.Problem, OSError) as problem:
        print(f"roads: {problem}", file=sys.stderr)
        return 1
    return 0


def put(lesson, browser):
    """Put the road under a lesson's title; return whether the file changed."""
    if is_there(lesson):
        return False
    notebook, svg = lesson.notebook, drawing(lesson.number)
    first = notebook.cells[0]
    title, text = without(first).source.split("\n\n", 1)
    first.source = f"{title}\n\n![{look.road_in_words(lesson.number)}](attachment:{FILE})\n\n{text}"
    first["attachments"] = {FILE: {"image/png": encoded(bitmap(svg, browser)), "image/svg+xml": encoded(svg.encode())}}
    with replacing(lesson.path) as made:
        made.write_bytes((nbformat.writes(notebook).rstrip("\n") + "\n").encode())
    return True


def is_there(lesson):
    """Does a lesson's first cell show the road as it is drawn today?"""
    first, svg = lesson.notebook.cells[0], drawing(lesson.number)
    attached = first.get("attachments", {}).get(FILE, {})
    if f"![{look.road_in_words(lesson.number)}](attachment:{FILE})" not in first.source or not attached:
        return False
    picture = Image.open(io.BytesIO(base64.b64decode(attached.get("image/png", ""))))
    return attached.get("image/svg+xml") == encoded(svg.encode()) and picture.info.get("drawing") == digest(svg)


def without(cell):
    """Return a lesson's first cell without the road, for a page that draws its own."""
    cell = nbformat.from_dict(cell)
    cell.source = PICTURE.sub("", cell.source)
    cell.pop("attachments", None)
    return cell


def drawing(number):
    """Return a lesson's road as SVG on white paper, to be read in a dark JupyterLab too."""
    return look.road(number, width=WIDTH, paper=True)


def bitmap(svg, browser):
    """Return SVG as a PNG of at most 256 colours, with the drawing's digest as its text `drawing`."""
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    page.set_content(f'<body style="margin: 0">{svg.replace("<svg ", "<svg style=display:block ", 1)}')
    shot = page.screenshot(omit_background=True)
    page.close()
    text, stream = PngInfo(), io.BytesIO()
    text.add_text("drawing", digest(svg))
    Image.open(io.BytesIO(shot)).quantize(256, Image.Quantize.FASTOCTREE).save(stream, "PNG", optimize=True,
                                                                              pnginfo=text)
    return stream.getvalue()


def digest(svg):
    return hashlib.sha256(svg.encode()).hexdigest()


def encoded(content):
    return base64.b64encode(content).decode()


if __name__ == "__main__":
    sys.exit(ended(main, sys.argv[1:]))
