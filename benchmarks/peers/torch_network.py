"""The MLP policy in PyTorch, with the same parameters."""

import jax
import numpy as np
import torch
from torch import nn

_NORM_EPSILON = 1e-6  # flax's, not PyTorch's


class Network(nn.Module):
    """Dense layers with LayerNorm and ReLU, then a dense head."""

    def __init__(self, widths: list[int], action_size: int):
        super().__init__()
        self.hidden = nn.ModuleList(
            nn.Linear(inner, outer)
            for inner, outer in zip(widths[:-1], widths[1:], strict=True)
        )
        self.norms = nn.ModuleList(
            nn.LayerNorm(width, eps=_NORM_EPSILON) for width in widths[1:]
        )
        self.head = nn.Linear(widths[-1], action_size)

    def embed(self, inputs: torch.Tensor) -> torch.Tensor:
        """Activations that enter the head."""
        for dense, norm in zip(self.hidden, self.norms, strict=True):
            inputs = torch.relu(norm(dense(inputs)))
        return inputs

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.head(self.embed(inputs))


def device() -> torch.device:
    """The one that JAX computes on, if PyTorch can use it; the CPU otherwise."""
    on_gpu = jax.default_backend() == "gpu" and torch.cuda.is_available()
    return torch.device("cuda" if on_gpu else "cpu")


def tensor(array, dtype: torch.dtype | None = None) -> torch.Tensor:
    """A copy of a JAX or NumPy array."""
    return torch.tensor(np.asarray(array), dtype=dtype, device=device())


def port(params) -> Network:
    """A network with the parameters of `amf_jax.policies.mlp`."""
    layers = params["params"]
    depth = sum(name.startswith("hidden_") for name in layers)
    kernels = [layers[f"hidden_{i}"]["kernel"] for i in range(depth)]
    widths = [kernels[0].shape[0], *(kernel.shape[1] for kernel in kernels)]
    network = Network(widths, layers["head"]["kernel"].shape[1]).to(device())
    ours = [
        *((network.hidden[i], layers[f"hidden_{i}"]) for i in range(depth)),
        *((network.norms[i], layers[f"norms_{i}"]) for i in range(depth)),
        (network.head, layers["head"]),
    ]
    with torch.no_grad():
        for module, layer in ours:
            matrix = layer["kernel"].T if "kernel" in layer else layer["scale"]
            module.weight.copy_(tensor(matrix))
            module.bias.copy_(tensor(layer["bias"]))
    return network
