"""Explanations of one output: of every operator, under every rule, they arrive where the kernel does."""
import doctest
import html
import re
from dataclasses import replace

import numpy as np
import pytest
import random_operators
import random_operators_elementwise
from graph_files import alone, made_by

from xorlab.integer import explain, graph
from xorlab.integer.affine import Affine
from xorlab.integer.kernels import arithmetic, pools, tables, weighted
from xorlab.integer.operators import Add, AveragePool2D, Conv2D, FullyConnected, Logistic, Softmax
from xorlab.integer.rules import RULES

MAKERS = {name: (make, random_operators.STYLES) for name, make in random_operators.WINDOWS_AND_MOVES.items()}
MAKERS |= {name: (make, random_operators_elementwise.STYLES)
           for name, make in random_operators_elementwise.MAKERS.items()}
TIE = re.compile(r"= -?\d+\.50+, ties")
NEVER_CLAMPED = {"PAD", "RESHAPE", "CONCATENATION", "DEQUANTIZE", "SOFTMAX"}
NO_TIES = NEVER_CLAMPED | {"MAX_POOL_2D", "LOGISTIC", "TANH", "HARD_SWISH"}           # such a tie has to be hunted for


def one_operator(rng, name, style):
    """Return (graph of a random operator, the arrays of one call, whether all its samples are alike)."""
    make, styles = MAKERS[name]
    op, shapes = make(rng, styles[style % len(styles)])
    make_codes = random_operators_elementwise.numbers if name in random_operators_elementwise.MAKERS else (
        lambda rng, op, shapes, calls: random_operators.codes(rng, calls, *shapes))
    arrays = [x[0] for x in make_codes(rng, op, shapes, 1)]
    alike = len({len(x) for x in arrays}) == 1
    return alone(op, *shapes), [np.repeat(x[:1], len(x), axis=0) if alike else x for x in arrays], alike


@pytest.mark.parametrize("name", MAKERS)
def test_every_explanation_arrives_at_the_kernels_code_and_says_so(name):
    """Of random operators, several outputs of each, under every rule; among them are ties and clamped ones."""
    rng, texts = np.random.default_rng(0), []
    for style in range(9):
        graph, arrays, alike = one_operator(rng, name, style)
        for rule in RULES:
            graph = graph.under(rule)
            try:
                (made,) = made_by(graph, [x[None] for x in arrays])[0]
            except ValueError:                          # this runtime has no answer to such numbers
                continue
            lead = (0,) * (len(made) == len(arrays[0]))             # its axis of samples
            for _ in range(2):
                where = tuple(int(rng.integers(length)) for length in made.shape[len(lead) :])
                q = [x[:1] for x in arrays] if alike else arrays
                one = graph.explain(q if len(q) > 1 else q[0], where=where)
                assert one.code == made[lead + where] and f"rule {rule} (" in one.title
                said = one.working[-2 if "stands for" in one.working[-1] else -1]
                assert f"{one.code:.9g}" in said and html.escape(said) in one._repr_html_()
                texts.append(str(one))
    assert name in NEVER_CLAMPED or any("clamped to" in text for text in texts)
    assert name in NO_TIES or any(TIE.search(text) for text in texts)


def test_every_kernel_of_every_rule_has_its_words():
    for rule in RULES.values():
        for kind in rule.kernels:
            assert any(issubclass(kind, known) for known in explain.TELLERS), kind


# --- the arithmetic that is told is the kernel's

LINE = Affine(0.5, 0)


def test_the_first_of_two_roundings_makes_a_tie_of_what_was_none():
    """510 sums are 1.49931 steps: tflm makes 1.5 of it, then 2."""
    layer = FullyConnected(np.array([[2, 0]]), np.zeros(1, int), np.float32([1.49931 / 510]), Affine(1.0, -128),
                           Affine(1.0, 0))
    graph = alone(layer, (1, 2))
    for rule, code in (("tflm", 2), ("single", 1), ("reference", 1), ("xnnpack", 1)):
        one = graph.under(rule).explain(np.int8([127, 0]))
        assert (one.code, one.accumulator) == (code, 510) and one.working[0].startswith("2 products add up to 510")
        assert ("= 1.50000, ties away from zero -> 2" in one.working[1]) == (rule == "tflm"), one


def test_a_tie_goes_where_the_rule_sends_it():
    """-6 sums are -1.5 steps."""
    line = Affine(1.0, 0)
    graph = alone(FullyConnected(np.array([[-2]]), np.zeros(1, int), np.float32([0.25]), line, line), (1, 1))
    for rule, end in (("tflm", "= -1.50000, ties away from zero -> -2"), ("ruy", "= -1.50000, ties up -> -1"),
                      ("single", "= -1.50000, ties up -> -1"), ("reference", "= -1.50000, ties away from zero -> -2"),
                      ("xnnpack", "= -1.50000, ties to even -> -2")):
        assert graph.under(rule).explain(np.int8([3])).working[1].endswith(end), rule


def test_a_convolution_is_told_from_its_patch_on_padding_included():
    weights = np.arange(1, 10).reshape(1, 3, 3, 1)
    op = Conv2D(weights, np.array([6]), np.float32([0.25]), Affine(1.0, -1), Affine(1.0, 3), "RELU", padding="SAME")
    graph = alone(op, (1, 2, 2, 1))
    one = graph.explain(np.int8([[[10], [20]], [[30], [40]]]), where=(0, 1, 0))
    assert [row[0] for row in one.inputs.rows] == [*["outside"] * 3, "(0, 0, 0)", "(0, 1, 0)", "outside", "(1, 0, 0)",
                                                   "(1, 1, 0)", "outside"]
    assert one.inputs.rows[3] == ("(0, 0, 0)", "10", "11", "4", "44") and one.inputs.rows[0] == (
        "outside", "-1", "0", "1", "0")
    total = 4 * 11 + 5 * 21 + 7 * 31 + 8 * 41
    assert one.accumulator == total + 6 and one.working[0] == (
        f"9 products add up to {total}, with the bias +6 to {total + 6}")
    assert one.working[2] == f"{(total + 6) // 4} +3 = 178, clamped to 3..127: code 127" and one.code == 127
    assert one.working[3] == "real = 1 * (code - 3): code 127 stands for 124"


def test_a_long_patch_is_added_up_behind_its_first_rows():
    rng = np.random.default_rng(0)
    op = FullyConnected(rng.integers(-127, 128, (2, 500)), np.zeros(2, int), np.float32([1e-4]), LINE, LINE)
    one = alone(op, (1, 500)).explain(rng.integers(-128, 128, 500).astype(np.int8), where=1)
    *first, last = one.inputs.rows
    assert last[0] == "464 more" and sum(int(row[4]) for row in (*first, last)) == one.accumulator


@pytest.mark.parametrize("op, shapes, broken", [
    (FullyConnected(np.array([[1]]), np.zeros(1, int), np.float32([0.5]), LINE, LINE), [(1, 1)],
     (weighted, "to_codes")),
    (Add(LINE, LINE, LINE), [(1, 1), (1, 1)], (arithmetic, "_pairs")),
    (AveragePool2D((1, 1), LINE, LINE), [(1, 1, 1, 1)], (pools, "_cut")),
    (Logistic(LINE), [(1, 1)], (tables, "looked_up"))], ids=["layer", "add", "pool", "sigmoid"])
def test_an_explanation_that_parts_from_its_kernel_is_an_error_and_not_a_tale(op, shapes, broken, monkeypatch):
    """A part of the kernel is made wrong, one of those that do not tell."""
    module, name = broken
    right, graph = getattr(module, name), alone(op, *shapes)
    monkeypatch.setattr(module, name, lambda *args, **more: right(*args, **more) + np.int8(1))
    q = [np.full(shape, -3, np.int8) for shape in shapes]
    with pytest.raises(RuntimeError, match=f"the explanation of {op.name} arrives at .* but its kernel at"):
        graph.explain(q if len(q) > 1 else q[0])


# --- which output

def test_an_operator_is_named_by_place_or_tensor_and_an_input_may_be_named_too():
    first, second = Add(LINE, LINE, LINE), Softmax(LINE)
    graph = alone(first, (1, 3), (1, 3))
    both = replace(graph, nodes=(graph.nodes[0], replace(graph.nodes[0], operator=second, inputs=(2,), output=3,
                                                         name="shares")))
    q = {"x0": np.int8([[1, 2, 3]]), "x1": np.int8([[4, 5, 6]])}
    assert both.explain(q).title.startswith("SOFTMAX into tensor shares, output 0, rule tflm")
    for node in (0, -2, "y", np.int64(0)):
        one = both.explain(q, node, where=2)
        assert one.title.startswith("ADD into tensor y, output 2") and one.code == 9
    assert both.explain(list(q.values()), "y", (1,)).code == 7
    for node in (2, -3, "z", 0.5):
        with pytest.raises(ValueError, match="node must be a place from 0 to 1 or the name of a tensor .* .y, shares."):
            both.explain(q, node)
    for where in (3, -1, (0, 0)):
        with pytest.raises(ValueError, match=r"where must be an index into the output of one sample, of shape \(3,\)"):
            both.explain(q, 0, where)


def test_one_sample_is_explained_at_a_time():
    graph = alone(Logistic(LINE), (1, 2))
    assert graph.explain(np.int8([3, 4]), where=1).code == graph.explain(np.int8([[3, 4]]), where=1).code
    with pytest.raises(ValueError, match="one sample is explained at a time, got 2; take q"):
        graph.explain(np.int8([[3, 4], [5, 6]]))
    with pytest.raises(ValueError, match="input x0 takes int8 of shape"):
        graph.explain(np.float32([3, 4]))
    whole = alone(Logistic(LINE), (4, 2))                       # a file whose calls have four samples
    assert whole.explain(np.int8([3, 4]), where=1).code == whole.codes(np.int8([[3, 4]]))[0, 1]


def test_the_examples_of_the_graph_are_true():
    done = doctest.testmod(graph)
    assert done.attempted >= 6 and not done.failed
