"""Posterior variance against scikit-learn and NumPy."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from sklearn.gaussian_process import GaussianProcessRegressor, kernels

from amf_jax import criteria, posterior
from amf_jax.embeddings import linear_diagonal, linear_kernel

LENGTH_SCALE = 0.8


def rbf(x, y):
    squared = jnp.sum((x[:, None, :] - y[None, :, :]) ** 2, axis=-1)
    return jnp.exp(-0.5 * squared / LENGTH_SCALE**2)


def rbf_diagonal(x):
    return jnp.ones(x.shape[0], x.dtype)


safe_cholesky = jax.jit(posterior.safe_cholesky)
condition = jax.jit(functools.partial(posterior.condition, rbf))
variance = jax.jit(functools.partial(posterior.variance, rbf, rbf_diagonal))
linear_condition = jax.jit(functools.partial(posterior.condition, linear_kernel))
linear_variance = jax.jit(
    functools.partial(posterior.variance, linear_kernel, linear_diagonal)
)


def conditioned(points, noise_variance, capacity=None, scale=1.0):
    """The posterior given all of `points` at once."""
    count = points.shape[0]
    capacity = count if capacity is None else capacity
    prior = posterior.empty(
        points, capacity, noise_variance, scale=scale, dtype=points.dtype
    )
    return condition(prior, points, jnp.ones(count, bool), 0)


def points(seed, count, size=2, dtype=jnp.float32):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(count, size)), dtype)


@pytest.mark.parametrize("noise_variance", [0.05, 1.0])
def test_variance_and_entropy_match_scikit_learn(noise_variance):
    known, queries = points(0, 9), points(1, 7)
    reference = GaussianProcessRegressor(
        kernels.RBF(LENGTH_SCALE, "fixed"), alpha=noise_variance, optimizer=None
    ).fit(np.asarray(known, float), np.zeros(9))
    _, deviation = reference.predict(np.asarray(queries, float), return_std=True)

    held = conditioned(known, noise_variance)
    actual = variance(held, queries)
    np.testing.assert_allclose(actual, deviation**2, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        criteria.entropy_of(actual, 1e-12),
        0.5 * np.log(2 * np.pi * np.e * deviation**2),
        rtol=1e-4,
        atol=1e-4,
    )
    assert held.jitter == 0


def test_solved_rows_are_those_of_a_double_precision_solve():
    """Both ways: by the factor, and by its inverse."""
    known, asked = np.asarray(points(0, 9), float), points(1, 20)
    held = conditioned(points(0, 9), 1e-3, capacity=11)
    gram, across = (
        np.asarray(rbf(known, x), float) for x in (known, np.asarray(asked))
    )
    factor = np.linalg.cholesky(gram + 1e-3 * np.eye(9))
    expected = np.zeros((11, 20))
    expected[:9] = np.linalg.solve(factor, across)
    for inverse in (None, posterior.inverse_factor(held)):
        found = posterior.whiten(rbf, held, asked, inverse)
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_scale_divides_the_kernel():
    # k/s with noise v is (k with noise s v)/s
    known, queries, scale = points(0, 6), points(1, 5), 4.0
    reference = GaussianProcessRegressor(
        kernels.RBF(LENGTH_SCALE, "fixed"), alpha=scale * 0.3, optimizer=None
    ).fit(np.asarray(known, float), np.zeros(6))
    _, deviation = reference.predict(np.asarray(queries, float), return_std=True)
    held = conditioned(known, 0.3, scale=scale)
    np.testing.assert_allclose(
        variance(held, queries), deviation**2 / scale, rtol=1e-4, atol=1e-6
    )


def test_empty_posterior_is_the_prior():
    held = posterior.empty(points(0, 1), 5, 0.1, scale=2.0)
    np.testing.assert_allclose(variance(held, points(1, 3)), [0.5, 0.5, 0.5])


def test_incremental_factor_is_the_batch_factor():
    with jax.enable_x64(True):
        known = points(0, 9, dtype=jnp.float64)
        held = posterior.empty(known, 9, 0.2, dtype=jnp.float64)
        for start in (0, 3, 6):
            block = known[start : start + 3]
            held = condition(held, block, jnp.ones(3, bool), start)
        squared = np.sum((known[:, None] - known[None, :]) ** 2, axis=-1)
        matrix = np.exp(-0.5 * squared / LENGTH_SCALE**2) + 0.2 * np.eye(9)
        np.testing.assert_allclose(
            held.cholesky, np.linalg.cholesky(matrix), atol=1e-12
        )
        np.testing.assert_array_equal(held.points, known)
        assert held.mask.all()


def test_condition_accepts_a_traced_start_without_retracing():
    traces = []

    @jax.jit
    def append(held, block, start):
        traces.append(None)
        return posterior.condition(rbf, held, block, jnp.ones(2, bool), start)

    held = posterior.empty(points(0, 1), 6, 0.1)
    for start in (0, 2, 4):
        held = append(held, points(start, 2), start)
    assert len(traces) == 1
    known = jnp.concatenate([points(start, 2) for start in (0, 2, 4)])
    np.testing.assert_allclose(
        variance(held, points(9, 4)),
        variance(conditioned(known, 0.1), points(9, 4)),
        rtol=1e-4,
        atol=1e-6,
    )


@pytest.mark.parametrize("garbage", [1e6, np.nan])
def test_masked_rows_change_nothing(garbage):
    known, queries = points(0, 6), points(1, 5)
    mask = np.array([True, False, True, True, False, True])
    spoiled = jnp.where(mask[:, None], known, garbage)
    held = condition(posterior.empty(known, 6, 0.1), spoiled, jnp.asarray(mask), 0)
    np.testing.assert_allclose(
        variance(held, queries),
        variance(conditioned(known[mask], 0.1), queries),
        rtol=1e-4,
        atol=1e-6,
    )
    np.testing.assert_array_equal(held.mask, mask)
    for row in np.flatnonzero(~mask):  # an identity row, below and to the right
        np.testing.assert_array_equal(held.cholesky[row], np.eye(6)[row])
        np.testing.assert_array_equal(held.cholesky[:, row], np.eye(6)[:, row])


def test_conditioning_on_nothing_is_nothing():
    known, queries = points(0, 4), points(1, 5)
    before = condition(posterior.empty(known, 7, 0.1), known, jnp.ones(4, bool), 0)
    after = condition(before, points(2, 3), jnp.zeros(3, bool), 4)
    np.testing.assert_array_equal(variance(before, queries), variance(after, queries))


@pytest.mark.parametrize("capacity", [7, 16])
def test_padding_changes_nothing(capacity):
    known, queries = points(0, 6), points(1, 5)
    np.testing.assert_allclose(
        variance(conditioned(known, 0.1, capacity), queries),
        variance(conditioned(known, 0.1), queries),
        rtol=1e-5,
        atol=1e-7,
    )


def test_gaps_between_rows_change_nothing():
    known, queries = points(0, 4), points(1, 5)
    held = posterior.empty(known, 12, 0.1)
    held = condition(held, known[:2], jnp.ones(2, bool), 3)
    held = condition(held, known[2:], jnp.ones(2, bool), 9)
    np.testing.assert_allclose(
        variance(held, queries),
        variance(conditioned(known, 0.1), queries),
        rtol=1e-4,
        atol=1e-6,
    )


@hypothesis.settings(max_examples=25, deadline=None, derandomize=True)
@hypothesis.given(
    seed=st.integers(0, 2**16),
    spread=st.sampled_from([1e-3, 0.1, 1.0, 10.0]),
    noise_variance=st.sampled_from([1e-6, 1e-2, 1.0, 100.0]),
)
def test_variance_only_falls_and_stays_above_zero(seed, spread, noise_variance):
    known, queries = spread * points(seed, 6), spread * points(seed + 1, 4)
    queries = jnp.concatenate([queries, known[:2]])  # where least is left
    held = posterior.empty(known, 6, noise_variance)
    previous = np.ones(6)
    for row in range(6):
        held = condition(held, known[row : row + 1], jnp.ones(1, bool), row)
        current = np.asarray(variance(held, queries))
        assert (current >= 0).all()
        assert (current <= previous + 1e-5).all()
        previous = current


@pytest.mark.parametrize("noise_variance", [1e-10, 1e-4])
def test_duplicate_points_in_single_precision(noise_variance):
    known = jnp.tile(points(0, 3), (4, 1))
    held = conditioned(known, noise_variance)
    queries = jnp.concatenate([known, points(1, 3)])
    actual = np.asarray(variance(held, queries))
    assert np.isfinite(actual).all() and (actual >= 0).all()
    # Four noisy looks at a point leave less than noise / 4; jitter stands in for noise.
    assert (actual[:12] <= noise_variance + float(held.jitter) + 1e-5).all()
    if noise_variance == 1e-10:  # below the rounding of a diagonal of one
        assert 0 < held.jitter < 1e-3
    else:
        assert held.jitter == 0


@pytest.mark.parametrize("noise_variance", [1e-8, 1e-6, 1e-2])
def test_duplicate_demonstrations_one_after_the_other(noise_variance):
    held = posterior.empty(points(0, 1), 12, noise_variance)
    for start in (0, 3, 6, 9):
        held = condition(held, points(0, 3), jnp.ones(3, bool), start)
    actual = np.asarray(variance(held, points(0, 3)))
    assert np.isfinite(actual).all() and (actual >= 0).all()
    # Four noisy looks leave less than a fourth of the noise, up to rounding.
    assert (actual <= noise_variance / 4 + 1e-5).all()
    assert np.isfinite(held.jitter)


def test_zero_embeddings_in_single_precision():
    known = jnp.zeros((5, 3))
    held = linear_condition(
        posterior.empty(known, 5, 1e-6), known, jnp.ones(5, bool), 0
    )
    queries = jnp.array([[0.0, 0.0, 0.0], [1.0, 2.0, 2.0]])
    # Nothing is learned about a direction that was never seen: |(1, 2, 2)|^2 = 9.
    np.testing.assert_allclose(linear_variance(held, queries), [0.0, 9.0])


def test_safe_cholesky_adds_nothing_where_nothing_is_needed():
    matrix = jnp.array([[4.0, 2.0], [2.0, 5.0]])
    factor, jitter = safe_cholesky(matrix)
    np.testing.assert_allclose(factor, [[2.0, 0.0], [1.0, 2.0]])
    assert jitter == 0


def test_safe_cholesky_takes_the_least_jitter_of_its_ladder():
    matrix = jnp.full((4, 4), 3.0)  # rank one
    factor, jitter = safe_cholesky(matrix)
    assert np.isfinite(factor).all()
    # A rung is the machine epsilon times the mean diagonal times a power of ten.
    rung = np.log10(float(jitter) / (3.0 * np.finfo(np.float32).eps))
    assert rung == pytest.approx(round(rung), abs=1e-3) and 0 <= round(rung) <= 6
    np.testing.assert_allclose(
        factor @ factor.T, matrix + jitter * jnp.eye(4), atol=1e-5
    )


def test_safe_cholesky_treats_each_matrix_of_a_batch_by_itself():
    definite = np.array([[4.0, 2.0], [2.0, 5.0]])
    singular = np.ones((2, 2))
    broken = np.array([[1.0, np.nan], [np.nan, 1.0]])
    batch = jnp.asarray(np.stack([definite, singular, broken]), jnp.float32)
    factor, jitter = safe_cholesky(batch)
    np.testing.assert_allclose(factor[0], [[2.0, 0.0], [1.0, 2.0]], rtol=1e-6)
    assert jitter[0] == 0
    assert np.isfinite(factor[1]).all() and jitter[1] > 0
    assert np.isnan(factor[2]).any()


def test_safe_cholesky_does_not_replace_infinity():
    factor, _ = safe_cholesky(jnp.diag(jnp.array([jnp.inf, 1.0])))
    assert np.isnan(factor).all()


@pytest.mark.parametrize("noise_variance", [1.0, 1e-3, 1e-6])
def test_rounding_is_what_the_factor_lacks_of_the_noise(noise_variance):
    """Against the same residual in double precision, of rows in two of three places."""
    known, mask = points(0, 12), jnp.arange(12) % 3 != 1
    known = jax.tree.map(lambda x: x.at[6:].set(x[:6] + 1e-3), known)
    held = condition(posterior.empty(known, 12, noise_variance), known, mask, 0)
    used = np.flatnonzero(mask)
    kernel = np.asarray(rbf(known, known), float)[np.ix_(used, used)]
    factor = np.asarray(held.cholesky, float)[np.ix_(used, used)]
    signs = (-1.0) ** (1 + np.arange(used.size))
    noisy = kernel + noise_variance * np.eye(used.size)
    residual = (noisy - factor @ factor.T) @ signs
    expected = np.sqrt(np.mean(residual**2)) / noise_variance
    found = float(posterior.rounding(rbf, held))
    assert found < 1e-7 / noise_variance * 20
    assert found == pytest.approx(expected, abs=3e-7 / noise_variance)


def test_nothing_is_rounded_where_nothing_is_known():
    assert posterior.rounding(rbf, posterior.empty(points(0, 1), 4, 1e-9)) == 0


def test_safe_cholesky_does_not_hide_an_indefinite_matrix():
    factor, _ = safe_cholesky(jnp.array([[1.0, 2.0], [2.0, 1.0]]))
    assert np.isnan(factor).any()


@pytest.mark.parametrize("observations", [1, 3, 9], ids="{} observations".format)
def test_explained_variance_is_the_quadratic_form(observations):
    random = np.random.default_rng(observations)
    root = random.normal(size=(observations, observations))
    covariance = root @ root.T + np.eye(observations)
    cross = random.normal(size=(observations, 20))
    factor = jnp.asarray(np.linalg.cholesky(covariance), jnp.float32)
    found = posterior.explained(factor, jnp.asarray(cross, jnp.float32))
    expected = np.einsum("hn,hn->n", cross, np.linalg.solve(covariance, cross))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
