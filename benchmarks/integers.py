"""All 65,536 inputs of an int8 net: our integer arithmetic in NumPy, LiteRT in one batch, TFLite Micro one by one."""
from _measure import report, side_by_side

from xorlab import data, models, predictors
from xorlab.integer import IntegerMLP
from xorlab.rules import RULES


def main():
    q = data.int8_inputs()
    path = models.reference_file("sigmoid-2-3-1", "int8.tflite")
    nets = {f"NumPy, rule {rule}": IntegerMLP.from_tflite(path, rule) for rule in RULES}
    runtimes = {runtime: predictors.from_tflite(path, runtime) for runtime in predictors.RUNTIMES}
    ways = {name: net.codes for name, net in (nets | {f"runtime {name}": p for name, p in runtimes.items()}).items()}
    report("65,536 inferences of sigmoid-2-3-1", side_by_side(
        {name: lambda codes=codes: codes(q) for name, codes in ways.items()}))


if __name__ == "__main__":
    main()
