"""How many programs the later rounds of a run compile: none, if all is well."""

from collections.abc import Iterator

import jax
import jax.monitoring
import numpy as np

from amf_jax import ActiveFineTuner, finetune, learners, selectors
from amf_jax import demonstrations as demonstrations_lib
from amf_jax.demonstrations import Demonstrations
from benchmarks import problems
from benchmarks.jobs.base import Bench
from benchmarks.rows import Row

_ROUNDS = 4
_STEPS = 20
#: What JAX reports for each program that its backend compiles.
_EVENT = "/jax/core/compile/backend_compile_duration"


def run(bench: Bench) -> Iterator[Row]:
    """A run of a few rounds: select, demonstrate, fine-tune, evaluate."""
    problem = problems.selection(problems.sizes(bench.quick))
    context, policy = problem.context, problem.policy
    selector = selectors.amf(problem.embedding, policy.log_likelihood)
    training = learners.Training(_STEPS, finetune.cosine(1e-3))
    learner = learners.gradient_learner(
        policy,
        finetune.adamw_direction(),
        training,
        training,
        initial_params=context.params,
    )
    shown = jax.tree.map(np.asarray, context.demos)

    def demonstrate(task, round_number: int, count: int) -> Demonstrations:
        rows = np.flatnonzero(shown.task_ids == task)
        rows = np.resize(np.roll(rows, -round_number), count)
        return jax.tree.map(lambda leaf: leaf[rows], shown)

    def evaluate(act, state, round_number: int):
        del state, round_number
        observations = shown.observations[:, 0]
        act(observations, shown.task_ids)
        return {"success": np.zeros(len(context.tasks))}

    sizes = problem.sizes
    tuner = ActiveFineTuner(
        learner=learner,
        selector=selectors.warm_start(selector, 1),
        tasks=context.tasks,
        demonstrate=demonstrate,
        evaluate=evaluate,
        rounds=_ROUNDS,
        seed=0,
        demos=demonstrations_lib.empty(
            _ROUNDS, sizes.horizon, sizes.observation, sizes.action, sizes.task
        ),
    )
    compiled: list[float] = []
    after_round: list[int] = []

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        if event == _EVENT:
            compiled.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        tuner.run(lambda record: after_round.append(len(compiled)))
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    yield Row(
        "compilations",
        compile_seconds=sum(compiled),
        value=float(after_round[-1] - after_round[1]),
        unit=f"programs compiled in rounds 2 to {_ROUNDS}",
        note=f"{after_round[1]} programs compiled up to round 1",
    )
