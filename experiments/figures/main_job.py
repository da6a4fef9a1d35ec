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
from experiments.figures.estimates import Estimate
from experiments.figures.tasks import task_names
from experiments.runs import per_task
from experiments.suites.registry import METAWORLD

#: Methods whose mixing is shown: more than two make the panel unreadable.
MIXING_METHODS = ("amf", "uniform_adaptive_prior")


def draw(source: Source) -> Figure:
    """Success curves, demonstrations per task and mixing weights of the main job."""
    setting = METAWORLD.mismatch[0]
    runs = data.load(source.alone(), METAWORLD, (setting,), comparisons.MAIN_JOB)[
        setting
    ]
    names = task_names(runs, setting)
    allocation = METAWORLD.setting_title(setting).lower()
    figure = style.new_figure(13.0, 4.4)
    success, demos, mixing = figure.subplots(1, 3)

    curves.method_curves(success, runs, METAWORLD.measures[0], source.estimate)
    success.set_title("Multi-task success")
    style.heading(figure, f"{METAWORLD.title}: {allocation}", success.get_lines())

    before = data.pretraining_counts(setting)
    _draw_demos(demos, runs, names, before, source.estimate)
    _draw_mixing(mixing, runs, names, source.estimate)
    style.caption(figure, data.describe([runs], source.estimate))
    return figure


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
    for method in MIXING_METHODS:
        if method not in runs:
            continue
        alphas = per_task(runs[method], "mixing", len(names))
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
