// Brings a page's playgrounds to life. Each stands in a shadow tree, where the page's style sheet does not reach it,
// with a stand-in for JupyterLab's model; until it runs, on paper, and where scripts do not run, its picture shows.
"use strict";

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

// A playground that cannot be seen, on another slide or far up the page, would only warm the room.
const unseen = new IntersectionObserver(entries => {
  for (const { target, isIntersecting } of entries) {
    const state = target.el.playground?.state();
    if (!isIntersecting && state?.playing) target.model.set("state", { ...state, playing: false });
  }
});

function revive(place, render) {
  const el = document.createElement("div");
  const host = place.querySelector(".live");
  const shadow = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  shadow.replaceChildren(el);
  const { state, shape, address } = JSON.parse(place.querySelector("script").textContent);
  const model = modelOf({ state, shape, address, kernel: false });
  render({ model, el });
  place.classList.add("runs");
  Object.assign(host, { el, model });
  unseen.observe(host);
}

const source = document.getElementById("playground-module").textContent;
const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
import(url).then(module => {
  for (const place of document.querySelectorAll(".playground")) revive(place, module.default.render);
});
