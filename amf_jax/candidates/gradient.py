"""Gradient refinement: the best of some random tasks climb the objective."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from amf_jax import ranges
from amf_jax.candidates.base import Objective, Optimiser, unlisted
from amf_jax.candidates.space import TaskSpace, check_space, tasks_near, widths


class _Climb(NamedTuple):
    """Where an ascent is, and the best of where it has been."""

    tasks: Float[Array, "R D"]
    momentum: optax.OptState
    best: Float[Array, "R D"]
    scores: Float[Array, " R"]


def gradient_refinement(
    space: TaskSpace,
    budget: int = 100,
    *,
    refined: int = 2,
    steps: int = 4,
    learning_rate: float = 0.03,
) -> Optimiser:
    """Random shooting whose best candidates climb the objective (Adam).

    The derivative is taken forwards, direction by direction (`value_and_slope`): loops
    whose length is only known at run time have no reverse derivative. Adam's steps
    shrink linearly to 0, every step ends in the task space, and each climb returns the
    best point it passed: never worse than its start.

    In evaluations of the objective a derivative in one direction counts as one (a
    finite difference would take as many), so that a climb costs

        steps (1 + D) + 1

    and all climbs and the random candidates together exactly `budget`.

    Args:
      space: of the tasks, D wide.
      budget: evaluations of the objective per selection; what the climbs leave over
        values random candidates.
      refined: how many of these climb.
      steps: of each climb.
      learning_rate: first step of each coordinate, about, as a share of the box.

    Returns:
      An optimiser. It returns all random candidates, those that climbed where they were
      best. A point whose value is NaN is never taken for better.

    Raises:
      InvalidArgumentError: for arguments out of range, or a budget that leaves fewer
        random candidates than are to climb.
    """
    width = check_space(space)
    ranges.check("refined", refined, ranges.COUNT)
    ranges.check("steps", steps, ranges.COUNT)
    ranges.check("learning_rate", learning_rate, ranges.POSITIVE)
    climbs = refined * (steps * (1 + width) + 1)
    ranges.check("budget", budget, ranges.at_least(climbs + refined))
    ascent = optax.adam(optax.linear_schedule(learning_rate, 0.0, steps))

    def climb(objective: Objective, start, scores):
        edges = widths(space, start)

        def passed(state: _Climb, values) -> _Climb:
            better = values > state.scores
            return state._replace(
                best=jnp.where(better[:, None], state.tasks, state.best),
                scores=jnp.where(better, values, state.scores),
            )

        def step(state: _Climb, _):
            def along_tasks(points):
                return objective(unlisted(space.project(points)))

            values, slope = value_and_slope(along_tasks, state.tasks)
            state = passed(state, values)
            move, momentum = ascent.update(-slope * edges, state.momentum)
            tasks = tasks_near(space, state.tasks + move * edges)
            return state._replace(tasks=tasks, momentum=momentum), None

        state = _Climb(start, ascent.init(start), start, scores)
        state, _ = jax.lax.scan(step, state, length=steps)
        state = passed(state, objective(unlisted(state.tasks)))
        return state.best, state.scores

    def optimise(key, objective, tasks):
        drawn = space.sample(key, budget - climbs).astype(tasks.dtype)
        drawn = tasks_near(space, drawn)
        scores = objective(unlisted(drawn))
        highest, rows = jax.lax.top_k(scores, refined)
        best, highest = climb(objective, drawn[rows], highest)
        return unlisted(drawn.at[rows].set(best)), scores.at[rows].set(highest)

    return optimise


def value_and_slope(
    function, points: Float[Array, "K D"]
) -> tuple[Float[Array, " K"], Float[Array, "K D"]]:
    """Values `[K]` of a function of points one by one, and their derivatives.

    By forward differentiation, all points at once: D directions cost D derivatives
    whatever K is. Of an objective of `selectors.amf`, what is computed at these very
    points is differentiated. Where that is made of pieces, it is the piece that a point
    lies in: the sum over the pairs that `weight_tolerance` keeps, log-likelihoods that
    `likelihood_clip` does not cut (others have no slope), variances above their floors,
    and factors with as many rungs of jitter as they needed.

    Args:
      function: `(points [K, D]) -> [K]`; row k of the result depends on point k alone.
      points: where.

    Example:
      >>> square = lambda points: (points**2).sum(axis=1)
      >>> print(*value_and_slope(square, jnp.array([[1.0, 3.0]])))
      [10.] [[2. 6.]]
    """

    def along(direction):
        tangent = jnp.broadcast_to(direction, points.shape)
        return jax.jvp(function, (points,), (tangent,))

    directions = jnp.eye(points.shape[1], dtype=points.dtype)[:, None]
    values, slopes = jax.vmap(along)(directions)
    return values[0], slopes.T
