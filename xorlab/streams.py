"""What reaches the screen: native log noise held back, progress shown only to people, a lesson's expectations."""
import os
import sys
import tempfile
import threading
import unicodedata
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path

_ONE_THREAD = threading.RLock()         # two that redirect one descriptor would restore each other's


@contextmanager
def quiet():
    """Hold native stderr (TensorFlow, LiteRT, XNNPACK) back; replay it if the block raises.

    Yields a function that returns the text held so far: a runtime's own words.
    Records of Python's logging up to warnings are dropped: in a notebook they do not pass through native stderr.
    C++ libraries write to file descriptor 2 directly, past `sys.stderr`, so the descriptor itself is
    redirected to a temporary file. The descriptor belongs to the whole process: while the block runs,
    other threads' native messages are held back too, and another thread's block waits.
    """
    # here: with all that it imports, it would double the time that importing xorlab takes
    import logging

    if sys.stderr is None:              # closed from the start: nobody would see, and descriptor 2 is some other file
        yield lambda: ""
        return
    with _ONE_THREAD:
        sys.stderr.flush()
        saved = os.dup(2)
        disabled = logging.root.manager.disable
        logging.disable(max(disabled, logging.WARNING))
        try:
            with tempfile.TemporaryFile() as held:
                os.dup2(held.fileno(), 2)
                try:
                    yield lambda: _text_of(held)
                except BaseException:
                    _restore(saved)
                    sys.stderr.write(_text_of(held))
                    raise
                finally:
                    _restore(saved)
        finally:
            logging.disable(disabled)
            os.close(saved)


def _text_of(held):
    held.seek(0)                # reading leaves the place, which native writers share, at the end again
    return held.read().decode(errors="replace")


def _restore(saved):
    sys.stderr.flush()          # what Python itself wrote inside the block belongs to the held file
    os.dup2(saved, 2)


def say(notes):
    """Print sentences that are no errors but that a reader should see, e.g. those of data.label_notes: one a line."""
    for note in notes:
        print(note)


def progress(steps, label):
    """Iterate over the steps, an iterable, under a tqdm bar that only a waiting person sees.

    The bar appears after 3 seconds, never when the output is a file or pipe, and never when the
    environment says TQDM_DISABLE=1 (tests and refreshed lessons do).
    """
    from tqdm.auto import tqdm

    hidden = True if os.environ.get("TQDM_DISABLE") == "1" else None       # None: tqdm asks the stream
    return tqdm(steps, desc=label, delay=3, leave=False, disable=hidden)


def expect(condition: object, sentence: str) -> None:
    """Hold what a lesson's text says of its numbers, without punishing a student who changes them.

    condition : true where the numbers are as the text says.  sentence : what the text says, in one sentence.
    Where lessons are checked (the environment says XORLAB_CHECK=1) a false condition raises AssertionError with the
    sentence. Elsewhere the sentence is printed, and the lesson goes on.

    >>> expect(2 + 2 == 4, "Two and two make four.")
    """
    if not isinstance(sentence, str):
        raise TypeError(f"sentence must be a text in quotes, got {type(sentence).__name__}")
    try:
        if condition:
            return
    except ValueError:
        raise TypeError("condition must be true or false, got an array; take .all() or .any() of it") from None
    if os.environ.get("XORLAB_CHECK") == "1":
        raise AssertionError(sentence)
    print(f"Not so here, though the lesson's text says it: {sentence}")


def ended(run: Callable, *arguments: object, name: str | None = None,
          errors: tuple[type[Exception], ...] = (OSError, ImportError), status: int = 1) -> int:
    """Run a command and return its exit status; what the person who gave it can put right ends in a sentence.

    run : what to call with the arguments; it returns an exit status, or None for 0.
    name : with which a sentence begins; the script's where there is none.
    errors : those that become a sentence on stderr and the exit status `status`: a missing file, a full disk, a
        package that is not installed. Ctrl-C gives 130. Where nobody reads the output on, as `head` may do, it is 141.
    """
    name = name or Path(sys.argv[0]).stem
    if sys.stdout is None:
        print(f"{name}: the standard output is closed; start it with one, e.g. > output.txt", file=sys.stderr)
        return status
    try:
        code = run(*arguments) or 0
        sys.stdout.flush()              # a full disk must show here, and not as Python ends
        return code
    except BrokenPipeError:
        return 141                      # as a shell says of a program that ends so
    except errors as error:
        print(f"{name}: {printable(_sentence(error))}", file=sys.stderr)
        return status
    except KeyboardInterrupt:
        print(f"{name}: stopped", file=sys.stderr)
        return 130
    finally:
        _flush_or_forget()


def _flush_or_forget():
    """Flush the output, or let what it does not take go: Python, as it ends, would try again and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _sentence(error):
    """Return an error's message in one line, without the number that the system gives it."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"the package {error.name.split('.')[0]} is not installed; python3 lab.py installs what is missing"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.filename}: {error.strerror}" if error.filename else f"{error.strerror}; mend that and try again"
    return " ".join(str(error).split())


def printable(words) -> str:
    """Return text that stays on its line and in its colours, in a terminal too, whatever a file calls its tensors.

    >>> print(printable("two\\nlines \\x1b[31m"))
    two\\nlines \\x1b[31m
    """
    return "".join(letter if letter.isprintable() or unicodedata.category(letter) == "Zs" else repr(letter)[1:-1]
                   for letter in str(words))
