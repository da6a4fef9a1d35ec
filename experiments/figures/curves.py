"""The pieces that figures share: a curve with its band, a panel of curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from experiments import results, statistics
from experiments.figures import style
from experiments.results import Run
from experiments.statistics import Summary


def band_curve(axes: Axes, values: np.ndarray, **line: Any) -> None:
    """Draws mean and interval over seeds against the round.

    Args:
      axes: where to draw.
      values: `[seeds, rounds]`.
      **line: properties of the line, its color among them.
    """
    summary = statistics.summarise(values)
    rounds = np.arange(values.shape[1])
    axes.plot(rounds, summary.mean, **line)
    band(axes, rounds, summary, line["color"])


def band(axes: Axes, x: np.ndarray, summary: Summary, colour: str) -> None:
    """Shades the interval around a curve, if there is one."""
    if summary.interval is not None:
        low, high = summary.interval
        axes.fill_between(
            x, low, high, color=colour, alpha=style.BAND_ALPHA, linewidth=0
        )


def method_line(method: str, points: int) -> dict[str, Any]:
    """Line properties of a method for a curve of that many points.

    Markers are few, and at other rounds for every method: equal curves stay visible.
    """
    look = style.METHODS[method]
    every = max(1, points // 5)
    first = list(style.METHODS).index(method) * every // len(style.METHODS)
    return dict(
        color=look.colour,
        marker=look.marker,
        linestyle=look.dashes,
        label=look.name,
        markevery=(first, every),
    )


def method_curves(axes: Axes, runs: Mapping[str, Sequence[Run]], field: str) -> None:
    """One curve per method of a field that is a number per round."""
    for method, group in runs.items():
        curve = results.values(group, field)
        band_curve(axes, curve, **method_line(method, curve.shape[1]))
    round_axis(axes)


def round_axis(axes: Axes, label: bool = True) -> None:
    """Whole rounds along x."""
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.margins(x=0.02)
    if label:
        axes.set_xlabel("Round")


def success_axis(axes: Axes, label: str = "Multi-task success rate") -> None:
    """The whole range of a success rate along y, the same in every panel."""
    axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel(label)
