"""What a selection costs on either path, and which one is taken.

Costs are multiply-adds of the dense products, from shapes alone. With

    B = K N blocks of H steps, E = C N H points of the occupancy, M rows of history,
    w numbers a point, and P features,

the path by kernels takes

    E M^2                              solving the occupancy's rows,
    B (M^2 H + H E (w + M + H))        solving each block's, and comparing all points,

and the path by features

    E P^2                              the second moment,
    B H (1.5 P^2 + 2 H P)              whitening and comparing each block,
    2 P^3                              factoring and whitening the moments.

Where pairs of little weight are skipped, a demonstration is taken to count for one
task: K N and C N become N. With equal weights none is.
"""

from typing import NamedTuple

PATHS = ("gram", "feature")


class Sizes(NamedTuple):
    """Shapes of a selection.

    Attributes:
      evaluated: pairs of an evaluation task and a demonstration that count.
      blocks: pairs of a candidate and a demonstration that count.
      horizon: steps of a demonstration.
      history: rows that the posterior has room for; 0 if nothing is conditioned on.
      width: numbers a point holds.
      features: width of the explicit embeddings, or None.
    """

    evaluated: int
    blocks: int
    horizon: int
    history: int
    width: int
    features: int | None


def multiply_adds(path: str, sizes: Sizes) -> float:
    """Predicted multiply-adds of one selection.

    Example:
      >>> sizes = Sizes(100, 100, horizon=50, history=0, width=265, features=2313)
      >>> [f"{multiply_adds(path, sizes):.1e}" for path in PATHS]
      ['7.9e+09', '9.3e+10']
    """
    horizon, held = sizes.horizon, sizes.history
    points, rows = sizes.evaluated * horizon, sizes.blocks * horizon
    if path == "gram":
        own = rows * held**2 + points * held**2
        return float(own + rows * points * (sizes.width + held + horizon))
    assert sizes.features is not None  # else there is no such path
    width = sizes.features
    blocks = rows * (1.5 * width**2 + 2 * horizon * width)
    return float(points * width**2 + blocks + 2 * width**3)


def choose(path: str | None, sizes: Sizes, has_features: bool) -> str:
    """The path that is asked for, or the one that is predicted to cost less.

    Args:
      path: one of `PATHS`, or None for the cheaper one.
      sizes: of the selection.
      has_features: whether the path by features can be taken.
    """
    if path is not None:
        return path
    names = PATHS if has_features else PATHS[:1]
    return min(names, key=lambda name: multiply_adds(name, sizes))
