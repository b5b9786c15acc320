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


@pytest.mark.parametrize("y", [np.zeros(3), np.zeros((4, 2)), ["0", "1", "1", "0"], [0, 1, np.nan, 0]])
def test_labels_refuse_what_is_not_one_number_a_point(y):
    with pytest.raises(ValueError, match="labels must be"):
        data.labels(y, 4)


@pytest.mark.parametrize("make", [lambda: data.grid(1), lambda: data.noisy(0), lambda: data.dense(2.5),
                                  lambda: data.noisy(4, noise=-1), lambda: data.noisy(4, noise=np.nan)])
def test_impossible_sizes_and_noise_are_refused(make):
    with pytest.raises(ValueError, match="got"):
        make()


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
