"""The reduction of variance by kernels, against NumPy in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import embeddings, posterior, reduction

KERNEL = embeddings.linear_kernel
EMBEDDING = embeddings.Embedding(None, KERNEL, None)
NOISE, SCALE = 0.3, 1.7


def normal(*shape, seed=0):
    values = np.random.default_rng(seed).normal(size=shape)
    return jnp.asarray(values, jnp.float32)


def history(rows, width):
    """Conditioned on all but the last of some rows, which has room only."""
    points, mask = normal(rows, width, seed=7), jnp.arange(rows) < rows - 1
    held = posterior.empty(points, rows, NOISE, SCALE)
    return posterior.condition(KERNEL, held, points, mask, 0)


def covariance(held, x, y):
    """`k(x, y)` given the history, in units of the scaled kernel."""
    x, y, known = (np.asarray(v, float) for v in (x, y, held.points[held.mask]))
    inner = known @ known.T / SCALE + NOISE * np.eye(len(known))
    return (
        x @ y.T / SCALE - x @ known.T @ np.linalg.solve(inner, known @ y.T) / SCALE**2
    )


def expected(held, blocks, mask, points, weights):
    values = []
    for block, steps in zip(np.asarray(blocks), np.asarray(mask), strict=True):
        block = block[steps]
        across = covariance(held, block, points)
        own = covariance(held, block, block) + NOISE * np.eye(len(block))
        drop = np.sum(across * np.linalg.solve(own, across), axis=0)
        values.append(drop @ np.asarray(weights, float))
    return np.array(values)


def between(held, blocks, mask, points, weights, **options):
    """What blocks take from the variance of other points."""
    occupancy = reduction.Occupancy(points, weights)
    return reduction.expected_variance_reduction(
        EMBEDDING, held, blocks, mask, occupancy, **options
    )


def within(held, blocks, mask, weights, **options):
    """What blocks take from the variance of their own points."""
    points = blocks.reshape(-1, blocks.shape[-1])
    occupancy = reduction.Occupancy(points, weights.ravel())
    return reduction.own_variance_reduction(
        EMBEDDING, held, blocks, mask, occupancy, **options
    )


@pytest.mark.parametrize("together", [1, 2, 5, None])
def test_blocks_among_themselves(together):
    held, blocks = history(4, 6), normal(5, 3, 6)
    mask = jnp.ones((5, 3), bool).at[1, 2].set(False).at[4].set(False)
    weights = jnp.where(mask, jnp.abs(normal(5, 3, seed=3)), 0.0)
    actual = jax.jit(lambda: within(held, blocks, mask, weights, microbatch=together))()
    wanted = expected(held, blocks, mask, blocks.reshape(15, 6), weights.ravel())
    np.testing.assert_allclose(actual, wanted, rtol=2e-5)
    assert actual[4] == 0.0  # nothing of it is recorded


@pytest.mark.parametrize("together", [1, 2, None])
def test_blocks_and_other_points(together):
    held, blocks, points = history(4, 6), normal(5, 3, 6), normal(8, 6, seed=2)
    mask = jnp.ones((5, 3), bool).at[1, 2].set(False)
    weights = jnp.abs(normal(8, seed=3))
    actual = between(held, blocks, mask, points, weights, microbatch=together)
    wanted = expected(held, blocks, mask, points, weights)
    np.testing.assert_allclose(actual, wanted, rtol=2e-5)


def test_masked_steps_of_a_block_may_hold_anything():
    held, blocks, points = history(4, 6), normal(5, 3, 6), normal(8, 6, seed=2)
    mask = jnp.ones((5, 3), bool).at[1, 2].set(False)
    broken, weights = blocks.at[1, 2].set(jnp.nan), jnp.abs(normal(8, seed=3))
    actual = between(held, broken, mask, points, weights)
    wanted = expected(held, blocks, mask, points, weights)
    np.testing.assert_allclose(actual, wanted, rtol=2e-5)


def test_what_is_not_counted_is_not_looked_at():
    """Neither blocks nor points: they may hold NaN."""
    held, blocks = history(4, 6), normal(5, 3, 6)
    mask, weights = jnp.ones((5, 3), bool), jnp.abs(normal(5, 3, seed=3))
    broken, none = blocks.at[3:].set(jnp.nan), weights.at[3:].set(0.0)
    actual = within(held, broken, mask, none, count=jnp.int32(3), microbatch=1)
    wanted = expected(held, blocks, mask, blocks.reshape(15, 6), none.ravel())
    np.testing.assert_allclose(actual[:3], wanted[:3], rtol=2e-5)
    np.testing.assert_array_equal(actual[3:], 0.0)


def test_a_weight_that_is_not_a_number_is_noticed():
    held, blocks = history(4, 6), normal(2, 3, 6)
    weights = jnp.ones((2, 3)).at[0, 0].set(jnp.nan)
    actual = within(held, blocks, jnp.ones((2, 3), bool), weights)
    assert np.isnan(actual).all()


def test_a_block_seen_before_has_nothing_left_to_say():
    """Beyond its noise: the history holds the same points a thousand times over."""
    point = jnp.ones((1, 1))
    held = posterior.empty(point, 1, noise_variance=1.0)
    fresh = within(held, point[None], jnp.ones((1, 1), bool), jnp.ones((1, 1)))
    known = posterior.condition(KERNEL, held, point, jnp.array([True]), 0)
    again = within(known, point[None], jnp.ones((1, 1), bool), jnp.ones((1, 1)))
    np.testing.assert_allclose(fresh, 1 / 2)  # 1^2 / (1 + 1)
    np.testing.assert_allclose(again, 1 / 6, rtol=1e-6)  # (1/2)^2 / (1/2 + 1)
