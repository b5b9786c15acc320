"""What things look like, everywhere: one colour for one thing, and the road through the series.

Colours come as (light, dark) pairs: for white pages and slides, and for dark ones. They are told apart with normal
sight, protanopia, deuteranopia and tritanopia, and lines and words stand out from their background: tests measure it.
A marker or a dash says the same again, and a name stands beside each line. Nothing here imports matplotlib.
"""
import re
from pathlib import Path

from xorlab import arguments

STYLE = Path(__file__).with_name("xorlab.mplstyle")     # matplotlib's: sizes, fonts, lines of every figure

SIDES = ("light", "dark")
INK, QUIET, LINE, PAPER = ("#1c1c1c", "#f2f2f2"), ("#595959", "#b4b4b4"), ("#c9c9c9", "#4a505b"), ("#ffffff", "#14171c")
ATTEND = "#ffd54a"              # "look here", as with a highlighter: one place a figure or slide
ATTEND_WASH = "#fff3c4"

# matplotlib's maps without their ends, on which black lines and marks would drown: (name, from, to)
OUTPUT = ("RdBu_r", 0.09, 0.91)         # blue 0, white 0.5, red 1: an output, a class, a weight's push; nothing else
DIFFERENCE = ("PRGn", 0.06, 0.94)       # purple: the candidate is lower, green: higher; nothing else
COUNT = ("Greys", 0.0, 0.9)             # how often
CLASSES = ("#2166ac", "#b2182b")
LOWER, HIGHER = "#762a83", "#1b7837"
VERDICTS, NO_VERDICT = {"right": "#2e8b57", "wrong": "#c2571a"}, "#808080"      # an edge; the words say it too
BAR = "#8c8c8c"                         # of a bar that stands for no optimizer and no form
# Parts of a whole that no other name here covers, e.g. of a file: Okabe and Ito's palette and greys
PARTS = ("#d55e00", "#e69f00", "#0072b2", "#56b4e9", "#009e73", "#cc79a7", "#f0e442", "#000000", "#8c8c8c", "#dddddd")

SOLID, DASHED, DOTTED, DASHDOT = "-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5))
LINES = (SOLID, DASHED, DOTTED, DASHDOT)        # a further entry of one optimizer takes the next that is free
# {name: (light, dark, line)}; a variant is dashed: momentum of SGD, AdamW of Adam. No lesson races the last two.
OPTIMIZERS = {
    "sgd": ("#2133c3", "#1583fa", SOLID),
    "momentum": ("#007eb5", "#4ed1fe", DASHED),
    "rmsprop": ("#363c00", "#d4f73e", SOLID),
    "adam": ("#b85d32", "#e8a482", SOLID),
    "adamw": ("#7c1271", "#cd5786", DASHED),
    "nesterov": ("#8531fa", "#a092d0", DOTTED),
    "adagrad": ("#81556d", "#987e00", DOTTED),
}
# {form: (light, dark, marker)}.  Neutral: float. Blue: TFLite files. Warm: TFLite Micro, and what must equal it bit
# for bit. Green: LiteRT's kernels.
FORMS = {
    "pytorch": ("#161616", "#f2f2f2", "o"),
    "onnx": ("#94928d", "#969696", "s"),
    "tflite": ("#5597d9", "#94bbe4", "D"),
    "int8": ("#1b2e9d", "#607efa", "X"),
    "tflm": ("#8a225e", "#be6391", "^"),
    "c": ("#c73b2a", "#f7432d", "P"),
    "firmware": ("#d87a2e", "#e2b473", "*"),
    "xnnpack": ("#368984", "#53c3bc", "v"),
    "builtin": ("#76680f", "#a6b242", "<"),
    "reference": ("#0e4400", "#a5e398", ">"),
}
# Words in the name of a predictor, or of a kind of file, that tell its form; the first row that fits decides
_WORDS = (("firmware", "emulated firmware chip"), ("c", "c"), ("tflm", "tflm micro"), ("xnnpack", "xnnpack"),
          ("builtin", "builtin built-in"), ("reference", "reference"),
          ("int8", "int8 uint8 int16x8 int16 integers float_fallback"),
          ("tflite", "tflite float32 float16 dynamic_range dynamic"), ("onnx", "onnx"),
          ("pytorch", "pytorch keras scikit-learn simulation"))         # float, wherever it was trained

# The road through the series: (stop, the form whose colour it has), and which of its stops each lesson lights
ROAD = (("train", "pytorch"), ("ONNX", "onnx"), ("TFLite", "tflite"), ("int8", "int8"), ("C", "c"),
        ("chip", "firmware"))
_ALL = tuple(stop for stop, _ in ROAD)
STOPS = {"00": _ALL, "01": ("train",), "02": ("train",), "03": ("train",), "04": ("ONNX", "TFLite"), "05": ("int8",),
         "06": ("int8",), "07": ("int8",), "08": ("C",), "09": ("train", "int8"), "10": ("chip",),
         "11": ("train", "TFLite"), "12": _ALL,
         "13": ("TFLite", "int8")}
MOST_PIXELS = 100_000
FONTS = "Helvetica Neue, Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif"


def optimizer(label: str) -> str | None:
    """Return the optimizer (a key of OPTIMIZERS) that a label begins with, e.g. "adam, rate 0.1"; None for others."""
    first = re.match(r"\w*", arguments.text("label", label).lower()).group()
    return first if first in OPTIMIZERS else None


def form(name: str) -> str | None:
    """Return the form (a key of FORMS) that a predictor's name tells; None for others.

    Of a pair, "a vs b" or "a minus b", that of the first.

    >>> form("int8 on reference"), form("xnnpack vs reference"), form("C, tflm"), form("my function")
    ('reference', 'xnnpack', 'c', None)
    """
    words = set(re.findall(r"[\w-]+", re.split(" vs | minus ", arguments.text("name", name))[0].lower()))
    return next((key for key, telling in _WORDS if words & set(telling.split())), None)


def named(side: str = "light") -> list[str]:
    """Return every colour that has a meaning on this side, maps apart."""
    at = _at(side)
    return [INK[at], QUIET[at], LINE[at], PAPER[at], ATTEND, ATTEND_WASH, *CLASSES, LOWER, HIGHER,
            *(row[at] for row in (*OPTIMIZERS.values(), *FORMS.values()))]


def colour_of_lesson(number: str, side: str = "light") -> str:
    """Return the colour of a lesson's (last) stop on the road, e.g. of "05"; of one that lights all, the ink."""
    stops = _stops(number)
    return INK[_at(side)] if stops == _ALL else FORMS[dict(ROAD)[stops[-1]]][_at(side)]


def css(side: str) -> str:
    """Return the colours as CSS variables, for `side` "light" or "dark": --ink, --form-int8, --opt-adam, ..."""
    at = _at(side)
    plain = {"ink": INK, "quiet": QUIET, "line": LINE, "paper": PAPER, "zero": CLASSES[:1] * 2, "one": CLASSES[1:] * 2,
             "attend": (ATTEND,) * 2, "lower": (LOWER,) * 2, "higher": (HIGHER,) * 2}
    rows = [(name, pair[at]) for name, pair in plain.items()]
    rows += [(f"form-{name}", row[at]) for name, row in FORMS.items()]
    rows += [(f"opt-{name}", row[at]) for name, row in OPTIMIZERS.items()]
    return " ".join(f"--{name}: {colour};" for name, colour in rows)


def road(number: str, *, side: str = "light", width: int = 1000, size: int = 15, paper: bool = False) -> str:
    """Return the road as SVG, with the stops of a lesson lit.

    number : of the lesson, e.g. "05".  width, size : in pixels, of the drawing and of its letters.
    paper : on a ground of its own, for a page that may have another one.
    Raises ValueError for a lesson that has no place on the road.
    """
    at, here = _at(side), _stops(number)
    width, size = arguments.whole("width", width, 1, MOST_PIXELS), arguments.whole("size", size, 1, MOST_PIXELS)
    paper = arguments.switch("paper", paper)
    ink, quiet, line, ground = INK[at], QUIET[at], LINE[at], PAPER[at]
    left, right, y = 2.6 * size, width - 2.6 * size, 1.0 * size
    xs = [left + (right - left) * i / (len(ROAD) - 1) for i in range(len(ROAD))]
    last = max(i for i, (stop, _) in enumerate(ROAD) if stop in here)
    parts = [f'<rect width="100%" height="100%" rx="6" fill="{ground}"/>'] if paper else []
    parts += [_line(left, right, y, line), _line(left, xs[last], y, quiet)]
    for i, ((stop, form), x) in enumerate(zip(ROAD, xs, strict=True)):
        lit = stop in here
        colour = FORMS[form][at] if lit else quiet if i < last else line
        fill = colour if lit or i < last else ground
        parts.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{(0.62 if lit else 0.36) * size:.1f}" fill="{fill}" '
                     f'stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<text x="{x:.0f}" y="{y + 1.95 * size:.0f}" text-anchor="middle" '
                     f'font-weight="{700 if lit else 400}" fill="{ink if lit else quiet}">{stop}</text>')
    height = f"{3.4 * size:.0f}"
    return (f'<svg class="road" xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img" aria-label="{road_in_words(number)}" '
            f'font-family="{FONTS}" font-size="{size}">{"".join(parts)}</svg>')


def road_in_words(number: str) -> str:
    """Return what the road shows, e.g. "The road from training to the chip; here: int8, step 4 of 6"."""
    here = _stops(number)
    places = " and ".join(f"{stop}, step {i} of {len(ROAD)}" for i, (stop, _) in enumerate(ROAD, 1)
                          if stop in here)
    return f"The road from training to the chip; here: {'all of it' if here == _ALL else places}"


def _line(x1, x2, y, colour):
    return f'<line x1="{x1:.0f}" y1="{y:.0f}" x2="{x2:.0f}" y2="{y:.0f}" stroke="{colour}" stroke-width="3"/>'


def _stops(number):
    if not isinstance(number, str) or number not in STOPS:
        raise ValueError(f"the road knows the lessons {', '.join(STOPS)}; got {arguments.shown(number)}")
    return STOPS[number]


def _at(side):
    if not isinstance(side, str) or side not in SIDES:
        raise ValueError(f"side must be light or dark, got {arguments.shown(side)}")
    return SIDES.index(side)
