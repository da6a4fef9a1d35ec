"""Ways not to forget, by name: what the learner of a neural policy is given."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from amf_jax import errors, mixing, regularisers
from amf_jax.mixing import Mixing
from amf_jax.policies.base import Policy
from amf_jax.ranges import COUNT, COUNT_OR_NONE, NOT_NEGATIVE, POSITIVE
from amf_jax.regularisers import Regulariser
from experiments.configs import field
from experiments.methods import Method


class Setup(NamedTuple):
    """What a way is built from.

    Attributes:
      config: the section `forgetting` of the run's.
      policy: that is trained.
      tasks: evaluation tasks `[C, D]`.
      strength: of a penalty; 0 for ways that have none.
    """

    config: ConfigDict
    policy: Policy
    tasks: np.ndarray
    strength: float

    @property
    def num_tasks(self) -> int:
        """C, the number of evaluation tasks."""
        return len(self.tasks)


#: What `learners.gradient_learner` is given as `mixing`, or as `regulariser`.
Way = Mixing | Regulariser

FORGETTING: Mapping[str, Callable[[Setup], Way | None]] = {
    "none": lambda setup: None,
    "adaptive_prior": lambda setup: mixing.descent(
        setup.num_tasks,
        conservatism=setup.config.conservatism,
        learning_rate=setup.config.learning_rate,
        steps=setup.config.steps,
    ),
    "closed_form": lambda setup: mixing.closed_form(
        setup.num_tasks, conservatism=setup.config.conservatism
    ),
    "gate": lambda setup: mixing.gate(
        setup.num_tasks, conservatism=setup.config.conservatism
    ),
    "prequential": lambda setup: mixing.prequential(setup.num_tasks),
    "network": lambda setup: mixing.network(
        setup.tasks, conservatism=setup.config.conservatism
    ),
    "l2": lambda setup: regularisers.l2(setup.strength),
    "ewc": lambda setup: regularisers.ewc(
        setup.policy, setup.strength, samples=setup.config.fisher_samples
    ),
}

_PENALTIES = ("l2", "ewc")

#: The section `forgetting` of a config.
FIELDS = {
    "method": field.name("None: the method's", FORGETTING, optional=True),
    "conservatism": field.number("β of the adaptive prior", NOT_NEGATIVE),
    "learning_rate": field.number("of the mixing weights", POSITIVE),
    "steps": field.number("of the mixing weights per round", COUNT_OR_NONE),
    "strength": field.number(
        "of l2 or ewc; None: the method's", NOT_NEGATIVE, optional=True
    ),
    "fisher_samples": field.number("steps that ewc estimates with", COUNT),
}


def learner_options(
    config: ConfigDict, method: Method, policy: Policy, tasks: np.ndarray
) -> dict[str, Any]:
    """Arguments of `learners.gradient_learner` that keep old skills.

    Raises:
      UnknownNameError: no such way in `forgetting.method`.
      InvalidArgumentError: a strength for a way that has none, or none where it is
        needed.
    """
    name = config.forgetting.method or method.forgetting
    errors.check_name("forgetting.method", name, FORGETTING)
    strength = config.forgetting.strength
    if name in _PENALTIES and strength is None:
        strength = method.strength
    if (name in _PENALTIES) != (strength is not None):
        raise errors.InvalidArgumentError(
            f"forgetting.strength={strength} does not go with {name!r}: it is the"
            f" strength of the penalties {' and '.join(_PENALTIES)}, which need one"
        )
    way = FORGETTING[name](Setup(config.forgetting, policy, tasks, strength or 0.0))
    if way is None:
        return {}
    return {"mixing" if isinstance(way, Mixing) else "regulariser": way}
