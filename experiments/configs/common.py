"""What every suite's config has in common, and how a config string is read."""

import math
import re
from collections.abc import Iterable, Sequence

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
    config.threads = 1
    config.batch = 1  # tasks chosen per round
    config.results_dir = "results"
    config.policy = ml_collections.ConfigDict(dict(name=placeholder(str)))
    return config


def neural(
    suite: str, string: str | None, settings: Sequence[str], task_names: Sequence[str]
) -> ml_collections.ConfigDict:
    """The config of a suite whose policy is a network, at the `fast` preset.

    Args:
      suite: its name.
      string: `<allocation>[,preset]`; the setting is the pre-training allocation,
        demonstrations per task joined by hyphens.
      settings: known allocations, to suggest.
      task_names: one per task.

    Returns:
      An unlocked config, whose fields the suite changes at the `paper` preset.

    Raises:
      UnknownNameError: for a string that is no allocation.
      InvalidArgumentError: for an allocation of another number of tasks, or of nothing.
    """
    setting, preset = parse(string, suite, settings)
    config = base(suite, setting, preset)
    config.rounds = 20
    config.demos_per_round = 1
    config.attempts = 25  # per task and round; 0 evaluates nothing
    config.warm_start_rounds = len(task_names)
    config.checkpoint_every = 1
    config.allocation = allocation(suite, setting, settings, len(task_names))
    config.task_names = tuple(task_names)
    config.policy.update(
        observation_horizon=1, action_chunk=1, executed_steps=placeholder(int)
    )
    config.selection = selection(
        criterion=placeholder(str),
        embedding=placeholder(str),
        noise_variance=1.0,
        normalise_kernel=True,
        likelihood_std=1.0,
        dropout_rate=0.1,
        dropout_passes=32,
        projection_rank=64,
        exploration=0.1,
    )
    config.training = ml_collections.ConfigDict(
        dict(
            batch_size=256,
            weight_decay=1e-4,
            schedule="cosine",
            learning_rate=1e-3,
            pretraining_steps=1500,
            finetuning_steps=300,
        )
    )
    config.forgetting = ml_collections.ConfigDict(
        dict(
            method=placeholder(str),
            conservatism=0.1,
            learning_rate=1.0,
            steps=200,
            strength=placeholder(float),
            fisher_samples=256,
        )
    )
    return config


def paper_budgets(config: ml_collections.ConfigDict, horizon: int) -> None:
    """Turns a neural suite's config into the paper's: its training and evaluation.

    Args:
      config: that of `neural`; changed in place.
      horizon: steps per demonstration.
    """
    training = config.training
    batches = math.ceil(sum(config.allocation) * horizon / training.batch_size)
    training.pretraining_steps = 200 * batches  # epochs
    training.finetuning_steps = 3000
    training.schedule = "constant"
    training.learning_rate = 1e-4
    config.attempts = 50


def search() -> ml_collections.ConfigDict:
    """How continuous tasks are searched; None is random shooting, or its own default.

    The options are those of `amf_jax.candidates`.
    """
    return ml_collections.ConfigDict(
        dict(
            name=placeholder(str),
            refined=placeholder(int),
            steps=placeholder(int),
            learning_rate=placeholder(float),
            generations=placeholder(int),
            elite_share=placeholder(float),
            least_deviation=placeholder(float),
        )
    )


def selection(**defaults) -> ml_collections.ConfigDict:
    """Options of the active selectors; None leaves the choice to the method."""
    config = ml_collections.ConfigDict(
        dict(
            weights=placeholder(str),
            condition_on_history=placeholder(bool),
            embedding_policy=placeholder(str),
            likelihood_clip=placeholder(tuple),
            trajectory_samples=placeholder(int),
        )
    )
    for name, value in defaults.items():
        if value is not None:
            config[name] = value
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
            f"--config needs a setting, as in --config={suite}:{next(iter(known))}"
        )
    for option in options:
        errors.check_name("option", option, PRESETS)
    return setting, options[-1] if options else PRESETS[0]


def allocation(
    suite: str, setting: str, known: Sequence[str], tasks: int
) -> tuple[int, ...]:
    """Pre-training demonstrations of each task, from a setting such as 8-8-0-0."""
    if not re.fullmatch("[0-9]{1,5}(-[0-9]{1,5})*", setting):
        raise errors.UnknownNameError(f"{suite} setting", setting, known)
    counts = tuple(int(part) for part in setting.split("-"))
    if len(counts) != tasks or sum(counts) == 0:
        raise errors.InvalidArgumentError(
            f"setting {setting!r} must give {tasks} numbers of demonstrations, not all"
            f" 0, such as {known[0]}"
        )
    return counts
