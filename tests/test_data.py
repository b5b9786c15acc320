import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from xorlab import data

ROOT = Path(__file__).resolve().parent.parent


def test_corners_are_the_truth_table_of_xor():
    x, y = data.corners()
    assert [(*map(int, point), int(label)) for point, label in zip(x, y, strict=True)] == [
        (a, b, a ^ b) for a in (0, 1) for b in (0, 1)]
    assert x.dtype == y.dtype == np.float32


def test_grid_rows_follow_the_documented_order():
    x = data.grid(5)
    assert x.shape == (25, 2) and x.dtype == np.float32
    for i in range(5):
        for j in range(5):
            assert tuple(x[5 * i + j]) == (i / 4, j / 4)


def test_int8_inputs_are_every_pair_once_in_the_documented_order():
    q = data.int8_inputs()
    assert q.dtype == np.int8 and q.shape == (65536, 2)
    rows = 256 * (q[:, 0].astype(int) + 128) + (q[:, 1].astype(int) + 128)
    assert (rows == np.arange(65536)).all()


@pytest.mark.parametrize("sample, dtype", [((1,), np.int8), ((1, 1), np.uint8), ((2,), np.uint8), ((1, 2, 1), np.int8),
                                           ((1,), np.int16), ((1,), np.uint16)])
def test_every_input_of_16_bits_or_fewer_is_listed_once(sample, dtype):
    inputs = data.code_inputs(sample, dtype)
    size = np.prod(sample)
    assert inputs.codes.dtype == dtype and inputs.codes.shape[1:] == sample
    rows = set(map(tuple, inputs.codes.reshape(-1, size).tolist()))
    assert len(rows) == len(inputs.codes) == (2 ** (8 * np.dtype(dtype).itemsize)) ** size
    assert inputs.every and inputs.words == f"all {len(rows):,}"


@pytest.mark.parametrize("sample, dtype, n, words", [
    ((3,), np.int8, 65536, "65,536 of 256^3"), ((16,), np.uint8, 65536, "65,536 of 256^16"),
    ((2,), np.int16, 65536, "65,536 of 65536^2"), ((49, 10), np.int8, 2139, "2,139 of 256^490"),
    ((96, 96, 3), np.int8, 256, "256 of 256^27648")])
def test_where_there_are_more_a_seeded_sample_is_drawn_and_says_its_size(sample, dtype, n, words):
    inputs = data.code_inputs(sample, dtype)
    assert inputs.codes.shape == (n, *sample) and inputs.codes.dtype == dtype
    assert not inputs.every and inputs.words == f"a sample of {words}"
    limits = np.iinfo(dtype)                                # uniform: both ends occur, and the middle is the mean
    if dtype != np.int16:
        assert (inputs.codes.min(), inputs.codes.max()) == (limits.min, limits.max)
    assert inputs.codes.mean() == pytest.approx((limits.min + limits.max) / 2, abs=limits.max / 100)
    again, other, fewer = (data.code_inputs(sample, dtype, **kind).codes for kind in ({}, {"seed": 1}, {"count": 9}))
    assert np.array_equal(inputs.codes, again) and not np.array_equal(inputs.codes, other) and len(fewer) == 9


@pytest.mark.parametrize("arguments, says", [
    (((2,), np.int32), "8 or 16 bits"), (((2,), np.float32), "8 or 16 bits"), (((), np.int8), "shape of one input"),
    (((None,), np.int8), "shape of one input"), (((0, 3), np.int8), "shape of one input")])
def test_inputs_that_cannot_be_listed_or_drawn_are_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        data.code_inputs(*arguments)
    with pytest.raises(ValueError, match="positive whole number"):
        data.code_inputs((3,), count=0)


def test_noisy_points_scatter_around_their_own_corner_by_the_given_deviation():
    x, y = data.noisy(8000, noise=0.1, seed=3)
    corner = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])[np.arange(8000) % 4]
    assert (y == (corner.sum(axis=1) == 1)).all()
    assert np.std(x - corner) == pytest.approx(0.1, rel=0.03)
    assert np.array_equal(data.noisy(8, seed=3)[0], data.noisy(8, seed=3)[0])
    assert not np.array_equal(data.noisy(8, seed=3)[0], data.noisy(8, seed=4)[0])


def test_dense_points_are_labelled_by_quadrant():
    x, y = data.dense(500, seed=1)
    assert all(label == ((a > 0.5) ^ (b > 0.5)) for (a, b), label in zip(x, y, strict=True))
    assert x.min() >= 0 and x.max() < 1 and 0.4 < y.mean() < 0.6


@pytest.mark.parametrize("draw", [data.dense, data.noisy])
def test_a_seed_draws_the_same_points_again_and_another_seed_others(draw):
    first, again, other = (draw(8, seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not (first == other).any()


@pytest.mark.parametrize("x, kind, says", [
    ([0, 1], ValueError, "(n, 2), got (2,)"),
    (np.zeros((4, 3)), ValueError, "(n, 2), got (4, 3)"),
    (np.zeros((0, 2)), ValueError, "at least one"),
    ([["a", "b"]], TypeError, "must be numbers"),
    ([[0, np.nan]], ValueError, "NaN"),
    ([[0, np.inf]], ValueError, "infinity"),
])
def test_points_refuse_what_is_no_batch_of_points(x, kind, says):
    with pytest.raises(kind) as error:
        data.points(x, columns=2)
    assert says in str(error.value)


def test_one_point_of_any_shape_is_told_to_be_a_batch_of_one():
    assert data.points(np.zeros((5, 8, 8, 1))).shape == (5, 8, 8, 1)
    with pytest.raises(ValueError, match=r"shape \(n, ...\), got \(2,\); one point is a batch of 1"):
        data.points([0, 1])


@pytest.mark.parametrize("y", [np.zeros(3), np.zeros((4, 2)), ["0", "1", "1", "0"], [0, 1, np.nan, 0]])
def test_labels_refuse_what_is_not_one_number_a_point(y):
    with pytest.raises(ValueError, match="labels must be"):
        data.labels(y, 4)


@pytest.mark.parametrize("make", [lambda: data.grid(1), lambda: data.noisy(0), lambda: data.dense(2.5),
                                  lambda: data.noisy(4, noise=-1), lambda: data.noisy(4, noise=np.nan),
                                  lambda: data.noisy(4, noise=np.inf)])
def test_impossible_sizes_and_noise_are_refused(make):
    with pytest.raises(ValueError, match="got"):
        make()


@pytest.mark.parametrize("y, says", [
    ([0, 255, 255, 0], "from 0 to 255, 2 of 4 outside 0..1, where a sigmoid ends; y / 255"),
    ([[-1.0], [1.0]], "from -1 to 1, 1 of 2 outside"),
    (np.array([0, 255]).astype(np.int8), "from -1 to 0, 1 of 2 outside"),       # 255 does not fit into int8
])
def test_labels_outside_0_to_1_get_a_sentence(y, says):
    (note,) = data.label_notes(y)
    assert says in note
    remedy = note.split("; ")[1].split(" brings")[0]
    scaled = eval(remedy, {"y": np.asarray(y, float)})      # what the sentence advises does what it says
    assert data.label_notes(scaled) == [] and (scaled.min(), scaled.max()) == (0, 1)


def test_labels_of_0_to_1_get_none():
    assert data.label_notes(data.corners()[1]) == data.label_notes([0.25, 0.5]) == data.label_notes([]) == []
    assert "brings" not in data.label_notes([-2, -2])[0]


def test_points_typed_as_bytes_are_said_to_be_numbers():
    assert "int8 and taken as the numbers -128 to 127" in data.point_notes(data.int8_inputs())[0]
    assert "uint8 and taken as the numbers 0 to 255" in data.point_notes(np.uint8([[0, 255]]))[0]
    for harmless in (np.int8([[0, 1]]), data.grid(3), np.array([[0, 255]])):
        assert data.point_notes(harmless) == []


SQUARE = data.grid(9)


@pytest.mark.parametrize("calibration, typical, says", [
    (SQUARE * 255, SQUARE, ["from 0 to 255: the data from 0 to 1 can use 2 of 256 codes"]),
    (SQUARE * 255, None, ["from 0 to 255: numbers from 0 to 1 can use 2 of 256 codes"]),
    (SQUARE * 0, None, ["all the same"]),
    (SQUARE[3:4], None, ["all the same"]),
    (SQUARE * 0.4 + 0.3, SQUARE, ["from 0.3 to 0.7, the data from 0 to 1: 33% of the data's numbers"]),     # 3 of 9
    (SQUARE[:9], SQUARE, ["1 of 2 inputs never change"]),
    (SQUARE, SQUARE * (1 + 17 / 255), ["from 0 to 1, the data from 0 to 1.06667: "]),      # 17 steps, and 15 are none
    (np.array([[0, 255], [255, 0]]).astype(np.int8), None, ["int8", "1 of 256 codes"]),
])
def test_calibration_that_cannot_show_the_ranges_gets_a_sentence_a_reason(calibration, typical, says):
    notes = data.calibration_notes(calibration, typical)
    assert len(notes) == len(says) and all(part in note for part, note in zip(says, notes, strict=True))


@pytest.mark.parametrize("calibration, typical", [
    (SQUARE, None), (SQUARE, SQUARE), (data.dense(100)[0], SQUARE), (SQUARE * 0.4 + 0.3, None),
    (data.images().train_x[:100], data.images().train_x), (SQUARE, SQUARE * (1 + 15 / 255)),
])
def test_sound_calibration_gets_none(calibration, typical):
    assert data.calibration_notes(calibration, typical) == []


@pytest.mark.parametrize("reach", [1, 6, 20, 255])
def test_the_codes_left_for_the_data_are_those_that_quantizing_it_uses(reach):
    from xorlab.integer.affine import Affine

    x = np.linspace(0, 1, 4000, dtype=np.float32)[:, None]
    used = len(np.unique(Affine.of_range(0, reach).quantize(x)))
    note = "".join(data.calibration_notes(SQUARE * reach, x.repeat(2, axis=1)))
    said = int(note.split(" can use ")[1].split()[0]) if note else None
    assert said is None and used > 32 or abs(said - used) <= 1


def test_calibration_and_data_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"one shape, got \(81, 2\) and \(4, 3\)"):
        data.calibration_notes(SQUARE, np.zeros((4, 3)))


def test_the_examples_in_the_docstrings_are_true():
    import doctest

    done = doctest.testmod(data)
    assert done.attempted >= 3 and not done.failed


def test_digits_are_scikit_learns_pictures_split_by_class():
    from sklearn.datasets import load_digits

    digits = data.images("digits")
    assert digits.classes == 10 and digits.train_x.shape[1:] == digits.test_x.shape[1:] == (8, 8, 1)
    assert digits.train_x.dtype == digits.test_x.dtype == np.float32
    original = load_digits()

    def as_rows(x, y):
        return sorted((int(label), *map(int, picture.ravel())) for label, picture in zip(y, x, strict=True))

    together = np.concatenate([digits.train_x, digits.test_x]) * 16, np.concatenate([digits.train_y, digits.test_y])
    assert as_rows(*together) == as_rows(original.images, original.target)     # each picture once, with its own label
    shares = [np.bincount(y) / len(y) for y in (digits.train_y, digits.test_y)]
    np.testing.assert_allclose(*shares, atol=0.002)
    assert np.array_equal(digits.train_x, data.images().train_x)


def test_unknown_pictures_name_the_known_ones():
    with pytest.raises(ValueError, match="one of digits, cifar10, got 'mnist'"):
        data.images("mnist")


DOWNLOADS = """
import keras
from xorlab import data

def vgg16():
    with data.downloading("VGG16"):
        keras.applications.VGG16(include_top=False, input_shape=(32, 32, 3))

for call in (lambda: data.images("cifar10"), vgg16):
    try:
        call()
    except ConnectionError as error:
        print("SAID", error)
"""


def test_what_must_be_downloaded_says_so_without_a_network(tmp_path):
    # in a process of its own: Keras fixes its home folder on import; the proxy is a port where nobody listens
    settings = dict(os.environ, KERAS_HOME=str(tmp_path), https_proxy="http://127.0.0.1:9", PYTHONPATH=str(ROOT))
    done = subprocess.run([sys.executable, "-c", DOWNLOADS], env=settings, capture_output=True, text=True, check=True)
    said = [line for line in done.stdout.splitlines() if line.startswith("SAID")]
    assert [line.split()[1] for line in said] == ["CIFAR-10", "VGG16"]
    assert all("could not be downloaded" in line and 'data.images("digits")' in line for line in said)


def test_a_download_that_fails_without_a_word_is_named_by_its_kind():
    with pytest.raises(ConnectionError, match=r"The moon could not be downloaded \(TimeoutError\)"), \
            data.downloading("The moon"):
        raise TimeoutError
