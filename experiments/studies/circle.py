"""Tasks of the integrator by their angle, and demonstrations of many at once."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from amf_jax import demonstrations
from amf_jax.demonstrations import Demonstrations
from experiments.suites import integrator


def demonstrate_each(seed: tuple[int, ...], tasks: Iterable[Any]) -> Demonstrations:
    """One demonstration of each task, an evaluation task's index or any goal."""
    return demonstrations.stack(
        [integrator.demonstrate((*seed, i), task, 1) for i, task in enumerate(tasks)]
    )


def angles(count: int) -> np.ndarray:
    """Evenly spaced angles in radians, from 0 on."""
    return 2.0 * np.pi * np.arange(count) / count


def goals(angles: np.ndarray) -> np.ndarray:
    """The tasks `[N, 2]` at these angles."""
    return integrator.RADIUS * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
