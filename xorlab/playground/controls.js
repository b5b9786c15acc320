// The controls of the playground: every key of a state has its labelled field, in groups that open one at a time.
import { RULE_NAMES, count, shortNumber, typedNumber } from "./words.js";
import { make, makeSvg } from "./drawing.js";

const DATA_WORDS = { corners: "four corners", noisy: "noisy XOR", and: "AND", or: "OR", circle: "circle",
                     moons: "two moons", spiral: "two spirals", own: "own points" };
const OPTIMIZER_WORDS = { sgd: "SGD", momentum: "momentum", rmsprop: "RMSprop", adam: "Adam", adamw: "AdamW" };
const ACTIVATION_WORDS = { sigmoid: "sigmoid", tanh: "tanh", relu: "ReLU" };
const LOSS_NAMES = { mse: "squared error", bce: "cross-entropy" };
const START_NAMES = { seed: "by seed", zeros: "all zeros", given: "as given" };
const DRAWN_DATA = ["noisy", "circle", "moons", "spiral"];
const SPEEDS = [1, 5, 20, 100];         // epochs a frame
const STEP_SIZES = [1, 10, 100];
const ICONS = { reset: "M12 4a8 8 0 1 1-7.4 5h2.2a6 6 0 1 0 5.2-3v3l-5-4 5-4z", step: "M4 3h3v18H4zM10 4l11 8-11 8z",
                play: "M6 3l15 9-15 9z", pause: "M5 3h5v18H5zM14 3h5v18h-5z" };
let instances = 0;

const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

export class Controls {
  // desk : does what a person asks for.
  constructor(desk, { presets, kernel, small }) {
    Object.assign(this, { desk, presets, prefix: `xor-${++instances}-`, syncs: [], epochs: 1, speed: 20, next: 1 });
    this.root = make("div", { class: "controls" }, this.buttons(), this.time());
    if (small) return;
    this.root.append(this.stepSizes(), this.preset(), make("div", { class: "groups" },
      this.group("data", state => DATA_WORDS[state.data.name], ...this.dataFields()),
      this.group("network", networkWords, ...this.networkFields()),
      this.group("training", ({ optimizer, rate }) => `${OPTIMIZER_WORDS[optimizer]}, rate ${shortNumber(rate)}`,
                 ...this.trainingFields()),
      this.group("int8", ({ bits, rule }) => `${bits < 8 ? `${bits} bits, ` : ""}${RULE_NAMES[rule]}`,
                 ...this.roundingFields()),
      this.group("take away", () => kernel ? "Python, C, files" : "Python, C", ...this.takeAway(kernel))));
  }

  // Show what a state says, and whether it is playing.
  sync(state, playing) {
    for (const sync of this.syncs) sync(state);
    this.playButton.replaceChildren(...this.face(playing ? "pause" : "play"));
    this.stepButton.disabled = playing;
  }

  // Where there is room one group stands open from the start.
  open(roomy) {
    for (const group of this.root.querySelectorAll('[data-playground="group-training"]')) group.open = roomy;
    return true;
  }

  showEpoch(epoch) { this.epoch.textContent = count(epoch); }

  face(name) {
    return [makeSvg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, makeSvg("path", { d: ICONS[name] })), name];
  }

  button(name, press, ...content) {
    return make("button", { type: "button", "data-playground": name, click: press }, ...content);
  }

  buttons() {
    this.playButton = this.button("play", () => this.desk.toggle());
    this.playButton.classList.add("go");
    this.stepButton = this.button("step", () => this.desk.step(this.epochs), ...this.face("step"));
    return make("div", { class: "buttons" }, this.button("reset", () => this.desk.reset(), ...this.face("reset")),
                this.stepButton, this.playButton);
  }

  time() {
    this.epoch = make("b", { "data-playground": "epoch" }, "0");
    return make("div", { class: "time" }, make("span", {}, this.epoch, " epochs"));
  }

  stepSizes() {
    const name = `${this.prefix}step`;
    const chips = STEP_SIZES.map(size => make("label", {}, make("input", {
      type: "radio", name, value: size, checked: size === 1, "data-playground": `step-${size}`,
      change: () => { this.epochs = size; } }), make("span", {}, count(size))));
    return make("div", { class: "field", role: "radiogroup", "aria-labelledby": `${name}-word` },
                make("span", { id: `${name}-word` }, "step"), make("div", { class: "chips" }, ...chips));
  }

  preset() {
    const names = Object.fromEntries([["", "no preset"], ...Object.keys(this.presets).map(name => [name, name])]);
    return this.choice("preset", "preset", names, state => state.preset ?? "", name => this.desk.preset(name || null));
  }

  group(title, words, ...fields) {
    const now = make("span");
    this.syncs.push(state => { now.textContent = words(state); });
    return make("details", { name: `${this.prefix}group`, "data-playground": `group-${title.replace(" ", "-")}` },
                make("summary", {}, make("b", {}, title), now), make("div", { class: "fields" }, ...fields));
  }

  field(name, label, control, shown = () => true) {
    control.id = this.prefix + name;
    control.dataset.playground = name;
    const root = make("div", { class: "field" }, make("label", { for: control.id }, label), control);
    this.syncs.push(state => { root.hidden = !shown(state); });
    return root;
  }

  // Several fields beside each other under one word; each keeps its own label for who does not see them.
  inOneRow(word, fields, shown) {
    for (const field of fields) field.firstChild.className = "hidden";
    const root = make("div", { class: "field" }, make("span", { "aria-hidden": "true" }, word),
                      make("div", { class: "row" }, ...fields));
    this.syncs.push(state => { root.hidden = !shown(state); });
    return root;
  }

  // options : {value: words}.  read : of a state.  write : what a choice does, given a value.
  choice(name, label, options, read, write, shown) {
    const select = make("select", { change: () => { write(select.value); this.desk.sync(); } },
                        ...Object.entries(options).map(([value, words]) => make("option", { value }, words)));
    this.syncs.push(state => { select.value = String(read(state)); });
    return this.field(name, label, select, shown);
  }

  number(name, label, read, write, shown) {
    const input = make("input", { inputmode: "decimal", autocomplete: "off", change: () => {
      this.desk.attempt(() => write(typedNumber(input.value, label)));
      this.desk.sync();
    } });
    this.syncs.push(state => { input.value = String(read(state)); });
    return this.field(name, label, input, shown);
  }

  key(key) { return [state => state[key], value => this.desk.change({ [key]: value })]; }

  ofData(key) {
    const changed = value => ({ ...this.desk.bench.settings.data, [key]: value });
    return [state => state.data[key], value => this.desk.change({ data: changed(value) })];
  }

  dataFields() {
    const clouds = state => DRAWN_DATA.includes(state.data.name), own = state => state.data.name === "own";
    return [
      this.choice("data", "points", DATA_WORDS, state => state.data.name, name => this.desk.data(name)),
      this.number("noise", "noise", ...this.ofData("noise"), clouds),
      this.number("count", "how many", ...this.ofData("count"), clouds),
      this.number("data-seed", "seed", ...this.ofData("seed"), clouds),
      this.number("validation", "held back", ...this.ofData("validation"), clouds),
      ...this.ownPoints(own),
    ];
  }

  ownPoints(own) {
    const name = `${this.prefix}class`;
    const chip = (value, words) => make("label", {}, make("input", { type: "radio", name, value, checked: value === 1,
      "data-playground": `place-${value}`, change: () => { this.next = value; } }), make("span", {}, words));
    const place = make("div", { class: "field", role: "radiogroup", "aria-label": "class of a new point" },
                       make("span", {}, "click adds"),
                       make("div", { class: "chips" }, chip(0, "○ 0"), chip(1, "× 1")));
    const text = make("textarea", { id: `${this.prefix}csv`, "data-playground": "csv", placeholder: "0.1, 0.9, 1" });
    const csv = make("div", { class: "field long" },
                     make("label", { for: text.id }, "or CSV: x1, x2, label per line"), text);
    const file = make("input", { type: "file", accept: ".csv,.txt,text/csv,text/plain", hidden: true,
                                 "aria-label": "a CSV file",
                                 change: () => file.files[0] && this.desk.file(file.files[0]) });
    const row = make("div", { class: "row" }, this.button("use-csv", () => this.desk.csv(text.value), "use CSV"),
                     this.button("open-csv", () => file.click(), "open file"),
                     this.button("clear", () => this.desk.points([]), "clear"), file);
    const parts = [place, csv, row];
    this.syncs.push(state => parts.forEach(part => { part.hidden = !own(state); }));
    return parts;
  }

  networkFields() {
    const layers = Object.fromEntries(range(0, 3).map(n => [n, n]));
    const units = Object.fromEntries(range(1, 8).map(n => [n, n]));
    const resize = n => [...this.desk.bench.settings.hidden, 3, 3, 3].slice(0, Number(n));
    const unitsOfLayer = layer => this.choice(`units-${layer}`, `units in layer ${layer + 1}`, units,
      state => state.hidden[layer] ?? 1, n => this.desk.change({ hidden: widen(layer, n) }),
      state => state.hidden.length > layer);
    const widen = (layer, n) => this.desk.bench.settings.hidden.map((old, i) => i === layer ? Number(n) : old);
    return [
      this.choice("layers", "hidden layers", layers, state => state.hidden.length,
                  n => this.desk.change({ hidden: resize(n) })),
      this.inOneRow("units", range(0, 2).map(unitsOfLayer), state => state.hidden.length > 0),
      this.choice("activation", "activation", ACTIVATION_WORDS, ...this.key("activation")),
      this.choice("start", "weights", START_NAMES, state => state.start, start => this.desk.start(start)),
      this.number("seed", "seed", ...this.key("seed")),
      this.button("new-start", () => this.desk.newStart(), "new start: the next seed"),
    ];
  }

  trainingFields() {
    const speeds = Object.fromEntries(SPEEDS.map(n => [n, `${n} a frame`]));
    return [
      this.choice("optimizer", "optimizer", OPTIMIZER_WORDS, ...this.key("optimizer")),
      this.number("rate", "rate", ...this.key("rate")),
      this.choice("loss-kind", "loss", LOSS_NAMES, ...this.key("loss")),
      this.number("batch", "batch (0: all)", ...this.key("batch")),
      this.number("weight-decay", "weight decay", ...this.key("weight_decay")),
      this.choice("speed", "speed", speeds, () => this.speed, n => { this.speed = Number(n); }),
    ];
  }

  roundingFields() {
    const bits = Object.fromEntries(range(2, 8).reverse().map(n => [n, n]));
    const write = key => value => this.desk.change({ [key]: value || null });
    return [
      this.choice("rule", "round like", RULE_NAMES, ...this.key("rule")),
      this.choice("other", "against", { "": "float", ...RULE_NAMES }, state => state.other ?? "", write("other")),
      this.choice("bits", "bits", bits, state => state.bits, n => this.desk.change({ bits: Number(n) })),
      this.choice("per", "scale per", { layer: "layer", unit: "unit" }, ...this.key("per")),
    ];
  }

  takeAway(kernel) {
    const ofKernel = kernel ? ["pth", "onnx", "tflite"].map(kind => [`.${kind}`, kind]) : [];
    const files = [["JSON", "json"], ["C", "c"], ...ofKernel];
    const buttons = files.map(([words, kind]) => this.button(`take-${kind}`, () => this.desk.takeAway(kind), words));
    this.copied = make("textarea", { readonly: true, hidden: true, "aria-label": "the text to copy",
                                     "data-playground": "text" });
    return [this.button("copy", () => this.desk.copy(), "copy as Python"),
            make("div", { class: "row", role: "group", "aria-label": "take away as a file" }, ...buttons), this.copied];
  }
}

function networkWords({ hidden, activation }) {
  return hidden.length ? `${hidden.join("-")}, ${ACTIVATION_WORDS[activation]}` : "no hidden layer";
}
