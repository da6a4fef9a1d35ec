"""The problem that the examples share: steer a planar point to one of four goals.

The policy is pre-trained on three of them, then has one demonstration of each at hand.
Which one should the expert demonstrate next?
"""

import jax
import jax.numpy as jnp

from amf_jax import Demonstrations

GOALS = jnp.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
TASKS = jnp.eye(4)  # what tells a policy its task: one-hot here
TASK_WEIGHTS = jnp.full(4, 0.25)
HORIZON = 20

#: Tasks of the pre-training demonstrations: none is of task 3.
PRETRAINING = jnp.array([0, 1, 2] * 4)


@jax.jit
def demonstrate(key, task_ids):
    """The expert heads for its goal and covers a tenth of the way in each step."""
    count = len(task_ids)
    goals = GOALS[task_ids][:, None]
    start = jax.random.uniform(key, (count, 1, 2), minval=-1.0)
    remaining = 0.9 ** jnp.arange(HORIZON)[None, :, None]
    states = goals + (start - goals) * remaining
    return Demonstrations(
        observations=states,
        actions=goals - states,
        step_mask=jnp.ones((count, HORIZON), bool),
        tasks=TASKS[task_ids],
        task_ids=task_ids,
        demo_mask=jnp.ones(count, bool),
    )


def photographed(key, task_ids):
    """The same demonstrations, of which a dict is observed: a position and a photo."""
    demos = demonstrate(key, task_ids)
    lines = jnp.linspace(-1.5, 1.5, 5)
    places = jnp.stack(jnp.meshgrid(lines, lines), axis=-1)
    offsets = demos.observations[:, :, None, None] - places[None, None]
    light = jnp.exp(-2.0 * jnp.sum(offsets**2, axis=-1))  # of the point, [N, H, 5, 5]
    photo = (255 * light).astype(jnp.uint8)
    return demos._replace(observations={"position": demos.observations, "photo": photo})
