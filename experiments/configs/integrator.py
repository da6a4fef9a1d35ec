"""2-D integrator: `--config=experiments/configs/integrator.py:<k>[,paper]`.

The setting k is how many of the 12 evaluation tasks the 12 pre-training demonstrations
show (appendix M.2).
"""

import ml_collections

from amf_jax import errors
from experiments.configs import common
from experiments.suites.integrator import NUM_TASKS, TASK_NAMES

SETTINGS = tuple(str(k) for k in range(1, NUM_TASKS + 1))


def get_config(string: str | None = None) -> ml_collections.ConfigDict:
    """The config of one k.

    The presets differ in the demonstrations that enter the criterion's sums: at most 8,
    drawn anew each round (`fast`), or all of them (`paper`).
    """
    setting, preset = common.parse(string, "integrator", SETTINGS)
    if setting not in SETTINGS:
        raise errors.UnknownNameError("integrator setting", setting, SETTINGS)
    config = common.base("integrator", setting, preset)
    config.rounds = 40
    config.demos_per_round = 1
    config.attempts = 1  # deterministic: more are the same; 0 evaluates nothing
    config.warm_start_rounds = 1
    config.checkpoint_every = 10
    config.demonstrated_tasks = int(setting)
    config.task_names = TASK_NAMES
    config.selection = common.selection(
        criterion="entropy",
        normalise_kernel=False,
        trajectory_samples=8 if preset == "fast" else None,
        likelihood_clip=(-12.0, 0.0),
        shooting_budget=100,  # criterion values per selection, whatever the search
        search=common.search(),
    )
    config.policy = ml_collections.ConfigDict(
        dict(state_lengthscale=0.5, task_lengthscale=0.5, signal=0.2, noise=0.05)
    )
    return config.lock()
