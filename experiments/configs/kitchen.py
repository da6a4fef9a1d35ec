"""Franka kitchen: `--config=experiments/configs/kitchen.py:<allocation>[,paper]`.

The setting is the pre-training allocation, demonstrations per task joined by hyphens:
8-8-0-0-0 shows the two knobs only.
"""

import ml_collections

from experiments.configs import common
from experiments.suites.kitchen.tasks import TASK_NAMES

#: Allocations of the paper (figure 8).
SETTINGS = ("8-8-0-0-0", "0-8-8-0-0", "0-0-8-8-0", "0-0-0-8-8", "3-3-3-3-3")
HORIZON = 50


def get_config(string: str | None = None) -> ml_collections.ConfigDict:
    """The config of one allocation, at the `fast` (default) or `paper` preset."""
    config = common.neural("kitchen", string, SETTINGS, TASK_NAMES)
    config.physics = "fast"  # of the simulator: "fast" or "stock"
    config.attempts = 10
    config.selection.weight_tolerance = 1e-6
    config.training.finetuning_steps = 600  # 300 underfit the microwave
    config.forgetting.conservatism = 0.03  # 0.1 holds back what is learned late
    if config.preset == "paper":  # appendix M.2
        common.paper_budgets(config, HORIZON)
        config.forgetting.conservatism = 0.001
    return config.lock()
