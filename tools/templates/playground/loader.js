// Brings a page's playgrounds to life. Each stands in a shadow tree, where the page's style sheet does not reach it,
// with a stand-in for JupyterLab's model; until it runs, on paper, and where scripts do not run, its picture shows.
"use strict";

// What a page hands down, such as the spacing of its letters, ends here; light or dark goes on. A room reads a slide from
// afar: no letter there is under 17 pixels.
const STYLES = `.boundary { all: initial; display: block; color-scheme: inherit; }
  .xor-playground.small :is(button, label, label > span, h3, svg text, .number, .quiet, .key, .empty, .about,
  .time span) { font-size: 17px; }`;

function modelOf(values) {
  const listeners = new Map();
  const of = name => listeners.get(name) ?? listeners.set(name, new Set()).get(name);
  return {
    get: key => values[key],
    set(key, value) {
      values[key] = value;
      for (const listener of [...of(`change:${key}`)]) listener();
    },
    on: (name, listener) => of(name).add(listener),
    off: (name, listener) => (listener ? of(name).delete(listener) : of(name).clear()),
    save_changes() {},
    send() {},                                          // there is no kernel to hear it
  };
}

function revive(place, render) {
  const [el, boundary, styles] = ["div", "div", "style"].map(name => document.createElement(name));
  boundary.className = "boundary";
  boundary.append(el);
  styles.textContent = STYLES;
  const host = place.querySelector(".live");
  const shadow = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  shadow.replaceChildren(styles, boundary);
  const { state, shape, address } = JSON.parse(place.querySelector("script").textContent);
  place.classList.add("runs");              // first, so that it is laid out in the room it has
  try {
    render({ model: modelOf({ state, shape, address, kernel: false }), el });
  } catch (problem) {
    place.classList.remove("runs");
    throw problem;
  }
}

// The speaker's window shows a deck's slides once more: a playground there would play on its own, another than the
// one the room sees. So there it is its picture.
// A page's text may have an element of any id, so the module is the script before this one.
const own = document.currentScript.previousElementSibling;
if (!new URLSearchParams(location.search).has("receiver")) {
  const source = own.textContent;
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  import(url).then(module => {
    for (const place of document.querySelectorAll(".playground")) revive(place, module.default.render);
  });
}
