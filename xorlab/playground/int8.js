// A net as int8 arithmetic: quantized after training, and run under five runtimes' rules, code for code what
// xorlab.integer computes. Whole numbers stay exact in a double up to 2^53; longer products are split.

export const RULES = ["tflm", "ruy", "single", "reference", "xnnpack"];
const INT32 = 2 ** 31;
const SIGMOID_LINE = { scale: 1 / 256, zero: -128 }, TANH_LINE = { scale: 1 / 128, zero: 0 };      // the format's
const { fround } = Math;

function roundAway(x) {
  const whole = Math.trunc(x);
  return whole + (Math.abs(x - whole) >= 0.5 ? Math.sign(x) : 0);
}

function roundEven(x) {
  const low = Math.floor(x), rest = x - low;
  return rest === 0.5 ? low + (low % 2 !== 0) : low + (rest > 0.5);
}

const clamp = (x, low, high) => Math.max(low, Math.min(high, x));

const short = (x) => String(Number(x.toPrecision(3)));          // a number in a sentence

// --- from a trained net to codes

// The line {scale, zero} on which 256 codes reach from low to high, widened to hold 0: real = scale * (code - zero).
function lineOf(low, high) {
  if (!(Number.isFinite(low) && Number.isFinite(high))) {
    throw new Error(`the net's sums reach from ${short(low)} to ${short(high)}, which float32 and so int8 cannot hold; `
      + "take smaller weights");
  }
  low = Math.min(low, 0);
  high = Math.max(high, 0);
  if (low === high) return { scale: 1, zero: -128 };
  const scale = (high - low) / 255;
  if (!fround(scale)) {
    throw new Error(`the net's sums reach from ${short(low)} to ${short(high)}, too close for a float32 scale; `
      + "take larger weights");
  }
  return { scale: fround(scale), zero: clamp(roundAway(-128 - low / scale), -128, 127) };
}

const FLOAT32 = {
  relu: (z) => (z < 0 ? 0 : z),
  sigmoid: (z) => fround(1 / fround(1 + fround(Math.exp(-z)))),
  tanh: (z) => fround(Math.tanh(z)),
};

// Return a layer's sums of calibration points, float32, added input by input, the bias last.
function calibrated(w, b, points) {
  return points.map((point) => w.map((row, u) => {
    let sum = 0;
    for (let j = 0; j < row.length; j++) sum = fround(sum + fround(row[j] * point[j]));
    return fround(sum + b[u]);
  }));
}

function rangeOf(rows) {
  let low = Infinity, high = -Infinity;
  for (const row of rows) {
    for (const value of row) {
      if (!(value >= low)) low = value;                 // so NaN stays
      if (!(value <= high)) high = value;
    }
  }
  return lineOf(low, high);
}

// Return the Int8Net of a Net, its weights first rounded to float32: what IntegerMLP.from_torch makes of it.
// bits : 8 to 2, of the weights.  per : "layer" or "unit", who has a weight scale.  The ranges of the sums are those of
// the 9 x 9 points of the unit square.  Throws an Error with one sentence for a net that has no int8 form.
export function quantize(net, { bits = 8, per = "layer" } = {}) {
  const largest = 2 ** (bits - 1) - 1;
  let points = Array.from({ length: 81 }, (_, i) => [Math.floor(i / 9) / 8, (i % 9) / 8]);
  let line = rangeOf(points);
  const layers = net.layers.map(({ w, b }, l) => {
    const activation = l < net.layers.length - 1 ? net.activation : "sigmoid";
    w = w.map((row) => row.map(fround));
    b = b.map(fround);
    if (![...w.flat(), ...b].every(Number.isFinite)) {
      throw new Error("the net has weights that are NaN or infinite in float32, so it has no int8 form; "
        + "reset it, or take another start");
    }
    points = calibrated(w, b, points);
    if (activation === "relu") points = points.map((row) => row.map(FLOAT32.relu));
    const layer = quantizedLayer(w, b, line, rangeOf(points), activation, per, largest);
    if (activation !== "relu") points = points.map((row) => row.map(FLOAT32[activation]));
    line = layer.codes;
    return layer;
  });
  return new Int8Net(layers);
}

// {weights: units x inputs, biases, scales (one, or one per unit), input, output: line of the sums' codes,
//  activation, codes: line of the codes passed on}
function quantizedLayer(w, b, input, output, activation, per, largest) {
  const sizes = w.map((row) => Math.max(...row.map(Math.abs)));
  const steps = (per === "unit" ? sizes : [Math.max(...sizes)]).map((size) => size / largest || 1);
  const step = (u) => steps[u % steps.length];
  const biases = b.map((bias, u) => roundAway(bias / (input.scale * step(u))));
  biases.forEach((bias, u) => {
    if (Math.abs(bias) >= INT32) {
      throw new Error(`the bias ${short(b[u])} does not fit into 32 bits at the scale `
        + `${short(input.scale * step(u))} that its weights have; `
        + "take a smaller bias or larger weights");
    }
  });
  if (!steps.every(fround)) throw new Error("a layer's weights are too small for a float32 scale; take larger ones");
  const weights = w.map((row, u) => row.map((value) => roundAway(value / step(u))));
  const codes = { sigmoid: SIGMOID_LINE, tanh: TANH_LINE, relu: output }[activation];
  return { weights, biases, scales: steps.map(fround), input, output, activation, codes };
}

// --- fixed point

// (a * b + add) / 2^31, rounded down, exactly, for whole a, b of 32 bits with their sign.
function highProduct(a, b, add = 2 ** 30) {
  const high = Math.floor(b / 65536), low = a * (b - high * 65536) + add;
  return Math.floor((a * high + Math.floor(low / 65536)) / 32768);
}

// gemmlowp's saturating rounding doubling high multiply.
const doublingHigh = (a, b) => Math.min(highProduct(a, b), INT32 - 1);

// x / 2^exponent rounded, ties away from zero.
function dividedAway(x, exponent) {
  const power = 2 ** exponent, half = Math.floor(power / 2);
  return Math.floor((x + half - (x < 0 && exponent > 0)) / power);
}

const dividedUp = (x, exponent) => Math.floor((x + Math.floor(2 ** exponent / 2)) / 2 ** exponent);

// [multiplier in Q0.31, shift] of a factor > 0; [0, 0] for one too small to matter.
export function fixedFactor(factor) {
  let shift = Math.floor(Math.log2(factor)) + 1;
  while (factor >= 2 ** shift) shift++;                 // log2 may round up or down to a whole number
  while (factor < 2 ** (shift - 1)) shift--;
  let multiplier = roundAway(factor / 2 ** shift * INT32);
  if (multiplier === INT32) [multiplier, shift] = [2 ** 30, shift + 1];
  return shift < -31 ? [0, 0] : [multiplier, shift];
}

// gemmlowp's functions of Q4.27 numbers, results in Q0.31, on powers e^-(2^k) and a polynomial on the last quarter.
const POWERS_OF_E = [1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242];

function fixedExp(x, integerBits) {
  if (x === 0) return INT32 - 1;
  const bits = 31 - integerBits, quarter = 2 ** (bits - 2);
  const last = (x & (quarter - 1)) - quarter, near = last * 2 ** integerBits + 2 ** 28;
  const x2 = doublingHigh(near, near), x3 = doublingHigh(x2, near), x4 = doublingHigh(x2, x2);
  const rest = dividedAway(doublingHigh(dividedAway(x4, 2) + x3, 715827883) + x2, 1);
  let result = 1895147668 + doublingHigh(1895147668, near + rest);
  const remainder = last - x;
  for (let k = -2; k < integerBits; k++) {
    if (remainder & (1 << (bits + k))) result = doublingHigh(result, POWERS_OF_E[k + 2]);
  }
  return result;
}

// 2 / (1 + x) of x in Q0.31, in Q2.29: three Newton steps from a line.
function inverseOfHalfOfOnePlus(x) {
  const half = Math.floor((x + INT32) / 2);
  let y = 1515870810 + doublingHigh(half, -1010580540);
  for (let i = 0; i < 3; i++) y += doublingHigh(y, 2 ** 29 - doublingHigh(half, y)) * 4;
  return y;
}

function fixedLogistic(x) {
  if (x === 0) return 2 ** 30;
  const below = Math.min(inverseOfHalfOfOnePlus(fixedExp(-Math.abs(x), 4)) * 2, INT32 - 1);
  return x > 0 ? below : INT32 - 1 - below;
}

function fixedTanh(x) {
  const inverse = inverseOfHalfOfOnePlus(fixedExp(-Math.abs(x), 5));     // Q4.27 read as Q5.26 is twice as much
  return Math.sign(x) * Math.min((inverse - 2 ** 29) * 4, INT32 - 1);
}

// --- a sum back to 8 bits

const doubleFactor = (input, scale, output) => input.scale * scale / output.scale;

// A rule's way: factor() from sums to output steps; steps() of a sum, given [multiplier, shift] or the factor; and
// beyond(sum), what has to stay within 32 bits besides the sum itself.
const twice = (divided) => ({
  prepared(factor) {
    const [multiplier, shift] = fixedFactor(factor), left = 2 ** Math.max(shift, 0), right = Math.max(-shift, 0);
    return {
      steps: (sum) => divided(doublingHigh(sum * left, multiplier), right),
      beyond: (sum) => sum * left,
    };
  },
});
const TWICE_AWAY = twice(dividedAway), TWICE_UP = twice(dividedUp);
const ONCE_UP = {
  prepared(factor) {
    const [multiplier, shift] = fixedFactor(factor), drop = 31 - shift;
    if (drop < 17) return { steps: (sum) => sum * factor, beyond: (sum) => sum };      // far beyond the codes, or 0
    const high = Math.floor(multiplier / 65536), low = multiplier % 65536;
    const half = 2 ** (drop - 17), power = 2 ** (drop - 16);
    return {
      steps: (sum) => Math.floor((sum * high + Math.floor(sum * low / 65536) + half) / power),
      beyond: (sum) => sum,
    };
  },
};
const IN_FLOAT64 = {
  prepared: (factor) => ({ steps: (sum) => roundAway(sum * factor), beyond: (sum) => sum * factor }),
};
const IN_FLOAT32 = {
  prepared: (factor) => ({ steps: (sum) => roundEven(fround(fround(sum) * factor)), beyond: (sum) => sum }),
};

// The scale of a whole layer LiteRT's built-in kernels multiply in float32, those of units they do not.
const factorThroughFloat32 = (input, scale, output, whole) => (
  whole ? fround(input.scale * scale) / output.scale : doubleFactor(input, scale, output));
const factorInFloat32 = (input, scale, output) => fround(fround(input.scale * scale) / output.scale);

const KERNELS = {
  tflm: { factor: doubleFactor, rounding: () => TWICE_AWAY, table: "fixed" },
  ruy: { factor: factorThroughFloat32, rounding: () => TWICE_UP, table: "litert" },
  // one sample of a wide layer goes to matrix-vector code of its own
  single: { factor: factorThroughFloat32, table: "litert",
    rounding: ({ weights }) => (weights.length >= 4 && weights[0].length >= 8 ? TWICE_UP : ONCE_UP) },
  reference: { factor: doubleFactor, rounding: () => IN_FLOAT64, table: "litert" },
  xnnpack: { factor: factorInFloat32, rounding: () => IN_FLOAT32, table: "xnnpack" },
};

// Functions from a sum to a code, one for each unit of a layer: {code(sum), beyond(sum)}.
function unitsOf(layer, rule) {
  const { factor, rounding } = KERNELS[rule], { scales, input, output } = layer, { zero } = output;
  const low = -128 - zero, high = 127 - zero;           // a ReLU's range begins at 0, so code -128 is where it cuts
  const made = scales.map((scale) => {
    const { steps, beyond } = rounding(layer).prepared(factor(input, scale, output, scales.length === 1));
    return { code: (sum) => clamp(steps(sum), low, high) + zero, beyond };
  });
  return layer.weights.map((_, u) => made[u % made.length]);
}

// --- an activation's table: the code of each of the 256 codes, from -128 up

const TABLES = {
  fixed: {
    sigmoid: (line) => fixedTable(line, (x) => Math.min(dividedAway(fixedLogistic(x), 23), 255) - 128),
    tanh: (line) => fixedTable(line, (x) => clamp(dividedAway(fixedTanh(x), 24), -128, 127)),
  },
  litert: {
    sigmoid: (line) => tableOf((c) => roundAway(FLOAT32.sigmoid(realOf(c, line)) * 256) - 128),
    tanh: (line) => tableOf((c) => roundAway(FLOAT32.tanh(realOf(c, line)) * 128)),
  },
  xnnpack: {
    sigmoid: (line) => tableOf((c) => {
      const e = Math.exp(Math.min(realOf(c, line), 700));       // beyond it infinite
      return roundEven(fround(e / (1 + e)) * 256 - 128);
    }),
    tanh: (line) => tableOf((c) => roundEven(FLOAT32.tanh(realOf(c, line)) * 128)),
  },
};

const realOf = (code, { scale, zero }) => fround(scale * (code - zero));
const tableOf = (code) => Int8Array.from({ length: 256 }, (_, i) => clamp(code(i - 128), -128, 127));

// TFLite Micro's table: codes become Q4.27 numbers, and those beyond it the largest or the smallest code.
function fixedTable({ scale, zero }, code) {
  const [multiplier, shift] = fixedFactor(scale * 2 ** 27);
  if (shift < 0) {
    throw new Error(`the codes before an activation are only ${short(scale)} apart: TFLite Micro has no table there; `
      + "take larger weights");
  }
  const radius = Math.floor(15 * 2 ** 27 / 2 ** shift);
  return tableOf((c) => (Math.abs(c - zero) < radius ? code(doublingHigh((c - zero) * 2 ** shift, multiplier))
    : c > zero ? 127 : -128));
}

export function activationTable({ activation, output }, rule) {
  return activation === "relu" ? null : TABLES[KERNELS[rule].table][activation](output);
}

// --- all 65,536 inputs

// Least and largest sum of a unit over all codes that could go into it.
function sumsOf(row, bias, zero) {
  let low = bias, high = bias;
  for (const w of row) {
    low += Math.min(w * (-128 - zero), w * (127 - zero));
    high += Math.max(w * (-128 - zero), w * (127 - zero));
  }
  return [low, high];
}

// The codes of every sum from low to high. They never fall as the sum grows, so each code's stretch of sums is found
// by its end: a few sums are brought to 8 bits instead of a hundred thousand.
function codesOfSums(code, low, high, table) {
  const made = new Int8Array(high - low + 1);
  let start = low, width = 1;
  while (start <= high) {
    const here = code(start);
    let inside = start, step = width;                   // the last stretch's width is a good guess of this one's
    while (inside < high && code(Math.min(inside + step, high)) === here) {
      inside = Math.min(inside + step, high);
      step *= 2;
    }
    let outside = Math.min(inside + step, high + 1);
    while (outside - inside > 1) {
      const middle = Math.floor((inside + outside) / 2);
      if (code(middle) === here) inside = middle; else outside = middle;
    }
    made.fill(table ? table[here + 128] : here, start - low, inside + 1 - low);
    width = Math.max(1, inside + 1 - start);
    start = inside + 1;
  }
  return made;
}

// The codes of unit u for every input, of the codes in columns; columns null is the first layer.
function unitCodes({ weights, biases, input: { zero } }, u, { code, beyond }, table, columns, into) {
  const row = weights[u], [low, high] = sumsOf(row, biases[u], zero);
  const start = biases[u] - low - zero * row.reduce((sum, w) => sum + w, 0);        // sums count from the least one
  const sums = columns && sumsOfColumns(row, start, columns);
  if (![low, high, beyond(low), beyond(high)].every(fitsInt32)) {
    const [least, largest] = sums ? rangeOfNumbers(sums).map((sum) => sum + low) : [low, high];     // that occur
    refuseBeyond32Bits(least, largest);
    refuseBeyond32Bits(beyond(least), beyond(largest));
  }
  const codes = codesOfSums(code, low, high, table);
  if (!sums) return codesOfSquare(row, start, codes, into);
  for (let i = 0; i < 65536; i++) into[i] = codes[sums[i]];
  return into;
}

const SUMS = new Int32Array(65536);                     // room for one unit's, used again and again

function sumsOfColumns(row, start, columns) {
  SUMS.fill(start);
  for (let j = 0; j < row.length; j += 2) {             // two at a time: the sums go through memory half as often
    addProducts(row[j], columns[j], row[j + 1] ?? 0, columns[j + 1] ?? columns[j]);
  }
  return SUMS;
}

function addProducts(w, codes, v, others) {
  for (let i = 0; i < 65536; i++) SUMS[i] += Math.imul(w, codes[i]) + Math.imul(v, others[i]);
}

// The first layer's sums are one number of the row plus one of the column.
function codesOfSquare([w1, w2], start, codes, into) {
  for (let q1 = -128; q1 < 128; q1++) {
    const sum = start + w1 * q1, at = 256 * (q1 + 128) + 128;
    for (let q2 = -128; q2 < 128; q2++) into[at + q2] = codes[sum + Math.imul(w2, q2)];
  }
  return into;
}

function rangeOfNumbers(numbers) {
  let low = numbers[0], high = low;
  for (const value of numbers) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

const fitsInt32 = (sum) => sum >= -INT32 && sum < INT32;

function refuseBeyond32Bits(low, high) {
  if (fitsInt32(low) && fitsInt32(high)) return;
  throw new Error(`a layer's sums, before or after they are scaled up, reach from ${short(low)} to ${short(high)}; `
    + "beyond 32 bits runtimes wrap around, each in its way; take smaller weights or biases");
}

// A net as whole numbers. layers : see quantizedLayer.
class Int8Net {
  constructor(layers) {
    this.layers = layers;
    this.input = layers[0].input;
    this.output = SIGMOID_LINE;
  }

  // The output code of every input, Int8Array (65536), x1 slow: input (c1, c2) is at 256 * (c1 + 128) + c2 + 128.
  codes(rule, into = new Int8Array(65536)) {
    const last = this.layers.length - 1;
    let columns = null;                                 // for each unit of the layer before, its code of every input
    this.layers.forEach((layer, l) => {
      const table = activationTable(layer, rule);
      columns = unitsOf(layer, rule).map((unit, u) => (
        unitCodes(layer, u, unit, table, columns, l < last ? new Int8Array(65536) : into)));
    });
    return into;
  }

  // One input's way: [{name, sums (of a FULLY_CONNECTED), codes}, ...], an entry for each operator.
  trace(q1, q2, rule) {
    let codes = [q1, q2];
    return this.layers.flatMap((layer) => {
      const { weights, biases, input, activation } = layer;
      const sums = weights.map((row, u) => row.reduce((sum, w, j) => sum + w * (codes[j] - input.zero), biases[u]));
      refuseBeyond32Bits(Math.min(...sums), Math.max(...sums));
      codes = unitsOf(layer, rule).map(({ code, beyond }, u) => {
        refuseBeyond32Bits(beyond(sums[u]), beyond(sums[u]));
        return code(sums[u]);
      });
      const steps = [{ name: "FULLY_CONNECTED", sums, codes }], table = activationTable(layer, rule);
      if (table) {
        codes = codes.map((code) => table[code + 128]);
        steps.push({ name: activation === "tanh" ? "TANH" : "LOGISTIC", codes });
      }
      return steps;
    });
  }
}

// --- what is read off codes

// The class that an output code names: code 0 is exactly 0.5, a tie, and counts as 0.
export const classOf = (code) => (code > 0 ? 1 : 0);

// How many inputs int8 puts into another class. outputs : of Net.everyOutput().  codes : of Int8Net.codes().
export function changedClasses(outputs, codes) {
  let count = 0;
  for (let i = 0; i < codes.length; i++) count += (outputs[i] > 0.5) !== (codes[i] > 0);
  return count;
}

// On how many inputs two rules' codes differ.
export function differ(codes, others) {
  let count = 0;
  for (let i = 0; i < codes.length; i++) count += codes[i] !== others[i];
  return count;
}
