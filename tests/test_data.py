import numpy as np
import pytest

from xorlab import data


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
