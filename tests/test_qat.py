"""Fake quantization against plain integer arithmetic, and training through it; TensorFlow's side is in test_export."""
import numpy as np
import pytest
import torch
from torch import nn

from xorlab import compare, data, models, predictors, training, zoo
from xorlab.fixed_point import round_half_away
from xorlab.qat import FakeQuantized


def by_hand(net, q):
    """Compute a FakeQuantized net's codes with whole numbers; also whether any sum came close to a tie."""
    x, line = q.astype(np.int64), net.input
    close = np.zeros(len(q), bool)
    for stage in net.stages():
        scale = np.float64(np.float32(stage.weight_scale))
        weights = np.rint(stage.weights / scale).astype(np.int64)
        biases = np.rint(stage.biases / (line.scale * scale)).astype(np.int64)
        steps = ((x - line.zero_point) @ weights.T + biases) * (line.scale * scale / stage.output.scale)
        close |= (np.abs(np.abs(steps - np.trunc(steps)) - 0.5) < 1e-4).any(axis=1)
        lowest = stage.output.zero_point if stage.activation == "relu" else -128
        x, line = np.clip(round_half_away(steps) + stage.output.zero_point, lowest, 127).astype(np.int64), stage.output
        if stage.activation == "sigmoid":
            real = 256 / (1 + np.exp(-(x - line.zero_point) * line.scale))
            close |= (np.abs(real - np.trunc(real) - 0.5) < 1e-3).any(axis=1)
            x, line = np.minimum(round_half_away(real) - 128, 127).astype(np.int64), predictors.Affine(1 / 256, -128)
    return x[:, 0] if x.shape[1] == 1 else x, close


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("name", models.reference_names())
def test_the_simulation_is_integer_arithmetic_on_all_inputs(name, bits):
    net, q = FakeQuantized(models.reference(name), data.grid(9), bits), data.int8_inputs()
    expected, close = by_hand(net, q)
    differ = net.codes(q) != expected
    assert not (differ & ~close).any()
    if name != "textbook-2-4-1":                                # its round weights make ties everywhere
        assert differ.mean() < 0.005 and close.mean() < 0.01, "ties excuse too much"


@pytest.mark.parametrize("bits, levels", [(8, 255), (4, 15), (3, 7), (2, 3)])
def test_weights_take_as_many_values_as_their_bits_allow(bits, levels):
    model = zoo.net("dense2", seed=1)
    for stage in FakeQuantized(model, zoo.digits()[0], bits).stages():
        codes = stage.weights / np.float32(stage.weight_scale)
        assert np.allclose(codes, np.rint(codes), atol=1e-4)
        assert len(np.unique(np.rint(codes))) <= levels and np.abs(np.rint(codes)).max() <= levels // 2
        assert stage.output.zero_point == -128 or stage.activation is None


def test_the_starting_scale_loses_least_of_all_that_a_finer_search_finds():
    weights = zoo.net("dense1", seed=2)[0].weight.detach().numpy()
    net = FakeQuantized(nn.Sequential(zoo.net("dense1", seed=2)[0]), zoo.digits()[0], 3)

    def lost(scale):
        return np.square(np.clip(np.rint(weights / scale), -3, 3) * scale - weights).sum()

    chosen = net.stages()[0].weight_scale
    assert lost(chosen) <= 1.01 * min(map(lost, np.linspace(0.2, 1, 500) * np.abs(weights).max() / 3))
    assert lost(chosen) < lost(np.abs(weights).max() / 3)


def test_the_straight_through_gradient_is_one_inside_and_nothing_outside():
    net = FakeQuantized(nn.Sequential(nn.Linear(1, 1)), np.array([[0.0], [1.0]]), 8)
    with torch.no_grad():
        net.weights[0].fill_(1.0)
        net.log_scales[0].fill_(float(np.log(1 / 127)))
        net.biases[0].fill_(0.0)
        net.ranges.copy_(torch.tensor([[0.0, 0.5]]))
    for point, slope in ((0.3, 1.0), (0.9, 0.0)):               # 0.9 lies beyond the range of the output
        x = torch.tensor([[point]], requires_grad=True)
        net(x).backward()
        assert x.grad.item() == pytest.approx(slope, abs=1e-5)


def test_training_moves_towards_the_float_net_and_leaves_it_alone():
    model = models.reference("relu-2-4-1")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    x, original = data.grid(33), predictors.from_torch(model)
    untrained = compare.errors(original, predictors.from_torch(FakeQuantized(model, x, 4)), x)
    net, history = training.fit_qat(model, x, weight_bits=4, epochs=150)
    trained = compare.errors(original, predictors.from_torch(net), x)
    assert trained.mean_abs < untrained.mean_abs / 3
    assert np.square(predictors.from_torch(net)(x) - original(x)).mean() == pytest.approx(history.final_loss, rel=1e-3)
    assert history.final_loss <= history.losses.min() and len(history.losses) == 150
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    starts = FakeQuantized(model, x, 4).state_dict()
    assert all(not torch.equal(starts[key], value) for key, value in net.state_dict().items() if key != "ranges")


def test_what_is_returned_is_never_worse_than_the_untrained_copy():
    model, x = models.reference(), data.grid(17)
    untrained = predictors.from_torch(FakeQuantized(model, x, 8))(x) - predictors.from_torch(model)(x)
    history = training.fit_qat(model, x, weight_bits=8, epochs=3, lr=1.0)[1]
    assert history.final_loss <= np.square(untrained).mean() * 1.0001


def test_two_bit_digits_are_saved_by_training_and_not_by_rounding():
    x, _, test_x, test_y = zoo.digits()
    model = zoo.trained("dense4", seed=3)

    def right(net):
        return (compare.classes(predictors.from_torch(net)(test_x)) == test_y).mean()

    net = training.fit_qat(model, x, weight_bits=2, epochs=150)[0]
    assert right(model) > 0.95
    assert right(FakeQuantized(model, x, 2)) < 0.85 < 0.9 < right(net)


def test_a_range_that_is_a_point_or_above_zero_is_widened():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        model[0].bias.fill_(-100.0)                             # no unit ever fires
        model[2].bias.fill_(6.0)
    net = FakeQuantized(model, data.grid(3))
    assert net.stages()[0].output.scale > 0
    assert net(torch.zeros(1, 2)).item() == pytest.approx(6.0, abs=0.02)        # 2 to 6 clipped would read as less


@pytest.mark.parametrize("model, x, bits, says", [
    (models.MLP(3, "tanh", seed=0), data.grid(3), 8, "each perhaps followed by ReLU or Sigmoid; got Tanh"),
    (nn.Sequential(nn.ReLU(), nn.Linear(2, 1)), data.grid(3), 8, "got ReLU"),
    (nn.Sequential(), data.grid(3), 8, "at least one Linear layer, got none"),
    (nn.Linear(2, 1, bias=False), data.grid(3), 8, "learns a bias for every layer"),
    (models.MLP(seed=0), data.grid(3), 9, "weight_bits must be a whole number from 2 to 8, got 9"),
    (models.MLP(seed=0), data.grid(3), 2.5, "got 2.5"),
    (models.MLP(seed=0), np.zeros((4, 3)), 8, r"shape \(n, 2\), got \(4, 3\)")])
def test_nets_and_settings_it_cannot_take_are_named(model, x, bits, says):
    with pytest.raises(ValueError, match=says):
        training.fit_qat(model, x, weight_bits=bits)


def test_epochs_must_be_positive():
    with pytest.raises(ValueError, match="epochs must be a positive whole number, got 0"):
        training.fit_qat(models.MLP(seed=0), data.grid(3), epochs=0)


def test_an_unknown_net_of_the_zoo_names_the_known_ones():
    with pytest.raises(ValueError, match="dense1, dense2, dense3, dense4, got 'dense5'"):
        zoo.net("dense5")


def test_the_zoo_has_as_many_layers_as_its_names_say():
    for layers in (1, 2, 3, 4):
        net = zoo.net(f"dense{layers}", seed=7)
        assert sum(isinstance(part, nn.Linear) for part in net) == layers
        assert net(torch.zeros(3, 64)).shape == (3, 10) and isinstance(net[-1], nn.Linear)
    same, other = (zoo.net("dense2", seed=seed)[0].weight for seed in (7, 8))
    assert torch.equal(zoo.net("dense2", seed=7)[0].weight, same) and not torch.equal(same, other)
