"""Franka kitchen: `--config=kitchen:<allocation>[,paper]`.

The setting is the pre-training allocation, demonstrations per task joined by hyphens:
8-8-0-0-0 shows the two knobs only.
"""

from ml_collections import ConfigDict

from experiments.configs import common, field
from experiments.encoders import minilm
from experiments.suites import kitchen, simulation
from experiments.suites.base import Environment, Suite
from experiments.suites.kitchen import scene
from experiments.suites.kitchen.environment import HORIZON
from experiments.suites.kitchen.tasks import PROMPTS, TASK_NAMES

#: Allocations of the paper (figure 8).
SETTINGS = ("8-8-0-0-0", "0-8-8-0-0", "0-0-8-8-0", "0-0-0-8-8", "3-3-3-3-3")


def get_config(string: str | None = None) -> ConfigDict:
    """The config of one allocation, at the `fast` (default) or `paper` preset."""
    config = common.neural("kitchen", string, SETTINGS, TASK_NAMES)
    config.physics = "fast"
    config.attempts = 10
    config.selection.weight_tolerance = 1e-6
    config.training.finetuning_steps = 600  # 300 underfit the microwave
    config.forgetting.conservatism = 0.03  # 0.1 holds back what is learned late
    if config.preset == "paper":  # appendix M.2
        common.paper_budgets(config, HORIZON)
        config.forgetting.conservatism = 0.001
    return config.lock()


def _make(config: ConfigDict) -> Environment:
    world = kitchen.world(config.physics)
    return simulation.make(world, minilm.task_vectors(PROMPTS))


SUITE = Suite(
    name="kitchen",
    title="Kitchen",
    task_names=TASK_NAMES,
    settings=SETTINGS,
    get_config=get_config,
    make=_make,
    mismatch=("8-8-0-0-0", "0-0-0-8-8"),
    even=("3-3-3-3-3",),
    fields={
        "physics": field.name(
            "of the simulator, see docs/environments.md", scene.PHYSICS
        )
    },
    prompts=PROMPTS,
    world=kitchen.world,
)
