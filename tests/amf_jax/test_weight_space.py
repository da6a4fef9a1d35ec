"""Weight space: second moments, and when it is predicted to be cheaper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import embeddings, errors, posterior
from amf_jax.posterior import moments, spaces
from tests import problems

POLICY = problems.tiny_policy()
EMBEDDING = embeddings.last_layer_gradient(POLICY.last_layer)


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def condition(held, points, mask):
    """Adds the points of the mask to the history."""
    upper = jax.jit(moments.add_points)(held.second_moment, points, mask)
    return held._replace(second_moment=moments.mirrored(upper))


def variance(held, points):
    whitener, _ = moments.factor(held)
    return jnp.sum(moments.whiten(whitener, points) ** 2, axis=-1)


def conditioned(points, mask, noise=0.3, scale=2.0):
    held = moments.empty(points.shape[1], noise, scale)
    return condition(held, points, mask)


def test_the_variance_is_that_of_function_space():
    known, points = normal(6, 4), normal(5, 4, seed=1)
    mask = jnp.array([True, True, False, True, True, False])
    held = posterior.empty(known, 6, 0.3, 2.0)
    held = posterior.condition(embeddings.linear_kernel, held, known, mask, 0)
    expected = posterior.variance(
        embeddings.linear_kernel, embeddings.linear_diagonal, held, points
    )
    actual = variance(conditioned(known, mask), points)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_masked_points_may_hold_anything():
    known = normal(3, 2)
    mask = jnp.array([True, False, True])
    broken = known.at[1].set(jnp.nan)
    np.testing.assert_array_equal(
        conditioned(broken, mask).second_moment, conditioned(known, mask).second_moment
    )


def test_the_reduction_is_what_conditioning_takes_away():
    """Of the weighted variance, block by block, the last step of one not recorded."""
    known, visited, blocks = normal(4, 3), normal(7, 3, seed=1), normal(2, 3, 3, seed=2)
    weights = jnp.abs(normal(7, seed=3))
    steps = jnp.array([[True, True, True], [True, True, False]])
    held = conditioned(known, jnp.ones(4, bool))
    whitener, _ = moments.factor(held)
    moment = visited.T @ (weights[:, None] * visited)
    actual = moments.expected_variance_reduction(
        whitener,
        blocks,
        steps,
        moments.half(moments.whiten_moment(whitener, moment)),
        held.noise_variance,
    )
    before = variance(held, visited)
    for block, mask, value in zip(blocks, steps, actual, strict=True):
        after = variance(condition(held, block, mask), visited)
        np.testing.assert_allclose(value, weights @ (before - after), rtol=1e-4)


@pytest.mark.parametrize(("tolerance", "microbatch"), [(0.0, None), (None, 4)])
def test_both_spaces_give_the_same_scores(tolerance, microbatch):
    context = problems.tiny_context(task_ids=(0, 1, 0, 2, 1), capacity=7)
    infos = {}
    for space in spaces.SPACES:
        selector = problems.amf(
            EMBEDDING,
            POLICY.log_likelihood,
            noise_variance=0.3,
            weight_tolerance=tolerance,
            microbatch=microbatch,
            space=space,
        )
        state = jax.jit(selector.init)(context)
        _, _, infos[space] = jax.jit(selector.select)(jax.random.key(0), state, context)
    np.testing.assert_allclose(
        infos["weight"].scores, infos["function"].scores, rtol=1e-4
    )


def test_costs_are_those_of_the_documented_formulas():
    sizes = dict(pairs=3, horizon=4, history=5, width=6, features=7)
    searched = spaces.costs(**sizes, own=False)
    # 12 points twice: 24 x 12.5 to solve, 12 x 12 x (6 + 5 + 4) to compare
    assert searched["function"] == 300 + 2160
    # 12 x 12.5, then 12 x 12 x (5.5 + 4)
    assert spaces.costs(**sizes, own=True)["function"] == 150 + 1368
    # 12 x 24.5, then 12 x (49 + 56), then 2 x 343
    assert searched["weight"] == 294 + 1260 + 686


@pytest.mark.parametrize(("rows", "expected"), [(4, "function"), (1000, "weight")])
def test_the_cheaper_space_is_taken(rows, expected):
    context = problems.tiny_context(capacity=rows)
    selector = problems.amf(EMBEDDING, POLICY.log_likelihood)
    state = jax.eval_shape(selector.init, context)
    by_moments = isinstance(state.posterior, moments.MomentPosterior)
    assert by_moments == (expected == "weight")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(space="weigth"), errors.UnknownNameError, "Did you mean 'weight'"),
        (dict(space="weight", criterion="entropy"), ValueError, "got 'entropy'"),
    ],
)
def test_a_space_that_cannot_be_taken_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        problems.amf(EMBEDDING, POLICY.log_likelihood, **options)


def test_a_kernel_without_features_has_no_weight_space():
    embedding = EMBEDDING._replace(features=None)
    with pytest.raises(errors.InvalidArgumentError, match="embedding with features"):
        problems.amf(embedding, POLICY.log_likelihood, space="weight")


@pytest.mark.parametrize("space", spaces.SPACES)
@pytest.mark.parametrize("noise", [1.0, 0.1])
def test_single_precision_stays_within_its_bound(space, noise):
    """Of docs/sharp_bits.md, against the same selection in double precision."""
    ids = (0, 1, 2, 0, 1, 2, 0, 1)
    context = problems.tiny_context(task_ids=ids, capacity=8, horizon=20)

    def scores(context):
        selector = problems.amf(
            EMBEDDING, POLICY.log_likelihood, space=space, noise_variance=noise
        )
        state = jax.jit(selector.init)(context)
        _, _, info = jax.jit(selector.select)(jax.random.key(0), state, context)
        return np.asarray(info.scores)

    single = scores(context)
    with jax.enable_x64(True):
        double = scores(jax.tree.map(_double, context))
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    error = np.abs(single - double).max() / double.max()
    assert error <= 1e-5 / noise


def _double(leaf):
    floating = jnp.issubdtype(leaf.dtype, jnp.floating)
    return leaf.astype(jnp.float64) if floating else leaf
