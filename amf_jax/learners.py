"""Learners: what turns demonstrations into a policy, as pure functions.

The driver knows nothing about gradients or Gaussian processes; it threads a
`LearnerState` through `update` once per round.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from amf_jax import demonstrations as demonstrations_lib
from amf_jax import errors, losses
from amf_jax.demonstrations import Demonstrations
from amf_jax.finetune import finetune
from amf_jax.policies.base import Policy


class LearnerState(NamedTuple):
    """What a learner carries from round to round.

    Attributes:
      params: of the policy that acts.
      prior_params: of the frozen pre-trained policy.
      embedding_params: what selection takes its embeddings at.
      mixing: alpha per task of the adaptive prior, or None without one.
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
      act: `(state, key, observations [B, S], tasks [B, D], task_ids [B]) ->
        actions [B, A]`.
    """

    init: Callable[..., LearnerState]
    update: Callable[..., tuple[LearnerState, dict[str, Array]]]
    act: Callable[..., Array]


class Training(NamedTuple):
    """How a policy is trained.

    Attributes:
      steps: gradient steps.
      schedule: learning rate as a function of progress within the call.
      batch_size: examples per step.
    """

    steps: int
    schedule: Callable[[Array], Array]
    batch_size: int = 256


class AdaptivePrior(NamedTuple):
    """Hyperparameters of the mixing weights (section 4.2, appendix H).

    Attributes:
      conservatism: beta; 0.1 with the error averaged over action dimensions.
      learning_rate: of the descent on alpha.
      steps: descent steps per round.
    """

    conservatism: float = 0.1
    learning_rate: float = 1.0
    steps: int = 200


def gradient_learner(
    policy: Policy,
    optimizer: optax.GradientTransformation,
    pretraining: Training,
    finetuning: Training,
    num_tasks: int,
    *,
    adaptive_prior: AdaptivePrior | None = None,
    validation_copy_after: int | None = None,
    initial_params: Any | None = None,
) -> Learner:
    """Behaviour cloning by gradient descent, with an optional adaptive prior.

    Args:
      policy: any differentiable policy.
      optimizer: descent direction without learning rate; its state carries over rounds.
      pretraining: how `init` trains on the pre-training demonstrations.
      finetuning: how `update` trains on the demonstrations at hand.
      num_tasks: C, the number of evaluation tasks.
      adaptive_prior: mixes the pre-trained policy back in, per task; None for none.
      validation_copy_after: if given, embeddings come from a separate copy of the
        policy that is not trained on this many first (warm-start) demonstrations, which
        so act as a small validation set (appendix M.3.3). None takes embeddings at the
        frozen pre-trained policy.
      initial_params: parameters of a policy that is already pre-trained; `init` then
        trains nothing.
    """
    if initial_params is None and policy.init is None:
        raise errors.InvalidArgumentError(
            "policy.init is None; pass initial_params with the pre-trained parameters"
        )

    def train(key, params, opt_state, demos, training: Training):
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
        )

    def init(key, demos: Demonstrations | None) -> LearnerState:
        if initial_params is not None:
            params = initial_params
        elif demos is None:
            raise errors.InvalidArgumentError(
                "pretraining demonstrations are needed unless initial_params holds the"
                " parameters of a pre-trained policy"
            )
        else:
            assert policy.init is not None
            init_key, train_key = jax.random.split(key)
            fresh = policy.init(init_key)
            params = train(
                train_key, fresh, optimizer.init(fresh), demos, pretraining
            ).params
        opt_state = optimizer.init(params)
        copy = None if validation_copy_after is None else opt_state
        mixing = None if adaptive_prior is None else jnp.zeros((num_tasks,))
        return LearnerState(params, params, params, mixing, (opt_state, copy))

    def update(key, state: LearnerState, demos: Demonstrations):
        train_key, copy_key, mixing_key = jax.random.split(key, 3)
        opt_state, copy_state = state.auxiliary
        trained = train(train_key, state.params, opt_state, demos, finetuning)
        embedding_params = state.embedding_params
        if validation_copy_after is not None:
            rows = jnp.arange(demos.demo_mask.shape[0])
            unseen = demos._replace(
                demo_mask=demos.demo_mask & (rows >= validation_copy_after)
            )
            copy = train(copy_key, embedding_params, copy_state, unseen, finetuning)
            embedding_params, copy_state = copy.params, copy.opt_state
        mixing = state.mixing
        if adaptive_prior is not None:
            mixing = fit(mixing_key, trained.params, state.prior_params, mixing, demos)
        new = LearnerState(
            trained.params,
            state.prior_params,
            embedding_params,
            mixing,
            (trained.opt_state, copy_state),
        )
        return new, {"losses": trained.losses}

    def fit(key, params, prior_params, mixing, demos: Demonstrations):
        assert adaptive_prior is not None
        demos = demonstrations_lib.without_padding(demos)
        tasks = jnp.broadcast_to(
            demos.tasks[:, None], (*demos.step_mask.shape, demos.tasks.shape[-1])
        )
        policy_key, prior_key = jax.random.split(key)
        return losses.fit_mixing(
            mixing,
            demos.actions,
            policy.act(params, policy_key, demos.observations, tasks),
            policy.act(prior_params, prior_key, demos.observations, tasks),
            demos.task_ids,
            demonstrations_lib.valid_steps(demos),
            adaptive_prior.conservatism,
            learning_rate=adaptive_prior.learning_rate,
            steps=adaptive_prior.steps,
        )

    def act(state: LearnerState, key, observations, tasks, task_ids):
        policy_key, prior_key = jax.random.split(key)
        actions = policy.act(state.params, policy_key, observations, tasks)
        if state.mixing is None:
            return actions
        prior = policy.act(state.prior_params, prior_key, observations, tasks)
        return losses.mix_actions(state.mixing[task_ids], actions, prior)

    return Learner(init, update, act)


def conditioning_learner(
    condition: Callable[[Demonstrations, Demonstrations], Any],
    policy: Policy,
    blank: Demonstrations,
) -> Learner:
    """Learns by conditioning: for Gaussian processes, which have no gradient steps.

    Args:
      condition: `(pre-training demonstrations, demonstrations at hand) -> params`.
      policy: acts with those parameters.
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

    return Learner(init, update, act)
