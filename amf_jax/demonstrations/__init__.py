"""Demonstrations: the padded, masked pytree that everything passes around."""

from amf_jax.demonstrations.buffer import (
    Demonstrations,
    as_arrays,
    count,
    empty,
    empty_like,
    fill_padding,
    filled_tasks,
    observation_spec,
    valid_steps,
)
from amf_jax.demonstrations.episodes import Episode, from_episodes
from amf_jax.demonstrations.writing import (
    append,
    check_room,
    check_same_kind,
    named_leaves,
    reserve,
    stack,
    subsample,
)

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
