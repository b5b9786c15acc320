"""One list of packages, said once: environment.yml and constraints.txt follow pyproject.toml."""
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONSTRAINTS = [
    line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")
]


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def conda():
    """Return (what conda installs, what pip installs) of environment.yml."""
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    by_pip = [entry["pip"] for entry in dependencies if isinstance(entry, dict)]
    return [entry for entry in dependencies if isinstance(entry, str)], by_pip[0]


def test_conda_gives_the_pythons_of_pyproject_and_nothing_else():
    by_conda, _ = conda()
    assert by_conda == [f"python {PROJECT['requires-python']}", "pip"]


def test_conda_installs_the_project_with_the_constraints_and_names_no_package():
    _, by_pip = conda()
    assert by_pip == ["-c constraints.txt", "-e .[test]"]


def test_every_dependency_has_a_constraint():
    requirements = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]
    names = {canonical(re.match(r"[\w.-]+", requirement).group()) for requirement in requirements}
    assert names <= {canonical(line.split("==")[0]) for line in CONSTRAINTS}


def test_constraints_are_exact_public_versions_and_name_no_package_twice():
    for line in CONSTRAINTS:
        assert re.fullmatch(r"[\w.-]+==[\w.]+", line), line
    names = [canonical(line.split("==")[0]) for line in CONSTRAINTS]
    assert len(names) == len(set(names))


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
