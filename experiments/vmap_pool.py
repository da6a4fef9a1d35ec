"""The launcher `vmap`: all seeds of a setting and method in one jitted program.

Processes, crashes and Ctrl-C are those of the launcher `local`. What it hands to a
process are the seeds of a setting and method that are not finished; they are run from
their beginning and finish together.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from amf_jax import errors
from experiments import build, pool
from experiments.launchers import Observer, Outcome
from experiments.seeds import run_seeds
from experiments.worker import Cell

#: Cells that a message names at most.
_NAMED = 5


def check(cells: Sequence[Cell]) -> None:
    """Refuses cells of suites that cannot be traced, and what `local` refuses.

    Raises:
      InvalidArgumentError: naming them.
    """
    pool.check(cells)
    configs = [cell.config for cell in cells]
    refused = [one for one in configs if build.SUITES[one.suite].program is None]
    if not refused:
        return
    names = list(
        dict.fromkeys(f"{one.suite} {one.setting} {one.method}" for one in refused)
    )
    listed = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
    known = ", ".join(name for name, entry in build.SUITES.items() if entry.program)
    raise errors.InvalidArgumentError(
        "launcher 'vmap' runs whole experiments in one program, which needs an expert"
        f" and an evaluation that can be traced ({known}); it cannot run {listed}."
        " Leave these out of cells, or use --launcher=local"
    )


def run(
    run_cell: Callable[[ConfigDict], object],
    cells: Sequence[Cell],
    workers: int,
    observer: Observer,
    cache: Path,
) -> Outcome:
    """Runs `workers` settings and methods at a time; a `Launcher`.

    Args:
      run_cell: not used, as cells are not run one by one.
      cells: of suites that can be traced, see `check`.
      workers: processes.
      observer: told of every cell.
      cache: as for other launchers.
    """
    del run_cell
    groups: dict[Path, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.results.parent, []).append(cell)
    joint = [_joint(members) for members in groups.values()]
    outcome = pool.run(run_seeds, joint, workers, _Members(groups, observer), cache)

    def members(cell: Cell) -> list[Cell]:
        return groups[cell.results.parent]

    return Outcome(
        [one for cell in outcome.finished for one in members(cell)],
        [(one, message) for cell, message in outcome.failed for one in members(cell)],
        outcome.interrupted,
    )


def _joint(members: Sequence[Cell]) -> Cell:
    """A cell that stands for all seeds of its folder, with the log of the first."""
    config = ConfigDict(members[0].config)
    with config.unlocked():
        config.seeds = tuple(member.config.seed for member in members)
    return members[0]._replace(config=config)


class _Members:
    """Tells an observer of each cell what happens to those that stand for several."""

    def __init__(self, groups: dict[Path, list[Cell]], observer: Observer):
        self._groups = groups
        self._observer = observer
        self.stopping = observer.stopping
        self.tick = observer.tick

    def started(self, cell: Cell) -> None:
        for member in self._groups[cell.results.parent]:
            self._observer.started(member)

    def finished(self, cell: Cell) -> None:
        for member in self._groups[cell.results.parent]:
            self._observer.finished(member)

    def failed(self, cell: Cell, message: str, final: bool) -> None:
        for member in self._groups[cell.results.parent]:
            self._observer.failed(member._replace(log=cell.log), message, final)
