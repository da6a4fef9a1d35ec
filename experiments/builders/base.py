"""What builders share: the parts of a run, and a method's options under a config."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from amf_jax import demonstrations as demonstrations_lib
from amf_jax import errors, selectors
from amf_jax.demonstrations import Demonstrations
from amf_jax.embeddings import Embedding
from amf_jax.learners import Learner, LearnerState
from amf_jax.loop import Rounds
from amf_jax.selectors import Selector
from experiments.configs.field import Field
from experiments.methods import Method
from experiments.suites.base import Environment, Suite

# Streams of the suites' random numbers, the second number behind a seed: none is drawn
# from twice. SeedSequence takes less than four numbers for four that end in zeros, so
# every stream is told by at least four.
PRETRAINING, DEMONSTRATIONS, EVALUATION, RECORDING = range(4)

#: Fields of `config.selection` that every active rule takes as they are.
_RULE_OPTIONS = (
    "noise_variance",
    "normalise_kernel",
    "likelihood_clip",
    "trajectory_samples",
)

#: Fields of `config.selection` that are open unless somebody chose.
_CHOICES = (
    "weights",
    "criterion",
    "embedding",
    "embedding_policy",
    "condition_on_history",
)


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a driver is made of.

    Attributes:
      environment: its tasks, its expert and its evaluation.
      learner: turns demonstrations into a policy.
      selector: decides what to demonstrate next, warm start included.
      pretraining: the demonstrations that pre-training sees.
      history: those that selection conditions on from the start.
      measure: further metrics of a state, by name.
    """

    environment: Environment
    learner: Learner
    selector: Selector
    pretraining: Demonstrations
    history: Demonstrations | None = None
    measure: Callable[[LearnerState], Mapping[str, float]] = lambda state: {}


@dataclasses.dataclass(frozen=True)
class Program:
    """Whole runs as one pure function, for suites that can be traced.

    Attributes:
      inputs: `(config, suite) -> pytree` of arrays: all that tells runs that share a
        program from each other.
      run: `(config, suite) -> function` of the inputs, which returns `loop.Rounds`.
        Metrics have the names of fields of a record.
    """

    inputs: Callable[[ConfigDict, Suite], Any]
    run: Callable[[ConfigDict, Suite], Callable[[Any], Rounds]]


@dataclasses.dataclass(frozen=True)
class Builder:
    """What makes runs of one kind of policy.

    Attributes:
      check: `(config, method, suite)`: raises what `build` would say of the three, but
        starts and trains nothing.
      build: `(config, method, suite, environment) -> Parts`.
      fields: of its configs that other policies do not read.
      section: what `policy` holds in a config that names this policy in place of the
        suite's own.
      program: whole runs as one pure function; None where they cannot be traced.
    """

    check: Callable[[ConfigDict, Method, Suite], None]
    build: Callable[[ConfigDict, Method, Suite, Environment], Parts]
    fields: Mapping[str, Field]
    section: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    program: Program | None = None


def chosen(config: ConfigDict, field: str, otherwise: Any) -> Any:
    """The value of `config.selection.<field>`, or `otherwise` where it is open."""
    value = config.selection.get(field)
    return otherwise if value is None else value


def check_selection(
    config: ConfigDict,
    method: Method,
    suite: Suite,
    stated_criterion: str | None = None,
) -> None:
    """Refuses what was chosen in `config.selection` or by the method and cannot be had.

    Args:
      config: of the run.
      method: of the run.
      suite: that may not report what the method's rule looks at.
      stated_criterion: of a suite whose config states one, which gives way to a method
        that is about another; None for a config that leaves it open.

    Raises:
      InvalidArgumentError: for a choice that the method's rule does not read, or
        another criterion than the method is about, or a rule that looks at success
        where there is none.
    """
    if selectors.get(method.selector).needs_success:
        measured = [measure.field for measure in suite.measures]
        if "success" not in measured:
            raise errors.InvalidArgumentError(
                f"method={config.method!r} looks at success rates, and the {suite.name}"
                f" has none, but a {measured[0]}; use 'uniform' or 'amf' on the"
                f" {suite.name}"
            )
        if not config.attempts:
            raise errors.InvalidArgumentError(
                f"method={config.method!r} looks at evaluation rollouts: attempts must"
                " be at least 1, got 0"
            )
    given = {field: chosen(config, field, None) for field in _CHOICES}
    if given["criterion"] == stated_criterion:
        given["criterion"] = None
    if not selectors.get(method.selector).needs_model:
        for field, value in given.items():
            if value is not None:
                raise errors.InvalidArgumentError(
                    f"selection.{field}={value!r} does not go with"
                    f" method={config.method!r}, whose rule looks at no model and reads"
                    " no such choice; leave it out, or use a method such as 'amf'"
                )
    if method.criterion and given["criterion"] not in (None, method.criterion):
        raise errors.InvalidArgumentError(
            f"selection.criterion={given['criterion']!r} contradicts"
            f" method={config.method!r}, which is about {method.criterion!r}; use"
            " method='amf' with that criterion"
        )


def selector(
    config: ConfigDict,
    method: Method,
    embedding: Embedding,
    log_likelihood: Callable | None,
    pretraining_counts: Sequence[int],
    **options: Any,
) -> Selector:
    """Builds a method's selector with the options that its rule takes.

    Args:
      config: of the run.
      method: of the run.
      embedding: for rules that look at a model.
      log_likelihood: the same.
      pretraining_counts: demonstrations of each task in pre-training, for rules that
        are told.
      **options: further options of the active rules; they take precedence.

    Raises:
      InvalidArgumentError: for options that contradict each other.
    """
    entry = selectors.get(method.selector)
    names = _RULE_OPTIONS if entry.needs_model else entry.options
    fields = {
        name: config.selection[name] for name in names if name in config.selection
    }
    if entry.needs_counts:
        fields["pretraining_counts"] = pretraining_counts
    if not entry.needs_model:
        return selectors.make(method.selector, **fields)
    if fields.get("likelihood_clip") is not None:  # whole numbers on a command line
        fields["likelihood_clip"] = tuple(map(float, fields["likelihood_clip"]))
    if "weight_tolerance" in config.selection:
        tolerance = config.selection.weight_tolerance
        fields["execution"] = selectors.Execution(weight_tolerance=tolerance)
    fields["weights"] = chosen(config, "weights", method.weights)
    return selectors.make(
        method.selector, embedding, log_likelihood, **(fields | options)
    )


def warm_start_selections(config: ConfigDict) -> int:
    """Length of the warm start, to the end of the batch that it ends in."""
    return -(-config.warm_start_rounds // config.batch) * config.batch


def seed_by_task(seed: int, task: int, number: int) -> tuple[int, ...]:
    """Seeds the demonstration of an evaluation task that has had `number` so far.

    So that it is the same whatever was asked for between.
    """
    return seed, DEMONSTRATIONS, task, number


def seed_by_round(seed: int, round_index: int, before: int) -> tuple[int, ...]:
    """Seeds the demonstration of a task that is no evaluation task.

    Args:
      seed: of the run.
      round_index: in which it is asked for.
      before: demonstrations of the same round that came before it. Those of one round
        differ; the first is that of a round of one.
    """
    place = (before,) if before else ()
    return seed, DEMONSTRATIONS, round_index, *place


def pretraining(
    environment: Environment, seed: int, counts: Sequence[int]
) -> Demonstrations:
    """The pre-training demonstrations: `counts[c]` of each task c."""
    parts = [
        environment.demonstrate((seed, PRETRAINING, task), task, int(count))
        for task, count in enumerate(counts)
        if count
    ]
    return demonstrations_lib.stack(parts)
