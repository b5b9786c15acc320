"""Odd texts for every option of the command `xorlab`: exit status 2 and one line, or an answer; never a traceback."""
import contextlib
import io
from collections.abc import Callable, Iterator

from tools.trust import odd
from xorlab import cli, models

TEXTS = ("", "odd", "-1", "0", "0.5", "nan", "inf", "-inf", "1e400", "1000000000000", "9" * 5000, "true", "None",
         "größe 大きさ", "one\ntwo", "costs $5 or $6", "<b>&amp;</b>", "/*inline*/", "it's \"odd\" \\n", "x" * 10_000,
         "not/there.odd", "a folder", ".", "/", "--odd", "-")
INT8, FLOAT = (str(models.reference_file("relu-2-4-1", f"{kind}.tflite")) for kind in ("int8", "float32"))
# {command: arguments that are good, or soon refused, with which one option at a time is tried}
GOOD = {
    "demo": ["--epochs", "2", "--out", "here"],                         # a start that does not learn: status 1
    "errors": ["--model", "none"],                                      # or each would train for seconds
    "inspect": [INT8], "compare": [INT8, "--runtimes", "reference,builtin"],
    "why": [INT8, "--between", "reference", "builtin"], "layers": [INT8, "--float", FLOAT], "progress": ["a folder"],
    "rules": [],
}
OPTIONS = {
    "demo": ("--reference", "--seed", "--hidden", "--activation", "--epochs"),
    "errors": ("--model", "--weight-bits", "--granularity", "--tolerance", "--outputs", "--seed"),
    "inspect": ("--html",), "compare": ("--inputs", "--samples", "--seed", "--runtimes", "--html"),
    "why": ("--inputs", "--samples", "--seed", "--html"), "layers": ("--float", "--inputs", "--samples", "--seed",
                                                                     "--html"),
    "progress": (), "rules": (),
}
SWITCHES = {"compare": ("--quantize",), "why": ("--quantize", "--json"), "errors": ("--all", "--quantize")}


def tries() -> Iterator[list[str]]:
    """Yield odd command lines."""
    yield from ([], ["odd"], ["--odd"], [""], ["--version"])
    for command, good in GOOD.items():
        yield from ([command, "--odd"], [command, *good, "--odd"], [command, *good, "odd", "more"])
        yield from ([command, *good, option] for option in OPTIONS[command])         # without a value
        yield from ([command, *good, option, text] for option in OPTIONS[command] for text in TEXTS)
        yield from ([command, *good, switch, "--samples", "0"] for switch in SWITCHES.get(command, ()))
        if command in ("inspect", "compare", "why", "layers"):
            yield from ([command, text, *good[1:]] for text in TEXTS)
        if command == "progress":
            yield from ([command, text] for text in TEXTS)
        if command == "why":
            yield from ([command, INT8, "--between", text, "builtin"] for text in TEXTS)
    yield from (["errors", "--model", "dense1", "--quantize", "--weight-bits", text] for text in TEXTS)
    yield from (["errors", "--model", "dense1", "--quantize", "--granularity", text] for text in TEXTS)
    yield from (["errors", "--model", "dense1", "--outputs", text] for text in TEXTS)
    yield from (["errors", "--model", "dense1", "--tolerance", text] for text in ("-1", "nan", "inf", "-inf", "1e400"))


def judged(arguments: list[str]) -> tuple[str, str]:
    """Run a command line; return (what came of it, "" or what is wrong with it)."""
    said = io.StringIO()

    def run():
        with contextlib.redirect_stderr(said):
            try:
                return cli.main(arguments)
            except SystemExit as end:
                return end.code

    what, status = odd.outcome(run)
    if what != "answered":                  # main lets nothing of its own through, so a sentence is a traceback too
        return "broke", f"ended with {status}"
    lines = said.getvalue().splitlines()
    if status == 2:
        return "refused", "" if len(lines) == 1 else f"says {len(lines)} lines: {lines[:2]}"
    return "answered", "" if status in (0, 1) else f"ended with status {status!r}"


def child(start: int, say: Callable) -> None:
    """Run odd command lines from number `start` on; say a line before and after each."""
    say(begin="xorlab")
    for number, arguments in enumerate(tries()):
        if number >= start:
            words = "xorlab " + " ".join(repr(text)[:40] for text in arguments)
            say(begin=words, number=number)
            what, wrong = judged(arguments)
            say(number=number, call=words, what=what, wrong=wrong)
    say(end=True)
