"""Trials and the command that prints them, against errors computed in plain loops."""
import numpy as np
import pytest

from xorlab import cli, predictors, qat, trials


@pytest.fixture(scope="module")
def subject():
    return trials.train("dense2", seed=3)


@pytest.fixture(scope="module")
def forms(subject):
    return trials.forms(subject, weight_bits=8)


def test_a_trial_compares_the_forms_in_pairs_as_a_plain_loop_does(subject, forms, monkeypatch):
    monkeypatch.setattr(trials, "train", lambda name, seed: subject)
    monkeypatch.setattr(trials, "forms", lambda given, bits, granularity: forms)
    trial = trials.run("dense2", tolerance=0.05, seed=3)
    assert [report.pair for report in trial.reports] == [
        "8-bit PTQ in TFLite vs baseline", "PTQ vs baseline", "QAT vs baseline",
        "QAT in TFLite vs baseline", "QAT in TFLite vs QAT"]
    for report in trial.reports:
        candidate, reference = (forms[form](subject.points).ravel().tolist() for form in report.pair.split(" vs "))
        errors = [abs(a - b) for a, b in zip(candidate, reference, strict=True)]
        assert report.outputs == len(errors) == 4500
        assert report.max_abs == max(errors) and report.mean_abs == pytest.approx(sum(errors) / 4500)
        assert report.not_close == pytest.approx(sum(error > 0.05 for error in errors) / 4500)
        assert report.passed == (max(errors) <= 0.05)
    scores = forms["baseline"](subject.test_x)
    right = sum(max(range(10), key=row.__getitem__) == label
                for row, label in zip(scores.tolist(), subject.test_y, strict=True))
    assert trial.accuracy["baseline"] == pytest.approx(right / 450) and right > 425


def test_what_arithmetic_costs_is_far_less_than_what_rounding_costs(subject, forms):
    x = subject.points
    rounding = np.abs(forms["QAT"](x) - forms["baseline"](x)).mean()
    arithmetic = np.abs(forms["QAT in TFLite"](x) - forms["QAT"](x)).mean()
    assert arithmetic < rounding / 100
    assert np.abs(forms["8-bit PTQ in TFLite"](x) - forms["baseline"](x)).mean() < 1


def test_at_8_bits_plain_rounding_is_the_converters_own_as_far_as_scales_go(forms, subject):
    """The simulated PTQ is no straw man: both have one scale per unit, and errors of one size."""
    x, baseline = subject.points, forms["baseline"](subject.points)
    ours, converters = (np.abs(forms[form](x) - baseline).mean() for form in ("PTQ", "8-bit PTQ in TFLite"))
    assert ours == pytest.approx(converters, rel=0.2)


def test_plain_rounding_has_the_bits_and_the_granularity_of_the_training_it_is_compared_with(subject, monkeypatch):
    monkeypatch.setattr(trials, "qat_settings", lambda bits: {"epochs": 3})
    made = trials.forms(subject, weight_bits=3, granularity="per_tensor")
    x = subject.points[:50]
    for way in ("PTQ", "QAT"):
        simulated = made[way](x)
        assert np.abs(simulated - made["baseline"](x)).mean() > 3 * np.abs(
            made["8-bit PTQ in TFLite"](x) - made["baseline"](x)).mean()        # 3 bits, not 8
    expected = qat.rounded(subject.model, subject.x, 3, granularity="per_tensor")
    assert np.array_equal(made["PTQ"](x), predictors.from_torch(expected)(x))


def test_the_command_prints_a_line_for_each_pair_and_its_exit_status_is_the_verdict(capsys):
    arguments = ["errors", "--model", "dense1", "--quantize", "--seed", "3"]
    assert cli.main([*arguments, "--tolerance", "0.01"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [title for title in ("model", "verdict", "tolerance", "seed", "max error", "max relative error",
                                "mean error", "not close") if title not in lines[0]] == []
    assert len([line for line in lines if line.startswith("dense1 ") and " vs " in line]) == 5
    assert any("QAT in TFLite vs QAT" in line and " pass " in line for line in lines)
    assert any("QAT vs baseline" in line and " fail " in line for line in lines)
    assert lines[-1].startswith("dense1, accuracy: baseline 0.9")
    assert cli.main([*arguments, "--tolerance", "100"]) == 0
    assert " fail " not in capsys.readouterr().out


def test_all_runs_every_model_as_it_is_and_quantized(monkeypatch, capsys):
    monkeypatch.setattr(trials, "MODELS", ("xor", "dense1"))
    monkeypatch.setattr(trials, "qat_settings", lambda bits: {"epochs": 5})
    assert cli.main(["errors", "--all", "--weight-bits", "4"]) == 1
    text = capsys.readouterr().out
    for model in ("xor", "dense1"):
        pairs = [line for line in text.splitlines() if line.startswith(model) and " vs " in line]
        assert len(pairs) == 6 and sum("TFLite float32 vs baseline" in line and " pass " in line for line in pairs) == 1
    assert "xor, accuracy: baseline 1.0000" in text


@pytest.mark.parametrize("arguments, says", [
    (["--model", "dense9"], "the model must be one of xor, dense1, dense2, dense3, dense4, got 'dense9'"),
    (["--model", "dense1", "--tolerance", "-1"], "tolerance must be a number of 0 or more, got -1.0"),
    (["--model", "dense1", "--tolerance", "nan"], "got nan"),
    (["--model", "dense1", "--quantize", "--granularity", "no"], "granularity must be one of per_channel, per_tensor"),
    (["--model", "dense1", "--quantize", "--weight-bits", "1"], "weight_bits must be a whole number from 2 to 8")])
def test_bad_arguments_get_one_sentence(arguments, says, capsys):
    assert cli.main(["errors", *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error and len(error.splitlines()) == 1


@pytest.mark.parametrize("arguments", [[], ["--model", "xor", "--all"], ["--model", "xor", "--tolerance", "much"]])
def test_bad_usage_has_an_exit_status_of_its_own(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["errors", *arguments])
    assert stop.value.code == 2
