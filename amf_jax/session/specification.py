"""What determines a run beside what its functions do, checked before any round."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, SupportsIndex

from jaxtyping import Array, Float

from amf_jax import problem, ranges
from amf_jax.demonstrations import Demonstrations
from amf_jax.encoders import Encoder
from amf_jax.windows import STEP, Window


class Specification(NamedTuple):
    """The arguments of a run, as they are used; see `ActiveFineTuner`.

    Attributes:
      blank: an empty buffer with room for the budget, of features if there is an
        encoder.
      window: of the policy.
    """

    seed: int
    tasks: Float[Array, "C D"]
    task_weights: Float[Array, " C"]
    task_names: tuple[str, ...] | None
    pretraining: Demonstrations | None
    history: Demonstrations | None
    blank: Demonstrations
    rounds: int
    batch: int
    demos_per_round: int
    encoder: Encoder | None = None
    window: Window = STEP


def specify(
    *,
    seed: SupportsIndex,
    tasks: Any,
    task_weights: Any | None,
    task_names: Sequence[str] | None,
    pretraining: Demonstrations | None,
    history: Demonstrations | None,
    demos: Demonstrations | None,
    rounds: SupportsIndex,
    batch: SupportsIndex,
    demos_per_round: SupportsIndex,
    encoder: Encoder | None = None,
    window: Window = STEP,
) -> Specification:
    """Checks what `ActiveFineTuner` is given; None takes what it says there.

    Raises:
      InvalidArgumentError: no task, no budget, or weights that are no distribution.
      CapacityError: the budget does not fit `demos`.
      DemonstrationError: pre-training demonstrations that do not fit the tasks, or a
        buffer that is malformed or not empty.
    """
    names = None if task_names is None else tuple(task_names)
    tasks = problem.check_tasks(tasks, names)
    weights = problem.check_weights(task_weights, tasks)
    ranges.check("seed", seed, ranges.SEED)
    given = {"rounds": rounds, "batch": batch, "demos_per_round": demos_per_round}
    problem.check_positive(given)
    # NumPy's and JAX's would overflow in the product, and are none of JSON's.
    counts = {name: int(value) for name, value in given.items()}
    budget = math.prod(counts.values())
    blank = problem.buffer(demos, pretraining, history, tasks, budget, encoder)
    return Specification(
        int(seed),
        tasks,
        weights,
        names,
        pretraining,
        history,
        blank,
        **counts,
        encoder=encoder,
        window=window,
    )
