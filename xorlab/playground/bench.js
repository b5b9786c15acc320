// What a playground holds, without a page: a state, its net in training, its int8 net, and the numbers to be drawn.
import { Net, Trainer, initialWeights, meanLoss, zeroWeights } from "./net.js";
import { quantize, classOf, changedClasses, differ } from "./int8.js";
import { CORNER_LABELS, complete, makePoints } from "./points.js";

const CODES = 256;      // of one input; a map has CODES x CODES of them

// Which keys of a state ask for what, when they change
const OF_START = ["hidden", "activation", "seed", "start"];
const OF_TRAINING = ["rate", "loss", "batch", "weight_decay"];

const copyOf = layers => layers.map(({ w, b }) => ({ w: w.map(row => Array.from(row)), b: Array.from(b) }));
export const codeOf = x => Math.round(x * 255) - 128;           // the int8 input nearest to a coordinate in 0..1
export const coordinateOf = code => (code + 128) / 255;
export const placeOf = (q1, q2) => CODES * (q1 + 128) + q2 + 128;   // of two input codes among all 65,536

export const classOfFloat = output => Number(output > 0.5);     // a tie counts as 0, as it does among codes

function startOf(state) {
  if (state.start === "given") return copyOf(state.weights);
  return state.start === "zeros" ? zeroWeights(state.hidden)
    : initialWeights(state.hidden, state.activation, state.seed);
}

export class Bench {
  // state : whole or partial.  Throws an Error, in one sentence, for what a playground does not know.
  constructor(state) {
    this.outputs = new Float64Array(CODES * CODES);     // x1 slow, as is the order of the codes
    this.codes = new Int8Array(CODES * CODES);
    this.otherCodes = new Int8Array(CODES * CODES);
    this.take(state);
  }

  // Start anew from a state, which another page, a preset or the kernel gives.
  take(given) {
    const state = complete(given), points = makePoints(state.data);
    const layers = state.weights ? copyOf(state.weights) : startOf(state);
    this.origin = state.start === "given" ? { layers: copyOf(layers), epoch: state.epoch }
      : { layers: startOf(state), epoch: 0 };
    this.touched = state.weights !== null;
    Object.assign(this, { settings: state, points });
    this.use(layers, state.epoch);
    this.forget();
  }

  // Train on from these layers; the optimizer remembers nothing yet.
  use(layers, epoch) {
    const { points, settings } = this;
    this.net = new Net(layers, settings.activation);
    this.trainer = new Trainer(this.net, settings, points.x, points.y);
    this.trainer.count = epoch;
  }

  // Begin the loss curve here.
  forget() {
    this.history = [];
    this.record();
  }

  get epoch() { return this.trainer.count; }
  get failed() { return this.trainer.failed; }
  get layers() { return this.net.layers; }
  get ofCorners() { return this.settings.data.name in CORNER_LABELS; }

  get state() {
    const weights = this.touched || this.epoch !== 0 ? copyOf(this.layers) : null;
    return { ...this.settings, weights, epoch: this.epoch };
  }

  // Change settings; what follows from each is decided here.  Throws a sentence and changes nothing.
  change(partial) {
    const asks = keys => keys.some(key => key in partial);
    const start = this.settings.start === "given" && !("start" in partial) ? { start: "seed" } : {};
    if (asks(OF_START)) return this.take({ ...this.settings, ...start, ...partial, weights: null, epoch: 0 });
    const now = this.state, next = complete({ ...now, ...partial });
    if (asks(["data"])) return this.takeData(next);
    this.settings = next;
    if (asks(["optimizer"]) || this.failed && asks(OF_TRAINING)) this.use(copyOf(this.layers), now.epoch);
    for (const key of OF_TRAINING) this.trainer.settings[key] = next[key];
    return asks(["loss"]) ? this.forget() : undefined;
  }

  // Own points leave the weights alone, so that one can see them pull; another set of data starts anew.
  takeData(next) {
    const points = makePoints(next.data), goesOn = next.data.name === "own";
    Object.assign(this, { settings: next, points });
    if (!goesOn) return this.reset();
    this.use(copyOf(this.layers), this.epoch);
    return this.forget();
  }

  reset() {
    this.touched = this.settings.start === "given";
    this.use(copyOf(this.origin.layers), this.origin.epoch);
    this.forget();
  }

  // Set one weight (input a number) or bias (input null) of a unit.
  edit(layer, unit, input, value) {
    const layers = copyOf(this.layers);
    if (input === null) layers[layer].b[unit] = value;
    else layers[layer].w[unit][input] = value;
    this.touched = true;
    this.use(layers, this.epoch);
    this.record();
  }

  // Train up to n epochs, at most `budget` milliseconds; return how many were done. The curve's points stand equally
  // far apart on its logarithmic axis.
  run(n, budget = Infinity) {
    const end = performance.now() + budget;
    let done = 0;
    while (!this.failed && done < n && performance.now() < end) {
      const next = Math.ceil(this.epoch * 1.03 + 0.5);
      const ran = this.trainer.run(Math.max(1, Math.min(n - done, next - this.epoch, 10)));
      done += ran;
      if (this.epoch >= next) this.record();
      if (!ran) break;
    }
    if (done && this.history.at(-1)?.epoch !== this.epoch) this.record();
    return done;
  }

  record() {
    const { x, y, validX, validY } = this.points;
    if (!y.length) return;
    const lossOn = (x, y) => meanLoss(this.settings.loss, this.net.outputs(x), y);
    const row = { epoch: this.epoch, train: lossOn(x, y), valid: validY.length ? lossOn(validX, validY) : null };
    while (this.history.length && this.history.at(-1).epoch >= row.epoch) this.history.pop();
    const [before, last] = this.history.slice(-2);
    // Between two points closer than the axis can show, the later one stands for both
    if (last && before && last.epoch < before.epoch * 1.03 + 0.5) this.history.pop();
    this.history.push(row);
  }

  copy() { return copyOf(this.layers); }

  get loss() { return this.history.at(-1)?.train ?? NaN; }

  answer() { this.net.everyOutput(this.outputs); }

  // Compute every int8 answer, by one rule or two. `int8` is null, and `unquantizable` a sentence, where that fails.
  round() {
    const { bits, per, rule, other } = this.settings;
    try {
      this.int8 = quantize(this.net, { bits, per });
      this.int8.codes(rule, this.codes);
      if (other) this.int8.codes(other, this.otherCodes);
      this.unquantizable = null;
    } catch (error) {
      Object.assign(this, { int8: null, unquantizable: error.message });
      return;
    }
    this.changed = changedClasses(this.outputs, this.codes);
    this.differing = other ? differ(this.codes, this.otherCodes) : null;
  }

  // Return whether each point is in its class, in float and in int8: [{x1, x2, y, training, float, int8}].
  verdicts() {
    const { x, y, validX, validY } = this.points;
    return [...this.judge(x, y, true), ...this.judge(validX, validY, false)];
  }

  judge(x, y, training) {
    return Array.from(y, (target, i) => {
      const x1 = x[2 * i], x2 = x[2 * i + 1];
      const code = this.int8 ? this.codes[placeOf(codeOf(x1), codeOf(x2))] : null;
      const output = this.net.output(x1, x2);
      // a tie, exactly 0.5 or code 0, names no class and so is never right
      return { x1, x2, y: target, training, float: output !== 0.5 && classOfFloat(output) === target,
               int8: code !== null && code !== 0 && classOf(code) === target };
    });
  }
}
