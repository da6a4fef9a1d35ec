"""Whether a selection fits in memory, and which options would where it does not."""

from collections.abc import Callable, Iterator
from typing import Any

import jax

from amf_jax import memory
from amf_jax.memory import Buffers
from amf_jax.selectors.base import Context
from amf_jax.selectors.plans import Planner

# Rank of the sketches that are offered where embeddings are never written out.
_MOST_RANK = 1024


def check(planner: Planner, context: Context, before: int, limit: int | None) -> None:
    """Raises if a selection would take more than there is.

    Args:
      planner: of the selection.
      context: whose shapes matter alone.
      before: steps in the posterior beside those at hand.
      limit: bytes on each device; None is what is left there.

    Raises:
      MemoryBudgetError: naming options that would fit.
    """
    plan = planner(context, before)

    def fitting(left: int) -> Iterator[tuple[str, int]]:
        yield from _options(planner, context, before, left)
        if planner.criterion == "variance":
            yield from _elsewhere(planner.own, context, plan.buffers, left)

    memory.check(
        f"a selection by path={plan.path!r}",
        plan.bytes_peak,
        limit,
        fitting,
        planner.mesh,
    )


def _options(
    planner: Planner, context: Context, before: int, limit: int
) -> Iterator[tuple[str, int]]:
    """Options of `selectors.amf` that would fit, with the bytes that they take."""
    path = planner(context, before).path
    changes: list[dict[str, Any]] = [{}]
    if path == "feature":
        changes.append({"path": "gram"})
    elif planner.by_features:
        changes.append({"path": "feature"})
    if path == "gram" and planner.condition_on_history:
        changes.append({"condition_on_history": False})
    rows = context.demos.step_mask.shape[0]
    rows = min(rows, planner.trajectory_samples or rows)
    counts = [] if planner.weights == "deterministic" else memory.halves(rows)
    samples = [{}, *({"trajectory_samples": count} for count in counts)]
    for change in changes:
        for sample in samples:  # the largest that fits
            options = change | sample
            size = planner._replace(**options)(context, before).bytes_peak
            if size <= limit:
                yield ", ".join(f"{k}={v!r}" for k, v in options.items()), size
                break


def _elsewhere(
    own: bool, context: Context, buffers: Buffers, limit: int
) -> Iterator[tuple[str, int]]:
    """What else would fit for the variance criterion, with the bytes that it takes."""
    if own and buffers.features is not None:
        size = memory.streamed_peak(
            buffers.features,
            buffers.pairs,
            buffers.parameters,
            buffers.chunk,
            buffers.made,
            buffers.itemsize,
        )
        if size <= limit:
            yield "streaming.select", size

    def needed(rank: int, made: float) -> int:
        return memory.peak("feature", buffers._replace(features=rank, made=made))

    params, most = context.embedding_params, buffers.features or _MOST_RANK + 1
    for sketch, size in sketches(params, most, buffers.chunk, needed, limit):
        yield f"{sketch} by path='feature'", size


def sketches(
    params: Any,
    most: int,
    chunk: int,
    needed: Callable[[int, float], int],
    limit: int,
) -> Iterator[tuple[str, int]]:
    """The largest rank of `embeddings.projected_gradient` that would fit, if any.

    Args:
      params: of the policy.
      most: what the rank is to be below.
      chunk: steps at work at a time.
      needed: `(rank, made) -> bytes`, with `made` as in `memory.Buffers`.
      limit: bytes.
    """
    layers = jax.tree.leaves(params)
    widths = sum(sum(leaf.shape) for leaf in layers)
    for rank in memory.halves(most):
        # Two products for each layer, of two arrays, with matrices that are drawn.
        made = len(layers) * rank + widths + rank * widths / chunk
        size = needed(rank, made)
        if size <= limit:
            yield f"projected_gradient(rank={rank})", size
            break
