"""Demonstrations: the padded, masked pytree that everything passes around."""

from amf_jax.demonstrations.buffer import (
    Demonstrations,
    append,
    as_arrays,
    check_room,
    check_same_kind,
    count,
    empty,
    empty_like,
    fill_padding,
    filled_tasks,
    named_leaves,
    observation_spec,
    reserve,
    stack,
    subsample,
    valid_steps,
)
from amf_jax.demonstrations.episodes import Episode, from_episodes

__all__ = [
    "Demonstrations",
    "Episode",
    "append",
    "as_arrays",
    "check_room",
    "check_same_kind",
    "count",
    "empty",
    "empty_like",
    "fill_padding",
    "filled_tasks",
    "from_episodes",
    "named_leaves",
    "observation_spec",
    "reserve",
    "stack",
    "subsample",
    "valid_steps",
]
