"""The multi-layer perceptron policy: 2 x 256 with LayerNorm (appendix M.3.2)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from amf_jax import ranges
from amf_jax.dtypes import compute_dtype
from amf_jax.embeddings import ElementwiseGradient, FactoredGradient
from amf_jax.policies.base import LayeredPolicy
from amf_jax.windows import Window


class MLP(nn.Module):
    """Dense layers with LayerNorm and ReLU, then a dense head.

    Attributes:
      action_size: width A of the output, or K A of a chunk.
      features: width of each hidden layer.
      dropout_rate: probability with which a hidden unit is dropped after its
        activation; above 0 it takes a random stream named "dropout".
    """

    action_size: int
    features: Sequence[int] = (256, 256)
    dropout_rate: float = 0.0

    def setup(self):
        self.hidden = [nn.Dense(width) for width in self.features]
        self.norms = [nn.LayerNorm() for _ in self.features]
        self.head = nn.Dense(self.action_size)
        self.normalise = nn.LayerNorm(use_bias=False, use_scale=False)
        self.dropout = nn.Dropout(self.dropout_rate, deterministic=False)

    def embed(self, inputs: Float[Array, "*batch I"]) -> Float[Array, "*batch d"]:
        """Activations that enter the head."""
        return self._finish(self.hidden[0](inputs))

    def _finish(self, outputs: Float[Array, "*batch k"]) -> Float[Array, "*batch d"]:
        """From the output of the first dense layer to what enters the head."""
        inputs = self.dropout(nn.relu(self.norms[0](outputs)))
        for dense, norm in zip(self.hidden[1:], self.norms[1:], strict=True):
            inputs = self.dropout(nn.relu(norm(dense(inputs))))
        return inputs

    def project(self, tasks: Float[Array, "*batch D"]) -> Float[Array, "*batch k"]:
        """What tasks, which are last among the inputs, add to the first layer."""
        kernel = self.hidden[0].variables["params"]["kernel"]
        return tasks @ kernel[kernel.shape[0] - tasks.shape[-1] :]

    def joined(
        self, states: Float[Array, "*batch S"], projected: Float[Array, "*batch k"]
    ) -> Float[Array, "*batch A"]:
        """The output for inputs `[states, tasks]`, given what the tasks add."""
        first = self.hidden[0].variables["params"]
        outputs = states @ first["kernel"][: states.shape[-1]] + projected
        return self.head(
            self._finish(outputs + jnp.broadcast_to(first["bias"], outputs.shape))
        )

    def __call__(self, inputs: Float[Array, "*batch I"]) -> Float[Array, "*batch A"]:
        return self.head(self.embed(inputs))

    def layers(
        self, inputs: Float[Array, " I"], offsets: Sequence[Array]
    ) -> tuple[Float[Array, " A"], list[Array]]:
        """The forward pass without dropout, opened up for gradients layer by layer.

        Args:
          inputs: of one example.
          offsets: added to the output of each layer in turn (dense, norm, ..., head).
            At zero, the gradient for an offset is the gradient for the layer's output.

        Returns:
          The output, and what multiplies each layer's parameters: what enters a dense
          layer, and what a norm scales.
        """
        offset = iter(offsets)
        multiplied = []
        for dense, norm in zip(self.hidden, self.norms, strict=True):
            outputs = dense(inputs) + next(offset)
            multiplied += [inputs, self.normalise(outputs)]
            inputs = nn.relu(norm(outputs) + next(offset))
        return self.head(inputs) + next(offset), [*multiplied, inputs]


class EncodedTask(NamedTuple):
    """What `Policy.encode_task` makes of a task.

    Attributes:
      projected: what it adds to the output of the first layer.
    """

    projected: Float[Array, "*batch k"]


def policy(
    observation_mean: Any,
    observation_std: Any,
    task_size: int,
    action_size: int,
    *,
    features: Sequence[int] = (256, 256),
    likelihood_std: float = 1.0,
    observation_horizon: int = 1,
    action_chunk: int = 1,
    executed_steps: int | None = None,
) -> LayeredPolicy:
    """A deterministic MLP of the normalised state and the task vector.

    The loss of one example is `|pi(s, c) - a|^2`, of a chunk its mean over the recorded
    steps. For likelihoods the output is the mean of a Gaussian with a fixed scale
    (appendix M.3.3). Dropout, after each hidden activation, is in `stochastic` alone:
    training and actions know none.

    Args:
      observation_mean: fixed normaliser of the environment, of the shape of what is
        observed in one step: a vector, or a pytree whose leaves go in side by side.
      observation_std: the same; positive.
      task_size: width D of a task vector.
      action_size: width A of an action.
      features: hidden widths.
      likelihood_std: standard deviation of the Gaussian, in units of the actions.
      observation_horizon: observations that go in side by side, see `windows.Window`.
      action_chunk: actions that come out at once.
      executed_steps: of a chunk; None is all.

    Raises:
      InvalidArgumentError: for a standard deviation that is not positive and finite, a
        mean that is not finite, a width below 1, or a window that there cannot be.
    """
    ranges.check("likelihood_std", likelihood_std, ranges.POSITIVE)
    for leaf in jax.tree.leaves(observation_std):
        ranges.check_all("observation_std", leaf, ranges.POSITIVE)
    for leaf in jax.tree.leaves(observation_mean):
        ranges.check_all("observation_mean", leaf, ranges.FINITE)
    ranges.check("number of features", len(features), ranges.COUNT)
    for width in (task_size, action_size, *features):
        ranges.check("each width", width, ranges.COUNT)
    window = Window(observation_horizon, action_chunk, executed_steps)
    dtype = compute_dtype(observation_mean, observation_std)
    mean, std = jax.tree.map(
        lambda leaf: jnp.asarray(leaf, dtype), (observation_mean, observation_std)
    )
    state_size = observation_horizon * sum(leaf.size for leaf in jax.tree.leaves(mean))
    output_size = action_chunk * action_size
    module = MLP(output_size, tuple(features))
    widths = [width for hidden in features for width in (hidden, hidden)]
    kinds = (FactoredGradient, ElementwiseGradient) * len(features)

    def normalise(observations):
        def one(leaf, mean, std):
            shape = leaf.shape
            centred = leaf - jnp.broadcast_to(mean, shape)
            values = centred / jnp.broadcast_to(std, shape)
            batch = len(shape) - mean.ndim - (observation_horizon > 1)
            return values.reshape(*shape[:batch], -1)

        leaves = jax.tree.leaves(jax.tree.map(one, observations, mean, std))
        return leaves[0] if len(leaves) == 1 else jnp.concatenate(leaves, axis=-1)

    def inputs(observations, tasks):
        return jnp.concatenate([normalise(observations), tasks], axis=-1)

    def shaped(outputs):
        if action_chunk == 1:
            return outputs
        return outputs.reshape(*outputs.shape[:-1], action_chunk, action_size)

    def init(key):
        return module.init(key, jnp.zeros((state_size + task_size,), dtype))

    def encode_task(params, task):
        return EncodedTask(jnp.asarray(module.apply(params, task, method=MLP.project)))

    def respond(params, observations, tasks):
        if isinstance(tasks, EncodedTask):
            states = normalise(observations)
            return module.apply(params, states, tasks.projected, method=MLP.joined)
        return module.apply(params, inputs(observations, tasks))

    def act(params, key, observations, tasks):
        del key  # deterministic
        return shaped(respond(params, observations, tasks))

    def distance(outputs, action):
        if action_chunk == 1:
            return jnp.sum((outputs - action) ** 2)
        error = jnp.where(action.mask[:, None], shaped(outputs) - action.actions, 0.0)
        return jnp.sum(error**2) / jnp.maximum(action.mask.sum(), 1)

    def loss(params, key, observation, action, task):
        del key
        return distance(respond(params, observation, task), action)

    def log_likelihood(params, observations, actions, tasks):
        means = shaped(respond(params, observations, encode_task(params, tasks)))
        wanted = actions if action_chunk == 1 else actions.actions
        steps = jax.scipy.stats.norm.logpdf(wanted, means, likelihood_std).sum(axis=-1)
        if action_chunk == 1:
            return steps
        return jnp.where(actions.mask, steps, 0.0).sum(axis=-1)

    def last_layer(params, key, observation, action, task):
        del key
        features = module.apply(params, inputs(observation, task), method=MLP.embed)
        return features, jax.grad(distance)(respond(params, observation, task), action)

    def layer_gradients(params, key, observation, action, task):
        del key

        def displaced_loss(offsets):
            entering = inputs(observation, task)
            outputs, multiplied = module.apply(
                params, entering, offsets, method=MLP.layers
            )
            return distance(outputs, action), multiplied

        zeros = [
            jnp.zeros((width,), compute_dtype(action))
            for width in (*widths, output_size)
        ]
        gradients, multiplied = jax.grad(displaced_loss, has_aux=True)(zeros)
        return tuple(
            kind(factor, gradient)
            for kind, factor, gradient in zip(
                (*kinds, FactoredGradient), multiplied, gradients, strict=True
            )
        )

    def stochastic(params, key, observation, task, rate):
        dropping = module.clone(dropout_rate=rate)
        return dropping.apply(params, inputs(observation, task), rngs={"dropout": key})

    return LayeredPolicy(
        loss=loss,
        act=act,
        log_likelihood=log_likelihood,
        init=init,
        encode_task=encode_task,
        window=window,
        last_layer=last_layer,
        layer_gradients=layer_gradients,
        stochastic=stochastic,
    )
