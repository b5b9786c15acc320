"""One colour for one thing: told apart with every common sight, seen on its ground, and never asked for elsewhere."""
import base64
import io
import itertools
import re
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import nbformat
import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib import pyplot as plt
from PIL import Image

from xorlab import compare, data, export, firmware, look, models, optimizers, plots, predictors, runtimes, training
from xorlab.integer import IntegerMLP
from xorlab.optimizers import Optimizer
from xorlab.plots import paper

matplotlib.use("Agg")
ROOT = Path(__file__).resolve().parent.parent
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGE_LETTERS, SLIDE_LETTERS = 15, 17        # pixels, of the smallest letter
SLIDE_SCALE = 1168 / 1000                   # a slide shows a figure so much larger than a page

# How colours look to other eyes, on linear RGB: Machado, Oliveira and Fernandes, IEEE TVCG 15 (2009), severity 1
SIGHTS = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
# OKLab from linear RGB: B. Ottosson, 2020
TO_CONES = np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                     [0.0883024619, 0.2817188376, 0.6299787005]])
TO_LAB = np.array([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
                   [0.0259040371, 0.7827717662, -0.8086757660]])


def linear(colour):
    part = np.array([int(colour[i: i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def seen(colour, sight):
    return TO_LAB @ np.cbrt(TO_CONES @ np.clip(SIGHTS[sight] @ linear(colour), 0, 1))


def closest(colours):
    """Return 100 times the OKLab distance of the closest two, over all sights."""
    return min(100 * np.linalg.norm(seen(a, sight) - seen(b, sight))
               for a, b in itertools.combinations(colours, 2) for sight in SIGHTS)


def contrast(colour, ground):
    """Return WCAG's contrast ratio."""
    bright = sorted(linear(c) @ [0.2126, 0.7152, 0.0722] + 0.05 for c in (colour, ground))
    return bright[1] / bright[0]


RACED = ("sgd", "momentum", "rmsprop", "adam", "adamw")
RUNTIMES = ("pytorch", "tflm", "xnnpack", "builtin", "reference")
GROUPS = {          # what meets in a figure, and how far its colours are apart at least
    "raced optimizers": (look.OPTIMIZERS, RACED, 13.9), "all optimizers": (look.OPTIMIZERS, look.OPTIMIZERS, 10),
    "runtimes and PyTorch": (look.FORMS, RUNTIMES, 12), "the road": (look.FORMS, dict(look.ROAD).values(), 11),
    "all forms, which have marks and names too": (look.FORMS, look.FORMS, 5),
}


def test_the_distance_is_the_one_of_the_literature():
    assert closest(["#000000", "#ffffff"]) == pytest.approx(100, abs=0.1)         # OKLab's lightness is 0 to 1
    red = seen("#ff0000", "normal")                                             # Ottosson's own table
    assert red == pytest.approx([0.62796, 0.22486, 0.12585], abs=1e-4)
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("at", [0, 1], ids=look.SIDES)
@pytest.mark.parametrize("group", GROUPS)
def test_colours_that_meet_are_told_apart_by_every_sight(group, at):
    table, names, least = GROUPS[group]
    assert closest([table[name][at] for name in names]) >= least


@pytest.mark.parametrize("pair", [look.CLASSES, (look.LOWER, look.HIGHER)])
def test_the_two_sides_of_a_scale_are_told_apart_by_every_sight(pair):
    assert closest(pair) >= 9


@pytest.mark.parametrize("at", [0, 1], ids=look.SIDES)
def test_marks_and_words_stand_out_from_their_ground(at):
    ground = look.PAPER[at]
    assert all(contrast(row[at], ground) >= 4.5 for row in look.OPTIMIZERS.values())     # names are written in them
    assert all(contrast(row[at], ground) >= 3 for row in look.FORMS.values())
    assert contrast(look.INK[at], ground) >= 7 and contrast(look.QUIET[at], ground) >= 4.5
    assert contrast(look.BAR, look.PAPER[0]) >= 3 and contrast(look.INK[0], look.ATTEND) >= 7


def test_a_line_in_ink_is_seen_on_every_shade_of_an_output():
    shades = paper.OUTPUT(np.linspace(0, 1, 256))
    assert min(contrast(look.INK[0], matplotlib.colors.to_hex(shade)) for shade in shades) >= 2
    full = matplotlib.colormaps[look.OUTPUT[0]]
    assert contrast(look.INK[0], matplotlib.colors.to_hex(full(0.0))) < 2           # which is why its ends are left out


def test_every_optimizer_has_its_colour_under_every_label_it_can_get():
    assert set(look.OPTIMIZERS) == set(optimizers.OPTIMIZERS)
    for name in optimizers.OPTIMIZERS:
        for label in (Optimizer(name).label, Optimizer(name, 1).label, name, f"{name.upper()}, rate 0.1",
                      Optimizer(name, 0.03, weight_decay=0.01).label):
            assert look.optimizer(label) == name
    assert look.optimizer("3 units") is look.optimizer("") is look.optimizer("adamant") is None


def test_every_predictor_has_its_form_under_the_name_it_gives_itself():
    net = models.reference("relu-2-4-1")
    path = models.reference_file("relu-2-4-1", "int8.tflite")
    integer = IntegerMLP.from_tflite(path)
    found = {predictors.from_torch(net).name: "pytorch", f"{net.name} in PyTorch": "pytorch",
             predictors.from_integer(integer).name: "tflm",
             predictors.from_integer(integer.under("xnnpack")).name: "xnnpack",
             "ONNX Runtime": "onnx", "Keras": "pytorch", "scikit-learn": "pytorch", "simulation": "pytorch",
             f"C, {integer.rule}": "c", "TFLite float32, xnnpack": "xnnpack", "int8": "int8",
             "TFLite float32": "tflite", "tflm vs reference": "tflm", "int8 minus PyTorch": "int8",
             "TFLite Micro": "tflm"}
    found |= {f"{target}, emulated": "firmware" for target in firmware.TARGETS}
    found |= {f"int8 on {runtime}": runtime for runtime in runtimes.RUNTIMES}
    found |= {runtime: runtime for runtime in runtimes.RUNTIMES}
    assert {name: look.form(name) for name in found} == found
    assert {look.form(variant) for variant in export.VARIANTS} == {"tflite", "int8"}
    report = compare.errors(predictors.from_torch(net), predictors.from_tflite(path, "reference"), data.corners()[0])
    assert look.form(report.pair) == "reference"
    assert look.form("my own function") is look.form("") is None


@pytest.fixture
def race():
    """Entries of every optimizer and of SGD at two more rates."""
    wanted = [*optimizers.OPTIMIZERS, Optimizer("sgd", 1.0), Optimizer("sgd", 3.0)]
    yield training.race(wanted, starts=5, epochs=20).entries
    plt.close("all")


def looks_of(entries):
    return {line.get_label(): (line.get_color(), line.get_linestyle(), line._dash_pattern)
            for line in plots.survival(entries).lines}


def test_a_figure_of_two_entries_changes_no_colour(race):
    whole = {entry.label: look.OPTIMIZERS[entry.optimizer.name][0] for entry in race}
    for entries in (race, race[3:5], race[4:2:-1], race[-1:]):
        assert {label: colour for label, (colour, *_) in looks_of(entries).items()} == {
            entry.label: whole[entry.label] for entry in entries}
        bars = plots.shares(entries).patches
        assert [matplotlib.colors.to_hex(bar.get_facecolor()) for bar in bars] == [whole[e.label] for e in entries]


def test_two_entries_of_one_optimizer_differ_by_their_line(race):
    sgd = [entry for entry in race if entry.optimizer.name == "sgd"]
    drawn = looks_of(sgd)
    assert len(sgd) == 3 == len({repr(dashes) for _, _, dashes in drawn.values()})
    assert {colour for colour, *_ in drawn.values()} == {look.OPTIMIZERS["sgd"][0]}


# What may name a colour of its own, and why
ALLOWED = {
    "xorlab/look.py": "it is the place of colours",
    "xorlab/plots/__init__.py": "PALE_BLUE, for copies of version 0.1.0's lessons",
    "xorlab/report/html.py": "greys of a page's lines and quiet text, light and dark",
}
COLOUR = re.compile(r"""["'](?:#[0-9a-fA-F]{3,8}|tab:\w+|C\d|C\{\w+\}|x?kcd:\w+|
                    (?:dark|light|pale)?(?:red|blue|green|orange|purple|brown|pink|cyan|magenta|yellow|olive))["']|
                    ["'](?:viridis|plasma|Blues|Reds|jet|coolwarm)(?:_r)?["']|\#[0-9a-fA-F]{6}\b""", re.VERBOSE)


def sources():
    """Yield (where, code) of the package and of every lesson."""
    for path in sorted((ROOT / "xorlab").rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
    for path in LESSONS:
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                yield f"{path.name} {cell.id}", cell.source


def test_no_code_but_look_names_a_colour():
    found = {where: COLOUR.findall(code) for where, code in sources() if where not in ALLOWED}
    assert {where: colours for where, colours in found.items() if colours} == {}
    for where in ALLOWED:
        assert COLOUR.search((ROOT / where).read_text(encoding="utf-8")), f"{where} needs no exception any more"


def test_no_figure_sets_a_size_of_its_own():
    size = re.compile(r"(?:font_?size|label_?size|title_?size)\s*[=(\"']|\bsize=\d|set_fontsize|set_size_inches")
    assert {where: size.findall(code) for where, code in sources()
            if where.startswith(("xorlab/plots", "xorlab/report/why")) or "ipynb" in where and size.findall(code)
            if size.findall(code)} == {}


def test_the_style_has_no_smaller_letters_than_pages_and_slides_can_show():
    style = matplotlib.rc_params_from_file(look.STYLE, use_default_template=False)
    sizes = {key: value for key, value in style.items() if key.endswith("size") and key != "lines.markersize"}
    assert {"xtick.labelsize", "ytick.labelsize", "axes.labelsize", "axes.titlesize", "legend.fontsize",
            "font.size"} <= set(sizes)
    for size in sizes.values():
        assert size * paper.PAGE_DPI / 72 >= PAGE_LETTERS
        assert size * paper.PAGE_DPI / 72 * SLIDE_SCALE >= SLIDE_LETTERS


def test_letters_are_the_same_on_every_computer():
    with plt.style.context(look.STYLE):
        font = Path(font_manager.findfont(font_manager.FontProperties()))
    assert font.name == "DejaVuSans.ttf" and font.is_relative_to(matplotlib.get_data_path())


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name[:2])
def test_stored_figures_have_letters_that_can_be_read(path):
    """Their width on a page makes a point as many pixels as the style reckons with, and they have a palette."""
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            if "image/png" not in output.get("data", {}):
                continue
            said = output.metadata["image/png"]
            picture = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
            points = picture.width * 72 / picture.info["dpi"][0]            # of the figure's width
            assert said["width"] / points * 72 == pytest.approx(paper.PAGE_DPI, rel=0.002), cell.id
            assert 0 < said["width"] <= paper.PAGE and picture.mode == "P", cell.id
            assert said.get("pixelated", False) == (picture.width == said["width"]), cell.id


@pytest.mark.parametrize("side", look.SIDES)
def test_pages_get_every_colour_by_its_name(side):
    given = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", look.css(side)))
    at = look.SIDES.index(side)
    assert {name: given[f"opt-{name}"] for name in look.OPTIMIZERS} == {
        name: row[at] for name, row in look.OPTIMIZERS.items()}
    assert {name: given[f"form-{name}"] for name in look.FORMS} == {name: row[at] for name, row in look.FORMS.items()}
    assert set(look.named(side)) - {look.ATTEND_WASH} <= set(given.values())
    with pytest.raises(ValueError, match="light or dark, got 'grey'"):
        look.css("grey")


@pytest.mark.parametrize("number", look.STOPS)
def test_the_road_lights_the_stops_of_its_lesson(number):
    drawing = ElementTree.fromstring(look.road(number))
    words = {text.text: text.get("font-weight") for text in drawing.iter("{http://www.w3.org/2000/svg}text")}
    assert list(words) == [stop for stop, _ in look.ROAD]
    assert {stop for stop, weight in words.items() if weight == "700"} == set(look.STOPS[number])
    assert drawing.get("aria-label") == look.road_in_words(number)


def test_the_road_knows_every_lesson_and_no_other():
    assert set(look.STOPS) == {path.name[:2] for path in LESSONS}
    with pytest.raises(ValueError, match="knows the lessons 00, .* got '77'"):
        look.road("77")
