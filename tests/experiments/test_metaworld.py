"""The Metaworld scene: physics, experts, success rules, evaluation."""

import sys
import threading

import jax
import numpy as np
import pytest

from amf_jax import errors
from experiments.suites import metaworld, models, simulation
from experiments.suites.metaworld import (
    environment,
    experts,
    normaliser,
    scene,
    tasks,
)


@pytest.fixture(scope="module")
def suite():
    suite = simulation.make(metaworld.world(), num_threads=1)
    yield suite
    suite.close()


@pytest.fixture(scope="module")
def arm():
    return environment.make_scene(scene.build())


def noisy_expert(seed):
    rng = np.random.default_rng(seed)

    def act(observations, task_ids):
        policies = experts.experts()
        actions = np.stack(
            [policies[c](o) for o, c in zip(observations, task_ids, strict=True)]
        )
        return actions + metaworld.ACTION_NOISE * rng.standard_normal(actions.shape)

    return act


def random_policy(seed):
    rng = np.random.default_rng(seed)
    return lambda observations, task_ids: rng.uniform(-1, 1, (len(task_ids), 4))


def same(first, second):
    return all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    )


def test_dropping_what_is_only_seen_leaves_the_physics_bit_identical():
    final = []
    for model in (scene.build(), scene.full_spec().compile()):
        episode = environment.Episode(environment.make_scene(model))
        observation = np.empty(18)
        episode.reset(np.random.default_rng(0), observation)
        for action in np.random.default_rng(1).uniform(-1, 1, (20, 4)):
            episode.step(action, observation)
        final.append(episode.data.qpos.copy())
    np.testing.assert_array_equal(*final)


@pytest.mark.parametrize("task", [0, 1])
@pytest.mark.parametrize(("distance", "expected"), [(0.069, True), (0.071, False)])
def test_mug_tasks_are_solved_within_seven_centimetres(task, distance, expected):
    observation = np.zeros(18)
    goal = [(-0.2, 0.74), (0.0, 0.74)][task]
    # 3-4-5 triangle, and a height that must not matter.
    observation[4:7] = goal[0] + 0.6 * distance, goal[1] + 0.8 * distance, 0.3
    solved = tasks.solved(observation, np.zeros(3))
    assert solved.tolist() == [expected and task == 0, expected and task == 1, 0, 0]


# The open site sits at (-.015, -.175, .124) from the base and turns about z; the point
# 1 cm below it is 7 cm from (.175, 0, .125) at 1.260 rad. Closing mirrors it.
@pytest.mark.parametrize(
    ("angle", "expected"),
    [(1.28, (True, False)), (1.24, (False, False)), (0.0, (False, False))]
    + [(-1.24, (False, False)), (-1.28, (False, True))],
)
def test_faucet_tasks_are_solved_where_trigonometry_says(arm, angle, expected):
    episode = environment.Episode(arm)
    observation = np.empty(18)
    faucet = episode.reset(np.random.default_rng(0), observation)
    episode.data.qpos[arm.knob] = angle
    episode.observe(observation)
    assert observation[tasks.KNOB] == angle
    solved = tasks.solved(observation, faucet)
    assert tuple(solved[2:]) == expected
    assert not solved[:2].any()


def test_actions_are_clipped_scaled_and_kept_inside_the_workspace(arm):
    episode = environment.Episode(arm)
    observation = np.empty(18)
    episode.reset(np.random.default_rng(0), observation)
    target = episode.data.mocap_pos[arm.hand_mocap]
    before = target.copy()
    episode.step(np.array([7.0, 0.5, -0.25, 0.5]), observation)
    np.testing.assert_allclose(target - before, [0.016, 0.008, -0.004], atol=1e-12)
    np.testing.assert_array_equal(episode.data.ctrl, [0.5, -0.5])
    for _ in range(15):
        episode.step(np.array([0.0, 0.0, -1.0, 0.0]), observation)
    assert target[2] == 0.05
    # The hand follows the target of the weld, to a few millimetres.
    np.testing.assert_allclose(observation[tasks.HAND], target, atol=0.01)


def test_reset_draws_the_documented_layout(arm):
    episode = environment.Episode(arm)
    observation = np.empty(18)
    faucets, mugs, hands = [], [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        faucets.append(episode.reset(rng, observation))
        mugs.append(observation[tasks.MUG].copy())
        hands.append(observation[tasks.HAND].copy())
        assert observation[tasks.KNOB] == pytest.approx(0.0, abs=1e-6)
        assert not tasks.solved(observation, faucets[-1]).any()
    for values, centre, half_width in (
        (np.array(faucets)[:, :2], (0.2, 0.8), (0.03, 0.02)),
        (np.array(mugs)[:, :2], (-0.12, 0.58), (0.05, 0.03)),
        (np.array(hands), (0.0, 0.4, 0.2), (0.02, 0.02, 0.02)),
    ):
        excess = np.abs(values - centre) - half_width
        assert excess.max() < 0.006  # the mug settles, the arm sags
        spread = np.ptp(values, axis=0) / (2 * np.array(half_width))
        assert spread.min() > 0.5  # the hand has not covered its whole offset yet


def test_reset_forgets_whatever_was_simulated_before(arm):
    fresh, used = environment.Episode(arm), environment.Episode(arm)
    rows = np.empty((2, 18))
    used.reset(np.random.default_rng(1), rows[1])
    for action in np.random.default_rng(2).uniform(-1, 1, (30, 4)):
        used.step(action, rows[1])
    fresh.reset(np.random.default_rng(3), rows[0])
    used.reset(np.random.default_rng(3), rows[1])
    np.testing.assert_array_equal(*rows)
    for action in np.random.default_rng(4).uniform(-1, 1, (20, 4)):
        fresh.step(action, rows[0])
        used.step(action, rows[1])
    for field in ("time", "qpos", "qvel", "qacc_warmstart", "mocap_pos", "ctrl"):
        np.testing.assert_array_equal(
            getattr(fresh.data, field), getattr(used.data, field), err_msg=field
        )


def test_the_adapter_puts_things_where_metaworlds_policies_look():
    from metaworld import policies

    observation = np.arange(18.0)
    parse = policies.SawyerCoffeePushV3Policy._parse_obs
    parsed = parse(experts.adapt(observation, 1))
    np.testing.assert_array_equal(parsed["hand_pos"], [0, 1, 2])
    np.testing.assert_array_equal(parsed["mug_pos"], [4, 5, 6])
    np.testing.assert_array_equal(parsed["goal_xy"], [0.0, 0.74])
    parse = policies.SawyerFaucetOpenV3Policy._parse_obs
    parsed = parse(experts.adapt(observation, 2))
    np.testing.assert_allclose(parsed["faucet_pos"], [11, 12, 12.99])
    parse = policies.SawyerFaucetCloseV3Policy._parse_obs
    parsed = parse(experts.adapt(observation, 3))
    np.testing.assert_allclose(parsed["faucet_pos"], [14, 15, 15.99])


def test_experts_solve_95_percent_of_20_episodes_with_noise(suite):
    result = suite.evaluate(noisy_expert(0), (0,), 20)
    assert result["success"].min() >= 0.95


def test_doing_nothing_solves_nothing(suite):
    result = suite.evaluate(lambda o, c: np.zeros((len(c), 4)), (0,), 3)
    assert result["success"].tolist() == [0, 0, 0, 0]
    assert result["return"] is None


def test_each_expert_solves_its_own_task_only(suite):
    def swapped(observations, task_ids):
        return noisy_expert(0)(observations, (task_ids + 2) % 4)

    assert suite.evaluate(swapped, (0,), 2)["success"].max() == 0


def test_demonstrations_succeed_and_are_complete(suite):
    for task in range(4):
        demos = suite.demonstrate((5, 1), task, 2)
        assert np.asarray(demos.step_mask).all() and np.asarray(demos.demo_mask).all()
        assert demos.task_ids.tolist() == [task, task]
        np.testing.assert_array_equal(demos.tasks, [suite.tasks[task]] * 2)
        assert np.abs(demos.actions).max() <= 1
        last = np.asarray(demos.observations)[:, -1]
        if task < 2:
            goal = tasks.MUG_GOALS[task]
            assert np.linalg.norm(last[:, 4:6] - goal, axis=1).max() <= 0.08
        else:
            assert (last[:, 17] * (1 if task == 2 else -1)).min() > 1.2


def test_demonstrations_depend_on_their_entropy_only(suite):
    first = suite.demonstrate((3, 4), 0, 2)
    suite.evaluate(random_policy(0), (9,), 1)
    suite.demonstrate((8,), 2, 1)
    assert same(first, suite.demonstrate((3, 4), 0, 2))
    # The first of two is the first of one; other streams differ.
    assert same(jax.tree.map(lambda x: x[:1], first), suite.demonstrate((3, 4), 0, 1))
    assert not np.array_equal(first.observations[0], first.observations[1])
    assert not same(first, suite.demonstrate((3, 5), 0, 2))


def test_recorded_actions_reproduce_recorded_observations(suite, arm):
    demos = suite.demonstrate((6,), 1, 1)
    episode = environment.Episode(arm)
    observation = np.empty(18, np.float32)
    episode.reset(np.random.default_rng([6, 0]), observation)
    for recorded, action in zip(demos.observations[0], demos.actions[0], strict=True):
        np.testing.assert_array_equal(observation, recorded)
        # Evaluation acts in float64, recording in float32: the same motion.
        episode.step(np.asarray(action, np.float64), observation)


def test_failed_episodes_are_drawn_again_and_never_handed_out(suite, monkeypatch):
    real, calls = experts.experts()[2], []

    def fails_once(observation):
        calls.append(observation.copy())
        return np.zeros(4) if len(calls) <= environment.HORIZON else real(observation)

    monkeypatch.setattr(experts, "experts", lambda: (None, None, fails_once, None))
    demos = suite.demonstrate((0,), 2, 1)
    assert len(calls) == 2 * environment.HORIZON
    second = np.array(calls[environment.HORIZON :])
    np.testing.assert_array_equal(demos.observations[0], second)
    # The second episode has a layout of its own.
    assert abs(calls[0] - second[0])[tasks.HANDLE_OPEN].max() > 1e-3


def test_an_expert_that_never_succeeds_is_an_error(suite, monkeypatch):
    monkeypatch.setattr(simulation, "_TRIES", 2)
    monkeypatch.setattr(experts, "experts", lambda: [lambda observation: np.zeros(4)])
    with pytest.raises(errors.DemonstrationError, match="'mug left' failed 2 times"):
        suite.demonstrate((0,), 0, 1)


@pytest.mark.parametrize("policy", [noisy_expert, random_policy])
def test_any_number_of_threads_gives_the_serial_result_to_the_bit(suite, policy):
    def seen(evaluated):
        observations, act_on = [], policy(1)

        def act(rows, task_ids):
            observations.append(rows)
            return act_on(rows, task_ids)

        success = evaluated.evaluate(act, (2,), 3)["success"]
        return success, np.array(observations)

    serial = seen(suite)
    for num_threads in (2, 5):
        threaded = simulation.make(metaworld.world(), num_threads=num_threads)
        assert same(serial, seen(threaded))
        assert same(serial, seen(threaded))  # simulators and threads used again
        threaded.close()


def test_one_thread_starts_none(suite):
    before = threading.active_count()
    suite.evaluate(random_policy(0), (0,), 1)
    assert threading.active_count() == before


def test_batch_is_constant_and_solved_episodes_are_not_stepped(suite):
    seen = []
    expert = noisy_expert(0)

    def act(observations, task_ids):
        seen.append(observations)
        assert task_ids.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
        return expert(observations, task_ids)

    assert suite.evaluate(act, (1,), 2)["success"].tolist() == [1, 1, 1, 1]
    assert len(seen) < environment.HORIZON
    moved = np.abs(np.diff(np.array(seen), axis=0)).max(axis=-1) > 0
    assert moved.shape[1] == 8
    last_move = moved.shape[0] - 1 - np.argmax(moved[::-1], axis=0)
    for row, last in enumerate(last_move):
        assert moved[: last + 1, row].all()  # frozen once solved, not before
    assert last_move.max() > last_move.min()
    goal_distance = np.linalg.norm(seen[-1][:2, 4:6] - tasks.MUG_GOALS[0], axis=-1)
    assert goal_distance.max() <= 0.07


def test_normaliser_is_that_of_eight_demonstrations_per_task(suite):
    steps = np.concatenate(
        [
            np.asarray(suite.demonstrate((0,), task, 8).observations, np.float64)
            for task in range(4)
        ]
    ).reshape(-1, 18)
    np.testing.assert_allclose(normaliser.MEAN, steps.mean(0), atol=3e-3)
    np.testing.assert_allclose(
        normaliser.STD, np.maximum(steps.std(0), 0.01), atol=3e-3
    )


def test_task_vectors_are_the_callers():
    vectors = np.arange(20.0).reshape(4, 5)
    suite = simulation.make(metaworld.world(), vectors, num_threads=1)
    np.testing.assert_array_equal(suite.tasks, vectors)
    demos = suite.demonstrate((0,), 3, 1)
    np.testing.assert_array_equal(demos.tasks, vectors[3:])


@pytest.mark.parametrize("vectors", [np.eye(3), np.zeros(4), np.full((4, 2), np.nan)])
def test_wrong_task_vectors_are_refused(vectors):
    with pytest.raises(errors.InvalidArgumentError, match="4 finite rows"):
        simulation.make(metaworld.world(), vectors, num_threads=1)


def test_bad_arguments_are_refused(suite):
    with pytest.raises(errors.InvalidArgumentError, match="num_threads must be"):
        simulation.make(metaworld.world(), num_threads=0)
    with pytest.raises(errors.InvalidArgumentError, match="from 0 to 3, got 4"):
        suite.demonstrate((0,), 4, 1)
    with pytest.raises(errors.InvalidArgumentError, match="from 0 to 3, got array"):
        suite.demonstrate((0,), np.zeros(4), 1)
    with pytest.raises(errors.InvalidArgumentError, match="count must be"):
        suite.demonstrate((0,), 0, 0)
    with pytest.raises(errors.InvalidArgumentError, match="attempts must be"):
        suite.evaluate(random_policy(0), (0,), 0)
    with pytest.raises(errors.InvalidArgumentError, match=r"shape \(4, 3\)"):
        suite.evaluate(lambda o, c: np.zeros((4, 3)), (0,), 1)

    def broken(observations, task_ids):
        actions = np.zeros((4, 4))
        actions[2, 1] = np.nan
        return actions

    with pytest.raises(errors.InvalidArgumentError, match="for episode 2"):
        suite.evaluate(broken, (0,), 1)


def test_a_missing_package_is_named_with_its_install_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "metaworld.policies", None)
    with pytest.raises(errors.MissingDependencyError, match=r"amf_jax\[metaworld\]"):
        experts.experts.__wrapped__()
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(errors.MissingDependencyError, match=r"amf_jax\[metaworld\]"):
        metaworld.world()


def test_the_arena_of_a_simulator_is_ample(arm):
    episode = environment.Episode(arm)
    observation = np.empty(18)
    episode.reset(np.random.default_rng(0), observation)
    for _ in range(15):  # down onto the table
        episode.step(np.array([0.0, 0.5, -1.0, 1.0]), observation)
    assert episode.data.maxuse_arena < episode.data.narena / 4
    assert not any(warning.number for warning in episode.data.warning)
