"""Options of the `amf` selector: which are out of range or contradict each other."""

from collections.abc import Callable
from typing import Any

from amf_jax import cost, criteria, errors, importance, ranges
from amf_jax.embeddings import Embedding


def check_choices(
    criterion: str,
    weights: str,
    log_likelihood: Callable | None,
    finite_tasks: bool,
    trajectory_samples: int | None,
) -> None:
    """Raises if a name is unknown or the weights cannot be had."""
    errors.check_name("criterion", criterion, criteria.CRITERIA)
    errors.check_name("weights", weights, importance.MODES)
    if weights in importance.ESTIMATORS and log_likelihood is None:
        raise errors.InvalidArgumentError(
            f"weights={weights!r} needs the policy's log_likelihood, which is None; a"
            " strictly deterministic policy takes weights='deterministic'"
        )
    if weights == "deterministic" and not finite_tasks:
        raise errors.InvalidArgumentError(
            "weights='deterministic' matches demonstrations by task id and needs a"
            " finite task set; a continuous one takes weights='self_normalised'"
        )
    if weights == "deterministic" and trajectory_samples is not None:
        raise errors.InvalidArgumentError(
            "weights='deterministic' needs trajectory_samples=None: a sample may leave"
            " out the only demonstration of a task"
        )


def check_flags(**flags: Any) -> None:
    """Raises for the first option that is neither True nor False."""
    for name, value in flags.items():
        ranges.check_flag(name, value)


def check_diagonal(
    embedding: Embedding, criterion: str, normalise_kernel: bool
) -> None:
    """Raises if variances of single points are needed and the kernel gives none."""
    if embedding.diagonal is not None:
        return
    if criteria.CRITERIA[criterion].needs_diagonal:
        raise errors.InvalidArgumentError(
            f"criterion={criterion!r} takes the logarithm of each point's variance and"
            " needs embedding.diagonal, which is None; use an embedding with a diagonal"
            " or amf with criterion='variance'"
        )
    if normalise_kernel:
        raise errors.InvalidArgumentError(
            "normalise_kernel=True divides by the mean of embedding.diagonal, which is"
            " None; use an embedding with a diagonal or normalise_kernel=False"
        )


def check_path(path: str | None, embedding: Embedding, criterion: str) -> None:
    """Raises if the path is unknown or cannot be taken."""
    if path is not None:
        errors.check_name("path", path, cost.PATHS)
    if path == "feature" and (criterion != "variance" or embedding.features is None):
        raise errors.InvalidArgumentError(
            f"path='feature' needs criterion='variance', got {criterion!r}, and an"
            " embedding with features; use path='gram' or None"
        )


def check_ranges(
    noise_variance: float,
    likelihood_clip: tuple[float, float] | None,
    trajectory_samples: int | None,
    weight_tolerance: float | None,
    blocks_at_a_time: int | None,
    memory_limit: int | None,
) -> None:
    """Raises if a number is outside its range."""
    ranges.check("noise_variance", noise_variance, ranges.POSITIVE)
    ranges.check_interval("likelihood_clip", likelihood_clip)
    counts = dict(
        trajectory_samples=trajectory_samples, blocks_at_a_time=blocks_at_a_time
    )
    for name, value in counts.items():
        ranges.check(name, value, ranges.COUNT, optional=True)
    ranges.check(
        "weight_tolerance", weight_tolerance, ranges.PROPER_SHARE, optional=True
    )
    ranges.check("memory_limit", memory_limit, ranges.POSITIVE, optional=True)
