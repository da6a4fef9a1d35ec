"""The MLP policy: what dropout and the layers' factors leave untouched."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import errors, losses
from amf_jax.policies import mlp
from tests.embedding_problems import examples

MEAN, STD = jnp.array([0.5, -1.0, 0.0]), jnp.array([2.0, 0.5, 1.0])
FEATURES = 6, 5


class Plain(nn.Module):
    """The network of appendix M.3.2 and nothing else."""

    def setup(self):
        self.hidden = [nn.Dense(width) for width in FEATURES]
        self.norms = [nn.LayerNorm() for _ in FEATURES]
        self.head = nn.Dense(2)

    def __call__(self, inputs):
        for dense, norm in zip(self.hidden, self.norms, strict=True):
            inputs = nn.relu(norm(dense(inputs)))
        return self.head(inputs)


def plain_act(params, key, observation, task):
    del key
    inputs = jnp.concatenate([(observation - MEAN) / STD, task], axis=-1)
    return Plain().apply(params, inputs)


def plain_loss(params, key, observation, action, task):
    return jnp.sum((plain_act(params, key, observation, task) - action) ** 2)


def test_actions_and_training_know_no_dropout():
    policy = mlp.policy(MEAN, STD, 2, 2, features=FEATURES)
    params = jax.jit(policy.init)(jax.random.key(0))
    plain = jax.jit(Plain().init)(jax.random.key(0), jnp.zeros(5))
    jax.tree.map(np.testing.assert_array_equal, params, plain)

    observation, action, task = (array[0] for array in examples())
    np.testing.assert_array_equal(
        jax.jit(policy.act)(params, None, observation, task),
        jax.jit(plain_act)(params, None, observation, task),
    )
    jax.tree.map(
        np.testing.assert_array_equal,
        jax.jit(jax.grad(policy.loss))(params, None, observation, action, task),
        jax.jit(jax.grad(plain_loss))(params, None, observation, action, task),
    )
    # no random number is drawn and no mask is applied
    program = str(jax.make_jaxpr(policy.act)(params, None, observation, task))
    assert "random" not in program and "select" not in program


def test_dropout_acts_in_stochastic_alone():
    policy = mlp.policy(MEAN, STD, 2, 2, features=FEATURES)
    params = jax.jit(policy.init)(jax.random.key(0))
    observation, _, task = (array[0] for array in examples())
    plain = policy.act(params, None, observation, task)
    drawn = policy.stochastic(params, jax.random.key(1), observation, task, 0.5)
    assert np.abs(drawn - plain).max() > 1e-3
    kept = policy.stochastic(params, jax.random.key(1), observation, task, 0.0)
    np.testing.assert_array_equal(kept, plain)


@pytest.mark.parametrize("std", [0.0, -1.0, float("nan")])
def test_standard_deviations_must_be_positive(std):
    with pytest.raises(errors.InvalidArgumentError, match="likelihood_std"):
        mlp.policy(MEAN, STD, 2, 2, likelihood_std=std)
    with pytest.raises(errors.InvalidArgumentError, match="observation_std"):
        mlp.policy(MEAN, jnp.array([1.0, std, 1.0]), 2, 2)


@pytest.mark.parametrize(
    "changed", [dict(features=()), dict(features=(4, 0)), dict(task_size=-1)]
)
def test_widths_are_whole_numbers_of_at_least_one(changed):
    arguments = dict(task_size=2, action_size=2) | changed
    with pytest.raises(errors.InvalidArgumentError, match="must be a whole number, at"):
        mlp.policy(MEAN, STD, **arguments)


@pytest.mark.parametrize(("num_tasks", "shared_layer"), [(4, True), (9, False)])
def test_a_batch_that_shares_tasks_has_the_mean_loss_of_its_examples(
    num_tasks, shared_layer
):
    policy = mlp.policy(MEAN, STD, 5, 2, features=FEATURES)
    params = jax.jit(policy.init)(jax.random.key(0))
    observations, actions, _ = examples()
    tasks = jax.random.normal(jax.random.key(1), (num_tasks, 5))
    rows = jnp.arange(len(observations)) % 3  # tasks 0, 1, 2, 0, 1, ...
    each = jax.vmap(policy.loss, in_axes=(None, None, 0, 0, 0))

    def mean(params):
        return each(params, None, observations, actions, tasks[rows]).mean()

    def shared(params):
        given = losses.tasks_of(policy.encode_task, params, tasks, rows)
        return each(params, None, observations, actions, given).mean()

    expected, actual = (jax.jit(jax.value_and_grad(f))(params) for f in (mean, shared))
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6),
        expected,
        actual,
    )
    # more task vectors than their width: sharing would cost more than it saves
    program = str(jax.make_jaxpr(shared)(params))
    assert (f"{len(rows)},{num_tasks}]" in program) == shared_layer
