"""Builds a run of a policy that is trained by gradient, on any suite."""

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from amf_jax import embeddings, finetune, learners, selectors
from amf_jax.policies import mlp
from amf_jax.policies.base import Policy
from amf_jax.ranges import COUNT, COUNT_OR_NONE, NOT_NEGATIVE, POSITIVE
from amf_jax.selectors import Selector
from experiments.builders import base, forgetting
from experiments.builders.base import Builder, Parts
from experiments.configs import field
from experiments.configs.field import Field
from experiments.methods import Method
from experiments.suites.base import Environment, Suite

#: Learning rate over a training, by the name in `training.schedule`.
SCHEDULES = {"cosine": finetune.cosine, "constant": finetune.constant}

_TRAINING = {
    "batch_size": field.number("steps of demonstrations per gradient step", COUNT),
    "weight_decay": field.number("of AdamW", NOT_NEGATIVE),
    "schedule": field.name("of the learning rate", SCHEDULES),
    "learning_rate": field.number("of AdamW, at its highest", POSITIVE),
    "pretraining_steps": field.number("gradient steps", COUNT_OR_NONE),
    "finetuning_steps": field.number("gradient steps per round", COUNT_OR_NONE),
}


#: Default and meaning of fields of a config.
Section = Mapping[str, tuple[Any, Field]]

#: What the policy `mlp` reads of `config.policy`; where it is not there, the defaults.
MLP: Section = {
    "observation_horizon": (1, field.number("observations that it sees", COUNT)),
    "action_chunk": (1, field.number("actions that it gives at once", COUNT)),
    "executed_steps": (
        None,
        field.number(
            "of these, before it is asked again; None: all", COUNT, optional=True
        ),
    ),
}

#: `(config, environment's observation mean and std, widths of task and action)`.
MakePolicy = Callable[[ConfigDict, Any, Any, int, int], Policy]


def builder(
    make_policy: MakePolicy, section: Section = MappingProxyType({})
) -> Builder:
    """The builder of a policy that is trained by gradient.

    Args:
      make_policy: `(config, observation_mean, observation_std, task_size, action_size)
        -> Policy`.
      section: default and meaning of the fields that it reads of `config.policy`.
    """
    return Builder(
        check=functools.partial(_check, make_policy),
        build=functools.partial(_build, make_policy),
        fields={
            **field.within("policy", {name: one for name, (_, one) in section.items()}),
            **field.within("training", _TRAINING),
            **field.within("forgetting", forgetting.FIELDS),
        },
        section={name: default for name, (default, _) in section.items()},
    )


def _check(
    make_policy: MakePolicy, config: ConfigDict, method: Method, suite: Suite
) -> None:
    # What is built checks its options, and they do not depend on the suite's sizes.
    policy = make_policy(config, np.zeros(1, np.float32), np.ones(1, np.float32), 1, 1)
    tasks = np.zeros((len(config.task_names), 1), np.float32)
    base.check_selection(config, method, suite)
    _selector(config, method, policy, suite)
    _learner(config, method, policy, tasks)


def _build(
    make_policy: MakePolicy,
    config: ConfigDict,
    method: Method,
    suite: Suite,
    environment: Environment,
) -> Parts:
    policy = make_policy(
        config,
        environment.observation_mean,
        environment.observation_std,
        environment.tasks.shape[1],
        environment.action_size,
    )
    return Parts(
        environment,
        _learner(config, method, policy, environment.tasks),
        _selector(config, method, policy, suite),
        base.pretraining(environment, config.seed, suite.counts(config)),
    )


def mlp_policy(
    config: ConfigDict,
    observation_mean: Any,
    observation_std: Any,
    task_size: int,
    action_size: int,
) -> Policy:
    """A multi-layer perceptron."""
    return mlp.policy(
        observation_mean,
        observation_std,
        task_size=task_size,
        action_size=action_size,
        likelihood_std=config.selection.likelihood_std,
        **{name: config.policy[name] for name in MLP if name in config.policy},
    )


def _selector(
    config: ConfigDict, method: Method, policy: Policy, suite: Suite
) -> Selector:
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
        suite.counts(config),
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
