"""What AMF-GP looks like from within while it is fine-tuned: figures 3 and 19."""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from amf_jax import importance
from amf_jax.demonstrations import Demonstrations
from amf_jax.policies import gp
from experiments.studies import circle
from experiments.studies.watching import watch
from experiments.suites import integrator

Record = dict[str, Any]

_SHOWN = 10  # stream of random numbers, behind those of `experiments.build`

#: Tasks of the four demonstrations of figure 19: 30, 120, 210 and 300 degrees, of which
#: setting 6 demonstrates the first two in pre-training.
WEIGHED_TASKS = (1, 4, 7, 10)


def trajectories(
    config: ConfigDict, seeds: Sequence[int], rounds: Sequence[int] = (0, 5, 20)
) -> Iterator[list[Record]]:
    """Trajectories of the expert, and of AMF-GP before, during and after fine-tuning.

    Args:
      config: of the runs, but for the seed.
      seeds: of the runs.
      rounds: when to roll the policy out.

    Yields:
      One record per trajectory: its task and the 6 states, the start included.
    """

    def policy_trajectories(record, tuner):
        if record["round"] not in rounds:
            return []
        positions, _ = integrator.rollout(tuner.act)
        return _trajectories("policy", record["round"], positions.swapaxes(0, 1))

    for seed in seeds:
        demos = circle.demonstrate_each((seed, _SHOWN), range(integrator.NUM_TASKS))
        last = demos.observations[:, -1:] + demos.actions[:, -1:]
        states = jnp.concatenate([demos.observations, last], axis=1)
        seen = watch(config, seed, policy_trajectories)
        yield _trajectories("expert", 0, states) + seen


def weight_sweep(
    config: ConfigDict,
    seeds: Sequence[int],
    rounds: Sequence[int] = (1, 5, 9),
    num_angles: int = 120,
) -> Iterator[list[Record]]:
    """Importance weights of four demonstrations as AMF-GP learns about their tasks.

    These are w(tau_i, c) of eq. 3 under the policy of each round, with c swept over the
    circle, before any normalisation. The paper leaves open which demonstrations the
    denominator averages over; here they are the four themselves. A weight is then 4
    where task c explains a demonstration as well as its own task does and the other
    three do not, and a demonstration's weights for the four tasks average to 1. The
    demonstrations are the same in every round and no policy learns from them.

    Args:
      config: of the runs, but for the seed.
      seeds: of the runs.
      rounds: when to compute the weights.
      num_angles: how many tasks c.

    Yields:
      One record per round, with weights `[4, num_angles]`.
    """
    angles = circle.angles(num_angles)
    swept = jnp.asarray(circle.goals(angles), jnp.float32)
    log_likelihood = gp.policy().log_likelihood
    assert log_likelihood is not None

    @jax.jit
    def weigh(params, demos: Demonstrations):
        def likelihoods(tasks):
            return importance.trajectory_log_likelihoods(
                log_likelihood, params, demos, tasks, config.selection.likelihood_clip
            )

        return jnp.exp(
            importance.log_importance_weights(
                likelihoods(swept), likelihoods(demos.tasks), demos.demo_mask
            )
        )

    for seed in seeds:
        demos = circle.demonstrate_each((seed, _SHOWN), WEIGHED_TASKS)

        def weights(record, tuner, demos=demos):
            if record["round"] in rounds:
                yield {
                    "round": record["round"],
                    "angles": angles,
                    "weights": weigh(tuner.learner_state.params, demos).T,
                    "demo_angles": circle.angles(integrator.NUM_TASKS)[
                        list(WEIGHED_TASKS)
                    ],
                }

        yield watch(config, seed, weights)


def _trajectories(kind: str, number: int, states) -> list[Record]:
    """Records of one trajectory `[H + 1, 2]` per evaluation task."""
    return [
        {"task": goal, "states": path, "kind": kind, "round": number}
        for goal, path in zip(integrator.TASKS, states, strict=True)
    ]
