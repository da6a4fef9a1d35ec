"""A choice from 100 000 demonstrations that are made up as they are read.

    python examples/large_pool.py --help

The policy was pre-trained on the first half of the tasks and fine-tuned on all. Its
gradients have 180 000 numbers and are sketched to a few hundred. The demonstrations
would take 800 MB.
"""

import argparse
import os
import resource
import time

# Before JAX is imported, see "Many small factors" in docs/sharp_bits.md.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from amf_jax import Demonstrations, embeddings, finetune, streaming
from amf_jax.policies import mlp

STATE, TASK, ACTION, BATCH = 30, 384, 9, 512
PASSES = ("weights", "moments", "scores")


def setting(num_tasks):
    """Task vectors of unit length, as of sentences, and an expert for each of them."""
    rng = np.random.default_rng(0)
    tasks = rng.standard_normal((num_tasks, TASK)).astype(np.float32)
    tasks /= np.linalg.norm(tasks, axis=-1, keepdims=True)
    experts = rng.standard_normal((num_tasks, STATE, ACTION)) / np.sqrt(STATE)
    return tasks, experts.astype(np.float32)


def demonstrations(count, steps, tasks, experts, task_ids=None):
    """An iterator over `count` demonstrations: the same ones each time it is made."""
    for first in range(0, count, BATCH):
        rng = np.random.default_rng((1, first))
        rows = min(BATCH, count - first)
        ids = (first + np.arange(rows)) % len(tasks) if task_ids is None else task_ids
        states = rng.standard_normal((rows, steps, STATE), np.float32)
        noise = rng.standard_normal((rows, steps, ACTION), np.float32)
        yield Demonstrations(
            observations=states,
            actions=np.tanh(states @ experts[ids]) + 0.1 * noise,
            step_mask=np.ones((rows, steps), bool),
            tasks=tasks[ids],
            task_ids=ids.astype(np.int32),
            demo_mask=np.ones(rows, bool),
        )


def train(policy, params, demos, steps=300):
    """Behaviour cloning from `params` on."""
    optimizer = finetune.adamw_direction()
    return finetune.finetune(
        policy.loss,
        optimizer,
        finetune.cosine(1e-3),
        jax.random.key(1),
        params,
        optimizer.init(params),
        jax.tree.map(jnp.asarray, demos),
        steps,
        encode_task=policy.encode_task,
    ).params


class Bars:
    """Shows how far each pass is, and remembers how long it took."""

    def __init__(self, console, count):
        self.seconds = dict.fromkeys(PASSES, 0.0)
        self._count, self._last = count, time.perf_counter()
        columns = TextColumn("{task.description}"), BarColumn(30), MofNCompleteColumn()
        clocks = TimeElapsedColumn(), TimeRemainingColumn()
        self.progress = Progress(*columns, *clocks, console=console)
        self._bars = {
            name: self.progress.add_task(name, total=None, start=False)
            for name in PASSES
        }

    def __call__(self, name, done, total):
        now = time.perf_counter()
        self.seconds[name] += now - self._last
        self._last = now
        bar = self._bars[name]
        self.progress.start_task(bar)
        self.progress.update(bar, completed=done, total=total or self._count)


def peak_mib():
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(arguments=None):
    """Returns the task to ask for."""
    options = parse(arguments)
    console = Console()
    tasks, experts = setting(options.tasks)
    sizes = options.demonstrations, options.steps, tasks, experts
    policy = mlp.policy(
        jnp.zeros(STATE),
        jnp.ones(STATE),
        TASK,
        ACTION,
        features=(options.hidden, options.hidden),
    )
    shown = next(demonstrations(BATCH, *sizes[1:]))
    known = np.arange(BATCH) % max(1, options.tasks // 2)
    half = next(demonstrations(BATCH, *sizes[1:], task_ids=known))
    pretrained = train(policy, policy.init(jax.random.key(0)), half)
    current = train(policy, pretrained, shown)

    before, load, spent = peak_mib(), os.getloadavg()[0], time.process_time()
    bars = Bars(console, options.demonstrations)
    with bars.progress:
        choice, info = streaming.select(
            lambda: demonstrations(*sizes),
            embeddings.projected_gradient(policy.layer_gradients, rank=options.rank),
            policy.log_likelihood,
            tasks,
            params=current,
            embedding_params=pretrained,
            weight_tolerance=1e-6,
            on_progress=bars,
        )
    report(console, info)
    times = ", ".join(f"{name} {bars.seconds[name]:.0f} s" for name in PASSES)
    spent = time.process_time() - spent
    console.print(f"{times}; {spent:.0f} s of all cores together")
    console.print(f"load {load:.1f} before, {os.getloadavg()[0]:.1f} after")
    console.print(f"peak memory {before:.0f} MiB before, {peak_mib():.0f} MiB after")
    console.print(f"demonstrate task {choice.task_id} next")
    return int(choice.task_id)


def report(console, info):
    """Prints what the choice was made by."""
    table = Table("Task", "Score", "Demonstrations that count", "Weight skipped")
    columns = info.scores, info.effective_sample_size, info.pruned_weight
    for task, (score, size, skipped) in enumerate(zip(*columns, strict=True)):
        table.add_row(str(task), f"{score:.4g}", f"{size:.0f}", f"{skipped:.1e}")
    console.print(table)


def parse(arguments):
    """The sizes of the pool and the policy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demonstrations", type=int, default=100_000)
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--steps", type=int, default=50, help="of a demonstration")
    parser.add_argument("--hidden", type=int, default=256, help="width of the policy")
    parser.add_argument("--rank", type=int, default=256, help="of the projection")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
