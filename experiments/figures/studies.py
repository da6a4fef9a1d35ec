"""Figures 3, 19 and 21: single looks at the integrator, from study files."""

from collections.abc import Sequence

import matplotlib.colors
import numpy as np
import scipy.stats
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from amf_jax.errors import ResultsError
from experiments.figures import curves, data, style
from experiments.figures.data import Source

#: Concentration of the smoothing kernel of figure 21, a width of about 15 degrees.
SMOOTHING = 15.0


def draw_figure3(source: Source) -> Figure:
    """Trajectories of the expert and of the policy towards goals on a circle."""
    run = data.load_study(source, "figure3")[0]
    panels: dict[tuple[str, int], list[dict]] = {}
    for record in run.records:
        panels.setdefault((record["kind"], record["round"]), []).append(record)
    order = sorted(panels, key=lambda panel: (panel[0] != "expert", panel[1]))
    figure = style.new_figure(3.3 * len(order), 4.4, layout="compressed")
    figure.suptitle("2-D integrator: trajectories")
    grid = figure.subplots(1, len(order), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (kind, number) in zip(grid, order, strict=True):
        _draw_trajectories(axes, panels[kind, number])
        expert = kind == "expert"
        axes.set_title("Expert" if expert else f"Policy, round {number}")
    grid[0].set_ylabel("Position y")
    style.caption(figure, f"Stars: goals of the tasks. Seed {run.seed}.")
    return figure


def _draw_trajectories(axes: Axes, records: Sequence[dict]) -> None:
    radius = max(np.hypot(*record["task"]) for record in records)
    turn = np.linspace(0.0, 2 * np.pi, 200)
    axes.plot(
        radius * np.cos(turn),
        radius * np.sin(turn),
        color="#bbbbbb",
        linewidth=0.8,
        linestyle=":",
        label="_circle",
    )
    for record in records:
        x, y = np.array(record["states"], dtype=float).T
        goal = record["task"]
        hue = (np.arctan2(goal[1], goal[0]) / (2 * np.pi)) % 1.0
        colour = matplotlib.colors.hsv_to_rgb((hue, 0.85, 0.75))
        axes.plot(x, y, color=colour, marker=".", linewidth=1.3)
        axes.plot(*goal, color=colour, marker="*", markersize=9, label="_goal")
    axes.plot(0, 0, color="black", marker="+", markersize=7, label="_start")
    axes.set_aspect("equal")
    axes.set_xlabel("Position x")


def draw_figure19(source: Source) -> Figure:
    """Importance weights of four demonstrations over all tasks, as rounds go by."""
    run = data.load_study(source, "figure19")[0]
    figure = style.new_figure(3.7 * len(run.records), 3.7)
    grid = figure.subplots(1, len(run.records), sharey=True, squeeze=False)[0]
    for axes, record in zip(grid, run.records, strict=True):
        colours = style.task_colours(len(record["weights"]))
        looks = zip(record["weights"], record["demo_angles"], colours, strict=True)
        for index, (weights, angle, colour) in enumerate(looks):
            dashes = ("-", "--", "-.", ":")[index % 4]
            axes.plot(
                record["angles"],
                np.array(weights, dtype=float),
                color=colour,
                linestyle=dashes,
                label=f"Demonstration {index + 1}",
            )
            axes.axvline(angle, color=colour, linestyle="--", linewidth=0.9)
        axes.set_title(f"Round {record['round']}")
        _angle_axis(axes, record["angles"])
        axes.set_xlabel("Task c', angle on the circle (rad)")
    grid[0].set_ylabel("Importance weight w(τ, c')")
    lines = [line for line in grid[0].get_lines() if line.get_label()[0] != "_"]
    style.heading(figure, "2-D integrator: importance weights", lines)
    style.caption(
        figure, f"Dashed verticals: the task each demonstration shows. Seed {run.seed}."
    )
    return figure


def draw_figure21(source: Source) -> Figure:
    """Pre-training distribution, criterion and return after fine-tuning, per task."""
    runs = data.load_study(source, "figure21")
    records = [run.records[0] for run in runs]
    angles = np.array(records[0]["angles"])
    if any(record["angles"] != records[0]["angles"] for record in records):
        raise ResultsError("study_figure21: the seeds do not share their task angles")
    figure = style.new_figure(6.0, 6.8)
    figure.suptitle("2-D integrator: criterion and return")
    density, criterion, returns = figure.subplots(3, 1, sharex=True)
    shown = np.concatenate([record["pretraining_angles"] for record in records])
    kernels = scipy.stats.vonmises.pdf(angles[:, None] - shown[None], SMOOTHING)
    density.fill_between(angles, kernels.mean(axis=1), color=style.PRETRAINING_GREY)
    density.plot(angles, kernels.mean(axis=1), color="#555555")
    rug = (shown - angles[0]) % (2 * np.pi) + angles[0]
    opacity = len(records) ** -0.5  # the marks of many seeds lie on each other
    density.plot(
        rug, np.zeros(len(rug)), "|", color="black", markersize=8, alpha=opacity
    )
    density.set_ylim(0, None)
    density.set_ylabel("Density (1/rad)")
    density.set_title("Pre-training demonstrations")
    for axes, field, label, title in (
        (
            criterion,
            "criterion",
            "Summed entropy (nats)",
            "Criterion: expected posterior entropy",
        ),
        (
            returns,
            "return",
            "Average return",
            "Return after one demonstration of the task",
        ),
    ):
        summary = source.estimate.summarise(
            np.array([record[field] for record in records], dtype=float)
        )
        colour = style.METHODS["amf"].colour
        axes.plot(angles, summary.mean, color=colour)
        curves.band(axes, angles, summary, colour)
        axes.set_ylabel(label)
        axes.set_title(title)
    _angle_axis(returns, angles)
    returns.set_xlabel("Task, angle on the circle (rad)")
    figure.align_ylabels()
    style.caption(figure, data.describe([{"study": runs}], source.estimate))
    return figure


def _angle_axis(axes: Axes, angles: Sequence[float] | np.ndarray) -> None:
    """Ticks at multiples of a quarter turn."""
    low, high = min(angles), max(angles)
    halves = range(
        int(np.ceil(low / np.pi - 0.01)), int(np.floor(high / np.pi + 0.05)) + 1
    )
    names = {0: "0", 1: "π", -1: "−π"}
    axes.set_xticks(
        [k * np.pi for k in halves], [names.get(k, f"{k}π") for k in halves]
    )
    axes.margins(x=0.02)
