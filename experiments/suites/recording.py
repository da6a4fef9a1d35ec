"""Worlds on a physics simulator, and what one expert episode in them leaves behind."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import mujoco
import numpy as np

#: `expert(observation [S]) -> action [A]`, noise-free, not necessarily clipped.
Expert = Callable[[np.ndarray], np.ndarray]

#: The part of a simulator's state that a recording keeps: time, positions, velocities,
#: mocap poses. Enough to draw it.
STATE = int(
    mujoco.mjtState.mjSTATE_FULLPHYSICS
    | mujoco.mjtState.mjSTATE_MOCAP_POS
    | mujoco.mjtState.mjSTATE_MOCAP_QUAT
)


class Episode(Protocol):
    """A simulator that is allocated once and reset for every attempt.

    Attributes:
      model: MuJoCo's.
      data: MuJoCo's.
    """

    model: mujoco.MjModel
    data: mujoco.MjData

    def reset(self, rng: np.random.Generator, observation: np.ndarray) -> np.ndarray:
        """Draws a start, writes the first observation and returns its layout.

        The layout is what `World.solved` has to know beside observations, `[L]`; the
        same L for every start.
        """
        ...

    def step(self, action: np.ndarray, observation: np.ndarray) -> None:
        """Applies `action [A]`, clipped to [-1, 1], and writes the next observation."""
        ...


class Camera(NamedTuple):
    """Where a scene is looked at from: metres, and degrees."""

    lookat: tuple[float, float, float]
    distance: float
    azimuth: float
    elevation: float


@dataclasses.dataclass(frozen=True)
class World:
    """A simulated scene with its tasks and experts.

    Attributes:
      name: of the suite.
      task_names: one per task.
      prompts: one instruction per task.
      horizon: steps per episode.
      control_seconds: how long an action lasts.
      observation_mean: `[S]`, fixed normaliser.
      observation_std: `[S]`, floored away from zero.
      observation_parts: slices of an observation by name.
      action_size: width A of an action.
      action_noise: standard deviation of the noise on the actions of demonstrations.
      episode: allocates a simulator.
      expert: `(task, episode) -> Expert`, made anew at the start of every attempt.
      solved: `(observations [..., S], layouts [..., L]) -> [..., C]` bool, which tasks
        a state solves.
      full_spec: the scene with everything there is to see; the same state fits it.
      camera: that shows the scene.
    """

    name: str
    task_names: tuple[str, ...]
    prompts: tuple[str, ...]
    horizon: int
    control_seconds: float
    observation_mean: np.ndarray
    observation_std: np.ndarray
    observation_parts: dict[str, slice]
    action_size: int
    action_noise: float
    episode: Callable[[], Episode]
    expert: Callable[[int, Any], Expert]
    solved: Callable[[np.ndarray, np.ndarray], np.ndarray]
    full_spec: Callable[[], mujoco.MjSpec]
    camera: Camera


class Recording(NamedTuple):
    """One episode of an expert over the whole horizon H.

    Attributes:
      observations: `[H + 1, S]` float32, before each action and after the last.
      actions: `[H, A]` float32, as executed: with noise, within [-1, 1].
      states: `[H + 1, N]`, `STATE` of the simulator at the same times.
      solved: `[H]` bool, whether the task is solved after each action.
    """

    observations: np.ndarray
    actions: np.ndarray
    states: np.ndarray
    solved: np.ndarray

    @property
    def success(self) -> bool:
        """Whether the task was ever solved."""
        return bool(self.solved.any())


def record(
    world: World, episode: Episode, task: int, rng: np.random.Generator
) -> Recording:
    """Lets the expert of `task` act from a fresh start, with action noise.

    It keeps acting after success, so that every step of the horizon is recorded.

    Args:
      world: whose expert acts.
      episode: of that world; what was simulated in it before is gone.
      task: index of a task.
      rng: draws the start and the noise.
    """
    steps, width = world.horizon, len(world.observation_mean)
    states = np.empty((steps + 1, mujoco.mj_stateSize(episode.model, STATE)))
    recording = Recording(
        observations=np.empty((steps + 1, width), np.float32),
        actions=np.empty((steps, world.action_size), np.float32),
        states=states,
        solved=np.empty(steps, bool),
    )
    observation = np.empty(width, np.float32)
    layout = episode.reset(rng, observation)
    expert = world.expert(task, episode)
    for t in range(steps):
        recording.observations[t] = observation
        mujoco.mj_getState(episode.model, episode.data, states[t], STATE)
        noise = world.action_noise * rng.standard_normal(world.action_size)
        recording.actions[t] = np.clip(expert(observation) + noise, -1.0, 1.0)
        episode.step(recording.actions[t], observation)
        recording.solved[t] = world.solved(observation, layout)[task]
    recording.observations[steps] = observation
    mujoco.mj_getState(episode.model, episode.data, states[steps], STATE)
    return recording
