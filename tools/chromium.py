"""A Chromium or Chrome that is installed already: prints slides as PDF, and shows lessons to the tests."""
import os
import shutil
import tempfile
from contextlib import contextmanager

NAMES = [
    "chromium-headless-shell",      # draws the same in a quarter less time
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge",
]
USUAL_PLACES = [
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
]
FLAGS = [
    "--headless", "--font-render-hinting=none", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]


def find():
    """Return the path of a Chromium or Chrome, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None) or next(filter(os.path.exists, USUAL_PLACES), None)


@contextmanager
def browser():
    """Yield Playwright's handle of a headless browser with a home of its own, so that it writes into no other.

    Raises OSError, in one sentence, if there is none or it does not start.
    """
    from playwright.sync_api import Error, sync_playwright

    if find() is None:
        raise OSError("there is no Chromium or Chrome here; install one")
    with sync_playwright() as driver, tempfile.TemporaryDirectory(prefix="xorlab-browser-") as home:
        try:
            started = driver.chromium.launch(executable_path=find(), args=FLAGS, env=dict(os.environ, HOME=home))
        except Error as error:
            raise OSError(f"{find()} does not start: {str(error).splitlines()[0]}") from None
        yield started
        started.close()


def print_deck(browser, deck, pdf):
    """Print a deck of slides (a Path) as PDF, a page a slide.  Nothing but the deck itself is read."""
    page, own = browser.new_page(), deck.resolve().as_uri()
    page.route("**/*", lambda route: route.continue_() if route.request.url.partition("?")[0] == own else route.abort())
    lay_out(page, own)
    page.pdf(path=pdf, prefer_css_page_size=True, print_background=True)
    page.close()


def lay_out(page, address):
    """Open a deck in a page as reveal.js lays it out for print, and wait until it stands there."""
    page.goto(address + "?print-pdf")
    page.wait_for_selector(".reveal-print .pdf-page", state="attached")
    page.evaluate("() => window.MathJax?.startup.promise")
