"""One selection in PyTorch: eq. 4 over explicit gradients, batched or in loops."""

from collections.abc import Callable

import numpy as np
import torch
from torch.func import functional_call, grad, vmap

from benchmarks.peers.torch_network import Network, port, tensor
from benchmarks.problems import Problem


def batched(problem: Problem, noise_variance: float) -> Callable[[], np.ndarray]:
    """Scores `[C]`: one covariance matrix of all points, and batched solves."""
    return _selection(problem, noise_variance, _batched_scores)


def literal(problem: Problem, noise_variance: float) -> Callable[[], np.ndarray]:
    """Scores `[C]`: a loop over candidate blocks and all pairs."""
    return _selection(problem, noise_variance, _literal_scores)


def _selection(problem: Problem, noise_variance: float, score: Callable):
    demos, tasks, task_weights, params = problem.context[:4]
    network = port(params)
    observations, actions = tensor(demos.observations), tensor(demos.actions)
    vectors, mu = tensor(tasks), tensor(task_weights)
    ids = tensor(demos.task_ids, torch.long)
    shape = (len(vectors), *actions.shape[:2])

    def select() -> np.ndarray:
        inputs = torch.cat(
            [
                observations.expand(*shape, -1),
                vectors[:, None, None].expand(*shape, -1),
            ],
            dim=-1,
        )
        labels = actions.expand(*shape, -1)
        with torch.no_grad():
            weights = _weights(network(inputs), labels, ids)
        points = _gradients(network, inputs.flatten(0, 2), labels.flatten(0, 2))
        points = points.unflatten(0, shape)
        mass = mu[:, None] * weights
        squares = (points**2).sum(dim=(-2, -1))
        scale = (mass * squares).sum() / (mass.sum() * shape[2])
        return score(points, weights, mass, scale, noise_variance).cpu().numpy()

    return select


def _gradients(network: Network, inputs, labels) -> torch.Tensor:
    """Gradient of each example's loss for the head's parameters, `[M, p]`."""
    parameters = {name: leaf.detach() for name, leaf in network.named_parameters()}
    head = {name: leaf for name, leaf in parameters.items() if name.startswith("head")}

    def loss(head, one, label):
        outputs = functional_call(network, parameters | head, (one,))
        return ((outputs - label) ** 2).sum()

    each = vmap(grad(loss), in_dims=(None, 0, 0))(head, inputs, labels)
    return torch.cat([each["head.weight"].flatten(1), each["head.bias"]], dim=1)


def _weights(means, labels, ids) -> torch.Tensor:
    """Self-normalised importance weights `[C, N]` (eq. 3) of a Gaussian of scale 1."""
    likelihoods = -0.5 * ((means - labels) ** 2).sum(dim=(-2, -1))
    mixture = torch.logsumexp(likelihoods[ids], dim=0) - np.log(len(ids))
    return torch.softmax(likelihoods - mixture, dim=-1)


def _batched_scores(points, weights, mass, scale, noise_variance) -> torch.Tensor:
    num_tasks, num_demos, horizon, _ = points.shape
    blocks = points.flatten(0, 1)
    flat = points.flatten(0, 2)
    across = (flat @ flat.T / scale).unflatten(0, (num_tasks * num_demos, horizon))
    within = blocks @ blocks.mT / scale
    factors = torch.linalg.cholesky(within + noise_variance * _eye(points))
    halves = torch.linalg.solve_triangular(factors, across, upper=False)
    step_mass = mass.flatten().repeat_interleave(horizon)
    reduction = (halves**2).sum(dim=1) @ step_mass
    return (weights * reduction.unflatten(0, (num_tasks, num_demos))).sum(dim=1)


def _literal_scores(points, weights, mass, scale, noise_variance) -> torch.Tensor:
    num_tasks, num_demos = weights.shape
    total = torch.zeros(num_tasks, device=points.device)
    noise = noise_variance * _eye(points)
    for candidate in range(num_tasks):
        for shown in range(num_demos):
            block = points[candidate, shown]
            factor = torch.linalg.cholesky(block @ block.T / scale + noise)
            reduction = torch.zeros((), device=points.device)
            for task in range(num_tasks):
                for demo in range(num_demos):
                    across = block @ points[task, demo].T / scale
                    halves = torch.linalg.solve_triangular(factor, across, upper=False)
                    reduction += mass[task, demo] * (halves**2).sum()
            total[candidate] += weights[candidate, shown] * reduction
    return total


def _eye(points) -> torch.Tensor:
    return torch.eye(points.shape[2], device=points.device)
