import importlib.util
import re
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from xorlab import codegen, compare, data, firmware, models, predictors
from xorlab.compiler import compile_c
from xorlab.integer import IntegerMLP

pytest.importorskip("ziglang", reason="no C compiler here")
pytest.importorskip("unicorn", reason="no emulator here")
Q = data.int8_inputs()
# flash bytes and most instructions of the 2-4-1 ReLU net at -Os: exact, so that a step back is seen
RATCHET = {"cortex-m0plus": (536, 114), "cortex-m4": (520, 85), "rv32imc": (582, 95)}


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
    emulated = predictors.from_firmware(firmware.build(IntegerMLP.from_tflite(path), target))
    assert compare.agreement(emulated, predictors.from_tflite(path, "tflm")).differing == 0


def test_a_firmware_shows_as_a_table_and_not_as_its_bytes(built):
    made = built("relu-2-4-1", "rv32imc")
    assert repr(made) == str(made) and f"{made.flash_bytes}" in str(made) and str(made).count("\n") == 2
    assert "<table" in made._repr_html_()


@pytest.mark.parametrize("target", firmware.TARGETS)
def test_flash_and_instructions_do_not_grow(target, built):
    made = built("relu-2-4-1", target)
    flash, most = RATCHET[target]
    assert (made.flash_bytes, made.instructions(Q[::257]).max()) == (flash, most)


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


def test_ram_is_variables_and_the_deepest_stack(tmp_path):
    source = tmp_path / "stack.c"
    source.write_text("""
#include <stdint.h>
static volatile int32_t counter[10];
void xor_net(const int8_t *input, int8_t *output)
{
    volatile int8_t scratch[200];
    for (int i = 0; i < 200; ++i) scratch[i] = input[0];
    counter[3]++;
    output[0] = scratch[77];
}
""")
    made = firmware.from_sources([source], "rv32imc", IntegerMLP.from_torch(models.reference()), ["-Os"], "stack")
    assert 240 <= made.ram_bytes <= 240 + 32


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


def test_no_inputs_have_no_answers(built):
    nothing = np.empty((0, 2), np.int8)
    assert built("relu-2-4-1", "rv32imc").run(nothing).shape == (0, 1)
    assert built("relu-2-4-1", "rv32imc").instructions(nothing).shape == (0,)


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


def test_a_missing_emulator_is_one_sentence(monkeypatch):
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "unicorn" else there(name))
    with pytest.raises(ImportError, match="pip install unicorn"):
        firmware.build(IntegerMLP.from_torch(models.reference()))


@pytest.mark.skipif(importlib.util.find_spec("tflite_micro") is None, reason="no TFLite Micro here")
def test_the_arena_is_enough_for_tflite_micro_and_a_smaller_one_is_not(tmp_path):
    from tflite_micro.python.tflite_micro import runtime

    path = models.reference_file("relu-2-4-1", "int8.tflite")
    arena = firmware.tflite_micro_arena(path)
    runtime.Interpreter.from_file(str(path), arena_size=2 * arena)
    with pytest.raises(Exception, match="allocat|memory|Failed"):
        runtime.Interpreter.from_file(str(path), arena_size=arena // 2)
    (tmp_path / "bad.tflite").write_bytes(b"no")
    with pytest.raises(ValueError, match="cannot load"):
        firmware.tflite_micro_arena(tmp_path / "bad.tflite")


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
    code.write_text(text.replace("acc = -127 * input[0] - 126", "acc = 127 * input[0] - 126", 1))
    assert code.read_text() != text
    broken = firmware.from_sources([wrapper], "rv32imc", net, flags, "self-check")
    assert broken.run(np.zeros((1, 2), np.int8)) < 4


def test_the_tflite_micro_alternative_holds_the_model_and_every_operator(example):
    folder = example / "tflite_micro" / "main"
    compile_c([folder / "model.c"], folder / "model.o", ["-c", "-std=c11", "-Wall", "-Wextra", "-Werror"])
    main = (folder / "main.cc").read_text()
    used = {"FULLY_CONNECTED": "AddFullyConnected", "LOGISTIC": "AddLogistic", "RELU": "AddRelu",
            "RESHAPE": "AddReshape"}
    assert all(f"operators.{add}();" in main for add in used.values()) and f"Resolver<{len(used)}>" in main
    arena = int(re.search(r"arena\[(\d+)\]", main)[1])
    assert "@" not in main
    if importlib.util.find_spec("tflite_micro"):
        assert arena > firmware.tflite_micro_arena(models.reference_file("sigmoid-2-3-1", "int8.tflite"))


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
    with pytest.raises(FileExistsError, match="in use"):
        codegen.write_esp32(net, tmp_path / "full")
    with pytest.raises(ValueError, match="corner of XOR wrong"):
        codegen.write_esp32(IntegerMLP.from_torch(models.MLP(3, seed=0)), tmp_path / "untrained")
    with pytest.raises(ValueError, match="two inputs and one output"):
        codegen.write_esp32(IntegerMLP(net.steps[:1]), tmp_path / "wide")
    with pytest.raises(FileNotFoundError):
        codegen.write_esp32(net, tmp_path / "gone", tmp_path / "gone.tflite")
    assert [path.name for path in tmp_path.iterdir()] == ["full"] and (tmp_path / "full" / "mine.txt").exists()
    codegen.write_esp32(net, tmp_path / "plain")
    assert not (tmp_path / "plain" / "tflite_micro").exists()
