"""Episodes as they were recorded, of different lengths, become a padded buffer."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from amf_jax import errors, ranges
from amf_jax.demonstrations.buffer import Demonstrations, as_arrays, empty
from amf_jax.demonstrations.writing import named_leaves
from amf_jax.dtypes import is_finite, real_numbers

_TASK_ID = ranges.Range(
    "a whole number of 32 bits, at least -1",
    lambda value: -1 <= value < 2**31,
    whole=True,
)


class Episode(NamedTuple):
    """One demonstration as it was recorded, of T steps; in NumPy, without padding.

    Attributes:
      observations: an array `[T, S]`, or a pytree whose leaves lead with T.
      actions: of the expert, `[T, A]`.
      task: the task vector `[D]`.
      task_id: index of that task among the evaluation tasks; -1 if it is none of them.
    """

    observations: Any
    actions: Any
    task: Any
    task_id: int = -1


def from_episodes(
    episodes: Iterable[Any],
    *,
    capacity: int | None = None,
    horizon: int | None = None,
) -> Demonstrations:
    """The padded buffer of episodes that may differ in length.

    Args:
      episodes: `Episode`s, or mappings with the names of its fields; at least one. All
        observe the same, whole numbers or fractions, with actions and tasks of one
        width.
      capacity: rows of the buffer; None is as many as there are episodes.
      horizon: steps of a row; None is as many as the longest episode has.

    Raises:
      DemonstrationError: for what is no list, or naming the episode that is malformed,
        unlike the first one, longer than `horizon`, or NaN or infinite at some step.
      UnknownNameError: for a field that episodes do not have, with the nearest.
      CapacityError: for more episodes than `capacity`.
      InvalidArgumentError: for a size that is no whole number of at least 1.
      MemoryBudgetError: for more than there is memory.

    Example:
      >>> states, actions = np.zeros((5, 3)), np.zeros((5, 2))
      >>> long = Episode(states, actions, task=[1, 0], task_id=0)
      >>> short = dict(observations=states[:2], actions=actions[:2], task=[0, 1])
      >>> demos = from_episodes([long, short], capacity=3)
      >>> print(demos.observations.shape, demos.step_mask.sum(axis=1), demos.task_ids)
      (3, 5, 3) [5 2 0] [ 0 -1 -1]
    """
    if isinstance(episodes, Mapping | Episode):
        raise errors.DemonstrationError(
            "episodes must be a list of episodes, got a single one; wrap it in a list,"
            " as [episode]"
        )
    if isinstance(episodes, str) or not isinstance(episodes, Iterable):
        raise errors.DemonstrationError(
            "episodes must be a list of amf_jax.demonstrations.Episode or of mappings"
            f" with its fields, got {type(episodes).__name__}"
        )
    checked = [_checked(i, episode) for i, episode in enumerate(episodes)]
    if not checked:
        raise errors.DemonstrationError(
            "episodes must hold at least one; demonstrations.empty makes a buffer"
            " without any"
        )
    first = checked[0]
    for i, episode in enumerate(checked):
        _check_alike(i, episode, first)
    lengths = np.array([len(episode.actions) for episode in checked])
    longest = int(np.argmax(lengths))
    if horizon is not None and lengths[longest] > horizon:
        raise errors.DemonstrationError(
            f"episode {longest} has {lengths[longest]} steps, and the buffer has room"
            f" for horizon={horizon}"
        )
    if capacity is not None and len(checked) > capacity:
        raise errors.CapacityError(
            f"{len(checked)} episodes do not fit a buffer of capacity={capacity}"
        )
    observed = jax.tree.map(
        lambda leaf, *others: jax.ShapeDtypeStruct(
            leaf.shape[1:], jnp.result_type(leaf, *others)
        ),
        *(episode.observations for episode in checked),
    )
    blank = empty(
        len(checked) if capacity is None else capacity,
        int(lengths[longest]) if horizon is None else horizon,
        observed,
        action_size=first.actions.shape[1],
        task_size=first.task.shape[0],
    )
    buffer = jax.tree.map(np.array, blank)
    for row, (episode, length) in enumerate(zip(checked, lengths, strict=True)):
        parts = (buffer.observations, episode.observations)
        pairs = zip(*map(jax.tree.leaves, parts), strict=True)
        for rows, values in (*pairs, (buffer.actions, episode.actions)):
            rows[row, :length] = values
        buffer.step_mask[row, :length] = buffer.demo_mask[row] = True
        buffer.tasks[row], buffer.task_ids[row] = episode.task, episode.task_id
    return as_arrays(buffer)


def _checked(index: int, episode: Any) -> Episode:
    """The same with arrays of the host.

    Raises:
      DemonstrationError: for what is no episode by itself.
      UnknownNameError: for a field that episodes do not have.
    """
    if isinstance(episode, Mapping):
        for name in episode:
            errors.check_name(f"field of episode {index}", name, Episode._fields)
        missing = {"observations", "actions", "task"} - set(episode)
        if missing:
            raise _refused(index, f"lacks {', '.join(sorted(missing))}")
        episode = Episode(**episode)
    if not isinstance(episode, Episode):
        kind = type(episode).__name__
        raise _refused(
            index, f"must be an Episode or a mapping of its fields, is {kind}"
        )
    actions = _array(index, "actions", episode.actions, 2)
    task = _array(index, "task", episode.task, 1)
    named = named_leaves("observations", episode.observations)
    least = 2 if [name for name, _ in named] == ["observations"] else 1
    leaves = [_array(index, name, leaf, least) for name, leaf in named]
    structure = jax.tree.structure(episode.observations)
    steps = {"actions": len(actions)}
    steps |= {name: len(leaf) for (name, _), leaf in zip(named, leaves, strict=True)}
    if not leaves or len(set(steps.values())) > 1 or not len(actions):
        raise _refused(
            index,
            "must hold as many observations as actions, and one at least, but has"
            f" {', '.join(f'{count} of {name}' for name, count in steps.items())}",
        )
    try:
        ranges.check("task_id", episode.task_id, _TASK_ID)
    except errors.InvalidArgumentError as error:
        raise _refused(index, f"is malformed: {error}") from None
    observations = jax.tree.unflatten(structure, leaves)
    return Episode(observations, actions, task, int(episode.task_id))


def _array(index: int, name: str, values: Any, least_axes: int) -> np.ndarray:
    array = real_numbers(values)
    exact = name in ("actions", "task")
    if array is None or array.ndim < least_axes or (exact and array.ndim > least_axes):
        axes = f"{'' if exact else 'at least '}{least_axes}"
        got = type(values).__name__ if array is None else f"shape {array.shape}"
        raise _refused(
            index, f"must hold {name} as real numbers with {axes} axes, got {got}"
        )
    finite = is_finite(array)
    if not finite.all():
        step = np.argwhere(~finite)[0][0]
        where = "" if name == "task" else f" at step {step}"
        raise _refused(index, f"has {name} that are NaN or infinite{where}")
    return array


def _check_alike(index: int, episode: Episode, first: Episode) -> None:
    """Raises where an episode is not of the kind of the first one."""
    one, other = (
        {
            name: (
                np.shape(leaf)[field != "task" :],
                field == "observations" and jnp.issubdtype(leaf.dtype, jnp.floating),
            )
            for field in ("observations", "actions", "task")
            for name, leaf in named_leaves(field, getattr(given, field))
        }
        for given in (episode, first)
    )
    for name in one.keys() | other.keys():
        shapes = [kinds[name][0] if name in kinds else None for kinds in (one, other)]
        if shapes[0] != shapes[1]:
            sizes = [f"no {name}" if x is None else f"{name} of {x}" for x in shapes]
            raise _refused(index, f"has {sizes[0]} in a step, and episode 0 {sizes[1]}")
        if one[name] != other[name]:
            types = [
                "fractions" if kinds[name][1] else "whole numbers"
                for kinds in (one, other)
            ]
            raise _refused(
                index,
                f"has {name} as {types[0]}, and episode 0 as {types[1]}; give all of"
                " them as the same, on one scale",
            )


def _refused(index: int, words: str) -> errors.DemonstrationError:
    return errors.DemonstrationError(f"episode {index} {words}")
