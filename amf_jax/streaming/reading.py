"""Going through a pool of demonstrations several times, in microbatches of few shapes.

A pool is a function that starts to read anew at each call. Nothing of it is kept but a
few numbers per demonstration, by which a later pass knows that it reads the same.
"""

import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from amf_jax import errors, task_table, validation
from amf_jax.demonstrations import Demonstrations, named_leaves
from amf_jax.posterior.weight_space import STEPS_AT_A_TIME
from amf_jax.selectors.context import prepare_demonstrations

#: `() -> iterator` over demonstrations, as many at a time as it likes and always the
#: same ones in the same order; leaves are NumPy or JAX arrays. Batches may differ in
#: their horizon: each horizon is compiled once, and short demonstrations do not pay for
#: long ones where those of one horizon follow each other.
Pool = Callable[[], Iterator[Demonstrations]]


class Ledger(NamedTuple):
    """What is remembered of each of N demonstrations.

    Attributes:
      task_ids: which evaluation task it is of.
      lengths: recorded steps.
      checksums: of its content.
    """

    task_ids: np.ndarray
    lengths: np.ndarray
    checksums: np.ndarray


class Microbatch(NamedTuple):
    """Some pairs of a demonstration and a task, padded to the size of all microbatches.

    Attributes:
      demos: relabelled with the task of each pair; surplus rows are masked.
      rows: where the demonstration stands in the pool, of real pairs alone.
      task_ids: index of the task, of real pairs alone.
    """

    demos: Demonstrations
    rows: np.ndarray
    task_ids: np.ndarray


def first_pass(
    pool: Pool, tasks: np.ndarray
) -> Iterator[tuple[int, Demonstrations, Ledger]]:
    """Reads the pool, checked against the tasks: each batch and what to remember of it.

    Args:
      pool: to read.
      tasks: evaluation tasks `[C, D]`.

    Yields:
      How many demonstrations came before, real rows alone, their part of the ledger.

    Raises:
      DemonstrationError: as `validation.validate`; also for other widths than before,
        and for a demonstration of none of the tasks.
    """
    count, sizes = 0, None
    for batch in _batches(pool, tasks.dtype):
        sizes = _check(batch, tasks, count, sizes)
        batch = _real(batch)
        lengths = batch.step_mask.sum(axis=1, dtype=np.int32)
        ids = np.asarray(batch.task_ids)
        yield count, batch, Ledger(ids, np.asarray(lengths), _checksums(batch))
        count += len(lengths)
    if count == 0:
        raise errors.DemonstrationError(
            "the pool holds no demonstration; it must be a function that returns an"
            " iterator over at least one"
        )


def again(
    pool: Pool, dtype: np.dtype, ledger: Ledger
) -> Iterator[tuple[int, Demonstrations]]:
    """Reads the pool once more.

    Yields:
      How many demonstrations came before, real rows alone.

    Raises:
      ChangedPoolError: other demonstrations, or another number of them, than before.
    """
    known, count = ledger.checksums, 0
    for batch in _batches(pool, dtype):
        batch = _real(batch)
        found = _checksums(batch)
        expected = known[count : count + len(found)]
        if len(expected) < len(found):
            raise errors.ChangedPoolError(
                f"the pool gave {len(known)} demonstrations in the first pass and more"
                " in a later one; it must give the same ones in every pass"
            )
        if (found != expected).any():
            raise errors.ChangedPoolError(
                f"demonstration {count + int(np.argmax(found != expected))} of the pool"
                " is not what it was in the first pass; the pool must give the same"
                " ones in the same order, for instance from a seed of its own"
            )
        yield count, batch
        count += len(found)
    if count < len(known):
        raise errors.ChangedPoolError(
            f"the pool gave {len(known)} demonstrations in the first pass and {count}"
            " in a later one; each call must return an iterator that starts anew"
        )


def microbatches(
    batches: Iterator[tuple[int, Demonstrations]],
    pairs: Callable[[int, Demonstrations], tuple[np.ndarray, np.ndarray]],
    tasks: np.ndarray,
    size: int | None,
) -> Iterator[Microbatch]:
    """The pairs that count, gathered into full microbatches of one horizon each.

    The last one is padded, and so is the last before another horizon.

    Args:
      batches: of demonstrations, and how many came before.
      pairs: `(before, batch) -> (rows, task_ids)`, those of a batch that count.
      tasks: `[C, D]`.
      size: pairs of a microbatch; None takes about `STEPS_AT_A_TIME` steps.
    """

    def by_horizon(item: tuple[int, Demonstrations]) -> int:
        return item[1].step_mask.shape[1]

    for horizon, alike in itertools.groupby(batches, by_horizon):
        full, held = size or max(1, STEPS_AT_A_TIME // horizon), 0
        parts: list[Microbatch] = []
        for first, batch in alike:
            rows, ids = pairs(first, batch)
            for start, end in _cuts(len(rows), full - held, full):
                chosen = rows[start:end]
                relabelled = _of_rows(batch, chosen)
                parts.append(Microbatch(relabelled, first + chosen, ids[start:end]))
                held += end - start
                if held == full:
                    yield _joined(parts, tasks, full)
                    parts, held = [], 0
        if held:
            yield _joined(parts, tasks, full)


def _cuts(total: int, first: int, size: int) -> Iterator[tuple[int, int]]:
    """Bounds of parts of `total`: `first` of them, then `size` at a time."""
    start, end = 0, min(first, total)
    while start < total:
        yield start, end
        start, end = end, min(end + size, total)


def _joined(parts: list[Microbatch], tasks: np.ndarray, size: int) -> Microbatch:
    rows = np.concatenate([part.rows for part in parts])
    ids = np.concatenate([part.task_ids for part in parts])
    missing = size - len(rows)

    def padded(*leaves: np.ndarray) -> np.ndarray:
        blank = np.zeros((missing, *leaves[0].shape[1:]), leaves[0].dtype)
        return np.concatenate([*leaves, blank])

    demos: Any = jax.tree.map(padded, *(part.demos for part in parts))
    demos = demos._replace(tasks=padded(tasks[ids]), task_ids=padded(ids))
    return Microbatch(demos, rows, ids)


def _batches(pool: Pool, dtype: np.dtype) -> Iterator[Demonstrations]:
    """Those that are not empty, as NumPy arrays with one floating type.

    Observations that are no floats, such as images, stay as they are.

    Raises:
      DemonstrationError: as `validation.typed`.
      InvalidArgumentError: a pool that returns no iterator.
    """
    batches = pool()
    if not isinstance(batches, Iterable):
        raise errors.InvalidArgumentError(
            "pool must return an iterator over demonstrations, got"
            f" {type(batches).__name__}"
        )
    for batch in batches:
        with np.errstate(over="ignore"):  # infinity is refused where it was recorded
            batch = prepare_demonstrations(validation.typed(batch), dtype)
        if len(batch.demo_mask):
            yield batch


def _real(batch: Demonstrations) -> Demonstrations:
    return _of_rows(batch, slice(int(batch.demo_mask.sum())))


def _of_rows(batch: Demonstrations, rows: Any) -> Demonstrations:
    return jax.tree.map(lambda leaf: leaf[rows], batch)


def _check(batch: Demonstrations, tasks: np.ndarray, before: int, sizes):
    """Raises for a batch that does not fit; `sizes` of those before, or None."""
    validation.validate(batch, task_size=tasks.shape[1], num_tasks=tasks.shape[0])
    recorded = {"observations": batch.observations, "actions": batch.actions}
    found = {
        name: leaf.shape[2:]
        for field, tree in recorded.items()
        for name, leaf in named_leaves(field, tree)
    }
    if sizes is not None and found != sizes:
        raise errors.DemonstrationError(
            f"demonstration {before} has the sizes {found}; those before it have"
            f" {sizes}, and all of a pool must have the same"
        )
    unlisted = batch.demo_mask & (batch.task_ids < 0)
    if unlisted.any():
        raise errors.DemonstrationError(
            f"demonstration {before + int(np.argmax(unlisted))} has task id -1; every"
            " demonstration of a pool must be of one of the evaluation tasks"
        )
    task_table.check_own(batch, tasks, before)
    return found


def _checksums(batch: Demonstrations) -> np.ndarray:
    """One number per demonstration, over all that is recorded of it."""
    sums = np.zeros(len(batch.task_ids), np.uint32)
    for row, steps in enumerate(batch.step_mask):
        leaves = jax.tree.leaves((batch.observations, batch.actions))
        recorded = [leaf[row][steps] for leaf in leaves]
        for leaf in (*recorded, steps, batch.task_ids[row]):
            sums[row] = zlib.crc32(leaf.tobytes(), int(sums[row]))
    return sums
