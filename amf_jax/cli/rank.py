"""Ranks tasks by the value of their next demonstration.

FILE is an .npz file, as numpy.savez writes it, with a row for each of n
recorded steps, in any order:

  features        [n, d]  what enters the policy's last layer
  errors          [n, A]  gradient of the step's loss at that layer's output,
                          such as output - action
  gradients       [n, P]  in place of both: with respect to any parameters
  episode_ids     [n]     integers or strings
  task_ids        [n]     integers or strings, one task per episode
  task_names      [C]     names of tasks 0, 1, ..., all at stake (optional)
  task_weights    [C]     their probabilities (optional: all equally likely)
  noise_variance          of the expert, relative to the kernel (optional: 1)

No framework is needed to read it, and none of the policy but these arrays.
docs/ranking.md says how to export them from PyTorch.
"""

import argparse
import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from amf_jax.cli import text
from amf_jax.errors import AmfError, DemonstrationError

if TYPE_CHECKING:
    from amf_jax.ranking import Ranking

_ARRAYS = (
    "features",
    "errors",
    "gradients",
    "episode_ids",
    "task_ids",
    "task_names",
    "task_weights",
    "noise_variance",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the verb."""
    parser.add_argument("file", metavar="FILE", help="arrays of the steps, see above")
    parser.add_argument(
        "--noise-variance",
        type=_number(float, "from 1e-12 to 1e12", lambda value: 1e-12 <= value <= 1e12),
        metavar="X",
        help="from 1e-12 to 1e12; larger values trust each demonstration less",
    )
    parser.add_argument(
        "--projection-rank",
        type=_number(int, "from 1 to 8192", lambda value: 1 <= value <= 8192),
        metavar="N",
        help="numbers that gradients are projected to, from 1 to 8192 (without: 512"
        " where they are longer)",
    )
    parser.add_argument(
        "--seed",
        type=_number(int, "from 0 to 4294967295", lambda value: 0 <= value < 2**32),
        default=0,
        metavar="N",
        help="of the projection, from 0 to 4294967295 (without: 0)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _number(kind: type, words: str, holds: Callable[[Any], bool]) -> Callable:
    def parsed(given: str) -> Any:
        try:
            value = kind(given)
        except ValueError:
            value = None
        if value is None or not holds(value):
            raise argparse.ArgumentTypeError(f"must be {words}, got {given!r}")
        return value

    return parsed


def work(options: argparse.Namespace) -> None:
    """Prints the ranking.

    Raises:
      DemonstrationError: the file cannot be read or ranked.
    """
    # XLA has threads of its own, and those of BLAS would spin beside them.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    ranking = rank(
        options.file,
        noise_variance=options.noise_variance,
        projection_rank=options.projection_rank,
        seed=options.seed,
    )
    print(_as_json(ranking, options.seed) if options.json else _as_text(ranking))


def rank(path: Any, noise_variance: float | None = None, **options: Any) -> "Ranking":
    """The ranking of the tasks in a file.

    Args:
      path: of the file.
      noise_variance: in place of that in the file; None takes that one.
      **options: of `ranking.rank_tasks`.

    Raises:
      DemonstrationError: the file cannot be read or ranked.
    """
    import numpy as np

    from amf_jax import ranges, ranking
    from amf_jax.data import arrays

    held: dict[str, Any] = arrays.read(path, _ARRAYS)
    try:
        if ("gradients" in held) == ("features" in held):
            raise DemonstrationError(
                f"it must hold either features and errors, or gradients; it holds"
                f" {', '.join(held) or 'nothing'}"
            )
        by_gradients = "gradients" in held
        names = ("gradients",) if by_gradients else ("features", "errors")
        lacking = [x for x in (*names, "episode_ids", "task_ids") if x not in held]
        if lacking:
            raise DemonstrationError(
                f"it has no array {lacking[0]!r}; it holds {', '.join(held)}"
            )
        rule: Callable[..., ranking.Ranking] = (
            ranking.rank_tasks_by_gradients if by_gradients else ranking.rank_tasks
        )
        noise = noise_variance or np.asarray(held.get("noise_variance", 1.0)).tolist()
        ranges.check("noise_variance", noise, ranges.POSITIVE)
        task_ids, weights = _named(held)
        return rule(
            *(held[name] for name in names),
            held["episode_ids"],
            task_ids,
            weights,
            noise_variance=float(noise),
            **options,
        )
    except AmfError as error:
        raise DemonstrationError(f"{path}: {error}") from error


def _named(held: dict[str, Any]) -> tuple[Any, Any]:
    """The tasks of the steps by their names, if they have some, and the weights."""
    import numpy as np

    ids, weights = held["task_ids"], held.get("task_weights")
    if "task_names" not in held:
        return ids, weights
    names = held["task_names"]
    count = names.size
    if names.dtype.kind != "U" or names.ndim != 1 or len(set(names.tolist())) < count:
        raise DemonstrationError("task_names must be different texts, one per task")
    if ids.dtype.kind in "iu":
        if ids.size and not (ids.min() >= 0 and ids.max() < count):
            raise DemonstrationError(
                f"task_ids must be from 0 to {count - 1}, since task_names has {count}"
                f" names; they go from {ids.min()} to {ids.max()}"
            )
        ids = names[ids]
    if weights is None:
        weights = np.full(count, 1 / count)
    if weights.shape != (count,) or weights.dtype.kind not in "iuf":
        raise DemonstrationError(
            f"task_weights must be {count} numbers, one for each of task_names; it"
            f" holds {weights.dtype} of shape {weights.shape}"
        )
    return ids, dict(zip(names.tolist(), weights.tolist(), strict=True))


def _as_text(ranking: "Ranking") -> str:
    best = max(ranking.values[0], 1e-38)
    rows = [
        [
            text.printable(str(task)),
            str(episodes),
            str(steps),
            f"{weight:.3g}",
            f"{value:.3g}",
            f"{max(value / best, 0.0):.0%}",
        ]
        for task, episodes, steps, weight, value in zip(
            ranking.tasks,
            ranking.episodes,
            ranking.steps,
            ranking.task_weights,
            ranking.values,
            strict=True,
        )
    ]
    header = ["task", "episodes", "steps", "weight", "value", "of best"]
    parts = [text.table(header, rows), _advice(ranking)]
    if ranking.projection_rank is not None:
        parts.append(
            f"Gradients were projected to {ranking.projection_rank} numbers; another"
            " --seed shows how much that matters."
        )
    return "\n\n".join(parts)


def _advice(ranking: "Ranking") -> str:
    first, *others = (text.printable(str(task)) for task in ranking.tied)
    if not ranking.values.any():
        return "No demonstration is expected to tell anything: every value is 0."
    if others:
        return f"No difference beyond rounding: record {first}, or {', '.join(others)}."
    return f"Record next: {first}"


def _as_json(ranking: "Ranking", seed: int) -> str:
    columns = {
        "task": ranking.tasks,
        "episodes": ranking.episodes.tolist(),
        "steps": ranking.steps.tolist(),
        "weight": ranking.task_weights.tolist(),
        "value": ranking.values.tolist(),
    }
    rows = zip(*columns.values(), strict=True)
    found = {
        "recommended": ranking.tied[0] if len(ranking.tied) == 1 else None,
        "tied": ranking.tied,
        "tasks": [dict(zip(columns, row, strict=True)) for row in rows],
        "projection_rank": ranking.projection_rank,
        "seed": seed,
        "rounding": ranking.rounding,
    }
    return json.dumps(found, indent=2, allow_nan=False)
