"""All 65,536 inputs of an int8 net: NumPy, generated C, LiteRT in a batch, TFLite Micro one by one, TinyMind.

TinyMind needs its sources: python3 lab.py bench integers --tinymind FOLDER
"""
import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import _tinymind
from _measure import report, side_by_side

from xorlab import compiler, data, models, predictors
from xorlab.integer import IntegerMLP
from xorlab.integer.rules import RULES
from xorlab.streams import ended


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tinymind", type=Path, help="folder of a TinyMind checkout")
    tinymind = parser.parse_args().tinymind
    q = data.int8_inputs()
    for name in ("sigmoid-2-3-1", "relu-2-4-1"):
        path = models.reference_file(name, "int8.tflite")
        net = IntegerMLP.from_tflite(path)
        ways = {"generated C": predictors.from_c(net).codes}
        ways |= {f"NumPy, rule {rule}": net.under(rule).codes for rule in RULES}
        ways |= {f"runtime {name}": predictors.from_tflite(path, name).codes for name in predictors.RUNTIMES}
        if tinymind and name.startswith("relu"):
            ways["TinyMind"] = _tinymind_codes(name, tinymind, q)
        report(f"65,536 inferences of {name}", side_by_side(
            {name: lambda codes=codes: codes(q) for name, codes in ways.items()}))


def _tinymind_codes(name, sources, q):
    """Compile TinyMind's net for this machine; it must give its rule's answers before it is timed."""
    net = IntegerMLP.from_torch(models.reference(name), rule="tinymind")
    with TemporaryDirectory() as folder:
        source, flags = _tinymind.write(net, sources, folder)
        run = compiler.load(source, "xor_net", net.width, net.outputs, flags)
    assert (run(q)[:, 0] == net.codes(q)).all(), "TinyMind does not follow its rule"
    return run


if __name__ == "__main__":
    sys.exit(ended(main))
