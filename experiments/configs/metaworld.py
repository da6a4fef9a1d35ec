"""Metaworld scene: `--config=experiments/configs/metaworld.py:<allocation>[,paper]`.

The setting is the pre-training allocation, demonstrations per task joined by hyphens:
8-8-0-0 shows the two mug tasks only.
"""

import math

import ml_collections

from experiments.configs import common
from experiments.suites.metaworld.tasks import TASK_NAMES

#: Allocations of the paper (figure 9), and one with as many demonstrations as 8-8-0-0.
SETTINGS = ("8-8-0-0", "0-8-8-0", "0-0-8-8", "2-2-2-2", "4-4-4-4")
HORIZON = 50


def get_config(string: str | None = None) -> ml_collections.ConfigDict:
    """The config of one allocation, at the `fast` (default) or `paper` preset."""
    config = common.neural("metaworld", string, SETTINGS, TASK_NAMES)
    if config.preset == "paper":  # appendix M.3: 200 epochs, 3000 steps a round, 1e-4
        batches = math.ceil(
            sum(config.allocation) * HORIZON / config.training.batch_size
        )
        config.training.pretraining_steps = 200 * batches
        config.training.finetuning_steps = 3000
        config.training.schedule = "constant"
        config.training.learning_rate = 1e-4
        config.forgetting.conservatism = 0.01
        config.attempts = 50
    return config.lock()
