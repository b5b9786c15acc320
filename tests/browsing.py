"""What the tests of slides and of the site share: small lessons, and a page in a browser."""
import re

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import chromium

IN_A_BROWSER = pytest.mark.skipif(chromium.find() is None, reason="no Chromium or Chrome on this machine")


def visit(browser, path, size=(1280, 720)):
    """Open a file; return the page, and the lists of its requests to others and of its complaints, which grow."""
    page = browser.new_page(viewport=dict(zip(("width", "height"), size, strict=True)))
    strangers, complaints = [], []
    own = (path.parent.as_uri(), "data:", "blob:")
    page.on("request", lambda request: request.url.startswith(own) or strangers.append(request.url))
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    return page, strangers, complaints


def text(source, kind="slide", **metadata):
    return new_markdown_cell(source, metadata={"slideshow": {"slide_type": kind}, **metadata})


def code(source, kind="slide", printed="", **metadata):
    outputs = [new_output("stream", name="stdout", text=printed)] if printed else []
    return new_code_cell(source, outputs=outputs, metadata={"slideshow": {"slide_type": kind}, **metadata})


def lesson_of(folder, cell):
    path = folder / "01-small.ipynb"
    nbformat.write(new_notebook(cells=[text("# Title"), cell]), path)
    return path


def alt_texts(path):
    html = re.sub("(?s)<script>.*?</script>", "", path.read_text(encoding="utf-8"))
    return [image.get("alt") for image in BeautifulSoup(html, "html.parser").find_all("img")]


def stored_alt_texts(notebook):
    return [output.metadata["image/png"]["alt"] for cell in notebook.cells
            for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]


# What axe-core asks depends on an element's kind: those around it, their classes and styles, which attributes it has,
# and whether it says anything or scrolls. Of thousands of elements one of each kind is enough.
ONE_OF_A_KIND = """() => {
  const kinds = new Map([[document.body, '']]);
  const kind = element => {
    if (!kinds.has(element)) {
      const attributes = [...element.attributes].map(({name, value}) => name + (value.trim() ? '' : '=""'));
      kinds.set(element, `${kind(element.parentElement)} ${element.tagName}.${element.className} ` +
        `${element.getAttribute('style')} ${attributes} ${!!element.textContent.trim()} ` +
        `${element.scrollWidth > element.clientWidth}`);
    }
    return kinds.get(element);
  };
  const all = [...document.body.querySelectorAll(':not(mjx-container *):not(svg *)')];
  const seen = new Set(), kept = new Set();
  for (const element of all) {
    if (seen.has(kind(element))) continue;
    seen.add(kind(element));
    for (let one = element; one && !kept.has(one); one = one.parentElement) kept.add(one);
  }
  for (const element of all) if (!kept.has(element)) element.remove();
}"""


def barriers(page):
    """Return what axe-core finds on a page that keeps readers out, contrast in light and in dark: [(rule, HTML)].

    The page is left with one element of each kind.
    """
    page.evaluate(ONE_OF_A_KIND)
    return barriers_everywhere(page)


def barriers_everywhere(page):
    """Return the same of every element there is, of a page that is small enough."""
    from axe_playwright_python.sync_playwright import Axe

    found = []
    for side, options in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
        page.emulate_media(color_scheme=side)
        violations = Axe().run(page, options={"resultTypes": ["violations"], **options}).response["violations"]
        found += [(violation["id"], violation["nodes"][0]["html"]) for violation in violations
                  if violation["impact"] in ("serious", "critical")]
    return found
