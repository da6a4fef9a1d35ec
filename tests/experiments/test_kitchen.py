"""The kitchen: physics, observation, success rules, inverse kinematics, experts."""

import jax
import mujoco
import numpy as np
import pytest

from amf_jax import errors
from experiments.suites import kitchen as kitchen_suite
from experiments.suites import models, simulation
from experiments.suites.kitchen import (
    environment,
    experts,
    kinematics,
    normaliser,
    scene,
    tasks,
)


@pytest.fixture(scope="module")
def kitchen():
    return scene.make(scene.build())


def attempt(kitchen, task, seed, noise=0.0, start_noise=0.02):
    """Whether the expert of a task ever solves it in one episode."""
    rng, observation = np.random.default_rng(seed), np.empty(38, np.float32)
    episode = environment.Episode(kitchen, start_noise)
    layout = episode.reset(rng, observation)
    expert = experts.Expert(task, episode, kinematics.Kinematics(kitchen))
    for _ in range(environment.HORIZON):
        action = expert(observation) + noise * rng.standard_normal(9)
        episode.step(action, observation)
        if tasks.solved(observation, layout)[task]:
            return True
    return False


def test_dropping_what_is_only_seen_leaves_the_physics_bit_identical():
    final = []
    for model in (scene.build(), scene.full_spec().compile()):
        episode, observation = environment.Episode(scene.make(model)), np.empty(38)
        episode.reset(np.random.default_rng(0), observation)
        for action in np.random.default_rng(1).uniform(-1, 1, (20, 9)):
            episode.step(action, observation)
        final.append(episode.data.qpos.copy())
        assert not any(warning.number for warning in episode.data.warning)
    np.testing.assert_array_equal(*final)


@pytest.mark.parametrize(
    ("physics", "timestep", "steps"), [("fast", 0.004, 20), ("stock", 0.002, 40)]
)
def test_an_action_lasts_80_milliseconds_with_either_physics(physics, timestep, steps):
    built = scene.make(scene.build(physics))
    assert built.model.opt.timestep == timestep
    assert built.steps_per_action == steps


def test_unknown_physics_and_a_missing_package_are_named(monkeypatch):
    with pytest.raises(errors.UnknownNameError, match="fast"):
        scene.build("fats")
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(errors.MissingDependencyError, match=r"amf_jax\[kitchen\]"):
        scene.build()


# The joint, its goal and 0.15 of its range, from RoboHive's task definitions.
@pytest.mark.parametrize(
    ("task", "goal", "tolerance"),
    [(0, -1.57, 0.2355), (1, 0.0, 0.2355), (2, 1.57, 0.2355)]
    + [(3, 0.44, 0.066), (4, -1.25, 0.3141)],
)
@pytest.mark.parametrize("side", [-1, 1])
def test_a_task_is_solved_within_its_tolerance_only(task, goal, tolerance, side):
    observation = np.zeros(38)
    observation[tasks.OBJECTS] = 0.0, -1.57, 0.0, 0.0, 0.0  # the start solves nothing
    assert not tasks.solved(observation, np.empty(0)).any()
    observation[tasks.OBJECTS][task] = goal + side * (tolerance - 0.001)
    assert tasks.solved(observation, np.empty(0)).tolist() == [
        i == task for i in range(5)
    ]
    observation[tasks.OBJECTS][task] = goal + side * (tolerance + 0.001)
    assert not tasks.solved(observation, np.empty(0)).any()


def test_every_episode_starts_with_the_same_kitchen_and_another_posture(kitchen):
    episode = environment.Episode(kitchen)
    starts = np.empty((20, 38))
    for seed, row in enumerate(starts):
        episode.reset(np.random.default_rng(seed), row)
        for action in np.random.default_rng(seed).uniform(-1, 1, (5, 9)):
            episode.step(action, np.empty(38))  # must not survive the next reset
    np.testing.assert_array_equal(starts[:, tasks.OBJECTS], [[0, -1.57, 0, 0, 0]] * 20)
    home = kitchen.home[:7]
    offset = np.abs(starts[:, :7] - home)
    assert offset.max() <= 0.15 + 1e-9
    assert (offset.max(axis=0) > 0.1).all()
    np.testing.assert_array_equal(starts[:, 7:9], np.full((20, 2), 0.04))
    again = np.empty(38)
    environment.Episode(kitchen).reset(np.random.default_rng(7), again)
    np.testing.assert_array_equal(again, starts[7])


def test_the_observation_says_where_the_tool_and_the_handles_are(kitchen):
    episode, observation = environment.Episode(kitchen), np.empty(38)
    episode.reset(np.random.default_rng(0), observation)
    episode.step(np.random.default_rng(1).uniform(-1, 1, 9), observation)
    fresh = mujoco.MjData(kitchen.model)  # MuJoCo's own answer for the same joints
    fresh.qpos[:] = episode.data.qpos
    mujoco.mj_forward(kitchen.model, fresh)
    site = fresh.site("end_effector")
    axes = site.xmat.reshape(3, 3)
    np.testing.assert_allclose(observation[:9], fresh.qpos[:9])
    np.testing.assert_allclose(
        observation[tasks.TOOL], site.xpos + 0.04 * axes[:, 2], atol=1e-12
    )
    np.testing.assert_allclose(observation[17:20], axes[:, 2], atol=1e-12)
    np.testing.assert_allclose(observation[20:23], axes[:, 1], atol=1e-12)
    for task, vector in zip(
        tasks.TASKS, observation[tasks.HANDLES].reshape(5, 3), strict=True
    ):
        there = observation[tasks.TOOL] + vector
        np.testing.assert_allclose(there, fresh.site(task.handle).xpos, atol=1e-12)


def test_actions_are_clipped_joint_velocities(kitchen):
    episode, observation = environment.Episode(kitchen, 0.0), np.empty(38)
    episode.reset(np.random.default_rng(0), observation)
    before = episode.data.qpos[:9].copy()
    episode.step(np.array([0.5, -9.0, 0, 0, 0, 0, 0, 0, 0]), observation)
    wanted = episode.data.ctrl - before
    # 2 rad/s for 0.08 s at an action of 1
    np.testing.assert_allclose(wanted[:3], [0.08, -0.16, 0.0], atol=1e-12)
    assert observation[0] > before[0] and observation[1] < before[1]


@pytest.mark.parametrize("seed", range(5))
def test_inverse_kinematics_undoes_forward_kinematics(kitchen, seed):
    rng, solver = np.random.default_rng(seed), kinematics.Kinematics(kitchen)
    posture = kitchen.home[:7] + rng.uniform(-0.3, 0.3, 7)
    low, high = kitchen.model.jnt_range[:7].T
    posture = np.clip(posture, low + 0.1, high - 0.1)
    position, rotation = solver.tool_at(posture)
    start = np.clip(posture + rng.uniform(-0.1, 0.1, 7), low + 0.05, high - 0.05)
    found = solver.solve(position, rotation, start)
    reached, hand = solver.tool_at(found)
    assert np.linalg.norm(reached - position) < 2e-3
    assert np.arccos((np.trace(rotation @ hand.T) - 1) / 2) < 0.03


def test_an_unreachable_pose_gives_the_nearest_posture_within_the_limits(kitchen):
    solver = kinematics.Kinematics(kitchen)
    _, rotation = solver.tool_at(kitchen.home[:7])
    found = solver.solve(np.array([5.0, 5.0, 5.0]), rotation, kitchen.home[:7].copy())
    low, high = kitchen.model.jnt_range[:7].T
    assert ((found > low) & (found < high)).all()


@pytest.mark.parametrize("task", range(5))
@pytest.mark.parametrize(("noise", "start_noise"), [(0.0, 0.02), (0.1, 0.15)])
def test_experts_solve_their_task(kitchen, task, noise, start_noise):
    solved = [attempt(kitchen, task, seed, noise, start_noise) for seed in range(5)]
    assert np.mean(solved) >= (1.0 if noise == 0 else 0.8)


def test_experts_act_alike_in_episodes_of_the_same_seed(kitchen):
    def actions():
        episode, observation = environment.Episode(kitchen), np.empty(38)
        episode.reset(np.random.default_rng(3), observation)
        expert = experts.Expert(4, episode, kinematics.Kinematics(kitchen))
        for _ in range(10):
            action = expert(observation)
            episode.step(action, observation)
            yield action

    np.testing.assert_array_equal(list(actions()), list(actions()))


@pytest.fixture(scope="module")
def suite():
    suite = simulation.make(kitchen_suite.world(), num_threads=1)
    yield suite
    suite.close()


def same(first, second):
    return all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    )


def test_demonstrations_solve_their_task_and_depend_on_their_entropy_only(suite):
    for task in range(5):
        demos = suite.demonstrate((5, 1), task, 1)
        assert demos.observations.shape == (1, 50, 38)
        assert np.abs(demos.actions).max() <= 1
        assert demos.task_ids.tolist() == [task]
        reached = tasks.solved(np.asarray(demos.observations[0]), np.empty(0))
        assert reached[:, task].any()  # and rarely in the last step alone
    again = suite.demonstrate((5, 1), 4, 1)
    assert same(demos, again)
    assert not same(demos, suite.demonstrate((5, 2), 4, 1))


def test_an_expert_solves_its_own_task_alone(suite):
    demos = suite.demonstrate((3,), 0, 1)
    reached = tasks.solved(np.asarray(demos.observations[0]), np.empty(0))
    assert reached.any(axis=0).tolist() == [True, False, False, False, False]


def test_any_number_of_threads_gives_the_serial_result_to_the_bit(suite):
    def seen(evaluated):
        observations, rng = [], np.random.default_rng(1)

        def act(rows, task_ids):
            observations.append(rows)
            return rng.uniform(-1, 1, (len(task_ids), 9))

        success = evaluated.evaluate(act, (2,), 2)["success"]
        return success, np.array(observations)

    serial = seen(suite)
    for num_threads in (2, 3):
        threaded = simulation.make(kitchen_suite.world(), num_threads=num_threads)
        assert same(serial, seen(threaded))
        threaded.close()


def test_doing_nothing_solves_nothing(suite):
    result = suite.evaluate(lambda o, c: np.zeros((len(c), 9)), (0,), 2)
    assert result["success"].tolist() == [0, 0, 0, 0, 0]


@pytest.mark.slow
def test_normaliser_is_that_of_eight_demonstrations_per_task(suite):
    steps = np.concatenate(
        [
            np.asarray(suite.demonstrate((0,), task, 8).observations, np.float64)
            for task in range(5)
        ]
    ).reshape(-1, 38)
    np.testing.assert_allclose(normaliser.MEAN, steps.mean(0), atol=6e-3)
    np.testing.assert_allclose(
        normaliser.STD, np.maximum(steps.std(0), 0.01), atol=6e-3
    )


def test_unknown_physics_of_a_config_is_named():
    with pytest.raises(errors.UnknownNameError, match="stock"):
        kitchen_suite.world("stok")
