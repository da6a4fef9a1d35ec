"""Monte Carlo dropout: covariances of a policy whose hidden units drop out."""

import math
from collections.abc import Callable

import jax

from amf_jax import errors, ranges
from amf_jax.embeddings.base import Embedding, batched, linear


def dropout(
    stochastic: Callable | None,
    *,
    rate: float = 0.1,
    passes: int = 32,
    microbatch_size: int | None = None,
) -> Embedding:
    """Actions of T random passes, centred over the passes: no labels, no gradients.

    A point is `[T A]`, `(a_t - mean over t of a) / sqrt(T)`, so that the linear kernel
    is the empirical covariance over passes, summed over action dimensions, and the
    diagonal the predictive variance. Its rank is at most (T - 1) A.

    The masks depend on the key alone: all points of a call, and of another call with
    the same key, see the same T networks. Points embedded with different keys have no
    meaningful covariance; `selectors.amf` embeds all points of a selection with one
    key, and with `frozen_embeddings=True` those of all rounds.

    Dropout acts at selection only, on a policy that was trained without. So it does in
    the paper, whose section 5.3 compares with *test-time* dropout (Loquercio et al.,
    2020): it reports neither dropout in training nor the rate and the number of passes,
    which are choices of this library.

    Args:
      stochastic: as in `Policy.stochastic`, for one example.
      rate: probability with which a hidden unit is dropped, in (0, 1).
      passes: number T of passes, at least 2.
      microbatch_size: examples embedded at a time; None is all at once.

    Raises:
      InvalidArgumentError: if `stochastic` is None, or for arguments out of range.

    References:
      Gal and Ghahramani, "Dropout as a Bayesian approximation", ICML 2016; Loquercio,
      Segù and Scaramuzza, "A general framework for uncertainty estimation in deep
      learning", RA-L 2020.
    """
    if stochastic is None:
        raise errors.InvalidArgumentError(
            "stochastic must be a function, got None: this policy has no dropout"
        )
    ranges.check("dropout rate", rate, ranges.OPEN_SHARE)
    ranges.check("dropout passes", passes, ranges.at_least(2))  # else no variance

    def embed(params, key, observations, actions, tasks):
        del actions
        keys = jax.random.split(key, passes)

        def one(example):
            drawn = jax.vmap(lambda k: stochastic(params, k, *example, rate))(keys)
            centred = drawn - drawn.mean(axis=0, keepdims=True)
            return centred.ravel() / math.sqrt(passes)

        return batched(one, (observations, tasks), microbatch_size)

    return linear(embed)
