"""What a selector may look at: the context of a round, prepared and checked."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from amf_jax import errors, problem, task_table, validation
from amf_jax.demonstrations import Demonstrations, observation_spec
from amf_jax.dtypes import compute_dtype, real_numbers


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
    evaluations: Float[Array | np.ndarray, "R C"] | None = None
    pending: Pending | None = None


def prepare(context: Context) -> Context:
    """The same context as arrays with one floating type for all that is real.

    That type is the widest of the tasks, their weights, the demonstrations and the
    parameters, and at least float32 (`dtypes.compute_dtype`): one-hot tasks in integers
    are real numbers. Observations that are no floats, such as images, stay as they are,
    and so do the parameters, whose precision is the policy's affair.

    What is of the host is cast there and stays: under `jax_debug_nans` JAX takes the
    NaN of padding, or of what was not evaluated, for an accident.
    """
    demos, params = context.demos, (context.params, context.embedding_params)
    dtype = compute_dtype(demos, context.tasks, context.task_weights, params)
    pending, evaluations = context.pending, context.evaluations
    if pending is not None:
        pending = Pending(*map(_array, pending, (jnp.int32, dtype, bool)))
    return context._replace(
        demos=prepare_demonstrations(demos, dtype),
        tasks=_array(context.tasks, dtype),
        task_weights=_array(context.task_weights, dtype),
        evaluations=None if evaluations is None else _array(evaluations, dtype),
        pending=pending,
    )


def prepare_demonstrations(demos: Demonstrations, dtype: Any) -> Demonstrations:
    """The same demonstrations with real numbers of that floating type."""

    def observed(leaf):
        floating = jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
        return _array(leaf, dtype if floating else None)

    return Demonstrations(
        observations=jax.tree.map(observed, demos.observations),
        actions=_array(demos.actions, dtype),
        step_mask=_array(demos.step_mask, bool),
        tasks=_array(demos.tasks, dtype),
        task_ids=_array(demos.task_ids, jnp.int32),
        demo_mask=_array(demos.demo_mask, bool),
    )


def check_context(context: Context) -> None:
    """Raises if a context contradicts itself; for hosts, where arrays have values.

    `Selector.init` and `Selector.select` call it where nothing is traced. What is
    traced has no values to look at: call it once on what enters your own `jit`.

    Raises:
      InvalidArgumentError: no task, tasks that are not finite, weights that are
        negative or do not sum to 1, evaluations or pending demonstrations that do not
        fit the tasks.
      DemonstrationError: as `validation.check_form`; also a task vector that is
        not the one of its task id.
    """
    problem.check_tasks(context.tasks, None)
    tasks = np.asarray(context.tasks)
    problem.check_weights(context.task_weights, tasks)
    count, width = tasks.shape
    validation.check_form(context.demos, task_size=width, num_tasks=count)
    task_table.check_own(context.demos, tasks)
    if context.evaluations is not None:
        success = real_numbers(context.evaluations)
        if success is None or success.ndim != 2 or success.shape[1] != count:
            got = repr(context.evaluations) if success is None else success.shape
            raise errors.InvalidArgumentError(
                f"evaluations must hold the success of {count} tasks, real numbers as"
                f" [R, {count}]; got {got}"
            )
    if context.pending is not None:
        _check_pending(context.pending, tasks)


def check_history(history: Demonstrations, context: Context) -> None:
    """Raises if pre-training demonstrations do not fit those at hand; for hosts.

    They need not be of the evaluation tasks.

    Raises:
      DemonstrationError: as `validation.check_form`.
    """
    validation.check_form(
        history,
        observation_size=observation_spec(context.demos),
        action_size=np.shape(context.demos.actions)[2],
        task_size=np.shape(context.tasks)[1],
    )


def check_sizes(context: Context) -> None:
    """The part of `check_context` that shapes alone tell, also while tracing."""
    shape = np.shape(context.tasks)
    if len(shape) != 2 or shape[0] == 0:
        raise errors.InvalidArgumentError(
            f"context.tasks must hold at least one task, as [C, D]; got shape {shape}"
        )
    if np.shape(context.task_weights) != shape[:1]:
        raise errors.InvalidArgumentError(
            f"context.task_weights must be {shape[0]} numbers, one per task; got shape"
            f" {np.shape(context.task_weights)}"
        )


def _check_pending(pending: Pending, tasks: np.ndarray) -> None:
    arrays = [real_numbers(values) for values in pending]
    for name, array in zip(pending._fields, arrays, strict=True):
        if array is None or (name == "mask" and not np.isin(array, (0, 1)).all()):
            kind = "booleans" if name == "mask" else "real numbers"
            raise errors.InvalidArgumentError(
                f"pending.{name} must be an array of {kind}, got"
                f" {getattr(pending, name)!r}"
            )
    ids, vectors, used = map(np.asarray, arrays)
    slots, used = ids.size, used.astype(bool)
    if vectors.shape != (slots, tasks.shape[1]) or used.shape != (slots,):
        raise errors.InvalidArgumentError(
            f"pending.tasks and pending.mask must have shapes {(slots, tasks.shape[1])}"
            f" and {(slots,)}, got {vectors.shape} and {used.shape}"
        )
    task_table.check_ids(ids[used], len(tasks), least=-1, name="pending.task_ids")
    alien = used & task_table.is_alien(ids, vectors, tasks)
    if alien.any():
        slot = int(np.argmax(alien))
        raise errors.InvalidArgumentError(
            f"pending slot {slot} has task id {ids[slot]} and a task vector that is not"
            " the evaluation task's of that id"
        )


def on_device(tree: Any) -> Any:
    """The same tree with arrays of JAX for those of NumPy.

    Traced numbers can index them.
    """
    return jax.tree.map(
        lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf, tree
    )


def _array(values: Any, dtype: Any = None) -> Any:
    on_host = not isinstance(values, jax.Array)
    return np.asarray(values, dtype) if on_host else jnp.asarray(values, dtype)
