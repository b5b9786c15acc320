"""Starts x epochs per second on one core: the plain loop, our race, and a C kernel as the practical limit."""
import ctypes
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _measure import plain_loop

from xorlab import data, models, training
from xorlab.optimizers import Optimizer
from xorlab.population import Population, first_weights, train
from xorlab.streams import ended
from xorlab.tables import Table

POINTS, LABELS = data.corners()
ADAM = Optimizer("adam", 0.1)

# The same net, loss and optimizer; blocks of starts that stay in the first cache through all epochs, the start as the
# last axis for the compiler to vectorize.
KERNEL = r"""
#include <math.h>
#define P 13
#define B 64
static const float X[4][2] = {{0,0},{0,1},{1,0},{1,1}}, Y[4] = {0,1,1,0};
static void block(float w[P][B], float m[P][B], float v[P][B], int epochs, float lr) {
    for (int t = 1; t <= epochs; t++) {
        float c1 = lr / (1 - powf(0.9f, t)), c2 = 1 / sqrtf(1 - powf(0.999f, t));
        float g[P][B], h[3][B], z[B];
        for (int k = 0; k < P; k++) for (int s = 0; s < B; s++) g[k][s] = 0;
        for (int p = 0; p < 4; p++) {
            for (int s = 0; s < B; s++) z[s] = w[12][s];
            for (int u = 0; u < 3; u++) for (int s = 0; s < B; s++) {
                h[u][s] = 1 / (1 + expf(-(w[6 + u][s] + w[2 * u][s] * X[p][0] + w[2 * u + 1][s] * X[p][1])));
                z[s] += w[9 + u][s] * h[u][s];
            }
            for (int s = 0; s < B; s++) {
                float o = 1 / (1 + expf(-z[s]));
                z[s] = 0.5f * (o - Y[p]) * o * (1 - o);
                g[12][s] += z[s];
            }
            for (int u = 0; u < 3; u++) for (int s = 0; s < B; s++) {
                float e = z[s] * w[9 + u][s] * h[u][s] * (1 - h[u][s]);
                g[9 + u][s] += z[s] * h[u][s]; g[6 + u][s] += e;
                g[2 * u][s] += e * X[p][0]; g[2 * u + 1][s] += e * X[p][1];
            }
        }
        for (int k = 0; k < P; k++) for (int s = 0; s < B; s++) {
            m[k][s] = 0.9f * m[k][s] + 0.1f * g[k][s];
            v[k][s] = 0.999f * v[k][s] + 0.001f * g[k][s] * g[k][s];
            w[k][s] -= c1 * m[k][s] / (sqrtf(v[k][s]) * c2 + 1e-8f);
        }
    }
}
void race(float *weights, int starts, int epochs, float lr) {       /* starts: a multiple of B */
    for (int first = 0; first < starts; first += B) {
        float w[P][B], m[P][B] = {{0}}, v[P][B] = {{0}};
        for (int k = 0; k < P; k++) for (int s = 0; s < B; s++) w[k][s] = weights[k * starts + first + s];
        block(w, m, v, epochs, lr);
        for (int k = 0; k < P; k++) for (int s = 0; s < B; s++) weights[k * starts + first + s] = w[k][s];
    }
}
"""


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def ours(starts, epochs):
    """Time one block's training, its starts already drawn."""
    population = Population(3, "sigmoid", range(starts), POINTS, LABELS)
    return seconds(lambda: train(population, ADAM, epochs=epochs, batch_size=None, seed=0, steps=range(epochs)))


def call(starts, epochs):
    """Time race() as a user calls it: draw the starts, train them, look at what became of them."""
    first_weights.cache_clear()
    return seconds(lambda: training.race("adam", starts=starts, epochs=epochs))


def drawing(starts):
    """Time the drawing of a race's starts, and of as many nets one by one: return both."""
    first_weights.cache_clear()
    nets = seconds(lambda: [models.MLP(3, "sigmoid", seed=seed) for seed in range(starts)])
    return seconds(lambda: first_weights(3, "sigmoid", range(starts))), nets


def kernel():
    """Compile the C kernel; return a function (starts, epochs) -> seconds, or None without a compiler."""
    compiler = shutil.which("gcc")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "race.c", Path(folder) / "race.so"
        source.write_text(KERNEL)
        subprocess.run([compiler, "-O3", "-march=native", "-ffast-math", "-shared", "-fPIC", str(source), "-o",
                        str(library), "-lm"], check=True)
        function = ctypes.CDLL(str(library)).race
    function.argtypes = [np.ctypeslib.ndpointer(np.float32), ctypes.c_int, ctypes.c_int, ctypes.c_float]

    def run(starts, epochs):
        weights = Population(3, "sigmoid", range(starts), POINTS, LABELS).theta.numpy()     # padded to a multiple of 64
        took = seconds(lambda: function(weights, weights.shape[1], epochs, 0.1))
        _check(weights, starts, epochs)
        return took

    return run


def _check(weights, starts, epochs):
    """The limit counts only if it trains the same nets: as many starts solved as in our race, give or take."""
    shared = training.race(ADAM, starts=min(starts, 512), epochs=epochs).entries[0].share
    h = 1 / (1 + np.exp(-(weights[6:9, None] + np.einsum("uis,pi->ups", weights[:6].reshape(3, 2, -1), POINTS))))
    out = 1 / (1 + np.exp(-(weights[12] + (weights[9:12, None] * h).sum(0))))
    solved = (((out - LABELS[:, None]) ** 2).mean(0) < training.SOLVED)[: min(starts, 512)].mean()
    assert abs(solved - shared) < 0.02, (solved, shared)


def main():
    torch.set_num_threads(1)
    plain_loop(200)                                                     # warm up
    base = 2000 / seconds(lambda: plain_loop(2000))
    rows = [("plain loop, one start", base)]
    for starts, epochs in ((1000, 2000), (4096, 1000)):
        ours(starts, 50)
        rows.append((f"our training, {starts:,} starts", starts * epochs / min(ours(starts, epochs) for _ in range(3))))
        rows.append((f"race(), {starts:,} starts", starts * epochs / min(call(starts, epochs) for _ in range(3))))
    ours_draws, nets = min(drawing(1000) for _ in range(3))
    limit = kernel()
    if limit is None:
        print("No gcc here: the C kernel is left out.")
    else:
        for starts, epochs in ((1000, 2000), (4096, 1000)):
            took = min(limit(starts, epochs) for _ in range(3))
            rows.append((f"C kernel, {starts:,} starts", starts * epochs / took))
    print("\nstarts x epochs per second, 2-3-1 sigmoid net, Adam, one core")
    print(Table(("way", "per second", "times the loop"),
                tuple((name, f"{rate:,.0f}", f"{rate / base:,.0f}") for name, rate in rows)))
    print(f"\nDrawing 1,000 starts takes {ours_draws / nets:.3f} of the time that making 1,000 nets takes.")


if __name__ == "__main__":
    sys.exit(ended(main))
