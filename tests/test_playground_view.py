"""What is seen and touched of the playground, in Chromium: by key, pointer and screen reader, in three widths."""
import base64
import json
import re

import numpy as np
import pytest
from browsing import IN_A_BROWSER, barriers_everywhere, visit

from tools import chromium
from xorlab.playground import bundle

pytestmark = IN_A_BROWSER

# A page as anywidget would make it, with a model that holds the traits and notes what is sent
PAGE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Playground</title>
<style>html { color-scheme: light dark; } body { margin: 0; background: light-dark(#fff, #14171c); }</style></head>
<body><main><h1 style="position: absolute; left: -9999px">Playground</h1><div id="place"></div></main>
<script type="module">
%s
const traits = %s, hooks = {};
const call = (name, ...what) => (hooks[name] ?? []).forEach(hook => hook(...what));
window.sent = [];
window.pressed = [];
document.addEventListener("keydown", event => pressed.push(event.key));
window.model = {
  get: key => traits[key], set(key, value) { traits[key] = value; call(`change:${key}`); }, save_changes() {},
  send: message => sent.push(message), on: (name, hook) => (hooks[name] ??= []).push(hook),
  off: (name, hook) => { hooks[name] = hooks[name].filter(other => other !== hook); }, call,
};
window.place = document.getElementById("place");
window.cleanup = view_in_test.render({ model, el: place });
</script></body></html>"""
WIDTHS = {"projector": (1280, 720), "notebook": (980, 1000), "phone": (390, 844)}


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    """Yield one page of a browser with the lists of its requests and complaints; each test loads its own file there."""
    blank = tmp_path_factory.mktemp("playgrounds") / "blank.html"
    blank.write_text("<!DOCTYPE html><title>Blank</title>", encoding="utf-8")
    with chromium.browser() as browser:
        page, strangers, complaints = visit(browser, blank)
        page.set_default_timeout(10_000)
        yield page, strangers, complaints, blank.parent


@pytest.fixture(scope="module")
def source():
    return bundle.module().replace("export default", "const view_in_test =")


@pytest.fixture
def opened(tab, source):
    """Return a function that opens a playground and gives its page; none may complain or ask another host."""
    page, strangers, complaints, folder = tab

    def open_(state=None, size="projector", *, shape="full", kernel=False, address="", motion="no-preference"):
        path = folder / f"{len(list(folder.iterdir()))}.html"
        traits = {"state": state or {}, "shape": shape, "kernel": kernel, "address": bool(address)}
        path.write_text(PAGE % (source, json.dumps(traits)), encoding="utf-8")
        page.set_viewport_size(dict(zip(("width", "height"), WIDTHS[size], strict=True)))
        page.emulate_media(reduced_motion=motion, color_scheme="light")
        page.goto(path.as_uri() + address)
        page.wait_for_selector(".xor-playground .play")
        return page

    yield open_
    assert not strangers and not complaints


def at(page, name):
    return page.locator(f'[data-playground="{name}"]')


def state(page):
    return page.evaluate("place.playground.state()")


def said(page):
    return at(page, "say").inner_text()


def array(page, what, dtype):
    """Return a typed array of the page; as text, since a list of 65,536 numbers takes seconds."""
    text = page.evaluate(f"""() => {{ const bytes = new Uint8Array(({what}).slice().buffer);
        let text = ""; for (let i = 0; i < bytes.length; i += 4096) {{
          text += String.fromCharCode(...bytes.subarray(i, i + 4096)); }}
        return btoa(text); }}""")
    return np.frombuffer(base64.b64decode(text), dtype)


def codes_of(page):
    """Return the int8 outputs, [x1 code, x2 code], as the playground's engine has them."""
    return array(page, "place.playground.codes()", np.int8).reshape(256, 256).astype(int)


def surface_of(page):
    return array(page, "place.playground.surface()", np.float64).reshape(256, 256)


def pixels(page, name):
    """Return a map's colours as they are on its canvas, (256, 256, 3): rows from the top."""
    canvas = f"""document.querySelector('[data-playground="{name}"]')"""
    colours = array(page, f"{canvas}.getContext('2d').getImageData(0, 0, 256, 256).data", np.uint8)
    return colours.reshape(256, 256, 4)[..., :3]


def shades():
    """Return the 256 colours of an output, from 0 to 1, as the module has them: (256, 3)."""
    given = bundle.colours()["output"]
    return np.frombuffer(bytes.fromhex(given), np.uint8).reshape(256, 3) if isinstance(given, str) else np.array(given)


def number(text):
    """Read a number as the playground writes it."""
    digits = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")
    plain = text.translate(digits).replace(" × 10", "e").replace(",", "")
    return float(re.search(r"-?\d+\.?\d*(e-?\d+)?", plain).group())


def preset(name, **changes):
    return {**bundle.PRESETS[name]["state"], "preset": name, **changes}


# What is drawn is what is

def outputs(page):
    """Return float outputs of all inputs from the state's weights, [x1 code, x2 code], computed here."""
    now, squash = state(page), {"sigmoid": lambda z: 1 / (1 + np.exp(-z)), "relu": lambda z: np.maximum(z, 0),
                                "tanh": np.tanh}
    steps = np.arange(256) / 255
    a = np.stack(np.meshgrid(steps, steps, indexing="ij"), -1)
    for i, layer in enumerate(now["weights"]):
        last = i == len(now["weights"]) - 1
        a = squash["sigmoid" if last else now["activation"]](a @ np.array(layer["w"]).T + layer["b"])
    return a[..., 0]


def test_the_maps_show_the_numbers_a_pixel_a_code(opened):
    page = opened(preset("solved"))
    at(page, "step-100").check(force=True)
    at(page, "step").click()
    output = shades()
    surface, codes = surface_of(page), codes_of(page)
    assert np.abs(surface - outputs(page)).max() < 1e-12
    assert np.array_equal(pixels(page, "map-float"), output[(surface.T[::-1] * 256).astype(int)])
    assert np.array_equal(pixels(page, "map-int8"), output[codes.T[::-1] + 128])
    changed = (surface > 0.5) != (codes > 0)
    black = (pixels(page, "map-difference") == (28, 28, 28)).all(-1)
    assert np.array_equal(black, changed.T[::-1]) and changed.sum() == number(at(page, "changed").inner_text()) > 0


def test_numbers_shown_are_those_of_the_state(opened):
    page = opened(preset("lesson 05"))
    for layer, rows in enumerate(state(page)["weights"]):
        for unit, bias in enumerate(rows["b"]):
            named = {f"b-{layer}-{unit}": bias, **{f"w-{layer}-{unit}-{i}": w for i, w in enumerate(rows["w"][unit])}}
            for name, value in named.items():
                assert abs(number(at(page, name).inner_text()) - value) <= 0.005
                assert float(at(page, name).get_attribute("aria-valuenow")) == value
    assert number(at(page, "epoch").inner_text()) == 10000
    assert number(at(page, "differing").inner_text()) == 69
    assert "4 of 4 corners" in said(page) and "69 answers differ between TFLite Micro and reference" in said(page)


def test_codes_shown_are_those_of_the_int8_network(opened):
    page = opened(preset("textbook"))
    at(page, "show-codes").check(force=True)
    shown = [[number(at(page, f"w-0-{unit}-{i}").inner_text()) for i in range(2)] for unit in range(4)]
    assert shown == [[127, 127]] * 4
    at(page, "w-0-0-0").press("ArrowUp")
    assert "show those to change one" in said(page) and state(page)["weights"][0]["w"][0] == [1, 1]


def test_what_two_rules_answer_differently_is_marked_and_counted(opened):
    page = opened(preset("lesson 05"))
    marks = [path.get_attribute("d").count("M") for path in page.locator(".difference .few").all()]
    codes = codes_of(page)
    open_group(page, "int8")
    at(page, "other").select_option("")
    at(page, "rule").select_option("reference")
    gaps = codes_of(page) - codes
    assert marks == [(gaps > 0).sum(), (gaps < 0).sum()] and sum(marks) == 69
    assert number(at(page, "changed").inner_text()) >= 0


def test_own_points_are_marked_right_or_wrong(opened):
    page = opened({"data": {"name": "own", "points": [[0, 0, 0], [1, 1, 1], [0.5, 0.2, 1]]}, "start": "zeros"})
    rings = page.locator(".float .wrong")
    assert rings.get_attribute("d").count("M") == 3 and at(page, "corners").inner_text() == "0 of 3 points"     # ties
    at(page, "b-1-0").press("ArrowUp")
    assert rings.get_attribute("d").count("M") == 1 and at(page, "corners").inner_text() == "2 of 3 points"


# What a person does, by keyboard alone

def open_group(page, name):
    at(page, f"group-{name}").locator("summary").press("Enter")


def test_the_keyboard_alone_plays_pauses_steps_and_resets(opened):
    page = opened()
    at(page, "play").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("place.playground.state().epoch > 100")
    assert at(page, "play").inner_text() == "pause" and state(page)["playing"]
    page.keyboard.press("Space")
    stopped = state(page)
    assert not stopped["playing"] and said(page).startswith(f"epoch {stopped['epoch']:,}, loss ")
    at(page, "step-1").focus()
    page.keyboard.press("ArrowRight")                   # to 10
    at(page, "step").press("Enter")
    assert state(page)["epoch"] == stopped["epoch"] + 10
    at(page, "reset").press("Enter")
    assert state(page)["epoch"] == 0 and state(page)["weights"] is None
    assert page.evaluate("pressed") == []               # nothing reached the page, where keys may turn slides


def test_a_weight_is_changed_by_arrows_and_by_typing(opened):
    page = opened(preset("textbook"))
    weight = at(page, "w-1-0-2")
    assert weight.get_attribute("role") == "spinbutton"
    assert weight.get_attribute("aria-label") == "weight of unit 3 into the output"
    weight.press("ArrowUp")
    weight.press("ArrowUp")
    assert state(page)["weights"][1]["w"][0][2] == 2.2 and weight.inner_text() == "2.2"
    weight.press("Shift+ArrowDown")
    assert state(page)["weights"][1]["w"][0][2] == 1.2
    at(page, "b-1-0").press("Enter")
    page.keyboard.type("-1.25")
    page.keyboard.press("Enter")
    assert state(page)["weights"][1]["b"] == [-1.25]
    assert page.evaluate("document.activeElement.dataset.playground") == "b-1-0"
    at(page, "b-1-0").press("Enter")
    page.keyboard.type("7")
    page.keyboard.press("Escape")
    assert state(page)["weights"][1]["b"] == [-1.25]


def test_a_weight_is_changed_by_dragging_on_a_scaled_slide_too(opened):
    page = opened(preset("textbook"))
    page.evaluate("document.body.style.cssText = 'transform: scale(0.5); transform-origin: 0 0'")
    box = at(page, "w-1-0-0").bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + 5, box["y"] - 20, steps=3)
    page.mouse.up()
    assert state(page)["weights"][1]["w"][0][0] == 3                # 25 pixels, 50 of its own, 0.02 each
    page.mouse.move(box["x"] + 5, box["y"] - 60)
    assert state(page)["weights"][1]["w"][0][0] == 3


def test_no_number_changes_while_it_plays(opened):
    page = opened(preset("zeros"))                      # zeros do not move by themselves
    at(page, "play").click()
    at(page, "b-1-0").press("ArrowUp")
    assert said(page) == "Pause first, then change a number."
    at(page, "play").click()
    assert {value for layer in state(page)["weights"] for value in layer["b"]} == {0}


def test_every_preset_is_chosen_by_key_with_its_sentence_and_task(opened):
    page = opened()
    at(page, "preset").focus()
    for name, wanted in bundle.PRESETS.items():
        page.keyboard.press("ArrowDown")
        now, about = state(page), at(page, "about").inner_text()
        assert now["preset"] == name and {key: now[key] for key in wanted["state"]} == wanted["state"]
        assert now["weights"] == wanted["state"].get("weights")
        assert wanted["sentence"] in about and wanted["task"] in about


def test_every_setting_is_found_and_reaches_the_state(opened):
    page = opened()
    for group, fields in {
        "network": {"layers": "2", "units-0": "4", "units-1": "2", "activation": "tanh", "start": "zeros"},
        "training": {"optimizer": "adamw", "rate": "0.02", "loss-kind": "bce", "batch": "3", "weight-decay": "0.5"},
        "int8": {"rule": "xnnpack", "other": "single", "bits": "5", "per": "unit"},
        "data": {"data": "moons", "noise": "0.2", "count": "40", "data-seed": "7", "validation": "0.5"},
    }.items():
        open_group(page, group)
        for name, value in fields.items():
            field = at(page, name)
            if field.evaluate("field => field.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(value)
                field.press("Enter")
            assert field.input_value() == value
    now = state(page)
    wanted = {"hidden": [4, 2], "activation": "tanh", "start": "zeros", "optimizer": "adamw", "rate": 0.02,
              "loss": "bce", "batch": 3,
              "weight_decay": 0.5, "rule": "xnnpack", "other": "single", "bits": 5, "per": "unit"}
    assert {key: now[key] for key in wanted} == wanted
    assert now["data"] == {"name": "moons", "noise": 0.2, "count": 40, "seed": 7, "validation": 0.5, "points": []}
    at(page, "step").click()
    assert state(page)["epoch"] == 1


def test_points_are_placed_and_removed_by_key_and_by_click(opened):
    page = opened({"data": {"name": "own", "points": [[0, 0, 0]]}})
    plane = at(page, "map-float")
    plane.focus()
    for key in ("ArrowRight", "Shift+ArrowUp", "ArrowDown", "1"):
        page.keyboard.press(key)
    assert state(page)["data"]["points"] == [[0, 0, 0], [(60 + 1 + 128) / 255, (56 + 16 - 1 + 128) / 255, 1]]
    page.keyboard.press("Delete")
    assert state(page)["data"]["points"] == [[0, 0, 0]]
    open_group(page, "data")
    at(page, "place-0").check(force=True)
    plane.click(position={"x": 100.5, "y": 50.5})
    assert state(page)["data"]["points"] == [[0, 0, 0], [100 / 255, 205 / 255, 0]]
    plane.click(position={"x": 101.5, "y": 51.5})       # on the point: away with it
    assert state(page)["data"]["points"] == [[0, 0, 0]]


def test_the_lens_moves_by_key_and_by_pointer_and_shows_eight_pixels_a_code(opened):
    page = opened(preset("solved"))
    at(page, "map-int8").focus()
    for key in ("ArrowLeft", "Shift+ArrowDown"):
        page.keyboard.press(key)
    code = codes_of(page)[59 + 128, 40 + 128]
    assert at(page, "read").inner_text().endswith(f"int8 {(code + 128) / 256:.3f} ({str(code).replace('-', '−')})")
    page.wait_for_function(f"document.querySelector('[data-playground=say]').textContent.includes('({code})')")
    around, lens = pixels(page, "map-int8")[71:103, 171:203], pixels(page, "lens")
    assert np.array_equal(lens[::8, ::8][:14], around[:14])         # marks of the middle lie further down
    box = at(page, "map-float").bounding_box()
    page.mouse.move(box["x"] + 10.5, box["y"] + 20.5)
    assert "(−118, 107)" in page.locator(".lens .head").inner_text()


# Bad input gets a sentence and changes nothing

def test_a_number_that_cannot_be_gets_a_sentence_and_changes_nothing(opened):
    page = opened()
    before = state(page)
    for name, typed, sentence in [
        ("rate", "fast", 'The rate needs a number such as 0.5 or -3, but got "fast".'), ("rate", "-1", "Rate must be"),
        ("batch", "1.5", "Batch must be"), ("weight-decay", "", "The weight decay needs a number"),
    ]:
        kept = at(page, name).input_value()
        at(page, name).fill(typed)
        at(page, name).press("Enter")
        assert said(page).startswith(sentence) and state(page) == before and at(page, name).input_value() == kept
    at(page, "step").click()
    assert said(page).startswith("epoch 1, loss")


def test_a_typed_weight_that_is_no_number_gets_a_sentence(opened):
    page = opened(preset("textbook"))
    at(page, "w-0-0-0").press("Enter")
    page.keyboard.type("one")
    page.keyboard.press("Enter")
    assert said(page) == 'The weight of input x1 into unit 1 needs a number such as 0.5 or -3, but got "one".'
    assert state(page)["weights"][0]["w"][0] == [1, 1]


def test_csv_is_pasted_dropped_and_refused_with_a_sentence(opened):
    page = opened()
    open_group(page, "data")
    at(page, "data").select_option("own")
    for bad in ("0.5, 0.5", "0.5, 2, 1", "a, b, c\n0.1, x, 1", ""):
        before = state(page)
        at(page, "csv").fill(bad)
        at(page, "use-csv").click()
        assert re.match(r"(Row \d|The file has)", said(page)) and state(page) == before
    at(page, "csv").fill("x1, x2, label\n0.1, 0.9, 1\n0.25, 0, 0")
    at(page, "use-csv").click()
    assert state(page)["data"]["points"] == [[0.1, 0.9, 1], [0.25, 0, 0]] and said(page).startswith("epoch 0, loss")
    page.evaluate("""() => { const data = new DataTransfer();
        data.items.add(new File(["1, 1, 1\\n0, 0, 0\\n"], "mine.csv"));
        place.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true})); }""")
    page.wait_for_function("place.playground.state().data.points.length === 2 && "
                           "place.playground.state().data.points[0][0] === 1")


def test_an_address_that_holds_no_state_gets_a_sentence(opened):
    page = opened({"seed": 5}, address="#state=%7B%22rate%22%3A")
    assert said(page).startswith("What follows # in the address") and state(page)["seed"] == 5
    for address, sentence in (("#state=%7B%22rate%22%3A-1%7D", "Rate must be"), ("#elsewhere", "What follows #")):
        page.evaluate("address => { location.hash = address; }", address)
        page.wait_for_function(f"place.querySelector('.say').textContent.startsWith('{sentence}')")
        assert state(page)["seed"] == 5


def test_the_address_keeps_the_state(opened):
    page = opened(address="#state=" + "%7B%22seed%22%3A9%7D")
    assert state(page)["seed"] == 9
    at(page, "step").click()
    kept = state(page)
    page.reload()
    page.wait_for_selector(".xor-playground .play", timeout=5000)
    assert state(page) == kept and kept["epoch"] == 1


# Training, and its end

def test_numbers_that_become_nan_stop_the_training_with_a_sentence(opened):
    page = opened(preset("too fast"))
    at(page, "play").click()
    page.wait_for_function("!place.playground.state().playing", timeout=15_000)
    assert "NaN" in said(page) and "Reset, and take a lower rate than 30" in said(page)
    assert np.isfinite([value for layer in state(page)["weights"] for value in layer["b"]]).all()
    at(page, "play").click()
    assert not state(page)["playing"] and "NaN" in said(page)
    at(page, "reset").click()
    at(page, "step").click()
    assert state(page)["epoch"] == 1 and "NaN" not in said(page)


def test_a_frame_trains_and_draws_within_its_budget(opened):
    """A clock that moves by 5 milliseconds whenever it is looked at stands for a slow machine."""
    page = opened(preset("stuck"))
    of_a_frame = """slow => new Promise(done => { let now = performance.now(), frames = 0, looks = 0;
        const real = performance.now.bind(performance);
        if (slow) performance.now = () => { looks++; return now += 5; };
        place.querySelector("[data-playground=play]").click();
        const frame = () => { if (++frames < 10) return requestAnimationFrame(frame);
          const { epoch } = place.playground.state();
          place.querySelector("[data-playground=play]").click();
          performance.now = real;
          done([epoch / frames, looks / frames]); };
        requestAnimationFrame(frame); })"""
    epochs, looks = page.evaluate(of_a_frame, True)
    assert 0 < epochs < 15 and looks < 20
    at(page, "reset").click()
    assert 15 <= page.evaluate(of_a_frame, False)[0] <= 22          # the last frame may not have trained yet


def test_while_it_trains_the_words_come_seldom_and_the_state_twice_a_second(opened):
    page = opened()
    page.evaluate("""() => { window.words = []; window.states = 0; model.on("change:state", () => states++);
        new MutationObserver(() => words.push(place.querySelector("[data-playground=say]").textContent))
          .observe(place.querySelector("[data-playground=say]"), {childList: true}); }""")
    at(page, "play").click()
    page.wait_for_timeout(1500)
    assert page.evaluate("words.length") <= 1 and 2 <= page.evaluate("states") <= 5
    assert number(at(page, "epoch").inner_text()) > 100             # what is seen goes on


def test_reduced_motion_moves_in_steps_of_a_second(opened):
    page = opened(motion="reduce")
    at(page, "play").click()
    page.wait_for_timeout(600)
    assert state(page)["epoch"] == 0
    page.wait_for_function("place.playground.state().epoch > 0")
    epoch = state(page)["epoch"]
    page.wait_for_timeout(500)
    assert state(page)["epoch"] == epoch > 100


def test_training_rests_while_nobody_looks_and_ends_with_its_element(opened):
    page = opened()
    at(page, "play").click()
    page.evaluate("place.style.display = 'none'")
    epoch = state(page)["epoch"]
    page.wait_for_timeout(150)
    assert state(page)["epoch"] == epoch and state(page)["playing"]
    page.evaluate("place.style.display = ''")
    page.wait_for_function(f"place.playground.state().epoch > {epoch}")
    page.evaluate("place.remove()")
    page.wait_for_function("!place.playground.state().playing")


def test_the_cleanup_stops_everything(opened):
    page = opened()
    at(page, "play").click()
    page.evaluate("cleanup()")
    epoch = state(page)["epoch"]
    page.evaluate("model.set('state', {seed: 3})")
    page.wait_for_timeout(100)
    assert state(page)["epoch"] == epoch and state(page)["seed"] == 1


# With a kernel

def test_the_kernel_sets_the_state_and_hears_of_it(opened):
    page = opened(kernel=True)
    page.evaluate("""(state) => model.set("state", state)""", preset("lesson 05"))
    assert state(page)["preset"] == "lesson 05" and number(at(page, "epoch").inner_text()) == 10000
    at(page, "w-0-0-0").press("ArrowUp")
    assert page.evaluate("model.get('state')") == state(page)
    page.evaluate("model.set('state', {rate: -1})")
    assert said(page).startswith("Rate must be") and state(page)["preset"] == "lesson 05"


def test_files_come_from_the_kernel_and_where_there_is_none_are_not_offered(opened):
    page = opened(kernel=True)
    open_group(page, "take-away")
    at(page, "take-onnx").click()
    assert page.evaluate("sent") == [{"take": "onnx", "state": state(page)}]
    with page.expect_download() as download:
        page.evaluate("""model.call("msg:custom", {taken: "onnx", name: "xor.onnx", sentence: "Here it is."},
                         [new DataView(new Uint8Array([1, 2, 3]).buffer)])""")
    assert download.value.suggested_filename == "xor.onnx" and download.value.path().read_bytes() == b"\x01\x02\x03"
    assert said(page) == "Here it is."
    page.evaluate("""model.call("msg:custom", {failed: "onnx", sentence: "onnx is not installed"}, [])""")
    assert said(page) == "Onnx is not installed."
    alone = opened()
    open_group(alone, "take-away")
    assert at(alone, "take-json").is_visible() and at(alone, "take-onnx").count() == 0
    with alone.expect_download() as download:
        at(alone, "take-json").click()
    assert json.loads(download.value.path().read_text()) == state(alone)


# For everyone, at every width

@pytest.mark.parametrize("size", WIDTHS)
def test_axe_finds_nothing_serious(opened, size):
    page = opened(preset("lesson 05"), size)
    page.evaluate("place.querySelectorAll('details').forEach(group => { group.name = ''; group.open = true; })")
    assert barriers_everywhere(page) == []


SPILLS = """() => [...place.querySelectorAll('*')].filter(one => one.checkVisibility() && one.childElementCount === 0)
  .flatMap(one => {
    const {left, right, width} = one.getBoundingClientRect(), font = parseFloat(getComputedStyle(one).fontSize);
    const text = one.textContent.trim() || one.value;
    if (one.closest('.hidden, style, option') || !width || !text) return [];
    const wrong = right > innerWidth + 0.5 || left < -0.5 || font < 15;
    return wrong ? [`${one.outerHTML} ${left} ${right} ${font}`] : []; })"""


@pytest.mark.parametrize("size", WIDTHS)
def test_nothing_leaves_the_page_and_no_letter_is_small(opened, size):
    page = opened(size=size)
    for name in ("lesson 05", "too fast", "dead"):
        page.evaluate("state => { model.set('state', state); place.playground.run(1100); }", preset(name))
        assert page.evaluate(SPILLS) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[size][0]


def test_a_projector_shows_all_of_it_at_once_whatever_is_open(opened):
    page = opened(kernel=True)
    for changes in ({}, {"data": {"name": "own", "points": [[0, 0, 1]]}}, {"data": {"name": "spiral"}}):
        page.evaluate("state => model.set('state', state)", {"hidden": [8, 8, 8], "preset": "dead", **changes})
        for group in ("data", "network", "training", "int8", "take-away"):
            if at(page, f"group-{group}").get_attribute("open") is None:
                open_group(page, group)
            assert page.evaluate("document.documentElement.scrollHeight") <= 720, group


def test_a_small_one_has_the_network_and_its_maps_and_no_settings(opened):
    page = opened(preset("solved"), shape="small")
    assert page.locator("select").count() == 0 and at(page, "lens").count() == 0
    at(page, "step").click()
    assert state(page)["epoch"] == 1001 and at(page, "map-difference").is_visible() and at(page, "w-0-0-0").is_visible()


@pytest.mark.parametrize("size", WIDTHS)
def test_numbers_of_the_network_never_cover_each_other(opened, size):
    page = opened(size=size)
    for hidden in ([], [3], [8], [2, 2], [4, 4], [8, 8, 8], [1, 8, 1]):
        page.evaluate("hidden => model.set('state', { hidden })", hidden)
        boxes = page.locator(".number").evaluate_all("""all => all.map(one => { const box = one.getBoundingClientRect();
            return [one.dataset.playground, box.left + 2, box.right - 2, box.top + 3, box.bottom - 3]; })""")
        covered = [(a[0], b[0]) for i, a in enumerate(boxes) for b in boxes[:i]
                   if a[1] < b[2] and b[1] < a[2] and a[3] < b[4] and b[3] < a[4]]
        assert covered == [], hidden


def test_where_not_every_weight_has_room_a_unit_shows_its_own(opened):
    page = opened({"hidden": [8, 8]})
    page.locator('[data-playground="unit-1-5"]').locator("..").press("Enter")
    weights = page.evaluate("place.playground.state().weights") or []
    assert not weights                                  # the start's
    at(page, "step").click()
    rows = state(page)["weights"][1]["w"]
    for i in range(8):
        assert abs(number(at(page, f"w-1-5-{i}").inner_text()) - rows[5][i]) <= 0.005
