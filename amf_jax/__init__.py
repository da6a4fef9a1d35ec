"""Active multi-task fine-tuning in JAX: which task to demonstrate next.

The pieces compose without the driver, in this order: `embeddings` (points of a
Gaussian process), `posterior` (factor once, score many), `importance` (whose states a
demonstration stands for), `criteria` (uncertainty that a demonstration would leave),
`selectors` (which task to ask for), `streaming` (the same from a pool that does not fit
in memory). `learners` and `ActiveFineTuner` run the rounds, `loop` all of them as one
pure function; `mixing` and `regularisers` keep a learner from forgetting. `theory`
bounds how far from the expert a policy can be.

`amf_jax.policies.gp` and `amf_jax.policies.mlp` hold ready-made policies.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amf_jax import (
        candidates,
        criteria,
        demonstrations,
        embeddings,
        encoders,
        errors,
        finetune,
        fitting,
        greedy,
        importance,
        learners,
        loop,
        losses,
        mixing,
        policies,
        posterior,
        ranking,
        regularisers,
        selectors,
        streaming,
        theory,
        validation,
    )
    from amf_jax.demonstrations import Demonstrations
    from amf_jax.embeddings import Embedding
    from amf_jax.encoders import Encoder
    from amf_jax.learners import Learner, LearnerState
    from amf_jax.mixing import Mixing
    from amf_jax.policies.base import Policy
    from amf_jax.ranking import Ranking, rank_tasks, rank_tasks_by_gradients
    from amf_jax.regularisers import Regulariser
    from amf_jax.selectors.base import Choice, Context, Selector
    from amf_jax.selectors.context import check_context
    from amf_jax.session.driver import ActiveFineTuner

__version__ = "0.1.0"

__all__ = [
    "ActiveFineTuner",
    "Choice",
    "Context",
    "Demonstrations",
    "Embedding",
    "Encoder",
    "Learner",
    "LearnerState",
    "Mixing",
    "Policy",
    "Ranking",
    "Regulariser",
    "Selector",
    "candidates",
    "check_context",
    "criteria",
    "demonstrations",
    "embeddings",
    "encoders",
    "errors",
    "finetune",
    "fitting",
    "greedy",
    "importance",
    "learners",
    "loop",
    "losses",
    "mixing",
    "policies",
    "posterior",
    "rank_tasks",
    "rank_tasks_by_gradients",
    "ranking",
    "regularisers",
    "selectors",
    "streaming",
    "theory",
    "validation",
]

#: The modules of the names that are no modules themselves. All are imported when they
#: are first asked for, so that `amf --help` answers without JAX.
_MODULES = {
    "ActiveFineTuner": "session.driver",
    "Choice": "selectors",
    "Context": "selectors",
    "Demonstrations": "demonstrations",
    "Embedding": "embeddings",
    "Encoder": "encoders",
    "Learner": "learners",
    "LearnerState": "learners",
    "Mixing": "mixing",
    "Policy": "policies.base",
    "Ranking": "ranking",
    "Regulariser": "regularisers",
    "Selector": "selectors",
    "check_context": "selectors.context",
    "rank_tasks": "ranking",
    "rank_tasks_by_gradients": "ranking",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = importlib.import_module(f"{__name__}.{_MODULES.get(name, name)}")
    if name in _MODULES:
        value = getattr(value, name)
    return globals().setdefault(name, value)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
