"""The registry of selectors: one line each."""

from collections.abc import Callable

from amf_jax import errors
from amf_jax.embeddings import Embedding
from amf_jax.selectors.amf import amf, amf_paper
from amf_jax.selectors.base import Selector
from amf_jax.selectors.uniform import uniform


def _without_model(build: Callable[..., Selector]) -> Callable[..., Selector]:
    """Gives a selector that needs no model the signature that the others have."""

    def with_model(embedding, log_likelihood, **options):
        del embedding, log_likelihood
        return build(**options)

    return with_model


#: `(embedding, log_likelihood, **options) -> Selector` by name.
SELECTORS: dict[str, Callable[..., Selector]] = {
    "amf": amf,
    "amf_paper": amf_paper,
    "uniform": _without_model(uniform),
}


def make(
    name: str,
    embedding: Embedding | None = None,
    log_likelihood: Callable | None = None,
    **options,
) -> Selector:
    """Builds a selector by name.

    Args:
      name: a key of `SELECTORS`.
      embedding: how (state, task) pairs become points, for selectors that need it.
      log_likelihood: as in `Policy.log_likelihood`, for weights that need it.
      **options: hyperparameters of the selector.

    Raises:
      UnknownNameError: with the nearest valid name.
    """
    if name not in SELECTORS:
        raise errors.UnknownNameError("selector", name, SELECTORS)
    return SELECTORS[name](embedding, log_likelihood, **options)
