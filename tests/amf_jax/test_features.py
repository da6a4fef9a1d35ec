"""Selection by features, and when it is predicted to be the cheaper path."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import cost, embeddings, errors, features, posterior, selectors
from tests import problems

pytestmark = pytest.mark.usefixtures("quick_compile")

POLICY = problems.tiny_policy()
EMBEDDING = embeddings.last_layer_gradient(POLICY.last_layer)


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def conditioned(points, mask, noise=0.3, scale=2.0):
    held = features.empty(points.shape[1], noise, scale)
    return jax.jit(features.condition)(held, points, mask)


def test_the_variance_is_that_of_the_path_by_kernels():
    known, points = normal(6, 4), normal(5, 4, seed=1)
    mask = jnp.array([True, True, False, True, True, False])
    held = posterior.empty(known, 6, 0.3, 2.0)
    held = posterior.condition(embeddings.linear_kernel, held, known, mask, 0)
    expected = posterior.variance(
        embeddings.linear_kernel, embeddings.linear_diagonal, held, points
    )
    actual = features.variance(conditioned(known, mask), points)
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
    whitener, _ = features.factor(held)
    moment = features.second_moment(visited, weights)
    actual = features.expected_variance_reduction(
        whitener,
        blocks,
        steps,
        features.half(features.whiten_moment(whitener, moment)),
        held.noise_variance,
    )
    before = features.variance(held, visited)
    for block, mask, value in zip(blocks, steps, actual, strict=True):
        after = features.variance(features.condition(held, block, mask), visited)
        np.testing.assert_allclose(value, weights @ (before - after), rtol=1e-4)


@pytest.mark.parametrize(("tolerance", "blocks_at_a_time"), [(0.0, None), (None, 4)])
def test_both_paths_give_the_same_scores(tolerance, blocks_at_a_time):
    context = problems.tiny_context(task_ids=(0, 1, 0, 2, 1), capacity=7)
    infos = {}
    for path in cost.PATHS:
        selector = selectors.amf(
            EMBEDDING,
            POLICY.log_likelihood,
            noise_variance=0.3,
            weight_tolerance=tolerance,
            blocks_at_a_time=blocks_at_a_time,
            path=path,
        )
        state = jax.jit(selector.init)(context)
        _, _, infos[path] = jax.jit(selector.select)(jax.random.key(0), state, context)
    np.testing.assert_allclose(infos["feature"].scores, infos["gram"].scores, rtol=1e-4)


def test_costs_are_those_of_the_documented_formulas():
    sizes = cost.Sizes(
        evaluated=3, blocks=2, horizon=4, history=5, width=6, features=7, own=False
    )
    # 12 points and 8 rows: 20 x 12.5 to solve, 8 x 12 x (6 + 5 + 4) to compare
    assert cost.multiply_adds("gram", sizes) == 250 + 1440
    # 12 x 12.5, then 8 x 12 x (5.5 + 4)
    assert cost.multiply_adds("gram", sizes._replace(own=True)) == 150 + 912
    # 12 x 24.5, then 8 x (49 + 56), then 2 x 343
    assert cost.multiply_adds("feature", sizes) == 294 + 840 + 686


@pytest.mark.parametrize(
    ("demonstrations", "expected"), [(4, "gram"), (1000, "feature")]
)
def test_the_cheaper_path_is_taken(demonstrations, expected):
    sizes = cost.Sizes(demonstrations, demonstrations, 50, 0, 265, 2313, own=True)
    assert cost.choose(None, sizes, has_features=True) == expected
    assert cost.choose(None, sizes, has_features=False) == "gram"
    assert cost.choose("gram", sizes, has_features=True) == "gram"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(path="features"), errors.UnknownNameError, "Did you mean 'feature'"),
        (dict(path="feature", criterion="entropy"), ValueError, "got 'entropy'"),
    ],
)
def test_a_path_that_cannot_be_taken_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        selectors.amf(EMBEDDING, POLICY.log_likelihood, **options)


def test_a_kernel_without_features_has_no_path_by_features():
    embedding = EMBEDDING._replace(features=None)
    with pytest.raises(errors.InvalidArgumentError, match="embedding with features"):
        selectors.amf(embedding, POLICY.log_likelihood, path="feature")


@pytest.mark.parametrize("path", cost.PATHS)
@pytest.mark.parametrize("noise", [1.0, 0.1])
def test_single_precision_stays_within_its_bound(path, noise):
    """Of docs/sharp_bits.md, against the same selection in double precision."""
    ids = (0, 1, 2, 0, 1, 2, 0, 1)
    context = problems.tiny_context(task_ids=ids, capacity=8, horizon=20)

    def scores(context):
        selector = selectors.amf(
            EMBEDDING, POLICY.log_likelihood, path=path, noise_variance=noise
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
