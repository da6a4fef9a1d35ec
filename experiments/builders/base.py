"""What builders share: the parts of a cell, and a method's options under a config."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from amf_jax import demonstrations as demonstrations_lib
from amf_jax import errors, selectors
from amf_jax.demonstrations import Demonstrations
from amf_jax.embeddings import Embedding
from amf_jax.learners import EMBEDDING_POLICIES, Learner, LearnerState
from amf_jax.selectors import Selector
from experiments.methods import Method
from experiments.suites.base import Suite

# Streams of the suites' random numbers: none is drawn from twice.
PRETRAINING, DEMONSTRATIONS, EVALUATION = range(3)

#: Fields of `config.selection` that every active rule takes as they are.
_RULE_OPTIONS = (
    "noise_variance",
    "normalise_kernel",
    "likelihood_clip",
    "trajectory_samples",
)


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a driver is made of.

    Attributes:
      suite: the environment.
      learner: turns demonstrations into a policy.
      selector: decides what to demonstrate next, warm start included.
      pretraining: the demonstrations that pre-training sees.
      history: those that selection conditions on from the start.
      measure: further metrics of a state, by name.
    """

    suite: Suite
    learner: Learner
    selector: Selector
    pretraining: Demonstrations
    history: Demonstrations | None = None
    measure: Callable[[LearnerState], Mapping[str, float]] = lambda state: {}


def chosen(config: ConfigDict, field: str, otherwise: Any) -> Any:
    """The value of `config.selection.<field>`, or `otherwise` where it is open."""
    value = config.selection.get(field)
    return otherwise if value is None else value


def embedding_policy(config: ConfigDict, method: Method) -> str:
    """Which copy of the policy gives the embeddings.

    Raises:
      UnknownNameError: for one that does not exist.
    """
    name = chosen(config, "embedding_policy", method.embedding_policy)
    if name not in EMBEDDING_POLICIES:
        raise errors.UnknownNameError(
            "selection.embedding_policy", name, EMBEDDING_POLICIES
        )
    return name


def criterion(config: ConfigDict, method: Method, default: str) -> str:
    """The criterion of an active rule.

    Args:
      config: None in its `selection.criterion`, or the suite's default, leaves the
        choice to the method.
      method: None in its `criterion` leaves the choice to the suite.
      default: of the suite.

    Raises:
      InvalidArgumentError: if the config asks for another one than the method is about.
    """
    asked = config.selection.criterion
    if method.criterion is None:
        return asked or default
    if asked not in (None, default, method.criterion):
        raise errors.InvalidArgumentError(
            f"selection.criterion={asked!r} contradicts method={config.method!r}, which"
            f" is about {method.criterion!r}; use method='amf' with that criterion"
        )
    return method.criterion


def selector(
    config: ConfigDict,
    method: Method,
    embedding: Embedding,
    log_likelihood: Callable | None,
    pretraining_counts: Sequence[int],
    **options: Any,
) -> Selector:
    """Builds a method's selector with the options that its rule takes.

    Args:
      config: of the cell.
      method: of the cell.
      embedding: for rules that look at a model.
      log_likelihood: the same.
      pretraining_counts: demonstrations of each task in pre-training, for rules that
        are told.
      **options: further options of the active rules; they take precedence.

    Raises:
      InvalidArgumentError: for options that contradict each other.
    """
    if method.selector == "rebalancing":
        return selectors.make("rebalancing", pretraining_counts=pretraining_counts)
    if method.selector == "learning_progress":
        if not config.attempts:
            raise errors.InvalidArgumentError(
                f"method={config.method!r} looks at evaluation rollouts: attempts must"
                " be at least 1, got 0"
            )
        exploration = config.selection.exploration
        return selectors.make("learning_progress", exploration=exploration)
    if not selectors.get(method.selector).needs_model:
        return selectors.make(method.selector)
    fields = {
        name: config.selection[name]
        for name in _RULE_OPTIONS
        if name in config.selection
    }
    fields["weights"] = chosen(config, "weights", method.weights)
    return selectors.make(
        method.selector, embedding, log_likelihood, **(fields | options)
    )


def pretraining(suite: Suite, seed: int, allocation: Sequence[int]) -> Demonstrations:
    """The pre-training demonstrations: `allocation[c]` of each task c."""
    parts = [
        suite.demonstrate((seed, PRETRAINING, task), task, int(count))
        for task, count in enumerate(allocation)
        if count
    ]
    return demonstrations_lib.stack(parts)
