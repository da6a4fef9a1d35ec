"""Examples and policies that the tests of embeddings share."""

import jax
import jax.numpy as jnp
import numpy as np

from amf_jax.policies import mlp
from tests import problems

EXAMPLES = 7


def examples(seed=0, dtype=jnp.float32):
    """Observations, actions and tasks of a few steps."""
    rng = np.random.default_rng(seed)
    sizes = problems.OBSERVATION_SIZE, problems.ACTION_SIZE, problems.TASK_SIZE
    return [jnp.asarray(rng.normal(size=(EXAMPLES, size)), dtype) for size in sizes]


def small_mlp(dtype=jnp.float32):
    """An MLP policy with a normaliser that matters, and its parameters.

    The parameters are moved from where they start, so that no scale is one and no bias
    is zero.
    """
    policy = mlp.policy(
        jnp.asarray([0.5, -1.0, 0.0], dtype),
        jnp.asarray([2.0, 0.5, 1.0], dtype),
        problems.TASK_SIZE,
        problems.ACTION_SIZE,
        features=(6, 5),
    )
    params = jax.jit(policy.init)(jax.random.key(0))
    rng = np.random.default_rng(3)
    return policy, jax.tree.map(
        lambda x: x.astype(dtype) + jnp.asarray(0.3 * rng.normal(size=x.shape), dtype),
        params,
    )
