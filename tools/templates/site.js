// The pages' own script: light or dark, search, copying code, where one is on the page. Pages can be read without it.
"use strict";

const root = document.documentElement;
const remembered = {
  get() { try { return localStorage.getItem("xorlab-side"); } catch { return null; } },
  set(side) { try { localStorage.setItem("xorlab-side", side); } catch { /* kept for this page only */ } },
};
if (remembered.get()) root.dataset.side = remembered.get();     // before anything is painted

function make(name, attributes, text = "") {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

function sideNow() {
  return root.dataset.side || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

function addSwitch(bar) {
  const button = make("button", { type: "button", class: "side" });
  const name = () => { button.textContent = sideNow() === "dark" ? "Light" : "Dark"; };
  button.addEventListener("click", () => {
    root.dataset.side = sideNow() === "dark" ? "light" : "dark";
    remembered.set(root.dataset.side);
    name();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();
  bar.append(button);
}

// Search: every word must begin a word of a section; headings weigh more than text.
function find(query) {
  const words = query.toLowerCase().match(/[\p{L}\p{N}]+/gu) || [];
  if (!words.length) return [];
  const begins = words.map(word => new RegExp(`(?<![\\p{L}\\p{N}])${word}`, "iu"));
  const times = (text, pattern) => text.split(pattern).length - 1;
  return SECTIONS.map(section => {
    const [, title, , heading, text] = section;
    const score = begins.map(pattern =>
      20 * times(heading, pattern) + 8 * times(title, pattern) + Math.min(times(text, pattern), 6));
    return { section, score: score.every(Boolean) ? score.reduce((a, b) => a + b) : 0, first: begins[0] };
  }).filter(found => found.score).sort((a, b) => b.score - a.score).slice(0, 12);
}

function excerpt(text, pattern) {
  const at = Math.max(0, text.search(pattern)), from = Math.max(0, text.lastIndexOf(" ", at - 50) + 1);
  const piece = text.slice(from, from + 150), here = piece.search(pattern), small = make("small", {});
  const length = here < 0 ? 0 : piece.slice(here).match(/^[\p{L}\p{N}]+/u)[0].length;
  small.append((from ? "… " : "") + piece.slice(0, Math.max(here, 0)));
  if (length) small.append(make("mark", {}, piece.slice(here, here + length)));
  small.append(piece.slice(Math.max(here, 0) + length) + " …");
  return small;
}

function addSearch(bar) {
  const form = make("form", { role: "search", class: "search" });
  const input = make("input", { type: "search", "aria-label": "Search all lessons", placeholder: "Search",
                                autocomplete: "off", spellcheck: "false" });
  const results = make("div", { class: "results", role: "region", "aria-label": "Results", "aria-live": "polite",
                                hidden: "" });
  let loading;
  // a script and not a request, so that it also works from a folder on a stick
  const load = () => loading ||= new Promise(done => {
    const script = make("script", { src: "search.js" });
    script.addEventListener("load", done);
    document.head.append(script);
  });
  const show = async () => {
    await load();
    const found = find(input.value);
    results.replaceChildren();
    results.hidden = !input.value.trim();
    if (!found.length) return results.append(make("p", {}, "No section has all these words."));
    const list = make("ol", {});
    for (const { section: [file, title, anchor, heading, text], first } of found) {
      const link = make("a", { href: anchor ? `${file}#${anchor}` : file });
      link.append(make("strong", {}, heading), make("small", {}, title), excerpt(text, first));
      const item = make("li", {});
      item.append(link);
      list.append(item);
    }
    results.append(list);
  };
  const close = () => { results.hidden = true; };
  input.addEventListener("focus", load);
  input.addEventListener("input", show);
  form.addEventListener("submit", event => { event.preventDefault(); results.querySelector("a")?.click(); });
  document.addEventListener("keydown", event => {
    if (event.key === "Escape") { close(); document.querySelector(".menu")?.removeAttribute("open"); }
    if (event.key === "/" && !event.target.closest("input, textarea")) { event.preventDefault(); input.focus(); }
  });
  document.addEventListener("click", event => {
    if (!event.target.closest(".results, .search")) close();
    if (!event.target.closest(".menu")) document.querySelector(".menu")?.removeAttribute("open");
  });
  results.addEventListener("click", event => { if (event.target.closest("a")) close(); });
  form.append(input);
  bar.append(form, results);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea", {}, text);        // where the clipboard is closed to pages from a file
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

function addCopyButtons() {
  for (const pre of document.querySelectorAll(".highlight pre, .text pre")) {
    const button = make("button", { type: "button", class: "copy" }, "Copy");
    button.addEventListener("click", async () => {
      await copy(pre.textContent.trimEnd() + "\n");
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    const box = make("div", { class: "boxed" });
    pre.replaceWith(box);
    box.append(pre, button);
  }
}

// What scrolls sideways must be reached by keys too.
function letKeysScroll() {
  for (const box of document.querySelectorAll("pre, .scroll, mjx-container[display]")) {
    const scrolls = box.scrollWidth > box.clientWidth;
    scrolls ? box.setAttribute("tabindex", "0") : box.removeAttribute("tabindex");
  }
}

function followHeadings() {
  const links = [...document.querySelectorAll(".contents a")];
  const headings = links.map(link => document.getElementById(decodeURIComponent(link.hash.slice(1))));
  const here = () => {
    const passed = headings.filter(heading => heading && heading.getBoundingClientRect().top < 120).length;
    links.forEach((link, i) => i === passed - 1 ? link.setAttribute("aria-current", "true")
                                                : link.removeAttribute("aria-current"));
  };
  addEventListener("scroll", here, { passive: true });
  here();
}

addEventListener("DOMContentLoaded", () => {
  const bar = document.querySelector(".bar"), contents = document.querySelector(".contents details");
  addSearch(bar);
  addSwitch(bar);
  addCopyButtons();
  followHeadings();
  if (contents && matchMedia("(min-width: 78rem)").matches) contents.open = true;
});
addEventListener("load", async () => {
  await window.MathJax?.startup?.promise;
  letKeysScroll();
  addEventListener("resize", letKeysScroll);
});
