"""Slopes of the selector's own objective, against finite differences in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import embeddings
from amf_jax.candidates import unlisted, value_and_slope
from amf_jax.policies import gp
from tests import embedding_problems, problems

POINTS = np.array([[0.3, -0.4], [-1.1, 0.2], [0.9, 1.3]])
STEP = 1e-5


def compare(points):
    """An optimiser whose scores are slopes, then central differences `[2, D, K]`."""

    def optimise(key, objective, tasks):
        at = jnp.asarray(points, tasks.dtype)

        def value(tasks):
            return objective(unlisted(tasks))

        _, slopes = value_and_slope(value, at)
        steps = STEP * jnp.eye(at.shape[1])[:, None]
        shifted = jnp.concatenate([at[None] + steps, at[None] - steps])
        ahead, behind = value(shifted.reshape(-1, at.shape[1])).reshape(2, *at.T.shape)
        rows = jnp.concatenate([slopes.T, (ahead - behind) / (2 * STEP)])
        return unlisted(jnp.tile(at, (len(rows), 1))), rows.ravel()

    return optimise


def slopes_and_differences(embedding, log_likelihood, context, **options):
    selector = problems.amf(
        embedding, log_likelihood, optimiser=compare(POINTS), **options
    )
    state = selector.init(context)
    _, _, info = jax.jit(selector.select)(jax.random.key(0), state, context)
    slopes, differences = np.asarray(info.scores).reshape(2, 2, len(POINTS))
    return slopes, differences


def check(slopes, differences):
    assert slopes.dtype == np.float64
    assert (np.abs(differences) > 1e-5).any()
    np.testing.assert_allclose(slopes, differences, rtol=2e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("criterion", "options"),
    [
        ("entropy", dict(normalise_kernel=False, likelihood_clip=(-12.0, 0.0))),
        ("prior_entropy", dict(weights="plain", trajectory_samples=3)),
    ],
)
def test_slopes_of_gaussian_processes_are_those_of_finite_differences(
    criterion, options
):
    with jax.enable_x64(True):
        context = problems.tiny_context(dtype=jnp.float64)
        hyperparameters = gp.Hyperparameters(0.9, 0.8, signal=1.0, noise=0.4)
        params = jax.jit(gp.condition)(hyperparameters, context.demos)
        context = context._replace(params=params, embedding_params=params)
        found = slopes_and_differences(
            gp.embedding(),
            gp.policy().log_likelihood,
            context,
            criterion=criterion,
            noise_variance=0.16,
            **options,
        )
        check(*found)


@pytest.mark.parametrize(
    ("embedding", "options"),
    [
        ("last_layer_gradient", dict(space="weight")),
        ("network_gradient", dict(space="function", weight_tolerance=None)),
    ],
)
def test_slopes_of_networks_are_those_of_finite_differences(embedding, options):
    with jax.enable_x64(True):
        context = problems.tiny_context(dtype=jnp.float64)
        policy, params = embedding_problems.small_mlp(jnp.float64)
        context = context._replace(params=params, embedding_params=params)
        found = slopes_and_differences(
            embeddings.make(embedding, policy),
            policy.log_likelihood,
            context,
            **options,
        )
        check(*found)


def test_where_pairs_are_pruned_the_slope_is_that_of_the_pairs_that_are_kept():
    with jax.enable_x64(True):
        context = problems.tiny_context(dtype=jnp.float64)
        policy = problems.tiny_policy(likelihood_std=0.5)
        embedding = embeddings.last_layer_gradient(policy.last_layer)
        options = dict(space="function", criterion="variance")
        whole, _ = slopes_and_differences(
            embedding, policy.log_likelihood, context, **options
        )
        pruned = slopes_and_differences(
            embedding, policy.log_likelihood, context, weight_tolerance=0.3, **options
        )
        check(*pruned)
        assert np.abs(pruned[0] - whole).max() > 1e-3 * np.abs(whole).max()
