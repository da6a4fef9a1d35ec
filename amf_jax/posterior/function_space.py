"""Function space: any kernel and criterion, quadratic in the points that count."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float

from amf_jax import devices
from amf_jax import posterior as gp
from amf_jax.carry import carry_over
from amf_jax.criteria import Criterion, Occupancy
from amf_jax.demonstrations import Demonstrations, valid_steps
from amf_jax.dtypes import compute_dtype
from amf_jax.embeddings import Embedding, embed_demonstration
from amf_jax.posterior.gaussian_process import Posterior
from amf_jax.posterior.pairs import Pairs, chunks
from amf_jax.posterior.spaces import Execution, Scorer

# Steps embedded at a time.
_STEPS_AT_A_TIME = 512


class Visited(NamedTuple):
    """Pairs with their points.

    Attributes:
      pairs: tasks and demonstrations.
      points: leaves `[P, H, ...]`; whatever where a pair is skipped.
      steps: which steps are recorded.
    """

    pairs: Pairs
    points: Any
    steps: Bool[Array, "P H"]

    def shard(self, mesh: Mesh | None) -> "Visited":
        """The pairs of this device."""
        points, steps = devices.shard(mesh, (self.points, self.steps))
        return Visited(self.pairs.shard(mesh), points, steps)


class FunctionSpace(NamedTuple):
    """A selection by kernels between all points that count, see `spaces.Space`.

    Attributes:
      embedding: whose kernel it is.
      criterion: any.
      execution: how it is computed.
    """

    embedding: Embedding
    criterion: Criterion
    execution: Execution

    def empty(
        self, params: Any, demos: Demonstrations, rows: int, noise_variance: float
    ) -> Posterior:
        """A posterior conditioned on nothing, with room for `rows` steps."""

        def one():
            key = jax.random.key(0)
            return embed_demonstration(self.embedding, params, key, demos, 0)

        template = jax.eval_shape(one)
        dtype = compute_dtype(template, demos.actions, demos.tasks)
        return gp.empty(template, max(rows, 1), noise_variance, dtype=dtype)

    def absorb(
        self, posterior, params, key, demos: Demonstrations, first, last, offset=0
    ) -> Posterior:
        """Conditions on demonstrations `first` to `last - 1` under their own tasks.

        Row r of `demos` takes the factor's rows from `offset + r * H` on. The bounds
        are traced: absorbing one more demonstration each round compiles once.
        """
        steps = valid_steps(demos)
        horizon = steps.shape[1]

        def append(row, held):
            points = embed_demonstration(self.embedding, params, key, demos, row)
            start = offset + row * horizon
            return gp.condition(self.embedding.kernel, held, points, steps[row], start)

        return jax.lax.fori_loop(first, last, append, posterior)

    def extend(self, posterior, params, key, demos: Demonstrations) -> Posterior:
        """Conditions on all of these as well, in room behind what is held."""
        held, count = posterior.mask.shape[0], demos.demo_mask.shape[0]
        larger = gp.empty(
            posterior.points,
            held + demos.step_mask.size,
            posterior.noise_variance,
            dtype=posterior.cholesky.dtype,
        )
        roomy = carry_over(posterior, larger)
        return self.absorb(roomy, params, key, demos, 0, count, held)

    def visit(self, pairs: Pairs) -> Visited:
        """All points, of which each device embeds its share."""
        mesh = self.execution.mesh
        own = _embed(pairs.shard(mesh))
        return Visited(pairs, *devices.gather(mesh, own, pairs.order.shape[0]))

    def occupancy(self, visited: Visited, mass: Float[Array, " P"]) -> Occupancy:
        """The points, with the mass of their pairs."""
        kept, horizon = visited.pairs.num_kept, visited.steps.shape[1]
        return Occupancy(
            points=jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), visited.points),
            weights=jnp.where(visited.steps, mass[:, None], 0.0).ravel(),
            num_weighted=None if kept is None else kept * horizon,
        )

    def mean_diagonal(self, occupancy: Occupancy) -> Float[Array, ""]:
        """Weighted mean of `k(x, x)`."""
        assert self.embedding.diagonal is not None  # checked when `amf` was built
        return gp.mean_diagonal(
            self.embedding.diagonal, occupancy.points, occupancy.weights
        )

    def scorer(self, posterior: Posterior, occupancy: Occupancy) -> Scorer:
        """The criterion, given both."""
        mesh, criterion = self.execution.mesh, self.criterion

        def score_by(rule, visited: Visited) -> Float[Array, " P"]:
            own = visited.shard(mesh)
            values = rule(
                self.embedding,
                posterior,
                own.points,
                own.steps,
                occupancy,
                count=own.pairs.num_kept,
                microbatch=self.execution.microbatch,
            )
            return devices.gather(mesh, values, visited.pairs.order.shape[0])

        # Of several devices, none has all points of the occupancy as its own blocks.
        own_rule = criterion.score_own if mesh is None else None
        return Scorer(
            posterior.jitter,
            gp.rounding(self.embedding.kernel, posterior),
            functools.partial(score_by, criterion.score),
            functools.partial(score_by, own_rule or criterion.score),
        )


def _embed(pairs: Pairs) -> tuple[Any, Bool[Array, "P H"]]:
    """Points of the pairs, chunk by chunk up to the last that is not skipped.

    A last chunk that would stick out starts earlier, and embeds some pairs once more.
    """
    _, size, number = chunks(pairs, _STEPS_AT_A_TIME)
    blank = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype),
        jax.eval_shape(pairs.points, pairs.order),
    )

    def some(i, held):
        start = i * size  # clamped by both slices
        new = pairs.points(jax.lax.dynamic_slice_in_dim(pairs.order, start, size))
        return jax.tree.map(
            lambda leaf, rows: jax.lax.dynamic_update_slice_in_dim(
                leaf, rows, start, 0
            ),
            held,
            new,
        )

    return jax.lax.fori_loop(0, number, some, blank)
