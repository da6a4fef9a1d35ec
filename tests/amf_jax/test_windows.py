"""Windows and chunks: what examples hold, and acting by them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import (
    acting,
    demonstrations,
    embeddings,
    errors,
    importance,
    learners,
    selectors,
    streaming,
    windows,
)
from amf_jax.policies import Policy, mlp
from amf_jax.windows import Window
from tests import problems


def numbered(lengths=(5, 3), horizon=5):
    """Demonstrations whose observations and actions tell row and step: 10 i + t."""
    episodes = [
        demonstrations.Episode(
            10.0 * i + np.arange(length)[:, None],
            -10.0 * i - np.arange(length)[:, None],
            task=np.eye(2)[i],
            task_id=i,
        )
        for i, length in enumerate(lengths)
    ]
    return demonstrations.from_episodes(episodes, capacity=3, horizon=horizon)


def test_examples_repeat_the_first_observation_and_the_last_action():
    window = Window(observation_horizon=3, action_chunk=4)
    rows, times = jnp.array([0, 1, 1]), jnp.array([1, 0, 2])
    seen, chunk = jax.jit(windows.examples(numbered(), window))(rows, times)
    np.testing.assert_array_equal(seen[..., 0], [[0, 0, 1], [10, 10, 10], [10, 11, 12]])
    np.testing.assert_array_equal(
        chunk.actions[..., 0],
        [[-1, -2, -3, -4], [-10, -11, -12, -12], [-12, -12, -12, -12]],
    )
    np.testing.assert_array_equal(
        chunk.mask, [[1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 0, 0]]
    )


def test_a_step_that_is_masked_is_passed_over():
    demos = numbered()
    demos = demos._replace(
        observations={"state": demos.observations.at[0, 2].set(jnp.nan)},
        step_mask=demos.step_mask.at[0, 2].set(False).at[0, 0].set(False),
    )
    gather = windows.examples(demos, Window(2, 3))
    seen, chunk = gather(jnp.array([0, 0]), jnp.array([3, 1]))
    np.testing.assert_array_equal(seen["state"][..., 0], [[1, 3], [1, 1]])
    np.testing.assert_array_equal(chunk.actions[..., 0], [[-3, -4, -4], [-1, -1, -3]])
    np.testing.assert_array_equal(chunk.mask, [[1, 1, 0], [1, 0, 1]])


@pytest.mark.parametrize(
    "window", [Window(), Window(2), Window(1, 3), Window(3, 2, 1), Window(2, 4, 3)]
)
def test_every_way_to_gather_gives_the_same_examples(window):
    demos = numbered()
    rows, times = jnp.indices(demos.step_mask.shape)
    each = windows.examples(demos, window)(rows, times)
    whole = windows.of_rows(demos, window, jnp.arange(3))
    jax.tree.map(np.testing.assert_array_equal, each, whole)
    seen, actions, counts = windows.asked(demos, window)
    jax.tree.map(
        lambda one, other: np.testing.assert_array_equal(
            one, other[:, :: window.executed]
        ),
        (seen, getattr(actions, "actions", actions)),
        (each[0], getattr(each[1], "actions", each[1])),
    )
    np.testing.assert_array_equal(counts.sum(axis=1) > 0, [True, True, False])


def test_what_is_executed_of_the_experts_chunks_is_what_the_expert_did():
    demos = numbered()
    for window in (Window(1, 3), Window(1, 3, 2), Window(2, 2, 1), Window()):
        _, actions, _ = windows.asked(demos, window)
        done = windows.executed(getattr(actions, "actions", actions), window, 5)
        valid = demonstrations.valid_steps(demos)
        np.testing.assert_array_equal(done[valid], demos.actions[valid])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(observation_horizon=0), "observation_horizon must be a whole number"),
        (dict(action_chunk=-1), "action_chunk must be a whole number"),
        (dict(action_chunk=2, executed_steps=3), "at most action_chunk=2, got 3"),
    ],
)
def test_a_window_that_there_cannot_be_is_refused(fields, message):
    with pytest.raises(errors.InvalidArgumentError, match=message):
        Window(**fields)


def test_an_embedding_of_another_window_than_the_likelihoods_is_refused():
    zeros, ones = np.zeros(3), np.ones(3)
    policy = mlp.policy(zeros, ones, 2, 2, features=(4,), action_chunk=2)
    bare = embeddings.last_layer_gradient(policy.last_layer)
    pool, tasks = (lambda: iter(())), np.eye(2)
    for build in (
        lambda: selectors.amf(bare, policy.log_likelihood),
        lambda: streaming.select(
            pool, bare, policy.log_likelihood, tasks, params=0, embedding_params=0
        ),
    ):
        with pytest.raises(
            errors.InvalidArgumentError,
            match=r"chunk=1.*chunk=2.*_replace\(window=policy.window\)",
        ):
            build()
    selectors.amf(bare._replace(window=policy.window), policy.log_likelihood)
    selectors.amf(bare, None, weights="deterministic")


def test_a_learner_that_conditions_acts_by_the_window_of_its_policy():
    policy = Policy(loss=print, act=print, window=Window(2, 3))
    learner = learners.conditioning_learner(print, policy, numbered())
    assert learner.window == Window(2, 3)


def test_the_likelihood_of_a_demonstration_counts_what_is_executed_once():
    """Of a policy that says of each action of a chunk how far it is from 2 c."""
    demos, tasks = numbered(), jnp.array([[1.0, 0.0], [0.0, 3.0]])

    def log_likelihood(params, observations, chunks, tasks):
        wanted = 2.0 * tasks[..., :1].sum(axis=-1)
        steps = -(chunks.actions[..., 0] - jnp.broadcast_to(wanted, chunks.mask.shape))
        return jnp.where(chunks.mask, steps, 0.0).sum(axis=-1)

    for window in (Window(1, 4), Window(1, 4, 3), Window(2, 4, 1)):
        told = windows.Likelihood(log_likelihood, window)
        total = importance.trajectory_log_likelihoods(told, None, demos, tasks)
        # 0 + 1 + 2 + 3 + 4 and 10 + 11 + 12, and the number of steps times 2 c.
        np.testing.assert_allclose(
            total, [[10 + 5 * 2, 33 + 3 * 2, 0], [10, 33, 0]], 1e-6
        )


def test_a_policy_is_asked_again_when_its_chunk_is_done():
    asked = []

    def act(key, seen, gain):
        """The sum of what is seen, and then one less each step."""
        jax.debug.callback(lambda value: asked.append(float(value)), seen[0, -1, 0])
        first = gain * seen.sum(axis=1)
        return first[:, None] - jnp.arange(4.0)[None, :, None]

    actor = acting.receding_horizon(act, Window(3, 4, 2))
    state = actor.reset(jax.random.key(0), jnp.full((2, 1), 1.0), 10.0)
    step, done = jax.jit(actor.step), []
    for number in range(5):
        observations = jnp.array([[1.0], [2.0]]) + number
        actions, state = step(state, jax.random.key(number), observations, 10.0)
        done.append(float(actions[0, 0]))
    jax.effects_barrier()
    # Seen at steps 0, 2 and 4: 1 1 1, then 1 2 3, then 3 4 5.
    assert done == [30.0, 29.0, 60.0, 59.0, 120.0]
    assert asked == [1.0, 3.0, 5.0]


def test_one_observation_and_one_action_are_passed_through():
    actor = acting.receding_horizon(
        lambda key, observations, tasks: observations + tasks, Window()
    )
    state = actor.reset(None, jnp.zeros((2, 3)), 1.0)
    actions, state = actor.step(state, None, jnp.ones((2, 3)), 1.0)
    np.testing.assert_array_equal(actions, 2.0)
    assert state == ()


def test_one_action_at_a_time_of_several_observations():
    demos = problems.tiny_demos()
    actor = acting.receding_horizon(
        lambda key, seen: seen["x"].sum(axis=1), Window(observation_horizon=2)
    )
    observations = [{"x": demos.observations[:, t]} for t in range(3)]
    state = actor.reset(None, observations[0])
    for t, now in enumerate(observations):
        actions, state = actor.step(state, None, now)
        before = observations[max(t - 1, 0)]["x"]
        np.testing.assert_allclose(actions, before + now["x"], 1e-6)
