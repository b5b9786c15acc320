#!/usr/bin/env python3
"""Set up XOR Lab and start it.

    python3 lab.py [--no-browser] [--edit] [Jupyter arguments]
                                     set up, copy new lessons into work/, open JupyterLab on the first;
                                     --edit opens notebooks/ itself, where the solutions are
    python3 lab.py lessons                        only copy new lessons into work/: where conda or Binder sets up
    python3 lab.py test [--with tosa] [pytest arguments]
                                     every check; --with tosa also those against Arm's TOSA reference model, which
                                     it installs into an environment of its own, .venv-tosa
    python3 lab.py demo [arguments]               the whole road without a notebook
    python3 lab.py bench [name] [its options]     all benchmarks, or one
    python3 lab.py slides [NN ...]                lessons as slides in slides/, printed as PDF where there is a Chromium
    python3 lab.py html                           lessons as pages in html/, to read without Jupyter
    python3 lab.py refresh [NN ...]               re-run lessons in notebooks/ in place
    python3 lab.py reset NN                       a fresh copy of a lesson in work/; the old one stays too
    python3 lab.py tinker [NN ...]                run lessons with the changes that a student would try
    python3 lab.py editions DIR                   the lessons for students, with solutions, and as a course of nbgrader
    python3 lab.py trust [part] [trial ...]       try again what docs/trust.md promises, and rewrite that page
    python3 lab.py mutants [mutant ...]           break the project on purpose, and see the checks notice

    --torch-index URL                take torch from this package index (e.g. one with CPU builds)

Everything is written inside this folder; paths in arguments are relative to it.
"""
# Standard library only, and no syntax newer than Python 3.6: a Python that is too old must get as far as
# the sentence that says which one to install.
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
TOSA_VENV = HERE / ".venv-tosa"     # its packages ask for another NumPy than the lessons
RECORD = "xorlab-setup.json"        # in each of them, what it was made for
PRIVATE = HERE / ".lab"
NOTEBOOKS = HERE / "notebooks"
WORK = HERE / "work"
OLDEST, NEWEST = (3, 11), (3, 13)

# For every kernel that is checked or refreshed: one thread each, since several run side by side; no progress
# bars, since their last frame differs from run to run; and what a lesson expects of its numbers must hold.
CHECK_SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TQDM_DISABLE": "1",
    "XORLAB_CHECK": "1",
}


class Problem(Exception):
    """A sentence for the person at the terminal."""


def main(arguments):
    """Run one command and return its exit status."""
    try:
        require_python(sys.version_info[:2])
        torch_index, arguments = take_option("--torch-index", arguments)
        if torch_index is not None and "://" not in torch_index:
            raise Problem(f"--torch-index needs the URL of a package index after it, got {torch_index!r}")
        if arguments and not arguments[0].startswith("-"):
            return command_named(arguments[0])(arguments[1:], torch_index)
        if arguments and arguments[0] in ("-h", "--help"):
            print(__doc__)
            return 0
        return start(arguments, torch_index)
    except Problem as problem:
        print(f"lab.py: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nlab.py: stopped; the same command goes on from here.", file=sys.stderr)
        return 130


def require_python(version):
    if not OLDEST <= version <= NEWEST:
        have = ".".join(map(str, version))
        allowed = ", ".join(f"3.{minor}" for minor in range(OLDEST[1], NEWEST[1] + 1))
        raise Problem(
            f"this is Python {have}, and XOR Lab needs one of {allowed}: install one (from python.org or "
            "your system's packages) and start lab.py with it, e.g. python3.12 lab.py"
        )


def take_option(name, arguments):
    """Return (value or None, the other arguments) for `--name value` or `--name=value`."""
    value, others, rest = None, [], iter(arguments)
    for argument in rest:
        if argument == name:
            value = next(rest, "")
        elif argument.startswith(name + "="):
            value = argument[len(name) + 1:]
        else:
            others.append(argument)
    return value, others


def command_named(name):
    commands = {"test": test, "demo": demo, "bench": bench, "slides": slides, "html": html, "refresh": refresh,
                "lessons": copy_only, "reset": reset, "tinker": tinker, "editions": write_editions,
                "trust": trust, "mutants": mutants}
    if name not in commands:
        names = ", ".join(commands)
        raise Problem(f"there is no command {name!r}; there are: {names}; without a command the lessons open")
    return commands[name]


def start(arguments, torch_index):
    python = set_up(torch_index)
    return run(prepare(python, arguments), environment(python))


def test(arguments, torch_index):
    extra, arguments = take_option("--with", arguments)
    if extra not in (None, "tosa"):
        raise Problem(f"--with takes tosa, Arm's TOSA reference model, and nothing else, got {extra!r}")
    tosa = {"XORLAB_TOSA_PYTHON": set_up_tosa()} if extra else {}       # tests/tosa.py looks for it there
    python = set_up(torch_index)
    workers = str(min(4, os.cpu_count() or 1))
    # loadfile keeps a notebook's cells in one kernel; a -n of the user's comes later and wins.
    command = [python, "-m", "pytest", "-n", workers, "--dist", "loadfile"]
    return run(command + arguments, dict(environment(python), **tosa))


def demo(arguments, torch_index):
    python = set_up(torch_index)
    return run([str(Path(python).with_name("xorlab")), "demo"] + arguments, environment(python))


def bench(arguments, torch_index):
    scripts = {path.stem: path for path in sorted((HERE / "benchmarks").glob("[!_]*.py"))}
    options = next((i for i, argument in enumerate(arguments) if argument.startswith("-")), len(arguments))
    named, options = arguments[:options], arguments[options:]
    for name in named:
        if name not in scripts:
            names = ", ".join(scripts) or "none yet"
            raise Problem(f"there is no benchmark {name!r}; there are: {names}")
    python = set_up(torch_index)
    statuses = [run([python, str(scripts[name])] + options, environment(python)) for name in named or scripts]
    return max(statuses, default=0, key=abs)


def slides(arguments, torch_index):
    return run_tool("slides", arguments, torch_index)


def html(arguments, torch_index):
    return run_tool("site", arguments, torch_index)


def refresh(arguments, torch_index):
    return run_tool("refresh", arguments, torch_index)


def tinker(arguments, torch_index):
    return run_tool("tinker", arguments, torch_index)


def trust(arguments, torch_index):
    return run_tool("trust", arguments, torch_index)


def mutants(arguments, torch_index):
    return run_tool("trust", ["mutants"] + arguments, torch_index)


def run_tool(name, arguments, torch_index):
    python = set_up(torch_index)
    return run([python, "-m", "tools." + name] + arguments, environment(python))


def copy_only(arguments, torch_index):
    if arguments:
        raise Problem(f"lessons takes nothing after it, got {arguments[0]!r}; it copies all that work/ lacks")
    for notice in copy_lessons():
        say(notice)
    say("The lessons are in work/.")
    return 0


def reset(arguments, torch_index):
    if len(arguments) != 1:
        raise Problem("reset needs the number of one lesson, e.g. python3 lab.py reset 02")
    source = lesson(arguments[0])
    copy = WORK / source.name
    making(lambda editions: editions.made(editions.student, source))     # or your copy stays where it is
    if copy.exists():
        old = free_name(copy)
        copy.rename(old)
        say(f"Your copy is kept as {old.relative_to(HERE)}.")
    making(lambda editions: editions.lay(source, WORK))
    say(f"{copy.relative_to(HERE)} is as for a student who begins.")
    return 0


def write_editions(arguments, torch_index):
    if len(arguments) != 1 or arguments[0].startswith("-"):
        raise Problem("editions needs one folder to write into, e.g. python3 lab.py editions course")
    folder = HERE / arguments[0]
    if folder.resolve() in (HERE, NOTEBOOKS, WORK):
        raise Problem("editions needs a folder of its own to write into, e.g. python3 lab.py editions course")
    for sentence in making(lambda editions: editions.write_all(NOTEBOOKS, folder)):
        say(sentence)
    say(f"student/, solutions/ and nbgrader/ are in {folder}.")
    return 0


def making(work):
    """Return what a function makes of xorlab.editions, the package's module that needs nothing installed."""
    if str(HERE) not in sys.path:       # Python leaves it out where PYTHONSAFEPATH is set
        sys.path.insert(0, str(HERE))
    from xorlab import editions  # not above: it needs the Python that main() has asked for by now
    try:
        return work(editions)
    except (editions.Malformed, OSError) as problem:
        raise Problem(str(problem)) from None


def lessons():
    return sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))


def lesson(number):
    """Return the lesson with this number (`2` and `02` are the same)."""
    numbers = {path.name.split("-")[0]: path for path in lessons()}
    if number.zfill(2) not in numbers:
        names = ", ".join(numbers) or "none yet"
        raise Problem(f"there is no lesson {number!r}; there are: {names}")
    return numbers[number.zfill(2)]


def copy_lessons():
    """Copy lessons that work/ does not have yet; return a line for each that says something else since."""
    return [
        f"There is a newer version of {source.stem}: python3 lab.py reset {source.name.split('-')[0]} brings it "
        "and keeps your copy beside it."
        for source in making(lambda editions: editions.lay_out(NOTEBOOKS, WORK))
    ]


def free_name(path):
    """Return the first of name.old-1.ipynb, name.old-2.ipynb, ... that is not taken."""
    number = 1
    while True:
        free = path.with_name(f"{path.stem}.old-{number}{path.suffix}")
        if not free.exists():
            return free
        number += 1


def prepare(python, arguments):
    """Lay out lessons and settings; return the command line that opens them."""
    # JupyterLab would ask other hosts for updates, and the student, over the lesson, whether it may fetch news.
    write_json(
        PRIVATE / "jupyter" / "config" / "labconfig" / "default_setting_overrides.json",
        {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}},
    )
    if "--edit" in arguments:
        return jupyter_command(python, NOTEBOOKS, [argument for argument in arguments if argument != "--edit"])
    for notice in copy_lessons():
        say(notice)
    return jupyter_command(python, WORK, arguments)


def jupyter_command(python, folder, arguments):
    """Return the command line for JupyterLab in a folder, on its first lesson; the user's arguments win."""
    first = sorted(folder.glob("[0-9]*.ipynb"))
    command = [
        python, "-m", "jupyterlab",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={folder}",
        "--ServerApp.answer_yes=True",          # one Ctrl-C ends it
        "--LabApp.default_url=/lab" + ("/tree/" + first[0].name if first else ""),
        # Looking for language servers runs npm where there is one, and npm writes into the home folder.
        "--LanguageServerManager.autodetect=False",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")     # in a container one often is root, and Jupyter would refuse
    if not has_screen():
        command.append("--no-browser")
    return command + arguments


def has_screen():
    if not sys.platform.startswith("linux"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))


def environment(python):
    """Return the environment variables for everything that lab.py starts."""
    variables = dict(os.environ, **private_settings())
    # `!pip` in a lesson and a terminal in JupyterLab find this Python first.
    variables["PATH"] = os.pathsep.join([str(Path(python).parent), os.environ.get("PATH", "")])
    return variables


def private_settings():
    """Return the variables that keep in .lab/ what Jupyter and the frameworks would write into the home."""
    # Not XDG_*: a browser that Jupyter opens would inherit them and lose its own profile.
    folders = {
        "IPYTHONDIR": "ipython",
        "JUPYTER_CONFIG_DIR": "jupyter/config",
        "JUPYTER_DATA_DIR": "jupyter/data",
        "JUPYTER_RUNTIME_DIR": "jupyter/runtime",
        "JUPYTERLAB_SETTINGS_DIR": "jupyter/settings",
        "JUPYTERLAB_WORKSPACES_DIR": "jupyter/workspaces",
        "KERAS_HOME": "keras",
        "MPLCONFIGDIR": "matplotlib",
        "PIP_CACHE_DIR": "pip-cache",
        "TORCH_HOME": "torch",
    }
    variables = {name: str(PRIVATE / folder) for name, folder in folders.items()}
    # ONNX Runtime has no such folder: it keeps a device's id in the home and reports to its maker, unless told not to.
    return dict(variables, ORT_DISABLE_TELEMETRY="1")


def set_up(torch_index):
    """Make .venv hold what pyproject.toml and constraints.txt ask for; return its Python."""
    wanted = wanted_record(HERE / "pyproject.toml", HERE / "constraints.txt")
    wanted["torch_index"] = torch_index or read_json(VENV / RECORD).get("torch_index")
    return built(VENV, wanted, lambda python: install(python, wanted["torch_index"]))


def set_up_tosa():
    """Make .venv-tosa hold Arm's TOSA reference model and its converter; return its Python."""
    if sys.platform == "darwin":
        raise Problem("--with tosa needs Linux or Windows: Arm's converter has no package for macOS")
    return built(TOSA_VENV, wanted_record(HERE / "constraints-tosa.txt"), install_tosa)


def wanted_record(*lists):
    """Return what an environment's record says when it holds what these lists of packages ask for."""
    return {
        "python": "{}.{}".format(*sys.version_info[:2]),
        "place": str(HERE),
        "packages": digest(*lists),
        "complete": True,
    }


def built(folder, wanted, install_into):
    """Make the environment in a folder one with this record, if it is not yet; return its Python.

    install_into : function from its Python to whether pip succeeded.
    """
    record = folder / RECORD
    python = str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    before = read_json(record)
    reason = reason_to_build(folder, before, wanted, python)
    if reason is None and before == wanted:
        return python
    if reason:
        say(reason)
        build_venv(folder)
        before = dict(wanted, complete=False)
    # An installation that is killed half-way leaves this record, and the next start builds anew.
    write_json(record, dict(wanted, complete=False))
    if not install_into(python):
        # pip gives up (no network, say) before it changes anything: an earlier installation is still whole.
        write_json(record, before)
        raise Problem(
            "the installation did not finish (pip says why, above; often it is the network): give the same "
            "command again, and it goes on with what is already downloaded"
        )
    shutil.rmtree(str(PRIVATE / "pip-cache"), ignore_errors=True)
    write_json(record, wanted)
    return python


def reason_to_build(folder, before, wanted, python):
    """Return why an environment must be built from nothing, or None where what is there can be used."""
    name = folder.name
    if not folder.exists():
        return f"Setting up: a Python environment in {name}, some minutes, only this once."
    if not before.get("complete"):
        return f"The {name} here is not a finished installation (interrupted, or made by hand): building anew."
    if before.get("place") != wanted["place"]:
        return f"This folder was moved or copied since {name} was made: building {name} anew."
    if before.get("python") != wanted["python"]:
        return f"{name} has Python {before.get('python')}, and this is {wanted['python']}: building it anew."
    if before.get("torch_index") != wanted.get("torch_index"):
        return f"torch is to come from another index: building {name} anew."
    if not has_pip(python):
        return f"The Python in {name} no longer starts, or has lost its pip: building {name} anew."
    return None


def has_pip(python):
    """Is there a Python that starts and finds pip? (Looking for pip is quick; importing it is not.)"""
    check = "import importlib.util, sys; sys.exit(importlib.util.find_spec('pip') is None)"
    try:
        return subprocess.call([python, "-c", check], stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def build_venv(folder):
    # Started from inside .venv, lab.py must not build with the very Python that --clear removes.
    python = getattr(sys, "_base_executable", sys.executable)
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    if subprocess.call([python, "-m", "venv", "--clear", str(folder)], env=pip_environment(python)) != 0:
        raise Problem(
            f"no environment could be made in {folder.name}, for the reason above; put that right and start again"
        )


def install(python, torch_index):
    """Install the package and everything the lessons use; return whether pip succeeded."""
    say("Installing what the lessons need into .venv.")
    # Only torch itself: such an index has other versions of what torch needs than constraints.txt names.
    if torch_index and not pip_install(python, "--no-deps", "--index-url", torch_index, pinned("torch")):
        return False
    return pip_install(python, "-c", "constraints.txt", "-e", ".[test]")


def install_tosa(python):
    """Install what runs TOSA graphs and what makes them of TFLite files; return whether pip succeeded."""
    say("Installing Arm's TOSA reference model into .venv-tosa.")
    return pip_install(python, "-c", "constraints-tosa.txt", "tosa-tools", "tosa-converter-for-tflite")


def pip_install(python, *arguments):
    command = [python, "-m", "pip", "--disable-pip-version-check", "install"] + list(arguments)
    return subprocess.call(command, cwd=str(HERE), env=pip_environment(python)) == 0


def pip_environment(python):
    # pip asks rustc for its version, and a rustc of rustup's then writes into the home folder.
    return dict(environment(python), RUSTUP_HOME=str(PRIVATE / "pip-cache" / "rustup"))


def pinned(package):
    """Return the `package==version` line of constraints.txt."""
    for line in (HERE / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith(package + "=="):
            return line.strip()
    raise Problem(f"constraints.txt has no line {package}==version")


def run(command, variables):
    """Run a command in this folder to its end and return its exit status."""
    process = subprocess.Popen(command, cwd=str(HERE), env=variables)
    before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                pass        # the terminal sent Ctrl-C to the command too, and it ends in its own order
    finally:
        signal.signal(signal.SIGTERM, before)


def say(sentence):
    print(sentence, flush=True)     # before anything that the next command prints


def digest(*paths):
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()


def read_json(path):
    """Return what the file holds, or {} where it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path, content):
    replace_file(path, json.dumps(content, indent=1).encode())


def replace_file(path, content):
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name("." + path.name + ".half")
    half.write_bytes(content)
    os.replace(str(half), str(path))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
