"""A world small enough to work out by hand: a cart that is pushed along a rail."""

import mujoco
import numpy as np

from experiments.suites.recording import Camera, World

_XML = """
<mujoco>
  <worldbody>
    <light pos="0 -2 3"/>
    <body><joint type="slide" axis="1 0 0"/>
      <geom type="sphere" size="0.2" rgba="1 0 0 1"/></body>
  </worldbody>
</mujoco>
"""
HORIZON = 6
GOALS = np.array([1.0, -1.0])
SPEED = 0.25


class Episode:
    """The cart starts at 0, or, for half of the random streams, at 1."""

    def __init__(self):
        self.model = mujoco.MjModel.from_xml_string(_XML)
        self.data = mujoco.MjData(self.model)

    def reset(self, rng, observation):
        self.data.qpos[0] = rng.integers(2)
        observation[:] = self.data.qpos[0], self.data.qpos[0] ** 2
        return np.empty(0)

    def step(self, action, observation):
        self.data.qpos[0] += SPEED * action[0]
        observation[:] = self.data.qpos[0], self.data.qpos[0] ** 2


def expert(task, episode):
    return lambda observation: np.sign(GOALS[[task]]) * np.ones(1)


def solved(observations, layouts):
    return np.abs(observations[..., :1] - GOALS) < 0.01


WORLD = World(
    name="cart",
    task_names=("to the right", "to the left"),
    prompts=("push the cart right", "push the cart left"),
    horizon=HORIZON,
    control_seconds=0.1,
    observation_mean=np.zeros(2),
    observation_std=np.ones(2),
    observation_parts={"position": slice(0, 1), "aside": slice(1, 2)},
    action_size=1,
    action_noise=0.0,
    episode=Episode,
    expert=expert,
    solved=solved,
    full_spec=lambda: mujoco.MjSpec.from_string(_XML),
    camera=Camera((0.0, 0.0, 0.0), distance=4.0, azimuth=90.0, elevation=0.0),
)
