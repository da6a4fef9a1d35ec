"""Builds a cell of the integrator, whose policy is a Gaussian process."""

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from amf_jax import candidates, errors, learners, selectors
from amf_jax import demonstrations as demonstrations_lib
from amf_jax.policies import gp
from experiments.builders import base
from experiments.builders.base import Parts
from experiments.methods import METHODS, Method
from experiments.suites import integrator


def build(config: ConfigDict, method: Method) -> Parts:
    """A Gaussian process on the integrator.

    Raises:
      InvalidArgumentError: for a method that needs a policy trained by gradient.
    """
    _check_method(config, method)
    active = selectors.get(method.selector).needs_model
    suite = integrator.make()
    assert suite.sample_tasks is not None
    hyperparameters = gp.Hyperparameters(**config.policy)
    policy = gp.policy()
    ids = integrator.pretraining_ids(config.demonstrated_tasks)
    counts = np.bincount(ids, minlength=len(suite.tasks)).tolist()
    shown = base.pretraining(suite, config.seed, counts)
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
    selector = base.selector(
        config,
        method,
        gp.embedding(),
        policy.log_likelihood,
        counts,
        criterion=base.criterion(config, method, "entropy"),
        # The paper conditions on the history here (section 4.2), whatever the method.
        condition_on_history=base.chosen(config, "condition_on_history", True),
        frozen_embeddings=True,
        noise_variance=config.policy.noise**2,
        optimiser=candidates.random_shooting(
            suite.sample_tasks, config.selection.shooting_budget
        ),
    )
    states, ids = integrator.expert_states()
    tasks = jnp.asarray(suite.tasks)[ids]

    @jax.jit
    def entropy(params):
        return gp.entropy(params, jnp.asarray(states), tasks)

    warm_rounds = config.warm_start_rounds if active else 0
    return Parts(
        suite,
        learner,
        selectors.warm_start(selector, warm_rounds, suite.sample_tasks),
        shown,
        history=shown,
        measure=lambda state: {"entropy": float(entropy(state.params))},
    )


def _check_method(config: ConfigDict, method: Method) -> None:
    """Refuses what is about gradients: a Gaussian process has one kernel, and recalls.

    Most rules come with an adaptive prior; it is left out, as nothing is forgotten.
    """
    default = METHODS["amf"]
    if method.embedding != default.embedding:
        raise errors.InvalidArgumentError(
            f"method={config.method!r} is about embeddings of a neural policy"
            f" ({method.embedding!r}); a Gaussian process has a kernel of its own:"
            " use 'amf' on the integrator"
        )
    renamed = method == METHODS["uniform_adaptive_prior"]
    if renamed or method.forgetting not in ("none", default.forgetting):
        raise errors.InvalidArgumentError(
            f"method={config.method!r} keeps a policy from forgetting"
            f" ({method.forgetting!r}), but a Gaussian process forgets nothing; use"
            " 'uniform' or 'amf' on the integrator"
        )
    asked = config.selection.embedding_policy
    if asked is not None and base.embedding_policy(config, method) != "pretrained":
        raise errors.InvalidArgumentError(
            f"selection.embedding_policy={asked!r} needs a policy that is trained by"
            " gradient; a Gaussian process takes 'pretrained'"
        )
