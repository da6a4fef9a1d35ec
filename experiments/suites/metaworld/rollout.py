"""Demonstrations of the experts, and batched evaluation of a policy."""

import concurrent.futures
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np

from amf_jax import errors
from amf_jax.demonstrations import Demonstrations
from experiments.suites import base
from experiments.suites.metaworld import environment, experts, tasks

ACTION_NOISE = 0.1
_TRIES = 50


class Rollouts:
    """Simulators and threads of one suite, both kept for its lifetime."""

    def __init__(
        self, scene: environment.Scene, task_vectors: np.ndarray, num_threads: int
    ):
        self._scene = scene
        self._task_vectors = task_vectors
        self._episodes: list[environment.Episode] = []
        self._num_threads = num_threads
        self._pool = (
            concurrent.futures.ThreadPoolExecutor(num_threads - 1)
            if num_threads > 1
            else None
        )

    def close(self) -> None:
        """Ends the threads and frees the simulators."""
        if self._pool is not None:
            self._pool.shutdown()
        self._episodes.clear()

    def demonstrate(
        self, entropy: Sequence[int], task: int | np.ndarray, count: int
    ) -> Demonstrations:
        """`count` successful episodes of the expert of `task`, with action noise.

        Demonstration i draws from a random stream of its own, `[*entropy, i]`. An
        episode that fails is drawn again from the same stream. The expert keeps acting
        after success, so every step of the horizon is recorded.

        Raises:
          InvalidArgumentError: `task` is no task index, or `count` < 1.
          DemonstrationError: the expert fails again and again.
        """
        if not isinstance(task, int | np.integer) or not 0 <= task < len(
            tasks.TASK_NAMES
        ):
            raise errors.InvalidArgumentError(
                f"task must be an index from 0 to {len(tasks.TASK_NAMES) - 1}, got"
                f" {task!r}"
            )
        if count < 1:
            raise errors.InvalidArgumentError(f"count must be at least 1, got {count}")
        observations = np.empty(
            (count, environment.HORIZON, tasks.OBSERVATION_SIZE), np.float32
        )
        actions = np.empty((count, environment.HORIZON, tasks.ACTION_SIZE), np.float32)
        episode = self._allocate(1)[0]
        for i in range(count):
            rng = np.random.default_rng([*entropy, i])
            self._demonstrate_once(episode, rng, int(task), observations[i], actions[i])
        return Demonstrations(
            observations=jnp.asarray(observations),
            actions=jnp.asarray(actions),
            step_mask=jnp.ones((count, environment.HORIZON), bool),
            tasks=jnp.tile(jnp.asarray(self._task_vectors[task]), (count, 1)),
            task_ids=jnp.full(count, task, jnp.int32),
            demo_mask=jnp.ones(count, bool),
        )

    def evaluate(
        self, act: base.Act, entropy: Sequence[int], attempts: int
    ) -> dict[str, object]:
        """Success rate of a policy per task, over fresh episodes.

        The policy sees all episodes at once. An episode counts as a success when its
        task was ever solved, and is not simulated any further: its row keeps the last
        observation. Attempt i of task c draws its layout from `[*entropy, c, i]`.

        Raises:
          InvalidArgumentError: `attempts` < 1, or actions of a wrong shape or not
            finite.
        """
        if attempts < 1:
            raise errors.InvalidArgumentError(
                f"attempts must be at least 1, got {attempts}"
            )
        num_tasks = len(tasks.TASK_NAMES)
        size = num_tasks * attempts
        task_ids = np.repeat(np.arange(num_tasks, dtype=np.int32), attempts)
        observations = np.empty((size, tasks.OBSERVATION_SIZE), np.float32)
        faucets = np.empty((size, 3))
        episodes = self._allocate(size)

        def reset(row: int) -> None:
            rng = np.random.default_rng([*entropy, task_ids[row], row % attempts])
            faucets[row] = episodes[row].reset(rng, observations[row])

        self._each(reset, np.arange(size))
        success = np.zeros(size, bool)
        for _ in range(environment.HORIZON):
            # A copy: the policy may read what it is given after it has returned.
            actions = _check(act(observations.copy(), task_ids), size)

            def step(row: int, actions: np.ndarray = actions) -> None:
                episodes[row].step(actions[row], observations[row])

            self._each(step, np.flatnonzero(~success))
            reached = tasks.solved(observations, faucets)
            success |= reached[np.arange(size), task_ids]
            if success.all():
                break
        return {"success": success.reshape(num_tasks, attempts).mean(1), "return": None}

    def _demonstrate_once(
        self,
        episode: environment.Episode,
        rng: np.random.Generator,
        task: int,
        observations: np.ndarray,
        actions: np.ndarray,
    ) -> None:
        expert = experts.experts()[task]
        observation = np.empty(tasks.OBSERVATION_SIZE, np.float32)
        with experts.quiet():
            for _ in range(_TRIES):
                faucet = episode.reset(rng, observation)
                success = False
                for t in range(environment.HORIZON):
                    noise = ACTION_NOISE * rng.standard_normal(tasks.ACTION_SIZE)
                    observations[t] = observation
                    actions[t] = np.clip(expert(observation) + noise, -1.0, 1.0)
                    episode.step(actions[t], observation)
                    success |= bool(tasks.solved(observation, faucet)[task])
                if success:
                    return
        raise errors.DemonstrationError(
            f"the expert of task {tasks.TASK_NAMES[task]!r} failed {_TRIES} times in a"
            " row; the simulation does not behave as tested, check the versions of"
            " mujoco and metaworld"
        )

    def _allocate(self, count: int) -> list[environment.Episode]:
        while len(self._episodes) < count:
            self._episodes.append(environment.Episode(self._scene))
        return self._episodes[:count]

    def _each(self, function: Callable[[int], None], rows: np.ndarray) -> None:
        """Calls `function` on every row, in contiguous chunks, one per thread.

        Rows share nothing, so the result does not depend on the number of threads.
        """

        def work(chunk: np.ndarray) -> None:
            for row in chunk.tolist():
                function(row)

        if self._pool is None:
            work(rows)
            return
        mine, *others = np.array_split(rows, self._num_threads)
        futures = [self._pool.submit(work, chunk) for chunk in others]
        work(mine)
        for future in futures:
            future.result()


def _check(actions: np.ndarray, size: int) -> np.ndarray:
    actions = np.asarray(actions, np.float64)
    if actions.shape != (size, tasks.ACTION_SIZE):
        raise errors.InvalidArgumentError(
            f"act returned actions of shape {actions.shape}, expected"
            f" {(size, tasks.ACTION_SIZE)}"
        )
    if not np.isfinite(actions).all():
        row = int(np.argmin(np.isfinite(actions).all(axis=1)))
        raise errors.InvalidArgumentError(
            f"act returned NaN or infinity for episode {row}; actions must be finite"
        )
    return actions
