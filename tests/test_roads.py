"""The road at the head of lessons: what is attached is what xorlab.look draws, and everything can show it."""
import base64
import io

import nbformat
import numpy as np
import pytest
from browsing import IN_A_BROWSER, text
from nbformat.v4 import new_notebook
from PIL import Image

from tools import chromium, pages, roads, site, slides
from xorlab import look

LESSONS = pages.lessons([])
EACH = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.path.stem)


def test_every_lesson_has_the_road_of_today():
    assert [lesson.number for lesson in LESSONS if not roads.is_there(lesson)] == []


@EACH
def test_the_bitmap_lights_the_lessons_stops_and_no_others(lesson):
    """By its pixels: what JupyterLab shows, the first of the attached pictures."""
    attached = lesson.notebook.cells[0].attachments[roads.FILE]
    assert list(attached)[0] == "image/png"
    picture = Image.open(io.BytesIO(base64.b64decode(attached["image/png"]))).convert("RGBA").convert("RGB")
    assert picture.size == (roads.WIDTH, roads.HEIGHT)
    pixels = np.asarray(picture, dtype=int)
    xs = np.linspace(2.6 * 15, roads.WIDTH - 2.6 * 15, len(look.ROAD)).round().astype(int)
    lit = {stop for (stop, form), x in zip(look.ROAD, xs, strict=True)
           if np.abs(pixels[15 + 7, x] - [int(look.FORMS[form][0][i:i + 2], 16) for i in (1, 3, 5)]).max() < 24}
    assert lit == set(look.STOPS[lesson.number])


@EACH
def test_a_page_draws_the_road_itself_and_a_title_slide_shows_it_once(lesson):
    first = site.for_a_student(lesson.notebook).cells[0]
    assert "attachment:" not in first.source and look.road_in_words(lesson.number) not in first.source
    title = "".join(str(cell) for cell in slides.shown(lesson)[0])
    assert title.count(look.road_in_words(lesson.number)) == 1


def made(folder, source="# 07 Small\n\nAbout 5 minutes."):
    path = folder / "07-small.ipynb"
    nbformat.write(new_notebook(cells=[text(source)]), path)
    return pages.Lesson(path)


@IN_A_BROWSER
def test_a_road_is_put_under_the_title_once_and_an_older_one_is_replaced(tmp_path, monkeypatch):
    lesson = made(tmp_path)
    with chromium.browser() as browser:
        assert (roads.put(lesson, browser), roads.put(lesson, browser)) == (True, False)
        words = look.road_in_words("07")
        assert lesson.notebook.cells[0].source == f"# 07 Small\n\n![{words}](attachment:road.png)\n\nAbout 5 minutes."
        assert roads.without(lesson.notebook.cells[0]).source == "# 07 Small\n\nAbout 5 minutes."
        before = lesson.notebook.cells[0].attachments
        monkeypatch.setitem(look.STOPS, "07", ("C",))
        assert not roads.is_there(lesson)
        roads.put(lesson, browser)
    assert lesson.notebook.cells[0].source.count("attachment:") == 1
    assert lesson.notebook.cells[0].attachments != before


@IN_A_BROWSER
def test_a_bitmap_of_another_drawing_is_seen(tmp_path):
    lesson = made(tmp_path)
    with chromium.browser() as browser:
        roads.put(lesson, browser)
        notebook = lesson.notebook
        other = roads.encoded(roads.bitmap(roads.drawing("10"), browser))
    notebook.cells[0].attachments[roads.FILE]["image/png"] = other
    nbformat.write(notebook, lesson.path)
    assert not roads.is_there(lesson)


def test_without_a_browser_roads_says_so(monkeypatch, capsys):
    monkeypatch.setattr(chromium, "find", lambda: None)
    assert roads.main(["05"]) == 1
    assert capsys.readouterr().err == "roads: drawing the road needs a Chromium or Chrome, and there is none here\n"
