"""What every registered embedding promises, on the MLP, and the registry itself."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import embeddings, errors, posterior
from amf_jax.policies.base import Policy
from tests.embedding_problems import EXAMPLES, examples, small_mlp

pytestmark = [
    pytest.mark.parametrize("name", embeddings.EMBEDDINGS),
]

BATCHED = {
    "last_layer_gradient": lambda policy, size: embeddings.last_layer_gradient(
        policy.last_layer, microbatch_size=size
    ),
    "network_gradient": lambda policy, size: embeddings.network_gradient(
        policy.layer_gradients, microbatch_size=size
    ),
    "loss_gradient": lambda policy, size: embeddings.loss_gradient(
        policy.loss, microbatch_size=size
    ),
    "projected_gradient": lambda policy, size: embeddings.projected_gradient(
        policy.layer_gradients, microbatch_size=size
    ),
    "last_layer_feature": lambda policy, size: embeddings.last_layer_feature(
        policy.last_layer, microbatch_size=size
    ),
    "dropout": lambda policy, size: embeddings.dropout(
        policy.stochastic, microbatch_size=size
    ),
}


def embed(embedding):
    _, params = small_mlp()
    return jax.jit(embedding.embed)(params, jax.random.key(2), *examples())


@functools.cache
def embedded(name):
    """The embedding, its points, and their kernel."""
    policy, _ = small_mlp()
    embedding = embeddings.make(name, policy)
    points = embed(embedding)
    return embedding, points, np.asarray(jax.jit(embedding.kernel)(points, points))


def assert_same_points(got, expected):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
        got,
        expected,
    )


def test_kernel_is_a_covariance(name):
    embedding, points, kernel = embedded(name)
    size = np.diag(kernel).max()
    assert kernel.shape == (EXAMPLES, EXAMPLES) and kernel.dtype == np.float32
    assert size > 0
    np.testing.assert_allclose(kernel, kernel.T, rtol=1e-5, atol=1e-6 * size)
    assert np.linalg.eigvalsh(kernel.astype(float)).min() > -1e-5 * size
    np.testing.assert_allclose(embedding.diagonal(points), np.diag(kernel), rtol=1e-5)


def test_points_lead_with_the_examples(name):
    _, points, _ = embedded(name)
    for leaf in jax.tree.leaves(points):
        assert leaf.shape[0] == EXAMPLES and leaf.dtype == np.float32


def test_a_subset_gives_the_rows_of_all(name):
    embedding, points, _ = embedded(name)
    _, params = small_mlp()
    subset = [array[2:5] for array in examples()]
    alone = jax.jit(embedding.embed)(params, jax.random.key(2), *subset)
    assert_same_points(alone, jax.tree.map(lambda leaf: leaf[2:5], points))


def test_microbatches_give_the_same_points(name):
    policy, _ = small_mlp()
    _, points, _ = embedded(name)
    assert_same_points(embed(BATCHED[name](policy, 3)), points)


def test_points_go_through_the_buffers_of_a_posterior(name):
    embedding, points, kernel = embedded(name)
    scale, held = np.diag(kernel).mean(), 3
    template = jax.eval_shape(lambda: points)
    prior = posterior.empty(template, 5, noise_variance=0.5, scale=scale)
    first = jax.tree.map(lambda leaf: leaf[:held], points)
    given = posterior.condition(
        embedding.kernel, prior, first, jnp.ones(held, bool), start=1
    )
    variance = posterior.variance(embedding.kernel, embedding.diagonal, given, points)

    scaled = kernel.astype(float) / scale
    noisy = scaled[:held, :held] + 0.5 * np.eye(held)
    expected = np.diag(scaled) - np.sum(
        scaled[:held] * np.linalg.solve(noisy, scaled[:held]), axis=0
    )
    np.testing.assert_allclose(variance, expected, rtol=1e-3, atol=1e-5)


def test_an_unknown_name_offers_the_nearest(name):
    policy, _ = small_mlp()
    with pytest.raises(errors.UnknownNameError, match=f"Did you mean '{name}'"):
        embeddings.make(name + "s", policy)


def test_a_policy_that_lacks_what_is_needed_is_an_error(name):
    bare = Policy(loss=lambda *_: 0.0, act=lambda *_: 0.0)
    if name == "loss_gradient":  # needs the loss alone
        assert embeddings.make(name, bare).diagonal is not None
        return
    with pytest.raises(errors.InvalidArgumentError, match="got None: this policy"):
        embeddings.make(name, bare)
