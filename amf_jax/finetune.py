"""Training: one pure, scanned function for pre-training and fine-tuning alike."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from amf_jax import devices, errors, losses, ranges, windows
from amf_jax.demonstrations import (
    Demonstrations,
    as_arrays,
    filled_tasks,
    valid_steps,
)
from amf_jax.dtypes import compute_dtype
from amf_jax.parameters import merged, trainable
from amf_jax.windows import STEP, Window

#: Segments of the training run over which the loss trace is averaged.
TRACE_LENGTH = 20


# Steps after which an optimiser that warms up has moved.
_TRIAL_STEPS = 3


class FineTuned(NamedTuple):
    """Result of a training run.

    Attributes:
      params: trained parameters.
      opt_state: optimiser state, to carry into the next round.
      losses: mean minibatch loss over each twentieth of the run; -inf for one without
        a step.
    """

    params: Any
    opt_state: Any
    losses: Float[Array, " 20"]


def adamw_direction(weight_decay: float = 1e-4) -> optax.GradientTransformation:
    """AdamW without its learning rate, which `finetune` applies by schedule.

    Raises:
      InvalidArgumentError: for a decay that is negative or not finite.
    """
    ranges.check("weight_decay", weight_decay, ranges.NOT_NEGATIVE)
    return optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(weight_decay))


def cosine(learning_rate: float) -> Callable[[Array], Array]:
    """From `learning_rate` to zero along half a cosine, as a function of progress.

    Raises:
      InvalidArgumentError: for a rate that is not positive and finite.

    Example:
      >>> print(cosine(1.0)(jnp.array([0.0, 0.5, 1.0])).round(3))
      [1.  0.5 0. ]
    """
    ranges.check("learning_rate", learning_rate, ranges.POSITIVE)
    return lambda progress: 0.5 * learning_rate * (1.0 + jnp.cos(jnp.pi * progress))


def constant(learning_rate: float) -> Callable[[Array], Array]:
    """The same learning rate throughout.

    Raises:
      InvalidArgumentError: for a rate that is not positive and finite.
    """
    ranges.check("learning_rate", learning_rate, ranges.POSITIVE)
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
    encode_task: Callable | None = None,
    window: Window = STEP,
    mesh: Mesh | None = None,
) -> FineTuned:
    """Behaviour cloning on minibatches drawn uniformly from all recorded steps.

    Mapped by `jax.vmap` over `key`, `params` and `opt_state`, it trains many seeds at
    once, each as if it were alone. Floating parameters are trained, in their own type;
    others, such as the random keys of a Flax NNX model, are carried along.

    Args:
      loss: as in `Policy.loss`, for one example.
      optimizer: a descent direction without learning rate, such as `adamw_direction`.
        Its state carries over rounds while the schedule starts anew in each.
        `optax.adam` and others that include the learning rate are refused.
      schedule: learning rate as a function of progress in [0, 1) within this call.
      key: PRNG key.
      params: where to start.
      opt_state: of `optimizer`, from `optimizer.init(parameters.trainable(params))`,
        which is `optimizer.init(params)` where all parameters are floating.
      demos: what to learn from, padded; no shape depends on how many there are.
      steps: number of gradient steps. A traced number: another budget does not
        recompile. Without any demonstration nothing is trained.
      batch_size: examples per step.
      penalty: `(params) -> gradient` of a penalty on the parameters, added to that of
        the loss before the optimizer sees it; the trace holds the loss alone.
      encode_task: as in `Policy.encode_task`; None leaves tasks as they are.
      window: as in `Policy.window`.
      mesh: devices among which every minibatch is divided; each holds the parameters,
        and gradients are averaged once a step. The result is that of one device (None).

    Raises:
      InvalidArgumentError: if a minibatch cannot be divided evenly among the devices,
        or holds nothing, for a negative number of steps, for an optimiser that would
        ascend, and for a state that is not of what is trained.
    """
    ranges.check("steps", steps, ranges.COUNT_OR_NONE)
    _check_batch(batch_size, mesh)
    check_direction(optimizer, params)
    _check_state(optimizer, params, opt_state)

    def train(key, params, opt_state, demos: Demonstrations, steps) -> FineTuned:
        demos = as_arrays(demos)
        dtype = compute_dtype(demos.actions, demos.tasks, trainable(params))
        valid = valid_steps(demos).ravel()
        total = valid.sum()
        ranks = jnp.cumsum(valid)
        horizon = demos.step_mask.shape[1]
        steps = jnp.where(total > 0, steps, 0)
        tasks, gather = filled_tasks(demos), windows.examples(demos, window)

        def cloning(trained, loss_key, row, time):
            params = merged(trained, start)
            keys = devices.shard(mesh, jax.random.split(loss_key, batch_size))
            examples = (
                *gather(row, time),
                losses.tasks_of(encode_task, params, tasks, row),
            )
            return losses.behaviour_cloning(loss, params, keys, *examples)

        def step(i, carry):
            trained, opt_state, trace = carry
            i = jnp.asarray(i, jnp.int32)
            batch_key, loss_key = jax.random.split(jax.random.fold_in(key, i))
            index = devices.shard(mesh, _draw(batch_key, ranks, total, batch_size))
            row, time = index // horizon, index % horizon
            value, gradient = devices.mean(
                mesh, jax.value_and_grad(cloning)(trained, loss_key, row, time)
            )
            if penalty is not None:
                pull = optax.tree.cast_like(penalty(trained), gradient)
                gradient = optax.tree.add(gradient, pull)
            direction, opt_state = optimizer.update(gradient, opt_state, trained)
            progress = i.astype(jnp.float32) / steps
            rate = -schedule(progress)
            updates = jax.tree.map(
                lambda leaf: (rate * leaf).astype(leaf.dtype), direction
            )
            segment = (i * TRACE_LENGTH) // steps
            more = jnp.stack([value.astype(dtype), jnp.ones((), dtype)])
            trace = trace.at[:, segment].add(more)
            return optax.apply_updates(trained, updates), opt_state, trace

        start = params
        carry = trainable(params), opt_state, jnp.zeros((2, TRACE_LENGTH), dtype)
        trained, opt_state, (sums, counts) = jax.lax.fori_loop(0, steps, step, carry)
        trace = jnp.where(counts > 0, sums / jnp.maximum(counts, 1.0), -jnp.inf)
        return FineTuned(merged(trained, start), opt_state, trace)

    # As arguments, since what a mesh computed cannot be closed over.
    train = devices.everywhere(mesh, train)
    return train(key, params, opt_state, demos, jnp.asarray(steps, jnp.int32))


def check_direction(optimizer: optax.GradientTransformation, params: Any) -> None:
    """Raises if an optimiser includes a learning rate, and with it the sign.

    What `finetune` subtracts would then make the loss larger. It shows in a few steps
    of one number for each array along a gradient of ones, of which a direction to
    descend along is made positive. Also while tracing.

    Args:
      optimizer: as in `finetune`.
      params: of the policy; what they hold does not matter.

    Raises:
      InvalidArgumentError: saying what to pass instead.

    Example:
      >>> check_direction(optax.adam(0.1), jnp.zeros(3))
      Traceback (most recent call last):
      amf_jax.errors.InvalidArgumentError: optimizer must give a direction to descend...
    """
    with jax.ensure_compile_time_eval():
        ones = jax.tree.map(
            lambda leaf: jnp.ones((1,) * jnp.ndim(leaf)), trainable(params)
        )
        state = optimizer.init(ones)
        for _ in range(_TRIAL_STEPS):
            direction, state = optimizer.update(ones, state, ones)
            leaves = jax.tree.leaves(direction)
            if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
                return  # it depends on what has no value yet
            least = min((float(leaf.sum()) for leaf in leaves), default=0.0)
            if least < 0:
                raise errors.InvalidArgumentError(
                    "optimizer must give a direction to descend along, without the"
                    f" learning rate, but turns a gradient of 1 into {least:.3g}, as"
                    " optax.adam(learning_rate) and others do that end a training step"
                    " themselves. Pass optax.scale_by_adam() or"
                    " finetune.adamw_direction(), and the rate as schedule, such as"
                    " finetune.cosine(1e-3)"
                )


def _check_state(optimizer, params: Any, opt_state: Any) -> None:
    """Raises for the state of all parameters where not all are trained."""
    trained = trainable(params)
    if len(jax.tree.leaves(trained)) == len(jax.tree.leaves(params)):
        return
    expected: Any = jax.tree.structure(jax.eval_shape(optimizer.init, trained))
    if expected != jax.tree.structure(opt_state):
        raise errors.InvalidArgumentError(
            "opt_state must be that of the floating parameters alone, since params hold"
            " others, such as random keys: pass"
            " optimizer.init(parameters.trainable(params))"
        )


def draw_steps(
    key, demos: Demonstrations, size: int
) -> tuple[Int[Array, " B"], Int[Array, " B"]]:
    """Rows and times of `size` recorded steps, drawn uniformly with replacement."""
    valid = valid_steps(demos).ravel()
    index = _draw(key, jnp.cumsum(valid), valid.sum(), size)
    horizon = demos.step_mask.shape[1]
    return index // horizon, index % horizon


def _check_batch(batch_size: int, mesh: Mesh | None) -> None:
    ranges.check("batch_size", batch_size, ranges.COUNT)
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
    digits = jnp.finfo(jnp.result_type(float)).nmant
    if ranks.size <= 2**digits:
        uniform = jax.random.uniform(key, (batch_size,))
        wanted = jnp.minimum((uniform * total).astype(ranks.dtype), total - 1)
    else:  # there are more entries than such fractions
        wanted = jax.random.randint(key, (batch_size,), 0, total, ranks.dtype)
    return jnp.searchsorted(ranks, wanted, side="right")
