"""Damaged TFLite files: every reader gives a sentence that names the file, or answers as the file now says.

Three kinds of damage: bytes and bits changed, pointers and counts changed, the end cut off.
"""
import importlib.util
import struct

import made_files
import numpy as np
import pytest

from xorlab import models, predictors, sandbox, tflite_bytes, tflite_file, tflite_format
from xorlab.integer import IntegerGraph, IntegerMLP
from xorlab.runtimes import RUNTIMES, Plan

ON_TFLM = importlib.util.find_spec("tflite_micro") is not None
HERE = [r if r != "tflm" or ON_TFLM else pytest.param(r, marks=pytest.mark.skip(reason="no TFLite Micro here"))
        for r in RUNTIMES]
FOLLOWS = {"tflm": "tflm", "builtin": "ruy", "reference": "reference", "xnnpack": "xnnpack"}
WHOLE = [models.reference_file(name, file).read_bytes() for name in models.reference_names()
         for file in ("int8.tflite", "float32.tflite")]
SMALL = [made_files.dense([[1, 2], [3, 4]], [0, 1]).content(), made_files.relu().content()]


def damaged(rng):
    """Return the content of a sound file after one accident or two."""
    sources = WHOLE + SMALL
    content = bytearray(sources[rng.integers(len(sources))])
    for _ in range(rng.choice([1, 1, 2])):
        at = int(rng.integers(len(content)))
        kind = rng.integers(8)
        if kind == 0:
            del content[max(at, 8) :]
        elif kind < 4:
            content[at] ^= 1 << int(rng.integers(8))
        elif kind < 6:
            content[at] = int(rng.integers(256))
        elif at < len(content) - 8:             # pointers, counts and indices stand at multiples of four
            number = rng.choice([0, 1, 3, 2**31, 2**32 - 1, 4 * rng.integers(len(content) // 4)])
            struct.pack_into("<I", content, at // 4 * 4, int(number))
    return bytes(content)


def read_or_refused(read, path):
    """Return what a reader makes of a file, None if it refuses it in one sentence that names the file."""
    try:
        return read(path)
    except ValueError as error:
        said = str(error)
        assert str(path) in said and "\n" not in said, said
        return None


@pytest.fixture
def tries(request):
    return request.config.getoption("--tries")


@pytest.mark.parametrize("read", [tflite_file.read, tflite_bytes.account, IntegerGraph.from_tflite,
                                  IntegerMLP.from_tflite])
def test_a_reader_of_damaged_files_refuses_in_a_sentence_or_reads(read, tries, tmp_path):
    rng = np.random.default_rng(1)
    path = tmp_path / "damaged.tflite"
    made = []
    for _ in range(tries):
        path.write_bytes(damaged(rng))
        made.append(read_or_refused(read, path))
        if made[-1] is not None and read is tflite_bytes.account:
            assert made[-1].total == path.stat().st_size
    assert 0 < made.count(None) < tries, "all or none refused: nothing was tested"


@pytest.mark.parametrize("runtime", HERE)
def test_a_runtime_on_damaged_files_refuses_in_a_sentence_or_follows_the_weights(runtime, tries, tmp_path):
    rng = np.random.default_rng(2)
    path = tmp_path / "damaged.tflite"
    q = np.array([[-128, -128], [-128, 127], [127, -128], [127, 127], [0, 5]], np.int8)
    made, compared = [], 0
    for _ in range(tries):
        path.write_bytes(damaged(rng))
        made.append(read_or_refused(lambda path: predictors.from_tflite(path, runtime), path))
        net = read_or_refused(lambda path: IntegerMLP.from_tflite(path, FOLLOWS[runtime]), path)
        if None not in (made[-1], net) and made[-1].sample == (net.width,):
            codes = read_or_refused(lambda _, p=made[-1]: p.codes(q), path)
            assert codes is None or np.array_equal(codes, net.codes(q))
            compared += codes is not None
    assert 0 < made.count(None) < tries and compared > tries / 20


def test_the_walk_refuses_just_what_litert_verifier_refuses(tries):
    rng = np.random.default_rng(3)
    refused = []
    for _ in range(tries):
        content = damaged(rng)
        try:
            tflite_format.walk(content)
            refused.append(False)
        except tflite_format.Damaged:
            refused.append(True)
        try:
            sandbox.opened(content, Plan("reference", (), (), (), (), (), None), "it")
            said = ""
        except ValueError as error:
            said = str(error)
        assert ("not a valid Flatbuffer" in said or "identifier" in said) == refused[-1], said
    assert 0 < sum(refused) < tries
