"""The C compiler: clang as the ziglang package brings it, for this machine and for microcontrollers."""
import ctypes
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from xorlab import arguments, arriving
from xorlab.files import checked_path, existing_file, own_folder
from xorlab.streams import progress

MOST = 2**24            # numbers that a net's function reads or writes
PROJECT = Path(__file__).resolve().parent.parent


def compile_c(sources, output, flags, label="compiling"):
    """Compile and link C sources with `zig cc`.

    sources : paths.  output : the file to write.  flags : list of str for the compiler; without one of -O it is -O2,
        for then zig links a runtime that it builds five times sooner.  Returns the output path.
    label : what a person who waits is told; the first build for a processor takes some seconds.
    Raises ImportError where the compiler is missing, ValueError with its first error if it refuses the code.
    """
    sources = [checked_path("sources", source) for source in arguments.several("sources", sources, "paths")]
    flags = arguments.several("flags", flags, "texts", str)
    checked_path("output", output)
    arguments.text("label", label)
    if not sources:
        raise ValueError("there must be at least one source to compile, got none")
    arriving.ask("ziglang")
    if importlib.util.find_spec("ziglang") is None:
        raise ImportError("the C compiler is missing; install it with: pip install ziglang")
    command = [sys.executable, "-m", "ziglang", "cc", "-O2", *flags, *map(str, sources), "-o", str(output)]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, env=_environment())
        for _ in progress(_until_done(running), label):
            pass
        said.seek(0)
        messages = said.read().splitlines()
    if running.returncode or not Path(output).is_file():
        errors = [line for line in messages if "error" in line] or messages
        raise ValueError(f"the C compiler refused the code: {errors[0] if errors else 'it said nothing'}")
    return Path(output)


def _until_done(running):
    while running.poll() is None:
        try:
            running.wait(0.5)
        except subprocess.TimeoutExpired:
            yield


def load(source, function, inputs, outputs, flags=()):
    """Compile a net's C for this machine and return a function from codes int8 (n, inputs) to int8 (n, outputs).

    source : path of C code that defines `void function(const int8_t *input, int8_t *output)`; what stands in the file
        now is what the returned function runs, whatever was loaded from that path before.
    inputs, outputs : how many numbers that function reads and writes.  flags : more flags for the compiler.
    Raises FileNotFoundError where there is no source, and what compile_c raises.

    >>> run = load("build/xor_net.c", "xor_net", 2, 1)      # doctest: +SKIP
    >>> run(data.int8_inputs()).shape                       # doctest: +SKIP
    (65536, 1)
    """
    source, flags = existing_file(source, "C").resolve(), arguments.several("flags", flags, "texts", str)
    if set('"\n\r') & set(source.as_posix()):
        raise ValueError(f"the path of a C source must be without quotes and line ends, got {str(source)!r}")
    if not re.fullmatch(r"[A-Za-z_]\w*", arguments.text("function", function), re.ASCII):
        raise ValueError(f"function must be the name of a C function, got {arguments.shown(function)}")
    inputs, outputs = arguments.whole("inputs", inputs, 1, MOST), arguments.whole("outputs", outputs, 1, MOST)
    # a folder of its own: an operating system gives a library that is loaded again from one path as it was
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:     # Windows keeps a loaded library's file
        batch = Path(folder) / "batch.c"
        batch.write_text(f"""\
#include "{source.as_posix()}"
void batch(const int8_t *input, int8_t *output, int64_t n)
{{
    for (int64_t i = 0; i < n; ++i)
        {function}(input + i * {inputs}, output + i * {outputs});
}}
""", encoding="utf-8")                          # which is what the compiler reads, a path with other letters too
        library = compile_c([batch], batch.with_suffix(".so"), [*flags, "-O2", "-shared", "-fPIC"])
        code = ctypes.CDLL(str(library))

    def run(q):
        q = arguments.numbers_in("codes", q, finite=False)
        if q.dtype != np.int8 or q.ndim != 2 or q.shape[1] != inputs:       # C would read past its end
            raise ValueError(f"codes must be int8 of shape (n, {inputs}), got {q.dtype} of shape {q.shape}")
        q, out = np.ascontiguousarray(q), np.empty((len(q), outputs), np.int8)
        code.batch(ctypes.c_void_p(q.ctypes.data), ctypes.c_void_p(out.ctypes.data), ctypes.c_int64(len(q)))
        return out

    return run


def _environment():
    """Say where the compiler keeps its cache, its own runtime library for each target."""
    if "ZIG_GLOBAL_CACHE_DIR" in os.environ and "ZIG_LOCAL_CACHE_DIR" in os.environ:
        return dict(os.environ)
    folder = _given_folder() or own_folder(
        "the compiler's cache", "remove it, or name others in ZIG_GLOBAL_CACHE_DIR and ZIG_LOCAL_CACHE_DIR")
    cache = str(folder / "zig")
    return {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache} | os.environ


def _given_folder():
    """Return the folder that XORLAB_BUILD names, or build/ of a checkout that can be written to, or None."""
    if os.environ.get("XORLAB_BUILD"):
        return Path(os.environ["XORLAB_BUILD"]).expanduser().resolve()
    return PROJECT / "build" if (PROJECT / "pyproject.toml").is_file() and os.access(PROJECT, os.W_OK) else None
