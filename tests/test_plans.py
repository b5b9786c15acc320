"""The instructor's plans: their decks, and the tables of docs/instructors.md."""
import re

import pytest
from browsing import IN_A_BROWSER, visit

import lab
from tools import chromium, layouts, pages, plans, slides

PLANS = plans.read()
EACH = pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.file)


def tables():
    """Return {hours: rows of (minutes, what)} of the plans in docs/instructors.md."""
    document = (lab.HERE / "docs" / "instructors.md").read_text(encoding="utf-8")
    parts = re.split(r"(?m)^\*\*(\d+) hours:", document.split("## Plans")[1].split("\n## ")[0])[1:]
    return {int(hours): [(int(minutes), what) for minutes, what in re.findall(r"(?m)^\| (\d+) \| (.*?) \|$", rows)]
            for hours, rows in zip(parts[::2], parts[1::2], strict=True)}


def test_the_plans_are_those_of_the_instructors_notes():
    assert {plan.hours: [(part.minutes, part.what) for part in plan.parts] for plan in PLANS} == tables()
    assert [plan.hours for plan in PLANS] == [2, 6, 12]


@EACH
def test_what_a_part_is_called_names_its_lessons(plan):
    for part in plan.parts:
        named = re.match(r"(\d\d)(?: to (\d\d))?\b", part.what)
        ends = [number for number in (named.groups() if named else ()) if number]
        assert [part.lessons[i] for i in (0, -1)][:len(ends)] == ends if ends else part.lessons == (), part.what


@EACH
def test_a_plans_deck_shows_the_lessons_slides_in_order(plan):
    made = slides.deck(plans.slides(plan, slides.shown))
    shown = [cell.metadata.deck.lesson[:2] for cell in made.cells if cell.metadata.deck.get("closes_slide")]
    wanted = [number for part in plan.parts for number in part.lessons]
    assert list(dict.fromkeys(shown[1:])) == wanted
    assert [cell.metadata.deck.page for cell in made.cells if cell.metadata.deck.get("closes_slide")] == list(
        range(1, len(shown) + 1))


@IN_A_BROWSER
def test_a_plans_opening_fits_and_its_deck_needs_nobody_else(tmp_path):
    deck = slides.write_deck(tmp_path / "plan.html", plans.slides(PLANS[-1], lambda lesson: []), PLANS[-1].title)
    with chromium.browser() as browser:
        page, strangers, complaints = visit(browser, deck)
        lowest, widest = page.evaluate("""() => {
          const boxes = [...document.querySelectorAll('.plan li')].map(item => item.getBoundingClientRect());
          return [Math.max(...boxes.map(box => box.bottom)), Math.max(...boxes.map(box => box.right))];
        }""")
    assert (lowest <= 720 - 58, widest <= 1280 - 56 + 1, strangers, complaints) == (True, True, [], [])


@pytest.mark.parametrize(("part", "sentence"), [
    ('{minutes = 60, what = "break", slides = ["01/x"]}', "got slides"),
    ('{minutes = 50, what = "break"}', "the plan of 1 hours has parts of 50 minutes"),
])
def test_a_plan_that_does_not_add_up_gets_a_sentence(tmp_path, part, sentence):
    path = tmp_path / "plans.toml"
    path.write_text(f"[[plan]]\nhours = 1\npart = [{part}]\n")
    with pytest.raises(lab.Problem, match=sentence):
        plans.read(path)


def test_a_plan_shows_only_some_slides_or_leaves_some_out_and_knows_all_that_it_names():
    def shown(*, only=(), without=()):
        part = plans.Part(60, "05", ("05",), only, without)
        made = plans.slides(plans.Plan(1, (part,)), slides.shown)
        return [slide[0].metadata.deck.id for slide in made[1:]]

    everything = [slide[0].id for slide in slides.slides(pages.lessons(["05"])[0].notebook.cells)]
    assert shown() == everything
    assert shown(only=("05/cell-01", "05/cell-26")) == ["cell-01", "cell-26"]
    assert shown(without=("05/cell-26",)) == [name for name in everything if name != "cell-26"]
    with pytest.raises(lab.Problem, match="names slides that are not there: 05/gone"):
        shown(only=("05/gone",))


def test_a_slide_has_the_layout_that_its_lesson_asks_for_and_ends_in_its_note():
    (lesson,) = pages.lessons(["03"])
    asked = {cell.id: (layouts.name(cell), layouts.said(cell).get("note")) for cell in lesson.notebook.cells}
    made = {slide[0].metadata["deck"]["id"]: slide for slide in slides.shown(lesson)}
    notes = [(slide[-1].source, asked[begins][1]) for begins, slide in made.items() if asked[begins][1]]
    assert notes and all(shown == note for shown, note in notes)
    kinds = [(slide[0].metadata["deck"]["layout"], asked[begins][0]) for begins, slide in made.items()
             if asked[begins][0]]
    assert len(kinds) > 9 and all(layout == name for layout, name in kinds)
