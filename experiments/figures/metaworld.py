"""Figures 4, 9, 17 and 18: success per allocation and per task in Metaworld."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from experiments import results
from experiments.figures import curves, data, style
from experiments.results import Run

SUITE = "metaworld"
SKEWED = "8-8-0-0"
EVEN = ("4-4-4-4", "2-2-2-2")
ALLOCATIONS = ("8-8-0-0", "0-8-8-0", "0-0-8-8", "2-2-2-2", "4-4-4-4")


def draw_figure4(results_dir: Path) -> Figure:
    """Success curves with and without a mismatch of the pre-training tasks."""
    even = data.settings_present(results_dir, SUITE, EVEN) or EVEN[:1]
    panels = data.load(results_dir, SUITE, (SKEWED, *even))
    return _success_panels(
        panels, "AMF with neural policies in Metaworld, state inputs"
    )


def draw_figure9(results_dir: Path) -> Figure:
    """Success curves of every allocation of the pre-training demonstrations."""
    panels = data.load(results_dir, SUITE, ALLOCATIONS)
    return _success_panels(
        panels, "Metaworld: allocations of pre-training demonstrations"
    )


def draw_figure17(results_dir: Path) -> Figure:
    """Success and demonstrations of each task after skewed pre-training."""
    return _task_panels(results_dir, (SKEWED,))


def draw_figure18(results_dir: Path) -> Figure:
    """Success and demonstrations of each task after uniform pre-training."""
    even = data.settings_present(results_dir, SUITE, EVEN) or EVEN[:1]
    return _task_panels(results_dir, even[:1])


def _success_panels(
    panels: Mapping[str, Mapping[str, Sequence[Run]]], title: str
) -> Figure:
    columns = min(len(panels), 3)
    rows = math.ceil(len(panels) / columns)
    figure = style.new_figure(max(3.6 * columns, 6.5), 3.0 * rows + 1.0)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (setting, runs) in zip(grid, panels.items(), strict=False):
        curves.method_curves(axes, runs, "mean_success")
        curves.success_axis(axes)
        axes.set_title(data.allocation_title(setting))
    for axes in grid[len(panels) :]:
        axes.remove()
    lines = [line for axes in grid[: len(panels)] for line in axes.get_lines()]
    style.heading(figure, title, lines, columns=2 if columns < 3 else 4)
    style.caption(figure, data.describe(panels.values()))
    return figure


def _task_panels(results_dir: Path, settings: Sequence[str]) -> Figure:
    (setting, runs), *_ = data.load(results_dir, SUITE, settings).items()
    task_names = next(iter(runs.values()))[0].config["task_names"]
    title = f"Metaworld, each task: {data.allocation_title(setting).lower()}"
    figure = style.new_figure(3.1 * len(task_names), 5.9)
    grid = figure.subplots(2, len(task_names), sharex=True, sharey="row")
    before = data.pretraining_counts(setting)
    for task, name in enumerate(task_names):
        success, demos = grid[:, task]
        success.set_title(name)
        for method, group in runs.items():
            rates = results.values(group, "success")[:, :, task]
            line = curves.method_line(method, rates.shape[1])
            curves.band_curve(success, rates, **line)
            counts = data.collected(group)[:, :, task]
            curves.band_curve(demos, counts, **(line | {"linestyle": "--"}))
        rounds = np.arange(counts.shape[1])
        demos.plot(
            rounds,
            np.full(len(rounds), before[task]),
            color=style.PRETRAINING_GREY,
            linewidth=4,
            zorder=1,
            label="Pre-training demonstrations (hidden from the methods)",
        )
        curves.round_axis(success, label=False)
        curves.round_axis(demos)
    curves.success_axis(grid[0, 0], "Single-task success rate")
    grid[1, 0].set_ylabel("Number of demonstrations")
    lines = [*grid[0, 0].get_lines(), grid[1, 0].get_lines()[-1]]
    style.heading(figure, title, lines, columns=3)
    style.caption(
        figure,
        f"Top: success. Bottom (dashed): demonstrations collected in fine-tuning. "
        f"{data.describe([runs])}",
    )
    return figure
