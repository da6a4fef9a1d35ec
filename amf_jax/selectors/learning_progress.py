"""Learning progress: the tasks whose success changes, from evaluation rollouts."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from amf_jax import errors, ranges
from amf_jax.selectors.base import Choice, Context, Selector


class ProgressInfo(NamedTuple):
    """Diagnostics: how fast the success of each task has been changing, `g`."""

    scores: Float[Array, " C"]

    def failure(self, task_names: tuple[str, ...] | None) -> errors.SelectionError:
        """Why there is no choice."""
        del task_names
        return errors.SelectionError(
            "evaluations hold no success to choose by: evaluate must return 'success',"
            " one finite number per task, in at least one round"
        )


def learning_progress(exploration: float = 0.1, window: int = 5) -> Selector:
    """Draws tasks in proportion to how fast their success has been changing.

    A baseline with *more information than active fine-tuning has*: it sees the success
    rates of evaluation rollouts, which on a robot cost far more than demonstrations.

    The absolute learning progress of task c is the slope of a least-squares line
    through its success in the last `window` evaluated rounds,

        p(c) = exploration / C + (1 - exploration) g(c) / sum_c' g(c'),
        g(c) = mu(c) |slope(c)|,

    and p is uniform where no success has changed, as after a single evaluation.
    Everything is fine-tuned and evaluated in every round, so that progress is the
    change of a task's success *whatever was demonstrated meanwhile*: by its own
    demonstrations, by transfer from others or, downwards, by forgetting. The absolute
    value makes forgotten tasks worth another visit. Weights `mu` count because the goal
    is the weighted mean of success; the exploration share is uniform.

    Args:
      exploration: share of uniform draws, in [0, 1].
      window: evaluated rounds that the slope looks back on, at least 2.

    Returns:
      A selector without state; its scores are `g`. A round counts as evaluated if
      `context.evaluations` is finite for every task. If none is, the selection is
      marked invalid (see `check_choice`).

    Raises:
      InvalidArgumentError: when built, for arguments out of range; in `init`, if
        `context.evaluations` is None.

    References:
      Matiisen et al. (2017), Teacher-Student Curriculum Learning, arXiv:1707.00183: the
      slope over a window, and its absolute value. Graves et al. (2017), Automated
      Curriculum Learning for Neural Networks, arXiv:1704.03003. Portelas et al. (2019),
      Teacher Algorithms for Curriculum Learning of Deep RL in Continuously
      Parameterized Environments, arXiv:1910.07224: draws in proportion to absolute
      progress, with a share of random ones.
    """
    ranges.check("exploration", exploration, ranges.SHARE)
    ranges.check("window", window, ranges.at_least(2))  # a slope needs two

    def init(context: Context, history=None):
        del history
        if context.evaluations is None:
            raise errors.InvalidArgumentError(
                "learning_progress needs context.evaluations, the success of each task"
                " after each round, which is None: give the driver an evaluate that"
                " reports 'success' (an experiment needs attempts > 0)"
            )
        return ()

    def select(key, state, context: Context):
        assert context.evaluations is not None  # checked by init
        num_tasks = context.tasks.shape[0]
        slope = recent_slope(jnp.asarray(context.evaluations), window)
        progress = context.task_weights * jnp.abs(slope)
        total = progress.sum()
        greedy = jnp.where(total > 0, progress / total, 1.0 / num_tasks)
        probabilities = exploration / num_tasks + (1.0 - exploration) * greedy
        task_id = jax.random.categorical(key, jnp.log(probabilities)).astype(jnp.int32)
        known = jnp.isfinite(total)
        choice = Choice(
            task_id=jnp.where(known, task_id, -1),
            task=jnp.where(known, context.tasks[task_id], jnp.nan),
        )
        return choice, state, ProgressInfo(progress)

    return Selector(init, select)


def recent_slope(success: Float[Array, "R C"], window: int) -> Float[Array, " C"]:
    """Change of success per round over the last `window` evaluated rounds.

    Rows that are not finite throughout are left out: rounds to come, and rounds that
    were not evaluated. Zero for a single row, NaN for none.

    Example:
      >>> success = jnp.array([[0.0, 0.5], [jnp.nan, jnp.nan], [0.5, 0.5]])
      >>> print(recent_slope(success, window=2))
      [0.25 0.  ]
    """
    evaluated = jnp.isfinite(success).all(axis=1)
    later = evaluated.sum() - jnp.cumsum(evaluated)
    used = evaluated & (later < window)
    rounds = jnp.arange(used.shape[0], dtype=success.dtype)
    mean = jnp.where(used, rounds, 0.0).sum() / used.sum()
    offsets = jnp.where(used, rounds - mean, 0.0)
    # Relative to the newest, so that a success that stays has a slope of exactly zero.
    newest = success[jnp.argmax(evaluated & (later == 0))]
    change = jnp.where(used[:, None], success - newest[None, :], 0.0)
    spread = jnp.sum(offsets**2)
    slope = offsets @ change / jnp.where(spread > 0, spread, 1.0)
    return jnp.where(evaluated.any(), slope, jnp.nan)
