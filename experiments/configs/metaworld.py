"""Metaworld scene: `--config=experiments/configs/metaworld.py:<allocation>[,paper]`.

The setting is the pre-training allocation, demonstrations per task joined by hyphens:
8-8-0-0 shows the two mug tasks only.
"""

import math
import re

import ml_collections

from amf_jax import errors
from experiments.configs import common
from experiments.suites.metaworld.tasks import TASK_NAMES

#: Allocations of the paper (figure 9), and one with as many demonstrations as 8-8-0-0.
SETTINGS = ("8-8-0-0", "0-8-8-0", "0-0-8-8", "2-2-2-2", "4-4-4-4")
TASKS = len(TASK_NAMES)
HORIZON = 50


def get_config(string: str | None = None) -> ml_collections.ConfigDict:
    """The config of one allocation, at the `fast` (default) or `paper` preset."""
    setting, preset = common.parse(string, "metaworld", SETTINGS)
    allocation = _allocation(setting)
    config = common.base("metaworld", setting, preset)
    config.rounds = 20
    config.demos_per_round = 1
    config.attempts = 50  # per task and round; 0 evaluates nothing
    config.warm_start_rounds = TASKS
    config.checkpoint_every = 1
    config.allocation = allocation
    config.task_names = TASK_NAMES
    config.selection = common.selection(
        criterion="variance",
        noise_variance=1.0,
        normalise_kernel=True,
        likelihood_std=1.0,
    )
    config.training = ml_collections.ConfigDict(
        dict(batch_size=256, weight_decay=1e-4, schedule="cosine", learning_rate=1e-3)
    )
    config.training.pretraining_steps = 1500
    config.training.finetuning_steps = 300
    config.adaptive_prior = ml_collections.ConfigDict(
        dict(conservatism=0.1, learning_rate=1.0, steps=200)
    )
    if preset == "paper":  # appendix M.3: 200 epochs, 3000 steps a round, AdamW 1e-4
        batches = math.ceil(sum(allocation) * HORIZON / config.training.batch_size)
        config.training.pretraining_steps = 200 * batches
        config.training.finetuning_steps = 3000
        config.training.schedule = "constant"
        config.training.learning_rate = 1e-4
        config.adaptive_prior.conservatism = 0.01
    return config.lock()


def _allocation(setting: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+(-\d+)*", setting):
        raise errors.UnknownNameError("metaworld setting", setting, SETTINGS)
    allocation = tuple(int(part) for part in setting.split("-"))
    if len(allocation) != TASKS or sum(allocation) == 0:
        raise errors.InvalidArgumentError(
            f"setting {setting!r} must give {TASKS} numbers of demonstrations, not all"
            " 0, such as 8-8-0-0"
        )
    return allocation
