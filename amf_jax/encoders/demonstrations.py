"""Demonstrations of what was observed become demonstrations of features."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from amf_jax import errors, validation
from amf_jax.demonstrations import Demonstrations, valid_steps
from amf_jax.dtypes import is_finite
from amf_jax.encoders.base import Encoder, feature_spec, stored
from amf_jax.task_table import place

_stored = jax.jit(stored)


def encode_demonstrations(encoder: Encoder, demos: Demonstrations) -> Demonstrations:
    """The same demonstrations with features in place of what was observed.

    Each recorded step is encoded once, under each of the encoder's tasks; there are
    zeros elsewhere. One program of a microbatch serves any number of demonstrations.
    Where something is traced, this is part of that program, which goes through all
    steps, recorded or not.

    Args:
      encoder: the frozen part of the policy.
      demos: of what was observed; they may be empty, and of the host.

    Raises:
      DemonstrationError: malformed demonstrations, or one of a task that the encoder
        has no features for.
      InvalidArgumentError: features that are not finite, and as `encode`.

    Example:
      >>> from amf_jax import demonstrations
      >>> demos = demonstrations.empty(2, 5, 3, action_size=1, task_size=1)
      >>> encoder = Encoder(
      ...     encode=lambda params, states: states @ params,
      ...     params=jnp.ones((3, 7)),
      ...     observed=demonstrations.observation_spec(demos),
      ... )
      >>> print(encode_demonstrations(encoder, demos).observations.shape)
      (2, 5, 7)
    """
    if not validation.is_concrete((encoder, demos)):
        return traced(encoder, demos)
    with jax.ensure_compile_time_eval():
        return _on_host(encoder, demos)


def encoded(encoder: Encoder | None, demos: Any) -> Any:
    """The same, if there is an encoder, and there are demonstrations."""
    if encoder is None or demos is None:
        return demos
    return encode_demonstrations(encoder, demos)


def traced(encoder: Encoder, demos: Demonstrations) -> Demonstrations:
    """The same as a part of a program, which goes through all steps."""
    valid = valid_steps(demos)

    def recorded(leaf):
        return jnp.where(jnp.expand_dims(valid, range(2, leaf.ndim)), leaf, 0)

    features = stored(encoder, demos.observations)
    return demos._replace(observations=jax.tree.map(recorded, features))


def check_tasks(encoder: Encoder, tasks: Any, whose: str) -> None:
    """Raises if some tasks `[N, D]` are none of the encoder's; for hosts.

    Raises:
      InvalidArgumentError: naming the first of them.
    """
    if (missing := _missing(encoder, tasks)) is not None:
        raise errors.InvalidArgumentError(
            f"{whose} {missing} is none of the encoder's tasks, under which alone it"
            " keeps features; pass Encoder(tasks=…) all that are asked for"
        )


def _missing(encoder: Encoder, tasks: Any) -> int | None:
    """The first task that the encoder does not have; None if it has all."""
    if encoder.tasks is None:
        return None
    table = encoder.tasks
    if np.shape(tasks)[1] != table.shape[1]:
        raise errors.InvalidArgumentError(
            f"the encoder's tasks are {table.shape[1]} wide, and others"
            f" {np.shape(tasks)[1]}"
        )
    unknown = np.asarray(place(table, jnp.asarray(tasks, table.dtype))) < 0
    return int(np.argmax(unknown)) if unknown.any() else None


def _on_host(encoder: Encoder, demos: Demonstrations) -> Demonstrations:
    validation.check_form(demos, observation_size=encoder.observed)
    held = np.asarray(demos.demo_mask).astype(bool)
    if (missing := _missing(encoder, np.asarray(demos.tasks)[held])) is not None:
        raise errors.DemonstrationError(
            f"demonstration {missing} is of a task that the encoder has no features"
            " for; pass Encoder(tasks=…) those of all demonstrations"
        )
    valid = np.asarray(valid_steps(demos))
    rows, times = np.nonzero(valid)
    features = jax.tree.map(
        lambda leaf: np.zeros((*valid.shape, *leaf.shape), leaf.dtype),
        feature_spec(encoder),
    )
    size = encoder.microbatch_size
    for start in range(0, rows.size, size):
        # As many as any other time, for one program: the last one stands in.
        chosen = np.minimum(np.arange(start, start + size), rows.size - 1)
        step = rows[chosen], times[chosen]
        observations = jax.tree.map(
            lambda leaf, step=step: np.asarray(leaf[step]), demos.observations
        )
        found = jax.device_get(_stored(encoder, observations))
        for leaf, values in zip(*map(jax.tree.leaves, (features, found)), strict=True):
            finite = is_finite(values).reshape(size, -1).all(axis=1)
            if not finite.all():
                bad = int(np.argmin(finite))
                raise errors.InvalidArgumentError(
                    "encode gives features that are NaN or infinite, of demonstration"
                    f" {step[0][bad]} at step {step[1][bad]}"
                )
            leaf[step] = values
    return demos._replace(observations=jax.tree.map(jnp.asarray, features))
