r"""Runs one cell of an experiment: one suite, setting, method and seed.

  python -m experiments.run --config=experiments/configs/<suite>.py:<setting>[,option…]
      [--config.<field>=<value> …]

Examples:
  # The integrator, pre-trained on 6 of its 12 tasks, with active choice.
  python -m experiments.run --config=experiments/configs/integrator.py:6

  # Metaworld, mismatched pre-training, uniform choice, another seed, a short run.
  python -m experiments.run --config=experiments/configs/metaworld.py:8-8-0-0 \
      --config.method=uniform_adaptive_prior --config.seed=3 --config.rounds=4

  # The paper's budgets instead of the fast ones.
  python -m experiments.run --config=experiments/configs/metaworld.py:8-8-0-0,paper

  # All fields of a config, with their values.
  python -m experiments.run --config=experiments/configs/metaworld.py:8-8-0-0 --help

Records go to <results_dir>/<suite>/<setting>/<method>/seed<k>.jsonl, one per round.
Ctrl-C stops after the current round; the same command goes on from there, and leaves a
finished run as it is. Exit codes: 0 finished, 1 failed, 2 wrong command line, 130
interrupted.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict
from rich.console import Console

from amf_jax import errors
from experiments import cell, methods, progress
from experiments.configs import loading

RunCell = Callable[[ConfigDict, Callable[[progress.Record], None]], Path]


def main(
    argv: Sequence[str],
    run_cell: RunCell = cell.run_cell,
    console: Console | None = None,
) -> int:
    """Runs the cell that a command line names.

    Args:
      argv: program name and arguments, as in `sys.argv`.
      run_cell: runs a config, calling back with each record; returns the results file.
      console: where to show progress; messages about mistakes go to stderr.

    Returns:
      The exit code.
    """
    console = console or Console()
    if loading.asks_for_help(argv):
        print(
            loading.help_text(
                f"{__doc__}\nMethods: {', '.join(methods.METHODS)}\n", argv
            )
        )
        return 0
    try:
        config = loading.parse(argv, flags.FlagValues(), "run")
        methods.get(config.method)
    except errors.AmfError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        with progress.RunDisplay(config, console) as display:
            path = run_cell(config, display.on_round)
    except errors.AmfError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        kept = "stopped; run the same command again to go on from the last safe round"
        print(str(error) or kept, file=sys.stderr)
        return 130
    progress.say(console, f"finished; records are in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
