"""The playground's engine, run in Node: against PyTorch in float64, and against xorlab.integer code for code."""
import json
import subprocess
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from xorlab import data, models, population, qat, training
from xorlab.integer import IntegerGraph, IntegerMLP
from xorlab.integer.affine import SIGMOID_CODES, Affine
from xorlab.integer.fixed_point import round_half_away
from xorlab.integer.operators import FullyConnected, Logistic, Tanh
from xorlab.optimizers import Optimizer

pytest.importorskip("playwright", reason="Playwright brings the Node that runs the playground's JavaScript")

FOLDER = Path(__file__).resolve().parents[1] / "xorlab" / "playground"
NAMES = {"net.js": "Net, Trainer, Twister, initialWeights, zeroWeights, meanLoss",
         "int8.js": "RULES, changedClasses, classOf, differ, quantize", "points.js": "complete, makePoints, readCsv",
         "bench.js": "Bench"}
HEAD = "\n".join(f'import {{ {names} }} from "{(FOLDER / file).as_uri()}";' for file, names in NAMES.items()) + """
import fs from "node:fs";
const given = JSON.parse(fs.readFileSync(0, "utf8"));
const answer = (value) => fs.writeSync(1, JSON.stringify(value));
const told = (call) => {
  try { return [call(), null]; } catch (error) { return [null, `${error.name}: ${error.message}`]; }
};
"""
RULES = ("tflm", "ruy", "single", "reference", "xnnpack")
PER = dict(zip(("layer", "unit"), ("per_tensor", "per_channel"), strict=True))


def in_node(script, given=None):
    """Run a script on the engine's names and `given`; return what it gives to answer()."""
    from playwright._impl._driver import compute_driver_executable

    made = subprocess.run([compute_driver_executable()[0], "--input-type=module", "-e", HEAD + script],
                          input=json.dumps(given), capture_output=True, text=True, encoding="utf-8", timeout=300)
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


def as_model(layers, activation, dtype=torch.float32):
    """Return the MLP of a playground's layers."""
    model = models.MLP(tuple(len(layer["b"]) for layer in layers[:-1]), activation, seed=0).to(dtype)
    numbers = [np.array(layer[key], np.float64) for layer in layers for key in "wb"]
    with torch.no_grad():
        for parameter, values in zip(model.parameters(), numbers, strict=True):
            parameter.copy_(torch.from_numpy(values))
    return model.eval()


def as_layers(model):
    """Return the playground's layers of an MLP."""
    numbers = [parameter.detach().double().tolist() for parameter in model.parameters()]
    return [{"w": w, "b": b} for w, b in zip(numbers[::2], numbers[1::2], strict=True)]


def flat(layers):
    return np.concatenate([np.ravel(layer[key]) for layer in layers for key in "wb"])


# --- the start, and the order of points

def test_seed_n_starts_from_the_weights_of_mlp_bit_for_bit():
    shapes = [(), (1,), (3,), (8,), (4, 3), (8, 8, 8), (1, 5, 2)]
    seeds = [0, 1, 2, 12345, 2**31, 2**32 - 1, 2**40 + 7]
    asked = list(product(shapes, ("sigmoid", "relu"), seeds))
    made = in_node("answer(given.map((asked) => initialWeights(...asked)));", asked)
    for (hidden, activation, seed), layers in zip(asked, made, strict=True):
        assert layers == as_layers(models.MLP(hidden, activation, seed=seed)), (hidden, activation, seed)


def test_a_zero_start_has_the_shape_and_no_number_but_0():
    made = in_node("answer(given.map(zeroWeights));", [[], [3], [4, 3]])
    for hidden, layers in zip(((), (3,), (4, 3)), made, strict=True):
        like = as_layers(models.MLP(hidden, seed=0))
        assert [np.shape(layer[key]) for layer in layers for key in "wb"] == [
            np.shape(layer[key]) for layer in like for key in "wb"]
        assert not flat(layers).any()


def test_mini_batches_come_in_the_order_of_torch_randperm():
    asked = [[seed, n] for seed in (0, 1, 77, 2**32 - 1) for n in (1, 2, 5, 150, 2000)]
    made = in_node("""answer(given.map(([seed, n]) => {
      const twister = new Twister(seed);
      return [0, 1, 2].map(() => [...twister.order(n)]); }));""", asked)
    for (seed, n), orders in zip(asked, made, strict=True):
        generator = torch.Generator().manual_seed(seed)
        assert orders == [torch.randperm(n, generator=generator).tolist() for _ in range(3)], (seed, n)


# --- training

TRAIN = """answer(given.map(({ layers, activation, settings, x, y, stops }) => {
  const net = new Net(layers, activation), points = Float64Array.from(x.flat());
  const trainer = new Trainer(net, settings, points, Float64Array.from(y));
  const seen = () => [structuredClone(net.layers), trainer.loss(points, y)];
  const made = [seen()];
  for (const stop of stops) {
    trainer.run(stop - trainer.count);
    made.push(seen());
  }
  return { made, count: trainer.count, failed: trainer.failed };
}));"""


def trained_by_pytorch(case):
    """Train a case of TRAIN in float64 as training.fit does in float32; return [(weights, loss)] at 0 and its stops."""
    net, settings = as_model(case["layers"], case["activation"], torch.float64), case["settings"]
    x, y = torch.tensor(case["x"], dtype=torch.float64), torch.tensor(case["y"], dtype=torch.float64)[:, None]
    loss = training.LOSSES[settings["loss"]]
    stepper = Optimizer(settings["optimizer"], settings["rate"], weight_decay=settings["weight_decay"]).make(
        net.parameters())
    order, made = torch.Generator().manual_seed(settings["seed"]), []
    for epoch in range(case["stops"][-1] + 1):
        if epoch in (0, *case["stops"]):
            made.append((flat(as_layers(net)), loss(net(x), y).item()))
        for batch in population.batches(len(x), settings["batch"] or None, order):
            points, labels = (x, y) if batch is None else (x[batch], y[batch])
            stepper.zero_grad()
            loss(net(points), labels).backward()
            stepper.step()
    return made


def test_epochs_of_every_optimizer_equal_pytorch_in_float64():
    """After one epoch and after three: a first step of Adam tells little of what Adam remembers."""
    rng, cases = np.random.default_rng(0), []
    x = rng.random((11, 2))
    for optimizer, (loss, decay), batch, hidden in product(
            ("sgd", "momentum", "rmsprop", "adam", "adamw"), (("mse", 0), ("mse", 0.03), ("bce", 0.03)), (0, 4),
            ((), (3,), (4, 3))):
        activation = ("sigmoid", "tanh", "relu")[len(cases) % 5 % 3]            # 5: or each shape had always the same
        cases.append({"layers": as_layers(models.MLP(hidden, activation, seed=len(cases)).double()),
                      "activation": activation, "x": x.tolist(), "y": data.xor(x).tolist(), "stops": [1, 3],
                      "settings": {"optimizer": optimizer, "rate": 0.05, "loss": loss, "batch": batch,
                                   "weight_decay": decay, "seed": len(cases)}})
    for case, made in zip(cases, in_node(TRAIN, cases), strict=True):
        about = (case["settings"], case["activation"])
        assert (made["count"], made["failed"]) == (3, None), about
        for (layers, loss), (weights, expected) in zip(made["made"], trained_by_pytorch(case), strict=True):
            assert np.allclose(flat(layers), weights, rtol=1e-6, atol=1e-12), about
            assert np.isclose(loss, expected, rtol=1e-9), about


def trained_together(cases):
    """Return the last losses of cases of TRAIN, full batch, alike but for their starts; in float64, stacked."""
    settings, squash, (x, y) = cases[0]["settings"], getattr(torch, cases[0]["activation"]), data.corners()
    nets = [as_model(case["layers"], cases[0]["activation"], torch.float64).parameters() for case in cases]
    w1, b1, w2, b2 = state = [torch.stack(numbers).detach().requires_grad_() for numbers in zip(*nets, strict=True)]
    stepper, x, y = Optimizer(settings["optimizer"], settings["rate"]).make(state), *map(torch.from_numpy, (x, y))

    def losses():
        hidden = squash(x.double() @ w1.mT + b1[:, None])
        return (torch.sigmoid(hidden @ w2.mT + b2[:, None])[..., 0] - y).square().mean(dim=1)

    for _ in range(cases[0]["stops"][-1]):
        stepper.zero_grad()
        losses().sum().backward()
        stepper.step()
    return losses().tolist()


def test_a_thousand_epochs_end_at_the_plateau_or_solution_where_pytorch_ends():
    x, y = (values.tolist() for values in data.corners())
    cases = [{"layers": as_layers(models.MLP(2, "relu", seed=seed)), "activation": "relu", "x": x, "y": y,
              "stops": [1000], "settings": {"optimizer": "adam", "rate": 0.1, "loss": "mse"}} for seed in range(5)]
    expected = trained_together(cases)
    assert np.allclose([made["made"][1][1] for made in in_node(TRAIN, cases)], expected, rtol=1e-4)
    assert min(expected) < training.SOLVED and sorted(np.round(expected, 2))[1:] == [0.17, 0.25, 0.25, 0.25]


def test_settings_changed_between_epochs_count_from_then_on():
    """On the trainer itself, and by way of the playground's bench, without a new start."""
    changed = in_node("""const change = { rate: 0.3, loss: "bce", batch: 3, weight_decay: 0.01 };
    const { x, y } = makePoints(complete().data), net = new Net(initialWeights([3], "sigmoid", 1), "sigmoid");
    const trainer = new Trainer(net, complete(), x, y), bench = new Bench({});
    trainer.run(20);
    Object.assign(trainer.settings, change);
    trainer.run(20);
    bench.run(20);
    bench.change(change);
    bench.run(20);
    answer([net.layers, bench.layers, bench.loss - trainer.loss(x, y)]);""")
    assert changed[0] == changed[1] and changed[2] == 0
    x, y = (torch.from_numpy(values).double() for values in data.corners())
    model = models.MLP(3, seed=1).double()
    stepper, order = Optimizer("adam", 0.1).make(model.parameters()), torch.Generator().manual_seed(1)
    for epoch in range(40):
        if epoch == 20:
            stepper.param_groups[0].update(lr=0.3, weight_decay=0.01)
        for batch in population.batches(4, 3 if epoch >= 20 else None, order):
            points, labels = (x, y) if batch is None else (x[batch], y[batch])
            stepper.zero_grad()
            training.LOSSES["bce" if epoch >= 20 else "mse"](model(points)[:, 0], labels).backward()
            stepper.step()
    assert np.allclose(flat(changed[0]), flat(as_layers(model)), rtol=1e-6)


def test_a_loss_of_outputs_at_0_and_1_is_pytorchs():
    p, y = [0.0, 1.0, 1.0, 0.25, 1e-300], [0.0, 1.0, 0.0, 1.0, 1.0]
    made = in_node('answer(["mse", "bce"].map((loss) => meanLoss(loss, given[0], given[1])));', [p, y])
    assert np.allclose(made, [training.LOSSES[loss](*torch.tensor([p, y], dtype=torch.float64)).item()
                              for loss in ("mse", "bce")], rtol=1e-12)


@pytest.mark.parametrize("batch", [0, 3])
@pytest.mark.parametrize("optimizer, rate, decay", [("adam", 1e308, 0), ("sgd", 20, 0.2)])
def test_a_step_that_breaks_the_net_is_refused_and_told(optimizer, rate, decay, batch):
    """The weights stay as before that step, and nothing trains on."""
    x, y = (values.tolist() for values in data.corners())
    settings = {"optimizer": optimizer, "rate": rate, "weight_decay": decay, "loss": "mse", "batch": batch}
    case = {"layers": as_layers(models.MLP(3, "relu", seed=4)), "activation": "relu", "settings": settings, "x": x,
            "y": y}
    (made,) = in_node(TRAIN, [case | {"stops": [1000, 1010]}])
    _, (layers, _), (later, _) = made["made"]
    assert made["count"] < 1000 and np.isfinite(flat(layers)).all() and layers == later
    assert made["failed"] == (
        f"In epoch {made['count'] + 1} a step made a weight infinite or NaN (not a number); the weights shown are "
        f"those before it. Reset, and take a lower rate than {rate}.")
    if not batch:                               # with mini-batches it breaks within an epoch
        (until,) = in_node(TRAIN, [case | {"stops": [made["count"]]}])
        assert (until["made"][1][0], until["failed"]) == (layers, None)


def test_a_net_without_points_says_so():
    made = in_node("""const none = new Float64Array(0), settings = { optimizer: "sgd", rate: 0.1, loss: "mse" };
    const trainer = new Trainer(new Net(zeroWeights([3]), "relu"), settings, none, none);
    answer([trainer.run(3), trainer.count, trainer.failed]);""")
    assert made == [0, 0, "There are no points to train on; add some."]


# --- what is drawn

def test_surfaces_are_the_nets_outputs_as_numbers():
    side, cases = 21, [(hidden, activation) for hidden in ((), (3,), (4, 3)) for activation in models.ACTIVATIONS]
    made = in_node("""answer(given.map(([layers, activation, side]) => {
      const net = new Net(layers, activation), every = net.everyOutput(), x = Float64Array.from({ length: 2 * 65536 },
        (_, i) => (i % 2 ? (i >> 1) & 255 : i >> 9) / 255), outputs = net.outputs(x);
      let apart = 0;
      for (let i = 0; i < 65536; i++) apart = Math.max(apart, Math.abs(every[i] - outputs[i]));
      const numbers = [];
      for (let row = 0; row < side; row++) {
        for (let i = 0; i < side; i++) numbers.push(Math.fround(net.output(i / (side - 1), row / (side - 1))));
      }
      const units = net.unitSurfaces(side).map((layer) => layer.map((unit) => [...unit]));
      return { apart, numbers, units, surface: [...net.surface(side)],
        some: [0, 1, 256, 40000].map((i) => outputs[i]) };
    }));""", [[as_layers(models.MLP(*case, seed=5)), case[1], side] for case in cases])
    x2, x1 = np.meshgrid(*[np.linspace(0, 1, side)] * 2, indexing="ij")
    points = torch.from_numpy(np.stack([x1.ravel(), x2.ravel()], axis=1))
    codes = torch.tensor([[i // 256 / 255, i % 256 / 255] for i in (0, 1, 256, 40000)], dtype=torch.float64)
    for case, drawn in zip(cases, made, strict=True):
        model = models.MLP(*case, seed=5).double()
        with torch.no_grad():
            assert drawn["surface"] == drawn["numbers"], case
            assert drawn["apart"] < 1e-14, case
            assert np.allclose(drawn["surface"], model(points)[:, 0], rtol=1e-6), case
            assert np.allclose(drawn["some"], model(codes)[:, 0], rtol=1e-12), case
            assert [len(units) for units in drawn["units"]] == list(case[0])
            if case[0]:
                assert np.allclose(drawn["units"][-1], model.hidden_activations(points).T, rtol=1e-5, atol=1e-7), case


def test_a_steep_net_is_drawn_without_nan():
    """Exponentials of its parts are infinite and 0, whose product is no number."""
    steep = [{"w": [[3000, -3000], [1e5, 1e5]], "b": [0, -1e5]}, {"w": [[5, -3]], "b": [-1]}]
    made = in_node("""answer(["sigmoid", "tanh", "relu"].map((activation) => {
      const net = new Net(given, activation), every = net.everyOutput();
      return [every.every(Number.isFinite), every.every((p, i) => p === net.output((i >> 8) / 255, (i & 255) / 255))];
    }));""", steep)
    assert made == [[True, True]] * 3


# --- int8

def integers(layers, activation, bits, per):
    """Return the integer net that the playground's must equal: IntegerMLP.from_torch's, or with tanh a graph."""
    model = as_model(layers, activation)
    if activation != "tanh" or not model.widths:
        return IntegerMLP.from_torch(model, weight_bits=bits, granularity=PER[per])
    steps, line, x = [], Affine.of_range(0, 1), data.grid(9)
    for i, linear in enumerate(m for m in model.chain() if isinstance(m, nn.Linear)):
        weights, biases = (p.detach().double().numpy() for p in (linear.weight, linear.bias))
        sums = np.zeros((len(x), len(weights)), np.float32)
        for j in range(x.shape[1]):
            sums += x[:, [j]] * np.float32(weights[:, j])
        sums += np.float32(biases)
        target, largest = Affine.of_range(float(sums.min()), float(sums.max())), 2 ** (bits - 1) - 1
        scales = np.abs(weights).max(axis=1 if per == "unit" else None, keepdims=True) / largest
        scales[scales == 0] = 1
        steps.append(FullyConnected(
            round_half_away(weights / scales).astype(np.int64),
            round_half_away(biases / (line.scale * scales[:, 0])).astype(np.int64), np.float32(scales[:, 0]), line,
            target))
        last = i == len(model.widths)
        steps.append(Logistic(target) if last else Tanh(target, Affine(1 / 128, 0)))
        line, x = SIGMOID_CODES if last else Affine(1 / 128, 0), np.tanh(sums.astype(np.float64)).astype(np.float32)
    return IntegerGraph._of_chain(tuple(steps), "tflm")


def test_what_lesson_03_says_of_seed_0_holds_in_a_playground():
    """SGD, momentum and AdamW get it out by epoch 3,000, RMSprop, Adam and AdamW without decay don't."""
    tried = [["sgd", 1, 0], ["momentum", 0.1, 0], ["adamw", 0.1, 0.01], ["rmsprop", 0.1, 0], ["adam", 0.1, 0],
             ["adamw", 0.1, 0]]
    losses = in_node("""
    const x = Float64Array.of(0, 0, 0, 1, 1, 0, 1, 1), y = Float64Array.of(0, 1, 1, 0);
    answer(given.map(([optimizer, rate, weight_decay]) => {
      const net = new Net(initialWeights([3], "sigmoid", 0), "sigmoid");
      const trainer = new Trainer(net, { optimizer, rate, weight_decay, loss: "mse" }, x, y);
      trainer.run(3000);
      return trainer.loss(x, y);
    }));""", tried)
    assert max(losses[:3]) < 0.01 and [round(loss, 3) for loss in losses[3:]] == [0.125, 0.125, 0.125]


def codes_in_node(nets, folder):
    """Return codes int8 (nets, rules, 65536) of [{layers, activation, bits, per}], and what was read off each."""
    file = folder / "codes"
    told = in_node("""
    const out = fs.openSync(given.file, "w");
    answer(given.nets.map(({ layers, activation, bits, per }) => {
      const int8 = quantize(new Net(layers, activation), { bits, per }), every = RULES.map((rule) => int8.codes(rule));
      every.forEach((codes) => fs.writeSync(out, codes));
      return { input: int8.input, output: int8.output, layers: int8.layers,
        trace: RULES.map((rule) => int8.trace(-100, 57, rule)),
        differ: every.map((codes) => differ(codes, every[0])) };
    }));""", {"file": str(file), "nets": nets})
    return np.fromfile(file, np.int8).reshape(len(nets), len(RULES), 65536), told


def assert_codes_equal(nets, folder):
    """Check every code of every net under every rule; return codes int8 (nets, rules, 65536)."""
    q, point, (made, told) = data.int8_inputs(), 256 * (128 - 100) + 128 + 57, codes_in_node(nets, folder)
    for net, codes, said in zip(nets, made, told, strict=True):
        expected = integers(**net)
        for rule, ours, trace in zip(RULES, codes, said["trace"], strict=True):
            wrong = np.flatnonzero(expected.under(rule).codes(q) != ours)
            assert not len(wrong), (rule, net, f"{len(wrong)} codes, first for {q[wrong[0]]}")
            assert trace[-1]["codes"] == [ours[point]], (rule, net)
        assert said["differ"] == [int((codes[0] != other).sum()) for other in codes]
        dense = [step for step in (expected.steps if hasattr(expected, "steps") else [
            node.operator for node in expected.nodes]) if isinstance(step, FullyConnected)]
        for layer, step in zip(said["layers"], dense, strict=True):
            assert layer["output"] == {"scale": step.output.scale, "zero": step.output.zero_point}, net
            assert (layer["weights"], layer["biases"]) == (step.weights.tolist(), step.biases.tolist()), net
            assert layer["scales"] == step.weight_scales.tolist(), net
        assert said["input"] == {"scale": float(np.float32(1 / 255)), "zero": -128}
        assert said["output"] == {"scale": 1 / 256, "zero": -128}
    return made


@pytest.mark.parametrize("name", models.reference_names())
def test_a_reference_nets_codes_are_integermlps_on_all_inputs(name, tmp_path):
    model = models.reference(name)
    nets = [{"layers": as_layers(model), "activation": model.activation, "bits": bits, "per": per}
            for bits, per in [(8, "layer"), (8, "unit"), (4, "layer"), (2, "unit")]]
    codes = assert_codes_equal(nets, tmp_path)
    assert (codes[0, 0] == IntegerMLP.from_torch(model).codes(data.int8_inputs())).all()


def random_net(rng, k):
    """Return a net of whatever the playground can show: wide, deep, steep, dead, with ties, with extreme biases."""
    hidden = [(), (1,), (2,), (3,), (3,), (3,), (4,), (8,), (4, 3), (3, 2, 2)][k % 10] if k % 40 else (8, 8, 8)
    activation = ("sigmoid", "relu", "tanh")[int(rng.integers(3))]
    layers = as_layers(models.MLP(hidden, activation, seed=k))
    kind = rng.choice(["scaled", "ties", "dead", "biased", "zero layer"], p=[0.25, 0.5, 0.1, 0.1, 0.05])
    factor = 10 ** rng.uniform(-1, 1.3)
    for layer in layers:
        units, inputs = np.shape(layer["w"])
        w, b = np.array(layer["w"]) * factor, np.array(layer["b"]) * factor
        if kind == "ties":              # weights that are codes, a range of 128 of them: sums lie halfway between steps
            w, b = np.zeros((units, inputs)), np.zeros(units)
            w[:, :2] = [127, 1][:inputs]
            w = rng.permuted(w * rng.choice([-1, 1], (units, 1)), axis=1) * 2.0 ** -rng.integers(4, 8)
        elif kind == "dead":
            b[rng.integers(units)] -= 40 * factor
            w[rng.integers(units)] = 0
        elif kind == "biased":
            b += rng.choice([-1, 1], units) * np.abs(w).max(axis=1) * 10 ** rng.uniform(0, 4)
        layer["w"], layer["b"] = w.tolist(), b.tolist()
    if kind == "zero layer":
        layer = layers[int(rng.integers(len(layers)))]
        layer["w"] = np.zeros_like(layer["w"]).tolist()
    return {"layers": layers, "activation": activation, "bits": int(rng.choice([8, 8, 8, 7, 6, 5, 4, 3, 2])),
            "per": str(rng.choice(["layer", "unit"]))}


def test_200_random_nets_codes_are_integer_arithmetics_on_all_inputs(tmp_path):
    rng = np.random.default_rng(18)
    codes = assert_codes_equal([random_net(rng, k) for k in range(200)], tmp_path)
    for one, other in combinations(range(len(RULES)), 2):
        apart = (codes[:, one] != codes[:, other]).any(axis=1).sum()
        assert apart >= 15, f"{RULES[one]} and {RULES[other]} differ on {apart} nets only: they tell little"


def test_nets_whose_codes_ask_for_a_product_in_float32(tmp_path):
    """Found by search: LiteRT's built-in kernels multiply a layer's scales in float32, and one code shows it."""
    assert_codes_equal([{"layers": [{"w": [w], "b": [b]}], "activation": "relu", "bits": 8, "per": "layer"}
                        for w, b in (([2.11, 1.9], -0.73), ([0.6, -2.11], -0.27), ([1.15, 2.93], 0.4),
                                     ([1.12, 2.89], 0.51), ([-0.28, 1.74], 0.84), ([-2.7, -1.4], -0.87))], tmp_path)


def test_a_trace_has_the_codes_and_sums_of_integermlps():
    nets = [{"layers": as_layers(models.MLP(hidden, activation, seed=3)), "activation": activation, "bits": 8,
             "per": "layer"} for hidden in ((), (3,), (4, 3)) for activation in models.ACTIVATIONS]
    q = np.int8([[-128, -128], [-100, 57], [127, -1]])
    made = in_node("""answer(given.nets.map(({ layers, activation }) => given.q.map(([q1, q2]) => RULES.map((rule) => (
      quantize(new Net(layers, activation)).trace(q1, q2, rule))))));""", {"nets": nets, "q": q.tolist()})
    for net, ours in zip(nets, made, strict=True):
        for r, rule in enumerate(RULES):
            steps = integers(**net).under(rule).trace(q)
            for i, step in product(range(len(q)), range(len(steps))):
                sums = steps[step].accumulators
                assert ours[i][r][step] == {"name": steps[step].name, "codes": steps[step].codes[i].tolist()} | (
                    {} if sums is None else {"sums": sums[i].tolist()}), (rule, net)
                assert len(ours[i][r]) == len(steps)


def test_a_net_without_an_int8_form_is_refused_by_one_sentence():
    def net(w, b, activation="relu"):
        return {"layers": [{"w": w, "b": b}, {"w": [[1] * len(w)], "b": [0]}], "activation": activation}

    refused = {
        "NaN or infinite in float32": net([[1e39, 1]], [0]),
        "cannot hold": net([[3e38, 3e38]], [3e38]),
        "the bias 1 does not fit into 32 bits at the scale 3.09e-11 that its weights have": net([[1e-6, 1e-6]], [1]),
        "too close for a float32 scale": net([[1e-44, 0]], [0]),
    }
    for words, (_, sentence) in zip(refused, in_node("""answer(given.map(({ layers, activation }) => (
            told(() => quantize(new Net(layers, activation))))));""", list(refused.values())), strict=True):
        assert sentence.startswith("Error: ") and words in sentence
    (_, nan), = in_node("answer([told(() => quantize(new Net([{ w: [[NaN, 1]], b: [0] }], 'relu')))]);")
    assert nan.startswith("Error: ") and "NaN or infinite" in nan
    for given in refused.values():
        with pytest.raises(ValueError):
            integers(**given, bits=8, per="layer")


@pytest.mark.parametrize("layers, activation, refusing", [
    # a unit whose bias is worth 1.9e9 beside one whose sums are scaled up 8 times
    ([{"w": [[1, 0], [0, 0]], "b": [-0.999, -6e4]}, {"w": [[1, 1]], "b": [0]}], "relu", {"tflm", "ruy", "reference"}),
    ([{"w": [[1, 0], [0, 0]], "b": [-0.999, -3e3]}, {"w": [[1, 1]], "b": [0]}], "relu", set()),
    ([{"w": [[1e-9, 0]], "b": [0]}, {"w": [[1]], "b": [0]}], "sigmoid", {"tflm"}),      # a table TFLite Micro has not
    ([{"w": [[1e-9, 0]], "b": [0]}, {"w": [[1]], "b": [0]}], "tanh", {"tflm"}),
])
def test_sums_and_tables_that_a_runtime_has_no_answer_for_are_refused_as_in_python(
        layers, activation, refusing, tmp_path):
    net = {"layers": layers, "activation": activation, "bits": 8, "per": "layer"}
    expected, q = integers(**net), data.int8_inputs()
    made = in_node("""const int8 = quantize(new Net(given.layers, given.activation), given);
    answer(RULES.map((rule) => [told(() => [...int8.codes(rule)]), told(() => int8.trace(0, 0, rule))]));""", net)
    for rule, ((codes, sentence), (_, traced)) in zip(RULES, made, strict=True):
        if rule in refusing:
            assert sentence.startswith("Error: ") and traced.startswith("Error: ")
            with pytest.raises(ValueError):
                expected.under(rule).codes(q)
        else:
            assert sentence is None and traced is None
            assert expected.under(rule).codes(q).tolist() == codes


@pytest.mark.parametrize("per", PER)
def test_few_bits_are_close_to_a_net_that_could_be_trained_further(per):
    """FakeQuantized keeps logarithms of its scales, so its last digits differ; weights and lines are the same."""
    for bits in (8, 4, 2):
        model = models.reference()
        ours = IntegerMLP.from_torch(model, weight_bits=bits, granularity=PER[per])
        theirs = qat.FakeQuantized(model, data.grid(9), bits, granularity=PER[per], scales="largest").integers()
        for one, other in zip(ours.steps, theirs.steps, strict=True):
            assert np.isclose(one.output.scale, other.output.scale, rtol=1e-6)
            assert one.output.zero_point == other.output.zero_point
            if isinstance(one, FullyConnected):
                assert (one.weights == other.weights).all() and np.abs(one.biases - other.biases).max() <= 1
                assert np.allclose(one.weight_scales, other.weight_scales, rtol=1e-6)


def test_a_class_is_above_half_and_a_tie_is_0():
    made = in_node("""const codes = Int8Array.from([-128, -1, 0, 1, 127]);
    answer([[...codes].map(classOf), changedClasses([0.2, 0.5, 0.5, 0.5, 0.9], codes),
            changedClasses([0.51, 0.2, 0.51, 0.7, 0.1], codes), differ(codes, [-128, 0, 0, 1, -1])]);""")
    assert made == [[0, 0, 0, 1, 1], 1, 3, 2]


# --- the state

WRONG = {                                               # a part of what is said -> a state
    'a state must be an object such as {"hidden": [3]}, got [3]': [3],
    "got null": None,
    'no key "hiden"; there are preset, data, hidden': {"hiden": [3]},
    'no key "__proto__"': json.loads('{"__proto__": {"rate": 1}}'),
    'no key "data.nose"; data has name, noise': {"data": {"nose": 1}},
    'data must be an object such as {"name": "corners"}, got "corners"': {"data": "corners"},
    'data.name must be one of corners, noisy, and, or, circle, moons, spiral, own, got "x"': {"data": {"name": "x"}},
    "data.noise must be a number from 0 to 0.5, got 1": {"data": {"noise": 1}},
    "data.count must be a whole number from 4 to 2,000, got 2001": {"data": {"count": 2001}},
    "data.validation must be a share from 0 to 0.9, got 1": {"data": {"validation": 1}},
    "data.points must be a list of at most 2,000 points": {"data": {"points": [[0, 1.5, 1]]}},
    "inputs from 0 to 1, labels 0 or 1, got [[1.5,0,1]]": {"data": {"points": [[1.5, 0, 1]]}},
    "labels 0 or 1, got [[0,0.5,2]]": {"data": {"points": [[0, 0.5, 2]]}},
    "got [[0,0.5]]": {"data": {"points": [[0, 0.5]]}},
    "hidden must be a list of 0 to 3 layers of 1 to 8 units, got 3": {"hidden": 3},
    "got [9]": {"hidden": [9]},
    "got [1,1,1,1]": {"hidden": [1, 1, 1, 1]},
    "got [2.5]": {"hidden": [2.5]},
    'activation must be one of sigmoid, tanh, relu, got "swish"': {"activation": "swish"},
    'loss must be one of mse, bce, got "mae"': {"loss": "mae"},
    'optimizer must be one of sgd, momentum, rmsprop, adam, adamw, got "lion"': {"optimizer": "lion"},
    'rate must be a number above 0, got "fast"': {"rate": "fast"},
    "rate must be a number above 0, got 0": {"rate": 0},
    "rate must be a number above 0, got true": {"rate": True},
    "batch must be 0 for all points a step, or a whole number up to 2,000, got -1": {"batch": -1},
    "weight_decay must be a number of 0 or more, got -0.1": {"weight_decay": -0.1},
    "seed must be a whole number from 0 to 4,294,967,295, got 1.5": {"seed": 1.5},
    'start must be one of seed, zeros, given, got "random"': {"start": "random"},
    'start "given" needs weights': {"start": "given"},
    "weights must be null, or a list of layers": {"weights": {"w": 1}},
    "finite numbers for hidden [2]: w 2 x 2 and b 2, then w 1 x 2 and b 1; got [{": {
        "hidden": [2], "weights": [{"w": [[1, 2]], "b": [1]}, {"w": [[1]], "b": [0]}]},
    "for hidden []: w 1 x 2 and b 1; got [null]": {"hidden": [], "weights": [None]},
    'got [{"w":[[1,null]],"b":[0]}]': {"hidden": [], "weights": [{"w": [[1, None]], "b": [0]}]},
    "epoch must be a whole number from 0": {"epoch": -1},
    "bits must be a whole number from 2 to 8, got 1": {"bits": 1},
    'per must be one of layer, unit, got "channel"': {"per": "channel"},
    "rule must be one of tflm, ruy, single, reference, xnnpack, got null": {"rule": None},
    'other must be null or one of tflm, ruy, single, reference, xnnpack, got "tinymind"': {"other": "tinymind"},
    'playing must be true or false, got "yes"': {"playing": "yes"},
    "preset must be a preset's name or null, got 3": {"preset": 3},
    "preset must be a preset's name or null, got \"\\\"\\\"\\\"\\nimport os": {"preset": '"""\nimport os'},
}


def test_every_wrong_state_is_refused_by_a_sentence_of_what_was_given_and_what_is_allowed():
    for words, (_, sentence) in zip(WRONG, in_node("answer(given.map((state) => told(() => complete(state))));",
                                                   list(WRONG.values())), strict=True):
        assert sentence and sentence.startswith("Error: ") and words in sentence, (words, sentence)
        assert len(sentence) < 300 and "\n" not in sentence


def test_a_state_is_completed_once_and_for_all():
    assert list(in_node("answer(complete());")) == [
        "preset", "data", "hidden", "activation", "loss", "optimizer", "rate", "batch", "weight_decay", "seed", "start",
        "weights", "epoch", "bits", "per", "rule", "other", "playing"]
    layers = as_layers(models.MLP(3, seed=1))
    states = [{}, {"data": {"name": "moons"}, "rate": 0.3, "hidden": []}, {"start": "given", "weights": layers},
              {"data": {"points": [[0.1, 0.2, 1]]}}, {"rate": 5e-324, "weight_decay": 0.1 + 0.2}]
    for state, (once, twice, mine) in zip(states, in_node("""answer(given.map((state) => {
            const once = complete(state), copy = structuredClone(once);
            once.hidden.push(5);
            once.data.points.push(1);
            if (once.weights) once.weights[0].w[0][0] = 99;
            return [copy, complete(copy), state];
        }));""", states), strict=True):
        assert once == twice and mine == state, "a state that is completed stays as it was given"
        assert once | state == once | {"data": once["data"]} | {k: v for k, v in state.items() if k != "data"} | (
            {"data": state["data"]} if "data" in state else {})
        assert once["data"] | state.get("data", {}) == once["data"]
        assert once["data"]["name"] == ("own" if "points" in state.get("data", {}) else state.get("data", {}).get(
            "name", "corners"))


def test_no_json_makes_complete_throw_anything_but_a_sentence():
    """Random values at every key, and whole states of them; nested deeper than JSON is written again."""
    rng = np.random.default_rng(0)
    leaves = [None, True, False, 0, 1, -1, 2.5, 1e308, "", "sigmoid", "own", "length", [], {}, [[]], {"w": [], "b": []}]

    def value(depth=0):
        kind = rng.integers(4 if depth < 4 else 1)
        if kind < 2:
            return leaves[rng.integers(len(leaves))]
        many = range(int(rng.integers(4)))
        if kind == 2:
            return [value(depth + 1) for _ in many]
        return {str(rng.choice(["w", "b", "name", "points", "length", "constructor"])): value(depth + 1) for _ in many}

    keys = in_node("const state = complete(); answer([Object.keys(state), Object.keys(state.data)]);")
    states = [value() for _ in range(300)]
    states += [{str(key): value()} for key in keys[0] for _ in range(60)]
    states += [{"data": {str(key): value()}} for key in keys[1] for _ in range(60)]
    states += [{"hidden": hidden, "weights": value()} for hidden in ([], [1], [2, 2]) for _ in range(100)]
    made = in_node("""given.push(...["weights", "hidden", "seed"].map((key) => (
        JSON.parse(`{"${key}": ${"[".repeat(1e5)}${"]".repeat(1e5)}}`))));
    answer(given.map((state) => {
      const [made, sentence] = told(() => complete(state));
      return made ? JSON.stringify(complete(JSON.parse(JSON.stringify(made)))) === JSON.stringify(made) : sentence;
    }));""", states)
    odd = [said for said in made if said is not True and not (
        str(said).startswith("Error: ") and "\n" not in said and len(said) < 400)]
    assert not odd, odd[:3]
    assert 20 < sum(said is True for said in made) < len(made) / 2


# --- points

@pytest.mark.parametrize("name", ["noisy", "circle", "moons", "spiral"])
def test_a_cloud_lies_in_the_square_with_two_classes_alike_in_number_and_its_end_held_back(name):
    """That its numbers are those that Python draws is tested beside Python's."""
    asked = [{"name": name, "noise": noise, "count": count, "seed": seed, "validation": share}
             for noise, count, seed, share in ((0.1, 200, 0, 0.25), (0.1, 200, 1, 0), (0.5, 101, 2**32 - 1, 0.9))]
    first, second, third = in_node("""answer(given.map((data) => {
      const { x, y, validX, validY } = makePoints(complete({ data }).data);
      return [[...x], [...y], [...validX], [...validY]];
    }));""", asked)
    for data_, made in zip(asked, (first, second, third), strict=True):
        x, y = np.reshape(made[0] + made[2], (-1, 2)), np.array(made[1] + made[3])
        assert len(made[3]) == int(data_["count"] * data_["validation"]) and 2 * len(made[1]) == len(made[0])
        assert len(x) == data_["count"] and x.min() >= 0 and x.max() <= 1 and abs(y.mean() - 0.5) < 0.02
        assert len(np.unique(x, axis=0)) == len(x) and (x == np.round(x, 6)).all()
    assert not np.isin(first[0], second[0] + second[2]).all(), "another seed draws the same"


def test_corners_and_own_points_are_all_trained_on():
    own = [[0.25, 1, 1], [0, 0.125, 0], [1, 1, 1]]
    made = in_node("""answer(given.map((data) => {
      const { x, y, validX, validY } = makePoints(complete({ data }).data);
      return [[...x], [...y], validX.length + validY.length];
    }));""", [{"name": "corners"}, {"name": "and"}, {"name": "or"}, {"name": "own", "points": own}, {"name": "own"}])
    x, y = data.corners()
    assert made[0] == [x.ravel().tolist(), y.tolist(), 0]
    assert made[1] == [x.ravel().tolist(), x.min(axis=1).tolist(), 0]
    assert made[2] == [x.ravel().tolist(), x.max(axis=1).tolist(), 0]
    assert made[3] == [[0.25, 1, 0, 0.125, 1, 1], [1, 0, 1], 0] and made[4] == [[], [], 0]


def test_a_file_of_points_is_read_whatever_parts_its_columns():
    points = [[0, 0.5, 1], [1, 0.25, 0]]
    texts = ["0,0.5,1\n1,.25,0", "x1;x2;label\r\n0;0,5;1\r\n1;0,25;0\r\n",
             "\ufeffx1\tx2\ty\n0\t0.5\t1\n\n1\t2.5e-1\t0\n\n", "0 0.5 1\n  1   0.25  0  ",
             '"x1","x2","class"\n"0","0.5","1"\n"1","0.25","0.0"\r']
    assert in_node("answer(given.map(readCsv));", texts) == [points] * len(texts)
    assert len(in_node("answer(readCsv(given));", "0.5,0.5,1\n" * 2000)) == 2000


def test_a_file_of_wrong_points_is_refused_by_its_row():
    wrong = {
        "the file has no rows": " \n\n",
        "names of columns and no rows": "x1,x2,label\n",
        "the file has 2,001 points, and at most 2,000 are allowed": "0,0,0\n" * 2001,
        "row 2 has 2 columns, and a point needs 3: x1, x2 and its label": "0,0,0\n1,1\n",
        "row 3 has 4 columns": "x1,x2,label\n\n0,0,0,1\n",
        'row 2 has "high" where a number must be': "0,0,0\n1,high,1",
        'row 1 has "" where a number must be': ",0,0\n1,1,1",
        'row 1 has "0x1" where a number must be': "0x1,0,0",
        "row 2 has x1 1.5, and inputs must lie from 0 to 1; bring that column there first": "0,0,0\n1.5,0,1",
        "row 1 has x2 -0.1, and inputs": "0,-0.1,0",
        "row 1 has x1 Infinity, and inputs": "1e999,0.1,0",
        "row 3 has the label 2, and a label must be 0 or 1": "0,0,0\n1,1,1\n1,1,2",
    }
    for words, (_, sentence) in zip(wrong, in_node("answer(given.map((text) => told(() => readCsv(text))));",
                                                   list(wrong.values())), strict=True):
        assert sentence and sentence.startswith("Error: ") and words in sentence, (words, sentence)
