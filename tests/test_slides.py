"""Every deck, slide by slide, in a browser at 1280 x 720, and what decks are made of."""
import base64
import io
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from browsing import IN_A_BROWSER, alt_texts, code, lesson_of, stored_alt_texts, text, visit
from matplotlib import pyplot as plt
from nbformat.v4 import new_notebook, new_output

import lab
from tools import chromium, pages, slides
from xorlab import look

LESSONS = pages.lessons([])
SMALLEST = 14           # pixels, of any text as shown
# What the style's smallest text measures, in points: the numbers at the axes.
FIGURE_TEXT = 11

# Walks by right arrow from the first state of a deck to the last; returns for each slide what is wrong with it.
WALK = """async ({smallest, figureText}) => {
  if (window.MathJax) await MathJax.startup.promise;
  await Promise.all([...document.images].map(image => image.decode()));
  const place = () => { const i = Reveal.getIndices(); return `${i.h} ${i.v} ${i.f}`; };
  const press = code => document.dispatchEvent(new KeyboardEvent('keydown', {keyCode: code, bubbles: true}));

  const unseen = '.foot, .foot *, aside, aside *, svg *, mjx-assistive-mml, mjx-assistive-mml *';

  function dotsPerInch(image) {
    const bytes = atob(image.src.split(',')[1].slice(0, 4000));
    const at = bytes.indexOf('pHYs') + 4;
    if (at < 4) return NaN;
    const perMetre = [0, 1, 2, 3].reduce((sum, i) => sum * 256 + bytes.charCodeAt(at + i), 0);
    return perMetre * 0.0254;
  }

  function wrong(slide) {
    const frame = slide.querySelector('.frame'), style = getComputedStyle(frame), box = frame.getBoundingClientRect();
    const right = box.right - parseFloat(style.paddingRight), bottom = box.bottom - parseFloat(style.paddingBottom);
    const found = [];
    let low = 0, wide = 0;
    if (`${box.x} ${box.y} ${box.width} ${box.height}` !== '0 0 1280 720') found.push('the frame is not the screen');
    if (!frame.querySelector('h1, h2')) found.push('it has no heading');
    for (const element of frame.querySelectorAll(`:not(${unseen})`)) {
      const name = element.tagName.toLowerCase(), r = element.getBoundingClientRect();
      if (r.width === 0 && r.height === 0) continue;
      low = Math.max(low, r.bottom - bottom);
      wide = Math.max(wide, r.right - right, name === 'pre' ? element.scrollWidth - element.clientWidth : 0);
      const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
      if (own && parseFloat(getComputedStyle(element).fontSize) < smallest) found.push(`${name} has too small a font`);
      if (getComputedStyle(element).visibility !== 'visible') found.push(`a ${name} never appears`);
      // thumbnails and a title's picture are cut to where no letters are
      if (name === 'img' && !element.closest('.point, .frame.title')) {
        const scale = Math.min(r.width / element.naturalWidth, r.height / element.naturalHeight);
        // the road, the only drawing among pictures, has letters of 15 px
        const letters = element.src.startsWith('data:image/svg') ? 15 : figureText * dotsPerInch(element) / 72;
        const shown = letters * scale;
        if (!(shown >= smallest)) found.push(`text in a figure is shown at ${shown.toFixed(1)} px`);
      }
    }
    if ([...frame.querySelectorAll('p, li, td')].some(e => e.textContent.includes('$'))) found.push('a formula is raw');
    if (low > 1) found.push(`it is ${Math.ceil(low)} px too high`);
    if (wide > 1) found.push(`it is ${Math.ceil(wide)} px too wide`);
    return [...new Set(found)];
  }

  const seen = new Map();
  for (;;) {
    const before = place(), slide = Reveal.getCurrentSlide();
    seen.set(slide, wrong(slide));          // the last state of a slide stays: there all fragments must show
    press(39);
    if (place() === before) break;
  }
  const decks = Reveal.getSlides();
  return {
    walked: seen.size, slides: decks.length, atTheEnd: Reveal.isLastSlide(),
    problems: decks.flatMap((slide, i) => (seen.get(slide) || ['never reached']).map(
      problem => `slide ${i + 1} (${slide.querySelector('h1, h2')?.textContent}): ${problem}`)),
  };
}"""


@pytest.fixture(scope="module")
def decks(tmp_path_factory):
    """The folder with every deck."""
    folder = tmp_path_factory.mktemp("slides")
    list(slides.write(folder, LESSONS))
    return folder


@pytest.fixture(scope="module")
def browser():
    with chromium.browser() as browser:
        yield browser


def walk(page):
    return page.evaluate(WALK, {"smallest": SMALLEST, "figureText": FIGURE_TEXT})


@IN_A_BROWSER
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.path.stem)
def test_every_slide_fits_and_the_right_arrow_reaches_it(decks, browser, lesson):
    page, strangers, complaints = visit(browser, decks / lesson.file)
    result = walk(page)
    page.close()
    assert result["problems"] == []
    assert result["walked"] == result["slides"] and result["atTheEnd"]
    assert 12 <= result["slides"] <= 25
    assert strangers == []
    assert complaints == []


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.path.stem)
def test_every_deck_has_speaker_notes_with_a_time_and_a_question(lesson):
    notes = [cell.source for cell in lesson.notebook.cells if slides.is_notes(cell)]
    assert len(notes) >= 5
    for note in notes:
        assert re.search(r"<summary>Teaching note, \d+ min</summary>", note), note
    assert any("?" in note for note in notes)
    minutes = sum(int(re.search(r"(\d+) min", note).group(1)) for note in notes)
    assert abs(minutes - lesson.minutes) <= 0.4 * lesson.minutes


def test_no_text_in_a_figure_is_smaller_than_matplotlib_makes_it():
    """What the readability of figures on slides rests on: see FIGURE_TEXT."""
    sources = [*(path.read_text(encoding="utf-8") for path in (lab.HERE / "xorlab").rglob("*.py")),
               *(cell.source for lesson in LESSONS for cell in lesson.notebook.cells)]
    setting = re.compile(r"""(?:font_?|label)size["']?\s*[=:]\s*([^,)\s]+)""")
    sizes = [size for source in sources for size in setting.findall(source)]
    assert [size for size in sizes if not size.replace(".", "").isdigit() or float(size) < FIGURE_TEXT] == []


# What decks are made of

def deck_of(*cells):
    """Return the deck of a lesson of these cells."""
    lesson = SimpleNamespace(notebook=new_notebook(cells=list(cells)), number="01", title="01 Small", minutes=5,
                             path=lab.HERE / "notebooks" / "01-small.ipynb")
    return slides.deck(slides.shown(lesson))


def shown(*cells):
    """Return the slides of a deck as lists of (source, is it a fragment's first?), checking its brackets."""
    found, depth = [], 0
    for cell in deck_of(*cells).cells:
        marks = cell.metadata.deck
        if marks.get("opens_slide"):
            found.append([])
        depth += marks.get("opens_fragment", False)
        found[-1].append((cell.source, depth))
        depth -= marks.get("closes_fragment", False)
        assert depth in (0, 1)
    assert depth == 0
    return found


def test_a_deck_follows_the_slide_tags():
    assert shown(
        text("# T"), text("## A"), code("a", "fragment"), text("more", "-"), text("b", "fragment"), text("s", "skip"),
        text("## B", "subslide"), text("c", "-"),
    ) == [[("# T", 0)], [("## A", 0), ("a", 1), ("more", 1), ("b", 1)], [("## B", 0), ("c", 0)]]


def test_a_slide_without_a_heading_repeats_the_last_one():
    fence = "```\n# a comment\n```"
    deck = shown(text("# T"), code("t"), text("## A\n" + fence), code("a"), text("### B", "subslide"), text("## C"))
    assert [slide[0][0] for slide in deck] == ["# T", "## T", "## A\n" + fence, "## A", "## A", "## C"]


def test_notes_belong_to_the_slide_before_and_are_unfolded():
    note = "<details><summary>Teaching note, 2 min</summary>\n\nAsk.\n\n</details>"
    deck = deck_of(text("# T"), text(note, "notes"), code("a", "fragment"))
    assert [cell.source.strip() for cell in deck.cells] == ["# T", "a", "**Teaching note, 2 min**\n\nAsk."]
    assert deck.cells[-1].metadata.deck.closes_slide and deck.cells[1].metadata.deck.closes_fragment


def test_cell_tags_part_code_and_output():
    deck = deck_of(
        text("## A"), code("a", "fragment", "1", tags=["output-slide"]),
        code("b", "fragment", "2", tags=["output-only"]),
    )
    shown = [(cell.source, len(cell.get("outputs", [])), bool(cell.metadata.deck.get("opens_slide")))
             for cell in deck.cells]
    assert shown == [("## A", 0, True), ("a", 0, False), ("## A", 0, True), ("", 1, False), ("", 1, False)]


@pytest.mark.parametrize(("columns", "lines", "beside"), [(60, 4, True), (61, 4, False), (60, 3, False)])
def test_a_figure_stands_beside_code_that_leaves_it_room(columns, lines, beside):
    cell = code("\n".join(["x" * columns] * lines))
    cell.outputs = [new_output("display_data", {"image/png": png_of(460, 400)})]
    assert slides.is_beside(cell) == beside


def png_of(width, height):
    """Return a base64 PNG of this size, as matplotlib makes it."""
    figure = plt.figure(figsize=(width / 100, height / 100), dpi=100)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=100)
    plt.close(figure)
    return base64.b64encode(stream.getvalue()).decode()


@IN_A_BROWSER
@pytest.mark.parametrize(("cell", "problem"), [
    (code("\n".join(f"x{i} = {i}" for i in range(40))), "too high"),
    (code("x = '" + "long " * 40 + "'"), "too wide"),
    (code("print(x)", printed="y" * 200), "too wide"),
    (text("## A\n\n<table><tr><td>" + "w" * 200 + "</td></tr></table>"), "too wide"),
    (text('## A\n\n<p style="font-size: 11px">small</p>'), "too small a font"),
    (text('## A\n\n<p style="visibility: hidden">gone</p>'), "never appears"),
])
def test_a_slide_that_does_not_fit_is_found(browser, tmp_path, cell, problem):
    path = lesson_of(tmp_path, cell)
    deck, = slides.write(tmp_path, [pages.Lesson(path)])
    page, _, _ = visit(browser, deck)
    problems = walk(page)["problems"]
    page.close()
    assert len(problems) == 1 and problem in problems[0]


@IN_A_BROWSER
def test_a_figure_that_is_shown_too_small_is_found(browser, tmp_path):
    cell = code("plot()")
    cell.outputs = [new_output("display_data", {"image/png": png_of(2000, 400)})]
    deck, = slides.write(tmp_path, [pages.Lesson(lesson_of(tmp_path, cell))])
    page, _, _ = visit(browser, deck)
    problem, = walk(page)["problems"]
    page.close()
    # 2,000 pixels are shown in 1168, the frame's width without its margins
    assert f"{FIGURE_TEXT * 100 / 72 * 1168 / 2000:.1f} px" in problem


@IN_A_BROWSER
def test_s_opens_the_notes_of_the_slide_and_asks_nobody_else(decks, browser):
    page, strangers, complaints = visit(browser, decks / LESSONS[0].file)
    with page.expect_popup() as popup:
        page.keyboard.press("s")
    popup.value.on("request", lambda request: request.url.startswith("file:") or strangers.append(request.url))
    popup.value.get_by_text("Teaching note, 1 min").wait_for()
    popup.value.close()
    page.close()
    assert (strangers, complaints) == ([], [])


@IN_A_BROWSER
def test_a_deck_prints_a_page_a_slide(decks, browser, tmp_path):
    pdf = tmp_path / "deck.pdf"
    chromium.print_deck(browser, decks / LESSONS[0].file, pdf)
    count = len(re.findall(rb"/Type ?/Page\b", pdf.read_bytes()))
    assert count == len(re.findall(r"<section[ >]", (decks / LESSONS[0].file).read_text()))


def test_without_a_browser_a_sentence_says_that_there_are_no_pdfs(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(chromium, "find", lambda: None)
    slides.print_pdfs([tmp_path / "deck.html"])
    assert capsys.readouterr().out == "There is no Chromium or Chrome here, so no deck is printed as PDF.\n"


def test_a_browser_that_does_not_start_costs_the_pdfs_only():
    pytest.importorskip("playwright.sync_api")
    # in a process of its own: Playwright cannot start twice in one
    script = ("import sys; from pathlib import Path; from tools import chromium, slides; "
              "chromium.find = lambda: sys.executable; slides.print_pdfs([Path('deck.html')])")
    done = subprocess.run([sys.executable, "-c", script], cwd=lab.HERE, capture_output=True, text=True)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    assert done.stdout.startswith(f"No PDF: {sys.executable} does not start: ")


def test_an_unknown_lesson_gets_a_sentence(capsys):
    assert slides.main(["77"]) == 1
    assert "there is no lesson '77'" in capsys.readouterr().err


def test_a_cell_that_cannot_become_a_slide_stops_the_command_with_a_sentence(tmp_path, monkeypatch, capsys):
    path = lesson_of(tmp_path, text("no heading", tags=["layout-claim"]))
    monkeypatch.setattr(slides, "SLIDES", tmp_path / "slides")
    monkeypatch.setattr(pages, "lessons", lambda numbers: [pages.Lesson(path)])
    assert slides.main(["01"]) == 1
    assert "needs a headline" in capsys.readouterr().err
    assert list((tmp_path / "slides").iterdir()) == []


def test_the_index_names_the_decks_that_are_there(tmp_path):
    (tmp_path / LESSONS[1].file).touch()
    (tmp_path / LESSONS[1].file).with_suffix(".pdf").touch()
    (tmp_path / "plan-2-hours.html").touch()
    slides.write_index(tmp_path)
    index = (tmp_path / "index.html").read_text()
    assert re.findall(r'href="((?:\d|plan)[^"]+)"', index) == [
        LESSONS[1].file, LESSONS[1].path.stem + ".pdf", "plan-2-hours.html"]
    for title, minutes in (("XOR Lab in 2 hours", 120), (LESSONS[1].title, LESSONS[1].minutes)):
        assert re.search(rf">{title}</a>.*?>{minutes} minutes", index, re.S)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.path.stem)
def test_every_picture_on_the_slides_has_its_alt_text(decks, lesson):
    road = look.road_in_words(lesson.number)
    assert set(alt_texts(decks / lesson.file)) <= {*stored_alt_texts(lesson.notebook), road}
