"""A batch chosen greedily: which points leave the targets the least variance."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

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
    """Points in the order in which each lowers the targets' summed variance the most.

    With R the covariance of points and targets given those chosen so far, and r that of
    the points themselves, a point brings `sum_t R[x, t]^2 / (r[x, x] + noise)`; one
    that is chosen changes both by an exact rank-one update.

    Args:
      points: embeddings of the candidates; the kernel is their inner product.
      targets: embeddings of the points whose variance counts.
      batch: how many to choose, each at most once.
      noise_variance: of an observation.
    """

    def step(i, carry):
        across, variance, columns, chosen = carry
        gains = jnp.sum(across**2, axis=1) / (variance + noise_variance)
        taken = jnp.zeros_like(variance, bool).at[chosen].set(True, mode="drop")
        best = jnp.argmax(jnp.where(taken, -jnp.inf, gains))
        column = points @ points[best] - columns.T @ columns[:, best]
        column /= jnp.sqrt(variance[best] + noise_variance)
        row = across[best] / jnp.sqrt(variance[best] + noise_variance)
        return (
            across - column[:, None] * row[None, :],
            variance - column**2,
            columns.at[i].set(column),
            chosen.at[i].set(best.astype(chosen.dtype)),
        )

    count = points.shape[0]
    carry = (
        points @ targets.T,
        jnp.sum(points**2, axis=1),
        jnp.zeros((batch, count), points.dtype),
        jnp.full((batch,), count, jnp.int32),  # out of range: not chosen yet
    )
    return jax.lax.fori_loop(0, batch, step, carry)[-1]


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
