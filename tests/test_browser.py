"""A student's first minutes: `python3 lab.py`, a real JupyterLab in a real browser, lessons run from top to bottom."""
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tools import chromium
from xorlab import editions

ROOT = Path(__file__).resolve().parent.parent
FIRST = ROOT / "notebooks" / "00-start-here.ipynb"
EXERCISES = ROOT / "notebooks" / "02-pytorch-mlp.ipynb"
FILM = ROOT / "notebooks" / "06-decision-surfaces.ipynb"
FILM_CELLS = ("cell-02", "cell-17", "cell-20")      # imports, the training that is filmed, the film
INT8 = ROOT / "notebooks" / "05-int8-checks.ipynb"
CHROMIUM = chromium.find()
SECONDS = 60

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium or Chrome on this machine")

RUN_ALL = """async () => {
  const app = window.jupyterapp;
  await app.restored;
  const panel = app.shell.currentWidget;
  await panel.context.ready;
  await panel.sessionContext.ready;
  await panel.revealed;
  const code = panel.content.widgets.map(cell => cell.model).filter(model => model.type === 'code');
  const untouched = code.every(model => model.outputs.length === 0);
  await app.commands.execute('notebook:clear-all-cell-outputs');
  const cleared = code.every(model => model.outputs.length === 0 && model.executionCount === null);
  await app.commands.execute('notebook:run-all-cells');
  const outputs = code.flatMap(model => model.outputs.toJSON());
  return {
    cleared, untouched,
    counts: code.map(model => model.executionCount),
    shown: code.map(model => model.outputs.length > 0),
    errors: outputs.filter(o => o.output_type === 'error').map(o => o.ename + ': ' + o.evalue),
  };
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """lab.py of a copy of the checkout, so that nobody's work/ is touched."""
    tmp_path = tmp_path_factory.mktemp("checkout")
    shutil.copy(ROOT / "lab.py", tmp_path)
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns("build", ".*"))
    spec = importlib.util.spec_from_file_location("lab_in_browser", tmp_path / "lab.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def server(lab):
    """Start what `python3 lab.py` starts, with this Python in the place of .venv's; give the address and the home."""
    home, log_file = lab.HERE / "home", lab.HERE / "server.log"
    home.mkdir()
    arguments = ["--no-browser", f"--port={free_port()}", "--LabApp.expose_app_in_browser=True"]
    command = lab.prepare(sys.executable, arguments)
    _, keyboard = os.openpty()      # without one, Jupyter would not ask "Shut down (y/n)?", and a test not see it
    with log_file.open("w") as log:
        process = subprocess.Popen(
            command, cwd=lab.HERE, env=a_students(dict(lab.environment(sys.executable), HOME=str(home))),
            stdin=keyboard, stdout=log, stderr=subprocess.STDOUT,
        )
        try:
            yield address(process, log_file), home
        finally:
            process.send_signal(signal.SIGINT)     # one Ctrl-C
            try:
                assert process.wait(20) == 0
            finally:
                process.kill()


def a_students(environment):
    """Return an environment without what marks the checks, where no progress would be kept."""
    return {name: value for name, value in environment.items() if name != "XORLAB_CHECK"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def address(process, log):
    """Return the address that Jupyter prints, token and all, once it answers there."""
    deadline = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        found = re.search(r"http://127\.0\.0\.1:\d+/lab\S*token=\w+", log.read_text())
        if found:
            return found.group()
        time.sleep(0.1)
    raise AssertionError(f"JupyterLab printed no address:\n{log.read_text()}")


@pytest.fixture(scope="module")
def browser(lab):
    """A headless browser with a home of its own, whose pages keep what JupyterLab loads for the next ones."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        home = dict(os.environ, HOME=str(lab.HERE / "browser"))
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=chromium.FLAGS, env=home)
        yield browser.new_context(viewport={"width": 1280, "height": 900})
        browser.close()


def open_page(browser, url):
    """Open a lesson; return the page, and the lists of its requests to strangers and its complaints, which grow."""
    page = browser.new_page()
    strangers, complaints = [], []
    page.on("request", lambda request: is_stranger(request.url) and strangers.append(request.url))
    page.on("console", lambda message: is_complaint(message) and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(url)
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=SECONDS * 1000)
    return page, strangers, complaints


def is_complaint(message):
    """Is this an error?  JupyterLab makes one of every attached picture: it asks for `attachment:` before it looks."""
    return message.type == "error" and "ERR_UNKNOWN_URL_SCHEME" not in message.text


def test_the_first_lesson_runs_in_a_browser_and_speaks_to_this_machine_only(server, lab, browser):
    url, home = server
    assert f"/lab/tree/{FIRST.name}?token=" in url
    page, strangers, complaints = open_page(browser, url)
    result = page.evaluate(RUN_ALL)
    dialogs = page.locator(".jp-Dialog, .Toastify__toast").all_inner_texts()
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.close()
    assert result["errors"] == []
    stored = [bool(cell["outputs"]) for cell in editions.read(FIRST)["cells"] if cell["cell_type"] == "code"]
    assert result["untouched"] and result["cleared"] and result["shown"] == stored
    assert result["counts"] == list(range(1, len(result["counts"]) + 1))
    assert strangers == []
    assert complaints == []
    assert dialogs == []
    assert [path.name for path in home.iterdir()] == []
    assert (lab.NOTEBOOKS / FIRST.name).read_bytes() == FIRST.read_bytes()


def test_the_film_moves_by_keyboard_and_by_mouse(server, browser, lab):
    url, _ = server
    lesson = editions.read(lab.WORK / FILM.name)
    lesson["cells"] = [cell for cell in lesson["cells"] if cell["id"] in FILM_CELLS]
    (lab.WORK / "film.ipynb").write_text(json.dumps(lesson), encoding="utf-8")
    page, _, _ = open_page(browser, url.replace("/lab/tree/" + FIRST.name, "/lab/workspaces/film/tree/film.ipynb"))
    result = page.evaluate(RUN_ALL)
    assert result["errors"] == [] and len(result["counts"]) == len(FILM_CELLS)
    slider, picture = page.get_by_role("slider").first, page.locator(".jupyter-widgets img.widget-image").first
    slider.scroll_into_view_if_needed()

    def changed_by(act):
        before = picture.get_attribute("src")
        act()
        page.wait_for_function(
            "before => document.querySelector('.jupyter-widgets img.widget-image').src !== before",
            arg=before, timeout=10_000)

    slider.focus()
    changed_by(lambda: page.keyboard.press("ArrowRight"))
    assert "epoch 10" in page.locator(".widget-hbox .widget-label").all_inner_texts()
    changed_by(lambda: drag(page, slider, 60))
    changed_by(lambda: page.locator(".jupyter-widgets button").first.click())        # play
    page.close()


def test_a_lesson_is_headed_by_the_road_with_its_words(server, browser):
    url, _ = server
    road_url = url.replace("/lab/tree/" + FIRST.name, "/lab/workspaces/road/tree/" + INT8.name)
    page, _, _ = open_page(browser, road_url)
    road = page.get_by_role("img", name="The road from training to the chip; here: int8, step 4 of 6")
    road.wait_for()
    page.wait_for_function("image => image.naturalWidth > 0", arg=road.element_handle(), timeout=10_000)
    assert road.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [1000, 51]
    assert road.bounding_box()["width"] > 600
    page.close()


def drag(page, handle, pixels):
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + pixels, y, steps=4)
    page.mouse.up()


# Runs code in the notebook's kernel and gives what it prints; a new cell would do the same, slowly.
IN_THE_KERNEL = """async code => {
  const future = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute({code});
  let printed = '';
  future.onIOPub = ({header, content}) => {
    if (header.msg_type === 'stream') printed += content.text;
    if (header.msg_type === 'error') printed += `${content.ename}: ${content.evalue}`;
  };
  await future.done;
  return printed.trim();
}"""


def test_a_playground_and_its_kernel_stay_in_step(server, lab, browser):
    from xorlab.playground import picture
    from xorlab.playground import state as states

    cell = {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": None,
            "source": 'from xorlab.playground import Playground\nplay = Playground("stuck")\nplay'}
    stored = lab.WORK / "playing.ipynb"
    kernel_of = {"kernelspec": editions.read(FIRST)["metadata"]["kernelspec"]}
    stored.write_text(json.dumps({"cells": [cell], "metadata": kernel_of, "nbformat": 4, "nbformat_minor": 5}))
    url, _ = server
    page, strangers, complaints = open_page(
        browser, url.replace("/lab/tree/" + FIRST.name, "/lab/workspaces/play/tree/" + stored.name))
    assert page.evaluate(RUN_ALL)["errors"] == []

    def at(name):
        return page.locator(f'.xor-playground [data-playground="{name}"]')

    def kernel(code):
        return page.evaluate(IN_THE_KERNEL, code)

    def seen():
        return page.evaluate("() => document.querySelector('.xor-playground').playground.state()")

    def until(said, code):
        """Wait until the kernel says this: what the page sends is under way for a moment."""
        deadline = time.monotonic() + 10
        while (now := kernel(code)) != said and time.monotonic() < deadline:
            time.sleep(0.1)
        assert now == said

    def in_step():
        until(json.dumps(states.complete(seen()), sort_keys=True),
              "import json; print(json.dumps(play.state, sort_keys=True))")
        counts = picture.counts(states.complete(seen()))
        assert at("corners").inner_text() == f"{counts['right_int8']} of 4 corners"
        if not seen()["other"]:
            assert at("changed").inner_text() == f"{counts['changed']:,} change class"

    at("play").wait_for()
    in_step()
    at("play").click()                                                      # the page plays, the kernel follows
    page.wait_for_function("() => document.querySelector('.xor-playground').playground.state().epoch > 300")
    until("True", "print(play.state['epoch'] > 0 and play.state['playing'])")
    at("play").click()
    in_step()
    at("w-0-1-0").press("PageUp")                                           # a weight by key
    in_step()
    assert float(kernel("print(play.net.hidden.weight[1, 0].item())")) == pytest.approx(
        seen()["weights"][0]["w"][1][0], rel=1e-6)
    at("preset").select_option("lesson 05")
    in_step()
    assert kernel("print(play, play.state['preset'])") == "Playground('lesson 05') lesson 05"
    kernel("play.set(rate=0.03, other=None, data='or')")                    # the kernel sets, the page shows
    page.wait_for_function("() => document.querySelector('.xor-playground').playground.state().rate === 0.03")
    in_step()
    assert at("corners").inner_text() == "3 of 4 corners" and kernel("print(play.points[1].sum())") == "3.0"
    assert kernel("play.set(rate=-1)").startswith("ValueError: rate must be")
    at("group-take-away").locator("summary").click()
    with page.expect_download() as download:                                # a file that only the kernel can make
        at("take-pth").click()
    assert download.value.suggested_filename == "xor.pth" and download.value.path().stat().st_size > 2000
    at("play").click()                                                      # closed, it stops
    page.evaluate("() => { window.left = document.querySelector('.xor-playground').playground; }")
    page.evaluate("() => { const panel = window.jupyterapp.shell.currentWidget; return panel.context.save()"
                  ".then(() => panel.close()); }")
    page.wait_for_selector(".xor-playground", state="detached")
    epoch = page.evaluate("() => window.left.state().epoch")
    page.wait_for_timeout(300)
    assert page.evaluate("() => [window.left.state().epoch, window.left.state().playing]") == [epoch, False]
    page.close()
    assert (strangers, complaints) == ([], [])


def is_stranger(url):
    """Does this request leave the machine, or make the server ask for news or updates elsewhere?"""
    leaves = url.startswith(("http:", "https:", "ws:", "wss:")) and "//127.0.0.1:" not in url
    return leaves or "/lab/api/news" in url or "/lab/api/update" in url


def test_jupyter_answers_only_to_the_token(server):
    url, _ = server
    port = re.search(r":(\d+)/", url).group(1)
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/contents", timeout=10)
    assert refusal.value.code == 403


class Keyboard:
    """A lesson in a page, used by keys alone; what is read of it comes from the notebook's own model."""

    def __init__(self, page):
        self.page = page
        page.evaluate("""async () => {
          const panel = window.jupyterapp.shell.currentWidget;
          await panel.context.ready; await panel.sessionContext.ready; await panel.revealed;
          panel.content.activate();
        }""")
        self.press("Escape")                                # command mode, in the first cell

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def cell(self):
        """Return the id of the cell that keys go to."""
        return self.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCell.model.id")

    def go(self, wanted, *, run=False):
        """Move down (or run each cell on the way) until the cell with this id is the active one; up if `run` is not."""
        key = "Shift+Enter" if run else self.direction(wanted)
        for _ in range(400):
            if self.cell() == wanted:
                return self.idle()
            before = self.cell()
            self.press(key)
            self.page.wait_for_function(
                "before => window.jupyterapp.shell.currentWidget.content.activeCell.model.id !== before", arg=before)
        raise AssertionError(f"no keys lead to {wanted}")

    def direction(self, wanted):
        below = self.page.evaluate("""wanted => {
          const notebook = window.jupyterapp.shell.currentWidget.content;
          return notebook.widgets.findIndex(cell => cell.model.id === wanted) > notebook.activeCellIndex;
        }""", wanted)
        return "ArrowDown" if below else "ArrowUp"

    def idle(self):
        """Wait until every cell that was sent has run."""
        self.page.wait_for_function("""() => {
          const panel = window.jupyterapp.shell.currentWidget;
          const waiting = panel.content.widgets.some(cell => cell.model.executionState === 'running' ||
                                                             cell.promptNode?.textContent.includes('*'));
          return panel.sessionContext.session?.kernel?.status === 'idle' && !waiting;
        }""", timeout=SECONDS * 1000)

    def replace(self, old, new):
        """In the active cell, put `new` in the place of `old`, which stands in it once, and run it."""
        text = self.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.source")
        assert text.count(old) == 1, text
        start, end = text.index(old), text.index(old) + len(old)
        self.press("Enter", "Control+Home", *["ArrowRight"] * start, *["Shift+ArrowRight"] * (end - start))
        self.page.keyboard.type(new)
        self.press("Control+Enter")
        self.idle()

    def said(self):
        """Run the active cell and return the text that it shows."""
        self.press("Control+Enter")
        self.idle()
        return self.page.evaluate("""() => {
          const outputs = window.jupyterapp.shell.currentWidget.content.activeCell.model.outputs.toJSON();
          return outputs.map(o => [].concat(o.text ?? o.data?.['text/plain'] ?? o.evalue).join('')).join('\\n');
        }""")

    def asked(self, code):
        """Run code in a new cell below the active one, return what it shows, and take the cell away again."""
        self.press("b", "Enter")
        self.page.keyboard.type(code)
        said = self.said()
        self.press("d", "d")
        return said


def test_an_exercise_is_answered_wrongly_then_rightly_by_keyboard_alone(server, browser):
    url, _ = server
    page, _, complaints = open_page(
        browser, url.replace("/lab/tree/" + FIRST.name, "/lab/workspaces/exercise/tree/" + EXERCISES.name))
    keys = Keyboard(page)
    keys.go("check-02-1", run=True)
    assert keys.said().startswith("not tried yet")
    before = keys.asked("progress()")
    keys.go("task-02-1")
    keys.replace("...", "[(20, 20, -10), (20, 20, -10), (20, -20, -10)]")
    keys.go("check-02-1")
    assert re.match("wrong.* 3 of 4", keys.said(), re.DOTALL)
    assert keys.asked('hint("02.1")') != keys.asked('hint("02.1")')
    keys.go("task-02-1")
    keys.replace("(20, 20, -10), (20, 20, -10)", "(20, 20, -10), (20, 20, -30)")
    keys.go("check-02-1")
    assert keys.said().startswith("right")
    after = keys.asked("progress()")
    page.close()
    assert "0 of" in before and "1 of" in after
    assert complaints == []
