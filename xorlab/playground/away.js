// What a playground gives to take away as text, without a kernel: its state, a Python script, C code.
import { initialWeights, zeroWeights } from "./net.js";
import { activationTable, fixedFactor } from "./int8.js";
import { makePoints } from "./points.js";

export const asJson = state => JSON.stringify({ ...state, playing: false }, null, 1) + "\n";

const PYTHON_MODULES = { sigmoid: "nn.Sigmoid()", tanh: "nn.Tanh()", relu: "nn.ReLU()" };
const PYTHON_LOSSES = { mse: "nn.functional.mse_loss", bce: "nn.functional.binary_cross_entropy" };
const PYTHON_OPTIMIZERS = { sgd: "SGD", momentum: "SGD", rmsprop: "RMSprop", adam: "Adam", adamw: "AdamW" };

export function weightsOf(state) {
  if (state.weights) return state.weights;
  return state.start === "zeros" ? zeroWeights(state.hidden)
    : initialWeights(state.hidden, state.activation, state.seed);
}

// A whole number gets its ".0": torch.tensor would make a list of them one of integers
const pythonNumber = value => (/^-?\d+$/.test(String(value)) ? `${value}.0` : String(value));
const pythonList = values => `[${Array.from(values, pythonNumber).join(", ")}]`;

function pythonPoints(name, x, y, meaning) {
  const rows = Array.from(y, (label, i) => `    ${pythonList([x[2 * i], x[2 * i + 1], label])},`);
  return [`${name} = torch.tensor([     # ${meaning}`, ...rows, "])"];
}

// A script that needs PyTorch alone and goes on where the playground stands, exact in 64 bits. Playground.python() in
// the kernel writes the same text.
export function asPython(state) {
  const { x, y, validX, validY } = makePoints(state.data);
  const widths = [2, ...state.hidden, 1], last = state.hidden.length;
  const layers = widths.slice(1).map((units, i) =>
    `    nn.Linear(${widths[i]}, ${units}), ${i < last ? PYTHON_MODULES[state.activation] : "nn.Sigmoid()"},`);
  const weights = weightsOf(state).map(({ w, b }) => `    ([${Array.from(w, pythonList).join(", ")}], ${pythonList(b)}),`);
  const momentum = state.optimizer === "momentum" ? ", momentum=0.9" : "";
  const allAtOnce = !(state.batch > 0 && state.batch < y.length);
  return [
    `"""The playground of XOR Lab${state.preset ? `, ${state.preset}` : ""}, at epoch ${state.epoch}.`,
    "",
    "The same points, weights and settings, in 64 bits.",
    `Its int8 form there: weights of ${state.bits} bits, one scale per ${state.per}, rule ${state.rule}.`,
    '"""',
    "import torch",
    "from torch import nn",
    "",
    "torch.set_default_dtype(torch.float64)",
    "",
    ...pythonPoints("points", x, y, "x1, x2 and the label of each"),
    ...(validY.length ? pythonPoints("held_back", validX, validY, "for validation") : []),
    "net = nn.Sequential(",
    ...layers,
    ")",
    "weights = [             # of each layer: a row per unit, and the biases",
    ...weights,
    "]",
    "with torch.no_grad():",
    "    for linear, (w, b) in zip(net[::2], weights):",
    "        linear.weight.copy_(torch.tensor(w))",
    "        linear.bias.copy_(torch.tensor(b))",
    `optimizer = torch.optim.${PYTHON_OPTIMIZERS[state.optimizer]}(`,
    `    net.parameters(), lr=${state.rate}, weight_decay=${state.weight_decay}${momentum})`,
    `order = torch.Generator().manual_seed(${state.seed})         # of the mini-batches`,
    "",
    "",
    "def loss_on(rows):",
    `    return ${PYTHON_LOSSES[state.loss]}(net(rows[:, :2]), rows[:, 2:])`,
    "",
    "",
    "def batches():",
    allAtOnce ? "    return [points]     # all of them in one step"
      : `    return [points[i] for i in torch.randperm(len(points), generator=order).split(${state.batch})]`,
    "",
    "",
    "def train(epochs):",
    "    for _ in range(epochs):",
    "        for rows in batches():",
    "            optimizer.zero_grad()",
    "            loss_on(rows).backward()",
    "            optimizer.step()",
    "",
    "",
    'if __name__ == "__main__":',
    '    print(f"loss {loss_on(points).item():.6g}")',
    "    train(1000)",
    '    print(f"loss {loss_on(points).item():.6g} after 1,000 epochs more")',
    ...(validY.length ? ['    print(f"loss {loss_on(held_back).item():.6g} on the points held back")'] : []),
    "",
  ].join("\n");
}

// --- C

const cArray = (kind, name, sizes, values) =>
  `static const ${kind} ${name}${sizes.map(size => `[${size}]`).join("")} = {${values}};`;
const cRows = rows => rows.map(row => `{${Array.from(row).join(", ")}}`).join(", ");

// Wrap numbers that are parted by ", " into lines of at most 100 signs.
const cWrapped = values => values.join(", ").replace(/(.{1,96}),( |$)/g, "$1,\n    ").replace(/^/, "\n    ");

function cLayer(layer, number) {
  const { weights, biases, scales, input, output, activation } = layer, units = weights.length, inputs = weights[0].length;
  const factors = weights.map((_, u) => fixedFactor(input.scale * scales[u % scales.length] / output.scale));
  const table = activationTable(layer, "tflm");
  const low = activation === "relu" ? Math.max(-128, output.zero) : -128;
  const code = `scaled(sum, multipliers_${number}[u], shifts_${number}[u], ${output.zero}, ${low})`;
  return {
    constants: [
      cArray("int8_t", `weights_${number}`, [units, inputs], cRows(weights)),
      cArray("int32_t", `biases_${number}`, [units], biases.join(", ")),
      cArray("int32_t", `multipliers_${number}`, [units], factors.map(([multiplier]) => multiplier).join(", ")),
      cArray("int32_t", `shifts_${number}`, [units], factors.map(([, shift]) => shift).join(", ")),
      ...(table ? [cArray("int8_t", `table_${number}`, [256], cWrapped([...table]))] : []),
    ],
    lines: [
      `    int8_t codes_${number}[${units}];           /* layer ${number}: ${inputs} codes in, ${units} out, ${activation} */`,
      `    for (int u = 0; u < ${units}; ++u) {`,
      `        int32_t sum = biases_${number}[u];`,
      `        for (int j = 0; j < ${inputs}; ++j)`,
      `            sum += weights_${number}[u][j] * (codes_${number - 1}[j] - (${input.zero}));`,
      `        codes_${number}[u] = ${table ? `table_${number}[${code} + 128]` : code};`,
      "    }",
    ],
  };
}

// The int8 net as one file of C99, in TFLite Micro's arithmetic: equal to int8net.codes("tflm") on every input. With a
// kernel, xorlab.codegen writes a shorter form.
export function asC(state, int8net) {
  const layers = int8net.layers.map((layer, i) => cLayer(layer, i + 1)), last = layers.length;
  return [
    "/* An int8 neural network in whole numbers, from the playground of XOR Lab: as TFLite Micro computes it.",
    "",
    `   The input: two codes, ${int8net.input.zero} for 0 and ${int8net.input.zero + 255} for 1. The output: a code, above 0 for class 1.`,
    `   Weights of ${state.bits} bits, one scale per ${state.per}. Right shifts of negative numbers must be arithmetic. */`,
    "#include <stdint.h>",
    "",
    ...layers.flatMap(({ constants }) => constants),
    "",
    "/* A sum times multiplier / 2^31 * 2^shift, rounded twice as TFLite Micro does, as a code. */",
    "static int8_t scaled(int32_t sum, int32_t multiplier, int32_t shift, int32_t zero, int32_t low)",
    "{",
    "    int32_t left = shift > 0 ? shift : 0, right = left - shift;",
    "    int64_t steps = ((int64_t)sum * ((int64_t)1 << left) * multiplier + (1 << 30)) >> 31;",
    "    if (right > 0)",
    "        steps = (steps + ((int64_t)1 << (right - 1)) - (steps < 0)) >> right;",
    "    steps += zero;",
    "    return (int8_t)(steps < low ? low : steps > 127 ? 127 : steps);",
    "}",
    "",
    "void xor_net(const int8_t input[2], int8_t output[1])",
    "{",
    "    const int8_t *codes_0 = input;",
    ...layers.flatMap(({ lines }) => lines),
    `    output[0] = codes_${last}[0];`,
    "}",
    "",
  ].join("\n");
}
