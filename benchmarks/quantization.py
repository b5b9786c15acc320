"""Plain rounding against quantization-aware training: 20 nets of each shape at 8, 4, 3 and 2 bits, with intervals.

It takes some minutes. With --write it replaces the results that lesson 09 shows.
"""
import argparse
import sys
import time

from xorlab import fewbits, tables
from xorlab.streams import ended


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="replace the committed results")
    parser.add_argument("--starts", type=int, default=20, help="nets of each shape (default: %(default)s)")
    options = parser.parse_args()
    results = []
    for shape in fewbits.SHAPES:
        began = time.process_time()
        nets = fewbits.nets(shape, options.starts)
        results += [fewbits.run(shape, bits, nets) for bits in fewbits.BITS]
        print(f"{shape}: {time.process_time() - began:.0f} s of one core", flush=True)
    print(tables.stacked(results))
    if options.write:
        fewbits.write(results)


if __name__ == "__main__":
    sys.exit(ended(main))
