"""Builds a run of a Gaussian process, on a suite whose tasks are continuous."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array
from ml_collections import ConfigDict

from amf_jax import candidates, errors, learners, ranges, selectors
from amf_jax import demonstrations as demonstrations_lib
from amf_jax.candidates import Optimiser, TaskSpace
from amf_jax.demonstrations import Demonstrations
from amf_jax.learners import Learner, LearnerState
from amf_jax.policies import gp
from amf_jax.ranges import COUNT, NOT_NEGATIVE, POSITIVE
from amf_jax.selectors import Selector
from experiments.builders import base
from experiments.builders.base import Parts
from experiments.configs import field
from experiments.methods import METHODS, Method
from experiments.suites.base import Environment, Suite

#: What the config states, for methods that are about no other.
CRITERION = "entropy"
#: The paper's, where the config leaves the choice open.
SEARCH = "random_shooting"

_POLICY = {
    "state_lengthscale": field.number("of the kernel, in units of states", POSITIVE),
    "task_lengthscale": field.number("of the kernel, in units of tasks", POSITIVE),
    "signal": field.number("prior deviation of an action", POSITIVE),
    "noise": field.number("deviation of a demonstrated action", POSITIVE),
}

_SEARCH = {
    "name": field.name(
        f"how the best task is searched; None: {SEARCH}",
        candidates.OPTIMISERS,
        optional=True,
    ),
    "refined": field.number("candidates that climb", COUNT, optional=True),
    "steps": field.number("of each climb", COUNT, optional=True),
    "learning_rate": field.number(
        "first step, share of the space", POSITIVE, optional=True
    ),
    "generations": field.number("of cross_entropy", ranges.at_least(2), optional=True),
    "elite_share": field.number("of a generation", ranges.SHARE_OF_SOME, optional=True),
    "least_deviation": field.number("share of the space", NOT_NEGATIVE, optional=True),
}

FIELDS = {
    **field.within("policy", _POLICY),
    **field.within("selection.search", _SEARCH),
    "selection.shooting_budget": field.number("criterion values per selection", COUNT),
}


def check(config: ConfigDict, method: Method, suite: Suite) -> None:
    """Refuses what cannot be built; costs nothing.

    Raises:
      UnknownNameError: for an option that does not exist.
      InvalidArgumentError: for a method that needs a policy trained by gradient or
        success rates, or options that contradict each other.
    """
    base.check_selection(config, method, suite, stated_criterion=CRITERION)
    _check_method(config, method)
    selector(config, method, suite)


def build(
    config: ConfigDict, method: Method, suite: Suite, environment: Environment
) -> Parts:
    """A Gaussian process on a suite.

    Raises:
      AmfError: as `check`.
    """
    shown = base.pretraining(environment, config.seed, suite.counts(config))
    measured = jax.jit(entropy_measure(environment))
    return Parts(
        environment,
        learner(config, blank(config, environment)),
        selector(config, method, suite),
        shown,
        history=shown,
        measure=lambda state: jax.tree.map(float, measured(state)),
    )


def blank(config: ConfigDict, environment: Environment) -> Demonstrations:
    """An empty buffer with room for the whole budget."""
    return demonstrations_lib.empty(
        config.rounds * config.batch * config.demos_per_round,
        environment.horizon,
        len(environment.observation_mean),
        environment.action_size,
        environment.tasks.shape[1],
    )


def hyperparameters(config: ConfigDict) -> gp.Hyperparameters:
    """The kernel and the noise that the section `policy` states."""
    return gp.Hyperparameters(**{name: config.policy[name] for name in _POLICY})


def learner(config: ConfigDict, demos: Demonstrations) -> Learner:
    """Conditions on demonstrations in a buffer like `demos`."""
    kernel = hyperparameters(config)
    return learners.conditioning_learner(
        lambda first, then: gp.condition(kernel, first, then), gp.policy(), demos
    )


def entropy_measure(
    environment: Environment,
) -> Callable[[LearnerState], dict[str, Array]]:
    """What measures the entropy of the policy in the expert's states, if these are."""
    if environment.expert_states is None:
        return lambda state: {}
    states, ids = map(jnp.asarray, environment.expert_states())
    tasks = jnp.asarray(environment.tasks)[ids]
    return lambda state: {"entropy": gp.entropy(state.params, states, tasks)}


def selector(config: ConfigDict, method: Method, suite: Suite) -> Selector:
    """The method's rule behind its warm start."""
    assert suite.space is not None  # else its config has nothing to search with
    active = selectors.get(method.selector).needs_model
    rule = base.selector(
        config,
        method,
        gp.embedding(),
        gp.policy().log_likelihood,
        suite.counts(config),
        criterion=method.criterion or base.chosen(config, "criterion", CRITERION),
        # The paper conditions on the history here (section 4.2), whatever the method.
        condition_on_history=base.chosen(config, "condition_on_history", True),
        frozen_embeddings=True,
        noise_variance=config.policy.noise**2,
        optimiser=_search(config, method, suite.space),
    )
    warm_rounds = config.warm_start_rounds if active else 0
    return selectors.warm_start(rule, warm_rounds, suite.space.sample)


def _search(config: ConfigDict, method: Method, space: TaskSpace) -> Optimiser:
    """How the space is searched for the best task.

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
    # Any point of the space is a task: there is nothing to enumerate.
    known = [key for key, entry in candidates.OPTIMISERS.items() if entry.needs_space]
    errors.check_name("selection.search.name", name, known)
    budget = config.selection.shooting_budget
    return candidates.make(name, space, budget=budget, **given)


def _check_method(config: ConfigDict, method: Method) -> None:
    """Refuses what is about gradients: a Gaussian process recalls.

    Most rules come with an adaptive prior; it is left out, as nothing is forgotten.
    """
    default = METHODS["amf"]
    if method.embedding != default.embedding:
        raise errors.InvalidArgumentError(
            f"method={config.method!r} is about embeddings of a neural policy"
            f" ({method.embedding!r}); a Gaussian process has a kernel of its own:"
            f" use 'amf' on the {config.suite}"
        )
    if method.forgetting not in ("none", default.forgetting):
        raise errors.InvalidArgumentError(
            f"method={config.method!r} keeps a policy from forgetting"
            f" ({method.forgetting!r}), but a Gaussian process forgets nothing; use"
            f" 'uniform' or 'amf' on the {config.suite}"
        )
    plain = METHODS.get(method.selector, method)
    if method != plain and _read(method) == _read(plain):
        raise errors.InvalidArgumentError(
            f"method={config.method!r} differs from {method.selector!r} in what is"
            " about neural policies alone, so that both are the same for a Gaussian"
            f" process; use {method.selector!r} on the {config.suite}"
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
