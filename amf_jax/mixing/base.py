"""What a rule for the mixing weights is given, carries and gives."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from amf_jax import errors, ranges


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
