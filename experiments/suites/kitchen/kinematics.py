"""Inverse kinematics of the arm, by damped least squares on MuJoCo's Jacobian."""

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from experiments.suites.kitchen.environment import ARM, tool
from experiments.suites.kitchen.scene import Scene

_JOINT_MARGIN = 0.02  # radians kept from the limits of every joint
_CLOSE_ENOUGH = 2e-3, 0.03  # metres and radians
_LARGEST_STEP = 0.2
_POSTURE_GAIN = 0.1


class Kinematics:
    """Answers questions about postures that the simulation is not in."""

    def __init__(self, scene: Scene):
        self._scene = scene
        self._data = mujoco.MjData(scene.model)
        self._jacobian = np.zeros((6, scene.model.nv))
        low, high = scene.model.jnt_range[ARM].T
        self._limits = low + _JOINT_MARGIN, high - _JOINT_MARGIN

    def copy(self, data: mujoco.MjData) -> None:
        """Starts from the state of a simulation: where the objects are."""
        self._data.qpos[:] = data.qpos

    def tool_at(self, posture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Position and rotation of the tool in a posture of the arm, `[7]`."""
        data = self._data
        data.qpos[ARM] = posture
        mujoco.mj_kinematics(self._scene.model, data)
        position, rotation = tool(self._scene, data)
        return position, rotation.copy()

    def handle_at(self, task: int, value: float) -> np.ndarray:
        """Where the handle of a task is when its joint is at `value`, `[3]`."""
        data = self._data
        data.qpos[self._scene.objects[task]] = value
        mujoco.mj_kinematics(self._scene.model, data)
        return data.site_xpos[self._scene.handles[task]].copy()

    def solve(
        self,
        position: np.ndarray,
        rotation: np.ndarray,
        start: np.ndarray,
        *,
        rotation_weight: float = 0.3,
        damping: float = 0.02,
        iterations: int = 40,
    ) -> np.ndarray:
        """A posture near `start` that brings the tool to a pose.

        Args:
          position: `[3]`, of the tool, metres.
          rotation: `[3, 3]`, of the hand.
          start: `[7]`, where the search starts, and what it stays near where the pose
            leaves a choice.
          rotation_weight: metres that a radian of orientation error counts for.
          damping: of the least squares; larger is slower and steadier.
          iterations: at most.

        Returns:
          `[7]` joint angles within the limits; the nearest that was found where the
          pose cannot be reached.
        """
        model, data = self._scene.model, self._data
        body = model.site_bodyid[self._scene.end_effector]
        posture = start.copy()
        for _ in range(iterations):
            reached, hand = self.tool_at(posture)
            offset = position - reached
            turn = Rotation.from_matrix(rotation @ hand.T).as_rotvec()
            distance, angle = _CLOSE_ENOUGH
            if np.linalg.norm(offset) < distance and np.linalg.norm(turn) < angle:
                break
            mujoco.mj_comPos(model, data)
            mujoco.mj_jac(
                model, data, self._jacobian[:3], self._jacobian[3:], reached, body
            )
            jacobian = self._jacobian[:, ARM].copy()
            jacobian[3:] *= rotation_weight
            error = np.concatenate([offset, rotation_weight * turn])
            error *= min(1.0, _LARGEST_STEP / (np.linalg.norm(error) + 1e-9))
            gram = jacobian @ jacobian.T + damping**2 * np.eye(6)
            back = _POSTURE_GAIN * (start - posture)
            step = jacobian.T @ np.linalg.solve(gram, error - jacobian @ back) + back
            posture = np.clip(posture + step, *self._limits)
        return posture
