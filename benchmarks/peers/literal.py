"""Eq. 4 as it is printed, in NumPy: a loop over candidate blocks and all pairs.

Nothing in here is the library's: not the network, the weights, the kernel or the
posterior. It is slow, and it is what the library's scores are compared with.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular
from scipy.special import log_softmax, logsumexp

from benchmarks.problems import Problem

_NORM_EPSILON = 1e-6

Layers = dict[str, dict[str, np.ndarray]]


def selection(
    problem: Problem, noise_variance: float, dtype: npt.DTypeLike = np.float32
) -> Callable[[], np.ndarray]:
    """Scores `[C]` of the candidate tasks: expected reduction of variance, no history.

    Args:
      problem: whose demonstrations are all real and of equal length.
      noise_variance: in units of the kernel divided by its weighted mean diagonal.
      dtype: that everything is computed in.
    """
    demos, tasks, task_weights, params = problem.context[:4]
    layers: Layers = {
        name: {leaf: np.asarray(value, dtype) for leaf, value in layer.items()}
        for name, layer in params["params"].items()
    }
    observations: np.ndarray = np.asarray(demos.observations, dtype)
    actions: np.ndarray = np.asarray(demos.actions, dtype)
    vectors: np.ndarray = np.asarray(tasks, dtype)
    mu: np.ndarray = np.asarray(task_weights, dtype)
    ids = np.asarray(demos.task_ids)

    def scores() -> np.ndarray:
        features, means = _forward(layers, observations, vectors)
        errors = means - actions
        weights = _weights(errors, ids)
        extended = np.concatenate([features, np.ones_like(features[..., :1])], axis=-1)
        points = extended[..., :, None] * (2.0 * errors)[..., None, :]
        points = points.reshape(*extended.shape[:-1], -1)
        mass = mu[:, None] * weights
        squares = (points**2).sum(axis=(-2, -1))
        points /= np.sqrt((mass * squares).sum() / (mass.sum() * points.shape[2]))
        noise = (noise_variance * np.eye(points.shape[2])).astype(dtype)
        num_tasks, num_demos = weights.shape
        total: np.ndarray = np.zeros(num_tasks, dtype)
        for candidate in range(num_tasks):
            for shown in range(num_demos):
                block = points[candidate, shown]
                factor = np.linalg.cholesky(block @ block.T + noise)
                reduction = 0.0
                for task in range(num_tasks):
                    for demo in range(num_demos):
                        across = block @ points[task, demo].T
                        halves = solve_triangular(factor, across, lower=True)
                        reduction += mass[task, demo] * (halves**2).sum()
                total[candidate] += weights[candidate, shown] * reduction
        return total

    return scores


def _forward(layers: Layers, observations: np.ndarray, tasks: np.ndarray):
    """What enters the head, `[C, N, H, d]`, and the actions, `[C, N, H, A]`."""
    shape = (len(tasks), *observations.shape[:2])
    hidden = np.concatenate(
        [
            np.broadcast_to(observations, (*shape, observations.shape[-1])),
            np.broadcast_to(tasks[:, None, None], (*shape, tasks.shape[-1])),
        ],
        axis=-1,
    )
    for index in range(2):
        dense, norm = layers[f"hidden_{index}"], layers[f"norms_{index}"]
        outputs = hidden @ dense["kernel"] + dense["bias"]
        centred = outputs - outputs.mean(axis=-1, keepdims=True)
        variance = (centred**2).mean(axis=-1, keepdims=True)
        normalised = centred / np.sqrt(variance + _NORM_EPSILON)
        hidden = np.maximum(normalised * norm["scale"] + norm["bias"], 0.0)
    return hidden, hidden @ layers["head"]["kernel"] + layers["head"]["bias"]


def _weights(errors: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Self-normalised importance weights `[C, N]` (eq. 3) of a Gaussian of scale 1."""
    likelihoods = -0.5 * (errors**2).sum(axis=(-2, -1))
    mixture = logsumexp(likelihoods[ids], axis=0) - np.log(len(ids))
    return np.exp(log_softmax(likelihoods - mixture, axis=-1))
