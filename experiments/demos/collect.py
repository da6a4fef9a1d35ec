"""Episodes of an expert, each from a random stream of its own, and how they went."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats

from experiments import statistics
from experiments.builders.base import RECORDING
from experiments.suites.recording import Recording, World, record
from experiments.tables.table import Table, cell


class Attempt(NamedTuple):
    """One episode of an expert.

    Attributes:
      task: its index.
      number: of the attempt at this task, from 0.
      seed: of the collection.
      recording: what happened.
    """

    task: int
    number: int
    seed: int
    recording: Recording

    @property
    def stream(self) -> tuple[int, int, int, int]:
        """What the random stream of the episode was made from."""
        return self.seed, RECORDING, self.task, self.number

    @property
    def solved_after(self) -> int | None:
        """Actions until the task was first solved, None if it never was."""
        solved = self.recording.solved
        return int(np.argmax(solved)) + 1 if solved.any() else None


def attempts(world: World, task: int, episodes: int, seed: int) -> Iterator[Attempt]:
    """Lets the expert of a task act for some episodes.

    Attempt i depends on nothing but the seed, the task and i.

    Args:
      world: whose expert acts.
      task: index of a task.
      episodes: how many.
      seed: not negative.
    """
    episode = world.episode()
    for number in range(episodes):
        rng = np.random.default_rng([seed, RECORDING, task, number])
        yield Attempt(task, number, seed, record(world, episode, task, rng))


def summary(title: str, by_task: Mapping[str, Sequence[Attempt]]) -> Table:
    """How often and how soon the experts succeed.

    Args:
      title: of the table.
      by_task: all attempts at a task, failed ones included, at least one.

    Returns:
      A row per task: its attempts and successes, the success rate with its Wilson
      score interval, and the median over successes of the actions needed.
    """
    rows = []
    for name, tried in by_task.items():
        needed = [a.solved_after for a in tried if a.solved_after is not None]
        test = scipy.stats.binomtest(len(needed), len(tried))
        interval = test.proportion_ci(statistics.CONFIDENCE, method="wilson")
        rate = statistics.Summary(
            np.array(test.statistic), (interval.low, interval.high), len(tried)
        )
        median = f"{np.median(needed):g}" if needed else "–"
        rows.append((name, f"{len(needed)} of {len(tried)}", cell(rate), median))
    level = f"{statistics.CONFIDENCE:.0%}".replace("%", " %")
    return Table(
        title=title,
        columns=(
            "Task",
            "Solved (of episodes)",
            f"Success rate ({level} interval)",
            "Solved after (median actions)",
        ),
        rows=tuple(rows),
    )
