"""Training: one pure, scanned function for pre-training and fine-tuning alike."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from amf_jax import devices, errors, losses
from amf_jax.demonstrations import Demonstrations, filled_tasks, valid_steps

#: Segments of the training run over which the loss trace is averaged.
TRACE_LENGTH = 20


class FineTuned(NamedTuple):
    """Result of a training run.

    Attributes:
      params: trained parameters.
      opt_state: optimiser state, to carry into the next round.
      losses: mean minibatch loss over each twentieth of the run; NaN without steps.
    """

    params: Any
    opt_state: Any
    losses: Float[Array, " 20"]


def adamw_direction(weight_decay: float = 1e-4) -> optax.GradientTransformation:
    """AdamW without its learning rate, which `finetune` applies by schedule."""
    return optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(weight_decay))


def cosine(learning_rate: float) -> Callable[[Array], Array]:
    """From `learning_rate` to zero along half a cosine, as a function of progress.

    Example:
      >>> print(cosine(1.0)(jnp.array([0.0, 0.5, 1.0])).round(3))
      [1.  0.5 0. ]
    """
    return lambda progress: 0.5 * learning_rate * (1.0 + jnp.cos(jnp.pi * progress))


def constant(learning_rate: float) -> Callable[[Array], Array]:
    """The same learning rate throughout."""
    return lambda progress: jnp.full_like(progress, learning_rate)


def finetune(
    loss: Callable,
    optimizer: optax.GradientTransformation,
    schedule: Callable[[Array], Array],
    key,
    params,
    opt_state,
    demos: Demonstrations,
    steps: Int[Array, ""] | int,
    *,
    batch_size: int = 256,
    penalty: Callable[[Any], Any] | None = None,
    batch_loss: Callable | None = None,
    mesh: Mesh | None = None,
) -> FineTuned:
    """Behaviour cloning on minibatches drawn uniformly from all recorded steps.

    Mapped by `jax.vmap` over `key`, `params` and `opt_state`, it trains many seeds at
    once, each as if it were alone.

    Args:
      loss: as in `Policy.loss`, for one example.
      optimizer: a descent direction without learning rate, such as `adamw_direction`.
        Its state carries over rounds while the schedule starts anew in each.
      schedule: learning rate as a function of progress in [0, 1) within this call.
      key: PRNG key.
      params: where to start.
      opt_state: of `optimizer`.
      demos: what to learn from, padded; no shape depends on how many there are.
      steps: number of gradient steps. A traced number: another budget does not
        recompile. Without any demonstration nothing is trained.
      batch_size: examples per step.
      penalty: `(params) -> gradient` of a penalty on the parameters, added to that of
        the loss before the optimizer sees it; the trace holds the loss alone.
      batch_loss: as in `Policy.batch_loss`; None averages `loss` over the batch.
      mesh: devices among which every minibatch is divided; each holds the parameters,
        and gradients are averaged once a step. The result is that of one device (None),
        unless `batch_loss` draws random numbers.

    Raises:
      InvalidArgumentError: if a minibatch cannot be divided evenly among the devices.
    """
    _check_division(batch_size, mesh)

    def train(key, params, opt_state, demos: Demonstrations, steps) -> FineTuned:
        valid = valid_steps(demos).ravel()
        total = valid.sum()
        ranks = jnp.cumsum(valid)
        horizon = demos.step_mask.shape[1]
        steps = jnp.where(total > 0, steps, 0)
        # A batch loss takes those of unused rows as well, and multiplies by zero.
        tasks = filled_tasks(demos)

        def cloning(params, loss_key, row, time):
            observations, actions = (
                demos.observations[row, time],
                demos.actions[row, time],
            )
            if batch_loss is not None:
                own_key = devices.own_key(mesh, loss_key)
                return batch_loss(params, own_key, observations, actions, tasks, row)
            keys = devices.dealt(mesh, jax.random.split(loss_key, batch_size))
            return losses.behaviour_cloning(
                loss, params, keys, observations, actions, tasks[row]
            )

        def step(i, carry):
            params, opt_state, trace = carry
            batch_key, loss_key = jax.random.split(jax.random.fold_in(key, i))
            index = devices.dealt(mesh, _draw(batch_key, ranks, total, batch_size))
            row, time = index // horizon, index % horizon
            value, gradient = devices.averaged(
                mesh, jax.value_and_grad(cloning)(params, loss_key, row, time)
            )
            if penalty is not None:
                gradient = optax.tree.add(gradient, penalty(params))
            direction, opt_state = optimizer.update(gradient, opt_state, params)
            progress = i.astype(jnp.float32) / steps
            rate = -schedule(progress)
            updates = jax.tree.map(
                lambda leaf: (rate * leaf).astype(leaf.dtype), direction
            )
            segment = (i * TRACE_LENGTH) // steps
            trace = trace.at[:, segment].add(jnp.stack([value, jnp.ones_like(value)]))
            return optax.apply_updates(params, updates), opt_state, trace

        start = (params, opt_state, jnp.zeros((2, TRACE_LENGTH), demos.actions.dtype))
        params, opt_state, (sums, counts) = jax.lax.fori_loop(0, steps, step, start)
        return FineTuned(params, opt_state, sums / counts)

    # As arguments, since what a mesh computed cannot be closed over.
    train = devices.everywhere(mesh, train)
    return train(key, params, opt_state, demos, jnp.asarray(steps, jnp.int32))


def draw_steps(
    key, demos: Demonstrations, size: int
) -> tuple[Int[Array, " B"], Int[Array, " B"]]:
    """Rows and times of `size` recorded steps, drawn uniformly with replacement."""
    valid = valid_steps(demos).ravel()
    index = _draw(key, jnp.cumsum(valid), valid.sum(), size)
    horizon = demos.step_mask.shape[1]
    return index // horizon, index % horizon


def _check_division(batch_size: int, mesh: Mesh | None) -> None:
    devices.check(mesh)
    if mesh is not None and batch_size % mesh.size:
        raise errors.InvalidArgumentError(
            f"batch_size must be a multiple of the mesh's {mesh.size} devices, got"
            f" {batch_size}; the next one is {batch_size + -batch_size % mesh.size}"
        )


def _draw(
    key, ranks: Int[Array, " M"], total: Int[Array, ""], batch_size: int
) -> Int[Array, " B"]:
    """Uniformly drawn valid entries: the k-th is where the ranks reach k + 1."""
    uniform = jax.random.uniform(key, (batch_size,))
    wanted = jnp.minimum((uniform * total).astype(ranks.dtype), total - 1)
    return jnp.searchsorted(ranks, wanted, side="right")
