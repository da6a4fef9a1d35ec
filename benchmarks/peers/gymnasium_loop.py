"""Evaluation as a loop over a gymnasium environment: one attempt after the other."""

from collections.abc import Callable, Sequence

import gymnasium
import numpy as np

from experiments.suites.base import Act
from experiments.suites.recording import World


class TaskEnv(gymnasium.Env):
    """A world's scene with one task, as an environment; it ends when that is solved."""

    def __init__(self, world: World):
        self._world, self._episode = world, world.episode()
        self._observation = np.empty(len(world.observation_mean), np.float32)
        bound = np.inf
        self.observation_space = gymnasium.spaces.Box(
            -bound, bound, self._observation.shape, np.float32
        )
        self.action_space = gymnasium.spaces.Box(-1, 1, (world.action_size,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        assert options is not None
        self._task = options["task"]
        rng = np.random.default_rng(options["entropy"])
        self._layout = self._episode.reset(rng, self._observation)
        self._time = 0
        return self._observation.copy(), {}

    def step(self, action):
        self._episode.step(action, self._observation)
        self._time += 1
        solved = bool(self._world.solved(self._observation, self._layout)[self._task])
        truncated = self._time >= self._world.horizon
        return self._observation.copy(), float(solved), solved, truncated, {}


def evaluate(
    world: World, act: Act, entropy: Sequence[int], attempts: int
) -> Callable[[], tuple[np.ndarray, list[np.ndarray]]]:
    """The attempts that `Suite.evaluate` makes, one by one.

    Args:
      world: that is simulated.
      act: of batches; it is given one observation at a time.
      entropy: seeds attempt i of task c together with c and i.
      attempts: of each task.

    Returns:
      What makes them: success rates `[C]`, and what each attempt saw, `[steps, S]`.
    """
    env = TaskEnv(world)

    def attempt(task: int, index: int) -> tuple[bool, np.ndarray]:
        options = {"task": task, "entropy": [*entropy, task, index]}
        observation, _ = env.reset(options=options)
        seen, terminated, truncated = [], False, False
        while not (terminated or truncated):
            seen.append(observation)
            action = act(observation[None], np.array([task], np.int32))[0]
            observation, _, terminated, truncated, _ = env.step(np.asarray(action))
        return terminated, np.stack(seen)

    def run() -> tuple[np.ndarray, list[np.ndarray]]:
        tasks = range(len(world.task_names))
        solved, seen = zip(
            *(attempt(task, i) for task in tasks for i in range(attempts)), strict=True
        )
        return np.reshape(solved, (-1, attempts)).mean(axis=1), list(seen)

    return run
