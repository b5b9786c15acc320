"""The same net on three processors: flash, RAM and instructions over all inputs of our C, and of TinyMind beside it.

TinyMind needs its sources: python3 lab.py bench firmware --tinymind FOLDER
"""
import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import _tinymind

from xorlab import data, firmware, models
from xorlab.integer import IntegerMLP
from xorlab.streams import ended
from xorlab.tables import Table


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tinymind", type=Path, help="folder of a TinyMind checkout")
    tinymind = parser.parse_args().tinymind
    nets = {name: IntegerMLP.from_torch(models.reference(name), rule="tinymind") for name in models.reference_names()}
    rows = []
    for target in firmware.TARGETS:
        for name, net in nets.items():
            rows.append(_row(name, target, firmware.build(net, target)))
            if tinymind and name == "relu-2-4-1":
                with TemporaryDirectory() as folder:
                    source, flags = _tinymind.write(net, tinymind, folder)
                    theirs = firmware.from_sources([source], target, net, ["-Os", *flags], "TinyMind")
                q = data.int8_inputs()
                assert (theirs.run(q)[:, 0] == net.codes(q)).all(), "TinyMind does not follow its rule"
                rows.append(_row("relu-2-4-1 by TinyMind", target, theirs))
    print(Table(("net", "target", "flash, bytes", "RAM, bytes", "instructions", "over inputs", "most at codes"),
                tuple(rows)))
    print("compiled with -Os; RAM is variables and stack; instructions of one inference, not cycles")


def _row(name, target, made):
    counted = made.extremes()
    most = ", ".join(map(str, counted.most_inputs[0])) + (" and others" if len(counted.most_inputs) > 1 else "")
    return (name, target, f"{made.flash_bytes:,}", f"{made.ram_bytes:,}", f"{counted.least} to {counted.most}",
            f"{len(counted.counts):,}" + ("" if counted.every else ", a sample"), most)


if __name__ == "__main__":
    sys.exit(ended(main))
