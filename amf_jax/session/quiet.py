"""What orbax prints of errors that it raises as well."""

import contextlib
import functools
import gc
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps orbax from printing what it raises as well, and what it leaves undone.

    When an array cannot be read or written, those of the others go on: some end here,
    and some later, in threads that nobody waits for.
    """
    _ignore_closed_loops()
    logger = logging.getLogger("absl")
    logged, logger.disabled = logger.disabled, True
    shown = sys.unraisablehook
    sys.unraisablehook = lambda unraisable: None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*never awaited", RuntimeWarning)
            try:
                yield
            except BaseException:
                gc.collect()  # what nobody awaits any more ends here
                raise
    finally:
        logger.disabled, sys.unraisablehook = logged, shown


@functools.cache
def _ignore_closed_loops() -> None:
    """Lets threads that outlive an error find their event loop closed in silence."""
    shown = sys.unraisablehook

    def show(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            shown(unraisable)

    sys.unraisablehook = show
