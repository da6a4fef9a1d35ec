"""Guarantees: information gain, and how far from the expert a policy can be.

Theorem A.10: with probability at least 1 - delta, the policy after n demonstrations of
H steps, each of the task that eq. 1 asks for, returns less than the expert by at most

    sqrt(2) L_Q |sigma|_1 / (tau_min (1 - discount)) sqrt((1 + epsilon) beta^2 Gamma)

with `beta` of lemma A.8, `epsilon` of lemma A.4, and Gamma, what one more demonstration
can teach (eq. 36, the largest `round_information_gain`). Lemma A.6 bounds Gamma in
advance, by H / n times the `max_information_gain` of H n steps: where that grows more
slowly than the square root of n, the policy approaches the expert. What the printed
statements need beyond their assumptions is said at each function.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from amf_jax import criteria, errors, ranges
from amf_jax.criteria import Occupancy
from amf_jax.embeddings import Embedding
from amf_jax.posterior import Posterior, safe_cholesky

#: A greedy choice reaches at least this share of the largest information gain.
GREEDY_SHARE = 1.0 - 1.0 / math.e


class GreedyGain(NamedTuple):
    """Information gain of greedily chosen points.

    Attributes:
      gains: of the first 1 to n points together, in nats.
      points: row of the kernel matrix chosen at each step; rows may repeat.
    """

    gains: Float[Array, " n"]
    points: Int[Array, " n"]

    @property
    def upper_bound(self) -> Float[Array, " n"]:
        """What no 1 to n points exceed: `gains / (1 - 1/e)`, in nats.

        Information gain is monotone and submodular, so that the greedy choice reaches
        at least 1 - 1/e of the best one (Nemhauser et al., 1978).
        """
        return self.gains / GREEDY_SHARE


def information_gain(
    kernel_matrix: Float[Array, "m m"], noise_variance: ArrayLike
) -> Float[Array, ""]:
    """What noisy actions at m points tell about the expert, in nats.

    `I(pi(X); pi(X) + noise) = 1/2 log det(I + K(X, X) / noise_variance)`, for one
    action dimension. Independent dimensions that share the kernel each add as much.

    Args:
      kernel_matrix: prior covariance of the expert's action at the points, or the
        posterior one for the gain on top of what is known; symmetric and positive
        semi-definite. A point observed twice takes two rows.
      noise_variance: of the expert's noise, in units of the kernel.

    Raises:
      InvalidArgumentError: a matrix that is not square, or noise that is not positive.

    Example:
      >>> print(information_gain(3.0 * jnp.eye(2), 1.0).round(4))  # log 4
      1.3863
    """
    _check_kernel(kernel_matrix, noise_variance)
    eye = jnp.eye(kernel_matrix.shape[0], dtype=kernel_matrix.dtype)
    factor, _ = safe_cholesky(eye + kernel_matrix / noise_variance)
    return jnp.log(jnp.diagonal(factor)).sum()


def max_information_gain(
    kernel_matrix: Float[Array, "m m"], noise_variance: ArrayLike, n: int
) -> GreedyGain:
    """Greedily maximised information gain `gamma(1), ..., gamma(n)` (lemma A.6).

    The point that adds most, `1/2 log(1 + variance / noise_variance)`, is the one of
    largest posterior variance. One row of the Cholesky factor is appended per point:
    `n^2 m` multiply-adds in all. Points may be chosen again: lemma A.6 needs the
    maximum to cover whatever is demonstrated, noise makes a second look informative,
    and demonstrations of one task do meet the same states.

    Args:
      kernel_matrix: covariance of the expert's action over a finite set of m
        state-task pairs; symmetric and positive semi-definite.
      noise_variance: of the expert's noise, in units of the kernel.
      n: how many points; static under `jax.jit`.

    Raises:
      InvalidArgumentError: a matrix that is not square, noise that is not positive, or
        n below 1.

    Example:
      >>> greedy = max_information_gain(jnp.diag(jnp.array([3.0, 1.0])), 1.0, 3)
      >>> print(greedy.points, jnp.exp(2 * greedy.gains).astype(int))
      [0 1 0] [ 4  8 14]
    """
    _check_kernel(kernel_matrix, noise_variance)
    ranges.check("n", n, ranges.COUNT)

    def add_point(carry, index):
        rows, variance = carry
        point = jnp.argmax(variance)
        gain = 0.5 * jnp.log1p(variance[point] / noise_variance)
        covariance = kernel_matrix[point] - rows[:, point] @ rows
        row = covariance / jnp.sqrt(variance[point] + noise_variance)
        variance = jnp.maximum(variance - row**2, 0.0)
        return (rows.at[index].set(row), variance), (gain, point)

    variance = jnp.diagonal(kernel_matrix)
    rows = jnp.zeros((n, variance.size), variance.dtype)
    _, (gains, points) = jax.lax.scan(add_point, (rows, variance), jnp.arange(n))
    return GreedyGain(jnp.cumsum(gains), points)


def round_information_gain(
    embedding: Embedding,
    posterior: Posterior,
    blocks: Any,
    block_mask: Bool[Array, "B H"],
    occupancy: Occupancy,
) -> Float[Array, " B"]:
    """What each candidate demonstration tells about the expert (eqs. 1 and 36), nats.

    `psi(c') = E_{c~mu_C} sum_t I(pi(s_t, c); pi(tau', c') + noise | history)`, for one
    action dimension; the largest over the candidates is Gamma. The history is that of
    all n demonstrations, as the proofs use it (eq. 63), where eq. 36 prints n - 1.

    Args:
      embedding: of the policy.
      posterior: given the history.
      blocks: points of one demonstration per candidate, leaves `[B, H, ...]`.
      block_mask: which steps of them were taken.
      occupancy: the states of interest. Its weights add up to the mean number of steps
        of an episode.

    Raises:
      InvalidArgumentError: if `embedding.diagonal` is None.
    """
    one = jax.tree.map(lambda leaf: leaf[:1], blocks)
    nothing = jnp.zeros_like(block_mask[:1])  # masked steps tell nothing
    before = criteria.expected_entropy(embedding, posterior, one, nothing, occupancy)
    return before - criteria.expected_entropy(
        embedding, posterior, blocks, block_mask, occupancy
    )


def beta(
    gain: ArrayLike,
    delta: ArrayLike,
    *,
    expert_norm: ArrayLike,
    noise_ratio: ArrayLike,
    num_outputs: int,
) -> Array:
    """Width of the confidence intervals, in posterior standard deviations (lemma A.8).

    `beta(delta) = |pi*|_k + rho sqrt(2 (gamma(Hn) + 1 + log(A / delta)))`: with
    probability at least 1 - delta, no action dimension of the expert is anywhere, after
    any round, further than beta posterior standard deviations from the mean. The
    expert has to lie in the Hilbert space of the kernel.

    Args:
      gain: `gamma(Hn)` of all steps that the posterior is conditioned on, in nats, or
        an upper bound.
      delta: probability of failure, in (0, 1).
      expert_norm: `|pi*|_k`, the largest over action dimensions.
      noise_ratio: rho. beta has no unit, so rho has none: it is the noise's
        sub-Gaussian constant as a multiple of the standard deviation that the
        posterior assumes, 1 for Gaussian noise of the assumed variance. The paper
        prints rho in the unit of the actions, which is the same for unit variance.
      num_outputs: action dimensions A, over which a union bound is taken.

    Raises:
      InvalidArgumentError: an argument outside of its domain.

    Example:
      >>> width = beta(1.0, 0.5, expert_norm=2.0, noise_ratio=1.0, num_outputs=1)
      >>> print(f"{width:.3f}")  # 2 + sqrt(2 (2 + log 2))
      4.321
    """
    _require_not_negative(gain=gain, expert_norm=expert_norm, noise_ratio=noise_ratio)
    ranges.check_all("delta", delta, ranges.OPEN_SHARE)
    ranges.check("num_outputs", num_outputs, ranges.COUNT)
    width = jnp.asarray(gain) + 1.0 + jnp.log(num_outputs / jnp.asarray(delta))
    return jnp.asarray(expert_norm) + noise_ratio * jnp.sqrt(2.0 * width)


def epsilon(
    horizon: int,
    *,
    transition_lipschitz: ArrayLike,
    policy_lipschitz: ArrayLike,
    start_spread: ArrayLike,
    action_spread: ArrayLike,
    transition_spread: ArrayLike,
) -> Array:
    """How far demonstrations of the same tasks can lie apart (lemma A.4).

    `8 H^(3/2) (1 + max(L_P, L_pi))^H max(eps_0, eps_pi, eps_P)`, as printed: a bound on
    the root mean square distance of two sequences of trajectories. Two things are
    missing on paper. To bound a difference of mutual information it has to be
    multiplied with the constant L_I of assumption A.3. And the last line of the proof
    turns (1 + L_P)^H (1 + L_pi)^H into (1 + max(L_P, L_pi))^H, which holds the
    distance only where `L_P (1 + L_pi) <= 1 + max(L_P, L_pi) <= 4`, so for every
    `L_P <= 1` with `L_pi <= 3`.

    Args:
      horizon: steps H of a demonstration.
      transition_lipschitz: L_P of the transition kernel, in the Wasserstein distance.
      policy_lipschitz: L_pi of the noisy expert.
      start_spread: eps_0, the largest distance of two initial states.
      action_spread: eps_pi, of two actions of the noisy expert in one state. Gaussian
        noise (assumption A.1) has no such bound (assumption A.2) except with some
        probability, which delta then has to pay for.
      transition_spread: eps_P, of two successors of one state and action.

    Returns:
      The distance, in the unit of states and actions; 0 where nothing is random.

    Raises:
      InvalidArgumentError: an argument that is negative, or a horizon below 1.

    Example:
      >>> print(epsilon(1, transition_lipschitz=0.0, policy_lipschitz=1.0,
      ...               start_spread=0.0, action_spread=0.5, transition_spread=0.1))
      8.0
    """
    ranges.check("horizon", horizon, ranges.COUNT)
    _require_not_negative(
        transition_lipschitz=transition_lipschitz,
        policy_lipschitz=policy_lipschitz,
        start_spread=start_spread,
        action_spread=action_spread,
        transition_spread=transition_spread,
    )
    growth = 1.0 + jnp.maximum(transition_lipschitz, policy_lipschitz)
    widest = jnp.maximum(jnp.maximum(start_spread, action_spread), transition_spread)
    return 8.0 * horizon**1.5 * growth**horizon * widest


def bound(
    round_gain: ArrayLike,
    confidence: ArrayLike,
    deviation: ArrayLike,
    *,
    q_lipschitz: ArrayLike,
    scales: Float[Array, " A"],
    visitation: ArrayLike,
    discount: ArrayLike,
) -> Array:
    """How much less than the expert the policy returns at most (theorem A.10).

    The formula at the top of this page. It assumes a regular policy (A.1), a Lipschitz
    process (A.2), smooth mutual information (A.3), gains that never grow (A.5), and
    tasks chosen by eq. 1. Appendix B drops the Lipschitz process: in expectation over
    the demonstrations and against the *noisy* expert, the bound is the one with
    `deviation` 0 and `q_lipschitz` 2 L_l Q_max, of noise that is L_l-Lipschitz in total
    variation.

    Args:
      round_gain: Gamma, in nats, or `H / n * gamma(Hn)` of lemma A.6.
      confidence: `beta`.
      deviation: `epsilon`. Lemma A.4 adds it to the gain of a round, lemma A.7
        multiplies by 1 + epsilon: this takes assumption A.3 as relative to the gain. 0
        for a gain measured given the demonstrations at hand: nothing is averaged.
      q_lipschitz: L_Q, Lipschitz constant of the expert's Q-function in the action, in
        units of return per unit of action.
      scales: sigma of each action dimension, the largest prior standard deviation of a
        noisy action, in units of the actions.
      visitation: tau_min. The proof divides by the probability that a demonstration of
        the task visits a state, and by that of an episode of a task drawn from mu_C:
        the smallest of the latter serves for both. Where states are continuous it is
        0 and the bound infinite: apply it to a finite set.
      discount: of the return, in [0, 1). An episode of H steps without discount has
        1 - 1/H: what matters is the total 1 / (1 - discount) of the occupancy.

    Returns:
      The bound in units of the return, one for each of the broadcast arguments.

    Raises:
      InvalidArgumentError: an argument outside of its domain.

    Example:
      >>> limit = bound(0.5, 2.0, 0.0, q_lipschitz=1.0, scales=jnp.array([0.1, 0.2]),
      ...               visitation=0.5, discount=0.5)
      >>> print(f"{limit:.3f}")  # sqrt(2) 0.3 / 0.25 sqrt(4 0.5)
      2.400
    """
    _require_not_negative(
        round_gain=round_gain,
        confidence=confidence,
        deviation=deviation,
        q_lipschitz=q_lipschitz,
        scales=scales,
    )
    ranges.check_all("visitation", visitation, ranges.SHARE_OF_SOME)
    ranges.check_all("discount", discount, ranges.PROPER_SHARE)
    variance = (1.0 + jnp.asarray(deviation)) * jnp.asarray(round_gain)
    distance = confidence * jnp.sqrt(2.0 * variance) * scales.sum() / visitation
    return jnp.asarray(q_lipschitz) / (1.0 - jnp.asarray(discount)) * distance


def _check_kernel(kernel_matrix: Array, noise_variance: ArrayLike) -> None:
    if kernel_matrix.ndim != 2 or kernel_matrix.shape[0] != kernel_matrix.shape[1]:
        raise errors.InvalidArgumentError(
            f"kernel_matrix must be square, got shape {kernel_matrix.shape}"
        )
    ranges.check("noise_variance", noise_variance, ranges.POSITIVE)


def _require_not_negative(**arguments: ArrayLike) -> None:
    for name, value in arguments.items():
        ranges.check_all(name, value, ranges.AT_LEAST_ZERO)
