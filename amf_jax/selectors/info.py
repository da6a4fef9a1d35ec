"""Diagnostics of an active selection: what it saw, and what to say if it failed."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int

from amf_jax import errors, importance

#: Of `AmfInfo.rounding`, above which a choice may be arbitrary.
MOST_ROUNDING = 0.03


class AmfInfo(NamedTuple):
    """Diagnostics of one selection by `amf` or from a pool.

    Attributes:
      scores: value of each of K candidates, higher is better.
      candidates: the candidates' task vectors.
      effective_sample_size: per evaluation task, in demonstrations; those of other
        tasks count as far as they carry weight.
      importance_weights: `W[c, i]` of demonstration i for evaluation task c.
      jitter: largest diagonal term that conditioning on the history needed.
      pruned_weight: importance weight of each evaluation task that was skipped.
      own_demonstrations: at hand of each evaluation task itself, beside
        `effective_sample_size`, which may be borrowed from others.
      weighting: index in `importance.MODES` of the weights.
      rounding: what rounding did to the posterior, relative to `noise_variance`; see
        `posterior.rounding`. Above 0.03, `check_choice` warns.
    """

    scores: Float[Array, " K"]
    candidates: Float[Array, "K D"]
    effective_sample_size: Float[Array, " C"]
    importance_weights: Float[Array, "C N"]
    jitter: Float[Array, ""]
    pruned_weight: Float[Array, " C"]
    own_demonstrations: Int[Array, " C"]
    weighting: Int[Array, ""]
    rounding: Float[Array, ""]

    def warning(self) -> str | None:
        """Why the choice may be arbitrary, if it may."""
        if self.rounding > MOST_ROUNDING:
            return (
                f"rounding changed the posterior by {float(self.rounding):.2g} times"
                " the noise, so that the choice may be arbitrary; raise noise_variance,"
                " rescale embeddings whose squares underflow, or enable 64-bit floats"
            )
        if not np.asarray(self.scores).any():
            return (
                "no demonstration is expected to tell anything, so that the choice is"
                " arbitrary: every score is 0. The embeddings are zero, or lost in"
                " rounding where squares of theirs or of noise_variance underflow;"
                " rescale them, raise noise_variance, or enable 64-bit floats"
            )
        return None

    def failure(self, task_names: tuple[str, ...] | None) -> errors.SelectionError:
        """Why there is no choice."""
        mode = importance.MODES[int(self.weighting)]
        unweighed = weights_failure(mode, self.importance_weights, task_names)
        if unweighed is not None:
            return unweighed
        broken = ~np.isfinite(np.asarray(self.candidates)).all(axis=1)
        if broken.any():
            return errors.SelectionError(
                f"{broken.sum()} of {broken.size} candidate tasks hold NaN or inf;"
                " check what the optimiser's sample_tasks draws and its space projects"
                " to"
            )
        return errors.SelectionError(
            f"scores are not finite: {np.asarray(self.scores)} (jitter"
            f" {float(self.jitter):.3g}); check that there is a demonstration at hand"
            " and the policy's parameters for NaN, then raise noise_variance, keep"
            " normalise_kernel=True, or enable 64-bit floats"
        )


def weights_failure(
    mode: str,
    weights: Array | np.ndarray,
    task_names: tuple[str, ...] | None = None,
) -> errors.SelectionError | None:
    """Why a task has no importance weights; None if all have, or nothing can be said.

    Args:
      mode: of the weights, one of `importance.MODES`.
      weights: `[C, N]`, not finite where there are none.
      task_names: for the message.
    """
    lacking = ~np.isfinite(np.asarray(weights)).all(axis=1)
    if not lacking.any():
        return None
    missing = [task_names[i] if task_names else str(i) for i in lacking.nonzero()[0]]
    if mode == "deterministic" and not lacking.all():
        return errors.UndemonstratedTaskError(
            f"no demonstration at hand carries weight for task {', '.join(missing)};"
            " deterministic weights cannot score a task before its first demonstration:"
            " warm-start with one demonstration per task or use"
            " weights='self_normalised'"
        )
    if mode in importance.ESTIMATORS:
        where = "any task" if lacking.all() else f"task {', '.join(missing)}"
        return errors.SelectionError(
            f"no demonstration at hand can be weighed for {where}: the policy's"
            " log_likelihood is -inf for each of them, or NaN for one. Check that there"
            " is a demonstration, and the policy's parameters for NaN; then bound what"
            " is unlikely by likelihood_clip, such as (-12.0, 0.0)"
        )
    return None
