"""What a rule for the mixing weights is given, carries and gives."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from amf_jax import demonstrations as demonstrations_lib
from amf_jax import errors, ranges, windows
from amf_jax.demonstrations import Demonstrations
from amf_jax.dtypes import compute_dtype
from amf_jax.losses import Comparison
from amf_jax.policies.base import Policy


class MixingState(NamedTuple):
    """What a rule carries from round to round.

    Attributes:
      alpha: mixing weights of the evaluation tasks.
      auxiliary: whatever else the rule needs.
    """

    alpha: Float[Array, " C"]
    auxiliary: Any = ()


class Mixing(NamedTuple):
    """A rule for the mixing weights, as pure functions.

    Attributes:
      init: `(key) -> MixingState`, before the first round.
      update: `(state, Comparison) -> MixingState`, after the policy was trained.
      weights: `(state, tasks [B, D], task_ids [B]) -> alpha [B]`. The id of a task that
        is none of the evaluation tasks is -1.
    """

    init: Callable[[Array], MixingState]
    update: Callable[[MixingState, Comparison], MixingState]
    weights: Callable[[MixingState, Array, Array], Array]


def compare(
    policy: Policy, key, params: Any, previous: Any, prior: Any, demos: Demonstrations
) -> Comparison:
    """The actions of a policy in the states of demonstrations, before and after.

    Under jit, XLA removes those that `Mixing.update` does not look at.

    Args:
      policy: of which all parameters are.
      key: for policies that act at random.
      params: trained on the demonstrations.
      previous: before this round's training.
      prior: of the frozen pre-trained policy.
      demos: the demonstrations at hand.
    """
    demos = demonstrations_lib.fill_padding(demos)
    observations, _, asked = windows.asked(demos, policy.window)
    tasks = jnp.broadcast_to(
        demos.tasks[:, None], (*asked.shape, demos.tasks.shape[-1])
    )
    policy_key, prior_key, previous_key = jax.random.split(key, 3)

    def done(params, key):
        actions = policy.act(params, key, observations, tasks)
        return windows.executed(actions, policy.window, demos.step_mask.shape[1])

    actions = (
        demos.actions,
        done(params, policy_key),
        done(previous, previous_key),
        done(prior, prior_key),
    )
    dtype = compute_dtype(actions)
    wanted, new, before, frozen = (given.astype(dtype) for given in actions)
    return Comparison(
        wanted,
        new,
        before,
        frozen,
        demos.tasks,
        demos.task_ids,
        demonstrations_lib.valid_steps(demos),
        demos.demo_mask,
    )


def check_alpha(alpha: Any | None, task_names: tuple[str, ...] | None = None) -> None:
    """Raises if mixing weights are not finite; call it on the host, outside jit.

    Args:
      alpha: `LearnerState.mixing`; None is no adaptive prior, and fine.
      task_names: of the evaluation tasks, for the message.

    Raises:
      TrainingError: naming the tasks.

    Example:
      >>> check_alpha(np.array([0.5, np.nan]), ("push", "pull"))
      Traceback (most recent call last):
      amf_jax.errors.TrainingError: the mixing weight of task pull is not finite: ...
    """
    if alpha is None or (finite := np.isfinite(np.asarray(alpha))).all():
        return
    tasks = np.flatnonzero(~finite)
    names = ", ".join(task_names[i] if task_names else str(i) for i in tasks)
    raise errors.TrainingError(
        f"the mixing weight of task {names} is not finite: in states of its"
        " demonstrations, the fine-tuned or the pre-trained policy acts NaN, or acts"
        " too large to be squared; check the demonstrations and the parameters for NaN"
        " and lower the learning rate"
    )


def check(num_tasks: int, conservatism: float = 0.0) -> None:
    """Raises `InvalidArgumentError` for no task, or a pull that is negative or none."""
    ranges.check("num_tasks", num_tasks, ranges.COUNT)
    ranges.check("conservatism", conservatism, ranges.NOT_NEGATIVE)


def check_descent(learning_rate: float, steps: int) -> None:
    """Raises `InvalidArgumentError` if a descent would not descend."""
    ranges.check("learning_rate", learning_rate, ranges.POSITIVE)
    ranges.check("steps", steps, ranges.COUNT_OR_NONE)
