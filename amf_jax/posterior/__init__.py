"""What is known of the expert, and what a demonstration would add to it.

The names here are those of a Gaussian process given by its kernel: factor once, score
many. `function_space` and `weight_space` are the two implementations of one protocol
(`spaces.Space`) by which a selection is computed, with the same scores: by kernels
between all points that count, or by second moments of explicit embeddings.
"""

from amf_jax.posterior.gaussian_process import (
    Kernel,
    Points,
    Posterior,
    condition,
    empty,
    explained,
    factor_noisy,
    inverse_factor,
    mean_diagonal,
    rounding,
    safe_cholesky,
    underflow,
    variance,
    variance_given,
    whiten,
)

__all__ = [
    "Kernel",
    "Points",
    "Posterior",
    "condition",
    "empty",
    "explained",
    "factor_noisy",
    "inverse_factor",
    "mean_diagonal",
    "rounding",
    "safe_cholesky",
    "underflow",
    "variance",
    "variance_given",
    "whiten",
]
