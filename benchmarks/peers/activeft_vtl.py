"""activeft's VTL: a batch that leaves the targets the least variance, greedily."""

from collections.abc import Callable

import numpy as np
import torch
from activeft.acquisition_functions.vtl import VTL

from benchmarks.peers.torch_network import tensor


def greedy(
    points: np.ndarray, targets: np.ndarray, batch: int, noise_variance: float
) -> Callable[[], np.ndarray]:
    """Rows of `points` in the order in which they are chosen."""
    data = tensor(points)
    rule = VTL(
        tensor(targets),
        noise_std=noise_variance**0.5,
        mini_batch_size=len(points) + 1,  # all at once: the exact rule
    )

    def select() -> np.ndarray:
        chosen, _ = rule.select(batch, None, data, torch.device(data.device))
        return chosen.numpy()

    return select
