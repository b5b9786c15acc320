"""Code for a microcontroller: an IntegerMLP as plain C, as TinyMind's header, and a TFLite file as a C array."""
import math
import re
import shutil
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from xorlab import data, files, tflite_file
from xorlab.fixed_point import quantize_multiplier
from xorlab.rules import RULES, Layer, in_32_bits

WRITTEN_OUT = 64            # a layer of up to so many weights is written out unit by unit, a larger one is a loop
INT32 = (-(2**31), 2**31 - 1)
ANY = 1 << 62               # a bound that does not bind
C_RULES = ("tflm", "tinymind")
RESERVED = {                # keywords of C23 and C++20, and main
    "alignas", "alignof", "and", "and_eq", "asm", "auto", "bitand", "bitor", "bool", "break", "case", "catch",
    "char", "char8_t", "char16_t", "char32_t", "class", "compl", "concept", "const", "const_cast", "consteval",
    "constexpr", "constinit", "continue", "co_await", "co_return", "co_yield", "decltype", "default", "delete",
    "do", "double", "dynamic_cast", "else", "enum", "explicit", "export", "extern", "false", "float", "for",
    "friend", "goto", "if", "inline", "int", "long", "main", "mutable", "namespace", "new", "noexcept", "not",
    "not_eq", "nullptr", "operator", "or", "or_eq", "private", "protected", "public", "register",
    "reinterpret_cast", "requires", "restrict", "return", "short", "signed", "sizeof", "static", "static_assert",
    "static_cast", "struct", "switch", "template", "this", "thread_local", "throw", "true", "try", "typedef",
    "typeid", "typename", "typeof", "typeof_unqual", "union", "unsigned", "using", "virtual", "void", "volatile",
    "wchar_t", "while", "xor", "xor_eq",
}
OWN_NAMES = r"(weights|biases|table)_\d+|u?int(ptr|max|(_fast|_least)?\d+)_t|U?INT\w*_(C|MIN|MAX)"
ESP32 = Path(__file__).parent / "esp32"         # the example's files, with @NAME@ where a net's numbers go


@dataclass(frozen=True)
class Scaling:
    """An accumulator's way to output steps: (acc * multiplier + more) >> shift, with `less` for `more` below zero.

    split : bits of the multiplier whose product is taken apart, so that everything fits into 32 bits:
        (acc * (multiplier >> split) + ((acc * rest + more) >> split)) >> (shift - split).  None means 64 bits.
    """
    multiplier: int
    more: int
    less: int
    shift: int
    split: int | None = None

    def steps(self, acc):
        """Return the output steps of accumulators, an int64 array."""
        return (acc * self.multiplier + np.where(acc < 0, self.less, self.more)) >> self.shift

    @property
    def high(self):
        return self.multiplier >> self.split

    @property
    def low(self):
        return self.multiplier & ((1 << self.split) - 1)


def exact_scaling(scale):
    """Return the Scaling that is TFLite Micro's for every accumulator, in 64-bit arithmetic.

    TFLite Micro rounds twice: after 31 bits, and after the rest, ties away from zero. Together that is one addition
    and one shift, but the second rounding makes the constant smaller below zero than above.
    """
    multiplier, shift = quantize_multiplier(scale)
    if shift >= 0:
        return Scaling(multiplier << shift, 1 << 30, 1 << 30, 31)
    half = 1 << (30 - shift)
    return Scaling(multiplier, half + (1 << 30), half - (1 << 30), 31 - shift)


def short_scaling(scale, accumulators, floor, ceiling):
    """Return the shortest Scaling in 32-bit arithmetic that gives every one of the accumulators the exact steps.

    accumulators : (lowest, highest) that the layer can reach.  floor, ceiling : steps beyond them are clamped.
    Every accumulator between the two is checked.  Returns the exact 64-bit Scaling if there is no shorter one.
    """
    exact = exact_scaling(scale)
    if accumulators[1] - accumulators[0] > 1 << 22:
        return exact
    acc = np.arange(accumulators[0], accumulators[1] + 1)
    steps = exact.steps(acc)
    # where a clamp follows, a step at the clamp may come out beyond it
    clamped_below, clamped_above = (steps <= floor) & (steps[0] < floor), (steps >= ceiling) & (steps[-1] > ceiling)
    steps = np.clip(steps, floor, ceiling)
    for shift in range(8, exact.shift + 1):
        multiplier = round(exact.multiplier / 2 ** (exact.shift - shift))
        # right is: steps << shift <= acc * multiplier + constant < (steps + 1) << shift
        at_least = np.where(clamped_below, -ANY, (steps << shift) - acc * multiplier)
        at_most = np.where(clamped_above, ANY, ((steps + 1) << shift) - 1 - acc * multiplier)
        constants = _constants(at_least, at_most, acc < 0, 1 << shift)
        if constants is None:
            continue
        for split in range(min(shift, 17)):
            found = Scaling(multiplier, *constants, shift, split)
            if _fits(found, accumulators):
                return found
    return exact


def _constants(at_least, at_most, negative, limit):
    """Return (more, less), the roundest constants within the bounds, equal if they can be; None if there are none."""
    both = _roundest(at_least.max(), at_most.min(), limit)
    if both is not None:
        return both, both
    more, less = (_roundest(at_least[side].max(initial=-ANY), at_most[side].min(initial=ANY), limit)
                  for side in (~negative, negative))
    return None if more is None or less is None else (more, less)


def _roundest(low, high, limit):
    """Return the number in low..high with the most trailing zero bits, at most `limit` in size, or None."""
    low, high = max(int(low), -limit), min(int(high), limit)
    for bits in range(limit.bit_length(), -1, -1):
        number = -(-low >> bits) << bits
        if number <= high:
            return number
    return None


def _fits(scaling, accumulators):
    """Does every intermediate value stay within 32 bits at both ends, and so everywhere between?"""
    for acc in accumulators:
        inner = [acc * scaling.low + constant for constant in (scaling.more, scaling.less, 0)]
        outer = [acc * scaling.high, *(acc * scaling.high + (value >> scaling.split) for value in inner)]
        if not all(INT32[0] <= value <= INT32[1] for value in inner + outer):
            return False
    return True


def write_c(net, directory, name="xor_net"):
    """Write an IntegerMLP as one C99 header and source, name.h and name.c: no float, no heap, no library calls.

    The code equals the net on every input: `void name(const int8_t input[], int8_t output[])`. Layers of up to 64
    weights are written out, larger ones are loops. It needs right shifts of negative numbers to be arithmetic, as
    every compiler for ARM, RISC-V, Xtensa and x86 makes them.
    Of a file with float32 ends it is the int8 core: the caller makes and reads the codes, as the header says.
    Raises ValueError for a rule that needs floats or another rounding, for sums beyond 32 bits, or for a name that is
    none in C.  Returns (header path, source path).
    """
    if net.rule not in C_RULES:
        raise ValueError(f"C code follows the rule {' or '.join(C_RULES)}, the net has {net.rule!r}; "
                         "take net.under('tflm')")
    _check_name(name)
    directory = Path(directory)
    files.make_folder(directory)
    header, source = directory / f"{name}.h", directory / f"{name}.c"
    for path, text in ((header, _header(net, name)), (source, _source(net, name))):
        with files.replacing(path) as made:
            made.write_text(text, encoding="ascii")
    return header, source


def _header(net, name):
    guard = f"{name.upper()}_H"
    return f"""\
/* An int8 neural network in integers. Made by xorlab.codegen.write_c; change the net, not this file.

   An input code stands for the number {net.input.scale:.9g} * (code - {net.input.zero_point}),
   an output code for the number {net.output.scale:.9g} * (code - {net.output.zero_point}).{_float_ends(net)} */
#ifndef {guard}
#define {guard}

#include <stdint.h>

#define {name.upper()}_INPUTS {net.width}
#define {name.upper()}_OUTPUTS {net.outputs}

void {name}(const int8_t input[{name.upper()}_INPUTS], int8_t output[{name.upper()}_OUTPUTS]);

#endif
""".replace("- -", "+ ")


def _float_ends(net):
    """Return the comment on what a file with float32 ends does beyond this code; empty for int8 ends."""
    takes, gives = net.float_ends
    return (takes * """

   The TFLite file takes float32. Its QUANTIZE is no part of this code: make the codes first,
   code = round(number / scale) + zero point, ties away from zero, cut to -128..127.""" + gives * """

   The TFLite file gives float32. Its DEQUANTIZE is no part of this code: the output is codes.""")


@dataclass(frozen=True)
class _Values:
    """The C variables between two operators: `name[i]` is the code less `offset`, and lies in low[i]..high[i]."""
    name: str
    offset: int
    low: np.ndarray
    high: np.ndarray


def _source(net, name):
    values = _Values("input", 0, np.full(net.width, -128), np.full(net.width, 127))
    constants, lines = [], []
    for number, step in enumerate(net.steps, 1):
        write = _layer if isinstance(step, Layer) else _table
        values = write(step, number, values, RULES[net.rule], constants, lines)
    code = _plus(f"{values.name}[{{i}}]", values.offset)
    lines += _for_each(len(values.low), f"output[{{i}}] = (int8_t)({code});")
    body = "\n".join(f"    {line}".rstrip() for line in lines)
    return f"""\
/* An int8 neural network in integers. Made by xorlab.codegen.write_c; change the net, not this file.

   A layer sums weights times codes. The zero point of its input is folded into the bias, because
   w * (q - z) + b is w * q + (b - w * z). The sum is scaled to output steps, rounded as TFLite Micro rounds,
   and clamped to 8 bits; values between layers are steps above the zero point. To scale by a real number is
   to multiply by that number * 2^n, made whole, and to shift right by n; where the product would not fit into
   32 bits it is taken in two parts. Right shifts of negative numbers must be arithmetic. */
#include "{name}.h"

{"".join(constants)}void {name}(const int8_t input[{name.upper()}_INPUTS], int8_t output[{name.upper()}_OUTPUTS])
{{
    int32_t acc;

{body}
}}
"""


def _layer(layer, number, values, rule, constants, lines):
    """Write a fully connected layer and return its values: steps above the zero point of its output."""
    units, inputs = layer.weights.shape
    clamp = tuple(code - layer.output.zero_point for code in rule.clamp(layer))
    biases = layer.biases + (values.offset - layer.input.zero_point) * layer.weights.sum(1)
    reach = _reach(layer.weights, biases, values)
    scales = np.broadcast_to(rule.scales(layer), units)
    _check_sums(number, layer.weights, biases, values, reach, scales)
    scalings = _scalings(scales, reach, clamp)
    made = f"v{number}"
    fused = _fused(layer).replace(" with", ",")
    lines += [f"/* operator {number}: {inputs} codes in, {units} out{fused} */",
              f"int32_t {made}[{units}];"]
    if layer.weights.size <= WRITTEN_OUT:
        for i in range(units):
            lines += textwrap.wrap(f"acc = {_products(layer.weights[i], values.name, biases[i])};", 100,
                                   subsequent_indent="    ")
            lines += _scale(f"{made}[{i}]", scalings[i], reach[:, i], clamp)
    else:
        constants += [_array("int8_t", f"weights_{number}", layer.weights),
                      _array("int32_t", f"biases_{number}", biases)]
        lines += [f"for (int i = 0; i < {units}; ++i) {{", f"    {made}[i] = biases_{number}[i];",
                  f"    for (int j = 0; j < {inputs}; ++j)",
                  f"        {made}[i] += weights_{number}[i][j] * {values.name}[j];", "}"]
        for i in range(units):
            lines += [f"acc = {made}[{i}];", *_scale(f"{made}[{i}]", scalings[i], reach[:, i], clamp)]
    lines.append("")
    low, high = (np.array([scaling.steps(acc) for scaling, acc in zip(scalings, end, strict=True)]) for end in reach)
    return _Values(made, layer.output.zero_point, np.clip(low, *clamp), np.clip(high, *clamp))


def _fused(step):
    """Return what a layer's sums end with; an output whose codes begin at 0 has a ReLU's effect."""
    if not isinstance(step, Layer) or step.lowest != step.output.zero_point:
        return ""
    return " with ReLU" if step.ceiling == math.inf else " with ReLU6"


def _check_sums(number, weights, biases, values, reach, scales):
    """Raise ValueError unless every sum, also one that is not complete yet, and its scaling fit into 32 bits."""
    with_zero = replace(values, low=np.minimum(values.low, 0), high=np.maximum(values.high, 0))
    shifts = np.array([max(quantize_multiplier(scale)[1], 0) for scale in scales])
    try:
        for start in (biases, 0 * biases):              # loops begin with the bias, written-out sums end with it
            in_32_bits(_reach(weights, start, with_zero))
        in_32_bits(reach * 2.0**shifts)
    except ValueError as error:
        raise ValueError(f"operator {number}: {error}") from None


def _reach(weights, biases, values):
    """Return the lowest and the highest sum of each unit, int64 (2, units)."""
    up, down = np.maximum(weights, 0), np.minimum(weights, 0)
    return np.array([up @ values.low + down @ values.high, up @ values.high + down @ values.low]) + biases


def _scalings(scales, reach, clamp):
    """Return a Scaling for each unit; units of one scale share one, so that its constants can stay in registers."""
    if clamp[0] == 0:
        reach = np.maximum(reach, 0)            # a sum below zero is clamped before it is scaled
    shared = {scale: short_scaling(scale, (reach[0, scales == scale].min(), reach[1, scales == scale].max()), *clamp)
              for scale in set(scales)}
    return [shared[scale] for scale in scales]


def _scale(target, scaling, reach, clamp):
    """Yield the lines that scale `acc` to output steps and clamp them, leaving out a clamp that no sum can need."""
    floor, ceiling = clamp
    low, high = map(int, reach)
    if floor == 0 and low < 0:
        yield "if (acc < 0) acc = 0;"
        low = 0
    yield f"{target} = {_product(scaling, low, high)};"
    if scaling.steps(np.int64(low)) < floor:
        yield f"if ({target} < {floor}) {target} = {floor};"
    if scaling.steps(np.int64(high)) > ceiling:
        yield f"if ({target} > {ceiling}) {target} = {ceiling};"


def _product(scaling, low, high):
    """Return the C expression for the output steps of `acc`, which lies in low..high."""
    constant = scaling.more if low >= 0 else scaling.less
    if scaling.more != scaling.less and low < 0 <= high:
        constant = f"(acc < 0 ? {scaling.less} : {scaling.more})"
    if scaling.split is None:
        return f"(int32_t)(((int64_t)acc * {scaling.multiplier} + {constant}) >> {scaling.shift})"
    rest = f"(acc * {scaling.low} + {constant}) >> {scaling.split}"
    return f"(acc * {scaling.high} + ({rest})) >> {scaling.shift - scaling.split}"


def _products(weights, name, bias):
    terms = [f"{weight} * {name}[{j}]" for j, weight in enumerate(weights) if weight] + ([str(bias)] if bias else [])
    return " + ".join(terms or ["0"]).replace("+ -", "- ")


def _plus(text, number):
    return text if number == 0 else f"{text} {'-' if number < 0 else '+'} {abs(number)}"


def _table(step, number, values, rule, constants, lines):
    """Write a look-up in a table of 256 codes and return its values, which are codes."""
    table = rule.table(step)
    constants.append(_array("int8_t", f"table_{number}", table))
    units, made = len(values.low), f"v{number}"
    index = _plus(f"{values.name}[{{i}}]", values.offset + 128)
    lines += [f"/* operator {number}: a table of the codes for -128 to 127 */", f"int32_t {made}[{units}];",
              *_for_each(units, f"{made}[{{i}}] = table_{number}[{index}];"), ""]
    return _Values(made, 0, np.full(units, table.min()), np.full(units, table.max()))


def _for_each(count, line):
    """Return the line for every i: written out for a few, as a loop for many."""
    if count <= 8:
        return [line.format(i=i) for i in range(count)]
    return [f"for (int i = 0; i < {count}; ++i)", "    " + line.format(i="i")]


def _array(kind, name, values):
    values = np.asarray(values)
    items = [str(row) if values.ndim == 1 else "{" + ", ".join(map(str, row)) + "}" for row in values.tolist()]
    text = textwrap.fill(", ".join(items), 110, initial_indent="    ", subsequent_indent="    ")
    shape = "".join(f"[{n}]" for n in values.shape)
    return f"static const {kind} {name}{shape} = {{\n{text}\n}};\n\n"


def write_weights_header(net, path):
    """Write a 2-H-1 ReLU net as the C++ header that TinyMind's XOR program reads; return the path.

    The header holds the scales, zero points, weights and biases under TinyMind's names, and after them what a
    build without floats needs: each layer's multiplier, shift (TinyMind's: positive is to the right), zero point and
    clamp, and the 256 codes of TinyMind's sigmoid, at index code + 128.
    net : an IntegerMLP of a layer with ReLU, a layer and a sigmoid, with one weight scale for each layer.
    Raises ValueError for any other net.
    Source: TinyMind's examples/pytorch_quant/xor (github.com/danmcleran/tinymind).
    """
    kinds = [type(step).__name__ + _fused(step) for step in net.steps]
    if kinds not in (["Layer with ReLU", f"Layer{end}", "Logistic"] for end in ("", " with ReLU")):
        raise ValueError("TinyMind's XOR program runs a layer with ReLU, a layer and a sigmoid; this net has "
                         + ", ".join(kinds))
    if any(len(layer.weight_scales) > 1 for layer in net.steps[:2]):
        raise ValueError("TinyMind's XOR program takes one weight scale a layer, this net has one a unit; "
                         "make the net with IntegerMLP.from_torch")
    path = Path(path)
    with files.replacing(path) as made:
        made.write_text(_weights_header(net), encoding="ascii")
    return path


def _weights_header(net):
    first, second, logistic = net.steps
    shape = {"NumInputs": first.weights.shape[1], "HiddenSize": len(first.weights), "NumOutputs": len(second.weights)}
    lines = {"Input": first.input, "Hidden": first.output, "Logit": second.output, "SigmoidOut": logistic.output}
    text = [f"constexpr std::size_t {name} = {count};" for name, count in shape.items()]
    for name, line in lines.items():
        text += [f"constexpr float k{name}Scale = {_float(line.scale)};",
                 f"constexpr int32_t k{name}ZeroPoint = {line.zero_point};"]
    for name, layer in (("Fc1", first), ("Fc2", second)):
        text.append(f"constexpr float k{name}WeightScale = {_float(layer.weight_scales[0])};")
    for name, layer, inputs, units in (("Fc1", first, "NumInputs", "HiddenSize"),
                                       ("Fc2", second, "HiddenSize", "NumOutputs")):
        text += [_sized("int8_t", f"k{name}Weights", f"{units} * {inputs}", layer.weights.ravel()),
                 _sized("int32_t", f"k{name}Biases", units, layer.biases)]
    text.append("// For a build without floats: the same scales as integers, and the sigmoid as a table.")
    for name, layer in (("Fc1", first), ("Fc2", second)):
        multiplier, shift = quantize_multiplier(layer.scales()[0])
        for part, number in (("Multiplier", multiplier), ("Shift", -shift), ("ZeroPoint", layer.output.zero_point),
                             ("Min", layer.lowest), ("Max", 127)):
            text.append(f"constexpr int32_t k{name}{part} = {number};")
    text.append(_sized("int8_t", "kSigmoidTable", "256", RULES["tinymind"].table(logistic)))
    body = textwrap.indent("\n".join(text), "    ")
    return f"""\
// An int8 XOR net. Made by xorlab.codegen.write_weights_header; change the net, not this file.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pytorch_quant_xor {{

{body}

}}  // namespace pytorch_quant_xor
"""


def _float(value):
    """Write a float32 as a C literal that reads back as the same float32."""
    return f"{float(value):.8e}f"


def _sized(kind, name, size, values):
    text = textwrap.fill(", ".join(map(str, np.asarray(values).tolist())), 100,
                         initial_indent="    ", subsequent_indent="    ")
    return f"constexpr {kind} {name}[{size}] = {{\n{text}\n}};"


def write_tflite_array(tflite_path, path, name="model_tflite"):
    """Write a TFLite file as a C array for TFLite Micro, aligned to 16 bytes as its reader needs; return the path.

    The file compiles as C11 and as C++11 or later; it defines `name` and `name_len`.
    Raises FileNotFoundError, or ValueError if the file is no sound TFLite file or the name is none in C.
    """
    tflite_file.read(tflite_path)
    _check_name(name)
    content = np.frombuffer(Path(tflite_path).read_bytes(), np.uint8)
    rows = "\n".join("    " + ", ".join(f"0x{byte:02x}" for byte in content[at : at + 16]) + ","
                     for at in range(0, len(content), 16))
    with files.replacing(path) as made:
        made.write_text(f"""\
/* {Path(tflite_path).name}, {len(content):,} bytes. Made by xorlab.codegen.write_tflite_array. */
#ifdef __cplusplus
extern "C" {{
extern const unsigned char {name}[];
extern const unsigned int {name}_len;
}}
#define MODEL_ALIGNAS alignas(16)
#else
#define MODEL_ALIGNAS _Alignas(16)
#endif

MODEL_ALIGNAS const unsigned char {name}[] = {{
{rows}
}};
const unsigned int {name}_len = {len(content)};
""", encoding="ascii")
    return Path(path)


def write_esp32(net, directory, tflite_path=None):
    """Write an ESP-IDF example for the ESP32-S3: the net as a component, a program that checks the four corners.

    net : an IntegerMLP of two inputs and one output, for write_c.  directory : a new or empty folder.
    tflite_path : also write the same net by TFLite Micro, with this int8 file as a C array.
    The README in the folder says what of it was compiled and run, and what was not.
    Raises ValueError for another shape or a net that gets a corner wrong; FileExistsError if the folder is in use.
    Returns the directory.
    """
    directory = Path(directory)
    if directory.exists() and (directory.is_file() or any(directory.iterdir())):
        raise FileExistsError(f"{directory} is in use; name a new or an empty folder")
    values = _esp32_values(net)
    with files.replacing(directory) as made:
        shutil.copytree(ESP32, made, ignore=None if tflite_path else shutil.ignore_patterns("tflite_micro"))
        write_c(net, made / "components" / "xor_net")
        if tflite_path:
            model = made / "tflite_micro" / "main" / "model.c"
            write_tflite_array(tflite_path, model)
            values["ARENA"] = 4096
        for path in made.rglob("*.c*"):
            text = path.read_text()
            for key, value in values.items():
                text = text.replace(f"@{key}@", str(value))
            path.write_text(text)
    return directory


def _esp32_values(net):
    """Return what the templates leave open: the codes of 0, 1 and one half, and the corners with their answers."""
    x, y = data.corners()
    if (net.width, net.outputs) != (2, 1):
        raise ValueError(f"the example is for two inputs and one output; this net has {net.width} and {net.outputs}")
    q = net.input.quantize(x)
    half = int(net.output.quantize([0.5])[0])
    codes = net.codes(q)
    if ((codes > half) != (y == 1)).any():
        raise ValueError("the net gets a corner of XOR wrong; train it from another start first")
    rows = [f"    {{{{{a}, {b}}}, {code}, {int(label)}}}," for (a, b), code, label in zip(q, codes, y, strict=True)]
    return {"ZERO": q[0, 0], "ONE": q[3, 0], "HALF": half, "CORNERS": "\n".join(rows)}


def _check_name(name):
    if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) or name in RESERVED or re.fullmatch(OWN_NAMES, name):
        raise ValueError(f"name must be a C identifier, free in C and C++: letters, digits and _, first a letter, no "
                         f"keyword and none of the code's own names; got {name!r}")
