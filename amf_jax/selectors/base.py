"""The selector contract: a pair of pure functions, and what passes between them."""

import functools
import operator
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from amf_jax import errors
from amf_jax.selectors.context import (
    Context,
    check_context,
    check_history,
    check_sizes,
    on_device,
    prepare,
    prepare_demonstrations,
)
from amf_jax.selectors.derivatives import forwards_only
from amf_jax.validation import is_concrete

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


class _Rule(NamedTuple):
    """The fields of a selector."""

    init: Callable[..., Any]
    select: Callable[..., tuple[Choice, Any, Any]]


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
      select: `(key, state, context) -> (Choice, state, info)`, with diagnostics of the
        rule's own type, or None; nothing in there is needed by the next selection.
      frozen_embeddings: whether the rule takes `context.embedding_params` to be the
        same in every round; see `check_frozen`.
      listed_tasks: whether the rule takes every demonstration to be of one of the
        evaluation tasks, by its task id.
    """

    frozen_embeddings = listed_tasks = False

    def __new__(cls, init, select, frozen_embeddings=False, listed_tasks=False):
        rule = super().__new__(cls, _prepared_init(init), _prepared_select(select))
        rule.frozen_embeddings = frozen_embeddings
        rule.listed_tasks = listed_tasks
        return rule


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


def check_frozen(selector: Selector, before: Any, after: Any) -> None:
    """Raises if a learner moves the embeddings that a selector takes to be frozen.

    Arrays are the same if they are the same objects, which costs nothing and holds in a
    trace as well.

    Args:
      selector: of the run.
      before: `LearnerState.embedding_params` that an update is given.
      after: those that it returns.

    Raises:
      InvalidArgumentError: the selector would score by embeddings of earlier rounds.
    """
    given, returned = jax.tree.leaves(before), jax.tree.leaves(after)
    if selector.frozen_embeddings and any(map(operator.is_not, given, returned)):
        raise errors.InvalidArgumentError(
            "the learner's update changes embedding_params, which the selector takes to"
            " be the same in every round: build it with frozen_embeddings=False, or the"
            " learner with embedding_policy='pretrained'"
        )


def diagnostics(info: Any) -> Any:
    """What a rule says of its choice; None where none chose, as in a warm start.

    For hosts: whether a rule chose is only known there.
    """
    return info.of_rule() if hasattr(info, "of_rule") else info


def check_choice(
    choice: Choice, info: Any, task_names: tuple[str, ...] | None = None
) -> None:
    """Raises if a selection failed; call it on the host, outside jit.

    Where it did not, but rounding may have decided it, this warns. What to say of
    either is known by the diagnostics, if they have the methods `failure(task_names) ->
    SelectionError` and `warning() -> str | None`.

    Raises:
      SelectionError: the choice is invalid. One of `amf` is where a weight, a candidate
        or a score is not finite; `UndemonstratedTaskError` names a task that
        deterministic weights lack a demonstration of.
    """
    info = diagnostics(info)
    if bool(np.isfinite(np.asarray(choice.task)).all()):
        warning = info.warning() if hasattr(info, "warning") else None
        if warning is not None:
            warnings.warn(warning, stacklevel=2)
        return
    if hasattr(info, "failure"):
        raise info.failure(task_names)
    raise errors.SelectionError(f"the selector could not choose a task: {info}")


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
