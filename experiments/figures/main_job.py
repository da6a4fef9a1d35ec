"""The figure that `make run` ends with."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from experiments import results, statistics
from experiments.figures import curves, data, style
from experiments.results import Run

SUITE, SETTING = "metaworld", "8-8-0-0"

#: Methods whose mixing is shown: more than two make the panel unreadable.
MIXING_METHODS = ("amf", "uniform_adaptive_prior")


def draw(results_dir: Path) -> Figure:
    """Success curves, demonstrations per task and mixing weights of the main job."""
    runs = data.load(results_dir, SUITE, (SETTING,))[SETTING]
    task_names = next(iter(runs.values()))[0].config["task_names"]
    title = f"{style.SUITES[SUITE]}: {data.allocation_title(SETTING).lower()}"
    figure = style.new_figure(13.0, 4.4)
    success, demos, mixing = figure.subplots(1, 3)

    curves.method_curves(success, runs, "mean_success")
    curves.success_axis(success)
    success.set_title("Multi-task success")
    style.heading(figure, title, success.get_lines())

    _draw_demos(demos, runs, task_names)
    _draw_mixing(mixing, runs, task_names)
    style.caption(figure, data.describe([runs]))
    return figure


def _draw_demos(
    axes: Axes, runs: Mapping[str, Sequence[Run]], task_names: Sequence[str]
) -> None:
    """Bars per task and method: pre-training below, what was asked for on top."""
    before = data.pretraining_counts(SETTING)
    places = np.arange(len(task_names))
    width = 0.8 / len(runs)
    for index, (method, group) in enumerate(runs.items()):
        x = places + (index - (len(runs) - 1) / 2) * width
        summary = statistics.summarise(data.collected(group)[:, -1])
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
    axes.set_xticks(places, [name.replace(" ", "\n") for name in task_names])
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
    axes: Axes, runs: Mapping[str, Sequence[Run]], task_names: Sequence[str]
) -> None:
    """A curve of alpha per task (colour, marker) and method (dashes)."""
    axes.set_title("Adaptive prior: weight of the fine-tuned policy")
    axes.set_ylabel("Mixing weight α")
    axes.set_ylim(-0.02, 1.02)
    curves.round_axis(axes)
    colours = style.task_colours(len(task_names))
    shown = []
    for method in MIXING_METHODS:
        alphas = results.values(runs[method], "mixing") if method in runs else None
        if alphas is None or alphas.ndim < 3:  # null throughout: no adaptive prior
            continue
        shown.append(method)
        for task, (name, colour) in enumerate(zip(task_names, colours, strict=True)):
            curves.band_curve(
                axes,
                alphas[:, :, task],
                color=colour,
                marker=style.TASK_MARKERS[task % len(style.TASK_MARKERS)],
                linestyle=style.METHODS[method].dashes,
                markevery=(task, len(task_names)),
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
        for task, (name, colour) in enumerate(zip(task_names, colours, strict=True))
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
