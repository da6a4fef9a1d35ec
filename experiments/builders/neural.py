"""Builds a run of a neural policy, trained by gradient on any suite."""

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from amf_jax import embeddings, finetune, learners, selectors
from amf_jax.policies import mlp
from amf_jax.policies.base import Policy
from amf_jax.selectors import Selector
from experiments.builders import base, forgetting
from experiments.builders.base import Parts
from experiments.methods import Method
from experiments.suites.base import Suite

#: Learning rate over a training, by the name in `training.schedule`.
SCHEDULES = {"cosine": finetune.cosine, "constant": finetune.constant}


def metaworld(config: ConfigDict, method: Method) -> Parts:
    """The Metaworld scene, its tasks given as sentences."""
    from experiments.encoders import minilm
    from experiments.suites import metaworld

    tasks = minilm.standardise(minilm.task_embeddings(metaworld.PROMPTS))
    return build(config, method, metaworld.make(tasks=tasks))


def kitchen(config: ConfigDict, method: Method) -> Parts:
    """The Franka kitchen, its tasks given as sentences."""
    from experiments.encoders import minilm
    from experiments.suites import kitchen

    tasks = minilm.standardise(minilm.task_embeddings(kitchen.PROMPTS))
    suite = kitchen.make(tasks=tasks, physics=config.physics)
    return build(config, method, suite)


def check(config: ConfigDict, method: Method) -> None:
    """Refuses what cannot be built on any suite; starts and trains nothing.

    Args:
      config: as in `build`.
      method: of the run.

    Raises:
      UnknownNameError: for an option that does not exist.
      InvalidArgumentError: for options that contradict each other.
    """
    # What is built checks its options, and they do not depend on the suite's sizes.
    policy = _policy(config, np.zeros(1, np.float32), np.ones(1, np.float32), 1, 1)
    tasks = np.zeros((len(config.task_names), 1), np.float32)
    _selector(config, method, policy)
    _learner(config, method, policy, tasks)


def build(config: ConfigDict, method: Method, suite: Suite) -> Parts:
    """A multi-layer perceptron on a suite.

    Args:
      config: with the sections `selection`, `training` and `forgetting` of
        `experiments/configs/metaworld.py`, and the pre-training `allocation`.
      method: of the run.
      suite: with a finite set of tasks.

    Raises:
      AmfError: as `check`.
    """
    policy = _policy(
        config,
        suite.observation_mean,
        suite.observation_std,
        suite.tasks.shape[1],
        suite.action_size,
    )
    return Parts(
        suite,
        _learner(config, method, policy, suite.tasks),
        _selector(config, method, policy),
        base.pretraining(suite, config.seed, config.allocation),
    )


def _policy(
    config: ConfigDict,
    observation_mean: np.ndarray,
    observation_std: np.ndarray,
    task_size: int,
    action_size: int,
) -> Policy:
    return mlp.policy(
        jnp.asarray(observation_mean),
        jnp.asarray(observation_std),
        task_size=task_size,
        action_size=action_size,
        likelihood_std=config.selection.likelihood_std,
    )


def _selector(config: ConfigDict, method: Method, policy: Policy) -> Selector:
    base.check_selection(config, method)
    embedding = embeddings.make(
        base.chosen(config, "embedding", method.embedding),
        policy,
        dropout_rate=config.selection.dropout_rate,
        dropout_passes=config.selection.dropout_passes,
        projection_rank=config.selection.projection_rank,
    )
    selector = base.selector(
        config,
        method,
        embedding,
        policy.log_likelihood,
        config.allocation,
        criterion=method.criterion or base.chosen(config, "criterion", "variance"),
        condition_on_history=base.chosen(
            config, "condition_on_history", method.condition_on_history
        ),
        frozen_embeddings=_embedding_policy(config, method) == "pretrained",
    )
    return selectors.warm_start(selector, config.warm_start_rounds)


def _learner(
    config: ConfigDict, method: Method, policy: Policy, tasks: np.ndarray
) -> learners.Learner:
    embedding_policy = _embedding_policy(config, method)
    copied = embedding_policy == "validation_copy"
    training = config.training
    return learners.gradient_learner(
        policy,
        finetune.adamw_direction(training.weight_decay),
        _training(training, training.pretraining_steps),
        _training(training, training.finetuning_steps),
        embedding_policy=embedding_policy,
        validation_copy_after=base.warm_start_selections(config) if copied else None,
        **forgetting.learner_options(config, method, policy, tasks),
    )


def _embedding_policy(config: ConfigDict, method: Method) -> str:
    return base.chosen(config, "embedding_policy", method.embedding_policy)


def _training(training: ConfigDict, steps: int) -> learners.Training:
    schedule = SCHEDULES[training.schedule](training.learning_rate)
    return learners.Training(steps, schedule, training.batch_size)
