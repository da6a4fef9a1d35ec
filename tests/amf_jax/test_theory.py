"""Information gain and the bound of theorem A.10, against NumPy and by hand."""

import functools
import itertools
import math

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from amf_jax import errors, posterior, theory
from amf_jax.criteria import Occupancy
from amf_jax.embeddings import Embedding, linear_diagonal, linear_kernel

NOISE = 0.3

gain_of = jax.jit(theory.information_gain)
maximise = jax.jit(theory.max_information_gain, static_argnames="n")


def kernel_matrix(seed, size, rank=None):
    """A random covariance, in double precision."""
    factor = np.random.default_rng(seed).normal(size=(size, rank or size))
    return factor @ factor.T / factor.shape[1]


def gain_by_slogdet(kernel, noise_variance, points=None):
    points = np.arange(len(kernel)) if points is None else np.asarray(points)
    chosen = kernel[np.ix_(points, points)]
    sign, logarithm = np.linalg.slogdet(np.eye(len(points)) + chosen / noise_variance)
    assert sign == 1
    return 0.5 * logarithm


def single(array):
    return jnp.asarray(array, jnp.float32)


@pytest.mark.parametrize(("size", "rank"), [(1, 1), (7, 7), (40, 3)])
@pytest.mark.parametrize("noise_variance", [1e-4, 0.3, 10.0])
def test_information_gain_is_half_the_log_determinant(size, rank, noise_variance):
    kernel = kernel_matrix(0, size, rank)
    actual = gain_of(single(kernel), noise_variance)
    expected = gain_by_slogdet(kernel, noise_variance)
    np.testing.assert_allclose(actual, expected, rtol=1e-4)


def test_information_gain_of_a_repeated_point():
    # n looks at one point of variance v under noise r: 1/2 log(1 + n v / r)
    actual = gain_of(jnp.full((4, 4), 2.0), 0.5)
    np.testing.assert_allclose(actual, 0.5 * math.log(1 + 4 * 2.0 / 0.5), rtol=1e-5)


def test_greedy_gain_is_the_gain_of_the_points_it_names():
    kernel = kernel_matrix(1, 12, 5)
    greedy = maximise(single(kernel), NOISE, n=30)
    prefixes = [np.asarray(greedy.points)[: i + 1] for i in range(30)]
    expected = [gain_by_slogdet(kernel, NOISE, points) for points in prefixes]
    np.testing.assert_allclose(greedy.gains, expected, rtol=1e-4)
    # every choice is the best single addition
    for points, following in itertools.pairwise([prefixes[0][:0], *prefixes]):
        added = [gain_by_slogdet(kernel, NOISE, [*points, j]) for j in range(12)]
        assert added[following[-1]] >= max(added) - 1e-5


@pytest.mark.parametrize("seed", range(6))
def test_greedy_gain_keeps_its_share_of_the_best_multiset(seed):
    kernel = kernel_matrix(seed, 6, 3)
    greedy = maximise(single(kernel), NOISE, n=4)
    for count in range(1, 5):
        best = max(
            gain_by_slogdet(kernel, NOISE, points)
            for points in itertools.combinations_with_replacement(range(6), count)
        )
        reached = float(greedy.gains[count - 1])
        assert reached <= best + 1e-5
        assert best <= float(greedy.upper_bound[count - 1])
        assert reached >= theory.GREEDY_SHARE * best
    np.testing.assert_allclose(theory.GREEDY_SHARE, 1 - math.exp(-1))


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(
    seed=st.integers(0, 2**31 - 1),
    rank=st.integers(1, 10),
    noise_variance=st.floats(1e-4, 10.0),
)
def test_gain_grows_by_ever_less(seed, rank, noise_variance):
    kernel = single(kernel_matrix(seed, 10, rank))
    gains = np.asarray(maximise(kernel, noise_variance, n=20).gains)
    added = np.diff(gains, prepend=0.0)
    assert (added >= 0).all()
    assert (np.diff(added) <= 1e-4 * gains[-1]).all()


EMBEDDING = Embedding(
    lambda params, key, observations, actions, tasks: observations,
    linear_kernel,
    linear_diagonal,
)


round_gain = jax.jit(functools.partial(theory.round_information_gain, EMBEDDING))
condition = jax.jit(functools.partial(posterior.condition, linear_kernel))


def held(points, noise_variance):
    """The posterior given all of `points`; `[n, P]`, none of them for the prior."""
    rows = np.zeros((12, points.shape[1]), np.float32)
    rows[: len(points)] = points
    prior = posterior.empty(jnp.asarray(rows[:1]), 12, noise_variance)
    return condition(prior, jnp.asarray(rows), jnp.arange(12) < len(points), 0)


def test_round_gain_by_hand():
    # Two independent points of variance 4 and 1 under noise 1. Blocks look twice at the
    # first, once at the second (its other step is masked), and at nothing.
    blocks = jnp.array([[[2.0, 0.0], [2.0, 0.0]], [[0.0, 1.0], [9.0, 9.0]]])
    mask = jnp.array([[True, True], [True, False]])
    occupancy = Occupancy(jnp.diag(jnp.array([2.0, 1.0])), jnp.array([0.25, 0.75]))
    prior = held(np.zeros((0, 2)), 1.0)
    actual = round_gain(prior, blocks, mask, occupancy)
    # variance 4 becomes 4 / (1 + 2 * 4); variance 1 becomes 1/2
    expected = [0.25 * 0.5 * math.log(9), 0.75 * 0.5 * math.log(2)]
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    # after one look at the first point, whose variance is 4/5: 2 looks leave 4 / 13
    known = held(np.array([[2.0, 0.0]]), 1.0)
    actual = round_gain(known, blocks, mask, occupancy)
    expected[0] = 0.25 * 0.5 * math.log((4 / 5) / (4 / 13))
    np.testing.assert_allclose(actual, expected, rtol=1e-4)


def test_lemma_a6_bounds_the_mean_round_gain_of_the_greedy_rule():
    blocks = jnp.asarray(np.random.default_rng(3).normal(size=(4, 2, 3)), jnp.float32)
    pairs = blocks.reshape(8, 3)
    occupancy = Occupancy(pairs, jnp.full(8, 0.25))  # 4 tasks of 2 steps
    kernel = linear_kernel(pairs, pairs)
    limits = maximise(kernel, NOISE, n=12).upper_bound
    demonstrated = np.zeros((0, 3))
    gains = []
    for n in range(1, 7):
        known = held(demonstrated, NOISE)
        candidates = round_gain(known, blocks, jnp.ones((4, 2), bool), occupancy)
        gains.append(float(candidates.max()))
        chosen = blocks[int(candidates.argmax())]
        demonstrated = np.concatenate([demonstrated, chosen])
        assert np.mean(gains) <= 2 / n * float(limits[2 * n - 1])
    assert gains == sorted(gains, reverse=True)  # assumption A.5 holds here


def test_beta_by_hand():
    # 1.5 + 2 sqrt(2 (3 + 1 + log(4 / 0.04)))
    options = dict(expert_norm=1.5, noise_ratio=2.0, num_outputs=4)
    expected = 1.5 + 2 * math.sqrt(2 * (4 + math.log(100)))
    np.testing.assert_allclose(theory.beta(3.0, 0.04, **options), expected, rtol=1e-6)
    several = theory.beta(jnp.array([1.0, 3.0]), 0.04, **options)
    np.testing.assert_allclose(several[1], expected, rtol=1e-6)
    assert several[0] < several[1]


def widest_distance(horizon, transition, policy, start, action, successor):
    """The recurrence of lemma A.4 itself (eqs. 10 to 12 and 25), nothing rounded up."""
    state, total = start, 0.0
    for _ in range(horizon):
        apart = policy * state + 2 * action
        total += state**2 + apart**2
        state = transition * (state + apart) + 2 * successor
    return math.sqrt(total)


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(
    horizon=st.integers(1, 12),
    transition=st.floats(0, 1),
    policy=st.floats(0, 3),
    spreads=st.tuples(*[st.integers(0, 5)] * 3),
)
def test_epsilon_holds_the_distance_where_its_docstring_says(
    horizon, transition, policy, spreads
):
    names = ("start_spread", "action_spread", "transition_spread")
    limit = theory.epsilon(
        horizon,
        transition_lipschitz=transition,
        policy_lipschitz=policy,
        **dict(zip(names, spreads, strict=True)),
    )
    exact = widest_distance(horizon, transition, policy, *spreads)
    assert exact <= float(limit) * (1 + 1e-5)


def test_epsilon_by_hand_and_where_the_printed_lemma_fails():
    still = dict(start_spread=0.0, action_spread=0.0, transition_spread=0.0)
    slow = dict(transition_lipschitz=1.0, policy_lipschitz=2.0)
    actual = theory.epsilon(4, **slow, **(still | {"action_spread": 0.5}))
    np.testing.assert_allclose(actual, 8 * 8 * 3**4 * 0.5)
    assert theory.epsilon(4, **slow, **still) == 0
    # s' = 10 (s + a) with a = 10 s multiplies a distance of 1 by 110 at every step.
    fast = dict(transition_lipschitz=10.0, policy_lipschitz=10.0)
    printed = theory.epsilon(5, **fast, **(still | {"start_spread": 1.0}))
    assert widest_distance(5, 10.0, 10.0, 1.0, 0.0, 0.0) > 110**4 > printed


def test_bound_by_hand():
    # sqrt(2) 2 0.4 / (0.5 (1 - 0.5)) sqrt((1 + 1) 3^2 0.25)
    actual = theory.bound(
        jnp.array([0.25, 1.0]),
        jnp.array([3.0, 3.0]),
        1.0,
        q_lipschitz=2.0,
        scales=jnp.array([0.1, 0.3]),
        visitation=0.5,
        discount=0.5,
    )
    np.testing.assert_allclose(actual, [9.6, 19.2], rtol=1e-6)


KERNEL = jnp.eye(2)
BETA = dict(gain=1.0, delta=0.1, expert_norm=1.0, noise_ratio=1.0, num_outputs=2)
EPSILON = dict(horizon=5, transition_lipschitz=1.0, policy_lipschitz=1.0)
EPSILON |= dict(start_spread=0.0, action_spread=1.0, transition_spread=0.0)
BOUND = dict(round_gain=1.0, confidence=1.0, deviation=0.0, q_lipschitz=1.0)
BOUND |= dict(scales=jnp.ones(2), visitation=0.5, discount=0.9)
GREEDY = dict(kernel_matrix=KERNEL, noise_variance=1.0, n=2)


@pytest.mark.parametrize(
    ("function", "arguments", "changed", "domain"),
    [
        (theory.max_information_gain, GREEDY, {"n": 0}, "a whole number, at least 1"),
        (theory.max_information_gain, GREEDY, {"noise_variance": 0.0}, "positive"),
        (theory.beta, BETA, {"gain": -1.0}, "at least 0"),
        (theory.beta, BETA, {"delta": 1.0}, "between 0 and 1, both excluded"),
        (theory.beta, BETA, {"num_outputs": 0}, "a whole number, at least 1"),
        (theory.epsilon, EPSILON, {"horizon": 0}, "a whole number, at least 1"),
        (theory.epsilon, EPSILON, {"policy_lipschitz": -0.5}, "at least 0"),
        (theory.bound, BOUND, {"visitation": 0.0}, "above 0 and at most 1"),
        (theory.bound, BOUND, {"discount": 1.0}, "at least 0 and below 1"),
        (theory.bound, BOUND, {"scales": -jnp.ones(2)}, "at least 0"),
    ],
)
def test_arguments_outside_of_their_domain_are_named(
    function, arguments, changed, domain
):
    function(**arguments)
    (name,) = changed
    with pytest.raises(errors.InvalidArgumentError, match=f"{name} must be {domain}"):
        function(**(arguments | changed))


def test_kernel_matrices_are_square():
    # past the annotations, which only tests enforce
    check = theory._check_kernel
    with pytest.raises(
        errors.InvalidArgumentError, match=r"square, got shape \(2, 3\)"
    ):
        check(jnp.ones((2, 3)), 1.0)


def test_everything_can_be_traced():
    traced = jax.jit(theory.bound)(**BOUND)
    np.testing.assert_allclose(traced, theory.bound(**BOUND), rtol=1e-6)
    options = {name: BETA[name] for name in ("expert_norm", "noise_ratio")}
    traced = jax.jit(theory.beta, static_argnames="num_outputs")(
        1.0, 0.1, num_outputs=2, **options
    )
    np.testing.assert_allclose(traced, theory.beta(**BETA), rtol=1e-6)
