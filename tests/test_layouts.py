"""Slides in layouts: what every deck of a rebuilt lesson obeys, and that each law is seen to be broken."""
import base64
import contextlib
import copy
import functools
import io
import os
import re
from collections import Counter
from pathlib import Path

import matplotlib
import nbformat
import numpy as np
import pytest
from browsing import IN_A_BROWSER, code, text, visit
from IPython.core.inputtransformer2 import TransformerManager
from nbformat.v4 import new_notebook, new_output
from PIL import Image, ImageChops

import lab
from tools import chromium, layouts, pages, slides

LESSONS = pages.lessons([])
EACH = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.path.stem)

SMALLEST = 17           # pixels, of any letter as shown
FIGURE_TEXT = 11        # points, of the style's smallest letters
FILLED = 0.35           # of a frame, by the box around its contents
INK = 0.02              # of its pixels that are not its ground
WORDS = 60              # outside code and tables
BEYOND = 4              # pixels past the margin: the box of a bold word may be taller than its line
CODE_LINES, CODE_COLUMNS, OUTPUT_LINES, TABLE_ROWS = 8, 45, 10, 7
HEADLINE_WORDS = range(3, 15)
TELLING = ("claim", "code", "answer")

# Fonts that come with matplotlib, so that each machine measures the same: one wider and one narrower than Helvetica,
# Arial and what else the style sheet asks for. What fits with both fits with those between.
FONTS = {
    "wide": {"sans": ("DejaVuSans", "DejaVuSans-Bold"), "mono": ("DejaVuSansMono", "DejaVuSansMono-Bold")},
    "narrow": {"sans": ("STIXGeneral", "STIXGeneralBol"), "mono": ("cmtt10", "cmtt10")},
}

# Returns for each slide what is measured on it, with all of it shown.
MEASURE = """({figureText}) => {
  const dots = image => {
    const bytes = atob(image.src.split(',')[1].slice(0, 4000)), at = bytes.indexOf('pHYs') + 4;
    return at < 4 ? NaN : [0, 1, 2, 3].reduce((sum, i) => sum * 256 + bytes.charCodeAt(at + i), 0) * 0.0254;
  };
  // with what stands in the shadow tree of a playground
  const within = root => [...root.querySelectorAll(
    ':not(aside, aside *, mjx-assistive-mml, mjx-assistive-mml *, style, script)')].flatMap(
    element => element.shadowRoot ? [element, ...within(element.shadowRoot)] : [element]);
  return Reveal.getSlides().map((slide, i) => {
    Reveal.slide(i);
    const frame = slide.querySelector('.frame'), style = getComputedStyle(frame);
    const bounds = {right: 1280 - parseFloat(style.paddingRight), bottom: 720 - parseFloat(style.paddingBottom)};
    const box = [1280, 720, 0, 0];
    let smallest = Infinity, beyond = 0;
    for (const element of within(frame)) {
      const r = element.getBoundingClientRect(), name = element.tagName.toLowerCase();
      if (r.width <= 1 || r.height <= 1) continue;        // or for screen readers only
      const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
      if (own) {
        const svg = element.ownerSVGElement;
        const scale = svg?.viewBox.baseVal?.width ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
        smallest = Math.min(smallest, parseFloat(getComputedStyle(element).fontSize) * scale);
      }
      if (element.closest('.foot')) continue;
      // thumbnails and the title's picture are cut to where no letters are
      if (name === 'img' && !element.closest('.point, .frame.title')) {
        const scale = Math.min(r.width / element.naturalWidth, r.height / element.naturalHeight);
        const shown = figureText * dots(element) / 72 * scale;
        smallest = Math.min(smallest, shown);
      }
      if (own || ['img', 'svg', 'pre', 'li', 'table', 'canvas'].includes(name)) {
        box[0] = Math.min(box[0], r.left); box[1] = Math.min(box[1], r.top);
        box[2] = Math.max(box[2], r.right); box[3] = Math.max(box[3], r.bottom);
        if (!element.closest('svg, mjx-container') || name === 'svg') {
          beyond = Math.max(beyond, r.right - bounds.right, r.bottom - bounds.bottom,
            name === 'pre' ? element.scrollWidth - element.clientWidth : 0);
        }
      }
    }
    const prose = frame.cloneNode(true);
    prose.querySelectorAll('pre, table, .foot, aside, svg, script, mjx-assistive-mml').forEach(part => part.remove());
    const words = prose.textContent.split(/\\s+/).filter(word => /[\\p{L}\\p{N}]/u.test(word)).length;
    return {smallest, beyond, words, filled: (box[2] - box[0]) * (box[3] - box[1]) / (1280 * 720)};
  });
}"""


READY = ("async () => { if (window.MathJax) await MathJax.startup.promise; await document.fonts.ready; "
         "await Promise.all([...document.images].map(image => image.decode())); }")


@pytest.fixture(scope="module")
def browser():
    with chromium.browser() as browser:
        yield browser


def measured(page):
    """Return what is measured on each slide of a deck that is open."""
    page.evaluate(READY)
    return page.evaluate(MEASURE, {"figureText": FIGURE_TEXT})


def wrong_sizes(measures):
    """Return {page: sentences} of what is wrong with slides as they are shown."""
    found = {}
    for number, m in enumerate(measures, 1):
        sentences = [
            *([f"letters of {m['smallest']:.1f} px"] if m["smallest"] < SMALLEST - 0.01 else []),
            *([f"{m['filled']:.0%} filled"] if m["filled"] < FILLED else []),
            *([f"{m['words']} words"] if m["words"] > WORDS else []),
            *([f"{m['beyond']:.0f} px beyond its frame"] if m["beyond"] > BEYOND else []),
        ]
        if sentences:
            found[number] = sentences
    return found


def ink(browser, deck):
    """Return for each slide the share of its pixels that are not its ground, which its corner shows.

    All are taken in one picture of the deck as it is printed, a slide a page.
    """
    page = browser.new_page(viewport={"width": 1280, "height": 720}, device_scale_factor=0.5)
    chromium.lay_out(page, deck.as_uri())
    page.evaluate(READY)
    tops = page.locator(".pdf-page").evaluate_all("all => all.map(page => page.getBoundingClientRect().top / 2)")
    # a JPEG, of half as many pixels a side: letters have a little more ink, and it takes a quarter of the time
    pictures = Image.open(io.BytesIO(page.screenshot(type="jpeg", quality=90, full_page=True)))
    page.close()
    return [inked(pictures.crop((0, round(top), 640, round(top) + 359))) for top in tops]


def inked(picture):
    ground = Image.new("RGB", picture.size, picture.getpixel((2, 2)))
    farthest = functools.reduce(ImageChops.lighter, ImageChops.difference(picture, ground).split())
    return sum(farthest.histogram()[25:]) / (picture.width * picture.height)


def use_fonts(page, fonts):
    """Show a deck in these fonts, whatever the machine has."""
    rules = []
    for family, files in FONTS[fonts].items():
        for file, weight in zip(files, (400, 700), strict=True):
            content = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{file}.ttf").read_bytes()
            rules.append(f"@font-face {{ font-family: {fonts}-{family}; font-weight: {weight}; "
                         f"src: url(data:font/ttf;base64,{base64.b64encode(content).decode()}); }}")
    rules.append(f":root {{ --sans: {fonts}-sans !important; --mono: {fonts}-mono !important; }}")
    page.add_style_tag(content="\n".join(rules))
    # a font loads when it is first needed, and only shown letters need it
    page.evaluate("name => Promise.all([`700 28px ${name}-sans`, `28px ${name}-sans`, `24px ${name}-mono`]"
                  ".map(font => document.fonts.load(font)))", fonts)


def wrong_slides(lesson):
    """Return a sentence for everything that is wrong with what a lesson's slides are made of."""
    whole = slides.slides(lesson.notebook.cells)
    shown = [kept(slide) for slide in whole]
    kinds = [layouts.name(slide[0]) for slide in shown]
    headlines = [headline(slide, lesson) for slide in shown]
    found = [f"slide {i} has no layout" for i, kind in enumerate(kinds, 1) if kind is None]
    if found:
        return found
    found += [f"two slides are headed {line!r}" for line, n in Counter(headlines).items() if n > 1]
    for i, (slide, kind, line) in enumerate(zip(shown, kinds, headlines, strict=True), 1):
        note = note_of(whole[i - 1])
        following = kinds[i] if i < len(kinds) else None
        if kind in TELLING and (line.endswith("?") or len(line.split()) not in HEADLINE_WORDS):
            found.append(f"slide {i}: {line!r} is no claim")
        if kind != "title" and len(note.split()) < 8:
            found.append(f"slide {i}: no note")
        if kind == "question" and "Expected" not in note:
            found.append(f"slide {i}: its note does not say which answers to expect")
        if kind == "question" and following not in TELLING:
            found.append(f"slide {i}: a question, and no answer after it")
        found += [f"slide {i}: {sentence}" for sentence in too_much(slide, lesson)]
    return found


def kept(slide):
    return [cell for cell in slide if not slides.is_notes(cell)]


def headline(slide, lesson):
    """Return the line in the largest letters of a slide."""
    if layouts.name(slide[0]) is None:
        return ""
    made = (cell.source for _, cells in layouts.groups(slide, lesson) for cell in cells)
    return next((source.lstrip("# ") for source in made if source.startswith(("# ", "## "))), "")


def note_of(slide):
    notes = [re.sub("<[^>]*>|Teaching note, \\d+ min", "", cell.source) for cell in slide if slides.is_notes(cell)]
    return " ".join([layouts.said(slide[0]).get("note", ""), *notes]).strip()


def too_much(slide, lesson):
    groups = [cell for _, cells in layouts.groups(slide, lesson) for cell in cells if cell.cell_type == "code"]
    for cell in groups:
        lines = cell.source.splitlines()
        if len(lines) > CODE_LINES or max(map(len, lines), default=0) > CODE_COLUMNS:
            yield f"{len(lines)} lines of code, up to {max(map(len, lines))} columns"
        for output in cell.get("outputs", []):
            rows = output.get("data", {}).get("text/html", "").count("<tr") - 1
            if rows > TABLE_ROWS:
                yield f"a table of {rows} rows"
            if "text" in output and len(output.text.splitlines()) > OUTPUT_LINES:
                yield f"{len(output.text.splitlines())} lines of output"


# The laws

@EACH
def test_every_slide_has_a_layout(lesson):
    assert [slide[0].id for slide in slides.slides(lesson.notebook.cells) if layouts.name(slide[0]) is None] == []


@EACH
def test_headlines_claim_notes_say_what_to_expect_and_questions_are_answered(lesson):
    assert wrong_slides(lesson) == []
    assert 15 <= len(slides.slides(lesson.notebook.cells)) <= 25


@IN_A_BROWSER
@EACH
def test_slides_are_readable_and_full_enough_with_wide_and_narrow_letters(browser, tmp_path, lesson):
    deck, = slides.write(tmp_path, [lesson])
    shares = ink(browser, deck)
    page, _, _ = visit(browser, deck)
    assert len(shares) == page.evaluate("Reveal.getSlides().length")
    poor = {number: f"{share:.1%}" for number, share in enumerate(shares, 1) if share < INK}
    found = {}
    for fonts in FONTS:
        use_fonts(page, fonts)
        found[fonts] = wrong_sizes(measured(page))
    page.close()
    assert (found, poor) == ({fonts: {} for fonts in FONTS}, {})


@EACH
def test_short_code_does_what_the_lesson_does(lesson):
    assert wrong_twins(lesson.notebook.cells) == []


def wrong_twins(cells):
    """Run a lesson's code up to its last short form; return what the short forms do otherwise than their cells."""
    twins = [cell.id for cell in cells if "code" in layouts.said(cell)]
    found, space = [], {"__name__": "__main__", "display": lambda *_: None}
    for cell in cells:
        if not twins:
            break
        if cell.cell_type != "code":
            continue
        before = copied(space) if cell.id in twins else None
        run(cell.source, space)
        if before is not None:
            twins.remove(cell.id)
            old = set(before)
            printed = run(layouts.said(cell)["code"], before)
            found += [f"{cell.id}: {problem}" for problem in differing(cell, printed, old, before, space)]
    return [*found, *(f"{cell_id} is no cell of code" for cell_id in twins)]


def differing(cell, printed, old, short, long):
    for name in sorted(set(short) - old - {"__builtins__"}):
        if name not in long:
            yield f"the lesson has no {name}"
        elif not same(short[name], long[name]):
            yield f"{name} is another"
    stored = numbers("".join(output.get("text", "") for output in cell.outputs))
    for number in numbers(printed):
        match = next((text for text in stored if agrees(text, number)), None)
        if match is None:
            yield f"it prints {number}, and the lesson does not"
        else:
            stored.remove(match)
    if stored:
        yield f"it does not print {', '.join(stored)}"


def numbers(printed):
    """Return the numbers in a text, as they are written."""
    return re.findall(r"(?<![\w.])-?\d[\d,]*\.?\d*(?:e-?\d+)?", printed)


def agrees(stored, number):
    """Is a number, rounded to the digits that the lesson stores, the stored one?"""
    stored = stored.replace(",", "")
    decimals = len(stored.partition(".")[2])
    return abs(float(number.replace(",", "")) - float(stored)) <= 0.5001 * 10.0**-decimals * (decimals > 0)


def same(one, other):
    if isinstance(one, (int, float, str, bool, np.ndarray, np.generic, list, tuple)):
        return np.array_equal(np.asarray(one, dtype=object), np.asarray(other, dtype=object))
    return type(one) is type(other)


def copied(space):
    """Return a namespace with copies of what can be copied, so that running code twice trains nothing twice."""
    memo, made = {}, {}
    for name, value in space.items():
        try:
            made[name] = copy.deepcopy(value, memo)
        except Exception:       # modules, files, interpreters: these are shared
            made[name] = value
    return made


def run(source, space):
    """Run code in a namespace, in the lessons' folder; return what it printed."""
    here, printed = os.getcwd(), io.StringIO()
    os.chdir(lab.HERE / "notebooks")
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(TransformerManager().transform_cell(source), "lesson", "exec"), space)
    finally:
        os.chdir(here)
        matplotlib.pyplot.close("all")
    return printed.getvalue()


# Each law is seen to be broken

NOTE = "Expected: two of them. Ask whoever says three why, and wait."


def small(folder, *cells):
    """Write a lesson of these cells and return it."""
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    path = folder / "05-small.ipynb"
    title = text("# 05 Small\n\nAbout 5 minutes.", tags=["layout-title"], slide={"question": "Does it fit?"})
    nbformat.write(new_notebook(cells=[title, *cells]), path)
    return pages.Lesson(path)


def slide(layout, source="## A claim of five words", **says):
    return text(source, tags=[f"layout-{layout}"], slide={"note": NOTE, **says})


PLENTY = "\n\n".join(["Words that stand there, line after line."] * 6)
DRAWING = '<svg viewBox="0 0 200 200" width="100"><text y="99" font-size="20">x</text></svg>'
QUESTION, ANSWER = slide("question", "How many are right?"), slide("answer", "", number="2", counts="of four are right")


@pytest.mark.parametrize(("cells", "sentence"), [
    ([slide("claim"), slide("claim")], "two slides are headed"),
    ([slide("claim", "## Is it a claim?")], "is no claim"),
    ([slide("claim", "## Topic")], "is no claim"),
    ([slide("claim", note="Short.")], "no note"),
    ([slide("question", "How many?", note="Wait until all hands are up, then go on."), ANSWER], "answers to expect"),
    ([QUESTION, slide("question", "And now, how many?"), ANSWER], "no answer after it"),
    ([slide("claim"), QUESTION], "no answer after it"),
    ([slide("code"), code("x = 1\n" * 9, "-")], "9 lines of code"),
    ([slide("code"), code("x" * 46, "-")], "up to 46 columns"),
    ([slide("code"), code("x", "-", "y\n" * 11)], "11 lines of output"),
    ([text("## Of the old kind")], "slide 2 has no layout"),
])
def test_a_deck_that_breaks_a_law_is_found(tmp_path, cells, sentence):
    problems = wrong_slides(small(tmp_path, *copy.deepcopy(cells)))
    assert len(problems) == 1 and sentence in problems[0]


def test_a_table_of_eight_rows_is_found(tmp_path):
    cell = code("table", "-")
    cell.outputs = [new_output("display_data", {"text/html": f"<table>{'<tr><td>1</td></tr>' * 9}</table>"})]
    assert wrong_slides(small(tmp_path, slide("claim"), cell)) == ["slide 2: a table of 8 rows"]


def test_a_good_deck_is_accepted(tmp_path):
    recap = slide("recap", "## Remember\n\n- That.")
    lesson = small(tmp_path, slide("claim"), *copy.deepcopy([QUESTION, ANSWER]), recap)
    assert wrong_slides(lesson) == []


@IN_A_BROWSER
@pytest.mark.parametrize(("cell", "sentence"), [
    (slide("claim", text="A lone sentence."), "% filled"),
    (slide("claim", text=" ".join(["word"] * 61)), " words"),
    (slide("claim", text=PLENTY + '\n\n<p style="font-size: 16px">small</p>'), "letters of 16.0 px"),
    (slide("claim", text=f"{PLENTY}\n\n{DRAWING}"), "letters of 10.0 px"),
    (slide("claim", text="\n\n".join(["a"] * 20)), "beyond its frame"),
    (slide("claim", text=PLENTY + "\n\n```\n" + "y" * 100 + "\n```"), "beyond its frame"),
])
def test_a_slide_of_the_wrong_size_is_found(browser, tmp_path, cell, sentence):
    deck, = slides.write(tmp_path, [small(tmp_path, copy.deepcopy(cell))])
    page, _, _ = visit(browser, deck)
    use_fonts(page, "wide")
    problems = wrong_sizes(measured(page))
    page.close()
    assert list(problems) == [2] and any(sentence in problem for problem in problems[2]), problems


@IN_A_BROWSER
def test_a_slide_that_is_nearly_empty_has_too_little_ink(browser, tmp_path):
    empty, full = "&nbsp;\n\n" * 9 + "One.", PLENTY
    claims = [slide("claim", f"## A claim of {words} words", text=text) for words, text in ((2, empty), (36, full))]
    deck, = slides.write(tmp_path, [small(tmp_path, *claims)])
    _, poor, rich = ink(browser, deck)
    assert poor < INK < rich


@IN_A_BROWSER
def test_the_fonts_of_a_measurement_are_those_it_names(browser, tmp_path):
    """Words in wide letters are wider, and no machine's own font is taken for either."""
    deck, = slides.write(tmp_path, [small(tmp_path, slide("claim"))])
    widths = {}
    for fonts in FONTS:
        page, _, _ = visit(browser, deck)
        use_fonts(page, fonts)
        widths[fonts] = page.evaluate("""fonts => {
          const pen = document.createElement('canvas').getContext('2d');
          const width = font => { pen.font = font; return pen.measureText('nnnn').width; };
          return ['sans', 'mono'].map(kind => width(`100px ${fonts}-${kind}`));
        }""", fonts)
        page.close()
    assert widths["wide"][0] == pytest.approx(253.5, abs=1) and widths["wide"][1] == pytest.approx(240.8, abs=1)
    assert widths["narrow"][0] == pytest.approx(200, abs=1) and widths["narrow"][1] == pytest.approx(210, abs=2)


@pytest.mark.parametrize(("long", "short", "problem"), [
    ("x = 1\nprint(f'{x / 3:.3f}')", "x = 1\nprint(x / 3)", None),
    ("x = 1\nprint(x)", "print(1)", None),
    ("x = 1\nprint(x)", "x = 2\nprint(1)", "x is another"),
    ("x = 1\nprint(x)", "y = 1\nprint(1)", "the lesson has no y"),
    ("print(f'{1 / 3:.3f}')", "print(0.334)", "it prints 0.334"),
    ("print(1, 2)", "print(1)", "it does not print 2"),
])
def test_short_code_that_does_something_else_is_found(long, short, problem):
    cell = code(long, printed=run(long, {}), slide={"code": short})
    found = wrong_twins([cell])
    assert (found == []) if problem is None else (problem in found[0]), found


# What the layouts make of cells

@pytest.mark.parametrize(("cell", "sentence"), [
    (text("## A", tags=["layout-poster"]), "a slide has one layout of title, claim, code, question, answer, recap"),
    (text("## A", tags=["layout-claim", "layout-code"]), "got claim, code"),
    (text("no heading", tags=["layout-claim"]), "needs a headline"),
    (text("## A", tags=["layout-claim"], slide={"number": 3}), "got number"),
    (text("## A", tags=["layout-answer"], slide={"number": 3}), "needs a number and what it counts"),
    (text("## A", tags=["layout-code"]), "needs a cell of code"),
    (text("A?", tags=["layout-question"], slide={"choices": ["one"]}), "2 to 4 choices"),
    (text("## A\n" + "\n- b" * 5, tags=["layout-recap"]), "1 to 4 points, got 5"),
    (text("## A", tags=["layout-recap"], slide={"points": [{"text": "a", "picture": "gone"}]}),
     "has no picture in a cell gone"),
    (code("x", printed="1\n2\n", tags=["layout-claim"], slide={"headline": "A", "look": "3"}), "0 hold '3'"),
    (code("x", printed="1\n21\n", tags=["layout-claim"], slide={"headline": "A", "look": "1"}), "2 hold '1'"),
])
def test_a_cell_that_cannot_become_a_slide_gets_a_sentence(tmp_path, cell, sentence):
    with pytest.raises(lab.Problem, match=re.escape(sentence)):
        slides.shown(small(tmp_path, copy.deepcopy(cell)))


def test_tasks_checks_and_answers_of_exercises_are_never_projected(tmp_path):
    cells = [code("secret", "fragment", "right", tags=[tag]) for tag in ("task", "check", "compare", "answer")]
    deck, = slides.write(tmp_path, [small(tmp_path, slide("claim"), *cells)])
    assert "secret" not in deck.read_text() and "right</pre>" not in deck.read_text()


def test_the_row_to_look_at_is_marked_in_text_and_in_tables():
    cell = code("x", slide={"look": "b 2"})
    printed = layouts.attending(new_output("stream", name="stdout", text="a   1\nb   2\n"), cell)
    table = "<table><tr><td>a</td><td>1</td></tr><tr><td>b</td><td>2</td></tr></table>"
    rows = layouts.attending(new_output("display_data", {"text/html": table}), cell)
    assert printed.data["text/html"] == '<pre>a   1\n<mark class="look">b   2</mark>\n</pre>'
    assert rows.data["text/html"] == table.replace("<tr><td>b", '<tr class="look"><td>b')


def test_a_crop_is_cut_in_pixels_of_the_page():
    pixels = np.zeros((40, 80), np.uint8)
    pixels[10:20, 40:60] = 255                      # two stored pixels are one of the page
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    stored = base64.b64encode(stream.getvalue()).decode()
    made = Image.open(io.BytesIO(base64.b64decode(layouts.cut(stored, 40, (20, 5, 10, 5), None))))
    assert made.size == (20, 10) and np.asarray(made).min() == 255
    with pytest.raises(layouts.Unclear, match="leaves a picture of 40 x 20"):
        layouts.cut(stored, 40, (35, 0, 10, 5), None)
    with pytest.raises(layouts.Unclear, match="cuts out nothing"):
        layouts.cut(stored, 40, (20, 5, 10, 0.1), None)


def test_a_title_says_only_what_is_known_of_its_publication(monkeypatch, tmp_path):
    lesson = small(tmp_path)
    assert layouts.publication(lesson) == ["", "The XOR Lab authors", "MIT, CC-BY-4.0"]     # no git knows that file
    monkeypatch.setattr(layouts, "last_change", lambda _path: "2026-01-31")
    assert layouts.publication(lesson)[0] == "2026-01-31"
