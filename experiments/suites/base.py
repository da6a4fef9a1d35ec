"""The seam of suites: the descriptor of one, and the environment that it makes."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from amf_jax import loop
from amf_jax.candidates import TaskSpace
from amf_jax.demonstrations import Demonstrations
from experiments.configs.field import Field
from experiments.suites.recording import World

#: `act(observations [B, S], task_ids [B]) -> actions [B, A]`, NumPy in, NumPy out,
#: called at every step of B episodes that go in step, from the first one on: a policy
#: may see several steps, or plan several. Where an observation is a pytree, its
#: leaves lead with B. Other episodes begin behind `act.reset()`; see `evaluation.Act`.
Act = Callable[[Any, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Environment:
    """Tasks, their expert and their evaluation.

    Attributes:
      task_names: one short name per evaluation task, for tables and figures.
      tasks: task vectors `[C, D]` that condition the policy.
      horizon: steps per demonstration and per evaluation attempt.
      action_size: width A of an action.
      observation_mean: fixed normaliser of the suite (not fitted to a data set), of the
        shape of what is observed in one step: `[S]`, or a pytree.
      observation_std: the same, floored away from zero.
      demonstrate: `(seed, task, count) -> Demonstrations` with exactly `count` rows,
        from the expert. `task` is an index, or a task vector where the task space is
        continuous. `seed` is a sequence of ints, as NumPy's generators take them: the
        same seed gives the same demonstrations to the bit.
      evaluate: `(act, seed, attempts) -> {"success": [C] or None, "return": float or
        None}`: fresh episodes of every evaluation task, policy in the loop.
      expert_states: `() -> (observations [N, S], task ids [N])` of the expert, in which
        the entropy of a policy that has one is measured; None measures nothing.
      close: releases simulators and threads.
    """

    task_names: tuple[str, ...]
    tasks: np.ndarray
    horizon: int
    action_size: int
    observation_mean: Any
    observation_std: Any
    demonstrate: Callable[[Sequence[int], int | np.ndarray, int], Demonstrations]
    evaluate: Callable[[Act, Sequence[int], int], Mapping[str, object]]
    expert_states: Callable[[], tuple[np.ndarray, np.ndarray]] | None = None
    close: Callable[[], None] = lambda: None


class Measure(NamedTuple):
    """A curve that every run of a suite has.

    Attributes:
      field: of the records: a number, or one per task.
      label: of the axis.
      limits: of the axis; None fits it to the curves.
    """

    field: str
    label: str
    limits: tuple[float, float] | None = None


SUCCESS = Measure("success", "Multi-task success rate", (-0.02, 1.02))


def allocation_title(setting: str) -> str:
    """Says what an allocation of pre-training demonstrations is.

    Example:
      >>> allocation_title("8-8-0-0")
      'Mismatch [8, 8, 0, 0]'
    """
    kind = "No mismatch" if len(set(setting.split("-"))) == 1 else "Mismatch"
    return f"{kind} [{setting.replace('-', ', ')}]"


class Traced(NamedTuple):
    """A suite as pure functions, for runs that are one program.

    Attributes:
      draw: `(seeds by round and place in the batch, seeds by task and number, count) ->
        noise`, a pytree: all that is random about demonstrations, `count` at a time.
      environment: `(noise, measure) -> loop.Environment`; `measure(state)` gives
        further metrics of an evaluation, None evaluates nothing.
    """

    draw: Callable[[Sequence, Sequence, int], Any]
    environment: Callable[[Any, Callable | None], loop.Environment]


@dataclasses.dataclass(frozen=True)
class Suite:
    """All that the rest of the project knows about a suite.

    Attributes:
      name: as in configs and in the paths of results.
      title: as in headings.
      task_names: known before anything is compiled.
      settings: those to suggest and to draw.
      get_config: `(<setting>[,preset]) -> config`; its module's docstring is the help.
      make: `(config) -> Environment`; compiles, and starts simulators.
      policy: a key of `builders.registry.POLICIES`, of configs that name no other.
      mismatch: settings whose pre-training leaves out tasks, to be compared; a figure
        with room for one shows the first.
      even: settings whose pre-training shows all tasks alike; figures show the first
        that has results.
      setting_title: what a setting is, as the title of a panel.
      measures: what is reported per round, the main one first.
      counts: `(config) -> ` pre-training demonstrations of each task.
      fields: of its config that no other suite has.
      space: of the tasks where they are continuous.
      traced: where whole runs can be one program.
      prompts: one instruction per task, whose sentence embeddings are stored.
      world: `() -> World`, of a simulated suite: its experts can be recorded and drawn.
    """

    name: str
    title: str
    task_names: tuple[str, ...]
    settings: tuple[str, ...]
    get_config: Callable[[str], ConfigDict]
    make: Callable[[ConfigDict], Environment]
    policy: str = "mlp"
    mismatch: tuple[str, ...] = ()
    even: tuple[str, ...] = ()
    setting_title: Callable[[str], str] = allocation_title
    measures: tuple[Measure, ...] = (SUCCESS,)
    counts: Callable[[ConfigDict], Sequence[int]] = lambda config: config.allocation
    fields: Mapping[str, Field] = dataclasses.field(default_factory=dict)
    space: TaskSpace | None = None
    traced: Traced | None = None
    prompts: tuple[str, ...] = ()
    world: Callable[[], World] | None = None
