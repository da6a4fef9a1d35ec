"""Figure 20: importance weights between tasks."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from amf_jax.errors import ResultsError
from experiments.comparisons import Comparison
from experiments.figures import data, style
from experiments.figures.data import Source
from experiments.figures.tasks import task_names
from experiments.reading import Run
from experiments.series import asked_indices
from experiments.suites.base import Suite

LATER_ROUNDS = (10, 20)


def draw(source: Source, suite: Suite) -> Figure:
    """Importance weights between tasks at the first active round, 10 and 20.

    Rounds with the same numbers share a panel.
    """
    setting = suite.mismatch[0]
    only_amf = Comparison("importance weights", ("amf",))
    by_method = data.load(source.alone(), suite, (setting,), only_amf)[setting]
    runs = by_method["amf"]
    active = set.intersection(*(set(_active_rounds(run)) for run in runs))
    if not active:
        raise source.missing(f"{suite.name} {setting} amf with importance weights")
    rounds = sorted({min(active), *active.intersection(LATER_ROUNDS)})
    names = task_names(by_method, setting)
    panels = _panels(runs, rounds, len(names))
    allocation = suite.setting_title(setting).lower()
    title = f"{suite.title}, AMF: importance weights, {allocation}"
    width = max(3.5 * len(panels) + 1.2, 6.0)
    figure = style.new_figure(width, 4.6, layout="compressed")
    figure.suptitle(title)
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, matrix) in zip(grid, panels.items(), strict=True):
        axes.set_facecolor(
            style.PRETRAINING_GREY
        )  # shows through where there is no demo
        image = axes.imshow(matrix, vmin=0.0, vmax=1.0, cmap="cividis")
        for (row, column), weight in np.ndenumerate(matrix):
            known = np.isfinite(weight)
            axes.text(
                column,
                row,
                f"{weight:.2f}" if known else "no\ndemo",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if known and weight < 0.6 else "black",
            )
        axes.set_title(title)
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
        axes.grid(visible=False)
        axes.set_xlabel("Task demonstrated")
    grid[0].set_yticks(range(len(names)), names)
    grid[0].set_ylabel("Task estimated")
    figure.colorbar(image, ax=grid, label="Mean weight, rows sum to 1", shrink=0.8)
    style.caption(
        figure,
        f"Mean over {style.seeds(len(runs))} of the weights used to choose that round."
        "\nRounds with the same numbers share a panel.",
    )
    return figure


def _panels(
    runs: list[Run], rounds: Sequence[int], tasks: int
) -> dict[str, np.ndarray]:
    """Matrices by the rounds that they are of, in words.

    Once the weights tell tasks apart for certain, a matrix says the same every round.
    """
    matrices = {number: mean_matrix(runs, number, tasks) for number in rounds}
    alike: list[list[int]] = []
    for number, matrix in matrices.items():
        same = alike and np.allclose(
            matrix, matrices[alike[-1][0]], rtol=0.0, atol=0.005, equal_nan=True
        )
        if same:
            alike[-1].append(number)
        else:
            alike.append([number])
    titles = [
        f"Round{'s' * (len(group) > 1)} {', '.join(map(str, group))}" for group in alike
    ]
    firsts = [matrices[group[0]] for group in alike]
    return dict(zip(titles, firsts, strict=True))


def _active_rounds(run: Run) -> list[int]:
    """Rounds in which the selector computed weights."""
    return [
        record["round"]
        for record in run.records
        if record.get("importance_weights") is not None
        and any(w is not None for row in record["importance_weights"] for w in row)
    ]


def task_matrix(run: Run, number: int, tasks: int) -> np.ndarray:
    """Mean weight of the demonstrations of each task in the estimate of each task.

    Args:
      run: a run with `importance_weights`.
      number: the round whose choice used the weights: the demonstrations at hand are
        those of the rounds before it, and further columns are padding.
      tasks: number C of tasks.

    Returns:
      `[C, C]`: row i the task estimated, column j the task demonstrated; NaN where
      task j had no demonstration yet.

    Raises:
      ResultsError: if there are fewer columns than demonstrations.
    """
    weights = np.array(run.records[number]["importance_weights"], dtype=float)
    per_round = run.config.get("demos_per_round", 1)
    shown = np.repeat(asked_indices([run], 1, number)[0], per_round)
    if weights.shape[1] < len(shown):
        raise ResultsError(
            f"seed {run.seed}, round {number}: importance_weights has "
            f"{weights.shape[1]} columns for {len(shown)} demonstrations"
        )
    weights = weights[:, : len(shown)]
    matrix = np.full((tasks, tasks), np.nan)
    for task in set(shown.tolist()):
        matrix[:, task] = weights[:, shown == task].mean(axis=1)
    return matrix


def mean_matrix(runs: list[Run], number: int, tasks: int) -> np.ndarray:
    """`task_matrix` averaged over the seeds that have an entry; rows sum to 1."""
    stacked = np.stack([task_matrix(run, number, tasks) for run in runs])
    seeds = np.isfinite(stacked).sum(axis=0)
    mean = np.where(
        seeds > 0, np.nansum(stacked, axis=0) / np.maximum(seeds, 1), np.nan
    )
    return mean / np.nansum(mean, axis=1, keepdims=True)
