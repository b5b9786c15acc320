"""The playground in Chromium while it trains: frames a second, epochs a frame, and the wait between two frames."""
import json
import sys
import tempfile
from pathlib import Path

from tools import chromium
from xorlab.playground import bundle
from xorlab.streams import ended
from xorlab.tables import Table

SECONDS = 3
STATES = {
    "four points, 2-3-1": {"optimizer": "adam"},
    "four points, 2-8-8-1": {"optimizer": "adam", "hidden": [8, 8]},
    "200 points, 2-8-8-8-1": {"optimizer": "adam", "hidden": [8, 8, 8], "data": {"name": "moons"}},
}
PAGE = """<!DOCTYPE html><title>Frames</title><div id="place"></div><script type="module">
%s
const traits = {state: %s};
const model = {get: key => traits[key], set(key, value) { traits[key] = value; }, on() {}, off() {}, save_changes() {}};
measured.render({model, el: place});
</script>"""
FRAMES = """seconds => new Promise(done => {
  const gaps = [], begun = performance.now(), before = place.playground.state().epoch;
  let last = begun;
  const frame = now => {
    gaps.push(now - last);
    last = now;
    if (now - begun < 1000 * seconds) return requestAnimationFrame(frame);
    const epochs = place.playground.state().epoch - before;
    gaps.sort((a, b) => a - b);
    done([gaps.length / seconds, epochs / gaps.length, gaps[gaps.length >> 1], gaps[Math.floor(0.95 * gaps.length)]]);
  };
  requestAnimationFrame(frame); })"""


def frames(browser, state):
    """Return (frames a second, epochs a frame, median and 95th percentile of the milliseconds between frames)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames.html"
        module = bundle.module().replace("export default", "const measured =")
        path.write_text(PAGE % (module, json.dumps(state)), encoding="utf-8")
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.goto(path.as_uri())
        page.click("[data-playground=play]")
        page.wait_for_timeout(1000)                     # warming up
        found = page.evaluate(FRAMES, SECONDS)
        page.close()
    return found



def main():
    with chromium.browser() as browser:
        rows = [[name, *(f"{value:.1f}" for value in frames(browser, state))] for name, state in STATES.items()]
    print(Table(["training", "frames a second", "epochs a frame", "ms between two, median", "95 % within"], rows))


if __name__ == "__main__":
    sys.exit(ended(main))
