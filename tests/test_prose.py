"""What lessons say: numbers that stand in outputs, figures that are described, no wall of text."""
import ast
import functools
import io
import re
import tokenize
from types import SimpleNamespace

import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbformat.v4 import new_code_cell, new_notebook, new_output

import lab
from tools import pages, slides
from tools.figures import NUMBER, alt_text, value
from tools.figures import shown as shown_by

LESSONS = pages.lessons([])
IDS = [lesson.path.stem for lesson in LESSONS]
DOCUMENTS = ["docs/instructors.md"]         # of README.md see test_figures.py
WORDS = 120

# A measured quantity must be an output; a count may also be a setting in the code that the lesson runs.
MEASURED = r"%|percent|bytes?|[KMG]i?B|kB|ns|us|ms|s|seconds|minutes|hours"
COUNTED = (r"epochs|steps|starts|points|inputs|outputs|units|weights|biases|numbers|parameters|nets|networks|lines"
           r"|times|values|levels|codes|samples|layers|models|rows|columns|channels|features|pictures|images")
CLAIM = re.compile(rf"(?<![\w.,^-])({NUMBER})(?: |-| )?({MEASURED}|{COUNTED})(?!\w)")
# A count of a hundred or more without a unit: no year, no part of a name or of a formula.
COUNT = re.compile(r"(?<![\w.,^/@#-])(?!(?:19|20)\d\d\b)(\d{1,3}(?:,\d{3})+|\d+)(?![\w/]|[.,]\d|-\w)")
SMALL = re.compile(r"(?<![\w,.])\d{3}(?!\w|[,.]\d)")

# Claims whose number is no output of their lesson: what they rest on.
SOURCES = {
    ("02", "30,000 epochs"): "a training that nobody runs",
    ("03", "10,000 epochs"): "a training that nobody runs",
    ("03", "499"): "the last of 500 seeds",
    ("02", "27,000"): "30,000 epochs less the 3,000 that it trains",
    ("02", "300"): "a rate to try",
    ("04", "100"): "points that others choose",
    ("04", "2,280"): "2,332 bytes, which it prints, less 52",
    ("04", "24 %"): "0.0648 of 0.0858, scales that it prints",
    ("04", "6 %"): "0.0648 of 0.0689, the same",
    ("04", "572 MB"): "tensorflow 2.21.0's wheel for Linux, as PyPI lists it on 2026-11-26",
    ("04", "170 MB"): "the 31 wheels that pip takes for onnx2tf 2.6.9 on Python 3.12, the same day",
    ("04", "290 MB"): "the 71 wheels beside PyTorch's that pip takes for litert-torch 0.10.0 on Python 3.11, that day",
    ("04", "1,428 bytes"): "what onnx2tf 2.6.9 wrote of the lesson's ONNX file that day",
    ("04", "1,828 bytes"): "what litert-torch 0.10.0 wrote of the lesson's network that day",
    ("08", "14,246"): "one slip of exercise 08.4; xorlab/exercises/lesson_08.py tells a student the same",
    ("08", "79222"): "a slip in exercise 08.2",
    ("09", "95 %"): "the level of fewbits.median_interval",
    ("09", "99 %"): "the next one, rounded",
    ("09", "99.28 %"): "quoted from a published table of four digit classifiers",
    ("09", "1.3 %"): "the same",
    ("09", "21 points"): "20.8, rounded",
    ("11", "256"): "8 bits",
    ("11", "650"): "~649 that it prints, rounded",
    ("11", "700"): "the mean price, ~703 that it prints, rounded",
    ("12", "1,797"): "the digits of scikit-learn; tests/test_photos.py",
    ("12", "30,276"): "174 x 174, the size that it prints",
    ("12", "33,482"): "VGG16's head",
    ("13", "65,536"): "256 x 256",
    ("12", "30,276 times"): "174 x 174, the size that it prints",
    ("12", "2,304 numbers"): "6 x 6 x 64, what its table shows before they are laid flat",
    ("12", "14,714,688 parameters"): "VGG16 without its head, as tests/test_cifar.py counts",
    ("docs/instructors.md", "12 hours"): "docs/plans.toml; tests/test_plans.py adds up its minutes",
}


def prose(cell):
    """Return what a markdown cell says, without code, formulas and the lesson's own length."""
    text = re.sub(r"(?s)```.*?```|\$\$.*?\$\$|`[^`]*`|\$[^$\n]*\$|<summary>.*?</summary>", " ", cell.source)
    return re.sub(r"(?m)^About \d+ minutes\.", " ", text)


def claims(text):
    """Yield (claim, number, is it measured, is it a share) for every number with a unit in a text."""
    for number, unit in CLAIM.findall(text):
        yield f"{number} {unit}", value(number), bool(re.fullmatch(MEASURED, unit)), unit in ("%", "percent")


def counts(text):
    """Yield (number as written, its value) for every count in a text that no unit follows."""
    text = re.sub(r"\]\([^)]*\)|<[^>]*>", " ", CLAIM.sub(" ", text))
    return [(number, value(number)) for number in COUNT.findall(text) if value(number) >= 100]


def without_guesses(text):
    """Folded texts tell what students guess: there only counts from a thousand on are held."""
    return re.sub(r"(?s)<details>.*?</details>", lambda fold: SMALL.sub(" ", fold[0]), text)


def said(lesson):
    written = [prose(cell) for cell in lesson.notebook.cells if cell.cell_type == "markdown"]
    return "\n".join(written + [prose(SimpleNamespace(source=words)) for words in on_slides(lesson)])


def on_slides(lesson):
    """Yield what a lesson's slides say in the place of its text, wrong choices of questions apart."""
    for cell in lesson.notebook.cells:
        says = cell.metadata.get("slide", {})
        yield from (says[key] for key in ("headline", "text", "question") if key in says)
        yield f"<details>{says.get('note', '')}</details>"
        yield from (point["text"] for point in says.get("points", []))
        yield f"{says.get('number', '')} {says.get('counts', '')}"


@pytest.mark.parametrize("lesson", LESSONS, ids=IDS)
def test_the_numbers_that_answers_show_stand_in_outputs_or_code(lesson):
    shown_large = {number for cell in lesson.notebook.cells
                   for number in re.findall(NUMBER, str(cell.metadata.get("slide", {}).get("number", "")))}
    printed = {value(number) for number in re.findall(rf"(?<![\w.]){NUMBER}", shown(lesson))} | settings(lesson)
    assert {number for number in shown_large if value(number) not in printed} == set()


def shown(lesson):
    """Return all that a lesson's outputs say."""
    return shown_by(lesson.notebook.cells)


def settings(lesson):
    """Return the numbers that stand in a lesson's code."""
    found = set()
    for cell in lesson.notebook.cells:
        if cell.cell_type == "code":
            code = TransformerManager().transform_cell(cell.source)
            tokens = tokenize.generate_tokens(io.StringIO(code).readline)
            found |= {float(ast.literal_eval(token.string)) for token in tokens if token.type == tokenize.NUMBER}
    return found


def support(lesson):
    """Return what a lesson's claims can rest on: the shares and the numbers that it shows, and those and its code's."""
    outputs = shown(lesson)
    numbers = {value(number) for number in re.findall(rf"(?<![\w.])(?<!\de[-+]){NUMBER}", outputs)}
    shares = {value(number) for number in re.findall(rf"({NUMBER}) ?%", outputs)}
    return shares, numbers, numbers | settings(lesson)


def unsupported(text, *supports):
    """Return the claims and counts of a text that what these lessons show and run does not support."""
    shares, numbers, all_numbers = (set().union(*kind) for kind in zip(*supports, strict=True))
    return [claim for claim, number, measured, share in claims(text)
            if number not in (shares if share else numbers if measured else all_numbers)
            ] + [number for number, amount in counts(text) if amount not in all_numbers]


@functools.cache
def all_unsupported():
    """Return {(lesson or document, claim)} of everything that is said."""
    supports = {lesson.path: support(lesson) for lesson in LESSONS}
    found = {(lesson.path.name[:2], claim) for lesson in LESSONS
             for text in without_guesses(said(lesson)).split("\n\n")
             for claim in unsupported(text, *(supports[one.path] for one in [lesson, *named(text)]))}
    for document in DOCUMENTS:
        text = re.sub(r"(?s)<!-- exercises.*?<!-- end of exercises -->", "", (lab.HERE / document).read_text("utf-8"))
        text = prose(SimpleNamespace(source=text))      # the table of exercises is made, and guarded, by its command
        found |= {(document, claim) for line in text.splitlines()
                  for claim in unsupported(line, *(supports[lesson.path] for lesson in spoken_of(line)))}
    return found


def spoken_of(line):
    """Return the lessons whose numbers stand in a line, or all."""
    return [lesson for lesson in LESSONS if re.search(rf"\b{lesson.path.name[:2]}\b", line)] or LESSONS


def named(text):
    """Return the lessons that a text names, as in "lesson 05's 234"."""
    return [lesson for lesson in LESSONS if re.search(rf"\blessons? {lesson.path.name[:2]}\b", text)]


def test_every_number_with_a_unit_is_an_output_or_has_a_named_source():
    assert sorted(all_unsupported() - set(SOURCES)) == []


def test_no_named_source_is_for_a_claim_that_nobody_makes():
    assert sorted(set(SOURCES) - all_unsupported()) == []


def printing(printed, code):
    """Return the support of a lesson that prints this and runs that."""
    cell = new_code_cell(code, outputs=[new_output("stream", name="stdout", text=printed)])
    return support(SimpleNamespace(notebook=new_notebook(cells=[cell])))


@pytest.mark.parametrize(("said", "printed", "code"), [
    ("It is 2,752 bytes long.", "2,725 bytes", "x = 1"),
    ("It is 27 bytes long.", "no such number", "x = 27"),            # a size is measured, not set
    ("That is 75 %.", "75 of 4", "x = 75"),                          # a share must be printed as one
    ("After 10,000 epochs.", "", "epochs = 1_000"),
    ("It takes 3 ms.", "", "x = 3"),
    ("A 40-point set, 1.5 times as large.", "40", "x = 1"),
    ("All 65,535 of them, even those.", "65,536", "x = 65_536"),
    ("They disagree on 48,624. Nothing is broken.", "48,642", "x = 1"),
    ("lesson 05's 243 and these", "234", "x = 1"),
    ("| SGD | 512 |", "500", "x = 1"),
])
def test_an_unsupported_number_is_found(said, printed, code):
    assert len(unsupported(said, printing(printed, code))) == 1


@pytest.mark.parametrize(("said", "printed", "code"), [
    ("It is 2,752 bytes long.", "int8: 2752", "x = 1"),
    ("That is 75 %.", "75% of them", "x = 1"),
    ("After 10,000 epochs.", "", "epochs = 10_000"),
    ("About 3 lessons, `x = 5 bytes`, and in 02 there is more.", "", "x = 1"),
    ("All 65,536 of them, in 1969, by 99 or [112](https://a.b/10.1037/4567), in int16x128.", "65536, 112", "x = 1"),
])
def test_a_supported_number_is_not(said, printed, code):
    assert unsupported(prose(SimpleNamespace(source=said)), printing(printed, code)) == []


def test_a_guess_in_a_fold_may_be_any_number_under_a_thousand():
    assert without_guesses("350 <details>351, 352.5 and 3,530</details> 354") == (
        "350 <details> , 352.5 and 3,530</details> 354")


NUMERALS = {"four": 4, "five": 5, "six": 6, "seven": 7, "thirteen": 13, "fourteen": 14, "fifteen": 15}


def counted(text, things):
    """Return the numbers that a text gives of things: of "Fourteen Jupyter lessons" 14."""
    numbers = re.findall(rf"(?i)\b({'|'.join(NUMERALS)}|\d+) {things}", text)
    return [int(number) if number.isdigit() else NUMERALS[number.lower()] for number in numbers]


def test_the_readme_counts_the_lessons():
    assert counted((lab.HERE / "README.md").read_text(encoding="utf-8"), "Jupyter lessons") == [len(LESSONS)]


@pytest.mark.parametrize("lesson", LESSONS, ids=IDS)
def test_a_lesson_counts_its_tasks(lesson):
    tasks = [cell for cell in lesson.notebook.cells if "task" in cell.metadata.get("tags", [])]
    assert set(counted(lesson.notebook.cells[0].source, "tasks")) <= {len(tasks)}


# Figures and walls of text

DRAWS = {"plot", "scatter", "imshow", "contour", "contourf", "hist", "bar", "barh", "step", "semilogy", "semilogx",
         "loglog", "pcolormesh", "errorbar", "stem", "fill_between", "matshow"}


def draws_by_hand(code):
    """Does this code draw with matplotlib itself, and not only with xorlab.plots, whose figures have their labels?"""
    calls = [node.func for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    return any(isinstance(call, ast.Attribute) and call.attr in DRAWS and
               not (isinstance(call.value, ast.Name) and call.value.id == "plots") for call in calls)


def figures(lesson):
    """Yield (source, outputs) of the code cells that show figures."""
    for cell in lesson.notebook.cells:
        pictures = [output for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
        if pictures:
            yield cell.source, pictures


@pytest.mark.parametrize("lesson", LESSONS, ids=IDS)
def test_every_figure_says_in_words_what_it_shows(lesson):
    for source, pictures in figures(lesson):
        for picture in pictures:
            assert len((alt_text(picture) or "").split()) >= 5, source


@pytest.mark.parametrize("lesson", LESSONS, ids=IDS)
def test_every_figure_drawn_by_hand_has_a_title_and_axis_labels(lesson):
    for source, _ in figures(lesson):
        if draws_by_hand(source):
            missing = [label for label in ("title", "xlabel", "ylabel")
                       if not re.search(rf"\b(set_)?{label}\s*[=(]", source)]
            assert missing == [], source


def test_drawing_by_hand_is_told_from_drawing_with_plots():
    assert draws_by_hand("ax.plot(x)") and draws_by_hand("plots.surface(p)\naxes[1].scatter(x, y)")
    assert not draws_by_hand("ax = plots.surface(p)\nax.set(title='t')")


def words(cell):
    """Count the words of a text, without those that stand for a picture."""
    return len(re.findall(r"[^\W_][\w'.,-]*", re.sub(r"<[^>]*>|!\[[^\]]*\]\([^)]*\)", " ", cell.source)))


@pytest.mark.parametrize("lesson", LESSONS, ids=IDS)
def test_no_text_is_longer_than_120_words_without_something_to_do(lesson):
    """Questions, their answers and the speaker's notes apart."""
    long = {cell.id: words(cell) for cell in lesson.notebook.cells
            if cell.cell_type == "markdown" and not slides.is_notes(cell)
            and "## Try it" not in cell.source and "<details>" not in cell.source and words(cell) > WORDS}
    assert long == {}


def test_the_minutes_of_a_lesson_are_the_same_in_the_readme_and_the_map():
    readme = (lab.HERE / "README.md").read_text(encoding="utf-8")
    first = "\n".join(cell.source for cell in LESSONS[0].notebook.cells)
    for lesson in LESSONS:
        assert f"[{lesson.title}](notebooks/{lesson.path.name}) | {lesson.minutes} |" in readme
        if lesson is not LESSONS[0]:
            assert f"| {lesson.title} | {lesson.minutes} |" in first
