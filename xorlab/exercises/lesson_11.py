"""The exercises of lesson 11, scikit-learn, Keras and TFLite."""
import functools

import numpy as np

from xorlab.exercises.exercise import Exercise, Wrong
from xorlab.exercises.judging import array, diagnosed, number, pair, returned, run, short

# 11.1, slope and intercept in real units

# a, b, then mean and standard deviation of x and of y
SCALED = ((0.986, 0.002, 119.8, 46.3, 449.6, 117.5), (1.0, 0.0, 0.0, 1.0, 0.0, 1.0), (-0.7, 0.4, 3.0, 0.5, -20.0, 8.0))


@functools.cache
def _scaled_lines():
    """Return SCALED and 47 random lines."""
    rng = np.random.default_rng(11)
    return (*SCALED, *(tuple(float(value) for value in rng.uniform((-2, -2, -9, 0.2, -9, 0.2), 9)) for _ in range(47)))


def _unscaled(unscale):
    found = []
    for line in _scaled_lines():
        made = returned(unscale, *line, ends="`return slope, intercept`")
        found += [number(value, "two numbers, a slope and an intercept")
                  for value in pair(made, "two numbers, `return slope, intercept`")]
    return found


def judge_unscale(unscale):
    found = _unscaled(unscale)
    for i, line in enumerate(_scaled_lines()):
        a, b, mean_x, sd_x, mean_y, sd_y = line
        low, high = ((a * (x - mean_x) / sd_x + b) * sd_y + mean_y for x in (0, 1))     # a price at size 0, and at 1
        if np.allclose(found[2 * i: 2 * i + 2], (high - low, low), rtol=1e-6, atol=1e-6):
            continue
        got = "slope {:.2f}, intercept {:.2f}".format(*found[2 * i: 2 * i + 2])
        shown = (f"With a = {a:.3g}, b = {b:.3g}, means {mean_x:.4g} and {mean_y:.4g}, deviations {sd_x:.4g} and "
                 f"{sd_y:.4g} it's slope {high - low:.2f}, intercept {low:.2f}; yours: {got}.")
        raise diagnosed(BY_ID["11.1"], _unscaled, found, shown)
    return "Of 50 lines. The intercept is the price at size 0, and the mean price is something else."


UNSCALE = "def unscale(a, b, mean_x, sd_x, mean_y, sd_y):\n"
SLOPE = "    slope = a * sd_y / sd_x\n"
INTERCEPT = "    return slope, b * sd_y + mean_y - slope * mean_x\n"


# 11.2, a confusion matrix

@functools.cache
def _labels():
    """Return [(true classes, predicted ones, number of classes)], the first without any of class 3."""
    rng = np.random.default_rng(2)
    y, predicted = rng.integers(0, 3, 300), rng.integers(0, 3, 300)
    predicted = np.where(rng.random(300) < 0.7, y, predicted)
    return (y, predicted, 4), (np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 0]), 2)


def _matrices(confusion):
    found = []
    for y, predicted, classes in _labels():
        made, asked = returned(confusion, y, predicted, classes, ends="`return m`"), (
            f"{classes} x {classes} numbers, one row and one column for each of {classes} classes, whether it appears "
            "or not")
        made = array(made, asked, kinds="biuf")
        if made.shape != (classes, classes):
            raise Wrong(f"This wants {asked}, and got {short(made)}.")
        found.append(made.astype(float).ravel())
    return np.concatenate(found)


def judge_confusion(confusion):
    found = _matrices(confusion)
    start = 0
    for y, predicted, classes in _labels():
        for true in range(classes):
            for said in range(classes):
                count, got = sum(1 for pair in zip(y, predicted, strict=True) if pair == (true, said)), found[start]
                start += 1
                if got != count:
                    shown = (f"Of {len(y)} examples {count} are of class {true} and called {said}; your m[{true}, "
                             f"{said}] is {got:.4g}.")
                    raise diagnosed(BY_ID["11.2"], _matrices, found, shown)
    return "On 300 labels of 4 classes, one of which never appears. The cells add up to 300."


CONFUSION = "def confusion(y, predicted, classes):\n"
ZEROS = "    m = np.zeros((classes, classes), int)\n"
ADD = "    np.add.at(m, (y, predicted), 1)\n"
RETURN_M = "    return m\n"


# 11.3, a pipeline without a leak

def _columns(shift):
    """Return 100 rows of 1,000 columns of noise, 5 of them shifted for class 1, and the classes."""
    rng, y = np.random.default_rng(0), np.arange(100) % 2
    X = rng.normal(size=(100, 1000))
    X[:, :5] += shift * y[:, None]
    return X, y


SHIFTS = {0: "pure noise", 1.5: "noise with 5 columns that do tell the classes"}


@functools.cache
def _expected_score(shift):
    """Return the share right over five folds, each with 20 columns and a scale of its own training rows."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    X, y = _columns(shift)
    shares = []
    for rows, others in StratifiedKFold(5).split(X, y):
        by_class = [X[rows][y[rows] == label] for label in (0, 1)]
        apart = np.abs(by_class[1].mean(axis=0) - by_class[0].mean(axis=0))
        within = np.sqrt(sum(part.var(axis=0) for part in by_class))       # classes of equal size
        best = np.sort(np.argsort(apart / within)[-20:])
        mean, deviation = X[rows][:, best].mean(axis=0), X[rows][:, best].std(axis=0)
        model = LogisticRegression().fit((X[rows][:, best] - mean) / deviation, y[rows])
        shares.append(np.mean(model.predict((X[others][:, best] - mean) / deviation) == y[others]))
    return float(np.mean(shares))


def _scores(honest_score):
    return [number(returned(honest_score, *_columns(shift)), "one number from your function, the mean of the folds")
            for shift in SHIFTS]


def judge_honest(honest_score):
    found = _scores(honest_score)
    for got, (shift, name) in zip(found, SHIFTS.items(), strict=True):
        right = _expected_score(shift)
        if abs(got - right) > 1e-6:
            shown = (f"On {name} an honest score, with 20 columns and five folds, is {right:.2f}; yours is {got:.2f}.")
            raise diagnosed(BY_ID["11.3"], _scores, found, shown)
    return f"On pure noise it says {found[0]:.2f}, and {found[1]:.2f} where five columns do tell the classes."


HONEST = ("def honest_score(X, y):\n    from sklearn.feature_selection import SelectKBest\n"
          "    from sklearn.linear_model import LogisticRegression\n"
          "    from sklearn.model_selection import cross_val_score\n"
          "    from sklearn.pipeline import make_pipeline\n    from sklearn.preprocessing import StandardScaler\n\n")
PIPELINE = "    model = make_pipeline(SelectKBest(k=20), StandardScaler(), LogisticRegression())\n"
FOLDS = "    return cross_val_score(model, X, y, cv=5).mean()\n"


# 11.4, two columns that nearly repeat each other

APART, TRUE_WEIGHTS, DRAWS = 3e-8, (1, 2, 3), 5


def _twins(seed):
    rng = np.random.default_rng(seed)
    first = rng.normal(size=200)
    second = first + APART * rng.normal(size=200)
    return first, second, first + 2 * second + 3


def _found_weights(solve):
    found = []
    for seed in range(DRAWS):
        made = returned(solve, *_twins(seed), ends="`return` and three weights")
        asked = "three numbers, the weights of `a` and `b` and the constant"
        weights = array(made, asked, finite=True).ravel()
        if len(weights) != 3:
            raise Wrong(f"This wants {asked}, and got {short(made)}.")
        found.append(weights)
    return np.array(found)


def judge_solve(solve):
    found = _found_weights(solve)
    for seed, weights in enumerate(found):
        if np.abs(weights - TRUE_WEIGHTS).max() < 0.01:
            continue
        first, second, y = _twins(seed)
        missed = np.abs(weights[0] * first + weights[1] * second + weights[2] - y).max()
        shown = "The weights are 1, 2 and 3; yours are {:.2f}, {:.2f} and {:.2f}.".format(*weights)
        if missed > 1e-3:
            raise diagnosed(BY_ID["11.4"], _found_weights, found, f"{shown} They miss y by up to {missed:.2g}.")
        if abs(weights[0] - weights[1]) < 0.01:
            raise Wrong(f"It predicts to {missed:.0e} with other weights: small steps, or a penalty, share 3 equally. "
                        f"{shown}")
        raise Wrong(f"Squaring lost the difference: in `A.T @ A` both columns are the same. {shown}")
    return f"In {DRAWS} draws of 200 rows, to 0.01, though the columns differ by some {APART:g} only."


SOLVE = "def solve(a, b, y):\n"
COLUMNS = "    A = np.column_stack([a, b, np.ones(len(y))])\n"
LSTSQ = "    return np.linalg.lstsq(A, y, rcond=None)[0]\n"
DESCENT = ("    w = np.zeros(3)\n    for _ in range(500):\n        w = w - 0.2 / len(y) * A.T @ (A @ w - y)\n"
           "    return w\n")


# 11.5, one-hot

CLASSES = ((np.array([2, 0, 1, 1, 2]), 3), (np.array([0, 1, 1]), 4), (np.array([3]), 5))    # labels, number of classes


def _hot(one_hot):
    found = []
    for y, classes in CLASSES:
        asked = (f"{len(y)} rows of {classes} numbers for {len(y)} labels of {classes} classes, one column for each "
                 "class, whether it appears or not")
        made = array(returned(one_hot, y, classes, ends="`return hot`"), asked, kinds="biuf")
        if made.shape != (len(y), classes):
            raise Wrong(f"This wants {asked}; got the shape {made.shape}.")
        found.append(made.astype(float).ravel())
    return np.concatenate(found)


def judge_one_hot(one_hot):
    found = _hot(one_hot)
    right = [float(label == c) for y, classes in CLASSES for label in y for c in range(classes)]
    if not np.array_equal(found, right):
        first = found[:3]
        shown = "Label 2 of 3 classes is 0 0 1; yours is {:g} {:g} {:g}.".format(*first)
        if np.array_equal(first, [0, 0, 1]):
            shown = (f"Each row wants a single 1, in its label's column; your {len(right)} numbers add up to "
                     f"{sum(found):g}, for {sum(len(y) for y, _ in CLASSES)} labels.")
        raise diagnosed(BY_ID["11.5"], _hot, found, shown)
    return "On 9 labels, also where a class never appears: it still gets its column."


ONE_HOT = "def one_hot(y, classes):\n"
HOT_ZEROS = "    hot = np.zeros((len(y), classes))\n"
HOT_ONES = "    hot[np.arange(len(y)), y] = 1\n"
RETURN_HOT = "    return hot\n"


# 11.6, the winner of a search

DEGREES = (7, 1, 2, 3, 4, 5)


@functools.cache
def _curve(seed):
    """Return x, y, and which rows are for training, validation and test, of points scattered around a curve.

    No row has a number that could be a degree.
    """
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, 70)
    return x, np.sin(4 * x) + rng.normal(scale=0.3, size=70), np.arange(30, 44), np.arange(44, 54), np.arange(54, 70)


def _fit_and_error(x, y):
    def fit(setting, rows):
        return np.polyfit(x[rows], y[rows], setting)

    def error(model, rows):
        return float(np.mean((np.polyval(model, x[rows]) - y[rows]) ** 2))

    return fit, error


def _tuned(tuned):
    found = []
    for seed in SEARCHES:
        x, y, *rows = _curve(seed)
        made = returned(tuned, list(DEGREES), *_fit_and_error(x, y), *rows, ends="`return best, ...`")
        found += [number(value, "two numbers, the winning setting and its error")
                  for value in pair(made, "the winner and its error, `return best, ...`")]
    return found


def judge_tuned(tuned):
    found = _tuned(tuned)
    for i, seed in enumerate(SEARCHES):
        x, y, train, valid, test = _curve(seed)
        fits = {degree: np.polynomial.Polynomial.fit(x[train], y[train], degree) for degree in DEGREES}
        errors = {degree: np.mean((curve(x[valid]) - y[valid]) ** 2) for degree, curve in fits.items()}
        best = min(errors, key=errors.get)
        again = np.polynomial.Polynomial.fit(x[30:54], y[30:54], best)
        left = np.mean((again(x[test]) - y[test]) ** 2)
        if found[2 * i] != best or abs(found[2 * i + 1] - left) > 1e-6 * left:
            shown = (f"Of polynomials of degree 1 to 7, degree {best} wins with an error of {left:.4f}; yours is "
                     f"degree {found[2 * i]:g} with {found[2 * i + 1]:.4f}.")
            raise diagnosed(BY_ID["11.6"], _tuned, found, shown)
    return f"In {len(SEARCHES)} searches: chosen on the validation rows, refitted on 24, tested once on 16 new ones."


SEARCHES = (4, 8, 9, 27)      # where the test rows would choose another degree
TUNED = "def tuned(settings, fit, error, train, valid, test):\n"
CHOOSE = "    best = min(settings, key=lambda s: error(fit(s, train), valid))\n"
REFIT = "    model = fit(best, np.append(train, valid))\n"
ONCE = "    return best, error(model, test)\n"


EXERCISES = (
    Exercise(
        "11.1", "write", 3, 2, "slope and intercept in real units", "unscale", UNSCALE + "    ...\n",
        UNSCALE + SLOPE + INTERCEPT, judge_unscale,
        hints=("Put x' and y' into y' = a x' + b, and solve for y.",
               "The price of a house of size 0 must be about 150.",
               "The slope is `a * sd_y / sd_x`. The intercept is `b * sd_y + mean_y`, less `slope * mean_x`."),
        wrong=((UNSCALE + SLOPE + "    return slope, b * sd_y + mean_y\n",
                "That's the price of a house of mean size, not of size 0: the last term is missing."),
               (UNSCALE + SLOPE.replace("sd_y / sd_x", "sd_x / sd_y") + INTERCEPT, "The slope is upside down."),
               (UNSCALE + SLOPE + INTERCEPT.replace("slope * mean_x", "a * mean_x"),
                "Subtract with the slope in real units, not with `a`."),
               (UNSCALE + SLOPE + INTERCEPT.replace("- slope", "+ slope"), "The sign of the last term is turned."),
               (UNSCALE + "    return a, b\n", "That's the line of the scaled data.")),
        probe=lambda f: [f"{value:.9g}" for value in (
            *run(f, 0.5, 2, 10, 3, 7, 4), *run(f, -1.5, 0.3, -2, 5, 90, 11), *run(f, 2, 1, 3, 7, 5, 6))]),
    Exercise(
        "11.2", "write", 4, 3, "a confusion matrix", "confusion", CONFUSION + "    ...\n",
        CONFUSION + ZEROS + ADD + RETURN_M, judge_confusion,
        hints=("Start with zeros, and add 1 for each example, in the row of its class.",
               "Two equal pairs must give a 2, and all cells add up to `len(y)`.",
               "`np.zeros((classes, classes), int)`, then a loop over `zip(y, predicted)`, or "
               "`np.add.at(m, (y, predicted), 1)`."),
        wrong=((CONFUSION + ZEROS + "    m[y, predicted] += 1\n" + RETURN_M,
                "Repeats count once this way: no cell exceeds 1."),
               (CONFUSION + ZEROS + ADD.replace("(y, predicted)", "(predicted, y)") + RETURN_M,
                "Rows are the true classes, columns the predicted ones."),
               (CONFUSION + ZEROS + ADD + "    return m / len(y)\n", "Counts, not shares."),
               (CONFUSION + ZEROS + "    for c in range(classes):\n"
                "        m[c, c] = np.sum((y == c) & (predicted == c))\n" + RETURN_M,
                "You count what is right only; what matters is what is taken for what.")),
        probe=lambda f: [np.asarray(run(f, *labels)).tolist() for labels in (
            (np.array([0, 2, 2, 1, 2]), np.array([0, 2, 2, 0, 1]), 3), (np.array([1, 1]), np.array([0, 0]), 2))]),
    Exercise(
        "11.3", "write", 5, 3, "a pipeline without a leak", "honest_score",
        "def honest_score(X, y):\n    ...\n",
        HONEST + PIPELINE + FOLDS, judge_honest,
        hints=("Which step has seen the rows that it is tested on?",
               "On pure noise an honest score is about 0.5.",
               "Give all three steps to `make_pipeline`, and the pipeline with all of `X` to `cross_val_score`: it "
               "fits each step on the training rows of each fold."),
        wrong=((HONEST + "    best = SelectKBest(k=20).fit_transform(X, y)\n"
                + PIPELINE.replace("SelectKBest(k=20), ", "") + FOLDS.replace("X, y", "best, y"),
                "Selection still sees the test folds."),
               (HONEST + PIPELINE + "    return model.fit(X, y).score(X, y)\n",
                "It learned the rows that you score it on."),
               (HONEST + "    return 0.5\n", "Columns that do tell the classes must count."),
               (HONEST + PIPELINE + FOLDS.replace("mean", "max"), "The best fold is luck: take the mean of all five.")),
        probe=lambda f: [round(float(run(f, *_columns(1.5))), 9)]),
    Exercise(
        "11.4", "write", 3, 2, "two columns that nearly repeat", "solve", SOLVE + "    ...\n",
        SOLVE + COLUMNS + LSTSQ, judge_solve,
        hints=("Which of the three ways never forms `A.T @ A`?",
               "Forming `A.T @ A` squares a *condition number* of some 10 million, and float64 has 16 digits. The "
               "weights are 1, 2 and 3.",
               "A holds `a`, `b` and a column of ones. Then `np.linalg.lstsq(A, y, rcond=None)[0]`."),
        wrong=((SOLVE + COLUMNS + "    return np.linalg.solve(A.T @ A, A.T @ y)\n", "Squaring lost the difference"),
               (SOLVE + COLUMNS + DESCENT, "with other weights"),
               (SOLVE + COLUMNS + "    return np.linalg.inv(A.T @ A) @ A.T @ y\n",
                "The normal equation with one more rounding."),
               (SOLVE + "    A = np.column_stack([a, b, np.zeros(len(y))])\n" + LSTSQ,
                "Without a column of ones there's no constant.")),
        probe=lambda f: np.round(run(f, *(np.array(v, float) for v in ([1, 2, 4, 7], [3, 1, 5, 2], [8, 4, 1, 9]))),
                                 6).tolist()),
    Exercise(
        "11.5", "write", 2, 2, "one-hot", "one_hot", ONE_HOT + "    ...\n",
        ONE_HOT + HOT_ZEROS + HOT_ONES + RETURN_HOT, judge_one_hot,
        hints=("Start with zeros: a row for each label, a column for each class.",
               "Labels 2 and 0 of 3 classes are 0 0 1 and 1 0 0.",
               "`hot[np.arange(len(y)), y] = 1` puts a 1 into each row, in its label's column."),
        wrong=((ONE_HOT + "    return np.eye(y.max() + 1)[y]\n", "whether it appears or not"),
               (ONE_HOT + HOT_ZEROS + "    hot[:, y] = 1\n" + RETURN_HOT,
                "That fills whole columns: name the row, too."),
               (ONE_HOT + HOT_ZEROS + HOT_ONES.replace(", y]", ", y - 1]") + RETURN_HOT,
                "Classes count from 0, so label 0 is the first column."),
               (ONE_HOT + HOT_ZEROS + HOT_ONES.replace("= 1", "= y") + RETURN_HOT,
                "Put a 1 there, not the label: a 2 would be twice as true.")),
        probe=lambda f: [np.asarray(run(f, *labels)).tolist() for labels in (
            (np.array([1, 0, 2, 2]), 3), (np.array([0, 2]), 4))]),
    Exercise(
        "11.6", "write", 4, 3, "the winner of a search", "tuned", TUNED + "    ...\n", TUNED + CHOOSE + REFIT + ONCE,
        judge_tuned,
        hints=("Which rows choose, which rows teach, and which rows are asked once at the end?",
               "In one of the four searches degree 3 wins, with an error of 0.13 on the test rows.",
               "`min(settings, key=...)` on the validation rows; `fit(best, np.append(train, valid))`; then its error "
               "on `test`."),
        wrong=((TUNED + CHOOSE.replace("valid", "test") + REFIT + ONCE,
                "The test rows chose, so their error is no test any more."),
               (TUNED + CHOOSE + "    return best, error(fit(best, train), test)\n",
                "The winner isn't refitted: it may learn from the validation rows, now that they have chosen."),
               (TUNED + CHOOSE + "    return best, error(fit(best, train), valid)\n",
                "That's the error that chose it, the lowest of many: it flatters."),
               (TUNED + CHOOSE.replace("valid", "train") + REFIT + ONCE,
                "On rows that it learned from, the most flexible setting always wins."),
               (TUNED + CHOOSE.replace("min", "max") + REFIT + ONCE, "It's an error, so the lowest one wins."),
               (TUNED + CHOOSE + REFIT.replace("valid)", "np.append(valid, test))") + ONCE,
                "The winner has learned the test rows.")),
        probe=lambda f: [f"{value:.6g}" for seed in (5, 6, 7, 8) for value in run(
            f, list(DEGREES), *_fit_and_error(*_curve(seed)[:2]), *_curve(seed)[2:])]),
)
BY_ID = {exercise.id: exercise for exercise in EXERCISES}
