"""What the experts do, task by task: the numbers behind `experts`.

Postures and offsets were found by search in simulation.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Reach:
    """Move the tool to a point near the handle, in the orientation of a posture.

    Attributes:
      offset: of the tool from the handle, metres.
      posture: `[7]`, gives the orientation, and what the pose leaves open.
      value: of the object's joint, where the handle is taken to be.
      fingers: opening of each finger, metres.
      joint_tolerance: the next phase begins when no joint is further off than this,
        radians,
      tool_tolerance: or the tool is nearer than this, metres,
      at_most: or after this many steps.
    """

    offset: tuple[float, float, float]
    posture: tuple[float, ...]
    value: float = 0.0
    fingers: float = 0.04
    joint_tolerance: float = 0.15
    tool_tolerance: float = 0.03
    at_most: int = 50


@dataclasses.dataclass(frozen=True)
class Follow:
    """Servo along the path of the handle until the episode ends.

    Attributes:
      offset: of the tool from the handle, metres.
      lead: how far ahead of the object's joint the target is.
      end: value of the joint at which the target stops.
      yaw: turn of the hand about the vertical per unit of the joint.
      twist: turn of the hand about its approach axis per unit of the joint, to turn a
        knob by the wrist.
      fingers: opening of each finger, metres.
      rotation_weight: as in `Kinematics.solve`.
      largest_step: of the tool, metres per action.
      saturation: above 1 lets the fastest joints saturate rather than slow down all.
    """

    offset: tuple[float, float, float]
    lead: float
    end: float
    yaw: float = 0.0
    twist: float = 0.0
    fingers: float = 0.0
    rotation_weight: float = 0.3
    largest_step: float = 0.06
    saturation: float = 1.0


Program = tuple[Reach | Follow, ...]

_KNOB_ON: Program = (
    Reach((0, -0.075, 0), (-1.249, -1.586, 1.409, -2.678, -0.008, 2.093, 0.947),
          joint_tolerance=0.2),
    Reach((0, -0.004, 0), (-1.49, -1.743, 1.345, -2.453, -0.203, 2.09, 0.916),
          joint_tolerance=0.06, tool_tolerance=0.015),
    Follow((0, -0.004, 0), lead=-0.7, end=-1.62, twist=1.0, rotation_weight=0.1,
           largest_step=0.04),
)  # fmt: skip

_KNOB_OFF: Program = (
    Reach((0, -0.075, 0), (-1.068, -1.375, 1.529, -2.471, 0.533, 1.82, 1.538),
          value=-1.57, joint_tolerance=0.2),
    Reach((0, 0.016, 0), (-1.333, -1.243, 1.66, -2.263, 0.676, 2.001, 1.475),
          value=-1.57, joint_tolerance=0.06, tool_tolerance=0.015),
    Follow((0, 0.016, 0), lead=0.4, end=0.08, twist=1.0, fingers=0.04,
           rotation_weight=0.2, largest_step=0.04),
)  # fmt: skip

_BEHIND_THE_DOOR = (-1.372, -0.836, 1.427, -1.349, 0.122, 1.129, 0.524)
_PIVOTING_CABINET: Program = (
    Reach((-0.0336, -0.0727, -0.0532),
          (-0.984, -0.97, 1.315, -1.87, -0.056, 1.678, 0.811), joint_tolerance=0.198),
    Reach((0.06, 0.028, -0.132), _BEHIND_THE_DOOR, joint_tolerance=0.0532,
          tool_tolerance=0.0195),
    Reach((0.06, 0.028, -0.132), _BEHIND_THE_DOOR, fingers=0.0, joint_tolerance=0.0,
          tool_tolerance=0.0, at_most=1),
    Follow((0.032, 0.026, -0.149), lead=0.146, end=1.57, yaw=0.3,
           rotation_weight=0.0065, largest_step=0.2, saturation=2.35),
)  # fmt: skip

_SLIDING_CABINET: Program = (
    Reach((-0.07, -0.04, -0.09), (-0.779, -0.737, 0.778, -2.184, -0.535, 1.622, 0.779),
          fingers=0.0),
    Reach((-0.04, 0, -0.09), (-1.002, -0.571, 0.687, -2.153, -0.707, 1.789, 0.808),
          value=0.15, fingers=0.0),
    Reach((-0.04, 0, -0.09), (-0.871, -0.4, 0.473, -2.069, -0.579, 1.565, 0.871),
          value=0.3, fingers=0.0),
    Reach((-0.035, 0, -0.09), (-0.77, -0.188, 0.247, -1.973, -0.266, 1.684, 0.781),
          value=0.44, fingers=0.0),
)  # fmt: skip

_AT_THE_HANDLE = (-1.379, -1.612, 2.052, -1.312, -0.187, 1.178, 1.535)
_MICROWAVE: Program = (
    Reach((0.02, -0.11, 0.05), (-0.882, -1.743, 1.912, -1.707, -0.017, 1.139, 1.603),
          joint_tolerance=0.2),
    Reach((0.009, 0.03, 0.001), _AT_THE_HANDLE, joint_tolerance=0.06,
          tool_tolerance=0.015),
    Reach((0.009, 0.03, 0.001), _AT_THE_HANDLE, fingers=0.0, joint_tolerance=0.0,
          tool_tolerance=0.0, at_most=2),
    Follow((0.009, 0.03, 0.001), lead=-0.192, end=-1.45, yaw=-1.15,
           rotation_weight=0.015, largest_step=0.079),
)  # fmt: skip

#: In the order of `tasks.TASKS`.
PROGRAMS = (_KNOB_ON, _KNOB_OFF, _PIVOTING_CABINET, _SLIDING_CABINET, _MICROWAVE)
