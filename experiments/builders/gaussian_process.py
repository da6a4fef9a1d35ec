"""Builds a run on the integrator, whose policy is a Gaussian process."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from amf_jax import candidates, errors, learners, selectors
from amf_jax import demonstrations as demonstrations_lib
from amf_jax.candidates import Optimiser
from amf_jax.demonstrations import Demonstrations
from amf_jax.learners import Learner, LearnerState
from amf_jax.policies import gp
from amf_jax.selectors import Selector
from experiments.builders import base
from experiments.builders.base import Parts
from experiments.methods import METHODS, Method
from experiments.suites import integrator

#: What the config states, for methods that are about no other.
CRITERION = "entropy"
#: The paper's, where the config leaves the choice open.
SEARCH = "random_shooting"


def check(config: ConfigDict, method: Method) -> None:
    """Refuses what cannot be built; costs nothing.

    Raises:
      UnknownNameError: for an option that does not exist.
      InvalidArgumentError: for a method that needs a policy trained by gradient or
        success rates, or options that contradict each other.
    """
    base.check_selection(config, method, stated_criterion=CRITERION)
    _check_method(config, method)
    selector(config, method)


def build(config: ConfigDict, method: Method) -> Parts:
    """A Gaussian process on the integrator.

    Raises:
      AmfError: as `check`.
    """
    suite = integrator.make()
    shown = base.pretraining(suite, config.seed, counts(config))
    entropy = jax.jit(expert_entropy)
    return Parts(
        suite,
        learner(config, blank(config)),
        selector(config, method),
        shown,
        history=shown,
        measure=lambda state: {"entropy": float(entropy(state))},
    )


def blank(config: ConfigDict) -> Demonstrations:
    """An empty buffer with room for the whole budget."""
    budget = config.rounds * config.batch * config.demos_per_round
    task_size = integrator.TASKS.shape[1]
    return demonstrations_lib.empty(budget, integrator.HORIZON, 2, 2, task_size)


def learner(config: ConfigDict, demos: Demonstrations) -> Learner:
    """Conditions on demonstrations in a buffer like `demos`."""
    hyperparameters = gp.Hyperparameters(**config.policy)
    return learners.conditioning_learner(
        lambda first, then: gp.condition(hyperparameters, first, then),
        gp.policy(),
        demos,
    )


def expert_entropy(state: LearnerState) -> Float[Array, ""]:
    """Entropy of the policy in the expert's states."""
    states, ids = integrator.expert_states()
    tasks = jnp.asarray(integrator.TASKS, jnp.float32)[ids]
    return gp.entropy(state.params, jnp.asarray(states), tasks)


def counts(config: ConfigDict) -> list[int]:
    """Pre-training demonstrations of each task."""
    ids = integrator.pretraining_ids(config.demonstrated_tasks)
    return np.bincount(ids, minlength=integrator.NUM_TASKS).tolist()


def selector(config: ConfigDict, method: Method) -> Selector:
    """The method's rule behind its warm start."""
    active = selectors.get(method.selector).needs_model
    rule = base.selector(
        config,
        method,
        gp.embedding(),
        gp.policy().log_likelihood,
        counts(config),
        criterion=method.criterion or base.chosen(config, "criterion", CRITERION),
        # The paper conditions on the history here (section 4.2), whatever the method.
        condition_on_history=base.chosen(config, "condition_on_history", True),
        frozen_embeddings=True,
        noise_variance=config.policy.noise**2,
        optimiser=_search(config, method),
    )
    warm_rounds = config.warm_start_rounds if active else 0
    return selectors.warm_start(rule, warm_rounds, integrator.sample_tasks)


def _search(config: ConfigDict, method: Method) -> Optimiser:
    """How the circle is searched for the best task.

    Raises:
      UnknownNameError: for a search that does not exist, or an option it does not read.
      InvalidArgumentError: for options out of range, or a rule that searches nothing.
    """
    given = {
        field: value
        for field, value in config.selection.search.items()
        if value is not None
    }
    if given and not selectors.get(method.selector).needs_model:
        field, value = next(iter(given.items()))
        raise errors.InvalidArgumentError(
            f"selection.search.{field}={value!r} does not go with"
            f" method={config.method!r}, whose rule searches no tasks; leave it out, or"
            " use a method such as 'amf'"
        )
    name = given.pop("name", SEARCH)
    known = [key for key, entry in candidates.OPTIMISERS.items() if entry.needs_space]
    if name not in known:  # any point of the circle is a task: nothing to enumerate
        raise errors.UnknownNameError("selection.search.name", name, known)
    budget = config.selection.shooting_budget
    return candidates.make(name, integrator.SPACE, budget=budget, **given)


def _check_method(config: ConfigDict, method: Method) -> None:
    """Refuses what is about gradients or success: a Gaussian process recalls.

    Most rules come with an adaptive prior; it is left out, as nothing is forgotten.
    """
    default = METHODS["amf"]
    if method.selector == "learning_progress":
        raise errors.InvalidArgumentError(
            f"method={config.method!r} looks at success rates, and the integrator has"
            " none, but a return; use 'uniform' or 'amf' on the integrator"
        )
    if method.embedding != default.embedding:
        raise errors.InvalidArgumentError(
            f"method={config.method!r} is about embeddings of a neural policy"
            f" ({method.embedding!r}); a Gaussian process has a kernel of its own:"
            " use 'amf' on the integrator"
        )
    if method.forgetting not in ("none", default.forgetting):
        raise errors.InvalidArgumentError(
            f"method={config.method!r} keeps a policy from forgetting"
            f" ({method.forgetting!r}), but a Gaussian process forgets nothing; use"
            " 'uniform' or 'amf' on the integrator"
        )
    plain = METHODS.get(method.selector, method)
    if method != plain and _read(method) == _read(plain):
        raise errors.InvalidArgumentError(
            f"method={config.method!r} differs from {method.selector!r} in what is"
            " about neural policies alone, so that both are the same for a Gaussian"
            f" process; use {method.selector!r} on the integrator"
        )
    asked = base.chosen(config, "embedding_policy", "pretrained")
    if asked != "pretrained":
        raise errors.InvalidArgumentError(
            f"selection.embedding_policy={asked!r} needs a policy that is trained by"
            " gradient; a Gaussian process takes 'pretrained'"
        )


def _read(method: Method) -> tuple[str | None, ...]:
    """What a Gaussian process sees of a method."""
    return method.selector, method.criterion or CRITERION, method.weights
