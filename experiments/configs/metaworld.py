"""Metaworld scene: `--config=experiments/configs/metaworld.py:<allocation>[,paper]`.

The setting is the pre-training allocation, demonstrations per task joined by hyphens:
8-8-0-0 shows the two mug tasks only.
"""

import ml_collections

from experiments.configs import common
from experiments.suites.metaworld.tasks import TASK_NAMES

#: Allocations of the paper (figure 9), and one with as many demonstrations as 8-8-0-0.
SETTINGS = ("8-8-0-0", "0-8-8-0", "0-0-8-8", "2-2-2-2", "4-4-4-4")
HORIZON = 50


def get_config(string: str | None = None) -> ml_collections.ConfigDict:
    """The config of one allocation, at the `fast` (default) or `paper` preset."""
    config = common.neural("metaworld", string, SETTINGS, TASK_NAMES)
    if config.preset == "paper":  # appendix M.3
        common.paper_budgets(config, HORIZON)
        config.forgetting.conservatism = 0.01
    return config.lock()
