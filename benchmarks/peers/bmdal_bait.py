"""bmdal_reg's BAIT: the same rule in feature space, for all points as targets."""

from collections.abc import Callable
from unittest import mock

import numpy as np
import torch
from bmdal_reg.bmdal.algorithms import select_batch
from bmdal_reg.bmdal.feature_data import TensorFeatureData

from benchmarks.peers.torch_network import tensor


def greedy(
    points: np.ndarray, targets: np.ndarray, batch: int, noise_variance: float
) -> Callable[[], np.ndarray]:
    """Rows of `points` in the order chosen; targets are `points` and `targets`."""
    data = {
        "pool": TensorFeatureData(tensor(points)),
        "train": TensorFeatureData(tensor(targets)),
    }

    def select() -> np.ndarray:
        # bmdal_reg 3.0.2 asks for np.Inf, which NumPy 2 has no longer.
        with mock.patch.object(np, "Inf", np.inf, create=True):
            chosen, _ = select_batch(
                batch,
                [torch.nn.Identity()],
                data,
                None,
                base_kernel="linear",
                kernel_transforms=[],
                selection_method="bait",
                bait_sigma=noise_variance**0.5,
                verbosity=0,
            )
        return chosen.cpu().numpy()

    return select
