"""The pieces that figures share: a curve with its band, a panel of curves."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from experiments.figures import style
from experiments.figures.data import Runs
from experiments.figures.estimates import Estimate
from experiments.statistics import Summary
from experiments.suites.base import Measure


def band_curve(axes: Axes, summary: Summary, **line: Any) -> None:
    """Draws a curve and its interval against the round.

    Args:
      axes: where to draw.
      summary: of `[rounds]`.
      **line: properties of the line, its color among them.
    """
    rounds = np.arange(len(summary.mean))
    axes.plot(rounds, summary.mean, **line)
    band(axes, rounds, summary, line["color"])


def band(axes: Axes, x: np.ndarray, summary: Summary, colour: str) -> None:
    """Shades the interval around a curve, if there is one."""
    if summary.interval is not None:
        low, high = summary.interval
        axes.fill_between(
            x, low, high, color=colour, alpha=style.BAND_ALPHA, linewidth=0
        )


def method_line(method: str, among: Iterable[str], points: int) -> dict[str, Any]:
    """Line properties of a method for a curve of that many points.

    Markers are few, and at other rounds for every method of the panel: equal curves
    stay visible.

    Args:
      method: a key of `experiments.methods.METHODS`, or any other name.
      among: all methods of the panel.
      points: of the curve.
    """
    look = style.look(method)
    panel = list(among)
    every = max(1, points // 5)
    first = panel.index(method) * every // len(panel)
    return dict(
        color=look.colour,
        marker=look.marker,
        linestyle=look.dashes,
        label=look.name,
        markevery=(first, every),
    )


def method_curves(
    axes: Axes,
    runs: Runs,
    measure: Measure,
    estimate: Estimate,
    tasks: np.ndarray | None = None,
) -> None:
    """One curve per method, of all tasks or of those in a mask `[C]`."""
    for method, group in runs.items():
        summary = estimate.curve(group, measure.field, tasks)
        line = method_line(method, runs, len(summary.mean))
        band_curve(axes, summary, **line)
    round_axis(axes)
    axes.set_ylabel(measure.label)
    axes.set_ylim(measure.limits)


def round_axis(axes: Axes, label: bool = True) -> None:
    """Whole rounds along x."""
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.margins(x=0.02)
    if label:
        axes.set_xlabel("Round")
