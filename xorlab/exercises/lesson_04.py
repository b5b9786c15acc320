"""The exercises of lesson 04, from PyTorch to ONNX to TFLite."""
import struct

import numpy as np

from xorlab.exercises.exercise import Exercise, Wrong
from xorlab.exercises.judging import array, diagnosed, number, pair, result, returned, short

REFERENCE = "sigmoid-2-3-1"


def _reals(value, asked):
    return array(value, asked, kinds="biuf", finite=True).astype(float)


def _weights():
    """Return the reference network's four arrays under their names in its ONNX file."""
    from xorlab import models

    return {name: tensor.numpy() for name, tensor in models.reference(REFERENCE).state_dict().items()}


# 04.1, the runtime of four nodes

def _graphs():
    """Return (weights, x) of the network that ships, and of a random one of five units."""
    from xorlab import data

    random = np.random.default_rng(4)
    shapes = {"hidden.weight": (5, 2), "hidden.bias": (5,), "output.weight": (1, 5), "output.bias": (1,)}
    five = {name: random.normal(scale=2, size=shape).astype(np.float32) for name, shape in shapes.items()}
    return (_weights(), data.grid(101)), (five, random.uniform(size=(50, 2)).astype(np.float32))


def _answers(function):
    found = []
    for weights, x in _graphs():
        out = _reals(returned(function, weights, x), f"an array of {len(x):,} answers, one for each point")
        if out.shape == (len(x), 1):
            raise Wrong(f"Your answers have the shape {out.shape}, a table of one column. One number for each point: "
                        "take its column, `[:, 0]`.")
        if out.shape != (len(x),):
            raise Wrong(f"{len(x):,} points need {len(x):,} answers; yours have the shape {out.shape}.")
        found.append(out)
    return np.concatenate(found)


def _one_by_one(weights, x):
    """Return the answers of a 2-n-1 network, sum by sum in float64."""
    answers = []
    for x1, x2 in np.asarray(x, np.float64):
        total = float(weights["output.bias"][0])
        for (w1, w2), bias, weight in zip(weights["hidden.weight"].tolist(), weights["hidden.bias"].tolist(),
                                          weights["output.weight"][0].tolist(), strict=True):
            total += weight / (1 + np.exp(-(w1 * x1 + w2 * x2 + bias)))
        answers.append(1 / (1 + np.exp(-total)))
    return np.array(answers)


def judge_run(function):
    from xorlab import models, predictors

    found = _answers(function)
    (weights, grid), (five, x) = _graphs()
    torch_says = predictors.from_torch(models.reference(REFERENCE))(grid)
    off = np.abs(found - np.concatenate([torch_says, _one_by_one(five, x)]))
    if off.max() > 1e-5:
        at = int(off[:len(grid)].argmax())
        shown = (f"On the grid you're off by up to {off[:len(grid)].max():.2f}, at ({grid[at][0]:.2f}, "
                 f"{grid[at][1]:.2f})." if off[:len(grid)].max() > 1e-5 else
                 f"The network that ships is right, but on one of five units you're off by up to {off.max():.2f}.")
        raise diagnosed(BY_ID["04.1"], _answers, found, shown)
    return (f"You answer like PyTorch on all {len(grid):,} points, to within 0.00001, and on a network of five units "
            "too.")


RUN = "def run(weights, x):\n"


def _run(hidden, output, *, end="[:, 0]", first="s(sums)", last="s(sums)"):
    """Return the source of an answer to 04.1, with the sigmoids written out."""
    sigmoid = "1 / (1 + np.exp(-sums))"
    return (f"{RUN}    sums = {hidden}\n    hidden = {first.replace('s(sums)', sigmoid)}\n    sums = {output}\n"
            f"    return ({last.replace('s(sums)', sigmoid)}){end}\n")


FIRST = 'x @ weights["hidden.weight"].T + weights["hidden.bias"]'
SECOND = 'hidden @ weights["output.weight"].T + weights["output.bias"]'


# 04.2, the scales of a layer

def _layers():
    random = np.random.default_rng(2)
    return [_weights()["hidden.weight"], *(random.normal(size=shape).astype(np.float32)
                                           for shape in ((4, 3), (2, 5), (1, 4), (6, 1), (3, 3)))]


def _scales(function):
    return np.concatenate([np.ravel(_reals(returned(function, weights), "an array of scales, one for each unit"))
                           for weights in _layers()])


def judge_scales(function):
    expected = [[max(abs(weight) for weight in row) / 127 for row in weights.tolist()] for weights in _layers()]
    for weights, wanted in zip(_layers(), expected, strict=True):
        found = _reals(returned(function, weights), "an array of scales, one for each unit")
        units, inputs = weights.shape
        if found.shape == (len(wanted),) and np.allclose(found, wanted, rtol=1e-5, atol=0):
            continue
        if found.shape != (len(wanted),):
            shown = (f"{units} units of {inputs} weights each need an array of the shape ({units},); yours has the "
                     f"shape {found.shape}.")
        else:
            unit = int(np.argmax(np.abs(found - wanted)))
            shown = (f"Unit {unit + 1} of {units} with the weights {', '.join(f'{w:.3f}' for w in weights[unit])} has "
                     f"the scale {wanted[unit]:.5f}, and yours is {found[unit]:.5f}.")
        raise diagnosed(BY_ID["04.2"], _scales, _scales(function), shown)
    return f"The hidden layer's scales are {', '.join(f'{scale:.5f}' for scale in expected[0])}: those of the file."


SCALES = "def scales(weights):\n    return {}\n"


# 04.3, the code of a bias

BIAS, BITS, SLACK = 46838, 17, 20               # the scales that a lesson prints have three or four digits


def _code_and_bits(answer):
    return tuple(number(value, "two numbers, e.g. (100, 8)")
                 for value in pair(answer, "a code and how many bits it takes, e.g. (100, 8)"))


def judge_bias(answer):
    code, bits = _code_and_bits(answer)
    if abs(code + BIAS) <= SLACK:
        raise Wrong("The bias is positive, and so are both scales: the code can't be negative.")
    if abs(code - 184) < 1:
        raise Wrong("That's the bias divided by the weights' scale alone. A sum adds products of inputs and weights, "
                    "so the input's scale, 1/255, counts too.")
    if abs(code - 3034) < 3:
        raise Wrong("That's the bias divided by the input's scale alone. The weights' scale counts too.")
    if code in (127, 128):
        raise Wrong("That cuts the bias off at the largest 8-bit code. It has 32 bits, so that this needn't happen.")
    if abs(code - BIAS) > SLACK:
        raise Wrong(f"{short(answer[0])} isn't the code. Divide 11.898 by the input's scale times unit 1's weight "
                    "scale.")
    if bits == 16:
        raise Wrong("16 bits would do without a sign. With one, they end at 32,767.")
    if bits != BITS:
        raise Wrong(f"The code is right, the bits aren't: {code:,.0f} lies between 2**15 and 2**16, and a sign takes "
                    "one more bit.")
    return f"The file has {BIAS:,}. No 8-bit and no 16-bit code reaches so far: biases get 32 bits."


# 04.4, a runtime that reads the first scale only

CORNERS, CHANGED = 4, 8980                      # on all inputs; tests/test_lesson_04.py computes and runs both


def _corners_and_codes(guess):
    asked = "corners of 4 and changed codes of 65,536, e.g. (3, 1_000)"
    corners, codes = (number(value, asked) for value in pair(guess, asked))
    if corners not in range(5) or not 0 <= codes <= 65536:
        raise Wrong(f"This wants {asked}, and got {short(guess)}.")
    return int(corners), round(codes)


def judge_first_scale(guess):
    corners, codes = guess
    told = f"It's {CORNERS} corners and {CHANGED:,} codes."
    if corners != CORNERS:
        raise Wrong(f"{told} The corners lie on flat parts of the surface: four points notice nothing.")
    if CHANGED / 2 <= codes <= 2 * CHANGED:
        return (f"{CORNERS} of 4 corners, and {CHANGED:,} of 65,536 codes, about one in seven. Four points notice "
                "nothing.")
    if codes == 0:
        raise Wrong(f"{told} Something must change: two of three units use a wrong scale.")
    if codes < CHANGED / 2:
        raise Wrong(f"{told} Two of three units are off, by 24 % and 6 %: that's more than a few inputs.")
    raise Wrong(f"{told} Most inputs lie on flat parts, where a sigmoid forgives a wrong sum.")


# 04.5, numbers in the bytes of a file

def _contents():
    """Return [(numbers, content, words)]: files that ship, and bytes made to tell wrong answers apart."""
    from xorlab import models

    thirteen = np.concatenate([array.ravel() for array in _weights().values()])
    files = [(thirteen, models.reference_file(REFERENCE, file).read_bytes(), file)
             for file in ("model.onnx", "float32.tflite", "int8.tflite")]
    three = np.array([0.1, -2.5, 300], np.float32)
    packed = [struct.pack("<f", value) for value in three.tolist()]
    first, second, third = three.tolist()
    return [*files,
            (three, b"x" + packed[2] + b"yz" + packed[0] + packed[0], "bytes with two of three numbers, one twice"),
            (three, b"x" + b"".join(packed), "bytes with three numbers in a row"),
            (three, struct.pack("<d", first), "the eight bytes of a float64"),
            (three, struct.pack(">f", second), "four bytes in the other order"),
            (three, str(third).encode(), "a number as text"),
            (np.repeat(three, 2), packed[1], "bytes with one number, asked for twice")]


def _found(function):
    return [result(function, numbers, content) for numbers, content, _ in _contents()]


def judge_found(function):
    found = _found(function)
    for value, (numbers, content, words) in zip(found, _contents(), strict=True):
        expected = sum(struct.pack("<f", value) in content for value in numbers.tolist())
        if value != expected:
            shown = f"In {words} you find {value:g} of {len(numbers)} numbers; there are {expected}."
            raise diagnosed(BY_ID["04.5"], _found, found, shown)
    return f"All {found[0]:.0f} stand in the ONNX file, {found[1]:.0f} in TFLite float32, and {found[2]:.0f} in int8."


FOUND = "def found(numbers, content):\n"


def _search(test, start="0"):
    return f"{FOUND}    count = {start}\n    for number in numbers:\n        count += {test}\n    return count\n"


EXERCISES = (
    Exercise(
        "04.1", "write", 4, 3, "four nodes, run by hand", "run", f"{RUN}    ...\n", _run(FIRST, SECOND), judge_run,
        hints=("One line of code per node: a Gemm, a Sigmoid, a Gemm, a Sigmoid.",
               'At (0, 1) the first Gemm gives 3.76, -6.03, -4.74 and the answer is 1.00. `weights["hidden.weight"]` '
               "has a row for each unit.",
               'A Gemm is `x @ weights["hidden.weight"].T + weights["hidden.bias"]`, a sigmoid '
               "`1 / (1 + np.exp(-sums))`; at the end take the column, `[:, 0]`."),
        wrong=((_run(FIRST.replace(".T", ".reshape(2, -1)"), SECOND),
                "`reshape` cuts the same row of numbers elsewhere. It doesn't turn the table as `.T` does."),
               (_run(FIRST, SECOND, last="sums"), "One node is left: your answers go below 0 and above 1."),
               (_run(FIRST, SECOND, first="sums"), "Without the sigmoid between them two Gemms in a row are one line."),
               (_run(FIRST.split(" + ")[0], SECOND.split(" + ")[0]), "A Gemm adds its bias, and yours adds none."),
               (_run(FIRST, SECOND, end=""), "`[:, 0]`")),
        probe=lambda function: [f"{value:.4f}" for value in _answers(function)[::97]]),
    Exercise(
        "04.2", "write", 3, 2, "the scales of a layer", "scales", "def scales(weights):\n    ...\n",
        SCALES.format("np.abs(weights).max(axis=1) / 127"), judge_scales,
        hints=("Which weight of a unit gets the code 127 or -127?",
               "Unit 1 has the weights -8.227 and -8.138: its scale is 8.227 / 127.",
               "`np.abs(weights)`, the largest of each row (`axis=1`), divided by 127."),
        wrong=((SCALES.format("weights.max(axis=1) / 127"),
                "Take sizes without signs: the hidden layer's weights are all negative, and so are your scales."),
               (SCALES.format("np.abs(weights).max(axis=0) / 127"),
                "That's a scale for each input. Rows are units: take the largest along a row."),
               (SCALES.format("np.abs(weights).max() / 127"), "That's one scale for the whole layer."),
               (SCALES.format("np.abs(weights).max(axis=1) / 128"), "The codes of weights end at 127 and -127."),
               (SCALES.format("(weights.max(axis=1) - weights.min(axis=1)) / 255"),
                "That's for activations. A weight's zero point is 0, so only the largest size counts.")),
        probe=lambda function: [f"{value:.5f}" for value in _scales(function)]),
    Exercise(
        "04.3", "find", 2, 2, "the code of a bias", "bias", "bias = ...\n",
        "bias = (round(11.898 / (0.003922 * 0.06478)), 17)\n", judge_bias,
        hints=("A bias is added to products of input codes and weight codes. What is one step of such a product worth?",
               "One step is worth 0.003922 * 0.06478, or 0.000254.",
               "11.898 / 0.000254 lies between 2**15 and 2**16, and the sign takes one bit more."),
        wrong=(("bias = (184, 9)\n", "the input's scale, 1/255, counts too"),
               ("bias = (127, 8)\n", "cuts the bias off"), ("bias = (46838, 16)\n", "they end at 32,767"),
               ("bias = (3034, 13)\n", "The weights' scale counts too"),
               ("bias = (46838, 32)\n", "a sign takes one more bit"), ("bias = (5947, 14)\n", "isn't the code")),
        probe=lambda answer: [abs(answer[0] - BIAS) <= SLACK, answer[1]]),
    Exercise(
        "04.4", "predict", 2, 0, "only the first scale", "guess", "guess = ...\n", "guess = (4, 9_000)\n",
        judge_first_scale,
        hints=("Where does this surface forgive a wrong sum? Look at the corners.",
               "Units 2 and 3 get sums that are too small, by 24 % and 6 %.",
               "About one input in seven lies where that moves the answer."),
        wrong=(("guess = (2, 9_000)\n", "four points notice nothing"), ("guess = (4, 200)\n", "more than a few inputs"),
               ("guess = (4, 60_000)\n", "flat parts, where a sigmoid forgives"),
               ("guess = (4, 0)\n", "Something must change")),
        probe=lambda guess: [guess], read=_corners_and_codes),
    Exercise(
        "04.5", "write", 3, 2, "numbers in the bytes of a file", "found", f"{FOUND}    ...\n",
        _search("number.tobytes() in content"), judge_found,
        hints=("`number.tobytes()` gives a float32 as its four bytes, and `in` looks for bytes in bytes.",
               "In the ONNX file you find all 13.",
               "Count the numbers for which `number.tobytes() in content`."),
        wrong=((_search("str(number).encode() in content"),
                "You look for the number as text. The file holds its four bytes."),
               (_search("np.float64(number).tobytes() in content"),
                "Those are eight bytes, a float64. The files hold float32: four bytes each."),
               (_search("content.count(number.tobytes())"),
                "A number that stands there twice is still one number."),
               (f"{FOUND}    return numbers.size * (numbers.tobytes() in content)\n",
                "You look for all numbers in one piece. They stand in several places: look for one at a time."),
               (_search("number.byteswap().tobytes() in content"), "Your bytes are in the wrong order.")),
        probe=_found),
)
BY_ID = {exercise.id: exercise for exercise in EXERCISES}
