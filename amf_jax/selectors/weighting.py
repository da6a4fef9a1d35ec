"""Importance weights of the demonstrations at hand, by the name of an option."""

from collections.abc import Callable

from jax.sharding import Mesh
from jaxtyping import Array, Float

from amf_jax import importance
from amf_jax.candidates import Candidates
from amf_jax.demonstrations import Demonstrations
from amf_jax.selectors import sharded
from amf_jax.selectors.base import Context


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
    dtype = context.tasks.dtype
    if mode == "deterministic":
        return importance.deterministic(
            candidates.task_ids, sample.task_ids, sample.demo_mask
        ).astype(dtype)
    if mode == "off":
        num_tasks = candidates.tasks.shape[0]
        return importance.uniform(num_tasks, sample.demo_mask).astype(dtype)

    assert log_likelihood is not None  # checked when the selector was built

    def likelihoods(tasks):
        def of(demos: Demonstrations):
            return importance.trajectory_log_likelihoods(
                log_likelihood, context.params, demos, tasks, clip
            )

        if mesh is not None:
            of = sharded.split_demonstrations(mesh, of)
        return of(sample)

    total = likelihoods(candidates.tasks)
    if finite_tasks:  # the demonstrations' tasks are among the candidates
        own = total[context.demos.task_ids]
    else:
        own = likelihoods(context.demos.tasks)
    log_weights = importance.log_importance_weights(total, own, context.demos.demo_mask)
    return importance.ESTIMATORS[mode](log_weights, sample.demo_mask)
