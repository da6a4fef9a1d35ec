"""The inputs of the benchmarks: synthetic, of the paper's sizes, from a fixed seed."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from amf_jax import embeddings, finetune
from amf_jax.demonstrations import Demonstrations
from amf_jax.embeddings import Embedding
from amf_jax.policies import mlp
from amf_jax.policies.base import LayeredPolicy
from amf_jax.selectors import Context
from benchmarks import timing

#: Observation noise of the posterior, in units of the normalised kernel.
NOISE_VARIANCE = 1.0

#: Of all training, ours and the peers'.
BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY = 256, 1e-3, 1e-4

_FITTING_STEPS = 300
_ACTION_NOISE = 0.1


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Of a selection problem; by default the paper's for the Franka kitchen.

    Attributes:
      tasks: evaluation tasks |C|.
      demonstrations: N at hand, of the tasks in turn.
      horizon: steps H of a demonstration.
      observation: width S of a state.
      task: width D of a task vector.
      action: width A of an action.
      hidden: width d of both hidden layers.
    """

    tasks: int = 5
    demonstrations: int = 20
    horizon: int = 50
    observation: int = 30
    task: int = 384
    action: int = 9
    hidden: int = 256

    @property
    def points(self) -> int:
        """M: every step under every task."""
        return self.tasks * self.demonstrations * self.horizon

    @property
    def embedding(self) -> int:
        """p: parameters of the last layer."""
        return (self.hidden + 1) * self.action

    @property
    def forward_flops(self) -> float:
        """Of the network at all points, with the first layer shared among them."""
        steps = self.demonstrations * self.horizon
        first = (steps * self.observation + self.tasks * self.task) * self.hidden
        rest = self.points * self.hidden * (self.hidden + self.action)
        return 2.0 * (first + rest)

    def gram_flops(self, points: int) -> float:
        """Of the kernel between that many points and themselves."""
        return 2.0 * points**2 * (self.action + self.hidden)


PAPER = Sizes()
SMALL = Sizes(tasks=3, demonstrations=6, horizon=10, hidden=32)


class Problem(NamedTuple):
    """A selection problem.

    Attributes:
      sizes: of it.
      policy: an MLP with LayerNorm.
      embedding: the loss gradient of its last layer.
      context: of the round; its parameters are those of the weights and the embeddings.
    """

    sizes: Sizes
    policy: LayeredPolicy
    embedding: Embedding
    context: Context


def sizes(quick: bool) -> Sizes:
    """The paper's, or small ones that only show that everything runs."""
    return SMALL if quick else PAPER


@functools.cache
def selection(sizes: Sizes, *, fitted: bool = False, seed: int = 0) -> Problem:
    """A selection problem on synthetic demonstrations.

    Every task has an expert of its own, `a = tanh(G_c s) + noise`.

    Args:
      sizes: of it.
      fitted: whether the policy was trained on the demonstrations for a few hundred
        steps. Its weights are then as sharp as in a real run: next to nothing but a
        task's own demonstrations carries weight. Otherwise it is freshly initialised.
      seed: of everything.
    """
    if fitted:
        fresh, steps = selection(sizes, seed=seed), jnp.int32(_FITTING_STEPS)
        context = fresh.context
        params = training(sizes).compiled(context.params, context.demos, steps).params
        fitted_to = context._replace(params=params, embedding_params=params)
        return fresh._replace(context=fitted_to)
    policy = mlp.policy(
        jnp.zeros(sizes.observation),
        jnp.ones(sizes.observation),
        sizes.task,
        sizes.action,
        features=(sizes.hidden, sizes.hidden),
    )
    assert policy.init is not None
    demos, tasks = _demonstrations(sizes, np.random.default_rng(seed))
    params = jax.jit(policy.init)(jax.random.key(seed))
    embedding = embeddings.last_layer_gradient(policy.last_layer)
    weights = jnp.full((sizes.tasks,), 1.0 / sizes.tasks)
    return Problem(
        sizes, policy, embedding, Context(demos, tasks, weights, params, params)
    )


def explicit_points(sizes: Sizes, count: int) -> np.ndarray:
    """`count` embeddings `[count, p]` of a fresh policy, of mean squared length one."""
    problem = selection(sizes)
    context = problem.context
    factored = jax.jit(embeddings.embed_relabelled, static_argnums=0)(
        problem.embedding,
        context.embedding_params,
        jax.random.key(0),
        context.demos,
        context.tasks,
    )
    chosen = np.random.default_rng(0).permutation(sizes.points)[:count]
    points = np.asarray(jax.tree.map(lambda leaf: leaf[chosen], factored).explicit())
    return points / np.sqrt(np.mean(np.sum(points**2, axis=-1)))


def _demonstrations(sizes: Sizes, rng) -> tuple[Demonstrations, jax.Array]:
    count, horizon = sizes.demonstrations, sizes.horizon
    ids = np.arange(count, dtype=np.int32) % sizes.tasks
    tasks = rng.standard_normal((sizes.tasks, sizes.task))
    tasks /= np.linalg.norm(tasks, axis=-1, keepdims=True)  # as sentence embeddings
    experts = rng.standard_normal((sizes.tasks, sizes.observation, sizes.action))
    observations = rng.standard_normal((count, horizon, sizes.observation))
    means = np.tanh(observations @ experts[ids] / np.sqrt(sizes.observation))
    actions = means + _ACTION_NOISE * rng.standard_normal(means.shape)
    tasks = jnp.asarray(tasks, jnp.float32)
    demos = Demonstrations(
        observations=jnp.asarray(observations, jnp.float32),
        actions=jnp.asarray(actions, jnp.float32),
        step_mask=jnp.ones((count, horizon), bool),
        tasks=tasks[ids],
        task_ids=jnp.asarray(ids),
        demo_mask=jnp.ones((count,), bool),
    )
    return demos, tasks


@functools.cache
def training(sizes: Sizes) -> timing.Program:
    """`(params, demos, steps) -> FineTuned` of a problem's policy, compiled once.

    By AdamW, from a fresh optimiser state.
    """
    problem = selection(sizes)
    optimizer = finetune.adamw_direction(WEIGHT_DECAY)

    def train(params, demos: Demonstrations, steps) -> finetune.FineTuned:
        return finetune.finetune(
            problem.policy.loss,
            optimizer,
            finetune.cosine(LEARNING_RATE),
            jax.random.key(0),
            params,
            optimizer.init(params),
            demos,
            steps,
            batch_size=BATCH_SIZE,
            encode_task=problem.policy.encode_task,
        )

    context = problem.context
    return timing.compile_program(train, context.params, context.demos, jnp.int32(1))
