"""What the `amf` selector knows already: a posterior that grows over the rounds."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from amf_jax import demonstrations as demonstrations_lib
from amf_jax import errors, ranges
from amf_jax import posterior as gp
from amf_jax.carry import carry_over
from amf_jax.demonstrations import Demonstrations
from amf_jax.dtypes import compute_dtype
from amf_jax.embeddings import Embedding, embed_demonstration
from amf_jax.posterior.gaussian_process import Posterior
from amf_jax.posterior.moments import MomentPosterior
from amf_jax.posterior.spaces import Space
from amf_jax.selectors.context import Context


class AmfState(NamedTuple):
    """What carries from round to round.

    Attributes:
      posterior: conditioned on the history and on earlier rounds' demonstrations; a
        `Posterior` in function space, a `MomentPosterior` in weight space.
      num_conditioned: rows of `context.demos` that the posterior already holds.
      num_history: steps that `history` has room for; those at hand come behind.
      scaled: whether the kernel's scale has been set.
    """

    posterior: Posterior | MomentPosterior
    num_conditioned: Int[Array, ""]
    num_history: Int[Array, ""]
    scaled: Bool[Array, ""]

    def carry_over(self, larger: "AmfState") -> "AmfState":
        """See `selectors.carry_over`.

        Where a larger buffer is summed in the other space, its posterior takes the
        scale alone and is conditioned on the demonstrations at hand anew.
        """
        held, fresh = self.posterior, larger.posterior
        if type(held) is type(fresh):
            return AmfState(*map(carry_over, self, larger))
        noise, scale = held.noise_variance, held.scale
        posterior = fresh._replace(noise_variance=noise, scale=scale)
        return larger._replace(posterior=posterior, scaled=self.scaled)


class History(NamedTuple):
    """What is remembered from round to round, and how; see `selectors.amf`.

    Attributes:
      embedding: of steps.
      condition_on_history: whether the posterior holds the demonstrations at hand.
      frozen_embeddings: whether what was solved in earlier rounds is still right.
      normalise_kernel: whether the kernel is divided by its mean diagonal.
      noise_variance: of the expert.
    """

    embedding: Embedding
    condition_on_history: bool
    frozen_embeddings: bool
    normalise_kernel: bool
    noise_variance: float

    def check(self) -> None:
        """Raises `InvalidArgumentError` for what is out of range or contradictory."""
        for name in ("condition_on_history", "frozen_embeddings", "normalise_kernel"):
            ranges.check_flag(name, getattr(self, name))
        ranges.check("noise_variance", self.noise_variance, ranges.POSITIVE)
        if self.normalise_kernel and self.embedding.diagonal is None:
            raise errors.InvalidArgumentError(
                "normalise_kernel=True divides by the mean of embedding.diagonal, which"
                " is None; use an embedding with a diagonal or normalise_kernel=False"
            )

    def steps_at_hand(self, context: Context) -> int:
        """Steps of the buffer that the posterior has room for."""
        return context.demos.step_mask.size if self.condition_on_history else 0

    def start(self, space: Space, context: Context, known: int = 0) -> AmfState:
        """Conditioned on nothing, with room for `known` steps beside those at hand."""
        params, demos = context.embedding_params, context.demos
        rows = known + self.steps_at_hand(context)
        return AmfState(
            space.empty(params, demos, rows, self.noise_variance),
            num_conditioned=jnp.int32(0),
            num_history=jnp.int32(known),
            scaled=jnp.asarray(not self.normalise_kernel),
        )

    def start_from(
        self, space: Space, context: Context, history: Demonstrations
    ) -> AmfState:
        """Conditioned on demonstrations from before the first round.

        Raises:
          InvalidArgumentError: if embeddings move, since these are embedded once.
        """
        if not self.frozen_embeddings:
            raise errors.InvalidArgumentError(
                "history needs frozen_embeddings=True: its rows are embedded once"
            )
        state = self.start(space, context, history.step_mask.size)
        demos = demonstrations_lib.fill_padding(history)
        params, key, posterior = context.embedding_params, frozen_key(), state.posterior
        if self.normalise_kernel:
            scale = _own_scale(self.embedding, params, key, demos)
            posterior = posterior._replace(scale=scale)
        rows = demos.demo_mask.shape[0]
        posterior = space.absorb(posterior, params, key, demos, 0, rows)
        return state._replace(posterior=posterior, scaled=jnp.asarray(True))

    def update(
        self, space: Space, state: AmfState, context: Context, key, mean_diagonal
    ) -> AmfState:
        """Conditioned on the demonstrations at hand that are new, and scaled once.

        Args:
          space: that the posterior is of.
          state: of the rounds before.
          context: of the round, with filled padding.
          key: of the embeddings.
          mean_diagonal: `() -> mean` of the kernel over the occupancy, its scale if it
            has none yet.
        """
        if not self.frozen_embeddings:  # what was solved belongs to other embeddings
            noise = state.posterior.noise_variance
            state = self.start(space, context)
            posterior = state.posterior._replace(noise_variance=noise)
            state = state._replace(posterior=posterior)
        if self.normalise_kernel:
            scale = jnp.where(state.scaled, state.posterior.scale, mean_diagonal())
            posterior = state.posterior._replace(scale=scale)
            state = state._replace(posterior=posterior, scaled=jnp.asarray(True))
        if not self.condition_on_history:
            return state
        params, demos = context.embedding_params, context.demos
        first, last = state.num_conditioned, demonstrations_lib.count(demos)
        posterior = space.absorb(
            state.posterior, params, key, demos, first, last, state.num_history
        )
        return state._replace(posterior=posterior, num_conditioned=last)


def frozen_key() -> Array:
    """Of all embeddings that are compared with those of other rounds."""
    return jax.random.key(0)


def _own_scale(embedding: Embedding, params, key, demos: Demonstrations) -> Array:
    """Mean of `k(x, x)` over the recorded steps, each under its own task."""
    assert embedding.diagonal is not None  # checked when the selector was built
    rows = jnp.arange(demos.demo_mask.shape[0])
    points = jax.vmap(
        lambda row: embed_demonstration(embedding, params, key, demos, row)
    )(rows)
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), points)
    mass = demonstrations_lib.valid_steps(demos).ravel().astype(compute_dtype(flat))
    return gp.mean_diagonal(embedding.diagonal, flat, mass)
