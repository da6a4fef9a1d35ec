"""A fine-tuning round of the MLP: AdamW on minibatches of 256."""

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from amf_jax.demonstrations import Demonstrations
from benchmarks import limits, peers, problems
from benchmarks.jobs.base import Bench, close, compare, compiled
from benchmarks.rows import Row

ROUND_STEPS = 3000
#: Steps after which both sides' losses are compared, where all examples are the same.
_CHECKED_STEPS = 5


def run(bench: Bench) -> Iterator[Row]:
    """A window of steps, scaled to a round."""
    window = 30 if bench.quick else 300
    sizes = problems.SMALL
    if not bench.quick:
        sizes = dataclasses.replace(problems.PAPER, tasks=4, observation=18, action=4)
    context, program = problems.selection(sizes).context, problems.training(sizes)
    demos, params = context.demos, context.params

    def train():
        trained = program.compiled(params, demos, jnp.int32(window))
        return jax.block_until_ready(trained)

    def torch(demos: Demonstrations, steps: int) -> peers.Peer:
        return peers.peer(
            "PyTorch, loop",
            "torch_finetuning",
            lambda module: module.loop(
                params,
                demos,
                steps=steps,
                batch_size=problems.BATCH_SIZE,
                learning_rate=problems.LEARNING_RATE,
                weight_decay=problems.WEIGHT_DECAY,
            ),
            asked=bench.peers,
        )

    # On a single step all minibatches are alike, and so must be what is learnt.
    single = demos._replace(
        step_mask=jnp.zeros_like(demos.step_mask).at[0, 0].set(True)
    )
    reference = torch(single, _CHECKED_STEPS)

    def same_training(ours, theirs) -> str | None:
        del ours, theirs  # of different minibatches
        assert reference.call is not None
        trained = program.compiled(params, single, jnp.int32(_CHECKED_STEPS))
        last = np.asarray(trained.losses)[np.isfinite(trained.losses)][-1]
        return close(1e-3)(last, reference.call())

    shapes = _matmul_shapes(sizes)
    row = Row(
        "finetuning",
        flops=ROUND_STEPS * sum(2.0 * m * k * n for m, k, n in shapes),
        limit_seconds=ROUND_STEPS * limits.matmuls(shapes, bench.seconds / 4),
        note=(
            f"{ROUND_STEPS} times the mean step of a window of {window}; the limit is"
            " the time of matmuls of the same shapes"
        ),
    )
    yield from compare(
        bench,
        compiled(row, program),
        train,
        [torch(demos, window)],
        same_training,
        factor=ROUND_STEPS / window,
    )


def _matmul_shapes(sizes: problems.Sizes) -> list[tuple[int, int, int]]:
    """Of one step `[m, k] @ [k, n]`: forward, and backward for weights and inputs."""
    widths = [sizes.observation + sizes.task, sizes.hidden, sizes.hidden, sizes.action]
    layers = list(zip(widths[:-1], widths[1:], strict=True))
    forward = [(problems.BATCH_SIZE, inner, outer) for inner, outer in layers]
    weights = [(inner, problems.BATCH_SIZE, outer) for inner, outer in layers]
    inputs = [(problems.BATCH_SIZE, outer, inner) for inner, outer in layers[1:]]
    return forward + weights + inputs
