"""The criterion against the return that its choices lead to: figure 21."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from ml_collections import ConfigDict

from amf_jax.demonstrations import Demonstrations
from amf_jax.policies import gp
from amf_jax.selectors.base import Context, check_choice
from experiments.builders import gaussian_process
from experiments.studies import circle, selection
from experiments.suites import integrator

Record = dict[str, Any]

# Streams of random numbers, behind those of `experiments.studies.finetuning`.
_PRETRAINING_TASKS, _PRETRAINING, _CANDIDATES = range(11, 14)


def criterion_and_return(
    config: ConfigDict,
    seeds: Sequence[int],
    num_pretraining: int = 50,
    num_candidates: int = 100,
) -> Iterator[list[Record]]:
    """The criterion of AMF-GP over all tasks, against the return that they lead to.

    The policy is pre-trained on tasks from the top half of the circle. Every candidate
    gets the expected posterior entropy of eq. 2, with the pre-training demonstrations
    as the demonstrations at hand, and the return over the evaluation tasks of the
    policy that is conditioned on one demonstration of the candidate.

    Args:
      config: of the integrator; only its policy and selection are used.
      seeds: of pre-training and candidate demonstrations.
      num_pretraining: demonstrations, each of a task of its own.
      num_candidates: tasks, evenly spaced.

    Yields:
      One record.
    """
    angles = circle.angles(num_candidates)
    candidates = circle.goals(angles)
    hyperparameters = gaussian_process.hyperparameters(config)
    policy = gp.policy()
    selector = selection.selector(config, selection.every_one_of(candidates))
    tasks = jnp.asarray(integrator.TASKS, jnp.float32)

    @jax.jit
    def score(key, demos: Demonstrations, params):
        weights = jnp.full((len(tasks),), 1 / len(tasks))
        context = Context(demos, tasks, weights, params, params)
        choice, _, info = selector.select(key, selector.init(context), context)
        return choice, info

    condition = jax.jit(gp.condition)
    condition_on_each = jax.jit(jax.vmap(gp.condition, in_axes=(None, None, 0)))

    @jax.jit
    def act(policies, index, positions, task_ids):
        params = jax.tree.map(lambda leaf: leaf[index], policies)
        return policy.act(params, None, positions, tasks[task_ids])

    for seed in seeds:
        rng = np.random.default_rng([seed, _PRETRAINING_TASKS])
        shown = rng.uniform(0.0, np.pi, num_pretraining)
        pretraining = circle.demonstrate_each((seed, _PRETRAINING), circle.goals(shown))
        params = condition(hyperparameters, pretraining)
        choice, info = score(jax.random.key(seed), pretraining, params)
        check_choice(choice, info)

        new = circle.demonstrate_each((seed, _CANDIDATES), candidates)
        each = jax.tree.map(lambda leaf: leaf[:, None], new)
        policies = condition_on_each(hyperparameters, pretraining, each)
        returns = [
            integrator.evaluate(functools.partial(act, policies, index), (), 1)[
                "return"
            ]
            for index in range(num_candidates)
        ]
        yield [
            {
                "angles": angles,
                "criterion": -info.scores,
                "return": returns,
                "pretraining_angles": shown,
            }
        ]


def rank_correlation(runs: Sequence[list[Record]]) -> float:
    """Spearman's correlation of criterion and return, both averaged over seeds."""
    criterion, returns = (
        np.mean([np.asarray(records[0][field]) for records in runs], axis=0)
        for field in ("criterion", "return")
    )
    return float(scipy.stats.spearmanr(criterion, returns).statistic)


def report_correlation(runs: Sequence[list[Record]]) -> str:
    """One line for the user."""
    return (
        "rank correlation between criterion and return, over tasks:"
        f" {rank_correlation(runs):.2f} (the criterion is minimised: negative is good)"
    )
