"""The policy seam: parameters plus pure functions, from any framework."""

import dataclasses
from collections.abc import Callable
from typing import Any

from jaxtyping import Array

from amf_jax.windows import STEP, Likelihood, Window

Params = Any  # any pytree


@dataclasses.dataclass(frozen=True, kw_only=True)
class Policy:
    """A multi-task policy as pure functions of its parameters.

    An observation is a vector `[S]` or any pytree, as in `Demonstrations`. Where the
    window is more than a step, it has an axis of To in front, and an action is a
    `windows.Chunk`.

    Only `loss` and `act` are required; what is None switches off the features that
    need it, with an error that says so.

    Attributes:
      loss: `(params, key, observation, action, task [D]) -> scalar`, the
        behaviour-cloning loss of one example.
      act: `(params, key, observations [...], tasks [..., D]) -> actions [..., A]`, or
        `[..., K, A]`; batched over leading axes.
      log_likelihood: `(params, observations [...], actions [...], tasks [..., D]) ->
        [...]`, log pi(a | s, c) of each step, or of the unmasked part of each chunk.
        None for a strictly deterministic policy. Where the window is more than a step,
        it becomes a `windows.Likelihood`, so that nobody has to be told of the window.
      init: `(key) -> params`. None when the caller brings the parameters.
      encode_task: `(params, task [D]) -> pytree`, what the policy makes of a task
        alone. `loss` takes it in place of the vector, so that training computes it once
        per task and not once per example. None where there is nothing to save by it.
      window: how many steps it looks back, predicts and executes.
    """

    loss: Callable[..., Array]
    act: Callable[..., Array]
    log_likelihood: Callable[..., Array] | None = None
    init: Callable[[Array], Params] | None = None
    encode_task: Callable[..., Any] | None = None
    window: Window = STEP

    def __post_init__(self):
        given = self.log_likelihood
        if self.window != STEP and given and not isinstance(given, Likelihood):
            told = Likelihood(given, self.window)
            object.__setattr__(self, "log_likelihood", told)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayeredPolicy(Policy):
    """A policy that tells more of its layers than its loss does, for embeddings.

    Attributes:
      last_layer: `(params, key, observation, action, task [D]) -> (features [d], error
        [o])` such that the gradient of `loss` with respect to the last layer's kernel
        and bias is `outer([features, 1], error)`. None where the last layer is not
        dense.
      layer_gradients: `(params, key, observation, action, task [D]) -> (layer, ...)`,
        the gradient of `loss` with respect to all parameters in factors: an
        `embeddings.FactoredGradient` for each dense layer with a bias and an
        `embeddings.ElementwiseGradient` for each scale with a bias. None where the
        network has other parameters.
      stochastic: `(params, key, observation, task [D], rate) -> action`, the policy
        with each hidden unit dropped with probability `rate`, a Python number. The key
        alone decides which: it draws one network, the same for every input. None for a
        policy without dropout.
    """

    last_layer: Callable[..., tuple[Array, Array]] | None = None
    layer_gradients: Callable[..., tuple] | None = None
    stochastic: Callable[..., Array] | None = None
