"""Pictures. Each takes Axes to draw on, returns those it drew on, and shows nothing."""

import itertools
import pathlib
import string
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_sched import _atomic, schedules
from keras_sched._checks import check, integer
from keras_sched._types import PathLike, Rate
from keras_sched.schedules import fields
from keras_sched.schedules.lengths import extent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["augmentations", "history", "learning_rate_curve", "save", "schedule"]

# Okabe and Ito's colours, which colour-blind readers tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_LINES = ("-", "--", ":", "-.")
_POINTS = 4001


def learning_rate_curve(curve: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Draws what `find_learning_rate` returned: loss over rate, and the suggestion.

    Args:
        curve: `LearningRateCurve`, or a dict of them by weight decay.
        ax: Axes to draw on. `None`: new ones.

    Returns:
        The Axes.

    Raises:
        ValueError: For a dict without curves.
    """
    ax = _one(ax)
    curves = curve if isinstance(curve, dict) else {None: curve}
    check(curves, "plot.learning_rate_curve", "curve", "at least one", curve)
    if isinstance(curve, dict):
        shown, title = [], "suggested rates"
        for (decay, each), colour in zip(curves.items(), itertools.cycle(_COLOURS)):
            label = f"weight decay {decay:g}: {_suggestion(each)}"
            _draw_smoothed(ax, each, colour, label)
            _mark(ax, each, colour)
    else:
        shown, title = [curve.losses[: len(curve.smoothed)]], _suggestion(curve)
        points: dict[str, Any] = dict(color=_COLOURS[5], alpha=0.5, label="batch loss")
        for each in curve.repeats or (curve,):
            ax.plot(each.learning_rates, each.losses, ".", **points)
            points["label"] = None
        _draw_smoothed(ax, curve, _COLOURS[0], "smoothed")
        _mark(ax, curve, _COLOURS[1], f"steepest: {title}")
        if curve.suggest() is not None:
            title = f"suggested rate: {title}"
    ax.set(xscale="log", xlabel="learning rate (log scale)", ylabel="loss", title=title)
    smoothed = np.concatenate([each.smoothed for each in curves.values()])
    if len(smoothed):
        lowest = np.concatenate([smoothed, *shown]).min()
        margin = 0.1 * np.ptp(smoothed) + 1e-12
        ax.set_ylim(lowest - margin, smoothed.max() + margin)
    ax.legend(frameon=False)
    return ax


def _suggestion(curve):
    rate, spread = curve.suggest(), curve.spread()
    if rate is None:
        return f"no suggestion ({curve.reason})"
    return f"{rate:.2g}" + (f" ({spread[0]:.2g} to {spread[1]:.2g})" if spread else "")


def _draw_smoothed(ax, curve, colour, label):
    rates = curve.learning_rates[: len(curve.smoothed)]
    ax.plot(rates, curve.smoothed, color=colour, label=label)


def _mark(ax, curve, colour, label=None):
    rate = curve.suggest()
    if rate is not None:
        rates = curve.learning_rates[: len(curve.smoothed)]
        loss = np.interp(rate, rates, curve.smoothed)
        ax.axvline(rate, color=colour, linestyle=":", linewidth=1)
        ax.plot([rate], [loss], "o", color=colour, label=label)


def schedule(
    schedule: Rate | Sequence[Rate] | Mapping[str, Rate],
    steps: int | None = None,
    *,
    label: str | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draws a schedule over steps, or several in one picture.

    Args:
        schedule: A schedule of ours or of Keras, or a number. Several: a list of them, or
            a dict by what each is called in the legend.
        steps: How many steps, counted from 0. `None`: past the end of the longest, or a
            few periods of what has no end.
        label: What the vertical axis is called. `None`: the schedule's class, or "value".
        ax: Axes to draw on. `None`: new ones.

    Returns:
        The Axes.

    Raises:
        ValueError: For something else than schedules, or none of them.
    """
    named = _named(schedule)
    for each in named.values():
        fields.rate("plot.schedule", "schedule", each)
    check(named, "plot.schedule", "schedule", "at least one", schedule)
    if steps is None:
        steps = max(extent(each) for each in named.values())
    steps = integer("plot.schedule", "steps", steps, at_least=1)
    at = np.unique(np.linspace(0, steps - 1, _POINTS).astype("int64"))
    ax = _one(ax)
    for place, (name, each) in enumerate(named.items()):
        again, colour = divmod(place, len(_COLOURS))
        style: dict[str, Any] = dict(color=_COLOURS[colour])
        style["linestyle"] = _LINES[again % len(_LINES)]
        ax.plot(at, schedules.values(each, at), label=name, **style)
    if label is None:
        label = "value" if len(named) > 1 else next(iter(named))
    ax.set(xlabel="step", ylabel=label)
    if len(named) > 1:
        ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def history(
    history: keras.callbacks.History | Mapping[str, Sequence[float]],
    *,
    ax: Any = None,
) -> np.ndarray:
    """Draws what `fit` returned: a panel for the loss, one a metric, one a rate.

    Args:
        history: `keras.callbacks.History`, or its dict of lists.
        ax: As many Axes as there are panels. `None`: new ones, one above the other.

    Returns:
        NumPy array of the Axes, in the order of the panels: loss, metrics, and last
        the hyperparameters that a callback drove.
    """
    logs = getattr(history, "history", history)
    panels = _panels(logs)
    check(
        panels and all(logs.values()),
        "plot.history",
        "history",
        "of at least one epoch",
        logs,
    )
    axes = np.ravel(_several(len(panels)) if ax is None else ax)
    must = f"{len(panels)} Axes, for {', '.join(panels)}"
    check(len(axes) == len(panels), "plot.history", "ax", must, ax)
    for axis, (title, names) in zip(axes, panels.items()):
        for name, colour in zip(names, _COLOURS):
            epochs = np.arange(1, len(logs[name]) + 1)
            axis.plot(epochs, logs[name], ".-", color=colour, label=name)
        axis.set(ylabel=title)
        axis.xaxis.get_major_locator().set_params(integer=True)
        if len(names) > 1:
            axis.legend(frameon=False)
    axes[-1].set_xlabel("epoch")
    axes[0].figure.align_ylabels(list(axes))
    return axes


def augmentations(
    images: ArrayLike,
    layers: Sequence[keras.layers.Layer] | Mapping[str, keras.layers.Layer],
    *,
    ax: Any = None,
) -> np.ndarray:
    """Draws images, and below them what each of some layers makes of them, a row each.

    Where a layer mixes labels, the part that each image has in the label stands below.

    Args:
        images: `(count, height, width, channels)`, one channel or three; at most 26. They
            are shown between their lowest and their highest value.
        layers: Augmentation layers: a list, or a dict by what each is called.
        ax: As many Axes as there are pictures. `None`: new ones.

    Returns:
        NumPy array of the Axes: a row for the images, then one for each layer.

    Raises:
        ValueError: For no layers, or images of another shape.
    """
    owner, images = "plot.augmentations", np.asarray(images)
    must = "(count, height, width, 1 or 3), at most 26 of them"
    fine = images.ndim == 4 and images.shape[-1] in (1, 3) and len(images) in range(1, 27)
    check(fine, owner, "images", must, images.shape)
    if not isinstance(layers, dict):
        layers = {
            f"{place + 1}. {type(layer).__name__}": layer
            for place, layer in enumerate(layers)
        }
    check(layers, owner, "layers", "at least one", layers)
    grid = 1 + len(layers), len(images)
    axes = _sheet(*grid) if ax is None else np.ravel(ax)
    check(np.size(axes) == np.prod(grid), owner, "ax", f"{grid[0]} x {grid[1]} Axes", ax)
    axes = np.reshape(axes, grid)
    limits, names = (images.min(), images.max()), string.ascii_uppercase
    for axis, image, name in zip(axes[0], images, names):
        _show(axis, image, limits, name)
    axes[0, 0].set_ylabel("as they are")
    own = np.eye(len(images), dtype="float32")
    for row, (name, layer) in zip(axes[1:], layers.items()):
        found = (keras.ops.convert_to_numpy(each) for each in layer.augment(images, own))
        for axis, image, parts in zip(row, *found):
            shares = [f"{p:.2f} {n}" for p, n in zip(parts, names) if p > 0.005]
            _show(axis, image, limits, " + ".join(shares) if layer.mixes_labels else "")
        row[0].set_ylabel(name)
    return axes


def save(axes: Any, path: PathLike, *, dpi: float = 120) -> None:
    """Writes the figure that Axes are on, whole or not at all.

    Args:
        axes: Axes, or an array of them, of one figure.
        path: File to write; its ending says the kind (.png, .svg, .pdf, ...).
        dpi: Pixels to the inch.

    Raises:
        ValueError: For an ending that matplotlib does not write.
    """
    figure = np.ravel(axes)[0].figure
    path = pathlib.Path(path)
    kinds = figure.canvas.get_supported_filetypes()
    must = "a file ending in " + ", ".join(f".{kind}" for kind in sorted(kinds))
    check(path.suffix[1:].lower() in kinds, "plot.save", "path", must, str(path))
    with _atomic.replacing(path) as temporary:
        figure.savefig(temporary, dpi=dpi)


def _show(axis, image, limits, label):
    low, high = map(float, limits)
    image = (np.asarray(image, "float32") - low) / max(high - low, 1e-12)
    axis.imshow(np.clip(image, 0, 1), cmap="gray", vmin=0, vmax=1)
    axis.set(xlabel=label, xticks=[], yticks=[])


def _panels(logs):
    """Returns the names to draw on each panel, by the panel's title."""
    metrics = [name for name in logs if f"val_{name}" in logs or name == "loss"]
    paired = {name: [n for n in (name, f"val_{name}") if n in logs] for name in metrics}
    shown = {name for names in paired.values() for name in names}
    single = {name: [name] for name in logs if name not in shown}
    loss = {"loss": paired.pop("loss")} if "loss" in paired else {}
    return loss | paired | single


def _named(given):
    """Returns schedules by name: of the class, or in full where classes repeat."""
    if isinstance(given, dict):
        return given
    several = list(given) if isinstance(given, (list, tuple)) else [given]
    kinds = [_kind(each) for each in several]
    unique = len(set(kinds)) == len(kinds)
    return dict(zip(kinds if unique else map(repr, several), several))


def _kind(schedule):
    return type(schedule).__name__ if hasattr(schedule, "get_config") else "value"


def _one(ax):
    return _pyplot().subplots(layout="constrained")[1] if ax is None else ax


def _several(count):
    size = (6.4, 1 + 1.6 * count)
    plt = _pyplot()
    return plt.subplots(count, sharex=True, figsize=size, layout="constrained")[1]


def _sheet(rows, columns):
    size = (1.5 * columns + 0.3, 1.75 * rows)
    return _pyplot().subplots(rows, columns, figsize=size, layout="constrained")[1]


def _pyplot():
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        advice = "Pictures need matplotlib: pip install 'keras_sched[plot]'"
        raise ImportError(advice) from error
    return plt
