"""Small runs of the driver, of an expert and an evaluation on the host."""

import functools

import numpy as np

from amf_jax.session.driver import ActiveFineTuner
from tests import problems

TASKS = problems.tiny_tasks()
ROUNDS = 5
#: Of a run, as `session.specification.specify` takes them.
ARGUMENTS = dict(
    seed=0,
    tasks=TASKS,
    task_weights=None,
    task_names=None,
    pretraining=problems.tiny_demos(7, (0, 1, 0), tasks=TASKS),
    history=None,
    demos=None,
    rounds=ROUNDS,
    batch=1,
    demos_per_round=1,
)


class Expert:
    """Demonstrates whatever is asked for, and remembers what that was."""

    def __init__(self, during=lambda round_index: None):
        self.asked = []
        self.during = during

    def __call__(self, task, round_index, count):
        self.asked.append((round_index, task))
        self.during(round_index)
        seed = 100 * round_index + task
        return problems.tiny_demos(seed, (task,) * count, tasks=TASKS)


def crash_after(round_index):
    """A callback that raises when this round is recorded."""

    def crash(record):
        if record["round"] == round_index:
            raise ZeroDivisionError

    return crash


def evaluate(act, state, round_index):
    observations = np.linspace(-1.0, 1.0, 9, dtype=np.float32).reshape(3, 3)
    return {"return": float(act(observations, np.arange(3)).sum())}


def make(name="amf", **options):
    learner, selector = problems.tiny_parts(name)
    arguments = dict(
        learner=learner,
        selector=selector,
        tasks=TASKS,
        pretraining=problems.tiny_demos(7, (0, 1, 0), tasks=TASKS),
        demonstrate=Expert(),
        evaluate=evaluate,
        rounds=ROUNDS,
        seed=0,
    )
    return ActiveFineTuner(**(arguments | options))


@functools.cache
def uninterrupted():
    tuner = make()
    tuner.run()
    return tuner
