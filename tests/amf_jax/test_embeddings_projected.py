"""The projected gradient: mean and variance of its kernel over projections."""

import functools

import jax
import numpy as np
import pytest

from amf_jax import embeddings, errors
from tests import problems
from tests.embedding_problems import EXAMPLES, examples, small_mlp

# The numbers of a point are independent and alike: each one is a projection to rank 1.
DRAWS = 60_000


def embed(embedding, params, key=0):
    return jax.jit(embedding.embed)(params, jax.random.key(key), *examples())


@functools.cache
def mlp_points():
    """The MLP's layers, and its points under many projections to rank 1."""
    policy, params = small_mlp()
    exact = embeddings.network_gradient(policy.layer_gradients)
    sketched = embeddings.projected_gradient(policy.layer_gradients, rank=DRAWS)
    points = np.sqrt(DRAWS) * np.asarray(embed(sketched, params), float)
    return embed(exact, params), points


def moments(layers, x, y):
    """Mean and variance of an estimate of rank 1, as the docstring states them."""
    kernel, excess = np.zeros((2, 2)), 0.0
    for layer in layers:
        first, second = (np.asarray(factor, float)[[x, y]] for factor in layer)
        d = second @ second.T
        if isinstance(layer, embeddings.FactoredGradient):
            c = first @ first.T + 1.0
            kernel += c * d
            excess += c[0, 1] ** 2 * (d[0, 1] ** 2 + d[0, 0] * d[1, 1])
            excess += c[0, 0] * c[1, 1] * d[0, 1] ** 2
        else:
            kernel += (first * second) @ (first * second).T + d
    k = kernel[0, 1]
    return k, kernel[0, 0] * kernel[1, 1] + k**2 + 2.0 * excess


@pytest.mark.parametrize("pair", [(0, 0), (0, 1), (2, 5)])
def test_kernel_is_unbiased_with_the_stated_variance(pair):
    layers, points = mlp_points()
    values = points[pair[0]] * points[pair[1]]
    mean, variance = moments(layers, *pair)
    assert abs(values.mean() - mean) < 4.0 * np.sqrt(variance / DRAWS)
    np.testing.assert_allclose(values.var(), variance, rtol=0.15)


def test_one_dense_layer_meets_the_bound():
    policy = problems.tiny_policy()
    params = policy.init(jax.random.key(0))

    def layer_gradients(*arguments):
        return (embeddings.FactoredGradient(*policy.last_layer(*arguments)),)

    embedding = embeddings.projected_gradient(layer_gradients, rank=DRAWS)
    values = np.asarray(embed(embedding, params), float) ** 2
    # squares of two standard normals: E[u^4 v^4] - 1 = 9 - 1
    relative = values.var(axis=1) / values.mean(axis=1) ** 2
    np.testing.assert_allclose(relative.mean(), 8.0, rtol=0.15)


def test_the_projection_depends_on_the_seed_alone():
    policy, params = small_mlp()

    def points(seed, key):
        embedding = embeddings.projected_gradient(
            policy.layer_gradients, rank=3, seed=seed
        )
        return np.asarray(embed(embedding, params, key))

    first = points(0, 0)
    np.testing.assert_array_equal(first, points(0, 1))
    assert np.abs(first - points(1, 0)).max() > 0.1
    assert first.shape == (EXAMPLES, 3)


def test_the_registry_passes_the_rank_on():
    policy, params = small_mlp()
    embedding = embeddings.make("projected_gradient", policy, projection_rank=4)
    points = jax.eval_shape(embedding.embed, params, jax.random.key(0), *examples())
    assert points.shape == (EXAMPLES, 4)


def test_rank_below_one_is_an_error():
    policy, _ = small_mlp()
    with pytest.raises(errors.InvalidArgumentError, match=r"rank .*at least 1, got 0"):
        embeddings.projected_gradient(policy.layer_gradients, rank=0)
