"""Ctrl-C that waits for a safe moment."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from amf_jax.errors import Interrupted


@contextmanager
def deferred(announce: Callable[[str], None]) -> Iterator[threading.Event]:
    """Turns the first Ctrl-C within the block into an event; the second one acts.

    Signals reach the main thread alone: in any other one the event is never set.

    Args:
      announce: called with a message for the user at the first Ctrl-C.
    """
    stopping = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    previous = signal.getsignal(signal.SIGINT) or signal.SIG_DFL

    def handle(signum, frame):
        del signum, frame
        stopping.set()
        signal.signal(signal.SIGINT, previous)
        announce("finishing this round; press Ctrl-C again to stop at once")

    signal.signal(signal.SIGINT, handle)
    try:
        yield stopping
    finally:
        signal.signal(signal.SIGINT, previous)


def stopped(
    done: int, rounds: int, folder: str | os.PathLike[str] | None
) -> Interrupted:
    """What to raise after a round, saying where the rounds so far are.

    Args:
      done: rounds that are finished.
      rounds: the budget.
      folder: that holds them; None is memory.
    """
    kept = "in memory alone, where run() goes on with them"
    if folder is not None:
        kept = f"in {os.fspath(folder)}, from where the same run goes on"
    return Interrupted(
        f"stopped after round {done} of {rounds}; what is finished is kept {kept}"
    )
