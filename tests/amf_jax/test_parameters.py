"""Parameters that are no numbers to train, as random keys in a Flax NNX model are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from amf_jax import (
    embeddings,
    errors,
    finetune,
    learners,
    mixing,
    parameters,
    regularisers,
)
from amf_jax.policies.base import Policy
from tests import problems


class Network(nnx.Module):
    """A layer with dropout, whose state holds a random key and a counter."""

    def __init__(self, rngs):
        self.layer = nnx.Linear(5, 2, rngs=rngs)
        self.dropout = nnx.Dropout(0.0, rngs=rngs)

    def __call__(self, inputs):
        return self.layer(self.dropout(inputs))


DEFINITION, START = nnx.split(Network(nnx.Rngs(0)))
TINY = problems.tiny_policy()


def act(params, key, observations, tasks):
    inputs = jnp.concatenate([observations, tasks], axis=-1)
    return nnx.merge(DEFINITION, params)(inputs)


def loss(params, key, observation, action, task):
    return jnp.sum((act(params, key, observation, task) - action) ** 2)


POLICY = Policy(loss=loss, act=act)


def weights(params):
    """The layer's, as the tiny policy holds them."""
    layer = nnx.to_pure_dict(params)["layer"]
    return {"kernel": layer["kernel"], "bias": layer["bias"]}


def carried(params):
    """What is no weight: the key and how often it was used."""
    rngs = nnx.to_pure_dict(params)["dropout"]["rngs"]
    return jax.random.key_data(rngs["key"]), rngs["count"]


def assert_close(actual, expected):
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, 1e-4, 1e-5),
        actual,
        expected,
    )


def test_what_is_trained_is_what_is_floating():
    held = parameters.trainable(START)
    assert sorted(leaf.shape for leaf in jax.tree.leaves(held)) == [(2,), (5, 2)]
    doubled = jax.tree.map(lambda leaf: 2 * leaf, held)
    whole = parameters.merged(doubled, START)
    assert jax.tree.structure(whole) == jax.tree.structure(START)
    assert_close(weights(whole), jax.tree.map(lambda leaf: 2 * leaf, weights(START)))
    jax.tree.map(np.testing.assert_array_equal, carried(whole), carried(START))


@pytest.mark.parametrize("regulariser", ["none", "l2", "ewc"])
def test_learners_train_the_weights_and_carry_the_rest(regulariser):
    def rounds(policy, start):
        rules = {
            "none": None,
            "l2": regularisers.l2(0.5),
            "ewc": regularisers.ewc(policy, 0.5, 8),
        }
        training = learners.Training(5, finetune.constant(0.05), batch_size=8)
        learner = learners.gradient_learner(
            policy,
            finetune.adamw_direction(),
            training,
            training,
            mixing=mixing.closed_form(3),
            regulariser=rules[regulariser],
            initial_params=start,
        )
        state = learner.init(jax.random.key(0), None)
        demos = problems.tiny_demos(0, (0, 1, 2), capacity=4)
        return jax.jit(learner.update)(jax.random.key(1), state, demos)[0]

    state, expected = rounds(POLICY, START), rounds(TINY, weights(START))
    assert_close(weights(state.params), expected.params)
    assert_close(state.mixing, expected.mixing)
    jax.tree.map(np.testing.assert_array_equal, carried(state.params), carried(START))


def test_the_state_of_all_parameters_is_refused():
    optimizer = finetune.adamw_direction()
    counted = {"kernel": jnp.ones(2), "count": jnp.uint32(1)}
    with pytest.raises(errors.InvalidArgumentError, match=r"trainable\(params\)"):
        finetune.finetune(
            lambda params, *example: 0.0,
            optimizer,
            finetune.constant(0.1),
            jax.random.key(0),
            counted,
            optimizer.init(counted),
            problems.tiny_demos(),
            1,
        )


def test_loss_gradients_are_those_of_the_weights():
    # Its parameters come in the order of their names: bias, kernel.
    demos = problems.tiny_demos()
    points = [
        embeddings.embed_demonstration(
            embeddings.loss_gradient(given.loss), params, jax.random.key(0), demos, 0
        )
        for given, params in ((POLICY, START), (TINY, weights(START)))
    ]
    np.testing.assert_allclose(*points, rtol=1e-4, atol=1e-5)
