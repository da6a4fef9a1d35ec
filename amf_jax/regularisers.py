"""Regularisers: pulls towards the pre-trained parameters while fine-tuning.

What the adaptive prior does to actions, these do to parameters. To the gradient of the
behaviour-cloning loss they add that of

    strength / 2 * sum_p importance_p (theta_p - theta*_p)^2,

theta* being the pre-trained parameters. The sum of both goes through the optimiser:
under Adam, which divides by the size of the gradient, what counts is the strength
relative to the gradient of the loss.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from amf_jax import ranges, windows
from amf_jax.demonstrations import Demonstrations, as_arrays, valid_steps
from amf_jax.finetune import draw_steps
from amf_jax.parameters import merged, trainable
from amf_jax.policies.base import Policy


class Regulariser(NamedTuple):
    """A quadratic penalty on leaving the pre-trained parameters.

    Attributes:
      strength: of the pull; 0 is none.
      importance: `(key, anchor, demos) -> pytree` like the parameters `anchor`, how
        much each of them matters; called once per round. What is not trained (see
        `parameters.trainable`) does not.
    """

    strength: float
    importance: Callable[[Any, Any, Demonstrations], Any]


def penalty_gradient(
    regulariser: Regulariser, key, anchor: Any, demos: Demonstrations
) -> Callable[[Any], Any]:
    """Gradient of the penalty as a function of the parameters, for one round.

    Args:
      regulariser: how strong, and what matters.
      key: for estimates of the importance.
      anchor: the pre-trained parameters.
      demos: the demonstrations at hand.
    """
    importance = trainable(regulariser.importance(key, anchor, demos))
    anchor = trainable(anchor)

    def pull(weight, parameter, start):
        return regulariser.strength * weight * (parameter - start)

    return lambda params: jax.tree.map(pull, importance, trainable(params), anchor)


def l2(strength: float) -> Regulariser:
    """Pulls every parameter alike ("L2-SP", Li et al. 2018).

    Args:
      strength: of the pull.

    Raises:
      InvalidArgumentError: for a negative strength.
    """
    ranges.check("strength", strength, ranges.NOT_NEGATIVE)

    def importance(key, anchor, demos: Demonstrations):
        del key, demos
        return jax.tree.map(jnp.ones_like, trainable(anchor))

    return Regulariser(strength, importance)


def ewc(policy: Policy, strength: float, samples: int = 256) -> Regulariser:
    """Elastic weight consolidation: holds what the policy's actions depend on.

    The importance is the diagonal of the Fisher information at the pre-trained
    parameters, divided by its mean over all parameters, so that a strength means the
    same for every policy and pulls as hard in total as the same strength of `l2`.

    EWC asks for the Fisher information on the data of the *old* tasks, and a policy
    that arrives pre-trained comes without them. It is estimated on the states of the
    demonstrations at hand instead, anew in each round since they become more. That is
    its weakness here: it knows what matters where the expert has been asked, and
    nothing of the skills that are only in the pre-training data.

    The policy is read as a Gaussian of unit variance around its action (another
    variance would cancel in the division), and labels are drawn from that Gaussian, as
    the definition of the Fisher information asks: with the expert's actions as labels,
    the "empirical Fisher" would be largest where the policy is wrong and has to change.
    The square of the log-likelihood's gradient is summed example by example.

    Args:
      policy: whose `act` is differentiable in its parameters.
      strength: of the pull.
      samples: states that the estimate is the mean over, drawn uniformly from all
        recorded steps.

    Raises:
      InvalidArgumentError: for a negative strength, or no sample.

    References:
      Kirkpatrick et al., Overcoming catastrophic forgetting in neural networks, 2017.
      Kunstner et al., Limitations of the empirical Fisher approximation, 2019.
    """
    ranges.check("strength", strength, ranges.NOT_NEGATIVE)
    ranges.check("samples", samples, ranges.COUNT)

    def importance(key, anchor, demos: Demonstrations):
        demos = as_arrays(demos)
        held, gather = trainable(anchor), windows.examples(demos, policy.window)
        draw_key, label_key = jax.random.split(key)
        rows, times = draw_steps(draw_key, demos, samples)

        def add(total, example):
            row, time, key = example
            act_key, noise_key = jax.random.split(key)
            observation, label = gather(row, time)
            action, gradient_of = jax.vjp(
                lambda part: policy.act(
                    merged(part, anchor),
                    act_key,
                    observation,
                    demos.tasks[row],
                ),
                held,
            )
            # The label is action + noise: the gradient of its log-likelihood with
            # respect to the action is the noise.
            noise = jax.random.normal(noise_key, action.shape, action.dtype)
            if isinstance(label, windows.Chunk):
                noise = jnp.where(label.mask[:, None], noise, 0.0)
            (gradient,) = gradient_of(noise)
            return jax.tree.map(lambda sum, g: sum + g**2, total, gradient), None

        zeros = jax.tree.map(jnp.zeros_like, held)
        keys = jax.random.split(label_key, samples)
        total, _ = jax.lax.scan(add, zeros, (rows, times, keys))
        leaves = jax.tree.leaves(total)
        mean = sum(leaf.sum() for leaf in leaves) / sum(leaf.size for leaf in leaves)
        usable = valid_steps(demos).any() & (mean != 0)
        return jax.tree.map(lambda leaf: jnp.where(usable, leaf / mean, 0.0), total)

    return Regulariser(strength, importance)
