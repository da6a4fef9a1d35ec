"""Builds a cell of a neural policy, trained by gradient on any suite."""

import jax.numpy as jnp
from ml_collections import ConfigDict

from amf_jax import embeddings, errors, finetune, learners, selectors
from amf_jax.policies import mlp
from experiments.builders import base, forgetting
from experiments.builders.base import Parts
from experiments.methods import Method
from experiments.suites.base import Suite


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


def build(config: ConfigDict, method: Method, suite: Suite) -> Parts:
    """A multi-layer perceptron on a suite.

    Args:
      config: with the sections `selection`, `training` and `forgetting` of
        `experiments/configs/metaworld.py`, and the pre-training `allocation`.
      method: of the cell.
      suite: with a finite set of tasks.

    Raises:
      UnknownNameError: for an option that does not exist.
      InvalidArgumentError: for options that contradict each other.
    """
    policy = mlp.policy(
        jnp.asarray(suite.observation_mean),
        jnp.asarray(suite.observation_std),
        task_size=suite.tasks.shape[1],
        action_size=suite.action_size,
        likelihood_std=config.selection.likelihood_std,
    )
    embedding_policy = base.embedding_policy(config, method)
    copied = embedding_policy == "validation_copy"
    training = config.training
    learner = learners.gradient_learner(
        policy,
        finetune.adamw_direction(training.weight_decay),
        _training(training, training.pretraining_steps),
        _training(training, training.finetuning_steps),
        embedding_policy=embedding_policy,
        validation_copy_after=config.warm_start_rounds if copied else None,
        **forgetting.learner_options(config, method, policy, suite),
    )
    selector = base.selector(
        config,
        method,
        embeddings.make(
            base.chosen(config, "embedding", method.embedding),
            policy,
            dropout_rate=config.selection.dropout_rate,
            dropout_passes=config.selection.dropout_passes,
            projection_rank=config.selection.projection_rank,
        ),
        policy.log_likelihood,
        config.allocation,
        criterion=base.criterion(config, method, "variance"),
        condition_on_history=base.chosen(
            config, "condition_on_history", method.condition_on_history
        ),
        frozen_embeddings=embedding_policy == "pretrained",
    )
    return Parts(
        suite,
        learner,
        selectors.warm_start(selector, config.warm_start_rounds),
        base.pretraining(suite, config.seed, config.allocation),
    )


def _training(training: ConfigDict, steps: int) -> learners.Training:
    schedules = {"cosine": finetune.cosine, "constant": finetune.constant}
    if training.schedule not in schedules:
        raise errors.UnknownNameError("training.schedule", training.schedule, schedules)
    schedule = schedules[training.schedule](training.learning_rate)
    return learners.Training(steps, schedule, training.batch_size)
