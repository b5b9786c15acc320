import os
import stat

import numpy as np
import pytest

from xorlab import codegen, compiler, data, models
from xorlab.integer import IntegerMLP


def test_the_code_that_runs_is_the_code_that_stands_in_the_file(tmp_path):
    """Break the C, as lesson 08 invites to: loaded again from the same path, the change must be seen."""
    net = IntegerMLP.from_tflite(models.reference_file("relu-2-4-1", "int8.tflite"))
    q = data.int8_inputs()
    source = codegen.write_c(net, tmp_path)[1]
    whole = compiler.load(source, "xor_net", 2, 1)
    assert np.array_equal(whole(q)[:, 0], net.codes(q))
    for wrong in (q[:, :1], q[0], q.astype(int), np.zeros((2, 3), np.int8)):     # C would read past their ends
        with pytest.raises(ValueError, match=r"codes must be int8 of shape \(n, 2\), got"):
            whole(wrong)
    text = source.read_text()
    weight = net.steps[0].weights[0, 0]
    assert f"{weight} * input[0]" in text
    source.write_text(text.replace(f"{weight} * input[0]", f"{weight - 9} * input[0]", 1))
    broken = compiler.load(str(source), "xor_net", 2, 1)
    assert (broken(q) != whole(q)).any()
    assert np.array_equal(whole(q)[:, 0], net.codes(q)), "the first one stays what it was"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["xor_net.c", "xor_net.h"]


def test_two_files_of_one_folder_are_two_functions(tmp_path):
    runs = []
    for value in (7, -7):
        source = tmp_path / f"constant{value}.c"
        source.write_text("#include <stdint.h>\n"
                          f"void f(const int8_t *in, int8_t *out) {{ out[0] = {value}; out[1] = in[2]; }}")
        runs.append(compiler.load(source, "f", 3, 2))
    q = np.int8([[1, 2, 3], [4, 5, 6]])
    assert [run(q).tolist() for run in runs] == [[[7, 3], [7, 6]], [[-7, 3], [-7, 6]]]
    for wrong in (q[:, :2], q.astype(float), q[0]):
        with pytest.raises(ValueError, match=r"int8 of shape \(n, 3\)"):
            runs[0](wrong)
    with pytest.raises(FileNotFoundError, match="no C file at .*gone.c"):
        compiler.load(tmp_path / "gone.c", "f", 3, 2)


@pytest.fixture
def wheel(monkeypatch, tmp_path):
    """Pretend that the package was installed from a wheel, with tmp_path as the folder of temporary files."""
    for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(compiler, "PROJECT", tmp_path / "site-packages")
    monkeypatch.setattr(compiler.tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="users share no temporary folder here")
def test_an_installed_package_keeps_the_compilers_cache_in_a_folder_of_the_user(wheel, monkeypatch):
    for _ in range(2):                                                  # made, then found
        variables = compiler._environment()
        made = wheel / f"xorlab-{os.getuid()}"
        assert variables["ZIG_GLOBAL_CACHE_DIR"] == variables["ZIG_LOCAL_CACHE_DIR"] == str(made / "zig")
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
    made.rename(wheel / "xorlab-4242")
    monkeypatch.setattr(os, "getuid", lambda: 4242)                     # whose folder somebody else made
    with pytest.raises(PermissionError, match="xorlab-4242 is not a folder that only you can write to"):
        compiler._environment()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="users share no temporary folder here")
def test_a_cache_that_others_could_write_to_is_not_used(wheel, monkeypatch):
    theirs = wheel / f"xorlab-{os.getuid()}"
    theirs.mkdir()
    for mode in (0o777, 0o702, 0o720):
        theirs.chmod(mode)
        with pytest.raises(PermissionError, match="remove it, or name others"):
            compiler._environment()
    theirs.rmdir()
    theirs.symlink_to(wheel)
    with pytest.raises(PermissionError):
        compiler._environment()
    for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"):
        monkeypatch.setenv(name, "elsewhere")
    assert compiler._environment()["ZIG_LOCAL_CACHE_DIR"] == "elsewhere"


def test_a_checkout_keeps_the_cache_inside(wheel, monkeypatch):
    monkeypatch.setattr(compiler, "PROJECT", wheel)
    (wheel / "pyproject.toml").write_text("")
    assert compiler._environment()["ZIG_GLOBAL_CACHE_DIR"] == str(wheel / "build" / "zig")
