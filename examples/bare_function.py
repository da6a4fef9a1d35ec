"""Piece by piece what `selectors.amf` does, for a plain JAX function and 8 seeds.

The function sees a dict of two readings, as the demonstrations hold it.
"""

import jax
import jax.numpy as jnp
from reaching import HORIZON, PRETRAINING, TASK_WEIGHTS, TASKS, demonstrate

from amf_jax import criteria, embeddings, importance, posterior


def sensed(key, task_ids):
    """Demonstrations in which each axis has a sensor of its own."""
    demos = demonstrate(key, task_ids)
    x, y = jnp.split(demos.observations, 2, axis=-1)
    return demos._replace(observations={"x": x, "y": y})


def features(params, observations, tasks):
    """Random features of state and task, which are never trained."""
    inputs = jnp.concatenate([observations["x"], observations["y"], tasks], axis=-1)
    return jnp.tanh(inputs @ params["hidden"])


def act(params, observations, tasks):
    """The policy: linear in the features."""
    return features(params, observations, tasks) @ params["head"]


def last_layer(params, key, observation, action, task):
    """The input of the last layer, and the gradient of |act - a|^2 in its output."""
    error = 2.0 * (act(params, observation, task) - action)
    return features(params, observation, task), error


def log_likelihood(params, observations, actions, tasks):
    """Of each step, with the output as the mean of a Gaussian of variance 1."""
    return -0.5 * jnp.sum((act(params, observations, tasks) - actions) ** 2, axis=-1)


def fit(hidden, demos):
    """Ridge regression on demonstrations."""
    tasks = jnp.repeat(demos.tasks[:, None], HORIZON, axis=1)
    x = features({"hidden": hidden}, demos.observations, tasks).reshape(-1, 64)
    gram, y = x.T @ x + 0.1 * jnp.eye(64), demos.actions.reshape(-1, 2)
    return {"hidden": hidden, "head": jnp.linalg.solve(gram, x.T @ y)}


def scores(key):
    """How much variance a further demonstration of each task would take away, `[4]`."""
    keys = jax.random.split(key, 4)
    hidden = jax.random.normal(keys[0], (6, 64))
    pretrained = fit(hidden, sensed(keys[1], PRETRAINING))
    demos = sensed(keys[2], jnp.arange(4))  # at hand: one of each task
    current, mask = fit(hidden, demos), demos.demo_mask

    # Whose states does a demonstration stand for? [task, demonstration], eq. 3.
    total = importance.trajectory_log_likelihoods(log_likelihood, current, demos, TASKS)
    log_weights = importance.log_importance_weights(total, total[demos.task_ids], mask)
    weights = importance.self_normalised(log_weights, mask)

    # Every state under every task, weighted: where the expert's actions matter.
    embedding = embeddings.last_layer_gradient(last_layer)
    points = embeddings.embed_relabelled(embedding, pretrained, keys[3], demos, TASKS)
    mass = jnp.repeat((TASK_WEIGHTS[:, None] * weights).ravel(), HORIZON)
    scale = mass @ embedding.diagonal(points) / mass.sum()
    blocks = jax.tree.map(lambda x: x.reshape(16, HORIZON, -1), points)

    # The posterior holds every fifth block: the demonstrations under their own tasks.
    held = jax.tree.map(lambda x: x[::5].reshape(4 * HORIZON, -1), blocks)
    prior = posterior.empty(held, 4 * HORIZON, noise_variance=1.0, scale=scale)
    steps = demos.step_mask.ravel()
    history = posterior.condition(embedding.kernel, prior, held, steps, start=0)

    # What would each demonstration teach if it were of each task? Eq. 4.
    where = jnp.tile(demos.step_mask, (4, 1)), criteria.Occupancy(points, mass)
    drops = criteria.expected_variance_reduction(embedding, history, blocks, *where)
    return jnp.sum(weights * drops.reshape(4, 4), axis=1)


def main():
    """Returns the task to ask for, seed by seed."""
    seeds = jax.random.split(jax.random.key(0), 8)
    chosen = jax.jit(jax.vmap(scores))(seeds).argmax(axis=1).tolist()
    print(f"task to demonstrate next, by seed: {chosen}")
    return chosen


if __name__ == "__main__":
    main()
