"""Losses: behaviour cloning, and the adaptive prior that keeps old skills."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PyTree, Shaped


class Comparison(NamedTuple):
    """What a round knows about the fine-tuned policy and the prior.

    All actions are those in the states of the demonstrations at hand, of chunks those
    that are executed; at padded steps they mean nothing
    (`demonstrations.fill_padding`).

    Attributes:
      actions: of the expert.
      policy_actions: of the policy that was trained on these demonstrations.
      previous_actions: of the policy as it was before this round's training.
      prior_actions: of the frozen pre-trained policy.
      tasks: task vector of each demonstration.
      task_ids: index of that task; -1 if it is none of the evaluation tasks.
      step_mask: recorded steps of real demonstrations.
      demo_mask: True where a row holds a demonstration.
    """

    actions: Float[Array, "N H A"]
    policy_actions: Float[Array, "N H A"]
    previous_actions: Float[Array, "N H A"]
    prior_actions: Float[Array, "N H A"]
    tasks: Float[Array, "N D"]
    task_ids: Int[Array, " N"]
    step_mask: Bool[Array, "N H"]
    demo_mask: Bool[Array, " N"]

    @property
    def counted(self) -> Bool[Array, "N H"]:
        """Recorded steps of demonstrations of an evaluation task."""
        return self.step_mask & (self.task_ids >= 0)[:, None]


def behaviour_cloning(
    loss: Callable,
    params,
    keys: Key[Array, " B"],
    observations: PyTree[Shaped[Array, "B ..."]],
    actions: PyTree[Shaped[Array, "B ..."]],
    tasks: PyTree[Shaped[Array, "B ..."]],
) -> Float[Array, ""]:
    """Mean of a per-example loss over a batch.

    Args:
      loss: as in `Policy.loss`, for one example.
      params: of the policy.
      keys: one for each example, for stochastic losses.
      observations: a batch of states, whose leaves lead with B.
      actions: the expert's actions in them.
      tasks: the task vectors that the expert followed, or what `tasks_of` makes of
        them.
    """
    each = jax.vmap(loss, in_axes=(None, 0, 0, 0, 0))
    return each(params, keys, observations, actions, tasks).mean()


def tasks_of(
    encode_task: Callable | None,
    params,
    tasks: Float[Array, "N D"],
    rows: Int[Array, " B"],
) -> Any:
    """The tasks of a batch of examples, encoded once per task where that saves work.

    Where tasks are wide and few, what a policy makes of them alone is most of the work
    of its first layer. Sharing it costs a product with one column per task.

    Args:
      encode_task: as in `Policy.encode_task`, or None.
      params: of the policy.
      tasks: task vectors, finite in unused rows as well, which are multiplied by zero.
      rows: which of them each example is of.
    """
    if encode_task is None or tasks.shape[0] >= min(rows.shape[0], tasks.shape[1]):
        return tasks[rows]

    def chosen(leaf):
        # A product instead of indexing: its gradient is one as well, not a scatter.
        return jnp.tensordot(jax.nn.one_hot(rows, len(leaf), dtype=leaf.dtype), leaf, 1)

    return jax.tree.map(chosen, jax.vmap(encode_task, (None, 0))(params, tasks))


def mix_actions(
    mixing: Float[Array, "*#batch"],
    policy_actions: Float[Array, "*#batch A"],
    prior_actions: Float[Array, "*#batch A"],
) -> Float[Array, "*#batch A"]:
    """`a = alpha a_policy + (1 - alpha) a_prior`, the adaptive prior (section 4.2).

    Example:
      >>> print(mix_actions(jnp.array(0.25), jnp.array([4.0, 8.0]), jnp.zeros(2)))
      [1. 2.]
    """
    weight = mixing[..., None]
    return weight * policy_actions + (1.0 - weight) * prior_actions


def adaptive_prior(
    mixing: Float[Array, " C"],
    comparison: Comparison,
    conservatism: Float[Array, ""] | float,
) -> Float[Array, ""]:
    """The loss of the mixing weights (appendix H, eq. 93).

        L = mean_{i,t} |a - (alpha(c_i) a_policy + (1 - alpha(c_i)) a_prior)|^2 / A
            + beta mean_i alpha(c_i)

    The squared error is averaged over action dimensions, so that beta means the same
    for every action width. Demonstrations of no evaluation task, and those without a
    recorded step, do not count.

    Args:
      mixing: alpha of each task, in [0, 1].
      comparison: of the policy with the prior.
      conservatism: beta, the pull towards the pre-trained policy.
    """
    counted = comparison.counted
    held = counted.any(axis=1)
    weight = jnp.where(held, mixing[jnp.maximum(comparison.task_ids, 0)], 0.0)
    # Before any product: zero times NaN is NaN, in the gradient too.
    actions, policy_actions, prior_actions = (
        jnp.where(counted[..., None], given, 0.0)
        for given in (
            comparison.actions,
            comparison.policy_actions,
            comparison.prior_actions,
        )
    )
    mixed = mix_actions(weight[:, None], policy_actions, prior_actions)
    error = jnp.mean((actions - mixed) ** 2, axis=-1)
    fit = error.sum() / jnp.maximum(counted.sum(), 1)
    pull = weight.sum() / jnp.maximum(held.sum(), 1)
    return fit + conservatism * pull


def fit_mixing(
    mixing: Float[Array, " C"],
    comparison: Comparison,
    conservatism: Float[Array, ""] | float,
    *,
    learning_rate: float = 1.0,
    steps: int = 200,
) -> Float[Array, " C"]:
    """Minimises `adaptive_prior` by projected gradient descent from `mixing`.

    Full batch, clipped to [0, 1] after each step. The loss is quadratic in each weight:
    where `learning_rate` would overshoot its minimum, the step ends there instead. A
    task without a demonstration has no gradient and keeps its weight, so that it starts
    out trusting the prior.

    Args:
      mixing: where to start; zeros before the first round.
      comparison: as in `adaptive_prior`, and so is `conservatism`.
      conservatism: beta.
      learning_rate: of the descent; 1.0 in the paper.
      steps: number of descent steps.
    """

    def loss(weights):
        return adaptive_prior(weights, comparison, conservatism)

    curvature = jnp.diagonal(jax.hessian(loss)(mixing))
    step = learning_rate / jnp.maximum(learning_rate * curvature, 1.0)

    def descend(_, current):
        return jnp.clip(current - step * jax.grad(loss)(current), 0.0, 1.0)

    return jax.lax.fori_loop(0, steps, descend, mixing)
