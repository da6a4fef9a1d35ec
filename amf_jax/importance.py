"""Importance weights: a task's occupancy, estimated from other tasks' demonstrations.

Eq. 3 of the paper, entirely in the log domain. A demonstration of task c_i says
something about the states that task c would visit, in proportion to how likely its
actions are under c:

    w(tau_i, c) = prod_t pi(a_t|s_t,c) / mean_j prod_t pi(a_t|s_t,c_j)
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Bool, Float, Int, Shaped

from amf_jax import tiles, windows
from amf_jax.demonstrations import Demonstrations

# exp(40)^2 is finite in float32, and a product of two plain weights is taken.
_MAX_LOG_WEIGHT = 40.0


def trajectory_log_likelihoods(
    log_likelihood: Callable,
    params,
    demos: Demonstrations,
    tasks: Float[Array, "K D"],
    clip: tuple[float, float] | None = None,
) -> Float[Array, "K N"]:
    """`l[k, i] = sum_t log pi(a_t^i | s_t^i, c_k)` over the recorded steps.

    A policy that gives chunks is asked at every E-th step, and what counts is what it
    executes until it is asked again:

        l[k, i] = sum over t = 0, E, 2E, ... of
                  log pi(a_t^i .. a_{t+E-1}^i | s_{t-To+1}^i .. s_t^i, c_k).

    Args:
      log_likelihood: as in `Policy.log_likelihood`, batched over leading axes; a
        `windows.Likelihood` where the policy's window is more than a step.
      params: of the current, fine-tuned policy.
      demos: N demonstrations.
      tasks: K tasks to relabel them with.
      clip: bounds of each trajectory's log-likelihood; (-12, 0) in the paper's Gaussian
        process experiments, None for no clipping.
    """
    columns = windows.asked(demos, getattr(log_likelihood, "window", windows.STEP))
    count, asked = columns[2].shape

    def some(tile):
        observations, actions, valid = tile

        def one(task):
            # Mapped over the steps alone: a policy may share what it does with a task.
            by_step = jax.vmap(lambda s, a: log_likelihood(params, s, a, task))
            steps = jax.vmap(by_step)(observations, actions)
            return jnp.where(valid, steps, 0.0).sum(axis=-1)

        return jax.vmap(one)(tasks)

    # A policy's layers hold every step of a tile, each under every task.
    size = tiles.length(count, asked * tasks.shape[0])
    by_tile = jax.lax.map(some, tiles.cut(tiles.filled_up(columns, size), size))
    total = by_tile.swapaxes(0, 1).reshape(tasks.shape[0], -1)[:, :count]
    total = total.astype(tasks.dtype)  # whatever the policy computes in
    return total if clip is None else jnp.clip(total, *clip)


def log_importance_weights(
    log_likelihoods: Float[Array, "K N"],
    own_log_likelihoods: Float[Array, "J N"],
    own_counts: Shaped[Array, " J"],
) -> Float[Array, "K N"]:
    """`log w[k,i] = l[k,i] - (logsumexp_j l[c_j,i] - log n)`, eq. 3.

    Args:
      log_likelihoods: of each demonstration under each of K tasks.
      own_log_likelihoods: of each demonstration under each of J tasks: the mixture that
        the demonstrations were drawn from.
      own_counts: how many demonstrations at hand are of each of those J tasks. A mask
        will do where each of J rows is of a task of its own.

    Example:
      One demonstration of each of two tasks, e^-2 times as likely under the other's:

      >>> given = jnp.array([[0.0, -2.0], [-2.0, 0.0]])
      >>> log_weights = log_importance_weights(given, given, jnp.array([True, True]))
      >>> print([f"{w:.3f}" for w in jnp.exp(log_weights)[0]])
      ['1.762', '0.238']
    """
    counts = own_counts.astype(log_likelihoods.dtype)
    mixture = logsumexp(own_log_likelihoods, axis=0, b=counts[:, None])
    mixture -= jnp.log(counts.sum())
    return log_likelihoods - mixture[None, :]


def task_counts(
    demo_task_ids: Int[Array, " N"], mask: Bool[Array, " N"], num_tasks: int
) -> Int[Array, " C"]:
    """How many demonstrations at hand are of each task.

    Example:
      >>> print(task_counts(jnp.array([0, 2, 2]), jnp.array([True, True, False]), 3))
      [1 0 1]
    """
    own = demo_task_ids[None, :] == jnp.arange(num_tasks)[:, None]
    return (own & mask[None, :]).sum(axis=-1, dtype=jnp.int32)


def self_normalised(
    log_weights: Float[Array, "K N"], mask: Bool[Array, " N"]
) -> Float[Array, "K N"]:
    """Weights that sum to one for every task: softmax over the demonstrations.

    Example:
      >>> at_hand = jnp.array([True, True, False])
      >>> print(self_normalised(jnp.array([[0.0, -1e4, 3.0]]), at_hand))
      [[1. 0. 0.]]
    """
    return jax.nn.softmax(jnp.where(mask[None, :], log_weights, -jnp.inf), axis=-1)


def plain(
    log_weights: Float[Array, "K N"], mask: Bool[Array, " N"]
) -> Float[Array, "K N"]:
    """`w / n`, the estimator as printed (eq. 92).

    A task that no demonstration resembles gets weights near zero, and with them a small
    sum whatever its uncertainty; prefer `self_normalised`.
    """
    weights = jnp.exp(jnp.minimum(log_weights, _MAX_LOG_WEIGHT))
    return jnp.where(mask[None, :], weights, 0.0) / mask.sum()


def deterministic(
    task_ids: Int[Array, " K"], demo_task_ids: Int[Array, " N"], mask: Bool[Array, " N"]
) -> Float[Array, "K N"]:
    """`W[k, i] = 1[c_i = c_k]`, normalised, for policies without a likelihood.

    A task without a demonstration gets a row of NaN, which no selector ranks.
    """
    own = (task_ids[:, None] == demo_task_ids[None, :]) & mask[None, :]
    total = own.sum(axis=-1, keepdims=True)
    # XLA turns a boolean divided by zero into 0, so that NaN has to be asked for.
    return jnp.where(total > 0, own / jnp.maximum(total, 1), jnp.nan)


def uniform(num_tasks: int, mask: Bool[Array, " N"]) -> Float[Array, "K N"]:
    """The same weight for every demonstration, whatever its task (no weighting)."""
    return jnp.broadcast_to(mask / mask.sum(), (num_tasks, mask.shape[0]))


def effective_sample_size(weights: Float[Array, "K N"]) -> Float[Array, " K"]:
    """`(sum_i W)^2 / sum_i W^2` per task, in demonstrations; 0 without any weight.

    Example:
      >>> print(effective_sample_size(jnp.array([[0.5, 0.5], [1.0, 0.0], [0.0, 0.0]])))
      [2. 1. 0.]
    """
    weights = jnp.nan_to_num(weights)
    squares = jnp.sum(weights**2, axis=-1)
    total = jnp.sum(weights, axis=-1) ** 2
    return jnp.where(squares > 0, total / jnp.where(squares > 0, squares, 1.0), 0.0)


#: Weight modes that estimate from log-likelihoods: `(log_weights, mask) -> [K, N]`.
ESTIMATORS = {"self_normalised": self_normalised, "plain": plain}

#: All weight modes.
MODES = (*ESTIMATORS, "deterministic", "off")
