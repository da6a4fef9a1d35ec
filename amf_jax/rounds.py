"""One round as pure functions: what `ActiveFineTuner` and `loop.run` have in common.

A round selects, takes in what was delivered, fine-tunes and evaluates. Between the
parts anything may happen: the driver waits for people, `loop.run` traces on.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float, Key

from amf_jax import demonstrations as demonstrations_lib
from amf_jax.demonstrations import Demonstrations
from amf_jax.learners import Learner, LearnerState
from amf_jax.selectors.base import Choice, Selector, check_frozen
from amf_jax.selectors.batch import select_batch
from amf_jax.selectors.context import Context, Pending


class RunState(NamedTuple):
    """What a run carries from round to round.

    Attributes:
      demos: collected so far.
      learner: state of the learner.
      selector: state of the selector.
    """

    demos: Demonstrations
    learner: LearnerState
    selector: Any


class RoundKeys(NamedTuple):
    """Keys of the random parts of a round; round 0 selects nothing, and pre-trains."""

    select: Any
    finetune: Key[Array, ""]
    evaluate: Key[Array, ""]


def keys(root: Key[Array, ""], index: Any) -> RoundKeys:
    """The keys of a round: children of `fold_in(root, index)`."""
    own = jax.random.fold_in(root, index)
    if isinstance(index, int) and index == 0:
        return RoundKeys(None, *jax.random.split(own))
    return RoundKeys(*jax.random.split(own, 3))


def later_key(root: Key[Array, ""], index: int, before: int) -> Key[Array, ""]:
    """The key of a selection behind `before` choices of its round."""
    # The children 0 to 2 are those of `keys`.
    return jax.random.fold_in(jax.random.fold_in(root, index), 2 + before)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Round:
    """What every round of a run does; an argument of functions that are jitted.

    Attributes:
      learner: turns demonstrations into a policy.
      selector: decides what to demonstrate next.
      tasks: evaluation tasks.
      task_weights: their probabilities mu_C.
    """

    learner: Learner = dataclasses.field(metadata={"static": True})
    selector: Selector = dataclasses.field(metadata={"static": True})
    tasks: Float[Array, "C D"]
    task_weights: Float[Array, " C"]

    def start(
        self,
        root: Key[Array, ""],
        blank: Demonstrations,
        pretraining: Demonstrations | None,
        history: Demonstrations | None,
        evaluations: Any | None,
    ) -> RunState:
        """The state before the first round, pre-training included.

        Args:
          root: key of the run.
          blank: empty buffer.
          pretraining: demonstrations that the learner pre-trains on, or None.
          history: demonstrations that the selector conditions on, or None.
          evaluations: as in `Context`.
        """
        learner = self.learner.init(keys(root, 0).finetune, pretraining)
        state = RunState(blank, learner, None)
        context = self._context(state, evaluations, None)
        return state._replace(selector=self.selector.init(context, history))

    def select(
        self,
        key: Key[Array, ""],
        state: RunState,
        evaluations: Any | None,
        pending: Pending | None,
        size: int,
    ) -> tuple[Choice, Any, Any]:
        """Chooses `size` tasks, as `select_batch` returns them."""
        context = self._context(state, evaluations, pending)
        return select_batch(self.selector, key, state.selector, context, size)

    def absorb(self, state: RunState, new: Demonstrations) -> RunState:
        """The state with further demonstrations at hand."""
        return state._replace(demos=demonstrations_lib.append(state.demos, new))

    def finetune(
        self, key: Key[Array, ""], state: RunState
    ) -> tuple[LearnerState, dict[str, Array]]:
        """The learner's state after a round on all demonstrations, and its metrics.

        Raises:
          InvalidArgumentError: embeddings move that the selector takes to be frozen.
        """
        new, metrics = self.learner.update(key, state.learner, state.demos)
        before = state.learner.embedding_params
        check_frozen(self.selector, before, new.embedding_params)
        return new, metrics

    def _context(
        self, state: RunState, evaluations: Any | None, pending: Pending | None
    ) -> Context:
        return Context(
            demos=state.demos,
            tasks=self.tasks,
            task_weights=self.task_weights,
            params=state.learner.params,
            embedding_params=state.learner.embedding_params,
            evaluations=evaluations,
            pending=pending,
        )
