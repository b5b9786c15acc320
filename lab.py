#!/usr/bin/env python3
"""Set up XOR Lab and start it.

    python3 lab.py [--no-browser] [--edit] [Jupyter arguments]
                                     set up, copy new lessons into work/, open JupyterLab on the first;
                                     --edit opens notebooks/ itself, where the solutions are
    python3 lab.py lessons                        only copy new lessons into work/: where conda or Binder sets up
    python3 lab.py doctor [--online]              can the lessons run here, and what helps if not: a table to paste
                                     into a question; --online asks the package index too
    python3 lab.py test [--quick] [--with tosa] [pytest arguments]
                                     every check; --quick runs some, in a minute or less, and says what it leaves out;
                                     --with tosa also runs those against Arm's TOSA reference model, which it installs
                                     into an environment of its own, .venv-tosa
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

    --cuda                           take torch with CUDA, where pip is set to look; on Linux it is else the build
                                     for the CPU, 4 GB less, if its index answers
    --torch-index URL                take torch from this package index

The first start opens JupyterLab as soon as the first lessons can run; what later ones need comes meanwhile. What is
installed stands in lock.txt, with digests. uv installs it where there is one, else pip; the environment variable
XORLAB_INSTALLER, pip or uv, chooses. Everything is written inside this folder; paths in arguments are relative to it.
"""
# Standard library only, and no syntax newer than Python 3.6: a Python that is too old must get as far as
# the sentence that says which one to install.
import contextlib
import errno
import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
PRIVATE = HERE / ".lab"
NOTEBOOKS = HERE / "notebooks"
WORK = HERE / "work"
OLDEST, NEWEST = (3, 11), (3, 13)
FULL = {"conversion", "playground"}     # benchmarks that need what the checks need

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
        mend_streams()
        status = command(arguments)
        sys.stdout.flush()
        return status
    except Problem as problem:
        return ended(problem, 1)
    except KeyboardInterrupt:
        return ended("stopped; the same command goes on from here.", 130, "\n")
    except BrokenPipeError:         # who reads this, head say, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13             # as if its signal, SIGPIPE, had ended this, as it ends others
    except OSError as error:
        return ended(sentence(error), 1)


def ended(problem, status, before=""):
    with contextlib.suppress(OSError):
        print(f"{before}lab.py: {problem}", file=sys.stderr)
    return status


def sentence(error):
    """Say what the system refused, of what, and what to do."""
    if error.strerror is None:
        return str(error)           # a sentence of xorlab's
    what = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if error.errno in (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return f"{what}; make room on the disk, and give the same command again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{what}; XOR Lab writes in its own folder: copy it to where you may write, or let it belong to you"
    return f"{what}; put that right, and give the same command again"


def mend_streams():
    """Let whatever is printed be written somewhere: streams that are closed, letters that a terminal lacks."""
    for name in ("stdin", "stdout", "stderr"):      # in the order of their numbers: each takes the lowest free one
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115
            os.set_inheritable(getattr(sys, name).fileno(), True)
        elif name != "stdin" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def command(arguments):
    """Run one command and return its exit status.  Raises Problem, OSError and KeyboardInterrupt."""
    require_python(sys.version_info[:2])
    torch_index, arguments = take_torch(arguments)
    if arguments and not arguments[0].startswith("-"):
        return command_named(arguments[0])(arguments[1:], torch_index)
    if arguments and arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    return start(arguments, torch_index)


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


def take_torch(arguments):
    """Return (where torch is to come from or None, the other arguments)."""
    index, arguments = take_option("--torch-index", arguments)
    if index is not None and "://" not in index:
        raise Problem(f"--torch-index needs the URL of a package index after it, got {index!r}")
    if "--cuda" not in arguments:
        return index, arguments
    if index is not None:
        raise Problem("--cuda and --torch-index both say where torch comes from: give one of them")
    if not sys.platform.startswith("linux"):
        raise Problem("--cuda is for Linux; on Windows name PyTorch's index of the builds that you want, e.g. "
                      "--torch-index https://download.pytorch.org/whl/cu130")
    return package("installing").CUDA, [argument for argument in arguments if argument != "--cuda"]


def command_named(name):
    commands = {"test": test, "demo": demo, "bench": bench, "slides": slides, "html": html, "refresh": refresh,
                "lessons": copy_only, "reset": reset, "tinker": tinker, "editions": write_editions,
                "trust": trust, "mutants": mutants, "doctor": doctor}
    if name not in commands:
        names = ", ".join(commands)
        raise Problem(f"there is no command {name!r}; there are: {names}; without a command the lessons open")
    return commands[name]


def start(arguments, torch_index):
    """Open JupyterLab as soon as the first lessons can run; what later ones need comes meanwhile."""
    venv = lessons_venv()
    python = venv.built(package("installing").FIRST, torch_index)
    opening = prepare(python, arguments)
    rest = venv.rest_meanwhile()
    status = run(opening, environment(python))
    if rest and rest.is_alive() and not venv.has("rest"):
        say("What later lessons need is not all here yet: the next start goes on with it.")
    return status


def test(arguments, torch_index):
    extra, arguments = take_option("--with", arguments)
    if extra not in (None, "tosa"):
        raise Problem(f"--with takes tosa, Arm's TOSA reference model, and nothing else, got {extra!r}")
    tosa = {"XORLAB_TOSA_PYTHON": set_up_tosa()} if extra else {}       # tests/tosa.py looks for it there
    python = set_up_for_checks(torch_index)
    return run([python, "-m", "pytest"] + side_by_side() + arguments, dict(environment(python), **tosa))


def side_by_side():
    """Return the arguments with which pytest takes several cores; a -n of the user's after them wins."""
    # one more than there are processors, for the tests of a browser wait a third of their time; loadfile keeps a
    # notebook's cells in one kernel, and conftest.py puts files in order
    return ["-n", str(min(4, (os.cpu_count() or 1) + 1)), "--dist", "loadfile", "--no-loadscope-reorder"]


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
    needs_more = set(named or scripts) & FULL
    python = set_up_for_checks(torch_index) if needs_more else set_up(torch_index)
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
    python = set_up_for_checks(torch_index)
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
    with alone("lessons", "copying lessons"):
        if copy.exists():
            old = free_name(copy)
            copy.rename(old)
            say(f"Your copy is kept as {old.relative_to(HERE)}.")
        making(lambda editions: editions.lay(source, WORK))
    say(f"{copy.relative_to(HERE)} is as for a student who begins.")
    return 0


def doctor(arguments, torch_index):
    if arguments not in ([], ["--online"]):
        raise Problem(f"doctor takes --online and nothing else, got {arguments[0]!r}")
    look = package("doctor")
    return look.main(look.Place(HERE, VENV, PRIVATE, online=bool(arguments)))


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
    """Return what a function makes of xorlab.editions."""
    editions = package("editions")
    try:
        return work(editions)
    except editions.Malformed as problem:
        raise Problem(str(problem)) from None


def package(name):
    """Return a module of the package that needs nothing installed: editions, files, installed, doctor or the like."""
    if str(HERE) not in sys.path:       # Python leaves it out where PYTHONSAFEPATH is set
        sys.path.insert(0, str(HERE))
    # not above: it needs the Python that main() has asked for by now
    try:
        return importlib.import_module("xorlab." + name)
    except (ImportError, SyntaxError, ValueError) as error:     # ValueError: a NUL in a source file
        raise Problem(f"a file in xorlab/ is missing or damaged ({error}): bring it back, e.g. git checkout xorlab") \
            from None


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
    with alone("lessons", "copying lessons"):
        for folder in (WORK, NOTEBOOKS):
            package("files").sweep(folder)      # what killed ones left hidden
        newer = making(lambda editions: editions.lay_out(NOTEBOOKS, WORK))
    return [
        f"There is a newer version of {source.stem}: python3 lab.py reset {source.name.split('-')[0]} brings it "
        "and keeps your copy beside it."
        for source in newer
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
    settings = PRIVATE / "jupyter" / "config" / "labconfig" / "default_setting_overrides.json"
    wanted = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
    installing = package("installing")
    if installing.read_json(settings) != wanted:
        installing.write_json(settings, wanted)
    for line in package("news").told(HERE / "CHANGELOG.md", PRIVATE / "news.json", any(WORK.glob("*.ipynb"))):
        say(line)
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


def set_up(torch_index, sections=None):
    """Make .venv hold sections of lock.txt, by default what the lessons need; return its Python."""
    return lessons_venv().built(sections or package("installing").LESSONS, torch_index)


def set_up_for_checks(torch_index):
    """Make .venv hold what checks and tools need too; return its Python."""
    return set_up(torch_index, package("installing").CHECKS)


def set_up_tosa():
    """Make .venv-tosa hold Arm's TOSA reference model and its converter; return its Python."""
    if sys.platform == "darwin":
        raise Problem("--with tosa needs Linux or Windows: Arm's converter has no package for macOS")
    return package("installing").Tosa(checkout(), ".venv-tosa").built(("tosa",))


def lessons_venv():
    return package("installing").Lessons(checkout(), VENV.name)


def checkout():
    return package("installing").Checkout(HERE, PRIVATE, environment, say)


def alone(name, doing):
    """Let one lab.py at a time into the block; another waits, and says for whom."""
    return package("processes").alone(PRIVATE / (name + ".lock"), doing, say)


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
