"""Which rule each installed runtime follows, found by running it on all inputs of every reference net.

All these nets are small: no layer of theirs is wide enough for the rule single to ask how many samples a call has.
"""
from dataclasses import dataclass

from xorlab import data, models, predictors
from xorlab.integer import IntegerMLP
from xorlab.integer.rules import RULES
from xorlab.tables import Table, Tabular

EXPECTED = {"tflm": "tflm", "builtin": "ruy", "reference": "reference", "xnnpack": "xnnpack"}   # x86-64 with AVX2
FILES = [(name, "int8.tflite") for name in models.reference_names()] + [("sigmoid-2-3-1", "int8-middle.tflite")]


@dataclass(frozen=True, repr=False)
class Report(Tabular):
    """What each runtime does.  differing : {runtime: {rule: inputs answered otherwise, of `inputs`}}."""
    differing: dict
    inputs: int

    def followed(self, runtime):
        """Return the rules that answered every input as the runtime did."""
        return [rule for rule, count in self.differing[runtime].items() if count == 0]

    def changed(self):
        """Return a sentence for every runtime that does not follow the rule it is known for."""
        return [self._sentence(runtime) for runtime in self.differing
                if EXPECTED[runtime] not in self.followed(runtime)]

    def _sentence(self, runtime):
        followed = self.followed(runtime)
        count = self.differing[runtime][EXPECTED[runtime]]
        why = "; that is ruy's portable path, as RUY_PATHS=1 forces it" if (
            runtime == "builtin" and "single" in followed) else "; this version of it rounds another way"
        return (f"{runtime} is known for the rule {EXPECTED[runtime]}, but {count:,} of {self.inputs:,} answers "
                f"differ; it follows {' or '.join(followed) or 'none that is known here'}{why}")

    def table(self):
        return Table(("runtime", "follows", *(f"not {rule}" for rule in RULES)), tuple(
            (runtime, ", ".join(self.followed(runtime)) or "-", *(f"{count:,}" for count in counts.values()))
            for runtime, counts in self.differing.items()))


def report():
    """Run every installed runtime and every rule on all inputs of the reference nets and return a Report."""
    q = data.int8_inputs()
    paths = [models.reference_file(name, file) for name, file in FILES]
    answers = {rule: [IntegerMLP.from_tflite(path, rule).codes(q) for path in paths] for rule in RULES}
    differing = {}
    for runtime in EXPECTED:
        try:
            made = [predictors.from_tflite(path, runtime).codes(q) for path in paths]
        except ImportError:             # TFLite Micro is for Linux only
            continue
        differing[runtime] = {
            rule: sum(int((a != b).sum()) for a, b in zip(codes, made, strict=True)) for rule, codes in answers.items()}
    return Report(differing, len(q) * len(paths))
