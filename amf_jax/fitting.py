"""How much memory a selection takes, and which options would take less.

For hosts, and before a run: programs are compiled for shapes alone, allocate nothing
and are never run. XLA says how many bytes each one plans for.
"""

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from amf_jax import embeddings, memory, selectors
from amf_jax.criteria import CRITERIA
from amf_jax.embeddings import Embedding
from amf_jax.posterior import moments, spaces
from amf_jax.posterior.moments import MomentPosterior
from amf_jax.posterior.weight_space import STEPS_AT_A_TIME
from amf_jax.selectors import Context, Selector
from amf_jax.streaming import steps

_RANKS = (1024, 256, 64)  # of the sketches that are tried


class Report(NamedTuple):
    """What a selection takes.

    Attributes:
      bytes_peak: of the selection, arguments and results included.
      limit: what it may take; None where nobody says.
      fitting: options that would fit where it does not, with the bytes of each.
    """

    bytes_peak: int
    limit: int | None
    fitting: dict[str, int]

    def __str__(self) -> str:
        said = f"a selection takes {memory.shown(self.bytes_peak)}"
        if self.limit is None or self.bytes_peak <= self.limit:
            return said
        fits = (f"{name} ({memory.shown(n)})" for name, n in self.fitting.items())
        advice = "; ".join(fits) or "nothing that was tried"
        return f"{said}, more than {memory.shown(self.limit)}; what fits: {advice}"


def selection_bytes(selector: Selector, context: Context) -> int:
    """Bytes that a selection plans for, on each device.

    Args:
      selector: any.
      context: arrays or `jax.ShapeDtypeStruct`s.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(selector.init, context)
    return _planned(jax.jit(selector.select).lower(key, state, context))


def streamed_bytes(embedding: Embedding, context: Context) -> int:
    """Bytes of the largest program of `streaming.select`, whatever the pool's size.

    Args:
      embedding: with `features`.
      context: as in `selection_bytes`; the demonstrations are not counted.
    """
    params, dtype = context.embedding_params, context.tasks.dtype
    size = max(1, STEPS_AT_A_TIME // context.demos.step_mask.shape[1])
    demos = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((size, *leaf.shape[1:]), leaf.dtype),
        context.demos,
    )
    width = steps.width(embedding, params, demos)
    sums = jax.eval_shape(lambda: steps.no_moments(width, dtype))
    square, shares = sums.history.total, jax.ShapeDtypeStruct((size,), dtype)
    given = jax.eval_shape(_whiten, square)
    programs = [
        steps.add_moments.lower(embedding, params, sums, demos, shares, shares),
        steps.scores.lower(embedding, params, demos, given),
    ]
    with jax.enable_x64(True):
        double = jax.ShapeDtypeStruct(square.shape, jnp.float64)
        programs.append(jax.jit(_whiten).lower(double))
    return max(map(_planned, programs))


def report(
    embedding: Embedding,
    log_likelihood: Callable | None,
    context: Context,
    *,
    limit: int | None = None,
    layer_gradients: Callable | None = None,
    **options: Any,
) -> Report:
    """The bytes of a selection by `selectors.amf`, and what would fit if it does not.

    Args:
      embedding: as in `selectors.amf`.
      log_likelihood: the same.
      context: as in `selection_bytes`.
      limit: bytes that it may take; None is what is left.
      layer_gradients: as in `Policy.layer_gradients`; then sketches are tried too.
      **options: of `selectors.amf`.
    """
    execution = options.get("execution", spaces.AUTOMATIC)

    def size(embedding: Embedding = embedding, **changes: Any) -> int:
        selector = selectors.amf(embedding, log_likelihood, **options | changes)
        return selection_bytes(selector, context)

    def sketched(rank: int) -> int:
        sketch = embeddings.projected_gradient(layer_gradients, rank=rank)
        return size(sketch, execution=execution._replace(space="weight"))

    def tried() -> Iterator[list[tuple[str, Callable[[], int]]]]:
        """Options by themselves, the largest value of each first."""
        criterion = options.get("criterion", "variance")
        has_weight_space = spaces.has_weight_space(embedding, criterion)
        if has_weight_space:
            for space in spaces.SPACES:
                changed = execution._replace(space=space)
                yield [(f"space={space!r}", partial(size, execution=changed))]
        without = partial(size, condition_on_history=False)
        yield [("condition_on_history=False", without)]
        if options.get("weights") != "deterministic":
            rows = options.get("trajectory_samples") or context.demos.demo_mask.shape[0]
            halves = [rows >> i for i in range(1, rows.bit_length())]
            yield [
                (f"trajectory_samples={count}", partial(size, trajectory_samples=count))
                for count in halves
            ]
        if CRITERIA[criterion].by_moments and layer_gradients is not None:
            yield [
                (f"projected_gradient(rank={rank})", partial(sketched, rank))
                for rank in _RANKS
            ]
        if has_weight_space and not options.get("optimiser"):
            streamed = partial(streamed_bytes, embedding, context)
            yield [("streaming.select", streamed)]

    limit = memory.available() if limit is None else limit
    asked = size()
    fitting: dict[str, int] = {}
    if limit is not None and asked > limit:
        for values in tried():
            sizes = ((name, measure()) for name, measure in values)
            fitting |= dict(itertools.islice((x for x in sizes if x[1] <= limit), 1))
    return Report(asked, limit, fitting)


def _whiten(square):
    """All that `streaming.select` does to P x P matrices."""
    noise = square[0, 0]
    return moments.given(MomentPosterior(square, noise, noise, noise), square)


def _planned(lowered: Any) -> int:
    sizes = lowered.compile().memory_analysis()
    return (
        sizes.argument_size_in_bytes
        + sizes.output_size_in_bytes
        + sizes.temp_size_in_bytes
        - sizes.alias_size_in_bytes
    )
