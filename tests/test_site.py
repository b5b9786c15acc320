"""The lessons as pages that need neither Jupyter nor a network, and the pictures of indexes and README."""
import json
import re

import nbformat
import numpy as np
import pytest
from browsing import IN_A_BROWSER, alt_texts, barriers, code, lesson_of, stored_alt_texts, text, visit
from bs4 import BeautifulSoup
from nbformat.v4 import new_markdown_cell, new_notebook, new_output
from PIL import Image

from tools import address, chromium, pages, pictures, roads, site, slides
from xorlab import files, look

LESSONS = pages.lessons([])
FILES = [lesson.file for lesson in LESSONS] + ["playground.html", "index.html"]
README = pages.readme()


@pytest.fixture(scope="module")
def browser():
    with chromium.browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def website(tmp_path_factory):
    folder = tmp_path_factory.mktemp("html") / "html"
    site.write(folder, LESSONS)
    return folder


def small_site(folder, *cells):
    """Write a site of one lesson with these cells; return its page."""
    lesson = pages.Lesson(lesson_of(folder, text("## A")))
    nbformat.write(new_notebook(cells=[text("# 01 Title"), *cells]), lesson.path)
    site.write(folder / "html", [lesson])
    return folder / "html" / lesson.file


def main_of(page):
    return re.search(r"(?s)<main.*</main>", page.read_text(encoding="utf-8")).group(0)


# What a page shows

@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.path.stem)
def test_every_picture_on_the_site_has_its_alt_text(website, lesson):
    assert alt_texts(website / lesson.file) == stored_alt_texts(site.for_a_student(lesson.notebook))


def test_every_link_on_the_site_leads_somewhere(website):
    anchors = {path.name: set(re.findall(r' id="([^"]+)"', path.read_text())) for path in website.glob("*.html")}
    for path in website.glob("*.html"):
        for target, anchor in re.findall(r'(?:href|src|srcset)="([^"#:]*)(?:#([^"]*))?"', path.read_text()):
            assert not target or (website / target).exists(), (path.name, target)
            assert not anchor or anchor in anchors[target or path.name], (path.name, target, anchor)


def test_links_between_lessons_become_links_between_pages(tmp_path):
    page = small_site(tmp_path, text("## A\n\n[n](02-next.ipynb), [there](02-next.ipynb#part), [code](lab.ipynb)"))
    assert re.findall(r'<a href="([^"]*)">', main_of(page)) == ["02-next.html", "02-next.html#part", "lab.ipynb"]


def test_a_page_has_its_road_the_other_lessons_and_its_own_contents(website):
    lesson = LESSONS[5]
    page = BeautifulSoup((website / lesson.file).read_text(encoding="utf-8"), "html.parser")
    roads = page.select("svg.road")
    assert [road["aria-label"] for road in roads] == [look.road_in_words("05")] * 2        # a phone shows the second
    menu = page.select(".menu a")
    assert [link["href"] for link in menu] == FILES[:-2]
    assert [link.text for link in menu if link.get("aria-current")] == [lesson.title]
    said = "\n".join(cell.source for cell in lesson.notebook.cells if cell.cell_type == "markdown")
    assert [link.text for link in page.select(".contents a")] == re.findall(r"(?m)^## (.+)$", said)
    assert [link["href"] for link in page.select(".ends a")] == [FILES[4], FILES[6]]


@pytest.mark.parametrize("number", look.STOPS)
def test_a_page_draws_its_road_in_the_colours_of_both_sides(number):
    drawn, colours = pages.road(number, 350, 13), pages.page_styles()
    asked = set(re.findall(r'"var\((--[\w-]+)\)"', drawn))
    assert not re.search(r"#[0-9a-f]{6}", drawn)
    for side in look.SIDES:
        pairs = re.findall(r"(--[\w-]+): light-dark\((#\w+), (#\w+)\)", colours)
        named = {name: pair[look.SIDES.index(side)] for name, *pair in pairs}
        again = re.sub(r"var\((--[\w-]+)\)", lambda found, named=named: named[found.group(1)], drawn)
        assert again.replace('class="road "', 'class="road"') == look.road(number, side=side, width=350, size=13)
    assert asked


def test_the_road_that_a_lesson_brings_along_is_shown_once(tmp_path):
    page = small_site(tmp_path)
    lesson = pages.Lesson(tmp_path / "01-small.ipynb")
    first = new_markdown_cell(f"# 01 Title\n\n![the road](attachment:{roads.FILE})\n\nAbout 3 minutes.")
    first.attachments = {roads.FILE: {"image/svg+xml": ["<svg></svg>"]}}
    nbformat.write(new_notebook(cells=[first]), lesson.path)
    site.write(tmp_path / "html", [lesson])
    assert "<img" not in main_of(page) and "About 3 minutes." in main_of(page)


# What a page keeps to itself

def test_a_page_shows_no_teaching_note_no_solution_and_no_verdict(tmp_path):
    task = code("def slope(w):\n    ### BEGIN SOLUTION\n    return 42 * w\n    ### END SOLUTION\n", tags=["task"],
                printed="your guess 17 is noted")
    check = code('check("01.1", slope)', tags=["check"], printed="right: well done")
    page = small_site(tmp_path, text("## Q"), task, check, text("secret of the teacher", "notes"),
                      code("1", printed="shown"))
    words = site.plain(main_of(page))
    assert "def slope ( w ): ..." in words and 'check ( "01.1" , slope )' in words and "shown" in words
    everything = page.read_text(encoding="utf-8") + (page.parent / "search.js").read_text(encoding="utf-8")
    for secret in ("42", "SOLUTION", "noted", "well done", "secret of the teacher"):
        assert secret not in everything


def test_a_lesson_without_tasks_keeps_its_teaching_notes_from_its_page_too(tmp_path):
    page = small_site(tmp_path, text("## Q"), text("secret of the teacher", "notes"), code("1", printed="shown"))
    assert "secret" not in page.read_text(encoding="utf-8") and "shown" in main_of(page)


def test_answers_are_folded_and_not_found_by_the_search(tmp_path):
    folded = text("<details><summary>Answers</summary>\n\nthe word is xylophone\n\n</details>")
    page = small_site(tmp_path, text("## Q"), folded, code("zeppelin = 1", tags=["answer"]))
    shown = re.sub(r"(?s)<details.*?</details>", "", main_of(page))
    found = (page.parent / "search.js").read_text(encoding="utf-8")
    for word in ("xylophone", "zeppelin"):
        assert word in main_of(page) and word not in shown and word not in found


def test_a_control_that_needs_a_kernel_becomes_a_sentence():
    cell = code("film")
    cell.outputs = [new_output("execute_result", {site.WIDGET: {}, "text/plain": "Film(12 frames)"}, execution_count=1)]
    changed = site.without_controls(new_notebook(cells=[cell]))
    assert "a control that moves in JupyterLab" in changed.cells[0].outputs[0].data["text/html"]


# In a browser

SIZES = """() => {
  const wide = box => box.scrollWidth > box.clientWidth + 1;
  const code = [...document.querySelectorAll('.highlight pre')].filter(wide).length;
  return {page: wide(document.documentElement), code};
}"""


@IN_A_BROWSER
@pytest.mark.parametrize("file", FILES)
def test_a_page_fits_screens_and_phones_and_needs_nothing_from_elsewhere(website, browser, file):
    page, strangers, complaints = visit(browser, website / file, (1000, 800))
    page.evaluate("() => window.MathJax?.startup.promise")
    raw = page.locator("p, li, td").filter(has_text="$").count()
    screen = page.evaluate(SIZES)
    page.set_viewport_size({"width": 390, "height": 844})
    # the playground draws itself anew in the frame after it hears of the width
    page.evaluate("() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    phone = page.evaluate(SIZES)["page"]
    unreachable = page.locator("pre, .scroll").evaluate_all(
        "all => all.filter(box => box.scrollWidth > box.clientWidth && box.tabIndex < 0).length")
    page.close()
    assert screen == {"page": False, "code": 0}
    assert (phone, unreachable, raw, strangers, complaints) == (False, 0, 0, [], [])


@IN_A_BROWSER
@pytest.mark.parametrize("file", FILES)
def test_a_page_keeps_no_reader_out(website, browser, file):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.route("**/tex-svg.js", lambda route: route.abort())        # formulas are left out
    page.goto((website / file).as_uri())
    found = barriers(page)
    page.close()
    assert found == []


@IN_A_BROWSER
@pytest.mark.parametrize(("fault", "rule"), [
    ('<a href="01-small.html"></a>', "link-name"),
    ('<p style="color: #999; background: white">pale</p>', "color-contrast"),
    ('<p style="color: #1c1c1c">as if the page were always light</p>', "color-contrast"),
])
def test_what_keeps_readers_out_is_found(browser, tmp_path, fault, rule):
    page, _, _ = visit(browser, small_site(tmp_path, text("## A\n\nGood, [a link](01-small.html).\n\n" + fault)))
    found = {rule for rule, _ in barriers(page)}
    page.close()
    assert found == {rule}


@IN_A_BROWSER
def test_a_deck_keeps_no_reader_out(browser, tmp_path):
    deck, = slides.write(tmp_path, LESSONS[5:6])
    page, _, _ = visit(browser, deck)
    found = barriers(page)
    page.close()
    assert found == []


@IN_A_BROWSER
def test_the_side_is_that_of_the_system_until_a_reader_chooses_and_then_stays(website, browser):
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto((website / FILES[1]).as_uri())
    ground = "() => getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(20, 23, 28)"               # look.PAPER, dark
    page.get_by_role("button", name="Light").click()
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    page.goto((website / FILES[2]).as_uri())
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    context.close()


@IN_A_BROWSER
def test_the_copy_button_gives_the_code_of_its_box(browser, tmp_path):
    source = "for i in range(2):\n    print(i)"
    page, _, complaints = visit(browser, small_site(tmp_path, code(source)))
    page.evaluate("() => { navigator.clipboard.writeText = async text => { window.copied = text; }; }")
    page.locator(".highlight").hover()
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    copied = page.evaluate("window.copied")
    page.close()
    assert (copied, complaints) == (source + "\n", [])


@IN_A_BROWSER
def test_the_search_leads_to_a_section_of_another_lesson(website, browser):
    page, strangers, complaints = visit(browser, website / FILES[1])
    page.keyboard.press("/")
    page.get_by_role("searchbox").fill("calibrated on the middle loses two corn")
    page.get_by_role("region", name="Results").get_by_role("link").first.click()
    page.wait_for_url("**/05-int8-checks.html#Calibrated-on-the-middle,-int8-loses-two-corners")
    page.get_by_role("searchbox").fill("xylophone corners")
    page.get_by_text("No section has all these words.").wait_for()
    page.keyboard.press("Escape")
    assert page.get_by_role("region", name="Results").count() == 0
    page.close()
    assert (strangers, complaints) == ([], [])


def test_the_search_knows_every_section(website):
    sections = json.loads((website / "search.js").read_text(encoding="utf-8").removeprefix("const SECTIONS = ")[:-2])
    for lesson in LESSONS:
        page = (website / lesson.file).read_text(encoding="utf-8")
        assert [section[2] for section in sections if section[0] == lesson.file] \
            == [anchor for _, anchor, _ in site.headings(page)]


# The indexes, and README

def test_an_index_has_a_lesson_s_road_picture_minutes_and_what_it_shows(website):
    index = (website / "index.html").read_text(encoding="utf-8")
    cards = re.findall(r'(?s)<li><img class="paper" src="data:image/png;base64,[^"]+"(.*?)</li>', index)
    assert len(cards) == len(LESSONS)
    for lesson, card in zip(LESSONS, cards, strict=True):
        assert f'<a href="{lesson.file}">{lesson.title}</a>' in card and f"{lesson.minutes} minutes" in card
        assert look.road_in_words(lesson.number) in card


def test_the_index_begins_as_the_readme_does(website):
    index = site.plain((website / "index.html").read_text(encoding="utf-8"))
    begins = re.search(r"\*\*(.+?)\*\*\n\n(.+)", README)
    assert begins.group(1) in index and begins.group(2) in index


def test_html_takes_no_arguments(capsys):
    assert site.main(["02"]) == 1
    assert capsys.readouterr().err == "html: it writes every lesson and takes no arguments, got 02\n"


def test_an_earlier_site_is_replaced_whole(tmp_path):
    folder = tmp_path / "html"
    with files.replacing_folder(folder) as made:
        (made / "99-gone.html").touch()
    site.write(folder, LESSONS[:1])
    assert not (folder / "99-gone.html").exists() and (folder / LESSONS[0].file).exists()


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.path.stem)
def test_a_lesson_s_small_picture_is_of_the_figure_that_is_stored(lesson):
    made = Image.open(pages.DOCS / "lessons" / f"{lesson.number}.png")
    assert made.info["source"] == pictures.digest(pictures.figure_of(lesson)), "run python -m tools.pictures lessons"
    assert f'<img src="docs/lessons/{lesson.number}.png"' in README


def test_the_film_loops_rests_on_its_end_and_is_small_enough_for_a_front_page():
    assert pages.FILM.stat().st_size < 400_000
    film = Image.open(pages.FILM)
    assert film.info["loop"] == 0 and film.n_frames == len(pictures.EPOCHS) + 2       # the end, and a still before all
    rests = []
    for i in range(1, film.n_frames):
        film.seek(i)
        rests.append(film.info["duration"])
    assert set(rests[:-1]) == {pictures.SHOWN_MS} and rests[-1] == pictures.END_MS
    last = film.convert("RGB").tobytes()
    assert last == Image.open(pages.FILM).convert("RGB").tobytes() == Image.open(pages.STILL).convert("RGB").tobytes()


def test_the_film_ends_with_the_network_of_lesson_05():
    """Codes of the end, by way of its picture: those of the committed net as whole numbers."""
    from xorlab import models
    from xorlab.plots import paper

    end = pictures.Moment.of(10_000, models.reference(pictures.NET))
    wanted = pictures.outlined(end.int8, paper.OUTPUT, 0, 1).astype(int)
    left, top = pictures.EDGE + pictures.SIDE + pictures.GAP, pictures.TOP
    shown = Image.open(pages.STILL).convert("RGB").crop((left, top, left + pictures.SIDE, top + pictures.SIDE))
    differ = (abs(wanted - pictures.np.asarray(shown)) > 8).any(axis=2)
    assert differ.mean() < 0.001        # training again gives other last bits, and those another code here and there


def test_a_moment_of_the_film_is_of_all_inputs_and_of_that_epoch():
    settings = {"seed": 1, "optimizer": "adam", "lr": 0.1, "epochs": 2, "loss": "mse"}
    first, last = pictures.moments([0], settings)
    assert (first.epoch, last.epoch) == (0, 2)
    assert first.floats.shape == first.int8.shape == (256, 256)
    assert 0 < abs(first.difference).max() < 0.05 and not (first.floats == last.floats).any()


def test_a_map_of_the_film_has_the_first_input_along_x_and_the_origin_at_the_lower_left():
    from xorlab.plots import paper

    z = np.zeros((2, 2))
    z[1, 0] = 1                                 # the first input 1, the second 0
    picture = pictures.coloured(z, paper.OUTPUT, 0, 1)
    red = [(picture[row, column] == picture[-1, -1]).all() for row, column in ((0, 0), (0, 1), (1, 0))]
    assert not any(red) and picture[-1, -1][0] > picture[-1, -1][2]


def test_unknown_pictures_get_a_sentence(capsys):
    assert pictures.main(["films"]) == 1
    assert capsys.readouterr().err == "pictures: it makes film and lessons, got films\n"


# The address

@pytest.mark.parametrize("page", [address.README, address.COLAB], ids=lambda page: page.stem)
def test_a_page_to_clone_or_install_from_has_the_address_of_the_citation_or_says_that_it_has_none(page):
    text = page.read_text(encoding="utf-8")
    assert address.CLONE.findall(text) == [address.address() or address.PLACEHOLDER]
    assert (address.EXPLAINED in text) == (address.address() is None)


def test_an_address_is_written_once_and_may_be_changed(tmp_path, monkeypatch):
    for name in ("README", "CITATION", "COLAB"):
        page = getattr(address, name)
        copy = tmp_path / page.name
        copy.write_bytes(page.read_bytes())
        monkeypatch.setattr(address, name, copy)
    for where in ("https://example.org/a/first", "https://example.org/b/second"):
        assert address.main([where]) == 0
        readme = address.README.read_text(encoding="utf-8")
        assert address.address() == where
        assert f"git clone {where} xor-lab\n" in readme and address.PLACEHOLDER not in readme
        assert f'"xorlab @ git+{where}"\n' in address.COLAB.read_text(encoding="utf-8")
    assert "first" not in address.CITATION.read_text() and address.CITATION.read_text().count("repository-code") == 1


@pytest.mark.parametrize("wrong", [[], ["github.com/a/b"], ["https://x/y"], ["https://a.org/b", "c"]])
def test_what_cannot_be_an_address_gets_a_sentence(wrong, capsys):
    before = README
    assert address.main(wrong) == 1
    assert capsys.readouterr().err.count("\n") == 1 and pages.readme() == before
