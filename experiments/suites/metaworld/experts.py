"""The experts: metaworld's own scripted policies behind an observation adapter.

All four tasks use a policy of the package as it is; no controller here is our own.
"""

import functools
import importlib
import warnings

import numpy as np

from amf_jax import errors
from experiments.suites.metaworld import tasks
from experiments.suites.recording import Expert

_POLICIES = (
    "SawyerCoffeePushV3Policy",
    "SawyerCoffeePushV3Policy",
    "SawyerFaucetOpenV3Policy",
    "SawyerFaucetCloseV3Policy",
)


@functools.cache
def experts() -> tuple[Expert, ...]:
    """One expert per task; the package is imported on the first call only.

    Raises:
      MissingDependencyError: metaworld is not installed.
    """
    try:
        policies = importlib.import_module("metaworld.policies")
    except ImportError as error:
        raise errors.MissingDependencyError(
            f"the metaworld experts cannot be imported ({error}); install what they"
            " need: pip install 'amf_jax[metaworld]'"
        ) from error
    return tuple(
        functools.partial(_act, getattr(policies, name)(), task)
        for task, name in enumerate(_POLICIES)
    )


def adapt(observation: np.ndarray, task: int) -> np.ndarray:
    """An observation as the scripted policy of `task` parses it.

    They read the hand and gripper from the front, then the object that they move, and
    the goal from the back; what metaworld has in between they ignore.
    """
    if task < 2:
        subject, goal = observation[tasks.MUG], tasks.MUG_GOALS[task]
    else:
        handle = tasks.HANDLE_OPEN if task == 2 else tasks.HANDLE_CLOSE
        subject, goal = observation[handle] + tasks.HANDLE_OFFSET, (0.0, 0.0)
    return np.concatenate([observation[:4], subject, goal, [0.0]])


def _act(policy, task: int, observation: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():  # at every step, that we clip the action
        warnings.filterwarnings("ignore", message="Constant\\(s\\) may be too high")
        return policy.get_action(adapt(observation, task))
