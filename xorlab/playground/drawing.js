// Pictures of a bench: maps of all 65,536 inputs with their lens, the network with its numbers, the loss curve.
import { classOf } from "./int8.js";
import { classOfFloat } from "./bench.js";
import { count, decade, lossText, shortNumber, signed, weightName } from "./words.js";

const SIDE = 256;               // of a map: one pixel a code
const WINDOW = 32;              // codes that the lens shows, 8 pixels each
const SPARSE = 655;             // 1 % of all inputs: so few get a marker each, a pixel would not be seen
const OTHER_CLASS = 0xff1c1c1c;
const LADDER = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1];
const STEPS = [1, 2, 5, 10, 20, 50, 100, 255];

function furnish(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

// Make an element; functions among the attributes listen to the event of that name.
export const make = (tag, attributes = {}, ...children) => furnish(document.createElement(tag), attributes, children);
export const makeSvg = (tag, attributes = {}, ...children) =>
  furnish(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

// Where on an element the pointer is, in the element's own pixels: a slide may be scaled.
export function placeOfPointer(event, element) {
  const { left, top, width, height } = element.getBoundingClientRect();
  return [(event.clientX - left) * element.offsetWidth / width, (event.clientY - top) * element.offsetHeight / height];
}

// Colours as a canvas holds them in memory, red in the lowest byte
const packed = palette => Uint32Array.from(palette, ([r, g, b]) => (255 << 24 | b << 16 | g << 8 | r) >>> 0);
const entry = share => share >= 1 ? 255 : share > 0 ? Math.floor(share * 256) : 0;     // as matplotlib picks them
const reachOf = (most, ladder) => ladder.find(step => step >= most) ?? ladder.at(-1);

// Maps

export class Plane {
  // name : what tests call it.  title : of the panel.  label : words for who does not see it.
  constructor(name, title) {
    this.canvas = make("canvas", { width: SIDE, height: SIDE, tabindex: 0, role: "application",
                                   "data-playground": `map-${name}` });
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.image = this.context.createImageData(SIDE, SIDE);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.marks = makeSvg("svg", { viewBox: `0 0 ${SIDE} ${SIDE}`, "aria-hidden": "true" });
    this.empty = make("p", { class: "empty", hidden: true });
    this.title = make("h3", {}, title);
    this.fact = make("span", { class: "quiet" });
    this.root = make("figure", { class: name }, make("div", { class: "head" }, this.title, this.fact),
                     make("div", { class: "plane" }, this.canvas, this.marks, this.empty));
    this.points = makeSvg("g");
    this.few = makeSvg("g");
    this.halo = makeSvg("rect", { class: "window halo", width: WINDOW, height: WINDOW });
    this.window = makeSvg("rect", { class: "window", width: WINDOW, height: WINDOW });
    this.marks.append(this.few, this.points, this.halo, this.window);
  }

  show() { this.context.putImageData(this.image, 0, 0); }

  // Show a sentence in place of a map.
  say(sentence) {
    this.empty.hidden = !sentence;
    this.empty.textContent = sentence ?? "";
  }

  frame([q1, q2]) {
    for (const rect of [this.halo, this.window]) {
      rect.setAttribute("x", q1 + 128 - WINDOW / 2);
      rect.setAttribute("y", 128 - q2 - WINDOW / 2 - 1);
    }
  }
}

export class Painter {
  // look : palettes of 256 colours, "output" and "difference".
  constructor(look) {
    this.output = packed(look.output);
    this.difference = packed(look.difference);
  }

  outputs(pixels, outputs) {
    this.each(pixels, place => this.output[entry(outputs[place])]);
  }

  codes(pixels, codes) {
    this.each(pixels, place => this.output[codes[place] + 128]);
  }

  // int8 minus float; black where the class is another one. Returns how far the colours reach.
  lost(pixels, outputs, codes, { scale, zero }) {
    let most = 0;
    const gap = place => (codes[place] - zero) * scale - outputs[place];
    for (let place = 0; place < codes.length; place++) most = Math.max(most, Math.abs(gap(place)));
    const reach = reachOf(most, LADDER);
    this.each(pixels, place => classOf(codes[place]) !== classOfFloat(outputs[place]) ? OTHER_CLASS
      : this.difference[entry(0.5 + gap(place) / (2 * reach))]);
    return reach;
  }

  // One rule's codes minus another's. Returns how far the colours reach, in steps of a code.
  differing(pixels, codes, others) {
    let most = 0;
    for (let i = 0; i < codes.length; i++) most = Math.max(most, Math.abs(others[i] - codes[i]));
    const reach = reachOf(most, STEPS);
    this.each(pixels, place => this.difference[entry(0.5 + (others[place] - codes[place]) / (2 * reach))]);
    return reach;
  }

  // A picture's rows come from the top, with x1 along them; numbers come column by column, from the bottom.
  each(pixels, colour) {
    for (let place = 0, x1 = 0; x1 < SIDE; x1++) {
      for (let x2 = 0; x2 < SIDE; x2++) pixels[(SIDE - 1 - x2) * SIDE + x1] = colour(place++);
    }
  }

  // A unit's surface as a small picture; tanh reaches from -1 to 1, a ReLU as far as it does.
  unit(canvas, values, activation) {
    const side = Math.sqrt(values.length), most = values.reduce((a, b) => Math.max(a, b), 0);
    const share = activation === "relu" ? v => most ? 0.5 + v / (2 * most) : 0.5
      : activation === "tanh" ? v => (v + 1) / 2 : v => v;
    const context = canvas.getContext("2d"), image = context.createImageData(side, side);
    const pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < values.length; i++) {
      pixels[(side - 1 - Math.floor(i / side)) * side + i % side] = this.output[entry(share(values[i]))];
    }
    context.putImageData(image, 0, 0);
  }
}

// One small triangle for each input where two rules differ.
export function drawFew(plane, codes, others, differing) {
  const paths = { up: "", down: "" };
  for (let place = 0; differing && differing <= SPARSE && place < codes.length; place++) {
    const gap = others[place] - codes[place];
    if (!gap) continue;
    const x = (place >> 8) + 0.5, y = 255.5 - (place & 255), tip = gap > 0 ? -5 : 5;
    paths[gap > 0 ? "up" : "down"] += `M${x} ${y + tip}l4.5 ${-1.6 * tip}h-9z`;
  }
  plane.few.replaceChildren(...Object.entries(paths).map(([side, d]) => makeSvg("path", { class: `few ${side}`, d })));
}

// Circles for class 0, crosses for class 1, a yellow ground under those that get the wrong class; small where many.
export function drawPoints(plane, verdicts, form) {
  const size = verdicts.length > 12 ? 3 : 6, paths = { wrong: "", crosses: "", zeros: "" };
  const inside = share => Math.min(SIDE - size - 5, Math.max(size + 5, share));
  const round = (x, y, r) => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`;
  for (const { x1, x2, y, training, [form]: right } of verdicts) {
    const r = training ? size : size * 0.7, px = inside(x1 * 255 + 0.5), py = inside(255.5 - x2 * 255);
    if (!right) paths.wrong += round(px, py, size < 6 ? 5.5 : 10.5);
    if (y) paths.crosses += `M${px - r} ${py - r}l${2 * r} ${2 * r}m0 ${-2 * r}l${-2 * r} ${2 * r}`;
    else paths.zeros += round(px, py, r);
  }
  plane.points.setAttribute("class", size < 6 ? "many" : "");
  plane.points.replaceChildren(...["wrong", "crosses halo", "crosses", "zeros"]
    .map(kind => makeSvg("path", { class: kind, d: paths[kind.split(" ")[0]] })));
}

// Eight pixels a code, from the map last pointed at; a dot on each code whose class is another one in int8.
export function drawLens(canvas, plane, bench, [q1, q2]) {
  const context = canvas.getContext("2d"), zoom = SIDE / WINDOW;
  const left = q1 + 128 - WINDOW / 2, top = 128 - q2 - 1 - WINDOW / 2;
  context.imageSmoothingEnabled = false;
  context.clearRect(0, 0, SIDE, SIDE);
  context.drawImage(plane.canvas, left, top, WINDOW, WINDOW, 0, 0, SIDE, SIDE);
  for (let i = 0; bench.int8 && i < WINDOW * WINDOW; i++) {
    const x = left + i % WINDOW, y = SIDE - 1 - top - Math.floor(i / WINDOW);
    if (x < 0 || y < 0 || x >= SIDE || y >= SIDE) continue;
    if (classOf(bench.codes[x * SIDE + y]) === classOfFloat(bench.outputs[x * SIDE + y])) continue;
    for (const [colour, inset] of [["#fff", 1], ["#1c1c1c", 2]]) {
      context.fillStyle = colour;
      const size = zoom - 2 * inset;
      context.fillRect(i % WINDOW * zoom + inset, Math.floor(i / WINDOW) * zoom + inset, size, size);
    }
  }
  context.lineWidth = 2;
  for (const [colour, out] of [["#fff", 2], ["#1c1c1c", 0]]) {
    context.strokeStyle = colour;
    context.strokeRect(SIDE / 2 - out, SIDE / 2 - out, zoom + 2 * out, zoom + 2 * out);
  }
}

// The network

const PILL = { width: 64, height: 18 };
const MANY = 16;                // numbers that never fit into one gap
const ENOUGH = 16;              // pixels between two numbers; more is no better
const THUMB = 48;               // values along a side of a unit's picture
// Where on an edge, of its length, a number may stand; the best place first
const SHARES = Array.from({ length: 28 }, (_, i) => 0.7 + (i % 2 ? -1 : 1) * Math.ceil(i / 2) * 0.02)
  .concat(Array.from({ length: 9 }, (_, i) => 0.4 - 0.02 * i)).filter(share => share < 0.8);

export class NetDrawing {
  // hooks : {edit(layer, unit, input, value), editable() -> null or a sentence why not, codes() -> bool, typed(error)}
  constructor(hooks) {
    this.hooks = hooks;
    this.inner = make("div", { class: "inner" });
    this.root = make("div", { class: "drawing" }, this.inner);
    this.chosen = [];           // the unit of each layer whose weights are written, where not all have room
  }

  // Place everything anew: after a change of the layers or of the room.
  lay(bench, width, height) {
    this.bench = bench;
    const sizes = [2, ...bench.layers.map(({ b }) => b.length)];
    this.width = Math.max(width, 120 + 104 * (sizes.length - 1));
    this.height = height;
    this.size = Math.max(24, Math.min(76, height / Math.max(...sizes.slice(1)) - 27, this.width / sizes.length - 52));
    this.spacious = this.size >= 40 && sizes.length < 4;        // room for the word "bias"
    this.columns = sizes.map((units, column) => this.column(column, units, sizes.length));
    this.inner.style.cssText = `width: ${this.width}px; height: ${height}px`;
    this.svg = makeSvg("svg", { width: this.width, height, "aria-hidden": "true" });
    this.inner.replaceChildren(this.svg);
    this.places = bench.layers.map((_, layer) => this.placesFor(layer, null));     // null where not all have room
    this.drawEntries();
    if (bench.layers.some((_, layer) => this.crowded(layer))) this.drawHint();
    this.units = bench.layers.map((_, layer) => this.columns[layer + 1]
      .map((place, unit) => this.makeUnit(place, layer, unit)));
    this.edges = bench.layers.map((_, layer) => this.layGap(layer));
    this.numbers = [...this.edges.flat().filter(edge => edge.number).map(edge => edge.number), ...this.makeBiases()];
    this.update();
  }

  column(column, units, columns) {
    const first = 32, last = this.width - 46, x = first + (last - first) * column / (columns - 1);
    const size = column === 0 ? 52 : column === columns - 1 ? Math.min(84, this.width / columns - 50) : this.size;
    const room = this.height / units, crowd = column === 0 ? Math.min(room, 132) : room;
    return Array.from({ length: units }, (_, i) => ({ x, size, y: this.height / 2 + (i - (units - 1) / 2) * crowd
                                                      - (column ? 10 : 0) }));
  }

  drawEntries() {
    this.columns[0].forEach(({ x, y }, i) => this.svg.append(
      makeSvg("circle", { class: "entry", cx: x, cy: y, r: 26 }),
      makeSvg("text", { class: "name", x, y: y + 5 }, `x${"₁₂"[i]}`)));
    const { x, y, size } = this.columns.at(-1)[0];
    this.svg.append(makeSvg("text", { class: "name", x, y: y - size / 2 - 9 }, "output"));
  }

  drawHint() {
    ["press a unit:", "its weights"].forEach((words, i) =>
      this.svg.append(makeSvg("text", { x: 2, y: this.height - 24 + 18 * i }, words)));
  }

  makeUnit({ x, y, size }, layer, unit) {
    const last = layer === this.bench.layers.length - 1;
    const canvas = make("canvas", { width: last ? SIDE : THUMB, height: last ? SIDE : THUMB, role: "img",
                                    "data-playground": last ? "unit-output" : `unit-${layer}-${unit}` });
    const style = `left: ${x}px; top: ${y}px; width: ${size}px; height: ${size}px`;
    const root = this.crowded(layer)
      ? make("button", { class: "unit", style, type: "button", click: () => this.choose(layer, unit) }, canvas)
      : make("div", { class: "unit", style }, canvas);
    this.inner.append(root);
    return { root, canvas };
  }

  // Whether a choice has to be made among a layer's units
  crowded(layer) { return this.columns[layer + 1].length > 1 && this.places[layer] === null; }

  choose(layer, unit) {
    this.chosen[layer] = unit;
    this.lay(this.bench, this.width, this.height);
    this.units[layer][unit].root.focus();
  }

  // Make the edges into one layer: all with their numbers, or those into the chosen unit.
  layGap(layer) {
    const all = this.places[layer], targets = this.columns[layer + 1].length;
    const chosen = all ? null : Math.min(this.chosen[layer] ?? 0, targets - 1);
    const places = all ?? this.placesFor(layer, chosen, true);
    if (!all && targets > 1) this.units[layer].forEach(({ root }, unit) => root.setAttribute("aria-pressed", unit === chosen));
    return this.pairs(layer, null).map(([unit, input]) => {
      const from = this.columns[layer][input], to = this.columns[layer + 1][unit];
      const line = makeSvg("line", { x1: from.x + from.size / 2, y1: from.y, x2: to.x - to.size / 2, y2: to.y });
      this.svg.prepend(line);
      const place = places.get(`${unit} ${input}`);
      const number = place ? this.makeNumber(place, layer, unit, input) : null;
      return { line, layer, unit, input, number, faint: !place };
    });
  }

  isLast(x) { return x + 50 > this.width; }       // at the edge, where a wide number grows inwards

  pairs(layer, only) {
    return this.columns[layer + 1].flatMap((_, unit) => only === null || only === unit
      ? this.columns[layer].map((_, input) => [unit, input]) : []);
  }

  // Find places on the edges where no number covers another one: {"unit input": [x, y]}, or null where there are none.
  placesFor(layer, only, anyway = false) {
    const pairs = this.pairs(layer, only), wide = x => this.spacious ? this.isLast(x) ? 88 : 78 : 46;
    const biases = [...layer ? this.columns[layer] : [], ...this.columns[layer + 1]]
      .map(({ x, y, size }) => ({ x, y: y + size / 2 + 12, width: wide(x), height: 18 }));
    if (only === null && pairs.length > MANY) return null;
    let best = { overlaps: Infinity };
    const attempt = place => {
      const places = pairs.map(place), found = clashes(places, biases), fewer = best.overlaps - found.overlaps;
      if (fewer > 0 || fewer === 0 && found.room > best.room) best = { ...found, places };
    };
    for (const stagger of [0, 0.16, 0.24, 0.32, -0.16, -0.24]) {
      for (const by of stagger ? [0, 1] : [0]) {
        for (const share of SHARES) attempt(pair => this.onEdge(layer, pair, share + stagger * (pair[by] % 2)));
      }
      if (!best.overlaps) break;
    }
    if (best.overlaps && !anyway) return null;
    if (best.overlaps) for (const down of [0, -7, 7, -14, 14]) attempt(pair => this.beside(layer, pair, down));
    return new Map(pairs.map(([unit, input], i) => [`${unit} ${input}`, [best.places[i].x, best.places[i].y]]));
  }

  onEdge(layer, [unit, input], share) {
    const from = this.columns[layer][input], to = this.columns[layer + 1][unit];
    const x1 = from.x + from.size / 2, x2 = to.x - to.size / 2;
    return { x: x1 + (x2 - x1) * share, y: from.y + (to.y - from.y) * share, ...PILL, left: x1, right: x2 };
  }

  // A number's place right of the unit that its edge comes from, where edges have no room for one.
  beside(layer, [, input], down) {
    const { x, y, size } = this.columns[layer][input];
    return { x: x + size / 2 + PILL.width / 2, y: y + down, ...PILL, left: 0, right: this.width };
  }

  makeBiases() {
    return this.bench.layers.flatMap((_, layer) => this.columns[layer + 1].map(({ x, y, size }, unit) =>
      this.makeNumber([x, y + size / 2 + 12], layer, unit, null)));
  }

  makeNumber([x, y], layer, unit, input) {
    const name = input === null ? `b-${layer}-${unit}` : `w-${layer}-${unit}-${input}`;
    const number = { layer, unit, input, what: weightName(layer, unit, input, this.bench.layers) };
    const root = number.root = make("span", {
      class: `number ${input === null ? "bias" : "weight"}`, tabindex: 0, role: "spinbutton", "data-playground": name,
      style: `left: ${x}px; top: ${y}px`, keydown: event => this.byKey(event, number),
      pointerdown: event => this.byPointer(event, number), dblclick: () => this.type(number) });
    if (input === null && this.isLast(x) && this.spacious) root.classList.add("last");
    this.inner.append(root);
    return number;
  }

  valueOf({ layer, unit, input }) {
    const { w, b } = this.bench.layers[layer];
    return input === null ? b[unit] : w[unit][input];
  }

  allowed() {
    const why = this.hooks.editable();
    if (why) this.hooks.complain(new Error(why));
    return !why;
  }

  set(number, value) { this.hooks.edit(number.layer, number.unit, number.input, value, number.what); }

  byKey(event, number) {
    const steps = { ArrowUp: 0.1, ArrowRight: 0.1, ArrowDown: -0.1, ArrowLeft: -0.1, PageUp: 1, PageDown: -1 };
    if (event.key === "Enter" || /^[-−.\d]$/.test(event.key)) {
      event.preventDefault();
      if (this.allowed()) this.type(number, event.key === "Enter" ? "" : event.key);
    } else if (steps[event.key]) {
      event.preventDefault();
      if (this.allowed()) this.move(number, steps[event.key] * (event.shiftKey ? 10 : 1));
    }
  }

  // Twelve digits behind the point: 0.1 + 0.2 is to be 0.3 for who presses a key.
  move(number, by, from = this.valueOf(number)) { this.set(number, Number((from + by).toFixed(12))); }

  byPointer(event, number) {
    if (event.button || !this.allowed()) return;
    const start = event.clientY, from = this.valueOf(number), { root } = number;
    const scale = root.offsetHeight / root.getBoundingClientRect().height;
    const drag = moved => this.move(number, Math.round((start - moved.clientY) * scale) * (moved.shiftKey ? 0.2 : 0.02),
                                    from);
    root.setPointerCapture(event.pointerId);
    root.addEventListener("pointermove", drag);
    root.addEventListener("lostpointercapture", () => root.removeEventListener("pointermove", drag), { once: true });
  }

  // Put a field in a number's place; Enter takes what it holds, Escape leaves things as they were.
  type(number, begun = "") {
    if (!this.allowed()) return;
    const field = make("input", { class: "typing", "aria-label": number.what, style: number.root.style.cssText,
                                  inputmode: "decimal", "data-playground": "typing" });
    field.value = begun || String(this.valueOf(number));
    let open = true;
    const close = take => {
      if (!open) return;
      open = false;
      const text = field.value, { activeElement } = field.getRootNode();       // a page may keep us in a shadow tree
      const focused = activeElement === field;
      field.remove();
      if (focused) number.root.focus();
      if (take) this.hooks.typed(text, number.what, value => this.set(number, value));
    };
    field.addEventListener("keydown", ({ key }) => (key === "Enter" || key === "Escape") && close(key === "Enter"));
    field.addEventListener("blur", () => close(true));
    this.inner.append(field);
    field.focus();
    if (!begun) field.select();
  }

  // Write every number and colour every edge as the bench has them now.
  update() {
    const codes = this.hooks.codes() ? this.bench.int8 : null, most = this.edges.flat()
      .reduce((top, edge) => Math.max(top, Math.abs(this.valueOf(edge))), 1e-9);
    for (const edge of this.edges.flat()) {
      const value = this.valueOf(edge), width = 1.5 + 9 * Math.abs(value) / most;
      edge.line.setAttribute("class", `edge ${value < 0 ? "zero" : "one"}`);
      edge.line.setAttribute("stroke-width", Number.isFinite(width) ? edge.faint ? width / 3 : width : 1.5);
    }
    for (const number of this.numbers) this.write(number, codes);
  }

  write(number, int8) {
    const value = this.valueOf(number), code = int8 ? codeAt(int8, number) : null, { root, what } = number;
    const bias = number.input === null && this.spacious ? "bias " : "";
    root.textContent = bias + (code === null ? shortNumber(value) : signed(count(code)));
    if (number.input === null) root.classList.toggle("bare", !bias);
    else root.className = `number weight ${value < 0 ? "zero" : "one"}`;
    root.title = code === null ? `${what}: ${signed(value)}` : `${what}: code ${signed(code)} for ${signed(value)}`;
    root.ariaLabel = what;
    root.ariaValueNow = code ?? value;
    root.ariaValueText = code === null ? shortNumber(value) : `code ${code}`;
    root.ariaReadOnly = this.hooks.editable() !== null;
  }

  // Draw each unit's surface; the output's is the map itself, made small.
  drawUnits(painter, map) {
    const { layers, settings, net } = this.bench;
    net.unitSurfaces(THUMB).forEach((units, layer) => units.forEach((values, unit) => {
      const { canvas, root } = this.units[layer][unit];
      painter.unit(canvas, values, settings.activation);
      const dead = settings.activation === "relu" && values.every(value => value === 0);
      const what = `unit ${unit + 1}${layers.length > 2 ? ` of layer ${layer + 1}` : ""}`;
      canvas.setAttribute("aria-label", dead ? `${what} is dead: 0 for every input` : `surface of ${what}`);
      root.dataset.dead = !dead ? "" : this.size < 44 ? "0" : "dead";
    }));
    const { canvas } = this.units.at(-1)[0];
    canvas.getContext("2d").drawImage(map, 0, 0, canvas.width, canvas.height);
    canvas.setAttribute("aria-label", "surface of the output");
  }
}

// How many pairs of boxes cover each other, or leave their gap; and how much room is between the nearest two.
function clashes(boxes, taken) {
  let overlaps = 0, room = ENOUGH;
  boxes.forEach((box, i) => {
    overlaps += box.x - box.width / 2 < box.left - 2 || box.x + box.width / 2 > box.right + 2;
    for (const other of [...boxes.slice(i + 1), ...taken]) {
      if (Math.abs(box.x - other.x) * 2 >= box.width + other.width) continue;
      const between = Math.abs(box.y - other.y) - (box.height + other.height) / 2;
      overlaps += between < 0;
      room = Math.min(room, between);
    }
  });
  return { overlaps, room };
}

function codeAt(int8, { layer, unit, input }) {
  const { weights, biases } = int8.layers[layer];
  return input === null ? biases[unit] : weights[unit][input];
}

// The loss curve

export class Curve {
  constructor() { this.root = make("div", { class: "curve" }); }

  // Draw both losses against the epoch, both logarithmic; the dashed line is where this series calls a start solved.
  draw(bench, width, height) {
    const left = 52, right = width - 14, top = 10, bottom = height - 24, rows = bench.history;
    if (!rows.length || width < 100) return;
    const values = rows.flatMap(({ train, valid }) => [train, valid]).filter(value => value > 0 && value < Infinity);
    const high = Math.max(0, Math.ceil(Math.log10(Math.max(...values, 1e-12)))), low = Math.min(-2,
      Math.floor(Math.log10(Math.min(...values, 1))));
    const last = Math.max(2, Math.ceil(Math.log10(Math.max(1, rows.at(-1).epoch)) - 1e-9));
    const x = epoch => left + (right - left) * Math.log10(Math.max(1, epoch)) / last;
    const y = loss => bottom - (bottom - top) * (Math.log10(Math.max(loss, 10 ** low)) - low) / (high - low);
    const svg = makeSvg("svg", { width, height, role: "img",
                                 "aria-label": `loss ${lossText(bench.loss)} at epoch ${bench.epoch}` });
    this.drawGrid(svg, { x, y, left, right, bottom, low, high, last, room: bottom - top });
    if (bench.settings.loss === "mse" && bench.ofCorners) {
      svg.append(makeSvg("line", { class: "solved", x1: left, x2: right, y1: y(0.01), y2: y(0.01) }),
                 makeSvg("text", { x: left + 6, y: y(0.01) + (low < -2 ? 17 : -6) }, "below: solved"));
    }
    const drawn = rows.at(-1).valid === null ? ["train"] : ["train", "valid"];
    const ends = drawn.map(key => this.drawLine(svg, rows, key, x, y));
    if (ends.length > 1) this.nameEnds(svg, ends, top + 12, bottom - 6);
    this.root.replaceChildren(svg);
  }

  drawGrid(svg, { x, y, left, right, bottom, low, high, last, room }) {
    const every = Math.ceil((high - low) * 22 / room), apart = Math.ceil(last * 80 / (right - left));
    for (let n = high; n >= low; n -= every) {
      svg.append(makeSvg("line", { class: "grid", x1: left, x2: right, y1: y(10 ** n), y2: y(10 ** n) }),
                 makeSvg("text", { x: left - 7, y: y(10 ** n) + 5, "text-anchor": "end" }, decade(n)));
    }
    for (let n = 0; n <= last; n += apart) {
      const anchor = n === last ? "end" : "middle";
      svg.append(makeSvg("text", { x: x(10 ** n), y: bottom + 20, "text-anchor": anchor }, decade(n)));
    }
  }

  // Draw one curve with a dot at its end; return where that is.
  drawLine(svg, rows, key, x, y) {
    const places = rows.filter(row => Number.isFinite(row[key])).map(row => [x(row.epoch), y(row[key])]);
    const end = places.at(-1) ?? [x(1), y(1)], round = place => place.map(value => value.toFixed(1)).join(" ");
    svg.append(makeSvg("path", { class: key, d: places.length ? `M${places.map(round).join("L")}` : "" }));
    if (places.length) svg.append(makeSvg("circle", { cx: end[0], cy: end[1], r: 6 }));
    return end;
  }

  // Write the names of both curves beside their ends, the upper one's above and the lower one's below.
  nameEnds(svg, [train, valid], top, bottom) {
    const names = train[1] < valid[1] ? ["training", "validation"] : ["validation", "training"];
    const low = Math.max(train[1], valid[1]);
    const y1 = Math.max(top, Math.min(train[1], valid[1]) - 11), y2 = Math.min(bottom, low + 22);
    [Math.min(y1, y2 - 18), Math.max(y2, y1 + 18)].forEach((y, i) =>
      svg.append(makeSvg("text", { class: "end", x: train[0] + 4, y, "text-anchor": "end" }, names[i])));
  }
}
