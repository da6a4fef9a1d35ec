"""What figures show of each suite: the settings to compare, and the curves."""

from collections.abc import Callable
from typing import NamedTuple


class Measure(NamedTuple):
    """A curve that every run of a suite has.

    Attributes:
      field: of the records: a number, or one per task.
      label: of the axis.
      limits: of the axis; None fits it to the curves.
    """

    field: str
    label: str
    limits: tuple[float, float] | None = None


class Suite(NamedTuple):
    """A suite as figures see it.

    Attributes:
      name: as in configs and in the paths of results.
      title: as in headings.
      settings: all there are.
      mismatch: those whose pre-training leaves out tasks, to be compared; a figure with
        room for one shows the first.
      even: those whose pre-training shows all tasks alike; figures show the first that
        has results.
      setting_title: what a setting is, as the title of a panel.
      measures: what is reported per round, the main one first.
    """

    name: str
    title: str
    settings: tuple[str, ...]
    mismatch: tuple[str, ...]
    even: tuple[str, ...]
    setting_title: Callable[[str], str]
    measures: tuple[Measure, ...]


def allocation_title(setting: str) -> str:
    """Says what an allocation of pre-training demonstrations is.

    Example:
      >>> allocation_title("8-8-0-0")
      'Mismatch [8, 8, 0, 0]'
    """
    kind = "No mismatch" if len(set(setting.split("-"))) == 1 else "Mismatch"
    return f"{kind} [{setting.replace('-', ', ')}]"


def demonstrated_title(setting: str) -> str:
    """Says how many tasks of the integrator pre-training shows.

    Example:
      >>> demonstrated_title("6")
      '6/12 tasks demonstrated'
    """
    return f"{setting}/12 tasks demonstrated"


SUCCESS = Measure("success", "Multi-task success rate", (-0.02, 1.02))
RETURN = Measure("return", "Average return")
ENTROPY = Measure("entropy", "Average policy entropy (nats)")

METAWORLD = Suite(
    name="metaworld",
    title="Metaworld",
    settings=("8-8-0-0", "0-8-8-0", "0-0-8-8", "2-2-2-2", "4-4-4-4"),
    mismatch=("8-8-0-0", "0-0-8-8"),
    even=("4-4-4-4", "2-2-2-2"),
    setting_title=allocation_title,
    measures=(SUCCESS,),
)
KITCHEN = Suite(
    name="kitchen",
    title="Kitchen",
    settings=("8-8-0-0-0", "0-8-8-0-0", "0-0-8-8-0", "0-0-0-8-8", "3-3-3-3-3"),
    mismatch=("8-8-0-0-0", "0-0-0-8-8"),
    even=("3-3-3-3-3",),
    setting_title=allocation_title,
    measures=(SUCCESS,),
)
INTEGRATOR = Suite(
    name="integrator",
    title="2-D integrator",
    settings=tuple(str(k) for k in range(1, 13)),
    mismatch=("1", "6"),
    even=("12",),
    setting_title=demonstrated_title,
    measures=(RETURN, ENTROPY),
)
