"""The two spaces that a selection can be computed in, and which one is taken.

Costs are multiply-adds of the dense products, from shapes alone. With

    B blocks of H steps, E = B H points of the occupancy, M rows of history,
    w numbers a point, and P features,

function space takes

    E M^2 / 2                          solving the occupancy's rows,
    B H M^2 / 2                        solving those of the blocks,
    B H E (w + M + H)                  comparing all points,

where the second term and half of the `w + M` fall away if the blocks' points are those
of the occupancy, as with finitely many tasks; and weight space

    E P^2 / 2                          the second moment,
    B H (P^2 + 2 H P)                  whitening and comparing each block,
    2 P^3                              factoring and whitening the moments.

Where pairs of little weight are skipped, a demonstration is taken to count for one
task: B is N instead of C N. With equal weights none is.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
from jax.sharding import Mesh
from jaxtyping import Array, Float

from amf_jax import devices, errors, ranges
from amf_jax.criteria import CRITERIA
from amf_jax.demonstrations import Demonstrations
from amf_jax.embeddings import Embedding, embed_demonstration
from amf_jax.posterior.pairs import Pairs

SPACES = ("function", "weight")


class Execution(NamedTuple):
    """How a selection is computed; all but a tolerance above 0 change no score.

    Attributes:
      space: "function", by kernels between all points that count, for any criterion;
        "weight", by second moments of explicit embeddings, linear in their number (for
        the variance criterion and embeddings with `features`). None takes the one that
        `costs` predicts to be cheaper.
      microbatch: candidate blocks at work at a time; None fits the cache.
      weight_tolerance: pairs of a task and a demonstration whose importance weight is
        at most this share of the task's largest are skipped, as candidate blocks and as
        parts of the occupancy: with the sharp weights of neural policies, most are. 0
        skips those without any weight; None skips nothing. With the variance
        criterion, H steps and prior variances of at most v in units of the scaled
        kernel, a score is off by at most
        `(pruned[c'] + sum_c mu(c) pruned[c]) H v`, where `pruned` is the weight that is
        skipped; `info.pruned_weight` holds that of the evaluation tasks.
      mesh: devices that share the work, all axes taken as one line of them; None is one
        device. `docs/devices.md` says what is split.
    """

    space: str | None = None
    microbatch: int | None = None
    weight_tolerance: float | None = 0.0
    mesh: Mesh | None = None

    def check(self, embedding: Embedding, criterion: str) -> None:
        """Raises for what is out of range, or a space that cannot be had.

        Raises:
          UnknownNameError: for a space that does not exist.
          InvalidArgumentError: for anything else.
        """
        ranges.check("microbatch", self.microbatch, ranges.COUNT, optional=True)
        tolerance = self.weight_tolerance
        ranges.check("weight_tolerance", tolerance, ranges.PROPER_SHARE, optional=True)
        devices.check(self.mesh)
        if self.space is not None:
            errors.check_name("space", self.space, SPACES)
        if self.space == "weight" and not has_weight_space(embedding, criterion):
            raise errors.InvalidArgumentError(
                "space='weight' needs criterion='variance', got"
                f" {criterion!r}, and an embedding with features; use space='function'"
                " or None"
            )


#: The cheaper space, in microbatches that fit the cache, on one device.
AUTOMATIC = Execution()


class Scorer(NamedTuple):
    """What a posterior and an occupancy make of candidate blocks.

    Attributes:
      jitter: largest diagonal term that conditioning needed.
      rounding: as in `AmfInfo`, but for what the scale loses.
      score: `(visited) -> [P]`, the criterion of every pair as a candidate block, and 0
        for those that are skipped.
      score_own: the same for what the occupancy was made of, with less work.
    """

    jitter: Float[Array, ""]
    rounding: Float[Array, ""]
    score: Callable[..., Array]
    score_own: Callable[..., Array]


@runtime_checkable
class Space(Protocol):
    """How the sums of a criterion over pairs of points are computed.

    A posterior has the fields `noise_variance`, `scale` and `jitter` in both spaces;
    `selectors.carry_over` takes it to a larger buffer. Both implementations are built
    of an embedding, a criterion and an `Execution`.
    """

    def empty(
        self, params: Any, demos: Demonstrations, rows: int, noise_variance: float
    ) -> Any:
        """A posterior conditioned on nothing, with room for `rows` steps."""

    def absorb(
        self, posterior, params, key, demos: Demonstrations, first, last, offset=0
    ) -> Any:
        """Conditions on demonstrations `first` to `last - 1` under their own tasks."""

    def extend(self, posterior, params, key, demos: Demonstrations) -> Any:
        """Conditions on all of these as well, in room of their own."""

    def visit(self, pairs: Pairs) -> Any:
        """The states of pairs of a task and a demonstration."""

    def occupancy(self, visited, mass: Float[Array, " P"]) -> Any:
        """The states that the evaluation tasks visit, weighted."""

    def mean_diagonal(self, occupancy) -> Float[Array, ""]:
        """Weighted mean of `k(x, x)`."""

    def scorer(self, posterior, occupancy) -> Scorer:
        """The criterion, given both."""


def costs(
    pairs: int, horizon: int, history: int, width: int, features: int, own: bool
) -> dict[str, float]:
    """Predicted multiply-adds of one selection in either space.

    Args:
      pairs: of a task and a demonstration that count, as blocks and in the occupancy.
      horizon: steps of a demonstration.
      history: rows that the posterior has room for; 0 if nothing is conditioned on.
      width: numbers a point holds.
      features: width of the explicit embeddings.
      own: whether the blocks are the pairs of the occupancy.

    Example:
      >>> found = costs(100, 50, history=0, width=265, features=2313, own=True)
      >>> print({space: f"{cost:.1e}" for space, cost in found.items()})
      {'function': '4.6e+09', 'weight': '6.6e+10'}
    """
    points = pairs * horizon
    solved, compared = 2 * points, float(points**2 * (width + history))
    if own:
        solved, compared = points, compared / 2
    blocks = points * (features**2 + 2 * horizon * features)
    return {
        "function": solved * history**2 / 2 + compared + points**2 * horizon,
        "weight": points * features**2 / 2 + blocks + 2.0 * features**3,
    }


def has_weight_space(embedding: Embedding, criterion: str) -> bool:
    """Whether a selection can be computed by explicit embeddings."""
    return embedding.features is not None and CRITERIA[criterion].by_moments


def choose(
    embedding: Embedding,
    params: Any,
    demos: Demonstrations,
    pairs: int,
    history: int,
    own: bool,
) -> str:
    """The cheaper space of two that can be had, as `costs` has it.

    Args:
      embedding: with `features`.
      params: as in `Embedding.embed`.
      demos: at hand; their shapes matter alone.
      pairs: as in `costs`.
      history: the same.
      own: the same.
    """

    def shapes():
        points = embed_demonstration(embedding, params, jax.random.key(0), demos, 0)
        assert embedding.features is not None
        return points, embedding.features(points)

    points, features = jax.eval_shape(shapes)
    horizon = demos.step_mask.shape[1]
    width = sum(leaf.size for leaf in jax.tree.leaves(points)) // horizon
    found = costs(pairs, horizon, history, width, features.shape[-1], own)
    return min(SPACES, key=found.__getitem__)
