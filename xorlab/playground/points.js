// The playground's state, checked and completed, and its points: clouds drawn from a seed, or the student's own.
import { OPTIMIZER_NAMES, Twister, layerSizes } from "./net.js";
import { RULES } from "./int8.js";

const MOST_POINTS = 2000;

// --- what a state may hold: {key: [default, problem(value) -> words after "must be", or nothing]}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const grouped = (n) => n.toLocaleString("en");
const whole = (low, high) => [`a whole number from ${low} to ${grouped(high)}`,
  (value) => Number.isSafeInteger(value) && value >= low && value <= high];
const oneOf = (...names) => [`one of ${names.join(", ")}`, (value) => names.includes(value)];
const number = (words, test) => [words, (value) => Number.isFinite(value) && test(value)];
const boolean = ["true or false", (value) => typeof value === "boolean"];
const LARGEST_SEED = 2 ** 32 - 1;

const DATA = {
  name: ["corners", oneOf("corners", "noisy", "and", "or", "circle", "moons", "spiral", "own")],
  noise: [0.1, number("a number from 0 to 0.5", (value) => value >= 0 && value <= 0.5)],
  count: [200, whole(4, MOST_POINTS)],
  seed: [0, whole(0, LARGEST_SEED)],
  validation: [0.25, number("a share from 0 to 0.9", (value) => value >= 0 && value <= 0.9)],
  points: [[], [`a list of at most ${grouped(MOST_POINTS)} points [x1, x2, label], inputs from 0 to 1, `
    + "labels 0 or 1", (value) => Array.isArray(value) && value.length <= MOST_POINTS && value.every(isPoint)]],
};

const STATE = {
  preset: [null, ["a preset's name or null", (value) => value === null ||
    (typeof value === "string" && /^[A-Za-z0-9 .-]{1,40}$/.test(value))]],
  data: [{}, ["an object such as {\"name\": \"corners\"}", isObject]],
  hidden: [[3], ["a list of 0 to 3 layers of 1 to 8 units", (value) => Array.isArray(value) && value.length <= 3
    && value.every(whole(1, 8)[1])]],
  activation: ["sigmoid", oneOf("sigmoid", "tanh", "relu")],
  loss: ["mse", oneOf("mse", "bce")],
  optimizer: ["adam", oneOf(...OPTIMIZER_NAMES)],
  rate: [0.1, number("a number above 0", (value) => value > 0)],
  batch: [0, [`0 for all points a step, or a whole number up to ${grouped(MOST_POINTS)}`,
    whole(0, MOST_POINTS)[1]]],
  weight_decay: [0, number("a number of 0 or more", (value) => value >= 0)],
  seed: [1, whole(0, LARGEST_SEED)],
  start: ["seed", oneOf("seed", "zeros", "given")],
  weights: [null, ["null, or a list of layers {\"w\": [[...], ...], \"b\": [...]}", (value) => value === null
    || Array.isArray(value)]],
  epoch: [0, whole(0, Number.MAX_SAFE_INTEGER)],
  bits: [8, whole(2, 8)],
  per: ["layer", oneOf("layer", "unit")],
  rule: ["tflm", oneOf(...RULES)],
  other: [null, [`null or one of ${RULES.join(", ")}`, (value) => value === null || RULES.includes(value)]],
  playing: [false, boolean],
};

const isPoint = (point) => Array.isArray(point) && point.length === 3 && point.every(Number.isFinite)
  && point[0] >= 0 && point[0] <= 1 && point[1] >= 0 && point[1] <= 1 && (point[2] === 0 || point[2] === 1);

// Return a state with every key, of one that has some; what is given is copied.
// Throws an Error with one sentence for a key or a value that is not allowed.
export function complete(partial = {}) {
  if (!isObject(partial)) throw new Error(`a state must be an object such as {"hidden": [3]}, got ${shown(partial)}`);
  const state = completed(partial, STATE, "");
  state.data = completed(partial.data ?? {}, DATA, "data.");
  if (state.data.points.length && !Object.hasOwn(partial.data, "name")) state.data.name = "own";
  if (state.weights) {
    refuseMisfit(state.weights, state.hidden);
  } else if (state.start === "given") {
    throw new Error('start "given" needs weights; give them, or start from "seed" or "zeros"');
  }
  return structuredClone(state);
}

// Every key of a table with the value given, or its usual one.
function completed(given, table, before) {
  for (const key of Object.keys(given)) {
    if (!Object.hasOwn(table, key)) {
      throw new Error(`a state has no key ${shown(before + key)}; ${before ? "data has" : "there are"} `
        + Object.keys(table).join(", "));
    }
    const [words, allowed] = table[key][1];
    if (!allowed(given[key])) throw new Error(`${before}${key} must be ${words}, got ${shown(given[key])}`);
  }
  return Object.fromEntries(Object.entries(table).map(([key, [usual]]) => (
    [key, Object.hasOwn(given, key) ? given[key] : usual])));
}

function refuseMisfit(layers, hidden) {
  const sizes = layerSizes(hidden), isRow = (row, n) => Array.isArray(row) && row.length === n
    && row.every(Number.isFinite);
  const fits = layers.length === sizes.length && layers.every((layer, l) => {
    const [inputs, units] = sizes[l];
    return isObject(layer) && Object.keys(layer).sort().join() === "b,w" && isRow(layer.b, units)
      && Array.isArray(layer.w) && layer.w.length === units && layer.w.every((row) => isRow(row, inputs));
  });
  if (fits) return;
  const wanted = sizes.map(([inputs, units]) => `w ${units} x ${inputs} and b ${units}`).join(", then ");
  throw new Error(`weights must be finite numbers for hidden ${shown(hidden)}: ${wanted}; got ${shown(layers)}`);
}

// A value in a sentence: JSON, cut to what can be read at once.
function shown(value) {
  let text;
  try {
    text = String(JSON.stringify(value)).replace(/[\u0085\u2028\u2029]/g, "\ufffd");      // these end a line
  } catch {                                             // nested deeper than JSON.stringify can go
    text = "something nested too deep to show";
  }
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

// --- points

// Draws of a cloud, the same in every browser and in Python: a Mersenne Twister, sums and products. Where a sine is
// needed, numbers are rounded to six decimals, so that no library's last digit shows.
class Draws {
  constructor(seed) {
    this.twister = new Twister(seed);
  }

  uniform() {
    return this.twister.bits() / 2 ** 32;
  }

  // Nearly normal, of standard deviation 1: twelve uniform draws less 6.
  normal() {
    let sum = -6;
    for (let i = 0; i < 12; i++) sum += this.uniform();
    return sum;
  }
}

// Bring a number outside 0..1 back as by a mirror at each end, and round it to six decimals.
function inSquare(x) {
  x = Math.abs(x);
  if (x > 1) x = Math.max(0, 2 - x);
  return Math.round(x * 1e6) / 1e6;
}

// {name: function from (place in the cloud, Draws, noise) to [x1, x2, label] before the square's mirror}
const CLOUDS = {
  noisy(i, draws, noise) {
    const [x1, x2] = SQUARE[i % 4];
    return [x1 + noise * draws.normal(), x2 + noise * draws.normal(), Number(x1 !== x2)];
  },
  circle(i, draws, noise) {                             // a disc, and a ring around it
    const label = i % 2, angle = 2 * Math.PI * draws.uniform(), u = draws.uniform();
    const radius = label ? 0.22 * Math.sqrt(u) : 0.32 + 0.13 * u;
    return around(radius, angle, label, draws, noise / 4);
  },
  moons(i, draws, noise) {                              // two half circles, each an end in the other's bay
    const label = i % 2, angle = Math.PI * draws.uniform(), side = label ? -1 : 1;
    const x1 = (label ? 0.62 : 0.38) + 0.26 * Math.cos(angle), x2 = (label ? 0.58 : 0.42) + side * 0.26 * Math.sin(angle);
    return [x1 + noise / 4 * draws.normal(), x2 + noise / 4 * draws.normal(), label];
  },
  spiral(i, draws, noise) {                             // two arms of one and a quarter turns
    const label = i % 2, along = draws.uniform();
    return around(0.04 + 0.42 * along, 2.5 * Math.PI * along + Math.PI * label, label, draws, noise / 6);
  },
};

function around(radius, angle, label, draws, noise) {
  return [0.5 + radius * Math.cos(angle) + noise * draws.normal(),
    0.5 + radius * Math.sin(angle) + noise * draws.normal(), label];
}

const SQUARE = [[0, 0], [0, 1], [1, 0], [1, 1]];
export const CORNER_LABELS = { corners: [0, 1, 1, 0], and: [0, 0, 0, 1], or: [0, 1, 1, 1] };

// {x: Float64Array (2n): x1, x2, x1, x2, ..., y: Float64Array (n)} of points [[x1, x2, label], ...].
function asArrays(points) {
  return { x: Float64Array.from(points.flatMap(([x1, x2]) => [x1, x2])), y: Float64Array.from(points, (p) => p[2]) };
}

// The points of a state's data to train on, and those to validate with: {x, y, validX, validY}, see asArrays.
// A cloud's last points validate, as many as its share says; the others have none.
export function makePoints(data) {
  let points = data.points, kept = points.length;
  if (data.name in CORNER_LABELS) {
    points = SQUARE.map((corner, i) => [...corner, CORNER_LABELS[data.name][i]]);
    kept = 4;
  } else if (data.name in CLOUDS) {
    const draws = new Draws(data.seed);
    points = Array.from({ length: data.count }, (_, i) => {
      const [x1, x2, label] = CLOUDS[data.name](i, draws, data.noise);
      return [inSquare(x1), inSquare(x2), label];
    });
    kept = data.count - Math.floor(data.count * data.validation);
  }
  const { x, y } = asArrays(points.slice(0, kept)), { x: validX, y: validY } = asArrays(points.slice(kept));
  return { x, y, validX, validY };
}

// --- a file of points

const NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;

// Return the points [[x1, x2, label], ...] of a text with one point a row: two inputs from 0 to 1 and a label 0 or 1,
// between commas, semicolons, tabs or spaces. Names of columns may stand above; where a semicolon or a tab parts the
// columns, a comma is a decimal point.
// Throws an Error with one sentence that names the row, counted as an editor does.
export function readCsv(text) {
  const rows = text.replace(/^\ufeff/, "").split(/\r\n|\r|\n/).map((row, i) => [row.trim(), i + 1])
    .filter(([row]) => row);
  if (!rows.length) throw new Error("the file has no rows; a row is a point: x1, x2, label");
  const cut = [";", "\t", ","].find((sign) => rows[0][0].includes(sign)) ?? /\s+/;
  const fields = rows.map(([row, at]) => [row.split(cut).map((field) => (
    field.trim().replace(/^"(.*)"$/, "$1").replace(",", "."))), at]);
  if (!fields[0][0].some((field) => NUMBER.test(field))) fields.shift();
  if (!fields.length) throw new Error("the file has names of columns and no rows; a row is a point: x1, x2, label");
  if (fields.length > MOST_POINTS) {
    throw new Error(`the file has ${grouped(fields.length)} points, and at most `
      + `${grouped(MOST_POINTS)} are allowed; leave some out`);
  }
  return fields.map(([row, at]) => pointOf(row, at));
}

function pointOf(row, at) {
  if (row.length !== 3) {
    throw new Error(`row ${at} has ${row.length} columns, and a point needs 3: x1, x2 and its label 0 or 1`);
  }
  const wrong = row.find((field) => !NUMBER.test(field));
  if (wrong !== undefined) {
    throw new Error(`row ${at} has ${shown(wrong)} where a number must be; a row has three numbers`);
  }
  const [x1, x2, label] = row.map(Number);
  for (const [name, x] of [["x1", x1], ["x2", x2]]) {
    if (!(x >= 0 && x <= 1)) {
      throw new Error(`row ${at} has ${name} ${x}, and inputs must lie from 0 to 1; bring that column there first, `
        + "e.g. (x - lowest) / (highest - lowest)");
    }
  }
  if (label !== 0 && label !== 1) throw new Error(`row ${at} has the label ${label}, and a label must be 0 or 1`);
  return [x1, x2, label];
}
