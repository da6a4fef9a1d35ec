"""Recorded episodes of every simulated world."""

import mujoco
import numpy as np
import pytest

from experiments.suites import kitchen, metaworld
from experiments.suites.recording import STATE, record


@pytest.fixture(
    scope="module", params=[metaworld, kitchen], ids=["metaworld", "kitchen"]
)
def world(request):
    return request.param.world()


@pytest.fixture(scope="module")
def recorded(world):
    episode = world.episode()
    return episode, record(world, episode, 1, np.random.default_rng([0, 1]))


def test_a_recording_holds_the_whole_horizon(world, recorded):
    _, recording = recorded
    steps = world.horizon
    assert recording.observations.shape == (steps + 1, len(world.observation_mean))
    assert recording.actions.shape == (steps, world.action_size)
    assert len(recording.states) == steps + 1 and len(recording.solved) == steps
    assert recording.success and not recording.solved[0]
    assert np.abs(recording.actions).max() <= 1.0
    times = recording.states[:, 0]
    np.testing.assert_allclose(np.diff(times), world.control_seconds, rtol=1e-9)


def test_the_recorded_states_are_those_that_were_observed(world, recorded):
    _, recording = recorded
    episode = world.episode()
    observation = np.empty(len(world.observation_mean), np.float32)
    episode.reset(np.random.default_rng(9), observation)
    for t in (0, 20, world.horizon):
        mujoco.mj_setState(episode.model, episode.data, recording.states[t], STATE)
        mujoco.mj_forward(episode.model, episode.data)
        episode.observe(observation)
        np.testing.assert_allclose(observation, recording.observations[t], atol=1e-5)


def test_the_states_fit_the_scene_with_everything_there_is_to_see(world, recorded):
    episode, recording = recorded
    full = world.full_spec().compile()
    data = mujoco.MjData(full)
    assert mujoco.mj_stateSize(full, STATE) == recording.states.shape[1]
    mujoco.mj_setState(full, data, recording.states[-1], STATE)
    mujoco.mj_kinematics(full, data)
    mujoco.mj_kinematics(episode.model, episode.data)
    for body in range(1, full.nbody):
        name = full.body(body).name
        if name:
            there = episode.data.body(name).xpos
            np.testing.assert_allclose(data.xpos[body], there, atol=1e-9)


def test_the_parts_of_an_observation_are_all_of_it(world):
    parts = world.observation_parts.values()
    covered = [index for part in parts for index in range(part.start, part.stop)]
    assert covered == list(range(len(world.observation_mean)))


def test_a_world_has_an_instruction_for_every_task(world):
    assert len(world.prompts) == len(world.task_names) == len(set(world.prompts))
