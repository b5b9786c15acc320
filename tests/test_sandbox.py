"""The helper process: foreign files that crash, hang, or ask for too much memory, and what they leave behind."""
import importlib.util
import os
import signal
import subprocess
import sys
import threading

import made_files
import numpy as np
import pytest

from xorlab import data, models, predictors, runtimes, sandbox

ON_TFLM = importlib.util.find_spec("tflite_micro") is not None
X = np.float32([[1, -2], [3, 4], [-5, 6]])


@pytest.fixture
def foreign(tmp_path):
    """A file (x0 + 2 x1, 3 x0 + 4 x1) that this process did not convert, and its answers to X."""
    path = tmp_path / "foreign.tflite"
    path.write_bytes(made_files.dense([[1, 2], [3, 4]]).content())
    return path, X @ np.float32([[1, 3], [2, 4]])


@pytest.fixture
def nowhere(monkeypatch):
    """No helper process may be asked."""
    def talk(*_):
        raise AssertionError("the helper process was asked")

    monkeypatch.setattr(sandbox._helper, "talk", talk)


def test_reference_nets_and_vouched_bytes_run_here_and_others_do_not(foreign, nowhere):
    path, expected = foreign
    assert len(predictors.from_tflite(models.reference_file("relu-2-4-1", "int8.tflite"))(data.corners()[0])) == 4
    with pytest.raises(AssertionError, match="helper process was asked"):
        predictors.from_tflite(path)
    sandbox.vouch(path.read_bytes())
    try:
        assert np.array_equal(predictors.from_tflite(path)(X), expected)
    finally:
        sandbox._ours.clear()


def test_here_and_in_the_helper_a_file_gives_the_same_codes(tmp_path):
    path = models.reference_file("sigmoid-2-3-1", "int8.tflite")
    q = data.int8_inputs()
    # four zero bytes behind the flatbuffer change nothing but the digest
    (tmp_path / "copy.tflite").write_bytes(path.read_bytes() + bytes(4))
    assert not sandbox.vouched((tmp_path / "copy.tflite").read_bytes())
    for runtime in predictors.LITERT_KERNELS:
        here, there = (predictors.from_tflite(file, runtime) for file in (path, tmp_path / "copy.tflite"))
        assert np.array_equal(here.codes(q), there.codes(q))


def test_a_crash_is_a_sentence_and_other_files_answer_as_before(foreign, tmp_path):
    path, expected = foreign
    other = predictors.from_tflite(path)
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(made_files.depthwise_without_bias().content())
    with pytest.raises(ValueError, match=r"bad.tflite crashes LiteRT \(builtin\) \(SIG\w+.*\); it ran in a process of"):
        predictors.from_tflite(bad, "builtin")
    assert np.array_equal(other(X), expected)


def test_a_helper_that_was_killed_is_started_anew_without_a_word(foreign):
    path, expected = foreign
    p = predictors.from_tflite(path)
    sandbox._helper.process.kill()
    assert np.array_equal(p(X), expected)


def test_a_crash_that_another_files_memory_may_explain_is_tried_again_alone(foreign, tmp_path, monkeypatch):
    path, expected = foreign
    first = predictors.from_tflite(path)
    asked, request = [], sandbox._Helper.request

    def dies_once(self, *args):
        asked.append(self.process.pid)
        if len(asked) == 1:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
        return request(self, *args)

    predictors.from_tflite(path)                        # the helper has served two models: the crash is nobody's
    monkeypatch.setattr(sandbox._Helper, "request", dies_once)
    assert np.array_equal(first(X), expected)
    assert len(asked) == 3 and len(set(asked)) == 2     # the run that died; opened again, and run, in a new helper


@pytest.mark.parametrize("runtime", ["reference", *(["tflm"] if ON_TFLM else [])])
def test_an_endless_loop_ends_in_a_sentence(tmp_path, monkeypatch, runtime):
    path = tmp_path / "endless.tflite"
    path.write_bytes(made_files.endless().content())
    monkeypatch.setattr(sandbox, "SECONDS", 1)
    with pytest.raises(ValueError, match="endless.tflite takes more than 1 s on"):
        predictors.from_tflite(path, runtime)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no timer of a process's own time")
def test_a_file_may_not_work_longer_than_one_of_its_size(tmp_path, monkeypatch):
    path = tmp_path / "endless.tflite"
    path.write_bytes(made_files.endless().content())
    monkeypatch.setattr(sandbox, "WORK", 0.2)
    with pytest.raises(ValueError, match="endless.tflite takes more time to open than a file of its size may on"):
        predictors.from_tflite(path)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits what a process may map")
def test_a_file_that_wants_four_gigabytes_is_refused(foreign, tmp_path):
    path, expected = foreign
    content = made_files.relu((1, 1 << 30)).content()
    (tmp_path / "huge.tflite").write_bytes(content)
    with pytest.raises(ValueError, match="huge.tflite: tensor x .* needs 4,294,967,296 bytes; up to"):
        predictors.from_tflite(tmp_path / "huge.tflite")            # before anybody asks for the memory
    plan = runtimes.Plan("builtin", (0,), (1,), (("<f4", (1, 1 << 30)),), (0,), ("y",), 1)
    with pytest.raises(ValueError, match="huge.tflite is not a model that LiteRT .* can run"):
        sandbox.opened(content, plan, "huge.tflite")                # and if someone did
    assert np.array_equal(predictors.from_tflite(path)(X), expected)


def test_after_an_interrupt_the_next_answer_is_to_the_next_question(foreign, monkeypatch):
    path, expected = foreign
    p = predictors.from_tflite(path)
    receive = sandbox._receive

    def interrupted(stream):
        monkeypatch.setattr(sandbox, "_receive", receive)
        raise KeyboardInterrupt

    monkeypatch.setattr(sandbox, "_receive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        p(2 * X)
    assert np.array_equal(p(X), expected)


def test_two_threads_get_their_own_answers(foreign):
    path, expected = foreign
    right = []

    def ask(factor):
        p = predictors.from_tflite(path)
        right.extend(i for i in range(40) if np.array_equal(p(factor * X), factor * expected))

    threads = [threading.Thread(target=ask, args=(factor,)) for factor in (1, -3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(right) == sorted([*range(40), *range(40)])


def test_models_that_nobody_holds_any_more_are_dropped(foreign):
    path, _ = foreign
    for _ in range(3):
        predictors.from_tflite(path)
    assert len(sandbox._dropped) <= 1           # each opening told the helper about the one before


def test_nothing_is_said_on_the_screen(foreign, tmp_path, capfd):
    path, _ = foreign
    predictors.from_tflite(path, "xnnpack")(X)
    (tmp_path / "bad.tflite").write_bytes(made_files.depthwise_without_bias().content())
    with pytest.raises(ValueError):
        predictors.from_tflite(tmp_path / "bad.tflite", "xnnpack")
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_the_helper_ends_with_its_process_and_a_forked_child_has_its_own(foreign):
    path, expected = foreign
    code = f"""
import os, numpy as np
from xorlab import predictors, sandbox
x = np.float32({X.tolist()})
p = predictors.from_tflite({str(path)!r}, "reference")
child = os.fork()
same = np.array_equal(p(x), np.float32({expected.tolist()}))
if not child:
    sandbox._helper.stop()
    os._exit(0 if same else 1)
print(sandbox._helper.process.pid, same, os.waitpid(child, 0)[1])
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60)
    pid, *rest = done.stdout.split()
    assert (rest, done.stderr) == (["True", "0"], "")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
