"""How commands start and end: quietly, whoever interrupts them or stops to read."""

import argparse
import contextlib
import errno
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import NoReturn

from amf_jax.errors import AmfError, InvalidArgumentError, UnknownNameError
from amf_jax.files import reason

#: Of a device that takes no more: it is full, over its quota, or gone.
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def start(main: Callable[[], int]) -> NoReturn:
    """Makes a command of `main`, whose result is the exit status.

    Ctrl-C ends it with status 130, and a reader that has left, as `head` does, with
    141, both without a word; a full disk below the output with 1 and one line. A
    character that the output cannot encode becomes a question mark, and what is written
    to a closed output is lost.
    """
    if callable(signal.getsignal(signal.SIGINT)):  # it is not ignored
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed from birth
            setattr(sys, name, os.fdopen(_nowhere(), "w", encoding="utf-8"))
    replace_unprintable()
    try:
        try:
            status = main()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    except BrokenPipeError:
        _discard_output()
        status = 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        with contextlib.suppress(OSError):
            words = f"error: cannot write the output: {reason(error)}"
            print(words, file=sys.stderr, flush=True)
        _discard_output()
        status = 1
    sys.exit(status)


def _discard_output() -> None:
    """What is still buffered has nowhere to go either when Python flushes it."""
    nowhere = _nowhere()
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


def _nowhere() -> int:
    return os.open(os.devnull, os.O_WRONLY)


def replace_unprintable() -> None:
    """Lets standard output replace what its encoding lacks: it is only shown."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")


def run(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    work: Callable[[argparse.Namespace], None],
    notes: type[Warning] = UserWarning,
) -> int:
    """Parses a command line and does the work.

    Warnings become notes on stderr, each once, and an `AmfError` becomes one line. A
    name or argument that is wrong ends as one that cannot be parsed does.

    Args:
      parser: of the command.
      arguments: those of the process if None.
      work: done with the parsed options.
      notes: warnings that are shown whatever Python's filters say.

    Returns:
      The exit status.
    """
    options = parser.parse_args(arguments)
    error = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", notes)
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
