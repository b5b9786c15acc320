"""Playgrounds of stored notebooks on pages and slides, alive where scripts run, and one on a page of its own."""
import base64
import html
import json
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from xorlab.playground import bundle, picture
from xorlab.playground import state as states
from xorlab.playground.state import MIME

TEMPLATES = Path(__file__).resolve().parent / "templates" / "playground"
VIEW = "application/vnd.jupyter.widget-view+json"       # any widget of a stored notebook; names a model in its kernel
MARK = "<!-- playground -->"        # where a page wants the module
ALONE = "playground.html"
BEGINS = "lesson 05"                # what the page of its own begins with
SENTENCE = ("A small network learns XOR while you watch, in float and in int8. Press play, or change anything. The "
            "page's address keeps what you find. It's one file that needs no network, so you can hand it on.")


def is_one(output) -> bool:
    """Is an output of a stored notebook a playground?"""
    return MIME in output.get("data", {})


def check(output) -> None:
    """Raise ValueError, with words for what is wrong, unless a stored output's picture and playground can be shown."""
    data = output.get("data", {})
    for kind, begins in (("image/png", b"\x89PNG\r\n\x1a\n"), ("image/jpeg", b"\xff\xd8")):
        if kind in data:
            said = output.metadata.setdefault(kind, {})
            if not _decoded(data[kind]).startswith(begins):
                raise ValueError(f"an {kind} that is damaged")
            if not (isinstance(said, dict) and isinstance(said.get("alt", ""), str)
                    and type(said.get("width", 1)) is int and said.get("width", 1) > 0):
                raise ValueError(f"an {kind} whose alt text is no text, or whose width is no whole number")
    if is_one(output):
        if not {"alt", "width"} <= output.metadata.get("image/png", {}).keys():
            raise ValueError("a playground without a picture, its alt text and its width")
        try:
            states.complete(data[MIME])
        except ValueError as problem:
            raise ValueError(f"a playground that cannot be: {problem}") from None


def _decoded(text):
    """Return the first bytes of base64 text, as many as a picture's head has; none of other text."""
    try:
        return base64.b64decode(text[:32], validate=True)
    except (TypeError, ValueError):
        return b""


def revive(notebook, shape: str) -> None:
    """Turn each output of a notebook that is a playground into HTML: its picture, and what a living one is made of."""
    for output in (output for cell in notebook.cells for output in cell.get("outputs", []) if is_one(output)):
        said = output.metadata["image/png"]
        output.data = {"text/html": place(output.data[MIME], output.data["image/png"], said, shape)}


def place(state: dict, png: str, said: dict, shape: str, address: bool = False) -> str:
    """Return the HTML of a playground.  png, said : its picture, base64, with the alt text and width on a page."""
    facts = json.dumps({"state": state, "shape": shape, "address": address}, ensure_ascii=False).replace("<", "\\u003c")
    return (f'<figure class="playground {shape}"><script type="application/json">{facts}</script>'
            f'<img src="data:image/png;base64,{png}" alt="{html.escape(said["alt"])}" width="{said["width"]}">'
            f'<div class="live"></div></figure>')


def with_module(page: str) -> str:
    """Return a page with the module and the script that runs it in the place of MARK, or nothing if it needs none."""
    return page.replace(MARK, _scripts() if '<figure class="playground ' in page else "")


@cache
def _scripts():
    source = bundle.module()
    if "</script" in source or "<!--" in source:
        raise ValueError("the playground's module holds what would end a page's script: </script or <!--")
    loader = (TEMPLATES / "loader.js").read_text(encoding="utf-8")
    return f'<script type="text/plain" id="playground-module">{source}</script>\n<script>{loader}</script>'


@cache
def page(css: str) -> str:
    """Return a page that is a playground and nothing else, one file that needs no other.  css : its style sheet."""
    state = states.preset(BEGINS)
    png, said = picture.png(state)
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    return with_module(environment.get_template("page.html.j2").render(
        css=css, sentence=SENTENCE, mark=Markup(MARK), playground=Markup(place(state, png, said, "full", True))))
