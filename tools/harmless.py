"""What a page may take from a lesson: words, tables and pictures that it carries. It loads nothing and runs nothing.

Whoever runs a lesson runs its code and knows it; whoever opens a page or a deck made of one does not, and neither
does whoever prints a deck. So what a template brings is the project's own, and of all else only what stands in the
lists below gets into a page. Anything else is refused, in a sentence that quotes it.
"""
import re
from collections import Counter
from html import escape
from html.parser import HTMLParser

import lab
from xorlab.streams import printable

WORDS = {
    "p", "br", "hr", "div", "span", "section", "article", "aside", "main", "header", "footer", "nav", "figure",
    "figcaption", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "code", "kbd", "samp", "var", "em", "strong",
    "b", "i", "u", "s", "small", "big", "del", "ins", "mark", "sub", "sup", "abbr", "cite", "q", "dfn", "time",
    "address", "center", "ul", "ol", "li", "dl", "dt", "dd", "table", "caption", "colgroup", "col", "thead", "tbody",
    "tfoot", "tr", "td", "th", "details", "summary", "a", "img", "wbr", "body",
}
DRAWN = {"svg", "g", "line", "circle", "ellipse", "rect", "path", "polyline", "polygon", "text", "tspan"}
DATA, SHEET = "script", "style"         # allowed where the one is JSON, and the other loads nothing
OF_ANY = {
    "class", "id", "title", "lang", "dir", "role", "style", "align", "valign", "width", "height", "open", "start",
    "reversed", "type", "colspan", "rowspan", "scope", "headers", "span", "cite", "datetime", "border", "cellpadding",
    "cellspacing", "alt",
}
OF_A_DRAWING = {
    "viewbox", "xmlns", "version", "preserveaspectratio", "x", "y", "x1", "x2", "y1", "y2", "dx", "dy", "cx", "cy", "r",
    "rx", "ry", "d", "points", "transform", "fill", "fill-opacity", "fill-rule", "stroke", "stroke-width",
    "stroke-opacity", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "opacity", "font-family", "font-size",
    "font-weight", "font-style", "text-anchor", "dominant-baseline", "letter-spacing",
}
PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/=\s]+")
LEADS = {"http", "https", "mailto"}     # schemes of links that load nothing until somebody follows them
# Functions of style sheets that load nothing; url() and its like are not among them
STYLE = {"rgb", "rgba", "hsl", "hsla", "calc", "min", "max", "clamp", "var", "minmax", "repeat", "fit-content",
         "light-dark", "translate", "translatex", "translatey", "scale", "rotate", "not", "is", "where", "has",
         "nth-child", "nth-of-type", "nth-last-child", "nth-last-of-type", "lang"}
ADVICE = ("a page made of a lesson carries what it shows and runs nothing of its own; attach a picture to its cell, or "
          "leave this out")


def check(page: str, empty: str, name: str) -> None:
    """Raise lab.Problem, in one sentence, for what must not get from a lesson into a page.

    page : the HTML of a lesson's page.  empty : the same template's page without a cell: what stands there may.
    name : the lesson's, for the sentence.
    """
    found = _doubtful(page)
    left = Counter(found) - Counter(_doubtful(empty))
    for piece in found:
        if left[piece]:
            short = piece if len(piece) < 160 else piece[:157] + "..."
            raise lab.Problem(f"{printable(name)}: {printable(short)} cannot be shown: {ADVICE}")


def _doubtful(page):
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader.found


class _Reader(HTMLParser):
    """Collects, as text, whatever of a page is not in the lists."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.found, self._raw = [], None

    def handle_starttag(self, tag, attributes):
        if tag in (DATA, SHEET):
            self._raw = (tag, attributes, "")
        elif tag not in WORDS | DRAWN or not all(_may(tag, *one) for one in attributes):
            self.found.append(_quoted(tag, attributes))

    def handle_endtag(self, tag):
        if self._raw and tag == self._raw[0]:
            kind, attributes, content = self._raw
            self._raw = None
            may = _is_json if kind == DATA else _is_sheet
            if not may(dict(attributes), content):
                self.found.append(_quoted(kind, attributes) + content)

    def handle_data(self, data):
        if self._raw:
            self._raw = (*self._raw[:2], self._raw[2] + data)

    def close(self):
        super().close()
        if self._raw:                       # a script or sheet without an end
            self.found.append(_quoted(*self._raw[:2]))

    # Browsers end these elsewhere than a parser of another kind: nothing can hide behind one.
    def handle_comment(self, data):
        self.found.append(f"<!--{data}-->")

    def handle_decl(self, data):
        self.found.append(f"<!{data}>")

    def unknown_decl(self, data):
        self.found.append(f"<![{data}]>")

    def handle_pi(self, data):
        self.found.append(f"<?{data}>")


def _quoted(tag, attributes):
    return f"<{tag}{''.join(f' {name}' + (f'={escape(value)!r}' if value else '') for name, value in attributes)}>"


def _may(tag, name, value):
    value = value or ""
    if name == "src":
        return tag == "img" and bool(PICTURE.fullmatch(value))
    if name == "href":
        return tag == "a" and leads(value)
    if name == "data-background-color":                 # reveal.js takes an address in its place, too
        return tag == "section" and bool(re.fullmatch("#[0-9a-f]{6}", value))
    if name == "style":
        return loads_nothing(value)
    if name.startswith("aria-") or name in OF_ANY:
        return True
    return tag in DRAWN and name in OF_A_DRAWING and loads_nothing(value)


def leads(address: str) -> bool:
    """Does a link lead to another page, or another place of this one, and run nothing?

    >>> [leads(to) for to in ("#here", "03-x.html", "https://a.org/", "java\\tscript:alert(1)", "file:///etc/passwd")]
    [True, True, True, False, False]
    """
    scheme = re.match(r"([a-z][a-z0-9+.-]*):", re.sub(r"[\x00-\x20]", "", address).lower())     # as a browser reads it
    return scheme is None or scheme[1] in LEADS


def loads_nothing(style: str) -> bool:
    """Is this part of a style sheet one that makes a browser load nothing?

    >>> [loads_nothing(one) for one in ("width: calc(1em + 2px)", "background: url(x.png)", "background: u\\\\72l(x)")]
    [True, False, False]
    """
    functions = re.findall(r"([\w-]*)\s*\(", style.lower())
    return not re.search(r"[\\@<]|/\*", style) and all(one in STYLE or not one for one in functions)


def _is_json(attributes, content):
    return attributes == {"type": "application/json"} and "<" not in content


def _is_sheet(attributes, content):
    return set(attributes) <= {"type", "scoped"} and loads_nothing(content)
