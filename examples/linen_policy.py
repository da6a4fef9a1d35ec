"""Which task to demonstrate next, for a Flax Linen policy that sees a dict."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from reaching import PRETRAINING, TASK_WEIGHTS, TASKS, photographed

from amf_jax import Context, embeddings, finetune, selectors


class Network(nn.Module):
    """Cut before the last layer, whose gradient will serve as the embedding."""

    def setup(self):
        self.eye = nn.Conv(4, kernel_size=(3, 3), strides=2)
        self.hidden, self.head = nn.Dense(64), nn.Dense(2)

    def features(self, observation, task):
        seen = self.eye(observation["photo"][..., None] / 255)
        seen = seen.reshape(*seen.shape[:-3], -1)
        inputs = jnp.concatenate([observation["position"], seen, task], axis=-1)
        return nn.tanh(self.hidden(inputs))

    def __call__(self, observation, task):
        return self.head(self.features(observation, task))


network = Network()


def act(params, observation, task):
    """The policy; batched or not, like the network."""
    return network.apply(params, observation, task)


def loss(params, key, observation, action, task):
    """Behaviour cloning of one example."""
    return jnp.sum((act(params, observation, task) - action) ** 2)


def log_likelihood(params, observations, actions, tasks):
    """Of each step, with the output as the mean of a Gaussian of variance 1."""
    return -0.5 * jnp.sum((act(params, observations, tasks) - actions) ** 2, axis=-1)


def last_layer(params, key, observation, action, task):
    """The input of the last layer, and the gradient of `loss` in its output."""
    features = network.apply(params, observation, task, method=Network.features)
    return features, 2.0 * (act(params, observation, task) - action)


@jax.jit
def train(key, params, demos):
    """300 steps of AdamW."""
    optimizer, schedule = finetune.adamw_direction(), finetune.cosine(1e-2)
    start = (params, optimizer.init(params))
    return finetune.finetune(loss, optimizer, schedule, key, *start, demos, 300).params


def main():
    """Returns the task to ask for."""
    keys = jax.random.split(jax.random.key(0), 6)
    demos = photographed(keys[3], jnp.arange(4))
    one = jax.tree.map(lambda leaf: leaf[0, 0], demos.observations)
    untrained = network.init(keys[0], one, TASKS[0])
    pretrained = train(keys[1], untrained, photographed(keys[2], PRETRAINING))
    current = train(keys[4], pretrained, demos)

    # The current policy tells which states a task visits, the embeddings of the
    # pre-trained one what it was not taught.
    context = Context(demos, TASKS, TASK_WEIGHTS, current, embedding_params=pretrained)
    selector = selectors.amf(embeddings.last_layer_gradient(last_layer), log_likelihood)
    state = selector.init(context)
    choice, state, info = jax.jit(selector.select)(keys[5], state, context)
    selectors.check_choice(choice, info)  # raises if a score is not finite
    print(f"scores {info.scores}: demonstrate task {choice.task_id} next")
    return int(choice.task_id)


if __name__ == "__main__":
    main()
