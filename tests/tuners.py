"""Small runs of the driver, of an expert and an evaluation on the host."""

import functools

import numpy as np

from amf_jax.session.driver import ActiveFineTuner
from tests import problems

TASKS = problems.tiny_tasks()
ROUNDS = 5


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
