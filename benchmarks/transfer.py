"""Transfer from ImageNet to textures and faces, against untrained, plain and own features: half an hour a set.

python benchmarks/transfer.py                       prints a short version of it
python benchmarks/transfer.py --write textures      measures a set of pictures and stores it
"""
import argparse
import sys

from xorlab import transfer
from xorlab.streams import ended


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="*", default=list(transfer.PICTURES), help="textures, faces or both")
    parser.add_argument("--write", action="store_true", help="measure the whole study and store it")
    options = parser.parse_args()
    for name in options.pictures:
        measured = transfer.run(name) if options.write else transfer.run(name, 4, 2, depths=())
        print(measured)
        if options.write:
            transfer.write(measured)


if __name__ == "__main__":
    sys.exit(ended(main))
