// How the playground looks. The width of what holds it decides its layout: a projector's from 1200 pixels on, a
// notebook's from 930, else one or two columns. One set of variables has the colours of both sides.
const pairs = (prefix, rows) => Object.entries(rows)
  .map(([name, { light, dark }]) => `--${prefix}${name}: light-dark(${light}, ${dark});`).join(" ");

const gradient = palette => `linear-gradient(90deg, ${[0, 42, 85, 127, 170, 212, 255]
  .map(i => `rgb(${palette[i].join(" ")})`).join(", ")})`;

export const styleSheet = look => `
[data-jp-theme-light="true"] .xor-playground { color-scheme: light; }
[data-jp-theme-light="false"] .xor-playground { color-scheme: dark; }
.xor-playground {
  ${pairs("", look.plain)} ${pairs("opt-", look.optimizers)}
  --wash: light-dark(#f4f4f1, #1f242c); --zero: light-dark(#2166ac, #7db4ee); --one: light-dark(#b2182b, #ff8a80);
  --here: light-dark(#1b2e9d, #8c9fff); --on: light-dark(#e4e7fb, #2b3357); --warn: light-dark(#fff3c4, #443c17);
  --attend: ${look.attend};
  container-type: inline-size; background: var(--paper); color: var(--ink); text-align: left;
  font: 16px/1.25 "Helvetica Neue", Helvetica, Arial, "Liberation Sans", "DejaVu Sans", sans-serif;
  & *, & *::before { box-sizing: border-box; }
  & [hidden] { display: none !important; }
  & :focus-visible { outline: 3px solid var(--here); outline-offset: 2px; }
  & p, & h3, & fieldset, & figure { margin: 0; padding: 0; border: 0; color: inherit; font: inherit; min-width: 0; }
  & .hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
    white-space: nowrap; }
  & button, & select, & input, & textarea, & summary { font: inherit; font-size: 15px; color: var(--ink); margin: 0;
    letter-spacing: normal; text-transform: none; }
  & button, & select, & input:not([type=radio]), & textarea { border: 1.5px solid var(--edge); border-radius: 6px;
    background: var(--paper); padding: 3px 7px; min-height: 29px; min-width: 0; }
  & button { cursor: pointer; } & button:hover { border-color: var(--here); }
  & button:disabled { opacity: 0.5; cursor: default; }
  & svg text { fill: var(--quiet); font-family: inherit; font-size: 15px; }
  & svg, & canvas { display: block; }
  --edge: light-dark(#8c8c8c, #737b88);

  & .play { display: grid; gap: 10px 12px; padding: 10px; grid-template-columns: minmax(0, 1fr);
    grid-template-areas: "controls" "status" "net" "maps" "loss"; }
  & .controls { grid-area: controls; min-width: 0; display: flex; flex-direction: column; gap: 10px; }
  & .net { grid-area: net; } & .loss { grid-area: loss; } & .status { grid-area: status; }
  & .maps { grid-area: maps; display: grid; gap: 8px 12px; justify-content: center;
    grid-template-columns: repeat(auto-fit, 256px); }

  & .buttons { display: grid; grid-template-columns: repeat(3, 1fr); gap: 8px; max-width: 420px; }
  & .buttons button { display: grid; justify-items: center; gap: 4px; border-radius: 8px; padding: 8px 0 6px; }
  & .buttons svg { width: 24px; height: 22px; fill: currentColor; }
  & .buttons .go { background: var(--here); border-color: var(--here); color: var(--paper); font-weight: 700; }
  & .time { display: flex; flex-wrap: wrap; justify-content: space-between; align-items: baseline; gap: 2px 10px;
    color: var(--quiet); }
  & .time b { font-size: 32px; line-height: 1.1; color: var(--ink); letter-spacing: -0.01em;
    font-variant-numeric: tabular-nums; }
  & .field { display: flex; justify-content: space-between; align-items: center; gap: 8px; max-width: 420px; }
  & .field > label, & .field > span { color: var(--quiet); font-size: 15px; }
  & .field > label { white-space: nowrap; } & .field > select { flex: 0 1 auto; } & .field > input { width: 86px;
    flex: 0 1 auto; text-align: right; }
  & .field.long { display: grid; gap: 3px; justify-content: stretch; } & .field.long > * { width: 100%;
    max-width: none; }
  & .chips { display: flex; }
  & .chips label { position: relative; font-size: 15px; color: var(--ink); cursor: pointer; }
  & .chips input { position: absolute; inset: 0; opacity: 0; margin: 0; cursor: pointer; width: 100%; height: 100%; }
  & .chips span { display: block; border: 1.5px solid var(--edge); padding: 2px 8px; margin-left: -1.5px; }
  & .chips label:first-child span { border-radius: 6px 0 0 6px; margin-left: 0; }
  & .chips label:last-child span { border-radius: 0 6px 6px 0; }
  & .chips input:checked + span { background: var(--on); border-color: var(--here); font-weight: 700;
    position: relative; }
  & .chips input:focus-visible + span { outline: 3px solid var(--here); outline-offset: 2px; }
  & details { border-top: 1.5px solid var(--line); } & details:last-child { border-bottom: 1.5px solid var(--line); }
  & summary { display: flex; flex-wrap: wrap; gap: 0 8px; padding: 6px 0; cursor: pointer; list-style: none;
    align-items: baseline; }
  & summary::-webkit-details-marker { display: none; }
  & summary::before { content: "+"; width: 12px; flex: none; font-weight: 700; color: var(--quiet);
    text-align: center; }
  & details[open] > summary::before { content: "−"; }
  & summary b { font-weight: 700; flex: none; }
  & summary span { color: var(--quiet); margin-left: auto; }
  & .fields { display: grid; gap: 6px; padding: 2px 0 9px; grid-template-columns: minmax(0, 1fr); }
  & .row { display: flex; flex-wrap: wrap; gap: 6px; } & .field .row { flex-wrap: nowrap; gap: 4px; }
  & textarea { width: 100%; height: 46px; resize: vertical; font-family: ui-monospace, "Liberation Mono", monospace; }

  & .head { display: flex; justify-content: space-between; align-items: baseline; gap: 6px; min-height: 25px; }
  & .head h3 { font-size: 16px; font-weight: 700; white-space: nowrap; }
  & .head > .quiet { white-space: nowrap; letter-spacing: -0.02em; overflow: hidden; text-overflow: ellipsis; }
  & .head .key { margin: 0; flex: 1; justify-content: center; } & .quiet { color: var(--quiet); font-size: 15px; }
  & .net > .head { align-items: center; }
  & .drawing { position: relative; overflow-x: auto; overflow-y: hidden; }
  & .drawing .inner { position: relative; }
  & .drawing svg { position: absolute; inset: 0; } & .edge { opacity: 0.75; }
  & .edge.one { stroke: var(--one); } & .edge.zero { stroke: var(--zero); }
  & .entry { fill: var(--wash); stroke: var(--ink); stroke-width: 1.5; }
  & svg text.name { fill: var(--ink); font-weight: 700; text-anchor: middle; font-size: 16px; }
  & .unit { position: absolute; transform: translate(-50%, -50%); padding: 0; border: 0; background: none;
    border-radius: 3px;
    min-height: 0; }
  & .unit canvas { width: 100%; height: 100%; border: 1.5px solid var(--ink); border-radius: 3px;
    background: var(--wash); }
  & .unit[aria-pressed=true] { outline: 3px solid var(--here); outline-offset: 2px; }
  & .number { position: absolute; transform: translate(-50%, -50%); white-space: nowrap; font-size: 15px;
    line-height: 18px;
    padding: 0 2px; border-radius: 5px; background: var(--paper); font-variant-numeric: tabular-nums;
      touch-action: none;
    user-select: none; cursor: ns-resize; border: 1px solid transparent; }
  & .number:hover:not([aria-readonly=true]) { border-color: var(--here); }
  & .number[aria-readonly=true] { cursor: default; }
  & .number.weight { font-weight: 700; } & .number.one { color: var(--one); } & .number.zero { color: var(--zero); }
  & .number.bare { font-style: italic; } & .number.last { transform: translateY(-50%); left: auto !important;
    right: 2px; min-width: 86px; text-align: center; }
  & input.typing { position: absolute; transform: translate(-50%, -50%); width: 92px; z-index: 3; text-align: center; }
  & .unit[data-dead]:not([data-dead=""])::after { content: attr(data-dead); position: absolute; inset: 0;
    display: grid; place-content: center; font-size: 15px;
    color: #1c1c1c; }

  & .plane { position: relative; width: 256px; height: 256px; }
  & .plane canvas { width: 256px; height: 256px; image-rendering: pixelated; touch-action: pan-y; cursor: crosshair; }
  & .plane svg { position: absolute; inset: 0; width: 256px; height: 256px; pointer-events: none; overflow: hidden; }
  & .window { fill: none; stroke: #1c1c1c; stroke-width: 2; } & .window.halo { stroke: #fff; stroke-width: 4; }
  & .zeros { fill: #fff; stroke: #1c1c1c; stroke-width: 2; } & .crosses { stroke: #1c1c1c; stroke-width: 3.5;
    fill: none; }
  & .crosses.halo { stroke: #fff; stroke-width: 7; } & .wrong { fill: var(--attend); stroke: #1c1c1c; stroke-width: 2; }
  & .many .zeros { stroke-width: 1.5; } & .many .crosses { stroke-width: 2; } & .many .halo { stroke-width: 4; }
  & .few { stroke: #fff; stroke-width: 1; } & .few.up { fill: var(--higher); } & .few.down { fill: var(--lower); }
  & .empty { position: absolute; inset: 0; display: grid; place-content: center; text-align: center; padding: 12px;
    background: var(--wash); color: var(--ink); font-size: 15px; }
  & .lens { justify-self: center; } & .lens canvas { cursor: default; background: var(--wash); }
  & .key { display: flex; gap: 6px; align-items: center; font-size: 15px; line-height: 19px; color: var(--quiet);
    white-space: nowrap; margin-top: 3px; height: 19px; overflow: hidden; }
  & .bar { flex: 1; min-width: 24px; max-width: 100px; height: 12px; border-radius: 2px; }
  & .bar.output { background: ${gradient(look.output)}; }
  & .bar.difference { background: ${gradient(look.difference)}; }

  & .curve .grid { stroke: var(--line); opacity: 0.6; } & .curve .solved { stroke: var(--ink); stroke-dasharray: 5 4; }
  & .curve path { fill: none; stroke: var(--pen); stroke-width: 3; stroke-linejoin: round; }
  & .curve path.valid { stroke-dasharray: 3 4; } & .curve circle { fill: var(--pen); stroke: var(--paper);
    stroke-width: 2; }
  & .curve text.end { fill: var(--pen); font-weight: 700; paint-order: stroke; stroke: var(--paper); stroke-width: 4; }

  & .status { background: var(--wash); border-left: 6px solid var(--here); border-radius: 4px; padding: 6px 14px;
    display: grid;
    gap: 2px; }
  & .say { font-size: 18px; font-weight: 700; min-height: 23px; } & .about { font-size: 16px; }
  & .status.problem { background: var(--warn); border-color: light-dark(#8a5a00, #ffd54a); }
  &.dropping { outline: 3px dashed var(--here); outline-offset: -3px; }

  @container (min-width: 620px) {
    & .play { grid-template-columns: 220px minmax(0, 1fr); grid-template-areas: "controls net" "controls loss"
      "status status" "maps maps"; }
  }
  @container (min-width: 930px) {
    & .play { grid-template-columns: minmax(140px, 1fr) 256px 256px 256px; gap: 10px 6px; padding: 6px;
      grid-template-areas: "controls net net lens" "controls loss loss lens" "controls float int8 difference"
      "status status status status"; }
    & .field > input { width: 56px; }
    & .maps { display: contents; } & .float { grid-area: float; } & .int8 { grid-area: int8; }
    & .difference { grid-area: difference; } & .lens { grid-area: lens; }
  }
  @container (930px <= width < 1200px) {
    & .field:has(> select) { display: grid; gap: 2px; }
  }
  @container (min-width: 1200px) {
    & .play { grid-template-columns: 232px minmax(0, 1fr) 524px; gap: 8px 20px; padding: 10px 14px;
      grid-template-rows: auto 1fr auto;
        grid-template-areas: "controls net maps" "controls loss maps" "status status status"; }
    & .maps { display: grid; grid-template-columns: 256px 256px; align-content: space-between; }
    & .float, & .int8, & .difference, & .lens { grid-area: auto; }
  }
  &.small .play { grid-template-columns: minmax(0, 1fr); grid-template-areas: "controls" "net" "maps" "status"; }
  &.small .maps { display: grid; grid-template-columns: repeat(auto-fit, 256px); }
  &.small .controls { flex-direction: row; align-items: center; flex-wrap: wrap; gap: 20px; }
  &.small .buttons { width: 230px; }
  &.small .float, &.small .int8, &.small .difference { grid-area: auto; }
  @container (min-width: 1100px) {
    &.small .play { grid-template-columns: minmax(0, 1fr) auto; padding: 8px; gap: 10px 14px;
      grid-template-rows: auto auto auto;
      grid-template-areas: "controls controls" "net maps" "status status"; }
    &.small .maps { grid-template-columns: 256px 256px 256px; gap: 8px; align-content: start; }
  }
}`;
