"""Random shooting: the best of some tasks drawn at random."""

from collections.abc import Callable

from amf_jax import ranges
from amf_jax.candidates.base import Optimiser, unlisted


def random_shooting(sample_tasks: Callable, budget: int = 100) -> Optimiser:
    """Values `budget` tasks drawn at random (appendix M.2), for continuous task spaces.

    Args:
      sample_tasks: `(key, count) -> [count, D]`, draws from the task space.
      budget: number of candidates per selection, which is its cost in evaluations of
        the objective.

    Raises:
      InvalidArgumentError: for a budget below 1.
    """
    ranges.check("budget", budget, ranges.COUNT)

    def optimise(key, objective, tasks):
        candidates = unlisted(sample_tasks(key, budget).astype(tasks.dtype))
        return candidates, objective(candidates)

    return optimise
