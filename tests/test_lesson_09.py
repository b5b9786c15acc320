"""What lesson 09 says of two ways to round, by the nets that ship; and its report, by the command it stands for."""
import numpy as np
import pytest

from xorlab import cli, compare, data, models, plots, predictors, trials, zoo
from xorlab.exercises import lesson_09
from xorlab.qat import FakeQuantized


@pytest.mark.parametrize(("way", "scales"), [("A", "least_squares"), ("B", "largest")])
def test_the_two_ways_answer_as_the_prediction_says(way, scales):
    net = models.reference("sigmoid-2-3-1")
    made = FakeQuantized(net, data.grid(17), 2, scales=scales)
    x = data.grid(256)
    answers, wanted = (predictors.from_torch(model)(x) for model in (made, net))
    assert np.abs(answers - wanted).mean() == pytest.approx(lesson_09.ERRORS[way], abs=0.005 if way == "A" else 0.0005)
    if way == "B":
        assert (compare.classes(answers) != compare.classes(wanted)).sum() == lesson_09.B_CHANGES


def test_the_command_prints_a_trial_and_its_sentences(monkeypatch, capsys):
    """The lesson runs trials.run and prints both, and says that this is what the command prints."""
    monkeypatch.setattr(zoo, "EPOCHS", 1)
    assert cli.main(["errors", "--model", "dense1", "--seed", "3", "--outputs", "200"]) in (0, 1)
    printed = capsys.readouterr().out
    trial = trials.run("dense1", seed=3, outputs=200, quantize=False)
    assert printed == "\n".join([str(trial), *trial.sentences(), ""])


def test_no_bar_of_the_weights_lies_outside_its_panel():
    """The largest weight of dense4's second layer is negative."""
    weights = zoo.trained("dense4", seed=3)[2].weight.detach().numpy()
    assert -weights.min() > weights.max()
    for ax in plots.weight_codes(weights, {8: 0.87, 4: 0.87, 2: 0.87}):
        low, high = ax.get_xlim()
        middles = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in ax.patches]
        assert sum(height for middle, height in middles if low < middle < high) == weights.size


def test_student_t_is_that_of_twenty_pairs():
    from scipy import stats

    assert stats.t.ppf(0.975, 19) == pytest.approx(lesson_09.T_OF_20, abs=0.005)
