"""The gap between expert and policy on the integrator, below the bound of theorem A.10.

The theorem asks for constants; these are the integrator's.

* Finite set: what the noise-free expert visits on evenly spaced tasks, the evaluation
  tasks among them. tau_min is 1/12: an episode of an evaluation task drawn at random
  visits each of that task's pairs for sure. On the continuous set it is 0 and the bound
  infinite; demonstrations and policy do leave the finite one, by a fraction of a
  lengthscale, so that what is drawn illustrates the theorem and guarantees nothing.
* Norm of the expert: of the smoothest function that agrees with it on the evaluation
  tasks' pairs. More pairs change it by less than 0.1 %. As a whole the expert is not in
  the Hilbert space of the kernel, because it slows down abruptly at the goal.
* Lipschitz constants: of s' = s + a, 1. The expert moves by the projection of goal - s
  to a disc: 1. With H - t steps to go the return falls by at most H - t per distance:
  L_Q = H. The return is not discounted, which is a discount of 1 - 1/H.
* Spreads: of start and dynamics, 0. That of Gaussian noise is unbounded: it is the
  diameter that all of a run's draws keep to except with probability delta / 2; the
  other half is left to beta.
* Pre-training: its demonstrations count in beta, and the gains of fine-tuning are
  conditional on them.
* Outputs: two, which share a kernel. Gains are of one of them, sigma is summed.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from amf_jax import posterior, theory
from amf_jax.criteria import Occupancy
from amf_jax.policies import gp
from amf_jax.session.driver import ActiveFineTuner
from experiments.studies import circle
from experiments.studies.watching import watch
from experiments.suites import integrator

Record = dict[str, Any]

_HORIZON, _OUTPUTS = integrator.HORIZON, 2
_DISCOUNT = 1.0 - 1.0 / _HORIZON
_VISITATION = 1.0 / integrator.NUM_TASKS
_EMBEDDING = gp.embedding()


class _Pairs(NamedTuple):
    """The finite set, `[N, 2]` each, and which of it the evaluation tasks visit."""

    states: jax.Array
    goals: jax.Array
    actions: jax.Array
    visits: np.ndarray


def gap_and_bounds(
    config: ConfigDict,
    seeds: Sequence[int],
    tasks_per_evaluation_task: int = 3,
    delta: float = 0.1,
) -> Iterator[list[Record]]:
    """Measured gaps of AMF-GP round by round, and what theory says about them.

    Three bounds, each of which measures more and bounds less than the one before:

    * `bound`: theorem A.10, its gain of a round bounded by lemma A.6 and a greedily
      maximised information gain.
    * `bound_given_gain`: the same with the measured gain of a round. As it is given the
      demonstrations at hand, lemma A.4 is not needed.
    * `bound_given_deviation`: lemmas A.8 and A.9 alone, with the largest posterior
      deviation on the evaluation tasks' pairs.

    Args:
      config: of the runs, but for the seed.
      seeds: of the runs.
      tasks_per_evaluation_task: how fine the finite set is.
      delta: probability with which a bound may fail.

    Yields:
      One record per round from 1 on: the absolute `gap` of the return averaged over
      tasks (lemma A.9 bounds either sign), `gap_at_rest` of a policy that never moves,
      the bounds, and `round_gain` in nats with its `round_gain_bound`.
    """
    pairs = _expert_pairs(tasks_per_evaluation_task)
    numbers = np.arange(1, config.rounds + 1)
    steps = _HORIZON * (integrator.NUM_PRETRAINING_DEMOS + numbers)
    noise = config.policy.noise
    # The longest of that many 2-D Gaussian vectors: a union bound of Rayleigh tails.
    longest = noise * np.sqrt(2.0 * np.log(steps[-1] / (delta / 2)))
    deviation = theory.epsilon(
        _HORIZON,
        transition_lipschitz=1.0,
        policy_lipschitz=1.0,
        start_spread=0.0,
        action_spread=2.0 * longest,
        transition_spread=0.0,
    )
    limit = functools.partial(
        theory.bound,
        q_lipschitz=float(_HORIZON),
        scales=jnp.full(_OUTPUTS, np.hypot(config.policy.signal, noise)),
        visitation=_VISITATION,
        discount=_DISCOUNT,
    )
    expert_return = _return_of(
        lambda positions, ids: integrator.expert(positions, integrator.TASKS[ids])
    )
    at_rest = expert_return - _return_of(lambda positions, ids: 0.0 * positions)

    for seed in seeds:
        returns, policies = zip(*watch(config, seed, _look), strict=True)
        prior, known = _covariances(policies[0], pairs)
        held = _most_gained(prior, noise**2, n=int(steps[-1]))[steps - 1]
        width = theory.beta(
            held,
            delta / 2,
            expert_norm=_norm(prior, pairs),
            noise_ratio=1.0,
            num_outputs=_OUTPUTS,
        )
        gained = _most_gained(known, noise**2, n=_HORIZON * config.rounds)
        gain_bound = _HORIZON / numbers * gained[_HORIZON * numbers - 1]  # lemma A.6
        measured = [_measure(policy, pairs) for policy in policies[1:]]
        gain, sigma = map(jnp.stack, zip(*measured, strict=True))
        columns = {
            "round": numbers,
            "gap": np.abs(expert_return - np.array(returns[1:])),
            "gap_at_rest": np.full(config.rounds, at_rest),
            "bound": limit(gain_bound, width, deviation),
            "bound_given_gain": limit(gain, width, 0.0),
            # lemma A.9: L_Q / (1 - discount) = H^2 times the distance of the actions
            "bound_given_deviation": _HORIZON**2 * _OUTPUTS * width * sigma,
            "round_gain": gain,
            "round_gain_bound": gain_bound,
        }
        rows = zip(*(np.asarray(column) for column in columns.values()), strict=True)
        yield [dict(zip(columns, row, strict=True)) for row in rows]


def report(runs: Sequence[list[Record]]) -> str:
    """One line for the user: both ends of the curves, averaged over seeds."""

    def ends(field):
        return np.mean([[run[0][field], run[-1][field]] for run in runs], axis=0)

    first, last = (runs[0][i]["round"] for i in (0, -1))
    gap, limit = ends("gap"), ends("bound")
    return (
        f"from round {first} to {last} the gap to the expert falls from {gap[0]:.2f} to"
        f" {gap[1]:.2f}, the bound of theorem A.10 from {limit[0]:.2g} to"
        f" {limit[1]:.2g}"
    )


def _expert_pairs(tasks_per_evaluation_task: int) -> _Pairs:
    """State-task pairs of the noise-free expert, in the order of tasks and steps."""
    num_tasks = integrator.NUM_TASKS * tasks_per_evaluation_task
    goals = circle.goals(circle.angles(num_tasks))
    states, actions = [np.zeros_like(goals)], []
    for _ in range(_HORIZON):
        actions.append(integrator.expert(states[-1], goals))
        states.append(states[-1] + actions[-1])
    rows = np.arange(num_tasks * _HORIZON).reshape(num_tasks, _HORIZON)
    visits = rows[::tasks_per_evaluation_task].ravel()

    def by_task(steps):
        flat = np.stack(steps, axis=1).reshape(-1, 2)
        return jnp.asarray(flat, jnp.float32)

    return _Pairs(
        by_task(states[:-1]), by_task([goals] * _HORIZON), by_task(actions), visits
    )


def _look(record: Record, tuner: ActiveFineTuner) -> list[tuple[float, Any]]:
    """Return and policy of AMF-GP after a round."""
    assert tuner.learner_state is not None
    return [(record["return"], tuner.learner_state.params)]


def _return_of(act) -> float:
    """Return of a policy, averaged over the evaluation tasks."""
    _, rewards = integrator.rollout(act)
    return float(rewards.sum(axis=0).mean())


def _norm(prior: jax.Array, pairs: _Pairs) -> float:
    """Norm of the smoothest functions that agree with the expert where it is visited.

    The largest over action dimensions of `sqrt(a' K^-1 a)`.
    """
    kernel = np.asarray(prior, np.float64)[np.ix_(pairs.visits, pairs.visits)]
    actions = np.asarray(pairs.actions, np.float64)[pairs.visits]
    squares = np.sum(actions * np.linalg.solve(kernel, actions), axis=0)
    return float(np.sqrt(squares.max()))


@functools.partial(jax.jit, static_argnames="n")
def _most_gained(covariance, noise_variance, n: int):
    return theory.max_information_gain(covariance, noise_variance, n).upper_bound


def _points(params: gp.GaussianProcess, pairs: _Pairs) -> gp.Points:
    return _EMBEDDING.embed(params, None, pairs.states, None, pairs.goals)


@jax.jit
def _covariances(params: gp.GaussianProcess, pairs: _Pairs):
    """Covariance of the pairs before and after what the policy was shown."""
    points = _points(params, pairs)
    prior = _EMBEDDING.kernel(points, points)
    solved = posterior.whiten(_EMBEDDING.kernel, params.posterior, points)
    return prior, prior - solved.T @ solved


@jax.jit
def _measure(params: gp.GaussianProcess, pairs: _Pairs):
    """Gain of the round that comes next, and the largest posterior deviation."""
    points = _points(params, pairs)
    blocks = jax.tree.map(
        lambda leaf: leaf.reshape(-1, _HORIZON, *leaf.shape[1:]), points
    )
    visited = jax.tree.map(lambda leaf: leaf[pairs.visits], points)
    gains = theory.round_information_gain(
        _EMBEDDING,
        params.posterior,
        blocks,
        jnp.ones(blocks.signal.shape, bool),
        Occupancy(visited, jnp.full(pairs.visits.shape, _VISITATION)),
    )
    _, variance = gp.predict(
        params, pairs.states[pairs.visits], pairs.goals[pairs.visits]
    )
    return gains.max(), jnp.sqrt(variance.max())
