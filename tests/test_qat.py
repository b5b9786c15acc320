"""Fake quantization against plain integer arithmetic, and training through it; TensorFlow's side is in test_export."""
import numpy as np
import pytest
import torch
from torch import nn

from xorlab import compare, data, models, predictors, training, zoo
from xorlab.integer.affine import GRANULARITIES
from xorlab.integer.fixed_point import round_half_away
from xorlab.optimizers import Optimizer
from xorlab.qat import SCALES, FakeQuantized, rounded


def by_hand(net, q):
    """Compute a FakeQuantized net's codes with whole numbers; also whether any sum came close to a tie."""
    x, line = q.astype(np.int64), net.input
    close = np.zeros(len(q), bool)
    for stage in net.stages():
        scales = np.float64(stage.weight_scales)
        weights = np.rint(stage.weights / scales[:, None]).astype(np.int64)
        biases = np.rint(stage.biases / (line.scale * scales)).astype(np.int64)
        steps = ((x - line.zero_point) @ weights.T + biases) * (line.scale * scales / stage.output.scale)
        close |= (np.abs(np.abs(steps - np.trunc(steps)) - 0.5) < 1e-4).any(axis=1)
        lowest = stage.output.zero_point if stage.activation == "relu" else -128
        x, line = np.clip(round_half_away(steps) + stage.output.zero_point, lowest, 127).astype(np.int64), stage.output
        if stage.activation == "sigmoid":
            real = 256 / (1 + np.exp(-(x - line.zero_point) * line.scale))
            close |= (np.abs(real - np.trunc(real) - 0.5) < 1e-3).any(axis=1)
            x, line = np.minimum(round_half_away(real) - 128, 127).astype(np.int64), predictors.Affine(1 / 256, -128)
    return x[:, 0] if x.shape[1] == 1 else x, close


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("name", models.reference_names())
def test_the_simulation_is_integer_arithmetic_on_all_inputs(name, bits, granularity):
    net = FakeQuantized(models.reference(name), data.grid(9), bits, granularity=granularity)
    q = data.int8_inputs()
    expected, close = by_hand(net, q)
    differ = net.codes(q) != expected
    assert not (differ & ~close).any()
    if name != "textbook-2-4-1":                                # its round weights make ties everywhere
        assert differ.mean() < 0.005 and close.mean() < 0.01, "ties excuse too much"
    whole = net.integers("reference")
    assert (whole.input, whole.output) == (net.input, net.output)
    assert not ((whole.codes(q) != expected) & ~close).any()


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("bits, levels", [(8, 255), (4, 15), (3, 7), (2, 3)])
def test_weights_take_as_many_values_as_their_bits_allow(bits, levels, granularity):
    model = zoo.net("dense2", seed=1)
    for stage in rounded(model, zoo.digits()[0], bits, granularity=granularity).stages():
        assert len(stage.weight_scales) == (len(stage.weights) if granularity == "per_channel" else 1)
        codes = stage.weights / stage.weight_scales[:, None]
        assert np.allclose(codes, stage.codes, atol=1e-4)
        assert len(np.unique(stage.codes)) <= levels and np.abs(stage.codes).max() <= levels // 2
        assert stage.output.zero_point == -128 or stage.activation is None


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_the_scales_of_least_squares_lose_least_of_all_that_a_finer_search_finds(granularity):
    layer = zoo.net("dense1", seed=2)[0]
    net = FakeQuantized(nn.Sequential(layer), zoo.digits()[0], 3, granularity=granularity)
    weights = layer.weight.detach().numpy()

    def lost(row, scale):
        return np.square(np.clip(np.rint(row / scale), -3, 3) * scale - row).sum()

    for row, chosen in zip(weights if granularity == "per_channel" else [weights], net.stages()[0].weight_scales,
                           strict=True):
        assert lost(row, chosen) <= 1.01 * min(lost(row, s) for s in np.linspace(0.2, 1, 500) * np.abs(row).max() / 3)
        assert lost(row, chosen) < lost(row, np.abs(row).max() / 3)


def test_the_scale_of_the_largest_weight_cuts_nothing_off():
    layer = zoo.net("dense1", seed=2)[0]
    net = FakeQuantized(nn.Sequential(layer), zoo.digits()[0], 3, scales="largest")
    (stage,) = net.stages()
    weights = layer.weight.detach().numpy()
    assert np.abs(stage.codes).max(axis=1).tolist() == [3] * 10
    assert (np.abs(stage.weights - weights) <= 0.5001 * stage.weight_scales[:, None]).all()


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_plain_rounding_takes_the_better_of_the_two_scales(granularity):
    chosen = set()
    for name, bits in (("sigmoid-2-3-1", 2), ("relu-2-4-1", 2), ("relu-2-4-1", 3)):
        model, x = models.reference(name), data.grid(17)
        wanted = predictors.from_torch(model)(x)

        def loss(net, x=x, wanted=wanted):
            return np.square(predictors.from_torch(net)(x) - wanted).mean()

        losses = {scales: loss(FakeQuantized(model, x, bits, granularity=granularity, scales=scales))
                  for scales in SCALES}
        assert loss(rounded(model, x, bits, granularity=granularity)) == pytest.approx(min(losses.values()), rel=1e-5)
        chosen.add(min(losses, key=losses.get))
    assert granularity == "per_tensor" or chosen == set(SCALES)      # neither is always the better one


def test_one_scale_per_layer_is_a_straw_man_for_the_reference_net():
    """At 2 bits: both of its units point the same way, which rounding per unit keeps and per layer does not."""
    model, x = models.reference(), data.grid(256)
    errors = {g: compare.errors(predictors.from_torch(model), predictors.from_torch(rounded(model, data.grid(33), 2,
              granularity=g)), x).mean_abs for g in GRANULARITIES}
    assert errors["per_channel"] < 0.02 and errors["per_tensor"] > 0.2


def test_a_unit_without_weights_keeps_its_bias_within_32_bits():
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, -2.0]]))
        layer.bias.copy_(torch.tensor([3.0, -1.0]))
    net = rounded(nn.Sequential(layer), data.grid(9))
    answers = predictors.from_torch(net)(data.grid(9))[:, 0]
    assert np.abs(net.integers().steps[0].biases).max() < 2**31
    assert answers == pytest.approx(3.0, abs=net.output.scale)


def test_the_straight_through_gradient_is_one_inside_and_nothing_outside():
    net = FakeQuantized(nn.Sequential(nn.Linear(1, 1)), np.array([[0.0], [1.0]]), 8)
    with torch.no_grad():
        net.weights[0].fill_(1.0)
        net.log_scales[0].fill_(float(np.log(1 / 127)))         # its only unit's
        net.biases[0].fill_(0.0)
        net.ranges.copy_(torch.tensor([[0.0, 0.5]]))
    for point, slope in ((0.3, 1.0), (0.9, 0.0)):               # 0.9 lies beyond the range of the output
        x = torch.tensor([[point]], requires_grad=True)
        net(x).backward()
        assert x.grad.item() == pytest.approx(slope, abs=1e-5)


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_training_moves_towards_the_float_net_and_leaves_it_alone(granularity):
    model = models.reference("relu-2-4-1")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    x, original = data.grid(33), predictors.from_torch(model)
    plain = rounded(model, x, 4, granularity=granularity)
    untrained = compare.errors(original, predictors.from_torch(plain), x)
    net, history = training.fit_qat(model, x, weight_bits=4, granularity=granularity, epochs=150)
    trained = compare.errors(original, predictors.from_torch(net), x)
    assert trained.mean_abs < untrained.mean_abs / 3
    assert np.square(predictors.from_torch(net)(x) - original(x)).mean() == pytest.approx(history.final_loss, rel=1e-3)
    assert history.final_loss <= history.losses.min() and len(history.losses) == 150
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    starts = plain.state_dict()
    assert all(not torch.equal(starts[key], value) for key, value in net.state_dict().items() if key != "ranges")


def test_the_rate_falls_to_nothing(monkeypatch):
    made, make = [], Optimizer.make
    monkeypatch.setattr(Optimizer, "make", lambda *given: made.append(make(*given)) or made[-1])
    training.fit_qat(models.reference(), data.grid(5), epochs=4, lr=0.02)
    assert made[-1].param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("bits", [8, 2])
def test_what_is_returned_is_never_worse_than_plain_rounding(bits):
    model, x = models.reference(), data.grid(17)
    untrained = predictors.from_torch(rounded(model, x, bits))(x) - predictors.from_torch(model)(x)
    net, history = training.fit_qat(model, x, weight_bits=bits, epochs=3, lr=1.0)
    trained = predictors.from_torch(net)(x) - predictors.from_torch(model)(x)
    assert np.square(untrained).mean() == pytest.approx(history.losses[0], rel=1e-3)
    assert np.square(trained).mean() == pytest.approx(history.final_loss, rel=1e-3)
    assert np.square(trained).mean() <= np.square(untrained).mean() * 1.0001
    assert history.losses[-1] > history.final_loss              # so that keeping the last would not do


def test_many_nets_train_side_by_side_as_each_does_alone():
    nets, x = [models.MLP(4, "relu", seed=seed) for seed in range(3)], data.grid(9)
    settings = {"weight_bits": 3, "epochs": 30, "lr": 0.01}
    for model, (net, history) in zip(nets, training.fit_qat_many(nets, x, **settings), strict=True):
        alone, expected = training.fit_qat(model, x, **settings)
        assert history.losses[:5] == pytest.approx(expected.losses[:5], rel=1e-3)       # later, last digits tell
        assert history.final_loss == pytest.approx(expected.final_loss, rel=0.3)
        loss = np.square(predictors.from_torch(net)(x) - predictors.from_torch(model)(x)).mean()
        assert loss == pytest.approx(history.final_loss, rel=1e-3)
        assert len(alone.stages()) == len(net.stages())


@pytest.mark.parametrize("nets, says", [([], "one or more of one shape, got 0 of 0 shapes"),
                                        ([models.MLP(2, seed=0), models.MLP(3, seed=0)], "got 2 of 2 shapes"),
                                        ([models.MLP(2, seed=0), models.MLP(2, "relu", seed=0)], "one or more of one")])
def test_nets_to_train_side_by_side_have_one_shape(nets, says):
    with pytest.raises(ValueError, match=says):
        training.fit_qat_many(nets, data.grid(3))


def test_two_bit_digits_are_saved_by_training_and_not_by_rounding():
    x, _, test_x, test_y = zoo.digits()
    model = zoo.trained("dense4", seed=3)

    def right(net):
        return (compare.classes(predictors.from_torch(net)(test_x)) == test_y).mean()

    net = training.fit_qat(model, x, weight_bits=2, epochs=80)[0]
    assert right(model) > 0.94
    assert right(rounded(model, x, 2)) < 0.85 < 0.88 < right(net)


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
    (models.MLP(seed=0), data.grid(3), True, "got True"),
    (models.MLP(seed=0), np.zeros((4, 3)), 8, r"shape \(n, 2\), got \(4, 3\)")])
def test_nets_and_settings_it_cannot_take_are_named(model, x, bits, says):
    with pytest.raises(ValueError, match=says):
        training.fit_qat(model, x, weight_bits=bits)


@pytest.mark.parametrize("setting, says", [
    ({"granularity": "per_row"}, "granularity must be one of per_channel, per_tensor, got 'per_row'"),
    ({"scales": "smallest"}, "scales must be one of largest, least_squares, got 'smallest'")])
def test_another_granularity_or_choice_of_scales_is_named(setting, says):
    with pytest.raises(ValueError, match=says):
        FakeQuantized(models.MLP(seed=0), data.grid(3), **setting)


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
