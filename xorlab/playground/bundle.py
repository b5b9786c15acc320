"""The playground's files as one module, as JupyterLab loads it and pages carry it.

No build step: `module` puts the files below each other, those that are imported first. It leaves out the lines of
imports and the word `export`; and comments and the space before lines, which are for who reads the files, not for who
loads them. So no template of several lines may mean anything by them.
"""
import functools
import json
import re
from pathlib import Path

from xorlab import look
from xorlab.playground.state import PRESETS

HERE = Path(__file__).parent
LAST = "view.js"                    # whose `export default` is the module's
SHADED = ("output", "difference")   # six digits a shade are a third of what lists of numbers take
SHADES = (f"for (const key of {json.dumps(SHADED)}) LOOK[key] = LOOK[key].match(/.{{6}}/g)"
          ".map(shade => shade.match(/../g).map(part => parseInt(part, 16)));")
IMPORT = re.compile(r'^import \{.*\} from "\./([\w-]+\.js)";.*$', re.M)


@functools.cache
def module() -> str:
    """Return the whole playground as the text of one JavaScript module, `export default { render }`."""
    look_ = colours()
    for name in SHADED:
        look_[name] = "".join(f"{part:02x}" for shade in look_[name] for part in shade)
    head = [f"const PRESETS = {_compact(PRESETS)};", f"const LOOK = {_compact(look_)};", SHADES]
    return "\n".join([*head, *(_inside(name) for name in files())])


def files() -> list[str]:
    """Return the names of the files, each after those that it imports."""
    found = []

    def add(name):
        for imported in IMPORT.findall(_text(name)):
            if imported not in found:
                add(imported)
        found.append(name)

    add(LAST)
    return found


def colours() -> dict:
    """Return the colours of xorlab.look as a page draws with them.

    plain, forms, optimizers : {name: {"light": "#...", "dark": "#..."}}.  attend : one colour.
    output, difference : 256 shades, [red, green, blue] of 255, from 0 to 1 and from lower to higher.
    """
    from matplotlib import colormaps  # not plots: a kernel that draws nothing need not load it

    def pairs(rows):
        return {name: dict(zip(look.SIDES, row, strict=False)) for name, row in rows.items()}

    def shades(name, low, high):
        steps = [low + (high - low) * i / 255 for i in range(256)]
        return [[round(255 * part) for part in colour[:3]] for colour in colormaps[name](steps).tolist()]

    plain = {"ink": look.INK, "quiet": look.QUIET, "line": look.LINE, "paper": look.PAPER}
    same = {"lower": look.LOWER, "higher": look.HIGHER, "zero": look.CLASSES[0], "one": look.CLASSES[1]}
    return {"plain": pairs({**plain, **{name: (colour, colour) for name, colour in same.items()}}),
            "forms": pairs(look.FORMS), "optimizers": pairs(look.OPTIMIZERS), "attend": look.ATTEND,
            "output": shades(*look.OUTPUT), "difference": shades(*look.DIFFERENCE)}


def _text(name):
    return (HERE / name).read_text(encoding="utf-8")


def _inside(name):
    text = IMPORT.sub("", _text(name))
    ends = r"(?!default\b)" if name == LAST else ""
    text = re.sub(rf"^export {ends}", "", text, flags=re.M)
    return re.sub(r"^ *//.*\n|^ +(?=\S)| {2,}// .*$", "", text, flags=re.M).strip() + "\n"


def _compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
