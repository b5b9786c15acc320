"""What `xorlab rules` and docs/rounding.md say of the installed runtimes."""
import importlib.util

import pytest

from tools import rounding
from xorlab import cli, conformance
from xorlab.integer.read import READERS

RUNTIMES = [runtime for runtime in conformance.EXPECTED
            if runtime != "tflm" or importlib.util.find_spec("tflite_micro")]


@pytest.fixture(scope="module")
def report():
    return conformance.report()


def test_every_runtime_follows_its_rule_in_every_operator(report):
    assert report.changed() == [] and list(report.differing) == [conformance.NETS, *conformance.WORDS]
    assert all(list(counts) == RUNTIMES for counts in report.differing.values())


def test_every_operator_of_the_graph_is_asked_for():
    assert {row.partition(" ")[0] for row in conformance.WORDS} == set(READERS)


@pytest.mark.parametrize("row", conformance.WORDS)
def test_every_way_of_an_operator_has_words_and_no_two_answer_alike(row, report):
    ways = list(conformance.ways(row))
    assert list(conformance.WORDS[row]) == ways
    x = conformance.inputs(conformance.probe(row))
    answers = [tuple(made.tobytes() for made in conformance.outputs(conformance.probe(row).under(way), x))
               for way in ways]
    assert len(set(answers)) == len(ways)
    for runtime in RUNTIMES:                                # so each runtime's cell names one way
        assert report.followed(row, runtime) == [conformance.way_of(row, conformance.EXPECTED[runtime])]


def test_a_change_is_told_in_a_sentence(report, monkeypatch, capsys):
    monkeypatch.setattr(conformance, "report", lambda: report)
    assert cli.main(["rules"]) == 0 and capsys.readouterr().out == f"{report}\n"
    nets, codes = conformance.NETS, report.codes
    counts = report.differing[nets]["reference"]
    changed = conformance.Report({nets: {"builtin": counts}}, codes)
    assert "follows single or reference; that is ruy's portable path" in changed.changed()[0]
    assert "known for the rule ruy in reference nets" in changed.changed()[0]
    if "tflm" in RUNTIMES:
        newer = conformance.Report({nets: {"tflm": counts}}, codes)
        assert "follows single or reference; this version of it rounds another way" in newer.changed()[0]
        add = conformance.Report({"ADD": {"tflm": report.differing["ADD"]["xnnpack"]}}, codes)
        assert "tflm is known for the rule tflm in ADD, but" in add.changed()[0]
    one = conformance.Report({"ADD": {"tflm": {"tflm": 1, "xnnpack": 0}}}, codes)
    assert one.followed("ADD", "tflm") == ["xnnpack"]               # a single code is enough not to follow
    refused = conformance.Report({"ADD": {"xnnpack": None}}, codes)
    assert "refuses the file" in refused.changed()[0] and "refuses" in str(refused)
    monkeypatch.setattr(conformance, "report", lambda: changed)
    assert cli.main(["rules"]) == 1 and f"Changed: {changed.changed()[0]}." in capsys.readouterr().out


@pytest.mark.skipif("tflm" not in RUNTIMES, reason="the page shows TFLite Micro too")
def test_the_page_on_rounding_says_what_is_measured(report):
    page = rounding.PAGE.read_text()
    assert page == rounding.text(report, rounding.date_of(page)), "python -m tools.rounding writes it anew"
