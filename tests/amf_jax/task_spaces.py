"""Task spaces and objectives that the tests of optimisers share."""

import jax
import jax.numpy as jnp
import numpy as np

from amf_jax.candidates import TaskSpace

LOWER, UPPER = np.array([-1.0, 0.0]), np.array([1.0, 4.0])


def sample_box(key, count):
    low, high = (jnp.asarray(bound, jnp.float32) for bound in (LOWER, UPPER))
    return jax.random.uniform(key, (count, 2), minval=low, maxval=high)


def sample_circle(key, count):
    angles = jax.random.uniform(key, (count,), maxval=2 * jnp.pi)
    return jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=-1)


def onto_circle(points):
    return points / jnp.linalg.norm(points, axis=1, keepdims=True)


BOX = TaskSpace(sample_box, LOWER, UPPER)
CIRCLE = TaskSpace(sample_circle, np.full(2, -1.0), np.full(2, 1.0), onto_circle)


def near(goal):
    """Minus the squared distance to a goal."""

    def objective(batch):
        return -jnp.sum((batch.tasks - jnp.asarray(goal)[None]) ** 2, axis=1)

    return objective


def rough(batch):
    """Many hills, too narrow for the steps of a climb."""
    return jnp.sin(40.0 * batch.tasks).sum(axis=1)
