"""What a selection costs on either path, and which one is taken.

Costs are multiply-adds of the dense products, from shapes alone. With

    B = K N blocks of H steps, E = C N H points of the occupancy, M rows of history,
    w numbers a point, and P features,

the path by kernels takes

    E M^2 / 2                          solving the occupancy's rows,
    B H M^2 / 2                        solving those of the blocks,
    B H E (w + M + H)                  comparing all points,

where the second term and half of the `w + M` fall away if the blocks' points are those
of the occupancy, as with finitely many tasks; and the path by features

    E P^2 / 2                          the second moment,
    B H (P^2 + 2 H P)                  whitening and comparing each block,
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
      own: whether the blocks are the pairs of the occupancy.
    """

    evaluated: int
    blocks: int
    horizon: int
    history: int
    width: int
    features: int | None
    own: bool


def multiply_adds(path: str, sizes: Sizes) -> float:
    """Predicted multiply-adds of one selection.

    Example:
      >>> sizes = Sizes(100, 100, 50, history=0, width=265, features=2313, own=True)
      >>> [f"{multiply_adds(path, sizes):.1e}" for path in PATHS]
      ['4.6e+09', '6.6e+10']
    """
    horizon, held = sizes.horizon, sizes.history
    points, rows = sizes.evaluated * horizon, sizes.blocks * horizon
    if path == "gram":
        compared = float(rows * points * (sizes.width + held))
        if sizes.own:
            solved, compared = points, compared / 2
        else:
            solved = points + rows
        return solved * held**2 / 2 + compared + rows * points * horizon
    assert sizes.features is not None  # else there is no such path
    width = sizes.features
    blocks = rows * (width**2 + 2 * horizon * width)
    return points * width**2 / 2 + blocks + 2.0 * width**3


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
