"""The factored gradient of a whole network against explicit gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import embeddings, errors, selectors
from tests import problems
from tests.embedding_problems import EXAMPLES, examples, small_mlp


def test_factors_are_the_gradients_of_each_layer():
    policy, params = small_mlp()
    embedding = embeddings.network_gradient(policy.layer_gradients)
    points = jax.jit(embedding.embed)(params, jax.random.key(0), *examples())
    gradient = jax.jit(jax.vmap(jax.grad(policy.loss), in_axes=(None, None, 0, 0, 0)))
    leaves = gradient(params, jax.random.key(0), *examples())["params"]

    names = ["hidden_0", "norms_0", "hidden_1", "norms_1", "head"]
    for name, layer in zip(names, points, strict=True):
        if isinstance(layer, embeddings.FactoredGradient):
            weight = layer.features[:, :, None] * layer.error[:, None, :]
            expected = leaves[name]["kernel"]
        else:
            weight, expected = layer.normalised * layer.error, leaves[name]["scale"]
        np.testing.assert_allclose(weight, expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(
            layer.error, leaves[name]["bias"], rtol=1e-4, atol=1e-4
        )


def test_kernel_is_that_of_the_explicit_gradients():
    policy, params = small_mlp()
    factored = embeddings.network_gradient(policy.layer_gradients)
    generic = embeddings.loss_gradient(policy.loss)

    def kernels(embedding):
        @jax.jit
        def compute(x, y):
            x = embedding.embed(params, jax.random.key(0), *x)
            y = embedding.embed(params, jax.random.key(0), *y)
            y = jax.tree.map(lambda leaf: leaf[:4], y)
            return embedding.kernel(x, y), embedding.diagonal(x), embedding.diagonal(y)

        return map(np.asarray, compute(examples(0), examples(1)))

    kernel, diagonal, _ = kernels(factored)
    expected, expected_x, expected_y = kernels(generic)
    size = np.sqrt(expected_x[:, None] * expected_y[None, :])
    assert kernel.shape == (EXAMPLES, 4)
    np.testing.assert_array_less(np.abs(kernel - expected) / size, 1e-4)
    np.testing.assert_allclose(diagonal, expected_x, rtol=1e-4)


def test_a_point_takes_the_widths_and_not_the_parameters():
    policy, params = small_mlp()
    embedding = embeddings.network_gradient(policy.layer_gradients)
    points = jax.eval_shape(embedding.embed, params, jax.random.key(0), *examples())
    # 5 inputs, hidden 6 and 5, 2 actions; inputs and outputs of every layer
    widths = (5 + 6) + (6 + 6) + (6 + 5) + (5 + 5) + (5 + 2)
    assert sum(leaf.size for leaf in jax.tree.leaves(points)) == EXAMPLES * widths


def test_kernels_by_hand():
    # scale and bias: gradients [3 x 2, 3 x -1, 2, -1] and [1 x 4, 0 x 1, 4, 1]
    x = embeddings.ElementwiseGradient(jnp.array([[3.0, 3.0]]), jnp.array([[2.0, -1]]))
    y = embeddings.ElementwiseGradient(jnp.array([[1.0, 0.0]]), jnp.array([[4.0, 1.0]]))
    np.testing.assert_allclose(x.kernel(y), [[31.0]])
    np.testing.assert_allclose(x.diagonal(), [50.0])
    # dense: outer([1, 2, 1], [3]) with itself is 54
    dense = embeddings.FactoredGradient(jnp.array([[1.0, 2.0]]), jnp.array([[3.0]]))
    np.testing.assert_allclose(
        embeddings.network_kernel((dense, x), (dense, y)), [[54.0 + 31.0]]
    )
    np.testing.assert_allclose(embeddings.network_diagonal((dense, x)), [104.0])


def test_the_selector_scores_as_with_explicit_gradients():
    policy, params = small_mlp()
    context = problems.tiny_context()._replace(params=params, embedding_params=params)

    def scores(embedding):
        selector = selectors.amf(embedding, None, weights="off")
        state = selector.init(context)
        _, _, info = jax.jit(selector.select)(jax.random.key(0), state, context)
        return np.asarray(info.scores)

    factored = scores(embeddings.network_gradient(policy.layer_gradients))
    explicit = scores(embeddings.loss_gradient(policy.loss))
    np.testing.assert_allclose(factored, explicit, rtol=1e-3)


@pytest.mark.parametrize("name", ["network_gradient", "projected_gradient"])
def test_policies_that_do_not_tell_their_layers(name):
    build = getattr(embeddings, name)
    with pytest.raises(errors.InvalidArgumentError, match=r"None.*use loss_gradient"):
        build(None)
    embedding = build(lambda *_: [(jnp.ones(3), jnp.ones(2))])
    with pytest.raises(errors.InvalidArgumentError, match=r"FactoredGradient.*tuple"):
        embedding.embed(None, jax.random.key(0), *examples())
