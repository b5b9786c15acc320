import ctypes
import importlib.util
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from elftools.elf.elffile import ELFFile
from graph_files import alone
from hypothesis import example, given, settings
from hypothesis import strategies as st
from random_nets import random_file, tflite_of
from torch import nn

from xorlab import codegen, compare, data, models, predictors, qat
from xorlab.compiler import compile_c
from xorlab.integer import IntegerGraph, IntegerMLP
from xorlab.integer.affine import Affine
from xorlab.integer.operators import Add, FullyConnected, Logistic
from xorlab.integer.rules import RULES

pytest.importorskip("ziglang", reason="no C compiler here")
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
Q = data.int8_inputs()


# one of the few scales at which TinyMind's table is not TFLite Micro's, and at which it matters that TinyMind adds the
# zero point before it rounds
TELLING = Affine(0.014799492433667183, 70)


def layer_of(scale, weights=((1,),), activation="NONE", zero_point=0):
    """A layer whose accumulators are worth `scale` output steps each."""
    weights = np.array(weights)
    biases = np.zeros(len(weights), np.int64)
    return FullyConnected(weights, biases, np.float32([scale]), Affine(1.0, 0), Affine(1.0, zero_point), activation)


@given(st.floats(2**-20, 2**3, width=32), st.lists(st.integers(-(2**24), 2**24), min_size=1, max_size=50))
def test_one_rounding_with_two_constants_is_the_two_roundings_of_tflite_micro(scale, accumulators):
    acc = np.array(accumulators)
    assert (codegen.exact_scaling(scale).steps(acc) == RULES["tflm"].steps(acc, [scale])).all()


@settings(deadline=None)
@given(st.floats(2**-12, 2**-2, width=32),
       st.lists(st.tuples(st.integers(-60_000, 0), st.integers(1, 60_000), st.integers(-60_000, 60_000)),
                min_size=1, max_size=3),
       st.sampled_from([1, 1, 2, 127]), st.integers(-255, 0), st.sampled_from([100, 127, 255]), st.integers(-128, 127))
@example(0.0072998, [(-20_000, 34_758, 9303), (-9000, 9000, 15_423)], 1, 0, 255, 0)     # needs two parts
def test_short_scalings_are_exact_for_every_sum_and_stay_in_32_bits(scale, reaches, factor, floor, ceiling, zero):
    units = [codegen.Sums(low // factor, high // factor, factor, bias) for low, high, bias in reaches]
    found = codegen.short_scalings(scale, units, floor + zero, ceiling + zero, zero) or []
    assert len(found) in (0, len(units)) and len({(s.multiplier, s.shift, s.split) for s in found}) <= 1
    for scaling, unit in zip(found, units, strict=False):
        acc = np.arange(unit.low, unit.high + 1)
        steps = RULES["tflm"].steps(factor * acc + unit.bias, [scale])
        made = np.clip(scaling.steps(acc) - zero, floor, ceiling)
        assert (made == np.clip(steps, floor, ceiling)).all()
        # as C computes it, whose every value must be one of 32 bits
        constant = np.where(factor * acc + unit.bias < 0, scaling.less, scaling.more)
        parts = [acc * scaling.high, constant >> scaling.split, acc * scaling.low, acc * scaling.low >> scaling.split]
        sums = [parts[0] + parts[1], parts[0] + parts[1] + parts[3]]
        assert (sums[1] >> (scaling.shift - scaling.split) == scaling.steps(acc)).all()
        assert all(np.abs(value).max() < 2**31 for value in parts + sums)


def test_nets_of_this_size_need_no_64_bit_scaling():
    """The search is no good if it finds nothing: at common scales it always does."""
    rng = np.random.default_rng(0)
    for scale in rng.uniform(1 / 500, 1 / 50, 50):
        low, high, bias = int(rng.integers(-20_000, 0)), int(rng.integers(1, 20_000)), int(rng.integers(-9000, 9000))
        assert codegen.short_scalings(float(np.float32(scale)), [codegen.Sums(low, high, 1, bias)], 0, 255)


def test_the_reference_nets_need_no_64_bit_product(tmp_path):
    for name in models.reference_names():
        source = codegen.write_c(IntegerMLP.from_torch(models.reference(name)), tmp_path)[1].read_text()
        assert "int64_t" not in source, name


@pytest.mark.parametrize("name", models.reference_names())
@pytest.mark.parametrize("rule", codegen.C_RULES)
def test_generated_c_equals_the_rule_on_all_inputs(name, rule):
    for net in (IntegerMLP.from_torch(models.reference(name), rule=rule),
                IntegerMLP.from_tflite(models.reference_file(name, "int8.tflite"), rule)):
        assert (predictors.from_c(net).codes(Q) == net.codes(Q)).all()


@pytest.mark.skipif(importlib.util.find_spec("tflite_micro") is None, reason="no TFLite Micro here")
def test_generated_c_equals_tflite_micro_itself():
    path = models.reference_file("sigmoid-2-3-1", "int8.tflite")
    c, micro = predictors.from_c(IntegerMLP.from_tflite(path)), predictors.from_tflite(path, "tflm")
    assert compare.agreement(c, micro).differing == 0 and c.name == "C, tflm"


def test_generated_c_equals_the_rule_on_random_nets(tmp_path):
    rng = np.random.default_rng(3)
    for i in range(12):
        described, content = random_file(rng)
        (tmp_path / "net.tflite").write_bytes(content)
        net = IntegerMLP.from_tflite(tmp_path / "net.tflite")
        assert (predictors.from_c(net).codes(Q) == net.codes(Q)).all(), f"net {i}: {described}"


@pytest.mark.parametrize("hidden, activation", [
    ((), "relu"), ((3, 5), "relu"), ((40, 40), "relu"), ((12, 9), "sigmoid")])
def test_generated_c_equals_the_rule_for_every_depth_and_for_loops(hidden, activation):
    net = IntegerMLP.from_torch(models.MLP(hidden, activation, seed=1))
    logits = IntegerMLP(net.steps[:-1])         # an untrained net's sigmoid has few codes, its logits all
    for part in (net, logits):
        assert (predictors.from_c(part).codes(Q) == part.codes(Q)).all()
    assert len(np.unique(logits.codes(Q))) > 4


def test_generated_c_with_many_inputs_and_outputs():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    x = np.random.default_rng(0).uniform(0, 1, (500, 64)).astype(np.float32)
    integers = IntegerMLP.from_torch(net, x)
    q = integers.input.quantize(x)
    assert predictors.from_c(integers).codes(q).shape == (500, 10)
    assert (predictors.from_c(integers).codes(q) == integers.codes(q)).all()


@pytest.mark.parametrize("activation, zero_point", [("NONE", 9), ("NONE", -128), ("RELU", 9)])
def test_a_layer_of_too_many_sums_to_check_takes_64_bits(activation, zero_point, tmp_path):
    rng = np.random.default_rng(0)
    net = IntegerMLP((layer_of(0.00037, rng.integers(-127, 128, (3, 300)), activation, zero_point),))
    q = rng.choice(np.int8([-128, 0, 127]), (5000, 300))
    assert "int64_t" in codegen.write_c(net, tmp_path)[1].read_text()
    assert (predictors.from_c(net).codes(q) == net.codes(q)).all() and len(np.unique(net.codes(q))) > 60


def test_a_large_bias_needs_no_64_bits_because_it_is_in_the_constant(tmp_path):
    layer = layer_of(0.004321, ((127,) * 2, (-127,) * 2))
    net = IntegerMLP((replace(layer, biases=np.array([9000, -9000])), layer_of(0.3, ((1, -1),), zero_point=-7)))
    assert "int64_t" not in codegen.write_c(net, tmp_path)[1].read_text()
    assert (predictors.from_c(net).codes(Q) == net.codes(Q)).all()


def test_sums_at_the_ends_of_their_reach_are_right():
    """A layer whose sums reach the clamps at both ends, and one that reaches neither: clamps are left out there."""
    for scale, zero_point, activation in [
            (0.5, 5, "NONE"), (1.0, 0, "NONE"), (0.25, -128, "NONE"), (1.0, -128, "NONE"), (0.9, 3, "RELU"),
            (2.0, -100, "RELU"), (3.7, 0, "NONE"), (2.0**-9, 10, "NONE"), (2.0**-25, 100, "NONE"),
            (3e-10, 100, "NONE"), (3e-11, -99, "RELU")]:
        net = IntegerMLP((layer_of(scale, ((1, -1), (-1, 1), (1, 1), (0, 0)), activation, zero_point),))
        assert (predictors.from_c(net).codes(Q) == net.codes(Q)).all(), (scale, zero_point, activation)


def test_generated_c_is_warning_free_c99_without_floats_or_library_calls(tmp_path):
    for name in models.reference_names():
        header, source = codegen.write_c(IntegerMLP.from_torch(models.reference(name)), tmp_path, "my_net")
        compile_c([source], tmp_path / "net.o", ["-c", "-O2", *STRICT])
        text = header.read_text() + source.read_text()
        assert [line for line in text.splitlines() if line.startswith("#include")] == [
            "#include <stdint.h>", '#include "my_net.h"']
        assert "float" not in text and "double" not in text and "MY_NET_INPUTS 2" in text
        assert max(map(len, text.splitlines())) <= 120


def test_what_c_cannot_follow_is_refused_in_one_sentence(tmp_path):
    net = IntegerMLP.from_torch(models.reference())
    for rule in set(RULES) - set(codegen.C_RULES):
        with pytest.raises(ValueError, match=r"tflm or tinymind.*under\('tflm'\)"):
            codegen.write_c(net.under(rule), tmp_path)
    for name in ("2nd", "a b", "", "größe", "for", "restrict", "main", "new", "xor", "uint8_t", "INT32_MAX", "table_2",
                 "_net"):
        with pytest.raises(ValueError, match="C identifier"):
            codegen.write_c(net, tmp_path, name)
    wide = FullyConnected(np.array([[127, 127]]), np.array([2**31 - 1]), np.float32([1e-6]), Affine(1, 0), Affine(1, 0))
    halfway = replace(wide, biases=np.array([2**31 - 1 - 127 * 4]), weights=np.array([[127, -127]]))
    scaled = replace(wide, biases=np.array([2**30]), weight_scales=np.float32([1.5]))
    for layer in (wide, halfway, scaled):
        with pytest.raises(ValueError, match="operator 1: .*beyond 32 bits"):
            codegen.write_c(IntegerMLP((layer,)), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_partial_sums_count_too(tmp_path):
    """Hidden codes that never come near 0: the bias alone is beyond 32 bits, the whole sum is not."""
    high = FullyConnected(np.zeros((2, 1), int), np.array([120, 120]), np.float32([1]), Affine(1, 0), Affine(1, -128))
    after = FullyConnected(np.array([[127, 127]]), np.array([-(2**31) - 2000]), np.float32([2.0**-24]),
                           Affine(1.0, -128), Affine(1.0, 0))
    net = IntegerMLP((high, after))
    assert net.trace(np.int8([[0]]))[1].accumulators.min() >= -(2**31)
    with pytest.raises(ValueError, match="operator 2: .*beyond 32 bits"):
        codegen.write_c(net, tmp_path)


@pytest.mark.parametrize("ends, says", [
    ((False, False), []), ((True, False), ["takes float32"]), ((True, True), ["takes float32", "gives float32"])])
def test_the_header_tells_of_the_ends_that_the_code_leaves_out(ends, says, tmp_path):
    steps = IntegerMLP.from_torch(models.reference()).steps
    (tmp_path / "net.tflite").write_bytes(tflite_of(steps, float_ends=ends))
    header, source = codegen.write_c(IntegerMLP.from_tflite(tmp_path / "net.tflite"), tmp_path)
    text = header.read_text()
    assert [end for end in ("takes float32", "gives float32") if end in text] == says
    assert source.read_text() == codegen.write_c(IntegerMLP(steps), tmp_path)[1].read_text()


def test_a_compiler_error_is_one_sentence(tmp_path):
    bad = tmp_path / "bad.c"
    bad.write_text("int main(void) { return nothing; }")
    with pytest.raises(ValueError, match="refused the code.*nothing"):
        compile_c([bad], tmp_path / "out", [])


def test_a_missing_compiler_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install ziglang"):
        predictors.from_c(IntegerMLP.from_torch(models.reference()))


# --- TinyMind's header

def compile_cpp(path):
    """Compile one C++ file to a library without C++'s own library, which would take the compiler half a minute to make.

    The two headers that TinyMind's includes are what C has under other names.
    """
    (path.parent / "cstddef").write_text("#include <stddef.h>\nnamespace std { using ::size_t; }\n")
    (path.parent / "cstdint").write_text("#include <stdint.h>\nnamespace std { using ::int32_t; }\n")
    return ctypes.CDLL(str(compile_c([path], path.with_suffix(".so"), [
        "-x", "c++", "-std=c++11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-shared", "-fPIC",
        f"-I{path.parent}"])))


def constants(path):
    """Compile the header as C++ and read its constants out of the compiled library."""
    names = {"kInputScale": ctypes.c_float, "kHiddenScale": ctypes.c_float, "kLogitScale": ctypes.c_float,
             "kSigmoidOutScale": ctypes.c_float, "kFc1WeightScale": ctypes.c_float, "kFc2WeightScale": ctypes.c_float}
    names |= {f"k{name}ZeroPoint": ctypes.c_int32 for name in ("Input", "Hidden", "Logit", "SigmoidOut")}
    names |= {f"k{layer}{part}": ctypes.c_int32 for layer in ("Fc1", "Fc2")
              for part in ("Multiplier", "Shift", "ZeroPoint", "Min", "Max")}
    sizes = {name: ctypes.c_size_t for name in ("NumInputs", "HiddenSize", "NumOutputs")}
    kinds = {ctypes.c_float: "float", ctypes.c_int32: "std::int32_t", ctypes.c_size_t: "std::size_t"}
    lines = [f'extern "C" {kinds[kind]} get_{name}() {{ return pytorch_quant_xor::{name}; }}'
             for name, kind in (names | sizes).items()]
    arrays = {"kFc1Weights": ctypes.c_int8, "kFc1Biases": ctypes.c_int32, "kFc2Weights": ctypes.c_int8,
              "kFc2Biases": ctypes.c_int32, "kSigmoidTable": ctypes.c_int8}
    lines += [f'extern "C" const void *get_{name}() {{ return pytorch_quant_xor::{name}; }}'
              f'extern "C" std::size_t size_{name}() {{ return sizeof pytorch_quant_xor::{name}; }}' for name in arrays]
    program = path.parent / "constants.cpp"
    program.write_text(f'#include "{path.name}"\n' + "\n".join(lines))
    library = compile_cpp(program)
    found = {}
    for name, kind in (names | sizes).items():
        function = getattr(library, f"get_{name}")
        function.restype = kind
        found[name] = function()
    for name, kind in arrays.items():
        address, size = getattr(library, f"get_{name}"), getattr(library, f"size_{name}")
        address.restype, size.restype = ctypes.c_void_p, ctypes.c_size_t
        count = size() // ctypes.sizeof(kind)
        found[name] = list((kind * count).from_address(address()))
    return found


def test_the_textbook_header_holds_the_published_constants(tmp_path):
    net = IntegerMLP.from_torch(models.reference("textbook-2-4-1"))
    found = constants(codegen.write_weights_header(net, tmp_path / "weights.hpp"))
    published = {"kInputScale": 1 / 255, "kHiddenScale": 2 / 255, "kLogitScale": 4 / 255, "kSigmoidOutScale": 1 / 256,
                 "kFc1WeightScale": 1 / 127, "kFc2WeightScale": 4 / 127}
    assert {name: found[name] for name in published} == {k: np.float32(v) for k, v in published.items()}
    assert [found[f"k{name}ZeroPoint"] for name in ("Input", "Hidden", "Logit", "SigmoidOut")] == [-128, -128, -1, -128]
    assert [found[name] for name in ("NumInputs", "HiddenSize", "NumOutputs")] == [2, 4, 1]
    assert found["kFc1Weights"] == [127] * 8 and found["kFc2Weights"] == [64, -127, 64, -127]
    assert found["kFc1Biases"] == [0, -32385, 0, -32385] and found["kFc2Biases"] == [-8096]
    assert (found["kFc1Shift"], found["kFc2Shift"]) == (7, 5)               # positive: to the right
    assert (found["kFc1Min"], found["kFc1Max"], found["kFc1ZeroPoint"]) == (-128, 127, -128)


@pytest.mark.parametrize("name, logit", [("textbook-2-4-1", None), ("relu-2-4-1", None), ("relu-2-4-1", TELLING)])
def test_the_headers_integers_and_table_alone_make_the_net(name, logit, tmp_path):
    """A C++ program that uses only the integers of the header, written as TinyMind computes."""
    net = IntegerMLP.from_torch(models.reference(name), rule="tinymind")
    if logit:
        first, second, sigmoid = net.steps
        net = IntegerMLP((first, replace(second, output=logit), replace(sigmoid, input=logit)), "tinymind")
        assert (net.codes(Q) != net.under("tflm").codes(Q)).any()
    codegen.write_weights_header(net, tmp_path / "weights.hpp")
    (tmp_path / "run.cpp").write_text(r"""
#include "weights.hpp"
using namespace pytorch_quant_xor;
static int8_t requantize(int32_t acc, int32_t m, int32_t shift, int32_t zero, int32_t low, int32_t high) {
    const int64_t product = static_cast<int64_t>(acc) * m;
    int64_t y = (product + (product >= 0 ? 1 << 30 : 1 - (1 << 30))) / (static_cast<int64_t>(1) << 31);
    const int64_t unit = static_cast<int64_t>(1) << shift;          // half a unit away from zero, then cut
    y = shift ? (y + (y >= 0 ? unit / 2 : -unit / 2)) / unit : y;
    y += zero;
    return static_cast<int8_t>(y < low ? low : y > high ? high : y);
}
extern "C" void batch(const int8_t *in, int8_t *out, long long n) {
    for (long long k = 0; k < n; ++k) {
        int8_t hidden[HiddenSize];
        for (std::size_t i = 0; i < HiddenSize; ++i) {
            int32_t acc = kFc1Biases[i];
            for (std::size_t j = 0; j < NumInputs; ++j)
                acc += kFc1Weights[i * NumInputs + j] * (in[k * 2 + j] - kInputZeroPoint);
            hidden[i] = requantize(acc, kFc1Multiplier, kFc1Shift, kFc1ZeroPoint, kFc1Min, kFc1Max);
        }
        int32_t acc = kFc2Biases[0];
        for (std::size_t i = 0; i < HiddenSize; ++i)
            acc += kFc2Weights[i] * (hidden[i] - kHiddenZeroPoint);
        out[k] = kSigmoidTable[requantize(acc, kFc2Multiplier, kFc2Shift, kFc2ZeroPoint, kFc2Min, kFc2Max) + 128];
    }
}""")
    library = compile_cpp(tmp_path / "run.cpp")
    q, out = np.ascontiguousarray(Q), np.empty(len(Q), np.int8)
    library.batch(ctypes.c_void_p(q.ctypes.data), ctypes.c_void_p(out.ctypes.data), ctypes.c_longlong(len(q)))
    assert (out == net.codes(Q)).all()


def test_tinyminds_table_is_its_float_sigmoid_rounded_by_c(tmp_path):
    """The table written in C with expf and lround, for many scales: ties and the last bits of expf count."""
    (tmp_path / "table.c").write_text(r"""
#include <math.h>
#include <stdint.h>
void table(float scale, int32_t zero, int8_t *out) {
    for (int32_t q = -128; q < 128; ++q) {
        const float y = 1.0f / (1.0f + expf(-(scale * (float)(q - zero))));
        const long code = lround((double)(-128.0f + y / (1.0f / 256.0f)));
        out[q + 128] = (int8_t)(code < -128 ? -128 : code > 127 ? 127 : code);
    }
}""")
    library = ctypes.CDLL(str(compile_c([tmp_path / "table.c"], tmp_path / "table.so", ["-O1", "-shared", "-fPIC"])))
    rng = np.random.default_rng(0)
    scales, zero_points = np.exp2(rng.uniform(-8, -2, 300)).astype(np.float32), rng.integers(-128, 128, 300)
    for scale, zero_point in [*zip(scales, zero_points.tolist(), strict=True), (np.float32(TELLING.scale), 70)]:
        out = np.empty(256, np.int8)
        library.table(ctypes.c_float(scale), ctypes.c_int32(zero_point), ctypes.c_void_p(out.ctypes.data))
        step = Logistic(Affine(float(scale), zero_point), Affine(1 / 256, -128))
        assert (RULES["tinymind"].table(step) == out).all(), (scale, zero_point)


def relu_net():
    return IntegerMLP.from_torch(models.reference("relu-2-4-1"))


@pytest.mark.parametrize("net, says", [
    (lambda: IntegerMLP.from_torch(models.reference("sigmoid-2-3-1")), "layer with ReLU, a layer and a sigmoid"),
    (lambda: IntegerMLP.from_torch(models.MLP((4, 4), "relu", seed=0)), "layer with ReLU, a layer and a sigmoid"),
    (lambda: IntegerMLP((replace(relu_net().steps[0], activation="RELU6"), *relu_net().steps[1:])),
     "has FullyConnected with ReLU6, F"),
    (lambda: IntegerMLP.from_tflite(models.reference_file("relu-2-4-1", "int8.tflite")), "one weight scale a layer")])
def test_a_net_that_tinymind_cannot_run_is_refused(net, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        codegen.write_weights_header(net(), tmp_path / "weights.hpp")
    assert list(tmp_path.iterdir()) == []


# --- A TFLite file as a C array

def test_the_array_is_the_file_aligned_to_16_bytes_in_c_and_in_cpp(tmp_path):
    original = models.reference_file("relu-2-4-1", "int8.tflite")
    path = codegen.write_tflite_array(original, tmp_path / "model.c")
    for flags in (["-std=c11"], ["-x", "c++", "-std=c++11"]):
        library = ctypes.CDLL(str(compile_c([path], tmp_path / f"{len(flags)}.so", [
            *flags, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-shared", "-fPIC"])))
        length = ctypes.c_uint.in_dll(library, "model_tflite_len").value
        array = (ctypes.c_ubyte * length).in_dll(library, "model_tflite")
        assert bytes(array) == original.read_bytes()
        # on a chip whose arrays of bytes may lie anywhere
        chip = compile_c([path], tmp_path / f"{len(flags)}.o", [
            *flags, "-c", "-target", "thumb-freestanding-eabi", "-mcpu=cortex_m0plus", "-fdata-sections"])
        with chip.open("rb") as file:
            aligned = {s.name: s["sh_addralign"] for s in ELFFile(file).iter_sections()}
        assert aligned[".rodata.model_tflite"] >= 16


def test_the_arrays_file_may_have_a_name_with_letters_beyond_ascii_and_c_stays_ascii(tmp_path):
    named = tmp_path / "größe.tflite"
    named.write_bytes(models.reference_file("relu-2-4-1", "int8.tflite").read_bytes())
    text = codegen.write_tflite_array(named, tmp_path / "model.c").read_text(encoding="ascii")
    assert text.startswith(r"/* gr\xf6\xdfe.tflite, ")


def test_a_damaged_file_becomes_no_array(tmp_path):
    (tmp_path / "bad.tflite").write_bytes(b"TFL3" * 9)
    with pytest.raises(ValueError, match="not a sound TFLite"):
        codegen.write_tflite_array(tmp_path / "bad.tflite", tmp_path / "model.c")
    assert not (tmp_path / "model.c").exists()


def test_compiling_leaves_nothing_in_the_home_folder(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    code = "from xorlab import models, predictors; from xorlab.integer import IntegerMLP; " \
           "predictors.from_c(IntegerMLP.from_torch(models.reference()))"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"HOME": str(home)})
    assert list(home.iterdir()) == []


# --- graphs

@pytest.mark.parametrize("make", [IntegerGraph.from_torch, lambda net: IntegerGraph.from_qat(
    qat.rounded(net, data.grid(9)))], ids=["from_torch", "from_qat"])
def test_a_graph_that_is_a_chain_becomes_c_that_equals_it_on_every_input(make):
    graph = make(models.reference("relu-2-4-1"))
    assert (predictors.from_c(graph).codes(Q) == graph.codes(Q)).all() and len(np.unique(graph.codes(Q))) > 20


def test_another_graph_is_refused_in_a_sentence_that_says_what_could_be_done(tmp_path):
    line = Affine(0.5, 0)
    graph = alone(Add(line, line, line), (1, 2), (1, 2))
    for write in (codegen.write_c, codegen.write_esp32, codegen.write_weights_header,
                  lambda net, _: predictors.from_c(net)):
        with pytest.raises(ValueError, match="the graph has 2 inputs and 1 outputs; C code is written for chains .*; "
                                             "TFLite Micro runs other graphs .*write_tflite_array"):
            write(graph, tmp_path / "net")
    added = alone(Add(line, line, line), (1, 2), (1, 2), constants={1: np.zeros((1, 2))})
    with pytest.raises(ValueError, match="the graph is not a chain of operators at ADD; C code is written for"):
        codegen.write_c(added, tmp_path)
    with pytest.raises(TypeError, match="net must be an IntegerMLP or an IntegerGraph, got MLP; make one with"):
        codegen.write_c(models.reference(), tmp_path)
    assert not (tmp_path / "net").exists()
