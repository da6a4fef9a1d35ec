"""2-D integrator: `--config=integrator:<k>[,paper]`.

The setting k is how many of the 12 evaluation tasks the 12 pre-training demonstrations
show (appendix M.2).
"""

import numpy as np
from ml_collections import ConfigDict

from amf_jax import errors
from amf_jax.ranges import COUNT
from experiments.configs import common, field
from experiments.suites import integrator
from experiments.suites.base import Environment, Measure, Suite, Traced
from experiments.suites.integrator import NUM_TASKS, TASK_NAMES, traced

SETTINGS = tuple(str(k) for k in range(1, NUM_TASKS + 1))

RETURN = Measure("return", "Average return")
ENTROPY = Measure("entropy", "Average policy entropy (nats)")


def get_config(string: str | None = None) -> ConfigDict:
    """The config of one k.

    The presets differ in the demonstrations that enter the criterion's sums: at most 8,
    drawn anew each round (`fast`), or all of them (`paper`).
    """
    setting, preset = common.parse(string, "integrator", SETTINGS)
    errors.check_name("integrator setting", setting, SETTINGS)
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
    config.policy.update(
        state_lengthscale=0.5, task_lengthscale=0.5, signal=0.2, noise=0.05
    )
    return config.lock()


def demonstrated_title(setting: str) -> str:
    """Says how many tasks pre-training shows.

    Example:
      >>> demonstrated_title("6")
      '6/12 tasks demonstrated'
    """
    return f"{setting}/12 tasks demonstrated"


def _make(config: ConfigDict) -> Environment:
    del config  # nothing to configure
    return integrator.make()


def _counts(config: ConfigDict) -> list[int]:
    ids = integrator.pretraining_ids(config.demonstrated_tasks)
    return np.bincount(ids, minlength=NUM_TASKS).tolist()


SUITE = Suite(
    name="integrator",
    title="2-D integrator",
    task_names=TASK_NAMES,
    settings=SETTINGS,
    get_config=get_config,
    make=_make,
    policy="gaussian_process",
    mismatch=("1", "6"),
    even=("12",),
    setting_title=demonstrated_title,
    measures=(RETURN, ENTROPY),
    counts=_counts,
    fields={
        "demonstrated_tasks": field.number(
            "evaluation tasks that pre-training shows", COUNT
        )._replace(by_setting=True)
    },
    space=integrator.SPACE,
    traced=Traced(traced.draw_noise, traced.environment),
)
