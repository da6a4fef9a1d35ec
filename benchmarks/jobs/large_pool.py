"""A selection from a pool that is read in batches: how many demonstrations a second."""

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple
from unittest import mock

import jax
import numpy as np

from amf_jax import embeddings, streaming
from amf_jax.demonstrations import Demonstrations
from amf_jax.embeddings import Embedding
from amf_jax.selectors import AmfInfo
from amf_jax.streaming import steps
from benchmarks import problems
from benchmarks.jobs.base import Bench
from benchmarks.jobs.selection import TOLERANCE, kept_pairs
from benchmarks.problems import Problem, Sizes
from benchmarks.rows import Row
from benchmarks.timing import bytes_held

#: Demonstrations that the rate is extrapolated to.
_LARGE = 100_000
_BATCH = 512
#: What is compiled for a microbatch, one program each.
_STEPS = ("log_likelihoods", "add_moments", "scores")


class Cost(NamedTuple):
    """Of a program: seconds to compile it, and bytes that it holds, if that is told."""

    seconds: float
    held: int | None


def run(bench: Bench) -> Iterator[Row]:
    """One call, after one on a few demonstrations that compiles everything."""
    sizes, rank = problems.SMALL, 8
    if not bench.quick:
        sizes = dataclasses.replace(problems.PAPER, tasks=20, demonstrations=1024)
        rank = 256
    problem, count = problems.selection(sizes, fitted=True), sizes.demonstrations
    embedding = embeddings.projected_gradient(problem.policy.layer_gradients, rank=rank)
    costs = _costs(lambda: select(problem, embedding, 2 * sizes.tasks))
    start = time.perf_counter()
    info = select(problem, embedding, count)
    seconds = time.perf_counter() - start
    kept = kept_pairs(info)
    flops = 2.0 * _moment_products(kept, sizes.horizon, rank) + sizes.forward_flops
    flops += 2.0 * kept * sizes.horizon * _embedding_flops(sizes, rank)  # two passes
    held = [cost.held for cost in costs if cost.held is not None]
    yield Row(
        "large_pool",
        f"{count} demonstrations",
        seconds=seconds,
        limit_seconds=bench.limits.seconds(flops=flops),
        bytes_peak=max(held, default=None),
        compile_seconds=sum(cost.seconds for cost in costs),
        flops=flops,
        value=count / seconds,
        unit="demonstrations a second",
        note=(
            f"{sizes.tasks} tasks, {sizes.horizon} steps, gradients projected to"
            f" {rank} numbers; {kept} pairs of a task and a demonstration kept; a"
            f" single call; at its rate {_LARGE} demonstrations would take"
            f" {_LARGE / count * seconds / 60:.0f} minutes, since all passes are linear"
            " in them; the memory is that of the largest program"
        ),
    )


def select(problem: Problem, embedding: Embedding, count: int) -> AmfInfo:
    """A choice from the first `count` demonstrations of a problem, batch by batch."""
    context = problem.context
    demos = jax.tree.map(lambda leaf: np.asarray(leaf[:count]), context.demos)

    def batch(first: int) -> Demonstrations:
        return jax.tree.map(lambda leaf: leaf[first : first + _BATCH], demos)

    _, info = streaming.select(
        lambda: map(batch, range(0, count, _BATCH)),
        embedding,
        problem.policy.log_likelihood,
        context.tasks,
        params=context.params,
        embedding_params=context.embedding_params,
        weight_tolerance=TOLERANCE,
    )
    return info


def _costs(select: Callable[[], AmfInfo]) -> list[Cost]:
    """What it takes to compile the steps of a selection; they stay compiled."""
    found: dict[str, Cost] = {}

    def noting(name: str) -> Callable:
        step = getattr(steps, name)

        def call(*arguments):
            if name not in found:
                start = time.perf_counter()
                program = step.lower(*arguments).compile()
                found[name] = Cost(time.perf_counter() - start, bytes_held(program))
            return step(*arguments)

        return call

    with contextlib.ExitStack() as patches:
        for name in _STEPS:
            patches.enter_context(mock.patch.object(steps, name, noting(name)))
        select()
    return list(found.values())


def _moment_products(pairs: int, horizon: int, rank: int) -> float:
    """Multiply-adds of both moments and the scores of as many pairs, whitening too."""
    points = pairs * horizon
    return points * (1.5 * rank**2 + 2 * horizon * rank) + 2.0 * rank**3


def _embedding_flops(sizes: Sizes, rank: int) -> float:
    """Of one point: the network forward and backward, then the projection."""
    widths = sizes.observation + sizes.task, sizes.hidden, sizes.hidden, sizes.action
    layers = list(itertools.pairwise(widths))
    forward, backward = (
        sum(inner * outer for inner, outer in through)
        for through in (layers, layers[1:])
    )
    factors = sum(inner + 1 + outer for inner, outer in layers)
    norms = 2 * 2 * sizes.hidden
    return 2.0 * (forward + backward + rank * (factors + norms))
