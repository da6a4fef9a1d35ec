"""Weight space: explicit embeddings, linear in the points that count."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from amf_jax import devices
from amf_jax.criteria import Criterion
from amf_jax.demonstrations import Demonstrations, valid_steps
from amf_jax.dtypes import compute_dtype
from amf_jax.embeddings import Embedding, embed_demonstration
from amf_jax.posterior import moments
from amf_jax.posterior.moments import MomentPosterior
from amf_jax.posterior.pairs import Pairs, chunks
from amf_jax.posterior.spaces import Execution, Scorer

#: Steps embedded and multiplied at a time: enough to keep a matmul busy.
STEPS_AT_A_TIME = 1024


class Moment(NamedTuple):
    """The occupancy, as all that the criterion needs of it.

    Attributes:
      second_moment: `sum_x w_x phi(x) phi(x)'`.
      mass: `sum_x w_x`.
    """

    second_moment: Float[Array, "P P"]
    mass: Float[Array, ""]


class WeightSpace(NamedTuple):
    """A selection by second moments (eq. 4 alone), see `spaces.Space`.

    Attributes:
      embedding: with `features`.
      criterion: that of the variance.
      execution: how it is computed.
    """

    embedding: Embedding
    criterion: Criterion
    execution: Execution

    def empty(
        self, params: Any, demos: Demonstrations, rows: int, noise_variance: float
    ) -> MomentPosterior:
        """A posterior conditioned on nothing; it has room for any number of steps."""
        del rows

        def one():
            key = jax.random.key(0)
            points = embed_demonstration(self.embedding, params, key, demos, 0)
            return self._explicit(points)

        template = jax.eval_shape(one)
        dtype = compute_dtype(template, demos.actions, demos.tasks)
        return moments.empty(template.shape[1], noise_variance, dtype=dtype)

    def absorb(
        self, posterior, params, key, demos: Demonstrations, first, last, offset=0
    ) -> MomentPosterior:
        """Conditions on demonstrations `first` to `last - 1` under their own tasks."""
        del offset
        steps = valid_steps(demos)

        def add(row, upper):
            points = embed_demonstration(self.embedding, params, key, demos, row)
            return moments.add_points(upper, self._explicit(points), steps[row])

        upper = jax.lax.fori_loop(first, last, add, posterior.second_moment)
        return posterior._replace(second_moment=moments.mirrored(upper))

    def extend(self, posterior, params, key, demos: Demonstrations) -> MomentPosterior:
        """Conditions on all of these as well."""
        count = demos.demo_mask.shape[0]
        return self.absorb(posterior, params, key, demos, 0, count)

    def visit(self, pairs: Pairs) -> Pairs:
        """The pairs themselves: their points are never held at once."""
        return pairs

    def occupancy(self, visited: Pairs, mass: Float[Array, " P"]) -> Moment:
        """The second moment of all points; those of shares add up."""
        mesh, microbatch = self.execution.mesh, self.execution.microbatch
        pairs, mass = visited.shard(mesh), devices.shard(mesh, mass)
        order, size, number = chunks(pairs, STEPS_AT_A_TIME, microbatch)
        mass = jnp.pad(mass, (0, order.size - mass.size))

        def add(i, total: Moment):
            phi, steps = self._embed(pairs, _slice(order, i, size))
            weights = jnp.where(steps, _slice(mass, i, size)[:, None], 0.0).ravel()
            upper = moments.add_second_moment(
                total.second_moment, phi.reshape(weights.size, -1), weights
            )
            return Moment(upper, total.mass + weights.sum())

        phi, _ = jax.eval_shape(functools.partial(self._embed, pairs), order[:1])
        width = phi.shape[-1]
        blank = Moment(jnp.zeros((width, width), mass.dtype), jnp.zeros((), mass.dtype))
        total = jax.lax.fori_loop(0, number, add, blank)
        total = total._replace(second_moment=moments.mirrored(total.second_moment))
        return devices.total(mesh, total)

    def mean_diagonal(self, occupancy: Moment) -> Float[Array, ""]:
        """Weighted mean of `|phi|^2`."""
        return moments.mean_diagonal(occupancy.second_moment, occupancy.mass)

    def scorer(self, posterior: MomentPosterior, occupancy: Moment) -> Scorer:
        """The criterion, given both."""
        mesh, microbatch = self.execution.mesh, self.execution.microbatch
        given = moments.given(posterior, occupancy.second_moment)

        def score(visited: Pairs) -> Float[Array, " P"]:
            pairs = visited.shard(mesh)
            order, size, number = chunks(pairs, STEPS_AT_A_TIME, microbatch)

            def add(i, values):
                new = given.score(*self._embed(pairs, _slice(order, i, size)))
                return jax.lax.dynamic_update_slice_in_dim(values, new, i * size, 0)

            blank = jnp.zeros(order.shape, occupancy.mass.dtype)
            values = jax.lax.fori_loop(0, number, add, blank)[: pairs.order.size]
            count = pairs.order.size if pairs.num_kept is None else pairs.num_kept
            values = jnp.where(jnp.arange(values.size) < count, values, 0.0)
            return devices.gather(mesh, values, visited.order.shape[0])

        return Scorer(given.jitter, given.rounding, score, score)

    def _explicit(self, points: Any) -> Float[Array, "n P"]:
        assert self.embedding.features is not None  # checked when `amf` was built
        return self.embedding.features(points)

    def _embed(
        self, pairs: Pairs, order: Int[Array, " b"]
    ) -> tuple[Float[Array, "b H P"], Bool[Array, "b H"]]:
        points, steps = pairs.points(order)
        return jax.vmap(self._explicit)(points), steps


def _slice(values: Array, i, size: int) -> Array:
    return jax.lax.dynamic_slice_in_dim(values, i * size, size)
