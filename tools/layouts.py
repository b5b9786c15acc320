"""The six layouts of slides: what the cells of a slide become under a tag `layout-NAME` on the first of them.

A slide is a list of groups, (name, cells); a group is a box that slides.css places. `metadata.slide` of a cell says
what its slide shows in the place of the cell's own text; KEYS lists what may stand there.
"""
import base64
import functools
import html
import io
import math
import re
import subprocess

import yaml
from nbformat import from_dict
from nbformat.v4 import new_markdown_cell, new_output
from PIL import Image

import lab
from xorlab import files, look

OF_ANY_CELL = {"text", "code", "look"}
KEYS = {            # of the cell that begins a slide
    "title": {"question", "picture", "crop"},
    "claim": {"headline", "note"} | OF_ANY_CELL,
    "code": {"headline", "note"} | OF_ANY_CELL,
    "question": {"headline", "note", "text", "choices"},
    "answer": {"headline", "note", "number", "counts"} | OF_ANY_CELL,
    "recap": {"headline", "note", "points"},
}
# Wide enough for code and its output at each other's side, in pixels and as in slides.css
FRAME_WIDTH, GAP, PADDING, COLUMN = 1168, 32, 40, 14.5
BESIDE_LINES = 4                # of an output, at least
LARGE_COLUMNS = 68              # at most, of what a claim shows in larger letters
ROAD_SIZE = 21
POINTS = 4
THUMBNAIL = 340                 # pixels, twice as large as it is shown


class Unclear(lab.Problem):
    """A cell that cannot become a slide; the sentence says why."""


def name(cell):
    """Return the layout that a cell's tag asks for, or None.  Raises Unclear for an unknown one."""
    names = [tag.removeprefix("layout-") for tag in cell.metadata.get("tags", []) if tag.startswith("layout-")]
    if not names:
        return None
    if len(names) > 1 or names[0] not in KEYS:
        raise Unclear(f"cell {cell.id}: a slide has one layout of {', '.join(KEYS)}; got {', '.join(names)}")
    return names[0]


def groups(slide, lesson):
    """Return [(name, cells)] of a slide, a list of cells without notes, of a lesson (pages.Lesson)."""
    layout = name(slide[0])
    check_keys(slide, layout)
    made = {"title": title, "claim": claim, "code": code, "question": question, "answer": answer, "recap": recap}
    return [(group, cells) for group, cells in made[layout](slide, lesson) if cells]


def title(slide, lesson):
    says = said(slide[0])
    facts = filter(None, publication(lesson))
    words = [raw(f'<div class="number">XOR Lab, lesson {lesson.number}</div>'),
             words_of(f"# {lesson.title.removeprefix(lesson.number).strip()}"),
             *([words_of(says["question"], "asks")] if "question" in says else []),
             *([raw(f'<div class="minutes">{lesson.minutes} minutes</div>')] if lesson.minutes else []),
             raw(f'<div class="facts">{html.escape(" · ".join(facts))}</div>')]
    return [("words", words), ("figure", picture_of(lesson, says)), ("road", [road(lesson)])]


def claim(slide, _lesson):
    drawn, printed = pictures(slide), results(slide)
    large = not drawn and columns(printed) <= LARGE_COLUMNS * COLUMN
    return [("head", [headline(slide)]), ("figure", drawn), ("results large" if large else "results", printed),
            ("words", texts(slide))]


def code(slide, _lesson):
    shown, printed, drawn = sources(slide), results(slide), pictures(slide)
    if not shown:
        raise Unclear(f"cell {slide[0].id}: a slide of the layout code needs a cell of code")
    fits = columns(shown) + columns(printed) + PADDING + GAP <= FRAME_WIDTH
    if fits and sum(len(lines_of(cell)) for cell in printed) >= BESIDE_LINES:
        return [("head", [headline(slide)]), ("left", shown + texts(slide)), ("right", printed), ("below", drawn)]
    return [("head", [headline(slide)]), ("whole", shown + printed), ("below", drawn), ("words", texts(slide))]


def question(slide, _lesson):
    says = said(slide[0])
    asked = says.get("headline") or re.sub(r"\*\*(Predict|Check|Try)[:.]?\*\*[:.]?", "", own_text(slide[0])).strip()
    asked = asked[:1].upper() + asked[1:]
    choices = says.get("choices", [])
    if choices and not 2 <= len(choices) <= 4:
        raise Unclear(f"cell {slide[0].id}: a question has 2 to 4 choices, or none; got {len(choices)}")
    turn = "Your turn: hands up" if choices else "Your turn: write down your guess"
    text = [words_of(says["text"])] if says.get("headline") and says.get("text") else []
    return [("head", [raw(f'<div class="turn">{turn}</div>'), words_of(f"## {asked}")]), ("words", text),
            ("figure", pictures(slide)), ("results", results(slide)),
            ("choices", [words_of("\n".join(f"1. {choice}" for choice in choices))] if choices else [])]


def answer(slide, _lesson):
    says = said(slide[0])
    if "number" not in says or "counts" not in says:
        raise Unclear(f"cell {slide[0].id}: an answer needs a number and what it counts")
    number = raw(f'<div class="number">{html.escape(str(says["number"]))}</div>')
    top = [("head", [headline(slide)])] if "headline" in says else []
    return [*top, ("words", [number, words_of(f"## {says['counts']}"), *texts(slide)]),
            ("figure", pictures(slide)), ("results", results(slide))]


def recap(slide, lesson):
    points = said(slide[0]).get("points") or [{"text": item} for item in re.findall(r"(?m)^- (.+)", slide[0].source)]
    if not 1 <= len(points) <= POINTS:
        raise Unclear(f"cell {slide[0].id}: a recap has 1 to {POINTS} points, got {len(points)}")
    return [("head", [headline(slide)]),
            *(("point", [*picture_of(lesson, point, THUMBNAIL), words_of(point["text"])]) for point in points),
            ("road", [road(lesson)])]


# What cells give

def said(cell):
    """Return what a cell says of its slide.  Raises Unclear for a value of another kind than the layouts take."""
    says = cell.metadata.get("slide", {})
    if not isinstance(says, dict):
        raise Unclear(f"cell {cell.id}: metadata.slide must be an object")
    for key, value in says.items():
        if not ARE.get(key, _is_text)(value):
            raise Unclear(f"cell {cell.id}: metadata.slide has a {key} that is not as layouts take it")
    return says


def _is_text(value):
    return isinstance(value, str)


def _is_number(value):
    return type(value) in (int, float) and abs(value) < 1e6


def _is_crop(value):
    return isinstance(value, list) and len(value) == 4 and all(map(_is_number, value)) and min(value[2:]) >= 1


def _is_point(value):
    return isinstance(value, dict) and _is_text(value.get("text")) and all(
        ARE.get(key, _is_text)(part) for key, part in value.items())


ARE = {"crop": _is_crop, "number": lambda value: _is_text(value) or _is_number(value),
       "choices": lambda value: isinstance(value, list) and all(map(_is_text, value)),
       "points": lambda value: isinstance(value, list) and all(map(_is_point, value))}


def check_keys(slide, layout):
    for cell in slide:
        allowed = KEYS[layout] if cell is slide[0] else OF_ANY_CELL
        if unknown := sorted(set(said(cell)) - allowed):
            raise Unclear(f"cell {cell.id}: metadata.slide of a {layout} slide may say "
                          f"{', '.join(sorted(allowed))} here; got {', '.join(unknown)}")


def headline(slide):
    found = said(slide[0]).get("headline") or own_heading(slide[0])
    if not found:
        raise Unclear(f"cell {slide[0].id}: its slide needs a headline: a heading, or metadata.slide.headline")
    return words_of(f"## {found}")


def own_heading(cell):
    found = re.match(r"##? (.+)", cell.source) if cell.cell_type == "markdown" else None
    return found and found.group(1)


def own_text(cell):
    """Return a markdown cell's text without the heading that it begins with."""
    return re.sub(r"\A##? .+\n*", "", cell.source)


def texts(slide):
    found = [(cell, said(cell).get("text", own_text(cell) if cell.cell_type == "markdown" else ""))
             for cell in slide]
    return [words_of(text, attachments=cell.get("attachments")) for cell, text in found if text.strip()]


def sources(slide):
    """Return the code cells without their outputs, in their short form where they have one."""
    return [from_dict({**cell, "source": said(cell).get("code", cell.source), "outputs": []}) for cell in slide
            if cell.cell_type == "code" and not has_tag(cell, "output-only")]


def results(slide):
    return [only(cell, [attending(output, cell) for output in kept]) for cell in slide
            if (kept := [output for output in shown_outputs(cell) if not is_picture(output)])]


def pictures(slide):
    return [only(cell, [output]) for cell in slide for output in shown_outputs(cell) if is_picture(output)]


def shown_outputs(cell):
    return [] if has_tag(cell, "code-only") else cell.get("outputs", [])


def is_picture(output):
    return "image/png" in output.get("data", {})


def has_tag(cell, tag):
    return tag in cell.metadata.get("tags", [])


def attending(output, cell):
    """Return an output with the one row marked that `look` of its cell names."""
    wanted = said(cell).get("look")
    if wanted is None:
        return output
    if "text/html" in output.get("data", {}):
        shown, row = output.data["text/html"], r"<tr>(?:(?!</tr>).)*</tr>"
    else:
        shown = f"<pre>{html.escape(output.get('text') or output.data['text/plain'])}</pre>"
        row = r"(?<=[\n>])[^\n<]+(?=[\n<])"
    rows = [found for found in re.finditer(f"(?s){row}", shown)
            if re.sub(r"\s+", " ", wanted) in re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", html.unescape(found[0])))]
    if len(rows) != 1:
        raise Unclear(f"cell {cell.id}: `look` must name one row of the output, but {len(rows)} hold {wanted!r}")
    start, end = rows[0].span()
    marked = (rows[0][0].replace("<tr>", '<tr class="look">', 1) if "<tr>" in rows[0][0]
              else f'<mark class="look">{rows[0][0]}</mark>')
    return new_output("display_data", {"text/html": shown[:start] + marked + shown[end:]})


def columns(cells):
    """Return how many pixels the longest line of code or of an output needs."""
    lines = [line for cell in cells for line in (cell.source.splitlines() + lines_of(cell))]
    return COLUMN * max(map(len, lines), default=0)


def lines_of(cell):
    """Return the lines that a cell's outputs print."""
    shown = [output.get("text") or output.data.get("text/plain") or re.sub("<[^>]*>", "", output.data["text/html"])
             for output in cell.get("outputs", [])]
    return "\n".join(shown).splitlines()


# Cells that are made

def words_of(source, role="", **more):
    more = {key: value for key, value in more.items() if value}
    return new_markdown_cell(source, metadata={"deck": {"role": role}}, **more)


def raw(markup):
    """Return a cell that the template shows as the HTML it is."""
    return new_markdown_cell("", metadata={"deck": {"html": markup}})


def only(cell, outputs):
    """Return a cell of these outputs alone (`transient.remove_source` is nbconvert's way to say so)."""
    return from_dict({**cell, "source": "", "outputs": outputs, "metadata": {"transient": {"remove_source": True}}})


def road(lesson):
    return raw(look.road(lesson.number, width=FRAME_WIDTH, size=ROAD_SIZE))


def picture_of(lesson, says, largest=None):
    """Return [a cell with the first picture of the cell that `picture` names, cut to `crop`], or []."""
    if "picture" not in says:
        return []
    cell = next((cell for cell in lesson.notebook.cells if cell.id == says["picture"]), None)
    shown = pictures([cell]) if cell is not None else []
    if not shown:
        raise Unclear(f"lesson {lesson.number} has no picture in a cell {says['picture']}")
    output = shown[0].outputs[0]
    width = output.metadata["image/png"].get("width")
    crop = tuple(says["crop"]) if says.get("crop") else None
    output.data = {"image/png": cut(output.data["image/png"], width, crop, largest)}
    output.metadata["image/png"].pop("width", None)
    return shown[:1]


@functools.lru_cache(maxsize=64)        # a deck asks for each more than once
def cut(png, width, crop, largest):
    """Return part of a base64 PNG: crop is (left, top, width, height) in pixels of a page, on which it is `width` wide.

    largest : pixels, the longer side of what is returned; None leaves it as it is.
    """
    try:
        with files.reading("a picture", "one that Pillow can read"):
            picture = Image.open(io.BytesIO(base64.b64decode(png)))
            picture.load()
    except ValueError as problem:
        raise Unclear(str(problem)) from None
    scale = picture.width / (width or picture.width)
    if crop:
        left, top, wide, high = (round(scale * number) for number in crop)
        if min(left, top) < 0 or left + wide > picture.width or top + high > picture.height:
            raise Unclear(f"crop {crop} leaves a picture of {picture.width / scale:.0f} x {picture.height / scale:.0f}")
        if min(wide, high) < 1:
            raise Unclear(f"crop {crop} cuts out nothing")
        picture = picture.crop((left, top, left + wide, top + high))
    if largest and max(picture.size) > largest:
        shrunk = largest / max(picture.size)
        size = [math.ceil(side * shrunk) for side in picture.size]
        picture = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS).quantize(256)
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()


# What a title says of its lesson

def publication(lesson):
    """Return what is known of date, authors and licences, each as a string or ""."""
    facts = yaml.safe_load((lab.HERE / "CITATION.cff").read_text(encoding="utf-8"))
    authors = ", ".join(author["name"] for author in facts["authors"])
    licences = facts["license"] if isinstance(facts["license"], list) else [facts["license"]]
    return [last_change(lesson.path) or str(facts.get("date-released", "")), authors, ", ".join(licences)]


@functools.cache
def last_change(path):
    """Return the day on which git last recorded a change of a file, or "" where there is no git or no record."""
    try:
        done = subprocess.run(["git", "log", "-1", "--format=%cs", "--", path.name], cwd=path.parent,
                              capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
