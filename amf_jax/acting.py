"""Acting in episodes: a policy is asked for a chunk, and its actions are taken in turn.

Pure, and batched over episodes that go in step with each other, so that a rollout of
any kind (a simulator on the host, a scan, a robot) is the same few lines:

    state = actor.reset(key, observations, ...)
    actions, state = actor.step(state, key, observations, ...)  # and again
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from amf_jax.windows import STEP, Window


class ActorState(NamedTuple):
    """What is carried from step to step of an episode.

    Attributes:
      seen: the last To observations, leaves `[B, To, ...]`; () where To = 1.
      queue: the part of the last chunk that is executed.
      number: of the step.
    """

    seen: Any
    queue: Float[Array, "B E A"]
    number: Int[Array, ""]


class Actor(NamedTuple):
    """Acts step by step.

    Attributes:
      reset: `(key, observations [B, ...], *conditions) -> state`, at the start of
        episodes. The key is not used: what is given is as in `step`.
      step: `(state, key, observations [B, ...], *conditions) -> (actions [B, A],
        state)`, at every step, the first one included.
    """

    reset: Callable[..., Any]
    step: Callable[..., tuple[Array, Any]]


def receding_horizon(act: Callable[..., Array], window: Window) -> Actor:
    """Asks a policy at every E-th step, and does what it said in between.

    Args:
      act: `(key, observations, *conditions) -> actions`, `[B, A]` or `[B, K, A]`; what
        it sees has an axis of To behind that of the episodes where To > 1.
      window: of the policy.
    """
    if window == STEP:
        return Actor(
            lambda key, observations, *conditions: (),
            lambda state, key, *inputs: (act(key, *inputs), state),
        )
    length = window.observation_horizon

    def ask(key, seen, *conditions) -> Float[Array, "B E A"]:
        actions = act(key, seen, *conditions)
        chunks = actions[:, None] if window.action_chunk == 1 else actions
        return chunks[:, : window.executed]

    def reset(key, observations, *conditions) -> ActorState:
        repeated = jax.tree.map(
            lambda leaf: jnp.repeat(jnp.asarray(leaf)[:, None], length, axis=1),
            observations,
        )
        seen, given = (repeated,) * 2 if length > 1 else ((), observations)
        shape = jax.eval_shape(ask, key, given, *conditions)
        return ActorState(seen, jnp.zeros(shape.shape, shape.dtype), jnp.int32(0))

    def step(state: ActorState, key, observations, *conditions):
        seen, given = (), observations
        if length > 1:
            seen = given = jax.tree.map(
                lambda before, leaf: jnp.concatenate(
                    [before[:, 1:], jnp.asarray(leaf)[:, None]], axis=1
                ),
                state.seen,
                observations,
            )
        place = state.number % window.executed
        queue = jax.lax.cond(
            place == 0,
            lambda key: ask(key, given, *conditions),
            lambda key: state.queue,
            key,
        )
        return queue[:, place], ActorState(seen, queue, state.number + 1)

    return Actor(reset, step)
