"""Ranks tasks by what a policy's last layer, or its gradients, say of each step.

The criterion needs two vectors of every recorded step: the features `h` that enter the
policy's last layer, and the error `e`, the gradient of the step's loss with respect to
that layer's output. The gradient with respect to its kernel and bias is
`outer([h, 1], e)`, and the ranking is that of `selectors.amf` with this embedding and
weights="deterministic": each demonstration counts for its own task alone, since nothing
says how likely its actions were under the others.
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from amf_jax import embeddings, problem, ranges, streaming
from amf_jax.embeddings import Embedding, FactoredGradient
from amf_jax.errors import DemonstrationError
from amf_jax.ranking.episodes import (
    NUMBERS_AT_A_TIME,
    Episodes,
    check_finite,
    matrix,
    pool_of,
    scaled,
)
from amf_jax.ranking.weights import in_order

#: Gradients that are longer are projected to so many numbers.
WIDEST = 512
#: Scores that differ by less than this share of the best are the same number.
_RESOLUTION = 1e-4
#: Features whose squares single precision still has.
_LARGEST = 1e18
#: Posterior variances are as small as the noise, and their squares have to be there.
_NOISE = ranges.Range(
    "positive, from 1e-12 to 1e12", lambda value: 1e-12 <= value <= 1e12
)
#: The posterior is a matrix of rank x rank numbers.
_RANK = ranges.Range(
    "a whole number from 1 to 8192", lambda value: 1 <= value <= 8192, whole=True
)


class Ranking(NamedTuple):
    """Tasks by the value of their next demonstration, the best first.

    Attributes:
      tasks: ids of the C tasks.
      values: expected reduction of the uncertainty at stake by one more demonstration
        of each task (eq. 4), in units of the mean prior variance of a step.
      tied: the leading tasks, whose values differ by no more than rounding. One alone
        is worth a recommendation.
      episodes: how many there are of each task.
      steps: how many there are of each task.
      task_weights: probability of each task.
      projection_rank: numbers that gradients were projected to; None if to none.
      rounding: what rounding did to the posterior, relative to `noise_variance`.
    """

    tasks: list[int] | list[str]
    values: np.ndarray
    tied: list[int] | list[str]
    episodes: np.ndarray
    steps: np.ndarray
    task_weights: np.ndarray
    projection_rank: int | None
    rounding: float


def rank_tasks(
    features: Any,
    errors: Any,
    episode_ids: Any,
    task_ids: Any,
    task_weights: Any | None = None,
    *,
    noise_variance: float = 1.0,
    condition_on_history: bool = True,
    projection_rank: int | None = None,
    seed: int = 0,
) -> Ranking:
    """Ranks tasks from what enters a policy's last layer, and its errors (eq. 4).

    Steps may come in any order; memory grows with the arrays themselves, with the
    square of a gradient's width, and with the square of the longest episode.

    Args:
      features: `[n, d]`, what enters the last layer at each of n steps, of the state
        and the task of the step's own episode. NumPy, or what NumPy reads, such as
        tensors on the CPU.
      errors: `[n, A]`, gradient of each step's loss with respect to the output of the
        last layer: `output - action` for half the squared error. Chunks of actions are
        flattened.
      episode_ids: `[n]`, integers or strings.
      task_ids: `[n]`, integers or strings, the same at all steps of an episode.
      task_weights: probabilities of the tasks at stake: by task id, or in order, of
        tasks 0, 1, ... None takes all that occur to be equally likely. What has no
        weight may still be what should be demonstrated.
      noise_variance: as in `selectors.amf`, from 1e-12 to 1e12.
      condition_on_history: as in `selectors.amf`; the history are the episodes.
      projection_rank: numbers that the gradients, of `(d + 1) A` numbers, are projected
        to (`embeddings.projected_gradient`, which states the error: a covariance is off
        by up to `sqrt(8 / rank)` standard deviations). None takes `WIDEST` where they
        are longer, and else the gradients as they are. At most 8192.
      seed: of the projection. Another one shows how much it matters.

    Raises:
      DemonstrationError: arrays that do not fit each other, NaN or infinity, an episode
        of two tasks or of more than 8192 steps, or one task alone.
      UndemonstratedTaskError: a task with weight has no episode.
      InvalidArgumentError: weights that are no probabilities, or what is out of range.

    Example:
      Of two tasks, the policy is wrong in the second alone:

      >>> features, errors = np.ones((4, 2)), np.array([[0.0], [0.0], [1.0], [1.0]])
      >>> found = rank_tasks(features, errors, [0, 0, 1, 1], ["a", "a", "b", "b"])
      >>> print(found.tasks, found.values.round(3), found.tied)
      ['b', 'a'] [0.178 0.   ] ['b']
    """
    observations, actions = matrix("features", features), matrix("errors", errors)
    if len(observations) != len(actions):
        raise DemonstrationError(
            f"features has {len(observations)} steps and errors {len(actions)}; both"
            " must have a row per recorded step"
        )
    width = (observations.shape[1] + 1) * actions.shape[1]
    projection_rank = _rank_of(width, projection_rank, seed)
    return _rank(
        observations,
        {"errors": actions},
        _last_layer(projection_rank, seed),
        Episodes.of(episode_ids, task_ids, len(observations)),
        task_weights,
        noise_variance,
        condition_on_history,
        projection_rank,
    )


def rank_tasks_by_gradients(
    gradients: Any,
    episode_ids: Any,
    task_ids: Any,
    task_weights: Any | None = None,
    *,
    noise_variance: float = 1.0,
    condition_on_history: bool = True,
    projection_rank: int | None = None,
    seed: int = 0,
) -> Ranking:
    """Ranks tasks from the gradient of each step's loss; see `rank_tasks`.

    `gradients` are `[n, P]`, with respect to any parameters. Those of more than
    `WIDEST` numbers are projected by a Gaussian matrix: a covariance is off by up to
    `sqrt(2 / rank)` standard deviations, relative to those of its points. All other
    arguments, and the errors, are those of `rank_tasks`.
    """
    points = matrix("gradients", gradients)
    episodes = Episodes.of(episode_ids, task_ids, len(points))
    projection_rank = _rank_of(points.shape[1], projection_rank, seed)
    largest = check_finite("gradients", points, episodes)
    if projection_rank is not None:
        points = _project(points, math.frexp(largest)[1], projection_rank, seed)
    return _rank(
        np.zeros((len(points), 1), bool),
        {"gradients": points},
        _AS_GIVEN,
        episodes,
        task_weights,
        noise_variance,
        condition_on_history,
        projection_rank,
    )


def _rank_of(width: int, projection_rank: int | None, seed: int) -> int | None:
    """Numbers that gradients of this width are projected to, unless to none."""
    ranges.check("projection_rank", projection_rank, _RANK, optional=True)
    ranges.check("seed", seed, ranges.SEED)
    return WIDEST if projection_rank is None and width > WIDEST else projection_rank


def _rank(
    features: np.ndarray,
    errors: dict[str, np.ndarray],
    embedding: Embedding,
    episodes: Episodes,
    task_weights: Any,
    noise_variance: float,
    condition_on_history: bool,
    projection_rank: int | None,
) -> Ranking:
    """The selection from a pool: features are observed, errors (by name) are actions.

    The kernel is scaled by its mean, so that the size of errors does not matter: they
    are brought to about 1, whose square neither overflows nor underflows.
    """
    ranges.check("noise_variance", noise_variance, _NOISE)
    check_finite("features", features, episodes, _LARGEST)
    ((name, actions),) = errors.items()
    largest = check_finite(name, actions, episodes)
    tasks = np.arange(len(episodes.tasks), dtype=np.float32)[:, None]
    shares = problem.check_weights(in_order(task_weights, episodes.tasks), tasks)
    _, info = streaming.select(
        pool_of(features, actions, math.frexp(largest)[1], episodes, tasks),
        embedding,
        None,
        tasks,
        params=(),
        embedding_params=(),
        task_weights=shares,
        weights="deterministic",
        noise_variance=noise_variance,
        condition_on_history=condition_on_history,
    )
    values, rounding = np.asarray(info.scores), float(info.rounding)
    best = np.argsort(-values, kind="stable")
    near = values >= values.max() * (1 - max(_RESOLUTION, rounding))
    names = episodes.tasks[best].tolist()
    return Ranking(
        tasks=names,
        values=values[best],
        tied=names[: int(near.sum())],
        episodes=np.bincount(episodes.task)[best],
        steps=np.bincount(episodes.task, episodes.lengths).astype(int)[best],
        task_weights=np.asarray(shares)[best],
        projection_rank=projection_rank,
        rounding=rounding,
    )


@functools.cache
def _last_layer(projection_rank: int | None, seed: int) -> Embedding:
    """Of a policy whose observation and action are the factors of its gradient.

    Cached, so that the same functions are given to JAX, which compiles them once.
    """

    def factors(params, key, observation, action, task) -> FactoredGradient:
        return FactoredGradient(observation, action)

    def layers(*example) -> tuple[FactoredGradient]:
        return (factors(*example),)

    if projection_rank is None:
        return embeddings.last_layer_gradient(factors)
    return embeddings.projected_gradient(layers, rank=projection_rank, seed=seed)


def _action(params, key, observations, actions, tasks):
    return actions


_AS_GIVEN = embeddings.linear(_action)


def _project(points: np.ndarray, exponent: int, rank: int, seed: int) -> np.ndarray:
    """Projects to `rank` numbers, drawing the Gaussian matrix a part at a time.

    Points are divided by two to the power of `exponent`.
    """
    rng = np.random.default_rng(seed)
    projected = np.zeros((len(points), rank), np.float32)
    columns = max(1, NUMBERS_AT_A_TIME // max(rank, len(points)))
    for first in range(0, points.shape[1], columns):
        part = scaled(points[:, first : first + columns], exponent)
        projected += part @ rng.standard_normal((part.shape[1], rank), np.float32)
    return projected / math.sqrt(rank)
