"""Named settings of the `amf` selector."""

from collections.abc import Callable

from amf_jax import errors
from amf_jax.embeddings import Embedding
from amf_jax.selectors.amf import amf
from amf_jax.selectors.base import Selector


def amf_paper(
    embedding: Embedding, log_likelihood: Callable | None, **options
) -> Selector:
    """The paper's letter for neural policies (section 4.2 and appendix M.3).

    Plain weights, and a posterior that holds the candidate alone: what was demonstrated
    before is seen through the embeddings of a separate copy of the policy, which the
    caller fine-tunes on all but the warm-start demonstrations and passes as
    `context.embedding_params`. Options are those of `amf` and take precedence.
    """
    literal = dict(weights="plain", condition_on_history=False, frozen_embeddings=False)
    return amf(embedding, log_likelihood, **{**literal, **options})


def prior_entropy(
    embedding: Embedding,
    log_likelihood: Callable | None,
    *,
    criterion: str = "prior_entropy",
    **options,
) -> Selector:
    """Uncertainty sampling: the task that the policy is most uncertain about.

    No look-ahead: candidates are scored by their own entropy before they would be
    demonstrated, not by what their demonstration would leave elsewhere. This is an
    ablation of `amf`, and the rule that the paper uses MC dropout with (section 5.3).

    Args:
      embedding: as in `amf`; needs a `diagonal`.
      log_likelihood: as in `amf`.
      criterion: "prior_entropy"; any other is another rule.
      **options: those of `amf`.

    Raises:
      InvalidArgumentError: for another criterion, and as `amf`.
    """
    if criterion != "prior_entropy":
        raise errors.InvalidArgumentError(
            "criterion must be 'prior_entropy' for the selector of that name, got"
            f" {criterion!r}; other criteria are options of 'amf'"
        )
    return amf(embedding, log_likelihood, criterion=criterion, **options)
