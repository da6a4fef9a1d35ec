"""The registry of selectors: one line each."""

from collections.abc import Callable
from typing import NamedTuple

from amf_jax import errors
from amf_jax.embeddings import Embedding
from amf_jax.selectors.amf import amf
from amf_jax.selectors.base import Selector
from amf_jax.selectors.learning_progress import learning_progress
from amf_jax.selectors.presets import amf_paper, prior_entropy
from amf_jax.selectors.rebalancing import rebalancing
from amf_jax.selectors.round_robin import round_robin
from amf_jax.selectors.uniform import uniform


class Entry(NamedTuple):
    """A registered selector.

    Attributes:
      build: `(embedding, log_likelihood, **options) -> Selector`, or `(**options) ->
        Selector` for a rule that looks at no model.
      needs_model: which of the two.
      needs_counts: whether it is told `pretraining_counts`, by task.
      needs_success: whether it looks at the success of evaluations.
      options: names of its other options, of rules that look at no model.
    """

    build: Callable[..., Selector]
    needs_model: bool
    needs_counts: bool = False
    needs_success: bool = False
    options: tuple[str, ...] = ()


SELECTORS = {
    "amf": Entry(amf, needs_model=True),
    "amf_paper": Entry(amf_paper, needs_model=True),
    "prior_entropy": Entry(prior_entropy, needs_model=True),
    "uniform": Entry(uniform, needs_model=False),
    "round_robin": Entry(round_robin, needs_model=False),
    "rebalancing": Entry(rebalancing, needs_model=False, needs_counts=True),
    "learning_progress": Entry(
        learning_progress,
        needs_model=False,
        needs_success=True,
        options=("exploration",),
    ),
}


def get(name: str) -> Entry:
    """The entry of this name.

    Raises:
      UnknownNameError: with the nearest valid name.
    """
    errors.check_name("selector", name, SELECTORS)
    return SELECTORS[name]


def make(
    name: str,
    embedding: Embedding | None = None,
    log_likelihood: Callable | None = None,
    **options,
) -> Selector:
    """Builds a selector by name.

    Args:
      name: a key of `SELECTORS`.
      embedding: how (state, task) pairs become points, for rules that look at a model.
      log_likelihood: as in `Policy.log_likelihood`, for weights that need it.
      **options: hyperparameters of the selector.

    Raises:
      UnknownNameError: with the nearest valid name.
      InvalidArgumentError: if the rule needs an embedding and there is none.

    Example:
      >>> make("unifrom")
      Traceback (most recent call last):
      amf_jax.errors.UnknownNameError: unknown selector 'unifrom'. Did you mean ...
    """
    entry = get(name)
    if not entry.needs_model:
        return entry.build(**options)
    if embedding is None:
        raise errors.InvalidArgumentError(
            f"selector {name!r} needs an embedding, got None; see amf_jax.embeddings"
        )
    return entry.build(embedding, log_likelihood, **options)
