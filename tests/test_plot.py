"""What is on the Axes afterwards, and what must not have happened on the way."""

import sys
import unittest.mock

import keras
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from keras_sched import LearningRateCurve, layers, plot, schedules

matplotlib.use("Agg")

RATES = np.geomspace(1e-6, 1.0, 121)
FALL = 1 / (1 + (RATES / 1e-3) ** 1.5)
FALLING = LearningRateCurve(RATES, 2 * FALL, "finished")
FLAT = LearningRateCurve(RATES, np.full(121, 0.7), "finished")
LOGS = {
    "accuracy": [0.2, 0.4, 0.5],
    "loss": [3.0, 2.0, 1.5],
    "val_accuracy": [0.1, 0.3, 0.2],
    "val_loss": [3.5, 2.5, 2.75],
    "learning_rate": [0.1, 0.1, 0.01],
    "momentum": [0.9, 0.8, 0.9],
}
PICTURES = {
    "learning_rate_curve": lambda ax=None: plot.learning_rate_curve(FALLING, ax=ax),
    "schedule": lambda ax=None: plot.schedule(0.5, 3, ax=ax),
    "history": lambda ax=None: plot.history({"loss": [2.0, 1.0]}, ax=ax),
}
every = pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)


@every
def test_draws_on_the_axes_it_is_given_and_returns_them(picture):
    _, (left, right) = plt.subplots(1, 2)
    assert np.ravel(picture(ax=right)).tolist() == [right]
    assert right.lines
    assert not left.lines
    assert len(plt.get_fignums()) == 1


@every
def test_makes_axes_when_it_is_given_none(picture):
    axes = np.ravel(picture())
    assert [axis.figure.number for axis in axes] == plt.get_fignums()


@every
def test_names_both_axes(picture):
    (ax,) = np.ravel(picture())
    assert ax.get_xlabel()
    assert ax.get_ylabel()


@every
def test_shows_nothing(picture, monkeypatch):
    show = unittest.mock.Mock()
    monkeypatch.setattr(plt, "show", show)
    monkeypatch.setattr(matplotlib.figure.Figure, "show", show)
    picture()
    show.assert_not_called()


@every
def test_leaves_the_settings_of_matplotlib(picture):
    before = dict(matplotlib.rcParams)
    picture()
    assert dict(matplotlib.rcParams) == before


@every
def test_can_be_written_to_a_file(picture, tmp_path):
    (ax,) = np.ravel(picture())
    ax.figure.savefig(tmp_path / "picture.svg")
    assert ax.get_ylabel() in (tmp_path / "picture.svg").read_text("utf-8")


@every
def test_names_the_extra_to_install_where_matplotlib_is_missing(picture, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"pip install 'keras_sched\[plot\]'"):
        picture()


def test_curve_shows_the_losses_at_their_rates():
    line = _line(plot.learning_rate_curve(FALLING), "batch loss")
    assert np.array_equal(line.get_xdata(), RATES)
    assert np.array_equal(line.get_ydata(), 2 * FALL)


def test_curve_shows_the_smoothed_losses_at_the_same_rates():
    line = _line(plot.learning_rate_curve(FALLING), "smoothed")
    assert np.array_equal(line.get_xdata(), RATES)
    assert line.get_ydata() == pytest.approx(2 * FALL, abs=0.1)


def test_curve_has_a_logarithmic_axis_of_rates():
    ax = plot.learning_rate_curve(FALLING)
    assert ax.get_xscale() == "log"
    assert ax.get_yscale() == "linear"
    assert ax.get_xlabel() == "learning rate (log scale)"
    assert ax.get_ylabel() == "loss"


def test_curve_marks_the_suggestion_on_the_axis_and_on_the_curve():
    ax = plot.learning_rate_curve(FALLING)
    rates = [list(line.get_xdata()) for line in ax.lines]
    assert rates.count([FALLING.suggest()] * 2) == 1
    marker = _line(ax, f"steepest: {FALLING.suggest():.2g}")
    assert marker.get_xdata() == [FALLING.suggest()]
    assert marker.get_ydata() == pytest.approx([1.0], abs=0.1)


def test_curve_says_the_suggestion_in_its_title():
    title = plot.learning_rate_curve(FALLING).get_title()
    assert float(title.removeprefix("suggested rate: ")) == pytest.approx(1e-3, rel=0.1)


def test_curve_without_a_suggestion_says_why_and_marks_nothing():
    ax = plot.learning_rate_curve(FLAT)
    assert ax.get_title() == f"no suggestion ({FLAT.reason})"
    assert _labels(ax) == ["batch loss", "smoothed"]


def test_curve_shows_only_what_is_finite_as_smoothed():
    losses = np.where(RATES > 0.5, np.nan, 2 * FALL)
    finite = int(np.sum(RATES <= 0.5))
    ax = plot.learning_rate_curve(LearningRateCurve(RATES, losses, "not finite"))
    assert len(_line(ax, "batch loss").get_xdata()) == 121
    assert np.array_equal(_line(ax, "smoothed").get_xdata(), RATES[:finite])


def test_curve_is_not_squeezed_by_the_losses_that_shoot_up():
    losses = np.where(RATES > 0.5, 1e6, 2 * FALL)
    ax = plot.learning_rate_curve(LearningRateCurve(RATES, losses, "diverged"))
    bottom, top = ax.get_ylim()
    assert bottom < 0.1
    assert 2 < top < 6


@pytest.mark.parametrize("losses", [[], [np.nan]])
def test_curve_without_any_loss_is_still_a_picture(losses):
    rates = np.geomspace(1e-3, 1, len(losses))
    ax = plot.learning_rate_curve(LearningRateCurve(rates, np.array(losses), "x"))
    ax.figure.canvas.draw()
    assert ax.get_title().startswith("no suggestion (")


def test_curves_of_several_weight_decays_share_a_picture():
    lower = LearningRateCurve(10 * RATES, FALL, "finished")
    ax = plot.learning_rate_curve({0.0: FALLING, 1e-4: lower, 1e-2: FLAT})
    drawn = {line.get_label(): line for line in ax.lines if line.get_label()[0] != "_"}
    assert list(drawn) == [
        f"weight decay 0: {FALLING.suggest():.2g}",
        f"weight decay 0.0001: {lower.suggest():.2g}",
        f"weight decay 0.01: no suggestion ({FLAT.reason})",
    ]
    assert len({line.get_color() for line in drawn.values()}) == 3
    with pytest.raises(
        ValueError, match=r"^`curve` of plot\.learning_rate_curve must be"
    ):
        plot.learning_rate_curve({})


def test_curve_of_repeats_shows_every_loss_and_the_spread():
    other = LearningRateCurve(RATES, 2 / (1 + (RATES / 4e-3) ** 1.5), "finished")
    mean = (FALLING.losses + other.losses) / 2
    curve = LearningRateCurve(RATES, mean, "finished", (FALLING, other))
    ax = plot.learning_rate_curve(curve)
    points = np.concatenate([line.get_ydata() for line in ax.lines[:2]])
    assert points.tolist() == [*FALLING.losses, *other.losses]
    spread = f"({FALLING.suggest():.2g} to {other.suggest():.2g})"
    assert ax.get_title() == f"suggested rate: {curve.suggest():.2g} {spread}"


def test_curve_plots_itself():
    ax = plt.figure().subplots()
    assert FALLING.plot(ax) is ax
    assert np.array_equal(_line(ax, "batch loss").get_xdata(), RATES)


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (schedules.StepDecay(0.5, 0.5, 2), [0.5, 0.5, 0.25, 0.25, 0.125]),
        (keras.optimizers.schedules.PolynomialDecay(4, 4, 0), [4, 3, 2, 1, 0]),
        (0.25, [0.25] * 5),
    ],
    ids=["ours", "stock", "number"],
)
def test_schedule_shows_its_value_at_each_step(schedule, values):
    (line,) = plot.schedule(schedule, 5).lines
    assert line.get_xdata().tolist() == [0, 1, 2, 3, 4]
    assert line.get_ydata().tolist() == values


def test_schedule_names_its_axes():
    ax = plot.schedule(schedules.StepDecay(0.5, 0.5, 2), 5)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "StepDecay")
    assert plot.schedule(0.5, 5, label="momentum").get_ylabel() == "momentum"


def test_several_schedules_share_the_axes_and_are_told_apart():
    both = [
        schedules.StepDecay(0.5, 0.5, 2),
        keras.optimizers.schedules.CosineDecay(1, 4),
    ]
    ax = plot.schedule(both, 5)
    assert [list(line.get_xdata()) for line in ax.lines] == [[0, 1, 2, 3, 4]] * 2
    assert _legend(ax) == ["StepDecay", "CosineDecay"]
    assert len({line.get_color() for line in ax.lines}) == 2
    assert ax.get_ylabel() == "value"


def test_schedules_of_one_kind_are_named_in_full_and_those_in_a_dict_as_it_says():
    one, two = schedules.Warmup(0.1, 2), schedules.Warmup(0.1, 4)
    assert _legend(plot.schedule([one, two])) == [repr(one), repr(two)]
    assert _legend(plot.schedule({"short": one, "long": two})) == ["short", "long"]


def test_fourteen_schedules_are_still_told_apart():
    many = {str(n): n for n in range(14)}
    lines = plot.schedule(many, 3).lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 14


EXTENTS = [
    (schedules.OneCycle(1, 1000), 1000, 1200),
    (schedules.Warmup(schedules.LinearDecay(1, 1000), 500), 1500, 1800),
    (schedules.Join([1, schedules.OneCycle(1, 1000)], [500]), 1500, 1800),
    (schedules.Slowed(schedules.OneCycle(1, 10), 100), 1000, 1200),
    (schedules.MultiStepDecay(1, [300, 600]), 601, 800),
    (schedules.Piecewise([(0, 1), (500, 0)]), 500, 700),
    (keras.optimizers.schedules.CosineDecay(1.0, 1000), 1000, 1200),
    (schedules.StepDecay(1, 0.5, 100), 400, 500),
    (schedules.CosineRestarts(1, 100), 400, 500),
    (schedules.CosineRestarts(1, 100, cycle_factor=1), 400, 500),
    (schedules.TimeBasedDecay(1, 0.01), 300, 500),
    (schedules.TimeBasedDecay(1, 0), 1, 10),
    (schedules.Triangular(0, 1, 100), 400, 500),
    (0.1, 1, 10),
]


@pytest.mark.parametrize("schedule, least, most", EXTENTS, ids=range(len(EXTENTS)))
def test_draws_as_far_as_there_is_something_to_see(schedule, least, most):
    (line,) = plot.schedule(schedule).lines
    assert least <= line.get_xdata()[-1] <= most


def test_a_run_of_millions_of_steps_is_drawn_from_end_to_end():
    (line,) = plot.schedule(schedules.OneCycle(1, 5_000_000), 5_000_000).lines
    assert line.get_xdata()[[0, -1]].tolist() == [0, 4_999_999]
    assert len(line.get_xdata()) < 10_000
    assert line.get_ydata().max() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("given", [[], {}, "OneCycle", [None]])
def test_what_is_no_schedule_is_refused_in_one_sentence(given):
    with pytest.raises(ValueError, match=r"^`schedule` of plot\.schedule must be"):
        plot.schedule(given, 5)
    assert not plt.get_fignums()


def test_save_replaces_the_file_as_a_whole(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    axes = plt.subplots(2)[1]
    plot.save(axes, path)
    first = path.read_bytes()
    assert first.startswith(b"\x89PNG")
    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", _half_written)
    with pytest.raises(OSError, match="full"):
        plot.save(axes[0], path)
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["picture", "picture.doc"])
def test_save_refuses_an_ending_it_cannot_write(name, tmp_path):
    with pytest.raises(ValueError, match=r"^`path` of plot\.save must be a file"):
        plot.save(plt.subplots()[1], tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_history_has_a_panel_for_the_loss_each_metric_and_each_rate():
    axes = plot.history(LOGS)
    titles = [ax.get_ylabel() for ax in axes]
    assert titles == ["loss", "accuracy", "learning_rate", "momentum"]
    assert [ax.get_xlabel() for ax in axes] == ["", "", "", "epoch"]


def test_history_shows_each_value_at_its_epoch_counted_from_one():
    shown = {}
    for ax in plot.history(LOGS):
        for line in ax.lines:
            assert line.get_xdata().tolist() == [1, 2, 3]
            shown[line.get_label()] = list(line.get_ydata())
    assert shown == LOGS


def test_history_puts_validation_beside_training_and_tells_them_apart():
    loss, accuracy, rate, _ = plot.history(LOGS)
    assert _legend(loss) == ["loss", "val_loss"]
    assert _legend(accuracy) == ["accuracy", "val_accuracy"]
    assert len({line.get_color() for line in loss.lines}) == 2
    assert rate.get_legend() is None


def test_history_without_validation_has_one_line_a_panel():
    logs = {"loss": [2.0], "mae": [1.0], "learning_rate": [0.1]}
    axes = plot.history(logs)
    assert [_labels(ax) for ax in axes] == [["loss"], ["mae"], ["learning_rate"]]


def test_history_takes_what_fit_returned():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(np.ones((4, 1)), np.ones((4, 1)), epochs=2, verbose=0)
    (ax,) = plot.history(history)
    assert list(_line(ax, "loss").get_ydata()) == history.history["loss"]


def test_history_marks_whole_epochs_only():
    axes = plot.history({"loss": [2.0, 1.0]})
    assert all(float(tick).is_integer() for tick in axes[0].get_xticks())


def test_history_draws_on_a_grid_of_axes_row_by_row():
    _, grid = plt.subplots(2, 2)
    axes = plot.history(LOGS, ax=grid)
    assert axes.tolist() == grid.ravel().tolist()
    assert [ax.get_ylabel() for ax in grid[1]] == ["learning_rate", "momentum"]


def test_history_refuses_another_number_of_axes_in_one_sentence():
    _, pair = plt.subplots(2)
    sentence = (
        r"^`ax` of plot\.history must be 4 Axes, "
        r"for loss, accuracy, learning_rate, momentum\. Received: ax="
    )
    with pytest.raises(ValueError, match=sentence):
        plot.history(LOGS, ax=pair)
    assert not any(ax.lines for ax in pair)


def test_augmentations_draws_what_layers_make_and_says_of_whom_it_consists():
    images = (np.arange(4) * 20)[:, None, None, None] + np.zeros((8, 8, 1), "uint8")
    sheet = [layers.Cutout(4, fill_value=60, border="inside"), layers.CutMix(seed=1)]
    axes = plot.augmentations(images, sheet)
    assert axes.shape == (3, 4)
    shown = [np.rint(ax.images[0].get_array() * 60) for ax in axes.flat]
    assert np.array_equal(np.reshape(shown[:4], images.shape), images)
    for place, picture in enumerate(shown[4:8]):
        assert np.sum(picture == 60) == (64 if place == 3 else 16)
    for place, (ax, picture) in enumerate(zip(axes[2], shown[8:])):
        parts = dict(part.split()[::-1] for part in ax.get_xlabel().split(" + "))
        for name, share in parts.items():
            counted = np.mean(picture == 20 * "ABCD".index(name))
            assert float(share) == pytest.approx(counted, abs=0.006)
        assert set(parts) <= {"ABCD"[place], "ABCD"[place - 1]}
    assert [ax.get_ylabel() for ax in axes[:, 0]] == [
        "as they are",
        "1. Cutout",
        "2. CutMix",
    ]


@pytest.mark.parametrize(
    ("images", "given", "sentence"),
    [
        (np.ones((2, 4, 4)), [layers.Cutout(2)], "`images` of plot.augmentations must"),
        (np.ones((2, 4, 4, 2)), [layers.Cutout(2)], "`images` of plot.augmentations mus"),
        (np.ones((27, 4, 4, 1)), [layers.Cutout(2)], "at most 26 of them"),
        (np.ones((2, 4, 4, 1)), [], "`layers` of plot.augmentations must be at least"),
    ],
)
def test_augmentations_refuses_what_it_cannot_draw(images, given, sentence):
    with pytest.raises(ValueError, match=sentence):
        plot.augmentations(images, given)


def test_history_refuses_a_history_of_nothing():
    with pytest.raises(ValueError, match=r"^`history` of plot\.history must be of"):
        plot.history(keras.callbacks.History())


def _half_written(figure, path, **arguments):
    path.write_bytes(b"half")
    raise OSError("disk full")


def _line(ax, label):
    (line,) = (line for line in ax.lines if line.get_label() == label)
    return line


def _labels(ax):
    return [line.get_label() for line in ax.lines]


def _legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]
