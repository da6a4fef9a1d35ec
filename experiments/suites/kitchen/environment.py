"""One episode in the kitchen: reset, step, observe."""

import mujoco
import numpy as np

from experiments.suites.kitchen import tasks
from experiments.suites.kitchen.scene import CONTROL_SECONDS, Scene

HORIZON = 50
ARM = slice(0, 7)  # its joints lead qpos, qvel and the actuators, then the fingers
START_NOISE = 0.15  # radians, half-width of the uniform noise on every arm joint
SPEED = 2.0  # radians (fingers: metres) per second at an action of 1
_TOOL_OFFSET = 0.04  # metres from the end-effector site to between the finger tips


class Episode:
    """A simulator that is allocated once and reset for every attempt."""

    def __init__(self, scene: Scene, start_noise: float = START_NOISE):
        self.scene = scene
        self.model = scene.model
        self.data = mujoco.MjData(scene.model)
        self._start_noise = start_noise

    def reset(self, rng: np.random.Generator, observation: np.ndarray) -> np.ndarray:
        """Puts everything back; only the arm's posture differs between episodes.

        Args:
          rng: draws the noise on the seven joints of the arm.
          observation: `[38]`, receives the first observation.

        Returns:
          `[0]`: the layout is the same in every episode.
        """
        model, data = self.scene.model, self.data
        mujoco.mj_resetData(model, data)
        data.qpos[:] = self.scene.home
        data.qpos[ARM] += self._start_noise * rng.uniform(-1.0, 1.0, 7)
        data.qpos[ARM] = np.clip(data.qpos[ARM], *model.jnt_range[ARM].T)
        data.ctrl[:] = data.qpos[tasks.JOINTS]
        mujoco.mj_forward(model, data)
        self.observe(observation)
        return np.empty(0)

    def step(self, action: np.ndarray, observation: np.ndarray) -> None:
        """Moves the joints by velocities `action [9]`, clipped to [-1, 1]."""
        velocity = SPEED * np.clip(np.asarray(action, np.float64), -1.0, 1.0)
        # Position servos; the model's control range bounds their targets.
        self.data.ctrl[:] = self.data.qpos[tasks.JOINTS] + velocity * CONTROL_SECONDS
        mujoco.mj_step(self.scene.model, self.data, self.scene.steps_per_action)
        self.observe(observation)

    def observe(self, observation: np.ndarray) -> None:
        """Writes the state into `observation [38]`."""
        scene, data = self.scene, self.data
        # mj_step leaves positions of sites one physics step behind the joints.
        mujoco.mj_kinematics(scene.model, data)
        position, rotation = tool(scene, data)
        observation[tasks.JOINTS] = data.qpos[tasks.JOINTS]
        observation[tasks.OBJECTS] = data.qpos[scene.objects]
        observation[tasks.TOOL] = position
        observation[tasks.TOOL_AXES] = rotation[:, [2, 1]].T.ravel()
        observation[tasks.HANDLES] = (data.site_xpos[scene.handles] - position).ravel()


def tool(scene: Scene, data: mujoco.MjData) -> tuple[np.ndarray, np.ndarray]:
    """The point between the finger tips, `[3]`, and the hand's rotation, `[3, 3]`.

    The third column of the rotation is the approach axis, the second the axis along
    which the fingers open.
    """
    rotation = data.site_xmat[scene.end_effector].reshape(3, 3)
    position = data.site_xpos[scene.end_effector] + _TOOL_OFFSET * rotation[:, 2]
    return position, rotation
