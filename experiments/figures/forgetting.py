"""Figure 12: ways not to forget, and what each forgets."""

import numpy as np
from matplotlib.figure import Figure

from experiments import comparisons
from experiments.comparisons import Comparison
from experiments.figures import curves, data, style
from experiments.figures.data import Source
from experiments.folders import method_of
from experiments.suites.base import SUCCESS, Suite


def draw(source: Source, suite: Suite) -> Figure:
    """Regularisers above variants of the prior: ten curves would hide each other."""
    return _draw(source, suite, (comparisons.REGULARISERS, comparisons.PRIORS))


def draw_regularisers(source: Source, suite: Suite) -> Figure:
    """The paper's figure: the adaptive prior against L2, EWC and nothing."""
    return _draw(source, suite, (comparisons.REGULARISERS,))


def _draw(source: Source, suite: Suite, rows: tuple[Comparison, ...]) -> Figure:
    """Success over all tasks, over those of pre-training, and over the others.

    A row of panels for each comparison.
    """
    methods = dict.fromkeys(m for comparison in rows for m in comparison.methods)
    everything = Comparison("forgetting", tuple(methods))
    settings = data.contrast(source, suite)
    panels = data.load(source, suite, settings, everything)
    columns = [(s, *part) for s in panels for part in _parts(s)]
    figure = style.new_figure(3.2 * len(columns) + 0.4, 2.8 * len(rows) + 1.2)
    grid = figure.subplots(
        len(rows), len(columns), sharex=True, sharey=True, squeeze=False
    )
    for row, comparison in zip(grid, rows, strict=True):
        for axes, (setting, _, tasks) in zip(row, columns, strict=True):
            runs = panels[setting]
            shown = {m: runs[m] for m in runs if method_of(m) in comparison.methods}
            curves.method_curves(axes, shown, SUCCESS, source.estimate, tasks)
            axes.set_ylabel("")
        row[0].set_ylabel(f"Success rate\n{comparison.title}")
    for axes, (setting, title, _) in zip(grid[0], columns, strict=True):
        axes.set_title(f"{suite.setting_title(setting)}\n{title}")
    for axes in grid[:-1].flat:
        axes.set_xlabel("")
    lines = [line for axes in grid.flat for line in axes.get_lines()]
    style.heading(figure, f"{suite.title}: forgetting", lines, columns=5)
    style.caption(
        figure,
        "AMF has the adaptive prior; the others vary or replace it. "
        f"{data.describe(panels.values(), source.estimate)}",
    )
    return figure


def _parts(setting: str) -> list[tuple[str, np.ndarray]]:
    """All tasks, those with pre-training demonstrations, those without: `[C]` masks."""
    shown = data.pretraining_counts(setting) > 0
    parts = [("all tasks", np.ones_like(shown))]
    if not shown.all():
        parts += [("tasks seen in pre-training", shown), ("new tasks", ~shown)]
    return parts
