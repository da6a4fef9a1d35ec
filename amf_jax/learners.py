"""Learners: what turns demonstrations into a policy, as pure functions.

The driver knows nothing about gradients or Gaussian processes; it threads a
`LearnerState` through `update` once per round.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float

from amf_jax import devices, errors, losses, ranges
from amf_jax.demonstrations import Demonstrations
from amf_jax.finetune import check_direction, finetune
from amf_jax.mixing import Mixing, MixingState, compare
from amf_jax.parameters import trainable
from amf_jax.policies.base import Policy
from amf_jax.regularisers import Regulariser, penalty_gradient
from amf_jax.windows import STEP, Window

#: Where selection may take its embeddings, see `gradient_learner`.
EMBEDDING_POLICIES = ("pretrained", "validation_copy", "current")


class LearnerState(NamedTuple):
    """What a learner carries from round to round.

    Attributes:
      params: of the policy that acts.
      prior_params: of the frozen pre-trained policy.
      embedding_params: what selection takes its embeddings at.
      mixing: alpha of the evaluation tasks, or None without an adaptive prior.
      auxiliary: whatever else the learner needs, such as optimiser states.
    """

    params: Any
    prior_params: Any
    embedding_params: Any
    mixing: Float[Array, " C"] | None
    auxiliary: Any


class Learner(NamedTuple):
    """Pure functions around a `LearnerState`.

    Attributes:
      init: `(key, pretraining demonstrations) -> LearnerState`; pre-trains.
      update: `(key, state, demos) -> (state, metrics)`, one round on all demonstrations
        at hand; `metrics` is a dict of arrays.
      act: `(state, key, observations [B, ...], tasks [B, D], task_ids [B]) ->
        actions [B, A]`, or chunks of actions `[B, K, A]`.
      window: of the policy: what `act` sees and gives.
    """

    init: Callable[..., LearnerState]
    update: Callable[..., tuple[LearnerState, dict[str, Array]]]
    act: Callable[..., Array]
    window: Window = STEP


@dataclasses.dataclass(frozen=True)
class Training:
    """How a policy is trained.

    Attributes:
      steps: gradient steps.
      schedule: learning rate as a function of progress within the call.
      batch_size: examples per step.

    Raises:
      InvalidArgumentError: for a number out of range, or a schedule that is none.

    Example:
      >>> Training(-1, lambda progress: 1e-3)
      Traceback (most recent call last):
      amf_jax.errors.InvalidArgumentError: steps must be a whole number, at least 0, ...
    """

    steps: int
    schedule: Callable[[Array], Array]
    batch_size: int = 256

    def __post_init__(self):
        ranges.check("steps", self.steps, ranges.COUNT_OR_NONE)
        ranges.check("batch_size", self.batch_size, ranges.COUNT)
        if not callable(self.schedule):
            raise errors.InvalidArgumentError(
                "schedule must be a function of progress, such as"
                f" finetune.cosine(1e-3), got {self.schedule!r}"
            )


class GradientState(NamedTuple):
    """What `gradient_learner` carries in `LearnerState.auxiliary`.

    Attributes:
      opt_state: of the policy.
      copy_opt_state: of the validation copy, or None without one.
      mixing: `MixingState.auxiliary`, or None without an adaptive prior.
    """

    opt_state: Any
    copy_opt_state: Any
    mixing: Any


def gradient_learner(
    policy: Policy,
    optimizer: optax.GradientTransformation,
    pretraining: Training,
    finetuning: Training,
    *,
    mixing: Mixing | None = None,
    regulariser: Regulariser | None = None,
    embedding_policy: str = "pretrained",
    validation_copy_after: int | None = None,
    initial_params: Any | None = None,
    mesh: Mesh | None = None,
) -> Learner:
    """Behaviour cloning by gradient descent, with what keeps it from forgetting.

    Args:
      policy: any differentiable policy.
      optimizer: descent direction without learning rate; its state carries over rounds.
      pretraining: how `init` trains on the pre-training demonstrations.
      finetuning: how `update` trains on the demonstrations at hand.
      mixing: mixes the actions of the pre-trained policy back in (the adaptive prior);
        None for the fine-tuned policy alone.
      regulariser: pulls fine-tuning towards the pre-trained parameters; None for none.
      embedding_policy: what selection takes its embeddings at. "pretrained": the frozen
        pre-trained policy. "current": the fine-tuned policy. "validation_copy": a
        separate copy that is fine-tuned on all but the first demonstrations, which so
        act as a small validation set (appendix M.3.3).
      validation_copy_after: how many first (warm-start) demonstrations that copy is not
        trained on; to be given with "validation_copy" alone.
      initial_params: parameters of a policy that is already pre-trained; `init` then
        trains nothing.
      mesh: devices that divide the minibatches of both trainings, see `finetune`.

    Raises:
      UnknownNameError: for an embedding policy that does not exist.
      InvalidArgumentError: if `validation_copy_after` does not fit `embedding_policy`,
        or there is no way to come by a pre-trained policy.
    """
    if initial_params is None and policy.init is None:
        raise errors.InvalidArgumentError(
            "policy.init is None; pass initial_params with the pre-trained parameters"
        )
    errors.check_name("embedding_policy", embedding_policy, EMBEDDING_POLICIES)
    after = validation_copy_after
    ranges.check("validation_copy_after", after, ranges.COUNT_OR_NONE, optional=True)
    if (embedding_policy == "validation_copy") != (after is not None):
        raise errors.InvalidArgumentError(
            "validation_copy_after must be a number with"
            " embedding_policy='validation_copy' and None with any other, got"
            f" {after} with {embedding_policy!r}"
        )
    devices.check(mesh)

    def train(key, params, opt_state, demos, training: Training, penalty=None):
        return finetune(
            policy.loss,
            optimizer,
            training.schedule,
            key,
            params,
            opt_state,
            demos,
            training.steps,
            batch_size=training.batch_size,
            penalty=penalty,
            encode_task=policy.encode_task,
            window=policy.window,
            mesh=mesh,
        )

    def init(key, demos: Demonstrations | None) -> LearnerState:
        init_key, train_key, mixing_key = jax.random.split(key, 3)
        if initial_params is not None:
            check_direction(optimizer, initial_params)
            params = initial_params
        elif demos is None:
            raise errors.InvalidArgumentError(
                "pretraining demonstrations are needed unless initial_params holds the"
                " parameters of a pre-trained policy"
            )
        else:
            assert policy.init is not None
            fresh = policy.init(init_key)
            opt_state = optimizer.init(trainable(fresh))
            params = train(train_key, fresh, opt_state, demos, pretraining).params
        opt_state = optimizer.init(trainable(params))
        copy = opt_state if embedding_policy == "validation_copy" else None
        alpha, rest = (None, None) if mixing is None else mixing.init(mixing_key)
        auxiliary = GradientState(opt_state, copy, rest)
        state = LearnerState(params, params, params, alpha, auxiliary)
        return devices.replicate(mesh, state)

    def update(key, state: LearnerState, demos: Demonstrations):
        train_key, copy_key, mixing_key, *penalty_keys = jax.random.split(key, 5)
        prior_params, (opt_state, copy_state, rest) = (
            state.prior_params,
            state.auxiliary,
        )

        def trained_on(demos, key, penalty_key, params, opt_state):
            pull = None
            if regulariser is not None and regulariser.strength != 0:
                pull = penalty_gradient(regulariser, penalty_key, prior_params, demos)
            return train(key, params, opt_state, demos, finetuning, pull)

        trained = trained_on(demos, train_key, penalty_keys[0], state.params, opt_state)
        embedding_params = state.embedding_params
        if embedding_policy == "current":
            embedding_params = trained.params
        elif after is not None:
            rows = jnp.arange(demos.demo_mask.shape[0])
            later = demos.demo_mask & (rows >= after)
            embedding_params, copy_state, _ = trained_on(
                demos._replace(demo_mask=later),
                copy_key,
                penalty_keys[1],
                embedding_params,
                copy_state,
            )
        alpha = state.mixing
        if mixing is not None:
            of_whom = trained.params, state.params, prior_params
            compared = compare(policy, mixing_key, *of_whom, demos)
            alpha, rest = mixing.update(_mixing_state(state), compared)
        auxiliary = GradientState(trained.opt_state, copy_state, rest)
        carried = trained.params, prior_params, embedding_params, alpha, auxiliary
        return LearnerState(*carried), {"losses": trained.losses}

    def act(state: LearnerState, key, observations, tasks, task_ids):
        policy_key, prior_key = jax.random.split(key)
        actions = policy.act(state.params, policy_key, observations, tasks)
        if mixing is None:
            return actions
        prior = policy.act(state.prior_params, prior_key, observations, tasks)
        alpha = mixing.weights(_mixing_state(state), tasks, task_ids)
        alpha = jnp.expand_dims(alpha, range(1, actions.ndim - 1))  # alike in a chunk
        return losses.mix_actions(alpha, actions, prior)

    return Learner(init, update, act, policy.window)


def _mixing_state(state: LearnerState) -> MixingState:
    assert state.mixing is not None
    return MixingState(state.mixing, state.auxiliary.mixing)


def conditioning_learner(
    condition: Callable[[Demonstrations, Demonstrations], Any],
    policy: Policy,
    blank: Demonstrations,
) -> Learner:
    """Learns by conditioning: for Gaussian processes, which have no gradient steps.

    Args:
      condition: `(pre-training demonstrations, demonstrations at hand) -> params`.
      policy: acts with those parameters, by its window.
      blank: an empty buffer of the shape that `update` will be given, so that the
        parameters have the same shapes before the first round as after.
    """

    def init(key, demos: Demonstrations) -> LearnerState:
        del key  # conditioning is exact
        params = condition(demos, blank)
        return LearnerState(params, params, params, None, demos)

    def update(key, state: LearnerState, demos: Demonstrations):
        del key
        return state._replace(params=condition(state.auxiliary, demos)), {}

    def act(state: LearnerState, key, observations, tasks, task_ids):
        del task_ids
        return policy.act(state.params, key, observations, tasks)

    return Learner(init, update, act, policy.window)
