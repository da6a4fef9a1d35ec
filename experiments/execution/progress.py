"""Shows how far runs are: a live table on a terminal, plain lines elsewhere."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from ml_collections import ConfigDict
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

Record = Mapping[str, Any]


@dataclasses.dataclass
class RunProgress:
    """How far one run is, from its records as they appear.

    Attributes:
      config: resolved config of the run.
      record: the latest record, None before round 0.
      round: the last finished round, -1 before round 0.
    """

    config: ConfigDict
    record: Record | None = None
    round: int = -1
    _times: list[tuple[int, float]] = dataclasses.field(default_factory=list)

    def observe(self, record: Record, now: float) -> None:
        """Takes a record written at `now`, in seconds of any clock."""
        latest = int(record["round"])
        if latest == self.round:
            return
        if latest < self.round:  # the run has begun anew
            self._times.clear()
        self.record, self.round = record, latest
        self._times.append((latest, now))

    def remaining(self, now: float) -> float | None:
        """Seconds to the end at the pace so far; None before a round was measured.

        The first round seen is left out, because it compiles.
        """
        if len(self._times) < 3:
            return None
        (begin, begin_time), (last, last_time) = self._times[1], self._times[-1]
        pace = (last_time - begin_time) / (last - begin)
        return max(pace * (self.config.rounds - last) - (now - last_time), 0.0)


def duration(seconds: float | None) -> str:
    """Seconds as a clock shows them.

    >>> duration(75), duration(3725), duration(None)
    ('1:15', '1:02:05', '–')
    """
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def task_name(task: int | Sequence[float] | None, names: Sequence[str]) -> str:
    """The task of a record: its name, its vector, or a dash in round 0.

    >>> task_name(1, ("open", "close")), task_name([0.5, -1.0], ()), task_name(None, ())
    ('close', '(0.50, -1.00)', '–')
    """
    if task is None:
        return "–"
    if isinstance(task, Sequence):
        return "(" + ", ".join(f"{value:.2f}" for value in task) + ")"
    return names[task] if task < len(names) else str(task)


def asked_for(record: Record, config: ConfigDict) -> str:
    """The tasks of a record, in order of choosing."""
    tasks, names = record.get("task"), config.get("task_names", ())
    if tasks is None or config.get("batch", 1) == 1:
        return task_name(tasks, names)
    return ", ".join(task_name(task, names) for task in tasks)


def score(record: Record) -> str:
    """The headline number of a record: mean success, or return where there is none."""
    for key, name in (("mean_success", "success"), ("return", "return")):
        if record.get(key) is not None:
            return f"{name} {record[key]:.2f}"
    return "–"


def mixing(record: Record) -> str:
    """The weight of the fine-tuned policy per task, or a dash."""
    return _numbers(record.get("mixing"))


def line(progress: RunProgress, now: float) -> str:
    """One line of plain text about a run."""
    config, record = progress.config, progress.record
    if record is None:
        return "preparing"
    parts = [
        f"round {progress.round}/{config.rounds}",
        f"asked for {asked_for(record, config)}",
        score(record),
    ]
    if record.get("mixing") is not None:
        parts.append(f"α {mixing(record)}")
    return ", ".join(parts) + f", ETA {duration(progress.remaining(now))}"


def label(config: ConfigDict) -> str:
    """What tells a run from others of its sweep."""
    return f"{config.suite} {config.setting} {config.method} seed {config.seed}"


def run_table(progress: RunProgress, now: float) -> RenderableType:
    """One run in detail: the round, and per task its success, demonstrations and α."""
    config, record = progress.config, progress.record
    bar = ProgressBar(total=config.rounds + 1, completed=progress.round + 1, width=40)
    head = Table.grid(padding=(0, 1))
    head.add_row(Text(label(config), style="bold"), bar)
    about = Text(line(progress, now))
    success = record.get("success") if record else None
    if record is None or success is None:
        return Group(head, about)
    table = Table(box=None, pad_edge=False)
    for column in ("task", "success", "demonstrations", "α"):
        table.add_column(column, justify="left" if column == "task" else "right")
    columns = [success, record.get("demos_per_task"), record.get("mixing")]
    for index in range(len(_list(success))):
        values = [_list(column)[index] if column else None for column in columns]
        table.add_row(
            task_name(index, config.get("task_names", ())),
            *(_number(value) for value in values),
        )
    return Group(head, about, table)


class Display:
    """Something live, where it can be drawn over, for as long as a block takes.

    Args:
      console: where to show it.
      render: what is shown; called at once.
    """

    def __init__(self, console: Console | None, render: Callable[[], RenderableType]):
        self._console = console or Console()
        self._live: Live | None = None
        if can_animate(self._console):
            self._live = Live(
                get_renderable=render, console=self._console, refresh_per_second=2
            )

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.stop()


class RunDisplay(Display):
    """Shows one run while it goes on; `on_round` is the driver's callback."""

    def __init__(
        self,
        config: ConfigDict,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._progress = RunProgress(config)
        self._clock = clock
        super().__init__(console, self._render)

    def __enter__(self) -> Self:
        if not self._live:
            say(self._console, label(self._progress.config))
        return super().__enter__()

    def on_round(self, record: Record) -> None:
        """Shows a finished round."""
        self._progress.observe(record, self._clock())
        if self._live:
            self._live.refresh()
        else:
            say(self._console, line(self._progress, self._clock()))

    def _render(self) -> RenderableType:
        return run_table(self._progress, self._clock())


def can_animate(console: Console) -> bool:
    """Whether what is shown can be drawn over: on a terminal that moves its cursor.

    Where colours are forced, a console takes a file for a terminal.
    """
    return console.file.isatty() and not console.is_dumb_terminal


def say(console: Console, text: str) -> None:
    """Prints plain text as it is: no markup, no colour, no wrapped lines."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _list(values: object) -> Sequence[object]:
    return values if isinstance(values, Sequence) else []


def _number(value: object) -> str:
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.2f}"


def _numbers(values: object) -> str:
    return " ".join(_number(value) for value in _list(values)) or "–"
