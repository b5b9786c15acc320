"""CIFAR-10, the road of colour photographs: a small network and a frozen VGG16 on the same pictures, side by side.

It needs a network once, for 170 MB of photographs and 59 MB of weights, so no lesson takes it unasked.
"""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xorlab import compare, data, export, files, predictors
from xorlab.races import wilson
from xorlab.streams import quiet
from xorlab.tables import Table, Tabular

SIDES, CLASSES = (32, 32, 3), len(data.CIFAR10)
BATCH = 64
NAMES = ("small network", "VGG16, frozen")


@dataclass(frozen=True, eq=False)
class Trained:
    """A Keras network after training, and what it says of the test pictures.

    model : from float32 (n, 32, 32, 3) in 0..1 to scores (n, 10).  history : what Keras recorded at each epoch.
    trainable : parameters that were trained; the others were frozen.
    scores : float32 (n, 10) of the test pictures.  in_tflite : the same of the dynamic-range file.
    files : {"Keras": path, "float32": path, "dynamic_range": path}.
    """
    model: object
    history: dict
    trainable: int
    scores: np.ndarray
    in_tflite: np.ndarray
    files: dict[str, Path]

    @property
    def predicted(self) -> np.ndarray:
        """The class of each test picture: int (n,)."""
        return compare.classes(self.scores)


@dataclass(frozen=True, eq=False, repr=False)
class Road(Tabular):
    """Both networks, by their names in NAMES, on one set of pictures, a data.Images."""
    images: data.Images
    networks: dict[str, Trained]

    def table(self) -> Table:
        return Table(("network", "parameters", "trained", "Keras KiB", "float32 KiB", "dynamic range KiB", "right",
                      "95 % interval", "right in dynamic range"), tuple(map(self._row, self.networks)))

    def _row(self, name):
        net, labels = self.networks[name], self.images.test_y
        low, high = wilson(int(np.sum(net.predicted == labels)), len(labels))
        sizes = (f"{path.stat().st_size / 1024:,.0f}" for path in net.files.values())
        return (name, f"{net.model.count_params():,}", f"{net.trainable:,}", *sizes,
                f"{np.mean(net.predicted == labels):.1%}", f"{low:.1%} to {high:.1%}",
                f"{np.mean(compare.classes(net.in_tflite) == labels):.1%}")


def road(folder: str | Path, *, pictures: int = 10_000, test: int = 2_000, epochs: int = 10, seed: int = 0) -> Road:
    """Fetch CIFAR-10 and VGG16's weights, train both networks, convert them, and return a Road.

    folder : where the files go.  pictures, test : how many of the 50,000 and of the 10,000 photographs to take; a
    fifth of the first is set aside for validation.  epochs : of both.  seed : of weights and order.
    Raises ConnectionError if a download fails, ValueError for numbers that do not fit, FileExistsError where small/ or
    vgg16/ in the folder hold anything but what this wrote.
    """
    for what, count in (("pictures", pictures), ("test", test), ("epochs", epochs)):
        if not (isinstance(count, (int, np.integer)) and count > 0):
            raise ValueError(f"{what} must be a whole number above 0, got {count!r}")
    for name in ("small", "vgg16"):
        files.check_folder(Path(folder) / name)
    with quiet():
        import keras
    every = data.images("cifar10")
    images = data.Images(every.train_x[:pictures], every.train_y[:pictures], every.test_x[:test], every.test_y[:test],
                         every.names)
    base = vgg16_base()
    keras.utils.set_random_seed(seed)
    return Road(images, {NAMES[0]: _finished(*_trained(small_network(), images.train_x, images.train_y, epochs),
                                             images, Path(folder) / "small"),
                         NAMES[1]: _finished(*_with_new_head(base, images, epochs), images, Path(folder) / "vgg16")})


def small_network():
    """Return the untrained Keras network of two convolutions and two dense layers: 167,562 parameters."""
    from keras import Input, Sequential, layers

    return Sequential([
        Input(SIDES),
        layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(CLASSES),
    ])


def vgg16_base():
    """Return VGG16's convolutions with ImageNet's weights, frozen, from pixels in 0..1 to maps (n, 1, 1, 512).

    VGG16 learned on bytes, blue before red, less the mean of each colour: that stands in front of it here.
    Raises ConnectionError if its weights cannot be downloaded.
    """
    import keras

    with data.downloading("VGG16's weights"):
        base = keras.applications.VGG16(weights="imagenet", include_top=False, input_shape=SIDES)
    base.trainable = False
    pixels = keras.Input(SIDES)
    return keras.Model(pixels, base(keras.applications.vgg16.preprocess_input(255 * pixels), training=False))


def _with_new_head(base, images, epochs):
    """Train a new head on what a frozen base makes of the pictures; return the two as one network, and the history.

    The base is run once over the pictures, and not once an epoch: it never changes.
    """
    import keras
    from keras import layers

    maps = base.predict(images.train_x, batch_size=BATCH, verbose=0)
    head = keras.Sequential([keras.Input(maps.shape[1:]), layers.Flatten(), layers.Dense(64, activation="relu"),
                             layers.Dense(CLASSES)])
    head, history = _trained(head, maps, images.train_y, epochs)
    return keras.Model(base.input, head(base.output)), history


def _trained(model, x, labels, epochs):
    import keras

    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model, model.fit(x, labels, validation_split=0.2, batch_size=BATCH, epochs=epochs, verbose=0).history


def _finished(model, history, images, folder):
    """Write a trained network as Keras and TFLite files and return it as a Trained."""
    paths = {"Keras": folder / "net.keras"}
    with files.replacing_folder(folder) as made:
        with quiet():
            model.save(made / "net.keras")
            model.export(made / "saved", verbose=False)
        for variant in ("float32", "dynamic_range"):
            paths[variant] = folder / export.to_tflite(made / "saved", made / f"{variant}.tflite", variant).name
    trainable = sum(int(np.prod(weights.shape)) for weights in model.trainable_variables)
    return Trained(model, history, trainable, model.predict(images.test_x, batch_size=BATCH, verbose=0),
                   predictors.from_tflite(paths["dynamic_range"])(images.test_x), paths)
