"""Three experts demonstrate in parallel; each is asked again as soon as it delivers.

What was asked of the others is pending and counts as if it were at hand, so that two
experts are not sent after the same gap. The policy is that of `bare_function.py`.
"""

import heapq

import jax
import jax.numpy as jnp
from bare_function import fit, last_layer, log_likelihood
from reaching import HORIZON, TASK_WEIGHTS, TASKS, demonstrate

from amf_jax import Context, embeddings, selectors
from amf_jax.demonstrations import append, empty
from amf_jax.selectors import pending, select_batch, tasks_of

SHOWN = jnp.array([0, 1] * 6)  # by pre-training: tasks 2 and 3 are new
MINUTES = (3, 4, 7)  # that each expert takes for a demonstration
BUDGET = 12  # demonstrations in all

selector = selectors.amf(embeddings.last_layer_gradient(last_layer), log_likelihood)
select = jax.jit(select_batch, static_argnums=(0, 4))


def main():
    """Returns what was asked for: minute, expert and task."""
    keys = iter(jax.random.split(jax.random.key(0), 4 + 2 * BUDGET))
    hidden = jax.random.normal(next(keys), (6, 64))
    pretrained = fit(hidden, demonstrate(next(keys), SHOWN))
    demos = empty(4 + BUDGET, HORIZON, observation_size=2, action_size=2, task_size=4)
    demos = append(demos, demonstrate(next(keys), jnp.arange(4)))  # one of each task
    context = Context(demos, TASKS, TASK_WEIGHTS, fit(hidden, demos), pretrained)
    state, asked, busy = selector.init(context), [], []

    def ask(minute, experts):
        """Chooses a task for each of these experts, given what the others are doing."""
        nonlocal context, state
        choices, state, infos = select(
            selector, next(keys), state, context, len(experts)
        )
        held = pending.assign(context.pending, jnp.array(experts), choices)
        context = context._replace(pending=held)
        for expert, task in zip(experts, tasks_of(choices, infos), strict=True):
            asked.append((minute, expert, task))
            heapq.heappush(busy, (minute + MINUTES[expert], expert, task))

    context = context._replace(pending=pending.none(len(MINUTES), TASKS))
    ask(0, [0, 1, 2])
    while len(asked) < BUDGET:
        minute, expert, task = heapq.heappop(busy)
        demos = append(context.demos, demonstrate(next(keys), jnp.array([task])))
        context = context._replace(
            demos=demos,
            params=fit(hidden, demos),
            pending=pending.release(context.pending, expert),
        )
        ask(minute, [expert])
    for minute, expert, task in asked:
        print(f"minute {minute:2}: expert {expert} demonstrates task {task}")
    return asked


if __name__ == "__main__":
    main()
