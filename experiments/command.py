"""What the commands that look at results share: how they say what went wrong."""

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence

from amf_jax.errors import AmfError, InvalidArgumentError, UnknownNameError
from experiments.runs import ResultsWarning


def run(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    work: Callable[[argparse.Namespace], None],
) -> int:
    """Parses a command line and does the work.

    Warnings about results become notes on stderr, each once, and an `AmfError` becomes
    one line. A name or argument that is wrong ends as one that cannot be parsed does.

    Args:
      parser: of the command.
      arguments: those of the process if None.
      work: done with the parsed options.

    Returns:
      The exit status.
    """
    options = parser.parse_args(arguments)
    error = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResultsWarning)
        try:
            work(options)
        except AmfError as raised:
            error = raised
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        print(f"note: {message}", file=sys.stderr)
    if isinstance(error, UnknownNameError | InvalidArgumentError):
        parser.error(str(error))
    if error is not None:
        print(f"error: {error}", file=sys.stderr)
    return int(error is not None)
