"""The two ways to compute a selection: by kernels between points, or by features."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Path(NamedTuple):
    """How the sums of a criterion over pairs of points are computed.

    Attributes:
      empty: `(context, rows, noise_variance) -> posterior` conditioned on nothing, with
        room for as many steps.
      absorb: `(posterior, params, key, demos, first, last, offset) -> posterior`,
        conditioned on demonstrations `first` to `last - 1` under their own tasks.
      extend: `(posterior, params, key, demos) -> posterior`, conditioned on all of them
        as well, in room of their own.
      view: `(pairs) -> view` of pairs of a task and a demonstration.
      occupancy: `(view, mass [P]) -> occupancy` of the pairs of the evaluation tasks.
      mean_diagonal: `(occupancy) -> scalar`, weighted mean of `k(x, x)`.
      scorer: `(posterior, occupancy) -> (posterior, rounding, score, score_own)`, where
        `rounding` is as in `AmfInfo`, and `score(view)` is the criterion of every
        pair as a candidate block, and 0 for those that are skipped. `score_own(view)`
        is the same for the view that the occupancy was made of, and may take less.
    """

    empty: Callable[..., Any]
    absorb: Callable[..., Any]
    extend: Callable[..., Any]
    view: Callable[..., Any]
    occupancy: Callable[..., Any]
    mean_diagonal: Callable[..., Any]
    scorer: Callable[..., tuple[Any, Any, Callable[..., Any], Callable[..., Any]]]
