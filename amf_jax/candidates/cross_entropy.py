"""Cross-entropy search: a Gaussian that closes in on the best tasks so far."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from amf_jax import ranges
from amf_jax.candidates.base import Optimiser, unlisted
from amf_jax.candidates.space import TaskSpace, check_space, tasks_near, widths


class _Gaussian(NamedTuple):
    """Independent coordinates, of which a generation is drawn."""

    mean: Float[Array, "1 D"]
    deviation: Float[Array, "1 D"]


def cross_entropy(
    space: TaskSpace,
    budget: int = 100,
    *,
    generations: int = 3,
    elite_share: float = 0.25,
    least_deviation: float = 0.01,
) -> Optimiser:
    """Draws each generation around the best of the one before (Rubinstein, 1999).

    The first generation is drawn at random. Its elite, the best share, gives the mean
    and the deviation of each coordinate of the Gaussian that the next is drawn from;
    draws are moved into the task space.

    Args:
      space: of the tasks.
      budget: evaluations of the objective per selection. The generations are equally
        large; what cannot be shared out evenly goes to the first.
      generations: how many, the first included.
      elite_share: of a generation; at least two candidates.
      least_deviation: floor of the Gaussian's deviations, as a share of the box, which
        keeps the search from ending early.

    Returns:
      An optimiser, which returns the candidates of all generations.

    Raises:
      InvalidArgumentError: for arguments out of range, or a budget of less than two
        candidates per generation.

    References:
      R. Rubinstein. The Cross-Entropy Method for Combinatorial and Continuous
      Optimization. Methodology and Computing in Applied Probability, 1999.
    """
    check_space(space)
    ranges.check("generations", generations, ranges.at_least(2))
    ranges.check("budget", budget, ranges.at_least(2 * generations))
    ranges.check("elite_share", elite_share, ranges.SHARE_OF_SOME)
    ranges.check("least_deviation", least_deviation, ranges.NOT_NEGATIVE)
    size = budget // generations
    first = budget - (generations - 1) * size

    def closing_in(tasks: Float[Array, "K D"], scores: Float[Array, " K"]) -> _Gaussian:
        _, rows = jax.lax.top_k(scores, max(2, round(elite_share * scores.size)))
        elite = tasks[rows]
        floor = least_deviation * widths(space, tasks)
        deviation = jnp.maximum(elite.std(axis=0, keepdims=True), floor)
        return _Gaussian(elite.mean(axis=0, keepdims=True), deviation)

    def optimise(key, objective, tasks):
        first_key, later_key = jax.random.split(key)
        drawn = space.sample(first_key, first).astype(tasks.dtype)
        drawn = tasks_near(space, drawn)
        scores = objective(unlisted(drawn))

        def generation(around: _Gaussian, index):
            key = jax.random.fold_in(later_key, index)
            noise = jax.random.normal(key, (size, tasks.shape[1]), tasks.dtype)
            new = tasks_near(space, around.mean + noise * around.deviation)
            values = objective(unlisted(new))
            return closing_in(new, values), (new, values)

        start, indices = closing_in(drawn, scores), jnp.arange(generations - 1)
        _, later = jax.lax.scan(generation, start, indices)
        found = jnp.concatenate([drawn, later[0].reshape(-1, tasks.shape[1])])
        return unlisted(found), jnp.concatenate([scores, later[1].ravel()])

    return optimise
