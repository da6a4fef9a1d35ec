"""2-D integrator (section 5.1, appendix M.2): a point mass sent to points of a circle.

The mass starts at the origin and its velocity is integrated for 5 steps; a task is the
point to reach, and any point of the unit circle is one. The paper leaves open what is
fixed here: the radius (1), the expert (straight to the goal at constant speed, the
executed velocities corrupted with Gaussian noise of standard deviation 0.05) and where
the reward is counted (after each of the 5 steps).
"""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from amf_jax import errors, ranges
from amf_jax.candidates import TaskSpace
from amf_jax.demonstrations import Demonstrations
from amf_jax.ranges import Range
from experiments.suites.base import Act, Environment

HORIZON = 5
NUM_TASKS = 12
RADIUS = 1.0
EXPERT_NOISE = 0.05
NUM_PRETRAINING_DEMOS = 12

_NUM_DEMONSTRATED = Range(
    f"a whole number between 1 and {NUM_TASKS}",
    lambda number: 1 <= number <= NUM_TASKS,
    whole=True,
)
_TASK = Range(
    f"an index between 0 and {NUM_TASKS - 1} or a goal of 2 coordinates",
    lambda index: 0 <= index < NUM_TASKS,
    whole=True,
)

_ANGLES = 2.0 * np.pi * np.arange(NUM_TASKS) / NUM_TASKS
#: Goals of the evaluation tasks, equally spaced from angle 0 on.
TASKS = RADIUS * np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=-1)
TASK_NAMES = tuple(f"{360 * i // NUM_TASKS}°" for i in range(NUM_TASKS))


def make() -> Environment:
    """The integrator; nothing to configure, nothing to release."""
    return Environment(
        task_names=TASK_NAMES,
        tasks=TASKS.astype(np.float32),
        horizon=HORIZON,
        action_size=2,
        observation_mean=np.zeros(2, np.float32),
        observation_std=np.ones(2, np.float32),
        demonstrate=demonstrate,
        evaluate=evaluate,
        expert_states=expert_states,
    )


def pretraining_ids(num_demonstrated: int) -> np.ndarray:
    """Tasks of the 12 pre-training demonstrations when only the first k have any.

    They take turns: 12 of 12 is one demonstration each, 1 of 12 is twelve of task 0.

    Args:
      num_demonstrated: the k of "k/12 tasks demonstrated", 1 to 12.
    """
    ranges.check("num_demonstrated", num_demonstrated, _NUM_DEMONSTRATED)
    return np.arange(NUM_PRETRAINING_DEMOS) % num_demonstrated


def demonstrate(
    seed: Sequence[int], task: int | np.ndarray, count: int
) -> Demonstrations:
    """`count` noisy demonstrations of one task by the scripted expert.

    Args:
      seed: of demonstration i together with i, so that asking for more of them
        leaves the first ones as they were.
      task: index of an evaluation task, or the goal `[2]` of any other.
      count: at least 1.
    """
    task_id, goal = _resolve(task)
    ranges.check("count", count, ranges.COUNT)
    goals = np.tile(goal, (count, 1))
    return demonstrated(goals, task_id, expert_noise(seed, count))


def demonstrated(goals: Any, task_id: Any, noise: Any, xp: Any = np) -> Demonstrations:
    """Demonstrations of goals `[n, 2]` with this noise, by NumPy or by JAX."""
    observations, actions = expert_episodes(goals, noise, xp)
    count = len(goals)
    return Demonstrations(
        observations=jnp.asarray(observations, jnp.float32),
        actions=jnp.asarray(actions, jnp.float32),
        step_mask=jnp.ones((count, HORIZON), bool),
        tasks=jnp.asarray(goals, jnp.float32),
        task_ids=jnp.full((count,), task_id, jnp.int32),
        demo_mask=jnp.ones((count,), bool),
    )


def expert_noise(seed: Sequence[int], count: int) -> np.ndarray:
    """What `demonstrate` adds to the velocities of episodes, `[count, H, 2]`."""
    return np.stack(
        [
            EXPERT_NOISE
            * np.random.default_rng([*seed, i]).standard_normal((HORIZON, 2))
            for i in range(count)
        ]
    )


def evaluate(act: Act, seed: Sequence[int], attempts: int) -> Mapping[str, object]:
    """Return of the policy, averaged over the evaluation tasks.

    The paper averages 20 episodes per task. Start and dynamics are deterministic and
    policies act with their mean, so all attempts at a task are one and the same: a
    single one is run, whatever `attempts` says, and `seed` is not used.
    """
    del seed
    ranges.check("attempts", attempts, ranges.COUNT)
    _, rewards = rollout(act)
    return {"success": None, "return": float(rewards.sum(axis=0).mean())}


def rollout(act: Act) -> tuple[np.ndarray, np.ndarray]:
    """One episode of every evaluation task, in step with each other.

    Returns:
      Positions `[H + 1, C, 2]`, the start included, and rewards `[H, C]`: minus the
      distance to the goal after each step.
    """
    task_ids = np.arange(NUM_TASKS)
    positions = [np.zeros((NUM_TASKS, 2), np.float32)]
    for _ in range(HORIZON):
        velocity = np.asarray(act(positions[-1], task_ids), np.float32)
        positions.append(positions[-1] + velocity)
    trajectory = np.stack(positions)
    return trajectory, -np.linalg.norm(trajectory[1:] - TASKS, axis=-1)


def expert(positions, goals, xp: ModuleType = np):
    """Noise-free velocity: straight to the goal at speed R / H, never beyond it.

    Args:
      positions: `[..., 2]`.
      goals: the same.
      xp: `numpy`, or `jax.numpy` to be traced.
    """
    offset = goals - positions
    distance = xp.linalg.norm(offset, axis=-1, keepdims=True)
    speed = xp.minimum(distance, RADIUS / HORIZON)
    return offset / xp.maximum(distance, np.finfo(offset.dtype).tiny) * speed


def expert_states() -> tuple[np.ndarray, np.ndarray]:
    """States that the noise-free expert visits, where the policy's entropy is measured.

    Returns:
      Observations `[C * H, 2]` and the evaluation task of each `[C * H]`.
    """
    observations, _ = expert_episodes(TASKS, np.zeros((NUM_TASKS, HORIZON, 2)))
    task_ids = np.repeat(np.arange(NUM_TASKS), HORIZON)
    return observations.reshape(-1, 2).astype(np.float32), task_ids


def sample_tasks(key: jax.Array, count: int) -> jax.Array:
    """`count` goals, uniform on the circle; traceable."""
    return _goals(jax.random.uniform(key, (count,), maxval=2.0 * jnp.pi))


def onto_circle(points: jax.Array) -> jax.Array:
    """The goals nearest to points `[K, 2]`; traceable."""
    return _goals(jnp.arctan2(points[:, 1], points[:, 0]))


#: Where goals are searched: on the circle, in its bounding box.
SPACE = TaskSpace(
    sample_tasks, np.full(2, -RADIUS), np.full(2, RADIUS), project=onto_circle
)


def _goals(angles: jax.Array) -> jax.Array:
    return RADIUS * jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=-1)


def expert_episodes(goals, noise, xp: ModuleType = np):
    """What the expert does under `noise`.

    Args:
      goals: `[N, 2]`.
      noise: added to the velocity of each step, `[N, H, 2]`.
      xp: `numpy`, or `jax.numpy` to be traced.

    Returns:
      Observations and executed actions, both `[N, H, 2]`.
    """
    position = xp.zeros_like(goals)
    observations, actions = [], []
    for step in range(HORIZON):
        action = expert(position, goals, xp) + noise[:, step]
        observations.append(position)
        actions.append(action)
        position = position + action
    return xp.stack(observations, axis=1), xp.stack(actions, axis=1)


def _resolve(task: int | np.ndarray) -> tuple[int, np.ndarray]:
    """Task id (-1 if none) and goal of an index or a task vector."""
    if np.ndim(task) == 0:
        ranges.check("task", task, _TASK)
        return int(task), TASKS[int(task)]
    goal = np.asarray(task, float)
    if goal.shape != (2,) or not np.isfinite(goal).all():
        raise errors.InvalidArgumentError(
            f"task must be an index or a goal of 2 finite coordinates, got {task}"
        )
    return -1, goal
