"""Active selection from a pool that is read again and again, never held.

The criterion is that of `selectors.amf` in weight space (`posterior/moments.py`), in
the three passes of `passes.py`. Weights that are sharp leave few pairs of a task and a
demonstration, and the last two passes embed no others. The table of likelihoods and a
few more numbers for each demonstration are all that grows with the pool.
"""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from amf_jax import errors, importance, posterior, problem, ranges, windows
from amf_jax.dtypes import compute_dtype
from amf_jax.embeddings import Embedding
from amf_jax.posterior.pairs import is_skipped
from amf_jax.selectors import weighting
from amf_jax.selectors.base import Choice, check_choice, pick
from amf_jax.selectors.info import AmfInfo, weights_failure
from amf_jax.streaming import passes, steps
from amf_jax.streaming.passes import OnProgress, Request
from amf_jax.streaming.reading import Pool, first_pass


def select(
    pool: Pool,
    embedding: Embedding,
    log_likelihood: Callable | None,
    tasks: Any,
    *,
    params: Any,
    embedding_params: Any,
    task_weights: Any | None = None,
    key: Key[Array, ""] | None = None,
    weights: str = "self_normalised",
    condition_on_history: bool = True,
    normalise_kernel: bool = True,
    noise_variance: float = 1.0,
    likelihood_clip: tuple[float, float] | None = None,
    weight_tolerance: float | None = 0.0,
    microbatch_size: int | None = None,
    on_progress: OnProgress = lambda name, done, total: None,
) -> tuple[Choice, AmfInfo]:
    """The task to demonstrate next, from a pool that need not fit in memory.

    The choice and the scores of `selectors.amf` by the variance criterion (eq. 4), at a
    first selection. It runs on the host and cannot be jitted; what it does to a
    microbatch is compiled once, and not again in later selections with the same
    functions and shapes.

    Args:
      pool: returns, each time it is called, an iterator over all demonstrations, in
        batches of any sizes. It is called three times.
      embedding: with `features`, of width P: memory grows with P^2.
      log_likelihood: as in `selectors.amf`.
      tasks: evaluation tasks `[C, D]`; every demonstration is of one of them.
      params: of the current policy, for the importance weights.
      embedding_params: parameters that the embeddings are taken at.
      task_weights: probabilities of the tasks; None is uniform.
      key: draws among tasks that score exactly the same; None is `jax.random.key(0)`.
      weights: as in `selectors.amf`.
      condition_on_history: as in `selectors.amf`; the history is the pool.
      normalise_kernel: as in `selectors.amf`.
      noise_variance: as in `selectors.amf`.
      likelihood_clip: as in `selectors.amf`.
      weight_tolerance: as in `Execution`; the last two passes cost in proportion to
        the pairs that are not skipped.
      microbatch_size: demonstrations at work at a time; None takes about 1024 steps.
        The choice is the same for every size.
      on_progress: called after each microbatch, see `OnProgress`.

    Returns:
      The choice, and diagnostics as those of `selectors.amf`.

    Raises:
      UnknownNameError: for an unknown weight mode.
      InvalidArgumentError: for arguments out of range or that contradict each other.
      DemonstrationError: demonstrations that are malformed or of no evaluation task.
      ChangedPoolError: a later pass reads other demonstrations than the first.
      SelectionError: scores that are not finite, as `selectors.check_choice`.
    """
    weighting.check(weights, log_likelihood)
    windows.check_same(embedding, log_likelihood)
    ranges.check("noise_variance", noise_variance, ranges.POSITIVE)
    ranges.check_interval("likelihood_clip", likelihood_clip)
    ranges.check(
        "weight_tolerance", weight_tolerance, ranges.PROPER_SHARE, optional=True
    )
    ranges.check("microbatch_size", microbatch_size, ranges.COUNT, optional=True)
    ranges.check_flag("condition_on_history", condition_on_history)
    ranges.check_flag("normalise_kernel", normalise_kernel)
    if embedding.features is None:
        raise errors.InvalidArgumentError(
            "embedding.features is None, but a pool is summed up in the space of"
            " explicit embeddings; use projected_gradient instead of network_gradient"
        )
    tasks = problem.check_tasks(tasks, None)
    tasks = tasks.astype(compute_dtype(tasks, params, embedding_params))
    shares = problem.check_weights(task_weights, tasks)
    key = jax.random.key(0) if key is None else key
    if not callable(pool):
        raise errors.InvalidArgumentError(
            "pool must be a function that returns an iterator anew at each call, got"
            f" {type(pool).__name__}"
        )
    vectors = np.asarray(tasks)
    first = first_pass(pool, vectors)
    head = next(first)
    width = steps.width(embedding, embedding_params, head[1])
    request = Request(
        pool,
        embedding,
        log_likelihood,
        tasks,
        params,
        embedding_params,
        microbatch_size,
        on_progress,
    )

    first = itertools.chain([head], first)
    table, ledger = passes.weigh(request, first, weights, likelihood_clip)
    failure = weights_failure(weights, table)
    if failure is not None:  # nor would the scores be finite
        raise failure
    importance_weights = jnp.asarray(table)
    if weight_tolerance is not None:
        skipped = is_skipped(jnp.asarray(table), weight_tolerance)
        table = np.where(np.asarray(skipped), 0.0, table)

    mass = np.asarray(shares, table.dtype)[:, None] * table
    own = ledger.task_ids == np.arange(len(vectors))[:, None]
    moments = passes.sum_moments(
        request, ledger, own & condition_on_history, mass, width
    )
    visited = None
    if normalise_kernel:
        visited = float(mass.sum(axis=0, dtype=np.float64) @ ledger.lengths)
    given = steps.whiten(moments, noise_variance, visited, table.dtype)
    info = AmfInfo(
        scores=jnp.asarray(passes.score(request, ledger, table, given)),
        candidates=tasks,
        effective_sample_size=importance.effective_sample_size(importance_weights),
        importance_weights=importance_weights,
        jitter=given.jitter,
        pruned_weight=importance_weights.sum(axis=1) - table.sum(axis=1),
        own_demonstrations=jnp.asarray(own.sum(axis=1), jnp.int32),
        weighting=jnp.int32(importance.MODES.index(weights)),
        rounding=jnp.maximum(given.rounding, posterior.underflow(given.scale, width)),
    )
    choice = pick(key, info.scores, jnp.arange(len(tasks), dtype=jnp.int32), tasks)
    check_choice(choice, info)
    return choice, info
