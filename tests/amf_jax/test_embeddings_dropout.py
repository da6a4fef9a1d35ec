"""Monte Carlo dropout: covariances by hand, and masks that all points share."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import embeddings, errors
from amf_jax.policies import mlp
from tests.embedding_problems import EXAMPLES, examples, small_mlp


def test_kernel_is_the_covariance_over_passes():
    policy, params = small_mlp()
    passes, rate = 5, 0.4
    embedding = embeddings.dropout(policy.stochastic, rate=rate, passes=passes)
    points = jax.jit(embedding.embed)(params, jax.random.key(1), *examples())
    observations, _, tasks = examples()

    @jax.jit
    def one_pass(key):
        each = jax.vmap(lambda s, c: policy.stochastic(params, key, s, c, rate))
        return each(observations, tasks)

    keys = jax.random.split(jax.random.key(1), passes)
    drawn = np.stack([one_pass(key) for key in keys]).astype(float)
    expected = sum(
        np.cov(drawn[:, :, action], rowvar=False, bias=True)
        for action in range(drawn.shape[2])
    )
    assert points.shape == (EXAMPLES, passes * drawn.shape[2])
    np.testing.assert_allclose(
        embedding.kernel(points, points), expected, rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        embedding.diagonal(points), np.diag(expected), rtol=1e-4, atol=1e-6
    )


def test_a_key_draws_one_network_for_all_inputs():
    width, rate = 64, 0.25
    policy = mlp.policy(jnp.zeros(3), jnp.ones(3), 2, width, features=(width,))
    params = jax.jit(policy.init)(jax.random.key(0))
    params = {
        "params": params["params"]
        | {  # every hidden unit is 1, and the action is the hidden layer
            "norms_0": {"scale": jnp.zeros(width), "bias": jnp.ones(width)},
            "head": {"kernel": jnp.eye(width), "bias": jnp.zeros(width)},
        }
    }
    observations, _, tasks = examples()

    @jax.jit
    def masks(key):
        each = jax.vmap(lambda s, c: policy.stochastic(params, key, s, c, rate))
        return each(observations, tasks)

    drawn = np.stack([masks(jax.random.key(seed)) for seed in range(30)])
    kept = drawn != 0.0
    np.testing.assert_allclose(drawn[kept], 1.0 / (1.0 - rate), rtol=1e-6)
    np.testing.assert_array_equal(drawn, np.broadcast_to(drawn[:, :1], drawn.shape))
    assert len(np.unique(kept[:, 0], axis=0)) == 30
    # 1920 draws: a standard error of 0.01
    np.testing.assert_allclose(kept[:, 0].mean(), 1.0 - rate, atol=0.045)


def test_points_depend_on_the_key_and_not_on_the_labels():
    policy, params = small_mlp()
    embedding = embeddings.dropout(policy.stochastic, passes=4)
    embed = jax.jit(embedding.embed)
    observations, actions, tasks = examples()
    points = embed(params, jax.random.key(0), observations, actions, tasks)
    relabelled = embed(params, jax.random.key(0), observations, -actions, tasks)
    np.testing.assert_array_equal(points, relabelled)
    other = embed(params, jax.random.key(1), observations, actions, tasks)
    assert np.abs(points - other).max() > 1e-3


def test_a_policy_without_dropout_is_an_error():
    with pytest.raises(errors.InvalidArgumentError, match="this policy has no dropout"):
        embeddings.dropout(None)


@pytest.mark.parametrize("option", [{"rate": 0.0}, {"rate": 1.0}, {"passes": 1}])
def test_options_out_of_range_are_errors(option):
    policy, _ = small_mlp()
    ((name, value),) = option.items()
    with pytest.raises(errors.InvalidArgumentError, match=f"dropout {name} .*{value}"):
        embeddings.dropout(policy.stochastic, **option)


def test_the_registry_passes_rate_and_passes_on():
    rates = []

    def stochastic(params, key, observation, task, rate):
        rates.append(rate)
        return task

    policy = dataclasses.replace(small_mlp()[0], stochastic=stochastic)
    embedding = embeddings.make("dropout", policy, dropout_rate=0.3, dropout_passes=5)
    points = jax.eval_shape(embedding.embed, None, jax.random.key(0), *examples())
    assert points.shape == (EXAMPLES, 10) and rates == [0.3]
