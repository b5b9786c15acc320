"""Firmware: a net's C compiled for a microcontroller's processor, run and counted in an emulator.

What is counted are instructions, not cycles: how long they take on a board depends on its flash, its multiplier and
its clock.
"""
import importlib.util
import io
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from xorlab import arguments, arriving, codegen, data, files, ports
from xorlab.compiler import compile_c
from xorlab.integer import IntegerGraph, IntegerMLP
from xorlab.integer.chain import chain_of
from xorlab.streams import progress
from xorlab.tables import Table, Tabular

FLASH, RAM, RAM_SIZE, BUFFERS = 0x0800_0000, 0x2000_0000, 0x10_0000, 0x6000_0000
STOP = 0x0900_0000                  # where the outermost call returns to: mapped, and never run
FUNCTION = "xor_net"
SAMPLE = 4096                       # so many inputs stand for all, where all are too many
BRANCHES = 5_000_000                # so many can be watched in a few seconds
PATIENCE = 100_000_000              # a function that has not returned after so many instructions never will
UNIT_PATIENCE = 300                 # so many for one input are five times what the plainest C of a unit needs
LONGEST_UNIT = 2000                 # characters of C

# what compiled code may execute; a prefix c., a suffix .w or .n, a condition, or an s that sets flags comes off first
THUMB = """
    adc add adr and asr b bic bl blx bx cmn cmp eor ldm ldr ldrb ldrh ldrsb ldrsh lsl lsr mov mul mvn nop orr pop push
    rev rev16 revsh ror rsb sbc stm str strb strh sub sxtb sxth tst uxtb uxth"""
THUMB2 = THUMB + """
    addw bfc bfi cbnz cbz clz it ite itt itte itet itee ittt ittte ldrd mla mls movt movw orn rbit sbfx sdiv smlabb
    smlabt smlal smlatb smlatt smlawb smlawt smmul smulbb smulbt smull smultb smultt smulwb smulwt ssat strd subw sxtab
    sxtah tbb tbh teq ubfx udiv umlal umull usat uxtab uxtah"""
RV32IMC = """
    add addi addi16sp addi4spn and andi auipc beq beqz bge bgeu bgez bgt bgtz blez blt bltu bltz bne bnez call div divu
    j jal jalr jr la lb lbu lh lhu li lui lw lwsp mul mulh mulhsu mulhu mv neg nop not or ori rem remu ret sb seqz sgtz
    sh sll slli slt slti sltiu sltu sltz snez sra srai srl srli sub sw swsp tail xor xori zext.b"""
CONDITIONS = ("eq", "ne", "hs", "cs", "lo", "cc", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le")
SOFT_FLOAT = re.compile(r"__aeabi_(f|d|[iul]+2[fd]|c[fd])|__\w+[sdt]f([sdt]i)?[23]?$|__(fix|float)")


@dataclass(frozen=True)
class Target:
    """A processor: what the compiler, the emulator and the disassembler call it, and what it can execute.

    mnemonics : all instructions that may occur, in a row.  longest : bytes of the longest that may, calls aside.
    """
    triple: str
    cpu: str
    emulator: tuple
    disassembler: tuple
    registers: tuple                # three arguments, return address, stack pointer
    thumb: int
    mnemonics: str
    longest: int


ARM = ("R0", "R1", "R2", "LR", "SP")
TARGETS = {
    "cortex-m0plus": Target("thumb-freestanding-eabi", "cortex_m0plus", ("ARM", ("THUMB", "MCLASS"), "CORTEX_M0"),
                            ("ARM", ("THUMB", "MCLASS")), ARM, 1, THUMB, 2),
    "cortex-m4": Target("thumb-freestanding-eabi", "cortex_m4", ("ARM", ("THUMB", "MCLASS"), "CORTEX_M4"),
                        ("ARM", ("THUMB", "MCLASS")), ARM, 1, THUMB2, 4),
    "rv32imc": Target("riscv32-freestanding-none", "generic_rv32+m+c", ("RISCV", ("RISCV32",), "BASE32"),
                      ("RISCV", ("RISCV32", "RISCVC")), ("A0", "A1", "A2", "RA", "SP"), 0, RV32IMC, 4),
}
FLAGS = ["-g", "-ffreestanding", "-ffunction-sections", "-fdata-sections", "-fno-sanitize=all", "-fno-unwind-tables",
         "-fno-asynchronous-unwind-tables"]
# the loop over a batch lies apart, so that what is measured is the net alone
LINK = """SECTIONS {{
    . = {flash:#x};
    .text : {{ *(.text*) }}
    .rodata : {{ *(.rodata*) *(.srodata*) }}
    .batch : {{ *(.batch) }}
    . = {ram:#x};
    .data : {{ *(.data*) *(.sdata*) }}
    .bss : {{ *(.bss*) *(.sbss*) *(COMMON) }}
    ASSERT(. <= {ram:#x} + {half:#x}, "the variables take more than the half MiB that is left to them")
    /DISCARD/ : {{ *(.ARM.exidx*) *(.ARM.attributes) *(.comment) *(.riscv.attributes) }}
}}
"""
BATCH = """\
#include <stdint.h>
void {function}(const int8_t *input, int8_t *output);
__attribute__((section(".batch"))) void batch(const int8_t *input, int8_t *output, uint32_t n)
{{
    for (; n; --n, input += {inputs}, output += {outputs})
        {function}(input, output);
}}
"""
# a unit lies in a file with its loop, so that the compiler, which takes longest, runs once
UNIT = """\
#include <stdint.h>
__attribute__((noinline)) void {function}(const int8_t *input, int32_t *output)
{{
    int32_t v = INT32_MIN;
#line 1 "{name}"
{code}
    output[0] = v;
}}
__attribute__((section(".batch"))) void batch(const int8_t *input, int32_t *output, uint32_t n)
{{
    for (; n; --n, input += 2, ++output)
        {function}(input, output);
}}
"""
UNIT_NAME = "your_C"                # as the compiler's messages call it
UNSET = -(2**31)                    # what v is where a unit's C does not set it


@dataclass(frozen=True, repr=False, eq=False)
class Extremes(Tabular):
    """The fewest and the most instructions of one answer, and the inputs that need them.

    inputs : int8 (n, inputs).  counts : the instructions of each, int64 (n,).  every : are these all inputs there are?
    """
    name: str
    target: str
    inputs: np.ndarray
    counts: np.ndarray
    every: bool

    @property
    def least(self) -> int:
        return int(self.counts.min())

    @property
    def most(self) -> int:
        return int(self.counts.max())

    @property
    def least_inputs(self) -> np.ndarray:
        return self.inputs[self.counts == self.least]

    @property
    def most_inputs(self) -> np.ndarray:
        return self.inputs[self.counts == self.most]

    def table(self):
        of = f"{len(self.inputs):,}" + ("" if self.every else ", a sample")
        return Table(("net", "target", "inputs", "fewest", "at inputs", "most", "at inputs", "e.g. at codes"),
                     ((self.name, self.target, of, str(self.least), f"{len(self.least_inputs):,}", str(self.most),
                       f"{len(self.most_inputs):,}", ", ".join(map(str, self.most_inputs[0]))),))


@dataclass(frozen=True, repr=False, eq=False)
class Firmware(Tabular):
    """A net as machine code for one target.

    net : the IntegerMLP that it computes.  image : the linked file (ELF).  sources : {file name: C text}.
    flash_bytes : code and tables of the net and of what it calls.  ram_bytes : its variables and its deepest stack,
    over the inputs of `extremes`.
    """
    name: str
    target: str
    net: IntegerMLP
    image: bytes
    sources: dict

    @cached_property
    def flash_bytes(self):
        return sum(len(content) for name, (_, content) in self._sections.items() if name != ".batch")

    @cached_property
    def ram_bytes(self):
        variables = sum(s["sh_size"] for s in self._elf.iter_sections() if s.name in (".data", ".bss"))
        return variables + self._deepest_stack()

    def run(self, q):
        """Run input codes int8 (n, inputs) in one call of the emulator; return output codes int8 (n, outputs)."""
        q = self.net.checked(q)
        machine = self._machine(q)
        machine.call("batch", BUFFERS, BUFFERS + q.size, len(q))
        made = machine.read(BUFFERS + q.size, len(q) * self.net.outputs)
        return np.frombuffer(made, np.int8).reshape(len(q), self.net.outputs)

    def instructions(self, q):
        """Return how many instructions the net executes for each of the inputs int8 (n, inputs): int64 (n,).

        One that its condition skips (after an IT of the Cortex-M4) is not executed and does not count; the IT does.
        Every instruction stops the emulator, so take a few inputs; for all of them there is `extremes`.
        """
        q = self.net.checked(q)
        counts = np.zeros(len(q), np.int64)
        machine = self._machine(q)
        at = 0

        def count(*_):
            counts[at] += 1

        machine.watch_code(*self._text_range, count)
        for at in range(len(q)):
            machine.call(FUNCTION, BUFFERS + at * self.net.width, BUFFERS + q.size)
        return counts

    def extremes(self, q: np.ndarray | None = None) -> Extremes:
        """Return the fewest and the most instructions of one answer, with the inputs that need them, as Extremes.

        q : input codes int8 (n, inputs), one or more; None means every input of a net that has one or two. Where that
            would take more than seconds, in a larger net or code of many loops, it means a sample of 4,096 (seed 0),
            whose extremes may not be those of all inputs; the table and `every` say so.

        >>> from xorlab import models
        >>> build(IntegerMLP.from_torch(models.reference("relu-2-4-1")), "rv32imc").extremes().most_inputs
        array([[-128,  127]], dtype=int8)
        """
        if q is None:
            q, paths = self._every_input, self._every_path
            different = len(q)
        else:
            q = arguments.numbers_in("codes", q, finite=False)
            if q.shape[:1] == (0,):
                raise ValueError("the fewest and the most of no inputs are not defined; give at least one input")
            q = self.net.checked(q)
            paths = self._paths(q)
            different = len(np.unique(q, axis=0))
        # inputs of one path execute the same instructions, so one of them is counted for all
        counts = self.instructions(q[_first_of_each(paths)])[paths]
        return Extremes(self.name, self.target, q, counts, different == 256**self.net.width)

    def disassembly(self):
        """Return the net's machine code as text: each line of C, and the instructions made of it."""
        lines, source = [], None
        for address, size, mnemonic, operands in self._instructions():
            line = self._line_of.get(address, source)
            if line != source:
                lines.append(self._source_line(line))
                source = line
            code = self._sections[".text"][1][address - FLASH :][:size].hex()
            lines.append(f"  {address:08x}  {code:<8}  {mnemonic:<7} {operands}".rstrip())
        return "\n".join(lines)

    def table(self):
        return Table(("net", "target", "flash, bytes", "RAM, bytes"),
                     ((self.name, self.target, f"{self.flash_bytes:,}", f"{self.ram_bytes:,}"),))

    def _check_that_it_returns(self, q, at_most):
        self._machine(q).call("batch", BUFFERS, BUFFERS + q.size, len(q), at_most=at_most)

    def _machine(self, q):
        machine = _Machine(TARGETS[self.target], self._symbols, len(q) * (self.net.width + self.net.outputs))
        for address, content in self._sections.values():
            machine.write(address, content)
        machine.write(BUFFERS, q.tobytes())
        return machine

    @cached_property
    def _every_input(self):
        width = self.net.width
        if width <= 2 and 256**width * self._branches() <= BRANCHES:
            return data.code_inputs((width,)).codes
        return np.random.default_rng(0).integers(-128, 128, (SAMPLE, width), dtype=np.int8)

    def _branches(self):
        """Return how many blocks the codes 0 enter."""
        machine, entered = self._machine(np.zeros((1, self.net.width), np.int8)), []
        machine.watch_blocks(lambda *block: entered.append(block))
        machine.call(FUNCTION, BUFFERS, BUFFERS + self.net.width)
        return len(entered)

    @cached_property
    def _every_path(self):
        return self._paths(self._every_input)

    def _paths(self, q):
        """Number the inputs int8 (n, inputs) by their path through the code, from 0 up: int64 (n,).

        A path is every block that is entered, in order, and every conditional instruction that is executed. All
        other instructions of a block are executed whenever it is entered there.
        """
        numbers, seen, path = [], {}, []
        low, high = self._text_range
        conditional = self._conditional_instructions()

        def note(_, address, size, data):
            if low <= address <= high:
                path.append(address)
            elif path:                                              # back in the loop over the batch
                numbers.append(seen.setdefault(tuple(path), len(seen)))
                path.clear()

        parts = [q[at : at + SAMPLE] for at in range(0, len(q), SAMPLE)]
        for part in progress(parts, f"paths on {self.target}"):
            machine = self._machine(part)
            machine.watch_blocks(note)
            for address in conditional:
                machine.watch_code(address, address, note)
            machine.call("batch", BUFFERS, BUFFERS + part.size, len(part))
        return np.array(numbers)

    def _conditional_instructions(self):
        """Return the addresses of the instructions that an IT before them can skip: ITT has two, and so on."""
        addresses, left = [], 0
        for address, _, mnemonic, _ in self._instructions():
            if left:
                addresses.append(address)
                left -= 1
            elif re.fullmatch("it[te]{0,3}", mnemonic):
                left = len(mnemonic) - 1
        return addresses

    def _deepest_stack(self):
        """Return how far the stack pointer goes down, on every path that the inputs take."""
        q = self._every_input[_first_of_each(self._every_path)]
        machine = self._machine(q)
        lowest = RAM + RAM_SIZE

        def note(*_):
            nonlocal lowest
            lowest = min(lowest, machine.stack_pointer())

        machine.watch_code(*self._text_range, note)
        for at in range(len(q)):
            machine.call(FUNCTION, BUFFERS + at * self.net.width, BUFFERS + q.size)
        return RAM + RAM_SIZE - lowest

    @cached_property
    def _elf(self):
        from elftools.elf.elffile import ELFFile

        return ELFFile(io.BytesIO(self.image))

    @cached_property
    def _sections(self):
        """What is loaded: {name: (address, content)}."""
        return {s.name: (s["sh_addr"], s.data()) for s in self._elf.iter_sections()
                if s["sh_flags"] & 2 and s["sh_size"] and s["sh_type"] != "SHT_NOBITS"}

    @property
    def _text_range(self):
        """The first and the last address of the net's code, and of what it calls."""
        start, content = self._sections[".text"]
        return start, start + len(content) - 1

    @cached_property
    def _symbols(self):
        return {s.name: s["st_value"] for s in self._elf.get_section_by_name(".symtab").iter_symbols()
                if s.name and not s.name.startswith(("$", "."))}

    def _instructions(self):
        """Yield (address, size, mnemonic, operands) of the code, leaving out the constants that lie among it."""
        import capstone

        start, content = self._sections.get(".text", (FLASH, b""))
        kind, modes = TARGETS[self.target].disassembler
        decoder = capstone.Cs(getattr(capstone, f"CS_ARCH_{kind}"),
                              sum(getattr(capstone, f"CS_MODE_{mode}") for mode in modes))
        for low, high in self._code_ranges(start, start + len(content)):
            end = low
            for i in decoder.disasm(content[low - start : high - start], low):
                yield i.address, i.size, i.mnemonic, i.op_str
                end = i.address + i.size
            if end < high:
                yield end, high - end, "unknown", content[end - start : high - start].hex()

    def _code_ranges(self, start, stop):
        """Yield the ranges of .text that hold code: symbols $t and $x begin code, $d begins constants."""
        marks = sorted({(s["st_value"] & ~1, s.name[:2] == "$d")
                        for s in self._elf.get_section_by_name(".symtab").iter_symbols()
                        if s.name[:2] in ("$t", "$x", "$d") and start <= s["st_value"] < stop})
        for (low, constants), (high, _) in zip(marks, [*marks[1:], (stop, None)], strict=False):
            if not constants and low < high:
                yield low, high

    @cached_property
    def _line_of(self):
        """{address: (file, line number)} of the first instruction of every line of C."""
        lines = {}
        for unit in self._elf.get_dwarf_info().iter_CUs():
            program = self._elf.get_dwarf_info().line_program_for_CU(unit)
            if program is None:
                continue
            names = program.header["file_entry"]
            first = 0 if program.header["version"] >= 5 else 1
            for entry in program.get_entries():
                state = entry.state
                if state is not None and not state.end_sequence and state.line:
                    # the compiler writes the name with or without a folder, as it likes
                    lines[state.address] = (Path(names[state.file - first].name.decode()).name, state.line)
        return lines

    def _source_line(self, line):
        file, number = line or ("", 0)
        if file not in self.sources:
            return f"{file or 'no source'}:"
        return self.sources[file].splitlines()[number - 1].strip()


class _Machine:
    """A processor in the emulator, with a stack and buffers."""

    def __init__(self, target, symbols, buffers):
        import unicorn

        self._unicorn, self._target, self._symbols = unicorn, target, symbols
        kind, modes, cpu = target.emulator
        self._core = unicorn.Uc(getattr(unicorn, f"UC_ARCH_{kind}"),
                                sum(getattr(unicorn, f"UC_MODE_{mode}") for mode in modes))
        names = importlib.import_module(f"unicorn.{kind.lower()}_const")
        cpu = f"UC_CPU_ARM_{cpu}" if kind == "ARM" else f"UC_CPU_RISCV32_{cpu}"
        self._core.ctl_set_cpu_model(getattr(names, cpu))
        *self._registers, self._counter = [getattr(names, f"UC_{kind}_REG_{name}")
                                           for name in (*target.registers, "PC")]
        page = 0x1000
        for address, size in ((FLASH, 0x10_0000), (STOP, page), (RAM, RAM_SIZE),
                              (BUFFERS, (buffers // page + 1) * page)):
            self._core.mem_map(address, size)

    def write(self, address, content):
        self._core.mem_write(address, content)

    def read(self, address, size):
        return bytes(self._core.mem_read(address, size))

    def watch_code(self, low, high, callback):
        """Call back before every instruction that is executed at low..high."""
        self._core.hook_add(self._unicorn.UC_HOOK_CODE, callback, begin=low, end=high)

    def watch_blocks(self, callback):
        """Call back wherever a run of instructions without a branch is entered."""
        self._core.hook_add(self._unicorn.UC_HOOK_BLOCK, callback)

    def stack_pointer(self):
        return self._core.reg_read(self._registers[-1])

    def call(self, function, *arguments, at_most=0):
        """Call a function by its symbol and run until it returns.

        at_most : so many instructions; 0 for any number.  Raises ValueError if it does not return, or if it reads,
        writes or jumps where there is no memory.
        """
        *spare, back, stack = self._registers
        for register, value in zip(spare, arguments, strict=False):
            self._core.reg_write(register, value)
        self._core.reg_write(back, STOP | self._target.thumb)
        self._core.reg_write(stack, RAM + RAM_SIZE)
        try:
            self._core.emu_start(self._symbols[function] | self._target.thumb, STOP, count=at_most)
        except self._unicorn.UcError as error:
            raise ValueError(f"the code broke off at {self._core.reg_read(self._counter):#x} in the emulator: {error}; "
                             "it may use its input, its output, its variables and its stack") from None
        if self._core.reg_read(self._counter) != STOP:
            raise ValueError(f"the code has not returned after {at_most:,} instructions; does it hold an endless loop?")


def tflite_micro_arena(path):
    """Return the least memory in bytes with which TFLite Micro opens a TFLite file on this computer.

    It is found by trying. What TFLite Micro reports to have used at last can be less, for it needs more while it
    prepares. On a microcontroller its bookkeeping takes less, for pointers are shorter; tensors take the same.
    Raises FileNotFoundError, ValueError if TFLite Micro refuses the file, or ImportError where it cannot be installed.
    """
    return ports.arena_of(path)


def build(net: IntegerMLP | IntegerGraph, target: str = "cortex-m0plus", optimize: str = "-Os") -> Firmware:
    """Compile a net for a microcontroller and return its Firmware.

    net : under the rule tflm or tinymind; a graph must be a chain of dense layers.
    target : a name in TARGETS.  optimize : the compiler's flag.
    Raises ValueError for another target or rule, or code that holds floating point or what the processor cannot run;
    ImportError where the compiler or the emulator is missing. The first build for a target takes some seconds, in
    which the compiler makes its own runtime library.
    """
    net = chain_of(net)
    arguments.text("optimize", optimize)
    with TemporaryDirectory() as folder:
        source = codegen.write_c(net, folder, FUNCTION)[1]
        return from_sources([source], target, net, [optimize, "-std=c99"], f"C, {net.rule}")


def from_sources(sources: list, target: str, net: IntegerMLP | IntegerGraph, flags: list, name: str) -> Firmware:
    """Compile C sources that define `void xor_net(const int8_t *input, int8_t *output)`; return them as Firmware.

    sources : paths.  net : whose input and output the function has; whether it computes the net, `run` tells.
    flags : list of str for the compiler, e.g. ["-Os"].  name : what tables call it.
    Raises as build does, TypeError for a path or a flag that is not in a list, and ValueError for code that the
    compiler refuses, that lacks the function, or whose function does not return for the codes 0.
    """
    net = chain_of(net)
    for what, given in (("sources", sources), ("flags", flags)):
        if isinstance(given, (str, Path)):
            raise TypeError(f"{what} must be a list, got {str(given)!r:.80} alone; put it into [ ]")
    sources, flags = arguments.several("sources", sources, "paths"), arguments.several("flags", flags, "texts", str)
    arguments.text("name", name)
    sources = [files.existing_file(source, "C") for source in sources]
    _check_target(target)
    with TemporaryDirectory() as folder:
        folder = Path(folder)
        batch = folder / "batch.c"
        batch.write_text(BATCH.format(function=FUNCTION, inputs=net.width, outputs=net.outputs))
        common = _flags(target)
        objects = [compile_c([source], folder / f"{i}.o", [*common, *flags, "-c"], f"compiling for {target}")
                   for i, source in enumerate(sources)]
        objects.append(compile_c([batch], folder / "batch.o", [*common, "-Os", "-c"], f"compiling for {target}"))
        try:
            image = compile_c(objects, folder / "image.elf", [*common, *_link_flags(folder)], f"linking for {target}")
        except ValueError as error:
            if f"undefined symbol: {FUNCTION}" not in str(error):
                raise
            raise ValueError(f"no source defines void {FUNCTION}(const int8_t *input, int8_t *output); the function "
                             "must have this name and must not be static") from None
        # a comment may be in any encoding
        texts = {source.name: source.read_text(encoding="utf-8", errors="replace") for source in sources}
        made = Firmware(name, target, net, image.read_bytes(), texts)
    _check(made)
    made._check_that_it_returns(np.zeros((1, net.width), np.int8), PATIENCE)
    return made


@dataclass(frozen=True)
class _Ends:
    """What Firmware asks of a net: how many codes go in, and how many bytes come out."""
    width: int
    outputs: int
    checked = IntegerMLP.checked


def of_unit(code: str, target: str = "rv32imc") -> Firmware:
    """Compile a few lines of C that set `v`, an int32_t, from the codes `input[0]` and `input[1]`; return Firmware.

    Its answers are the four bytes of v; `unit_values` reads them.
    The C may be anybody's: it runs in the emulator only, and has run on all 65,536 inputs before it is returned.
    Raises ValueError, in one sentence, for C that the compiler refuses, that uses the preprocessor or floating point,
    that breaks off, or that has not returned after 300 instructions an input; ImportError as build does.

    >>> unit_values(of_unit("v = input[0] + input[1];"), np.int8([[3, 4]]))
    array([7])
    """
    if not isinstance(code, str):
        raise TypeError(f"the C of a unit must be a text in quotes, got {type(code).__name__}")
    if len(code) > LONGEST_UNIT:
        raise ValueError(f"the C of a unit may have {LONGEST_UNIT:,} characters, got {len(code):,}")
    if "#" in code or "??=" in code or "%:" in code:
        raise ValueError("the C of a unit must have no line for the preprocessor, such as #include or #define")
    if "asm" in code or "_Pragma" in code:          # which could make the compiler read any file
        raise ValueError("the C of a unit must be plain C, without asm and _Pragma")
    _check_target(target)
    code = code.lstrip("\n")            # so that a message counts from the first line with something in it
    with TemporaryDirectory() as folder:
        folder = Path(folder)
        source = folder / "unit.c"
        source.write_text(UNIT.format(function=FUNCTION, code=code, name=UNIT_NAME), encoding="utf-8")
        # linked by itself, for with other flags the compiler would make its runtime library a second time
        compiled = compile_c([source], folder / "unit.o", [*_flags(target), "-Os", "-std=c99", "-fwrapv", "-c"],
                             f"compiling for {target}")
        image = compile_c([compiled], folder / "image.elf", [*_flags(target), *_link_flags(folder)],
                          f"linking for {target}")
        made = Firmware("C of a unit", target, _Ends(2, 4), image.read_bytes(),
                        {source.name: source.read_text(encoding="utf-8"), UNIT_NAME: code})
    _check(made)
    q = data.int8_inputs()
    made._check_that_it_returns(q, UNIT_PATIENCE * len(q))
    return made


def unit_values(unit: Firmware, q: np.ndarray | None = None) -> np.ndarray:
    """Return what the C of `of_unit` makes of input codes int8 (n, 2), all 65,536 by default: int64 (n,)."""
    if not isinstance(unit, Firmware) or not isinstance(unit.net, _Ends):
        raise TypeError(f"unit must be what firmware.of_unit returns, got {arguments.shown(unit)}")
    return unit.run(data.int8_inputs() if q is None else q).view("<i4")[:, 0].astype(np.int64)


def _flags(target):
    return ["-target", TARGETS[target].triple, f"-mcpu={TARGETS[target].cpu}", *FLAGS]


def _link_flags(folder):
    """Write the linker's script into a folder and return the flags that ask for it."""
    script = folder / "link.ld"
    script.write_text(LINK.format(flash=FLASH, ram=RAM, half=RAM_SIZE // 2))
    return ["-Wl,--gc-sections", "-Wl,-e,batch", "-T", str(script)]


def _check_target(target):
    arguments.one_of("target", target, TARGETS)
    for package in ("unicorn", "capstone", "elftools"):
        arriving.ask(package)
        if importlib.util.find_spec(package) is None:
            raise ImportError("the emulator is missing; install it with: pip install unicorn capstone pyelftools")


def _check(made):
    """Refuse code that holds floating point, or an instruction that the target's processor does not have."""
    target = TARGETS[made.target]
    floats = sorted(name for name in made._symbols if SOFT_FLOAT.match(name))
    if floats:
        raise ValueError(f"the code calls floating-point routines ({', '.join(floats[:3])}); "
                         "a net in integers needs none")
    for address, size, mnemonic, operands in made._instructions():
        too_long = size > target.longest and mnemonic != "bl"
        if too_long or not _known(mnemonic, target.mnemonics.split()):
            raise ValueError(f"{made.target} has no integer instruction {mnemonic} {operands} (at {address:#x}); "
                             "the code is for another processor, or computes with floats")


def _first_of_each(numbers):
    """Return the index at which each of the numbers 0, 1, ... stands first."""
    return np.unique(numbers, return_index=True)[1]


def _known(mnemonic, allowed):
    plain = mnemonic.removeprefix("c.").removesuffix(".w").removesuffix(".n")
    bases = {plain, plain.removesuffix("s")}
    bases |= {base[:-2] for base in set(bases) if base.endswith(CONDITIONS)}
    return not set(allowed).isdisjoint(bases | {base.removesuffix("s") for base in bases})
