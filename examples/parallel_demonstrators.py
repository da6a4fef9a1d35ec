"""Three experts demonstrate in parallel; each is asked again as soon as it delivers.

What was asked of the others is pending and counts as if it were at hand, so that two
experts are not sent after the same gap. The policy is that of `bare_function.py`.
"""

import jax
import jax.numpy as jnp
from bare_function import act, fit, last_layer, log_likelihood, sensed
from reaching import TASK_WEIGHTS, TASKS

from amf_jax import ActiveFineTuner, Learner, LearnerState, embeddings, selectors

SHOWN = jnp.array([0, 1] * 6)  # by pre-training: tasks 2 and 3 are new
MINUTES = (3, 4, 7)  # that each expert takes for a demonstration
BUDGET = 12  # demonstrations in all, behind one of each task


def init(key, demos):
    """Pre-trains; what carries over beside the policies are its random features."""
    hidden = jax.random.normal(key, (6, 64))
    pretrained = fit(hidden, demos)
    return LearnerState(pretrained, pretrained, pretrained, None, hidden)


def update(key, state, demos):
    """Fits the demonstrations at hand; the rows that are still empty add zeros."""
    del key
    return state._replace(params=fit(state.auxiliary, demos)), {}


def acts(state, key, observations, tasks, task_ids):
    """The policy of a learner's state."""
    del key, task_ids
    return act(state.params, observations, tasks)


def main():
    """Returns what was asked for: minute, expert and task."""
    selector = selectors.amf(embeddings.last_layer_gradient(last_layer), log_likelihood)
    keys = iter(jax.random.split(jax.random.key(0), 5 + BUDGET))
    tuner = ActiveFineTuner(
        learner=Learner(init, update, acts),
        selector=selectors.warm_start(selector, 4),
        tasks=TASKS,
        task_weights=TASK_WEIGHTS,
        pretraining=sensed(next(keys), SHOWN),
        rounds=4 + BUDGET,
        seed=0,
    )

    def show(task):
        return sensed(next(keys), jnp.array([task]))

    for _ in range(4):
        tuner.tell(show(*tuner.ask()))  # one of each task
    minute, asked, busy = 0, [], {}
    while tasks := tuner.ask(len(MINUTES)):
        for expert, task in enumerate(tasks):
            if task is not None and expert not in busy:
                asked.append((minute, expert, task))
                busy[expert] = minute + MINUTES[expert]
        expert = min(busy, key=busy.get)
        minute = busy.pop(expert)
        tuner.tell(show(tasks[expert]), answers=[expert])
    for minute, expert, task in asked:
        print(f"minute {minute:2}: expert {expert} demonstrates task {task}")
    return asked


if __name__ == "__main__":
    main()
