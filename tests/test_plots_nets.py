"""Pictures of a net from the inside: each number where it belongs, each slope a slope."""
import re

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from torch import nn

from xorlab import data, look, models, plots

matplotlib.use("agg")


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        plots.use()
        yield
    plt.close("all")


def words(ax):
    return [text.get_text().replace("\N{MINUS SIGN}", "-") for text in ax.texts]


def numbers(net):
    return [value for p in net.parameters() for value in p.detach().flatten().tolist()]


@pytest.mark.parametrize("net", [models.MLP(3, seed=1), models.reference(), models.reference("relu-2-4-1")],
                         ids=lambda net: net.name)
def test_a_drawn_net_says_each_of_its_numbers_and_how_many_they_are(net):
    ax = plots.network(net)
    decimals = 1 if max(map(abs, numbers(net))) >= 2 else 2
    written = [text.removeprefix("bias ") for text in words(ax)]
    written = sorted(float(text) for text in written if re.fullmatch(r"[+-]?[\d.]+", text))
    assert written == sorted(round(value, decimals) + 0.0 for value in numbers(net))
    assert f"{net.name}: {len(numbers(net))} numbers" in (ax.get_title(), ax.get_title(loc="left"))
    assert f"{len(numbers(net))} numbers" in ax.figure.alt_text


def test_a_weight_is_as_thick_as_it_is_large_and_has_the_colour_of_its_push():
    net = models.by_hand([(1, -2, 0), (-4, 4, 0), (3, -1.5, 0)])
    lines = plots.network(net).lines
    widths = [line.get_linewidth() for line in lines]
    colours = [look.CLASSES.index(to_hex(line.get_color())) for line in lines]
    assert colours == [1, 0, 0, 1, 1, 0]                            # up is class 1's red
    assert np.argsort(widths[:4]).tolist()[:2] == [0, 1]
    assert (widths[1] - widths[0]) / (widths[2] - widths[0]) == pytest.approx(1 / 3)        # linear in the size
    assert widths[2] == pytest.approx(widths[3]) == pytest.approx(widths[4])                # the largest of its layer


def test_each_unit_shows_what_it_answers_over_the_square():
    net = models.MLP(2, seed=3)
    ax = plots.network(net)
    side = ax.images[0].get_array().shape[0]
    grid = data.grid(side)
    w, b, v, c = (p.detach().numpy() for p in net.parameters())
    hidden = 1 / (1 + np.exp(-(grid @ w.T + b)))
    output = 1 / (1 + np.exp(-(hidden @ v.T + c)))
    expected = [*grid.T, *hidden.T, *output.T]
    assert len(ax.images) == len(expected)
    for image, z in zip(ax.images, expected, strict=True):
        np.testing.assert_allclose(image.get_array(), z.reshape(side, side).T, atol=1e-6)
        assert image.origin == "lower"


def test_units_are_drawn_side_by_side_with_their_answers_at_the_corners():
    axes = plots.units(models.by_hand([(20, 20, -10), (20, 20, -30), (20, -20, -10)]))
    assert [ax.get_title(loc="left").strip() for ax in axes] == ["unit 1", "unit 2", "output"]
    assert [text.get_text() for ax in axes for text in ax.texts] == [
        "corners 0.0 1.0 1.0 1.0", "corners 0.0 0.0 0.0 1.0", "corners 0.0 1.0 1.0 0.0"]       # or, and, XOR
    upper_left = [ax.images[0].get_array()[-1, 0] for ax in axes]            # (0, 1): rows run along the second input
    np.testing.assert_allclose(upper_left, [1, 0, 1], atol=1e-3)
    first = plots.units(models.by_hand([(20, 0, -10), (1, 0)]))[0].images[0].get_array()      # sees the first input
    np.testing.assert_allclose([first[-1, 0], first[0, -1]], [0, 1], atol=1e-3)


@pytest.mark.parametrize("net, panels", [(models.MLP((), seed=0), 1), (models.MLP((5, 2), "tanh", seed=0), 3)])
def test_the_last_hidden_layer_of_any_mlp_can_be_drawn(net, panels):
    assert len(plots.units(net)) == panels


@pytest.mark.parametrize("hidden, activation", [((), "sigmoid"), (40, "relu"), ((8, 3), "tanh")])
def test_any_mlp_can_be_drawn_and_numbers_are_written_only_where_there_is_room(hidden, activation):
    net = models.MLP(hidden, activation, seed=0)
    ax = plots.network(net)
    layers = [m for m in net.modules() if isinstance(m, nn.Linear)]
    assert len(ax.lines) == sum(layer.weight.numel() for layer in layers)
    assert sum("bias" in word for word in words(ax)) == (0 if hidden == 40 else sum(len(m.bias) for m in layers))
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])


def test_a_module_of_ones_own_is_refused_in_one_sentence():
    for draw in (plots.network, plots.units):
        with pytest.raises(TypeError, match=f"{draw.__name__} draws an MLP of xorlab.models, got Linear"):
            draw(nn.Linear(2, 1))


def test_an_activation_is_drawn_with_its_slope():
    slopes = {"sigmoid": lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2, "tanh": lambda z: 1 / np.cosh(z) ** 2,
              "relu": lambda z: (z > 0).astype(float)}
    for ax, (name, slope) in zip(plots.activations(), slopes.items(), strict=True):
        z, value = ax.lines[0].get_data()
        np.testing.assert_allclose(np.gradient(value, z)[1:-1], slope(z)[1:-1], atol=0.51 if name == "relu" else 1e-3)
        corners = ax.collections[0].get_paths()[0].vertices
        top = corners[corners[:, 1] > 0]
        np.testing.assert_allclose(top[:, 1], slope(top[:, 0]), atol=1e-5)
        assert f"{slope(z).max():.2f} at most" in words(ax)[0]


@pytest.mark.parametrize("names", [[], ["sigmoid", "step"]])
def test_an_unknown_activation_is_refused_in_one_sentence(names):
    with pytest.raises(ValueError, match="activations must be some of sigmoid, relu, tanh, got (none|step)$"):
        plots.activations(names)


def test_a_drawn_step_goes_against_the_slope_by_the_rate():
    ax = plots.loss_along(lambda w: (w - 1) ** 2, 3.0, 4.0, 0.25)
    curve, tangent, here, there = ax.lines
    w, loss = curve.get_data()
    np.testing.assert_allclose(loss, (w - 1) ** 2)
    np.testing.assert_allclose(np.diff(tangent.get_ydata()) / np.diff(tangent.get_xdata()), 4.0)
    assert (here.get_xdata()[0], here.get_ydata()[0]) == (3.0, 4.0)
    assert (there.get_xdata()[0], there.get_ydata()[0]) == (2.0, 1.0)
    assert "loss 4.0000 becomes 1.0000" in words(ax)[-1] and "-1.00" in words(ax)[-1]


def test_the_slope_that_backward_finds_is_the_tangent_of_the_loss():
    net, (x, y) = models.MLP(3, seed=1), map(torch.from_numpy, data.corners())
    nn.functional.mse_loss(net(x), y[:, None]).backward()
    weight = net.output.weight

    def loss(w):
        with torch.no_grad():
            weight[0, 0] = w
            return nn.functional.mse_loss(net(x), y[:, None]).item()

    curve, tangent, *_ = plots.loss_along(loss, weight[0, 0].item(), weight.grad[0, 0].item(), 30).lines
    near = tangent.get_xdata().mean()
    w, z = curve.get_data()
    i = np.abs(w - near).argmin()
    assert (z[i + 1] - z[i - 1]) / (w[i + 1] - w[i - 1]) == pytest.approx(weight.grad[0, 0].item(), rel=0.15)
