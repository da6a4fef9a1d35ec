"""What the commands share: how they start, and how they say what went wrong."""

import argparse
from collections.abc import Callable, Sequence

from rich.console import Console

from amf_jax.cli import process
from amf_jax.cli.process import replace_unprintable, start
from experiments.runs import ResultsWarning

__all__ = ["console", "replace_unprintable", "run", "start"]


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # for `start`; rich would exit with status 1


def console() -> Console:
    """A console on standard output, for a command that `start` has started."""
    return _Console()


def run(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    work: Callable[[argparse.Namespace], None],
) -> int:
    """As `process.run`, with notes of warnings about results."""
    return process.run(parser, arguments, work, ResultsWarning)
