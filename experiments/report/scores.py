"""Numbers of a run that claims are about, and the comparison of two methods by them."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments import learning_curves, statistics
from experiments.reading import Run
from experiments.report.rule import Verdict
from experiments.runs import matched
from experiments.series import asked_indices, per_task, score, values
from experiments.statistics import Summary

#: Finished runs by method, by (suite, setting), as `runs.collect_all` gives them.
Evidence = Mapping[tuple[str, str], Mapping[str, Sequence[Run]]]

#: One number per run, `[seeds]`.
Score = Callable[[Sequence[Run]], np.ndarray]


class Finding(NamedTuple):
    """One line of evidence for a claim.

    Attributes:
      statement: what is asserted or measured.
      suite: where.
      setting: where, within the suite.
      summary: the number; None if a run that it needs is missing.
      verdict: by the rule; None for a number that is only shown.
      agreeing: how many seeds have a positive difference; None where that is no
        question.
    """

    statement: str
    suite: str
    setting: str
    summary: Summary | None
    verdict: Verdict | None
    agreeing: int | None = None


def area(runs: Sequence[Run]) -> np.ndarray:
    """Area under the curve of success, or return, per round."""
    return learning_curves.area_under_curve(values(runs, score(runs)))


def retained(runs: Sequence[Run]) -> np.ndarray:
    """Success after the last round minus before fine-tuning, on what was known before.

    The mean over the tasks that pre-training showed: what has been forgotten, where it
    is negative.
    """
    shown = np.array(runs[0].config["allocation"]) > 0
    success = per_task(runs, "success", len(shown))[:, :, shown].mean(axis=-1)
    return success[:, -1] - success[:, 0]


def share_of_missing(runs: Sequence[Run]) -> np.ndarray:
    """Share of the choices after the warm start that ask for what was missing."""
    config = runs[0].config
    missing = np.array(config["allocation"]) == 0
    warm_rounds = -(-config["warm_start_rounds"] // runs[0].batch)
    return missing[asked_indices(runs, 1 + warm_rounds)].mean(axis=-1)


def of_both(
    evidence: Evidence,
    place: tuple[str, str],
    first: str,
    second: str,
    by: Score = area,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Scores of two methods, each `[seeds that both have]`; None if there are none."""
    here = evidence.get(place, {})
    if first not in here or second not in here:
        return None
    one, other = matched(here[first], here[second])
    return (by(one), by(other)) if one else None


def compared(
    evidence: Evidence,
    place: tuple[str, str],
    statement: str,
    first: str,
    second: str,
    judge: Callable[[Summary | None], Verdict] | None,
    by: Score = area,
) -> Finding:
    """The finding about the paired difference of two methods.

    Args:
      evidence: all runs.
      place: suite and setting.
      statement: what is asserted of the difference.
      first: the method whose score counts positively.
      second: the method whose score is subtracted.
      judge: the rule; None to show the number only.
      by: the score.
    """
    both = of_both(evidence, place, first, second, by)
    summary = None if both is None else statistics.paired_difference(*both)
    return Finding(
        statement,
        *place,
        summary,
        None if judge is None else judge(summary),
        None if both is None else int((both[0] > both[1]).sum()),
    )


def measured(
    evidence: Evidence,
    place: tuple[str, str],
    statement: str,
    method: str,
    judge: Callable[[Summary | None], Verdict] | None,
    by: Score,
) -> Finding:
    """The finding about a score of one method; arguments as for `compared`."""
    runs = evidence.get(place, {}).get(method)
    summary = statistics.summarise(by(runs)) if runs else None
    return Finding(
        statement, *place, summary, None if judge is None else judge(summary)
    )
