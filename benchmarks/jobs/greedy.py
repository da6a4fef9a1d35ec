"""A batch chosen greedily: which points leave the targets the least variance."""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from amf_jax import embeddings, greedy, posterior
from benchmarks import peers, problems
from benchmarks.jobs.base import Bench, compare, compiled, same_choices
from benchmarks.peers import Peer
from benchmarks.rows import Row
from benchmarks.timing import compile_program

#: Observation noise, where points have a mean squared length of one.
NOISE_VARIANCE = 0.1
_FLOAT_BYTES = 4


def choose(
    points: Float[Array, "n p"],
    targets: Float[Array, "m p"],
    batch: int,
    noise_variance: float,
) -> Int[Array, " batch"]:
    """Rows of `points` in the order in which the library chooses them."""
    prior = posterior.empty(points, 1, noise_variance)
    chosen = greedy.reduce_variance(
        embeddings.linear_kernel,
        embeddings.linear_diagonal,
        prior,
        points,
        targets,
        batch,
    )
    return chosen.indices


def run(bench: Bench) -> Iterator[Row]:
    """For other points as targets, as VTL does, and for all points, as BAIT does."""
    sizes = problems.sizes(bench.quick)
    count, batch = (60, 5) if bench.quick else (1000, 50)
    points, targets = np.split(problems.explicit_points(sizes, 2 * count), 2)

    def peer(name: str, module: str) -> Peer:
        return peers.peer(
            name,
            module,
            lambda loaded: loaded.greedy(points, targets, batch, NOISE_VARIANCE),
            asked=bench.peers,
        )

    yield from _compare(
        bench, points, targets, batch, peer("activeft, VTL", "activeft_vtl")
    )
    everything = np.concatenate([points, targets])
    yield from _compare(
        bench, points, everything, batch, peer("bmdal_reg, BAIT", "bmdal_bait")
    )


def _compare(
    bench: Bench, points: np.ndarray, targets: np.ndarray, batch: int, peer: Peer
) -> Iterator[Row]:
    program = compile_program(
        lambda points, targets: choose(points, targets, batch, NOISE_VARIANCE),
        jnp.asarray(points),
        jnp.asarray(targets),
    )
    (count, width), goals = points.shape, len(targets)
    flops = 2.0 * count * goals * width
    moved = batch * _FLOAT_BYTES * (2.0 * count * goals + count * width)
    row = Row(
        "greedy",
        case=f"{batch} of {count} points for {goals} targets",
        flops=flops,
        bytes_moved=moved,
        limit_seconds=bench.limits.seconds(flops=flops, bytes_moved=moved),
    )
    yield from compare(
        bench, compiled(row, program), program.call, [peer], same_choices
    )
