"""The exercises of lesson 02, a small network in PyTorch."""
import json
import math

import numpy as np

from xorlab.exercises.exercise import Exercise, Wrong
from xorlab.exercises.judging import diagnosed, number, pair, result, run, short
from xorlab.exercises.lesson_01 import CORNERS, LABELS, TABLES

# 02.1, nine numbers

def _nine(answer):
    """Return nine numbers as an array (3, 3), or raise Wrong."""
    if isinstance(answer, (str, dict)) or not hasattr(answer, "__len__"):
        raise Wrong(f"This wants nine numbers, `[(w1, w2, b), (w1, w2, b), (v1, v2, c)]`, and got {short(answer)}.")
    if len(answer) != 3 or not all(hasattr(row, "__len__") and len(row) == 3 for row in answer):
        raise Wrong("This wants three rows of three numbers, `[(w1, w2, b), (w1, w2, b), (v1, v2, c)]`, and got "
                    f"{short(answer)}.")
    nine = np.array([[number(value, f"numbers only, in row {i} too") for value in row]
                     for i, row in enumerate(answer, 1)])
    if np.abs(nine).max() > 1e6:
        raise Wrong(f"Numbers up to a million are enough here; yours go up to {np.abs(nine).max():.0e}.")
    return nine


def _sigmoid(s):
    return 1 / (1 + math.exp(-s)) if s >= 0 else math.exp(s) / (1 + math.exp(s))


def _network(nine, f):
    """Return what two units and the output answer at the four corners, (4, 3), with f behind each sum."""
    rows = []
    for x1, x2 in CORNERS:
        units = [f(w1 * x1 + w2 * x2 + b) for w1, w2, b in nine[:2]]
        v1, v2, c = nine[2]
        rows.append([*units, f(v1 * units[0] + v2 * units[1] + c)])
    return np.array(rows)


def _table(column):
    return TABLES.get("".join("1" if value > 0.5 else "0" for value in column),
                      "".join("1" if value > 0.5 else "0" for value in column))


def judge_nine(answer):
    nine = _nine(answer)
    soft, hard = _network(nine, _sigmoid), _network(nine, lambda s: float(s > 0))
    output = soft[:, 2]
    off = np.abs(output - LABELS)
    if off.max() <= 0.2:
        return f"Your corners answer {', '.join(f'{value:.2f}' for value in output)}."
    right = int(((output > 0.5) == np.array(LABELS, bool)).sum())
    if np.abs(soft[:, 0] - soft[:, 1]).max() < 0.01:
        raise Wrong(f"{right} of 4 are right. Your two units are equal at all corners, so together they are one line: "
                    "at most 3 of 4.")
    if (hard[:, 2] == LABELS).all():
        raise Wrong(f"That's right for hard steps. Sigmoids are soft: your corners answer {output.min():.2f} to "
                    f"{output.max():.2f}. Make all numbers larger.")
    units = f"Unit 1 is {_table(soft[:, 0])}, unit 2 is {_table(soft[:, 1])}"
    if len(set(output > 0.5)) == 1:
        raise Wrong(f"{right} of 4 are right: your output is {int(output[0] > 0.5)} everywhere. {units}; look at what "
                    "the output makes of them.")
    worst = int(off.argmax())
    if right == 4:
        raise Wrong(f"All 4 are on the right side, but {CORNERS[worst]} answers {output[worst]:.2f}, more than 0.2 "
                    "away from its label. Make the numbers larger.")
    missed = [i for i in range(4) if (output[i] > 0.5) != LABELS[i]]
    named = " and ".join(str(CORNERS[i]) for i in missed)
    raise Wrong(f"{right} of 4: {named} {'is' if len(missed) == 1 else 'are'} wrong. {CORNERS[missed[0]]} answers "
                f"{output[missed[0]]:.2f} and should be {LABELS[missed[0]]}. {units}.")


# 02.2, a slope

SLOPES = ((lambda w: w * w, 3.0, 6.0, "w²"), (lambda w: 3 * w, -1.0, 3.0, "3w"), (math.sin, 1.0, math.cos(1), "sin w"),
          (lambda w: w * w, -2.0, -4.0, "w²"), (lambda w: (w - 1) ** 4, 2.0, 4.0, "(w - 1)⁴"))


def _slopes(slope):
    return [result(slope, f, w) for f, w, _, _ in SLOPES]


def judge_slope(slope):
    found = _slopes(slope)
    for value, (_, w, expected, what) in zip(found, SLOPES, strict=True):
        if not abs(value - expected) <= 0.01 * abs(expected):
            shown = f"For {what} at {w:g} you answer {value:.6g}, and the slope there is {expected:.4g}."
            raise diagnosed(BY_ID["02.2"], _slopes, found, shown)
    coarse = result(slope, *SLOPES[0][:2], 1.0)
    if not 4.9 < coarse < 7.1:          # 7 forward, 6 from the middle, 5 backward
        raise Wrong(f"With h = 1 the slope of w² at 3 should be 7 (or 6 from the middle); yours is {coarse:.4g}. Do "
                    "you use `h` everywhere?")
    gradient, measured = _gradient_of_seed_1(slope)
    if not abs(measured - gradient) <= 0.02 * abs(gradient):
        raise Wrong(f"On the network your slope is {measured:.5f}, and `.grad` says {gradient:.5f}.")
    return f"On seed 1's first output weight you measure {measured:.5f}; `.grad` says {gradient:.5f}."


def _gradient_of_seed_1(slope):
    """Return the gradient of the first output weight of seed 1, and what a student's function measures."""
    import torch

    from xorlab import models

    net = models.MLP(seed=1).double()
    x, y = torch.tensor(CORNERS).double(), torch.tensor(LABELS).double()[:, None]
    weight = net.output.weight

    def loss(w):
        with torch.no_grad():
            before = weight[0, 0].item()
            weight[0, 0] = float(w)
            value = ((net(x) - y) ** 2).mean().item()
            weight[0, 0] = before
        return value

    ((net(x) - y) ** 2).mean().backward()
    return weight.grad[0, 0].item(), result(slope, loss, weight[0, 0].item())


SLOPE_STUB = "def slope(loss, w, h=0.001):\n    ...\n"
SLOPE = "def slope(loss, w, h=0.001):\n    return {}\n"


# 02.3, a tiny nudge

def judge_tiny(guess):
    if guess == 0:
        return "Exactly 0. float32 keeps about seven digits, and the loss should move in its tenth."
    if abs(guess - 0.0164) < 0.002:
        raise Wrong("That would be so with more digits. float32 keeps about seven, and the loss should move in its "
                    "tenth: the slope comes out as 0.")
    if abs(guess) <= 1e-6:
        raise Wrong("That's about h itself. The slope is the change divided by h, and here the change is exactly 0.")
    if abs(guess) > 1:
        raise Wrong("Dividing by a tiny h makes large numbers only if the loss moves. It doesn't move: 0 / h is 0.")
    raise Wrong("The slope comes out as exactly 0: float32 keeps about seven digits, so the loss can't "
                "move by so little.")


# 02.4, one step of training

def _training(step, epochs=3):
    """Return what a student's step does to seed 1, under two optimizers, for some epochs.

    First the losses after each epoch; then, to tell wrong answers apart, how often the optimizer moved and a gradient
    was computed, and how many gradients stand there at the end.
    """
    import torch

    from xorlab import models

    losses, traces = [], []
    for make in (lambda p: torch.optim.Adam(p, lr=0.1), lambda p: torch.optim.SGD(p, lr=1.0, momentum=0.9)):
        net, (x, y) = models.MLP(seed=1), _corners()
        optimizer, loss_of = make(net.parameters()), torch.nn.MSELoss()
        moves, gradients = [], []
        optimizer.register_step_post_hook(lambda *_, seen=moves: seen.append(1))
        net.output.bias.register_hook(lambda _, seen=gradients: seen.append(1))
        for _ in range(epochs):
            run(step, net, optimizer, loss_of, x, y)
            with torch.no_grad():
                losses.append(((net(x) - y) ** 2).mean().item())
        traces += [len(moves), len(gradients), sum(p.grad is not None for p in net.parameters())]
    return losses + traces


def _true_losses(epochs=3):
    """Return the losses after each epoch that a right step leads to, written out without `zero_grad` and `backward`."""
    import torch

    from xorlab import models

    losses = []
    for make in (lambda p: torch.optim.Adam(p, lr=0.1), lambda p: torch.optim.SGD(p, lr=1.0, momentum=0.9)):
        net, (x, y) = models.MLP(seed=1), _corners()
        weights = list(net.parameters())
        optimizer = make(weights)
        for _ in range(epochs):
            gradients = torch.autograd.grad(((net(x) - y) ** 2).mean(), weights)
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = gradient
            optimizer.step()
            with torch.no_grad():
                losses.append(((net(x) - y) ** 2).mean().item())
    return losses


def _corners():
    import torch

    return torch.tensor(CORNERS).float(), torch.tensor(LABELS).float()[:, None]


def judge_step(step):
    found, true = _training(step), _true_losses()
    for i, (value, expected) in enumerate(zip(found, true, strict=False)):
        if not abs(value - expected) <= 1e-4 * expected:
            epoch = i % (len(true) // 2) + 1
            which = "Adam at rate 0.1" if i < len(true) // 2 else "SGD with momentum"
            shown = (f"After {epoch} step{'s' * (epoch > 1)} of seed 1 with {which} the loss should be {expected:.5f}; "
                     f"with yours it is {value:.5f}.")
            raise diagnosed(BY_ID["02.4"], _training, found, shown)
    return f"With Adam the loss of seed 1 goes from 0.25521 to {found[0]:.5f} and {found[1]:.5f} in two steps."


STEP = "def step(net, optimizer, loss_of, x, y):\n"


def _step(*lines):
    return STEP + "".join(f"    {line}\n" for line in lines)


# 02.5, stuck, slow or a bug

RUNS = {"A": "stuck", "B": "bug", "C": "slow"}
WHY_RUNS = {
    ("A", "slow"): "A isn't slow: 27,000 more epochs leave it at 0.125. Two corners have merged, and nothing pushes "
                   "them apart.",
    ("A", "bug"): "A has no bug: its shapes are right, and seed 1 learns with the same lines.",
    ("B", "stuck"): "B isn't stuck: print `(net(x) - y).shape`. It's 16 numbers for four points.",
    ("B", "slow"): "B isn't slow: more epochs don't help. Print `(net(x) - y).shape`: 16 numbers for four points.",
    ("C", "stuck"): "C isn't stuck: its largest gradient is 60 times A's, and 30,000 epochs solve it.",
    ("C", "bug"): "C has no bug: its shapes are right. Its gradient is small, but 60 times A's.",
}


def judge_runs(answer):
    if not isinstance(answer, dict) or set(answer) != set(RUNS):
        raise Wrong(f"This wants a word for each run, `{{'A': ..., 'B': ..., 'C': ...}}`, and got {short(answer)}.")
    said = {run_: str(word).strip().lower() for run_, word in answer.items()}
    for run_, word in said.items():
        if word not in RUNS.values():
            raise Wrong(f"{run_} must be 'stuck', 'slow' or 'bug', got {short(answer[run_])}.")
    for run_, word in said.items():
        if word != RUNS[run_]:
            raise Wrong(WHY_RUNS[run_, word])
    return "A has merged two corners, B compares every output with every label, and C only needs more epochs."


def _runs(**words):
    return f"runs = {json.dumps({**RUNS, **words})}\n"


# 02.6, pruning

def counts_of_corners(guess, example=(2, 1)):
    """Return two counts of corners, 0 to 4, or raise Wrong."""
    asked = f"two counts of corners, e.g. {example}"
    counts = tuple(number(value, asked) for value in pair(guess, asked))
    if any(value not in range(5) for value in counts):
        raise Wrong(f"Counts of corners are whole numbers from 0 to 4, got {short(guess)}.")
    return tuple(int(value) for value in counts)


def judge_pruned(guess):
    if guess == (4, 3):
        return "4 without unit 3, and 3 without unit 2: (0, 0) then answers 0.35 and 0.65."
    if guess == (3, 3):
        raise Wrong("It's (4, 3). Without unit 3, (0, 0) answers 0.35: a worse answer, and still class 0.")
    if guess == (4, 4):
        raise Wrong("It's (4, 3). Alike isn't equal: unit 2's weight of -9.12 outweighs unit 3's -8.03, and without it "
                    "(0, 0) answers 0.65.")
    if guess == (2, 2):
        raise Wrong("It's (4, 3). Two corners are lost without unit 1: it carries both of XOR's ones.")
    raise Wrong("It's (4, 3): without unit 3, (0, 0) answers 0.35, without unit 2 it answers 0.65.")


EXERCISES = (
    Exercise(
        "02.1", "find", 4, 2, "XOR from nine numbers", "nine",
        "nine = ...\n", "nine = [(20, 20, -10), (20, 20, -30), (20, -20, -10)]\n", judge_nine,
        hints=("XOR is *or*, but not *and*. Which three numbers make *or*, which *and*?",
               "With hard steps (1, 1, -0.5) is *or* and (1, 1, -1.5) is *and*. Sigmoids need larger numbers: every "
               "corner must come within 0.2.",
               "Take 20 times (1, 1, -0.5), 20 times (1, 1, -1.5), and for the output 20 times (1, -1, -0.5)."),
        wrong=(("nine = [(1, 1, -0.5), (1, 1, -1.5), (1, -1, -0.5)]\n", "right for hard steps"),
               ("nine = [(20, 20, -10), (-20, -20, 30), (20, 20, -10)]\n", "1 everywhere"),
               ("nine = [(20, 20, -10), (20, 20, -10), (20, -20, -10)]\n", "one line: at most 3 of 4"),
               ("nine = [(20, 20, -10), (20, 20, -30), (20, 20, -10)]\n", "3 of 4: (1, 1) is wrong")),
        probe=lambda answer: [abs(o - t) <= 0.2 for o, t in zip(_network(_nine(answer), _sigmoid)[:, 2], LABELS,
                                                               strict=True)]),
    Exercise(
        "02.2", "write", 3, 2, "a slope, by a nudge", "slope", SLOPE_STUB, SLOPE.format("(loss(w + h) - loss(w)) / h"),
        judge_slope,
        hints=("A slope is rise over run. What is the rise, and what is the run?",
               "The slope of w² at 3 comes out as 6.001.",
               "The change of the loss, `loss(w + h) - loss(w)`, divided by `h`."),
        wrong=((SLOPE.format("loss(w + h) - loss(w)"), "That's the rise: divide it by the nudge."),
               (SLOPE.format("(loss(w) - loss(w + h)) / h"), "The sign is turned: uphill must be positive."),
               (SLOPE.format("loss(w + h) / h"), "Take the change of the loss, not the loss itself."),
               (SLOPE.format("(loss(w + h) + loss(w)) / h"), "A change is a difference, not a sum.")),
        probe=lambda slope: [round(run(slope, f, w) / 0.04) for f in (lambda w: w * w + w, math.exp, math.sin)
                             for w in (-1.3, 0.4, 2.2)]),
    Exercise(
        "02.3", "predict", 1, 0, "a nudge of 0.00000001", "guess", "guess = ...\n", "guess = 0\n", judge_tiny,
        hints=("How many digits does float32 keep?", "Try `np.float32(0.25521) + np.float32(1e-10)`.",
               "The sum is 0.25521 again: the loss doesn't change."),
        wrong=(("guess = 0.0164\n", "float32 keeps about seven"),
               ("guess = 1e-8\n", "That's about h itself"),
               ("guess = 1_000_000\n", "0 / h is 0"), ("guess = 0.5\n", "exactly 0")),
        probe=lambda guess: [guess], read=lambda guess: number(guess, "a number, the slope you expect")),
    Exercise(
        "02.4", "write", 4, 3, "one step of training", "step", _step("..."),
        _step("optimizer.zero_grad()", "loss = loss_of(net(x), y)", "loss.backward()", "optimizer.step()"), judge_step,
        hints=("Forget, forward, loss, backward, move: which line does which?",
               "The losses of seed 1 are 0.25521, 0.25006 and 0.25179.",
               "`optimizer.zero_grad()`, then `loss_of(net(x), y).backward()`, then `optimizer.step()`."),
        wrong=((_step("loss_of(net(x), y).backward()", "optimizer.step()"),
                "You don't forget: without `zero_grad` the gradients of all steps add up."),
               (_step("optimizer.zero_grad()", "optimizer.step()", "loss_of(net(x), y).backward()"),
                "You move before you know where to: `step` comes after `backward`."),
               (_step("loss_of(net(x), y).backward()", "optimizer.zero_grad()", "optimizer.step()"),
                "You forget the gradient before you use it: `zero_grad` stands between `backward` and `step`."),
               (_step("optimizer.zero_grad()", "loss_of(net(x), y).backward()"),
                "Nothing moves: `optimizer.step()` is missing."),
               (_step("optimizer.zero_grad()", "loss_of(net(x), y)", "optimizer.step()"),
                "Nothing has a gradient: `backward()` is missing.")),
        probe=lambda step: [f"{value:.4g}" for value in _training(step, 5)[:10]]),
    Exercise(
        "02.5", "find", 3, 2, "stuck, slow, or a bug", "runs",
        'runs = {"A": ..., "B": ..., "C": ...}\n', _runs(), judge_runs,
        hints=("One shape and one gradient each: print `(net(x) - y).shape` and the largest gradient.",
               "A shape of (4, 4) is a bug. A gradient sixty times another's is not stuck.",
               "B compares 16 pairs. Of the other two, C has the larger gradient."),
        wrong=((_runs(A="slow"), WHY_RUNS["A", "slow"]), (_runs(B="stuck"), WHY_RUNS["B", "stuck"]),
               (_runs(C="stuck"), WHY_RUNS["C", "stuck"]), (_runs(A="bug"), WHY_RUNS["A", "bug"])),
        probe=lambda runs: sorted(runs.items())),
    Exercise(
        "02.6", "predict", 1, 0, "a unit silenced", "guess", "guess = ...\n", "guess = (4, 3)\n", judge_pruned,
        hints=("Add up the output's sum at (0, 0), where all three units are on, without one of them.",
               "Only the sign of the sum decides the class.",
               "All three units answer about 1 there: 16.1 - 7.7, the bias, minus 9.1 or minus 8.0."),
        wrong=(("guess = (3, 3)\n", "still class 0"), ("guess = (4, 4)\n", "Alike isn't equal"),
               ("guess = (2, 2)\n", "unit 1")),
        probe=lambda guess: [guess], read=counts_of_corners),
)
BY_ID = {exercise.id: exercise for exercise in EXERCISES}
