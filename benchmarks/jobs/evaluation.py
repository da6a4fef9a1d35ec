"""Evaluating a policy on the Metaworld scene: 50 attempts at each of four tasks."""

import time
from collections.abc import Callable, Iterator
from types import ModuleType
from unittest import mock

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from amf_jax.policies import mlp
from benchmarks import machine, peers
from benchmarks.jobs.base import Bench, close, compare
from benchmarks.rows import Row
from experiments.suites import metaworld, simulation
from experiments.suites.base import Act
from experiments.suites.recording import World

_ENTROPY = (0,)
_TASK_SIZE = 384
#: First steps whose observations are compared: later, contacts amplify any rounding.
_COMPARED_STEPS = 10


def run(bench: Bench) -> Iterator[Row]:
    """The suite's evaluation, against a loop over one environment."""
    attempts = 1 if bench.quick else 50
    world = metaworld.world()
    suite = simulation.make(world)
    act = _policy(world)

    def together() -> tuple[np.ndarray, np.ndarray]:
        seen: list[np.ndarray] = []

        def noting(observations, task_ids):
            seen.append(observations)
            return act(observations, task_ids)

        success = suite.evaluate(noting, _ENTROPY, attempts)["success"]
        return np.asarray(success), np.stack(seen, axis=1)

    def one_by_one(module: ModuleType) -> Callable:
        return module.evaluate(world, act, _ENTROPY, attempts)

    row = Row(
        "evaluation",
        limit_seconds=_physics(world, act, attempts),
        note=(
            "a fresh policy, which solves next to nothing; the limit is what the"
            " simulator alone takes, divided by the cores"
        ),
    )
    try:
        yield from compare(
            bench,
            row,
            together,
            [peers.peer("gymnasium, one by one", "gymnasium_loop", one_by_one)],
            _same_rollouts,
        )
    finally:
        suite.close()


def _physics(world: World, act: Act, attempts: int) -> float:
    """Seconds that the simulator alone takes for the same rollouts, on all cores."""
    seconds, simulate = 0.0, mujoco.mj_step

    def timed(*arguments) -> None:
        nonlocal seconds
        start = time.perf_counter()
        simulate(*arguments)
        seconds += time.perf_counter() - start

    suite = simulation.make(world, num_threads=1)
    try:
        with mock.patch.object(mujoco, "mj_step", timed):
            suite.evaluate(act, _ENTROPY, attempts)
    finally:
        suite.close()
    return seconds / machine.cores()


def _policy(world: World) -> Act:
    """An MLP of the paper's size with the task's vector, compiled per batch size."""
    policy = mlp.policy(
        jnp.asarray(world.observation_mean),
        jnp.asarray(world.observation_std),
        _TASK_SIZE,
        world.action_size,
    )
    assert policy.init is not None
    params = jax.jit(policy.init)(jax.random.key(0))
    vectors = jax.random.normal(
        jax.random.key(1), (len(world.task_names), _TASK_SIZE)
    ) / np.sqrt(_TASK_SIZE)

    @jax.jit
    def actions(observations, task_ids):
        return policy.act(params, None, observations, vectors[task_ids])

    return lambda observations, task_ids: np.asarray(actions(observations, task_ids))


def _same_rollouts(ours, theirs) -> str | None:
    """Whether success rates agree, and what every attempt sees at first."""
    (success, seen), (other_success, other_seen) = ours, theirs
    if not np.allclose(success, other_success, atol=0.05):
        return f"success rates {success} and {other_success}"
    first = np.stack([steps[:_COMPARED_STEPS] for steps in other_seen])
    return close(1e-3)(seen[:, :_COMPARED_STEPS], first)
