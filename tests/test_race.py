import joblib
import numpy as np
import pytest
import torch

from xorlab import data, models, races, training
from xorlab.optimizers import OPTIMIZERS, Optimizer
from xorlab.population import LANES, Population, first_weights

NETS = {"line": {"hidden": ()}, "sigmoid": {}, "relu": {"hidden": 4, "activation": "relu"},
        "deep tanh": {"hidden": (5, 3), "activation": "tanh"}, "deeper": {"hidden": (4, 3, 2), "activation": "sigmoid"}}


def equal(a, b, n=None):
    """Are the first n starts of two entries the same, bit for bit?"""
    return all(np.array_equal(getattr(a, name)[..., :n], getattr(b, name)[..., :n], equal_nan=True)
               for name in ("losses", "curve", "corner_outputs", "all_right", "merged", "flat_units"))


@pytest.mark.parametrize("loss", ["mse", "bce"])
@pytest.mark.parametrize("net", NETS)
def test_the_gradients_by_hand_are_autograds(net, loss):
    x, y = data.noisy(7, 0.3, seed=1)
    settings = {"hidden": 3, "activation": "sigmoid", **NETS[net]}
    population = Population(settings["hidden"], settings["activation"], range(5, 8), x, y, loss)
    population.gradients()
    for i, seed in enumerate(range(5, 8)):
        model = models.MLP(**settings, seed=seed)
        value = training.LOSSES[loss](model(torch.from_numpy(x)), torch.from_numpy(y)[:, None])
        value.backward()
        expected = torch.cat([p.grad.flatten() for p in model.parameters()])
        torch.testing.assert_close(population.theta.grad[:, i], expected, rtol=1e-4, atol=1e-7)
        assert population.losses()[i] == pytest.approx(value.item(), rel=1e-5)


@pytest.mark.parametrize("loss", ["mse", "bce"])
@pytest.mark.parametrize("scale", [30, 10_000])
def test_saturated_outputs_have_the_losses_and_gradients_of_pytorch(loss, scale):
    x, y = data.corners()
    population = Population(3, "sigmoid", range(4), x, y, loss)
    population.theta.mul_(scale)
    population.gradients()
    for seed in range(4):
        model = models.MLP(seed=seed)
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(scale)
        value = training.LOSSES[loss](model(torch.from_numpy(x)), torch.from_numpy(y)[:, None])
        value.backward()
        expected = torch.cat([p.grad.flatten() for p in model.parameters()])
        torch.testing.assert_close(population.theta.grad[:, seed], expected, rtol=1e-3, atol=1e-6)
        assert population.losses()[seed] == pytest.approx(value.item(), rel=1e-4)


@pytest.mark.parametrize("hidden, activation", [(1, "sigmoid"), (3, "tanh"), ((5, 7), "relu"), (40, "relu")])
@pytest.mark.parametrize("first", [0, 2**32 - 3, 2**62])
def test_a_race_begins_at_the_nets_of_its_seeds_bit_for_bit(hidden, activation, first):
    seeds = range(first, first + 5)
    theta = first_weights(hidden, activation, seeds)
    assert theta.shape[1] == LANES
    for lane in range(LANES):
        net = models.MLP(hidden, activation, seed=seeds[lane] if lane < 5 else first)
        assert torch.equal(theta[:, lane], torch.cat([p.detach().flatten() for p in net.parameters()]))


def test_the_names_stand_for_the_usual_options():
    made = {name: Optimizer(name).make([torch.zeros(1)]).defaults for name in OPTIMIZERS}
    assert [made[name]["momentum"] for name in ("sgd", "momentum", "nesterov")] == [0, 0.9, 0.9]
    assert [made[name]["nesterov"] for name in ("sgd", "momentum", "nesterov")] == [False, False, True]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_step_is_the_one_an_ordinary_net_takes_with_torch_optim(name):
    options = {"weight_decay": 0.01, "lr": 0.05}
    entry = training.race(Optimizer(name, **options), starts=3, epochs=60).entries[0]
    kind, usual = OPTIMIZERS[name]
    x, y = (torch.from_numpy(array) for array in data.corners())
    for i in range(3):
        model = models.MLP(seed=i)
        stepper = getattr(torch.optim, kind)(model.parameters(), **{**usual, **options})
        for epoch in range(60):
            loss = ((model(x)[:, 0] - y) ** 2).mean()
            assert entry.curve[epoch, i] == pytest.approx(loss.item(), abs=2e-5), epoch
            stepper.zero_grad()
            loss.backward()
            stepper.step()


@pytest.mark.parametrize("settings", [*NETS.values(), {"loss": "bce", "activation": "relu"}, {"batch_size": 3}])
def test_a_start_does_not_notice_how_many_run_beside_it(settings):
    x, y = data.noisy(10, 0.2)
    optimizers = ["adam", "rmsprop", "nesterov", "adagrad"]
    many = training.race(optimizers, x, y, starts=200, epochs=40, **settings)
    for n in (1, 63, 64, 65):
        few = training.race(optimizers, x, y, starts=n, epochs=40, **settings)
        assert all(equal(a, b, n) for a, b in zip(many.entries, few.entries, strict=True))
    later = training.race("adam", x, y, starts=5, epochs=40, seed=0, **settings)
    assert equal(many.entries[0], later.entries[0], 5)


def test_blocks_and_threads_and_processes_do_not_change_a_bit(monkeypatch):
    torch.set_num_threads(2)
    try:
        whole = training.race(["adam", "sgd"], starts=300, epochs=50)
        assert torch.get_num_threads() == 2
        with joblib.parallel_config(backend="loky", n_jobs=2):
            processes = training.race(["adam", "sgd"], starts=300, epochs=50)
        monkeypatch.setattr(training, "BLOCK", 64)
        blocks = training.race(["adam", "sgd"], starts=300, epochs=50)
    finally:
        torch.set_num_threads(1)
    for a, b, c in zip(whole.entries, processes.entries, blocks.entries, strict=True):
        assert equal(a, b) and equal(a, c) and list(a.seeds) == list(b.seeds) == list(c.seeds) == list(range(300))


def test_a_block_trains_on_one_thread_and_gives_the_others_back(monkeypatch):
    seen = []
    monkeypatch.setattr(training, "progress", lambda steps, label: (seen.append(torch.get_num_threads()) or i
                                                                    for i in steps))
    torch.set_num_threads(2)
    try:
        training.race("adam", starts=3, epochs=2)
        assert torch.get_num_threads() == 2 and seen[1:] == [1, 1]          # the first is the bar over the tasks
    finally:
        torch.set_num_threads(1)


def test_a_dask_cluster_of_two_workers_gives_the_same_bits(tmp_path):
    distributed = pytest.importorskip("distributed")
    here = training.race(["adam", "rmsprop"], starts=200, epochs=50)
    with (distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None,
                                   local_directory=str(tmp_path)) as cluster,
          distributed.Client(cluster), joblib.parallel_config(backend="dask")):
        there = training.race(["adam", "rmsprop"], starts=200, epochs=50)
    assert all(equal(a, b) for a, b in zip(here.entries, there.entries, strict=True))


@pytest.mark.parametrize("settings", [{}, {"batch_size": 3, "loss": "bce"}, {"hidden": (4, 3), "activation": "tanh"}])
def test_a_start_replayed_as_a_normal_net_is_the_same_training(settings):
    x, y = data.noisy(10, 0.2)
    race = training.race(Optimizer("adam", 0.02, label="mine"), x, y, starts=6, epochs=80, seed=3, **settings)
    entry = race["mine"]
    model, history = training.replay(race, "mine", entry.best)
    assert history.final_loss == pytest.approx(entry.losses.min(), abs=1e-4)
    i = list(entry.seeds).index(entry.best)
    corners = model(torch.from_numpy(data.corners()[0])).detach()[:, 0]
    np.testing.assert_allclose(corners, entry.corner_outputs[:, i], atol=1e-3)


def test_the_plateau_of_seed_zero_is_named():
    entry = training.race("adam", starts=6, epochs=2000).entries[0]        # seeds 0 and 5 are stuck, see lesson 02
    assert entry.solved.tolist() == [False, True, True, True, True, False]
    assert entry.interval[0] < 4 / 6 < entry.interval[1] and entry.worst in (0, 5)
    ((loss, starts, missed, alike, _),) = entry.plateaus().rows
    assert (loss, starts, alike) == ("0.125", "2", "100%")
    assert set(missed.split(", ")) == {"10+11", "01+11"}


def test_dead_relus_are_counted_as_flat():
    population = Population(4, "relu", range(1), *data.corners())
    (_, bias), _ = population.layers
    bias.fill_(-9)                                                         # no input can lift a unit above 0
    _, merged, flat_units = training._at_the_corners(population, "relu")
    assert merged.tolist() == [True] and flat_units.tolist() == [4]
    (weight, _), _ = population.layers
    weight.fill_(1)
    bias.fill_(-0.5)                                                       # flat at 00 alone
    assert training._at_the_corners(population, "relu")[2].tolist() == [0]


def entry_of(curves, all_right=True, corner_outputs=((0, 1, 1, 0),)):
    """An Entry made by hand: a row of losses a start, seen at epochs 0, 10, 20, 30."""
    curve = np.array(curves, np.float32).T
    n = curve.shape[1]
    outputs = np.broadcast_to(np.array(corner_outputs, float).T, (4, n))
    return races.Entry(Optimizer("sgd"), np.arange(100, 100 + n), 30, curve[-1], np.broadcast_to(all_right, n),
                       np.array([0, 10, 20, 30]), curve, outputs, np.zeros(n, bool), np.zeros(n), 0.01)


def test_epochs_to_solve_count_from_when_the_loss_stays_low():
    nan = np.nan
    entry = entry_of([(0.3, 0.001, 0.3, 0.001), (0.3, 0.3, 0.001, 0.3), (0.001, 0.001, 0.001, 0.001),
                      (nan, nan, nan, nan), (0.3, 0.3, 0.001, 0.001)])
    assert entry.epochs_to_solve.tolist() == [30, np.inf, 0, np.inf, 20]
    assert entry.share == 3 / 5 and entry.diverged.tolist() == [False, False, False, True, False]
    assert entry.worst == 103 and entry.best in (100, 102, 104)
    assert entry.plateaus().rows[-1][:2] == ("NaN or infinite", "1")


def test_a_table_has_the_median_and_the_quartiles_of_the_epochs_to_solve():
    low = [(0.001,) * 4, (0.3, 0.001, 0.001, 0.001), (0.3, 0.3, 0.001, 0.001), (0.3, 0.3, 0.3, 0.001)]
    entry = entry_of([*low, low[3], (0.3,) * 4])                # at 0, 10, 20, 30 and 30, and one never
    assert races.Race((entry,), {}).table().rows[0][5] == "20 (10 to 30)"


def test_solved_needs_the_right_classes_and_a_low_loss():
    low, high = (0.3, 0.3, 0.3, 0.001), (0.3, 0.3, 0.3, 0.02)
    assert entry_of([low, low, high], [True, False, True]).solved.tolist() == [True, False, False]


def test_plateaus_are_split_where_losses_gap_and_name_the_commonest_corners_first():
    stuck, worse = (0.2, 0.2, 0.2, 0.125), (0.2, 0.2, 0.2, 0.166)
    entry = entry_of([stuck, stuck, worse, stuck], False,
                     [(0, 0.5, 1, 0.5), (0, 1, 0.5, 0.5), (0, 0.7, 0.7, 0.7), (0, 1, 0.5, 0.5)])
    assert [row[:3] for row in entry.plateaus().rows] == [
        ("0.125", "3", "10+11, 01+11"), ("0.166", "1", "01+10+11")]


def test_corners_of_one_label_may_look_alike():
    population = Population(2, "relu", range(1), *data.corners())
    (weight, bias), _ = population.layers
    weight.fill_(1)                                                        # the sum of the inputs: 01 and 10 alike
    bias[0], bias[1] = 0, -1
    _, merged, _ = training._at_the_corners(population, "relu")
    assert merged.tolist() == [False]


@pytest.mark.parametrize("successes, n", [(0, 10), (3, 10), (400, 500), (10, 10)])
def test_the_wilson_interval_ends_where_the_score_test_just_rejects(successes, n):
    low, high = races.wilson(successes, n)
    for p in {low, high} - {0.0, 1.0}:
        assert abs(successes / n - p) / np.sqrt(p * (1 - p) / n) == pytest.approx(1.96, rel=1e-6)
    assert low <= successes / n <= high
    with pytest.raises(ValueError, match="5 of 4"):
        races.wilson(5, 4)


def test_divergence_is_counted_and_named():
    race = training.race(Optimizer("adam", 1e38), starts=20, epochs=20, hidden=4, activation="relu", loss="bce")
    entry = race.entries[0]
    assert entry.diverged.any() and not (entry.solved & entry.diverged).any()
    assert race.table().rows[0][-1] == str(entry.diverged.sum())
    assert entry.plateaus().rows[-1][0] == "NaN or infinite"


def test_an_interrupt_returns_what_was_reached(monkeypatch):
    whole = training.race("sgd", starts=5, epochs=7).entries[0]

    def steps(planned, label):
        for i in planned:
            if label == "sgd, rate 0.1" and i == 7:
                raise KeyboardInterrupt
            yield i

    monkeypatch.setattr(training, "progress", steps)
    race = training.race(["adam", "sgd", "rmsprop"], starts=5, epochs=20)
    assert race.interrupted and [(e.label, e.epochs) for e in race.entries] == [
        ("adam, rate 0.1", 20), ("sgd, rate 0.1", 7)]
    assert np.array_equal(race.entries[1].losses, whole.losses)


@pytest.mark.parametrize("optimizers, settings, says", [
    ("adma", {}, "sgd, momentum, nesterov"), ([], {}, "at least one"), ("adam", {"starts": 0}, "starts"),
    ("adam", {"starts": 2.5}, "2.5"), ("adam", {"epochs": -1}, "epochs"), ("adam", {"hidden": (3, 0)}, "hidden"),
    ("adam", {"activation": "step"}, "activation"), ("adam", {"loss": "mae"}, "mse, bce"),
    ("adam", {"batch_size": 0}, "batch_size"), ("adam", {"x": np.zeros((4, 3)), "y": np.zeros(4)}, "(n, 2)"),
    ("adam", {"x": np.zeros((4, 2))}, "both x and y"), ("adam", {"x": np.zeros((4, 2)), "y": np.zeros(3)}, "labels"),
    (["adam", "adam"], {}, "label of its own"), (5, {}, "got int"), ("adam", {"seed": 0.5}, "seed"),
    ("adam", {"loss": "cross_entropy"}, "mse, bce"), ("adam", {"threshold": np.nan}, "threshold"),
    ("adam", {"threshold": 0}, "threshold"), ("adam", {"epochs": 0}, "epochs"), ("adam", {"seed": True}, "seed"),
    ("adam", {"x": np.zeros((4, 2)), "y": [0, 255, 255, 0], "loss": "bce"}, "y / 255"),
    ("adam", {"x": np.zeros((4, 2)), "y": [[1, 0]] * 4}, "argmax"),
])
def test_impossible_races_are_refused(optimizers, settings, says):
    with pytest.raises(ValueError) as error:
        training.race(optimizers, **settings)
    assert says in str(error.value)


@pytest.mark.parametrize("make, says", [
    (lambda: Optimizer("adam", 0), "lr must be"), (lambda: Optimizer("adam", -1), "-1"),
    (lambda: Optimizer("adam", float("nan")), "nan"), (lambda: Optimizer("adam", float("inf")), "inf"),
    (lambda: Optimizer("adam", "fast"), "fast"), (lambda: Optimizer("adam", 1e39), "got 1e.39"),
    (lambda: Optimizer("sgd", betas=(0.9, 0.9)), "torch.optim.SGD")])
def test_impossible_optimizers_are_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_asking_for_a_gpu_that_is_not_there_is_said():
    with pytest.raises(ValueError, match="needs a GPU"):
        training.race("adam", device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_race_on_a_gpu_agrees_with_the_cpu():
    here, there = (training.race(["adam", "sgd"], starts=100, epochs=100, device=device) for device in ("cpu", "cuda"))
    for a, b in zip(here.entries, there.entries, strict=True):
        np.testing.assert_allclose(a.losses, b.losses, atol=1e-3)


def test_a_race_says_that_a_sigmoid_cannot_reach_the_labels(capsys):
    x, y = data.corners()
    training.race("adam", x, 2 * y - 1, starts=2, epochs=2)
    assert capsys.readouterr().out.startswith("The labels go from -1 to 1, 2 of 4 outside 0..1")
    training.race("adam", starts=2, epochs=2)
    assert capsys.readouterr().out == ""


def test_the_plateaus_of_a_race_are_those_of_its_entries_under_each_other():
    race = training.race(["adam", Optimizer("sgd", 1.0, label="fast sgd")], starts=6, epochs=300)
    table = race.plateaus()
    entries = [entry.plateaus() for entry in race.entries]
    assert table.header == ("optimizer", *entries[0].header)
    assert [row[1:] for row in table.rows] == [row for entry in entries for row in entry.rows]
    assert {row[0] for row in table.rows} == {"adam, rate 0.1", "fast sgd"}


def test_a_race_shows_as_a_table():
    race = training.race(["adam", Optimizer("sgd", 1.0, label="fast sgd")], starts=10, epochs=20)
    assert [row[0] for row in race.table().rows] == ["adam, rate 0.1", "fast sgd"]
    assert race._repr_html_().startswith("<table>")
    with pytest.raises(KeyError, match="fast sgd"):
        race["slow sgd"]
