// A small net in float64: its first weights, its outputs, its gradients, its optimizers. No page is needed here.
// Everything has a counterpart in Python that it equals: MLP's first weights bit for bit, PyTorch's steps to rounding.

// A Mersenne Twister as PyTorch seeds it: the low 32 bits of the seed, then 32 random bits at a time.
export class Twister {
  constructor(seed) {
    this.state = new Uint32Array(624);
    this.state[0] = seed >>> 0;
    for (let i = 1; i < 624; i++) {
      const before = this.state[i - 1];
      this.state[i] = Math.imul(1812433253, before ^ (before >>> 30)) + i;
    }
    this.next = 624;
  }

  // A whole number from 0 to 2^32 - 1.
  bits() {
    if (this.next === 624) this.refill();
    let x = this.state[this.next++];
    x ^= x >>> 11;
    x ^= (x << 7) & 0x9d2c5680;
    x ^= (x << 15) & 0xefc60000;
    return (x ^ (x >>> 18)) >>> 0;
  }

  refill() {
    const s = this.state;
    for (let i = 0; i < 624; i++) {
      const mixed = (s[i] & 0x80000000) | (s[(i + 1) % 624] & 0x7fffffff);
      s[i] = s[(i + 397) % 624] ^ (mixed >>> 1) ^ (mixed & 1 ? 0x9908b0df : 0);
    }
    this.next = 0;
  }

  // A number from -bound up to bound as PyTorch draws a float32: 24 bits, multiplied and added with one rounding.
  within(bound) {
    const low = Math.fround(-bound), width = Math.fround(Math.fround(bound) - low);
    return Math.fround((this.bits() & 0xffffff) / 2 ** 24 * width + low);
  }

  // The numbers 0 to n - 1 in random order, as torch.randperm gives them.
  order(n) {
    const numbers = Int32Array.from({ length: n }, (_, i) => i);
    for (let i = 0; i < n - 1; i++) {
      const j = i + this.bits() % (n - i);
      [numbers[i], numbers[j]] = [numbers[j], numbers[i]];
    }
    return numbers;
  }
}

// [[inputs, units], ...] of a net's layers, the output last.
export function layerSizes(hidden) {
  const widths = [2, ...hidden, 1];
  return widths.slice(1).map((units, i) => [widths[i], units]);
}

// Layers of numbers that weight(inputs) and bias(inputs) give, asked in PyTorch's order.
function layersOf(hidden, weight, bias) {
  return layerSizes(hidden).map(([inputs, units]) => ({
    w: Array.from({ length: units }, () => Array.from({ length: inputs }, () => weight(inputs))),
    b: Array.from({ length: units }, () => bias(inputs)),
  }));
}

// The weights that MLP(hidden, activation, seed=seed) starts with: [{w: units x inputs, b: units}, ...], output last.
// PyTorch draws every Linear layer alike, whatever the activation: weights by kaiming_uniform_(a=sqrt(5)), which is
// within sqrt(3) * sqrt(2 / (1 + 5)) / sqrt(inputs), and biases within 1 / sqrt(inputs).
export function initialWeights(hidden, activation, seed) {
  const twister = new Twister(seed), gain = Math.sqrt(2 / (1 + Math.sqrt(5) ** 2));
  return layersOf(hidden, (inputs) => twister.within(Math.sqrt(3) * (gain / Math.sqrt(inputs))),
    (inputs) => twister.within(1 / Math.sqrt(inputs)));
}

export function zeroWeights(hidden) {
  return layersOf(hidden, () => 0, () => 0);
}

const SQUASH = {
  sigmoid(z, from, to) { for (let i = from; i < to; i++) z[i] = 1 / (1 + Math.exp(-z[i])); },
  tanh(z, from, to) { for (let i = from; i < to; i++) z[i] = Math.tanh(z[i]); },
  relu(z, from, to) { for (let i = from; i < to; i++) z[i] = z[i] < 0 ? 0 : z[i]; },      // lets NaN through
};

// Multiply d, gradients of activations a, by the activation's slope there.
const SQUASH_BACK = {
  sigmoid(d, a, n) { for (let i = 0; i < n; i++) d[i] *= a[i] * (1 - a[i]); },
  tanh(d, a, n) { for (let i = 0; i < n; i++) d[i] *= 1 - a[i] * a[i]; },
  relu(d, a, n) { for (let i = 0; i < n; i++) if (a[i] <= 0) d[i] = 0; },
};

// A net's layers as arrays for arithmetic, and room for the activations of n points: unit u's are at u * n + i.
class Pass {
  constructor(layers, activation, n) {
    this.n = n;
    this.activation = activation;
    this.sizes = layers.map(({ w }) => [w[0].length, w.length]);
    const count = this.sizes.reduce((sum, [inputs, units]) => sum + (inputs + 1) * units, 0);
    this.theta = new Float64Array(count);
    this.a = [2, ...this.sizes.map(([, units]) => units)].map((units) => new Float64Array(units * n));
    this.take(layers);
  }

  // Copy weights and biases, in PyTorch's order, into theta.
  take(layers) {
    let k = 0;
    for (const { w, b } of layers) {
      for (const row of w) for (const value of row) this.theta[k++] = value;
      for (const value of b) this.theta[k++] = value;
    }
  }

  give(layers) {
    let k = 0;
    for (const { w, b } of layers) {
      for (const row of w) for (let j = 0; j < row.length; j++) row[j] = this.theta[k++];
      for (let u = 0; u < b.length; u++) b[u] = this.theta[k++];
    }
  }

  // Compute the activations of layer `first` and those behind it, of the points in a[0] or of a[first]; return the
  // outputs. The same sums in the same order whatever n is, so that a surface's numbers are the outputs' numbers.
  forward(first = 0) {
    const { n, a, theta, sizes } = this;
    let at = 0;
    for (let l = 0; l < first; l++) at += (sizes[l][0] + 1) * sizes[l][1];
    for (let l = first; l < sizes.length; l++) {
      const [inputs, units] = sizes[l], from = a[l], z = a[l + 1], biases = at + inputs * units;
      for (let u = 0; u < units; u++) {
        const start = u * n;
        z.fill(theta[biases + u], start, start + n);
        for (let j = 0; j < inputs; j++) {
          const w = theta[at + u * inputs + j], other = j * n;
          for (let i = 0; i < n; i++) z[start + i] += w * from[other + i];
        }
      }
      SQUASH[l < sizes.length - 1 ? this.activation : "sigmoid"](z, 0, units * n);
      at = biases + units;
    }
    return a[sizes.length];
  }

  // Write the gradient of the mean loss into `gradient`, laid out like theta, after forward().
  backward(loss, y, gradient) {
    const { n, a, theta, sizes } = this, last = sizes.length;
    this.d ??= a.map((part) => new Float64Array(part.length));
    const d = this.d, p = a[last];
    for (let i = 0; i < n; i++) {
      const slope = p[i] * (1 - p[i]);
      // PyTorch guards its cross-entropy's gradient against dividing by 0 in this way
      d[last][i] = (loss === "bce" ? (p[i] - y[i]) / Math.max(slope, 1e-12) : 2 * (p[i] - y[i])) / n * slope;
    }
    let end = theta.length;
    for (let l = last - 1; l >= 0; l--) {
      const [inputs, units] = sizes[l], at = end - units * (inputs + 1), delta = d[l + 1], from = a[l], back = d[l];
      for (let u = 0; u < units; u++) {
        let sum = 0;
        for (let i = 0; i < n; i++) sum += delta[u * n + i];
        gradient[at + units * inputs + u] = sum;
        for (let j = 0; j < inputs; j++) {
          sum = 0;
          for (let i = 0; i < n; i++) sum += delta[u * n + i] * from[j * n + i];
          gradient[at + u * inputs + j] = sum;
        }
      }
      if (l > 0) {
        back.fill(0);
        for (let u = 0; u < units; u++) {
          for (let j = 0; j < inputs; j++) {
            const w = theta[at + u * inputs + j];
            for (let i = 0; i < n; i++) back[j * n + i] += w * delta[u * n + i];
          }
        }
        SQUASH_BACK[this.activation](back, from, back.length);
      }
      end = at;
    }
  }
}

// The first layer of a whole square in a quarter of the time: exp(a + b) is exp(a) * exp(b), so 512 exponentials a unit
// do for 65,536 points. The last digit may differ from forward()'s. A ReLU has no exponential to save.
// {factor: of the exponent, activations(to, at, e1, e2): of 256 points whose exponentials are e1 times those of e2}
const BY_PARTS = {
  sigmoid: {
    factor: -1,
    activations(to, at, e1, e2) { for (let i = 0; i < 256; i++) to[at + i] = 1 / (1 + e1 * e2[i]); },
  },
  tanh: {
    factor: -2,
    activations(to, at, e1, e2) { for (let i = 0; i < 256; i++) to[at + i] = 2 / (1 + e1 * e2[i]) - 1; },
  },
};

// For each unit [exponentials of x1's part, of x2's]; null where a product of them could be 0 * Infinity.
function exponentials({ w, b }, factor) {
  const of = (weight, bias) => Float64Array.from({ length: 256 }, (_, c) => (
    Math.exp(factor * (weight * (c / 255) + bias))));
  const parts = w.map(([w1, w2], u) => [of(w1, b[u]), of(w2, 0)]);
  return parts.flat().every((part) => part.every((e) => e > 1e-150 && e < 1e150)) ? parts : null;
}

// A net of 2 inputs and one sigmoid output.
// layers : [{w, b}, ...] plain arrays, output last; whoever likes writes into them, every method reads them anew.
export class Net {
  constructor(layers, activation) {
    this.layers = layers;
    this.activation = activation;
    this.passes = new Map();
  }

  get hidden() {
    return this.layers.slice(0, -1).map(({ b }) => b.length);
  }

  pass(n) {
    let pass = this.passes.get(n);
    if (!pass) this.passes.set(n, pass = new Pass(this.layers, this.activation, n));
    pass.take(this.layers);
    return pass;
  }

  output(x1, x2) {
    const pass = this.pass(1);
    pass.a[0].set([x1, x2]);
    return pass.forward()[0];
  }

  // Outputs Float64Array (n) of points x, Float64Array (2n): x1, x2, x1, x2, ...
  outputs(x) {
    const n = x.length / 2, made = new Float64Array(n);
    for (let start = 0; start < n; start += 256) {              // what stays in the processor's cache
      const count = Math.min(256, n - start), pass = this.pass(count), to = pass.a[0];
      for (let i = 0; i < count; i++) {
        to[i] = x[2 * (start + i)];
        to[count + i] = x[2 * (start + i) + 1];
      }
      made.set(pass.forward(), start);
    }
    return made;
  }

  // Outputs of the 65,536 inputs that int8 codes can tell apart, (code + 128) / 255, in the codes' order: x1 slow.
  everyOutput(into = new Float64Array(65536)) {
    const pass = this.pass(256), [x, first] = pass.a, way = this.layers.length > 1 && BY_PARTS[this.activation];
    const parts = way ? exponentials(this.layers[0], way.factor) : null;
    for (let c = 0; c < 256; c++) x[256 + c] = c / 255;
    for (let c = 0; c < 256; c++) {
      x.fill(c / 255, 0, 256);
      parts?.forEach(([ofX1, ofX2], u) => way.activations(first, 256 * u, ofX1[c], ofX2));
      into.set(pass.forward(parts ? 1 : 0), 256 * c);
    }
    return into;
  }

  // Outputs on side x side points of the unit square as a picture has them: row 0 is x2 = 0, x1 goes along the row.
  surface(side, into = new Float32Array(side * side)) {
    this.rows(side, (pass, row) => into.set(pass.a[this.layers.length], row * side));
    return into;
  }

  // [[Float32Array of a unit's activations, laid out like surface(), ...] for each hidden layer].
  unitSurfaces(side) {
    const made = this.hidden.map((units) => Array.from({ length: units }, () => new Float32Array(side * side)));
    this.rows(side, (pass, row) => made.forEach((units, l) => units.forEach((unit, u) => {
      unit.set(pass.a[l + 1].subarray(u * side, (u + 1) * side), row * side);
    })));
    return made;
  }

  rows(side, take) {
    const pass = this.pass(side), [x] = pass.a;
    for (let i = 0; i < side; i++) x[i] = i / (side - 1);
    for (let row = 0; row < side; row++) {
      x.fill(row / (side - 1), side);
      pass.forward();
      take(pass, row);
    }
  }
}

// Mean loss of outputs p against labels y, as PyTorch has it: a logarithm is never below -100.
export function meanLoss(loss, p, y) {
  const log = (x) => Math.max(Math.log(x), -100);
  let sum = 0;
  for (let i = 0; i < y.length; i++) {
    sum += loss === "bce" ? -(y[i] * log(p[i]) + (1 - y[i]) * log(1 - p[i])) : (p[i] - y[i]) ** 2;
  }
  return sum / y.length;
}

// Steps as torch.optim takes them: change theta by its gradient g. s.one, s.two : what is remembered of each weight.
// decay : weight_decay, which adds to the gradient, but in AdamW shrinks the weights themselves.
const OPTIMIZER_STEPS = {
  sgd(theta, g, s, rate, decay) {
    for (let i = 0; i < g.length; i++) theta[i] -= rate * (g[i] + decay * theta[i]);
  },
  momentum(theta, g, s, rate, decay) {
    for (let i = 0; i < g.length; i++) {
      s.one[i] = 0.9 * s.one[i] + (g[i] + decay * theta[i]);
      theta[i] -= rate * s.one[i];
    }
  },
  rmsprop(theta, g, s, rate, decay) {
    for (let i = 0; i < g.length; i++) {
      const slope = g[i] + decay * theta[i];
      s.two[i] = 0.99 * s.two[i] + 0.01 * slope * slope;
      theta[i] -= rate * slope / (Math.sqrt(s.two[i]) + 1e-8);
    }
  },
  adam(theta, g, s, rate, decay) {
    const first = 1 - 0.9 ** s.steps, second = Math.sqrt(1 - 0.999 ** s.steps);
    for (let i = 0; i < g.length; i++) {
      const slope = g[i] + decay * theta[i];
      s.one[i] += 0.1 * (slope - s.one[i]);
      s.two[i] = 0.999 * s.two[i] + 0.001 * slope * slope;
      theta[i] -= rate / first * s.one[i] / (Math.sqrt(s.two[i]) / second + 1e-8);
    }
  },
  adamw(theta, g, s, rate, decay) {
    for (let i = 0; i < g.length; i++) theta[i] *= 1 - rate * decay;
    OPTIMIZER_STEPS.adam(theta, g, s, rate, 0);
  },
};

export const OPTIMIZER_NAMES = Object.keys(OPTIMIZER_STEPS);

function allFinite(numbers) {
  for (let i = 0; i < numbers.length; i++) if (!Number.isFinite(numbers[i])) return false;
  return true;
}

// Training of a Net in place. x : Float64Array (2n).  y : (n) of 0 and 1.
// settings : {optimizer, rate, loss, batch (0: all points a step), weight_decay, seed}; all but the seed, which orders
// the mini-batches as training.fit does, may be changed between epochs. What an optimizer remembers of each weight
// stays; a new Trainer starts it at 0.
// count : epochs done.  failed : null, or a sentence once a step was refused; the weights are those before that step.
export class Trainer {
  constructor(net, settings, x, y) {
    Object.assign(this, { net, x, y, count: 0, failed: null });
    this.settings = { batch: 0, weight_decay: 0, seed: 0, ...settings };
    this.twister = new Twister(this.settings.seed);
    this.passes = new Map();                            // {points of a batch: Pass}, all on one theta
    const size = net.layers.reduce((sum, { w }) => sum + w.length * (w[0].length + 1), 0);
    this.theta = new Float64Array(size);
    this.gradient = new Float64Array(size);
    this.before = new Float64Array(size);
    this.memory = { one: new Float64Array(size), two: new Float64Array(size), steps: 0 };
    if (!y.length) this.failed = "There are no points to train on; add some.";
  }

  epoch() {
    return this.run(1);
  }

  // Train for n epochs, or until a step fails; return the epochs done.
  run(n) {
    if (this.failed) return 0;
    const ends = this.passOf(this.y.length);
    ends.take(this.net.layers);
    let done = 0;
    while (done < n && this.oneEpoch()) done++;
    ends.give(this.net.layers);
    return done;
  }

  passOf(n) {
    if (!this.passes.has(n)) {
      const pass = new Pass(this.net.layers, this.net.activation, n);
      pass.theta = this.theta;
      pass.y = new Float64Array(n);
      this.passes.set(n, pass);
    }
    return this.passes.get(n);
  }

  oneEpoch() {
    const n = this.y.length, { batch } = this.settings, size = batch && batch < n ? batch : n;
    const order = size < n ? this.twister.order(n) : null;
    for (let start = 0; start < n; start += size) {
      if (!this.step(order, start, Math.min(size, n - start))) return false;
    }
    this.count++;
    return true;
  }

  step(order, start, n) {
    const pass = this.passOf(n), [to] = pass.a, { x, y, theta, gradient, memory, settings } = this;
    if (order || !pass.held) {                          // all points in one batch stay where they are
      for (let i = 0; i < n; i++) {
        const from = order ? order[start + i] : i;
        to[i] = x[2 * from];
        to[n + i] = x[2 * from + 1];
        pass.y[i] = y[from];
      }
      pass.held = !order;
    }
    pass.forward();
    pass.backward(settings.loss, pass.y, gradient);
    this.before.set(theta);
    memory.steps++;
    OPTIMIZER_STEPS[settings.optimizer](theta, gradient, memory, settings.rate, settings.weight_decay);
    if (allFinite(theta)) return true;
    theta.set(this.before);
    this.failed = `In epoch ${this.count + 1} a step made a weight infinite or NaN (not a number); the weights shown `
      + `are those before it. Reset, and take a lower rate than ${settings.rate}.`;
    return false;
  }

  // The mean loss of the net as it is on points x (2n) with labels y (n).
  loss(x, y) {
    return meanLoss(this.settings.loss, this.net.outputs(x), y);
  }
}
