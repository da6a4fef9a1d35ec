"""The suite seam: what an experiment needs to know about an environment."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from amf_jax.demonstrations import Demonstrations

#: `act(observations [B, S], task_ids [B]) -> actions [B, A]`, NumPy in, NumPy out,
#: called with the same batch size B throughout one evaluation.
Act = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Suite:
    """An environment with its tasks, its expert and its evaluation.

    Attributes:
      name: as in the registry and in the path of result files.
      task_names: one short name per evaluation task, for tables and figures.
      tasks: task vectors `[C, D]` that condition the policy.
      horizon: steps per demonstration and per evaluation attempt.
      observation_size: width S of an observation.
      action_size: width A of an action.
      observation_mean: `[S]`, fixed normaliser of the suite (not fitted to a data set).
      observation_std: `[S]`, floored away from zero.
      demonstrate: `(entropy, task, count) -> Demonstrations` with exactly `count` rows,
        from the expert. `task` is an index, or a task vector where the task space is
        continuous. `entropy` is a sequence of ints that seeds NumPy's SeedSequence:
        the same entropy gives the same demonstrations to the bit.
      evaluate: `(act, entropy, attempts) -> {"success": [C] or None, "return": float or
        None}`: fresh episodes of every evaluation task, policy in the loop.
      sample_tasks: `(key, count) -> [count, D]` for a continuous task space, else None.
      close: releases simulators and threads.
    """

    name: str
    task_names: tuple[str, ...]
    tasks: np.ndarray
    horizon: int
    observation_size: int
    action_size: int
    observation_mean: np.ndarray
    observation_std: np.ndarray
    demonstrate: Callable[[Sequence[int], int | np.ndarray, int], Demonstrations]
    evaluate: Callable[[Act, Sequence[int], int], Mapping[str, object]]
    sample_tasks: Callable | None = None
    close: Callable[[], None] = lambda: None
