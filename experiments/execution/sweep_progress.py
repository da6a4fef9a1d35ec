"""Shows how far a sweep is: a live table on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table

from experiments.execution import progress
from experiments.execution.worker import Job

#: Seconds between plain lines.
LINE_INTERVAL = 15.0


class SweepDisplay(progress.Display):
    """Shows a sweep while it goes on; the observer of a launcher.

    Args:
      jobs: all runs of the sweep that are not finished yet.
      skipped: how many were finished before.
      latest: the latest record in the results file of a job, None if there is none.
      console: where to show it.
      clock: seconds of any origin.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        skipped: int,
        latest: Callable[[Job], progress.Record | None],
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._runs: dict[Path, progress.RunProgress] = {}
        self._running: dict[Path, Job] = {}
        self._settled: set[Path] = set()
        self._finished = self._skipped = skipped
        self._failed = 0
        self._latest = latest
        self._clock = clock
        self._begin = self._line_time = clock()
        for job in jobs:
            self._follow(job)
        self._rounds_before = self._rounds()
        super().__init__(console, self.render)  # which renders at once

    def started(self, job: Job) -> None:
        """A worker took `job`."""
        self._follow(job)
        self._running[job.results] = job

    def finished(self, job: Job) -> None:
        """`job` ran to its end."""
        self._observe(job)
        del self._running[job.results]
        self._settled.add(job.results)
        self._finished += 1
        record = self._runs[job.results].record or {}
        self._say(
            f"finished {progress.label(job.config)}: {progress.score(record)}"
            f" ({self.summary()})"
        )

    def failed(self, job: Job, message: str, final: bool) -> None:
        """`job` failed; unless `final` it will be tried again."""
        self._running.pop(job.results, None)
        if final:
            self._settled.add(job.results)
            self._failed += 1
        ending = f"log: {job.log}" if final else "will be tried once more"
        self._say(f"FAILED {progress.label(job.config)}: {message} ({ending})")

    def stopping(self) -> None:
        """Ctrl-C was pressed."""
        self._say("stopping after the current rounds; Ctrl-C again stops at once")

    def tick(self) -> None:
        """Shows what the results files hold by now."""
        for job in self._running.values():
            self._observe(job)
        now = self._clock()
        if self._live:
            self._live.refresh()
        elif now - self._line_time >= LINE_INTERVAL:
            self._line_time = now
            self._say(self.summary())
            for path, job in self._running.items():
                text = progress.line(self._runs[path], now)
                self._say(f"  {progress.label(job.config)}: {text}")

    def summary(self) -> str:
        """The sweep as a whole in one line."""
        parts = [f"{self._finished}/{self._skipped + len(self._runs)} runs"]
        if self._failed:
            parts.append(f"{self._failed} failed")
        return ", ".join(parts) + f", ETA {progress.duration(self.remaining())}"

    def remaining(self) -> float | None:
        """Seconds to the end at the pace of this sweep so far; None before a round."""
        done = self._rounds() - self._rounds_before
        if done <= 0:
            return None
        left = sum(
            run.config.rounds - run.round
            for path, run in self._runs.items()
            if path not in self._settled
        )
        return (self._clock() - self._begin) / done * left

    def _rounds(self) -> int:
        return sum(run.round + 1 for run in self._runs.values())

    def _follow(self, job: Job) -> None:
        self._runs[job.results] = progress.RunProgress(job.config)
        self._observe(job)

    def _observe(self, job: Job) -> None:
        record = self._latest(job)
        if record is not None:
            self._runs[job.results].observe(record, self._clock())

    def _say(self, text: str) -> None:
        progress.say(self._console, text)

    def render(self) -> RenderableType:
        """The live table: one row per running job, and the sweep as a whole."""
        now = self._clock()
        table = Table(box=None, pad_edge=False)
        for column in ("suite", "setting", "method"):
            table.add_column(column)
        table.add_column("seed", justify="right")
        table.add_column("round", justify="right")
        for column in ("asked for", "result", "α per task"):
            table.add_column(column)
        table.add_column("ETA", justify="right")
        for path, job in list(self._running.items()):
            run, config = self._runs[path], job.config
            record = run.record or {}
            table.add_row(
                config.suite,
                config.setting,
                config.method,
                str(config.seed),
                f"{run.round}/{config.rounds}" if record else "preparing",
                progress.asked_for(record, config),
                progress.score(record),
                progress.mixing(record),
                progress.duration(run.remaining(now)),
            )
        total = sum(run.config.rounds + 1 for run in self._runs.values())
        foot = Table.grid(padding=(0, 1))
        foot.add_row(
            ProgressBar(total=total, completed=self._rounds(), width=40), self.summary()
        )
        return Group(table, foot)
