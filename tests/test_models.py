import json
import math

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from xorlab import data, models, predictors, training


@pytest.mark.parametrize("hidden, activation", [(3, "sigmoid"), (4, "relu"), ((5, 2), "tanh")])
def test_a_seeded_net_is_the_one_torch_builds_after_manual_seed(hidden, activation):
    torch.manual_seed(7)
    widths = hidden if isinstance(hidden, tuple) else (hidden,)
    expected = [nn.Linear(a, b) for a, b in zip((2, *widths), (*widths, 1), strict=True)]
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    model = models.MLP(hidden, activation, seed=7)
    assert torch.equal(torch.random.get_rng_state(), before)
    layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    for layer, twin in zip(layers, expected, strict=True):
        assert torch.equal(layer.weight, twin.weight) and torch.equal(layer.bias, twin.bias)


@pytest.mark.parametrize("activation, function", [
    ("sigmoid", lambda z: 1 / (1 + np.exp(-z))), ("relu", lambda z: np.maximum(z, 0)), ("tanh", np.tanh)])
def test_forward_is_the_formula_of_a_multilayer_perceptron(activation, function):
    model = models.MLP((3, 4), activation, seed=0)
    x = data.grid(7)
    first, second = model.hidden[0], model.hidden[2]
    w = [p.detach().numpy().astype(np.float64) for p in
         (first.weight, first.bias, second.weight, second.bias, model.output.weight, model.output.bias)]
    h = function(function(x @ w[0].T + w[1]) @ w[2].T + w[3])
    expected = 1 / (1 + np.exp(-(h @ w[4].T + w[5])))
    assert model(torch.from_numpy(x)).shape == (49, 1)
    np.testing.assert_allclose(model(torch.from_numpy(x)).detach(), expected, atol=1e-6)


def test_one_hidden_layer_is_a_linear_and_several_a_sequential():
    assert isinstance(models.MLP(3).hidden, nn.Linear)
    assert isinstance(models.MLP((3, 3)).hidden, nn.Sequential)


def test_no_hidden_layer_is_a_line_behind_a_sigmoid():
    model = models.MLP((), seed=2)
    x = data.grid(5)
    w, b = (p.detach().numpy() for p in model.parameters())
    np.testing.assert_allclose(model(torch.from_numpy(x)).detach()[:, 0], 1 / (1 + np.exp(-(x @ w[0] + b))), atol=1e-6)


@pytest.mark.parametrize("units", [
    [(20, 20, -10), (20, 20, -30), (20, -20, -10)], [(1, -2, 0.5), (2, 1)],
    [(1, 2, 3), (4, 5, 6), (7, 8, 9), (1, 2, 3, 4)]
])
def test_a_net_by_hand_answers_what_its_numbers_say(units):
    *hidden, output = units
    for point, answer in zip(data.grid(5), models.by_hand(units)(torch.from_numpy(data.grid(5)))[:, 0], strict=True):
        on = [1 / (1 + math.exp(-(w1 * point[0] + w2 * point[1] + b))) for w1, w2, b in hidden]
        total = sum(v * h for v, h in zip(output, on, strict=False)) + output[-1]
        assert answer.item() == pytest.approx(1 / (1 + math.exp(-total)), abs=1e-6)


@pytest.mark.parametrize("units", [
    [], [(1, 2, 3)], [(1, 2), (1, 2)], [(1, 2, 3), (1, 2, 3)], [(1, 2, 3), (1, "b")],
    [(1, 2, 3), (1, math.nan)], ..., 9,
])
def test_numbers_that_are_no_net_are_refused_in_one_sentence(units):
    with pytest.raises(ValueError, match=r"needs finite numbers, \(w1, w2, b\) for each hidden unit") as error:
        models.by_hand(units)
    assert repr(units) in str(error.value)


@pytest.mark.parametrize("settings, says", [
    ({"hidden": 0}, "got 0"), ({"hidden": (3, -1)}, "positive"), ({"hidden": 2.5}, "2.5"), ({"seed": 1.5}, "1.5"),
    ({"activation": "step"}, "sigmoid, relu, tanh")])
def test_impossible_nets_are_refused(settings, says):
    with pytest.raises(ValueError) as error:
        models.MLP(**settings)
    assert says in str(error.value)


def test_the_textbook_net_is_the_published_exact_solution():
    net = models.reference("textbook-2-4-1")
    assert (net.hidden.weight == 1).all() and net.hidden.bias.tolist() == [0, -1, 0, -1]
    assert net.output.weight.tolist() == [[2, -4, 2, -4]] and net.output.bias.tolist() == [-2]
    logits = net.output(net.hidden_activations(torch.from_numpy(data.corners()[0])))
    assert logits[:, 0].tolist() == [-2, 2, 2, -2]


@pytest.mark.parametrize("name", ["sigmoid-2-3-1", "relu-2-4-1"])
def test_a_reference_net_is_what_its_recorded_settings_train_to(name):
    settings = models.recorded_training(name)
    activation, _, hidden, _ = name.split("-")
    model = models.MLP(int(hidden), activation, seed=settings.pop("seed"))
    training.fit(model, *data.corners(), **settings)
    kept = models.reference(name).state_dict()
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, kept[key], rtol=0.02, atol=0.02)


def test_a_saved_net_comes_back_bit_for_bit(tmp_path):
    model = models.MLP((3, 2), "tanh", seed=5)
    models.save(model, tmp_path / "net.json", {"seed": 5})
    again = models.load(tmp_path / "net.json")
    assert again.widths == (3, 2) and again.activation == "tanh" and not again.training
    for key, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])
    longest = max((tmp_path / "net.json").read_text().splitlines(), key=len)
    assert len(longest) < 100, longest


def test_a_net_is_saved_in_the_place_of_the_earlier_one_and_not_over_it(tmp_path):
    models.save(models.reference(), tmp_path / "net.json")
    (tmp_path / "earlier.json").hardlink_to(tmp_path / "net.json")      # as for whoever reads it at that moment
    models.save(models.MLP(8, seed=1), tmp_path / "net.json")
    assert models.load(tmp_path / "earlier.json").widths == (3,) and models.load(tmp_path / "net.json").widths == (8,)


def test_a_module_whose_train_means_something_else_is_a_predictor_in_eval_mode():
    class Net(nn.Sequential):
        def train(self, expected, points):
            raise AssertionError("the student's own loop was run")

    net = Net(nn.Linear(2, 1), nn.Dropout(0.9))
    p, x = predictors.from_torch(net), data.grid(5)
    assert np.array_equal(p(x), net[0](torch.from_numpy(x)).detach()[:, 0]) and net.training and net[1].training


def test_a_module_of_ones_own_is_told_how_to_be_saved(tmp_path):
    own = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    with pytest.raises(TypeError, match=r"got Sequential; .*torch.save\(model.state_dict\(\), path\)"):
        models.save(own, tmp_path / "net.json")
    assert not (tmp_path / "net.json").exists()


@pytest.mark.parametrize("text", ["", "{}", '{"hidden": [3], "activation": "sigmoid", "weights": {}}', "\x00\xff"])
def test_a_damaged_net_file_is_named(tmp_path, text):
    path = tmp_path / "net.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="net.json is not a net"):
        models.load(path)


def test_unknown_references_say_what_there_is():
    with pytest.raises(ValueError, match="relu-2-4-1, sigmoid-2-3-1, textbook-2-4-1"):
        models.reference("xor")
    with pytest.raises(ValueError, match="int8.tflite"):
        models.reference_file("relu-2-4-1", "float64.tflite")
    with pytest.raises(FileNotFoundError, match="nowhere.json"):
        models.load("nowhere.json")


def test_committed_nets_are_readable_text():
    for name in models.reference_names():
        json.loads(models.reference_file(name, "net.json").read_text(encoding="ascii"))


@pytest.mark.parametrize("name", models.reference_names())
def test_the_committed_onnx_file_is_the_net_and_nothing_that_a_converter_wrote_into_it(name):
    """onnx2tf writes inferred shapes into the file it is given; a committed one must never have been given to it."""
    graph = onnx.load(models.reference_file(name, "model.onnx")).graph
    weights = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
    assert {key: value.tolist() for key, value in weights.items()} == {
        key: value.tolist() for key, value in models.reference(name).state_dict().items()}
    assert list(graph.value_info) == [] and models.reference_file(name, "model.onnx").stat().st_size < 700
