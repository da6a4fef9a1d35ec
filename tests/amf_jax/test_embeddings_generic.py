"""The generic loss gradient on networks other than the library's own."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from amf_jax import embeddings

EXAMPLES, PIXELS, TASK_SIZE, ACTION_SIZE = 5, 6, 3, 2


class Convolutional(nn.Module):
    """A convolution over the image; the task enters through a dense layer."""

    @nn.compact
    def __call__(self, observation, task):
        image = observation.reshape(PIXELS, PIXELS, 1)
        image = nn.relu(nn.Conv(3, kernel_size=(3, 3), strides=2)(image))
        hidden = nn.Dense(4)(image.ravel()) + nn.Dense(4)(task)
        return nn.Dense(ACTION_SIZE)(nn.tanh(hidden))


class Attention(nn.Module):
    """Self-attention over the rows of the image and the task as one more token."""

    @nn.compact
    def __call__(self, observation, task):
        rows = nn.Dense(4)(observation.reshape(PIXELS, PIXELS))
        tokens = jnp.concatenate([rows, nn.Dense(4)(task)[None]])
        attended = nn.MultiHeadDotProductAttention(num_heads=2)(tokens)
        return nn.Dense(ACTION_SIZE)(nn.LayerNorm()(tokens + attended).mean(axis=0))


def examples():
    rng = np.random.default_rng(0)
    sizes = PIXELS * PIXELS, ACTION_SIZE, TASK_SIZE
    return [
        jnp.asarray(rng.normal(size=(EXAMPLES, size)), jnp.float32) for size in sizes
    ]


@pytest.mark.parametrize("module", [Convolutional(), Attention()], ids=["conv", "attn"])
def test_loss_gradient_is_the_gradient_of_each_example(module):
    observations, actions, tasks = examples()
    params = jax.jit(module.init)(jax.random.key(0), observations[0], tasks[0])

    def loss(params, key, observation, action, task):
        del key
        return jnp.sum((module.apply(params, observation, task) - action) ** 2)

    gradient = jax.jit(jax.grad(loss))
    expected = np.stack(
        [
            ravel_pytree(gradient(params, None, *example))[0]
            for example in zip(observations, actions, tasks, strict=True)
        ]
    )
    for microbatch_size in (None, 2):
        embedding = embeddings.loss_gradient(loss, microbatch_size=microbatch_size)
        points = jax.jit(embedding.embed)(
            params, jax.random.key(0), observations, actions, tasks
        )
        np.testing.assert_allclose(points, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        embedding.kernel(points, points[:2]), expected @ expected[:2].T, rtol=1e-4
    )
    np.testing.assert_allclose(
        embedding.diagonal(points), np.sum(expected**2, axis=1), rtol=1e-4
    )
