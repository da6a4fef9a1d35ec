"""The multi-layer perceptron policy: 2 x 256 with LayerNorm (appendix M.3.2)."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from amf_jax import ranges
from amf_jax.dtypes import compute_dtype
from amf_jax.embeddings import ElementwiseGradient, FactoredGradient
from amf_jax.policies.base import Policy


class MLP(nn.Module):
    """Dense layers with LayerNorm and ReLU, then a dense head.

    Attributes:
      action_size: width A of the output.
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

    def shared(
        self,
        states: Float[Array, "B S"],
        tasks: Float[Array, "N D"],
        rows: Int[Array, " B"],
    ) -> Float[Array, "B A"]:
        """The output for inputs `[states, tasks[rows]]`, without repeating the tasks.

        Each task goes through the first layer once instead of once per example; where
        tasks are wide and few, that is most of the layer's work.
        """
        projected = self._project(tasks, states.shape[-1])
        # A product instead of indexing: its gradient is one as well, not a scatter.
        chosen = jax.nn.one_hot(rows, tasks.shape[0], dtype=projected.dtype) @ projected
        return self.head(self._finish(self._join(states, chosen)))

    def relabelled(
        self, states: Float[Array, "*batch S"], tasks: Float[Array, "*batch D"]
    ) -> Float[Array, "*batch A"]:
        """The output for inputs `[states, tasks]`, a layer of each.

        Under `vmap`, a task that is not mapped goes through the first layer once.
        """
        projected = self._project(tasks, states.shape[-1])
        return self.head(self._finish(self._join(states, projected)))

    def _project(self, tasks: Float[Array, "*batch D"], split: int) -> Array:
        """What tasks add to the output of the first layer."""
        return tasks @ self.hidden[0].variables["params"]["kernel"][split:]

    def _join(self, states: Float[Array, "*batch S"], projected: Array) -> Array:
        """The output of the first layer, given what the tasks add to it."""
        first = self.hidden[0].variables["params"]
        outputs = states @ first["kernel"][: states.shape[-1]]
        return outputs + projected + jnp.broadcast_to(first["bias"], outputs.shape)

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


def policy(
    observation_mean: Float[Array, " S"],
    observation_std: Float[Array, " S"],
    task_size: int,
    action_size: int,
    *,
    features: Sequence[int] = (256, 256),
    likelihood_std: float = 1.0,
) -> Policy:
    """A deterministic MLP of the normalised state and the task vector.

    The loss of one example is `|pi(s, c) - a|^2`. For likelihoods the output is the
    mean of a Gaussian with a fixed scale (appendix M.3.3). Dropout, after each hidden
    activation, is in `stochastic` alone: training and actions know none.

    Args:
      observation_mean: fixed normaliser of the environment.
      observation_std: the same; positive.
      task_size: width D of a task vector.
      action_size: width A of an action.
      features: hidden widths.
      likelihood_std: standard deviation of the Gaussian, in units of the actions.

    Raises:
      InvalidArgumentError: for a standard deviation that is not positive and finite, a
        mean that is not finite, or a width below 1.
    """
    ranges.check("likelihood_std", likelihood_std, ranges.POSITIVE)
    ranges.check_all("observation_std", observation_std, ranges.POSITIVE)
    ranges.check_all("observation_mean", observation_mean, ranges.FINITE)
    ranges.check("number of features", len(features), ranges.COUNT)
    for width in (task_size, action_size, *features):
        ranges.check("each width", width, ranges.COUNT)
    mean, std = (
        jnp.asarray(values, compute_dtype(observation_mean, observation_std))
        for values in (observation_mean, observation_std)
    )
    module = MLP(action_size, tuple(features))
    widths = [width for hidden in features for width in (hidden, hidden)]
    kinds = (FactoredGradient, ElementwiseGradient) * len(features)

    def normalise(observations):
        shape = observations.shape
        centred = observations - jnp.broadcast_to(mean, shape)
        return centred / jnp.broadcast_to(std, shape)

    def inputs(observations, tasks):
        return jnp.concatenate([normalise(observations), tasks], axis=-1)

    def init(key):
        return module.init(key, jnp.zeros((mean.shape[0] + task_size,), mean.dtype))

    def act(params, key, observations, tasks):
        del key  # deterministic
        return module.apply(params, inputs(observations, tasks))

    def loss(params, key, observation, action, task):
        return jnp.sum((act(params, key, observation, task) - action) ** 2)

    def batch_loss(params, key, observations, actions, tasks, rows):
        # Sharing costs a product with one column per task vector, shared or not.
        if len(tasks) < min(len(observations), task_size):
            outputs = module.apply(
                params, normalise(observations), tasks, rows, method=MLP.shared
            )
        else:
            outputs = act(params, key, observations, tasks[rows])
        return jnp.sum((outputs - actions) ** 2, axis=-1).mean()

    def log_likelihood(params, observations, actions, tasks):
        states = normalise(observations)
        means = jnp.asarray(module.apply(params, states, tasks, method=MLP.relabelled))
        steps = jax.scipy.stats.norm.logpdf(actions, means, likelihood_std)
        return steps.sum(axis=-1)

    def last_layer(params, key, observation, action, task):
        features = module.apply(params, inputs(observation, task), method=MLP.embed)
        error = 2.0 * (act(params, key, observation, task) - action)
        return features, error

    def layer_gradients(params, key, observation, action, task):
        del key

        def displaced_loss(offsets):
            entering = inputs(observation, task)
            outputs, multiplied = module.apply(
                params, entering, offsets, method=MLP.layers
            )
            return jnp.sum((outputs - action) ** 2), multiplied

        zeros = [
            jnp.zeros((width,), compute_dtype(action))
            for width in (*widths, action_size)
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

    return Policy(
        loss,
        act,
        init,
        log_likelihood,
        last_layer,
        layer_gradients,
        stochastic,
        batch_loss,
    )
