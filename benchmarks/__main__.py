"""Measures how fast the library is: against the machine, and against others.

  python -m benchmarks [--quick] [--peers] [--only JOB ...] [--output FILE]

Jobs:
{jobs}

Each row of the table tells
  median      of warm calls that were waited for, with quartiles;
  compile     tracing and compiling, which the median leaves out;
  rate        achieved FLOP/s, or bytes/s where there is no arithmetic;
  × limit     how many times longer than the same arithmetic as one large matmul, and
              the same traffic as one large copy, took this machine in the same run;
  memory      arguments, outputs and temporary buffers of the program as compiled;
  peer        who does the same work on the same inputs: its result is compared with
              ours before it is timed, and both are timed in turns.

Examples:
  # The whole table, saved as benchmarks/latest.json.
  python -m benchmarks

  # Whether everything runs, in a minute: small sizes, few calls, nothing optimised.
  python -m benchmarks --quick --output results/quick.json

  # With PyTorch, activeft and bmdal_reg, where they are installed (make bench-peers).
  python -m benchmarks --peers

  # A part of the table, which is saved only where --output says so.
  python -m benchmarks --only selection_dense finetuning

Timings mean something on an otherwise idle machine only: the table tells the load. The
file is written anew after every row, so that Ctrl-C keeps what was measured. Exit
codes: 0 all measured, 1 a job failed or a peer came to another result, 130 interrupted.
"""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from unittest import mock

import jax
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from benchmarks import limits, machine, rows, table
from benchmarks.jobs import JOBS, Bench, Job
from benchmarks.rows import Row
from experiments.tables.table import to_rich

LATEST = Path(__file__).parent / "latest.json"


def main(
    arguments: Sequence[str] | None = None,
    jobs: Mapping[str, Job] = JOBS,
    console: Console | None = None,
) -> int:
    """Runs the command and returns its exit status.

    Args:
      arguments: those of the process if None.
      jobs: that there are.
      console: where everything is shown.
    """
    console = console or Console()
    options = _parser(jobs).parse_args(arguments)
    names = options.only or list(jobs)
    output = options.output or (None if options.only else LATEST)
    described = {**machine.describe(), "quick": options.quick, "peers": options.peers}
    measured: list[Row] = []
    interrupted = False
    start = time.perf_counter()
    try:
        with _unoptimised() if options.quick else contextlib.nullcontext():
            for row in _measure(names, jobs, options, console):
                measured.append(row)
                if output is not None:
                    rows.write(output, described, measured)
    except KeyboardInterrupt:
        interrupted = True
    for found in table.tables(measured):
        rendered = to_rich(found)
        rendered.columns[0].min_width = max(map(len, names)) + 1
        console.print(rendered)
    for note in table.notes(measured):
        console.print(f"- {note}", highlight=False)
    console.print(f"{table.describe(described)}; {time.perf_counter() - start:.0f} s")
    if output is not None and measured:
        console.print(f"written to {output}")
    if interrupted:
        console.print("stopped; what was measured is kept")
        return 130
    return int(any(row.error is not None for row in measured))


def _measure(
    names: Sequence[str],
    jobs: Mapping[str, Job],
    options: argparse.Namespace,
    console: Console,
) -> Iterator[Row]:
    """The rows of all jobs as they come; a job that fails leaves one that says so."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    # Drawn between rows alone: a thread that draws would take time from what is timed.
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        bar = progress.add_task("limits of this machine", total=len(names))
        progress.refresh()
        found = limits.measure(0.1 if options.quick else 5.0, quick=options.quick)
        bench = Bench(found, options.quick, options.peers)
        for name in names:
            progress.update(bar, description=jobs[name].title, refresh=True)
            try:
                for row in jobs[name].run(bench):
                    progress.print(table.summary(row), highlight=False)
                    yield row
            except Exception as error:
                yield Row(name, error=f"{type(error).__name__}: {error}")
            progress.update(bar, advance=1, refresh=True)


@contextlib.contextmanager
def _unoptimised() -> Iterator[None]:
    """Compiles fast rather than well, since at small sizes compiling is the cost."""
    variable = "JAX_DISABLE_MOST_OPTIMIZATIONS"
    with mock.patch.dict(os.environ, {variable: "1"}):  # for further processes
        jax.config.update(variable.lower(), True)
        try:
            yield
        finally:
            jax.config.update(variable.lower(), False)


def _parser(jobs: Mapping[str, Job]) -> argparse.ArgumentParser:
    assert __doc__ is not None
    width = max(map(len, jobs))
    listed = "\n".join(f"  {name:{width}}  {jobs[name].title}" for name in jobs)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        usage="%(prog)s [options]",
        description=__doc__.format(jobs=listed).replace("%", "%%"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small sizes, few calls and nothing optimised, in a minute",
    )
    parser.add_argument(
        "--peers",
        action="store_true",
        help="also PyTorch, activeft and bmdal_reg, where they are installed",
    )
    parser.add_argument(
        "--only", nargs="+", choices=jobs, metavar="JOB", help="these jobs alone"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="where to save the rows (default: benchmarks/latest.json; with --only,"
        " nowhere)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
