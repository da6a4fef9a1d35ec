"""Selection on several devices: each one scores its share of the pairs.

The pairs of a task and a demonstration are dealt out in turns. Those that count come
first in their order, so that the pairs of a pruned selection are split evenly as well:
the numbers of two devices differ by one at most. So are the steps whose likelihoods the
importance weights take.
"""

from collections.abc import Callable

import jax
from jax.sharding import Mesh
from jaxtyping import Array, Float

from amf_jax import devices
from amf_jax.selectors.gram_path import View
from amf_jax.selectors.pairs import Pairs
from amf_jax.selectors.paths import Path


def split_likelihood(mesh: Mesh, log_likelihood: Callable) -> Callable:
    """The same `Policy.log_likelihood`, of whose steps each device takes its share."""

    def split(params, observations, actions, tasks):
        def share():
            inputs = (observations, actions, tasks)
            flat = [values.reshape(-1, values.shape[-1]) for values in inputs]
            mine = [devices.dealt(mesh, values) for values in flat]
            steps = log_likelihood(params, *mine)
            return devices.gathered(mesh, steps, flat[0].shape[0])

        return devices.everywhere(mesh, share)().reshape(tasks.shape[:-1])

    return split


def split_gram(mesh: Mesh, path: Path) -> Path:
    """The path by kernels: points are embedded in shares, and all devices get all."""

    def view(pairs: Pairs) -> View:
        def share():
            points = path.view(deal(mesh, pairs)).points
            return _gathered(mesh, points, pairs.order.shape[0])

        _, steps = pairs.points(pairs.order)  # XLA drops the points
        return View(pairs, devices.everywhere(mesh, share)(), steps)

    def mine(view: View) -> View:
        points = jax.tree.map(lambda leaf: devices.dealt(mesh, leaf), view.points)
        return View(deal(mesh, view.pairs), points, devices.dealt(mesh, view.steps))

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
        def share():
            moment = path.occupancy(mine(pairs), devices.dealt(mesh, mass))
            return jax.lax.psum(moment, mesh.axis_names)

        return devices.everywhere(mesh, share)()

    return path._replace(
        view=lambda pairs: pairs,
        occupancy=occupancy,
        scorer=_split_scorer(mesh, path, mine, number),
    )


def deal(mesh: Mesh, pairs: Pairs) -> Pairs:
    """The pairs of this device, in the order in which they are skipped or not."""
    kept = pairs.num_kept
    if kept is not None:
        kept = devices.number_dealt(mesh, kept)
    return pairs._replace(
        weights=devices.dealt(mesh, pairs.weights),
        order=devices.dealt(mesh, pairs.order),
        num_kept=kept,
    )


def _split_scorer(mesh: Mesh, path: Path, mine: Callable, number: Callable) -> Callable:
    """Scores of pairs, of which each device computes those that are its own."""

    def scorer(posterior, occupancy):
        posterior, score = path.scorer(posterior, occupancy)

        def split(view) -> Float[Array, " P"]:
            def share():
                return devices.gathered(mesh, score(mine(view)), number(view))

            return devices.everywhere(mesh, share)()

        return posterior, split

    return scorer


def _gathered(mesh: Mesh, points, total: int):
    return jax.tree.map(lambda leaf: devices.gathered(mesh, leaf, total), points)
