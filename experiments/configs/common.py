"""What every suite's config has in common, and how a config string is read."""

from collections.abc import Iterable

import ml_collections
from ml_collections.config_dict import placeholder

from amf_jax import errors

PRESETS = ("fast", "paper")


def base(suite: str, setting: str, preset: str) -> ml_collections.ConfigDict:
    """Fields that every suite has."""
    config = ml_collections.ConfigDict()
    config.suite = suite
    config.setting = setting
    config.preset = preset
    config.method = "amf"
    config.seed = 0
    config.results_dir = "results"
    return config


def selection(**defaults) -> ml_collections.ConfigDict:
    """Options of the active selectors; None leaves the choice to the method."""
    config = ml_collections.ConfigDict(
        dict(
            weights=placeholder(str),
            condition_on_history=placeholder(bool),
            embedding_policy=placeholder(str),
            likelihood_clip=None,
            trajectory_samples=placeholder(int),
        )
    )
    config.update({k: v for k, v in defaults.items() if v is not None})
    return config


def parse(string: str | None, suite: str, known: Iterable[str]) -> tuple[str, str]:
    """Splits `<setting>[,option…]` into a setting and a preset.

    Raises:
      InvalidArgumentError: if there is no setting.
      UnknownNameError: for an option that is no preset.
    """
    setting, *options = [part.strip() for part in (string or "").split(",")]
    if not setting:
        raise errors.InvalidArgumentError(
            f"--config needs a setting behind the file, as in"
            f" experiments/configs/{suite}.py:{next(iter(known))}"
        )
    for option in options:
        if option not in PRESETS:
            raise errors.UnknownNameError("option", option, PRESETS)
    return setting, options[-1] if options else PRESETS[0]
