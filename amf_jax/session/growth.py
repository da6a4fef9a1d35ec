"""Runs that go on with a larger budget: which arrays grow, and with what."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from amf_jax.carry import carry_over
from amf_jax.demonstrations import Demonstrations
from amf_jax.learners import LearnerState
from amf_jax.rounds import RunState
from amf_jax.session import fingerprint


def shapes(
    there: dict[str, Any],
    here: dict[str, Any],
    blank: Demonstrations,
    initial: Callable[[Demonstrations, int], RunState],
    updated: Callable[[LearnerState, Demonstrations], LearnerState],
    where: Any,
) -> RunState:
    """The state of a stored run as shapes, if it is this one with no larger budget.

    Args:
      there: fingerprint of the stored run.
      here: of the arguments of this one.
      blank: empty buffer of this one.
      initial: as of `Checkpointer.restore`.
      updated: the same.
      where: the run is stored, for the message.

    Raises:
      CheckpointError: it is another run's.
    """

    def sized(budget: Mapping[str, Any]) -> RunState:
        rows, rounds = budget["capacity"], budget["rounds"]
        empty = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((rows, *leaf.shape[1:]), leaf.dtype),
            blank,
        )
        return jax.eval_shape(lambda demos: initial(demos, rounds), empty)

    before = sized(there)
    now = here | fingerprint.of_states(before.learner, before.selector)
    grows: dict[str, set[tuple[int, int]]] = {"learner": set(), "selector": set()}
    if any(there[name] != here[name] for name in fingerprint.GROWING):
        larger = sized(here)
        grows["selector"] = fingerprint.growth(before.selector, larger.selector)
        grows["learner"] = _growth_of_learner(updated, before, larger)
    fingerprint.check_same(there, now, grows, where)
    states = fingerprint.sized_as(there, before.learner, before.selector)
    return RunState(before.demos, *states)


def grown(
    held: RunState,
    initial: Callable[[Demonstrations, int], RunState],
    blank: Demonstrations,
    rounds: int,
) -> RunState:
    """The state in the sizes of `initial(blank, rounds)`, fresh behind what it held."""
    wanted = jax.eval_shape(lambda: initial(blank, rounds))
    small = [_sizes(old) != _sizes(new) for old, new in zip(held, wanted, strict=True)]
    if not any(small):
        return held

    @jax.jit  # which leaves out what only the other parts need, such as training
    def fresh():
        pairs = zip(initial(blank, rounds), small, strict=True)
        return [part if grows else () for part, grows in pairs]

    pairs = zip(held, fresh(), small, strict=True)
    return RunState(*(carry_over(*two) if grows else two[0] for *two, grows in pairs))


def _growth_of_learner(
    updated: Callable[[LearnerState, Demonstrations], LearnerState],
    before: RunState,
    now: RunState,
) -> set[tuple[int, int]]:
    """Which sizes of a learner follow from the buffer that it is given.

    Its `init` is given none: only what an update makes of two buffers tells them from
    the sizes of another network.
    """
    try:
        small, large = (
            jax.eval_shape(updated, state.learner, state.demos)
            for state in (before, now)
        )
    except Exception:  # the caller's own, which takes no other buffer than its own
        return set()
    return fingerprint.growth(small, large)


def _sizes(tree: Any) -> Any:
    return jax.tree.structure(tree), [leaf.shape for leaf in jax.tree.leaves(tree)]
