"""The figure that `make run` ends with."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from experiments import comparisons
from experiments.figures import curves, data, style
from experiments.figures.data import Runs, Source
from experiments.figures.estimates import MEAN, Estimate
from experiments.figures.tasks import task_names
from experiments.leads import Lead, leads, sentence
from experiments.reading import Run
from experiments.series import per_task
from experiments.suites.registry import METAWORLD

#: What is missing takes several demonstrations here, which makes it worth choosing.
SETTING = "0-0-8-8"

#: Where it is not.
LIMITS = (
    "Choosing gains nothing where pre-training showed all tasks alike (4-4-4-4), and"
    " next to nothing where one demonstration teaches what was missing (8-8-0-0):"
    " RESULTS.md."
)


def draw(source: Source) -> Figure:
    """Success curves, demonstrations per task and mixing weights of the main job."""
    comparison = comparisons.MAIN_JOB
    runs = data.load(source.alone(), METAWORLD, (SETTING,), comparison)[SETTING]
    names = task_names(runs, SETTING)
    allocation = METAWORLD.setting_title(SETTING).lower()
    figure = style.new_figure(13.0, 4.4)
    success, demos, mixing = figure.subplots(1, 3)

    curves.method_curves(success, runs, METAWORLD.measures[0], source.estimate)
    success.set_title("Multi-task success")
    style.heading(figure, f"{METAWORLD.title}: {allocation}", success.get_lines())
    found = leads(runs, "mean_success")
    for lead in found:
        if lead.demos.saved.mean and source.estimate is MEAN:
            _draw_saved(success, lead, runs[lead.method][0])

    before = data.pretraining_counts(SETTING)
    _draw_demos(demos, runs, names, before, source.estimate)
    _draw_mixing(mixing, runs, names, source.estimate)
    described = data.describe([runs], source.estimate)
    lines = [described, *map(sentence, found), LIMITS]
    style.caption(figure, "\n".join(lines))
    return figure


def _draw_saved(axes: Axes, lead: Lead, run: Run) -> None:
    """An arrow at the shared level, from where the baseline reaches it to the method.

    Args:
      axes: with the mean curves against the round.
      lead: of a method that saves demonstrations, or costs some.
      run: any of its runs.
    """
    per_round = run.config["demos_per_round"] * run.batch
    first, second = lead.demos.first / per_round, lead.demos.second / per_round
    arrow = {"arrowstyle": "->", "shrinkA": 0, "shrinkB": 0}
    axes.annotate(
        "", (first, lead.demos.level), (second, lead.demos.level), arrowprops=arrow
    )
    axes.annotate(
        f"{lead.demos.saved.mean:g} demonstrations saved",
        ((first + second) / 2, lead.demos.level),
        (0, -52),
        textcoords="offset points",
        ha="center",
        fontsize=8,
    )


def _draw_demos(
    axes: Axes,
    runs: Runs,
    names: Sequence[str],
    before: np.ndarray,
    estimate: Estimate,
) -> None:
    """Bars per task and method: pre-training below, what was asked for on top."""
    places = np.arange(len(names))
    width = 0.8 / len(runs)
    for index, (method, group) in enumerate(runs.items()):
        x = places + (index - (len(runs) - 1) / 2) * width
        summary = estimate.summarise(data.collected(group, len(names))[:, -1])
        axes.bar(
            x,
            before,
            0.9 * width,
            color="white",
            edgecolor=style.PRETRAINING_GREY,
            hatch="////",
            label="Pre-training",
        )
        axes.bar(
            x,
            summary.mean,
            0.9 * width,
            bottom=before,
            color=style.METHODS[method].colour,
            label=style.method_name(method),
        )
        if summary.interval is not None:
            low, high = summary.interval
            axes.vlines(x, before + low, before + high, color="black")
    axes.set_xticks(places, [name.replace(" ", "\n") for name in names])
    axes.grid(axis="x", visible=False)
    axes.set_ylabel("Demonstrations after the last round")
    axes.set_title("Demonstrations per task")
    axes.margins(y=0.16)
    hatched = Patch(
        facecolor="white",
        edgecolor=style.PRETRAINING_GREY,
        hatch="////",
        label="pre-training (hidden from the methods)",
    )
    axes.legend(handles=[hatched], loc="upper center")


def _draw_mixing(
    axes: Axes, runs: Runs, names: Sequence[str], estimate: Estimate
) -> None:
    """A curve of alpha per task (colour, marker) and method (dashes)."""
    axes.set_title("Adaptive prior: weight of the fine-tuned policy")
    axes.set_ylabel("Mixing weight α")
    axes.set_ylim(-0.02, 1.02)
    curves.round_axis(axes)
    colours = style.task_colours(len(names))
    shown = []
    for method, group in runs.items():
        alphas = per_task(group, "mixing", len(names))
        if np.isnan(alphas).all():  # no adaptive prior
            continue
        shown.append(method)
        for task, (name, colour) in enumerate(zip(names, colours, strict=True)):
            curves.band_curve(
                axes,
                estimate.summarise(alphas[:, :, task]),
                color=colour,
                marker=style.TASK_MARKERS[task % len(style.TASK_MARKERS)],
                linestyle=style.METHODS[method].dashes,
                markevery=(task, len(names)),
                label=f"{style.method_name(method)}: {name}",
            )
    if not shown:
        axes.text(
            0.5,
            0.5,
            "no method with adaptive prior",
            ha="center",
            va="center",
            transform=axes.transAxes,
        )
        return
    keys = [
        Line2D([], [], color=colour, marker=style.TASK_MARKERS[task], label=name)
        for task, (name, colour) in enumerate(zip(names, colours, strict=True))
    ]
    keys += [
        Line2D(
            [],
            [],
            color="black",
            linestyle=style.METHODS[method].dashes,
            label=style.method_name(method),
        )
        for method in shown
    ]
    axes.legend(handles=keys, fontsize=7.5, ncols=2, loc="best", handlelength=3.0)
