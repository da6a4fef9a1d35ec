"""Value of the best task that a search finds against its cost, from study files."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    NullLocator,
    PercentFormatter,
    ScalarFormatter,
)

from amf_jax.errors import ResultsError
from experiments.figures import curves, data, style
from experiments.figures.data import Source
from experiments.figures.style import Look
from experiments.reading import Run
from experiments.statistics import Summary

LOOKS = {
    "random_shooting": Look("Random shooting (the paper's)", "#666666", "D", ":"),
    "gradient_refinement": Look("… refined by gradients", "#0b3d91", "o", "-"),
    "cross_entropy": Look("Cross-entropy search", "#e8790c", "s", "-."),
}


def draw_search(source: Source) -> Figure:
    """What the best task found falls short of the best there is, by cost."""
    runs = data.load_study(source, "search")
    figure = style.new_figure(8.0, 4.2)
    by_count, by_time = figure.subplots(1, 2, sharey=True)
    for search, look in LOOKS.items():
        missed, cost, seconds = (
            _by_round_and_budget(runs, search, field)
            for field in ("shortfall", "evaluations", "seconds")
        )
        summary = source.estimate.summarise(missed.mean(axis=1))
        # Of a time, the least is what the others' noise is on top of.
        for axes, x in (
            (by_count, cost),
            (by_time, seconds.min(axis=0, keepdims=True)),
        ):
            _draw(axes, x.mean(axis=(0, 1)), summary, look)
    by_count.set_xlabel("Evaluations of the criterion per selection")
    by_time.set_xlabel("Processor time of a selection (ms)")
    by_count.set_title("By evaluations")
    by_time.set_title("By time")
    by_count.set_ylabel("Shortfall of the best task found")
    by_count.yaxis.set_major_formatter(PercentFormatter(1.0))
    counts = sorted({r["evaluations"] for run in runs for r in run.records})
    by_count.set_xticks(counts)
    by_count.xaxis.set_major_formatter(ScalarFormatter())
    by_count.xaxis.set_minor_locator(NullLocator())
    by_time.xaxis.set_major_locator(LogLocator(base=2))
    by_time.xaxis.set_major_formatter(FuncFormatter(lambda s, _: f"{1e3 * s:.3g}"))
    by_time.xaxis.set_minor_locator(NullLocator())
    title = "2-D integrator: searching the circle"
    style.heading(figure, title, by_count.get_lines())
    rounds = sorted({r["round"] for run in runs for r in run.records})
    style.caption(
        figure,
        "100 %: as good as an average task; 0 %: as good as the best of a fine grid."
        f" Selections of rounds {', '.join(map(str, rounds))}.\n"
        f"{data.describe([{'study': runs}], source.estimate)}",
    )
    return figure


def _draw(axes: Axes, x: np.ndarray, summary: Summary, look: Look) -> None:
    axes.plot(
        x,
        summary.mean,
        color=look.colour,
        marker=look.marker,
        linestyle=look.dashes,
        label=look.name,
    )
    curves.band(axes, x, summary, look.colour)
    axes.set(xscale="log", yscale="log")


def _by_round_and_budget(runs: Sequence[Run], search: str, field: str) -> np.ndarray:
    """A field, averaged over draws, as `[seeds, rounds, budgets]`."""
    table = []
    for run in runs:
        records = [record for record in run.records if record["search"] == search]
        rounds = sorted({record["round"] for record in records})
        found = {
            (record["round"], record["evaluations"]): np.mean(
                np.array(record[field], dtype=float)
            )
            for record in records
        }
        budgets = sorted({record["evaluations"] for record in records})
        if len(found) != len(rounds) * len(budgets):
            raise ResultsError(
                f"study_search, seed {run.seed}: not every round has a record of"
                f" {search} with every number of evaluations"
            )
        table.append(
            [[found[number, budget] for budget in budgets] for number in rounds]
        )
    if len({(len(rows), *map(len, rows)) for rows in table}) > 1 or not table[0]:
        raise ResultsError(
            f"study_search: the seeds do not share the rounds and budgets of {search}"
        )
    return np.array(table, float)
