"""The five tasks of the kitchen: which joint has to move where."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Task:
    """One task. Hinges are in radians, the slide in metres.

    Attributes:
      name: for tables and figures.
      joint: of the object, in the model.
      handle: site of the object that the hand goes to.
      start: of the joint in every episode, whichever task is to be solved.
      goal: of the joint.
      tolerance: the task is solved when the joint is nearer to its goal than this.
    """

    name: str
    joint: str
    handle: str
    start: float
    goal: float
    tolerance: float


# Goals and tolerances, 0.15 of a joint's range, are those of RoboHive's kitchen.
TASKS = (
    Task("knob on", "knob_Joint_1", "knob1_site", 0.0, -1.57, 0.15 * 1.57),
    Task("knob off", "knob_Joint_2", "knob2_site", -1.57, 0.0, 0.15 * 1.57),
    Task(
        "pivoting cabinet", "right_hinge_cabinet", "hinge_site2", 0.0, 1.57, 0.15 * 1.57
    ),
    Task("sliding cabinet", "slide_cabinet", "slide_site", 0.0, 0.44, 0.15 * 0.44),
    Task("microwave", "microwave", "microhandle_site", 0.0, -1.25, 0.15 * 2.094),
)

#: Order of the tasks everywhere: task ids, task vectors, allocations.
TASK_NAMES = tuple(task.name for task in TASKS)

PROMPTS = (
    "twist the lower right dial to light the stove burner",
    "shut the gas off with the left knob",
    "swing the hinged cupboard door wide open",
    "slide the overhead panel to the side",
    "open the microwave by its handle",
)

# Layout of an observation.
JOINTS = slice(0, 9)  # seven of the arm, two fingers
OBJECTS = slice(9, 14)  # the joint of each task
TOOL = slice(14, 17)  # the point between the finger tips
TOOL_AXES = slice(17, 23)  # approach axis and opening axis of the fingers
HANDLES = slice(23, 38)  # each task's handle, from the tool
OBSERVATION_SIZE = 38
OBSERVATION_PARTS = {
    "joints": JOINTS,
    "objects": OBJECTS,
    "tool": TOOL,
    "tool_axes": TOOL_AXES,
    "handles": HANDLES,
}
ACTION_SIZE = 9

_GOALS = np.array([task.goal for task in TASKS])
_TOLERANCES = np.array([task.tolerance for task in TASKS])


def solved(observations: np.ndarray, layouts: np.ndarray) -> np.ndarray:
    """Which tasks a state solves.

    Args:
      observations: `[..., 38]`.
      layouts: not used; the kitchen is the same in every episode.

    Returns:
      `[..., 5]`, True where the joint is within the tolerance of its goal.
    """
    del layouts
    return np.abs(observations[..., OBJECTS] - _GOALS) < _TOLERANCES
