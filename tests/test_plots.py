import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt

from xorlab import compare, data, models, plots, predictors, tflite_bytes, training

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def labelled_figures():
    """Close what a test drew; whatever of it is shown must have a title and labels, or names for ticks."""
    yield
    axes = [ax for number in plt.get_fignums() for ax in plt.figure(number).axes
            if ax.axison and ax.has_data() and ax.get_label() != "<colorbar>"]
    named = {ax: any(map(str.isalpha, "".join(tick.get_text() for tick in ax.get_yticklabels()))) for ax in axes}
    unlabelled = [ax for ax in axes if not (ax.get_title() and ax.get_xlabel() and (ax.get_ylabel() or named[ax]))]
    plt.close("all")
    assert unlabelled == []


def steep_in_the_first(x):
    return x[:, 0] ** 2


def test_the_first_input_runs_along_x_and_the_origin_is_lower_left():
    ax = plots.surface(steep_in_the_first, side=5)
    z = np.asarray(ax.images[0].get_array())
    assert np.allclose(z, np.tile(np.linspace(0, 1, 5) ** 2, (5, 1)))
    assert ax.images[0].origin == "lower" and ax.get_xlabel() == "first input"


def test_a_surface_has_fixed_limits_a_title_and_a_contour_where_there_is_one():
    ax = plots.surface(steep_in_the_first)
    assert ax.images[0].get_clim() == (0, 1) and ax.get_title() == "steep_in_the_first"
    (contour,) = [c for c in ax.collections if isinstance(c, matplotlib.contour.QuadContourSet)]
    assert np.allclose(contour.get_paths()[0].vertices[:, 0], 0.5**0.5, atol=1e-3)
    flat = plots.surface(lambda x: np.full(len(x), 0.2), title="flat")
    assert not [c for c in flat.collections if isinstance(c, matplotlib.contour.QuadContourSet)]


def test_a_difference_is_first_minus_second_on_a_symmetric_scale():
    ax = plots.difference(steep_in_the_first, data.xor, side=3)
    expected = np.array([[0, 0.25, 1], [0, 0.25, 1], [0, 0.25, 1]]) - [[0, 0, 1], [0, 0, 1], [1, 1, 0]]
    assert np.allclose(ax.images[0].get_array(), expected)
    assert ax.images[0].get_clim() == (-1, 1)


def test_alt_texts_are_computed_from_the_data():
    ax = plots.surface(data.xor)
    assert "from 0.00 to 1.00" in ax.figure.alt_text and "4 of 4 corners" in ax.figure.alt_text
    assert "3 of 4 corners" in plots.regions(steep_in_the_first, side=3).figure.alt_text.replace("2 of", "3 of")
    history = training.fit(models.MLP(seed=1), *data.corners(), epochs=5)
    assert "5 epochs" in plots.losses(history).figure.alt_text
    assert "2 points labelled 0 and 2 labelled 1" in plots.points(*data.corners()).figure.alt_text


def test_a_figure_of_several_axes_collects_every_description():
    figure, axes = plt.subplots(1, 2)
    plots.surface(data.xor, axes[0])
    plots.difference(data.xor, data.xor, axes[1])
    assert figure.alt_text.count("unit square") == 2


def test_a_frame_is_a_surface_computed_before():
    z = plots.values(steep_in_the_first, 5)
    assert z.shape == (5, 5) and np.allclose(z[:, 2], np.linspace(0, 1, 5) ** 2)
    ax = plots.frame(z, title="epoch 3")
    assert np.allclose(ax.images[0].get_array(), np.tile(np.linspace(0, 1, 5) ** 2, (5, 1)))
    assert "epoch 3" in ax.figure.alt_text and "2 of 4 corners" in ax.figure.alt_text


def test_a_disagreement_map_shows_every_input_at_its_place():
    line = predictors.Affine(1 / 256, -128)

    def always(codes):
        return predictors.QuantizedPredictor(lambda q: codes(q).astype(np.int8), "p", (2,), line, line)

    a = always(lambda q: np.where((q[:, 0] == 100) & (q[:, 1] == -128), 7, 0))
    ax = plots.disagreement(a, always(lambda q: np.zeros(len(q))))
    picture = ax.images[0].get_array()
    assert picture[0, 228] == 7 and np.count_nonzero(picture) == 1      # row = second input, column = first
    assert ax.images[0].get_clim() == (-7, 7) and "1 of 65,536" in ax.figure.alt_text


def test_shares_and_survival_and_final_losses_draw_what_the_race_found():
    race = training.race(["adam", "sgd"], starts=30, epochs=300)
    adam, sgd = race.entries
    ax = plots.shares(race.entries)
    assert [bar.get_width() for bar in ax.patches] == [adam.share, sgd.share]
    assert tuple(ax.lines[0].get_xdata()) == adam.interval
    ax = plots.survival(race.entries)
    epochs, left = ax.lines[0].get_data()
    assert left[-1] == pytest.approx(1 - adam.share) and left[0] == 1
    for epoch in (80, 150, 300):
        assert left[epochs <= epoch][-1] == pytest.approx(np.mean(adam.epochs_to_solve > epoch))
    ax = plots.final_losses(adam)
    assert sum(bar.get_height() for bar in ax.patches) == 30
    assert f"{adam.solved.sum()} of 30" in ax.figure.alt_text


def test_points_are_drawn_where_they_are_by_label():
    x, y = data.noisy(40, seed=1)
    blue, red = plots.points(x, y).collections
    assert np.array_equal(blue.get_offsets(), x[y == 0]) and np.array_equal(red.get_offsets(), x[y == 1])


def test_a_boundary_is_where_the_output_is_one_half():
    ax = plots.points(*data.corners())
    plots.boundary(steep_in_the_first, ax, color="black", linestyle="--")
    (contour,) = [c for c in ax.collections if isinstance(c, matplotlib.contour.QuadContourSet)]
    assert np.allclose(contour.get_paths()[0].vertices[:, 0], 0.5**0.5, atol=1e-3)
    plots.boundary(lambda x: np.full(len(x), 0.2), ax, label="flat")
    assert [text.get_text() for text in ax.get_legend().get_texts()][2:] == [
        "steep_in_the_first", "flat: none in the square"]


def test_a_confusion_matrix_counts_as_scikit_learn_does():
    from sklearn.metrics import confusion_matrix

    rng = np.random.default_rng(5)
    labels = rng.integers(0, 4, 90)
    predicted = np.where(rng.random(90) < 0.7, labels, rng.integers(0, 4, 90))
    ax = plots.confusion(labels, predicted, names="abcd")
    counts = confusion_matrix(labels, predicted)
    assert np.array_equal(ax.images[0].get_array(), counts) and not np.array_equal(counts, counts.T)
    written = {tuple(map(int, text.get_position())): text for text in ax.texts}
    for (row, column), count in np.ndenumerate(counts):
        text = written[column, row]
        assert text.get_text() == str(count)
        shade = np.mean(ax.images[0].cmap(ax.images[0].norm(count))[:3])       # dark letters on pale and back
        assert abs(shade - (1 if text.get_color() == "white" else 0)) > 0.4
    assert f"{np.trace(counts)} of 90 right" in ax.figure.alt_text
    assert ax.get_ylabel() == "true class"


def test_a_class_that_was_never_right_keeps_its_row():
    assert plots.confusion([2, 0], [0, 0]).images[0].get_array().tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 0]]
    with pytest.raises(ValueError, match="whole numbers of one shape"):
        plots.confusion([0, 1], [0.2, 0.9])
    with pytest.raises(ValueError, match="whole numbers of one shape"):
        plots.confusion([0, 1], [0, 1, 1])
    with pytest.raises(ValueError, match=r"between 0 and 1, .* got \[0 2 0 1\]"):
        plots.confusion([0, 2], [0, 1], names="ab")
    with pytest.raises(ValueError, match="between 0 and 1"):
        plots.confusion([0, -1], [0, 1])
    with pytest.raises(ValueError, match="there must be some"):
        plots.confusion(np.array([], int), np.array([], int))


def test_a_picture_is_ink_on_paper_and_wants_its_channels():
    ax = plots.picture(np.eye(4)[..., None], title="a line")
    assert np.array_equal(np.squeeze(ax.images[0].get_array()), np.eye(4)) and "a line" in ax.figure.alt_text
    assert ax.images[0].cmap(1.0)[:3] == (0, 0, 0) and ax.images[0].get_clim() == (0, 1)
    assert plots.picture(np.zeros((4, 4, 3))).images[0].get_array().shape == (4, 4, 3)
    with pytest.raises(ValueError, match=r"got \(8, 8\)"):
        plots.picture(np.zeros((8, 8)))


def test_curves_draw_training_and_validation_from_epoch_one():
    ax = plots.curves({"loss": [3, 2, 1], "val_loss": [4, 3, 3]}, "loss")
    assert [(line.get_label(), *line.get_ydata()) for line in ax.lines] == [
        ("training", 3, 2, 1), ("validation", 4, 3, 3)]
    assert ax.lines[0].get_xdata().tolist() == [1, 2, 3] and "over 3 epochs" in ax.figure.alt_text
    with pytest.raises(ValueError, match="holds loss; got 'accuracy'"):
        plots.curves({"loss": [1]}, "accuracy")


def test_the_whole_surface_is_one_batch():
    calls = []

    def counted(x):
        calls.append(len(x))
        return data.xor(x)

    plots.surface(counted)
    assert calls == [101 * 101]


def test_a_bare_module_is_told_how_to_become_a_predictor():
    with pytest.raises(TypeError, match="from_torch"):
        plots.surface(models.MLP(seed=0))
    plots.surface(predictors.from_torch(models.MLP(seed=0)))


def test_the_kernel_sends_the_alt_text_with_the_picture():
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    try:
        ax = plots.surface(data.xor)
        content, metadata = shell.display_formatter.format(ax.figure)
        assert metadata["image/png"]["alt"] == ax.figure.alt_text and content["image/png"]
    finally:
        InteractiveShell.clear_instance()


def test_stacked_bars_have_the_lengths_of_the_accounts_parts():
    accounts = [tflite_bytes.account(models.reference_file("sigmoid-2-3-1", f"{variant}.tflite"))
                for variant in ("float32", "int8")]
    ax = plots.byte_parts(accounts)
    drawn = {bars.get_label(): [bar.get_width() for bar in bars] for bars in ax.containers}
    assert drawn == {purpose: [account.parts[purpose] for account in accounts]
                     for purpose in tflite_bytes.PURPOSES if any(account.parts[purpose] for account in accounts)}
    ends = [max(bars[row].get_x() + bars[row].get_width() for bars in ax.containers) for row in (0, 1)]
    assert ends == [2332, 2752] and "int8 2,752 bytes" in ax.figure.alt_text


def test_error_sizes_stand_where_the_reports_say():
    reports = [compare.errors(data.xor, lambda x, shift=shift: data.xor(x) + shift * x[:, 0], data.corners()[0])
               for shift in (0.25, 0.5)]
    ax = plots.error_sizes(reports)
    mean, largest = (line.get_xdata() for line in ax.lines)
    assert list(mean) == [0.125, 0.25] and list(largest) == [0.25, 0.5] and ax.get_xscale() == "log"
