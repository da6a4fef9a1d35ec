"""Eight rounds of active fine-tuning of a Flax NNX policy, all in one `lax.scan`.

It sees a dict of a position and a photo, as the demonstrations hold it.
`nnx.split` takes the parameters out of a model, and `nnx.merge` puts them back in.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from reaching import PRETRAINING, TASK_WEIGHTS, TASKS, photographed

from amf_jax import Context, embeddings, selectors
from amf_jax.demonstrations import append, empty_like
from amf_jax.finetune import adamw_direction, cosine, finetune

rngs = nnx.Rngs(0)
network = nnx.Sequential(
    nnx.Linear(2 + 25 + 4, 64, rngs=rngs), nnx.tanh, nnx.Linear(64, 2, rngs=rngs)
)
definition, untrained = nnx.split(network)
optimizer = adamw_direction()


def act(params, observation, task):
    """The policy; batched or not, like the network."""
    pixels = observation["photo"].reshape(*task.shape[:-1], -1) / 255
    inputs = jnp.concatenate([observation["position"], pixels, task], axis=-1)
    return nnx.merge(definition, params)(inputs)


def loss(params, key, observation, action, task):
    """Behaviour cloning of one example."""
    return jnp.sum((act(params, observation, task) - action) ** 2)


def log_likelihood(params, observations, actions, tasks):
    """Of each step, with the output as the mean of a Gaussian of variance 1."""
    return -0.5 * jnp.sum((act(params, observations, tasks) - actions) ** 2, axis=-1)


def train(key, *start_and_demos):
    """300 steps, each call with a schedule of its own."""
    return finetune(loss, optimizer, cosine(1e-2), key, *start_and_demos, 300)


@jax.jit
def run(key):
    """The tasks asked for in each of 8 rounds, after pre-training."""
    keys = jax.random.split(key, 4)
    start = untrained, optimizer.init(untrained)
    pretrained = train(keys[0], *start, photographed(keys[1], PRETRAINING)).params

    # Where no last layer stands out: the gradient of any loss in chosen parameters.
    embedding = embeddings.loss_gradient(
        loss, parameter_filter=lambda path: "[2]" in path
    )
    selector = selectors.amf(embedding, log_likelihood)

    def one_round(carry, key):
        params, opt_state, demos, state = carry
        train_key, select_key, demo_key = jax.random.split(key, 3)
        params, opt_state, _ = train(train_key, params, opt_state, demos)
        context = Context(demos, TASKS, TASK_WEIGHTS, params, pretrained)
        choice, state, _ = selector.select(select_key, state, context)
        demos = append(demos, photographed(demo_key, choice.task_id[None]))
        return (params, opt_state, demos, state), choice.task_id

    demos = photographed(keys[2], jnp.arange(4))  # one of each task
    demos = append(empty_like(demos, 4 + 8), demos)
    state = selector.init(Context(demos, TASKS, TASK_WEIGHTS, pretrained, pretrained))
    carry = pretrained, optimizer.init(pretrained), demos, state
    return jax.lax.scan(one_round, carry, jax.random.split(keys[3], 8))[1]


def main():
    """Returns the tasks asked for."""
    asked = run(jax.random.key(0)).tolist()
    print(f"tasks asked for, round by round: {asked}")
    return asked


if __name__ == "__main__":
    main()
