"""The loop as one pure function: `rounds.Round`, scanned.

`ActiveFineTuner` does the same with an expert and an evaluation that run on the host.
Where both can be traced, a whole experiment is a function of its key, to be jitted once
and mapped over seeds. The same seed gives the same run.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from amf_jax import demonstrations as demonstrations_lib
from amf_jax import encoders, errors, evaluation, problem, ranges, validation
from amf_jax import rounds as rounds_lib
from amf_jax.carry import carry_over
from amf_jax.demonstrations import Demonstrations
from amf_jax.dtypes import compute_dtype
from amf_jax.encoders import Encoder
from amf_jax.learners import Learner
from amf_jax.rounds import Round, RunState
from amf_jax.selectors.base import Choice, Selector


class Environment(NamedTuple):
    """An expert and an evaluation that can be traced.

    Attributes:
      demonstrate: `(choice, round, demos) -> Demonstrations`, `demos_per_round` full
        rows of the chosen task; `demos` are those collected before. Called once
        for each choice of a round.
      evaluate: `(act, state, round) -> dict` of arrays, or None. `act(call,
        observations [B, ...], task_ids [B]) -> actions [B, A]` takes the number of the
        call, from 0 on, for its random key; `act.reset` and `act.step` follow episodes
        of a policy that sees or plans several steps, see `evaluation.TracedAct`.
        "success" `[C]` is what selectors see as `evaluations`.
    """

    demonstrate: Callable[..., Demonstrations]
    evaluate: Callable[..., dict[str, Array]] | None = None


class Rounds(NamedTuple):
    """What happened in R rounds; leaves lead with the axis of rounds.

    Attributes:
      choices: what was asked for, `[R, batch]`.
      infos: diagnostics of the selections, `[R, batch]`.
      training: metrics of the learner's updates, `[R]`, such as losses.
      metrics: of the evaluations, `[R + 1]`; the first is before any fine-tuning.
      mixing: alpha of the tasks, `[R + 1, C]`; None without an adaptive prior.
      demos: all demonstrations, in the order of the rounds.
    """

    choices: Choice
    infos: Any
    training: dict[str, Array]
    metrics: dict[str, Array]
    mixing: Float[Array, "R C"] | None
    demos: Demonstrations


def doubling(first: int, budget: int) -> tuple[int, ...]:
    """Capacities that double from `first` on until they hold `budget`.

    Example:
      >>> doubling(10, 35)
      (10, 20, 35)
    """
    ranges.check("first", first, ranges.COUNT)
    if first >= budget:
        return (budget,)
    return (first, *doubling(2 * first, budget))


def run(
    key: Key[Array, ""],
    learner: Callable[[Demonstrations], Learner],
    selector: Selector,
    environment: Environment,
    tasks: Any,
    demos: Demonstrations,
    *,
    rounds: int,
    pretraining: Demonstrations | None = None,
    history: Demonstrations | None = None,
    task_weights: Any | None = None,
    demos_per_round: int = 1,
    batch: int = 1,
    capacities: Sequence[int] | None = None,
    encoder: Encoder | None = None,
) -> Rounds:
    """Runs all rounds; pure, to be jitted, and mapped over keys.

    The cost of a round grows with the capacity of the buffers, not with what they hold.
    `capacities` lets them grow in stages, each of which is compiled: what was computed
    is carried over, and nothing changes but the rounding.

    A selection that fails is no error here: `check_choice` finds it in the result. What
    is given is checked as in the driver where nothing of it is traced.

    Args:
      key: of every random decision, as `jax.random.key(seed)`.
      learner: `(empty buffer) -> Learner` for buffers of that capacity. What its state
        holds of the demonstrations, it holds in their order from the front.
      selector: decides what to demonstrate next; the same goes for its state.
      environment: expert and evaluation.
      tasks: evaluation tasks `[C, D]`.
      demos: an empty buffer with room for the whole budget.
      rounds: the budget, in rounds.
      pretraining: demonstrations that `learner.init` pre-trains on.
      history: demonstrations that the selector conditions on from the start.
      task_weights: probabilities mu_C of the tasks; None is uniform.
      demos_per_round: demonstrations of each chosen task per round.
      batch: tasks that are chosen per round, see `selectors.select_batch`.
      capacities: of the buffers in each stage, ascending; the last holds the budget.
        None is a single stage.
      encoder: frozen part of the policy, or None: what the expert, the evaluation,
        `pretraining` and `history` observe is encoded, and `demos` hold features.

    Raises:
      InvalidArgumentError: no round, capacities that are not ascending or do not end
        with the budget, tasks or weights that the driver refuses, an evaluation
        without one number per task as "success", or embeddings that the learner moves
        and the selector takes to be frozen.
      CapacityError: the budget does not fit the buffer.
      DemonstrationError: malformed pre-training demonstrations; the expert delivers
        another number of demonstrations than it is asked for, or such as do not fit the
        buffer.
    """
    per_round = batch * demos_per_round
    numbers = {"rounds": rounds, "demos_per_round": demos_per_round, "batch": batch}
    problem.check_positive(numbers)
    stages = _stages(capacities, rounds * per_round, per_round)
    given = tasks, task_weights, demos, pretraining, history, encoder
    if validation.is_concrete((key, given)):
        with jax.ensure_compile_time_eval():
            tasks = problem.check_tasks(tasks, None)
            problem.check_weights(task_weights, tasks)
            validation.check_form(demos, task_size=tasks.shape[1])
            data = demos, pretraining, history, tasks, stages[-1]
            problem.buffer(*data, encoder)
    demonstrations_lib.check_room(demos, stages[-1])
    demos = demonstrations_lib.as_arrays(demos)
    pretraining, history = (
        encoders.encoded(encoder, given) for given in (pretraining, history)
    )
    num_tasks, dtype = jnp.shape(tasks)[0], compute_dtype(tasks)
    tasks = jnp.asarray(tasks, dtype)
    if task_weights is None:
        task_weights = jnp.full((num_tasks,), 1.0 / num_tasks)
    task_weights = jnp.asarray(task_weights, dtype)
    unknown = jnp.full((rounds + 1, num_tasks), jnp.nan, dtype)

    def round_of(demos: Demonstrations) -> Round:
        return Round(learner(demos), selector, tasks, task_weights)

    def shown(evaluations):
        return None if environment.evaluate is None else evaluations

    def start(demos: Demonstrations) -> RunState:
        one = round_of(demos)
        return one.start(key, demos, pretraining, history, shown(unknown))

    def evaluate(one: Round, own_key, state: RunState, index, evaluations):
        if environment.evaluate is None:
            return {}, evaluations

        def given(call, observations, task_ids):
            vectors = tasks[task_ids]
            if encoder is not None:
                observations = encoders.encode(encoder, observations, vectors)
            call_key = jax.random.fold_in(own_key, call)
            return call_key, observations, state.learner, vectors, task_ids

        actor = evaluation.actor(one.learner)
        act = evaluation.TracedAct(
            lambda *asked: actor.reset(*given(*asked)),
            lambda held, *asked: actor.step(held, *given(*asked)),
            one.learner.window,
        )
        metrics = environment.evaluate(act, state.learner, index)
        evaluation.check_metrics(metrics, num_tasks)
        if metrics.get("success") is not None:
            success = jnp.asarray(metrics["success"], dtype)
            evaluations = evaluations.at[index].set(success)
        return metrics, evaluations

    def play(one: Round, carry, index):
        state, evaluations = carry
        keys = rounds_lib.keys(key, index)
        choices, selector_state, infos = one.select(
            keys.select, state, shown(evaluations), None, batch
        )

        def deliver(state: RunState, choice: Choice):
            new = environment.demonstrate(choice, index, state.demos)
            _check_rows(new, demos_per_round)
            return one.absorb(state, encoders.encoded(encoder, new)), None

        state = state._replace(selector=selector_state)
        state, _ = jax.lax.scan(deliver, state, choices)
        trained, training = one.finetune(keys.finetune, state)
        state = state._replace(learner=trained)
        metrics, evaluations = evaluate(one, keys.evaluate, state, index, evaluations)
        out = choices, infos, training, metrics, trained.mixing
        return (state, evaluations), out

    blank = jax.tree.map(lambda rows: rows[: stages[-1]], demos)
    held = start(blank)
    first_key = rounds_lib.keys(key, 0).evaluate
    first, evaluations = evaluate(round_of(blank), first_key, held, 0, unknown)
    initial_mixing = held.learner.mixing
    parts = []
    for begin, end in itertools.pairwise((0, *stages)):
        smaller = jax.tree.map(lambda rows, end=end: rows[:end], blank)
        carry = _front(held, jax.eval_shape(start, smaller)), evaluations
        indices = jnp.arange(begin // per_round, end // per_round) + 1
        stage = functools.partial(play, round_of(smaller))
        (kept, evaluations), part = jax.lax.scan(stage, carry, indices)
        held = carry_over(kept, held)
        parts.append(part)
    choices, infos, training, metrics, mixing = _joined(parts)
    metrics = jax.tree.map(_behind, first, metrics)
    if mixing is not None:
        mixing = _behind(initial_mixing, mixing)
    return Rounds(choices, infos, training, metrics, mixing, held.demos)


def _stages(capacities, budget: int, per_round: int) -> tuple[int, ...]:
    stages = (budget,) if capacities is None else tuple(capacities)
    for stage in stages:
        ranges.check("each of capacities", stage, ranges.COUNT)
    ascending = all(a < b for a, b in itertools.pairwise((0, *stages)))
    whole = all(stage % per_round == 0 for stage in stages)
    if not (stages and ascending and whole and stages[-1] == budget):
        raise errors.InvalidArgumentError(
            f"capacities must be ascending multiples of the {per_round} demonstrations"
            f" of a round that end with the budget of {budget}, got {stages}"
        )
    return stages


def _check_rows(new: Any, asked: int) -> None:
    validation.check_type(new)
    for name, column in demonstrations_lib.named_leaves("demonstrations", new):
        delivered = next(iter(jnp.shape(column)), 0)
        if delivered != asked:  # more would be written over by those of the next round
            raise errors.DemonstrationError(
                f"demonstrate returned {delivered} rows; it was asked for {asked} full"
                f" rows (demos_per_round), also of {name}"
            )


def _front(held, shapes):
    """The front of every buffer, as long as the buffers of `shapes`."""

    def one(leaf, shape):
        return leaf[tuple(slice(size) for size in shape.shape)]

    return jax.tree.map(one, held, shapes)


def _joined(parts):
    """Stages one after the other, padded with zeros to the shapes of the last one."""

    def one(*leaves):
        shape = leaves[-1].shape[1:]
        blank = [jnp.zeros((leaf.shape[0], *shape), leaf.dtype) for leaf in leaves]
        return jnp.concatenate(list(map(carry_over, leaves, blank)))

    return jax.tree.map(one, *parts)


def _behind(first, others):
    return jnp.concatenate([first[None], others])
