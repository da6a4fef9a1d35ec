"""What methods gain over the baseline, seed by seed: demonstrations, and area."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments import learning_curves, statistics
from experiments.comparisons import BASELINE_METHODS
from experiments.figures import style
from experiments.learning_curves import SharedLevel
from experiments.reading import Run
from experiments.runs import matched
from experiments.series import values
from experiments.statistics import Summary


class Lead(NamedTuple):
    """What a method gains over the baseline, over the seeds that both have.

    Attributes:
      method: its name.
      baseline: the name of the other.
      demos: that each of the two takes to a level that both reach.
      area: under its curve minus that of the baseline, per round.
      larger: seeds whose area is larger.
    """

    method: str
    baseline: str
    demos: SharedLevel
    area: Summary
    larger: int


def leads(runs: Mapping[str, Sequence[Run]], field: str) -> tuple[Lead, ...]:
    """Compares each method with the first baseline among them.

    Args:
      runs: of one suite and setting by method.
      field: of the records, a number: success or return.

    Returns:
      Of the methods beside the baseline that share a seed and the number of rounds with
      it, and whose curves have no gaps.
    """
    baseline = next((name for name in BASELINE_METHODS if name in runs), None)
    found = []
    for method in runs:
        if baseline is not None and method != baseline:
            pair = matched(runs[method], runs[baseline])
            if all(pair) and (lead := _lead(method, baseline, *pair, field)):
                found.append(lead)
    return tuple(found)


def _lead(
    method: str, baseline: str, ours: Sequence[Run], theirs: Sequence[Run], field: str
) -> Lead | None:
    x, y = values(ours, field), values(theirs, field)
    if x.shape != y.shape or np.isnan([x, y]).any():
        return None
    demos = np.arange(x.shape[1]) * ours[0].config["demos_per_round"] * ours[0].batch
    areas = learning_curves.area_under_curve([x, y])
    return Lead(
        method,
        baseline,
        learning_curves.demos_to_shared_level(x, y, demos),
        statistics.paired_difference(*areas),
        int((areas[0] > areas[1]).sum()),
    )


def sentence(lead: Lead) -> str:
    """The lead in words."""
    level, first, second, saved = lead.demos
    share = f"{100 * learning_curves.SHARE:.0f} %"
    return (
        f"To reach {level:.2f} ({share} of the way from round 0"
        f" to the lower end), {style.method_name(lead.method)} takes {first:g}"
        f" demonstrations, {style.method_name(lead.baseline)} {second:g}:"
        f" {signed(saved, '+.3g')} saved. Area {signed(lead.area)}, larger in"
        f" {lead.larger} of {style.seeds(lead.area.seeds)}."
    )


def signed(summary: Summary, form: str = "+.3f") -> str:
    """A difference with its interval, in that format.

    Example:
      >>> signed(Summary(np.array(0.0625), (np.array(0.0), np.array(0.125)), 8))
      '+0.062 [+0.000, +0.125]'
    """
    if summary.interval is None:
        return f"{summary.mean:{form}}"
    low, high = summary.interval
    return f"{summary.mean:{form}} [{low:{form}}, {high:{form}}]"
