"""Write the example files of the reports: python -m tools.examples [--train]

Three nets as people put them on microcontrollers: one that computes a sine, one with depthwise layers as for keywords,
and one with residual connections. Their weights are kept as the float files in xorlab/references/examples; without
--train the int8 files are converted from these again.
"""
import sys

import numpy as np

import xorlab
from xorlab import data, export, tflite_file
from xorlab.report.examples import EXAMPLES
from xorlab.streams import ended

with xorlab.quiet():
    import keras
    from keras import layers

SEED = {"sine": 3, "keywords": 0, "residual": 0}         # of the initial weights and of the order of samples
EPOCHS, BATCH, RATE = {"sine": 80, "keywords": 8, "residual": 4}, {"sine": 100}, {"sine": 0.01}
# {file: (net, variant, which inputs the converter sees)}
FILES = {
    "sine-float.tflite": ("sine", "float32", None), "sine.tflite": ("sine", "int8", 1),
    "sine-half.tflite": ("sine", "int8", 0.5),
    "keywords-float.tflite": ("keywords", "float32", None), "keywords.tflite": ("keywords", "int8", 1),
    "residual-float.tflite": ("residual", "float32", None), "residual.tflite": ("residual", "int8", 1),
}


def net(name, batch=None):
    """Return an untrained Keras net.  batch : of its input; a file has 1, so that all of its shapes are known."""
    return {"sine": _sine, "keywords": _keywords, "residual": _residual}[name](batch)


def _sine(batch):
    return keras.Sequential([keras.Input((1,), batch, name="x"),
                             layers.Dense(16, activation="relu", name="dense_0"),
                             layers.Dense(16, activation="relu", name="dense_1"), layers.Dense(1, name="dense_2")],
                            name="sine")


def _keywords(batch):
    start = keras.Input((8, 8, 1), batch, name="picture")
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="conv_0")(start)
    for i in (1, 3):
        x = layers.DepthwiseConv2D(3, padding="same", activation="relu", name=f"depthwise_{i}")(x)
        x = layers.Conv2D(16, 1, activation="relu", name=f"conv_{i + 1}")(x)
    x = layers.AveragePooling2D(4, name="pool_5")(x)
    x = keras.ops.reshape(x, (batch or -1, 64))             # Flatten would ask for the shape while it runs
    return keras.Model(start, layers.Dense(10, activation="softmax", name="dense_7")(x), name="keywords")


def _residual(batch):
    start = keras.Input((8, 8, 1), batch, name="picture")
    x = layers.Conv2D(12, 3, strides=2, padding="same", activation="relu", name="conv_0")(start)
    for i in (1, 4):
        y = layers.Conv2D(12, 3, padding="same", activation="relu", name=f"conv_{i}")(x)
        y = layers.Conv2D(12, 3, padding="same", name=f"conv_{i + 1}")(y)
        x = layers.ReLU(name=f"relu_{i + 2}")(layers.Add(name=f"add_{i + 2}")([x, y]))
    return keras.Model(start, layers.Dense(10, name="dense_8")(layers.GlobalAveragePooling2D(name="mean_7")(x)),
                       name="residual")


def samples(name):
    """Return (x, y) that a net is trained on."""
    if name == "sine":
        x = np.random.default_rng(0).uniform(0, 2 * np.pi, (1000, 1)).astype(np.float32)
        return x, np.sin(x)
    digits = data.images("digits")
    return digits.train_x, digits.train_y


def calibration(name, part):
    """Return inputs for the converter: 256 over the wave, or the first `part` of them; or 100 training digits."""
    if name == "sine":
        wave = np.linspace(0, 2 * np.pi, 256, dtype=np.float32)[:, None]
        return wave[: int(part * len(wave))]
    return samples(name)[0][:100]


def trained(name):
    """Return a net after training by these settings."""
    keras.utils.set_random_seed(SEED[name])
    made, (x, y) = net(name), samples(name)
    loss = {"sine": "mse", "residual": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}.get(
        name, "sparse_categorical_crossentropy")
    made.compile(keras.optimizers.Adam(RATE.get(name, 0.005)), loss, steps_per_execution=10)
    made.fit(x, y, batch_size=BATCH.get(name, 32), epochs=EPOCHS[name], verbose=0)
    return made


def kept(name):
    """Return a net with the weights of its committed float file, in the file's order."""
    graph = tflite_file.content_and_graph(EXAMPLES / f"{name}-float.tflite")[1]
    weights = []
    for op in graph.operators:
        if op.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            kernel, bias = (np.asarray(graph.tensors[i].data) for i in op.inputs[1:3])
            turned = {"CONV_2D": (1, 2, 3, 0), "DEPTHWISE_CONV_2D": (1, 2, 3, 0), "FULLY_CONNECTED": (1, 0)}[op.name]
            weights += [kernel.transpose(turned), bias]
    made = net(name, 1)
    made.set_weights(weights)
    return made


def write(name, model, folder=EXAMPLES):
    """Convert a net with its weights to its files and return their paths."""
    still = net(name, 1)
    still.set_weights(model.get_weights())
    return [export.to_tflite(still, folder / file, variant, part and calibration(name, part))
            for file, (of, variant, part) in FILES.items() if of == name]


def main(arguments):
    """Write every example file, with --train of nets trained anew."""
    for each in SEED:
        for path in write(each, trained(each) if "--train" in arguments else kept(each)):
            print(path.name, f"{path.stat().st_size:,} bytes")


if __name__ == "__main__":
    sys.exit(ended(main, sys.argv[1:]))
