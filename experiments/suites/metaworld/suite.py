"""Metaworld scene: `--config=metaworld:<allocation>[,paper]`.

The setting is the pre-training allocation, demonstrations per task joined by hyphens:
8-8-0-0 shows the two mug tasks only.
"""

from ml_collections import ConfigDict

from experiments.configs import common
from experiments.encoders import minilm
from experiments.suites import metaworld, simulation
from experiments.suites.base import Environment, Suite
from experiments.suites.metaworld.environment import HORIZON
from experiments.suites.metaworld.tasks import PROMPTS, TASK_NAMES

#: Allocations of the paper (figure 9), and one with as many demonstrations as 8-8-0-0.
SETTINGS = ("8-8-0-0", "0-8-8-0", "0-0-8-8", "2-2-2-2", "4-4-4-4")


def get_config(string: str | None = None) -> ConfigDict:
    """The config of one allocation, at the `fast` (default) or `paper` preset."""
    config = common.neural("metaworld", string, SETTINGS, TASK_NAMES)
    if config.preset == "paper":  # appendix M.3
        common.paper_budgets(config, HORIZON)
        config.forgetting.conservatism = 0.01
    return config.lock()


def _make(config: ConfigDict) -> Environment:
    del config  # nothing to configure
    return simulation.make(metaworld.world(), minilm.task_vectors(PROMPTS))


SUITE = Suite(
    name="metaworld",
    title="Metaworld",
    task_names=TASK_NAMES,
    settings=SETTINGS,
    get_config=get_config,
    make=_make,
    mismatch=("8-8-0-0", "0-0-8-8"),
    even=("4-4-4-4", "2-2-2-2"),
    prompts=PROMPTS,
    world=metaworld.world,
)
