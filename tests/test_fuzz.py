"""Damaged files: every reader answers as the file now says, or refuses in one sentence of ours that names the file.

tools/trust/readers.py lists the readers, and damaging.py is what happens to files; `lab.py trust damage` tries 10,000.
"""
import importlib.util
import zipfile

import made_files
import numpy as np
import pytest

from tools.trust import damage, damaging, readers
from xorlab import files, models, predictors, report, sandbox, tflite_format
from xorlab.integer import IntegerGraph, IntegerMLP
from xorlab.runtimes import RUNTIMES, Plan

WITHOUT_TFLM = importlib.util.find_spec("tflite_micro") is None
FOLLOWS = {"tflm": "tflm", "builtin": "ruy", "reference": "reference", "xnnpack": "xnnpack"}


def here(name, needs_tflm):
    return pytest.param(name, marks=[pytest.mark.skipif(WITHOUT_TFLM and needs_tflm, reason="no TFLite Micro here")])


@pytest.fixture
def tries(request):
    return request.config.getoption("--tries")


@pytest.mark.parametrize("name", [here(name, "tflm" in name or "micro" in name)
                                  for name, reader in readers.READERS.items() if reader.in_ci])
def test_a_reader_of_damaged_files_refuses_in_a_sentence_or_reads(name, tries, tmp_path):
    reader, came = readers.READERS[name], []
    for number in range(-(-tries * reader.in_ci // 300)):
        path = reader.put(number, tmp_path)
        came.append(readers.outcome(reader.read, path))
        assert came[-1][0] != "broken", f"file {number}: {came[-1][1]}"
        damage.empty(tmp_path)
    kinds = [kind for kind, _ in came]
    assert {"read", "refused"} == set(kinds), "all or none refused: nothing was tested"


@pytest.mark.parametrize("runtime", [here(runtime, runtime == "tflm") for runtime in RUNTIMES])
def test_a_runtime_on_a_damaged_net_refuses_in_a_sentence_or_follows_the_weights_that_stand_there(
        runtime, tries, tmp_path):
    q = np.array([[-128, -128], [-128, 127], [127, -128], [127, 127], [0, 5]], np.int8)
    reader, compared = readers.READERS["codegen"], 0            # for its files, all of int8 nets

    def codes_of(path):
        predictor = predictors.from_tflite(path, runtime)
        made.append(predictor.codes(q) if predictor.sample == (2,) else None)

    for number in range(tries):
        path, made = reader.put(number, tmp_path), []
        kind, said = readers.outcome(codes_of, path)
        assert kind != "broken", f"file {number}: {said}"
        if made and made[0] is not None and readers.outcome(IntegerMLP.from_tflite, path)[0] == "read":
            assert np.array_equal(made[0], IntegerMLP.from_tflite(path, FOLLOWS[runtime]).codes(q)), number
            compared += 1
        damage.empty(tmp_path)
    assert compared > tries / 20


def test_the_walk_refuses_just_what_litert_verifier_refuses(tries):
    reader, refused = readers.READERS["tflite_file.read"], []
    for number in range(tries):
        content = reader.content(number)
        if content is damaging.FOLDER:
            continue
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
    assert {True, False} == set(refused)


# --- the judge itself

def raises(error):
    def read(path):
        raise error
    return read


@pytest.mark.parametrize("error", [KeyError("x"), TypeError("x.json"), AttributeError("x.json"), MemoryError(),
                                   RecursionError("x.json"), UnicodeDecodeError("utf-8", b"x", 0, 1, "x.json"),
                                   ValueError("x.json is\ntwo lines"), ValueError("no name")])
def test_what_is_no_sentence_of_ours_is_found(error, tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "OURS", (*readers.OURS, *readers.Path(__file__).parents[:1]))
    assert readers.outcome(raises(error), tmp_path / "x.json")[0] == "broken"
    assert readers.outcome(raises(ValueError("x.json is damaged")), tmp_path / "x.json")[0] == "refused"


def test_an_error_that_a_library_raises_is_found(tmp_path):
    path = tmp_path / "1"
    assert readers.outcome(lambda path: np.ones(3).reshape(2, 2), path)[0] == "broken"
    assert readers.outcome(lambda path: int(path.name + "x"), path)[0] == "broken"


def test_a_reader_that_dies_costs_one_file(monkeypatch):
    monkeypatch.setattr(damage, "_watched", lambda name, start, end, told: (
        [{"kind": "read", "seconds": 0, "peak": 0}] * (3 if start == 0 else end - start), "died" if start == 0 else ""))
    row = damage._row("progress")
    assert row["files"] == readers.READERS["progress"].tries
    assert "file 3 died" in row["problem"]


# --- what damage found, as it was

def test_a_net_of_absurd_size_is_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "net.json"
    whole = models.reference_file("sigmoid-2-3-1", "net.json").read_text()
    for of in ("[1000000000]", "[3, 1000000000]", "[-3]", "[1e400]", "[true]", "[" * 90 + "]" * 90, "3"):
        assert whole.count('"hidden": [3]') == 1
        path.write_text(whole.replace('"hidden": [3]', f'"hidden": {of}'))
        with pytest.raises(ValueError, match=r"net\.json is not a net written by models.save: "):
            models.load(path)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400", "1e39", "true", '"1"', "null", "[1]", "9" * 400])
def test_a_weight_that_no_float32_is_is_refused(number, tmp_path):
    path, text = tmp_path / "net.json", models.reference_file("sigmoid-2-3-1", "net.json").read_text()
    assert text.count("-7.6900196") == 1
    path.write_text(text.replace("-7.6900196", number))
    with pytest.raises(ValueError, match="is not a net written by models.save"):
        models.load(path)


def test_a_tensor_of_absurd_size_is_refused_before_memory_is_taken(tmp_path):
    path, made = tmp_path / "large.tflite", made_files.Maker()
    x, y = (made.tensor("int8", (1, 2**30, 64), scale=0.1) for _ in "xy")
    made.operator("RELU", [x], [y])
    made.graph.inputs, made.graph.outputs = [x], [y]
    path.write_bytes(made.content())
    for read in (IntegerGraph.from_tflite, predictors.from_tflite, report.compare, report.why):
        with pytest.raises(ValueError, match=r"large\.tflite.* (allowed|can be kept)"):
            read(path)


def test_a_zip_that_claims_more_than_it_holds_is_refused_before_memory_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_UNPACKED", 100_000)
    path = tmp_path / "x.npy"
    np.save(path, np.zeros(3, np.float32))
    path.write_bytes(path.read_bytes().replace(b"(3,)", b"(1000000000000,)").replace(b" " * 12, b"", 1))
    with pytest.raises(ValueError, match=r"x\.npy is not a file of inputs .*1000000000000"):
        files.read_arrays(path, "inputs")
    bomb = tmp_path / "bomb.npz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(files.MOST_UNPACKED + 1))
    with pytest.raises(ValueError, match=r"bomb\.npz is not a file of inputs .*claims to hold more"):
        files.read_arrays(bomb, "inputs")
