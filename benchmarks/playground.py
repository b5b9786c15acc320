"""The playground's engine in Node: a frame, int8 codes and epochs, beside the time each may take and beside Python."""
import json
import subprocess
import sys
from pathlib import Path

import torch
from _measure import plain_loop, side_by_side
from playwright._impl._driver import compute_driver_executable

from xorlab import data, models, predictors
from xorlab.integer import IntegerMLP
from xorlab.streams import ended
from xorlab.tables import Table

FOLDER = Path(__file__).resolve().parents[1] / "xorlab" / "playground"
SCRIPT = """
import { Net, Trainer, initialWeights } from "FOLDER/net.js";
import { RULES, quantize } from "FOLDER/int8.js";
import { complete, makePoints } from "FOLDER/points.js";

const state = complete({}), { x, y } = makePoints(state.data);
const of = (hidden, activation) => new Net(initialWeights(hidden, activation, 1), activation);
const net = of([3], "sigmoid"), wide = of([8, 8, 8], "tanh"), trainer = new Trainer(net, state, x, y);
trainer.run(400);
const surfaces = [new Float32Array(101 * 101), new Float32Array(101 * 101)], codes = new Int8Array(65536);

// What a frame computes: an epoch, the float surface, and the int8 surface at the same points.
function frame() {
  trainer.run(1);
  net.surface(101, surfaces[0]);
  const int8 = quantize(net, state), { output } = int8, every = int8.codes("tflm", codes);
  for (let row = 0, i = 0; row < 101; row++) {
    const c2 = Math.round(row * 2.55);
    for (let column = 0; column < 101; column++, i++) {
      surfaces[1][i] = output.scale * (every[256 * Math.round(column * 2.55) + c2] - output.zero);
    }
  }
}

const ways = {
  "frame of two 101 x 101 surfaces and an epoch, 2-3-1": frame,
  "20 epochs of four points, 2-3-1": () => trainer.run(20),
  ...Object.fromEntries(RULES.map((rule) => [`65,536 codes, 2-3-1, rule ${rule}`,
    () => quantize(net, state).codes(rule, codes)])),
  "65,536 codes, 2-8-8-8-1, rule tflm": () => quantize(wide, state).codes("tflm", codes),
  "65,536 float outputs, 2-3-1": () => net.everyOutput(),
};
const took = Object.fromEntries(Object.keys(ways).map((name) => [name, []]));
const clock = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1000; };
for (let round = -10; round < 30; round++) {            // in turns, after ten rounds of warming up
  for (const [name, way] of Object.entries(ways)) {
    const start = performance.now(), busy = clock();
    way();
    if (round >= 0) took[name].push([performance.now() - start, clock() - busy]);
  }
}
const median = (numbers) => numbers.sort((a, b) => a - b)[numbers.length >> 1];
console.log(JSON.stringify(Object.entries(took).map(([name, pairs]) => (
  [name, median(pairs.map(([wall]) => wall)), median(pairs.map(([, cpu]) => cpu))]))));
"""
AIMS = {"frame": 8, "20 epochs": 2, "65,536 codes, 2-3-1": 25}          # milliseconds of one core


def in_node():
    """Return {way: (median milliseconds, of them busy)}."""
    made = subprocess.run([compute_driver_executable()[0], "--input-type=module", "-e",
                           SCRIPT.replace("FOLDER", FOLDER.as_uri())], capture_output=True, text=True, check=True)
    return {name: (wall, busy) for name, wall, busy in json.loads(made.stdout)}


def in_python():
    """Return {way: median milliseconds} of what lessons call for the same."""
    torch.set_num_threads(1)
    model, q, grid = models.reference(), data.int8_inputs(), data.grid(101)
    net = IntegerMLP.from_torch(model)
    ways = {"101 x 101 surface, PyTorch": lambda: predictors.from_torch(model)(grid),
            "20 epochs of four points, PyTorch": lambda: plain_loop(20),
            "65,536 codes, 2-3-1, rule tflm, NumPy": lambda: net.codes(q)}
    return {name: 1e3 * seconds for name, seconds in side_by_side(ways).items()}


def main():
    rows = []
    for name, (wall, busy) in in_node().items():
        aim = next((aim for words, aim in AIMS.items() if name.startswith(words)), None)
        rows.append((name, f"{wall:.2f}", f"{busy:.2f}", *((f"{aim}", f"{busy / aim:.2f}") if aim else ("", ""))))
    rows += [(name, f"{wall:.2f}", "", "", "") for name, wall in in_python().items()]
    print(Table(("way", "median, ms", "of them busy", "aim, ms", "share of the aim"), tuple(rows)))


if __name__ == "__main__":
    sys.exit(ended(main))
