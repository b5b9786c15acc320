import sys
from importlib import metadata

import pytest

from xorlab import environment


@pytest.fixture
def installed(monkeypatch):
    """Pretend that xorlab requires `lines` and that `versions` are installed."""
    def pretend(lines, versions):
        def version(name):
            if name not in versions:
                raise metadata.PackageNotFoundError(name)
            return versions[name]

        monkeypatch.setattr(metadata, "requires", lambda name: lines)
        monkeypatch.setattr(metadata, "version", version)

    return pretend


def test_this_environment_is_complete():
    assert environment.check().missing == ()
    assert "Every package" in str(environment.check())


def test_what_is_missing_is_named_and_what_to_do_is_said(installed):
    installed(["numpy", "onnx2tf>=1.20", "torch>=2"], {"numpy": "2.0", "torch": "1.9"})
    check = environment.check()
    assert check.missing == ("onnx2tf", "torch>=2 (here is 1.9)")
    assert "onnx2tf" in str(check) and "python3 lab.py" in str(check)


def test_without_lab_py_the_remedy_is_a_pip_command_that_can_be_pasted(installed, monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "LAB", tmp_path / "lab.py")
    installed(["numpy", "onnx2tf>=1.20", "torch>=2"], {"numpy": "2.0", "torch": "1.9"})
    said = str(environment.check())
    assert said.endswith(f'{sys.executable} -m pip install "onnx2tf" "torch>=2"') and "lab.py" not in said
    assert "from its wheel or its folder" in str(environment.Check(("xorlab",), ""))


def test_what_is_not_meant_for_this_machine_is_not_missing(installed):
    installed(["tflite-micro; sys_platform == 'nowhere'", 'pytest; extra == "test"'], {})
    assert environment.check().missing == ()


def test_a_package_that_was_never_installed_is_missing_itself(monkeypatch):
    def requires(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", requires)
    monkeypatch.setattr(metadata, "version", requires)
    assert environment.check().missing == ("xorlab",)


@pytest.mark.parametrize("machine, flags, says", [
    ("x86_64", "flags : sse avx2 fma", ""), ("x86_64", "flags : sse", "no AVX2"), ("arm64", "", "arm64")])
def test_processors_whose_answers_are_not_promised_are_told(monkeypatch, tmp_path, machine, flags, says):
    (tmp_path / "cpuinfo").write_text(flags)
    monkeypatch.setattr(environment.platform, "machine", lambda: machine)
    monkeypatch.setattr(environment, "Path", lambda name: tmp_path / "cpuinfo")
    warning = environment.check().warning
    assert says in warning and bool(says) == bool(warning)
