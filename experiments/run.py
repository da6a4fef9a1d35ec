r"""Runs one experiment: one suite, setting, method and seed.

  python -m experiments.run --config=<suite>:<setting>[,option…]
      [--config.<field>=<value> …] [--plugin=<module> …]

Examples:
  # The integrator, pre-trained on 6 of its 12 tasks, with active choice.
  python -m experiments.run --config=integrator:6

  # Metaworld, mismatched pre-training, uniform choice, another seed, a short run.
  python -m experiments.run --config=metaworld:8-8-0-0 \
      --config.method=uniform_adaptive_prior --config.seed=3 --config.rounds=4

  # The paper's budgets instead of the fast ones.
  python -m experiments.run --config=metaworld:8-8-0-0,paper

  # All fields of a config: their values, what they mean and what they may be.
  python -m experiments.run --config=metaworld:8-8-0-0 --help

The suite may be a file, --config=<file>.py:<setting>. It is Python and is executed,
also for --help: use none that you would not run. So is a plugin, a module that is
imported before anything is built and can add methods, selectors, policies and suites
(docs/extending.md).

Records go to <results_dir>/<suite>/<setting>/<method>/seed<k>.jsonl, one per round.
Ctrl-C stops after the current round; the same command goes on from there, and leaves a
finished run as it is. Exit codes: 0 finished, 1 failed, 2 wrong command line, 130
interrupted.
"""

import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict
from rich.console import Console

from amf_jax import errors
from experiments import build, command, methods, plugins, threads
from experiments.configs import arguments
from experiments.execution import progress, runner

Execute = Callable[[ConfigDict, Callable[[progress.Record], None]], Path]


def main(
    argv: Sequence[str],
    execute: Execute = runner.execute,
    console: Console | None = None,
) -> int:
    """Runs the config that a command line names.

    Args:
      argv: program name and arguments, as in `sys.argv`.
      execute: runs a config, calling back with each record; returns the results file.
      console: where to show progress; messages about mistakes go to stderr.

    Returns:
      The exit code.
    """
    console = console or command.console()
    flag_values = flags.FlagValues()
    modules = plugins.define_flag(flag_values)
    try:
        if arguments.asks_for_help(argv):
            names = textwrap.fill(f"Methods: {', '.join(methods.METHODS)}", 80)
            print(arguments.help_text(f"{__doc__}\n{names}\n", argv))
            return 0
        config = arguments.parse(argv, flag_values, "run")
        threads.check(config.threads)
        threads.limit(config.threads)  # before anything is computed, to be checked too
        plugins.load(modules.value)
        build.check(config)
    except errors.AmfError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        with progress.RunDisplay(config, console) as display:
            path = execute(config, display.on_round)
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
    command.start(lambda: main(sys.argv))
