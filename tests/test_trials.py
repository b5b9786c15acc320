"""Trials and the command that prints them, against errors computed in plain loops."""
import numpy as np
import pytest

from xorlab import cli, compare, data, predictors, qat, trials, zoo


@pytest.fixture(scope="module")
def subject():
    return trials.train("dense2", seed=3)


@pytest.fixture(scope="module")
def forms(subject):
    return trials.forms(subject, weight_bits=8)


def test_a_trial_compares_the_forms_in_pairs_as_a_plain_loop_does(subject, forms, monkeypatch):
    monkeypatch.setattr(trials, "train", lambda name, seed, outputs: subject)
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
    assert lines[-2] == "dense1: compared on 4,500 outputs: 10 for each of the 450 test pictures."
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


# Points that are made for more outputs

def brute_force_moves(picture):
    """Return the 8 pictures that one pixel's move makes of a picture, and the picture itself, pixel by pixel."""
    made = []
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            moved = np.zeros((8, 8), np.float32)
            for row in range(8):
                for column in range(8):
                    if 0 <= row + down < 8 and 0 <= column + right < 8:
                        moved[row + down, column + right] = picture[row, column]
            made.append(((down, right), moved))
    return made


def test_every_made_digit_is_a_test_picture_moved_by_a_pixel_or_with_noise():
    """A search over all test pictures and all moves finds where each came from, and that its class came along."""
    _, _, x, y = zoo.digits()
    made = zoo.made_digits(60, seed=5)
    assert made.x.dtype == np.float32 and made.x.shape == (60, 64) and made.noisy.tolist() == [False, True] * 30
    assert made.x.min() >= 0 and made.x.max() <= 1
    moved = {}
    for picture, label in zip(x.reshape(-1, 8, 8), y, strict=True):
        for way, there in brute_force_moves(picture):
            moved.setdefault(there.tobytes(), []).append((way, label))
    ways = set()
    for made_x, label in zip(made.x[::2], made.y[::2], strict=True):
        (way, there), *_ = moved[made_x.tobytes()]
        ways.add(way)
        assert there == label and way != (0, 0)
    assert len(ways) >= 6
    for noisy, label in zip(made.x[1::2], made.y[1::2], strict=True):
        nearest = np.square(x - noisy).sum(axis=1).argmin()
        assert y[nearest] == label and not np.array_equal(x[nearest], noisy)


def test_noise_has_the_standard_deviation_it_says_and_is_cut_off_at_the_greys_there_are():
    made = zoo.made_digits(4000, seed=1)
    sources = zoo.digits()[2]
    noisy = made.x[made.noisy]
    nearest = sources[(np.square(sources).sum(axis=1) - 2 * noisy @ sources.T).argmin(axis=1)]
    middle = nearest == 0.5                             # 2.5 standard deviations from either end
    assert np.std((noisy - nearest)[middle]) == pytest.approx(zoo.NOISE, rel=0.05)
    assert np.mean(noisy[nearest == 0] == 0) == pytest.approx(0.5, abs=0.01)


def test_fewer_made_digits_are_the_first_of_more_and_another_seed_makes_others():
    many, few, other = zoo.made_digits(101, seed=2), zoo.made_digits(10, seed=2), zoo.made_digits(101, seed=3)
    for name in ("x", "y", "noisy"):
        assert np.array_equal(getattr(many, name)[:10], getattr(few, name))
    assert not np.array_equal(many.x, other.x)
    assert len(np.unique(many.x, axis=0)) == 101


@pytest.mark.parametrize("count", [0, -1, 2.5, True, None, "10"])
def test_a_count_of_digits_that_is_none_gets_a_sentence(count):
    with pytest.raises(ValueError, match="must be a positive whole number, got"):
        zoo.made_digits(count)


def test_outputs_are_compared_on_made_digits_and_each_kind_has_its_accuracy(monkeypatch, subject, forms):
    monkeypatch.setattr(zoo, "trained", lambda name, seed: subject.model)
    monkeypatch.setattr(trials, "forms", lambda given, bits, granularity: forms)
    trial = trials.run("dense2", seed=3, outputs=1010)
    made = zoo.made_digits(101, seed=3)
    report = trial.reports[-1]
    errors = np.abs(forms["QAT in TFLite"](made.x) - forms["QAT"](made.x)).ravel()
    assert report.outputs == len(errors) == 1010 and report.max_abs == pytest.approx(errors.max())
    assert list(trial.made) == ["51 shifted by a pixel", "50 with noise of 0.2"]
    for kind, start in zip(trial.made, (0, 1), strict=True):
        x, y = made.x[start::2], made.y[start::2]
        for form, share in trial.made[kind].items():
            assert share == pytest.approx(np.mean(compare.classes(forms[form](x)) == y))
    assert trial.sentences()[0] == (
        "dense2: compared on 1,010 outputs: 10 for each of 101 digits made of the 450 test pictures (seed 3), "
        "51 shifted by a pixel and 50 with noise of 0.2.")
    assert [line.split(": ")[0] for line in trial.sentences()[1:]] == [
        "dense2, accuracy", "dense2, accuracy on 51 shifted by a pixel", "dense2, accuracy on 50 with noise of 0.2"]
    assert trial.accuracy == trials.run("dense2", seed=3).accuracy         # of the test pictures, as before


def test_outputs_of_xor_are_points_of_the_square_drawn_from_the_seed(monkeypatch):
    fit = trials.training.fit
    monkeypatch.setattr(trials.training, "fit", lambda *args, epochs: fit(*args, epochs=5))
    subject = trials.train("xor", 4, outputs=7)
    assert np.array_equal(subject.points, data.dense(7, seed=4)[0])
    assert subject.words == "7 outputs: points of the square, drawn at random (seed 4)" and subject.made == {}
    assert len(trials.train("xor", 4).points) == 65536


def test_a_share_that_is_not_nothing_is_not_printed_as_nothing():
    """2 of 100,000 fail a pair; 0.00% beside "fail" would say otherwise."""
    report = compare.ErrorReport("a vs b", 100_000, 0.01, 0.26, 1e-6, 0, 0.03, 2e-5, False, 10_000, 0)
    assert trials.Trial("dense4", 3, (report,), {}).table().rows[0][-1] == "0.002%"


def test_the_kept_net_is_what_training_gives_and_is_used():
    """Trained weights differ in their last digits between processors; here by 0.00002 of scores up to 43."""
    kept, again = zoo.trained("dense4", seed=3), zoo.train("dense4", seed=3)
    x, y = zoo.digits()[2:]
    scores, expected = (predictors.from_torch(net)(x) for net in (kept, again))
    assert np.abs(scores - expected).max() < 0.01
    assert np.mean(compare.classes(scores) == y) > 0.93
    first = zoo.train("dense4", seed=4)
    assert np.abs(predictors.from_torch(first)(x) - scores).max() > 1       # another seed is another net


def test_a_net_that_is_kept_is_read_back_exactly(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "REFERENCES", tmp_path)
    monkeypatch.setattr(zoo, "EPOCHS", 2)
    path = zoo.keep("dense1", seed=8)
    assert [file.name for file in tmp_path.iterdir()] == [path.name] == ["dense1-seed-8.npz"]
    made = zoo.train("dense1", seed=8)
    monkeypatch.setattr(zoo, "train", None)                                 # so that it must come from the file
    x = zoo.digits()[2]
    read = zoo.trained("dense1", seed=8)
    assert np.array_equal(predictors.from_torch(read)(x), predictors.from_torch(made)(x)) and not read.training


@pytest.mark.parametrize("arguments, says", [
    (["--model", "dense1", "--outputs", "15"],
     "outputs must be a multiple of 10, the outputs that dense1 has for each picture, from 10 to 1,000,000, got 15"),
    (["--model", "dense4", "--quantize", "--outputs", "0"], "from 10 to 1,000,000, got 0"),
    (["--model", "dense4", "--outputs", "-10"], "got -10"),
    (["--model", "dense2", "--outputs", "1000010"], "got 1000010"),
    (["--model", "xor", "--outputs", "0"], "outputs must be a whole number from 1 to 1,000,000, got 0"),
    (["--all", "--outputs", "15"], "a multiple of 10"),
    (["--model", "dense1", "--outputs", "10", "--seed", "-1"], "the seed of made points must be 0 or more, got -1"),
    (["--model", "dense9"], "the model must be one of xor, dense1, dense2, dense3, dense4, got 'dense9'"),
    (["--model", "dense1", "--tolerance", "-1"], "tolerance must be a number of 0 or more, got -1.0"),
    (["--model", "dense1", "--tolerance", "nan"], "got nan"),
    (["--model", "dense1", "--quantize", "--granularity", "no"], "granularity must be one of per_channel, per_tensor"),
    (["--model", "dense1", "--quantize", "--weight-bits", "1"], "weight_bits must be a whole number from 2 to 8")])
def test_bad_arguments_get_one_sentence(arguments, says, capsys):
    assert cli.main(["errors", *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error and len(error.splitlines()) == 1


def test_the_help_says_what_outputs_are_made_of(capsys):
    with pytest.raises(SystemExit):
        cli.main(["errors", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert f"up to {trials.MOST_OUTPUTS:,}, on points made from the seed" in told
    assert "N / 10 digits, test pictures shifted by a pixel or with noise in turn" in told


@pytest.mark.parametrize("arguments", [[], ["--model", "xor", "--all"], ["--model", "xor", "--tolerance", "much"],
                                       ["--model", "xor", "--outputs", "many"]])
def test_bad_usage_has_an_exit_status_of_its_own(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["errors", *arguments])
    assert stop.value.code == 2
