"""Training: what it learns, what it never touches, and optax by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from amf_jax import demonstrations, errors, finetune, regularisers
from amf_jax.policies import mlp
from tests import problems

IDENTITY = optax.identity()  # plain gradient descent


def train(loss, params, demos, steps, *, optimizer=IDENTITY, **options):
    schedule = options.pop("schedule", finetune.constant(0.1))
    key = options.pop("key", jax.random.key(0))
    batch_size = options.pop("batch_size", 8)
    penalty = options.pop("penalty", None)
    encode_task = options.pop("encode_task", None)

    @jax.jit
    def run(key, params, opt_state, demos, steps):
        return finetune.finetune(
            loss,
            optimizer,
            schedule,
            key,
            params,
            opt_state,
            demos,
            steps,
            batch_size=batch_size,
            penalty=penalty,
            encode_task=encode_task,
        )

    return run(key, params, optimizer.init(params), demos, steps)


def half_square(params, key, observation, action, task):
    """Gradient descent on it multiplies the parameter by 1 - rate."""
    return 0.5 * params**2


def assert_trees_equal(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def test_learns_a_linear_map():
    policy = problems.tiny_policy()
    truth = policy.init(jax.random.key(1))
    demos = problems.tiny_demos(0, (0, 1, 2, 0, 1, 2, 0, 1), horizon=6, capacity=12)
    tasks = jnp.broadcast_to(demos.tasks[:, None], (*demos.step_mask.shape, 2))
    actions = policy.act(truth, None, demos.observations, tasks)
    result = train(
        policy.loss,
        policy.init(jax.random.key(2)),
        demos._replace(actions=actions),
        600,
        optimizer=finetune.adamw_direction(weight_decay=0.0),
        schedule=finetune.cosine(0.1),
        batch_size=32,
    )
    assert result.losses[0] > 0.1
    assert result.losses[-1] < 1e-6
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3), result.params, truth
    )


def test_one_step_is_adamw():
    policy = problems.tiny_policy()
    params = policy.init(jax.random.key(1))
    # One recorded step: whatever is drawn, the batch is that example.
    demos = problems.tiny_demos(0, (1,), capacity=3, horizon=2)
    demos = demos._replace(step_mask=demos.step_mask.at[0].set([False, True]))
    example = demos.observations[0, 1], demos.actions[0, 1], demos.tasks[0]
    rate, decay = 0.03, 0.2
    reference = optax.adamw(rate, weight_decay=decay)
    expected, state = params, reference.init(params)
    for _ in range(3):
        gradient = jax.grad(policy.loss)(expected, None, *example)
        updates, state = reference.update(gradient, state, expected)
        expected = optax.apply_updates(expected, updates)
    result = train(
        policy.loss,
        params,
        demos,
        3,
        optimizer=finetune.adamw_direction(decay),
        schedule=finetune.constant(rate),
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        result.params,
        expected,
    )
    assert int(optax.tree.get(result.opt_state, "count")) == 3


def test_opt_state_carries_over():
    # Two runs of two steps at a constant rate are one of four, if the moments carry.
    optimizer = finetune.adamw_direction()
    demos = problems.tiny_demos(0, (0,))

    def run(params, state, steps):
        result = finetune.finetune(
            half_square,
            optimizer,
            finetune.constant(0.1),
            jax.random.key(0),
            params,
            state,
            demos,
            steps,
            batch_size=2,
        )
        return result.params, result.opt_state

    run = jax.jit(run)
    start = jnp.float32(2.0)
    straight = run(start, optimizer.init(start), 4)
    split = run(*run(start, optimizer.init(start), 2), 2)
    assert_trees_equal(straight, split)


def test_draws_recorded_steps_uniformly_and_no_others():
    demos = problems.tiny_demos(0, (0, 1, 0), capacity=5, horizon=3)  # 3 + 2 + 3 steps
    index = jnp.arange(15.0).reshape(5, 3, 1)
    demos = demos._replace(observations=index)

    def count(params, key, observation, action, task):
        # descends by one for each time that this step is drawn
        return params @ jax.nn.one_hot(observation[0].astype(int), 15)

    result = train(
        count, jnp.zeros(15), demos, 400, schedule=finetune.constant(1.0), batch_size=64
    )
    frequency = -np.asarray(result.params) / 400
    valid = np.asarray(demonstrations.valid_steps(demos)).ravel()
    np.testing.assert_array_equal(frequency[~valid], 0.0)
    # 25600 draws: a frequency of 1/8 deviates by 0.002
    np.testing.assert_allclose(frequency[valid], 1 / 8, atol=0.01)


def test_masked_entries_are_never_drawn():
    policy = problems.tiny_policy()
    demos = problems.tiny_demos(0, (0, 1, 0), capacity=5)
    unused = ~demonstrations.valid_steps(demos)[..., None]
    spoiled = demos._replace(
        observations=jnp.where(unused, jnp.nan, demos.observations),
        actions=jnp.where(unused, jnp.nan, demos.actions),
        tasks=jnp.where(demos.demo_mask[:, None], demos.tasks, jnp.nan),
    )
    params = policy.init(jax.random.key(1))
    clean = train(policy.loss, params, demos, 30)
    other = train(policy.loss, params, spoiled, 30)
    assert_trees_equal(clean, other)
    assert np.isfinite(other.losses).all()


def test_tasks_that_are_encoded_once_train_as_those_of_each_example():
    policy = mlp.policy(jnp.zeros(3), jnp.ones(3), 6, 2, features=(6, 5))
    demos = problems.tiny_demos(0, (0, 1, 0), capacity=5)
    demos = demos._replace(
        tasks=jnp.tile(demos.tasks, (1, 3))
    )  # wider than they are many
    spoiled = demos._replace(
        tasks=jnp.where(demos.demo_mask[:, None], demos.tasks, jnp.nan)
    )
    params = jax.jit(policy.init)(jax.random.key(1))
    each = train(policy.loss, params, demos, 10)
    batch = train(policy.loss, params, spoiled, 10, encode_task=policy.encode_task)
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4),
        each._replace(opt_state=None, losses=each.losses[::2]),
        batch._replace(opt_state=None, losses=batch.losses[::2]),  # 10 of 20 are -inf
    )


def test_padding_changes_nothing():
    policy = problems.tiny_policy()
    params = policy.init(jax.random.key(1))
    tight = problems.tiny_demos(0, (0, 1, 0))
    padded = problems.tiny_demos(0, (0, 1, 0), capacity=9)
    assert_trees_equal(
        train(policy.loss, params, tight, 20).params,
        train(policy.loss, params, padded, 20).params,
    )


def test_another_budget_or_buffer_content_does_not_recompile():
    traces = []
    optimizer = finetune.adamw_direction()

    def loss(params, key, observation, action, task):
        traces.append(None)
        return half_square(params, key, observation, action, task)

    @jax.jit
    def run(key, params, state, demos, steps):
        return finetune.finetune(
            loss, optimizer, finetune.cosine(0.1), key, params, state, demos, steps
        )

    params = jnp.float32(1.0)
    buffer = problems.tiny_demos(0, (0,), capacity=4)
    results = [run(jax.random.key(0), params, optimizer.init(params), buffer, 5)]
    once = len(traces)
    for steps in (0, 7, 40):
        buffer = demonstrations.append(buffer, problems.tiny_demos(steps, (0,)))
        results.append(
            run(jax.random.key(0), params, optimizer.init(params), buffer, steps)
        )
    assert len(traces) == once
    assert results[1].params == 1.0  # no step
    assert results[3].params < results[2].params < results[0].params < 1.0


@pytest.mark.parametrize("why", ["no steps", "no demonstration"])
def test_nothing_to_train_on_changes_nothing(why):
    policy = problems.tiny_policy()
    params = policy.init(jax.random.key(1))
    demos = problems.tiny_demos(0, (0,))
    if why == "no demonstration":
        demos = demos._replace(demo_mask=jnp.zeros(1, bool))
    optimizer = finetune.adamw_direction()
    steps = 0 if why == "no steps" else 10
    result = train(policy.loss, params, demos, steps, optimizer=optimizer)
    assert_trees_equal(result.params, params)
    assert_trees_equal(result.opt_state, optimizer.init(params))
    assert np.isneginf(result.losses).all()


def test_trace_averages_each_twentieth():
    demos = problems.tiny_demos(0, (0,))
    result = train(
        half_square, jnp.float32(1.0), demos, 40, schedule=finetune.constant(0.1)
    )
    values = 0.5 * 0.9 ** (2 * np.arange(40))  # before each step
    np.testing.assert_allclose(
        result.losses, values.reshape(20, 2).mean(axis=1), rtol=1e-5
    )
    np.testing.assert_allclose(result.params, 0.9**40, rtol=1e-5)


def test_a_penalty_adds_its_gradient_and_leaves_the_trace_to_the_loss():
    # The pull 0.5 (p - 3) makes each step p <- p - 0.1 (p + 0.5 (p - 3)).
    demos = problems.tiny_demos(0, (0,))
    result = train(
        half_square,
        jnp.float32(1.0),
        demos,
        20,
        penalty=lambda params: 0.5 * (params - 3.0),
    )
    expected, trace = 1.0, []
    for _ in range(20):
        trace.append(0.5 * expected**2)
        expected -= 0.1 * (expected + 0.5 * (expected - 3.0))
    np.testing.assert_allclose(result.params, expected, rtol=1e-5)
    np.testing.assert_allclose(result.losses, trace, rtol=1e-5)


def test_drawn_steps_are_recorded_ones():
    demos = problems.tiny_demos(0, (0, 1, 0), capacity=5, horizon=3)
    rows, times = finetune.draw_steps(jax.random.key(0), demos, 500)
    valid = np.asarray(demonstrations.valid_steps(demos))
    drawn = np.zeros_like(valid)
    drawn[rows, times] = True
    np.testing.assert_array_equal(drawn, valid)


def test_trace_of_fewer_steps_than_segments():
    demos = problems.tiny_demos(0, (0,))
    result = train(
        half_square, jnp.float32(1.0), demos, 2, schedule=finetune.constant(0.1)
    )
    expected = np.full(20, -np.inf)
    expected[0], expected[10] = 0.5, 0.5 * 0.9**2
    np.testing.assert_allclose(result.losses, expected, rtol=1e-5)


def test_cosine_goes_from_the_full_rate_to_zero_in_every_call():
    demos = problems.tiny_demos(0, (0,))
    result = train(
        half_square, jnp.float32(1.0), demos, 4, schedule=finetune.cosine(0.2)
    )
    expected = 1.0
    for step in range(4):
        expected *= 1 - 0.1 * (1 + np.cos(np.pi * step / 4))
    np.testing.assert_allclose(result.params, expected, rtol=1e-5)
    progress = jnp.array([0.0, 0.5, 1.0])
    np.testing.assert_allclose(
        finetune.cosine(0.2)(progress), [0.2, 0.1, 0.0], atol=1e-7
    )


def test_same_key_same_run_and_another_key_another_run():
    policy = problems.tiny_policy()
    params = policy.init(jax.random.key(1))
    demos = problems.tiny_demos(0, (0, 1, 2))

    def run(seed):
        return train(policy.loss, params, demos, 10, key=jax.random.key(seed))

    first, again, other = run(0), run(0), run(1)
    assert_trees_equal(first, again)
    assert not np.array_equal(first.params["kernel"], other.params["kernel"])


def test_seeds_trained_at_once_are_as_if_alone():
    policy = problems.tiny_policy()
    demos = problems.tiny_demos(0, (0, 1, 2))
    optimizer = finetune.adamw_direction()
    starts = jax.vmap(policy.init)(jax.random.split(jax.random.key(1), 3))

    def run(key, params):
        return finetune.finetune(
            policy.loss,
            optimizer,
            finetune.cosine(0.1),
            key,
            params,
            optimizer.init(params),
            demos,
            25,
            batch_size=8,
        )

    def keys():
        return jax.random.split(jax.random.key(2), 3)

    together = jax.jit(jax.vmap(run))(keys(), starts)
    alone = jax.jit(run)
    for seed in range(3):
        own = jax.tree.map(lambda leaf, seed=seed: leaf[seed], starts)
        jax.tree.map(
            lambda left, right, seed=seed: np.testing.assert_allclose(
                left[seed], right, rtol=1e-4, atol=1e-5
            ),
            together,
            alone(keys()[seed], own),
        )


def test_of_many_steps_each_can_be_drawn():
    # Fractions in single precision are multiples of 2^-23, too few for 20 million
    # steps: those that they lead to are 41.9 % of all.
    total, size = 20_000_000, 8192
    fractions = np.arange(2**23, dtype=np.float32) * np.float32(2.0**-23)
    reached = np.zeros(total, bool)
    reached[np.minimum((fractions * np.float32(total)).astype(int), total - 1)] = True
    assert reached.mean() == pytest.approx(0.4194, abs=1e-3)
    ranks = jnp.arange(1, total + 1, dtype=jnp.int32)
    draw = jax.jit(finetune._draw, static_argnums=3)
    drawn = np.asarray(draw(jax.random.key(0), ranks, jnp.int32(total), size))
    # 8192 draws: a share of 0.42 deviates by 0.0055, one of 1/16 by 0.0027.
    assert reached[drawn].mean() == pytest.approx(0.4194, abs=0.025)
    shares = np.bincount(drawn // (total // 16), minlength=16) / size
    np.testing.assert_allclose(shares, 1 / 16, atol=0.012)


def test_of_fewer_steps_the_draws_are_those_of_fractions():
    ranks = jnp.cumsum(jnp.arange(1000) % 3 != 1)
    drawn = finetune._draw(jax.random.key(3), ranks, ranks[-1], 64)
    fractions = jax.random.uniform(jax.random.key(3), (64,))
    wanted = (fractions * ranks[-1]).astype(int)
    valid = np.flatnonzero(np.arange(1000) % 3 != 1)
    np.testing.assert_array_equal(drawn, valid[wanted])


def test_training_without_jit_is_the_same():
    demos = problems.tiny_demos(0, (0,))
    with jax.disable_jit():
        result = train(half_square, jnp.float32(1.0), demos, 1, batch_size=1)
    np.testing.assert_allclose(result.params, 0.9, rtol=1e-6)
    np.testing.assert_allclose(result.losses[0], 0.5, rtol=1e-6)


def test_whole_numbers_and_numpy_arrays_are_trained_on_as_floats_are():
    policy = problems.tiny_policy()
    params = policy.init(jax.random.key(1))
    demos = problems.tiny_demos(0, (0, 1, 0))
    demos = demos._replace(
        actions=jnp.round(3 * demos.actions), tasks=jnp.round(3 * demos.tasks)
    )
    whole = jax.tree.map(np.asarray, demos)._replace(
        actions=np.asarray(demos.actions, np.int32),
        tasks=np.asarray(demos.tasks, np.int8),
    )
    expected, actual = (train(policy.loss, params, x, 5) for x in (demos, whole))
    assert_trees_equal(actual, expected)


@pytest.mark.parametrize(
    ("of_params", "of_demos", "of_losses"),
    [
        ("bfloat16", "float32", "float32"),
        ("float32", "float16", "float32"),
        ("float32", "float64", "float64"),
        ("float64", "float32", "float64"),
    ],
)
def test_parameters_keep_their_type_whatever_the_data_have(
    of_params, of_demos, of_losses
):
    policy = problems.tiny_policy()
    params = policy.init(jax.random.key(1))
    with jax.enable_x64(True):
        start = jax.tree.map(lambda leaf: leaf.astype(of_params), params)
        demos = problems.tiny_demos(0, (0, 1, 0), dtype=of_demos)
        optimizer = finetune.adamw_direction()
        pull = regularisers.penalty_gradient(
            regularisers.l2(0.1), jax.random.key(2), params, demos
        )
        result = train(policy.loss, start, demos, 3, optimizer=optimizer, penalty=pull)
        assert result.losses.dtype == of_losses
        assert result.params["kernel"].dtype == of_params
        found = result.params, result.opt_state
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


MATRIX = {"kernel": jnp.zeros((3, 2)), "bias": jnp.zeros(2)}


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.adam(0.1),
        optax.adamw(1e-3),
        optax.sgd(0.1, momentum=0.9),
        optax.lion(1e-4),
        optax.adam(optax.linear_schedule(0.0, 0.1, 10)),  # starts at a rate of 0
        optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.1)),
        optax.partition(
            {"own": optax.scale_by_adam(), "full": optax.sgd(0.1)},
            {"kernel": "own", "bias": "full"},
        ),
    ],
)
def test_an_optimiser_that_includes_its_learning_rate_is_refused(optimizer):
    with pytest.raises(errors.InvalidArgumentError, match="Pass optax.scale_by_adam"):
        train(half_square, MATRIX, problems.tiny_demos(), 1, optimizer=optimizer)


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.identity(),
        optax.scale_by_adam(),
        optax.scale_by_lion(),
        optax.scale_by_rms(),
        finetune.adamw_direction(),
        optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam()),
        optax.masked(optax.scale_by_adam(), {"kernel": True, "bias": False}),
        optax.chain(optax.add_decayed_weights(0.1), optax.trace(0.9)),
    ],
)
def test_a_direction_to_descend_along_is_taken(optimizer):
    finetune.check_direction(optimizer, MATRIX)


@pytest.mark.parametrize("rate", [-1.0, 0.0, float("nan"), float("inf")])
@pytest.mark.parametrize("schedule", [finetune.constant, finetune.cosine])
def test_learning_rates_must_be_positive(schedule, rate):
    with pytest.raises(errors.InvalidArgumentError, match="learning_rate must be pos"):
        schedule(rate)


def test_numbers_of_training_out_of_range_are_refused():
    with pytest.raises(errors.InvalidArgumentError, match="weight_decay must be at"):
        finetune.adamw_direction(-1.0)
    params, demos = jnp.float32(1.0), problems.tiny_demos(0, (0,))
    with pytest.raises(errors.InvalidArgumentError, match="batch_size must be a whole"):
        train(half_square, params, demos, 1, batch_size=0)
    with pytest.raises(errors.InvalidArgumentError, match="steps must be a whole"):
        finetune.finetune(
            half_square,
            IDENTITY,
            finetune.constant(0.1),
            jax.random.key(0),
            params,
            IDENTITY.init(params),
            demos,
            -1,
        )
