"""The playground without a browser: state, presets, one module, scripts, files to take away; the same in JavaScript."""
import base64
import io
import json
import re
import subprocess
import sys
import zipfile
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from xorlab import compiler, data, models, predictors
from xorlab.integer import IntegerMLP
from xorlab.optimizers import OPTIMIZERS
from xorlab.playground import Playground, bundle, clouds, picture, script, take
from xorlab.playground import state as states

EVERY_PRESET = pytest.mark.parametrize("name", states.PRESETS)
LARGEST = 120_000       # bytes that loading a playground may add


def node():
    """Return the path of a Node: the one that Playwright brings along."""
    driver = pytest.importorskip("playwright._impl._driver")
    return driver.compute_driver_executable()[0]


def top_level():
    """Return the names that the files declare outside of everything, PRESETS and LOOK with them."""
    declared = re.compile(r"^(?:export )?(?:const|let|class|function|async function) ([\w$]+)", re.M)
    return ["PRESETS", "LOOK", *(name for file in bundle.files() for name in declared.findall(
        (bundle.HERE / file).read_text(encoding="utf-8")))]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """A function that runs a line of JavaScript on a value, with every name of the module at hand."""
    folder = tmp_path_factory.mktemp("engine")
    exports = f"export {{ {', '.join(top_level())} }};\n"
    (folder / "all.mjs").write_text(f"{bundle.module()}\n{exports}", encoding="utf-8")
    (folder / "run.mjs").write_text(
        'import * as all from "./all.mjs";\nimport { readFileSync } from "node:fs";\n'
        'const [code, given] = JSON.parse(readFileSync(0, "utf8"));\n'
        "console.log(JSON.stringify(new Function(...Object.keys(all).filter(k => k !== 'default'), 'given', code)"
        "(...Object.entries(all).filter(([k]) => k !== 'default').map(([, v]) => v), given)));\n", encoding="utf-8")

    def run(code, given):
        done = subprocess.run([node(), folder / "run.mjs"], input=json.dumps([code, given]), capture_output=True,
                              encoding="utf-8")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def all_states():
    """States that between them have every choice there is."""
    clouds_ = [{"data": {"name": name, "count": 40, "seed": i, "noise": 0.2}, "hidden": hidden, "optimizer": optimizer,
                "activation": activation, "batch": batch, "loss": loss, "weight_decay": decay, "rate": 0.02, "seed": i}
               for i, (name, hidden, optimizer, activation, batch, loss, decay) in enumerate((
                   ("noisy", [4], "adamw", "tanh", 16, "bce", 0.1), ("circle", [3, 2], "rmsprop", "relu", 0, "mse", 0),
                   ("moons", [2, 2, 2], "momentum", "sigmoid", 7, "bce", 1e-7),
                   ("spiral", [8], "adam", "tanh", 15, "mse", 0),
                   ("and", [], "sgd", "sigmoid", 0, "mse", 0), ("or", [1], "sgd", "relu", 3, "bce", 0.5)))]
    own = {"data": {"name": "own", "points": [[0.1, 0.25, 1], [1, 0, 0], [1 / 3, 2 / 3, 1]]}, "hidden": [2]}
    return [*(states.complete(partial) for partial in [*clouds_, own, {}]), *map(states.preset, states.PRESETS)]


# One module

def test_the_files_become_one_module_without_imports_names_used_twice_or_more_bytes_than_a_page_can_carry():
    module = bundle.module()
    assert len(module.encode()) < LARGEST
    assert re.findall(r"^(?:import|export)\b[^;{]*", module, re.M) == ["export default "]
    assert [name for name, times in Counter(top_level()).items() if times > 1] == []
    assert {path.name for path in bundle.HERE.glob("*.js")} == set(bundle.files())


def test_every_file_s_imports_are_lines_of_their_own_that_name_what_the_other_file_exports():
    for name in bundle.files():
        text = (bundle.HERE / name).read_text(encoding="utf-8")
        lines = re.findall(r"^import .*", text, re.M)
        assert lines == [found.group() for found in bundle.IMPORT.finditer(text)]
        for line in lines:
            file = bundle.IMPORT.match(line).group(1)
            exports = re.findall(r"^export (?:const|let|class|function|async function) ([\w$]+)",
                                 (bundle.HERE / file).read_text(encoding="utf-8"), re.M)
            assert set(re.findall(r"[\w$]+", line.split("}")[0].split("{")[1])) <= set(exports), (name, line)


def test_a_page_draws_in_the_colours_of_the_figures(engine):
    from xorlab.plots.paper import DIFFERENCE, OUTPUT

    drawn = engine("return [LOOK.output, LOOK.difference]", None)
    for shades, colours in zip(drawn, (OUTPUT, DIFFERENCE), strict=True):
        assert np.abs(np.array(shades) - 255 * colours(np.arange(256))[:, :3]).max() <= 1.5     # of 255


# The state

def test_a_state_is_completed_alike_in_python_and_on_a_page(engine):
    partials = [{}, {"hidden": []}, {"data": {"name": "moons"}}, {"data": {"points": [[0, 0.5, 1]]}}, {"rate": 1e-7},
                *(states.PRESETS[name]["state"] for name in states.PRESETS)]
    assert engine("return given.map(complete)", partials) == [states.complete(partial) for partial in partials]


WRONG = [{"rate": 0}, {"rate": "fast"}, {"rate": None}, {"sed": 1}, {"hidden": [9]}, {"hidden": [1] * 4},
         {"hidden": 3.5}, {"bits": 1}, {"bits": True}, {"data": {"name": "x"}}, {"data": {"nois": 1}}, {"data": 3},
         {"weights": [1]},
         {"weights": [{"w": [[1]], "b": [1]}]}, {"start": "given"}, {"rule": "tinymind"}, {"other": "c"}, {"epoch": -1},
         {"data": {"points": [[0, 2, 1]]}}, {"data": {"points": [[0, 0.5, 3]]}}, {"data": {"points": [[0, 1]]}},
         {"data": {"count": 3}}, {"playing": 1}, {"preset": 3}, {"batch": 0.5}, {"weight_decay": -1}, {"seed": 2**32}]


@pytest.mark.parametrize("wrong", WRONG, ids=json.dumps)
def test_a_wrong_state_gets_one_sentence(wrong):
    with pytest.raises(ValueError) as refusal:
        states.complete(wrong)
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) > 20


def test_what_python_refuses_a_page_refuses_too(engine):
    asked = "return given.map(state => { try { complete(state); return null; } catch (e) { return e.message; } })"
    assert [w for w, said in zip(WRONG, engine(asked, WRONG), strict=True) if said is None] == []


@pytest.mark.parametrize("of, says", [
    ({"validation": 0.95}, "data.validation must be a number from 0 to 0.9, got 0.95"),
    ({"points": [[0, 0, 2]]}, "the label of a point must be 0 or 1, got 2")])
def test_data_beyond_what_there_is_gets_one_sentence(of, says):
    with pytest.raises(ValueError, match=says):
        states.complete({"data": of})


def test_points_held_back_count_too():
    state = states.complete({"data": {"name": "moons", "count": 40, "validation": 0.25}})
    assert len(states.points(state)[0]) == 30 and picture.counts(state)["points"] == 40


def test_a_state_survives_json_to_the_last_bit(engine):
    weights = states.weights_of(models.MLP(3, seed=5).double())
    given = states.changed(states.preset("stuck"), weights=weights, rate=0.1 + 0.2)
    assert engine("return complete(given)", given) == given == json.loads(json.dumps(given))


def test_arrays_and_tuples_are_taken_as_lists():
    layers = [{"w": np.eye(2), "b": np.zeros(2)}, {"w": [[1, 2]], "b": (0,)}]
    state = states.complete({"hidden": (2,), "weights": layers})
    assert state["hidden"] == [2] and state["weights"][0] == {"w": [[1.0, 0.0], [0.0, 1.0]], "b": [0.0, 0.0]}


def test_a_changed_start_goes_back_to_it_and_other_changes_keep_the_weights():
    solved = states.preset("solved")
    assert states.changed(solved, rate=0.5)["weights"] == solved["weights"]
    for change in ({"seed": 2}, {"hidden": [2]}, {"activation": "tanh"}, {"start": "zeros"}):
        assert (states.changed(solved, **change)["weights"], states.changed(solved, **change)["epoch"]) == (None, 0)
    assert states.changed(states.preset("textbook"), hidden=[2])["start"] == "seed"


def test_the_net_of_a_state_is_mlp_s_own_start_zeros_or_the_weights_given():
    for seed in (0, 7):
        mine, theirs = states.net(states.complete({"seed": seed, "hidden": [3, 2]})), models.MLP((3, 2), seed=seed)
        assert all(map(torch.equal, mine.parameters(), theirs.parameters()))
    assert not any(p.any() for p in states.net(states.preset("zeros")).parameters())
    reference = states.net(states.preset("lesson 05"))
    assert all(map(torch.equal, reference.parameters(), models.reference().parameters()))


@pytest.mark.parametrize("name", states.DATA[:-1])
def test_points_are_the_same_number_for_number_as_on_a_page(engine, name):
    of = states.complete({"data": {"name": name, "count": 500, "seed": 3, "noise": 0.3}})["data"]
    made = engine("const m = makePoints(given); return [m.x, m.y, m.validX, m.validY].map(a => Array.from(a))", of)
    for mine, theirs in zip(clouds.points(of), made, strict=True):
        assert mine.ravel().tolist() == theirs


def test_own_points_come_from_arrays_or_a_file(tmp_path):
    x, y = data.corners()
    play = Playground(points=(x, y))
    assert np.array_equal(play.points[0], x) and np.array_equal(play.points[1], y)
    (tmp_path / "mine.csv").write_text("x1,x2,label\n0,0,0\n\n0.25,1,1\n")
    assert Playground(points=tmp_path / "mine.csv").points[0].tolist() == [[0, 0], [0.25, 1]]


@pytest.mark.parametrize(("text", "says"), [("", "no points"), ("0,0\n", "line 1"), ("a,b,c\n0,x,1\n", "line 2"),
                                            ("0.1,O.5,1\n0,0,1\n", "line 1"), ("nan,nan,nan\n0,0,1\n", "nan"),
                                            ("0,2,1\n", "from 0 to 1"), ("0,0,7\n", "0 or 1")])
def test_a_file_without_points_gets_a_sentence(tmp_path, text, says):
    (tmp_path / "mine.csv").write_text(text)
    with pytest.raises(ValueError, match=says):
        Playground(points=tmp_path / "mine.csv")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        Playground(points=tmp_path / "none.csv")
    with pytest.raises(ValueError, match="x of shape"):
        Playground(points=(np.zeros((3, 3)), [0, 1, 0]))


def test_asking_for_a_state_loads_no_framework():
    code = ("import sys, xorlab.playground.state; "
            "print(sorted({'torch', 'matplotlib', 'ipywidgets', 'tensorflow'} & set(sys.modules)))")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


# As Python

def running(text, name="script"):
    """Run a script that a playground gave, under this name; return its names."""
    before = torch.get_default_dtype()
    space = {"__name__": name}
    try:
        exec(compile(text, "<script>", "exec"), space)
    finally:
        torch.set_default_dtype(before)
    return space


def numbers_of(net):
    return np.concatenate([p.detach().numpy().ravel() for p in net.parameters()])


def flat(layers):
    return np.concatenate([part.ravel() for layer in layers for part in layer])


def test_the_script_is_the_same_text_from_a_page_and_from_the_kernel(engine):
    given = all_states()
    for mine, theirs in zip(map(script.text, given), engine("return given.map(asPython)", given), strict=True):
        assert mine == theirs


TRAINED = """return given.map(state => {
  const { x, y } = makePoints(state.data), net = new Net(structuredClone(weightsOf(state)), state.activation);
  const trainer = new Trainer(net, state, x, y);
  trainer.run(200);
  return net.layers.flatMap(({ w, b }) => [...w.flat(), ...b]);
})"""


def test_the_script_goes_on_as_the_playground_does(engine):
    """200 epochs on, from each of the states, weight for weight."""
    given = all_states()[:-len(states.PRESETS)]
    for state, theirs in zip(given, engine(TRAINED, given), strict=True):
        space = running(script.text(state))
        x, y = states.points(state)
        assert np.array_equal(space["points"].numpy(), np.column_stack([x, y]))
        assert np.array_equal(numbers_of(space["net"]), flat(states.layers(state)))
        space["train"](200)
        mine = numbers_of(space["net"])
        assert np.allclose(mine, theirs, rtol=1e-6, atol=1e-6 * np.abs(mine).max()), state


def test_the_script_runs_by_itself_and_says_the_loss(capsys):
    running(script.text(states.preset("solved")), "__main__")
    assert re.fullmatch(r"loss 5\.92\d*e-05\nloss [\d.e-]+ after 1,000 epochs more\n", capsys.readouterr().out)


def test_numbers_are_written_as_javascript_writes_them(engine):
    values = [0.0, -0.0, 1.0, -2.5, 0.1, 1e-7, 123456789012345680000.0, 1e21, 1.5e300, 5e-324, 1e-6, 1 / 3, 2.0**53]
    assert [script.number(value) for value in values] == engine("return given.map(String)", values)
    assert [float(script.number(value)) for value in values] == values


# Presets: what each says

def trained(name, epochs, **changes):
    space = running(script.text(states.preset(name, **changes)))
    space["train"](epochs)
    return space


def outcome(space):
    """Return (loss, corners right) of a script that has trained."""
    x, y = space["points"][:, :2], space["points"][:, 2]
    answers = space["net"](x)[:, 0]
    return space["loss_on"](space["points"]).item(), int((((answers > 0.5) == (y > 0.5)) & (answers != 0.5)).sum())


@EVERY_PRESET
def test_a_preset_has_a_sentence_and_a_task_and_nothing_that_a_state_does_not_know(name):
    made = states.PRESETS[name]
    assert set(made) == {"sentence", "task", "state"} and len(made["sentence"].split()) <= 32
    assert made["task"].count("?") >= 1 and states.preset(name)["preset"] == name


def test_solved_is_seed_1_after_1000_epochs_with_four_corners_in_float_and_int8():
    again = numbers_of(trained("solved", 1000, weights=None, epoch=0)["net"])
    assert np.allclose(again, flat(states.layers(states.preset("solved"))), atol=1e-6)
    said = picture.counts(states.preset("solved"))
    assert (said["right"], said["right_int8"]) == (4, 4)


def test_stuck_stops_at_an_eighth_with_two_corners_that_no_hidden_unit_tells_apart_and_can_be_freed():
    space = trained("stuck", 1500)
    loss, right = outcome(space)
    assert abs(loss - 1 / 8) < 1e-4 and right <= 3
    x = space["points"][:, :2]
    assert np.abs(space["net"](x).detach().numpy()[2:, 0] - 0.5).max() < 0.01
    hidden = space["net"][:2](x)
    assert (hidden[2] - hidden[3]).abs().max() < 1e-3
    with torch.no_grad():
        space["net"][0].weight[0, 1] *= -1
    space["train"](300)
    assert outcome(space)[1] == 4


def test_dead_starts_with_one_dead_unit_has_three_within_ten_epochs_and_lives_with_five_units():
    space = trained("dead", 0)

    def dead():
        return int((space["net"][:2](space["points"][:, :2]) == 0).all(0).sum())

    assert dead() == 1
    space["train"](10)
    assert dead() == 3
    space["train"](300)
    assert dead() == 3 and abs(outcome(space)[0] - 1 / 4) < 1e-6
    assert [outcome(trained("dead", 400, hidden=[units]))[1] == 4 for units in (3, 4, 5)] == [False, False, True]


def test_zeros_never_moves_and_which_weight_is_changed_matters():
    space = trained("zeros", 100)
    assert not numbers_of(space["net"]).any()
    assert all(not p.grad.any() for p in space["net"].parameters())
    for changed, right in (((0, "weight", (0, 0)), 0), ((2, "weight", (0, 0)), 4)):
        layer, name, place = changed
        space = trained("zeros", 0)
        with torch.no_grad():
            getattr(space["net"][layer], name)[place] = 0.1
        space["train"](400)
        assert (outcome(space)[1] == 4) == (right == 4)


def test_too_fast_doubles_every_weight_until_no_float_holds_it_and_twenty_is_the_edge(engine):
    space = trained("too fast", 100)
    before = numbers_of(space["net"])
    space["train"](1)
    assert np.allclose(numbers_of(space["net"]), -2 * before, rtol=1e-9)
    failed = engine("""const { x, y } = makePoints(given.data);
      const net = new Net(structuredClone(weightsOf(given)), given.activation), trainer = new Trainer(net, given, x, y);
      return [trainer.run(5000), trainer.failed, net.layers.flatMap(({ w }) => w.flat()).every(Number.isFinite)]""",
                    states.preset("too fast"))
    assert 1015 < failed[0] < 1030 and "NaN" in failed[1] and failed[2]
    for rate, holds in ((19, True), (21, False)):
        largest = np.abs(numbers_of(trained("too fast", 500, rate=rate)["net"])).max()
        assert (largest < 100) == holds


def test_of_a_hundred_starts_with_two_units_half_get_stuck_and_seed_1_does_not():
    """All 100 at once: the weights of each in a row of their own, which a step treats as if it were alone."""
    nets = [models.MLP(2, seed=seed) for seed in range(100)]
    parameters = [torch.stack([p.detach().double() for p in ps]).requires_grad_()
                  for ps in zip(*(net.parameters() for net in nets), strict=True)]
    w, b, v, c = parameters
    kind, options = OPTIMIZERS["adam"]
    optimizer = getattr(torch.optim, kind)(parameters, lr=0.1, **options)
    x, y = (torch.tensor(part).double() for part in data.corners())

    def answers():
        return torch.sigmoid(torch.sigmoid(x @ w.mT + b[:, None]) @ v.mT + c[:, None])[..., 0]

    for _ in range(1000):
        optimizer.zero_grad()
        ((answers() - y) ** 2).mean(1).sum().backward()
        optimizer.step()
    solved = ((answers() > 0.5) == (y > 0.5)).all(1)
    assert 45 <= int(solved.sum()) <= 55 and bool(solved[1])
    assert outcome(trained("two units", 300))[1] == 4


@pytest.mark.parametrize(("name", "differ", "changed"), [("lesson 05", 69, 282), ("textbook", 48_642, 382)])
def test_two_presets_hold_the_net_and_the_inputs_of_their_lesson(engine, name, differ, changed):
    state = states.preset(name)
    file = {"lesson 05": "sigmoid-2-3-1", "textbook": "textbook-2-4-1"}[name]
    net = IntegerMLP.from_tflite(models.reference_file(file, "int8.tflite"))
    every = data.int8_inputs()
    by = {rule: net.under(rule).codes(every) for rule in ("tflm", "reference")}
    assert np.count_nonzero(by["tflm"] != by["reference"]) == differ
    assert picture.counts(state)["changed"] == changed
    shown = engine(SHOWN, [state])[0]
    assert shown["codes"] == by["tflm"].tolist() and (shown["changed"], shown["differ"]) == (changed, differ)


SHOWN = """return given.map(state => {
  const net = new Net(weightsOf(state), state.activation), int8 = quantize(net, state), codes = int8.codes(state.rule);
  return { codes: Array.from(codes), changed: changedClasses(net.everyOutput(), codes),
           differ: state.other && differ(codes, int8.codes(state.other)) };
})"""


def test_the_page_counts_what_the_kernel_counts(engine):
    given = [state for state in all_states() if state["activation"] != "tanh"]
    for state, shown in zip(given, engine(SHOWN, given), strict=True):
        codes = states.codes(state)
        assert (shown["codes"], shown["changed"]) == (codes.tolist(), picture.counts(state)["changed"]), state


# Files to take away

def taken(kind, state, folder):
    """Return the path of a file that was taken away, and the sentence about it."""
    name, content, sentence = take.file(kind, state)
    (folder / name).write_bytes(content)
    assert sentence.endswith(".") and "\n" not in sentence
    return folder / name, sentence


def test_weights_load_safely_into_the_model_that_the_sentence_names(tmp_path):
    state = states.preset("lesson 05")
    path, sentence = taken("pth", state, tmp_path)
    net = eval(re.search(r"models\.MLP\(.*?\"\)", sentence).group())
    net.load_state_dict(torch.load(path, weights_only=True))
    assert all(map(torch.equal, net.parameters(), models.reference().parameters()))


def test_an_onnx_file_answers_as_the_float_network(tmp_path):
    state = states.complete({"hidden": [3, 2], "activation": "tanh"})
    path, _ = taken("onnx", state, tmp_path)
    x = data.dense(50)[0]
    assert np.abs(predictors.from_onnx(path)(x) - states.outputs(state, x)).max() < 1e-6


@pytest.mark.parametrize("changes", [{}, {"bits": 4, "per": "unit"}, {"activation": "relu", "hidden": [4, 3]}], ids=str)
def test_a_tflite_file_gives_the_codes_that_are_shown(tmp_path, changes):
    state = states.complete({**changes, "rule": "reference"})
    path, _ = taken("tflite", state, tmp_path)
    every = data.int8_inputs()
    assert np.array_equal(predictors.from_tflite(path, "reference").codes(every).ravel(), states.codes(state))


def test_c_from_the_kernel_gives_tflite_micro_s_codes(tmp_path):
    path, _ = taken("c", state := states.preset("solved", rule="reference"), tmp_path)
    zipfile.ZipFile(path).extractall(tmp_path)
    run = compiler.load(tmp_path / "xor_net.c", "xor_net", 2, 1)
    every = data.int8_inputs()
    assert np.array_equal(run(every)[:, 0], states.codes(states.changed(state, rule="tflm")))


def test_c_from_a_page_gives_the_codes_of_the_page_on_every_input(engine, tmp_path):
    """One file for all of them, since starting the compiler takes longest."""
    given = [states.complete(partial) for partial in (
        {}, {"hidden": [4, 3], "activation": "relu", "bits": 5, "per": "unit", "seed": 4},
        {"hidden": [2, 2], "activation": "tanh", "seed": 3}, {"hidden": []})]
    given += [states.preset(name) for name in ("lesson 05", "textbook", "zeros")]
    made = engine("""return given.map(state => {
      const int8 = quantize(new Net(weightsOf(state), state.activation), state);
      return [asC(state, int8), Array.from(int8.codes("tflm"))];
    })""", given)
    for number, (text, _) in enumerate(made):
        (tmp_path / f"net{number}.c").write_text(re.sub(r"\bxor_net\b", f"net{number}", text))
        (tmp_path / f"all{number}.c").write_text(f'#include "net{number}.c"\n')
    for number, (text, codes) in enumerate(made):
        run = compiler.load(tmp_path / f"net{number}.c", f"net{number}", 2, 1,
                            flags=("-std=c99", "-Wall", "-Wextra", "-Werror"))
        assert run(data.int8_inputs())[:, 0].tolist() == codes, text


def test_another_kind_of_file_gets_a_sentence():
    with pytest.raises(ValueError, match="one of pth, onnx, tflite, c, got 'exe'"):
        take.file("exe", states.complete({}))


def test_the_state_as_json_reads_back(engine):
    given = {**states.preset("lesson 05"), "playing": True}
    assert json.loads(engine("return asJson(given)", given)) == {**given, "playing": False}


# The widget, without a browser

class Page:
    """What a page does to a widget: it sends states and messages, and hears the widget's."""

    def __init__(self, widget, monkeypatch):
        self.widget, self.heard = widget, []
        monkeypatch.setattr(type(widget), "send", lambda _, said, buffers=None: self.heard.append((said, buffers)))

    def sets(self, **traits):
        self.widget.set_state(traits)

    def asks(self, **message):
        self.widget._handle_custom_msg(message, [])
        return self.heard.pop()


def test_a_change_on_the_page_is_the_kernel_s_state_and_net(monkeypatch):
    page = Page(play := Playground("stuck"), monkeypatch)
    weights = [{"w": [[1.5, 2], [3, 4], [5, 6]], "b": [0, 0, 0.1]}, {"w": [[1, 2, 3]], "b": [-1]}]
    page.sets(state={**play.state, "weights": weights, "epoch": 300})
    assert play.state["epoch"] == 300 and play.net.hidden.weight.tolist() == [[1.5, 2], [3, 4], [5, 6]]
    assert play.python() == script.text(play.state)


def test_a_state_that_cannot_be_is_refused_in_a_sentence_on_both_sides_and_nothing_is_lost(monkeypatch):
    page = Page(play := Playground("stuck"), monkeypatch)
    before = play.state
    page.sets(state={**before, "rate": -1})
    assert page.heard == [({"failed": "state", "sentence": "rate must be a positive number, got -1"}, None)]
    for change in (lambda: play.set(rate=-1), lambda: setattr(play, "state", {"rate": -1}), lambda: play.set(bits=9)):
        with pytest.raises(ValueError, match="must be"):
            change()
    assert play.state == before


def test_the_kernel_changes_single_keys_and_points_may_be_one_s_own():
    play = Playground("solved")
    play.set(rate=0.5, data="or")
    assert (play.state["rate"], play.state["data"]["name"], play.state["epoch"]) == (0.5, "or", 1000)
    play.set(hidden=[2])
    assert play.state["weights"] is None and play.net.name == "sigmoid-2-2-1"
    assert play.points[1].tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("kind", take.KINDS)
def test_what_a_page_asks_to_take_away_comes_as_bytes(monkeypatch, kind):
    page = Page(play := Playground("solved"), monkeypatch)
    message, (content,) = page.asks(take=kind, state=play.state)
    name, wanted, sentence = take.file(kind, play.state)
    assert message == {"taken": kind, "name": name, "sentence": sentence}
    assert len(content) == len(wanted)                  # an archive has the time in it


NO_INT8 = {"activation": "relu", "hidden": [1], "weights": [{"w": [[1e-30, 0]], "b": [1e30]}, {"w": [[1]], "b": [0]}]}


@pytest.mark.parametrize("message", [{"take": "exe", "state": {}}, {"take": "c"}, {"take": "c", "state": {"bits": 1}},
                                     {}, {"take": ["c"], "state": {}}, {"take": "tflite", "state": NO_INT8}],
                         ids=json.dumps)
def test_what_cannot_be_taken_away_is_a_sentence_and_no_error(monkeypatch, message):
    said, buffers = Page(Playground(), monkeypatch).asks(**message)
    assert set(said) == {"failed", "sentence"} and said["sentence"] and "\n" not in said["sentence"] and buffers is None


@pytest.mark.parametrize(("wrong", "says"), [({"preset": "lucky"}, "there is no preset"),
                                             ({"shape": "wide"}, "shape must"), ({"colour": 1}, "has no 'colour'"),
                                             ({"data": "x"}, "data.name must")])
def test_a_playground_that_cannot_be_gets_a_sentence(wrong, says):
    with pytest.raises(ValueError, match=says):
        Playground(**wrong)


# Its stored output

@pytest.mark.parametrize("name", ["stuck", "lesson 05"])
def test_a_stored_playground_is_words_a_picture_with_words_and_its_state(name):
    from matplotlib import pyplot as plt

    play, before = Playground(name), plt.get_fignums()
    shown, about = play._repr_mimebundle_()
    assert shown["text/plain"] == f"Playground({name!r})"
    assert shown["application/vnd.xorlab.playground+json"] == play.state
    image = Image.open(io.BytesIO(base64.b64decode(shown["image/png"])))
    said = picture.counts(play.state)
    assert 2 * about["image/png"]["width"] == image.width == 2000
    assert f"{said['right']} of 4 points right" in about["image/png"]["alt"]
    assert plt.get_fignums() == before


def test_a_network_without_an_int8_form_has_a_picture_that_says_so():
    weights = [{"w": [[1e300, 0]], "b": [0]}, {"w": [[1e300]], "b": [0]}]
    _, said = picture.png(states.complete({"hidden": [1], "activation": "relu", "weights": weights}))
    assert said["alt"].endswith("no int8 form of it is computed here.")
