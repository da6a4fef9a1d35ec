"""Ways to search the circle for the best task: value of the criterion against cost."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from amf_jax import candidates
from amf_jax.selectors import AmfInfo, Choice, Context, check_choice
from amf_jax.session.driver import ActiveFineTuner
from experiments.studies import circle, selection
from experiments.studies.watching import watch
from experiments.suites import integrator

Record = dict[str, Any]

_DRAWS = 15  # stream of random numbers, behind those of `experiments.studies.landscape`

#: Options by budget; whatever is not named is the optimiser's default.
SEARCHES: Mapping[str, Callable[[int], dict[str, Any]]] = {
    "random_shooting": lambda budget: {},
    "gradient_refinement": lambda budget: {"refined": max(1, budget // 50)},
    "cross_entropy": lambda budget: {},
}

_Select = Callable[..., tuple[Choice, AmfInfo]]


class _Problem(NamedTuple):
    """What the selection of one round is given."""

    round: int
    state: Any
    context: Context


def value_and_cost(
    config: ConfigDict,
    seeds: Sequence[int],
    rounds: Sequence[int] = (2, 5, 10, 20),
    budgets: Sequence[int] = (25, 50, 100, 200),
    draws: int = 3,
    grid: int = 720,
) -> Iterator[list[Record]]:
    """What searches find in selections of AMF-GP, as they arise in its rounds.

    A draw is a random key, which decides the demonstrations in the criterion's sums as
    well as where is searched: all searches and the grid are given the same ones.

    Args:
      config: of the runs, but for the seed.
      seeds: of the runs.
      rounds: whose selections are looked at.
      budgets: evaluations of the criterion per selection.
      draws: per selection, search and budget.
      grid: evenly spaced tasks that the searches are measured by.

    Yields:
      One record per round, search and budget: with `evaluations`, the `shortfall` of
      the best value found below that of the grid, by draw, in shares of what the best
      task of the grid is above the average one, and `seconds`, the least processor time
      that one of these selections took as a whole. A shortfall is negative where a
      search finds a better task between those of the grid.
    """
    reference = _select(config, selection.every_one_of(_grid(grid)))
    searches = {
        (name, budget): _select(
            config,
            candidates.make(name, integrator.SPACE, budget=budget, **options(budget)),
        )
        for name, options in SEARCHES.items()
        for budget in budgets
    }
    compiled = False
    for seed in seeds:
        records = []
        for problem in _problems(config, seed, rounds):
            keys = [_key(seed, problem.round, draw) for draw in range(draws)]
            values = [_scores(reference, key, problem)[0] for key in keys]
            highest = np.array([scores.max() for scores in values])
            average = np.array([scores.mean() for scores in values])
            for (name, budget), select in searches.items():
                if not compiled:
                    _scores(select, keys[0], problem)
                looks = [_scores(select, key, problem) for key in keys]
                best = np.array([scores.max() for scores, _ in looks])
                records.append(
                    {
                        "round": problem.round,
                        "search": name,
                        "evaluations": budget,
                        "shortfall": (highest - best) / (highest - average),
                        "seconds": min(seconds for _, seconds in looks),
                    }
                )
            compiled = True
        yield records


def report(runs: Sequence[list[Record]]) -> str:
    """One line for the user: what each search misses at each budget."""
    records = [record for run in runs for record in run]
    budgets = sorted({record["evaluations"] for record in records})

    def missed(name: str) -> str:
        return " ".join(
            f"{np.mean([r['shortfall'] for r in records if _is(r, name, budget)]):.2%}"
            for budget in budgets
        )

    names = dict.fromkeys(record["search"] for record in records)
    listed = "; ".join(f"{name}: {missed(name)}" for name in names)
    return f"missed with {', '.join(map(str, budgets))} evaluations: {listed}"


def _is(record: Record, name: str, budget: int) -> bool:
    return (record["search"], record["evaluations"]) == (name, budget)


def _grid(count: int) -> np.ndarray:
    return circle.goals(circle.angles(count))


def _select(config: ConfigDict, optimiser: candidates.Optimiser) -> _Select:
    rule = selection.selector(config, optimiser)

    @jax.jit
    def select(key, state, context: Context):
        choice, _, info = rule.select(key, state, context)
        return choice, info

    return select


def _key(seed: int, number: int, draw: int) -> jax.Array:
    key = jax.random.key(seed)
    for part in (_DRAWS, number, draw):
        key = jax.random.fold_in(key, part)
    return key


def _scores(select: _Select, key, problem: _Problem) -> tuple[np.ndarray, float]:
    """Scores of a selection, and the processor time it took.

    The key may be used again: what is compared is to draw the same demonstrations.
    """
    key = jax.random.clone(key)
    started = time.process_time()
    choice, info = jax.block_until_ready(select(key, problem.state, problem.context))
    seconds = time.process_time() - started
    check_choice(choice, info)
    return np.asarray(info.scores, np.float64), seconds


def _problems(config: ConfigDict, seed: int, rounds: Sequence[int]) -> list[_Problem]:
    """Selections of these rounds of a run, as they are before a task is chosen."""

    def look(record: Record, tuner: ActiveFineTuner) -> Iterator[_Problem]:
        number, learned = record["round"] + 1, tuner.learner_state
        if number in rounds:
            assert learned is not None
            context = Context(
                tuner.demos,
                tuner.tasks,
                tuner.task_weights,
                learned.params,
                learned.embedding_params,
            )
            yield _Problem(number, tuner.selector_state.inner, context)

    return watch(config, seed, look)
