"""What a selection will cost and how much memory it will take, from shapes alone."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import jaxprs_in_params
from jax.sharding import Mesh

from amf_jax import cost, memory, tiles
from amf_jax.candidates import Optimiser
from amf_jax.cost import Sizes
from amf_jax.demonstrations import Demonstrations
from amf_jax.embeddings import Embedding, embed_demonstration
from amf_jax.memory import Buffers
from amf_jax.selectors.base import Context
from amf_jax.selectors.feature_path import STEPS_AT_A_TIME


class Plan(NamedTuple):
    """How one selection is computed.

    Attributes:
      path: one of `cost.PATHS`.
      multiply_adds: predicted cost.
      buffers: that it takes.
    """

    path: str
    multiply_adds: float
    buffers: Buffers

    @property
    def bytes_peak(self) -> int:
        """Predicted memory."""
        return memory.peak(self.path, self.buffers)


class Planner(NamedTuple):
    """The options of `selectors.amf` that say how much there is to do.

    Attributes:
      embedding: of steps.
      search: of the best candidate.
      own: whether the candidates are the evaluation tasks.
      criterion: as in `selectors.amf`.
      weights: as in `selectors.amf`.
      skips: whether pairs of little weight are skipped.
      condition_on_history: whether the posterior also holds the steps at hand.
      trajectory_samples: demonstrations that enter the sums at most; None is all.
      path: that is asked for, or None.
      blocks_at_a_time: as in `selectors.amf`.
      mesh: devices, or None.
    """

    embedding: Embedding
    search: Optimiser
    own: bool
    criterion: str
    weights: str
    skips: bool
    condition_on_history: bool
    trajectory_samples: int | None
    path: str | None
    blocks_at_a_time: int | None
    mesh: Mesh | None

    @property
    def by_features(self) -> bool:
        """Whether the path by features can be taken."""
        return self.embedding.features is not None and self.criterion == "variance"

    def at_hand(self, context: Context) -> int:
        """Steps at hand that the posterior has room for."""
        return context.demos.step_mask.size if self.condition_on_history else 0

    def __call__(self, context: Context, before: int = 0) -> Plan:
        """The plan of a selection.

        Args:
          context: whose shapes matter alone.
          before: steps in the posterior beside those at hand.
        """
        horizon, at_hand = context.demos.step_mask.shape[1], self.at_hand(context)
        sizes = self._sizes(context, at_hand)
        name = cost.choose(self.path, sizes, self.by_features)
        if context.pending is not None:  # which has no say: the state is of one path
            more = context.pending.mask.size * horizon
            sizes, before = sizes._replace(history=at_hand + more), before + more
        buffers = self._buffers(context, sizes, before + at_hand)
        return Plan(name, cost.multiply_adds(name, sizes), buffers)

    def _sizes(self, context: Context, history: int) -> Sizes:
        """Shapes that the cost depends on; as many candidates as tasks are assumed."""
        rows, horizon = context.demos.step_mask.shape
        scored = min(rows, self.trajectory_samples or rows)
        pairs = scored if self.skips else scored * context.tasks.shape[0]
        point, width = self._point(context)
        return Sizes(
            evaluated=pairs,
            blocks=pairs,
            horizon=horizon,
            history=history,
            width=sum(leaf.size for leaf in jax.tree.leaves(point)),
            features=width,
            own=self.own,
        )

    def _buffers(self, context: Context, sizes: Sizes, history: int) -> Buffers:
        """What there must be room for on each device: skipped pairs take it as well."""
        rows, horizon = context.demos.step_mask.shape
        rows = min(rows, self.trajectory_samples or rows)
        devices = 1 if self.mesh is None else self.mesh.size
        own = self.own and devices == 1
        pairs = context.tasks.shape[0] * rows
        all_blocks = self._candidates(context) * rows
        blocks = -(-all_blocks // devices)
        size = tiles.length(blocks, horizon, self.blocks_at_a_time)
        points = pairs * horizon
        width = tiles.length(points)
        copied = blocks * horizon if blocks % size else 0
        if self.criterion == "entropy" or not own:  # then the tiles are of two kinds
            copied += points if points % width else 0
        twice = points if copied and self.criterion == "entropy" and own else 0
        some = self.blocks_at_a_time or max(1, STEPS_AT_A_TIME // horizon)
        chunk = min(pairs, some) * horizon
        point, _ = self._point(context)
        return Buffers(
            recorded=memory.numbers(context.demos),
            parameters=memory.numbers((context.params, context.embedding_params)),
            pairs=pairs,
            horizon=horizon,
            blocks=0 if own else blocks,
            gathered=0 if self.own or devices == 1 else all_blocks + blocks,
            history=history,
            twice=twice,
            passing=copied - twice,
            width=sizes.width,
            parts=len(jax.tree.leaves(point)),
            features=sizes.features,
            tile=max(width, size * horizon),
            chunk=chunk,
            made=made(
                self.embedding,
                context.embedding_params,
                context.demos,
                context.tasks,
                chunk,
            ),
            criterion=self.criterion,
            itemsize=context.tasks.dtype.itemsize,
        )

    def _point(self, context: Context):
        """One point as shapes, and the width of its features (None without)."""

        def one():
            key, demos = jax.random.key(0), context.demos
            params, wide = context.embedding_params, self.embedding.features
            points = embed_demonstration(self.embedding, params, key, demos, 0)
            point = jax.tree.map(lambda leaf: leaf[0], points)
            return point, None if wide is None else wide(points)

        point, wide = jax.eval_shape(one)
        return point, None if wide is None else wide.shape[-1]

    def _candidates(self, context: Context) -> int:
        """How many candidates the search values at a time, at most."""
        asked = []

        def objective(candidates):
            asked.append(candidates.tasks.shape[0])
            return jnp.zeros(asked[-1:], context.tasks.dtype)

        key = jax.random.key(0)
        jax.eval_shape(lambda: self.search(key, objective, context.tasks))
        return max(asked)


def made(
    embedding: Embedding, params: Any, demos: Demonstrations, tasks: Any, steps: int
) -> float:
    """Numbers a step that are written out while `steps` of them are embedded.

    Args:
      embedding: of steps.
      params: as in `Embedding.embed`.
      demos: whose shapes matter alone.
      tasks: whose shapes matter alone.
      steps: embedded at a time.
    """

    def some():
        columns = demos.observations, demos.actions, tasks
        blank = (jnp.zeros((steps, x.shape[-1]), x.dtype) for x in columns)
        return embedding.embed(params, jax.random.key(0), *blank)

    return _written(jax.make_jaxpr(some)().jaxpr) / steps


def _written(jaxpr: Any) -> int:
    """Numbers that a program's matrix products and draws make: few others are kept.

    The body of a loop counts once: its next turn writes over them.
    """
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "random_bits"):
            total += sum(result.aval.size for result in equation.outvars)
        total += sum(map(_written, jaxprs_in_params(equation.params)))
    return total
