"""The four tasks of the Metaworld scene: names, instructions and success rules."""

import numpy as np

#: Order of the tasks everywhere: task ids, task vectors, allocations such as 8-8-0-0.
TASK_NAMES = ("mug left", "mug right", "faucet open", "faucet close")

# Sentence encoders place "open/close the faucet" and "to the left/right" almost on top
# of each other, so each instruction describes its motion in words of its own.
PROMPTS = (
    "push the mug to the far left side of the table",
    "slide the coffee cup straight forward to the middle",
    "turn the faucet handle counter-clockwise to open the water",
    "shut off the tap by rotating its lever back",
)

#: Where the two mug tasks want the mug, x and y in metres.
MUG_GOALS = np.array([[-0.2, 0.74], [0.0, 0.74]])

# metaworld's own numbers: a task is done within 7 cm of its goal; the handle is tracked
# 1 cm below its site, and its goals lie one handle length to either side of the base.
SUCCESS_RADIUS = 0.07
HANDLE_OFFSET = np.array([0.0, 0.0, -0.01])
HANDLE_GOALS = np.array([[0.175, 0.0, 0.125], [-0.175, 0.0, 0.125]])

# Layout of an observation.
HAND = slice(0, 3)
GRIPPER = 3  # opening, 0 to 1
MUG = slice(4, 7)
MUG_QUATERNION = slice(7, 11)
HANDLE_OPEN = slice(11, 14)  # the side of the handle that is pushed to open
HANDLE_CLOSE = slice(14, 17)
KNOB = 17  # angle of the handle, radians
OBSERVATION_SIZE = 18
OBSERVATION_PARTS = {
    "hand": HAND,
    "gripper": slice(GRIPPER, GRIPPER + 1),
    "mug": MUG,
    "mug_quaternion": MUG_QUATERNION,
    "handle_open": HANDLE_OPEN,
    "handle_close": HANDLE_CLOSE,
    "knob": slice(KNOB, KNOB + 1),
}
ACTION_SIZE = 4


def solved(observations: np.ndarray, faucets: np.ndarray) -> np.ndarray:
    """Which tasks a state solves.

    Args:
      observations: `[..., 18]`.
      faucets: `[..., 3]`, position of the faucet's base, metres.

    Returns:
      `[..., 4]`, True where the task's goal is met.
    """
    mug = observations[..., MUG][..., :2]
    handles = np.stack(
        [observations[..., HANDLE_OPEN], observations[..., HANDLE_CLOSE]], axis=-2
    )
    mug_errors = mug[..., None, :] - MUG_GOALS
    handle_errors = handles + HANDLE_OFFSET - (faucets[..., None, :] + HANDLE_GOALS)
    distances = np.concatenate(
        [np.linalg.norm(mug_errors, axis=-1), np.linalg.norm(handle_errors, axis=-1)],
        axis=-1,
    )
    return distances <= SUCCESS_RADIUS
