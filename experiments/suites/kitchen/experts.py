"""Scripted experts: waypoints near a handle, then along the path of the object.

An expert looks at the simulation, remembers which phase of its program it is in, and
acts by proportional control in the space of the joints.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from experiments.suites.kitchen import tasks
from experiments.suites.kitchen.environment import ARM, SPEED, Episode, tool
from experiments.suites.kitchen.kinematics import Kinematics
from experiments.suites.kitchen.programs import PROGRAMS, Follow, Program, Reach
from experiments.suites.kitchen.scene import CONTROL_SECONDS

_GAIN = 2.0  # share of a position error that a step would cover, were it fast enough
_TOP_SPEED = 0.95  # of the action range, which leaves room to hold against gravity
_FOLLOW_ITERATIONS = 12
_FOLLOW_DAMPING = 0.05


class Expert:
    """Acts in one episode of one task."""

    def __init__(
        self,
        task: int,
        episode: Episode,
        kinematics: Kinematics,
        program: Program | None = None,
    ):
        self._task = task
        self._episode = episode
        self._kinematics = kinematics
        self._program = PROGRAMS[task] if program is None else program
        self._phase = 0
        self._steps = 0  # in this phase
        self._grasp = (0.0, np.eye(3))  # value and rotation when following began

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """The next action, `[9]`."""
        del observation  # the expert knows more than is observed
        posture, phase = self._target()
        self._steps += 1
        data, model = self._episode.data, self._episode.scene.model
        action = np.empty(tasks.ACTION_SIZE)
        action[:7] = posture - data.qpos[ARM]
        action[7:] = phase.fingers - data.qpos[7:9]
        action *= _GAIN / (SPEED * CONTROL_SECONDS)
        saturation = phase.saturation if isinstance(phase, Follow) else 1.0
        fastest = np.abs(action[:7]).max() / (_TOP_SPEED * saturation)
        action[:7] /= max(1.0, fastest)
        action[:7] = np.clip(action[:7], -_TOP_SPEED, _TOP_SPEED)
        # A servo sags by its load over its stiffness; aim higher by as much.
        stiffness = model.actuator_gainprm[ARM, 0]
        action[:7] += data.qfrc_bias[ARM] / stiffness / (SPEED * CONTROL_SECONDS)
        return np.clip(action, -1.0, 1.0)

    def _target(self) -> tuple[np.ndarray, Reach | Follow]:
        """The posture to go to, from the first phase that is not done."""
        self._kinematics.copy(self._episode.data)
        while True:
            phase = self._program[self._phase]
            if isinstance(phase, Follow):
                return self._follow(phase), phase
            posture, done = self._reach(phase)
            if not done or self._phase == len(self._program) - 1:
                return posture, phase
            self._phase += 1
            self._steps = 0

    def _reach(self, phase: Reach) -> tuple[np.ndarray, bool]:
        nominal = np.array(phase.posture)
        _, rotation = self._kinematics.tool_at(nominal)
        handle = self._kinematics.handle_at(self._task, phase.value)
        wanted = handle + np.array(phase.offset)
        posture = self._kinematics.solve(wanted, rotation, nominal)
        data = self._episode.data
        position, _ = tool(self._episode.scene, data)
        near = (
            np.abs(posture - data.qpos[ARM]).max() < phase.joint_tolerance
            or np.linalg.norm(wanted - position) < phase.tool_tolerance
        )
        return posture, bool(near) or self._steps >= phase.at_most

    def _follow(self, phase: Follow) -> np.ndarray:
        data, scene = self._episode.data, self._episode.scene
        value = float(data.qpos[scene.objects[self._task]])
        position, rotation = tool(scene, data)
        if self._steps == 0:
            self._grasp = value, rotation.copy()
        bound = min if phase.lead > 0 else max
        ahead = bound(value + phase.lead, phase.end)
        handle = self._kinematics.handle_at(self._task, ahead)
        step = handle + np.array(phase.offset) - position
        step *= min(1.0, phase.largest_step / (np.linalg.norm(step) + 1e-9))
        first, held = self._grasp
        if phase.twist:
            turned = _twisted(rotation, held, -phase.twist * (ahead - value))
        else:
            turned = _about("z", phase.yaw * (value - first)) @ held
        return self._kinematics.solve(
            position + step,
            turned,
            data.qpos[ARM].copy(),
            rotation_weight=phase.rotation_weight,
            damping=_FOLLOW_DAMPING,
            iterations=_FOLLOW_ITERATIONS,
        )


def _about(axis: str, angle: float) -> np.ndarray:
    return Rotation.from_euler(axis, angle).as_matrix()


def _twisted(rotation: np.ndarray, held: np.ndarray, angle: float) -> np.ndarray:
    """The hand turned about y, then tilted back to the approach axis it began with."""
    turned = _about("y", angle) @ rotation
    axis = np.cross(turned[:, 2], held[:, 2])
    sine = float(np.linalg.norm(axis))
    if sine < 1e-6:
        return turned
    tilt = axis / sine * np.arcsin(min(1.0, sine))
    return Rotation.from_rotvec(tilt).as_matrix() @ turned
