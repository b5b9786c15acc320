"""Write docs/rounding.md, how each installed runtime rounds in each operator: python -m tools.rounding

What the page says is measured when it is written. tests/test_conformance.py fails where the page no longer says what
`xorlab rules` finds, or names other versions than the installed ones.
"""
import datetime
import re
import sys
from importlib.metadata import version
from pathlib import Path

from xorlab import conformance
from xorlab.files import replacing
from xorlab.streams import ended

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "rounding.md"
PACKAGES = ("tflite-micro", "ai-edge-litert")
RUNTIMES = {"tflm": "TFLite Micro", "reference": "LiteRT, reference kernels", "builtin": "LiteRT, built-in kernels",
            "xnnpack": "LiteRT's default, XNNPACK"}

SINGLE = ("`single` is what LiteRT's built-in kernels do on ruy's portable path, which `RUY_PATHS=1` in the "
          "environment forces.")
ALSO = ("On 2026-11-26 a processor with AVX-512 and VNNI followed the same ways: in this table, in 1,000 random dense "
        "networks, in 1,000 models of each elementwise operator and in 1,000 random graphs (`pytest "
        "tests/test_integer.py tests/test_kernels_elementwise.py tests/test_graphs.py --models 1000`).")
IN_WORDS = (
    "A sum, or a code less its zero point, is multiplied by the factor that brings it to output steps.",
    "*Rounded twice* means: the factor is a 31-bit multiplier and a shift; the product is rounded, ties up, and",
    "shifted to the right it is rounded again, and the words say where the ties of that second rounding go.",
    "Afterwards every runtime adds the zero point and cuts to -128..127, or to where a fused RELU or RELU6 cuts.",
    "*Whole vectors* are counted in one call's tensor as it lies in memory: what is left at its end, or at the end of",
    "a run that is not broadcast, goes the other way.",
)


def text(report: conformance.Report, date: str) -> str:
    """Return the page for a report.  date : of the measurement."""
    lines = [
        "# How each runtime rounds, operator by operator", "",
        f"Measured on {date}, x86-64 with AVX2, with {' and '.join(f'{name} {version(name)}' for name in PACKAGES)}. "
        "`python -m tools.rounding` measures anew and writes this page; `xorlab rules` prints the table for the "
        "runtimes that you have.", "",
        "The same int8 file gives other codes on other runtimes, because there are several ways to bring a sum back to "
        "8 bits. A way has the name of the first rule in `xorlab.integer.rules` that does it so. Each cell was found "
        "by asking the runtime: on all 65,536 inputs of every reference net, and on committed files of one operator "
        "whose scales tell the ways apart. One sample a call, one thread. In all the codes that were compared, none "
        "differs from the way in its cell.", "",
        "| operator | " + " | ".join(RUNTIMES.values()) + " | codes |", "|---" * (len(RUNTIMES) + 2) + "|"]
    for row in report.differing:
        cells = [" or ".join(report.followed(row, runtime)) for runtime in RUNTIMES]
        lines.append(f"| {row} | " + " | ".join(cells) + f" | {report.codes[row]:,} |")
    lines += ["", SINGLE, "", ALSO, "", "## The ways in words", "", " ".join(IN_WORDS), ""]
    for row, words in conformance.WORDS.items():
        lines += [f"**{row}**", "", *(f"- `{way}`: {words[way]}." for way in conformance.ways(row)), ""]
    return "\n".join(lines).rstrip() + "\n"


def date_of(page: str) -> str:
    """Return the date that a page names."""
    return re.search(r"Measured on ([\d-]+)", page).group(1)


def main():
    report = conformance.report()
    if report.changed():
        sys.exit("\n".join(report.changed()))
    there = PAGE.read_text() if PAGE.exists() else ""
    if not there or there != text(report, date_of(there)):
        with replacing(PAGE) as made:
            made.write_text(text(report, datetime.date.today().isoformat()))


if __name__ == "__main__":
    sys.exit(ended(main))
