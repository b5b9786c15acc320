"""What reaches the screen: native log noise held back, progress shown only to people, a lesson's expectations."""
import os
import sys
import tempfile
import threading
from contextlib import contextmanager

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
