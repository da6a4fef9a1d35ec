"""Figures 4, 5, 9 and 14: success curves, a panel per setting."""

import math

from matplotlib.figure import Figure

from experiments.comparisons import Comparison
from experiments.figures import curves, data, style
from experiments.figures.data import Panels, Source
from experiments.suites.base import Suite


def draw_contrast(source: Source, suite: Suite, comparison: Comparison) -> Figure:
    """One setting with a mismatch, and one without."""
    settings = data.contrast(source, suite)
    panels = data.load(source, suite, settings, comparison)
    return _panels(source, suite, panels, comparison)


def draw_compared(source: Source, suite: Suite, comparison: Comparison) -> Figure:
    """Every setting with a mismatch, and one without."""
    settings = data.compared_settings(source, suite)
    panels = data.load(source, suite, settings, comparison)
    return _panels(source, suite, panels, comparison)


def draw_settings(source: Source, suite: Suite, comparison: Comparison) -> Figure:
    """Every setting there is."""
    panels = data.load(source, suite, suite.settings, comparison)
    return _panels(source, suite, panels, comparison)


def _panels(
    source: Source, suite: Suite, panels: Panels, comparison: Comparison
) -> Figure:
    columns = min(len(panels), 3)
    rows = math.ceil(len(panels) / columns)
    figure = style.new_figure(max(3.6 * columns, 6.5), 3.0 * rows + 1.0)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (setting, runs) in zip(grid, panels.items(), strict=False):
        curves.method_curves(axes, runs, suite.measures[0], source.estimate)
        axes.set_title(suite.setting_title(setting))
    for axes in grid[len(panels) :]:
        axes.remove()
    lines = [line for axes in grid[: len(panels)] for line in axes.get_lines()]
    title = f"{suite.title}: {comparison.title}"
    style.heading(figure, title, lines, columns=2 if columns < 3 else 4)
    style.caption(figure, data.describe(panels.values(), source.estimate))
    return figure
