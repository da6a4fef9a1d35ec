"""Figures 2 and 7: returns and entropies of Gaussian-process policies."""

import itertools
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.comparisons import GAUSSIAN_PROCESS
from experiments.figures import curves, data, style
from experiments.figures.data import Panels, Runs, Source
from experiments.figures.estimates import Estimate
from experiments.folders import Labelled, beside, method_of
from experiments.runs import matched
from experiments.series import values
from experiments.suites.integrator.suite import ENTROPY, RETURN
from experiments.suites.registry import INTEGRATOR


def draw_figure2(source: Source) -> Figure:
    """Returns and entropies at 12/12 and 6/12 tasks; the gain of AMF for every k."""
    panels = data.load(source, INTEGRATOR, INTEGRATOR.settings, GAUSSIAN_PROCESS)
    figure = style.new_figure(12.0, 5.4)
    axes = figure.subplot_mosaic(
        [["12 return", "gain", "6 return"], ["12 entropy", "gain", "6 entropy"]]
    )
    for setting, title in (("12", "No mismatch"), ("6", "Mismatch")):
        top, bottom = axes[f"{setting} return"], axes[f"{setting} entropy"]
        top.set_title(f"{title} ({INTEGRATOR.setting_title(setting)})")
        _draw_pair(top, bottom, panels.get(setting, {}), source.estimate)
    _draw_gain(axes["gain"], panels, source.estimate)
    curve_axes = [panel for name, panel in axes.items() if name != "gain"]
    lines = [line for panel in curve_axes for line in panel.get_lines()]
    style.heading(figure, "2-D integrator: policies that are Gaussian processes", lines)
    style.caption(figure, data.describe(panels.values(), source.estimate))
    return figure


def draw_figure7(source: Source) -> Figure:
    """Returns and entropies for every number k of demonstrated tasks."""
    panels = data.load(source, INTEGRATOR, INTEGRATOR.settings, GAUSSIAN_PROCESS)
    figure = style.new_figure(15.0, 9.6)
    grid = figure.subplots(4, 6, sharex=True, sharey=False)
    for index, setting in enumerate(INTEGRATOR.settings):
        row, column = 2 * (index // 6), index % 6
        top, bottom = grid[row : row + 2, column]
        if setting not in panels:
            top.remove()
            bottom.remove()
            continue
        top.set_title(INTEGRATOR.setting_title(setting))
        _draw_pair(top, bottom, panels[setting], source.estimate)
        if column:
            top.set_ylabel("")
            bottom.set_ylabel("")
    lines = [line for axes in figure.axes for line in axes.get_lines()]
    style.heading(figure, "2-D integrator: all pre-training regimes", lines)
    style.caption(figure, data.describe(panels.values(), source.estimate))
    return figure


def _draw_pair(top: Axes, bottom: Axes, runs: Runs, estimate: Estimate) -> None:
    """Return above entropy, without the lines of methods that have no results."""
    for axes, measure in ((top, RETURN), (bottom, ENTROPY)):
        curves.method_curves(axes, runs, measure, estimate)
    top.set_xlabel("")


def _draw_gain(axes: Axes, panels: Panels, estimate: Estimate) -> None:
    """Return of AMF minus that of uniform, paired by seed, against k.

    Both end up as good as the expert: what differs is how soon.
    """
    axes.axhline(0.0, color="black", linewidth=0.8)
    periods: tuple[tuple[str, slice, dict[str, Any], float], ...] = (
        ("Rounds 1–10, mean", slice(1, 11), dict(marker="o"), -0.1),
        ("Last round", slice(-1, None), dict(marker="s", linestyle="--"), 0.1),
    )
    names = dict.fromkeys(
        name for runs in panels.values() for name in runs if method_of(name) == "amf"
    )
    for name, (label, rounds, look, shift) in itertools.product(names, periods):
        paired = {int(k): _paired_gain(r, name, rounds) for k, r in panels.items()}
        gains = {k: estimate.summarise(v[:, None]) for k, v in paired.items() if v.size}
        colour = style.METHODS["amf"].colour if shift < 0 else "0.45"
        means = [gain.mean[0] for gain in gains.values()]
        whose = f" ({name.label})" if isinstance(name, Labelled) else ""
        axes.plot(list(gains), means, color=colour, label=label + whose, **look)
        for k, gain in gains.items():
            if gain.interval is not None:
                axes.vlines(k + shift, *gain.interval, color=colour)
    axes.legend()
    axes.set_xticks(range(1, 13))
    axes.set_xlabel("Tasks demonstrated in pre-training (of 12)")
    axes.set_ylabel("Return, AMF minus uniform (same seeds)")
    axes.set_title("Improvement over uniform")


def _paired_gain(runs: Runs, name: str, rounds: slice) -> np.ndarray:
    """AMF minus uniform of its folder, averaged over some rounds, by common seeds."""
    names = [beside(name, method) for method in GAUSSIAN_PROCESS.methods]
    if not all(method in runs for method in names):
        return np.array([])
    pair = matched(*(runs[method] for method in names))
    if not all(pair):
        return np.array([])
    ours, theirs = (
        values(group, RETURN.field)[:, rounds].mean(axis=1) for group in pair
    )
    return ours - theirs
