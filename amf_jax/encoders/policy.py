"""The trainable part of a policy whose frozen part looks at the task."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from amf_jax.encoders.base import Encoder
from amf_jax.policies.base import Policy
from amf_jax.task_table import place

#: Where observations and tasks stand among the arguments of a policy's functions.
_ARGUMENTS = {
    "loss": (2, 4),
    "act": (2, 3),
    "log_likelihood": (1, 3),
    "last_layer": (2, 4),
    "layer_gradients": (2, 4),
    "stochastic": (2, 3),
}


class Placed(NamedTuple):
    """A task that `Policy.encode_task` has encoded, and where the encoder has it.

    Attributes:
      place: among the encoder's tasks.
      task: what the policy makes of it.
    """

    place: Int[Array, "*batch"]
    task: Any


def on_features(encoder: Encoder, policy: Policy) -> Policy:
    """The trainable part as all else takes it: a policy of what demonstrations hold.

    Where features do not depend on the task, that is the policy itself. Otherwise there
    are K for each step, and the policy is given those under the task that it is asked
    under, whichever the demonstration is of. Under a task that is none of the encoder's
    all is NaN, and selections from it are refused.

    Args:
      encoder: the frozen part.
      policy: sees features, without the axis of K.
    """
    if encoder.tasks is None:
        return policy
    table, encode_task = encoder.tasks, policy.encode_task
    behind = int(policy.window.observation_horizon > 1)

    def seen(features: Any, tasks: Any) -> tuple[Any, Any]:
        if isinstance(tasks, Placed):
            index, tasks = tasks
        else:
            index = place(table, tasks)
        axis = index.ndim + behind

        def one(leaf):
            at = jnp.expand_dims(index, range(index.ndim, leaf.ndim))
            found = jnp.take_along_axis(leaf, jnp.maximum(at, 0), axis)
            if jnp.issubdtype(found.dtype, jnp.floating):
                found = jnp.where(at < 0, jnp.nan, found)
            return found.squeeze(axis)

        return jax.tree.map(one, features), tasks

    def through(function: Callable, features: int, task: int) -> Callable:
        def asked(*arguments):
            given = list(arguments)
            given[features], given[task] = seen(given[features], given[task])
            return function(*given)

        return asked

    def placed(params, task):
        assert encode_task is not None
        return Placed(place(table, task), encode_task(params, task))

    functions: dict[str, Any] = {
        name: through(function, *places)
        for name, places in _ARGUMENTS.items()
        if (function := getattr(policy, name, None)) is not None
    }
    return dataclasses.replace(
        policy, **functions, encode_task=None if encode_task is None else placed
    )
