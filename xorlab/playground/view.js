// What is seen and touched: `render`, as anywidget asks, on a page, on a slide and in JupyterLab.
import { quantize, classOf } from "./int8.js";
import { complete, readCsv } from "./points.js";
import { asC, asJson, asPython } from "./away.js";
import { Bench, classOfFloat, codeOf, coordinateOf, placeOf } from "./bench.js";
import { Curve, NetDrawing, Painter, Plane, drawFew, drawLens, drawPoints, make, placeOfPointer } from "./drawing.js";
import { Controls } from "./controls.js";
import { RULE_NAMES, asSentence, count, inWords, lossText, rightWords, signed, typedNumber } from "./words.js";
import { styleSheet } from "./style.js";

const TRAINING_MS = 7;          // of a frame's 16.7
const DRAWING_MS = 7;
const PUBLISH_MS = 500;         // twice a second while it plays
const SAY_MS = 3000;            // a screen reader needs time to finish
const CALM_MS = 1000;           // between frames where motion is to be reduced
const HASH = "#state=";
const WELCOME = "Press play, or take a step. Change any number, and watch what every input gets, all 65,536 of them.";
const OWN = "Click on the float map to place a point, or on a point to remove it. "
  + "By key: move the lens there, then press 0, 1 or Delete.";
const MARKS = "○ class 0, × class 1, on yellow if wrong.";

const key = (...content) => make("div", { class: "key" }, ...content);

class Playground {
  constructor(model, el) {
    Object.assign(this, { model, el, at: [60, 56], playing: false, problem: null, sent: [] });
    this.small = model.get("shape") === "small";
    this.unhook = [];
    this.bench = this.firstBench();
    this.painter = new Painter(LOOK);
    this.build();
    this.listen();
    this.settled();
    if (this.bench.settings.playing) this.play();
  }

  // The bench of the page's address, else of the model, else of a plain start: what is wrong becomes a sentence.
  firstBench() {
    const sources = [() => this.model.get("address") && readHash(), () => this.model.get("state"), () => ({})];
    for (const source of sources) {
      try {
        const state = source();
        if (state) return new Bench(state);
      } catch (error) {
        this.problem ??= asSentence(error.message);
      }
    }
    return undefined;
  }

  // What there is on the page

  build() {
    const { el, small } = this;
    el.classList.add("xor-playground");
    el.classList.toggle("small", small);
    el.dataset.lmSuppressShortcuts = "true";        // JupyterLab's own, which listen before any element does
    this.controls = new Controls(this, { presets: PRESETS, kernel: Boolean(this.model.get("kernel")), small });
    this.planes = { float: new Plane("float", "float"), int8: new Plane("int8", "int8"),
                    difference: new Plane("difference", "int8\u2009−\u2009float") };
    this.lensOf = this.planes.difference;
    this.nameFacts();
    this.net = new NetDrawing({ edit: (...what) => this.edit(...what), editable: () => this.whyNotEditable(),
      codes: () => this.inCodes, complain: error => this.complain(error), typed: (...what) => this.typed(...what) });
    this.curve = new Curve();
    this.say = make("p", { class: "say", role: "status", "data-playground": "say" });
    this.about = make("p", { class: "about", "data-playground": "about" });
    this.status = make("div", { class: "status" }, this.say, this.about);
    const style = make("style", {}, styleSheet(LOOK));
    el.replaceChildren(style, make("div", { class: "play", role: "group", "aria-label": "XOR playground" },
      this.controls.root, this.netPanel(), ...(small ? [] : [this.lossPanel()]), this.mapsPanel(), this.status));
  }

  nameFacts() {
    const { int8, difference } = this.planes;
    int8.fact.dataset.playground = "corners";
    this.changed = make("span", { "data-playground": "changed" });
    this.differing = make("span", { "data-playground": "differing" });
    difference.fact.append(this.changed, this.differing);
  }

  netPanel() {
    const name = `${this.controls.prefix}form`;
    const chip = (words, codes) => make("label", {}, make("input", { type: "radio", name, checked: !codes,
      "data-playground": `show-${words}`, change: () => this.showCodes(codes) }), make("span", {}, words));
    const chips = make("div", { class: "chips", role: "radiogroup", "aria-label": "numbers of the network" },
                       chip("real", false), chip("codes", true));
    return make("section", { class: "net", "aria-label": "network" }, make("div", { class: "head" },
      make("h3", {}, "network"), key("towards 0", make("i", { class: "bar output" }), "1"), chips), this.net.root);
  }

  lossPanel() {
    this.loss = make("span", { class: "quiet", "data-playground": "loss" });
    return make("section", { class: "loss", "aria-label": "loss" },
                make("div", { class: "head" }, make("h3", {}, "loss"), this.loss), this.curve.root);
  }

  mapsPanel() {
    const { float, int8, difference } = this.planes;
    this.reach = key();
    difference.root.append(this.reach);
    const maps = make("section", { class: "maps", "aria-label": "every input" },
                      float.root, int8.root, difference.root);
    if (this.small) return maps;
    this.lens = make("canvas", { width: 256, height: 256, role: "img", "data-playground": "lens" });
    this.where = make("span", { class: "quiet" });
    this.read = key();
    this.read.dataset.playground = "read";
    maps.append(make("figure", { class: "lens" }, make("div", { class: "head" }, make("h3", {}, "lens"), this.where),
                     make("div", { class: "plane" }, this.lens), this.read));
    return maps;
  }

  // Listeners, and how they go again

  on(target, kind, action, options) {
    target.addEventListener(kind, action, options);
    this.unhook.push(() => target.removeEventListener(kind, action, options));
  }

  listen() {
    const { el, model } = this;
    for (const kind of ["keydown", "keyup", "keypress"]) this.on(el, kind, event => event.stopPropagation());
    for (const plane of Object.values(this.planes)) this.listenTo(plane);
    this.on(el, "dragover", event => { event.preventDefault(); el.classList.add("dropping"); });
    this.on(el, "dragleave", () => el.classList.remove("dropping"));
    this.on(el, "drop", event => this.dropped(event));
    const taken = () => this.takeOver(model.get("state")), answered = (...what) => this.answered(...what);
    model.on("change:state", taken);
    model.on("msg:custom", answered);
    const size = new ResizeObserver(() => this.resize());
    size.observe(this.net.root);
    this.unhook.push(() => { model.off("change:state", taken); model.off("msg:custom", answered); size.disconnect(); });
    if (model.get("address")) this.on(window, "hashchange", () => this.readAddress());
  }

  listenTo(plane) {
    const { canvas } = plane;
    const look = event => {
      const [x, y] = placeOfPointer(event, canvas);
      this.lookAt(plane, [Math.floor(x) - 128, 127 - Math.floor(y)]);
    };
    this.on(canvas, "pointermove", look);
    this.on(canvas, "pointerdown", event => {
      look(event);
      const { next } = this.controls;
      if (plane === this.planes.float && !event.button) this.place(event.shiftKey ? 1 - next : next);
    });
    this.on(canvas, "focus", () => this.lookAt(plane, this.at));
    this.on(canvas, "keydown", event => this.mapKey(event, plane));
  }

  resize() {
    const width = this.net.root.clientWidth;
    if (width && width !== this.laid) this.lay();
  }

  // Place network and curve in the room they have now; heights follow from the layout that the width chose.
  lay() {
    const full = this.el.clientWidth;
    this.laid = this.net.root.clientWidth;
    if (this.laid && !this.opened) this.opened = this.controls.open(full >= 930);
    this.net.lay(this.bench, this.laid || 480, this.small ? 276 : full >= 1200 ? 384 : full >= 930 ? 330 : 350);
    this.drawUnits();
    this.drawCurve();
  }

  // What a person does

  // Do something that may be refused by a sentence; return whether it was done.
  attempt(action) {
    try {
      action();
      this.problem = null;
      return true;
    } catch (error) {
      this.complain(error);
      return false;
    }
  }

  complain(error) {
    this.problem = asSentence(error.message);
    this.speak();
  }

  // Refused or done, every control then shows what is.
  act(action, laying = false) {
    if (!this.attempt(action)) return this.sync();
    if (laying) this.laid = null;
    return this.settled();
  }

  change(partial) {
    this.act(() => this.bench.change(partial), true);
  }

  take(state) { this.act(() => this.bench.take(state), true); }

  preset(name) {
    if (!name) return this.change({ preset: null });
    this.pause();
    return this.take({ ...PRESETS[name].state, preset: name });
  }

  data(name) {
    const data = { ...this.bench.settings.data, name };
    if (name === "own") data.points = this.pointsNow();
    this.change({ data });
  }

  pointsNow() {
    const { x, y } = this.bench.points;
    return Array.from(y, (target, i) => [x[2 * i], x[2 * i + 1], target]);
  }

  points(points) { this.change({ data: { ...this.bench.settings.data, name: "own", points } }); }

  csv(text) { this.attempt(() => { const points = readCsv(text); this.points(points); }); }

  async file(file) { this.csv(await file.text()); }

  dropped(event) {
    event.preventDefault();
    this.el.classList.remove("dropping");
    const file = event.dataTransfer.files[0];
    if (file) this.file(file);
    else this.csv(event.dataTransfer.getData("text/plain"));
  }

  // Put a point of a class where the lens is, or take away the one that is there.
  place(target) {
    const { data } = this.bench.settings;
    if (data.name !== "own") return;
    const near = this.nearest(data.points, 5);
    const rest = data.points.filter((_, i) => i !== near);
    const [x1, x2] = this.at.map(coordinateOf);
    this.points(near === null ? [...rest, [x1, x2, target]] : rest);
  }

  nearest(points, most) {
    const [q1, q2] = this.at, far = ([x1, x2]) => Math.hypot(codeOf(x1) - q1, codeOf(x2) - q2);
    const order = points.map((point, i) => [far(point), i]).filter(([gap]) => gap <= most).sort((a, b) => a[0] - b[0]);
    return order.length ? order[0][1] : null;
  }

  start(start) {
    if (start !== "given") this.change({ start });
    else this.act(() => this.bench.take({ ...this.bench.state, start, weights: this.bench.copy() }));
  }

  newStart() { this.change({ seed: this.bench.settings.seed + 1, start: "seed" }); }

  edit(layer, unit, input, value, what) {
    if (!Number.isFinite(value)) return this.complain(new Error(`The ${what} is not a number; reset, or type one.`));
    this.bench.edit(layer, unit, input, value);
    this.problem = null;
    return this.settled();
  }

  typed(text, what, use) { this.attempt(() => use(typedNumber(text, what))); }

  whyNotEditable() {
    if (this.playing) return "Pause first, then change a number.";
    return this.inCodes ? "Codes follow from the real numbers; show those to change one." : null;
  }

  showCodes(codes) {
    this.inCodes = codes;
    this.net.update();
  }

  mapKey(event, plane) {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (move) {
      event.preventDefault();
      const far = event.shiftKey ? 16 : 1;
      this.lookAt(plane, this.at.map((code, i) => Math.max(-128, Math.min(127, code + far * move[i]))));
      this.later("sayLens", () => this.utter(this.lensWords()), 400);
    } else if ("01".includes(event.key) || ["Enter", "Delete", "Backspace"].includes(event.key)) {
      event.preventDefault();
      this.pointKey(event.key);
    }
  }

  pointKey(key) {
    const { data } = this.bench.settings;
    if (data.name !== "own") return this.complain(new Error('To place points, choose "own points" as data first.'));
    if (key !== "Delete" && key !== "Backspace") return this.place(key === "Enter" ? this.controls.next : Number(key));
    const near = this.nearest(data.points, 12);
    if (near === null) return this.complain(new Error("There is no point within 12 codes of the lens."));
    return this.points(data.points.filter((_, i) => i !== near));
  }

  lookAt(plane, at) {
    Object.assign(this, { at, lensOf: plane });
    this.drawLens();
  }

  // Training

  toggle() { if (this.playing) this.pause(); else this.play(); }

  play() {
    if (this.playing) return;
    if (this.bench.failed) { this.complain(new Error(this.bench.failed)); return; }
    Object.assign(this, { playing: true, problem: null, said: performance.now() });
    this.due = this.parts();
    this.sync();
    this.publish();
    this.nextFrame();
  }

  pause() {
    if (!this.playing) return;
    this.halt();
    this.settled();
  }

  halt() {
    this.playing = false;
    cancelAnimationFrame(this.frameId);
    clearTimeout(this.calmId);
  }

  reset() {
    this.pause();
    this.bench.reset();
    this.problem = null;
    this.settled();
  }

  step(epochs) {
    this.act(() => this.bench.run(epochs));
  }

  nextFrame() {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (calm) this.calmId = setTimeout(() => this.frame(60 * this.controls.speed, 150), CALM_MS);
    else this.frameId = requestAnimationFrame(() => this.frame(this.controls.speed, TRAINING_MS));
  }

  frame(epochs, budget) {
    if (!this.playing) return;
    if (!this.el.isConnected) { this.pause(); return; }
    this.nextFrame();
    if (document.hidden || !this.el.getClientRects().length) return;       // nobody looks
    this.bench.run(epochs, budget);
    if (this.bench.failed) { this.pause(); return; }
    this.drawDue();
    const now = performance.now();
    if (now - this.said > SAY_MS) { this.said = now; this.speak(); }
    if (now - (this.published ?? 0) > PUBLISH_MS) this.publish();
  }

  // What a frame may draw, each at its own pace: [least milliseconds between two, how].
  parts() {
    return [[0, () => this.drawSurface()], [40, () => this.drawUnits()], [90, () => this.drawRounded()],
            [70, () => this.net.update()], [70, () => this.drawCurve()]]
      .map(([every, draw]) => ({ every, draw, last: 0, cost: 1 }));
  }

  // Draw what is due, the most overdue first, as long as the frame has time. What costs much comes seldom.
  drawDue() {
    const begun = performance.now(), wait = part => begun - part.last - Math.max(part.every, 6 * part.cost);
    const due = this.due.filter(part => wait(part) >= 0).sort((a, b) => wait(b) - wait(a));
    this.controls.showEpoch(this.bench.epoch);
    for (const part of due) {
      const start = performance.now();
      if (start > begun && start - begun + part.cost > DRAWING_MS && part !== due[0]) continue;
      part.draw();
      part.last = performance.now();
      part.cost = 0.7 * part.cost + 0.3 * (part.last - start);
    }
  }

  // Drawing

  // Everything, after what a person did.
  settled() {
    this.drawSurface();
    this.drawRounded();
    if (!this.laid) this.lay();
    else { this.net.update(); this.drawUnits(); this.drawCurve(); }
    this.controls.showEpoch(this.bench.epoch);
    this.sync();
    this.speak();
    this.publish();
  }

  sync() { this.controls.sync(this.bench.settings, this.playing); }

  drawSurface() {
    const { bench, planes: { float } } = this;
    bench.answer();
    this.drawnAt = bench.epoch;
    this.painter.outputs(float.pixels, bench.outputs);
    float.show();
  }

  drawRounded() {
    if (this.drawnAt !== this.bench.epoch) this.drawSurface();      // float and int8 of one moment
    const { bench, planes: { float, int8, difference } } = this;
    bench.round();
    this.verdicts = bench.verdicts();
    drawPoints(float, this.verdicts, "float");
    float.fact.textContent = rightWords(bench, this.verdicts, "float");
    for (const plane of [int8, difference]) plane.say(bench.unquantizable && asSentence(bench.unquantizable));
    if (bench.int8) this.drawInt8(int8, difference);
    else this.planes.int8.fact.textContent = this.changed.textContent = this.differing.textContent = "";
    this.describeMaps();
    this.drawLens();
  }

  drawInt8(int8, difference) {
    const { bench, painter } = this, { other } = bench.settings;
    painter.codes(int8.pixels, bench.codes);
    int8.show();
    drawPoints(int8, this.verdicts, "int8");
    int8.fact.textContent = rightWords(bench, this.verdicts, "int8");
    const reach = other ? painter.differing(difference.pixels, bench.codes, bench.otherCodes)
      : painter.lost(difference.pixels, bench.outputs, bench.codes, bench.int8.output);
    difference.show();
    drawFew(difference, bench.codes, bench.otherCodes, other ? bench.differing : 0);
    difference.title.textContent = other ? "two rules" : "int8\u2009−\u2009float";
    this.changed.textContent = `${count(bench.changed)} change class`;
    this.changed.hidden = Boolean(other);
    this.differing.textContent = other ? `${count(bench.differing)} differ` : "";
    this.reach.replaceChildren(`${other ? RULE_NAMES[other] : "lower"} −${reach}`,
                               make("i", { class: "bar difference" }), `+${reach}${other ? "" : " higher"}`);
  }

  describeMaps() {
    const { float, int8, difference } = this.planes, { other, rule } = this.bench.settings;
    const words = [[float, `float outputs of all inputs, ${float.fact.textContent} right`],
                   [int8, `int8 outputs, ${int8.fact.textContent} right`],
                   [difference, other ? `${RULE_NAMES[other]} minus ${RULE_NAMES[rule]}, ${this.differing.textContent}`
                     : `int8 minus float, ${this.changed.textContent}`]];
    for (const [plane, label] of words) plane.canvas.setAttribute("aria-label", `${label}. Arrow keys move the lens.`);
  }

  drawLens() {
    for (const plane of Object.values(this.planes)) plane.frame(this.at);
    if (this.small) return;
    drawLens(this.lens, this.lensOf, this.bench, this.at);
    this.where.textContent = `${this.lensOf.title.textContent} at (${this.at.map(signed).join(", ")})`;
    this.read.textContent = this.lensNumbers();
    this.lens.setAttribute("aria-label", `8 times as large: ${this.lensWords()}`);
  }

  // Of the input in the middle of the lens: "float 0.548, int8 0.484 (−4)", or the codes of two rules.
  lensNumbers() {
    const { bench, at: [q1, q2] } = this, place = placeOf(q1, q2), { rule, other } = bench.settings;
    const float = `float ${bench.outputs[place].toFixed(3)}`;
    if (!bench.int8) return float;
    const code = bench.codes[place], { scale, zero } = bench.int8.output;
    return other ? `${RULE_NAMES[rule]} ${signed(code)}, ${RULE_NAMES[other]} ${signed(bench.otherCodes[place])}`
      : `${float}, int8 ${((code - zero) * scale).toFixed(3)} (${signed(code)})`;
  }

  lensWords() {
    const { bench, at: [q1, q2] } = this, place = placeOf(q1, q2);
    const flips = bench.int8 && classOf(bench.codes[place]) !== classOfFloat(bench.outputs[place]);
    return `at (${signed(q1)}, ${signed(q2)}): ${this.lensNumbers()}${flips ? ", another class in int8" : ""}`;
  }

  drawUnits() { if (this.net.units) this.net.drawUnits(this.painter, this.planes.float.canvas); }

  drawCurve() {
    if (this.small) return;
    const { optimizer } = this.bench.settings;
    this.curve.root.style.setProperty("--pen", `var(--opt-${optimizer})`);
    this.curve.draw(this.bench, this.curve.root.clientWidth, this.el.clientWidth >= 1200 ? 158 : 140);
    this.loss.textContent = lossText(this.bench.loss);
    this.loss.title = String(this.bench.loss);
  }

  speak() {
    const sentence = this.problem ?? inWords(this.bench, this.verdicts);
    this.utter(sentence);
    this.status.classList.toggle("problem", Boolean(this.problem ?? this.bench.failed));
    const preset = PRESETS[this.bench.settings.preset];
    if (preset) this.about.replaceChildren(`${preset.sentence} `, make("b", {}, "Try: "), `${preset.task} `);
    else this.about.replaceChildren(`${this.bench.settings.data.name === "own" ? OWN : WELCOME} `);
    this.about.append(make("span", { class: "quiet" }, MARKS));
  }

  utter(sentence) { if (this.say.textContent !== sentence) this.say.textContent = sentence; }

  later(name, action, wait) {
    clearTimeout(this[name]);
    this[name] = setTimeout(action, wait);
  }

  // The state, to the kernel and to the page's address

  state() { return { ...this.bench.state, playing: this.playing }; }

  publish() {
    const state = this.state();
    this.published = performance.now();
    this.sent = [...this.sent.slice(-7), JSON.stringify(complete(state))];
    this.model.set("state", state);
    this.model.save_changes();
    if (this.model.get("address")) writeHash(state);
  }

  // A state that this page sent a moment ago may come back; it is no news.
  takeOver(given) {
    if (!this.attempt(() => complete(given)) || this.sent.includes(JSON.stringify(complete(given)))) return;
    this.halt();
    this.take(given);
    if (this.bench.settings.playing) this.play();
  }

  readAddress() {
    this.attempt(() => { const state = readHash(); if (state) this.takeOver(state); });
  }

  // What is taken away

  async copy() {
    const text = asPython(this.state()), { copied } = this.controls;
    try {
      await navigator.clipboard.writeText(text);
      this.utter("Copied. Paste it into a cell, or a Python file.");
    } catch {                           // a page may not: then a person copies
      copied.hidden = false;
      copied.value = text;
      copied.focus();
      copied.select();
      this.utter("This page may not copy by itself; press Ctrl+C, or Command+C, on the text below.");
    }
  }

  takeAway(kind) {
    this.attempt(() => {
      const state = this.state(), { bits, per } = state;
      if (kind === "json") this.download("xor.json", asJson(state));
      else if (kind === "c") this.download("xor.c", asC(state, quantize(this.bench.net, { bits, per })));
      else this.ask(kind, state);
    });
  }

  ask(kind, state) {
    this.model.send({ take: kind, state });
    this.utter(`Asked the kernel for .${kind}.`);
  }

  answered(content, buffers = []) {
    if (content?.failed) this.complain(new Error(content.sentence));
    if (!content?.taken) return;
    this.download(content.name, buffers[0]);
    this.utter(content.sentence);
  }

  download(name, content) {
    const url = URL.createObjectURL(new Blob([content])), link = make("a", { href: url, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
    this.utter(`${name} is in your downloads.`);
  }

  stop() {
    this.halt();
    clearTimeout(this.sayLens);
    for (const undo of this.unhook) undo();
  }
}

// A state in a page's address: what differs from the plain start, as JSON.
function writeHash(state) {
  const plain = complete({}), told = Object.fromEntries(Object.entries(state)
    .filter(([key, value]) => key !== "playing" && JSON.stringify(value) !== JSON.stringify(plain[key])));
  history.replaceState(null, "", HASH + encodeURIComponent(JSON.stringify(told)));
}

function readHash() {
  if (location.hash.length < 2) return null;
  try {
    if (!location.hash.startsWith(HASH)) throw new Error("it begins differently");
    return JSON.parse(decodeURIComponent(location.hash.slice(HASH.length)));
  } catch {
    throw new Error("What follows # in the address is no state of a playground; "
      + `it begins with ${HASH} where it is one.`);
  }
}

export default {
  render({ model, el }) {
    const playground = new Playground(model, el);
    el.playground = {
      state: () => playground.state(),
      run: n => { const done = playground.bench.run(n); playground.settled(); return done; },
      codes: () => playground.bench.codes,
      surface: () => playground.bench.outputs,
    };
    return () => playground.stop();
  },
};
