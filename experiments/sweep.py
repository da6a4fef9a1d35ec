r"""Runs a sweep: many runs in parallel processes, here or on a Ray cluster.

  python -m experiments.sweep --config=sweeps:<name> [--config.<field>=<value> …]
      [--launcher=local|ray|vmap] [--plugin=<module> …] [--dry-run]

Examples:
  # What would run, and how long it would take.
  python -m experiments.sweep --config=sweeps:figure7 --dry-run

  # A small version of it, on two processes.
  python -m experiments.sweep --config=sweeps:figure7 --config.settings=integrator:6 \
      --config.seeds=2 --config.rounds=4 --config.workers=2

  # Other methods; any field of the runs' own configs through `overrides`.
  python -m experiments.sweep --config=sweeps:main \
      --config.methods=amf,amf_paper --config.overrides.attempts=10

  # Whole experiments in one program, all seeds at once (the integrator).
  python -m experiments.sweep --config=sweeps:figure7 --launcher=vmap

  # On the Ray cluster this machine belongs to, 64 runs at a time.
  python -m experiments.sweep --config=sweeps:figure9 --launcher=ray \
      --config.workers=64

Finished runs are skipped, half-finished ones go on where they stopped, broken ones are
tried once more and leave a log beside their results. Ctrl-C stops after the current
rounds; the same command goes on from there. Exit codes: 0 all finished, 1 a run
failed, 2 wrong command line, 130 interrupted.

The launcher `vmap` runs all seeds of a setting and method in one jitted program, in
`workers` processes. It needs an expert and an evaluation that can be traced, as the
integrator has. A setting and method is kept when all of its seeds are through.

The launcher `ray` needs `pip install 'amf_jax[ray]'`. It takes the cluster of
RAY_ADDRESS, else the one that `ray start` has started on this machine, else it starts a
local one, which no other machine can reach. For several machines, start Ray on each
with `ray start`, in a network that you trust: who reaches a Ray cluster can run
programs on it. All nodes must have this checkout, its Python environment and the
results folder under the same paths, as on a shared filesystem: every run writes its
results itself. `workers` is the number of runs at a time (0: as this machine has cores
for), each of which takes a CPU for each of its `threads`.

A run computes on as many threads as its config says, one by default, whatever else
runs: resumed or run alone, by whichever launcher of the two that run runs one by one,
it gives the same records to the bit, on processors of the same kind and with the same
versions of the packages in the header of its results. `--config.overrides.threads=4`
is for few large runs on many cores.

Config files, those in --config.settings too, are Python and are executed, also for
--help: use none that you would not run. So are plugins, modules that every process
imports first and that can add methods, selectors and suites (docs/extending.md).
"""

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict
from rich.console import Console

from amf_jax import errors
from experiments import command, figures, plugins, reading, results, tables, threads
from experiments.configs import arguments, sweeps
from experiments.execution import launchers, planning, progress, sweep_progress, worker
from experiments.execution.runner import execute
from experiments.runs import ResultsWarning


def report(
    sweep: ConfigDict, planned: Sequence[planning.Planned], console: Console
) -> None:
    """Prints a table per setting and draws the figures of the sweep.

    Raises:
      ResultsError: if there is nothing to draw, or a results file is broken.
    """
    runs: dict[tuple[str, str], dict[str, list[reading.Run]]] = {}
    for entry in planned:
        config, path = entry.job.config, entry.job.results
        if path.exists() and reading.is_complete(reading.read(path), config.rounds):
            by_method = runs.setdefault((config.suite, config.setting), {})
            by_method.setdefault(config.method, []).append(reading.read(path))
    if not runs:
        return
    folder = Path(sweep.results_dir)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResultsWarning)
        for by_method in runs.values():
            console.print(tables.to_rich(tables.overview(by_method)))
        if any(len(by_method) > tables.MAX_COLUMNS for by_method in runs.values()):
            console.print(tables.LEGEND)
        drawn = [
            figures.draw(name, folder, folder / "figures") for name in sweep.figures
        ]
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        progress.say(console, f"note: {message}")
    progress.say(console, f"records: {folder}/<suite>/<setting>/<method>/seed<k>.jsonl")
    for path in drawn:
        progress.say(console, f"figure: {path}")


def main(
    argv: Sequence[str],
    execute: Callable[[ConfigDict], object] = execute,
    console: Console | None = None,
) -> int:
    """Runs the sweep that a command line names.

    Args:
      argv: program name and arguments, as in `sys.argv`.
      execute: runs a config; a fresh process must be able to import it.
      console: where to show progress; messages about mistakes go to stderr.

    Returns:
      The exit code.
    """
    console = console or command.console()
    flag_values = flags.FlagValues()
    dry_run = flags.DEFINE_bool(
        "dry-run", False, "list the runs and stop", flag_values=flag_values
    )
    launcher = flags.DEFINE_string(
        "launcher", "local", "where the runs are executed", flag_values=flag_values
    )
    modules = plugins.define_flag(flag_values)
    try:
        if arguments.asks_for_help(argv):
            print(arguments.help_text(_about(), argv))
            return 0
        sweep = arguments.parse(argv, flag_values, "sweep")
        plugins.load(modules.value)
        launch = launchers.get(launcher.value)
        _check_figures(sweep.figures)
        planned = planning.plan(sweep, modules.value)
        todo = [entry.job for entry in planned if not entry.finished]
        launchers.check(launcher.value, todo)
    except errors.AmfError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1 if isinstance(error, errors.ResultsError) else 2
    workers = sweep.workers or _runs_at_a_time(planned)
    progress.say(console, f"sweep {sweep.name}: {planning.cost(planned, workers)}")
    if dry_run.value:
        for entry in planned:
            progress.say(console, planning.describe(entry))
        return 0
    try:
        results.check_writable(sweep.results_dir)
        outcome = _run(launch, planned, workers, execute, console)
        for job, message in outcome.failed:
            about = f"failed: {progress.label(job.config)}: {message}"
            print(f"{about} (log: {job.log})", file=sys.stderr)
        if outcome.interrupted:
            progress.say(console, "interrupted; the same command goes on from here")
            return 130
        report(sweep, planned, console)
    except errors.AmfError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 1 if outcome.failed else 0


def _about() -> str:
    names = [f"  {name}: {entry.about}" for name, entry in sweeps.SWEEPS.items()]
    return "\n".join([str(__doc__), "Sweeps:", *names, ""])


def _check_figures(names: Sequence[str]) -> None:
    """Refuses figures that could not be drawn at the end.

    Raises:
      MissingDependencyError: matplotlib is not installed.
      UnknownNameError: there is no such figure; names the nearest one.
    """
    if names:
        figures.require_matplotlib()
    for name in names:
        errors.check_name("figure", name, figures.FIGURES)


def _runs_at_a_time(planned: Sequence[planning.Planned]) -> int:
    """How many runs the cores of this machine have threads for."""
    return max(len(threads.available_cores()) // planned[0].job.config.threads, 1)


def _run(
    launch: launchers.Launcher,
    planned: Sequence[planning.Planned],
    workers: int,
    execute: Callable[[ConfigDict], object],
    console: Console,
) -> launchers.Outcome:
    todo = [entry.job for entry in planned if not entry.finished]
    display = sweep_progress.SweepDisplay(
        todo, len(planned) - len(todo), _latest_record, console
    )
    with display:
        return launch(execute, todo, workers, display, _cache_folder())


def _latest_record(job: worker.Job) -> dict[str, Any] | None:
    if not job.results.exists():
        return None
    records = reading.read(job.results).records
    return records[-1] if records else None


def _cache_folder() -> Path:
    """Where compiled programs are kept from one run, and one sweep, to the next."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "amf_jax" / "compiled"


if __name__ == "__main__":
    command.start(lambda: main(sys.argv))
