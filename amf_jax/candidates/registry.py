"""The registry of optimisers: one line each."""

from collections.abc import Callable
from typing import NamedTuple

from amf_jax import errors
from amf_jax.candidates.base import Optimiser
from amf_jax.candidates.cross_entropy import cross_entropy
from amf_jax.candidates.enumeration import enumerate_tasks
from amf_jax.candidates.gradient import gradient_refinement
from amf_jax.candidates.shooting import random_shooting
from amf_jax.candidates.space import TaskSpace


class Entry(NamedTuple):
    """A registered optimiser.

    Attributes:
      build: `(space, **options) -> Optimiser`, or `(**options) -> Optimiser` for one
        that keeps to the evaluation tasks.
      options: names of its hyperparameters.
      needs_space: which of the two.
    """

    build: Callable[..., Optimiser]
    options: tuple[str, ...]
    needs_space: bool = True


OPTIMISERS = {
    "enumerate_tasks": Entry(enumerate_tasks, (), needs_space=False),
    "random_shooting": Entry(
        lambda space, **options: random_shooting(space.sample, **options), ("budget",)
    ),
    "gradient_refinement": Entry(
        gradient_refinement, ("budget", "refined", "steps", "learning_rate")
    ),
    "cross_entropy": Entry(
        cross_entropy, ("budget", "generations", "elite_share", "least_deviation")
    ),
}


def make(name: str, space: TaskSpace | None = None, **options) -> Optimiser:
    """Builds an optimiser by name.

    Args:
      name: a key of `OPTIMISERS`.
      space: of the tasks, for optimisers that leave the evaluation tasks.
      **options: hyperparameters of the optimiser.

    Raises:
      UnknownNameError: for the name or an option, with the nearest valid one.
      InvalidArgumentError: if there is no space where one is needed, or an option is
        out of range.

    Example:
      >>> make("cross_entrpy")
      Traceback (most recent call last):
      amf_jax.errors.UnknownNameError: unknown optimiser 'cross_entrpy'. Did ...
    """
    errors.check_name("optimiser", name, OPTIMISERS)
    entry = OPTIMISERS[name]
    for option in options:
        errors.check_name(f"option of {name}", option, entry.options)
    if not entry.needs_space:
        return entry.build(**options)
    if space is None:
        raise errors.InvalidArgumentError(
            f"optimiser {name!r} needs the space of the tasks, got None; see"
            " amf_jax.candidates.TaskSpace"
        )
    return entry.build(space, **options)
