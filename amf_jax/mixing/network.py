"""A mixing weight that is a function of the task vector, for continuous tasks."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Num

from amf_jax import losses, ranges
from amf_jax.dtypes import compute_dtype
from amf_jax.losses import Comparison
from amf_jax.mixing.base import Mixing, MixingState, check, check_descent


def network(
    tasks: Num[Array | np.ndarray, "C D"],
    conservatism: float = 0.1,
    *,
    features: Sequence[int] = (32,),
    learning_rate: float = 1e-2,
    steps: int = 500,
) -> Mixing:
    """`alpha(c) = sigmoid(MLP(c))`, a function of the task vector.

    For continuous task spaces, where a task of its own may never come twice: alpha of
    a task is learned from demonstrations of the tasks around it, by Adam on
    `losses.adaptive_prior`, from the weights of the last round. It starts at 0.02 for
    every task. Far from all demonstrated tasks, alpha is an extrapolation.

    Args:
      tasks: evaluation tasks, whose alpha is reported.
      conservatism: beta, the pull towards the pre-trained policy.
      features: hidden widths.
      learning_rate: of Adam, which starts anew in each round.
      steps: Adam steps per round.

    Raises:
      InvalidArgumentError: for an argument outside its domain.
    """
    check(len(tasks), conservatism)
    check_descent(learning_rate, steps)
    tasks = jnp.asarray(tasks)
    evaluated = tasks.astype(compute_dtype(tasks))
    layers: list[Any] = []
    for width in features:
        ranges.check("features", width, ranges.COUNT)
        layers += [nn.Dense(width), nn.tanh]
    start = nn.initializers.constant(-4.0)  # sigmoid(-4) = 0.02
    head = nn.Dense(1, kernel_init=nn.initializers.zeros, bias_init=start)
    module = nn.Sequential([*layers, head])
    optimizer = optax.adam(learning_rate)

    def alpha_at(params, tasks: Float[Array, "B D"]) -> Float[Array, " B"]:
        return jax.nn.sigmoid(jnp.asarray(module.apply(params, tasks))[:, 0])

    def init(key) -> MixingState:
        params = module.init(key, evaluated)
        return MixingState(alpha_at(params, evaluated), params)

    def update(state: MixingState, comparison: Comparison) -> MixingState:
        own = jnp.arange(comparison.tasks.shape[0])
        each_its_own = comparison._replace(task_ids=own)

        def loss(params):
            alpha = alpha_at(params, comparison.tasks)
            return losses.adaptive_prior(alpha, each_its_own, conservatism)

        def step(_, carry):
            params, opt_state = carry
            updates, opt_state = optimizer.update(
                jax.grad(loss)(params), opt_state, params
            )
            return optax.apply_updates(params, updates), opt_state

        carry = state.auxiliary, optimizer.init(state.auxiliary)
        params, _ = jax.lax.fori_loop(0, steps, step, carry)
        return MixingState(alpha_at(params, evaluated), params)

    def weights(state: MixingState, tasks, task_ids):
        del task_ids
        return alpha_at(state.auxiliary, tasks)

    return Mixing(init, update, weights)
