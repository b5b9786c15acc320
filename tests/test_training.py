import numpy as np
import pytest
import torch
from torch import nn

from xorlab import data, models, training
from xorlab.optimizers import OPTIMIZERS


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


@pytest.mark.parametrize("settings, says", [
    ({"optimizer": "adma"}, "sgd, momentum, nesterov, rmsprop, adagrad, adam, adamw"), ({"lr": 0}, "got 0"),
    ({"lr": np.nan}, "nan"),
    ({"epochs": 0}, "epochs"), ({"epochs": 1.5}, "1.5"), ({"loss": "mae"}, "mse, bce"),
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
