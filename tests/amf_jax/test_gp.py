"""Gaussian-process policy against scikit-learn and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from sklearn.gaussian_process import GaussianProcessRegressor, kernels

from amf_jax import demonstrations, errors
from amf_jax.policies import gp, gp_fit

condition, predict = jax.jit(gp.condition), jax.jit(gp.predict)
entropy = jax.jit(gp.entropy)

HYPERPARAMETERS = gp.Hyperparameters(0.7, 1.3, 0.4, 0.1)


def random_demos(
    seed, rows=6, horizon=4, observation_size=3, action_size=2, task_size=2
):
    rng = np.random.default_rng(seed)
    return demonstrations.Demonstrations(
        observations=jnp.asarray(
            rng.normal(size=(rows, horizon, observation_size)), jnp.float32
        ),
        actions=jnp.asarray(
            0.4 * rng.normal(size=(rows, horizon, action_size)), jnp.float32
        ),
        step_mask=jnp.ones((rows, horizon), bool),
        tasks=jnp.asarray(rng.normal(size=(rows, task_size)), jnp.float32),
        task_ids=jnp.full((rows,), -1, jnp.int32),
        demo_mask=jnp.ones((rows,), bool),
    )


def queries(seed, count, observation_size=3, task_size=2):
    rng = np.random.default_rng(seed)
    observations = rng.normal(size=(count, observation_size))
    tasks = rng.normal(size=(count, task_size))
    return jnp.asarray(observations, jnp.float32), jnp.asarray(tasks, jnp.float32)


def flat_rows(demos):
    """Inputs and targets of all recorded steps, in float64."""
    valid = np.asarray(demonstrations.valid_steps(demos))
    observations = np.asarray(demos.observations, float)
    tasks = np.broadcast_to(
        np.asarray(demos.tasks, float)[:, None],
        (*valid.shape, demos.tasks.shape[-1]),
    )
    inputs = np.concatenate([observations, tasks], axis=-1)[valid]
    return inputs, np.asarray(demos.actions, float)[valid]


def scikit(hyperparameters, demos):
    state, task, signal, noise = hyperparameters
    inputs, targets = flat_rows(demos)
    sizes = demos.observations.shape[-1], demos.tasks.shape[-1]
    kernel = kernels.ConstantKernel(signal**2) * kernels.RBF(
        np.repeat([state, task], sizes)
    )
    return GaussianProcessRegressor(kernel, alpha=noise**2, optimizer=None).fit(
        inputs, targets
    )


def scikit_predict(regressor, observations, tasks):
    inputs = np.concatenate([observations, tasks], axis=-1).astype(float)
    mean, deviation = regressor.predict(inputs, return_std=True)
    # scikit-learn repeats the deviation for every output.
    return mean, deviation.reshape(len(inputs), -1)[:, 0] ** 2


# 5 dimensions take the product of one-dimensional kernels, 22 the plain one.
@pytest.mark.parametrize("task_size", [2, 19])
def test_moments_and_entropy_equal_scikit_learn(task_size):
    hyperparameters = HYPERPARAMETERS._replace(task_lengthscale=0.9 * task_size**0.5)
    demos = random_demos(0, task_size=task_size)
    observations, tasks = queries(1, 30, task_size=task_size)
    params = condition(hyperparameters, demos)

    mean, variance = predict(params, observations, tasks)
    regressor = scikit(hyperparameters, demos)
    expected_mean, expected_variance = scikit_predict(regressor, observations, tasks)
    np.testing.assert_allclose(mean, expected_mean, atol=2e-6)
    np.testing.assert_allclose(variance, expected_variance, rtol=2e-5, atol=1e-7)
    assert np.ptp(expected_variance) > 0.01  # near and far queries

    expected_entropy = scipy.stats.norm.entropy(scale=np.sqrt(expected_variance)).mean()
    assert float(entropy(params, observations, tasks)) == pytest.approx(
        expected_entropy, abs=1e-4
    )
    evidence = jax.jit(gp.log_marginal_likelihood)(params)
    assert float(evidence) == pytest.approx(
        regressor.log_marginal_likelihood_value_, rel=1e-4
    )


def test_log_likelihood_is_the_predictive_gaussian_with_noise():
    demos = random_demos(2)
    observations, tasks = queries(3, 12)
    actions = jnp.asarray(np.random.default_rng(4).normal(size=(12, 2)), jnp.float32)
    params = condition(HYPERPARAMETERS, demos)
    mean, variance = scikit_predict(scikit(HYPERPARAMETERS, demos), observations, tasks)
    scale = np.sqrt(variance + HYPERPARAMETERS.noise**2)[:, None]
    expected = scipy.stats.norm.logpdf(np.asarray(actions), mean, scale).sum(-1)
    actual = jax.jit(gp.policy().log_likelihood)(params, observations, actions, tasks)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_leading_axes_and_shared_tasks():
    params = condition(HYPERPARAMETERS, random_demos(5))
    observations, tasks = queries(6, 12)
    mean, variance = predict(params, observations, tasks)
    folded = predict(params, observations.reshape(3, 4, 3), tasks.reshape(3, 4, 2))
    np.testing.assert_allclose(folded[0].reshape(12, 2), mean, atol=1e-6)
    np.testing.assert_allclose(folded[1].reshape(12), variance, atol=1e-6)

    shared, _ = predict(params, observations, tasks[0])
    repeated, _ = predict(params, observations, jnp.tile(tasks[:1], (12, 1)))
    np.testing.assert_allclose(shared, repeated, atol=1e-6)

    policy = gp.policy()
    act = jax.jit(policy.act)(params, jax.random.key(0), observations[0], tasks[0])
    np.testing.assert_allclose(act, mean[0], atol=1e-6)
    target = jnp.array([0.3, -0.2])
    loss = jax.jit(policy.loss)(
        params, jax.random.key(0), observations[0], target, tasks[0]
    )
    assert float(loss) == pytest.approx(
        float(((mean[0] - target) ** 2).sum()), abs=1e-6
    )


def test_lengthscales_may_differ_by_dimension():
    demos = random_demos(7)
    scale = jnp.array([1.0, 2.0, 4.0])
    scaled = demos._replace(observations=demos.observations * scale[None, None])
    observations, tasks = queries(8, 9)
    expected = predict(condition(HYPERPARAMETERS, demos), observations, tasks)
    actual = predict(
        condition(HYPERPARAMETERS._replace(state_lengthscale=0.7 * scale), scaled),
        observations * scale[None],
        tasks,
    )
    for have, want in zip(actual, expected, strict=True):
        np.testing.assert_allclose(have, want, atol=2e-6)


def test_padding_has_no_influence():
    demos = random_demos(9)
    step_mask = demos.step_mask.at[2, 3].set(False).at[4, :2].set(False)
    short = demos._replace(step_mask=step_mask)
    observations, tasks = queries(10, 8)
    expected = scikit_predict(scikit(HYPERPARAMETERS, short), observations, tasks)

    junk = jax.tree.map(
        lambda leaf: (
            jnp.full_like(leaf, jnp.nan) if leaf.dtype == jnp.float32 else leaf
        ),
        random_demos(11, rows=3),
    )._replace(demo_mask=jnp.zeros(3, bool))
    holes = short._replace(
        actions=jnp.where(step_mask[..., None], short.actions, jnp.inf),
        observations=jnp.where(step_mask[..., None], short.observations, jnp.nan),
    )
    padded = demonstrations.stack([junk, holes, junk])
    actual = predict(condition(HYPERPARAMETERS, padded), observations, tasks)
    np.testing.assert_allclose(actual[0], expected[0], atol=2e-6)
    np.testing.assert_allclose(actual[1], expected[1], rtol=2e-5, atol=1e-7)


def test_two_buffers_are_one_history_and_nothing_recompiles():
    pretraining, finetuning = random_demos(12, rows=3), random_demos(13, rows=5)
    whole = demonstrations.stack([pretraining, finetuning])
    observations, tasks = queries(14, 8)
    traces = []

    @jax.jit
    def counted(*arguments):
        traces.append(arguments)
        return gp.condition(*arguments)

    for held in range(6):
        buffer = finetuning._replace(demo_mask=jnp.arange(5) < held)
        hyperparameters = HYPERPARAMETERS._replace(noise=0.1 + 0.01 * held)
        params = counted(hyperparameters, pretraining, buffer)
        known = whole._replace(demo_mask=jnp.arange(8) < 3 + held)
        expected = scikit_predict(scikit(hyperparameters, known), observations, tasks)
        actual = predict(params, observations, tasks)
        np.testing.assert_allclose(actual[0], expected[0], atol=2e-6)
        np.testing.assert_allclose(actual[1], expected[1], rtol=2e-5, atol=1e-7)
    assert len(traces) == 1


def test_nothing_known_is_the_prior():
    params = condition(HYPERPARAMETERS, demonstrations.empty(2, 4, 3, 2, 2))
    mean, variance = predict(params, *queries(15, 4))
    np.testing.assert_array_equal(mean, 0.0)
    np.testing.assert_allclose(variance, 0.16, rtol=1e-6)
    assert float(gp.log_marginal_likelihood(params)) == 0.0


def test_embedding_is_the_kernel_of_the_policy():
    demos = random_demos(16)
    params = condition(HYPERPARAMETERS, demos)
    embedding = gp.embedding()
    embedding = embedding._replace(kernel=jax.jit(embedding.kernel))
    observations, tasks = queries(17, 7)
    points = embedding.embed(params, None, observations, None, tasks)
    others = jax.tree.map(lambda leaf: leaf[:3], points)
    inputs = np.concatenate([observations, tasks], axis=-1).astype(float)
    expected = scikit(HYPERPARAMETERS, demos).kernel_(inputs, inputs[:3])
    np.testing.assert_allclose(embedding.kernel(points, others), expected, atol=2e-7)
    np.testing.assert_allclose(embedding.diagonal(points), 0.16, rtol=1e-6)

    # Hyperparameters travel with the points: twice the signal, four times the kernel.
    louder = condition(HYPERPARAMETERS._replace(signal=0.8), demos)
    louder_points = embedding.embed(louder, None, observations, None, tasks)
    np.testing.assert_allclose(
        embedding.kernel(louder_points, louder_points),
        4.0 * embedding.kernel(points, points),
        rtol=1e-6,
    )


@pytest.mark.parametrize("noise", [0.05, 1e-3, 1e-5])
def test_float32_survives_duplicates(noise):
    demos = random_demos(18, rows=2)
    repeated = demonstrations.stack([demos] * 15)
    hyperparameters = HYPERPARAMETERS._replace(noise=noise)
    params = condition(hyperparameters, repeated)
    observations = repeated.observations.reshape(-1, 3)
    tasks = jnp.repeat(repeated.tasks, 4, axis=0)
    mean, variance = predict(params, observations, tasks)
    assert np.isfinite(mean).all()
    assert np.isfinite(variance).all() and (variance >= 0).all()
    assert np.isfinite(entropy(params, observations, tasks))
    # Fifteen observations of each point: the prior variance is all but gone.
    assert float(variance.max()) < max(noise**2 / 10, 1e-5)
    np.testing.assert_allclose(mean, repeated.actions.reshape(-1, 2), atol=5e-3)


def drawn_from_a_gp(seed, truth, rows=40, horizon=5):
    """Demonstrations whose actions are a draw from the Gaussian process `truth`."""
    rng = np.random.default_rng(seed)
    demos = random_demos(
        seed, rows=rows, horizon=horizon, observation_size=1, task_size=1
    )
    inputs, _ = flat_rows(demos)
    kernel = kernels.RBF([truth.state_lengthscale, truth.task_lengthscale])
    covariance = truth.signal**2 * kernel(inputs) + truth.noise**2 * np.eye(len(inputs))
    draw = np.linalg.cholesky(covariance) @ rng.normal(size=(len(inputs), 2))
    return demos._replace(
        actions=jnp.asarray(draw.reshape(rows, horizon, 2), jnp.float32)
    )


def test_fitting_recovers_the_truth():
    truth = gp.Hyperparameters(0.6, 1.5, 0.5, 0.1)
    demos = drawn_from_a_gp(19, truth)
    start = gp.Hyperparameters(1.0, 1.0, 1.0, 0.3)
    fitted = gp_fit.fit_hyperparameters(demos, start)

    def evidence(hyperparameters):
        return scikit(
            gp.Hyperparameters(*map(float, hyperparameters)), demos
        ).log_marginal_likelihood_value_

    assert evidence(fitted) > evidence(truth) > evidence(start)
    np.testing.assert_allclose(np.array(fitted), np.array(truth), rtol=0.35)
    # No hyperparameter can be improved by moving it a little.
    for name, value in fitted._asdict().items():
        for factor in (0.95, 1.05):
            assert evidence(fitted._replace(**{name: factor * value})) < evidence(
                fitted
            )
    assert jnp.zeros(()).dtype == jnp.float32  # the precision of the caller is back


def test_fitting_ignores_padding_and_fits_what_initial_asks_for():
    demos = drawn_from_a_gp(20, gp.Hyperparameters(0.6, 1.5, 0.5, 0.1), rows=12)
    blank = demonstrations.empty(3, 5, 1, 2, 1)
    padded = demonstrations.stack([blank, demos])
    start = gp.Hyperparameters()
    fitted = gp_fit.fit_hyperparameters(demos, start)
    np.testing.assert_allclose(
        np.array(gp_fit.fit_hyperparameters(padded, start)), np.array(fitted), rtol=1e-3
    )
    by_dimension = gp_fit.fit_hyperparameters(
        random_demos(21), start._replace(state_lengthscale=jnp.full(3, 0.5))
    )
    assert by_dimension.state_lengthscale.shape == (3,)
    assert by_dimension.task_lengthscale.shape == ()


@pytest.mark.parametrize("name", gp.Hyperparameters._fields)
@pytest.mark.parametrize("value", [0.0, -0.1, float("nan"), float("inf")])
def test_hyperparameters_must_be_positive(name, value):
    wrong = HYPERPARAMETERS._replace(**{name: value})
    with pytest.raises(errors.InvalidArgumentError, match=f"{name} must be positive"):
        gp.condition(wrong, random_demos(22))
    with pytest.raises(errors.InvalidArgumentError, match=f"{name} must be positive"):
        gp_fit.fit_hyperparameters(random_demos(22), wrong)


@pytest.mark.parametrize(
    "name, allowed",
    [("state_lengthscale", r"\(\) or \(3,\)"), ("signal", r"\(\)")],
)
def test_hyperparameters_must_fit_the_dimensions(name, allowed):
    wrong = HYPERPARAMETERS._replace(**{name: jnp.ones(2)})
    message = rf"{name} has shape \(2,\), expected {allowed}$"
    with pytest.raises(errors.InvalidArgumentError, match=message):
        gp.condition(wrong, random_demos(22))


def test_something_to_condition_on_is_required():
    with pytest.raises(errors.InvalidArgumentError, match="at least one"):
        gp.condition(HYPERPARAMETERS)
    with pytest.raises(errors.InvalidArgumentError, match="recorded step"):
        gp_fit.fit_hyperparameters(
            demonstrations.empty(2, 4, 3, 2, 2), gp.Hyperparameters()
        )


def test_bytes_and_whole_numbers_are_conditioned_on_as_floats_are():
    demos = random_demos(22)
    floats = demos._replace(
        observations=jnp.round(jnp.abs(9 * demos.observations)),
        actions=jnp.round(9 * demos.actions),
    )
    whole = floats._replace(
        observations=floats.observations.astype(jnp.uint8),
        actions=floats.actions.astype(jnp.int32),
    )
    expected, actual = (gp.condition(HYPERPARAMETERS, x) for x in (floats, whole))
    assert jnp.abs(expected.weights).max() > 0
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


@pytest.mark.parametrize(
    "dtypes", [("float64", "float32"), ("float32", "float64"), ("bfloat16", "float32")]
)
def test_mixed_types_are_conditioned_on_in_the_widest(dtypes):
    demos = random_demos(22)
    with jax.enable_x64(True):
        observations, actions = map(jnp.asarray, (demos.observations, demos.actions))
        mixed = demos._replace(
            observations=observations.astype(dtypes[0]),
            actions=actions.astype(dtypes[1]),
        )
        params = jax.eval_shape(lambda x: gp.condition(HYPERPARAMETERS, x), mixed)
        widest = "float64" if "float64" in dtypes else "float32"
        assert params.weights.dtype == params.posterior.cholesky.dtype == widest


def test_what_is_observed_must_be_a_vector():
    demos = demonstrations.empty(2, 3, 2, 1, 1)
    for given in ({"state": demos.observations}, demos.observations[..., None]):
        with pytest.raises(errors.InvalidArgumentError, match="must be vectors"):
            gp.condition(gp.Hyperparameters(), demos._replace(observations=given))
