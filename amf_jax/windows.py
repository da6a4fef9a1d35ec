"""Windows and chunks: what a policy sees of an episode, and what it does at once.

A policy sees the last To observations and gives the next K actions, of which E are
executed before it is asked again (receding-horizon control). With one of each, an
example is the observation and the action of a step. Otherwise, one at step t is

    observations[t - To + 1 .. t], the first one repeated before the start,
    actions[t .. t + K - 1], the last one repeated beyond the end and masked,

gathered from demonstrations where it is needed: nothing is stored more than once.

References:
  Chi et al., Diffusion policy: visuomotor policy learning via action diffusion, 2023.
  Zhao et al., Learning fine-grained bimanual manipulation with low-cost hardware, 2023.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from amf_jax import errors, ranges
from amf_jax.demonstrations import Demonstrations, valid_steps


@dataclasses.dataclass(frozen=True)
class Window:
    """How many steps a policy looks back, predicts and executes.

    Attributes:
      observation_horizon: observations To that it sees. 1: what it observes is that of
        a step; above: leaves lead with an axis of To, the latest last.
      action_chunk: actions K that it gives. 1: `[A]`; above: `[K, A]`.
      executed_steps: actions E of a chunk that are executed; None is all.

    Raises:
      InvalidArgumentError: for a number that is no whole one of at least 1, or more
        executed steps than there are actions.

    Example:
      >>> Window(action_chunk=4).executed_steps
      4
    """

    observation_horizon: int = 1
    action_chunk: int = 1
    executed_steps: int | None = None

    def __post_init__(self):
        if self.executed_steps is None:
            object.__setattr__(self, "executed_steps", self.action_chunk)
        for field in dataclasses.fields(self):
            ranges.check(field.name, getattr(self, field.name), ranges.COUNT)
        if self.executed > self.action_chunk:
            raise errors.InvalidArgumentError(
                f"executed_steps must be at most action_chunk={self.action_chunk}, got"
                f" {self.executed_steps}"
            )

    @property
    def executed(self) -> int:
        """The executed steps, as a number."""
        assert self.executed_steps is not None
        return self.executed_steps


#: One observation, one action.
STEP = Window()


@dataclasses.dataclass(frozen=True)
class Likelihood:
    """A log-likelihood that tells of what: it is called as the function is.

    Attributes:
      function: as in `Policy.log_likelihood`.
      window: of the policy.
    """

    function: Callable[..., Array]
    window: Window

    def __call__(self, *arguments: Any) -> Array:
        """What the function says."""
        return self.function(*arguments)


def check_same(embedding: Any, log_likelihood: Callable[..., Array] | None) -> None:
    """Refuses an embedding of other examples than those whose likelihood is taken.

    Raises:
      InvalidArgumentError: naming both windows.
    """
    if log_likelihood is None:
        return
    window = getattr(log_likelihood, "window", STEP)
    if embedding.window != window:
        raise errors.InvalidArgumentError(
            f"embedding has {embedding.window}, and log_likelihood {window}; build the"
            " embedding by embeddings.make(name, policy), or give it the window of the"
            " policy: embedding._replace(window=policy.window)"
        )


class Chunk(NamedTuple):
    """The actions of a chunk: what takes the place of an action where K > 1.

    Attributes:
      actions: of the next K steps; the last one is repeated beyond the end.
      mask: which of them were recorded.
    """

    actions: Float[Array, "*batch K A"]
    mask: Bool[Array, "*batch K"]


def examples(demos: Demonstrations, window: Window) -> Callable[..., tuple[Any, Any]]:
    """How to gather examples, in a loop: what they have in common is computed once.

    A step that was not recorded is stood in for by the last one before it that was, or
    else the first.

    Returns:
      `(rows [...], times [...]) -> (observations, actions)`, whose leaves lead with the
      axes of the rows; the actions are a `Chunk` where K > 1.
    """
    observations, actions = demos.observations, demos.actions
    if window == STEP:
        return lambda row, time: _at((observations, actions), row, time)
    valid = valid_steps(demos)
    steps = jnp.broadcast_to(jnp.arange(valid.shape[1]), valid.shape)
    latest = jax.lax.cummax(jnp.where(valid, steps, -1), axis=1)
    first = jnp.broadcast_to(jnp.argmax(valid, axis=1)[:, None], valid.shape)
    held = jnp.where(latest >= 0, latest, first)

    def gather(row: Int[Array, "*b"], time: Int[Array, "*b"]) -> tuple[Any, Any]:
        def around(offsets):
            at = jnp.add.outer(time, offsets)
            return jnp.broadcast_to(jnp.expand_dims(row, -1), at.shape), at

        if window.observation_horizon == 1:
            seen = _at(observations, row, held[row, time])
        else:
            rows, at = around(jnp.arange(1 - window.observation_horizon, 1))
            seen = _at(observations, rows, held[rows, jnp.maximum(at, 0)])
        if window.action_chunk == 1:
            return seen, actions[row, held[row, time]]
        rows, at = around(jnp.arange(window.action_chunk))
        inside = jnp.minimum(at, valid.shape[1] - 1)
        recorded = valid[rows, inside] & (at == inside)
        return seen, Chunk(actions[rows, held[rows, inside]], recorded)

    return gather


def of_rows(
    demos: Demonstrations, window: Window, rows: Int[Array, "*b"]
) -> tuple[Any, Any]:
    """Examples at every step of some demonstrations; leaves `[*b, H, ...]`."""
    if window == STEP:
        recorded = demos.observations, demos.actions
        return jax.tree.map(lambda leaf: leaf[rows], recorded)
    return _over_steps(demos, window, rows, 1)


def asked(demos: Demonstrations, window: Window) -> tuple[Any, Any, Bool[Array, "N Q"]]:
    """Examples where a policy is asked: at every E-th step, from the first one on.

    Returns:
      Observations and actions with leaves `[N, Q, ...]`, of whose chunks the part that
      is executed is unmasked; and at which there is anything recorded.
    """
    if window == STEP:
        return demos.observations, demos.actions, valid_steps(demos)
    rows = jnp.arange(demos.demo_mask.shape[0])
    seen, done = _over_steps(demos, window, rows, window.executed)
    if window.action_chunk == 1:
        return seen, done, valid_steps(demos)
    front = jnp.arange(window.action_chunk) < window.executed
    mask = done.mask & jnp.broadcast_to(front, done.mask.shape)
    return seen, done._replace(mask=mask), mask.any(axis=-1)


def executed(
    actions: Float[Array, "N Q *K A"], window: Window, horizon: int
) -> Float[Array, "N H A"]:
    """What is done at each step, of the chunks that a policy gave where it was asked.

    Example:
      >>> chunks = jnp.arange(6.0).reshape(1, 2, 3, 1)  # 0, 1, 2 and 3, 4, 5
      >>> window = Window(action_chunk=3, executed_steps=2)
      >>> print(executed(chunks, window, horizon=3)[0, :, 0])
      [0. 1. 3.]
    """
    if window.action_chunk == 1:
        return actions
    done = actions[:, :, : window.executed]
    return done.reshape(done.shape[0], -1, done.shape[-1])[:, :horizon]


def _over_steps(demos: Demonstrations, window: Window, rows, stride: int):
    horizon = demos.step_mask.shape[1]
    times = jnp.arange(0, horizon, stride)
    shape = (*rows.shape, times.size)
    return examples(demos, window)(
        jnp.broadcast_to(jnp.expand_dims(rows, -1), shape),
        jnp.broadcast_to(times, shape),
    )


def _at(tree: Any, row: Array, time: Array) -> Any:
    return jax.tree.map(lambda leaf: leaf[row, time], tree)
