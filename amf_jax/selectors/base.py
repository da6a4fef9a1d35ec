"""The selector contract: a pair of pure functions, and what passes between them."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from amf_jax import errors, importance
from amf_jax.selectors.context import (
    Context,
    Pending,
    check_context,
    check_history,
    check_sizes,
    is_concrete,
    on_device,
    prepare,
    prepare_demonstrations,
)
from amf_jax.selectors.derivatives import forwards_only

__all__ = [
    "Choice",
    "Context",
    "Pending",
    "Selector",
    "SelectorInfo",
    "carry_over",
    "check_choice",
    "empty_info",
    "pick",
]


#: What a selector did not compute: no finite number, and no NaN, which would stop every
#: run under `jax_debug_nans`.
UNKNOWN = -np.inf

#: Of `SelectorInfo.rounding`, above which `check_choice` warns.
MOST_ROUNDING = 0.03

# Selections split their key in three: this child is none of those.
_TIES = 3


class Choice(NamedTuple):
    """The task to demonstrate next.

    Attributes:
      task_id: index among the evaluation tasks; -1 if it is none of them.
      task: the task vector. NaN if the selector could not rank its candidates.
    """

    task_id: Int[Array, ""]
    task: Float[Array, " D"]


class SelectorInfo(NamedTuple):
    """Diagnostics of one selection; nothing in here is needed by the next one.

    Fields that a selector does not compute hold -inf, or -1 if they are integers.

    Attributes:
      scores: value of each of K candidates, higher is better.
      candidates: the candidates' task vectors; -inf in an invalid choice says that
        there was no evaluation to score them by.
      effective_sample_size: per evaluation task, in demonstrations; those of other
        tasks count as far as they carry weight.
      importance_weights: `W[c, i]` of demonstration i for evaluation task c.
      jitter: largest diagonal term that conditioning on the history needed.
      pruned_weight: importance weight of each evaluation task that was skipped.
      path: index in `cost.PATHS` of how the sums were computed; -1 if there are none.
      multiply_adds: predicted cost of that path.
      bytes_peak: predicted memory of the selection at its peak, see `amf_jax.memory`.
      own_demonstrations: at hand of each evaluation task itself, beside
        `effective_sample_size`, which may be borrowed from others.
      weighting: index in `importance.MODES` of the weights; -1 if there are none.
      rounding: what rounding did to the posterior, relative to `noise_variance`; see
        `posterior.rounding`. Above 0.03, `check_choice` warns.
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
    own_demonstrations: Int[Array, " C"]
    weighting: Int[Array, ""]
    rounding: Float[Array, ""]


class _Rule(NamedTuple):
    """The fields of a selector."""

    init: Callable[..., Any]
    select: Callable[..., tuple[Choice, Any, SelectorInfo]]


class Selector(_Rule):
    """A rule that decides which task to demonstrate next.

    Both functions are pure and can be jitted, vmapped and scanned. Whatever the rule,
    it is given a context in one floating type (`context.prepare`); NumPy arrays, lists,
    integer tasks and mixed precisions will do. Called where nothing is traced,
    both check the context (`check_context`), and `select` is compiled once for its
    shapes; a rule itself may assume to be traced.

    Scores are differentiated forwards (`jax.jvp`, `jax.jacfwd`): the loops inside are
    as long as there are demonstrations, which has no reverse derivative.

    Attributes:
      init: `(context, history=None) -> state`. `history` holds demonstrations that the
        policy was pre-trained on, where they are known (Gaussian processes); only the
        shapes of `context.demos` matter.
      select: `(key, state, context) -> (Choice, state, SelectorInfo)`.
    """

    __slots__ = ()

    def __new__(cls, init, select):
        return super().__new__(cls, _prepared_init(init), _prepared_select(select))


def _prepared_init(init: Callable) -> Callable:
    @functools.wraps(init)
    def prepared(context: Context, history=None):
        given = _prepared(context, history)
        if history is not None:
            if is_concrete(history):
                check_history(history, given)
            history = prepare_demonstrations(history, given.tasks.dtype)
        evaluations = given.evaluations  # of no interest but for their shape
        given = on_device(given._replace(evaluations=None))
        return init(given._replace(evaluations=evaluations), on_device(history))

    return prepared


def _prepared_select(select: Callable) -> Callable:
    compiled = jax.jit(select)

    @functools.wraps(select)
    def prepared(key, state, context: Context):
        given = _prepared(context, key, state)
        eager = jax.config.jax_disable_jit  # type: ignore[attr-defined]
        if is_concrete((key, state, given)) and not eager:
            return compiled(key, state, given)
        choice, state, info = select(key, state, on_device(given))
        choice, info = forwards_only((choice, info))
        return choice, state, info

    return prepared


def _prepared(context: Context, *others: Any) -> Context:
    """The context for a rule to look at, checked as far as it has values."""
    if is_concrete((context, others)):
        check_context(context)
    check_sizes(context)
    return prepare(context)


def carry_over(state: Any, larger: Any) -> Any:
    """What a selector remembers, for a buffer that has grown.

    Every array is written to the front of that of the larger state: rows in use stay
    where they are, and those behind them are as fresh as in `larger`. What carries over
    in a way of its own has a method `carry_over(larger)`.

    Args:
      state: of the selector so far.
      larger: from `Selector.init`, with the larger buffer in the context and, if there
        was any, the same history.

    Example:
      >>> held, larger = jnp.array([1.0, 2.0]), jnp.zeros(4)
      >>> print(carry_over(held, larger))
      [1. 2. 0. 0.]
    """

    def knows_how(node) -> bool:
        return hasattr(node, "carry_over")

    def one(old, new):
        if knows_how(old):
            return old.carry_over(new)
        start = (0,) * jnp.ndim(new)
        return jax.lax.dynamic_update_slice(new, jnp.asarray(old, new.dtype), start)

    return jax.tree.map(one, state, larger, is_leaf=knows_how)


def check_choice(
    choice: Choice, info: SelectorInfo, task_names: tuple[str, ...] | None = None
) -> None:
    """Raises if a selection failed; call it on the host, outside jit.

    Warns where it did not, but rounding may have decided it.

    Raises:
      UndemonstratedTaskError: deterministic weights of a task without a demonstration.
      SelectionError: there was no evaluation to choose by, or a weight, a candidate or
        a score is not finite.
    """
    if bool(np.isfinite(np.asarray(choice.task)).all()):
        _warn_of_rounding(info)
        return
    _check_weighting(info, task_names)
    candidates = np.asarray(info.candidates)
    if np.isneginf(candidates).all():
        raise errors.SelectionError(
            "evaluations hold no success to choose by: evaluate must return 'success',"
            " one finite number per task, in at least one round"
        )
    broken = ~np.isfinite(candidates).all(axis=1)
    if broken.any():
        raise errors.SelectionError(
            f"{broken.sum()} of {broken.size} candidate tasks hold NaN or inf; check"
            " what the optimiser's sample_tasks draws and its space projects to"
        )
    raise errors.SelectionError(
        f"scores are not finite: {np.asarray(info.scores)} (jitter"
        f" {float(info.jitter):.3g}); check that there is a demonstration at hand and"
        " the policy's parameters for NaN, then raise noise_variance, keep"
        " normalise_kernel=True, or enable 64-bit floats"
    )


def _warn_of_rounding(info: SelectorInfo) -> None:
    """Warns if a choice may be arbitrary."""
    if info.rounding > MOST_ROUNDING:
        warnings.warn(
            f"rounding changed the posterior by {float(info.rounding):.2g} times"
            " the noise, so that the choice may be arbitrary; raise noise_variance,"
            " rescale embeddings whose squares underflow, or enable 64-bit floats",
            stacklevel=3,
        )
    elif info.weighting >= 0 and not np.asarray(info.scores).any():
        warnings.warn(
            "no demonstration is expected to tell anything, so that the choice is"
            " arbitrary: every score is 0. The embeddings are zero or lost in rounding,"
            " since their squares underflow; rescale them, or enable 64-bit floats",
            stacklevel=3,
        )


def _check_weighting(info: SelectorInfo, task_names: tuple[str, ...] | None) -> None:
    """Raises if a failed selection had no weights for a task."""
    lacking = ~np.isfinite(np.asarray(info.importance_weights)).all(axis=1)
    mode = None if info.weighting < 0 else importance.MODES[int(info.weighting)]
    missing = [task_names[i] if task_names else str(i) for i in lacking.nonzero()[0]]
    if mode == "deterministic" and lacking.any() and not lacking.all():
        raise errors.UndemonstratedTaskError(
            f"no demonstration at hand carries weight for task {', '.join(missing)};"
            " deterministic weights cannot score a task before its first demonstration:"
            " warm-start with one demonstration per task or use"
            " weights='self_normalised'"
        )
    if mode in importance.ESTIMATORS and lacking.any():
        where = "any task" if lacking.all() else f"task {', '.join(missing)}"
        raise errors.SelectionError(
            f"no demonstration at hand can be weighed for {where}: the policy's"
            " log_likelihood is -inf for each of them, or NaN for one. Check that there"
            " is a demonstration, and the policy's parameters for NaN; then bound what"
            " is unlikely by likelihood_clip, such as (-12.0, 0.0)"
        )


def pick(
    key: Key[Array, ""],
    scores: Float[Array, " K"],
    task_ids: Int[Array, " K"],
    tasks: Float[Array, "K D"],
) -> Choice:
    """The best-scoring candidate; an invalid choice if any score is not finite.

    Of candidates that score exactly the same, one is drawn at random.

    Args:
      key: of the selection; its first three children by `jax.random.split` may be used
        elsewhere.
      scores: of K candidates.
      task_ids: of the candidates.
      tasks: their vectors.
    """
    draws = jax.random.uniform(jax.random.fold_in(key, _TIES), scores.shape)
    best = jnp.argmax(jnp.where(scores == scores.max(), draws, -1.0))
    valid = jnp.isfinite(scores).all()
    return Choice(
        task_id=jnp.where(valid, task_ids[best], -1).astype(jnp.int32),
        task=jnp.where(valid, tasks[best], jnp.nan),
    )


def empty_info(context: Context, num_candidates: int) -> SelectorInfo:
    """Diagnostics of a selector that computes next to none."""
    dtype, demos = context.tasks.dtype, context.demos
    num_tasks, task_size = context.tasks.shape
    own = importance.task_counts(demos.task_ids, demos.demo_mask, num_tasks)
    return SelectorInfo(
        scores=jnp.full((num_candidates,), UNKNOWN, dtype),
        candidates=jnp.full((num_candidates, task_size), UNKNOWN, dtype),
        effective_sample_size=jnp.full((num_tasks,), UNKNOWN, dtype),
        importance_weights=jnp.full((num_tasks, demos.demo_mask.size), UNKNOWN, dtype),
        jitter=jnp.zeros((), dtype),
        pruned_weight=jnp.full((num_tasks,), UNKNOWN, dtype),
        path=jnp.int32(-1),
        multiply_adds=jnp.full((), UNKNOWN, dtype),
        bytes_peak=jnp.full((), UNKNOWN, dtype),
        own_demonstrations=own,
        weighting=jnp.int32(-1),
        rounding=jnp.full((), UNKNOWN, dtype),
    )
