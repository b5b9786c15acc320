"""The playground where it stands, in Chromium: on a page opened from disk, on one of its own, and on a slide."""
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from browsing import IN_A_BROWSER, code, text, visit
from nbformat.v4 import new_notebook, new_output

from tools import chromium, pages, playgrounds, site, slides
from xorlab.playground import Playground, picture
from xorlab.playground import state as states

HOST = ".playground.runs .live"


@pytest.fixture(scope="module")
def browser():
    with chromium.browser() as browser:
        yield browser


def stored(preset, kind="-", **metadata):
    """Return a cell with the output of a playground, as a lesson keeps it."""
    cell = code(f'Playground("{preset}")', kind, **metadata)
    shown, about = Playground(preset)._repr_mimebundle_()
    shown.pop("application/vnd.jupyter.widget-view+json")
    cell.outputs = [new_output("execute_result", shown, metadata=about, execution_count=1)]
    return cell


def lesson():
    """Return a lesson with two playgrounds, and a slide with one."""
    cells = [text("# 01 Title"), text("## A start that gets stuck", tags=["layout-claim"], slide={"text": ""}),
             stored("stuck", tags=["output-only"]), text("## The other side", tags=["layout-claim"]),
             stored("textbook", "skip")]
    return SimpleNamespace(notebook=new_notebook(cells=cells), title="01 Title", number="01", minutes=5, file="01.html",
                           path=pages.lessons(["01"])[0].path)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The lesson's page, a page that is a playground alone, and a deck."""
    folder = tmp_path_factory.mktemp("places")
    own = lesson()
    page = site.page(pages.exporter("page"), own, [own])
    (folder / "page.html").write_text(page, encoding="utf-8")
    (folder / "site.css").write_text(pages.page_styles(), encoding="utf-8")
    (folder / "site.js").write_text("", encoding="utf-8")
    (folder / "alone.html").write_text(playgrounds.page(pages.page_styles()), encoding="utf-8")
    slides.write_deck(folder / "deck.html", slides.shown(lesson()), "Title")
    return folder


def opened(browser, path, size=(1280, 900), wanted=1):
    page, strangers, complaints = visit(browser, path, size)
    page.set_default_timeout(10_000)
    page.wait_for_function("n => document.querySelectorAll('.playground.runs').length === n", arg=wanted)
    return page, strangers, complaints


def to_its_slide(page):
    page.evaluate("() => Reveal.slide(Reveal.getSlides().findIndex(slide => slide.querySelector('.playground')))")
    page.wait_for_timeout(200)
    return page.evaluate("Reveal.getIndices().h")


def at(page, name, place=0):
    return page.locator(HOST).nth(place).locator(f'[data-playground="{name}"]')


def state(page, place=0):
    return page.evaluate("i => document.querySelectorAll('.playground .live')[i].shadowRoot.querySelector("
                         "'.xor-playground').playground.state()", place)


def assert_the_kernel_agrees(page, place=0):
    """The numbers on the screen are those that this package computes of the page's weights."""
    said = picture.counts(states.complete(state(page, place)))
    assert at(page, "corners", place).inner_text() == f"{said['right_int8']} of 4 corners"
    assert f"{said['changed']:,} change class" == at(page, "changed", place).evaluate("e => e.textContent")


def test_nothing_in_a_state_or_its_words_ends_the_element_that_carries_it():
    said = {"alt": 'a "net" <b>', "width": 10}
    made = playgrounds.place({"preset": "</script><b>"}, "", said, "full")
    assert made.count("</script>") == 1 and "<b>" not in made
    facts = re.search(r'<script type="application/json">(.*)</script>', made).group(1)
    assert json.loads(facts)["state"] == {"preset": "</script><b>"}


# What a page is made of

def test_a_page_carries_the_module_once_and_one_without_a_playground_not_at_all(files):
    page = (files / "page.html").read_text(encoding="utf-8")
    assert page.count('<figure class="playground full">') == 2 and page.count('id="playground-module"') == 1
    assert playgrounds.with_module(f"<p>No figure.</p>{playgrounds.MARK}") == "<p>No figure.</p>"


def test_the_same_bytes_run_in_jupyterlab_on_a_page_and_on_a_slide(files):
    for name in ("page.html", "alone.html", "deck.html"):
        source = re.search(r'(?s)<script type="text/plain" id="playground-module">(.*?)</script>',
                           (files / name).read_text(encoding="utf-8")).group(1)
        assert source == Playground._esm


def test_where_no_script_runs_the_picture_and_its_words_stand_there(files, browser):
    context = browser.new_context(java_script_enabled=False)
    for name, count in (("page.html", 2), ("alone.html", 1)):
        page = context.new_page()
        page.goto((files / name).as_uri())
        shown = [image for image in page.locator(".playground > img").all() if image.is_visible()]
        assert len(shown) == count and all("points right" in image.get_attribute("alt") for image in shown)
    context.close()


def test_the_search_finds_no_numbers_of_a_playground(files):
    sections = site.sections_of(lesson(), (files / "page.html").read_text(encoding="utf-8"))
    assert not any("sgd" in body or '"weights"' in body for *_, body in sections)


# A page opened from disk

@IN_A_BROWSER
def test_on_a_page_from_disk_it_plays_pauses_is_edited_by_key_and_moves_between_presets(files, browser):
    page, strangers, complaints = opened(browser, files / "page.html", wanted=2)
    assert (state(page)["preset"], state(page, 1)["preset"]) == ("stuck", "textbook")
    at(page, "play").click()
    page.wait_for_function("() => document.querySelector('.live').shadowRoot.querySelector('.xor-playground')"
                           ".playground.state().epoch > 200")
    at(page, "play").click()
    epoch = state(page)["epoch"]
    assert not state(page)["playing"] and at(page, "epoch").inner_text() == f"{epoch:,}"
    assert_the_kernel_agrees(page)
    weight, before = at(page, "w-0-1-0"), state(page)["weights"][0]["w"][1][0]
    weight.press("ArrowUp")
    assert state(page)["weights"][0]["w"][1][0] == pytest.approx(before + 0.1, abs=1e-9)
    page.keyboard.type("-2.5")
    page.keyboard.press("Enter")
    assert state(page)["weights"][0]["w"][1][0] == -2.5
    assert weight.evaluate("e => e.getRootNode().activeElement === e"), "keys go on where they were"
    assert_the_kernel_agrees(page)
    for name in ("solved", "lesson 05", "textbook"):
        at(page, "preset").select_option(name)
        assert states.complete(state(page)) == states.preset(name)
        assert_the_kernel_agrees(page)
    page.close()
    assert (strangers, complaints) == ([], [])


@IN_A_BROWSER
def test_a_page_s_style_sheet_does_not_reach_a_playground_nor_its_own_the_page(files, browser):
    page, _, _ = opened(browser, files / "page.html", wanted=2)
    boxes = """() => [...document.querySelector('.live').shadowRoot.querySelectorAll('.xor-playground *')].map(e => {
        const { width, height } = e.getBoundingClientRect();
        return [e.tagName, Math.round(width), Math.round(height)]; })"""
    page.wait_for_timeout(300)
    heading = page.locator("h1").bounding_box()
    before = page.evaluate(boxes)
    page.add_style_tag(content="main * { font-size: 31px; line-height: 3; letter-spacing: 4px; font-style: italic; "
                               "text-transform: uppercase; text-align: right; } button, select, svg, canvas, label, "
                               "span, p, h3, input { margin: 40px !important; font: 30px serif !important; }")
    page.add_style_tag(content="h1, figure { padding: 0 !important; }")
    page.wait_for_timeout(300)
    assert page.evaluate(boxes) == before
    assert page.locator("h1").bounding_box()["x"] == heading["x"]
    page.close()


@IN_A_BROWSER
def test_a_line_on_a_page_is_as_wide_as_its_weight_is_large(files, browser):
    page, _, _ = opened(browser, files / "page.html", wanted=2)
    wanted, drawn = zip(*page.evaluate("""() => [...document.querySelector('.live').shadowRoot.querySelectorAll(
        'line.edge')].map(line => [Number(line.getAttribute('stroke-width')), parseFloat(getComputedStyle(
        line).strokeWidth)])"""), strict=True)
    assert drawn == pytest.approx(wanted, rel=1e-4) and max(wanted) == 10.5 > min(wanted)
    page.close()


@IN_A_BROWSER
def test_the_address_of_a_playground_s_own_page_keeps_and_gives_its_state(files, browser):
    page, strangers, complaints = opened(browser, files / "alone.html")
    at(page, "preset").select_option("two units")
    at(page, "step").click()
    kept, address = state(page), page.url
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_selector(HOST)
    assert state(page) == kept and kept["epoch"] == 1
    page.goto("about:blank")
    page.goto(address.split("#")[0] + "#state=%7B%22rate%22%3A-1%7D")
    page.wait_for_selector(HOST)
    assert "must be" in at(page, "say").inner_text()
    page.close()
    assert (strangers, complaints) == ([], [])


@IN_A_BROWSER
def test_without_a_kernel_json_and_c_and_the_script_can_be_taken_away(files, browser):
    page, _, complaints = opened(browser, files / "alone.html")
    at(page, "group-take-away").locator("summary").click()
    assert at(page, "take-onnx").count() == 0
    for kind, begins in (("json", "{"), ("c", "/* An int8 neural network")):
        with page.expect_download() as download:
            at(page, f"take-{kind}").click()
        content = download.value.path().read_text(encoding="utf-8")
        assert content.startswith(begins)
    assert json.loads(content) if kind == "json" else "xor_net" in content
    page.close()
    assert complaints == []


# A slide

@IN_A_BROWSER
def test_on_a_slide_keys_pressed_inside_do_not_turn_it_and_the_picture_is_what_is_printed(files, browser):
    page, strangers, complaints = opened(browser, files / "deck.html", (1280, 720))
    here, number = to_its_slide(page), "() => Reveal.getIndices().h"
    at(page, "play").click()
    page.wait_for_function("() => document.querySelector('.live').shadowRoot.querySelector('.xor-playground')"
                           ".playground.state().epoch > 100")
    at(page, "play").press("Enter")
    assert not state(page)["playing"]
    at(page, "w-0-0-0").focus()
    for key in ("ArrowRight", "ArrowLeft", "Escape", "s", "n", " ", "PageDown"):
        page.keyboard.press(key)
    assert page.evaluate(number) == here and page.evaluate("Reveal.isOverview()") is False
    assert_the_kernel_agrees(page)
    page.emulate_media(media="print")
    assert page.locator(".playground > img").is_visible() and not page.locator(".playground .live").is_visible()
    page.emulate_media(media="screen")
    page.mouse.click(640, 30)
    page.evaluate("() => document.activeElement?.blur()")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(number) == here + 1
    page.close()
    assert (strangers, complaints) == ([], [])


@IN_A_BROWSER
@pytest.mark.parametrize("size", [(640, 360), (1280, 720), (1920, 1080)], ids=str)
def test_however_large_a_slide_is_shown_the_pointer_meets_the_input_under_it(files, browser, size):
    page, _, _ = opened(browser, files / "deck.html", size)
    to_its_slide(page)
    box = at(page, "map-float").bounding_box()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.75 * box["height"])
    lens = page.locator(f"{HOST} .float .window").first.bounding_box()
    framed = [(lens[side] + lens[size] / 2 - box[side]) / box[size] for side, size in (("x", "width"), ("y", "height"))]
    page.close()
    assert np.abs(np.array(framed) - [0.25, 0.75]).max() < 0.01
