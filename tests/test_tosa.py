"""The rule `tflm` against an engine that shares no kernel with TFLite: Arm's TOSA reference model."""
import sys

import hunting
import numpy as np
import pytest
import tosa
from made_files import Maker
from random_nets import tflite_of

from xorlab import conformance, data, models
from xorlab.integer import IntegerMLP
from xorlab.integer.affine import CODES
from xorlab.integer.rules import RULES

pytestmark = pytest.mark.skipif(not tosa.PYTHON, reason=tosa.MISSING)

EVERY_CODE = CODES.astype(np.int8)[:, None]


@pytest.mark.parametrize("name, file", conformance.FILES)
def test_the_rule_tflm_is_arms_reference_model_on_all_inputs(name, file):
    path, q = models.reference_file(name, file), data.int8_inputs()
    (expected,) = tosa.outputs(path.read_bytes(), q)
    differing = int((IntegerMLP.from_tflite(path, "tflm").codes(q) != expected[:, 0]).sum())
    assert differing == 0, f"{differing:,} of {len(q):,} inputs differ"


@pytest.mark.parametrize("steps, rules, followed", [
    (hunting.layers, hunting.candidates(), "tflm"),
    (hunting.logistics, {name: RULES[name] for name in ("tflm", "reference")}, "reference"),
], ids=["layers", "logistics"])
def test_where_rules_part_arms_reference_model_is_on_the_side_of_one(steps, rules, followed):
    """On all 256 codes of operators whose scales were computed to tell each rule from each other one."""
    differing = dict.fromkeys(rules, 0)
    for step in hunting.hunted(steps(np.random.default_rng(0)), rules, each=1):
        (expected,) = tosa.outputs(tflite_of([step]), EVERY_CODE)
        for name, rule in rules.items():
            differing[name] += int((hunting.answer(rule, step).reshape(expected.shape) != expected).sum())
    assert [name for name, count in differing.items() if not count] == [followed], differing


def difference(batch):
    """A SUB of two inputs (n, 3) with the same scale for all, so its codes are differences; -1 for any n."""
    made = Maker()
    x, y, z = (made.tensor("int8", (abs(batch), 3), name=name, scale=0.25, free=batch == -1) for name in "xyz")
    made.operator("SUB", [x, y], [z], "SubOptions")
    return made.ends([x, y], [z]).content()


@pytest.mark.parametrize("batch", [-1, 1, 4, 8])
def test_inputs_keep_their_order_and_samples_theirs_whatever_a_call_takes(batch):
    x, y = np.random.default_rng(0).integers(-60, 60, (2, 8, 3)).astype(np.int8)
    (z,) = tosa.outputs(difference(batch), x, y)
    assert z.dtype == np.int8 and np.array_equal(z, x - y)


@pytest.mark.parametrize("x", [np.zeros((3, 3), np.int8), np.zeros((4, 2), np.int8), np.zeros((4, 3), np.uint8)])
def test_inputs_that_do_not_fit_are_refused(x):
    with pytest.raises(ValueError, match=r"takes \(n, 3\).*multiple of 2, got u?int8"):
        tosa.outputs(difference(2), x, x)


def test_what_the_other_environment_says_is_passed_on(monkeypatch):
    monkeypatch.setattr(tosa, "PYTHON", sys.executable)
    x = np.zeros((1, 3), np.int8)
    with pytest.raises(RuntimeError, match="No module named 'tosa_reference_model'"):
        tosa.outputs(difference(1), x, x)
