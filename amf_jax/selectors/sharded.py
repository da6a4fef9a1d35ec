"""Selection on several devices: each one works on its share of the pairs.

A selection runs as a whole on every device (`devices.everywhere`), which keeps what the
devices share and replaces the parts that grow with the pairs. Pairs of a task and a
demonstration are dealt out in turns. Those that count come first in their order, so
that the pairs of a pruned selection are split evenly as well: the numbers of two
devices differ by one at most. Likelihoods are computed by shares of demonstrations.
"""

from collections.abc import Callable

import jax
from jax.sharding import Mesh
from jaxtyping import Array, Float

from amf_jax import devices, tiles
from amf_jax.demonstrations import Demonstrations
from amf_jax.selectors.gram_path import View
from amf_jax.selectors.pairs import Pairs
from amf_jax.selectors.paths import Path


def split_demonstrations(mesh: Mesh, function: Callable) -> Callable:
    """A function `(demos [N]) -> [K, N]` of which each device computes some columns."""

    def split(demos: Demonstrations) -> Float[Array, "K N"]:
        even = tiles.filled_up(demos, mesh.size)
        columns = function(devices.dealt(mesh, even)).T
        return devices.gathered(mesh, columns, demos.demo_mask.shape[0]).T

    return split


def split_gram(mesh: Mesh, path: Path) -> Path:
    """The path by kernels: points are embedded in shares, and all devices get all."""

    def view(pairs: Pairs) -> View:
        own = path.view(deal(mesh, pairs))
        total = pairs.order.shape[0]
        return View(pairs, *devices.gathered(mesh, (own.points, own.steps), total))

    def mine(view: View) -> View:
        points, steps = devices.dealt(mesh, (view.points, view.steps))
        return View(deal(mesh, view.pairs), points, steps)

    def number(view: View) -> int:
        return view.pairs.order.shape[0]

    return path._replace(view=view, scorer=_split_scorer(mesh, path, mine, number))


def split_feature(mesh: Mesh, path: Path) -> Path:
    """The path by features: second moments of shares add up."""

    def mine(pairs: Pairs):
        return path.view(deal(mesh, pairs))

    def number(pairs: Pairs) -> int:
        return pairs.order.shape[0]

    def occupancy(pairs: Pairs, mass: Float[Array, " P"]):
        moment = path.occupancy(mine(pairs), devices.dealt(mesh, mass))
        return jax.lax.psum(moment, mesh.axis_names)

    return path._replace(
        view=lambda pairs: pairs,
        occupancy=occupancy,
        scorer=_split_scorer(mesh, path, mine, number),
    )


def deal(mesh: Mesh, pairs: Pairs) -> Pairs:
    """The pairs of this device, those that are not skipped first."""
    kept = pairs.num_kept
    return pairs._replace(
        weights=devices.dealt(mesh, pairs.weights),
        order=devices.dealt(mesh, pairs.order),
        num_kept=None if kept is None else devices.number_dealt(mesh, kept),
    )


def _split_scorer(mesh: Mesh, path: Path, mine: Callable, number: Callable) -> Callable:
    """Scores of pairs, of which each device computes those that are its own."""

    def scorer(posterior, occupancy):
        # A device's own pairs are not those of the whole occupancy.
        posterior, rounding, score, _ = path.scorer(posterior, occupancy)

        def split(view) -> Float[Array, " P"]:
            return devices.gathered(mesh, score(mine(view)), number(view))

        return posterior, rounding, split, split

    return scorer


#: How the paths of `cost.PATHS` are split: `(mesh, path) -> path`.
SPLIT = {"gram": split_gram, "feature": split_feature}
