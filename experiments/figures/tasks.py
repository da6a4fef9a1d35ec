"""Figures 13, 17 and 18: a panel per task."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from amf_jax.errors import ResultsError
from experiments.comparisons import Comparison
from experiments.figures import curves, data, style
from experiments.figures.data import Runs, Source
from experiments.series import per_task
from experiments.suites.base import SUCCESS, Suite

SINGLE_TASK = "Single-task success rate"


def draw_mismatch(source: Source, suite: Suite, comparison: Comparison) -> Figure:
    """Success and demonstrations of each task after skewed pre-training."""
    return _draw(source, suite, suite.mismatch[0], comparison)


def draw_even(source: Source, suite: Suite, comparison: Comparison) -> Figure:
    """Success and demonstrations of each task after uniform pre-training."""
    setting = data.first_present(source, suite, suite.even)
    return _draw(source, suite, setting, comparison)


def _draw(source: Source, suite: Suite, setting: str, comparison: Comparison) -> Figure:
    runs = data.load(source, suite, (setting,), comparison)[setting]
    names = task_names(runs, setting)
    figure = style.new_figure(3.1 * len(names), 5.9)
    grid = figure.subplots(2, len(names), sharex=True, sharey="row")
    before = data.pretraining_counts(setting)
    collected = {m: data.collected(group, len(names)) for m, group in runs.items()}
    success_of = {
        m: per_task(group, "success", len(names)) for m, group in runs.items()
    }
    for task, name in enumerate(names):
        success, demos = grid[:, task]
        success.set_title(name)
        for method in runs:
            rates = source.estimate.summarise(success_of[method][:, :, task])
            line = curves.method_line(method, runs, len(rates.mean))
            curves.band_curve(success, rates, **line)
            counts = source.estimate.summarise(collected[method][:, :, task])
            curves.band_curve(demos, counts, **(line | {"linestyle": "--"}))
        rounds = np.arange(len(counts.mean))
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
    _success_axis(grid[0, 0])
    grid[1, 0].set_ylabel("Number of demonstrations")
    lines = [*grid[0, 0].get_lines(), grid[1, 0].get_lines()[-1]]
    allocation = suite.setting_title(setting).lower()
    title = f"{suite.title}, each task: {allocation}"
    style.heading(figure, title, lines, columns=3)
    style.caption(
        figure,
        f"Top: success. Bottom (dashed): demonstrations collected in fine-tuning. "
        f"{data.describe([runs], source.estimate)}",
    )
    return figure


def draw_mixing(source: Source, suite: Suite) -> Figure:
    """Success and mixing weight of each task after skewed pre-training, for AMF."""
    setting = suite.mismatch[0]
    only_amf = Comparison("mixing weights", ("amf",))
    runs = data.load(source.alone(), suite, (setting,), only_amf)[setting]
    names = task_names(runs, setting)
    before = data.pretraining_counts(setting)
    success, mixing = (
        per_task(runs["amf"], field, len(names)) for field in ("success", "mixing")
    )
    if np.isnan(mixing).all():  # null throughout: no adaptive prior
        raise source.missing(f"{suite.name} {setting} amf with an adaptive prior")
    figure = style.new_figure(3.1 * len(names), 3.7)
    grid = figure.subplots(1, len(names), sharex=True, sharey=True, squeeze=False)[0]
    amf = style.METHODS["amf"]
    for task, (axes, name) in enumerate(zip(grid, names, strict=True)):
        for array, look in (
            (mixing, dict(color="0.45", linestyle="--", label="Mixing weight α")),
            (success, dict(color=amf.colour, marker=amf.marker, label="Success rate")),
        ):
            summary = source.estimate.summarise(array[:, :, task])
            curves.band_curve(axes, summary, markevery=4, **look)
        axes.set_title(f"{name}\n{before[task]} pre-training demonstrations")
        curves.round_axis(axes)
    _success_axis(grid[0], f"{SINGLE_TASK} and α")
    title = f"{suite.title}, {amf.name}: success and weight of the fine-tuned policy"
    style.heading(figure, title, grid[0].get_lines())
    style.caption(figure, data.describe([runs], source.estimate))
    return figure


def task_names(runs: Runs, setting: str) -> list[str]:
    """The names of the tasks, from the config of any run, as text of a figure.

    Raises:
      ResultsError: if there are more or fewer than the setting says.
    """
    config = next(iter(runs.values()))[0].config
    names = config["task_names"]
    if len(names) != len(data.pretraining_counts(setting)):
        raise ResultsError(
            f"{config['suite']} {setting}: its runs have {len(names)} tasks"
            f" ({', '.join(names)}), not one for each number of the setting"
        )
    return [name.replace("$", r"\$") for name in names]  # a pair would be mathematics


def _success_axis(axes: Axes, label: str = SINGLE_TASK) -> None:
    axes.set_ylabel(label)
    axes.set_ylim(SUCCESS.limits)
