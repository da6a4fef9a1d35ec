"""The policy seam: parameters plus pure functions, from any framework."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array

Params = Any  # any pytree


class Policy(NamedTuple):
    """A multi-task policy as pure functions of its parameters.

    Only `loss` and `act` are required; what is None switches off the features that
    need it, with an error that says so.

    Attributes:
      init: `(key) -> params`. None when the caller brings the parameters.
      loss: `(params, key, observation [S], action [A], task [D]) -> scalar`, the
        behaviour-cloning loss of one example.
      act: `(params, key, observations [..., S], tasks [..., D]) -> actions [..., A]`.
      log_likelihood: `(params, observations [..., S], actions [..., A], tasks [..., D])
        -> [...]`, log pi(a | s, c) of each step. None for a strictly deterministic
        policy.
      last_layer: `(params, key, observation [S], action [A], task [D]) ->
        (features [d], error [A])` such that the gradient of `loss` with respect to the
        last layer's kernel and bias is `outer([features, 1], error)`. None where the
        last layer is not dense.
      layer_gradients: `(params, key, observation [S], action [A], task [D]) ->
        (layer, ...)`, the gradient of `loss` with respect to all parameters in factors:
        an `embeddings.FactoredGradient` for each dense layer with a bias and an
        `embeddings.ElementwiseGradient` for each scale with a bias. None where the
        network has other parameters.
      stochastic: `(params, key, observation [S], task [D], rate) -> action [A]`, the
        policy with each hidden unit dropped with probability `rate`, a Python number.
        The key alone decides which: it draws one network, the same for every input.
        None for a policy without dropout.
      batch_loss: `(params, key, observations [B, S], actions [B, A], tasks [N, D],
        rows [B]) -> scalar`, the mean of `loss` over a batch of examples that share a
        few task vectors: example b is of task `tasks[rows[b]]`. None where there is
        nothing to save by it.
    """

    loss: Callable[..., Array]
    act: Callable[..., Array]
    init: Callable[[Array], Params] | None = None
    log_likelihood: Callable[..., Array] | None = None
    last_layer: Callable[..., tuple[Array, Array]] | None = None
    layer_gradients: Callable[..., tuple] | None = None
    stochastic: Callable[..., Array] | None = None
    batch_loss: Callable[..., Array] | None = None
