"""One episode of the scene: reset, step, observe."""

import dataclasses

import mujoco
import numpy as np

from experiments.suites.metaworld import tasks

HORIZON = 50
FRAME_SKIP = 8  # physics steps of 2.5 ms per action
ACTION_SCALE = 0.016  # metres of hand motion per unit of action

# Layout, metres: centre and half-width of the uniform distribution of each start.
_HAND = np.array([0.0, 0.4, 0.2]), np.array([0.02, 0.02, 0.02])
_MUG = np.array([-0.12, 0.58]), np.array([0.05, 0.03])
_FAUCET = np.array([0.2, 0.8]), np.array([0.03, 0.02])
_HAND_LOW = np.array([-0.5, 0.4, 0.05])
_HAND_HIGH = np.array([0.5, 1.0, 0.5])
_HAND_QUATERNION = np.array([1.0, 0.0, 1.0, 0.0])
_GRIPPER_OPEN = np.array([-1.0, 1.0])
_FINGER_SPAN = 0.1  # metres between the fingers when open

_HOME_STEPS = 250  # the arm swings from its zero pose to the hand's start
# The mug falls by millimetres and the hand covers most of its random offset; the rest
# is left to the episode, because settling costs as much as acting does.
_SETTLE_STEPS = 24


@dataclasses.dataclass(frozen=True)
class Scene:
    """The compiled model, the addresses an episode reads, and the settled arm."""

    model: mujoco.MjModel
    hand: int
    right_finger: int
    left_finger: int
    mug: int
    handle_open: int
    handle_close: int
    mug_joint: int
    knob: int
    hand_mocap: int
    faucet_mocap: int
    home: np.ndarray


def make_scene(model: mujoco.MjModel) -> Scene:
    """Looks up the addresses and lets the arm settle once."""
    ids = dict(
        hand=model.body("hand").id,
        right_finger=model.body("rightclaw").id,
        left_finger=model.body("leftclaw").id,
        mug=model.body("obj").id,
        handle_open=model.site("handleStartOpen").id,
        handle_close=model.site("handleStartClose").id,
        mug_joint=int(model.joint("mug_joint").qposadr[0]),
        knob=int(model.joint("knob_Joint_1").qposadr[0]),
        hand_mocap=int(model.body("mocap").mocapid[0]),
        faucet_mocap=int(model.body("faucet_base").mocapid[0]),
    )
    data = mujoco.MjData(model)
    data.mocap_pos[ids["hand_mocap"]] = _HAND[0]
    data.mocap_quat[ids["hand_mocap"]] = _HAND_QUATERNION
    data.mocap_pos[ids["faucet_mocap"], :2] = _FAUCET[0]
    data.qpos[ids["mug_joint"] :][:2] = _MUG[0]
    data.ctrl[:] = _GRIPPER_OPEN
    mujoco.mj_step(model, data, _HOME_STEPS)
    return Scene(model=model, home=data.qpos.copy(), **ids)


class Episode:
    """A simulator that is allocated once and reset for every attempt."""

    def __init__(self, scene: Scene):
        self._scene = scene
        self.model = scene.model
        self.data = mujoco.MjData(scene.model)
        # Views into the simulator's memory: they stay valid, and indexing them is what
        # an episode would otherwise spend most of its Python time on.
        data, joint = self.data, scene.mug_joint
        self._control = data.ctrl
        self._target = data.mocap_pos[scene.hand_mocap]
        self._faucet = data.mocap_pos[scene.faucet_mocap]
        self._hand = data.xpos[scene.hand]
        self._right_finger = data.xpos[scene.right_finger]
        self._left_finger = data.xpos[scene.left_finger]
        self._mug = data.xpos[scene.mug]
        self._mug_quaternion = data.qpos[joint + 3 : joint + 7]
        self._handle_open = data.site_xpos[scene.handle_open]
        self._handle_close = data.site_xpos[scene.handle_close]
        self._knob = data.qpos[scene.knob : scene.knob + 1]

    def reset(self, rng: np.random.Generator, observation: np.ndarray) -> np.ndarray:
        """Draws a fresh layout; nothing of what was simulated before survives.

        Args:
          rng: draws the starts of mug, faucet and hand, in this order.
          observation: `[18]`, receives the first observation.

        Returns:
          `[3]`, position of the faucet's base.
        """
        scene, data = self._scene, self.data
        mujoco.mj_resetData(scene.model, data)
        data.qpos[:] = scene.home
        joint = scene.mug_joint
        data.qpos[joint : joint + 7] = [*_uniform(rng, _MUG), 0.0, 1.0, 0.0, 0.0, 0.0]
        self._knob[0] = 0.0
        self._faucet[:] = [*_uniform(rng, _FAUCET), 0.0]
        self._target[:] = _uniform(rng, _HAND)
        data.mocap_quat[scene.hand_mocap] = _HAND_QUATERNION
        self._control[:] = _GRIPPER_OPEN
        mujoco.mj_step(scene.model, data, _SETTLE_STEPS)
        self.observe(observation)
        return self._faucet.copy()

    def step(self, action: np.ndarray, observation: np.ndarray) -> None:
        """Moves the hand by `action [4]`, clipped to [-1, 1], and observes."""
        action = np.minimum(np.maximum(action, -1.0), 1.0, dtype=np.float64)
        target, grip = self._target, action[3]
        target += action[:3] * ACTION_SCALE
        np.minimum(np.maximum(target, _HAND_LOW, out=target), _HAND_HIGH, out=target)
        self._control[0] = grip
        self._control[1] = -grip
        mujoco.mj_step(self._scene.model, self.data, FRAME_SKIP)
        self.observe(observation)

    def observe(self, observation: np.ndarray) -> None:
        """Writes the state into `observation [18]`."""
        # mj_step leaves positions of bodies one physics step behind the joints.
        mujoco.mj_kinematics(self._scene.model, self.data)
        observation[tasks.HAND] = self._hand
        span = self._right_finger - self._left_finger
        observation[tasks.GRIPPER] = min(np.sqrt(span @ span) / _FINGER_SPAN, 1.0)
        observation[tasks.MUG] = self._mug
        observation[tasks.MUG_QUATERNION] = self._mug_quaternion
        observation[tasks.HANDLE_OPEN] = self._handle_open
        observation[tasks.HANDLE_CLOSE] = self._handle_close
        observation[tasks.KNOB] = self._knob[0]


def _uniform(rng: np.random.Generator, start: tuple) -> np.ndarray:
    centre, half_width = start
    return centre + half_width * rng.uniform(-1.0, 1.0, len(centre))
