"""One selection at paper scale: dense, pruned, and with a history."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from amf_jax import selectors
from amf_jax.selectors import AmfInfo, Execution, Selector
from benchmarks import peers, problems
from benchmarks.jobs.base import Bench, close, compare, compiled
from benchmarks.peers import Peer
from benchmarks.problems import NOISE_VARIANCE, Problem, Sizes
from benchmarks.rows import Row
from benchmarks.timing import Program, compile_program

#: Share of a task's largest weight below which a pair is skipped.
TOLERANCE = 1e-6
PRUNED = Execution(weight_tolerance=TOLERANCE)
#: Options by which no pair is skipped.
ALL_PAIRS = (("execution", Execution(weight_tolerance=None)),)
#: Float32 on both sides: scores are sums of thousands of terms.
_AGREEMENT = 1e-5


def dense(bench: Bench) -> Iterator[Row]:
    """Every pair of a task and a demonstration, whatever its weight."""
    sizes = problems.sizes(bench.quick)
    problem, program = problems.selection(sizes), first_round(sizes, ALL_PAIRS)
    flops = sizes.forward_flops + sizes.gram_flops(sizes.points)
    row = Row(
        "selection_dense",
        flops=flops,
        limit_seconds=bench.limits.seconds(flops=flops),
    )
    everyone = [
        peers.peer(
            "NumPy, literal loops",
            "literal",
            lambda module: module.selection(problem, NOISE_VARIANCE),
        ),
        *_torch(problem, bench),
    ]
    yield from compare(
        bench, compiled(row, program), scores(program), everyone, close(_AGREEMENT)
    )


def pruned(bench: Bench) -> Iterator[Row]:
    """The weights of a fitted policy; pairs that carry next to none are skipped."""
    problem = problems.selection(problems.sizes(bench.quick), fitted=True)
    selector = active(problem, execution=PRUNED)
    program = compile_program(select(selector), *start(selector, problem))
    _, info = program.call()
    sizes, kept = problem.sizes, kept_pairs(info)
    flops = sizes.forward_flops + sizes.gram_flops(kept * sizes.horizon)
    row = Row(
        "selection_pruned",
        flops=flops,
        limit_seconds=bench.limits.seconds(flops=flops),
        note=(
            f"{kept} of {sizes.tasks * sizes.demonstrations} pairs of a task and a"
            " demonstration kept, by the likelihoods of a policy fitted to synthetic"
            " demonstrations; peers score all pairs"
        ),
    )
    yield from compare(
        bench,
        compiled(row, program),
        scores(program),
        _torch(problem, bench)[:1],
        _same_choice,
    )


def with_history(bench: Bench) -> Iterator[Row]:
    """A round that appends its demonstration, against one that rebuilds everything."""
    problem = problems.selection(problems.sizes(bench.quick), fitted=True)
    selector = active(problem, execution=PRUNED, condition_on_history=True)
    key, blank, context = start(selector, problem)
    program = compile_program(select(selector), key, blank, context)
    known = context.demos.demo_mask.at[-1].set(False)
    earlier = context._replace(demos=context.demos._replace(demo_mask=known))
    carried, _ = program.compiled(key, blank, earlier)
    # What rebuilds starts from nothing, but from the same scale of the kernel.
    scaled = blank.posterior._replace(scale=carried.posterior.scale)
    anew = blank._replace(posterior=scaled, scaled=carried.scaled)
    count = problem.sizes.demonstrations
    yield from compare(
        bench,
        compiled(
            Row("selection_history", note=f"history of {count} demonstrations"),
            program,
        ),
        scores(program, key, carried, context),
        [Peer("itself, rebuilding everything", scores(program, key, anew, context))],
        close(1e-5),
    )


def active(
    problem: Problem, *, condition_on_history: bool = False, **options: Any
) -> Selector:
    """AMF on a problem, by default with what was demonstrated left out."""
    return selectors.amf(
        problem.embedding,
        problem.policy.log_likelihood,
        condition_on_history=condition_on_history,
        noise_variance=NOISE_VARIANCE,
        **options,
    )


def select(selector: Selector) -> Callable:
    """A round's selection, with the state and the diagnostics as its result."""

    def one_round(key, state, context):
        _, state, info = selector.select(key, state, context)
        return state, info

    return one_round


@functools.cache
def first_round(sizes: Sizes, options: tuple[tuple[str, Any], ...]) -> Program:
    """A first selection without history; jobs share it where their sizes meet.

    Args:
      sizes: of the problem.
      options: names and values of further options of `selectors.amf`.
    """
    problem = problems.selection(sizes)
    selector = active(problem, **dict(options))
    return compile_program(select(selector), *start(selector, problem))


def scores(program: Program, *arguments) -> Callable[[], Array]:
    """Runs a selection, on other arguments if there are any, and gives its scores."""

    def call() -> Array:
        if not arguments:
            return program.call()[1].scores
        return jax.block_until_ready(program.compiled(*arguments))[1].scores

    return call


def start(selector: Selector, problem: Problem) -> tuple:
    """What `select` takes in the first round."""
    return jax.random.key(0), selector.init(problem.context), problem.context


def kept_pairs(info: AmfInfo) -> int:
    """Pairs of a task and a demonstration that are not skipped."""
    weights = np.asarray(info.importance_weights)
    return int((weights > TOLERANCE * weights.max(axis=1, keepdims=True)).sum())


def _same_choice(ours, theirs) -> str | None:
    """The best task, and scores up to what pruning may leave out."""
    if np.argmax(ours) != np.argmax(theirs):
        return f"chose task {np.argmax(ours)} instead of {np.argmax(theirs)}"
    return close(_AGREEMENT)(ours, theirs)


def _torch(problem: Problem, bench: Bench) -> list[Peer]:
    def torch(name: str, variant: str) -> Peer:
        return peers.peer(
            name,
            "torch_selection",
            lambda module: getattr(module, variant)(problem, NOISE_VARIANCE),
            asked=bench.peers,
        )

    return [
        torch("PyTorch, batched (torch.func)", "batched"),
        torch("PyTorch, literal loops", "literal"),
    ]
