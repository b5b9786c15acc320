"""Odd arguments: every public function answers rightly or refuses in one sentence of ours; `lab.py trust calls` tries
all of them, here a seeded share."""
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Text

from tools.tinker import is_ours
from tools.trust import calls, odd, odd_commands
from xorlab import arguments, cli, codegen, compare, data, models, optimizers, plots, races, training
from xorlab.integer import IntegerMLP
from xorlab.integer.affine import Affine

SHARE = 150             # calls of some thousands; none that trains, converts or compiles
CHEAP = ("data", "models", "optimizers", "races", "compare", "predictors", "integer", "integer.affine",
         "integer.fixed_point", "look", "tables", "streams")
NETS = ("models.save", "models.load", "predictors.from_keras", "predictors.from_c", "predictors.from_firmware",
        "predictors.from_sklearn", "data.images")
X, Y = data.corners()
NAMES = ("costs $5 or $6_2$", "<b>&amp;</b>", "/*inline*/ */", "it's \"odd\" \\n {x} %s", "größe 大きさ", "x" * 10_000)


def refusal(call):
    """Return the sentence with which a call is refused."""
    with pytest.raises((ValueError, TypeError, OSError, FloatingPointError)) as caught:
        call()
    assert is_ours(caught.value), f"no sentence of ours: {caught.value!r}"
    return str(caught.value)


# The table

def test_every_public_callable_with_arguments_has_a_good_call_or_a_reason_for_none():
    public, tried = calls.public(), {call.name for call in calls.calls()}
    assert [name for name in public if name not in tried and name not in calls.LEFT] == []
    assert [name for name in calls.LEFT if name not in public or name in tried] == []
    assert all(calls.LEFT.values()) and all(calls.INNER.values())
    known = {module for module in calls.modules() if calls._of(calls.INNER, module)}
    assert [name for name in calls.INNER if not any(f"{module}.".startswith(f"{name}.") for module in known)] == []


def test_every_argument_of_a_tried_callable_is_replaced_in_some_call():
    given_to = {}
    for call in calls.calls():
        given_to.setdefault(call.name, set()).update(call.arguments)
    left = {name: [argument for argument in calls.arguments_of(odd.resolve(name), name) if argument not in given]
            for name, given in given_to.items()}
    assert {name: missing for name, missing in left.items() if missing and 0 not in given_to[name]} == {}


def test_what_a_call_takes_though_few_do_is_an_argument_and_odd_values_that_there_are():
    for call in calls.calls():
        assert set(call.may) <= set(call.arguments)
        assert all(set(names) <= {*odd.ODD, "all", "float64", "a list"} for names in call.may.values()), call


def test_a_call_that_raises_what_is_not_ours_takes_too_long_or_gives_nan_is_found(monkeypatch):
    def foreign():
        return int("odd")

    assert odd.outcome(foreign)[0] == "broke"
    assert odd.outcome(lambda: np.float32(1e300) * np.float32(1))[0] == "broke"         # an overflow nobody hears of
    assert odd.outcome(lambda: data.grid(1))[0] == "refused" and odd.outcome(lambda: 3) == ("answered", 3)
    monkeypatch.setattr(odd, "SECONDS", 0.05)
    if hasattr(odd.signal, "SIGPROF"):
        assert odd.outcome(lambda: [None for _ in iter(int, 1)])[1] == "ran for more than 0.05 s"


def test_a_formula_in_a_picture_is_found():
    ax = plots.canvas()[1]
    ax.set_title("costs $5 or $6")                      # as matplotlib itself takes it
    assert odd.outcome(lambda: ax)[0] == "broke"


def test_a_seeded_share_of_the_odd_calls_holds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a folder").mkdir()
    names, rng = odd.Names(tmp_path), random.Random(0)
    cheap = [call for call in calls.calls() if call.module in CHEAP and not call.slow and call.name not in NETS]
    good = {}
    for _ in range(SHARE):
        call = rng.choice(cheap)
        argument, name, make, must = rng.choice(list(calls.tries(call, names)))
        if must == "same" and call.name not in good:
            good[call.name] = odd.digest(calls.run_one(call, names)[1])
        what, wrong = calls.judged(call, names, argument, make, must, good.get(call.name))
        assert not wrong, f"{call.name}({argument}={name}) {what}: {wrong}"


def test_a_seeded_share_of_odd_command_lines_ends_with_one_line_or_an_answer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a folder").mkdir()
    soon = [given for given in odd_commands.tries() if given[:1] not in (["compare"], ["why"], ["layers"], ["rules"],
                                                                         ["demo"])]
    for given_line in random.Random(0).sample(soon, 40):
        assert odd_commands.judged(given_line)[1] == "", given_line


def test_a_wrong_option_gets_one_line_without_the_usage(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["errors", "--model", "xor", "--seed", "one\ntwo"])
    said = capsys.readouterr().err
    assert end.value.code == 2 and said.count("\n") == 1
    assert said.startswith("xorlab: argument --seed: invalid int value")


# Numbers

@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.sampled_from([np.int8, np.int64, np.uint16]))
def test_whole_numbers_of_numpy_count_as_pythons(n, kind):
    assert np.array_equal(data.noisy(kind(n), seed=kind(n))[0], data.noisy(n, seed=n)[0])
    assert models.MLP(kind(n), seed=kind(n)).name == models.MLP(n).name
    assert races.wilson(kind(1), kind(n)) == races.wilson(1, n)


@settings(deadline=None, max_examples=100)
@given(st.floats(width=64), st.sampled_from([0, 1]))
def test_a_number_is_taken_exactly_where_float32_can_hold_it(value, column):
    x = np.zeros((3, 2))
    x[1, column] = value
    if np.isfinite(value) and abs(value) <= np.finfo(np.float32).max:
        assert np.array_equal(data.points(x), x.astype(np.float32))
    else:
        assert "finite" in refusal(lambda: data.points(x)) or "float32" in refusal(lambda: data.points(x))


@settings(deadline=None, max_examples=40)
@given(st.floats(width=64), st.sampled_from(["momentum", "weight_decay", "dampening"]))
def test_an_optimizer_takes_options_that_are_finite_and_not_negative(value, option):
    if 0 <= value <= optimizers.MOST:
        assert optimizers.Optimizer("sgd", 0.1, **{option: value}).options == {option: value}
    else:
        assert option in refusal(lambda: optimizers.Optimizer("sgd", 0.1, **{option: value}))


@pytest.mark.parametrize("options, says", [
    ({"lr": np.nan}, "lr must be"), ({"lr": 1e39}, "lr must be"), ({"lr": True}, "lr must be"),
    ({"betas": (0.9, np.nan)}, "betas must be"), ({"betas": 0.9}, "betas must be"), ({"eps": np.inf}, "eps must be"),
    ({"weight_decay": "much"}, "weight_decay must be"), ({"betas": (0.9, 1.0)}, "betas must be a number")])
def test_an_optimizers_odd_options_are_refused_before_any_step(options, says):
    assert refusal(lambda: optimizers.Optimizer("adam", **options)).startswith(says)


@pytest.mark.parametrize("call", [
    lambda: models.MLP(10**9), lambda: models.MLP((10**5, 10**5)), lambda: data.grid(10**6), lambda: data.dense(2**62),
    lambda: data.noisy(10**12), lambda: data.code_inputs((10**9,)), lambda: data.code_inputs((2,), count=10**9),
    lambda: training.fit(models.MLP(seed=1), X, Y, epochs=10**12), lambda: training.race("adam", starts=10**10),
    lambda: training.race("adam", epochs=2**62), lambda: plots.canvas(500, 10**9), lambda: plots.canvas(rows=10**6),
    lambda: plots.values(lambda x: x[:, 0], side=10**6), lambda: compare.times(len, X, repeats=10**12)])
def test_absurd_sizes_are_refused_before_anything_is_allocated(call):
    before = torch.random.get_rng_state()
    assert "got" in refusal(call)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("call", [
    lambda: data.grid(True), lambda: data.noisy(True), lambda: models.MLP(True), lambda: models.MLP(seed=True),
    lambda: compare.times(len, X, repeats=True), lambda: compare.check_tolerance(True), lambda: Affine(True, 0),
    lambda: Affine(0.5, True), lambda: races.wilson(True, 4), lambda: plots.weight_scales(X + 1, True)])
def test_true_is_no_number(call):
    assert "True" in refusal(call)


@pytest.mark.parametrize("make", [
    lambda x: np.asfortranarray(x), lambda x: np.repeat(x, 2, axis=1)[:, ::2], lambda x: x.astype(">f4"),
    lambda x: np.matrix(x), lambda x: np.ma.array(x), lambda x: x.tolist(), lambda x: x.astype(np.float64)])
def test_points_in_other_clothes_are_the_same_points(make):
    x = data.grid(5)
    made = data.points(make(x))
    assert type(made) is np.ndarray and made.dtype == np.float32 and np.array_equal(made, x)
    made.flags.writeable = False
    model = IntegerMLP.from_torch(models.reference(), make(x))
    assert model.input == IntegerMLP.from_torch(models.reference(), x).input


def test_masked_numbers_are_not_taken_for_numbers():
    assert "masked" in refusal(lambda: data.points(np.ma.array(X, mask=X == 0)))


def test_numbers_that_quantize_to_no_code_are_refused():
    line = Affine(0.5, 3)
    assert "finite" in refusal(lambda: line.quantize([np.nan]))
    assert "float32" in refusal(lambda: line.quantize([1e300]))
    assert line.quantize([3e38]) == 127                 # beyond the codes, not beyond float32


def test_a_net_with_weights_that_are_no_numbers_is_not_saved(tmp_path):
    broken = models.MLP(seed=1)
    with torch.no_grad():
        broken.output.bias[0] = np.nan
    assert "NaN" in refusal(lambda: models.save(broken, tmp_path / "net.json"))
    assert list(tmp_path.iterdir()) == []


# Names

@pytest.mark.parametrize("draw", [
    lambda name: plots.surface(named(name), side=5), lambda name: plots.surface(lambda x: x[:, 0], side=5, title=name),
    lambda name: plots.bars({name: 1}, title="t", xlabel=name), lambda name: plots.lines(
        {name: ([1, 2], [3, 4])}, title=name, xlabel="x", ylabel="y"),
    lambda name: plots.confusion(Y.astype(int), Y.astype(int), names=[name, "b"]),
    lambda name: plots.difference(named(name), named("b"), side=5), lambda name: plots.dots(
        {name: [1.0]}, title="t", xlabel="x", beside={name: name}, heading=name)])
def test_names_are_drawn_letter_by_letter(draw):
    name = NAMES[0]
    ax = draw(name)
    ax.figure.draw_without_rendering()
    shown = [text for text in ax.figure.findobj(Text) if name[:5] in text.get_text().replace("\\$", "$")]
    assert shown and not any(text.get_text().count("$") > text.get_text().count(r"\$") for text in shown)
    assert "\\$" not in ax.figure.alt_text


def named(name):
    def predictor(x):
        return x[:, 0]

    predictor.name = name
    return predictor


@pytest.mark.parametrize("name", NAMES)
def test_a_files_name_cannot_end_the_comment_of_the_c_that_is_made_of_it(name, tmp_path):
    file = name.replace("/", "") [:100] + " *" + ".tflite"
    source = tmp_path / file
    source.write_bytes(models.reference_file("relu-2-4-1", "int8.tflite").read_bytes())
    text = codegen.write_tflite_array(source, tmp_path / "model.c").read_text()
    assert text.isascii() and text.splitlines()[0].count("*/") == 1 and text.splitlines()[0].endswith("*/")


@settings(deadline=None, max_examples=50)
@given(st.one_of(st.text(), st.binary(), st.integers(), st.floats(), st.lists(st.integers()), st.none()))
def test_any_value_is_shown_in_one_short_line(value):
    assert len(arguments.shown(value)) <= arguments.LONGEST and "\n" not in arguments.shown(value)
