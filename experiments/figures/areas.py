"""Ablations and overviews: curves per setting, and differences of the areas under them.

Areas are compared seed by seed, as in the report's verdicts: seeds share pre-training
and starts, and so most of what makes one run better than another.
"""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.comparisons import Comparison
from experiments.figures import curves, data, style
from experiments.figures.data import Runs, Source
from experiments.figures.estimates import Estimate
from experiments.suites.base import Measure, Suite


def draw(source: Source, suite: Suite, comparison: Comparison) -> Figure:
    """Curves of all measures and the leads in area of the first, per setting.

    Args:
      source: the results.
      suite: whose settings make the columns.
      comparison: the methods.
    """
    settings = data.compared_settings(source, suite)
    panels = data.load(source, suite, settings, comparison)
    methods = style.ordered(dict.fromkeys(m for runs in panels.values() for m in runs))
    main = suite.measures[0]
    heights = [2.6] * len(suite.measures) + [0.6 + 0.22 * len(methods)]
    figure = style.new_figure(3.4 * len(panels) + 1.6, sum(heights) + 1.3)
    grid = figure.subplots(
        len(heights), len(panels), squeeze=False, height_ratios=heights
    )
    for column, (setting, runs) in zip(grid.T, panels.items(), strict=True):
        column[0].set_title(suite.setting_title(setting))
        for axes, measure in zip(column, suite.measures, strict=False):
            curves.method_curves(axes, runs, measure, source.estimate)
        leads(column[-1], runs, methods, main, source.estimate)
    for axes in grid[:, 1:].flat:
        axes.set_ylabel("")
    for axes in grid[-1, 1:]:
        axes.tick_params(labelleft=False)
    lines = [line for axes in grid[:-1].flat for line in axes.get_lines()]
    style.heading(figure, f"{suite.title}: {comparison.title}", lines)
    first = style.method_name(methods[0])
    style.caption(
        figure,
        f"Bottom: area under the curve of {first} minus that of each of the others,"
        f" seed by seed; right of 0, {first} is ahead.\n"
        f"{data.describe(panels.values(), source.estimate)}",
    )
    return figure


def leads(
    axes: Axes,
    runs: Runs,
    methods: Sequence[str],
    measure: Measure,
    estimate: Estimate,
) -> None:
    """How far the first method leads each other in area, methods from top down."""
    first, *others = methods
    axes.axvline(0.0, color="black", linewidth=0.8)
    for place, method in enumerate(others):
        if first not in runs or method not in runs:
            continue
        look = style.look(method)
        lead = estimate.lead(runs[first], runs[method], measure.field)
        if lead is None:
            continue
        axes.plot(lead.mean, [place], look.marker, color=look.colour, markersize=6)
        if lead.interval is not None:
            axes.hlines(place, *lead.interval, color=look.colour, linewidth=1.7)
    axes.set_yticks(range(len(others)), [style.method_name(m) for m in others])
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_ylim(max(len(others), 1) - 0.5, -0.5)
    axes.set_xlabel(
        f"Lead of {style.method_name(first)} in area\n"
        f"({measure.label.lower()}, per round)"
    )
