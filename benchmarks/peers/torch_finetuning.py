"""Behaviour cloning in PyTorch: the usual loop over minibatches."""

from collections.abc import Callable

import numpy as np
import torch

from amf_jax.demonstrations import Demonstrations
from benchmarks.peers.torch_network import port, tensor


def loop(
    params,
    demos: Demonstrations,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
) -> Callable[[], np.ndarray]:
    """Trains from `params` anew with every call; returns the last minibatch's loss.

    AdamW with its default settings, a cosine schedule from `learning_rate` to zero, and
    minibatches drawn uniformly from all recorded steps.
    """
    recorded = tensor(demos.step_mask & demos.demo_mask[:, None])
    tasks = tensor(demos.tasks)[:, None].expand(*recorded.shape, -1)
    inputs = torch.cat([tensor(demos.observations), tasks], dim=-1)[recorded]
    actions = tensor(demos.actions)[recorded]

    def train() -> np.ndarray:
        network = port(params)
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=learning_rate, weight_decay=weight_decay
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            rows = torch.randint(len(inputs), (batch_size,), device=inputs.device)
            optimizer.zero_grad()
            errors = network(inputs[rows]) - actions[rows]
            loss = (errors**2).sum(dim=-1).mean()
            loss.backward()
            optimizer.step()
            schedule.step()
        return loss.detach().cpu().numpy()

    return train
