"""Rules with one mixing weight per evaluation task."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from amf_jax import losses
from amf_jax.losses import Comparison
from amf_jax.mixing.base import Mixing, MixingState, check, check_descent


def descent(
    num_tasks: int,
    conservatism: float = 0.1,
    learning_rate: float = 1.0,
    steps: int = 200,
) -> Mixing:
    """One alpha per task, by gradient descent from where the last round ended.

    The paper's rule (section 4.2, appendix H, eq. 93): see `losses.fit_mixing`.

    Args:
      num_tasks: C, the number of evaluation tasks.
      conservatism: beta, the pull towards the pre-trained policy.
      learning_rate: of the descent on alpha.
      steps: descent steps per round.

    Raises:
      InvalidArgumentError: for an argument outside its domain.
    """
    check(num_tasks, conservatism)
    check_descent(learning_rate, steps)

    def update(state: MixingState, comparison: Comparison) -> MixingState:
        alpha = losses.fit_mixing(
            state.alpha,
            comparison,
            conservatism,
            learning_rate=learning_rate,
            steps=steps,
        )
        return MixingState(alpha)

    return Mixing(_zeros(num_tasks), update, _alpha_of_task)


def closed_form(num_tasks: int, conservatism: float = 0.1) -> Mixing:
    """One alpha per task, the exact minimiser of `losses.adaptive_prior` on [0, 1].

    With `d = a_policy - a_prior`, `r = a - a_prior` and `<.>` the mean over action
    dimensions, the loss over the T recorded steps of N demonstrations is

        L = 1/T sum_{i,t} <(r - alpha(c_i) d)^2> + beta/N sum_i alpha(c_i)

    and falls apart into one parabola per task, with its minimum at

        alpha(c) = (sum <d r> - beta T n_c / 2 N) / sum <d^2>,

    the sums being over the recorded steps of the task's n_c demonstrations. Clipping
    that to [0, 1] is exact. A policy that acts as the prior does (`d = 0`) gets 0.

    Args:
      num_tasks: C, the number of evaluation tasks.
      conservatism: beta, the pull towards the pre-trained policy.

    Raises:
      InvalidArgumentError: for an argument outside its domain.
    """
    return _minimiser(_clipped_ratio, num_tasks, conservatism)


def gate(num_tasks: int, conservatism: float = 0.1) -> Mixing:
    """Either policy for each task: the minimiser of `losses.adaptive_prior` on {0, 1}.

    Between the two, alpha blends a policy that has learned a task with a prior that
    does not know it. The parabola of `closed_form` is lower at 1 than at 0 where its
    minimum lies beyond 1/2; a tie goes to the prior. Arguments and errors are those of
    `closed_form`.
    """

    def beyond_half(slope, curvature):
        undecided = jnp.isnan(2.0 * slope - curvature)
        return jnp.where(undecided, jnp.nan, 2.0 * slope > curvature)

    return _minimiser(beyond_half, num_tasks, conservatism)


def prequential(num_tasks: int) -> Mixing:
    """One alpha per task, from demonstrations scored before they are trained on.

    The other rules compare the policy with the prior on the policy's own training data,
    where it looks better than it is; hence their pull towards the prior. Here each new
    demonstration is a test of the policy as it was, and

        alpha(c) = clip(sum <d r> / sum <d^2>, 0, 1),   d = a_previous - a_prior,

    with sums that run over all demonstrations of the task so far. Nothing is to be
    tuned, but alpha lags behind: what a demonstration teaches shows when the next one
    of its task is scored, and the policies of early rounds keep their vote. The first
    round tests the pre-trained policy against itself and tells nothing.

    Args:
      num_tasks: C, the number of evaluation tasks.

    Raises:
      InvalidArgumentError: if there is no task.
    """
    check(num_tasks)

    def init(key) -> MixingState:
        del key
        zeros = jnp.zeros((num_tasks,))
        return MixingState(zeros, (zeros, zeros, jnp.zeros((), jnp.int32)))

    def update(state: MixingState, comparison: Comparison) -> MixingState:
        product, square, scored = state.auxiliary
        rows = jnp.arange(comparison.demo_mask.shape[0])
        new = comparison.counted & (rows >= scored)[:, None]
        taken = comparison.previous_actions
        products, squares = _moments(taken, comparison, new, num_tasks)
        product, square = product + products, square + squares
        scored = comparison.demo_mask.sum(dtype=jnp.int32)
        return MixingState(_clipped_ratio(product, square), (product, square, scored))

    return Mixing(init, update, _alpha_of_task)


def _minimiser(
    minimum: Callable[[Array, Array], Array], num_tasks: int, conservatism: float
) -> Mixing:
    """Minimises `curvature alpha^2 - 2 slope alpha` of each demonstrated task."""
    check(num_tasks, conservatism)

    def update(state: MixingState, comparison: Comparison) -> MixingState:
        mask = comparison.counted
        taken = comparison.policy_actions
        product, square = _moments(taken, comparison, mask, num_tasks)
        held = mask.any(axis=1).astype(product.dtype)
        demos = jax.ops.segment_sum(held, comparison.task_ids, num_tasks)
        share = demos / jnp.maximum(held.sum(), 1)
        slope = product - 0.5 * conservatism * mask.sum() * share
        alpha = jnp.where(demos > 0, minimum(slope, square), state.alpha)
        return MixingState(alpha)

    return Mixing(_zeros(num_tasks), update, _alpha_of_task)


def _moments(
    policy_actions: Float[Array, "N H A"],
    comparison: Comparison,
    mask: Bool[Array, "N H"],
    num_tasks: int,
) -> tuple[Float[Array, " C"], Float[Array, " C"]]:
    """Sums of `<d r>` and `<d^2>` over the masked steps of each task."""
    counted = mask[..., None]
    change = jnp.where(counted, policy_actions - comparison.prior_actions, 0.0)
    wanted = jnp.where(counted, comparison.actions - comparison.prior_actions, 0.0)

    def total(values):
        of_demo = values.mean(axis=-1).sum(axis=1)
        return jax.ops.segment_sum(of_demo, comparison.task_ids, num_tasks)

    return total(change * wanted), total(change**2)


def _clipped_ratio(
    numerator: Float[Array, " C"], denominator: Float[Array, " C"]
) -> Float[Array, " C"]:
    """The ratio in [0, 1]; 0 where both are 0, and NaN where either is."""
    nothing = denominator == 0
    ratio = numerator / jnp.where(nothing, 1.0, denominator)
    return jnp.where(nothing & ~jnp.isnan(ratio), 0.0, jnp.clip(ratio, 0.0, 1.0))


def _zeros(num_tasks: int) -> Callable[[Array], MixingState]:
    return lambda key: MixingState(jnp.zeros((num_tasks,)))


def _alpha_of_task(state: MixingState, tasks, task_ids) -> Array:
    """Of its index; a task that is none of the evaluation tasks trusts the prior."""
    del tasks
    return jnp.where(task_ids >= 0, state.alpha[jnp.maximum(task_ids, 0)], 0.0)
