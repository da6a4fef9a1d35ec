"""What a curve shows of the seeds: their mean, or their interquartile mean."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from experiments import learning_curves, statistics
from experiments.reading import Run
from experiments.runs import matched
from experiments.series import per_task, values
from experiments.statistics import Summary


class Estimate(NamedTuple):
    """A way to summarise runs.

    Attributes:
      centre: what curves show, for captions.
      bootstrap: what their intervals come from, for captions.
      summarise: from `[seeds, points]`, or `[seeds, points, tasks]` where the tasks are
        averaged too, to a summary of `[points]`.
    """

    centre: str
    bootstrap: str
    summarise: Callable[[np.ndarray], Summary]

    def curve(
        self, runs: Sequence[Run], field: str, tasks: np.ndarray | None = None
    ) -> Summary:
        """A field against the round, `[rounds]`, of all tasks or those in a mask."""
        if tasks is None:
            return self.summarise(values(runs, field))
        return self.summarise(per_task(runs, field, len(tasks))[:, :, tasks])

    def lead(
        self, first: Sequence[Run], second: Sequence[Run], field: str
    ) -> Summary | None:
        """The area under the curve of the first minus that of the second, `[1]`.

        Paired by seed, as the report's verdicts are, and per round; None without a seed
        that both have.
        """
        pair = matched(first, second)
        if not all(pair):
            return None
        ours, theirs = (
            learning_curves.area_under_curve(np.moveaxis(values(runs, field), 1, -1))
            for runs in pair
        )
        return self.summarise((ours - theirs)[:, None])


def _mean(array: np.ndarray) -> Summary:
    return statistics.summarise(array if array.ndim == 2 else array.mean(axis=2))


def _iqm(array: np.ndarray) -> Summary:
    strata = array[:, :, None] if array.ndim == 2 else array
    return statistics.summarise_iqm(strata)


#: The paper's choice (appendix M).
MEAN = Estimate("Mean", "bootstrap", _mean)

#: Agarwal et al. (2021): robust to single runs and tasks; tasks are the strata.
IQM = Estimate("Interquartile mean", "stratified bootstrap", _iqm)
