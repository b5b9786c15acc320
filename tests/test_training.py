import doctest

import numpy as np
import pytest
import torch
from torch import nn

from xorlab import data, models, training
from xorlab.optimizers import OPTIMIZERS, Optimizer


def numpy_gradient(x, y, w1, b1, w2, b2):
    """The MSE of a 2-3-1 sigmoid net and its gradients, by the chain rule."""
    h = 1 / (1 + np.exp(-(x @ w1.T + b1)))
    p = 1 / (1 + np.exp(-(h @ w2.T + b2)))
    loss = np.mean((p - y) ** 2)
    dz2 = 2 * (p - y) / len(x) * p * (1 - p)
    dz1 = dz2 @ w2 * h * (1 - h)
    return loss, [dz1.T @ x, dz1.sum(0), dz2.T @ h, dz2.sum(0)]


def test_sgd_training_is_gradient_descent_by_the_chain_rule():
    x, y = data.corners()
    model = models.MLP(seed=1)
    weights = [p.detach().numpy().astype(np.float64) for p in model.parameters()]
    history = training.fit(model, x, y, optimizer="sgd", lr=0.5, epochs=40)
    for epoch in range(40):
        loss, gradients = numpy_gradient(x, y[:, None], *weights)
        assert history.losses[epoch] == pytest.approx(loss, abs=1e-6)
        weights = [w - 0.5 * g for w, g in zip(weights, gradients, strict=True)]
    for value, expected in zip(model.parameters(), weights, strict=True):
        np.testing.assert_allclose(value.detach(), expected, atol=1e-5)
    assert history.final_loss == pytest.approx(numpy_gradient(x, y[:, None], *weights)[0], abs=1e-6)


def test_momentum_is_the_heavy_ball_rule_with_nine_tenths():
    x, y = data.corners()
    model = models.MLP(seed=1)
    weights = [p.detach().numpy().astype(np.float64) for p in model.parameters()]
    velocities = [np.zeros_like(w) for w in weights]
    training.fit(model, x, y, optimizer="momentum", lr=0.5, epochs=30)
    for _ in range(30):
        _, gradients = numpy_gradient(x, y[:, None], *weights)
        velocities = [0.9 * v + g for v, g in zip(velocities, gradients, strict=True)]
        weights = [w - 0.5 * v for w, v in zip(weights, velocities, strict=True)]
    for value, expected in zip(model.parameters(), weights, strict=True):
        np.testing.assert_allclose(value.detach(), expected, atol=1e-4)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_lowers_the_loss(name):
    history = training.fit(models.MLP(8, seed=1), *data.corners(), optimizer=name, lr=0.01, epochs=300)
    assert history.final_loss < history.losses[0]


@pytest.mark.parametrize(("name", "options"), [
    *((name, {}) for name in OPTIMIZERS), ("adamw", {"weight_decay": 1.0}), ("adam", {"amsgrad": True}),
    ("adam", {"maximize": True}), ("sgd", {"momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01}),
])
def test_an_optimizer_steps_as_pytorchs_own_default_bit_for_bit(name, options):
    optimizer = Optimizer(name, 0.01, **options)
    kind, usual = getattr(torch.optim, OPTIMIZERS[name][0]), OPTIMIZERS[name][1]
    ours, theirs = (models.MLP((40, 7), "tanh", seed=2) for _ in range(2))
    steppers = (optimizer.make(ours.parameters()), kind(theirs.parameters(), lr=0.01, **{**usual, **options}))
    x = torch.from_numpy(data.grid(9)[:, :2]).float()
    for _ in range(50):
        for net, stepper in zip((ours, theirs), steppers, strict=True):
            stepper.zero_grad()
            ((net(x) - x[:, :1]) ** 2).mean().backward()
            stepper.step()
    assert all(map(torch.equal, ours.parameters(), theirs.parameters()))


def test_seed_zero_is_stuck_on_the_plateau_and_seed_one_solves_xor():
    stuck = training.fit(models.MLP(seed=0), *data.corners(), epochs=3000)
    solved = training.fit(models.MLP(seed=1), *data.corners(), epochs=3000)
    assert stuck.final_loss == pytest.approx(0.125, abs=1e-3)
    assert solved.final_loss < 1e-4 < training.SOLVED


def test_mini_batches_visit_every_point_once_an_epoch_in_the_seeds_order():
    seen = []

    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = models.MLP(seed=0)

        def forward(self, x):
            if self.training:
                seen.append(x.clone())
            return self.net(x)

    x = data.grid(4)
    y = data.xor(x)

    def orders(seed):
        seen.clear()
        training.fit(Spy(), x, y, epochs=2, batch_size=5, seed=seed)
        return list(seen)

    first = orders(1)
    assert [len(batch) for batch in first] == [5, 5, 5, 1] * 2
    one_epoch = torch.cat(first[:4]).numpy()
    assert np.array_equal(one_epoch[np.lexsort(one_epoch.T[::-1])], x)
    assert all(map(torch.equal, first, orders(1)))
    assert not all(map(torch.equal, first, orders(2)))


def test_watch_sees_the_model_before_every_epoch():
    seen = []
    model = models.MLP(seed=1)
    start = model.output.bias.item()
    history = training.fit(model, *data.corners(), epochs=3,
                           watch=lambda epoch, net: seen.append((epoch, net.output.bias.item())))
    assert [epoch for epoch, _ in seen] == [0, 1, 2] and seen[0][1] == start != seen[1][1]
    assert np.array_equal(history.losses, training.fit(models.MLP(seed=1), *data.corners(), epochs=3).losses)


def test_training_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    training.fit(models.MLP(seed=0), *data.corners(), epochs=3, batch_size=2)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_net_of_scores_trains_on_class_numbers_as_a_loop_by_hand(capsys):
    """Any shape of points, mini-batches in the seed's order, cross-entropy: bit for bit."""
    x = np.random.default_rng(0).random((20, 3, 2), dtype=np.float32)
    y = np.arange(20) % 3
    nets = []
    for _ in range(2):
        torch.manual_seed(4)
        nets.append(nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)))
    history = training.fit(nets[0], x, y, lr=0.02, epochs=7, batch_size=6, seed=3, loss="cross_entropy")
    order, stepper = torch.Generator().manual_seed(3), torch.optim.Adam(nets[1].parameters(), lr=0.02)
    for _ in range(7):
        for batch in torch.randperm(20, generator=order).split(6):
            stepper.zero_grad()
            scores = nets[1](torch.from_numpy(x[batch]))
            nn.functional.cross_entropy(scores, torch.from_numpy(y[batch])).backward()
            stepper.step()
    assert all(map(torch.equal, nets[0].parameters(), nets[1].parameters()))
    chosen = torch.log_softmax(nets[1](torch.from_numpy(x)), 1)[range(20), y]
    assert history.final_loss == pytest.approx(-chosen.mean().item(), rel=1e-5)
    assert capsys.readouterr().out == "" and not nets[0].training


def test_cross_entropy_solves_xor_with_two_classes():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
    training.fit(net, *data.corners(), epochs=200, loss="cross_entropy")
    assert net(torch.from_numpy(data.corners()[0])).argmax(1).tolist() == [0, 1, 1, 0]


def two_scores():
    return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2))


def logits():
    line = nn.Linear(2, 1)
    with torch.no_grad():
        line.weight.fill_(2)
        line.bias.fill_(-1)
    return line


ONE_HOT = [[1, 0], [0, 1], [0, 1], [1, 0]]


@pytest.mark.parametrize("model, y, settings, says", [
    (two_scores(), [0, 1, 1, 0], {}, 'got (4, 2); scores of classes need loss="cross_entropy"'),
    (two_scores(), ONE_HOT, {}, 'y.argmax(axis=1) and loss="cross_entropy"'),
    (two_scores(), ONE_HOT, {"loss": "cross_entropy"}, "y.argmax(axis=1)"),
    (two_scores(), [0, 2, 2, 0], {"loss": "cross_entropy"}, "2 scores, for classes 0 to 1, but there is a label 2"),
    (two_scores(), [0, 0.5, 1, 0], {"loss": "cross_entropy"}, "class numbers 0, 1, 2, ..., got 0.5"),
    (two_scores(), [0, -1, 1, 0], {"loss": "cross_entropy"}, "got -1"),
    (models.MLP(), [0, 1, 1, 0], {"loss": "cross_entropy"}, "shape (4, classes), got (4, 1)"),
    (models.MLP(), [0, 255, 255, 0], {"loss": "bce"}, "needs labels from 0 to 1. The labels go from 0 to 255"),
    (logits(), [0, 1, 1, 0], {"loss": "bce"}, "outputs go from -1 to 3; end it with nn.Sigmoid()"),
    (nn.Linear(3, 1), [0, 1, 1, 0], {}, "cannot take points of shape (4, 2) in float32: mat1 and mat2"),
    (nn.Linear(2, 1).double(), [0, 1, 1, 0], {}, "cannot take points of shape (4, 2) in float32"),
    (models.MLP().requires_grad_(False), [0, 1, 1, 0], {}, "no weights to train"),
    (models.MLP(), [0, 1, 1, 0], {"optimizer": training.Optimizer("sgd", 1.0), "lr": 0.5}, "own rate, 1, and lr=0.5"),
    (models.MLP(), [0, 1, 1, 0], {"optimizer": torch.optim.Adam}, "adam, adamw, got Adam"),
    (models.MLP(), [0, 1, 1, 0], {"seed": 1.5}, "seed must be a whole number, got 1.5"),
])
def test_a_model_labels_and_settings_that_do_not_fit_together_get_one_sentence(model, y, settings, says):
    with pytest.raises(ValueError) as error:
        training.fit(model, data.corners()[0], y, epochs=5, **settings)
    assert says in str(error.value)


def test_outputs_that_leave_0_to_1_only_while_training_are_said_too():
    line = nn.Linear(2, 1)
    with torch.no_grad():
        line.weight.fill_(0.1)
        line.bias.fill_(0.5)                            # probabilities at first
    with pytest.raises(ValueError, match="needs probabilities, but the model's outputs go from"):
        training.fit(line, *data.corners(), lr=5.0, loss="bce", epochs=50)


@pytest.mark.parametrize("model, y, settings, says", [
    (models.MLP(), [0, 255, 255, 0], {}, "y / 255 brings them there"),
    (models.MLP(), [-1, 1, 1, -1], {}, "(y + 1) / 2 brings them there"),
    (nn.Sequential(two_scores(), nn.Softmax(1)), [0, 1, 1, 0], {"loss": "cross_entropy"}, "ends in a softmax"),
    (nn.Sequential(two_scores(), nn.Sigmoid()), [0, 1, 1, 0], {"loss": "cross_entropy"}, "ends in a sigmoid"),
    (nn.Sequential(two_scores(), nn.LogSoftmax(1)), [0, 1, 1, 0], {"loss": "cross_entropy"}, ""),   # twice is once
    (nn.Linear(2, 1), [0, 255, 255, 0], {}, ""),                                # nothing keeps it from 255
    (models.MLP(), [0, 0.5, 1, 0], {}, ""),
])
def test_what_is_allowed_but_seldom_meant_gets_one_printed_sentence(model, y, settings, says, capsys):
    training.fit(model, data.corners()[0], y, epochs=2, **settings)
    said = capsys.readouterr().out
    assert says in said and said.count("\n") == bool(says)


def test_a_module_whose_train_means_something_else_is_trained_all_the_same():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.drop, self.modes = models.MLP(seed=1), nn.Dropout(0.5), set()

        def forward(self, x):
            self.modes.add((self.training, self.drop.training))
            return self.net(x)

        def train(self, epochs):
            raise AssertionError("the student's own loop was run")

    own = Net()
    history = training.fit(own, *data.corners(), epochs=3)
    assert history.final_loss == training.fit(models.MLP(seed=1), *data.corners(), epochs=3).final_loss
    assert own.modes == {(True, True), (False, False)} and not own.training


def test_a_train_that_takes_a_mode_is_heeded():
    class Frozen(nn.Sequential):
        def train(self, mode=True):
            super().train(mode)
            self[1].eval()                              # as one does with a batch normalization that shall stay
            return self

    net = Frozen(models.MLP(seed=1), nn.Dropout(0.5))
    models.set_mode(net, training=True)
    assert [part.training for part in (net, net[0], net[1])] == [True, True, False]


def test_the_examples_in_the_docstrings_are_true():
    done = doctest.testmod(training)
    assert done.attempted >= 2 and not done.failed


@pytest.mark.parametrize("settings, says", [
    ({"optimizer": "adma"}, "sgd, momentum, nesterov, rmsprop, adagrad, adam, adamw"), ({"lr": 0}, "got 0"),
    ({"lr": np.nan}, "nan"),
    ({"epochs": 0}, "epochs"), ({"epochs": True}, "True"), ({"epochs": 1.5}, "1.5"), ({"loss": "mae"}, "mse, bce"),
    ({"batch_size": 0}, "batch_size")])
def test_impossible_settings_are_refused(settings, says):
    with pytest.raises(ValueError) as error:
        training.fit(models.MLP(seed=0), *data.corners(), **settings)
    assert says in str(error.value)


def test_points_and_labels_must_match_and_so_must_the_models_shape():
    x, y = data.corners()
    with pytest.raises(ValueError, match="labels must be 4"):
        training.fit(models.MLP(seed=0), x, y[:3])
    with pytest.raises(ValueError, match=r"must return shape \(4, 1\), got \(4,\)"):
        training.fit(nn.Sequential(models.MLP(seed=0), nn.Flatten(0)), x, y)


@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_divergence_is_said_not_silent(loss):
    model = models.MLP(4, "relu", seed=0)
    with torch.no_grad():
        model.hidden.weight.fill_(np.nan)
    with pytest.raises(FloatingPointError, match="lower rate"):
        training.fit(model, *data.corners(), loss=loss)
