"""The selector contract: a pair of pure functions, and what passes between them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from amf_jax import errors
from amf_jax.demonstrations import Demonstrations


class Choice(NamedTuple):
    """The task to demonstrate next.

    Attributes:
      task_id: index among the evaluation tasks; -1 if it is none of them.
      task: the task vector. NaN if the selector could not rank its candidates.
    """

    task_id: Int[Array, ""]
    task: Float[Array, " D"]


class Pending(NamedTuple):
    """Demonstrations that were asked for but are not yet delivered; see `pending`.

    Attributes:
      task_ids: index of each task among the evaluation tasks; -1 if it is none of them.
      tasks: their vectors; whatever where a slot is not in use.
      mask: which of the Q slots are in use, so that no shape changes with their number.
    """

    task_ids: Int[Array, " Q"]
    tasks: Float[Array, "Q D"]
    mask: Bool[Array, " Q"]


class Context(NamedTuple):
    """What a selector may look at in one round.

    Attributes:
      demos: demonstrations collected so far, in a buffer of fixed capacity N.
      tasks: evaluation tasks.
      task_weights: their probabilities mu_C.
      params: parameters of the current, fine-tuned policy.
      embedding_params: parameters that the embeddings are taken at.
      evaluations: success of each task after each round so far, NaN where it was not
        evaluated and in the rounds to come; the first row is before any fine-tuning.
        Rollouts are information that active fine-tuning does without; None where there
        are none.
      pending: demonstrations asked for but not yet delivered, where several experts
        demonstrate in parallel; None is none.
    """

    demos: Demonstrations
    tasks: Float[Array, "C D"]
    task_weights: Float[Array, " C"]
    params: Any
    embedding_params: Any
    evaluations: Float[Array, "R C"] | None = None
    pending: Pending | None = None


class SelectorInfo(NamedTuple):
    """Diagnostics of one selection; nothing in here is needed by the next one.

    Fields that a selector does not compute hold NaN.

    Attributes:
      scores: value of each of K candidates, higher is better.
      candidates: the candidates' task vectors. NaN in an invalid choice says that there
        was nothing to score them by.
      effective_sample_size: per evaluation task, in demonstrations.
      importance_weights: `W[c, i]` of demonstration i for evaluation task c.
      jitter: largest diagonal term that conditioning on the history needed.
      pruned_weight: importance weight of each evaluation task that was skipped.
      path: index in `cost.PATHS` of how the sums were computed; -1 if there are none.
      multiply_adds: predicted cost of that path.
      bytes_peak: predicted memory of the selection at its peak, see `amf_jax.memory`.
    """

    scores: Float[Array, " K"]
    candidates: Float[Array, "K D"]
    effective_sample_size: Float[Array, " C"]
    importance_weights: Float[Array, "C N"]
    jitter: Float[Array, ""]
    pruned_weight: Float[Array, " C"]
    path: Int[Array, ""]
    multiply_adds: Float[Array, ""]
    bytes_peak: Float[Array, ""]


class Selector(NamedTuple):
    """A rule that decides which task to demonstrate next.

    Both functions are pure and can be jitted, vmapped and scanned.

    Attributes:
      init: `(context, history=None) -> state`. `history` holds demonstrations that the
        policy was pre-trained on, where they are known (Gaussian processes); only the
        shapes of `context.demos` matter.
      select: `(key, state, context) -> (Choice, state, SelectorInfo)`.
    """

    init: Callable[..., Any]
    select: Callable[..., tuple[Choice, Any, SelectorInfo]]


def carry_over(state: Any, larger: Any) -> Any:
    """What a selector remembers, for a buffer that has grown.

    Every array is written to the front of that of the larger state: rows in use stay
    where they are, and those behind them are as fresh as in `larger`.

    Args:
      state: of the selector so far.
      larger: from `Selector.init`, with the larger buffer in the context and, if there
        was any, the same history.

    Example:
      >>> held, larger = jnp.array([1.0, 2.0]), jnp.zeros(4)
      >>> print(carry_over(held, larger))
      [1. 2. 0. 0.]
    """

    def one(old, new):
        start = (0,) * jnp.ndim(new)
        return jax.lax.dynamic_update_slice(new, jnp.asarray(old, new.dtype), start)

    return jax.tree.map(one, state, larger)


def check_choice(
    choice: Choice, info: SelectorInfo, task_names: tuple[str, ...] | None = None
) -> None:
    """Raises if a selection failed; call it on the host, outside jit.

    Raises:
      UndemonstratedTaskError: a task without a demonstration got no weight.
      SelectionError: there was no evaluation to choose by, or the scores are not
        finite for another reason.
    """
    if bool(np.isfinite(np.asarray(choice.task)).all()):
        return
    sizes = np.asarray(info.effective_sample_size)
    missing = np.flatnonzero(sizes == 0)
    if 0 < missing.size < sizes.size:
        names = [task_names[i] if task_names else str(i) for i in missing]
        raise errors.UndemonstratedTaskError(
            f"no demonstration at hand carries weight for task {', '.join(names)};"
            " deterministic weights cannot score a task before its first demonstration:"
            " warm-start with one demonstration per task or use"
            " weights='self_normalised'"
        )
    if np.isnan(np.asarray(info.candidates)).all():
        raise errors.SelectionError(
            "evaluations hold no success to choose by: evaluate must return 'success',"
            " one finite number per task, in at least one round"
        )
    raise errors.SelectionError(
        f"scores are not finite: {np.asarray(info.scores)} (jitter"
        f" {float(info.jitter):.3g}); check that there is a demonstration at hand and"
        " the policy's parameters for NaN, then raise noise_variance, keep"
        " normalise_kernel=True, or enable 64-bit floats"
    )


def pick(
    scores: Float[Array, " K"], task_ids: Int[Array, " K"], tasks: Float[Array, "K D"]
) -> Choice:
    """The best-scoring candidate; an invalid choice if any score is not finite."""
    best = jnp.argmax(scores)
    valid = jnp.isfinite(scores).all()
    return Choice(
        task_id=jnp.where(valid, task_ids[best], -1).astype(jnp.int32),
        task=jnp.where(valid, tasks[best], jnp.nan),
    )


def empty_info(context: Context, num_candidates: int) -> SelectorInfo:
    """Diagnostics of a selector that computes none: NaN throughout."""
    dtype = context.tasks.dtype
    num_tasks, task_size = context.tasks.shape
    capacity = context.demos.demo_mask.shape[0]
    return SelectorInfo(
        scores=jnp.full((num_candidates,), jnp.nan, dtype),
        candidates=jnp.full((num_candidates, task_size), jnp.nan, dtype),
        effective_sample_size=jnp.full((num_tasks,), jnp.nan, dtype),
        importance_weights=jnp.full((num_tasks, capacity), jnp.nan, dtype),
        jitter=jnp.zeros((), dtype),
        pruned_weight=jnp.full((num_tasks,), jnp.nan, dtype),
        path=jnp.int32(-1),
        multiply_adds=jnp.full((), jnp.nan, dtype),
        bytes_peak=jnp.full((), jnp.nan, dtype),
    )
