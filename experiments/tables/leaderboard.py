"""One row per method, best first: the numbers that sum up a learning curve."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments import learning_curves, statistics
from experiments.comparisons import BASELINE_METHODS
from experiments.figures import style
from experiments.folders import Labelled, beside, method_of
from experiments.reading import Run
from experiments.series import side_by_side, values
from experiments.statistics import Summary
from experiments.tables.table import Table, cell

#: How far the threshold lies on the way from round 0 to the best method's last round.
THRESHOLD = 0.9

#: What some methods are told and active multi-task fine-tuning is not.
MORE_INFORMATION = {
    "rebalancing": "is told how many demonstrations of each task pre-training had",
    "learning_progress": "is told the success of evaluation rollouts after every round",
}

LEGEND = """\
Success (or return): mean over seeds after the last round. IQM: interquartile mean of
the success of all seeds × tasks after the last round, with a stratified bootstrap.
Area: under the curve over rounds, per round. Demos: collected in fine-tuning until the
curve first reaches the threshold in the heading, which lies 90 % of the way from the
mean at round 0 to the best mean after the last round in the same table; median over
seeds, ∞ where it never gets there. P(better): chance that a run has a larger area than
a run of the baseline in the heading, over all pairs of runs (Agarwal et al. 2021).
Brackets: 90 % bootstrap intervals over seeds. Ordered by area."""


class Standing(NamedTuple):
    """How one method did.

    Attributes:
      method: its name.
      seeds: how many finished runs went in.
      last: success or return after the last round.
      iqm: interquartile mean over seeds and tasks of the success after the last round;
        None for a suite that defines none.
      area: under the curve over rounds, per round.
      demos: demonstrations to the threshold, median over seeds.
      improvement: probability of a larger area than the baseline's; None for the
        baseline itself, or without one.
    """

    method: str
    seeds: int
    last: Summary
    iqm: Summary | None
    area: Summary
    demos: float
    improvement: Summary | None


class Leaderboard(NamedTuple):
    """The methods of one suite and setting, by descending area under the curve."""

    suite: str
    setting: str
    quantity: str
    rounds: int
    threshold: float
    baseline: str | None
    standings: tuple[Standing, ...]


def rank(runs: Mapping[str, Sequence[Run]]) -> Leaderboard:
    """Compares any number of methods by what sums up their curves.

    Args:
      runs: runs of one suite and setting by method, at least one each.

    Raises:
      ResultsError: if there is nothing to compare.
    """
    groups, field, curves = side_by_side(runs)
    first = next(iter(groups.values()))
    areas = {m: learning_curves.area_under_curve(curve) for m, curve in curves.items()}

    whole = [curve for curve in curves.values() if not np.isnan(curve).any()]
    start = np.mean([curve[:, 0].mean() for curve in whole]) if whole else np.nan
    best = max((curve[:, -1].mean() for curve in whole), default=np.nan)
    threshold = float(start + THRESHOLD * (best - start))
    baseline = next((b for b in BASELINE_METHODS if b in map(method_of, groups)), None)

    standings = []
    for method, group in groups.items():
        curve = curves[method]
        per_round = group[0].config["demos_per_round"] * group[0].batch
        demos = np.arange(curve.shape[1]) * per_round
        needed = learning_curves.demos_to_threshold(curve, demos, threshold)
        per_task = values(group, "success")
        reference = baseline and beside(method, baseline)
        standings.append(
            Standing(
                method,
                len(group),
                statistics.summarise(curve[:, -1]),
                statistics.summarise_iqm(per_task[:, -1])
                if per_task.ndim == 3
                else None,
                statistics.summarise(areas[method]),
                float(np.median(needed)),
                statistics.probability_of_improvement(areas[method], areas[reference])
                if reference in groups and reference != method
                else None,
            )
        )
    standings.sort(key=lambda standing: -np.nan_to_num(standing.area.mean, nan=-np.inf))
    config = first[0].config
    return Leaderboard(
        config["suite"],
        str(config["setting"]),
        "return" if field == "return" else "success",
        max(curve.shape[1] for curve in curves.values()) - 1,
        threshold,
        baseline,
        tuple(standings),
    )


def leaderboard(board: Leaderboard) -> Table:
    """The ranking as text; `LEGEND` says what the columns are."""
    iqm = any(standing.iqm for standing in board.standings)
    several = any(isinstance(s.method, Labelled) for s in board.standings)
    headings = ["Method"] + ["Folder"] * several
    headings += ["Seeds", f"{board.quantity.capitalize()}"]
    headings += ["IQM"] * iqm + ["Area", f"Demos to {board.threshold:.2f}"]
    if board.baseline:
        headings.append(f"P(better than {style.method_name(board.baseline)})")
    marks = dict(
        zip(
            dict.fromkeys(
                method_of(s.method)
                for s in board.standings
                if method_of(s.method) in MORE_INFORMATION
            ),
            "†‡",
            strict=False,
        )
    )
    rows = []
    for standing in board.standings:
        method = method_of(standing.method)
        row = [f"{style.method_name(method)} {marks.get(method, '')}"]
        row += [getattr(standing.method, "label", "")] * several
        row += [str(standing.seeds), cell(standing.last)]
        row += [cell(standing.iqm)] * iqm
        row += [cell(standing.area), _count(standing.demos)]
        row += [cell(standing.improvement)] * (board.baseline is not None)
        rows.append(tuple(text.strip() for text in row))
    return Table(
        title=f"{board.suite} {board.setting}, {board.rounds} rounds",
        columns=tuple(headings),
        rows=tuple(rows),
        notes=tuple(
            f"{mark} {style.method_name(method)} {MORE_INFORMATION[method]}: more than"
            " active multi-task fine-tuning knows."
            for method, mark in marks.items()
        ),
    )


def to_csv(boards: Iterable[Leaderboard]) -> str:
    """All rankings as one table of plain numbers; empty where undefined.

    A column `folder` is there where several are compared. The last column says of each
    method whether it is among `MORE_INFORMATION`.
    """
    boards = list(boards)
    several = any(isinstance(s.method, Labelled) for b in boards for s in b.standings)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    summaries = ("last", "iqm", "area", "improvement")
    names = ["suite", "setting", "quantity", "rounds"]
    names += [*["folder"] * several, "method", "seeds"]
    for name in summaries:
        names += [name, f"{name}_low", f"{name}_high"]
    names += ["threshold", "demos_to_threshold", "baseline", "told_more"]
    writer.writerow(names)
    for board in boards:
        for standing in board.standings:
            row = [board.suite, board.setting, board.quantity, board.rounds]
            method = method_of(standing.method)
            row += [getattr(standing.method, "label", "")] * several
            row += [method, standing.seeds]
            for name in summaries:
                row += _numbers(getattr(standing, name))
            row += [f"{board.threshold:.6g}", standing.demos, board.baseline]
            row.append("yes" if method in MORE_INFORMATION else "no")
            writer.writerow(row)
    return text.getvalue()


def _numbers(summary: Summary | None) -> list[str]:
    if summary is None:
        return ["", "", ""]
    return [f"{end:.6g}" for end in (summary.mean, *(summary.interval or ()))] + (
        ["", ""] if summary.interval is None else []
    )


def _count(demos: float) -> str:
    """A median: whole, half, never, or undefined."""
    if np.isnan(demos):
        return "–"
    return "∞" if np.isinf(demos) else f"{demos:g}"
