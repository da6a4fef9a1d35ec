"""Ablations and overviews: curves per setting, and the areas under them as points."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.comparisons import Comparison
from experiments.figures import curves, data, style
from experiments.figures.data import Runs, Source
from experiments.figures.estimates import Estimate
from experiments.figures.suites import Measure, Suite


def draw(source: Source, suite: Suite, comparison: Comparison) -> Figure:
    """Curves of all measures and the areas of the first, per setting.

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
        area_points(column[-1], runs, methods, main, source.estimate)
    for axes in grid[:, 1:].flat:
        axes.set_ylabel("")
    for axes in grid[-1, 1:]:
        axes.tick_params(labelleft=False)
    lines = [line for axes in grid[:-1].flat for line in axes.get_lines()]
    style.heading(figure, f"{suite.title}: {comparison.title}", lines)
    style.caption(figure, data.describe(panels.values(), source.estimate))
    return figure


def area_points(
    axes: Axes,
    runs: Runs,
    methods: Sequence[str],
    measure: Measure,
    estimate: Estimate,
) -> None:
    """The area under each method's curve with its interval, methods from top down."""
    for place, method in enumerate(methods):
        if method not in runs:
            continue
        look = style.look(method)
        area = estimate.area(runs[method], measure.field)
        axes.plot(area.mean, [place], look.marker, color=look.colour, markersize=6)
        if area.interval is not None:
            axes.hlines(place, *area.interval, color=look.colour, linewidth=1.7)
    axes.set_yticks(range(len(methods)), [style.method_name(m) for m in methods])
    axes.set_ylim(len(methods) - 0.5, -0.5)
    axes.set_xlabel(f"Area under the curve, per round\n({measure.label.lower()})")
