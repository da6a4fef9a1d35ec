"""The Metaworld suite: a Sawyer arm, a mug and a faucet on one table, four tasks.

What is metaworld's: the models and meshes, the physics settings, the hand that follows
a mocap body, the action space, the scripted policies, and the 7 cm success rules.

What is not: metaworld has one object and one task per environment; the paper puts
several on one table and does not publish its scene. Ours has the mug of `coffee-push`
(without the coffee machine) beside the faucet. Two goals for the mug and two directions
for the faucet make the four tasks. An action moves the hand for 8 physics steps instead
of 5 and by 1.6 cm instead of 1: the same speed, and the scripted policies finish after
31 to 43 of 50 steps. The observation holds both objects, and neither velocities nor the
goal: only the task vector tells tasks apart. Experts act with Gaussian noise of
standard deviation 0.1.
"""

import os

import numpy as np

from amf_jax import errors
from experiments.suites import base
from experiments.suites.metaworld import environment, normalizer, rollout, scene
from experiments.suites.metaworld.tasks import (
    ACTION_SIZE,
    OBSERVATION_SIZE,
    PROMPTS,
    TASK_NAMES,
)

__all__ = ["PROMPTS", "TASK_NAMES", "make"]


def make(num_threads: int | None = None, tasks: np.ndarray | None = None) -> base.Suite:
    """Compiles the scene; takes about a quarter of a second.

    Args:
      num_threads: threads that simulate during `evaluate`; by default one per core
        that the process may use. The results do not depend on it.
      tasks: `[4, D]`, what the policy is conditioned on, such as embeddings of
        `PROMPTS`; one-hot vectors by default.

    Returns:
      The suite. `close` ends its threads.

    Raises:
      InvalidArgumentError: `num_threads` < 1, or `tasks` not four finite rows.
      MissingDependencyError: the package metaworld is not installed.
    """
    if num_threads is None:
        num_threads = len(os.sched_getaffinity(0))
    if num_threads < 1:
        raise errors.InvalidArgumentError(
            f"num_threads must be at least 1, got {num_threads}"
        )
    if tasks is None:
        tasks = np.eye(len(TASK_NAMES))
    tasks = np.array(tasks, np.float32)
    if tasks.ndim != 2 or len(tasks) != len(TASK_NAMES) or not np.isfinite(tasks).all():
        raise errors.InvalidArgumentError(
            f"tasks must hold {len(TASK_NAMES)} finite rows, one vector per task, got"
            f" an array of shape {tasks.shape}"
        )
    rollouts = rollout.Rollouts(
        environment.make_scene(scene.build()), tasks, num_threads
    )
    return base.Suite(
        name="metaworld",
        task_names=TASK_NAMES,
        tasks=tasks,
        horizon=environment.HORIZON,
        observation_size=OBSERVATION_SIZE,
        action_size=ACTION_SIZE,
        observation_mean=normalizer.MEAN,
        observation_std=normalizer.STD,
        demonstrate=rollouts.demonstrate,
        evaluate=rollouts.evaluate,
        close=rollouts.close,
    )
