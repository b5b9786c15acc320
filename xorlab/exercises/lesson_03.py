"""The exercises of lesson 03, comparing optimizers."""
import itertools
import math

import numpy as np

from xorlab.exercises.exercise import Exercise, Wrong
from xorlab.exercises.judging import array, diagnosed, number, pair, returned, run, short

# 03.1, momentum

RUNS = ((0.1, 200), (0.01, 5))      # (rate, steps)
CLOSE = 1e-9            # of two runs of 200 steps in float64; the last digits of sums differ by about 4e-15


def _gradients(steps):
    return np.random.default_rng(0).normal(size=(steps, 5))


def _rolled(momentum, runs=RUNS):
    """Return where a student's momentum brings five weights in these runs: after 1 step, 2 steps and all of them."""
    seen = []
    for rate, steps in runs:
        w, v = np.ones(5), np.zeros(5)
        for step, g in enumerate(_gradients(steps), 1):
            w, v = _weights_and_speed(returned(momentum, w, v, g, rate, ends="`return w, v`"))
            if step in (1, 2, steps):
                seen.append(w)
    return np.array(seen)


def _started(momentum):
    return _rolled(momentum, ((0.1, 4),))


def _weights_and_speed(answer):
    w, v = (array(part, "two arrays of numbers, `return w, v`", kinds="biuf").astype(float)
            for part in pair(answer, "two arrays, `return w, v`"))
    if w.shape != (5,) or v.shape != (5,):
        raise Wrong(f"Your arrays must keep their shape: five weights came in, shapes {w.shape} and {v.shape} went "
                    "out.")
    return w, v


def _rolled_by_pytorch():
    import torch

    seen = []
    for rate, steps in RUNS:
        w = torch.ones(5, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=rate, momentum=0.9)
        for step, g in enumerate(_gradients(steps), 1):
            w.grad = torch.from_numpy(g)
            optimizer.step()
            if step in (1, 2, steps):
                seen.append(w.detach().numpy().copy())
    return np.array(seen)


def judge_momentum(momentum):
    found, true = _rolled(momentum), _rolled_by_pytorch()
    apart = np.abs(found - true).max(axis=1)
    if (apart <= CLOSE).all():
        return f"After {RUNS[0][1]} steps your weights and `torch.optim`'s agree to nine digits."
    where = int(np.argmax(~(apart <= CLOSE)))
    rate, steps = RUNS[where // 3]
    step = (1, 2, steps)[where % 3]
    shown = (f"After {step} step{'s' * (step > 1)} at rate {rate} the first weight should be "
             f"{true[where, 0]:.5f}; yours is {found[where, 0]:.5f}.")
    raise diagnosed(BY_ID["03.1"], _started, _started(momentum), shown)


MOMENTUM = "def momentum(w, v, g, lr):\n"


def _momentum(*lines):
    return MOMENTUM + "".join(f"    {line}\n" for line in lines)


# 03.2, the vote

LABELS = ("sgd, rate 0.1", "sgd, rate 1", "momentum, rate 0.1", "rmsprop, rate 0.1", "adam, rate 0.1",
          "adamw, rate 0.1")
LEADING = ("sgd, rate 1", "momentum, rate 0.1", "adamw, rate 0.1")
WHY_NOT = {
    "adam, rate 0.1": "Adam is the quickest, not the most reliable: about 81 %. SGD at rate 1 solves 94 %.",
    "rmsprop, rate 0.1": "RMSprop shares Adam's haste: about 76 %. SGD at rate 1 solves 94 %.",
    "sgd, rate 0.1": "SGD at rate 0.1 has solved 0 % so far: it needs ten times the epochs of rate 1.",
}


def _label(guess):
    said = str(guess).strip().lower() if isinstance(guess, str) else ""
    meant = [label for label in LABELS if label == said or label.split(",")[0] == said]
    if len(meant) != 1:
        both = " There are two of SGD: \"sgd, rate 0.1\" and \"sgd, rate 1\"." if said == "sgd" else ""
        raise Wrong(f"This wants one of {', '.join(LABELS)}, in quotes, and got {short(guess)}.{both}")
    return meant[0]


def judge_vote(label):
    if label in LEADING:
        return (f"{label} is one of three that solve over nine in ten. Their intervals overlap, so this race can't "
                "tell which is best.")
    raise Wrong(WHY_NOT[label])


# 03.3, which shares fit

CASES = ((0, 128), (64, 128), (397, 500))


def _ends(k, n):
    """Return the shares p with |k / n - p| = 1.96 sqrt(p (1 - p) / n), the roots of a quadratic in p."""
    z = 1.96**2 / n
    a, b, c = 1 + z, -(2 * k / n + z), (k / n) ** 2
    root = math.sqrt(max(0.0, b * b - 4 * a * c))
    return max(0.0, (-b - root) / (2 * a)), min(1.0, (-b + root) / (2 * a))


def _tried(k, n):
    """Return the shares on which an answer is tried: forty everywhere, and four close to the two ends."""
    low, high = _ends(k, n)
    near = [end + side for end in (low, high) for side in (-2e-4, 2e-4) if 0 <= end + side <= 1]
    return [*np.linspace(0, 1, 41).round(3).tolist(), *near]


def _fits(likely):
    """Return 0 or 1 for each share that is tried in each case."""
    found = []
    for k, n in CASES:
        for p in _tried(k, n):
            says = returned(likely, p, k, n, ends="`return` and a comparison")
            if not isinstance(says, (bool, np.bool_)):
                raise Wrong(f"Your function must say True or False, as a comparison does; it returned {short(says)}.")
            found.append(float(says))
    return found


def judge_likely(likely):
    found = _fits(likely)
    asked = [(k, n, p) for k, n in CASES for p in _tried(k, n)]
    for says, (k, n, p) in zip(found, asked, strict=True):
        low, high = _ends(k, n)
        if bool(says) != (low <= p <= high):
            word = "allow" if says else "exclude"
            shown = (f"Of {k} of {n} you {word} a true share of {p:.4g}; what fits is {low:.3f} to {high:.3f}.")
            raise diagnosed(BY_ID["03.3"], _fits, found, shown)
    return "0 of 128 leaves the shares from 0 to 0.029, and 64 of 128 those from 0.415 to 0.585."


LIKELY = "def likely(p, k, n):\n    return {}\n"


# 03.4, a plateau

LISTS = ((0, 1, 1), (0, 1), *(list_ for n in (1, 2, 3, 4) for list_ in itertools.product((0, 1), repeat=n)))


def _plateaus(plateau):
    return np.array([_answer_and_loss(plateau, labels) for labels in LISTS])


def _answer_and_loss(plateau, labels):
    answer = returned(plateau, np.array(labels, float), ends="`return answer, loss`")
    return [number(part, "two numbers from your function, an answer and a loss")
            for part in pair(answer, "two numbers, `return answer, loss`")]


def _cheapest(labels):
    """Return the best common answer and its loss over four corners, by trying 1,001 answers."""
    answers = np.linspace(0, 1, 1_001)
    losses = ((np.array(labels)[:, None] - answers) ** 2).sum(axis=0) / 4
    return answers[losses.argmin()], losses.min()


def judge_plateau(plateau):
    found = _plateaus(plateau)
    true = np.array([_cheapest(labels) for labels in LISTS])
    off = (~(np.abs(found - true) <= 1e-3)).any(axis=1)
    if not off.any():
        return "0 and 1 together lose 0.125, or 1/8. 0, 1 and 1 answer 2/3 and lose 0.167, or 1/6."
    at = int(off.argmax())
    named = " ".join(map(str, LISTS[at]))
    shown = (f"For the labels {named} the best answer is {true[at, 0]:.3f}, with a loss of {true[at, 1]:.3f}; yours "
             f"are {found[at, 0]:.3f} and {found[at, 1]:.3f}.")
    raise diagnosed(BY_ID["03.4"], _plateaus, found, shown)


PLATEAU = "def plateau(labels):\n    answer = {}\n    return answer, {}\n"


# 03.5, Adam's step after the gradient has shrunk

def judge_shrunk(guess):
    if 0.0014 <= guess <= 0.0016:
        return "0.0015. Adam divides 0.01 by about 0.7: it still remembers the large gradients."
    if guess >= 0.05:
        raise Wrong("It's 0.0015. Adam doesn't divide by this gradient, but by its memory of about a thousand "
                    "gradients, and there the large ones are.")
    if 0.005 <= guess < 0.05:
        raise Wrong("It's 0.0015. You forgot the rate: 0.01 over about 0.7, times 0.1.")
    if guess <= 0:
        raise Wrong("It's 0.0015. The step is short, but not nothing: it still follows 0.01, over about 0.7.")
    if 0.0008 <= guess < 0.0014:
        raise Wrong("It's 0.0015, so you were close. That would divide by 1; half of the 200 gradients are small, so "
                    "their usual size is about 0.7.")
    raise Wrong("It's 0.0015: the rate of 0.1, times 0.01, over a usual size of about 0.7.")


EXERCISES = (
    Exercise(
        "03.1", "write", 4, 3, "momentum's step", "momentum", _momentum("..."),
        _momentum("v = 0.9 * v + g", "return w - lr * v, v"), judge_momentum,
        hints=("Speed first, then the step: the new speed moves the weights.",
               "If `g` stays 1, `v` climbs to 10.",
               "`v = 0.9 * v + g`, then return `w - lr * v` and `v`."),
        wrong=((_momentum("v = 0.9 * v + 0.1 * g", "return w - lr * v, v"),
                "That's Adam's average: it makes your steps ten times too short."),
               (_momentum("return w - lr * v, 0.9 * v + g"), "One gradient late: update `v` first, then step with it."),
               (_momentum("v = 0.9 * v + g", "return w - lr * g, v"),
                "You keep `v`, but step with `g`: that's SGD."),
               (_momentum("v = 0.9 * v + g", "return w + lr * v, v"),
                "That's uphill: a step goes against the gradient."),
               (_momentum("v = v + g", "return w - lr * v, v"),
                "Your ball never slows down: it should keep 0.9 of its speed.")),
        probe=lambda momentum: np.round(_rolled(momentum, ((0.3, 6),)), 6).tolist()),
    Exercise(
        "03.2", "predict", 1, 0, "a vote before the race", "guess", "guess = ...\n", 'guess = "sgd, rate 1"\n',
        judge_vote,
        hints=("Which of them runs into the flat parts of the sigmoids?", "The best solve over 90 %.",
               "Three solve over nine in ten, and Adam isn't one of them."),
        wrong=(('guess = "adam"\n', "quickest, not the most reliable"), ('guess = "rmsprop"\n', "Adam's haste"),
               ('guess = "sgd, rate 0.1"\n', "ten times the epochs")),
        probe=lambda guess: [guess], read=_label),
    Exercise(
        "03.3", "write", 4, 3, "which shares fit", "likely", "def likely(p, k, n):\n    ...\n",
        LIKELY.format("abs(k / n - p) <= 1.96 * np.sqrt(p * (1 - p) / n)"), judge_likely,
        hints=("Take `p` for the truth: how far from it may a share of `n` starts lie?",
               "Of 0 of 128, the shares from 0 to 0.029 fit.",
               "A share of `n` starts has a spread of `np.sqrt(p * (1 - p) / n)`; allow 1.96 of them either way."),
        wrong=((LIKELY.format("abs(k / n - p) <= 1.96 * np.sqrt(k / n * (1 - k / n) / n)"),
                "Take the spread of the share you test, `p`. With that of `k / n`, 0 of 128 leaves only 0."),
               (LIKELY.format("abs(k / n - p) <= 1.96 * np.sqrt(p * (1 - p))"),
                "That's one start's spread: divide by `n` under the root, or 0 of 128 would allow 0.79."),
               (LIKELY.format("abs(k / n - p) <= np.sqrt(p * (1 - p) / n)"),
                "One spread holds 68 % of all races. For 95 % allow 1.96 of them."),
               (LIKELY.format("k / n - p <= 1.96 * np.sqrt(p * (1 - p) / n)"),
                "A share can lie off on either side: take the size of the difference, `abs`.")),
        probe=lambda likely: [bool(run(likely, p, k, n)) for k, n in CASES for p in (0, 0.02, 0.3, 0.5, 0.6, 0.8, 1)]),
    Exercise(
        "03.4", "write", 3, 2, "the loss of a plateau", "plateau", "def plateau(labels):\n    ...\n",
        PLATEAU.format("np.mean(labels)", "np.sum((labels - answer) ** 2) / 4"), judge_plateau,
        hints=("For which answer is the sum of squares smallest?", "Two labels come to 1/8, three to 1/6.",
               "The answer is the mean of the labels; the loss is the sum of the squared errors, divided by four."),
        wrong=((PLATEAU.format("0.5", "np.sum((labels - answer) ** 2) / 4"),
                "0.5 isn't always best: 0, 1 and 1 then cost 0.1875, and 2/3 costs less."),
               (PLATEAU.format("np.round(np.mean(labels))", "np.sum((labels - answer) ** 2) / 4"),
                "The majority isn't best: for 0, 1 and 1, answering 1 costs 0.25."),
               (PLATEAU.format("np.mean(labels)", "np.mean((labels - answer) ** 2)"),
                "The other corners count too, with an error of 0: divide by four."),
               (PLATEAU.format("np.mean(labels)", "np.sum(np.abs(labels - answer)) / 4"),
                "Square the errors before you add them.")),
        probe=lambda plateau: np.round(_plateaus(plateau), 6).tolist()),
    Exercise(
        "03.5", "predict", 2, 0, "a step after large gradients", "guess", "guess = ...\n", "guess = 0.0015\n",
        judge_shrunk,
        hints=("How many steps does an average with 0.999 remember?", "A little more than 0.1 times 0.01.",
               "Half of 200 gradients were 1, so their usual size is the root of a half, about 0.7."),
        wrong=(("guess = 0.1\n", "memory of about a thousand"), ("guess = 0.01\n", "You forgot the rate"),
               ("guess = 0\n", "short, but not nothing"), ("guess = 0.001\n", "you were close")),
        probe=lambda guess: [guess], read=lambda guess: number(guess, "a number, the length you expect")),
)
BY_ID = {exercise.id: exercise for exercise in EXERCISES}
