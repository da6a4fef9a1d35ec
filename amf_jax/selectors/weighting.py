"""Importance weights of the demonstrations at hand, by the name of an option."""

from collections.abc import Callable

from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from amf_jax import devices, errors, importance, tiles
from amf_jax.candidates import Candidates
from amf_jax.demonstrations import Demonstrations
from amf_jax.selectors.context import Context


def check(
    mode: str,
    log_likelihood: Callable | None,
    finite_tasks: bool = True,
    trajectory_samples: int | None = None,
) -> None:
    """Raises if a mode is unknown, or its weights cannot be had.

    Args:
      mode: a key of `importance.MODES`.
      log_likelihood: as in `weigh`.
      finite_tasks: as in `weigh`.
      trajectory_samples: demonstrations that are drawn from those at hand.

    Raises:
      UnknownNameError: for an unknown mode.
      InvalidArgumentError: for what contradicts it.
    """
    errors.check_name("weights", mode, importance.MODES)
    if mode in importance.ESTIMATORS and log_likelihood is None:
        raise errors.InvalidArgumentError(
            f"weights={mode!r} needs the policy's log_likelihood, which is None; a"
            " strictly deterministic policy takes weights='deterministic'"
        )
    if mode == "deterministic" and not finite_tasks:
        raise errors.InvalidArgumentError(
            "weights='deterministic' matches demonstrations by task id and needs a"
            " finite task set; a continuous one takes weights='self_normalised'"
        )
    if mode == "deterministic" and trajectory_samples is not None:
        raise errors.InvalidArgumentError(
            "weights='deterministic' needs trajectory_samples=None: a sample may leave"
            " out the only demonstration of a task"
        )


def weigh(
    mode: str,
    log_likelihood: Callable | None,
    clip: tuple[float, float] | None,
    finite_tasks: bool,
    context: Context,
    sample: Demonstrations,
    candidates: Candidates,
    mesh: Mesh | None = None,
) -> Float[Array, "K M"]:
    """Weights `W[k, i]` of the sampled demonstrations for some tasks (eq. 3).

    Args:
      mode: a key of `importance.MODES`.
      log_likelihood: as in `Policy.log_likelihood`, for the modes that need it.
      clip: bounds of trajectory log-likelihoods, or None.
      finite_tasks: whether the candidates are the evaluation tasks, and every
        demonstration is of one of them.
      context: of the round.
      sample: M demonstrations out of `context.demos`.
      candidates: the K tasks.
      mesh: devices that share the likelihoods; None is one.
    """
    mask = sample.demo_mask
    if mode not in importance.ESTIMATORS:
        ids, sampled = candidates.task_ids, sample.task_ids
        return without_likelihoods(mode, ids, sampled, mask, context.tasks.dtype)

    assert log_likelihood is not None  # checked when the selector was built

    def likelihoods(tasks):
        def of(demos: Demonstrations):
            return importance.trajectory_log_likelihoods(
                log_likelihood, context.params, demos, tasks, clip
            )

        if mesh is None:
            return of(sample)
        even = tiles.filled_up(sample, mesh.size)
        columns = of(devices.shard(mesh, even)).T
        return devices.gather(mesh, columns, mask.size).T

    total, demos = likelihoods(candidates.tasks), context.demos
    if finite_tasks:  # the demonstrations' tasks are the candidates
        own = total
        counts = importance.task_counts(demos.task_ids, demos.demo_mask, total.shape[0])
    else:
        own, counts = likelihoods(demos.tasks), demos.demo_mask
    log_weights = importance.log_importance_weights(total, own, counts)
    return importance.ESTIMATORS[mode](log_weights, mask)


def without_likelihoods(
    mode: str,
    task_ids: Int[Array, " K"],
    demo_task_ids: Int[Array, " N"],
    mask: Bool[Array, " N"],
    dtype,
) -> Float[Array, "K N"]:
    """Weights of the modes that need no likelihood: "deterministic" and "off"."""
    if mode == "off":
        return importance.uniform(task_ids.shape[0], mask).astype(dtype)
    return importance.deterministic(task_ids, demo_task_ids, mask).astype(dtype)
