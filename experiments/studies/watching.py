"""Runs that a study looks into, round by round."""

from collections.abc import Callable, Iterable
from typing import Any

from ml_collections import ConfigDict

from amf_jax.session.driver import ActiveFineTuner
from experiments import build


def watch(
    config: ConfigDict,
    seed: int,
    look: Callable[[dict[str, Any], ActiveFineTuner], Iterable[Any]],
) -> list[Any]:
    """Runs a config with another seed.

    Args:
      config: of the run.
      seed: in place of that in the config.
      look: `(record, tuner) -> findings`, called after each round.

    Returns:
      The findings of all rounds.
    """
    config = config.copy_and_resolve_references()
    config.seed = seed
    experiment = build.build(config)
    tuner = experiment.tuner
    found: list[Any] = []
    try:
        tuner.run(lambda record: found.extend(look(record, tuner)))
    finally:
        tuner.close()
        experiment.environment.close()
    return found
