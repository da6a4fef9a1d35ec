"""Suites on a physics simulator: expert demonstrations, and batched evaluation."""

import concurrent.futures
from collections.abc import Callable, Sequence

import numpy as np

from amf_jax import demonstrations, errors, ranges
from amf_jax.demonstrations import Demonstrations
from experiments import threads
from experiments.suites import base
from experiments.suites.recording import Episode, Recording, World, record

_TRIES = 50


def make(
    world: World, tasks: np.ndarray | None = None, num_threads: int | None = None
) -> base.Environment:
    """The suite of a world.

    Args:
      world: what is simulated.
      tasks: `[C, D]`, what the policy is conditioned on; one-hot vectors by default.
      num_threads: threads that simulate during `evaluate`; by default one per core
        that the process may use. The results do not depend on it.

    Returns:
      The suite. `close` ends its threads.

    Raises:
      InvalidArgumentError: `num_threads` < 1, or `tasks` not C finite rows.
    """
    if num_threads is None:
        num_threads = len(threads.available_cores())
    ranges.check("num_threads", num_threads, ranges.COUNT)
    num_tasks = len(world.task_names)
    if tasks is None:
        tasks = np.eye(num_tasks)
    tasks = np.array(tasks, np.float32)
    if tasks.ndim != 2 or len(tasks) != num_tasks or not np.isfinite(tasks).all():
        raise errors.InvalidArgumentError(
            f"tasks must hold {num_tasks} finite rows, one vector per task, got an"
            f" array of shape {tasks.shape}"
        )
    rollouts = Rollouts(world, tasks, num_threads)
    return base.Environment(
        task_names=world.task_names,
        tasks=tasks,
        horizon=world.horizon,
        action_size=world.action_size,
        observation_mean=world.observation_mean,
        observation_std=world.observation_std,
        demonstrate=rollouts.demonstrate,
        evaluate=rollouts.evaluate,
        close=rollouts.close,
    )


class Rollouts:
    """Simulators and threads of one suite, both kept for its lifetime."""

    def __init__(self, world: World, task_vectors: np.ndarray, num_threads: int):
        self._world = world
        self._task_vectors = task_vectors
        self._episodes: list[Episode] = []
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
        self, seed: Sequence[int], task: int | np.ndarray, count: int
    ) -> Demonstrations:
        """`count` successful episodes of the expert of `task`, with action noise.

        Demonstration i draws from a random stream of its own, `[*seed, i]`. An
        episode that fails is drawn again from the same stream. The expert keeps acting
        after success, so every step of the horizon is recorded.

        Raises:
          InvalidArgumentError: `task` is no task index, or `count` < 1.
          DemonstrationError: the expert fails again and again.
        """
        world = self._world
        num_tasks = len(world.task_names)
        if not isinstance(task, int | np.integer) or not 0 <= task < num_tasks:
            raise errors.InvalidArgumentError(
                f"task must be an index from 0 to {num_tasks - 1}, got {task!r}"
            )
        ranges.check("count", count, ranges.COUNT)
        episode = self._allocate(1)[0]
        recordings = [
            self._succeed(episode, np.random.default_rng([*seed, i]), int(task))
            for i in range(count)
        ]
        whose = self._task_vectors[task], int(task)
        return demonstrations.from_episodes(
            demonstrations.Episode(r.observations[:-1], r.actions, *whose)
            for r in recordings
        )

    def evaluate(
        self, act: base.Act, seed: Sequence[int], attempts: int
    ) -> dict[str, object]:
        """Success rate of a policy per task, over fresh episodes.

        The policy sees all episodes at once. An episode counts as a success when its
        task was ever solved, and is not simulated any further: its row keeps the last
        observation. Attempt i of task c draws its layout from `[*seed, c, i]`.

        Raises:
          InvalidArgumentError: `attempts` < 1, or actions of a wrong shape or not
            finite.
        """
        ranges.check("attempts", attempts, ranges.COUNT)
        world = self._world
        num_tasks = len(world.task_names)
        size = num_tasks * attempts
        task_ids = np.repeat(np.arange(num_tasks, dtype=np.int32), attempts)
        observations = np.empty((size, len(world.observation_mean)), np.float32)
        layouts: list[np.ndarray] = [np.empty(0)] * size
        episodes = self._allocate(size)

        def reset(row: int) -> None:
            rng = np.random.default_rng([*seed, task_ids[row], row % attempts])
            layouts[row] = episodes[row].reset(rng, observations[row])

        self._each(reset, np.arange(size))
        drawn = np.stack(layouts)
        success = np.zeros(size, bool)
        for _ in range(world.horizon):
            # A copy: the policy may read what it is given after it has returned.
            actions = _check(
                act(observations.copy(), task_ids), (size, world.action_size)
            )

            def step(row: int, actions: np.ndarray = actions) -> None:
                episodes[row].step(actions[row], observations[row])

            self._each(step, np.flatnonzero(~success))
            reached = world.solved(observations, drawn)
            success |= reached[np.arange(size), task_ids]
            if success.all():
                break
        return {"success": success.reshape(num_tasks, attempts).mean(1), "return": None}

    def _succeed(
        self, episode: Episode, rng: np.random.Generator, task: int
    ) -> Recording:
        world = self._world
        for _ in range(_TRIES):
            recording = record(world, episode, task, rng)
            if recording.success:
                return recording
        raise errors.DemonstrationError(
            f"the expert of task {world.task_names[task]!r} failed {_TRIES} times in a"
            " row; the simulation does not behave as tested, check the versions of"
            f" mujoco and of the package that the suite {world.name!r} is built on"
        )

    def _allocate(self, count: int) -> list[Episode]:
        while len(self._episodes) < count:
            self._episodes.append(self._world.episode())
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
        own, *others = np.array_split(rows, self._num_threads)
        futures = [self._pool.submit(work, chunk) for chunk in others]
        work(own)
        for future in futures:
            future.result()


def _check(actions: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    actions = np.asarray(actions, np.float64)
    if actions.shape != shape:
        raise errors.InvalidArgumentError(
            f"act returned actions of shape {actions.shape}, expected {shape}"
        )
    if not np.isfinite(actions).all():
        row = int(np.argmin(np.isfinite(actions).all(axis=1)))
        raise errors.InvalidArgumentError(
            f"act returned NaN or infinity for episode {row}; actions must be finite"
        )
    return actions
