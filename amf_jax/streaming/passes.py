"""The three passes over a pool; each needs a sum over the whole of the one before it.

1. "weights": log-likelihoods `[C, N]` of all demonstrations under all tasks, and from
   them the importance weights (eq. 3);
2. "moments": `G` of the history and `S` of the weighted occupancy, as in
   `posterior/moments.py`;
3. "scores": the value of each block, given both (eq. 4).
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from amf_jax import importance
from amf_jax.demonstrations import Demonstrations
from amf_jax.embeddings import Embedding
from amf_jax.posterior.moments import Given
from amf_jax.streaming import reading, steps
from amf_jax.streaming.reading import Ledger, Microbatch, Pool
from amf_jax.streaming.steps import Moments

#: `(pass_name, done, total)`, after each microbatch. "weights" counts demonstrations,
#: whose number is known at its end alone (until then, total is None); "moments" and
#: "scores" count pairs of a task and a demonstration.
OnProgress = Callable[[str, int, int | None], None]


class Request(NamedTuple):
    """What all passes are about, as in `streaming.select`."""

    pool: Pool
    embedding: Embedding
    log_likelihood: Callable | None
    tasks: Float[Array, "C D"]
    params: Any
    embedding_params: Any
    microbatch_size: int | None
    on_progress: OnProgress


def weigh(
    request: Request,
    first: Iterator[tuple[int, Demonstrations, Ledger]],
    mode: str,
    clip: tuple[float, float] | None,
) -> tuple[np.ndarray, Ledger]:
    """The first pass.

    Args:
      request: what it is about.
      first: `reading.first_pass` of the pool.
      mode: a key of `importance.MODES`.
      clip: bounds of trajectory log-likelihoods, or None.

    Returns:
      Importance weights `[C, N]`, and what is remembered of each demonstration.
    """
    tasks, entries = np.asarray(request.tasks), []

    def batches():
        for before, batch, entry in first:
            entries.append(entry)
            yield before, batch

    def everyone(before, batch):
        return np.arange(len(batch.task_ids)), batch.task_ids

    def likelihoods(demos):
        if mode not in importance.ESTIMATORS:
            return np.zeros((len(tasks), len(demos.task_ids)), tasks.dtype)
        return steps.log_likelihoods(
            request.log_likelihood, clip, request.params, demos, request.tasks
        )

    columns, done = [], 0
    for microbatch in reading.microbatches(
        batches(), everyone, tasks, request.microbatch_size
    ):
        count = len(microbatch.rows)
        columns.append(np.asarray(likelihoods(microbatch.demos))[:, :count])
        done += count
        request.on_progress("weights", done, None)
    ledger = Ledger(*map(np.concatenate, zip(*entries, strict=True)))
    table = np.concatenate(columns, axis=1)
    request.on_progress("weights", done, done)
    return steps.weights(mode, table, ledger.task_ids), ledger


def sum_moments(
    request: Request, ledger: Ledger, history: np.ndarray, mass: np.ndarray, width: int
) -> Moments:
    """The second pass.

    Args:
      request: what it is about.
      ledger: of the first pass.
      history: `[C, N]`, which pairs the posterior is conditioned on.
      mass: `[C, N]`, weight of each pair in the occupancy.
      width: of the embeddings.
    """
    moments = steps.no_moments(width, mass.dtype)
    for microbatch in _later(request, "moments", ledger, history | (mass != 0)):
        moments = steps.add_moments(
            request.embedding,
            request.embedding_params,
            moments,
            microbatch.demos,
            _spread(history, microbatch).astype(mass.dtype),
            _spread(mass, microbatch),
        )
        jax.block_until_ready(moments)  # else what is read ahead would pile up
    return moments


def score(
    request: Request, ledger: Ledger, weights: np.ndarray, given: Given
) -> np.ndarray:
    """The third pass: of every task, the weighted mean over its blocks.

    Args:
      request: what it is about.
      ledger: of the first pass.
      weights: `[C, N]`, 0 for pairs that are skipped.
      given: by the second pass.
    """
    total = np.zeros(len(weights), np.float64)
    for microbatch in _later(request, "scores", ledger, weights != 0):
        found = steps.scores(
            request.embedding, request.embedding_params, microbatch.demos, given
        )
        values = np.asarray(found)[: len(microbatch.rows)]
        pairs = microbatch.task_ids, microbatch.rows
        np.add.at(total, microbatch.task_ids, weights[pairs] * values)
    return total.astype(weights.dtype)


def _later(
    request: Request, name: str, ledger: Ledger, counts: np.ndarray
) -> Iterator[Microbatch]:
    """The pairs that count `[C, N]`, from the pool read once more."""
    tasks, total, done = np.asarray(request.tasks), int(counts.sum()), 0

    def pairs(before, batch):
        rows, ids = np.nonzero(counts[:, before : before + len(batch.task_ids)].T)
        return rows, ids

    batches = reading.again(request.pool, tasks.dtype, ledger)
    for microbatch in reading.microbatches(
        batches, pairs, tasks, request.microbatch_size
    ):
        yield microbatch
        done += len(microbatch.rows)
        request.on_progress(name, done, total)


def _spread(table: np.ndarray, microbatch: Microbatch) -> np.ndarray:
    """The values of the pairs of a microbatch, 0 for the padding."""
    values = table[microbatch.task_ids, microbatch.rows]
    return np.pad(values, (0, len(microbatch.demos.task_ids) - len(values)))
