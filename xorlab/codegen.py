"""Code for a microcontroller: an int8 net as plain C, as TinyMind's header, and a TFLite file as a C array."""
import math
import re
import shutil
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from xorlab import arguments, data, files, ports, tflite_file
from xorlab.integer.chain import chain_of
from xorlab.integer.fixed_point import quantize_multiplier
from xorlab.integer.kernels.scaling import in_32_bits
from xorlab.integer.operators import FullyConnected
from xorlab.integer.rules import RULES

WRITTEN_OUT = 64            # a layer of up to so many weights is written out unit by unit, a larger one is a loop
INT32 = (-(2**31), 2**31 - 1)
LONGEST = 46                # no longer shift fits into 32 bits, not with 16 bits of the product taken apart
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
LONGEST_NAME = 63           # letters of a name that every C compiler tells apart
OWN_NAMES = r"(weights|biases|table)_\d+|u?int(ptr|max|(_fast|_least)?\d+)_t|U?INT\w*_(C|MIN|MAX)"
ESP32 = Path(__file__).parent / "esp32"         # the example's files, with @NAME@ where a net's numbers go


@dataclass(frozen=True)
class Scaling:
    """An accumulator's way to its output: (acc * multiplier + more) >> shift, with `less` for `more` below `turn`.

    The two constants round; they may also hold a bias and the output's zero point.
    split : bits of the multiplier whose product is taken apart, so that everything fits into 32 bits:
        (acc * (multiplier >> split) + (more >> split) + (acc * rest >> split)) >> (shift - split).  None means 64 bits.
    """
    multiplier: int
    more: int
    less: int
    shift: int
    split: int | None = None
    turn: int = 0

    def steps(self, acc):
        """Return the outputs of accumulators, an int64 array."""
        return (acc * self.multiplier + np.where(acc < self.turn, self.less, self.more)) >> self.shift

    @property
    def high(self):
        return self.multiplier >> self.split

    @property
    def low(self):
        return self.multiplier & ((1 << self.split) - 1)


@dataclass(frozen=True)
class Sums:
    """The accumulators that a unit can reach, low to high, and what they stand for: factor * acc + bias."""
    low: int
    high: int
    factor: int = 1
    bias: int = 0

    def __post_init__(self):
        low, high = (arguments.whole(name, getattr(self, name), -(2**62), 2**62) for name in ("low", "high"))
        if low > high:
            raise ValueError(f"the accumulators go from a lowest to a highest, got {low} to {high}")

    def of(self, acc):
        return self.factor * acc + self.bias

    @property
    def turn(self):
        """The lowest accumulator that stands for no negative sum."""
        return -(self.bias // self.factor)


def exact_scaling(scale):
    """Return the Scaling that is TFLite Micro's for every sum, in 64-bit arithmetic.

    TFLite Micro rounds twice: after 31 bits, and after the rest, ties away from zero. Together that is one addition
    and one shift, but the second rounding makes the constant smaller below zero than above.
    """
    multiplier, shift = quantize_multiplier(scale)
    if shift > 31:
        raise ValueError(f"scale must be below 2**31, or its product does not fit into 64 bits; got {scale:.3g}")
    if shift >= 0:
        return Scaling(multiplier << shift, 1 << 30, 1 << 30, 31)
    half = 1 << (30 - shift)
    return Scaling(multiplier, half + (1 << 30), half - (1 << 30), 31 - shift)


def short_scalings(scale: float, units: list, floor: int, ceiling: int, zero_point: int = 0) -> list | None:
    """Return the shortest Scalings in 32-bit arithmetic, one for each of the units, that are exact for all their sums.

    They share multiplier and shift, so that these can stay in registers; each has its own constants.
    units : list of Sums of the same factor.  floor, ceiling : outputs beyond them are clamped afterwards.
    zero_point : the output of a sum of zero: 0 for steps, the zero point for codes.
    Every sum of every unit is checked.  Returns None if there are none.

    >>> short_scalings(1 / 137, [Sums(0, 35_000)], 0, 255)[0].steps(np.array([67, 68]))
    array([0, 1])
    """
    units = arguments.several("units", units, "codegen.Sums", Sums)
    if not units:
        raise ValueError("there must be at least one unit, got none")
    floor, ceiling, zero_point = (arguments.whole(name, value, *INT32) for name, value in (
        ("floor", floor), ("ceiling", ceiling), ("zero_point", zero_point)))
    if max(unit.high - unit.low for unit in units) > 1 << 22:
        return None
    exact = exact_scaling(scale)
    bounds = {unit: _bounds(exact, unit, floor, ceiling, zero_point) for unit in set(units)}
    for shift in range(min(exact.shift, LONGEST) + 1):
        multiplier = round(exact.multiplier * units[0].factor / 2 ** (exact.shift - shift))
        constants = {unit: _constants(*bound, multiplier, shift,
                                      about=unit.bias * multiplier // unit.factor + (zero_point << shift))
                     for unit, bound in bounds.items()}
        if multiplier == 0 or None in constants.values():
            continue
        for split in range(min(shift, 17)):
            found = {unit: Scaling(multiplier, *pair, shift, split, unit.turn) for unit, pair in constants.items()}
            if all(_fits(scaling, unit) for unit, scaling in found.items()):
                return [found[unit] for unit in units]
    return None


def short_scaling(scale, accumulators, floor, ceiling):
    """Return one unit's shortest Scaling, or the exact one: a name of version 0.1 that goes with version 0.3."""
    ends = arguments.several("accumulators", accumulators, "two whole numbers, the lowest and the highest")
    if len(ends) != 2:
        raise ValueError(f"accumulators must be the lowest and the highest sum, got {arguments.shown(accumulators)}")
    return (short_scalings(scale, [Sums(*ends)], floor, ceiling) or [exact_scaling(scale)])[0]


def _bounds(exact, unit, floor, ceiling, zero_point):
    """Return what binds a unit's scaling: (accumulators, outputs, lower bound?, upper bound?, sum below zero?)."""
    acc = np.arange(unit.low, unit.high + 1)
    sums = unit.of(acc)
    made = exact.steps(sums) + zero_point
    # where a clamp follows, what is at the clamp may come out beyond it
    below, above = (made <= floor) & (made[0] < floor), (made >= ceiling) & (made[-1] > ceiling)
    made = np.clip(made, floor, ceiling)
    # of the accumulators with one output, the lowest and the highest decide
    last = np.flatnonzero((np.diff(made) != 0) | (np.diff(sums < 0)))
    ends = np.unique([0, *last, *(last + 1), len(acc) - 1])
    return acc[ends], made[ends], ~below[ends], ~above[ends], sums[ends] < 0


def _constants(acc, made, from_below, from_above, negative, multiplier, shift, about):
    """Return (more, less), the roundest constants that are right, equal if they can be; None if there are none.

    Right is: made << shift <= acc * multiplier + constant < (made + 1) << shift.
    about : the constant without its rounding; it may be off by one step, where no bound says more.
    """
    products = acc * multiplier
    low = np.where(from_below, (made << shift) - products, about - (1 << shift))
    high = np.where(from_above, ((made + 1) << shift) - 1 - products, about + (1 << shift))
    both = _roundest(low.max(), high.min())
    if both is not None:
        return both, both
    if negative.all() or not negative.any():
        return None
    more, less = (_roundest(low[side].max(), high[side].min()) for side in (~negative, negative))
    return None if more is None or less is None else (more, less)


def _roundest(low, high):
    """Return the number in low..high with the most trailing zero bits, or None."""
    low, high = int(low), int(high)
    for bits in range(max(abs(low), abs(high)).bit_length(), -1, -1):
        number = -(-low >> bits) << bits
        if number <= high:
            return number
    return None


def _fits(scaling, unit):
    """Does every intermediate value stay within 32 bits at both ends, and so everywhere between?"""
    values = []
    for constant in (scaling.more, scaling.less):
        if constant % (1 << scaling.split):
            return False
        for acc in (unit.low, unit.high):
            with_constant = acc * scaling.high + (constant >> scaling.split)
            values += [acc * scaling.low, acc * scaling.high, constant >> scaling.split, with_constant,
                       with_constant + (acc * scaling.low >> scaling.split)]
    return INT32[0] <= min(values) and max(values) <= INT32[1]


def write_c(net, directory, name="xor_net"):
    """Write a net as one C99 header and source, name.h and name.c: no float, no heap, no library calls.

    The code equals the net on every input: `void name(const int8_t input[], int8_t output[])`. Layers of up to 64
    weights are written out, larger ones are loops. It needs right shifts of negative numbers to be arithmetic, as
    every compiler for ARM, RISC-V, Xtensa and x86 makes them.
    Of a file with float32 ends it is the int8 core: the caller makes and reads the codes, as the header says.
    net : an IntegerMLP, or an IntegerGraph that is a chain of dense layers.
    Raises ValueError for another graph, a rule that needs floats or another rounding, for sums beyond 32 bits, or for a
    name that is none in C.  Returns (header path, source path).
    """
    net = chain_of(net)
    if net.rule not in C_RULES:
        raise ValueError(f"C code follows the rule {' or '.join(C_RULES)}, the net has {net.rule!r}; "
                         "take net.under('tflm')")
    _check_name(name)
    directory = Path(files.checked_path("directory", directory))
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
        write = _layer if isinstance(step, FullyConnected) else _table
        values = write(step, number, values, RULES[net.rule], constants, lines)
    code = _plus(f"{values.name}[{{i}}]", values.offset)
    lines += _for_each(len(values.low), f"output[{{i}}] = (int8_t)({code});")
    body = "\n".join(f"    {line}".rstrip() for line in lines)
    return f"""\
/* An int8 neural network in integers. Made by xorlab.codegen.write_c; change the net, not this file.

   A layer sums weights times codes, without a factor that all weights of a unit share. To scale by a real
   number is to multiply by that number * 2^n, made whole, and to shift right by n; where the product would not
   fit into 32 bits it is taken in two parts. One constant, added before the shift, holds the rounding, the bias
   and both zero points, because w * (q - z) + b is w * q + (b - w * z). TFLite Micro rounds twice, and so rounds
   sums below zero a little otherwise: where that shows they have a constant of their own. What is made is a
   code, or after a ReLU the steps above the zero point. Right shifts of negative numbers must be arithmetic. */
#include "{name}.h"

{"".join(constants)}void {name}(const int8_t input[{name.upper()}_INPUTS], int8_t output[{name.upper()}_OUTPUTS])
{{
    int32_t acc;

{body}
}}
"""


def _layer(layer, number, values, rule, constants, lines):
    """Write a fully connected layer and return its values: codes, or after a ReLU steps above the zero point."""
    count, inputs = layer.weights.shape
    zero_point = layer.output.zero_point
    biases = layer.biases + (values.offset - layer.input.zero_point) * layer.weights.sum(1)
    reach = _reach(layer.weights, biases, values)
    scales = np.broadcast_to(rule.scales(layer), count)
    _check_sums(number, layer.weights, biases, values, reach, scales)
    made = f"v{number}"
    fused = _fused(layer).replace(" with", ",")
    offset = zero_point if fused else 0                 # after a ReLU the next layer wants no zero point
    clamp = [code - offset for code in rule.clamp(layer)]
    lines += [f"/* operator {number}: {inputs} codes in, {count} out{fused} */", f"int32_t {made}[{count}];"]
    if layer.weights.size <= WRITTEN_OUT:
        factors = np.maximum(np.gcd.reduce(layer.weights.astype(int), axis=1), 1)
        sums = [Sums(int(low - bias) // int(factor), int(high - bias) // int(factor), int(factor), int(bias))
                for low, high, factor, bias in zip(*reach, factors, biases, strict=True)]
        units = _units(scales, sums, clamp, zero_point - offset)
        for i, unit in enumerate(units):
            weights = layer.weights[i] // unit.factor
            lines += textwrap.wrap(f"acc = {_products(weights, values.name, unit.bias)};", 100,
                                   subsequent_indent="    ")
            lines += _scale(f"{made}[{i}]", unit, clamp)
    else:
        constants += [_array("int8_t", f"weights_{number}", layer.weights),
                      _array("int32_t", f"biases_{number}", biases)]
        lines += [f"for (int i = 0; i < {count}; ++i) {{", f"    {made}[i] = biases_{number}[i];",
                  f"    for (int j = 0; j < {inputs}; ++j)",
                  f"        {made}[i] += weights_{number}[i][j] * {values.name}[j];", "}"]
        units = _units(scales, _widest(scales, reach), clamp, zero_point - offset)
        units = [replace(unit, low=low, high=high) for unit, low, high in zip(units, *reach.tolist(), strict=True)]
        for i, unit in enumerate(units):
            lines += [f"acc = {made}[{i}];", *_scale(f"{made}[{i}]", unit, clamp)]
    lines.append("")
    return _Values(made, offset, *np.array([unit.ends for unit in units]).clip(*clamp).T)


def _fused(step):
    """Return what a layer's sums end with; an output whose codes begin at 0 has a ReLU's effect."""
    if not isinstance(step, FullyConnected) or step.lowest != step.output.zero_point:
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


@dataclass(frozen=True)
class _Unit:
    """A unit as it is written: acc = weights / factor times codes + bias, from low to high, and how it is scaled.

    first : a lower acc is raised to it before it is scaled, because a ReLU follows; None if that cannot be.
    bias, zero_point : 0 where the scaling holds them.
    """
    low: int
    high: int
    factor: int
    bias: int
    scaling: Scaling
    zero_point: int
    first: int | None

    @property
    def ends(self):
        """The lowest and the highest output, before a clamp."""
        low = self.low if self.first is None else max(self.low, self.first)
        return [int(self.scaling.steps(np.int64(acc))) + self.zero_point for acc in (low, max(low, self.high))]


def _units(scales, sums, clamp, zero_point):
    """Return a _Unit for each unit; units of one scale and factor share multiplier and shift."""
    groups = {}
    for i, (scale, unit) in enumerate(zip(scales, sums, strict=True)):
        groups.setdefault((scale, unit.factor), []).append(i)
    made = {}
    for (scale, _), group in groups.items():
        units = [sums[i] for i in group]
        firsts = [_first(exact_scaling(scale), unit) if clamp[0] == zero_point == 0 else None for unit in units]
        raised = [unit if first is None else replace(unit, low=first, high=max(first, unit.high))
                  for unit, first in zip(units, firsts, strict=True)]
        found = short_scalings(scale, raised, *clamp, zero_point)
        for at, i in enumerate(group):
            unit, first = units[at], firsts[at]
            made[i] = (_Unit(unit.low, unit.high, unit.factor, 0, found[at], 0, first) if found else
                       _Unit(unit.of(unit.low), unit.of(unit.high), 1, unit.bias, exact_scaling(scale), zero_point,
                             None if first is None else 0))
    return [made[i] for i in range(len(sums))]


def _widest(scales, reach):
    """Return for each unit the Sums of all units of its scale, so that these get the same constants."""
    return [Sums(int(reach[0, scales == scale].min()), int(reach[1, scales == scale].max())) for scale in scales]


def _first(exact, unit):
    """Return an accumulator that makes 0 steps, 0 if possible, if lower ones make negative steps; else None."""
    def steps(acc):
        return exact.steps(np.int64(unit.of(acc)))

    if steps(unit.low) >= 0:
        return None
    return next((acc for acc in (0, unit.turn) if acc >= unit.low and steps(acc) == 0), None)


def _scale(target, unit, clamp):
    """Yield the lines that scale `acc` to an output and clamp it, leaving out a clamp that no sum can need."""
    floor, ceiling = clamp
    low, high = unit.ends
    if unit.first is not None and unit.low < unit.first:
        yield f"if (acc < {unit.first}) acc = {unit.first};"
    yield f"{target} = {_product(unit)};"
    if low < floor:
        yield f"if ({target} < {floor}) {target} = {floor};"
    if high == ceiling + 1 == 256 and low >= 0:
        yield f"{target} -= {target} >> 8;          /* 256, the only step above 255, becomes 255 */"
    elif high > ceiling:
        yield f"if ({target} > {ceiling}) {target} = {ceiling};"


def _product(unit):
    """Return the C expression for the output of `acc`."""
    scaling = unit.scaling
    low = unit.low if unit.first is None else max(unit.low, unit.first)
    constants = [scaling.more, scaling.less] if scaling.split is None else [
        constant >> scaling.split for constant in (scaling.more, scaling.less)]
    more, less = constants
    if more == less or low >= scaling.turn:
        constant = _plus("", more)
    elif unit.high < scaling.turn:
        constant = _plus("", less)
    else:
        constant = f" + (acc < {scaling.turn} ? {less} : {more})"
    if scaling.split is None:
        return _plus(f"(int32_t)(((int64_t)acc * {scaling.multiplier}{constant}) >> {scaling.shift})", unit.zero_point)
    rest = "" if scaling.low == 0 else f" + (acc * {scaling.low} >> {scaling.split})".replace("acc * 1 ", "acc ")
    product = "acc" if scaling.high == 1 else f"acc * {scaling.high}"
    return f"({product}{constant}{rest}) >> {scaling.shift - scaling.split}"


def _products(weights, name, bias):
    """Return the C expression of a sum of products, e.g. -3 * v[0] + v[1] - 7."""
    terms = [f"{weight} * {name}[{j}]" for j, weight in enumerate(weights) if weight] + ([str(bias)] if bias else [])
    text = " + ".join(terms or ["0"]).replace("+ -", "- ")
    return re.sub(r"(?<![\d])1 \* ", "", text)


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
    net = chain_of(net)
    kinds = [type(step).__name__ + _fused(step) for step in net.steps]
    if kinds not in (["FullyConnected with ReLU", f"FullyConnected{end}", "Logistic"] for end in ("", " with ReLU")):
        raise ValueError("TinyMind's XOR program runs a layer with ReLU, a layer and a sigmoid; this net has "
                         + ", ".join(kinds))
    if any(len(layer.weight_scales) > 1 for layer in net.steps[:2]):
        raise ValueError("TinyMind's XOR program takes one weight scale a layer, this net has one a unit; "
                         "make the net with IntegerMLP.from_torch")
    path = Path(files.checked_path("path", path))
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
/* {_in_a_comment(Path(tflite_path).name)}, {len(content):,} bytes. Made by xorlab.codegen.write_tflite_array. */
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
""", encoding="utf-8")
    return Path(path)


def write_esp32(net, directory, tflite_path=None):
    """Write an ESP-IDF example for the ESP32-S3: the net as a component, a program that checks the four corners.

    net : an IntegerMLP of two inputs and one output, for write_c.  directory : a new or an empty folder, or one that
        this has written and nobody has changed since, which is replaced.
    tflite_path : also write the same net by TFLite Micro, with this int8 file as a C array, the operators that it
        uses, and the arena that it needs on this computer (ten times its size where TFLite Micro cannot be asked).
    The README in the folder says what of it was compiled and run, and what was not.
    Raises ValueError for another shape, a net that gets a corner wrong, or a file with other ends than the net or
    that TFLite Micro refuses; FileExistsError for another folder.  Returns the directory.
    """
    directory = Path(files.checked_path("directory", directory))
    if tflite_path is not None:
        files.existing_file(tflite_path, "TFLite")
    files.check_folder(directory)
    net = chain_of(net)
    values = _esp32_values(net)
    if tflite_path is not None:
        values |= _micro_values(net, tflite_path)
    with files.replacing_folder(directory) as made:
        shutil.copytree(ESP32, made, ignore=None if tflite_path else shutil.ignore_patterns("tflite_micro"),
                        dirs_exist_ok=True)
        write_c(net, made / "components" / "xor_net")
        if tflite_path is not None:
            model = made / "tflite_micro" / "main" / "model.c"
            write_tflite_array(tflite_path, model)
        for path in made.rglob("*.c*"):
            text = path.read_text(encoding="utf-8")
            for key, value in values.items():
                text = text.replace(f"@{key}@", str(value))
            path.write_text(text, encoding="utf-8")
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


def _micro_values(net, path):
    """Return what the template of TFLite Micro leaves open, after checking that the file has the net's ends."""
    graph = tflite_file.read(path)
    ends = [[port.affine for port in side] for side in ports.of_graph(graph)]
    if ends != [[net.input], [net.output]]:
        raise ValueError(f"{path} has not the net's ends, an int8 input with {net.input} and an int8 output with "
                         f"{net.output}; export the same net as variant int8")
    try:
        arena, source = ports.arena_of(path), "found by trying on a computer, where pointers are twice as long"
    except ImportError:
        arena = -(-10 * Path(path).stat().st_size // 16) * 16
        source = "ten times the file, because TFLite Micro could not be asked; its report below says how much is used"
    names = sorted({op.name for op in graph.operators})
    return {"ARENA": arena, "ARENA_SOURCE": source, "COUNT": len(names),
            # TFLite Micro's method for CONV_2D is AddConv2D
            "OPERATORS": "\n".join(f"    operators.Add{name.title().replace('_', '')}();" for name in names)}


def _in_a_comment(name):
    """Return a file's name as a C comment can hold it: ASCII, one line, and no end of the comment."""
    plain = name.encode("ascii", "backslashreplace").decode()
    return " ".join(plain.splitlines()).replace("*/", "* /").replace("/*", "/ *").replace("??/", "? ? /")


def _check_name(name):
    arguments.text("name", name)
    free = name not in RESERVED and not re.fullmatch(OWN_NAMES, name) and len(name) <= LONGEST_NAME
    if not (free and re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII)):
        raise ValueError(f"name must be a C identifier, free in C and C++: letters, digits and _, first a letter, no "
                         f"keyword and none of the code's own names; got {arguments.shown(name)}")
