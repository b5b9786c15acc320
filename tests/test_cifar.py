"""The road of colour photographs, walked on a small stand-in for what is downloaded: only the download is untried."""
import numpy as np
import pytest

from xorlab import cifar, predictors


def pictures(n, seed):
    """Bytes (n, 32, 32, 3) and labels (n, 1), as Keras gives CIFAR-10: a colour and a number of stripes per class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 10
    waves = 128 + 100 * np.sin(np.arange(32) * (labels[:, None] // 2 + 1) * 0.4)
    x = np.where(labels[:, None, None] % 2, waves[:, :, None], waves[:, None, :])[..., None]
    x = x * (0.4 + 0.06 * np.outer(labels, [1, -0.5, 0.3])[:, None, None, :]) + rng.normal(0, 8, (n, 32, 32, 3))
    return np.uint8(x.clip(0, 255)), np.uint8(labels[:, None])


def narrow_vgg16(*, weights, include_top, input_shape):
    """Return a network with VGG16's ends, 512 maps of one pixel behind five poolings, and 10,000 parameters."""
    import keras
    from keras import layers

    assert (weights, include_top) == ("imagenet", False)
    widths = (4, 4, 8, 8)
    parts = [part for width in widths for part in (layers.Conv2D(width, 3, padding="same", activation="relu"),
                                                   layers.MaxPooling2D())]
    return keras.Sequential([keras.Input(input_shape), *parts, layers.Conv2D(512, 1), layers.MaxPooling2D()],
                            name="vgg16")


@pytest.fixture(scope="module")
def road(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("keras.datasets.cifar10.load_data", lambda: (pictures(300, 0), pictures(40, 1)))
        patched.setattr("keras.applications.VGG16", narrow_vgg16)
        return cifar.road(tmp_path_factory.mktemp("cifar"), pictures=250, test=30, epochs=6)


def test_the_pictures_taken_are_the_first_ones_with_the_names_of_their_classes(road):
    (train, train_y), (test, test_y) = pictures(300, 0), pictures(40, 1)
    np.testing.assert_allclose(road.images.train_x * 255, train[:250], atol=1e-3)
    np.testing.assert_allclose(road.images.test_x * 255, test[:30], atol=1e-3)
    assert np.array_equal(road.images.train_y, train_y[:250, 0]) and np.array_equal(road.images.test_y, test_y[:30, 0])
    assert road.images.names[3] == "cat" and len(road.images.names) == 10


def test_both_networks_learn_and_record_an_accuracy_and_a_loss_of_every_epoch(road):
    for name, least in zip(cifar.NAMES, (0.6, 0.2), strict=True):      # by chance 0.1; the last bits depend on the CPU
        history = road.networks[name].history
        assert {len(history[key]) for key in ("accuracy", "val_accuracy", "loss", "val_loss")} == {6}
        assert history["loss"][-1] < history["loss"][0] and history["accuracy"][-1] >= least, name


def test_only_the_new_head_is_trained_on_the_frozen_base(road):
    small, large = (road.networks[name] for name in cifar.NAMES)
    assert (small.model.count_params(), small.trainable) == (167_562, 167_562)
    head = 512 * 64 + 64 + 64 * 10 + 10
    base = large.model.get_layer("vgg16")
    assert large.trainable == head and large.model.count_params() == base.count_params() + head
    assert not base.trainable


def test_the_whole_network_scores_as_its_base_and_head_one_after_the_other(road):
    """The head was trained on stored maps: behind the base, from pixels, it must answer the same."""
    large = road.networks["VGG16, frozen"].model
    head = large.layers[-1]
    maps = large.get_layer("vgg16")(_as_vgg16_learned(road.images.test_x))
    np.testing.assert_allclose(head(maps), road.networks["VGG16, frozen"].scores, rtol=1e-3, atol=1e-3)


def _as_vgg16_learned(x):
    """Bytes, blue before red, less the mean of each colour of ImageNet."""
    return 255 * x[..., ::-1] - np.float32([103.939, 116.779, 123.68])


def test_the_true_vgg16_takes_the_weights_that_keras_fetches(tmp_path, monkeypatch):
    """Keras itself reads a file of the true layout and size, with random weights; only its address is not visited."""
    import keras
    from keras.src.applications import vgg16

    keras.utils.set_random_seed(0)
    random = keras.applications.VGG16(weights=None, include_top=False, input_shape=cifar.SIDES)
    random.save_weights(tmp_path / "stand-in.weights.h5")
    asked = []
    monkeypatch.setattr(vgg16.file_utils, "get_file",
                        lambda name, *rest, **more: asked.append(name) or str(tmp_path / "stand-in.weights.h5"))
    base = cifar.vgg16_base()
    assert asked == ["vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"]
    assert base.count_params() == 14_714_688 and not base.trainable_variables and base.output.shape[1:] == (1, 1, 512)
    x = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    expected = random(_as_vgg16_learned(x)).numpy()
    np.testing.assert_allclose(base(x), expected, rtol=1e-3, atol=1e-4 * expected.max())


def test_the_files_answer_as_the_networks_and_dynamic_range_is_far_smaller(road):
    for name, net in road.networks.items():
        again = predictors.from_tflite(net.files["float32"])(road.images.test_x)
        np.testing.assert_allclose(again, net.scores, atol=1e-4 * np.abs(net.scores).max(), err_msg=name)
        moved = np.abs(net.in_tflite - net.scores)
        assert 0 < moved.max() < 0.2 * np.abs(net.scores).max(), name
        sizes = {kind: path.stat().st_size for kind, path in net.files.items()}
        assert 2.5 < sizes["float32"] / sizes["dynamic_range"] < 4.1, name


def test_the_table_says_parameters_sizes_and_what_is_right(road):
    table = road.table()
    for row, (name, net) in zip(table.rows, road.networks.items(), strict=True):
        assert row[0] == name and row[1] == f"{net.model.count_params():,}" and row[2] == f"{net.trainable:,}"
        right = sum(int(score.argmax()) == label for score, label in zip(net.scores, road.images.test_y, strict=True))
        assert row[6] == f"{right / 30:.1%}"
        assert row[5] == f"{net.files['dynamic_range'].stat().st_size / 1024:,.0f}"


@pytest.mark.parametrize("wrong", [{"pictures": 0}, {"test": 2.5}, {"epochs": -1}])
def test_a_count_that_is_none_is_refused_before_anything_is_fetched(wrong, tmp_path):
    (what,) = wrong
    with pytest.raises(ValueError, match=f"{what} must be a whole number above 0, got"):
        cifar.road(tmp_path, **wrong)
