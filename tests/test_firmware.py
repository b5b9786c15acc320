import importlib.util
import re
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from xorlab import codegen, compare, data, firmware, models, predictors, tflite_file
from xorlab.compiler import compile_c
from xorlab.exercises import lesson_10
from xorlab.integer import IntegerGraph, IntegerMLP

pytest.importorskip("ziglang", reason="no C compiler here")
pytest.importorskip("unicorn", reason="no emulator here")
Q = data.int8_inputs()
# of the 2-4-1 ReLU net at -Os: flash bytes, fewest and most instructions over all inputs; exact, so that a step back
# is seen
RATCHET = {"cortex-m0plus": (500, 98, 100), "cortex-m4": (484, 66, 68), "rv32imc": (562, 85, 87)}


C = """#include <stdint.h>
void xor_net(const int8_t *input, int8_t *output)
"""


@pytest.fixture(scope="module")
def built():
    """Firmware by (net name, target), built once."""
    made = {}

    def build(name, target):
        if (name, target) not in made:
            made[name, target] = firmware.build(IntegerMLP.from_torch(models.reference(name)), target)
        return made[name, target]

    return build


@pytest.mark.parametrize("target", firmware.TARGETS)
@pytest.mark.parametrize("name", models.reference_names())
def test_the_emulated_net_equals_its_rule_on_all_inputs(name, target, built):
    p = predictors.from_firmware(built(name, target))
    integers = predictors.from_integer(IntegerMLP.from_torch(models.reference(name)))
    assert compare.agreement(p, integers).differing == 0
    assert compare.corners_right(p) == 4 and p.name == f"{target}, emulated"


@pytest.mark.skipif(importlib.util.find_spec("tflite_micro") is None, reason="no TFLite Micro here")
@pytest.mark.parametrize("target", firmware.TARGETS)
def test_the_emulated_net_equals_tflite_micro_itself(target):
    path = models.reference_file("relu-2-4-1", "int8.tflite")
    emulated = predictors.from_firmware(firmware.build(IntegerGraph.from_tflite(path), target))
    assert compare.agreement(emulated, predictors.from_tflite(path, "tflm")).differing == 0


def test_a_firmware_shows_as_a_table_and_not_as_its_bytes(built):
    made = built("relu-2-4-1", "rv32imc")
    assert repr(made) == str(made) and f"{made.flash_bytes}" in str(made) and str(made).count("\n") == 2
    assert "<table" in made._repr_html_()


@pytest.mark.parametrize("target", firmware.TARGETS)
def test_flash_and_instructions_do_not_grow(target, built):
    made = built("relu-2-4-1", target)
    over_all = made.extremes()
    assert over_all.every and len(over_all.counts) == 65_536
    assert (made.flash_bytes, over_all.least, over_all.most) == RATCHET[target]


@pytest.mark.parametrize("target", firmware.TARGETS)
@pytest.mark.parametrize("name", models.reference_names())
def test_the_counts_over_all_inputs_are_those_of_each_input_alone(name, target, built):
    """Inputs of one path are counted once; here each is counted by itself, thousands in all, the extremes too."""
    over_all = built(name, target).extremes()
    chosen = np.random.default_rng(0).integers(0, 65_536, 300)
    some = np.concatenate([over_all.inputs[chosen], over_all.least_inputs[:20], over_all.most_inputs[-20:]])
    alone = built(name, target).instructions(some)
    assert (over_all.inputs == Q).all()
    assert (alone[:300] == over_all.counts[chosen]).all()
    assert set(alone[300:]) == {over_all.least, over_all.most} and over_all.least < over_all.most


def test_instructions_are_those_of_a_program_counted_by_hand(tmp_path):
    """Four instructions straight through; one branch more where the input is negative."""
    source = tmp_path / "by_hand.c"
    source.write_text(r"""
__asm__(".thumb\n.syntax unified\n.global xor_net\n.thumb_func\nxor_net:\n"
        "movs r2, #0\nldrsb r2, [r0, r2]\ncmp r2, #0\nbge 1f\nmovs r2, #7\n1: strb r2, [r1]\nbx lr\n");
""")
    net = IntegerMLP.from_torch(models.reference())
    made = firmware.from_sources([source], "cortex-m0plus", net, ["-Os"], "by hand")
    assert made.instructions(np.int8([[5, 0], [-5, 0], [0, 0]])).tolist() == [6, 7, 6]
    assert made.run(np.int8([[5, 0], [-5, 0]])).ravel().tolist() == [5, 7]
    assert (made.flash_bytes, made.ram_bytes) == (14, 0)


# {target: assembler, and from codes to instructions, counted by hand}
BY_HAND = {
    # the IT counts, and what it skips does not: no instruction of its own for a positive first code, two for another
    "cortex-m4": ("""
        movs r2, #0
        ldrsb r2, [r0, r2]
        cmp r2, #0
        itt le
        movle r2, #7
        suble r2, #2
        strb r2, [r1]
        bx lr""", lambda a, b: 6 + 2 * (a <= 0)),
    # the function begins with its own loop: 5 and a store while the first code is above zero
    "cortex-m0plus": ("""
        1: movs r2, #0
        ldrsb r2, [r0, r2]
        cmp r2, #0
        ble 2f
        subs r2, #64
        strb r2, [r0]
        b 1b
        2: strb r2, [r1]
        bx lr""", lambda a, b: 6 + 7 * (-(-np.maximum(a, 0) // 64))),
    # two branches, one within the other
    "rv32imc": ("""
        lb a2, 0(a0)
        lb a3, 1(a0)
        blt a2, a3, 1f
        beq a2, a3, 2f
        sub a2, a2, a3
        j 2f
        1: add a2, a2, a3
        2: sb a2, 0(a1)
        ret""", lambda a, b: 5 + np.where(a < b, 1, np.where(a == b, 1, 3))),
}


@pytest.mark.parametrize("target", BY_HAND)
def test_extremes_are_those_of_a_program_counted_by_hand_on_all_inputs(target, tmp_path):
    code, by_hand = BY_HAND[target]
    thumb = "" if target == "rv32imc" else ".thumb\n.syntax unified\n.thumb_func\n"
    lines = "".join(f'"{line.strip()}\\n"' for line in (thumb + ".global xor_net\nxor_net:" + code).splitlines())
    (tmp_path / "by_hand.c").write_text(f"__asm__({lines});")
    net = IntegerMLP.from_torch(models.reference())
    over_all = firmware.from_sources([tmp_path / "by_hand.c"], target, net, [], "by hand").extremes()
    counts = by_hand(*Q.T.astype(int))
    assert (over_all.counts == counts).all()
    assert (over_all.least, over_all.most) == (counts.min(), counts.max())
    assert (over_all.most_inputs == Q[counts == counts.max()]).all()
    assert (over_all.least_inputs == Q[counts == counts.min()]).all()


def test_extremes_say_what_they_are_of(built):
    made = built("relu-2-4-1", "rv32imc")
    assert re.search(r"65,536 +85 .* 87 +1 +-128, 127$", str(made.extremes()))
    some = made.extremes(Q[:3])
    assert not some.every and some.counts.tolist() == made.instructions(Q[:3]).tolist()
    with pytest.raises(ValueError, match="no inputs are not defined"):
        made.extremes(Q[:0])
    with pytest.raises(ValueError, match=r"int8 of shape \(n, 2\)"):
        made.extremes(np.zeros((4, 3), np.int8))


@pytest.mark.parametrize("width, inputs, every", [(1, 256, True), (3, firmware.SAMPLE, False)])
def test_one_input_is_counted_on_all_codes_and_three_on_a_sample_that_says_so(width, inputs, every):
    layer = IntegerMLP.from_torch(models.reference("relu-2-4-1")).steps[0]
    net = IntegerMLP((replace(layer, weights=np.array([[127, -90, 51][:width], [-127, 44, 9][:width]]),
                              biases=np.array([-16_000, 100])),))
    made = firmware.build(net, "cortex-m0plus")
    over = made.extremes()
    assert (len(over.counts), over.every, "a sample" in str(over)) == (inputs, every, not every)
    assert (made.instructions(over.inputs[::97]) == over.counts[::97]).all() and over.least < over.most


def test_code_of_many_branches_is_counted_on_a_sample_that_says_so(tmp_path):
    (tmp_path / "long.c").write_text(C + "{ for (int i = 0; i < 500; ++i) *(volatile int8_t *)output = input[0]; }")
    net = IntegerMLP.from_torch(models.reference())
    made = firmware.from_sources([tmp_path / "long.c"], "rv32imc", net, ["-Os"], "long")
    assert not made.extremes().every and len(made.extremes().counts) == firmware.SAMPLE
    assert made.ram_bytes == 0


def test_ram_is_the_deepest_stack_of_any_input(tmp_path):
    """A single input of all needs another 400 bytes."""
    source = tmp_path / "deep.c"
    source.write_text("""
#include <stdint.h>
__attribute__((noinline)) static int8_t deep(int8_t x)
{
    volatile int8_t scratch[400];
    scratch[x + 128] = x;
    return scratch[x + 128];
}
void xor_net(const int8_t *input, int8_t *output)
{
    output[0] = input[0] == 5 && input[1] == -7 ? deep(input[0]) : input[1];
}
""")
    net = IntegerMLP.from_torch(models.reference())
    for target in firmware.TARGETS:
        assert 400 <= firmware.from_sources([source], target, net, ["-Os"], "deep").ram_bytes <= 432


def test_ram_is_variables_and_the_deepest_stack(tmp_path):
    source = tmp_path / "stack.c"
    source.write_text("""
#include <stdint.h>
static volatile int32_t counter[10], started[5] = {7};
void xor_net(const int8_t *input, int8_t *output)
{
    volatile int8_t scratch[200];
    for (int i = 0; i < 200; ++i) scratch[i] = input[0];
    counter[3] += started[1];
    output[0] = scratch[77];
}
""")
    made = firmware.from_sources([source], "rv32imc", IntegerMLP.from_torch(models.reference()), ["-Os"], "stack")
    assert 260 <= made.ram_bytes <= 260 + 32


@pytest.mark.parametrize("target, flags, says", [
    ("cortex-m0plus", [], "floating-point routines.*__aeabi_fmul"), ("cortex-m4", [], "floating-point routines"),
    ("rv32imc", [], "floating-point routines.*__addsf3"),
    ("cortex-m4", ["-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m4+vfp4d16sp"], "no integer instruction v")])
def test_floating_point_is_caught_in_every_disguise(target, flags, says, tmp_path):
    source = tmp_path / "floats.c"
    source.write_text("""
#include <stdint.h>
void xor_net(const int8_t *input, int8_t *output)
{
    volatile float x = input[0];
    output[0] = (int8_t)(x * 0.5f + (float)input[1]);
}
""")
    net = IntegerMLP.from_torch(models.reference())
    with pytest.raises(ValueError, match=says):
        firmware.from_sources([source], target, net, ["-Os", *flags], "floats")


def test_code_for_a_larger_processor_does_not_pass_on_the_smaller(built):
    made = replace(built("relu-2-4-1", "cortex-m4"), target="cortex-m0plus")
    assert (made.run(Q[:9]) == built("relu-2-4-1", "cortex-m4").run(Q[:9])).all(), "the emulator does not mind, so"
    with pytest.raises(ValueError, match="cortex-m0plus has no integer instruction"):
        firmware._check(made)


@pytest.mark.parametrize("size, mnemonic, passes", [
    (2, "add", True), (4, "add.w", False), (4, "ldr.w", False), (4, "bl", True), (2, "mla", False)])
def test_the_smaller_processor_has_no_long_instruction_but_calls(size, mnemonic, passes):
    made = SimpleNamespace(target="cortex-m0plus", _symbols={}, _instructions=lambda: [(0, size, mnemonic, "r0, r1")])
    if passes:
        return firmware._check(made)
    with pytest.raises(ValueError, match=f"cortex-m0plus has no integer instruction {mnemonic}"):
        firmware._check(made)


def test_a_64_bit_product_needs_no_floating_point_either():
    layer = IntegerMLP.from_torch(models.reference()).steps[0]
    weights = np.random.default_rng(0).integers(-127, 128, (3, 300))
    net = IntegerMLP((replace(layer, weights=weights),))
    q = np.random.default_rng(1).integers(-128, 128, (50, 300), dtype=np.int8)
    for target in firmware.TARGETS:
        made = firmware.build(net, target)
        assert (made.run(q) == net.codes(q)).all()
        assert "int64_t" in made.sources["xor_net.c"]


@pytest.mark.parametrize("target", firmware.TARGETS)
def test_the_disassembly_shows_c_beside_every_instruction_and_no_constants(target, built):
    made = built("relu-2-4-1", target)
    text = made.disassembly()
    instructions = re.findall(r"^  [0-9a-f]{8}  ([0-9a-f]+)", text, re.MULTILINE)
    code = b"".join(map(bytes.fromhex, instructions))
    assert "unknown" not in text and "if (acc < 0) acc = 0;" in text.splitlines()
    assert made.image.count(code[:40]) == 1
    # beside instructions .text holds constants only: on Cortex-M their number, on RISC-V none
    constants = made._sections[".text"][1]
    assert len(constants) - len(code) in range(0, 80, 2) and (target != "rv32imc" or len(code) == len(constants))


def test_no_inputs_are_refused_with_their_shape(built):
    firmware_ = built("relu-2-4-1", "rv32imc")
    for call in (firmware_.run, firmware_.instructions):
        with pytest.raises(ValueError, match=r"codes must be int8 of shape \(n, 2\), got int8 of shape \(0, 2\)"):
            call(np.empty((0, 2), np.int8))


def test_impossible_targets_codes_and_rules_are_refused(built):
    net = IntegerMLP.from_torch(models.reference())
    with pytest.raises(ValueError, match="cortex-m0plus, cortex-m4, rv32imc, got 'avr'"):
        firmware.build(net, "avr")
    with pytest.raises(ValueError, match="tflm or tinymind"):
        firmware.build(net.under("xnnpack"))
    for q in (np.zeros((4, 3), np.int8), np.zeros((4, 2))):
        for ask in (built("relu-2-4-1", "rv32imc").run, built("relu-2-4-1", "rv32imc").instructions):
            with pytest.raises(ValueError, match=r"int8 of shape \(n, 2\)"):
                ask(q)


@pytest.mark.parametrize("code, error", [
    ("{ for (;;) output[0]++; }", "has not returned after 100,000,000 instructions"),
    ("{ output[0] = *(volatile int8_t *)0x90000000; }", "broke off at 0x80000.* in the emulator: Invalid memory read"),
    ("{ ((void (*)(void))0x70000000)(); }", "broke off at 0x70000000 in the emulator"),
    ("{ static volatile int8_t a[1000000]; a[1] = 3; output[0] = a[1]; }", "take more than the half MiB"),
    ("{ output[0] = input[0] }", "refused the code.*expected ';'")])
def test_code_that_cannot_work_ends_in_a_sentence(code, error, tmp_path):
    (tmp_path / "wrong.c").write_text(C + code)
    net = IntegerMLP.from_torch(models.reference())
    with pytest.raises(ValueError, match=error):
        firmware.from_sources([tmp_path / "wrong.c"], "rv32imc", net, ["-Os"], "wrong")


def test_what_is_no_net_or_no_source_ends_in_a_sentence(tmp_path):
    net = IntegerMLP.from_torch(models.reference())
    right, static = tmp_path / "right.c", tmp_path / "static.c"
    right.write_bytes((C + "{ output[0] = input[0]; } // ").encode() + b"\xe9")        # a comment in Latin-1
    static.write_text(C.replace("void", "static void") + "{ output[0] = input[0]; }")
    assert firmware.from_sources([right], "rv32imc", net, ["-Os"], "right").run(Q[:9])[:, 0].tolist() == [-128] * 9
    for sources, flags, used, error, says in (
            (right, ["-Os"], net, TypeError, "sources must be a list"), ([right], "-Os", net, TypeError, "flags must"),
            ([static], ["-Os"], net, ValueError, "no source defines void xor_net"),
            ([], ["-Os"], net, ValueError, "no source defines void xor_net"),
            ([tmp_path / "gone.c"], ["-Os"], net, FileNotFoundError, "no C file at"),
            ([right], ["-Os"], models.reference(), TypeError, "net must be an IntegerMLP or an IntegerGraph, got MLP")):
        with pytest.raises(error, match=says):
            firmware.from_sources(sources, "rv32imc", used, flags, "wrong")
    with pytest.raises(TypeError, match="net must be an IntegerMLP or .*, got MLP; make one with from_torch,"):
        firmware.build(models.reference())


def test_a_missing_emulator_is_one_sentence(monkeypatch):
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "unicorn" else there(name))
    with pytest.raises(ImportError, match="pip install unicorn"):
        firmware.build(IntegerMLP.from_torch(models.reference()))


@pytest.mark.skipif(importlib.util.find_spec("tflite_micro") is None, reason="no TFLite Micro here")
def test_the_arena_is_enough_for_tflite_micro_and_sixteen_bytes_less_are_not(tmp_path):
    from tflite_micro.python.tflite_micro import runtime

    for name in models.reference_names():
        path = models.reference_file(name, "int8.tflite")
        arena = firmware.tflite_micro_arena(path)
        q = data.int8_inputs()[::997]
        small = runtime.Interpreter.from_file(str(path), arena_size=arena)
        small.set_input(q[5:6], 0)
        small.invoke()
        assert small.get_output(0) == IntegerMLP.from_tflite(path).codes(q[5:6])
        with pytest.raises(RuntimeError, match="failed to allocate"):
            runtime.Interpreter.from_file(str(path), arena_size=arena - 16)
    (tmp_path / "bad.tflite").write_bytes(b"no")
    with pytest.raises(ValueError, match="bad.tflite is not a sound TFLite file"):
        firmware.tflite_micro_arena(tmp_path / "bad.tflite")


# --- the C of one unit, which may be anybody's

TWO_STEPS = """
int32_t acc = 49 * input[0] + 5 * input[1] + 15423;
int64_t y = ((int64_t)acc * 2023254066 + (1 << 30)) >> 31;
v = (y + 64) >> 7;
"""


@pytest.mark.parametrize("target", firmware.TARGETS)
def test_the_c_of_a_unit_gives_what_it_says_on_every_input_of_every_processor(target):
    made = firmware.of_unit("for (v = 0; v < 3; ++v); v = -70000 * v + 300 * input[0] - input[1];", target)
    expected = [-210000 + 300 * int(a) - int(b) for a, b in Q]
    assert firmware.unit_values(made).tolist() == expected
    assert firmware.unit_values(made, Q[5:8]).tolist() == expected[5:8]
    assert made.extremes().most <= 3 * 8 + 20


@pytest.mark.parametrize("target", firmware.TARGETS)
def test_two_steps_of_64_bits_take_half_as_many_instructions_more_than_the_line_of_write_c(target, built, tmp_path):
    text = codegen.write_c(built("relu-2-4-1", target).net, tmp_path)[1].read_text()
    line = re.search(r"v1\[0\] = (.*)", text)[1]
    plain, short = (firmware.of_unit(code, target) for code in (
        TWO_STEPS, f"int32_t acc = 49 * input[0] + 5 * input[1]; v = {line}"))
    expected = built("relu-2-4-1", target).net.trace(Q)[0].codes[:, 0].astype(int) + 128
    assert np.array_equal(firmware.unit_values(plain), expected)
    assert np.array_equal(firmware.unit_values(short), expected)
    counts = {"cortex-m0plus": (58, 20), "cortex-m4": (21, 15), "rv32imc": (30, 20)}
    assert (plain.extremes().most, short.extremes().most) == counts[target]


@pytest.mark.parametrize(("code", "says"), [
    ("while (1);", "has not returned after"),
    ("while (input[0] == 5 && input[1] == 7); v = 0;", "has not returned after"),        # on one input of all
    ("v = *(int *)16;", "broke off"),
    ("int far[1000000]; far[input[0] + 128] = 1; v = far[5];", "broke off"),
    ("int nested = 0; xor_net(input, output); v = nested;", "broke off"),
    ("__builtin_trap();", "no integer instruction"),
    ("v = input[0] * 0.5f;", "floating-point routines"),
    ('printf("%d", v);', "your_C:1:1: error: call to undeclared function 'printf'"),
    ("\nv = 1;\nv = input[0]\n", "your_C:2:13: error: expected ';'"),
    ('__asm__(".incbin \\"/dev/zero\\"");', "without asm"),
    ('_Pragma("GCC poison v") v = 1;', "without asm and _Pragma"),
    ('#include "/dev/zero"', "no line for the preprocessor"),
    ("v = 1;" * 500, "may have 2,000 characters, got 3,000"),
])
def test_c_of_a_unit_that_hangs_crashes_or_cheats_ends_in_a_sentence(code, says):
    with pytest.raises(ValueError, match=re.escape(says)) as raised:
        firmware.of_unit(code)
    assert "\n" not in str(raised.value)


def test_c_of_a_unit_that_never_sets_its_value_shows_so_and_what_is_no_text_is_refused():
    assert set(firmware.unit_values(firmware.of_unit("int32_t w = 3;"), Q[:9])) == {firmware.UNSET}
    with pytest.raises(TypeError, match="must be a text in quotes, got int"):
        firmware.of_unit(3)
    with pytest.raises(ValueError, match="target must be one of"):
        firmware.of_unit("v = 1;", "z80")


@pytest.mark.parametrize("target", firmware.TARGETS)
def test_lesson_10s_exercises_say_what_is_counted(target, built):
    made = built("relu-2-4-1", target)
    extremes = made.extremes()
    assert lesson_10.FLASH[target] == made.flash_bytes
    assert lesson_10.COUNTS[target] == (extremes.least, extremes.most)
    worst = (Q == [-128, 127]).all(axis=1)
    if target == "cortex-m4":
        assert extremes.counts[worst] == extremes.least
    else:
        assert np.array_equal(extremes.counts == extremes.most, worst)
    if target == "cortex-m0plus":
        assert extremes.counts[Q[:, 0] == Q[:, 1]].max() == lesson_10.ON_THE_DIAGONAL


# --- ESP32-S3

@pytest.fixture
def example(tmp_path):
    path = models.reference_file("sigmoid-2-3-1", "int8.tflite")
    return codegen.write_esp32(IntegerMLP.from_tflite(path), tmp_path / "example", path)


def test_the_esp32_example_runs_on_this_computer(example, tmp_path):
    host = tmp_path / "host.c"
    host.write_text("void app_main(void);\nint main(void) { app_main(); return 0; }\n")
    net = example / "components" / "xor_net"
    program = compile_c([host, example / "main" / "main.c", example / "main" / "corners.c", net / "xor_net.c"],
                        tmp_path / "program", [f"-I{net}", "-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror"])
    said = subprocess.run([program], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == ["0 XOR 0: code -128, class 0", "0 XOR 1: code 127, class 1", "1 XOR 0: code 127, class 1",
                    "1 XOR 1: code -128, class 0", "4 of 4 corners right"]


def test_the_esp32_example_checks_itself_on_risc_v_and_notices_a_wrong_weight(example, tmp_path):
    """The ESP32-C3's processor, emulated: the answer is the number of corners right."""
    net = IntegerMLP.from_tflite(models.reference_file("sigmoid-2-3-1", "int8.tflite"))
    code = example / "components" / "xor_net" / "xor_net.c"
    wrapper = tmp_path / "wrapper.c"
    wrapper.write_text("#define xor_net the_net\n#include \"xor_net.c\"\n#include \"corners.c\"\n#undef xor_net\n"
                       "void xor_net(const int8_t *input, int8_t *output) "
                       "{ *output = (int8_t)(corners_right() + 0 * input[0]); }\n")
    flags = ["-Os", f"-I{code.parent}", f"-I{example / 'main'}"]
    made = firmware.from_sources([wrapper], "rv32imc", net, flags, "self-check")
    assert made.run(np.zeros((1, 2), np.int8)) == 4
    text = code.read_text()
    code.write_text(text.replace("acc = -127 * input[0] - 122", "acc = 127 * input[0] - 122", 1))
    assert code.read_text() != text
    broken = firmware.from_sources([wrapper], "rv32imc", net, flags, "self-check")
    assert broken.run(np.zeros((1, 2), np.int8)) < 4


def test_the_tflite_micro_alternative_holds_the_model_and_every_operator(example):
    folder = example / "tflite_micro" / "main"
    compile_c([folder / "model.c"], folder / "model.o", ["-c", "-std=c11", "-Wall", "-Wextra", "-Werror"])
    main = (folder / "main.cc").read_text()
    used = {"FULLY_CONNECTED": "AddFullyConnected", "LOGISTIC": "AddLogistic", "RESHAPE": "AddReshape"}
    path = models.reference_file("sigmoid-2-3-1", "int8.tflite")
    assert {op.name for op in tflite_file.read(path).operators} == set(used)
    assert all(f"operators.{add}();" in main for add in used.values()) and f"Resolver<{len(used)}>" in main
    arena = int(re.search(r"arena\[(\d+)\]", main)[1])
    assert "@" not in main
    if importlib.util.find_spec("tflite_micro"):
        assert arena == firmware.tflite_micro_arena(path)


def test_every_file_of_the_esp32_example_is_there_and_says_what_was_not_run(example):
    files = {str(path.relative_to(example)) for path in example.rglob("*") if path.is_file()}
    assert {"CMakeLists.txt", "README.md", "main/CMakeLists.txt", "main/main.c", "main/corners.c", "main/corners.h",
            "components/xor_net/CMakeLists.txt", "components/xor_net/xor_net.c"} <= files
    for cmake in example.rglob("CMakeLists.txt"):
        for named in re.findall(r'"([\w.]+\.(?:c|cc))"', cmake.read_text()):
            assert (cmake.parent / named).is_file(), f"{cmake.relative_to(example)} names {named}"
    assert "were not done" in (example / "README.md").read_text()


def test_what_cannot_become_an_esp32_example_is_refused(tmp_path):
    net = IntegerMLP.from_torch(models.reference())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds other files"):
        codegen.write_esp32(net, tmp_path / "full")
    with pytest.raises(ValueError, match="corner of XOR wrong"):
        codegen.write_esp32(IntegerMLP.from_torch(models.MLP(3, seed=0)), tmp_path / "untrained")
    with pytest.raises(ValueError, match="two inputs and one output"):
        codegen.write_esp32(IntegerMLP(net.steps[:1]), tmp_path / "wide")
    with pytest.raises(FileNotFoundError):
        codegen.write_esp32(net, tmp_path / "gone", tmp_path / "gone.tflite")
    with pytest.raises(ValueError, match="uint8.tflite has not the net's ends"):
        codegen.write_esp32(net, tmp_path / "other", models.reference_file("sigmoid-2-3-1", "uint8.tflite"))
    assert [path.name for path in tmp_path.iterdir()] == ["full"] and (tmp_path / "full" / "mine.txt").exists()
    codegen.write_esp32(net, tmp_path / "plain")
    assert not (tmp_path / "plain" / "tflite_micro").exists()
