"""Greedy batches of points, against posteriors rebuilt from nothing in float64."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import embeddings, errors, greedy, theory
from amf_jax import posterior as gp

NOISE, SCALE = 0.3, 2.0
LINEAR = embeddings.linear_kernel, embeddings.linear_diagonal


def rbf(x, y):
    return jnp.exp(-0.5 * jnp.sum((x[:, None] - y[None]) ** 2, axis=-1))


KERNELS = {"linear": LINEAR, "rbf": (rbf, lambda x: jnp.ones(x.shape[0], x.dtype))}


def problem(seed, points=12, targets=7, width=4):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, width)) for n in (points, targets)]


def prior(known=(), noise=NOISE, scale=SCALE, width=4, kernel=LINEAR[0]):
    """A posterior given noisy values at `known`, with a row to spare."""
    held = gp.empty(jnp.zeros((1, width)), len(known) + 1, noise, scale)
    if not len(known):
        return held
    mask = jnp.ones(len(known), bool)
    return gp.condition(kernel, held, jnp.asarray(known, jnp.float32), mask, 0)


@functools.partial(jax.jit, static_argnames=("count", "name"))
def run(held, points, targets, count, weights=None, mask=None, name="linear"):
    return greedy.reduce_variance(
        *KERNELS[name], held, points, targets, count, weights=weights, mask=mask
    )


def choose(points, targets, count, held=None, **options):
    arrays = {
        k: jnp.asarray(v, jnp.float32 if k == "weights" else bool)
        for k, v in options.items()
        if k != "name"
    }
    names = {k: v for k, v in options.items() if k == "name"}
    points, targets = (jnp.asarray(x, jnp.float32) for x in (points, targets))
    return run(held or prior(), points, targets, count, **arrays, **names)


def remaining(points, targets, rows, known=(), weights=1.0, name="linear"):
    """Weighted sum of the targets' variances after values at `rows` of the points."""

    def kernel(x, y):
        if name == "linear":
            return x @ y.T / SCALE
        return np.exp(-0.5 * ((x[:, None] - y[None]) ** 2).sum(axis=-1)) / SCALE

    given = np.concatenate([np.reshape(known, (-1, points.shape[1])), points[rows]])
    gram = kernel(given, given) + NOISE * np.eye(len(given))
    across = kernel(given, targets)
    drop = np.sum(across * np.linalg.solve(gram, across), axis=0)
    return np.sum(weights * (np.diagonal(kernel(targets, targets)) - drop))


def literally(points, targets, count, allowed=None, **options):
    """The greedy rule with every posterior rebuilt; choices and what they leave."""
    chosen, left = [], []
    for _ in range(count):
        free = set(range(len(points)) if allowed is None else allowed) - set(chosen)
        after = {
            row: remaining(points, targets, [*chosen, row], **options)
            for row in sorted(free)
        }
        chosen.append(min(after, key=after.__getitem__))
        left.append(after[chosen[-1]])
    return chosen, left


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(
    ("known", "weighted", "allowed"),
    [
        (0, False, None),
        (3, False, None),
        (0, True, None),
        (2, True, [0, 2, 3, 5, 7, 8, 11]),
    ],
)
def test_batches_are_those_of_rebuilding_the_posterior(
    seed, name, known, weighted, allowed
):
    points, targets = problem(seed)
    rng = np.random.default_rng((seed, 1))
    history = rng.normal(size=(known, 4))
    options, literal = {}, {}
    if weighted:
        options["weights"] = literal["weights"] = rng.uniform(0.1, 2.0, 7)
    if allowed is not None:
        options["mask"] = np.isin(np.arange(12), allowed)
        literal["allowed"] = allowed
    held = prior(history, kernel=KERNELS[name][0])
    batch = choose(points, targets, 5, held, name=name, **options)
    chosen, left = literally(points, targets, 5, known=history, name=name, **literal)
    assert batch.indices.tolist() == chosen
    np.testing.assert_allclose(batch.remaining, left, rtol=2e-5)
    before = remaining(
        points, targets, [], history, literal.get("weights", 1.0), name=name
    )
    drops = -np.diff([before, *left])
    np.testing.assert_allclose(batch.reductions, drops, rtol=2e-4, atol=1e-6)


def test_a_batch_can_be_asked_for_in_parts():
    points, targets = problem(4)
    whole = choose(points, targets, 6)
    first = choose(points, targets, 3)
    rest = choose(
        points,
        targets,
        3,
        prior(points[first.indices]),
        mask=~np.isin(np.arange(12), first.indices),
    )
    assert [*first.indices.tolist(), *rest.indices.tolist()] == whole.indices.tolist()
    np.testing.assert_allclose(rest.remaining, whole.remaining[3:], rtol=1e-5)


def test_equals_are_chosen_in_their_order_and_each_row_once():
    # Three rows of one point: each further look at it tells less, but the other
    # point tells nothing, so that it comes last.
    points = np.array([[1.0, 0.0], [0.0, 5.0], [1.0, 0.0], [1.0, 0.0]])
    held = gp.empty(jnp.zeros((1, 2)), 1, 1.0)
    batch = choose(points, [[1.0, 0.0]], 4, held)
    assert batch.indices.tolist() == [0, 2, 3, 1]
    # n looks of noise variance 1 at a variance of 1 leave 1 / (1 + n)
    np.testing.assert_allclose(batch.remaining, [1 / 2, 1 / 3, 1 / 4, 1 / 4], 1e-5)


def test_what_may_not_be_chosen_may_hold_anything():
    points, targets = problem(5)
    usable, weights = np.arange(12) % 3 > 0, np.where(np.arange(7) < 5, 1.0, 0.0)
    clean = choose(points[usable], targets[:5], 4)
    points[~usable], targets[5:] = np.nan, np.inf
    batch = choose(points, targets, 4, weights=weights, mask=usable)
    expected = np.flatnonzero(usable)[clean.indices]
    np.testing.assert_array_equal(batch.indices, expected)
    np.testing.assert_allclose(batch.remaining, clean.remaining, 1e-5)


def test_where_no_point_is_left_none_is_named():
    points, targets = problem(6)
    batch = choose(points, targets, 4, mask=np.arange(12) == 3)
    assert batch.indices.tolist() == [3, -1, -1, -1]
    assert batch.reductions[0] > 0
    assert batch.reductions[1:].tolist() == [0.0, 0.0, 0.0]
    np.testing.assert_array_equal(batch.remaining, batch.remaining[0])


def test_variances_that_are_not_finite_are_never_ranked():
    points, targets = problem(7)
    points[4, 0] = np.nan
    batch = choose(points, targets, 3)
    assert batch.indices.tolist() == [-1, -1, -1]
    assert np.isnan(batch.reductions).all() and np.isnan(batch.remaining).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(count=13), "count must be at most 12"),
        (dict(count=0), "count must be a whole number, .* got 0"),
        (dict(weights=jnp.ones(6)), "each of the 7 targets, got shape \\(6,\\)"),
        (dict(weights=-jnp.ones(7)), "must not be negative, got -1"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    points, targets = (jnp.asarray(x, jnp.float32) for x in problem(0))
    arguments = dict(count=3) | options
    with pytest.raises(errors.InvalidArgumentError, match=message):
        greedy.reduce_variance(*LINEAR, prior(), points, targets, **arguments)


def test_another_noise_variance_compiles_nothing():
    points, targets = problem(8)
    choose(points, targets, 2)
    before = run._cache_size()
    loud, quiet = (choose(points, targets, 2, prior(noise=n)) for n in (9.0, 0.01))
    assert run._cache_size() == before
    assert (loud.reductions < quiet.reductions).all()


def best_of_all(points, targets, count):
    subsets = itertools.combinations(range(len(points)), count)
    return min(remaining(points, targets, list(rows)) for rows in subsets)


@pytest.mark.parametrize("seed", range(4))
def test_no_subset_is_missed_where_one_point_is_chosen(seed):
    points, targets = problem(seed, points=8)
    batch = choose(points, targets, 3)
    np.testing.assert_allclose(
        batch.remaining[0], best_of_all(points, targets, 1), rtol=1e-5
    )
    # exhaustive search can only do better
    for count in (2, 3):
        best = best_of_all(points, targets, count)
        assert batch.remaining[count - 1] >= best * (1 - 1e-5)


def test_no_share_of_the_best_batch_is_guaranteed():
    """Points that tell about the target only together are not found one by one.

    The target is e1. The first point, e1 + 2 e3, leaves 1 - 1/5 of its variance and is
    as good as the second, e1 + 2 e2, to begin with; then the second leaves 2/3. But
    the second and the third, e2, which tells nothing by itself, leave nothing.
    """
    points = np.array([[1.0, 0.0, 2.0], [1.0, 2.0, 0.0], [0.0, 1.0, 0.0]])
    held = gp.empty(jnp.zeros((1, 3)), 1, 1e-6)
    batch = choose(points, np.eye(3)[:1], 2, held)
    assert batch.indices.tolist() == [0, 1]
    np.testing.assert_allclose(batch.remaining, [4 / 5, 2 / 3], 1e-4)
    together = choose(points[1:], np.eye(3)[:1], 2, held)
    np.testing.assert_allclose(together.remaining[1], 0.0, atol=1e-4)
    assert 1 - batch.remaining[1] < theory.GREEDY_SHARE  # a third of what there is
