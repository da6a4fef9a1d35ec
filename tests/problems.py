"""Small random problems that the tests share."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from amf_jax import embeddings, finetune, learners, mixing, selectors
from amf_jax.demonstrations import Demonstrations
from amf_jax.policies import LayeredPolicy
from amf_jax.selectors import Context

OBSERVATION_SIZE, ACTION_SIZE, TASK_SIZE = 3, 2, 2


def tiny_policy(likelihood_std=1.0) -> LayeredPolicy:
    """A linear policy of state and task, as bare functions of a dict of arrays."""

    def inputs(observations, tasks):
        return jnp.concatenate([observations, tasks], axis=-1)

    def init(key):
        shape = (OBSERVATION_SIZE + TASK_SIZE, ACTION_SIZE)
        kernel_key, bias_key = jax.random.split(key)
        return {
            "kernel": 0.5 * jax.random.normal(kernel_key, shape),
            "bias": 0.1 * jax.random.normal(bias_key, shape[1:]),
        }

    def act(params, key, observations, tasks):
        del key
        outputs = inputs(observations, tasks) @ params["kernel"]
        return outputs + jnp.broadcast_to(params["bias"], outputs.shape)

    def loss(params, key, observation, action, task):
        return jnp.sum((act(params, key, observation, task) - action) ** 2)

    def log_likelihood(params, observations, actions, tasks):
        means = act(params, None, observations, tasks)
        steps = jax.scipy.stats.norm.logpdf(actions, means, likelihood_std)
        return steps.sum(axis=-1)

    def last_layer(params, key, observation, action, task):
        error = 2.0 * (act(params, key, observation, task) - action)
        return inputs(observation, task), error

    return LayeredPolicy(
        loss=loss,
        act=act,
        init=init,
        log_likelihood=log_likelihood,
        last_layer=last_layer,
    )


def unit(vectors):
    """Directions; NaN where a vector is zero."""
    norm = jnp.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / jnp.broadcast_to(norm, vectors.shape)


def unit_policy() -> LayeredPolicy:
    """`tiny_policy` of directions alone: what is zero has none, and makes NaN."""
    policy = tiny_policy()

    def act(params, key, observations, tasks):
        return policy.act(params, key, unit(observations), unit(tasks))

    def loss(params, key, observation, action, task):
        return policy.loss(params, key, unit(observation), action, unit(task))

    def log_likelihood(params, observations, actions, tasks):
        return policy.log_likelihood(params, unit(observations), actions, unit(tasks))

    def last_layer(params, key, observation, action, task):
        return policy.last_layer(params, key, unit(observation), action, unit(task))

    return dataclasses.replace(
        policy, loss=loss, act=act, log_likelihood=log_likelihood, last_layer=last_layer
    )


def tiny_tasks(seed=0, num_tasks=3, dtype=jnp.float32):
    """Task vectors `[C, D]`."""
    rng = np.random.default_rng((seed, 1))
    return jnp.asarray(rng.normal(size=(num_tasks, TASK_SIZE)), dtype)


def tiny_demos(
    seed=0,
    task_ids=(0, 1, 0, 2),
    *,
    capacity=None,
    horizon=3,
    ragged=True,
    tasks=None,
    dtype=jnp.float32,
) -> Demonstrations:
    """One random demonstration of each of `task_ids`, at the front of a buffer.

    Args:
      seed: of the values.
      task_ids: task of each demonstration.
      capacity: rows of the buffer; None is as many as there are demonstrations.
      horizon: steps of a row.
      ragged: whether every second demonstration lacks its last step. What it holds
        there, and what unused rows hold, is zero.
      tasks: task vectors `[C, D]`; None is `tiny_tasks(seed)`.
      dtype: floating type.
    """
    rng = np.random.default_rng((seed, 2))
    ids = np.asarray(task_ids, np.int32)
    rows = ids.size
    capacity = rows if capacity is None else capacity
    if tasks is None:
        tasks = tiny_tasks(seed, max(task_ids) + 1, dtype)
    step_mask = np.ones((rows, horizon), bool)
    if ragged and horizon > 1:
        step_mask[1::2, -1] = False

    def recorded(width):
        values = rng.normal(size=(rows, horizon, width))
        return np.where(step_mask[..., None], values, 0.0)

    held = Demonstrations(
        observations=recorded(OBSERVATION_SIZE),
        actions=recorded(ACTION_SIZE),
        step_mask=step_mask,
        tasks=np.asarray(tasks)[ids],
        task_ids=ids,
        demo_mask=np.ones(rows, bool),
    )

    def pad(array):
        extra = np.zeros((capacity - rows, *array.shape[1:]), array.dtype)
        return np.concatenate([array, extra])

    padded = Demonstrations(*map(pad, held))
    padded.task_ids[rows:] = -1
    return jax.tree.map(
        lambda x: jnp.asarray(x, dtype if x.dtype.kind == "f" else x.dtype), padded
    )


def tiny_context(
    seed=0,
    task_ids=(0, 1, 0, 2),
    *,
    num_tasks=3,
    capacity=6,
    horizon=3,
    ragged=True,
    dtype=jnp.float32,
) -> Context:
    """A selection problem for `tiny_policy`, with unequal task weights.

    `params` and `embedding_params` differ, so that taking one for the other shows.
    """
    tasks = tiny_tasks(seed, num_tasks, dtype)
    options = dict(capacity=capacity, horizon=horizon, ragged=ragged, dtype=dtype)
    demos = tiny_demos(seed, task_ids, tasks=tasks, **options)
    weights = np.arange(1.0, num_tasks + 1.0)
    keys = jax.random.split(jax.random.key(seed), 2)
    params, embedding_params = (
        jax.tree.map(lambda x: x.astype(dtype), tiny_policy().init(key)) for key in keys
    )
    task_weights = jnp.asarray(weights / weights.sum(), dtype)
    return Context(demos, tasks, task_weights, params, embedding_params)


def amf(
    embedding,
    log_likelihood,
    *,
    space=None,
    microbatch=None,
    weight_tolerance=0.0,
    mesh=None,
    **options,
):
    """`selectors.amf` with the options of its execution beside the others."""
    execution = selectors.Execution(space, microbatch, weight_tolerance, mesh)
    return selectors.amf(embedding, log_likelihood, execution=execution, **options)


@functools.cache  # what is jitted is compiled once, not once per test
def tiny_parts(name="amf"):
    """A learner with an adaptive prior, and a selector behind two rounds in turn."""
    policy = tiny_policy()
    training = learners.Training(20, finetune.cosine(0.05), batch_size=8)
    learner = learners.gradient_learner(
        policy,
        finetune.adamw_direction(),
        training,
        training,
        mixing=mixing.descent(3, conservatism=0.01, steps=20),
    )
    embedding = embeddings.last_layer_gradient(policy.last_layer)
    selector = selectors.make(name, embedding, policy.log_likelihood)
    return learner, selectors.warm_start(selector, 2)


def unsplit(encoder, head) -> LayeredPolicy:
    """A frozen part and a trainable one as one policy of what is observed.

    Its parameters are those of both, and the gradient ends where the frozen ones begin.
    """

    def features(frozen, observations, tasks):
        spec = jax.tree.leaves(encoder.observed)[0]
        lead = observations.shape[: observations.ndim - len(spec.shape)]
        given = [observations.reshape(-1, *spec.shape)]
        if encoder.tasks is not None:
            extra = range(tasks.ndim - 1, len(lead))
            asked = jnp.expand_dims(tasks, extra)
            asked = jnp.broadcast_to(asked, (*lead, tasks.shape[-1]))
            given.append(asked.reshape(-1, tasks.shape[-1]))
        found = encoder.encode(jax.lax.stop_gradient(frozen), *given)
        return found.reshape(*lead, *found.shape[1:])

    def init(key):
        return {"frozen": encoder.params, "head": head.init(key)}

    def act(params, key, observations, tasks):
        seen = features(params["frozen"], observations, tasks)
        return head.act(params["head"], key, seen, tasks)

    def loss(params, key, observation, action, task):
        seen = features(params["frozen"], observation, task)
        return head.loss(params["head"], key, seen, action, task)

    def log_likelihood(params, observations, actions, tasks):
        seen = features(params["frozen"], observations, tasks)
        return head.log_likelihood(params["head"], seen, actions, tasks)

    def last_layer(params, key, observation, action, task):
        seen = features(params["frozen"], observation, task)
        return head.last_layer(params["head"], key, seen, action, task)

    return LayeredPolicy(
        loss=loss,
        act=act,
        init=init,
        log_likelihood=log_likelihood,
        last_layer=last_layer,
        window=head.window,
    )
