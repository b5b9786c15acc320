"""Training steps of the 2-3-1 net on four points: the plain PyTorch loop, training.fit, Keras two ways."""
import sys

from _measure import plain_loop, report, side_by_side

import xorlab
from xorlab import data, models, training
from xorlab.streams import ended

STEPS = 1000
POINTS, LABELS = data.corners()


def fit():
    training.fit(models.MLP(seed=1), POINTS, LABELS, epochs=STEPS)


def keras_net(tf, **settings):
    net = tf.keras.Sequential([
        tf.keras.Input((2,)), tf.keras.layers.Dense(3, "sigmoid"), tf.keras.layers.Dense(1, "sigmoid")])
    net.compile(tf.keras.optimizers.Adam(0.1), "mse", **settings)
    return net


def main():
    with xorlab.quiet():
        import tensorflow as tf

        repeated, by_epoch = keras_net(tf, steps_per_execution=100), keras_net(tf)
        batches = tf.data.Dataset.from_tensors((POINTS, LABELS[:, None])).repeat(STEPS)
        few = STEPS // 50
        medians = side_by_side({
            "training.fit": fit,
            "plain PyTorch loop": lambda: plain_loop(STEPS),
            "Keras, repeated dataset": lambda: repeated.fit(batches, shuffle=False, verbose=0),
            "Keras, an epoch a step": lambda: by_epoch.fit(POINTS, LABELS[:, None], epochs=few, verbose=0),
        }, rounds=3)
    medians["Keras, an epoch a step"] *= STEPS / few        # measured on a fiftieth of the steps
    report("one training step, Adam, full batch of 4", {name: m / STEPS for name, m in medians.items()}, unit="us")


if __name__ == "__main__":
    sys.exit(ended(main))
