"""Gaussian-process policy over states and tasks, conditioned on demonstrations.

One independent Gaussian process per action dimension, all with the same kernel (so
they share one Cholesky factor and one posterior variance),

    k((s, c), (s', c')) = v^2 exp(-|s - s'|^2 / 2 l_s^2 - |c - c'|^2 / 2 l_c^2),

observed under Gaussian noise of the expert. Buffers have a fixed capacity and unused
rows are masked, so conditioning on one more demonstration compiles nothing.
"""

import functools
import math
import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve
from jax.scipy.stats import norm
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from amf_jax import errors, posterior, ranges
from amf_jax.criteria import entropy_of
from amf_jax.demonstrations import Demonstrations, as_arrays, valid_steps
from amf_jax.dtypes import compute_dtype
from amf_jax.embeddings import Embedding
from amf_jax.policies.base import Policy

#: Inputs of at most this many dimensions are compared dimension by dimension: XLA for
#: CPU vectorises that, but no sum over a short last axis.
_UNROLLED_WIDTH = 16


class Hyperparameters(NamedTuple):
    """Hyperparameters of the kernel and of the noise.

    Attributes:
      state_lengthscale: `l_s`, in the units of the observations; one number, or one per
        dimension.
      task_lengthscale: `l_c`, in the units of the task vectors; one number, or one per
        dimension.
      signal: prior standard deviation `v` of an action, in the units of the actions.
      noise: standard deviation of the expert's noise, in the units of the actions.
    """

    state_lengthscale: ArrayLike = 0.5
    task_lengthscale: ArrayLike = 0.5
    signal: ArrayLike = 0.2
    noise: ArrayLike = 0.05


class Points(NamedTuple):
    """Inputs of the kernel, which carry its hyperparameters.

    Attributes:
      inputs: states and tasks side by side, each divided by its lengthscale.
      signal: prior standard deviation at each point.
    """

    inputs: Float[Array, "... P"]
    signal: Float[Array, "..."]


class GaussianProcess(NamedTuple):
    """Parameters of the policy: what it was conditioned on, factored once.

    Attributes:
      hyperparameters: as arrays.
      posterior: conditioning points, one per recorded step, with the Cholesky factor of
        `K + noise^2 I`; its `mask` says which of the M rows are in use.
      targets: demonstrated actions; zero on unused rows.
      weights: `(K + noise^2 I)^-1 targets`.
      inverse: of that factor, since predictions are for many points.
    """

    hyperparameters: Hyperparameters
    posterior: posterior.Posterior
    targets: Float[Array, "M A"]
    weights: Float[Array, "M A"]
    inverse: Float[Array, "M M"]


def condition(
    hyperparameters: Hyperparameters, *demos: Demonstrations
) -> GaussianProcess:
    """The posterior over the expert given every recorded step of `demos`.

    Args:
      hyperparameters: of the kernel and the noise; may be traced.
      *demos: one or more padded buffers, such as the pre-training demonstrations and
        those of fine-tuning. Together their capacities times their horizons make the M
        rows; what is masked has no influence, whatever it holds.

    Returns:
      The parameters of `policy`.

    Raises:
      InvalidArgumentError: no buffer, or a hyperparameter that is not positive or has
        neither one entry nor one per dimension.

    Example:
      >>> from amf_jax import demonstrations
      >>> blank = demonstrations.empty(4, 5, 2, 2, 2)
      >>> params = jax.jit(condition)(Hyperparameters(signal=0.2), blank)
      >>> mean, variance = predict(params, jnp.zeros((1, 2)), jnp.ones((1, 2)))
      >>> print(mean[0], round(float(variance[0]), 4))
      [0. 0.] 0.04
    """
    if not demos:
        raise errors.InvalidArgumentError(
            "demos must hold at least one Demonstrations buffer, got none"
        )
    check(hyperparameters, demos[0])
    rows = [step_rows(buffer) for buffer in demos]
    observations, tasks, targets, mask = map(jnp.concatenate, zip(*rows, strict=True))
    dtype = compute_dtype(observations, tasks, targets)
    hyperparameters, observations, tasks, targets = jax.tree.map(
        lambda value: jnp.asarray(value, dtype),
        (hyperparameters, observations, tasks, targets),
    )
    points = _points(hyperparameters, observations, tasks)
    prior = posterior.empty(
        points, mask.size, jnp.square(hyperparameters.noise), dtype=dtype
    )
    held = posterior.condition(_kernel, prior, points, mask, 0)
    return GaussianProcess(
        hyperparameters=hyperparameters,
        posterior=held,
        targets=targets,
        weights=cho_solve((held.cholesky, True), targets),
        inverse=posterior.inverse_factor(held),
    )


def predict(
    params: GaussianProcess,
    observations: Float[Array, "... S"],
    tasks: Float[Array, "... D"],
) -> tuple[Float[Array, "... A"], Float[Array, "..."]]:
    """Posterior mean of the actions and variance of the noise-free policy.

    Args:
      params: from `condition`.
      observations: states.
      tasks: task vectors, one per state, or fewer axes to share one.

    Returns:
      The mean, and the variance that every action dimension has in common (without
      the noise of the expert), never negative.
    """
    points = _points(params.hyperparameters, observations, tasks)
    variance = posterior.variance(
        _kernel, _diagonal, params.posterior, _flatten(points), params.inverse
    )
    return _mean(params, points), variance.reshape(points.signal.shape)


def log_likelihood(
    params: GaussianProcess,
    observations: Float[Array, "... S"],
    actions: Float[Array, "... A"],
    tasks: Float[Array, "... D"],
) -> Float[Array, "..."]:
    """Log density of noisy expert actions, summed over action dimensions."""
    mean, variance = predict(params, observations, tasks)
    scale = jnp.sqrt(variance + params.posterior.noise_variance)
    return norm.logpdf(actions, mean, scale[..., None]).sum(-1)


def entropy(
    params: GaussianProcess,
    observations: Float[Array, "... S"],
    tasks: Float[Array, "... D"],
) -> Float[Array, ""]:
    """Mean differential entropy of one action dimension of the noise-free policy.

    The mean over the points of `1/2 log(2 pi e variance)` (eq. 2), in nats. Variances
    below the rounding error of the prior variance count as that error, so the result
    is finite.
    """
    _, variance = predict(params, observations, tasks)
    floor = jnp.finfo(variance.dtype).eps * jnp.square(params.hyperparameters.signal)
    return jnp.mean(entropy_of(variance, floor))


def log_marginal_likelihood(params: GaussianProcess) -> Float[Array, ""]:
    """Log density of the demonstrated actions, summed over action dimensions."""
    # Unused rows have a one on the diagonal of the factor and add log 1.
    half_log_determinant = jnp.sum(jnp.log(jnp.diagonal(params.posterior.cholesky)))
    steps = params.posterior.mask.sum()
    normaliser = half_log_determinant + 0.5 * math.log(2.0 * math.pi) * steps
    outputs = params.targets.shape[1]
    return -0.5 * jnp.sum(params.targets * params.weights) - outputs * normaliser


def policy() -> Policy:
    """The posterior mean as a policy; its parameters come from `condition`."""

    def act(params, key, observations, tasks):
        del key
        return _mean(params, _points(params.hyperparameters, observations, tasks))

    def loss(params, key, observation, action, task):
        return jnp.sum((act(params, key, observation, task) - action) ** 2)

    return Policy(loss=loss, act=act, log_likelihood=log_likelihood)


def embedding() -> Embedding:
    """The kernel of the policy, for posteriors over states and tasks.

    Embedding parameters are those of the policy; only their hyperparameters are used.
    """

    def embed(params, key, observations, actions, tasks):
        del key, actions
        return _points(params.hyperparameters, observations, tasks)

    return Embedding(embed=embed, kernel=_kernel, diagonal=_diagonal)


def check(hyperparameters: Hyperparameters, demos: Demonstrations) -> None:
    """Checks hyperparameters for demonstrations; traced values pass unseen.

    Raises:
      InvalidArgumentError: a value that is not positive and finite, a lengthscale that
        is neither one number nor one per dimension, or observations that are no
        vectors: the kernel is one of distances.
    """
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(demos.observations)]
    if not hasattr(demos.observations, "dtype") or len(shapes[0]) != 3:
        raise errors.InvalidArgumentError(
            "observations of a Gaussian process must be vectors, [N, H, S], got leaves"
            f" of shapes {shapes}; put side by side what the kernel is to compare"
        )
    sizes = {
        "state_lengthscale": demos.observations.shape[-1],
        "task_lengthscale": demos.tasks.shape[-1],
    }
    for name, value in hyperparameters._asdict().items():
        ranges.check_all(name, value, ranges.POSITIVE)
        allowed = [(), (sizes[name],)] if name in sizes else [()]
        if np.shape(value) not in allowed:
            raise errors.InvalidArgumentError(
                f"{name} has shape {np.shape(value)}, expected"
                f" {' or '.join(map(str, allowed))}"
            )


def step_rows(demos: Demonstrations):
    """Observations, tasks, actions and mask with one row per step, padding zeroed."""
    demos = as_arrays(demos)
    mask = valid_steps(demos)
    tasks = jnp.broadcast_to(demos.tasks[:, None], (*mask.shape, demos.tasks.shape[-1]))

    def rows(array):
        # Zero by selection: padding may hold NaN, which a product would let through.
        return jnp.where(mask[..., None], array, 0).reshape(mask.size, -1)

    return rows(demos.observations), rows(tasks), rows(demos.actions), mask.ravel()


def _points(hyperparameters, observations, tasks) -> Points:
    shape = observations.shape[:-1]
    tasks = jnp.broadcast_to(tasks, (*shape, tasks.shape[-1]))
    inputs = jnp.concatenate([observations, tasks], axis=-1)
    lengthscales = [
        jnp.broadcast_to(hyperparameters.state_lengthscale, observations.shape),
        jnp.broadcast_to(hyperparameters.task_lengthscale, tasks.shape),
    ]
    return Points(
        inputs=inputs / jnp.concatenate(lengthscales, axis=-1),
        signal=jnp.broadcast_to(hyperparameters.signal, shape),
    )


def _mean(params: GaussianProcess, points: Points) -> Float[Array, "... A"]:
    # In this order, the kernel is the one that the variance needs: compiled once.
    cross = _kernel(params.posterior.points, _flatten(points))
    used = jnp.where(params.posterior.mask[:, None], cross, 0.0)
    return (used.T @ params.weights).reshape(*points.signal.shape, -1)


def _flatten(points: Points) -> Points:
    return Points(
        points.inputs.reshape(-1, points.inputs.shape[-1]), points.signal.reshape(-1)
    )


def _kernel(x: Points, y: Points) -> Float[Array, "n m"]:
    scale = x.signal[:, None] * y.signal[None]
    return scale * jnp.exp(-0.5 * _squared_distances(x.inputs, y.inputs))


def _squared_distances(
    x: Float[Array, "n P"], y: Float[Array, "m P"]
) -> Float[Array, "n m"]:
    width = x.shape[-1]
    if width > _UNROLLED_WIDTH:
        return jnp.sum(jnp.square(x[:, None] - y[None]), axis=-1)
    pairs = zip(jnp.unstack(x, axis=1), jnp.unstack(y, axis=1), strict=True)
    axes = [jnp.square(a[:, None] - b[None, :]) for a, b in pairs]
    return functools.reduce(operator.add, axes)


def _diagonal(points: Points) -> Float[Array, "..."]:
    return points.signal**2
