// Numbers and sentences as a reader sees them: a true minus, thousands apart, as many digits as tell.
const MINUS = "−";
const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const EXACT = 5;            // signs up to which a number is written out

// From outputs to sentences: how each rule is called, and whose arithmetic it is
export const RULE_NAMES = { tflm: "TFLite Micro", ruy: "built-in (AVX2)", single: "built-in (portable)",
                            reference: "reference", xnnpack: "XNNPACK" };

export const count = n => n.toLocaleString("en-US");
export const signed = text => String(text).replace("-", MINUS);
const power = n => "10" + String(n).replace("-", "⁻").replace(/\d/g, digit => SUPERSCRIPTS[digit]);

// A weight: all its digits where they are few, else two behind the point, else powers of ten.
export function shortNumber(value) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : signed(value > 0 ? "∞" : "-∞");
  const whole = String(value), size = Math.abs(value);
  if (whole.replace("-", "").length <= EXACT && !whole.includes("e")) return signed(whole);
  if (size < 0.0005 || size >= 1e5) return scientific(value, 0);
  if (size < 0.005) return signed(value.toFixed(3));
  return signed(value.toFixed(size < 100 ? 2 : size < 1000 ? 1 : 0));
}

function scientific(value, behind = 1) {
  const [digits, exponent] = value.toExponential(behind).split("e");
  return `${signed(digits)} × ${power(Number(exponent))}`;
}

export function lossText(loss) {
  if (!Number.isFinite(loss)) return "not a number";
  return loss === 0 ? "0" : loss < 0.001 ? scientific(loss) : String(Number(loss.toPrecision(2)));
}

export const decade = n => n >= -2 && n <= 0 ? String(10 ** n) : n > 0 && n < 6 ? count(10 ** n) : power(n);

// Read what someone typed as a number; throws a sentence.
export function typedNumber(text, what) {
  const value = Number(text.trim().replace(MINUS, "-"));
  if (text.trim() === "" || !Number.isFinite(value)) {
    throw new Error(`The ${what} needs a number such as 0.5 or -3, but got "${text.trim().slice(0, 30)}".`);
  }
  return value;
}

export const weightName = (layer, unit, input, layers) => {
  const last = layer === layers.length - 1, deep = layers.length > 2;
  const target = last ? "the output" : `unit ${unit + 1}${deep ? ` of layer ${layer + 1}` : ""}`;
  if (input === null) return `bias of ${target}`;
  const source = layer === 0 ? `input x${input + 1}` : `unit ${input + 1}${deep && !last ? ` of layer ${layer}` : ""}`;
  return `weight of ${source} into ${target}`;
};

const rightOf = (verdicts, form, things) =>
  `${verdicts.filter(verdict => verdict[form]).length} of ${verdicts.length} ${things}`;
export const asSentence = text => text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
const thingsOf = bench => bench.ofCorners ? "corners" : "points";
export const rightWords = (bench, verdicts, form) => rightOf(verdicts, form, thingsOf(bench));

// The live line: what there is to know now, e.g. "epoch 400, loss 0.012, int8 gets 4 of 4 corners, 281 inputs change
// class"
export function inWords(bench, verdicts) {
  if (bench.failed) return `Stopped at epoch ${count(bench.epoch)}. ${bench.failed}`;
  const parts = [`epoch ${count(bench.epoch)}`, `loss ${lossText(bench.loss)}`];
  if (bench.unquantizable) return `${parts.join(", ")}. ${asSentence(bench.unquantizable)}`;
  parts.push(`int8 gets ${rightWords(bench, verdicts, "int8")}`, `${count(bench.changed)} inputs change class`);
  const { rule, other } = bench.settings;
  const both = `${RULE_NAMES[rule]} and ${RULE_NAMES[other]}`;
  if (other) parts.push(`${count(bench.differing)} answers differ between ${both}`);
  return parts.join(", ");
}
