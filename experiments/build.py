"""From a resolved config to a driver that is ready to run."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from amf_jax import candidates, embeddings, errors, finetune, learners, selectors
from amf_jax import demonstrations as demonstrations_lib
from amf_jax.demonstrations import Demonstrations
from amf_jax.driver import ActiveFineTuner
from amf_jax.policies import gp, mlp
from experiments import methods
from experiments.suites import base

# Streams of the suites' random numbers: none is drawn from twice.
_PRETRAINING, _DEMONSTRATIONS, _EVALUATION = range(3)
_EMBEDDING_POLICIES = ("pretrained", "validation_copy")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One cell, ready to run.

    Attributes:
      tuner: runs or resumes the rounds.
      suite: to close when done.
    """

    tuner: ActiveFineTuner
    suite: base.Suite


def build(
    config: ConfigDict,
    checkpoint_dir: str | Path | None = None,
    identity: Any = None,
) -> Experiment:
    """Builds the suite, learner, selector and driver that a config describes.

    Raises:
      UnknownNameError: for a suite, method or option that does not exist.
      InvalidArgumentError: for options that contradict each other.
    """
    if config.suite not in BUILDERS:
        raise errors.UnknownNameError("suite", config.suite, BUILDERS)
    method = methods.get(config.method)
    if config.rounds < 1:
        raise errors.InvalidArgumentError(
            f"rounds must be at least 1, got {config.rounds}"
        )
    if config.seed < 0:
        raise errors.InvalidArgumentError(
            f"seed must not be negative, got {config.seed}"
        )
    parts = BUILDERS[config.suite](config, method)
    suite: base.Suite = parts["suite"]
    tuner: ActiveFineTuner

    def demonstrate(task: int | np.ndarray, round_index: int, count: int):
        # The k-th demonstration of a task is the same whatever was asked for between.
        if isinstance(task, int):
            number = int(np.sum(np.asarray(tuner.demos.task_ids) == task))
            return suite.demonstrate(
                (config.seed, _DEMONSTRATIONS, task, number), task, count
            )
        entropy = (config.seed, _DEMONSTRATIONS, round_index)
        return suite.demonstrate(entropy, task, count)

    def evaluate(act: base.Act, state: learners.LearnerState, round_index: int):
        entropy = (config.seed, _EVALUATION, round_index)
        metrics: dict[str, Any] = dict(suite.evaluate(act, entropy, config.attempts))
        if metrics.get("success") is not None:
            metrics["success"] = np.asarray(metrics["success"]).tolist()
            metrics["mean_success"] = float(np.mean(metrics["success"]))
        return metrics | parts.get("measure", lambda state: {})(state)

    tuner = ActiveFineTuner(
        learner=parts["learner"],
        selector=parts["selector"],
        tasks=suite.tasks,
        pretraining=parts["pretraining"],
        demonstrate=demonstrate,
        evaluate=evaluate if config.attempts else None,
        rounds=config.rounds,
        demos_per_round=config.demos_per_round,
        seed=config.seed,
        history=parts.get("history"),
        task_names=suite.task_names,
        checkpoint_dir=checkpoint_dir,
        checkpoint_every=config.checkpoint_every,
        identity=identity,
    )
    return Experiment(tuner, suite)


def _metaworld(config: ConfigDict, method: methods.Method) -> dict[str, Any]:
    """A multi-layer perceptron on the Metaworld scene."""
    from experiments.encoders import minilm
    from experiments.suites import metaworld

    tasks = minilm.standardise(minilm.task_embeddings(metaworld.PROMPTS))
    suite = metaworld.make(tasks=tasks)
    policy = mlp.policy(
        jnp.asarray(suite.observation_mean),
        jnp.asarray(suite.observation_std),
        task_size=suite.tasks.shape[1],
        action_size=suite.action_size,
        likelihood_std=config.selection.likelihood_std,
    )
    options = _selection(config, method)
    copied = options.pop("embedding_policy") == "validation_copy"
    training = config.training
    prior = learners.AdaptivePrior(**config.adaptive_prior)
    learner = learners.gradient_learner(
        policy,
        finetune.adamw_direction(training.weight_decay),
        _training(training, training.pretraining_steps),
        _training(training, training.finetuning_steps),
        num_tasks=len(suite.task_names),
        adaptive_prior=prior if method.adaptive_prior else None,
        validation_copy_after=config.warm_start_rounds if copied else None,
    )
    selector = _selector(
        method,
        embeddings.last_layer_gradient(policy.last_layer),
        policy.log_likelihood,
        options | {"frozen_embeddings": not copied},
    )
    return {
        "suite": suite,
        "learner": learner,
        "selector": selectors.warm_start(selector, config.warm_start_rounds),
        "pretraining": pretraining(suite, config.seed, config.allocation),
    }


def _integrator(config: ConfigDict, method: methods.Method) -> dict[str, Any]:
    """A Gaussian process on the integrator."""
    from experiments.suites import integrator

    active = selectors.get(method.selector).needs_model
    if method.adaptive_prior and not active:
        raise errors.InvalidArgumentError(
            f"method={config.method!r} mixes a fine-tuned with a pre-trained policy,"
            " but a Gaussian process forgets nothing; use 'uniform' on the integrator"
        )
    suite = integrator.make()
    hyperparameters = gp.Hyperparameters(**config.policy)
    policy = gp.policy()
    ids = integrator.pretraining_ids(config.demonstrated_tasks)
    shown = pretraining(
        suite, config.seed, np.bincount(ids, minlength=len(suite.tasks))
    )
    learner = learners.conditioning_learner(
        lambda first, then: gp.condition(hyperparameters, first, then),
        policy,
        demonstrations_lib.empty(
            config.rounds * config.demos_per_round,
            suite.horizon,
            suite.observation_size,
            suite.action_size,
            suite.tasks.shape[1],
        ),
    )
    if config.selection.embedding_policy == "validation_copy":
        raise errors.InvalidArgumentError(
            "selection.embedding_policy='validation_copy' needs a policy that is"
            " trained by gradient; a Gaussian process takes 'pretrained'"
        )
    assert suite.sample_tasks is not None
    options = _selection(config, method)
    del options["embedding_policy"]  # the kernel is fixed whatever the method
    budget = options.pop("shooting_budget")
    selector = _selector(
        method,
        gp.embedding(),
        policy.log_likelihood,
        options
        | {
            # The paper conditions on the history here (section 4.2).
            "condition_on_history": _chosen(config, "condition_on_history", True),
            "frozen_embeddings": True,
            "noise_variance": config.policy.noise**2,
            "optimiser": candidates.random_shooting(suite.sample_tasks, budget),
        },
    )
    states, ids = integrator.expert_states()

    tasks = jnp.asarray(suite.tasks)[ids]

    @jax.jit
    def entropy(params):
        return gp.entropy(params, jnp.asarray(states), tasks)

    warm_rounds = config.warm_start_rounds if active else 0
    return {
        "suite": suite,
        "learner": learner,
        "selector": selectors.warm_start(selector, warm_rounds, suite.sample_tasks),
        "pretraining": shown,
        "history": shown,
        "measure": lambda state: {"entropy": float(entropy(state.params))},
    }


BUILDERS: Mapping[str, Callable[[ConfigDict, methods.Method], dict[str, Any]]] = {
    "integrator": _integrator,
    "metaworld": _metaworld,
}


def pretraining(suite: base.Suite, seed: int, allocation) -> Demonstrations:
    """The pre-training demonstrations: `allocation[c]` of each task c."""
    parts = [
        suite.demonstrate((seed, _PRETRAINING, task), task, int(count))
        for task, count in enumerate(allocation)
        if count
    ]
    return demonstrations_lib.stack(parts)


def _selection(config: ConfigDict, method: methods.Method) -> dict[str, Any]:
    """Options of the selector: the method's, where the config leaves them open."""
    options = dict(config.selection)
    options.pop("likelihood_std", None)  # a property of the policy
    for name in ("weights", "condition_on_history", "embedding_policy"):
        options[name] = _chosen(config, name, getattr(method, name))
    if options["embedding_policy"] not in _EMBEDDING_POLICIES:
        raise errors.UnknownNameError(
            "selection.embedding_policy",
            options["embedding_policy"],
            _EMBEDDING_POLICIES,
        )
    return options


def _chosen(config: ConfigDict, name: str, otherwise):
    value = config.selection.get(name)
    return otherwise if value is None else value


def _selector(method: methods.Method, embedding, log_likelihood, options):
    if not selectors.get(method.selector).needs_model:
        options = {}  # they are the active rules' options
    return selectors.make(method.selector, embedding, log_likelihood, **options)


def _training(training: ConfigDict, steps: int) -> learners.Training:
    schedules = {"cosine": finetune.cosine, "constant": finetune.constant}
    if training.schedule not in schedules:
        raise errors.UnknownNameError("training.schedule", training.schedule, schedules)
    schedule = schedules[training.schedule](training.learning_rate)
    return learners.Training(steps, schedule, training.batch_size)
