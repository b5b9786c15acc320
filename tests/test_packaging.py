"""One list of packages, said once: environment.yml and constraints.txt follow pyproject.toml."""
import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tools import lock
from xorlab.installing import read_lock

ROOT = Path(__file__).resolve().parent.parent
LOCK = read_lock((ROOT / "lock.txt").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins(file):
    return [line for line in (ROOT / file).read_text().splitlines() if line and not line.startswith("#")]


CONSTRAINTS = pins("constraints.txt")


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def conda(file="environment.yml"):
    """Return (what conda installs, what pip installs) of environment.yml."""
    dependencies = yaml.safe_load((ROOT / file).read_text())["dependencies"]
    by_pip = [entry["pip"] for entry in dependencies if isinstance(entry, dict)]
    return [entry for entry in dependencies if isinstance(entry, str)], by_pip[0]


def test_conda_gives_the_pythons_of_pyproject_and_nothing_else():
    by_conda, _ = conda()
    assert by_conda == [f"python {PROJECT['requires-python']}", "pip"]


def test_conda_installs_the_project_with_the_constraints_and_names_no_package():
    _, by_pip = conda()
    assert by_pip == ["-c constraints.txt", "-e .[test]"]


def test_binder_gets_the_same_with_torch_for_the_cpu_and_without_the_checks():
    assert conda(".binder/environment.yml")[0] == conda()[0]
    index, constraints, project = conda(".binder/environment.yml")[1]
    assert index == "--extra-index-url https://download.pytorch.org/whl/cpu"
    assert [(ROOT / ".binder" / line.split()[1]).resolve() for line in (constraints, project)] == [
        ROOT / "constraints.txt", ROOT]       # conda runs pip beside the file


def test_every_dependency_has_a_constraint():
    requirements = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]
    names = {canonical(re.match(r"[\w.-]+", requirement).group()) for requirement in requirements}
    assert names <= {canonical(line.split("==")[0]) for line in CONSTRAINTS}


@pytest.mark.parametrize("file", ["constraints.txt", "constraints-tosa.txt"])
def test_constraints_are_exact_public_versions_and_name_no_package_twice(file):
    for line in pins(file):
        assert re.fullmatch(r"[\w.-]+==[\w.]+", line), line
    names = [canonical(line.split("==")[0]) for line in pins(file)]
    assert len(names) == len(set(names))


def test_every_pin_installs_on_the_first_release_of_each_python():
    """Read of what is installed in the pinned version, here nearly all of them."""
    firsts = [f"3.{minor}.0" for minor in range(11, 14)]
    assert all(first in SpecifierSet(PROJECT["requires-python"]) for first in firsts)
    checked = 0
    for name, version in (line.split("==") for line in CONSTRAINTS):
        try:
            here = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if here.version.split("+")[0] == version:
            takes = SpecifierSet(here.metadata.get("Requires-Python") or "")
            assert [first for first in firsts if first not in takes] == [], f"{name} {version} wants Python {takes}"
            checked += 1
    assert checked > 100


def test_the_constraints_are_those_of_the_lock():
    """After a change of either: python -m tools.lock."""
    assert (ROOT / "constraints.txt").read_text() == lock.constraints_text((ROOT / "lock.txt").read_text())


def test_everything_in_the_lock_has_digests_but_torch_and_it_names_no_place():
    assert list(LOCK) == list(lock.SECTIONS) and list(LOCK["torch"]) == ["torch"]
    for section in LOCK.values():
        for name, lines in section.items():
            first, *digests = lines.splitlines()
            assert re.fullmatch(r"[\w.-]+==[\w.]+( ; [^\\]+)?( \\)?", first), first
            assert bool(digests) == (name != "torch"), name
            assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in digests), name
    names = [name for section in LOCK.values() for name in section]
    assert len(names) == len(set(names)) and "://" not in (ROOT / "lock.txt").read_text()


def test_each_section_of_the_lock_holds_what_it_is_for():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    first = set(map(canonical, settings["tool"]["xorlab"]["first"]))
    students = {canonical(lock.name_of(line)) for line in PROJECT["dependencies"]}
    checks = {canonical(lock.name_of(line)) for line in PROJECT["optional-dependencies"]["test"]}
    build = {canonical(lock.name_of(line)) for line in settings["build-system"]["requires"]}
    assert first < students and first | build <= {*LOCK["first"], "torch"}
    assert students <= {*LOCK["first"], *LOCK["rest"], "torch"}
    assert checks <= {*LOCK["first"], *LOCK["rest"], *LOCK["test"]}
    assert all(name.startswith(("nvidia-", "cuda-", "triton")) for name in LOCK["cuda"])


def test_no_marker_of_the_lock_leaves_out_what_an_installed_package_asks_for_here():
    """The lock is installed without asking what packages need: so it must name all that they say they need."""
    entries = {name: lines for section in LOCK.values() for name, lines in section.items()}
    for name, lines in entries.items():
        try:
            here = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if here.version.split("+")[0] != re.split("[ ;]", lines)[0].split("==")[1] or name in {*LOCK["cuda"], "torch"}:
            continue
        for wanted in map(Requirement, here.requires or []):
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                named = entries.get(canonical(wanted.name))
                assert named, f"{name} asks for {wanted}, and the lock does not name it"
                marker = re.search(r" ; ([^\\]+)", named.splitlines()[0])
                assert not marker or Marker(marker.group(1)).evaluate(), f"{name} asks for {wanted}: {marker}"
                version = named.split()[0].split("==")[1]
                assert wanted.specifier.contains(version, prereleases=True), f"{name} asks for {wanted}, not {version}"


def test_nothing_builds_a_grammar_when_notebooks_are_read():
    """jsonschema from 4.25 on asks for rfc3987-syntax: 2.5 seconds of work in each process that imports nbformat."""
    assert not {"rfc3987-syntax", "lark"} & {canonical(line.split("==")[0]) for line in CONSTRAINTS}


def test_every_dependency_says_what_needs_it():
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    requirements = [line for line in lines if re.match(r'    "[\w.-]+.*",', line)]
    assert len(requirements) == len(PROJECT["dependencies"]) + len(PROJECT["optional-dependencies"]["test"])
    assert [line for line in requirements if "  #" not in line] == []


def test_the_xorlab_command_is_the_one_that_lab_starts():
    assert PROJECT["scripts"] == {"xorlab": "xorlab.cli:main"}


def test_the_citation_names_the_version_and_the_licences_of_pyproject():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)      # what the format demands
    assert citation["version"] == PROJECT["version"]
    assert " AND ".join(citation["license"]) == PROJECT["license"].upper()


def test_ruff_is_clean():
    check = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format", "concise", "."],
        cwd=ROOT, capture_output=True, text=True,
    )
    assert check.returncode == 0, check.stdout + check.stderr


SCALARS = {"scale", "beta", "alpha"}        # attributes that hold one number


def test_no_array_goes_through_np_float64():
    """Of an array with one element NumPy 2.1 makes a number without an axis (2.4 doesn't)."""
    for path in sorted((ROOT / "xorlab").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "np.float64":
                [given] = node.args
                one = getattr(given, "attr", None) in SCALARS or ast.unparse(given).startswith("np.float32(")
                assert one, f"{path.name}:{node.lineno}: {ast.unparse(node)}; an array has .astype(np.float64)"


OF_VERSION_0_1 = {"rules", "fixed_point"}           # names that only old copies of lessons import


def import_order():
    """The modules in the order that the package's own text gives."""
    text = (ROOT / "xorlab" / "__init__.py").read_text().split("in this list:")[1].split(".")[0]
    return re.findall(r"\w+", text)


def module_files(name):
    """The file of a module, or all files of a package."""
    at = ROOT / "xorlab" / name
    return sorted(at.rglob("*.py")) if at.is_dir() else [at.with_suffix(".py")]


def test_the_list_of_modules_is_whole_and_contributing_has_the_same():
    inside = [path for path in (ROOT / "xorlab").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()]
    modules = {path.stem for path in inside} - {"__init__"} - OF_VERSION_0_1
    assert sorted(import_order()) == sorted(modules)
    line = next(line for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines() if "import one way" in line)
    said = [name for part in re.findall(r"`([a-z0-9_, ]+)`", line) for name in part.split(", ")]
    assert said[: len(modules)] == import_order()


@pytest.mark.parametrize("module", import_order())
def test_a_module_imports_only_modules_before_it(module):
    before = import_order()[: import_order().index(module)]
    own = {module} if (ROOT / "xorlab" / module).is_dir() else set()
    for node in (node for path in module_files(module) for node in ast.walk(ast.parse(path.read_text()))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "xorlab":
            named = [node.module.split(".")[1]] if "." in node.module else [
                alias.name for alias in node.names if module_files(alias.name)[0].is_file()]
            assert set(named) <= {*before, *own}, f"{module} imports {', '.join(set(named) - set(before))}"


@pytest.mark.parametrize("package", ["integer", "plots", "playground"])
def test_inside_a_package_modules_import_one_way_too(package):
    folder = ROOT / "xorlab" / package
    order = re.findall(r"^(\w+) : ", (folder / "__init__.py").read_text(), re.M)
    assert sorted(order) == sorted({path.stem for path in folder.iterdir() if path.suffix == ".py"
                                    or (path / "__init__.py").is_file()} - {"__init__"})
    for i, module in enumerate(order):
        trees = [ast.parse(path.read_text()) for path in module_files(f"{package}/{module}")]
        for node in (node for tree in trees for node in ast.walk(tree)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"xorlab.{package}"):
                named = {alias.name for alias in node.names} if node.module == f"xorlab.{package}" else {
                    node.module.split(".")[2]}
                assert named <= set(order[: i + 1]), f"{module} imports {', '.join(named - set(order[: i + 1]))}"
